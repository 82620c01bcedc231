"""Orders for the planning kernel, and what comes of them: rows of a few arrays, so that one call takes a group."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ledger.core.columns import Column

Int64s = NDArray[np.int64]

# ORDER.flags
HOLDS: Final = 1  # what is planned is reserved in the same step
ORDER_HAS_REQUEST_ID: Final = 2
IS_COMPLETE: Final = 4  # filled whole or not at all
IS_SPLIT_FORBIDDEN: Final = 8
IS_EXPLAINED: Final = 16  # what it was decided on is told, though nothing is held
IS_REST: Final = 32  # of an order that was planned before: a line that no location may ever serve is a shortage

ORDER: Final = np.dtype(
    [
        ("flags", "u1"),
        ("strategy", "u1"),
        ("shipments_max", "u1"),
        ("part_count", "u1"),
        ("line_count", "i4"),
        ("line_start", "i4"),
        ("part_start", "i4"),
        ("rejected_start", "i4"),
        ("rejected_count", "i4"),
        ("channel", "i8"),  # row of Problem.is_served, or NONE
        ("ttl_us", "i8"),
        ("request_id_high", "u8"),
        ("request_id_low", "u8"),
        ("content", "u8"),  # hash of what is asked for; 0 without a request id
        ("reservation_id", "i8"),  # hold that becomes the plan's, and whose units are free for it; 0: none
    ]
)
# The lines of an order with one method, store and promise.
PART: Final = np.dtype(
    [
        ("method", "i4"),  # routing.rules.Method
        ("store", "i4"),  # place in the network, or NONE
        ("promise_day", "i4"),  # day number, or NONE
        ("pad", "i4"),
        ("x", "f8"),  # where it goes, on the unit sphere
        ("y", "f8"),
        ("z", "f8"),
        ("ready_us", "i8"),  # when a pickup at the store would be ready
    ]
)
LINE: Final = np.dtype(
    [
        ("sku", "i4"),  # the ledger's index
        ("row", "i4"),  # lines of one sku have one row, from 0
        ("part", "i4"),
        ("number", "i4"),  # position that is told
        ("units", "i8"),
        ("weight", "i8"),  # milligrams
        ("restrictions", "i8"),  # bits
        ("unfilled_cost", "i8"),
        ("name_start", "i4"),  # its sku's id in the text
        ("name_end", "i4"),
    ]
)
REJECTED: Final = np.dtype([("line", "i8"), ("place", "i8")])

# RESULT.code
PLANNED: Final = 0
REPEATED: Final = 1  # the request id is known, or too old to be: nothing was decided
HOPELESS: Final = 2  # a line that no location may ever serve: nothing was held
HOLD_TOO_LONG: Final = 3  # of the hold: nothing was held
NO_ROOM: Final = 4  # the journal entry of the group is large enough: nothing was decided
HOLD_LOST: Final = 5  # the hold that was to become the plan's is none any more: nothing was decided

RESULT: Final = np.dtype(
    [
        ("code", "u1"),
        ("is_kept", "u1"),  # it has a seq of its own
        ("status", "u1"),  # of the command that holds it; OK where there was none
        ("hold_status", "u1"),  # of HOLD_LOST: why
        ("hold_lines", "i4"),
        ("seq", "i8"),
        ("reservation_id", "i8"),
        ("expire_time_us", "i8"),
        ("cost", "i8"),
        ("missing", "i8"),  # units that are not filled
        ("answer_start", "i8"),  # bytes of the PlanFulfillmentResponse
        ("answer_end", "i8"),
        ("seen_start", "i8"),
        ("seen_end", "i8"),
        ("booking_start", "i4"),
        ("booking_end", "i4"),
        ("shipment_start", "i4"),
        ("shipment_end", "i4"),
        ("shortage_start", "i4"),
        ("shortage_end", "i4"),
    ]
)
SHIPMENT: Final = np.dtype(
    [
        ("place", "i4"),  # in the network
        ("part", "i4"),  # of the order
        ("arrival_day", "i4"),
        ("line_count", "i4"),  # its rows of BOOKING
        ("cost", "i8"),
    ]
)
SHORTAGE: Final = np.dtype([("line", "i4"), ("reason", "i4"), ("units", "i8")])


class Orders(NamedTuple):
    """Orders over one network with one profile, all of as many parts."""

    orders: NDArray[np.void]
    """Dtype ORDER."""
    parts: NDArray[np.void]
    """Dtype PART."""
    lines: NDArray[np.void]
    """Dtype LINE."""
    rejected: NDArray[np.void]
    """Dtype REJECTED."""
    text: NDArray[np.uint8]
    """Ids of skus, UTF-8, end to end."""


class LevelRows(NamedTuple):
    """Where the stock levels of a sku are in the ledger, for all places of a network: looked up once for many orders.

    A row of the ledger never moves. What was not there is looked for again once the ledger has more levels.
    """

    sku: NDArray[np.int32]
    """Shape (slots,): index of the sku plus one that has slot `index % slots`; 0: none has."""
    level_count: NDArray[np.int64]
    """Shape (slots,): levels that the ledger had when they were looked up."""
    row: NDArray[np.int32]
    """Shape (slots, M): row of the level, or -1."""


LEVEL_ROWS_BYTES: Final = 64 * 1024 * 1024


def level_rows(places: int) -> LevelRows:
    """Return empty rows for a network of so many places; memory is taken as they are used."""
    slots = max(1, LEVEL_ROWS_BYTES // (4 * places))
    columns = Column("i4", rows=slots), Column("i8", rows=slots), Column("i4", rows=slots, width=places)
    return LevelRows(*(column.array[:slots] for column in columns))


class Names(NamedTuple):
    """What answers say of a network, and where its places are in the ledger."""

    location: NDArray[np.int64]
    """Shape (M,): the ledger's index of each place."""
    levels: LevelRows
    text: NDArray[np.uint8]
    """Ids of the locations, UTF-8, end to end; then profile, then currency."""
    start: NDArray[np.int64]
    """Shape (M + 3,): where each begins; M: the profile, M + 1: the currency, M + 2: the end."""
    network_version: int


