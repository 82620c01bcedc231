"""Checking an answer: shipments' units, days and terms, the cost, what is short and why, what each could do."""

from collections.abc import Iterator
from datetime import date
from typing import Any

from onhand.routing.v1 import plan_pb2

from . import optimum
from .costs import terms_of
from .optimum import Key, Units
from .sight import (
    CAPACITY_FULL,
    DEARER_THAN_UNFILLED,
    ELIGIBLE,
    MAX_SHIPMENTS,
    NEVER_SPLIT,
    OUT_OF_STOCK,
    PASSES_WITH_TIME,
    PICKUP,
    SHIP_COMPLETE,
    SHIP_TO_STORE,
    Order,
    Reason,
    Sight,
)

KM_WITHIN = 0.001


class Difference(Exception):
    """What an engine says otherwise than the model."""


def expect(what: str, expected: Any, actual: Any) -> None:
    """Compare."""
    if expected != actual:
        raise Difference(f"{what}: expected {expected}, was {actual}")


def expect_not(what: str, *, is_told: bool) -> None:
    """Expect that something is not told."""
    if is_told:
        raise Difference(f"{what}: expected false, was true")


def units_of(order: Order, plan: plan_pb2.FulfillmentPlan, numbers: list[int] | None = None) -> Units:
    """Return what a plan says who fills; `numbers`: the caller's of the order's lines."""
    places = {number: place for place, number in enumerate(numbers or range(len(order.lines)))}
    units: Units = {}
    for index, shipment in enumerate(plan.shipments):
        if not shipment.lines:
            raise Difference(f"shipments[{index}]: it has no lines")
        for item in shipment.lines:
            line = places[item.line]
            key = order.lines[line].part, shipment.location_id
            expect(f"shipments[{index}]", (key[0].method, key[0].store), (shipment.method, shipment.store_id))
            expect(f"shipments[{index}].lines: sku", order.lines[line].sku, item.sku_id)
            if item.quantity < 1 or (line, key) in units:
                raise Difference(f"shipments[{index}]: line {line} has {item.quantity}, or comes twice")
            units[line, key] = item.quantity
    expect("shipments: each by itself", len(plan.shipments), len({key for _, key in units}))
    return units


def check_plan(
    order: Order,
    plan: plan_pb2.FulfillmentPlan,
    numbers: list[int] | None = None,
    *,
    strategy: int = 1,
    with_reasons: bool = True,
) -> Units:
    """Check what a plan says of itself; returns its units."""
    units = units_of(order, plan, numbers)
    dropped = plan.used_second_pass
    check_rooms(order, units, dropped=dropped)
    total = dict.fromkeys(terms_of(plan.cost_terms), 0)
    total["split"] = order.profile.split * max(0, len(plan.shipments) - 1)
    for index, shipment in enumerate(plan.shipments):
        places = {number: place for place, number in enumerate(numbers or range(len(order.lines)))}
        key = order.lines[places[shipment.lines[0].line]].part, shipment.location_id
        terms = optimum.shipment_terms(order, order.sights[key], optimum.parcel_of(units, key))
        expect(f"shipments[{index}].cost_terms", terms, terms_of(shipment.cost_terms))
        total = {name: total[name] + terms[name] for name in total}
        check_days(order.sights[key], shipment, f"shipments[{index}]", order)
    missing = {number: line.units for number, line in enumerate(order.lines)}
    for (number, _), count in units.items():
        missing[number] -= count
    total["unfilled"] = sum(count * order.unfilled[number] for number, count in missing.items())
    expect("cost_terms", total, terms_of(plan.cost_terms))
    expect("cost_micros", sum(total.values()), plan.cost_micros)
    own = numbers or range(len(order.lines))
    short = {own[number]: count for number, count in missing.items() if count}
    expect("shortages", short, {one.line: one.quantity for one in plan.shortages})
    if order.is_complete and short:
        expect("shipments of an order that ships complete", 0, len(plan.shipments))
    if with_reasons and not order.has_steps:
        for one in plan.shortages:
            number = list(own).index(one.line)
            counts = {each.reason: each.location_count for each in one.reasons}
            expect(f"shortages of line {one.line}: reasons", reasons_of(order, number, dropped=dropped), counts)
            allowed = main_reasons(order, number, units, dropped=dropped)
            if one.reason not in allowed:
                raise Difference(
                    f"shortages of line {one.line}: expected {names(allowed)}, was {Reason.Name(one.reason)}"
                )
    if strategy != optimum.OPTIMAL and not order.has_steps:
        expected, was_dropped = optimum.baseline(order, strategy)
        is_empty = order.is_complete and not optimum.is_whole(order, expected)
        expect("what the strategy takes", {} if is_empty else expected, units)
        expect("used_second_pass", was_dropped, dropped)
    return units


def names(reasons: Any) -> str:
    """Return reasons for people."""
    return ", ".join(Reason.Name(one) for one in reasons)


