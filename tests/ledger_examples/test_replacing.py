"""The ledger by example: a hold that gets other lines in one step."""

from __future__ import annotations

import pytest
from ledger_cases import (
    MINUTE_US,
    SECOND_US,
    adjust,
    commit,
    record,
    release,
    replace_hold,
    reserve,
    set_policy,
    uuid4,
)

from ledger.core import limits
from ledger.core.records import FIELD_NAMES
from ledger.core.statuses import Status
from ledger_examples.harness import CLOSED, INACTIVE, MISMATCH, SHORT, SKU_1, SKU_2, SKU_3, A, B, Wide


def test_lines_come_stay_and_go(bench):
    bench.stock((SKU_1, A, 5), (SKU_2, A, 5), (SKU_2, B, 5))
    hold = bench.hold((SKU_1, A, 2), (SKU_2, A, 3))
    result = bench.ok(replace_hold(hold, [(SKU_2, B, 4), (SKU_2, A, 1)]))
    assert (result.reservation_id, result.version) == (hold, 2)
    assert bench.lines(hold) == [(SKU_2, A, 1, 1, 0), (SKU_2, B, 4, 4, 0)], "what stays keeps its place"
    assert bench.available((SKU_1, A), (SKU_2, A), (SKU_2, B)) == [5, 4, 1]
    bench.ok(replace_hold(hold, [(SKU_2, A, 1), (SKU_2, B, 4)]))
    assert bench.lines(hold) == [(SKU_2, A, 1, 1, 0), (SKU_2, B, 4, 4, 0)]


def test_what_it_holds_is_free_for_it(bench):
    bench.stock((SKU_1, A, 5))
    hold, other = bench.hold((SKU_1, A, 3)), bench.hold((SKU_1, A, 1))
    bench.ok(replace_hold(hold, [(SKU_1, A, 4)]))
    refused = bench.do(replace_hold(hold, [(SKU_1, A, 5)]))
    assert (refused.status, refused.told) == (SHORT, [(0, (SKU_1, A), 5, 4)])
    assert bench.lines(hold) == [(SKU_1, A, 4, 4, 0)]
    bench.ok(release(other))
    bench.ok(replace_hold(hold, [(SKU_1, A, 5)]))


def test_what_is_held_may_stay_where_nothing_is_free(bench):
    """Neither an oversold level nor a closed location takes away what a hold has."""
    bench.stock((SKU_1, A, 5), (SKU_2, A, 5))
    hold = bench.hold((SKU_1, A, 4))
    bench.ok(record(adjust(SKU_1, A, -3)))
    assert bench.available((SKU_1, A)) == [-2]
    bench.ok(replace_hold(hold, [(SKU_1, A, 4), (SKU_2, A, 1)]))
    refused = bench.do(replace_hold(hold, [(SKU_1, A, 5)]))
    assert (refused.status, refused.told) == (SHORT, [(0, (SKU_1, A), 5, 4)])
    bench.ledger.set_location_active(A, active=False)
    bench.ok(replace_hold(hold, [(SKU_1, A, 4)]))
    assert bench.do(replace_hold(hold, [(SKU_1, A, 4), (SKU_2, A, 1)])).status == INACTIVE


def test_units_kept_back_are_not_free_for_it(bench):
    bench.stock((SKU_1, A, 5))
    hold = bench.hold((SKU_1, A, 2))
    bench.ok(set_policy(SKU_1, A, safety_stock=2))
    refused = bench.do(replace_hold(hold, [(SKU_1, A, 4)]))
    assert (refused.status, refused.told) == (SHORT, [(0, (SKU_1, A), 4, 3)])
    bench.ok(replace_hold(hold, [(SKU_1, A, 3)]))


def test_it_is_all_or_none(bench):
    bench.stock((SKU_1, A, 5), (SKU_2, A, 1))
    hold = bench.hold((SKU_1, A, 2))
    before = bench.ledger.reservation(hold)
    refused = bench.do(replace_hold(hold, [(SKU_1, A, 1), (SKU_2, A, 2), (SKU_1, CLOSED, 1)]))
    assert refused.status == Status.NOT_STOCKED_HERE
    refused = bench.do(replace_hold(hold, [(SKU_1, A, 1), (SKU_2, A, 2)]))
    assert (refused.status, refused.told) == (SHORT, [(1, (SKU_2, A), 2, 1)])
    assert bench.ledger.reservation(hold) == before


