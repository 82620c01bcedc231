"""Latency of ReserveStock at a rate that is offered whatever the engine does, beside a server that does nothing."""

import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, NamedTuple

import numpy as np

from bench.client_process import ClientProcess
from bench.load.open_loop import CONNECTIONS, Measurements, run_open_loop
from bench.peers.echo import ECHO_PATH, EchoServer
from bench.request_ids import random_request_ids
from bench.rows import Question, Row, Run, Sample, Target
from bench.shop import RESERVE_PATH, Shop, reserve_request
from bench.unary import ECHO_NAME

RATE: Final = 2_000
PERCENTILE: Final = 99
SKUS: Final = 100
MICROSECONDS_PER_MILLISECOND: Final = 1_000
QUESTION: Final = Question(
    "unary_open_loop",
    "ms p99",
    f"{RATE:,} calls/s offered, latency from the planned send; {CONNECTIONS} connections; {SKUS} skus; "
    "unique request ids",
    ECHO_NAME,
    Target("ratio", "≤", 3),
)
QUESTIONS: Final = (QUESTION,)
SECONDS_FULL: Final = 4.0
SECONDS_QUICK: Final = 0.2


class Paced(NamedTuple):
    """What came of calls at a rate; comes back from the client process."""

    p99_ms: float
    call_count: int
    failed_count: int


def measure(run: Run) -> Iterator[Row]:
    """Answer QUESTIONS."""
    seconds = SECONDS_QUICK if run.is_quick else SECONDS_FULL
    with Shop(skus=SKUS, locations=1) as shop, EchoServer() as echo, ClientProcess() as client:
        ours, echoed = run.in_turn(partial(_reserve, shop, client, seconds), partial(_echo, echo, client, seconds))
    yield run.row(QUESTION, ours, echoed)


def _reserve(shop: Shop, client: ClientProcess, seconds: float) -> Sample:
    paced = client.call(reserve_paced, shop.address, seconds)
    return Sample(paced.p99_ms, [*_failures(paced), *shop.check(paced.call_count - paced.failed_count)])


def _echo(echo: EchoServer, client: ClientProcess, seconds: float) -> Sample:
    paced = client.call(echo_paced, echo.address, seconds)
    return Sample(paced.p99_ms, _failures(paced))


def _failures(paced: Paced) -> list[str]:
    return [f"failed calls: expected 0, was {paced.failed_count}"] if paced.failed_count else []


# ---- what runs in the client process ---------------------------------------------------------------------------------


def reserve_paced(address: str, seconds: float) -> Paced:
    """Reserve at RATE."""
    return _paced(run_open_loop(address, RESERVE_PATH, reserve_maker(SKUS, seconds), RATE, seconds))


def echo_paced(address: str, seconds: float) -> Paced:
    """Send the same requests to the echo server."""
    return _paced(run_open_loop(address, ECHO_PATH, reserve_maker(SKUS, seconds), RATE, seconds))


def reserve_maker(skus: int, seconds: float) -> Callable[[int], bytes]:
    """Return what makes the n-th request: skus in turn, every request with an id of its own."""
    bodies = [reserve_request(sku, 0) for sku in range(skus)]
    ids = random_request_ids(int(RATE * seconds) + 1, np.random.default_rng())

    def make(number: int) -> bytes:
        body = bodies[number % skus]
        body.request_id = str(uuid.UUID(bytes=ids[number].tobytes()))
        return body.SerializeToString()

    return make


def _paced(measured: Measurements) -> Paced:
    latency = measured.latency_us()
    return Paced(
        p99_ms=float(np.percentile(latency, PERCENTILE)) / MICROSECONDS_PER_MILLISECOND,
        call_count=len(latency),
        failed_count=len(latency) - measured.by_outcome()["OK"],
    )
