"""Random networks, orders, and what happens to them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from onhand.inventory.v1 import catalog_pb2
from onhand.routing.v1 import network_pb2, plan_pb2

from .sight import DELIVERY, PICKUP, SHIP, SHIP_TO_STORE

MICROS = 1_000_000
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Africa/Cairo", "Asia/Tokyo", "Australia/Lord_Howe", "Asia/Beirut")
# Nights on which some of these put their clocks forward or back, and days without.
MOMENTS = (
    datetime(2026, 11, 23, 7, tzinfo=UTC),
    datetime(2026, 10, 24, 22, tzinfo=UTC),
    datetime(2026, 10, 29, 19, tzinfo=UTC),
    datetime(2027, 3, 27, 20, tzinfo=UTC),
    datetime(2026, 11, 1, 3, tzinfo=UTC),
    datetime(2027, 4, 29, 20, tzinfo=UTC),
    datetime(2027, 4, 3, 13, tzinfo=UTC),
)
CUT_OFFS = ("", "", "00:00", "02:30", "12:00", "16:30", "23:45", "23:59")
HOURS = (("", ""), ("", ""), ("09:00", "17:00"), ("09:00", "13:30"), ("18:00", "02:00"), ("02:30", "23:45"))
AMOUNTS = (0, 0, 100_000, 250_000, 1_000_000, 1_333_333, 5_000_000)
WEIGHTS = (0.0, 0.5, 1.0, 1.0, 1.0, 2.0, 0.3)
SKUS = ("S0", "S1", "S2", "S3")
GROUPS = ("north", "south")
RESTRICTIONS = ("hazmat", "age")


def choose(chance: Random, values: Sequence[Any], rate: float = 1.0) -> Any:
    """Return one of some values, or now and then the first."""
    return chance.choice(values) if chance.random() < rate else values[0]


def a_calendar(chance: Random, name: str, start: datetime) -> network_pb2.Calendar:
    weekdays = chance.choice([range(1, 8), range(1, 6), range(1, 7), (1, 3, 5), (4,), (2, 3, 6, 7)])
    closed = [(start + timedelta(days=chance.randint(-1, 9))).date().isoformat() for _ in range(chance.randint(0, 3))]
    return network_pb2.Calendar(name=name, weekdays=weekdays, closed_dates=sorted(set(closed)))


def some_rates(chance: Random, *, with_steps: bool) -> list[network_pb2.RateStep]:
    grams = chance.sample([500, 1_000, 2_500], chance.randint(1, 2)) if with_steps else []
    ends = [1_000 * one for one in sorted(grams)]
    return [
        network_pb2.RateStep(
            above_milligrams=above,
            to_milligrams=to,
            base_micros=chance.choice(AMOUNTS) + chance.choice(AMOUNTS),
            per_kilogram_micros=chance.choice(AMOUNTS),
        )
        for above, to in zip([0, *ends], [*ends, 0], strict=True)
    ]


def a_carrier(chance: Random, name: str, calendars: Sequence[str]) -> network_pb2.Carrier:
    near = chance.sample([40.0, 111.0, 333.3, 900.0, 1500.0], chance.randint(0, 2))
    reaches = [*sorted(near), chance.choice([0, 0, 0, 0, 1_700.0])]
    delivered = chance.randint(0, len(reaches))
    with_steps = chance.random() < 0.15
    zones = [
        network_pb2.CarrierZone(
            km_max=km,
            transit_days=chance.choice([0, 1, 1, 2, 3]),
            ship_rates=some_rates(chance, with_steps=with_steps),
            delivery_rates=some_rates(chance, with_steps=False) if place < delivered else [],
        )
        for place, km in enumerate(reaches)
    ]
    refused = [one for one in RESTRICTIONS if chance.random() < 0.15]
    return network_pb2.Carrier(name=name, calendar=chance.choice(calendars), zones=zones, refused_restrictions=refused)


def a_profile(chance: Random, name: str, version: int) -> network_pb2.RoutingProfile:
    hard, soft = network_pb2.RULE_STRENGTH_HARD, network_pb2.RULE_STRENGTH_SOFT
    more: dict[str, Any] = {}
    if chance.random() < 0.4:
        for field in ("shipping", "handling", "capacity", "lateness", "node_performance"):
            if chance.random() < 0.4:
                more[f"{field}_weight"] = chance.choice(WEIGHTS)
    for field in ("split", "late_day"):
        if chance.random() < 0.5:
            more[f"{field}_micros"] = chance.choice(AMOUNTS)
    if chance.random() < 0.5:
        more["unfilled_micros"] = chance.choice([2_000_000, 8_000_000, 20_000_000])
    if chance.random() < 0.3:
        more |= {"max_distance_km": chance.choice([50.0, 300.0, 1_000.0]), "max_distance": chance.choice([hard, soft])}
    return network_pb2.RoutingProfile(
        name=name,
        version=version,
        max_shipments=chance.choice([0, 0, 1, 2, 3]),
        ship_complete=chance.random() < 0.05,
        never_split_below_micros=chance.choice([0, 0, 0, 12_000_000]),
        promise=chance.choice([0, 0, 0, hard, soft]),
        backorder=chance.choice([0, 0, hard, soft]),
        **more,
    )


def a_location(chance: Random, name: str) -> catalog_pb2.Location:
    capabilities = [one for one in (1, 2, 3) if chance.random() < 0.7] if chance.random() < 0.08 else []
    return catalog_pb2.Location(
        location_id=name,
        kind=catalog_pb2.LOCATION_KIND_STORE,
        latitude=chance.uniform(-6, 6),
        longitude=chance.uniform(-6, 6),
        time_zone=choose(chance, ZONES, 0.7),
        active=chance.random() < 0.96,
        location_groups=[group for group in GROUPS if chance.random() < 0.7],
        capabilities=capabilities,
    )


def a_routing(
    chance: Random, name: str, calendars: Sequence[str], carriers: Sequence[str]
) -> network_pb2.LocationRouting:
    more: dict[str, Any] = {}
    if chance.random() < 0.6:
        more["units_per_day"] = chance.choice([0, 1, 2, 3, 5, 8, 20])
    opens, closes = choose(chance, HOURS, 0.6)
    if chance.random() < 0.5:
        more["pickup_minutes"] = chance.choice([0, 30, 60, 240, 600, 1_500])
    methods = [SHIP, PICKUP, SHIP_TO_STORE]
    return network_pb2.LocationRouting(
        location_id=name,
        calendar=chance.choice(calendars),
        carrier=chance.choice(carriers),
        methods=[one for one in methods if chance.random() < 0.93],
        cut_off=chance.choice(CUT_OFFS),
        handling_days=choose(chance, [0, 1, 2, 5], 0.4),
        backlog_days_max=chance.choice([0, 0, 1, 2, 7]),
        handling_micros=chance.choice(AMOUNTS),
        setup_micros=chance.choice(AMOUNTS),
        pickup_micros=chance.choice(AMOUNTS),
        performance_micros=choose(chance, AMOUNTS, 0.3),
        backlog_micros=chance.choice(AMOUNTS),
        priority=chance.randint(-2, 2),
        allowed_restrictions=[one for one in RESTRICTIONS if chance.random() < 0.75],
        opens=opens,
        closes=closes,
        **more,
    )


def some_skus(chance: Random) -> list[catalog_pb2.Sku]:
    return [
        catalog_pb2.Sku(
            sku_id=sku,
            base_unit="each",
            weight_milligrams=chance.choice([0, 1, 250_000, 333_333, 1_000_000, 2_345_678]),
            restrictions=[one for one in RESTRICTIONS if chance.random() < 0.08],
        )
        for sku in SKUS
    ]


def a_network(chance: Random, names: Sequence[str], start: datetime) -> network_pb2.Network:
    calendars = ["c0", "c1", "c2"]
    lanes = [(one, other) for one in names for other in names if one != other and chance.random() < 0.4]
    return network_pb2.Network(
        currency="EUR",
        calendars=[a_calendar(chance, name, start) for name in calendars],
        carriers=[a_carrier(chance, name, calendars) for name in ("p0", "p1")],
        lanes=[
            network_pb2.Lane(
                from_location_id=one,
                to_location_id=other,
                base_micros=chance.choice(AMOUNTS),
                per_kilogram_micros=chance.choice(AMOUNTS),
                days=chance.choice([0, 1, 2]),
            )
            for one, other in lanes
        ],
        channels=[
            network_pb2.Channel(name="web", location_groups=["north"]),
            network_pb2.Channel(name="app", location_groups=["south", "north"]),
        ],
        places=[network_pb2.Place(name="10115", latitude=1.25, longitude=-2.5)],
        skus=[
            network_pb2.SkuRouting(sku_id=sku, unfilled_micros=chance.choice([0, 2_000_000, 9_000_000]))
            for sku in SKUS
            if chance.random() < 0.2
        ],
        profiles=[a_profile(chance, name, 1) for name in ("standard", "rush")],
        rejection_days=chance.choice([0, 1, 7]),
    )


def some_routing(
    chance: Random, network: network_pb2.Network, names: Sequence[str]
) -> dict[str, network_pb2.LocationRouting]:
    """Routing data that fits the network: a location offers what its carrier has rates for."""
    calendars = [one.name for one in network.calendars]
    found = {}
    for name in names:
        own = a_routing(chance, name, calendars, [one.name for one in network.carriers])
        carrier = next(one for one in network.carriers if one.name == own.carrier)
        if carrier.zones[0].delivery_rates and chance.random() < 0.6:
            own.methods.append(DELIVERY)
        found[name] = own
    return found


def an_order(chance: Random, stores: Sequence[str], now: datetime) -> plan_pb2.Order:
    """An order that names only what there is."""
    ahead = [-1, 0, 1, 2, 3, 4, 6, 8, 12]
    promises = [*[""] * 6, *((now + timedelta(days=days)).date().isoformat() for days in ahead)]
    methods = [SHIP, SHIP, SHIP, *([PICKUP, SHIP_TO_STORE] if stores else [])]
    methods += [DELIVERY] * (chance.random() < 0.3)
    few = [chance.choice(methods) for _ in range(choose(chance, [1, 2, 2, 3], 0.4))]
    promise, store = chance.choice(promises), chance.choice(stores) if stores else ""
    order = plan_pb2.Order(ship_complete=chance.random() < 0.07)
    for _ in range(chance.choice([1, 1, 2, 2, 3, 4])):
        method = chance.choice(few)
        order.lines.add(
            sku_id=chance.choice(SKUS),
            quantity=chance.choice([1, 1, 2, 3, 5]),
            method=method if method != SHIP or chance.random() < 0.5 else 0,
            store_id=store if method in (PICKUP, SHIP_TO_STORE) else "",
            unit_value_micros=chance.choice([0, 1_000_000, 7_000_000]),
            promise_date=promise if chance.random() < 0.85 else chance.choice(promises),
        )
    if any(line.method in (0, SHIP, DELIVERY) for line in order.lines) or chance.random() < 0.3:
        if chance.random() < 0.1:
            order.destination.place = "10115"
        else:
            order.destination.latitude = chance.uniform(-6, 6)
            order.destination.longitude = chance.uniform(-6, 6)
    order.channel = choose(chance, ["", "web", "app"], 0.3)
    return order
