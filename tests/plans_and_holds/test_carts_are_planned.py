"""A cart's hold becomes the plan's: what it has is free for its order, in one step, under its id."""

import random
from typing import Any

import pytest
from onhand.inventory.v1 import catalog_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.routing.v1 import network_pb2, plan_pb2
from onhand.routing.v1 import routing_service_pb2 as routing
from routing_harness import HERE, SHIP, order, place, plan_request, shipped, shortages
from test_routing_state import Side

from engine.api import desk
from ledger.core.limits import MICROSECONDS
from ledger.journal.entry import CHAIN_START
from ledger.snapshot import load_snapshot, write_snapshot
from plans_and_holds.harness import a_request_id, held, locations, move, network, refused, reject


def cart(*items: tuple[str, str, int], ttl: int = 600, **more: Any) -> reservations.ReserveStockRequest:
    lines = [{"sku_id": sku, "location_id": at, "quantity": units} for sku, at, units in items]
    request = reservations.ReserveStockRequest(lines=lines, **more)
    request.ttl.FromSeconds(ttl)
    return request


def count(side: Side, *levels: tuple[str, str, int]) -> None:
    counts = [{"sku_id": sku, "location_id": at, "on_hand": units} for sku, at, units in levels]
    side.ask(inventory.SetOnHandRequest(counts=counts))


def stock(side: Side, sku: str, at: str) -> tuple[int, int]:
    """Reserved and available units of a stock level."""
    level = side.ask(inventory.GetStockLevelRequest(sku_id=sku, location_id=at)).stock_level
    return level.reserved, level.available


def restarted(side: Side, tmp_path: Any) -> None:
    """Go on with what a snapshot has."""
    book = side.book
    side.over(load_snapshot(write_snapshot(tmp_path, book, CHAIN_START, 1))[1])
    assert side.book.digest() == book.digest()


def test_what_a_cart_holds_is_free_for_its_order(side):
    """All that there is of S is held by the cart, at the wrong place and at the right one."""
    count(side, ("S", "A", 3), ("S", "B", 0), ("S", "C", 4))
    made = side.ask(cart(("S", "A", 3), ("S", "C", 4)))
    assert shortages(side.ask(plan_request(order(("S", 5)), validate_only=True)).plan)["S"][0] == 5
    before = held(side, made.reservation_id)
    told = side.ask(plan_request(order(("S", 5)), reservation_id=made.reservation_id, validate_only=True))
    assert (told.reservation_id, shortages(told.plan)) == ("", {})
    assert held(side, made.reservation_id) == before, "a plan only changes nothing"
    planned = side.ask(plan_request(order(("S", 5)), reservation_id=made.reservation_id))
    assert (planned.reservation_id, shipped(planned.plan)) == (made.reservation_id, shipped(told.plan))
    assert held(side, made.reservation_id) == shipped(planned.plan)
    assert sum(stock(side, "S", at)[1] for at in "AC") == 2, "what the order does not need is free again"


def test_its_hold_moves_to_where_the_plan_is_cheaper(side):
    made = side.ask(cart(("S", "C", 5)))
    planned = side.ask(plan_request(order(("S", 5)), reservation_id=made.reservation_id, ttl=60))
    assert shipped(planned.plan) == held(side, made.reservation_id) == {("S", "A"): 5}
    assert (stock(side, "S", "A"), stock(side, "S", "C")) == ((5, 45), (0, 50))
    found = side.ask(reservations.GetReservationRequest(reservation_id=made.reservation_id)).reservation
    assert found.version == 2
    assert found.expire_time == planned.expire_time
    assert planned.expire_time.ToMicroseconds() == side.now_us + 60 * MICROSECONDS
    assert side.load == {"A": 5}


