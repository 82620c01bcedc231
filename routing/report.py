"""From what the kernel decided to a plan that people read: shipments, shortages with reasons, candidates."""

from collections.abc import Iterator
from datetime import date
from typing import Final, NamedTuple

import numpy as np

from routing.arrays import (
    COST,
    COST_FAR,
    EVALUATIONS,
    IS_HOPELESS,
    IS_PROVED,
    NONE,
    SHIPMENT_COUNT,
    USED_SECOND_PASS,
    Int64s,
    OrderArrays,
    Problem,
    Scratch,
    no_bill,
    no_choice,
)
from routing.calendars import day_of, pickup_ready
from routing.costs import CostTerms, units_of
from routing.errors import Problems
from routing.geometry import km_of_dot
from routing.kernel.alone import cost_alone
from routing.kernel.itemize import itemize
from routing.network import Network
from routing.order import Request
from routing.plan import CandidateLine, CandidateView, Plan, PlannedLine, Shipment, Shortage
from routing.profile import Profile
from routing.rules import OF_STOCK, Method, Reason

METHODS: Final = tuple(Method)
REASONS: Final = tuple(Reason)
"""By number: looked up a hundred thousand times for an explanation."""


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
    """Yield what the decision saw of each location for each part.

    Columns become lists first. A number taken out of an array by itself costs ten times as much; and short calls of
    numpy give the interpreter's lock away and take it back before a writer that waits for it is awake.
    """
    menu, arrays, locations = decision.scratch.menu, decision.arrays, decision.network.locations
    alone, chosen = _costs_alone(decision), set(decision.members)
    for part, method in enumerate(arrays.method.tolist()):
        first = part * len(locations)
        those = slice(first, first + len(locations))
        columns = (
            menu.location_reason[those],
            menu.fixed[those],
            menu.arrival_day[those],
            menu.dot[those],
            alone[those],
        )
        seen = zip(locations, _lines_of_part(decision, part), *(column.tolist() for column in columns), strict=True)
        for candidate, (location, lines, reason, fixed, arrival, dot, only_cost) in enumerate(seen, first):
            own = None if only_cost == COST_FAR else only_cost
            yield CandidateView(
                location_id=location.location_id,
                method=METHODS[method],
                reason=_candidate_reason(REASONS[reason], lines),
                is_chosen=candidate in chosen,
                fixed_cost=fixed,
                arrival=None if arrival == NONE else day_of(arrival),
                distance_km=km_of_dot(dot),
                lines=lines,
                alone_cost=own,
                margin=_margin(decision, candidate, own, cost),
            )


def _lines_of_part(decision: Decision, part: int) -> Iterator[tuple[CandidateLine, ...]]:
    """Yield what each location could do for the lines of a part."""
    menu, bill, count = decision.scratch.menu, decision.scratch.bill, len(decision.network.locations)
    those = slice(part * count, (part + 1) * count)
    lines = [
        [
            CandidateLine(line=line, reason=REASONS[reason], room=room, unit_cost=unit_cost)
            for reason, room, unit_cost in zip(
                bill.location_reason[line].tolist(),
                menu.room[line, those].tolist(),
                menu.unit_cost[line, those].tolist(),
                strict=True,
            )
        ]
        for line, part_of_line in enumerate(decision.arrays.part.tolist())
        if part_of_line == part
    ]
    return zip(*lines, strict=True)


def _candidate_reason(reason: Reason, lines: tuple[CandidateLine, ...]) -> Reason:
    """Return why a location could fill no line: what holds for all of them, else what the closest lacks."""
    if any(line.room for line in lines):
        return Reason.ELIGIBLE
    if reason is Reason.ELIGIBLE or reason is Reason.CAPACITY_FULL:
        return max(line.reason for line in lines)
    return reason


def _costs_alone(decision: Decision) -> Int64s:
    """Return what the order costs from each candidate alone, see `routing.kernel.alone`."""
    lines, count = len(decision.arrays.units), len(decision.network.locations)
    costs = np.zeros(len(decision.scratch.menu.fixed), np.int64)
    cost_alone(
        decision.problem,
        decision.request.stock,
        decision.arrays,
        decision.scratch.menu,
        no_choice(lines),
        no_bill(lines, count),
        np.zeros(lines, np.int64),
        costs,
    )
    return costs


def _margin(decision: Decision, candidate: int, alone: int | None, cost: int) -> int | None:
    other = decision.costs_without.get(candidate, alone)
    return None if other is None else other - cost
