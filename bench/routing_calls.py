"""Planning through gRPC: PlanFulfillment that reserves, against ReserveStock of the lines that the plans have.

And orders in columns against orders one by one. The same orders by all ways in turn, on an engine of its own with a
network of 100 stores. Stock is ample, but a store has only three quarters of the skus. Before anything is timed, each
order is planned once and its plan is verified by code of its own, against the stock that was loaded.
"""

import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import grpc
import numpy as np
import uvloop
from google.protobuf.duration_pb2 import Duration
from onhand.admin.v1 import admin_service_pb2 as admin
from onhand.admin.v1.admin_service_pb2_grpc import AdminServiceStub
from onhand.inventory.v1 import catalog_pb2
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.inventory.v1.reservation_service_pb2_grpc import ReservationServiceStub
from onhand.routing.v1 import bulk_service_pb2 as bulk
from onhand.routing.v1 import network_service_pb2, plan_pb2
from onhand.routing.v1 import routing_service_pb2 as routing
from onhand.routing.v1.network_service_pb2_grpc import NetworkServiceStub
from onhand.routing.v1.routing_service_pb2_grpc import RoutingServiceStub
from onhand.rules.limits import ORDERS_PER_CALL_MAX

from bench.h2load import run_h2load
from bench.names import TTL_SECONDS
from bench.routing_instances import Instance, make_instance
from bench.routing_messages import location_message, network_message
from bench.rows import Question, Row, Run, Sample, Target
from bench.shop import CALL_SECONDS, RESERVE_PATH
from engine.launch import EngineProcess
from engine.load.sending import NOT_GIVEN, StockColumns, open_channel, set_stock, upsert_locations, upsert_skus
from ledger.core.limits import MICROSECONDS
from routing.arrays import NO_LEVEL
from routing.costs import CostTerms
from routing.order import Order, Request
from routing.plan import Plan, PlannedLine, Shipment, Shortage
from routing.rules import Method, Reason
from routing.verifier import verify

PLAN_PATH: Final = "/onhand.routing.v1.RoutingService/PlanFulfillment"
COLUMNS_PATH: Final = "/onhand.routing.v1.BulkRoutingService/PlanOrders"
LOCATIONS: Final = 100
SKUS: Final = 1_000
ORDERS: Final = 8
SEED: Final = 12
"""Whose orders have 1, 1, 1, 1, 2, 3, 4 and 5 lines: 2.25 in the mean, shared out as those of the other rows."""
UNITS: Final = 10_000_000
"""Of each stock level: no run uses it up."""
CALLS_IN_FLIGHT: Final = 4
PLAN: Final = Question(
    "routing.plan_call",
    "plans/s",
    f"{LOCATIONS} locations; {ORDERS} orders of 2.2 lines, each sent again and again by an h2load of its own, 64 calls "
    "in flight each; every plan holds its units and can be explained; no request id",
    reference="ReserveStock of the same lines",
    target=Target("ratio", "≥", 0.67),
)


COLUMNS: Final = Question(
    "routing.plan_columns",
    "plans/s",
    f"the same orders again and again, {ORDERS_PER_CALL_MAX} a call, {CALLS_IN_FLIGHT} calls in flight, encoded before "
    "the clock starts",
    reference="PlanFulfillment one by one",
)
QUESTIONS: Final = (PLAN, COLUMNS)


