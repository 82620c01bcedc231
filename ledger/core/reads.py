"""Reading a ledger: stock levels, reservations and documents as they are now."""

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ledger.core import ids, limits
from ledger.core.kernels.memory import (
    FLAGS_SHIFT,
    HAS_DETAILS,
    HAS_RESERVATION,
    LINE_BITS,
    LINE_MASK,
    METHOD_ESCAPE,
    METHOD_SHIFT,
    SEQ_MASK,
    STATE_SHIFT,
    STATUS_SHIFT,
    TTL_BITS,
)
from ledger.core.kernels.read import find_level, find_request, read_availability, read_pairs
from ledger.core.kernels.scan import (
    FOLLOWING,
    FOUND,
    VISITED,
    gather_document_lines,
    gather_lines,
    scan_documents,
    scan_levels,
    scan_reservations,
)
from ledger.core.movements import OUTSIDE, Account
from ledger.core.names import KnownNames
from ledger.core.records import APPLIED_OVERSOLD
from ledger.core.state import (
    ACTIVE_TOTAL,
    BACKORDER_LIMIT,
    COMMITTED,
    COMMITTED_TOTAL,
    DOCUMENT_COUNT,
    ENDED_BY_KIND,
    ENDED_TOTAL,
    EXTRA_WIDTH,
    FREE,
    GENERATION_FLOOR,
    LEVEL_COUNT,
    OPEN_BY_KIND,
    REQUEST_FIRST,
    REQUEST_TOTAL,
    RESERVATION_COUNT,
    RESERVED,
    SAFETY_STOCK,
    STAGES,
    UNAVAILABLE,
    State,
)
from ledger.core.statuses import DocumentKind, FulfillmentStage, Operation, ReservationState, Status
from ledger.core.views import (
    Counts,
    DocumentFilter,
    DocumentLineView,
    DocumentView,
    LevelView,
    LineView,
    RequestView,
    ReservationView,
    Scan,
)

NO_EXTRA: Final = (0,) * EXTRA_WIDTH
ASSIGNED: Final = (FulfillmentStage.OPEN, FulfillmentStage.PICKED)
"""Stages of a fulfillment order whose units it holds for its order."""


def _level_view(stock: Sequence[int], extra: Sequence[int]) -> LevelView:
    unavailable = {reason: units for reason, units in enumerate(extra[UNAVAILABLE:], start=1) if units != 0}
    reserved, committed = stock[RESERVED], stock[COMMITTED]
    return LevelView(
        on_hand=stock[FREE] + reserved + committed + sum(unavailable.values()),
        unavailable=unavailable,
        reserved=reserved,
        committed=committed,
        safety_stock=extra[SAFETY_STOCK],
        backorder_limit=extra[BACKORDER_LIMIT],
    )


def _state_at_end(lines: Sequence[LineView]) -> ReservationState:
    """Return the state that a commitment shows of which nothing is open any more."""
    return ReservationState.FULFILLED if any(line.fulfilled for line in lines) else ReservationState.CANCELLED


def _operation_of(fingerprint: int) -> int:
    """Return the operation that a fingerprint tells."""
    code = fingerprint >> METHOD_SHIFT & METHOD_ESCAPE
    return code if code != METHOD_ESCAPE else code + (fingerprint & (1 << TTL_BITS) - 1)


