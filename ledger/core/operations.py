"""The operations as data: a row says what an operation is. What it decides is code, see `ledger.core.kernels.decide`.

Kernels ask `TRAITS[operation] & IS_FACT`; the bulk path takes the bounds; the oracle, on purpose, knows all of it anew.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ledger.core import limits
from ledger.core.statuses import Operation

# ---- traits ----------------------------------------------------------------------------------------------------------

CHANGES_RESERVATION: Final = 1 << 0  # its movements are those of a reservation's lines, whose state and version it sets
MAKES_RESERVATION: Final = 1 << 1  # and the reservation is new
CHANGES_LINES: Final = 1 << 2  # lines may come, and those that are left without a quantity go
SETS_TOTALS: Final = 1 << 3  # a line's quantity becomes what it holds and held
MOVES_HOLD: Final = 1 << 4  # to another location: line by line there and here, quantities with what is open
SETS_EXPIRY: Final = 1 << 5  # of a hold that goes on
IS_FACT: Final = 1 << 6  # it happened: never refused for want of free stock, and told where it leaves levels oversold
WRITES_IF_MOVED: Final = 1 << 7  # without a request id it leaves no trace where nothing had to move
DECIDED_ELSEWHERE: Final = 1 << 8  # `status` and `result` of the command say what comes of it: no content
IS_OWN: Final = 1 << 9  # of the ledger, never asked for: its record says the instant at which it took effect
# What callers give, in the bulk path as elsewhere.
IS_BULK: Final = 1 << 10  # it can come as columns
HAS_TTL: Final = 1 << 11  # its answer tells the expire time
HAS_VERSION: Final = 1 << 12
HAS_KINDS: Final = 1 << 13  # lines say what they move, and one may repeat the sku and location of another
MERGES_LINES: Final = 1 << 14  # two lines of one sku and location count together; else they are refused
ADVANCES_DOCUMENT: Final = 1 << 15  # its movements are those of a document's lines, and of the order that it is for
TRAIT_BITS: Final = 16


class OperationRow(NamedTuple):
    """One operation, as data."""

    operation: Operation
    traits: int
    lines_min: int
    lines_max: int
    quantity_min: int = 1
    known_as: Operation | None = None
    """As what a request id keeps it, where that is another one: to callers both are the same call."""


_HELD: Final = limits.LINES_PER_RESERVATION_MAX
_MOVED: Final = limits.MOVEMENTS_PER_CALL_MAX
_ADVANCED: Final = limits.LINES_PER_DOCUMENT_MAX
_UNITS: Final = CHANGES_RESERVATION | IS_BULK | MERGES_LINES
_CHANGE: Final = CHANGES_RESERVATION | IS_BULK | CHANGES_LINES | HAS_VERSION

OPERATIONS: Final = (
    OperationRow(Operation.RESERVE, _UNITS | MAKES_RESERVATION | HAS_TTL, 1, _HELD),
    OperationRow(Operation.COMMIT, _UNITS | WRITES_IF_MOVED, 0, _HELD),
    OperationRow(Operation.RELEASE, _UNITS, 0, _HELD),
    OperationRow(Operation.EXTEND, CHANGES_RESERVATION | IS_BULK | SETS_EXPIRY | HAS_TTL, 0, 0),
    OperationRow(Operation.AMEND, _CHANGE | SETS_TOTALS, 1, _HELD, quantity_min=0),
    OperationRow(Operation.TRANSFER, _CHANGE | MOVES_HOLD, 1, _HELD),
    OperationRow(Operation.FULFILL, _UNITS, 0, _HELD),
    OperationRow(Operation.CANCEL, _UNITS, 0, _HELD),
    OperationRow(Operation.RECORD_MOVEMENTS, IS_BULK | IS_FACT | HAS_KINDS, 1, _MOVED),
    OperationRow(Operation.SET_ON_HAND, IS_BULK | IS_FACT | WRITES_IF_MOVED, 1, _MOVED, quantity_min=0),
    OperationRow(Operation.SET_POLICY, WRITES_IF_MOVED, 1, 1, quantity_min=0),
    OperationRow(Operation.CHANGE_CATALOG, DECIDED_ELSEWHERE, 0, 0),
    OperationRow(Operation.EXPIRE, CHANGES_RESERVATION | IS_OWN, 0, 0),
    # both were one in format 4, which is remembered still
    OperationRow(Operation.REMEMBER, DECIDED_ELSEWHERE, 0, 0, known_as=Operation.CHANGE_CATALOG),
    OperationRow(Operation.ADVANCE, ADVANCES_DOCUMENT, 0, _ADVANCED),
    OperationRow(
        Operation.REPLACE,
        _CHANGE | SETS_TOTALS | SETS_EXPIRY | HAS_TTL | MERGES_LINES,
        1,
        _HELD,
        known_as=Operation.RESERVE,
    ),
    OperationRow(Operation.ADVANCE_FULFILLMENT, ADVANCES_DOCUMENT, 0, _ADVANCED),
)
assert tuple(row.operation for row in OPERATIONS) == tuple(Operation)
for _row in OPERATIONS:
    assert not _row.traits & (MAKES_RESERVATION | CHANGES_LINES | SETS_EXPIRY) or _row.traits & CHANGES_RESERVATION
    assert bool(_row.traits & CHANGES_LINES) == bool(_row.traits & (SETS_TOTALS | MOVES_HOLD))
    assert not _row.traits & SETS_EXPIRY or _row.traits & HAS_TTL
    assert not _row.traits & IS_OWN or not _row.traits & IS_BULK

# ---- by operation ----------------------------------------------------------------------------------------------------

# Of every number that a record can hold: one that no operation has finds no traits, and no memory of others.
ROWS: Final = 256
assert max(Operation) < ROWS
assert np.iinfo(np.uint16).bits >= TRAIT_BITS


def _column(name: str) -> NDArray[np.uint16]:
    column = np.zeros(ROWS, np.uint16)
    for row in OPERATIONS:
        column[row.operation] = getattr(row, name)
    column.setflags(write=False)
    return column


TRAITS: Final = _column("traits")
LINES_MIN: Final = _column("lines_min")
LINES_MAX: Final = _column("lines_max")
QUANTITY_MIN: Final = _column("quantity_min")
KNOWN_AS: Final = np.arange(ROWS, dtype=np.uint16)
for _row in OPERATIONS:
    KNOWN_AS[_row.operation] = _row.known_as or _row.operation
KNOWN_AS.setflags(write=False)


def those_with(traits: int, without: int = 0) -> NDArray[np.bool_]:
    """Return which operations have one of some traits, and none of others, shape (ROWS,)."""
    found: NDArray[np.bool_] = ((TRAITS & traits) != 0) & ((TRAITS & without) == 0)
    found.setflags(write=False)
    return found


def listed(names: Iterable[str]) -> str:
    """Return names as people say them: A, B and C."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
