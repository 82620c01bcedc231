"""The ledger by example: both implementations, one suite. Tests named T… are rows of the conformance scenarios."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import chain, combinations
from random import Random
from typing import NamedTuple

import numpy as np
import pytest
from ledger_cases import (
    HOUR_US,
    MINUTE_US,
    NOW_US,
    SECOND_US,
    TTL_US,
    Bench,
    Command,
    Line,
    Result,
    adjust,
    amend,
    batch_of,
    cancel,
    change_catalog,
    commit,
    extend,
    fulfill,
    goods_return,
    mark_available,
    mark_unavailable,
    receive,
    record,
    release,
    remember,
    reserve,
    results_of,
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
from ledger.core.ledger import Ledger
from ledger.core.records import FIELD_NAMES, IS_STORED, IS_WRITTEN, Group
from ledger.core.statuses import Kind, Operation, ReservationState, Status, Unavailable
from ledger.core.views import ReservationView
from ledger.oracle.books import Account, Place
from ledger.oracle.stock import OracleLedger

SKU_1, SKU_2, SKU_3 = 0, 1, 2
A, B, C, CLOSED = 0, 1, 2, 3
WINDOW_US = HOUR_US
RETENTION_US = 2 * HOUR_US
GARBAGE_IDS = (0, -1, 12_345, 2**31, 2**32 + 1, 2**62 + 7, 2**63 - 1, -(2**63))


def new_bench(kind: type) -> Bench:
    ledger = kind(request_window_us=WINDOW_US, retention_us=RETENTION_US)
    for index, sku_id in enumerate(("SKU-1", "SKU-2", "SKU-3")):
        assert ledger.define_sku(sku_id) == index
    for index, location_id in enumerate(("A", "B", "C", "CLOSED")):
        assert ledger.define_location(location_id, active=location_id != "CLOSED") == index
    return Bench(ledger)


@pytest.fixture(params=[OracleLedger, Ledger], ids=["oracle", "fast"])
def bench(request):
    return new_bench(request.param)


# ---- conformance scenarios -------------------------------------------------------------------------------------------


def test_t1_commit_keeps_on_hand_and_lowers_available(bench):
    bench.stock((SKU_1, A, 100))
    bench.order((SKU_1, A, 50))
    level = bench.level(SKU_1, A)
    assert (level.on_hand, level.reserved, level.committed) == (100, 0, 50)
    assert bench.available((SKU_1, A)) == [50]


def test_t7_and_t19_others_holds_count(bench):
    bench.stock((SKU_1, A, 4), (SKU_1, B, 3))
    bench.hold((SKU_1, A, 2), (SKU_1, B, 1))
    result = bench.do(reserve([(SKU_1, A, 3), (SKU_1, B, 2)]))
    assert (result.status, result.shortages) == (Status.INSUFFICIENT_STOCK, [(0, 2)])
    result = bench.do(reserve([(SKU_1, A, 3), (SKU_1, B, 3)]))
    assert (result.status, result.shortages) == (Status.INSUFFICIENT_STOCK, [(0, 2), (1, 2)])
    assert [bench.level(SKU_1, at).reserved for at in (A, B)] == [2, 1]


def test_t9_no_partial_rows(bench):
    bench.stock((SKU_1, A, 7))
    bench.order((SKU_1, A, 3))
    result = bench.do(reserve([(SKU_1, A, 6)]))
    assert (result.status, result.shortages) == (Status.INSUFFICIENT_STOCK, [(0, 4)])
    assert not result.is_written
    assert bench.level(SKU_1, A).reserved == 0


def test_t10_all_short_lines_are_listed(bench):
    bench.stock((SKU_1, A, 5), (SKU_2, A, 200), (SKU_3, A, 99))
    result = bench.do(reserve([(SKU_1, A, 100), (SKU_2, A, 100), (SKU_3, A, 100)]))
    assert (result.status, result.shortages) == (Status.INSUFFICIENT_STOCK, [(0, 5), (2, 99)])
    assert bench.available((SKU_1, A), (SKU_2, A), (SKU_3, A)) == [5, 200, 99]


def test_t11_cancel_part_of_a_commitment(bench):
    bench.stock((SKU_1, A, 100))
    order = bench.order((SKU_1, A, 80))
    bench.ok(cancel(order, [(SKU_1, A, 50)]))
    assert (bench.level(SKU_1, A).committed, bench.level(SKU_1, A).on_hand) == (30, 100)
    assert bench.lines(order) == [(SKU_1, A, 80, 30, 0)]


def test_t14_amend_beyond_stock_changes_nothing(bench):
    bench.stock((SKU_1, A, 100))
    order = bench.order((SKU_1, A, 80))
    result = bench.do(amend(order, [(SKU_1, A, 101)]))
    assert (result.status, result.shortages) == (Status.INSUFFICIENT_STOCK, [(0, 20)])
    assert bench.lines(order) == [(SKU_1, A, 80, 80, 0)]
    assert bench.level(SKU_1, A).committed == 80


def test_t16_fulfill_needs_the_units_physically(bench):
    bench.stock((SKU_1, A, 80))
    order = bench.order((SKU_1, A, 80))
    bench.ok(set_on_hand([(SKU_1, A, 20)]))
    result = bench.do(fulfill(order, [(SKU_1, A, 50)]))
    assert (result.status, result.shortages) == (Status.INSUFFICIENT_STOCK, [(0, 20)])
    assert (bench.level(SKU_1, A).on_hand, bench.level(SKU_1, A).committed) == (20, 80)
    bench.ok(fulfill(order, [(SKU_1, A, 20)]))
    assert (bench.level(SKU_1, A).on_hand, bench.level(SKU_1, A).committed) == (0, 60)


def test_t17_more_than_the_group_has(bench):
    bench.stock((SKU_1, A, 4), (SKU_1, B, 3))
    assert bench.do(reserve([(SKU_1, A, 4), (SKU_1, B, 4)])).status == Status.INSUFFICIENT_STOCK
    bench.ok(reserve([(SKU_1, A, 4), (SKU_1, B, 3)]))


def test_t18_my_own_hold_never_blocks_me(bench):
    bench.stock((SKU_1, A, 7))
    hold = bench.hold((SKU_1, A, 5))
    bench.ok(amend(hold, [(SKU_1, A, 7)]))
    assert bench.lines(hold) == [(SKU_1, A, 7, 7, 0)]
    assert bench.do(amend(hold, [(SKU_1, A, 8)])).status == Status.INSUFFICIENT_STOCK


def test_t23_unavailable_units_do_not_count(bench):
    bench.stock((SKU_1, A, 8), (SKU_1, B, 3), (SKU_1, C, 10), (SKU_1, CLOSED, 10))
    bench.ok(record(mark_unavailable(SKU_1, C, 10)))
    assert bench.available((SKU_1, A), (SKU_1, B), (SKU_1, C)) == [8, 3, 0]
    assert bench.do(reserve([(SKU_1, CLOSED, 1)])).status == Status.LOCATION_INACTIVE
    assert bench.available((SKU_1, CLOSED)) == [10], "raw: whoever sums up a group leaves inactive locations out"


def test_t25_all_held(bench):
    bench.stock((SKU_1, A, 8))
    bench.hold((SKU_1, A, 8))
    assert bench.do(reserve([(SKU_1, A, 1)])).shortages == [(0, 0)]


def test_t26_and_t64_safety_stock_is_not_promised(bench):
    bench.stock((SKU_1, A, 8), (SKU_2, A, 3))
    bench.ok(set_policy(SKU_1, A, safety_stock=5))
    assert bench.do(reserve([(SKU_1, A, 4)])).shortages == [(0, 3)]
    bench.ok(reserve([(SKU_1, A, 3)]))
    bench.ok(set_policy(SKU_2, A, safety_stock=2))
    assert bench.do(reserve([(SKU_2, A, 2)])).shortages == [(0, 1)]
    bench.ok(set_policy(SKU_2, A, safety_stock=0, backorder_limit=5))
    bench.ok(reserve([(SKU_2, A, 8)]))
    assert bench.available((SKU_2, A)) == [0]


def test_t30_skus_are_case_sensitive(bench):
    assert bench.ledger.define_sku("sku-1") not in (SKU_1, SKU_2, SKU_3)
    assert bench.ledger.define_sku("SKU-1") == SKU_1


def test_t33_fulfill_all(bench):
    bench.stock((SKU_1, A, 2), (SKU_1, B, 12), (SKU_2, A, 22), (SKU_2, B, 12))
    order = bench.order((SKU_1, A, 2), (SKU_1, B, 3), (SKU_2, A, 6))
    bench.ok(fulfill(order))
    assert [bench.level(sku, at).on_hand for sku in (SKU_1, SKU_2) for at in (A, B)] == [0, 9, 16, 12]
    assert [bench.level(sku, at).committed for sku in (SKU_1, SKU_2) for at in (A, B)] == [0, 0, 0, 0]
    assert bench.lines(order) == [(SKU_1, A, 2, 0, 2), (SKU_1, B, 3, 0, 3), (SKU_2, A, 6, 0, 6)]


def test_t34_a_refund_sent_twice_moves_once(bench):
    bench.stock((SKU_1, A, 10))
    bench.ok(record(sale(SKU_1, A, 4)))
    refund = record(goods_return(SKU_1, A, 4), request_id=uuid4(1))
    first, again = bench.run(refund, refund)
    assert (first.is_written, again.is_written, again.is_stored) == (True, False, True)
    assert again.answer == first.answer
    assert bench.level(SKU_1, A).on_hand == 10


def test_t35_return_is_available(bench):
    bench.stock((SKU_1, A, 8))
    bench.ok(record(goods_return(SKU_1, A, 3)))
    assert bench.available((SKU_1, A)) == [11]


def test_t39_backorder_limit(bench):
    bench.stock((SKU_1, A, 2))
    assert bench.do(reserve([(SKU_1, A, 3)])).shortages == [(0, 2)]
    assert bench.level(SKU_1, A).reserved == 0
    bench.ok(set_policy(SKU_1, A, backorder_limit=1))
    bench.ok(reserve([(SKU_1, A, 3)]))


def test_t40_not_stocked_is_not_short(bench):
    bench.stock((SKU_1, B, 5))
    result = bench.do(reserve([(SKU_1, A, 1)]))
    assert (result.status, result.shortages) == (Status.NOT_STOCKED_HERE, [(0, 0)])
    assert bench.available((SKU_1, A)) == [None]


def test_t42_and_t67_one_batch_one_winner(bench):
    bench.stock((SKU_1, A, 2))
    results = bench.run(*[reserve([(SKU_1, A, 2)])] * 3)
    assert [result.status for result in results] == [Status.OK] + [Status.INSUFFICIENT_STOCK] * 2
    assert [result.seq for result in results] == [2, 2, 2], "a refusal without a request id takes no seq"


def test_t43_and_t68_available_per_location(bench):
    bench.stock((SKU_1, A, 100), (SKU_1, B, 120))
    bench.order((SKU_1, B, 2))
    assert bench.available((SKU_1, A), (SKU_1, B)) == [100, 118]


def test_t46_repeat_within_one_request_id(bench):
    bench.stock((SKU_1, A, 10))
    command = reserve([(SKU_1, A, 3)], ttl_us=7 * MINUTE_US, request_id=uuid4(1))
    first = bench.ok(command)
    again = bench.ok(command, after_us=MINUTE_US)
    assert again.answer == first.answer
    assert again.time_us == NOW_US + 7 * MINUTE_US
    assert bench.level(SKU_1, A).reserved == 3


def test_t48_refused_above_what_is_free(bench):
    bench.stock((SKU_1, A, 5))
    bench.hold((SKU_1, A, 4))
    assert bench.do(reserve([(SKU_1, A, 3)])).shortages == [(0, 1)]


def test_t49_extend_counts_from_now(bench):
    bench.stock((SKU_1, A, 10))
    mine = bench.hold((SKU_1, A, 1), ttl_us=10 * MINUTE_US)
    other = bench.hold((SKU_1, A, 1), ttl_us=20 * MINUTE_US)
    result = bench.ok(extend(mine, ttl_us=12 * MINUTE_US), after_us=9 * MINUTE_US)
    assert result.time_us == bench.reservation(mine).time_us == NOW_US + 21 * MINUTE_US
    assert bench.reservation(other).time_us == NOW_US + 20 * MINUTE_US
    bench.wait(11 * MINUTE_US)
    assert [bench.state(each).name for each in (mine, other)] == ["ACTIVE", "EXPIRED"]


def test_t51_expiry_frees_what_was_held(bench):
    bench.stock((SKU_1, A, 10))
    early = [bench.hold((SKU_1, A, 2), ttl_us=MINUTE_US) for _ in range(2)]
    late = bench.hold((SKU_1, A, 3), ttl_us=2 * MINUTE_US)
    seq = bench.ledger.seq
    bench.wait(MINUTE_US)
    assert bench.ledger.seq == seq + 2, "each expiry is a write"
    assert [bench.state(each).name for each in (*early, late)] == ["EXPIRED", "EXPIRED", "ACTIVE"]
    assert bench.available((SKU_1, A)) == [7]


def test_t52_a_count_below_the_holds_is_oversold(bench):
    bench.stock((SKU_1, A, 5))
    bench.hold((SKU_1, A, 5))
    result = bench.ok(set_on_hand([(SKU_1, A, 2)]))
    assert (result.is_oversold, result.shortages) == (True, [(0, 3)])
    assert bench.available((SKU_1, A)) == [-3]


def test_t65_commit_again_answers_as_it_is(bench):
    bench.stock((SKU_1, A, 5))
    order = bench.hold((SKU_1, A, 2))
    first = bench.ok(commit(order))
    again = bench.ok(commit(order))
    assert (again.state, again.version, again.is_written) == (first.state, first.version, False)
    assert again.seq == first.seq
    named = bench.ok(commit(order, request_id=uuid4(1)))
    assert (named.state, named.version, named.is_written) == (first.state, first.version, True)
    assert bench.level(SKU_1, A).committed == 2


def test_t73_the_largest_reservation(bench):
    skus = [bench.ledger.define_sku(f"wide-{index}") for index in range(limits.LINES_PER_RESERVATION_MAX)]
    bench.stock(*((sku, A, 1) for sku in skus))
    made = bench.ok(reserve([(sku, A, 1) for sku in skus], ttl_us=limits.TTL_US_MAX))
    assert made.time_us == NOW_US + limits.TTL_US_MAX
    assert [line[0] for line in bench.lines(made.reservation_id)] == skus


# ---- the life of a reservation: every operation in every state -------------------------------------------------------

FULFILLED, UNKNOWN = "FULFILLED", "UNKNOWN"  # COMMITTED with nothing open; an id nobody gave out
STATES = ("ACTIVE", "COMMITTED", FULFILLED, "RELEASED", "EXPIRED", UNKNOWN)
LINES = [(SKU_1, A, 1)]

ACTIONS: dict[str, Callable[[int], Command]] = {
    "COMMIT all": commit,
    "COMMIT lines": lambda at: commit(at, LINES),
    "RELEASE all": release,
    "RELEASE lines": lambda at: release(at, LINES),
    "EXTEND": extend,
    "AMEND": lambda at: amend(at, [(SKU_1, A, 5)]),
    "AMEND as it is": lambda at: amend(at, [(SKU_1, A, 4)]),
    "AMEND drop": lambda at: amend(at, [(SKU_1, A, 0)]),
    "TRANSFER all": lambda at: transfer(at, A, B),
    "TRANSFER lines": lambda at: transfer(at, A, B, [(SKU_1, 1)]),
    "FULFILL all": fulfill,
    "FULFILL lines": lambda at: fulfill(at, LINES),
    "CANCEL all": cancel,
    "CANCEL lines": lambda at: cancel(at, LINES),
}

ACTIVE, COMMITTED, RELEASED = ReservationState.ACTIVE, ReservationState.COMMITTED, ReservationState.RELEASED
NOT_ACTIVE, NOT_COMMITTED = Status.RESERVATION_NOT_ACTIVE, Status.RESERVATION_NOT_COMMITTED
EXPIRED, EXCEEDS, LOST = Status.RESERVATION_EXPIRED, Status.QUANTITY_EXCEEDS_OPEN, Status.RESERVATION_NOT_FOUND

# What comes of each action in each of STATES: the state after it, or the refusal.
TRANSITIONS: dict[str, tuple[ReservationState | Status, ...]] = {
    "COMMIT all": (COMMITTED, COMMITTED, COMMITTED, NOT_ACTIVE, EXPIRED, LOST),
    "COMMIT lines": (COMMITTED, NOT_ACTIVE, NOT_ACTIVE, NOT_ACTIVE, EXPIRED, LOST),
    "RELEASE all": (RELEASED, NOT_ACTIVE, NOT_ACTIVE, NOT_ACTIVE, EXPIRED, LOST),
    "RELEASE lines": (ACTIVE, NOT_ACTIVE, NOT_ACTIVE, NOT_ACTIVE, EXPIRED, LOST),
    "EXTEND": (ACTIVE, NOT_ACTIVE, NOT_ACTIVE, NOT_ACTIVE, EXPIRED, LOST),
    "AMEND": (ACTIVE, COMMITTED, NOT_ACTIVE, NOT_ACTIVE, EXPIRED, LOST),
    "AMEND as it is": (ACTIVE, COMMITTED, NOT_ACTIVE, NOT_ACTIVE, EXPIRED, LOST),
    "AMEND drop": (RELEASED, COMMITTED, NOT_ACTIVE, NOT_ACTIVE, EXPIRED, LOST),
    "TRANSFER all": (ACTIVE, COMMITTED, NOT_ACTIVE, NOT_ACTIVE, EXPIRED, LOST),
    "TRANSFER lines": (ACTIVE, COMMITTED, NOT_ACTIVE, NOT_ACTIVE, EXPIRED, LOST),
    "FULFILL all": (NOT_COMMITTED, COMMITTED, NOT_COMMITTED, NOT_COMMITTED, NOT_COMMITTED, LOST),
    "FULFILL lines": (NOT_COMMITTED, COMMITTED, NOT_COMMITTED, NOT_COMMITTED, NOT_COMMITTED, LOST),
    "CANCEL all": (NOT_COMMITTED, COMMITTED, NOT_COMMITTED, NOT_COMMITTED, NOT_COMMITTED, LOST),
    "CANCEL lines": (NOT_COMMITTED, COMMITTED, NOT_COMMITTED, NOT_COMMITTED, NOT_COMMITTED, LOST),
}


def in_state(bench: Bench, state: str) -> int:
    """A reservation of 4 units of SKU_1 at A in some state."""
    if state == UNKNOWN:
        return GARBAGE_IDS[3]
    made = bench.hold((SKU_1, A, 4), ttl_us=MINUTE_US)
    if state == "COMMITTED":
        bench.ok(commit(made))
    elif state == FULFILLED:
        bench.ok(commit(made))
        bench.ok(fulfill(made))
    elif state == "RELEASED":
        bench.ok(release(made))
    elif state == "EXPIRED":
        bench.wait(MINUTE_US)
    assert bench.state(made).name == (state if state != FULFILLED else "COMMITTED")
    return made


DECIDED = (Operation.CHANGE_CATALOG, Operation.REMEMBER)


def test_the_transitions_are_all_there():
    assert TRANSITIONS.keys() == ACTIONS.keys()
    assert all(len(row) == len(STATES) for row in TRANSITIONS.values())
    assert {state.name for state in ReservationState} == set(STATES) - {FULFILLED, UNKNOWN}
    on_reservations = {action(1).operation for action in ACTIONS.values()}
    others = {Operation.RESERVE, Operation.EXPIRE, Operation.RECORD_MOVEMENTS, Operation.SET_ON_HAND, Operation.ADVANCE}
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
    is_no_op = name == "COMMIT all" and state in ("COMMITTED", FULFILLED)
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
    (FULFILLED, "COMMIT all"): (6, 0, 0, (4, 0, 4)),
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
    moved = 4 - stays if name.startswith("TRANSFER") else 0
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


# ---- statuses: the lowest of all causes wins -------------------------------------------------------------------------

USED_ID, FRESH_ID, OLD_ID = uuid4(1), uuid4(2), uuid7(NOW_US - WINDOW_US - SECOND_US, 3)
NOT_A_SKU, NOT_A_LOCATION = -3, -4
REQUEST = (Status.REQUEST_ID_REUSED, Status.REQUEST_ID_TOO_OLD)
LOOKUP = (Status.SKU_NOT_FOUND, Status.LOCATION_NOT_FOUND)
NOT_STOCKED, INACTIVE = Status.NOT_STOCKED_HERE, Status.LOCATION_INACTIVE
TOO_MANY, SHORT, MISMATCH = Status.TOO_MANY_LINES, Status.INSUFFICIENT_STOCK, Status.VERSION_MISMATCH

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
    assert CAUSES.keys() == set(Operation) - {Operation.EXPIRE, Operation.ADVANCE}  # which test_documents.py has
    elsewhere = {Status.OK, Status.VALIDATION_FAILED, Status.SKU_ALREADY_EXISTS, Status.LOCATION_ALREADY_EXISTS}
    elsewhere |= {Status.DOCUMENT_NOT_FOUND, Status.DOCUMENT_NOT_BEGUN, Status.DOCUMENT_ENDED}
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
            assert result.version == bench.reservation(trouble.full).version
    bench.ok(trouble.command(operation, frozenset(), FRESH_ID))


# ---- which line is to blame ------------------------------------------------------------------------------------------


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
    assert bench.state(order) == COMMITTED


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


# ---- reserving -------------------------------------------------------------------------------------------------------


def test_partial_takes_what_there_is(bench):
    bench.stock((SKU_1, A, 2), (SKU_2, A, 5), (SKU_3, A, 1))
    bench.hold((SKU_3, A, 1))
    made = bench.ok(reserve([(SKU_1, A, 4), (SKU_2, A, 5), (SKU_3, A, 1)], allow_partial=True))
    assert made.shortages == [(0, 2), (2, 0)]
    assert bench.lines(made.reservation_id) == [(SKU_1, A, 2, 2, 0), (SKU_2, A, 5, 5, 0)]


def test_partial_of_nothing_is_refused(bench):
    bench.stock((SKU_1, A, 1), (SKU_2, A, 1))
    bench.ok(record(sale(SKU_1, A, 3), sale(SKU_2, A, 1)))
    result = bench.do(reserve([(SKU_1, A, 4), (SKU_2, A, 5)], allow_partial=True))
    assert (result.status, result.shortages) == (SHORT, [(0, 0), (1, 0)])


def test_partial_does_not_overlook_a_lookup(bench):
    bench.stock((SKU_1, A, 1), (SKU_1, CLOSED, 5))
    assert bench.do(reserve([(SKU_1, A, 4), (SKU_2, A, 1)], allow_partial=True)).status == NOT_STOCKED
    assert bench.do(reserve([(SKU_1, A, 4), (SKU_1, CLOSED, 1)], allow_partial=True)).status == INACTIVE


def test_partial_in_full_lists_nothing(bench):
    bench.stock((SKU_1, A, 4))
    assert bench.ok(reserve([(SKU_1, A, 4)], allow_partial=True)).details == ()


def test_crossing_lines_have_one_winner(bench):
    bench.stock((SKU_1, A, 1), (SKU_1, B, 1))
    first, second = bench.run(reserve([(SKU_1, A, 1), (SKU_1, B, 1)]), reserve([(SKU_1, B, 1), (SKU_1, A, 1)]))
    assert (first.status, second.status, second.shortages) == (Status.OK, SHORT, [(0, 0), (1, 0)])


def test_reservation_ids_are_positive_and_differ(bench):
    bench.stock((SKU_1, A, 100))
    made = {result.reservation_id for result in bench.run(*[reserve([(SKU_1, A, 1)])] * 50)}
    assert len(made) == 50
    assert min(made) > 0


def test_a_reservation_made_reads_as_asked(bench):
    bench.stock((SKU_1, B, 3), (SKU_1, A, 4))
    made = bench.ok(reserve([(SKU_1, B, 1), (SKU_1, A, 2)]))
    read = bench.reservation(made.reservation_id)
    assert (read.state, read.version, read.create_time_us, read.time_us) == (ACTIVE, 1, NOW_US, NOW_US + TTL_US)
    assert (made.state, made.version, made.time_us) == (ACTIVE, 1, NOW_US + TTL_US)
    assert tuple(read.lines) == ((SKU_1, B, 1, 1, 0), (SKU_1, A, 2, 2, 0))


# ---- expiry ----------------------------------------------------------------------------------------------------------


def test_expiry_is_exact(bench):
    bench.stock((SKU_1, A, 1))
    hold = bench.hold((SKU_1, A, 1), ttl_us=SECOND_US)
    assert bench.do(reserve([(SKU_1, A, 1)]), after_us=SECOND_US - 1).status == SHORT
    taken = bench.ok(reserve([(SKU_1, A, 1)]), after_us=1)
    assert taken.seq == bench.ledger.seq == 4, "receive, reserve, expire, reserve"
    assert bench.state(hold).name == "EXPIRED"
    assert bench.reservation(hold).time_us == NOW_US + SECOND_US
    assert bench.reservation(hold).version == 2
    assert bench.lines(hold) == [(SKU_1, A, 1, 0, 0)]


@pytest.mark.parametrize(("after_us", "status"), [(SECOND_US - 1, Status.OK), (SECOND_US, EXPIRED)])
@pytest.mark.parametrize("name", ["COMMIT all", "RELEASE lines", "EXTEND", "AMEND", "TRANSFER all"])
def test_racing_expiry_at_its_instant(bench, name, after_us, status):
    bench.stock((SKU_1, A, 10), (SKU_1, B, 10))
    hold = bench.hold((SKU_1, A, 4), ttl_us=SECOND_US)
    assert bench.do(ACTIONS[name](hold), after_us=after_us).status == status


def test_a_late_look_finds_the_instant_of_the_expiry(bench):
    bench.stock((SKU_1, A, 1))
    hold = bench.hold((SKU_1, A, 1), ttl_us=SECOND_US)
    bench.wait(HOUR_US)
    assert bench.reservation(hold).time_us == NOW_US + SECOND_US


def test_extending_moves_the_expiry_both_ways(bench):
    bench.stock((SKU_1, A, 10))
    hold = bench.hold((SKU_1, A, 1), ttl_us=HOUR_US)
    bench.ok(extend(hold, ttl_us=SECOND_US))
    bench.ok(extend(hold, ttl_us=MINUTE_US))
    bench.wait(MINUTE_US - 1)
    assert bench.state(hold) == ACTIVE
    bench.ok(extend(hold, ttl_us=SECOND_US))
    bench.wait(SECOND_US)
    assert bench.state(hold).name == "EXPIRED"
    bench.wait(HOUR_US)
    assert bench.level(SKU_1, A).reserved == 0


def test_many_expire_at_once(bench):
    bench.stock((SKU_1, A, 1000))
    held = [made.reservation_id for made in bench.run(*[reserve([(SKU_1, A, 1)], ttl_us=SECOND_US)] * 1000)]
    bench.wait(SECOND_US)
    assert bench.ledger.seq == 1 + 2 * 1000
    assert {bench.state(each).name for each in held} == {"EXPIRED"}
    assert bench.available((SKU_1, A)) == [1000]


class Backlog:
    """A fast ledger with holds of which most are due, a standby, a twin that never heard of parts, and the oracle."""

    def __init__(self, seed: int, after_us: int) -> None:
        chance = Random(seed)
        self.benches = [new_bench(kind) for kind in (Ledger, Ledger, Ledger, OracleLedger)]
        self.ledger, self.standby, self.twin, self.plain = (bench.ledger for bench in self.benches)
        self.time_us = NOW_US + MINUTE_US + after_us
        lines = [[(SKU_1, A, 1), (SKU_2, B, 2)], [(SKU_1, B, 1)], [(SKU_2, A, 3), (SKU_1, A, 1), (SKU_3, C, 1)]]
        holds = [
            # few instants, so that many holds share one; some are ended, some extended, some are not due
            reserve(
                chance.choice(lines), ttl_us=chance.choice([chance.randint(1, MINUTE_US), 7, SECOND_US, 4 * HOUR_US])
            )
            for _ in range(300)
        ]
        stock = record(*(receive(sku, at, 5_000) for sku in (SKU_1, SKU_2, SKU_3) for at in (A, B, C)))
        made = [self.run(bench.ledger, [stock, *holds], NOW_US)[1:] for bench in self.benches]
        ids = [[result.reservation_id for result in results] for results in made]
        for place in chance.sample(range(len(holds)), 90):
            make = chance.choice([commit, release, lambda at: extend(at, ttl_us=MINUTE_US)])
            for bench, own in zip(self.benches, ids, strict=True):
                self.run(bench.ledger, [make(own[place])], NOW_US)
        self.ids, self.plain_ids = ids[0], ids[3]
        first = self.ledger.take_group()
        assert self.twin.take_group() is not None
        self.standby = new_bench(Ledger).ledger
        self.standby.replay(first)
        assert self.standby.digest() == self.twin.digest() == self.ledger.digest()
        due = [(view.time_us, each) for each, view in self.views() if view.state == ACTIVE]
        self.due = [each for time_us, each in sorted(due) if time_us <= self.time_us]
        assert len({time_us for time_us, _ in due}) < len(due)
        assert 100 < len(self.due) < len(holds)

    @staticmethod
    def run(ledger, commands: list[Command], time_us: int) -> list[Result]:
        return results_of(ledger, ledger.execute(batch_of(commands), time_us))

    def views(self) -> list[tuple[int, ReservationView]]:
        views = ((each, self.ledger.reservation(each)) for each in self.ids)
        return [(each, view) for each, view in views if view is not None]

    def take(self) -> Group:
        """Take the group to the standby."""
        group = self.ledger.take_group()
        self.standby.replay(group)
        assert self.standby.digest() == self.ledger.digest()
        if len(group.records) > 1:  # a part of one hold comes often
            assert self.ledger.verify() == self.standby.verify() == []
        return group


AFTER_US = [0, 1, HOUR_US, 4 * HOUR_US - MINUTE_US, 1000 * HOUR_US]


@pytest.mark.parametrize(("most", "after_us"), [(1, 0), (7, 0), (7, HOUR_US), (64, 1), (64, HOUR_US), (10_000, 0)])
def test_a_backlog_expires_in_parts(most, after_us):
    backlog = Backlog(most, after_us)
    seq, groups, done = backlog.ledger.seq, [], 0
    while done + most < len(backlog.due):
        assert backlog.ledger.expire_backlog(backlog.time_us, most) is True
        groups.append(backlog.take())
        assert len(groups[-1].records) == most
        assert (groups[-1].first_seq, groups[-1].time_us) == (seq + done + 1, backlog.time_us)
        done += most
        states = [backlog.ledger.reservation(each).state for each in backlog.due]
        assert states == [ReservationState.EXPIRED] * done + [ACTIVE] * (len(states) - done)
    assert backlog.ledger.expire_backlog(backlog.time_us, most) is False
    assert backlog.ledger.take_group() is None, "what is left is for the next batch"
    assert backlog.run(backlog.ledger, [], backlog.time_us) == []
    groups.append(backlog.take())
    assert 0 < len(groups[-1].records) == len(backlog.due) - done <= most
    records = np.concatenate([group.records for group in groups])
    movements = np.concatenate([group.movements for group in groups])
    assert records["reservation_id"].tolist() == backlog.due
    assert records["time_us"].tolist() == sorted(records["time_us"].tolist())
    assert backlog.ledger.expire_backlog(backlog.time_us, most) is False
    assert backlog.ledger.take_group() is None
    assert backlog.ledger.verify() == backlog.standby.verify() == []
    # the same as all at once
    assert backlog.run(backlog.twin, [], backlog.time_us) == []
    whole = backlog.twin.take_group()
    assert whole.records.tobytes() == records.tobytes()
    assert whole.movements.tobytes() == movements.tobytes()
    assert backlog.run(backlog.plain, [], backlog.time_us) == []
    assert backlog.plain.seq == backlog.ledger.seq == backlog.standby.seq == backlog.twin.seq
    for own, plain in zip(backlog.ids, backlog.plain_ids, strict=True):
        assert backlog.ledger.reservation(own) == backlog.plain.reservation(plain)
    for level in ((sku, at) for sku in (SKU_1, SKU_2, SKU_3) for at in (A, B, C)):
        assert backlog.ledger.level(*level) == backlog.plain.level(*level)


@pytest.mark.parametrize("after_us", AFTER_US)
@pytest.mark.parametrize("is_taken", [False, True])
def test_a_batch_after_a_part_ends_the_rest_first(after_us, is_taken):
    backlog = Backlog(1, after_us)
    assert backlog.ledger.expire_backlog(backlog.time_us, 10)
    records = [backlog.take().records] if is_taken else []
    (refused,) = backlog.run(backlog.ledger, [commit(backlog.due[10])], backlog.time_us)
    assert refused.status == EXPIRED
    records.append(backlog.take().records)
    due = sorted(backlog.due) if after_us >= 4 * HOUR_US else backlog.due
    ended = np.concatenate(records)["reservation_id"].tolist()
    assert (sorted(ended) if after_us >= 4 * HOUR_US else ended) == due


@pytest.mark.parametrize("after_us", AFTER_US)
def test_a_standby_takes_over_between_two_parts(after_us):
    backlog = Backlog(2, after_us)
    assert backlog.ledger.expire_backlog(backlog.time_us, 25)
    backlog.take()
    for ledger in (backlog.ledger, backlog.standby):
        assert ledger.expire_backlog(backlog.time_us, 25)
    groups = [ledger.take_group() for ledger in (backlog.ledger, backlog.standby)]
    assert groups[0].records["reservation_id"].tolist() == backlog.due[25:50]
    results = []
    for ledger in (backlog.ledger, backlog.standby):
        results.append(backlog.run(ledger, [reserve([(SKU_1, A, 1)])], backlog.time_us + SECOND_US))
        groups.append(ledger.take_group())
        assert ledger.verify() == []
    assert results[0] == results[1]
    for one, other in (groups[:2], groups[2:]):
        assert [part.tobytes() for part in one[4:]] == [part.tobytes() for part in other[4:]]
        assert one[:4] == other[:4]
    assert backlog.ledger.digest() == backlog.standby.digest()


def test_holds_may_come_between_two_parts():
    """What is made while a backlog is left ends at its own instant."""
    bench = new_bench(Ledger)
    bench.stock((SKU_1, A, 100))
    held = [bench.hold((SKU_1, A, 1), ttl_us=SECOND_US + each) for each in range(10)]
    late = NOW_US + 2 * SECOND_US
    assert bench.ledger.expire_backlog(late, 4)
    assert [bench.state(each).name for each in held] == ["EXPIRED"] * 4 + ["ACTIVE"] * 6
    bench.ledger.take_group()
    bench.time_us = late
    new = bench.hold((SKU_1, A, 1), ttl_us=5)
    other = bench.hold((SKU_1, A, 1), ttl_us=5)
    assert [bench.state(each).name for each in held] == ["EXPIRED"] * 10
    assert not bench.ledger.expire_backlog(late + 4, 1)
    assert bench.ledger.expire_backlog(late + 5, 1)
    bench.ledger.take_group()
    assert [bench.state(each).name for each in (new, other)] == ["EXPIRED", "ACTIVE"]
    bench.wait(5)
    assert bench.state(other).name == "EXPIRED"
    assert bench.available((SKU_1, A)) == [100]


def test_no_backlog_is_no_group():
    bench = new_bench(Ledger)
    assert bench.ledger.expire_backlog(NOW_US, 5) is False
    bench.stock((SKU_1, A, 5))
    held = [bench.hold((SKU_1, A, 1)) for _ in range(5)]
    digest, seq = bench.ledger.digest(), bench.ledger.seq
    for time_us, most in ((NOW_US + TTL_US - 1, 1), (NOW_US + TTL_US, 5), (NOW_US + TTL_US, 6)):
        assert bench.ledger.expire_backlog(time_us, most) is False
        assert bench.ledger.take_group() is None
        assert (bench.ledger.digest(), bench.ledger.seq, bench.ledger.time_us) == (digest, seq, NOW_US)
    assert bench.ledger.expire_backlog(NOW_US + TTL_US, 4) is True
    assert bench.ledger.take_group().records["reservation_id"].tolist() == sorted(held)[:4]
    assert bench.ledger.expire_backlog(NOW_US + TTL_US, 4) is False


def test_committed_never_expires(bench):
    bench.stock((SKU_1, A, 1))
    order = bench.order((SKU_1, A, 1))
    bench.wait(1000 * HOUR_US)
    assert bench.state(order) == COMMITTED
    bench.ok(fulfill(order))


# ---- amending and transferring ---------------------------------------------------------------------------------------


def test_amend_swaps_and_the_dropped_line_goes(bench):
    bench.stock((SKU_1, A, 5), (SKU_2, A, 5))
    hold = bench.hold((SKU_1, A, 2))
    bench.ok(amend(hold, [(SKU_2, A, 3), (SKU_1, A, 0)]))
    assert bench.lines(hold) == [(SKU_2, A, 3, 3, 0)]
    bench.ok(amend(hold, [(SKU_1, A, 1)]))
    assert bench.lines(hold) == [(SKU_2, A, 3, 3, 0), (SKU_1, A, 1, 1, 0)], "it comes back as the last"
    assert bench.available((SKU_1, A), (SKU_2, A)) == [4, 2]


@pytest.mark.parametrize("dropped", [each for count in range(4) for each in combinations((SKU_1, SKU_2, SKU_3), count)])
@pytest.mark.parametrize("is_order", [False, True])
def test_amend_drops_lines_wherever_they_stand(bench, dropped, is_order):
    skus = (SKU_1, SKU_2, SKU_3)
    bench.stock(*((sku, A, 5) for sku in skus))
    made = (bench.order if is_order else bench.hold)(*((sku, A, sku + 1) for sku in skus))
    result = bench.ok(amend(made, [(sku, A, 0) for sku in dropped] or LINES))
    kept = [sku for sku in skus if sku not in dropped]
    assert bench.lines(made) == [(sku, A, sku + 1, sku + 1, 0) for sku in kept]
    assert result.state == (COMMITTED if is_order else ACTIVE if kept else RELEASED)
    assert bench.available(*((sku, A) for sku in skus)) == [5 - (sku + 1) * (sku in kept) for sku in skus]
    again = bench.do(amend(made, [(SKU_2, A, 5)]))
    assert again.status == (Status.OK if kept else NOT_ACTIVE)


def test_what_was_fulfilled_or_released_stays_a_line(bench):
    bench.stock((SKU_1, A, 5), (SKU_2, A, 5), (SKU_1, B, 5), (SKU_2, B, 5))
    hold = bench.hold((SKU_1, A, 2), (SKU_2, A, 2))
    bench.ok(release(hold, [(SKU_1, A, 2)]))
    bench.ok(transfer(hold, A, B))
    assert bench.lines(hold) == [(SKU_1, A, 2, 0, 0), (SKU_2, B, 2, 2, 0)], "only what is open moves"
    bench.ok(amend(hold, [(SKU_1, A, 0)]))
    assert bench.lines(hold) == [(SKU_2, B, 2, 2, 0)]
    bench.ok(commit(hold))
    bench.ok(fulfill(hold, [(SKU_2, B, 1)]))
    bench.ok(transfer(hold, B, A))
    assert bench.lines(hold) == [(SKU_2, B, 1, 0, 1), (SKU_2, A, 1, 1, 0)]
    assert bench.do(amend(hold, [(SKU_2, B, 0)])).told == [(0, (SKU_2, B), 0, 1)]
    bench.ok(amend(hold, [(SKU_2, A, 0)]))
    assert bench.lines(hold) == [(SKU_2, B, 1, 0, 1)]
    assert bench.do(amend(hold, [(SKU_2, A, 1)])).status == NOT_ACTIVE, "nothing was open any more"


def test_amend_to_nothing_of_a_line_that_is_not_there(bench):
    bench.stock((SKU_1, A, 5), (SKU_2, A, 5))
    hold = bench.hold((SKU_1, A, 2))
    result = bench.ok(amend(hold, [(SKU_2, A, 0)]))
    assert (result.version, result.is_written) == (2, True)
    assert bench.lines(hold) == [(SKU_1, A, 2, 2, 0)]


def test_amend_is_all_or_nothing(bench):
    bench.stock((SKU_1, A, 5), (SKU_2, A, 5))
    hold = bench.hold((SKU_1, A, 4))
    result = bench.do(amend(hold, [(SKU_1, A, 1), (SKU_2, A, 6)]))
    assert (result.status, result.shortages) == (SHORT, [(1, 5)])
    assert bench.lines(hold) == [(SKU_1, A, 4, 4, 0)]
    assert bench.reservation(hold).version == 1


def test_amend_grows_again_what_was_released(bench):
    bench.stock((SKU_1, A, 5))
    order = bench.hold((SKU_1, A, 4))
    bench.ok(commit(order, [(SKU_1, A, 1)]))
    bench.ok(amend(order, [(SKU_1, A, 4)]))
    assert bench.lines(order) == [(SKU_1, A, 4, 4, 0)]
    assert bench.level(SKU_1, A).committed == 4


def test_shrinking_at_an_inactive_location_is_fine(bench):
    bench.stock((SKU_1, C, 9))
    hold = bench.hold((SKU_1, C, 5))
    bench.ledger.set_location_active(C, active=False)
    bench.ok(amend(hold, [(SKU_1, C, 4)]))
    assert bench.do(amend(hold, [(SKU_1, C, 5)])).status == INACTIVE
    bench.ledger.set_location_active(C, active=True)
    bench.ok(amend(hold, [(SKU_1, C, 5)]))


def test_what_is_held_at_an_inactive_location_can_be_used_and_leave(bench):
    bench.stock((SKU_1, C, 9), (SKU_1, A, 9))
    hold, other = bench.hold((SKU_1, C, 4)), bench.hold((SKU_1, C, 2))
    bench.ledger.set_location_active(C, active=False)
    bench.ok(extend(hold))
    bench.ok(commit(hold))
    bench.ok(fulfill(hold, [(SKU_1, C, 1)]))
    bench.ok(transfer(hold, C, A))
    assert bench.lines(hold) == [(SKU_1, C, 1, 0, 1), (SKU_1, A, 3, 3, 0)]
    bench.ok(release(other))


def test_shrinking_is_fine_at_an_oversold_level(bench):
    bench.stock((SKU_1, A, 5))
    hold = bench.hold((SKU_1, A, 5))
    bench.ok(record(sale(SKU_1, A, 4)))
    result = bench.do(amend(hold, [(SKU_1, A, 6)]))
    assert (result.status, result.shortages) == (SHORT, [(0, 0)])
    bench.ok(amend(hold, [(SKU_1, A, 4)]))
    bench.ok(amend(hold, [(SKU_1, A, 4)]))
    assert bench.available((SKU_1, A)) == [-3]


class Wide:
    """A reservation with as many lines as there may be, 2 units of each; all is stocked at A and B."""

    def __init__(self, bench: Bench, *, is_order: bool) -> None:
        count = limits.LINES_PER_RESERVATION_MAX
        self.skus = [bench.ledger.define_sku(f"wide-{index}") for index in range(2 * count)]
        bench.stock(*((sku, at, 5) for sku in self.skus for at in (A, B)))
        self.held, self.others = self.skus[:count], self.skus[count:]
        self.made = (bench.order if is_order else bench.hold)(*((sku, A, 2) for sku in self.held))


@pytest.fixture(params=[False, True], ids=["hold", "order"])
def wide(bench, request):
    return Wide(bench, is_order=request.param)


def test_no_more_lines_than_a_reservation_may_have(bench, wide):
    before = bench.reservation(wide.made)
    for command in (
        amend(wide.made, [(wide.others[0], A, 1)]),
        amend(wide.made, [(wide.held[0], B, 1)]),
        amend(wide.made, [(wide.others[0], A, 0), (wide.others[1], A, 1)]),  # what is not there makes no room
        amend(wide.made, [(wide.held[0], A, 0), (wide.others[0], A, 1), (wide.others[1], A, 1)]),
        amend(wide.made, [(wide.held[0], A, 1), (wide.others[0], A, 1)]),
        transfer(wide.made, A, B, [(wide.held[0], 1)]),  # a part of a line stays
        transfer(wide.made, A, B, [(wide.held[0], 2), (wide.held[1], 1)]),
    ):
        result = bench.do(command)
        assert (result.status, result.details) == (TOO_MANY, ())
        assert bench.reservation(wide.made) == before
    bench.ok(amend(wide.made, [(wide.others[0], A, 0), (wide.held[0], A, 3)]))
    bench.ok(amend(wide.made, [(sku, A, 1) for sku in wide.held]))
    assert bench.lines(wide.made) == [(sku, A, 1, 1, 0) for sku in wide.held]


def test_a_full_reservation_can_swap_lines(bench, wide):
    one, other = wide.held[7], wide.others[0]
    bench.ok(amend(wide.made, [(other, A, 4), (one, A, 0)]))
    now = [*((sku, A, 2, 2, 0) for sku in wide.held if sku != one), (other, A, 4, 4, 0)]
    assert bench.lines(wide.made) == now
    assert bench.available((one, A), (other, A)) == [5, 1]
    assert bench.do(amend(wide.made, [(one, A, 1)])).status == TOO_MANY
    half = limits.LINES_PER_RESERVATION_MAX // 2
    bench.ok(
        amend(wide.made, [*((line[0], A, 0) for line in now[:half]), *((sku, B, 1) for sku in wide.others[:half])])
    )
    now = [*now[half:], *((sku, B, 1, 1, 0) for sku in wide.others[:half])]
    assert bench.lines(wide.made) == now
    bench.ok(amend(wide.made, [(line[0], line[1], 0) for line in now[1:]]))
    assert bench.lines(wide.made) == now[:1]
    bench.ok(amend(wide.made, [(sku, B, 1) for sku in wide.skus[-half:]]))
    assert bench.lines(wide.made) == [*now[:1], *((sku, B, 1, 1, 0) for sku in wide.skus[-half:])]


def test_a_full_reservation_can_be_moved_whole(bench, wide):
    bench.ok(transfer(wide.made, A, B))
    assert bench.lines(wide.made) == [(sku, B, 2, 2, 0) for sku in wide.held]
    bench.ok(transfer(wide.made, B, A, [(sku, 2) for sku in wide.held[::-1]]))
    assert bench.lines(wide.made) == [(sku, A, 2, 2, 0) for sku in wide.held[::-1]]
    bench.ok(transfer(wide.made, A, B, [(wide.held[3], 2)]))
    stayed = [(sku, A, 2, 2, 0) for sku in wide.held[::-1] if sku != wide.held[3]]
    assert bench.lines(wide.made) == [*stayed, (wide.held[3], B, 2, 2, 0)]
    bench.ok(transfer(wide.made, A, B))
    assert bench.lines(wide.made) == [(wide.held[3], B, 2, 2, 0), *((line[0], B, 2, 2, 0) for line in stayed)]
    assert bench.available(*((sku, A) for sku in wide.held)) == [5] * len(wide.held)
    assert bench.available(*((sku, B) for sku in wide.held)) == [3] * len(wide.held)


def test_a_line_that_cannot_leave_whole_keeps_its_place(bench):
    wide = Wide(bench, is_order=True)
    kept, cancelled, *rest = wide.held
    bench.ok(fulfill(wide.made, [(kept, A, 1)]))
    bench.ok(cancel(wide.made, [(cancelled, A, 1)]))
    assert bench.do(transfer(wide.made, A, B)).status == TOO_MANY, "two lines stay, and 100 arrive"
    bench.ok(transfer(wide.made, A, B, [(sku, 2) for sku in rest]))
    assert bench.do(transfer(wide.made, A, B)).status == TOO_MANY
    bench.ok(amend(wide.made, [(cancelled, A, 1)]))
    assert bench.do(transfer(wide.made, A, B)).status == TOO_MANY
    bench.ok(transfer(wide.made, A, B, [(cancelled, 1)]))
    assert bench.do(transfer(wide.made, A, B)).status == TOO_MANY
    refused = bench.do(amend(wide.made, [(kept, A, 0), (wide.others[0], A, 1)]))
    assert (refused.status, refused.told) == (EXCEEDS, [(0, (kept, A), 0, 1)])
    bench.ok(amend(wide.made, [(cancelled, B, 0)]))
    bench.ok(transfer(wide.made, A, B))
    assert bench.lines(wide.made) == [
        (kept, A, 1, 0, 1),
        *((sku, B, 2, 2, 0) for sku in rest),
        (kept, B, 1, 1, 0),
    ]


def test_transfer_joins_a_line_that_is_there(bench):
    bench.stock((SKU_1, A, 5), (SKU_1, B, 5))
    order = bench.order((SKU_1, A, 4), (SKU_1, B, 1))
    bench.ok(fulfill(order, [(SKU_1, A, 1)]))
    bench.ok(transfer(order, A, B, [(SKU_1, 2)]))
    assert bench.lines(order) == [(SKU_1, A, 2, 1, 1), (SKU_1, B, 3, 3, 0)]
    assert [bench.level(SKU_1, at).committed for at in (A, B)] == [1, 3]
    bench.ok(transfer(order, A, B))
    assert bench.lines(order) == [(SKU_1, A, 1, 0, 1), (SKU_1, B, 4, 4, 0)]


def test_transfer_checks_the_destination(bench):
    bench.stock((SKU_1, A, 5), (SKU_1, B, 5), (SKU_1, CLOSED, 5))
    hold = bench.hold((SKU_1, A, 4))
    bench.hold((SKU_1, B, 3))
    assert bench.do(transfer(hold, A, B, [(SKU_1, 3)])).told == [(0, (SKU_1, B), 3, 2)]
    assert bench.do(transfer(hold, A, C, [(SKU_1, 1)])).status == NOT_STOCKED
    closed = bench.do(transfer(hold, A, CLOSED))
    assert (closed.status, closed.details) == (INACTIVE, ((0, -1, 0),))
    lost = bench.do(transfer(hold, -1, B))
    assert (lost.status, lost.told) == (Status.LOCATION_NOT_FOUND, [(0, -1, 0, 0)])
    lost = bench.do(transfer(hold, A, -2))
    assert (lost.status, lost.told) == (Status.LOCATION_NOT_FOUND, [(0, -2, 0, 0)])
    assert bench.lines(hold) == [(SKU_1, A, 4, 4, 0)]


@pytest.mark.parametrize("make", [lambda at, v: amend(at, LINES, expected_version=v), None])
def test_expected_version(bench, make):
    make = make or (lambda at, v: transfer(at, A, B, [(SKU_1, 1)], expected_version=v))
    bench.stock((SKU_1, A, 9), (SKU_1, B, 9))
    hold = bench.hold((SKU_1, A, 4))
    bench.ok(extend(hold))
    result = bench.do(make(hold, 1))
    assert (result.status, result.version) == (MISMATCH, 2)
    assert bench.ok(make(hold, 2)).version == 3
    assert bench.ok(make(hold, 0)).version == 4


# ---- facts and policy ------------------------------------------------------------------------------------------------

REASON = Unavailable.DISPLAY

# What each kind of movement does to a level with 10 units free and 5 unavailable: line, then change of on_hand,
# of unavailable, and of the accounts outside.
MOVEMENTS: dict[str, tuple[Line, int, int, dict[Account, int]]] = {
    "RECEIVE": (receive(SKU_1, A, 2), 2, 0, {Account.SUPPLIER: -2}),
    "SALE": (sale(SKU_1, A, 2), -2, 0, {Account.CUSTOMER: 2}),
    "SALE beyond": (sale(SKU_1, A, 20), -20, 0, {Account.CUSTOMER: 20}),
    "RETURN": (goods_return(SKU_1, A, 2), 2, 0, {Account.CUSTOMER: -2}),
    "RETURN to inspect": (goods_return(SKU_1, A, 2, REASON), 2, 2, {Account.CUSTOMER: -2}),
    "ADJUST up": (adjust(SKU_1, A, 2), 2, 0, {Account.SHRINKAGE: -2}),
    "ADJUST down": (adjust(SKU_1, A, -12), -12, 0, {Account.SHRINKAGE: 12}),
    "MARK_UNAVAILABLE": (mark_unavailable(SKU_1, A, 12, REASON), 0, 12, {}),
    "MARK_AVAILABLE": (mark_available(SKU_1, A, 5, REASON), 0, -5, {}),
    "WRITE_OFF": (write_off(SKU_1, A, 5, REASON), -5, -5, {Account.SHRINKAGE: 5}),
    "TRANSFER_OUT": (transfer_out(SKU_1, A, B, 2), -2, 0, {}),
}


def test_the_movements_are_all_there():
    kinds = {Kind(line.kind) for line, *_ in MOVEMENTS.values()}
    assert kinds == set(Kind) & {Kind[name.split()[0]] for name in MOVEMENTS}
    of_reservations = {Kind.RESERVE, Kind.COMMIT, Kind.RELEASE, Kind.EXPIRE, Kind.FULFILL, Kind.CANCEL}
    others = {Kind.COMMIT_FREE, Kind.TRANSFER_IN, Kind.COUNT, Kind.SET_SAFETY_STOCK, Kind.SET_BACKORDER_LIMIT}
    of_documents = {Kind.HELD_OUT, Kind.TRANSFER_SHORT, Kind.TRANSFER_FOUND, Kind.UNEXPECTED, Kind.PLAN, Kind.DOCUMENT}
    assert kinds == set(Kind) - of_reservations - others - of_documents - {Kind.STOCK_HERE}


@pytest.mark.parametrize("name", MOVEMENTS)
def test_movement(bench, name):
    line, on_hand, unavailable, outside = MOVEMENTS[name]
    bench.stock((SKU_1, A, 15))
    bench.ok(record(mark_unavailable(SKU_1, A, 5, REASON)))
    before = bench.ledger.outside(SKU_1) if isinstance(bench.ledger, OracleLedger) else {}
    result = bench.ok(record(line))
    level = bench.level(SKU_1, A)
    assert level.on_hand == 15 + on_hand
    assert level.unavailable == ({REASON: 5 + unavailable} if unavailable != -5 else {})
    assert bench.available((SKU_1, A)) == [10 + on_hand - unavailable]
    oversold = max(0, -(10 + on_hand - unavailable))
    assert (result.is_oversold, result.shortages) == (oversold > 0, [(0, oversold)] if oversold else [])
    if before:
        after = bench.ledger.outside(SKU_1)
        assert {
            account: after[account] - before[account] for account in after if after[account] != before[account]
        } == (outside)
    there = bench.ledger.level(SKU_1, B)
    assert (there.on_hand if there else None) == (2 if name == "TRANSFER_OUT" else None)


@pytest.mark.parametrize("is_there", [False, True], ids=["not stocked", "stocked"])
@pytest.mark.parametrize("name", MOVEMENTS)
def test_a_movement_does_the_same_where_a_sku_was_not_stocked(bench, name, is_there):
    """As at a level that is there and empty: what happened is recorded, and only an empty reason gives nothing."""
    line, on_hand, unavailable, _ = MOVEMENTS[name]
    if is_there:
        bench.ok(set_on_hand([(SKU_1, A, 0), (SKU_1, B, 0)]))
    bench.ledger.set_location_active(A, active=False)
    takes_from_reason = line.kind in (Kind.MARK_AVAILABLE, Kind.WRITE_OFF)
    result = bench.do(record(line, request_id=uuid4(1)))
    assert result.answer == bench.do(record(line, request_id=uuid4(1))).answer
    if takes_from_reason:
        assert (result.status, result.shortages, result.requested) == (SHORT, [(0, 0)], (line.quantity,))
        assert (bench.ledger.level(SKU_1, A) is not None) is is_there, "what is refused stocks nothing"
        return
    oversold = max(0, unavailable - on_hand)
    assert (result.status, result.is_oversold) == (Status.OK, oversold > 0)
    assert result.told == ([(0, (SKU_1, A), 0, oversold)] if oversold else [])
    level = bench.level(SKU_1, A)
    assert (level.on_hand, level.unavailable) == (on_hand, {REASON: unavailable} if unavailable else {})
    there = bench.ledger.level(SKU_1, B)
    assert (there.on_hand if there else None) == (2 if name == "TRANSFER_OUT" else 0 if is_there else None)
    assert bench.do(reserve([(SKU_1, A, 1)])).status == INACTIVE, "it is stocked now"


def test_movements_apply_in_order(bench):
    bench.ok(
        record(
            receive(SKU_1, A, 5),
            sale(SKU_1, A, 1),
            mark_unavailable(SKU_1, A, 3),
            write_off(SKU_1, A, 2),
            transfer_out(SKU_1, A, B, 1),
            sale(SKU_1, B, 1),
            receive(SKU_1, A, 1),
        )
    )
    assert bench.level(SKU_1, A)[:2] == (2, {Unavailable.DAMAGED: 1})
    assert bench.level(SKU_1, B).on_hand == 0


def test_a_sale_may_be_recorded_before_the_receipt(bench):
    result = bench.ok(record(receive(SKU_2, A, 1), sale(SKU_1, A, 1), receive(SKU_1, A, 1)))
    assert (result.is_oversold, bench.level(SKU_1, A).on_hand, bench.level(SKU_2, A).on_hand) == (False, 0, 1)


def test_a_refused_receipt_stocks_nothing(bench):
    result = bench.do(record(sale(SKU_2, A, 1), mark_unavailable(SKU_1, A, 1), write_off(SKU_1, A, 2)))
    assert (result.status, result.told) == (SHORT, [(2, -1, 2, 1)])
    assert (bench.ledger.level(SKU_2, A), bench.ledger.level(SKU_1, A)) == (None, None), "all or nothing"


@pytest.mark.parametrize("times", [1, 3, 40])
def test_units_of_a_reason_are_counted_down_line_by_line(bench, times):
    """Many accounts in one command: each line finds what the lines before it left of its own."""
    accounts = [
        (sku, place, reason) for sku in (SKU_1, SKU_2) for place in (A, B) for reason in (REASON, Unavailable.DAMAGED)
    ]
    marks = [mark_unavailable(sku, place, 2, reason) for sku, place, reason in accounts] * times
    offs = [write_off(sku, place, 1, reason) for sku, place, reason in accounts] * (2 * times)
    result = bench.do(record(*marks, *offs, write_off(SKU_2, B, 1, REASON), write_off(SKU_1, A, 2, REASON)))
    last = len(marks) + len(offs)
    assert (result.status, result.told) == (SHORT, [(last, -1, 1, 0), (last + 1, -1, 2, 0)])
    assert bench.ok(record(*marks, *offs)).is_oversold
    assert bench.level(SKU_1, A).unavailable == {}


@pytest.mark.parametrize("count", [1, 2, 50])
def test_every_level_that_is_oversold_is_told_once(bench, count):
    skus = [bench.ledger.define_sku(f"told-{number}") for number in range(count)]
    lines = [transfer_out(sku, A, B, 1) for sku in skus] + [sale(sku, place, 1) for sku in skus for place in (A, B)]
    result = bench.ok(record(*lines))
    assert result.told == [(place, (sku, A), 0, 2) for place, sku in enumerate(skus)]


def test_more_unavailable_than_there_is(bench):
    bench.stock((SKU_1, A, 10))
    result = bench.do(
        record(
            mark_unavailable(SKU_1, A, 3),
            write_off(SKU_1, A, 4),  # 3 there: fails, and takes nothing
            mark_available(SKU_1, A, 2),  # leaves 1
            mark_available(SKU_1, A, 2),  # fails
            write_off(SKU_1, A, 1),
            write_off(SKU_1, A, 1, Unavailable.QUARANTINE),  # fails
            write_off(SKU_1, A, 1),  # fails
        )
    )
    assert (result.status, result.shortages) == (SHORT, [(1, 3), (3, 1), (5, 0), (6, 0)])
    assert bench.level(SKU_1, A)[:2] == (10, {})


def test_each_reason_has_its_own_account(bench):
    bench.stock((SKU_1, A, 100))
    bench.ok(record(*(mark_unavailable(SKU_1, A, reason, reason) for reason in Unavailable)))
    bench.ok(record(mark_available(SKU_1, A, 3, 3), write_off(SKU_1, A, 1, 5)))
    assert bench.level(SKU_1, A).unavailable == {1: 1, 2: 2, 4: 4, 5: 4}
    assert bench.level(SKU_1, A).on_hand == 99


def test_oversold_facts_name_each_level_once(bench):
    bench.stock((SKU_1, A, 5), (SKU_2, A, 5), (SKU_1, B, 1))
    bench.hold((SKU_1, A, 5), (SKU_1, B, 1))
    result = bench.ok(
        record(sale(SKU_2, A, 5), sale(SKU_1, A, 1), sale(SKU_1, B, 2), sale(SKU_1, A, 2), receive(SKU_1, B, 1))
    )
    assert (result.is_oversold, result.shortages) == (True, [(1, 3), (2, 1)])
    result = bench.ok(record(receive(SKU_1, A, 1)))
    assert (result.is_oversold, result.shortages) == (True, [(0, 2)]), "still oversold"
    result = bench.ok(record(receive(SKU_1, A, 2)))
    assert (result.is_oversold, result.shortages) == (False, [])


def test_oversold_begins_beyond_the_backorder_limit_and_below_safety_stock(bench):
    bench.stock((SKU_1, A, 5))
    bench.ok(set_policy(SKU_1, A, safety_stock=3, backorder_limit=2))
    assert not bench.ok(record(sale(SKU_1, A, 7))).is_oversold
    assert bench.ok(record(sale(SKU_1, A, 1))).shortages == [(0, 1)]
    assert bench.available((SKU_1, A)) == [-4]


def test_a_transfer_can_oversell_where_it_leaves(bench):
    bench.stock((SKU_1, A, 5))
    bench.hold((SKU_1, A, 5))
    result = bench.ok(record(transfer_out(SKU_1, A, B, 2)))
    assert (result.is_oversold, result.shortages) == (True, [(0, 2)])
    assert bench.available((SKU_1, A), (SKU_1, B)) == [-2, 2]


def test_a_transfer_between_oversold_levels_names_both(bench):
    bench.stock((SKU_1, A, 5), (SKU_1, B, 5))
    bench.hold((SKU_1, A, 5), (SKU_1, B, 5))
    bench.ok(record(sale(SKU_1, A, 1), sale(SKU_1, B, 4)))
    result = bench.ok(record(transfer_out(SKU_1, A, B, 1)))
    assert (result.is_oversold, result.details) == (True, ((0, (SKU_1, A), 2), (0, (SKU_1, B), 3)))
    result = bench.ok(record(receive(SKU_1, B, 1), transfer_out(SKU_1, A, B, 1), sale(SKU_1, A, 1)))
    assert (result.is_oversold, result.details) == (True, ((0, (SKU_1, B), 1), (1, (SKU_1, A), 4)))
    result = bench.ok(record(sale(SKU_1, B, 1)))
    assert (result.is_oversold, result.details) == (True, ((0, (SKU_1, B), 2),))


def test_count(bench):
    bench.stock((SKU_1, A, 10))
    bench.ok(record(mark_unavailable(SKU_1, A, 4)))
    bench.ok(set_on_hand([(SKU_1, A, 7), (SKU_2, A, 0), (SKU_3, B, 3)]))
    assert bench.level(SKU_1, A)[:2] == (7, {Unavailable.DAMAGED: 4})
    assert bench.available((SKU_1, A), (SKU_2, A), (SKU_3, B)) == [3, 0, 3]


def test_a_count_equal_to_the_books_moves_nothing(bench):
    bench.stock((SKU_1, A, 10))
    assert not bench.ok(set_on_hand([(SKU_1, A, 10)])).is_written
    assert bench.ok(set_on_hand([(SKU_1, A, 10)], request_id=uuid4(1))).is_written
    assert bench.ok(set_on_hand([(SKU_1, A, 10), (SKU_1, B, 0)])).is_written, "a level begins"


def test_an_oversold_count_is_reported_when_it_is_written(bench):
    bench.stock((SKU_1, A, 5), (SKU_2, A, 5))
    bench.hold((SKU_1, A, 5))
    assert bench.ok(set_on_hand([(SKU_1, A, 2)])).shortages == [(0, 3)]
    assert bench.ok(set_on_hand([(SKU_1, A, 2)], request_id=uuid4(1))).shortages == [(0, 3)]
    assert bench.ok(set_on_hand([(SKU_2, A, 4), (SKU_1, A, 2)])).shortages == [(1, 3)]
    assert bench.ok(set_on_hand([(SKU_1, A, 2)])).shortages == []
    assert bench.ok(set_on_hand([(SKU_1, A, 1)], validate_only=True)).shortages == []


def test_a_count_to_validate_changes_nothing(bench):
    bench.stock((SKU_1, A, 10))
    request_id = uuid4(1)
    first = bench.ok(set_on_hand([(SKU_1, A, 3), (SKU_1, B, 3)], validate_only=True, request_id=request_id))
    assert (first.is_written, first.is_stored, bench.ledger.seq) == (False, False, 1)
    assert bench.level(SKU_1, A).on_hand == 10
    assert bench.ledger.level(SKU_1, B) is None
    second = bench.ok(set_on_hand([(SKU_1, A, 4)], request_id=request_id))
    assert (second.is_written, second.is_stored) == (True, False)
    third = bench.do(set_on_hand([(SKU_1, A, 5)], validate_only=True, request_id=request_id))
    assert (third.status, third.is_written) == (Status.REQUEST_ID_REUSED, False), "as it would be"
    again = bench.ok(set_on_hand([(SKU_1, A, 4)], validate_only=True, request_id=request_id))
    assert (again.is_written, again.is_stored, again.seq) == (False, True, second.seq)
    refused = bench.do(set_on_hand([(-1, A, 5)], validate_only=True))
    assert (refused.status, refused.is_written) == (Status.SKU_NOT_FOUND, False)


def test_policy_sets_what_it_names(bench):
    bench.ok(set_policy(SKU_1, A, safety_stock=3, backorder_limit=4))
    assert bench.level(SKU_1, A) == (0, {}, 0, 0, 3, 4)
    bench.ok(set_policy(SKU_1, A, safety_stock=5))
    assert bench.level(SKU_1, A)[4:] == (5, 4)
    bench.ok(set_policy(SKU_1, A, backorder_limit=0))
    assert bench.level(SKU_1, A)[4:] == (5, 0)
    assert not bench.ok(set_policy(SKU_1, A)).is_written
    assert not bench.ok(set_policy(SKU_1, A, safety_stock=5, backorder_limit=0)).is_written
    assert bench.level(SKU_1, A)[4:] == (5, 0)


def test_physical_units_go_round(bench):
    """Double entry, seen from outside: what is on hand is what came in less what went out."""
    bench.stock((SKU_1, A, 100), (SKU_1, B, 50))
    bench.ok(record(sale(SKU_1, A, 7), goods_return(SKU_1, B, 2), adjust(SKU_1, B, -3), transfer_out(SKU_1, A, C, 30)))
    order = bench.order((SKU_1, A, 10), (SKU_1, C, 5))
    bench.ok(transfer(order, A, B, [(SKU_1, 4)]))
    bench.ok(fulfill(order, [(SKU_1, B, 3), (SKU_1, A, 6)]))
    bench.ok(cancel(order))
    bench.ok(record(mark_unavailable(SKU_1, C, 5), write_off(SKU_1, C, 2)))
    levels = [bench.level(SKU_1, at) for at in (A, B, C)]
    assert sum(level.on_hand for level in levels) == 150 - 7 + 2 - 3 - 9 - 2
    assert [level.reserved + level.committed for level in levels] == [0, 0, 0]


def test_a_catalog_change_is_a_write(bench):
    assert bench.ok(change_catalog(content=5)).is_written
    first = bench.ok(change_catalog(content=5, request_id=uuid4(1)))
    assert bench.ok(change_catalog(content=5, request_id=uuid4(1))).answer == first.answer
    assert bench.do(change_catalog(content=6, request_id=uuid4(1))).status == Status.REQUEST_ID_REUSED
    assert bench.ledger.seq == 2


def test_the_catalog_decides_its_changes_and_the_ledger_remembers(bench):
    refused = change_catalog(status=Status.SKU_ALREADY_EXISTS, content=5)
    assert not bench.do(refused).is_written
    command = replace(refused, request_id=uuid4(1))
    first = bench.do(command)
    assert (first.status, first.is_written) == (Status.SKU_ALREADY_EXISTS, True)
    again = bench.do(change_catalog(status=Status.OK, outcome=9, content=5, request_id=uuid4(1)))
    assert (again.answer, again.is_stored) == (first.answer, True)
    assert bench.ok(change_catalog(outcome=7, request_id=uuid4(2))).time_us == 7
    assert bench.ok(change_catalog(outcome=8, request_id=uuid4(2))).time_us == 7


def test_what_was_decided_elsewhere_is_remembered_by_its_content_alone(bench):
    """Whether the catalog changed or nothing did was one operation once, and is remembered as such."""
    first = bench.do(change_catalog(status=Status.OK, outcome=3, content=5, request_id=uuid4(1)))
    again = bench.do(remember(status=Status.SKU_NOT_FOUND, outcome=4, content=5, request_id=uuid4(1)))
    assert (again.answer, again.is_stored) == (first.answer, True)
    told = bench.do(remember(status=Status.SKU_NOT_FOUND, outcome=4, content=6, request_id=uuid4(2)))
    assert (told.status, told.time_us, told.is_written) == (Status.SKU_NOT_FOUND, 4, True)
    assert bench.do(remember(content=6, request_id=uuid4(2))).answer == told.answer
    assert bench.ok(remember()).is_written, "a seq of its own"


# ---- request ids -----------------------------------------------------------------------------------------------------

# Every operation, once accepted and once refused, on a reservation of 4 units of SKU_1 at A.
REPEATS: dict[str, tuple[str, Callable[[int, int], Command]]] = {
    "RESERVE": ("ACTIVE", lambda _, key: reserve([(SKU_1, A, 1)], request_id=key)),
    "RESERVE short": ("ACTIVE", lambda _, key: reserve([(SKU_1, A, 1), (SKU_1, B, 99)], request_id=key)),
    "RESERVE partial": (
        "ACTIVE",
        lambda _, key: reserve([(SKU_1, A, 1), (SKU_1, B, 99)], allow_partial=True, request_id=key),
    ),
    "RESERVE unknown": ("ACTIVE", lambda _, key: reserve([(SKU_1, A, 1), (-9, B, 99)], request_id=key)),
    "COMMIT": ("ACTIVE", lambda at, key: commit(at, request_id=key)),
    "COMMIT again": ("COMMITTED", lambda at, key: commit(at, request_id=key)),
    "COMMIT expired": ("EXPIRED", lambda at, key: commit(at, request_id=key)),
    "RELEASE": ("ACTIVE", lambda at, key: release(at, LINES, request_id=key)),
    "RELEASE released": ("RELEASED", lambda at, key: release(at, LINES, request_id=key)),
    "EXTEND": ("ACTIVE", lambda at, key: extend(at, request_id=key)),
    "EXTEND unknown": (UNKNOWN, lambda at, key: extend(at, request_id=key)),
    "AMEND": ("ACTIVE", lambda at, key: amend(at, [(SKU_1, B, 1)], request_id=key)),
    "AMEND mismatch": ("ACTIVE", lambda at, key: amend(at, LINES, expected_version=9, request_id=key)),
    "TRANSFER": ("ACTIVE", lambda at, key: transfer(at, A, B, request_id=key)),
    "TRANSFER nothing": ("ACTIVE", lambda at, key: transfer(at, C, B, request_id=key)),
    "TRANSFER short": ("ACTIVE", lambda at, key: transfer(at, A, B, [(SKU_1, 5)], request_id=key)),
    "FULFILL": ("COMMITTED", lambda at, key: fulfill(at, LINES, request_id=key)),
    "FULFILL active": ("ACTIVE", lambda at, key: fulfill(at, LINES, request_id=key)),
    "CANCEL": ("COMMITTED", lambda at, key: cancel(at, LINES, request_id=key)),
    "CANCEL exceeds": ("COMMITTED", lambda at, key: cancel(at, [(SKU_1, A, 9)], request_id=key)),
    "RECORD_MOVEMENTS": ("ACTIVE", lambda _, key: record(receive(SKU_1, C, 1), request_id=key)),
    "RECORD_MOVEMENTS oversold": ("ACTIVE", lambda _, key: record(sale(SKU_1, B, 90), request_id=key)),
    "RECORD_MOVEMENTS short": ("ACTIVE", lambda _, key: record(write_off(SKU_1, A, 1), request_id=key)),
    "SET_ON_HAND": ("ACTIVE", lambda _, key: set_on_hand([(SKU_1, A, 1)], request_id=key)),
    "SET_ON_HAND equal": ("ACTIVE", lambda _, key: set_on_hand([(SKU_1, A, 10)], request_id=key)),
    "SET_POLICY": ("ACTIVE", lambda _, key: set_policy(SKU_1, C, safety_stock=1, request_id=key)),
    "SET_POLICY unknown": ("ACTIVE", lambda _, key: set_policy(SKU_1, -2, safety_stock=1, request_id=key)),
    "CHANGE_CATALOG": ("ACTIVE", lambda _, key: change_catalog(content=1, request_id=key)),
    "REMEMBER": ("ACTIVE", lambda _, key: remember(status=Status.SKU_NOT_FOUND, content=1, request_id=key)),
}


def test_the_repeats_are_all_there():
    others = {Operation.EXPIRE, Operation.ADVANCE}  # which nobody asks for; which test_documents.py has
    assert {Operation[name.split()[0]] for name in REPEATS} == set(Operation) - others


@pytest.mark.parametrize("name", REPEATS)
def test_a_repeat_gets_the_stored_answer(bench, name):
    state, make = REPEATS[name]
    bench.stock((SKU_1, A, 10), (SKU_1, B, 10))
    at = in_state(bench, state)
    command = make(at, uuid4(7))
    seq = bench.ledger.seq
    first, within = bench.run(command, command)
    assert (first.is_written, first.is_stored, first.seq) == (True, False, seq + 1)
    assert (within.is_written, within.is_stored, within.seq) == (False, True, seq + 1)
    assert within.answer == first.answer
    reads = [bench.level(SKU_1, where) for where in (A, B)]
    later = bench.do(command, after_us=SECOND_US)
    assert (later.is_written, later.is_stored) == (False, True)
    assert later.answer == first.answer
    assert bench.ledger.seq == seq + 1
    assert [bench.level(SKU_1, where) for where in (A, B)] == reads


def test_a_repeated_whole_transfer_names_the_same_skus(bench):
    bench.stock((SKU_1, A, 10), (SKU_2, A, 10), (SKU_1, B, 1), (SKU_2, B, 1))
    hold = bench.hold((SKU_1, A, 1), (SKU_2, A, 5))
    command = transfer(hold, A, B, request_id=uuid4(1))
    first = bench.do(command)
    assert first.details == ((1, (SKU_2, B), 1),)
    assert bench.do(command).answer == first.answer


BASE_LINES = [(SKU_1, A, 2), (SKU_2, A, 3)]


@pytest.mark.parametrize(
    ("first", "other", "field"),
    [
        (reserve(BASE_LINES), reserve(BASE_LINES, allow_partial=True), "method"),
        (commit(5), release(5), "method"),
        (fulfill(5, BASE_LINES), cancel(5, BASE_LINES), "method"),
        (set_policy(SKU_1, A, safety_stock=0), set_policy(SKU_1, A, backorder_limit=0), "method"),
        (commit(5), commit(6), "reservation_id"),
        (amend(5, BASE_LINES), amend(5, BASE_LINES, expected_version=3), "expected_version"),
        (amend(5, BASE_LINES, expected_version=2), amend(5, BASE_LINES, expected_version=3), "expected_version"),
        (transfer(5, A, B, expected_version=2), transfer(5, A, B), "expected_version"),
        (amend(5, BASE_LINES), amend(5, BASE_LINES[:1], expected_version=3), "expected_version"),
        (amend(5, BASE_LINES), amend(6, BASE_LINES, expected_version=3), "reservation_id"),
        (amend(5, BASE_LINES, expected_version=6), amend(6, BASE_LINES, expected_version=5), "reservation_id"),
        (reserve(BASE_LINES), reserve(BASE_LINES[:1]), "lines"),
        (reserve(BASE_LINES), reserve(BASE_LINES[::-1]), "lines"),
        (reserve(BASE_LINES), reserve([(SKU_1, A, 2), (SKU_3, A, 3)]), "lines"),
        (reserve(BASE_LINES), reserve([(SKU_1, A, 2), (SKU_2, B, 3)]), "lines"),
        (reserve([(-2, A, 1)]), reserve([(-3, A, 1)]), "lines"),
        (transfer(5, A, B), transfer(5, A, C), "lines"),
        (record(receive(SKU_1, A, 1)), record(sale(SKU_1, A, 1)), "lines"),
        (record(write_off(SKU_1, A, 1, 1)), record(write_off(SKU_1, A, 1, 2)), "lines"),
        (commit(5), commit(5, BASE_LINES), "lines"),
        (reserve(BASE_LINES), reserve([(SKU_1, A, 2), (SKU_2, A, 4)]), "quantity"),
        (set_policy(SKU_1, A, backorder_limit=1), set_policy(SKU_1, A, backorder_limit=2), "quantity"),
        (reserve(BASE_LINES), reserve(BASE_LINES, ttl_us=TTL_US + 1), "ttl"),
        (reserve(BASE_LINES), reserve(BASE_LINES, content=1), "content"),
        (change_catalog(content=1), change_catalog(content=2), "content"),
        (remember(content=1), remember(content=2), "content"),
        (commit(5), release(6), "method"),
        (commit(5), commit(6, BASE_LINES), "reservation_id"),
        (reserve(BASE_LINES), reserve([(SKU_1, B, 9)], ttl_us=1), "lines"),
    ],
)
def test_a_repeat_with_other_content_is_refused(bench, first, other, field):
    bench.stock((SKU_1, A, 10), (SKU_2, A, 10))
    first, other = (replace(command, request_id=uuid4(7)) for command in (first, other))
    assert bench.do(first).is_written
    for refused in bench.run(other, other, after_us=SECOND_US):
        assert (refused.status, refused.is_written, refused.is_stored) == (Status.REQUEST_ID_REUSED, False, False)
        assert refused.seq == bench.ledger.seq == 2
        told = FIELD_NAMES[refused.field]
        assert told == field or (told == "content" and isinstance(bench.ledger, Ledger)), (
            "a hash may not tell them apart"
        )
    assert bench.do(first).is_stored


@pytest.mark.parametrize("request_id", [0, 1, 1 << 64, 2**128 - 1, uuid4(1), uuid7(NOW_US, 1)])
def test_every_request_id_counts(bench, request_id):
    bench.stock((SKU_1, A, 10))
    first, again = bench.run(*[reserve([(SKU_1, A, 1)], request_id=request_id)] * 2)
    assert (first.status, first.is_stored, again.is_stored) == (Status.OK, False, True)
    others = [request_id ^ 1, request_id ^ 1 << 64]
    assert not any(result.is_stored for result in bench.run(*(reserve(LINES, request_id=each) for each in others)))


def test_a_refusal_stays_refused(bench):
    bench.stock((SKU_1, A, 1))
    command = reserve([(SKU_1, A, 2)], request_id=uuid4(1))
    first = bench.do(command)
    assert (first.status, first.is_written, first.seq) == (SHORT, True, 2)
    bench.stock((SKU_1, A, 1))
    again = bench.do(command)
    assert (again.answer, again.is_stored) == (first.answer, True)


def test_a_commit_repeated_over_time_answers_as_then(bench):
    bench.stock((SKU_1, A, 5))
    hold = bench.hold((SKU_1, A, 2))
    first = bench.ok(commit(hold, request_id=uuid4(1)))
    bench.ok(fulfill(hold))
    assert bench.ok(commit(hold, request_id=uuid4(1))).answer == first.answer


def test_remembered_within_the_window(bench):
    bench.stock((SKU_1, A, 5))
    command = reserve([(SKU_1, A, 2)], request_id=uuid4(1))
    bench.ok(command)
    assert bench.do(command, after_us=WINDOW_US).is_stored


def test_a_stored_answer_does_not_renew_the_window(bench):
    bench.stock((SKU_1, A, 500))
    command = reserve([(SKU_1, A, 2)], request_id=uuid4(1), ttl_us=SECOND_US)
    bench.ok(command)
    bench.ok(command, after_us=WINDOW_US)
    bench.live(minutes=150)
    result = bench.ok(command)
    assert (result.is_stored, result.is_written) == (False, True)


def test_forgotten_in_the_end(bench):
    bench.stock((SKU_1, A, 1000))
    commands = [reserve([(SKU_1, A, 1)], request_id=uuid4(key + 1), ttl_us=SECOND_US) for key in range(1000)]
    bench.run(*commands)
    bench.wait(2 * WINDOW_US)
    bench.live(minutes=200)
    results = bench.run(*commands, after_us=SECOND_US)
    assert {result.status for result in results} == {Status.OK}
    assert not any(result.is_stored for result in results)


@pytest.mark.parametrize(
    ("made_us", "status"),
    [
        (NOW_US - WINDOW_US, Status.OK),
        (NOW_US - WINDOW_US - 1, Status.REQUEST_ID_TOO_OLD),
        (NOW_US - WINDOW_US - 1000, Status.REQUEST_ID_TOO_OLD),
        (0, Status.REQUEST_ID_TOO_OLD),
        (NOW_US + HOUR_US, Status.OK),
    ],
)
def test_a_uuid7_older_than_the_window(bench, made_us, status):
    bench.stock((SKU_1, A, 5))
    command = reserve([(SKU_1, A, 1)], request_id=uuid7(made_us, 1))
    result = bench.do(command)
    assert (result.status, result.is_written) == (status, status == Status.OK)
    assert bench.do(command).is_stored is (status == Status.OK), "a refusal as too old is not remembered"


def test_too_old_counts_whole_milliseconds(bench):
    bench.stock((SKU_1, A, 5))
    bench.wait(999)
    made = uuid7(NOW_US - WINDOW_US, 1)
    bench.ok(reserve([(SKU_1, A, 1)], request_id=made))
    result = bench.do(reserve([(SKU_1, A, 1)], request_id=made + 1), after_us=1)
    assert result.status == Status.REQUEST_ID_TOO_OLD


def test_a_known_id_is_never_too_old_within_the_window(bench):
    bench.stock((SKU_1, A, 5))
    command = reserve([(SKU_1, A, 1)], request_id=uuid7(NOW_US - WINDOW_US // 2, 1))
    bench.ok(command)
    assert bench.do(command, after_us=WINDOW_US - SECOND_US).is_stored


@pytest.mark.parametrize("version", [v for v in range(16) if v != 7])
def test_other_uuids_have_no_age(bench, version):
    bench.stock((SKU_1, A, 5))
    old = uuid7(0, 1) & ~(0xF << 76) | version << 76
    bench.ok(reserve([(SKU_1, A, 1)], request_id=old))


# ---- the end of a reservation ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["RELEASED", "EXPIRED", FULFILLED, "ACTIVE", "COMMITTED"])
def test_readable_for_a_while_then_unknown(bench, state):
    bench.stock((SKU_1, A, 10))
    reservation_id = in_state(bench, state)
    if state in ("ACTIVE", "COMMITTED"):
        bench.ok(amend(reservation_id, [(SKU_1, A, 0)]))
        assert bench.lines(reservation_id) == []
    ended_us = bench.reservation(reservation_id).time_us
    view = bench.reservation(reservation_id)
    bench.wait(ended_us + RETENTION_US - bench.time_us)
    assert bench.reservation(reservation_id) == view
    bench.live(minutes=50)
    assert bench.ledger.reservation(reservation_id) is None
    assert bench.do(commit(reservation_id)).status == LOST
    assert bench.do(amend(reservation_id, LINES)).status == LOST


def test_what_is_open_is_never_recycled(bench):
    bench.stock((SKU_1, A, 10))
    order, partly = bench.order((SKU_1, A, 4)), bench.order((SKU_1, A, 2))
    bench.ok(fulfill(partly, [(SKU_1, A, 1)]))
    bench.wait(2 * RETENTION_US)
    bench.live(minutes=50)
    assert bench.lines(order) == [(SKU_1, A, 4, 4, 0)]
    assert bench.lines(partly) == [(SKU_1, A, 2, 1, 1)]
    bench.ok(fulfill(partly))
    bench.wait(RETENTION_US)
    assert bench.lines(partly) == [(SKU_1, A, 2, 0, 2)], "it has ended"
    bench.live(minutes=50)
    assert bench.ledger.reservation(partly) is None


def test_ids_are_not_used_again(bench):
    bench.stock((SKU_1, A, 10))
    seen: set[int] = set()
    for _ in range(20):
        made = [result.reservation_id for result in bench.run(*[reserve([(SKU_1, A, 1)], ttl_us=1)] * 10)]
        assert not seen & set(made)
        seen |= set(made)
        bench.wait(2 * RETENTION_US)
        bench.live(minutes=2)
    for each in seen:
        assert bench.do(release(each)).status in (LOST, EXPIRED)


# ---- limits ----------------------------------------------------------------------------------------------------------


def test_the_largest_quantities(bench):
    most = limits.QUANTITY_MAX
    bench.stock(*[(SKU_1, A, most)] * 3)
    bench.ok(set_policy(SKU_1, A, safety_stock=most, backorder_limit=most))
    assert bench.available((SKU_1, A)) == [3 * most]
    held = [bench.hold((SKU_1, A, most)) for _ in range(3)]
    assert bench.do(reserve([(SKU_1, A, 1)])).shortages == [(0, 0)]
    for each in held:
        bench.ok(commit(each))
        bench.ok(fulfill(each))
    assert bench.level(SKU_1, A)[:4] == (0, {}, 0, 0)


def test_a_transfer_never_overflows_a_line(bench):
    most = limits.QUANTITY_MAX
    bench.stock(*[(SKU_1, A, most), (SKU_1, B, most)] * 2)
    hold = bench.hold((SKU_1, A, most), (SKU_1, B, most))
    result = bench.do(transfer(hold, A, B))
    assert (result.status, result.told) == (SHORT, [(0, (SKU_1, B), most, 0)])
    assert sum(line[3] for line in bench.lines(hold)) == 2 * most
    bench.ok(amend(hold, [(SKU_1, B, most - 3)]))
    result = bench.do(transfer(hold, A, B, [(SKU_1, 4)]))
    assert (result.status, result.told) == (SHORT, [(0, (SKU_1, B), 4, 3)])
    bench.ok(transfer(hold, A, B, [(SKU_1, 3)]))
    assert bench.lines(hold) == [(SKU_1, A, most - 3, most - 3, 0), (SKU_1, B, most, most, 0)]


def test_what_was_released_of_a_line_counts_as_its_units(bench):
    most = limits.QUANTITY_MAX
    bench.stock(*[(SKU_1, A, most), (SKU_1, B, most)] * 2)
    hold = bench.hold((SKU_1, A, 9), (SKU_1, B, most - 2))
    bench.ok(release(hold, [(SKU_1, B, most - 5)]))
    assert bench.do(transfer(hold, A, B)).told == [(0, (SKU_1, B), 9, 2)]
    bench.ok(transfer(hold, A, B, [(SKU_1, 2)]))
    assert bench.lines(hold) == [(SKU_1, A, 7, 7, 0), (SKU_1, B, most, 5, 0)]


def test_scarce_stock_and_a_line_without_room(bench):
    most = limits.QUANTITY_MAX
    bench.stock((SKU_1, A, most), (SKU_1, B, most), (SKU_1, B, 4))
    hold = bench.hold((SKU_1, A, 20), (SKU_1, B, most - 9))
    bench.hold((SKU_1, B, 6))
    assert bench.do(transfer(hold, A, B)).told == [(0, (SKU_1, B), 20, 7)]
    bench.stock((SKU_1, B, 50))
    assert bench.do(transfer(hold, A, B)).told == [(0, (SKU_1, B), 20, 9)]
    bench.hold((SKU_1, B, 57))
    assert bench.do(transfer(hold, A, B)).told == [(0, (SKU_1, B), 20, 0)]


def test_more_than_a_line_can_hold_is_told(bench):
    most = limits.QUANTITY_MAX
    bench.stock(*[(SKU_1, A, most)] * 3, (SKU_1, B, 1))
    order = bench.order((SKU_1, A, most))
    bench.ok(amend(order, [(SKU_1, A, 1)]))
    command = record(sale(SKU_1, B, 3), *[sale(SKU_1, A, most)] * 5, request_id=uuid4(1))
    result = bench.ok(command)
    assert (result.is_oversold, result.told) == (True, [(0, (SKU_1, B), 0, 2), (1, (SKU_1, A), 0, 2 * most + 1)])
    assert bench.available((SKU_1, A)) == [-2 * most - 1]
    bench.ok(record(receive(SKU_1, A, most)))
    again = bench.ok(command, after_us=SECOND_US)
    assert (again.is_stored, again.told, again.answer) == (True, result.told, result.answer)


@pytest.mark.parametrize("units", [2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 3 * 2**32 - 1])
def test_oversold_units_are_told_exactly_around_words(bench, units):
    most = limits.QUANTITY_MAX
    sales = [sale(SKU_1, A, min(most, units - sold)) for sold in range(0, units, most)]
    bench.stock((SKU_1, A, 1))
    bench.ok(record(sale(SKU_1, A, 1)))
    command = record(*sales, request_id=uuid4(1))
    first, again = bench.run(command, command)
    assert first.told == again.told == [(0, (SKU_1, A), 0, units)]


def test_the_most_that_is_told(bench):
    """By the last line of the largest command, far from where a word ends."""
    most, count = limits.QUANTITY_MAX, limits.MOVEMENTS_PER_CALL_MAX
    bench.stock((SKU_1, A, count), (SKU_1, B, 1))
    for _ in range(7):
        bench.ok(record(*[sale(SKU_1, B, most)] * count))
    keys = (uuid4(1), uuid4(2), uuid4(3))
    sold = 7 * count * most - 1
    told = [sold + most, sold + most + count * most]
    commands = [
        record(*[sale(SKU_1, A, 1)] * (count - 1), sale(SKU_1, B, most), request_id=keys[0]),
        record(*[sale(SKU_1, B, most)] * count, request_id=keys[1]),
        record(*[sale(SKU_1, B, most)] * count, request_id=keys[2]),
    ]
    firsts = bench.run(*commands)
    assert firsts[0].told == [(count - 1, (SKU_1, B), 0, told[0])]
    assert firsts[1].told == [(0, (SKU_1, B), 0, min(told[1], limits.DETAIL_QUANTITY_MAX))]
    assert firsts[2].told == [(0, (SKU_1, B), 0, limits.DETAIL_QUANTITY_MAX)]
    assert bench.available((SKU_1, B)) == [-told[1] - count * most]
    for first, again in zip(firsts, bench.run(*commands, after_us=SECOND_US), strict=True):
        assert (again.is_stored, again.answer) == (True, first.answer)


def test_the_largest_batch(bench):
    count = limits.COMMANDS_PER_CALL_MAX
    bench.stock((SKU_1, A, count - 1))
    results = bench.run(*(reserve([(SKU_1, A, 1)], request_id=uuid4(key + 1)) for key in range(count)))
    assert [result.status for result in results] == [Status.OK] * (count - 1) + [SHORT]
    assert [result.seq for result in results] == list(range(2, count + 2))
    assert results[-1].shortages == [(0, 0)]
    assert bench.level(SKU_1, A).reserved == count - 1


def test_the_largest_movements(bench):
    count = limits.MOVEMENTS_PER_CALL_MAX
    skus = [bench.ledger.define_sku(f"many-{index}") for index in range(count)]
    result = bench.ok(record(*(adjust(sku, A, -1) for sku in skus)))
    assert result.shortages == [(line, 1) for line in range(count)]
    command = record(*(transfer_out(sku, A, B, 1) for sku in skus), request_id=uuid4(1))
    first, again = bench.run(command, command)
    assert first.shortages == [(line, 2) for line in range(count)]
    assert again.answer == first.answer
    counts = set_on_hand([(sku, A, 5) for sku in skus])
    assert not bench.ok(counts).is_oversold
    assert {bench.level(sku, A).on_hand for sku in skus} == {5}


def test_an_empty_batch_takes_no_seq(bench):
    assert bench.run() == []
    assert bench.ledger.seq == 0
    assert bench.ledger.level(SKU_1, A) is None
    assert bench.ledger.reservation(1) is None


# ---- groups ----------------------------------------------------------------------------------------------------------


def test_a_finished_group_has_the_digest_of_its_last_seq():
    """What is over is forgotten when the group is finished, and no more when it is taken."""
    bench, standby = new_bench(Ledger), new_bench(Ledger).ledger
    ledger = bench.ledger
    empty = ledger.digest()
    ledger.finish_group()
    assert (ledger.take_group(), ledger.digest()) == (None, empty)
    forgotten = recycled = 0
    time_us = NOW_US
    ledger.execute(batch_of([record(receive(SKU_1, A, 10_000))]), time_us)
    for number in range(60):
        keys = (uuid4(number * 100 + each) for each in range(20))
        ledger.execute(batch_of([reserve(LINES, ttl_us=SECOND_US, request_id=key) for key in keys]), time_us)
        ledger.execute(batch_of([reserve([(SKU_1, A, 2)], ttl_us=SECOND_US)]), time_us)
        before = ledger.digest()
        ledger.finish_group()
        digest = ledger.digest()
        ledger.finish_group()
        with pytest.raises(AssertionError, match="finished"):
            ledger.execute(batch_of([reserve(LINES)]), time_us)
        assert ledger.digest() == digest, "finished once"
        group = ledger.take_group()
        assert (group.last_seq, ledger.seq) == (ledger.seq, group.last_seq)
        assert (before != digest) is (group.forgotten_count + group.recycled_count > 0)
        assert ledger.digest() == digest
        standby.replay(group)
        assert standby.digest() == digest
        assert ledger.verify() == standby.verify() == []
        ledger.finish_group()
        assert (ledger.take_group(), ledger.digest()) == (None, digest)
        forgotten += group.forgotten_count
        recycled += group.recycled_count
        time_us += WINDOW_US // 10
    assert min(forgotten, recycled) > 100


def check_replay(ledger: Ledger, group: Group, skus: int) -> Ledger:
    """Replay a group on a new standby."""
    standby = Ledger(request_window_us=WINDOW_US, retention_us=RETENTION_US)
    define_many(standby, skus)
    standby.replay(group)
    assert standby.digest() == ledger.digest()
    assert standby.verify() == []
    return standby


def define_many(ledger: Ledger, skus: int) -> None:
    for sku in range(skus):
        ledger.define_sku(f"many-{sku}")
    for location in range(6):
        ledger.define_location(f"L-{location}")


@pytest.mark.parametrize("executes", [1, 6])
def test_one_group_brings_any_number_of_levels(executes):
    """49,152 of them, on a ledger that had none."""
    skus, locations = limits.MOVEMENTS_PER_CALL_MAX, 6
    ledger = Ledger(request_window_us=WINDOW_US, retention_us=RETENTION_US)
    define_many(ledger, skus)
    commands = [record(*(receive(sku, at, 1 + sku % 7) for sku in range(skus))) for at in range(locations)]
    for first in range(0, locations, locations // executes):
        batch = batch_of(commands[first : first + locations // executes])
        assert {Status(each) for each in ledger.execute(batch, NOW_US).outcomes["status"]} == {Status.OK}
    group = ledger.take_group()
    assert (len(group.records), ledger.seq, ledger.level_count) == (locations, locations, skus * locations)
    assert ledger.verify() == []
    for each in (ledger, check_replay(ledger, group, skus)):
        rows, available, oversold = each.availability(np.arange(skus), np.arange(locations))
        assert (rows.T.ravel() == np.arange(skus * locations)).all()
        assert (available == 1 + np.arange(skus)[:, None] % 7).all()
        assert not oversold.any()
        assert each.find_level(skus, 0) == -1


@pytest.mark.parametrize("make_key", [uuid4, lambda key: uuid7(NOW_US, key)], ids=["v4", "v7"])
def test_one_group_brings_any_number_of_request_ids(make_key):
    """65,536 of them, on a ledger that had none."""
    count, batches = limits.COMMANDS_PER_CALL_MAX, 8
    ledger = Ledger(request_window_us=WINDOW_US, retention_us=RETENTION_US)
    define_many(ledger, 1)
    ledger.execute(batch_of([record(receive(0, 0, count * batches - 1))]), NOW_US)
    keys = [make_key(key + 1) for key in range(count * batches)]
    columns = [
        batch_of([reserve([(0, 0, 1)], request_id=key) for key in keys[start : start + count]])
        for start in range(0, len(keys), count)
    ]
    answers = [ledger.execute(batch, NOW_US) for batch in columns]
    firsts = np.concatenate([answer.outcomes for answer in answers])
    assert (firsts["status"][:-1] == Status.OK).all()
    assert firsts["status"][-1] == Status.INSUFFICIENT_STOCK, "there was one unit less"
    assert (firsts["flags"] == IS_WRITTEN).all()
    assert firsts["seq"].tolist() == list(range(2, len(keys) + 2))
    assert len(set(firsts["reservation_id"].tolist())) == len(keys)
    group = ledger.take_group()
    assert (len(group.requests), ledger.counts().request_ids) == (len(keys), len(keys))
    assert ledger.verify() == []
    for each in (ledger, check_replay(ledger, group, 1)):
        again = np.concatenate([each.execute(batch, NOW_US + SECOND_US).outcomes for batch in columns])
        assert (again["flags"] == IS_STORED).all()
        for name in ("status", "seq", "reservation_id", "state", "version", "time_us"):
            assert (again[name] == firsts[name]).all(), name
        assert each.take_group() is None


def test_what_is_told_is_replayed():
    """A standby repeats details beyond one word as the writer told them."""
    most, count = limits.QUANTITY_MAX, limits.MOVEMENTS_PER_CALL_MAX
    bench, other = new_bench(Ledger), new_bench(Ledger)
    commands = [
        record(*[receive(SKU_1, A, 1)] * (count - 1), adjust(SKU_2, B, -most), request_id=uuid4(1)),
        record(*[sale(SKU_2, B, most)] * count, request_id=uuid4(2)),
        reserve([(SKU_1, A, most), (SKU_2, B, 7)], request_id=uuid4(3)),
        reserve([(SKU_2, B, most), (SKU_1, A, 1)], allow_partial=True, request_id=uuid4(4)),
        reserve([(SKU_1, C, 1)], request_id=uuid4(5)),
        reserve([(SKU_1, C, 1), (SKU_1, -3, 1)], request_id=uuid4(6)),
        transfer(2**40, A, -3, request_id=uuid4(7)),
    ]
    first = results_of(bench.ledger, bench.ledger.execute(batch_of(commands), NOW_US))
    assert [result.told for result in first] == [
        [(count - 1, (SKU_2, B), 0, most)],
        [(0, (SKU_2, B), 0, most + count * most)],
        [(0, (SKU_1, A), most, count - 1), (1, (SKU_2, B), 7, 0)],
        [(0, (SKU_2, B), most, 0)],
        [(0, -1, 0, 0)],
        [(1, -1, 0, 0)],
        [(0, -2, 0, 0)],
    ]
    other.ledger.replay(bench.ledger.take_group())
    assert other.ledger.digest() == bench.ledger.digest()
    again = results_of(other.ledger, other.ledger.execute(batch_of(commands), NOW_US + SECOND_US))
    assert [result.answer for result in again] == [result.answer for result in first]
    assert all(result.is_stored for result in again)


# ---- the oracle finds damage -----------------------------------------------------------------------------------------


def test_t37_damage_is_found_and_named():
    bench = new_bench(OracleLedger)
    bench.stock((SKU_1, A, 10))
    hold = bench.hold((SKU_1, A, 4))
    books, reservations = bench.ledger.books, bench.ledger.reservations
    damages: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "sum to 0": (
            lambda: books.units.update({Place(SKU_1, Account.FREE, A): 1}),
            lambda: books.units.subtract({Place(SKU_1, Account.FREE, A): 1}),
        ),
        "expected RESERVED 5": (
            lambda: setattr(reservations[hold].lines[SKU_1, A], "open", 5),
            lambda: setattr(reservations[hold].lines[SKU_1, A], "open", 4),
        ),
        "expected COMMITTED 4": (
            lambda: setattr(reservations[hold], "state", COMMITTED),
            lambda: setattr(reservations[hold], "state", ACTIVE),
        ),
        "it ended": (
            lambda: setattr(reservations[hold], "time_us", 0),
            lambda: setattr(reservations[hold], "time_us", NOW_US + TTL_US),
        ),
    }
    for message, (harm, repair) in damages.items():
        harm()
        assert any(message in broken for broken in bench.ledger.verify()), message
        repair()
        assert bench.ledger.verify() == []
