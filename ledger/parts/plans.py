"""Plans of orders: what was decided, and the capacity that it takes.

The ledger does not decide plans and does not look into them. It keeps them beside the reservations that hold their
units, as the journal says, so that writer, standby and replay agree on what is kept and how loaded each location is.
Plans come as they were decided: those of one step together, as columns.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from ledger.core.ledger import Ledger
from ledger.core.limits import EXPLAINED_MAX_DEFAULT, LINES_PER_RESERVATION_MAX, QUANTITY_MAX
from ledger.core.movements import EFFECT, GIVES_BACK, TAKES
from ledger.core.statuses import Status
from ledger.core.views import ReservationView, Violation
from ledger.parts.aging import AgingPart
from ledger.parts.holds import BRINGS_TO_HOLD, IS_OF_DOCUMENT, OF_NO_DOCUMENT, Arrival, holds_that_lost, keys_of
from ledger.parts.load import Load, first_day_at
from ledger.parts.part import Change
from ledger.parts.planned import (
    AGES,
    BOOKING,
    ArrivedUnits,
    Booking,
    PlannedOrders,
    Rejection,
    View,
    order_of,
    reservation_of,
)
from ledger.parts.views import RoutingViews

VIEWS_MAX: Final = 64
"""A network that changes all the time is not kept for ever: plans over older views are explained no more."""
HOLDS_AT_ONCE: Final = 1_000
"""That are recounted."""


class StoredPlan(NamedTuple):
    """One plan that is kept; see PlannedOrders."""

    seq: int
    reservation_id: int
    reference: str
    request: bytes
    place: int
    """Of the order in the request; -1: it is the request."""
    response: bytes
    seen: bytes
    """Empty: kept no more."""
    view: int
    rejections: tuple[Rejection, ...]
    amended: bytes

    @property
    def order(self) -> str:
        """Whom its rejections concern."""
        return order_of(self.reference, self.reservation_id)


class PlansImage(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """All of it, as a snapshot has it."""

    steps: list[PlannedOrders] = []
    bookings: list[tuple[int, list[Booking]]] = []
    load: list[tuple[int, int, int]] = []
    """(location, day, units)."""
    first_day: int = 0
    worked: list[tuple[int, int, int]] | None = None
    """What of the load is that of plans which are kept no more; None: all that is not of those that are."""
    let_go: list[int] = []
    """Reservations whose first plan is kept, and whose last is not any more."""


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(PlansImage)


def _int64s(column: bytes) -> NDArray[np.int64]:
    return np.frombuffer(column, np.int64)


def _booked(step: PlannedOrders, place: int) -> list[Booking]:
    """Return what one plan of a step takes of the locations' days."""
    rows = np.frombuffer(step.bookings, BOOKING)
    return [
        Booking(sku, location, day, units)
        for _, _, sku, location, day, _, units in rows[rows["plan"] == place].tolist()
    ]


def _assert_whole(step: PlannedOrders) -> None:
    """Assert that the lists of a step belong together."""
    count = len(step.responses)
    assert count > 0
    assert len(step.seqs) == len(step.reservation_ids) == 8 * count == 8 * len(step.references)
    assert len(step.requests) == (1 if step.are_columns else count)
    assert len(step.seen) in (0, count)
    assert count == 1 or not (step.amended or step.rejections), "of a single plan only"
    if count > 1:  # looking into columns takes longer than keeping one plan
        rows = np.frombuffer(step.bookings, BOOKING)
        assert not len(rows) or (rows["plan"].max() < count and rows["units"].min() > 0), "bookings of the plans"
        assert (np.diff(_int64s(step.seqs)) > 0).all(), "seqs rise"


def _has_no_room(view: ReservationView, level: tuple[int, int], units: int) -> bool:
    """Tell whether a reservation cannot tell of units that were fulfilled for it by a document."""
    own = [line.quantity for line in view.lines if (line.sku, line.location) == level]
    return units > 0 and (own[0] + units > QUANTITY_MAX if own else len(view.lines) == LINES_PER_RESERVATION_MAX)


