"""What a ledger says about a stock level and a reservation, read now."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ledger.core.statuses import ReservationState


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


class Violation(NamedTuple):
    """One broken invariant."""

    invariant: str
    subject: str
    expected: int
    actual: int
