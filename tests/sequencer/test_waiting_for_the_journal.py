"""The one writer, driven step by step between fakes of the outside: answers wait for the journal."""

from collections import Counter

import numpy as np
import pytest
from onhand.admin.v1 import admin_service_pb2 as admin
from onhand.inventory.v1 import catalog_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.inventory.v1 import stock_pb2 as stock

from engine.errors import RefusedError
from engine.shard.role import not_primary
from ledger.book import Book
from ledger.core.limits import MICROSECONDS
from ledger.core.records import COMMAND, Batch, new_lines
from ledger.core.statuses import Operation
from ledger.journal.entry import decode_entry
from ledger.journal.errors import JournalCorrupt, JournalFenced, JournalUnavailable
from sequencer.harness import (
    NOT_A_MESSAGE,
    START_US,
    WINDOW_SECONDS,
    Engine,
    Failure,
    level,
    lines,
    movements,
    new_book,
    replay,
    request_id,
    reserve,
)


def test_nothing_of_a_group_is_answered_before_its_append_has_returned(engine):
    before = len(engine.transport.order)
    calls = [
        engine.submit("ReserveStock", reserve(("A", "X", 4))),
        engine.submit("GetStockLevel", level()),
        engine.submit("CreateSku", catalog.CreateSkuRequest(sku=catalog_pb2.Sku(sku_id="C", base_unit="each"))),
        engine.submit("ReserveStock", reserve(("A", "X", 999))),
        engine.submit("ReserveStock", NOT_A_MESSAGE),
    ]
    engine.sequencer.step()
    assert engine.journal.answered_at_append[-1] == before
    assert sorted(engine.transport.order[before:]) == calls
    assert engine.answer(calls[1]).stock_level.reserved == 4
    assert engine.answer(calls[1]).seq == engine.answer(calls[2]).seq == engine.sequencer.seq_durable


def test_a_group_that_wrote_nothing_needs_no_journal_entry(engine):
    entries = len(engine.journal.entries)
    assert engine.available() == 10
    assert engine.call("ReserveStock", reserve(("A", "X", 999))).reason == "INSUFFICIENT_STOCK"
    assert len(engine.journal.entries) == entries


def test_a_refusal_under_a_request_id_is_durable_before_it_is_told(engine):
    engine.journal.plan += ["lost", "away"]
    call = engine.submit("ReserveStock", reserve(("A", "X", 999), request_id=request_id(1)))
    engine.sequencer.step()
    engine.sequencer.step()
    assert not engine.is_answered(call)
    engine.sequencer.step()
    assert engine.answer(call).reason == "INSUFFICIENT_STOCK"


@pytest.mark.parametrize("fate", ["lost", "kept"])
@pytest.mark.parametrize("times_away", [0, 1, 5])
def test_unsettled(engine, fate, times_away):
    engine.journal.plan += [fate, *["away"] * times_away]
    entries, durable = len(engine.journal.entries), engine.sequencer.seq_durable
    held = [
        engine.submit("GetStockLevel", level()),
        engine.submit("ReserveStock", reserve(("A", "X", 4), request_id=request_id(1))),
        engine.submit("ReserveStock", reserve(("A", "X", 7))),
        engine.submit("ReserveStock", NOT_A_MESSAGE),
    ]
    engine.sequencer.step()
    assert engine.sequencer.is_unsettled
    for _ in range(times_away):
        write = engine.submit("ReserveStock", reserve(("A", "X", 1)))
        read = engine.submit("GetStockLevel", level())
        engine.sequencer.step()
        for call in (write, read):
            assert engine.answer(call).reason == "JOURNAL_UNAVAILABLE"
            assert engine.answer(call).retry_seconds > 0
        assert not any(engine.is_answered(call) for call in held)
        assert engine.sequencer.seq_durable == durable
    engine.sequencer.step()
    assert not engine.sequencer.is_unsettled
    assert [len(engine.transport.answers[call]) for call in held] == [1, 1, 1, 1]
    assert engine.answer(held[0]).stock_level.reserved == 4
    assert engine.answer(held[1]).reservation_id
    assert engine.answer(held[2]).reason == "INSUFFICIENT_STOCK"
    assert len(engine.journal.entries) == entries + 1
    assert engine.sequencer.seq_durable == engine.book.seq
    again = engine.call("ReserveStock", reserve(("A", "X", 4), request_id=request_id(1)))
    assert again == engine.answer(held[1])
    assert engine.available() == 6
    assert sum(engine.is_answered(call) for call in held) == 4
    assert Counter(engine.transport.order).most_common(1)[0][1] == 1