class Reads(KnownNames):
    """What can be read of a ledger."""

    @property
    def _state(self) -> State:
        return self._columns.state

    def find_level(self, sku: int, location: int) -> int:
        """Row of a stock level, or -1."""
        if sku < 0 or location < 0:
            return -1
        return int(find_level(self._columns.packed, sku, location))

    def available(self, sku: int, location: int) -> int | None:
        """Units that a new hold could get, negative if oversold; None where the sku is not stocked."""
        rows, available, _ = self.availability(np.array([sku]), np.array([location]))
        return None if rows[0, 0] < 0 else int(available[0, 0])

    def availability(self, skus: NDArray[Any], locations: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Read what can be promised of each sku at each location.

        Parameters
        ----------
        skus, locations
            Known indexes, dtype int64.

        Returns
        -------
        rows, available, oversold
            Shape (skus, locations), dtype int64. rows is -1 where a sku is not stocked; available may be negative.
        """
        shape = len(skus), len(locations)
        rows, available, oversold = (np.zeros(shape, np.int64) for _ in range(3))
        read_availability(self._columns.packed, skus, locations, rows, available, oversold)
        return rows, available, oversold

    def policies(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return safety stock and backorder limit of levels by row, any shape, dtype int64; 0 for rows below 0."""
        extra = np.where(rows < 0, 0, self._state.level_extra_row[rows])
        has_extra = extra > 0  # most levels have none
        values = self._state.level_extra[extra[has_extra] - 1]
        safety_stock, backorder_limit = np.zeros(rows.shape, np.int64), np.zeros(rows.shape, np.int64)
        safety_stock[has_extra], backorder_limit[has_extra] = values[:, SAFETY_STOCK], values[:, BACKORDER_LIMIT]
        return safety_stock, backorder_limit

    def oversold_between(self, first: int, last: int) -> int:
        """Return how many levels of these rows, the last one excluded, have units promised beyond what is there."""
        free = self._state.level_stock[first:last, FREE]
        rows = np.flatnonzero(free < 0)
        return int(np.count_nonzero(free[rows] < -self.policies(first + rows)[1]))

    def available_at(self, skus: NDArray[np.int32], locations: NDArray[np.int32]) -> NDArray[np.int64]:
        """Units that a new hold could get at each pair of sku and location; 0 where the sku is not stocked.

        Parameters
        ----------
        skus, locations
            Shape (n,), dtype int32; negative: unknown.

        Returns
        -------
        available
            Shape (n,), dtype int64; negative where the level is oversold.
        """
        available = np.zeros(len(skus), np.int64)
        read_pairs(self._columns.packed, skus, locations, available)
        return available

    @property
    def level_count(self) -> int:
        """Stock levels there are; rows 0 to level_count - 1."""
        return int(self._state.counters[LEVEL_COUNT])

    def level_keys(self, first: int, last: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Sku and location indexes of the levels first to last - 1, dtype int64."""
        return self.keys_of(np.arange(first, last))

    def keys_of(self, rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Sku and location indexes of the levels of some rows, dtype int64."""
        keys = self._state.level_key[rows, 0]
        return (keys >> np.uint64(32)).astype(np.int64), (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)

    def level_names(self, rows: NDArray[Any]) -> list[tuple[str, str]]:
        """Sku and location ids of the levels of some rows."""
        skus, locations = self.keys_of(rows)
        return [
            (self._sku_ids[sku], self._location_ids[location])
            for sku, location in zip(skus.tolist(), locations.tolist(), strict=True)
        ]

    def level(self, sku: int, location: int) -> LevelView | None:
        """Return one stock level; None where the sku is not stocked."""
        row = self.find_level(sku, location)
        return None if row < 0 else self.level_at(row)

    def level_at(self, row: int) -> LevelView:
        """Return the stock level of a row."""
        (view,) = self.levels_at(np.array([row]))
        return view

    def levels_at(self, rows: NDArray[Any]) -> list[LevelView]:
        """Return the stock levels of some rows."""
        state = self._state
        extra_rows = state.level_extra_row[rows]
        extras = state.level_extra[np.maximum(extra_rows - 1, 0)].tolist()
        return [
            _level_view(stock, extra if has_extra else NO_EXTRA)
            for stock, extra, has_extra in zip(
                state.level_stock[rows].tolist(), extras, extra_rows.tolist(), strict=True
            )
        ]

    def scan_levels(self, first: int, *, sku: int, location: int, found_max: int, visits_max: int) -> Scan:
        """Look for the levels of a sku at a location (-1: any) from row `first` on, at most visits_max rows."""
        rows, result = np.zeros(found_max, np.int64), np.zeros(3, np.int64)
        if sku >= 0 and location >= 0:  # there is one at most, and the index knows it
            row = self.find_level(sku, location)
            return Scan(np.array([row] if row >= first else [], np.int64), self.level_count, 1)
        scan_levels(self._columns.packed, first, visits_max, sku, location, rows, result)
        return Scan(rows[: result[FOUND]], int(result[FOLLOWING]), int(result[VISITED]))

    def seq_of_request(self, high: int, low: int) -> int:
        """Return the seq at which a request id was answered first; 0 if it is not remembered."""
        row = int(find_request(self._columns.packed, np.uint64(high), np.uint64(low)))
        return int(self._state.requests[row]["answer"]) & SEQ_MASK if row >= 0 else 0

    def request(self, high: int, low: int) -> RequestView | None:
        """Return what is remembered of a request id; None if nothing is."""
        row = int(find_request(self._columns.packed, np.uint64(high), np.uint64(low)))
        if row < 0:
            return None
        entry = self._state.requests[row]
        fingerprint, answer, value = int(entry["fingerprint"]), int(entry["answer"]), int(entry["value"])
        flags, details = answer >> FLAGS_SHIFT, list[tuple[int, int, int, int]]()
        made = value if value > ids.SLOT_MASK else 0  # a version has 31 bits, and an id's generation is 1 at least
        if flags & HAS_DETAILS:
            made, details = self._chained(value, has_reservation=bool(flags & HAS_RESERVATION))
        operation, status = Operation(_operation_of(fingerprint)), Status(answer >> STATUS_SHIFT & 0xFF)
        if operation is Operation.RESERVE and status is Status.OK and not made:
            operation = Operation.REPLACE  # a request id knows both as the same call
        return RequestView(
            operation,
            status,
            answer >> STATE_SHIFT & 0xF,
            answer & SEQ_MASK,
            made,
            1 if made else 0 if details else value,
            int(entry["time_us"]),
            bool(flags & APPLIED_OVERSOLD),
            tuple(details),
        )

    def _chained(self, place: int, *, has_reservation: bool) -> tuple[int, list[tuple[int, int, int, int]]]:
        """Return the id and the details that a chain keeps, as `ledger.core.kernels.memory` writes it."""
        made, details = 0, []
        while place:
            level, following, quantity, opened, fulfilled = self._state.held_lines[place - 1].tolist()
            if has_reservation:
                made, has_reservation = opened << 32 | level << 31 | quantity, False
            else:
                units = level >> LINE_BITS << 32 | quantity & 0xFFFFFFFF
                details.append((level & LINE_MASK, fulfilled, opened, units))
            place = following
        return made, details

    def was_given(self, reservation_id: int) -> bool:
        """Tell whether an id is that of a reservation, also of one that can be read no more."""
        slot = ids.slot_part(reservation_id)
        if reservation_id <= 0 or self.is_foreign(reservation_id) or slot >= self.reservation_slots:
            return False
        return 0 < ids.generation_part(reservation_id) <= int(self._state.reservations[slot]["generation"])

    def remembers_since(self, seq: int) -> bool:
        """Tell whether request ids from a seq on are remembered: they are forgotten in the order of their seqs."""
        place = int(self._state.counters[REQUEST_FIRST])
        return place > 0 and int(self._state.requests[place - 1]["answer"]) & SEQ_MASK <= seq

    def are_readable(self, reservation_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell of each reservation what `has_reservation` tells."""
        slots = ids.slot_part(reservation_ids)
        is_used = self._are_own(reservation_ids) & (slots < self.reservation_slots)
        rows = self._state.reservations[np.where(is_used, slots, 0)]
        return np.asarray(is_used & (rows["state"] != 0) & (rows["generation"] == ids.generation_part(reservation_ids)))

    def remembers(self, high: int, low: int) -> bool:
        """Tell whether a request id, given as its high and low half, is remembered."""
        return bool(find_request(self._columns.packed, np.uint64(high), np.uint64(low)) >= 0)

    @property
    def reservation_slots(self) -> int:
        """Slots that reservations have used."""
        return int(self._state.counters[RESERVATION_COUNT])

    def _are_own(self, reservation_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which ids may be of this shard."""
        return np.asarray((reservation_ids > 0) & (ids.shard_of(reservation_ids) == self.shard))

    def is_foreign(self, identity: int) -> bool:
        """Tell whether an id names another shard."""
        return identity > 0 and ids.shard_of(identity) != self.shard

    def reservation_id_at(self, slot: int) -> int:
        """Id of the reservation in a slot; 0 if it is free."""
        row = self._state.reservations[slot]
        return 0 if row["state"] == 0 else ids.id_in_slot(self.shard, int(row["generation"]), slot)

    def has_reservation(self, reservation_id: int) -> bool:
        """Tell whether a reservation can be read: it is known, and did not end too long ago."""
        slot = ids.slot_part(reservation_id)
        is_used = reservation_id > 0 and slot < self.reservation_slots
        return is_used and self.reservation_id_at(slot) == reservation_id

    def reservation(self, reservation_id: int) -> ReservationView | None:
        """Return one reservation; None if it is unknown, or ended too long ago."""
        if not self.has_reservation(reservation_id):
            return None
        ((_, view),) = self.reservations_at(np.array([ids.slot_part(reservation_id)]))
        return view

    def reservations_at(self, slots: NDArray[np.int64]) -> list[tuple[int, ReservationView]]:
        """Return id and view of the reservations in some slots, none of which is free."""
        state = self._state
        rows = state.reservations[slots]
        lines = np.zeros((int(rows["line_count"].sum(dtype=np.int64)), 4), np.int64)
        assert gather_lines(self._columns.packed, slots, lines) == len(lines)
        skus, locations = self.keys_of(lines[:, 0])
        views = map(LineView, skus.tolist(), locations.tolist(), *lines[:, 1:].T.tolist())
        identities = ids.id_in_slot(self.shard, rows["generation"].astype(np.int64), slots)
        has_settled = (rows["state"] == ReservationState.COMMITTED) & (rows["is_ended"] != 0)
        columns = (rows[name].tolist() for name in ("state", "version", "create_time_us", "time_us", "line_count"))
        found = []
        for reservation_id, is_settled, status, version, create_time_us, time_us, line_count in zip(
            identities.tolist(), has_settled.tolist(), *columns, strict=True
        ):
            own = tuple(islice(views, line_count))
            shown = _state_at_end(own) if is_settled else ReservationState(status)
            found.append((reservation_id, ReservationView(shown, version, create_time_us, time_us, own)))
        return found

    def scan_reservations(
        self, first: int, *, state: int, sku: int, location: int, found_max: int, lines_max: int, visits_max: int
    ) -> Scan:
        """Look for the reservations in a state (0: any) with a line of a sku at a location (-1: any), from a slot on.

        At most found_max, few more than lines_max lines of those found, and about visits_max slots and lines looked at.
        """
        slots, result = np.zeros(found_max, np.int64), np.zeros(3, np.int64)
        scan_reservations(self._columns.packed, first, visits_max, lines_max, state, sku, location, slots, result)
        return Scan(slots[: result[FOUND]], int(result[FOLLOWING]), int(result[VISITED]))

    def held_line_counts(self, reservation_ids: NDArray[np.int64], made_max: int) -> NDArray[np.int64]:
        """Return how many lines some reservations have, before a batch that makes up to `made_max` new ones.

        One that the batch may make, by an id that can be foreseen, counts as many as it could have; an unknown one 0.
        """
        rows, used = self._state.reservations, self.reservation_slots
        return self._line_counts(rows, used, reservation_ids, made_max, limits.LINES_PER_RESERVATION_MAX)

    @property
    def _first_generation(self) -> int:
        """Of the first id of a slot that was never used."""
        return int(self._columns.counters.array[GENERATION_FLOOR]) + 1

    def _line_counts(
        self, rows: NDArray[np.void], used: int, identities: NDArray[np.int64], made_max: int, most: int
    ) -> NDArray[np.int64]:
        """Return how many lines there are under some ids of rows in `used` slots; `most` where that is not known."""
        slots, generations = ids.slot_part(identities), ids.generation_part(identities)
        is_own, is_new = self._are_own(identities), slots >= used
        is_used = is_own & ~is_new
        named = rows[np.where(is_used, slots, 0)]
        is_free = is_used & (named["state"] == 0)
        is_there = is_used & ~is_free & (named["generation"] == generations)
        can_be_made = is_free & (named["generation"] + 1 == generations)
        can_be_made |= is_own & is_new & (slots < used + made_max) & (generations == self._first_generation)
        return np.where(can_be_made, most, np.where(is_there, named["line_count"], 0))

    # ---- documents --------------------------------------------------------------------------------------------------

    @property
    def document_slots(self) -> int:
        """Slots that documents have used."""
        return int(self._state.counters[DOCUMENT_COUNT])

    def document_line_counts(self, document_ids: NDArray[np.int64], made_max: int) -> NDArray[np.int64]:
        """Return how many lines some documents have, before a batch that makes up to `made_max` new ones.

        As `held_line_counts` for one that the batch may make, and for an unknown one.
        """
        rows, used = self._state.documents, self.document_slots
        return self._line_counts(rows, used, document_ids, made_max, limits.LINES_PER_DOCUMENT_MAX)

    def order_of_document(self, document_id: int) -> int:
        """Return the reservation that a document of any kind is for; 0 for none, and where it is unknown."""
        slot = ids.slot_part(document_id)
        if document_id <= 0 or self.is_foreign(document_id) or slot >= self.document_slots:
            return 0
        row = self._state.documents[slot]
        is_it = row["state"] != 0 and int(row["generation"]) == ids.generation_part(document_id)
        return int(row["reservation_id"]) if is_it else 0

    def assigned_units(self) -> dict[int, Counter[tuple[int, int]]]:
        """Return the units by (sku, location) that fulfillment orders hold, by reservation; looks at all documents."""
        rows = self._state.documents[: self.document_slots]
        is_open = (rows["state"] != 0) & (rows["is_ended"] == 0) & (rows["kind"] == DocumentKind.FULFILLMENT_ORDER)
        found: dict[int, Counter[tuple[int, int]]] = {}
        for _, view in self.documents_at(np.flatnonzero(is_open)):
            own = found.setdefault(view.reservation_id, Counter())
            for sku, units in view.lines:
                own[sku, view.source] += sum(units[stage - 1] for stage in ASSIGNED)
        return found

    def document(self, document_id: int, kind: int) -> DocumentView | None:
        """Return one document of a kind; None if it is unknown, or ended too long ago."""
        slot = ids.slot_part(document_id)
        if document_id <= 0 or self.is_foreign(document_id) or slot >= self.document_slots:
            return None
        row = self._state.documents[slot]
        if row["state"] == 0 or row["kind"] != kind or int(row["generation"]) != ids.generation_part(document_id):
            return None
        ((_, view),) = self.documents_at(np.array([slot]))
        return view

    def documents_at(self, slots: NDArray[np.int64]) -> list[tuple[int, DocumentView]]:
        """Return id and view of the documents in some slots, none of which is free."""
        rows = self._state.documents[slots]
        lines = np.zeros((int(rows["line_count"].sum(dtype=np.int64)), 1 + STAGES), np.int64)
        assert gather_document_lines(self._columns.packed, slots, lines) == len(lines)
        views = (DocumentLineView(sku, tuple(units)) for sku, *units in lines.tolist())
        identities = ids.id_in_slot(self.shard, rows["generation"].astype(np.int64), slots)
        heads = rows[[*DocumentView._fields[:-1]]].tolist()
        counts = rows["line_count"].tolist()
        return [
            (document_id, DocumentView._make((*head, tuple(islice(views, count)))))
            for document_id, head, count in zip(identities.tolist(), heads, counts, strict=True)
        ]

    def scan_documents(
        self, first: int, wanted: DocumentFilter, *, found_max: int, lines_max: int, visits_max: int
    ) -> Scan:
        """Look for documents from a slot on.

        At most found_max and few more than lines_max lines of them, and at most visits_max slots.
        """
        slots, result = np.zeros(found_max, np.int64), np.zeros(3, np.int64)
        scan_documents(self._columns.packed, first, visits_max, lines_max, *wanted, slots, result)
        return Scan(slots[: result[FOUND]], int(result[FOLLOWING]), int(result[VISITED]))

    def outside(self, sku: int) -> dict[Account, int]:
        """Units of a sku that stand outside of stock levels, by account."""
        units = self._state.sku_outside[sku].tolist()
        return dict(zip(OUTSIDE, units, strict=True))

    def counts(self) -> Counts:
        """Return how many of each thing there are."""
        counters = self._state.counters
        return Counts(
            skus=len(self._sku_ids),
            locations=len(self._location_ids),
            stock_levels=int(counters[LEVEL_COUNT]),
            active_reservations=int(counters[ACTIVE_TOTAL]),
            committed_reservations=int(counters[COMMITTED_TOTAL]),
            ended_reservations=int(counters[ENDED_TOTAL]),
            request_ids=int(counters[REQUEST_TOTAL]),
            open_documents={kind: int(counters[OPEN_BY_KIND + kind]) for kind in DocumentKind},
            ended_documents={kind: int(counters[ENDED_BY_KIND + kind]) for kind in DocumentKind},
        )
