"""RoutingService: plans, quotes, explanations, and what becomes of units that a location could not fill.

A plan that reserves is one step of the writer: the decision reads the live ledger, its lines become one command of the
ledger in the same step, and the plan is kept with the seq of that command.
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
    ReadMethod,
    Surroundings,
    outcomes_of,
)
from engine.api.networks import read_method, routers_of, whole
from engine.api.orders import (
    Decided,
    Task,
    decide,
    earliest_day,
    nearest_stores,
    order_refusal,
    read_order,
    read_strategy,
    rejected_pairs,
    units_by_place,
    with_rejections,
)
from engine.api.plans import KeptPlan
from engine.api.refusals import PLAIN, raise_refusal
from engine.api.reservations import notes_of
from engine.errors import RefusedError, invalid, shown
from ledger.book import Book
from ledger.core.limits import LINES_PER_RESERVATION_MAX, QUANTITY_MAX
from ledger.core.plans import DAY_US, Booking, Rejection, StoredPlan
from ledger.core.statuses import Operation, ReservationState, Status
from ledger.core.views import ReservationView
from routing import limits
from routing import order as orders
from routing.calendars import day_of
from routing.errors import RoutingInputError
from routing.order import Order
from routing.plan import Plan
from routing.rules import Method as RoutingMethod

SERVICE: Final = "/onhand.routing.v1.RoutingService/"
STORES_DEFAULT: Final = 3
STORES_MAX: Final = 20
ORDERS_PER_BATCH_MAX: Final = 64
"""Some 20 ms of the writer over 100 locations."""
BROUGHT: Final = (RoutingMethod.SHIP, RoutingMethod.DELIVERY)
COLLECTED: Final = (RoutingMethod.PICKUP, RoutingMethod.SHIP_TO_STORE)


class Made(NamedTuple):
    """A plan that was made, and what goes with it."""

    plan: Plan
    decided: Decided
    message: messages.FulfillmentPlan
    explanation: bytes
    line_numbers: Sequence[int]
    """Position in the caller's order of each line."""


class Cause(NamedTuple):
    """For which order a plan is made, and what led to it."""

    order: str
    """The caller's reference, or the reservation planned before; empty for neither."""
    rejections: Sequence[Rejection] = ()
    """What was just rejected."""


def make_plan(task: Task, book: Book, time_us: int, line_numbers: Sequence[int] = ()) -> Made:
    """Plan an order on what the book has now; raises RoutingInputError if nobody could route it."""
    decided = decide(task, book, time_us)
    plan = decided.plan()
    numbers = line_numbers or range(len(task.order.lines))
    message = plans.show_plan(plan, decided, numbers, book)
    return Made(plan, decided, message, plans.explanation_of(decided, numbers), numbers)


def bookings_of(made: Made, book: Book) -> tuple[Booking, ...]:
    """Return the capacity that a plan takes."""
    found: dict[tuple[int, int, int], int] = {}
    for shipment in made.plan.shipments:
        place = made.decided.router.network.location_index[shipment.location_id]
        day = made.decided.dispatch_day(place)
        for line in shipment.lines:
            key = book.ledger.sku_index(line.sku), int(made.decided.routers.location_indexes[place]), day
            found[key] = found.get(key, 0) + line.quantity
    return tuple(Booking(*key, units) for key, units in found.items())


def assigned_by(made: Made) -> list[tuple[int, str, int]]:
    """Return (line of the caller's order, location, units) of a plan."""
    return [
        (made.line_numbers[line.line], shipment.location_id, line.quantity)
        for shipment in made.plan.shipments
        for line in shipment.lines
    ]


def run(command: Command, book: Book, time_us: int) -> Outcome:
    """Run one command of the ledger, and note who did it."""
    batch = BatchBuilder(book)
    batch.add(command)
    outcome = outcomes_of(book.execute(batch.take(), time_us))[0]
    raise_refusal(command, outcome, book)
    return outcome


def keep(
    made: Made, cause: Cause, command: Command, outcome: Outcome, book: Book, *, kept: KeptPlan
) -> messages.FulfillmentPlan:
    """Keep a plan with the seq of its command, and return it with its names."""
    message = made.message
    message.plan_id = fields.reservation_name(outcome.seq)
    if outcome.reservation_id:
        message.reservation_id = fields.reservation_name(outcome.reservation_id)
    book.keep_plan(
        outcome.seq,
        StoredPlan(
            seq=outcome.seq,
            reservation_id=outcome.reservation_id,
            request_id=command.request_id,
            order=cause.order or f"reservation {message.reservation_id}",
            bookings=bookings_of(made, book),
            rejections=tuple(cause.rejections),
            content=plans.encode(msgspec.structs.replace(kept, message=message.SerializeToString())),
            explanation=made.explanation,
            explained_max=book.plans.explained_max,
        ),
    )
    if command.notes is not NO_NOTES:
        book.note(outcome.seq, *command.notes)
    return message


def stored_for(request_id: tuple[int, int] | None, book: Book) -> StoredPlan | None:
    """Return the plan that a request id led to, as long as it is remembered."""
    if request_id is None or not book.ledger.remembers(*request_id):
        return None
    return book.plans.plan_of_request(*request_id)


