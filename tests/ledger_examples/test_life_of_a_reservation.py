"""The ledger by example: the life of a reservation: every operation in every state."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import chain, combinations
from typing import NamedTuple

import pytest
from ledger_cases import (
    NOW_US,
    OF_DOCUMENTS,
    SECOND_US,
    Bench,
    Command,
    adjust,
    amend,
    cancel,
    change_catalog,
    commit,
    extend,
    fulfill,
    mark_unavailable,
    receive,
    record,
    release,
    remember,
    replace_hold,
    reserve,
    sale,
    set_on_hand,
    set_policy,
    transfer,
    transfer_out,
    uuid4,
    uuid7,
    write_off,
)

from ledger.core import limits
from ledger.core.ids import SHARD_SHIFT
from ledger.core.statuses import Operation, ReservationState, Status
from ledger_examples.harness import (
    ACTIONS,
    ACTIVE,
    CANCELLED,
    CLOSED,
    COMMITTED,
    EXCEEDS,
    EXPIRED,
    FULFILLED,
    GARBAGE_IDS,
    INACTIVE,
    LOST,
    MISMATCH,
    NOT_ACTIVE,
    NOT_COMMITTED,
    NOT_STOCKED,
    RELEASED,
    SHORT,
    SKU_1,
    SKU_2,
    SKU_3,
    TOO_MANY,
    UNKNOWN,
    WINDOW_US,
    A,
    B,
    C,
    in_state,
)

STATES = ("ACTIVE", "COMMITTED", "FULFILLED", "CANCELLED", "RELEASED", "EXPIRED", UNKNOWN)


# What comes of each action in each of STATES: the state after it, or the refusal.
TRANSITIONS: dict[str, tuple[ReservationState | Status, ...]] = {
    "COMMIT all": (COMMITTED, COMMITTED, FULFILLED, CANCELLED, NOT_ACTIVE, EXPIRED, LOST),
    "COMMIT lines": (COMMITTED, NOT_ACTIVE, NOT_ACTIVE, NOT_ACTIVE, NOT_ACTIVE, EXPIRED, LOST),
    "RELEASE all": (RELEASED, NOT_ACTIVE, NOT_ACTIVE, NOT_ACTIVE, NOT_ACTIVE, EXPIRED, LOST),
    "RELEASE lines": (ACTIVE, NOT_ACTIVE, NOT_ACTIVE, NOT_ACTIVE, NOT_ACTIVE, EXPIRED, LOST),
    "EXTEND": (ACTIVE, NOT_ACTIVE, NOT_ACTIVE, NOT_ACTIVE, NOT_ACTIVE, EXPIRED, LOST),
    "AMEND": (ACTIVE, COMMITTED, NOT_ACTIVE, NOT_ACTIVE, NOT_ACTIVE, EXPIRED, LOST),
    "AMEND as it is": (ACTIVE, COMMITTED, NOT_ACTIVE, NOT_ACTIVE, NOT_ACTIVE, EXPIRED, LOST),
    "AMEND drop": (RELEASED, CANCELLED, NOT_ACTIVE, NOT_ACTIVE, NOT_ACTIVE, EXPIRED, LOST),
    "REPLACE": (ACTIVE, NOT_ACTIVE, NOT_ACTIVE, NOT_ACTIVE, NOT_ACTIVE, EXPIRED, LOST),
    "REPLACE elsewhere": (ACTIVE, NOT_ACTIVE, NOT_ACTIVE, NOT_ACTIVE, NOT_ACTIVE, EXPIRED, LOST),
    "TRANSFER all": (ACTIVE, COMMITTED, NOT_ACTIVE, NOT_ACTIVE, NOT_ACTIVE, EXPIRED, LOST),
    "TRANSFER lines": (ACTIVE, COMMITTED, NOT_ACTIVE, NOT_ACTIVE, NOT_ACTIVE, EXPIRED, LOST),
    "FULFILL all": (NOT_COMMITTED, FULFILLED, NOT_COMMITTED, NOT_COMMITTED, NOT_COMMITTED, NOT_COMMITTED, LOST),
    "FULFILL lines": (NOT_COMMITTED, COMMITTED, NOT_COMMITTED, NOT_COMMITTED, NOT_COMMITTED, NOT_COMMITTED, LOST),
    "CANCEL all": (NOT_COMMITTED, CANCELLED, NOT_COMMITTED, NOT_COMMITTED, NOT_COMMITTED, NOT_COMMITTED, LOST),
    "CANCEL lines": (NOT_COMMITTED, COMMITTED, NOT_COMMITTED, NOT_COMMITTED, NOT_COMMITTED, NOT_COMMITTED, LOST),
}


DECIDED = (Operation.CHANGE_CATALOG, Operation.REMEMBER)


def test_the_transitions_are_all_there():
    assert TRANSITIONS.keys() == ACTIONS.keys()
    assert all(len(row) == len(STATES) for row in TRANSITIONS.values())
    assert {state.name for state in ReservationState} == set(STATES) - {UNKNOWN}
    on_reservations = {action(1).operation for action in ACTIONS.values()}
    others = {Operation.RESERVE, Operation.EXPIRE, Operation.RECORD_MOVEMENTS, Operation.SET_ON_HAND, *OF_DOCUMENTS}
    assert on_reservations == set(Operation) - others - {Operation.SET_POLICY, *DECIDED}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", ACTIONS)
def test_transition(bench, name, state):
    bench.stock((SKU_1, A, 10), (SKU_1, B, 10))
    reservation_id = in_state(bench, state)
    before = bench.ledger.reservation(reservation_id)
    levels = [bench.level(SKU_1, at) for at in (A, B)]
    seq = bench.ledger.seq
    result = bench.do(ACTIONS[name](reservation_id), after_us=SECOND_US)
    expected = TRANSITIONS[name][STATES.index(state)]
    if isinstance(expected, Status):
        assert (result.status, result.is_written, result.seq, bench.ledger.seq) == (expected, False, seq, seq)
        assert bench.ledger.reservation(reservation_id) == before
        assert [bench.level(SKU_1, at) for at in (A, B)] == levels
        return
    is_no_op = name == "COMMIT all" and state in ("COMMITTED", "FULFILLED", "CANCELLED")
    after = bench.reservation(reservation_id)
    assert (result.status, result.state, after.state) == (Status.OK, expected, expected)
    assert result.version == after.version == before.version + (not is_no_op)
    assert result.is_written is not is_no_op
    assert result.seq == bench.ledger.seq == seq + (not is_no_op)
    assert result.reservation_id == reservation_id
    assert after.create_time_us == before.create_time_us


@pytest.mark.parametrize("reservation_id", GARBAGE_IDS)
@pytest.mark.parametrize("name", ACTIONS)
def test_no_reservation_of_that_id(bench, name, reservation_id):
    bench.stock((SKU_1, A, 10), (SKU_1, B, 10))
    bench.hold((SKU_1, A, 1))
    if bench.ledger.reservation(reservation_id) is not None:
        pytest.skip("somebody's")
    expected = Status.WRONG_SHARD if reservation_id >> SHARD_SHIFT > 0 else Status.RESERVATION_NOT_FOUND
    assert bench.do(ACTIONS[name](reservation_id)).status == expected


# What each action on 4 units of 10 leaves: on_hand, reserved and committed of the level, then quantity, open and
# fulfilled of the line; None if it is dropped.
EFFECTS: dict[tuple[str, str], tuple[int, int, int, tuple[int, int, int] | None]] = {
    ("ACTIVE", "COMMIT all"): (10, 0, 4, (4, 4, 0)),
    ("ACTIVE", "COMMIT lines"): (10, 0, 1, (4, 1, 0)),
    ("ACTIVE", "RELEASE all"): (10, 0, 0, (4, 0, 0)),
    ("ACTIVE", "RELEASE lines"): (10, 3, 0, (4, 3, 0)),
    ("ACTIVE", "EXTEND"): (10, 4, 0, (4, 4, 0)),
    ("ACTIVE", "AMEND"): (10, 5, 0, (5, 5, 0)),
    ("ACTIVE", "AMEND as it is"): (10, 4, 0, (4, 4, 0)),
    ("ACTIVE", "AMEND drop"): (10, 0, 0, None),
    ("ACTIVE", "REPLACE"): (10, 5, 0, (5, 5, 0)),
    ("ACTIVE", "REPLACE elsewhere"): (10, 0, 0, None),
    ("ACTIVE", "TRANSFER all"): (10, 0, 0, None),
    ("ACTIVE", "TRANSFER lines"): (10, 3, 0, (3, 3, 0)),
    ("COMMITTED", "COMMIT all"): (10, 0, 4, (4, 4, 0)),
    ("COMMITTED", "AMEND"): (10, 0, 5, (5, 5, 0)),
    ("COMMITTED", "AMEND as it is"): (10, 0, 4, (4, 4, 0)),
    ("COMMITTED", "AMEND drop"): (10, 0, 0, None),
    ("COMMITTED", "TRANSFER all"): (10, 0, 0, None),
    ("COMMITTED", "TRANSFER lines"): (10, 0, 3, (3, 3, 0)),
    ("COMMITTED", "FULFILL all"): (6, 0, 0, (4, 0, 4)),
    ("COMMITTED", "FULFILL lines"): (9, 0, 3, (4, 3, 1)),
    ("COMMITTED", "CANCEL all"): (10, 0, 0, (4, 0, 0)),
    ("COMMITTED", "CANCEL lines"): (10, 0, 3, (4, 3, 0)),
    ("FULFILLED", "COMMIT all"): (6, 0, 0, (4, 0, 4)),
    ("CANCELLED", "COMMIT all"): (10, 0, 0, (4, 0, 0)),
}


def test_the_effects_are_all_there():
    accepted = {
        (state, name)
        for name, row in TRANSITIONS.items()
        for state, expected in zip(STATES, row, strict=True)
        if isinstance(expected, ReservationState)
    }
    assert EFFECTS.keys() == accepted


@pytest.mark.parametrize(("state", "name"), EFFECTS)
def test_effect(bench, state, name):
    bench.stock((SKU_1, A, 10), (SKU_1, B, 10))
    reservation_id = in_state(bench, state)
    bench.ok(ACTIONS[name](reservation_id))
    level = bench.level(SKU_1, A)
    *units, line = EFFECTS[state, name]
    assert [level.on_hand, level.reserved, level.committed] == units
    stays = 0 if line is None else line[0]
    moved = 2 if name == "REPLACE elsewhere" else 4 - stays if name.startswith("TRANSFER") else 0
    there = bench.level(SKU_1, B)
    assert (there.on_hand, there.reserved + there.committed) == (10, moved)
    here = [] if line is None else [(SKU_1, A, *line)]
    assert bench.lines(reservation_id) == here + ([(SKU_1, B, moved, moved, 0)] if moved else [])


# When a reservation ended, after an action one second later than what brought it there; None: what it was.
@pytest.mark.parametrize(
    ("state", "name", "is_now"),
    [
        ("ACTIVE", "COMMIT all", True),
        ("ACTIVE", "COMMIT lines", True),
        ("ACTIVE", "RELEASE all", True),
        ("ACTIVE", "RELEASE lines", False),
        ("ACTIVE", "AMEND", False),
        ("ACTIVE", "AMEND drop", True),
        ("ACTIVE", "TRANSFER all", False),
        ("COMMITTED", "COMMIT all", False),
        ("COMMITTED", "AMEND", False),
        ("COMMITTED", "AMEND drop", True),
        ("COMMITTED", "TRANSFER all", False),
        ("COMMITTED", "FULFILL all", True),
        ("COMMITTED", "FULFILL lines", False),
        ("COMMITTED", "CANCEL all", True),
        ("COMMITTED", "CANCEL lines", False),
    ],
)
def test_when_it_ended(bench, state, name, is_now):
    bench.stock((SKU_1, A, 10), (SKU_1, B, 10))
    reservation_id = in_state(bench, state)
    before_us = bench.reservation(reservation_id).time_us
    bench.ok(ACTIONS[name](reservation_id), after_us=SECOND_US)
    assert bench.reservation(reservation_id).time_us == (bench.time_us if is_now else before_us)


USED_ID, FRESH_ID, OLD_ID = uuid4(1), uuid4(2), uuid7(NOW_US - WINDOW_US - SECOND_US, 3)


NOT_A_SKU, NOT_A_LOCATION = -3, -4


REQUEST = (Status.REQUEST_ID_REUSED, Status.REQUEST_ID_TOO_OLD)


LOOKUP = (Status.SKU_NOT_FOUND, Status.LOCATION_NOT_FOUND)


# Every cause that can speak against each operation, lowest first.
CAUSES: dict[Operation, tuple[Status, ...]] = {
    Operation.RESERVE: (*REQUEST, *LOOKUP, NOT_STOCKED, INACTIVE, SHORT),
    Operation.COMMIT: (*REQUEST, *LOOKUP, LOST, EXPIRED, NOT_ACTIVE, EXCEEDS),
    Operation.RELEASE: (*REQUEST, *LOOKUP, LOST, EXPIRED, NOT_ACTIVE, EXCEEDS),
    Operation.EXTEND: (*REQUEST, LOST, EXPIRED, NOT_ACTIVE),
    Operation.AMEND: (
        *(*REQUEST, *LOOKUP, LOST, NOT_STOCKED, EXPIRED, NOT_ACTIVE, MISMATCH, INACTIVE, TOO_MANY),
        *(EXCEEDS, SHORT),
    ),
    Operation.TRANSFER: (
        *(*REQUEST, *LOOKUP, LOST, NOT_STOCKED, EXPIRED, NOT_ACTIVE, MISMATCH, INACTIVE, TOO_MANY),
        *(EXCEEDS, SHORT),
    ),
    Operation.REPLACE: (*REQUEST, *LOOKUP, LOST, NOT_STOCKED, EXPIRED, NOT_ACTIVE, MISMATCH, INACTIVE, SHORT),
    Operation.FULFILL: (*REQUEST, *LOOKUP, LOST, NOT_COMMITTED, EXCEEDS, SHORT),
    Operation.CANCEL: (*REQUEST, *LOOKUP, LOST, NOT_COMMITTED, EXCEEDS),
    Operation.RECORD_MOVEMENTS: (*REQUEST, *LOOKUP, SHORT),
    Operation.SET_ON_HAND: (*REQUEST, *LOOKUP),
    Operation.SET_POLICY: (*REQUEST, *LOOKUP),
    Operation.CHANGE_CATALOG: REQUEST,
    Operation.REMEMBER: REQUEST,
}


class Trouble:
    """A ledger in which every cause can be brought about, and reservations in all states."""

    def __init__(self, bench: Bench) -> None:
        wide = [bench.ledger.define_sku(f"wide-{index}") for index in range(limits.LINES_PER_RESERVATION_MAX)]
        self.part_fulfilled, self.movable, self.scarce_at_b, self.broken, *_ = wide
        bench.stock(*((sku, at, 10) for sku in (*wide, SKU_1, SKU_2) for at in (A, B)))
        bench.stock(*((sku, CLOSED, 10) for sku in (SKU_1, self.scarce_at_b, self.movable)))
        bench.ok(record(sale(self.scarce_at_b, B, 7), mark_unavailable(self.broken, A, 8)))
        bench.ok(set_policy(self.broken, A, backorder_limit=10))
        self.released = bench.hold((SKU_1, A, 2))
        bench.ok(release(self.released))
        self.expired = bench.hold((SKU_1, A, 2), ttl_us=SECOND_US)
        bench.wait(SECOND_US)
        self.active = bench.hold((SKU_1, A, 2))
        # As many lines as there may be: 99 at A and one at B.
        self.full = bench.order(*((sku, A, 5) for sku in wide[:-1]), (self.scarce_at_b, B, 1))
        bench.ok(fulfill(self.full, [(self.part_fulfilled, A, 2)]))
        bench.ok(change_catalog(content=1, request_id=USED_ID))

    def reservation_id(self, causes: frozenset[Status], good: int) -> int:
        if LOST in causes:
            return GARBAGE_IDS[3]
        if EXPIRED in causes:
            return self.expired
        return self.released if causes & {NOT_ACTIVE, NOT_COMMITTED} else good

    def lines(self, causes: frozenset[Status], good: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
        lines = list(good)
        if Status.SKU_NOT_FOUND in causes:
            lines.append((NOT_A_SKU, A, 1))
        if Status.LOCATION_NOT_FOUND in causes:
            lines.append((SKU_1, NOT_A_LOCATION, 1))
        if NOT_STOCKED in causes:
            lines.append((SKU_3, A, 1))
        if INACTIVE in causes:
            lines.append((SKU_1, CLOSED, 1))
        return lines

    def command(self, operation: Operation, causes: frozenset[Status], request_id: int | None) -> Command:
        """A command that these causes speak against, and no other."""
        return replace(getattr(self, operation.name.lower())(causes), request_id=request_id)

    def reserve(self, causes: frozenset[Status]) -> Command:
        return reserve(self.lines(causes, [(SKU_1, A, 100 if SHORT in causes else 1)]))

    def commit(self, causes: frozenset[Status]) -> Command:
        lines = self.lines(causes, [(SKU_1, A, 100 if EXCEEDS in causes else 1)])
        return commit(self.reservation_id(causes, self.active), lines)

    def release(self, causes: frozenset[Status]) -> Command:
        return replace(self.commit(causes), operation=Operation.RELEASE)

    def extend(self, causes: frozenset[Status]) -> Command:
        return extend(self.reservation_id(causes, self.active))

    def amend(self, causes: frozenset[Status]) -> Command:
        lines = [(self.part_fulfilled, A, 1 if EXCEEDS in causes else 5)]
        lines += [(self.movable, A, 1000)] if SHORT in causes else []
        lines += [(SKU_2, A, 1)] if TOO_MANY in causes else []
        version = 77 if MISMATCH in causes else 0
        return amend(self.reservation_id(causes, self.full), self.lines(causes, lines), expected_version=version)

    def replace(self, causes: frozenset[Status]) -> Command:
        lines = self.lines(causes, [(SKU_1, A, 100 if SHORT in causes else 1)])
        version = 77 if MISMATCH in causes else 0
        return replace_hold(self.reservation_id(causes, self.active), lines, expected_version=version)

    def transfer(self, causes: frozenset[Status]) -> Command:
        # 4 of 5 units: a line that leaves whole would make room for another
        lines = [(self.scarce_at_b, 100 if EXCEEDS in causes else 4 if SHORT in causes else 1)]
        lines += [(self.movable, 1)] if TOO_MANY in causes else []
        lines += [(SKU_3, 1)] if NOT_STOCKED in causes else []
        lines += [(NOT_A_SKU, 1)] if Status.SKU_NOT_FOUND in causes else []
        target = CLOSED if INACTIVE in causes else B
        target = NOT_A_LOCATION if Status.LOCATION_NOT_FOUND in causes else target
        version = 77 if MISMATCH in causes else 0
        return transfer(self.reservation_id(causes, self.full), A, target, lines, expected_version=version)

    def fulfill(self, causes: frozenset[Status]) -> Command:
        lines = [(self.part_fulfilled, A, 100 if EXCEEDS in causes else 1)]
        lines += [(self.broken, A, 5)] if SHORT in causes else []
        return fulfill(self.reservation_id(causes, self.full), self.lines(causes, lines))

    def cancel(self, causes: frozenset[Status]) -> Command:
        return replace(self.fulfill(causes), operation=Operation.CANCEL)

    def record_movements(self, causes: frozenset[Status]) -> Command:
        lines = [sale(*line) for line in self.lines(causes, [(SKU_2, A, 1)])]
        return record(*lines, *([write_off(SKU_1, A, 1)] if SHORT in causes else []))

    def set_on_hand(self, causes: frozenset[Status]) -> Command:
        return set_on_hand(self.lines(causes, [(SKU_2, A, 1)]))

    def set_policy(self, causes: frozenset[Status]) -> Command:
        sku = NOT_A_SKU if Status.SKU_NOT_FOUND in causes else SKU_1
        location = NOT_A_LOCATION if Status.LOCATION_NOT_FOUND in causes else A
        return set_policy(sku, location, safety_stock=1)

    def change_catalog(self, _: frozenset[Status]) -> Command:
        return change_catalog()

    def remember(self, _: frozenset[Status]) -> Command:
        return remember()


def subsets(causes: Iterable[Status]) -> list[frozenset[Status]]:
    """Every cause alone, every pair, and all from each one on."""
    causes = list(causes)
    suffixes = (causes[start:] for start in range(len(causes)))
    return [frozenset(each) for each in chain(combinations(causes, 1), combinations(causes, 2), suffixes)]


def test_the_causes_are_all_there():
    assert CAUSES.keys() == set(Operation) - {Operation.EXPIRE, *OF_DOCUMENTS}
    elsewhere = {Status.OK, Status.VALIDATION_FAILED, Status.SKU_ALREADY_EXISTS, Status.LOCATION_ALREADY_EXISTS}
    elsewhere |= {Status.DOCUMENT_NOT_FOUND, Status.DOCUMENT_NOT_BEGUN, Status.DOCUMENT_ENDED, Status.VERB_NOT_ALLOWED}
    elsewhere.add(Status.WRONG_SHARD)  # in test_shards.py
    assert set(chain.from_iterable(CAUSES.values())) == set(Status) - elsewhere
    assert all(list(causes) == sorted(causes) for causes in CAUSES.values())


@pytest.mark.parametrize("operation", CAUSES, ids=lambda operation: operation.name)
def test_the_lowest_status_wins(bench, operation):
    trouble = Trouble(bench)
    for causes in subsets(CAUSES[operation]):
        request_id = USED_ID if Status.REQUEST_ID_REUSED in causes else None
        request_id = OLD_ID if request_id is None and Status.REQUEST_ID_TOO_OLD in causes else request_id
        seq = bench.ledger.seq
        result = bench.do(trouble.command(operation, causes, request_id))
        assert result.status == min(causes), (causes, result)
        assert (result.is_written, result.seq, bench.ledger.seq) == (False, seq, seq)
        if result.status == MISMATCH:
            named = trouble.active if operation is Operation.REPLACE else trouble.full
            assert result.version == bench.reservation(named).version
    bench.ok(trouble.command(operation, frozenset(), FRESH_ID))


@pytest.mark.parametrize("status", [Status.SKU_NOT_FOUND, Status.LOCATION_NOT_FOUND, NOT_STOCKED, INACTIVE])
def test_only_the_first_line_is_named(bench, status):
    bench.stock((SKU_1, A, 9), (SKU_1, CLOSED, 9), (SKU_2, CLOSED, 9))
    blamed = {
        Status.SKU_NOT_FOUND: [(-7, A, 1), (-8, A, 1)],
        Status.LOCATION_NOT_FOUND: [(SKU_1, -7, 1), (SKU_1, -8, 1)],
        NOT_STOCKED: [(SKU_1, B, 1), (SKU_1, C, 1)],
        INACTIVE: [(SKU_1, CLOSED, 1), (SKU_2, CLOSED, 1)],
    }[status]
    result = bench.do(reserve([(SKU_1, A, 1), *blamed]))
    assert (result.status, result.details) == (status, ((1, -1, 0),))


def test_quantities_above_open_are_all_named(bench):
    bench.stock((SKU_1, A, 9), (SKU_2, A, 9), (SKU_3, A, 9))
    hold = bench.hold((SKU_1, A, 3), (SKU_2, A, 2))
    lines = [(SKU_2, A, 3), (SKU_1, A, 3), (SKU_1, B, 1), (SKU_3, A, 4)]
    told = [(0, (SKU_2, A), 3, 2), (2, -1, 1, 0), (3, (SKU_3, A), 4, 0)]
    for command in (commit(hold, lines), release(hold, lines)):
        result = bench.do(command)
        assert (result.status, result.told) == (EXCEEDS, told)
    bench.ok(commit(hold))
    for command in (fulfill(hold, lines), cancel(hold, lines)):
        result = bench.do(command)
        assert (result.status, result.told) == (EXCEEDS, told)


def test_lines_below_what_was_fulfilled_are_all_named(bench):
    bench.stock((SKU_1, A, 9), (SKU_2, A, 9))
    order = bench.order((SKU_1, A, 3), (SKU_2, A, 4))
    bench.ok(fulfill(order, [(SKU_1, A, 2), (SKU_2, A, 3)]))
    result = bench.do(amend(order, [(SKU_1, A, 1), (SKU_2, A, 0)]))
    assert (result.status, result.told) == (EXCEEDS, [(0, (SKU_1, A), 1, 2), (1, (SKU_2, A), 0, 3)])
    bench.ok(amend(order, [(SKU_1, A, 2), (SKU_2, A, 3)]))
    assert bench.lines(order) == [(SKU_1, A, 2, 0, 2), (SKU_2, A, 3, 0, 3)]
    assert bench.state(order) == FULFILLED


def test_without_lines_the_position_in_the_reservation_is_named(bench):
    bench.stock((SKU_1, A, 3), (SKU_1, B, 3), (SKU_2, A, 3))
    order = bench.order((SKU_1, A, 3), (SKU_1, B, 3), (SKU_2, A, 3))
    bench.ok(fulfill(order, [(SKU_1, A, 3)]))
    bench.ok(record(mark_unavailable(SKU_2, A, 2)))
    result = bench.do(fulfill(order))
    assert (result.status, result.told) == (SHORT, [(2, (SKU_2, A), 3, 1)])
    bench.ok(amend(order, [(SKU_1, B, 0)]))
    result = bench.do(fulfill(order))
    assert (result.status, result.told) == (SHORT, [(1, (SKU_2, A), 3, 1)]), "a dropped line does not count"


def test_a_whole_transfer_counts_the_open_lines_at_the_location(bench):
    bench.stock((SKU_1, A, 9), (SKU_2, A, 9), (SKU_3, A, 9), (SKU_1, C, 9))
    bench.stock((SKU_1, B, 9), (SKU_2, B, 1), (SKU_3, B, 2))
    hold = bench.hold((SKU_1, A, 2), (SKU_1, C, 2), (SKU_2, A, 2), (SKU_3, A, 3))
    bench.ok(release(hold, [(SKU_1, A, 2)]))
    result = bench.do(transfer(hold, A, B))
    assert (result.status, result.told) == (SHORT, [(0, (SKU_2, B), 2, 1), (1, (SKU_3, B), 3, 2)])
    named = bench.do(transfer(hold, A, B, [(SKU_3, 3), (SKU_2, 2)]))
    assert (named.status, named.told) == (SHORT, [(0, (SKU_3, B), 3, 2), (1, (SKU_2, B), 2, 1)])
    result = bench.do(transfer(hold, C, B))
    assert result.status == Status.OK
    result = bench.do(transfer(hold, C, A))
    assert (result.status, result.told) == (EXCEEDS, [(0, -1, 0, 0)])
    result = bench.do(transfer(hold, A, C))
    assert (result.status, result.told) == (NOT_STOCKED, [(0, (SKU_2, A), 0, 0)])
    named = bench.do(transfer(hold, A, C, [(SKU_1, 1), (SKU_3, 1)]))
    assert (named.status, named.told) == (NOT_STOCKED, [(1, -1, 0, 0)]), "the line says which"


# What is told of each command on an order of 6 units of SKU_1 at A, 2 of them fulfilled, and 3 of SKU_2 at A, beside a
# hold of 2 units of SKU_3 at A; 12 of each were received at A, and 3 of SKU_1 and SKU_2 at B: line, stock level, units
# asked for, units told.
class Made(NamedTuple):
    order: int
    hold: int


Told = list[tuple[int, tuple[int, int] | int, int, int]]


TOLD: dict[str, tuple[Callable[[Made], Command], Status, Told]] = {
    "RESERVE": (
        lambda _: reserve([(SKU_2, A, 10), (SKU_1, A, 1), (SKU_1, B, 4)]),
        SHORT,
        [(0, (SKU_2, A), 10, 9), (2, (SKU_1, B), 4, 3)],
    ),
    "RESERVE partial": (
        lambda _: reserve([(SKU_2, A, 10), (SKU_1, A, 1), (SKU_1, B, 4)], allow_partial=True),
        Status.OK,
        [(0, (SKU_2, A), 10, 9), (2, (SKU_1, B), 4, 3)],
    ),
    "RESERVE to nowhere": (lambda _: reserve([(SKU_1, A, 1), (SKU_1, -5, 1)]), LOOKUP[1], [(1, -1, 0, 0)]),
    "COMMIT": (lambda at: commit(at.hold, [(SKU_3, A, 3)]), EXCEEDS, [(0, (SKU_3, A), 3, 2)]),
    "COMMIT not held": (
        lambda at: commit(at.hold, [(SKU_3, C, 3), (SKU_1, A, 3)]),
        EXCEEDS,
        [(0, -1, 3, 0), (1, (SKU_1, A), 3, 0)],
    ),
    "RELEASE": (lambda at: release(at.hold, [(SKU_3, A, 3)]), EXCEEDS, [(0, (SKU_3, A), 3, 2)]),
    "AMEND below": (
        lambda at: amend(at.order, [(SKU_2, A, 0), (SKU_1, A, 1)]),
        EXCEEDS,
        [(1, (SKU_1, A), 1, 2)],
    ),
    "AMEND beyond": (
        lambda at: amend(at.order, [(SKU_2, A, 0), (SKU_1, B, 4), (SKU_1, A, 13)]),
        SHORT,
        [(1, (SKU_1, B), 4, 3), (2, (SKU_1, A), 7, 6)],
    ),
    "REPLACE": (
        lambda at: replace_hold(at.hold, [(SKU_3, A, 2), (SKU_1, B, 4)]),
        SHORT,
        [(1, (SKU_1, B), 4, 3)],
    ),
    "REPLACE beyond": (lambda at: replace_hold(at.hold, [(SKU_3, A, 99)]), SHORT, [(0, (SKU_3, A), 99, 12)]),
    "TRANSFER": (
        lambda at: transfer(at.order, A, B, [(SKU_2, 3), (SKU_1, 4)]),
        SHORT,
        [(1, (SKU_1, B), 4, 3)],
    ),
    "TRANSFER exceeds": (
        lambda at: transfer(at.order, A, B, [(SKU_2, 4), (SKU_1, 5)]),
        EXCEEDS,
        [(0, (SKU_2, A), 4, 3), (1, (SKU_1, A), 5, 4)],
    ),
    "TRANSFER whole": (lambda at: transfer(at.order, A, B), SHORT, [(0, (SKU_1, B), 4, 3)]),
    "TRANSFER whole, not stocked": (
        lambda at: transfer(at.hold, A, B),
        NOT_STOCKED,
        [(0, (SKU_3, A), 0, 0)],
    ),
    "TRANSFER not stocked": (
        lambda at: transfer(at.hold, A, B, [(SKU_2, 1), (SKU_3, 1)]),
        NOT_STOCKED,
        [(1, -1, 0, 0)],
    ),
    "TRANSFER to nowhere": (lambda at: transfer(at.order, A, -5), LOOKUP[1], [(0, -2, 0, 0)]),
    "TRANSFER from nowhere": (lambda at: transfer(at.order, -6, -5), LOOKUP[1], [(0, -1, 0, 0)]),
    "TRANSFER of nothing known": (lambda at: transfer(at.order, A, -5, [(-6, 1)]), LOOKUP[0], [(0, -1, 0, 0)]),
    "TRANSFER inactive": (lambda at: transfer(at.order, A, CLOSED, [(SKU_1, 1)]), INACTIVE, [(0, -1, 0, 0)]),
    "FULFILL": (lambda at: fulfill(at.order, [(SKU_1, A, 5)]), EXCEEDS, [(0, (SKU_1, A), 5, 4)]),
    "CANCEL": (lambda at: cancel(at.order, [(SKU_1, A, 5)]), EXCEEDS, [(0, (SKU_1, A), 5, 4)]),
    "RECORD_MOVEMENTS": (
        lambda _: record(receive(SKU_1, C, 9), write_off(SKU_1, C, 7), write_off(SKU_1, A, 7)),
        SHORT,
        [(1, -1, 7, 0), (2, (SKU_1, A), 7, 0)],
    ),
    "RECORD_MOVEMENTS to nowhere": (
        lambda _: record(sale(SKU_1, A, 1), transfer_out(SKU_1, A, -5, 1)),
        LOOKUP[1],
        [(1, -2, 0, 0)],
    ),
    "RECORD_MOVEMENTS oversold": (
        lambda _: record(sale(SKU_2, B, 5), sale(SKU_1, A, 1), sale(SKU_2, A, 10), adjust(SKU_2, C, -1)),
        Status.OK,
        [(0, (SKU_2, B), 0, 2), (2, (SKU_2, A), 0, 1), (3, (SKU_2, C), 0, 1)],
    ),
    "SET_ON_HAND oversold": (
        lambda _: set_on_hand([(SKU_1, C, 1), (SKU_1, A, 1)]),
        Status.OK,
        [(1, (SKU_1, A), 0, 3)],
    ),
}


@pytest.mark.parametrize("name", TOLD)
def test_what_is_told(bench, name):
    bench.stock(*((sku, A, 12) for sku in (SKU_1, SKU_2, SKU_3)), (SKU_1, B, 3), (SKU_2, B, 3), (SKU_1, CLOSED, 9))
    order = bench.order((SKU_1, A, 6), (SKU_2, A, 3))
    bench.ok(fulfill(order, [(SKU_1, A, 2)]))
    hold = bench.hold((SKU_3, A, 2))
    make, status, told = TOLD[name]
    command = replace(make(Made(order, hold)), request_id=uuid4(9))
    first = bench.do(command)
    assert (first.status, first.told, first.is_written) == (status, told, True)
    again = bench.do(command, after_us=SECOND_US)
    assert (again.is_stored, again.answer, again.told) == (True, first.answer, told)


def test_a_short_fulfillment_names_its_levels(bench):
    bench.stock((SKU_1, A, 5), (SKU_2, A, 5))
    order = bench.order((SKU_1, A, 4), (SKU_2, A, 5))
    bench.ok(record(sale(SKU_1, A, 3), sale(SKU_2, A, 7)))
    for lines, told in (
        ([], [(0, (SKU_1, A), 4, 2), (1, (SKU_2, A), 5, 0)]),
        ([(SKU_2, A, 1), (SKU_1, A, 2)], [(0, (SKU_2, A), 1, 0)]),
    ):
        result = bench.do(fulfill(order, lines))
        assert (result.status, result.told) == (SHORT, told)
