"""The largest legal requests, and the catalog and network that they are about."""

import itertools
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import grpc
import numpy as np
import uuid_utils
from google.protobuf.duration_pb2 import Duration
from onhand.columns import PlanRequestColumns, dtypes_of, write_column
from onhand.inventory.v1 import catalog_pb2, catalog_service_pb2
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from onhand.inventory.v1.reservation_service_pb2_grpc import ReservationServiceStub
from onhand.routing.v1 import bulk_service_pb2 as bulk
from onhand.routing.v1 import network_pb2, network_service_pb2, plan_pb2
from onhand.routing.v1 import routing_service_pb2 as routing
from onhand.routing.v1.network_service_pb2_grpc import NetworkServiceStub
from onhand.routing.v1.routing_service_pb2_grpc import RoutingServiceStub
from onhand.rules.limits import ORDERS_PER_CALL_MAX

from bench.names import TTL_SECONDS, UNITS_PER_LEVEL, location_name, sku_name
from bench.shop import CALL_SECONDS
from engine.api.routing.order_batches import CELLS_PER_ORDER_MAX
from engine.api.routing.planning import ORDERS_PER_BATCH_MAX
from engine.api.routing.quotes import STORES_MAX
from ledger.core.limits import (
    CATALOG_ITEMS_PER_CALL_MAX,
    LINES_PER_CALL_MAX,
    MICROSECONDS,
    PAGE_SIZE_MAX,
    REFERENCE_BYTES_MAX,
)
from routing.limits import LINES_PER_ORDER_MAX

PLAN: Final = "/onhand.routing.v1.RoutingService/"
NETWORK: Final = "/onhand.routing.v1.NetworkService/"
CATALOG: Final = "/onhand.inventory.v1.CatalogService/"
TIME_ZONES: Final = ("Europe/Vienna", "America/New_York", "Asia/Tokyo", "Africa/Cairo", "Australia/Sydney", "UTC")
METHODS: Final = (
    plan_pb2.FULFILLMENT_METHOD_SHIP,
    plan_pb2.FULFILLMENT_METHOD_PICKUP,
    plan_pb2.FULFILLMENT_METHOD_SHIP_TO_STORE,
    plan_pb2.FULFILLMENT_METHOD_DELIVERY,
)
DAYS_BETWEEN_OPEN_ONES: Final = 30
RARE_CALENDARS: Final = 50