def test_an_order_that_is_planned_again_has_its_own_capacity(side):
    """20 units a day may leave A, one day of backlog none: the first plan takes all, and the second has the same."""
    locations(side, A={"units_per_day": 20}, B={"units_per_day": 20}, C={"units_per_day": 20})
    network(side, profiles=[network_pb2.RoutingProfile(name="standard", version=1)])
    made = side.ask(plan_request(order(("S", 20))))
    assert side.load == {"A": 20}
    other = side.ask(plan_request(order(("S", 20)), validate_only=True))
    again = side.ask(plan_request(order(("S", 18)), reservation_id=made.reservation_id))
    assert shipped(other.plan) != shipped(made.plan)
    assert (shipped(again.plan), side.load) == ({("S", "A"): 18}, {"A": 18})
    grown = side.ask(plan_request(order(("S", 20), ("T", 3)), reservation_id=made.reservation_id))
    assert sum(side.load.values()) == 23
    assert held(side, made.reservation_id) == shipped(grown.plan)


def test_plans_of_one_hold_in_one_group(side):
    """Each takes the place of the one before, also where other changes of the hold stand between them."""
    made = side.ask(cart(("S", "B", 7), ("T", "B", 1)))
    name = made.reservation_id
    answers = side.group(
        plan_request(order(("S", 5)), reservation_id=name),
        cart(("S", "A", 2), ("S", "C", 3), reservation_id=name),
        plan_request(order(("S", 6)), reservation_id=name),
        plan_request(order(("T", 4)), reservation_id=name),
        plan_request(order(("S", 1))),
    )
    assert {answer.reservation_id for answer in answers[:4]} == {name}
    assert held(side, name) == {("T", "A"): 4}
    assert side.load == {"A": 5}
    explained = side.ask(routing.ExplainPlanRequest(reservation_id=name))
    assert explained.plan.plan_id == answers[3].plan.plan_id
    first = side.ask(routing.ExplainPlanRequest(plan_id=answers[0].plan.plan_id))
    assert shipped(first.plan) == shipped(answers[0].plan), "an earlier plan is told as it was"


def test_a_planned_hold_that_gets_other_lines_keeps_its_capacity_in_step(side):
    made = side.ask(plan_request(order(("S", 6))))
    side.ask(cart(("S", "A", 2), ("T", "B", 3), reservation_id=made.reservation_id))
    assert (held(side, made.reservation_id), side.load) == ({("S", "A"): 2, ("T", "B"): 3}, {"A": 2, "B": 3})
    side.ask(cart(("S", "A", 4), reservation_id=made.reservation_id))
    assert side.load == {"A": 4}
    side.ask(reservations.ReleaseReservationRequest(reservation_id=made.reservation_id))
    assert side.load == {}


def test_where_a_plan_fills_nothing_the_hold_stays(side):
    count(side, ("T", "A", 0), ("T", "B", 0), ("T", "C", 0))
    made = side.ask(cart(("S", "A", 2)))
    nothing = side.ask(plan_request(order(("T", 1)), reservation_id=made.reservation_id, request_id=a_request_id()))
    assert (nothing.reservation_id, shortages(nothing.plan)["T"][0]) == ("", 1)
    assert held(side, made.reservation_id) == {("S", "A"): 2}
    again = plan_request(order(("T", 1)), reservation_id=made.reservation_id, request_id=a_request_id())
    assert side.ask(again) == nothing


