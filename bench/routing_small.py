"""Small random networks and orders, in which everything happens: ties, empty shelves, full days, mixed methods."""

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from random import Random
from typing import Literal, NamedTuple

import numpy as np

from routing.arrays import NO_LEVEL, Stock
from routing.calendars import Calendar, Hours
from routing.network import Carrier, Lane, Location, Network, Sku, Zone
from routing.order import Destination, Line, Order, Request
from routing.plain import PlainModel
from routing.profile import Costs, MaxDistance, Profile, Rule, Rules, Weights
from routing.rates import RateTable, Step
from routing.rules import Method

NOW = datetime(2026, 11, 20, 13, 30, tzinfo=UTC)  # a Friday
TODAY = NOW.date()


class Case(NamedTuple):
    """One order with all that its plan depends on."""

    network: Network
    profile: Profile
    request: Request

    def model(self) -> PlainModel:
        """Return the plain model of the order."""
        return PlainModel(self.network, self.profile, self.request)


def stock_of(
    available: list[list[int]], *, backorder: list[list[int]] | None = None, load: list[int] | None = None
) -> Stock:
    """Return stock by rows and locations; -1: not stocked."""
    units = np.array(available, np.int64)
    units[units == -1] = NO_LEVEL
    count = units.shape[1]
    return Stock(
        available=units,
        backorder=np.array(backorder, np.int64) if backorder else np.zeros_like(units),
        protected=np.zeros((0, count), np.int64),
        level_cost=np.zeros((0, count), np.int64),
        load=np.array(load or [0] * count, np.int64),
        location_price=np.zeros(count, np.int64),
    )


def table(base: float, per_kilogram: float = 0.0) -> RateTable:
    """Return an affine rate."""
    return RateTable((Step(0, None, round(base * 1e6), round(per_kilogram * 1e6)),))


def stepped(*rows: tuple[int | None, float]) -> RateTable:
    """Return rates by (grams up to, base)."""
    steps: list[Step] = []
    above = 0
    for grams, base in rows:
        to = None if grams is None else grams * 1000
        steps.append(Step(above, to, round(base * 1e6), 0))
        above = to or 0
    return RateTable(tuple(steps))


WORKDAYS = Calendar("workdays", frozenset(range(5)), frozenset())
DAILY = Calendar("daily", frozenset(range(7)), frozenset())


def random_case(chance: Random, *, with_steps: bool = False) -> Case:
    """Return a case small enough for the brute force."""
    places = chance.randint(1, 5)
    # Few different amounts: equal costs must be common, so that ties are.
    amounts = [0, 500_000, 1_000_000, 1_500_000]
    methods = [Method.SHIP] if chance.random() < 0.6 else list(Method)
    lines = _lines(chance, places, methods)
    locations = tuple(_location(chance, index, amounts, methods) for index in range(places))
    network = Network(
        version=chance.randint(1, 9),
        currency="EUR",
        locations=locations,
        calendars={"workdays": WORKDAYS, "daily": DAILY},
        carriers={name: _carrier(chance, with_steps) for name in ("post", "van")},
        lanes={
            (f"L{origin}", f"L{store}"): Lane(
                base=chance.choice(amounts), per_kilogram=500_000, days=chance.randint(0, 3)
            )
            for origin in range(places)
            for store in range(places)
            if origin != store and chance.random() < 0.7
        },
        channels={"web": frozenset({"north", "south"}), "app": frozenset({"north"})},
        skus={
            f"S{row}": Sku(
                weight_milligrams=chance.choice([0, 400_000, 1_000_000]),
                restrictions=frozenset(name for name in ("hazmat", "age-18") if chance.random() < 0.05),
                unfilled_cost=chance.choice([None, 3_000_000, 1_000_000, 20_000_000]),
            )
            for row in range(3)
        },
    )
    rows = tuple(int(line.sku[1:]) for line in lines)
    order = Order(
        lines=lines,
        destination=Destination(latitude=50 + chance.random(), longitude=8 + chance.random()),
        channel=chance.choice(["", "", "", "", "web", "app"]),
        ship_complete=chance.random() < 0.1,
        rejected=(("S0", f"L{chance.randrange(places)}"),) if chance.random() < 0.1 else (),
    )
    return Case(network, _profile(chance), Request(order, _stock(chance, places), rows, NOW))


