"""Many clients at once, each on a connection of its own: what they may see, and what the totals must be."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import permutations
from random import Random
from typing import Any, NamedTuple

import grpc
import pytest
from concurrency_harness import (
    OwnConnection,
    Refusals,
    all_levels,
    attempt,
    each_of,
    listed,
    open_units,
    reasons_of,
    seconds_of,
)
from engines import ForkedEngine
from faults.processes import WAIT_SECONDS
from harness import Client, Refused, new_id
from onhand.inventory.v1 import catalog_pb2, reservation_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.inventory.v1 import stock_pb2 as stock

RECEIVE, RESERVE, EXPIRE, FULFILL = (
    stock.MovementType.Value(f"MOVEMENT_TYPE_{name}") for name in ("RECEIVE", "RESERVE", "EXPIRE", "FULFILL")
)
SHORT = ("INSUFFICIENT_STOCK",)
Connect = Callable[[int], Sequence[Client]]


@pytest.fixture
def connect(engine: ForkedEngine, client: Client) -> Iterator[Connect]:
    """Opens so many connections, which all use the test's own names."""
    with ExitStack() as stack:

        def open_connections(count: int) -> Sequence[Client]:
            clients = [stack.enter_context(OwnConnection(engine.address, client.prefix)) for _ in range(count)]
            for each in clients:
                grpc.channel_ready_future(each.channel).result(WAIT_SECONDS)
            return clients

        yield open_connections


def check_level(client: Client, sku: str, location: str) -> None:
    """What a level says is held is what reservations hold, and nothing is promised twice."""
    level = client.level(sku, location)
    name = client.name(location)
    assert level.reserved == open_units(client, sku, reservation_pb2.RESERVATION_STATE_ACTIVE)[name]
    assert level.committed == open_units(client, sku, reservation_pb2.RESERVATION_STATE_COMMITTED)[name]
    assert level.available == level.on_hand - level.reserved - level.committed >= 0
    assert level.oversold == 0


# ---- the last unit ---------------------------------------------------------------------------------------------------


def test_a_hundred_clients_for_the_last_unit(client, connect):
    client.sku("A")
    client.location("X")
    client.receive("A", "X", 1)
    results = each_of(connect(100), lambda each, _: each.reserve(("A", "X", 1), request_id=new_id()))
    assert reasons_of(results) == {"": 1, "INSUFFICIENT_STOCK": 99}
    for refused in (result for result in results if isinstance(result, Refused)):
        assert refused.shortages == [(client.name("A"), client.name("X"), 1, 0)]
    check_level(client, "A", "X")
    assert client.verify().ok


def test_many_clients_sell_one_sku_out(client, connect):
    """Mixed quantities, holds that are committed, fulfilled or given back: what is sold is what there was."""
    client.sku("A")
    client.location("X")
    client.receive("A", "X", 2_000)

    def shop(each: Client, number: int) -> int:
        chance, bought = Random(number), 0
        while True:
            units = chance.choice([1, 2, 3, 5, 8])
            made = attempt(each.reserve, ("A", "X", units), request_id=new_id(), expected=SHORT)
            if isinstance(made, Refused):
                assert made.shortages[0][3] < units
                if units == 1:
                    return bought
                continue
            if chance.random() < 0.1:
                each.release(made.reservation_id)
                continue
            each.commit(made.reservation_id)
            if chance.random() < 0.2:
                each.fulfill(made.reservation_id)
            bought += units

    results = each_of(connect(64), shop)
    assert [result for result in results if isinstance(result, Refused)] == []
    # who left early may have missed units that another gave back: the last ones are bought here
    left = client.available("A", ["X"])
    assert sum(results) + left == 2_000
    if left:
        client.reserve(("A", "X", left))
    with pytest.raises(Refused):
        client.reserve(("A", "X", 1))
    check_level(client, "A", "X")
    fulfilled = 2_000 - client.level("A", "X").on_hand
    shipped = [movement for movement in client.movements(sku_id=client.name("A")) if movement.type == FULFILL]
    assert sum(movement.quantity for movement in shipped) == fulfilled
    assert client.verify().ok


