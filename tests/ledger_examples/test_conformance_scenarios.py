"""The ledger by example: conformance scenarios."""

from __future__ import annotations

from ledger_cases import (
    MINUTE_US,
    NOW_US,
    amend,
    cancel,
    commit,
    extend,
    fulfill,
    goods_return,
    mark_unavailable,
    record,
    reserve,
    sale,
    set_on_hand,
    set_policy,
    uuid4,
)

from ledger.core import limits
from ledger.core.statuses import Status
from ledger_examples.harness import CLOSED, SKU_1, SKU_2, SKU_3, A, B, C


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