def _lines(chance: Random, places: int, methods: list[Method]) -> tuple[Line, ...]:
    lines = []
    skus = chance.sample(range(3), 3)
    for index in range(chance.choice([1, 1, 2, 2, 3])):
        method = chance.choice(methods)
        at_store = method in {Method.PICKUP, Method.SHIP_TO_STORE}
        lines.append(
            Line(
                sku=f"S{skus[index] if chance.random() < 0.8 else skus[0]}",
                quantity=chance.choice([1, 1, 2, 3]) if index < 2 else 1,
                method=method,
                store=f"L{chance.randrange(places)}" if at_store else "",
                unit_value=chance.choice([1_000_000, 20_000_000]),
                promise=chance.choice([None, TODAY + timedelta(days=chance.randint(0, 5))]),
            )
        )
    return tuple(lines)


def _location(chance: Random, index: int, amounts: list[int], methods: list[Method]) -> Location:
    tight = chance.random() < 0.25
    return Location(
        location_id=f"L{index}",
        latitude=50 + chance.choice([0, 1, 4]),
        longitude=8 + chance.choice([0, 1, 4]),
        calendar=chance.choice(["workdays", "daily"]),
        carrier=chance.choice(["post", "van"]),
        # Every location is a store: the order's own store must offer PICKUP.
        methods=frozenset(method for method in methods if chance.random() < 0.95) | {Method.PICKUP},
        time_zone=chance.choice(["UTC", "Europe/Berlin", "America/New_York"]),
        cut_off=chance.choice([time(12), time(18)]),
        handling_days=chance.choice([0, 0, 1]),
        units_per_day=chance.choice([1, 2, 3]) if tight else 100,
        backlog_days_max=chance.choice([0, 1]),
        handling_cost=chance.choice(amounts),
        setup_cost=chance.choice(amounts),
        pickup_cost=chance.choice(amounts),
        performance_cost=chance.choice([0, 250_000]),
        backlog_cost=chance.choice([0, 400_000]),
        priority=chance.choice([0, 0, 1]),
        groups=frozenset(chance.choice([["north"], ["south"], ["north", "south"]])),
        restrictions=frozenset(["hazmat"] if chance.random() < 0.5 else []),
        hours=Hours(time(9), time(20)),
        is_active=chance.random() < 0.93,
    )


def _carrier(chance: Random, with_steps: bool) -> Carrier:
    def rate() -> RateTable:
        if with_steps and chance.random() < 0.7:
            return stepped((500, chance.choice([2, 3])), (1500, chance.choice([4, 5])), (None, chance.choice([6, 9])))
        return table(chance.choice([1, 2, 3]), chance.choice([0, 0.5, 1]))

    return Carrier(
        calendar=chance.choice(["workdays", "daily"]),
        zones=(Zone(km_max=150, transit_days=chance.randint(0, 2)), Zone(km_max=None, transit_days=3)),
        rates={Method.SHIP: (rate(), rate()), Method.DELIVERY: (rate(),)},
        refuses=frozenset(["hazmat"] if chance.random() < 0.3 else []),
    )


def _profile(chance: Random) -> Profile:
    strengths: list[Literal["hard", "soft"]] = ["hard", "soft"]
    return Profile(
        name="random",
        version=chance.randint(1, 9),
        weights=Weights(shipping=chance.choice([1.0, 0.5]), lateness=chance.choice([0.0, 1.0])),
        costs=Costs(split=Decimal(chance.choice(["0", "0.5", "2"])), unfilled=Decimal(chance.choice(["4", "30"]))),
        rules=Rules(
            max_shipments=chance.choice([1, 2, 3, 3]),
            ship_complete=chance.random() < 0.1,
            never_split_below=Decimal(chance.choice(["0", "0", "5"])),
            max_distance=MaxDistance(km=200, strength=chance.choice(strengths)) if chance.random() < 0.2 else None,
            promise=Rule(strength=chance.choice(strengths)) if chance.random() < 0.3 else None,
            backorder=Rule(strength=chance.choice(strengths)),
        ),
    )


def _stock(chance: Random, places: int) -> Stock:
    available = [[chance.choice([-1, 0, 1, 2, 3, 3, 3]) for _ in range(places)] for _ in range(3)]
    stock = stock_of(
        available,
        backorder=[[chance.choice([0, 0, 0, 2]) for _ in range(places)] for _ in range(3)],
        load=[chance.choice([0, 0, 1, 2]) for _ in range(places)],
    )
    if chance.random() < 0.5:
        return stock
    costs = np.array([[chance.choice([-500_000, 0, 0, 500_000]) for _ in range(places)] for _ in range(3)], np.int64)
    prices = np.array([chance.choice([0, 250_000]) for _ in range(places)], np.int64)
    return stock._replace(level_cost=costs, location_price=prices)
