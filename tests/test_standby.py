"""Two engines of one shard: who answers, who follows, and what happens when the primary is gone, asleep or replaced."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from harness import Client, Refused, new_id
from onhand.admin.v1 import admin_service_pb2 as admin
from onhand.inventory.v1 import inventory_service_pb2 as inventory

from engine.launch import EngineProcess
from ledger.journal.connection import Address, JournalConnection
from ledger.journal.embedded import EmbeddedServer

WAIT_SECONDS_MAX = 30.0
LEASE_SECONDS = 1.0


def wait_until(holds: Callable[[], bool], timeout_seconds: float = WAIT_SECONDS_MAX) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not holds():
        assert time.monotonic() < deadline, "the condition waited for never came true"
        time.sleep(0.005)


class Pair:
    """A journal server and the engines that use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = EmbeddedServer(folder / "journal")
        self.server.start()
        self.engines: list[EngineProcess] = []

    def engine(self, *flags: str) -> EngineProcess:
        """An engine, started."""
        name = f"engine-{len(self.engines)}"
        made = EngineProcess(
            [
                *("--port", "0", "--journal", self.server.url, "--data-folder", str(self.folder / name)),
                *("--lease-seconds", str(LEASE_SECONDS), *flags),
            ],
            log_file=self.folder / f"{name}.log",
        )
        self.engines.append(made)
        made.start()
        return made

    def call_server(self, *words: bytes | str | int) -> Any:
        connection = JournalConnection(Address(self.server.url), 5)
        try:
            return connection.call(*words)
        finally:
            connection.close()

    def stop(self) -> None:
        for engine in self.engines:
            if engine.process is not None and engine.process.poll() is None:
                engine.process.send_signal(signal.SIGCONT)
                engine.kill()
        self.server.stop()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    yield made
    made.stop()


def status(engine: EngineProcess) -> Any:
    with Client(engine.address) as client:
        return client.status()


def digest(engine: EngineProcess) -> tuple[int, str]:
    with Client(engine.address) as client:
        found = client.verify()
    assert found.ok
    return found.seq, found.digest


def is_primary(engine: EngineProcess) -> bool:
    try:
        return bool(status(engine).role == admin.ROLE_PRIMARY)
    except Refused:
        return False


def reserve(client: Client, request_id: str, units: int = 1) -> Any:
    return client.reserve(("A", "X", units), request_id=request_id)


def checkpoint(client: Client) -> None:
    client.call(client.admin.Checkpoint, admin.CheckpointRequest())


def stock(client: Client, units: int = 100) -> None:
    client.sku("A")
    client.location("X")
    client.receive("A", "X", units)


def test_a_standby_follows_and_refuses_with_the_primarys_address(pair: Pair) -> None:
    primary = pair.engine()
    standby = pair.engine("--standby")
    with Client(primary.address) as client:
        stock(client)
        first = reserve(client, new_id())
    wait_until(lambda: status(standby).seq_applied == first.seq)
    assert digest(standby) == digest(primary)
    with Client(standby.address) as client, pytest.raises(Refused) as refused:
        reserve(client, new_id())
    assert refused.value.reason == "NOT_PRIMARY"
    assert refused.value.metadata["primary"] == primary.address
    assert refused.value.code == grpc.StatusCode.FAILED_PRECONDITION
    assert status(standby).primary_address == primary.address
    assert status(standby).role == admin.ROLE_STANDBY
    wait_until(lambda: [each.address for each in status(primary).standbys] == [standby.address])
    wait_until(lambda: [each.lag for each in status(primary).standbys] == [0])


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_standby_takes_over(pair: Pair, how: str) -> None:
    primary = pair.engine()
    standby = pair.engine("--standby")
    request_id = new_id()
    with Client(primary.address) as client:
        stock(client)
        told = reserve(client, request_id, 40)
        with pytest.raises(Refused):
            reserve(client, new_id(), 61)
    getattr(primary, how)()
    wait_until(lambda: is_primary(standby))
    with Client(standby.address) as client:
        assert reserve(client, request_id, 40) == told
        assert reserve(client, new_id(), 60).seq > told.seq
        with pytest.raises(Refused, match="0 available"):
            reserve(client, new_id(), 1)
    found = status(standby)
    assert found.primary_address == standby.address
    assert found.epoch == 2


