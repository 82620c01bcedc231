"""BatchGetAvailability, one sku over some locations, at its peak."""

from collections.abc import Iterator
from functools import partial
from typing import Final

import grpc
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub

from bench.h2load import DESCRIPTION, FRAME_BYTES, run_h2load
from bench.names import UNITS_PER_LEVEL, sku_name
from bench.peers.echo import EchoServer
from bench.rows import Question, Row, Run, Sample
from bench.shop import AVAILABILITY_PATH, CALL_SECONDS, Shop
from bench.unary import ECHO_NAME, call_echo

LOCATIONS: Final = 10
CONDITIONS: Final = f"{DESCRIPTION}; one sku over {LOCATIONS} locations a call"
QUESTION: Final = Question("reads", "calls/s", CONDITIONS, ECHO_NAME)
QUESTIONS: Final = (QUESTION,)
CALLS_FULL: Final = 60_000
ECHO_CALLS_FULL: Final = 20_000
CALLS_QUICK: Final = 400


def measure(run: Run) -> Iterator[Row]:
    """Answer QUESTIONS."""
    count, echo_count = (CALLS_QUICK, CALLS_QUICK) if run.is_quick else (CALLS_FULL, ECHO_CALLS_FULL)
    with Shop(skus=1, locations=LOCATIONS) as shop, EchoServer() as echo:
        ours, echoed = run.in_turn(partial(_read, shop, count), partial(call_echo, echo, echo_count))
    yield run.row(QUESTION, ours, echoed)


def _read(shop: Shop, count: int) -> Sample:
    request = inventory.BatchGetAvailabilityRequest(sku_ids=[sku_name(0)])
    load = run_h2load(shop.address, AVAILABILITY_PATH, [request], count)
    expected = count * (FRAME_BYTES + _answer_bytes(shop, request))
    wrong = [] if load.body_bytes == expected else [f"answers: expected {expected:,} bytes, was {load.body_bytes:,}"]
    return Sample(load.requests_per_second, [*load.wrong, *wrong])


def _answer_bytes(shop: Shop, request: inventory.BatchGetAvailabilityRequest) -> int:
    """Return how long the right answer is; it stays the same while nothing is written."""
    with grpc.insecure_channel(shop.address) as channel:
        response = InventoryServiceStub(channel).BatchGetAvailability(request, timeout=CALL_SECONDS)
    assert response.skus[0].available == LOCATIONS * UNITS_PER_LEVEL
    return response.ByteSize()
