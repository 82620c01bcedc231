"""Playing the plan: many orders at once over gRPC, started in the order of the data, and a flash sale in the middle."""

import asyncio
import time
from array import array
from collections import Counter, defaultdict
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from onhand.admin.v1 import admin_service_pb2, admin_service_pb2_grpc
from onhand.inventory.v1 import (
    inventory_service_pb2,
    inventory_service_pb2_grpc,
    reservation_pb2,
    reservation_service_pb2,
    reservation_service_pb2_grpc,
    stock_pb2,
)
from onhand.routing.v1 import plan_pb2, routing_service_pb2, routing_service_pb2_grpc

from engine.demo.network import order_message
from engine.demo.plan import FLASH_LOCATION, FLASH_SKU, Act, Plan, Step
from engine.demo.settings import DemoSettings
from engine.load.sending import new_request_id

ACTOR: Final = "onhand demo"
FLASH_TTL: Final = Duration(seconds=60)
# How long after the last abandoned cart's end the engine may take to say that no hold is active any more.
EXPIRY_PATIENCE_SECONDS: Final = 30.0

Response = TypeVar("Response")
Response_co = TypeVar("Response_co", covariant=True)


class Call(Protocol[Response_co]):
    """A unary call of a stub."""

    def __call__(self, request: Any, *, timeout: float) -> Awaitable[Response_co]:
        """Send it."""


class Held(NamedTuple):
    """What a basket holds."""

    reservation_id: str
    first_location: str
    """Where the first line is held; of several places the first. Empty: it is not."""
    first_quantity: int


@dataclass(slots=True)
class Routed:
    """What plans of one kind were, as the client saw them."""

    orders: int = 0
    cost_micros: int = 0
    """Without units that are not filled."""
    shipments: int = 0
    split: int = 0

    def add(self, plan: plan_pb2.FulfillmentPlan) -> None:
        """Count a plan that holds something."""
        if not plan.shipments:
            return
        self.orders += 1
        self.cost_micros += plan.cost_micros - plan.cost_terms.unfilled_micros
        self.shipments += len(plan.shipments)
        self.split += len(plan.shipments) > 1


class EngineGoneError(Exception):
    """The engine stayed unavailable through all repeats."""


@dataclass(slots=True)
class Tally:
    """What happened, as the client saw it."""

    acts: Counter[str] = field(default_factory=Counter)
    """Acknowledged outcomes: "sold", "committed", "fulfilled", "amended", "abandoned", …"""
    refusals: Counter[str] = field(default_factory=Counter)
    """Refused calls of the baskets by the reason in ErrorInfo."""
    failures: Counter[str] = field(default_factory=Counter)
    """Calls that failed without a reason of the contract, by status code."""
    flash_refusals: Counter[str] = field(default_factory=Counter)
    latency_us: "defaultdict[str, array[int]]" = field(default_factory=lambda: defaultdict(lambda: array("L")))
    """Microseconds of each call by method, repeats included."""
    order_us: "array[int]" = field(default_factory=lambda: array("L"))
    """Microseconds of each basket's order up to its checkout or sale."""
    shipped: Routed = field(default_factory=Routed)
    picked_up: Routed = field(default_factory=Routed)
    split_plan_id: str = ""
    """The last plan that was split and whole."""
    day: int = 0
    orders: int = 0
    flash_buyers: int = 0
    flash_sold: int = 0
    units_asked: int = 0
    units_filled: int = 0
    sales_oversold: int = 0
    """Till sales that the engine recorded as oversold."""
    duration_seconds: float = 0.0

    @property
    def call_count(self) -> int:
        """How many calls were made."""
        return sum(len(values) for values in self.latency_us.values())


