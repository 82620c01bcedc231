"""The routing network: from messages to what routing works with, and the router of a book as it is now."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, time
from decimal import Decimal
from itertools import islice
from typing import Any, Final, TypeVar

import msgspec
import numpy as np
from onhand.identifiers import visible
from onhand.routing.v1 import network_pb2 as messages
from onhand.routing.v1 import plan_pb2

from engine.api import fields
from engine.errors import Problem, RefusedError, invalid
from engine.planner.records import Names, level_rows
from engine.planner.run import Routing, View
from ledger.book import Book
from ledger.core.catalog import Catalog
from ledger.core.catalog import Location as CatalogLocation
from ledger.core.limits import MICROSECONDS
from routing import limits
from routing.calendars import Calendar, Hours
from routing.errors import RoutingInputError
from routing.network import Carrier, Lane, Location, Network, Sku, Zone
from routing.order import unfilled_cost
from routing.profile import Costs, MaxDistance, Profile, Rule, Rules, Weights, micros
from routing.rates import RateTable, Step, problems_of
from routing.rules import Method
from routing.strategies import Router

DATE_LENGTH: Final = 10
MIDNIGHT: Final = time(0)
END_OF_DAY: Final = time(23, 59)
CURRENCY_BYTES_MAX: Final = 16
REJECTION_DAYS_MAX: Final = 365
PICKUP_MINUTES_MAX: Final = 7 * 24 * 60
PICKUP_MINUTES_DEFAULT: Final = 60
PRIORITY_MAX: Final = 2**31 - 1
CALENDARS_MAX: Final = 1_000
CARRIERS_MAX: Final = 100
PROFILES_MAX: Final = 100
CHANNELS_MAX: Final = 1_000
NAMES_SHOWN_MAX: Final = 10
NAMES_MAX: Final = 100_000
"""Lanes, places, skus with data of their own: the network is one message."""
METHODS: Final[Mapping[int, Method]] = {
    plan_pb2.FULFILLMENT_METHOD_SHIP: Method.SHIP,
    plan_pb2.FULFILLMENT_METHOD_PICKUP: Method.PICKUP,
    plan_pb2.FULFILLMENT_METHOD_SHIP_TO_STORE: Method.SHIP_TO_STORE,
    plan_pb2.FULFILLMENT_METHOD_DELIVERY: Method.DELIVERY,
}
STRENGTHS: Final = {messages.RULE_STRENGTH_HARD: "hard", messages.RULE_STRENGTH_SOFT: "soft"}
WEIGHTS: Final = tuple(Weights.__struct_fields__)

Value = TypeVar("Value")


# ---- fields ----------------------------------------------------------------------------------------------------------


def whole(value: int, field: str, most: int, *, at_least: int = 0) -> int:
    """Check a whole number."""
    if not at_least <= value <= most:
        raise invalid(field, f"{at_least} to {most}", value)
    return value


def amount(value: int, field: str) -> int:
    """Check an amount of money."""
    return whole(value, field, limits.AMOUNT_MAX)


def day(value: str, field: str) -> date:
    """Check a date."""
    try:
        return date_of(value)
    except ValueError:
        raise invalid(field, "a date, YYYY-MM-DD", value) from None


def date_of(value: str) -> date:
    """Return a date, YYYY-MM-DD and no other form; raises ValueError."""
    if len(value) != DATE_LENGTH or value[4] != "-" or value[7] != "-":
        raise ValueError(value)
    return date.fromisoformat(value)


def clock(value: str, field: str, default: time) -> time:
    """Check a time of day; empty is the default."""
    if not value:
        return default
    try:
        found = time.fromisoformat(value)
    except ValueError:
        found = None
    if found is None or found.tzinfo:
        raise invalid(field, "a time of day, HH:MM", value)
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
        raise invalid(field, "a method of FulfillmentMethod", value)
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
    steps = [
        Step(
            whole(item.above_milligrams, f"{field}[{place}].above_milligrams", limits.WEIGHT_MILLIGRAMS_MAX),
            whole(item.to_milligrams, f"{field}[{place}].to_milligrams", limits.WEIGHT_MILLIGRAMS_MAX) or None,
            amount(item.base_micros, f"{field}[{place}].base_micros"),
            whole(item.per_kilogram_micros, f"{field}[{place}].per_kilogram_micros", limits.PER_KILOGRAM_MAX),
        )
        for place, item in enumerate(items)
    ]
    for place, text in problems_of(steps):  # it speaks of grams, as files do
        told = text.replace("_grams", "_milligrams").rstrip(".")
        raise refusal_of(RoutingInputError(f"{field}[{place}].{told} g."))
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
        raise invalid(field, "0 to 100000 kilometers", value)
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
            raise invalid(f"{field}.{name}", f"{-most:g} to {most:g} degrees", getattr(item, name))
    return item.latitude, item.longitude


def read_profile(item: messages.RoutingProfile, field: str) -> Profile:
    """Check a routing profile."""
    if "@" in item.name:
        raise invalid(f"{field}.name", 'a name without "@", which stands before a version', item.name)
    weights = {}
    for name in WEIGHTS:
        if item.HasField(f"{name}_weight"):
            weights[name] = getattr(item, f"{name}_weight")
            if not 0 <= weights[name] <= limits.WEIGHT_FACTOR_MAX:
                raise invalid(f"{field}.{name}_weight", f"0 to {limits.WEIGHT_FACTOR_MAX:g}", weights[name])
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


def _decimal(micros: int) -> Decimal:
    return Decimal(micros) / limits.MICROS


def _rules(item: messages.RoutingProfile, field: str) -> Rules:
    distance = _rule(item.max_distance, f"{field}.max_distance")
    if (distance is None) != (item.max_distance_km == 0):
        expected = "HARD or SOFT with max_distance_km, and nothing without"
        raise invalid(f"{field}.max_distance", expected, item.max_distance)
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
        raise invalid(field, "a strength of RuleStrength", value)
    return STRENGTHS.get(value)  # type: ignore[call-overload]  # values of the wire


def read_location(item: messages.LocationRouting, field: str, known: CatalogLocation) -> Location:
    """Check what routing knows of a location, and put it together with what the catalog knows."""
    methods = [read_method(value, f"{field}.methods[{place}]") for place, value in enumerate(item.methods)]
    fields.unique((method.name for method in methods), f"{field}.methods")
    limited = {
        "units_per_day": item.units_per_day if item.HasField("units_per_day") else limits.UNITS_PER_ORDER_MAX,
        "pickup_minutes": item.pickup_minutes if item.HasField("pickup_minutes") else PICKUP_MINUTES_DEFAULT,
    }
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
        methods=frozenset(methods),
        cut_off=clock(item.cut_off, f"{field}.cut_off", END_OF_DAY),
        handling_days=whole(item.handling_days, f"{field}.handling_days", limits.HANDLING_DAYS_MAX),
        units_per_day=whole(limited["units_per_day"], f"{field}.units_per_day", limits.UNITS_PER_ORDER_MAX),
        backlog_days_max=whole(item.backlog_days_max, f"{field}.backlog_days_max", limits.BACKLOG_DAYS_MAX),
        **{f"{name}_cost": amount(getattr(item, f"{name}_micros"), f"{field}.{name}_micros") for name in costs},
        priority=whole(item.priority, f"{field}.priority", PRIORITY_MAX, at_least=-PRIORITY_MAX),
        restrictions=names(item.allowed_restrictions, f"{field}.allowed_restrictions"),
        hours=Hours(clock(item.opens, f"{field}.opens", MIDNIGHT), clock(item.closes, f"{field}.closes", END_OF_DAY)),
        pickup_minutes=whole(limited["pickup_minutes"], f"{field}.pickup_minutes", PICKUP_MINUTES_MAX),
    )


class CatalogSkus(Mapping[str, Sku]):
    """The skus of a catalog as routing sees them, read when they are asked for."""

    def __init__(self, catalog: Catalog, restrictions: AbstractSet[str], unfilled: Mapping[str, int]) -> None:
        self._catalog = catalog
        self._restrictions = frozenset(restrictions)
        self._unfilled = unfilled

    def __getitem__(self, sku_id: str) -> Sku:
        """Return a sku; raises KeyError for an unknown one."""
        known = self._catalog.sku(sku_id)
        if known is None:
            raise KeyError(sku_id)
        return Sku(
            weight_milligrams=min(known.weight_milligrams, limits.WEIGHT_MILLIGRAMS_MAX),
            restrictions=frozenset(known.restrictions),
            unfilled_cost=self._unfilled.get(sku_id),
        )

    def __iter__(self) -> Iterator[str]:
        """Yield the ids."""
        return (sku.sku_id for sku in self._catalog.skus)

    def __len__(self) -> int:
        """Skus there are."""
        return len(self._catalog.skus)

    def values(self) -> Any:
        """Return one sku that has every restriction: all that is asked of them together."""
        return [Sku(restrictions=self._restrictions)]


class KeptNetwork(msgspec.Struct, frozen=True, array_like=True):
    """All that routing reads of a catalog but for its skus, as it is kept for explanations of plans."""

    network: bytes
    """A Network, with its version."""
    routing: list[tuple[str, bytes]]
    """Id of a location, LocationRouting."""
    locations: list[CatalogLocation]
    """Those that have routing data, in the order of the catalog."""
    restrictions: list[str]
    """All that a sku has, or had."""

    @classmethod
    def of(cls, catalog: Catalog, message: messages.Network) -> "KeptNetwork":
        """Return the network of a catalog as it is."""
        routing = catalog.location_routing
        return cls(
            message.SerializeToString(),
            [(name, kept.content) for name, kept in routing.items()],
            [one for one in catalog.locations if one.location_id in routing],
            sorted(catalog.restrictions),
        )

    def routers(self, book: Book) -> "Routers":
        """Return the routers of that network."""
        routing = {
            name: (f"locations.{name}", messages.LocationRouting.FromString(content)) for name, content in self.routing
        }
        message = messages.Network.FromString(self.network)
        return Routers(book, message, routing, self.locations, frozenset(self.restrictions))


encode_kept: Final = msgspec.msgpack.Encoder().encode
_kept: Final = msgspec.msgpack.Decoder(KeptNetwork)


class Routers:
    """A network as it is now, and a router for each of its profiles.

    Parameters
    ----------
    book
        Whose catalog is meant; its locations have the indexes of `location_indexes`, in the order of the network.
    message
        The network.
    routing
        What routing knows of locations, by id.
    locations, restrictions
        As they were; those of the catalog, if none are given.

    Raises
    ------
    RefusedError
        Something does not fit; the message names the field.
    """

    def __init__(
        self,
        book: Book,
        message: messages.Network,
        routing: Mapping[str, tuple[str, messages.LocationRouting]],
        locations: Sequence[CatalogLocation] | None = None,
        restrictions: AbstractSet[str] | None = None,
    ) -> None:
        if not 0 < fields.byte_count(message.currency) <= CURRENCY_BYTES_MAX:
            raise invalid("network.currency", f"1 to {CURRENCY_BYTES_MAX} bytes of UTF-8", message.currency)
        self.currency = message.currency
        self.rejection_days = whole(message.rejection_days, "network.rejection_days", REJECTION_DAYS_MAX)
        self.profiles = named(message.profiles, "network.profiles", PROFILES_MAX, read_profile)
        if not self.profiles:
            raise invalid("network.profiles", "at least one", 0)
        if message.default_profile and message.default_profile not in self.profiles:
            raise invalid("network.default_profile", f"one of {_some(self.profiles)}", message.default_profile)
        known = book.catalog.locations if locations is None else locations
        restrictions = book.catalog.restrictions if restrictions is None else restrictions
        self.network = self._network(book.catalog, message, routing, known, restrictions)
        indexes = [book.ledger.location_index(one.location_id) for one in self.network.locations]
        self.location_indexes = np.array(indexes, np.int64)
        """Shape (locations of the network,): the ledger's index of each."""
        self.places = {index: place for place, index in enumerate(indexes)}
        """The ledger's index -> place in the network."""
        try:
            routers = {name: Router(self.network, profile) for name, profile in self.profiles.items()}
        except RoutingInputError as error:
            raise refusal_of(error) from error
        self.view = View()
        self._levels = level_rows(len(indexes))
        self._routings = {name: self._routing(router) for name, router in routers.items()}
        self._default = self._routings[message.default_profile or next(iter(self._routings))]

    def _routing(self, router: Router) -> Routing:
        profile = router.profile
        return Routing(
            router,
            self._names(router),
            self.view,
            unfilled_cost=unfilled_cost(Sku(), profile),
            never_split_below=micros(profile.rules.never_split_below),
            shipments_max=profile.rules.max_shipments,
            is_complete=profile.rules.ship_complete,
        )

    def _names(self, router: Router) -> Names:
        texts = [*self.network.location_index, str(router.profile), self.currency]
        encoded = [text.encode() for text in texts]
        return Names(
            location=self.location_indexes,
            levels=self._levels,
            text=np.frombuffer(b"".join(encoded), np.uint8),
            start=np.cumsum([0, *map(len, encoded)]),
            network_version=self.network.version,
        )

    def _network(
        self,
        catalog: Catalog,
        message: messages.Network,
        routing: Mapping[str, tuple[str, messages.LocationRouting]],
        known_locations: Sequence[CatalogLocation],
        restrictions: AbstractSet[str],
    ) -> Network:
        self.unfilled = named(
            message.skus,
            "network.skus",
            NAMES_MAX,
            lambda item, field: amount(item.unfilled_micros, f"{field}.unfilled_micros"),
            "sku_id",
        )
        locations = [
            read_location(routing[known.location_id][1], routing[known.location_id][0], known)
            for known in known_locations
            if known.location_id in routing
        ]
        return Network(
            version=message.version,
            currency=message.currency,
            locations=tuple(locations),
            calendars=named(message.calendars, "network.calendars", CALENDARS_MAX, read_calendar),
            carriers=named(message.carriers, "network.carriers", CARRIERS_MAX, read_carrier),
            lanes=read_lanes(message.lanes),
            channels=named(
                message.channels,
                "network.channels",
                CHANNELS_MAX,
                lambda item, field: names(item.location_groups, f"{field}.location_groups", NAMES_MAX),
            ),
            skus=CatalogSkus(catalog, restrictions, self.unfilled),
            places=named(message.places, "network.places", NAMES_MAX, read_place),
        )

    def routing(self, profile: str, field: str = "profile") -> Routing:
        """Return the router of a profile, given as name or name@version; empty for the default."""
        if not profile:
            return self._default
        name, _, version = profile.partition("@")
        found = self._routings.get(name)
        if found is None or (version and version != str(found.router.profile.version)):
            raise invalid(field, f"one of {_some(map(str, self.profiles.values()))}", profile)
        return found


