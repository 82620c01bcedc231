"""The routing network: from messages to what routing works with."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from itertools import islice
from typing import Any, Final, TypeVar

from onhand.identifiers import visible
from onhand.inventory.v1 import catalog_pb2
from onhand.routing.v1 import network_pb2 as messages
from onhand.routing.v1 import plan_pb2
from onhand.rules.checks import byte_count
from onhand.rules.refusals import Problem

from engine.api import fields
from engine.errors import RefusedError
from engine.planner.fields import CURRENCY_BYTES_MAX
from ledger.parts.resources import Location as CatalogLocation
from routing import limits
from routing.calendars import END_OF_DAY, Calendar, Hours
from routing.errors import RoutingInputError
from routing.network import Carrier, Lane, Location, Network, Sku, Zone
from routing.profile import Costs, MaxDistance, Profile, Rule, Rules, Weights
from routing.rates import RateTable, Step, problems_of
from routing.rules import Method

DATE_LENGTH: Final = 10
MIDNIGHT: Final = time(0)
MIDNIGHT_AFTER: Final = "24:00"
REJECTION_DAYS_MAX: Final = 365
PICKUP_MINUTES_DEFAULT: Final = 60
PRIORITY_MAX: Final = 2**31 - 1
CALENDARS_MAX: Final = 1_000
CARRIERS_MAX: Final = 100
PROFILES_MAX: Final = 100
CHANNELS_MAX: Final = 1_000
NAMES_SHOWN_MAX: Final = 10
NAMES_MAX: Final = 100_000
"""Lanes, places, skus with data of their own: the network is one message."""
LOCATIONS_MAX: Final = 10_000
"""Of a network: every order is priced at each of them."""
METHODS: Final[Mapping[int, Method]] = {
    plan_pb2.FULFILLMENT_METHOD_SHIP: Method.SHIP,
    plan_pb2.FULFILLMENT_METHOD_PICKUP: Method.PICKUP,
    plan_pb2.FULFILLMENT_METHOD_SHIP_TO_STORE: Method.SHIP_TO_STORE,
    plan_pb2.FULFILLMENT_METHOD_DELIVERY: Method.DELIVERY,
}
STRENGTHS: Final = {messages.RULE_STRENGTH_HARD: "hard", messages.RULE_STRENGTH_SOFT: "soft"}
WEIGHTS: Final = tuple(Weights.__struct_fields__)
IDLE_WEIGHTS: Final = ("stockout_avoidance", "markdown_avoidance")
"""Of terms that the engine does not price yet: a network that was written before they were refused may have them."""

Value = TypeVar("Value")


# ---- fields ----------------------------------------------------------------------------------------------------------


def whole(value: int, field: str, most: int, *, at_least: int = 0) -> int:
    """Check a whole number."""
    if not at_least <= value <= most:
        fields.wrong(field, f"{at_least} to {most}", value)
        return at_least
    return value


def amount(value: int, field: str) -> int:
    """Check an amount of money."""
    return whole(value, field, limits.AMOUNT_MAX)


def day(value: str, field: str) -> date:
    """Check a date."""
    try:
        return date_of(value)
    except ValueError:
        fields.wrong(field, "a date, YYYY-MM-DD", value)
        return date.max


def date_of(value: str) -> date:
    """Return a date, YYYY-MM-DD and no other form; raises ValueError."""
    if len(value) != DATE_LENGTH or value[4] != "-" or value[7] != "-":
        raise ValueError(value)
    return date.fromisoformat(value)


def clock(value: str, field: str, default: time) -> time:
    """Check a time of day; empty is the default. What ends may end at 24:00."""
    if not value or (value == MIDNIGHT_AFTER and default == END_OF_DAY):
        return default
    try:
        found = time.fromisoformat(value)
    except ValueError:
        found = None
    if found is None or found.tzinfo:
        fields.wrong(field, "a time of day, HH:MM", value)
        return default
    return found


def names(values: Sequence[str], field: str, most: int = limits.RESTRICTIONS_MAX) -> frozenset[str]:
    """Check a set of names."""
    fields.count_of(values, field, most, at_least=0)
    return frozenset(fields.identifier(value, f"{field}[{place}]") for place, value in enumerate(values))


def named(
    items: Sequence[Any], field: str, most: int, read: Callable[[Any, str], Value], key: str = "name"
) -> dict[str, Value]:
    """Check a list of messages of which each has another name."""
    fields.count_of(items, field, most, at_least=0)
    fields.unique((getattr(item, key) for item in items), field)
    found = {}
    for place, item in enumerate(items):
        name = fields.identifier(getattr(item, key), f"{field}[{place}].{key}")
        found[name] = read(item, f"{field}[{place}]")
    return found


def read_method(value: int, field: str) -> Method:
    """Check a method; not set means SHIP."""
    method = METHODS.get(value or plan_pb2.FULFILLMENT_METHOD_SHIP)
    if method is None:
        fields.wrong(field, "a method of FulfillmentMethod", value)
        return Method.SHIP
    return method


def refusal_of(error: RoutingInputError, prefix: str = "") -> RefusedError:
    """Return the refusal of what routing refused: each line of its text begins with a field."""
    lines = [prefix + visible(line) for line in str(error).split("\n")]
    problems = [Problem(*_split(line)) for line in lines]
    return RefusedError("VALIDATION_FAILED", "\n".join(lines), problems=problems, metadata={"field": problems[0].field})


def _split(line: str) -> tuple[str, str]:
    field, colon, text = line.partition(": ")
    return (field.replace(", ", "."), text) if colon else ("", line)


# ---- the network -----------------------------------------------------------------------------------------------------


def read_calendar(item: messages.Calendar, field: str) -> Calendar:
    """Check a calendar."""
    for place, weekday in enumerate(item.weekdays):
        whole(weekday, f"{field}.weekdays[{place}]", 7, at_least=1)
    closed = [day(value, f"{field}.closed_dates[{place}]") for place, value in enumerate(item.closed_dates)]
    return Calendar(item.name, frozenset(weekday - 1 for weekday in item.weekdays), frozenset(closed))


def read_rates(items: Sequence[messages.RateStep], field: str) -> RateTable:
    """Check a rate table."""
    fields.count_of(items, field, limits.STEPS_MAX)
    known = fields.wrong_count()
    steps = [
        Step(
            whole(item.above_milligrams, f"{field}[{place}].above_milligrams", limits.WEIGHT_MILLIGRAMS_MAX),
            whole(item.to_milligrams, f"{field}[{place}].to_milligrams", limits.WEIGHT_MILLIGRAMS_MAX) or None,
            amount(item.base_micros, f"{field}[{place}].base_micros"),
            whole(item.per_kilogram_micros, f"{field}[{place}].per_kilogram_micros", limits.PER_KILOGRAM_MAX),
        )
        for place, item in enumerate(items)
    ]
    for place, text in problems_of(steps) if fields.wrong_count() == known else ():
        told = text.replace("_grams", "_milligrams").rstrip(".")  # it speaks of grams, as files do
        fields.refuse_field(*_split(f"{field}[{place}].{told} g."))
    return RateTable(tuple(steps))


def read_carrier(item: messages.Carrier, field: str) -> Carrier:
    """Check a carrier."""
    fields.count_of(item.zones, f"{field}.zones", limits.ZONES_MAX)
    zones = [
        Zone(
            km_max=_km(zone.km_max, f"{field}.zones[{place}].km_max") or None,
            transit_days=whole(zone.transit_days, f"{field}.zones[{place}].transit_days", limits.TRANSIT_DAYS_MAX),
        )
        for place, zone in enumerate(item.zones)
    ]
    tables = {
        method: tuple(_tables([getattr(zone, name) for zone in item.zones], f"{field}.zones", name))
        for method, name in ((Method.SHIP, "ship_rates"), (Method.DELIVERY, "delivery_rates"))
    }
    return Carrier(
        calendar=item.calendar,
        zones=tuple(zones),
        rates={method: rows for method, rows in tables.items() if rows},
        refuses=names(item.refused_restrictions, f"{field}.refused_restrictions"),
    )


def _km(value: float, field: str) -> float:
    if not 0 <= value <= 100_000:
        fields.wrong(field, "0 to 100000 kilometers", value)
        return 0
    return value


def _tables(rows: Sequence[Sequence[messages.RateStep]], field: str, name: str) -> Iterator[RateTable]:
    """Yield the tables of the first zones; refuses one behind a zone that has none."""
    offered = sum(bool(row) for row in rows)
    for place, row in enumerate(rows[:offered]):
        yield read_rates(row, f"{field}[{place}].{name}")


def read_lanes(items: Sequence[messages.Lane]) -> dict[tuple[str, str], Lane]:
    """Check the lanes."""
    fields.count_of(items, "network.lanes", NAMES_MAX, at_least=0)
    fields.unique(((item.from_location_id, item.to_location_id) for item in items), "network.lanes")
    return {
        (item.from_location_id, item.to_location_id): Lane(
            base=amount(item.base_micros, f"network.lanes[{place}].base_micros"),
            per_kilogram=whole(
                item.per_kilogram_micros, f"network.lanes[{place}].per_kilogram_micros", limits.PER_KILOGRAM_MAX
            ),
            days=whole(item.days, f"network.lanes[{place}].days", limits.TRANSIT_DAYS_MAX),
        )
        for place, item in enumerate(items)
    }


def read_place(item: messages.Place, field: str) -> tuple[float, float]:
    """Check a place."""
    for name, most in (("latitude", 90.0), ("longitude", 180.0)):
        if not -most <= getattr(item, name) <= most:
            fields.wrong(f"{field}.{name}", f"{-most:g} to {most:g} degrees", getattr(item, name))
    return item.latitude, item.longitude


def read_profile(item: messages.RoutingProfile, field: str) -> Profile:
    """Check a routing profile."""
    if "@" in item.name:
        fields.wrong(f"{field}.name", 'a name without "@", which stands before a version', item.name)
    weights = {}
    for name in WEIGHTS:
        if item.HasField(f"{name}_weight"):
            weights[name] = getattr(item, f"{name}_weight")
            if not 0 <= weights[name] <= limits.WEIGHT_FACTOR_MAX:
                fields.wrong(f"{field}.{name}_weight", f"0 to {limits.WEIGHT_FACTOR_MAX:g}", weights[name])
    costs = {}
    for name in Costs.__struct_fields__:
        if item.HasField(f"{name}_micros"):
            costs[name] = _decimal(amount(getattr(item, f"{name}_micros"), f"{field}.{name}_micros"))
    return Profile(
        name=item.name,
        version=whole(item.version, f"{field}.version", 2**31 - 1, at_least=1),
        weights=Weights(**weights),
        costs=Costs(**costs),
        rules=_rules(item, field),
    )


def refuse_idle_weights(message: messages.Network) -> None:
    """Refuse a weight that would change nothing; raises RefusedError."""
    for place, item in enumerate(message.profiles):
        for name in IDLE_WEIGHTS:
            if item.HasField(f"{name}_weight") and (was := getattr(item, f"{name}_weight")) != 1:
                expected = "1, or nothing, since the engine does not price this term yet"
                fields.wrong(f"network.profiles[{place}].{name}_weight", expected, was)


def _decimal(micros: int) -> Decimal:
    return Decimal(micros) / limits.MICROS


def _rules(item: messages.RoutingProfile, field: str) -> Rules:
    distance = _rule(item.max_distance, f"{field}.max_distance")
    if (distance is None) != (item.max_distance_km == 0):
        expected = "HARD or SOFT with max_distance_km, and nothing without"
        fields.wrong(f"{field}.max_distance", expected, item.max_distance)
    promise = _rule(item.promise, f"{field}.promise")
    shipments = whole(item.max_shipments, f"{field}.max_shipments", limits.SHIPMENTS_MAX) or Rules().max_shipments
    return Rules(
        max_shipments=shipments,
        ship_complete=item.ship_complete,
        never_split_below=_decimal(amount(item.never_split_below_micros, f"{field}.never_split_below_micros")),
        max_distance=MaxDistance(km=_km(item.max_distance_km, f"{field}.max_distance_km"), strength=distance)
        if distance
        else None,
        promise=Rule(strength=promise) if promise else None,
        backorder=Rule(strength=_rule(item.backorder, f"{field}.backorder") or "soft"),
    )


def _rule(value: int, field: str) -> Any:
    if value and value not in STRENGTHS:
        fields.wrong(field, "a strength of RuleStrength", value)
    return STRENGTHS.get(value)  # type: ignore[call-overload]  # values of the wire


def read_location(item: messages.LocationRouting, field: str, known: CatalogLocation) -> Location:
    """Check what routing knows of a location, and put it together with what the catalog knows."""
    methods = [read_method(value, f"{field}.methods[{place}]") for place, value in enumerate(item.methods)]
    fields.unique((method.name for method in methods), f"{field}.methods")
    pickup_minutes = item.pickup_minutes if item.HasField("pickup_minutes") else PICKUP_MINUTES_DEFAULT
    units_per_day = whole(item.units_per_day, f"{field}.units_per_day", limits.UNITS_PER_ORDER_MAX)
    costs = ("handling", "setup", "pickup", "performance", "backlog")
    return Location(
        location_id=known.location_id,
        latitude=known.latitude,
        longitude=known.longitude,
        time_zone=known.time_zone,
        groups=frozenset(known.location_groups),
        is_active=known.active,
        calendar=item.calendar,
        carrier=item.carrier,
        methods=offered_methods(known, methods),
        cut_off=clock(item.cut_off, f"{field}.cut_off", END_OF_DAY),
        handling_days=whole(item.handling_days, f"{field}.handling_days", limits.HANDLING_DAYS_MAX),
        units_per_day=units_per_day if item.HasField("units_per_day") else None,
        backlog_days_max=whole(item.backlog_days_max, f"{field}.backlog_days_max", limits.BACKLOG_DAYS_MAX),
        **{f"{name}_cost": amount(getattr(item, f"{name}_micros"), f"{field}.{name}_micros") for name in costs},
        priority=whole(item.priority, f"{field}.priority", PRIORITY_MAX, at_least=-PRIORITY_MAX),
        restrictions=names(item.allowed_restrictions, f"{field}.allowed_restrictions"),
        hours=Hours(clock(item.opens, f"{field}.opens", MIDNIGHT), clock(item.closes, f"{field}.closes", END_OF_DAY)),
        pickup_minutes=whole(pickup_minutes, f"{field}.pickup_minutes", limits.PICKUP_MINUTES_MAX),
    )


def offered_methods(known: CatalogLocation, methods: Iterable[Method]) -> frozenset[Method]:
    """Return the methods that a location's capabilities allow; one that lists none is bounded by its methods alone."""
    if not known.capabilities:
        return frozenset(methods)
    needed = {Method.PICKUP: catalog_pb2.LOCATION_CAPABILITY_PICKUP}
    return frozenset(
        method for method in methods if needed.get(method, catalog_pb2.LOCATION_CAPABILITY_SHIP) in known.capabilities
    )


