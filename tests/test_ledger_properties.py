"""The plain ledger and the fast one, driven side by side with whatever Hypothesis thinks of.

What must hold after every step: both answer alike and read alike; both find themselves in order; the group for the
journal explains the stock, in double entry; a standby that replayed it is byte-equal, and can take over at any time.
HYPOTHESIS_PROFILE=thorough looks longer.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import NamedTuple

import hypothesis.strategies as st
import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from ledger_cases import (
    MINUTE_US,
    NOW_US,
    SECOND_US,
    Command,
    Line,
    Result,
    advance,
    amend,
    batch_of,
    cancel,
    change_catalog,
    commit,
    create_transfer,
    extend,
    fulfill,
    receive,
    record,
    release,
    remember,
    reserve,
    results_of,
    set_on_hand,
    set_policy,
    transfer,
    units,
    uuid4,
    uuid7,
)

from ledger.core import limits
from ledger.core.documents import DOCUMENTS
from ledger.core.ledger import Ledger
from ledger.core.records import ANY_SKU, FIELD_NAMES, NO_LOCATION, USES_SAFETY_STOCK, Group
from ledger.core.statuses import (
    DocumentKind,
    Kind,
    Operation,
    ReservationState,
    Status,
    TransferAction,
    TransferStage,
    TransferState,
    TransferVerb,
)
from ledger.core.views import DocumentView, LevelView, ReservationView
from ledger.oracle.facts import RECORDABLE
from ledger.oracle.requests import commands_of, differing_fields
from ledger.oracle.stock import OracleLedger

PROFILES = {
    # What fails is kept, and made small by a thorough run: that takes minutes.
    "default": settings(
        max_examples=30, stateful_step_count=30, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate)
    ),
    "thorough": settings(max_examples=1_000, stateful_step_count=50, deadline=None),
}
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "default")
SEED_COUNT, STEP_COUNT = (100, 2_000) if PROFILE == "thorough" else (3, 400)

SKUS, LOCATIONS = range(3), range(3)
LEVELS = [(sku, location) for sku in SKUS for location in LOCATIONS]
WINDOW_US = 10 * MINUTE_US
RETENTION_US = 5 * MINUTE_US
ENDED = (ReservationState.RELEASED, ReservationState.EXPIRED)
DOCUMENT_ENDED = (TransferState.RECEIVED, TransferState.CLOSED, TransferState.CANCELLED)
SAID = {
    row.verb: [*row.actions, *[action for action in row.actions if action is TransferAction.ACCEPT] * 3]
    for row in DOCUMENTS[0].verbs
    if row.verb is not TransferVerb.CREATE
}
# Stage whose units an action is about.
ABOUT = {TransferVerb.DISPATCH: (1, 2), TransferVerb.FIND: (6,)}
FACTS = (Operation.RECORD_MOVEMENTS, Operation.SET_ON_HAND, Operation.SET_POLICY)
SAYS_TIME = (Operation.RESERVE, Operation.EXTEND, Operation.CHANGE_CATALOG, Operation.REMEMBER)
NOWHERE = -1


# ---- what callers do: commands that name reservations and request ids by how recent they are ----


class Intent(NamedTuple):
    """A command whose reservation and request id are not known before it runs."""

    command: Command
    recent: int
    """Which reservation: 0 is the last one made."""
    picks: list[tuple[int, int]]
    """Lines of that reservation to name instead of the command's, each with how many of its units."""
    garbage: int | None
    """Instead of the reservation: its id with this bit flipped."""
    request: tuple[str, int] | None
    """A request id: "v4" and "v7" are new, "old" is too old, "equal" and "other" were used before with this content
    or another."""
    is_doubled: bool
    """The same command twice in a row."""


Step = tuple[str, int]
"""How long until the next batch: "after" some time, or at a time around the next "expiry" of a hold."""


