"""The bulk path: what columns say, against an engine."""

import uuid
from collections import Counter
from typing import Any

import grpc
import numpy as np
import pytest
from bulk_harness import NOBODY, RECORDING, RESERVING, TRANSFERRING, BulkClient, encode
from bulk_requests import START_US, change, counts, movement, movements, place, reserve, transfer, uuid4, uuid7
from engines import ForkedEngine
from faults.processes import WAIT_SECONDS
from google.protobuf.message import Message
from harness import Client, Refused, Stage, new_id
from onhand.columns import RequestColumns, write_column
from onhand.inventory.v1 import bulk_service_pb2 as bulk
from onhand.inventory.v1 import catalog_pb2, reservation_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import reservation_service_pb2 as reservations

from bulk.harness import (
    COMMANDS_MAX,
    COMMIT,
    DTYPES,
    EXTEND,
    OK,
    RESERVE,
    UNITS,
    Side,
    by_columns,
    one_line,
    refused_whole,
    told,
)
from ledger.core.limits import MICROSECONDS


def bare() -> Any:
    """A call without columns, which knows A at X and Y."""
    return RequestColumns(sku_ids=["A"], location_ids=["X", "Y"])


def columns_of(**columns: Any) -> bytes:
    """A call from its columns as they are."""
    call = bare()
    for field, values in columns.items():
        write_column(getattr(call, field), np.array(values), DTYPES[field])
    return call.SerializeToString()


def test_one_entry_holds_for_all(side):
    other = Side()
    other.stock(A_X=10, B_X=10, A_Y=10)
    short = columns_of(operations=[RESERVE] * 3, ttl_us=[5], sku_indexes=[0] * 3, location_indexes=[1], quantities=[4])
    full = columns_of(
        operations=[RESERVE] * 3,
        line_counts=[1] * 3,
        reservation_ids=[0] * 3,
        ttl_us=[5] * 3,
        allow_partial=[0] * 3,
        expected_versions=[0] * 3,
        reference_indexes=[-1] * 3,
        actor_indexes=[-1] * 3,
        sku_indexes=[0] * 3,
        location_indexes=[1] * 3,
        quantities=[4] * 3,
        to_location_indexes=[-1] * 3,
        movement_types=[0] * 3,
        unavailable_reasons=[0] * 3,
    )
    assert side.ask(short) == other.ask(full)
    assert side.book.digest() == other.book.digest()
    assert side.entry == other.entry


def test_commands_without_lines_need_no_names(side):
    holds = [side.ask(reserve(("A", "X", 1))).reservation_id for _ in range(3)]
    call = RequestColumns()
    write_column(call.operations, np.array([COMMIT, EXTEND, COMMIT]), DTYPES["operations"])
    write_column(call.line_counts, np.zeros(1), DTYPES["line_counts"])
    write_column(call.reservation_ids, np.array([int(hold, 16) for hold in holds]), DTYPES["reservation_ids"])
    write_column(call.ttl_us, np.array([MICROSECONDS]), DTYPES["ttl_us"])
    answer = side.ask(call.SerializeToString())
    assert answer.statuses == [OK] * 3
    assert answer.expire_times_us == [0, START_US + MICROSECONDS, 0]


def test_no_reference_is_no_note(side):
    """A text that is empty says nothing, as an empty reference of a unary call does."""
    call = one_line(1, request_ids=bytes([1] * 16), texts=[""], reference_indexes=[0], actor_indexes=[-1])
    first = side.ask(call)
    plain = reserve(("A", "X", 1), request_id="01010101-0101-0101-0101-010101010101")
    assert side.ask(plain).seq == first.seq


def test_the_nil_uuid_is_no_request_id(side):
    answer = side.ask(one_line(3, request_ids=NOBODY + bytes([7] * 16) + NOBODY))
    again = side.ask(one_line(3, request_ids=NOBODY + bytes([7] * 16) + NOBODY))
    assert list(map(int.__eq__, answer.reservation_ids, again.reservation_ids)) == [False, True, False]


