"""What a plan was decided on, as the kernel kept it: enough to decide it once more, and to say why it is what it is.

Layout, little-endian: the bytes of a value of available, backorder, protected and load (0: all are 0); the number of
lines, of rows, and of rejected pairs (int32); of each line weight, restrictions and cost of an unfilled unit (int64);
the rejected pairs of line and place (int32); then the tables, rows by places, and the load of the places. The lowest
value of its width stands for a level that does not exist.
"""

from typing import NamedTuple

import numpy as np

from engine.planner.records import SEEN_COUNTS, SEEN_FACTS, SEEN_WIDTHS
from routing.arrays import NO_LEVEL, Int64s, OrderArrays, Stock


class Seen(NamedTuple):
    """What a plan was decided on."""

    facts: Int64s
    """Shape (L, SEEN_FACTS): weight, restrictions, cost of an unfilled unit."""
    rejected: Int64s
    """Shape (J, 2): line and place."""
    stock: Stock

    def applied_to(self, arrays: OrderArrays) -> OrderArrays:
        """Return an order as it was, whatever the catalog says of its skus now."""
        weight, restrictions, unfilled = (np.ascontiguousarray(column) for column in self.facts.T)
        return arrays._replace(weight=weight, restrictions=restrictions, unfilled_cost=unfilled, rejected=self.rejected)


def read_seen(content: bytes, places: int) -> Seen:
    """Read what was kept of a plan over so many places."""
    widths = tuple(content[:SEEN_WIDTHS])
    lines, rows, pairs = np.frombuffer(content, np.int32, SEEN_COUNTS, SEEN_WIDTHS).tolist()
    at = SEEN_WIDTHS + SEEN_COUNTS * 4

    def table(width: int, *shape: int) -> Int64s:
        nonlocal at
        if width == 0:
            return np.zeros(shape, np.int64)
        values = np.frombuffer(content, f"<i{width}", int(np.prod(shape)), at)
        at += values.nbytes
        return values.astype(np.int64).reshape(shape)

    facts = table(8, lines, SEEN_FACTS)
    rejected = table(4, pairs, 2)
    available = table(widths[0], rows, places)
    available[available == -(2 ** (8 * widths[0] - 1))] = NO_LEVEL
    stock = Stock(
        available=available,
        backorder=table(widths[1], rows, places),
        protected=table(widths[2], rows, places),
        level_cost=np.zeros((0, places), np.int64),
        load=table(widths[3], places),
        location_price=np.zeros(places, np.int64),
    )
    return Seen(facts, rejected, stock)