class Callers:
    """Makes up what callers send, from any source of chance: a seed, or Hypothesis."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance

    def rarely(self, times: int) -> bool:
        return self.chance.randrange(times) == times - 1

    def sku(self) -> int:
        return self.chance.choice([-1, -2]) if self.rarely(40) else self.chance.choice(SKUS)

    def location(self) -> int:
        return self.chance.choice([-1, -2]) if self.rarely(40) else self.chance.choice(LOCATIONS)

    def units(self) -> int:
        if self.rarely(10):
            return self.chance.choice([10, 30, 10, 30, 2**24])
        return self.chance.randint(1, 4)

    def total(self) -> int:
        return self.units() if self.rarely(4) else self.chance.choice([0, 1, 2, 3, 5, 20])

    def ttl_us(self) -> int:
        return self.chance.choice([MINUTE_US, MINUTE_US, MINUTE_US, RETENTION_US, SECOND_US, limits.TTL_US_MAX, 1])

    def lines(self, quantity: Callable[[], int]) -> list[tuple[int, int, int]]:
        levels = {(self.sku(), self.location()): quantity() for _ in range(self.chance.randint(1, 4))}
        return [(*level, units) for level, units in levels.items()]

    def lines_or_all(self) -> list[tuple[int, int, int]]:
        return self.lines(self.units) if self.chance.randrange(2) else []

    def reserve(self) -> Command:
        lines = self.lines(self.units)
        is_partial = self.chance.randrange(2) == 1
        return reserve(lines, ttl_us=self.ttl_us(), allow_partial=is_partial, content=self.chance.randrange(2))

    def use_hold(self) -> Command:
        match self.chance.randrange(4):
            case 0 | 1:
                return commit(0, self.lines_or_all())
            case 2:
                return release(0, self.lines_or_all())
            case _:
                return extend(0, ttl_us=self.ttl_us())

    def change(self) -> Command:
        version = self.chance.choice([1, 2, 3]) if self.rarely(4) else 0
        if self.chance.randrange(2):
            return amend(0, self.lines(self.total), expected_version=version)
        source = self.location()
        target = self.chance.choice([at for at in LOCATIONS if at != source])
        lines = {self.sku(): self.units() for _ in range(self.chance.randint(1, 3))}
        is_whole = self.chance.randrange(2) == 1
        return transfer(0, source, target, None if is_whole else lines.items(), expected_version=version)

    def use_commitment(self) -> Command:
        return self.chance.choice([fulfill, cancel])(0, self.lines_or_all())

    def movement(self) -> Line:
        kind = self.chance.choice([*[Kind.RECEIVE] * 3, *RECORDABLE])
        sku, location, to_location, reason = self.sku(), self.location(), NO_LOCATION, 0
        quantity = limits.QUANTITY_MAX if self.rarely(100) else self.units()
        if kind in (Kind.MARK_UNAVAILABLE, Kind.MARK_AVAILABLE, Kind.WRITE_OFF, Kind.RETURN):
            reason = self.chance.choice([0] if kind == Kind.RETURN and self.rarely(2) else [1, 1, 1, 2, 5])
        elif kind == Kind.ADJUST:
            quantity *= self.chance.choice([1, -1])
        elif kind == Kind.TRANSFER_OUT:
            to_location = self.chance.choice([at for at in LOCATIONS if at != location])
        return Line(sku, location, to_location, kind, reason, quantity=quantity)

    def advance(self) -> Command:
        if self.chance.randrange(3) == 0:
            source = self.location()
            target = self.chance.choice([at for at in LOCATIONS if at != source])
            return create_transfer(
                source,
                target,
                {self.sku(): self.units() for _ in range(self.chance.randint(1, 3))}.items(),
                holds=self.chance.randrange(2) == 1,
                due_us=self.chance.choice([0, NOW_US]),
                order=-self.chance.randrange(2),  # -1: one that is found when it runs
                uses_safety_stock=self.rarely(3),
            )
        verb = self.chance.choice([*[TransferVerb.DISPATCH] * 2, *[TransferVerb.RECEIVE] * 3, *SAID])
        said = {(self.sku(), self.chance.choice(SAID[verb])) for _ in range(self.chance.randint(0, 4)) if SAID[verb]}
        if verb is TransferVerb.FIND:
            said = said or {(self.sku(), TransferAction.FIND)}
        lines = [
            units(sku, action, self.units(), self.chance.choice([1, 3]) if action is TransferAction.SET_ASIDE else 0)
            for sku, action in sorted(said)
        ]
        version = self.chance.choice([1, 2, 3]) if self.rarely(6) else 0
        return advance(verb, lines, expected_version=version, uses_safety_stock=self.rarely(3))

    def fact(self) -> Command:
        match self.chance.randrange(6):
            case 0 | 1 | 2:
                return record(*(self.movement() for _ in range(self.chance.randint(1, 4))))
            case 3:
                return set_on_hand(self.lines(self.total), validate_only=self.rarely(4))
            case 4:
                safety, backorder = (self.chance.choice([None, 0, 1, 5]) for _ in range(2))
                return set_policy(self.sku(), self.location(), safety_stock=safety, backorder_limit=backorder)
            case _:
                status = self.chance.choice([Status.OK, Status.SKU_ALREADY_EXISTS])
                decided = self.chance.choice([change_catalog, remember])
                return decided(status=status, outcome=self.chance.randrange(9), content=self.chance.randrange(2))

    def intent(self, commands: Sequence[Callable[[], Command]]) -> Intent:
        kinds = ["v7", "v7", "v4", "equal", "equal", "other", "old"]
        return Intent(
            command=self.chance.choice(commands)(),
            recent=self.chance.randrange(6),
            picks=[(self.chance.randrange(4), self.chance.randrange(5)) for _ in range(self.chance.randrange(3))],
            garbage=self.chance.randrange(64) if self.rarely(20) else None,
            request=(self.chance.choice(kinds), self.chance.randrange(6)) if self.rarely(3) else None,
            is_doubled=self.rarely(10),
        )

    def batch(self, *names: str) -> list[Intent]:
        commands = [getattr(self, name) for name in names]
        return [self.intent(commands) for _ in range(self.chance.randint(1, 4))]

    def step(self) -> Step:
        if self.rarely(20):
            pauses = [MINUTE_US, RETENTION_US, RETENTION_US + 1, WINDOW_US, WINDOW_US + 1]
            return "after", self.chance.choice(pauses)
        if self.rarely(12):
            return "expiry", self.chance.choice([0, 0, 0, -1, 1])
        return "after", self.chance.choice([0, 0, 0, 0, 1, SECOND_US])


COMMANDS = ("reserve", "use_hold", "change", "use_commitment", "fact", "advance")


# ---- what the journal says, read by the book ------------------------------------------------------------------------

# From which account to which each kind moves; at the level, or outside.
ACCOUNTS = {
    Kind.RESERVE: ("free", "reserved"),
    Kind.COMMIT: ("reserved", "committed"),
    Kind.RELEASE: ("reserved", "free"),
    Kind.EXPIRE: ("reserved", "free"),
    Kind.FULFILL: ("committed", "customer"),
    Kind.CANCEL: ("committed", "free"),
    Kind.COMMIT_FREE: ("free", "committed"),
    Kind.RECEIVE: ("supplier", "free"),
    Kind.SALE: ("free", "customer"),
    Kind.RETURN: ("customer", "free"),
    Kind.ADJUST: ("shrinkage", "free"),
    Kind.MARK_UNAVAILABLE: ("free", "unavailable"),
    Kind.MARK_AVAILABLE: ("unavailable", "free"),
    Kind.WRITE_OFF: ("unavailable", "shrinkage"),
    Kind.TRANSFER_OUT: ("free", "transit"),
    Kind.TRANSFER_IN: ("transit", "free"),
    Kind.COUNT: ("shrinkage", "free"),
    Kind.HELD_OUT: ("committed", "transit"),
    Kind.TRANSFER_SHORT: ("transit", "shrinkage"),
    Kind.TRANSFER_FOUND: ("shrinkage", "free"),
    Kind.UNEXPECTED: ("unexplained", "free"),
}
OUTSIDE = ("supplier", "customer", "shrinkage", "transit", "unexplained")


class JournalBook:
    """The stock as the journal's movements tell it."""

    def __init__(self) -> None:
        self.levels: dict[int, tuple[int, int]] = {}
        self.units: Counter[tuple[int, int, str, int]] = Counter()
        self.safety_stock: Counter[tuple[int, int]] = Counter()
        self.backorder_limit: Counter[tuple[int, int]] = Counter()

    def apply(self, group: Group) -> None:
        for row in group.movements:
            level, kind, reason, quantity = (int(row[name]) for name in ("level", "kind", "reason", "quantity"))
            if kind == Kind.STOCK_HERE:
                assert level == len(self.levels), "levels begin one after the other"
                self.levels[level] = quantity >> 32, quantity & 0xFFFF_FFFF
            elif kind == Kind.SET_SAFETY_STOCK:
                self.safety_stock[self.levels[level]] = quantity
            elif kind == Kind.SET_BACKORDER_LIMIT:
                self.backorder_limit[self.levels[level]] = quantity
            elif kind not in (Kind.PLAN, Kind.DOCUMENT):
                self.move(self.levels[level], Kind(kind), reason, quantity)

    def move(self, level: tuple[int, int], kind: Kind, reason: int, quantity: int) -> None:
        source, target = ACCOUNTS[kind]
        if kind in (Kind.RETURN, Kind.TRANSFER_IN) and reason:
            target = "unavailable"
        for account, change in ((source, -quantity), (target, quantity)):
            sku, location = level
            place = (sku, NOWHERE, account, 0) if account in OUTSIDE else (sku, location, account, 0)
            self.units[(*place[:3], reason) if account == "unavailable" else place] += change

    def view(self, level: tuple[int, int]) -> LevelView | None:
        if level not in self.levels.values():
            return None
        here = {(account, reason): units for (*at, account, reason), units in self.units.items() if (*at,) == level}
        return LevelView(
            on_hand=sum(here.values()),
            unavailable={
                reason: here[at] for at in sorted(here) if at[0] == "unavailable" and (reason := at[1]) and here[at]
            },
            reserved=here.get(("reserved", 0), 0),
            committed=here.get(("committed", 0), 0),
            safety_stock=self.safety_stock[level],
            backorder_limit=self.backorder_limit[level],
        )