def test_crossing_holds_of_two_skus(client, connect):
    """A then B against B then A, for more than there is: no deadlock, no half of a hold."""
    client.sku("A", "B")
    client.location("X")
    client.receive("A", "X", 300)
    client.receive("B", "X", 250)

    def take(each: Client, number: int) -> Refusals:
        order = [("A", "X", 1), ("B", "X", 1)]
        if number % 2:
            order.reverse()
        refusals: Refusals = Counter()
        for _ in range(20):
            made = attempt(each.reserve, *order, request_id=new_id(), expected=SHORT)
            if isinstance(made, Refused):
                assert [short[0] for short in made.shortages] == [client.name("B")]
            refusals += reasons_of([made])
        return refusals

    total = sum(each_of(connect(32), take), Counter())
    assert total == {"": 250, "INSUFFICIENT_STOCK": 32 * 20 - 250}
    assert (client.available("A", ["X"]), client.available("B", ["X"])) == (50, 0)
    for sku in ("A", "B"):
        check_level(client, sku, "X")
    assert client.verify().ok


def test_a_name_is_given_once(client, connect):
    client.location("X")

    def create(each: Client, _: int) -> Any:
        each.sku("A")
        return each.receive("A", "X", 1)

    results = each_of(connect(20), create)
    assert reasons_of(results) == {"": 1, "SKU_ALREADY_EXISTS": 19}
    assert client.level("A", "X").on_hand == 1


# ---- the instant of expiry -------------------------------------------------------------------------------------------


def test_reserve_racing_an_expiry(client, connect):
    """One unit is held until an instant: nobody gets it before, and one gets it as soon as it has come."""
    client.sku("A")
    client.location("X")
    client.receive("A", "X", 1)
    held = client.reserve(("A", "X", 1), ttl=0.5)
    won = threading.Event()

    def want(each: Client, _: int) -> Any:
        deadline = time.monotonic() + WAIT_SECONDS
        while not won.is_set():
            assert time.monotonic() < deadline, "the hold never ended"
            made = attempt(each.reserve, ("A", "X", 1), expected=SHORT)
            if not isinstance(made, Refused):
                won.set()
                return made
        return None

    winners = [result for result in each_of(connect(16), want) if result is not None]
    assert len(winners) == 1
    expired, new = client.get(held.reservation_id), client.get(winners[0].reservation_id)
    assert expired.state == reservation_pb2.RESERVATION_STATE_EXPIRED
    assert seconds_of(expired.end_time) == seconds_of(held.expire_time)
    assert seconds_of(new.create_time) >= seconds_of(held.expire_time)
    kinds = [movement.type for movement in client.movements(sku_id=client.name("A"))]
    assert kinds == [RECEIVE, RESERVE, EXPIRE, RESERVE]
    check_level(client, "A", "X")
    assert client.verify().ok


def test_commit_racing_an_expiry(client, connect):
    """A commit sent at the instant its hold ends: it counts, or it came too late, and both sides agree which."""
    count = 40
    client.sku("A")
    client.location("X")
    client.receive("A", "X", count)

    def race(each: Client, number: int) -> tuple[Any, bool, str]:
        held = each.reserve(("A", "X", 1), ttl=0.3)
        instant = seconds_of(held.expire_time) + (number - count / 2) * 0.000_2
        while time.time() < instant - 0.001:
            each.available("A", ["X"])
        try:
            each.commit(held.reservation_id, request_id=new_id())
        except Refused as refused:
            return held, False, refused.reason
        return held, True, ""

    results = each_of(connect(count), race)
    committed = 0
    for held, is_committed, reason in results:
        found = client.get(held.reservation_id)
        if is_committed:
            assert found.state == reservation_pb2.RESERVATION_STATE_COMMITTED
            assert seconds_of(found.end_time) < seconds_of(held.expire_time)
            committed += 1
        else:
            assert reason == "RESERVATION_EXPIRED"
            assert found.state == reservation_pb2.RESERVATION_STATE_EXPIRED
            assert seconds_of(found.end_time) == seconds_of(held.expire_time)
    level = client.level("A", "X")
    assert (level.on_hand, level.reserved, level.committed) == (count, 0, committed)
    check_level(client, "A", "X")
    assert client.verify().ok


