"""Calls that take several groups: what one group found is not taken for what another one finds."""

from typing import Any

import pytest
from harness import new_id
from onhand.inventory.v1 import catalog_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.routing.v1 import bulk_service_pb2, network_pb2
from onhand.routing.v1 import network_service_pb2 as networks
from onhand.routing.v1 import routing_service_pb2 as routing
from routing_harness import PICKUP, a_network, location_routing, order, place, plan_request, shipped
from test_beside_the_writer import Writer
from test_plan_columns import columns_of

from engine.api import desk
from engine.api.routing import plan_columns
from engine.errors import RefusedError
from ledger.core.limits import MICROSECONDS

LITHIUM = catalog_pb2.Sku(sku_id="LIPO", base_unit="each", restrictions=["lithium"])
"""Which no location may send."""
HOUR_US = 3_600 * MICROSECONDS


@pytest.fixture
def writer() -> Writer:
    made = Writer()
    made.build({"A": 100, "B": 300}, {("S", "A"): 500, ("S", "B"): 500, ("T", "B"): 500})
    made.ask(catalog.UpsertSkusRequest(skus=[LITHIUM]))
    return made


@pytest.fixture
def in_small_groups(monkeypatch) -> None:
    """Let a group plan one order."""
    for module in (desk, plan_columns):
        monkeypatch.setattr(module, "WORK_PER_GROUP_MAX", 1)


def reasons_of(response: bulk_service_pb2.PlanOrdersResponse) -> dict[int, str]:
    orders = list(response.refused_orders) or [0] * len(response.refused_reasons)  # a column of zeros may be left out
    return dict(zip(orders, response.refused_reasons, strict=True))


def asked(*skus: str, **more: Any) -> list[routing.PlanFulfillmentRequest]:
    """An order for each sku, with a request id."""
    return [plan_request(order((sku, 1)), request_id=new_id(), **more) for sku in skus]


# ---- columns ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("in_small_groups")
def test_a_refusal_behind_orders_of_other_groups_is_remembered_at_the_time_of_its_own(writer):
    call = columns_of(asked("S", "nothing", "S"))
    first = writer.ask(call)
    assert reasons_of(first) == {1: "SKU_NOT_FOUND"}
    again = writer.ask(call)
    assert (reasons_of(again), list(again.plan_ids)) == (reasons_of(first), list(first.plan_ids))


@pytest.mark.usefixtures("in_small_groups")
def test_columns_are_checked_whole_before_any_of_their_orders_is_planned(writer):
    days = [{"promise_date": f"2027-01-{10 + day}"} for day in range(9)]
    several = plan_request(order(*(("S", 1, day) for day in days)), request_id=new_id())
    seq = writer.book.seq
    (refusal,) = writer.group(columns_of([*asked("S", "S"), several]))
    assert (refusal.reason, refusal.metadata["field"]) == ("VALIDATION_FAILED", "line_counts[2]")
    assert writer.book.seq == seq


def test_a_refusal_behind_one_that_is_worked_out_beside_the_writer(writer):
    response = writer.ask(columns_of(asked("LIPO", "nothing", "S")))
    assert reasons_of(response) == {0: "VALIDATION_FAILED", 1: "SKU_NOT_FOUND"}
    assert writer.book.verify() == []


@pytest.mark.parametrize("as_columns", [False, True])
def test_an_order_that_may_be_served_by_now_is_to_be_repeated(writer, as_columns):
    """While it is found out why nobody may serve the first order, anybody may: that spoils neither it nor others."""
    orders = asked("LIPO", "S")
    call = columns_of(orders) if as_columns else routing.BatchPlanFulfillmentRequest(requests=orders)
    (number,) = writer.begin(call)
    writer.begin(catalog.UpsertSkusRequest(skus=[catalog_pb2.Sku(sku_id="LIPO", base_unit="each")]))
    while writer.is_working:
        writer.background.do()
        writer.begin()
    answer = writer.answer(number, call)
    if as_columns:
        assert reasons_of(answer) == {0: "OVERLOADED"}
    else:
        assert [one.WhichOneof("outcome") for one in answer.results] == ["refused", "planned"]
        assert answer.results[0].refused.reason == "OVERLOADED"


def test_repeats_that_take_several_groups_name_the_locations_of_their_plans(writer, monkeypatch):
    """Between two of the groups the network loses a location: a repeat is told where its units are all the same."""
    monkeypatch.setattr(plan_columns, "ANSWERED_PER_GROUP_MAX", 1)
    call = columns_of(asked("S", "T", "S"))
    first = writer.ask(call)
    (number,) = writer.begin(call)
    rows = [location_routing("B")]
    writer.begin(networks.UpsertNetworkRequest(network=a_network(), locations=rows, replace_locations=True))
    while writer.is_working:
        writer.background.do()
        writer.begin()
    again = writer.answer(number, call)

    def told(response: Any) -> list[str]:
        indexes = list(response.location_indexes) or [0] * len(response.shipment_line_counts)
        return [response.location_ids[index] for index in indexes]

    assert told(again) == told(first) == ["A", "B", "A"]


