"""Loading a catalog and its stock: from CSV files (`onhand load`), and from memory (the demo).

Files are UTF-8 (a byte order mark is tolerated) with a header row and comma-separated fields; lists are separated by
"|". Columns, those in brackets optional; an empty field of an optional column is as if the column were not there:

- locations: location_id, kind (store|warehouse|vendor), [display_name], [latitude], [longitude], [time_zone],
  [capabilities (ship|pickup|returns)], [active (true|false, true if empty)], [location_groups]
- skus: sku_id, base_unit, [display_name], [weight_milligrams], [restrictions]
- levels: sku_id, location_id, on_hand, [safety_stock], [backorder_limit]

Nothing is sent before all files are read and checked, and nothing is written before the engine has checked the catalog
as well. If the engine goes away in the middle of the writing, loading the same files again completes the work: what is
equal already stays as it is.
"""

import asyncio
import csv
import io
import json
import re
from array import array
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Protocol, TypeVar

import grpc
import numpy as np
import numpy.typing as npt
import uuid_utils
from google.protobuf.message import Message
from onhand.inventory.v1 import (
    catalog_pb2,
    catalog_service_pb2,
    catalog_service_pb2_grpc,
    inventory_service_pb2,
    inventory_service_pb2_grpc,
)
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ledger.core.limits import (
    CATALOG_ITEMS_PER_CALL_MAX,
    ID_BYTES_MAX,
    MOVEMENTS_PER_CALL_MAX,
    NAME_BYTES_MAX,
    PAGE_SIZE_MAX,
    QUANTITY_MAX,
    REQUEST_BYTES_MAX,
)

PROBLEMS_SHOWN_MAX: Final = 20
CALLS_IN_FLIGHT: Final = 4
POLICY_CALLS_IN_FLIGHT: Final = 64
DEADLINE_SECONDS: Final = 60.0
NOT_GIVEN: Final = -1

# A write is repeated only where the engine says it may be, and with the same bytes. That is harmless: what is loaded
# says what is, not what changes, so it needs no request id and leaves no trace where nothing differs.
_RETRY: Final = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 3,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Advance = Callable[[int], None]
Item = TypeVar("Item", catalog_pb2.Location, catalog_pb2.Sku)
Request = TypeVar("Request")


class LoadError(Exception):
    """Why nothing was loaded, or not all; the text is for people, one problem a line."""


@dataclass(slots=True)
class Problems:
    """What is wrong with the files: all counted, the first ones kept."""

    count: int = 0
    shown: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Note one problem."""
        self.count += 1
        if len(self.shown) < PROBLEMS_SHOWN_MAX:
            self.shown.append(text)

    def raise_if_any(self) -> None:
        """Refuse the files if anything is wrong with them."""
        if not self.count:
            return
        more = self.count - len(self.shown)
        raise LoadError("\n".join([*self.shown, *([f"… and {more} more."] if more else []), "Nothing was loaded."]))


@dataclass(frozen=True, slots=True)
class UpsertCounts:
    """What came of the rows of one file."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What was loaded; None for a file that was not given."""

    locations: UpsertCounts | None
    skus: UpsertCounts | None
    level_count: int
    policy_count: int


@dataclass(frozen=True, slots=True)
class StockColumns:
    """Stock levels as columns of one length; skus and locations are indices into the two tables of ids."""

    sku_ids: Sequence[str]
    location_ids: Sequence[str]
    sku: Int32s
    location: Int32s
    on_hand: Int64s
    safety_stock: Int64s
    """NOT_GIVEN leaves what the engine has."""
    backorder_limit: Int64s
    """NOT_GIVEN leaves what the engine has."""

    def __len__(self) -> int:
        return len(self.sku)

    def with_policy(self) -> Int64s:
        """Give the positions of the levels that say something of safety stock or backorder limit."""
        return np.flatnonzero((self.safety_stock != NOT_GIVEN) | (self.backorder_limit != NOT_GIVEN))


