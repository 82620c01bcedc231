"""What costs, margins and reasons say at their edges: shared stock, limits of every amount, rounding, precedence."""

from datetime import date
from decimal import Decimal
from random import Random

import hypothesis.strategies as st
import pytest
from hypothesis import Phase, example, given, settings
from onhand.inventory.v1 import catalog_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.routing.v1 import plan_pb2
from routing_harness import order, place, plan_request, shipped
from test_routing import location, network, of_lines, planned, profile, request, units
from test_routing_state import Side

from bench.routing_small import random_case, stock_of, table
from engine.errors import RefusedError
from routing.errors import RoutingInputError
from routing.limits import (
    AMOUNT_MAX,
    LATE_DAYS_MAX,
    PER_KILOGRAM_MAX,
    UNITS_PER_ORDER_MAX,
    WEIGHT_FACTOR_MAX,
    WEIGHT_MILLIGRAMS_MAX,
)
from routing.network import Lane, Network, Sku
from routing.order import Destination, Line, Order, Request
from routing.plain import PlainModel
from routing.plan import CandidateView, Plan
from routing.profile import Costs, MaxDistance, Profile, Rule, Rules, Weights, weighed
from routing.rates import RateTable, Step
from routing.rules import Method, Reason
from routing.strategies import Router, Strategy
from routing.verifier import verify

SEEDS = st.integers(0, 10**9)
QUICK = settings(max_examples=150, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))


def reasons(plan: Plan) -> list[Reason]:
    return [one.reason for one in plan.candidates]


# ---- what a plan would cost otherwise --------------------------------------------------------------------------------


@pytest.mark.parametrize("per_day", [None, 4])
def test_one_location_alone_gives_what_it_has_once(per_day: int | None) -> None:
    lines = (Line(sku="S0", quantity=3), Line(sku="S0", quantity=3))
    available = 4 if per_day is None else 9
    asked = of_lines(*lines, available=[[available, 0]])
    plan = planned(network(location("A", units_per_day=per_day), location("B")), asked)
    (told, _) = plan.candidates
    assert plan.cost == told.alone_cost == 105_000_000
    assert sum(units(plan).values()) == 4


def test_one_location_alone_gives_to_the_line_that_saves_most() -> None:
    skus = {"S1": Sku(unfilled_cost=9_000_000)}
    over = network(location("A", units_per_day=2), location("B", setup_cost=1_000_000), skus=skus)
    plan = planned(over, request(2, 2, available=[[2, 2], [2, 2]]))
    told = {one.location_id: one.alone_cost for one in plan.candidates}
    assert told == {"A": 5_000_000 + 2 * 9_000_000, "B": 6_000_000}


@QUICK
@given(SEEDS)
@example(11126)
def test_a_margin_is_never_negative_where_nothing_is_cheaper(seed: int) -> None:
    case = random_case(Random(seed))
    try:
        plan = Router(case.network, case.profile).plan(case.request, explain=True)
    except RoutingInputError:
        return
    if plan.is_proved:
        assert all(one.margin is None or one.margin >= 0 for one in plan.candidates)


@QUICK
@given(SEEDS)
def test_what_one_location_alone_would_cost_is_what_its_shipment_costs(seed: int) -> None:
    case = random_case(Random(seed))
    try:
        plan = Router(case.network, case.profile).plan(case.request, explain=True)
    except RoutingInputError:
        return
    model, count = PlainModel(case.network, case.profile, case.request), len(case.network.locations)
    is_complete = case.profile.rules.ship_complete or case.request.order.ship_complete
    for position, told in enumerate(plan.candidates):
        part, location = divmod(position, count)
        units = units_of_one_alone(model, told, location, with_soft=not plan.used_second_pass)
        missing = [line.quantity - taken for line, taken in zip(model.order.lines, units, strict=True)]
        if not any(units) or (is_complete and any(missing)):
            assert told.alone_cost is None
            continue
        candidate = model.candidate(part, location)
        assert candidate is not None
        unfilled = sum(short * cost for short, cost in zip(missing, model.unfilled, strict=True))
        assert told.alone_cost == model.shipment_cost(candidate, units) + unfilled


