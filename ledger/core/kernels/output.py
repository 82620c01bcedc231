"""Where a batch's results go: records for the journal, outcomes and details for the callers."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ledger.core.kernels import helper
from ledger.core.kernels.packed import opener
from ledger.core.limits import DETAIL_QUANTITY_MAX as QUANTITY_TOLD_MAX
from ledger.core.records import DETAIL, MOVEMENT, RECORDED, RECORDED_DETAIL, RECORDED_REQUEST

# Positions in Output.cursor: rows used so far.
RECORDS: Final = 0
REQUESTS: Final = 1
MOVEMENTS: Final = 2
DETAILS: Final = 3
ANSWERS: Final = 4
CURSORS: Final = 5


class Output(NamedTuple):
    """Arrays with room for all that a batch can cause."""

    records: NDArray[np.void]
    requests: NDArray[np.void]
    movements: NDArray[np.void]
    details: NDArray[np.void]
    answers: NDArray[np.void]
    cursor: NDArray[np.int64]


class Work(NamedTuple):
    """Scratch rows of one command: one for each line, given or implied."""

    levels: NDArray[np.int32]
    """Stock level concerned; of a transfer, where the units leave."""
    to_levels: NDArray[np.int32]
    """Stock level where the units arrive, or -1."""
    held: NDArray[np.int32]
    """Line of the reservation, or -1."""
    places: NDArray[np.int32]
    """Position that details name; of a transfer, the line of the reservation where units arrive, or -1; of movements, a
    hash table of lines or levels, with room for two of each line."""
    amounts: NDArray[np.int64]


def new_work(rows: int) -> Work:
    """Return scratch for commands of so many lines."""
    levels, to_levels, held = (np.zeros(rows, np.int32) for _ in range(3))
    return Work(levels, to_levels, held, places=np.zeros(2 * rows, np.int32), amounts=np.zeros(rows, np.int64))


OUTPUT_DTYPES: Final = (RECORDED, RECORDED_REQUEST, MOVEMENT, RECORDED_DETAIL, DETAIL)
"""Of the columns of an Output, in the order of the cursor."""
assert len(OUTPUT_DTYPES) == CURSORS

output_of: Final = opener(Output._make((*(np.zeros(0, dtype) for dtype in OUTPUT_DTYPES), np.zeros(CURSORS, np.int64))))
"""Open what was packed of an Output."""
work_of: Final = opener(new_work(0))
"""Open what was packed of a Work."""


@helper
def emit(out, level, kind, reason, quantity):
    """Write one MOVEMENT."""
    movement = out.movements[out.cursor[MOVEMENTS]]
    movement.level = level
    movement.kind = kind
    movement.reason = reason
    movement.change = 0
    movement.quantity = quantity
    out.cursor[MOVEMENTS] += 1


@helper
def answer(out, line, level, requested, quantity):
    """Write one DETAIL."""
    detail = out.answers[out.cursor[ANSWERS]]
    detail.line = line
    detail.level = level
    detail.requested = requested
    detail.quantity = min(np.int64(quantity), np.int64(QUANTITY_TOLD_MAX))
    out.cursor[ANSWERS] += 1


@helper
def clear_table(places, count):
    """Empty a hash table for `count` entries, of numbers above 0; returns the mask of its places, two for each."""
    size = np.int64(2)
    while size < 2 * count:
        size *= 2
    places[:size] = 0
    return size - 1
