"""Reservations as columns, 8,192 a call."""

from collections.abc import Iterator
from functools import partial
from typing import Final

from bench.bulk_calls import DESCRIPTION, BulkLoad, reserve_in_bulk
from bench.client_process import ClientProcess
from bench.peers.valkey_function import ValkeyPeer
from bench.rows import Question, Row, Run, Sample, Target
from bench.shop import Shop
from bench.tools import ToolMissingError

SKUS: Final = 1_000
LOCATIONS: Final = 10
RATE: Final = Question("bulk.rate", "reservations/s", DESCRIPTION, target=Target("value", "≥", 1_000_000))
VALKEY: Final = Question("bulk", "reservations/s", DESCRIPTION, "Valkey function, 32 deep", Target("ratio", "≥", 20))
VALKEY_AT_BEST: Final = Question("bulk.16_connections", "reservations/s", DESCRIPTION, "Valkey function, 16 x 32 deep")
QUESTIONS: Final = (RATE, VALKEY, VALKEY_AT_BEST)
CALLS_FULL: Final = 200
CALLS_QUICK: Final = 2
VALKEY_COUNT_FULL: Final = 200_000
VALKEY_COUNT_QUICK: Final = 1_600


def measure(run: Run) -> Iterator[Row]:
    """Answer QUESTIONS."""
    calls, count = (CALLS_QUICK, VALKEY_COUNT_QUICK) if run.is_quick else (CALLS_FULL, VALKEY_COUNT_FULL)
    with ClientProcess() as client:
        ours = partial(_reserve_anew, client, calls)
        try:
            with ValkeyPeer() as peer:
                sides = ours, partial(peer.reserve, count, connections=1), partial(peer.reserve, count)
                bulk, single, best = run.in_turn(*sides)
        except ToolMissingError as error:
            (bulk,) = run.in_turn(ours)
            for question in (VALKEY, VALKEY_AT_BEST):
                yield run.unmeasured(question, missing=str(error))
        else:
            yield run.row(VALKEY, bulk, single)
            yield run.row(VALKEY_AT_BEST, bulk, best)
    yield run.row(RATE, bulk)


def _reserve_anew(client: ClientProcess, calls: int) -> Sample:
    """Measure on a new engine: what millions of reservations that are there already cost, `scale` says."""
    with Shop(SKUS, LOCATIONS) as shop:
        return reserve(shop, client, calls)


def reserve(shop: Shop, client: ClientProcess, calls: int, *, is_hot: bool = False) -> Sample:
    """Measure reservations a second."""
    load = BulkLoad(address=shop.address, calls=calls, skus=shop.skus, locations=shop.locations, is_hot=is_hot)
    result = client.call(reserve_in_bulk, load)
    return Sample(result.reserve_count / result.seconds, [*result.wrong, *shop.check(result.ok_count)])
