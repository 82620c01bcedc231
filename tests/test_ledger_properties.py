"""The plain ledger and the fast one, driven side by side with whatever Hypothesis thinks of.

What must hold after every step: both answer alike and read alike; both find themselves in order; the group for the
journal explains the stock, in double entry; a standby that replayed it is byte-equal, and can take over at any time.
HYPOTHESIS_PROFILE=thorough looks longer.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import Phase, settings
from ledger_cases import (
    MINUTE_US,
    SECOND_US,
    Command,
    Result,
    amend,
    cancel,
    commit,
    fulfill,
    receive,
    record,
    release,
    replace_hold,
    reserve,
    transfer,
    uuid7,
)
from ledger_properties.callers import COMMANDS, LEVELS, LOCATIONS, WINDOW_US, Callers
from ledger_properties.machine import ENDED, PROFILE, LedgerMachine

from ledger.core import limits
from ledger.core.statuses import FulfillmentState, FulfillmentVerb, Operation, ReservationState, Status
from ledger.core.views import ReservationView

PROFILES = {
    # What fails is kept, and made small by a thorough run: that takes minutes.
    "default": settings(
        max_examples=30, stateful_step_count=30, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate)
    ),
    "thorough": settings(max_examples=1_000, stateful_step_count=50, deadline=None),
}
SEED_COUNT, STEP_COUNT = (100, 2_000) if PROFILE == "thorough" else (3, 400)

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


class StoreMachine(LedgerMachine):
    """Notes which verbs of fulfillment orders led where."""

    def __init__(self) -> None:
        super().__init__()
        self.reached: set[tuple[FulfillmentVerb, FulfillmentState]] = set()

    def compare(self, pair: tuple[Command, Command], plain: Result, fast: Result) -> None:
        super().compare(pair, plain, fast)
        if pair[0].operation == Operation.ADVANCE_FULFILLMENT and plain.status == Status.OK:
            assert fast.state == plain.state
            self.reached.add((FulfillmentVerb(pair[0].lines[0].kind), FulfillmentState(plain.state)))


AT_THE_STORE = ("reserve", *("use_hold",) * 2, *("work",) * 12, "use_commitment", "change", "fact")


def test_a_long_day_of_a_store():
    """Orders are placed and fulfilled, without days going by between two steps: all of it is reached."""
    chance = Random(7)
    callers, machine = Callers(chance), StoreMachine()
    machine.receive_goods([30 for _ in LEVELS])
    for step in range(3 * STEP_COUNT):
        if step % 20 == 0:
            machine.run([(record(*(receive(*level, 9) for level in machine.levels)),) * 2])
        machine.execute_batch(callers.batch(*AT_THE_STORE), ("after", chance.choice([0, 0, SECOND_US])))
        if step % 7 == 0:
            machine.both_read_alike()
            machine.both_are_in_order()
            machine.holds_are_the_sum_of_open_lines()
            machine.settle()
    machine.teardown()
    assert {verb for verb, _ in machine.reached} == set(FulfillmentVerb)
    assert {state for _, state in machine.reached} == set(FulfillmentState)


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

    def replace(self, view: ReservationView) -> Command:
        here = [(line.sku, line.location) for line in view.lines]
        stay = self.chance.sample(here, self.chance.choice([0, len(here) // 2, max(0, len(here) - 1), len(here)]))
        others = [level for level in self.machine.levels if level not in here]
        new = self.chance.sample(others, min(len(others), limits.LINES_PER_RESERVATION_MAX - len(stay)))
        lines = [(*level, self.chance.choice([1, 2, 2, 3])) for level in stay + new[: self.chance.choice([1, 3, 100])]]
        return replace_hold(0, self.chance.sample(lines, len(lines)) or [(*here[0], 1)], ttl_us=limits.TTL_US_MAX)

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
        makers = [self.amend] * 4 + [self.transfer] * 4 + [self.end_some] + [self.replace] * 2
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
