"""An engine's desk and the model, side by side: the same history, each answer compared."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from datetime import date
from random import Random
from typing import Any, NamedTuple

from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_pb2
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.routing.v1 import plan_pb2
from onhand.routing.v1 import routing_service_pb2 as routing

from engine.errors import RefusedError

from . import histories, plans, rejections
from .holds import ACTIVE, COMMITTED, RELEASED, Hold, Pair, Row
from .optimum import OPTIMAL, Units, is_whole
from .plans import Difference, expect
from .rejections import Rest
from .sight import (
    CUTOFF_MISSED,
    DELIVERY,
    PASSES_WITH_TIME,
    PICKUP,
    PROMISE_MISSED,
    SHIP,
    SHIP_TO_STORE,
    Order,
    km_between,
    point_of,
    utc,
)
from .world import DAY_US, World

STEPS_OF_A_HISTORY = 24


class Report(NamedTuple):
    """What came of a history."""

    seed: int
    cases: int
    """Answers that were compared."""
    difference: str
    story: list[str]


class History(World):
    """What happens to the orders of a world, each answer compared."""

    # ---- steps -------------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Let something happen, and compare."""
        self.pass_time()
        steps: Mapping[Callable[[], None], int] = {
            self.plan: 10,
            self.quote: 2,
            self.change_hold: 6,
            self.reject: 3,
            self.change_stock: 2,
            self.change_network: 1,
        }
        self.chance.choices(list(steps), list(steps.values()))[0]()
        self.cases += 1

    def plan(self) -> None:
        """Plan an order, now and then one that has a hold."""
        request, whom = self.a_request(), ""
        held = self.a_cart()
        if held is not None:
            request.reservation_id = held.name
            request.reference *= self.chance.random() < 0.3
            whom = request.reference or held.request.reference or held.name
        whom = whom or request.reference
        rejected = self.books.rejected(whom, self.engine.now_us) if whom else frozenset()
        self.books.planned_anew = held
        try:
            self.plan_request(request, self.order(request, rejected), held)
        finally:
            self.books.planned_anew = None
        if held is not None:
            self.check_hold(held.name)
            self.check_load()

    def a_cart(self) -> Hold | None:
        """Return an ACTIVE hold, now and then."""
        carts = [self.books.holds[name] for name in self.open_holds if self.books.holds[name].state == ACTIVE]
        return self.chance.choice(carts) if carts and self.chance.random() < 0.3 else None

    def plan_request(self, request: routing.PlanFulfillmentRequest, order: Order, held: Hold | None) -> None:
        """Ask for a plan, and compare it."""
        answer = self.ask(request)
        if isinstance(answer, RefusedError):
            self.check_refusal(order, answer)
            return
        units = plans.check_plan(order, answer.plan, strategy=request.strategy or 1)
        if plans.is_hopeless(order, units, dropped=answer.plan.used_second_pass):
            raise Difference("plan: expected a refusal, since no location may ever serve a line")
        if request.strategy in (0, 1):
            plans.check_optimum(order, answer.plan, units)
            if order.has_steps and request.validate_only:  # else its own hold would be in the way
                self.check_not_dearer(request, answer.plan, is_complete=order.is_complete)
        if answer.plan.candidates:
            plans.check_candidates(order, answer.plan, units)
        if not request.validate_only and units:
            if held is not None:
                expect("reservation_id", held.name, answer.reservation_id)
                request.reference = request.reference or held.request.reference
            self.keep(request, answer, units)

    def check_not_dearer(
        self, request: routing.PlanFulfillmentRequest, plan: plan_pb2.FulfillmentPlan, *, is_complete: bool
    ) -> None:
        """Check that no other strategy has a cheaper plan, of what ships complete none that is filled."""
        other = routing.PlanFulfillmentRequest()
        other.CopyFrom(request)
        other.validate_only = True
        for other.strategy in (2, 3, 4):
            told = self.engine.ask(other).plan
            mine, theirs = ((is_complete and not one.shipments, one.cost_micros) for one in (plan, told))
            if mine > theirs:
                raise Difference(
                    f"cost_micros: strategy {other.strategy} has {told.cost_micros}, was {plan.cost_micros}"
                )

    def keep(self, request: Any, answer: routing.PlanFulfillmentResponse, units: Units) -> None:
        """Hold what was planned."""
        now_us = self.engine.now_us
        expect("expire_time", now_us + request.ttl.ToMicroseconds(), answer.expire_time.ToMicroseconds())
        hold = Hold(
            answer.reservation_id,
            request,
            answer.expire_time.ToMicroseconds(),
            lines=list(request.order.lines),
            assigned=assigned_by(answer.plan),
        )
        self.books.take(hold, pairs_of(request.order, units), self.network, utc(now_us))
        self.books.holds[answer.reservation_id] = hold
        self.check_hold(answer.reservation_id)

    def check_refusal(self, order: Order, refusal: RefusedError) -> None:
        """Check that an order could not be planned by anybody."""
        expect("refusal", "VALIDATION_FAILED", refusal.reason)
        passes = [
            {
                number
                for number in range(len(order.lines))
                if not PASSES_WITH_TIME & plans.reasons_of(order, number, dropped=dropped).keys()
            }
            for dropped in (False, True)
        ]
        named = {number for number in range(len(order.lines)) if f"lines[{number}]" in str(refusal)}
        if not named or not passes[0] & passes[1] <= named <= passes[0] | passes[1]:
            raise Difference(f"plan: expected a refusal of lines {passes}, was {refusal}")
        for number in named:
            late = {CUTOFF_MISSED, PROMISE_MISSED} & plans.reasons_of(order, number, dropped=True).keys()
            if late and f"lines[{number}].promise_date" not in str(refusal):
                raise Difference(f"plan: expected a refusal that names the promise, was {refusal}")

    # ---- holds -------------------------------------------------------------------------------------------------------

    def check_hold(self, name: str) -> None:
        """Compare a reservation."""
        told = self.done(reservations.GetReservationRequest(reservation_id=name)).reservation
        hold = self.books.holds[name]
        expect(f"state of {name}", hold.state, told.state)
        expect(
            f"units of {name}",
            hold.open,
            {(line.sku_id, line.location_id): line.open_quantity for line in told.lines if line.open_quantity},
        )

    def check_load(self) -> None:
        """Compare what waits at each location."""
        now = utc(self.engine.now_us)
        self.engine.ask(inventory.ListStockLevelsRequest())  # what is over ends with a group
        book = self.engine.book
        told: dict[str, dict[Any, int]] = {name: {} for name in self.network.places}
        for location, day, units in book.plans.load.rows():
            told[book.ledger.location_id(location)][day] = units
        for name, place in self.network.places.items():
            first = (place.leaves(now, 0) - utc(0).date()).days
            waiting = sum(units for day, units in told[name].items() if day >= first)
            expect(f"load of {name}", self.books.load(place, now), waiting)

    def change_hold(self) -> None:
        """Commit, release, fulfill, cancel, amend, move or extend a hold."""
        if not self.open_holds:
            self.plan()
            return
        name = self.chance.choice(self.open_holds)
        hold = self.books.holds[name]
        if hold.state == ACTIVE:
            actions = [self.commit, self.commit, self.release, self.amend, self.amend, self.move, self.move]
        else:
            actions = [self.fulfill, self.cancel, self.amend, self.move]
        self.chance.choice(actions)(name, hold)
        self.check_hold(name)
        self.check_load()

    def some(self, hold: Hold) -> dict[Pair, int]:
        """Some units of a hold, or all."""
        if self.chance.random() < 0.4:
            return dict(hold.open)
        pair = self.chance.choice(list(hold.open))
        return {pair: self.chance.randint(1, hold.open[pair])}

    def commit(self, name: str, hold: Hold) -> None:
        """Commit; what is not named is released."""
        units = self.some(hold)
        self.done(reservations.CommitReservationRequest(reservation_id=name, lines=lines_of(units)))
        self.books.give_back(hold, {pair: count - units.get(pair, 0) for pair, count in hold.open.items()})
        hold.state = COMMITTED

    def release(self, name: str, hold: Hold) -> None:
        """Release."""
        units = self.some(hold)
        self.done(reservations.ReleaseReservationRequest(reservation_id=name, lines=lines_of(units)))
        self.books.give_back(hold, units)
        if not hold.open:
            hold.state = RELEASED

    def fulfill(self, name: str, hold: Hold) -> None:
        """Hand over what is physically there."""
        units = self.some(hold)
        request = reservations.FulfillCommitmentRequest(reservation_id=name, lines=lines_of(units))
        answer = self.ask(request)
        is_there = all(self.books.levels[pair].on_hand >= count for pair, count in units.items())
        expect("fulfilled", is_there, not isinstance(answer, RefusedError))
        if is_there:
            self.books.fulfill(hold, units)
            hold.state = answer.state

    def cancel(self, name: str, hold: Hold) -> None:
        """Give committed units back."""
        units = self.some(hold)
        answer = self.done(reservations.CancelCommitmentRequest(reservation_id=name, lines=lines_of(units)))
        self.books.give_back(hold, units)
        hold.state = answer.state

    def amend(self, name: str, hold: Hold) -> None:
        """Set the units of a line, or take another location."""
        pair = self.chance.choice(list(hold.open))
        if self.chance.random() < 0.3:
            pair = pair[0], self.chance.choice(list(self.locations))
        row = hold.rows.get(pair, Row(0))
        total = row.fulfilled + self.chance.choice([0, 1, 2, 4, 7])
        amendment = reservations.LineAmendment(sku_id=pair[0], location_id=pair[1], quantity=total)
        before = self.books.seen_levels().get(pair)
        answer = self.ask(reservations.AmendReservationRequest(reservation_id=name, lines=[amendment]))
        more = total - row.fulfilled - row.open
        if isinstance(answer, RefusedError):
            is_short = before is None or before.free + before.backorder < more
            is_closed = not self.locations[pair[1]].active
            if not (is_short or is_closed):
                raise Difference(f"amendment: expected an answer, was {answer}")
            return
        if more > 0:
            self.books.take(hold, {pair: more}, self.network, utc(self.engine.now_us))
        elif more < 0:
            self.books.give_back(hold, {pair: -more})
        hold.state = answer.state

    def move(self, name: str, hold: Hold) -> None:
        """Move units to another location."""
        origin = self.chance.choice([pair[1] for pair in hold.open])
        others = [other for other in self.locations if other != origin]
        if not others:
            return
        target = self.chance.choice(others)
        units = {pair: count for pair, count in hold.open.items() if pair[1] == origin}
        answer = self.ask(
            reservations.TransferReservationRequest(reservation_id=name, from_location_id=origin, to_location_id=target)
        )
        if isinstance(answer, RefusedError):
            return
        self.books.give_back(hold, units)
        moved = {(sku, target): count for (sku, _), count in units.items()}
        self.books.take(hold, moved, self.network, utc(self.engine.now_us))

    # ---- rejections --------------------------------------------------------------------------------------------------

    def reject(self) -> None:
        """Let a location say that it cannot fill."""
        if not self.open_holds:
            self.plan()
            return
        name = self.chance.choice(self.open_holds)
        hold = self.books.holds[name]
        location = self.chance.choice([pair[1] for pair in hold.open])
        there = {pair[0]: count for pair, count in hold.open.items() if pair[1] == location}
        units = there if self.chance.random() < 0.5 else {}
        if units and self.chance.random() < 0.6:
            sku = self.chance.choice(list(units))
            units = {sku: self.chance.randint(1, there[sku])}
        until = self.engine.now_us + self.message.rejection_days * DAY_US
        rest = self.rest(hold, location, units or there)
        answer = self.done(
            routing.RejectAssignmentRequest(
                reservation_id=name,
                location_id=location,
                lines=[routing.RejectedLine(sku_id=sku, quantity=count) for sku, count in units.items()],
            )
        )
        expect("rejected_until_time", until, answer.rejected_until_time.ToMicroseconds())
        units = units or there
        if rest is not None and rest.is_plain:
            self.check_rest(rest, answer.plan)
        if rest is not None:
            hold.lines = rest.lines
            hold.assigned = [*rest.assigned, *assigned_by(answer.plan)]
        whom = hold.request.reference or name
        self.books.reject(whom, [(sku, location) for sku in units], until)
        self.books.give_back(hold, {(sku, location): count for sku, count in units.items()})
        taken: dict[Pair, int] = {}
        for shipment in answer.plan.shipments:
            for item in shipment.lines:
                pair = item.sku_id, shipment.location_id
                taken[pair] = taken.get(pair, 0) + item.quantity
        if any((sku, location) in taken for sku in units):
            raise Difference(f"reject: {location} was asked again")
        short = sum(one.quantity for one in answer.plan.shortages)
        expect("units taken over and short", sum(units.values()), sum(taken.values()) + short)
        self.books.take(hold, taken, self.network, utc(self.engine.now_us))
        hold.state = answer.state
        self.check_hold(name)
        self.check_load()

    def rest(self, hold: Hold, location: str, units: Mapping[str, int]) -> Rest | None:
        """Return what is to be planned anew; None where a line cannot be routed any more."""
        situation = rejections.situation_of(hold)
        by_line, staying = rejections.taken_from(situation, hold, location, units)
        request = routing.PlanFulfillmentRequest()
        request.CopyFrom(hold.request)
        del request.order.lines[:]
        for number in sorted(by_line):
            request.order.lines.add().CopyFrom(situation.lines[number])
            request.order.lines[-1].quantity = by_line[number]
            store = request.order.lines[-1].store_id
            if store and PICKUP not in self.network.places[store].methods:
                return None
        whom = hold.request.reference or hold.name
        rejected = self.books.rejected(whom, self.engine.now_us) | {(sku, location) for sku in units}
        order = self.order(request, rejected)
        counts = [*by_line.items(), *((line, count) for line, _, count in staying)]
        value = sum(situation.lines[line].unit_value_micros * count for line, count in counts)
        order.is_split_forbidden = value < order.profile.never_split_below
        most = 1 if order.is_split_forbidden else request.max_shipments or order.profile.shipments_max
        order.shipments_max = most
        return Rest(
            order,
            sorted(by_line),
            rejections.keys_of(staying, situation.lines),
            by_line,
            staying,
            situation.lines,
            request.strategy or OPTIMAL,
            situation.is_plain,
        )

    def check_rest(self, rest: Rest, plan: plan_pb2.FulfillmentPlan) -> None:
        """Check how rejected units are filled: by the rules of their order, with the shipments that it has left."""
        costs = rest.costs()
        is_free = len(rest.staying) == 0
        units = plans.check_plan(rest.order, plan, rest.numbers, with_reasons=is_free)
        added = {key for _, key in units} - rest.staying
        if len(added) > rest.shipments_left:
            raise Difference(f"reject: expected at most {rest.shipments_left} shipments more, was {len(added)}")
        if costs is not None and plan.cost_micros not in costs:
            raise Difference(f"reject: cost_micros: expected one of {costs}, was {plan.cost_micros}")

    # ---- quotes ------------------------------------------------------------------------------------------------------

    def quote(self) -> None:
        """Quote a cart, now and then one that has a hold."""
        held = self.a_cart()
        self.books.planned_anew = held
        try:
            self.quote_cart(held.name if held else "")
        finally:
            self.books.planned_anew = None

    def quote_cart(self, reservation_id: str) -> None:
        """Compare what each way costs and when all of it could be promised."""
        chance = self.chance
        request = routing.QuoteFulfillmentRequest(
            order=histories.an_order(chance, self.stores(), utc(self.engine.now_us)),
            profile=chance.choice(["", "rush"]),
            store_count_max=chance.choice([0, 1]),
            reservation_id=reservation_id,
        )
        for line in request.order.lines:
            line.method, line.store_id = 0, ""
        is_brought = request.order.HasField("destination")
        answer = self.done(request)
        ways: list[tuple[int, str]] = [(SHIP, ""), (DELIVERY, "")] if is_brought else []
        stores = self.nearest_stores(request.order)[: request.store_count_max or 3]
        ways += [(method, store) for store in stores for method in (PICKUP, SHIP_TO_STORE)]
        told = [(one.method, one.store_id) for one in answer.quotes]
        expect("ways", ways or [(PICKUP, ""), (SHIP_TO_STORE, "")], told if stores else told[: len(ways)] or told)
        for way, quote in zip(ways, answer.quotes, strict=False):
            self.check_quote(request, way, quote)

    def nearest_stores(self, message: plan_pb2.Order) -> list[str]:
        """Return the stores that are quoted, the nearest first."""
        point = point_of(message, self.network)
        stores = [one for one in self.network.places.values() if one.is_active and PICKUP in one.methods]
        return [
            one.name
            for one in sorted(stores, key=lambda one: (km_between(one.point, point) if point else 0.0, one.name))
        ]

    def check_quote(
        self, request: routing.QuoteFulfillmentRequest, way: tuple[int, str], quote: routing.FulfillmentQuote
    ) -> None:
        """Compare one way."""
        asked = routing.PlanFulfillmentRequest(order=request.order, profile=request.profile)
        for line in asked.order.lines:
            line.method, line.store_id = way
        order = self.order(asked)
        where = f"quote of {way}"
        short = sum(one.quantity * order.unfilled[one.line] for one in quote.shortages)
        expect(f"{where}: complete", not quote.shortages, quote.complete)
        best, second, is_all = plans.optimum.plans(order)
        if not order.has_steps and not second:
            cost = plans.optimum.settled(order, best.ties[0])[1]
            expect(f"{where}: cost_micros and what is not filled", cost, quote.cost_micros + short)
        if order.has_steps or not is_all:
            return
        days = sorted({sight.trip.arrival for sight in order.sights.values() if sight.trip is not None})
        for day in [*days, None]:
            able = self.can_promise(asked, day)
            if day is not None and day.isoformat() == quote.earliest_date:
                if True not in able:
                    raise Difference(f"{where}: earliest_date {day} cannot be promised")
                return
            if able == {True}:
                raise Difference(f"{where}: earliest_date: expected {day}, was {quote.earliest_date or 'none'}")
        expect(f"{where}: earliest_date", "", quote.earliest_date)

    def can_promise(self, asked: routing.PlanFulfillmentRequest, day: date | None) -> set[bool]:
        """Return whether a plan fills all by a day that is a hard promise; both where equal costs leave it open."""
        request = routing.PlanFulfillmentRequest()
        request.CopyFrom(asked)
        for line in request.order.lines:
            line.promise_date = "" if day is None else day.isoformat()
        profile = copy(self.network.profile(asked.profile))
        profile.has_promise_rule, profile.is_promise_soft = True, False
        network = replace(self.network, profiles={**self.network.profiles, asked.profile: profile})
        network.profiles = {"": profile, asked.profile: profile}
        order = self.order(request, network=network)
        best, second, _ = plans.optimum.plans(order)
        found = {is_whole(order, units) for units in second or best.ties}
        found |= {is_whole(order, plans.optimum.baseline(order, strategy)[0]) for strategy in (2, 3, 4) if second}
        return found


