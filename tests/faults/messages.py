"""What is asked, as messages of the contract."""

import uuid
from collections.abc import Mapping
from typing import Any, Final

from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_pb2, transfer_pb2
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.inventory.v1 import transfer_service_pb2 as transfers
from onhand.order.v1 import fulfillment_pb2
from onhand.order.v1 import fulfillment_service_pb2 as fulfillment
from onhand.routing.v1 import bulk_service_pb2 as bulk_routing
from onhand.routing.v1 import plan_pb2
from onhand.routing.v1 import routing_service_pb2 as routing

from .history import Ask, Asked

DESTINATION: Final = (1.0, 1.5)
"""Of all orders that are planned: latitude and longitude."""


def request_of(asked: Asked) -> tuple[str, Any]:
    """Return the method and the message of what is asked."""
    method, make = _REQUESTS[asked.ask]
    return method, make(asked)


def written(asked: Asked) -> dict[str, Any]:
    """Return what every write has: its request id is its reference too, which the history shows."""
    return {"request_id": asked.request_id, "reference": asked.request_id, "actor": "faults"}


def _lines(asked: Asked) -> list[reservation_pb2.LineQuantity]:
    return [
        reservation_pb2.LineQuantity(sku_id=sku, location_id=location, quantity=units)
        for sku, location, units in asked.lines
    ]


def _reserve(asked: Asked) -> Any:
    request = reservations.ReserveStockRequest(
        lines=_lines(asked),
        allow_partial=asked.allow_partial,
        reservation_id=asked.reservation_id,
        expected_version=asked.expected_version,
        **written(asked),
    )
    request.ttl.FromMicroseconds(asked.ttl_us)
    return request


def _extend(asked: Asked) -> Any:
    request = reservations.ExtendReservationRequest(reservation_id=asked.reservation_id, **written(asked))
    request.ttl.FromMicroseconds(asked.ttl_us)
    return request


def _units(message: Any) -> Any:
    def make(asked: Asked) -> Any:
        return message(reservation_id=asked.reservation_id, lines=_lines(asked), **written(asked))

    return make


def _amend(asked: Asked) -> Any:
    lines = [
        reservations.LineAmendment(sku_id=sku, location_id=location, quantity=units)
        for sku, location, units in asked.lines
    ]
    return reservations.AmendReservationRequest(
        reservation_id=asked.reservation_id, lines=lines, expected_version=asked.expected_version, **written(asked)
    )


def _transfer(asked: Asked) -> Any:
    return reservations.TransferReservationRequest(
        reservation_id=asked.reservation_id,
        from_location_id=asked.from_location,
        to_location_id=asked.to_location,
        lines=[reservations.SkuQuantity(sku_id=sku, quantity=units) for sku, _, units in asked.lines],
        expected_version=asked.expected_version,
        **written(asked),
    )


def _movements(asked: Asked) -> Any:
    movements = [
        inventory.NewMovement(
            type=f"MOVEMENT_TYPE_{asked.movement}",
            sku_id=sku,
            location_id=location,
            quantity=units,
            to_location_id=asked.to_location,
        )
        for sku, location, units in asked.lines
    ]
    return inventory.RecordMovementsRequest(movements=movements, **written(asked))


def _counts(asked: Asked) -> Any:
    counts = [
        inventory.OnHandCount(sku_id=sku, location_id=location, on_hand=units) for sku, location, units in asked.lines
    ]
    return inventory.SetOnHandRequest(counts=counts, **written(asked))


def _availability(asked: Asked) -> Any:
    return inventory.BatchGetAvailabilityRequest(sku_ids=[sku for sku, _, _ in asked.lines])


def _level(asked: Asked) -> Any:
    ((sku, location, _),) = asked.lines
    return inventory.GetStockLevelRequest(sku_id=sku, location_id=location)


def _reservation(asked: Asked) -> Any:
    return reservations.GetReservationRequest(reservation_id=asked.reservation_id)


def _shipped(asked: Asked) -> list[transfer_pb2.TransferQuantity]:
    return [transfer_pb2.TransferQuantity(sku_id=sku, quantity=units) for sku, _, units in asked.lines]


def _create(asked: Asked) -> Any:
    return transfers.CreateTransferRequest(
        from_location_id=asked.from_location,
        to_location_id=asked.to_location,
        lines=_shipped(asked),
        hold=asked.is_held,
        reservation_id=asked.reservation_id,
        **written(asked),
    )


def _dispatch(asked: Asked) -> Any:
    return transfers.DispatchTransferRequest(
        transfer_id=asked.reservation_id,
        lines=_shipped(asked),
        expected_version=asked.expected_version,
        **written(asked),
    )


def _receive(asked: Asked) -> Any:
    lines = [
        transfer_pb2.ReceivedUnits(sku_id=sku, quantity=units, condition=f"RECEIPT_CONDITION_{asked.condition}")
        for sku, _, units in asked.lines
    ]
    return transfers.ReceiveTransferRequest(transfer_id=asked.reservation_id, lines=lines, **written(asked))


def _close(asked: Asked) -> Any:
    return transfers.CloseTransferRequest(transfer_id=asked.reservation_id, **written(asked))