def told_again(stored: StoredPlan, book: Book, *, explain: bool) -> messages.FulfillmentPlan:
    """Return a plan that is kept."""
    message = messages.FulfillmentPlan.FromString(plans.decode_kept(stored.content).message)
    if explain:
        explanation = book.plans.explanation(stored.seq)
        message.candidates.extend(plans.candidates_of(explanation, message.cost_micros, book))
    return message


# ---- planning --------------------------------------------------------------------------------------------------------


def plan_fulfillment(
    request: service.PlanFulfillmentRequest, book: Book, time_us: int
) -> service.PlanFulfillmentResponse:
    """Answer PlanFulfillment."""
    notes = notes_of(request)
    order = read_order(request.order, book)
    task = Task(
        order,
        request.profile,
        read_strategy(request.strategy),
        whole(request.max_shipments, "max_shipments", limits.SHIPMENTS_MAX),
    )
    if not request.validate_only:
        request_id, ttl_us = fields.request_id(request.request_id), fields.ttl_us(request.ttl)
        command = Command(
            Operation.RESERVE, (), request_id, ttl_us=ttl_us, notes=notes, content=planned_content(request)
        )
        if stored := stored_for(request_id, book):
            return plan_again(request, stored, command, book, time_us)
    made = planned(task, book, time_us, request.reference)
    if request.validate_only:
        return answer_plan(request, made, made.message, None, book)
    command = command._replace(lines=lines_to_hold(made.plan))
    if not command.lines and command.request_id is None:
        return answer_plan(request, made, made.message, None, book)  # nothing to hold, and nothing to remember
    outcome = run(holding(command), book, time_us)
    kept = KeptPlan(
        message=b"",
        order=request.order.SerializeToString(),
        profile=request.profile,
        strategy=request.strategy,
        shipments_max=request.max_shipments,
        assigned=assigned_by(made),
        lines=[(line.sku_id, line.location_id, line.quantity) for line in command.lines],
    )
    message = keep(made, Cause(request.reference), command, outcome, book, kept=kept)
    return answer_plan(request, made, message, outcome, book)


def planned_content(request: service.PlanFulfillmentRequest) -> int:
    """Hash what a request asks for; whether it is explained changes nothing."""
    bare = service.PlanFulfillmentRequest()
    bare.CopyFrom(request)
    bare.ClearField("explain")
    return content_of("PlanFulfillment", bare)


def planned(task: Task, book: Book, time_us: int, reference: str) -> Made:
    """Plan a caller's order; what nobody could route is refused by field."""
    try:
        if reference and (found := book.plans.rejections(reference, time_us)):
            task = task._replace(order=with_rejections(task.order, rejected_pairs(routers_of(book), found, book)))
        return make_plan(task, book, time_us)
    except RoutingInputError as error:
        raise order_refusal(error) from error


def lines_to_hold(plan: Plan) -> list[Line]:
    """Return the lines of the hold of a plan."""
    units = units_by_place(plan)
    if len(units) > LINES_PER_RESERVATION_MAX:
        expected = f"a plan of at most {LINES_PER_RESERVATION_MAX} skus at locations; plan it as several orders"
        raise invalid("order.lines", expected, len(units))
    return [Line("order", sku, location, quantity) for (sku, location), quantity in units.items()]


def holding(command: Command) -> Command:
    """Return the command that holds a plan's units; where there are none, one that only remembers the request id."""
    if command.lines:
        return command
    return command._replace(operation=Operation.CHANGE_CATALOG, ttl_us=0)


def plan_again(
    request: service.PlanFulfillmentRequest, stored: StoredPlan, command: Command, book: Book, time_us: int
) -> service.PlanFulfillmentResponse:
    """Answer a repeat: the ledger compares it with the first call, as if it had led to the same plan."""
    lines = [Line("order", *line) for line in plans.decode_kept(stored.content).lines]
    outcome = run(holding(command._replace(lines=lines)), book, time_us)
    message = told_again(stored, book, explain=request.explain)
    return planned_response(message, outcome, book)


def answer_plan(
    request: service.PlanFulfillmentRequest,
    made: Made,
    message: messages.FulfillmentPlan,
    outcome: Outcome | None,
    book: Book,
) -> service.PlanFulfillmentResponse:
    """Return the response of a plan that was just made."""
    if request.explain:
        message.candidates.extend(plans.candidates_of(made.explanation, message.cost_micros, book))
    return planned_response(message, outcome, book)


def planned_response(
    message: messages.FulfillmentPlan, outcome: Outcome | None, book: Book
) -> service.PlanFulfillmentResponse:
    """Return the response of a plan."""
    response = service.PlanFulfillmentResponse(
        plan=message, reservation_id=message.reservation_id, seq=outcome.seq if outcome else book.seq
    )
    if outcome and outcome.reservation_id:
        fields.set_time(response.expire_time, outcome.time_us)
    return response