@dataclass(frozen=True, slots=True)
class CatalogFile:
    """A file of locations or skus, checked: its messages and the physical line of each."""

    name: str
    items: list[Any]
    lines: list[int]


@dataclass(frozen=True, slots=True)
class LevelsFile:
    """A file of stock levels, checked; `line` is the physical line of each."""

    name: str
    columns: StockColumns
    line: Int64s


# ---------------------------------------------------------------------------------------------------------------------
# Rows. A field's description is what its error message says was expected.


def _integer(value: object) -> object:
    """Take plain digits only: no sign, no point, no blank, no separator."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    raise ValueError("not plain digits")


def _bytes_up_to(limit: int, least: int = 0) -> AfterValidator:
    def check(value: str) -> str:
        if not least <= len(value.encode()) <= limit:
            raise ValueError("too short or too long")
        return value

    return AfterValidator(check)


def _split(value: object) -> object:
    return [part.strip() for part in value.split("|")] if isinstance(value, str) else value


def _distinct(values: list[str]) -> list[str]:
    if len(set(values)) != len(values):
        raise ValueError("twice the same")
    return values


Identifier = Annotated[str, _bytes_up_to(ID_BYTES_MAX, least=1), Field(description="1 to 64 bytes of UTF-8")]
Name = Annotated[str, _bytes_up_to(NAME_BYTES_MAX), Field(description="at most 256 bytes of UTF-8")]
Quantity = Annotated[
    int, BeforeValidator(_integer), Field(ge=0, le=QUANTITY_MAX, description=f"an integer from 0 to {QUANTITY_MAX}")
]
Tag = Annotated[str, _bytes_up_to(ID_BYTES_MAX, least=1)]


def _degrees(limit: int) -> Any:
    return Field(ge=-limit, le=limit, allow_inf_nan=False, description=f"a number from -{limit} to {limit}")


def _tags(limit: int) -> Any:
    return Field(
        max_length=limit, description=f'at most {limit} different words of 1 to 64 bytes of UTF-8, separated by "|"'
    )


_KINDS: Final = {
    "store": catalog_pb2.LOCATION_KIND_STORE,
    "warehouse": catalog_pb2.LOCATION_KIND_WAREHOUSE,
    "vendor": catalog_pb2.LOCATION_KIND_VENDOR,
}
_CAPABILITIES: Final = {
    "ship": catalog_pb2.LOCATION_CAPABILITY_SHIP,
    "pickup": catalog_pb2.LOCATION_CAPABILITY_PICKUP,
    "returns": catalog_pb2.LOCATION_CAPABILITY_RETURNS,
}


class LocationRow(BaseModel):
    """One row of a file of locations."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    location_id: Identifier
    kind: Annotated[Literal["store", "warehouse", "vendor"], Field(description="store, warehouse or vendor")]
    display_name: Name = ""
    latitude: Annotated[float, _degrees(90)] = 0.0
    longitude: Annotated[float, _degrees(180)] = 0.0
    time_zone: Annotated[str, Field(description="an IANA time zone")] = ""
    capabilities: Annotated[
        list[Literal["ship", "pickup", "returns"]],
        BeforeValidator(_split),
        AfterValidator(_distinct),
        Field(description='ship, pickup and returns, each at most once, separated by "|"'),
    ] = []
    active: Annotated[Literal["true", "false"], Field(description="true or false")] = "true"
    location_groups: Annotated[list[Tag], BeforeValidator(_split), AfterValidator(_distinct), _tags(64)] = []

    def message(self) -> catalog_pb2.Location:
        """Put it as the contract does."""
        return catalog_pb2.Location(
            location_id=self.location_id,
            kind=_KINDS[self.kind],
            display_name=self.display_name,
            latitude=self.latitude,
            longitude=self.longitude,
            time_zone=self.time_zone,
            capabilities=[_CAPABILITIES[name] for name in self.capabilities],
            active=self.active == "true",
            location_groups=self.location_groups,
        )


