"""A network and a profile as frozen columns, for the kernel.

`Columns` are made once for a network and profile; `at` completes them for a moment, since dispatch days move on with
cut-offs and midnights. A problem holds until `valid_until`.
"""

from collections.abc import Sequence
from copy import copy
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from routing.arrays import NONE, Int64s, Problem
from routing.geometry import ANYWHERE_DOT, dot_within, unit_vector
from routing.network import Carrier, Location, Network
from routing.profile import Profile, micros, weighed
from routing.rates import RateTable, Step
from routing.rules import Method

ANY_WEIGHT = 2**62
NO_LIMIT = 2**62
"""Units of a location that dispatches any number of them: more than any sum of units."""
PARCELS = (Method.SHIP, Method.DELIVERY)


class Service(NamedTuple):
    """A carrier's rates for one method."""

    carrier: str
    method: Method


class TimedProblem(NamedTuple):
    """A problem and how long it holds."""

    problem: Problem
    valid_until: datetime


class Columns:
    """A checked network and profile as arrays, but for what the clock moves."""

    def __init__(self, network: Network, profile: Profile) -> None:
        self._network = network
        self.channel_rows = {name: row for row, name in enumerate(network.channels)}
        self._services = [
            Service(name, method)
            for name, carrier in network.carriers.items()
            for method in PARCELS
            if carrier.rates.get(method)
        ]
        self._profile = profile
        own = self._locations(network.locations)
        self._fixed = own | self._rates(profile) | self._lanes(profile) | _rules(profile)

    def with_locations(self, network: Network, changed: Sequence[int]) -> "Columns":
        """Return the columns of a network that differs in some locations, given by position, and in nothing else."""
        columns = copy(self)
        columns._network = network  # noqa: SLF001 - one of these
        own = columns._locations([network.locations[place] for place in changed])  # noqa: SLF001 - likewise
        fixed = {name: self._fixed[name].copy() for name in own}
        for name, values in own.items():
            fixed[name][..., list(changed)] = values
        columns._fixed = self._fixed | {name: _frozen(values) for name, values in fixed.items()}  # noqa: SLF001 - likewise
        return columns

    def at(self, now: datetime) -> TimedProblem:
        """Return the problem of a moment, which must have a time zone."""
        moment = self._network.timetable.at(now)
        problem = Problem(
            **self._fixed,
            pickup_day=moment.pickup_day,
            uncut_day=moment.uncut_day,
            dispatch_day=moment.dispatch_day,
            parcel_start=moment.parcel_start,
            first_place=moment.days.first_place,
            working_day=moment.days.working_day,
            first_day=moment.days.first_day,
        )
        return TimedProblem(problem, moment.valid_until)

    def _locations(self, locations: Sequence[Location]) -> dict[str, Any]:
        """Return the columns of some locations; these are the last axis of each."""
        network, profile, weights = self._network, self._profile, self._profile.weights
        vectors = [unit_vector(location.latitude, location.longitude) for location in locations]

        def column(values: Sequence[Any], dtype: DTypeLike) -> NDArray[Any]:
            return _frozen(np.array(values, dtype))

        return {
            "x": column([vector[0] for vector in vectors], np.float64),
            "y": column([vector[1] for vector in vectors], np.float64),
            "z": column([vector[2] for vector in vectors], np.float64),
            "is_active": column([location.is_active for location in locations], np.uint8),
            "priority": column([location.priority for location in locations], np.int32),
            "is_served": column(
                [[network.serves(channel, location) for location in locations] for channel in network.channels],
                np.uint8,
            ).reshape(-1, len(locations)),
            "allowed": column([[self._allowed(at, method) for at in locations] for method in Method], np.int64),
            "service": column([[self._service(at, method) for at in locations] for method in Method], np.int32),
            "setup": column([[setup_cost(at, method, profile) for at in locations] for method in Method], np.int64),
            "handling": column([weighed(at.handling_cost, weights.handling) for at in locations], np.int64),
            "backlog_cost": column([_backlog_cost(at, profile) for at in locations], np.int64),
            "units_per_day": column([max(1, _units_per_day(at)) for at in locations], np.int64),
            "capacity": column([_capacity(at) for at in locations], np.int64),
            "calendar": column([network.timetable.calendar_row[at.calendar] for at in locations], np.int32),
        }

    def _allowed(self, location: Location, method: Method) -> int:
        allowed = self._network.bits_of(location.restrictions)
        if method in PARCELS and location.carrier in self._network.carriers:
            allowed &= ~self._network.bits_of(self._network.carriers[location.carrier].refuses)
        return allowed

    def _service(self, location: Location, method: Method) -> int:
        if method == Method.SHIP_TO_STORE:
            # The store itself fills from its own stock; others need a lane, and the capability to send.
            return 0 if location.methods & {Method.SHIP_TO_STORE, Method.PICKUP} else NONE
        if method not in location.methods:
            return NONE
        return self._services.index(Service(location.carrier, method)) if method in PARCELS else 0

    def _rates(self, profile: Profile) -> dict[str, Any]:
        carriers: list[Carrier] = [self._network.carriers[service.carrier] for service in self._services]
        tables = [carrier.rates[service.method] for carrier, service in zip(carriers, self._services, strict=True)]
        weighed_tables = [[weigh_table(table, profile.weights.shipping) for table in row] for row in tables]
        bounds = [[table.lower_bound() for table in row] for row in weighed_tables]
        zones = max([len(row) for row in tables], default=1)
        steps = max([len(table.steps) for row in tables for table in row], default=1)
        empty = Step(0, None, 0, 0)
        filled = [[[*table.steps, *[empty] * (steps - len(table.steps))] for table in row] for row in weighed_tables]

        def by_zone(rows: Sequence[Sequence[Any]], dtype: DTypeLike, filler: Any) -> NDArray[Any]:
            padded = [[*row, *[filler] * (zones - len(row))] for row in rows]
            return _frozen(np.array(padded, dtype).reshape(len(self._services), zones, *np.shape(filler)))

        def by_step(field: str) -> Int64s:
            rows = [[[_number(getattr(step, field)) for step in table] for table in row] for row in filled]
            return by_zone(rows, np.int64, [0] * steps)

        reach = [carrier.zones[: len(row)] for carrier, row in zip(carriers, tables, strict=True)]
        return {
            "zone_count": _frozen(np.array([len(row) for row in tables], np.int32)),
            "zone_dot": by_zone([[dot_within(zone.km_max) for zone in row] for row in reach], np.float64, ANYWHERE_DOT),
            "transit": by_zone([[zone.transit_days for zone in row] for row in reach], np.int32, 0),
            "service_calendar": _frozen(
                np.array([self._network.timetable.calendar_row[carrier.calendar] for carrier in carriers], np.int32)
            ),
            "is_stepped": _frozen(np.array([any(table.is_stepped for table in row) for row in tables], np.uint8)),
            "base": by_zone([[bound.base for bound in row] for row in bounds], np.int64, 0),
            "per_kilogram": by_zone([[bound.per_kilogram for bound in row] for row in bounds], np.int64, 0),
            "step_to": by_step("to"),
            "step_base": by_step("base"),
            "step_per_kilogram": by_step("per_kilogram"),
        }

    def _lanes(self, profile: Profile) -> dict[str, Any]:
        index, weight = self._network.location_index, profile.weights.shipping
        ends = np.array([(index[store], index[origin]) for origin, store in self._network.lanes], np.int32).reshape(
            -1, 2
        )
        order = np.lexsort((ends[:, 1], ends[:, 0]))
        lanes = list(self._network.lanes.values())
        lanes = [lanes[place] for place in order.tolist()]
        return {
            "lane_start": _frozen(np.searchsorted(ends[order, 0], np.arange(len(index) + 1)).astype(np.int32)),
            "lane_from": _frozen(np.ascontiguousarray(ends[order, 1])),
            "lane_base": _frozen(np.array([weighed(one.base, weight) for one in lanes], np.int64)),
            "lane_per_kilogram": _frozen(np.array([weighed(one.per_kilogram, weight) for one in lanes], np.int64)),
            "lane_days": _frozen(np.array([one.days for one in lanes], np.int32)),
        }


