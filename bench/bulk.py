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
VALKEY: Final = Question("bulk", "reservations/s", DESCRIPTION, "Valkey function", Target("ratio", "≥", 20))
ONE_CONNECTION: Final = Question("bulk.one_connection", "reservations/s", DESCRIPTION, "Valkey, 1 connection")
QUESTIONS: Final = (RATE, VALKEY, ONE_CONNECTION)
CALLS_FULL: Final = 200
CALLS_QUICK: Final = 2
VALKEY_COUNT_FULL: Final = 200_000
VALKEY_COUNT_QUICK: Final = 1_600


def measure(run: Run) -> Iterator[Row]:
    """Answer QUESTIONS."""
    calls, count = (CALLS_QUICK, VALKEY_COUNT_QUICK) if run.is_quick else (CALLS_FULL, VALKEY_COUNT_FULL)
    with Shop(SKUS, LOCATIONS) as shop, ClientProcess() as client:
        ours = partial(reserve, shop, client, calls)
        try:
            with ValkeyPeer() as peer:
                bulk, best, single = run.in_turn(
                    ours, partial(peer.reserve, count), partial(peer.reserve, count, connections=1)
                )
        except ToolMissingError as error:
            (bulk,) = run.in_turn(ours)
            for question in (VALKEY, ONE_CONNECTION):
                yield run.unmeasured(question, missing=str(error))
        else:
            yield run.row(VALKEY, bulk, best)
            yield run.row(ONE_CONNECTION, bulk, single)
    yield run.row(RATE, bulk)


def reserve(shop: Shop, client: ClientProcess, calls: int, *, is_hot: bool = False) -> Sample:
    """Measure reservations a second."""
    load = BulkLoad(address=shop.address, calls=calls, skus=shop.skus, locations=shop.locations, is_hot=is_hot)
    result = client.call(reserve_in_bulk, load)
    return Sample(result.reserve_count / result.seconds, [*result.wrong, *shop.check(result.ok_count)])
