"""Plans: as messages, and as the ledger keeps them, with the columns that explain them."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from onhand.routing.v1 import plan_pb2 as messages

from engine.api import fields
from engine.api.orders import STRATEGIES, Decided
from ledger.book import Book
from ledger.core.limits import MICROSECONDS
from routing.arrays import NONE, SHIPMENT_COUNT
from routing.calendars import day_of
from routing.costs import CostTerms
from routing.geometry import km_of_dot
from routing.plan import Plan, Shipment, Shortage
from routing.rules import Method, Reason

CELLS_MAX: Final = 20_000
"""Lines times locations of one explanation: of a larger one the chosen and the nearest locations are kept."""
NEARER_TOLD_MAX: Final = 3
MICROS: Final = 1_000_000
STRATEGY_VALUES: Final = {strategy.name: value for value, strategy in STRATEGIES.items()}


class KeptPlan(msgspec.Struct, frozen=True, array_like=True):
    """What a plan is kept as: enough to tell it again, and to plan a part of it anew."""

    message: bytes
    """A FulfillmentPlan without candidates."""
    order: bytes
    """The Order that was planned first."""
    profile: str
    strategy: int
    """Of RoutingStrategy."""
    shipments_max: int
    assigned: list[tuple[int, str, int]]
    """(line of the order, location, units) as they are now."""
    lines: list[tuple[str, str, int]]
    """(sku, location, quantity) of the command that holds the units: a repeat is compared with it."""


class Columns(msgspec.Struct, frozen=True, array_like=True):
    """What the kernel saw of each candidate; letters as in routing.arrays, M being the locations kept."""

    locations: list[int]
    """Shape (M,): the ledger's indexes."""
    methods: list[int]
    """Shape (P,): Method."""
    part: list[int]
    """Shape (L,)."""
    units: list[int]
    """Shape (L,)."""
    unfilled_cost: list[int]
    """Shape (L,)."""
    line: list[int]
    """Shape (L,): position in the order."""
    chosen: list[int]
    """Candidates, part * M + place."""
    without: list[int]
    """Of each chosen candidate: cost of the best plan without its location."""
    spare: bytes
    """Shape (M,), int32."""
    location_reason: bytes
    """Shape (P, M), uint8."""
    fixed: bytes
    """Shape (P, M), int64."""
    arrival_day: bytes
    """Shape (P, M), int32."""
    dot: bytes
    """Shape (P, M), float64."""
    reason: bytes
    """Shape (L, M), uint8."""
    room: bytes
    """Shape (L, M), int32."""
    unit_cost: bytes
    """Shape (L, M), int64."""


_kept: Final = msgspec.msgpack.Decoder(KeptPlan)
_columns: Final = msgspec.msgpack.Decoder(Columns)
encode: Final = msgspec.msgpack.Encoder().encode


def decode_kept(content: bytes) -> KeptPlan:
    """Return a plan as it was kept."""
    return _kept.decode(content)


# ---- messages --------------------------------------------------------------------------------------------------------


def method_value(method: Method) -> Any:
    """Return a method as callers see it."""
    return int(method) + 1


def reason_value(reason: Reason) -> Any:
    """Return a reason as callers see it."""
    return int(reason) + 1


def show_terms(terms: CostTerms) -> messages.CostTerms:
    """Return cost terms as callers see them."""
    return messages.CostTerms(**{f"{name}_micros": value for name, value in terms._asdict().items()})


def show_shipment(shipment: Shipment, line_numbers: Sequence[int]) -> messages.Shipment:
    """Return a shipment as callers see it."""
    message = messages.Shipment(
        location_id=shipment.location_id,
        method=method_value(shipment.method),
        store_id=shipment.store,
        lines=[
            messages.ShipmentLine(line=line_numbers[line.line], sku_id=line.sku, quantity=line.quantity)
            for line in shipment.lines
        ],
        arrival_date=shipment.arrival.isoformat(),
        distance_km=shipment.distance_km,
        cost_terms=show_terms(shipment.terms),
    )
    if shipment.ready is not None:
        fields.set_time(message.ready_time, round(shipment.ready.timestamp() * MICROSECONDS))
    return message