def _rules(profile: Profile) -> dict[str, Any]:
    rules, distance = profile.rules, profile.rules.max_distance
    return {
        "split_cost": weighed(micros(profile.costs.split), profile.weights.shipping),
        "late_day_cost": weighed(micros(profile.costs.late_day), profile.weights.lateness),
        "max_distance_dot": dot_within(distance.km if distance else None),
        "is_max_distance_soft": distance is not None and distance.strength == "soft",
        "is_promise_rule": rules.promise is not None,
        "is_promise_soft": rules.promise is not None and rules.promise.strength == "soft",
        "is_backorder_soft": rules.backorder.strength == "soft",
    }


def setup_cost(location: Location, method: Method, profile: Profile) -> int:
    """Return what a shipment costs before its carriage, as the profile weighs it."""
    picking = location.pickup_cost if method == Method.PICKUP else location.setup_cost
    performance = weighed(location.performance_cost, profile.weights.node_performance)
    return weighed(picking, profile.weights.handling) + performance


def _units_per_day(location: Location) -> int:
    return NO_LIMIT if location.units_per_day is None else location.units_per_day


def _capacity(location: Location) -> int:
    return min(NO_LIMIT, _units_per_day(location) * (1 + location.backlog_days_max))


def _backlog_cost(location: Location, profile: Profile) -> int:
    """Return what a whole day's backlog costs; without a limit no day is ever full."""
    return 0 if location.units_per_day is None else weighed(location.backlog_cost, profile.weights.capacity)


def weigh_table(table: RateTable, weight: float) -> RateTable:
    """Return rates as the objective counts them."""
    return RateTable(
        tuple(
            step._replace(base=weighed(step.base, weight), per_kilogram=weighed(step.per_kilogram, weight))
            for step in table.steps
        )
    )


def _number(value: int | None) -> int:
    return ANY_WEIGHT if value is None else value


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.setflags(write=False)
    return array
