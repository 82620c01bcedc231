"""From what the kernel decided to a plan that people read: shipments, shortages with reasons, candidates."""

from collections.abc import Iterator
from datetime import date
from typing import NamedTuple

from routing.arrays import (
    COST,
    EVALUATIONS,
    IS_HOPELESS,
    IS_PROVED,
    NONE,
    SHIPMENT_COUNT,
    USED_SECOND_PASS,
    OrderArrays,
    Problem,
    Scratch,
)
from routing.calendars import day_of, pickup_ready
from routing.costs import CostTerms, shipment_terms, units_of
from routing.errors import Problems
from routing.geometry import km_of_dot
from routing.kernel.itemize import itemize
from routing.network import Network
from routing.order import Request
from routing.plan import CandidateLine, CandidateView, Plan, PlannedLine, Shipment, Shortage
from routing.profile import Profile
from routing.rules import OF_STOCK, Method, Reason


class Decision(NamedTuple):
    """All that a plan is made of."""

    network: Network
    profile: Profile
    request: Request
    strategy: str
    problem: Problem
    arrays: OrderArrays
    scratch: Scratch
    costs_without: dict[int, int | None]
    """Candidate -> cost of the best plan without its location; only those that were chosen, where explained. None: the
    order ships complete, and cannot without it."""

    @property
    def members(self) -> list[int]:
        """Candidates that were chosen."""
        choice = self.scratch.choice
        members: list[int] = choice.candidates[: choice.facts[SHIPMENT_COUNT]].tolist()
        return members


def report(decision: Decision, *, explain: bool, refuse_hopeless: bool = True) -> Plan:
    """Return the plan of a decision; raises RoutingInputError for lines that no location may ever serve.

    Or tells them as shortages, as all others.
    """
    itemize(decision.problem, decision.request.stock, decision.arrays, decision.scratch, explain)
    if refuse_hopeless:
        _refuse_hopeless(decision)
    facts, bill = decision.scratch.choice.facts, decision.scratch.bill
    return Plan(
        profile=str(decision.profile),
        network_version=decision.network.version,
        strategy=decision.strategy,
        shipments=tuple(_shipment(decision, member) for member in range(len(decision.members))),
        shortages=tuple(_shortages(decision)),
        terms=CostTerms(*bill.total.tolist()),
        cost=int(facts[COST]),
        is_proved=bool(facts[IS_PROVED]),
        used_second_pass=bool(facts[USED_SECOND_PASS]),
        evaluations=int(facts[EVALUATIONS]),
        candidates=tuple(_candidates(decision, int(facts[COST]))) if explain else (),
    )


def _shipment(decision: Decision, member: int) -> Shipment:
    candidate = decision.members[member]
    part, index = divmod(candidate, len(decision.network.locations))
    method = Method(int(decision.arrays.method[part]))
    location, menu = decision.network.locations[index], decision.scratch.menu
    store = int(decision.arrays.store[part])
    ready = None
    if store == index:
        calendar = decision.network.calendars[location.calendar]
        ready = pickup_ready(
            calendar, decision.request.now, location.time_zone, location.hours, location.pickup_minutes
        )
    units = units_of(decision.scratch.choice, decision.arrays, member)
    return Shipment(
        location_id=location.location_id,
        method=method,
        store=decision.network.locations[store].location_id if store != NONE else "",
        lines=tuple(
            PlannedLine(line=line, sku=decision.request.order.lines[line].sku, quantity=taken)
            for line, taken in units.items()
        ),
        arrival=day_of(int(menu.arrival_day[candidate])),
        ready=ready,
        distance_km=km_of_dot(float(menu.dot[candidate])),
        terms=CostTerms(*decision.scratch.bill.terms[member].tolist()),
    )


# ---- what is missing, and why ----------------------------------------------------------------------------------------


def _shortages(decision: Decision) -> Iterator[Shortage]:
    bill = decision.scratch.bill
    for index, line in enumerate(decision.request.order.lines):
        if bill.missing[index]:
            yield Shortage(
                line=index,
                sku=line.sku,
                quantity=int(bill.missing[index]),
                reason=Reason(int(bill.reason[index])),
                reason_counts=_reasons(decision, index),
            )


def _reasons(decision: Decision, line: int) -> dict[Reason, int]:
    """Return how many locations were kept from a line by each reason."""
    counts = decision.scratch.bill.reason_count[line].tolist()
    return {Reason(code): count for code, count in enumerate(counts) if count}


