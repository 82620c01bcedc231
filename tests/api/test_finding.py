"""Finding things: reservations by reference and state, movements by reference, and what became of a write by its id."""

from typing import Any

import grpc
import pytest
from harness import REQUESTS, RESPONSES, Client, Refused, Stage, new_id
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import request_service_pb2 as requests
from onhand.inventory.v1 import reservation_service_pb2 as reservations

from api.harness import WINDOW_SECONDS, State, refusal, uuid7

WRITES = tuple(name for name, request in REQUESTS.items() if "request_id" in request.DESCRIPTOR.fields_by_name)
OPERATIONS = {
    "ReserveStock": "RESERVE",
    "CommitReservation": "COMMIT",
    "ReleaseReservation": "RELEASE",
    "ExtendReservation": "EXTEND",
    "AmendReservation": "AMEND",
    "TransferReservation": "TRANSFER",
    "FulfillCommitment": "FULFILL",
    "CancelCommitment": "CANCEL",
    "RecordMovements": "RECORD_MOVEMENTS",
    "SetOnHand": "SET_ON_HAND",
    "SetStockPolicy": "SET_STOCK_POLICY",
}


def listed(client: Client, page_size: int = 0, **wanted: Any) -> list[str]:
    """The reservations of a list, over all its pages."""
    found: list[str] = []
    token = ""
    while True:
        request = reservations.ListReservationsRequest(page_size=page_size, page_token=token, **wanted)
        response = client.call(client.reservations.ListReservations, request)
        assert not page_size or len(response.reservations) <= page_size
        found += [each.reservation_id for each in response.reservations]
        token = response.next_page_token
        if not token:
            return found


def outcome(client: Client, request_id: str) -> requests.GetRequestOutcomeResponse:
    request = requests.GetRequestOutcomeRequest(request_id=request_id)
    return client.call(client.requests.GetRequestOutcome, request)


def state_of(found: requests.GetRequestOutcomeResponse) -> str:
    return requests.RequestState.Name(found.state).removeprefix("REQUEST_STATE_")


def operation_of(found: requests.GetRequestOutcomeResponse) -> str:
    return requests.RequestOperation.Name(found.operation).removeprefix("REQUEST_OPERATION_")


def test_what_became_of_a_cart_that_changed(stage):
    """Both are ReserveStock to callers: the operation that is told is one, and without its cart it is another call."""
    client, request_id = stage.client, new_id()
    name = stage.held()
    made = client.reserve(("A", "X", 7), reservation_id=name, request_id=request_id)
    assert client.reserve(("A", "X", 7), reservation_id=name, request_id=request_id) == made
    assert refusal(client.reserve, ("A", "X", 7), request_id=request_id).reason == "REQUEST_ID_REUSED"
    found = outcome(client, request_id)
    assert (state_of(found), operation_of(found)) == ("DONE", "RESERVE")
    assert (found.version, found.expire_time, found.write_seq) == (2, made.expire_time, made.seq)


# ---- by reference ----------------------------------------------------------------------------------------------------


def test_a_reservation_says_for_what_and_by_whom_it_was_made(stage: Stage):
    client, cart, order = stage.client, new_id(), new_id()
    made = client.reserve(("A", "X", 2), reference=cart, actor="shop").reservation_id
    client.commit(made, reference=order, actor="oms")
    client.fulfill(made, ("A", "X", 1), reference="parcel", actor="packer")
    found = client.get(made)
    assert (found.reference, found.actor, found.commit_reference) == (cart, "shop", order)
    assert list(found.methods) == [], "no plan made it"
    assert listed(client, reference=cart) == listed(client, reference=order) == [made]
    assert listed(client, reference="parcel") == [], "what came later is in the history"
    assert listed(client, reference=cart[:-1]) == []


def test_what_says_nothing_has_no_reference(stage: Stage):
    client = stage.client
    found = client.get(client.reserve(("A", "X", 1)).reservation_id)
    assert (found.reference, found.actor, found.commit_reference) == ("", "", "")
    committed = client.reserve(("A", "X", 1)).reservation_id
    order = new_id()
    client.commit(committed, reference=order)
    assert client.get(committed).commit_reference == order
    assert listed(client, reference=order) == [committed]


def test_one_reference_twice_is_told_once(stage: Stage):
    client, order = stage.client, new_id()
    made = client.reserve(("A", "X", 1), reference=order).reservation_id
    client.commit(made, reference=order)
    assert (client.get(made).reference, client.get(made).commit_reference) == (order, "")
    assert listed(client, reference=order) == [made]


