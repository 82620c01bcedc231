"""Run the model: `python -m tests.routing_model --seed 7` tells a history, `--cases 100000` looks for a difference."""

import gc
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import count
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from engine.warmup import warm_up

from .beside import Report, live, shortest

CASES_DEFAULT = 100_000
SEEDS_PER_TASK = 8

console = Console(highlight=False)


def live_through(seeds: range) -> list[Report]:
    """Live through some histories, in a process of a pool."""
    reports = [live(seed) for seed in seeds]
    gc.collect()  # an engine is a few objects that hold each other, and megabytes that the collector does not see
    return reports


def reports_of(first: int, jobs: int) -> Iterator[Report]:
    """Yield the report of each seed from a first one on, without an end."""
    starts = count(first, SEEDS_PER_TASK)
    with ProcessPoolExecutor(jobs) as pool:

        def submit() -> Future[list[Report]]:
            start = next(starts)
            return pool.submit(live_through, range(start, start + SEEDS_PER_TASK))

        waiting = deque(submit() for _ in range(2 * jobs))
        try:
            while True:
                yield from waiting.popleft().result()
                waiting.append(submit())
        finally:
            pool.shutdown(cancel_futures=True)


def tell(report: Report) -> None:
    """Print a history."""
    for line in report.story:
        console.print(line, markup=False, soft_wrap=True)
    console.print(f"seed {report.seed}: {report.difference or 'no difference'}", markup=False, soft_wrap=True)


def search(cases: int, first: int, jobs: int) -> int:
    """Live through histories until there are so many cases, or one differs; returns how many there were."""
    found = 0
    columns = TextColumn("cases"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("cases", total=cases)
        for report in reports_of(first, jobs):
            found += report.cases
            progress.update(task, completed=min(found, cases))
            if report.difference:
                progress.stop()
                tell(shortest(report.seed))
                sys.exit(1)
            if found >= cases:
                return found
    raise AssertionError("there is always another seed")


def main(
    *,
    seed: Annotated[int | None, typer.Option(help="Tell this one history.")] = None,
    cases: Annotated[int, typer.Option(help="How many answers are compared at least.")] = CASES_DEFAULT,
    first: Annotated[int, typer.Option(help="The first seed of a search.")] = 0,
    jobs: Annotated[int, typer.Option(help="Processes that work at the same time.")] = 2,
) -> None:
    """Hold an engine's plans, holds, loads and rejections against a model of docs/routing.md."""
    warm_up(lambda _: None)
    if seed is not None:
        report = live(seed)
        tell(shortest(seed) if report.difference else report)
        sys.exit(bool(report.difference))
    started = time.perf_counter()
    found = search(cases, first, jobs)
    seconds = time.perf_counter() - started
    console.print(f"{found:,} cases without a difference, {found / seconds:,.0f} a second.")


if __name__ == "__main__":
    typer.run(main)
