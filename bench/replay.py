"""Starting on a journal, beside writing it."""

from collections.abc import Iterator
from typing import Final

from bench import bulk
from bench.bulk_calls import DESCRIPTION, BulkLoad, reserve_in_bulk
from bench.client_process import ClientProcess
from bench.rows import Question, Row, Run, Sample, Target
from bench.shop import Shop

QUESTION: Final = Question(
    "replay",
    "reservations/s",
    f"read, checked and applied by an engine that starts; the journal server runs already; written by {DESCRIPTION}",
    "writing them",
    Target("ratio", "≥", 2),
)
QUESTIONS: Final = (QUESTION,)
CALLS_FULL: Final = 200
CALLS_QUICK: Final = 2


def measure(run: Run) -> Iterator[Row]:
    """Answer QUESTIONS; every pair has an engine and a journal of its own."""
    calls = CALLS_QUICK if run.is_quick else CALLS_FULL
    replayed, written = [], []
    with ClientProcess() as client:
        for number in range(1, run.pairs + 1):
            run.report(f"pair {number} of {run.pairs}")
            replay, write = _write_and_replay(client, calls)
            replayed.append(replay)
            written.append(write)
    yield run.row(QUESTION, replayed, written)


def _write_and_replay(client: ClientProcess, calls: int) -> tuple[Sample, Sample]:
    with Shop(bulk.SKUS, bulk.LOCATIONS) as shop:
        load = BulkLoad(address=shop.address, calls=calls, skus=shop.skus, locations=shop.locations)
        result = client.call(reserve_in_bulk, load)
        written = Sample(result.reserve_count / result.seconds, result.wrong)
        replayed = shop.restart()
        wrong = shop.check(result.ok_count)
    if not replayed.is_equal:
        wrong.append("digest after the replay: expected that of before, was another")
    return Sample(result.reserve_count / replayed.seconds, wrong), written