def test_a_reference_goes_with_all_other_filters_and_pages(stage: Stage):
    client, order = stage.client, new_id()
    lines = [("A", "X", 1), ("B", "X", 1), ("A", "Y", 1)] * 3
    made = [client.reserve(line, reference=order).reservation_id for line in lines]
    client.reserve(("A", "X", 1), reference=new_id())
    client.commit(made[0])
    client.release(made[4])
    assert listed(client, reference=order) == listed(client, 2, reference=order) == made
    assert listed(client, 1, reference=order, sku_id=client.name("B")) == made[1::3]
    assert listed(client, 2, reference=order, location_id=client.name("Y")) == made[2::3]
    assert listed(client, reference=order, state=State.RESERVATION_STATE_COMMITTED) == [made[0]]
    assert listed(client, reference=order, state=State.RESERVATION_STATE_RELEASED, sku_id=client.name("B")) == [made[4]]
    assert listed(client, reference=order, state=State.RESERVATION_STATE_RELEASED, sku_id=client.name("A")) == []


def test_a_reference_that_is_too_long_is_refused(stage: Stage):
    request = reservations.ListReservationsRequest(reference="é" * 33)
    error = refusal(stage.client.call, stage.client.reservations.ListReservations, request)
    assert (error.code, error.metadata) == (grpc.StatusCode.INVALID_ARGUMENT, {"field": "reference"})


def test_batches_say_it_too(stage: Stage):
    client, order = stage.client, new_id()
    batch = reservations.BatchReserveStockRequest(
        requests=[client.reserve_request(("A", "X", 1), reference=order, actor="batch") for _ in range(2)]
    )
    response = client.call(client.reservations.BatchReserveStock, batch)
    assert listed(client, reference=order) == [each.reserved.reservation_id for each in response.results]


def test_movements_of_a_reference(stage: Stage):
    client, receipt = stage.client, new_id()
    sold = client.move("SALE", "A", "X", 2, reference=receipt)
    client.move("SALE", "A", "X", 1, reference=new_id())
    made = client.reserve(("B", "X", 1), reference=receipt)
    found = client.movements(reference=receipt, start_seq=sold.seq)
    assert [(each.seq, each.quantity) for each in found] == [(sold.seq, 2), (made.seq, 1)]
    assert [each.seq for each in client.movements(reference=receipt, sku_id=client.name("A"))] == [sold.seq]
    request = inventory.ListMovementsRequest(reference="x" * 65)
    error = refusal(client.call, client.inventory.ListMovements, request)
    assert error.metadata == {"field": "reference"}


# ---- by state --------------------------------------------------------------------------------------------------------


def test_what_is_settled_is_told_apart(stage: Stage):
    client, order = stage.client, new_id()
    made = {
        name: client.reserve(("A", "X", 3), reference=order).reservation_id
        for name in ("open", "begun", "shipped", "mixed", "cancelled", "amended", "released")
    }
    for name, reservation_id in made.items():
        if name != "released":
            client.commit(reservation_id)
    answers = {
        "begun": client.fulfill(made["begun"], ("A", "X", 1)),
        "shipped": client.fulfill(made["shipped"], request_id=(again := new_id())),
        "cancelled": client.cancel(made["cancelled"]),
        "amended": client.amend(made["amended"], ("A", "X", 0)),
        "released": client.release(made["released"]),
    }
    client.fulfill(made["mixed"], ("A", "X", 1))
    answers["mixed"] = client.cancel(made["mixed"])
    assert client.fulfill(made["shipped"], request_id=again) == answers["shipped"]
    expected = {
        "open": State.RESERVATION_STATE_COMMITTED,
        "begun": State.RESERVATION_STATE_COMMITTED,
        "shipped": State.RESERVATION_STATE_FULFILLED,
        "mixed": State.RESERVATION_STATE_FULFILLED,
        "cancelled": State.RESERVATION_STATE_CANCELLED,
        "amended": State.RESERVATION_STATE_CANCELLED,
        "released": State.RESERVATION_STATE_RELEASED,
    }
    assert {name: client.get(made[name]).state for name in made} == expected
    assert {name: answer.state for name, answer in answers.items()} == {name: expected[name] for name in answers}
    for state in set(expected.values()):
        names = [made[name] for name, shown in expected.items() if shown == state]
        assert listed(client, 1, reference=order, state=state) == names
        with_lines = [reservation_id for reservation_id in names if client.get(reservation_id).lines]
        assert listed(client, sku_id=client.name("A"), state=state) == with_lines
    ended = client.commit(made["shipped"])
    assert (ended.state, ended.version) == (State.RESERVATION_STATE_FULFILLED, answers["shipped"].version)
    assert client.get(made["shipped"]).HasField("end_time")