def check_rooms(order: Order, units: Units, *, dropped: bool) -> None:
    """Check that units come from where they may and are, and that no rule of the whole is broken."""
    keys = {key for _, key in units}
    if len(keys) > order.shipments_max:
        raise Difference(f"shipments: expected at most {order.shipments_max}, was {len(keys)}")
    taken: dict[Any, int] = {}
    for (number, key), count in units.items():
        sight = order.sights[key]
        if not order.room(number, sight, dropped=dropped):
            reason = Reason.Name(order.reason(number, sight, dropped=dropped))
            raise Difference(f"line {number} from {key[1]}: expected nothing ({reason}), was {count}")
        for what in (key[1], (order.lines[number].sku, key[1])):
            taken[what] = taken.get(what, 0) + count
            most = sight.spare if what == key[1] else max(0, order.stock(number, sight, dropped=dropped))
            if taken[what] > most:
                raise Difference(f"{what}: expected at most {most}, was {taken[what]}")


def check_days(sight: Sight, shipment: plan_pb2.Shipment, where: str, order: Order) -> None:
    """Check when a shipment arrives, and how far it goes."""
    assert sight.trip is not None
    expect(f"{where}.arrival_date", sight.trip.arrival.isoformat(), shipment.arrival_date)
    part = sight.part
    is_collected = part.method == PICKUP or (part.method == SHIP_TO_STORE and part.store == sight.place.name)
    if is_collected:
        told = round(sight.place.ready(order.now).timestamp() * 1_000_000)
        expect(f"{where}.ready_time", told, shipment.ready_time.ToMicroseconds())
    else:
        expect(f"{where}.ready_time", "", str(shipment.ready_time))
    if abs(sight.km - shipment.distance_km) > KM_WITHIN:
        raise Difference(f"{where}.distance_km: expected {sight.km}, was {shipment.distance_km}")


# ---- reasons ---------------------------------------------------------------------------------------------------------


def reasons_of(order: Order, number: int, *, dropped: bool) -> dict[int, int]:
    """Return how many locations each reason keeps from a line."""
    counts: dict[int, int] = {}
    for name in order.network.places:
        reason = order.reason(number, order.sights[order.lines[number].part, name], dropped=dropped)
        counts[reason] = counts.get(reason, 0) + 1
    return counts


def main_reasons(order: Order, number: int, units: Units, *, dropped: bool) -> set[int]:
    """Return what may be told of a line that is short."""
    if order.is_complete:
        return {SHIP_COMPLETE}
    part, keys = order.lines[number].part, {key for _, key in units}
    eligible = []
    for name in order.network.places:
        sight = order.sights[part, name]
        spare, stock = _left(order, number, sight, units, dropped=dropped)
        reason = order.reason(number, sight, dropped=dropped)
        is_able = order.room(number, sight, dropped=dropped) and reason != DEARER_THAN_UNFILLED
        if is_able and spare > 0 and stock > 0:
            if (part, name) in keys or len(keys) < order.shipments_max:
                return {DEARER_THAN_UNFILLED}
            return {NEVER_SPLIT if order.is_split_forbidden else MAX_SHIPMENTS}
        if reason == ELIGIBLE:
            eligible.append(spare)
    if eligible:
        return {CAPACITY_FULL if 0 in eligible else OUT_OF_STOCK}
    return {max(reasons_of(order, number, dropped=dropped))}


def _left(order: Order, number: int, sight: Sight, units: Units, *, dropped: bool) -> tuple[int, int]:
    """Return the capacity and the stock that a plan leaves at a location."""
    spare, stock = sight.spare, order.stock(number, sight, dropped=dropped)
    for (other, (_, name)), count in units.items():
        if name == sight.place.name:
            spare -= count
            stock -= count if order.lines[other].sku == order.lines[number].sku else 0
    return spare, stock


def is_hopeless(order: Order, units: Units, *, dropped: bool) -> bool:
    """Tell whether a line is short that no location may ever serve."""
    for number, line in enumerate(order.lines):
        filled = sum(count for (other, _), count in units.items() if other == number)
        if filled < line.units and not PASSES_WITH_TIME & reasons_of(order, number, dropped=dropped).keys():
            return True
    return False


# ---- candidates ------------------------------------------------------------------------------------------------------