class RoutedShop:
    """An engine of its own in a temporary folder, with the network and the stock of an instance; a context manager."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self._active = 0

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as cleanup:
            folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="onhand-bench-")))
            flags = ["--port", "0", "--data-folder", str(folder / "data"), "--log-format", "json"]
            engine = cleanup.enter_context(EngineProcess(flags, log_file=folder / "engine.log"))
            self.address = engine.address
            uvloop.run(self._fill())
            channel = self._channel = cleanup.enter_context(grpc.insecure_channel(self.address))
            self._routing, self._reservations = RoutingServiceStub(channel), ReservationServiceStub(channel)
            self._admin = AdminServiceStub(channel)
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    async def _fill(self) -> None:
        network = self.instance.network
        places = [
            catalog_pb2.Location(
                location_id=one.location_id,
                kind=catalog_pb2.LOCATION_KIND_STORE,
                latitude=one.latitude,
                longitude=one.longitude,
                time_zone=one.time_zone,
                active=True,
            )
            for one in network.locations
        ]
        skus = [
            catalog_pb2.Sku(sku_id=name, base_unit="each", weight_milligrams=sku.weight_milligrams)
            for name, sku in network.skus.items()
        ]
        request = network_service_pb2.UpsertNetworkRequest(
            network=network_message(network, [self.instance.profile]),
            locations=[location_message(one) for one in network.locations],
        )
        async with open_channel(self.address) as channel:
            await upsert_locations(channel, places, _unseen)
            await upsert_skus(channel, skus, _unseen)
            await set_stock(channel, self._stock(), _unseen)
            await NetworkServiceStub(channel).UpsertNetwork(request)

    def _stock(self) -> StockColumns:
        available, network = self.instance.stock.available, self.instance.network
        skus, locations = np.nonzero(available != NO_LEVEL)
        not_given = np.full(len(skus), NOT_GIVEN, np.int64)
        return StockColumns(
            tuple(network.skus),
            tuple(one.location_id for one in network.locations),
            skus.astype(np.int32),
            locations.astype(np.int32),
            available[skus, locations],
            not_given,
            not_given,
        )

    # ---- calls -------------------------------------------------------------------------------------------------------

    def plan(self, order: Order, **more: Any) -> plan_pb2.FulfillmentPlan:
        """Plan and reserve one order."""
        return self._routing.PlanFulfillment(plan_request(order, **more), timeout=CALL_SECONDS).plan

    def plan_columns(self, request: bytes, calls: int) -> tuple[float, int]:
        """Send a call in columns so many times; returns seconds, and the orders that hold nothing."""
        method: Any = self._channel.unary_unary(COLUMNS_PATH)

        def call(_: int) -> int:
            answer = bulk.PlanOrdersResponse.FromString(method(request, timeout=CALL_SECONDS))
            return sum(reservation == 0 for reservation in answer.reservation_ids)

        started = time.perf_counter()
        with ThreadPoolExecutor(CALLS_IN_FLIGHT) as pool:
            short = sum(pool.map(call, range(calls)))
        return time.perf_counter() - started, short

    def release(self, plan: plan_pb2.FulfillmentPlan) -> None:
        """Release the hold of a plan."""
        request = reservations.ReleaseReservationRequest(reservation_id=plan.reservation_id)
        self._reservations.ReleaseReservation(request, timeout=CALL_SECONDS)

    def check(self, more: int) -> list[str]:
        """Say what is wrong with the ledger after so many more reservations."""
        self._active += more
        status = self._admin.GetStatus(admin.GetStatusRequest(), timeout=CALL_SECONDS)
        verified = self._admin.VerifyLedger(admin.VerifyLedgerRequest(), timeout=CALL_SECONDS)
        found = {
            "active reservations": (self._active, status.active_reservation_count),
            "violations that VerifyLedger finds": (0, verified.violation_count),
            "oversold stock levels": (0, verified.oversold_level_count),
        }
        return [f"{what}: expected {wanted:,}, was {was:,}" for what, (wanted, was) in found.items() if wanted != was]


def _unseen(_count: int) -> None:
    """Show no progress: the bar is the run's."""


def measure(run: Run) -> Iterator[Row]:
    """Answer QUESTIONS."""
    count = (8 if run.is_quick else 8_000) * ORDERS
    calls = 1 if run.is_quick else count // ORDERS_PER_CALL_MAX
    skus = SKUS // 20 if run.is_quick else SKUS
    instance = with_ample_stock(make_instance(LOCATIONS, skus, ORDERS, 1.0, SEED))
    with RoutedShop(instance) as shop:
        run.report("verifying the plans")
        plans = [shop.plan(order) for order in instance.orders]
        wrong = [text for index, plan in enumerate(plans) for text in problems_of(plan, instance, index)]
        for plan in plans:
            shop.release(plan)
        wrong += shop.check(0)
        by_plan = [plan_request(order) for order in instance.orders]
        by_lines = [reserve_request(plan) for plan in plans]
        in_columns = columns_request(instance.orders)

        def planned() -> Sample:
            load = run_h2load(shop.address, PLAN_PATH, by_plan, count)
            return Sample(load.requests_per_second, [*wrong, *load.wrong, *shop.check(count)])

        def reserved() -> Sample:
            load = run_h2load(shop.address, RESERVE_PATH, by_lines, count)
            return Sample(load.requests_per_second, [*load.wrong, *shop.check(count)])

        def by_columns() -> Sample:
            seconds, short = shop.plan_columns(in_columns, calls)
            total = calls * ORDERS_PER_CALL_MAX
            missing = [f"orders in columns: expected all planned and held, was {short} not"] if short else []
            return Sample(total / seconds, [*missing, *shop.check(total)])

        one_by_one, plain, columns = run.in_turn(planned, reserved, by_columns)
        again = [shop.plan(order) for order in instance.orders]
        same = [same_choice(before, after) for before, after in zip(plans, again, strict=True)]
        if not all(same):
            last = one_by_one[-1]
            one_by_one[-1] = last._replace(wrong=[*last.wrong, "plans: expected the same as before, were others"])
    yield run.row(PLAN, one_by_one, plain)
    yield run.row(COLUMNS, columns, one_by_one)


