"""What the tests of this folder share."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import grpc
from engines import ForkedEngine
from faults.processes import WAIT_SECONDS, wait_until
from google.protobuf.message import Message
from harness import Client, Refused, new_id
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_pb2
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.inventory.v1 import stock_pb2 as stock

from engine.config import EngineConfig
from engine.service import Service

SKUS = ("A", "B", "C")


LOCATIONS = ("X", "Y")


ON_HAND = 100_000


CLIENTS = 8


class Folder:
    """A data folder and the engines that live in it, one after the other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "engine.log"
        path.mkdir(exist_ok=True)

    def engine(self, *flags: str) -> ForkedEngine:
        return ForkedEngine(["--port", "0", "--data-folder", str(self.path / "data"), *flags], log_file=self.log)


def in_process(folder: Folder) -> Service:
    """An engine that serves nobody: for what can be seen of it before it does."""
    return Service(EngineConfig(port=0, data_folder=folder.path / "data"))


class Told(NamedTuple):
    """What a client was told: the bytes of a response, or reason, message and shortages of a refusal."""

    response: bytes
    refusal: tuple[Any, ...]


class Asked(NamedTuple):
    """One write of a client; `told` is None where it got no answer."""

    method: str
    request: Any
    told: Told | None


def send(client: Client, method: str, request: Message) -> Told | None:
    """Call once; None where it is not known what came of it."""
    stub = client.inventory if method == "RecordMovements" else client.reservations
    try:
        return Told(client.call(getattr(stub, method), request).SerializeToString(), ())
    except Refused as refused:
        return told_by(refused)


def told_by(refused: Refused) -> Told | None:
    if refused.reason == "NOT_PRIMARY":  # nothing was decided here: ask the engine that took over
        return None
    if refused.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        assert refused.reason in ("", "JOURNAL_UNAVAILABLE", "DRAINING"), refused
        assert refused.retry_seconds > 0 or refused.reason != "JOURNAL_UNAVAILABLE"
        return None
    assert refused.code is grpc.StatusCode.FAILED_PRECONDITION, refused
    return Told(b"", (refused.reason, refused.message, *refused.shortages))


STATE_AFTER: Final = {
    "CommitReservation": reservation_pb2.RESERVATION_STATE_COMMITTED,
    "ReleaseReservation": reservation_pb2.RESERVATION_STATE_RELEASED,
    "FulfillCommitment": reservation_pb2.RESERVATION_STATE_FULFILLED,
    "CancelCommitment": reservation_pb2.RESERVATION_STATE_CANCELLED,
}


class Hold:
    """A reservation as its one client knows it."""

    def __init__(self, lines: Sequence[tuple[str, str, int]]) -> None:
        self.lines = sorted(lines)
        self.state = reservation_pb2.RESERVATION_STATE_ACTIVE
        self.is_open = True
        self.fulfilled = False
        self.version = 1

    def change(self, method: str) -> None:
        """Follow a call that was acknowledged."""
        self.version += 1
        self.state = STATE_AFTER[method]
        self.is_open = method == "CommitReservation"
        self.fulfilled = method == "FulfillCommitment"


