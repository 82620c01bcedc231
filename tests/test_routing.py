"""The routing optimizer: right against the brute force, never dearer than a baseline, and every plan is verified."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from random import Random

import hypothesis.strategies as st
import msgspec
import numpy as np
import pytest
from hypothesis import Phase, example, given, settings

from bench.routing import compare
from bench.routing_small import DAILY, NOW, WORKDAYS, Case, random_case, stepped, stock_of, table
from routing.arrays import NONE
from routing.calendars import Calendar, Hours, pickup_ready
from routing.errors import RoutingInputError
from routing.limits import EVALUATIONS_PER_CANDIDATE
from routing.network import Carrier, Lane, Location, Network, Sku, Zone
from routing.order import Destination, Line, Order, Request
from routing.plan import Plan
from routing.profile import Costs, MaxDistance, Profile, Rule, Rules
from routing.rates import RateTable, Step
from routing.rules import Method, Reason
from routing.strategies import Router, Strategy
from routing.truth import brute_force
from routing.verifier import verify

SEEDS = st.integers(0, 10**9)
QUICK = settings(max_examples=150, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
EVERYWHERE = (Zone(km_max=None, transit_days=1),)


def location(name: str, *, north: float = 50, east: float = 8, **settings: object) -> Location:
    return Location(location_id=name, latitude=north, longitude=east, calendar="daily", carrier="post", **settings)


def network(*locations: Location, rate: RateTable | None = None, **settings: object) -> Network:
    post = Carrier(calendar="daily", zones=EVERYWHERE, rates={Method.SHIP: (rate or table(5),)})
    return Network(
        version=1,
        currency="EUR",
        locations=locations,
        calendars={"daily": DAILY, "workdays": WORKDAYS},
        **{"carriers": {"post": post}} | settings,
    )


def profile(split: str = "1", unfilled: str = "50", **rules: object) -> Profile:
    return Profile(
        name="test", version=1, costs=Costs(split=Decimal(split), unfilled=Decimal(unfilled)), rules=Rules(**rules)
    )


def request(*quantities: int, available: list[list[int]], **settings: object) -> Request:
    """An order of one line for each quantity, of skus S0, S1, …; the stock has a row for each."""
    lines = tuple(Line(sku=f"S{row}", quantity=quantity) for row, quantity in enumerate(quantities))
    order = Order(lines=lines, destination=Destination(latitude=50, longitude=8))
    return Request(msgspec.structs.replace(order, **settings), stock_of(available), range(len(quantities)), NOW)


def of_lines(*lines: Line, available: list[list[int]], **settings: object) -> Request:
    found = request(1, available=available, lines=lines, **settings)
    return found._replace(rows=[int(line.sku[1:]) for line in lines])


def planned(
    network: Network, asked: Request, strategy: Strategy = Strategy.OPTIMAL, using: Profile | None = None
) -> Plan:
    using = using or profile()
    plan = Router(network, using).plan(asked, strategy, explain=True)
    assert verify(plan, network, using, asked) == []
    return plan


def units(plan: Plan) -> dict[str, int]:
    return {one.location_id: sum(line.quantity for line in one.lines) for one in plan.shipments}


# ---- against the truth -----------------------------------------------------------------------------------------------


@QUICK
@given(SEEDS)
@example(941)
@example(8420)
@example(11126)
def test_plan_is_the_cheapest_of_all_assignments(seed: int) -> None:
    assert not compare(seed)


@QUICK
@given(SEEDS, st.booleans())
def test_plan_is_verified_and_never_dearer_than_a_baseline(seed: int, with_steps: bool) -> None:
    case = random_case(Random(seed), with_steps=with_steps)
    plans = plans_of(case)
    for plan in plans.values():
        assert verify(plan, case.network, case.profile, case.request) == []
    if not plans:
        return
    ours = plans.pop(Strategy.OPTIMAL)
    is_complete = case.request.order.ship_complete or case.profile.rules.ship_complete
    for theirs in plans.values():
        # Who drops a rule, or does not fill what ships complete, is not comparable.
        if theirs.used_second_pass <= ours.used_second_pass and not (is_complete and theirs.shortages):
            assert ours.cost <= theirs.cost


def plans_of(case: Case) -> dict[Strategy, Plan]:
    router = Router(case.network, case.profile)
    try:
        return {strategy: router.plan(case.request, strategy) for strategy in Strategy}
    except RoutingInputError:
        return {}


@QUICK
@given(SEEDS)
def test_prunes_lose_nothing_among_many_locations(seed: int) -> None:
    chance = Random(seed)
    places = [
        location(
            f"L{index:02}",
            setup_cost=chance.choice([0, 500_000, 1_000_000]),
            handling_cost=chance.choice([0, 250_000, 500_000, 2_000_000]),
        )
        for index in range(12)
    ]
    asked = request(1, 1, 1, available=[[chance.choice([-1, 0, 1, 1]) for _ in places] for _ in range(3)])
    using = profile(split=chance.choice(["0", "0.5"]), unfilled=chance.choice(["3", "50"]))
    over = network(*places, rate=table(chance.choice([0, 0.5, 3])))
    plan = planned(over, asked, using=using)
    truth = brute_force(Case(over, using, asked).model(), 3)
    assert plan.cost == truth.cost
    assert sorted((0, over.location_index[one.location_id]) for one in plan.shipments) == list(truth.shipments)


@QUICK
@given(SEEDS)
def test_same_request_has_the_same_plan(seed: int) -> None:
    case = random_case(Random(seed))
    assert plans_of(case) == plans_of(case)


def test_equal_costs_go_to_fewer_shipments_then_to_the_first_locations() -> None:
    over = network(*(location(name) for name in "ABCD"), rate=table(0))
    both = request(1, 1, available=[[0, 1, 1, 0], [0, 1, 1, 1]])
    assert units(planned(over, both, using=profile(split="0"))) == {"B": 2}
    one_each = request(1, 1, available=[[0, 1, 1, 0], [1, 0, 0, 1]])
    assert units(planned(over, one_each, using=profile(split="0"))) == {"A": 1, "B": 1}


@QUICK
@given(SEEDS)
def test_verifier_rejects_a_plan_that_was_changed(seed: int) -> None:
    case = random_case(Random(seed), with_steps=True)
    plan = plans_of(case).get(Strategy.OPTIMAL)
    if plan is None:
        return
    for changed in mutations(plan):
        assert verify(changed, case.network, case.profile, case.request) != []


def mutations(plan: Plan):
    replace = msgspec.structs.replace
    yield replace(plan, cost=plan.cost + 1)
    yield replace(plan, terms=plan.terms._replace(shipping=plan.terms.shipping + 1))
    yield replace(plan, network_version=plan.network_version + 1)
    for index, shipment in enumerate(plan.shipments):
        others = plan.shipments[:index] + plan.shipments[index + 1 :]
        yield replace(plan, shipments=others)
        yield replace(plan, shipments=(*plan.shipments, shipment))
        more = replace(shipment.lines[0], quantity=shipment.lines[0].quantity + 1)
        for changed in (
            {"location_id": "nowhere"},
            {"lines": (more, *shipment.lines[1:])},
            {"arrival": shipment.arrival + timedelta(days=1)},
            {"terms": shipment.terms._replace(handling=-1)},
            {"method": Method.SHIP if shipment.method != Method.SHIP else Method.PICKUP},
        ):
            yield replace(plan, shipments=(*others, replace(shipment, **changed)))


# ---- conformance cases of other systems ------------------------------------------------------------------------------


def test_t4_t27_priority_takes_what_the_first_has_and_the_rest_from_the_next() -> None:
    over = network(location("A", priority=2), location("B", priority=1))
    assert units(planned(over, request(5, available=[[4, 3]]), Strategy.PRIORITY)) == {"B": 3, "A": 2}
    assert units(planned(over, request(7, available=[[2, 5]]), Strategy.PRIORITY)) == {"B": 5, "A": 2}


def test_t28_inactive_locations_are_never_used_and_the_shortage_is_told() -> None:
    over = network(location("A"), location("B"), location("C", is_active=False))
    plan = planned(over, request(15, available=[[5, 3, 10]]), using=profile(unfilled="500"))
    assert units(plan) == {"A": 5, "B": 3}
    (shortage,) = plan.shortages
    assert (shortage.quantity, shortage.reason) == (7, Reason.INSUFFICIENT)
    assert shortage.reason_counts == {Reason.INACTIVE: 1, Reason.INSUFFICIENT: 2}


@pytest.mark.parametrize("strategy", Strategy)
def test_t29_ship_complete_or_what_there_is(strategy: Strategy) -> None:
    over = network(location("A"), location("B"))
    short = request(5, 3, available=[[5, 0], [-1, -1]])
    assert units(planned(over, short, strategy)) == {"A": 5}
    whole = planned(over, short._replace(order=msgspec.structs.replace(short.order, ship_complete=True)), strategy)
    assert whole.shipments == ()
    assert [(one.quantity, one.reason) for one in whole.shortages] == [
        (5, Reason.SHIP_COMPLETE),
        (3, Reason.SHIP_COMPLETE),
    ]


def test_t54_fewest_splits_takes_the_one_that_has_all() -> None:
    over = network(location("A", priority=1), location("B", priority=2))
    asked = request(5, available=[[2, 5]])
    assert units(planned(over, asked, Strategy.PRIORITY)) == {"A": 2, "B": 3}
    assert units(planned(over, asked, Strategy.FEWEST_SPLITS)) == {"B": 5}
    assert units(planned(over, asked)) == {"B": 5}


@pytest.mark.parametrize("strategy", Strategy)
def test_t55_units_that_are_there_go_before_backorders(strategy: Strategy) -> None:
    over = network(location("A", priority=1), location("B", priority=2, setup_cost=3_000_000))
    asked = request(5, available=[[0, 5]])
    asked = asked._replace(stock=stock_of([[0, 5]], backorder=[[3, 0]]))
    assert units(planned(over, asked, strategy)) == {"B": 5}


def test_backorders_fill_what_is_left_unless_the_profile_forbids_it() -> None:
    over = network(location("A"), location("B"))
    asked = request(7, available=[[0, 5]])._replace(stock=stock_of([[0, 5]], backorder=[[3, 0]]))
    plan = planned(over, asked)
    assert (units(plan), plan.used_second_pass) == ({"B": 5, "A": 2}, True)
    assert units(planned(over, asked, using=profile(backorder=Rule(strength="hard")))) == {"B": 5}


def test_t57_distance_ranks_what_priority_ties() -> None:
    over = network(location("A", east=9, priority=1), location("B", east=8.1, priority=1), location("C", priority=2))
    assert units(planned(over, request(1, available=[[1, 1, 1]]), Strategy.PRIORITY)) == {"B": 1}


def test_t58_one_location_that_covers_both_lines() -> None:
    over = network(location("A"), location("B"), location("C", setup_cost=500_000))
    assert units(planned(over, request(1, 1, available=[[1, 0, 1], [0, 1, 1]]))) == {"C": 2}


def test_t60_work_grows_no_faster_than_lines_times_candidates() -> None:
    chance = np.random.default_rng(60)
    places = [location(f"L{index}", setup_cost=int(chance.integers(0, 10**6))) for index in range(100)]
    available = (chance.random((100, 100)) < 0.3).astype(int).tolist()
    plan = planned(network(*places), request(*[1] * 100, available=available))
    assert plan.evaluations <= (EVALUATIONS_PER_CANDIDATE + 1) * len(places)
    assert len(plan.shipments) == 3


# ---- lines that compete ----------------------------------------------------------------------------------------------


def test_capacity_goes_to_the_line_that_gains_most_from_it() -> None:
    over = network(location("A", units_per_day=2), location("B", handling_cost=1_000_000), rate=table(0, 1))
    heavy = over.skus | {"S1": Sku(weight_milligrams=0)}
    over = msgspec.structs.replace(over, skus=heavy)
    asked = request(2, 2, available=[[2, 2], [2, 0]])
    plan = planned(over, asked, using=profile(split="0"))
    assert {one.location_id: [line.sku for line in one.lines] for one in plan.shipments} == {"A": ["S1"], "B": ["S0"]}


def test_two_lines_of_one_sku_share_its_stock() -> None:
    over = network(location("A", methods=frozenset({Method.SHIP, Method.PICKUP})), location("B", setup_cost=2_000_000))
    lines = Line(sku="S0", quantity=2), Line(sku="S0", quantity=2, method=Method.PICKUP, store="A")
    plan = planned(over, of_lines(*lines, available=[[3, 5]]))
    found = {(one.location_id, one.method): one.lines[0].quantity for one in plan.shipments}
    assert found == {("A", Method.PICKUP): 2, ("B", Method.SHIP): 2}


def test_full_day_is_told_and_backlog_delays() -> None:
    over = network(location("A", units_per_day=2, backlog_days_max=1), location("B", setup_cost=4_000_000))
    asked = request(1, available=[[9, 9]])
    waiting = asked._replace(stock=stock_of([[9, 9]], load=[2, 0]))
    assert planned(over, asked).shipments[0].arrival == date(2026, 11, 21)
    assert planned(over, waiting).shipments[0].arrival == date(2026, 11, 22)
    full = planned(over, asked._replace(stock=stock_of([[9, 9]], load=[4, 0])))
    assert units(full) == {"B": 1}
    assert full.candidates[0].reason == Reason.CAPACITY_FULL


# ---- methods, dates --------------------------------------------------------------------------------------------------

ALL_METHODS = frozenset(Method)


def store_network() -> Network:
    post = Carrier(
        calendar="workdays",
        zones=(Zone(km_max=20, transit_days=0), Zone(km_max=None, transit_days=2)),
        rates={Method.SHIP: (table(4), table(6)), Method.DELIVERY: (table(9),)},
    )
    return network(
        location("near", methods=ALL_METHODS, cut_off=time(14), hours=Hours(time(9), time(20))),
        location("far", east=12, methods=ALL_METHODS, cut_off=time(12)),
        carriers={"post": post},
        lanes={("far", "near"): Lane(base=500_000, per_kilogram=0, days=2)},
    )


def test_one_order_mixes_all_methods() -> None:
    lines = (
        Line(sku="S0", quantity=1, method=Method.PICKUP, store="near"),
        Line(sku="S1", quantity=1, method=Method.SHIP_TO_STORE, store="near"),
        Line(sku="S2", quantity=1, method=Method.DELIVERY),
    )
    plan = planned(store_network(), of_lines(*lines, available=[[1, 1], [0, 1], [1, 1]]))
    found = {(one.method, one.location_id): one for one in plan.shipments}
    assert set(found) == {(Method.PICKUP, "near"), (Method.SHIP_TO_STORE, "far"), (Method.DELIVERY, "near")}
    # At 13:30 the far location's cut-off is over: it leaves on Saturday.
    assert found[Method.SHIP_TO_STORE, "far"].arrival == date(2026, 11, 23)
    assert found[Method.DELIVERY, "near"].arrival == date(2026, 11, 20)
    assert found[Method.PICKUP, "near"].ready == NOW + timedelta(minutes=60)
    assert found[Method.SHIP_TO_STORE, "far"].terms.shipping == 500_000


@pytest.mark.parametrize(
    ("now", "arrival"),
    [
        (datetime(2026, 11, 20, 13, 59, tzinfo=UTC), date(2026, 11, 24)),  # Friday before cut-off, two working days
        (datetime(2026, 11, 20, 14, 1, tzinfo=UTC), date(2026, 11, 24)),  # leaves on Saturday
        (datetime(2026, 11, 22, 14, 1, tzinfo=UTC), date(2026, 11, 25)),  # Sunday after cut-off: leaves on Monday
    ],
)
def test_arrival_counts_working_days_from_the_cut_off(now: datetime, arrival: date) -> None:
    asked = request(1, available=[[1, 0]], destination=Destination(latitude=51, longitude=8))._replace(now=now)
    assert planned(store_network(), asked).shipments[0].arrival == arrival


@pytest.mark.parametrize(
    ("now", "ready"),
    [
        ("2026-11-20T10:00+01:00", "2026-11-20T11:00+01:00"),
        ("2026-11-20T06:00+01:00", "2026-11-20T10:00+01:00"),
        ("2026-11-20T19:30+01:00", "2026-11-23T09:30+01:00"),  # closes at 20:00, goes on when it opens on Monday
    ],
)
def test_pickup_is_ready_within_opening_hours(now: str, ready: str) -> None:
    found = pickup_ready(WORKDAYS, datetime.fromisoformat(now), "Europe/Berlin", Hours(time(9), time(20)), 60)
    assert found == datetime.fromisoformat(ready)


def test_lateness_is_paid_for_or_masked() -> None:
    promised = Line(sku="S0", quantity=1, promise=date(2026, 11, 21))
    places = location("A", cut_off=time(12)), location("B", setup_cost=3_000_000)
    asked = of_lines(promised, available=[[1, 1]])
    plan = planned(network(*places), asked)
    assert units(plan) == {"B": 1}
    assert plan.candidates[0].fixed_cost == 9_000_000  # 5 for the parcel, 4 for a day
    strict = planned(network(*places), asked, using=profile(promise=Rule(strength="hard")))
    assert strict.candidates[0].reason == Reason.CUTOFF_MISSED


def test_stepped_rate_is_paid_as_it_is() -> None:
    rate = stepped((1_000, 4), (5_000, 7), (None, 20))
    over = network(location("A"), location("B"), rate=rate, skus={"S0": Sku(weight_milligrams=1_000_000)})
    plan = planned(over, request(5, available=[[9, 0]]))
    assert (plan.terms.shipping, plan.is_proved) == (7_000_000, False)
    # Six in one parcel cost 20; five and one cost 7 + 4 + 1 for the split.
    assert planned(over, request(6, available=[[5, 9]])).cost == 12_000_000


# ---- masks -----------------------------------------------------------------------------------------------------------


def masked_network(**of_b: object) -> Network:
    return network(
        location("A", setup_cost=9_000_000), location("B", **of_b), skus={"S0": Sku(restrictions=frozenset({"hazmat"}))}
    )


@pytest.mark.parametrize(
    ("of_b", "rules", "asked", "reason"),
    [
        ({"is_active": False}, {}, {}, Reason.INACTIVE),
        ({"methods": frozenset({Method.PICKUP})}, {}, {}, Reason.NO_CAPABILITY),
        ({"groups": frozenset({"south"})}, {}, {"channel": "web"}, Reason.CHANNEL_NOT_SERVED),
        ({"east": 20}, {"max_distance": MaxDistance(km=100, strength="hard")}, {}, Reason.MAX_DISTANCE),
        ({"units_per_day": 0}, {}, {}, Reason.CAPACITY_FULL),
    ],
)
def test_location_is_masked_with_its_reason(of_b: dict, rules: dict, asked: dict, reason: Reason) -> None:
    over = network(
        location("A", setup_cost=9_000_000, groups=frozenset({"north"})),
        location("B", **of_b),
        channels={"web": frozenset({"north"})},
    )
    plan = planned(over, request(1, available=[[1, 1]], **asked), using=profile(**rules))
    assert units(plan) == {"A": 1}
    assert plan.candidates[1].reason == reason


@pytest.mark.parametrize(
    ("available", "asked", "reason"),
    [
        (13, {"rejected": (("S0", "B"),)}, Reason.REJECTED_BEFORE),
        (-1, {}, Reason.NOT_STOCKED),
        (0, {}, Reason.OUT_OF_STOCK),
        (13, {}, Reason.ELIGIBLE),
    ],
)
def test_line_is_masked_with_its_reason(available: int, asked: dict, reason: Reason) -> None:
    plan = planned(network(location("A"), location("B")), request(1, available=[[1, available]], **asked))
    assert plan.candidates[1].lines[0].reason == reason


def test_restricted_item_comes_from_where_it_may() -> None:
    hazmat = {"S0": Sku(restrictions=frozenset({"hazmat"}))}
    over = network(location("A"), location("B", restrictions=frozenset({"hazmat"}), setup_cost=1), skus=hazmat)
    plan = planned(over, request(1, available=[[1, 1]]))
    assert (units(plan), plan.candidates[0].lines[0].reason) == ({"B": 1}, Reason.RESTRICTED_ITEM)


def test_order_of_little_value_is_never_split() -> None:
    over = network(location("A"), location("B"))
    asked = request(1, 1, available=[[1, 0], [0, 1]])
    plan = planned(over, asked, using=profile(never_split_below=Decimal(10)))
    assert units(plan) == {"A": 1}
    assert [one.reason for one in plan.shortages] == [Reason.NEVER_SPLIT]
    assert units(planned(over, asked)) == {"A": 1, "B": 1}


def test_soft_rule_is_dropped_for_what_the_first_pass_left() -> None:
    over = network(location("A"), location("B", east=20))
    using = profile(max_distance=MaxDistance(km=100, strength="soft"))
    plan = planned(over, request(3, available=[[2, 9]]), using=using)
    assert (units(plan), plan.used_second_pass) == ({"A": 2, "B": 1}, True)


def test_scarcity_and_prices_turn_the_choice() -> None:
    over = network(location("A"), location("B", setup_cost=500_000))
    asked = request(1, available=[[1, 1]])
    assert units(planned(over, asked)) == {"A": 1}
    dear = asked.stock._replace(level_cost=np.array([[600_000, 0]], np.int64))
    assert units(planned(over, asked._replace(stock=dear))) == {"B": 1}
    priced = asked.stock._replace(location_price=np.array([600_000, 0], np.int64))
    assert units(planned(over, asked._replace(stock=priced))) == {"B": 1}


def test_explanation_says_what_the_next_best_would_have_cost() -> None:
    over = network(location("A"), location("B", setup_cost=700_000), location("C"))
    plan = planned(over, request(1, available=[[1, 1, 0]]))
    told = {one.location_id: (one.is_chosen, one.margin) for one in plan.candidates}
    assert told == {"A": (True, 700_000), "B": (False, 700_000), "C": (False, None)}


def test_explanation_of_a_split_says_what_it_would_cost_without_each_location() -> None:
    over = network(location("A"), location("B"), location("C", setup_cost=700_000), location("D", setup_cost=8_000_000))
    plan = planned(over, request(1, 1, available=[[1, 0, 1, 1], [0, 1, 0, 1]]))
    assert (units(plan), plan.cost) == ({"A": 1, "B": 1}, 11_000_000)
    margins = {one.location_id: one.margin for one in plan.candidates}
    # Without A it would be C and B, without B all from D; D alone costs 13.
    assert (margins["A"], margins["B"], margins["D"]) == (700_000, 2_000_000, 2_000_000)


def test_safety_stock_is_told_where_it_would_have_been_enough() -> None:
    asked = request(3, available=[[1, 0]])
    asked = asked._replace(stock=asked.stock._replace(protected=np.array([[2, 0]], np.int64)))
    plan = planned(network(location("A"), location("B")), asked)
    assert [one.lines[0].reason for one in plan.candidates] == [Reason.SAFETY_STOCK, Reason.OUT_OF_STOCK]
    assert plan.shortages[0].reason_counts == {Reason.SAFETY_STOCK: 1, Reason.OUT_OF_STOCK: 1}


# ---- orders that nobody could route ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"destination": None}, "destination: expected one"),
        (
            {"destination": Destination(place="99999")},
            'destination.place: expected one of the network\'s 0 places, was "99999"',
        ),
        (
            {"destination": Destination(latitude=91, longitude=0)},
            "destination.latitude: expected -90 to 90 degrees, was 91",
        ),
        ({"channel": "fax"}, 'channel: expected one of web, was "fax"'),
        ({"lines": ()}, "lines: expected 1 to 100 lines, was 0"),
        ({"lines": (Line(sku="S0", quantity=0),)}, "lines[0].quantity: expected 1 to 1000000, was 0"),
        (
            {"lines": (Line(sku="S0", quantity=1, method=Method.PICKUP, store="X"),)},
            'lines[0].store: expected a location of the network, was "X"',
        ),
        (
            {"lines": (Line(sku="S0", quantity=1, method=Method.PICKUP, store="A"),)},
            'lines[0].store: expected a location that offers PICKUP; "A" does not',
        ),
        ({"channel": "web"}, "lines[0]: expected a location that may serve SHIP, found none (CHANNEL_NOT_SERVED 1)"),
        (
            {"lines": (Line(sku="S0", quantity=1, promise=date(2026, 11, 20)),)},
            "lines[0].promise: expected 2026-11-21 or later, which the fastest location can keep, was 2026-11-20",
        ),
    ],
)
def test_order_that_nobody_could_route_is_refused_by_name(changes: dict, text: str) -> None:
    over = network(location("A"), channels={"web": frozenset({"north"})})
    asked = request(1, available=[[1]])
    asked = asked._replace(order=msgspec.structs.replace(asked.order, **changes))
    with pytest.raises(RoutingInputError) as caught:
        Router(over, profile(promise=Rule(strength="hard"))).plan(asked)
    assert text in str(caught.value)


def test_lower_bound_of_a_rate_is_nowhere_above_it() -> None:
    chance = Random(3)
    for _ in range(200):
        ends = sorted(chance.sample(range(1, 9_000), chance.randint(0, 5)))
        steps = [
            Step(above, to, chance.randrange(10**7), chance.randrange(10**6))
            for above, to in zip([0, *ends], [*ends, None], strict=True)
        ]
        bound = RateTable(tuple(steps)).lower_bound()
        for step in steps:
            for weight in (step.above + 1, step.to or step.above + 10**6):
                assert bound.cost(weight) <= step.cost(weight)


def test_pickup_moves_to_the_next_day_when_it_cannot_be_ready_before_closing() -> None:
    """One router, asked on until after the last moment of the day: its columns were those of the morning."""
    store = location("A", methods=frozenset({Method.PICKUP}), hours=Hours(time(9), time(18)), pickup_minutes=60)
    line = Line(sku="S0", quantity=1, method=Method.PICKUP, store="A")
    router = Router(network(store), profile())
    for clock, day in (("16:30", 1), ("17:00", 1), ("17:01", 2), ("19:00", 2)):
        asked = of_lines(line, available=[[5]])._replace(now=datetime.fromisoformat(f"2026-06-01T{clock}+00:00"))
        (shipment,) = router.plan(asked).shipments
        assert shipment.ready is not None
        assert shipment.arrival == shipment.ready.date() == date(2026, 6, day)


def test_calendar_that_has_ended_has_no_days() -> None:
    closed = {date(2026, month, day) for month in range(1, 13) for day in range(1, 29)}
    now = datetime(2026, 6, 1, tzinfo=UTC)

    def router(closed: set[date]) -> Router:
        calendar = Calendar("daily", frozenset({0}), frozenset(closed))
        return Router(msgspec.structs.replace(network(location("A")), calendars={"daily": calendar}), profile())

    assert (router(closed).problem_at(now).dispatch_day > 0).all()
    never = router({now.date() + timedelta(days=day) for day in range(500)})
    assert (never.problem_at(now).dispatch_day == NONE).all()
