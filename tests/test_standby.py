"""Two engines of one shard: who answers, who follows, and what happens when the primary is gone, asleep or replaced."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import grpc
import psutil
import pytest
from engines import ForkedEngine
from faults.planted import FATAL_UNITS
from faults.processes import WAIT_SECONDS, stopped, wait_until
from grpc_health.v1 import health_pb2, health_pb2_grpc
from harness import Client, Refused, new_id
from onhand.admin.v1 import admin_service_pb2 as admin
from onhand.inventory.v1 import inventory_service_pb2 as inventory

from engine.launch import EngineProcess
from ledger.journal.connection import Address, JournalConnection
from ledger.journal.embedded import EmbeddedServer
from ledger.journal.server_check import parse_info

ROOT = Path(__file__).parent.parent
LEASE_SECONDS = 2.0
STANDBY_FORGOTTEN_SECONDS = 60.0
"""How long the journal server remembers a standby that reports no more."""
"""Long enough for a busy machine to renew it in time."""


class Pair:
    """A journal server and the engines that use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = EmbeddedServer(folder / "journal")
        self.server.start()
        self.engines: list[ForkedEngine] = []

    def engine(self, *flags: str) -> ForkedEngine:
        """An engine, started."""
        made = self._made(f"engine-{len(self.engines)}", *flags)
        self.engines.append(made)
        made.start()
        return made

    def another(self) -> ForkedEngine:
        """An engine that is not expected to start."""
        return self._made("another")

    def _made(self, name: str, *flags: str) -> ForkedEngine:
        return ForkedEngine(
            [
                *("--port", "0", "--journal", self.server.url, "--data-folder", str(self.folder / name)),
                *("--lease-seconds", str(LEASE_SECONDS), *flags),
            ],
            log_file=self.folder / f"{name}.log",
        )

    def data_folder(self, engine: ForkedEngine) -> Path:
        return self.folder / f"engine-{self.engines.index(engine)}"

    def call_server(self, *words: bytes | str | int) -> Any:
        connection = JournalConnection(Address(self.server.url), WAIT_SECONDS)
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
def lone(tmp_path: Path) -> Iterator[Pair]:
    """A journal server of the test's own, without engines."""
    made = Pair(tmp_path)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two engines that stand by: whoever comes first leads. They change roles from test to test."""
    made = Pair(tmp_path_factory.mktemp("pair"))
    for _ in range(2):
        made.engine("--standby", "--snapshots-kept", "1")
    yield made
    made.stop()


@pytest.fixture
def pair(shared: Pair) -> tuple[ForkedEngine, ForkedEngine]:
    """The primary and the standby, as it is now."""
    for engine in shared.engines:
        if engine.process is None or engine.process.poll() is not None:
            engine.start()
    wait_until(lambda: sorted(map(is_primary, shared.engines)) == [False, True])
    primary, standby = sorted(shared.engines, key=is_primary, reverse=True)
    return primary, standby


def status(engine: ForkedEngine) -> Any:
    with Client(engine.address) as client:
        return client.status()


def digest(engine: ForkedEngine) -> tuple[int, str]:
    with Client(engine.address) as client:
        found = client.verify()
    assert found.ok
    return found.seq, found.digest


def is_primary(engine: ForkedEngine) -> bool:
    try:
        return bool(status(engine).role == admin.ROLE_PRIMARY)
    except Refused:
        return False


def health(engine: ForkedEngine, name: str) -> bool:
    """Whether an engine is SERVING under a name."""
    with Client(engine.address) as client:
        request = health_pb2.HealthCheckRequest(service=name)
        answer = health_pb2_grpc.HealthStub(client.channel).Check(request, timeout=WAIT_SECONDS)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def logged(path: Path) -> list[dict[str, Any]]:
    """The lines of a log that are JSON."""
    return [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]


def stock(engine: ForkedEngine, units: int = 100) -> Client:
    """A client of an engine, with one sku at one location that are its own."""
    client = Client(engine.address, prefix=f"{new_id()[:8]}-")
    client.sku("A")
    client.location("X")
    client.receive("A", "X", units)
    return client


def same_client(client: Client, engine: ForkedEngine) -> Client:
    """The same sku and location at another engine."""
    return Client(engine.address, prefix=client.prefix)


def reserve(client: Client, units: int = 1, request_id: str = "") -> Any:
    return client.reserve(("A", "X", units), request_id=request_id or new_id())


def trim(client: Client, engine: ForkedEngine) -> None:
    """Let a snapshot be taken, and what is older leave the journal.

    A standby that a test before this one killed, and started again at another port, is waited for during a minute.
    """
    before, told = status(engine).trimmed_seq, reserve(client)
    client.call(client.admin.Checkpoint, admin.CheckpointRequest())
    wait_until(
        lambda: status(engine).snapshot_seq >= told.seq and status(engine).trimmed_seq > before,
        "the journal is trimmed",
        WAIT_SECONDS + STANDBY_FORGOTTEN_SECONDS,
    )


def test_a_standby_follows_and_refuses_with_the_primarys_address(pair: tuple[ForkedEngine, ForkedEngine]) -> None:
    primary, standby = pair
    with stock(primary) as client:
        last = reserve(client)
        wait_until(lambda: status(standby).seq_applied >= last.seq)
        assert digest(standby) == digest(primary)
        with same_client(client, standby) as turned_away, pytest.raises(Refused) as refused:
            reserve(turned_away)
    assert refused.value.reason == "NOT_PRIMARY"
    assert refused.value.metadata["primary"] == primary.address
    assert refused.value.code == grpc.StatusCode.FAILED_PRECONDITION
    assert status(standby).primary_address == primary.address
    assert status(standby).role == admin.ROLE_STANDBY
    # one that another test stopped may still be told, for a minute
    wait_until(lambda: (standby.address, 0) in [(each.address, each.lag) for each in status(primary).standbys])


def test_a_second_primary_does_not_start(shared: Pair, pair: tuple[ForkedEngine, ForkedEngine]) -> None:
    other = shared.another()
    with pytest.raises(RuntimeError, match=f"exit code {os.EX_TEMPFAIL}"):
        other.start()
    told = (shared.folder / "another.log").read_text()
    (waits,) = [each for each in logged(shared.folder / "another.log") if each["event"] == "waiting for the lease"]
    assert (waits["holder"], waits["seconds_max"]) == (pair[0].address, LEASE_SECONDS + 1)
    assert told.splitlines()[-1].startswith("Journal ")
    assert is_primary(pair[0])


def test_probes_find_both_roles_ready_and_the_primary_alone_serving(pair: tuple[ForkedEngine, ForkedEngine]) -> None:
    wait_until(lambda: all(health(engine, "readiness") for engine in pair))
    for engine, leads in zip(pair, (True, False), strict=True):
        assert health(engine, "liveness")
        assert health(engine, "") == health(engine, "onhand.inventory.v1.ReservationService") == leads


def test_a_standby_is_ready_while_it_can_follow(lone: Pair) -> None:
    primary, standby = lone.engine(), lone.engine("--standby")
    wait_until(lambda: health(primary, "readiness") and health(standby, "readiness"))
    server = psutil.Process(int(parse_info(lone.call_server("INFO", "server"))["process_id"]))
    with stopped(server):
        wait_until(lambda: not health(primary, "readiness") and not health(standby, "readiness"))
        assert health(primary, "liveness")
        assert health(standby, "liveness")
    wait_until(lambda: health(primary, "readiness") and health(standby, "readiness"))


def test_the_log_says_who_has_which_role_and_the_first_of_all_takes_over_without_a_warning(lone: Pair) -> None:
    first = lone.engine("--standby")
    wait_until(lambda: is_primary(first))
    second = lone.engine("--standby")
    wait_until(lambda: len(status(first).standbys) == 1)
    first.stop()
    wait_until(lambda: is_primary(second))
    logs = [logged(lone.folder / f"engine-{number}.log") for number in (0, 1)]
    told = [[(each["event"], each["level"], each.get("role")) for each in log] for log in logs]
    assert ("standing by", "info", "standby") in told[0]
    assert ("serving", "info", "standby") in told[0]
    assert ("took over", "info", "primary") in told[0]
    assert ("took over", "warning", "primary") in told[1]
    (took,) = [each for each in logs[1] if each["event"] == "took over"]
    assert took["epoch"] == 2


@pytest.mark.parametrize("expected", [0, 1])
def test_the_status_says_that_no_standby_follows_where_one_should(lone: Pair, expected: int) -> None:
    engine = lone.engine("--standbys-min", str(expected), "--checkpoint-journal-bytes", "1TiB")
    told = list(status(engine).warnings)
    assert [each for each in told if "standby" in each] == ["no standby follows: expected 1 (standbys_min)"] * expected
    (room,) = [each for each in told if "disk" in each]
    assert str(lone.data_folder(engine)) in room
    assert "expected 1.0TiB or more" in room


def test_digests_are_told_in_the_journal_and_compared_also_over_trims(
    pair: tuple[ForkedEngine, ForkedEngine],
) -> None:
    primary, standby = pair
    compared = status(standby).digests_compared_count
    with stock(primary) as client:
        for _ in range(2):
            trim(client, primary)
        reserve(client)
        last = reserve(client)
    wait_until(lambda: status(standby).seq_applied >= last.seq)
    assert status(standby).digests_compared_count >= compared + 2
    assert digest(standby) == digest(primary)


def test_a_standby_without_a_snapshot_fetches_one_when_the_journal_is_trimmed(
    shared: Pair, pair: tuple[ForkedEngine, ForkedEngine]
) -> None:
    primary, standby = pair
    with stock(primary) as client:
        trim(client, primary)
        last = reserve(client)
    standby.kill()
    shutil.rmtree(shared.data_folder(standby), ignore_errors=True)
    standby.start()
    assert list((shared.data_folder(standby) / "snapshots").glob("*.snapshot"))
    assert status(standby).seq_applied >= last.seq
    assert digest(standby) == digest(primary)


def test_a_primary_that_sleeps_beyond_its_lease_answers_nothing_and_follows(
    pair: tuple[ForkedEngine, ForkedEngine],
) -> None:
    primary, standby = pair
    assert primary.process is not None
    with stock(primary) as client:
        with stopped(primary.process):
            wait_until(lambda: is_primary(standby))
            with same_client(client, standby) as heir:
                told = reserve(heir, 100)
            asked = inventory.GetStockLevelRequest(sku_id=client.name("A"), location_id=client.name("X"))
            level = client.inventory.GetStockLevel.future(asked, timeout=WAIT_SECONDS)
        error = level.exception()
    assert isinstance(error, grpc.RpcError)
    assert Refused(error).metadata["primary"] == standby.address
    wait_until(lambda: status(primary).role == admin.ROLE_STANDBY and status(primary).seq_applied >= told.seq)
    assert digest(primary) == digest(standby)


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_standby_takes_over(pair: tuple[ForkedEngine, ForkedEngine], how: str) -> None:
    primary, standby = pair
    request_id, epoch = new_id(), status(primary).epoch
    with stock(primary) as client:
        told = reserve(client, 40, request_id)
        with pytest.raises(Refused):
            reserve(client, 61)
        getattr(primary, how)()
        wait_until(lambda: is_primary(standby))
        with same_client(client, standby) as heir:
            assert reserve(heir, 40, request_id) == told
            assert reserve(heir, 60).seq > told.seq
            with pytest.raises(Refused, match="0 available"):
                reserve(heir)
    assert status(standby).primary_address == standby.address
    assert status(standby).epoch == epoch + 1


def test_an_engine_that_was_killed_starts_again_when_its_lease_ran_out(lone: Pair) -> None:
    engine = lone.engine()
    with stock(engine) as client:
        last = reserve(client)
    engine.kill()
    engine.start()
    assert status(engine).seq_applied >= last.seq


def test_engines_with_a_journal_that_is_gone_stop(lone: Pair) -> None:
    """It did not go backwards: it is gone, and a person must put it back."""
    engines = [lone.engine(), lone.engine("--standby")]
    with stock(engines[0]) as client:
        last = reserve(client)
    wait_until(lambda: status(engines[1]).seq_applied >= last.seq)
    lone.call_server("FLUSHALL")
    for engine in engines:
        assert engine.process is not None
        assert engine.process.wait(WAIT_SECONDS) == os.EX_DATAERR
        engine.stop()


def test_one_data_folder_has_one_engine(lone: Pair) -> None:
    folder = lone.data_folder(lone.engine())
    with pytest.raises(RuntimeError, match=f"exit code {os.EX_TEMPFAIL}"):
        lone.engine("--standby", "--data-folder", str(folder))
    assert "in use by another engine" in (lone.folder / "engine-1.log").read_text()


def test_a_damaged_segment_is_named(lone: Pair) -> None:
    engine = lone.engine("--snapshots-kept", "1")
    with stock(engine) as client:
        trim(client, engine)
        (segment,) = (lone.data_folder(engine) / "history").glob("*.segment")
        segment.write_bytes(segment.read_bytes()[:-9] + b"damaged!!")
        with pytest.raises(Refused, match=segment.name) as refused:
            client.movements()
        assert refused.value.reason == "LEDGER_CORRUPT"
        assert reserve(client)


def test_a_full_journal_server_is_helped_by_a_snapshot(lone: Pair) -> None:
    engine = lone.engine("--snapshots-kept", "1")
    with stock(engine, 1_000) as client:
        wait_until(lambda: status(engine).journal_server_used_bytes > 0)
        lone.call_server("CONFIG", "SET", "maxmemory", status(engine).journal_server_used_bytes + 300_000)
        told: list[Any] = []
        deadline = time.monotonic() + WAIT_SECONDS
        while len(told) < 400 and time.monotonic() < deadline:
            try:
                told.append(reserve(client))
            except Refused as error:
                assert error.reason == "JOURNAL_UNAVAILABLE"  # noqa: PT017 - any other answer is wrong
    assert len({each.reservation_id for each in told}) == 400
    assert digest(engine)


# ---- an engine that breaks -------------------------------------------------------------------------------------------


class FailingEngine(EngineProcess):
    """An engine whose kernel of commands fails when it has recorded FATAL_UNITS."""

    def _spawn(self, errors: IO[str] | None) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.faults.planted", "fail-inside-a-write", *self._flags]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT)


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["native", "grpcio"])
def test_an_engine_that_breaks_ends_with_code_70_and_its_standby_goes_on(lone: Pair, transport: str) -> None:
    flags = ["--port", "0", "--journal", lone.server.url, "--data-folder", str(lone.folder / "failing")]
    more = ["--lease-seconds", str(LEASE_SECONDS), "--transport", transport]
    with FailingEngine([*flags, *more], log_file=lone.folder / "failing.log") as failing:
        with Client(failing.address) as client:
            client.sku("A")
            client.location("X")
            client.receive("A", "X", 5)
        standby = lone.engine("--standby", "--transport", transport)
        with Client(failing.address) as client:
            held = client.reserve(("A", "X", 2)).reservation_id
            with pytest.raises(Refused) as refused:
                client.receive("A", "X", FATAL_UNITS)
        assert refused.value.reason == "DRAINING"
        assert failing.process is not None
        assert failing.process.wait(WAIT_SECONDS) == os.EX_SOFTWARE
    wait_until(lambda: is_primary(standby))
    with Client(standby.address) as client:
        assert client.level("A", "X").on_hand == 5
        assert [line.quantity for line in client.get(held).lines] == [2]
        assert not client.verify().violations
    assert "the ledger broke" in (lone.folder / "failing.log").read_text()
