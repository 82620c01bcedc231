"""What the contract says, call by call: request ids, pages, movements, availability."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from engines import ForkedEngine
from harness import REQUESTS, RESPONSES, Client, Stage, new_id
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.inventory.v1 import stock_pb2 as stock
from onhand.inventory.v1 import transfer_service_pb2 as transfers

from api.harness import TOP, WINDOW_SECONDS, State, copy, listed, refusal, set_text, uuid7

WRITES = tuple(name for name, request in REQUESTS.items() if "request_id" in request.DESCRIPTOR.fields_by_name)


STOCK_WRITES = tuple(name for name in WRITES if "reference" in REQUESTS[name].DESCRIPTOR.fields_by_name)


@pytest.mark.parametrize("rpc", [*WRITES, "BatchReserveStock"])
def test_a_repeat_gets_the_stored_answer_and_changes_nothing(stage, rpc):
    request = stage.request(rpc, new_id())
    if rpc == "BatchReserveStock":
        request.requests[1].request_id = new_id()
    first = stage.client.raw(rpc, request.SerializeToString())
    levels, status = stage.levels(), stage.client.status()
    again = [RESPONSES[rpc].FromString(stage.client.raw(rpc, request.SerializeToString())) for _ in range(2)]
    expected = RESPONSES[rpc].FromString(first)
    if rpc == "BatchReserveStock":
        for response in (expected, *again):
            response.ClearField("seq")  # the position this answer reflects
    assert again == [expected, expected]
    assert stage.levels() == levels
    after = stage.client.status()
    assert (after.request_id_count, after.sku_count) == (status.request_id_count, status.sku_count)


@pytest.mark.parametrize("rpc", WRITES)
def test_an_id_in_capitals_is_the_same_id(stage, rpc):
    request = stage.request(rpc, "ABCDEF00" + new_id()[8:])
    first = stage.client.raw(rpc, request.SerializeToString())
    request.request_id = request.request_id.lower()
    assert stage.client.raw(rpc, request.SerializeToString()) == first


@pytest.mark.parametrize("rpc", WRITES)
def test_an_id_with_other_content_is_refused(stage, rpc):
    request = stage.request(rpc, new_id())
    stage.client.raw(rpc, request.SerializeToString())
    levels = stage.levels()
    set_text(request, "other")
    error = refusal(stage.client.raw, rpc, request.SerializeToString())
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert error.metadata == {"field": "content"}
    assert error.message.startswith("request_id: ")
    assert stage.levels() == levels


@pytest.mark.parametrize("rpc", WRITES)
def test_an_id_of_another_method_is_refused(stage, rpc):
    request_id = new_id()
    other = stage.request("SetOnHand" if rpc != "SetOnHand" else "RecordMovements", request_id)
    assert stage.client.outcome(type(other).DESCRIPTOR.name.removesuffix("Request"), other)[0] == "OK"
    request = stage.request(rpc, request_id)
    assert stage.client.outcome(rpc, request)[:2] == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")


@pytest.mark.parametrize("rpc", WRITES)
def test_a_known_id_outranks_a_wrong_argument(stage, rpc):
    request = stage.request(rpc, new_id())
    stage.client.raw(rpc, request.SerializeToString())
    set_text(request, "x" * 300)
    error = refusal(stage.client.raw, rpc, request.SerializeToString())
    assert error.reason == "REQUEST_ID_REUSED"
    assert error.metadata["field"]


@pytest.mark.parametrize("rpc", WRITES)
def test_a_wrong_argument_does_not_use_the_id_up(stage, rpc):
    request = stage.request(rpc, new_id())
    wrong = copy(request)
    set_text(wrong, "x" * 300)
    assert stage.client.outcome(rpc, wrong)[1] == "VALIDATION_FAILED"
    assert stage.client.outcome(rpc, request)[0] == "OK"


@pytest.mark.parametrize("rpc", WRITES)
def test_an_old_id_is_not_run_again(stage, rpc):
    levels = stage.levels()
    request = stage.request("ReserveStock" if rpc == "BatchReserveStock" else rpc, uuid7(WINDOW_SECONDS + 100))
    held = stage.levels()
    error = refusal(stage.client.raw, rpc, request.SerializeToString())
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "REQUEST_ID_TOO_OLD")
    assert stage.levels() == held
    assert len(levels) == len(held)
    request.request_id = uuid7(WINDOW_SECONDS - 100)
    assert stage.client.outcome(rpc, request)[0] == "OK"


def test_the_field_that_differs_is_named(stage):
    client = stage.client
    reserve = stage.request("ReserveStock", new_id())
    client.raw("ReserveStock", reserve.SerializeToString())

    def field_of(change: Callable[[Any], object], request: Any, rpc: str = "ReserveStock") -> str:
        other = copy(request)
        change(other)
        error = refusal(client.raw, rpc, other.SerializeToString())
        assert error.reason == "REQUEST_ID_REUSED"
        return error.metadata["field"]

    assert field_of(lambda other: setattr(other.lines[0], "quantity", 9), reserve) == "quantity"
    assert field_of(lambda other: setattr(other.ttl, "seconds", 601), reserve) == "ttl"
    assert field_of(lambda other: setattr(other.lines[0], "sku_id", client.name("B")), reserve) in ("lines", "content")
    assert field_of(lambda other: setattr(other, "actor", "me"), reserve) == "content"
    amend = stage.request("AmendReservation", new_id())
    client.raw("AmendReservation", amend.SerializeToString())
    changed = field_of(lambda other: setattr(other, "reservation_id", stage.held()), amend, "AmendReservation")
    assert changed in ("reservation_id", "content")
    version = field_of(lambda other: setattr(other, "expected_version", 2), amend, "AmendReservation")
    assert version in ("expected_version", "content")


def remedies(stage: Stage) -> dict[str, tuple[Any, str, Callable[[], object]]]:
    """Requests that are refused, with the reason, and what makes them acceptable."""
    client = stage.client
    held, committed = stage.held(), stage.committed()
    order = stage.committed()
    client.location("new place")
    client.count("A", "Y", 10)
    short = client.reserve_request(("A", "Y", 100))
    grow = reservations.AmendReservationRequest(reservation_id=held)
    grow.lines.add(sku_id=client.name("A"), location_id=client.name("Y"), quantity=90)
    move = reservations.TransferReservationRequest(
        reservation_id=held, from_location_id=client.name("X"), to_location_id=client.name("new place")
    )
    lines = client.lines([("A", "X", 6)])
    more = {
        "MARK": client.movement_request("MARK_AVAILABLE", "B", "Y", 2),
        "COUNT": inventory.SetOnHandRequest(
            counts=[inventory.OnHandCount(sku_id=client.name("later"), location_id=client.name("X"), on_hand=1)]
        ),
        "POLICY": inventory.SetStockPolicyRequest(
            sku_id=client.name("later 2"), location_id=client.name("X"), safety_stock=1
        ),
    }
    more["MARK"].movements[0].unavailable_reason = stock.UNAVAILABLE_REASON_DAMAGED
    add = {
        "fulfill": lambda: client.amend(committed, ("A", "X", 6)),
        "cancel": lambda: client.amend(order, ("A", "X", 6)),
        "hold": lambda: client.amend(held, ("A", "X", 6)),
    }
    return {
        "ReserveStock": (short, "INSUFFICIENT_STOCK", lambda: client.receive("A", "Y", 500)),
        "AmendReservation": (grow, "INSUFFICIENT_STOCK", lambda: client.receive("A", "Y", 500)),
        "TransferReservation": (
            move,
            "NOT_STOCKED_HERE",
            lambda: [client.receive(sku, "new place", 50) for sku in "AB"],
        ),
        "CommitReservation": (
            reservations.CommitReservationRequest(reservation_id=held, lines=lines),
            "QUANTITY_EXCEEDS_OPEN",
            add["hold"],
        ),
        "ReleaseReservation": (
            reservations.ReleaseReservationRequest(reservation_id=held, lines=lines),
            "QUANTITY_EXCEEDS_OPEN",
            add["hold"],
        ),
        "FulfillCommitment": (
            reservations.FulfillCommitmentRequest(reservation_id=committed, lines=lines),
            "QUANTITY_EXCEEDS_OPEN",
            add["fulfill"],
        ),
        "CancelCommitment": (
            reservations.CancelCommitmentRequest(reservation_id=order, lines=lines),
            "QUANTITY_EXCEEDS_OPEN",
            add["cancel"],
        ),
        **transfer_remedies(stage),
        **work_remedies(stage),
        "RecordMovements": (more["MARK"], "INSUFFICIENT_STOCK", lambda: client.move("DAMAGE", "B", "Y", 5)),
        "SetOnHand": (more["COUNT"], "SKU_NOT_FOUND", lambda: client.sku("later")),
        "SetStockPolicy": (more["POLICY"], "SKU_NOT_FOUND", lambda: client.sku("later 2")),
    } | catalog_remedies(stage)


def catalog_remedies(stage: Stage) -> dict[str, tuple[Any, str, Callable[[], object]]]:
    """The same of the catalog."""
    sku = catalog.UpdateSkuRequest(sku=stage.a_sku("later 3"))
    location = catalog.UpdateLocationRequest(location=stage.a_location("later 4"))
    return {
        "UpdateSku": (sku, "SKU_NOT_FOUND", lambda: stage.client.sku("later 3")),
        "UpdateLocation": (location, "LOCATION_NOT_FOUND", lambda: stage.client.location("later 4")),
    }


def work_remedies(stage: Stage) -> dict[str, tuple[Any, str, Callable[[], object]]]:
    """The same of fulfillment orders."""
    client = stage.client
    method: Any = "FULFILLMENT_METHOD_PICKUP"
    work = client.assign(stage.committed(), "X", ("A", 5), method=method).fulfillment_order_id
    return {
        "AdvanceFulfillmentOrder": (
            client.work_request(work, "COLLECT"),
            "VERB_NOT_ALLOWED",
            lambda: client.advance(work, "MAKE_READY"),
        )
    }


def transfer_remedies(stage: Stage) -> dict[str, tuple[Any, str, Callable[[], object]]]:
    """The same of transfers."""
    client = stage.client
    large = client.create_transfer("Y", "X", ("B", 200)).transfer_id
    drafts = [stage.planned() for _ in range(3)]
    found = stage.request("RecordFoundUnits")
    found.lines[0].quantity = 3
    return {
        "DispatchTransfer": (
            transfers.DispatchTransferRequest(transfer_id=large),
            "INSUFFICIENT_STOCK",
            lambda: client.receive("B", "Y", 500),
        ),
        "ReceiveTransfer": (
            transfers.ReceiveTransferRequest(transfer_id=drafts[0]),
            "DOCUMENT_NOT_BEGUN",
            lambda: client.dispatch(drafts[0]),
        ),
        "CloseTransfer": (
            transfers.CloseTransferRequest(transfer_id=drafts[1]),
            "DOCUMENT_NOT_BEGUN",
            lambda: client.dispatch(drafts[1]),
        ),
        "RecordFoundUnits": (
            found,
            "QUANTITY_EXCEEDS_OPEN",
            lambda: client.arrive(found.transfer_id, ("A", 1, "SHORT")),
        ),
        "CancelTransfer": (
            transfers.CancelTransferRequest(transfer_id=drafts[2], written_off=client.transfer_lines([("A", 1)])),
            "QUANTITY_EXCEEDS_OPEN",
            lambda: client.dispatch(drafts[2]),
        ),
    }


@pytest.mark.parametrize("rpc", [rpc for rpc in WRITES if not rpc.startswith(("Create", "Upsert", "Extend"))])
def test_a_refusal_is_remembered(stage, rpc):
    request, reason, remedy = remedies(stage)[rpc]
    request.request_id = new_id()
    first = stage.client.outcome(rpc, request)
    assert first[1] == reason
    assert stage.client.outcome(rpc, request) == first
    remedy()
    assert stage.client.outcome(rpc, request) == first
    other = copy(request)
    set_text(other, "other")
    assert stage.client.outcome(rpc, other)[1] == "REQUEST_ID_REUSED"
    request.request_id = new_id()
    assert stage.client.outcome(rpc, request)[0] == "OK"


@pytest.mark.parametrize("kind", ["sku", "location"])
def test_a_refused_creation_is_remembered(stage, kind):
    rpc = f"Create{kind.capitalize()}"
    first = stage.request(rpc)
    assert stage.client.outcome(rpc, first)[0] == "OK"
    again = stage.request(rpc, new_id())
    refused = stage.client.outcome(rpc, again)
    assert refused[:2] == ("ALREADY_EXISTS", f"{kind.upper()}_ALREADY_EXISTS")
    assert stage.client.outcome(rpc, again) == refused


def test_a_refusal_of_all_that_is_open_stays_as_it_was(stage):
    client = stage.client
    order = stage.committed()
    client.count("B", "X", 0)
    request = reservations.FulfillCommitmentRequest(reservation_id=order, request_id=new_id())
    first = client.outcome("FulfillCommitment", request)
    assert first[1] == "INSUFFICIENT_STOCK"
    client.cancel(order, ("B", "X", 2))
    assert client.outcome("FulfillCommitment", request) == first
    client.amend(order, ("A", "X", 0), ("B", "X", 0))
    assert client.outcome("FulfillCommitment", request) == first


def test_an_oversold_answer_stays_as_it_was(stage):
    client = stage.client
    client.reserve(("A", "X", 100))
    client.reserve(("A", "Y", 100))
    client.count("A", "Y", 90)
    request = client.movement_request("TRANSFER", "A", "X", 5, request_id=new_id())
    request.movements[0].to_location_id = client.name("Y")
    first = client.outcome("RecordMovements", request)
    client.receive("A", "X", 50)
    assert client.outcome("RecordMovements", request) == first


def test_request_ids_survive_a_crash(tmp_path):
    flags = ["--port", "0", "--data-folder", str(tmp_path / "data"), "--log-level", "warning"]
    answers: dict[str, tuple[Any, Any]] = {}
    process = ForkedEngine(flags, log_file=tmp_path / "engine.log")
    process.start()
    try:
        with Client(process.address) as client:
            stage = Stage(client)
            for rpc in (*STOCK_WRITES, "CreateSku", "CreateLocation"):
                request = stage.request(rpc, new_id())
                answers[rpc] = (request, client.outcome(rpc, request))
            short = client.reserve_request(("A", "X", TOP), request_id=new_id())
            answers["ReserveStock"] = (short, client.outcome("ReserveStock", short))
            levels, digest = stage.levels(), client.verify().digest
    finally:
        process.kill()
    with process, Client(process.address) as client:
        assert client.verify().digest == digest
        for rpc, (request, answer) in answers.items():
            assert client.outcome(rpc, request) == answer
        assert [client.level(sku, place) for sku in "AB" for place in "XY"] == levels
        assert client.status().epoch == 2


def test_no_id_means_no_memory(stage):
    first, second = (stage.client.reserve(("A", "X", 1)) for _ in range(2))
    assert first.reservation_id != second.reservation_id
    assert second.seq == first.seq + 1


def pages(client: Client, rpc: str, field: str, **filters: Any) -> list[list[Any]]:
    """All pages of a list."""
    found, token = [], ""
    while True:
        request = REQUESTS[rpc](page_token=token, **filters)
        response = RESPONSES[rpc].FromString(client.raw(rpc, request.SerializeToString()))
        found.append(list(getattr(response, field)))
        token = response.next_page_token
        if not token:
            return found


@pytest.mark.parametrize("rpc", ["ListLocations", "ListStockLevels", "ListReservations", "ListMovements"])
def test_pages_give_everything_once(client, rpc):
    field, filters, key, expected = listed(client)[rpc]
    for size in (1, 2, 3, 7, 8, 1_000, 5_000, 0):
        found = pages(client, rpc, field, page_size=size, **filters)
        assert [key(each) for page in found for each in page] == expected, size
        assert all(len(page) <= (size or 100) for page in found)


def test_pages_of_skus_give_everything_once(client):
    client.sku(*[f"S{number}" for number in range(7)])
    whole = [sku.sku_id for page in pages(client, "ListSkus", "skus", page_size=1_000) for sku in page]
    assert whole[-7:] == [client.name(f"S{number}") for number in range(7)]
    assert len(set(whole)) == len(whole) == client.status().sku_count
    small = pages(client, "ListSkus", "skus", page_size=3)
    assert [sku.sku_id for page in small for sku in page] == whole
    assert {len(page) for page in small[:-1]} == {3}


def test_filters_of_lists(client):
    listed(client)
    at_p0 = {"location_id": client.name("P0")}
    levels = pages(client, "ListStockLevels", "stock_levels", **at_p0)
    assert [level.sku_id for page in levels for level in page] == [client.name(f"S{number}") for number in range(7)]
    both = pages(client, "ListStockLevels", "stock_levels", sku_id=client.name("S3"), **at_p0)
    assert [level.on_hand for page in both for level in page] == [10]
    held = [each.reservation_id for page in pages(client, "ListReservations", "reservations", **at_p0) for each in page]
    assert len(held) == 1
    client.commit(held[0])
    for state, expected in ((State.RESERVATION_STATE_COMMITTED, held), (State.RESERVATION_STATE_ACTIVE, [])):
        found = pages(client, "ListReservations", "reservations", state=state, **at_p0)
        assert [each.reservation_id for page in found for each in page] == expected
    assert pages(client, "ListLocations", "locations", location_group=client.name("nobody")) == [[]]


def test_a_page_token_beyond_the_end_gives_an_empty_last_page(client):
    for rpc in ("ListSkus", "ListLocations", "ListStockLevels", "ListReservations", "ListMovements"):
        response = RESPONSES[rpc].FromString(client.raw(rpc, REQUESTS[rpc](page_token="9" * 18).SerializeToString()))
        assert response.next_page_token == ""
        assert response.ByteSize() == 0 or response.seq > 0


def test_a_page_of_the_longest_write_fits_a_plain_client(client):
    client.prefix = client.prefix[:20]
    places = ["P".ljust(40, "p"), "Q".ljust(40, "q")]
    sku = "S".ljust(40, "s")
    client.location(*places)
    client.sku(sku)
    client.receive(sku, places[0], TOP)
    request = client.movement_request("TRANSFER", sku, places[0], 1, reference="r" * 64, actor="a" * 64)
    request.movements[0].to_location_id = client.name(places[1])
    del request.movements[1:]
    request.movements.extend([copy(request.movements[0]) for _ in range(8_191)])
    seq = client.call(client.inventory.RecordMovements, request).seq
    found = client.movements(start_seq=seq, sku_id=client.name(sku))
    assert len(found) == 2 * 8_192
    assert {move.seq for move in found} == {seq}
    assert [move.line for move in found] == list(range(2 * 8_192))


def test_the_history_tells_what_moved_and_why(client):
    client.sku("A")
    client.location("X", "Y")
    client.move("RECEIVE", "A", "X", 50, reference="PO-1", actor="dock")
    client.move("SALE", "A", "X", 2, reference="R-1", actor="till 3")
    client.move("RETURN", "A", "X", 1)
    client.move("RETURN", "A", "X", 1, reason="RETURN_INSPECTION")
    client.move("ADJUST", "A", "X", -3)
    client.move("ADJUST", "A", "X", 2)
    client.move("DAMAGE", "A", "X", 4)
    client.move("MARK_UNAVAILABLE", "A", "X", 3, reason="DISPLAY")
    client.move("MARK_AVAILABLE", "A", "X", 1, reason="DISPLAY")
    client.move("WRITE_OFF", "A", "X", 4, reason="DAMAGED")
    client.move("TRANSFER", "A", "X", 5, to_location="Y")
    client.count("A", "Y", 4, reference="sheet", actor="joe")
    client.count("A", "Y", 9)
    client.count("A", "Y", 9)  # equal to the books: moves nothing
    client.policy("A", "Y", safety_stock=1)  # moves nothing
    shown = [
        (
            stock.MovementType.Name(move.type).removeprefix("MOVEMENT_TYPE_"),
            move.location_id.removeprefix(client.prefix),
            move.quantity,
            stock.UnavailableReason.Name(move.unavailable_reason).removeprefix("UNAVAILABLE_REASON_"),
            move.reference,
            move.actor,
        )
        for move in client.movements(sku_id=client.name("A"))
    ]
    none = "UNSPECIFIED"
    assert shown == [
        ("RECEIVE", "X", 50, none, "PO-1", "dock"),
        ("SALE", "X", 2, none, "R-1", "till 3"),
        ("RETURN", "X", 1, none, "", ""),
        ("RETURN", "X", 1, "RETURN_INSPECTION", "", ""),
        ("ADJUST", "X", -3, none, "", ""),
        ("ADJUST", "X", 2, none, "", ""),
        ("DAMAGE", "X", 4, "DAMAGED", "", ""),
        ("MARK_UNAVAILABLE", "X", 3, "DISPLAY", "", ""),
        ("MARK_AVAILABLE", "X", 1, "DISPLAY", "", ""),
        ("WRITE_OFF", "X", 4, "DAMAGED", "", ""),
        ("TRANSFER", "X", -5, none, "", ""),
        ("TRANSFER", "Y", 5, none, "", ""),
        ("COUNT", "Y", -1, none, "sheet", "joe"),
        ("COUNT", "Y", 5, none, "", ""),
    ]
    level = client.level("A", "X")
    unavailable = {entry.reason: entry.quantity for entry in level.unavailable_by_reason}
    assert unavailable == {stock.UNAVAILABLE_REASON_DISPLAY: 2, stock.UNAVAILABLE_REASON_RETURN_INSPECTION: 1}
    assert (level.on_hand, level.unavailable, level.available) == (40, 3, 37)


def test_the_history_of_a_reservation(stage):
    client = stage.client
    made = client.reserve(("A", "X", 5), ("B", "X", 5), reference="cart 1", actor="shop")
    name = made.reservation_id
    client.release(name, ("A", "X", 1))
    client.amend(name, ("B", "X", 7), ("A", "X", 3))
    client.transfer(name, "X", "Y", ("B", 2))
    client.extend(name, 100)
    client.commit(name, ("A", "X", 3), ("B", "X", 5), reference="order 1")
    client.amend(name, ("A", "X", 4))
    client.fulfill(name, ("A", "X", 1))
    client.cancel(name)
    history = client.movements(reservation_id=name)
    shown = [
        (
            stock.MovementType.Name(move.type).removeprefix("MOVEMENT_TYPE_"),
            move.sku_id[-1] + move.location_id[-1],
            move.quantity,
        )
        for move in history
    ]
    assert shown == [
        ("RESERVE", "AX", 5),
        ("RESERVE", "BX", 5),
        ("RELEASE", "AX", 1),
        ("RESERVE", "BX", 2),
        ("RELEASE", "AX", 1),
        ("RELEASE", "BX", 2),
        ("RESERVE", "BY", 2),
        ("COMMIT", "AX", 3),
        ("COMMIT", "BX", 5),
        ("RELEASE", "BY", 2),
        ("COMMIT", "AX", 1),
        ("FULFILL", "AX", 1),
        ("CANCEL", "AX", 3),
        ("CANCEL", "BX", 5),
    ]
    assert {move.reservation_id for move in history} == {name}
    assert [(move.reference, move.actor) for move in history[:2]] == [("cart 1", "shop")] * 2
    assert [move.reference for move in history if move.type == stock.MOVEMENT_TYPE_COMMIT][:2] == ["order 1"] * 2
    assert [move.line for move in history[:2]] == [0, 1]
    seqs = [move.seq for move in history]
    assert seqs == sorted(seqs)
    times = [move.effective_time.ToMicroseconds() for move in history]
    assert times == sorted(times)
    assert history[0].effective_time == client.get(name).create_time
    read = client.get(name)
    assert [(line.open_quantity, line.fulfilled_quantity) for line in read.lines if line.quantity][:1] == [(0, 1)]


def test_the_history_from_a_position_on(stage):
    client = stage.client
    first = client.receive("A", "X", 1).seq
    second = client.receive("A", "X", 2).seq
    only = {"sku_id": client.name("A"), "location_id": client.name("X")}
    assert [move.quantity for move in client.movements(start_seq=second, **only)] == [2]
    assert [move.quantity for move in client.movements(start_seq=first, **only)] == [1, 2]
    assert client.movements(start_seq=second + 1, **only) == []
    assert client.movements(start_seq=2**63 - 1, **only) == []
    assert client.movements(reservation_id="0" * 16, **only) == []
    assert client.movements(reservation_id="unknown", **only) == []


def test_availability_over_groups_and_locations(client):
    client.sku("A", "B")
    client.location("X", "Y", groups=["G", "H"])
    client.location("Z", groups=["H"])
    client.location("shut", groups=["G"], active=False)
    for place, units in (("X", 5), ("Y", 7), ("Z", 11), ("shut", 100)):
        client.receive("A", place, units)
    client.receive("B", "Y", 3)

    def read(**where: Any) -> list[tuple[str, int, list[tuple[str, int]]]]:
        request = inventory.BatchGetAvailabilityRequest(sku_ids=[client.name("B"), client.name("A")], **where)
        response = client.call(client.inventory.BatchGetAvailability, request)
        assert response.seq > 0
        return [
            (sku.sku_id[-1], sku.available, [(each.location_id[-1], each.available) for each in sku.locations])
            for sku in response.skus
        ]

    assert read(location_group=client.name("G")) == [("B", 3, [("Y", 3)]), ("A", 12, [("X", 5), ("Y", 7)])]
    assert read(location_group=client.name("H"))[1][:2] == ("A", 23)
    some = [client.name(place) for place in ("Z", "shut", "X")]
    assert read(location_ids=some) == [("B", 0, []), ("A", 16, [("Z", 11), ("X", 5)])]
    assert [entry[:2] for entry in read()] == [("B", 3), ("A", 23)]
    assert client.level("A", "shut").available == 0
    assert client.level("A", "shut").on_hand == 100


def test_pairs_of_availability_are_bounded(client):
    client.sku("A")
    client.location("X", "Y", groups=["G"])
    request = inventory.BatchGetAvailabilityRequest(sku_ids=[client.name("A")] * 4_096, location_group=client.name("G"))
    assert len(client.call(client.inventory.BatchGetAvailability, request).skus) == 4_096
    request.sku_ids.append(client.name("A"))
    error = refusal(client.call, client.inventory.BatchGetAvailability, request)
    assert (error.reason, error.fields) == ("VALIDATION_FAILED", ["sku_ids"])
    assert "8192" in error.message
    assert "8194" in error.message


def test_totals_are_those_of_all_locations_without_an_entry_for_each(client):
    client.sku("A", "B")
    client.location("X", "Y", groups=["G"])
    client.location("shut", groups=["G"], active=False)
    for place, units in (("X", 5), ("Y", 7), ("shut", 100)):
        client.receive("A", place, units)
    client.move("SALE", "A", "X", 8)  # oversold: nothing is taken from what another location has
    request = inventory.BatchGetAvailabilityRequest(
        sku_ids=[client.name("B"), client.name("A")], location_group=client.name("G"), totals_only=True
    )
    response = client.call(client.inventory.BatchGetAvailability, request)
    told = [(sku.sku_id[-1], sku.available, list(sku.locations)) for sku in response.skus]
    assert told == [("B", 0, []), ("A", 7, [])]
    assert response.seq > 0
    del request.sku_ids[:]
    request.sku_ids.extend([client.name("A")] * 32_768)  # times three locations
    error = refusal(client.call, client.inventory.BatchGetAvailability, request)
    assert (error.reason, error.fields) == ("VALIDATION_FAILED", ["sku_ids"])
    assert "65536" in error.message
    del request.sku_ids[21_845:]
    assert len(client.call(client.inventory.BatchGetAvailability, request).skus) == 21_845