def test_calls_that_come_while_unsettled_are_served_once_it_is_settled(engine):
    engine.journal.plan += ["lost"]
    engine.submit("ReserveStock", reserve(("A", "X", 4)))
    engine.sequencer.step()
    late = engine.submit("ReserveStock", reserve(("A", "X", 6)))
    engine.sequencer.step()
    engine.sequencer.step()
    assert engine.answer(late).reservation_id
    assert engine.available() == 0


@pytest.mark.parametrize("error", ["fenced", "corrupt"])
@pytest.mark.parametrize("first", [[], ["lost"], ["kept"], ["lost", "away"]])
def test_a_writer_that_must_not_go_on_answers_nothing(engine, error, first):
    engine.journal.plan += [*first, error]
    before = len(engine.transport.order)
    engine.submit("ReserveStock", reserve(("A", "X", 4)))
    engine.submit("GetStockLevel", level())
    with pytest.raises(JournalFenced if error == "fenced" else JournalCorrupt):  # noqa: PT012 - the last step raises
        for _ in range(len(first) + 1):
            engine.sequencer.step()
    assert len(engine.transport.order) == before


def test_a_group_takes_no_more_calls_than_it_may(engine):
    calls = [engine.submit("ReserveStock", reserve(("A", "Y", 1))) for _ in range(100)]
    assert engine.sequencer.step() == 64
    assert sum(map(engine.is_answered, calls)) == 64
    assert engine.sequencer.step() == 36
    made = [call for call in calls if not isinstance(engine.answer(call), Failure)]
    assert made == calls[:10]


@pytest.fixture
def overlapping(engine, monkeypatch):
    """An engine that decides ahead, with 100 calls that are two groups: 64 reservations, then 35 and a read."""
    monkeypatch.setattr("engine.sequencer.OVERLAPPED_BYTES_MIN", 0)
    engine.stock(("C", "X", 1_000))
    calls = [engine.submit("ReserveStock", reserve(("C", "X", 1))) for _ in range(99)]
    return engine, [*calls, engine.submit("GetStockLevel", level("C", "X"))]


def test_the_next_group_is_decided_while_one_becomes_durable(overlapping):
    engine, calls = overlapping
    assert engine.sequencer.step() == 64
    assert not any(map(engine.is_answered, calls)), "begun, and the next group is taken"
    assert engine.sequencer.step() == 36
    assert all(map(engine.is_answered, calls))
    assert engine.answer(calls[-1]).stock_level.available == 901
    assert engine.journal.answered_at_append[-1] - engine.journal.answered_at_append[-2] == 64


@pytest.mark.parametrize("outcome", ["lost", "kept"])
def test_both_groups_are_held_back_until_the_first_is_settled(overlapping, outcome):
    engine, calls = overlapping
    engine.journal.plan += [outcome, "away", "ok", "ok"]
    entries = len(engine.journal.entries)
    engine.sequencer.step()
    engine.sequencer.step()
    late = engine.submit("GetStockLevel", level("C", "X"))
    engine.sequencer.step()
    assert engine.sequencer.is_unsettled
    assert not any(map(engine.is_answered, calls))
    assert engine.answer(late).reason == "JOURNAL_UNAVAILABLE"
    engine.sequencer.step()
    assert not engine.sequencer.is_unsettled
    assert all(map(engine.is_answered, calls))
    assert len(engine.journal.entries) == entries + 2
    copy = new_book()
    replay(copy, engine.journal.entries)
    assert copy.digest() == engine.book.digest()


