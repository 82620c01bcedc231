"""FulfillmentService: requests to verbs of fulfillment orders, outcomes to responses."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from onhand.order.v1 import fulfillment_pb2 as messages
from onhand.order.v1 import fulfillment_service_pb2 as service
from onhand.routing.v1.plan_pb2 import FulfillmentMethod as WireMethod
from onhand.rules.checks import document_name, reservation_name

from engine.api import fields
from engine.api.lookups import known_location, own_document, own_number
from engine.api.methods import Command, Line, Outcome, ReadHandler, StockHandler, Surroundings, service_methods
from engine.api.refusals import no_document, raise_refusal, refused
from engine.api.stock.documents import (
    ANY,
    answer_verb,
    counted,
    listed,
    time_us_in,
    units_of,
    verb_of,
    wanted_of,
)
from engine.api.stock.reservations import notes_of
from ledger.book import Book
from ledger.core import limits
from ledger.core.documents import CREATE, DOCUMENTS, OPERATION_OF, allowed_verbs
from ledger.core.statuses import (
    DocumentKind,
    FulfillmentAction,
    FulfillmentMethod,
    FulfillmentStage,
    FulfillmentState,
    FulfillmentVerb,
    Status,
)
from ledger.core.views import DocumentFilter, DocumentView

KIND: Final = DocumentKind.FULFILLMENT_ORDER
(ROW,) = (row for row in DOCUMENTS if row.kind is KIND)
ID: Final = "fulfillment_order_id"
VERBS: Final[Mapping[int, FulfillmentVerb]] = {int(verb): verb for verb in FulfillmentVerb if verb != CREATE}
ACTION_OF: Final[Mapping[int, FulfillmentAction]] = {
    row.verb: FulfillmentAction(row.actions[0]) for row in ROW.verbs if row.actions and row.verb != CREATE
}
"""What the lines of a verb say; a verb that is not in it has none."""
NEEDS_LINES: Final = frozenset(row.verb for row in ROW.verbs if row.needs_lines)
# Fields of a line on the wire, by stage.
FIELD_OF: Final = {stage: f"{stage.name.lower()}_quantity" for stage in FulfillmentStage}
assert set(FIELD_OF.values()) | {"sku_id", "quantity"} == set(messages.FulfillmentLine.DESCRIPTOR.fields_by_name)
assert all(len(row.actions) <= 1 for row in ROW.verbs), "a line says nothing but its units"
for _enum, _wire, _prefix in (
    (VERBS.values(), messages.FulfillmentVerb, "FULFILLMENT_VERB"),
    (FulfillmentState, messages.FulfillmentState, "FULFILLMENT_STATE"),
    (FulfillmentMethod, WireMethod, "FULFILLMENT_METHOD"),
):
    assert {f"{_prefix}_{each.name}": int(each) for each in _enum} == {
        name: value for name, value in _wire.items() if value
    }


# ---- requests --------------------------------------------------------------------------------------------------------


def read_create(request: service.CreateFulfillmentOrderRequest) -> list[Command]:
    """Check CreateFulfillmentOrder."""
    location = fields.identifier(request.location_id, "location_id")
    method = request.method or WireMethod.FULFILLMENT_METHOD_SHIP
    if int(method) not in tuple(FulfillmentMethod):
        fields.wrong("method", "a method of FulfillmentMethod", method)
        method = WireMethod.FULFILLMENT_METHOD_SHIP
    head = Line(
        "",
        "",
        location,
        time_us_in(request, "due_time"),
        location,
        kind=CREATE,
        reason=KIND,
        to_quantity=fields.reservation_number(request.reservation_id),
        location_path="location_id",
        to_location_path="location_id",
        method=method,
    )
    lines = units_of(counted(request.lines, "lines", at_least=1), FulfillmentAction.ASSIGN, "lines")
    return [
        Command(
            OPERATION_OF[KIND],
            [head, *(line._replace(location_id=location) for line in lines)],
            fields.request_id(request.request_id),
            notes=notes_of(request),
        )
    ]


def read_advance(request: service.AdvanceFulfillmentOrderRequest) -> list[Command]:
    """Check AdvanceFulfillmentOrder."""
    verb = VERBS.get(request.verb, FulfillmentVerb.PICK)
    if request.verb not in VERBS:
        fields.wrong("verb", "a verb of FulfillmentVerb", request.verb)
    action = ACTION_OF.get(verb)
    if action is None and request.lines:
        fields.wrong("lines", f"none: {verb.name} is about all of it", len(request.lines))
    items = counted(request.lines, "lines", at_least=int(verb in NEEDS_LINES))
    lines = units_of(items, action or FulfillmentAction.PICK, "lines")
    return [verb_of(KIND, verb, request, ID, lines)]


def read_batch(request: service.BatchAdvanceFulfillmentOrdersRequest) -> list[Command]:
    """Check BatchAdvanceFulfillmentOrders: one wrong request refuses the call, so that nothing is half done."""
    fields.count_of(request.requests, "requests", limits.DOCUMENTS_PER_BATCH_MAX)
    return fields.read_each(request.requests, "requests", lambda item: read_advance(item)[0])


def bound_batch(commands: Sequence[Command], book: Book) -> None:
    """Refuse a batch whose requests concern too many lines, those counted that the fulfillment orders have."""
    numbers = np.array([command.reservation_id for command in commands], np.int64)
    total = sum(len(command.lines) - 1 for command in commands)  # the first one is no line of the request
    total += int(book.ledger.document_line_counts(numbers, 0).sum())
    if total > limits.LINES_PER_BATCH_MAX:
        expected = f"at most {limits.LINES_PER_BATCH_MAX} lines in all, those of the fulfillment orders counted"
        fields.wrong("requests", expected, total)


# ---- responses -------------------------------------------------------------------------------------------------------


def answer_create(
    _: service.CreateFulfillmentOrderRequest, commands: Sequence[Command], outcomes: Sequence[Outcome], book: Book
) -> service.CreateFulfillmentOrderResponse:
    """Answer CreateFulfillmentOrder."""
    outcome = outcomes[0]
    raise_refusal(commands[0], outcome, book)
    return service.CreateFulfillmentOrderResponse(
        fulfillment_order_id=document_name(outcome.reservation_id),
        state=outcome.state,  # type: ignore[arg-type]  # the values are those of the wire
        version=outcome.version,
        seq=outcome.seq,
    )


def answer_batch(
    _: service.BatchAdvanceFulfillmentOrdersRequest,
    commands: Sequence[Command],
    outcomes: Sequence[Outcome],
    book: Book,
) -> service.BatchAdvanceFulfillmentOrdersResponse:
    """Answer BatchAdvanceFulfillmentOrders."""
    results = [
        service.AdvanceFulfillmentOrderResult(
            advanced=service.AdvanceFulfillmentOrderResponse(
                state=outcome.state,  # type: ignore[arg-type]  # the values are those of the wire
                version=outcome.version,
                seq=outcome.seq,
            )
        )
        if outcome.status == Status.OK
        else service.AdvanceFulfillmentOrderResult(refused=refused(command, outcome, book).refusal())
        for command, outcome in zip(commands, outcomes, strict=True)
    ]
    return service.BatchAdvanceFulfillmentOrdersResponse(results=results, seq=book.seq)


# ---- reads -----------------------------------------------------------------------------------------------------------


def describe(number: int, view: DocumentView, book: Book) -> messages.FulfillmentOrder:
    """Return a fulfillment order as callers see it."""
    ledger = book.ledger
    stages = {stage for _, units in view.lines for stage, count in zip(FulfillmentStage, units, strict=False) if count}
    found = messages.FulfillmentOrder(
        fulfillment_order_id=document_name(number),
        reservation_id=reservation_name(view.reservation_id),
        location_id=ledger.location_id(view.source),
        method=view.method,  # type: ignore[arg-type]  # the values are those of the wire
        state=view.state,  # type: ignore[arg-type]
        version=view.version,
        allowed_verbs=allowed_verbs(KIND, view.state, view.method, stages),  # type: ignore[arg-type]
    )
    for sku, units in view.lines:
        line = found.lines.add(sku_id=ledger.sku_id(sku), quantity=sum(units))
        for stage, count in zip(FulfillmentStage, units, strict=False):
            setattr(line, FIELD_OF[stage], count)
    if view.due_us:
        fields.set_time(found.due_time, view.due_us)
    fields.set_time(found.create_time, view.create_time_us)
    fields.set_time(found.update_time, view.time_us)
    return found


def get_fulfillment_order(
    request: service.GetFulfillmentOrderRequest, around: Surroundings
) -> service.GetFulfillmentOrderResponse:
    """Answer GetFulfillmentOrder."""
    number = own_document(around.book, request.fulfillment_order_id, ID)
    view = around.book.ledger.document(number, KIND)
    if view is None:
        raise no_document("fulfillment_order", request.fulfillment_order_id)
    found = describe(number, view, around.book)
    return service.GetFulfillmentOrderResponse(fulfillment_order=found, seq=around.book.seq)


def _page_of(request: service.ListFulfillmentOrdersRequest, book: Book) -> tuple[int, int, DocumentFilter]:
    """Return the size of a page, the slot at which it begins, and which fulfillment orders are wanted."""
    size, slot = fields.page_of(request)
    wanted = DocumentFilter(
        KIND,
        wanted_of(FulfillmentState, request.states, "states"),
        wanted_of(FulfillmentMethod, request.methods, "methods"),
        known_location(book, request.location_id, "location_id") if request.location_id else ANY,
        own_number(book, request.reservation_id) if request.reservation_id else 0,
        time_us_in(request, "due_before"),
    )
    return size, slot, wanted


def list_fulfillment_orders(
    request: service.ListFulfillmentOrdersRequest, around: Surroundings
) -> service.ListFulfillmentOrdersResponse:
    """Answer ListFulfillmentOrders: slots in their order, a bounded number a call."""
    book = around.book
    found, token = listed(book, *fields.in_full(_page_of, request, book))
    page = [describe(number, view, book) for number, view in found]
    return service.ListFulfillmentOrdersResponse(fulfillment_orders=page, next_page_token=token, seq=book.seq)


METHODS: Final = service_methods(
    service.DESCRIPTOR.services_by_name["FulfillmentService"],
    {
        "CreateFulfillmentOrder": StockHandler(read_create, answer_create),
        "AdvanceFulfillmentOrder": StockHandler(read_advance, answer_verb(service.AdvanceFulfillmentOrderResponse)),
        "BatchAdvanceFulfillmentOrders": StockHandler(read_batch, answer_batch, bound_batch),
        "GetFulfillmentOrder": ReadHandler(get_fulfillment_order),
        "ListFulfillmentOrders": ReadHandler(list_fulfillment_orders),
    },
)
