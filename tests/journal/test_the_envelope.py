"""The journal against real servers: the envelope, append and read, one writer, the lease."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import hypothesis.strategies as st
import msgspec
import numpy as np
import pytest
from faults.processes import WAIT_SECONDS, wait_until
from hypothesis import given

from journal.harness import call, make_group, make_payload, stored
from ledger.core.records import MOVEMENT, RECORDED, RECORDED_DETAIL, RECORDED_REQUEST, Group
from ledger.formats import RELEASE
from ledger.journal.embedded import EmbeddedServer
from ledger.journal.entry import CHAIN_START, Entry, decode_entry, encode_entry
from ledger.journal.errors import (
    JournalBackwards,
    JournalCorrupt,
    JournalFenced,
    JournalHeld,
    JournalOfOtherRelease,
    JournalUnavailable,
    JournalUnsettled,
)
from ledger.journal.packing import ROWS_MIN, pack, unpack
from ledger.journal.stream import StreamJournal


def test_entry_comes_back_as_it_was():
    notes = [(0, "order-1", "pos 7"), (2, "", "ü")]
    catalog = [(1, b"\x00sku")]
    group = make_group(first_seq=40)
    payload, chain = encode_entry(Entry.of_group(group, 9, notes, catalog), CHAIN_START)
    entry, found = decode_entry(payload, CHAIN_START, last_seq=42)
    assert found == chain
    assert (entry.epoch, entry.last_seq, entry.notes, entry.changes) == (9, 42, notes, catalog)
    back = entry.group()
    assert back[:4] == group[:4]
    for column, expected in zip(back[4:], group[4:], strict=True):
        assert column.dtype == expected.dtype
        assert column.flags.aligned
        np.testing.assert_array_equal(column, expected)


def test_group_without_requests_movements_and_details_comes_back():
    records = np.zeros(1, RECORDED)
    empty = Group(1, 0, 0, 0, records, *(np.zeros(0, dtype) for dtype in (RECORDED_REQUEST, MOVEMENT, RECORDED_DETAIL)))
    entry, _ = decode_entry(encode_entry(Entry.of_group(empty, 1), CHAIN_START)[0], CHAIN_START)
    assert [len(column) for column in entry.group()[4:]] == [1, 0, 0, 0]


def test_every_flipped_byte_is_found():
    payload, _ = make_payload(1, records_count=1)
    for position in range(len(payload)):
        damaged = bytearray(payload)
        damaged[position] ^= 0x10
        with pytest.raises(JournalCorrupt, match=r"Journal entry 1-0: checksum chain: expected \w{32}, found \w{32}"):
            decode_entry(bytes(damaged), CHAIN_START, last_seq=1)


def test_every_shortened_payload_is_found():
    payload, _ = make_payload(1, records_count=1)
    for length in range(len(payload)):
        with pytest.raises(JournalCorrupt):
            decode_entry(payload[:length], CHAIN_START)
        with pytest.raises(JournalCorrupt):
            decode_entry(payload[:length], None)


def test_entry_out_of_its_place_is_found():
    first, chain = make_payload(1)
    second, _ = make_payload(4, chain=chain)
    decode_entry(second, decode_entry(first, CHAIN_START)[1])
    with pytest.raises(JournalCorrupt, match="checksum chain"):
        decode_entry(second, CHAIN_START)
    with pytest.raises(JournalCorrupt, match="checksum chain"):
        decode_entry(first, chain)
    assert decode_entry(second, None)[0].first_seq == 4


def test_entry_under_anothers_id_is_found():
    with pytest.raises(JournalCorrupt, match="Journal entry 5-0: expected last seq 5, found 3"):
        decode_entry(make_payload(1)[0], CHAIN_START, last_seq=5)


OLDER = f"found 1: this is OnHand {RELEASE}; read it with the release that wrote it"


NEWER = f"found 99, of OnHand 7.1: this is OnHand {RELEASE}; start OnHand 7.1 here, or one that is newer"


UNKNOWN = f"found 99, of a newer release: this is OnHand {RELEASE}; start a newer release here"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ([1], OLDER),
        ([1, 1, 1, 1], OLDER),
        ([1, *range(20)], OLDER),
        ([99], UNKNOWN),
        ([99, 3, {"is": "new"}], UNKNOWN),
        ([99, "7.1", {"is": "new"}], NEWER),
    ],
)
def test_unknown_format_says_which_release_reads_it(body, told):
    payload = CHAIN_START + msgspec.msgpack.encode(body)
    with pytest.raises(JournalOfOtherRelease, match=f"Journal entry 7-0: format version: expected .*, {told}"):
        decode_entry(payload, None, 7)


def test_same_layout_of_another_format_is_refused():
    entry = msgspec.structs.replace(Entry.of_group(make_group(), 1), version=1)
    with pytest.raises(JournalOfOtherRelease, match=OLDER):
        decode_entry(CHAIN_START + msgspec.msgpack.encode(entry), None)


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x90", msgspec.msgpack.encode({"version": 1}), b"\x9d\x04\xa1\xff"])
def test_undecodable_body_says_so(body):
    with pytest.raises(JournalCorrupt, match="cannot be decoded"):
        decode_entry(CHAIN_START + body, None)


def test_text_that_is_no_text_says_so():
    entry = Entry.of_group(make_group(), 1, notes=[(0, "Z", "Z")])
    body = msgspec.msgpack.encode(entry).replace(b"\xa1Z\xa1Z", b"\xa1\xff\xa1Z")
    with pytest.raises(JournalCorrupt, match="cannot be decoded"):
        decode_entry(CHAIN_START + body, None)


@pytest.mark.parametrize("column", ["records", "requests", "movements", "details"])
@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b + b[-8:], lambda _: b""])
def test_column_of_another_length_is_found(column, change):
    entry = Entry.of_group(make_group(), 1)
    entry = msgspec.structs.replace(entry, **{column: change(getattr(entry, column))})
    payload, _ = encode_entry(entry, CHAIN_START)
    with pytest.raises(JournalCorrupt, match=f"Journal entry 3-0: {column}: expected"):
        decode_entry(payload, CHAIN_START)[0].group()


@st.composite
def tables(draw):
    """Rows of integers of all widths, each field random, small, constant or counting."""
    kinds = draw(st.lists(st.sampled_from(["u1", "u2", "i4", "u4", "i8", "u8"]), min_size=1, max_size=6))
    rows = np.zeros(
        draw(st.sampled_from([0, 1, ROWS_MIN - 1, ROWS_MIN, ROWS_MIN + 3, 3 * ROWS_MIN])),
        [(f"field_{place}", kind) for place, kind in enumerate(kinds)],
    )
    for name, (dtype, _) in rows.dtype.fields.items():
        lowest, highest = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
        shape = draw(st.sampled_from(["random", "small", "constant", "counting", "nearly constant"]))
        values = np.random.default_rng(draw(st.integers(0, 2**32))).integers(
            lowest, highest, len(rows), dtype, endpoint=True
        )
        if shape == "small":
            values %= dtype.type(7)
        elif "constant" in shape:
            values[:] = draw(st.sampled_from([lowest, 0, highest]))
        elif shape == "counting":
            values = np.arange(len(rows)).astype(dtype) * dtype.type(draw(st.integers(1, 3)))
        if shape == "nearly constant" and len(rows):
            values[draw(st.integers(0, len(rows) - 1))] = 1
        rows[name] = values
    return rows


@given(tables())
def test_packed_columns_come_back(rows):
    packed = pack(rows)
    assert packed == pack(rows.copy())
    assert unpack(packed, rows.dtype, len(rows)).tobytes() == rows.tobytes()
    assert len(packed) <= rows.nbytes + 1 + 17 * len(rows.dtype.names)


@given(tables(), st.data())
def test_packed_columns_of_another_length_are_found(rows, data):
    packed = pack(rows)
    cut = data.draw(st.integers(0, len(packed) - 1))
    for damaged in (packed[:cut], packed + b"\0"):
        with pytest.raises(ValueError, match="expected"):
            unpack(damaged, rows.dtype, len(rows))
    with pytest.raises(ValueError, match="expected"):
        unpack(b"\x09" + packed[1:], rows.dtype, len(rows))
    if len(rows) >= ROWS_MIN:
        with pytest.raises(ValueError, match="expected"):
            unpack(packed[:1] + b"\x09" + packed[2:], rows.dtype, len(rows))


def test_a_long_column_takes_less_room():
    group = make_group(1, 8_192)
    packed = sum(len(pack(column)) for column in group[4:])
    assert packed < sum(column.nbytes for column in group[4:]) / 50


def test_entries_are_read_back_under_their_own_ids(server, shard, journal):
    chain = CHAIN_START
    written = []
    for first_seq in (1, 4, 7):
        payload, chain = make_payload(first_seq, chain=chain)
        journal.append(first_seq + 2, payload)
        written.append((first_seq + 2, payload))
    raw = call(server.url, "XRANGE", f"{{onhand:{shard}}}:journal", "-", "+")
    assert [entry_id for entry_id, _ in raw] == [b"3-0", b"6-0", b"9-0"]
    assert list(journal.read(0)) == written
    chain = CHAIN_START
    for last_seq, payload in journal.read(0):
        _, chain = decode_entry(payload, chain, last_seq)
    assert journal.last_seq == 9
    assert journal.appended_entries_count == 3
    assert journal.appended_bytes == sum(len(payload) for _, payload in written)


def test_long_and_large_histories_are_read_whole(journal):
    sizes = [10] * 1_200 + [700_000] * 12 + [10] * 5
    for seq, size in enumerate(sizes, 1):
        journal.append(seq, bytes(size))
    assert [(seq, len(payload)) for seq, payload in journal.read(0)] == list(enumerate(sizes, 1))


def test_reading_while_appending_keeps_its_place(journal):
    for seq in range(1, 50):
        journal.append(seq, b"x")
    seen = []
    for seq, _ in journal.read(0):
        seen.append(seq)
        if seq < 60:
            journal.append(journal.last_seq + 1, b"y")
            next(journal.read(0))
    assert seen == list(range(1, seen[-1] + 1))
    assert seen[-1] >= 60


def test_empty_entry_and_large_entry_are_taken(journal):
    large = os.urandom(5_000_000)
    journal.append(1, b"")
    journal.append(2, large)
    assert list(journal.read(0)) == [(1, b""), (2, large)]


def test_shards_do_not_see_each_other(server, shard, journal):
    journal.append(1, b"here")
    with StreamJournal(server.url, shard=f"{shard}-b") as other:
        assert other.open() == (1, 0)
        other.append(5, b"there")
    assert list(journal.read(0)) == [(1, b"here")]


def test_two_appends_without_settling_between_are_a_bug_of_ours(behind_proxy, proxy):
    proxy.plan.append("cut_before")
    with pytest.raises(JournalUnsettled):
        behind_proxy.append(1, b"x")
    with pytest.raises(AssertionError):
        behind_proxy.append(2, b"y")


@pytest.mark.parametrize("last_seq", [2, 1, 0])
def test_ids_that_do_not_rise_are_a_bug_of_ours(journal, last_seq):
    journal.append(2, b"x")
    with pytest.raises(AssertionError):
        journal.append(last_seq, b"y")


def test_opening_claims_the_next_epoch_and_finds_the_tail(server, shard):
    for epoch in (1, 2, 3):
        with StreamJournal(server.url, shard=shard) as writer:
            assert writer.open(takes_over=True) == (epoch, epoch - 1)
            writer.append(epoch, b"x")


def test_older_writer_can_append_nothing(server, shard, journal):
    journal.append(1, b"old")
    with StreamJournal(server.url, shard=shard) as newer:
        assert newer.open(takes_over=True) == (2, 1)
        for _ in range(2):
            with pytest.raises(JournalFenced, match="expected epoch 1: FENCED epoch is 2"):
                journal.append(2, b"late")
        assert not journal.is_unsettled
        newer.append(2, b"new")
    assert stored(server, shard) == [(1, b"old"), (2, b"new")]


def test_only_one_of_many_writers_can_append(server, shard):
    writers = [StreamJournal(server.url, shard=shard) for _ in range(5)]
    for writer in writers:
        writer.open(takes_over=True)
    accepted = []
    for writer in writers:
        try:
            writer.append(1, str(writer.epoch).encode())
            accepted.append(writer.epoch)
        except JournalFenced:
            pass
        writer.close()
    assert accepted == [5]
    assert stored(server, shard) == [(1, b"5")]


def test_lost_epoch_fences(server, shard, journal):
    call(server.url, "DEL", f"{{onhand:{shard}}}:epoch")
    with pytest.raises(JournalFenced):
        journal.append(1, b"x")


def test_foreign_entry_stops_the_writer(server, shard, journal):
    journal.append(1, b"ours")
    call(server.url, "XADD", f"{{onhand:{shard}}}:journal", "7-0", "entry", "foreign")
    with pytest.raises(JournalUnsettled):  # the stream itself refuses 2-0
        journal.append(2, b"ours")
    for attempt in (journal.settle, lambda: journal.append(3, b"ours")):
        with pytest.raises(JournalCorrupt, match=r"expected last id 1-0 \(\w+\), as it was appended, found 7-0"):
            attempt()
    with (
        StreamJournal(server.url, shard=shard) as newer,
        pytest.raises(JournalCorrupt, match="by another hand"),
    ):
        newer.open(takes_over=True)


def test_deleted_stream_is_not_begun_anew(server, shard, journal):
    journal.append(1, b"x")
    call(server.url, "DEL", f"{{onhand:{shard}}}:journal")
    with pytest.raises(JournalCorrupt, match="the stream is gone"):
        journal.append(2, b"y")
    with StreamJournal(server.url, shard=shard) as newer, pytest.raises(JournalCorrupt, match="found 0-0"):
        newer.open(takes_over=True)


def rewind(server: EmbeddedServer, shard: str, last_seq: int, payload: bytes) -> None:
    """Make the journal end with an entry, as a failover to a replica that lags does."""
    keys = [f"{{onhand:{shard}}}:{name}" for name in ("journal", "tail")]
    call(server.url, "DEL", *keys)
    call(server.url, "XADD", keys[0], f"{last_seq}-0", "entry", payload)
    call(server.url, "SET", keys[1], b"%d-0 %b" % (last_seq, payload[:16]))


@pytest.mark.parametrize("last_seq", [1, 2])
def test_journal_that_went_backwards_stops_the_writer(server, shard, journal, last_seq):
    for seq in (1, 2, 3):
        journal.append(seq, b"%d" % seq)
    rewind(server, shard, last_seq, b"%d" % last_seq)
    for attempt in (lambda: journal.append(4, b"4"), journal.renew, lambda: journal.append(5, b"5")):
        with pytest.raises(
            JournalBackwards, match=rf"expected last id 3-0 \(33\), found {last_seq}-0 .* lost"
        ) as caught:
            attempt()
        assert caught.value.last_seq == last_seq
    assert not journal.is_unsettled
    assert [seq for seq, _ in stored(server, shard)] == [last_seq]


def test_journal_that_went_backwards_to_where_it_was_claimed_is_found(server, shard, journal):
    journal.append(1, b"x")
    with StreamJournal(server.url, shard=shard) as newer:
        newer.open(takes_over=True)
        newer.append(2, b"y")
        rewind(server, shard, 1, b"x")
        with pytest.raises(JournalBackwards):
            newer.append(3, b"z")


@pytest.mark.parametrize(("last_seq", "payload"), [(2, b"other"), (1, b"other"), (3, b"three")])
def test_journal_of_other_entries_is_corrupt_and_not_backwards(server, shard, journal, last_seq, payload):
    """One of them has our last id, and another checksum: only id and checksum together tell entries apart."""
    journal.append(1, b"one")
    journal.append(2, b"two")
    rewind(server, shard, last_seq, payload)
    with pytest.raises(JournalCorrupt, match="by another hand") as caught:
        journal.append(3, b"new")
    assert not isinstance(caught.value, JournalBackwards)
    assert stored(server, shard) == [(last_seq, payload)]


def test_unsettled_entry_of_a_journal_that_went_backwards_is_void(server, shard, proxy, behind_proxy):
    for seq in (1, 2):
        behind_proxy.append(seq, b"%d" % seq)
    proxy.plan.append("cut_after")
    with pytest.raises(JournalUnsettled):
        behind_proxy.append(3, b"3")
    rewind(server, shard, 1, b"1")
    with pytest.raises(JournalBackwards) as caught:
        behind_proxy.settle()
    assert caught.value.last_seq == 1
    assert stored(server, shard) == [(1, b"1")]


@pytest.mark.parametrize(("entry_id", "field"), [("5-1", "entry"), ("5-0", "other")])
def test_entries_of_another_shape_are_not_read(server, shard, journal, entry_id, field):
    call(server.url, "XADD", f"{{onhand:{shard}}}:journal", entry_id, field, "x")
    with pytest.raises(JournalCorrupt, match=f"Journal entry {entry_id}: .* not an entry of ours"):
        list(journal.read(0))


def test_writer_that_lives_is_not_taken_over(server, shard):
    with StreamJournal(server.url, shard=shard) as writer, StreamJournal(server.url, shard=shard) as other:
        assert other.holder() is None
        writer.open("10.0.0.1:50051", 60)
        holder = other.holder()
        assert holder[:2] == (1, "10.0.0.1:50051")
        assert 50 < holder.seconds_left <= 60
        with pytest.raises(JournalHeld, match=r"the engine at 10\.0\.0\.1:50051 writes it \(epoch 1\)") as caught:
            other.open("10.0.0.2:50051")
        assert caught.value.address == "10.0.0.1:50051"
        assert 50 < caught.value.seconds_left <= 60
        assert other.epoch == 0
        writer.append(1, b"x")
        assert other.open("10.0.0.2:50051", takes_over=True) == (2, 1)
        assert writer.holder().address == "10.0.0.2:50051"
        for attempt in (writer.renew, lambda: writer.append(2, b"y"), lambda: writer.trim_before(2)):
            with pytest.raises(JournalFenced):
                attempt()


def test_lease_that_ran_out_is_anyones_and_its_own_writer_may_renew_it(server, shard):
    with StreamJournal(server.url, shard=shard) as writer, StreamJournal(server.url, shard=shard) as other:
        writer.open("one", 0.02)
        for _ in range(2):
            wait_until(lambda: writer.holder() is None)
            writer.append(writer.last_seq + 1, b"x")  # the epoch says that nobody came between
            writer.renew()
        wait_until(lambda: writer.holder() is None)
        assert other.open("two", 60) == (2, 2)
        with pytest.raises(JournalFenced, match="expected epoch 1: FENCED epoch is 2"):
            writer.renew()
        assert writer.holder().address == "two"


def test_lease_that_is_given_back_is_free_at_once(server, shard):
    with StreamJournal(server.url, shard=shard) as writer, StreamJournal(server.url, shard=shard) as other:
        writer.open("one", 60)
        writer.release()
        assert other.open("two", 60) == (2, 0)
        writer.release()  # it is another's by now
        assert other.holder().address == "two"


def test_lease_cannot_be_given_back_to_a_server_that_is_away(own_server):
    with StreamJournal(own_server.url) as journal:
        journal.open()
        own_server.stop()
        journal.release()
        with pytest.raises(JournalUnavailable):
            journal.renew()
        own_server.start()


def test_one_of_many_claims_at_once_gets_the_lease(server, shard):
    writers = [StreamJournal(server.url, shard=shard) for _ in range(8)]
    together = threading.Barrier(len(writers))

    def claim(writer: StreamJournal) -> bool:
        together.wait()
        try:
            writer.open(lease_seconds=60)
        except JournalHeld:
            return False
        return True

    with ThreadPoolExecutor(len(writers)) as pool:
        assert sum(pool.map(claim, writers)) == 1
    for writer in writers:
        writer.close()


def test_two_writers_that_take_over_from_each_other_never_append_side_by_side(server, shard):
    """Each claims, appends until it is fenced, and claims again: the journal is one row, each entry after the other."""
    acknowledged: list[tuple[int, bytes]] = []

    def write(name: bytes) -> None:
        for _ in range(20):
            with StreamJournal(server.url, shard=shard) as writer:
                writer.open(takes_over=True)
                try:
                    for _ in range(30):
                        entry = writer.last_seq + 1, os.urandom(20) + name
                        writer.append(*entry)
                        acknowledged.append(entry)
                except JournalFenced:
                    pass

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, (b"one", b"two")))
    entries = stored(server, shard)
    assert sorted(acknowledged) == entries
    assert [seq for seq, _ in entries] == list(range(1, len(entries) + 1))


PAUSED = """
import sys
from ledger.journal.errors import JournalFenced
from ledger.journal.stream import StreamJournal
journal = StreamJournal(sys.argv[1], shard=sys.argv[2])
journal.open("paused", 0.05)
try:
    while True:
        journal.append(journal.last_seq + 1, b"old")
        print(journal.last_seq, flush=True)
