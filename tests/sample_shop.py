"""A small shop, of which the examples of the docs and the programs of proto/examples speak."""

from typing import Final

from onhand.inventory.v1 import catalog_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.routing.v1 import network_pb2
from routing_harness import DELIVERY, PICKUP, SHIP, RoutingClient, a_network, location_routing

Kind = catalog_pb2.LocationKind
SKUS: Final = ("JEANS-32", "SHIRT-RED-M", "MUG")
LOCATIONS: Final = {
    "S-VIENNA": (Kind.LOCATION_KIND_STORE, 48.21, 16.37, [SHIP, PICKUP, DELIVERY]),
    "S-GRAZ": (Kind.LOCATION_KIND_STORE, 47.07, 15.44, [SHIP, PICKUP]),
    "W-LINZ": (Kind.LOCATION_KIND_WAREHOUSE, 48.31, 14.29, [SHIP]),
}
UNITS: Final = 10


def build_shop(client: RoutingClient) -> None:
    """Bring an engine to where the examples begin: ten units of each sku at each location, nothing held there."""
    skus = [catalog_pb2.Sku(sku_id=sku_id, base_unit="each", weight_milligrams=500_000) for sku_id in SKUS]
    client.call(client.catalog.UpsertSkus, catalog.UpsertSkusRequest(skus=skus))
    client.put_locations(
        *(
            catalog_pb2.Location(location_id=location_id, kind=kind, latitude=north, longitude=east, active=True)
            for location_id, (kind, north, east, _) in LOCATIONS.items()
        )
    )
    vienna = network_pb2.Place(name="AT-1010", latitude=48.21, longitude=16.37)
    methods = {location_id: offered for location_id, (_, _, _, offered) in LOCATIONS.items()}
    own = [location_routing(location_id, methods=offered) for location_id, offered in methods.items()]
    client.put_network(a_network(places=[vienna]), own)
    for sku_id in SKUS:
        for location_id in LOCATIONS:
            client.count(sku_id, location_id, UNITS)
