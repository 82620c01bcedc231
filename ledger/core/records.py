"""Shapes of what goes into a ledger and comes out: commands, outcomes, and the records a journal keeps.

A batch of commands is a few arrays, so that a kernel can take it whole:

    commands  one COMMAND for each command
    lines     the LINEs of all commands, those of one command together (line_start, line_count)

`execute(batch, time_us)` answers with

    outcomes  one OUTCOME for each command, in order
    details   the DETAILs of all outcomes, those of one outcome together (detail_start, detail_count)

and with the group of records that was applied, ready for the journal.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

# A line's to_location where units go nowhere else; 0 is a location like others.
NO_LOCATION: Final = -1
# A sku or location that the catalog does not know: this or below, and different for different strings, so that a repeat
# with other content is told apart.
FIRST_UNKNOWN: Final = -2
# TRANSFER without lines: one line with this sku means all that is open at the location.
ANY_SKU: Final = -(2**31)

# COMMAND.flags
ALLOW_PARTIAL: Final = 1  # RESERVE
HAS_REQUEST_ID: Final = 2
VALIDATE_ONLY: Final = 4  # SET_ON_HAND, CHANGE_CATALOG: answered as it would be, a repeat too, and nothing is written
SETS_SAFETY_STOCK: Final = 8  # SET_POLICY: lines[0].quantity is the new safety stock
SETS_BACKORDER_LIMIT: Final = 16  # SET_POLICY: lines[0].to_quantity is the new backorder limit
USES_SAFETY_STOCK: Final = 32  # ADVANCE: units may be taken that the source keeps back

# OUTCOME.flags
IS_STORED: Final = 1  # the stored answer of an earlier command with this request id
IS_OVERSOLD: Final = 2  # a fact was applied that leaves some level oversold: details name them
IS_WRITTEN: Final = 4  # the command has a seq of its own and a record in the journal
IS_ONLY_TOLD: Final = 8  # of VALIDATE_ONLY: what the command would be answered, and nothing was done

COMMAND: Final = np.dtype(
    [
        ("operation", "u1"),
        ("flags", "u1"),
        ("line_count", "u2"),
        ("line_start", "i4"),
        ("expected_version", "i4"),  # 0: any
        ("status", "u1"),  # CHANGE_CATALOG, REMEMBER: what was decided elsewhere, if the request id is new; else 0
        ("reservation_id", "i8"),
        ("ttl_us", "i8"),
        ("request_id_high", "u8"),
        ("request_id_low", "u8"),
        ("content", "u8"),  # hash of what the kernel does not see (a catalog change, reference and actor), else 0
        ("result", "i8"),  # CHANGE_CATALOG, REMEMBER: comes back as OUTCOME.time_us with that status; else 0
    ],
    align=True,
)
# Status and result are an answer, not content: a repeat with others is told the first ones.
#
# The first line of an ADVANCE is its head: `sku` is ANY_SKU, `kind` the verb, `reason` the kind of document. Where the
# document begins, location and to_location are its source and target, quantity when it is due (microseconds since the
# epoch, 0: never), to_quantity the reservation that its units are for (0: none), method how they come to the customer
# (0: it has none), and reservation_id is 0; else it is the document's id. In the lines after it `kind` is the action,
# `reason` an Unavailable or 0, and the locations are NO_LOCATION. No two of them have the same sku, action and reason.

LINE: Final = np.dtype(
    [
        ("sku", "i4"),  # index, or negative: unknown; lines of one command never repeat (sku, location)
        ("location", "i4"),
        ("to_location", "i4"),  # TRANSFER (reservation or movement), else NO_LOCATION
        ("kind", "u1"),  # Kind, of RECORD_MOVEMENTS; verb or action, of ADVANCE; else 0
        ("reason", "u1"),  # Unavailable, where the kind has one; else 0
        ("method", "u2"),  # head of ADVANCE, of a document that begins; else 0
        ("quantity", "i8"),
        ("to_quantity", "i8"),  # SET_POLICY; head of ADVANCE; else 0
    ],
    align=True,
)

OUTCOME: Final = np.dtype(
    [
        ("status", "u1"),
        ("flags", "u1"),
        ("state", "u1"),  # ReservationState after the command, else 0
        ("field", "u1"),  # REQUEST_ID_REUSED: the Field that differs
        # of the reservation or document after the command; VERSION_MISMATCH: what it is; VERB_NOT_ALLOWED: the method
        ("version", "i4"),
        ("seq", "i8"),  # of this write; where nothing was written, the last seq before it
        ("reservation_id", "i8"),
        ("time_us", "i8"),  # RESERVE, REPLACE, EXTEND: expire time; CHANGE_CATALOG, REMEMBER: the result
        ("detail_start", "i4"),
        ("detail_count", "i4"),
    ],
    align=True,
)

# One detail: which line of the command, which stock level (its row), units asked for, and units told.
#
# - INSUFFICIENT_STOCK, QUANTITY_EXCEEDS_OPEN: all short lines, with the level that is short (-1 where the line has
#   none), the units asked for, and those that can be had. A partial RESERVE: the same, status OK. A command without
#   lines counts those of the reservation; a TRANSFER without lines the open ones at the location.
# - Facts that leave levels oversold: each such level once, by the first line that touches it, and by how much.
# - SKU_NOT_FOUND and its like: the first line concerned, quantities 0, level -1; TO_LOCATION if it is the line's
#   to_location that is unknown; where a TRANSFER without lines is NOT_STOCKED_HERE, the level the units would leave.
DETAIL: Final = np.dtype([("line", "i4"), ("level", "i4"), ("requested", "i8"), ("quantity", "i8")], align=True)
NO_LEVEL: Final = -1
TO_LOCATION: Final = -2

# What differed when a request id was used again with other content.
FIELD_NAMES: Final = ("content", "method", "lines", "quantity", "reservation_id", "ttl", "expected_version")

# ---- what the journal keeps: outcomes, so that a replay never decides again ------------------------------------------

# RECORDED.flags
IS_REMEMBERED: Final = 1  # one RECORDED_REQUEST belongs to it
APPLIED_OVERSOLD: Final = 2
ENDS_RESERVATION: Final = 4  # nothing of it is held any more; of ADVANCE: the document has ended

RECORDED: Final = np.dtype(
    [
        ("operation", "u1"),
        ("status", "u1"),
        ("flags", "u1"),
        ("state", "u1"),
        ("line_count", "u2"),  # its MOVEMENTs
        ("detail_count", "u2"),  # its DETAILs, kept only with a request id
        ("version", "i4"),
        ("verb", "u1"),  # of the document that it is of; else 0
        ("pad", "u1"),
        ("more_pad", "u2"),
        ("reservation_id", "i8"),
        ("time_us", "i8"),  # expire time of RESERVE, REPLACE, EXTEND; COMMAND.result; else when it took effect
    ],
    align=True,
)

RECORDED_REQUEST: Final = np.dtype(
    [("request_id_high", "u8"), ("request_id_low", "u8"), ("fingerprint", "u8")], align=True
)

# A line that was applied. STOCK_HERE gives the new row its sku and location through quantity: sku << 32 | location.
MOVEMENT: Final = np.dtype(
    [
        ("level", "i4"),
        ("kind", "u1"),
        ("reason", "u1"),
        ("change", "u2"),  # of a document's line: stage that shrinks << 8 | stage that grows; else 0
        ("quantity", "i8"),
    ],
    align=True,
)
STAGE_BITS: Final = 8
# Of a DOCUMENT movement, `reason` says which field of a document that begins its quantity is; `change` is its kind.
FIELD_PLACES: Final = 1  # source << 32 | target
FIELD_DUE: Final = 2  # microseconds since the epoch, 0: none
FIELD_ORDER: Final = 3  # reservation that its units are for
FIELD_METHOD: Final = 4  # how they come to the customer, FulfillmentMethod

RECORDED_DETAIL: Final = np.dtype(
    [("line", "i4"), ("level", "i4"), ("requested", "i4"), ("pad", "u4"), ("quantity", "i8")], align=True
)


def new_lines(count: int) -> NDArray[np.void]:
    """Return LINEs that say nothing yet."""
    lines = np.zeros(count, LINE)
    lines["to_location"] = NO_LOCATION
    return lines


class Batch(NamedTuple):
    """Commands for one `execute`."""

    commands: NDArray[np.void]
    """Shape (n,), dtype COMMAND."""
    lines: NDArray[np.void]
    """Shape (m,), dtype LINE."""


class Group(NamedTuple):
    """What one `execute` applied: the columns of one journal entry. Record i has seq first_seq + i."""

    first_seq: int
    time_us: int
    forgotten_count: int
    """Oldest request ids forgotten after the last record."""
    recycled_count: int
    """Longest ended reservations recycled after the last record."""
    records: NDArray[np.void]
    """Dtype RECORDED."""
    requests: NDArray[np.void]
    """Dtype RECORDED_REQUEST, one for each record with HAS_REQUEST_ID, in order."""
    movements: NDArray[np.void]
    """Dtype MOVEMENT, line_count of each record, in order."""
    details: NDArray[np.void]
    """Dtype RECORDED_DETAIL, detail_count of each record, in order."""

    @property
    def last_seq(self) -> int:
        """Seq of the last record; first_seq - 1 if there is none."""
        return self.first_seq + len(self.records) - 1


class Answer(NamedTuple):
    """What `execute` says to the callers."""

    outcomes: NDArray[np.void]
    """Shape (n,), dtype OUTCOME."""
    details: NDArray[np.void]
    """Dtype DETAIL."""
