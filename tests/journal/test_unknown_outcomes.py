"""The journal against real servers: what others may know, unknown outcomes, crashes, trimming, unsafe servers."""

import os
import signal
import threading
from itertools import count

import numpy as np
import pytest
from faults.processes import bytes_of, wait_until

from journal.harness import call, kill_server, make_payload, stored
from ledger.journal.entry import CHAIN_START
from ledger.journal.errors import (
    EmbeddedServerFailed,
    JournalCorrupt,
    JournalFenced,
    JournalUnavailable,
    JournalUnsettled,
    UnsafeJournalServer,
)
from ledger.journal.reading import JournalReader
from ledger.journal.server_check import parse_info, parse_version
from ledger.journal.stream import StreamJournal


def test_tail_and_checksums_are_known_to_whoever_asks(server, shard):
    with JournalReader(server.url, shard=shard) as reader, StreamJournal(server.url, shard=shard) as journal:
        assert reader.tail() == (0, 0, CHAIN_START)
        assert reader.chain_at(0) == CHAIN_START
        journal.open()
        payloads = {seq: os.urandom(40) for seq in (2, 3, 7)}
        for seq, payload in payloads.items():
            journal.append(seq, payload)
        assert reader.tail() == (1, 7, payloads[7][:16])
        expected = [payloads[seq][:16] if seq in payloads else None for seq in range(1, 9)]
        assert [reader.chain_at(seq) for seq in range(1, 9)] == expected
        while journal.trim_before(100):
            pass
        assert reader.tail() == (1, 7, payloads[7][:16])
        assert [reader.chain_at(seq) for seq in (0, 3, 7, 8)] == [CHAIN_START, None, payloads[7][:16], None]


def test_journal_of_an_older_release_says_so(server, shard):
    call(server.url, "XADD", f"{{onhand:{shard}}}:journal", "3-0", "entry", "x")
    call(server.url, "SET", f"{{onhand:{shard}}}:tail", "3-0")
    with StreamJournal(server.url, shard=shard) as journal:
        for attempt in (journal.open, journal.tail):
            with pytest.raises(JournalCorrupt, match="found 3-0: read it with the release that wrote it"):
                attempt()


def test_a_standby_that_takes_over_is_none_any_more(server, shard):
    """Its last report would keep the journal from being trimmed."""
    with StreamJournal(server.url, shard=shard) as journal:
        journal.report_standby("one:1", 0)
        journal.report_standby("two:2", 5)
        journal.open("one:1")
        assert journal.standby_seqs() == {"two:2": 5}


def test_standbys_count_for_a_minute(server, shard):
    key = f"{{onhand:{shard}}}:standbys"
    with JournalReader(server.url, shard=shard) as reader:
        assert reader.standby_seqs() == {}
        reader.report_standby("10.0.0.2:50051", 7)
        reader.report_standby("10.0.0.3:50051", 5)
        reader.report_standby("10.0.0.2:50051", 2**53 - 1)
        assert reader.standby_seqs() == {"10.0.0.2:50051": 2**53 - 1, "10.0.0.3:50051": 5}
        seq, reported_ms = call(server.url, "HGET", key, "10.0.0.3:50051").split()
        call(server.url, "HSET", key, "10.0.0.3:50051", b"%b %d" % (seq, int(reported_ms) - 60_000))
        assert reader.standby_seqs() == {"10.0.0.2:50051": 2**53 - 1}
        assert call(server.url, "HLEN", key) == 1


def test_memory_is_that_of_the_server(own_server):
    with JournalReader(own_server.url) as reader:
        used_bytes, limit_bytes = reader.memory()
        assert used_bytes > 0
        assert limit_bytes == 0
        call(own_server.url, "CONFIG", "SET", "maxmemory", "500mb")
        assert reader.memory().limit_bytes == 500 * 1024**2


def test_many_entries_are_dropped_in_steps(journal):
    command = b"local n = tonumber(ARGV[1]); for i = 1, n do redis.call('XADD', KEYS[1], i .. '-0', 'entry', 'x') end"
    name = journal.describe(), "EVAL", command, 1, journal._keys.journal, 50_000
    call(*name)
    dropped = list(iter(lambda: journal.trim_before(49_950), 0))
    assert sum(dropped) == 49_949
    assert max(dropped) <= 20_000
    assert len(list(journal.read(0))) == 51


