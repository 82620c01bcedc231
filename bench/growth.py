"""Growing to millions of rows: what a row costs, and how long the longest batch on the way takes.

    python -m bench.growth --levels 10000000 --reservations 2000000

Batches are small (500 counts, 35 reservations with request ids), so that a pause of the writer shows. The ledger alone
is measured: no gRPC, no journal.
"""

import time
from collections.abc import Iterator
from typing import Annotated

import numpy as np
import psutil
import typer
from rich.progress import track

from ledger.core.ledger import Ledger
from ledger.core.limits import MICROSECONDS
from ledger.core.records import COMMAND, HAS_REQUEST_ID, LINE, Batch
from ledger.core.statuses import Operation
from ledger.warmup import warm_up

LOCATIONS = 100
LEVELS_PER_BATCH = 500
RESERVATIONS_PER_BATCH = 35
WINDOW_US = 3_600 * MICROSECONDS
START_US = 1_700_000_000 * MICROSECONDS


def level_batches(skus: int) -> Iterator[Batch]:
    """Count 100 units of every sku at every location."""
    command = np.zeros(1, COMMAND)
    command["operation"] = Operation.SET_ON_HAND
    for location in range(LOCATIONS):
        for first in range(0, skus, LEVELS_PER_BATCH):
            lines = np.zeros(min(LEVELS_PER_BATCH, skus - first), LINE)
            lines["sku"] = np.arange(first, first + len(lines))
            lines["location"] = location
            lines["quantity"] = 100
            command["line_count"] = len(lines)
            yield Batch(command, lines)


def reservation_batches(skus: int, count: int) -> Iterator[Batch]:
    """Reserve one unit at random levels, each with a request id."""
    random = np.random.default_rng(1)
    for first in range(0, count, RESERVATIONS_PER_BATCH):
        size = min(RESERVATIONS_PER_BATCH, count - first)
        commands, lines = np.zeros(size, COMMAND), np.zeros(size, LINE)
        commands["operation"] = Operation.RESERVE
        commands["flags"] = HAS_REQUEST_ID
        commands["line_count"] = 1
        commands["line_start"] = np.arange(size)
        commands["ttl_us"] = WINDOW_US
        commands["request_id_high"] = random.integers(0, 2**62, size) & ~0xF000 | 0x4000  # version 4
        commands["request_id_low"] = np.arange(first, first + size)
        lines["sku"] = random.integers(0, skus, size)
        lines["location"] = random.integers(0, LOCATIONS, size)
        lines["quantity"] = 1
        yield Batch(commands, lines)


def measure(ledger: Ledger, name: str, batches: Iterator[Batch], batch_rows: int, rows: int) -> None:
    """Run batches and print bytes a row and the times of a batch."""
    process = psutil.Process()
    before = process.memory_info().rss
    times = []
    time_us = max(ledger.time_us, START_US)
    for batch in track(batches, description=name, total=-(-rows // batch_rows)):
        time_us += 100
        started = time.perf_counter()
        ledger.execute(batch, time_us)
        ledger.take_group()
        times.append(time.perf_counter() - started)
    p50, p99, longest = (1e3 * float(value) for value in np.percentile(times, [50, 99, 100]))
    grown = (process.memory_info().rss - before) / rows
    print(  # noqa: T201 - the result
        f"{rows:,} {name}: {grown:.1f} bytes each; a batch takes p50 {p50:.3f} ms, p99 {p99:.3f} ms, "
        f"longest {longest:.3f} ms"
    )


def main(
    levels: Annotated[int, typer.Option(help="Stock levels to grow to.", min=LOCATIONS)] = 10_000_000,
    reservations: Annotated[int, typer.Option(help="Open reservations to grow to.", min=1)] = 2_000_000,
) -> None:
    """Measure growing."""
    warm_up(lambda _: None)
    ledger = Ledger(request_window_us=WINDOW_US, retention_us=WINDOW_US)
    skus = levels // LOCATIONS
    for sku in range(skus):
        ledger.define_sku(f"SKU-{sku}")
    for location in range(LOCATIONS):
        ledger.define_location(f"LOC-{location}")
    measure(ledger, "stock levels", level_batches(skus), LEVELS_PER_BATCH, skus * LOCATIONS)
    batches = reservation_batches(skus, reservations)
    measure(ledger, "open reservations", batches, RESERVATIONS_PER_BATCH, reservations)
    assert ledger.verify() == []
    assert ledger.counts().active_reservations == reservations


if __name__ == "__main__":
    typer.run(main)
