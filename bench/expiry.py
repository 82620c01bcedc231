"""A million holds that end within one second, while others reserve."""

import time
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.bulk_calls import BulkLoad, reserve_in_bulk
from bench.client_process import ClientProcess
from bench.load.open_loop import run_open_loop
from bench.open_loop import MICROSECONDS_PER_MILLISECOND, PERCENTILE, RATE, reserve_maker
from bench.rows import BenchError, Question, Row, Run, Sample, Target
from bench.shop import RESERVE_PATH, Shop
from ledger.core.limits import MICROSECONDS

SKUS: Final = 1_000
LOCATIONS: Final = 10
NANOSECONDS_PER_MICROSECOND: Final = 1_000
QUESTION: Final = Question(
    "expiry",
    "ms p99",
    f"1,000,000 holds end within one second while ReserveStock is offered {RATE:,}/s; latency from the planned send",
    "the time before",
    Target("ratio", "≤", 3),
)
QUESTIONS: Final = (QUESTION,)
ENDING_SECONDS: Final = 1.0
EXPIRE_SECONDS_MAX: Final = 30.0


class Sizes(NamedTuple):
    """Of one pair."""

    calls: int
    """Bulk calls that make the holds."""
    lead_seconds: float
    """From now to the end of the first hold; making them must fit in."""
    before_seconds: float
    """How much of the time before is measured."""


FULL: Final = Sizes(calls=123, lead_seconds=8.0, before_seconds=2.0)
QUICK: Final = Sizes(calls=1, lead_seconds=4.0, before_seconds=0.5)


class Latencies(NamedTuple):
    """What came of paced reservations; comes back from the client process."""

    before_p99_ms: float
    ending_p99_ms: float
    ok_count: int
    failed_count: int


def measure(run: Run) -> Iterator[Row]:
    """Answer QUESTIONS."""
    sizes = QUICK if run.is_quick else FULL
    ending, before = [], []
    with Shop(SKUS, LOCATIONS) as shop, ClientProcess() as client:
        for number in range(1, run.pairs + 1):
            run.report(f"pair {number} of {run.pairs}")
            while_ending, earlier = _measure_pair(shop, client, sizes)
            ending.append(while_ending)
            before.append(earlier)
    yield run.row(QUESTION, ending, before)


def _measure_pair(shop: Shop, client: ClientProcess, sizes: Sizes) -> tuple[Sample, Sample]:
    end_time_us = _now_us() + int(sizes.lead_seconds * MICROSECONDS)
    load = BulkLoad(address=shop.address, calls=sizes.calls, skus=SKUS, locations=LOCATIONS, end_time_us=end_time_us)
    held = client.call(reserve_in_bulk, load)
    wrong = [*held.wrong, *shop.check(held.ok_count)]
    found = client.call(reserve_around, shop.address, end_time_us, sizes.before_seconds)
    wrong += shop.check(found.ok_count - held.ok_count, within_seconds=EXPIRE_SECONDS_MAX)
    if found.failed_count:
        wrong.append(f"failed calls: expected 0, was {found.failed_count}")
    return Sample(found.ending_p99_ms, wrong), Sample(found.before_p99_ms)


def _now_us() -> int:
    return time.time_ns() // NANOSECONDS_PER_MICROSECOND


def reserve_around(address: str, end_time_us: int, before_seconds: float) -> Latencies:
    """Reserve at RATE from some time before an instant until a second after it; runs in a client process.

    Raises
    ------
    BenchError
        That time has begun already.
    """
    start_us = end_time_us - int(before_seconds * MICROSECONDS)
    if _now_us() > start_us:
        raise BenchError(f"holds: expected to be made {before_seconds:g} s before they end, it took longer")
    seconds = before_seconds + ENDING_SECONDS
    make = reserve_maker(SKUS, seconds)
    time.sleep(max(0.0, (start_us - _now_us()) / MICROSECONDS))  # until the planned start
    measured = run_open_loop(address, RESERVE_PATH, make, RATE, seconds)
    latency = measured.latency_us()
    is_before = np.frombuffer(measured.planned, np.int64) < before_seconds * 1e9
    ok_count = measured.by_outcome()["OK"]
    return Latencies(
        before_p99_ms=_p99_ms(latency[is_before]),
        ending_p99_ms=_p99_ms(latency[~is_before]),
        ok_count=ok_count,
        failed_count=len(latency) - ok_count,
    )


def _p99_ms(latency_us: NDArray[np.int64]) -> float:
    return float(np.percentile(latency_us, PERCENTILE)) / MICROSECONDS_PER_MILLISECOND