@pytest.mark.parametrize("plan", [["fenced"], ["lost", "fenced"], ["ok", "fenced"], ["lost", "ok", "fenced"]])
def test_a_writer_that_is_fenced_acknowledges_nothing_decided_ahead(overlapping, plan):
    engine, calls = overlapping
    engine.journal.plan += plan
    with pytest.raises(JournalFenced):  # noqa: PT012 - the last step raises
        for _ in range(5):
            engine.sequencer.step()
    acknowledged = [call for call in calls if engine.is_answered(call)]
    engine.sequencer.abandon(RefusedError("NOT_PRIMARY", "another engine writes"))
    assert acknowledged == (calls[:64] if "ok" in plan else [])
    begun, following = calls[len(acknowledged) :][:64], calls[len(acknowledged) :][64:]
    assert {engine.answer(call).reason for call in begun} == {"JOURNAL_UNAVAILABLE"}, "it may be in the journal"
    assert {engine.answer(call).reason for call in following} <= {"NOT_PRIMARY"}, "nothing was done"


def test_a_clock_that_goes_back_never_moves_the_ledger_back(engine):
    engine.clock.pass_seconds(100)
    first = engine.call("ReserveStock", reserve(("A", "X", 4), ttl=1))
    reached = engine.book.ledger.time_us
    engine.clock.pass_seconds(-50)
    second = engine.call("ReserveStock", reserve(("A", "X", 4), ttl=1))
    assert engine.book.ledger.time_us == reached
    assert second.expire_time == first.expire_time
    engine.clock.pass_seconds(50.999999)
    assert engine.available() == 2
    engine.clock.pass_seconds(0.000001)
    assert engine.available() == 10
    times = [decode_entry(payload, None)[0].time_us for _, payload in engine.journal.entries]
    assert times == sorted(times)


def test_idle_steps_expire_what_is_due_and_journal_it(engine):
    engine.call("ReserveStock", reserve(("A", "X", 4), ("B", "X", 1), ttl=1))
    entries = len(engine.journal.entries)
    engine.clock.pass_seconds(0.999999)
    engine.sequencer.step()
    assert len(engine.journal.entries) == entries
    engine.clock.pass_seconds(0.000001)
    engine.sequencer.step()
    assert len(engine.journal.entries) == entries + 1
    engine.sequencer.step()
    assert len(engine.journal.entries) == entries + 1
    standby = new_book()
    replay(standby, engine.journal.entries)
    assert standby.digest() == engine.book.digest()
    assert standby.ledger.available(0, 0) == 10


def test_what_an_expiry_frees_is_not_shown_before_the_expiry_is_durable(engine):
    engine.call("ReserveStock", reserve(("A", "X", 4), ttl=1))
    engine.clock.pass_seconds(1)
    engine.journal.plan += ["lost"]
    read = engine.submit("GetStockLevel", level())
    engine.sequencer.step()
    assert not engine.is_answered(read)
    engine.sequencer.step()
    assert engine.answer(read).stock_level.available == 10


def test_holds_due_while_the_engine_was_down_end_at_their_instant(engine):
    made = engine.call("ReserveStock", reserve(("A", "X", 4), ttl=1))
    engine.clock.pass_seconds(20_000)  # longer than the wheel goes around, and than ended holds can be read
    after = Engine(engine.journal.entries, clock=engine.clock)
    assert after.available() == 10
    history = after.call("ListMovements", inventory.ListMovementsRequest(reservation_id=made.reservation_id))
    assert [movement.type for movement in history.movements] == [
        stock.MOVEMENT_TYPE_RESERVE,
        stock.MOVEMENT_TYPE_EXPIRE,
    ]
    assert history.movements[1].effective_time == made.expire_time


