"""What a row costs in memory, and how long the longest batch on the way to millions of rows takes.

Batches are small, so that a pause of the writer shows.
"""

import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import psutil

from bench.client_process import ClientProcess
from bench.columns import Columns
from bench.rows import Question, Row, Run, Sample, Target
from ledger.core.records import Batch
from ledger.warmup import warm_up

LEVELS_PER_BATCH: Final = 500
RESERVATIONS_PER_BATCH: Final = 35
"""About the group that unary calls come to."""
NANOSECONDS_PER_MILLISECOND: Final = 1_000_000
CONDITIONS: Final = "growth of the resident memory, once, of a process of its own with the ledger alone; no journal"
LEVEL: Final = Question(
    "memory.stock_level",
    "bytes",
    f"{CONDITIONS}; 10,000,000 levels",
    target=Target("value", "≤", 64),
    durability="none",
)
RESERVATION: Final = Question(
    "memory.reservation",
    "bytes",
    f"{CONDITIONS}; 5,000,000 open reservations of one line, each with its request id",
    target=Target("value", "≤", 128),
    durability="none",
)
LONGEST: Final = Question(
    "memory.longest_batch",
    "ms",
    f"the longest batch of {RESERVATIONS_PER_BATCH} reservations on the way to 5,000,000 open ones, ledger alone; "
    "processor time, so that what else runs does not count",
    durability="none",
)
QUESTIONS: Final = (LEVEL, RESERVATION, LONGEST)


class Sizes(NamedTuple):
    """How far a ledger grows."""

    levels: int
    reservations: int


FULL: Final = Sizes(levels=10_000_000, reservations=5_000_000)
QUICK: Final = Sizes(levels=10_000, reservations=5_000)


class Growth(NamedTuple):
    """What some rows cost."""

    bytes_each: float
    longest_ms: float
    wrong: list[str]


def measure(run: Run) -> Iterator[Row]:
    """Answer QUESTIONS, with one measurement: memory does not vary with the moment."""
    run.report("growing a ledger")
    with ClientProcess() as process:
        levels, reservations = process.call(grow, QUICK if run.is_quick else FULL)
    yield run.row(LEVEL, [Sample(levels.bytes_each, levels.wrong)])
    yield run.row(RESERVATION, [Sample(reservations.bytes_each, reservations.wrong)])
    yield run.row(LONGEST, [Sample(reservations.longest_ms, reservations.wrong)])


def grow(sizes: Sizes) -> tuple[Growth, Growth]:
    """Fill a ledger with stock levels, then with reservations."""
    warm_up(lambda _: None)
    columns = Columns(sizes.levels)
    levels = _grow(columns.run, columns.level_batches(LEVELS_PER_BATCH), sizes.levels)
    batches = columns.reservation_batches(sizes.reservations, RESERVATIONS_PER_BATCH)
    reservations = _grow(columns.run, batches, sizes.reservations)
    return levels, reservations._replace(wrong=columns.check(sizes.reservations))


def _grow(execute: Callable[[Batch], object], batches: Iterator[Batch], rows: int) -> Growth:
    process = psutil.Process()
    before = process.memory_info().rss
    longest_ns = 0
    for batch in batches:
        started = time.thread_time_ns()
        execute(batch)
        longest_ns = max(longest_ns, time.thread_time_ns() - started)
    grown = process.memory_info().rss - before
    return Growth(grown / rows, longest_ns / NANOSECONDS_PER_MILLISECOND, [])
