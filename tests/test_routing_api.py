"""Routing through the API: plans that are holds, quotes, explanations, rejections; the scenarios of other systems."""

# ruff: noqa: N802 - scenarios have the names of their table

from collections.abc import Iterator

import pytest
from harness import Refused, new_id
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import request_service_pb2 as requests
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.routing.v1 import network_pb2, plan_pb2
from onhand.routing.v1 import routing_service_pb2 as routing
from routing_harness import (
    FEWEST_SPLITS,
    MICROS,
    NEAREST,
    PICKUP,
    PRIORITY,
    SHIP,
    SHIP_TO_STORE,
    RoutingClient,
    a_network,
    location_routing,
    order,
    place,
    plan_request,
    reason_name,
    shipped,
    shortages,
)


@pytest.fixture
def client(engine, request) -> Iterator[RoutingClient]:
    """A client of the shared engine whose skus, locations and network are this test's own."""
    with RoutingClient(engine.address, prefix=f"{abs(hash(request.node.nodeid)):x}-") as made:
        yield made


def planned(client: RoutingClient, what: plan_pb2.Order, **more) -> dict[tuple[str, str], int]:
    """What a plan ships, by short names."""
    return client.bare(shipped(client.plan(what, **more).plan))


def short(client: RoutingClient, plan: plan_pb2.FulfillmentPlan) -> dict[str, tuple[int, str]]:
    return {sku.removeprefix(client.prefix): told for sku, told in shortages(plan).items()}


def refusal(call, *arguments, **more) -> Refused:
    with pytest.raises(Refused) as refused:
        call(*arguments, **more)
    return refused.value


# ---- scenarios -------------------------------------------------------------------------------------------------------


def test_T4_by_priority(client):
    ranks = {"A": {"priority": 2}, "B": {"priority": 1}}
    client.build({"A": 100, "B": 200}, {("S", "A"): 4, ("S", "B"): 3}, ranks)
    assert planned(client, order(("S", 5)), strategy=PRIORITY) == {("S", "B"): 3, ("S", "A"): 2}


def test_T5_holds_of_others_are_respected(client):
    ranks = {"A": {"priority": 1}, "B": {"priority": 2}}
    client.build({"A": 100, "B": 200}, {("S", "A"): 4, ("S", "B"): 3}, ranks)
    client.reserve(("S", "A", 2))
    response = client.plan(order(("S", 3)), strategy=PRIORITY)
    assert client.bare(shipped(response.plan)) == {("S", "A"): 2, ("S", "B"): 1}
    client.commit(response.reservation_id)
    assert (client.level("S", "A").available, client.level("S", "B").available) == (0, 2)


def test_T27_by_priority_until_it_is_enough(client):
    ranks = {f"e{rank}": {"priority": rank} for rank in (1, 2, 3)}
    stock = {("S", "e1"): 5, ("S", "e2"): 3, ("S", "e3"): 10}
    client.build({"e1": 300, "e2": 200, "e3": 100}, stock, ranks)
    assert planned(client, order(("S", 7)), strategy=PRIORITY) == {("S", "e1"): 5, ("S", "e2"): 2}


def test_T28_what_is_inactive_or_unavailable_is_never_used(client):
    ranks = {name: {"priority": rank} for rank, name in enumerate(("e1", "e2", "off", "broken"))}
    stock = {("S", "e1"): 5, ("S", "e2"): 3, ("S", "off"): 10, ("S", "broken"): 10}
    client.build({"e1": 100, "e2": 200, "off": 300, "broken": 400}, stock, ranks)
    client.put_locations(place(client.name("off"), 300, active=False))
    client.move("DAMAGE", "S", "broken", 10)
    response = client.plan(order(("S", 15)), strategy=PRIORITY)
    assert client.bare(shipped(response.plan)) == {("S", "e1"): 5, ("S", "e2"): 3}
    assert short(client, response.plan)["S"][0] == 7
    counts = {reason_name(one.reason): one.location_count for one in response.plan.shortages[0].reasons}
    assert counts["INACTIVE"] == 1
    assert client.held(response.reservation_id) == {("S", "e1"): 5, ("S", "e2"): 3}