def test_any_number_of_holds_may_end_at_once(engine):
    """An engine was down while its holds ran out: it must come up again, however many they are."""
    count, batches = 100_000, 15
    engine.call("RecordMovements", movements("RECEIVE", ("A", "X", count * batches)))
    for _ in range(batches):
        fill(engine.book, Operation.RESERVE, count, ttl_us=10 * MICROSECONDS)
        engine.sequencer.step()
    assert engine.book.ledger.counts().active_reservations == count * batches
    engine.clock.pass_seconds(10)
    for _ in range(batches):
        engine.sequencer.step()
    assert engine.book.ledger.counts().active_reservations == 0
    standby = new_book()
    replay(standby, engine.journal.entries)
    assert standby.digest() == engine.book.digest()


def fill(book: Book, operation: Operation, count: int, *, ttl_us: int) -> None:
    """Run many one-line commands of A at X for one unit, as the next step's group."""
    commands, each = np.zeros(count, COMMAND), new_lines(count)
    commands["operation"], commands["line_count"], commands["ttl_us"] = operation, 1, ttl_us
    commands["line_start"] = np.arange(count)
    each["quantity"] = 1
    assert not book.execute(Batch(commands, each), max(book.ledger.time_us, START_US)).outcomes["status"].any()


def test_a_call_that_cannot_be_decoded_is_answered_for_itself(engine):
    calls = [
        engine.submit("ReserveStock", reserve(("A", "X", 3))),
        engine.submit("ReserveStock", NOT_A_MESSAGE),
        engine.submit("ReserveStock", ()),  # not even bytes: what only a bug could bring about
        engine.submit("CreateSku", ()),
        engine.submit("GetStockLevel", ()),
        engine.submit("ReserveStock", reserve(("A", "X", 3))),
    ]
    engine.sequencer.step()
    reasons = [getattr(engine.answer(call), "reason", "") for call in calls]
    assert reasons == ["", "VALIDATION_FAILED", "INTERNAL_ERROR", "INTERNAL_ERROR", "INTERNAL_ERROR", ""]
    assert engine.answer(calls[2]).code == 13
    assert engine.available() == 4


def test_many_new_levels_in_one_group():
    """A first load of stock with a few full calls in flight: one group may bring more levels than the index has."""
    engine = Engine()
    places = [f"L{number}" for number in range(64)]
    engine.stock(*[("S0", name, 1) for name in places])
    skus = [catalog_pb2.Sku(sku_id=f"S{number}", base_unit="each") for number in range(1, 1_025)]
    engine.call("UpsertSkus", catalog.UpsertSkusRequest(skus=skus))
    levels = [(sku.sku_id, name) for sku in skus for name in places]
    calls = [
        engine.submit(
            "SetOnHand",
            inventory.SetOnHandRequest(
                counts=[
                    inventory.OnHandCount(sku_id=sku, location_id=name, on_hand=2)
                    for sku, name in levels[start : start + 8_192]
                ]
            ),
        )
        for start in range(0, len(levels), 8_192)
    ]
    while engine.desk.is_working or engine.transport.waiting:
        engine.sequencer.step()
    assert all(engine.answer(call).seq for call in calls)
    assert engine.book.ledger.level_count == len(levels) + len(places)
    assert engine.available("S1024", "L63") == 2


def test_many_new_request_ids_in_one_group():
    engine = Engine()
    engine.stock(("A", "X", 1_000_000))
    batches = [
        reservations.BatchReserveStockRequest(
            requests=[reserve(("A", "X", 1), request_id=request_id(1_000 * batch + each)) for each in range(1_000)]
        )
        for batch in range(48)
    ]
    calls = [engine.submit("BatchReserveStock", batch) for batch in batches]
    while engine.desk.is_working or engine.transport.waiting:
        engine.sequencer.step()
    assert all(len(engine.answer(call).results) == 1_000 for call in calls)
    assert engine.available() == 1_000_000 - 48_000