def test_what_is_left_is_told_on_demand(side):
    side.ask(catalog.UpsertSkusRequest(skus=[catalog_pb2.Sku(sku_id="C", base_unit="each")]))
    hold = side.ask(reserve(("A", "Y", 10))).reservation_id
    commands = [
        reserve(("A", "X", 3), ("B", "X", 1)),
        reserve(("A", "X", 8)),
        counts(("A", "Y", 4)),
        change("Commit", hold),
        reserve(("C", "X", 1)),
        reserve(("unknown", "X", 1)),
        reserve(("B", "Nowhere", 1)),
        transfer(hold, "Y", "X"),
    ]
    assert list(side.ask(encode(commands)).available_left) == []
    answer = side.ask(encode(commands, return_available_left=True))
    assert list(answer.available_left) == [4, 4, -6, 0, 0, 0, 0, 0]


def test_what_is_left_at_a_closed_location_is_nothing(side):
    side.ask(catalog.UpsertLocationsRequest(locations=[place("X", active=False)]))
    answer = side.ask(encode([reserve(("A", "X", 1))], return_available_left=True))
    assert list(answer.statuses) == [bulk.COMMAND_STATUS_LOCATION_INACTIVE]
    assert list(answer.available_left) in ([], [0])


def test_one_id_twice_in_a_call(side):
    first, other = reserve(("A", "X", 3), request_id=uuid4(1)), reserve(("A", "X", 4), request_id=uuid4(1))
    short = reserve(("A", "X", 99), ("B", "X", 98), request_id=uuid4(2))
    made, repeated, reused, refused, told_again = by_columns(side, first, first, other, short, short)
    assert repeated == made
    assert reused.metadata == {"field": "quantity"}
    assert told(told_again) == told(refused)
    assert [(each.sku_id, each.requested, each.available) for each in refused.shortages] == [
        ("A", 99, 7),
        ("B", 98, 10),
    ]
    side.ask(counts(("A", "X", 500)))
    assert told(by_columns(side, short)[0]) == told(refused) == told(side.ask(short))


def test_a_call_cannot_be_wrong_in_part(side):
    """The first of two commands is right, and is not run either."""
    call = one_line(2)
    call.quantities[:] = [1, 0]
    refused_whole(side, call, f"quantities[1]: expected {UNITS}, was 0.")


def test_a_known_id_outranks_only_what_is_wrong_with_its_own_command(side):
    side.ask(reserve(("A", "X", 1), request_id=uuid4(1)))
    call = encode([reserve(("A", "X", 1), request_id=uuid4(1)), reserve(("A", "X", 1), request_id=uuid4(2))])
    call.quantities[1] = 0
    refused_whole(side, call, f"quantities[1]: expected {UNITS}, was 0.")


BY_COLUMNS = (*(name for name in RESERVING if name != "BatchReserveStock"), *RECORDING, *TRANSFERRING)


CALLS_IN_FLIGHT = 6


SHORT = bulk.COMMAND_STATUS_INSUFFICIENT_STOCK


def ask(client: Client, rpc: str, request: Any) -> Any:
    """Call by name; a response, or what a refusal says."""
    stub = client.transfers if rpc in TRANSFERRING else client.reservations
    stub = client.inventory if rpc in RECORDING else stub
    try:
        return client.call(getattr(stub, rpc), request)
    except Refused as error:
        return error.code, error.reason, error.metadata, error.shortages


@pytest.mark.parametrize("rpc", BY_COLUMNS)
def test_a_repeat_may_come_by_the_other_path(stage, gateway, rpc):
    request = stage.request(rpc, new_id())
    first = ask(stage.client, rpc, request)
    assert isinstance(first, Message), first
    assert ask(gateway, rpc, request) == first
    request = stage.request(rpc, new_id())
    first = ask(gateway, rpc, request)
    assert isinstance(first, Message), first
    assert ask(stage.client, rpc, request) == first
    assert stage.client.verify().ok


