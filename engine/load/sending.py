"""Writing to the engine: the loader, the demo and the benchmarks send catalogs and stock by these."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import grpc
import numpy as np
import numpy.typing as npt
import uuid_utils
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from onhand.inventory.v1 import (
    catalog_pb2,
    catalog_service_pb2,
    catalog_service_pb2_grpc,
    inventory_service_pb2,
    inventory_service_pb2_grpc,
)
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ledger.core.limits import CATALOG_ITEMS_PER_CALL_MAX, MOVEMENTS_PER_CALL_MAX, PAGE_SIZE_MAX, REQUEST_BYTES_MAX

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


@dataclass(frozen=True, slots=True)
class UpsertCounts:
    """What came of the rows of one file."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0


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
    mask: Sequence[str] = (),
    validate_only: bool = False,
) -> UpsertCounts:
    """Create locations, and change those that exist: by the fields of the mask, or by all. ChunkRefusedError."""
    stub = catalog_service_pb2_grpc.CatalogServiceStub(channel)

    def request(chunk: Sequence[catalog_pb2.Location]) -> catalog_service_pb2.UpsertLocationsRequest:
        return catalog_service_pb2.UpsertLocationsRequest(
            locations=chunk, update_mask=FieldMask(paths=mask), validate_only=validate_only
        )

    return await _upsert(locations, request, stub.UpsertLocations, advance)


async def upsert_skus(
    channel: grpc.aio.Channel,
    skus: Sequence[catalog_pb2.Sku],
    advance: Advance,
    *,
    mask: Sequence[str] = (),
    validate_only: bool = False,
) -> UpsertCounts:
    """Create skus, and change those that exist: by the fields of the mask, or by all. ChunkRefusedError."""
    stub = catalog_service_pb2_grpc.CatalogServiceStub(channel)

    def request(chunk: Sequence[catalog_pb2.Sku]) -> catalog_service_pb2.UpsertSkusRequest:
        return catalog_service_pb2.UpsertSkusRequest(
            skus=chunk, update_mask=FieldMask(paths=mask), validate_only=validate_only
        )

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


def load_progress(console: Console, *, visible: bool) -> Progress:
    """Make the progress bars of a load."""
    columns = (TextColumn("{task.description:<20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, disable=not visible)


def advance_bar(bars: Progress, name: str, total: int) -> Advance:
    """Add a bar and give what moves it."""
    task = bars.add_task(name, total=total)
    return lambda count: bars.advance(task, count)


async def all_pages(method: Any, request: Message, name: str) -> AsyncIterator[Any]:
    """Yield everything of a list, page by page. AioRpcError as the method."""
    page_request: Any = type(request)()
    page_request.CopyFrom(request)
    page_request.page_size = PAGE_SIZE_MAX
    while True:
        page = await method(page_request, timeout=DEADLINE_SECONDS)
        for one in getattr(page, name):
            yield one
        page_request.page_token = page.next_page_token
        if not page.next_page_token:
            return
