"""The one writer, driven step by step between fakes of the outside: a crash between append and reply."""

from collections.abc import Sequence
from typing import Any

import pytest
from onhand.admin.v1 import admin_service_pb2 as admin
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import inventory_service_pb2 as inventory

from engine.errors import RefusedError
from ledger.core.limits import MICROSECONDS
from ledger.journal.entry import CHAIN_START, decode_entry
from ledger.journal.errors import JournalFenced, JournalUnavailable
from sequencer.harness import (
    LEASE_SECONDS,
    METHODS,
    WINDOW_SECONDS,
    Customers,
    Engine,
    Failure,
    FakeClock,
    level,
    new_book,
    place,
    replay,
    request_id,
    reserve,
)

SEEDS = range(4)


STEPS = 120


class Step:
    """What one step of a run was asked, answered and appended."""

    def __init__(self, engine: Engine, calls: Sequence[int], first_asked_us: dict[str, int]) -> None:
        self.asked = [engine.requests[call] for call in calls]
        self.answers = [engine.answer(call) for call in calls]
        self.entry_count = len(engine.journal.entries)
        self.digest = engine.book.digest()
        self.now_us = engine.clock.now_us
        self.remembered = [
            bool(name := getattr(request, "request_id", ""))
            and first_asked_us.setdefault(name, self.now_us) > self.now_us - (WINDOW_SECONDS - 10) * MICROSECONDS
            for _, request in self.asked
        ]


def play(seed: int) -> tuple[Engine, list[Step]]:
    """Run a random day, with a clock that jumps and a journal that fails and settles."""
    customers = Customers(seed)
    engine = Engine()
    engine.stock(("A", "X", 40), ("B", "X", 40), ("A", "Y", 10))
    engine.call("UpsertLocations", catalog.UpsertLocationsRequest(locations=[place("Z")]))
    steps: list[Step] = []
    first_asked_us: dict[str, int] = {}
    for _ in range(STEPS):
        engine.clock.pass_seconds(customers.chance.choice([0, 0, 0.001, 0.3, 1, 5, -3]))
        if customers.chance.random() < 0.03:
            engine.clock.pass_seconds(2 * WINDOW_SECONDS)
        if customers.chance.random() < 0.1:
            engine.journal.plan += [customers.chance.choice(["lost", "kept"]), "away"]
        calls = [engine.submit(method, request) for method, request in customers.group()]
        engine.sequencer.step()
        while engine.sequencer.is_unsettled:
            engine.sequencer.step()
        engine.journal.plan.clear()
        engine.finish_long_reads()
        steps.append(Step(engine, calls, first_asked_us))
        for answer in steps[-1].answers:
            customers.see(answer)
    return engine, steps


@pytest.fixture(scope="module", params=SEEDS)
def day(request) -> tuple[Engine, list[Step]]:
    return play(request.param)


def test_a_replay_is_equal_at_every_entry(day):
    engine, steps = day
    standby, chain, applied = new_book(), CHAIN_START, 0
    for step in steps:
        chain = replay(standby, engine.journal.entries[applied : step.entry_count], chain)
        applied = step.entry_count
        assert standby.digest() == step.digest
        assert standby.verify() == []
    assert not [
        answer for step in steps for answer in step.answers if getattr(answer, "reason", "") == "INTERNAL_ERROR"
    ]


def test_a_digest_told_in_a_busy_group_is_what_a_replay_has(day):
    engine, steps = day
    for step in steps:
        for answer in step.answers:
            if isinstance(answer, admin.VerifyLedgerResponse):
                standby = new_book()
                replay(standby, engine.journal.entries[: step.entry_count])
                assert answer.ok
                assert (answer.seq, answer.digest) == (standby.seq, standby.digest().hex())


def test_a_crash_between_append_and_reply_changes_no_answer(day):
    """At every entry: the engine dies after the append, all calls of the group are repeated at the next one."""
    engine, steps = day
    for step in steps:
        after = Engine(engine.journal.entries[: step.entry_count], clock=FakeClock())
        after.clock.now_us = step.now_us
        pairs = [
            (after.submit(method, request), method, answer)
            for (method, request), answer, remembered in zip(step.asked, step.answers, step.remembered, strict=True)
            if remembered
        ]
        after.sequencer.step()
        assert len(after.journal.entries) == step.entry_count, "a repeat is no new write"
        for call, method, answer in pairs:
            assert after.answer(call) == answer, method
        assert after.book.digest() == step.digest


