"""The one writer, driven step by step between fakes of the outside: when it answers, and what stands by then."""

import random
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import Message
from google.rpc import status_pb2
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from onhand.admin.v1 import admin_service_pb2 as admin
from onhand.inventory.v1 import catalog_pb2, reservation_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.inventory.v1 import stock_pb2 as stock
from onhand.inventory.v1 import transfer_service_pb2 as transfers

from engine.api.desk import METHOD_PATHS, Desk
from engine.errors import RefusedError
from engine.metrics import Meter
from engine.sequencer import Sequencer, TimeSources
from engine.shard.role import not_primary
from engine.transport import Call
from ledger.book import Book
from ledger.core.limits import MICROSECONDS
from ledger.core.records import COMMAND, Batch, new_lines
from ledger.core.statuses import Operation
from ledger.journal.entry import CHAIN_START, Entry, decode_entry
from ledger.journal.errors import JournalCorrupt, JournalError, JournalFenced, JournalUnavailable, JournalUnsettled
from ledger.journal.stream import PAYLOAD_BYTES_MAX

START_US = 1_700_000_000 * MICROSECONDS
WINDOW_SECONDS = 60
LEASE_SECONDS = 3.0
SEEDS = range(4)
STEPS = 120

METHODS = {path.rsplit("/", 1)[1]: position for position, path in enumerate(METHOD_PATHS)}
NOT_A_MESSAGE = b"\xff\xff\xff\xff"


# ---- the outside -----------------------------------------------------------------------------------------------------


class FakeClock:
    """Wall clock that goes where it is told, back as well."""

    def __init__(self) -> None:
        self.now_us = START_US

    def __call__(self) -> int:
        return self.now_us

    def pass_seconds(self, seconds: float) -> None:
        self.now_us += round(seconds * MICROSECONDS)


class FakeMonotonic:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def pass_seconds(self, seconds: float) -> None:
        self.seconds += seconds


class FakeTransport:
    """Calls wait in a queue until they are taken; answers are kept, each call's in a list of its own."""

    address = "fake"

    def __init__(self) -> None:
        self.waiting: deque[Call] = deque()
        self.answers: dict[int, list[Any]] = {}
        self.order: list[int] = []
        self.on_take: Callable[[], None] = lambda: None

    def take(self, max_calls: int, timeout_ms: int) -> list[Call]:
        assert timeout_ms >= 0
        self.on_take()
        return [self.waiting.popleft() for _ in range(min(max_calls, len(self.waiting)))]

    def reply(self, call_id: int, payload: bytes) -> None:
        self._keep(call_id, payload)

    def fail(self, call_id: int, code: int, message: str, details: bytes) -> None:
        self._keep(call_id, Failure(code, message, details))

    def _keep(self, call_id: int, answer: Any) -> None:
        self.answers.setdefault(call_id, []).append(answer)
        self.order.append(call_id)

    def start(self) -> None: ...

    def set_serving(self, serving: bool) -> None: ...

    def close(self, grace_seconds: float) -> None: ...


class Failure:
    """A call that was answered with a status."""

    def __init__(self, code: int, message: str, details: bytes) -> None:
        self.code, self.message, self.details = code, message, details
        self.reason, self.retry_seconds = "", 0.0
        info, retry = ErrorInfo(), RetryInfo()
        for detail in status_pb2.Status.FromString(details).details:
            if detail.Unpack(info):
                self.reason = info.reason
            elif detail.Unpack(retry):
                self.retry_seconds = retry.retry_delay.ToTimedelta().total_seconds()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Failure) and (self.code, self.details) == (other.code, other.details)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Failure({self.reason}: {self.message})"


