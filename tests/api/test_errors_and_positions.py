"""What the contract says, call by call: errors and positions, health and reflection."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from faults.processes import WAIT_SECONDS
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from harness import PATHS, RESPONSES, Client, new_id
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.rules.reasons import REASONS

from api.harness import TOP, WINDOW_SECONDS, State, refusal, uuid7


def test_every_reason_a_caller_can_cause_has_its_code(stage):
    client = stage.client
    client.location("shut", active=False)
    client.receive("A", "shut", 1)
    client.location("bare")
    held, order = stage.held(), stage.committed()
    ended = client.reserve(("A", "X", 1)).reservation_id
    client.release(ended)
    expired = client.reserve(("A", "X", 1), ttl=0.001).reservation_id
    until = time.monotonic() + WAIT_SECONDS
    while client.get(expired).state == State.RESERVATION_STATE_ACTIVE:
        assert time.monotonic() < until
    used = new_id()
    client.receive("A", "X", 1)
    client.reserve(("A", "X", 1), request_id=used)
    full = client.reserve(*[("A", "X", 1)]).reservation_id
    many = [f"S{number}" for number in range(100)]
    client.sku(*many)
    receive = inventory.RecordMovementsRequest()
    for sku in many:
        receive.movements.extend(client.movement_request("RECEIVE", sku, "X", 1).movements)
    client.call(client.inventory.RecordMovements, receive)
    planned, cancelled = stage.planned(), stage.in_transit()
    client.cancel_transfer(cancelled)
    work = client.assign(order, "X", ("A", 1)).fulfillment_order_id
    calls: dict[str, Callable[[], Any]] = {
        "REQUEST_ID_REUSED": lambda: client.reserve(("A", "X", 2), request_id=used),
        "REQUEST_ID_TOO_OLD": lambda: client.reserve(("A", "X", 2), request_id=uuid7(WINDOW_SECONDS + 400)),
        "VALIDATION_FAILED": lambda: client.reserve(("A", "X", 0)),
        "SKU_NOT_FOUND": lambda: client.reserve(("nobody", "X", 1)),
        "LOCATION_NOT_FOUND": lambda: client.reserve(("A", "nowhere", 1)),
        "RESERVATION_NOT_FOUND": lambda: client.commit("0000000100ffffff"),
        "NOT_STOCKED_HERE": lambda: client.reserve(("A", "bare", 1)),
        "SKU_ALREADY_EXISTS": lambda: client.sku("A"),
        "LOCATION_ALREADY_EXISTS": lambda: client.location("X"),
        "RESERVATION_EXPIRED": lambda: client.commit(expired),
        "RESERVATION_NOT_ACTIVE": lambda: client.commit(ended),
        "RESERVATION_NOT_COMMITTED": lambda: client.fulfill(held),
        "VERSION_MISMATCH": lambda: client.amend(held, ("A", "X", 1), expected_version=9),
        "LOCATION_INACTIVE": lambda: client.reserve(("A", "shut", 1)),
        "TOO_MANY_LINES": lambda: client.amend(full, *[(sku, "X", 1) for sku in many]),
        "QUANTITY_EXCEEDS_OPEN": lambda: client.cancel(order, ("A", "X", 6)),
        "INSUFFICIENT_STOCK": lambda: client.reserve(("A", "X", TOP)),
        "WRONG_SHARD": lambda: client.commit("0010000100000000"),
        "DOCUMENT_NOT_FOUND": lambda: client.dispatch("0000000100ffffff"),
        "DOCUMENT_NOT_BEGUN": lambda: client.close_transfer(planned),
        "DOCUMENT_ENDED": lambda: client.dispatch(cancelled),
        "VERB_NOT_ALLOWED": lambda: client.advance(work, "COLLECT"),
    }
    for reason, call in calls.items():
        error = refusal(call)
        assert (error.reason, error.code) == (reason, REASONS[reason].code)
        assert error.message.endswith(".")
    # Reasons of an engine in trouble, or of a history that was cut: not to be had from a healthy one. Those of routing
    # are shown with it.
    assert REASONS.keys() - calls.keys() == {
        "NETWORK_NOT_FOUND",
        "PLAN_NOT_FOUND",
        "HISTORY_TRIMMED",
        "SNAPSHOT_NOT_FOUND",
        "OVERLOADED",
        "JOURNAL_UNAVAILABLE",
        "NOT_PRIMARY",
        "DRAINING",
        "LEDGER_CORRUPT",
        "INTERNAL_ERROR",
    }


@pytest.mark.parametrize(
    ("verb", "reason"),
    [
        ("commit", "RESERVATION_NOT_ACTIVE"),
        ("release", "RESERVATION_NOT_ACTIVE"),
        ("amend", "RESERVATION_NOT_ACTIVE"),
        ("transfer", "RESERVATION_NOT_ACTIVE"),
        ("extend", "RESERVATION_NOT_ACTIVE"),
        ("fulfill", "RESERVATION_NOT_COMMITTED"),
        ("cancel", "RESERVATION_NOT_COMMITTED"),
    ],
)
def test_an_ended_reservation_does_nothing_more(stage, verb, reason):
    name = stage.held()
    stage.client.release(name)
    levels = stage.levels()
    arguments = {"amend": [("A", "X", 1)], "transfer": ["X", "Y"], "extend": [60.0]}.get(verb, [])
    assert refusal(getattr(stage.client, verb), name, *arguments).reason == reason
    assert stage.levels() == levels


def test_positions_only_grow(stage):
    seqs = []
    for rpc in PATHS:
        if rpc in ("GetStatus", "ReadSnapshot"):  # they have no position of their own
            continue
        response = RESPONSES[rpc].FromString(stage.client.raw(rpc, stage.request(rpc).SerializeToString()))
        seqs.append((rpc, response.seq))
    assert [seq for _, seq in seqs] == sorted(seq for _, seq in seqs)
    assert all(seq > 0 for _, seq in seqs)
    status = stage.client.status()
    assert status.seq_sequenced >= status.seq_applied >= status.seq_durable >= seqs[-1][1]


def test_status_counts(stage):
    client = stage.client
    before = client.status()
    name, order = stage.held(), stage.committed()
    after = client.status()
    assert after.committed_reservation_count == before.committed_reservation_count + 1
    client.fulfill(order)
    client.release(name)
    ended = client.status()
    assert ended.committed_reservation_count == before.committed_reservation_count
    assert ended.ended_reservation_count >= before.ended_reservation_count + 2
    assert (ended.durability, ended.request_window_seconds) == ("fsync", WINDOW_SECONDS)
    assert ended.journal.startswith("unix://")
    assert ended.resident_bytes > 0
    assert list(ended.warnings) == []
    assert ended.start_time.seconds <= time.time()


def test_the_ledger_adds_up(stage):
    answer = stage.client.verify()
    assert answer.ok
    assert list(answer.violations) == []
    assert answer.violation_count == 0
    assert len(answer.digest) == 32
    assert stage.client.verify().digest == answer.digest or stage.client.verify().seq > answer.seq


def test_health_of_every_service(client):
    services = {path.split("/")[1] for path in PATHS.values()}
    stub = health_pb2_grpc.HealthStub(client.channel)
    for service in ("", *services):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=WAIT_SECONDS)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_knows_every_service(client):
    stub = reflection_pb2_grpc.ServerReflectionStub(client.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    [answer] = stub.ServerReflectionInfo(iter([request]), timeout=WAIT_SECONDS)
    names = {service.name for service in answer.list_services_response.service}
    assert {path.split("/")[1] for path in PATHS.values()} <= names


def test_a_duration_of_one_microsecond_is_a_hold(stage):
    request = stage.client.reserve_request(("A", "X", 1))
    request.ttl.CopyFrom(Duration(nanos=1_000))
    made = stage.client.call(stage.client.reservations.ReserveStock, request)
    created = stage.client.get(made.reservation_id).create_time
    assert made.expire_time.ToNanoseconds() - created.ToNanoseconds() == 1_000


def test_the_list_has_a_reservation_that_was_amended_to_nothing(client: Client) -> None:
    client.sku("A")
    client.location("X")
    client.receive("A", "X", 1)
    made = client.reserve(("A", "X", 1)).reservation_id
    client.amend(made, ("A", "X", 0))
    listed, token = [], ""
    while True:
        request = reservations.ListReservationsRequest(page_token=token, page_size=1000)
        page = client.call(client.reservations.ListReservations, request)
        listed += [reservation.reservation_id for reservation in page.reservations]
        token = page.next_page_token
        if not token:
            break
    assert made in listed