@pytest.mark.parametrize("cut", ["cut_before", "cut_inside", "cut_after"])
def test_cut_connection_leaves_exactly_one_entry(server, shard, proxy, behind_proxy, cut):
    behind_proxy.append(1, b"first")
    proxy.plan.append(cut)
    with pytest.raises(JournalUnsettled, match="entry 2-0 is unsettled"):
        behind_proxy.append(2, b"second")
    # Sent once: redis-py did not send it again behind our back.
    assert proxy.appends_count == 2
    present = cut == "cut_after"
    assert stored(server, shard) == [(1, b"first"), (2, b"second")][: 1 + present]
    assert behind_proxy.is_unsettled
    assert behind_proxy.last_seq == 1

    behind_proxy.settle()
    assert proxy.appends_count == (2 if present else 3)
    assert not behind_proxy.is_unsettled
    assert behind_proxy.settled_entries_count == 1
    behind_proxy.append(3, b"third")
    assert stored(server, shard) == [(1, b"first"), (2, b"second"), (3, b"third")]
    assert behind_proxy.appended_entries_count == 3


@pytest.mark.parametrize("cut", ["cut_before", "cut_after"])
def test_very_first_entry_is_settled_too(server, shard, proxy, behind_proxy, cut):
    proxy.plan.append(cut)
    with pytest.raises(JournalUnsettled):
        behind_proxy.append(4, b"x")
    behind_proxy.settle()
    assert stored(server, shard) == [(4, b"x")]


def test_settling_is_settled_when_it_is_cut_as_well(server, shard, proxy, behind_proxy):
    proxy.plan.extend(["cut_before", "cut_inside", "cut_after"])
    with pytest.raises(JournalUnsettled):
        behind_proxy.append(1, b"x")
    for _ in range(2):
        with pytest.raises(JournalUnsettled):
            behind_proxy.settle()
    behind_proxy.settle()
    assert proxy.appends_count == 3
    assert stored(server, shard) == [(1, b"x")]


def test_request_that_arrives_after_settling_is_refused(server, shard, proxy, behind_proxy):
    proxy.plan.append("hold")
    with pytest.raises(JournalUnsettled, match="Timeout"):
        behind_proxy.append(1, b"x")
    behind_proxy.settle()
    proxy.release()
    assert proxy.late_replies[0].startswith(b"-GAP")
    behind_proxy.append(2, b"y")
    assert stored(server, shard) == [(1, b"x"), (2, b"y")]


def test_request_that_arrives_while_settling_counts(server, shard, proxy, behind_proxy):
    """The tail is read without the entry, then the first request arrives, then the second is refused."""
    proxy.plan.extend(["hold", "late_first"])
    with pytest.raises(JournalUnsettled):
        behind_proxy.append(1, b"x")
    behind_proxy.settle()
    assert proxy.late_replies == [b"$3\r\n1-0\r\n"]
    assert proxy.appends_count == 2
    assert stored(server, shard) == [(1, b"x")]


def test_absent_entry_of_a_fenced_writer_stays_absent(server, shard, proxy, behind_proxy):
    proxy.plan.append("cut_before")
    with pytest.raises(JournalUnsettled):
        behind_proxy.append(1, b"x")
    with StreamJournal(server.url, shard=shard) as newer:
        newer.open(takes_over=True)
        with pytest.raises(JournalFenced):
            behind_proxy.settle()
        with pytest.raises(JournalFenced):
            behind_proxy.append(1, b"x")
        newer.append(1, b"y")
    assert stored(server, shard) == [(1, b"y")]


def test_present_entry_of_a_fenced_writer_is_durable(server, shard, proxy, behind_proxy):
    proxy.plan.append("cut_after")
    with pytest.raises(JournalUnsettled):
        behind_proxy.append(1, b"x")
    with StreamJournal(server.url, shard=shard) as newer:
        assert newer.open(takes_over=True) == (2, 1)
        behind_proxy.settle()
        with pytest.raises(JournalFenced):
            behind_proxy.append(2, b"late")
    assert stored(server, shard) == [(1, b"x")]


