"""What clients asked and what they were told, with the times, for the checker.

An operation is one wish of one client. It is invoked once, tried as often as its client likes under one request id, and
ends in one of three ways: `ok`, the engine decided (a refusal such as missing stock is a decision); `fail`, every try
was refused as not done; `unknown`, some try got no answer, and none an answer later.
"""

import threading
from collections import deque
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

Triple = tuple[str, str, int]
"""sku, location, units."""
OK: Final = "OK"
ACKNOWLEDGED_MAX: Final = 10_000
"""Writes that `History.wait_for_write` looks at."""


class Ask(StrEnum):
    """What an operation does: writes first, with the names of the contract's operations, then reads."""

    RESERVE = "RESERVE"
    COMMIT = "COMMIT"
    RELEASE = "RELEASE"
    EXTEND = "EXTEND"
    AMEND = "AMEND"
    TRANSFER = "TRANSFER"
    FULFILL = "FULFILL"
    CANCEL = "CANCEL"
    RECORD_MOVEMENTS = "RECORD_MOVEMENTS"
    SET_ON_HAND = "SET_ON_HAND"
    REPLACE = "REPLACE"
    CREATE_TRANSFER = "CREATE_TRANSFER"
    DISPATCH_TRANSFER = "DISPATCH_TRANSFER"
    RECEIVE_TRANSFER = "RECEIVE_TRANSFER"
    CLOSE_TRANSFER = "CLOSE_TRANSFER"
    RECORD_FOUND_UNITS = "RECORD_FOUND_UNITS"
    CANCEL_TRANSFER = "CANCEL_TRANSFER"
    PLAN_FULFILLMENT = "PLAN_FULFILLMENT"
    PLAN_ORDERS = "PLAN_ORDERS"
    """The same, of one order in columns."""
    REJECT_ASSIGNMENT = "REJECT_ASSIGNMENT"
    CREATE_FULFILLMENT_ORDER = "CREATE_FULFILLMENT_ORDER"
    ADVANCE_FULFILLMENT_ORDER = "ADVANCE_FULFILLMENT_ORDER"
    AVAILABILITY = "AVAILABILITY"
    LEVEL = "LEVEL"
    RESERVATION = "RESERVATION"
    SHIPMENT = "SHIPMENT"
    """One transfer."""
    WORK = "WORK"
    """One fulfillment order."""

    @property
    def is_read(self) -> bool:
        """Whether it changes nothing."""
        return self in (Ask.AVAILABILITY, Ask.LEVEL, Ask.RESERVATION, Ask.SHIPMENT, Ask.WORK)

    @property
    def is_of_transfer(self) -> bool:
        """Whether it is a verb of a transfer."""
        return self in OF_TRANSFERS

    @property
    def is_of_work(self) -> bool:
        """Whether it is a verb of a fulfillment order."""
        return self in (Ask.CREATE_FULFILLMENT_ORDER, Ask.ADVANCE_FULFILLMENT_ORDER)

    @property
    def is_of_document(self) -> bool:
        """Whether it is a verb of either."""
        return self.is_of_transfer or self.is_of_work

    @property
    def makes_document(self) -> bool:
        """Whether there is one more then."""
        return self in (Ask.CREATE_TRANSFER, Ask.CREATE_FULFILLMENT_ORDER)

    @property
    def is_routed(self) -> bool:
        """Whether routing decides it, of which no oracle is here: what it held is taken from the journal."""
        return self.is_plan or self is Ask.REJECT_ASSIGNMENT

    @property
    def is_plan(self) -> bool:
        """Whether routing decides where an order is held."""
        return self in (Ask.PLAN_FULFILLMENT, Ask.PLAN_ORDERS)

    @property
    def operations(self) -> tuple[str, ...]:
        """Names of the ledger's operations that may come of it."""
        if self.is_routed:
            return "REMEMBER", "RESERVE" if self.is_plan else "AMEND"
        if self.is_of_work:
            return ("ADVANCE_FULFILLMENT",)
        return ("ADVANCE" if self.is_of_transfer else self.value,)


OF_TRANSFERS: Final = (
    Ask.CREATE_TRANSFER,
    Ask.DISPATCH_TRANSFER,
    Ask.RECEIVE_TRANSFER,
    Ask.CLOSE_TRANSFER,
    Ask.RECORD_FOUND_UNITS,
    Ask.CANCEL_TRANSFER,
)