def read_network(message: messages.Network, locations: Sequence[Location], skus: Mapping[str, Sku]) -> Network:
    """Check a network but for its profiles; whether its parts fit together, `routing.network.check` tells."""
    if not 0 < byte_count(message.currency) <= CURRENCY_BYTES_MAX:
        fields.wrong("network.currency", f"1 to {CURRENCY_BYTES_MAX} bytes of UTF-8", message.currency)
    fields.count_of(locations, "locations of the network", LOCATIONS_MAX, at_least=0)
    return Network(
        version=message.version,
        currency=message.currency,
        locations=tuple(locations),
        calendars=named(message.calendars, "network.calendars", CALENDARS_MAX, read_calendar),
        carriers=named(message.carriers, "network.carriers", CARRIERS_MAX, read_carrier),
        lanes=read_lanes(message.lanes),
        channels=named(message.channels, "network.channels", CHANNELS_MAX, read_channel),
        skus=skus,
        places=named(message.places, "network.places", NAMES_MAX, read_place),
    )


def read_channel(item: messages.Channel, field: str) -> frozenset[str]:
    """Check a channel; returns the location groups that serve it."""
    return names(item.location_groups, f"{field}.location_groups", NAMES_MAX)


def read_unfilled(message: messages.Network) -> dict[str, int]:
    """Check what routing knows of skus; returns the cost of an unfilled unit by id."""
    return named(message.skus, "network.skus", NAMES_MAX, _unfilled, "sku_id")


def _unfilled(item: messages.SkuRouting, field: str) -> int:
    return amount(item.unfilled_micros, f"{field}.unfilled_micros")


def read_profiles(message: messages.Network) -> dict[str, Profile]:
    """Check the profiles; the first is the default."""
    profiles = named(message.profiles, "network.profiles", PROFILES_MAX, read_profile)
    if not profiles:
        fields.wrong("network.profiles", "at least one", 0)
        return profiles
    default = message.default_profile or next(iter(profiles))
    if default not in profiles:
        fields.wrong("network.default_profile", f"one of {some(profiles)}", default)
        return profiles
    return {default: profiles[default]} | profiles


def some(names: Iterable[str]) -> str:
    """Name a few."""
    return ", ".join(islice(names, NAMES_SHOWN_MAX))


def read_rejection_days(message: messages.Network) -> int:
    """Check for how many days a location that could not fill is not asked again."""
    return whole(message.rejection_days, "network.rejection_days", REJECTION_DAYS_MAX)