except JournalFenced as error:
    print("fenced", flush=True)
"""


def test_paused_writer_that_wakes_up_appends_nothing_and_knows_it(server, shard):
    old = subprocess.Popen([sys.executable, "-c", PAUSED, server.url, shard], stdout=subprocess.PIPE)
    try:
        assert old.stdout.readline()
        old.send_signal(signal.SIGSTOP)
        with StreamJournal(server.url, shard=shard) as journal:
            wait_until(lambda: journal.holder() is None)
            claim = journal.open("new", 60)
            journal.append(claim.last_seq + 1, b"new")
            old.send_signal(signal.SIGCONT)
            *acknowledged, last = old.communicate(timeout=WAIT_SECONDS)[0].split()
            assert last == b"fenced"
            assert int(acknowledged[-1]) <= claim.last_seq if acknowledged else True
            assert [payload for _, payload in journal.read(claim.last_seq)] == [b"new"]
    finally:
        old.kill()
        old.wait()


def test_number_that_is_given_out_twice_is_no_epoch_given_out_twice(server, shard, journal):
    """A replica that lags may not have heard of the last claim: it numbers the next one alike."""
    call(server.url, "SET", f"{{onhand:{shard}}}:epoch", "0")
    with StreamJournal(server.url, shard=shard) as newer:
        assert newer.open(takes_over=True) == (1, 0)
        for attempt in (journal.renew, lambda: journal.append(1, b"x")):
            with pytest.raises(JournalFenced):
                attempt()
        newer.append(1, b"y")
    assert stored(server, shard) == [(1, b"y")]


def test_claim_that_fails_after_all_gives_the_lease_back(server, shard, journal):
    journal.append(1, b"x")
    call(server.url, "DEL", f"{{onhand:{shard}}}:journal")
    for _ in range(2):
        with StreamJournal(server.url, shard=shard) as newer, pytest.raises(JournalCorrupt):
            newer.open(takes_over=True)
        assert journal.holder() is None


def test_renewing_brings_back_functions_that_were_flushed(own_server):
    with StreamJournal(own_server.url) as journal:
        journal.open()
        call(own_server.url, "FUNCTION", "FLUSH")
        journal.renew()
        journal.append(1, b"x")
