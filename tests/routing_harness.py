"""A small network for tests, and calls of the routing services by short names.

Locations stand in a row on the equator, `km` from where the customer is. A parcel costs 5.00, and 1.00 more for each
100 km, so that near is cheap; a delivery costs 2.00 within 100 km.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.duration_pb2 import Duration
from harness import Client
from onhand.inventory.v1 import catalog_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.routing.v1 import network_pb2, plan_pb2
from onhand.routing.v1 import network_service_pb2 as network_service
from onhand.routing.v1 import routing_service_pb2 as routing
from onhand.routing.v1.network_service_pb2_grpc import NetworkServiceStub
from onhand.routing.v1.routing_service_pb2_grpc import RoutingServiceStub

MICROS = 1_000_000
KM_A_DEGREE = 111.195
ZONES = 30
SHIP, PICKUP, SHIP_TO_STORE, DELIVERY = (
    plan_pb2.FulfillmentMethod.Value(f"FULFILLMENT_METHOD_{name}")
    for name in ("SHIP", "PICKUP", "SHIP_TO_STORE", "DELIVERY")
)
OPTIMAL, NEAREST, FEWEST_SPLITS, PRIORITY = (
    plan_pb2.RoutingStrategy.Value(f"ROUTING_STRATEGY_{name}")
    for name in ("OPTIMAL", "NEAREST", "FEWEST_SPLITS", "PRIORITY")
)
HERE = plan_pb2.Destination(latitude=0.0, longitude=0.0)


def reason_name(value: int) -> str:
    """A reason without its prefix."""
    return plan_pb2.ReasonCode.Name(value).removeprefix("REASON_CODE_")


def carrier(**more: Any) -> network_pb2.Carrier:
    """A carrier whose every 100 km cost 1.00 more."""
    zones = [
        network_pb2.CarrierZone(
            km_max=100.0 * (zone + 1) if zone + 1 < ZONES else 0,
            transit_days=1 + zone // 5,
            ship_rates=[network_pb2.RateStep(base_micros=(5 + zone) * MICROS)],
            delivery_rates=[network_pb2.RateStep(base_micros=2 * MICROS)] if zone == 0 else [],
        )
        for zone in range(ZONES)
    ]
    return network_pb2.Carrier(name="parcel", calendar="daily", zones=zones, **more)


def a_network(**more: Any) -> network_pb2.Network:
    """A network without locations."""
    given: dict[str, Any] = {
        "currency": "EUR",
        "calendars": [network_pb2.Calendar(name="daily", weekdays=range(1, 8))],
        "carriers": [carrier()],
        "profiles": [network_pb2.RoutingProfile(name="standard", version=1)],
        "rejection_days": 7,
    }
    return network_pb2.Network(**(given | more))


def location_routing(location_id: str, **more: Any) -> network_pb2.LocationRouting:
    """Routing data of a location that ships and hands over."""
    given: dict[str, Any] = {"calendar": "daily", "carrier": "parcel", "methods": [SHIP, PICKUP]}
    return network_pb2.LocationRouting(location_id=location_id, **(given | more))


def place(location_id: str, km: float, *, active: bool = True, groups: Iterable[str] = ()) -> catalog_pb2.Location:
    """A location of the catalog, so many kilometers east of the customer."""
    return catalog_pb2.Location(
        location_id=location_id,
        kind=catalog_pb2.LOCATION_KIND_STORE,
        latitude=0.0,
        longitude=km / KM_A_DEGREE,
        active=active,
        location_groups=groups,
    )


def lines(*wanted: tuple[Any, ...], **more: Any) -> list[plan_pb2.OrderLine]:
    """Order lines of (sku, quantity), or (sku, quantity, {field: value})."""
    return [
        plan_pb2.OrderLine(sku_id=sku, quantity=quantity, **(more | (own[0] if own else {})))
        for sku, quantity, *own in wanted
    ]


def order(*wanted: tuple[Any, ...], destination: plan_pb2.Destination = HERE, **more: Any) -> plan_pb2.Order:
    """An order for the customer at the zero meridian."""
    return plan_pb2.Order(lines=lines(*wanted), destination=destination, **more)


def plan_request(what: plan_pb2.Order, ttl: int = 600, **more: Any) -> routing.PlanFulfillmentRequest:
    """A plan that reserves."""
    return routing.PlanFulfillmentRequest(order=what, ttl=Duration(seconds=ttl), **more)


def shipped(plan: plan_pb2.FulfillmentPlan) -> dict[tuple[str, str], int]:
    """(sku, location) -> units."""
    found: dict[tuple[str, str], int] = {}
    for shipment in plan.shipments:
        for line in shipment.lines:
            key = line.sku_id, shipment.location_id
            found[key] = found.get(key, 0) + line.quantity
    return found


def shortages(plan: plan_pb2.FulfillmentPlan) -> dict[str, tuple[int, str]]:
    """Sku -> units that are not filled, and why."""
    return {short.sku_id: (short.quantity, reason_name(short.reason)) for short in plan.shortages}


class RoutingClient(Client):
    """Calls of the routing services, with names of skus and locations that are this client's own."""

    def __init__(self, address: str, prefix: str = "") -> None:
        super().__init__(address, prefix)
        self.routing = RoutingServiceStub(self.channel)
        self.network = NetworkServiceStub(self.channel)

    def build(
        self,
        locations: Mapping[str, float],
        stock: Mapping[tuple[str, str], int],
        routing_of: Mapping[str, Mapping[str, Any]] | None = None,
        **network: Any,
    ) -> None:
        """Load a network of its own: locations by km from the customer, units by (sku, location)."""
        self.put_locations(*(place(self.name(name), km) for name, km in locations.items()))
        self.sku(*dict.fromkeys(sku for sku, _ in stock))
        for (sku, location), units in stock.items():
            self.receive(sku, location, units)
        own = [location_routing(self.name(name), **(routing_of or {}).get(name, {})) for name in locations]
        self.put_network(a_network(**network), own)

    def put_locations(self, *locations: catalog_pb2.Location) -> None:
        self.call(self.catalog.UpsertLocations, catalog.UpsertLocationsRequest(locations=locations))

    def put_network(self, network: network_pb2.Network, own: Iterable[network_pb2.LocationRouting], **more: Any) -> Any:
        request = network_service.UpsertNetworkRequest(network=network, locations=own, replace_locations=True, **more)
        return self.call(self.network.UpsertNetwork, request)

    def own(self, what: plan_pb2.Order) -> plan_pb2.Order:
        """The order with this client's names."""
        named = plan_pb2.Order()
        named.CopyFrom(what)
        for line in named.lines:
            line.sku_id = self.name(line.sku_id)
            if line.store_id:
                line.store_id = self.name(line.store_id)
        return named

    def plan(self, what: plan_pb2.Order, **more: Any) -> routing.PlanFulfillmentResponse:
        """Plan and reserve; with validate_only=True plan only."""
        return self.call(self.routing.PlanFulfillment, plan_request(self.own(what), **more))

    def quote(self, what: plan_pb2.Order, **more: Any) -> routing.QuoteFulfillmentResponse:
        return self.call(self.routing.QuoteFulfillment, routing.QuoteFulfillmentRequest(order=self.own(what), **more))

    def explain(self, **which: str) -> routing.ExplainPlanResponse:
        return self.call(self.routing.ExplainPlan, routing.ExplainPlanRequest(**which))

    def reject(self, reservation_id: str, location: str, *units: tuple[str, int], **more: Any) -> Any:
        request = routing.RejectAssignmentRequest(
            reservation_id=reservation_id,
            location_id=self.name(location),
            lines=[routing.RejectedLine(sku_id=self.name(sku), quantity=quantity) for sku, quantity in units],
            **more,
        )
        return self.call(self.routing.RejectAssignment, request)

    def bare(self, units: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], int]:
        """Units by short names."""
        cut = len(self.prefix)
        return {(sku[cut:], location[cut:]): count for (sku, location), count in units.items()}

    def held(self, reservation_id: str) -> dict[tuple[str, str], int]:
        """Open units of a reservation, by short names."""
        found = {(line.sku_id, line.location_id): line.open_quantity for line in self.get(reservation_id).lines}
        return self.bare({key: units for key, units in found.items() if units})
