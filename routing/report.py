"""From what the kernel decided to a plan that people read: shipments, shortages with reasons, candidates."""

from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routing.arrays import (
    COST,
    EVALUATIONS,
    IS_EMPTIED,
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
from routing.network import Network
from routing.order import Request, is_split_forbidden
from routing.plan import CandidateLine, CandidateView, Plan, PlannedLine, Shipment, Shortage
from routing.profile import Profile
from routing.rules import OF_STOCK, Method, Reason

SHORT_OF_STOCK: Final = (Reason.OUT_OF_STOCK, Reason.INSUFFICIENT)


class Decision(NamedTuple):
    """All that a plan is made of."""

    network: Network
    profile: Profile
    request: Request
    strategy: str
    problem: Problem
    arrays: OrderArrays
    scratch: Scratch
    costs_without: dict[int, int]
    """Candidate -> cost of the best plan without its location; only those that were chosen, where explained."""

    @property
    def members(self) -> list[int]:
        """Candidates that were chosen."""
        choice = self.scratch.choice
        return [int(candidate) for candidate in choice.candidates[: choice.facts[SHIPMENT_COUNT]]]

    def unfilled(self, line: int) -> int:
        """Return units of a line that no shipment has."""
        taken = self.scratch.choice.units[line, : len(self.members)].sum()
        return int(self.arrays.units[line] - taken)


def report(decision: Decision, *, explain: bool) -> Plan:
    """Return the plan of a decision; raises RoutingInputError for lines that no location may ever serve."""
    _refuse_hopeless(decision)
    facts = decision.scratch.choice.facts
    terms = [
        shipment_terms(
            decision.problem,
            decision.request.stock,
            decision.arrays,
            decision.scratch.menu,
            candidate=candidate,
            units=units_of(decision.scratch.choice, decision.arrays, member),
        )
        for member, candidate in enumerate(decision.members)
    ]
    shipments = [_shipment(decision, member, terms[member]) for member in range(len(terms))]
    total = _plan_terms(decision, terms)
    return Plan(
        profile=str(decision.profile),
        network_version=decision.network.version,
        strategy=decision.strategy,
        shipments=tuple(shipments),
        shortages=tuple(_shortages(decision)),
        terms=total,
        cost=int(facts[COST]),
        is_proved=bool(facts[IS_PROVED]),
        used_second_pass=bool(facts[USED_SECOND_PASS]),
        evaluations=int(facts[EVALUATIONS]),
        candidates=tuple(_candidates(decision, int(facts[COST]))) if explain else (),
    )


def _plan_terms(decision: Decision, shipments: list[CostTerms]) -> CostTerms:
    """Return the terms of all shipments and of the plan itself."""
    unfilled = sum(
        decision.unfilled(line) * int(cost) for line, cost in enumerate(decision.arrays.unfilled_cost.tolist())
    )
    split = decision.problem.split_cost * max(0, len(shipments) - 1)
    total = CostTerms(split=split, unfilled=unfilled)
    for terms in shipments:
        total = total.plus(terms)
    return total


def _shipment(decision: Decision, member: int, terms: CostTerms) -> Shipment:
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
        terms=terms,
    )


# ---- what is missing, and why ----------------------------------------------------------------------------------------


def _shortages(decision: Decision) -> Iterator[Shortage]:
    for index, line in enumerate(decision.request.order.lines):
        missing = decision.unfilled(index)
        if missing:
            counts = _reasons(decision, index)
            yield Shortage(
                line=index,
                sku=line.sku,
                quantity=missing,
                reason=_main_reason(decision, index, counts),
                reason_counts=counts,
            )


def _reason_codes(decision: Decision, line: int) -> NDArray[np.uint8]:
    """Return the reason of each location for a line; a full day hides no restriction."""
    count, part = len(decision.network.locations), int(decision.arrays.part[line])
    codes = decision.scratch.menu.reason[line, part * count : (part + 1) * count].copy()
    allowed = decision.problem.allowed[decision.arrays.method[part]]
    is_restricted = decision.arrays.restrictions[line] & ~allowed != 0
    codes[is_restricted & (codes == Reason.CAPACITY_FULL)] = Reason.RESTRICTED_ITEM
    wanted = int(decision.arrays.units[line])
    codes[_is_protected(decision, line, wanted) & np.isin(codes, SHORT_OF_STOCK)] = Reason.SAFETY_STOCK
    return codes


