"""The load: clients that reserve, sell, count, ship, plan and read, whatever breaks, and note what they were told."""

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from random import Random
from typing import Any, Final, Protocol

import grpc
import msgspec
from onhand.client import Client
from onhand.inventory.v1 import catalog_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1.catalog_service_pb2_grpc import CatalogServiceStub
from onhand.routing.v1 import network_pb2, plan_pb2
from onhand.routing.v1 import network_service_pb2 as networks
from onhand.routing.v1.network_service_pb2_grpc import NetworkServiceStub

from .askers import MICROSECONDS, InDoubt, NotDone, PackageAsker, StubAsker, Told
from .history import OK, Answer, Ask, Asked, Event, History
from .owner import Owner
from .processes import wait_until

SKUS: Final = ("sku-0", "sku-1", "sku-2", "sku-3")
HOT_SKUS: Final = ("hot-0", "hot-1")
"""Hardly any units: most wishes for them are refused."""
BANK_SKUS: Final = ("bank-0", "bank-1")
"""Only ever moved between locations: what is available of one, over all locations, never changes."""
CARGO_SKUS: Final = ("cargo-0", "cargo-1")
"""Only ever moved by transfers: what is at the locations, on the way and short, never changes in sum."""
LOCATIONS: Final = ("shop", "depot")
STOCK: Final = 200
HOT_STOCK: Final = 3
BANK_STOCK: Final = 50
CARGO_STOCK: Final = 500
LONG_TTL_US: Final = 3_000 * MICROSECONDS
SHORT_TTLS_US: Final = (300_000, 1_000_000, 3_000_000)
TRY_SECONDS: Final = 2.0
LONG_TRY_SECONDS: Final = 6.0
"""Of every fourth client, which still waits when an engine that hung finds out what became of its last group."""
PAUSE_SECONDS: Final = 0.05
HOLDS_MAX: Final = 40
TRANSFERS_MAX: Final = 10
"""Of one client, that it goes on with."""
VERBS: Final = (
    "ACCEPT",
    "START_PICKING",
    "PICK",
    "PICK",
    "PACK",
    "SHIP",
    "SHIP",
    "DELIVER",
    "REJECT",
    "SHORT_PICK",
    "CANCEL",
)
"""What is done with fulfillment orders."""
GIVES_UP: Final = 0.3
"""Part of the operations that their client tries only once."""


class Asker(Protocol):
    """A way to ask; see `faults.askers`."""

    def ask(self, asked: Asked) -> Told:
        """Try once; raises NotDone or InDoubt."""

    def close(self) -> None:
        """Give back what it holds."""


class Hold:
    """A reservation, as the client that made it believes it to be; it may have expired since."""

    def __init__(self, reservation_id: str, lines: Sequence[tuple[str, str, int]]) -> None:
        self.reservation_id = reservation_id
        self.lines = tuple(lines)
        self.is_committed = False


