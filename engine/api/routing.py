"""RoutingService: plans, quotes, explanations, and what becomes of units that a location could not fill.

Orders of all calls of a group are planned together, in one step of the writer: see `engine.planner`.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import msgspec
from onhand.inventory.v1.reservation_pb2 import Shortage
from onhand.routing.v1 import plan_pb2 as messages
from onhand.routing.v1 import routing_service_pb2 as service

from engine.api import fields, plans
from engine.api.catalog import content_of
from engine.api.lookups import known_location, known_sku
from engine.api.methods import (
    NO_NOTES,
    BatchBuilder,
    Command,
    Line,
    LoneMethod,
    Method,
    Outcome,
    PlanMethod,
    PlanRequest,
    ReadMethod,
    Surroundings,
    outcomes_of,
)
from engine.api.networks import read_method, whole
from engine.api.order_batches import Asked, OrderBatchBuilder, PartialOrder, PlanResult
from engine.api.orders import (
    Decided,
    Task,
    decide,
    earliest_day,
    nearest_stores,
    order_refusal,
    read_order,
    read_strategy,
)
from engine.api.plans import KeptPlan
from engine.api.refusals import PLAIN, raise_refusal
from engine.api.reservations import notes_of
from engine.api.routers import Routers, ingredients_of, make_routers, routers_of
from engine.errors import RETRY_SECONDS, RefusedError, invalid, shown
from engine.planner.records import HOPELESS, NO_ROOM, REPEATED, TOO_MANY_LINES
from engine.planner.run import Planned, PlannedOrder, Planner, Routing
from ledger.book import Book
from ledger.core.limits import LINES_PER_RESERVATION_MAX, QUANTITY_MAX
from ledger.core.plans import DAY_US, PlannedOrders, Rejection, StoredPlan
from ledger.core.statuses import Operation, ReservationState, Status
from ledger.core.views import ReservationView
from routing import order as orders
from routing.calendars import day_of
from routing.errors import RoutingInputError
from routing.order import Order
from routing.rules import Method as RoutingMethod

SERVICE: Final = "/onhand.routing.v1.RoutingService/"
STORES_DEFAULT: Final = 3
STORES_MAX: Final = 20
ORDERS_PER_BATCH_MAX: Final = 64
BROUGHT: Final = (RoutingMethod.SHIP, RoutingMethod.DELIVERY)
COLLECTED: Final = (RoutingMethod.PICKUP, RoutingMethod.SHIP_TO_STORE)


def run(command: Command, book: Book, time_us: int) -> Outcome:
    """Run one command of the ledger, and note who did it."""
    batch = BatchBuilder(book)
    batch.add(command)
    outcome = outcomes_of(book.execute(batch.take(), time_us))[0]
    raise_refusal(command, outcome, book)
    return outcome


def stored_for(request_id: tuple[int, int] | None, book: Book) -> StoredPlan | None:
    """Return the plan that a request id led to, as long as it is remembered."""
    return None if request_id is None else book.plans.plan_of_request(*request_id)


def told_again(stored: StoredPlan, book: Book, *, explain: bool) -> messages.FulfillmentPlan:
    """Return a plan that is kept."""
    kept = plans.read_kept(stored)
    if explain and stored.seen:
        routers = routers_of_plan(stored.view, book)
        kept.plan.candidates.extend(plans.candidates_of(kept, stored.seen, routers, book))
    return kept.plan


def routers_of_plan(view: int, book: Book) -> Routers:
    """Return the routers that plans of a view were made by: those of now, if it is the view of now."""
    derived = book.catalog.derived
    if view == book.plans.views.current:
        return routers_of(book)
    found = derived.get("explained")
    if found is None or found[0] != view:  # explanations are asked for one after the other
        found = derived["explained"] = view, make_routers(ingredients_of(book, book.plans.views.routed(view)))
    routers: Routers = found[1]
    return routers


# ---- planning --------------------------------------------------------------------------------------------------------


def order_of_plan(request: service.PlanFulfillmentRequest, payload: bytes) -> list[PlanRequest]:
    """Return the order of PlanFulfillment."""
    return [(request, payload)]


def answer_plan(
    request: service.PlanFulfillmentRequest, results: Sequence[PlanResult], book: Book, time_us: int
) -> bytes:
    """Answer PlanFulfillment."""
    return answer_order(request, results[0], book, time_us)


def answer_order(request: service.PlanFulfillmentRequest, result: PlanResult, book: Book, time_us: int) -> bytes:
    """Answer one order, the usual one as the kernel wrote it."""
    asked, outcome = result
    if isinstance(asked, Exception):
        raise asked
    if outcome is None or outcome.code == REPEATED:
        return plan_again(asked, book, time_us)
    if outcome.code == NO_ROOM:
        raise no_room()
    if outcome.code == HOPELESS:
        raise hopeless(request, book, time_us)
    if outcome.code == TOO_MANY_LINES:
        raise too_many_lines(outcome.hold_lines)
    if outcome.is_kept and asked.notes is not NO_NOTES:
        book.note(outcome.seq, *asked.notes)
    if asked.is_explained:
        return explained(request, outcome, book)
    return outcome.answer


def no_room() -> RefusedError:
    """Return the refusal of an order that came with so many that they would not fit one journal entry."""
    message = "Too many orders came at once; nothing was done: repeat it with the same request_id after the delay."
    return RefusedError("OVERLOADED", message, retry_seconds=RETRY_SECONDS)


def too_many_lines(count: int) -> RefusedError:
    """Return the refusal of an order whose hold would have too many lines."""
    expected = f"a plan of at most {LINES_PER_RESERVATION_MAX} skus at locations; plan it as several orders"
    return invalid("order.lines", expected, count)


def explained(request: service.PlanFulfillmentRequest, outcome: PlannedOrder, book: Book) -> bytes:
    """Return the answer with the candidates of its plan."""
    if not outcome.seen:  # too large to be explained
        return outcome.answer
    response = service.PlanFulfillmentResponse.FromString(outcome.answer)
    kept = plans.KeptPlan(request, response.plan, request.order, range(len(request.order.lines)), (), ())
    response.plan.candidates.extend(plans.candidates_of(kept, outcome.seen, routers_of(book), book))
    return response.SerializeToString()


def plan_again(asked: Asked, book: Book, time_us: int) -> bytes:
    """Answer a repeat: the ledger compares it with the first call, as if it had led to the same plan."""
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


def orders_of_plans(request: service.BatchPlanFulfillmentRequest, _: bytes) -> list[PlanRequest]:
    """Return the orders of BatchPlanFulfillment; one that is refused does not keep the others."""
    fields.count_of(request.requests, "requests", ORDERS_PER_BATCH_MAX)
    return [(item, item.SerializeToString()) for item in request.requests]


def answer_plans(
    request: service.BatchPlanFulfillmentRequest, results: Sequence[PlanResult], book: Book, time_us: int
) -> service.BatchPlanFulfillmentResponse:
    """Answer BatchPlanFulfillment: each order saw the holds of those before it."""
    response = service.BatchPlanFulfillmentResponse()
    for place, (item, one) in enumerate(zip(request.requests, results, strict=True)):
        result = response.results.add()
        try:
            result.planned.MergeFromString(answer_order(item, one, book, time_us))
        except RefusedError as refusal:
            result.refused.CopyFrom(refusal.inside(f"requests[{place}]").refusal())
    response.seq = book.seq
    return response


# ---- quotes ----------------------------------------------------------------------------------------------------------


def quote_fulfillment(
    request: service.QuoteFulfillmentRequest, around: Surroundings
) -> service.QuoteFulfillmentResponse:
    """Answer QuoteFulfillment."""
    book = around.book
    routers = routers_of(book)
    order = read_order(request.order, book)
    for place, item in enumerate(request.order.lines):
        for name in ("method", "store_id"):
            if getattr(item, name):
                raise invalid(f"order.lines[{place}].{name}", "nothing: every method is quoted", getattr(item, name))
    methods = {read_method(value, f"methods[{place}]") for place, value in enumerate(request.methods)}
    response = service.QuoteFulfillmentResponse(currency=routers.currency, seq=book.seq)
    routers.routing(request.profile)
    for version in quoted_orders(request, order, methods or set(RoutingMethod), book):
        if (quote := quote_of(version, request.profile, book)) is not None:
            response.quotes.append(quote)
    return response


def quoted_orders(
    request: service.QuoteFulfillmentRequest, order: Order, methods: set[RoutingMethod], book: Book
) -> Iterator[Order]:
    """Yield the order once for each way to have it; raises RefusedError for what no way can make good."""
    routers = routers_of(book)
    count = whole(request.store_count_max, "store_count_max", STORES_MAX) or STORES_DEFAULT
    if not request.store_distance_km_max >= 0:
        raise invalid("store_distance_km_max", "0 or more kilometers", request.store_distance_km_max)
    try:
        orders.check(order, routers.network)
    except RoutingInputError as error:
        raise order_refusal(error) from error
    for method in BROUGHT:
        if method in methods:
            yield with_method(order, method, "")
    for index, _ in nearest_stores(routers, order, request.store_distance_km_max, count):
        for method in COLLECTED:
            if method in methods:
                yield with_method(order, method, routers.network.locations[index].location_id)


def with_method(order: Order, method: RoutingMethod, store: str) -> Order:
    """Return an order of which all lines go one way."""
    lines = tuple(msgspec.structs.replace(line, method=method, store=store) for line in order.lines)
    return msgspec.structs.replace(order, lines=lines)


def quote_of(order: Order, profile: str, book: Book) -> service.FulfillmentQuote | None:
    """Return what one way would cost and when it would be there; None if no location may serve it."""
    try:
        decided = decide(Task(order, profile, read_strategy(0), 0), book, book.ledger.time_us)
        plan = decided.plan()
    except RoutingInputError:
        return None
    line = order.lines[0]
    earliest = earliest_day(decided)
    numbers = range(len(order.lines))
    quote = service.FulfillmentQuote(
        method=plans.method_value(line.method),
        store_id=line.store,
        complete=plan.is_filled,
        earliest_date="" if earliest is None else day_of(earliest).isoformat(),
        arrival_date=max(one.arrival for one in plan.shipments).isoformat() if plan.shipments else "",
        cost_micros=plan.cost - plan.terms.unfilled,
        shipment_count=len(plan.shipments),
        distance_km=store_distance(order, decided) if line.store else 0.0,
        shortages=[plans.show_shortage(one, numbers) for one in plan.shortages],
    )
    ready: list[datetime] = [one.ready for one in plan.shipments if one.ready is not None]
    if ready:
        fields.set_time(quote.ready_time, round(max(ready).timestamp() * 1_000_000))
    return quote


def store_distance(order: Order, decided: Decided) -> float:
    """Return the kilometers from the store to the destination."""
    store = order.lines[0].store
    names = decided.router.network.locations
    found = nearest_stores(decided.routers, order, 0.0, len(names))
    return next(km for index, km in found if names[index].location_id == store)


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


def no_plan(field: str, name: str) -> RefusedError:
    """Return the refusal of what has no plan."""
    return RefusedError(
        "PLAN_NOT_FOUND",
        f"{field}: there is no plan of {shown(name)}, or it is kept no more.",
        metadata={"field": field},
    )


# ---- rejections ------------------------------------------------------------------------------------------------------


class Rejected(NamedTuple):
    """What a location could not fill."""

    location_id: str
    units: dict[str, int]
    """Sku -> units."""
    by_line: dict[int, int]
    """Line of the caller's order -> units."""


