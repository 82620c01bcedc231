"""Ten million stock levels and five million open reservations, beside ten thousand levels and none."""

import time
from collections.abc import Iterator
from functools import partial
from typing import Final, NamedTuple

from bench import bulk, bulk_calls
from bench.client_process import ClientProcess
from bench.columns import LOCATIONS, Columns
from bench.rows import Question, Row, Run, Sample, Target
from bench.shop import Shop
from ledger.core.limits import COMMANDS_PER_CALL_MAX
from ledger.warmup import warm_up

SIZES: Final = "10,000,000 levels and 5,000,000 open reservations at the start, beside 10,000 levels and none"
SMALL: Final = "small"
SERVICE: Final = Question(
    "scale", "reservations/s", f"{bulk_calls.DESCRIPTION}; {SIZES}", SMALL, Target("ratio", "≥", 0.6)
)
KERNELS: Final = Question(
    "scale.kernels",
    "reservations/s",
    f"the ledger alone, batches of {COMMANDS_PER_CALL_MAX:,} with request ids, levels drawn at random; {SIZES}",
    SMALL,
    durability="none",
)
QUESTIONS: Final = (SERVICE, KERNELS)


class Sizes(NamedTuple):
    """How much there is, and how much of it one measurement does."""

    small_skus: int
    large_skus: int
    open_calls: int
    """Calls of open reservations in the large one."""
    calls: int
    """Calls of one measurement."""


FULL: Final = Sizes(small_skus=100, large_skus=100_000, open_calls=611, calls=60)
QUICK: Final = Sizes(small_skus=10, large_skus=100, open_calls=2, calls=2)


def measure(run: Run) -> Iterator[Row]:
    """Answer QUESTIONS."""
    sizes = QUICK if run.is_quick else FULL
    run.report("filling a large engine")
    with Shop(sizes.large_skus, LOCATIONS) as large, ClientProcess() as client:
        bulk.reserve(large, client, sizes.open_calls)
        sides = partial(bulk.reserve, large, client, sizes.calls), partial(_reserve_small, client, sizes)
        yield run.row(SERVICE, *run.in_turn(*sides))
    run.report("filling a large ledger")
    warm_up(lambda _: None)
    filled = Columns(sizes.large_skus * LOCATIONS)
    _fill(filled, sizes.open_calls)
    kernels = run.in_turn(partial(_run_batches, filled, sizes.calls), partial(_run_small, sizes))
    yield run.row(KERNELS, *kernels)


def _reserve_small(client: ClientProcess, sizes: Sizes) -> Sample:
    """Measure on a new engine, so that it has no open reservations."""
    with Shop(sizes.small_skus, LOCATIONS) as small:
        return bulk.reserve(small, client, sizes.calls)


# ---- the ledger alone ------------------------------------------------------------------------------------------------


def _fill(columns: Columns, open_batches: int) -> None:
    for batch in columns.level_batches(COMMANDS_PER_CALL_MAX):
        columns.run(batch)
    for _ in range(open_batches):
        columns.run(columns.reservations(COMMANDS_PER_CALL_MAX))


def _run_small(sizes: Sizes) -> Sample:
    small = Columns(sizes.small_skus * LOCATIONS)
    _fill(small, open_batches=0)
    return _run_batches(small, sizes.calls)


def _run_batches(columns: Columns, count: int) -> Sample:
    before = columns.ledger.counts().active_reservations
    batches = [columns.reservations(COMMANDS_PER_CALL_MAX) for _ in range(count)]
    started = time.perf_counter()
    for batch in batches:
        columns.run(batch)
    rate = count * COMMANDS_PER_CALL_MAX / (time.perf_counter() - started)
    return Sample(rate, columns.check(before + count * COMMANDS_PER_CALL_MAX))