class Plans(AgingPart):
    """Plans, and the load of locations by day.

    A plan is kept at least as long as its reservation can be read, or its request id is remembered. What it was decided
    on is kept while it is among the last plans. Names are the ledger's indexes.
    """

    name = "plans"
    changes = (*AGES, ArrivedUnits, View)
    settled_before = (PlannedOrders, ArrivedUnits)  # they take capacity, also that which was just let go

    def __init__(self, ledger: Ledger, views: RoutingViews) -> None:
        super().__init__()
        self._ledger = ledger
        self._views = views
        self._steps: dict[int, PlannedOrders] = {}  # by first seq; the oldest, and those looked at longest ago, first
        self._step_of: dict[int, int] = {}  # by seq
        self._by_reservation: dict[int, int] = {}
        self._explained: dict[int, int] = {}  # step -> plans, the oldest first
        self._explained_count = 0
        self._bookings: dict[int, list[Booking]] = {}  # of reservations whose plan says it no more
        self._load = Load()
        self._worked: dict[int, Counter[int]] = {}  # day -> location -> units of holds whose plan is kept no more
        # It decides nothing and is only recounted, so that it is in snapshots and not in digests: a snapshot of the
        # release before does not say it.
        self._settled = 0, 0  # records and movements of the open group that are settled
        self._told = set[int]()  # records of the open group whose plans say all that their holds have booked
        self.added_bytes = 0
        """Of the plans kept since the last settlement: what they take of the journal entry."""
        self.explained_max = EXPLAINED_MAX_DEFAULT
        """How many plans this engine can explain, at least, of those it makes; a plan tells it to whoever replays."""

    # ---- reading ----------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Plans that are kept."""
        return len(self._step_of)

    def plan(self, seq: int) -> StoredPlan | None:
        """Return a plan; None if there is none, or no more."""
        key = self._step_of.get(seq)
        if key is None:
            return None
        step = self._steps[key]
        place = int(np.searchsorted(_int64s(step.seqs), seq))
        return StoredPlan(
            seq,
            int(_int64s(step.reservation_ids)[place]),
            step.references[place],
            step.requests[0 if step.are_columns else place],
            place if step.are_columns else -1,
            step.responses[place],
            step.seen[place] if step.seen else b"",
            step.view,
            step.rejections,
            step.amended,
        )

    def plan_of_reservation(self, reservation_id: int) -> StoredPlan | None:
        """Return the last plan of a reservation; None if it has none."""
        return self.plan(self._by_reservation.get(reservation_id, 0))

    def plan_of_request(self, high: int, low: int) -> StoredPlan | None:
        """Return the plan that a request id led to; None if there is none, or the id is remembered no more."""
        return self.plan(self._ledger.seq_of_request(high, low))

    def booked_by(self, reservation_id: int) -> Sequence[Booking]:
        """Return what a reservation takes of the locations' days; nothing where it has no plan."""
        return self._bookings_of(reservation_id) if reservation_id in self._by_reservation else ()

    @property
    def load(self) -> "Load":
        """Units that plans take of the locations' capacity."""
        return self._load

    # ---- changing ---------------------------------------------------------------------------------------------------

    def put(self, changes: Sequence[Change], time_us: int) -> None:
        """Keep plans, and what changes of their holds brought elsewhere."""
        super().put(changes, time_us)
        for change in changes:
            if isinstance(change, PlannedOrders):
                self._put_step(change, time_us)
            elif isinstance(change, ArrivedUnits):
                self._put_arrived(change, time_us)
            elif isinstance(change, View):
                self._bound_views()

    def _put_step(self, step: PlannedOrders, time_us: int) -> None:
        _assert_whole(step)
        if step.amended:
            reservation_id = reservation_of(step)
            self._book(reservation_id, [*self._bookings_of(reservation_id), *_booked(step, 0)])
        else:
            self._take_place_of_earlier(reservation_of(step))
        self._keep(step)
        self.sum.add(step)
        self.added_bytes += sum(sum(map(len, texts)) for texts in (step.requests, step.responses, step.seen))
        self._load.add(np.frombuffer(step.bookings, BOOKING), first_day_at(time_us))
        while self._explained and self._explained_count - next(iter(self._explained.values())) >= step.explained_max:
            self._explain_no_more(next(iter(self._explained)))

    def _take_place_of_earlier(self, reservation_id: int) -> None:
        """Give back all that a reservation has booked: the plan that is kept next says it anew.

        What the plan's record let go is in it, then: all records before that one are settled.
        """
        for booking in self.booked_by(reservation_id):
            self._load.take_back(booking, booking.units)
        self._book(reservation_id, None)
        self._told.add(self._settled[0])

    def _put_arrived(self, change: ArrivedUnits, time_us: int) -> None:
        self._book(change.reservation_id, [*self._bookings_of(change.reservation_id), *change.bookings])
        for booking in change.bookings:
            self._load.book(booking, first_day_at(time_us))

    def _book(self, reservation_id: int, bookings: list[Booking] | None) -> None:
        """Keep what a reservation has booked; None: no more than its plan says."""
        before = self._bookings.pop(reservation_id, None)
        if before is not None:
            self.sum.remove((reservation_id, before))
        if bookings is not None:
            self._bookings[reservation_id] = bookings
            self.sum.add((reservation_id, bookings))

    def _keep(self, step: PlannedOrders) -> None:
        """Take a step in."""
        seqs = _int64s(step.seqs).tolist()
        key = seqs[0]
        self._steps[key] = step
        self._step_of.update(dict.fromkeys(seqs, key))
        if step.seen:
            self._explained[key] = len(seqs)
            self._explained_count += len(seqs)
        for reservation_id, seq in zip(_int64s(step.reservation_ids).tolist(), seqs, strict=True):
            if reservation_id:  # the last plan is the one: an image has them in another order
                self._by_reservation[reservation_id] = max(seq, self._by_reservation.get(reservation_id, 0))

    def _explain_no_more(self, key: int) -> None:
        self._explained_count -= self._explained.pop(key)
        before = self._steps[key]
        step = self._steps[key] = msgspec.structs.replace(before, seen=[])
        self.sum.remove(before)
        self.sum.add(step)

    # ---- settling ---------------------------------------------------------------------------------------------------

    def settle(self, records: NDArray[Any], movements: NDArray[Any], time_us: int) -> None:
        """End a group: give back the capacity of units that were let go, and drop what is over.

        Parameters
        ----------
        records, movements
            Of the group, dtypes RECORDED and MOVEMENT; the ledger has applied them.
        time_us
            Of the group.
        """
        self.settle_up_to(len(records), records, movements)
        assert self._settled == (len(records), len(movements)), "all of the group is settled"
        self._settled = 0, 0
        self._told.clear()
        first_day = first_day_at(time_us)
        self._load.drop_before(first_day)
        for day in [day for day in self._worked if day < first_day]:
            del self._worked[day]
        super().settle(records, movements, time_us)

    def settle_up_to(self, count: int, records: NDArray[Any], movements: NDArray[Any]) -> None:
        """Give back the capacity of units that the first records of a group let go.

        Writer and replay do it before they keep what a later record planned, so that both see the same bookings; the
        ledger of a replay need not have applied the group by then.
        """
        first, first_movement = self._settled
        assert first <= len(records)
        assert count <= len(records)
        if count <= first:
            return
        last_movement = first_movement + int(records["line_count"][first:count].sum())
        assert last_movement <= len(movements)
        rows = self._let_go(records[:count], movements[:last_movement]) if self._by_reservation else ()
        self._settled = count, last_movement
        for _, reservation_id, sku, location, units in rows:
            self._unbook(reservation_id, sku, location, units)

    def settle_arrivals(
        self,
        records: NDArray[Any],
        movements: NDArray[Any],
        first_seq: int,
        day_of: Callable[[int], int],
        time_us: int,
    ) -> list[tuple[int, ArrivedUnits]]:
        """Settle all of the open group so far, and book what changes of planned holds brought to locations.

        Parameters
        ----------
        records, movements, first_seq, time_us
            Of the group.
        day_of
            Tells on which day what comes to a location now would leave.

        Returns
        -------
        list of (seq, change)
            What a replay is to put, in this order.
        """
        first, _ = self._settled
        arrivals = self.arrivals(records, movements, first_seq)
        rows = self._let_go(records, movements)
        self._settled = len(records), len(movements)
        changes, settled = [], 0
        for arrival in arrivals:
            while settled < len(rows) and first_seq + first + rows[settled][0] < arrival.seq:
                self._unbook(*rows[settled][1:])
                settled += 1
            bookings = [Booking(sku, location, day_of(location), units) for sku, location, units in arrival.units]
            change = ArrivedUnits(arrival.reservation_id, tuple(bookings))
            self._put_arrived(change, time_us)
            changes.append((arrival.seq, change))
        for row in rows[settled:]:
            self._unbook(*row[1:])
        return changes

    def arrivals(self, records: NDArray[Any], movements: NDArray[Any], first_seq: int) -> list[Arrival]:
        """Return what changes of planned holds brought to locations, of the records that are not settled yet.

        What a plan brought there, which takes over rejected units, is booked with the plan.
        """
        first, movement = self._settled
        found: list[Arrival] = []
        if not self._by_reservation or len(records) <= first:
            return found
        own = records[first:]
        starts = movement + np.cumsum(own["line_count"], dtype=np.int64) - own["line_count"]
        places = np.flatnonzero(BRINGS_TO_HOLD[own["operation"]] & (own["status"] == Status.OK))
        holds = zip(
            places.tolist(), own["operation"][places].tolist(), own["reservation_id"][places].tolist(), strict=True
        )
        for place, operation, named in holds:
            seq, reservation_id = first_seq + first + place, named
            if IS_OF_DOCUMENT[operation]:
                reservation_id = self._ledger.order_of_document(named)
            if reservation_id not in self._by_reservation or seq in self._step_of:
                continue
            rows = movements[starts[place] : starts[place] + own["line_count"][place]]
            rows = rows[(EFFECT[rows["kind"]] == TAKES) & (rows["quantity"] > 0) & (rows["change"] == OF_NO_DOCUMENT)]
            if len(rows):
                skus, locations = self._ledger.keys_of(rows["level"])
                units = zip(skus.tolist(), locations.tolist(), rows["quantity"].tolist(), strict=True)
                found.append(Arrival(seq, reservation_id, list(units)))
        return found

    def _let_go(self, records: NDArray[Any], movements: NDArray[Any]) -> list[tuple[int, int, int, int, int]]:
        """Return (record, reservation, sku, location, units) of what records let go that are not settled yet.

        Of planned holds, but not what made way for a plan; records are counted from the first of them.
        """
        first_record, first = self._settled
        whole, records = records, records[first_record:]
        line_counts = records["line_count"]
        places = np.flatnonzero(EFFECT[movements["kind"][first:]] == GIVES_BACK)
        if not len(places):
            return []
        owners = np.searchsorted(np.cumsum(line_counts, dtype=np.int64), places, side="right")
        reservation_ids = holds_that_lost(self._ledger, whole, first_record + owners, movements, first + places)
        chosen = [at for at, owner in enumerate(reservation_ids) if owner in self._by_reservation]
        if chosen and self._told:
            chosen = [at for at in chosen if first_record + int(owners[at]) not in self._told]
        if not chosen:
            return []
        own = movements[first + places[chosen]]
        rows = zip(keys_of(self._ledger, own["level"], movements), own["quantity"].tolist(), strict=True)
        return [
            (int(owners[at]), reservation_ids[at], sku, location, units)
            for at, ((sku, location), units) in zip(chosen, rows, strict=True)
        ]

    def _unbook(self, reservation_id: int, sku: int, location: int, units: int) -> None:
        """Give back units of a reservation, those that came last first."""
        bookings = list(self._bookings_of(reservation_id))
        for place in range(len(bookings) - 1, -1, -1):
            booking = bookings[place]
            if (booking.sku, booking.location) != (sku, location):
                continue
            taken = min(units, booking.units)
            units -= taken
            bookings[place] = booking._replace(units=booking.units - taken)
            self._load.take_back(booking, taken)
        self._book(reservation_id, [booking for booking in bookings if booking.units])

    def _bookings_of(self, reservation_id: int) -> list[Booking]:
        """Return what a reservation has booked; before anything of it changed, what its one plan says."""
        if reservation_id in self._bookings:
            return self._bookings[reservation_id]
        seq = self._by_reservation.get(reservation_id, 0)
        step = self._steps[self._step_of[seq]]
        return _booked(step, int(np.searchsorted(_int64s(step.seqs), seq)))

    def trim(self, look_count: int, time_us: int) -> None:
        """Drop the plans that nobody can ask for any more, and the views that none is explained over."""
        for key in list(islice(self._steps, look_count)):
            step = self._steps.pop(key)
            if self._is_needed(step):
                self._steps[key] = step
            else:
                self._forget(key, step, first_day_at(time_us))
        self._drop_views()
        self.added_bytes = 0

    def _is_needed(self, step: PlannedOrders) -> bool:
        reservation_ids = _int64s(step.reservation_ids)
        if self._ledger.has_reservation(int(reservation_ids[-1])) or self._ledger.are_readable(reservation_ids).any():
            return True
        return bool(step.remembered_seq) and self._ledger.remembers_since(step.remembered_seq)

    def _forget(self, key: int, step: PlannedOrders, first_day: int) -> None:
        """Keep a step no more, and of its capacity only how much it is."""
        self.sum.remove(step)
        self._explained_count -= self._explained.pop(key, 0)
        as_planned = []  # places of the plans whose holds never changed
        seqs, reservation_ids = _int64s(step.seqs).tolist(), _int64s(step.reservation_ids).tolist()
        for place, (seq, reservation_id) in enumerate(zip(seqs, reservation_ids, strict=True)):
            del self._step_of[seq]
            if self._by_reservation.get(reservation_id) != seq:
                continue
            del self._by_reservation[reservation_id]
            if reservation_id in self._bookings:
                self._note_worked([one[1:] for one in self._bookings[reservation_id]], first_day)
                self._book(reservation_id, None)
            else:
                as_planned.append(place)
        if as_planned:
            rows = np.frombuffer(step.bookings, BOOKING)
            rows = rows[np.isin(rows["plan"], as_planned)]
            self._note_worked(rows[["location", "day", "units"]].tolist(), first_day)

    def _note_worked(self, rows: Iterable[tuple[int, int, int]], first_day: int) -> None:
        """Count (location, day, units) of holds whose plan is kept no more."""
        for location, day, units in rows:
            if day >= first_day:
                self._worked.setdefault(day, Counter())[location] += units

    def _bound_views(self) -> None:
        while len(self._views) > VIEWS_MAX:
            oldest = next(iter(self._views))
            while self._explained and self._steps[next(iter(self._explained))].view <= oldest:
                self._explain_no_more(next(iter(self._explained)))
            self._views.drop_before(oldest + 1)

    def _drop_views(self) -> None:
        """Drop the views that no plan is explained over any more; the last one is used again."""
        oldest = self._steps[next(iter(self._explained))].view if self._explained else max(self._views, default=0)
        self._views.drop_before(oldest)

    # ---- images and proof -------------------------------------------------------------------------------------------

    def image(self) -> bytes:
        """Return all of it, for `restore`."""
        bookings = list(self._bookings.items())
        return _encoder.encode(
            PlansImage(
                list(self._steps.values()),
                bookings,
                self._load.rows(),
                self._load.first_day,
                self._worked_rows(),
                self._let_go_of(),
            )
        )

    def _let_go_of(self) -> list[int]:
        """Return the reservations that a plan is kept for, and that have none any more: a rejection's was the last."""
        planned = (_int64s(step.reservation_ids).tolist() for step in self._steps.values())
        return [each for each in chain.from_iterable(planned) if each and each not in self._by_reservation]

    def _worked_rows(self) -> list[tuple[int, int, int]]:
        """Return (location, day, units) of plans that are kept no more, in order."""
        rows = ((at, day, units) for day, by_location in self._worked.items() for at, units in by_location.items())
        return sorted(rows)

    def restore(self, image: bytes) -> None:
        """Become the plans of an image."""
        assert not self._steps
        found = _decoder.decode(image)
        for step in found.steps:
            self._keep(step)
        for reservation_id in found.let_go:
            self._by_reservation.pop(reservation_id, None)
        self._explained = dict(sorted(self._explained.items()))
        self._bookings = dict(found.bookings)
        self._load.restore(found.load, found.first_day)
        self._worked = {}
        worked = self._load_beyond_plans() if found.worked is None else found.worked
        for location, day, units in worked:
            self._worked.setdefault(day, Counter())[location] = units

    def _load_beyond_plans(self) -> list[tuple[int, int, int]]:
        """Return (location, day, units) of what the plans that are kept do not take of the load."""
        beyond = Counter({(location, day): units for location, day, units in self._load.rows()})
        beyond.subtract(self._booked_from(first_day_at(self._ledger.time_us)))
        return [(*place, units) for place, units in beyond.items() if units]

    def _booked_from(self, first_day: int) -> Counter[tuple[int, int]]:
        """Return the units that kept plans take of each location on days from one on."""
        booked = Counter[tuple[int, int]]()
        for reservation_id in self._by_reservation:
            for booking in self._bookings_of(reservation_id):
                if booking.day >= first_day:
                    booked[booking.location, booking.day] += booking.units
        return booked

    def rows(self) -> Iterable[Any]:
        """Give each step, and what reservations have booked beyond it."""
        yield from self._steps.values()
        yield from self._bookings.items()

    def digest(self) -> bytes:
        """Return bytes that are equal for equal plans; the load is a table, and hashed as one."""
        load = xxhash.xxh3_128(self._load.columns().tobytes())
        load.update(self._load.first_day.to_bytes(8, "little"))
        return super().digest() + load.digest()

    def verify(self) -> Iterator[Violation]:
        """Find plans that are not found, holds whose capacity is not theirs, and loads that are not the sum of them."""
        yield from super().verify()
        lost = list(self._verify_plans())
        yield from lost
        if lost:  # then nothing says what they have booked
            return
        yield from self._verify_holds()
        yield from self._verify_load()

    def _verify_plans(self) -> Iterator[Violation]:
        """Find plans that are not found by seq or reservation, or lack the view that they are explained over."""
        found = {seq: key for key, step in self._steps.items() for seq in _int64s(step.seqs).tolist()}
        if found != self._step_of:
            yield Violation("plans_are_found", "plans", len(found), len(self._step_of))
            return
        for reservation_id, seq in self._by_reservation.items():
            plan = self.plan(seq)
            if plan is None or plan.reservation_id != reservation_id:
                yield Violation("holds_have_their_plan", f"reservation {reservation_id:016x}", seq, 0)
        explained = {key: len(_int64s(step.seqs)) for key, step in self._steps.items() if step.seen}
        if (explained, sum(explained.values())) != (self._explained, self._explained_count):
            yield Violation("explained_plans_are_counted", "plans", sum(explained.values()), self._explained_count)
        for key in explained:
            if self._steps[key].view not in self._views:
                yield Violation("explained_plans_have_a_view", f"plan {key:016x}", self._steps[key].view, 0)

    def _verify_holds(self) -> Iterator[Violation]:
        """Find holds that take capacity for other units than they have at each level, or had fulfilled there."""
        planned = np.array(list(self._by_reservation), np.int64)
        slots = planned[self._ledger.are_readable(planned)] & 0xFFFFFFFF
        assigned = self._ledger.assigned_units()
        for start in range(0, len(slots), HOLDS_AT_ONCE):
            for reservation_id, view in self._ledger.reservations_at(slots[start : start + HOLDS_AT_ONCE]):
                booked = Counter[tuple[int, int]]()
                for booking in self._bookings_of(reservation_id):
                    booked[booking.sku, booking.location] += booking.units
                held = Counter({(line.sku, line.location): line.open + line.fulfilled for line in view.lines})
                held.update(assigned.get(reservation_id, {}))
                for level in sorted(booked.keys() | held.keys()):
                    lacks = booked[level] - held[level]
                    if lacks and not _has_no_room(view, level, lacks):
                        subject = f"reservation {reservation_id:016x}: {self._level_name(level)}"
                        yield Violation("bookings_match_holds", subject, held[level], booked[level])

    def _verify_load(self) -> Iterator[Violation]:
        """Find loads other than what plans take of the days, those that are kept no more included."""
        first_day = first_day_at(self._ledger.time_us)
        booked = self._booked_from(first_day)
        booked.update({(at, day): units for at, day, units in self._worked_rows() if day >= first_day})
        load = {(location, day): units for location, day, units in self._load.rows() if day >= first_day}
        for place in sorted(booked.keys() | load.keys()):
            if booked[place] != load.get(place, 0):
                subject = f"{self._ledger.location_id(place[0])} on day {place[1]}"
                yield Violation("load_matches_bookings", subject, booked[place], load.get(place, 0))

    def _level_name(self, level: tuple[int, int]) -> str:
        return f"{self._ledger.sku_id(level[0])} at {self._ledger.location_id(level[1])}"