def _find(asked: Asked) -> Any:
    lines = [transfer_pb2.FoundUnits(sku_id=sku, quantity=units) for sku, _, units in asked.lines]
    return transfers.RecordFoundUnitsRequest(transfer_id=asked.reservation_id, lines=lines, **written(asked))


def _call_back(asked: Asked) -> Any:
    return transfers.CancelTransferRequest(
        transfer_id=asked.reservation_id, written_off=_shipped(asked), **written(asked)
    )


def _plan(asked: Asked) -> Any:
    lines = [plan_pb2.OrderLine(sku_id=sku, quantity=units) for sku, _, units in asked.lines]
    latitude, longitude = DESTINATION
    destination = plan_pb2.Destination(latitude=latitude, longitude=longitude)
    order = plan_pb2.Order(lines=lines, destination=destination)
    request = routing.PlanFulfillmentRequest(order=order, **written(asked))
    request.ttl.FromMicroseconds(asked.ttl_us)
    return request


def _plan_in_columns(asked: Asked) -> Any:
    latitude, longitude = DESTINATION
    return bulk_routing.PlanOrdersRequest(
        sku_ids=[sku for sku, _, _ in asked.lines],
        sku_indexes=range(len(asked.lines)),
        quantities=[units for _, _, units in asked.lines],
        line_counts=[len(asked.lines)],
        request_ids=uuid.UUID(asked.request_id).bytes,
        ttl_us=[asked.ttl_us],
        latitudes=[latitude],
        longitudes=[longitude],
        texts=[asked.request_id, "faults"],
        reference_indexes=[0],
        actor_indexes=[1],
    )


def _reject(asked: Asked) -> Any:
    return routing.RejectAssignmentRequest(
        reservation_id=asked.reservation_id, location_id=asked.from_location, **written(asked)
    )


def _shipment(asked: Asked) -> Any:
    return transfers.GetTransferRequest(transfer_id=asked.reservation_id)


def _worked(asked: Asked) -> list[fulfillment_pb2.FulfillmentQuantity]:
    return [fulfillment_pb2.FulfillmentQuantity(sku_id=sku, quantity=units) for sku, _, units in asked.lines]


def _assign(asked: Asked) -> Any:
    return fulfillment.CreateFulfillmentOrderRequest(
        reservation_id=asked.reservation_id,
        location_id=asked.from_location,
        lines=_worked(asked),
        **written(asked),
    )


def _advance(asked: Asked) -> Any:
    return fulfillment.AdvanceFulfillmentOrderRequest(
        fulfillment_order_id=asked.reservation_id,
        verb=f"FULFILLMENT_VERB_{asked.verb}",  # type: ignore[arg-type]  # by its name
        lines=_worked(asked),
        expected_version=asked.expected_version,
        **written(asked),
    )


def _work(asked: Asked) -> Any:
    return fulfillment.GetFulfillmentOrderRequest(fulfillment_order_id=asked.reservation_id)


_REQUESTS: Final[Mapping[Ask, tuple[str, Any]]] = {
    Ask.RESERVE: ("ReserveStock", _reserve),
    Ask.COMMIT: ("CommitReservation", _units(reservations.CommitReservationRequest)),
    Ask.RELEASE: ("ReleaseReservation", _units(reservations.ReleaseReservationRequest)),
    Ask.EXTEND: ("ExtendReservation", _extend),
    Ask.AMEND: ("AmendReservation", _amend),
    Ask.TRANSFER: ("TransferReservation", _transfer),
    Ask.FULFILL: ("FulfillCommitment", _units(reservations.FulfillCommitmentRequest)),
    Ask.CANCEL: ("CancelCommitment", _units(reservations.CancelCommitmentRequest)),
    Ask.RECORD_MOVEMENTS: ("RecordMovements", _movements),
    Ask.SET_ON_HAND: ("SetOnHand", _counts),
    Ask.REPLACE: ("ReserveStock", _reserve),
    Ask.AVAILABILITY: ("BatchGetAvailability", _availability),
    Ask.LEVEL: ("GetStockLevel", _level),
    Ask.RESERVATION: ("GetReservation", _reservation),
    Ask.CREATE_TRANSFER: ("CreateTransfer", _create),
    Ask.DISPATCH_TRANSFER: ("DispatchTransfer", _dispatch),
    Ask.RECEIVE_TRANSFER: ("ReceiveTransfer", _receive),
    Ask.CLOSE_TRANSFER: ("CloseTransfer", _close),
    Ask.RECORD_FOUND_UNITS: ("RecordFoundUnits", _find),
    Ask.CANCEL_TRANSFER: ("CancelTransfer", _call_back),
    Ask.PLAN_FULFILLMENT: ("PlanFulfillment", _plan),
    Ask.PLAN_ORDERS: ("PlanOrders", _plan_in_columns),
    Ask.REJECT_ASSIGNMENT: ("RejectAssignment", _reject),
    Ask.SHIPMENT: ("GetTransfer", _shipment),
    Ask.CREATE_FULFILLMENT_ORDER: ("CreateFulfillmentOrder", _assign),
    Ask.ADVANCE_FULFILLMENT_ORDER: ("AdvanceFulfillmentOrder", _advance),
    Ask.WORK: ("GetFulfillmentOrder", _work),
}
assert set(_REQUESTS) == set(Ask)
