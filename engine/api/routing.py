"""RoutingService: plans and explanations; quotes and rejections have modules of their own.

Orders of all calls of a group are planned together, in one step of the writer: see `engine.planner`.
"""

from collections.abc import Sequence
from typing import Final

from onhand.routing.v1 import plan_pb2 as messages
from onhand.routing.v1 import routing_service_pb2 as service

from engine.api import fields, plans
from engine.api.methods import (
    NO_NOTES,
    Command,
    Line,
    LoneMethod,
    Method,
    PlanMethod,
    ReadMethod,
    Surroundings,
)
from engine.api.networks import Routers, routers_of, routers_of_view
from engine.api.order_batches import KNOWN, Asked, OrderBatchBuilder
from engine.api.orders import Task, decide, order_refusal, read_order, read_strategy
from engine.api.quotes import quote_fulfillment
from engine.api.refusals import no_plan, no_room, too_many_lines
from engine.api.rejections import reject_assignment
from engine.api.told_again import raise_again, remembered, run, stored_for
from engine.errors import RefusedError, invalid
from engine.planner.records import HOPELESS, NO_ROOM, REPEATED, TOO_MANY_LINES
from engine.planner.run import PlannedOrder
from ledger.book import Book
from ledger.core.plans import StoredPlan
from ledger.core.statuses import Operation
from routing.errors import RoutingInputError

SERVICE: Final = "/onhand.routing.v1.RoutingService/"
ORDERS_PER_BATCH_MAX: Final = 64
REFUSED: Final = (NO_ROOM, HOPELESS, TOO_MANY_LINES)


def told_again(stored: StoredPlan, book: Book, *, explain: bool) -> messages.FulfillmentPlan:
    """Return a plan that is kept."""
    kept = plans.read_kept(stored)
    if explain and stored.seen:
        plans.explain(kept, stored.seen, routers_of_plan(stored.view, book))
    elif explain:
        kept.plan.unexplained = True
    return kept.plan


def routers_of_plan(view: int, book: Book) -> Routers:
    """Return the routers that plans of a view were made by: those of now, if it is the view of now."""
    derived = book.catalog.derived
    current = derived.get("routers")
    if isinstance(current, Routers) and current.view.number == view:
        return current
    found = derived.get("explained")
    if found is None or found[0] != view:  # explanations are asked for one after the other
        found = derived["explained"] = view, routers_of_view(book.plans.views[view].content, book)
    routers: Routers = found[1]
    return routers


# ---- planning --------------------------------------------------------------------------------------------------------


def read_plan(request: service.PlanFulfillmentRequest, payload: bytes, batch: OrderBatchBuilder, time_us: int) -> Asked:
    """Check PlanFulfillment."""
    return batch.add(request, payload, time_us)


def answer_plan(
    request: service.PlanFulfillmentRequest, asked: Asked, outcomes: Sequence[PlannedOrder], book: Book, time_us: int
) -> bytes:
    """Answer PlanFulfillment, for the usual order as the kernel wrote it."""
    if asked.refusal is not None:
        raise asked.refusal
    if asked.position == KNOWN:
        return plan_again(asked, book, time_us)
    outcome = outcomes[asked.position]
    if outcome.code == REPEATED:
        return plan_again(asked, book, time_us)
    if outcome.code in REFUSED:
        refusal = refusal_of(outcome.code, outcome.hold_lines, request, book, time_us)
        raise remembered(refusal, asked.command, book, time_us, asked.notes)
    if outcome.is_kept and asked.notes is not NO_NOTES:
        book.note(outcome.seq, *asked.notes)
    if asked.is_explained:
        return explained(request, outcome, book)
    return outcome.answer


def refusal_of(
    code: int, hold_lines: int, request: service.PlanFulfillmentRequest, book: Book, time_us: int
) -> RefusedError:
    """Return the refusal of an order that the planner did not plan."""
    if code == NO_ROOM:
        return no_room()
    return hopeless(request, book, time_us) if code == HOPELESS else too_many_lines(hold_lines)


def explained(request: service.PlanFulfillmentRequest, outcome: PlannedOrder, book: Book) -> bytes:
    """Return the answer with the candidates of its plan."""
    response = service.PlanFulfillmentResponse.FromString(outcome.answer)
    if outcome.seen:
        kept = plans.KeptPlan(request, response.plan, request.order, range(len(request.order.lines)), (), ())
        plans.explain(kept, outcome.seen, routers_of(book))
    else:  # too large
        response.plan.unexplained = True
    return response.SerializeToString()