def units_of_one_alone(model: PlainModel, told: CandidateView, location: int, *, with_soft: bool) -> list[int]:
    """The units of each line that a location would give: those that save the most first, of stock that lines share."""
    units, spare = [0] * len(model.order.lines), model.spare(location)
    for line in sorted(told.lines, key=lambda one: one.unit_cost - model.unfilled[one.line]):
        row = model.rows[line.line]
        shared = sum(taken for other, taken in enumerate(units) if model.rows[other] == row)
        left = model.room(line.line, location)[not with_soft] - shared
        units[line.line] = max(0, min(line.room, spare, left))
        spare -= units[line.line]
    return units


def test_a_margin_keeps_the_soft_rules_that_the_plan_keeps() -> None:
    over = network(location("A", setup_cost=20_000_000), location("B", east=20))
    using = profile(max_distance=MaxDistance(km=100, strength="soft"))
    plan = planned(over, request(1, available=[[1, 1]]), using=using)
    assert (units(plan), plan.is_proved, plan.candidates[0].margin) == ({"A": 1}, True, 25_000_000)


def test_an_order_that_ships_complete_has_no_margin_to_what_leaves_some() -> None:
    over = network(location("A", setup_cost=90_000_000), location("B"))
    plan = planned(over, request(2, available=[[2, 1]], ship_complete=True))
    assert (units(plan), [one.margin for one in plan.candidates]) == ({"A": 2}, [None, None])


def test_stock_that_lines_share_counts_once_for_the_fewest_shipments() -> None:
    lines = (Line(sku="S0", quantity=3), Line(sku="S0", quantity=3))
    asked = of_lines(*lines, available=[[4, 5]])
    plan = planned(network(location("A"), location("B", east=9)), asked, Strategy.FEWEST_SPLITS)
    assert units(plan) == {"B": 5, "A": 1}


def test_a_line_is_left_that_would_take_a_parcel_into_a_dear_step() -> None:
    rate = RateTable((Step(0, 1_000_000, 1_000_000, 0), Step(1_000_000, None, 30_000_000, 0)))
    skus = {"S0": Sku(weight_milligrams=250_000), "S1": Sku(weight_milligrams=2_000_000, unfilled_cost=2_000_000)}
    over = network(location("A"), location("B", setup_cost=40_000_000), rate=rate, skus=skus)
    plan = planned(over, request(3, 1, available=[[3, 3], [1, 1]]), using=profile(unfilled="5"))
    assert (units(plan), plan.cost) == ({"A": 3}, 1_000_000 + 2_000_000)
    assert [(one.line, one.reason) for one in plan.shortages] == [(1, Reason.DEARER_THAN_UNFILLED)]


@pytest.mark.parametrize("strategy", [each for each in Strategy if each is not Strategy.OPTIMAL])
def test_a_strategy_that_does_not_look_for_the_cheapest_proves_nothing(strategy: Strategy) -> None:
    over = network(location("A", priority=1, setup_cost=9_000_000), location("B", east=9, priority=2))
    plan = planned(over, request(1, available=[[1, 1]]), strategy)
    assert (units(plan), plan.is_proved, plan.candidates[1].margin) == ({"A": 1}, False, -9_000_000)


# ---- limits ----------------------------------------------------------------------------------------------------------


def weighs(**weights: float) -> Profile:
    return Profile(name="test", version=1, weights=Weights(**weights))


@pytest.mark.parametrize(
    ("weights", "own", "settings", "told"),
    [
        (
            {"shipping": 1000},
            {},
            {"rate": table(5, 100)},
            "carriers.post.zones[0].ship_rates is 100 and may count 100 at",
        ),
        (
            {"shipping": 1000},
            {},
            {"rate": table(1_001)},
            "shipping: expected at most 999.001, since the base of carriers",
        ),
        (
            {"shipping": 2.5},
            {},
            {"lanes": {("A", "B"): Lane(base=0, per_kilogram=PER_KILOGRAM_MAX, days=1)}},
            "shipping: expected at most 1, since the rate by weight of the lane from A to B is 100",
        ),
        (
            {"handling": 2},
            {"handling_cost": AMOUNT_MAX},
            {},
            "handling: expected at most 1, since locations.A.handling",
        ),
        (
            {"handling": 2},
            {"setup_cost": AMOUNT_MAX},
            {},
            "locations.A.setup is 1e+06 and may count 1e+06 at most, was 2.",
        ),
        ({"handling": 2}, {"pickup_cost": AMOUNT_MAX}, {}, "locations.A.pickup"),
        (
            {"node_performance": 2},
            {"performance_cost": AMOUNT_MAX},
            {},
            "profiles.test.node_performance: expected at most 1",
        ),
        ({"capacity": 1}, {"backlog_cost": AMOUNT_MAX, "backlog_days_max": 7}, {}, "capacity: expected at most 0.125"),
        (
            {"lateness": 1000},
            {},
            {"late_day": "1001"},
            "lateness: expected at most 999.001, since profiles.test.late_day",
        ),
        (
            {"shipping": 1000},
            {},
            {"split": "2000"},
            "shipping: expected at most 500, since profiles.test.split is 2000",
        ),
    ],
)
def test_what_a_weight_makes_too_large_is_refused_by_name(weights: dict, own: dict, settings: dict, told: str) -> None:
    costs = {name: Decimal(settings.pop(name)) for name in ("late_day", "split") if name in settings}
    using = Profile(name="test", version=1, weights=Weights(**weights), costs=Costs(**costs))
    over = network(location("A", **own), location("B"), **settings)
    with pytest.raises(RoutingInputError) as caught:
        Router(over, using)
    assert told in str(caught.value)
    assert str(caught.value).startswith("network, profiles.test.")


