"""What a location could do for an order: how it would get there, at what cost, and what keeps it from which line."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import NamedTuple
from zoneinfo import ZoneInfo

from onhand.inventory.v1 import catalog_pb2
from onhand.routing.v1 import network_pb2, plan_pb2

from . import days
from .costs import FREE, LATE_DAYS_MAX, Profile, Rates
from .days import Calendar

SHIP, PICKUP, SHIP_TO_STORE, DELIVERY = 1, 2, 3, 4
EARTH_KM = 6371.0088
BACKLOG_DAYS_MAX = 7
Reason = plan_pb2.ReasonCode
(
    ELIGIBLE,
    INACTIVE,
    NO_CAPABILITY,
    CHANNEL_NOT_SERVED,
    NOT_PICKUP_STORE,
    NO_LANE,
    BEYOND_ZONES,
    MAX_DISTANCE,
    CUTOFF_MISSED,
    PROMISE_MISSED,
    CAPACITY_FULL,
    RESTRICTED_ITEM,
    REJECTED_BEFORE,
    NOT_STOCKED,
    SAFETY_STOCK,
    OUT_OF_STOCK,
    INSUFFICIENT,
    DEARER_THAN_UNFILLED,
    SHIP_COMPLETE,
    NEVER_SPLIT,
    MAX_SHIPMENTS,
) = range(1, 22)
PASSES_WITH_TIME = {
    ELIGIBLE,
    CAPACITY_FULL,
    REJECTED_BEFORE,
    NOT_STOCKED,
    SAFETY_STOCK,
    OUT_OF_STOCK,
    INSUFFICIENT,
    DEARER_THAN_UNFILLED,
}


class Level(NamedTuple):
    """Stock of a sku at a location."""

    free: int
    """On hand, less what is held and the safety stock."""
    backorder: int
    safety: int


class Part(NamedTuple):
    """Lines of one order that may travel together."""

    method: int
    store: str
    promise: date | None


@dataclass(frozen=True)
class Line:
    """A line of an order."""

    sku: str
    units: int
    part: Part
    value: int


@dataclass
class Place:
    """A location as routing sees it."""

    name: str
    point: tuple[float, float]
    zone: ZoneInfo
    groups: frozenset[str]
    is_active: bool
    methods: frozenset[int]
    calendar: Calendar
    cut_off: time
    hours: tuple[time, time]
    own: network_pb2.LocationRouting

    @property
    def units_per_day(self) -> int | None:
        """Units it dispatches in a working day; None: any number."""
        return self.own.units_per_day if self.own.HasField("units_per_day") else None

    @property
    def pickup_minutes(self) -> int:
        """Opening time until a pickup is ready."""
        return self.own.pickup_minutes if self.own.HasField("pickup_minutes") else 60

    def spare(self, load: int) -> int:
        """Return the units of capacity left."""
        if self.units_per_day is None:
            return 10**9
        return max(0, self.units_per_day * (1 + self.own.backlog_days_max) - load)

    def leaves(self, now: datetime, load: int, *, is_cut: bool = True) -> date:
        """Return when an order of now is dispatched."""
        behind = min(BACKLOG_DAYS_MAX, load // max(1, self.units_per_day)) if self.units_per_day is not None else 0
        counts = days.counting_day(self.calendar, now, self.zone, self.cut_off if is_cut else None)
        return self.calendar.after(counts, self.own.handling_days + behind)

    def ready(self, now: datetime) -> datetime:
        """Return when a pickup would be ready."""
        return days.ready(self.calendar, now, self.zone, self.hours, self.pickup_minutes)


def km_between(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return the great-circle distance (haversine)."""
    north, other_north = math.radians(one[0]), math.radians(other[0])
    east = math.radians(other[1] - one[1])
    chord = math.sin((other_north - north) / 2) ** 2 + math.cos(north) * math.cos(other_north) * math.sin(east / 2) ** 2
    return 2 * EARTH_KM * math.asin(math.sqrt(min(1.0, chord)))