class Replanned(NamedTuple):
    """How what was rejected is filled now."""

    request: service.PlanFulfillmentRequest
    """With what was left to plan as its order."""
    numbers: Sequence[int]
    """Position in the caller's order of each of its lines."""
    plan: messages.FulfillmentPlan
    planned: Planned
    """Of this one order."""
    routing: Routing


def reject_assignment(
    request: service.RejectAssignmentRequest, book: Book, time_us: int
) -> service.RejectAssignmentResponse:
    """Answer RejectAssignment."""
    number, request_id = fields.reservation_number(request.reservation_id), fields.request_id(request.request_id)
    command = Command(
        Operation.AMEND,
        (),
        request_id,
        reservation_id=number,
        notes=notes_of(request),
        content=content_of("RejectAssignment", request),
    )
    if stored := stored_for(request_id, book):
        return reject_again(stored, command, book, time_us)
    view = book.ledger.reservation(number)
    if view is None:
        raise refused_plainly(Status.RESERVATION_NOT_FOUND)
    stored = book.plans.plan_of_reservation(number)
    location = known_location(book, request.location_id, "location_id")
    if stored is None:
        raise no_plan("reservation_id", request.reservation_id)
    refuse_ended(view)
    kept = plans.read_kept(stored)
    rejected = rejected_of(request, kept, view, location, book)
    rejections = [
        Rejection(book.ledger.sku_index(sku), location, time_us + routers_of(book).rejection_days * DAY_US)
        for sku in rejected.units
    ]
    known = [*book.plans.rejections(stored.order, time_us), *rejections]
    now = replanned(kept, rejected, known, book, time_us)
    command = command._replace(lines=lines_after(view, rejected, now.plan, book))
    outcome = run(command, book, time_us)
    now.plan.plan_id = fields.reservation_name(outcome.seq)
    now.plan.reservation_id = fields.reservation_name(number)
    amended = plans.Amended(
        order=kept.order.SerializeToString(),
        numbers=list(now.numbers),
        assigned=[*assigned_after(kept, rejected), *plans.assigned_by(now.plan)],
        lines=[(line.sku_id, line.location_id, line.quantity) for line in command.lines],
    )
    change = PlannedOrders(
        seqs=outcome.seq.to_bytes(8, "little"),
        reservation_ids=number.to_bytes(8, "little"),
        remembered_seq=outcome.seq if request_id else 0,
        references=[stored.reference],
        bookings=now.planned.bookings.tobytes(),
        requests=[now.request.SerializeToString()],
        responses=[service.PlanFulfillmentResponse(plan=now.plan).SerializeToString()],
        seen=now.planned.seen,
        view=book.view(outcome.seq),
        explained_max=book.plans.explained_max,
        rejections=tuple(rejections),
        amended=plans.encode_amended(amended),
    )
    book.keep_plan(outcome.seq, change)
    if command.notes is not NO_NOTES:
        book.note(outcome.seq, *command.notes)
    return rejected_response(now.plan, outcome, rejections[0].until_us)


