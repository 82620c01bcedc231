"""Faults on real processes, a short run of what `make faults` does at length; and the parts that it stands on."""

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from faults.cluster import Cluster, JournalServer
from faults.load import Load
from faults.processes import HOST, WAIT_SECONDS, wait_until
from faults.proxy import TO_ENGINE, TO_SERVER, FaultProxy
from faults.rounds import FAULTS, KILLS, Rounds, plan
from faults.settle import settle

from ledger.journal.errors import JournalFenced, JournalUnavailable, JournalUnsettled
from ledger.journal.stream import StreamJournal

# ---- the proxy -------------------------------------------------------------------------------------------------------


@contextmanager
def echo(place: int | Path) -> Iterator[int | Path]:
    """A server that says everything again."""
    family = socket.AF_UNIX if isinstance(place, Path) else socket.AF_INET
    with socket.socket(family) as listener:
        listener.bind(str(place) if isinstance(place, Path) else (HOST, place))
        listener.listen()
        thread = threading.Thread(target=_echo, args=(listener,))
        thread.start()
        yield place if isinstance(place, Path) else listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _echo(listener: socket.socket) -> None:
    talks = []
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            break
        talks.append(threading.Thread(target=_talk, args=(connection,)))
        talks[-1].start()
    for talk in talks:
        talk.join()


def _talk(connection: socket.socket) -> None:
    with connection:
        try:
            while heard := connection.recv(4_096):
                connection.sendall(heard)
        except ConnectionError:
            return


@contextmanager
def through(proxy: FaultProxy) -> Iterator[socket.socket]:
    with socket.create_connection((HOST, proxy.port), timeout=WAIT_SECONDS) as connection:
        yield connection


def heard(connection: socket.socket, count: int) -> bytes:
    """What comes, up to so many bytes, until the connection ends."""
    parts = b""
    try:
        while len(parts) < count and (part := connection.recv(count - len(parts))):
            parts += part
    except ConnectionError:
        pass
    return parts


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    with echo(0) as port, FaultProxy(port) as made:
        yield made


def test_a_proxy_without_faults_changes_nothing(proxy):
    with through(proxy) as connection:
        connection.sendall(b"x" * 200_000)
        assert heard(connection, 200_000) == b"x" * 200_000


@pytest.mark.parametrize("direction", [TO_SERVER, TO_ENGINE])
def test_a_connection_is_cut_in_the_middle(proxy, direction):
    with through(proxy) as connection:
        proxy.cut_after(70, direction)
        connection.sendall(b"y" * 100)
        assert len(heard(connection, 100)) <= 70
        wait_until(lambda: not proxy.is_cut_due, "it is cut")
    with through(proxy) as connection:
        connection.sendall(b"again")
        assert heard(connection, 5) == b"again"


def test_a_pause_holds_everything_back_and_loses_nothing(proxy):
    with through(proxy) as connection:
        proxy.pause()
        connection.sendall(b"patience")
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(WAIT_SECONDS)
        proxy.resume()
        assert heard(connection, 8) == b"patience"


def test_refused_connections_end_at_once(proxy):
    with through(proxy) as connection:
        proxy.refuse(refuses=True)
        assert heard(connection, 1) == b""
    with through(proxy) as connection:
        assert heard(connection, 1) == b""
    proxy.refuse(refuses=False)
    with through(proxy) as connection:
        connection.sendall(b"?")
        assert heard(connection, 1) == b"?"


def test_a_cut_ends_what_there_is(proxy):
    with through(proxy) as connection:
        connection.sendall(b"1")
        assert heard(connection, 1) == b"1"
        proxy.cut()
        assert heard(connection, 1) == b""
    assert proxy.cut_count == 1


def test_a_proxy_speaks_through_unix_sockets(tmp_path):
    near = tmp_path / "near"
    with echo(tmp_path / "far") as far, FaultProxy(far, near), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(WAIT_SECONDS)
        connection.connect(str(near))
        connection.sendall(b"hello")
        assert heard(connection, 5) == b"hello"


# ---- the journal behind the proxy ------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path) -> Iterator[JournalServer]:
    made = JournalServer(tmp_path / "server")
    made.start()
    yield made
    made.end()


def payload_of(number: int) -> bytes:
    """Bytes that stand for an entry: the stream itself does not look into them, but for the checksum in front."""
    return number.to_bytes(16, "little") + bytes([number % 251]) * (number * 37 % 400)


