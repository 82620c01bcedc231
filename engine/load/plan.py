"""What a load makes of what the engine has: the files, read, on top of that; nothing is sent but questions."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import grpc
from google.protobuf.message import Message
from onhand.inventory.v1 import catalog_pb2, catalog_service_pb2, catalog_service_pb2_grpc
from onhand.routing.v1 import network_pb2 as messages
from onhand.routing.v1 import network_service_pb2 as network_service
from onhand.routing.v1.network_service_pb2_grpc import NetworkServiceStub

from engine.load.catalog import (
    Before,
    Change,
    LevelsFile,
    TableFile,
    location_changes,
    read_levels,
    read_table,
    refuse_contradictions,
    refuse_unknown,
    sku_changes,
)
from engine.load.network import (
    CATALOG_FIELDS,
    SKU_FIELDS,
    Folder,
    NetworkChange,
    capabilities_of,
    change_of,
    default_profile,
    read_folder,
)
from engine.load.problems import Problems
from engine.load.schema import CAPABILITIES, LOCATIONS, SKUS
from engine.load.sending import DEADLINE_SECONDS, all_pages

NAMES_SHOWN_MAX: Final = 10


class Paths(NamedTuple):
    """The files of a load; None for what is not loaded."""

    locations: Path | None = None
    skus: Path | None = None
    levels: Path | None = None
    network: Path | None = None
    """A folder."""


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a load, read."""

    locations: TableFile | None
    skus: TableFile | None
    levels: LevelsFile | None
    network: Folder | None


@dataclass(slots=True)
class Load:
    """What a load makes of what the engine has."""

    before: Before
    locations: list[Change[catalog_pb2.Location]] | None = None
    skus: list[Change[catalog_pb2.Sku]] | None = None
    levels: LevelsFile | None = None
    network: NetworkChange | None = None
    notes: list[str] = field(default_factory=list)

    def catalog(self, kind: str) -> dict[str, Any]:
        """Return all locations, or skus, that are created or changed, as they will be."""
        own = getattr(self, kind) or ()
        routed = getattr(self.network, f"catalog_{kind}") if self.network else ()
        key = "location_id" if kind == "locations" else "sku_id"
        return {getattr(change.item, key): change.item for change in [*own, *routed]}


# ---- reading ---------------------------------------------------------------------------------------------------------


def read_files(paths: Paths, problems: Problems) -> Files:
    """Read every file by itself; sends nothing."""
    given = [path for path in paths[:3] if path]
    names = [path.name for path in given]

    def name_of(path: Path) -> str:
        return path.name if names.count(path.name) == 1 else str(path)

    return Files(
        locations=read_table(paths.locations, name_of(paths.locations), LOCATIONS, problems)
        if paths.locations
        else None,
        skus=read_table(paths.skus, name_of(paths.skus), SKUS, problems) if paths.skus else None,
        levels=read_levels(paths.levels, name_of(paths.levels), problems) if paths.levels else None,
        network=read_folder(paths.network, problems, given) if paths.network else None,
    )


async def ask_before(channel: grpc.aio.Channel, files: Files) -> Before:
    """Ask for what the engine has of what the files speak of."""
    catalog = catalog_service_pb2_grpc.CatalogServiceStub(channel)
    networks = NetworkServiceStub(channel)
    before = Before()
    if files.locations or files.levels or files.network:
        request: Message = catalog_service_pb2.ListLocationsRequest()
        before.locations = {
            one.location_id: one async for one in all_pages(catalog.ListLocations, request, "locations")
        }
    if files.skus or files.levels or (files.network and files.network.skus.rows):
        request = catalog_service_pb2.ListSkusRequest()
        before.skus = {one.sku_id: one async for one in all_pages(catalog.ListSkus, request, "skus")}
    if files.locations or files.network:
        request = network_service.ListLocationRoutingRequest()
        rows = all_pages(networks.ListLocationRouting, request, "locations")
        before.routing = {one.location_id: one async for one in rows}
    if files.network:
        before.network = await network_before(networks)
    return before


async def network_before(networks: Any) -> messages.Network | None:
    """Return the network that the engine has, all its pages; None before the first one."""
    request = network_service.GetNetworkRequest()
    network = messages.Network()
    while True:
        try:
            page = await networks.GetNetwork(request, timeout=DEADLINE_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.FAILED_PRECONDITION:  # NETWORK_NOT_FOUND
                return None
            raise
        network.MergeFrom(page.network)
        request.page_token = page.next_page_token
        if not page.next_page_token:
            return network


def plan_load(files: Files, before: Before, problems: Problems) -> Load:
    """Put what the files say on top of what the engine has; notes what does not fit together."""
    plan = Load(before, levels=files.levels)
    if files.locations:
        plan.locations = location_changes(files.locations, before, problems)
    if files.skus:
        plan.skus = sku_changes(files.skus, before, problems)
    if files.network:
        refuse_contradictions(files.locations, files.network.locations, CATALOG_FIELDS, problems)
        refuse_contradictions(files.skus, files.network.skus, SKU_FIELDS, problems)
        between = Before(
            before.locations | plan.catalog("locations"),
            before.skus | plan.catalog("skus"),
            before.network,
            before.routing,
        )
        plan.network = change_of(files.network, between, problems)
    if files.levels:
        for what, known in (("sku", before.skus), ("location", before.locations)):
            _refuse_unknown(files, what, set(known), problems)
    plan.notes += list(_disagreements(plan))[:NAMES_SHOWN_MAX]
    if plan.network and before.network:
        old, new = default_profile(before.network), default_profile(plan.network.network)
        if old.partition("@")[0] != new.partition("@")[0]:
            plan.notes.append(f"network: orders that name no profile go by {new} from now on, before by {old}.")
    return plan


def _refuse_unknown(files: Files, what: str, known: set[str], problems: Problems) -> None:
    """Note levels of what nobody knows, unless a file that could not be read may have it."""
    assert files.levels is not None
    own = getattr(files, f"{what}s")
    routed = getattr(files.network, f"{what}s") if files.network else None
    for reader in (file.reader for file in (own, routed) if file):
        if reader.is_open:
            return
        known |= reader.names[0].keys()
    refuse_unknown(files.levels, what, known, problems)


def _disagreements(plan: Load) -> Iterator[str]:
    """Say where capabilities of the catalog and methods of the network tell two things of one location."""
    routing = {one.location_id: one for one in plan.network.locations} if plan.network else plan.before.routing
    catalog = plan.catalog("locations")
    told: dict[int, str] = {value: name for name, value in CAPABILITIES.items()}
    for name, one in routing.items():
        location = catalog.get(name)
        offered = set(capabilities_of(one.methods))
        says = set(location.capabilities) - {CAPABILITIES["returns"]} if location else offered
        if location and location.capabilities and says != offered:
            words = ["|".join(sorted(told[value] for value in each)) or "neither" for each in (says, offered)]
            yield (
                f"location {name}: its capabilities say {words[0]}, its methods in the network {words[1]}; "
                "it does for orders what both say."
            )