class SkuRow(BaseModel):
    """One row of a file of skus."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sku_id: Identifier
    base_unit: Annotated[str, _bytes_up_to(32, least=1), Field(description="1 to 32 bytes of UTF-8")]
    display_name: Name = ""
    weight_milligrams: Annotated[
        int, BeforeValidator(_integer), Field(ge=0, le=10**12, description=f"an integer from 0 to {10**12}")
    ] = 0
    restrictions: Annotated[list[Tag], BeforeValidator(_split), AfterValidator(_distinct), _tags(16)] = []

    def message(self) -> catalog_pb2.Sku:
        """Put it as the contract does."""
        return catalog_pb2.Sku(
            sku_id=self.sku_id,
            display_name=self.display_name,
            base_unit=self.base_unit,
            weight_milligrams=self.weight_milligrams,
            restrictions=self.restrictions,
        )


class LevelRow(BaseModel):
    """One row of a file of stock levels."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sku_id: Identifier
    location_id: Identifier
    on_hand: Quantity
    safety_stock: Quantity | None = Field(default=None, description=f"an integer from 0 to {QUANTITY_MAX}")
    backorder_limit: Quantity | None = Field(default=None, description=f"an integer from 0 to {QUANTITY_MAX}")


Row = TypeVar("Row", LocationRow, SkuRow, LevelRow)

# Fields of a stock level that a file might bring along from a report, and why they are no input.
_FOLLOWS_FROM: Final = {
    "reserved": "it follows from reservations",
    "committed": "it follows from commitments",
    "available": "it follows from the other fields",
    "oversold": "it follows from the other fields",
    "unavailable": "it follows from movements",
    "version": "the engine counts it",
    "create_time": "the engine sets it",
    "update_time": "the engine sets it",
}


# ---------------------------------------------------------------------------------------------------------------------
# Reading files. These functions send nothing.


def read_locations(path: Path, problems: Problems) -> CatalogFile:
    """Read and check a file of locations."""
    rows = [(line, row.message()) for line, row in _rows(path, LocationRow, problems)]
    _refuse_repeated_ids(path.name, [(line, item.location_id) for line, item in rows], problems)
    return CatalogFile(path.name, [item for _, item in rows], [line for line, _ in rows])


def read_skus(path: Path, problems: Problems) -> CatalogFile:
    """Read and check a file of skus."""
    rows = [(line, row.message()) for line, row in _rows(path, SkuRow, problems)]
    _refuse_repeated_ids(path.name, [(line, item.sku_id) for line, item in rows], problems)
    return CatalogFile(path.name, [item for _, item in rows], [line for line, _ in rows])


def read_levels(path: Path, problems: Problems) -> LevelsFile:
    """Read and check a file of stock levels; kept as columns, since such files are long."""
    skus: dict[str, int] = {}
    locations: dict[str, int] = {}
    columns = [array("q") for _ in range(6)]
    for line, row in _rows(path, LevelRow, problems):
        values = (
            skus.setdefault(row.sku_id, len(skus)),
            locations.setdefault(row.location_id, len(locations)),
            row.on_hand,
            NOT_GIVEN if row.safety_stock is None else row.safety_stock,
            NOT_GIVEN if row.backorder_limit is None else row.backorder_limit,
            line,
        )
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    sku, location, on_hand, safety_stock, backorder_limit, lines = (np.array(column, np.int64) for column in columns)
    file = LevelsFile(
        path.name,
        StockColumns(
            tuple(skus),
            tuple(locations),
            sku.astype(np.int32),
            location.astype(np.int32),
            on_hand,
            safety_stock,
            backorder_limit,
        ),
        lines,
    )
    _refuse_repeated_levels(file, problems)
    return file


def _rows(path: Path, model: type[Row], problems: Problems) -> Iterator[tuple[int, Row]]:
    """Give the good rows of a file with the physical line each starts on; note what is wrong with the others."""
    records = _records(path, problems)
    header_line, header = next(records, (1, None))
    if header is None or not _header_is_good(path.name, header_line, header, model, problems):
        return
    optional = frozenset(name for name, info in model.model_fields.items() if not info.is_required())
    for line, record in records:
        if len(record) != len(header):
            problems.add(f"{path.name} line {line}: expected {len(header)} fields, was {len(record)}.")
            continue
        named = {name: text for name, text in zip(header, record, strict=True) if text or name not in optional}
        try:
            yield line, model.model_validate(named)
        except ValidationError as error:
            _note_bad_fields(f"{path.name} line {line}", model, named, error, problems)


