"""What clients ask of the catalog and of routing, in worlds that route: plans, rejections, and what both stand on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from google.protobuf.field_mask_pb2 import FieldMask
from onhand.inventory.v1 import catalog_pb2, reservation_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.routing.v1 import bulk_service_pb2 as bulk
from onhand.routing.v1 import network_pb2, plan_pb2
from onhand.routing.v1 import network_service_pb2 as networks
from onhand.routing.v1 import routing_service_pb2 as routing
from routing_harness import MICROS, SHIP
from test_plan_columns import columns_of as columns_of_orders
from test_plan_columns import row_of, rows_of

from engine.errors import RefusedError

if TYPE_CHECKING:
    from .clients import Part, Requests

LOCATIONS: Final = ("X", "Y", "Z")
ORDERS: Final = 5
"""Names of orders that are planned again and again, so that what was rejected before counts."""
TRANSIT_DAYS: Final = 2
BACKLOG_DAYS_MAX: Final = 2
IN_ONE_CALL: Final = ("BatchPlanFulfillment", "PlanOrders", "PlanOrders")
PLANS: Final = ("PlanFulfillment", *IN_ONE_CALL)
CATALOG: Final = ("UpsertSkus", "UpsertLocations", "UpdateSku")
NETWORK: Final = ("UpsertNetwork", "UpsertLocationRouting")


Shipped: TypeAlias = Sequence[tuple[str, str, str]]
"""(reservation, location, sku) of what plans ship, the last plans last."""


@dataclass(frozen=True)
class Planned:
    """The answer to one order, or to a rejection."""

    seq: int
    reservation_id: str
    content: Any
    """What a repeat has to be told again: bytes as they came, or what columns say of the order."""
    plan: plan_pb2.FulfillmentPlan | None = None


CHANGES: Final = (
    reservations.CommitReservationRequest,
    reservations.CommitReservationRequest,
    reservations.ReleaseReservationRequest,
    reservations.FulfillCommitmentRequest,
    reservations.CancelCommitmentRequest,
)


# ---- requests --------------------------------------------------------------------------------------------------------


def a_location(name: str, *, is_routed: bool, active: bool = True) -> catalog_pb2.Location:
    """A place of the catalog; where orders are routed, it has to be somewhere."""
    place = catalog_pb2.Location(location_id=name, kind=catalog_pb2.LOCATION_KIND_STORE, active=active)
    if is_routed:
        place.latitude, place.longitude = 1.0, 1.0 + LOCATIONS.index(name)
    return place


def a_network(rejection_days: int = 1, base: int = 5) -> network_pb2.Network:
    """One carrier that goes anywhere, any day."""
    zone = network_pb2.CarrierZone(
        transit_days=TRANSIT_DAYS, ship_rates=[network_pb2.RateStep(base_micros=base * MICROS)]
    )
    return network_pb2.Network(
        currency="EUR",
        calendars=[network_pb2.Calendar(name="daily", weekdays=range(1, 8))],
        carriers=[network_pb2.Carrier(name="parcel", calendar="daily", zones=[zone])],
        profiles=[network_pb2.RoutingProfile(name="standard", version=1)],
        rejection_days=rejection_days,
    )


def a_routing(name: str, units_per_day: int = 12, setup: int = 1) -> network_pb2.LocationRouting:
    """What routing knows of a location."""
    return network_pb2.LocationRouting(
        location_id=name,
        calendar="daily",
        carrier="parcel",
        methods=[SHIP],
        units_per_day=units_per_day,
        backlog_days_max=BACKLOG_DAYS_MAX,
        setup_micros=setup * MICROS,
    )


def first_network() -> networks.UpsertNetworkRequest:
    """The network that a world begins with."""
    return networks.UpsertNetworkRequest(network=a_network(), locations=[a_routing(name) for name in LOCATIONS])


class RoutingRequests:
    """Random requests of a world that routes, by the chance of one client."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._chance = requests.chance

    def call(self, shipped: Shipped) -> tuple[str, list[Part]]:
        """Make a call of any kind; returns its method and its parts."""
        chance = self._chance
        kinds = self.catalog_write, self.network_write, self.order, self.change, self.rejection
        weights = (1, 2, 7, 4, 3) if shipped else (1, 2, 7, 0, 0)
        (kind,) = chance.choices(kinds, weights)
        if kind == self.order and chance.random() < 0.4:
            method = chance.choice(IN_ONE_CALL)
            return method, [self.order(shipped, method) for _ in range(chance.randint(1, 3))]
        part = kind(shipped)
        return part.method, [part]

    def _identified(self, request: Any, method: str, *, name: str | None = None) -> Part:
        """Make a request a part: its actor tells it from all others; orders are named by their references."""
        request_id = self._requests.new_id() if name is None else name
        request.request_id = request_id
        return self._requests.identified(method, request)

    def catalog_write(self, _: Shipped) -> Part:
        """Write some skus, in one way or the other."""
        name = self._requests.known_sku()
        sku = catalog_pb2.Sku(sku_id=name, base_unit="each", weight_milligrams=self._chance.choice((0, 1_000, 70_000)))
        if self._chance.random() < 0.4:
            sku.version = self._chance.choice((0, 1, 2, 3))
            mask = FieldMask(paths=["weight_milligrams"])
            return self._identified(catalog.UpdateSkuRequest(sku=sku, update_mask=mask), "UpdateSku")
        others = [catalog_pb2.Sku(sku_id=f"{name}{self._chance.randrange(3)}", base_unit="box")]
        skus = [sku, *others[: self._chance.randrange(2)]]
        return self._identified(catalog.UpsertSkusRequest(skus=skus), "UpsertSkus")

    def network_write(self, _: Shipped) -> Part:
        """Write the network, or a location's part of it."""
        chance = self._chance
        expected = chance.choice((0, 0, 0, 0, 1, 2))
        names = chance.sample(LOCATIONS, chance.randint(1, 2))
        rows = [a_routing(name, chance.choice((6, 12, 12, 40)), chance.randrange(3)) for name in names]
        if chance.random() < 0.5:
            request = networks.UpsertLocationRoutingRequest(locations=rows, expected_version=expected)
            return self._identified(request, "UpsertLocationRouting")
        request = networks.UpsertNetworkRequest(
            network=a_network(chance.choice((1, 1, 2)), chance.choice((5, 6))),
            locations=rows,
            replace_locations=chance.random() < 0.4,
            expected_version=expected,
        )
        return self._identified(request, "UpsertNetwork")

    def order(self, shipped: Shipped, method: str = "PlanFulfillment") -> Part:
        """Plan an order that holds what it gets, now and then one that has a hold."""
        chance = self._chance
        wanted = dict.fromkeys(self._requests.sku() for _ in range(chance.choice((1, 1, 2, 3))))
        lines = [plan_pb2.OrderLine(sku_id=sku, quantity=chance.choice((1, 1, 2, 3, 8))) for sku in wanted]
        destination = plan_pb2.Destination(latitude=1.0, longitude=chance.choice((1.0, 2.5)))
        request = routing.PlanFulfillmentRequest(order=plan_pb2.Order(lines=lines, destination=destination))
        request.ttl.FromSeconds(chance.choice((1, 20, 60)))
        request.reference = f"order-{chance.randrange(ORDERS)}" if chance.random() < 0.9 else ""
        if method != "PlanOrders" and chance.random() < 0.25:
            is_planned = bool(shipped) and chance.random() < 0.5
            request.reservation_id = chance.choice(shipped[-6:])[0] if is_planned else self._requests.hold()
            request.reference *= chance.random() < 0.4
        name = None if method == "PlanOrders" or chance.random() < 0.9 else ""
        part = self._identified(request, method, name=name)
        request.actor = part.reference
        return part

    def change(self, shipped: Shipped) -> Part:
        """Change what a plan holds: its capacity has to follow."""
        chance = self._chance
        reservation_id, location, sku = chance.choice(shipped[-12:])
        line = {"sku_id": sku, "location_id": location, "quantity": chance.randint(1, 2)}
        match chance.randrange(8):
            case 0 | 1:
                line["quantity"] = chance.choice((0, 1, 2, 4, 6))
                request: Any = reservations.AmendReservationRequest(reservation_id=reservation_id, lines=[line])
            case 7:
                lines = [line, *([{**line, "location_id": "Y", "quantity": 2}] * (location != "Y"))]
                request = reservations.ReserveStockRequest(reservation_id=reservation_id, lines=lines)
                request.ttl.FromSeconds(chance.choice((1, 20, 60)))
            case 2 | 3:
                target = chance.choice([name for name in LOCATIONS if name != location])
                request = reservations.TransferReservationRequest(
                    reservation_id=reservation_id, from_location_id=location, to_location_id=target
                )
            case _:
                request_type = chance.choice(CHANGES)
                request = request_type(reservation_id=reservation_id, lines=[line] * (chance.random() < 0.5))
        method = type(request).__name__.removesuffix("Request")
        part = self._identified(request, method, name=self._requests.new_id())
        request.reference = part.reference
        return part

    def rejection(self, shipped: Shipped) -> Part:
        """Say that a location cannot fill what a plan gave it."""
        reservation_id, location, sku = self._chance.choice(shipped[-12:])
        request = routing.RejectAssignmentRequest(reservation_id=reservation_id, location_id=location)
        if self._chance.random() < 0.4:
            request.lines.add(sku_id=sku, quantity=1)
        part = self._identified(request, "RejectAssignment")
        request.actor = part.reference
        return part