@dataclass
class Network:
    """The network of some messages."""

    message: network_pb2.Network
    places: dict[str, Place]
    """In the order of the catalog."""
    skus: Mapping[str, catalog_pb2.Sku]
    profiles: dict[str, Profile]
    calendars: dict[str, Calendar]

    @classmethod
    def of(
        cls,
        message: network_pb2.Network,
        locations: Mapping[str, catalog_pb2.Location],
        routing: Mapping[str, network_pb2.LocationRouting],
        skus: Mapping[str, catalog_pb2.Sku],
    ) -> "Network":
        """Put together what the catalog, the network and its locations say."""
        calendars = {
            one.name: Calendar(frozenset(one.weekdays), frozenset(map(date.fromisoformat, one.closed_dates)))
            for one in message.calendars
        }
        places = {
            name: place_of(location, routing[name], calendars)
            for name, location in locations.items()
            if name in routing
        }
        return cls(message, places, skus, {one.name: Profile(one) for one in message.profiles}, calendars)

    def profile(self, name: str) -> Profile:
        """Return a profile by name, or name@version; the first one where there is none."""
        return self.profiles[name.partition("@")[0]] if name else next(iter(self.profiles.values()))

    def unfilled(self, sku: str, profile: Profile) -> int:
        """Return what a unit costs that is not filled."""
        return next((one.unfilled_micros for one in self.message.skus if one.sku_id == sku), profile.unfilled)

    def serves(self, channel: str, place: Place) -> bool:
        """Tell whether a location serves a channel."""
        found = next(one for one in self.message.channels if one.name == channel)
        return not place.groups.isdisjoint(found.location_groups)

    def carrier(self, place: Place) -> network_pb2.Carrier:
        """Return who takes a location's parcels."""
        return next(one for one in self.message.carriers if one.name == place.own.carrier)

    def lane(self, place: Place, store: str) -> network_pb2.Lane | None:
        """Return the lane from a location to a store."""
        ends = place.name, store
        return next((one for one in self.message.lanes if (one.from_location_id, one.to_location_id) == ends), None)


def place_of(
    location: catalog_pb2.Location, own: network_pb2.LocationRouting, calendars: Mapping[str, Calendar]
) -> Place:
    """Put a location together."""
    methods = frozenset(own.methods)
    if location.capabilities:
        needed = {PICKUP: catalog_pb2.LOCATION_CAPABILITY_PICKUP}
        methods = frozenset(
            one for one in methods if needed.get(one, catalog_pb2.LOCATION_CAPABILITY_SHIP) in location.capabilities
        )
    return Place(
        name=location.location_id,
        point=(location.latitude, location.longitude),
        zone=ZoneInfo(location.time_zone or "UTC"),
        groups=frozenset(location.location_groups),
        is_active=location.active,
        methods=methods,
        calendar=calendars[own.calendar],
        cut_off=days.clock(own.cut_off, time(23, 59)),
        hours=(days.clock(own.opens, time(0)), days.clock(own.closes, time(23, 59))),
        own=own,
    )


@dataclass
class Trip:
    """How units would get from a location to the customer."""

    rates: Rates
    setup: int
    arrival: date
    idle_arrival: date
    """Had nothing waited there."""
    uncut_arrival: date
    """Had nothing waited, and the cut-off not been over."""


@dataclass
class Sight:
    """One location for one part of an order."""

    place: Place
    part: Part
    km: float
    load: int
    spare: int
    masks: list["Mask"] = field(default_factory=list)
    """What keeps it from all lines, in order; but for a full day."""
    trip: Trip | None = None
    fixed: int = 0
    """Of a shipment, without what carrying it takes."""
    unit: int = 0
    """Of a unit, without what carrying it takes."""
    lateness: int = 0
    lines: dict[int, "LineSight"] = field(default_factory=dict)

    def reason(self, *, dropped: bool) -> int:
        """Return what keeps it from all lines; `dropped`: soft rules are."""
        return next((mask.reason for mask in self.masks if not (mask.is_soft and dropped)), ELIGIBLE)

    def can_serve(self, *, dropped: bool) -> bool:
        """Tell whether nothing keeps it from the part as such."""
        return self.spare > 0 and self.reason(dropped=dropped) == ELIGIBLE


class Mask(NamedTuple):
    """A rule against a location."""

    reason: int
    is_soft: bool = False


@dataclass
class LineSight:
    """One location for one line."""

    is_restricted: bool
    is_rejected: bool
    level: Level | None
    unit_cost: int


