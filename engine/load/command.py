"""A load from end to end: read and check every file, let the engine check it, say what differs, and only then write."""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import grpc
from onhand.routing.v1 import network_service_pb2 as network_service
from onhand.routing.v1.network_service_pb2_grpc import NetworkServiceStub
from rich.console import Console
from rich.progress import Progress

from engine.load.catalog import Change, without_output
from engine.load.network import NetworkChange, where_in_files
from engine.load.plan import Load, Paths, ask_before, plan_load, read_files
from engine.load.problems import NOTHING_LOADED, LoadError, Problems, Where
from engine.load.report import Counts, dry_report, goings, network_differences, report_of
from engine.load.sending import (
    DEADLINE_SECONDS,
    Advance,
    ChunkRefusedError,
    UpsertCounts,
    advance_bar,
    load_progress,
    open_channel,
    set_stock,
    upsert_locations,
    upsert_skus,
)
from ledger.core.limits import REQUEST_BYTES_MAX

COMPLETES: Final = "Loading the same files again completes what was begun."
WRONG: Final = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
"""What the engine answers to what is wrong in files; anything else is about the engine."""


async def load(
    address: str, paths: Paths, console: Console, *, progress: bool = True, dry_run: bool = False
) -> dict[str, Any]:
    """Load files into the engine at the address, or say what that would do; LoadError says what is wrong with them."""
    if not any(paths):
        raise LoadError("Nothing to load: give a file of locations, skus or levels, or the folder of a network.")
    problems = Problems()
    files = read_files(paths, problems)
    async with open_channel(address) as channel:
        try:
            plan = plan_load(files, await ask_before(channel, files), problems)
            counts = await check_with_engine(channel, plan, problems)
            problems.raise_if_any()
            if dry_run:
                return await dry_report(channel, plan, counts)
        except (ChunkRefusedError, grpc.aio.AioRpcError) as error:
            problems.raise_if_any()  # what is wrong with the files can be told without an engine
            raise LoadError(_answer(address, error, NOTHING_LOADED)) from error
        try:
            with load_progress(console, visible=progress) as bars:
                return await _write(channel, plan, bars)
        except (ChunkRefusedError, grpc.aio.AioRpcError) as error:
            raise LoadError(_answer(address, error, COMPLETES)) from error


def _answer(address: str, error: ChunkRefusedError | grpc.aio.AioRpcError, what_follows: str) -> str:
    """Say what the engine answered instead of loading."""
    if isinstance(error, ChunkRefusedError):
        error = error.error
    details = (error.details() or "").rstrip(".")
    return f"The engine at {address} answered {error.code().name}: {details}. {what_follows}"


# ---- asking ----------------------------------------------------------------------------------------------------------


def _nowhere(_count: int) -> None:
    """Show no progress."""


async def check_with_engine(channel: grpc.aio.Channel, plan: Load, problems: Problems) -> Counts:
    """Let the engine check everything without writing it, but for the network if what it stands on is wrong already."""
    counts = await _put_catalog(channel, plan, lambda _name, _total: _nowhere, problems=problems)
    if plan.network:
        folder = plan.network.folder
        own = {change.where.file for change in plan.locations or ()}
        if not any(name in own or name.startswith(f"{folder}/") for name in problems.files()):
            await _check_network(channel, plan, problems)
    return counts


async def _put_catalog(
    channel: grpc.aio.Channel,
    plan: Load,
    bar: Callable[[str, int], Advance],
    *,
    problems: Problems | None = None,
) -> Counts:
    """Send locations and skus; with problems to note, only to be checked."""

    async def put(name: str, upsert: Any, items: Sequence[Change[Any]]) -> UpsertCounts:
        if problems and any(change.where.file in problems.files() for change in items[:1]):
            return UpsertCounts()  # the engine would tell what is told already
        return await _put(channel, upsert, items, bar(name, len(items)), problems)

    network = plan.network
    return Counts(
        None if plan.locations is None else await put("locations", upsert_locations, plan.locations),
        None if plan.skus is None else await put("skus", upsert_skus, plan.skus),
        await put("routed locations", upsert_locations, network.catalog_locations) if network else UpsertCounts(),
        await put("routed skus", upsert_skus, network.catalog_skus) if network else UpsertCounts(),
    )


