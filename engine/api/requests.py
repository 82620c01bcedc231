"""RequestService: what became of a write, by its request id."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from onhand.inventory.v1 import request_service_pb2 as service
from onhand.inventory.v1.reservation_pb2 import Refusal, Shortage
from onhand.rules.checks import UUID_EXPECTED, document_name, reservation_name
from onhand.rules.reasons import REASONS

from engine.api import fields
from engine.api.methods import OF_DOCUMENTS, ReadHandler, Surroundings, service_methods
from engine.api.routing.told_again import kept_refusal
from engine.errors import invalid
from ledger.book import Book
from ledger.core import ids, limits
from ledger.core.operations import CHANGES_RESERVATION, DECIDED_ELSEWHERE, HAS_TTL, IS_FACT, MAKES_RESERVATION, TRAITS
from ledger.core.statuses import Operation, Status
from ledger.core.views import RequestView

OTHER_NAMES: Final = {
    Operation.SET_POLICY: "SET_STOCK_POLICY",
    Operation.ADVANCE: "CHANGE_TRANSFER",
    Operation.ADVANCE_FULFILLMENT: "CHANGE_FULFILLMENT_ORDER",
    Operation.REPLACE: "RESERVE",
}
WORDS: Final = dict(service.RequestOperation.items())
SHOWN: Final[Mapping[Operation, Any]] = {
    operation: WORDS.get(f"REQUEST_OPERATION_{OTHER_NAMES.get(operation, operation.name)}", 0)
    for operation in Operation
}
"""What each operation is called; one that has no word in the contract is not told."""
TELLS_SHORTAGES: Final = (Status.OK, Status.INSUFFICIENT_STOCK, Status.QUANTITY_EXCEEDS_OPEN)
SHORTAGES_MAX: Final = limits.LINES_PER_RESERVATION_MAX


def get_request_outcome(
    request: service.GetRequestOutcomeRequest, around: Surroundings
) -> service.GetRequestOutcomeResponse:
    """Answer GetRequestOutcome."""
    request_id = fields.request_id(request.request_id)
    if request_id is None:
        raise invalid("request_id", UUID_EXPECTED, request.request_id)
    book = around.book
    response = service.GetRequestOutcomeResponse(seq=book.seq)
    view = book.ledger.request(*request_id)
    if view is None:
        is_too_old = book.is_too_old(request_id[0], book.ledger.group_time_us)
        response.state = service.REQUEST_STATE_TOO_OLD if is_too_old else service.REQUEST_STATE_NOT_SEEN
        return response
    response.write_seq = view.seq
    refusal = kept_refusal(request_id, book)
    if refusal is not None:  # by routing, which keeps what it told, and not of which call
        response.state = service.REQUEST_STATE_REFUSED
        response.refusal.CopyFrom(refusal.refusal())
        return response
    response.operation = SHOWN[view.operation]
    if view.status is Status.OK:
        response.state = service.REQUEST_STATE_DONE
        _tell_done(response, view, book)
        _tell_plan(response, view, request_id, book)
    else:
        response.state = service.REQUEST_STATE_REFUSED
        response.refusal.CopyFrom(_refusal_of(view, book))
    return response


def _refusal_of(view: RequestView, book: Book) -> Refusal:
    """Return the refusal of the ledger that is remembered; the request, which its message would name, is not."""
    reason = REASONS[view.status.name]
    message = f"{reason.field}: {reason.sentence}" if reason.sentence else ""
    code, shortages = int(reason.code.value[0]), _shortages_of(view, book)
    return Refusal(reason=view.status.name, code=code, message=message, shortages=shortages)


def _shortages_of(view: RequestView, book: Book) -> list[Shortage]:
    """Return the short lines that are remembered; one that has no stock level has no names."""
    if view.status not in TELLS_SHORTAGES or (TRAITS[view.operation] & IS_FACT and view.status is Status.OK):
        return []
    head = int(view.operation in OF_DOCUMENTS)  # its first line is no line of the request
    shortages = []
    for line, level, requested, available in view.details[:SHORTAGES_MAX]:
        ((sku_id, location_id),) = book.ledger.level_names(np.array([level])) if level >= 0 else (("", ""),)
        shortages.append(
            Shortage(sku_id=sku_id, location_id=location_id, requested=requested, available=available, line=line - head)
        )
    return shortages


def _tell_done(response: service.GetRequestOutcomeResponse, view: RequestView, book: Book) -> None:
    """Tell what a write did."""
    traits = int(TRAITS[view.operation])
    response.version = view.version
    response.applied_oversold = view.is_oversold
    response.shortages.extend(_shortages_of(view, book))
    if traits & CHANGES_RESERVATION:
        response.reservation_state = view.state  # type: ignore[assignment]  # the values are those of the wire
    time_us = 0 if traits & (HAS_TTL | DECIDED_ELSEWHERE) else view.time_us
    if traits & HAS_TTL:
        fields.set_time(response.expire_time, view.time_us)
    if traits & MAKES_RESERVATION:
        response.reservation_id = reservation_name(view.made)
        made = book.ledger.reservation(view.made)
        time_us = made.create_time_us if made else 0
    elif view.made:
        field = "transfer_id" if view.operation is Operation.ADVANCE else "fulfillment_order_id"
        setattr(response, field, document_name(view.made))
    if time_us:
        fields.set_time(response.write_time, time_us)


def _tell_plan(
    response: service.GetRequestOutcomeResponse, view: RequestView, request_id: tuple[int, int], book: Book
) -> None:
    """Tell the plan that a write led to."""
    plan = book.plans.plan_of_request(*request_id)
    if plan is None:
        return
    is_rejection = view.operation is Operation.AMEND
    response.operation = service.REQUEST_OPERATION_REJECT if is_rejection else service.REQUEST_OPERATION_PLAN
    response.plan_id = reservation_name(ids.named(book.ledger.shard, plan.seq))
    if plan.reservation_id:
        response.reservation_id = reservation_name(plan.reservation_id)


METHODS: Final = service_methods(
    service.DESCRIPTOR.services_by_name["RequestService"],
    {"GetRequestOutcome": ReadHandler(get_request_outcome)},
)
