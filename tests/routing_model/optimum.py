"""The cheapest of all assignments of an order, looked at one by one, and what other strategies take."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from .sight import Order, Part, Sight

OPTIMAL, NEAREST, FEWEST_SPLITS, PRIORITY = 1, 2, 3, 4
FAR = 10**24
"""What a unit costs that is not filled of an order that ships complete: more than any plan."""
TIES_MAX = 40

Key = tuple[Part, str]
Units = dict[tuple[int, Key], int]
"""(line, shipment) -> units."""


class Source(NamedTuple):
    """A shipment that may be sent."""

    key: Key
    fixed: int
    rooms: dict[int, int]
    """Line -> units."""
    costs: dict[int, int]
    """Line -> cost of a unit."""


@dataclass
class Pass:
    """What is left to fill, and what it may be filled from."""

    order: Order
    wanted: list[int]
    sources: list[Source]
    spare: dict[str, int]
    stock: dict[tuple[str, str], int]
    opened: tuple[Key, ...]
    unfilled: list[int]


def first_pass(order: Order, *, dropped: bool = False, without: str = "") -> Pass:
    """Return all of an order; `without` a location."""
    return _pass(order, [line.units for line in order.lines], {}, dropped=dropped, without=without)


def second_pass(order: Order, units: Units) -> Pass:
    """Return what some units leave, with soft rules dropped."""
    wanted = [line.units for line in order.lines]
    for (line, _), count in units.items():
        wanted[line] -= count
    return _pass(order, wanted, units, dropped=True)


def _pass(order: Order, wanted: list[int], taken: Units, *, dropped: bool, without: str = "") -> Pass:
    spare = {name: order.sights[order.parts[0], name].spare for name in order.network.places}
    stock: dict[tuple[str, str], int] = {}
    opened = tuple(dict.fromkeys(key for _, key in taken))
    for (part, name), sight in order.sights.items():
        for number, line in enumerate(order.lines):
            if line.part == part and sight.lines[number].level is not None:
                extra = sight.lines[number].level.backorder if dropped and order.profile.are_backorders_used else 0  # type: ignore[union-attr]
                stock[line.sku, name] = sight.lines[number].level.free + extra  # type: ignore[union-attr]
    for (number, (_, name)), count in taken.items():
        spare[name] -= count
        stock[order.lines[number].sku, name] -= count
    unfilled = [FAR] * len(wanted) if order.is_complete else order.unfilled
    sources = []
    for key, sight in order.sights.items():
        name = key[1]
        rooms = {
            number: min(wanted[number], spare[name], max(0, stock[order.lines[number].sku, name]))
            for number, own in sight.lines.items()
            if name != without and order.room(number, sight, dropped=dropped) and own.unit_cost <= unfilled[number]
        }
        rooms = {number: room for number, room in rooms.items() if room > 0}
        if rooms:
            base = sight.trip.rates[0].base  # type: ignore[union-attr]
            fixed = 0 if key in opened else sight.fixed + base
            sources.append(Source(key, fixed, rooms, {number: sight.lines[number].unit_cost for number in rooms}))
    return Pass(order, wanted, sources, spare, stock, opened, unfilled)


# ---- the cheapest ----------------------------------------------------------------------------------------------------


class Best(NamedTuple):
    """The cheapest assignment, and which shipments it has."""

    cost: int
    keys: tuple[Key, ...]
    ties: list[Units]
    """Assignments to these shipments that cost the same, some of them."""


def cheapest(todo: Pass, *, with_ties: bool = False) -> Best:
    """Look at all sets of shipments; of equal costs the fewest, then the first in the order of parts and locations."""
    places = {name: index for index, name in enumerate(todo.order.network.places)}
    ranks = {part: index for index, part in enumerate(todo.order.parts)}

    def rank(keys: Sequence[Key]) -> tuple[int, list[tuple[int, int]]]:
        return len(keys), sorted((ranks[part], places[name]) for part, name in keys)

    opened = [source for source in todo.sources if source.key in todo.opened]
    others = sorted((source for source in todo.sources if source.key not in todo.opened), key=lambda one: one.fixed)
    lines = range(len(todo.wanted))
    least = [
        todo.wanted[line]
        * min([todo.unfilled[line]] + [source.costs[line] for source in todo.sources if line in source.costs])
        for line in lines
    ]
    best: list[tuple[int, tuple[int, list[tuple[int, int]]], list[Source]]] = []

    def visit(chosen: list[Source], fixed: int, start: int) -> None:
        if best and fixed + sum(least) > best[0][0]:
            return
        found = fixed + fill(todo, chosen)
        keys = [*todo.opened, *(source.key for source in chosen if source.key not in todo.opened)]
        if not best or (found, rank(keys)) < best[0][:2]:
            best[:] = [(found, rank(keys), list(chosen))]
        if len(keys) < todo.order.shipments_max:
            for place in range(start, len(others)):
                split = todo.order.profile.split if keys else 0
                visit([*chosen, others[place]], fixed + others[place].fixed + split, place + 1)

    visit(opened, 0, 0)
    cost, _, chosen = best[0]
    ties = list(assignments(todo, chosen, cost - sum_fixed(todo, chosen))) if with_ties else []
    return Best(cost, tuple(source.key for source in chosen), ties)


def sum_fixed(todo: Pass, chosen: Sequence[Source]) -> int:
    """Return what shipments cost before their units."""
    count = len(todo.opened)
    total = 0
    for source in chosen:
        if source.key not in todo.opened:
            total += source.fixed + (todo.order.profile.split if count else 0)
            count += 1
    return total


def fill(todo: Pass, chosen: Sequence[Source]) -> int:
    """Return the least that all lines cost from some shipments, with what is not filled."""
    cost = 0
    taken: dict[object, int] = {}
    for line, wanted in enumerate(todo.wanted):
        left = wanted
        for source in sorted((one for one in chosen if line in one.rooms), key=lambda one: one.costs[line]):
            units = min(left, source.rooms[line])
            left -= units
            cost += units * source.costs[line]
            name = source.key[1]
            taken[name] = taken.get(name, 0) + units
            pair = todo.order.lines[line].sku, name
            taken[pair] = taken.get(pair, 0) + units
        cost += left * todo.unfilled[line]
    limits: dict[object, int] = {**todo.spare, **todo.stock}
    if all(units <= limits[what] for what, units in taken.items()):
        return cost
    return _compete(todo, chosen)


def _compete(todo: Pass, chosen: Sequence[Source]) -> int:
    """Return the same where lines compete for a capacity or for stock: every way of every line."""
    ways = [sorted(_ways(todo, line, chosen), key=lambda way: way[0]) for line in range(len(todo.wanted))]
    least = [0]
    for line in reversed(ways):
        least.append(least[-1] + line[0][0])
    least.reverse()
    best = [sum(wanted * cost for wanted, cost in zip(todo.wanted, todo.unfilled, strict=True))]
    limits: dict[object, int] = {**todo.spare, **todo.stock}

    def visit(line: int, cost: int) -> None:
        if line == len(ways):
            best[0] = min(best[0], cost)
            return
        for own, units in ways[line]:
            if cost + own + least[line + 1] >= best[0]:
                return
            if _take(todo, limits, line, units, 1):
                visit(line + 1, cost + own)
            _take(todo, limits, line, units, -1)

    visit(0, 0)
    return best[0]


def _take(todo: Pass, limits: dict[object, int], line: int, units: dict[Key, int], sign: int) -> bool:
    """Take units, or give them back; tells whether they were there."""
    is_there = True
    for (_, name), count in units.items():
        for what in (name, (todo.order.lines[line].sku, name)):
            limits[what] -= sign * count
            is_there = is_there and limits[what] >= 0
    return is_there


def _ways(todo: Pass, line: int, chosen: Sequence[Source]) -> Iterator[tuple[int, dict[Key, int]]]:
    """Yield every way to take a line's units, or fewer, from shipments: (cost, units)."""
    usable = [source for source in chosen if line in source.rooms]

    def visit(place: int, left: int, cost: int, units: dict[Key, int]) -> Iterator[tuple[int, dict[Key, int]]]:
        if place == len(usable):
            yield cost + left * todo.unfilled[line], units
            return
        source = usable[place]
        for count in range(min(left, source.rooms[line]) + 1):
            own = {**units, source.key: count} if count else units
            yield from visit(place + 1, left - count, cost + count * source.costs[line], own)

    yield from visit(0, todo.wanted[line], 0, {})


