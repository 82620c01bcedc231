"""How the lines of a planned reservation reach the customer, as its plan says."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from onhand.routing.v1 import plan_pb2 as messages
from onhand.routing.v1 import routing_service_pb2 as service

from ledger.book import Book
from ledger.parts.plans import StoredPlan

NOT_GIVEN: Final = -1
PREFIX: Final = "FULFILLMENT_METHOD_"
SHIP: Final = messages.FULFILLMENT_METHOD_SHIP
"""What a line means that does not say its method."""


class Amended(msgspec.Struct, frozen=True, array_like=True):
    """What a plan that takes over rejected units keeps beside what every plan keeps."""

    order: bytes
    """The Order that was planned first."""
    numbers: list[int]
    """Position in that order of each line that was planned anew."""
    assigned: list[tuple[int, str, int]]
    """(line of the order, location, units) after it."""
    lines: list[tuple[str, str, int]]
    """(sku, location, quantity) of the command that changed the hold: a repeat is compared with it."""
    shipments_max: int = NOT_GIVEN
    """That the units were planned with; NOT_GIVEN: as was asked."""
    is_split_forbidden: bool = False
    """Whether the whole order is worth too little to be split."""
    only: list[str] | None = None
    """Locations that were asked to fill them, since the order could have no shipment more; None: all."""


decode_amended: Final = msgspec.msgpack.Decoder(Amended).decode
encode_amended: Final = msgspec.msgpack.Encoder().encode


def methods_of(reservation_id: int, book: Book) -> list[str]:
    """Return how the lines of a reservation's plan reach the customer, each way once; empty where it has no plan."""
    stored = book.plans.plan_of_reservation(reservation_id)
    if stored is None:
        return []
    names = (messages.FulfillmentMethod.Name(value or SHIP) for value in _methods_in(stored))
    return list(dict.fromkeys(name.removeprefix(PREFIX) for name in names))


def _methods_in(stored: StoredPlan) -> Iterable[Any]:
    """Give the methods of a plan; of one that takes over rejected units, those of the whole order."""
    if stored.amended:
        return (line.method for line in messages.Order.FromString(decode_amended(stored.amended).order).lines)
    plan = service.PlanFulfillmentResponse.FromString(stored.response).plan
    return (shipment.method for shipment in plan.shipments)
