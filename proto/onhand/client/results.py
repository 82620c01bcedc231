"""What calls return: frozen values. Instants are microseconds since 1970 (UTC), and as `datetime` on demand.

They can never be part of a reference cycle, so the garbage collector need not look at them (`gc=False`).
"""

from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any, Final, Self

import msgspec

__all__ = [
    "Changed",
    "EngineStatus",
    "Extended",
    "FulfillmentState",
    "FulfillmentVerb",
    "KeptHistory",
    "LocationAvailability",
    "Movement",
    "MovementType",
    "OversoldLevel",
    "ReceiptCondition",
    "Recorded",
    "RequestOperation",
    "RequestOutcome",
    "RequestState",
    "Reservation",
    "ReservationLine",
    "ReservationState",
    "Reserved",
    "Shortage",
    "SkuAvailability",
    "StockLevel",
    "TransferState",
    "UnavailableReason",
    "time_of",
    "time_us_of",
]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class WireEnum(IntEnum):
    """Values of the wire. One that only a newer engine knows is called OTHER, and keeps its number."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, int):
            return None
        other = int.__new__(cls, value)
        other._name_, other._value_ = "OTHER", value
        return other


class ReservationState(WireEnum):
    """Where a reservation is in its life; the values are those of the wire."""

    NONE = 0
    ACTIVE = 1
    COMMITTED = 2
    RELEASED = 3
    EXPIRED = 4
    FULFILLED = 5
    """Was COMMITTED, and nothing of it is open any more: all of it was fulfilled, or some and the rest cancelled."""
    CANCELLED = 6
    """Was COMMITTED, and all of it was cancelled, or amended away."""


class RequestState(WireEnum):
    """What is known of a request id; the values are those of the wire."""

    NOT_SEEN = 1
    """No write with it was done within the window, so far; of a UUID that is no UUIDv7, it may have been forgotten."""
    TOO_OLD = 2
    """A UUIDv7 from before the window: whether its write was done is known no more, and none will be."""
    DONE = 3
    REFUSED = 4


class RequestOperation(WireEnum):
    """What a write was; the values are those of the wire."""

    NONE = 0
    """Not told: a plan or a rejection that was refused."""
    RESERVE = 1
    COMMIT = 2
    RELEASE = 3
    EXTEND = 4
    AMEND = 5
    TRANSFER = 6
    FULFILL = 7
    CANCEL = 8
    RECORD_MOVEMENTS = 9
    SET_ON_HAND = 10
    SET_STOCK_POLICY = 11
    CHANGE_CATALOG = 12
    PLAN = 13
    REJECT = 14
    CHANGE_TRANSFER = 15
    CHANGE_FULFILLMENT_ORDER = 16


class TransferState(WireEnum):
    """Where a transfer is in its life; the values are those of the wire."""

    NONE = 0
    DRAFT = 1
    READY = 2
    IN_TRANSIT = 3
    PARTIALLY_RECEIVED = 4
    RECEIVED = 5
    CLOSED = 6
    CANCELLED = 7


class FulfillmentState(WireEnum):
    """Where a fulfillment order is in its life; the values are those of the wire."""

    NONE = 0
    OPEN = 1
    ACCEPTED = 2
    PICKING = 3
    PICKED = 4
    PACKED = 5
    READY_FOR_PICKUP = 6
    SHIPPED = 7
    DELIVERED = 8
    COLLECTED = 9
    REJECTED = 10
    CANCELLED = 11
    NOT_COLLECTED = 12


class FulfillmentVerb(WireEnum):
    """What can be done with a fulfillment order; the values are those of the wire."""

    NONE = 0
    ACCEPT = 2
    START_PICKING = 3
    PICK = 4
    PACK = 5
    """What was not picked yet, was."""
    MAKE_READY = 6
    """Of what is collected; what was not picked yet, was."""
    SHIP = 7
    DELIVER = 8
    COLLECT = 9
    REJECT = 10
    """The units are held for their order again; it says nothing of stock."""
    SHORT_PICK = 11
    """Units were looked for and not found: gone from the books, and the stock level waits to be counted."""
    CANCEL = 12
    GIVE_UP_PICKUP = 13
    """The customer did not come."""
    PUT_BACK = 14


class ReceiptCondition(IntEnum):
    """What came of units that were on the way, for the column `conditions`; the values are those of the wire."""

    NONE = 0
    """As GOOD."""
    GOOD = 1
    UNAVAILABLE = 2
    """They arrived, and may not be sold, for an unavailable reason."""
    SHORT = 3
    """They will not arrive: shrinkage."""
    UNEXPECTED = 4
    """They arrived, and nobody sent them."""


class MovementType(WireEnum):
    """What a movement does; the values are those of the wire. `commands.RECORDABLE` are for callers too."""

    RECEIVE = 1
    SALE = 2
    RETURN = 3
    ADJUST = 4
    DAMAGE = 5
    MARK_UNAVAILABLE = 6
    MARK_AVAILABLE = 7
    WRITE_OFF = 8
    TRANSFER = 9
    COUNT = 10
    RESERVE = 11
    COMMIT = 12
    RELEASE = 13
    EXPIRE = 14
    FULFILL = 15
    CANCEL = 16
    TRANSFER_SHORT = 17
    TRANSFER_FOUND = 18
    UNEXPECTED = 19
    MISSING = 20


class UnavailableReason(WireEnum):
    """Why units on hand may not be sold; the values are those of the wire."""

    NONE = 0
    DAMAGED = 1
    QUALITY_HOLD = 2
    QUARANTINE = 3
    DISPLAY = 4
    RETURN_INSPECTION = 5


def time_us_of(time: datetime) -> int:
    """Return a datetime as microseconds since 1970; one without a time zone is a local time, as Python has it."""
    return (time.astimezone(UTC) - EPOCH) // timedelta(microseconds=1)


def time_of(time_us: int) -> datetime:
    """Return an instant, microseconds since 1970, as a datetime of UTC."""
    return EPOCH + timedelta(microseconds=time_us)


# ---- of writes -------------------------------------------------------------------------------------------------------


class Shortage(msgspec.Struct, frozen=True, gc=False):
    """A line that could not be had in full."""

    sku_id: str
    location_id: str
    requested: int
    available: int
    line: int
    """Position of the line, from 0, in the call or, if that had none, in the reservation; repeats not counted."""

    @classmethod
    def of(cls, message: Any) -> Self:
        """Return the shortage of a message."""
        return cls(message.sku_id, message.location_id, message.requested, message.available, message.line)


class Reserved(msgspec.Struct, frozen=True, gc=False):
    """A reservation that was made, or that has other lines."""

    reservation_id: str
    expire_time_us: int
    """The instant from which the hold no longer counts."""
    seq: int
    """Position of this write in the ledger's order."""
    shortages: tuple[Shortage, ...] = ()
    """With allow_partial, the lines that could not be had in full."""
    version: int = 1
    """Of the reservation."""

    @property
    def expire_time(self) -> datetime:
        """The instant from which the hold no longer counts."""
        return time_of(self.expire_time_us)


