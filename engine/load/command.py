"""A load from end to end: read and check every file, let the engine check it, say what differs, and only then write."""

import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import grpc
from google.protobuf.message import Message
from onhand.inventory.v1 import (
    catalog_pb2,
    catalog_service_pb2,
    catalog_service_pb2_grpc,
    inventory_service_pb2,
    inventory_service_pb2_grpc,
    stock_pb2,
)
from onhand.routing.v1 import network_service_pb2 as network_service
from onhand.routing.v1.network_service_pb2_grpc import NetworkServiceStub
from rich.console import Console
from rich.progress import Progress

from engine.load import changes
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
    without_output,
)
from engine.load.network import (
    CATALOG_FIELDS,
    SKU_FIELDS,
    Folder,
    NetworkChange,
    capabilities_of,
    change_of,
    read_folder,
    where_in_files,
)
from engine.load.problems import NOTHING_LOADED, LoadError, Problems, Where
from engine.load.schema import CAPABILITIES, LOCATIONS, SKUS
from engine.load.sending import (
    DEADLINE_SECONDS,
    Advance,
    ChunkRefusedError,
    UpsertCounts,
    advance_bar,
    all_pages,
    load_progress,
    open_channel,
    set_stock,
    upsert_locations,
    upsert_skus,
)
from ledger.core.limits import REQUEST_BYTES_MAX
from routing.limits import RESTRICTIONS_MAX

COMPLETES: Final = "Loading the same files again completes what was begun."
NAMES_SHOWN_MAX: Final = 10
WRONG: Final = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
"""What the engine answers to what is wrong in files; anything else is about the engine."""


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
                return await _dry_report(channel, plan, counts)
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


# ---- reading ---------------------------------------------------------------------------------------------------------


def read_files(paths: Paths, problems: Problems) -> Files:
    """Read every file by itself; sends nothing."""
    given = [path.name for path in paths[:3] if path]

    def name_of(path: Path) -> str:
        return path.name if given.count(path.name) == 1 else str(path)

    return Files(
        locations=read_table(paths.locations, name_of(paths.locations), LOCATIONS, problems)
        if paths.locations
        else None,
        skus=read_table(paths.skus, name_of(paths.skus), SKUS, problems) if paths.skus else None,
        levels=read_levels(paths.levels, name_of(paths.levels), problems) if paths.levels else None,
        network=read_folder(paths.network, problems) if paths.network else None,
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
        try:
            answer = await networks.GetNetwork(network_service.GetNetworkRequest(), timeout=DEADLINE_SECONDS)
            before.network = answer.network
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.FAILED_PRECONDITION:  # NETWORK_NOT_FOUND: this is the first one
                raise
    return before


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
    _refuse_many_restrictions(plan, problems)
    plan.notes += list(_disagreements(plan))[:NAMES_SHOWN_MAX]
    return plan


def _refuse_many_restrictions(plan: Load, problems: Problems) -> None:
    """Note the first row with which there are more restrictions in all than routing can tell apart."""
    changes = [*(plan.skus or ()), *(plan.network.catalog_skus if plan.network else ())]
    changed = {change.item.sku_id for change in changes}
    found = {name for sku_id, sku in plan.before.skus.items() if sku_id not in changed for name in sku.restrictions}
    for change in changes:
        found.update(change.item.restrictions)
        if len(found) > RESTRICTIONS_MAX:
            expected = f"at most {RESTRICTIONS_MAX} different words in all skus together"
            where = change.where._replace(part="column restrictions")
            problems.add(where, f"expected {expected}, was {len(found)} with this row.")
            return


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
                "orders are routed by the methods."
            )


# ---- asking ----------------------------------------------------------------------------------------------------------


class Counts(NamedTuple):
    """What came of rows: of the files of the catalog, and of a network's."""

    locations: UpsertCounts | None = None
    skus: UpsertCounts | None = None
    routed_locations: UpsertCounts = UpsertCounts()
    routed_skus: UpsertCounts = UpsertCounts()


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
    before = plan.before.locations
    request.proposed_locations.extend(
        item
        for name, item in plan.catalog("locations").items()
        if name not in before or without_output(before[name]) != item
    )
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
    report = _report(plan, counts, level_count, policy_count)
    if plan.network:
        report["network"]["network_version"] = version
        plan.notes += _goings(_network_differences(plan))
    if plan.notes:
        report["notes"] = plan.notes
    return report


def _goings(differences: Iterable[changes.Difference]) -> list[str]:
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


def _report(plan: Load, counts: Counts, level_count: int, policy_count: int) -> dict[str, Any]:
    report: dict[str, Any] = {}
    if plan.locations is not None or plan.skus is not None or plan.levels:
        report["locations"] = asdict(counts.locations) if counts.locations else None
        report["skus"] = asdict(counts.skus) if counts.skus else None
        report["level_count"] = level_count
        report["policy_count"] = policy_count
    if plan.network:
        network = plan.network.network
        profiles = [one for one in _network_differences(plan) if one.kind == "profile"]
        default = network.default_profile or network.profiles[0].name
        report["network"] = {
            "locations": asdict(counts.routed_locations),
            "skus": asdict(counts.routed_skus),
            "profile_count": len(network.profiles),
            "default_profile": next(f"{one.name}@{one.version}" for one in network.profiles if one.name == default),
            **{
                f"profiles_{change}": [one.name for one in profiles if one.change == change]
                for change in (changes.CREATED, changes.CHANGED, changes.REMOVED)
            },
        }
    return report


def _network_differences(plan: Load) -> list[changes.Difference]:
    assert plan.network is not None
    after = {one.location_id: one for one in plan.network.locations}
    return [
        *changes.of_network(plan.before.network, plan.network.network),
        *changes.of_messages("routing of location", plan.before.routing, after, goes=True),
    ]


async def _dry_report(channel: grpc.aio.Channel, plan: Load, counts: Counts) -> dict[str, Any]:
    """Say what would be different, first of all, and what would be counted."""
    differences = [
        *changes.of_messages("location", plan.before.locations, plan.catalog("locations")),
        *changes.of_messages("sku", plan.before.skus, plan.catalog("skus")),
        *(_network_differences(plan) if plan.network else ()),
    ]
    level_count = policy_count = 0
    if plan.levels:
        levels = await _levels_before(channel, plan.levels)
        differences += changes.of_levels(plan.levels, levels)
        level_count, policy_count = len(plan.levels.columns), len(plan.levels.columns.with_policy())
    report = {"differences": [one.as_json() for one in differences], "dry_run": True}
    report |= _report(plan, counts, level_count, policy_count)
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