# ---- the machine -----------------------------------------------------------------------------------------------------


class Used(NamedTuple):
    """A request id that was decided."""

    request_id: int
    plain: Command
    fast: Command
    time_us: int


def is_fit(operation: Operation, view: ReservationView) -> bool:
    """Say whether a reservation is in a state that the operation is for."""
    if operation in (Operation.COMMIT, Operation.RELEASE, Operation.EXTEND):
        return view.state == ReservationState.ACTIVE
    if operation in (Operation.FULFILL, Operation.CANCEL):
        return view.state == ReservationState.COMMITTED and any(line.open for line in view.lines)
    return any(line.open for line in view.lines)


def fitted_to_transfer(command: Command, view: DocumentView | None, picks: list[tuple[int, int]]) -> tuple[Line, ...]:
    """Let a verb name lines that the transfer has, and about as many units as they have."""
    head, *lines = command.lines
    if view is None or not picks or not lines:
        return command.lines
    stages = ABOUT.get(TransferVerb(head.kind), (3,))
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
        if Operation.COMMIT <= plain.operation <= Operation.CANCEL:
            plain_id, fast_id = self.find_reservation(intent, may_be_garbage=may_be_garbage)
            lines = fitted(plain, self.plain.reservation(plain_id), intent.picks)
            plain = replace(plain, lines=lines, reservation_id=plain_id)
            fast = replace(fast, lines=lines, reservation_id=fast_id)
        elif plain.operation == Operation.ADVANCE:
            plain, fast = self.resolve_transfer(intent)
        if intent.request is None:
            return plain, fast
        kind, recent = intent.request
        known = [used for used in self.used if used.time_us >= self.time_us - WINDOW_US][::-1][: recent + 1]
        if kind == "equal" and known:
            return known[-1].plain, known[-1].fast
        request_id = known[-1].request_id if kind == "other" and known else self.new_request_id(kind)
        return replace(plain, request_id=request_id), replace(fast, request_id=request_id)

    def resolve_transfer(self, intent: Intent) -> tuple[Command, Command]:
        """Fill in the order that a new transfer is for, or the transfer that a verb is of."""
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
            if not orders:
                head = head._replace(to_quantity=0)
                return (replace(command, lines=(head, *lines)),) * 2
            order = list(orders)[::-1][: intent.recent + 1][-1]
            source = orders[order][0].location
            target = (source + 1) % len(LOCATIONS) if head.to_location == source else head.to_location
            if intent.picks:
                here = [at for at in orders[order] if at.location == source]
                lines = [
                    units(at.sku, TransferAction.HOLD, max(1, at.open - how % 2))
                    for at, (_, how) in zip(here, intent.picks, strict=False)
                ]
            heads = [
                head._replace(location=source, to_location=target, to_quantity=reservation_id)
                for reservation_id in (order, self.fast_ids[order])
            ]
            return replace(command, lines=(heads[0], *lines)), replace(command, lines=(heads[1], *lines))
        documents = self.documents()
        is_open = [each for each, view in documents.items() if view.state not in DOCUMENT_ENDED]
        known = (is_open if is_open and intent.recent < 4 else list(documents))[::-1][: intent.recent + 1]
        if not known or intent.garbage is not None:
            return (replace(command, reservation_id=-1 if known else 0),) * 2
        said = fitted_to_transfer(command, documents[known[-1]], intent.picks)
        filled = replace(command, lines=said, reservation_id=known[-1])
        return filled, replace(filled, reservation_id=self.fast_documents[known[-1]])

    def documents(self) -> dict[int, DocumentView]:
        """All transfers that both ledgers must still know, as the plain one reads them."""
        views = {each: self.plain.document(each, DocumentKind.TRANSFER) for each in self.fast_documents}
        return {
            each: view
            for each, view in views.items()
            if view is not None and not (view.state in DOCUMENT_ENDED and view.time_us + RETENTION_US < self.time_us)
        }

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
        elif plain.status == Status.VERSION_MISMATCH:
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
        if command.operation == Operation.ADVANCE:
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
        begins = any(pair[0].operation == Operation.ADVANCE for pair in pairs)
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
            found = self.fast.document(self.fast_documents[each], DocumentKind.TRANSFER)
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
                sums[ReservationState.COMMITTED, at.sku, document.source] += at.units[TransferStage.HELD - 1]
        for level in self.levels:
            view = self.fast.level(*level)
            if view is not None:
                assert view.reserved == sums[ReservationState.ACTIVE, *level]
                assert view.committed == sums[ReservationState.COMMITTED, *level]

    def teardown(self):
        self.settle()


