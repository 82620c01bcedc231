"""The kinds of movement as data: a row says from which account to which, and how callers and the history name it.

The oracle, on purpose, knows all of it anew.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ledger.core import state
from ledger.core.statuses import Kind, Unavailable


class Account(IntEnum):
    """Where units can be; each column of units that the ledger has is one, and UNAVAILABLE one for each reason."""

    FREE = 0
    RESERVED = 1
    COMMITTED = 2
    UNAVAILABLE = 3
    SUPPLIER = 4
    CUSTOMER = 5
    SHRINKAGE = 6
    TRANSIT = 7
    UNEXPLAINED = 8  # units that arrived, and that nobody sent


# Accounts up to STOCK_LAST are columns of level_stock; those from OUTSIDE_FIRST on, less it, columns of sku_outside.
STOCK_LAST: Final = int(Account.COMMITTED)
OUTSIDE_FIRST: Final = int(Account.SUPPLIER)
NO_ACCOUNT: Final = 255
assert [state.FREE, state.RESERVED, state.COMMITTED] == [Account.FREE, Account.RESERVED, Account.COMMITTED]
assert state.FLOOR == STOCK_LAST + 1 == Account.UNAVAILABLE  # the column that is no account
OUTSIDE: Final = tuple(Account)[OUTSIDE_FIRST:]
assert list(range(state.OUTSIDE_WIDTH)) == [account - OUTSIDE_FIRST for account in OUTSIDE]
assert [getattr(state, account.name) for account in OUTSIDE] == list(range(state.OUTSIDE_WIDTH))
assert [*range(1, state.UNAVAILABLE_REASONS + 1)] == [*Unavailable]
HELD: Final = (Account.RESERVED, Account.COMMITTED)

# What a kind does to the line of the reservation that it is of.
TAKES: Final = 1 << 0  # the line holds more
GIVES_BACK: Final = 1 << 1  # the line holds less, and the units are free again
FULFILLS: Final = 1 << 2  # the line holds less, and they are gone
KEEPS: Final = 1 << 3  # it holds as many, otherwise


class MovementRow(NamedTuple):
    """One kind of movement, as data."""

    kind: Kind
    source: Account | None
    """None: it moves no units."""
    target: Account | None
    shown: str = ""
    """Its name in the history, of MovementType; "": it is left out of it."""
    is_recordable: bool = False
    """Whether callers may record it, under that name."""
    is_signed: bool = False
    """Whether a negative quantity moves units back; 0 is never said."""
    arrives_as: Kind | None = None
    """What follows at to_location: the history shows its units as they come, and those of this kind as they go."""
    target_with_reason: Account | None = None
    """Where units go that have a reason, if that is somewhere else."""

    @property
    def needs_reason(self) -> bool:
        """Whether it says why units are unavailable."""
        return Account.UNAVAILABLE in (self.source, self.target)

    @property
    def takes_reason(self) -> bool:
        """Whether it may say it."""
        return self.needs_reason or self.target_with_reason is not None

    @property
    def effect(self) -> int:
        """What it does to the line of a reservation; 0: it is of none."""
        if self.source in HELD:
            return KEEPS if self.target in HELD else GIVES_BACK if self.target == Account.FREE else FULFILLS
        return TAKES if self.target in HELD else 0


FREE, RESERVED, COMMITTED, UNAVAILABLE, SUPPLIER, CUSTOMER, SHRINKAGE, TRANSIT, UNEXPLAINED = Account

MOVEMENTS: Final = (
    MovementRow(Kind.RESERVE, FREE, RESERVED, "RESERVE"),
    MovementRow(Kind.COMMIT, RESERVED, COMMITTED, "COMMIT"),
    MovementRow(Kind.RELEASE, RESERVED, FREE, "RELEASE"),
    MovementRow(Kind.EXPIRE, RESERVED, FREE, "EXPIRE"),
    MovementRow(Kind.FULFILL, COMMITTED, CUSTOMER, "FULFILL"),
    MovementRow(Kind.CANCEL, COMMITTED, FREE, "CANCEL"),
    MovementRow(Kind.COMMIT_FREE, FREE, COMMITTED, "COMMIT"),
    MovementRow(Kind.RECEIVE, SUPPLIER, FREE, "RECEIVE", is_recordable=True),
    MovementRow(Kind.SALE, FREE, CUSTOMER, "SALE", is_recordable=True),
    MovementRow(Kind.RETURN, CUSTOMER, FREE, "RETURN", is_recordable=True, target_with_reason=UNAVAILABLE),
    MovementRow(Kind.ADJUST, SHRINKAGE, FREE, "ADJUST", is_recordable=True, is_signed=True),
    MovementRow(Kind.MARK_UNAVAILABLE, FREE, UNAVAILABLE, "MARK_UNAVAILABLE", is_recordable=True),
    MovementRow(Kind.MARK_AVAILABLE, UNAVAILABLE, FREE, "MARK_AVAILABLE", is_recordable=True),
    MovementRow(Kind.WRITE_OFF, UNAVAILABLE, SHRINKAGE, "WRITE_OFF", is_recordable=True),
    MovementRow(Kind.TRANSFER_OUT, FREE, TRANSIT, "TRANSFER", is_recordable=True, arrives_as=Kind.TRANSFER_IN),
    MovementRow(Kind.TRANSFER_IN, TRANSIT, FREE, "TRANSFER", target_with_reason=UNAVAILABLE),
    MovementRow(Kind.COUNT, SHRINKAGE, FREE, "COUNT", is_signed=True),
    MovementRow(Kind.SET_SAFETY_STOCK, None, None),
    MovementRow(Kind.SET_BACKORDER_LIMIT, None, None),
    MovementRow(Kind.STOCK_HERE, None, None),
    MovementRow(Kind.HELD_OUT, COMMITTED, TRANSIT, "TRANSFER"),
    MovementRow(Kind.TRANSFER_SHORT, TRANSIT, SHRINKAGE, "TRANSFER_SHORT"),
    MovementRow(Kind.TRANSFER_FOUND, SHRINKAGE, FREE, "TRANSFER_FOUND"),
    MovementRow(Kind.UNEXPECTED, UNEXPLAINED, FREE, "UNEXPECTED"),
    MovementRow(Kind.PLAN, None, None),
    MovementRow(Kind.DOCUMENT, None, None),
    MovementRow(Kind.ASSIGN, None, None),
    MovementRow(Kind.UNASSIGN, None, None),
    MovementRow(Kind.CANCEL_ASSIGNED, COMMITTED, FREE, "CANCEL"),
    MovementRow(Kind.MISSING, FREE, SHRINKAGE, "MISSING"),
)
assert tuple(row.kind for row in MOVEMENTS) == tuple(Kind)
for _row in MOVEMENTS:
    assert (_row.source is None) == (_row.target is None) == (_row.shown == "")
    assert not _row.is_recordable or _row.effect == 0  # callers change holds by operations on reservations
    assert _row.arrives_as is None or _row.target == TRANSIT

OF_REASON: Final = {"DAMAGE": (Kind.MARK_UNAVAILABLE, Unavailable.DAMAGED)}
"""Names of their own that the history gives to a kind with a reason; callers may record it by them."""
ROW_OF: Final = {row.kind: row for row in MOVEMENTS}
assert all(ROW_OF[kind].is_recordable and ROW_OF[kind].takes_reason for kind, _ in OF_REASON.values())

# ---- by kind ---------------------------------------------------------------------------------------------------------

# Of every number that a movement can hold: one that no kind has finds no account.
ROWS: Final = 256
assert max(Kind) < ROWS
assert max(Account) < NO_ACCOUNT


def _column(value: Callable[[MovementRow], Any], none: int = 0) -> NDArray[np.uint8]:
    column = np.full(ROWS, none, np.uint8)
    for row in MOVEMENTS:
        found = value(row)
        column[row.kind] = none if found is None else found
    column.setflags(write=False)
    return column


SOURCE: Final = _column(lambda row: row.source, NO_ACCOUNT)
TARGET: Final = _column(lambda row: row.target, NO_ACCOUNT)
TARGET_WITH_REASON: Final = _column(
    lambda row: row.target if row.target_with_reason is None else row.target_with_reason, NO_ACCOUNT
)
EFFECT: Final = _column(lambda row: row.effect)
ARRIVES_AS: Final = _column(lambda row: row.arrives_as)
IS_SHOWN: Final = _column(lambda row: row.shown != "").astype(np.bool_)
LEAVES: Final = _column(lambda row: row.target == TRANSIT).astype(np.bool_)
"""Whether the history shows its units as they go, below zero: what comes for them is another movement."""
IS_SIGNED: Final = _column(lambda row: row.is_signed).astype(np.bool_)
