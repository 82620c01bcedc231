"""Bulk calls from a client process: encoded before the clock starts, sent some in flight, checked after it stopped."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import grpc
import numpy as np
import uvloop
from numpy.typing import NDArray
from onhand.columns import RequestColumns, ResponseColumns, dtypes_of, read_column, write_column
from onhand.inventory.v1 import bulk_service_pb2 as service

from bench.names import TTL_SECONDS, UNITS_PER_LEVEL, location_name, sku_name
from bench.request_ids import random_request_ids
from bench.rows import BenchError
from ledger.core.limits import COMMANDS_PER_CALL_MAX, LINES_PER_CALL_MAX, MICROSECONDS, MOVEMENTS_PER_CALL_MAX

BULK_PATH: Final = "/onhand.inventory.v1.BulkService/ExecuteCommands"
CALLS_IN_FLIGHT: Final = 6
SKUS_PER_CALL: Final = 1_000
LOCATIONS_PER_CALL: Final = 10
CALL_SECONDS_MAX: Final = 60.0
NANOSECONDS_PER_MICROSECOND: Final = 1_000
DESCRIPTION: Final = (
    f"one client process, {CALLS_IN_FLIGHT} calls of {COMMANDS_PER_CALL_MAX:,} reservations in flight, encoded before "
    f"the clock starts; unique request ids; string skus, {SKUS_PER_CALL:,} a call"
)

_REQUEST: Final = dtypes_of(service.ExecuteCommandsRequest)
_RESPONSE: Final = dtypes_of(service.ExecuteCommandsResponse)
_OPTIONS: Final = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@dataclass(frozen=True, kw_only=True)
class BulkLoad:
    """Reservations of one unit, COMMANDS_PER_CALL_MAX a call."""

    address: str
    calls: int
    skus: int
    """Skus there are; each call speaks of SKUS_PER_CALL of them, drawn at random."""
    locations: int
    is_hot: bool = False
    """Everything reserves one stock level; the calls are as large."""
    end_time_us: int = 0
    """If not 0: holds end in the second from this instant on, spread evenly, microseconds since the epoch."""


class BulkResult(NamedTuple):
    """What came of it."""

    reserve_count: int
    seconds: float
    ok_count: int

    @property
    def wrong(self) -> list[str]:
        """Say so if something was not reserved."""
        refused = self.reserve_count - self.ok_count
        return [f"reservations refused: expected 0, was {refused:,}"] if refused else []


def reserve_in_bulk(load: BulkLoad) -> BulkResult:
    """Send the calls, CALLS_IN_FLIGHT at a time; runs in a client process."""
    random = np.random.default_rng()
    requests = [reserve_call(load, random) for _ in range(load.calls)]
    responses, seconds = uvloop.run(_send(load.address, requests, lambda: ttl_column(load, random)))
    ok_count = sum(_ok_count(response) for response in responses)
    return BulkResult(load.calls * COMMANDS_PER_CALL_MAX, seconds, ok_count)


def reserve_call(load: BulkLoad, random: np.random.Generator) -> bytes:
    """Return one call's bytes, but for its ttls."""
    count = COMMANDS_PER_CALL_MAX
    skus = random.choice(load.skus, min(SKUS_PER_CALL, load.skus), replace=False)
    locations = random.choice(load.locations, min(LOCATIONS_PER_CALL, load.locations), replace=False)
    if load.is_hot:
        skus[0] = locations[0] = 0
    drawn = 1 if load.is_hot else len(skus)
    request = RequestColumns(
        sku_ids=[sku_name(number) for number in skus.tolist()],
        location_ids=[location_name(number) for number in locations.tolist()],
        request_ids=random_request_ids(count, random).tobytes(),
    )
    columns = {
        "operations": np.full(count, service.COMMAND_OPERATION_RESERVE),
        "sku_indexes": random.integers(0, drawn, count),
        "location_indexes": random.integers(0, 1 if load.is_hot else len(locations), count),
        "quantities": np.ones(1),
    }
    return _serialized(request, columns)


def ttl_column(load: BulkLoad, random: np.random.Generator) -> bytes:
    """Return the bytes of the ttls, made when a call is sent: the parts of a message may stand one after the other."""
    if load.end_time_us == 0:
        return _serialized(RequestColumns(), {"ttl_us": np.full(1, TTL_SECONDS * MICROSECONDS)})
    left = load.end_time_us - time.time_ns() // NANOSECONDS_PER_MICROSECOND
    return _serialized(RequestColumns(), {"ttl_us": left + random.integers(0, MICROSECONDS, COMMANDS_PER_CALL_MAX)})


def _serialized(request: Any, columns: dict[str, NDArray[Any]]) -> bytes:
    for name, values in columns.items():
        write_column(getattr(request, name), values, _REQUEST[name])
    serialized: bytes = request.SerializeToString()
    return serialized


async def _send(
    address: str, requests: Sequence[bytes], last_part: Callable[[], bytes] = bytes
) -> tuple[list[bytes], float]:
    """Return the responses, and the seconds from the first request to the last response."""
    waiting = iter(requests)
    responses: list[bytes] = []
    async with grpc.aio.insecure_channel(address, options=_OPTIONS) as channel:
        call: Any = channel.unary_unary(BULK_PATH)
        await channel.channel_ready()

        async def send_one_after_another() -> None:
            for request in waiting:
                responses.append(await call(request + last_part(), timeout=CALL_SECONDS_MAX))  # noqa: PERF401 - shared by all senders

        started = time.perf_counter()
        await asyncio.gather(*(send_one_after_another() for _ in range(CALLS_IN_FLIGHT)))
        return responses, time.perf_counter() - started


def _ok_count(response: bytes) -> int:
    statuses = read_column(ResponseColumns.FromString(response).statuses, _RESPONSE["statuses"])
    return int(np.count_nonzero(statuses == service.COMMAND_STATUS_OK))


# ---- stock -----------------------------------------------------------------------------------------------------------


def count_in_bulk(address: str, skus: int, locations: int) -> None:
    """Count UNITS_PER_LEVEL of every sku at every location.

    Raises
    ------
    BenchError
        A count was refused.
    """
    requests = count_calls(skus, locations)
    responses, _ = uvloop.run(_send(address, [request for request, _ in requests]))
    refused = sum(commands for _, commands in requests) - sum(map(_ok_count, responses))
    if refused:
        raise BenchError(f"counts: expected all to be accepted, {refused} were refused")


def count_calls(skus: int, locations: int) -> list[tuple[bytes, int]]:
    """Return calls of as many lines as fit, each with its number of commands."""
    step = LINES_PER_CALL_MAX // locations
    assert step > 0, "one sku at all locations fits into a call"
    return [_count_call(range(first, min(first + step, skus)), locations) for first in range(0, skus, step)]


def _count_call(skus: range, locations: int) -> tuple[bytes, int]:
    """Return one call, in commands of as many lines as fit, and their number."""
    sku, location = np.divmod(np.arange(len(skus) * locations), locations)
    ends = np.minimum(np.arange(0, len(sku), MOVEMENTS_PER_CALL_MAX) + MOVEMENTS_PER_CALL_MAX, len(sku))
    request = RequestColumns(
        sku_ids=[sku_name(number) for number in skus],
        location_ids=[location_name(number) for number in range(locations)],
    )
    columns = {
        "operations": np.full(len(ends), service.COMMAND_OPERATION_SET_ON_HAND),
        "line_counts": np.diff(ends, prepend=0),
        "sku_indexes": sku,
        "location_indexes": location,
        "quantities": np.full(1, UNITS_PER_LEVEL),
    }
    return _serialized(request, columns), len(ends)
