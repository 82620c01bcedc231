"""Engines and journal servers that die under load: what clients were told is there, and nothing is half done.

Every client keeps a history of what it asked and what it was told. After a crash it repeats what it got no answer to,
under the same request id; then the whole history is held against the engine that came up.
"""

import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import grpc
import psutil
import pytest
from engines import ForkedEngine
from faults.processes import (
    WAIT_SECONDS,
    end,
    end_all_in,
    processes_in,
    server_in,
    stopped,
    wait_for_end,
    wait_until,
)
from google.protobuf.message import Message
from harness import Client, Refused, new_id
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_pb2
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.inventory.v1 import stock_pb2 as stock

from engine.config import EngineConfig
from engine.service import Service
from ledger.book import Book
from ledger.journal.connection import Address, JournalConnection
from ledger.journal.embedded import EmbeddedServer
from ledger.journal.errors import DataFolderInUse, EmbeddedServerFailed, JournalBackwards, JournalCorrupt

SKUS = ("A", "B", "C")
LOCATIONS = ("X", "Y")
ON_HAND = 100_000
CLIENTS = 8
JOURNAL = "{onhand:0}:journal"


# ---- engines ---------------------------------------------------------------------------------------------------------


class Folder:
    """A data folder and the engines that live in it, one after the other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "engine.log"
        path.mkdir(exist_ok=True)

    def engine(self, *flags: str) -> ForkedEngine:
        return ForkedEngine(["--port", "0", "--data-folder", str(self.path / "data"), *flags], log_file=self.log)


def in_process(folder: Folder) -> Service:
    """An engine that serves nobody: for what can be seen of it before it does."""
    return Service(EngineConfig(port=0, data_folder=folder.path / "data"))


@pytest.fixture
def folder(tmp_path) -> Iterator[Folder]:
    """Its engines and servers are gone when the test is over, however it ended."""
    made = Folder(tmp_path / "engine")
    yield made
    end_all_in(made.path)


def journal_server(folder: Folder) -> psutil.Process:
    """The server of a data folder, also where its engine adopted it."""
    return server_in(folder.path / "data")


def kill_server(folder: Folder) -> None:
    end(journal_server(folder))


def test_the_book_of_a_role_that_is_over_is_gone(folder):
    """What stood when a role began is left out of collections, but not for ever: a ledger can be most of the memory."""
    with in_process(folder) as service:
        before = weakref.ref(service.book)
        service.shard.step(0)
        service.shard._begin_anew(JournalBackwards("the server lost entries", 0))
        service.shard.step(0)
        assert service.shard.is_leading
        assert service.book is not before()
        assert before() is None


def test_a_book_that_nobody_has_is_gone_at_once():
    """Its columns are memory that no collection of Python's objects would be hurried by."""
    book = Book(request_window_us=1, retention_us=1)
    book.ledger.define_sku("sku")
    assert len(book.digest()) == 16
    ledger = weakref.ref(book.ledger)
    gc.disable()
    try:
        del book
        assert ledger() is None
    finally:
        gc.enable()


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
        return told_by(refused)


def told_by(refused: Refused) -> Told | None:
    if refused.reason == "NOT_PRIMARY":  # nothing was decided here: ask the engine that took over
        return None
    if refused.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        assert refused.reason in ("", "JOURNAL_UNAVAILABLE", "DRAINING"), refused
        assert refused.retry_seconds > 0 or refused.reason != "JOURNAL_UNAVAILABLE"
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

    def __init__(self, number: int, prefix: str) -> None:
        self._chance = Random(number)
        self._prefix = prefix
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
        return [(self._prefix + sku, self._prefix + location, self._chance.randint(1, 5)) for sku, location in levels]

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

    def __init__(self, prefix: str = "") -> None:
        self.shoppers = [Shopper(number, prefix) for number in range(CLIENTS)]
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
            except BaseException:
                left.set()
                raise
            if again:
                left.set()
            for each in running:
                each.result(WAIT_SECONDS)

    def _run(self, shopper: Shopper, address: str, left: threading.Event, again: bool) -> None:
        with Client(address) as client:
            while not left.is_set():
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
        deadline = time.monotonic() + WAIT_SECONDS
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
                names = client.name(sku), client.name(location)
                assert level.on_hand == ON_HAND - sold[names]
                assert level.reserved == held[(reservation_pb2.RESERVATION_STATE_ACTIVE, *names)]
                assert level.committed == held[(reservation_pb2.RESERVATION_STATE_COMMITTED, *names)]
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

    def go_on(self, client: Client) -> None:
        """All that a client can find out after a failure, in the order it would."""
        self.check_without_doubt(client)
        self.settle(client)
        self.check(client)
        self.check_repeats(client)

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
    """All reservations of the client's own names."""
    found: list[reservation_pb2.Reservation] = []
    token = ""
    while True:
        request = reservations.ListReservationsRequest(page_size=1_000, page_token=token)
        page = client.call(client.reservations.ListReservations, request)
        found.extend(each for each in page.reservations if each.lines[0].sku_id.startswith(client.prefix))
        token = page.next_page_token
        if not token:
            return found


