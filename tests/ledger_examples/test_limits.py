"""The ledger by example: limits, groups."""

from __future__ import annotations

import numpy as np
import pytest
from ledger_cases import (
    HOUR_US,
    MINUTE_US,
    NOW_US,
    SECOND_US,
    Command,
    adjust,
    amend,
    batch_of,
    commit,
    fulfill,
    receive,
    record,
    release,
    reserve,
    results_of,
    sale,
    set_on_hand,
    set_policy,
    transfer,
    transfer_out,
    uuid4,
    uuid7,
)
from test_parts import Image

from ledger.core import limits
from ledger.core.ledger import Ledger
from ledger.core.records import IS_STORED, IS_WRITTEN, Group
from ledger.core.statuses import Status
from ledger_examples.harness import LINES, RETENTION_US, SHORT, SKU_1, SKU_2, WINDOW_US, A, B, C, new_bench


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


# ---- a window that grows ---------------------------------------------------------------------------------------------


def sold(made_us: int, key: int) -> Command:
    """A sale whose id says that it was made at an instant."""
    return record(sale(SKU_1, A, 1), request_id=uuid7(made_us, key))


def status_of(ledger: Ledger, command: Command, time_us: int) -> Status:
    return Status(ledger.execute(batch_of([command]), time_us).outcomes["status"][0])


@pytest.mark.parametrize("is_often", [True, False])
@pytest.mark.parametrize("by", ["image", "replay", "image of a replay"])
def test_a_longer_window_never_runs_again_what_a_shorter_one_forgot(by, is_often):
    """An engine whose operator, or release, lets it remember longer: what was forgotten before is still too old."""
    first, second = (Ledger(request_window_us=hours * HOUR_US, retention_us=HOUR_US) for hours in (1, 72))
    for ledger in (first, second):
        define_many(ledger, 1)
    time_us = NOW_US
    old, made_us = sold(time_us, 1), [time_us]
    first.execute(batch_of([record(receive(SKU_1, A, 999)), old]), time_us)
    for key in range(2, 40):
        group = first.take_group()
        if by != "image":
            second.replay(group)
        time_us += 5 * MINUTE_US
        command = sold(time_us, key) if is_often or key in (12, 39) else record(receive(SKU_1, A, 1))
        assert status_of(first, command, time_us) == Status.OK
        made_us += [time_us] if command.request_id else []
    group = first.take_group()
    if by != "image":
        second.replay(group)
    if by != "replay":
        source = first if by == "image" else second
        second = Ledger(request_window_us=72 * HOUR_US, retention_us=HOUR_US)
        second.restore(Image({name: bytes(part) for name, part in source.image().items()}))
    assert old.request_id is not None
    assert not first.remembers(old.request_id >> 64, old.request_id & (1 << 64) - 1)
    units = second.level(SKU_1, A).on_hand
    time_us += MINUTE_US
    assert status_of(second, old, time_us) == Status.REQUEST_ID_TOO_OLD
    assert status_of(second, sold(NOW_US + MINUTE_US, 99), time_us) == Status.REQUEST_ID_TOO_OLD, "who knows"
    assert second.level(SKU_1, A).on_hand == units
    assert status_of(second, sold(made_us[-1], 39), time_us) == Status.OK, "it is remembered"
    assert second.level(SKU_1, A).on_hand == units
    assert status_of(second, sold(time_us - 30 * MINUTE_US, 98), time_us) == Status.OK, "within both windows"
    assert second.level(SKU_1, A).on_hand == units - 1
    second.take_group()
    time_us += 71 * HOUR_US
    assert status_of(second, sold(time_us - 70 * HOUR_US, 97), time_us) == Status.OK, "the longer one counts since"
    assert status_of(second, old, time_us) == Status.REQUEST_ID_TOO_OLD
