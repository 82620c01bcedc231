"""What a load did, or would do: counts, differences, what goes."""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import grpc
from google.protobuf.message import Message
from onhand.inventory.v1 import inventory_service_pb2, inventory_service_pb2_grpc, stock_pb2

from engine.load import changes
from engine.load.catalog import LevelsFile
from engine.load.network import default_profile
from engine.load.plan import NAMES_SHOWN_MAX, Load
from engine.load.sending import UpsertCounts, all_pages


class Counts(NamedTuple):
    """What came of rows: of the files of the catalog, and of a network's."""

    locations: UpsertCounts | None = None
    skus: UpsertCounts | None = None
    routed_locations: UpsertCounts = UpsertCounts()
    routed_skus: UpsertCounts = UpsertCounts()


def goings(differences: Iterable[changes.Difference]) -> list[str]:
    """Say what the network has no more."""
    gone: dict[str, list[str]] = {}
    for one in differences:
        if one.change == changes.REMOVED:
            gone.setdefault(one.kind, []).append(one.name)
    return [
        f"network: {kind}: {len(names)} removed: {', '.join(names[:NAMES_SHOWN_MAX])}"
        f"{', …' if len(names) > NAMES_SHOWN_MAX else ''}."
        for kind, names in gone.items()
    ]


def report_of(plan: Load, counts: Counts, level_count: int, policy_count: int) -> dict[str, Any]:
    """Return what a load counts: of the files of the catalog, if there are some, and of the network."""
    report: dict[str, Any] = {}
    if plan.locations is not None or plan.skus is not None or plan.levels:
        report["locations"] = asdict(counts.locations) if counts.locations else None
        report["skus"] = asdict(counts.skus) if counts.skus else None
        report["level_count"] = level_count
        report["policy_count"] = policy_count
    if plan.network:
        network = plan.network.network
        profiles = [one for one in network_differences(plan) if one.kind == "profile"]
        report["network"] = {
            "locations": asdict(counts.routed_locations),
            "skus": asdict(counts.routed_skus),
            "profile_count": len(network.profiles),
            "default_profile": default_profile(network),
            **{
                f"profiles_{change}": [one.name for one in profiles if one.change == change]
                for change in (changes.CREATED, changes.CHANGED, changes.REMOVED)
            },
        }
    return report


def network_differences(plan: Load) -> list[changes.Difference]:
    """Return what differs between the network that is and the one that will be."""
    assert plan.network is not None
    after = {one.location_id: one for one in plan.network.locations}
    return [
        *changes.of_network(plan.before.network, plan.network.network),
        *changes.of_messages("routing of location", plan.before.routing, after, goes=True),
    ]


async def dry_report(channel: grpc.aio.Channel, plan: Load, counts: Counts) -> dict[str, Any]:
    """Say what would be different, first of all, and what would be counted."""
    differences = [
        *changes.of_messages("location", plan.before.locations, plan.catalog("locations")),
        *changes.of_messages("sku", plan.before.skus, plan.catalog("skus")),
        *(network_differences(plan) if plan.network else ()),
    ]
    level_count = policy_count = 0
    if plan.levels:
        levels = await _levels_before(channel, plan.levels)
        differences += changes.of_levels(plan.levels, levels)
        level_count, policy_count = len(plan.levels.columns), len(plan.levels.columns.with_policy())
    report = {"differences": [one.as_json() for one in differences], "dry_run": True}
    report |= report_of(plan, counts, level_count, policy_count)
    return report | ({"notes": plan.notes} if plan.notes else {})


async def _levels_before(channel: grpc.aio.Channel, file: LevelsFile) -> Mapping[tuple[str, str], stock_pb2.StockLevel]:
    """Ask for the stock levels of the locations of a file."""
    stub = inventory_service_pb2_grpc.InventoryServiceStub(channel)
    wanted = set(file.columns.sku_ids)
    found = {}
    for location_id in file.columns.location_ids:
        request = inventory_service_pb2.ListStockLevelsRequest(location_id=location_id)
        async for level in _levels_of(stub, request):
            if level.sku_id in wanted:
                found[level.sku_id, location_id] = level
    return found


async def _levels_of(stub: Any, request: Message) -> AsyncIterator[stock_pb2.StockLevel]:
    """Yield the levels of a location; none of one that the engine does not know yet."""
    try:
        async for level in all_pages(stub.ListStockLevels, request, "stock_levels"):
            yield level
    except grpc.aio.AioRpcError as error:
        if error.code() != grpc.StatusCode.NOT_FOUND:
            raise
