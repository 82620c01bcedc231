"""The ledger by example: amending and transferring."""

from __future__ import annotations

from itertools import combinations

import pytest
from ledger_cases import amend, cancel, commit, extend, fulfill, record, release, sale, transfer

from ledger.core import limits
from ledger.core.statuses import Status
from ledger_examples.harness import (
    ACTIVE,
    CANCELLED,
    CLOSED,
    COMMITTED,
    EXCEEDS,
    INACTIVE,
    LINES,
    MISMATCH,
    NOT_ACTIVE,
    NOT_STOCKED,
    RELEASED,
    SHORT,
    SKU_1,
    SKU_2,
    SKU_3,
    TOO_MANY,
    A,
    B,
    C,
    Wide,
)


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
    states = (COMMITTED, CANCELLED) if is_order else (ACTIVE, RELEASED)
    assert result.state == bench.state(made) == states[not kept]
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