class Shopper:
    """Makes up what one client asks, from a seed."""

    def __init__(self, chance: Random, reads: bool) -> None:
        self._chance = chance
        self._reads = reads
        self._holds: list[Hold] = []
        self._transfers: list[str] = []
        self._works: list[str] = []
        self._answered: deque[Asked] = deque(maxlen=200)
        self._wishes: list[tuple[int, Callable[[], Asked]]] = [
            (30, self._reserve),
            (22, self._use_hold),
            (10, self._change_hold),
            (6, self._receive),
            (6, self._sell),
            (3, self._count),
            (4, self._move_bank),
            (5, self._create_transfer),
            (14, self._use_transfer),
            (8, self._assign),
            (14, self._work),
        ]
        if reads:
            self._wishes += [(8, self._read_availability), (3, self._read_level), (5, self._read_reservation)]
            self._wishes += [(3, self._read_work), (4, self._read_transfer), (5, self._plan), (3, self._reject)]
        else:
            self._wishes += [(6, self._replace_hold), (4, self._plan)]

    def next(self) -> tuple[Asked, bool]:
        """Return the next wish, and whether it is one that was answered before."""
        if self._answered and self._chance.random() < 0.05:
            return self._again(), True
        weights, wishes = zip(*self._wishes, strict=True)
        (wish,) = self._chance.choices(wishes, weights)
        return wish(), False

    def hear(self, asked: Asked, answer: Answer) -> None:
        """Learn from an answer."""
        if asked.ask.is_read:
            return
        if answer.reason == OK or not asked.ask.is_routed:  # not all refusals of routing are remembered
            self._answered.append(asked)
        if answer.reason != OK:
            if answer.reason in ("RESERVATION_EXPIRED", "RESERVATION_NOT_ACTIVE", "RESERVATION_NOT_COMMITTED"):
                self._forget(asked.reservation_id)
        elif (asked.ask is Ask.RESERVE or asked.ask.is_plan) and answer.reservation_id:
            # where a plan holds its units this client does not read
            lines = [(sku, location or LOCATIONS[0], units) for sku, location, units in asked.lines]
            self._holds.append(Hold(answer.reservation_id, lines))
            del self._holds[:-HOLDS_MAX]
        elif asked.ask.makes_document:
            made = self._transfers if asked.ask.is_of_transfer else self._works
            made.append(answer.reservation_id)
            del made[:-TRANSFERS_MAX]
        elif asked.ask is Ask.COMMIT:
            for hold in self._holds:
                hold.is_committed |= hold.reservation_id == asked.reservation_id
        elif asked.ask in (Ask.RELEASE, Ask.FULFILL, Ask.CANCEL) and not asked.lines and self._chance.random() < 0.8:
            self._forget(asked.reservation_id)

    def _forget(self, reservation_id: str) -> None:
        self._holds = [hold for hold in self._holds if hold.reservation_id != reservation_id]

    def _again(self) -> Asked:
        """Ask again what was answered; sometimes with other content, which must be refused."""
        asked = self._chance.choice(self._answered)
        if asked.lines and self._chance.random() < 0.3:
            sku, location, units = asked.lines[0]
            other = units + 1 or 1  # never 0: that would be a wrong value
            return msgspec.structs.replace(asked, lines=((sku, location, other), *asked.lines[1:]))
        return asked

    # ---- wishes

    def _id(self) -> str:
        """Return a fresh request id: a UUID without time, so that the seed alone decides it."""
        return str(uuid.UUID(int=self._chance.getrandbits(128), version=4))

    def _levels(self, most: int) -> list[tuple[str, str]]:
        skus = HOT_SKUS if self._chance.random() < 0.3 else SKUS
        levels = [(sku, location) for sku in skus for location in LOCATIONS]
        return self._chance.sample(levels, self._chance.choice((1, 1, 1, 2, most)))

    def _reserve(self) -> Asked:
        lines = tuple((*level, self._chance.randint(1, 4)) for level in self._levels(4))
        ttl_us = LONG_TTL_US if self._chance.random() < 0.6 else self._chance.choice(SHORT_TTLS_US)
        return Asked(Ask.RESERVE, self._id(), lines, ttl_us=ttl_us, allow_partial=self._chance.random() < 0.15)

    def _use_hold(self) -> Asked:
        if not self._holds:
            return self._reserve()
        hold = self._chance.choice(self._holds)
        verbs: tuple[Ask, ...] = (Ask.COMMIT, Ask.COMMIT, Ask.RELEASE)
        if hold.is_committed:
            verbs = (Ask.FULFILL, Ask.FULFILL, Ask.CANCEL)
        if self._chance.random() < 0.05:  # the wrong one for its state
            verbs = (Ask.COMMIT, Ask.RELEASE, Ask.FULFILL, Ask.CANCEL)
        lines = ((*hold.lines[0][:2], 1),) if self._chance.random() < 0.2 else ()
        return Asked(self._chance.choice(verbs), self._id(), lines, hold.reservation_id)

    def _change_hold(self) -> Asked:
        if not self._holds:
            return self._reserve()
        hold = self._chance.choice(self._holds)
        version = self._chance.choice((0, 0, 1))
        match self._chance.randrange(3):
            case 0:
                ttl_us = self._chance.choice((LONG_TTL_US, *SHORT_TTLS_US))
                return Asked(Ask.EXTEND, self._id(), (), hold.reservation_id, ttl_us=ttl_us)
            case 1:
                sku, location, units = hold.lines[0]
                lines = ((sku, location, max(0, units + self._chance.randint(-2, 2))),)
                return Asked(Ask.AMEND, self._id(), lines, hold.reservation_id, expected_version=version)
        sku, origin, _ = hold.lines[0]
        target = LOCATIONS[1 - LOCATIONS.index(origin)]
        return Asked(
            Ask.TRANSFER,
            self._id(),
            ((sku, origin, 1),) if self._chance.random() < 0.5 else (),
            hold.reservation_id,
            expected_version=version,
            from_location=origin,
            to_location=target,
        )

    def _replace_hold(self) -> Asked:
        """Let a cart have other lines; by columns, as the release before would make a new reservation of a call."""
        if not self._holds:
            return self._reserve()
        hold = self._chance.choice(self._holds)
        lines = {level: self._chance.randint(1, 4) for level in self._levels(3)}
        if self._chance.random() < 0.5:
            lines[hold.lines[0][:2]] = self._chance.randint(1, 6)
        return Asked(
            Ask.REPLACE,
            self._id(),
            tuple((*level, units) for level, units in lines.items()),
            hold.reservation_id,
            ttl_us=self._chance.choice((LONG_TTL_US, *SHORT_TTLS_US)),
            expected_version=self._chance.choice((0, 0, 0, 1)),
        )

    def _receive(self) -> Asked:
        lines = tuple((*level, self._chance.randint(1, 6)) for level in self._levels(3))
        return Asked(Ask.RECORD_MOVEMENTS, self._id(), lines, movement="RECEIVE")

    def _sell(self) -> Asked:
        movement = self._chance.choice(("SALE", "SALE", "ADJUST"))
        lines = tuple((*level, self._chance.randint(1, 3)) for level in self._levels(2))
        if movement == "ADJUST":
            lines = tuple((sku, location, -units) for sku, location, units in lines)
        return Asked(Ask.RECORD_MOVEMENTS, self._id(), lines, movement=movement)

    def _count(self) -> Asked:
        sku, location = self._chance.choice(SKUS), self._chance.choice(LOCATIONS)
        counted = (sku, location, self._chance.randint(STOCK // 2, STOCK))
        return Asked(Ask.SET_ON_HAND, self._id(), (counted,))

    def _move_bank(self) -> Asked:
        origin, target = self._chance.sample(LOCATIONS, 2)
        lines = ((self._chance.choice(BANK_SKUS), origin, 1),)
        return Asked(Ask.RECORD_MOVEMENTS, self._id(), lines, to_location=target, movement="TRANSFER")

    def _cargo(self) -> tuple[tuple[str, str, int], ...]:
        skus = self._chance.sample(CARGO_SKUS, self._chance.choice((1, 1, 2)))
        return tuple((sku, "", self._chance.randint(1, 9)) for sku in skus)

    def _create_transfer(self) -> Asked:
        origin, target = self._chance.sample(LOCATIONS, 2)
        lines, order = self._cargo(), ""
        committed = [hold for hold in self._holds if hold.is_committed]
        if committed and self._chance.random() < 0.2:  # units of an order, where it holds them
            hold = self._chance.choice(committed)
            sku, origin, units = hold.lines[0]
            target, lines, order = LOCATIONS[1 - LOCATIONS.index(origin)], ((sku, "", units),), hold.reservation_id
        return Asked(
            Ask.CREATE_TRANSFER,
            self._id(),
            lines,
            order,
            from_location=origin,
            to_location=target,
            is_held=self._chance.random() < 0.3,
        )

    def _use_transfer(self) -> Asked:
        if not self._transfers:
            return self._create_transfer()
        chance, name = self._chance, self._chance.choice(self._transfers)
        asks = (*(Ask.DISPATCH_TRANSFER,) * 3, *(Ask.RECEIVE_TRANSFER,) * 4, Ask.CLOSE_TRANSFER)
        ask = chance.choice((*asks, Ask.RECORD_FOUND_UNITS, Ask.CANCEL_TRANSFER))
        lines = self._cargo() if ask is Ask.RECORD_FOUND_UNITS or chance.random() < 0.5 else ()
        version = chance.choice((0, 0, 0, 1)) if ask is Ask.DISPATCH_TRANSFER else 0
        condition = chance.choice(("GOOD", "GOOD", "SHORT")) if ask is Ask.RECEIVE_TRANSFER else ""
        lines = () if ask is Ask.CLOSE_TRANSFER else lines
        return Asked(ask, self._id(), lines, name, expected_version=version, condition=condition if lines else "")

    def _plan(self) -> Asked:
        """Let routing choose the locations of an order, and hold its units."""
        skus = self._chance.sample(SKUS, self._chance.choice((1, 1, 2)))
        lines = tuple((sku, "", self._chance.randint(1, 3)) for sku in skus)
        ask = self._chance.choice((Ask.PLAN_FULFILLMENT, Ask.PLAN_ORDERS)) if self._reads else Ask.PLAN_ORDERS
        return Asked(ask, self._id(), lines, ttl_us=self._chance.choice((LONG_TTL_US, *SHORT_TTLS_US)))

    def _reject(self) -> Asked:
        """Say that a location cannot fill what was planned for it; most holds were not planned, which is refused."""
        if not self._holds:
            return self._plan()
        hold = self._chance.choice(self._holds)
        origin = self._chance.choice(LOCATIONS)
        return Asked(Ask.REJECT_ASSIGNMENT, self._id(), (), hold.reservation_id, from_location=origin)

    def _assign(self) -> Asked:
        """Give units of an order to a location; of what is not committed, or has none there, which is refused."""
        if not self._holds:
            return self._reserve()
        hold = self._chance.choice([hold for hold in self._holds if hold.is_committed] or self._holds)
        sku, origin, units = hold.lines[0]
        lines = ((sku, "", self._chance.randint(1, units)),)
        return Asked(Ask.CREATE_FULFILLMENT_ORDER, self._id(), lines, hold.reservation_id, from_location=origin)

    def _work(self) -> Asked:
        if not self._works:
            return self._assign()
        verb, lines = self._chance.choice(VERBS), ()
        if verb == "SHORT_PICK" or (verb in ("PICK", "SHIP", "REJECT", "CANCEL") and self._chance.random() < 0.3):
            lines = ((self._chance.choice(SKUS), "", 1),)
        version = self._chance.choice((0, 0, 0, 1))
        number = self._chance.choice(self._works)
        return Asked(Ask.ADVANCE_FULFILLMENT_ORDER, self._id(), lines, number, expected_version=version, verb=verb)

    def _read_work(self) -> Asked:
        if not self._works:
            return self._read_level()
        return Asked(Ask.WORK, reservation_id=self._chance.choice(self._works))

    def _read_transfer(self) -> Asked:
        if not self._transfers:
            return self._read_level()
        return Asked(Ask.SHIPMENT, reservation_id=self._chance.choice(self._transfers))

    def _read_availability(self) -> Asked:
        skus = BANK_SKUS if self._chance.random() < 0.3 else (*SKUS, *HOT_SKUS)
        return Asked(Ask.AVAILABILITY, lines=tuple((sku, "", 0) for sku in skus))

    def _read_level(self) -> Asked:
        ((sku, location),) = self._levels(1)[:1]
        return Asked(Ask.LEVEL, lines=((sku, location, 0),))

    def _read_reservation(self) -> Asked:
        if not self._holds:
            return self._read_level()
        return Asked(Ask.RESERVATION, reservation_id=self._chance.choice(self._holds).reservation_id)


class Load:
    """Clients in threads of their own, half of them on the generated stubs, half on the client package.

    Parameters
    ----------
    engines
        Addresses of the engines of one shard.
    client_count
        How many clients.
    rate
        Operations a second of all clients together, at most: a checker has to replay them all.
    seed
        Decides what they ask.
    """

    def __init__(self, engines: Sequence[str], *, client_count: int, rate: float, seed: int) -> None:
        self.history = History()
        self._engines = list(engines)
        self._client_count = client_count
        self._interval_seconds = client_count / rate
        self._seed = seed
        self._left = threading.Event()
        self.owner = Owner(engines, _sku(SKUS[0]), _location(LOCATIONS[0]), _routing(LOCATIONS[0]))
        self._errors: list[BaseException] = []

    def stock_up(self) -> None:
        """Create the catalog and receive what there is at first; what is received is part of the history."""
        asker = StubAsker(self._engines, TRY_SECONDS)
        wait_until(lambda: any(map(_create_catalog, self._engines)), "a primary has the catalog")
        for skus, units in (
            (SKUS, STOCK),
            (HOT_SKUS, HOT_STOCK),
            (BANK_SKUS, BANK_STOCK),
            (CARGO_SKUS, CARGO_STOCK),
        ):
            lines = tuple((sku, location, units) for sku in skus for location in LOCATIONS)
            asked = Asked(Ask.RECORD_MOVEMENTS, str(uuid.uuid4()), lines, movement="RECEIVE")
            self._carry_out(Event("stock", asked, time.monotonic()), asker, is_patient=True)
        asker.close()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let all clients ask until the block is left; a client that met a bug of ours raises it then."""
        with Client(self._engines) as package:
            threads = [
                threading.Thread(target=self._run, args=(number, package), name=f"client-{number}")
                for number in range(self._client_count)
            ]
            threads.append(threading.Thread(target=self._own, name="owner"))
            for thread in threads:
                thread.start()
            try:
                yield
            finally:
                self._left.set()
                for thread in threads:
                    thread.join()
        if self._errors:
            raise self._errors[0]

    def ask_of(self, engine: str, asked: Asked) -> Answer | None:
        """Ask one engine once, as one more client; None if it did not answer."""
        asker = StubAsker([engine], TRY_SECONDS)
        event = Event(f"visitor of {engine}", asked, time.monotonic())
        self.history.invoke(event)
        try:
            told = asker.ask(asked)
        except (NotDone, InDoubt):
            self.history.finish(event, "unknown", time.monotonic())
            return None
        finally:
            asker.close()
        self.history.finish(event, "ok", time.monotonic(), told.answer, engine)
        return told.answer

    def wait(self, seconds: float) -> None:
        """Let the load go on for a while."""
        self._left.wait(seconds)

    def check(self) -> None:
        """Raise what a client met that no client may meet."""
        if self._errors:
            raise self._errors[0]

    def _own(self) -> None:
        try:
            self.owner.run(self._left)
        except BaseException as error:  # noqa: BLE001 - told by `running`
            self._errors.append(error)

    def _run(self, number: int, package: Client) -> None:
        is_package = number % 2 == 1
        seconds = TRY_SECONDS if number % 4 else LONG_TRY_SECONDS
        asker: Asker = PackageAsker(package, seconds) if is_package else StubAsker(self._engines, seconds)
        chance = Random(f"{self._seed} {number}")
        shopper = Shopper(chance, reads=not is_package)
        try:
            due = time.monotonic()
            while not self._left.wait(max(0.0, due - time.monotonic())):
                due = max(due + self._interval_seconds, time.monotonic())
                asked, is_repeat = shopper.next()
                name = f"{'package' if is_package else 'stub'}-{number}"
                event = Event(name, asked, time.monotonic(), is_repeat=is_repeat)
                answer = self._carry_out(event, asker, is_patient=chance.random() > GIVES_UP)
                if answer is not None and not is_repeat:
                    shopper.hear(asked, answer)
        except BaseException as error:  # noqa: BLE001 - told by `running`
            self._errors.append(error)
        finally:
            asker.close()

    def _carry_out(self, event: Event, asker: Asker, *, is_patient: bool) -> Answer | None:
        """Try until there is an answer, or all are to stop; an impatient client tries once."""
        self.history.invoke(event)
        outcome = "fail"
        while True:
            event.try_count += 1
            try:
                told = asker.ask(event.asked)
            except NotDone:
                pass
            except InDoubt:
                outcome = "unknown"
            else:
                self.history.finish(event, "ok", time.monotonic(), told.answer, told.engine)
                return told.answer
            if not is_patient or self._left.wait(PAUSE_SECONDS):
                break
        self.history.finish(event, outcome, time.monotonic())
        return None


def _create_catalog(engine: str) -> bool:
    """Create all skus and locations that are not there yet; False if this engine does not write now."""
    skus = [*map(_sku, (*SKUS, *HOT_SKUS, *BANK_SKUS, *CARGO_SKUS))]
    places = [*map(_location, LOCATIONS)]
    with grpc.insecure_channel(engine) as channel:
        stub: Any = CatalogServiceStub(channel)
        calls = [
            *(partial(stub.CreateSku, catalog.CreateSkuRequest(sku=sku)) for sku in skus),
            *(partial(stub.CreateLocation, catalog.CreateLocationRequest(location=place)) for place in places),
        ]
        network = partial(NetworkServiceStub(channel).UpsertNetwork, _network())
        return all(_is_there_after(call) for call in (*calls, network))


def _sku(sku_id: str) -> catalog_pb2.Sku:
    return catalog_pb2.Sku(sku_id=sku_id, base_unit="each")


def _location(location_id: str) -> catalog_pb2.Location:
    return catalog_pb2.Location(
        location_id=location_id,
        kind=catalog_pb2.LOCATION_KIND_STORE,
        active=True,
        latitude=1.0,
        longitude=1.0 + LOCATIONS.index(location_id),
    )


def _network() -> networks.UpsertNetworkRequest:
    """One carrier that goes from both locations to anywhere, any day."""
    zone = network_pb2.CarrierZone(transit_days=2, ship_rates=[network_pb2.RateStep(base_micros=5_000_000)])
    network = network_pb2.Network(
        currency="EUR",
        calendars=[network_pb2.Calendar(name="daily", weekdays=range(1, 8))],
        carriers=[network_pb2.Carrier(name="parcel", calendar="daily", zones=[zone])],
        profiles=[network_pb2.RoutingProfile(name="standard", version=1)],
        rejection_days=1,
    )
    return networks.UpsertNetworkRequest(network=network, locations=map(_routing, LOCATIONS))


def _routing(location_id: str) -> network_pb2.LocationRouting:
    return network_pb2.LocationRouting(
        location_id=location_id,
        calendar="daily",
        carrier="parcel",
        methods=[plan_pb2.FULFILLMENT_METHOD_SHIP],
        units_per_day=100_000,
    )


def _is_there_after(create: Callable[..., Any]) -> bool:
    try:
        create(timeout=TRY_SECONDS)
    except grpc.RpcError as error:
        if error.code() in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.UNAVAILABLE):
            return False
        if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
            raise
    return True