class Extended(msgspec.Struct, frozen=True, gc=False):
    """A reservation whose end was set anew."""

    expire_time_us: int
    version: int
    seq: int

    @property
    def expire_time(self) -> datetime:
        """The instant from which the hold no longer counts."""
        return time_of(self.expire_time_us)


class Changed(msgspec.Struct, frozen=True, gc=False):
    """A reservation after a change."""

    state: ReservationState
    version: int
    seq: int


class OversoldLevel(msgspec.Struct, frozen=True, gc=False):
    """A stock level that a fact left short of what is promised."""

    sku_id: str
    location_id: str
    oversold: int


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """Movements or counts that were recorded."""

    seq: int
    oversold_levels: tuple[OversoldLevel, ...] = ()

    @property
    def applied_oversold(self) -> bool:
        """Whether some level is now oversold; it was recorded all the same, since it is a fact."""
        return bool(self.oversold_levels)


# ---- of reads --------------------------------------------------------------------------------------------------------


class ReservationLine(msgspec.Struct, frozen=True, gc=False):
    """One line of a reservation."""

    sku_id: str
    location_id: str
    quantity: int
    open_quantity: int
    fulfilled_quantity: int


class Reservation(msgspec.Struct, frozen=True, gc=False):
    """A hold of stock. Instants are microseconds since 1970."""

    reservation_id: str
    state: ReservationState
    lines: tuple[ReservationLine, ...]
    version: int
    create_time_us: int
    expire_time_us: int | None
    """When an ACTIVE one stops counting."""
    end_time_us: int | None
    """When it was committed, released or expired, or when nothing of it was open any more."""
    reference: str = ""
    """Of the write that made it, a reservation or a plan."""
    actor: str = ""
    """Who made it."""
    commit_reference: str = ""
    """Of the write that committed it, where it is another one."""
    methods: tuple[str, ...] = ()
    """How the lines of its plan reach the customer: names of FulfillmentMethod. Empty where no plan made it."""

    @property
    def create_time(self) -> datetime:
        """When it was made."""
        return time_of(self.create_time_us)

    @property
    def expire_time(self) -> datetime | None:
        """When an ACTIVE one stops counting."""
        return None if self.expire_time_us is None else time_of(self.expire_time_us)

    @property
    def end_time(self) -> datetime | None:
        """When it was committed, released or expired."""
        return None if self.end_time_us is None else time_of(self.end_time_us)


