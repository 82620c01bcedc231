"""Engines and journal servers that die under load: engines, the engine dies, the journal server dies, or hangs."""

import gc
import signal
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import psutil
import pytest
from engines import ForkedEngine
from faults.processes import WAIT_SECONDS, end, server_in, stopped, wait_for_end, wait_until
from harness import Client, Refused, new_id

from crash.harness import LOCATIONS, ON_HAND, Folder, Load, in_process, list_all, position, stop_cleanly
from ledger.book import Book
from ledger.journal.embedded import EmbeddedServer
from ledger.journal.errors import DataFolderInUse, JournalBackwards


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
        assert service.shard.health.is_leading
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