def with_ample_stock(instance: Instance) -> Instance:
    """Return an instance whose levels have as many units as there ever can be asked for."""
    available = np.where(instance.stock.available == NO_LEVEL, NO_LEVEL, UNITS)
    return instance._replace(stock=instance.stock._replace(available=available))


def plan_request(order: Order, **more: Any) -> routing.PlanFulfillmentRequest:
    """Return the request that plans and reserves an order."""
    destination = order.destination
    assert destination is not None
    return routing.PlanFulfillmentRequest(
        order=plan_pb2.Order(
            lines=[
                plan_pb2.OrderLine(sku_id=line.sku, quantity=line.quantity, method=plan_pb2.FULFILLMENT_METHOD_SHIP)
                for line in order.lines
            ],
            destination=plan_pb2.Destination(latitude=destination.latitude, longitude=destination.longitude),
        ),
        ttl=Duration(seconds=TTL_SECONDS),
        **more,
    )


def reserve_request(plan: plan_pb2.FulfillmentPlan) -> reservations.ReserveStockRequest:
    """Return the request that reserves what a plan ships."""
    request = reservations.ReserveStockRequest(ttl=Duration(seconds=TTL_SECONDS))
    for shipment in plan.shipments:
        for line in shipment.lines:
            request.lines.add(sku_id=line.sku_id, location_id=shipment.location_id, quantity=line.quantity)
    return request


def columns_request(orders: Sequence[Order]) -> bytes:
    """Return a full call that plans and reserves orders again and again, as columns."""
    wanted = [orders[place % len(orders)] for place in range(ORDERS_PER_CALL_MAX)]
    lines = [line for order in wanted for line in order.lines]
    names = {sku: place for place, sku in enumerate(dict.fromkeys(line.sku for line in lines))}
    points = [order.destination for order in wanted if order.destination is not None]
    request = bulk.PlanOrdersRequest(
        sku_ids=list(names),
        line_counts=[len(order.lines) for order in wanted],
        ttl_us=[TTL_SECONDS * MICROSECONDS],
        latitudes=[point.latitude or 0.0 for point in points],
        longitudes=[point.longitude or 0.0 for point in points],
        sku_indexes=[names[line.sku] for line in lines],
        quantities=[line.quantity for line in lines],
    )
    return request.SerializeToString()


# ---- verifying -------------------------------------------------------------------------------------------------------


def problems_of(message: plan_pb2.FulfillmentPlan, instance: Instance, index: int) -> list[str]:
    """Verify the plan of one order of an instance."""
    now = datetime.fromtimestamp(message.plan_time.seconds, UTC)
    request = Request(instance.orders[index], instance.stock, instance.rows[index], now)
    found = verify(plan_of(message), instance.network, instance.profile, request)
    return [f"order {index}: {text}" for text in found]


def plan_of(message: plan_pb2.FulfillmentPlan) -> Plan:
    """Return a plan of the wire as routing has it."""
    return Plan(
        profile=message.profile,
        network_version=message.network_version,
        strategy=plan_pb2.RoutingStrategy.Name(message.strategy),
        shipments=tuple(_shipment(one) for one in message.shipments),
        shortages=tuple(
            Shortage(
                line=one.line, sku=one.sku_id, quantity=one.quantity, reason=Reason(one.reason - 1), reason_counts={}
            )
            for one in message.shortages
        ),
        terms=_terms(message.cost_terms),
        cost=message.cost_micros,
        is_proved=message.proved,
        used_second_pass=message.used_second_pass,
        evaluations=message.evaluation_count,
        candidates=(),
    )


def _shipment(message: plan_pb2.Shipment) -> Shipment:
    return Shipment(
        location_id=message.location_id,
        method=Method(message.method - 1),
        store=message.store_id,
        lines=tuple(PlannedLine(line=one.line, sku=one.sku_id, quantity=one.quantity) for one in message.lines),
        arrival=date.fromisoformat(message.arrival_date),
        ready=message.ready_time.ToDatetime(UTC) if message.HasField("ready_time") else None,
        distance_km=message.distance_km,
        terms=_terms(message.cost_terms),
    )


def _terms(message: plan_pb2.CostTerms) -> CostTerms:
    return CostTerms(*(getattr(message, f"{name}_micros") for name in CostTerms._fields))


def same_choice(one: plan_pb2.FulfillmentPlan, other: plan_pb2.FulfillmentPlan) -> bool:
    """Tell whether two plans ship the same units from the same locations at the same cost."""
    return shipped(one) == shipped(other) and one.cost_micros == other.cost_micros


def shipped(plan: plan_pb2.FulfillmentPlan) -> Counter[tuple[str, str]]:
    """Return the units of a plan by sku and location."""
    units: Counter[tuple[str, str]] = Counter()
    for shipment in plan.shipments:
        for line in shipment.lines:
            units[line.sku_id, shipment.location_id] += line.quantity
    return units
