"""Plans of orders: what was decided, the capacity that it takes, and what locations could not fill. Pure.

The ledger does not decide plans and does not look into them. It keeps them beside the reservations that hold their
units, as the journal says, so that writer, standby and replay agree on what is kept and how loaded each location is.
"""

from collections.abc import Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from ledger.core.ledger import Ledger
from ledger.core.limits import MICROSECONDS
from ledger.core.statuses import Kind

DAY_US: Final = 86_400 * MICROSECONDS
DAYS_KEPT: Final = 2
"""A day is over everywhere on earth when it is over by so many days in UTC."""
LOOKED_AT: Final = 2
"""Old plans that are looked at for each new one, and orders with rejections: dropping keeps up with adding."""
EXPLAINED_MAX_DEFAULT: Final = 10_000
GIVES_BACK: Final = np.isin(np.arange(max(Kind) + 1), [Kind.RELEASE, Kind.EXPIRE, Kind.CANCEL])


class Booking(NamedTuple):
    """Units of a plan that take capacity of a location on a day."""

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


class StoredPlan(msgspec.Struct, frozen=True, array_like=True, tag="plan"):
    """One plan, as the journal has it; it is named by the seq of the write that holds its units."""

    seq: int
    reservation_id: int
    """0: it fills nothing."""
    request_id: tuple[int, int] | None
    """High and low half."""
    order: str
    """Whom its rejections concern."""
    bookings: tuple[Booking, ...]
    rejections: tuple[Rejection, ...]
    """Those that led to it: their stock levels wait to be counted."""
    content: bytes
    """In the words of whoever routes."""
    explanation: bytes
    """Likewise; kept for the last plans only."""
    explained_max: int
    """How many explanations its writer keeps."""


class CountedLevels(msgspec.Struct, frozen=True, array_like=True, tag="counted"):
    """Stock levels that waited to be counted, and were."""

    levels: tuple[tuple[int, int], ...]
    """(sku, location)."""


PlanChange = StoredPlan | CountedLevels


class _Image(msgspec.Struct, array_like=True):
    plans: list[StoredPlan]
    explanations: list[tuple[int, bytes]]
    bookings: list[tuple[int, list[Booking]]]
    load: list[tuple[int, list[tuple[int, int]]]]
    rejections: list[tuple[str, list[Rejection]]]
    suspects: list[tuple[int, int, int]]


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Image)
_EMPTY: Final = _encoder.encode(_Image([], [], [], [], [], []))