def pairs_of(order: plan_pb2.Order, units: Units) -> dict[Pair, int]:
    """Return units by sku and location."""
    found: dict[Pair, int] = {}
    for (line, (_, name)), count in units.items():
        pair = order.lines[line].sku_id, name
        found[pair] = found.get(pair, 0) + count
    return found


def assigned_by(plan: plan_pb2.FulfillmentPlan) -> list[tuple[int, str, int]]:
    """Return (line, location, units) of a plan."""
    return [(item.line, one.location_id, item.quantity) for one in plan.shipments for item in one.lines]


def lines_of(units: Mapping[Pair, int]) -> list[Any]:
    """Return units as lines of a reservation."""
    return [
        reservation_pb2.LineQuantity(sku_id=sku, location_id=name, quantity=count)
        for (sku, name), count in units.items()
    ]


def live(seed: int, steps: Sequence[int] = range(STEPS_OF_A_HISTORY)) -> Report:
    """Live through some steps of one history, up to its first difference; each step draws by itself."""
    history = History(seed)
    try:
        for number in steps:
            history.chance = Random(f"{seed} {number}")
            history.step()
    except Difference as difference:
        return Report(seed, history.cases, str(difference), history.story)
    return Report(seed, history.cases, "", [])


def shortest(seed: int) -> Report:
    """Return the report of a history without the steps that its difference does not need."""
    report = live(seed)
    what = report.difference.partition(":")[0]
    steps = list(range(report.cases + 1))
    for number in reversed(steps[:-1]):
        fewer = live(seed, [step for step in steps if step != number])
        if fewer.difference.partition(":")[0] == what:
            steps.remove(number)
            report = fewer
    return report