class FakeJournal:
    """A journal in memory that does to each append and settle what its plan says next.

    append  ok, lost (no outcome, not stored), kept (no outcome, but stored), fenced, corrupt
    settle  ok, away, fenced, corrupt
    """

    epoch = 7

    def __init__(self, transport: FakeTransport) -> None:
        self.entries: list[tuple[int, bytes]] = []
        self.plan: deque[str] = deque()
        self.answered_at_append: list[int] = []
        self._transport = transport
        self._pending: tuple[int, bytes] | None = None
        self._outcome = ""

    def begin(self, last_seq: int, payload: bytes) -> None:
        assert self._pending is None, "appended before the last entry was settled"
        assert not self._outcome, "appended before the last entry was finished"
        assert len(payload) <= PAYLOAD_BYTES_MAX, "as StreamJournal asserts"
        self.answered_at_append.append(len(self._transport.order))
        action = self.plan.popleft() if self.plan else "ok"
        self._outcome = action
        if action in {"ok", "kept"}:
            self.entries.append((last_seq, payload))
        if action in {"lost", "kept"}:
            self._pending = last_seq, payload

    def finish(self) -> None:
        action, self._outcome = self._outcome, ""
        assert action, "finished what was not begun"
        if action in {"fenced", "corrupt"}:
            raise stopped_by(action)
        if action != "ok":
            raise JournalUnsettled("no reply in time")

    away: JournalUnavailable | None = None
    is_taken_over = False

    def renew(self) -> None:
        """Answer unless it is away, or another engine has it."""
        if self.is_taken_over:
            raise stopped_by("fenced")
        if self.away:
            raise self.away

    def settle(self) -> None:
        assert self._pending is not None
        action = self.plan.popleft() if self.plan else "ok"
        if action == "away":
            raise JournalUnsettled("still away")
        if action != "ok":
            raise stopped_by(action)
        if self._pending not in self.entries[-1:]:
            self.entries.append(self._pending)
        self._pending = None


def worked_out_at_once(work: Callable[[], bytes], pauses: int = 1) -> Generator[None, None, bytes]:
    """What a child of the engine would work out over memory as it is now, and is told later."""
    answer = work()
    for _ in range(pauses):
        yield
    return answer


def stopped_by(action: str) -> JournalError:
    return JournalFenced("another writer took over") if action == "fenced" else JournalCorrupt("entries were lost")


