"""What the tests of this folder share."""

import uuid
from typing import Any

from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.routing.v1 import network_pb2
from onhand.routing.v1 import network_service_pb2 as networks
from onhand.routing.v1 import routing_service_pb2 as routing
from routing_harness import a_network, location_routing
from test_routing_state import Side

from engine.errors import RefusedError


def network(side: Side, **more: Any) -> None:
    """Change what is not of the locations."""
    side.ask(networks.UpsertNetworkRequest(network=a_network(**more)))


def locations(side: Side, **own: dict[str, Any]) -> None:
    rows = [location_routing(name, **more) for name, more in own.items()]
    side.ask(networks.UpsertLocationRoutingRequest(locations=rows))


def refused(side: Side, request: Any) -> RefusedError:
    reply = side.group(request)[0]
    assert isinstance(reply, RefusedError), reply
    return reply


def move(reservation_id: str, origin: str, target: str, **units: int) -> reservations.TransferReservationRequest:
    lines = [{"sku_id": sku, "quantity": count} for sku, count in units.items()]
    return reservations.TransferReservationRequest(
        reservation_id=reservation_id, from_location_id=origin, to_location_id=target, lines=lines
    )


def reject(reservation_id: str, at: str, request_id: str = "", **units: int) -> routing.RejectAssignmentRequest:
    lines = [routing.RejectedLine(sku_id=sku, quantity=count) for sku, count in units.items()]
    return routing.RejectAssignmentRequest(
        reservation_id=reservation_id, location_id=at, lines=lines, request_id=request_id
    )


def held(side: Side, reservation_id: str) -> dict[tuple[str, str], int]:
    """(sku, location) -> open units."""
    found = side.ask(reservations.GetReservationRequest(reservation_id=reservation_id)).reservation
    return {(line.sku_id, line.location_id): line.open_quantity for line in found.lines if line.open_quantity}


def a_request_id(number: int = 1) -> str:
    return str(uuid.UUID(int=number, version=4))


def version(name: str, number: int) -> network_pb2.RoutingProfile:
    return network_pb2.RoutingProfile(name=name, version=number)


def told(error: RefusedError) -> tuple[Any, ...]:
    return error.reason, error.message, error.metadata, [str(short) for short in error.shortages]