class Plans:
    """Plans, the load of locations by day, rejections, and stock levels that wait to be counted.

    A plan is kept as long as its reservation can be read, or its request id is remembered. Its explanation is kept
    while it is among the last ones. Names are the ledger's indexes.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._plans: dict[int, StoredPlan] = {}  # the oldest, and those that were looked at longest ago, first
        self._explanations: dict[int, bytes] = {}
        self._by_reservation: dict[int, int] = {}
        self._by_request: dict[tuple[int, int], int] = {}
        self._bookings: dict[int, list[Booking]] = {}
        self._load: dict[int, dict[int, int]] = {}
        self._rejections: dict[str, list[Rejection]] = {}
        self._suspects: dict[tuple[int, int], int] = {}
        self._day = 0  # up to which old days were dropped
        self._added_count = 0  # since the last settlement
        self._last_explained_max = 0
        self.explained_max = EXPLAINED_MAX_DEFAULT
        """How many explanations this engine keeps where it writes; a plan tells it to whoever replays."""

    # ---- reading ----------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Plans that are kept."""
        return len(self._plans)

    def plan(self, seq: int) -> StoredPlan | None:
        """Return a plan; None if there is none, or no more."""
        return self._plans.get(seq)

    def plan_of_reservation(self, reservation_id: int) -> StoredPlan | None:
        """Return the last plan of a reservation; None if it has none."""
        return self._plans.get(self._by_reservation.get(reservation_id, 0))

    def plan_of_request(self, high: int, low: int) -> StoredPlan | None:
        """Return the plan that a request id led to; None if there is none."""
        return self._plans.get(self._by_request.get((high, low), 0))

    def explanation(self, seq: int) -> bytes:
        """Return the explanation of a plan; empty if it is kept no more."""
        return self._explanations.get(seq, b"")

    @property
    def load(self) -> Mapping[int, Mapping[int, int]]:
        """Location -> day -> units that plans take of its capacity."""
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
        """Keep a plan, or that levels were counted."""
        if isinstance(change, CountedLevels):
            for level in change.levels:
                self._suspects.pop(level, None)
            return
        self._keep(change)
        self._added_count += 1
        if change.reservation_id:
            for booking in change.bookings:
                self._book(change.reservation_id, booking)
        if change.rejections:
            kept = self.rejections(change.order, time_us)
            self._rejections[change.order] = [*kept, *change.rejections]
            self._suspects |= {(one.sku, one.location): time_us for one in change.rejections}

    def _keep(self, plan: StoredPlan) -> None:
        self._plans[plan.seq] = msgspec.structs.replace(plan, explanation=b"")
        self._last_explained_max = plan.explained_max
        if plan.explanation:
            self._explanations[plan.seq] = plan.explanation
        if plan.reservation_id:
            self._by_reservation[plan.reservation_id] = max(plan.seq, self._by_reservation.get(plan.reservation_id, 0))
        if plan.request_id:
            self._by_request[plan.request_id] = plan.seq

    def _book(self, reservation_id: int, booking: Booking) -> None:
        self._bookings.setdefault(reservation_id, []).append(booking)
        days = self._load.setdefault(booking.location, {})
        days[booking.day] = days.get(booking.day, 0) + booking.units

    def settle(self, records: NDArray[Any], movements: NDArray[Any], time_us: int) -> None:
        """End a group: give back the capacity of units that were let go, and drop what is over.

        Parameters
        ----------
        records, movements
            Of the group, dtypes RECORDED and MOVEMENT; the ledger has applied them.
        time_us
            Of the group.
        """
        if self._bookings and len(movements):
            self._give_back(records, movements)
        if time_us // DAY_US > self._day:
            self._drop_days(time_us)
        if self._added_count:
            self._trim(time_us)

    def _give_back(self, records: NDArray[Any], movements: NDArray[Any]) -> None:
        places = np.flatnonzero(GIVES_BACK[movements["kind"]])
        if not len(places):
            return
        owners = np.searchsorted(np.cumsum(records["line_count"], dtype=np.int64), places, side="right")
        skus, locations = self._ledger.keys_of(movements["level"][places])
        rows = zip(
            records["reservation_id"][owners].tolist(),
            skus.tolist(),
            locations.tolist(),
            movements["quantity"][places].tolist(),
            strict=True,
        )
        for reservation_id, sku, location, units in rows:
            if reservation_id in self._bookings:
                self._unbook(reservation_id, sku, location, units)

    def _unbook(self, reservation_id: int, sku: int, location: int, units: int) -> None:
        """Give back units of a reservation, those of its last plan first."""
        bookings = self._bookings[reservation_id]
        for place in range(len(bookings) - 1, -1, -1):
            booking = bookings[place]
            if (booking.sku, booking.location) != (sku, location):
                continue
            taken = min(units, booking.units)
            units -= taken
            bookings[place] = booking._replace(units=booking.units - taken)
            self._unload(booking, taken)
        self._bookings[reservation_id] = [booking for booking in bookings if booking.units]
        if not self._bookings[reservation_id]:
            del self._bookings[reservation_id]

    def _unload(self, booking: Booking, units: int) -> None:
        days = self._load.get(booking.location, {})
        if booking.day in days:  # else it is over
            days[booking.day] -= units
            if not days[booking.day]:
                del days[booking.day]
            if not days:
                del self._load[booking.location]

    def _drop_days(self, time_us: int) -> None:
        self._day = time_us // DAY_US
        first = self._day - DAYS_KEPT
        kept = {
            location: {day: units for day, units in days.items() if day >= first}
            for location, days in self._load.items()
        }
        self._load = {location: days for location, days in kept.items() if days}

    def _trim(self, time_us: int) -> None:
        for _ in range(len(self._explanations) - self._last_explained_max):
            del self._explanations[next(iter(self._explanations))]
        for seq in list(islice(self._plans, LOOKED_AT * self._added_count)):
            plan = self._plans.pop(seq)
            if self._is_needed(plan):
                self._plans[seq] = plan
            else:
                self._forget(plan)
        for order in list(islice(self._rejections, LOOKED_AT * self._added_count)):
            kept = self.rejections(order, time_us)
            del self._rejections[order]
            if kept:
                self._rejections[order] = kept
        self._added_count = 0

    def _is_needed(self, plan: StoredPlan) -> bool:
        if plan.reservation_id and self._ledger.has_reservation(plan.reservation_id):
            return True
        return plan.request_id is not None and self._ledger.remembers(*plan.request_id)

    def _forget(self, plan: StoredPlan) -> None:
        self._explanations.pop(plan.seq, None)
        if self._by_reservation.get(plan.reservation_id) == plan.seq:
            del self._by_reservation[plan.reservation_id]
            self._bookings.pop(plan.reservation_id, None)
        if plan.request_id:
            self._by_request.pop(plan.request_id, None)

    # ---- images -----------------------------------------------------------------------------------------------------

    def image(self) -> bytes:
        """Return all of it, for `restore`."""
        return _encoder.encode(
            _Image(
                list(self._plans.values()),
                list(self._explanations.items()),
                list(self._bookings.items()),
                [(location, list(days.items())) for location, days in self._load.items()],
                list(self._rejections.items()),
                [(*level, time_us) for level, time_us in self._suspects.items()],
            )
        )

    def restore(self, image: bytes) -> None:
        """Become the plans of an image. Of new plans only."""
        assert not self._plans
        found = _decoder.decode(image)
        for plan in found.plans:
            self._keep(plan)
        self._explanations = dict(found.explanations)
        self._rejections = dict(found.rejections)
        self._suspects = {(sku, location): time_us for sku, location, time_us in found.suspects}
        self._bookings = dict(found.bookings)
        self._load = {location: dict(days) for location, days in found.load}

    def digest(self) -> bytes:
        """Return 16 bytes that are equal for equal plans (xxh3, 128 bits); none where nothing was ever planned."""
        image = self.image()
        return b"" if image == _EMPTY else xxhash.xxh3_128_digest(image)
