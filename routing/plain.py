"""The model in plain Python, one candidate at a time: what the kernel must agree with.

Nothing here uses the kernel's arrays but the stock: costs, days and masks are computed anew from the network, the
profile and the order. The verifier and the brute force stand on this.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, NamedTuple

from routing.arrays import NO_LEVEL, NONE
from routing.calendars import Calendar, arrival_day, day_number, dispatch_day, local_day, pickup_ready
from routing.geometry import distance_km
from routing.limits import BACKLOG_DAYS_MAX, LATE_DAYS_MAX, MICROS, UNITS_PER_ORDER_MAX
from routing.network import Location, Network
from routing.order import UNKNOWN_SKU, Part, Request, layout, point, unfilled_cost
from routing.problem import setup_cost, weigh_table
from routing.profile import Profile, micros, weighed
from routing.rates import RateTable, Step
from routing.rules import Method

FREE: Final = RateTable((Step(0, None, 0, 0),))


@dataclass(frozen=True)
class Candidate:
    """A part of an order at a location that may serve it."""

    part: int
    location: int
    fixed: int
    """Cost of a shipment without its carriage."""
    carriage: RateTable
    """Of its weight."""
    unit_base: int
    arrival_day: int
    """Day number."""
    is_soft: bool
    """Whether only soft rules speak against it."""


class Trip(NamedTuple):
    """How units get from a location to the customer."""

    carriage: RateTable
    arrival_day: int
    """Day number."""
    setup: int
    km: float | None
    """None: no parcel."""


class PlainModel:
    """One request against a network and a profile.

    Parameters
    ----------
    network, profile, request
        As the planner got them, checked; the stock as it was before.
    """

    def __init__(self, network: Network, profile: Profile, request: Request) -> None:
        self.network, self.profile = network, profile
        self.order, self.stock, self.rows, self.now = request
        order = self.order
        self.parts, self.part_of_line = layout(order, network)
        self.skus = [network.skus.get(line.sku, UNKNOWN_SKU) for line in order.lines]
        self.unfilled = [unfilled_cost(sku, profile) for sku in self.skus]
        self.split_cost = weighed(micros(profile.costs.split), profile.weights.shipping)

    def spare(self, location: int) -> int:
        """Return units of capacity left."""
        place = self.network.locations[location]
        if place.units_per_day is None:
            return UNITS_PER_ORDER_MAX
        return max(0, place.units_per_day * (1 + place.backlog_days_max) - int(self.stock.load[location]))

    def candidate(self, part_index: int, location: int) -> Candidate | None:
        """Return a candidate, or None where a hard rule speaks against it."""
        place, part = self.network.locations[location], self.parts[part_index]
        if not place.is_active or self.spare(location) == 0:
            return None
        if self.order.channel and not self.network.serves(self.order.channel, place):
            return None
        trip = self._trip(place, part, location)
        if trip is None:
            return None
        late = max(0, trip.arrival_day - part.promise_day) if part.promise_day != NONE else 0
        rules, is_soft = self.profile.rules, False
        if rules.promise and late:
            if rules.promise.strength == "hard":
                return None
            is_soft = True
        if rules.max_distance and trip.km is not None and trip.km > rules.max_distance.km:
            if rules.max_distance.strength == "hard":
                return None
            is_soft = True
        late_day = weighed(micros(self.profile.costs.late_day), self.profile.weights.lateness)
        lateness = min(late, LATE_DAYS_MAX) * late_day
        return Candidate(
            part=part_index,
            location=location,
            fixed=trip.setup + lateness,
            carriage=trip.carriage,
            unit_base=self._unit_base(location),
            arrival_day=trip.arrival_day,
            is_soft=is_soft,
        )

    def _unit_base(self, location: int) -> int:
        place, weights = self.network.locations[location], self.profile.weights
        cost = weighed(place.handling_cost, weights.handling) + int(self.stock.location_price[location])
        if place.units_per_day is None:
            return cost
        backlog = weighed(place.backlog_cost, weights.capacity) * int(self.stock.load[location])
        return cost + backlog // max(1, place.units_per_day)

    def _trip(self, place: Location, part: Part, location: int) -> "Trip | None":
        if part.method == Method.PICKUP or (part.method == Method.SHIP_TO_STORE and location == part.store):
            return self._pickup(place) if location == part.store else None
        if part.method == Method.SHIP_TO_STORE:
            return self._lane(place, part, location)
        return self._parcel(place, part, location) if part.method in place.methods else None

    def _pickup(self, place: Location) -> "Trip | None":
        if Method.PICKUP not in place.methods:
            return None
        calendar = self.network.calendars[place.calendar]
        ready = pickup_ready(calendar, self.now, place.time_zone, place.hours, place.pickup_minutes)
        if ready is None:
            return None
        day = day_number(local_day(ready, place.time_zone))
        return Trip(FREE, day, setup_cost(place, Method.PICKUP, self.profile), None)

    def _lane(self, place: Location, part: Part, location: int) -> "Trip | None":
        store = self.network.locations[part.store]
        lane = self.network.lanes.get((place.location_id, store.location_id))
        if lane is None or not place.methods & {Method.SHIP_TO_STORE, Method.PICKUP}:
            return None
        table = RateTable((Step(0, None, lane.base, lane.per_kilogram),))
        arrival = self._arrives(place, location, self.network.calendars[store.calendar], lane.days)
        return self._carried(table, arrival, place, part.method, None)

    def _parcel(self, place: Location, part: Part, location: int) -> "Trip | None":
        degrees = point(self.order, self.network)
        assert degrees is not None
        km = distance_km(place.latitude, place.longitude, *degrees)
        carrier = self.network.carriers[place.carrier]
        for zone, table in zip(carrier.zones, carrier.rates[part.method], strict=False):
            if zone.km_max is None or km <= zone.km_max:
                arrival = self._arrives(place, location, self.network.calendars[carrier.calendar], zone.transit_days)
                return self._carried(table, arrival, place, part.method, km)
        return None

    def _carried(
        self, table: RateTable, arrival: date | None, place: Location, method: Method, km: float | None
    ) -> "Trip | None":
        if arrival is None:
            return None
        carriage = weigh_table(table, self.profile.weights.shipping)
        return Trip(carriage, day_number(arrival), setup_cost(place, method, self.profile), km)

    def _arrives(self, place: Location, location: int, carriers: Calendar, days: int) -> date | None:
        """Return when something arrives that travels so many working days of the carrier's or the store's calendar."""
        calendar = self.network.calendars[place.calendar]
        behind = 0
        if place.units_per_day is not None:
            behind = min(int(self.stock.load[location]) // max(1, place.units_per_day), BACKLOG_DAYS_MAX)
        leaves = dispatch_day(calendar, self.now, place.time_zone, place.cut_off, place.handling_days + behind)
        return arrival_day(carriers, leaves, days, self.now) if leaves else None

    def room(self, line: int, location: int) -> tuple[int, int]:
        """Return units that a line could take at a location, without and with backorders."""
        place, sku = self.network.locations[location], self.skus[line]
        method = self.order.lines[line].method
        allowed = set(place.restrictions)
        if method in {Method.SHIP, Method.DELIVERY}:
            allowed -= self.network.carriers[place.carrier].refuses
        if not sku.restrictions <= allowed or (self.order.lines[line].sku, place.location_id) in self.order.rejected:
            return 0, 0
        available = int(self.stock.available[self.rows[line], location])
        if available == NO_LEVEL:
            return 0, 0
        extra = 0
        if self.profile.rules.backorder.strength == "soft":
            extra = int(self.stock.backorder[self.rows[line], location])
        return max(0, available), max(0, available + extra)

    def unit_cost(self, line: int, candidate: Candidate, weight: int) -> int:
        """Return what a unit of a line costs in a shipment of so many milligrams."""
        cost = candidate.unit_base + _carriage(step_of(candidate.carriage, weight), self.skus[line].weight_milligrams)
        if len(self.stock.level_cost):
            cost += int(self.stock.level_cost[self.rows[line], candidate.location])
        return cost

    def shipment_cost(self, candidate: Candidate, units: Sequence[int]) -> int:
        """Return what a shipment costs that carries so many units of each line."""
        weight = sum(count * sku.weight_milligrams for count, sku in zip(units, self.skus, strict=True))
        cost = candidate.fixed + step_of(candidate.carriage, weight).base
        return cost + sum(count * self.unit_cost(line, candidate, weight) for line, count in enumerate(units) if count)


def step_of(table: RateTable, weight: int) -> Step:
    """Return the step of a weight."""
    return next(step for step in table.steps if step.to is None or weight <= step.to)


def _carriage(step: Step, weight: int) -> int:
    return (step.per_kilogram * weight + MICROS // 2) // MICROS
