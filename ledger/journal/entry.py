"""The envelope of one journal entry: a checksum that chains it to the entry before, then its columns, packed."""

import sys
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from ledger.core.records import IS_REMEMBERED, MOVEMENT, RECORDED, RECORDED_DETAIL, RECORDED_REQUEST, Group
from ledger.formats import FORMAT, RELEASE, Head, head_of, is_readable, why_unreadable
from ledger.journal.errors import JournalCorrupt, JournalOfOtherRelease
from ledger.journal.packing import pack, unpack
from ledger.upgrades import ENTRY_STEPS, upgraded

CHAIN_BYTES: Final = 16
CHAIN_START: Final = bytes(CHAIN_BYTES)
"""What stands before the first entry of a journal."""

# Short columns are written as they lie in memory.
assert sys.byteorder == "little"
# An entry's bytes must follow from its values: a dtype with padding between its fields would write whatever lies there.
for _dtype in (RECORDED, RECORDED_REQUEST, MOVEMENT, RECORDED_DETAIL):
    assert _dtype.fields is not None
    assert _dtype.itemsize == sum(field[0].itemsize for field in _dtype.fields.values())


class Entry(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What one journal entry holds; the columns are those of a `Group`, as `ledger.journal.packing` keeps them."""

    version: int
    """The format in which it was written."""
    release: str
    """Of the writer."""
    epoch: int
    """Of the writer."""
    first_seq: int
    record_count: int
    time_us: int
    forgotten_count: int
    recycled_count: int
    movement_count: int
    records: bytes
    requests: bytes
    movements: bytes
    details: bytes
    notes: list[tuple[int, str, str]]
    """(record position, reference, actor) of the records that have them."""
    changes: list[tuple[int, bytes]]
    """(record position, changes) of the records that changed more than the columns: see `ledger.parts`."""
    skipped_count: int = 0
    """Seqs before first_seq that are never used: a journal that went backwards had them once."""
    is_marked: bool = False
    """Whether the writer takes the digest of the state before this entry."""
    digests: list[tuple[int, bytes]] = []
    """(seq, digest) of states marked before, which were not told yet."""

    @classmethod
    def of_group(
        cls,
        group: Group,
        epoch: int,
        notes: Sequence[tuple[int, str, str]] = (),
        changes: Sequence[tuple[int, bytes]] = (),
        *,
        skipped_count: int = 0,
        is_marked: bool = False,
        digests: Sequence[tuple[int, bytes]] = (),
    ) -> "Entry":
        """Return the entry that keeps a group, with what the kernels do not see of it."""
        assert group.records.dtype == RECORDED
        assert group.requests.dtype == RECORDED_REQUEST
        assert group.movements.dtype == MOVEMENT
        assert group.details.dtype == RECORDED_DETAIL
        # What reading will ask for: an entry that no replay takes must not become durable.
        assert _total(group.records["line_count"]) == len(group.movements), "movements of the records"
        assert _total(group.records["detail_count"]) == len(group.details), "details of the records"
        assert np.count_nonzero(group.records["flags"] & IS_REMEMBERED) == len(group.requests), "request ids"
        assert not changes or all(0 <= place < len(group.records) for place, _ in changes), "changes of the records"
        return cls(
            version=FORMAT,
            release=RELEASE,
            epoch=epoch,
            first_seq=group.first_seq,
            record_count=len(group.records),
            time_us=group.time_us,
            forgotten_count=group.forgotten_count,
            recycled_count=group.recycled_count,
            movement_count=len(group.movements),
            records=pack(group.records),
            requests=pack(group.requests),
            movements=pack(group.movements),
            details=pack(group.details),
            notes=list(notes),
            changes=list(changes),
            skipped_count=skipped_count,
            is_marked=is_marked,
            digests=list(digests),
        )

    @property
    def last_seq(self) -> int:
        """Seq of the last record: the entry's id in the stream."""
        return self.first_seq + self.record_count - 1

    def group(self) -> Group:
        """Return the group this entry keeps: arrays that are not to be written to.

        Raises
        ------
        JournalCorrupt
            A column does not have the length that the records say.
        """
        records = self._column("records", self.records, RECORDED, self.record_count)
        request_count = int(np.count_nonzero(records["flags"] & IS_REMEMBERED))
        movement_count = _total(records["line_count"])
        if movement_count != self.movement_count:
            found = f"movement_count: expected {movement_count}, found {self.movement_count}"
            raise JournalCorrupt(f"Journal entry {self.last_seq}-0: {found}.")
        detail_count = _total(records["detail_count"])
        return Group(
            first_seq=self.first_seq,
            time_us=self.time_us,
            forgotten_count=self.forgotten_count,
            recycled_count=self.recycled_count,
            records=records,
            requests=self._column("requests", self.requests, RECORDED_REQUEST, request_count),
            movements=self._column("movements", self.movements, MOVEMENT, movement_count),
            details=self._column("details", self.details, RECORDED_DETAIL, detail_count),
        )

    def _column(self, name: str, column: bytes, dtype: np.dtype[np.void], count: int) -> NDArray[np.void]:
        """Return a column as an array, once its length is what it must be: a kernel checks no bounds."""
        try:
            return unpack(column, dtype, count)
        except ValueError as error:
            raise JournalCorrupt(f"Journal entry {self.last_seq}-0: {name}: {error}.") from error


def _total(counts: NDArray[np.uint16]) -> int:
    """Return the sum of some counts; for the few of a small entry, what numpy does around a sum is felt."""
    return int(np.add.reduce(counts, dtype=np.int64))


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Entry)