def reject_again(stored: StoredPlan, command: Command, book: Book, time_us: int) -> service.RejectAssignmentResponse:
    """Answer a repeat, as `plan_again` does."""
    kept = plans.read_kept(stored)
    outcome = run(command._replace(lines=[Line("lines", *line) for line in kept.lines]), book, time_us)
    until_us = stored.rejections[0].until_us if stored.rejections else 0
    return rejected_response(kept.plan, outcome, until_us)


def rejected_response(
    message: messages.FulfillmentPlan, outcome: Outcome, until_us: int
) -> service.RejectAssignmentResponse:
    """Return the response of a rejection."""
    response = service.RejectAssignmentResponse(
        plan=message,
        state=outcome.state,  # type: ignore[arg-type]  # values of the wire
        version=outcome.version,
        seq=outcome.seq,
    )
    fields.set_time(response.rejected_until_time, until_us)
    return response


def refused_plainly(status: Status) -> RefusedError:
    """Return the refusal of a status that needs no details."""
    field, message = PLAIN[status]
    return RefusedError(status.name, f"{field}: {message}", metadata={"field": field})


def refuse_ended(view: ReservationView) -> None:
    """Refuse a reservation that holds nothing any more."""
    if view.state is ReservationState.EXPIRED:
        raise refused_plainly(Status.RESERVATION_EXPIRED)
    if view.state is ReservationState.RELEASED:
        raise refused_plainly(Status.RESERVATION_NOT_ACTIVE)