TestLedgers = pytest.mark.timeout(0 if PROFILE == "thorough" else 120)(LedgerMachine.TestCase)
TestLedgers.settings = PROFILES[PROFILE]


@pytest.mark.parametrize("seed", range(SEED_COUNT))
def test_a_long_day(seed):
    """The same machine on one seed: many more steps, since nothing is kept to make a failure small."""
    chance = Random(seed)
    callers, machine = Callers(chance), LedgerMachine()
    machine.receive_goods([chance.choice([0, 3, 10, 30]) for _ in LEVELS])
    for _ in range(STEP_COUNT):
        match chance.randrange(20):
            case 0:
                machine.open_or_close(chance.choice(LOCATIONS), chance.choice([True] * 8 + [False]))
            case 1:
                machine.fail_over()
            case 2 | 3:
                machine.settle_now()
            case 4:
                machine.expire_in_parts(chance)
            case _:
                machine.execute_batch(callers.batch(*COMMANDS), callers.step())
        machine.both_read_alike()
        machine.both_are_in_order()
        machine.holds_are_the_sum_of_open_lines()
    machine.teardown()


class WideMachine(LedgerMachine):
    """So many stock levels that a reservation can be full."""

    skus = range(45)


class WideCallers:
    """Makes up changes of reservations that have about as many lines as there may be."""

    def __init__(self, chance: Random, machine: WideMachine) -> None:
        self.chance, self.machine = chance, machine

    def reserve(self) -> Command:
        count = limits.LINES_PER_RESERVATION_MAX - self.chance.choice([0, 0, 1, 5])
        there = [level for level in self.machine.levels if (self.machine.plain.available(*level) or 0) >= 2]
        return reserve([(*level, 2) for level in self.chance.sample(there, count)], ttl_us=limits.TTL_US_MAX)

    def amend(self, view: ReservationView) -> Command:
        levels = {(line.sku, line.location): line for line in view.lines}
        here = self.chance.sample(list(levels), min(len(levels), self.chance.choice([0, 0, 1, 1, 2, 3, 40])))
        room = limits.LINES_PER_RESERVATION_MAX - len(view.lines)
        others = [level for level in self.machine.levels if level not in levels]
        count = self.chance.choice([len(here), len(here) + 1, *[room + len(here)] * 6, *[room + len(here) + 1] * 2])
        new = self.chance.sample(others, min(count, len(others), limits.LINES_PER_RESERVATION_MAX - len(here)))
        totals = [(*level, 0 if self.chance.randrange(30) == 0 else levels[level].fulfilled) for level in here]
        totals += [(*level, 0 if self.chance.randrange(60) == 0 else self.chance.choice([1, 1, 2])) for level in new]
        return amend(0, self.chance.sample(totals, len(totals)) or [(*others[0], 0)])

    def transfer(self, view: ReservationView) -> Command:
        source, target = self.chance.sample(LOCATIONS, 2)
        here = [line for line in view.lines if line.location == source and line.open]
        if not here or self.chance.randrange(3) == 0:
            return transfer(0, source, target)
        some = self.chance.sample(here, self.chance.choice([1, min(3, len(here)), len(here)]))
        parts = 20 if self.chance.randrange(2) else 10**9
        return transfer(
            0, source, target, [(at.sku, 1 if self.chance.randrange(parts) == 0 else at.open) for at in some]
        )

    def end_some(self, view: ReservationView) -> Command:
        open_lines = [line for line in view.lines if line.open]
        some = self.chance.sample(open_lines, min(2, len(open_lines)))
        lines = [(at.sku, at.location, 1) for at in some]
        if view.state == ReservationState.ACTIVE:
            return commit(0) if self.chance.randrange(3) == 0 else release(0, lines)
        return self.chance.choice([fulfill, cancel])(0, lines)

    def change(self, view: ReservationView) -> Command:
        makers = [self.amend] * 4 + [self.transfer] * 4 + [self.end_some]
        command = self.chance.choice(makers)(view)
        return (
            replace(command, request_id=self.machine.new_request_id("v7")) if self.chance.randrange(4) == 0 else command
        )


