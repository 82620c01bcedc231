"""The plain oracle, replaying the writes of a history in the journal's order and at the journal's times."""

import heapq
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from ledger.core.records import (
    ALLOW_PARTIAL,
    ANY_SKU,
    COMMAND,
    HAS_REQUEST_ID,
    IS_OVERSOLD,
    LINE,
    NO_LOCATION,
    Batch,
)
from ledger.core.records import (
    Answer as LedgerAnswer,
)
from ledger.core.statuses import (
    DocumentKind,
    FulfillmentAction,
    FulfillmentMethod,
    FulfillmentStage,
    FulfillmentVerb,
    Kind,
    Operation,
    ReservationState,
    Status,
    TransferAction,
    TransferStage,
    TransferVerb,
)
from ledger.oracle.books import Command as OracleCommand
from ledger.oracle.books import Reservation, Result, Wanted
from ledger.oracle.stock import OracleLedger
from ledger.parts.resources import Location, Sku

from .history import OK, Answer, Ask, Asked
from .journal import JournalEntry, Written

HOUR_US: Final = 3_600_000_000
KINDS: Final = {
    "RECEIVE": Kind.RECEIVE,
    "SALE": Kind.SALE,
    "ADJUST": Kind.ADJUST,
    "TRANSFER": Kind.TRANSFER_OUT,
}
NO_COMMANDS: Final = Batch(np.zeros(0, COMMAND), np.zeros(0, LINE))
UNKNOWN_RESERVATION: Final = -1
VERBS: Final = {
    Ask.CREATE_TRANSFER: TransferVerb.CREATE,
    Ask.DISPATCH_TRANSFER: TransferVerb.DISPATCH,
    Ask.RECEIVE_TRANSFER: TransferVerb.RECEIVE,
    Ask.CLOSE_TRANSFER: TransferVerb.CLOSE,
    Ask.RECORD_FOUND_UNITS: TransferVerb.FIND,
    Ask.CANCEL_TRANSFER: TransferVerb.CANCEL,
}
ACTIONS: Final = {
    Ask.DISPATCH_TRANSFER: TransferAction.SEND,
    Ask.RECEIVE_TRANSFER: TransferAction.ACCEPT,
    Ask.RECORD_FOUND_UNITS: TransferAction.FIND,
    Ask.CANCEL_TRANSFER: TransferAction.LOSE,
}
"""What lines say, but for those of CREATE_TRANSFER and of what is SHORT."""
OF_WORK: Final = {
    "PICK": FulfillmentAction.PICK,
    "SHIP": FulfillmentAction.SHIP,
    "REJECT": FulfillmentAction.REJECT,
    "SHORT_PICK": FulfillmentAction.MISS,
    "CANCEL": FulfillmentAction.CANCEL,
    "PUT_BACK": FulfillmentAction.PUT_BACK,
}
"""What lines say of a verb of fulfillment orders."""
STAGES: Final = {
    DocumentKind.TRANSFER: len(TransferStage),
    DocumentKind.FULFILLMENT_ORDER: len(FulfillmentStage),
}


class _Oracle(OracleLedger):
    """The oracle, which looks for holds to expire and ids to forget only when there can be any.

    It does so with every group, over all that it has: minutes for the history of a run. What it then does is its own.
    """

    def __init__(self) -> None:
        super().__init__(request_window_us=HOUR_US, retention_us=HOUR_US)
        self._ends: list[int] = []
        self._start_us = 0

    def _expire(self) -> None:
        if self._ends and self._ends[0] <= self.time_us:
            while self._ends and self._ends[0] <= self.time_us:
                heapq.heappop(self._ends)
            super()._expire()

    def _forget(self) -> None:
        self._start_us = self._start_us or self.time_us
        if self.time_us - self._start_us > HOUR_US:
            super()._forget()

    def _create(self, granted: list[Wanted], ttl_us: int) -> Reservation:
        heapq.heappush(self._ends, self.time_us + ttl_us)
        return super()._create(granted, ttl_us)

    def _extend(self, command: OracleCommand) -> Result:
        heapq.heappush(self._ends, self.time_us + command.ttl_us)
        return super()._extend(command)

    def _replace(self, command: OracleCommand) -> Result:
        heapq.heappush(self._ends, self.time_us + command.ttl_us)
        return super()._replace(command)