def _refuse_hopeless(decision: Decision) -> None:
    """Refuse lines that no location may serve whatever its stock; raises RoutingInputError."""
    problems, scratch = Problems(), decision.scratch
    if not scratch.choice.facts[IS_HOPELESS]:
        return
    for index, line in enumerate(decision.request.order.lines):
        if scratch.bill.missing[index] == 0:
            continue
        counts = _reasons(decision, index)
        if not OF_STOCK.isdisjoint(counts):
            continue
        told = ", ".join(f"{reason.name} {count}" for reason, count in counts.items())
        if counts.keys() & {Reason.CUTOFF_MISSED, Reason.PROMISE_MISSED}:
            earliest = _earliest(decision, index)
            problems.add(
                f"lines[{index}].promise: expected {earliest} or later, which the fastest location can keep, "
                f"was {line.promise} ({told})."
            )
        else:
            problems.add(f"lines[{index}]: expected a location that may serve {line.method.name}, found none ({told}).")
    problems.raise_if_any()


def _earliest(decision: Decision, line: int) -> date:
    count = len(decision.network.locations)
    start, menu = int(decision.arrays.part[line]) * count, decision.scratch.menu
    late = {Reason.CUTOFF_MISSED, Reason.PROMISE_MISSED}
    candidates = range(start, start + count)
    return day_of(min(int(menu.arrival_day[at]) for at in candidates if menu.location_reason[at] in late))


# ---- candidates ------------------------------------------------------------------------------------------------------


def _candidates(decision: Decision, cost: int) -> Iterator[CandidateView]:
    menu, count = decision.scratch.menu, len(decision.network.locations)
    chosen = set(decision.members)
    for candidate in range(len(menu.fixed)):
        part, index = divmod(candidate, count)
        lines = tuple(_candidate_lines(decision, part, candidate))
        alone = _alone_cost(decision, candidate, lines)
        arrival = int(menu.arrival_day[candidate])
        yield CandidateView(
            location_id=decision.network.locations[index].location_id,
            method=Method(int(decision.arrays.method[part])),
            reason=_candidate_reason(Reason(int(menu.location_reason[candidate])), lines),
            is_chosen=candidate in chosen,
            fixed_cost=int(menu.fixed[candidate]),
            arrival=None if arrival == NONE else day_of(arrival),
            distance_km=km_of_dot(float(menu.dot[candidate])),
            lines=lines,
            alone_cost=alone,
            margin=_margin(decision, candidate, alone, cost),
        )


def _candidate_reason(reason: Reason, lines: tuple[CandidateLine, ...]) -> Reason:
    """Return why a location could fill no line: what holds for all of them, else what the closest lacks."""
    if any(line.room for line in lines):
        return Reason.ELIGIBLE
    if reason in {Reason.ELIGIBLE, Reason.CAPACITY_FULL}:
        return max(line.reason for line in lines)
    return reason


def _margin(decision: Decision, candidate: int, alone: int | None, cost: int) -> int | None:
    other = decision.costs_without.get(candidate, alone)
    return None if other is None else other - cost


def _candidate_lines(decision: Decision, part: int, candidate: int) -> Iterator[CandidateLine]:
    menu, location = decision.scratch.menu, candidate - part * len(decision.network.locations)
    for line, part_of_line in enumerate(decision.arrays.part):
        if part_of_line == part:
            yield CandidateLine(
                line=line,
                reason=Reason(int(decision.scratch.bill.location_reason[line, location])),
                room=int(menu.room[line, candidate]),
                unit_cost=int(menu.unit_cost[line, candidate]),
            )


def _alone_cost(decision: Decision, candidate: int, lines: tuple[CandidateLine, ...]) -> int | None:
    """Return what the order costs from one location, with its true carriage, and the rest not filled.

    None if it can fill nothing; of an order that ships complete, if it cannot fill everything.
    """
    units = _alone_units(decision, candidate, lines)
    missing = decision.arrays.units.copy()
    for line, taken in units.items():
        missing[line] -= taken
    if not units or (decision.arrays.is_complete and missing.any()):
        return None
    terms = shipment_terms(
        decision.problem,
        decision.request.stock,
        decision.arrays,
        decision.scratch.menu,
        candidate=candidate,
        units=units,
    )
    unfilled = zip(missing.tolist(), decision.arrays.unfilled_cost.tolist(), strict=True)
    return terms.total + sum(int(count * cost) for count, cost in unfilled)


def _alone_units(decision: Decision, candidate: int, lines: tuple[CandidateLine, ...]) -> dict[int, int]:
    """Return the units of each line that one location would fill: where lines compete, those that save the most first.

    Lines of one sku share its stock, and all lines share the capacity.
    """
    arrays, menu = decision.arrays, decision.scratch.menu
    spare = int(menu.spare[candidate % len(decision.network.locations)])
    stock = {int(arrays.row[line.line]): int(menu.stock_left[line.line, candidate]) for line in lines if line.room}
    units: dict[int, int] = {}
    for line in sorted(lines, key=lambda one: one.unit_cost - int(arrays.unfilled_cost[one.line])):
        row = int(arrays.row[line.line])
        taken = min(line.room, spare, stock.get(row, 0))
        if taken:
            units[line.line] = taken
            spare -= taken
            stock[row] -= taken
    return units