@pytest.mark.parametrize("seed", range(max(1, SEED_COUNT // 2)))
def test_reservations_about_full(seed):
    """Lines that come and go at the limit: both ledgers, the standby, and the place of every line."""
    chance, machine = Random(seed), WideMachine()
    callers = WideCallers(chance, machine)
    machine.receive_goods([5 if chance.randrange(25) == 0 else 500 for _ in machine.levels])
    seen: Counter[Status] = Counter()
    full = 0
    for step in range(STEP_COUNT // 3):
        fit = [
            each
            for each, view in machine.views().items()
            if view.state not in ENDED and sum(line.open for line in view.lines) > 20
        ]
        if len(fit) < 3:
            command = callers.reserve()
            machine.run([(command, command)])
        else:
            chosen = chance.choice(fit)
            view = machine.plain.reservation(chosen)
            command = callers.change(view)
            fast_id = machine.fast_ids[chosen]
            plain = machine.run([(replace(command, reservation_id=chosen), replace(command, reservation_id=fast_id))])
            seen[plain[0].status] += 1
            full += len(view.lines) == limits.LINES_PER_RESERVATION_MAX and plain[0].status == Status.OK
        machine.both_read_alike()
        if step % 20 == 0:
            machine.settle()
            machine.both_are_in_order()
            machine.holds_are_the_sum_of_open_lines()
    machine.fail_over()
    machine.both_read_alike()
    assert min(seen[Status.OK], seen[Status.TOO_MANY_LINES], seen[Status.INSUFFICIENT_STOCK], full) > 3, (seen, full)


def test_large_groups_replay_byte_equal():
    """Beyond the first capacity of every column, and with much to expire, recycle and forget at once."""
    machine, chance = LedgerMachine(), Random(1)
    machine.receive_goods([1_000_000] * len(LEVELS))
    for day in range(4):
        commands = [
            reserve(
                [(*level, 1) for level in chance.sample(LEVELS, chance.randint(1, 4))],
                ttl_us=chance.choice([SECOND_US, MINUTE_US]),
                request_id=uuid7(machine.time_us, day << 32 | key),
            )
            for key in range(2_000)
        ]
        machine.run([(command, command) for command in commands])
        machine.settle()
        fast_ids = list(machine.fast_ids.items())
        done = [make for make in (commit, release) for _ in range(800)]
        machine.run(
            [
                (make(plain_id), make(fast_id))
                for make, (plain_id, fast_id) in zip(done, chance.sample(fast_ids[-2_000:], len(done)), strict=True)
            ]
        )
        machine.settle()
        machine.pass_time(("after", chance.choice([SECOND_US, MINUTE_US, WINDOW_US + 1])))
    machine.both_read_alike()
    machine.both_are_in_order()
    machine.fail_over()