class Results(NamedTuple):
    """What came of the orders."""

    results: NDArray[np.void]
    """Dtype RESULT."""
    bookings: NDArray[np.void]
    """Dtype BOOKING of the ledger's plans; `plan` is the position of the order."""
    shipments: NDArray[np.void]
    """Dtype SHIPMENT."""
    shortages: NDArray[np.void]
    """Dtype SHORTAGE."""
    answers: NDArray[np.uint8]
    """Bytes of the answers."""
    seen: NDArray[np.uint8]
    """Bytes of what was decided on."""
    cursor: NDArray[np.int64]
    """Shape (RESULT_CURSORS,): rows and bytes used so far."""


BOOKINGS: Final = 0
SHIPMENTS: Final = 1
SHORTAGES: Final = 2
ANSWER_TEXT: Final = 3
SEEN: Final = 4
RESULT_CURSORS: Final = 5

# What was decided on, see `engine.planner.seen`: how it begins, and what an order can take of it at most.
SEEN_WIDTHS: Final = 4  # bytes
SEEN_COUNTS: Final = 3  # int32
SEEN_FACTS: Final = 3  # int64, of each line
SEEN_BYTES: Final = 64
SEEN_LINE_BYTES: Final = 32
SEEN_REJECTED_BYTES: Final = 8
assert SEEN_WIDTHS + 4 * SEEN_COUNTS <= SEEN_BYTES
assert 8 * SEEN_FACTS <= SEEN_LINE_BYTES
assert SEEN_REJECTED_BYTES >= 2 * 4
SEEN_BYTES_MAX: Final = 64 * 1024
"""Of one order; a larger one is planned, and not explained later. A line takes a byte at each location, as a rule."""
GROUP_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of plans in one journal entry, before one more run of the kernel, which adds at most about as much again."""