class Engine:
    """The writer with a real book and desk between the fakes; its journal may be that of an engine before it."""

    def __init__(self, entries: Iterable[tuple[int, bytes]] = (), *, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.monotonic = FakeMonotonic()
        self.transport = FakeTransport()
        self.journal = FakeJournal(self.transport)
        self.journal.entries = list(entries)
        self.book = new_book()
        self.history_error: Exception | None = None
        self.pauses = 1
        self.meter = Meter(len(METHOD_PATHS))
        self.desk = Desk(self)
        self.sequencer = Sequencer(
            self.transport,
            self.desk,
            self.journal,
            self.meter,
            chain=replay(self.book, self.journal.entries),
            group_calls_max=64,
            lease_seconds=LEASE_SECONDS,
            clocks=TimeSources(self.clock, self.monotonic),
        )
        self.requests: dict[int, tuple[str, Message]] = {}
        self._call_count = 0

    # what reads may look at, as engine.service.Service has it

    def status(self) -> dict[str, Any]:
        return {
            "seq_sequenced": self.book.seq,
            "seq_durable": self.sequencer.seq_durable,
            "start_time_us": START_US,
            "snapshot_time_us": 0,
        }

    def history(self, first_seq: int, entry_count: int) -> Sequence[Entry]:
        if self.history_error:
            raise self.history_error
        found = (
            decode_entry(payload, None, last_seq)[0]
            for last_seq, payload in self.journal.entries
            if last_seq >= first_seq
        )
        return list(islice(found, entry_count))

    def first_seq_kept(self) -> int:
        return 1

    def aside(self, work: Callable[[], bytes]) -> Generator[None, None, bytes]:
        return worked_out_at_once(work, self.pauses)

    def request_checkpoint(self) -> int:
        return self.book.seq

    def read_snapshot(self, name: str, offset: int) -> None: ...

    # calling

    def submit(self, method: str, request: Any) -> int:
        """Let a call wait for the next group; a request that is no message is its own payload."""
        self._call_count += 1
        payload = request.SerializeToString() if isinstance(request, Message) else request
        self.transport.waiting.append(Call(self._call_count, METHODS[method], payload))
        self.requests[self._call_count] = (method, request)
        return self._call_count

    def is_answered(self, call_id: int) -> bool:
        return call_id in self.transport.answers

    def answer(self, call_id: int) -> Any:
        """The one answer of a call: its response, or a Failure."""
        (answer,) = self.transport.answers[call_id]
        return answer if isinstance(answer, Failure) else response_type(self.requests[call_id][0]).FromString(answer)

    def call(self, method: str, request: Any) -> Any:
        call_id = self.submit(method, request)
        self.sequencer.step()
        self.finish_long_reads()
        return self.answer(call_id)

    def finish_long_reads(self) -> None:
        while self.desk.is_working:
            self.sequencer.step()

    def stock(self, *levels: tuple[str, str, int]) -> None:
        """Define what is named, and receive it."""
        skus = [catalog_pb2.Sku(sku_id=name, base_unit="each") for name in {sku: 0 for sku, _, _ in levels}]
        places = [place(name) for name in {location: 0 for _, location, _ in levels}]
        self.call("UpsertSkus", catalog.UpsertSkusRequest(skus=skus))
        self.call("UpsertLocations", catalog.UpsertLocationsRequest(locations=places))
        for level in levels:
            self.call("RecordMovements", movements("RECEIVE", level))

    def available(self, sku: str = "A", location: str = "X") -> int:
        request = inventory.GetStockLevelRequest(sku_id=sku, location_id=location)
        return self.call("GetStockLevel", request).stock_level.available


def response_type(method: str) -> Any:
    name = f"{method}Response"
    modules = (reservations, transfers, inventory, catalog, admin)
    (module,) = (each for each in modules if hasattr(each, name))
    return getattr(module, name)


def new_book() -> Book:
    return Book(request_window_us=WINDOW_SECONDS * MICROSECONDS, retention_us=WINDOW_SECONDS * MICROSECONDS)


def replay(book: Book, entries: Iterable[tuple[int, bytes]], chain: bytes = CHAIN_START) -> bytes:
    for last_seq, payload in entries:
        entry, chain = decode_entry(payload, chain, last_seq)
        book.replay(entry)
    return chain


# ---- requests --------------------------------------------------------------------------------------------------------


def place(name: str) -> catalog_pb2.Location:
    return catalog_pb2.Location(location_id=name, kind=catalog_pb2.LOCATION_KIND_STORE, active=True)


def lines(*items: tuple[str, str, int]) -> list[reservation_pb2.LineQuantity]:
    return [
        reservation_pb2.LineQuantity(sku_id=sku, location_id=location, quantity=units) for sku, location, units in items
    ]


def reserve(*items: tuple[str, str, int], ttl: float = 30, **more: Any) -> reservations.ReserveStockRequest:
    request = reservations.ReserveStockRequest(lines=lines(*items), **more)
    request.ttl.FromMicroseconds(round(ttl * MICROSECONDS))
    return request


def movements(kind: str, *items: tuple[str, str, int], **more: Any) -> inventory.RecordMovementsRequest:
    return inventory.RecordMovementsRequest(
        movements=[
            inventory.NewMovement(
                type=stock.MovementType.Value(f"MOVEMENT_TYPE_{kind}"),
                sku_id=sku,
                location_id=location,
                quantity=units,
            )
            for sku, location, units in items
        ],
        **more,
    )


def level(sku: str = "A", location: str = "X") -> inventory.GetStockLevelRequest:
    return inventory.GetStockLevelRequest(sku_id=sku, location_id=location)


def request_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


@pytest.fixture
def engine() -> Engine:
    made = Engine()
    made.stock(("A", "X", 10), ("B", "X", 10), ("A", "Y", 10))
    return made


# ---- answers wait for the journal ------------------------------------------------------------------------------------


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


# ---- the next group, decided while one becomes durable ---------------------------------------------------------------


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


# ---- time ------------------------------------------------------------------------------------------------------------


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


# ---- one odd call must not stop the others ---------------------------------------------------------------------------


def test_a_call_that_cannot_be_decoded_is_answered_for_itself(engine):
    calls = [
        engine.submit("ReserveStock", reserve(("A", "X", 3))),
        engine.submit("ReserveStock", NOT_A_MESSAGE),
        engine.submit("ReserveStock", None),  # not even bytes: what only a bug could bring about
        engine.submit("CreateSku", None),
        engine.submit("GetStockLevel", None),
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


# ---- a crash between append and reply --------------------------------------------------------------------------------


class Customers:
    """Random calls of every kind, under request ids, some of them old ones again."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.holds: list[str] = []
        self.asked: list[tuple[str, Message]] = []
        self._number = 0

    def sku(self) -> str:
        return self.chance.choice(["A", "A", "B", "B", "nowhere"])

    def level(self) -> tuple[str, str, int]:
        units = self.chance.choice([1, 1, 2, 3, 9, 400])
        return (self.sku(), self.chance.choice(["X", "X", "Y", "Y", "Z"]), units)

    def levels(self) -> list[tuple[str, str, int]]:
        return [self.level() for _ in range(self.chance.choice([1, 1, 2, 3]))]

    def hold(self) -> str:
        return self.chance.choice(self.holds[-12:]) if self.holds else "0000000100000000"

    def new_request(self) -> tuple[str, Any]:
        self._number += 1
        asks = (
            *(self.reserve,) * 3,
            *(self.change_units,) * 4,
            self.extend,
            self.amend,
            self.transfer,
            *(self.move,) * 2,
            self.count,
            self.open_or_close,
        )
        return self.chance.choice(asks)(request_id(self._number))

    def ttl(self) -> float:
        return self.chance.choice([0.5, 2.0, 30.0])

    def reserve(self, name: str) -> tuple[str, Any]:
        partial = self.chance.random() < 0.3
        return "ReserveStock", reserve(*self.levels(), ttl=self.ttl(), allow_partial=partial, request_id=name)

    def change_units(self, name: str) -> tuple[str, Any]:
        method = self.chance.choice(
            ["CommitReservation", "CommitReservation", "ReleaseReservation", "FulfillCommitment", "CancelCommitment"]
        )
        some = lines(self.level()) if self.chance.random() < 0.3 else []
        request_type = getattr(reservations, f"{method}Request")
        return method, request_type(reservation_id=self.hold(), lines=some, request_id=name)

    def extend(self, name: str) -> tuple[str, Any]:
        request = reservations.ExtendReservationRequest(reservation_id=self.hold(), request_id=name)
        request.ttl.FromMicroseconds(round(self.ttl() * MICROSECONDS))
        return "ExtendReservation", request

    def amend(self, name: str) -> tuple[str, Any]:
        sku, location, units = self.level()
        change = reservations.LineAmendment(sku_id=sku, location_id=location, quantity=units - 1)
        request = reservations.AmendReservationRequest(reservation_id=self.hold(), lines=[change], request_id=name)
        return "AmendReservation", request

    def transfer(self, name: str) -> tuple[str, Any]:
        return "TransferReservation", reservations.TransferReservationRequest(
            reservation_id=self.hold(), from_location_id="X", to_location_id="Y", request_id=name
        )

    def move(self, name: str) -> tuple[str, Any]:
        kind = self.chance.choice(["SALE", "RETURN", "RECEIVE", "RECEIVE"])
        known = [("A", *each[1:]) for each in self.levels()]
        return "RecordMovements", movements(kind, *known, request_id=name, reference="receipt")

    def count(self, name: str) -> tuple[str, Any]:
        sku, location, units = self.level()
        item = inventory.OnHandCount(sku_id=sku, location_id=location, on_hand=units)
        return "SetOnHand", inventory.SetOnHandRequest(counts=[item], request_id=name)

    def open_or_close(self, name: str) -> tuple[str, Any]:
        location = place("Y")
        location.active = self.chance.random() < 0.7
        return "UpsertLocations", catalog.UpsertLocationsRequest(locations=[location], request_id=name)

    def group(self) -> list[tuple[str, Any]]:
        """The next calls: new ones and repeats, and now and then a read, or bytes that are no message."""
        calls = []
        for _ in range(self.chance.randrange(6)):
            if self.asked and self.chance.random() < 0.15:
                calls.append(self.chance.choice(self.asked[-40:]))
                continue
            calls.append(self.new_request())
            self.asked.append(calls[-1])
        if self.chance.random() < 0.3:
            calls.append(("VerifyLedger", admin.VerifyLedgerRequest()))
        if self.chance.random() < 0.1:
            calls.append(("ReserveStock", NOT_A_MESSAGE))
        return calls

    def see(self, answer: Any) -> None:
        if isinstance(answer, reservations.ReserveStockResponse):
            self.holds.append(answer.reservation_id)


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


# ---- what the meter hears of it --------------------------------------------------------------------------------------


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
