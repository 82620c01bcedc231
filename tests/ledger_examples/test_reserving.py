"""The ledger by example: reserving, expiry."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from ledger_cases import (
    HOUR_US,
    MINUTE_US,
    NOW_US,
    SECOND_US,
    TTL_US,
    Command,
    Result,
    batch_of,
    commit,
    extend,
    fulfill,
    receive,
    record,
    release,
    reserve,
    results_of,
    sale,
)

from ledger.core.ids import slot_part
from ledger.core.ledger import Ledger
from ledger.core.records import Group
from ledger.core.statuses import ReservationState, Status
from ledger.core.views import ReservationView
from ledger.oracle.stock import OracleLedger
from ledger_examples.harness import (
    ACTIONS,
    ACTIVE,
    CLOSED,
    COMMITTED,
    EXPIRED,
    INACTIVE,
    NOT_STOCKED,
    SHORT,
    SKU_1,
    SKU_2,
    SKU_3,
    A,
    B,
    C,
    new_bench,
)


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
    slots = np.array([slot_part(each) for each in backlog.due])
    while done + most < len(backlog.due):
        assert backlog.ledger.expire_backlog(backlog.time_us, most) is True
        groups.append(backlog.take())
        assert len(groups[-1].records) == most
        assert (groups[-1].first_seq, groups[-1].time_us) == (seq + done + 1, backlog.time_us)
        done += most
        states = [view.state for _, view in backlog.ledger.reservations_at(slots)]
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
