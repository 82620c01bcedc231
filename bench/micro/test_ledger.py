"""The kernels: one batch of reservations, its replay, and holds that end."""

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.columns import Columns
from bench.micro.rounds import BULK, ROUNDS, UNARY, measure
from ledger.book import NO_COMMANDS
from ledger.core.ledger import Ledger
from ledger.core.records import Batch

LEVELS = 100_000
TTL_US = 1_000


@pytest.fixture
def columns() -> Columns:
    """Return a ledger with stock."""
    return stocked()


def stocked() -> Columns:
    """Return a ledger with stock; two of them are equal."""
    made = Columns(LEVELS)
    for batch in made.level_batches(BULK):
        made.run(batch)
    return made


def without_request_ids(batch: Batch) -> Batch:
    """Return the batch, changed so that it is remembered by nobody."""
    batch.commands["flags"] = 0
    return batch


@pytest.mark.parametrize("size", [UNARY, BULK])
@pytest.mark.parametrize("with_ids", [True, False], ids=["request ids", "no request ids"])
def test_reserve(benchmark: BenchmarkFixture, columns: Columns, size: int, with_ids: bool) -> None:
    """Decide and apply a batch, and take its group."""

    def next_batch() -> tuple[Batch]:
        batch = columns.reservations(size)
        return (batch if with_ids else without_request_ids(batch),)

    measure(benchmark, columns.run, next_batch)
    assert columns.check(ROUNDS * size) == []


@pytest.mark.parametrize("size", [UNARY, BULK])
def test_replay(benchmark: BenchmarkFixture, columns: Columns, size: int) -> None:
    """Apply a group that another ledger wrote."""
    copy = stocked().ledger
    measure(benchmark, copy.replay, lambda: (columns.run(columns.reservations(size)),))
    assert copy.digest() == columns.ledger.digest()


def test_expiry(benchmark: BenchmarkFixture, columns: Columns) -> None:
    """End 8,192 holds in one batch."""
    ledger = columns.ledger

    def hold() -> tuple[Ledger, int]:
        batch = columns.reservations(BULK)
        batch.commands["ttl_us"] = np.arange(BULK) % TTL_US + 1
        columns.run(batch)
        return ledger, ledger.time_us + TTL_US

    measure(benchmark, _expire, hold)
    assert columns.check(0) == []


def _expire(ledger: Ledger, time_us: int) -> None:
    ledger.execute(NO_COMMANDS, time_us)
    ledger.take_group()