def payload_of(method: str, parts: list[Part]) -> bytes:
    """Some orders as one call."""
    requests = [part.request for part in parts]
    if method == "PlanOrders":
        return bytes(columns_of_orders(requests).SerializeToString())
    return routing.BatchPlanFulfillmentRequest(requests=requests).SerializeToString()


# ---- answers ---------------------------------------------------------------------------------------------------------


def planned_by(answer: bytes) -> Planned:
    """One plan, as it came."""
    found = routing.PlanFulfillmentResponse.FromString(answer)
    return Planned(found.seq, found.reservation_id, answer, found.plan)


def rejected_by(answer: bytes) -> Planned:
    """What came of a rejection."""
    found = routing.RejectAssignmentResponse.FromString(answer)
    return Planned(found.seq, "", answer, found.plan)


def planned_by_batch(answer: bytes) -> list[Planned | RefusedError]:
    """Several plans, each as if it had been asked for alone."""
    results = routing.BatchPlanFulfillmentResponse.FromString(answer).results
    return [
        planned_by(one.planned.SerializeToString()) if one.HasField("planned") else refusal_in(one.refused)
        for one in results
    ]


def refusal_in(message: reservation_pb2.Refusal) -> RefusedError:
    """The refusal of one result of a batch."""
    return RefusedError(message.reason, message.message, shortages=list(message.shortages))


def planned_by_columns(answer: bytes) -> list[Planned | RefusedError]:
    """Several plans, by what columns say of each."""
    response = bulk.PlanOrdersResponse.FromString(answer)
    orders = list(response.refused_orders) or [0] * len(response.refused_reasons)  # a column of zeros may be left out
    told = zip(orders, response.refused_reasons, response.refused_messages, strict=True)
    refused = {order: RefusedError(reason, message) for order, reason, message in told}
    found: list[Planned | RefusedError] = []
    for place, row in enumerate(rows_of(response)):
        plan_id, reservation_id, _ = row["ids"]
        held = f"{reservation_id:016x}" if reservation_id else ""
        found.append(refused.get(place) or Planned(plan_id or response.seq, held, row))
    return found


def is_same_answer(told: Planned, stored: bytes) -> bool:
    """Tell whether what was told is what is kept."""
    if isinstance(told.content, dict):
        return bool(told.content == row_of(routing.PlanFulfillmentResponse.FromString(stored)))
    return bool(told.content == stored)