@dataclass(frozen=True)
class Sizes:
    """How much there is."""

    locations: int
    skus: int
    places: int
    calendars: int
    profiles: int

    @property
    def lines(self) -> int:
        """Lines of the largest order over the network."""
        return max(1, min(LINES_PER_ORDER_MAX, self.skus, CELLS_PER_ORDER_MAX // self.locations))


def _fine(_: bytes) -> str | None:
    return None


class Large(NamedTuple):
    """A large request."""

    path: str
    size: str
    make: Callable[[], bytes]
    """Returns its bytes; each time others, where a repeat would be answered from memory."""
    suffix: str = ""
    problem_of: Callable[[bytes], str | None] = _fine
    """Says what is wrong with an answer."""
    is_once: bool = False
    """Whether it can be sent once only."""


# ---- what there is ---------------------------------------------------------------------------------------------------


def catalog_of(sizes: Sizes) -> tuple[list[catalog_pb2.Sku], list[catalog_pb2.Location]]:
    """Return skus and locations; the last of each are those of the small calls, which no large request speaks of."""
    skus = [catalog_pb2.Sku(sku_id=sku_name(number), base_unit="each") for number in range(sizes.skus + 1)]
    return skus, [location_of(number) for number in range(sizes.locations + 1)]


def location_of(number: int, display_name: str = "") -> catalog_pb2.Location:
    """Return a location."""
    return catalog_pb2.Location(
        location_id=location_name(number),
        display_name=display_name,
        kind=catalog_pb2.LOCATION_KIND_STORE,
        latitude=-60 + 120 * (number * 0.618034 % 1),
        longitude=-180 + 360 * (number * 0.414214 % 1),
        time_zone=TIME_ZONES[number % len(TIME_ZONES)],
        active=True,
    )


def network_of(sizes: Sizes) -> network_pb2.Network:
    """Return a network: calendars that are open one day a month, many places and profiles."""
    first = datetime.now(UTC).date()
    network = network_pb2.Network(currency="EUR", rejection_days=1)
    network.calendars.add(name="daily", weekdays=range(1, 8))
    for number in range(sizes.calendars - 1):
        # Closed dates fill the request: the first calendars are open one day in thirty, the others one in seven.
        days = range(365) if number < RARE_CALENDARS else range(0)
        closed = [str(first + timedelta(days=day)) for day in days if (day + number) % DAYS_BETWEEN_OPEN_ONES]
        weekdays = range(1, 8) if closed else [1 + number % 7]
        network.calendars.add(name=f"rare-{number}", weekdays=weekdays, closed_dates=closed)
    carrier = network.carriers.add(name="parcel", calendar="daily")
    for km, transit in ((500, 1), (2_000, 2), (0, 5)):
        zone = carrier.zones.add(km_max=km, transit_days=transit)
        step = network_pb2.RateStep(base_micros=4_000_000 + km * 100, per_kilogram_micros=500_000)
        zone.ship_rates.append(step)
        zone.delivery_rates.append(step)
    for number in range(sizes.places):
        network.places.add(name=f"P{number:05}", latitude=number % 60, longitude=number % 170)
    for number in range(sizes.profiles):
        network.profiles.add(name=f"profile-{number}", version=1, max_shipments=5)
    return network


def routing_of(sizes: Sizes, number: int, setup_micros: int = 1_000_000) -> network_pb2.LocationRouting:
    """Return what routing knows of a location."""
    rare = number % sizes.calendars
    return network_pb2.LocationRouting(
        location_id=location_name(number),
        calendar=f"rare-{rare - 1}" if rare else "daily",
        carrier="parcel",
        methods=METHODS,
        cut_off=f"{number % 24:02}:{number % 60:02}",
        handling_days=number % 31,
        backlog_days_max=7,
        handling_micros=100_000 + number,
        setup_micros=setup_micros,
        opens="08:00",
        closes="20:00",
    )


def prepare(channel: grpc.Channel, sizes: Sizes) -> None:
    """Load the network, and the stock of the small calls."""
    own = inventory.OnHandCount(
        sku_id=sku_name(sizes.skus), location_id=location_name(sizes.locations), on_hand=UNITS_PER_LEVEL
    )
    InventoryServiceStub(channel).SetOnHand(inventory.SetOnHandRequest(counts=[own]), timeout=CALL_SECONDS)
    stub = NetworkServiceStub(channel)
    everyone = [routing_of(sizes, number) for number in range(sizes.locations)]
    first = network_service_pb2.UpsertNetworkRequest(network=network_of(sizes))
    first.locations.extend(everyone[: CATALOG_ITEMS_PER_CALL_MAX // 2])
    stub.UpsertNetwork(first, timeout=CALL_SECONDS)
    for start in range(len(first.locations), sizes.locations, CATALOG_ITEMS_PER_CALL_MAX):
        part = everyone[start : start + CATALOG_ITEMS_PER_CALL_MAX]
        stub.UpsertLocationRouting(
            network_service_pb2.UpsertLocationRoutingRequest(locations=part), timeout=CALL_SECONDS
        )


# ---- requests --------------------------------------------------------------------------------------------------------


def order_of(sizes: Sizes, lines: int, **of_lines: Any) -> plan_pb2.Order:
    """Return an order of one unit of so many skus, brought to a place far from most."""
    order = plan_pb2.Order(destination=plan_pb2.Destination(latitude=48.2, longitude=16.4))
    for number in range(lines):
        order.lines.add(sku_id=sku_name(number % sizes.skus), quantity=1, **of_lines)
    return order


def plan_of(sizes: Sizes, lines: int, **more: Any) -> routing.PlanFulfillmentRequest:
    """Return a request that plans, and holds where it does not say otherwise."""
    ttl = Duration(seconds=TTL_SECONDS)
    notes = {"reference": "r" * REFERENCE_BYTES_MAX, "actor": "a" * REFERENCE_BYTES_MAX}
    return routing.PlanFulfillmentRequest(order=order_of(sizes, lines), ttl=ttl, **(notes | more))


def large_requests(channel: grpc.Channel, sizes: Sizes) -> Iterator[Large]:
    """Yield the largest requests, one RPC after the other."""
    yield from _network_requests(sizes)
    yield from _plan_requests(sizes)
    yield from _later_requests(channel, sizes)


def _network_requests(sizes: Sizes) -> Iterator[Large]:
    network, numbers = network_of(sizes), itertools.count(1)
    everyone = [routing_of(sizes, number) for number in range(min(sizes.locations, CATALOG_ITEMS_PER_CALL_MAX))]

    def whole() -> bytes:
        network.rejection_days = 1 + next(numbers) % 300
        return network_service_pb2.UpsertNetworkRequest(network=network).SerializeToString()

    def locations(count: int) -> Callable[[], bytes]:
        def make() -> bytes:
            setup = 1_000_000 + next(numbers)
            for one in everyone[:count]:
                one.setup_micros = setup
            return network_service_pb2.UpsertLocationRoutingRequest(locations=everyone[:count]).SerializeToString()

        return make

    def rename() -> bytes:
        places = [location_of(1, f"renamed {next(numbers)}")]
        return catalog_service_pb2.UpsertLocationsRequest(locations=places).SerializeToString()

    size = f"{sizes.places:,} places, {sizes.calendars:,} calendars, {sizes.profiles} profiles"
    yield Large(NETWORK + "UpsertNetwork", f"{size}, {network.ByteSize():,} bytes", whole)
    yield Large(NETWORK + "UpsertLocationRouting", f"{len(everyone):,} locations", locations(len(everyone)))
    yield Large(NETWORK + "UpsertLocationRouting", "one location", locations(1), "_of_one")
    yield Large(CATALOG + "UpsertLocations", "one renamed location", rename, "_renamed")
    read = network_service_pb2.GetNetworkRequest().SerializeToString()
    yield Large(NETWORK + "GetNetwork", size, lambda: read)
    page = network_service_pb2.ListLocationRoutingRequest(page_size=PAGE_SIZE_MAX).SerializeToString()
    yield Large(NETWORK + "ListLocationRouting", f"{PAGE_SIZE_MAX:,} locations", lambda: page)


def _plan_requests(sizes: Sizes) -> Iterator[Large]:
    lines, over = sizes.lines, f"over {sizes.locations:,} locations"
    held = plan_of(sizes, lines).SerializeToString()
    yield Large(PLAN + "PlanFulfillment", f"{lines} lines {over}, held", lambda: held)
    competing = plan_of(sizes, lines)
    for line in competing.order.lines:
        line.sku_id = sku_name(0)
    alike = competing.SerializeToString()
    yield Large(PLAN + "PlanFulfillment", f"{lines} lines of one sku {over}, held", lambda: alike, "_of_one_sku")
    explained = [plan_of(sizes, 1, validate_only=True, explain=True) for _ in range(ORDERS_PER_BATCH_MAX)]
    told = routing.BatchPlanFulfillmentRequest(requests=explained).SerializeToString()
    yield Large(
        PLAN + "BatchPlanFulfillment", f"{ORDERS_PER_BATCH_MAX} orders {over}, explained", lambda: told, "_explained"
    )
    largest = [plan_of(sizes, lines) for _ in range(ORDERS_PER_BATCH_MAX)]
    many = routing.BatchPlanFulfillmentRequest(requests=largest).SerializeToString()
    yield Large(PLAN + "BatchPlanFulfillment", f"{ORDERS_PER_BATCH_MAX} orders of {lines} lines {over}", lambda: many)
    columns = orders_in_columns(sizes).SerializeToString()
    yield Large(
        "/onhand.routing.v1.BulkRoutingService/PlanOrders",
        f"{ORDERS_PER_CALL_MAX:,} orders of {min(lines, LINES_PER_CALL_MAX // ORDERS_PER_CALL_MAX)} lines {over}",
        lambda: columns,
    )
    quote = routing.QuoteFulfillmentRequest(order=order_of(sizes, lines), store_count_max=STORES_MAX)
    quoted = quote.SerializeToString()
    yield Large(PLAN + "QuoteFulfillment", f"{lines} lines, every method, {STORES_MAX} stores {over}", lambda: quoted)


def orders_in_columns(sizes: Sizes) -> Any:
    """Return as many orders with as many lines as one call may have."""
    each = min(sizes.lines, LINES_PER_CALL_MAX // ORDERS_PER_CALL_MAX)
    total = each * ORDERS_PER_CALL_MAX
    request = PlanRequestColumns(sku_ids=[sku_name(number) for number in range(sizes.skus)])
    columns = {
        "line_counts": np.full(ORDERS_PER_CALL_MAX, each),
        "ttl_us": np.full(ORDERS_PER_CALL_MAX, TTL_SECONDS * MICROSECONDS),
        "latitudes": np.linspace(-50, 50, ORDERS_PER_CALL_MAX),
        "longitudes": np.linspace(-170, 170, ORDERS_PER_CALL_MAX),
        "sku_indexes": np.arange(total) % sizes.skus,
        "quantities": np.ones(total),
    }
    for name, values in columns.items():
        write_column(getattr(request, name), values, dtypes_of(bulk.PlanOrdersRequest)[name])
    return request


def _later_requests(channel: grpc.Channel, sizes: Sizes) -> Iterator[Large]:
    """Yield what is asked of plans that were made before."""
    plans, holds = RoutingServiceStub(channel), ReservationServiceStub(channel)
    response = plans.PlanFulfillment(plan_of(sizes, min(5, sizes.lines)), timeout=CALL_SECONDS)
    why = routing.ExplainPlanRequest(reservation_id=response.plan.reservation_id).SerializeToString()
    yield Large(PLAN + "ExplainPlan", f"5 lines over {sizes.locations:,} locations", lambda: why)
    carts = [
        plans.PlanFulfillment(plan_of(sizes, 1), timeout=CALL_SECONDS).reservation_id
        for _ in range(ORDERS_PER_BATCH_MAX)
    ]
    again = [plan_of(sizes, 1, reservation_id=cart) for cart in carts]
    anew = routing.BatchPlanFulfillmentRequest(requests=again).SerializeToString()
    size = f"{ORDERS_PER_BATCH_MAX} orders that have a hold, over {sizes.locations:,} locations"
    yield Large(PLAN + "BatchPlanFulfillment", size, lambda: anew, "_of_holds")

    def reject() -> bytes:
        held = plans.PlanFulfillment(
            plan_of(sizes, sizes.lines, reference=str(uuid.uuid4())), timeout=CALL_SECONDS
        ).plan
        holds.CommitReservation(
            reservations.CommitReservationRequest(reservation_id=held.reservation_id), timeout=CALL_SECONDS
        )
        return routing.RejectAssignmentRequest(
            reservation_id=held.reservation_id,
            location_id=held.shipments[0].location_id,
            request_id=str(uuid_utils.uuid7()),
        ).SerializeToString()

    yield Large(PLAN + "RejectAssignment", f"{sizes.lines} lines over {sizes.locations:,} locations", reject)
