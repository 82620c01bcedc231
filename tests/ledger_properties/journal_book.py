"""What the journal says, read by the book."""

from __future__ import annotations

from collections import Counter

from ledger.core.records import Group
from ledger.core.statuses import Kind
from ledger.core.views import LevelView

NOWHERE = -1

# From which account to which each kind moves; at the level, or outside.
ACCOUNTS = {
    Kind.RESERVE: ("free", "reserved"),
    Kind.COMMIT: ("reserved", "committed"),
    Kind.RELEASE: ("reserved", "free"),
    Kind.EXPIRE: ("reserved", "free"),
    Kind.FULFILL: ("committed", "customer"),
    Kind.CANCEL: ("committed", "free"),
    Kind.COMMIT_FREE: ("free", "committed"),
    Kind.RECEIVE: ("supplier", "free"),
    Kind.SALE: ("free", "customer"),
    Kind.RETURN: ("customer", "free"),
    Kind.ADJUST: ("shrinkage", "free"),
    Kind.MARK_UNAVAILABLE: ("free", "unavailable"),
    Kind.MARK_AVAILABLE: ("unavailable", "free"),
    Kind.WRITE_OFF: ("unavailable", "shrinkage"),
    Kind.TRANSFER_OUT: ("free", "transit"),
    Kind.TRANSFER_IN: ("transit", "free"),
    Kind.COUNT: ("shrinkage", "free"),
    Kind.HELD_OUT: ("committed", "transit"),
    Kind.TRANSFER_SHORT: ("transit", "shrinkage"),
    Kind.TRANSFER_FOUND: ("shrinkage", "free"),
    Kind.UNEXPECTED: ("unexplained", "free"),
    Kind.CANCEL_ASSIGNED: ("committed", "free"),
    Kind.MISSING: ("free", "shrinkage"),
}
OUTSIDE = ("supplier", "customer", "shrinkage", "transit", "unexplained")


class JournalBook:
    """The stock as the journal's movements tell it."""

    def __init__(self) -> None:
        self.levels: dict[int, tuple[int, int]] = {}
        self.units: Counter[tuple[int, int, str, int]] = Counter()
        self.safety_stock: Counter[tuple[int, int]] = Counter()
        self.backorder_limit: Counter[tuple[int, int]] = Counter()

    def apply(self, group: Group) -> None:
        for row in group.movements:
            level, kind, reason, quantity = (int(row[name]) for name in ("level", "kind", "reason", "quantity"))
            if kind == Kind.STOCK_HERE:
                assert level == len(self.levels), "levels begin one after the other"
                self.levels[level] = quantity >> 32, quantity & 0xFFFF_FFFF
            elif kind == Kind.SET_SAFETY_STOCK:
                self.safety_stock[self.levels[level]] = quantity
            elif kind == Kind.SET_BACKORDER_LIMIT:
                self.backorder_limit[self.levels[level]] = quantity
            elif kind not in (Kind.PLAN, Kind.DOCUMENT, Kind.ASSIGN, Kind.UNASSIGN):
                self.move(self.levels[level], Kind(kind), reason, quantity)

    def move(self, level: tuple[int, int], kind: Kind, reason: int, quantity: int) -> None:
        source, target = ACCOUNTS[kind]
        if kind in (Kind.RETURN, Kind.TRANSFER_IN) and reason:
            target = "unavailable"
        for account, change in ((source, -quantity), (target, quantity)):
            sku, location = level
            place = (sku, NOWHERE, account, 0) if account in OUTSIDE else (sku, location, account, 0)
            self.units[(*place[:3], reason) if account == "unavailable" else place] += change

    def view(self, level: tuple[int, int]) -> LevelView | None:
        if level not in self.levels.values():
            return None
        here = {(account, reason): units for (*at, account, reason), units in self.units.items() if (*at,) == level}
        return LevelView(
            on_hand=sum(here.values()),
            unavailable={
                reason: here[at] for at in sorted(here) if at[0] == "unavailable" and (reason := at[1]) and here[at]
            },
            reserved=here.get(("reserved", 0), 0),
            committed=here.get(("committed", 0), 0),
            safety_stock=self.safety_stock[level],
            backorder_limit=self.backorder_limit[level],
        )