@pytest.mark.parametrize("whole", [True, False])
def test_T29_whole_or_what_there_is(client, whole):
    ranks = {"e3": {"priority": 1}, "e2": {"priority": 2}, "e1": {"priority": 3}}
    stock = {("S1", "e1"): 5, ("S1", "e2"): 5, ("S1", "e3"): 2}
    client.build({"e1": 100, "e2": 200, "e3": 300}, stock, ranks)
    client.sku("S2")
    response = client.plan(order(("S1", 5), ("S2", 3), ship_complete=whole), strategy=PRIORITY)
    if whole:
        assert shipped(response.plan) == {}
        assert response.reservation_id == ""
        assert {told[1] for told in short(client, response.plan).values()} == {"SHIP_COMPLETE"}
    else:
        assert client.bare(shipped(response.plan)) == {("S1", "e3"): 2, ("S1", "e2"): 3}
        assert short(client, response.plan) == {"S2": (3, "NOT_STOCKED")}


def test_T38_stores_within_a_radius_nearest_first(client):
    locations = {"far": 300.0, "near": 20.0, "out": 800.0, "mid": 100.0}
    client.build(locations, {("S", name): 1 for name in locations})
    quotes = client.quote(order(("S", 1)), methods=[PICKUP], store_distance_km_max=500, store_count_max=10).quotes
    assert [quote.store_id.removeprefix(client.prefix) for quote in quotes] == ["near", "mid", "far"]
    assert [quote.distance_km for quote in quotes] == pytest.approx([20, 100, 300], abs=0.1)


def test_T54_by_priority_or_in_one_piece(client):
    ranks = {"first": {"priority": 1}, "second": {"priority": 2}}
    client.build({"first": 100, "second": 200}, {("S", "first"): 2, ("S", "second"): 5}, ranks)
    more = {"validate_only": True}
    assert planned(client, order(("S", 5)), strategy=PRIORITY, **more) == {("S", "first"): 2, ("S", "second"): 3}
    assert planned(client, order(("S", 5)), strategy=FEWEST_SPLITS, **more) == {("S", "second"): 5}


def test_T55_what_is_there_goes_before_backorders(client):
    client.build({"first": 100, "second": 900}, {("S", "first"): 3, ("S", "second"): 5})
    client.count("S", "first", 0)
    client.policy("S", "first", backorder_limit=3)
    response = client.plan(order(("S", 5)))
    assert client.bare(shipped(response.plan)) == {("S", "second"): 5}
    response = client.plan(order(("S", 3)))
    assert client.bare(shipped(response.plan)) == {("S", "first"): 3}
    assert response.plan.used_second_pass
    assert client.held(response.reservation_id) == {("S", "first"): 3}


def test_T57_terms_that_say_nothing_are_skipped(client):
    """Carriage ties A and B, performance ranks B; without any candidate there is a shortage."""
    ranks = {"A": {"performance_micros": 2 * MICROS}, "B": {"performance_micros": MICROS}}
    client.build({"A": 100, "B": 100}, {("S", "A"): 5, ("S", "B"): 5}, ranks)
    assert planned(client, order(("S", 5))) == {("S", "B"): 5}
    assert planned(client, order(("S", 5))) == {("S", "A"): 5}
    assert short(client, client.plan(order(("S", 5))).plan) == {"S": (5, "OUT_OF_STOCK")}


def test_T58_one_location_that_has_all(client):
    stock = {("S", "A"): 1, ("T", "B"): 1, ("S", "C"): 1, ("T", "C"): 1}
    client.build({"A": 100, "B": 100, "C": 300}, stock)
    assert planned(client, order(("S", 1), ("T", 1))) == {("S", "C"): 1, ("T", "C"): 1}


def test_T60_subsets_looked_at_grow_with_lines_times_candidates(client):
    locations = {f"L{index}": 100.0 + index for index in range(40)}
    stock = {(f"S{line}", name): 400 for line in range(10) for name in locations}
    client.build(locations, stock)
    few = client.plan(order(*((f"S{line}", 4) for line in range(2))), validate_only=True).plan
    many = client.plan(order(*((f"S{line}", 400) for line in range(10))), validate_only=True).plan
    assert not few.shortages
    assert not many.shortages
    assert many.evaluation_count <= 256 * 40


