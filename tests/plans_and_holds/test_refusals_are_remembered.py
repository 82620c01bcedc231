"""Plans follow their holds: refusals are remembered, only validating, explanations that are too large."""

import uuid
from typing import Any

import pytest
from onhand.inventory.v1 import catalog_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.routing.v1 import network_pb2, plan_pb2
from onhand.routing.v1 import network_service_pb2 as networks
from onhand.routing.v1 import routing_service_pb2 as routing
from routing_harness import DELIVERY, SHIP, a_network, location_routing, order, place, plan_request, shipped
from test_plan_columns import ask, columns_of
from test_routing_state import Side

from engine.api.routing import rejections
from ledger.parts.load import DAY_US
from plans_and_holds.harness import a_request_id, held, locations, move, network, refused, reject, told, version


def test_a_rejection_that_was_refused_stays_refused(side):
    made = side.ask(plan_request(order(("S", 2))))
    request = reject(made.reservation_id, "B", a_request_id())
    first = refused(side, request)
    assert first.reason == "QUANTITY_EXCEEDS_OPEN"
    side.ask(move(made.reservation_id, "A", "B"))
    assert told(refused(side, request)) == told(first)
    assert held(side, made.reservation_id) == {("S", "B"): 2}
    request.lines.add(sku_id="S", quantity=1)
    assert refused(side, request).reason == "REQUEST_ID_REUSED"
    assert shipped(side.ask(reject(made.reservation_id, "B")).plan) == {("S", "A"): 2}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"location_id": "NEW"}, "LOCATION_NOT_FOUND"),
        ({"lines": [{"sku_id": "NEW", "quantity": 1}]}, "SKU_NOT_FOUND"),
        ({"reservation_id": "00000001000000ff"}, "RESERVATION_NOT_FOUND"),
    ],
)
def test_lookups_of_a_rejection_are_remembered(side, change, reason):
    made = side.ask(plan_request(order(("S", 2))))
    request = reject(made.reservation_id, "A", a_request_id())
    for name, value in change.items():
        if name == "lines":
            request.lines.extend([routing.RejectedLine(**line) for line in value])
        else:
            setattr(request, name, value)
    first = refused(side, request)
    assert first.reason == reason
    side.ask(catalog.UpsertLocationsRequest(locations=[place("NEW", 10)]))
    side.ask(catalog.UpsertSkusRequest(skus=[catalog_pb2.Sku(sku_id="NEW", base_unit="each")]))
    assert told(refused(side, request)) == told(first)


def test_a_used_id_on_a_reservation_without_a_plan(side):
    plain = reservations.ReserveStockRequest(lines=[{"sku_id": "S", "location_id": "A", "quantity": 3}])
    plain.ttl.FromSeconds(60)
    plain.request_id = a_request_id(5)
    made = side.ask(plain)
    assert refused(side, reject(made.reservation_id, "A", a_request_id(5))).reason == "REQUEST_ID_REUSED"
    request = reject(made.reservation_id, "A", a_request_id(6))
    first = refused(side, request)
    assert first.reason == "PLAN_NOT_FOUND"
    assert told(refused(side, request)) == told(first)
    planned = side.ask(plan_request(order(("S", 2)), request_id=a_request_id(7)))
    assert refused(side, reject(made.reservation_id, "A", a_request_id(7))).reason == "REQUEST_ID_REUSED"
    done = side.ask(reject(planned.reservation_id, "A", a_request_id(8)))
    assert side.ask(reject(planned.reservation_id, "A", a_request_id(8))) == done
    assert refused(side, reject(made.reservation_id, "A", a_request_id(8))).reason == "REQUEST_ID_REUSED"


def unknown_sku(side: Side) -> None:
    side.ask(catalog.UpsertSkusRequest(skus=[catalog_pb2.Sku(sku_id="NEW", base_unit="each")]))
    side.ask(inventory.SetOnHandRequest(counts=[{"sku_id": "NEW", "location_id": "A", "on_hand": 9}]))


def near_delivery(side: Side) -> None:
    side.ask(catalog.UpsertLocationsRequest(locations=[place("A", 50)]))
    locations(side, A={"methods": [SHIP, DELIVERY]})