def position(client: Client) -> tuple[int, str]:
    verified = client.verify()
    assert verified.ok
    return verified.seq, verified.digest


def stop_cleanly(engine: ForkedEngine) -> None:
    assert engine.stop() == 0


# ---- the engine dies -------------------------------------------------------------------------------------------------


def kill(engine: ForkedEngine, _: Folder) -> None:
    assert engine.kill() == -signal.SIGKILL


def kill_with_server(engine: ForkedEngine, folder: Folder) -> None:
    """As a machine that stops, short of its disk."""
    server = journal_server(folder)
    server.kill()
    kill(engine, folder)
    wait_for_end(server)


def stop(engine: ForkedEngine, _: Folder) -> None:
    stop_cleanly(engine)


@pytest.mark.parametrize(
    ("transport", "deaths"),
    [
        ("native", [kill, kill_with_server, kill, stop]),
        pytest.param("grpcio", [kill, stop], marks=pytest.mark.slow),
    ],
    ids=["native", "grpcio"],
)
def test_an_engine_that_dies_under_load(folder, transport, deaths):
    load = Load()
    for number, die in enumerate(deaths):
        with folder.engine("--transport", transport) as engine, Client(engine.address) as client:
            if number == 0:
                load.stock_up(client)
            load.go_on(client)
            with load.running(engine.address):
                load.wait_for_answers(200)
                die(engine, folder)
            assert any(shopper.is_in_doubt() for shopper in load.shoppers)
    # as the other transport's, and then by an orderly stop: the state is the same to the bit
    with folder.engine() as engine, Client(engine.address) as client:
        load.go_on(client)
        before = position(client)
        stop_cleanly(engine)
    with in_process(folder) as service:
        assert (service.book.seq, service.book.digest().hex()) == before


# ---- the journal server dies, or hangs -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lasting(tmp_path_factory) -> Iterator[tuple[Folder, ForkedEngine]]:
    """An engine that outlives its journal servers; tests keep apart by names of their own."""
    folder = Folder(tmp_path_factory.mktemp("lasting") / "engine")
    with folder.engine("--journal-timeout-seconds", "1.5") as engine:
        yield folder, engine
        with Client(engine.address) as client:
            before = position(client)
        stop_cleanly(engine)
    with in_process(folder) as service:
        assert (service.book.seq, service.book.digest().hex()) == before


@pytest.fixture
def outlived(lasting, request) -> Iterator[Client]:
    """A client of the lasting engine with names of its own, stocked up."""
    with Client(lasting[1].address, prefix=f"{request.node.name}-") as client:
        Load.stock_up(client)
        yield client


class Log:
    """What an engine logs from now on."""

    def __init__(self, folder: Folder) -> None:
        self._path = folder.log
        self._start = len(self._path.read_bytes())

    def wait_for(self, words: str) -> None:
        wait_until(lambda: words in self._path.read_bytes()[self._start :].decode(), f"the log says: {words}")


def test_journal_server_killed_under_load(lasting, outlived):
    folder, engine = lasting
    load = Load(outlived.prefix)
    with load.running(engine.address, again=True):
        for _ in range(4):
            load.wait_for_answers(100)
            kill_server(folder)
            load.wait_for_answers(100)
    load.go_on(outlived)


def test_journal_server_killed_between_calls(lasting, outlived):
    """Nobody writes while it is away: the next call, of any kind, finds the engine whole."""
    kill_server(lasting[0])
    assert outlived.level("A", "X").on_hand == ON_HAND
    assert outlived.reserve(("A", "X", 1)).reservation_id
    assert outlived.level("A", "X").reserved == 1
    assert len(outlived.movements(sku_id=outlived.name("A"))) == len(LOCATIONS) + 1


