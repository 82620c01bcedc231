"""RoutingService: plans and explanations; quotes and rejections have modules of their own.

Orders of all calls of a group are planned together, in one step of the writer: see `engine.planner`.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

from onhand.routing.v1 import plan_pb2 as messages
from onhand.routing.v1 import routing_service_pb2 as service

from engine.api import fields
from engine.api.lookups import own_number
from engine.api.methods import (
    Line,
    LoneHandler,
    PlanHandler,
    PlanRequest,
    ReadHandler,
    Surroundings,
    Work,
    service_methods,
)
from engine.api.refusals import hold_lost, network_changed, no_plan, no_room, too_many_lines
from engine.api.routing import plans
from engine.api.routing.order_batches import Asked, PlanResult
from engine.api.routing.orders import Captured, Task, captured, decided, order_refusal, read_order, read_strategy
from engine.api.routing.quotes import quote_fulfillment
from engine.api.routing.rejections import reject_assignment
from engine.api.routing.routers import (
    Ingredients,
    Routers,
    has_current_routers,
    ingredients_of,
    make_routers,
    routers_of,
)
from engine.api.routing.told_again import raise_again, remembered, run, stored_for
from engine.errors import RefusedError, invalid
from engine.planner.records import HOLD_LOST, HOLD_TOO_LONG, HOPELESS, NO_ROOM, PLANNED, REPEATED
from engine.planner.run import PlannedOrder
from ledger.book import Book
from ledger.core import ids
from ledger.core.statuses import Operation
from ledger.parts.plans import StoredPlan
from routing.errors import RoutingInputError

ORDERS_PER_BATCH_MAX: Final = 64
EXPLAINED_BYTES_MAX: Final = 2 * 1024 * 1024
"""Of one answer with explanations, before the last of them: a client takes 4 MiB by default."""
EXPLAINED: Final = "routers of the view that was explained last"


# ---- explanations ----------------------------------------------------------------------------------------------------


class Explained(NamedTuple):
    """A plan with its candidates."""

    plan: messages.FulfillmentPlan
    sentences: list[str]
    routers: Routers
    """Those that it was decided by."""


def told_again(stored: StoredPlan, book: Book) -> Work[Explained]:
    """Return a plan that is kept with its candidates, which are found beside the writer."""
    kept, derived, view = plans.read_kept(stored), book.network.derived, stored.view
    source: Routers | Ingredients
    if not stored.seen or view == book.views.current:
        source = routers_of(book).beside()
    elif derived.get(EXPLAINED, (0,))[0] == view:  # explanations are asked for one after the other
        source = derived[EXPLAINED][1].beside()
    else:
        source = ingredients_of(book, book.views.routed(view))
    found: Explained = yield partial(explained_plan, kept, stored.seen, source)
    if isinstance(source, Ingredients):
        derived[EXPLAINED] = view, found.routers
    return found


def explained_plan(kept: plans.KeptPlan, seen: bytes, source: Routers | Ingredients) -> Explained:
    """Add its candidates to a plan; any thread may."""
    routers = source if isinstance(source, Routers) else make_routers(source)
    if seen:
        plans.explain(kept, seen, routers)
    else:
        kept.plan.unexplained = True
    return Explained(kept.plan, list(plans.sentences_of(kept.plan)), routers)


def explained(request: service.PlanFulfillmentRequest, outcome: PlannedOrder, routers: Routers) -> Work[bytes]:
    """Return the answer with the candidates of its plan."""
    response = service.PlanFulfillmentResponse.FromString(outcome.answer)
    kept = plans.KeptPlan(request, response.plan, request.order, range(len(request.order.lines)), (), ())
    yield partial(explained_plan, kept, outcome.seen, routers)
    return response.SerializeToString()


def explain_plan(request: service.ExplainPlanRequest, around: Surroundings) -> Work[service.ExplainPlanResponse]:
    """Answer ExplainPlan."""
    book = around.book
    if bool(request.plan_id) == bool(request.reservation_id):
        raise invalid("plan_id", "a value here or in reservation_id, not both", request.plan_id)
    stored, seq = found_plan(request, book), book.seq
    found = yield from told_again(stored, book)
    return service.ExplainPlanResponse(plan=found.plan, sentences=found.sentences, seq=seq)


def found_plan(request: service.ExplainPlanRequest, book: Book) -> StoredPlan:
    """Return the plan that is meant; refuses one that is not kept."""
    if request.plan_id:
        field, name = "plan_id", request.plan_id
        stored = book.plans.plan(ids.number_part(own_number(book, name, field)))
    else:
        field, name = "reservation_id", request.reservation_id
        stored = book.plans.plan_of_reservation(own_number(book, name))
    if stored is None:
        raise no_plan(field, name)
    return stored


# ---- planning --------------------------------------------------------------------------------------------------------


def order_of_plan(request: service.PlanFulfillmentRequest, payload: bytes) -> list[PlanRequest]:
    """Return the order of PlanFulfillment."""
    return [(request, payload)]


def answer_plan(
    request: service.PlanFulfillmentRequest, results: Sequence[PlanResult], book: Book, time_us: int
) -> bytes | Work[bytes]:
    """Answer PlanFulfillment."""
    return answer_order(request, results[0], book, time_us)


def answer_order(
    request: service.PlanFulfillmentRequest, result: PlanResult, book: Book, time_us: int
) -> bytes | Work[bytes]:
    """Answer one order, the usual one as the kernel wrote it."""
    asked, outcome, routers = result
    if isinstance(asked, Exception):
        raise asked
    if asked.refusal is not None:
        raise asked.refusal
    if outcome is None or outcome.code == REPEATED:
        return plan_again(asked, book, time_us)
    if outcome.code == HOPELESS:
        return refused_as_hopeless(request, asked, book)
    if outcome.code == HOLD_LOST:
        raise remembered(hold_lost(outcome.hold_status), asked.command, book, time_us, asked.notes)
    if outcome.code in (NO_ROOM, HOLD_TOO_LONG):
        refusal = no_room() if outcome.code == NO_ROOM else too_many_lines(outcome.hold_lines)
        raise remembered(refusal, asked.command, book, time_us, asked.notes)
    if not asked.is_explained:
        return outcome.answer
    assert routers is not None
    return explained(request, outcome, routers.beside())


def plan_again(asked: Asked, book: Book, time_us: int) -> bytes | Work[bytes]:
    """Answer a repeat: the ledger compares it with the first call, as if it had led to the same plan."""
    stored = stored_answer(asked, book, time_us)
    return explained_again(stored, book) if asked.is_explained else stored.response


def stored_answer(asked: Asked, book: Book, time_us: int) -> StoredPlan:
    """Return the plan that a repeat asks for; raises RefusedError for what is none, or was refused."""
    raise_again(asked.command, book, time_us)
    stored = stored_for(asked.request_id, book)
    lines = [Line("order", *line) for line in plans.read_kept(stored).lines] if stored else []
    command = asked.command
    if lines:
        operation = Operation.REPLACE if asked.reservation_id else Operation.RESERVE
        command = command._replace(
            operation=operation, lines=lines, ttl_us=asked.ttl_us, reservation_id=asked.reservation_id
        )
    run(command, book, time_us)
    assert stored is not None, "a known request id of this content has a plan"
    return stored


def explained_again(stored: StoredPlan, book: Book) -> Work[bytes]:
    """Return a stored answer with the candidates of its plan."""
    found = yield from told_again(stored, book)
    response = service.PlanFulfillmentResponse.FromString(stored.response)
    response.plan.CopyFrom(found.plan)
    return response.SerializeToString()


def refused_as_hopeless(request: service.PlanFulfillmentRequest, asked: Asked, book: Book) -> Work[bytes]:
    """Refuse an order with a line that no location may ever serve; why, is found beside the writer."""
    if not has_current_routers(book):
        raise network_changed()
    refusal: RefusedError = yield partial(hopeless, captured_order(request, book, book.ledger.group_time_us))
    raise remembered(refusal, asked.command, book, book.ledger.group_time_us, asked.notes)


def captured_order(request: service.PlanFulfillmentRequest, book: Book, time_us: int) -> Captured:
    """Return what is to be decided about an order."""
    strategy = read_strategy(request.strategy)
    task = Task(read_order(request.order, book), request.profile, strategy, request.max_shipments)
    return captured(task, book, time_us)


def hopeless(given: Captured) -> RefusedError:
    """Return the refusal of an order with a line that no location may ever serve; any thread may ask.

    Skus are read as they are now: where they changed since the order was planned, some location may serve it.
    """
    try:
        decided(given).plan()
    except RoutingInputError as error:
        return order_refusal(error)
    return network_changed()


def orders_of_plans(request: service.BatchPlanFulfillmentRequest, _: bytes) -> list[PlanRequest]:
    """Return the orders of BatchPlanFulfillment; one that is refused does not keep the others."""
    fields.count_of(request.requests, "requests", ORDERS_PER_BATCH_MAX)
    return [(item, item.SerializeToString()) for item in request.requests]


def answer_plans(
    request: service.BatchPlanFulfillmentRequest, results: Sequence[PlanResult], book: Book, time_us: int
) -> Work[service.BatchPlanFulfillmentResponse]:
    """Answer BatchPlanFulfillment: each order saw the holds of those before it."""
    answers = [
        _answer_or_refusal(item, one, book, time_us) for item, one in zip(request.requests, results, strict=True)
    ]
    response, room, seq = service.BatchPlanFulfillmentResponse(), EXPLAINED_BYTES_MAX, book.seq
    for place, (item, one, begun) in enumerate(zip(request.requests, results, answers, strict=True)):
        result, answer = response.results.add(), begun
        if item.explain and room <= 0 and one.outcome is not None and one.outcome.code == PLANNED:
            answer = one.outcome.answer
        try:
            if isinstance(answer, RefusedError):
                raise answer
            written = answer if isinstance(answer, bytes) else (yield from answer)
        except RefusedError as refusal:
            result.refused.CopyFrom(refusal.alone().inside(f"requests[{place}]").refusal())
            continue
        room -= len(written)
        result.planned.MergeFromString(written)
        result.planned.plan.unexplained = item.explain and not result.planned.plan.candidates
    response.seq = max(seq, book.seq)
    return response


def _answer_or_refusal(
    request: service.PlanFulfillmentRequest, result: PlanResult, book: Book, time_us: int
) -> bytes | Work[bytes] | RefusedError:
    """Answer one order of many: all that is written with it, is written now."""
    try:
        return answer_order(request, result, book, time_us)
    except RefusedError as refusal:
        return refusal.alone()


METHODS: Final = service_methods(
    service.DESCRIPTOR.services_by_name["RoutingService"],
    {
        "PlanFulfillment": PlanHandler(order_of_plan, answer_plan),
        "BatchPlanFulfillment": PlanHandler(orders_of_plans, answer_plans),
        "QuoteFulfillment": ReadHandler(quote_fulfillment, routes=True),
        "ExplainPlan": ReadHandler(explain_plan, routes=True),
        "RejectAssignment": LoneHandler(reject_assignment, routes=True),
    },
)
