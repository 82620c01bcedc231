"""Fixtures of this folder."""

from collections.abc import Iterator

import pytest

from journal.harness import Proxy, _shards
from ledger.journal import embedded
from ledger.journal.embedded import EmbeddedServer
from ledger.journal.stream import StreamJournal


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path_factory.mktemp("journal")) as started:
        yield started


@pytest.fixture
def shard() -> str:
    return f"test-{next(_shards)}"


@pytest.fixture
def own_server(tmp_path) -> Iterator[EmbeddedServer]:
    """A server that a test may damage."""
    with EmbeddedServer(tmp_path / "data") as started:
        yield started


@pytest.fixture
def journal(server, shard) -> Iterator[StreamJournal]:
    with StreamJournal(server.url, shard=shard) as opened:
        opened.open()
        yield opened


@pytest.fixture
def proxy(server, tmp_path) -> Iterator[Proxy]:
    running = Proxy(tmp_path, str(server.folder / embedded.SOCKET_NAME))
    yield running
    running.close()


@pytest.fixture
def behind_proxy(proxy, shard) -> Iterator[StreamJournal]:
    with StreamJournal(proxy.url, shard=shard, timeout_seconds=1.5) as opened:
        opened.open()
        yield opened