# ---- by request id ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rpc", WRITES)
def test_what_became_of_a_write(stage: Stage, rpc: str):
    client, request_id = stage.client, new_id()
    assert state_of(outcome(client, request_id)) == "NOT_SEEN"
    answer = RESPONSES[rpc].FromString(client.raw(rpc, stage.request(rpc, request_id).SerializeToString()))
    found = outcome(client, request_id)
    assert state_of(found) == "DONE"
    of_transfer = ("Transfer" in rpc and rpc != "TransferReservation") or rpc == "RecordFoundUnits"
    of_work = rpc.endswith("FulfillmentOrder")
    of_document = "CHANGE_FULFILLMENT_ORDER" if of_work else "CHANGE_TRANSFER" if of_transfer else ""
    assert operation_of(found) == OPERATIONS.get(rpc, of_document or "CHANGE_CATALOG")
    assert found.seq >= found.write_seq > 0
    if hasattr(answer, "seq"):
        assert found.write_seq == answer.seq
    if rpc == "ReserveStock":
        assert (found.reservation_id, found.expire_time) == (answer.reservation_id, answer.expire_time)
        assert found.write_time == client.get(answer.reservation_id).create_time
    if rpc == "ExtendReservation":
        assert (found.expire_time, found.version) == (answer.expire_time, answer.version)
    if rpc == "CreateTransfer":
        assert (found.transfer_id, found.version) == (answer.transfer_id, 1)
    if rpc == "CreateFulfillmentOrder":
        assert (found.fulfillment_order_id, found.version) == (answer.fulfillment_order_id, 1)
    if hasattr(answer, "state") and not of_document:
        assert (found.reservation_state, found.version) == (answer.state, answer.version)
    assert found.HasField("write_time") == (rpc != "ExtendReservation" and operation_of(found) != "CHANGE_CATALOG")
    assert not found.HasField("refusal")


def test_what_was_refused_is_told_with_its_lines(stage: Stage):
    client, request_id = stage.client, new_id()
    error = refusal(client.reserve, ("A", "X", 1), ("B", "X", 101), request_id=request_id)
    found = outcome(client, request_id)
    assert (state_of(found), operation_of(found), found.refusal.reason) == ("REFUSED", "RESERVE", error.reason)
    assert found.refusal.code == error.code.value[0]
    told = [(each.sku_id, each.location_id, each.requested, each.available) for each in found.refusal.shortages]
    assert told == error.shortages == [(client.name("B"), client.name("X"), 101, 100)]
    assert [each.line for each in found.refusal.shortages] == [1]
    assert not found.reservation_id
    with pytest.raises(Refused):
        client.reserve(("A", "X", 1), ("B", "X", 101), request_id=request_id)
    assert outcome(client, request_id).write_seq == found.write_seq, "a repeat is not another write"


def test_a_part_that_could_be_had(stage: Stage):
    client, request_id = stage.client, new_id()
    made = client.reserve(("A", "X", 120), request_id=request_id, allow_partial=True)
    found = outcome(client, request_id)
    assert (state_of(found), found.reservation_id) == ("DONE", made.reservation_id)
    assert list(found.shortages) == list(made.shortages)


def test_a_fact_that_took_what_was_promised(stage: Stage):
    client, request_id = stage.client, new_id()
    client.reserve(("A", "X", 100))
    client.move("SALE", "A", "X", 1, request_id=request_id)
    found = outcome(client, request_id)
    assert (state_of(found), found.applied_oversold, list(found.shortages)) == ("DONE", True, [])


def test_ids_that_are_too_old_or_none(stage: Stage):
    client = stage.client
    assert state_of(outcome(client, uuid7(WINDOW_SECONDS + 60))) == "TOO_OLD"
    assert state_of(outcome(client, uuid7(WINDOW_SECONDS - 60))) == "NOT_SEEN"
    for wrong in ("", "nobody", "00000000-0000-0000-0000-000000000000"):
        error = refusal(outcome, client, wrong)
        assert (error.code, error.metadata) == (grpc.StatusCode.INVALID_ARGUMENT, {"field": "request_id"})


def test_ids_are_remembered_over_a_weekend(stage: Stage):
    assert stage.client.status().request_window_seconds == WINDOW_SECONDS >= 63 * 3600, (
        "from Friday at 18 to Monday at 9"
    )
