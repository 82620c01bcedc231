"""The client package and the engines of one shard: two real engines."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import onhand.client as api
import pytest
from engines import ForkedEngine
from faults.processes import WAIT_SECONDS, free_port, stopped, wait_until
from harness import Client as Harness
from harness import Refused
from onhand.admin.v1.admin_service_pb2 import ROLE_PRIMARY
from onhand.client import Client, retries

from client_failover.harness import TTL
from ledger.journal.embedded import EmbeddedServer


class Shard:
    """A journal server, and two engines that take turns as its primary."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.server = stack.enter_context(EmbeddedServer(folder / "journal"))
        self.folder = folder
        self.stack = stack
        self.primary = self.engine("a")
        self.standby = self.engine("b", "--standby")

    def engine(self, name: str, *flags: str, port: int = 0) -> ForkedEngine:
        places = [
            "--port",
            str(port or free_port()),
            "--journal",
            self.server.url,
            "--data-folder",
            str(self.folder / name),
        ]
        made = ForkedEngine([*places, "--lease-seconds", "2", *flags], log_file=self.folder / f"{name}.log")
        return self.stack.enter_context(made)

    def fails(self, name: str) -> None:
        """Kill the primary, and start it again as the standby of the one that takes over."""
        self.primary.kill()
        wait_until(lambda: is_primary(self.standby), "the other one takes over")  # before this one can
        port = int(self.primary.address.rpartition(":")[2])
        self.primary, self.standby = self.standby, self.engine(name, "--standby", port=port)


def is_primary(engine: ForkedEngine) -> bool:
    """Whether it says so; one that is taking over may not answer."""
    try:
        with Harness(engine.address) as harness:
            return harness.status().role == ROLE_PRIMARY
    except Refused:
        return False


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[Shard]:
    with ExitStack() as stack:
        made = Shard(tmp_path, stack)
        with Harness(made.primary.address) as harness:
            harness.sku("A")
            harness.location("X")
            harness.receive("A", "X", 1_000_000)
        yield made


class Shoppers:
    """Threads that reserve one unit after the other, until the block ends."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.made: list[api.Reserved] = []
        self.stopping = threading.Event()
        self.pool = ThreadPoolExecutor(8)

    def shop(self) -> None:
        while not self.stopping.is_set():
            self.made.append(self.client.reserve([("A", "X", 1)], ttl_seconds=TTL))
            self.client.get_stock_level("A", "X")

    def make_more(self) -> None:
        """Return once more was reserved."""
        wanted = len(self.made) + 200
        wait_until(lambda: len(self.made) >= wanted or any(each.done() for each in self.running))

    def __enter__(self) -> "Shoppers":
        self.running = [self.pool.submit(self.shop) for _ in range(8)]
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.pool.shutdown()
        for each in self.running:
            each.result()


def check(engine: ForkedEngine, made: list[api.Reserved]) -> None:
    """Each reservation that was told exists, and none was made twice."""
    with Harness(engine.address) as harness:
        assert len({each.reservation_id for each in made}) == len({each.seq for each in made}) == len(made)
        assert harness.level("A", "X").reserved == len(made)
        assert harness.verify().ok


def test_a_client_outlives_primaries_that_are_killed(shard: Shard) -> None:
    with Client(shard.standby.address, deadline_seconds=WAIT_SECONDS) as client, Shoppers(client) as shoppers:
        shoppers.make_more()
        shard.fails("a")
        shoppers.make_more()
        shard.fails("b")
        shoppers.make_more()
    check(shard.primary, shoppers.made)


def test_a_client_leaves_a_primary_that_hangs(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "ATTEMPT_SHARE", 0.03)
    addresses = [shard.primary.address, shard.standby.address]
    with (
        ExitStack() as asleep,
        Client(addresses, deadline_seconds=WAIT_SECONDS) as client,
        Shoppers(client) as shoppers,
    ):
        shoppers.make_more()
        asleep.enter_context(stopped(shard.primary.process))
        shoppers.make_more()
    check(shard.standby, shoppers.made)
