"""The network that orders are routed over: locations, calendars, carriers with zones and rates, lanes, skus.

Amounts are micros of one currency, weights milligrams. `check` refuses what cannot be used and names the field.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import time, timedelta
from functools import cached_property
from itertools import pairwise
from typing import Final, NamedTuple

import msgspec

from routing.calendars import END_OF_DAY, Calendar, Hours
from routing.errors import Problems
from routing.limits import (
    AMOUNT_MAX,
    MICROS,
    PER_KILOGRAM_MAX,
    PICKUP_MINUTES_MAX,
    PICKUP_OPENINGS_MAX,
    RESTRICTIONS_MAX,
    ZONES_MAX,
)
from routing.profile import Profile, micros, weighed
from routing.rates import RateTable
from routing.rules import Method
from routing.timetable import Timetable

NOWHERE_ALLOWED: Final = 1 << RESTRICTIONS_MAX


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """A place that holds stock, as routing sees it."""

    location_id: str
    latitude: float
    longitude: float
    calendar: str
    carrier: str = ""
    """Who takes its parcels; needed for SHIP and DELIVERY."""
    methods: frozenset[Method] = frozenset({Method.SHIP})
    time_zone: str = "UTC"
    cut_off: time = END_OF_DAY
    handling_days: int = 0
    units_per_day: int | None = None
    """Units it dispatches in a working day; None: no limit, and no backlog."""
    backlog_days_max: int = 0
    """Working days of units that may wait; 0: today's only."""
    handling_cost: int = 0
    """Of a unit: handling and labor."""
    setup_cost: int = 0
    """Of a shipment: picking and packing."""
    pickup_cost: int = 0
    """Of an order collected here."""
    performance_cost: int = 0
    """Of a shipment: what rejects and errors of this location cost on the average."""
    backlog_cost: int = 0
    """What one more unit costs when a whole day's units wait; proportional to what waits."""
    priority: int = 0
    """Rank for the priority strategy; lower goes first."""
    groups: frozenset[str] = frozenset()
    restrictions: frozenset[str] = frozenset()
    """Restrictions of skus that it may send."""
    hours: Hours = Hours(time(0), END_OF_DAY)
    pickup_minutes: int = 60
    """Of opening time, until a pickup is ready."""
    is_active: bool = True


class Zone(msgspec.Struct, frozen=True, kw_only=True):
    """How far a zone of a carrier goes, and how long it takes."""

    km_max: float | None
    """None: anywhere."""
    transit_days: int


class Carrier(msgspec.Struct, frozen=True, kw_only=True):
    """Who moves parcels."""

    calendar: str
    zones: tuple[Zone, ...]
    """From near to far."""
    rates: dict[Method, tuple[RateTable, ...]]
    """SHIP and DELIVERY: a table for each of the first zones; beyond them the method is not offered."""
    refuses: frozenset[str] = frozenset()
    """Restrictions of skus that it does not carry."""


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """Regular transport from a location to a store."""

    base: int
    per_kilogram: int
    days: int
    """Working days of the store, from 0."""


class Sku(msgspec.Struct, frozen=True, kw_only=True):
    """What routing must know of a sku."""

    weight_milligrams: int = 0
    restrictions: frozenset[str] = frozenset()
    unfilled_cost: int | None = None
    """Of a unit; None: the profile's."""