CHANGED = {
    "method": lambda _: movements(movement("RECEIVE", "A", "X", 1)),
    "lines": lambda request: request.lines[0].MergeFrom(reservation_pb2.LineQuantity(sku_id=f"other-{new_id()}")),
    "quantity": lambda request: request.lines[0].MergeFrom(reservation_pb2.LineQuantity(quantity=1)),
    "reservation_id": lambda request: request.MergeFrom(type(request)(reservation_id="0000000100000001")),
    "expected_version": lambda request: request.MergeFrom(type(request)(expected_version=4)),
    "ttl": lambda request: request.ttl.FromSeconds(11),
    "content": lambda request: request.MergeFrom(type(request)(reference="another order")),
}


@pytest.mark.parametrize(
    ("rpc", "field"),
    [
        *((rpc, "method") for rpc in BY_COLUMNS if rpc != "RecordMovements"),
        *((rpc, "content") for rpc in BY_COLUMNS),
        *((rpc, "lines") for rpc in ("ReserveStock", "CommitReservation", "FulfillCommitment")),
        *((rpc, "quantity") for rpc in ("ReserveStock", "ReleaseReservation", "CancelCommitment")),
        *((rpc, "reservation_id") for rpc in ("ExtendReservation", "AmendReservation", "TransferReservation")),
        *((rpc, "expected_version") for rpc in ("AmendReservation", "TransferReservation")),
        *((rpc, "ttl") for rpc in ("ReserveStock", "ExtendReservation")),
    ],
)
def test_other_content_is_named_whichever_path_it_takes(stage, gateway, rpc, field):
    """A few bits tell which field differs: one of 32 cases is named wrong, and then by both paths alike."""
    named = [named_field(stage, gateway, rpc, field) for _ in range(4)]
    assert named.count(field) > 1, named


def named_field(stage, gateway, rpc, field) -> str:
    request_id = new_id()
    request = stage.request(rpc, request_id)
    before, after = (stage.client, gateway) if len(rpc + field) % 2 else (gateway, stage.client)
    assert isinstance(ask(before, rpc, request), Message)
    other = CHANGED[field](request)
    rpc, request = ("RecordMovements", other) if other else (rpc, request)
    request.request_id = request_id
    code, reason, metadata, problems = told = ask(after, rpc, request)
    assert (code, reason, problems) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED", [])
    assert ask(before, rpc, request) == told
    return metadata["field"]


def test_a_refusal_is_remembered_across_paths(stage, gateway):
    request = stage.client.reserve_request(("A", "X", 1), ("A", "Y", 999), ("B", "X", 998), request_id=new_id())
    first = ask(gateway, "ReserveStock", request)
    assert [short[2:] for short in first[-1]] == [(999, 100), (998, 100)]
    stage.client.receive("A", "Y", 5_000)
    assert ask(stage.client, "ReserveStock", request) == ask(gateway, "ReserveStock", request) == first


def test_an_id_from_before_the_window_is_refused(stage, gateway):
    request = stage.request("ReserveStock", uuid7(START_US, 1))
    expected = (grpc.StatusCode.FAILED_PRECONDITION, "REQUEST_ID_TOO_OLD", {"field": "request_id"}, [])
    assert ask(gateway, "ReserveStock", request) == ask(stage.client, "ReserveStock", request) == expected


def test_details_name_what_is_not_found(stage, gateway):
    hold = stage.held()
    answers = gateway.execute(
        [
            gateway.reserve_request(("A", "X", 1), ("nothing", "X", 1)),
            gateway.reserve_request(("A", "nowhere", 1)),
            reservations.TransferReservationRequest(
                reservation_id=hold, from_location_id=gateway.name("X"), to_location_id=gateway.name("nowhere")
            ),
        ]
    )
    names = [gateway.name("nothing"), gateway.name("nowhere")]
    assert [answer.metadata for answer in answers] == [
        {"field": "lines[1].sku_id", "sku": names[0]},
        {"field": "lines[0].location_id", "location": names[1]},
        {"field": "to_location_id", "location": names[1]},
    ]


