"""Plans of orders: what was decided, the capacity that it takes, and what locations could not fill. Pure.

The ledger does not decide plans and does not look into them. It keeps them beside the reservations that hold their
units, as the journal says, so that writer, standby and replay agree on what is kept and how loaded each location is.
Plans come as they were decided: those of one step together, as columns.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from ledger.core.ledger import Ledger
from ledger.core.limits import EXPLAINED_MAX_DEFAULT, MICROSECONDS
from ledger.core.statuses import Kind, Operation, Status
from ledger.parts.catalog import Catalog
from ledger.parts.views import RoutingViews, View, ViewsImage

DAY_US: Final = 86_400 * MICROSECONDS
DAYS_KEPT: Final = 2
"""A day is over everywhere on earth when it is over by so many days in UTC."""
LOAD_DAYS: Final = 32
"""Days that a load has room for at first; it grows."""
LOOKED_AT: Final = 2
"""Old plans and orders with rejections that are looked at for each new one: dropping keeps up with adding."""
VIEWS_MAX: Final = 64
"""A network that changes all the time is not kept for ever: plans over older views are explained no more."""
GIVES_BACK: Final = np.isin(np.arange(max(Kind) + 1), [Kind.RELEASE, Kind.EXPIRE, Kind.CANCEL])
LOCATIONS: Final = 2**32
"""A movement STOCK_HERE tells the sku of a new level times so many, and its location."""
TAKES: Final = (Kind.RESERVE, Kind.COMMIT_FREE)
CHANGES_HOLD: Final = np.isin(np.arange(max(Operation) + 1), [Operation.AMEND, Operation.TRANSFER])
# Units of a plan that take capacity of a location on a day; days count from 1970-01-01.
BOOKING: Final = np.dtype(
    [("plan", "i4"), ("line", "i4"), ("sku", "i4"), ("location", "i4"), ("day", "i4"), ("pad", "u4"), ("units", "i8")]
)


class Booking(NamedTuple):
    """Units that take capacity of a location on a day."""

    sku: int
    location: int
    day: int
    """Days since 1970-01-01."""
    units: int


class Rejection(NamedTuple):
    """A location that could not fill a sku of an order, and is not asked again until an instant."""

    sku: int
    location: int
    until_us: int


class PlannedOrders(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="planned"):
    """The plans of one step, as the journal has them; each is named by the seq of the write that holds its units."""

    seqs: bytes
    """int64, rising."""
    reservation_ids: bytes
    """int64; 0: it fills nothing."""
    remembered_seq: int
    """The last of the seqs whose write has a request id; 0: none has."""
    references: list[str]
    """The callers' names of the orders, whom rejections concern; empty: none."""
    bookings: bytes
    """Dtype BOOKING; `plan` is the place in these lists."""
    requests: list[bytes]
    """What was asked, in the words of whoever routes, one each or one for all; as are the following."""
    responses: list[bytes]
    """What was answered."""
    seen: list[bytes]
    """What was decided on; empty: kept no more."""
    view: int
    """The View it was decided over."""
    explained_max: int
    """How many of `seen` its writer keeps."""
    are_columns: bool = False
    """Whether one request has all of the orders."""
    rejections: tuple[Rejection, ...] = ()
    """Those that led to it: their stock levels wait to be counted. Of a single plan only."""
    amended: bytes = b""
    """What else is to be kept of a plan that changes an earlier one."""


class ArrivedUnits(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="arrived"):
    """Units that a change of a planned hold brought to locations: they take capacity there, as planned ones do."""

    reservation_id: int
    bookings: tuple[Booking, ...]


class RefusedCall(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="refused"):
    """What a call with a request id was told that was refused: a repeat is told the same."""

    seq: int
    """Of the write that remembers the request id."""
    content: bytes
    """In the words of whoever routes."""


class CountedLevels(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="counted"):
    """Stock levels that waited to be counted, and were."""

    levels: tuple[tuple[int, int], ...]
    """(sku, location)."""


PlanChange = PlannedOrders | ArrivedUnits | RefusedCall | View | CountedLevels


def _order_of(reference: str, reservation_id: int) -> str:
    """Return whom rejections concern: the caller's order, or the reservation where it has no name."""
    return reference or f"reservation {reservation_id:016x}"


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
        return _order_of(self.reference, self.reservation_id)


class Arrival(NamedTuple):
    """Units that a change of a planned hold brought to locations, and that no booking tells of yet."""

    seq: int
    """Of the change."""
    reservation_id: int
    units: list[tuple[int, int, int]]
    """(sku, location, units)."""