# ---- a plan is a hold ------------------------------------------------------------------------------------------------


def test_what_is_planned_is_held(client):
    client.build({"A": 100, "B": 900}, {("S", "A"): 3, ("T", "A"): 1, ("S", "B"): 9, ("T", "B"): 9})
    response = client.plan(order(("S", 5), ("T", 1)), reference="order 1", actor="shop")
    assert client.held(response.reservation_id) == client.bare(shipped(response.plan))
    assert response.plan.reservation_id == response.reservation_id
    assert response.expire_time == client.get(response.reservation_id).expire_time
    moved = client.movements(reservation_id=response.reservation_id)
    assert {(one.seq, one.reference, one.actor) for one in moved} == {(response.seq, "order 1", "shop")}


def test_validate_only_holds_nothing(client):
    client.build({"A": 100}, {("S", "A"): 3})
    response = client.plan(order(("S", 2)), validate_only=True)
    assert client.bare(shipped(response.plan)) == {("S", "A"): 2}
    assert (response.reservation_id, response.plan.plan_id) == ("", "")
    assert client.level("S", "A").reserved == 0


def test_two_lines_of_one_sku_share_its_stock(client):
    client.build({"A": 100, "B": 200}, {("S", "A"): 3, ("S", "B"): 3}, {"A": {"methods": [SHIP, PICKUP]}})
    store = {"method": PICKUP, "store_id": "A"}
    response = client.plan(order(("S", 2, store), ("S", 2)))
    assert client.held(response.reservation_id) == client.bare(shipped(response.plan))
    assert sum(client.held(response.reservation_id).values()) == 4
    assert client.level("S", "A").available >= 0


def test_a_repeat_gets_the_stored_plan(client):
    client.build({"A": 100, "B": 200}, {("S", "A"): 3, ("S", "B"): 3})
    request_id = new_id()
    first = client.plan(order(("S", 2)), request_id=request_id)
    client.receive("S", "A", 100)
    assert client.plan(order(("S", 2)), request_id=request_id) == first
    assert client.level("S", "A").reserved == 2
    for other in ({"ttl": 700}, {"strategy": NEAREST}, {"reference": "x"}):
        assert refusal(client.plan, order(("S", 2)), request_id=request_id, **other).reason == "REQUEST_ID_REUSED"
    assert refusal(client.plan, order(("S", 1)), request_id=request_id).reason == "REQUEST_ID_REUSED"
    assert refusal(client.reserve, ("S", "A", 2), request_id=request_id).reason == "REQUEST_ID_REUSED"
    assert client.level("S", "A").reserved == 2


def test_a_repeat_of_a_shortage_is_the_same_shortage(client):
    client.build({"A": 100}, {("S", "A"): 1})
    client.count("S", "A", 0)
    request_id = new_id()
    first = client.plan(order(("S", 2)), request_id=request_id)
    assert short(client, first.plan) == {"S": (2, "OUT_OF_STOCK")}
    client.receive("S", "A", 5)
    assert client.plan(order(("S", 2)), request_id=request_id) == first
    assert client.level("S", "A").reserved == 0
    assert refusal(client.plan, order(("S", 3)), request_id=request_id).reason == "REQUEST_ID_REUSED"


def test_methods_are_mixed_by_line(client):
    locations = {"W": 500.0, "P": 20.0, "Q": 60.0}
    stock = {("S", "W"): 9, ("T", "P"): 9, ("U", "W"): 9}
    lane = network_pb2.Lane(
        from_location_id=client.name("W"), to_location_id=client.name("Q"), base_micros=MICROS, days=2
    )
    routing_of = {"W": {"methods": [SHIP, SHIP_TO_STORE]}, "Q": {"methods": [PICKUP], "carrier": ""}}
    client.build(locations, stock, routing_of, lanes=[lane])
    what = order(
        ("S", 1),
        ("T", 2, {"method": PICKUP, "store_id": "P"}),
        ("U", 3, {"method": SHIP_TO_STORE, "store_id": "Q"}),
    )
    plan = client.plan(what).plan
    found = {(one.method, one.location_id.removeprefix(client.prefix)): one for one in plan.shipments}
    assert set(found) == {(SHIP, "W"), (PICKUP, "P"), (SHIP_TO_STORE, "W")}
    assert found[PICKUP, "P"].HasField("ready_time")
    assert found[SHIP_TO_STORE, "W"].store_id == client.name("Q")
    assert plan.cost_micros == sum(value for _, value in plan.cost_terms.ListFields())


