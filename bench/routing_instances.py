"""Made-up networks and order streams to route: many overlapping stores, baskets as shops see them.

Rates are illustrative: they have the shape of parcel rates by distance, and are nobody's.
"""

from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Final, NamedTuple

import numpy as np

from routing.arrays import NO_LEVEL, Stock
from routing.calendars import Calendar
from routing.limits import MICROS
from routing.network import Carrier, Location, Network, Sku, Zone
from routing.order import Destination, Line, Order
from routing.profile import Costs, Profile
from routing.rates import RateTable, Step
from routing.rules import Method

NOW: Final = datetime(2026, 11, 20, 13, 30, tzinfo=UTC)
ZONES_KM: Final = (241.0, 483.0, 966.0, 1609.0, 2253.0, 2897.0, None)
"""150, 300, 600, 1000, 1400 and 1800 miles, and beyond: zones 2 to 8 of parcel carriers in the United States."""
STOCKED_SHARE: Final = 0.75
LINE_COUNTS: Final = (1, 2, 3, 4, 5, 6)
LINE_SHARES: Final = (0.45, 0.25, 0.13, 0.08, 0.05, 0.04)
"""2.15 lines an order."""
BASE: Final = 6.00
BASE_PER_ZONE: Final = 0.70
PER_KILOGRAM: Final = 0.40
PER_KILOGRAM_PER_ZONE: Final = 0.15


class Instance(NamedTuple):
    """A network, its stock, and orders over it."""

    network: Network
    profile: Profile
    stock: Stock
    orders: list[Order]
    rows: list[list[int]]
    """Stock rows of each order's lines."""


def make_instance(locations: int, skus: int, orders: int, stock_to_demand: float, seed: int) -> Instance:
    """Return an instance whose stock is so many times what its orders want; equal arguments make equal ones."""
    chance = np.random.default_rng(seed)
    network = Network(
        version=1,
        currency="USD",
        locations=tuple(_location(index, chance) for index in range(locations)),
        calendars={"workdays": Calendar("workdays", frozenset(range(5)), frozenset())},
        carriers={"parcel": _carrier()},
        skus={
            f"SKU-{index}": Sku(weight_milligrams=int(grams) * 1_000)
            for index, grams in enumerate(chance.integers(100, 5_000, skus))
        },
    )
    profile = Profile(name="bench", version=1, costs=Costs(split=Decimal("1.00"), unfilled=Decimal("40.00")))
    made = [_order(skus, chance) for _ in range(orders)]
    rows = [[int(line.sku.removeprefix("SKU-")) for line in order.lines] for order in made]
    demand = sum(line.quantity for order in made for line in order.lines)
    units_per_level = stock_to_demand * demand / (skus * locations * STOCKED_SHARE)
    return Instance(network, profile, _stock(skus, locations, units_per_level, chance), made, rows)


def _location(index: int, chance: np.random.Generator) -> Location:
    return Location(
        location_id=f"STORE-{index}",
        latitude=float(chance.uniform(30, 47)),
        longitude=float(chance.uniform(-122, -72)),
        calendar="workdays",
        carrier="parcel",
        methods=frozenset({Method.SHIP}),
        time_zone="America/Chicago",
        cut_off=time(14),
        handling_cost=int(chance.integers(20, 80)) * MICROS // 100,
        setup_cost=int(chance.integers(50, 200)) * MICROS // 100,
    )


def _carrier() -> Carrier:
    def rate(zone: int) -> RateTable:
        base = round((BASE + BASE_PER_ZONE * zone) * MICROS)
        return RateTable((Step(0, None, base, round((PER_KILOGRAM + PER_KILOGRAM_PER_ZONE * zone) * MICROS)),))

    return Carrier(
        calendar="workdays",
        zones=tuple(Zone(km_max=km, transit_days=1 + zone // 2) for zone, km in enumerate(ZONES_KM)),
        rates={Method.SHIP: tuple(rate(zone) for zone in range(len(ZONES_KM)))},
    )


def _order(skus: int, chance: np.random.Generator) -> Order:
    count = int(chance.choice(LINE_COUNTS, p=LINE_SHARES))
    chosen = chance.choice(skus, size=count, replace=False)
    return Order(
        lines=tuple(Line(sku=f"SKU-{sku}", quantity=int(chance.choice([1, 1, 1, 2, 3]))) for sku in chosen),
        destination=Destination(latitude=float(chance.uniform(30, 47)), longitude=float(chance.uniform(-122, -72))),
    )


def _stock(skus: int, locations: int, units_per_level: float, chance: np.random.Generator) -> Stock:
    available = chance.poisson(units_per_level, (skus, locations)).astype(np.int64)
    available[chance.random((skus, locations)) >= STOCKED_SHARE] = NO_LEVEL
    return Stock(
        available=available,
        backorder=np.zeros_like(available),
        protected=np.zeros((0, locations), np.int64),
        level_cost=np.zeros((0, locations), np.int64),
        load=np.zeros(locations, np.int64),
        location_price=np.zeros(locations, np.int64),
    )