class Shopper:
    """One client of a load: random writes, a history of them, and what must be there because of it."""

    def __init__(self, number: int, prefix: str) -> None:
        self._chance = Random(number)
        self._prefix = prefix
        self.history: list[Asked] = []
        self.holds: dict[str, Hold] = {}
        self.sold: Counter[tuple[str, str]] = Counter()
        self._last_seq = 0

    # asking

    def shop(self, client: Client) -> bool:
        """Ask for one thing; False if there was no answer: then nothing else may be asked before `repeat`."""
        method, request = self._next()
        told = send(client, method, request)
        self.history.append(Asked(method, request, told))
        if told:
            self._believe(method, request, told)
        return told is not None

    def is_in_doubt(self) -> bool:
        return bool(self.history) and self.history[-1].told is None

    def repeat(self, client: Client) -> bool:
        """Ask again what there was no answer to, with the same bytes; False if there is none again."""
        asked = self.history.pop()
        assert asked.told is None
        told = send(client, asked.method, asked.request)
        self.history.append(asked._replace(told=told))
        if told:
            self._believe(asked.method, asked.request, told)
        return told is not None

    def _next(self) -> tuple[str, Any]:
        holds = [name for name, hold in self.holds.items() if hold.is_open]
        draw = self._chance.random()
        if holds and draw < 0.35:
            name = self._chance.choice(holds)
            if self.holds[name].state == reservation_pb2.RESERVATION_STATE_ACTIVE:
                method = self._chance.choice(["CommitReservation", "CommitReservation", "ReleaseReservation"])
            else:
                method = self._chance.choice(["FulfillCommitment", "CancelCommitment"])
            return method, getattr(reservations, f"{method}Request")(reservation_id=name, request_id=new_id())
        if draw < 0.55:
            return "RecordMovements", inventory.RecordMovementsRequest(
                movements=[
                    inventory.NewMovement(
                        type=stock.MOVEMENT_TYPE_SALE, sku_id=sku, location_id=location, quantity=units
                    )
                    for sku, location, units in self._lines()
                ],
                request_id=new_id(),
                reference="receipt",
            )
        units = ON_HAND * 2 if draw > 0.92 else 0
        request = reservations.ReserveStockRequest(request_id=new_id(), actor="shopper")
        request.ttl.FromSeconds(3_600)
        for sku, location, quantity in self._lines():
            request.lines.add(sku_id=sku, location_id=location, quantity=quantity + units)
        return "ReserveStock", request

    def _lines(self) -> list[tuple[str, str, int]]:
        levels = self._chance.sample([(sku, place) for sku in SKUS for place in LOCATIONS], self._chance.randint(1, 4))
        return [(self._prefix + sku, self._prefix + location, self._chance.randint(1, 5)) for sku, location in levels]

    # believing

    def _believe(self, method: str, request: Any, told: Told) -> None:
        if told.refusal:
            assert told.refusal[0] == "INSUFFICIENT_STOCK"
            assert request.lines[0].quantity > ON_HAND
            return
        if method == "RecordMovements":
            response: Any = inventory.RecordMovementsResponse.FromString(told.response)
            for movement in request.movements:
                self.sold[movement.sku_id, movement.location_id] += movement.quantity
        else:
            response = getattr(reservations, f"{method}Response").FromString(told.response)
            if method == "ReserveStock":
                lines = [(line.sku_id, line.location_id, line.quantity) for line in request.lines]
                assert response.reservation_id not in self.holds
                self.holds[response.reservation_id] = Hold(lines)
            else:
                hold = self.holds[request.reservation_id]
                hold.change(method)
                assert (response.state, response.version) == (hold.state, hold.version)
                if hold.fulfilled:
                    for sku, location, units in hold.lines:
                        self.sold[sku, location] += units
        assert response.seq > self._last_seq, "a later write of one client has a later seq"
        self._last_seq = response.seq