# ---- one request id --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("connections", [2, 50])
def test_one_request_id_from_many_connections(client, connect, connections):
    client.sku("A", "B")
    client.location("X")
    client.receive("A", "X", 1_000)
    clients = connect(connections)
    for round_number in range(5):
        name = new_id()
        wanted = ("A", "X", 1 + round_number)
        made = each_of(clients, lambda each, _, name=name, wanted=wanted: each.reserve(wanted, request_id=name))
        assert len({response.SerializeToString() for response in made}) == 1
        name = new_id()
        facts = each_of(clients, lambda each, _, name=name: each.move("SALE", "A", "X", 1, request_id=name))
        assert len({response.SerializeToString() for response in facts}) == 1
        name = new_id()
        short = each_of(clients, lambda each, _, name=name: each.reserve(("A", "X", 5_000), request_id=name))
        assert len({(refused.reason, refused.message, tuple(refused.shortages)) for refused in short}) == 1
    level = client.level("A", "X")
    assert (level.on_hand, level.reserved) == (1_000 - 5, 1 + 2 + 3 + 4 + 5)
    assert len(listed(client, sku_id=client.name("A"))) == 5
    assert client.verify().ok


def test_one_request_id_for_different_wishes(client, connect):
    """The first one decides; who meant something else is told so."""
    client.sku("A")
    client.location("X")
    client.receive("A", "X", 1_000)
    name = new_id()
    results = each_of(connect(30), lambda each, number: each.reserve(("A", "X", 1 + number % 3), request_id=name))
    assert reasons_of(results) == {"": 10, "REQUEST_ID_REUSED": 20}
    assert len({result.SerializeToString() for result in results if not isinstance(result, Refused)}) == 1
    assert len(listed(client, sku_id=client.name("A"))) == 1


# ---- one reservation -------------------------------------------------------------------------------------------------


class Held(NamedTuple):
    """A reservation of 3 units, as far as its life is concerned."""

    state: str = "ACTIVE"
    open: int = 3

    def after(self, call: str) -> tuple["Held", str]:
        """State after a call, and the reason it is refused with."""
        if call == "cancel":
            if self.state == "COMMITTED":
                return Held("CANCELLED", 0), ""
            return self, "RESERVATION_NOT_COMMITTED"
        if call == "commit":
            if self.state in ("COMMITTED", "CANCELLED"):
                return self, ""
            return (Held("COMMITTED", 3), "") if self.state == "ACTIVE" else (self, "RESERVATION_NOT_ACTIVE")
        return (Held("RELEASED", 0), "") if self.state == "ACTIVE" else (self, "RESERVATION_NOT_ACTIVE")


def outcomes(calls: Sequence[str]) -> set[tuple[Held, tuple[str, ...]]]:
    """Every outcome of the calls in some order: the state at the end, and the reason each call is refused with."""
    found = set()
    for order in permutations(range(len(calls))):
        held, reasons = Held(), [""] * len(calls)
        for position in order:
            held, reasons[position] = held.after(calls[position])
        found.add((held, tuple(reasons)))
    return found


def test_commit_release_and_cancel_of_one_reservation(client, connect):
    calls = ["commit", "release", "cancel"]
    possible = outcomes(calls)
    client.sku("A")
    client.location("X")
    client.receive("A", "X", 10)
    clients = connect(3)
    committed = 0
    for _ in range(40):
        name = client.reserve(("A", "X", 3)).reservation_id
        results = each_of(clients, lambda each, number, name=name: getattr(each, calls[number])(name))
        reasons = tuple(result.reason if isinstance(result, Refused) else "" for result in results)
        found = client.get(name)
        state = reservation_pb2.ReservationState.Name(found.state).removeprefix("RESERVATION_STATE_")
        assert (Held(state, found.lines[0].open_quantity), reasons) in possible
        assert found.version == 1 + reasons.count("")
        if found.lines[0].open_quantity:
            client.cancel(name)
            committed += 1
        level = client.level("A", "X")
        assert (level.on_hand, level.reserved, level.committed, level.available) == (10, 0, 0, 10)
    assert client.verify().ok