def batch_plan_fulfillment(
    request: service.BatchPlanFulfillmentRequest, book: Book, time_us: int
) -> service.BatchPlanFulfillmentResponse:
    """Answer BatchPlanFulfillment: each order sees the holds of those before it."""
    fields.count_of(request.requests, "requests", ORDERS_PER_BATCH_MAX)
    results = [planned_result(item, f"requests[{place}]", book, time_us) for place, item in enumerate(request.requests)]
    return service.BatchPlanFulfillmentResponse(results=results, seq=book.seq)


def planned_result(
    request: service.PlanFulfillmentRequest, field: str, book: Book, time_us: int
) -> service.PlanFulfillmentResult:
    """Return what came of one order of a batch."""
    try:
        return service.PlanFulfillmentResult(planned=plan_fulfillment(request, book, time_us))
    except RefusedError as refusal:
        return service.PlanFulfillmentResult(refused=refusal.inside(field).refusal())


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
    routers.router(request.profile)
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
    kept = plans.decode_kept(stored.content)
    rejected = rejected_of(request, kept, view, location, book)
    rejections = [
        Rejection(book.ledger.sku_index(sku), location, time_us + routers_of(book).rejection_days * DAY_US)
        for sku in rejected.units
    ]
    cause = Cause(stored.order, rejections)
    made = planned_rest(kept, rejected, cause, book, time_us)
    command = command._replace(lines=lines_after(view, rejected, made, book))
    outcome = run(command, book, time_us)
    now = msgspec.structs.replace(
        kept,
        assigned=[*assigned_after(kept, rejected), *assigned_by(made)],
        lines=[(line.sku_id, line.location_id, line.quantity) for line in command.lines],
    )
    message = keep(made, cause, command, outcome, book, kept=now)
    return rejected_response(message, outcome, rejections[0].until_us)


def reject_again(stored: StoredPlan, command: Command, book: Book, time_us: int) -> service.RejectAssignmentResponse:
    """Answer a repeat, as `plan_again` does."""
    lines = [Line("lines", *line) for line in plans.decode_kept(stored.content).lines]
    outcome = run(command._replace(lines=lines), book, time_us)
    until_us = stored.rejections[0].until_us if stored.rejections else 0
    return rejected_response(told_again(stored, book, explain=False), outcome, until_us)


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
    order = messages.Order.FromString(kept.order)
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
    return Rejected(request.location_id, wanted, spread(kept, order, request.location_id, wanted))


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


def spread(kept: KeptPlan, order: messages.Order, location_id: str, wanted: dict[str, int]) -> dict[int, int]:
    """Return the units by line of the order, the first lines first."""
    left, by_line = dict(wanted), dict[int, int]()
    for line, place, units in kept.assigned:
        sku = order.lines[line].sku_id
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


def planned_rest(kept: KeptPlan, rejected: Rejected, cause: Cause, book: Book, time_us: int) -> Made:
    """Plan the rejected units anew; what cannot be routed any more is a shortage."""
    before = read_order(messages.Order.FromString(kept.order), book)
    numbers = sorted(rejected.by_line)
    lines = [msgspec.structs.replace(before.lines[line], quantity=rejected.by_line[line]) for line in numbers]
    known = [*book.plans.rejections(cause.order, time_us), *cause.rejections]
    rest = msgspec.structs.replace(before, lines=tuple(lines), ship_complete=False)
    rest = with_rejections(rest, rejected_pairs(routers_of(book), known, book))
    task = Task(rest, kept.profile, read_strategy(kept.strategy), kept.shipments_max)
    try:
        return make_plan(task, book, time_us, numbers)
    except RoutingInputError:  # late is better than not at all
        lines = [msgspec.structs.replace(line, promise=None) for line in lines]
    try:
        rest = msgspec.structs.replace(rest, lines=tuple(lines))
        return make_plan(task._replace(order=rest), book, time_us, numbers)
    except RoutingInputError as error:
        raise order_refusal(error) from error


def lines_after(view: ReservationView, rejected: Rejected, made: Made, book: Book) -> list[Line]:
    """Return the new totals of the lines that change: less where it was rejected, more where it is now."""
    totals = {
        (book.ledger.sku_id(line.sku), book.ledger.location_id(line.location)): line.open + line.fulfilled
        for line in view.lines
    }
    changed = {
        (sku, rejected.location_id): totals[sku, rejected.location_id] - units for sku, units in rejected.units.items()
    }
    for key, units in units_by_place(made.plan).items():
        changed[key] = changed.get(key, totals.get(key, 0)) + units
    return [Line("lines", sku, location, quantity) for (sku, location), quantity in changed.items()]


METHODS: Final[Sequence[Method]] = (
    LoneMethod(SERVICE + "PlanFulfillment", service.PlanFulfillmentRequest, plan_fulfillment),
    LoneMethod(SERVICE + "BatchPlanFulfillment", service.BatchPlanFulfillmentRequest, batch_plan_fulfillment),
    ReadMethod(SERVICE + "QuoteFulfillment", service.QuoteFulfillmentRequest, quote_fulfillment),
    ReadMethod(SERVICE + "ExplainPlan", service.ExplainPlanRequest, explain_plan),
    LoneMethod(SERVICE + "RejectAssignment", service.RejectAssignmentRequest, reject_assignment),
)
