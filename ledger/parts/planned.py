"""What the journal says of plans: those that were decided, and what became of them."""

from typing import Final, NamedTuple

import numpy as np

from ledger.parts.part import Change

# Units of a plan that take capacity of a location on a day; days count from 1970-01-01.
BOOKING: Final = np.dtype(
    [("plan", "i4"), ("line", "i4"), ("sku", "i4"), ("location", "i4"), ("day", "i4"), ("pad", "u4"), ("units", "i8")]
)


class Booking(NamedTuple):
    """Units that take capacity of a location on a day."""

    sku: int
    location: int
    day: int
    """Days since 1970-01-01."""
    units: int


class Rejection(NamedTuple):
    """A location that could not fill a sku of an order, and is not asked again until an instant."""

    sku: int
    location: int
    until_us: int


class PlannedOrders(Change, frozen=True, tag="planned"):
    """The plans of one step, as the journal has them; each is named by the seq of the write that holds its units."""

    seqs: bytes
    """int64, rising."""
    reservation_ids: bytes
    """int64; 0: it fills nothing."""
    remembered_seq: int
    """The last of the seqs whose write has a request id; 0: none has."""
    references: list[str]
    """The callers' names of the orders, whom rejections concern; empty: none."""
    bookings: bytes
    """Dtype BOOKING; `plan` is the place in these lists."""
    requests: list[bytes]
    """What was asked, in the words of whoever routes, one each or one for all; as are the following."""
    responses: list[bytes]
    """What was answered."""
    seen: list[bytes]
    """What was decided on; empty: kept no more."""
    view: int
    """The View it was decided over."""
    explained_max: int
    """How many of `seen` its writer keeps."""
    are_columns: bool = False
    """Whether one request has all of the orders."""
    rejections: tuple[Rejection, ...] = ()
    """Those that led to it: their stock levels wait to be counted. Of a single plan only."""
    amended: bytes = b""
    """What else is to be kept of a plan that changes an earlier one."""


class ArrivedUnits(Change, frozen=True, tag="arrived"):
    """Units that a change of a planned hold brought to locations: they take capacity there, as planned ones do."""

    reservation_id: int
    bookings: tuple[Booking, ...]


class View(Change, frozen=True, tag="view"):
    """That plans are made over the network as it is now."""

    number: int
    """Seq of the first of them."""


class RefusedCall(Change, frozen=True, tag="refused"):
    """What a call with a request id was told that was refused: a repeat is told the same."""

    seq: int
    """Of the write that remembers the request id."""
    content: bytes
    """In the words of whoever routes."""


class SuspectLevels(Change, frozen=True, tag="suspect"):
    """Stock levels that wait to be counted from now on: more arrived from there than was said to leave."""

    levels: tuple[tuple[int, int], ...]
    """(sku, location)."""


class CountedLevels(Change, frozen=True, tag="counted"):
    """Stock levels that waited to be counted, and were."""

    levels: tuple[tuple[int, int], ...]
    """(sku, location)."""


def order_of(reference: str, reservation_id: int) -> str:
    """Return whom rejections concern: the caller's order, or the reservation where it has no name."""
    return reference or f"reservation {reservation_id:016x}"


def reservation_of(step: PlannedOrders) -> int:
    """Return the reservation of a step's first plan."""
    return int.from_bytes(step.reservation_ids[:8], "little", signed=True)


AGES: Final = (PlannedOrders, RefusedCall)
"""Changes for each of which some old rows are looked at: dropping keeps up with adding."""