class Load:
    """Shoppers, and what all of them together must find."""

    def __init__(self, prefix: str = "") -> None:
        self.shoppers = [Shopper(number, prefix) for number in range(CLIENTS)]
        self.answered_count = 0
        self._lock = threading.Lock()

    @staticmethod
    def stock_up(client: Client) -> None:
        client.sku(*SKUS)
        client.location(*LOCATIONS)
        for sku in SKUS:
            for location in LOCATIONS:
                client.receive(sku, location, ON_HAND)

    @contextmanager
    def running(self, address: str, *, again: bool = False) -> Iterator[None]:
        """Let all shop until each got no answer; with `again` they repeat and go on, until the block is left."""
        left = threading.Event()
        with ThreadPoolExecutor(len(self.shoppers)) as pool:
            running = [pool.submit(self._run, shopper, address, left, again) for shopper in self.shoppers]
            try:
                yield
            except BaseException:
                left.set()
                raise
            if again:
                left.set()
            for each in running:
                each.result(WAIT_SECONDS)

    def _run(self, shopper: Shopper, address: str, left: threading.Event, again: bool) -> None:
        with Client(address) as client:
            while not left.is_set():
                answered = shopper.repeat(client) if shopper.is_in_doubt() else shopper.shop(client)
                if not answered and not again:
                    return
                with self._lock:
                    self.answered_count += answered

    def wait_for_answers(self, count: int) -> None:
        """Wait until so many more writes were answered."""
        target = self.answered_count + count
        wait_until(lambda: self.answered_count >= target)

    def settle(self, client: Client) -> None:
        """Repeat what is in doubt. It happened before, whole, or it happens now."""
        for shopper in self.shoppers:
            if shopper.is_in_doubt():
                self._settle_one(shopper, client)

    def _settle_one(self, shopper: Shopper, client: Client) -> None:
        seq, ids = client.verify().seq, {each.reservation_id for each in list_all(client)}
        deadline = time.monotonic() + WAIT_SECONDS
        while not shopper.repeat(client):
            assert time.monotonic() < deadline
        told = shopper.history[-1].told
        assert told is not None
        if shopper.history[-1].method == "ReserveStock" and not told.refusal:
            response = reservations.ReserveStockResponse.FromString(told.response)
            assert (response.reservation_id in ids) == (response.seq <= seq)
            assert client.get(response.reservation_id).version == 1

    def check(self, client: Client) -> None:
        """Hold all histories against the engine."""
        holds = {name: hold for shopper in self.shoppers for name, hold in shopper.holds.items()}
        found = {each.reservation_id: each for each in list_all(client)}
        assert found.keys() == holds.keys()
        sold = sum((shopper.sold for shopper in self.shoppers), Counter())
        held: Counter[tuple[int, str, str]] = Counter()
        for name, hold in holds.items():
            check_hold(found[name], hold)
            if hold.is_open:
                for sku, location, units in hold.lines:
                    held[hold.state, sku, location] += units
        for sku in SKUS:
            for location in LOCATIONS:
                level = client.level(sku, location)
                names = client.name(sku), client.name(location)
                assert level.on_hand == ON_HAND - sold[names]
                assert level.reserved == held[(reservation_pb2.RESERVATION_STATE_ACTIVE, *names)]
                assert level.committed == held[(reservation_pb2.RESERVATION_STATE_COMMITTED, *names)]
        assert client.verify().ok

    def check_without_doubt(self, client: Client) -> None:
        """Before anything is repeated: what was acknowledged is there, and of what is in doubt no half."""
        found = {each.reservation_id: each for each in list_all(client)}
        for shopper in self.shoppers:
            doubtful = shopper.history[-1] if shopper.is_in_doubt() else None
            for name, hold in shopper.holds.items():
                if doubtful is None or getattr(doubtful.request, "reservation_id", "") != name:
                    check_hold(found.pop(name), hold)
                else:
                    found.pop(name)
        doubtful_lines = [
            sorted((line.sku_id, line.location_id, line.quantity) for line in shopper.history[-1].request.lines)
            for shopper in self.shoppers
            if shopper.is_in_doubt() and shopper.history[-1].method == "ReserveStock"
        ]
        for extra in found.values():
            doubtful_lines.remove(sorted((line.sku_id, line.location_id, line.quantity) for line in extra.lines))

    def go_on(self, client: Client) -> None:
        """All that a client can find out after a failure, in the order it would."""
        self.check_without_doubt(client)
        self.settle(client)
        self.check(client)
        self.check_repeats(client)

    def check_repeats(self, client: Client) -> None:
        """Whatever is asked again is answered as it was, refusals too, and changes nothing."""
        before = client.verify()
        chance = Random(1)
        for shopper in self.shoppers:
            for asked in chance.sample(shopper.history, min(25, len(shopper.history))):
                assert send(client, asked.method, asked.request) == asked.told
        assert client.verify().digest == before.digest


def check_hold(found: reservation_pb2.Reservation, hold: Hold) -> None:
    assert found.state == hold.state
    assert found.version == hold.version
    assert sorted((line.sku_id, line.location_id, line.quantity) for line in found.lines) == hold.lines
    for line in found.lines:
        assert line.open_quantity == (line.quantity if hold.is_open else 0)
        assert line.fulfilled_quantity == (line.quantity if hold.fulfilled else 0)


def list_all(client: Client) -> list[reservation_pb2.Reservation]:
    """All reservations of the client's own names."""
    found: list[reservation_pb2.Reservation] = []
    token = ""
    while True:
        request = reservations.ListReservationsRequest(page_size=1_000, page_token=token)
        page = client.call(client.reservations.ListReservations, request)
        found.extend(each for each in page.reservations if each.lines[0].sku_id.startswith(client.prefix))
        token = page.next_page_token
        if not token:
            return found


def position(client: Client) -> tuple[int, str]:
    verified = client.verify()
    assert verified.ok
    return verified.seq, verified.digest


def stop_cleanly(engine: ForkedEngine) -> None:
    assert engine.stop() == 0