def test_history_while_the_journal_server_is_away(lasting, outlived):
    """Reads of the history need the journal: they say that it is away, and that the call may be repeated."""
    kill_server(lasting[0])
    try:
        with pytest.raises(Refused) as refused:
            outlived.movements()
        assert refused.value.reason == "JOURNAL_UNAVAILABLE"
    finally:
        outlived.receive("A", "X", 1)


def test_journal_server_hangs_longer_than_its_timeout(lasting, outlived):
    """The append in flight is settled once the server answers again: it is told late, and there once."""
    folder, _ = lasting
    name, log = new_id(), Log(folder)
    seq = outlived.verify().seq
    with ThreadPoolExecutor(1) as pool:
        with stopped(journal_server(folder)):
            write = pool.submit(outlived.reserve, ("A", "X", 3), ("B", "Y", 2), request_id=name)
            log.wait_for("journal unsettled")
            assert not write.done()
        made = write.result(WAIT_SECONDS)
    assert made.seq == seq + 1
    assert outlived.reserve(("A", "X", 3), ("B", "Y", 2), request_id=name) == made
    assert outlived.level("A", "X").reserved == 3
    assert len(list_all(outlived)) == 1
    assert position(outlived)[0] == made.seq


def test_journal_server_hangs_under_load(lasting, outlived):
    folder, engine = lasting
    load = Load(outlived.prefix)
    with load.running(engine.address, again=True):
        for _ in range(3):
            load.wait_for_answers(100)
            log = Log(folder)
            with stopped(journal_server(folder)):
                log.wait_for("journal unsettled")
        load.wait_for_answers(100)
    load.go_on(outlived)


def test_callers_are_refused_while_the_journal_server_hangs(lasting, outlived):
    """Who calls meanwhile hears that it may be repeated, long before a usual deadline."""
    folder, _ = lasting
    log = Log(folder)
    with ThreadPoolExecutor(1) as pool:
        with stopped(journal_server(folder)):
            write = pool.submit(outlived.reserve, ("A", "X", 3))
            log.wait_for("journal unsettled")
            with pytest.raises(Refused) as refused:
                outlived.call(outlived.reservations.ReserveStock, outlived.reserve_request(("A", "X", 1)))
        assert write.result(WAIT_SECONDS).reservation_id
    assert refused.value.reason == "JOURNAL_UNAVAILABLE"
    assert refused.value.retry_seconds > 0


def test_an_engine_whose_journal_server_hangs_can_be_stopped(folder):
    flags = ("--journal-timeout-seconds", "1.5", "--drain-seconds", "1")
    with folder.engine(*flags) as engine, Client(engine.address) as client, ThreadPoolExecutor(1) as pool:
        Load.stock_up(client)
        request = client.reserve_request(("A", "X", 3))
        log = Log(folder)
        with stopped(journal_server(folder)):
            write = pool.submit(client.call, client.reservations.ReserveStock, request)
            log.wait_for("journal unsettled")
            assert engine.process is not None
            engine.process.terminate()
            with pytest.raises(Refused) as refused:
                write.result(WAIT_SECONDS)
        assert refused.value.code is grpc.StatusCode.UNAVAILABLE
        assert engine.process.wait(WAIT_SECONDS) in (0, 1)


# ---- two engines, one journal ----------------------------------------------------------------------------------------


def test_a_standby_takes_over_from_an_engine_that_sleeps(folder, tmp_path):
    """It wakes up in the middle of its calls: what it was told to do and did not do is done by the other one."""
    load = Load()
    with EmbeddedServer(tmp_path / "journal") as server:
        flags = ("--journal", server.url, "--drain-seconds", "0.5", "--lease-seconds", "2")
        with folder.engine(*flags) as older, Client(older.address) as client:
            load.stock_up(client)
            newer = folder.engine("--standby", *flags, "--data-folder", str(tmp_path / "newer"))
            newer.start()
            assert older.process is not None
            try:
                with load.running(older.address), Client(newer.address) as heir:  # until the newer one is the writer
                    load.wait_for_answers(100)
                    with stopped(older.process):
                        wait_until(lambda: heir.status().epoch == 2)
                wait_until(lambda: client.status().epoch == 2)
                with Client(newer.address) as heir:
                    load.go_on(heir)
            finally:
                stop_cleanly(newer)


def test_a_data_folder_has_one_engine(lasting, outlived):
    folder, _ = lasting
    with pytest.raises(DataFolderInUse, match=str(folder.path)):
        in_process(folder).__enter__()
    outlived.receive("A", "X", 1)


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
    with pytest.raises(RuntimeError, match="exit code 1"):
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