def rejected_of(
    request: service.RejectAssignmentRequest, kept: KeptPlan, view: ReservationView, location: int, book: Book
) -> Rejected:
    """Return what is rejected, checked against what the plan and the hold still have there."""
    order = kept.order
    held = {book.ledger.sku_id(line.sku): line.open for line in view.lines if line.location == location}
    planned_units: dict[str, int] = {}
    for line, location_id, units in kept.assigned:
        if location_id == request.location_id:
            sku = order.lines[line].sku_id
            planned_units[sku] = planned_units.get(sku, 0) + units
    there = {sku: min(units, held.get(sku, 0)) for sku, units in planned_units.items()}
    wanted = wanted_units(request, book) or {sku: units for sku, units in there.items() if units}
    short = [(sku, units, there.get(sku, 0)) for sku, units in wanted.items() if units > there.get(sku, 0)]
    if short or not wanted:
        raise too_many(request, short)
    return Rejected(request.location_id, wanted, spread(kept, request.location_id, wanted))


def wanted_units(request: service.RejectAssignmentRequest, book: Book) -> dict[str, int]:
    """Return the units that a request names, by sku; empty if it names none."""
    fields.count_of(request.lines, "lines", LINES_PER_RESERVATION_MAX, at_least=0)
    fields.unique((item.sku_id for item in request.lines), "lines")
    wanted = {}
    for place, item in enumerate(request.lines):
        known_sku(book, item.sku_id, f"lines[{place}].sku_id")
        wanted[item.sku_id] = whole(item.quantity, f"lines[{place}].quantity", QUANTITY_MAX, at_least=1)
    return wanted


