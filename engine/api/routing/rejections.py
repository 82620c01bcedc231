"""RejectAssignment: units that a location could not fill leave it, and are planned anew by the rules of their order.

What may be rejected is what the hold has at the location, whatever the plan said: holds are amended and moved. The
rules of docs/routing.md, "Rejections", in their order:

1. `situation_of` finds whose units are where: the order as its hold has it.
2. `rejected_of` takes units away from lines of the order.
3. `Rest` says by which rules they are planned: those of the order, less what its other units use up.
4. `replanned` plans them, over the network as it is now.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from onhand.inventory.v1.reservation_pb2 import Shortage
from onhand.routing.v1 import plan_pb2 as messages
from onhand.routing.v1 import routing_service_pb2 as service
from onhand.rules import refusals
from onhand.rules.checks import reservation_name

from engine.api import fields
from engine.api.lookups import known_location, known_sku, own_number
from engine.api.methods import NO_NOTES, Command, Line, Outcome
from engine.api.planned import Amended, encode_amended
from engine.api.refusals import no_plan, no_room
from engine.api.routing import plans
from engine.api.routing.networks import METHODS, whole
from engine.api.routing.order_batches import CELLS_PER_ORDER_MAX, COLLECTED, OrderBatchBuilder, PartialOrder
from engine.api.routing.plans import KeptPlan
from engine.api.routing.routers import Routers, routers_of
from engine.api.routing.settlement import settle_all
from engine.api.routing.told_again import raise_again, remembered, run, stored_for
from engine.api.stock.catalog import content_of
from engine.api.stock.reservations import notes_of
from engine.errors import RefusedError, refused_as
from engine.planner.records import HOLD_TOO_LONG, NO_ROOM
from engine.planner.run import Planned, Routing, planner_of
from ledger.book import Book
from ledger.core import ids
from ledger.core.limits import LINES_PER_RESERVATION_MAX, QUANTITY_MAX
from ledger.core.statuses import Operation, ReservationState, Status
from ledger.core.views import ReservationView
from ledger.parts.load import DAY_US
from ledger.parts.planned import BOOKING, PlannedOrders, Rejection
from ledger.parts.plans import StoredPlan
from routing import limits
from routing.rules import Method, Reason

Level = tuple[str, str]
"""Sku, location."""
Key = tuple[str, int, str, str]
"""Of a shipment: location, method, store, promise."""
OF_RULES: Final = (plans.reason_value(Reason.SHIP_COMPLETE),)


class Named(NamedTuple):
    """What a call names, checked by itself."""

    reservation_id: int
    units: Mapping[str, int]
    """Sku -> units; empty: all."""
    command: Command


class Situation(NamedTuple):
    """An order as its hold has it."""

    order: messages.Order
    """The one that was planned first; lines of skus that came later are appended to it."""
    assigned: list[tuple[int, str, int]]
    """(line, location, units), by line; units that were fulfilled too."""
    open: Mapping[Level, int]
    fulfilled: Mapping[Level, int]


class Rejected(NamedTuple):
    """What a location could not fill."""

    location_id: str
    units: dict[str, int]
    """Sku -> units."""
    by_line: dict[int, int]
    """Line of the order -> units."""


class Rest(NamedTuple):
    """What is to be planned anew, and by which rules."""

    request: service.PlanFulfillmentRequest
    """With the lines that the network can route."""
    numbers: list[int]
    """Position in the order of each of them."""
    unroutable: list[messages.LineShortage]
    """What it cannot route any more, and why."""
    rejections: Sequence[Rejection]
    staying: frozenset[Key]
    """Shipments that the order has without the rejected units."""
    shipments_max: int
    """Of the whole order."""
    is_split_forbidden: bool
    routing: Routing

    @property
    def shipments_left(self) -> int:
        """Shipments that the order may have beside those that stay."""
        return max(0, self.shipments_max - len(self.staying))

    def added(self, plan: messages.FulfillmentPlan) -> int:
        """Return how many shipments a plan of the rest adds to the order."""
        keys = {self.key(shipment) for shipment in plan.shipments}
        return len(keys - self.staying)

    def key(self, shipment: messages.Shipment) -> Key:
        """Return the key of a shipment of the rest."""
        place = self.numbers.index(shipment.lines[0].line)
        return _key(shipment.location_id, self.request.order.lines[place])

    def joinable(self) -> list[Key]:
        """Return the shipments that stay, and that units of the rest may join."""
        parts = {_key("", line)[1:] for line in self.request.order.lines}
        return sorted(key for key in self.staying if key[1:] in parts)


class Replanned(NamedTuple):
    """How what was rejected is filled now."""

    plan: messages.FulfillmentPlan
    planned: Planned | None
    """Of this one order; None where no line of it can be routed."""
    shipments_max: int
    only: list[str] | None
    """Locations that were asked; None: all."""


def reject_assignment(
    request: service.RejectAssignmentRequest, book: Book, time_us: int
) -> service.RejectAssignmentResponse:
    """Answer RejectAssignment."""
    named = fields.in_full(_named, request)
    command = named.command
    if command.request_id is not None and book.ledger.remembers(*command.request_id):
        return _reject_again(command, book, time_us)
    try:
        return _reject(request, named, book, time_us)
    except RefusedError as refusal:
        if refusal.reason == Status.VALIDATION_FAILED.name:
            raise
        raise remembered(refusal, command, book, time_us, command.notes) from refusal


def _named(request: service.RejectAssignmentRequest) -> Named:
    """Check a request by itself."""
    fields.identifier(request.location_id, "location_id")
    fields.count_of(request.lines, "lines", LINES_PER_RESERVATION_MAX, at_least=0)
    fields.unique((item.sku_id for item in request.lines), "lines")
    units = {}
    for place, item in enumerate(request.lines):
        sku_id = fields.identifier(item.sku_id, f"lines[{place}].sku_id")
        units[sku_id] = whole(item.quantity, f"lines[{place}].quantity", QUANTITY_MAX, at_least=1)
    number = fields.reservation_number(request.reservation_id)
    command = Command(
        Operation.AMEND,
        (),
        fields.request_id(request.request_id),
        reservation_id=number,
        notes=notes_of(request),
        content=content_of("RejectAssignment", request),
    )
    return Named(number, units, command)


def _reject_again(command: Command, book: Book, time_us: int) -> service.RejectAssignmentResponse:
    """Answer a repeat: the ledger compares it with the first call, as if it had led to the same change."""
    raise_again(command, book, time_us)
    stored = stored_for(command.request_id, book)
    lines = plans.read_kept(stored).lines if stored else ()
    outcome = run(command._replace(lines=[Line("lines", *line) for line in lines]), book, time_us)
    assert stored is not None, "a known request id of this content has a plan"
    until_us = stored.rejections[0].until_us if stored.rejections else 0
    return _response(plans.read_kept(stored).plan, outcome, until_us)


def _reject(
    request: service.RejectAssignmentRequest, named: Named, book: Book, time_us: int
) -> service.RejectAssignmentResponse:
    """Take units away and plan them anew."""
    number, command = own_number(book, request.reservation_id), named.command
    view = book.ledger.reservation(number)
    if view is None:
        raise refused_as(refusals.plain(Status.RESERVATION_NOT_FOUND.name))
    location = known_location(book, request.location_id, "location_id")
    for place, sku_id in enumerate(named.units):
        known_sku(book, sku_id, f"lines[{place}].sku_id")
    stored = book.plans.plan_of_reservation(number)
    if stored is None:
        raise no_plan("reservation_id", request.reservation_id)
    _refuse_ended(view)
    kept = plans.read_kept(stored)
    situation = situation_of(kept, view, book)
    rejected = rejected_of(request.location_id, named.units, situation)
    until_us = time_us + routers_of(book).rejection_days * DAY_US
    rejections = [Rejection(book.ledger.sku_index(sku), location, until_us) for sku in rejected.units]
    known = [*book.rejections.of(stored.order, time_us), *rejections]
    staying = list(_assigned_after(situation, rejected))
    rest = rest_of(kept, situation, rejected, staying, known, book)
    now = replanned(rest, book, time_us)
    settle_all(book, time_us)
    command = command._replace(lines=_lines_after(situation, rejected, now.plan))
    outcome = run(command, book, time_us)
    now.plan.plan_id = reservation_name(ids.named(book.ledger.shard, outcome.seq))
    now.plan.reservation_id = reservation_name(number)
    amended = Amended(
        order=situation.order.SerializeToString(),
        numbers=rest.numbers,
        assigned=[*staying, *plans.assigned_by(now.plan)],
        lines=[(line.sku_id, line.location_id, line.quantity) for line in command.lines],
        shipments_max=now.shipments_max,
        is_split_forbidden=rest.is_split_forbidden,
        only=now.only,
    )
    book.keep(outcome.seq, _change(stored, command, outcome, rest, now, rejections, amended, book))
    if command.notes is not NO_NOTES:
        book.note(outcome.seq, *command.notes)
    return _response(now.plan, outcome, until_us)


def _change(  # noqa: PLR0917 - all that a rejection found out, once
    stored: StoredPlan,
    command: Command,
    outcome: Outcome,
    rest: Rest,
    now: Replanned,
    rejections: Sequence[Rejection],
    amended: Amended,
    book: Book,
) -> PlannedOrders:
    """Return what is kept of a rejection."""
    bookings = b"" if now.planned is None else now.planned.bookings.tobytes()
    assert len(bookings) % BOOKING.itemsize == 0
    return PlannedOrders(
        seqs=outcome.seq.to_bytes(8, "little"),
        reservation_ids=command.reservation_id.to_bytes(8, "little"),
        remembered_seq=outcome.seq if command.request_id else 0,
        references=[stored.reference],
        bookings=bookings,
        requests=[rest.request.SerializeToString()],
        responses=[service.PlanFulfillmentResponse(plan=now.plan).SerializeToString()],
        seen=[b""] if now.planned is None else now.planned.seen,
        view=book.view(outcome.seq),
        explained_max=book.plans.explained_max,
        rejections=tuple(rejections),
        amended=encode_amended(amended),
    )


def _response(message: messages.FulfillmentPlan, outcome: Outcome, until_us: int) -> service.RejectAssignmentResponse:
    response = service.RejectAssignmentResponse(
        plan=message,
        state=outcome.state,  # type: ignore[arg-type]  # values of the wire
        version=outcome.version,
        seq=outcome.seq,
    )
    fields.set_time(response.rejected_until_time, until_us)
    return response


def _refuse_ended(view: ReservationView) -> None:
    """Refuse a reservation that holds nothing any more."""
    if view.state is ReservationState.EXPIRED:
        raise refused_as(refusals.plain(Status.RESERVATION_EXPIRED.name))
    if view.state is ReservationState.RELEASED:
        raise refused_as(refusals.plain(Status.RESERVATION_NOT_ACTIVE.name))


# ---- the order as its hold has it ------------------------------------------------------------------------------------


def situation_of(kept: KeptPlan, view: ReservationView, book: Book) -> Situation:
    """Find whose units are where.

    Units that are where the plan put them belong to the line that it said. Others were moved there, and belong to the
    lines whose units are not there any more, the first line of the sku first; or came later, and belong to the first
    line of the sku. A sku that the order did not have becomes a line that travels as the order's first line does.
    """
    names = [(book.ledger.sku_id(line.sku), book.ledger.location_id(line.location)) for line in view.lines]
    left = {name: line.open + line.fulfilled for name, line in zip(names, view.lines, strict=True)}
    order = messages.Order()
    order.CopyFrom(kept.order)
    assigned: list[tuple[int, str, int]] = []
    moved: dict[int, int] = {}
    for line, location, units in kept.assigned:
        level = order.lines[line].sku_id, location
        taken = min(units, left.get(level, 0))
        if taken:
            left[level] -= taken
            assigned.append((line, location, taken))
        moved[line] = moved.get(line, 0) + units - taken
    for (sku, location), units in left.items():
        assigned += ((line, location, taken) for line, taken in _owners(order, sku, units, moved))
    return Situation(
        order,
        sorted(assigned, key=lambda each: each[0]),
        {name: line.open for name, line in zip(names, view.lines, strict=True)},
        {name: line.fulfilled for name, line in zip(names, view.lines, strict=True)},
    )


def _owners(order: messages.Order, sku: str, units: int, moved: dict[int, int]) -> Iterator[tuple[int, int]]:
    """Yield the lines that units which are not where the plan put them belong to, and how many of them."""
    own = [line for line, item in enumerate(order.lines) if item.sku_id == sku]
    for line in own:
        taken = min(units, moved.get(line, 0))
        if taken:
            moved[line] -= taken
            units -= taken
            yield line, taken
    if units and not own:
        first = order.lines[0]
        order.lines.add(sku_id=sku, method=first.method, store_id=first.store_id, promise_date=first.promise_date)
        own = [len(order.lines) - 1]
    if units:
        yield own[0], units


def rejected_of(location_id: str, named: Mapping[str, int], situation: Situation) -> Rejected:
    """Return what is rejected; refuses more than the hold has open there."""
    there = {sku: units for (sku, location), units in situation.open.items() if location == location_id and units}
    wanted = dict(named) or there
    short = [(sku, units, there.get(sku, 0)) for sku, units in wanted.items() if units > there.get(sku, 0)]
    if short or not wanted:
        raise _too_many(location_id, short)
    return Rejected(location_id, wanted, _spread(situation, location_id, wanted))


def _too_many(location_id: str, short: Sequence[tuple[str, int, int]]) -> RefusedError:
    """Return the refusal of more units than the reservation has at the location."""
    told = "; ".join(f"{sku} has {there} there, {units} were rejected" for sku, units, there in short[:3])
    return RefusedError(
        Status.QUANTITY_EXCEEDS_OPEN.name,
        f"location_id: {told or 'nothing of the reservation is open'} at {location_id}.",
        shortages=[
            Shortage(sku_id=sku, location_id=location_id, requested=units, available=there, line=line)
            for line, (sku, units, there) in enumerate(short)
        ],
        metadata={"field": "location_id", "location": location_id},
    )


def _spread(situation: Situation, location_id: str, wanted: Mapping[str, int]) -> dict[int, int]:
    """Return the units by line, the first lines first; what was fulfilled was theirs too."""
    left, by_line = dict(wanted), dict[int, int]()
    done = {sku: situation.fulfilled.get((sku, location_id), 0) for sku in wanted}
    for line, location, units in situation.assigned:
        sku = situation.order.lines[line].sku_id
        if location != location_id or sku not in wanted:
            continue
        is_done = min(units, done[sku])
        taken = min(units - is_done, left[sku])
        done[sku] -= is_done
        left[sku] -= taken
        if taken:
            by_line[line] = by_line.get(line, 0) + taken
    return by_line


def _assigned_after(situation: Situation, rejected: Rejected) -> Iterator[tuple[int, str, int]]:
    """Yield what stays of the assignments when units are taken away."""
    left = dict(rejected.by_line)
    for line, place, units in situation.assigned:
        taken = min(units, left.get(line, 0)) if place == rejected.location_id else 0
        if taken:
            left[line] -= taken
        if units > taken:
            yield line, place, units - taken


# ---- the rest, and the rules of its order ----------------------------------------------------------------------------


def rest_of(  # noqa: PLR0917 - one call site
    kept: KeptPlan,
    situation: Situation,
    rejected: Rejected,
    staying: Sequence[tuple[int, str, int]],
    rejections: Sequence[Rejection],
    book: Book,
) -> Rest:
    """Return what is to be planned anew, over the network as it is now."""
    routers, order = routers_of(book), situation.order
    _refuse_too_much(rejected)
    routing = routing_now(routers, kept.request.profile)
    request = service.PlanFulfillmentRequest()
    request.CopyFrom(kept.request)
    request.profile = str(routing.router.profile)
    request.order.CopyFrom(order)
    del request.order.lines[:]
    if order.destination.HasField("latitude") and order.destination.HasField("longitude"):
        request.order.destination.ClearField("place")  # it goes where the place was when the order was planned
    numbers, unroutable = [], []
    for line in sorted(rejected.by_line):
        reason = _why_unroutable(order.lines[line], request.order, routers)
        if reason is not None:
            count = len(routers.network.locations)
            units = rejected.by_line[line]
            unroutable.append(plans.shortage_of(line, order.lines[line].sku_id, units, {reason: count}, reason))
            continue
        numbers.append(line)
        request.order.lines.add().CopyFrom(order.lines[line])
        request.order.lines[-1].quantity = rejected.by_line[line]
    _refuse_too_wide(request.order, len(routers.network.locations))
    counts = [(line, count) for line, _, count in staying] + list(rejected.by_line.items())
    value = sum(order.lines[line].unit_value_micros * count for line, count in counts)
    is_forbidden = value < routing.never_split_below
    return Rest(
        request,
        numbers,
        unroutable,
        rejections,
        frozenset(_key(location, order.lines[line]) for line, location, _ in staying),
        1 if is_forbidden else request.max_shipments or routing.shipments_max,
        is_forbidden,
        routing,
    )


def _key(location: str, line: messages.OrderLine) -> Key:
    return location, int(line.method) or messages.FULFILLMENT_METHOD_SHIP, line.store_id, line.promise_date


def _refuse_too_much(rejected: Rejected) -> None:
    """Refuse what would be too large an order."""
    if (count := len(rejected.by_line)) > limits.LINES_PER_ORDER_MAX:
        raise _too_large(
            f"lines: expected units of at most {limits.LINES_PER_ORDER_MAX} lines of the order at once, was {count}"
        )
    if (units := sum(rejected.by_line.values())) > limits.UNITS_PER_ORDER_MAX:
        raise _too_large(f"lines: expected at most {limits.UNITS_PER_ORDER_MAX} units at once, was {units}")


def _refuse_too_wide(order: messages.Order, places: int) -> None:
    """Refuse what is too large an order over so many locations."""
    parts = len({_key("", line) for line in order.lines})
    most = CELLS_PER_ORDER_MAX // max(1, parts * places)
    if len(order.lines) > most:
        found = len(order.lines)
        raise _too_large(f"lines: expected units of at most {most} lines of the order at once, was {found}")


def _too_large(told: str) -> RefusedError:
    """Return the refusal of a rejection that cannot be done at once."""
    message = f"{told}: reject some of the skus or units first."
    return RefusedError(Status.TOO_MANY_LINES.name, message, metadata={"field": told.partition(":")[0]})


def routing_now(routers: Routers, profile: str) -> Routing:
    """Return the profile that was asked for; where it is gone its other version, else the first of the network."""
    for name in (profile, profile.partition("@")[0]):
        try:
            return routers.routing(name)
        except RefusedError:
            continue
    return routers.routing("")


def _why_unroutable(line: messages.OrderLine, order: messages.Order, routers: Routers) -> Reason | None:
    """Return why a line can be routed no more, whatever there is: what it names is gone; None if it can."""
    network = routers.network
    if order.channel and order.channel not in network.channels:
        return Reason.CHANNEL_NOT_SERVED
    method = METHODS[int(line.method) or messages.FULFILLMENT_METHOD_SHIP]
    if method in COLLECTED:
        place = network.location_index.get(line.store_id)
        is_offered = place is not None and Method.PICKUP in network.locations[place].methods
        return None if is_offered else Reason.NOT_PICKUP_STORE
    where = order.destination
    has_point = where.HasField("latitude") and where.HasField("longitude")
    return None if has_point or where.place in network.places else Reason.BEYOND_ZONES


# ---- planning it -----------------------------------------------------------------------------------------------------


def replanned(rest: Rest, book: Book, time_us: int) -> Replanned:
    """Plan the rest by the rules of the whole order; what cannot be filled so is a shortage.

    A shipment that stays is one of the order's; what joins it is no other one. The cheapest plan is taken as it is, if
    it adds no more shipments than the order may still have. Else the cheaper of two: the cheapest that asks only
    locations whose shipments stay, and the cheapest that has no more shipments than may be added.
    """
    if not rest.numbers:
        found = Replanned(_nothing(rest, book, time_us), None, rest.shipments_max, None)
    else:
        found = _planned(rest, book, time_us, rest.shipments_max)
        if rest.added(found.plan) > rest.shipments_left:
            found = _within_rules(rest, found, book, time_us)
    _tell_unroutable(rest, found.plan, routers_of(book))
    return found


def _within_rules(rest: Rest, free: Replanned, book: Book, time_us: int) -> Replanned:
    """Return the cheapest plan that adds no more shipments to the order than it may have; `free` adds too many."""
    none = _planned(rest, book, time_us, 0)
    tried = [_planned(rest, book, time_us, rest.shipments_left) if rest.shipments_left else none]
    if joinable := rest.joinable():
        places = sorted({location for location, *_ in joinable})
        tried.insert(0, _planned(rest, book, time_us, min(len(joinable), limits.SHIPMENTS_MAX), places))
    allowed = [one for one in tried if rest.added(one.plan) <= rest.shipments_left]
    found = min(allowed, key=lambda one: (_missing(one.plan) if _is_complete(rest) else 0, one.plan.cost_micros))
    rule = plans.reason_value(Reason.NEVER_SPLIT if rest.is_split_forbidden else Reason.MAX_SHIPMENTS)
    short_anyway = {one.line: one for one in free.plan.shortages}
    counts = {one.line: one for one in none.plan.shortages}
    for short in found.plan.shortages:
        anyway = short_anyway.get(short.line)
        if anyway is not None and anyway.quantity >= short.quantity:
            short.reason = anyway.reason
        elif short.reason not in OF_RULES:
            short.reason = rule
        del short.reasons[:]
        short.reasons.extend(counts[short.line].reasons)
    return found


def _missing(plan: messages.FulfillmentPlan) -> int:
    return sum(short.quantity for short in plan.shortages)


def _is_complete(rest: Rest) -> bool:
    return rest.request.order.ship_complete or rest.routing.is_complete


def _planned(rest: Rest, book: Book, time_us: int, shipments_max: int, only: list[str] | None = None) -> Replanned:
    """Plan the rest without a hold."""
    index = routers_of(book).network.location_index
    places = None if only is None else [index[name] for name in only if name in index]
    builder = OrderBatchBuilder(book)
    part = PartialOrder(rest.numbers, rest.rejections, shipments_max, rest.is_split_forbidden, places)
    asked = builder.add(rest.request, b"", time_us, part)
    if asked.refusal is not None:
        raise asked.refusal
    (planned,) = planner_of(book).run(builder.take(), time_us)
    code = planned.results["code"][0]
    if code == NO_ROOM:
        raise no_room()
    if code == HOLD_TOO_LONG:
        told = f"order.lines: expected a plan of at most {LINES_PER_RESERVATION_MAX} skus at locations"
        raise _too_large(f"{told}, was {int(planned.results['hold_lines'][0])}")
    plan = service.PlanFulfillmentResponse.FromString(planned.answers[0]).plan
    return Replanned(plan, planned, shipments_max, only)


def _nothing(rest: Rest, book: Book, time_us: int) -> messages.FulfillmentPlan:
    """Return the plan of an order of which no line can be routed."""
    routers = routers_of(book)
    plan = messages.FulfillmentPlan(
        profile=str(rest.routing.router.profile),
        network_version=routers.network.version,
        strategy=rest.request.strategy or messages.ROUTING_STRATEGY_OPTIMAL,
        currency=routers.currency,
        proved=True,
        stock_seq=book.seq,
    )
    plan.cost_terms.SetInParent()
    fields.set_time(plan.plan_time, time_us)
    return plan


def _tell_unroutable(rest: Rest, plan: messages.FulfillmentPlan, routers: Routers) -> None:
    """Add what nobody can route any more to a plan's shortages and cost."""
    if not rest.unroutable:
        return
    for short in rest.unroutable:
        cost = short.quantity * routers.unfilled.get(short.sku_id, rest.routing.unfilled_cost)
        plan.cost_terms.unfilled_micros += cost
        plan.cost_micros += cost
    shortages = sorted([*plan.shortages, *rest.unroutable], key=lambda short: short.line)
    del plan.shortages[:]
    plan.shortages.extend(shortages)


def _lines_after(situation: Situation, rejected: Rejected, plan: messages.FulfillmentPlan) -> list[Line]:
    """Return the new totals of the lines that change: less where it was rejected, more where it is now."""
    totals = {level: units + situation.fulfilled[level] for level, units in situation.open.items()}
    changed = {
        (sku, rejected.location_id): totals[sku, rejected.location_id] - units for sku, units in rejected.units.items()
    }
    for shipment in plan.shipments:
        for line in shipment.lines:
            level = line.sku_id, shipment.location_id
            changed[level] = changed.get(level, totals.get(level, 0)) + line.quantity
    if (units := max(changed.values())) > QUANTITY_MAX:
        raise _too_large(f"lines: expected at most {QUANTITY_MAX} units of a sku at a location afterwards, was {units}")
    if sum(units > 0 for units in (totals | changed).values()) > LINES_PER_RESERVATION_MAX:
        raise refused_as(refusals.plain(Status.TOO_MANY_LINES.name))
    return [Line("lines", sku, location, quantity) for (sku, location), quantity in changed.items()]
