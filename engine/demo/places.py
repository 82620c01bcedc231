"""Where the demo's stores and warehouses stand. The data has no places: these are illustrations, and say so."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from onhand.inventory.v1 import catalog_pb2

from engine.demo.settings import DemoSettings


@dataclass(frozen=True, slots=True)
class City:
    """A city by its rounded coordinates and time zone."""

    name: str
    latitude: float
    longitude: float
    time_zone: str


CITIES: Final = (
    City("Atlanta", 33.75, -84.39, "America/New_York"),
    City("Boston", 42.36, -71.06, "America/New_York"),
    City("Charlotte", 35.23, -80.84, "America/New_York"),
    City("Chicago", 41.88, -87.63, "America/Chicago"),
    City("Cincinnati", 39.10, -84.51, "America/New_York"),
    City("Columbus", 39.96, -83.00, "America/New_York"),
    City("Dallas", 32.78, -96.80, "America/Chicago"),
    City("Denver", 39.74, -104.99, "America/Denver"),
    City("Detroit", 42.33, -83.05, "America/Detroit"),
    City("Houston", 29.76, -95.37, "America/Chicago"),
    City("Indianapolis", 39.77, -86.16, "America/Indiana/Indianapolis"),
    City("Kansas City", 39.10, -94.58, "America/Chicago"),
    City("Los Angeles", 34.05, -118.24, "America/Los_Angeles"),
    City("Louisville", 38.25, -85.76, "America/Kentucky/Louisville"),
    City("Minneapolis", 44.98, -93.27, "America/Chicago"),
    City("Nashville", 36.16, -86.78, "America/Chicago"),
    City("New York", 40.71, -74.01, "America/New_York"),
    City("Philadelphia", 39.95, -75.17, "America/New_York"),
    City("Phoenix", 33.45, -112.07, "America/Phoenix"),
    City("Pittsburgh", 40.44, -80.00, "America/New_York"),
    City("Portland", 45.52, -122.68, "America/Los_Angeles"),
    City("Salt Lake City", 40.76, -111.89, "America/Denver"),
    City("San Diego", 32.72, -117.16, "America/Los_Angeles"),
    City("Seattle", 47.61, -122.33, "America/Los_Angeles"),
    City("St. Louis", 38.63, -90.20, "America/Chicago"),
    City("Tampa", 27.95, -82.46, "America/New_York"),
)

WAREHOUSES: Final = {
    "WAREHOUSE-EAST": City("Harrisburg", 40.27, -76.88, "America/New_York"),
    "WAREHOUSE-CENTRAL": City("Memphis", 35.15, -90.05, "America/Chicago"),
    "WAREHOUSE-WEST": City("Reno", 39.53, -119.81, "America/Los_Angeles"),
}

# Stores stand around their city, not on one spot: up to about 30 km away.
_SCATTER_DEGREES: Final = 0.27


@dataclass(frozen=True, slots=True)
class Places:
    """The demo's locations: first the stores in the order of the data's store ids, then the warehouses."""

    locations: tuple[catalog_pb2.Location, ...]
    store_count: int
    shipping: tuple[int, ...]
    """Indexes of the locations that ship: some stores, and the warehouses."""

    @property
    def location_ids(self) -> tuple[str, ...]:
        """Identifiers in the same order."""
        return tuple(location.location_id for location in self.locations)


def place_all(store_ids: tuple[int, ...], settings: DemoSettings) -> Places:
    """Give every store a place near a city, by the seed, and the warehouses theirs."""
    generator = np.random.default_rng([settings.seed, 1])
    cities = generator.integers(len(CITIES), size=len(store_ids)).tolist()
    scatter = generator.uniform(-_SCATTER_DEGREES, _SCATTER_DEGREES, (len(store_ids), 2)).round(4).tolist()
    stores = [
        _store(store_id, CITIES[city], north, east)
        for store_id, city, (north, east) in zip(store_ids, cities, scatter, strict=True)
    ]
    warehouses = [_warehouse(location_id, city) for location_id, city in WAREHOUSES.items()]
    ship_stores = sorted(generator.permutation(len(stores))[: settings.ship_store_count].tolist())
    return Places(
        (*stores, *warehouses), len(stores), (*ship_stores, *range(len(stores), len(stores) + len(warehouses)))
    )


def _store(store_id: int, city: City, north: float, east: float) -> catalog_pb2.Location:
    return catalog_pb2.Location(
        location_id=f"STORE-{store_id}",
        kind=catalog_pb2.LOCATION_KIND_STORE,
        display_name=f"Store {store_id} (illustrative place near {city.name})",
        latitude=round(city.latitude + north, 4),
        longitude=round(city.longitude + east, 4),
        time_zone=city.time_zone,
        capabilities=(catalog_pb2.LOCATION_CAPABILITY_PICKUP, catalog_pb2.LOCATION_CAPABILITY_RETURNS),
        active=True,
        location_groups=("stores",),
    )


def _warehouse(location_id: str, city: City) -> catalog_pb2.Location:
    return catalog_pb2.Location(
        location_id=location_id,
        kind=catalog_pb2.LOCATION_KIND_WAREHOUSE,
        display_name=f"Warehouse (illustrative place near {city.name})",
        latitude=city.latitude,
        longitude=city.longitude,
        time_zone=city.time_zone,
        capabilities=(catalog_pb2.LOCATION_CAPABILITY_SHIP,),
        active=True,
        location_groups=("warehouses",),
    )