def _records(path: Path, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    """Split a file into its records, each with the physical line it starts on; empty lines are skipped."""
    text = _text(path, problems)
    if text is None:
        return
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    found = False
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader, None)
        except csv.Error as error:
            problems.add(f"{path.name} line {line}: expected comma-separated fields, was not readable: {error}.")
            return
        if record is None:
            break
        if record:
            found = True
            yield line, record
    if not found:
        problems.add(f"{path.name}: expected a header row, was empty.")


def _text(path: Path, problems: Problems) -> str | None:
    try:
        raw = path.read_bytes()
    except OSError as error:
        problems.add(f"{path}: cannot be read: {error.strerror or error}.")
        return None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # Positions count from behind the byte order mark, as error.object does.
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        problems.add(f"{path.name} line {line}: expected UTF-8, was the byte 0x{byte:02x}.")
        return None


def _header_is_good(name: str, line: int, header: list[str], model: type[BaseModel], problems: Problems) -> bool:
    before = problems.count
    known = model.model_fields
    for index, column in enumerate(header):
        where = f"{name} line {line}, column {column}"
        if column in header[:index]:
            problems.add(f"{where}: this column is there twice.")
        elif column in _FOLLOWS_FROM:
            problems.add(f"{where}: not a column that can be loaded; {_FOLLOWS_FROM[column]}.")
        elif column not in known:
            problems.add(f"{where}: not a known column; known are {', '.join(known)}.")
    for column, info in known.items():
        if info.is_required() and column not in header:
            problems.add(f"{name} line {line}: the column {column} is missing.")
    return problems.count == before


def _note_bad_fields(
    where: str, model: type[BaseModel], named: Mapping[str, str], error: ValidationError, problems: Problems
) -> None:
    columns = dict.fromkeys(str(detail["loc"][0]) for detail in error.errors(include_url=False, include_context=False))
    for column in columns:
        expected = model.model_fields[column].description
        problems.add(f'{where}, column {column}: expected {expected}, was "{named[column]}".')


def _refuse_repeated_ids(name: str, ids: list[tuple[int, str]], problems: Problems) -> None:
    first: dict[str, int] = {}
    for line, identifier in ids:
        earlier = first.setdefault(identifier, line)
        if earlier != line:
            problems.add(f"{name} line {line}: {identifier} is on line {earlier} already.")


def _refuse_repeated_levels(file: LevelsFile, problems: Problems) -> None:
    columns = file.columns
    keys = columns.sku.astype(np.int64) << 32 | columns.location
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    earlier = first[inverse]
    for index in np.flatnonzero(earlier != np.arange(len(keys))).tolist():
        level = f"{columns.sku_ids[columns.sku[index]]} at {columns.location_ids[columns.location[index]]}"
        problems.add(f"{file.name} line {file.line[index]}: {level} is on line {file.line[earlier[index]]} already.")


# ---------------------------------------------------------------------------------------------------------------------
# Sending. Everything goes through these, the demo's catalog and stock as well.


def open_channel(address: str) -> grpc.aio.Channel:
    """Open a channel that repeats a call, with the same bytes, while the engine answers UNAVAILABLE: about 2 s."""
    options = (("grpc.service_config", json.dumps(_RETRY)), ("grpc.max_receive_message_length", 64 * 1024 * 1024))
    return grpc.aio.insecure_channel(address, options=options)


def new_request_id() -> str:
    """Make a UUIDv7: the engine can tell one that is too old from one it has never seen."""
    return str(uuid_utils.uuid7())


