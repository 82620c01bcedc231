"""The ledger by example: facts and policy."""

from __future__ import annotations

import pytest
from ledger_cases import (
    Line,
    adjust,
    cancel,
    change_catalog,
    fulfill,
    goods_return,
    mark_available,
    mark_unavailable,
    receive,
    record,
    reserve,
    sale,
    set_on_hand,
    set_policy,
    transfer,
    transfer_out,
    uuid4,
    write_off,
)

from ledger.core.statuses import Kind, Status, Unavailable
from ledger.oracle.books import Account
from ledger.oracle.stock import OracleLedger
from ledger_examples.harness import INACTIVE, SHORT, SKU_1, SKU_2, SKU_3, A, B, C

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
    of_transfers = {Kind.HELD_OUT, Kind.TRANSFER_SHORT, Kind.TRANSFER_FOUND, Kind.UNEXPECTED, Kind.PLAN, Kind.DOCUMENT}
    of_orders = {Kind.ASSIGN, Kind.UNASSIGN, Kind.CANCEL_ASSIGNED, Kind.MISSING}
    assert kinds == set(Kind) - of_reservations - others - of_transfers - of_orders - {Kind.STOCK_HERE}


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