def assignments(todo: Pass, chosen: Sequence[Source], cost: int) -> Iterator[Units]:
    """Yield assignments to some shipments that cost so much, up to TIES_MAX, each shipment with some units."""
    ways = [sorted(_ways(todo, line, chosen), key=lambda way: way[0]) for line in range(len(todo.wanted))]
    least = [0]
    for line in reversed(ways):
        least.append(least[-1] + line[0][0])
    least.reverse()
    limits: dict[object, int] = {**todo.spare, **todo.stock}

    def visit(line: int, spent: int, units: Units) -> Iterator[Units]:
        if line == len(ways):
            if spent == cost:
                yield units
            return
        for own, each in ways[line]:
            if spent + own + least[line + 1] > cost:
                return
            if _take(todo, limits, line, each, 1):
                yield from visit(line + 1, spent + own, units | {(line, key): count for key, count in each.items()})
            _take(todo, limits, line, each, -1)

    yield from islice(visit(0, 0, {}), TIES_MAX)


# ---- plans -----------------------------------------------------------------------------------------------------------


def true_cost(order: Order, units: Units) -> int:
    """Return what an assignment costs, with split costs and what is not filled."""
    keys = list(dict.fromkeys(key for _, key in units))
    cost = order.profile.split * max(0, len(keys) - 1)
    for key in keys:
        cost += sum(shipment_terms(order, order.sights[key], parcel_of(units, key)).values())
    for number, line in enumerate(order.lines):
        filled = sum(count for (other, _), count in units.items() if other == number)
        cost += (line.units - filled) * order.unfilled[number]
    return cost


def parcel_of(units: Units, key: Key) -> dict[int, int]:
    """Return the units of one shipment by line."""
    return {line: count for (line, other), count in units.items() if other == key}


