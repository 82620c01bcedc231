"""The network that orders are routed over: locations, calendars, carriers with zones and rates, lanes, skus.

Amounts are micros of one currency, weights milligrams. `check` refuses what cannot be used and names the field.
"""

from collections.abc import Mapping
from datetime import time
from functools import cached_property
from itertools import pairwise

import msgspec

from routing.calendars import Calendar, Hours
from routing.errors import Problems
from routing.limits import RESTRICTIONS_MAX, ZONES_MAX
from routing.rates import RateTable
from routing.rules import Method


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
    cut_off: time = time(23, 59)
    handling_days: int = 0
    units_per_day: int = 1_000_000
    """Units it dispatches in a working day."""
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
    hours: Hours = Hours(time(0), time(23, 59))
    pickup_minutes: int = 60
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
    """Working days of the store."""


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
    def restriction_bits(self) -> dict[str, int]:
        """Restriction -> its bit."""
        names = sorted({name for sku in self.skus.values() for name in sku.restrictions})
        return {name: 1 << bit for bit, name in enumerate(names)}

    def bits_of(self, restrictions: frozenset[str]) -> int:
        """Return restrictions as bits; those of no sku have none."""
        return sum(self.restriction_bits.get(name, 0) for name in restrictions)

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
        problems.add(f"{where}, restrictions: expected at most {RESTRICTIONS_MAX} different ones, was {found}.")
    for name, calendar in network.calendars.items():
        if not calendar.weekdays:
            problems.add(f"{where}, calendars.{name}.weekdays: expected at least one open day, found none.")
    for name, carrier in network.carriers.items():
        _check_carrier(network, f"{where}, carriers.{name}", carrier, problems)
    for location in network.locations:
        _check_location(network, f"{where}, locations.{location.location_id}", location, problems)
    for end in sorted({end for lane in network.lanes for end in lane} - network.location_index.keys()):
        problems.add(f'{where}, lanes: expected a location of the network, was "{end}".')
    problems.raise_if_any()


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
    if not location.methods & {Method.SHIP, Method.DELIVERY}:
        return
    if location.carrier not in network.carriers:
        problems.add(f'{where}.carrier: expected a carrier of the network, was "{location.carrier}".')
        return
    offered = network.carriers[location.carrier].rates
    for method in sorted(location.methods & {Method.SHIP, Method.DELIVERY}):
        if not offered.get(method):
            problems.add(f'{where}.methods: expected a rate of carrier "{location.carrier}" for {method.name}.')