class Player:
    """Plays one plan once."""

    def __init__(self, channel: grpc.aio.Channel, plan: Plan, settings: DemoSettings) -> None:
        self.tally = Tally()
        self._plan = plan
        self._settings = settings
        self._reservations = reservation_service_pb2_grpc.ReservationServiceStub(channel)
        self._inventory = inventory_service_pb2_grpc.InventoryServiceStub(channel)
        self._routing = routing_service_pb2_grpc.RoutingServiceStub(channel)
        self._sku_ids = [sku.sku_id for sku in plan.baskets.skus]
        self._location_ids = plan.places.location_ids
        # Reservation ids of orders that a later day fulfills or cancels; None where nothing was committed.
        self._committed: dict[int, asyncio.Future[str | None]] = {}

    async def play(self) -> None:
        """Start everything in the plan's order, so many orders in flight; returns when all is done."""
        schedule = self._plan.schedule
        steps = zip(schedule.step.tolist(), schedule.index.tolist(), schedule.day.tolist(), strict=True)
        numbered = enumerate(steps)
        started = time.perf_counter()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._settings.orders_in_flight):
                    group.create_task(self._work(numbered, len(schedule.step) // 2, group))
        except* EngineGoneError as gone:
            raise _first(gone) from None
        finally:
            self.tally.duration_seconds = time.perf_counter() - started

    async def _work(
        self, numbered: Iterator[tuple[int, tuple[int, int, int]]], middle: int, group: asyncio.TaskGroup
    ) -> None:
        for number, (step, index, day) in numbered:
            self.tally.day = day
            if number == middle:
                group.create_task(self._flash_sale())
            if step == Step.ORDER:
                await self._play_order(index)
            elif step == Step.FINISH:
                await self._finish(index)
            else:
                await self._take_back(index)

    async def _play_order(self, index: int) -> None:
        act = self._plan.acts.act[index]
        started = time.perf_counter()
        if act == Act.SALE:
            await self._sell(index)
        elif act == Act.ABANDON:
            if await self._reserve(index, self._settings.abandoned_ttl_seconds):
                self.tally.acts["abandoned"] += 1
        elif act == Act.RELEASE:
            await self._fill_and_empty(index)
        else:
            await self._check_out(index, act)
        self.tally.order_us.append(int((time.perf_counter() - started) * 1e6))
        self.tally.orders += 1

    # -----------------------------------------------------------------------------------------------------------------
    # What an order does.

    async def _sell(self, index: int) -> None:
        location = self._location_ids[self._plan.acts.location[index]]
        request = inventory_service_pb2.RecordMovementsRequest(
            movements=[
                inventory_service_pb2.NewMovement(
                    type=stock_pb2.MOVEMENT_TYPE_SALE, sku_id=sku, location_id=location, quantity=quantity
                )
                for sku, quantity in self._order_lines(index)
            ],
            request_id=new_request_id(),
            reference=self._reference(index),
            actor=ACTOR,
        )
        response = await self._try("RecordMovements", self._inventory.RecordMovements, request)
        if response:
            self.tally.acts["sold"] += 1
            self.tally.sales_oversold += response.applied_oversold

    async def _fill_and_empty(self, index: int) -> None:
        held = await self._reserve(index, self._settings.checkout_ttl_seconds)
        if not held:
            return
        request = reservation_service_pb2.ReleaseReservationRequest(
            reservation_id=held.reservation_id,
            request_id=new_request_id(),
            reference=self._reference(index),
            actor=ACTOR,
        )
        if await self._try("ReleaseReservation", self._reservations.ReleaseReservation, request):
            self.tally.acts["released"] += 1

    async def _check_out(self, index: int, act: Act) -> None:
        """Reserve, perhaps change something, and commit; leave the reservation for the day that finishes the order."""
        self._committed[index] = committed = asyncio.get_running_loop().create_future()
        held = await self._reserve(index, self._settings.checkout_ttl_seconds)
        if held and act == Act.AMEND:
            await self._amend(index, held)
        elif held and act == Act.EXTEND:
            await self._extend(index, held.reservation_id)
        done = held and await self._commit(held.reservation_id, self._reference(index))
        committed.set_result(held.reservation_id if held and done else None)

    async def _finish(self, index: int) -> None:
        """Fulfill or cancel what an earlier day committed. That order was started before; it may still be running."""
        reservation = await self._committed.pop(index)
        if reservation and self._plan.acts.act[index] == Act.CANCEL:
            await self._cancel(reservation, self._reference(index))
        elif reservation and await self._fulfill(reservation, self._reference(index)):
            self.tally.acts["fulfilled"] += 1

    async def _take_back(self, index: int) -> None:
        returns = self._plan.returns
        request = inventory_service_pb2.RecordMovementsRequest(
            movements=[
                inventory_service_pb2.NewMovement(
                    type=stock_pb2.MOVEMENT_TYPE_RETURN,
                    sku_id=self._sku_ids[returns.sku[index]],
                    location_id=self._location_ids[returns.location[index]],
                    quantity=int(returns.quantity[index]),
                )
            ],
            request_id=new_request_id(),
            reference=self._reference(int(returns.order[index])),
            actor=ACTOR,
        )
        if await self._try("RecordMovements", self._inventory.RecordMovements, request):
            self.tally.acts["returned"] += 1

    async def _flash_sale(self) -> None:
        buyers = iter(range(self._settings.flash_buyers))

        async def buy_in_turn() -> None:
            for buyer in buyers:
                await self._buy_flash_unit(buyer)
                self.tally.flash_buyers += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(self._settings.flash_in_flight):
                group.create_task(buy_in_turn())

    async def _buy_flash_unit(self, buyer: int) -> None:
        reference = f"FLASH-BUYER-{buyer}"
        request = reservation_service_pb2.ReserveStockRequest(
            lines=[reservation_pb2.LineQuantity(sku_id=FLASH_SKU, location_id=FLASH_LOCATION, quantity=1)],
            ttl=FLASH_TTL,
            request_id=new_request_id(),
            reference=reference,
            actor=ACTOR,
        )
        try:
            reserved = await self._timed("ReserveStock", self._reservations.ReserveStock, request)
        except grpc.aio.AioRpcError as error:
            self._note(error, self.tally.flash_refusals)
            return
        if await self._commit(reserved.reservation_id, reference) and await self._fulfill(
            reserved.reservation_id, reference
        ):
            self.tally.flash_sold += 1

    # -----------------------------------------------------------------------------------------------------------------
    # Single acts on reservations; each tells whether it was done.

    async def _reserve(self, index: int, ttl_seconds: float) -> Held | None:
        """Have the basket planned and held, as much of it as there is; None if nothing is."""
        order = order_message(self._plan, index)
        request = routing_service_pb2.PlanFulfillmentRequest(
            order=order,
            ttl=_duration(ttl_seconds),
            request_id=new_request_id(),
            reference=self._reference(index),
            actor=ACTOR,
        )
        units = sum(line.quantity for line in order.lines)
        self.tally.units_asked += units
        response = await self._try("PlanFulfillment", self._routing.PlanFulfillment, request)
        if response is None:
            return None
        plan = response.plan
        self.tally.units_filled += units - sum(short.quantity for short in plan.shortages)
        self.tally.acts["partly filled"] += bool(plan.shortages and plan.shipments)
        self.tally.acts["not filled"] += not plan.shipments
        if self._plan.acts.is_shipped[index]:
            self.tally.shipped.add(plan)
            if len(plan.shipments) > 1 and not plan.shortages:
                self.tally.split_plan_id = plan.plan_id
        else:
            self.tally.picked_up.add(plan)
        if not plan.shipments:
            return None
        firsts = (
            Held(response.reservation_id, one.location_id, line.quantity)
            for one in plan.shipments
            for line in one.lines
            if not line.line
        )
        return next(firsts, Held(response.reservation_id, "", 0))

    async def _amend(self, index: int, held: Held) -> None:
        """Change the first line where it is held."""
        if not held.first_quantity:
            return
        sku, _ = self._order_lines(index)[0]
        line = reservation_service_pb2.LineAmendment(
            sku_id=sku,
            location_id=held.first_location,
            quantity=held.first_quantity + int(self._plan.acts.amend_step[index]),
        )
        request = reservation_service_pb2.AmendReservationRequest(
            reservation_id=held.reservation_id,
            lines=[line],
            request_id=new_request_id(),
            reference=self._reference(index),
            actor=ACTOR,
        )
        if await self._try("AmendReservation", self._reservations.AmendReservation, request):
            self.tally.acts["amended"] += 1

    async def _extend(self, index: int, reservation: str) -> None:
        request = reservation_service_pb2.ExtendReservationRequest(
            reservation_id=reservation,
            ttl=_duration(self._settings.checkout_ttl_seconds * 2),
            request_id=new_request_id(),
            reference=self._reference(index),
            actor=ACTOR,
        )
        if await self._try("ExtendReservation", self._reservations.ExtendReservation, request):
            self.tally.acts["extended"] += 1

    async def _commit(self, reservation: str, reference: str) -> bool:
        request = reservation_service_pb2.CommitReservationRequest(
            reservation_id=reservation, request_id=new_request_id(), reference=reference, actor=ACTOR
        )
        return await self._try("CommitReservation", self._reservations.CommitReservation, request) is not None

    async def _fulfill(self, reservation: str, reference: str) -> bool:
        request = reservation_service_pb2.FulfillCommitmentRequest(
            reservation_id=reservation, request_id=new_request_id(), reference=reference, actor=ACTOR
        )
        return await self._try("FulfillCommitment", self._reservations.FulfillCommitment, request) is not None

    async def _cancel(self, reservation: str, reference: str) -> None:
        request = reservation_service_pb2.CancelCommitmentRequest(
            reservation_id=reservation, request_id=new_request_id(), reference=reference, actor=ACTOR
        )
        if await self._try("CancelCommitment", self._reservations.CancelCommitment, request):
            self.tally.acts["cancelled"] += 1

    # -----------------------------------------------------------------------------------------------------------------
    # Calls.

    async def _try(self, name: str, method: Call[Response], request: Any) -> Response | None:
        """Make a call; None if it was refused, which is noted."""
        try:
            return await self._timed(name, method, request)
        except grpc.aio.AioRpcError as error:
            self._note(error, self.tally.refusals)
            return None

    async def _timed(self, name: str, method: Call[Response], request: Any) -> Response:
        started = time.perf_counter()
        try:
            return await method(request, timeout=self._settings.deadline_seconds)
        finally:
            self.tally.latency_us[name].append(int((time.perf_counter() - started) * 1e6))

    def _note(self, error: grpc.aio.AioRpcError, refusals: Counter[str]) -> str:
        """Count a refusal by its reason, or a failure by its code; EngineGoneError if the engine is not there."""
        reason = refusal_reason(error)
        if error.code() == grpc.StatusCode.UNAVAILABLE:
            raise EngineGoneError(f"{reason or 'UNAVAILABLE'}: {error.details()}")
        if reason:
            refusals[reason] += 1
        else:
            self.tally.failures[error.code().name] += 1
        return reason

    def _order_lines(self, index: int) -> list[tuple[str, int]]:
        baskets = self._plan.baskets
        part = slice(baskets.line_start[index], baskets.line_start[index + 1])
        skus, quantities = baskets.line_sku[part].tolist(), baskets.line_quantity[part].tolist()
        return [(self._sku_ids[sku], quantity) for sku, quantity in zip(skus, quantities, strict=True)]

    def _reference(self, index: int) -> str:
        return f"BASKET-{self._plan.baskets.order_basket[index]}"


def refusal_reason(error: grpc.aio.AioRpcError) -> str:
    """Give the reason in the error's ErrorInfo; empty if it carries none."""
    from_call: Any = rpc_status.from_call  # has no types
    status = from_call(error)
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return ""


async def wait_for_expiries(channel: grpc.aio.Channel, active_before: int, settings: DemoSettings) -> bool:
    """Wait until no more reservations are active than before the play: all abandoned carts have ended by themselves."""
    stub = admin_service_pb2_grpc.AdminServiceStub(channel)
    give_up = time.perf_counter() + settings.abandoned_ttl_seconds + EXPIRY_PATIENCE_SECONDS
    while time.perf_counter() < give_up:
        status = await stub.GetStatus(admin_service_pb2.GetStatusRequest(), timeout=settings.deadline_seconds)
        if status.active_reservation_count <= active_before:
            return True
        await asyncio.sleep(0.1)
    return False


def _first(errors: BaseException) -> BaseException:
    """Take the first error out of nested groups."""
    while isinstance(errors, BaseExceptionGroup):
        errors = errors.exceptions[0]
    return errors


def _duration(seconds: float) -> Duration:
    return Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))
