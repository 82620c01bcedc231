"""`onhand inspect journal --seq`: each record says what it is about, documents included."""

from typing import Any

from bulk.harness import Side
from bulk_requests import change, create_transfer, lines, reserve, units_of
from google.protobuf.message import Message
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.inventory.v1 import transfer_pb2
from onhand.inventory.v1 import transfer_service_pb2 as transfers

from engine.operate.inspect import records_of
from ledger.journal.entry import CHAIN_START, decode_entry


def inspected(side: Side, request: Message) -> Any:
    """Ask, and return the one record that was journaled of it."""
    side.ask(request)
    (record,) = records_of(decode_entry(side.entry, CHAIN_START)[0])
    return record


def test_a_reservation_and_a_transfer_for_it_are_told_apart():
    side = Side()
    side.stock(A_X=10, A_Y=0)
    hold = side.ask(reserve(("A", "X", 4))).reservation_id
    committed = inspected(side, change("Commit", hold))
    assert (committed["reservation_id"], committed["state"]) == (hold, "COMMITTED")
    made = inspected(side, create_transfer("X", "Y", ("A", 3), due=1_900_000_000_000_000, reservation_id=hold))
    number = made["document_id"]
    assert "reservation_id" not in made
    assert (made["verb"], made["state"]) == ("CREATE", "READY")
    assert made["movements"][:3] == [
        {"kind": "DOCUMENT", "level": 0, "document_kind": "TRANSFER", "field": "places"}
        | {"from_location_index": 0, "to_location_index": 1},
        {"kind": "DOCUMENT", "level": 0, "document_kind": "TRANSFER", "field": "due_us"}
        | {"value": 1_900_000_000_000_000},
        {"kind": "DOCUMENT", "level": 0, "document_kind": "TRANSFER", "field": "reservation_id"}
        | {"value": int(hold, 16)},
    ]
    sent = inspected(side, transfers.DispatchTransferRequest(transfer_id=number, lines=units_of([("A", 2)])))
    assert (sent["document_id"], sent["state"], sent["version"]) == (number, "IN_TRANSIT", 2)
    damaged = transfer_pb2.ReceivedUnits(
        sku_id="A", quantity=1, condition=transfer_pb2.RECEIPT_CONDITION_UNAVAILABLE, unavailable_reason=1
    )
    received = inspected(side, transfers.ReceiveTransferRequest(transfer_id=number, lines=[damaged]))
    assert received["state"] == "PARTIALLY_RECEIVED"
    assert received["movements"][-1]["reason"] == "DAMAGED"
    assert inspected(side, transfers.CancelTransferRequest(transfer_id=number))["state"] == "CANCELLED"


def test_a_hold_that_is_replaced_is_that_hold():
    side = Side()
    side.stock(A_X=10, A_Y=10)
    hold = side.ask(reserve(("A", "X", 4))).reservation_id
    again = reservations.ReserveStockRequest(reservation_id=hold, lines=lines([("A", "Y", 2)]))
    again.ttl.FromSeconds(60)
    record = inspected(side, again)
    assert (record["operation"], record["reservation_id"], record["state"]) == ("REPLACE", hold, "ACTIVE")