def test_a_batch_is_planned_in_order(client):
    client.build({"A": 100, "B": 300}, {("S", "A"): 3, ("S", "B"): 3})
    request_id = new_id()
    wanted = [order(("S", 3)), order(("S", 0)), order(("S", 3)), order(("S", 1)), order(("S", 3))]
    requests = [plan_request(client.own(what)) for what in wanted]
    requests[0].request_id = requests[4].request_id = request_id
    call = client.routing.BatchPlanFulfillment
    answer = client.call(call, routing.BatchPlanFulfillmentRequest(requests=requests))
    first, wrong, second, none, again = answer.results
    assert client.bare(shipped(first.planned.plan)) == {("S", "A"): 3}
    assert wrong.refused.reason == "VALIDATION_FAILED"
    assert wrong.refused.message.startswith("requests[1].order.lines[0].quantity: ")
    assert client.bare(shipped(second.planned.plan)) == {("S", "B"): 3}
    assert short(client, none.planned.plan) == {"S": (1, "OUT_OF_STOCK")}
    assert again == first
    many = routing.BatchPlanFulfillmentRequest(requests=requests * 13)
    assert refusal(client.call, call, many).fields == ["requests"]


# ---- capacity --------------------------------------------------------------------------------------------------------


def test_capacity_is_taken_and_given_back(client):
    client.build({"A": 100, "B": 900}, {("S", "A"): 100, ("S", "B"): 100}, {"A": {"units_per_day": 10}})
    first = client.plan(order(("S", 8)))
    assert client.bare(shipped(first.plan)) == {("S", "A"): 8}
    second = client.plan(order(("S", 8)))
    assert ("S", "B") in client.bare(shipped(second.plan))
    client.release(second.reservation_id)
    client.commit(first.reservation_id)
    client.cancel(first.reservation_id, ("S", "A", 5))
    assert planned(client, order(("S", 7))) == {("S", "A"): 7}
    full = client.plan(order(("S", 1)), explain=True)
    assert client.bare(shipped(full.plan)) == {("S", "B"): 1}
    reasons = {one.location_id: reason_name(one.reason) for one in full.plan.candidates}
    assert reasons[client.name("A")] == "CAPACITY_FULL"


# ---- quotes ----------------------------------------------------------------------------------------------------------


def test_a_quote_has_methods_dates_and_costs(client):
    client.build({"A": 50, "B": 900}, {("S", "A"): 2, ("S", "B"): 9})
    answer = client.quote(order(("S", 5)))
    assert answer.currency == "EUR"
    by_method = {(quote.method, quote.store_id): quote for quote in answer.quotes}
    ship = by_method[SHIP, ""]
    assert ship.complete
    assert ship.earliest_date
    assert ship.cost_micros > 0
    pickup = by_method[PICKUP, client.name("A")]
    assert not pickup.complete
    assert [(one.quantity, reason_name(one.reason)) for one in pickup.shortages] == [(3, "INSUFFICIENT")]
    assert pickup.earliest_date == ""
    assert by_method[PICKUP, client.name("B")].complete
    assert client.level("S", "A").reserved == 0


def test_stores_are_quoted_without_an_address(client):
    client.build({"A": 50, "B": 900}, {("S", "A"): 2, ("S", "B"): 9})
    nowhere = plan_pb2.Order(lines=[plan_pb2.OrderLine(sku_id="S", quantity=5)])
    found = {quote.store_id: quote for quote in client.quote(nowhere, methods=[PICKUP]).quotes}
    assert {client.name("A"): False, client.name("B"): True} == {name: one.complete for name, one in found.items()}
    refused = refusal(client.quote, nowhere, methods=[SHIP])
    assert refused.fields == ["order.destination"]


# ---- explanations ----------------------------------------------------------------------------------------------------


