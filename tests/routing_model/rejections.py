"""Units that a location rejects: whose they are, and by which rules of their order they are planned anew."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from onhand.routing.v1 import plan_pb2

from . import optimum
from .holds import Hold, Pair
from .optimum import Key, Pass, Source
from .sight import Order, Part, part_of


class Situation(NamedTuple):
    """An order as its hold has it."""

    lines: list[plan_pb2.OrderLine]
    """Of the order, and behind them skus that came later."""
    assigned: list[tuple[int, str, int]]
    """(line, location, units), by line; what was fulfilled too."""
    is_plain: bool
    """Whether it does not matter in which order moved units are looked at."""


def situation_of(hold: Hold) -> Situation:
    """Return whose units are where."""
    left: dict[Pair, int] = {pair: row.open + row.fulfilled for pair, row in hold.rows.items()}
    lines, missing = list(hold.lines), dict[int, int]()
    assigned: list[tuple[int, str, int]] = []
    for line, name, units in hold.assigned:
        pair = lines[line].sku_id, name
        taken = min(units, left.get(pair, 0))
        if taken:
            left[pair] -= taken
            assigned.append((line, name, taken))
        missing[line] = missing.get(line, 0) + units - taken
    others = [(pair, units) for pair, units in left.items() if units]
    is_plain = all(
        sum(pair[0] == sku for pair, _ in others) < 2 or sum(line.sku_id == sku for line in lines) < 2
        for (sku, _), _ in others
    )
    for (sku, name), units in others:
        rest = units
        for line, item in enumerate(lines):
            taken = min(rest, missing.get(line, 0)) if item.sku_id == sku else 0
            if taken:
                missing[line] -= taken
                rest -= taken
                assigned.append((line, name, taken))
        if rest and all(item.sku_id != sku for item in lines):
            first = lines[0]
            item = plan_pb2.OrderLine(sku_id=sku)
            item.method, item.store_id, item.promise_date = first.method, first.store_id, first.promise_date
            lines.append(item)
        if rest:
            assigned.append((next(at for at, item in enumerate(lines) if item.sku_id == sku), name, rest))
    return Situation(lines, sorted(assigned, key=lambda one: one[0]), is_plain)


def taken_from(
    situation: Situation, hold: Hold, location: str, units: Mapping[str, int]
) -> tuple[dict[int, int], list[tuple[int, str, int]]]:
    """Return the rejected units by line, and what stays."""
    left, by_line = dict(units), dict[int, int]()
    done = {sku: hold.rows[sku, location].fulfilled for sku in units}
    staying = []
    for line, name, count in situation.assigned:
        sku, taken = situation.lines[line].sku_id, 0
        if name == location and sku in units:
            was_done = min(count, done[sku])
            taken = min(count - was_done, left[sku])
            done[sku] -= was_done
            left[sku] -= taken
            if taken:
                by_line[line] = by_line.get(line, 0) + taken
        if count > taken:
            staying.append((line, name, count - taken))
    return by_line, staying


@dataclass
class Rest:
    """Rejected units, as they are planned anew."""

    order: Order
    numbers: list[int]
    """Position in the caller's order of each line."""
    staying: set[Key]
    """Shipments that the order has without them."""
    by_line: dict[int, int]
    assigned: list[tuple[int, str, int]]
    """What stays."""
    lines: list[plan_pb2.OrderLine]
    strategy: int
    is_plain: bool

    @property
    def shipments_left(self) -> int:
        """Shipments that the order may have beside those that stay."""
        return max(0, self.order.shipments_max - len(self.staying))

    def costs(self) -> set[int] | None:
        """Return what the plan of the rest may cost; None where that is not told by one pass."""
        order = self.order
        if order.has_steps or order.has_soft_masks() or self.strategy != optimum.OPTIMAL:
            return None
        free = optimum.cheapest(optimum.first_pass(order), with_ties=True)
        if any(optimum.settled(order, units)[0] for units in free.ties):
            return {optimum.true_cost(order, {})}
        if len(set(free.keys) - self.staying) <= self.shipments_left:
            return {optimum.settled(order, free.ties[0])[1]}
        return self._costs_within()

    def _costs_within(self) -> set[int]:
        """Return the costs of the plans that add no more shipments than may be added; the first is the best."""
        joinable = [key for key in self.staying if key[0] in self.order.parts]
        tried = [self._cheapest(self.shipments_left, None)]
        if joinable:
            tried.append(self._cheapest(min(len(joinable), 5), {name for _, name in joinable}))
        allowed = [(missing, cost) for missing, cost, added in tried if added <= self.shipments_left]
        if not self.order.is_complete:
            allowed = [(0, cost) for _, cost in allowed]
        return {min(allowed)[1]}

    def _cheapest(self, shipments_max: int, only: set[str] | None) -> tuple[int, int, int]:
        """Return (units missing, cost, shipments added) of the cheapest plan."""
        order, before = self.order, self.order.shipments_max
        order.shipments_max = shipments_max
        todo: Pass = optimum.first_pass(order)
        sources: list[Source] = [one for one in todo.sources if only is None or one.key[1] in only]
        todo.sources = sources
        best = optimum.cheapest(todo, with_ties=True)
        order.shipments_max = before
        is_empty, cost = optimum.settled(order, best.ties[0])
        units = {} if is_empty else best.ties[0]
        wanted = sum(line.units for line in order.lines)
        return wanted - sum(units.values()), cost, len({key for _, key in units} - self.staying)


def keys_of(assigned: list[tuple[int, str, int]], lines: list[plan_pb2.OrderLine]) -> set[tuple[Part, str]]:
    """Return the shipments that units are in."""
    return {(part_of(lines[line]), name) for line, name, _ in assigned}
