"""Engines and journal servers that die under load: a journal that is not what was written."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from faults.processes import WAIT_SECONDS, processes_in, wait_until
from harness import Client

from crash.harness import Folder, Load, in_process, stop_cleanly
from ledger.journal.connection import Address, JournalConnection
from ledger.journal.embedded import EmbeddedServer
from ledger.journal.errors import EmbeddedServerFailed, JournalCorrupt

JOURNAL = "{onhand:0}:journal"


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A data folder with a history, its engine stopped."""
    folder = Folder(tmp_path_factory.mktemp("written") / "engine")
    with folder.engine() as engine, Client(engine.address) as client:
        Load.stock_up(client)
        for _ in range(20):
            client.reserve(("A", "X", 1), ("B", "Y", 2))
        stop_cleanly(engine)
    return folder.path


@pytest.fixture
def tampered(written, folder) -> Folder:
    shutil.copytree(written / "data", folder.path / "data", ignore=shutil.ignore_patterns("*.sock"))
    return folder


@contextmanager
def server_of(folder: Folder) -> Iterator[JournalConnection]:
    with EmbeddedServer(folder.path / "data") as server:
        connection = JournalConnection(Address(server.url), WAIT_SECONDS)
        yield connection
        connection.close()


def append_only_file(folder: Folder) -> Path:
    (path,) = (folder.path / "data").glob("appendonlydir/*.incr.aof")
    return path


def overwrite(path: Path, position: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        file.write(data)


def flip_in_an_entry(folder: Folder) -> None:
    path = append_only_file(folder)
    content = path.read_bytes()
    place = content.index(b"entry\r\n", len(content) // 2) + 60
    overwrite(path, place, bytes([content[place] ^ 1]))


def flip_in_the_framing(folder: Folder) -> None:
    path = append_only_file(folder)
    overwrite(path, path.read_bytes().index(b"*", path.stat().st_size // 2), b"!")


def delete_the_stream(folder: Folder) -> None:
    with server_of(folder) as connection:
        assert connection.call("DEL", JOURNAL) == 1


def delete_an_entry(folder: Folder) -> None:
    with server_of(folder) as connection:
        assert connection.call("XDEL", JOURNAL, "12-0") == 1


def delete_the_first_entries(folder: Folder) -> None:
    with server_of(folder) as connection:
        assert connection.call("XTRIM", JOURNAL, "MINID", "12-0") > 0


def delete_the_last_entry(folder: Folder) -> None:
    with server_of(folder) as connection:
        ((last, _),) = connection.call("XREVRANGE", JOURNAL, "+", "-", "COUNT", 1)
        assert connection.call("XDEL", JOURNAL, last) == 1


def append_an_entry(folder: Folder) -> None:
    with server_of(folder) as connection:
        assert connection.call("XADD", JOURNAL, "1000-0", "entry", b"by another hand")


def swap_two_entries(folder: Folder) -> None:
    """Each entry is whole and has its place, but they are not in the order they were written."""
    with server_of(folder) as connection:
        rows = connection.call("XRANGE", JOURNAL, "-", "+")
        connection.call("DEL", JOURNAL)
        payloads = [fields[1] for _, fields in rows]
        payloads[-2], payloads[-3] = payloads[-3], payloads[-2]
        for (name, _), payload in zip(rows, payloads, strict=True):
            connection.call("XADD", JOURNAL, name, "entry", payload)


@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        (flip_in_an_entry, "checksum chain: expected"),
        (delete_the_stream, "written to, or deleted, by another hand"),
    ],
    ids=["flip_in_an_entry", "delete_the_stream"],
)
def test_a_tampered_journal_ends_the_engine(tampered, tamper, says):
    tamper(tampered)
    with pytest.raises(RuntimeError, match="exit code 65"):
        tampered.engine().start()
    message = tampered.log.read_text()
    assert says in message
    assert "Traceback" not in message


@pytest.mark.parametrize(
    ("tamper", "error", "says"),
    [
        (flip_in_the_framing, EmbeddedServerFailed, "ended with exit code 1"),
        (delete_an_entry, JournalCorrupt, "checksum chain: expected"),
        (delete_the_first_entries, JournalCorrupt, "expected a snapshot to begin with, since it begins at seq 12"),
        (delete_the_last_entry, JournalCorrupt, "written to, or deleted, by another hand"),
        (append_an_entry, JournalCorrupt, "written to, or deleted, by another hand"),
        (swap_two_entries, JournalCorrupt, "checksum chain: expected"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_tampered_journal_is_named(tampered, tamper, error, says):
    tamper(tampered)
    with pytest.raises(error, match=says):
        in_process(tampered).__enter__()


def test_a_journal_cut_short_in_the_middle_of_an_entry_starts_without_it(tampered):
    """What a crash cut short was never acknowledged."""
    path = append_only_file(tampered)
    os.truncate(path, path.read_bytes().rindex(b"entry\r\n") + 60)
    with in_process(tampered) as service:
        role = service.shard.role
        assert role.book.verify() == []
        assert role.book.ledger.counts().active_reservations == 19
        assert role.book.seq == role.journal.last_seq


def test_sigterm_while_starting_leaves_no_journal_server_behind(tmp_path):
    folder = tmp_path / "data"
    command = [sys.executable, "-m", "engine", "serve", "--port", "0", "--data-folder", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as starting:
        wait_until(lambda: (folder / "journal.sock").exists() or starting.poll() is not None)
        starting.terminate()
        assert starting.wait(WAIT_SECONDS) == 0
    assert not processes_in(folder)
