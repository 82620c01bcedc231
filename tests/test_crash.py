"""Engines and journal servers that die under load: what clients were told is there afterwards, and nothing is half done.

Every client keeps a history of what it asked and what it was told. After a crash it repeats what it got no answer to,
under the same request id; then the whole history is held against the engine that came up.
"""

import os
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import grpc
import psutil
import pytest
from google.protobuf.message import Message
from harness import Client, Refused, new_id
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_pb2
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.inventory.v1 import stock_pb2 as stock

from engine.launch import EngineProcess
from ledger.journal.connection import Address, JournalConnection
from ledger.journal.embedded import EmbeddedServer

WAIT_SECONDS_MAX = 30.0
SKUS = ("A", "B", "C")
LOCATIONS = ("X", "Y")
ON_HAND = 100_000
CLIENTS = 8
JOURNAL = "{onhand:0}:journal"


def wait_until(holds: Callable[[], bool], timeout_seconds: float = WAIT_SECONDS_MAX) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not holds():
        assert time.monotonic() < deadline, "the condition waited for never came true"
        time.sleep(0.005)


# ---- engines ---------------------------------------------------------------------------------------------------------


class Folder:
    """A data folder and the engines that live in it, one after the other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "engine.log"
        path.mkdir(exist_ok=True)

    def engine(self, *flags: str) -> EngineProcess:
        return EngineProcess(["--port", "0", "--data-folder", str(self.path / "data"), *flags], log_file=self.log)


@pytest.fixture
def folder(tmp_path) -> Iterator[Folder]:
    """Its engines and servers are gone when the test is over, however it ended."""
    made = Folder(tmp_path / "engine")
    yield made
    mine = [process for process in psutil.Process().children(recursive=True) if str(made.path) in cwd_of(process)]
    orphans = [process for process in psutil.process_iter() if str(made.path) in cwd_of(process)]
    for process in {*mine, *orphans}:
        process.kill()
        process.wait(WAIT_SECONDS_MAX)


def cwd_of(process: psutil.Process) -> str:
    try:
        return process.cwd()
    except psutil.Error:
        return ""


def journal_server(engine: EngineProcess) -> psutil.Process:
    assert engine.process is not None
    (server,) = psutil.Process(engine.process.pid).children()
    assert "server" in server.name()
    return server


# ---- histories -------------------------------------------------------------------------------------------------------


class Told(NamedTuple):
    """What a client was told: the bytes of a response, or reason, message and shortages of a refusal."""

    response: bytes
    refusal: tuple[Any, ...]


class Asked(NamedTuple):
    """One write of a client; `told` is None where it got no answer."""

    method: str
    request: Any
    told: Told | None


def send(client: Client, method: str, request: Message) -> Told | None:
    """Call once; None where it is not known what came of it."""
    stub = client.inventory if method == "RecordMovements" else client.reservations
    try:
        return Told(client.call(getattr(stub, method), request).SerializeToString(), ())
    except Refused as refused:
        if refused.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
            if refused.reason:
                assert refused.reason in ("JOURNAL_UNAVAILABLE", "DRAINING")
                assert refused.retry_seconds > 0 or refused.reason == "DRAINING"
            return None
        assert refused.code is grpc.StatusCode.FAILED_PRECONDITION, refused
        return Told(b"", (refused.reason, refused.message, *refused.shortages))


class Hold:
    """A reservation as its one client knows it."""

    def __init__(self, lines: Sequence[tuple[str, str, int]]) -> None:
        self.lines = sorted(lines)
        self.state = reservation_pb2.RESERVATION_STATE_ACTIVE
        self.is_open = True
        self.fulfilled = False
        self.version = 1

    def change(self, method: str) -> None:
        """Follow a call that was acknowledged."""
        self.version += 1
        if method == "CommitReservation":
            self.state = reservation_pb2.RESERVATION_STATE_COMMITTED
            return
        self.is_open = False
        if method == "ReleaseReservation":
            self.state = reservation_pb2.RESERVATION_STATE_RELEASED
        self.fulfilled = method == "FulfillCommitment"


class Shopper:
    """One client of a load: random writes, a history of them, and what must be there because of it."""

    def __init__(self, number: int) -> None:
        self._chance = Random(number)
        self.history: list[Asked] = []
        self.holds: dict[str, Hold] = {}
        self.sold: Counter[tuple[str, str]] = Counter()
        self._last_seq = 0

    # asking

    def shop(self, client: Client) -> bool:
        """Ask for one thing; False if there was no answer: then nothing else may be asked before `repeat`."""
        method, request = self._next()
        told = send(client, method, request)
        self.history.append(Asked(method, request, told))
        if told:
            self._believe(method, request, told)
        return told is not None

    def is_in_doubt(self) -> bool:
        return bool(self.history) and self.history[-1].told is None

    def repeat(self, client: Client) -> bool:
        """Ask again what there was no answer to, with the same bytes; False if there is none again."""
        asked = self.history.pop()
        assert asked.told is None
        told = send(client, asked.method, asked.request)
        self.history.append(asked._replace(told=told))
        if told:
            self._believe(asked.method, asked.request, told)
        return told is not None

    def _next(self) -> tuple[str, Any]:
        holds = [name for name, hold in self.holds.items() if hold.is_open]
        draw = self._chance.random()
        if holds and draw < 0.35:
            name = self._chance.choice(holds)
            if self.holds[name].state == reservation_pb2.RESERVATION_STATE_ACTIVE:
                method = self._chance.choice(["CommitReservation", "CommitReservation", "ReleaseReservation"])
            else:
                method = self._chance.choice(["FulfillCommitment", "CancelCommitment"])
            return method, getattr(reservations, f"{method}Request")(reservation_id=name, request_id=new_id())
        if draw < 0.55:
            return "RecordMovements", inventory.RecordMovementsRequest(
                movements=[
                    inventory.NewMovement(
                        type=stock.MOVEMENT_TYPE_SALE, sku_id=sku, location_id=location, quantity=units
                    )
                    for sku, location, units in self._lines()
                ],
                request_id=new_id(),
                reference="receipt",
            )
        units = ON_HAND * 2 if draw > 0.92 else 0
        request = reservations.ReserveStockRequest(request_id=new_id(), actor="shopper")
        request.ttl.FromSeconds(3_600)
        for sku, location, quantity in self._lines():
            request.lines.add(sku_id=sku, location_id=location, quantity=quantity + units)
        return "ReserveStock", request

    def _lines(self) -> list[tuple[str, str, int]]:
        levels = self._chance.sample([(sku, place) for sku in SKUS for place in LOCATIONS], self._chance.randint(1, 4))
        return [(*level, self._chance.randint(1, 5)) for level in levels]

    # believing

    def _believe(self, method: str, request: Any, told: Told) -> None:
        if told.refusal:
            assert told.refusal[0] == "INSUFFICIENT_STOCK"
            assert request.lines[0].quantity > ON_HAND
            return
        if method == "RecordMovements":
            response: Any = inventory.RecordMovementsResponse.FromString(told.response)
            for movement in request.movements:
                self.sold[movement.sku_id, movement.location_id] += movement.quantity
        else:
            response = getattr(reservations, f"{method}Response").FromString(told.response)
            if method == "ReserveStock":
                lines = [(line.sku_id, line.location_id, line.quantity) for line in request.lines]
                assert response.reservation_id not in self.holds
                self.holds[response.reservation_id] = Hold(lines)
            else:
                hold = self.holds[request.reservation_id]
                hold.change(method)
                assert (response.state, response.version) == (hold.state, hold.version)
                if hold.fulfilled:
                    for sku, location, units in hold.lines:
                        self.sold[sku, location] += units
        assert response.seq > self._last_seq, "a later write of one client has a later seq"
        self._last_seq = response.seq


class Load:
    """Shoppers, and what all of them together must find."""

    def __init__(self, shoppers: int = CLIENTS) -> None:
        self.shoppers = [Shopper(number) for number in range(shoppers)]
        self.answered_count = 0
        self._lock = threading.Lock()

    @staticmethod
    def stock_up(client: Client) -> None:
        client.sku(*SKUS)
        client.location(*LOCATIONS)
        for sku in SKUS:
            for location in LOCATIONS:
                client.receive(sku, location, ON_HAND)

    @contextmanager
    def running(self, address: str, *, again: bool = False) -> Iterator[None]:
        """Let all shop until each got no answer; with `again` they repeat and go on, until the block is left."""
        left = threading.Event()
        with ThreadPoolExecutor(len(self.shoppers)) as pool:
            running = [pool.submit(self._run, shopper, address, left, again) for shopper in self.shoppers]
            try:
                yield
            finally:
                left.set()
                for each in running:
                    each.result(WAIT_SECONDS_MAX)

    def _run(self, shopper: Shopper, address: str, left: threading.Event, again: bool) -> None:
        with Client(address) as client:
            while not (again and left.is_set()):
                answered = shopper.repeat(client) if shopper.is_in_doubt() else shopper.shop(client)
                if not answered and not again:
                    return
                with self._lock:
                    self.answered_count += answered

    def wait_for_answers(self, count: int) -> None:
        """Wait until so many more writes were answered."""
        target = self.answered_count + count
        wait_until(lambda: self.answered_count >= target)

    def settle(self, client: Client) -> None:
        """Repeat what is in doubt. It happened before, whole, or it happens now."""
        for shopper in self.shoppers:
            if shopper.is_in_doubt():
                self._settle_one(shopper, client)

    def _settle_one(self, shopper: Shopper, client: Client) -> None:
        seq, ids = client.verify().seq, {each.reservation_id for each in list_all(client)}
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while not shopper.repeat(client):
            assert time.monotonic() < deadline
        told = shopper.history[-1].told
        assert told is not None
        if shopper.history[-1].method == "ReserveStock" and not told.refusal:
            response = reservations.ReserveStockResponse.FromString(told.response)
            assert (response.reservation_id in ids) == (response.seq <= seq)
            assert client.get(response.reservation_id).version == 1

    def check(self, client: Client) -> None:
        """Hold all histories against the engine."""
        holds = {name: hold for shopper in self.shoppers for name, hold in shopper.holds.items()}
        found = {each.reservation_id: each for each in list_all(client)}
        assert found.keys() == holds.keys()
        sold = sum((shopper.sold for shopper in self.shoppers), Counter())
        held: Counter[tuple[int, str, str]] = Counter()
        for name, hold in holds.items():
            check_hold(found[name], hold)
            if hold.is_open:
                for sku, location, units in hold.lines:
                    held[hold.state, sku, location] += units
        for sku in SKUS:
            for location in LOCATIONS:
                level = client.level(sku, location)
                assert level.on_hand == ON_HAND - sold[sku, location]
                assert level.reserved == held[reservation_pb2.RESERVATION_STATE_ACTIVE, sku, location]
                assert level.committed == held[reservation_pb2.RESERVATION_STATE_COMMITTED, sku, location]
        assert client.verify().ok

    def check_without_doubt(self, client: Client) -> None:
        """Before anything is repeated: what was acknowledged is there, and of what is in doubt no half."""
        found = {each.reservation_id: each for each in list_all(client)}
        for shopper in self.shoppers:
            doubtful = shopper.history[-1] if shopper.is_in_doubt() else None
            for name, hold in shopper.holds.items():
                if doubtful is None or getattr(doubtful.request, "reservation_id", "") != name:
                    check_hold(found.pop(name), hold)
                else:
                    found.pop(name)
        doubtful_lines = [
            sorted((line.sku_id, line.location_id, line.quantity) for line in shopper.history[-1].request.lines)
            for shopper in self.shoppers
            if shopper.is_in_doubt() and shopper.history[-1].method == "ReserveStock"
        ]
        for extra in found.values():
            doubtful_lines.remove(sorted((line.sku_id, line.location_id, line.quantity) for line in extra.lines))

    def check_repeats(self, client: Client) -> None:
        """Whatever is asked again is answered as it was, refusals too, and changes nothing."""
        before = client.verify()
        chance = Random(1)
        for shopper in self.shoppers:
            for asked in chance.sample(shopper.history, min(25, len(shopper.history))):
                assert send(client, asked.method, asked.request) == asked.told
        assert client.verify().digest == before.digest


def check_hold(found: reservation_pb2.Reservation, hold: Hold) -> None:
    assert found.state == hold.state
    assert found.version == hold.version
    assert sorted((line.sku_id, line.location_id, line.quantity) for line in found.lines) == hold.lines
    for line in found.lines:
        assert line.open_quantity == (line.quantity if hold.is_open else 0)
        assert line.fulfilled_quantity == (line.quantity if hold.fulfilled else 0)


def list_all(client: Client) -> list[reservation_pb2.Reservation]:
    found: list[reservation_pb2.Reservation] = []
    token = ""
    while True:
        request = reservations.ListReservationsRequest(page_size=1_000, page_token=token)
        page = client.call(client.reservations.ListReservations, request)
        found.extend(page.reservations)
        token = page.next_page_token
        if not token:
            return found


def position(client: Client) -> tuple[int, str]:
    verified = client.verify()
    assert verified.ok
    return verified.seq, verified.digest


def stop_cleanly(engine: EngineProcess) -> None:
    assert engine.stop() == 0


# ---- the engine dies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("transport", "rounds"), [("native", 4), ("grpcio", 2)])
def test_kill_under_load(folder, transport, rounds):
    load = Load()
    for number in range(rounds):
        engine = folder.engine("--transport", transport)
        engine.start()
        with Client(engine.address) as client:
            if number == 0:
                load.stock_up(client)
            load.check_without_doubt(client)
            load.settle(client)
            load.check(client)
            load.check_repeats(client)
        with load.running(engine.address):
            load.wait_for_answers(200)
            assert engine.kill() == -signal.SIGKILL
        assert any(shopper.is_in_doubt() for shopper in load.shoppers)
    with folder.engine("--transport", transport) as engine, Client(engine.address) as client:
        load.settle(client)
        load.check(client)
        load.check_repeats(client)
        before = position(client)
        stop_cleanly(engine)
    with folder.engine("--transport", transport) as engine, Client(engine.address) as client:
        assert position(client) == before
        load.check(client)


def test_engine_and_journal_server_killed_together(folder):
    """As a machine that stops, short of its disk: what was fsynced is there."""
    load = Load()
    with folder.engine() as engine, Client(engine.address) as client:
        load.stock_up(client)
        server = journal_server(engine)
        with load.running(engine.address):
            load.wait_for_answers(200)
            server.kill()
            engine.kill()
    server.wait(WAIT_SECONDS_MAX)
    with folder.engine() as engine, Client(engine.address) as client:
        load.settle(client)
        load.check(client)
        load.check_repeats(client)
        stop_cleanly(engine)


@pytest.mark.parametrize("transport", ["native", "grpcio"])
def test_stop_under_load(folder, transport):
    load = Load()
    with folder.engine("--transport", transport) as engine, Client(engine.address) as client:
        load.stock_up(client)
        with load.running(engine.address):
            load.wait_for_answers(200)
            stop_cleanly(engine)
    with folder.engine("--transport", transport) as engine, Client(engine.address) as client:
        load.check_without_doubt(client)
        load.settle(client)
        load.check(client)
        load.check_repeats(client)
        stop_cleanly(engine)


# ---- the journal server dies, or hangs -------------------------------------------------------------------------------


def test_journal_server_killed_under_load(folder):
    load = Load()
    with folder.engine() as engine, Client(engine.address) as client:
        load.stock_up(client)
        with load.running(engine.address, again=True):
            for _ in range(4):
                load.wait_for_answers(100)
                server = journal_server(engine)
                server.kill()
                wait_until(lambda server=server: not server.is_running())
                load.wait_for_answers(100)
        load.settle(client)
        load.check(client)
        load.check_repeats(client)
        before = position(client)
        stop_cleanly(engine)
    with folder.engine() as engine, Client(engine.address) as client:
        assert position(client) == before


def test_journal_server_killed_between_calls(folder):
    """Nobody writes while it is away: the next call, of any kind, finds the engine whole."""
    with folder.engine() as engine, Client(engine.address) as client:
        Load.stock_up(client)
        kill_and_wait(journal_server(engine))
        assert client.level("A", "X").on_hand == ON_HAND
        with pytest.raises(Refused) as refused:
            client.movements()
        assert refused.value.reason == "JOURNAL_UNAVAILABLE"
        assert client.reserve(("A", "X", 1)).reservation_id
        assert len(client.movements()) == len(SKUS) * len(LOCATIONS) + 1
        stop_cleanly(engine)


def kill_and_wait(server: psutil.Process) -> None:
    server.kill()
    wait_until(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)


@contextmanager
def stopped(server: psutil.Process) -> Iterator[None]:
    server.suspend()
    try:
        yield
    finally:
        server.resume()


def test_journal_server_hangs_longer_than_its_timeout(folder):
    """The append in flight is settled once the server answers again: it is told late, and there once."""
    flags = ("--journal-timeout-seconds", "0.5")
    with folder.engine(*flags) as engine, Client(engine.address) as client, ThreadPoolExecutor(1) as pool:
        Load.stock_up(client)
        name = new_id()
        seq = client.verify().seq
        with stopped(journal_server(engine)):
            write = pool.submit(client.reserve, ("A", "X", 3), ("B", "Y", 2), request_id=name)
            wait_until(lambda: "journal unsettled" in folder.log.read_text())
            assert not write.done()
        made = write.result(WAIT_SECONDS_MAX)
        assert made.seq == seq + 1
        assert client.reserve(("A", "X", 3), ("B", "Y", 2), request_id=name) == made
        assert client.level("A", "X").reserved == 3
        assert len(list_all(client)) == 1
        before = position(client)
        assert before[0] == made.seq
        stop_cleanly(engine)
    with folder.engine() as engine, Client(engine.address) as client:
        assert position(client) == before


def test_callers_are_refused_while_the_journal_server_hangs(folder):
    """Who calls meanwhile hears that it may be repeated, long before a usual deadline."""
    flags = ("--journal-timeout-seconds", "0.5")
    with folder.engine(*flags) as engine, Client(engine.address) as client, ThreadPoolExecutor(1) as pool:
        Load.stock_up(client)
        with stopped(journal_server(engine)):
            write = pool.submit(client.reserve, ("A", "X", 3))
            wait_until(lambda: "journal unsettled" in folder.log.read_text())
            with pytest.raises(Refused) as refused:
                client.call(client.reservations.ReserveStock, client.reserve_request(("A", "X", 1)), timeout=8)
            assert refused.value.reason == "JOURNAL_UNAVAILABLE"
            assert refused.value.retry_seconds > 0
        assert write.result(WAIT_SECONDS_MAX).reservation_id


def test_an_engine_whose_journal_server_hangs_can_be_stopped(folder):
    flags = ("--journal-timeout-seconds", "0.5", "--drain-seconds", "1")
    with folder.engine(*flags) as engine, Client(engine.address) as client, ThreadPoolExecutor(1) as pool:
        Load.stock_up(client)
        server = journal_server(engine)
        assert engine.process is not None
        with stopped(server):
            write = pool.submit(send, client, "ReserveStock", client.reserve_request(("A", "X", 3)))
            wait_until(lambda: "journal unsettled" in folder.log.read_text())
            engine.process.terminate()
            assert write.result(WAIT_SECONDS_MAX) is None
        assert engine.process.wait(WAIT_SECONDS_MAX) in (0, 1)


def test_journal_server_hangs_under_load(folder):
    load = Load()
    with folder.engine("--journal-timeout-seconds", "0.5") as engine, Client(engine.address) as client:
        load.stock_up(client)
        with load.running(engine.address, again=True):
            for number in range(1, 4):
                load.wait_for_answers(100)
                with stopped(journal_server(engine)):
                    wait_until(lambda number=number: folder.log.read_text().count("journal unsettled") >= number)
            load.wait_for_answers(100)
        load.settle(client)
        load.check(client)
        load.check_repeats(client)
        stop_cleanly(engine)


# ---- two engines, one journal ----------------------------------------------------------------------------------------


def test_a_second_engine_takes_over(folder, tmp_path):
    load = Load()
    with EmbeddedServer(tmp_path / "journal") as server:
        flags = ("--journal", server.url, "--drain-seconds", "0.5")
        with folder.engine(*flags) as older, Client(older.address) as client:
            load.stock_up(client)
            with load.running(older.address):
                load.wait_for_answers(100)
                newer = folder.engine(*flags)
                newer.start()  # the older one serves until this one is the writer
            assert older.process is not None
            assert older.process.wait(WAIT_SECONDS_MAX) == 1
        assert "another writer took over" in folder.log.read_text()
        with newer, Client(newer.address) as client:
            assert client.status().epoch == 2
            load.settle(client)
            load.check(client)
            load.check_repeats(client)
            before = position(client)
            stop_cleanly(newer)
        with folder.engine(*flags) as engine, Client(engine.address) as client:
            assert position(client) == before


def test_a_data_folder_has_one_engine(folder):
    with folder.engine() as engine, Client(engine.address) as client:
        with pytest.raises(RuntimeError, match="exit code 1"):
            folder.engine().start()
        assert str(folder.path / "data") in folder.log.read_text()
        Load.stock_up(client)
        assert client.verify().ok
        stop_cleanly(engine)


# ---- a journal that is not what was written --------------------------------------------------------------------------


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
        connection = JournalConnection(Address(server.url), WAIT_SECONDS_MAX)
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
        payloads[-1], payloads[-2] = payloads[-2], payloads[-1]
        for (name, _), payload in zip(rows, payloads, strict=True):
            connection.call("XADD", JOURNAL, name, "entry", payload)


@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        (flip_in_an_entry, "checksum chain: expected"),
        (flip_in_the_framing, "ended with exit code 1"),
        (delete_the_stream, "written to, or deleted, by another hand"),
        (delete_an_entry, "checksum chain: expected"),
        (delete_the_first_entries, "checksum chain: expected"),
        (delete_the_last_entry, "The journal ends at seq"),
        (append_an_entry, "written to, or deleted, by another hand"),
        (swap_two_entries, "checksum chain: expected"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_tampered_journal_is_refused(tampered, tamper, says):
    tamper(tampered)
    with pytest.raises(RuntimeError, match="exit code 1"):
        tampered.engine().start()
    message = tampered.log.read_text()
    assert says in message
    assert "Traceback" not in message


def test_a_journal_cut_short_in_the_middle_of_an_entry_starts_without_it(tampered):
    """What a crash cut short was never acknowledged."""
    path = append_only_file(tampered)
    os.truncate(path, path.read_bytes().rindex(b"entry\r\n") + 60)
    with tampered.engine() as engine, Client(engine.address) as client:
        assert client.verify().ok
        assert len(list_all(client)) == 19
        assert client.level("A", "X").reserved == 19
        stop_cleanly(engine)
