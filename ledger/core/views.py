"""What a ledger says about a stock level and a reservation, read now."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ledger.core.statuses import Operation, ReservationState, Status


class LevelView(NamedTuple):
    """One stock level."""

    on_hand: int
    unavailable: dict[int, int]
    """Unavailable reason -> units, those with none left out."""
    reserved: int
    committed: int
    safety_stock: int
    backorder_limit: int


class LineView(NamedTuple):
    """One line of a reservation."""

    sku: int
    location: int
    quantity: int
    """Units asked for or amended to, those fulfilled included."""
    open: int
    """Units reserved (ACTIVE) or committed and not yet fulfilled (COMMITTED)."""
    fulfilled: int


class ReservationView(NamedTuple):
    """One reservation."""

    state: ReservationState
    version: int
    create_time_us: int
    time_us: int
    """Expire time while ACTIVE, else when it ended (COMMITTED with something open: when it was committed)."""
    lines: tuple[LineView, ...]
    """In the order they were added."""


class RequestView(NamedTuple):
    """What is remembered of a request id."""

    operation: Operation
    """REMEMBER counts as CHANGE_CATALOG."""
    status: Status
    state: int
    """Of the reservation or document after it; 0: none."""
    seq: int
    made: int
    """The id of the reservation or document that it made; 0: none."""
    version: int
    """Of what it changed, after it; 0 where details are kept instead."""
    time_us: int
    """Expire time of RESERVE, REPLACE and EXTEND; COMMAND.result; else when it took effect."""
    is_oversold: bool
    details: tuple[tuple[int, int, int, int], ...]
    """(line, level, requested, quantity), see DETAIL."""


class DocumentLineView(NamedTuple):
    """One line of a document."""

    sku: int
    units: tuple[int, ...]
    """By stage, from stage 1 on."""


class DocumentView(NamedTuple):
    """One document; its kind says what states and stages are, see `ledger.core.documents`."""

    kind: int
    state: int
    version: int
    source: int
    target: int
    due_us: int
    """0: none."""
    reservation_id: int
    """That its units are for; 0: none."""
    method: int
    """FulfillmentMethod; 0: it has none."""
    create_time_us: int
    time_us: int
    """Of its last change; of an ended one, when it ended."""
    lines: tuple[DocumentLineView, ...]
    """In the order they were added."""


class DocumentFilter(NamedTuple):
    """Which documents a caller looks for."""

    kind: int
    states: int
    """Bits."""
    methods: int = -1
    """Bits, that of 0 for those that have none."""
    location: int = -1
    """From or to it; -1: any."""
    reservation_id: int = 0
    """That they are for; 0: any, or none."""
    due_before_us: int = 0
    """0: whenever they are due."""


class Scan(NamedTuple):
    """What looking through a bounded number of rows found."""

    rows: NDArray[np.int64]
    """Levels, or slots of reservations."""
    following: int
    """Row from which to go on."""
    visited: int
    """Rows looked at."""


class Counts(NamedTuple):
    """How many of each thing a ledger holds."""

    skus: int
    locations: int
    stock_levels: int
    active_reservations: int
    committed_reservations: int
    ended_reservations: int
    request_ids: int
    open_documents: Mapping[int, int]
    """By DocumentKind."""
    ended_documents: Mapping[int, int]


class Violation(NamedTuple):
    """One broken invariant."""

    invariant: str
    subject: str
    expected: int
    actual: int