class Asked(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was asked; equal content and request id is a repeat."""

    ask: Ask
    request_id: str = ""
    lines: tuple[Triple, ...] = ()
    """Of AMEND the new totals, of SET_ON_HAND the counts, of reads without units, of transfers without locations."""
    reservation_id: str = ""
    """Of REJECT_ASSIGNMENT what from_location rejects; of documents that are there, of SHIPMENT and of WORK, the
    document; of those that begin, the order that they are for."""
    ttl_us: int = 0
    allow_partial: bool = False
    expected_version: int = 0
    to_location: str = ""
    """Of TRANSFER and CREATE_TRANSFER, and of movements that are transfers."""
    from_location: str = ""
    """Of TRANSFER and CREATE_TRANSFER; TRANSFER without lines moves all that is open there."""
    movement: str = ""
    """Of RECORD_MOVEMENTS: RECEIVE, SALE, ADJUST or TRANSFER."""
    is_held: bool = False
    """Of CREATE_TRANSFER."""
    condition: str = ""
    """Of the lines of RECEIVE_TRANSFER: GOOD or SHORT."""
    verb: str = ""
    """Of ADVANCE_FULFILLMENT_ORDER."""


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a client was told, in the same words whichever way it asked; what was not told is empty."""

    reason: str = OK
    """OK, or the reason of the refusal."""
    seq: int = 0
    reservation_id: str = ""
    state: int = 0
    version: int = 0
    time_us: int = 0
    """When a hold ends."""
    shortages: tuple[tuple[str, str, int, int], ...] = ()
    """sku, location, requested, available."""
    oversold: tuple[Triple, ...] = ()
    values: tuple[tuple[str | int, ...], ...] = ()
    """What a read showed, one row for each level or line."""


class Event(msgspec.Struct):
    """One operation of one client. Times are those of this machine's monotonic clock, seconds."""

    client: str
    asked: Asked
    invoke: float
    end: float | None = None
    outcome: str = "unknown"
    answer: Answer | None = None
    engine: str = ""
    """Address of the engine that answered; empty where the client package chose it."""
    try_count: int = 0
    is_repeat: bool = False
    """Asked again on purpose after it was answered: told the same, or REQUEST_ID_REUSED for other content."""


class History:
    """All operations of all clients; any thread may add to it and wait for what it needs."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._acknowledged: deque[Event] = deque(maxlen=ACKNOWLEDGED_MAX)
        self._news = threading.Condition()

    def invoke(self, event: Event) -> None:
        """Keep an operation that begins."""
        with self._news:
            self.events.append(event)

    def finish(self, event: Event, outcome: str, end: float, answer: Answer | None = None, engine: str = "") -> None:
        """Say how an operation ended."""
        with self._news:
            event.outcome, event.end, event.answer, event.engine = outcome, end, answer, engine
            if outcome == "ok" and not event.asked.ask.is_read and not event.is_repeat:
                self._acknowledged.append(event)
                self._news.notify_all()

    def wait_for_write(self, after: float, timeout_seconds: float, engine: str = "") -> Event:
        """Return the first write that was acknowledged after an instant, by one engine or any.

        Raises
        ------
        TimeoutError
            There was none in time.
        """
        with self._news:
            found = self._news.wait_for(lambda: self._first_after(after, engine), timeout_seconds)
        if found is None:
            raise TimeoutError(f"no write was acknowledged within {timeout_seconds:g} s")
        return found

    def acknowledged_since(self, instant: float) -> list[Event]:
        """Return the writes that began after an instant and are acknowledged."""
        with self._news:
            return [event for event in self._acknowledged if event.invoke > instant]

    def _first_after(self, after: float, engine: str) -> Event | None:
        """Return the first write that was acknowledged after an instant, of those that are still looked at."""
        found = None
        for event in reversed(self._acknowledged):
            if event.end is None or event.end <= after:
                break
            if engine in ("", event.engine):
                found = event
        return found

    def save(self, path: Path) -> None:
        """Write all operations, one line of JSON each."""
        encoder = msgspec.json.Encoder()
        with path.open("wb") as file:
            file.writelines(encoder.encode(event) + b"\n" for event in self.events)

    @staticmethod
    def load(path: Path) -> "History":
        """Read what `save` wrote."""
        made = History()
        decoder = msgspec.json.Decoder(Event)
        made.events = [decoder.decode(line) for line in path.read_bytes().splitlines()]
        return made