def too_many(request: service.RejectAssignmentRequest, short: Sequence[tuple[str, int, int]]) -> RefusedError:
    """Return the refusal of more units than the reservation has at the location."""
    told = "; ".join(f"{sku} has {there} there, {units} were rejected" for sku, units, there in short[:3])
    return RefusedError(
        Status.QUANTITY_EXCEEDS_OPEN.name,
        f"location_id: {told or 'nothing of the plan is open'} at {request.location_id}.",
        shortages=[
            Shortage(sku_id=sku, location_id=request.location_id, requested=units, available=there, line=line)
            for line, (sku, units, there) in enumerate(short)
        ],
        metadata={"field": "location_id", "location": request.location_id},
    )


def spread(kept: KeptPlan, location_id: str, wanted: dict[str, int]) -> dict[int, int]:
    """Return the units by line of the order, the first lines first."""
    left, by_line = dict(wanted), dict[int, int]()
    for line, place, units in kept.assigned:
        sku = kept.order.lines[line].sku_id
        taken = min(units, left.get(sku, 0)) if place == location_id else 0
        if taken:
            left[sku] -= taken
            by_line[line] = by_line.get(line, 0) + taken
    return by_line


def assigned_after(kept: KeptPlan, rejected: Rejected) -> Iterator[tuple[int, str, int]]:
    """Yield what stays of the assignments when units are taken away."""
    left = dict(rejected.by_line)
    for line, place, units in kept.assigned:
        taken = min(units, left.get(line, 0)) if place == rejected.location_id else 0
        if taken:
            left[line] -= taken
        if units > taken:
            yield line, place, units - taken


def replanned(
    kept: KeptPlan, rejected: Rejected, rejections: Sequence[Rejection], book: Book, time_us: int
) -> Replanned:
    """Plan the rejected units anew; what cannot be routed any more is a shortage."""
    numbers = sorted(rejected.by_line)
    request = service.PlanFulfillmentRequest()
    request.CopyFrom(kept.request)
    request.order.CopyFrom(kept.order)
    request.order.ship_complete = False
    del request.order.lines[:]
    for line in numbers:
        request.order.lines.add().CopyFrom(kept.order.lines[line])
        request.order.lines[-1].quantity = rejected.by_line[line]
    rest = PartialOrder(numbers, rejections)
    found = plan_rest(request, rest, book, time_us)
    if found is None:  # late is better than not at all
        for item in request.order.lines:
            item.promise_date = ""
        found = plan_rest(request, rest, book, time_us)
    if found is None:
        raise hopeless(request, book, time_us)
    return found


def plan_rest(
    request: service.PlanFulfillmentRequest, rest: PartialOrder, book: Book, time_us: int
) -> Replanned | None:
    """Plan a part of an order, without a hold; None if no location may ever serve some line of it."""
    builder = OrderBatchBuilder(book)
    builder.add(request, b"", time_us, rest)
    batch = builder.take()
    (planned,) = Planner(book).run(batch, time_us)
    code = planned.results["code"][0]
    if code == HOPELESS:
        return None
    if code == NO_ROOM:
        raise no_room()
    if code == TOO_MANY_LINES:
        raise too_many_lines(int(planned.results["hold_lines"][0]))
    plan = service.PlanFulfillmentResponse.FromString(planned.answers[0]).plan
    return Replanned(request, rest.numbers, plan, planned, batch.routings[0])


def lines_after(view: ReservationView, rejected: Rejected, plan: messages.FulfillmentPlan, book: Book) -> list[Line]:
    """Return the new totals of the lines that change: less where it was rejected, more where it is now."""
    totals = {
        (book.ledger.sku_id(line.sku), book.ledger.location_id(line.location)): line.open + line.fulfilled
        for line in view.lines
    }
    changed = {
        (sku, rejected.location_id): totals[sku, rejected.location_id] - units for sku, units in rejected.units.items()
    }
    for shipment in plan.shipments:
        for line in shipment.lines:
            key = line.sku_id, shipment.location_id
            changed[key] = changed.get(key, totals.get(key, 0)) + line.quantity
    return [Line("lines", sku, location, quantity) for (sku, location), quantity in changed.items()]


METHODS: Final[Sequence[Method]] = (
    PlanMethod(SERVICE + "PlanFulfillment", service.PlanFulfillmentRequest, order_of_plan, answer_plan),
    PlanMethod(SERVICE + "BatchPlanFulfillment", service.BatchPlanFulfillmentRequest, orders_of_plans, answer_plans),
    ReadMethod(SERVICE + "QuoteFulfillment", service.QuoteFulfillmentRequest, quote_fulfillment, routes=True),
    ReadMethod(SERVICE + "ExplainPlan", service.ExplainPlanRequest, explain_plan),
    LoneMethod(SERVICE + "RejectAssignment", service.RejectAssignmentRequest, reject_assignment, routes=True),
)