def show_shortage(shortage: Shortage, line_numbers: Sequence[int]) -> messages.LineShortage:
    """Return a shortage as callers see it."""
    return messages.LineShortage(
        line=line_numbers[shortage.line],
        sku_id=shortage.sku,
        quantity=shortage.quantity,
        reason=reason_value(shortage.reason),
        reasons=[
            messages.ReasonCount(reason=reason_value(reason), location_count=count)
            for reason, count in shortage.reason_counts.items()
        ],
    )


def show_plan(plan: Plan, decided: Decided, line_numbers: Sequence[int], book: Book) -> messages.FulfillmentPlan:
    """Return a plan as callers see it; its names come later.

    Parameters
    ----------
    line_numbers
        Position in the caller's order of each line that was planned.
    """
    message = messages.FulfillmentPlan(
        profile=plan.profile,
        network_version=plan.network_version,
        strategy=STRATEGY_VALUES[plan.strategy],  # type: ignore[arg-type]  # values of the wire
        shipments=[show_shipment(shipment, line_numbers) for shipment in plan.shipments],
        shortages=[show_shortage(shortage, line_numbers) for shortage in plan.shortages],
        cost_terms=show_terms(plan.terms),
        cost_micros=plan.cost,
        currency=decided.routers.currency,
        proved=plan.is_proved,
        used_second_pass=plan.used_second_pass,
        evaluation_count=plan.evaluations,
        stock_seq=book.seq,
    )
    fields.set_time(message.plan_time, book.ledger.group_time_us)
    return message


# ---- explanations ----------------------------------------------------------------------------------------------------