def shipment_terms(order: Order, sight: Sight, parcel: dict[int, int]) -> dict[str, int]:
    """Return what one shipment costs, by term."""
    assert sight.trip is not None
    place, weigh, count = sight.place, order.profile.weigh, sum(parcel.values())
    handling = weigh("handling", place.own.handling_micros)
    return {
        "shipping": sight.trip.rates.cost([(units, order.weights[line]) for line, units in parcel.items()]),
        "setup": sight.trip.setup,
        "handling": handling * count,
        "lateness": sight.lateness,
        "backlog": (sight.unit - handling) * count,
        "split": 0,
        "unfilled": 0,
    }


def is_whole(order: Order, units: Units) -> bool:
    """Tell whether nothing is left."""
    return sum(units.values()) == sum(line.units for line in order.lines)


def plans(order: Order) -> tuple[Best, list[Units], bool]:
    """Return the cheapest in the first pass, what may come of both passes, and whether these are all."""
    best = cheapest(first_pass(order), with_ties=True)
    if not order.has_soft_masks() or is_whole(order, best.ties[0]):
        return best, [], True
    found = []
    is_all = len(best.ties) < TIES_MAX
    for units in best.ties:
        second = cheapest(second_pass(order, units), with_ties=True)
        is_all = is_all and len(second.ties) < TIES_MAX
        found += [_joined(units, more) for more in second.ties]
    return best, found, is_all


def _joined(units: Units, more: Units) -> Units:
    return units | {key: units.get(key, 0) + count for key, count in more.items()}


def settled(order: Order, units: Units) -> tuple[bool, int]:
    """Return whether an order that ships complete stays empty, and what it costs then."""
    if order.is_complete and not is_whole(order, units):
        return True, true_cost(order, {})
    return False, true_cost(order, units)


# ---- what other strategies take --------------------------------------------------------------------------------------


def baseline(order: Order, strategy: int) -> tuple[Units, bool]:
    """Return what a strategy takes, and whether soft rules were dropped for some of it."""
    units: Units = {}
    _take_greedily(order, units, strategy, dropped=False)
    if is_whole(order, units) or not order.has_soft_masks():
        return units, False
    _take_greedily(order, units, strategy, dropped=True)
    return units, True


def _take_greedily(order: Order, units: Units, strategy: int, *, dropped: bool) -> None:
    def take(key: Key) -> None:
        for number, room in _rooms(order, units, key, dropped=dropped).items():
            left = min(room, _rooms(order, units, key, dropped=dropped).get(number, 0))
            if left:
                units[number, key] = units.get((number, key), 0) + left

    opened = list(dict.fromkeys(key for _, key in units))
    for key in opened:
        take(key)
    keys = list(order.sights)
    while len(opened) < order.shipments_max:
        fillable = {key: _fillable(order, units, key, dropped=dropped) for key in keys}
        able = [key for key in keys if fillable[key]]
        if not able:
            return
        best = min(able, key=lambda key: (_rank(order, key, fillable[key], strategy), order.sights[key].km))
        take(best)
        opened.append(best)


def _rank(order: Order, key: Key, units: int, strategy: int) -> int:
    if strategy == FEWEST_SPLITS:
        return -units
    return order.sights[key].place.own.priority if strategy == PRIORITY else 0


def _fillable(order: Order, units: Units, key: Key, *, dropped: bool) -> int:
    rooms = _rooms(order, units, key, dropped=dropped)
    by_sku: dict[str, int] = {}
    for number, room in rooms.items():
        by_sku[order.lines[number].sku] = by_sku.get(order.lines[number].sku, 0) + room
    together = sum(min(room, _stock(order, units, key, sku, dropped=dropped)) for sku, room in by_sku.items())
    return min(together, _spare(order, units, key[1]))


def _stock(order: Order, units: Units, key: Key, sku: str, *, dropped: bool) -> int:
    """Return the units of a sku that a location has left."""
    level = order.levels[sku, key[1]]
    extra = level.backorder if dropped and order.profile.are_backorders_used else 0
    return (
        level.free
        + extra
        - sum(
            count for (other, (_, place)), count in units.items() if place == key[1] and order.lines[other].sku == sku
        )
    )


def _spare(order: Order, units: Units, name: str) -> int:
    return order.sights[order.parts[0], name].spare - sum(
        count for (_, (_, other)), count in units.items() if other == name
    )


def _rooms(order: Order, units: Units, key: Key, *, dropped: bool) -> dict[int, int]:
    """Return what a location could fill now, each line for itself."""
    sight, name, rooms = order.sights[key], key[1], {}
    for number, own in sight.lines.items():
        line = order.lines[number]
        if not order.room(number, sight, dropped=dropped):
            continue
        if own.unit_cost > order.unfilled[number] and not order.is_complete:
            continue
        left = line.units - sum(count for (other, _), count in units.items() if other == number)
        stock = _stock(order, units, key, line.sku, dropped=dropped)
        rooms[number] = max(0, min(left, stock, _spare(order, units, name)))
    return {number: room for number, room in rooms.items() if room}