def test_two_writers_race_through_cut_connections(server):
    """One writer after the other takes the journal by force; what was acknowledged is there, once, in its order."""
    chance = Random(7)
    acknowledged: dict[int, bytes] = {}
    with FaultProxy(server.port) as proxy:
        url = f"redis://{HOST}:{proxy.port}"
        threads = [threading.Thread(target=_write, args=(url, number, acknowledged)) for number in range(2)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            proxy.cut_after(chance.randrange(1, CUT_BYTES_MAX), chance.choice((TO_SERVER, TO_ENGINE)))
            wait_until(lambda: not proxy.is_cut_due or not any(map(threading.Thread.is_alive, threads)), "a cut")
    with StreamJournal(server.url) as journal:
        entries = dict(journal.read(0))
        assert proxy.cut_count > 10
    assert len(acknowledged) >= RACE_ENTRIES
    assert {seq: entries.get(seq) for seq in acknowledged} == acknowledged


RACE_ENTRIES = 150
CUT_BYTES_MAX = 3_000
"""What opening a journal takes and a few appends: with fewer, nearly all cuts are where nobody has written yet."""


def _write(url: str, number: int, acknowledged: dict[int, bytes]) -> None:
    """Take the journal and append until fenced, again and again, until enough is there."""
    while len(acknowledged) < RACE_ENTRIES:
        with StreamJournal(url, timeout_seconds=2.0) as journal:
            try:
                seq = journal.open(f"writer-{number}", 1.0, takes_over=True).last_seq
                for _ in range(5):
                    seq += 1
                    payload = payload_of(seq * 2 + number)
                    _append(journal, seq, payload)
                    assert acknowledged.setdefault(seq, payload) == payload
            except (JournalFenced, JournalUnavailable):
                continue


def _append(journal: StreamJournal, seq: int, payload: bytes) -> None:
    """Append one entry, and settle it as often as it takes."""
    try:
        journal.append(seq, payload)
    except JournalUnsettled:
        while True:
            try:
                journal.settle()
            except JournalUnsettled:
                continue
            return


# ---- the journal's file, cut -----------------------------------------------------------------------------------------


def test_a_journal_file_cut_anywhere_loses_whole_entries_from_its_end_only(tmp_path):
    """Whatever a crash leaves of the last commands: the server starts with whole entries, and a writer goes on."""
    origin = JournalServer(tmp_path / "origin")
    origin.start()
    with StreamJournal(origin.url) as journal:
        journal.open("writer", 1.0)
        payloads = {seq: payload_of(seq) for seq in range(1, 9)}
        for seq, payload in payloads.items():
            journal.append(seq, payload)
    origin.kill()
    (file,) = origin.append_only_files()
    size = file.stat().st_size
    counts = set()
    for position in sorted(Random(3).sample(range(size - 2_500, size), 48)):
        folder = tmp_path / f"cut-{position}"
        shutil.copytree(tmp_path / "origin", folder)
        cut = JournalServer(folder)
        (copy,) = cut.append_only_files()
        with copy.open("rb+") as opened:
            opened.truncate(position)
        cut.start()
        counts.add(_count_after_cut(cut, payloads))
        cut.end()
        shutil.rmtree(folder)
    assert len(counts) > 3, "the cuts went through several entries"


def _count_after_cut(server: JournalServer, payloads: dict[int, bytes]) -> int:
    """Check that what is left is a prefix and can be appended to; return how many entries are left."""
    with StreamJournal(server.url) as journal:
        claim = journal.open("writer", 1.0, takes_over=True)
        left = dict(journal.read(0))
        assert left == {seq: payloads[seq] for seq in range(1, claim.last_seq + 1)}
        journal.append(claim.last_seq + 1, payload_of(99))
        assert dict(journal.read(claim.last_seq)) == {claim.last_seq + 1: payload_of(99)}
    return claim.last_seq


# ---- a run -----------------------------------------------------------------------------------------------------------


def test_a_plan_has_as_many_kills_as_asked_for():
    for count in (1, 5, 20, 100, 137):
        kinds = plan(count, Random(count))
        assert sum(kind in KILLS for kind in kinds) == count
    assert set(plan(100, Random(1))) == {*KILLS, *FAULTS, "server stopped for long"}
    assert plan(100, Random(1)) == plan(100, Random(1))


@pytest.mark.slow
def test_a_short_run_keeps_every_promise(tmp_path):
    kinds = ["server", "primary", "cut in an append", "primary and server", "disk full", "primary stopped"]
    with Cluster(tmp_path) as cluster:
        cluster.standby()
        load = Load(cluster.addresses, client_count=8, rate=200.0, seed=1)
        load.stock_up()
        rounds = Rounds(cluster, load, Random(1))
        with load.running():
            for kind in kinds:
                rounds.run(kind)
        cluster.standby()
        verdict = settle(load, cluster).verdict
        assert verdict.violations == []
        assert rounds.problems == []
        assert rounds.done.total() == len(kinds)
        assert all(engine.complaints() == [] for engine in cluster.engines)