class _Image(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    steps: list[PlannedOrders]
    views: ViewsImage
    bookings: list[tuple[int, list[Booking]]]
    load: list[tuple[int, int, int]]
    """(location, day, units)."""
    first_day: int
    rejections: list[tuple[str, list[Rejection]]]
    suspects: list[tuple[int, int, int]]


class _ImageWithRefusals(_Image, array_like=True):
    """Where there are some: an image without them is what it was before there could be any."""

    refusals: list[RefusedCall] = []


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_ImageWithRefusals)
_EMPTY: Final = _encoder.encode(_Image([], ViewsImage(), [], [], 0, [], []))


def _int64s(column: bytes) -> NDArray[np.int64]:
    return np.frombuffer(column, np.int64)


def _first(column: bytes) -> int:
    return int.from_bytes(column[:8], "little", signed=True)


def _booked(step: PlannedOrders, place: int) -> list[Booking]:
    """Return what one plan of a step takes of the locations' days."""
    rows = np.frombuffer(step.bookings, BOOKING)
    return [
        Booking(sku, location, day, units)
        for _, _, sku, location, day, _, units in rows[rows["plan"] == place].tolist()
    ]


class Load:
    """Units by location and day, as a table that begins at a day and moves on with time."""

    def __init__(self) -> None:
        self._units = np.zeros((0, LOAD_DAYS), np.int64)
        self._first_day = 0
        self.version = 0
        """Grows whenever it changes."""

    def add(self, bookings: NDArray[np.void], first_day: int) -> None:
        """Add bookings, dtype BOOKING; those of days before the first count no more."""
        if len(bookings):
            self.drop_before(first_day)
            self._add(bookings["location"], bookings["day"], bookings["units"], first_day)

    def _add(self, locations: NDArray[Any], days: NDArray[Any], units: NDArray[Any], first_day: int) -> None:
        if not len(self._units):
            self._first_day = first_day
        self._make_room(int(locations.max()), int(days.max()))
        is_ahead = days >= self._first_day
        np.add.at(self._units, (locations[is_ahead], days[is_ahead] - self._first_day), units[is_ahead])
        self.version += 1

    def book(self, booking: Booking, first_day: int) -> None:
        """Add one booking, likewise."""
        self.drop_before(first_day)
        if not len(self._units):
            self._first_day = first_day
        self._make_room(booking.location, booking.day)
        if booking.day >= self._first_day:
            self._units[booking.location, booking.day - self._first_day] += booking.units
        self.version += 1

    def _make_room(self, location: int, last_day: int) -> None:
        rows = max(len(self._units), 1 << location.bit_length())
        columns = max(self._units.shape[1], 1 << max(0, last_day - self._first_day).bit_length())
        if (rows, columns) != self._units.shape:
            before, self._units = self._units, np.zeros((rows, columns), np.int64)
            self._units[: len(before), : before.shape[1]] = before

    def take_back(self, booking: Booking, units: int) -> None:
        """Give units of a booking back, unless its day is over: then the table has no such place, or begins later."""
        if booking.day >= self._first_day and booking.location < len(self._units):
            self._units[booking.location, booking.day - self._first_day] -= units
            self.version += 1

    def drop_before(self, day: int) -> None:
        """Forget the days before a day."""
        count = min(day - self._first_day, self._units.shape[1])
        if count <= 0 or not len(self._units):
            return
        self._units = np.roll(self._units, -count, axis=1)
        self._units[:, -count:] = 0
        self._first_day = day
        self.version += 1

    def waiting(self, locations: NDArray[np.int64], first_days: NDArray[Any]) -> NDArray[np.int64]:
        """Return units at each location on its first day, given for each, or later."""
        units = np.zeros((len(locations), self._units.shape[1]), np.int64)
        is_known = locations < len(self._units)
        units[is_known] = self._units[locations[is_known]]
        days = np.arange(self._first_day, self._first_day + units.shape[1])
        return np.asarray(np.where(days >= first_days[:, None], units, 0).sum(axis=1))

    def waiting_at(self, location: int, first_day: int) -> int:
        """Return units at one location on a day or later."""
        if location >= len(self._units):
            return 0
        return int(self._units[location, max(0, first_day - self._first_day) :].sum())

    @property
    def first_day(self) -> int:
        """Day before which nothing counts any more."""
        return self._first_day if self._units.any() else 0

    def rows(self) -> list[tuple[int, int, int]]:
        """Return (location, day, units) of all that is not 0, in order."""
        locations, columns = np.nonzero(self._units)
        units = self._units[locations, columns].tolist()
        return list(zip(locations.tolist(), (columns + self._first_day).tolist(), units, strict=True))

    def restore(self, rows: list[tuple[int, int, int]], first_day: int) -> None:
        """Become the load of some rows, from a day on."""
        if rows:
            locations, days, units = np.array(rows, np.int64).T
            self._add(locations, days, units, first_day)