def test_one_version_is_amended_once(client, connect):
    client.sku("A")
    client.location("X")
    client.receive("A", "X", 100)
    name = client.reserve(("A", "X", 1)).reservation_id
    clients = connect(16)
    for version in range(1, 11):
        results = each_of(
            clients,
            lambda each, number, version=version: each.amend(
                name, ("A", "X", 1 + (version * 16 + number) % 90), expected_version=version
            ),
        )
        assert reasons_of(results) == {"": 1, "VERSION_MISMATCH": 15}
        assert client.get(name).version == version + 1
    check_level(client, "A", "X")


# ---- storms ----------------------------------------------------------------------------------------------------------


class Storm:
    """Clients that hold, amend, move, commit and give back over the same levels, and carry stock between them."""

    SKUS = ("A", "B")
    LOCATIONS = ("X", "Y", "Z")
    UNITS = 60
    STEPS = 40
    EXPECTED = frozenset(
        (
            "INSUFFICIENT_STOCK",
            "RESERVATION_NOT_ACTIVE",
            "RESERVATION_NOT_COMMITTED",
            "RESERVATION_EXPIRED",
            "QUANTITY_EXCEEDS_OPEN",
        )
    )

    def __init__(self, client: Client) -> None:
        self.client = client
        self.holds: list[str] = []
        client.sku(*self.SKUS)
        client.location(*self.LOCATIONS)
        for sku in self.SKUS:
            for location in self.LOCATIONS:
                client.receive(sku, location, self.UNITS)

    def run(self, each: Client, number: int) -> None:
        """One client's part: half of the time with a hold that others work on as well."""
        chance = Random(number)
        for _ in range(self.STEPS):
            attempt(self.step, each, chance, expected=self.EXPECTED)

    def step(self, each: Client, chance: Random) -> None:
        sku, location = chance.choice(self.SKUS), chance.choice(self.LOCATIONS)
        other = chance.choice([name for name in self.LOCATIONS if name != location])
        if not self.holds or chance.random() < 0.3:
            wanted = [(name, location, chance.randint(1, 4)) for name in self.SKUS]
            made = each.reserve(*wanted, ttl=chance.choice([0.2, 600]), allow_partial=chance.random() < 0.3)
            self.holds.append(made.reservation_id)
            return
        hold = chance.choice(self.holds[-20:])
        match chance.randrange(8):
            case 0 | 1:
                each.amend(hold, (sku, location, chance.randint(0, 6)))
            case 2 | 3:
                each.transfer(hold, location, other)
            case 4:
                each.commit(hold)
            case 5:
                each.release(hold)
            case 6:
                each.cancel(hold)
            case _:
                if each.available(sku, [location]) > 5:
                    each.move("TRANSFER", sku, location, 1, to_location=other)

    def watch(self, each: Client, done: threading.Event) -> None:
        """Read all levels of a sku at one seq, over and over: nothing is lost, nothing is there twice."""
        seq = 0
        while not done.is_set():
            for sku in self.SKUS:
                self.check_levels(page := all_levels(each, sku))
                assert page.seq >= seq
                seq = page.seq

    def check_levels(self, page: inventory.ListStockLevelsResponse) -> None:
        assert sum(level.on_hand for level in page.stock_levels) == len(self.LOCATIONS) * self.UNITS
        for level in page.stock_levels:
            free = level.on_hand - level.reserved - level.committed
            assert min(level.reserved, level.committed) >= 0
            assert level.available == max(0, free)
            assert level.oversold == max(0, -free)


def test_amend_and_transfer_storm(client, connect):
    """The bank's check: whatever is moved and held, the sum over all levels stays what it was."""
    storm = Storm(client)
    *workers, watcher = connect(25)
    with watching(storm.watch, watcher):
        results = each_of(workers, storm.run)
    assert [result for result in results if isinstance(result, Refused)] == []
    for sku in storm.SKUS:
        page, reserved, committed = at_one_seq(client, sku)
        storm.check_levels(page)
        for level in page.stock_levels:
            assert level.reserved == reserved[level.location_id]
            assert level.committed == committed[level.location_id]
    assert client.verify().ok