def test_same_id_with_other_bytes_is_not_ours(server, shard, proxy, behind_proxy):
    proxy.plan.append("cut_before")
    with pytest.raises(JournalUnsettled):
        behind_proxy.append(1, b"x")
    with StreamJournal(server.url, shard=shard) as newer:
        newer.open(takes_over=True)
        newer.append(1, b"y")
        with pytest.raises(JournalFenced):
            behind_proxy.settle()
    assert stored(server, shard) == [(1, b"y")]


def test_interrupt_leaves_the_outcome_unknown(server, shard, proxy, behind_proxy):
    proxy.plan.append("hold")

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(KeyboardInterrupt):
            behind_proxy.append(1, b"x")
    finally:
        signal.signal(signal.SIGALRM, before)
    assert behind_proxy.is_unsettled
    behind_proxy.settle()
    assert stored(server, shard) == [(1, b"x")]


def test_missing_functions_are_loaded_again(own_server):
    with StreamJournal(own_server.url) as journal:
        journal.open()
        call(own_server.url, "FUNCTION", "FLUSH")
        with pytest.raises(JournalUnsettled, match="Function not found"):
            journal.append(1, b"x")
        journal.settle()
        journal.append(2, b"y")
        assert [seq for seq, _ in journal.read(0)] == [1, 2]


def test_another_library_under_our_name_is_replaced(own_server):
    code = "#!lua name=onhand_journal_v2\nredis.register_function('onhand_append_v2', function() return 1 end)"
    call(own_server.url, "FUNCTION", "LOAD", code)
    with StreamJournal(own_server.url) as journal:
        journal.open()
        journal.append(1, b"x")
        assert list(journal.read(0)) == [(1, b"x")]


@pytest.mark.parametrize(
    ("setting", "damaged", "healthy", "error"),
    [("maxmemory", "1", "0", "OOM"), ("min-replicas-to-write", "1", "0", "NOREPLICAS")],
)
def test_server_that_takes_no_writes_is_waited_for(own_server, setting, damaged, healthy, error):
    with StreamJournal(own_server.url) as journal:
        journal.open()
        call(own_server.url, "CONFIG", "SET", setting, damaged)
        with pytest.raises(JournalUnsettled, match=error):
            journal.append(1, b"x")
        with pytest.raises(JournalUnsettled, match=error):
            journal.settle()
        call(own_server.url, "CONFIG", "SET", setting, healthy)
        journal.settle()
        assert list(journal.read(0)) == [(1, b"x")]