async def upsert_locations(
    channel: grpc.aio.Channel,
    locations: Sequence[catalog_pb2.Location],
    advance: Advance,
    *,
    validate_only: bool = False,
) -> UpsertCounts:
    """Create or replace locations. AioRpcError as UpsertLocations."""
    stub = catalog_service_pb2_grpc.CatalogServiceStub(channel)

    def request(chunk: Sequence[catalog_pb2.Location]) -> catalog_service_pb2.UpsertLocationsRequest:
        return catalog_service_pb2.UpsertLocationsRequest(locations=chunk, validate_only=validate_only)

    return await _upsert(locations, request, stub.UpsertLocations, advance)


async def upsert_skus(
    channel: grpc.aio.Channel, skus: Sequence[catalog_pb2.Sku], advance: Advance, *, validate_only: bool = False
) -> UpsertCounts:
    """Create or replace skus. AioRpcError as UpsertSkus."""
    stub = catalog_service_pb2_grpc.CatalogServiceStub(channel)

    def request(chunk: Sequence[catalog_pb2.Sku]) -> catalog_service_pb2.UpsertSkusRequest:
        return catalog_service_pb2.UpsertSkusRequest(skus=chunk, validate_only=validate_only)

    return await _upsert(skus, request, stub.UpsertSkus, advance)


async def set_stock(channel: grpc.aio.Channel, columns: StockColumns, advance: Advance) -> int:
    """Set what is on hand, and the policies where they are given; returns how many policies. AioRpcError as SetOnHand.

    Safety stock is set before the count where both are given, so that no unit of it can be promised in between.
    """
    stub = inventory_service_pb2_grpc.InventoryServiceStub(channel)
    with_policy = columns.with_policy()

    async def set_policy(request: inventory_service_pb2.SetStockPolicyRequest) -> None:
        await stub.SetStockPolicy(request, timeout=DEADLINE_SECONDS)

    async def set_on_hand(request: inventory_service_pb2.SetOnHandRequest) -> None:
        await stub.SetOnHand(request, timeout=DEADLINE_SECONDS)
        advance(len(request.counts))

    await _send_all(_policy_requests(columns, with_policy), set_policy, POLICY_CALLS_IN_FLIGHT)
    await _send_all(_count_requests(columns), set_on_hand, CALLS_IN_FLIGHT)
    return len(with_policy)


class _UpsertResponse(Protocol):
    created_count: int
    updated_count: int
    unchanged_count: int


class _Call(Protocol):
    def __call__(self, request: Any, *, timeout: float) -> Awaitable[_UpsertResponse]: ...


class ChunkRefusedError(Exception):
    """A chunk of the catalog was refused: where it starts among all items, and by what."""

    def __init__(self, start: int, error: grpc.aio.AioRpcError) -> None:
        super().__init__(error.details())
        self.start = start
        self.error = error