def test_units_that_are_not_routed_are_let_go(side):
    """What a cart holds at a place that may not serve the order is no part of its plan."""
    made = side.ask(cart(("S", "A", 2), ("T", "C", 2)))
    planned = side.ask(plan_request(order(("S", 2)), reservation_id=made.reservation_id))
    assert held(side, made.reservation_id) == shipped(planned.plan) == {("S", "A"): 2}
    assert stock(side, "T", "C") == (0, 50)


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("nothing", "RESERVATION_NOT_FOUND"),
        ("commit", "RESERVATION_NOT_ACTIVE"),
        ("release", "RESERVATION_NOT_ACTIVE"),
        ("expire", "RESERVATION_EXPIRED"),
        ("other shard", "WRONG_SHARD"),
    ],
)
def test_a_hold_that_is_none_any_more(side, end, reason):
    name = side.ask(cart(("S", "A", 2), ttl=30)).reservation_id
    match end:
        case "nothing":
            name = "0000000100000077"
        case "other shard":
            name = "0123456789abcdef"
        case "commit":
            side.ask(reservations.CommitReservationRequest(reservation_id=name))
        case "release":
            side.ask(reservations.ReleaseReservationRequest(reservation_id=name))
        case "expire":
            side.now_us += 30 * MICROSECONDS
    asked = plan_request(order(("S", 1)), reservation_id=name, request_id=a_request_id())
    load, first = side.load, refused(side, asked)
    assert first.reason == reason
    assert "reservation_id" in str(first)
    assert str(refused(side, asked)) == str(first), "a repeat is told the same"
    asked.validate_only, asked.request_id = True, ""
    assert refused(side, asked).reason == reason
    quote = routing.QuoteFulfillmentRequest(order=quoted(order(("S", 1))), reservation_id=name)
    assert refused(side, quote).reason == reason
    assert side.load == load


def quoted(what: plan_pb2.Order) -> plan_pb2.Order:
    for line in what.lines:
        line.ClearField("method")
    return what


def test_a_hold_that_ends_in_the_same_group(side):
    """Calls of a group run before its orders are planned; nothing but the plan's own answer is a refusal."""
    name = side.ask(cart(("S", "A", 2))).reservation_id
    release = reservations.ReleaseReservationRequest(reservation_id=name)
    released, planned, other = side.group(
        release, plan_request(order(("S", 1)), reservation_id=name), plan_request(order(("S", 1)))
    )
    assert (released.version, planned.reason) == (2, "RESERVATION_NOT_ACTIVE")
    assert shipped(other.plan) == {("S", "A"): 1}
    assert side.load == {"A": 1}


def test_a_repeat_gets_the_plan_and_other_content_is_refused(side):
    name = side.ask(cart(("S", "C", 2))).reservation_id
    asked = plan_request(order(("S", 2)), reservation_id=name, request_id=a_request_id())
    first = side.ask(asked)
    side.ask(cart(("S", "B", 1), reservation_id=name))
    assert side.ask(asked) == first
    other = plan_request(order(("S", 2)), request_id=a_request_id())
    assert refused(side, other).reason == "REQUEST_ID_REUSED"
    assert held(side, name) == {("S", "B"): 1}


def test_an_order_keeps_its_name_and_whom_it_was_rejected_by(side):
    made = side.ask(plan_request(order(("S", 2)), reference="order-7"))
    assert shipped(made.plan) == {("S", "A"): 2}
    side.ask(reject(made.reservation_id, "A"))
    assert held(side, made.reservation_id) == {("S", "B"): 2}
    again = side.ask(plan_request(order(("S", 3)), reservation_id=made.reservation_id))
    assert shipped(again.plan) == {("S", "B"): 3}
    new = side.ask(plan_request(order(("S", 1)), reference="order-7"))
    assert shipped(new.plan) == {("S", "B"): 1}


def test_orders_of_a_call_that_takes_several_groups_keep_their_references(side, monkeypatch):
    """What was planned in an earlier group than the last was held for nobody, as the call is answered with that one."""
    monkeypatch.setattr(desk, "WORK_PER_GROUP_MAX", 0)
    asked = [plan_request(order(("S", 1)), reference=f"order-{number}", actor="shop") for number in range(3)]
    results = side.ask(routing.BatchPlanFulfillmentRequest(requests=asked)).results
    names = [result.planned.reservation_id for result in results]
    found = [side.ask(reservations.GetReservationRequest(reservation_id=name)).reservation for name in names]
    assert [(one.reference, one.actor) for one in found] == [(f"order-{number}", "shop") for number in range(3)]