def _some(names: Iterable[str]) -> str:
    """Name a few."""
    return ", ".join(islice(names, NAMES_SHOWN_MAX))


def stored_routing(catalog: Catalog) -> dict[str, tuple[str, messages.LocationRouting]]:
    """Return what routing knows of locations: the field that messages name, and the message."""
    return {
        name: (f"locations.{name}", messages.LocationRouting.FromString(kept.content))
        for name, kept in catalog.location_routing.items()
    }


def routers_of(book: Book) -> Routers:
    """Return the routers of a book, made anew when locations or network have changed.

    Raises
    ------
    RefusedError
        There is no network yet.
    """
    catalog = book.catalog
    found = catalog.derived.get("routers")
    if found is None:
        if catalog.network is None:
            raise no_network()
        message = messages.Network.FromString(catalog.network.content)
        message.version = catalog.network.version
        found = catalog.derived["routers"] = Routers(book, message, stored_routing(catalog))
        found.view.content = encode_kept(KeptNetwork.of(catalog, message))
    assert isinstance(found, Routers)
    return found


def check_moment(routing: Routing, time_us: int) -> None:
    """Refuse what nobody could plan now: a calendar may have had its last open day. Raises RefusedError."""
    try:
        routing.router.problem_at(datetime.fromtimestamp(time_us / MICROSECONDS, UTC))
    except RoutingInputError as error:
        raise refusal_of(error, "network.") from error


def routers_of_view(content: bytes, book: Book) -> Routers:
    """Return the routers of a network as it was kept for explanations."""
    return _kept.decode(content).routers(book)


def no_network() -> RefusedError:
    """Return the refusal of a call that needs a network, before there is one."""
    return RefusedError(
        "NETWORK_NOT_FOUND", "network: there is none yet; load one (`onhand load --network`, UpsertNetwork) first."
    )