def plan_again(asked: Asked, book: Book, time_us: int) -> bytes:
    """Answer a repeat: the ledger compares it with the first call, as if it had led to the same plan."""
    raise_again(asked.command, book, time_us)
    stored = stored_for(asked.request_id, book)
    lines = [Line("order", *line) for line in plans.read_kept(stored).lines] if stored else []
    operation = Operation.RESERVE if lines else Operation.CHANGE_CATALOG
    ttl_us = asked.ttl_us if lines else 0
    run(Command(operation, lines, asked.request_id, ttl_us=ttl_us, content=asked.content), book, time_us)
    assert stored is not None, "a known request id of this content has a plan"
    if not asked.is_explained:
        return stored.response
    response = service.PlanFulfillmentResponse.FromString(stored.response)
    response.plan.CopyFrom(told_again(stored, book, explain=True))
    return response.SerializeToString()


def hopeless(request: service.PlanFulfillmentRequest, book: Book, time_us: int) -> RefusedError:
    """Return the refusal of an order with a line that no location may ever serve."""
    task = Task(
        read_order(request.order, book), request.profile, read_strategy(request.strategy), request.max_shipments
    )
    try:
        decide(task, book, time_us).plan()
    except RoutingInputError as error:
        return order_refusal(error)
    raise AssertionError("some location may serve it")


def read_plans(
    request: service.BatchPlanFulfillmentRequest, _: bytes, batch: OrderBatchBuilder, time_us: int
) -> list[Asked | RefusedError]:
    """Check BatchPlanFulfillment; an order that is refused does not keep the others."""
    fields.count_of(request.requests, "requests", ORDERS_PER_BATCH_MAX)
    return [read_one(item, batch, time_us) for item in request.requests]


def read_one(item: service.PlanFulfillmentRequest, batch: OrderBatchBuilder, time_us: int) -> Asked | RefusedError:
    """Check one order of a batch."""
    try:
        return batch.add(item, item.SerializeToString(), time_us)
    except RefusedError as refusal:
        return refusal


def answer_plans(
    request: service.BatchPlanFulfillmentRequest,
    asked: Sequence[Asked | RefusedError],
    outcomes: Sequence[PlannedOrder],
    book: Book,
    time_us: int,
) -> service.BatchPlanFulfillmentResponse:
    """Answer BatchPlanFulfillment: each order saw the holds of those before it."""
    response = service.BatchPlanFulfillmentResponse()
    for place, (item, one) in enumerate(zip(request.requests, asked, strict=True)):
        result = response.results.add()
        try:
            if isinstance(one, RefusedError):
                raise one
            result.planned.MergeFromString(answer_plan(item, one, outcomes, book, time_us))
        except RefusedError as refusal:
            result.refused.CopyFrom(refusal.inside(f"requests[{place}]").refusal())
    response.seq = book.seq
    return response


# ---- explanations ----------------------------------------------------------------------------------------------------


def explain_plan(request: service.ExplainPlanRequest, around: Surroundings) -> service.ExplainPlanResponse:
    """Answer ExplainPlan."""
    book = around.book
    if bool(request.plan_id) == bool(request.reservation_id):
        raise invalid("plan_id", "a value here or in reservation_id, not both", request.plan_id)
    stored = found_plan(request, book)
    message = told_again(stored, book, explain=True)
    return service.ExplainPlanResponse(plan=message, sentences=plans.sentences_of(message), seq=book.seq)


def found_plan(request: service.ExplainPlanRequest, book: Book) -> StoredPlan:
    """Return the plan that is meant; refuses one that is not kept."""
    if request.plan_id:
        field, name = "plan_id", request.plan_id
        number = fields.reservation_number(name)
        stored = book.plans.plan(number)
    else:
        field, name = "reservation_id", request.reservation_id
        stored = book.plans.plan_of_reservation(fields.reservation_number(name))
    if stored is None:
        raise no_plan(field, name)
    return stored


METHODS: Final[Sequence[Method]] = (
    PlanMethod(SERVICE + "PlanFulfillment", service.PlanFulfillmentRequest, read_plan, answer_plan),
    PlanMethod(SERVICE + "BatchPlanFulfillment", service.BatchPlanFulfillmentRequest, read_plans, answer_plans),
    ReadMethod(SERVICE + "QuoteFulfillment", service.QuoteFulfillmentRequest, quote_fulfillment),
    ReadMethod(SERVICE + "ExplainPlan", service.ExplainPlanRequest, explain_plan),
    LoneMethod(SERVICE + "RejectAssignment", service.RejectAssignmentRequest, reject_assignment),
)