REFUSED_ORDERS = {
    "sku": (order(("S", 1), ("NEW", 1)), {}, "SKU_NOT_FOUND", unknown_sku),
    "profile": (
        order(("S", 1)),
        {"profile": "new"},
        "VALIDATION_FAILED",
        lambda side: network(side, profiles=[version("new", 1)]),
    ),
    "place": (
        order(("S", 1), destination=plan_pb2.Destination(place="9")),
        {},
        "VALIDATION_FAILED",
        lambda side: network(side, places=[network_pb2.Place(name="9")]),
    ),
    "hopeless": (
        order(("S", 1, {"method": DELIVERY})),
        {},
        "VALIDATION_FAILED",
        near_delivery,
    ),
}


# Columns have no places, and a wrong profile is that of their whole call, which has no request id.
WAYS = [(case, way) for case in REFUSED_ORDERS for way in ("one", "batch")] + [
    ("sku", "columns"),
    ("hopeless", "columns"),
]


@pytest.mark.parametrize(("case", "way"), WAYS)
def test_a_plan_that_was_refused_stays_refused(side, case, way):
    what, more, reason, repair = REFUSED_ORDERS[case]
    request = plan_request(what, request_id=a_request_id(), **more)

    def answer() -> Any:
        if way == "one":
            error = refused(side, request)
            return error.reason, error.message
        if way == "batch":
            found = side.ask(routing.BatchPlanFulfillmentRequest(requests=[request])).results[0].refused
            return found.reason, found.message
        found = ask(side, columns_of([request]))
        return found.refused_reasons[0], found.refused_messages[0]

    first = answer()
    assert first[0] == reason
    repair(side)
    assert answer() == first
    again = plan_request(what, request_id=a_request_id(2), **more)
    assert shipped(side.ask(again).plan)
    request.order.lines[0].quantity += 1
    assert answer()[0] == "REQUEST_ID_REUSED"


def test_wrong_arguments_are_not_remembered(side):
    wrong = plan_request(order(("S", 0)), request_id=a_request_id())
    before = side.book.seq
    assert refused(side, wrong).reason == "VALIDATION_FAILED"
    assert side.book.seq == before
    wrong.order.lines[0].quantity = 1
    assert shipped(side.ask(wrong).plan)
    network_request = networks.UpsertNetworkRequest(network=a_network(currency=""), request_id=a_request_id(3))
    assert refused(side, network_request).reason == "VALIDATION_FAILED"
    network_request.network.currency = "USD"
    assert side.ask(network_request).version


def test_a_plan_before_there_is_a_network_stays_refused():
    side = Side()
    side.ask(catalog.UpsertSkusRequest(skus=[catalog_pb2.Sku(sku_id="S", base_unit="each")]))
    request = plan_request(order(("S", 1)), request_id=a_request_id())
    assert refused(side, request).reason == "NETWORK_NOT_FOUND"
    rows = networks.UpsertLocationRoutingRequest(locations=[location_routing("A")], request_id=a_request_id(2))
    assert refused(side, rows).reason == "NETWORK_NOT_FOUND"
    side.build({"A": 100}, {("S", "A"): 5})
    assert refused(side, request).reason == "NETWORK_NOT_FOUND"
    assert refused(side, rows).reason == "NETWORK_NOT_FOUND"


def test_writes_of_the_network_that_were_refused_stay_refused(side):
    rows = networks.UpsertLocationRoutingRequest(locations=[location_routing("NEW")], request_id=a_request_id())
    whole = networks.UpsertNetworkRequest(
        network=a_network(), locations=[location_routing("NEW")], request_id=a_request_id(2)
    )
    old = networks.UpsertNetworkRequest(network=a_network(), expected_version=99, request_id=a_request_id(3))
    first = [told(refused(side, request)) for request in (rows, whole, old)]
    assert [one[0] for one in first] == ["LOCATION_NOT_FOUND", "LOCATION_NOT_FOUND", "VERSION_MISMATCH"]
    side.ask(catalog.UpsertLocationsRequest(locations=[place("NEW", 10)]))
    assert [told(refused(side, request)) for request in (rows, whole, old)] == first
    done = networks.UpsertNetworkRequest(network=a_network(currency="USD"), request_id=a_request_id(4))
    answer = side.ask(done)
    network(side, carriers=a_network().carriers, profiles=[version("x", 1)])
    assert side.ask(done) == answer