def at_one_seq(client: Client, sku: str) -> tuple[inventory.ListStockLevelsResponse, Counter[str], Counter[str]]:
    """Levels of a sku, and what reservations say they hold: read until no hold ended in between."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        page = all_levels(client, sku)
        reserved = open_units(client, sku, reservation_pb2.RESERVATION_STATE_ACTIVE)
        committed = open_units(client, sku, reservation_pb2.RESERVATION_STATE_COMMITTED)
        if all_levels(client, sku).seq == page.seq:
            return page, reserved, committed
        assert time.monotonic() < deadline, "the ledger never came to rest"


@contextmanager
def watching(watch: Callable[[Client, threading.Event], None], watcher: Client) -> Iterator[None]:
    """Run a watcher beside what is done inside; what it finds fails the test."""
    done = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        watched = pool.submit(watch, watcher, done)
        try:
            yield
        finally:
            done.set()
            watched.result(WAIT_SECONDS)


# ---- reads -----------------------------------------------------------------------------------------------------------


def test_reads_beside_writes(client, connect):
    """Each writer finds what it wrote, at a seq not before its own; a watcher's seq never falls."""
    client.sku("A")
    client.location("X")
    client.receive("A", "X", 50)

    def write(each: Client, number: int) -> None:
        units, seq = 1 + number % 3, 0
        for _ in range(15):
            made = each.reserve(("A", "X", units))
            found = read_back(each, made.reservation_id)
            assert found.seq >= made.seq > seq
            assert found.reservation.state == reservation_pb2.RESERVATION_STATE_ACTIVE
            assert found.reservation.lines[0].open_quantity == units
            ended = each.release(made.reservation_id)
            seq = read_back(each, made.reservation_id).seq
            assert seq >= ended.seq > made.seq
            assert each.get(made.reservation_id).state == reservation_pb2.RESERVATION_STATE_RELEASED

    def watch(each: Client, done: threading.Event) -> None:
        seq = 0
        while not done.is_set():
            request = inventory.GetStockLevelRequest(sku_id=each.name("A"), location_id=each.name("X"))
            found = each.call(each.inventory.GetStockLevel, request)
            assert found.seq >= seq
            seq = found.seq
            level = found.stock_level
            assert level.on_hand == 50
            assert 0 <= level.available == 50 - level.reserved <= 50

    *writers, watcher = connect(17)
    with watching(watch, watcher):
        results = each_of(writers, write)
    assert [result for result in results if isinstance(result, Refused)] == []
    assert client.available("A", ["X"]) == 50


def read_back(each: Client, name: str) -> reservations.GetReservationResponse:
    request = reservations.GetReservationRequest(reservation_id=name)
    return each.call(each.reservations.GetReservation, request)


def test_a_new_sku_is_there_for_all_once_it_was_answered(client, connect):
    """Catalog writes in the middle of stock writes: who hears of a name can use it."""
    client.location("X")
    names: list[str] = []

    def work(each: Client, number: int) -> int:
        sold = 0
        for step in range(10):
            name = f"S{number}-{step}"
            skus = [catalog_pb2.Sku(sku_id=each.name(name), base_unit="each")]
            each.call(each.catalog.UpsertSkus, catalog.UpsertSkusRequest(skus=skus, request_id=new_id()))
            each.receive(name, "X", 2)
            names.append(name)
            for known in names[-3:]:
                made = attempt(each.reserve, (known, "X", 1), expected=SHORT)
                sold += not isinstance(made, Refused)
        return sold

    results = each_of(connect(16), work)
    assert [result for result in results if isinstance(result, Refused)] == []
    levels = inventory.ListStockLevelsRequest(page_size=1_000, location_id=client.name("X"))
    found = client.call(client.inventory.ListStockLevels, levels).stock_levels
    assert len(found) == 160
    assert sum(level.reserved for level in found) == sum(results)
    assert client.verify().ok
