"""Wrong input: bytes that are no request, and requests that are too large or just not."""

import grpc
import pytest
from harness import PATHS, REQUESTS, Refused
from onhand.inventory.v1 import inventory_service_pb2 as inventory

from bad_input.harness import nothing_changes

GARBAGE = (b"\xff", b"\x0a\xff", b"\x08", bytes(range(256)), b"\x0f" * 5, b"\x0a\x05abc")


@pytest.mark.parametrize("rpc", PATHS)
def test_bytes_that_are_no_message_are_refused(stage, rpc):
    with nothing_changes(stage):
        for garbage in GARBAGE:
            with pytest.raises(Refused) as refused:
                stage.client.raw(rpc, garbage)
            assert (refused.value.code.name, refused.value.reason) == ("INVALID_ARGUMENT", "VALIDATION_FAILED")
            assert REQUESTS[rpc].DESCRIPTOR.full_name in refused.value.message


def test_text_that_is_no_utf8_is_refused(stage):
    name = stage.client.name("A").encode()
    payloads = {rpc: stage.request(rpc).SerializeToString() for rpc in PATHS}
    concerned = [rpc for rpc, payload in payloads.items() if name in payload]
    assert len(concerned) > 15
    with nothing_changes(stage):
        for rpc in concerned:
            with pytest.raises(Refused) as refused:
                stage.client.raw(rpc, payloads[rpc].replace(name, b"\xff" + name[1:]))
            assert (rpc, refused.value.reason) == (rpc, "VALIDATION_FAILED")


@pytest.mark.parametrize("rpc", PATHS)
def test_an_empty_body_is_a_request_with_nothing_in_it(stage, rpc):
    with nothing_changes(stage):
        code, *rest = stage.client.outcome(rpc, REQUESTS[rpc]())
    if rpc.startswith("List") or rpc in ("GetStatus", "VerifyLedger", "Checkpoint"):
        assert code == "OK"
    elif rpc == "ReadSnapshot":
        assert code == "OK" or rest[0] == "SNAPSHOT_NOT_FOUND"
    else:
        assert (code, rest[0]) == ("INVALID_ARGUMENT", "VALIDATION_FAILED")


def test_unknown_fields_are_ignored(stage):
    payload = stage.request("ReserveStock").SerializeToString()
    stage.client.raw("ReserveStock", payload + b"\xfa\x3e\x03abc")  # field 1007, bytes


def test_a_request_beyond_four_mebibytes_is_refused(stage):
    with nothing_changes(stage), pytest.raises(Refused) as refused:
        stage.client.raw("ReserveStock", bytes(4 * 1024 * 1024 + 1))
    assert refused.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert str(4 * 1024 * 1024) in refused.value.message


def test_the_largest_request_is_answered(stage):
    movement = stage.client.movement_request("RECEIVE", "A", "X", 1).movements[0]
    before = stage.client.level("A", "X").on_hand
    request = inventory.RecordMovementsRequest(movements=[movement] * 8_192)
    stage.client.call(stage.client.inventory.RecordMovements, request)
    assert stage.client.level("A", "X").on_hand == before + 8_192


def test_one_wrong_movement_of_many_undoes_all(stage):
    movement = stage.client.movement_request("RECEIVE", "A", "X", 1).movements[0]
    request = inventory.RecordMovementsRequest(movements=[movement] * 8_192)
    request.movements[8_191].sku_id = "nobody"
    with nothing_changes(stage), pytest.raises(Refused) as refused:
        stage.client.call(stage.client.inventory.RecordMovements, request)
    assert refused.value.metadata["field"] == "movements[8191].sku_id"


def test_one_wrong_request_of_a_batch_undoes_all(stage):
    request = stage.request("BatchReserveStock")
    request.requests[1].lines[0].quantity = 0
    with nothing_changes(stage), pytest.raises(Refused) as refused:
        stage.client.call(stage.client.reservations.BatchReserveStock, request)
    assert refused.value.metadata["field"] == "requests[1].lines[0].quantity"