class Replay:
    """What the ledger must have answered, write by write, and what reads must have shown after each entry.

    Reservations have other ids in the oracle; those of the journal are learned when they are made.
    """

    def __init__(self) -> None:
        self.oracle = _Oracle()
        self.skus: dict[str, int] = {}
        self.locations: dict[str, int] = {}
        self._own_ids: dict[str, int] = {}
        self._their_ids: dict[int, str] = {}
        self._documents: dict[str, int] = {}
        self._kinds: dict[str, DocumentKind] = {}

    # ---- writes

    def begin(self, entry: JournalEntry) -> None:
        """Take in what comes with an entry of the journal, and let its time come."""
        for resource in entry.resources:
            self._define(resource)
        self.oracle.seq += entry.skipped_count
        self.oracle.execute(NO_COMMANDS, entry.time_us)

    def run(self, entry: JournalEntry, asked: Asked | None) -> Answer:
        """Run one write of the entry that has begun, and return what its caller must have been told.

        None stands for what changes nothing of the ledger: a change of the catalog, and what is only remembered.
        """
        row, lines = self._command(asked)
        commands = np.array([(*row[:2], len(lines), 0, *row[2:])], COMMAND)
        answer = self.oracle.execute(Batch(commands, np.array(lines, LINE)), entry.time_us)
        return self._answer(asked, answer)

    def as_decided(self, asked: Asked, written: Written) -> Asked:
        """Return what routing decided for a caller as what it did to the hold: where, and how many units."""
        moved: Counter[tuple[str, str]] = Counter()
        for row, kind, _, units in written.movements:
            moved[self._names(row)] += units if kind in (Kind.RESERVE, Kind.COMMIT_FREE) else -units
        totals = moved
        if asked.ask is Ask.REJECT_ASSIGNMENT:
            view = self.oracle.reservation(self._own_ids.get(asked.reservation_id, UNKNOWN_RESERVATION))
            skus, locations = list(self.skus), list(self.locations)
            there = view.lines if view else ()
            # A new total is what a line holds and held: where a part was committed, the rest went back.
            held = {(skus[line.sku], locations[line.location]): line.open + line.fulfilled for line in there}
            totals = Counter({level: held.get(level, 0) + units for level, units in moved.items()})
        lines = tuple((*level, units) for level, units in totals.items())
        ask = Ask.RESERVE if asked.ask.is_plan else Ask.AMEND
        return Asked(ask, asked.request_id, lines, asked.reservation_id, ttl_us=asked.ttl_us)

    def _define(self, resource: Any) -> None:
        if isinstance(resource, Location):
            index = self.oracle.define_location(resource.location_id, resource.active)
            self.locations[resource.location_id] = index
        elif isinstance(resource, Sku):
            self.skus[resource.sku_id] = self.oracle.define_sku(resource.sku_id)

    def learn(self, reservation_id: str) -> bool:
        """Take the id that the journal gave to the oracle's next unnamed reservation; False if it is not fresh."""
        number = len(self._own_ids) + 1
        is_fresh = reservation_id not in self._own_ids
        self._own_ids[reservation_id] = number
        self._their_ids[number] = reservation_id
        return is_fresh

    def learn_document(self, name: str, number: int, kind: DocumentKind) -> bool:
        """Take the id that the journal gave to a document of the oracle; False if it is not fresh."""
        is_fresh = name not in self._documents
        self._documents[name], self._kinds[name] = number, kind
        return is_fresh

    def _command(self, asked: Asked | None) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
        """Return COMMAND without line_count and line_start, and its LINEs."""
        if asked is None:
            return (Operation.REMEMBER, 0, 0, int(Status.OK), 0, 0, 0, 0, 0, 0), []
        flags = HAS_REQUEST_ID | (ALLOW_PARTIAL if asked.allow_partial else 0)
        number = int(asked.request_id.replace("-", ""), 16)
        reservation = self._own_ids.get(asked.reservation_id, UNKNOWN_RESERVATION) if asked.reservation_id else 0
        halves = number >> 64, number & (2**64 - 1)
        if asked.ask.is_of_document:
            named = self._documents.get(asked.reservation_id, UNKNOWN_RESERVATION)
            named = 0 if asked.ask.makes_document else named
            operation = Operation.ADVANCE if asked.ask.is_of_transfer else Operation.ADVANCE_FULFILLMENT
            row = (operation, flags, asked.expected_version, 0, named, 0, *halves, 0, 0)
            lines = self._lines_of_transfer if asked.ask.is_of_transfer else self._lines_of_work
            return row, lines(asked, reservation)
        row = (Operation[asked.ask], flags, asked.expected_version, 0, reservation, asked.ttl_us, *halves, 0, 0)
        return row, self._lines(asked)

    def _lines(self, asked: Asked) -> list[tuple[int, ...]]:
        target = self.locations[asked.to_location] if asked.to_location else NO_LOCATION
        kind = KINDS[asked.movement] if asked.movement else 0
        if asked.ask is Ask.TRANSFER and not asked.lines:
            return [(ANY_SKU, self.locations[asked.from_location], target, 0, 0, 0, 0, 0)]
        return [
            (self.skus[sku], self.locations[location], target, kind, 0, 0, units, 0)
            for sku, location, units in asked.lines
        ]

    def _lines_of_transfer(self, asked: Asked, order: int) -> list[tuple[int, ...]]:
        places, order = (NO_LOCATION, NO_LOCATION), 0 if asked.ask is not Ask.CREATE_TRANSFER else order
        if asked.ask is Ask.CREATE_TRANSFER:
            places = self.locations[asked.from_location], self.locations[asked.to_location]
            action = TransferAction.HOLD if asked.is_held or order else TransferAction.PLAN
        else:
            action = TransferAction.LOSE if asked.condition == "SHORT" else ACTIONS.get(asked.ask, TransferAction.SEND)
        head = (ANY_SKU, *places, VERBS[asked.ask], DocumentKind.TRANSFER, 0, 0, order)
        nowhere = NO_LOCATION, NO_LOCATION
        return [head, *((self.skus[sku], *nowhere, action, 0, 0, units, 0) for sku, _, units in asked.lines)]

    def _lines_of_work(self, asked: Asked, order: int) -> list[tuple[int, ...]]:
        nowhere = NO_LOCATION, NO_LOCATION
        kind = DocumentKind.FULFILLMENT_ORDER
        if asked.ask is Ask.CREATE_FULFILLMENT_ORDER:
            at = self.locations[asked.from_location]
            head = (ANY_SKU, at, at, FulfillmentVerb.CREATE, kind, FulfillmentMethod.SHIP, 0, order)
            action = FulfillmentAction.ASSIGN
        else:
            head = (ANY_SKU, *nowhere, FulfillmentVerb[asked.verb], kind, 0, 0, 0)
            action = OF_WORK.get(asked.verb, FulfillmentAction.PICK)
        return [head, *((self.skus[sku], *nowhere, action, 0, 0, units, 0) for sku, _, units in asked.lines)]

    def _answer(self, asked: Asked | None, answer: LedgerAnswer) -> Answer:
        """Return an outcome of the oracle in the words that clients hear."""
        outcome = answer.outcomes[0]
        status, seq = Status(int(outcome["status"])), int(outcome["seq"])
        start, count = int(outcome["detail_start"]), int(outcome["detail_count"])
        details = answer.details[start : start + count].tolist()
        if asked is None:
            return Answer(seq=seq)
        if status is not Status.OK:
            is_short = status in (Status.INSUFFICIENT_STOCK, Status.QUANTITY_EXCEEDS_OPEN)
            return Answer(
                reason=status.name,
                seq=seq,
                version=int(outcome["version"]),
                shortages=self._shortages(asked, details) if is_short else (),
            )
        is_oversold = bool(outcome["flags"] & IS_OVERSOLD)
        return Answer(
            seq=seq,
            reservation_id=str(int(outcome["reservation_id"]))
            if asked.ask is Ask.RESERVE or asked.ask.makes_document
            else "",
            state=int(outcome["state"]),
            version=int(outcome["version"]),
            time_us=0 if asked.ask.is_of_document else int(outcome["time_us"]),
            shortages=() if is_oversold else self._shortages(asked, details),
            oversold=tuple((*self._names(row), units) for _, row, _, units in details) if is_oversold else (),
        )

    def _shortages(
        self, asked: Asked, details: Iterable[tuple[int, int, int, int]]
    ) -> tuple[tuple[str, str, int, int], ...]:
        told = []
        head = int(asked.ask.is_of_document)
        for line, row, requested, available in ((row[0] - head, *row[1:]) for row in details):
            if line < 0:  # about the document
                return ()
            names = self._names(row) if row >= 0 else asked.lines[line][:2] if asked.lines else ("", "")
            told.append((*names, requested, available))
        return tuple(told)

    def _names(self, row: int) -> tuple[str, str]:
        skus, locations = self.oracle.level_keys(row, row + 1)
        return list(self.skus)[skus[0]], list(self.locations)[locations[0]]

    # ---- what the journal says of a write

    def same_as_journal(self, answer: Answer, written: Written) -> bool:
        """Tell whether the journal's record of a write is what the oracle decided."""
        status = "OK" if written.status == Status.OK else Status(written.status).name
        if (status, written.seq) != (answer.reason, answer.seq):
            return False
        return status != OK or (written.state, written.version) == (answer.state, answer.version)

    def is_expired(self, reservation_id: str) -> bool:
        """Tell whether the oracle has a reservation as expired."""
        found = self.oracle.reservation(self._own_ids.get(reservation_id, UNKNOWN_RESERVATION))
        return found is not None and found.state is ReservationState.EXPIRED

    # ---- reads

    def read(self, asked: Asked) -> Answer:
        """Return what a read must show now; without seq."""
        if asked.ask is Ask.RESERVATION:
            return self._reservation(asked.reservation_id)
        if asked.ask in (Ask.SHIPMENT, Ask.WORK):
            return self._document(asked.reservation_id)
        if asked.ask is Ask.LEVEL:
            ((sku, location, _),) = asked.lines
            return Answer(values=((sku, location, *self._level(sku, location)),))
        return Answer(
            values=tuple(
                (sku, location, *self._level(sku, location)[4:])
                for sku, _, _ in asked.lines
                for location in self.locations
                if self.oracle.level(self.skus[sku], self.locations[location]) is not None
            )
        )

    def documents(self, kind: DocumentKind) -> dict[str, Answer]:
        """Return all documents of a kind as reads must show them now, by id; without seq."""
        return {name: self._document(name) for name, each in self._kinds.items() if each is kind}

    def _document(self, name: str) -> Answer:
        kind = self._kinds.get(name, DocumentKind.TRANSFER)
        view = self.oracle.document(self._documents.get(name, UNKNOWN_RESERVATION), kind)
        if view is None:
            return Answer(reason=Status.DOCUMENT_NOT_FOUND.name)
        skus = list(self.skus)
        values = tuple((skus[line.sku], *line.units[: STAGES[kind]]) for line in view.lines)
        return Answer(reservation_id=name, state=int(view.state), version=view.version, values=values)

    def _level(self, sku: str, location: str) -> tuple[int, ...]:
        """Return on_hand, unavailable, reserved, committed, available and oversold; zeros where nothing is stocked."""
        view = self.oracle.level(self.skus[sku], self.locations[location])
        if view is None:
            return (0,) * 6
        unavailable = sum(view.unavailable.values())
        free = view.on_hand - unavailable - view.reserved - view.committed
        available = max(0, free - view.safety_stock + view.backorder_limit)
        oversold = max(0, -free - view.backorder_limit)
        return view.on_hand, unavailable, view.reserved, view.committed, available, oversold

    def _reservation(self, reservation_id: str) -> Answer:
        view = self.oracle.reservation(self._own_ids.get(reservation_id, UNKNOWN_RESERVATION))
        if view is None:
            return Answer(reason=Status.RESERVATION_NOT_FOUND.name)
        skus, locations = list(self.skus), list(self.locations)
        return Answer(
            reservation_id=reservation_id,
            state=int(view.state),
            version=view.version,
            time_us=view.time_us,
            values=tuple(
                (skus[line.sku], locations[line.location], line.quantity, line.open, line.fulfilled)
                for line in view.lines
            ),
        )
