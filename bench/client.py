"""The client package beside the plain stub: reservations awaited one by one by many at once, in one process."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Final, NamedTuple

import grpc
import uuid_utils
import uvloop
from onhand.client import AsyncClient
from onhand.inventory.v1.reservation_service_pb2_grpc import ReservationServiceStub

from bench.client_process import ClientProcess
from bench.names import TTL_SECONDS, location_name, sku_name
from bench.rows import Question, Row, Run, Sample, Target
from bench.shop import Shop, reserve_request

SKUS: Final = 1_000
WAITING: Final = 2_000
"""How many await a reservation at any time."""
CONNECTING: Final = 1
"""Reservations that are made before the clock starts, so that connecting is not measured."""
DEADLINE_SECONDS: Final = 60.0
QUESTION: Final = Question(
    "client",
    "reservations/s",
    f"one client process on uvloop, {WAITING:,} tasks that each await one reservation after another; "
    f"{SKUS:,} skus; unique request ids",
    "grpc.aio stub",
    Target("ratio", "≥", 10),
)
QUESTIONS: Final = (QUESTION,)

Reserve = Callable[[int], Awaitable[object]]
"""Reserves one unit of the n-th sku."""


class Sizes(NamedTuple):
    """Reservations of each task in one measurement."""

    package: int
    stub: int


FULL: Final = Sizes(package=50, stub=5)
QUICK: Final = Sizes(package=1, stub=1)


def measure(run: Run) -> Iterator[Row]:
    """Answer QUESTIONS."""
    sizes = QUICK if run.is_quick else FULL
    with Shop(SKUS, locations=1) as shop, ClientProcess() as client:
        sides = (
            partial(_reserve, shop, client, reserve_by_package, sizes.package),
            partial(_reserve, shop, client, reserve_by_stub, sizes.stub),
        )
        yield run.row(QUESTION, *run.in_turn(*sides))


def _reserve(shop: Shop, client: ClientProcess, reserve: Callable[[str, int], float], each: int) -> Sample:
    seconds = client.call(reserve, shop.address, each)
    count = WAITING * each
    return Sample(count / seconds, shop.check(count + CONNECTING))


# ---- what runs in the client process; whatever is refused is raised --------------------------------------------------


def reserve_by_package(address: str, each: int) -> float:
    """Reserve through the client package; returns the seconds it took."""
    return uvloop.run(_by_package(address, each))


async def _by_package(address: str, each: int) -> float:
    names = [sku_name(number) for number in range(SKUS)]
    location = location_name(0)
    async with AsyncClient(address, deadline_seconds=DEADLINE_SECONDS) as client:

        def reserve(number: int) -> Awaitable[object]:
            return client.reserve(((names[number], location, 1),), ttl_seconds=TTL_SECONDS)

        return await _all_waiting(reserve, each)


def reserve_by_stub(address: str, each: int) -> float:
    """Reserve through the generated stub; returns the seconds it took."""
    return uvloop.run(_by_stub(address, each))


async def _by_stub(address: str, each: int) -> float:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = ReservationServiceStub(channel)

        def reserve(number: int) -> Awaitable[object]:
            request = reserve_request(number, 0)
            request.request_id = str(uuid_utils.uuid7())
            return stub.ReserveStock(request, timeout=DEADLINE_SECONDS)

        return await _all_waiting(reserve, each)


async def _all_waiting(reserve: Reserve, each: int) -> float:
    """Let WAITING tasks make `each` reservations; returns the seconds until the last one."""

    async def reserve_one_after_another(first: int) -> None:
        for number in range(first, first + each):
            await reserve(number % SKUS)

    for _ in range(CONNECTING):
        await reserve(0)
    started = time.perf_counter()
    await asyncio.gather(*(reserve_one_after_another(first) for first in range(WAITING)))
    return time.perf_counter() - started