class Order:
    """An order against a network, a stock and a moment."""

    def __init__(  # noqa: PLR0917 - all that a decision sees
        self,
        message: plan_pb2.Order,
        network: Network,
        profile: Profile,
        now: datetime,
        levels: Mapping[tuple[str, str], Level],
        load: Mapping[str, int],
        rejected: frozenset[tuple[str, str]] = frozenset(),
        shipments_max: int = 0,
    ) -> None:
        self.network, self.profile, self.now = network, profile, now
        self.levels, self.load, self.rejected = levels, load, rejected
        self.channel = message.channel
        self.lines = [
            Line(
                item.sku_id,
                item.quantity,
                part_of(item),
                item.unit_value_micros,
            )
            for item in message.lines
        ]
        self.parts = list(dict.fromkeys(line.part for line in self.lines))
        self.unfilled = [network.unfilled(line.sku, profile) for line in self.lines]
        self.weights = [network.skus[line.sku].weight_milligrams for line in self.lines]
        self.is_complete = message.ship_complete or profile.ship_complete
        value = sum(line.units * line.value for line in self.lines)
        self.is_split_forbidden = value < profile.never_split_below
        self.shipments_max = 1 if self.is_split_forbidden else shipments_max or profile.shipments_max
        self.destination = point_of(message, network)
        self.sights = {
            (part, name): self._look(part, place) for part in self.parts for name, place in network.places.items()
        }

    @property
    def has_steps(self) -> bool:
        """Tell whether some location has a rate with steps for a method of the order, in any zone."""
        for part in self.parts:
            if part.method not in (SHIP, DELIVERY):
                continue
            for place in self.network.places.values():
                if part.method in place.methods and any(
                    len(zone.ship_rates if part.method == SHIP else zone.delivery_rates) > 1
                    for zone in self.network.carrier(place).zones
                ):
                    return True
        return False

    # ---- locations ---------------------------------------------------------------------------------------------------

    def _look(self, part: Part, place: Place) -> Sight:
        to = self.network.places[part.store].point if part.store else self.destination
        assert to is not None
        load = self.load.get(place.name, 0)
        sight = Sight(place, part, km_between(place.point, to), load, place.spare(load))
        sight.masks = list(self._masks(sight))
        weigh = self.profile.weigh
        sight.unit = weigh("handling", place.own.handling_micros)
        if place.units_per_day is not None:
            sight.unit += weigh("capacity", place.own.backlog_micros) * load // max(1, place.units_per_day)
        if sight.trip is not None:
            sight.lateness = self.profile.late_day * min(LATE_DAYS_MAX, self._late(part, sight.trip.arrival))
            sight.fixed = sight.trip.setup + sight.lateness
        for number, line in enumerate(self.lines):
            if line.part == part:
                sight.lines[number] = self._look_at_line(number, line, sight)
        return sight

    def _look_at_line(self, number: int, line: Line, sight: Sight) -> LineSight:
        place = sight.place
        allowed = set(place.own.allowed_restrictions)
        if line.part.method in (SHIP, DELIVERY) and line.part.method in place.methods:
            allowed -= set(self.network.carrier(place).refused_restrictions)
        carried = sight.trip.rates.unit(self.weights[number]) if sight.trip else 0
        return LineSight(
            is_restricted=not set(self.network.skus[line.sku].restrictions) <= allowed,
            is_rejected=(line.sku, place.name) in self.rejected,
            level=self.levels.get((line.sku, place.name)),
            unit_cost=sight.unit + carried,
        )

    @staticmethod
    def _late(part: Part, arrival: date) -> int:
        return max(0, (arrival - part.promise).days) if part.promise else 0

    def _masks(self, sight: Sight) -> Iterator[Mask]:
        """Find how a location would serve a part, and yield what keeps it from it."""
        place, part = sight.place, sight.part
        is_collected = part.method == PICKUP or (part.method == SHIP_TO_STORE and part.store == place.name)
        is_sent = part.method == SHIP_TO_STORE
        if not place.is_active:
            yield Mask(INACTIVE)
        elif not (place.methods & {SHIP_TO_STORE, PICKUP} if is_sent else part.method in place.methods):
            yield Mask(NO_CAPABILITY)
        elif self.channel and not self.network.serves(self.channel, place):
            yield Mask(CHANNEL_NOT_SERVED)
        elif is_collected:
            if part.store != place.name:
                yield Mask(NOT_PICKUP_STORE)
            arrival = place.ready(self.now).astimezone(place.zone).date()
            sight.trip = Trip(FREE, self._setup(place, place.own.pickup_micros), arrival, arrival, arrival)
        elif is_sent:
            yield from self._lane_masks(sight)
        else:
            yield from self._zone_masks(sight)
        if sight.trip and self.profile.has_promise_rule and self._late(part, sight.trip.arrival):
            yield Mask(self._missed(sight.trip, part), self.profile.is_promise_soft)

    def _lane_masks(self, sight: Sight) -> Iterator[Mask]:
        lane = self.network.lane(sight.place, sight.part.store)
        if lane is None:
            yield Mask(NO_LANE)
            return
        row = network_pb2.RateStep(base_micros=lane.base_micros, per_kilogram_micros=lane.per_kilogram_micros)
        calendar = self.network.places[sight.part.store].calendar
        self._travel(sight, calendar, lane.days, Rates.of([row], self.profile))

    def _zone_masks(self, sight: Sight) -> Iterator[Mask]:
        carrier = self.network.carrier(sight.place)
        zone = next((zone for zone in carrier.zones if not zone.km_max or sight.km <= zone.km_max), None)
        rows = () if zone is None else zone.ship_rates if sight.part.method == SHIP else zone.delivery_rates
        if zone is None or not rows:
            yield Mask(BEYOND_ZONES)
            return
        calendar = self.network.calendars[carrier.calendar]
        self._travel(sight, calendar, zone.transit_days, Rates.of(rows, self.profile))
        if self.profile.km_max and sight.km > self.profile.km_max:
            yield Mask(MAX_DISTANCE, self.profile.is_distance_soft)

    def _missed(self, trip: Trip, part: Part) -> int:
        """Return why a promise is missed: for the load, for the cut-off, or for good."""
        if not self._late(part, trip.idle_arrival):
            return CAPACITY_FULL
        return PROMISE_MISSED if self._late(part, trip.uncut_arrival) else CUTOFF_MISSED

    def _travel(self, sight: Sight, calendar: Calendar, transit: int, rates: Rates) -> None:
        place = sight.place
        arrivals = [
            calendar.arrives(leaves, transit)
            for leaves in (
                place.leaves(self.now, sight.load),
                place.leaves(self.now, 0),
                place.leaves(self.now, 0, is_cut=False),
            )
        ]
        sight.trip = Trip(rates, self._setup(place, place.own.setup_micros), *arrivals)

    def _setup(self, place: Place, picking: int) -> int:
        return self.profile.weigh("handling", picking) + self.profile.weigh(
            "node_performance", place.own.performance_micros
        )

    # ---- lines -------------------------------------------------------------------------------------------------------

    def room(self, number: int, sight: Sight, *, dropped: bool) -> int:
        """Return the units that a location could fill of a line; `dropped`: soft rules are."""
        own = sight.lines[number]
        if not sight.can_serve(dropped=dropped) or own.is_restricted or own.is_rejected or own.level is None:
            return 0
        return min(self.lines[number].units, self.stock(number, sight, dropped=dropped), sight.spare)

    def stock(self, number: int, sight: Sight, *, dropped: bool) -> int:
        """Return the units that a location has of a line's sku."""
        level = sight.lines[number].level
        if level is None:
            return 0
        extra = level.backorder if dropped and self.profile.are_backorders_used else 0
        return max(0, level.free + extra)

    def has_soft_masks(self) -> bool:
        """Tell whether a soft rule keeps something from some line."""
        for sight in self.sights.values():
            if sight.masks and sight.masks[0].is_soft:
                return True
            for number, own in sight.lines.items():
                if (
                    sight.can_serve(dropped=False)
                    and not own.is_restricted
                    and own.level is not None
                    and self.profile.are_backorders_used
                    and own.level.backorder > 0
                    and own.level.free < self.lines[number].units
                ):
                    return True
        return False

    def reason(self, number: int, sight: Sight, *, dropped: bool) -> int:  # noqa: PLR0911 - as the list in docs/routing.md
        """Return what keeps a location from a line whole."""
        own, line = sight.lines[number], self.lines[number]
        reason = sight.reason(dropped=dropped)
        if reason not in (ELIGIBLE, CAPACITY_FULL):
            return reason
        if own.is_restricted:
            return RESTRICTED_ITEM
        if own.is_rejected:
            return REJECTED_BEFORE
        if reason == CAPACITY_FULL or sight.spare <= 0:
            return CAPACITY_FULL
        if own.level is None:
            return NOT_STOCKED
        stock = self.stock(number, sight, dropped=dropped)
        if stock and own.unit_cost > self.unfilled[number] and not self.is_complete:
            return DEARER_THAN_UNFILLED
        if stock >= line.units:
            return ELIGIBLE
        if own.level.safety > 0 and own.level.free + own.level.safety >= line.units:
            return SAFETY_STOCK
        return INSUFFICIENT if stock else OUT_OF_STOCK


def part_of(line: plan_pb2.OrderLine) -> Part:
    """Return the part of a line."""
    promise = date.fromisoformat(line.promise_date) if line.promise_date else None
    return Part(line.method or SHIP, line.store_id, promise)


def point_of(message: plan_pb2.Order, network: Network) -> tuple[float, float] | None:
    """Return where an order goes."""
    if not message.HasField("destination"):
        return None
    if name := message.destination.place:
        return next((one.latitude, one.longitude) for one in network.message.places if one.name == name)
    return message.destination.latitude, message.destination.longitude


def utc(time_us: int) -> datetime:
    """Return a moment."""
    return datetime.fromtimestamp(time_us // 1_000_000, UTC).replace(microsecond=time_us % 1_000_000)
