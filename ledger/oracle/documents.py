"""Documents in plain Python: what interprets the tables of `ledger.oracle.forms`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, NamedTuple, Protocol

from ledger.core import limits
from ledger.core.ids import SHARD_SHIFT
from ledger.core.records import ANY_SKU, NO_LEVEL, NO_LOCATION, TO_LOCATION, USES_SAFETY_STOCK
from ledger.core.state import STAGES
from ledger.core.statuses import DocumentKind, ReservationState, Status
from ledger.core.views import DocumentLineView, DocumentView
from ledger.oracle.books import (
    OUTSIDE,
    Account,
    Books,
    Causes,
    Command,
    Held,
    Level,
    Line,
    Reservation,
    Result,
    place,
)
from ledger.oracle.forms import FORMS, HERE, Form, Step, refusal_of


@dataclass
class Document:
    """One document."""

    kind: int
    document_id: int
    source: int
    target: int
    due_us: int
    reservation_id: int
    method: int
    create_time_us: int
    time_us: int
    state: IntEnum | None = None
    version: int = 0
    lines: dict[int, Counter[int]] = field(default_factory=dict)

    @property
    def is_ended(self) -> bool:
        """Whether it only waits to be forgotten."""
        return self.state in self.form.ended

    @property
    def form(self) -> Form:
        """What its kind is."""
        return FORMS[self.kind]

    def units_in(self, *stages: IntEnum) -> int:
        """Units of all lines in some stages."""
        return sum(units[stage] for units in self.lines.values() for stage in stages)


CREATE: Final = 1
"""The verb that makes a document, of every kind."""


class Move(NamedTuple):
    """Units of one sku that take a step."""

    sku: int
    units: int
    step: Step
    reason: int
    line: int
    """Position in the command of the line that asked first."""


class Owner(Protocol):
    """The ledger that documents are of."""

    books: Books
    reservations: dict[int, Reservation]
    time_us: int
    shard: int

    def is_foreign(self, identity: int) -> bool:
        """Tell whether an id names another shard."""


class Documents:
    """All documents of a ledger."""

    def __init__(self, ledger: Owner) -> None:
        self._ledger = ledger
        self.all: dict[int, Document] = {}
        self._last_id = ledger.shard << SHARD_SHIFT

    def view(self, document_id: int, kind: int) -> DocumentView | None:
        """Read one document; None if the id is unknown or long ended."""
        found = self.all.get(document_id)
        if found is None or kind != found.kind or found.state is None:
            return None
        return DocumentView(
            kind=kind,
            state=found.state,
            version=found.version,
            source=found.source,
            target=found.target,
            due_us=found.due_us,
            reservation_id=found.reservation_id,
            method=found.method,
            create_time_us=found.create_time_us,
            time_us=found.time_us,
            lines=tuple(
                DocumentLineView(sku, tuple(units[stage] for stage in range(1, STAGES + 1)))
                for sku, units in found.lines.items()
            ),
        )

    def forget(self, oldest_us: int) -> None:
        """Drop those that ended before an instant."""
        self.all = {key: each for key, each in self.all.items() if not each.is_ended or each.time_us >= oldest_us}

    # ---- one verb ----------------------------------------------------------------------------------------------------

    def advance(self, command: Command) -> Result:
        """Do one verb, all of it or nothing."""
        head, *lines = command.lines
        verb = head.kind
        assert head.sku == ANY_SKU
        assert all(line.location == line.to_location == NO_LOCATION for line in lines)
        causes = Causes()
        if self._ledger.is_foreign(command.reservation_id):
            causes.add(Status.WRONG_SHARD)
        for position, line in enumerate(lines, 1):
            if line.sku < 0:
                causes.add(Status.SKU_NOT_FOUND, position)
        if verb == CREATE:
            found = self._begin(head, lines, causes)
        elif self.view(command.reservation_id, head.reason) is not None:
            found = self._find(command, verb, causes)
        else:
            causes.add(Status.DOCUMENT_NOT_FOUND)
            found = Document(head.reason, 0, 0, 0, 0, 0, 0, 0, 0)
        is_known = not causes.refusal()
        draft, moves = self._moves(found, verb, lines, causes) if is_known else ({}, [])
        if is_known:
            self._check_stock(found, moves, bool(command.flags & USES_SAFETY_STOCK), causes)
        refusal = causes.refusal()
        if refusal:
            is_found = refusal.status not in (Status.SKU_NOT_FOUND, Status.DOCUMENT_NOT_FOUND)
            return refusal._replace(
                state=int(found.state or 0) if is_found else 0, reservation_id=command.reservation_id
            )
        return self._apply(found, verb, draft, moves)

    def _find(self, command: Command, verb: int, causes: Causes) -> Document:
        """Note what speaks against a verb of a document that is there."""
        found = self.all[command.reservation_id]
        if command.expected_version not in (0, found.version):
            causes.add(Status.VERSION_MISMATCH)
            causes.version = found.version
        refused = refusal_of(found.state, verb, found.form, found.method)
        if refused is not None:
            causes.add(refused)
            if refused is Status.VERB_NOT_ALLOWED and causes.version == 0:
                causes.version = found.method
        return found

    def _begin(self, head: Line, lines: list[Line], causes: Causes) -> Document:
        """Note what speaks against a new document, and draft it."""
        source, target, order = head.location, head.to_location, head.to_quantity
        if min(source, target) < 0:
            causes.add(Status.LOCATION_NOT_FOUND, level=NO_LEVEL if source < 0 else TO_LOCATION)
        for position, line in enumerate(lines, 1):
            if (line.sku, source) not in self._ledger.books.policies and line.sku >= 0:
                causes.add(Status.NOT_STOCKED_HERE, position)
        if order:
            found = self._ledger.reservations.get(order)
            if self._ledger.is_foreign(order):
                causes.add(Status.WRONG_SHARD)
            elif found is None:
                causes.add(Status.RESERVATION_NOT_FOUND)
            elif found.state != ReservationState.COMMITTED or found.is_ended:
                causes.add(Status.RESERVATION_NOT_COMMITTED)
            elif len(found.awaits) >= limits.DOCUMENTS_PER_RESERVATION_MAX:
                causes.add(Status.TOO_MANY_LINES)
        now_us = self._ledger.time_us
        return Document(head.reason, 0, source, target, head.quantity, order, head.method, now_us, now_us)

    def _moves(
        self, found: Document, verb: int, lines: list[Line], causes: Causes
    ) -> tuple[dict[int, Counter[int]], list[Move]]:
        """List what happens to units, on a copy of the document's lines."""
        draft = {sku: units.copy() for sku, units in found.lines.items()}
        asked: dict[int, int] = {}
        moves: list[Move] = []
        for position, line in enumerate(lines, 1):
            steps = found.form.steps[line.kind]
            if line.sku not in draft and steps[0].before is not None:
                self._exceeds(causes, found, position, line, 0)
                continue
            if line.sku not in draft and len(draft) == limits.LINES_PER_DOCUMENT_MAX:
                causes.add(Status.TOO_MANY_LINES)
                return draft, moves
            own = draft.setdefault(line.sku, Counter())
            asked.setdefault(line.sku, position)
            taken = list(take(own, steps, line.quantity))
            moves += [Move(line.sku, units, step, line.reason, asked[line.sku]) for step, units in taken]
            there = sum(units for _, units in taken)
            if there < line.quantity:
                self._exceeds(causes, found, position, line, there)
        rule = found.form.rules[verb]
        rest = rule.rest if rule.sweeps or not lines else ()
        for place_, (sku, own) in enumerate(draft.items(), 1):
            for action in rest:
                moves += [
                    Move(sku, units, step, 0, asked.get(sku, place_))
                    for step, units in take(own, found.form.steps[action], sum(own.values()))
                ]
        if not moves and not rule.sweeps and not causes.refusal():
            causes.add(Status.QUANTITY_EXCEEDS_OPEN)
        return draft, moves

    def _exceeds(self, causes: Causes, found: Document, position: int, line: Line, there: int) -> None:
        level = line.sku, found.source
        is_stocked = level in self._ledger.books.policies
        causes.add(Status.QUANTITY_EXCEEDS_OPEN, position, there, level if is_stocked else NO_LEVEL, line.quantity)

    def _check_stock(self, found: Document, moves: list[Move], uses_safety_stock: bool, causes: Causes) -> None:
        """Note where the source, or the order at the source, has less than what leaves."""
        books = self._ledger.books
        for sku in dict.fromkeys(move.sku for move in moves):
            own = [move for move in moves if move.sku == sku]
            level = sku, found.source
            of_order = sum(move.units for move in own if self._is_of_order(found, move.step))
            free = sum(
                move.units
                for move in own
                if move.step.source == Account.FREE and not self._is_of_order(found, move.step)
            )
            held = sum(
                move.units for move in own if move.step.source == Account.COMMITTED and move.step.target in OUTSIDE
            )
            position = own[0].line
            if of_order:
                order = self._order_of(found)
                there = order.open_at(level) if order else 0
                if there < of_order:
                    causes.add(Status.QUANTITY_EXCEEDS_OPEN, position, there, level, of_order)
            if free + held == 0:
                continue
            kept = 0 if uses_safety_stock else books.policies[level].safety_stock
            there = max(0, books.at(level, Account.FREE) - kept)
            if there < free:
                causes.add(Status.INSUFFICIENT_STOCK, position, there, level, free)
            elif max(0, books.sellable(level)) < free + held:
                causes.add(Status.INSUFFICIENT_STOCK, position, max(0, books.sellable(level)), level, free + held)

    def _is_of_order(self, found: Document, step: Step) -> bool:
        """Tell whether units are held for the document that the order held."""
        is_new = step.before is None and step.after in found.form.held
        return is_new and self._order_of(found) is not None

    def _order_of(self, found: Document) -> Reservation | None:
        """Find the reservation that a document is for, as long as somebody wants its units."""
        order = self._ledger.reservations.get(found.reservation_id)
        if order is None or order.state != ReservationState.COMMITTED or order.is_ended:
            return None
        return order

    # ---- what it does ------------------------------------------------------------------------------------------------

    def _apply(self, found: Document, verb: int, draft: dict[int, Counter[int]], moves: list[Move]) -> Result:
        is_new = verb == CREATE
        if is_new:
            self._last_id += 1
            found.document_id = self._last_id
            self.all[found.document_id] = found
        was_ended = found.is_ended
        order = self._order_of(found)
        room = limits.LINES_PER_RESERVATION_MAX - len(order.lines) if order else 0
        is_changed = False
        for move in moves:
            level = move.sku, found.target if move.step.at_target else found.source
            self._ledger.books.stock(level)
            if order and self._is_of_order(found, move.step):
                give_back(order, level, move.units)
                is_changed = True
            elif move.step.with_order:
                is_there = order is not None and level in order.lines
                if order and ((not is_there and room > 0) or (is_there and can_count(order, level, draft[move.sku]))):
                    room -= not is_there
                    hold_again(order, level, move.units)
                    is_changed = True
                else:
                    self._ledger.books.move_at(level, move.units, Account.COMMITTED, Account.FREE)
            else:
                self._move(level, move)
            if order and move.step.for_order:
                is_there = level in order.lines
                if (not is_there and room > 0) or (is_there and can_count(order, level, draft[move.sku])):
                    room -= not is_there
                    self._commit(order, level, move.units)
                    is_changed = True
            known = self._ledger.reservations.get(found.reservation_id)
            if known and move.step.target == Account.CUSTOMER:
                is_changed |= tell_fulfilled(known, level, move.units)
        self._lose(found, moves)
        found.lines = draft
        found.version += 1
        found.state = found.form.rules[verb].then(found)
        if not was_ended:
            found.time_us = self._ledger.time_us
        ends = found.is_ended and not was_ended
        self._settle_order(found, is_new=is_new, ends=ends, is_changed=is_changed, was_open=order is not None)
        return Result(Status.OK, int(found.state or 0), found.version, found.document_id, self._ledger.time_us)

    def _move(self, level: Level, move: Move) -> None:
        source, target = move.step.source, move.step.target
        if source is not None and target is not None:
            reason = move.reason if target == Account.UNAVAILABLE else 0
            self._ledger.books.move(move.units, place(level, source), place(level, target, reason))

    def _commit(self, order: Reservation, level: Level, units: int) -> None:
        self._ledger.books.move_at(level, units, Account.FREE, Account.COMMITTED)
        hold_again(order, level, units)

    def _lose(self, found: Document, moves: list[Move]) -> None:
        """Take units off the books that nobody finds: those that would be promised to others now."""
        lost: Counter[Level] = Counter()
        for move in moves:
            lost[move.sku, found.source] += move.units * move.step.is_lost
        for level, units in lost.items():
            gone = min(units, self._ledger.books.at(level, Account.FREE))
            if gone > 0:
                self._ledger.books.move(gone, place(level, Account.FREE), place(level, Account.SHRINKAGE, 0))

    def _settle_order(self, found: Document, *, is_new: bool, ends: bool, is_changed: bool, was_open: bool) -> None:
        """Let the order know: it waits for the document as long as that is open."""
        order = self._ledger.reservations.get(found.reservation_id)
        if order is None:
            return
        if is_new:
            order.awaits.add(found.document_id)
        if ends:
            order.awaits.discard(found.document_id)
        if not was_open:
            return
        order.drop_empty_lines()
        if is_new or ends or is_changed:
            order.version += 1
        if order.is_ended:
            order.time_us = self._ledger.time_us

    # ---- invariants --------------------------------------------------------------------------------------------------

    def held(self) -> Counter[Level]:
        """Units that documents hold, by stock level."""
        held: Counter[Level] = Counter()
        for each in self.all.values():
            for sku, units in each.lines.items():
                held[sku, each.source] += sum(units[stage] for stage in each.form.held)
        return held

    def assigned(self, reservation_id: int) -> Counter[Level]:
        """Units that fulfillment orders hold for a reservation, by stock level."""
        found: Counter[Level] = Counter()
        for each in self.all.values():
            if each.kind == DocumentKind.FULFILLMENT_ORDER and each.reservation_id == reservation_id:
                for sku, units in each.lines.items():
                    found[sku, each.source] += sum(units[stage] for stage in HERE)
        return found

    def verify(self) -> list[str]:
        """Name every broken invariant of documents."""
        broken = []
        on_the_way: Counter[int] = Counter()
        for each in self.all.values():
            name = f"document {each.document_id}"
            is_open = each.units_in(*each.form.is_open) > 0
            if is_open == each.is_ended:
                broken.append(f"{name}: {each.state}, but {each.lines}.")
            if any(units < 0 for own in each.lines.values() for units in own.values()):
                broken.append(f"{name}: below zero: {each.lines}.")
            for sku, own in each.lines.items():
                on_the_way[sku] += sum(own[stage] for stage in each.form.on_the_way)
        for at, units in self._ledger.books.units.items():
            assert at.account not in OUTSIDE or at.location < 0
            if at.account == Account.TRANSIT and units != on_the_way[at.sku]:
                broken.append(f"sku {at.sku}: expected {on_the_way[at.sku]} between two locations, was {units}.")
        return broken