def test_server_that_became_unsafe_settles_nothing(own_server):
    with StreamJournal(own_server.url) as journal:
        journal.open()
        call(own_server.url, "CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(JournalUnsettled):
            journal.append(1, b"x")
        call(own_server.url, "CONFIG", "SET", "maxmemory", "0", "appendfsync", "everysec")
        with pytest.raises(JournalUnsettled, match="appendfsync: expected always, was everysec"):
            journal.settle()
        call(own_server.url, "CONFIG", "SET", "appendfsync", "always")
        journal.settle()


def test_full_server_takes_no_entry_and_all_that_helps_it_out(own_server):
    with StreamJournal(own_server.url) as journal:
        journal.open()
        for seq in range(1, 41):
            journal.append(seq, bytes(100_000))
        call(own_server.url, "CONFIG", "SET", "maxmemory", journal.memory().used_bytes - 1_000_000)
        assert not journal.is_full
        for attempt in (lambda: journal.append(41, b"x"), journal.settle):
            with pytest.raises(JournalUnsettled, match="OOM"):
                attempt()
            assert journal.is_full
        assert journal.tail().last_seq == 40
        journal.renew()
        journal.report_standby("standby", 40)
        assert journal.standby_seqs() == {"standby": 40}
        journal.release()
        with StreamJournal(own_server.url) as newer:
            assert newer.open() == (2, 40)
            with pytest.raises(JournalUnsettled, match="OOM"):
                newer.append(41, b"y")
            assert newer.trim_before(40) == 39
            newer.settle()
            assert not newer.is_full
            assert [seq for seq, _ in newer.read(0)] == [40, 41]


def append_until_unsettled(journal: StreamJournal, sent: list[tuple[int, bytes]], killer: threading.Thread) -> None:
    """Append without end, and let the killer loose after twenty entries. Only the last entry sent has no answer."""
    for number in count():
        if number == 20:
            killer.start()
        sent.append((journal.last_seq + 1, os.urandom(2_000)))
        journal.append(*sent[-1])


def test_killed_server_keeps_all_that_was_acknowledged(own_server):
    sent: list[tuple[int, bytes]] = []
    with StreamJournal(own_server.url) as journal:
        journal.open()
        for _ in range(4):
            killer = threading.Thread(target=kill_server, args=(own_server,))
            with pytest.raises(JournalUnsettled):
                append_until_unsettled(journal, sent, killer)
            killer.join()
            with pytest.raises(JournalUnsettled):
                journal.settle()
            with pytest.raises(JournalUnavailable):
                journal.first_seq_kept()
            own_server.ensure_running()
            assert list(journal.read(0)) in (sent, sent[:-1])
            journal.settle()
            assert list(journal.read(0)) == sent
    assert journal.settled_entries_count == 4


def test_entry_torn_by_a_crash_is_dropped_whole(own_server):
    """The journal file is cut at bytes all over its last entry: stream and tail never part."""
    with StreamJournal(own_server.url) as journal:
        journal.open()
        journal.append(1, b"first")
        size_before = bytes_of(own_server.folder.glob("appendonlydir/*.incr.aof"))
        journal.append(2, b"second")
    own_server.stop()
    (path,) = own_server.folder.glob("appendonlydir/*.incr.aof")
    whole = path.read_bytes()
    assert b"second" in whole[size_before:]
    for cut in np.linspace(size_before, len(whole) - 1, 8).astype(int):
        path.write_bytes(whole[:cut])
        own_server.start()
        with StreamJournal(own_server.url) as journal:
            assert journal.open(takes_over=True).last_seq == 1, cut
            journal.append(2, b"again")
            assert list(journal.read(0)) == [(1, b"first"), (2, b"again")]
        own_server.stop()
    own_server.start()


def test_server_that_does_not_start_says_why(own_server):
    own_server.stop()
    (manifest,) = own_server.folder.glob("appendonlydir/*.manifest")
    good = manifest.read_bytes()
    manifest.write_bytes(b"nonsense\n")
    with pytest.raises(EmbeddedServerFailed, match=r"(?s)exit code 1\. The end of journal-server\.log.*manifest"):
        own_server.start()
    manifest.write_bytes(good)
    own_server.start()  # the failed start gave the folder back


def test_trimmed_journal_goes_on(server, shard, journal):
    chain = CHAIN_START
    assert journal.first_seq_kept() == 1
    for first_seq in (1, 4, 7):
        payload, chain = make_payload(first_seq, chain=chain)
        journal.append(first_seq + 2, payload)
    assert journal.first_seq_kept() == 1
    assert (journal.trim_before(5), journal.trim_before(5)) == (1, 0)
    assert journal.first_seq_kept() == 4
    assert [seq for seq, _ in journal.read(0)] == [6, 9]
    assert (journal.trim_before(100), journal.trim_before(100)) == (2, 0)
    assert list(journal.read(0)) == []
    assert journal.first_seq_kept() == 10
    with StreamJournal(server.url, shard=shard) as newer:
        assert newer.open(takes_over=True) == (2, 9)
        newer.append(12, make_payload(10, chain=chain)[0])
        assert newer.first_seq_kept() == 10
        assert [seq for seq, _ in newer.read(0)] == [12]


def test_unknown_outcome_on_a_trimmed_journal_is_settled(server, shard, proxy, behind_proxy):
    behind_proxy.append(3, b"x")
    behind_proxy.trim_before(100)
    proxy.plan.append("cut_before")
    with pytest.raises(JournalUnsettled):
        behind_proxy.append(5, b"y")
    behind_proxy.settle()
    assert stored(server, shard) == [(5, b"y")]


def test_file_is_rewritten_without_what_was_trimmed_while_entries_are_appended(own_server):
    def is_small() -> bool:
        try:
            return bytes_of(own_server.folder.glob("appendonlydir/*.aof")) < 1_000_000
        except FileNotFoundError:  # it is being rewritten
            return False

    with StreamJournal(own_server.url) as journal:
        journal.open()
        for seq in range(1, 101):
            journal.append(seq, os.urandom(100_000))
        journal.trim_before(99)
        call(own_server.url, "CONFIG", "SET", "rdb-key-save-delay", 1_000_000)  # ended by the kill
        own_server.rewrite()
        own_server.rewrite()  # one is enough
        for seq in range(101, 121):
            journal.append(seq, b"meanwhile")
        assert parse_info(call(own_server.url, "INFO", "persistence"))["aof_rewrite_in_progress"] == "1"
        kill_server(own_server)
        own_server.ensure_running()
        assert [seq for seq, _ in journal.read(0)] == list(range(99, 121))
        own_server.rewrite()
        wait_until(is_small)
        with pytest.raises(JournalUnsettled):  # the connection was cut
            journal.append(121, b"after")
        journal.settle()
        kill_server(own_server)
        own_server.ensure_running()
        assert [seq for seq, _ in journal.read(0)] == list(range(99, 122))


@pytest.mark.parametrize(
    ("settings", "messages"),
    [
        (
            ["appendfsync", "everysec"],
            ["appendfsync: expected always, was everysec: run CONFIG SET appendfsync always"],
        ),
        (
            ["appendonly", "no", "no-appendfsync-on-rewrite", "yes", "maxmemory-policy", "allkeys-lru"],
            [
                "appendonly: expected yes, was no: run CONFIG SET appendonly yes",
                "no-appendfsync-on-rewrite: expected no, was yes: run CONFIG SET no-appendfsync-on-rewrite no",
                "maxmemory-policy: expected noeviction, was allkeys-lru: run CONFIG SET maxmemory-policy noeviction",
            ],
        ),
    ],
)
def test_unsafe_settings_are_named(own_server, settings, messages):
    call(own_server.url, "CONFIG", "SET", *settings)
    with StreamJournal(own_server.url) as journal:
        with pytest.raises(UnsafeJournalServer, match="cannot keep durability fsync") as caught:
            journal.open()
        assert str(caught.value).splitlines()[1:] == [f"  {message}" for message in messages]
        for line in str(caught.value).splitlines()[1:]:  # what it tells to run is what helps
            call(own_server.url, *line.partition("run ")[2].split())
        assert journal.open() == (1, 0)


def test_server_that_writes_its_first_file_is_waited_for(own_server):
    """With appendonly just switched on, the server shows only safe settings, and a crash would lose everything."""
    url = own_server.url
    call(url, "SET", "some", "key")
    call(url, "CONFIG", "SET", "appendonly", "no", "rdb-key-save-delay", "800000")
    call(url, "CONFIG", "SET", "appendonly", "yes")
    with StreamJournal(url) as journal:
        with pytest.raises(JournalUnavailable, match="not durable yet"):
            journal.open()
        wait_until(lambda: parse_info(call(url, "INFO", "persistence"))["aof_rewrite_in_progress"] == "0")
        assert journal.open().last_seq == 0


def test_replica_is_refused(own_server):
    call(own_server.url, "REPLICAOF", "127.0.0.1", "1")
    with StreamJournal(own_server.url) as journal:
        with pytest.raises(UnsafeJournalServer, match="role: expected master, was slave: connect to the primary"):
            journal.open()
        call(own_server.url, "REPLICAOF", "NO", "ONE")
        journal.open()
        call(own_server.url, "REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(JournalUnsettled, match="READONLY"):
            journal.append(1, b"x")
        call(own_server.url, "REPLICAOF", "NO", "ONE")
        journal.settle()


def test_server_that_hides_its_settings_is_refused(own_server):
    url = own_server.url
    call(url, "ACL", "SETUSER", "shop", "on", ">geheim-1", "~*", "+@all", "-config")
    with (
        StreamJournal(url.replace("unix://", "unix://shop:geheim-1@")) as journal,
        pytest.raises(UnsafeJournalServer, match=r"does not let OnHand read its settings .*NOPERM") as caught,
    ):
        journal.open()
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "version"), [("7.2", (7, 2)), ("10.0.1", (10, 0, 1)), ("unknown", ()), ("", ()), ("7.4-rc1", ())]
)
def test_versions_are_compared_as_numbers(text, version):
    assert parse_version(text) == version