def at_the_limits(chance: Random) -> tuple[Network, Profile, Request]:
    """Draw a case whose every amount is what its weight allows at most, or nothing."""
    weights = {name: chance.choice([0.0, 0.001, 1.0, WEIGHT_FACTOR_MAX]) for name in Weights.__struct_fields__}

    def most(name: str, limit: int = AMOUNT_MAX) -> int:
        allowed = limit if weights[name] <= 1 else int(limit / weights[name])
        return chance.choice([0, 1, allowed, allowed])

    def rate() -> RateTable:
        return RateTable((Step(0, None, most("shipping"), most("shipping", PER_KILOGRAM_MAX)),))

    places = []
    for name in "ABC"[: chance.randint(1, 3)]:
        days = chance.choice([0, 7])
        places.append(
            location(
                name,
                methods=frozenset(Method) - {Method.DELIVERY},
                handling_cost=most("handling"),
                setup_cost=most("handling"),
                pickup_cost=most("handling"),
                performance_cost=most("node_performance"),
                backlog_cost=most("capacity") // (1 + days),
                backlog_days_max=days,
                units_per_day=chance.choice([None, 1, 7, 1_000, UNITS_PER_ORDER_MAX]),
            )
        )
    names = [one.location_id for one in places]
    lanes = {
        (one, other): Lane(base=most("shipping"), per_kilogram=most("shipping", PER_KILOGRAM_MAX), days=1)
        for one in names
        for other in names
        if one != other
    }
    skus = {
        f"S{row}": Sku(
            weight_milligrams=chance.choice([1, WEIGHT_MILLIGRAMS_MAX]),
            unfilled_cost=chance.choice([1, AMOUNT_MAX, AMOUNT_MAX]),
        )
        for row in range(2)
    }
    using = Profile(
        name="test",
        version=1,
        weights=Weights(**weights),
        costs=Costs(
            split=Decimal(most("shipping")) / 10**6,
            late_day=Decimal(most("lateness")) / 10**6,
            unfilled=Decimal(10**6),
        ),
        rules=Rules(max_shipments=5),
    )
    over = network(*places, rate=rate(), lanes=lanes, skus=skus)
    lines = tuple(
        Line(
            sku=f"S{chance.randint(0, 1)}",
            quantity=chance.choice([1, 2, 1_000, UNITS_PER_ORDER_MAX // 4]),
            method=method,
            store="" if method == Method.SHIP else "A",
            promise=chance.choice([None, date(2026, 11, 30), date(1969, 12, 31)]),
        )
        for method in chance.choices([Method.SHIP, Method.PICKUP, Method.SHIP_TO_STORE], k=chance.randint(1, 4))
    )
    full = [(one.units_per_day or 10**12) * (1 + one.backlog_days_max) for one in places]
    stock = stock_of(
        [[chance.choice([0, 1, 10**6, 10**12]) for _ in places] for _ in range(2)],
        load=[chance.choice([0, 1, max(0, most - 1), most // 2, 10**12]) for most in full],
    )
    asked = Order(lines=lines, destination=Destination(latitude=50, longitude=8), ship_complete=chance.random() < 0.4)
    return over, using, Request(asked, stock, [int(line.sku[1:]) for line in lines], random_case(chance).request.now)


@QUICK
@given(SEEDS)
def test_amounts_at_their_limits_never_overflow(seed: int) -> None:
    over, using, asked = at_the_limits(Random(seed))
    plan = Router(over, using).plan(asked, explain=True)
    assert verify(plan, over, using, asked) == []  # computed with Python's integers
    assert 0 <= plan.cost < 2**62
    for one in plan.candidates:
        assert one.alone_cost is None or 0 <= one.alone_cost < 2**62
        assert not plan.is_proved or one.margin is None or one.margin >= 0


@pytest.mark.parametrize("quantity", [1, 1_000])
def test_an_order_that_ships_complete_is_filled_whatever_it_costs(quantity: int) -> None:
    place_ = location("A", setup_cost=AMOUNT_MAX, handling_cost=AMOUNT_MAX, performance_cost=AMOUNT_MAX)
    over = network(place_, rate=table(1_000_000, 100), skus={"S0": Sku(weight_milligrams=WEIGHT_MILLIGRAMS_MAX)})
    line = Line(sku="S0", quantity=quantity, promise=date(1970, 1, 1))
    plan = planned(over, of_lines(line, available=[[10**6]], ship_complete=True))
    assert units(plan) == {"A": quantity}
    assert plan.terms.lateness == LATE_DAYS_MAX * 4_000_000


def test_no_limit_of_units_a_day_is_none() -> None:
    over = network(location("A", backlog_cost=AMOUNT_MAX))
    asked = request(UNITS_PER_ORDER_MAX, available=[[10**9]])
    plan = planned(over, asked._replace(stock=stock_of([[10**9]], load=[10**12])))
    assert (units(plan), plan.terms.backlog) == ({"A": UNITS_PER_ORDER_MAX}, 0)


def test_no_limit_of_units_a_day_is_none_through_the_desk() -> None:
    side = Side()
    side.build({"A": 100}, {("S", "A"): 10_000_000})
    for _ in range(3):
        assert sum(shipped(side.ask(plan_request(order(("S", 900_000)))).plan).values()) == 900_000


# ---- rounding and weights --------------------------------------------------------------------------------------------


def test_carriage_is_rounded_by_the_unit_and_halves_go_up() -> None:
    light = {"S0": Sku(weight_milligrams=1), "S1": Sku(weight_milligrams=2)}
    over = network(location("A"), rate=table(0, 0.25), skus=light)
    plan = planned(over, request(1_000, 1_000, available=[[1_000], [1_000]]))
    assert plan.terms.shipping == 1_000  # a quarter of a micro each, and half of one
    assert [weighed(amount, 0.5) for amount in (1, 2, 3, 5)] == [1, 1, 2, 3]
    assert weighed(999_999_999_999, 0.1) == 100_000_000_000  # exactly: 99999999999.90000555…


def test_the_split_cost_is_weighed_as_shipping_is() -> None:
    asked = request(1, 1, available=[[1, 0], [0, 1]])
    using = Profile(name="test", version=1, weights=Weights(shipping=2), costs=Costs(split=Decimal(3)))
    plan = planned(network(location("A"), location("B")), asked, using=using)
    assert (plan.terms.split, plan.terms.shipping) == (6_000_000, 20_000_000)


# ---- reasons ---------------------------------------------------------------------------------------------------------


def test_a_candidate_that_could_fill_nothing_says_why() -> None:
    over = network(
        location("A"), location("B"), location("C", units_per_day=0), location("D", is_active=False), location("E")
    )
    plan = planned(over, request(1, 1, available=[[1, 0, 5, 5, -1], [1, -1, 5, 5, -1]]))
    assert reasons(plan) == [
        Reason.ELIGIBLE,
        Reason.OUT_OF_STOCK,
        Reason.CAPACITY_FULL,
        Reason.INACTIVE,
        Reason.NOT_STOCKED,
    ]


LATE = {"promise": date(2026, 11, 20)}
HAZMAT = {"S0": Sku(restrictions=frozenset({"hazmat"}))}
# What keeps B, each behind those that are told instead of it.
PRECEDENCE = [
    (Reason.INACTIVE, {"is_active": False}),
    (Reason.NO_CAPABILITY, {"methods": frozenset({Method.PICKUP})}),
    (Reason.CHANNEL_NOT_SERVED, {"groups": frozenset()}),
    (Reason.MAX_DISTANCE, {"east": 60}),
    (Reason.PROMISE_MISSED, {"handling_days": 9}),
    (Reason.RESTRICTED_ITEM, {"restrictions": frozenset()}),
    (Reason.REJECTED_BEFORE, {}),
    (Reason.CAPACITY_FULL, {"units_per_day": 0}),
    (Reason.NOT_STOCKED, {}),
]


@pytest.mark.parametrize("first", range(len(PRECEDENCE)))
def test_of_several_reasons_the_first_is_told(first: int) -> None:
    """B has all that keeps it from `first` on, so the first of these is told."""
    kept = dict(PRECEDENCE[first:])
    base = {"groups": frozenset({"web"}), "restrictions": frozenset({"hazmat"})}
    own = {name: value for fields in kept.values() for name, value in fields.items()}
    over = network(
        location("A", **base), location("B", **(base | own)), channels={"web": frozenset({"web"})}, skus=HAZMAT
    )
    stock = -1 if Reason.NOT_STOCKED in kept else 1
    asked = of_lines(
        Line(sku="S0", quantity=1, promise=date(2026, 11, 24)),
        available=[[1, stock]],
        channel="web",
        rejected=(("S0", "B"),) if Reason.REJECTED_BEFORE in kept else (),
    )
    rules = {"max_distance": MaxDistance(km=900, strength="hard"), "promise": Rule(strength="hard")}
    plan = planned(over, asked, using=profile(**rules))
    assert plan.candidates[1].lines[0].reason == PRECEDENCE[first][0]
    assert plan.candidates[1].reason == PRECEDENCE[first][0]


def test_what_other_lines_took_is_told_as_taken() -> None:
    lines = (Line(sku="S0", quantity=3), Line(sku="S0", quantity=3))
    over = network(location("A"), location("B"))
    (short,) = planned(over, of_lines(*lines, available=[[4, -1]])).shortages
    assert (short.quantity, short.reason) == (2, Reason.OUT_OF_STOCK)
    tight = network(location("A", units_per_day=4), location("B"))
    (short,) = planned(tight, of_lines(*lines, available=[[9, -1]])).shortages
    assert (short.quantity, short.reason) == (2, Reason.CAPACITY_FULL)


def test_capacity_that_another_part_took_is_no_matter_of_shipments() -> None:
    both = frozenset({Method.SHIP, Method.PICKUP})
    over = network(location("A", methods=both, units_per_day=1))
    lines = (Line(sku="S0", quantity=1, method=Method.PICKUP, store="A"), Line(sku="S0", quantity=1))
    (short,) = planned(over, of_lines(*lines, available=[[5]])).shortages
    assert (short.line, short.reason) == (1, Reason.CAPACITY_FULL)


# ---- capabilities ----------------------------------------------------------------------------------------------------

CAN_SHIP, CAN_PICKUP, CAN_RETURN = catalog_pb2.LocationCapability.values()[1:]


@pytest.mark.parametrize(
    ("capabilities", "offered"),
    [
        ([], {"SHIP", "PICKUP"}),
        ([CAN_RETURN], set()),
        ([CAN_SHIP], {"SHIP"}),
        ([CAN_PICKUP, CAN_RETURN], {"PICKUP"}),
        ([CAN_SHIP, CAN_PICKUP], {"SHIP", "PICKUP"}),
    ],
)
def test_a_location_does_what_its_capabilities_say(capabilities: list[int], offered: set[str]) -> None:
    side = Side()
    side.build({"A": 100, "B": 300}, {("S", "A"): 5, ("S", "B"): 5})
    own = place("A", 100)
    own.capabilities.extend(capabilities)
    side.ask(catalog.UpsertLocationsRequest(locations=[own]))
    plan = side.ask(plan_request(order(("S", 1)), explain=True, validate_only=True)).plan
    told = plan.candidates[0].reason
    assert told == (plan_pb2.REASON_CODE_ELIGIBLE if "SHIP" in offered else plan_pb2.REASON_CODE_NO_CAPABILITY)
    pickup = order(("S", 1, {"method": plan_pb2.FULFILLMENT_METHOD_PICKUP, "store_id": "A"}))
    (answer,) = side.group(plan_request(pickup, validate_only=True))
    assert isinstance(answer, RefusedError) == ("PICKUP" not in offered)