def test_an_explanation_is_of_what_was_true_then(client):
    client.build({"A": 100, "B": 300, "C": 400}, {("S", "A"): 2, ("S", "B"): 9, ("T", "B"): 1})
    made = client.plan(order(("S", 5), ("T", 1)), explain=True)
    client.receive("S", "A", 100)
    client.put_network(a_network(currency="USD"), [location_routing(client.name("A"))])
    told = client.explain(reservation_id=made.reservation_id)
    assert told.plan == made.plan == client.explain(plan_id=made.plan.plan_id).plan
    seen = {one.location_id.removeprefix(client.prefix): one for one in told.plan.candidates}
    assert set(seen) == {"A", "B", "C"}
    assert [reason_name(line.reason) for line in seen["C"].lines] == ["NOT_STOCKED", "NOT_STOCKED"]
    assert seen["B"].chosen
    assert seen["B"].margin_micros > 0
    assert any(client.name("A") in sentence for sentence in told.sentences)
    assert told.plan.profile == "standard@1"


def test_a_plan_that_holds_nothing_is_explained(client):
    client.build({"A": 100}, {("S", "A"): 1})
    client.count("S", "A", 0)
    for more in ({}, {"request_id": new_id()}, {"validate_only": True}):
        plan = client.plan(order(("S", 2)), explain=True, **more).plan
        assert [reason_name(line.reason) for one in plan.candidates for line in one.lines] == ["OUT_OF_STOCK"]


def test_what_has_no_plan_is_told(client):
    client.build({"A": 100}, {("S", "A"): 2})
    held = client.reserve(("S", "A", 1)).reservation_id
    assert refusal(client.explain, reservation_id=held).reason == "PLAN_NOT_FOUND"
    assert refusal(client.explain, plan_id="00000000ffffffff").reason == "PLAN_NOT_FOUND"
    assert refusal(client.explain).fields == ["plan_id"]
    assert refusal(client.reject, held, "A").reason == "PLAN_NOT_FOUND"


# ---- rejections ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_committed", [False, True])
def test_a_rejected_part_moves_to_another_location(client, is_committed):
    client.build({"A": 100, "B": 300, "C": 500}, {("S", "A"): 5, ("T", "A"): 5, ("S", "B"): 5, ("S", "C"): 5})
    made = client.plan(order(("S", 3), ("T", 1)), reference="order 7")
    if is_committed:
        client.commit(made.reservation_id)
    answer = client.reject(made.reservation_id, "A", ("S", 2))
    assert client.bare(shipped(answer.plan)) == {("S", "B"): 2}
    assert client.held(made.reservation_id) == {("S", "A"): 1, ("T", "A"): 1, ("S", "B"): 2}
    assert client.level("S", "A").HasField("suspect_time")
    assert not client.level("T", "A").HasField("suspect_time")
    again = client.reject(made.reservation_id, "B")
    assert client.bare(shipped(again.plan)) == {("S", "C"): 2}
    assert client.held(made.reservation_id) == {("S", "A"): 1, ("T", "A"): 1, ("S", "C"): 2}
    # the same order planned anew is not offered to them either
    assert planned(client, order(("S", 1)), reference="order 7") == {("S", "C"): 1}
    assert planned(client, order(("S", 1)), reference="order 8") == {("S", "A"): 1}


def test_a_rejection_that_nobody_can_take_over_is_a_shortage(client):
    client.build({"A": 100}, {("S", "A"): 5})
    made = client.plan(order(("S", 3)))
    answer = client.reject(made.reservation_id, "A")
    assert shipped(answer.plan) == {}
    assert short(client, answer.plan) == {"S": (3, "REJECTED_BEFORE")}
    assert client.held(made.reservation_id) == {}
    assert client.level("S", "A").available == 5


def test_a_repeated_rejection_is_done_once(client):
    client.build({"A": 100, "B": 300}, {("S", "A"): 5, ("S", "B"): 5})
    made = client.plan(order(("S", 3)))
    request_id = new_id()
    first = client.reject(made.reservation_id, "A", ("S", 1), request_id=request_id)
    assert client.reject(made.reservation_id, "A", ("S", 1), request_id=request_id) == first
    assert client.held(made.reservation_id) == {("S", "A"): 2, ("S", "B"): 1}
    error = refusal(client.reject, made.reservation_id, "A", ("S", 2), request_id=request_id)
    assert error.reason == "REQUEST_ID_REUSED"