def take(own: Counter[int], steps: list[Step], wanted: int) -> Iterator[tuple[Step, int]]:
    """Take units through the steps of an action, as many as there are."""
    for step in steps:
        there = limits.QUANTITY_MAX - own[step.after] if step.before is None else own[step.before]
        units = min(wanted, there)
        if units > 0:
            if step.before is not None:
                own[step.before] -= units
            own[step.after] += units
            wanted -= units
            yield step, units


def give_back(order: Reservation, level: Level, units: int) -> None:
    """Let an order hold less: the document holds it from now on, and the units stay committed."""
    held = order.lines[level]
    assert held.open >= units
    held.open -= units
    held.quantity -= units


def hold_again(order: Reservation, level: Level, units: int) -> None:
    """Let an order hold more."""
    held = order.lines.setdefault(level, Held())
    held.open += units
    held.quantity += units


def tell_fulfilled(order: Reservation, level: Level, units: int) -> bool:
    """Let an order say of units that they were fulfilled for it, where its lines have room."""
    held = order.lines.get(level)
    if held is None and len(order.lines) >= limits.LINES_PER_RESERVATION_MAX:
        return False
    if held is not None and held.quantity > limits.QUANTITY_MAX - units:
        return False
    held = order.lines.setdefault(level, Held())
    held.fulfilled += units
    held.quantity += units
    return True


def can_count(order: Reservation, level: Level, own: Counter[int]) -> bool:
    """Tell whether a line of an order stays countable, whatever of a document's line comes to it."""
    return order.lines[level].quantity <= limits.QUANTITY_MAX - sum(own.values())
