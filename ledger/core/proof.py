"""Proof of a ledger: its digest, and everything counted anew."""

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from ledger.core import ids
from ledger.core.kernels.check import (
    check_levels,
    check_requests,
    check_reservations,
    count_misused_document_lines,
    count_misused_lines,
    recount_documents,
    recount_levels,
)
from ledger.core.reads import Reads
from ledger.core.state import COMMITTED, DOCUMENT_LINE_COUNT, HELD_LINE_COUNT, RESERVED, TRANSIT, WHEEL_STRETCHES
from ledger.core.views import Violation


class Proof(Reads):
    """What tells that a ledger is whole."""

    def digest(self) -> bytes:
        """Return 16 bytes that are equal for ledgers that applied the same groups (xxh3, 128 bits)."""
        digest = xxhash.xxh3_128()
        digest.update(msgspec.msgpack.encode((self._sku_ids, self._location_ids)))
        for rows in self._columns.told():
            digest.update(np.ascontiguousarray(rows).view(np.uint8).data)
        return digest.digest()

    def oversold_level_count(self) -> int:
        """Return how many levels have units promised beyond what is there: facts, not violations."""
        return int(np.count_nonzero(self._level_checks()[3]))

    def _level_checks(self) -> tuple[NDArray[Any], ...]:
        arrays = tuple(np.zeros(self.level_count, np.int64) for _ in range(4))
        check_levels(self._columns.packed, *arrays)
        return arrays

    def verify(self) -> list[Violation]:
        """Recount everything and return what does not add up; empty if nothing is wrong."""
        return [*self._verify_levels(), *self._verify_reservations(), *self._verify_documents()]

    def _verify_levels(self) -> Iterator[Violation]:
        state = self._state
        levels = self.level_count
        reserved, committed = np.zeros(levels, np.int64), np.zeros(levels, np.int64)
        balance = np.zeros(len(self._sku_ids), np.int64)
        recount_levels(self._columns.packed, reserved, committed, balance)
        self._recount_documents(committed)
        for name, column, expected in (
            ("reserved_matches_reservations", RESERVED, reserved),
            ("committed_matches_reservations", COMMITTED, committed),
        ):
            actual = state.level_stock[:levels, column]
            for row in np.flatnonzero(actual != expected):
                yield Violation(name, self._level_name(int(row)), int(expected[row]), int(actual[row]))
        for sku in np.flatnonzero(balance):
            yield Violation("units_are_conserved", self._sku_ids[sku], 0, int(balance[sku]))
        wrong_floor, wrong_index, negative, _ = self._level_checks()
        for name, marks in (
            ("floor_matches_policy", wrong_floor),
            ("index_finds_level", wrong_index),
            ("unavailable_is_not_negative", negative),
        ):
            for row in np.flatnonzero(marks):
                yield Violation(name, self._level_name(int(row)), 0, int(marks[row]))

    def _verify_reservations(self) -> Iterator[Violation]:
        state = self._state
        slots, lines = self.reservation_slots, int(state.counters[HELD_LINE_COUNT])
        wrong_open, wrong_list = np.zeros(slots, np.int64), np.zeros(slots, np.int64)
        line_uses = np.zeros(lines, np.int64)
        check_reservations(
            self._columns.packed, self._occupied_ticks(), np.zeros(slots, np.uint8), wrong_open, wrong_list, line_uses
        )
        for name, marks in (("open_units_fit_state", wrong_open), ("expiry_lists_are_complete", wrong_list)):
            for slot in np.flatnonzero(marks):
                yield Violation(name, f"reservation {self.reservation_id_at(int(slot)):016x}", 0, 1)
        lost = int(check_requests(self._columns.packed, line_uses))
        if lost:
            yield Violation("index_finds_request_ids", "request ids", 0, lost)
        misused = int(count_misused_lines(self._columns.packed, line_uses))
        if misused:
            yield Violation("lines_have_one_owner", "reservation lines", 0, misused)

    def _recount_documents(self, committed: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Return units in transit by sku, open documents by reservation, marks by slot, and uses of lines.

        What documents hold is added to committed, shape (levels,).
        """
        skus, lines = len(self._sku_ids), int(self._state.counters[DOCUMENT_LINE_COUNT])
        found = tuple(np.zeros(rows, np.int64) for rows in (skus, self.reservation_slots, self.document_slots, lines))
        recount_documents(self._columns.packed, committed, *found)
        return found

    def _verify_documents(self) -> Iterator[Violation]:
        state = self._state
        transit, awaited, wrong_state, line_uses = self._recount_documents(np.zeros(self.level_count, np.int64))
        actual = state.sku_outside[: len(transit), TRANSIT]
        for sku in np.flatnonzero(actual != transit):
            yield Violation("transit_matches_documents", self._sku_ids[sku], int(transit[sku]), int(actual[sku]))
        for slot in np.flatnonzero(wrong_state):
            document_id = ids.id_in_slot(self.shard, int(state.documents[slot]["generation"]), int(slot))
            yield Violation("units_fit_state", f"document {document_id:016x}", 0, 1)
        rows = state.reservations[: len(awaited)]
        for slot in np.flatnonzero((rows["awaits"] != awaited) & (rows["state"] != 0)):
            name = f"reservation {self.reservation_id_at(int(slot)):016x}"
            yield Violation("documents_are_awaited", name, int(awaited[slot]), int(rows["awaits"][slot]))
        misused = int(count_misused_document_lines(self._columns.packed, line_uses))
        if misused:
            yield Violation("document_lines_have_one_owner", "document lines", 0, misused)

    def _level_name(self, row: int) -> str:
        return " at ".join(self.level_names(np.array([row]))[0])

    def _occupied_ticks(self) -> NDArray[np.int64]:
        """Return the ticks of the expiry wheel that are not empty, of its four million.

        Most stretches of them never had a hold: of those, not even the memory is there.
        """
        stretches = self._columns["wheel"].array.view(np.int64).reshape(WHEEL_STRETCHES, -1)
        used = np.flatnonzero(self._columns["wheel_stretches"].array)
        stretch, tick = np.divmod(np.flatnonzero(stretches[used]), stretches.shape[1])
        return used[stretch] * stretches.shape[1] + tick