def test_more_than_is_there_cannot_be_rejected(client):
    client.build({"A": 100, "B": 300}, {("S", "A"): 5, ("S", "B"): 5})
    made = client.plan(order(("S", 3)))
    error = refusal(client.reject, made.reservation_id, "A", ("S", 4))
    assert error.reason == "QUANTITY_EXCEEDS_OPEN"
    assert error.shortages == [(client.name("S"), client.name("A"), 4, 3)]
    assert refusal(client.reject, made.reservation_id, "B").reason == "QUANTITY_EXCEEDS_OPEN"
    client.release(made.reservation_id)
    assert refusal(client.reject, made.reservation_id, "A").reason == "RESERVATION_NOT_ACTIVE"


def test_a_location_rejects_what_was_moved_and_amended_there(client):
    client.build({"A": 100, "B": 300, "C": 500}, {("S", name): 20 for name in "ABC"}, {"B": {"units_per_day": 10}})
    made = client.plan(order(("S", 3)))
    client.transfer(made.reservation_id, "A", "B")
    client.amend(made.reservation_id, ("S", "B", 8))
    full = client.plan(order(("S", 42)), validate_only=True, max_shipments=3)
    assert client.bare(shipped(full.plan))["S", "B"] == 2
    answer = client.reject(made.reservation_id, "B")
    assert client.bare(shipped(answer.plan)) == {("S", "A"): 8}
    assert client.held(made.reservation_id) == {("S", "A"): 8}


def test_a_refused_rejection_stays_refused(client):
    client.build({"A": 100, "B": 300}, {("S", "A"): 5, ("S", "B"): 5})
    made = client.plan(order(("S", 3)))
    request_id = new_id()
    first = refusal(client.reject, made.reservation_id, "B", request_id=request_id)
    client.transfer(made.reservation_id, "A", "B")
    again = refusal(client.reject, made.reservation_id, "B", request_id=request_id)
    assert (again.reason, again.message) == (first.reason, first.message)
    assert client.held(made.reservation_id) == {("S", "B"): 3}


def test_a_count_ends_the_suspicion(client):
    client.build({"A": 100, "B": 300}, {("S", "A"): 5, ("S", "B"): 5})
    made = client.plan(order(("S", 3)))
    client.reject(made.reservation_id, "A")
    assert suspects(client) == [(client.name("S"), client.name("A"))]
    client.count("S", "A", 5, validate_only=True)
    assert suspects(client) == [(client.name("S"), client.name("A"))]
    client.count("S", "A", 5)
    assert suspects(client) == []


def suspects(client: RoutingClient) -> list[tuple[str, str]]:
    request = inventory.ListStockLevelsRequest(sku_id=client.name("S"), suspect_only=True)
    levels = client.call(client.inventory.ListStockLevels, request).stock_levels
    return [(level.sku_id, level.location_id) for level in levels]


def test_a_location_that_is_nowhere_sends_no_parcels(client):
    """0, 0 stand for coordinates that nobody gave."""
    client.put_locations(place(client.name("N"), 0))
    ships = location_routing(client.name("N"))
    told = r"locations\[0\].location_id: expected a location with coordinates in the catalog: 0, 0 stand for none"
    with pytest.raises(Refused, match=told):
        client.put_network(a_network(), [ships])
    client.put_network(a_network(), [location_routing(client.name("N"), methods=[PICKUP])])
    client.put_locations(place(client.name("N"), 10))
    client.put_network(a_network(), [ships])
    with pytest.raises(Refused, match=r"locations\[0\].latitude: expected coordinates other than 0, 0"):
        client.put_locations(place(client.name("N"), 0))


def test_a_profile_is_named_without_version_and_one_is_the_default(client):
    named = [network_pb2.RoutingProfile(name=name, version=2) for name in ("a", "b")]
    client.build({"X": 10}, {("S", "X"): 9}, profiles=named, default_profile="b")
    assert client.plan(order(("S", 1))).plan.profile == "b@2"
    assert client.plan(order(("S", 1)), profile="a").plan.profile == "a@2"
    own = [location_routing(client.name("X"))]
    with pytest.raises(Refused, match=r'network.default_profile: expected one of a, b, was "c".'):
        client.put_network(a_network(profiles=named, default_profile="c"), own)
    odd = [network_pb2.RoutingProfile(name="peak@2026", version=1)]
    with pytest.raises(
        Refused, match=r'network.profiles\[0\].name: expected a name without "@", which stands before a'
    ):
        client.put_network(a_network(profiles=odd), own)


