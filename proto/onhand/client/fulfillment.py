"""Fulfillment orders: values, and calls that go alone. Each function returns what is to be called."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp
from onhand.client import checks, limits
from onhand.client.arguments import SkuUnits, checks_names, whole
from onhand.client.commands import NoteOptions, WriteOptions
from onhand.client.errors import RefusedError, refusal
from onhand.client.lone import Lone, Page, noted
from onhand.client.results import FulfillmentState, FulfillmentVerb, Shortage, time_of
from onhand.client.routing import FulfillmentMethod
from onhand.order.v1 import fulfillment_pb2 as messages
from onhand.order.v1 import fulfillment_service_pb2 as service
from onhand.rules.limits import MICROSECONDS


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


class FulfillmentOrder(msgspec.Struct, frozen=True, gc=False):
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

    @property
    def due_time(self) -> datetime | None:
        """When it should have left, or be ready."""
        return None if self.due_time_us is None else time_of(self.due_time_us)

    @property
    def create_time(self) -> datetime:
        """When it was made."""
        return time_of(self.create_time_us)

    @property
    def update_time(self) -> datetime:
        """When it last changed; of one that has ended, when it ended."""
        return time_of(self.update_time_us)


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


# Quantities of a line, by their names here.
QUANTITIES: Final = FulfillmentLine.__struct_fields__[2:]


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
        lines=_units(lines, "lines"),
        due_time=None if due_time_us is None else _timestamp(whole(due_time_us, "due_time_us", 1)),
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
        lines=_units(step.lines, f"{field}lines"),
        expected_version=checks.version(step.expected_version),
        **notes,
    )


def _changed(response: Any) -> FulfillmentChanged:
    return FulfillmentChanged(FulfillmentState(response.state), response.version, response.seq)


def _units(lines: Sequence[SkuUnits], field: str) -> list[messages.FulfillmentQuantity]:
    return [
        messages.FulfillmentQuantity(
            sku_id=checks.identifier(sku_id, f"{field}[{place}].sku_id"),
            quantity=checks.quantity(quantity, f"{field}[{place}].quantity"),
        )
        for place, (sku_id, quantity) in enumerate(lines)
    ]


def _timestamp(time_us: int) -> Timestamp:
    return Timestamp(seconds=time_us // MICROSECONDS, nanos=time_us % MICROSECONDS * 1000)


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
        due_before=None if due_before_us is None else _timestamp(whole(due_before_us, "due_before_us", 1)),
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
        tuple(
            FulfillmentLine(
                line.sku_id, line.quantity, **{name: getattr(line, f"{name}_quantity") for name in QUANTITIES}
            )
            for line in message.lines
        ),
        message.version,
        _time_us(message.due_time) if message.HasField("due_time") else None,
        _time_us(message.create_time),
        _time_us(message.update_time),
        tuple(map(FulfillmentVerb, message.allowed_verbs)),
    )


def _time_us(message: Timestamp) -> int:
    return message.seconds * MICROSECONDS + message.nanos // 1000