def check_candidates(order: Order, plan: plan_pb2.FulfillmentPlan, units: Units) -> None:
    """Check what a plan says of each location."""
    dropped, keys = plan.used_second_pass, {key for _, key in units}
    expect("candidates", len(order.sights), len(plan.candidates))
    for key, told in zip(order.sights, plan.candidates, strict=True):
        where, sight = f"candidate {key[1]}", order.sights[key]
        expect(where, (key[1], key[0].method), (told.location_id, told.method))
        expect(f"{where}: chosen", key in keys, told.chosen)
        if order.has_steps:
            continue
        rooms = {}
        for number, item in zip(sight.lines, told.lines, strict=True):
            reason = order.reason(number, sight, dropped=dropped)
            expect(f"{where}: line {number}", Reason.Name(reason), Reason.Name(item.reason))
            room = 0 if reason == DEARER_THAN_UNFILLED else order.room(number, sight, dropped=dropped)
            expect(f"{where}: room of line {number}", room, item.room)
            if room:
                rooms[number] = room
                expect(f"{where}: unit cost of line {number}", sight.lines[number].unit_cost, item.unit_cost_micros)
        expect(f"{where}: reason", candidate_reason(order, sight, rooms, dropped=dropped), told.reason)
        if rooms:
            assert sight.trip is not None
            expect(f"{where}: fixed cost", sight.fixed + sight.trip.rates[0].base, told.fixed_cost_micros)
            expect(f"{where}: arrival", sight.trip.arrival, date.fromisoformat(told.arrival_date))
        alone = alone_cost(order, sight, rooms, dropped=dropped)
        expect(
            f"{where}: alone_cost_micros", alone, told.alone_cost_micros if told.HasField("alone_cost_micros") else None
        )
        margin = told.margin_micros if told.HasField("margin_micros") else None
        if key not in keys:
            expect(f"{where}: margin", None if alone is None else alone - plan.cost_micros, margin)
        elif plan.proved:
            without = cost_without(order, key[1])
            expect(f"{where}: margin", None if without is None else without - plan.cost_micros, margin)


def candidate_reason(order: Order, sight: Sight, rooms: dict[int, int], *, dropped: bool) -> int:
    """Return why a location could fill no line."""
    if rooms:
        return ELIGIBLE
    reason = sight.reason(dropped=dropped)
    if reason not in (ELIGIBLE, CAPACITY_FULL):
        return reason
    return max(order.reason(number, sight, dropped=dropped) for number in sight.lines)


def alone_cost(order: Order, sight: Sight, rooms: dict[int, int], *, dropped: bool) -> int | None:
    """Return what an order costs that one shipment alone fills as far as it can."""
    spare = sight.spare
    stock = {order.lines[number].sku: order.stock(number, sight, dropped=dropped) for number in rooms}
    units: Units = {}
    for number in sorted(rooms, key=lambda one: sight.lines[one].unit_cost - order.unfilled[one]):
        sku = order.lines[number].sku
        taken = min(rooms[number], spare, stock[sku])
        spare -= taken
        stock[sku] -= taken
        if taken:
            units[number, (sight.part, sight.place.name)] = taken
    if not units or (order.is_complete and not optimum.is_whole(order, units)):
        return None
    return optimum.true_cost(order, units)


def cost_without(order: Order, name: str) -> int | None:
    """Return what the best plan costs that keeps soft rules and does without a location."""
    best = optimum.cheapest(optimum.first_pass(order, without=name), with_ties=True)
    if order.is_complete and not optimum.is_whole(order, best.ties[0]):
        return None
    return optimum.true_cost(order, best.ties[0])


# ---- the least cost --------------------------------------------------------------------------------------------------


def check_optimum(order: Order, plan: plan_pb2.FulfillmentPlan, units: Units) -> None:
    """Check that a plan is the cheapest: in the first pass, or of what may come of two."""
    if order.has_steps:
        expect_not("proved", is_told=plan.proved)
        return
    best, second, is_all = optimum.plans(order)
    if not plan.used_second_pass and any(optimum.is_whole(order, one) for one in best.ties):
        second = []  # units that cost as much as not filling them may be filled, or not
    if not second:
        cost = optimum.settled(order, best.ties[0])[1]
        if plan.proved:
            expect("cost_micros of the cheapest", cost, plan.cost_micros)
            if not order.is_complete or plan.shipments:
                check_ties(order, best.keys, units)
        elif plan.cost_micros < cost:
            raise Difference(f"cost_micros: {plan.cost_micros} is less than the least, {cost}")
        expect_not("used_second_pass", is_told=plan.used_second_pass)
        return
    expect_not("proved", is_told=plan.proved)
    results = [optimum.settled(order, one) for one in second]
    others = [optimum.settled(order, optimum.baseline(order, strategy)[0]) for strategy in (2, 3, 4)]
    worst = min(max(results), *others)
    if ((not plan.shipments and order.is_complete), plan.cost_micros) > worst:
        raise Difference(f"cost_micros: expected at most {worst[1]} of two passes, was {plan.cost_micros}")
    if is_all and (plan.cost_micros not in {cost for _, cost in (*results, *others)}):
        raise Difference(f"cost_micros: expected one of {sorted({*results, *others})}, was {plan.cost_micros}")


def check_ties(order: Order, keys: tuple[Key, ...], units: Units) -> None:
    """Check that of equal costs the fewest shipments, then the first locations are taken."""

    def rank(of: Iterator[Key]) -> list[tuple[int, int]]:
        places = list(order.network.places)
        return sorted((order.parts.index(part), places.index(name)) for part, name in of)

    expect("shipments among those that cost the same", rank(iter(keys)), rank(iter({key for _, key in units})))