@pytest.mark.parametrize("in_one_call", [False, True])
def test_the_name_of_an_order_within_one_group(side, in_one_call):
    """The second plan of a hold is that of the first one's order, which A rejected before."""
    made = side.ask(plan_request(order(("S", 2)), reference="order-9"))
    side.ask(reject(made.reservation_id, "A"))
    name = side.ask(cart(("S", "C", 1), reference="cart")).reservation_id
    asked = [
        plan_request(order(("S", 2)), reservation_id=name, reference="order-9"),
        plan_request(order(("S", 3)), reservation_id=name),
    ]
    if in_one_call:
        results = side.ask(routing.BatchPlanFulfillmentRequest(requests=asked)).results
        plans = [result.planned.plan for result in results]
    else:
        plans = [answer.plan for answer in side.group(*asked)]
    assert [shipped(plan) for plan in plans] == [{("S", "B"): 2}, {("S", "B"): 3}]
    rejected = side.ask(reject(name, "B"))
    assert shipped(rejected.plan) == {("S", "C"): 3}


def test_an_id_that_is_given_in_the_same_call_is_nobodys_yet(side):
    first = plan_request(order(("S", 2)), reference="order-1")
    guessed = plan_request(order(("S", 3)), reservation_id="0000000100000000")
    made, refused_one = side.ask(routing.BatchPlanFulfillmentRequest(requests=[first, guessed])).results
    assert (made.planned.reservation_id, refused_one.refused.reason) == (
        "0000000100000000",
        "RESERVATION_NOT_FOUND",
    )
    assert held(side, made.planned.reservation_id) == {("S", "A"): 2}


def test_a_closed_location_keeps_nothing(side):
    """What a cart holds there goes elsewhere, or is let go."""
    name = side.ask(cart(("S", "A", 3))).reservation_id
    count(side, ("S", "B", 1), ("S", "C", 0))
    side.ask(catalog.UpsertLocationsRequest(locations=[place("A", 100, active=False)]))
    planned = side.ask(plan_request(order(("S", 3)), reservation_id=name))
    assert (shipped(planned.plan), shortages(planned.plan)["S"][0]) == ({("S", "B"): 1}, 2)
    assert held(side, name) == {("S", "B"): 1}


def test_carts_that_are_large_come_in_parts(side):
    """Lines that holds have already are worked on, too: a batch is bounded with them."""
    skus = [f"W{number}" for number in range(100)]
    side.ask(catalog.UpsertSkusRequest(skus=[catalog_pb2.Sku(sku_id=sku, base_unit="each") for sku in skus]))
    count(side, *((sku, "A", 9) for sku in skus))
    name = side.ask(cart(*((sku, "A", 1) for sku in skus))).reservation_id
    small = cart(("S", "A", 1), reservation_id=name)
    many = reservations.BatchReserveStockRequest(requests=[small] * 82)
    error = refused(side, many)
    assert "at most 8192 lines in all, those of the reservations named counted" in str(error)
    assert len(held(side, name)) == 100
    del many.requests[81:]
    answer = side.ask(many)
    assert [result.reserved.version for result in answer.results] == list(range(2, 83))


def test_an_order_without_a_name_is_its_reservation(side):
    made = side.ask(plan_request(order(("S", 2))))
    side.ask(reject(made.reservation_id, "A"))
    again = side.ask(plan_request(order(("S", 3)), reservation_id=made.reservation_id))
    assert shipped(again.plan) == {("S", "B"): 3}
    rejected = side.ask(reject(made.reservation_id, "B"))
    assert shipped(rejected.plan) == {("S", "C"): 3}
    assert side.load == {"C": 3}


def test_a_quote_of_a_cart(side):
    """Without its hold there is nothing to be had; with it, all of it, and the nearest."""
    count(side, ("S", "A", 0), ("S", "B", 3), ("S", "C", 0))
    name = side.ask(cart(("S", "B", 3))).reservation_id
    what = quoted(order(("S", 3)))
    request = routing.QuoteFulfillmentRequest(order=what, methods=[SHIP])
    assert [one.complete for one in side.ask(request).quotes] == [False]
    request.reservation_id = name
    assert [one.complete for one in side.ask(request).quotes] == [True]
    assert held(side, name) == {("S", "B"): 3}


