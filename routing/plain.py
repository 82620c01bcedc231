"""The model in plain Python, one candidate at a time: what the kernel must agree with.

Nothing here uses the kernel's arrays but the stock: costs, days and masks are computed anew from the network, the profile
and the order. The verifier and the brute force stand on this.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from routing.arrays import NONE, NOT_STOCKED, Stock
from routing.calendars import day_number, dispatch_day, pickup_ready
from routing.geometry import distance_km
from routing.limits import BACKLOG_DAYS_MAX, FIXED_COST_MAX, MICROS, UNIT_COST_MAX
from routing.network import Location, Network
from routing.order import UNKNOWN_SKU, Order, Part, layout, point, unfilled_cost
from routing.problem import setup_cost, weigh_table
from routing.profile import Profile, micros, weighed
from routing.rates import RateTable, Step
from routing.rules import Method


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


class PlainModel:
    """One order against a network, profile, stock and moment.

    Parameters
    ----------
    network, profile, order
        As the planner got them, checked.
    stock : Stock
        The same stock.
    rows : sequence of int
        Stock row of each line.
    now : datetime
        With a time zone.
    """

    def __init__(
        self, network: Network, profile: Profile, order: Order, stock: Stock, rows: Sequence[int], now: datetime
    ) -> None:
        self.network, self.profile, self.order, self.stock, self.rows, self.now = (
            network, profile, order, stock, rows, now,
        )
        self.parts, self.part_of_line = layout(order, network)
        self.skus = [network.skus.get(line.sku, UNKNOWN_SKU) for line in order.lines]
        self.unfilled = [unfilled_cost(sku, profile) for sku in self.skus]
        self.split_cost = weighed(micros(profile.costs.split), profile.weights.shipping)

    def spare(self, location: int) -> int:
        """Return units of capacity left."""
        place = self.network.locations[location]
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
        carriage, arrival, setup, km = trip
        late = max(0, arrival - part.promise_day) if part.promise_day != NONE else 0
        rules, is_soft = self.profile.rules, False
        if rules.promise and late:
            if rules.promise.strength == "hard":
                return None
            is_soft = True
        if rules.max_distance and km is not None and km > rules.max_distance.km:
            if rules.max_distance.strength == "hard":
                return None
            is_soft = True
        lateness = late * weighed(micros(self.profile.costs.late_day), self.profile.weights.lateness)
        return Candidate(
            part=part_index,
            location=location,
            fixed=min(setup + lateness, FIXED_COST_MAX),
            carriage=carriage,
            unit_base=self._unit_base(location),
            arrival_day=arrival,
            is_soft=is_soft,
        )

    def _unit_base(self, location: int) -> int:
        place, weights = self.network.locations[location], self.profile.weights
        backlog = weighed(place.backlog_cost, weights.capacity) * int(self.stock.load[location])
        price = int(self.stock.location_price[location])
        return weighed(place.handling_cost, weights.handling) + backlog // max(1, place.units_per_day) + price

    def _trip(self, place: Location, part: Part, location: int) -> tuple[RateTable, int, int, float | None] | None:
        """Return carriage, day of arrival, set-up cost and distance (of parcels only), or None: it does not go."""
        free = RateTable((Step(0, None, 0, 0),))
        calendars = self.network.calendars
        calendar = calendars[place.calendar]
        if part.method == Method.PICKUP or (part.method == Method.SHIP_TO_STORE and location == part.store):
            if location != part.store or Method.PICKUP not in place.methods:
                return None
            ready = pickup_ready(calendar, self.now, place.time_zone, place.hours, place.pickup_minutes)
            return free, day_number(ready.date()), setup_cost(place, Method.PICKUP, self.profile), None
        leaves = self._leaves(place, location)
        setup = setup_cost(place, part.method, self.profile)
        if part.method == Method.SHIP_TO_STORE:
            store = self.network.locations[part.store]
            lane = self.network.lanes.get((place.location_id, store.location_id))
            if lane is None or not place.methods & {Method.SHIP_TO_STORE, Method.PICKUP}:
                return None
            table = RateTable((Step(0, None, lane.base, lane.per_kilogram),))
            arrival = day_number(calendars[store.calendar].plus(leaves, lane.days))
            return weigh_table(table, self.profile.weights.shipping), arrival, setup, None
        if part.method not in place.methods:
            return None
        degrees = point(self.order, self.network)
        assert degrees is not None
        km = distance_km(place.latitude, place.longitude, *degrees)
        carrier = self.network.carriers[place.carrier]
        for zone, table in zip(carrier.zones, carrier.rates[part.method], strict=False):
            if zone.km_max is None or km <= zone.km_max:
                arrival = day_number(calendars[carrier.calendar].plus(leaves, zone.transit_days))
                return weigh_table(table, self.profile.weights.shipping), arrival, setup, km
        return None

    def _leaves(self, place: Location, location: int) -> date:
        calendar = self.network.calendars[place.calendar]
        behind = min(int(self.stock.load[location]) // max(1, place.units_per_day), BACKLOG_DAYS_MAX)
        return dispatch_day(calendar, self.now, place.time_zone, place.cut_off, place.handling_days + behind)

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
        if available == NOT_STOCKED:
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
        return max(-UNIT_COST_MAX, min(UNIT_COST_MAX, cost))

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


