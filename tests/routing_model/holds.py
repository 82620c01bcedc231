"""What is held, the stock that is left, the capacity that plans take of each location's days, and what was rejected."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from onhand.routing.v1 import plan_pb2
from onhand.routing.v1 import routing_service_pb2 as routing

from .sight import Level, Network, Place

ACTIVE, COMMITTED, RELEASED, EXPIRED = 1, 2, 3, 4
Pair = tuple[str, str]
"""Sku, location."""


@dataclass
class Row:
    """Units of a sku that a reservation has at a location."""

    open: int
    fulfilled: int = 0


@dataclass
class Booking:
    """Units that take a location's capacity on a day."""

    pair: Pair
    day: date
    units: int


@dataclass
class Hold:
    """A reservation that a plan made."""

    name: str
    request: routing.PlanFulfillmentRequest
    ends_us: int
    lines: list[plan_pb2.OrderLine]
    """Of the order, and behind them skus that came later."""
    assigned: list[tuple[int, str, int]]
    """(line, location, units) as the last plan had it."""
    rows: dict[Pair, Row] = field(default_factory=dict)
    bookings: list[Booking] = field(default_factory=list)
    state: int = ACTIVE

    @property
    def open(self) -> dict[Pair, int]:
        """Units that it still holds."""
        return {pair: row.open for pair, row in self.rows.items() if row.open}


@dataclass
class Stock:
    """Units of a sku at a location, but for what is held."""

    on_hand: int
    safety: int = 0
    backorder: int = 0


@dataclass
class Books:
    """All of it."""

    levels: dict[Pair, Stock] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    rejections: dict[str, dict[Pair, int]] = field(default_factory=dict)
    """Order -> sku and location -> until when, microseconds."""
    planned_anew: Hold | None = None
    """One whose order is planned now: what it has is free for it."""

    # ---- reading -----------------------------------------------------------------------------------------------------

    def seen_levels(self) -> dict[Pair, Level]:
        """Return the stock as routing sees it."""
        held: dict[Pair, int] = {}
        for hold in self.holds.values():
            if hold.state in (ACTIVE, COMMITTED):
                for pair, units in hold.open.items():
                    held[pair] = held.get(pair, 0) + units
        own = self.planned_anew.open if self.planned_anew else {}
        levels = {}
        for pair, stock in self.levels.items():
            free = stock.on_hand - held.get(pair, 0) - stock.safety
            if pair in own:  # what it has may stay, also where less is there than was promised
                free = max(free, -stock.backorder) + own[pair]
            levels[pair] = Level(free, stock.backorder, stock.safety)
        return levels

    def load(self, place: Place, now: datetime) -> int:
        """Return the units that wait at a location: from the first day on which an order of now could leave."""
        first = place.leaves(now, 0)
        return sum(
            booking.units
            for hold in self.holds.values()
            for booking in hold.bookings
            if hold is not self.planned_anew and booking.pair[1] == place.name and booking.day >= first
        )

    def loads(self, network: Network, now: datetime) -> dict[str, int]:
        """Return what waits at each location."""
        return {name: self.load(place, now) for name, place in network.places.items()}

    def rejected(self, order: str, now_us: int) -> frozenset[Pair]:
        """Return what is not asked again for an order."""
        return frozenset(pair for pair, until in self.rejections.get(order, {}).items() if until > now_us)

    # ---- changing ----------------------------------------------------------------------------------------------------

    def expire(self, now_us: int) -> list[str]:
        """End what is over; returns which."""
        over = [name for name, hold in self.holds.items() if hold.state == ACTIVE and hold.ends_us <= now_us]
        for name in over:
            self.give_back(self.holds[name], self.holds[name].open)
            self.holds[name].state = EXPIRED
        return over

    def give_back(self, hold: Hold, units: Mapping[Pair, int]) -> None:
        """Let units of a hold go, and their capacity: what came last goes first."""
        for pair, count in units.items():
            hold.rows[pair].open -= count
            left = count
            for booking in reversed(hold.bookings):
                if booking.pair == pair:
                    taken = min(left, booking.units)
                    booking.units -= taken
                    left -= taken

    def fulfill(self, hold: Hold, units: Mapping[Pair, int]) -> None:
        """Hand units over: the location did the work."""
        for pair, count in units.items():
            hold.rows[pair].open -= count
            hold.rows[pair].fulfilled += count
            self.levels[pair].on_hand -= count

    def take(self, hold: Hold, units: Mapping[Pair, int], network: Network, now: datetime) -> None:
        """Let a hold have more units, which take capacity where they are."""
        days = self._days({pair[1] for pair in units}, network, now)
        for pair, count in units.items():
            if count:
                hold.rows.setdefault(pair, Row(0)).open += count
                if pair[1] in days:
                    hold.bookings.append(Booking(pair, days[pair[1]], count))

    def _days(self, names: Iterable[str], network: Network, now: datetime) -> dict[str, date]:
        """Return the day on which an order of now leaves each location."""
        return {
            name: network.places[name].leaves(now, self.load(network.places[name], now))
            for name in names
            if name in network.places
        }

    def reject(self, order: str, pairs: Iterable[Pair], until_us: int) -> None:
        """Remember what could not be filled."""
        self.rejections.setdefault(order, {}).update(dict.fromkeys(pairs, until_us))
