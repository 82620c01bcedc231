"""Customers of a retailer as sessions, and the shapes in which they come."""

import random
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Final, Literal, TypeAlias

import grpc
import uuid_utils
from google.protobuf.duration_pb2 import Duration
from onhand.inventory.v1 import inventory_service_pb2, reservation_pb2, reservation_service_pb2, stock_pb2

from bench.load.account import COMMITTED, FULFILLED, Account, Effect, Level, Lines
from bench.load.calls import Call, Reply, Session
from bench.load.workload import create_stock, new_prefix

Move: TypeAlias = tuple[stock_pb2.MovementType, Level, int, stock_pb2.UnavailableReason]
"""Type, level, units, reason."""
Persona: TypeAlias = Literal["shopper", "checkout", "pos", "returns"]

SKUS: Final = 200
HOT_SKUS: Final = 3
STORES: Final = 10
UNITS_PER_LEVEL: Final = 1_000_000
HOT_UNITS: Final = 500
CHECKOUT_TTL: Final = Duration(seconds=1_800)
ABANDONED_TTL: Final = Duration(seconds=2)
THINK_SECONDS: Final = (0.2, 1.0)
"""Between two acts of one customer, even chances."""
ATTEMPTS_MAX: Final = 3
RETRY_SECONDS: Final = 0.1
"""Before a repeat where the engine names no delay."""
ACTOR: Final = "load test"

_NO_REASON: Final = stock_pb2.UNAVAILABLE_REASON_UNSPECIFIED
_INSPECTION: Final = stock_pb2.UNAVAILABLE_REASON_RETURN_INSPECTION
_SALE, _RETURN = stock_pb2.MOVEMENT_TYPE_SALE, stock_pb2.MOVEMENT_TYPE_RETURN
_MARK_AVAILABLE, _WRITE_OFF = stock_pb2.MOVEMENT_TYPE_MARK_AVAILABLE, stock_pb2.MOVEMENT_TYPE_WRITE_OFF


@dataclass(frozen=True, slots=True)
class Shape:
    """Who comes, and when."""

    name: str
    purpose: str
    mix: Mapping[Persona, float]
    """Shares of the visitors; they sum to 1."""
    profile: tuple[tuple[float, float], ...]
    """Points of a line: part of the run, part of the highest rate."""
    hot_share: float
    """Share of storefront visitors who want one of the few skus of which there is little."""

    def __post_init__(self) -> None:
        assert abs(sum(self.mix.values()) - 1) < 1e-9
        assert self.profile[0][0] == 0
        assert self.profile[-1][0] == 1


SHAPES: Final[dict[str, Shape]] = {
    shape.name: shape
    for shape in (
        Shape(
            "flash_sale",
            "few skus with little stock, everybody at once, sold to the last unit",
            {"shopper": 0.3, "checkout": 0.7},
            ((0.0, 0.1), (0.1, 0.1), (0.12, 1.0), (0.4, 1.0), (0.7, 0.3), (1.0, 0.3)),
            hot_share=0.9,
        ),
        Shape(
            "black_friday",
            "every channel, a ramp to 20 times the quiet rate and back",
            {"shopper": 0.6, "checkout": 0.25, "pos": 0.12, "returns": 0.03},
            ((0.0, 0.05), (0.1, 0.05), (0.4, 1.0), (0.7, 1.0), (0.9, 0.05), (1.0, 0.05)),
            hot_share=0.1,
        ),
        Shape(
            "pos_steady",
            "tills of all stores, the same rate all the time",
            {"pos": 0.9, "returns": 0.05, "shopper": 0.05},
            ((0.0, 1.0), (1.0, 1.0)),
            hot_share=0.0,
        ),
        Shape(
            "returns_wave",
            "the days after a holiday: returns desks swell and ebb",
            {"returns": 0.7, "pos": 0.15, "shopper": 0.15},
            ((0.0, 0.2), (0.3, 1.0), (0.5, 1.0), (0.8, 0.2), (1.0, 0.2)),
            hot_share=0.0,
        ),
    )
}


