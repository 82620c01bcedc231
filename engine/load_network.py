"""Loading a routing network from a folder (`onhand load --network`): routing reads and checks it, the engine keeps it.

The folder is that of `routing.network_files`, with routing profiles as `profiles/*.toml` in it; the first by name is
the default, and without any there is one named "standard". Locations and skus of the folder are brought into the
catalog as far as the folder knows them: what else the catalog says of them stays.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

import grpc
from onhand.inventory.v1 import catalog_pb2, catalog_service_pb2, catalog_service_pb2_grpc
from onhand.routing.v1 import network_pb2 as messages
from onhand.routing.v1 import network_service_pb2 as service
from onhand.routing.v1 import network_service_pb2_grpc
from rich.console import Console

from engine.load import (
    DEADLINE_SECONDS,
    LoadError,
    UpsertCounts,
    advance_bar,
    load_progress,
    open_channel,
    told_answer,
    upsert_locations,
    upsert_skus,
)
from ledger.core.limits import PAGE_SIZE_MAX
from routing.errors import RoutingInputError
from routing.network import Carrier, Location, Network, Sku
from routing.network_files import read_network
from routing.profile import Costs, Profile, Weights, micros, read_profile
from routing.rates import RateTable
from routing.rules import Method

REJECTION_DAYS: Final = 7
"""How long a location that rejected an order is not asked again for it: files do not say."""
UNIT_OF_NEW_SKUS: Final = "each"
STRENGTHS: Final = {"hard": messages.RULE_STRENGTH_HARD, "soft": messages.RULE_STRENGTH_SOFT}


@dataclass(frozen=True, slots=True)
class NetworkReport:
    """What was loaded."""

    locations: UpsertCounts
    skus: UpsertCounts
    profile_count: int
    network_version: int


async def load_network(address: str, folder: Path, console: Console, *, progress: bool = True) -> NetworkReport:
    """Load the network of a folder into the engine at the address; LoadError says what is wrong with it."""
    network, profiles = read_folder(folder)
    rows = [location_message(location) for location in network.locations]
    try:
        async with open_channel(address) as channel:
            with load_progress(console, visible=progress) as bars:
                locations = [one async for one in _locations(channel, network)]
                skus = [one async for one in _skus(channel, network)]
                counts = (
                    await upsert_locations(channel, locations, advance_bar(bars, "locations", len(locations))),
                    await upsert_skus(channel, skus, advance_bar(bars, "skus", len(skus))),
                )
                request = service.UpsertNetworkRequest(
                    network=network_message(network, profiles), locations=rows, replace_locations=True
                )
                stub = network_service_pb2_grpc.NetworkServiceStub(channel)
                answer = await stub.UpsertNetwork(request, timeout=DEADLINE_SECONDS)
    except grpc.aio.AioRpcError as error:
        raise LoadError(told_answer(address, error)) from error
    return NetworkReport(*counts, len(profiles), answer.version)


def read_folder(folder: Path) -> tuple[Network, list[Profile]]:
    """Return the network of a folder and its profiles; LoadError says what is wrong with it."""
    try:
        profiles = [read_profile(path) for path in sorted((folder / "profiles").glob("*.toml"))]
        return read_network(folder), profiles or [Profile(name="standard", version=1)]
    except (RoutingInputError, OSError) as error:
        raise LoadError(f"{error}\nNothing was loaded.") from error


# ---- the catalog -----------------------------------------------------------------------------------------------------


async def _locations(channel: grpc.aio.Channel, network: Network) -> AsyncIterator[catalog_pb2.Location]:
    """Yield the locations of the network as the catalog should have them."""
    stub = catalog_service_pb2_grpc.CatalogServiceStub(channel)
    known = {one.location_id: one async for one in _all(stub.ListLocations, "locations")}
    for location in network.locations:
        is_store = Method.PICKUP in location.methods
        kind = catalog_pb2.LOCATION_KIND_STORE if is_store else catalog_pb2.LOCATION_KIND_WAREHOUSE
        message = known.get(location.location_id) or catalog_pb2.Location(location_id=location.location_id, kind=kind)
        message.latitude, message.longitude = location.latitude, location.longitude
        message.time_zone, message.active = location.time_zone, location.is_active
        message.location_groups[:] = sorted(location.groups | set(message.location_groups))
        yield message


async def _skus(channel: grpc.aio.Channel, network: Network) -> AsyncIterator[catalog_pb2.Sku]:
    """Yield the skus of the network as the catalog should have them."""
    stub = catalog_service_pb2_grpc.CatalogServiceStub(channel)
    known: dict[str, catalog_pb2.Sku] = {}
    if network.skus:
        known = {one.sku_id: one async for one in _all(stub.ListSkus, "skus")}
    for sku_id, sku in network.skus.items():
        message = known.get(sku_id) or catalog_pb2.Sku(sku_id=sku_id, base_unit=UNIT_OF_NEW_SKUS)
        message.weight_milligrams = sku.weight_milligrams
        message.restrictions[:] = sorted(sku.restrictions)
        yield message


async def _all(method: Any, name: str) -> AsyncIterator[Any]:
    """Yield everything of a list, page by page."""
    kind = catalog_service_pb2.ListLocationsRequest if name == "locations" else catalog_service_pb2.ListSkusRequest
    token = ""
    while True:
        page = await method(kind(page_size=PAGE_SIZE_MAX, page_token=token), timeout=DEADLINE_SECONDS)
        for one in getattr(page, name):
            yield one
        token = page.next_page_token
        if not token:
            return


# ---- the network -----------------------------------------------------------------------------------------------------


def network_message(network: Network, profiles: Sequence[Profile]) -> messages.Network:
    """Return a network as the engine takes it."""
    return messages.Network(
        currency=network.currency,
        calendars=[
            messages.Calendar(
                name=name,
                weekdays=sorted(day + 1 for day in calendar.weekdays),
                closed_dates=sorted(day.isoformat() for day in calendar.closed),
            )
            for name, calendar in network.calendars.items()
        ],
        carriers=[carrier_message(name, carrier) for name, carrier in network.carriers.items()],
        lanes=[
            messages.Lane(
                from_location_id=origin,
                to_location_id=store,
                base_micros=lane.base,
                per_kilogram_micros=lane.per_kilogram,
                days=lane.days,
            )
            for (origin, store), lane in network.lanes.items()
        ],
        channels=[
            messages.Channel(name=name, location_groups=sorted(groups)) for name, groups in network.channels.items()
        ],
        places=[
            messages.Place(name=name, latitude=latitude, longitude=longitude)
            for name, (latitude, longitude) in network.places.items()
        ],
        skus=list(_sku_messages(network.skus.items())),
        profiles=[profile_message(profile) for profile in profiles],
        rejection_days=REJECTION_DAYS,
    )


def _sku_messages(skus: Any) -> Iterator[messages.SkuRouting]:
    sku: Sku
    for sku_id, sku in skus:
        if sku.unfilled_cost is not None:
            yield messages.SkuRouting(sku_id=sku_id, unfilled_micros=sku.unfilled_cost)


def carrier_message(name: str, carrier: Carrier) -> messages.Carrier:
    """Return a carrier as the engine takes it."""
    ship, delivery = (carrier.rates.get(method, ()) for method in (Method.SHIP, Method.DELIVERY))
    return messages.Carrier(
        name=name,
        calendar=carrier.calendar,
        refused_restrictions=sorted(carrier.refuses),
        zones=[
            messages.CarrierZone(
                km_max=zone.km_max or 0.0,
                transit_days=zone.transit_days,
                ship_rates=_steps(ship_rates),
                delivery_rates=_steps(delivery_rates),
            )
            for zone, ship_rates, delivery_rates in zip_longest(carrier.zones, ship, delivery)
        ],
    )


def _steps(table: RateTable | None) -> list[messages.RateStep]:
    return [
        messages.RateStep(
            above_milligrams=step.above,
            to_milligrams=step.to or 0,
            base_micros=step.base,
            per_kilogram_micros=step.per_kilogram,
        )
        for step in (table.steps if table else ())
    ]


def profile_message(profile: Profile) -> messages.RoutingProfile:
    """Return a routing profile as the engine takes it."""
    rules = profile.rules
    return messages.RoutingProfile(
        name=profile.name,
        version=profile.version,
        **{f"{name}_weight": getattr(profile.weights, name) for name in Weights.__struct_fields__},
        **{f"{name}_micros": micros(getattr(profile.costs, name)) for name in Costs.__struct_fields__},
        max_shipments=rules.max_shipments,
        ship_complete=rules.ship_complete,
        never_split_below_micros=micros(rules.never_split_below),
        max_distance_km=rules.max_distance.km if rules.max_distance else 0.0,
        max_distance=STRENGTHS[rules.max_distance.strength] if rules.max_distance else None,
        promise=STRENGTHS[rules.promise.strength] if rules.promise else None,
        backorder=STRENGTHS[rules.backorder.strength],
    )


def location_message(location: Location) -> messages.LocationRouting:
    """Return what routing knows of a location as the engine takes it."""
    return messages.LocationRouting(
        location_id=location.location_id,
        calendar=location.calendar,
        carrier=location.carrier,
        methods=[int(method) + 1 for method in sorted(location.methods)],  # type: ignore[misc]  # values of the wire
        cut_off=location.cut_off.isoformat(),
        handling_days=location.handling_days,
        units_per_day=location.units_per_day,
        backlog_days_max=location.backlog_days_max,
        handling_micros=location.handling_cost,
        setup_micros=location.setup_cost,
        pickup_micros=location.pickup_cost,
        performance_micros=location.performance_cost,
        backlog_micros=location.backlog_cost,
        priority=location.priority,
        allowed_restrictions=sorted(location.restrictions),
        opens=location.hours.opens.isoformat(),
        closes=location.hours.closes.isoformat(),
        pickup_minutes=location.pickup_minutes,
    )
