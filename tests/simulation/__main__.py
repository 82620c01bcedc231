"""Run the simulator: `python -m tests.simulation --seed 7` tells one story, `--seeds 1000` looks for a violation."""

import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from .planted import PLANTED, planted
from .world import Report, live

SEEDS_DEFAULT = 1_000
SEEDS_PER_TASK = 8
PLANTED_SEEDS_MAX = 2_000

console = Console(highlight=False)


def run_seeds(seeds: range) -> list[Report]:
    """Live through some seeds, in a process of a pool."""
    return [live(seed) for seed in seeds]


def reports_of(seeds: range, jobs: int) -> Iterator[Report]:
    """Yield the report of each seed, in order."""
    tasks = [seeds[start : start + SEEDS_PER_TASK] for start in range(0, len(seeds), SEEDS_PER_TASK)]
    with ProcessPoolExecutor(jobs) as pool:
        for reports in pool.map(run_seeds, tasks):
            yield from reports


def tell(seed: int, bug: str) -> bool:
    """Print the story of one seed; tells whether nothing was wrong."""
    with planted(bug):
        report = live(seed, keeps_story=True)
    for line in report.story:
        console.print(line, markup=False, soft_wrap=True)
    console.print(f"seed {seed}: digest {report.digest}: {report.violation or 'no violation'}", markup=False)
    return not report.violation


def search(seeds: range, jobs: int) -> bool:
    """Run many seeds and say what was wrong with which; tells whether nothing was."""
    found: list[Report] = []
    answered = faults = 0
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:
        for report in progress.track(reports_of(seeds, jobs), total=len(seeds), description="seeds"):
            answered += report.answered_count
            faults += report.fault_count
            if report.violation:
                found.append(report)
                progress.console.print(f"seed {report.seed}: {report.violation}", markup=False, soft_wrap=True)
    console.print(f"{len(seeds)} seeds, {answered:,} answers, {faults:,} faults, {len(found)} violations")
    for report in found[:3]:
        console.print(f"replay it: python -m tests.simulation --seed {report.seed}")
    return not found


def hunt(bugs: list[str], first: int) -> bool:
    """Plant each bug and count the seeds until it is found; tells whether all are."""
    is_all = True
    for bug in bugs:
        with planted(bug):
            reports = map(live, range(first, first + PLANTED_SEEDS_MAX))
            found = next(((count, report) for count, report in enumerate(reports, 1) if report.violation), None)
        is_all &= found is not None
        told = f"found by seed {found[1].seed}, seeds: {found[0]}: {found[1].violation}" if found else "NOT FOUND"
        console.print(f"{bug}: {told}", markup=False, soft_wrap=True)
    return is_all


def main(
    seed: Annotated[int | None, typer.Option(help="Tell the story of this one.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many to run.")] = SEEDS_DEFAULT,
    first: Annotated[int, typer.Option(min=0, help="Where to begin.")] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    plant: Annotated[str, typer.Option("--planted", help=f"Plant a bug: all, {', '.join(PLANTED)}.")] = "",
) -> None:
    """Run simulated worlds; exit code 1 if something was violated, or a planted bug was not found."""
    if plant not in {"", "all", *PLANTED}:
        raise typer.BadParameter(f"expected all or one of {', '.join(PLANTED)}, was {plant}", param_hint="--planted")
    if seed is not None:
        is_good = tell(seed, plant)
    elif plant:
        is_good = hunt(list(PLANTED) if plant == "all" else [plant], first)
    else:
        is_good = search(range(first, first + seeds), jobs)
    sys.exit(0 if is_good else 1)


if __name__ == "__main__":
    typer.run(main)