def test_a_network_can_be_checked_against_locations_that_will_be(client):
    network, own = a_network(), [location_routing(client.name("later"))]
    assert refusal(client.put_network, network, own, validate_only=True).reason == "LOCATION_NOT_FOUND"
    later = [place(client.name("later"), 5)]
    client.put_network(network, own, validate_only=True, proposed_locations=later)
    with pytest.raises(Refused, match="proposed_locations: expected none without validate_only, was 1 entries"):
        client.put_network(network, own, proposed_locations=later)
    with pytest.raises(Refused, match=r"locations\[0\].location_id: expected a location with coordinates"):
        client.put_network(network, own, validate_only=True, proposed_locations=[place(client.name("later"), 0)])
    assert refusal(client.put_network, network, own).reason == "LOCATION_NOT_FOUND"


# ---- finding them again ----------------------------------------------------------------------------------------------


def outcome(client: RoutingClient, request_id: str) -> requests.GetRequestOutcomeResponse:
    return client.call(client.requests.GetRequestOutcome, requests.GetRequestOutcomeRequest(request_id=request_id))


def test_the_hold_of_a_plan_says_for_what_by_whom_and_how(client):
    client.build({"A": 100, "B": 200}, {("S", "A"): 3, ("S", "B"): 9}, {"A": {"methods": [SHIP, PICKUP]}})
    store, number = {"method": PICKUP, "store_id": "A"}, new_id()
    made = client.plan(order(("S", 2, store), ("S", 2)), reference=number, actor="oms")
    found = client.get(made.reservation_id)
    assert (found.reference, found.actor, sorted(found.methods)) == (number, "oms", ["PICKUP", "SHIP"])
    request = reservations.ListReservationsRequest(reference=number, location_id=client.name("A"))
    assert client.call(client.reservations.ListReservations, request).reservations == [found]
    client.commit(made.reservation_id)
    client.reject(made.reservation_id, "A")
    after = client.get(made.reservation_id)
    assert (after.reference, sorted(after.methods)) == (number, ["PICKUP", "SHIP"]), "of the whole order"
    assert list(client.get(client.plan(order(("S", 1))).reservation_id).methods) == ["SHIP"]


def test_what_became_of_a_plan(client):
    client.build({"A": 100, "B": 200}, {("S", "A"): 3, ("S", "B"): 3})
    ids = [new_id() for _ in range(4)]
    made = client.plan(order(("S", 2)), request_id=ids[0])
    found = outcome(client, ids[0])
    assert (found.state, found.operation) == (requests.REQUEST_STATE_DONE, requests.REQUEST_OPERATION_PLAN)
    told = found.reservation_id, found.plan_id, found.expire_time, found.write_seq
    assert told == (made.reservation_id, made.plan.plan_id, made.expire_time, made.seq)
    rejected = client.reject(made.reservation_id, "A", request_id=ids[1])
    found = outcome(client, ids[1])
    assert (found.state, found.operation) == (requests.REQUEST_STATE_DONE, requests.REQUEST_OPERATION_REJECT)
    assert (found.reservation_id, found.plan_id) == (made.reservation_id, rejected.plan.plan_id)
    empty = client.plan(order(("S", 9)), request_id=ids[2], profile="")
    found = outcome(client, ids[2])
    assert (found.state, found.operation) == (requests.REQUEST_STATE_DONE, requests.REQUEST_OPERATION_PLAN)
    assert (found.reservation_id, found.plan_id) == (empty.reservation_id, empty.plan.plan_id)
    error = refusal(client.plan, order(("nobody", 1)), request_id=ids[3])
    found = outcome(client, ids[3])
    assert (found.state, found.operation) == (requests.REQUEST_STATE_REFUSED, requests.REQUEST_OPERATION_UNSPECIFIED)
    assert (found.refusal.reason, found.refusal.message) == (error.reason, error.message)
