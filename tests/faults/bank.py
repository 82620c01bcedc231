"""The bank: units by account, kept from the journal's movements alone. It decides nothing.

It shares no code with the ledger or its oracle but the names of the kinds of movement.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from ledger.core.statuses import Kind

FREE: Final = "free"
RESERVED: Final = "reserved"
COMMITTED: Final = "committed"
UNAVAILABLE: Final = "unavailable"
OUTSIDE: Final = "outside"

MOVES: Final[Mapping[Kind, tuple[str, str]]] = {
    Kind.RESERVE: (FREE, RESERVED),
    Kind.COMMIT: (RESERVED, COMMITTED),
    Kind.RELEASE: (RESERVED, FREE),
    Kind.EXPIRE: (RESERVED, FREE),
    Kind.FULFILL: (COMMITTED, OUTSIDE),
    Kind.CANCEL: (COMMITTED, FREE),
    Kind.COMMIT_FREE: (FREE, COMMITTED),
    Kind.RECEIVE: (OUTSIDE, FREE),
    Kind.SALE: (FREE, OUTSIDE),
    Kind.RETURN: (OUTSIDE, FREE),
    Kind.ADJUST: (OUTSIDE, FREE),
    Kind.MARK_UNAVAILABLE: (FREE, UNAVAILABLE),
    Kind.MARK_AVAILABLE: (UNAVAILABLE, FREE),
    Kind.WRITE_OFF: (UNAVAILABLE, OUTSIDE),
    Kind.TRANSFER_OUT: (FREE, OUTSIDE),
    Kind.TRANSFER_IN: (OUTSIDE, FREE),
    Kind.COUNT: (OUTSIDE, FREE),
    Kind.HELD_OUT: (COMMITTED, OUTSIDE),
    Kind.TRANSFER_SHORT: (OUTSIDE, OUTSIDE),
    Kind.TRANSFER_FOUND: (OUTSIDE, FREE),
    Kind.CANCEL_ASSIGNED: (COMMITTED, FREE),
    Kind.MISSING: (FREE, OUTSIDE),
}
"""From which account each kind takes, and to which it gives; the rest moves nothing."""
MOVES_NOTHING: Final = (Kind.PLAN, Kind.DOCUMENT, Kind.ASSIGN, Kind.UNASSIGN)
HOLDS: Final = (Kind.RESERVE, Kind.COMMIT_FREE)
"""Promises: only they may not take what is not there. Facts may."""


class Bank:
    """Units of each account of each stock level, a row of the ledger."""

    def __init__(self) -> None:
        self.units: Counter[tuple[int, str]] = Counter()
        self.names: dict[int, tuple[int, int]] = {}
        """Sku and location index of each row."""

    def apply(self, movements: list[tuple[int, int, int, int]]) -> list[int]:
        """Carry out the movements of one write; returns the rows of which it promised more than there was."""
        promised, before = set(), Counter[int]()
        for row, kind, _, units in movements:
            if kind == Kind.STOCK_HERE:
                self.names[row] = units >> 32, units & 0xFFFFFFFF
                continue
            if kind in MOVES_NOTHING:
                continue
            source, target = MOVES[Kind(kind)]
            before.setdefault(row, self.units[row, FREE])
            self.units[row, source] -= units
            self.units[row, target] += units
            if kind in HOLDS and units > 0:
                promised.add(row)
        # what an order's units come with is no promise of others
        return [row for row in promised if self.units[row, FREE] < min(0, before[row])]

    def on_hand(self, row: int) -> int:
        """Return the units that are physically there."""
        return sum(self.units[row, account] for account in (FREE, RESERVED, COMMITTED, UNAVAILABLE))

    def row(self, row: int) -> tuple[int, int, int]:
        """Return on_hand, reserved and committed of a stock level."""
        return self.on_hand(row), self.units[row, RESERVED], self.units[row, COMMITTED]
