"""Plans: as the ledger keeps them, as messages, and why they are what they are."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onhand.routing.v1 import plan_pb2 as messages
from onhand.routing.v1 import routing_service_pb2 as service

from engine.api.planned import NOT_GIVEN, Amended, decode_amended
from engine.api.routing.order_columns import message_at
from engine.api.routing.orders import read_alone, read_strategy, rows_of, with_shipments_max
from engine.api.routing.routers import Routers
from engine.planner.run import kept_to
from engine.planner.seen import read_seen
from ledger.parts.plans import StoredPlan
from routing import order as orders
from routing.arrays import NONE, OrderArrays, Problem
from routing.network import Network
from routing.order import Request
from routing.plan import CandidateView, Shortage
from routing.report import Decision, report
from routing.rules import Method, Reason

NEARER_TOLD_MAX: Final = 3
MICROS: Final = 1_000_000


class KeptPlan(NamedTuple):
    """A plan that is kept, read."""

    request: service.PlanFulfillmentRequest
    """What was asked; of one that takes over rejected units, with what was left to plan as its order."""
    plan: messages.FulfillmentPlan
    """Without candidates."""
    order: messages.Order
    """The order that was planned first."""
    numbers: Sequence[int]
    """Position in that order of each line that was planned."""
    assigned: Sequence[tuple[int, str, int]]
    """(line of the order, location, units) after it."""
    lines: Sequence[tuple[str, str, int]]
    """(sku, location, quantity) of the command that holds the units."""
    amended: Amended | None = None
    """Of one that takes over rejected units."""


def read_kept(stored: StoredPlan) -> KeptPlan:
    """Return a plan as it was kept."""
    if stored.place >= 0:
        request = message_at(stored.request, stored.place)
    else:
        request = service.PlanFulfillmentRequest.FromString(stored.request)
    plan = service.PlanFulfillmentResponse.FromString(stored.response).plan
    if stored.amended:
        after = decode_amended(stored.amended)
        order = messages.Order.FromString(after.order)
        return KeptPlan(request, plan, order, after.numbers, after.assigned, after.lines, after)
    assigned = assigned_by(plan)
    units: dict[tuple[str, str], int] = {}
    for line, location, quantity in assigned:
        key = request.order.lines[line].sku_id, location
        units[key] = units.get(key, 0) + quantity
    lines = [(sku, location, quantity) for (sku, location), quantity in units.items()]
    return KeptPlan(request, plan, request.order, range(len(request.order.lines)), assigned, lines)


def assigned_by(plan: messages.FulfillmentPlan) -> list[tuple[int, str, int]]:
    """Return (line of the caller's order, location, units) of a plan."""
    return [(line.line, shipment.location_id, line.quantity) for shipment in plan.shipments for line in shipment.lines]


# ---- messages --------------------------------------------------------------------------------------------------------


def method_value(method: Method) -> Any:
    """Return a method as callers see it."""
    return int(method) + 1


def reason_value(reason: Reason) -> Any:
    """Return a reason as callers see it."""
    return int(reason) + 1


def show_shortage(shortage: Shortage, line_numbers: Sequence[int]) -> messages.LineShortage:
    """Return a shortage as callers see it."""
    line = line_numbers[shortage.line]
    return shortage_of(line, shortage.sku, shortage.quantity, shortage.reason_counts, shortage.reason)


def shortage_of(
    line: int, sku: str, quantity: int, counts: Mapping[Reason, int], reason: Reason
) -> messages.LineShortage:
    """Return a shortage as callers see it, with how many locations each reason kept."""
    return messages.LineShortage(
        line=line,
        sku_id=sku,
        quantity=quantity,
        reason=reason_value(reason),
        reasons=[
            messages.ReasonCount(reason=reason_value(each), location_count=count) for each, count in counts.items()
        ],
    )


# ---- explanations ----------------------------------------------------------------------------------------------------


def explain(kept: KeptPlan, seen_content: bytes, routers: Routers) -> None:
    """Add the candidates of a plan as the decision saw them: it is made once more, on what was seen.

    Parameters
    ----------
    kept
        The plan.
    seen_content
        What it was decided on.
    routers
        Of the network that it was decided over.
    """
    request = kept.request
    order = read_alone(request.order)
    router = routers.routing(kept.plan.profile).router
    network, columns = router.network, router.columns
    seen = read_seen(seen_content, len(network.locations))
    strategy = read_strategy(request.strategy)
    rows = rows_of(order)
    now = kept.plan.plan_time.ToDatetime(UTC)
    arrays = orders.to_arrays(order, network, router.profile, rows, columns.channel_rows)
    arrays = seen.applied_to(with_shipments_max(arrays, request.max_shipments))
    problem, is_left_out = columns.at(now).problem, np.zeros(len(network.locations), bool)
    if kept.amended is not None and kept.amended.shipments_max != NOT_GIVEN:
        arrays, problem, is_left_out = _by_rules_of_order(kept.amended, arrays, problem, network)
    without = router.costs_without(problem, seen.stock, arrays, strategy)
    used = router.decide(problem, seen.stock, arrays, strategy)
    decision = Decision(
        network,
        router.profile,
        Request(order, seen.stock, rows, now),
        strategy.name,
        problem,
        arrays,
        used,
        without,
    )
    candidates = report(decision, explain=True, refuse_hopeless=False).candidates
    kept.plan.candidates.extend(_show_candidate(view, kept.numbers) for view in candidates)
    rule = reason_value(Reason.NEVER_SPLIT if arrays.is_split_forbidden else Reason.MAX_SHIPMENTS)
    for place, candidate in enumerate(kept.plan.candidates):
        if is_left_out[place % len(is_left_out)] and candidate.reason == reason_value(Reason.CHANNEL_NOT_SERVED):
            candidate.reason = rule
            for line in candidate.lines:
                line.reason = rule


def _by_rules_of_order(
    amended: Amended, arrays: OrderArrays, problem: Problem, network: Network
) -> tuple[OrderArrays, Problem, NDArray[np.bool_]]:
    """Return a rest of an order as it was planned, and the places that only a rule of the whole order left out."""
    arrays = arrays._replace(shipments_max=amended.shipments_max, is_split_forbidden=amended.is_split_forbidden)
    is_left_out = np.zeros(len(network.locations), bool)
    if amended.only is not None:
        places = [network.location_index[name] for name in amended.only if name in network.location_index]
        is_left_out[:] = True if arrays.channel == NONE else problem.is_served[arrays.channel] != 0
        is_left_out[places] = False
        problem, channel = kept_to(places, problem, arrays.channel)
        arrays = arrays._replace(channel=channel)
    return arrays, problem, is_left_out


def _show_candidate(view: CandidateView, numbers: Sequence[int]) -> messages.Candidate:
    return messages.Candidate(
        location_id=view.location_id,
        method=method_value(view.method),
        reason=reason_value(view.reason),
        chosen=view.is_chosen,
        fixed_cost_micros=view.fixed_cost,
        arrival_date=view.arrival.isoformat() if view.arrival else "",
        distance_km=view.distance_km,
        lines=[
            messages.CandidateLine(
                line=numbers[line.line],
                reason=reason_value(line.reason),
                room=line.room,
                unit_cost_micros=line.unit_cost,
            )
            for line in view.lines
        ],
        alone_cost_micros=view.alone_cost,
        margin_micros=view.margin,
    )


# ---- for people ------------------------------------------------------------------------------------------------------


def sentences_of(plan: messages.FulfillmentPlan) -> Iterator[str]:
    """Say why a plan is what it is."""
    yield _cost_sentence(plan)
    chosen = [one for one in plan.candidates if one.chosen and one.HasField("margin_micros")]
    for one in chosen:
        yield f"Without {one.location_id} the best plan would cost {_money(plan, one.margin_micros)} more."
    if len(plan.shipments) > 1:
        yield _single_sentence(plan)
    yield from _nearer_sentences(plan)
    if plan.unexplained:
        yield "Its candidates are not told: what it was decided on is kept no more, or was too large to be kept."
    for shortage in plan.shortages:
        told = ", ".join(f"{_reason(one.reason)} {one.location_count}" for one in shortage.reasons)
        reason = _reason(shortage.reason)
        yield f"{shortage.quantity} of {shortage.sku_id} are not filled: {reason} (locations: {told})."


def _cost_sentence(plan: messages.FulfillmentPlan) -> str:
    terms = [
        f"{name.name.removesuffix('_micros').replace('_', ' ')} {_money(plan, value)}"
        for name, value in plan.cost_terms.ListFields()
    ]
    places = ", ".join(dict.fromkeys(shipment.location_id for shipment in plan.shipments)) or "nobody"
    count = len(plan.shipments)
    told = f" ({', '.join(terms)})" if terms else ""
    return f"{count} shipment{'s' * (count != 1)} from {places} cost {_money(plan, plan.cost_micros)}{told}."


def _single_sentence(plan: messages.FulfillmentPlan) -> str:
    able = [one for one in plan.candidates if one.HasField("alone_cost_micros")]
    if not able:
        return "No single location could fill any of it."
    best = min(able, key=lambda one: (one.alone_cost_micros, one.location_id))
    told = _money(plan, best.alone_cost_micros - plan.cost_micros)
    return f"It is split: {best.location_id} alone, the cheapest single location, would cost {told} more."


def _nearer_sentences(plan: messages.FulfillmentPlan) -> Iterator[str]:
    """Say why the nearest locations that are nearer than a chosen one were not taken."""
    reach = {one.method: one.distance_km for one in plan.candidates if one.chosen}
    nearer = [one for one in plan.candidates if not one.chosen and one.distance_km < reach.get(one.method, 0.0)]
    for one in sorted(nearer, key=lambda each: (each.distance_km, each.location_id))[:NEARER_TOLD_MAX]:
        yield f"{one.location_id} is nearer ({one.distance_km:.0f} km) and not used: {_why_not(plan, one)}."


def _why_not(plan: messages.FulfillmentPlan, one: messages.Candidate) -> str:
    if not one.HasField("margin_micros"):
        return ", ".join(dict.fromkeys(_reason(line.reason) for line in one.lines))
    kept = [f"line {line.line} {_reason(line.reason)}" for line in one.lines if _reason(line.reason) != "ELIGIBLE"]
    return ", ".join([*kept, f"alone it would cost {_money(plan, one.margin_micros)} more"])


def _reason(value: int) -> str:
    return Reason(value - 1).name


def _money(plan: messages.FulfillmentPlan, micros: int) -> str:
    return f"{micros / MICROS:.2f} {plan.currency}"