class KeptHistory(msgspec.Struct, frozen=True, gc=False):
    """Which positions of the history the engine that answered still has."""

    first_seq: int
    """Movements before this position are not kept."""
    missing: tuple[tuple[int, int], ...]
    """First and last position of each part after it that is missing: another engine wrote it, and may have it."""
    seq: int
    """Position in the ledger's order that this answer reflects."""

    def has(self, start_seq: int) -> bool:
        """Whether a history from a position on is whole."""
        return start_seq >= self.first_seq and all(last < start_seq for _, last in self.missing)


class RequestOutcome(msgspec.Struct, frozen=True, gc=False):
    """What became of a write, as far as its request id keeps it. Instants are microseconds since 1970."""

    state: RequestState
    operation: RequestOperation
    write_seq: int
    """Position of the write in the ledger's order; 0 where it is not remembered."""
    write_time_us: int | None
    """When it took effect, where that is known."""
    reservation_id: str
    """The reservation that it made, or whose plan it changed; empty for none."""
    expire_time_us: int | None
    """When the hold ended, as it was made or extended."""
    transfer_id: str
    """The transfer that it made; empty for none."""
    plan_id: str
    """The plan that it made; empty for none."""
    reservation_state: ReservationState
    """Of the reservation after it."""
    version: int
    """Of the reservation, transfer or fulfillment order after it; 0 where that is not kept."""
    applied_oversold: bool
    shortages: tuple[Shortage, ...]
    """Lines that were short: of one that was refused, or of one with allow_partial."""
    reason: str
    """Why it was refused, such as "INSUFFICIENT_STOCK"; empty unless it was."""
    message: str
    """The same for people, where it is kept."""
    seq: int
    """Position in the ledger's order that this answer reflects."""
    fulfillment_order_id: str = ""
    """The fulfillment order that it made; empty for none."""

    @property
    def is_done(self) -> bool:
        """Whether the write was done."""
        return self.state is RequestState.DONE

    @property
    def write_time(self) -> datetime | None:
        """When it took effect, where that is known."""
        return None if self.write_time_us is None else time_of(self.write_time_us)

    @property
    def expire_time(self) -> datetime | None:
        """When the hold ended, as it was made or extended."""
        return None if self.expire_time_us is None else time_of(self.expire_time_us)


class LocationAvailability(msgspec.Struct, frozen=True, gc=False):
    """What can be promised of one sku at one location."""

    location_id: str
    available: int
    oversold: int


class SkuAvailability(msgspec.Struct, frozen=True, gc=False):
    """What can be promised of one sku; `available` is the sum over the locations."""

    sku_id: str
    available: int
    locations: tuple[LocationAvailability, ...]
    """Empty with totals_only."""


class StockLevel(msgspec.Struct, frozen=True, gc=False):
    """The stock of one sku at one location, units."""

    sku_id: str
    location_id: str
    on_hand: int
    unavailable: int
    unavailable_by_reason: dict[UnavailableReason, int]
    reserved: int
    committed: int
    safety_stock: int
    backorder_limit: int
    available: int
    oversold: int
    suspect_time_us: int | None = None
    """Since when it waits to be counted, because its location could not fill an order; None if it does not."""

    @property
    def suspect_time(self) -> datetime | None:
        """Since when it waits to be counted."""
        return None if self.suspect_time_us is None else time_of(self.suspect_time_us)


class Movement(msgspec.Struct, frozen=True, gc=False):
    """One immutable entry of the ledger."""

    seq: int
    line: int
    type: MovementType
    sku_id: str
    location_id: str
    quantity: int
    unavailable_reason: UnavailableReason
    reservation_id: str
    effective_time_us: int
    reference: str
    actor: str
    transfer_id: str = ""
    """The transfer that moved them; empty for none."""
    fulfillment_order_id: str = ""
    """The fulfillment order that moved them; empty for none."""

    @property
    def effective_time(self) -> datetime:
        """When it happened."""
        return time_of(self.effective_time_us)


class EngineStatus(msgspec.Struct, frozen=True, gc=False):
    """Positions, counts and settings of the engine; see GetStatusResponse."""

    version: str
    transport: str
    durability: str
    epoch: int
    seq_durable: int
    location_count: int
    sku_count: int
    stock_level_count: int
    active_reservation_count: int
    committed_reservation_count: int
    request_id_count: int
    request_window_seconds: int
    start_time_us: int
    warnings: tuple[str, ...]
    open_transfer_count: int = 0
    """Of an engine that does not tell it, 0."""
    open_fulfillment_order_count: int = 0
    """The same."""

    @property
    def start_time(self) -> datetime:
        """When the engine's process started."""
        return time_of(self.start_time_us)