def test_a_quote_has_the_carts_own_capacity(side):
    locations(side, A={"units_per_day": 5}, B={"units_per_day": 5}, C={"units_per_day": 5})
    made = side.ask(plan_request(order(("S", 5))))
    request = routing.QuoteFulfillmentRequest(order=quoted(order(("S", 5))), methods=[SHIP])
    without = side.ask(request).quotes[0]
    request.reservation_id = made.reservation_id
    assert side.ask(request).quotes[0].cost_micros == made.plan.cost_micros
    assert without.cost_micros != made.plan.cost_micros


def test_what_is_oversold_may_stay(side):
    """Others were promised more than there is: the cart keeps what it has, and gets no more."""
    count(side, ("S", "A", 5), ("S", "B", 0), ("S", "C", 0))
    name = side.ask(cart(("S", "A", 3))).reservation_id
    side.ask(cart(("S", "A", 2)))
    count(side, ("S", "A", 1))
    planned = side.ask(plan_request(order(("S", 4)), reservation_id=name))
    assert (shipped(planned.plan), shortages(planned.plan)["S"][0]) == ({("S", "A"): 3}, 1)


@pytest.mark.parametrize("request_id", ["", a_request_id()], ids=["", "with a request id"])
def test_a_plan_that_fills_nothing_gives_no_capacity_back(side, request_id):
    locations(side, A={"units_per_day": 5})
    count(side, ("S", "A", 50), ("S", "B", 0), ("S", "C", 0), ("T", "A", 0), ("T", "B", 0), ("T", "C", 0))
    full = side.ask(plan_request(order(("S", 5)))).reservation_id
    assert side.load == {"A": 5}
    nothing = side.ask(plan_request(order(("T", 1)), reservation_id=full, request_id=request_id))
    assert not nothing.plan.shipments
    assert held(side, full) == {("S", "A"): 5}
    assert not side.ask(plan_request(order(("S", 1)))).plan.shipments
    assert side.load == {"A": 5}


@pytest.mark.parametrize("seed", range(6))
def test_any_history_of_carts(side, seed, tmp_path):
    """Writer, replay and snapshot agree, and capacity is what holds have, whatever comes of carts and plans."""
    chance = random.Random(seed)
    locations(side, **{name: {"units_per_day": 12} for name in "ABC"})
    names: list[str] = []
    for step in range(60):
        calls = [_any_call(chance, names) for _ in range(chance.choice([1, 1, 2, 4]))]
        names += filter(None, (getattr(answer, "reservation_id", "") for answer in side.group(*calls)))
        side.now_us += chance.choice([0, 0, MICROSECONDS, 20 * MICROSECONDS])
        if step == 30:
            restarted(side, tmp_path)
    assert side.book.verify() == []


def _any_call(chance: random.Random, names: list[str]) -> Any:
    name = chance.choice(names[-5:]) if names else ""
    ttl = chance.choice([5, 60, 600])
    wanted = {(sku, chance.choice("ABC")): chance.randint(1, 6) for sku in chance.sample("ST", chance.randint(1, 2))}
    match chance.randrange(8):
        case 0 | 1:
            return cart(*((*level, units) for level, units in wanted.items()), ttl=ttl)
        case 2 if name:
            return cart(*((*level, units) for level, units in wanted.items()), ttl=ttl, reservation_id=name)
        case 3 if name:
            return reject(name, chance.choice("ABC"))
        case 4 if name:
            return move(name, *chance.sample("ABC", 2))
        case 5 if name:
            return reservations.CommitReservationRequest(reservation_id=name)
    items = [(sku, units) for (sku, _), units in wanted.items()]
    return plan_request(
        order(*items, destination=HERE),
        ttl,
        reservation_id=name if chance.random() < 0.7 else "",
        reference=chance.choice(["", "", "order-1", "order-2"]),
        request_id=chance.choice(["", a_request_id(chance.randrange(1, 40))]),
    )
