"""What the tests of this folder share."""

import random
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from itertools import islice
from typing import Any

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
from onhand.order.v1 import fulfillment_service_pb2 as fulfillment

from engine.api.desk import METHOD_PATHS, Desk
from engine.metrics import Meter
from engine.sequencer import Sequencer, TimeSources
from engine.transport import Call
from ledger.book import Book
from ledger.core.limits import MICROSECONDS
from ledger.journal.entry import CHAIN_START, Entry, decode_entry
from ledger.journal.errors import JournalCorrupt, JournalError, JournalFenced, JournalUnavailable, JournalUnsettled
from ledger.journal.stream import PAYLOAD_BYTES_MAX

START_US = 1_700_000_000 * MICROSECONDS


WINDOW_SECONDS = 60


LEASE_SECONDS = 3.0


METHODS = {path.rsplit("/", 1)[1]: position for position, path in enumerate(METHOD_PATHS)}


NOT_A_MESSAGE = b"\xff\xff\xff\xff"


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

    def kept_ranges(self) -> list[tuple[int, int]]:
        return [(1, self.book.seq)]

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
    modules = (reservations, transfers, fulfillment, inventory, catalog, admin)
    (module,) = (each for each in modules if hasattr(each, name))
    return getattr(module, name)


def new_book() -> Book:
    return Book(request_window_us=WINDOW_SECONDS * MICROSECONDS, retention_us=WINDOW_SECONDS * MICROSECONDS)


def replay(book: Book, entries: Iterable[tuple[int, bytes]], chain: bytes = CHAIN_START) -> bytes:
    for last_seq, payload in entries:
        entry, chain = decode_entry(payload, chain, last_seq)
        book.replay(entry)
    return chain


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
            self.replace,
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

    def replace(self, name: str) -> tuple[str, Any]:
        return "ReserveStock", reserve(*self.levels(), ttl=self.ttl(), reservation_id=self.hold(), request_id=name)

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
