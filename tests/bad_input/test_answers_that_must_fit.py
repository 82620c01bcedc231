"""Wrong input: long values and many of them, whose answers must fit."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from harness import Refused
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import stock_pb2 as stock

from bad_input.harness import put, put_in

LONG_VALUES: dict[str, tuple[str, Callable[[str], Callable[[Any], object]]]] = {
    "sku_id of a line": ("ReserveStock", lambda bad: put_in("lines", sku_id=bad)),
    "request_id": ("ReserveStock", lambda bad: put(request_id=bad)),
    "time_zone": ("CreateLocation", lambda bad: put_in("location", time_zone=bad)),
    "base_unit": ("CreateSku", lambda bad: put_in("sku", base_unit=bad)),
    "update_mask": ("UpdateSku", lambda bad: lambda request: request.update_mask.paths.append(bad)),
    "page_token": ("ListSkus", lambda bad: put(page_token=bad)),
    "reservation_id": ("GetReservation", lambda bad: put(reservation_id=bad)),
    "sku_id": ("GetStockLevel", lambda bad: put(sku_id=bad)),
    "filter": ("ListReservations", lambda bad: put(sku_id=bad)),
}


@pytest.mark.parametrize("what", LONG_VALUES)
def test_a_wrong_value_of_any_length_is_answered_as_one(stage, what):
    rpc, spoil = LONG_VALUES[what]
    for size in (1_000, 10_000, 3_000_000):
        request = stage.request(rpc)
        spoil("ü" * (size // 2))(request)
        with pytest.raises(Refused) as refused:
            stage.client.raw(rpc, request.SerializeToString())
        assert refused.value.reason in ("VALIDATION_FAILED", "RESERVATION_NOT_FOUND", "SKU_NOT_FOUND"), size
        assert len(refused.value.message) < 2_000  # for people


@pytest.mark.parametrize("id_length", [8, 64])
def test_a_hundred_short_lines_reach_the_client(client, id_length):
    place = "P".ljust(id_length, "p")
    skus = [f"{number:03}".ljust(id_length, "s") for number in range(100)]
    client.prefix = client.prefix[: max(0, 64 - id_length)] if id_length < 64 else ""
    with contextlib.suppress(Refused):
        client.location(place)
        client.sku(*skus)
    receive = inventory.RecordMovementsRequest()
    for sku in skus:
        receive.movements.extend(client.movement_request("RECEIVE", sku, place, 1).movements)
    client.call(client.inventory.RecordMovements, receive)
    request = client.reserve_request(*[(sku, place, 2_000_000_000) for sku in skus])
    code, reason, *_ = client.outcome("ReserveStock", request)
    assert (code, reason) == ("FAILED_PRECONDITION", "INSUFFICIENT_STOCK")
    with pytest.raises(Refused) as refused:
        client.call(client.reservations.ReserveStock, request)
    assert len(refused.value.shortages) == 100


def test_a_refusal_of_the_longest_write_reaches_the_client(stage):
    movement = stage.client.movement_request("WRITE_OFF", "A", "X", 1).movements[0]
    movement.unavailable_reason = stock.UNAVAILABLE_REASON_DAMAGED
    request = inventory.RecordMovementsRequest(movements=[movement] * 8_192)
    assert stage.client.outcome("RecordMovements", request)[:2] == ("FAILED_PRECONDITION", "INSUFFICIENT_STOCK")
