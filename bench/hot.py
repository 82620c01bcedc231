"""One sku that everybody wants, beside skus that are wanted alike."""

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Final, NamedTuple

from bench import bulk, bulk_calls, h2load
from bench.client_process import ClientProcess
from bench.h2load import run_h2load
from bench.peers.postgresql import PostgresqlPeer
from bench.rows import Question, Row, Run, Sample, Target
from bench.shop import RESERVE_PATH, Shop, reserve_request
from bench.tools import ToolMissingError

UNARY_SKUS: Final = 8
"""As many as there are h2load processes."""
UNARY_CONDITIONS: Final = (
    f"{UNARY_SKUS} h2load processes, {h2load.CONNECTIONS * h2load.STREAMS_PER_CONNECTION} calls in flight in all; "
    f"all on one sku, or each on its own"
)
BULK: Final = Question(
    "hot.bulk", "reservations/s", bulk_calls.DESCRIPTION, "10,000 levels alike", Target("ratio", "≥", 0.9)
)
UNARY: Final = Question(
    "hot.unary", "reservations/s", UNARY_CONDITIONS, f"{UNARY_SKUS} skus alike", Target("ratio", "≥", 0.9)
)
POSTGRESQL: Final = Question("hot.postgresql", "reservations/s", UNARY_CONDITIONS, "PostgreSQL, one row")
QUESTIONS: Final = (BULK, UNARY, POSTGRESQL)


class Sizes(NamedTuple):
    """Of one measurement."""

    bulk_calls: int
    unary: int
    postgresql: int


FULL: Final = Sizes(bulk_calls=100, unary=60_000, postgresql=4_000)
QUICK: Final = Sizes(bulk_calls=2, unary=400, postgresql=400)


def measure(run: Run) -> Iterator[Row]:
    """Answer QUESTIONS."""
    sizes = QUICK if run.is_quick else FULL
    with Shop(bulk.SKUS, bulk.LOCATIONS) as shop:
        with ClientProcess() as client:
            in_bulk = partial(bulk.reserve, shop, client, sizes.bulk_calls)
            hot, uniform = run.in_turn(partial(in_bulk, is_hot=True), in_bulk)
        yield run.row(BULK, hot, uniform)
        with contextlib.ExitStack() as stack:
            sides = [partial(_reserve, shop, sizes.unary, is_hot=is_hot) for is_hot in (True, False)]
            try:
                peer = stack.enter_context(PostgresqlPeer())
            except ToolMissingError as error:
                yield run.unmeasured(POSTGRESQL, missing=str(error))
            else:
                sides.append(partial(peer.reserve, sizes.postgresql, is_hot=True))
            hot, uniform, *rest = run.in_turn(*sides)
    yield run.row(UNARY, hot, uniform)
    for relational in rest:
        yield run.row(POSTGRESQL, hot, relational)


def _reserve(shop: Shop, count: int, *, is_hot: bool) -> Sample:
    requests = [reserve_request(0 if is_hot else sku, 0) for sku in range(UNARY_SKUS)]
    load = run_h2load(shop.address, RESERVE_PATH, requests, count)
    return Sample(load.requests_per_second, [*load.wrong, *shop.check(count)])