def explanation_of(decided: Decided, line_numbers: Sequence[int]) -> bytes:
    """Return what the kernel saw and chose; the next decision overwrites it there."""
    menu, choice, arrays = decided.scratch.menu, decided.scratch.choice, decided.arrays
    count, parts, lines = len(decided.router.network.locations), len(arrays.method), len(arrays.units)
    chosen = choice.candidates[: choice.facts[SHIPMENT_COUNT]]
    kept = _locations_kept(menu.dot[: parts * count].reshape(parts, count), chosen % count, CELLS_MAX // lines)
    places = np.empty(count, np.int64)
    places[kept] = np.arange(len(kept))

    def by_part(column: NDArray[Any]) -> bytes:
        return column[: parts * count].reshape(parts, count)[:, kept].tobytes()

    def by_line(column: NDArray[Any]) -> bytes:
        own = [column[line, arrays.part[line] * count :][:count][kept] for line in range(lines)]
        return np.stack(own).tobytes()

    return encode(
        Columns(
            locations=decided.routers.location_indexes[kept].tolist(),
            methods=arrays.method.tolist(),
            part=arrays.part.tolist(),
            units=arrays.units.tolist(),
            unfilled_cost=arrays.unfilled_cost.tolist(),
            line=list(line_numbers),
            chosen=(chosen // count * len(kept) + places[chosen % count]).tolist(),
            without=[decided.costs_without[candidate] for candidate in chosen.tolist()],
            spare=menu.spare[kept].astype(np.int32).tobytes(),
            location_reason=by_part(menu.location_reason),
            fixed=by_part(menu.fixed),
            arrival_day=by_part(menu.arrival_day),
            dot=by_part(menu.dot),
            reason=by_line(menu.reason),
            room=by_line(menu.room[:lines].astype(np.int32)),
            unit_cost=by_line(menu.unit_cost),
        )
    )


def _locations_kept(dots: NDArray[np.float64], chosen: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return the locations that an explanation keeps: all, or the chosen and the nearest ones."""
    count = dots.shape[1]
    if count <= most:
        return np.arange(count)
    nearest = np.argsort(-dots.max(axis=0), kind="stable")[: most - len(chosen)]
    return np.union1d(chosen, nearest)


class _Seen(NamedTuple):
    """An explanation, read."""

    columns: Columns
    spare: NDArray[np.int32]
    location_reason: NDArray[np.uint8]
    fixed: NDArray[np.int64]
    arrival_day: NDArray[np.int32]
    dot: NDArray[np.float64]
    reason: NDArray[np.uint8]
    room: NDArray[np.int32]
    unit_cost: NDArray[np.int64]

    @property
    def location_count(self) -> int:
        return len(self.columns.locations)


def _read(explanation: bytes) -> _Seen:
    columns = _columns.decode(explanation)
    count = len(columns.locations)

    def table(content: bytes, dtype: Any) -> NDArray[Any]:
        return np.frombuffer(content, dtype).reshape(-1, count)

    return _Seen(
        columns,
        np.frombuffer(columns.spare, np.int32),
        table(columns.location_reason, np.uint8),
        table(columns.fixed, np.int64),
        table(columns.arrival_day, np.int32),
        table(columns.dot, np.float64),
        table(columns.reason, np.uint8),
        table(columns.room, np.int32),
        table(columns.unit_cost, np.int64),
    )


def candidates_of(explanation: bytes, cost: int, book: Book) -> Iterator[messages.Candidate]:
    """Yield the candidates of a plan as the decision saw them.

    Parameters
    ----------
    explanation
        As `explanation_of` made it; empty if it is kept no more.
    cost
        Of the plan, micros.
    """
    if not explanation:
        return
    seen = _read(explanation)
    without = dict(zip(seen.columns.chosen, seen.columns.without, strict=True))
    for part, method in enumerate(seen.columns.methods):
        for place in range(seen.location_count):
            candidate = _candidate(seen, part, place, Method(method), book)
            other = without.get(part * seen.location_count + place)
            candidate.chosen = other is not None
            if candidate.HasField("alone_cost_micros"):
                candidate.margin_micros = (candidate.alone_cost_micros if other is None else other) - cost
            yield candidate


def _candidate(seen: _Seen, part: int, place: int, method: Method, book: Book) -> messages.Candidate:
    own = [line for line, part_of_line in enumerate(seen.columns.part) if part_of_line == part]
    arrival = int(seen.arrival_day[part, place])
    candidate = messages.Candidate(
        location_id=book.ledger.location_id(seen.columns.locations[place]),
        method=method_value(method),
        reason=reason_value(Reason(int(seen.location_reason[part, place]))),
        fixed_cost_micros=int(seen.fixed[part, place]),
        arrival_date="" if arrival == NONE else day_of(arrival).isoformat(),
        distance_km=km_of_dot(float(seen.dot[part, place])),
        lines=[
            messages.CandidateLine(
                line=seen.columns.line[line],
                reason=reason_value(Reason(int(seen.reason[line, place]))),
                room=int(seen.room[line, place]),
                unit_cost_micros=int(seen.unit_cost[line, place]),
            )
            for line in own
        ],
    )
    alone = _alone_cost(seen, part, place, own)
    if alone is not None:
        candidate.alone_cost_micros = alone
    return candidate


def _alone_cost(seen: _Seen, part: int, place: int, own: Sequence[int]) -> int | None:
    """Return what the order costs from one location, and the rest not filled; None if it can fill nothing."""
    spare, taken_any = int(seen.spare[place]), False
    cost = int(seen.fixed[part, place])
    for line, (units, unfilled) in enumerate(zip(seen.columns.units, seen.columns.unfilled_cost, strict=True)):
        taken = min(int(seen.room[line, place]), spare) if line in own else 0
        spare -= taken
        taken_any = taken_any or taken > 0
        cost += taken * int(seen.unit_cost[line, place]) + (units - taken) * unfilled
    return cost if taken_any else None


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
