"""The machine: both ledgers, a standby, the journal's book, and what must hold after every step."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import NamedTuple

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from ledger_cases import (
    NOW_US,
    OF_DOCUMENTS,
    Command,
    Line,
    Result,
    batch_of,
    receive,
    record,
    results_of,
    units,
    uuid4,
    uuid7,
)

from ledger.core.ledger import Ledger
from ledger.core.operations import CHANGES_RESERVATION, IS_OWN, MAKES_RESERVATION, OPERATIONS
from ledger.core.records import ANY_SKU, FIELD_NAMES, USES_SAFETY_STOCK, Group
from ledger.core.statuses import (
    DocumentKind,
    FulfillmentAction,
    FulfillmentStage,
    FulfillmentState,
    FulfillmentVerb,
    Operation,
    ReservationState,
    Status,
    TransferAction,
    TransferStage,
    TransferState,
    TransferVerb,
)
from ledger.core.views import DocumentView, ReservationView
from ledger.oracle.requests import commands_of, differing_fields
from ledger.oracle.stock import OracleLedger
from ledger_properties.callers import COMMANDS, LEVELS, LOCATIONS, RETENTION_US, SKUS, WINDOW_US, Callers, Intent, Step
from ledger_properties.journal_book import JournalBook

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "default")
ENDED = (ReservationState.RELEASED, ReservationState.EXPIRED)
DOCUMENT_ENDED = {
    DocumentKind.TRANSFER: (TransferState.RECEIVED, TransferState.CLOSED, TransferState.CANCELLED),
    DocumentKind.FULFILLMENT_ORDER: tuple(
        state for state in FulfillmentState if state > FulfillmentState.READY_FOR_PICKUP
    ),
}
HELD = {
    DocumentKind.TRANSFER: (TransferStage.HELD,),
    DocumentKind.FULFILLMENT_ORDER: (FulfillmentStage.OPEN, FulfillmentStage.PICKED),
}
# Stages whose units an action is about, by kind and verb; and those of most verbs.
ABOUT = {
    (DocumentKind.TRANSFER, TransferVerb.DISPATCH): (1, 2),
    (DocumentKind.TRANSFER, TransferVerb.FIND): (6,),
    (DocumentKind.FULFILLMENT_ORDER, FulfillmentVerb.PICK): (1,),
    (DocumentKind.FULFILLMENT_ORDER, FulfillmentVerb.PUT_BACK): (8,),
}
ABOUT_ELSE = {DocumentKind.TRANSFER: (3,), DocumentKind.FULFILLMENT_ORDER: (1, 2)}
AFTER_THE_END = (
    (DocumentKind.FULFILLMENT_ORDER, FulfillmentVerb.DELIVER),
    (DocumentKind.FULFILLMENT_ORDER, FulfillmentVerb.PUT_BACK),
)
UNKNOWN_ORDER = 1 << 19
FACTS = (Operation.RECORD_MOVEMENTS, Operation.SET_ON_HAND, Operation.SET_POLICY)
SAYS_TIME = (
    *(Operation.RESERVE, Operation.REPLACE, Operation.EXTEND),
    *(Operation.CHANGE_CATALOG, Operation.REMEMBER),
)
OF_HOLDS = [
    row.operation
    for row in OPERATIONS
    if row.traits & CHANGES_RESERVATION and not row.traits & (MAKES_RESERVATION | IS_OWN)
]


class Used(NamedTuple):
    """A request id that was decided."""

    request_id: int
    plain: Command
    fast: Command
    time_us: int


def is_fit(operation: Operation, view: ReservationView) -> bool:
    """Say whether a reservation is in a state that the operation is for."""
    if operation in (Operation.COMMIT, Operation.RELEASE, Operation.EXTEND, Operation.REPLACE):
        return view.state == ReservationState.ACTIVE
    if operation in (Operation.FULFILL, Operation.CANCEL):
        return view.state == ReservationState.COMMITTED and any(line.open for line in view.lines)
    return any(line.open for line in view.lines)


def fitted_to_document(command: Command, view: DocumentView | None, picks: list[tuple[int, int]]) -> tuple[Line, ...]:
    """Let a verb name lines that the document has, and about as many units as they have."""
    head, *lines = command.lines
    if view is None or not picks or not lines:
        return command.lines
    stages = ABOUT.get((head.reason, head.kind), ABOUT_ELSE[DocumentKind(head.reason)])
    chosen = {}
    for line, (position, how) in zip(lines, picks, strict=False):
        at = view.lines[position % len(view.lines)]
        there = sum(at.units[stage - 1] for stage in stages)
        quantity = max(1, (there, 1, there // 2, there, there + 1)[how])
        chosen[at.sku, line.kind, line.reason] = replace_line(line, at.sku, quantity)
    return head, *chosen.values()


def replace_line(line: Line, sku: int, quantity: int) -> Line:
    return line._replace(sku=sku, quantity=quantity)


def fitted(command: Command, view: ReservationView | None, picks: list[tuple[int, int]]) -> tuple[Line, ...]:
    """Let a command name lines that the reservation has, and about as many units as they have."""
    if view is None or not view.lines or not picks or not command.lines:
        return command.lines
    chosen = {view.lines[position % len(view.lines)]: how for position, how in picks}
    if command.operation == Operation.AMEND:
        return tuple(
            Line(
                at.sku,
                at.location,
                quantity=max(0, (at.quantity, at.quantity + 1, 0, at.fulfilled, at.fulfilled - 1)[how]),
            )
            for at, how in chosen.items()
        )
    lines = {at: max(1, (at.open, 1, at.open // 2, at.open, at.open + 1)[how]) for at, how in chosen.items()}
    if command.operation != Operation.TRANSFER:
        return tuple(Line(at.sku, at.location, quantity=quantity) for at, quantity in lines.items())
    source, target = next(iter(lines)).location, command.lines[0].to_location
    target = (source + 1) % len(LOCATIONS) if target == source else target
    if command.lines[0].sku == ANY_SKU:
        return (Line(ANY_SKU, source, target),)
    here = {at: quantity for at, quantity in lines.items() if at.location == source}
    return tuple(Line(at.sku, source, target, quantity=quantity) for at, quantity in here.items())


class LedgerMachine(RuleBasedStateMachine):
    """Both ledgers, a standby of the fast one, and what a caller knows of them."""

    skus: Sequence[int] = SKUS

    def __init__(self) -> None:
        super().__init__()
        self.levels = [(sku, location) for sku in self.skus for location in LOCATIONS]
        self.time_us = NOW_US
        self.plain = OracleLedger(request_window_us=WINDOW_US, retention_us=RETENTION_US)
        self.is_active = dict.fromkeys(LOCATIONS, True)
        self.define(self.plain)
        self.fast = self.new_ledger()
        self.standby = self.new_ledger()
        self.groups: list[Group] = []
        self.book = JournalBook()
        self.fast_ids: dict[int, int] = {}  # of the plain ledger's reservation ids
        self.fast_documents: dict[int, int] = {}  # of its documents' ids
        self.kinds: dict[int, int] = {}  # of documents, by the plain ledger's ids
        self.used: list[Used] = []
        self.key = 0

    # -- set up

    def new_ledger(self) -> Ledger:
        ledger = Ledger(request_window_us=WINDOW_US, retention_us=RETENTION_US)
        self.define(ledger)
        return ledger

    def define(self, ledger: Ledger | OracleLedger) -> None:
        assert [ledger.define_sku(f"SKU-{sku}") for sku in self.skus] == list(self.skus)
        for location, is_active in self.is_active.items():
            assert ledger.define_location(f"L-{location}") == location
            ledger.set_location_active(location, is_active)

    @initialize(stock=st.lists(st.sampled_from([30, 10, 3, 0]), min_size=len(LEVELS), max_size=len(LEVELS)))
    def receive_goods(self, stock):
        lines = [receive(*level, quantity) for level, quantity in zip(self.levels, stock, strict=True) if quantity]
        if lines:
            self.run([(record(*lines), record(*lines))])

    # -- rules

    @rule(chance=st.randoms())
    def hold(self, chance):
        self.execute(chance, "reserve")

    @rule(chance=st.randoms())
    def use_holds(self, chance):
        self.execute(chance, "use_hold")

    @rule(chance=st.randoms())
    def change_holds(self, chance):
        self.execute(chance, "change")

    @rule(chance=st.randoms())
    def use_commitments(self, chance):
        self.execute(chance, "use_commitment")

    @rule(chance=st.randoms())
    def advance_transfers(self, chance):
        self.execute(chance, "advance")

    @rule(chance=st.randoms())
    def fulfill_orders(self, chance):
        self.execute(chance, "work")

    @rule(chance=st.randoms())
    def tell_facts(self, chance):
        self.execute(chance, "fact")

    @rule(chance=st.randoms())
    def do_all_sorts(self, chance):
        self.execute(chance, *COMMANDS)

    @rule(chance=st.randoms())
    def wait(self, chance):
        self.execute_batch([], Callers(chance).step())

    @rule(chance=st.randoms())
    def expire_in_parts(self, chance):
        """A backlog ends in several groups; the plain ledger ends it at once."""
        self.pass_time(Callers(chance).step())
        self.settle()
        most, seq = chance.randint(1, 3), self.fast.seq
        while self.fast.expire_backlog(self.time_us, most):
            seq += most
            assert self.fast.seq == seq
            self.settle()
        self.run([])
        assert self.fast.seq - seq <= most

    @rule()
    def settle_now(self):
        self.settle()

    @rule(location=st.sampled_from(LOCATIONS), is_active=st.sampled_from([True] * 8 + [False]))
    def open_or_close(self, location, is_active):
        self.is_active[location] = is_active
        for ledger in (self.plain, self.fast, self.standby):
            ledger.set_location_active(location, is_active)

    @rule()
    def fail_over(self):
        """The standby takes over, and a new one reads the whole journal."""
        self.settle()
        self.fast, self.standby = self.standby, self.new_ledger()
        for group in self.groups:
            self.standby.replay(group)
        assert self.standby.digest() == self.fast.digest()

    # -- what a rule is made of

    def execute(self, chance: Random, *names: str) -> None:
        callers = Callers(chance)
        self.execute_batch(callers.batch(*names), callers.step())

    def execute_batch(self, batch: list[Intent], step: Step) -> None:
        self.pass_time(step)
        pairs: list[tuple[Command, Command]] = []
        may_be_garbage = all(intent.command.operation != Operation.RESERVE for intent in batch)
        for intent in batch:
            pair = self.resolve(intent, may_be_garbage=may_be_garbage)
            pairs += [pair, pair] if intent.is_doubled else [pair]
        self.run(pairs)

    def pass_time(self, step: Step) -> None:
        kind, after_us = step
        time_us = self.time_us + after_us
        if kind == "expiry":
            views = self.views()
            due = [view.time_us for view in views.values() if view.state == ReservationState.ACTIVE]
            time_us = min(due, default=self.time_us) + after_us
        if time_us > self.time_us:
            self.settle()
            self.time_us = time_us

    def views(self) -> dict[int, ReservationView]:
        """All reservations that both ledgers must still know, as the plain one reads them."""
        views = {each: self.plain.reservation(each) for each in self.fast_ids}
        return {each: view for each, view in views.items() if view is not None}

    def is_stale(self, view: ReservationView) -> bool:
        """Say whether it may be forgotten by now: earlier or later is the ledger's own affair."""
        is_ended = view.state in ENDED or not any(line.open for line in view.lines)
        is_ended |= view.state == ReservationState.ACTIVE and view.time_us <= self.time_us
        return is_ended and view.time_us + RETENTION_US < self.time_us

    def resolve(self, intent: Intent, *, may_be_garbage: bool) -> tuple[Command, Command]:
        """Fill in the reservation and the request id; one command for each ledger."""
        plain = fast = intent.command
        if plain.operation in OF_HOLDS:
            plain_id, fast_id = self.find_reservation(intent, may_be_garbage=may_be_garbage)
            lines = fitted(plain, self.plain.reservation(plain_id), intent.picks)
            plain = replace(plain, lines=lines, reservation_id=plain_id)
            fast = replace(fast, lines=lines, reservation_id=fast_id)
        elif plain.operation in OF_DOCUMENTS:
            plain, fast = self.resolve_document(intent)
        if intent.request is None:
            return plain, fast
        kind, recent = intent.request
        known = [used for used in self.used if used.time_us >= self.time_us - WINDOW_US][::-1][: recent + 1]
        if kind == "equal" and known:
            return known[-1].plain, known[-1].fast
        request_id = known[-1].request_id if kind == "other" and known else self.new_request_id(kind)
        return replace(plain, request_id=request_id), replace(fast, request_id=request_id)

    def resolve_document(self, intent: Intent) -> tuple[Command, Command]:
        """Fill in the order that a new document is for, or the document that a verb is of."""
        command = intent.command
        head, *lines = command.lines
        if head.kind == TransferVerb.CREATE:
            if head.to_quantity == 0:
                return command, command
            orders = {
                each: [line for line in view.lines if line.open]
                for each, view in self.views().items()
                if view.state == ReservationState.COMMITTED and any(line.open for line in view.lines)
            }
            is_work = head.reason == DocumentKind.FULFILLMENT_ORDER
            if not orders:
                head = head._replace(to_quantity=UNKNOWN_ORDER if is_work else 0)
                return (replace(command, lines=(head, *lines)),) * 2
            order = list(orders)[::-1][: intent.recent + 1][-1]
            source = orders[order][0].location
            target = (source + 1) % len(LOCATIONS) if head.to_location == source else head.to_location
            target = source if is_work else target
            if intent.picks:
                here = [at for at in orders[order] if at.location == source]
                action = FulfillmentAction.ASSIGN if is_work else TransferAction.HOLD
                lines = [
                    units(at.sku, action, max(1, at.open - how % 2))
                    for at, (_, how) in zip(here, intent.picks, strict=False)
                ]
            heads = [
                head._replace(location=source, to_location=target, to_quantity=reservation_id)
                for reservation_id in (order, self.fast_ids[order])
            ]
            return replace(command, lines=(heads[0], *lines)), replace(command, lines=(heads[1], *lines))
        documents = {each: view for each, view in self.documents().items() if view.kind == head.reason}
        ended = DOCUMENT_ENDED[DocumentKind(head.reason)]
        is_open = [each for each, view in documents.items() if view.state not in ended]
        are_open = is_open and intent.recent < 4 and (head.reason, head.kind) not in AFTER_THE_END
        known = (is_open if are_open else list(documents))[::-1][: intent.recent + 1]
        if not known or intent.garbage is not None:
            return (replace(command, reservation_id=-1 if known else 0),) * 2
        said = fitted_to_document(command, documents[known[-1]], intent.picks)
        filled = replace(command, lines=said, reservation_id=known[-1])
        return filled, replace(filled, reservation_id=self.fast_documents[known[-1]])

    def documents(self) -> dict[int, DocumentView]:
        """All documents that both ledgers must still know, as the plain one reads them."""
        views = {each: self.plain.document(each, kind) for each, kind in self.kinds.items()}
        return {each: view for each, view in views.items() if view is not None and not self.is_old(view)}

    def is_old(self, view: DocumentView) -> bool:
        """Say whether a document may be forgotten by now."""
        return view.state in DOCUMENT_ENDED[DocumentKind(view.kind)] and view.time_us + RETENTION_US < self.time_us

    def find_reservation(self, intent: Intent, *, may_be_garbage: bool) -> tuple[int, int]:
        views = {each: view for each, view in self.views().items() if not self.is_stale(view)}
        fitting = [each for each, view in views.items() if is_fit(intent.command.operation, view)]
        known = (fitting if fitting and intent.recent < 4 else list(views))[::-1][: intent.recent + 1]
        if not known:
            return 0, 0
        if intent.garbage is None:
            return known[-1], self.fast_ids[known[-1]]
        # Like an id, but nobody's; unless this batch makes new ones, and one of them might be it.
        flipped = self.fast_ids[known[-1]] ^ 1 << intent.garbage
        flipped -= 2**64 if flipped >= 2**63 else 0
        is_taken = flipped in self.fast_ids.values() or 0 < flipped < 2**20  # the plain ledger counts from 1
        return (flipped, flipped) if may_be_garbage and not is_taken else (-1, -1)

    def new_request_id(self, kind: str) -> int:
        self.key += 1
        if kind == "v4":
            return uuid4(self.key)
        return uuid7(self.time_us - (WINDOW_US + 1000 if kind == "old" else 0), self.key)

    def run(self, pairs: list[tuple[Command, Command]]) -> list[Result]:
        """Execute a batch on both ledgers and compare everything."""
        before = {level: self.plain.available(*level) for level in self.levels}
        plain = results_of(self.plain, self.plain.execute(batch_of([pair[0] for pair in pairs]), self.time_us))
        fast = results_of(self.fast, self.fast.execute(batch_of([pair[1] for pair in pairs]), self.time_us))
        for pair, one, other in zip(pairs, plain, fast, strict=True):
            self.compare(pair, one, other)
            if one.is_written and pair[0].request_id is not None:
                self.used.append(Used(pair[0].request_id, *pair, self.time_us))
        self.check_never_oversold(before, pairs)
        return plain

    def compare(self, pair: tuple[Command, Command], plain: Result, fast: Result) -> None:
        command = pair[0]
        same = ["status", "seq", "is_written", "is_stored", "is_oversold", "details", "requested"]
        if plain.status == Status.OK:
            same += ["state", "version"]
            says_time = command.operation in SAYS_TIME
            same += ["time_us"] if says_time else []
        elif plain.status in (Status.VERSION_MISMATCH, Status.VERB_NOT_ALLOWED):
            same += ["version"]
        assert [getattr(fast, name) for name in same] == [getattr(plain, name) for name in same], (pair, plain, fast)
        if plain.status == Status.REQUEST_ID_REUSED and fast.field:
            first = next(used.plain for used in self.used[::-1] if used.request_id == command.request_id)
            differing = differing_fields(*commands_of(batch_of([first, command])))
            assert FIELD_NAMES[fast.field] in differing, "a hash may miss the first field, but blames no equal one"
        if plain.status != Status.OK:
            return
        if command.operation == Operation.RESERVE and plain.reservation_id not in self.fast_ids:
            assert fast.reservation_id > 0
            assert fast.reservation_id not in self.fast_ids.values(), "ids are not used again"
            self.fast_ids[plain.reservation_id] = fast.reservation_id
        if command.operation in OF_DOCUMENTS:
            self.kinds[plain.reservation_id] = command.lines[0].reason
            if plain.reservation_id not in self.fast_documents:
                assert fast.reservation_id not in self.fast_documents.values(), "ids are not used again"
                self.fast_documents[plain.reservation_id] = fast.reservation_id
            assert fast.reservation_id == self.fast_documents[plain.reservation_id]
            return
        assert fast.reservation_id == self.fast_ids.get(plain.reservation_id, 0)

    def check_never_oversold(
        self, before: dict[tuple[int, int], int | None], pairs: list[tuple[Command, Command]]
    ) -> None:
        """Invariant 1: nothing but a fact takes available below zero."""
        if any(pair[0].operation in FACTS or pair[0].flags & USES_SAFETY_STOCK for pair in pairs):
            return
        begins = any(pair[0].operation in OF_DOCUMENTS for pair in pairs)
        for level, was in before.items():
            now = self.plain.available(*level)
            assert (was is None) == (now is None) or begins
            assert was is None or now is None or now >= min(0, was), (level, was, now)

    def settle(self) -> None:
        """Hand the group to the journal, and from there to the standby and the book."""
        finished = None
        if self.fast.seq % 2:  # either way it is the same
            self.fast.finish_group()
            finished = self.fast.digest()
        group = self.fast.take_group()
        assert finished in (None, self.fast.digest()), "taking a finished group changes nothing"
        if group is not None:
            assert group.first_seq == self.standby.seq + 1
            assert (group.last_seq, group.time_us) == (self.fast.seq, self.time_us)
            assert group.records["line_count"].sum() == len(group.movements)
            assert group.records["detail_count"].sum() == len(group.details)
            self.groups.append(group)
            self.book.apply(group)
            self.standby.replay(group)
        assert self.fast.take_group() is None
        assert self.standby.seq == self.fast.seq
        assert self.standby.digest() == self.fast.digest()
        assert self.standby.verify() == []
        for level in self.levels:
            assert self.book.view(level) == self.standby.level(*level) == self.fast.level(*level)

    # -- what holds at all times

    @invariant()
    def both_read_alike(self):
        assert self.fast.seq == self.plain.seq
        for level in self.levels:
            assert self.fast.level(*level) == self.plain.level(*level), level
            assert self.fast.available(*level) == self.plain.available(*level), level
        for each, view in self.views().items():
            if not self.is_stale(view):
                assert self.fast.reservation(self.fast_ids[each]) == view, (each, self.fast_ids[each])
        for each, document in self.documents().items():
            order = self.fast_ids.get(document.reservation_id, 0)
            found = self.fast.document(self.fast_documents[each], document.kind)
            assert found == document._replace(reservation_id=order), each
        for sku in self.skus:
            told = {account.name: units for account, units in self.plain.outside(sku).items()}
            assert {account.name: units for account, units in self.fast.outside(sku).items()} == told

    @invariant()
    def both_are_in_order(self):
        assert self.plain.verify() == []
        assert self.fast.verify() == []

    @invariant()
    def holds_are_the_sum_of_open_lines(self):
        """Invariant 3, seen from outside."""
        sums: Counter[tuple[ReservationState, int, int]] = Counter()
        for view in self.views().values():
            for line in view.lines:
                sums[view.state, line.sku, line.location] += line.open
        for document in self.documents().values():
            for at in document.lines:
                held = sum(at.units[stage - 1] for stage in HELD[DocumentKind(document.kind)])
                sums[ReservationState.COMMITTED, at.sku, document.source] += held
        for level in self.levels:
            view = self.fast.level(*level)
            if view is not None:
                assert view.reserved == sums[ReservationState.ACTIVE, *level]
                assert view.committed == sums[ReservationState.COMMITTED, *level]

    def teardown(self):
        self.settle()
