"""The ledger by example: both implementations, one suite. Tests named T… are rows of the conformance scenarios."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import chain, combinations

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
    adjust,
    amend,
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
from ledger.core.ledger import Ledger
from ledger.core.oracle import Account, OracleLedger, Place
from ledger.core.records import FIELD_NAMES
from ledger.core.statuses import Kind, Operation, ReservationState, Status, Unavailable

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


def test_the_transitions_are_all_there():
    assert TRANSITIONS.keys() == ACTIONS.keys()
    assert all(len(row) == len(STATES) for row in TRANSITIONS.values())
    assert {state.name for state in ReservationState} == set(STATES) - {FULFILLED, UNKNOWN}
    on_reservations = {action(1).operation for action in ACTIONS.values()}
    others = {Operation.RESERVE, Operation.EXPIRE, Operation.RECORD_MOVEMENTS, Operation.SET_ON_HAND}
    assert on_reservations == set(Operation) - others - {Operation.SET_POLICY, Operation.CHANGE_CATALOG}


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
    assert bench.do(ACTIONS[name](reservation_id)).status == Status.RESERVATION_NOT_FOUND


# What each action on 4 units of 10 leaves: on_hand, reserved and committed of the level, then quantity, open and
# fulfilled of the line.
EFFECTS: dict[tuple[str, str], tuple[int, int, int, tuple[int, int, int]]] = {
    ("ACTIVE", "COMMIT all"): (10, 0, 4, (4, 4, 0)),
    ("ACTIVE", "COMMIT lines"): (10, 0, 1, (4, 1, 0)),
    ("ACTIVE", "RELEASE all"): (10, 0, 0, (4, 0, 0)),
    ("ACTIVE", "RELEASE lines"): (10, 3, 0, (4, 3, 0)),
    ("ACTIVE", "EXTEND"): (10, 4, 0, (4, 4, 0)),
    ("ACTIVE", "AMEND"): (10, 5, 0, (5, 5, 0)),
    ("ACTIVE", "AMEND as it is"): (10, 4, 0, (4, 4, 0)),
    ("ACTIVE", "AMEND drop"): (10, 0, 0, (0, 0, 0)),
    ("ACTIVE", "TRANSFER all"): (10, 0, 0, (0, 0, 0)),
    ("ACTIVE", "TRANSFER lines"): (10, 3, 0, (3, 3, 0)),
    ("COMMITTED", "COMMIT all"): (10, 0, 4, (4, 4, 0)),
    ("COMMITTED", "AMEND"): (10, 0, 5, (5, 5, 0)),
    ("COMMITTED", "AMEND as it is"): (10, 0, 4, (4, 4, 0)),
    ("COMMITTED", "AMEND drop"): (10, 0, 0, (0, 0, 0)),
    ("COMMITTED", "TRANSFER all"): (10, 0, 0, (0, 0, 0)),
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
    here, *arrived = bench.lines(reservation_id)
    assert (level.on_hand, level.reserved, level.committed, here[2:]) == EFFECTS[state, name]
    moved = 4 - EFFECTS[state, name][3][0] if name.startswith("TRANSFER") else 0
    there = bench.level(SKU_1, B)
    assert (there.on_hand, there.reserved + there.committed) == (10, moved)
    assert arrived == ([(SKU_1, B, moved, moved, 0)] if moved else [])


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
    Operation.RECORD_MOVEMENTS: (*REQUEST, *LOOKUP, NOT_STOCKED, SHORT),
    Operation.SET_ON_HAND: (*REQUEST, *LOOKUP),
    Operation.SET_POLICY: (*REQUEST, *LOOKUP),
    Operation.CHANGE_CATALOG: REQUEST,
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
        lines = [(self.scarce_at_b, 100 if EXCEEDS in causes else 5 if SHORT in causes else 1)]
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


def subsets(causes: Iterable[Status]) -> list[frozenset[Status]]:
    """Every cause alone, every pair, and all from each one on."""
    causes = list(causes)
    suffixes = (causes[start:] for start in range(len(causes)))
    return [frozenset(each) for each in chain(combinations(causes, 1), combinations(causes, 2), suffixes)]


def test_the_causes_are_all_there():
    assert CAUSES.keys() == set(Operation) - {Operation.EXPIRE}
    elsewhere = {Status.OK, Status.VALIDATION_FAILED, Status.SKU_ALREADY_EXISTS, Status.LOCATION_ALREADY_EXISTS}
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
    bench.stock((SKU_1, A, 9), (SKU_2, A, 9))
    hold = bench.hold((SKU_1, A, 3), (SKU_2, A, 2))
    lines = [(SKU_2, A, 3), (SKU_1, A, 3), (SKU_1, B, 1)]
    for command in (commit(hold, lines), release(hold, lines)):
        result = bench.do(command)
        assert (result.status, result.shortages) == (EXCEEDS, [(0, 2), (2, 0)])
    bench.ok(commit(hold))
    for command in (fulfill(hold, lines), cancel(hold, lines)):
        result = bench.do(command)
        assert (result.status, result.shortages) == (EXCEEDS, [(0, 2), (2, 0)])


def test_lines_below_what_was_fulfilled_are_all_named(bench):
    bench.stock((SKU_1, A, 9), (SKU_2, A, 9))
    order = bench.order((SKU_1, A, 3), (SKU_2, A, 4))
    bench.ok(fulfill(order, [(SKU_1, A, 2), (SKU_2, A, 3)]))
    result = bench.do(amend(order, [(SKU_1, A, 1), (SKU_2, A, 0)]))
    assert (result.status, result.shortages) == (EXCEEDS, [(0, 2), (1, 3)])
    bench.ok(amend(order, [(SKU_1, A, 2), (SKU_2, A, 3)]))
    assert bench.lines(order) == [(SKU_1, A, 2, 0, 2), (SKU_2, A, 3, 0, 3)]
    assert bench.state(order) == COMMITTED


def test_without_lines_the_position_in_the_reservation_is_named(bench):
    bench.stock((SKU_1, A, 3), (SKU_1, B, 3), (SKU_2, A, 3))
    order = bench.order((SKU_1, A, 3), (SKU_1, B, 3), (SKU_2, A, 3))
    bench.ok(fulfill(order, [(SKU_1, A, 3)]))
    bench.ok(record(mark_unavailable(SKU_2, A, 2)))
    result = bench.do(fulfill(order))
    assert (result.status, result.details) == (SHORT, ((2, -1, 1),))


def test_a_whole_transfer_counts_the_open_lines_at_the_location(bench):
    bench.stock((SKU_1, A, 9), (SKU_2, A, 9), (SKU_3, A, 9), (SKU_1, C, 9))
    bench.stock((SKU_1, B, 9), (SKU_2, B, 1), (SKU_3, B, 2))
    hold = bench.hold((SKU_1, A, 2), (SKU_1, C, 2), (SKU_2, A, 2), (SKU_3, A, 3))
    bench.ok(release(hold, [(SKU_1, A, 2)]))
    result = bench.do(transfer(hold, A, B))
    assert (result.status, result.details) == (SHORT, ((0, (SKU_2, B), 1), (1, (SKU_3, B), 2)))
    named = bench.do(transfer(hold, A, B, [(SKU_3, 3), (SKU_2, 2)]))
    assert (named.status, named.details) == (SHORT, ((0, (SKU_3, B), 2), (1, (SKU_2, B), 1)))
    result = bench.do(transfer(hold, C, B))
    assert result.status == Status.OK
    result = bench.do(transfer(hold, C, A))
    assert (result.status, result.details) == (EXCEEDS, ((0, -1, 0),))
    result = bench.do(transfer(hold, A, C))
    assert (result.status, result.details) == (NOT_STOCKED, ((0, (SKU_2, A), 0),))


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


def test_committed_never_expires(bench):
    bench.stock((SKU_1, A, 1))
    order = bench.order((SKU_1, A, 1))
    bench.wait(1000 * HOUR_US)
    assert bench.state(order) == COMMITTED
    bench.ok(fulfill(order))


# ---- amending and transferring ---------------------------------------------------------------------------------------


def test_amend_swaps_and_the_dropped_line_keeps_its_place(bench):
    bench.stock((SKU_1, A, 5), (SKU_2, A, 5))
    hold = bench.hold((SKU_1, A, 2))
    bench.ok(amend(hold, [(SKU_2, A, 3), (SKU_1, A, 0)]))
    assert bench.lines(hold) == [(SKU_1, A, 0, 0, 0), (SKU_2, A, 3, 3, 0)]
    bench.ok(amend(hold, [(SKU_1, A, 1)]))
    assert bench.lines(hold) == [(SKU_1, A, 1, 1, 0), (SKU_2, A, 3, 3, 0)]
    assert bench.available((SKU_1, A), (SKU_2, A)) == [4, 2]


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


def test_no_more_lines_than_a_reservation_may_have(bench):
    skus = [bench.ledger.define_sku(f"wide-{index}") for index in range(limits.LINES_PER_RESERVATION_MAX + 1)]
    bench.stock(*((sku, at, 2) for sku in skus for at in (A, B)))
    hold = bench.hold(*((sku, A, 1) for sku in skus[:-1]))
    assert bench.do(amend(hold, [(skus[-1], A, 1)])).status == TOO_MANY
    assert bench.do(amend(hold, [(skus[0], A, 0), (skus[-1], A, 1)])).status == TOO_MANY, "a dropped line stays"
    assert bench.do(transfer(hold, A, B, [(skus[0], 1)])).status == TOO_MANY
    assert bench.do(transfer(hold, A, B)).status == TOO_MANY
    bench.ok(amend(hold, [(skus[-1], A, 0), (skus[0], A, 2)]))
    bench.ok(amend(hold, [(sku, A, 2) for sku in skus[:-1]]))
    assert len(bench.lines(hold)) == limits.LINES_PER_RESERVATION_MAX


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
    assert bench.do(transfer(hold, A, B, [(SKU_1, 3)])).shortages == [(0, 2)]
    assert bench.do(transfer(hold, A, C, [(SKU_1, 1)])).status == NOT_STOCKED
    closed = bench.do(transfer(hold, A, CLOSED))
    assert (closed.status, closed.details) == (INACTIVE, ((0, -1, 0),))
    assert bench.do(transfer(hold, -1, B)).status == Status.LOCATION_NOT_FOUND
    assert bench.do(transfer(hold, A, -1)).details == ((0, -1, 0),)
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
    assert kinds == set(Kind) - of_reservations - others - {Kind.STOCK_HERE}


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


@pytest.mark.parametrize("name", MOVEMENTS)
def test_which_movements_begin_a_stock_level(bench, name):
    line = MOVEMENTS[name][0]
    begins = line.kind in (Kind.RECEIVE, Kind.RETURN, Kind.ADJUST)
    result = bench.do(record(line))
    assert result.status == (Status.OK if begins else NOT_STOCKED)
    assert (bench.ledger.level(SKU_1, A) is not None) is begins
    assert bench.ledger.level(SKU_1, B) is None
    bench.ledger.set_location_active(A, active=False)
    bench.stock((SKU_1, A, 50))
    bench.ok(record(mark_unavailable(SKU_1, A, 20, REASON)))
    bench.ok(record(line))


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


def test_a_line_too_early_is_not_stocked(bench):
    result = bench.do(record(receive(SKU_2, A, 1), sale(SKU_1, A, 1), receive(SKU_1, A, 1)))
    assert (result.status, result.shortages) == (NOT_STOCKED, [(1, 0)])
    assert bench.ledger.level(SKU_2, A) is None, "all or nothing"
    assert bench.ledger.level(SKU_1, A) is None


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
    third = bench.ok(set_on_hand([(SKU_1, A, 5)], validate_only=True, request_id=request_id))
    assert (third.is_written, third.is_stored) == (False, False)
    refused = bench.do(set_on_hand([(-1, A, 5)], validate_only=True))
    assert (refused.status, refused.is_written) == (Status.SKU_NOT_FOUND, False)


def test_policy_sets_what_it_names(bench):
    bench.ok(set_policy(SKU_1, A, safety_stock=3, backorder_limit=4))
    assert bench.level(SKU_1, A) == (0, {}, 0, 0, 3, 4)
    bench.ok(set_policy(SKU_1, A, safety_stock=5))
    assert bench.level(SKU_1, A)[4:] == (5, 4)
    bench.ok(set_policy(SKU_1, A, backorder_limit=0))
    assert bench.level(SKU_1, A)[4:] == (5, 0)
    assert bench.ok(set_policy(SKU_1, A)).is_written
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
}


def test_the_repeats_are_all_there():
    assert {Operation[name.split()[0]] for name in REPEATS} == set(Operation) - {Operation.EXPIRE}


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
        (amend(5, BASE_LINES), amend(5, BASE_LINES, expected_version=3), "reservation_id"),
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
        assert FIELD_NAMES[refused.field] in (field, "content")
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


@pytest.mark.parametrize("state", ["RELEASED", "EXPIRED", FULFILLED])
def test_readable_for_a_while_then_unknown(bench, state):
    bench.stock((SKU_1, A, 10))
    reservation_id = in_state(bench, state)
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
    assert (result.status, result.details, result.requested) == (SHORT, ((0, (SKU_1, B), 0),), (most,))
    assert sum(line[3] for line in bench.lines(hold)) == 2 * most


def test_more_than_a_line_can_hold_is_told(bench):
    most = limits.QUANTITY_MAX
    bench.stock(*[(SKU_1, A, most)] * 3)
    order = bench.order((SKU_1, A, most))
    bench.ok(amend(order, [(SKU_1, A, 1)]))
    result = bench.ok(record(*[sale(SKU_1, A, most)] * 5))
    assert (result.is_oversold, result.shortages) == (True, [(0, 2 * most + 1)])
    assert bench.available((SKU_1, A)) == [-2 * most - 1]


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


# ---- the oracle finds damage -----------------------------------------------------------------------------------------


def test_t37_damage_is_found_and_named():
    bench = new_bench(OracleLedger)
    bench.stock((SKU_1, A, 10))
    hold = bench.hold((SKU_1, A, 4))
    books, reservations = bench.ledger._books, bench.ledger._reservations
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