class Network(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Everything that orders are routed over, in one version."""

    version: int
    currency: str
    locations: tuple[Location, ...]
    calendars: dict[str, Calendar]
    carriers: dict[str, Carrier] = {}
    lanes: dict[tuple[str, str], Lane] = {}
    """(from location, to store)."""
    channels: dict[str, frozenset[str]] = {}
    """Channel -> location groups that serve it."""
    skus: Mapping[str, Sku] = {}
    """Skus that are not here weigh nothing and are not restricted."""
    places: dict[str, tuple[float, float]] = {}
    """Names that a destination may have, such as postal codes -> degrees north and east."""

    @cached_property
    def location_index(self) -> dict[str, int]:
        """Location id -> position in `locations`."""
        return {location.location_id: index for index, location in enumerate(self.locations)}

    @cached_property
    def timetable(self) -> Timetable:
        """When the locations dispatch, whatever the profile."""
        return Timetable(self)

    @cached_property
    def restriction_bits(self) -> dict[str, int]:
        """Restriction that some location may send -> its bit."""
        names = sorted({name for location in self.locations for name in location.restrictions})
        return {name: 1 << bit for bit, name in enumerate(names)}

    def bits_of(self, restrictions: frozenset[str]) -> int:
        """Return restrictions as bits; all that no location may send are one."""
        bits = 0
        for name in restrictions:
            bits |= self.restriction_bits.get(name, NOWHERE_ALLOWED)
        return bits

    def serves(self, channel: str, location: Location) -> bool:
        """Tell whether a location serves a channel."""
        return not self.channels[channel].isdisjoint(location.groups)


def check(network: Network, where: str = "network") -> None:
    """Refuse a network whose parts do not fit together; raises RoutingInputError, one line a problem."""
    problems = Problems()
    if not network.locations:
        problems.add(f"{where}: expected at least one location, found none.")
    if len(network.location_index) < len(network.locations):
        problems.add(f"{where}: expected every location_id once, found one twice.")
    if len(network.restriction_bits) > RESTRICTIONS_MAX:
        found = len(network.restriction_bits)
        expected = f"at most {RESTRICTIONS_MAX} different ones in all locations together"
        problems.add(f"{where}, locations.restrictions: expected {expected}, was {found}.")
    for name, calendar in network.calendars.items():
        if not calendar.weekdays:
            problems.add(f"{where}, calendars.{name}.weekdays: expected at least one open day, found none.")
    for name, carrier in network.carriers.items():
        _check_carrier(network, f"{where}, carriers.{name}", carrier, problems)
    _check_locations(network, network.locations, where, problems)
    for end in sorted({end for lane in network.lanes for end in lane} - network.location_index.keys()):
        problems.add(f'{where}, lanes: expected a location of the network, was "{end}".')
    problems.raise_if_any()


def check_locations(network: Network, locations: Sequence[Location], where: str = "network") -> None:
    """Refuse some locations that do not fit in their network, as `check` does."""
    problems = Problems()
    _check_locations(network, locations, where, problems)
    problems.raise_if_any()


def _check_locations(network: Network, locations: Sequence[Location], where: str, problems: Problems) -> None:
    for location in locations:
        _check_location(network, f"{where}, locations.{location.location_id}", location, problems)


def _check_carrier(network: Network, where: str, carrier: Carrier, problems: Problems) -> None:
    if carrier.calendar not in network.calendars:
        problems.add(f'{where}.calendar: expected a calendar of the network, was "{carrier.calendar}".')
    if not 1 <= len(carrier.zones) <= ZONES_MAX:
        problems.add(f"{where}.zones: expected 1 to {ZONES_MAX}, was {len(carrier.zones)}.")
    reaches = [float("inf") if zone.km_max is None else zone.km_max for zone in carrier.zones]
    if any(near >= far for near, far in pairwise(reaches)):
        problems.add(f"{where}.zones: expected each zone to go farther than the one before, was {reaches}.")
    for method, tables in carrier.rates.items():
        if len(tables) > len(carrier.zones):
            problems.add(
                f"{where}.rates.{method.name}: expected at most {len(carrier.zones)} zones, was {len(tables)}."
            )


def _check_location(network: Network, where: str, location: Location, problems: Problems) -> None:
    if location.calendar not in network.calendars:
        problems.add(f'{where}.calendar: expected a calendar of the network, was "{location.calendar}".')
    _check_hours(where, location, problems)
    if not location.methods & {Method.SHIP, Method.DELIVERY}:
        return
    if location.carrier not in network.carriers:
        problems.add(f'{where}.carrier: expected a carrier of the network, was "{location.carrier}".')
        return
    offered = network.carriers[location.carrier].rates
    for method in sorted(location.methods & {Method.SHIP, Method.DELIVERY}):
        if not offered.get(method):
            problems.add(f'{where}.methods: expected a rate of carrier "{location.carrier}" for {method.name}.')


def _check_hours(where: str, location: Location, problems: Problems) -> None:
    hours, minutes = location.hours, location.pickup_minutes
    if hours.opens == hours.closes:
        told = f"{hours.closes:%H:%M}"
        problems.add(
            f"{where}.closes: expected another time than it opens, {told}, was {told}; "
            "open all day is from 00:00 to 24:00, and a time before it opens is on the day after."
        )
        return
    most = min(PICKUP_MINUTES_MAX, PICKUP_OPENINGS_MAX * hours.length // timedelta(minutes=1))
    if not 0 <= minutes <= most:
        problems.add(
            f"{where}.pickup_minutes: expected 0 to {most}, which is at most {PICKUP_OPENINGS_MAX} openings "
            f"of {hours.length} hours, was {minutes}."
        )


# ---- what a profile weighs -------------------------------------------------------------------------------------------


class Weighed(NamedTuple):
    """An amount of a network or a profile, and the weight that it is counted by."""

    weight: str
    """Field of Weights."""
    amount: int
    most: int
    """As it is weighed."""
    where: str


def check_weights(
    network: Network,
    profiles: Iterable[Profile],
    locations: Sequence[Location] | None = None,
    where: str = "network",
) -> None:
    """Refuse weights that make an amount larger than any may be; raises RoutingInputError, one line a weight.

    Parameters
    ----------
    network, profiles
        What is weighed, and by which profiles.
    locations
        Those that have changed, where nothing else has.
    where
        What messages begin with.
    """
    shared = _largest(_of_network(network) if locations is None else _of_locations(locations))
    problems = Problems()
    for profile in profiles:
        for name, one in _largest([*shared.values(), *_of_profile(profile)]).items():
            weight = getattr(profile.weights, name)
            if weighed(one.amount, weight) > one.most:
                problems.add(
                    f"{where}, profiles.{profile.name}.{name}: expected at most {one.most / one.amount:g}, since "
                    f"{one.where} is {one.amount / MICROS:g} and may count {one.most / MICROS:g} at most, "
                    f"was {weight:g}."
                )
    problems.raise_if_any()


def _largest(amounts: Iterable[Weighed]) -> dict[str, Weighed]:
    """Return for each weight the amount that leaves it the least room."""
    found: dict[str, Weighed] = {}
    for one in amounts:
        before = found.get(one.weight)
        if before is None or one.amount * before.most > before.amount * one.most:
            found[one.weight] = one
    return found


def _of_profile(profile: Profile) -> Iterator[Weighed]:
    yield Weighed("shipping", micros(profile.costs.split), AMOUNT_MAX, f"profiles.{profile.name}.split")
    yield Weighed("lateness", micros(profile.costs.late_day), AMOUNT_MAX, f"profiles.{profile.name}.late_day")


def _of_network(network: Network) -> Iterator[Weighed]:
    for name, carrier in network.carriers.items():
        for method, tables in carrier.rates.items():
            for zone, table in enumerate(tables):
                rate = f"carriers.{name}.zones[{zone}].{method.name.lower()}_rates"
                yield from _of_rates(rate, [(step.base, step.per_kilogram) for step in table.steps])
    for (origin, store), lane in network.lanes.items():
        yield from _of_rates(f"the lane from {origin} to {store}", [(lane.base, lane.per_kilogram)])
    yield from _of_locations(network.locations)


def _of_rates(where: str, steps: Sequence[tuple[int, int]]) -> Iterator[Weighed]:
    """Yield the dearest base and the dearest rate by weight of some steps."""
    yield Weighed("shipping", max(base for base, _ in steps), AMOUNT_MAX, f"the base of {where}")
    dearest = max(per_kilogram for _, per_kilogram in steps)
    yield Weighed("shipping", dearest, PER_KILOGRAM_MAX, f"the rate by weight of {where}")


def _of_locations(locations: Sequence[Location]) -> Iterator[Weighed]:
    """Yield the largest amount of each kind."""
    for weight, name in (
        ("handling", "handling"),
        ("handling", "setup"),
        ("handling", "pickup"),
        ("node_performance", "performance"),
    ):
        amounts = [getattr(one, f"{name}_cost") for one in locations]
        most = max(amounts)
        yield Weighed(weight, most, AMOUNT_MAX, f"locations.{locations[amounts.index(most)].location_id}.{name}")
    waiting = [one.backlog_cost * (1 + one.backlog_days_max) for one in locations]
    most = max(waiting)
    where = f"locations.{locations[waiting.index(most)].location_id}.backlog times the days that may wait"
    yield Weighed("capacity", most, AMOUNT_MAX, where)