def test_a_primary_that_sleeps_beyond_its_lease_answers_nothing_and_follows(pair: Pair) -> None:
    primary = pair.engine()
    standby = pair.engine("--standby")
    with Client(primary.address) as client:
        stock(client)
    assert primary.process is not None
    os.kill(primary.process.pid, signal.SIGSTOP)
    wait_until(lambda: is_primary(standby))
    with Client(standby.address) as client:
        told = reserve(client, new_id(), 100)
    with Client(primary.address) as client:
        sleeping = client.admin.GetStatus.future(admin.GetStatusRequest(), timeout=WAIT_SECONDS_MAX)
        asked = inventory.GetStockLevelRequest(sku_id="A", location_id="X")
        level = client.inventory.GetStockLevel.future(asked, timeout=WAIT_SECONDS_MAX)
        os.kill(primary.process.pid, signal.SIGCONT)
        assert sleeping.result()
        error = level.exception()
    assert isinstance(error, grpc.RpcError)
    assert Refused(error).metadata["primary"] == standby.address
    wait_until(lambda: status(primary).role == admin.ROLE_STANDBY and status(primary).seq_applied == told.seq)
    assert digest(primary) == digest(standby)
    standby.kill()
    wait_until(lambda: is_primary(primary))
    with Client(primary.address) as client, pytest.raises(Refused, match="0 available"):
        reserve(client, new_id(), 1)


def test_a_second_primary_does_not_start(pair: Pair) -> None:
    primary = pair.engine()
    with pytest.raises(RuntimeError, match="exit code 1"):
        pair.engine()
    assert primary.address in (pair.folder / "engine-1.log").read_text()
    assert is_primary(primary)


def test_an_engine_that_was_killed_starts_again_when_its_lease_ran_out(pair: Pair) -> None:
    primary = pair.engine()
    with Client(primary.address) as client:
        stock(client)
    primary.kill()
    assert is_primary(pair.engine())


def test_digests_are_told_in_the_journal_and_compared(pair: Pair) -> None:
    primary = pair.engine()
    standby = pair.engine("--standby")
    with Client(primary.address) as client:
        stock(client)
        checkpoint(client)
        wait_until(lambda: status(primary).snapshot_seq > 0)
        reserve(client, new_id())
        reserve(client, new_id())
    wait_until(lambda: status(standby).digests_compared_count == 1)


def test_a_standby_follows_over_a_trim(pair: Pair) -> None:
    primary = pair.engine("--snapshots-kept", "1")
    standby = pair.engine("--standby")
    with Client(primary.address) as client:
        stock(client, 1_000)
        for _ in range(3):
            told = reserve(client, new_id())
            checkpoint(client)
            wait_until(lambda told=told: status(primary).snapshot_seq >= told.seq)
        wait_until(lambda: status(primary).trimmed_seq > 0)
        last = reserve(client, new_id())
    wait_until(lambda: status(standby).seq_applied == last.seq)
    assert digest(standby) == digest(primary)


def test_a_full_journal_server_is_helped_by_a_snapshot(pair: Pair) -> None:
    primary = pair.engine("--snapshots-kept", "1")
    with Client(primary.address) as client:
        stock(client, 1_000)
        first = reserve(client, new_id())
        used = int(status(primary).journal_server_used_bytes or 0) or 2_000_000
        pair.call_server("CONFIG", "SET", "maxmemory", used + 300_000)
        told, refused = [first], 0
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while len(told) < 400 and time.monotonic() < deadline:
            try:
                told.append(reserve(client, new_id()))
            except Refused as error:
                assert error.reason == "JOURNAL_UNAVAILABLE"  # noqa: PT017 - any other answer is wrong
                refused += 1
    assert len(told) == 400
    assert len({each.reservation_id for each in told}) == 400
    assert digest(primary)
