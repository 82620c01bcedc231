"""What callers said of reservations: for what each was made or committed, by whom, and where it is found by that.

It is taken from the notes of the journal's records: what has none costs nothing. A reservation's row stands by its
slot, as the ledger has it, and stays there until another one with a note takes the slot: nothing has to be dropped
when reservations end.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec
from numpy.typing import NDArray

from ledger.core import ids
from ledger.core.ledger import Ledger
from ledger.core.operations import MAKES_RESERVATION, OPERATIONS
from ledger.core.statuses import Operation, Status
from ledger.core.views import Violation
from ledger.parts.part import Note, Part

CHUNK_BITS: Final = 12
CHUNK_ROWS: Final = 1 << CHUNK_BITS
INDEXES: Final = 1_024
"""The index is many small ones: a large one is copied when it grows, and every caller waits for that."""
LISTED_MAX: Final = 4_096
"""Reservations of one reference that the index lists; of what has more it only knows how many."""


class NotedReservation(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """What callers said of one reservation; empty texts: nothing."""

    reservation_id: int
    reference: str = ""
    """Of the write that made it."""
    actor: str = ""
    """Of that write."""
    commit_reference: str = ""
    """Of the write that committed it, where it is another one."""

    @property
    def references(self) -> Iterator[str]:
        """By which it is found."""
        return filter(None, (self.reference, self.commit_reference))


OK: Final = int(Status.OK)
COMMIT: Final = int(Operation.COMMIT)
MAKING: Final = frozenset(int(row.operation) for row in OPERATIONS if row.traits & MAKES_RESERVATION)
NOTHING_SAID: Final = NotedReservation(0)
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(list[NotedReservation])


class References(Part):
    """Reservations of which callers said something, and by which references they are found."""

    name = "references"
    changes = ()

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger
        self._chunks: dict[int, list[NotedReservation | None]] = {}  # by slot: what all have grows by a chunk at a time
        # by reference: the slot; the slots; or, below 0, how many they are
        self._indexes: tuple[dict[str, int | set[int]], ...] = tuple({} for _ in range(INDEXES))

    # ---- reading ----------------------------------------------------------------------------------------------------

    def of(self, reservation_id: int) -> NotedReservation:
        """Return what was said of a reservation that can be read."""
        row = self._row(ids.slot_part(reservation_id))
        return row if row is not None and row.reservation_id == reservation_id else NOTHING_SAID

    def has(self, slot: int, reference: str) -> bool:
        """Tell whether a slot is of what has a reference; it may be of a reservation that can be read no more."""
        row = self._row(slot)
        return row is not None and reference in row.references

    def slots_of(self, reference: str) -> list[int] | None:
        """Return the slots of what has a reference, in order; None where they are too many to be listed.

        There may be some of reservations that can be read no more.
        """
        found = self._index_of(reference).get(reference)
        if found is None:
            return []
        if isinstance(found, set):
            return sorted(found)
        return [found] if found >= 0 else None

    # ---- changing ---------------------------------------------------------------------------------------------------

    def take_notes(self, notes: Sequence[Note], records: NDArray[Any]) -> None:
        """Keep what was said where reservations were made or committed."""
        places = [place for place, _, _ in notes]
        columns = (records[name][places].tolist() for name in ("operation", "status", "line_count", "reservation_id"))
        for (_, reference, actor), operation, status, line_count, number in zip(notes, *columns, strict=True):
            if status != OK:
                continue
            if operation in MAKING:
                self._set(NotedReservation(number, reference, sys.intern(actor)))
            elif operation == COMMIT and line_count:
                self._commit(number, reference)

    def _commit(self, reservation_id: int, reference: str) -> None:
        before = self.of(reservation_id)
        if reference not in ("", before.reference):
            self._set(msgspec.structs.replace(before, reservation_id=reservation_id, commit_reference=reference))

    def _set(self, row: NotedReservation) -> None:
        """Let a row stand by its slot, instead of the one that is there."""
        slot = row.reservation_id & ids.SLOT_MASK
        chunk = self._chunks.get(slot >> CHUNK_BITS)
        if chunk is None:
            chunk = self._chunks[slot >> CHUNK_BITS] = [None] * CHUNK_ROWS
        before = chunk[slot % CHUNK_ROWS]
        if before is not None:
            self.sum.remove(before)
            for reference in before.references:
                self._lose(reference, slot)
        chunk[slot % CHUNK_ROWS] = row
        self.sum.add(row)
        if row.reference:
            self._find(row.reference, slot)
        if row.commit_reference:
            self._find(row.commit_reference, slot)

    def _row(self, slot: int) -> NotedReservation | None:
        chunk = self._chunks.get(slot >> CHUNK_BITS)
        return None if chunk is None else chunk[slot % CHUNK_ROWS]

    # ---- the index --------------------------------------------------------------------------------------------------

    def _index_of(self, reference: str) -> dict[str, int | set[int]]:
        return self._indexes[hash(reference) % INDEXES]

    def _find(self, reference: str, slot: int) -> None:
        """Let a slot be found by a reference from now on."""
        index = self._indexes[hash(reference) % INDEXES]
        before = index.setdefault(reference, slot)
        if before == slot:  # as of most
            return
        if isinstance(before, set):
            before.add(slot)
            if len(before) > LISTED_MAX:
                index[reference] = -len(before)
        else:
            index[reference] = {before, slot} if before >= 0 else before - 1

    def _lose(self, reference: str, slot: int) -> None:
        """Let a slot be found by a reference no more."""
        index = self._index_of(reference)
        before = index[reference]
        if isinstance(before, set):
            before.remove(slot)
            if len(before) == 1:
                index[reference] = before.pop()
        elif before < -1:
            index[reference] = before + 1
        else:
            del index[reference]

    # ---- images and proof -------------------------------------------------------------------------------------------

    def image(self) -> bytes:
        """Return all of it, for `restore`."""
        return _encoder.encode(list(self.rows()))

    def restore(self, image: bytes) -> None:
        """Become what an image says."""
        assert not self._chunks
        for row in _decoder.decode(image):
            self._set(msgspec.structs.replace(row, actor=sys.intern(row.actor)))

    def rows(self) -> Iterable[NotedReservation]:
        """Give each reservation of which something was said, by its slot."""
        for _, chunk in sorted(self._chunks.items()):
            yield from filter(None, chunk)

    def verify(self) -> Iterator[Violation]:
        """Find what stands by the slot of another reservation, or of none, and what is not found by its reference."""
        yield from super().verify()
        found = 0
        for number, chunk in self._chunks.items():
            for place, row in enumerate(chunk):
                if row is None:
                    continue
                slot = number << CHUNK_BITS | place
                subject = f"reservation {row.reservation_id:016x}"
                if ids.slot_part(row.reservation_id) != slot or not self._ledger.was_given(row.reservation_id):
                    yield Violation("notes_are_of_reservations", subject, slot, ids.slot_part(row.reservation_id))
                for reference in row.references:
                    found += 1
                    if not _has(self._index_of(reference).get(reference), slot):
                        yield Violation("reservations_are_found_by_reference", subject, slot, -1)
        indexed = sum(_count(slots) for index in self._indexes for slots in index.values())
        if indexed != found:
            yield Violation("references_are_of_reservations", "references", found, indexed)


def _has(found: int | set[int] | None, slot: int) -> bool:
    """Tell whether what an index has of a reference may be of a slot."""
    if isinstance(found, set):
        return slot in found
    return found is not None and (found == slot or found < 0)


def _count(found: int | set[int]) -> int:
    """Return of how many slots it is."""
    if isinstance(found, set):
        return len(found)
    return 1 if found >= 0 else -found