def test_a_crash_before_the_append_leaves_nothing_of_the_group(day):
    """At every entry: the engine dies before the append; the group is decided anew by the next one, once."""
    engine, steps = day
    before = 0
    for step in steps:
        if step.entry_count == before:
            continue
        after = Engine(engine.journal.entries[:before], clock=FakeClock())
        after.clock.now_us = step.now_us
        calls = [after.submit(method, request) for method, request in step.asked]
        after.sequencer.step()
        again = [after.submit(method, request) for method, request in step.asked]
        after.sequencer.step()
        for first, second, remembered in zip(calls, again, step.remembered, strict=True):
            if remembered:
                assert after.answer(first) == after.answer(second)
        assert after.book.verify() == []
        before = step.entry_count


def test_a_repeat_within_the_window_gets_the_first_answer(day):
    """The same bytes later in the day, when much has changed."""
    _, steps = day
    first: dict[str, Any] = {}
    for step in steps:
        for (method, request), answer, remembered in zip(step.asked, step.answers, step.remembered, strict=True):
            if remembered and getattr(answer, "reason", "") != "VALIDATION_FAILED":  # that one is not remembered
                assert first.setdefault(request.request_id, answer) == answer, method


def test_a_refusal_names_its_reason():
    """The table of reasons knows what the sequencer says while it is unsettled."""
    refusal = RefusedError("JOURNAL_UNAVAILABLE", "away", retry_seconds=0.2)
    assert (Failure(refusal.code, "away", refusal.details()).reason, refusal.code) == ("JOURNAL_UNAVAILABLE", 14)


def test_nothing_is_read_while_the_journal_cannot_be_asked(engine):
    """Another engine might have taken over when the lease is over: what is in memory may be stale."""
    assert engine.available() == 10
    engine.journal.away = JournalUnavailable("no reply in time")
    engine.monotonic.pass_seconds(LEASE_SECONDS - 0.1)
    assert engine.available() == 10
    engine.monotonic.pass_seconds(0.1)
    read = inventory.BatchGetAvailabilityRequest(sku_ids=["A"], location_ids=["X"])
    assert engine.call("BatchGetAvailability", read).reason == "JOURNAL_UNAVAILABLE"
    engine.journal.away = None
    assert engine.available() == 10


def test_a_refusal_from_before_the_first_location_is_repeated_after_it():
    """What a request stands for does not depend on what the catalog knows."""
    engine = Engine()
    request = reserve(("A", "X", 1), request_id=request_id(1))
    refused = engine.call("ReserveStock", request)
    assert refused.reason == "SKU_NOT_FOUND"
    engine.stock(("A", "X", 5))
    assert engine.call("ReserveStock", request) == refused


def test_skipped_seqs_are_journaled_before_anything_is_answered(engine):
    before = engine.book.seq
    engine.sequencer.skip_to(before + 10)
    entry, _ = decode_entry(engine.journal.entries[-1][1], None)
    assert (entry.first_seq, entry.skipped_count, entry.record_count) == (before + 11, 10, 1)
    copy = new_book()
    replay(copy, engine.journal.entries)
    assert copy.digest() == engine.book.digest()
    assert engine.available() == 10


def test_a_read_that_was_decided_when_the_lease_was_lost_is_refused(engine):
    """The engine slept between taking the call and answering it: another one has the lease since."""
    assert engine.available() == 10
    read = engine.submit("GetStockLevel", level())
    engine.transport.on_take = lambda: engine.monotonic.pass_seconds(LEASE_SECONDS)
    engine.journal.is_taken_over = True
    with pytest.raises(JournalFenced):
        engine.sequencer.step()
    assert not engine.is_answered(read)
    engine.sequencer.abandon(RefusedError("NOT_PRIMARY", "another engine writes"))
    assert engine.answer(read).reason == "NOT_PRIMARY"


def test_calls_refused_while_a_group_is_unsettled_are_counted_by_reason(engine):
    engine.journal.plan.extend(["lost", "away"])
    held = engine.submit("ReserveStock", reserve(("A", "X", 1)))
    engine.sequencer.step()
    assert engine.sequencer.misses_journal
    refused = engine.submit("GetStockLevel", level())
    engine.sequencer.step()
    assert engine.answer(refused).reason == "JOURNAL_UNAVAILABLE"
    engine.sequencer.step()
    assert engine.is_answered(held)
    assert not engine.sequencer.misses_journal
    meter = engine.meter
    assert meter.reason_counts["JOURNAL_UNAVAILABLE"] == 1
    assert meter.refused_counts == {(METHODS["GetStockLevel"], engine.answer(refused).code): 1}
    assert meter.ok_counts[METHODS["ReserveStock"]] == 1
    assert sum(meter.ok_counts) + 1 == len(engine.transport.answers)


def test_holds_that_expire_are_counted_once(engine):
    for _ in range(3):
        engine.call("ReserveStock", reserve(("A", "X", 1), ttl=5))
    engine.clock.pass_seconds(6)
    engine.sequencer.step()
    engine.sequencer.step()
    assert engine.book.ledger.expired_count == 3