async def _put(
    channel: grpc.aio.Channel, upsert: Any, items: Sequence[Change[Any]], advance: Advance, problems: Problems | None
) -> UpsertCounts:
    """Send what rows change, those that give the same fields together: others may have changed the rest meanwhile."""
    by_mask: dict[tuple[str, ...], list[Change[Any]]] = {}
    for change in items:
        by_mask.setdefault(change.given, []).append(change)
    created = updated = unchanged = 0
    for mask, some in by_mask.items():
        try:
            counts = await upsert(
                channel, [each.item for each in some], advance, mask=mask, validate_only=problems is not None
            )
        except ChunkRefusedError as refused:
            if problems is None or refused.error.code() not in WRONG:
                raise
            _note_refusal(some, refused, problems)
            continue
        created += counts.created
        updated += counts.updated
        unchanged += counts.unchanged
    return UpsertCounts(created, updated, unchanged)


def _note_refusal(items: Sequence[Change[Any]], refused: ChunkRefusedError, problems: Problems) -> None:
    """Say on which line of the file the item is that the engine names as "skus[7]" of a chunk."""
    details = refused.error.details() or refused.error.code().name
    match = re.match(r"(?:locations|skus)\[(\d+)\](?:\.(\w+))?(?:\[\d+\])?:? *", details)
    index = refused.start + int(match[1]) if match else len(items)
    if match is None or index >= len(items):
        problems.add(Where(items[0].where.file), f"the engine says: {details}")
        return
    where = items[index].where._replace(part=f"column {match[2]}" if match[2] else "")
    problems.add(where, details[match.end() :])


async def _check_network(channel: grpc.aio.Channel, plan: Load, problems: Problems) -> None:
    assert plan.network is not None
    request = _network_request(plan.network)
    size = request.ByteSize()
    request.validate_only = True
    before, after = plan.before.locations, plan.catalog("locations")
    for name in (one.location_id for one in plan.network.locations):
        if name in after and (name not in before or without_output(before[name]) != after[name]):
            request.proposed_locations.append(after[name])
    folder = plan.network.folder
    if request.ByteSize() > REQUEST_BYTES_MAX:
        expected = f"a network that fits into a call of {REQUEST_BYTES_MAX} bytes"
        way_out = "give fewer places, lanes or skus" if size > REQUEST_BYTES_MAX else "load its locations first"
        problems.add(Where(folder), f"expected {expected}, was {max(size, request.ByteSize())} bytes; {way_out}.")
        return
    try:
        await NetworkServiceStub(channel).UpsertNetwork(request, timeout=DEADLINE_SECONDS)
    except grpc.aio.AioRpcError as error:
        if error.code() not in WRONG:
            raise
        for line in (error.details() or error.code().name).splitlines():
            path, _, text = line.partition(": ")
            found = where_in_files(path, plan.network.places)
            if found is None:
                problems.add(Where(folder), f"the engine says: {line}")
            else:
                problems.add(found[0], f"{found[1]}: {text}" if found[1] else text)


def _network_request(network: NetworkChange) -> network_service.UpsertNetworkRequest:
    return network_service.UpsertNetworkRequest(
        network=network.network, locations=network.locations, replace_locations=True
    )


# ---- writing ---------------------------------------------------------------------------------------------------------


async def _write(channel: grpc.aio.Channel, plan: Load, bars: Progress) -> dict[str, Any]:
    counts = await _put_catalog(channel, plan, lambda name, total: advance_bar(bars, name, total))
    level_count = policy_count = version = 0
    if plan.network:
        request = _network_request(plan.network)
        answer = await NetworkServiceStub(channel).UpsertNetwork(request, timeout=DEADLINE_SECONDS)
        version = answer.version
    if plan.levels:
        level_count = len(plan.levels.columns)
        policy_count = await set_stock(channel, plan.levels.columns, advance_bar(bars, "stock levels", level_count))
    report = report_of(plan, counts, level_count, policy_count)
    if plan.network:
        report["network"]["network_version"] = version
        plan.notes += goings(network_differences(plan))
    if plan.notes:
        report["notes"] = plan.notes
    return report