async def _upsert(
    items: Sequence[Item], request: Callable[[Sequence[Item]], Message], call: Any, advance: Advance
) -> UpsertCounts:
    """Send items in chunks, in order: the catalog is small beside the stock."""
    send: _Call = call
    created = updated = unchanged = 0
    for start, chunk in _chunks(items):
        try:
            response = await send(request(chunk), timeout=DEADLINE_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise ChunkRefusedError(start, error) from error
        created += response.created_count
        updated += response.updated_count
        unchanged += response.unchanged_count
        advance(len(chunk))
    return UpsertCounts(created, updated, unchanged)


def _chunks(items: Sequence[Item]) -> Iterator[tuple[int, Sequence[Item]]]:
    """Cut items into chunks that a call may carry, by count and by bytes; each with the index of its first."""
    bytes_max = REQUEST_BYTES_MAX * 3 // 4
    start = chunk_bytes = 0
    for index, item in enumerate(items):
        item_bytes = item.ByteSize() + 8
        if index - start == CATALOG_ITEMS_PER_CALL_MAX or chunk_bytes + item_bytes > bytes_max:
            yield start, items[start:index]
            start, chunk_bytes = index, 0
        chunk_bytes += item_bytes
    if start < len(items):
        yield start, items[start:]


def _count_requests(columns: StockColumns) -> Iterator[inventory_service_pb2.SetOnHandRequest]:
    skus, locations = columns.sku_ids, columns.location_ids
    for start in range(0, len(columns), MOVEMENTS_PER_CALL_MAX):
        part = slice(start, start + MOVEMENTS_PER_CALL_MAX)
        rows = zip(
            columns.sku[part].tolist(), columns.location[part].tolist(), columns.on_hand[part].tolist(), strict=True
        )
        yield inventory_service_pb2.SetOnHandRequest(
            counts=[
                inventory_service_pb2.OnHandCount(sku_id=skus[sku], location_id=locations[location], on_hand=on_hand)
                for sku, location, on_hand in rows
            ],
            actor="onhand load",
        )


def _policy_requests(columns: StockColumns, positions: Int64s) -> Iterator[inventory_service_pb2.SetStockPolicyRequest]:
    for position in positions.tolist():
        safety_stock = int(columns.safety_stock[position])
        backorder_limit = int(columns.backorder_limit[position])
        yield inventory_service_pb2.SetStockPolicyRequest(
            sku_id=columns.sku_ids[columns.sku[position]],
            location_id=columns.location_ids[columns.location[position]],
            safety_stock=None if safety_stock == NOT_GIVEN else safety_stock,
            backorder_limit=None if backorder_limit == NOT_GIVEN else backorder_limit,
            actor="onhand load",
        )


async def _send_all(requests: Iterator[Request], send: Callable[[Request], Awaitable[None]], in_flight: int) -> None:
    """Send requests with so many in flight; the first error ends it."""

    async def worker() -> None:
        for request in requests:
            await send(request)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(worker())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


# ---------------------------------------------------------------------------------------------------------------------
# The command.


async def load_files(
    address: str,
    locations: Path | None,
    skus: Path | None,
    levels: Path | None,
    console: Console,
    *,
    progress: bool = True,
) -> LoadReport:
    """Load the given files into the engine at the address; LoadError says what is wrong with them."""
    if locations is None and skus is None and levels is None:
        raise LoadError("Nothing to load: give a file of locations, skus or levels.")
    problems = Problems()
    location_file = read_locations(locations, problems) if locations else None
    sku_file = read_skus(skus, problems) if skus else None
    level_file = read_levels(levels, problems) if levels else None
    problems.raise_if_any()
    try:
        async with open_channel(address) as channel:
            await _check_with_engine(channel, location_file, sku_file, level_file)
            with load_progress(console, visible=progress) as bars:
                return await _write(channel, location_file, sku_file, level_file, bars)
    except ChunkRefusedError as refused:
        raise LoadError(told_answer(address, refused.error)) from refused
    except grpc.aio.AioRpcError as error:
        raise LoadError(told_answer(address, error)) from error


def load_progress(console: Console, *, visible: bool) -> Progress:
    """Make the progress bars of a load."""
    columns = (TextColumn("{task.description:<20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, disable=not visible)


def advance_bar(bars: Progress, name: str, total: int) -> Advance:
    """Add a bar and give what moves it."""
    task = bars.add_task(name, total=total)
    return lambda count: bars.advance(task, count)


async def _write(
    channel: grpc.aio.Channel,
    location_file: CatalogFile | None,
    sku_file: CatalogFile | None,
    level_file: LevelsFile | None,
    bars: Progress,
) -> LoadReport:
    location_counts = sku_counts = None
    level_count = policy_count = 0
    if location_file:
        bar = advance_bar(bars, "locations", len(location_file.items))
        location_counts = await upsert_locations(channel, location_file.items, bar)
    if sku_file:
        sku_counts = await upsert_skus(channel, sku_file.items, advance_bar(bars, "skus", len(sku_file.items)))
    if level_file:
        level_count = len(level_file.columns)
        policy_count = await set_stock(channel, level_file.columns, advance_bar(bars, "stock levels", level_count))
    return LoadReport(location_counts, sku_counts, level_count, policy_count)


async def _check_with_engine(
    channel: grpc.aio.Channel,
    location_file: CatalogFile | None,
    sku_file: CatalogFile | None,
    level_file: LevelsFile | None,
) -> None:
    """Let the engine check the catalog without writing it, and look up what the levels name and the files do not."""
    problems = Problems()
    if location_file:
        await _dry_run(
            location_file, upsert_locations(channel, location_file.items, _nowhere, validate_only=True), problems
        )
    if sku_file:
        await _dry_run(sku_file, upsert_skus(channel, sku_file.items, _nowhere, validate_only=True), problems)
    if level_file:
        known = {item.sku_id for item in sku_file.items} if sku_file else set()
        if not known.issuperset(level_file.columns.sku_ids):
            known |= await _sku_ids_of_engine(channel)
        refuse_unknown(level_file, "sku", known, problems)
        known = {item.location_id for item in location_file.items} if location_file else set()
        if not known.issuperset(level_file.columns.location_ids):
            known |= await _location_ids_of_engine(channel)
        refuse_unknown(level_file, "location", known, problems)
    problems.raise_if_any()


def _nowhere(_count: int) -> None:
    """Show no progress."""


async def _dry_run(file: CatalogFile, upsert: Awaitable[UpsertCounts], problems: Problems) -> None:
    try:
        await upsert
    except ChunkRefusedError as refused:
        if refused.error.code() == grpc.StatusCode.UNAVAILABLE:
            raise
        problems.add(name_line(file, refused.start, refused.error.details() or refused.error.code().name))


def name_line(file: CatalogFile, start: int, details: str) -> str:
    """Say on which line of the file the item is that the engine names as "skus[7]" of a chunk."""
    match = re.match(r"(?:locations|skus)\[(\d+)\](?:\.(\w+))?:? *", details)
    index = start + int(match[1]) if match else len(file.lines)
    if match is None or index >= len(file.lines):
        return f"{file.name}: the engine says: {details}"
    column = f", column {match[2]}" if match[2] else ""
    return f"{file.name} line {file.lines[index]}{column}: {details[match.end() :]}"


def refuse_unknown(file: LevelsFile, what: Literal["sku", "location"], known: set[str], problems: Problems) -> None:
    """Note every level whose sku or location neither the files nor the engine know."""
    columns = file.columns
    ids = columns.sku_ids if what == "sku" else columns.location_ids
    unknown = np.array([identifier not in known for identifier in ids], np.bool_)
    used = columns.sku if what == "sku" else columns.location
    for position in np.flatnonzero(unknown[used]).tolist():
        where = f"{file.name} line {file.line[position]}, column {what}_id"
        problems.add(f'{where}: expected a {what} of the files or of the engine, was "{ids[used[position]]}".')


async def _sku_ids_of_engine(channel: grpc.aio.Channel) -> set[str]:
    stub = catalog_service_pb2_grpc.CatalogServiceStub(channel)
    found: set[str] = set()
    token = ""
    while True:
        request = catalog_service_pb2.ListSkusRequest(page_size=PAGE_SIZE_MAX, page_token=token)
        page = await stub.ListSkus(request, timeout=DEADLINE_SECONDS)
        found.update(sku.sku_id for sku in page.skus)
        token = page.next_page_token
        if not token:
            return found


async def _location_ids_of_engine(channel: grpc.aio.Channel) -> set[str]:
    stub = catalog_service_pb2_grpc.CatalogServiceStub(channel)
    found: set[str] = set()
    token = ""
    while True:
        request = catalog_service_pb2.ListLocationsRequest(page_size=PAGE_SIZE_MAX, page_token=token)
        page = await stub.ListLocations(request, timeout=DEADLINE_SECONDS)
        found.update(location.location_id for location in page.locations)
        token = page.next_page_token
        if not token:
            return found


def told_answer(address: str, error: grpc.aio.AioRpcError) -> str:
    """Say what the engine answered instead of loading."""
    answer = f"The engine at {address} answered {error.code().name}: {(error.details() or '').rstrip('.')}."
    return f"{answer} Loading the same files again completes what was begun."