def test_a_moved_hold_never_outgrows_its_line():
    """Units of a line live in 32 bits: what would not fit is refused, and nothing wraps around."""
    most = 2**31 - 1
    engine = Engine()
    engine.stock(("A", "X", most), ("A", "Y", most), ("A", "Y", most))
    made = engine.call("ReserveStock", reserve(("A", "X", most), ("A", "Y", most)))
    move = reservations.TransferReservationRequest(
        reservation_id=made.reservation_id, from_location_id="X", to_location_id="Y"
    )
    engine.call("TransferReservation", move)
    found = engine.call("GetReservation", reservations.GetReservationRequest(reservation_id=made.reservation_id))
    assert sum(line.open_quantity for line in found.reservation.lines) == 2 * most
    assert engine.call("VerifyLedger", admin.VerifyLedgerRequest()).ok


def test_a_history_that_cannot_be_read_is_the_journals_fault(engine):
    engine.history_error = JournalUnavailable("no reply in time")
    found = engine.call("ListMovements", inventory.ListMovementsRequest())
    assert found.reason == "JOURNAL_UNAVAILABLE"


def test_a_history_shows_all_up_to_the_seq_it_reflects(engine):
    """A follower goes on at seq + 1: what its page leaves out before that it never sees."""
    engine.submit("RecordMovements", movements("SALE", ("A", "X", 1)))
    page = engine.submit("ListMovements", inventory.ListMovementsRequest(page_size=1_000))
    engine.sequencer.step()
    shown = engine.answer(page)
    if not shown.next_page_token:
        assert max(movement.seq for movement in shown.movements) == shown.seq


def test_a_digest_is_that_of_the_seq_it_names(engine):
    """VerifyLedger in the group of a write that lets old request ids be forgotten."""
    for number in range(5):
        engine.call("ReserveStock", reserve(("A", "X", 1), ttl=1, request_id=request_id(number)))
    engine.clock.pass_seconds(3 * WINDOW_SECONDS)
    engine.submit("RecordMovements", movements("SALE", ("A", "X", 1)))
    verify = engine.submit("VerifyLedger", admin.VerifyLedgerRequest())
    engine.sequencer.step()
    engine.finish_long_reads()
    standby = new_book()
    replay(standby, engine.journal.entries)
    assert engine.answer(verify).seq == standby.seq
    assert engine.answer(verify).digest == standby.digest().hex()


def test_the_writer_goes_on_while_the_ledger_is_recounted(engine):
    """VerifyLedger tells what was there when it was taken; calls that come later are answered before it."""
    engine.pauses = 3
    verify = engine.submit("VerifyLedger", admin.VerifyLedgerRequest())
    engine.sequencer.step()
    seq, digest = engine.book.seq, engine.book.digest().hex()
    for number in range(3):
        assert not engine.is_answered(verify)
        assert engine.submit("ReserveStock", reserve(("A", "X", 1), request_id=request_id(number)))
        engine.sequencer.step()
    assert engine.available() == 7
    assert (engine.answer(verify).seq, engine.answer(verify).digest) == (seq, digest)
    assert engine.book.seq == seq + 3


def test_a_recount_that_is_not_finished_is_refused_when_the_writer_must_not_go_on(engine):
    engine.pauses = 100
    verify = engine.submit("VerifyLedger", admin.VerifyLedgerRequest())
    engine.sequencer.step()
    engine.sequencer.abandon(not_primary("elsewhere:1"))
    assert engine.answer(verify).reason == "NOT_PRIMARY"
    assert not engine.desk.is_working


def test_a_stored_refusal_is_told_as_it_was(engine):
    """Five units are committed, three are left on the shelf: the refusal says so, also once two were canceled."""
    made = engine.call("ReserveStock", reserve(("A", "X", 5)))
    engine.call("CommitReservation", reservations.CommitReservationRequest(reservation_id=made.reservation_id))
    engine.call("RecordMovements", movements("SALE", ("A", "X", 7)))
    fulfill = reservations.FulfillCommitmentRequest(reservation_id=made.reservation_id, request_id=request_id(1))
    first = engine.call("FulfillCommitment", fulfill)
    assert first.reason == "INSUFFICIENT_STOCK"
    cancel = reservations.CancelCommitmentRequest(reservation_id=made.reservation_id, lines=lines(("A", "X", 2)))
    engine.call("CancelCommitment", cancel)
    assert engine.call("FulfillCommitment", fulfill) == first