def test_it_ends_at_its_ttl_from_now(bench):
    bench.stock((SKU_1, A, 5))
    hold = bench.hold((SKU_1, A, 2), ttl_us=MINUTE_US)
    result = bench.ok(replace_hold(hold, [(SKU_1, A, 3)], ttl_us=2 * MINUTE_US), after_us=MINUTE_US - 1)
    assert result.time_us == bench.time_us + 2 * MINUTE_US == bench.reservation(hold).time_us
    bench.wait(2 * MINUTE_US - 1)
    assert bench.available((SKU_1, A)) == [2]
    bench.wait(1)
    assert bench.available((SKU_1, A)) == [5]
    assert bench.do(replace_hold(hold, [(SKU_1, A, 1)])).status == Status.RESERVATION_EXPIRED


def test_totals_are_those_of_now(bench):
    """Units that were let go before do not count in what the lines say; a line without units goes."""
    bench.stock((SKU_1, A, 9), (SKU_2, A, 9), (SKU_3, A, 9))
    hold = bench.hold((SKU_1, A, 4), (SKU_2, A, 4), (SKU_3, A, 4))
    bench.ok(release(hold, [(SKU_1, A, 2), (SKU_2, A, 4)]))
    assert bench.lines(hold) == [(SKU_1, A, 4, 2, 0), (SKU_2, A, 4, 0, 0), (SKU_3, A, 4, 4, 0)]
    bench.ok(replace_hold(hold, [(SKU_1, A, 2), (SKU_3, A, 3)]))
    assert bench.lines(hold) == [(SKU_1, A, 2, 2, 0), (SKU_3, A, 3, 3, 0)]


def test_only_the_version_that_was_seen(bench):
    bench.stock((SKU_1, A, 5))
    hold = bench.hold((SKU_1, A, 2))
    bench.ok(replace_hold(hold, [(SKU_1, A, 3)], expected_version=1))
    refused = bench.do(replace_hold(hold, [(SKU_1, A, 4)], expected_version=1))
    assert (refused.status, refused.version) == (MISMATCH, 2)


def test_a_placed_order_is_not_replaced(bench):
    bench.stock((SKU_1, A, 5))
    hold = bench.hold((SKU_1, A, 2))
    bench.ok(commit(hold))
    assert bench.do(replace_hold(hold, [(SKU_1, A, 3)])).status == Status.RESERVATION_NOT_ACTIVE


def test_to_a_request_id_it_is_a_reservation_of_another_name(bench):
    """Callers send the same call with and without a reservation."""
    bench.stock((SKU_1, A, 9))
    hold, lines = bench.hold((SKU_1, A, 2)), [(SKU_1, A, 3)]
    made = bench.ok(reserve(lines, request_id=uuid4(1)))
    other = bench.do(replace_hold(made.reservation_id, lines, request_id=uuid4(1)))
    assert (other.status, FIELD_NAMES[other.field]) == (Status.REQUEST_ID_REUSED, "reservation_id")
    first = bench.ok(replace_hold(hold, lines, request_id=uuid4(2)))
    again = bench.do(replace_hold(hold, lines, request_id=uuid4(2)), after_us=SECOND_US)
    assert (again.is_stored, again.answer) == (True, first.answer)
    for changed, field in (
        (reserve(lines, request_id=uuid4(2)), "reservation_id"),
        (replace_hold(hold, [(SKU_1, A, 4)], request_id=uuid4(2)), "quantity"),
        (replace_hold(hold, lines, ttl_us=MINUTE_US, request_id=uuid4(2)), "ttl"),
        (replace_hold(hold, lines, expected_version=1, request_id=uuid4(2)), "expected_version"),
    ):
        refused = bench.do(changed)
        assert (refused.status, FIELD_NAMES[refused.field]) == (Status.REQUEST_ID_REUSED, field)


@pytest.mark.parametrize("stay", [0, 1, 50, limits.LINES_PER_RESERVATION_MAX - 1])
def test_a_full_hold_gets_a_full_set_of_others(bench, stay):
    wide = Wide(bench, is_order=False)
    kept = [(sku, A, 1) for sku in wide.held[:stay]]
    others = [(sku, A, 1) for sku in wide.others[: len(wide.held) - stay]]
    bench.ok(replace_hold(wide.made, [*others, *kept]))
    assert bench.lines(wide.made) == [(*line, 1, 0) for line in [*kept, *others]]
