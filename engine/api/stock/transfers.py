"""TransferService: requests to verbs of transfers, outcomes to responses."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final

from onhand.inventory.v1 import transfer_pb2 as messages
from onhand.inventory.v1 import transfer_service_pb2 as service
from onhand.rules.checks import document_name, reservation_name

from engine.api import fields
from engine.api.lookups import known_location, own_document
from engine.api.methods import Command, Line, Outcome, ReadHandler, StockHandler, Surroundings, service_methods
from engine.api.refusals import no_document, raise_refusal
from engine.api.stock.documents import (
    ANY,
    Said,
    answer_verb,
    counted,
    lines_of,
    listed,
    time_us_in,
    units_of,
    verb_of,
    wanted_of,
)
from engine.api.stock.reservations import notes_of
from ledger.book import Book
from ledger.core.documents import DOCUMENTS
from ledger.core.records import USES_SAFETY_STOCK
from ledger.core.statuses import (
    DocumentKind,
    Operation,
    TransferAction,
    TransferStage,
    TransferState,
    TransferVerb,
    Unavailable,
)
from ledger.core.views import DocumentFilter, DocumentView

KIND: Final = DocumentKind.TRANSFER
(ROW,) = (row for row in DOCUMENTS if row.kind is KIND)
Condition = messages.ReceiptCondition
ACTIONS: Final = {
    Condition.RECEIPT_CONDITION_UNSPECIFIED: TransferAction.ACCEPT,
    Condition.RECEIPT_CONDITION_GOOD: TransferAction.ACCEPT,
    Condition.RECEIPT_CONDITION_UNAVAILABLE: TransferAction.SET_ASIDE,
    Condition.RECEIPT_CONDITION_SHORT: TransferAction.LOSE,
    Condition.RECEIPT_CONDITION_UNEXPECTED: TransferAction.ADD,
}
# Fields of a line on the wire, by stage.
FIELD_OF: Final = {stage: f"{stage.name.lower()}_quantity" for stage in TransferStage}
assert set(FIELD_OF.values()) | {"sku_id", "quantity"} == set(messages.TransferLine.DESCRIPTOR.fields_by_name)
assert ACTIONS.keys() == set(Condition.values())
assert {f"TRANSFER_STATE_{state.name}": int(state) for state in TransferState} == {
    name: value for name, value in messages.TransferState.items() if value
}


# ---- requests --------------------------------------------------------------------------------------------------------


def _verb(verb: IntEnum, request: Any, lines: list[Line]) -> list[Command]:
    """Return the command of a verb of a transfer that is there."""
    return [verb_of(KIND, verb, request, "transfer_id", lines)]


def read_create(request: service.CreateTransferRequest) -> list[Command]:
    """Check CreateTransfer."""
    source = fields.identifier(request.from_location_id, "from_location_id")
    target = fields.identifier(request.to_location_id, "to_location_id")
    if source == target:
        fields.wrong("to_location_id", "another location than from_location_id", target)
    order = fields.reservation_number(request.reservation_id) if request.reservation_id else 0
    action = TransferAction.HOLD if request.hold or order else TransferAction.PLAN
    head = Line(
        "",
        "",
        source,
        time_us_in(request, "due_time"),
        target,
        kind=TransferVerb.CREATE,
        reason=KIND,
        to_quantity=order,
        location_path="from_location_id",
        to_location_path="to_location_id",
    )
    lines = units_of(counted(request.lines, "lines", at_least=1), action, "lines")
    return [
        Command(
            Operation.ADVANCE,
            [head, *(line._replace(location_id=source) for line in lines)],
            fields.request_id(request.request_id),
            flags=USES_SAFETY_STOCK if request.use_safety_stock else 0,
            notes=notes_of(request),
        )
    ]


def read_dispatch(request: service.DispatchTransferRequest) -> list[Command]:
    """Check DispatchTransfer."""
    lines = units_of(counted(request.lines, "lines"), TransferAction.SEND, "lines")
    (command,) = _verb(TransferVerb.DISPATCH, request, lines)
    return [command._replace(flags=USES_SAFETY_STOCK)] if request.use_safety_stock else [command]


def read_receive(request: service.ReceiveTransferRequest) -> list[Command]:
    """Check ReceiveTransfer."""
    items = counted(request.lines, "lines")
    said = [_received(item, f"lines[{position}]") for position, item in enumerate(items)]
    return _verb(TransferVerb.RECEIVE, request, lines_of(said, "lines"))


def _received(item: messages.ReceivedUnits, field: str) -> Said:
    """Check in which condition units were received."""
    action = ACTIONS.get(item.condition)
    if action is None:
        fields.wrong(f"{field}.condition", "a condition of ReceiptCondition", item.condition)
        return Said(item.sku_id, item.quantity, TransferAction.ACCEPT)
    reason = int(item.unavailable_reason)
    if action is not TransferAction.SET_ASIDE:
        if reason:
            fields.wrong(f"{field}.unavailable_reason", "nothing: only UNAVAILABLE has it", reason)
    elif reason not in tuple(Unavailable):
        fields.wrong(f"{field}.unavailable_reason", "a reason of UnavailableReason", reason)
    return Said(item.sku_id, item.quantity, action, reason)


def read_found(request: service.RecordFoundUnitsRequest) -> list[Command]:
    """Check RecordFoundUnits."""
    items = counted(request.lines, "lines", at_least=1)
    said = (
        Said(item.sku_id, item.quantity, TransferAction.FIND_AT_SOURCE if item.at_source else TransferAction.FIND)
        for item in items
    )
    return _verb(TransferVerb.FIND, request, lines_of(said, "lines"))


def read_cancel(request: service.CancelTransferRequest) -> list[Command]:
    """Check CancelTransfer."""
    lost = units_of(counted(request.written_off, "written_off"), TransferAction.LOSE, "written_off")
    return _verb(TransferVerb.CANCEL, request, lost)


# ---- responses -------------------------------------------------------------------------------------------------------


def answer_create(
    _: service.CreateTransferRequest, commands: Sequence[Command], outcomes: Sequence[Outcome], book: Book
) -> service.CreateTransferResponse:
    """Answer CreateTransfer."""
    outcome = outcomes[0]
    raise_refusal(commands[0], outcome, book)
    return service.CreateTransferResponse(
        transfer_id=document_name(outcome.reservation_id),
        state=outcome.state,  # type: ignore[arg-type]  # the values are those of the wire
        version=outcome.version,
        seq=outcome.seq,
    )


def rpc_name(verb: IntEnum) -> str:
    """Return what the contract calls a verb without lines: TURN_BACK is TurnBackTransfer."""
    return f"{verb.name.title().replace('_', '')}Transfer"


def without_lines(verb: IntEnum) -> StockHandler[Any, Any]:
    """Return what handles a verb of which nothing is said but the transfer."""
    response_type = getattr(service, f"{rpc_name(verb)}Response")
    return StockHandler(lambda request: _verb(verb, request, []), answer_verb(response_type))


# ---- reads -----------------------------------------------------------------------------------------------------------


def describe(number: int, view: DocumentView, book: Book) -> messages.Transfer:
    """Return a transfer as callers see it."""
    ledger = book.ledger
    transfer = messages.Transfer(
        transfer_id=document_name(number),
        from_location_id=ledger.location_id(view.source),
        to_location_id=ledger.location_id(view.target),
        state=view.state,  # type: ignore[arg-type]  # the values are those of the wire
        version=view.version,
        reservation_id=reservation_name(view.reservation_id) if view.reservation_id else "",
    )
    for sku, units in view.lines:
        by_stage = dict(zip(TransferStage, units, strict=True))
        line = transfer.lines.add(sku_id=ledger.sku_id(sku), quantity=sum(units) - by_stage[TransferStage.UNEXPECTED])
        for stage, count in by_stage.items():
            setattr(line, FIELD_OF[stage], count)
    if view.due_us:
        fields.set_time(transfer.due_time, view.due_us)
    fields.set_time(transfer.create_time, view.create_time_us)
    fields.set_time(transfer.update_time, view.time_us)
    return transfer


def get_transfer(request: service.GetTransferRequest, around: Surroundings) -> service.GetTransferResponse:
    """Answer GetTransfer."""
    number = own_document(around.book, request.transfer_id, "transfer_id")
    view = around.book.ledger.document(number, KIND)
    if view is None:
        raise no_document("transfer", request.transfer_id)
    return service.GetTransferResponse(transfer=describe(number, view, around.book), seq=around.book.seq)


def _page_of(request: service.ListTransfersRequest, book: Book) -> tuple[int, int, DocumentFilter]:
    """Return the size of a page, the slot at which it begins, and which transfers are wanted."""
    size, slot = fields.page_of(request)
    wanted = DocumentFilter(
        KIND,
        wanted_of(TransferState, request.states, "states"),
        location=known_location(book, request.location_id, "location_id") if request.location_id else ANY,
        due_before_us=time_us_in(request, "due_before"),
    )
    return size, slot, wanted


def list_transfers(request: service.ListTransfersRequest, around: Surroundings) -> service.ListTransfersResponse:
    """Answer ListTransfers: slots in their order, a bounded number a call."""
    book = around.book
    found, token = listed(book, *fields.in_full(_page_of, request, book))
    page = [describe(number, view, book) for number, view in found]
    return service.ListTransfersResponse(transfers=page, next_page_token=token, seq=book.seq)


METHODS: Final = service_methods(
    service.DESCRIPTOR.services_by_name["TransferService"],
    {
        "CreateTransfer": StockHandler(read_create, answer_create),
        "DispatchTransfer": StockHandler(read_dispatch, answer_verb(service.DispatchTransferResponse)),
        "ReceiveTransfer": StockHandler(read_receive, answer_verb(service.ReceiveTransferResponse)),
        **{rpc_name(row.verb): without_lines(row.verb) for row in ROW.verbs if not row.actions},
        "RecordFoundUnits": StockHandler(read_found, answer_verb(service.RecordFoundUnitsResponse)),
        "CancelTransfer": StockHandler(read_cancel, answer_verb(service.CancelTransferResponse)),
        "GetTransfer": ReadHandler(get_transfer),
        "ListTransfers": ReadHandler(list_transfers),
    },
)