def encode_entry(entry: Entry, previous_chain: bytes) -> tuple[bytes, bytes]:
    """Return the entry's payload (checksum, then body) and its checksum, which the next entry is chained to."""
    assert entry.version == FORMAT
    assert entry.record_count > 0  # its last seq is its id, and ids must rise
    assert len(previous_chain) == CHAIN_BYTES
    body = _encoder.encode(entry)
    chain = _chained(previous_chain, body)
    return chain + body, chain


def decode_entry(payload: bytes, previous_chain: bytes | None, last_seq: int | None = None) -> tuple[Entry, bytes]:
    """Return the entry of a payload and its checksum.

    Parameters
    ----------
    payload : bytes
        As `encode_entry` made it.
    previous_chain : bytes or None
        Checksum of the entry before, `CHAIN_START` for the very first; None reads an entry out of its row, unchecked.
    last_seq : int, optional
        The id that the entry has in the stream: it must be the entry's own, and errors name it.

    Raises
    ------
    JournalCorrupt
        The checksum does not follow from the entry before and the body, the body cannot be decoded, or the id is
        another's.
    JournalOfOtherRelease
        This release does not read its format.
    """
    name = "Journal entry" if last_seq is None else f"Journal entry {last_seq}-0"
    found, body = payload[:CHAIN_BYTES], memoryview(payload)[CHAIN_BYTES:]
    if previous_chain is not None and found != (expected := _chained(previous_chain, body)):
        raise JournalCorrupt(f"{name}: checksum chain: expected {expected.hex()}, found {found.hex()}.")
    entry = _decode_body(body, name)
    if last_seq is not None and entry.last_seq != last_seq:
        raise JournalCorrupt(f"{name}: expected last seq {last_seq}, found {entry.last_seq}.")
    return entry, found


def _chained(previous_chain: bytes, body: bytes | memoryview) -> bytes:
    """Return xxh3_128(previous chain + body), without putting the two together in memory."""
    checksum = xxhash.xxh3_128(previous_chain)
    checksum.update(body)
    return checksum.digest()


def _decode_body(body: memoryview, name: str) -> Entry:
    """Return the entry of a body; of a body that cannot be decoded, say first if its format is the reason."""
    try:
        entry = _decoder.decode(body)
        if entry.version != FORMAT:
            entry = _decode_other(body, Head(entry.version, entry.release), name)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        head = head_of(body)
        if head is None or head.version == FORMAT:
            raise JournalCorrupt(f"{name}: cannot be decoded: {error}") from error
        entry = _decode_other(body, head, name)
    if entry.record_count < 1 or entry.first_seq < 1 or entry.skipped_count < 0:
        raise JournalCorrupt(f"{name}: expected records, found {entry.record_count} from seq {entry.first_seq}.")
    return entry


def _decode_other(body: memoryview, head: Head, name: str) -> Entry:
    """Return the entry of a body in another format than this release's own."""
    if not is_readable(head):
        raise JournalOfOtherRelease(f"{name}: {why_unreadable(head)}.")
    try:
        return _decoder.decode(upgraded(body, head.version, ENTRY_STEPS))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise JournalCorrupt(f"{name}: cannot be decoded as format {head.version}: {error}") from error
