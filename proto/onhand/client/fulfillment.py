"""Fulfillment orders: values, and calls that go alone. Each function returns what is to be called."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from onhand.client import checks, limits
from onhand.client.arguments import SkuUnits, checks_names
from onhand.client.commands import NoteOptions, WriteOptions
from onhand.client.documents import DocumentTimes, lines_in, quantities
from onhand.client.errors import RefusedError, refusal
from onhand.client.instants import time_us_in, timestamp
from onhand.client.lone import Lone, Page, noted
from onhand.client.results import FulfillmentState, FulfillmentVerb, Shortage
from onhand.client.routing import FulfillmentMethod
from onhand.order.v1 import fulfillment_pb2 as messages
from onhand.order.v1 import fulfillment_service_pb2 as service


class FulfillmentLine(msgspec.Struct, frozen=True, gc=False):
    """One line of a fulfillment order: a sku, and where its units are."""

    sku_id: str
    quantity: int
    """Asked for: the sum of what follows."""
    open: int = 0
    """To be picked, and committed at the location."""
    picked: int = 0
    """Taken from the shelf, and committed still."""
    shipped: int = 0
    collected: int = 0
    rejected: int = 0
    """Not done here: held for the order again."""
    missing: int = 0
    """Not found, or unfit."""
    cancelled: int = 0
    to_put_back: int = 0
    """Not wanted any more, for sale again, and to be put back on the shelf."""


class FulfillmentOrder(DocumentTimes, msgspec.Struct, frozen=True, gc=False):
    """What one location has to do for an order, by one method."""

    fulfillment_order_id: str
    reservation_id: str
    location_id: str
    method: FulfillmentMethod
    state: FulfillmentState
    lines: tuple[FulfillmentLine, ...]
    version: int
    due_time_us: int | None
    create_time_us: int
    update_time_us: int
    """Of its last change; of one that has ended, when it ended."""
    allowed_verbs: tuple[FulfillmentVerb, ...]
    """What can be done with it now."""


class FulfillmentCreated(msgspec.Struct, frozen=True, gc=False):
    """A fulfillment order that was made."""

    fulfillment_order_id: str
    state: FulfillmentState
    version: int
    seq: int
    """Position of this write in the ledger's order."""


class FulfillmentChanged(msgspec.Struct, frozen=True, gc=False):
    """A fulfillment order after a change."""

    state: FulfillmentState
    version: int
    seq: int
    """Position of this write in the ledger's order."""


@checks_names
class FulfillmentStep(NamedTuple):
    """One verb of one fulfillment order."""

    fulfillment_order_id: str
    verb: FulfillmentVerb
    lines: Sequence[SkuUnits] = ()
    """(sku, quantity); none: all, where the verb may be about some."""
    expected_version: int = 0
    """0: any."""


# ---- writes ----------------------------------------------------------------------------------------------------------


def create_fulfillment_order(
    reservation_id: str,
    location_id: str,
    lines: Sequence[SkuUnits],
    *,
    method: FulfillmentMethod,
    due_time_us: int | None,
    options: WriteOptions,
) -> Lone[FulfillmentCreated]:
    """Return the call that makes a fulfillment order."""
    request = service.CreateFulfillmentOrderRequest(
        reservation_id=reservation_id,
        location_id=checks.identifier(location_id, "location_id"),
        method=int(method),  # type: ignore[arg-type]  # the values are those of the wire
        lines=quantities(messages.FulfillmentQuantity, lines, "lines"),
        due_time=timestamp(due_time_us, "due_time_us"),
        **noted(options),
    )
    return Lone(
        request,
        lambda response: FulfillmentCreated(
            response.fulfillment_order_id, FulfillmentState(response.state), response.version, response.seq
        ),
        request.request_id,
    )


def advance_fulfillment_order(step: FulfillmentStep, options: WriteOptions) -> Lone[FulfillmentChanged]:
    """Return the call that does one verb."""
    request = _request(step, "", noted(options))
    return Lone(request, _changed, request.request_id)


def advance_fulfillment_orders(
    steps: Sequence[FulfillmentStep], options: NoteOptions
) -> Lone[tuple[FulfillmentChanged | RefusedError, ...]]:
    """Return the call that does a verb of each of many, each with a request id of its own."""
    notes = {"reference": options.get("reference", ""), "actor": options.get("actor", "")}
    requests = [
        _request(step, f"steps[{place}].", noted(WriteOptions(**notes)))  # type: ignore[typeddict-item]  # both of it
        for place, step in enumerate(steps)
    ]
    return Lone(
        service.BatchAdvanceFulfillmentOrdersRequest(requests=requests),
        lambda response: tuple(map(_result, response.results)),
        requests[0].request_id if requests else "",
    )


def _result(message: Any) -> FulfillmentChanged | RefusedError:
    if message.HasField("advanced"):
        return _changed(message.advanced)
    refused = message.refused
    return refusal(refused.reason, refused.message, shortages=tuple(map(Shortage.of, refused.shortages)))


def _request(step: FulfillmentStep, field: str, notes: dict[str, Any]) -> service.AdvanceFulfillmentOrderRequest:
    return service.AdvanceFulfillmentOrderRequest(
        fulfillment_order_id=step.fulfillment_order_id,
        verb=int(step.verb),  # type: ignore[arg-type]  # the values are those of the wire
        lines=quantities(messages.FulfillmentQuantity, step.lines, f"{field}lines"),
        expected_version=checks.version(step.expected_version),
        **notes,
    )


def _changed(response: Any) -> FulfillmentChanged:
    return FulfillmentChanged(FulfillmentState(response.state), response.version, response.seq)


# ---- reads -----------------------------------------------------------------------------------------------------------


def get_fulfillment_order(fulfillment_order_id: str) -> Lone[FulfillmentOrder]:
    """Return the call that reads one fulfillment order."""
    return Lone(
        service.GetFulfillmentOrderRequest(fulfillment_order_id=fulfillment_order_id),
        lambda response: _fulfillment_order(response.fulfillment_order),
    )


def list_fulfillment_orders(
    token: str,
    *,
    location_id: str,
    reservation_id: str,
    states: Sequence[FulfillmentState],
    methods: Sequence[FulfillmentMethod],
    due_before_us: int | None,
) -> Lone[Page[FulfillmentOrder]]:
    """Return the call that reads one page of fulfillment orders."""
    request = service.ListFulfillmentOrdersRequest(
        page_size=limits.PAGE_SIZE,
        page_token=token,
        location_id=location_id,
        reservation_id=reservation_id,
        states=[int(state) for state in states],  # type: ignore[misc]  # the values are those of the wire
        methods=[int(method) for method in methods],  # type: ignore[misc]
        due_before=timestamp(due_before_us, "due_before_us"),
    )
    return Lone(
        request,
        lambda response: Page(tuple(map(_fulfillment_order, response.fulfillment_orders)), response.next_page_token),
    )


def _fulfillment_order(message: Any) -> FulfillmentOrder:
    return FulfillmentOrder(
        message.fulfillment_order_id,
        message.reservation_id,
        message.location_id,
        FulfillmentMethod(message.method),
        FulfillmentState(message.state),
        lines_in(message, FulfillmentLine),
        message.version,
        time_us_in(message, "due_time"),
        message.create_time.ToMicroseconds(),
        message.update_time.ToMicroseconds(),
        tuple(map(FulfillmentVerb, message.allowed_verbs)),
    )