def test_many_answers_of_one_call_are_given_over_several_groups(writer, monkeypatch):
    monkeypatch.setattr(plan_columns, "ANSWERED_PER_GROUP_MAX", 4)
    for skus in (["nothing"] * 10, ["S"] * 10):
        call = columns_of(asked(*skus))
        writer.ask(call)
        (number,) = writer.begin(call)
        groups = 1
        while number not in writer.replies:
            writer.begin()
            groups += 1
        assert groups == 3


# ---- calls of orders -------------------------------------------------------------------------------------------------


def test_a_pickup_is_ready_by_the_time_at_which_it_is_planned(writer):
    """An order that was refused alone in its group leaves nothing behind that a later one is told."""
    own = location_routing("A", pickup_minutes=60, opens="00:00", closes="24:00")
    writer.ask(networks.UpsertLocationRoutingRequest(locations=[own]))
    pickup = {"method": PICKUP, "store_id": "A"}
    wrong = plan_request(order(("S", 1, pickup), ("nothing", 1, pickup)))
    assert isinstance(writer.group(wrong)[0], RefusedError)
    writer.now_us += 5 * HOUR_US
    plan = writer.ask(plan_request(order(("S", 1, pickup)))).plan
    assert plan.shipments[0].ready_time.ToMicroseconds() >= writer.now_us + HOUR_US - 60 * MICROSECONDS


@pytest.mark.usefixtures("in_small_groups")
def test_an_explained_plan_is_explained_over_the_network_that_it_was_made_over(writer):
    """Its profile is gone, and there is another location, when the last order of its call is planned."""
    profiles = [network_pb2.RoutingProfile(name="old", version=1)]
    writer.ask(networks.UpsertNetworkRequest(network=a_network(profiles=profiles)))
    writer.ask(catalog.UpsertLocationsRequest(locations=[place("C", 500)]))
    orders = [plan_request(order(("S", 1)), explain=True, profile=name) for name in ["old", *[""] * 8]]
    call = routing.BatchPlanFulfillmentRequest(requests=orders)
    (number,) = writer.begin(call)
    writer.begin(networks.UpsertNetworkRequest(network=a_network(), locations=[location_routing("C")]))
    while writer.is_working:
        writer.background.do()
        writer.begin()
    first, *_, last = writer.answer(number, call).results
    assert len(last.planned.plan.candidates) == 3
    assert first.WhichOneof("outcome") == "planned"
    assert shipped(first.planned.plan) == {("S", "A"): 1}
    assert [one.location_id for one in first.planned.plan.candidates] == ["A", "B"]


def test_plans_that_are_held_are_told_however_many_calls_are_being_answered(writer, monkeypatch):
    """OVERLOADED would say that nothing was done, and who repeats without a request id would hold twice."""
    monkeypatch.setattr(desk, "WORKING_MAX", 0)
    batch = routing.BatchPlanFulfillmentRequest(requests=[plan_request(order(("S", 1)))])
    told, explained, quote = writer.group(
        batch, plan_request(order(("S", 1)), explain=True), routing.QuoteFulfillmentRequest(order=order(("S", 1)))
    )
    held = told.results[0].planned.reservation_id, explained.reservation_id
    found = [writer.ask(reservations.GetReservationRequest(reservation_id=name)).reservation for name in held]
    assert [one.lines[0].open_quantity for one in found] == [1, 1]
    assert quote.reason == "OVERLOADED"


def test_plans_that_are_held_and_not_answered_yet_are_not_told_that_nothing_was_done(writer):
    batch = routing.BatchPlanFulfillmentRequest(requests=[plan_request(order(("S", 1)), explain=True)])
    only = plan_request(order(("S", 1)), explain=True, validate_only=True)
    numbers = writer.begin(batch, plan_request(order(("S", 1)), explain=True), only)
    gone = writer.abandon(RefusedError("NOT_PRIMARY", "Over."))
    told = {reply.call.call_id: reply.response.reason for reply in gone}
    assert [told[number] for number in numbers] == ["JOURNAL_UNAVAILABLE", "JOURNAL_UNAVAILABLE", "NOT_PRIMARY"]


def test_orders_that_are_refused_leave_room_for_others_in_their_group(writer, monkeypatch):
    monkeypatch.setattr(desk, "ANSWERED_PER_GROUP_MAX", 4)
    call = routing.BatchPlanFulfillmentRequest(requests=asked(*["nothing"] * 10))
    (number,) = writer.begin(call)
    groups = 1
    while number not in writer.replies:
        writer.begin()
        groups += 1
    assert groups == 3