def test_a_plan_only_checks_what_the_call_checks(side):
    request = plan_request(order(("S", 2)), request_id=a_request_id())
    made = side.ask(request)
    request.validate_only = True
    assert side.ask(request) == made
    request.order.lines[0].quantity = 3
    assert refused(side, request).reason == "REQUEST_ID_REUSED"
    for field, value in (("request_id", "x"), ("reference", "r" * 65), ("max_shipments", 9)):
        wrong = plan_request(order(("S", 2)), validate_only=True, **{field: value})
        assert refused(side, wrong).metadata["field"] == field
    assert refused(side, plan_request(order(("S", 2)), ttl=20_000, validate_only=True)).metadata["field"] == "ttl"
    bare = routing.PlanFulfillmentRequest(order=order(("S", 2)), validate_only=True)
    assert shipped(side.ask(bare).plan) == {("S", "A"): 2}
    old = str(uuid.UUID(int=((side.now_us - 2 * DAY_US) // 1000 << 80) | (7 << 76) | (2 << 62)))
    assert (
        refused(side, plan_request(order(("S", 2)), request_id=old, validate_only=True)).reason == "REQUEST_ID_TOO_OLD"
    )


def test_a_network_only_validated_checks_what_the_call_checks(side):
    request = networks.UpsertNetworkRequest(network=a_network(currency="USD"), expected_version=99, validate_only=True)
    assert refused(side, request).reason == "VERSION_MISMATCH"
    request.expected_version, request.request_id, request.validate_only = 0, a_request_id(), False
    made = side.ask(request)
    request.validate_only = True
    before = side.book.seq
    assert side.ask(request) == made
    request.network.currency = "EUR"
    assert refused(side, request).reason == "REQUEST_ID_REUSED"
    rows = networks.UpsertLocationRoutingRequest(
        locations=[location_routing("A", priority=4)], expected_version=99, validate_only=True
    )
    assert refused(side, rows).reason == "VERSION_MISMATCH"
    assert side.book.seq == before


def test_an_explanation_that_is_too_large_says_so():
    side = Side()
    skus = [f"S{number}" for number in range(60)]
    places = {f"L{number}": 100.0 + number for number in range(1_500)}
    side.build(places, {(sku, name): 9 for sku in skus for name in list(places)[:20]})
    made = side.ask(plan_request(order(*((sku, 1) for sku in skus)), explain=True))
    assert made.plan.unexplained
    assert not made.plan.candidates
    told = side.ask(routing.ExplainPlanRequest(plan_id=made.plan.plan_id))
    assert told.plan.unexplained
    assert any("too large" in sentence for sentence in told.sentences)
    assert not side.ask(plan_request(order(("S0", 1)))).plan.unexplained


def test_a_rejection_that_is_too_wide_by_now_is_done_in_parts(side, monkeypatch):
    """The network may have grown since the order was planned."""
    made = side.ask(plan_request(order(("S", 1), ("T", 1))))
    monkeypatch.setattr(rejections, "CELLS_PER_ORDER_MAX", 3)
    request = reject(made.reservation_id, "A", a_request_id())
    refusal = refused(side, request)
    assert (refusal.reason, refusal.message) == (
        "TOO_MANY_LINES",
        "lines: expected units of at most 1 lines of the order at once, was 2: reject some of the skus or units first.",
    )
    monkeypatch.undo()
    assert told(refused(side, request)) == told(refusal)
    monkeypatch.setattr(rejections, "CELLS_PER_ORDER_MAX", 3)
    for sku in ("S", "T"):
        side.ask(reject(made.reservation_id, "A", **{sku: 1}))
    assert not any(at == "A" for _, at in held(side, made.reservation_id))