class Plans:
    """Plans, the load of locations by day, rejections, and stock levels that wait to be counted.

    A plan is kept at least as long as its reservation can be read, or its request id is remembered. What it was decided
    on is kept while it is among the last plans. Names are the ledger's indexes.
    """

    def __init__(self, ledger: Ledger, catalog: Catalog) -> None:
        self._ledger = ledger
        self._catalog = catalog
        self._steps: dict[int, PlannedOrders] = {}  # by first seq; the oldest, and those looked at longest ago, first
        self._step_of: dict[int, int] = {}  # by seq
        self._by_reservation: dict[int, int] = {}
        self._explained: dict[int, int] = {}  # step -> plans, the oldest first
        self._explained_count = 0
        self.views = RoutingViews()
        """Of the network, that plans can be explained over."""
        self._bookings: dict[int, list[Booking]] = {}  # of reservations whose plan says it no more
        self._load = Load()
        self._rejections: dict[str, list[Rejection]] = {}
        self._suspects: dict[tuple[int, int], int] = {}
        self._refusals: dict[int, RefusedCall] = {}  # by seq
        self._added_count = 0  # steps and refusals, since the last settlement
        self._settled = 0, 0  # records and movements of the open group that are settled
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

    def refusal_of_request(self, high: int, low: int) -> bytes | None:
        """Return what a request id was told that was refused; None if it was not, or is remembered no more."""
        found = self._refusals.get(self._ledger.seq_of_request(high, low))
        return None if found is None else found.content

    @property
    def load(self) -> "Load":
        """Units that plans take of the locations' capacity."""
        return self._load

    def rejections(self, order: str, time_us: int) -> list[Rejection]:
        """Return the rejections of an order that still hold."""
        return [one for one in self._rejections.get(order, ()) if one.until_us > time_us]

    @property
    def suspects(self) -> Mapping[tuple[int, int], int]:
        """(sku, location) of the stock levels that wait to be counted -> since when, microseconds."""
        return self._suspects

    # ---- changing ---------------------------------------------------------------------------------------------------

    def put(self, change: PlanChange, time_us: int) -> None:
        """Keep plans, what changes of their holds brought elsewhere, refusals, views, or that levels were counted.

        All that the group did before it is to be settled by then: see `settle_up_to`.
        """
        if isinstance(change, ArrivedUnits):
            self._put_arrived(change, time_us)
        elif isinstance(change, RefusedCall):
            self._refusals[change.seq] = change
            self._added_count += 1
            self.added_bytes += len(change.content)
        elif isinstance(change, CountedLevels):
            for level in change.levels:
                self._suspects.pop(level, None)
        elif isinstance(change, View):
            self.views.keep(change.number, self._catalog)
            self._bound_views()
        else:
            self._put_step(change, time_us)

    def _put_step(self, step: PlannedOrders, time_us: int) -> None:
        if step.amended:
            reservation_id = _first(step.reservation_ids)
            self._bookings[reservation_id] = [*self._bookings_of(reservation_id), *_booked(step, 0)]
        self._keep(step)
        self._added_count += 1
        self.added_bytes += sum(sum(map(len, texts)) for texts in (step.requests, step.responses, step.seen))
        self._load.add(np.frombuffer(step.bookings, BOOKING), time_us // DAY_US - DAYS_KEPT)
        while self._explained and self._explained_count - next(iter(self._explained.values())) >= step.explained_max:
            self._explain_no_more(next(iter(self._explained)))
        if step.rejections:
            order = _order_of(step.references[0], _first(step.reservation_ids))
            kept = self.rejections(order, time_us)
            self._rejections[order] = [*kept, *step.rejections]
            self._suspects |= {(one.sku, one.location): time_us for one in step.rejections}

    def _put_arrived(self, change: ArrivedUnits, time_us: int) -> None:
        bookings = self._bookings_of(change.reservation_id)
        self._bookings[change.reservation_id] = [*bookings, *change.bookings]
        for booking in change.bookings:
            self._load.book(booking, time_us // DAY_US - DAYS_KEPT)

    def _keep(self, step: PlannedOrders) -> None:
        """Take a step in."""
        seqs = _int64s(step.seqs).tolist()
        key = seqs[0]
        self._steps[key] = step
        self._step_of.update(dict.fromkeys(seqs, key))
        if step.seen:
            self._explained[key] = len(seqs)
            self._explained_count += len(seqs)
        if step.amended:  # of an earlier plan's reservation
            reservation_id = _first(step.reservation_ids)
            self._by_reservation[reservation_id] = max(key, self._by_reservation.get(reservation_id, 0))
        else:
            for reservation_id, seq in zip(_int64s(step.reservation_ids).tolist(), seqs, strict=True):
                if reservation_id:
                    self._by_reservation.setdefault(reservation_id, seq)

    def _explain_no_more(self, key: int) -> None:
        self._explained_count -= self._explained.pop(key)
        self._steps[key] = msgspec.structs.replace(self._steps[key], seen=[])

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
        self._settled = 0, 0
        self._load.drop_before(time_us // DAY_US - DAYS_KEPT)
        if self._added_count:
            self._trim(time_us)

    def settle_up_to(self, count: int, records: NDArray[Any], movements: NDArray[Any]) -> None:
        """Give back the capacity of units that the first records of a group let go.

        Writer and replay do it before they keep what a later record planned, so that both see the same bookings; the
        ledger of a replay need not have applied the group by then.
        """
        first, first_movement = self._settled
        if count <= first:
            return
        line_counts = records["line_count"][first:count]
        last_movement = first_movement + int(line_counts.sum())
        self._settled = count, last_movement
        if self._by_reservation and last_movement > first_movement:
            rows = self._let_go(records[first:count], line_counts, movements, first_movement, last_movement)
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
        first, first_movement = self._settled
        line_counts = records["line_count"][first:]
        arrivals = self.arrivals(records, movements, first_seq)
        rows = self._let_go(records[first:], line_counts, movements, first_movement, len(movements))
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
        places = np.flatnonzero(CHANGES_HOLD[own["operation"]] & (own["status"] == Status.OK))
        holds = zip(places.tolist(), own["reservation_id"][places].tolist(), strict=True)
        for place, reservation_id in [hold for hold in holds if hold[1] in self._by_reservation]:
            seq = first_seq + first + place
            if seq in self._step_of:
                continue
            rows = movements[starts[place] : starts[place] + own["line_count"][place]]
            rows = rows[np.isin(rows["kind"], TAKES) & (rows["quantity"] > 0)]
            if len(rows):
                skus, locations = self._ledger.keys_of(rows["level"])
                units = zip(skus.tolist(), locations.tolist(), rows["quantity"].tolist(), strict=True)
                found.append(Arrival(seq, reservation_id, list(units)))
        return found

    def _let_go(
        self, records: NDArray[Any], line_counts: NDArray[Any], movements: NDArray[Any], first: int, last: int
    ) -> list[tuple[int, int, int, int, int]]:
        """Return (record, reservation, sku, location, units) of what records let go of planned holds.

        Their movements are those from `first` to `last` of the group's.
        """
        places = np.flatnonzero(GIVES_BACK[movements["kind"][first:last]])
        if not len(places):
            return []
        owners = np.searchsorted(np.cumsum(line_counts, dtype=np.int64), places, side="right")
        reservation_ids = records["reservation_id"][owners].tolist()
        chosen = [at for at, owner in enumerate(reservation_ids) if owner in self._by_reservation]
        if not chosen:
            return []
        own = movements[first + places[chosen]]
        rows = zip(self._keys_of(own["level"], movements), own["quantity"].tolist(), strict=True)
        return [
            (int(owners[at]), reservation_ids[at], sku, location, units)
            for at, ((sku, location), units) in zip(chosen, rows, strict=True)
        ]

    def _keys_of(self, levels: NDArray[Any], movements: NDArray[Any]) -> Iterator[tuple[int, int]]:
        """Yield sku and location of levels; those that the ledger does not have yet are made by the movements."""
        is_known = levels < self._ledger.level_count
        keys = np.zeros((2, len(levels)), np.int64)
        keys[:, is_known] = self._ledger.keys_of(levels[is_known])
        if not is_known.all():
            made = movements[movements["kind"] == Kind.STOCK_HERE]
            new = dict(zip(made["level"].tolist(), made["quantity"].tolist(), strict=True))
            keys[:, ~is_known] = np.array([divmod(new[level], LOCATIONS) for level in levels[~is_known].tolist()]).T
        return zip(*keys.tolist(), strict=True)

    def _unbook(self, reservation_id: int, sku: int, location: int, units: int) -> None:
        """Give back units of a reservation, those that came last first."""
        bookings = self._bookings_of(reservation_id)
        for place in range(len(bookings) - 1, -1, -1):
            booking = bookings[place]
            if (booking.sku, booking.location) != (sku, location):
                continue
            taken = min(units, booking.units)
            units -= taken
            bookings[place] = booking._replace(units=booking.units - taken)
            self._load.take_back(booking, taken)
        self._bookings[reservation_id] = [booking for booking in bookings if booking.units]

    def _bookings_of(self, reservation_id: int) -> list[Booking]:
        """Return what a reservation has booked; before anything of it changed, what its one plan says."""
        if reservation_id in self._bookings:
            return self._bookings[reservation_id]
        seq = self._by_reservation.get(reservation_id, 0)
        step = self._steps[self._step_of[seq]]
        return _booked(step, int(np.searchsorted(_int64s(step.seqs), seq)))

    def _trim(self, time_us: int) -> None:
        for key in list(islice(self._steps, LOOKED_AT * self._added_count)):
            step = self._steps.pop(key)
            if self._is_needed(step):
                self._steps[key] = step
            else:
                self._forget(key, step)
        for order in list(islice(self._rejections, LOOKED_AT * self._added_count)):
            kept = self.rejections(order, time_us)
            del self._rejections[order]
            if kept:
                self._rejections[order] = kept
        for seq in list(islice(self._refusals, LOOKED_AT * self._added_count)):
            if self._ledger.remembers_since(seq):
                break
            del self._refusals[seq]
        self._drop_views()
        self._added_count = self.added_bytes = 0

    def _is_needed(self, step: PlannedOrders) -> bool:
        reservation_ids = _int64s(step.reservation_ids)
        if self._ledger.has_reservation(int(reservation_ids[-1])) or self._ledger.are_readable(reservation_ids).any():
            return True
        return bool(step.remembered_seq) and self._ledger.remembers_since(step.remembered_seq)

    def _forget(self, key: int, step: PlannedOrders) -> None:
        self._explained_count -= self._explained.pop(key, 0)
        for seq, reservation_id in zip(
            _int64s(step.seqs).tolist(), _int64s(step.reservation_ids).tolist(), strict=True
        ):
            del self._step_of[seq]
            if self._by_reservation.get(reservation_id) == seq:
                del self._by_reservation[reservation_id]
                self._bookings.pop(reservation_id, None)

    def _bound_views(self) -> None:
        while len(self.views) > VIEWS_MAX:
            oldest = next(iter(self.views))
            while self._explained and self._steps[next(iter(self._explained))].view <= oldest:
                self._explain_no_more(next(iter(self._explained)))
            self.views.drop_before(oldest + 1)

    def _drop_views(self) -> None:
        """Drop the views that no plan is explained over any more; the last one is used again."""
        oldest = self._steps[next(iter(self._explained))].view if self._explained else max(self.views, default=0)
        self.views.drop_before(oldest)

    # ---- images -----------------------------------------------------------------------------------------------------

    def image(self) -> bytes:
        """Return all of it, for `restore`."""
        parts = (
            list(self._steps.values()),
            self.views.image(),
            list(self._bookings.items()),
            self._load.rows(),
            self._load.first_day,
            list(self._rejections.items()),
            [(*level, time_us) for level, time_us in self._suspects.items()],
        )
        refusals = list(self._refusals.values())
        return _encoder.encode(_ImageWithRefusals(*parts, refusals) if refusals else _Image(*parts))

    def restore(self, image: bytes) -> None:
        """Become the plans of an image. Of new plans only."""
        assert not self._steps
        found = _decoder.decode(image)
        for step in found.steps:
            self._keep(step)
        self._explained = dict(sorted(self._explained.items()))
        self.views.restore(found.views)
        self._rejections = dict(found.rejections)
        self._suspects = {(sku, location): time_us for sku, location, time_us in found.suspects}
        self._refusals = {refused.seq: refused for refused in found.refusals}
        self._bookings = dict(found.bookings)
        self._load.restore(found.load, found.first_day)

    def digest(self) -> bytes:
        """Return 16 bytes that are equal for equal plans (xxh3, 128 bits); none where nothing was ever planned."""
        image = self.image()
        return b"" if image == _EMPTY else xxhash.xxh3_128_digest(image)