def _is_protected(decision: Decision, line: int, wanted: int) -> NDArray[np.bool_]:
    """Tell at which locations the safety stock would have been enough for a line."""
    stock, row = decision.request.stock, decision.arrays.row[line]
    if not len(stock.protected):
        return np.zeros(stock.available.shape[1], np.bool_)
    return np.asarray(stock.available[row] + stock.protected[row] >= wanted)


def _reasons(decision: Decision, line: int) -> dict[Reason, int]:
    """Return how many locations were kept from a line by each reason."""
    codes = _reason_codes(decision, line)
    return {Reason(code): found for code, found in sorted(Counter(codes.tolist()).items())}


def _main_reason(decision: Decision, line: int, counts: dict[Reason, int]) -> Reason:
    """Return what kept the line: a rule of the plan if some location not chosen had units, else the closest reason."""
    if decision.scratch.choice.facts[IS_EMPTIED]:
        return Reason.SHIP_COMPLETE
    start = int(decision.arrays.part[line]) * len(decision.network.locations)
    rooms = decision.scratch.menu.room[line, start : start + len(decision.network.locations)]
    chosen = {candidate - start for candidate in decision.members}
    if any(rooms[index] > 0 and index not in chosen for index in range(len(rooms))):
        return (
            Reason.NEVER_SPLIT if is_split_forbidden(decision.request.order, decision.profile) else Reason.MAX_SHIPMENTS
        )
    kept = [reason for reason in counts if reason != Reason.ELIGIBLE]
    if not kept:
        # Every location had the units, and other lines of the order took them, or the capacity.
        is_full = any(decision.scratch.menu.spare < decision.arrays.units.sum())
        return Reason.CAPACITY_FULL if is_full else Reason.OUT_OF_STOCK
    # The later a location failed, the closer it came.
    return max(kept)


def _refuse_hopeless(decision: Decision) -> None:
    """Refuse lines that no location may serve whatever its stock; raises RoutingInputError."""
    problems = Problems()
    for index, line in enumerate(decision.request.order.lines):
        if decision.unfilled(index) == 0:
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
            reason=Reason(int(menu.location_reason[candidate])),
            is_chosen=candidate in chosen,
            fixed_cost=int(menu.fixed[candidate]),
            arrival=None if arrival == NONE else day_of(arrival),
            distance_km=km_of_dot(float(menu.dot[candidate])),
            lines=lines,
            alone_cost=alone,
            margin=_margin(decision, candidate, alone, cost),
        )


def _margin(decision: Decision, candidate: int, alone: int | None, cost: int) -> int | None:
    other = decision.costs_without.get(candidate, alone)
    return None if other is None else other - cost


def _candidate_lines(decision: Decision, part: int, candidate: int) -> Iterator[CandidateLine]:
    menu = decision.scratch.menu
    for line, part_of_line in enumerate(decision.arrays.part):
        if part_of_line == part:
            yield CandidateLine(
                line=line,
                reason=Reason(int(_reason_codes(decision, line)[candidate - part * len(decision.network.locations)])),
                room=int(menu.room[line, candidate]),
                unit_cost=int(menu.unit_cost[line, candidate]),
            )


def _alone_cost(decision: Decision, candidate: int, lines: tuple[CandidateLine, ...]) -> int | None:
    """Return what the order costs from one location, with its true carriage, and the rest not filled."""
    spare = int(decision.scratch.menu.spare[candidate % len(decision.network.locations)])
    units: dict[int, int] = {}
    for line in lines:
        taken = min(line.room, spare)
        spare -= taken
        if taken:
            units[line.line] = taken
    if not units:
        return None
    terms = shipment_terms(
        decision.problem,
        decision.request.stock,
        decision.arrays,
        decision.scratch.menu,
        candidate=candidate,
        units=units,
    )
    missing = sum(
        (int(wanted) - units.get(line, 0)) * int(decision.arrays.unfilled_cost[line])
        for line, wanted in enumerate(decision.arrays.units)
    )
    return terms.total + missing