def test_a_request_that_is_too_long_is_refused(stage, gateway):
    call = encode([stage.request("ReserveStock")], texts=["x" * 64] * (4 * 1024 * 1024 // 64))
    seq = stage.client.status().seq_durable
    with pytest.raises(Refused) as refused:
        gateway.call(gateway.bulk.ExecuteCommands, call)
    assert refused.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert stage.client.status().seq_durable == seq


def test_a_wrong_column_is_named_on_the_wire(stage, gateway):
    call = encode([stage.request("ReserveStock")])
    call.ttl_us[0] = 0
    with pytest.raises(Refused) as refused:
        gateway.call(gateway.bulk.ExecuteCommands, call)
    assert (refused.value.code, refused.value.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["ttl_us[0]"])
    assert refused.value.metadata == {"field": "ttl_us[0]"}


def hot(client: Client, count: int = COMMANDS_MAX) -> bulk.ExecuteCommandsRequest:
    """So many reservations of one unit of A at X, each with an id of its own."""
    call = one_line(count, request_ids=b"".join(uuid.uuid4().bytes for _ in range(count)))
    call.sku_ids[:], call.location_ids[:] = [client.name("A")], [client.name("X")]
    call.ttl_us[:] = [600 * MICROSECONDS]
    return call


def test_calls_in_flight_promise_what_is_there(client, gateway):
    """The stock ends in the middle of one of them."""
    units = COMMANDS_MAX * CALLS_IN_FLIGHT // 2 + 100
    client.sku("A")
    client.location("X")
    client.receive("A", "X", units)
    calls = [hot(client) for _ in range(CALLS_IN_FLIGHT)]
    futures = [gateway.bulk.ExecuteCommands.future(call, timeout=WAIT_SECONDS) for call in calls]
    answers = [future.result(WAIT_SECONDS) for future in futures]
    statuses = Counter(status for answer in answers for status in answer.statuses)
    assert statuses == {OK: units, SHORT: COMMANDS_MAX * CALLS_IN_FLIGHT - units}
    made = {number for answer in answers for number in answer.reservation_ids if number}
    assert len(made) == units
    level = client.level("A", "X")
    assert (level.reserved, level.available, level.oversold) == (units, 0, 0)
    assert client.verify().ok
    again = gateway.call(gateway.bulk.ExecuteCommands, calls[0])
    assert (again.statuses, again.reservation_ids) == (answers[0].statuses, answers[0].reservation_ids)


def test_what_was_told_survives_a_crash(tmp_path):
    flags = ["--port", "0", "--data-folder", str(tmp_path / "data")]
    with ForkedEngine(flags, log_file=tmp_path / "engine.log") as engine:
        with BulkClient(engine.address) as client:
            stage = Stage(client)
            requests = [stage.request(rpc, new_id()) for rpc in BY_COLUMNS]
            requests += [client.reserve_request(("A", "X", 1), ("B", "Y", 999), request_id=new_id())]
            crowd = hot(client, 1_000)
            told_first = list(map(told, client.execute(requests)))
            crowd_first = client.call(client.bulk.ExecuteCommands, crowd)
            assert set(crowd_first.statuses) == {OK, SHORT}
        engine.kill()
        engine.start()
        with BulkClient(engine.address) as client:
            assert list(map(told, client.execute(requests))) == told_first
            crowd_again = client.call(client.bulk.ExecuteCommands, crowd)
            crowd_again.seq = crowd_first.seq
            assert crowd_again == crowd_first
            assert client.verify().ok


@pytest.mark.usefixtures("stage")
def test_references_and_actors_are_in_the_history(gateway):
    said = [("order-1", "web"), ("", "pos 4"), ("", ""), ("order-1", "Müller")]
    answers = gateway.execute(
        [gateway.reserve_request(("A", "X", 1), reference=reference, actor=actor) for reference, actor in said]
        + [gateway.movement_request("SALE", "B", "Y", 2, reference="receipt 7", actor="pos 4")]
    )
    told_by_seq = {move.seq: (move.reference, move.actor) for move in gateway.movements(start_seq=answers[0].seq)}
    assert [told_by_seq[answer.seq] for answer in answers] == [*said, ("receipt 7", "pos 4")]