class ShopWorkload:
    """A retailer with stores and a warehouse; see Workload.

    Parameters
    ----------
    shape
        Who comes. When they come is up to the driver.
    hot_units
        Units of each hot sku, all in the warehouse.
    seed
        Equal seeds make the same visitors in the same order of starts.
    """

    def __init__(self, shape: Shape, *, hot_units: int = HOT_UNITS, seed: int = 1) -> None:
        prefix = new_prefix()
        self.name = shape.name
        self._shape = shape
        self._random = random.Random(seed)  # noqa: S311 - visitors, not secrets
        self._group = f"{prefix}all"
        self._warehouse = f"{prefix}warehouse"
        self._stores = [f"{prefix}store-{number}" for number in range(STORES)]
        self._hot = [f"{prefix}hot-{number}" for number in range(HOT_SKUS)]
        self._skus = [f"{prefix}sku-{number}" for number in range(SKUS)]
        self._popularity = list(accumulate(1 / (rank + 1) for rank in range(SKUS)))  # Zipf's law
        self._hot_units = hot_units
        self._visitors: Counter[str] = Counter()
        stock = {(sku, place): UNITS_PER_LEVEL for sku in self._skus for place in (self._warehouse, *self._stores)}
        self.account = Account(stock | {(sku, self._warehouse): hot_units for sku in self._hot})
        self._personas: dict[Persona, Callable[[], Session]] = {
            "shopper": self.shopper,
            "checkout": self.checkout,
            "pos": self.pos,
            "returns": self.returns,
        }

    def setup(self, channel: grpc.Channel) -> None:
        """See Workload."""
        create_stock(channel, self.account.stock, self._group)

    def start(self) -> Session:
        """See Workload."""
        mix = self._shape.mix
        return self.visit(self._random.choices(list(mix), list(mix.values()))[0])

    def visit(self, persona: Persona) -> Session:
        """Return a session of this persona."""
        self._visitors[persona] += 1
        return self._personas[persona]()

    def check(self, channel: grpc.Channel) -> list[str]:
        """See Workload."""
        return self.account.check(channel)

    def metrics(self) -> dict[str, int]:
        """See Workload."""
        hot = set(self._hot)
        sold = sum(
            units
            for hold in self.account.holds.values()
            if hold.state in (COMMITTED, FULFILLED)
            for (sku, _), units in hold.lines
            if sku in hot
        )
        visitors = {f"visitors_{persona}": count for persona, count in sorted(self._visitors.items())}
        hot_stock = {"hot_units": self._hot_units * HOT_SKUS, "hot_units_sold": sold} if self._shape.hot_share else {}
        return {**visitors, **hot_stock, **self.account.metrics()}

    # ---- personas. What a visitor will do is drawn before the first call, so that it does not hang on timing.

    def shopper(self) -> Session:
        """Look at some products, up to three pages."""
        pages = [[self._sku(web=True) for _ in range(4)] for _ in range(self._random.randint(1, 3))]
        pause = 0.0
        for skus in pages:
            request = inventory_service_pb2.BatchGetAvailabilityRequest(
                sku_ids=dict.fromkeys(skus), location_group=self._group
            )
            yield Call("BatchGetAvailability", request.SerializeToString(), pause)
            pause = self._think()

    def checkout(self) -> Session:
        """Fill a cart; most place the order and get it, some empty the cart or leave it to expire."""
        lines = self._cart()
        ending = self._random.choices(("order", "release", "abandon"), (0.75, 0.1, 0.15))[0]
        is_picked_up = self._random.random() < 0.5
        think = self._think()
        reservation_id = yield from self._reserve(lines, ABANDONED_TTL if ending == "abandon" else CHECKOUT_TTL)
        if reservation_id is None or ending == "abandon":
            return
        if ending == "release":
            yield from self._change("ReleaseReservation", reservation_id, self.account.released, think)
            return
        reply = yield from self._change("CommitReservation", reservation_id, self.account.committed, think)
        if reply.is_ok and is_picked_up:
            yield from self._change("FulfillCommitment", reservation_id, self.account.fulfilled, think)

    def pos(self) -> Session:
        """Ring up a basket at a till; now and then a customer brings something back."""
        store = self._random.choice(self._stores)
        if self._random.random() < 0.03:
            yield from self._move([(_RETURN, (self._sku(), store), 1, _NO_REASON)])
            return
        basket = {(self._sku(), store): self._random.randint(1, 2) for _ in range(self._random.randint(1, 5))}
        yield from self._move([(_SALE, level, units, _NO_REASON) for level, units in basket.items()])

    def returns(self) -> Session:
        """Take a unit back, look at it, and put it on the shelf or write it off."""
        level = self._sku(), self._random.choice(self._stores)
        verdict = _MARK_AVAILABLE if self._random.random() < 0.7 else _WRITE_OFF
        think = self._think()
        reply = yield from self._move([(_RETURN, level, 1, _INSPECTION)])
        if reply.is_ok:
            yield from self._move([(verdict, level, 1, _INSPECTION)], think)

    # ---- acts

    def _cart(self) -> Lines:
        if self._random.random() < self._shape.hot_share:
            return (((self._random.choice(self._hot), self._warehouse), 1),)
        place = self._random.choice([self._warehouse, *self._stores])
        skus = dict.fromkeys(self._sku() for _ in range(self._random.randint(1, 3)))
        return tuple(((sku, place), self._random.randint(1, 2)) for sku in skus)

    def _reserve(self, lines: Lines, ttl: Duration) -> Generator[Call, Reply, str | None]:
        request = reservation_service_pb2.ReserveStockRequest(
            lines=[
                reservation_pb2.LineQuantity(sku_id=sku, location_id=place, quantity=units)
                for (sku, place), units in lines
            ],
            ttl=ttl,
            request_id=_new_id(),
            actor=ACTOR,
        )
        made: list[str] = []

        def enter(payload: bytes) -> None:
            made.append(self.account.reserved(lines, payload))

        yield from self._write(Call("ReserveStock", request.SerializeToString()), enter)
        return made[0] if made else None

    def _change(
        self, method: str, reservation_id: str, enter: Callable[[str], None], pause_seconds: float
    ) -> Generator[Call, Reply, Reply]:
        """Commit, release or fulfill a whole reservation."""
        request = getattr(reservation_service_pb2, f"{method}Request")(
            reservation_id=reservation_id, request_id=_new_id(), actor=ACTOR
        )
        call = Call(method, request.SerializeToString(), pause_seconds)
        return (yield from self._write(call, lambda _: enter(reservation_id)))

    def _move(self, movements: list[Move], pause_seconds: float = 0.0) -> Generator[Call, Reply, Reply]:
        """Record movements."""
        request = inventory_service_pb2.RecordMovementsRequest(
            movements=[
                inventory_service_pb2.NewMovement(
                    type=kind,
                    sku_id=sku,
                    location_id=place,
                    quantity=units,
                    unavailable_reason=reason,
                )
                for kind, (sku, place), units, reason in movements
            ],
            request_id=_new_id(),
            actor=ACTOR,
        )
        call = Call("RecordMovements", request.SerializeToString(), pause_seconds)
        return (yield from self._write(call, partial(self._enter_movements, movements)))

    def _enter_movements(self, movements: list[Move], _: bytes) -> None:
        for kind, level, units, reason in movements:
            on_hand = {_SALE: -1, _RETURN: 1, _WRITE_OFF: -1, _MARK_AVAILABLE: 0}[kind] * units
            unavailable = units if kind == _RETURN else -units
            self.account.moved(level, on_hand=on_hand, unavailable=unavailable if reason else 0)

    def _write(self, call: Call, enter: Effect) -> Generator[Call, Reply, Reply]:
        """Make a write, again with its request_id where the engine is overloaded or the outcome unknown."""
        for _ in range(ATTEMPTS_MAX):
            reply = yield call
            if reply.is_unknown:
                self.account.unknown[call.request] = call, enter
            elif reply.reason != "OVERLOADED":
                self.account.unknown.pop(call.request, None)
                if reply.is_ok:
                    enter(reply.payload)
                return reply
            call = call._replace(pause_seconds=reply.retry_seconds or RETRY_SECONDS)
        return reply

    def _sku(self, *, web: bool = False) -> str:
        if web and self._random.random() < self._shape.hot_share:
            return self._random.choice(self._hot)
        return self._random.choices(self._skus, cum_weights=self._popularity)[0]

    def _think(self) -> float:
        return self._random.uniform(*THINK_SECONDS)


def _new_id() -> str:
    return str(uuid_utils.uuid7())
