"""The largest legal request of each RPC of fulfillment orders.

`prepare_works` makes fulfillment orders of as many lines as there may be, and as many as one call may advance; each
request changes some of them, in an order in which all are accepted.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from google.protobuf.message import Message
from onhand.order.v1 import fulfillment_pb2 as messages
from onhand.order.v1 import fulfillment_service_pb2 as service

from bench.names import location_name, sku_name
from bench.pauses_columns import ORIGIN, WIDE, Largest
from ledger.core import limits

WORK: Final = "/onhand.order.v1.FulfillmentService/"
WIDE_AT_ONCE: Final = limits.LINES_PER_BATCH_MAX // (WIDE + 1)
"""Fulfillment orders with as many lines as there may be that one call can advance: each counts once more."""


class Works(NamedTuple):
    """Fulfillment orders at ORIGIN, each OPEN."""

    wide: Sequence[str]
    """Of WIDE lines; the first is changed alone."""
    narrow: Sequence[str]
    """Of one line."""
    order: int
    """A reservation of WIDE lines that has none yet."""


def prepare_works(call: Callable[[str, Message], bytes], orders: Iterator[int]) -> Works:
    """Make the fulfillment orders that the requests speak of, of committed reservations of WIDE lines."""

    def made(order: int, skus: Sequence[int]) -> str:
        answer = call(WORK + "CreateFulfillmentOrder", _create(order, skus))
        return service.CreateFulfillmentOrderResponse.FromString(answer).fulfillment_order_id

    wide = [made(order, range(WIDE)) for order in islice(orders, WIDE_AT_ONCE + 1)]
    split = islice(orders, limits.DOCUMENTS_PER_BATCH_MAX // WIDE)
    narrow = [made(order, [sku]) for order in split for sku in range(WIDE)]
    return Works(wide, narrow, next(orders))


def of_works(at: Works) -> Iterator[Largest]:
    """Give the requests."""
    size = f"{WIDE} lines"
    yield Largest(WORK + "CreateFulfillmentOrder", size, _create(at.order, range(WIDE)))
    some = [messages.FulfillmentQuantity(sku_id=sku_name(sku), quantity=1) for sku in reversed(range(WIDE))]
    for verb, lines in (("PICK", some), ("PACK", ()), ("SHIP", some)):
        yield Largest(WORK + "AdvanceFulfillmentOrder", f"{verb} of {size}", _step(at.wide[0], verb, lines))
    for name, numbers in ((f"{len(at.wide) - 1} of {size}", at.wide[1:]), (f"{len(at.narrow)} of a line", at.narrow)):
        for verb in ("PICK", "SHIP"):
            steps = [_step(number, verb) for number in numbers]
            request = service.BatchAdvanceFulfillmentOrdersRequest(requests=steps)
            yield Largest(WORK + "BatchAdvanceFulfillmentOrders", f"{verb} of {name}", request)
    one = service.GetFulfillmentOrderRequest(fulfillment_order_id=at.wide[0])
    yield Largest(WORK + "GetFulfillmentOrder", size, one)
    for what, states in {"a full page": [], "state of none": [messages.FULFILLMENT_STATE_REJECTED]}.items():
        listing = service.ListFulfillmentOrdersRequest(page_size=limits.PAGE_SIZE_MAX, states=states)
        yield Largest(WORK + "ListFulfillmentOrders", what, listing)


def _create(order: int, skus: Sequence[int]) -> service.CreateFulfillmentOrderRequest:
    lines = [messages.FulfillmentQuantity(sku_id=sku_name(sku), quantity=1) for sku in skus]
    return service.CreateFulfillmentOrderRequest(
        reservation_id=f"{order:016x}", location_id=location_name(ORIGIN), lines=lines, **_notes()
    )


def _step(number: str, verb: str, lines: Sequence[Any] = ()) -> service.AdvanceFulfillmentOrderRequest:
    return service.AdvanceFulfillmentOrderRequest(
        fulfillment_order_id=number,
        verb=f"FULFILLMENT_VERB_{verb}",
        lines=lines,
        **_notes(),
    )


def _notes() -> dict[str, Any]:
    return {"reference": "r" * limits.REFERENCE_BYTES_MAX, "actor": "a" * limits.REFERENCE_BYTES_MAX}
