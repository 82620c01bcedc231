"""`python -m tests.flakes`: the suite again and again in random order, while other processes want its cores.

Exit code 0 if every round passed, else 1: what fails now and then is a bug of the product or of a test. Each round's
output is in build/flakes/, and its seed repeats its order.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Final, NamedTuple
from xml.etree import ElementTree as ET

from rich.console import Console
from rich.table import Table

ROUNDS_DEFAULT: Final = 10
FOLDER: Final = Path("build/flakes")
PYTEST: Final = ("pytest", "-n", "3", "--dist", "loadgroup", "-m", "not slow", "-p", "randomly")
ROUND_SECONDS_MAX: Final = 3_600
TEST_SECONDS_MAX: Final = 600
"""Of a test that hangs; others take their time under load."""
BURN: Final = f"""
import os, random, time
parent, until = os.getppid(), time.monotonic() + {ROUND_SECONDS_MAX}
while os.getppid() == parent and time.monotonic() < until:
    busy_until = time.monotonic() + random.uniform(0.1, 3.0)
    while time.monotonic() < busy_until:
        pass
    time.sleep(random.uniform(0.0, 0.5))
"""
"""Wants one core, in bursts, so that waits of every length come about; ends by itself, or with who started it."""


class Round(NamedTuple):
    """What came of one round."""

    seed: int
    seconds: float
    exit_code: int
    test_count: int
    failures: list[str]

    @property
    def passed(self) -> bool:
        """Whether everything ran, and nothing failed."""
        return self.exit_code == 0 and not self.failures


def main(arguments: Sequence[str]) -> int:
    """Run, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.flakes", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS_DEFAULT, help="how often (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="of the first round; each one has the next (default: any)")
    busy = "processes that want a core each, beside the tests (default: one for each core)"
    parser.add_argument("--burners", type=int, default=os.cpu_count() or 1, help=busy)
    parser.add_argument("files", nargs="*", help="only these files of tests")
    options = parser.parse_args(arguments)
    first = Random().randrange(1, 2**31) if options.seed is None else options.seed
    console = Console()
    FOLDER.mkdir(parents=True, exist_ok=True)
    rounds = []
    for seed in range(first, first + options.rounds):
        console.print(f"round {len(rounds) + 1} of {options.rounds}, seed {seed}")
        rounds.append(play(seed, options.burners, options.files))
        for failure in rounds[-1].failures:
            console.print(f"  {failure}", markup=False, highlight=False)
    show(rounds, console)
    return 0 if all(each.passed for each in rounds) else 1


def play(seed: int, burners: int, files: Sequence[str]) -> Round:
    """Run the suite once in the order of a seed, beside so many busy processes."""
    report, started = FOLDER / f"{seed}.xml", time.monotonic()
    report.unlink(missing_ok=True)
    limits = [f"--timeout={TEST_SECONDS_MAX}", f"--junitxml={report}"]
    with burning(burners), (FOLDER / f"{seed}.log").open("w") as log:
        exit_code = subprocess.run(
            [sys.executable, "-m", *command(seed), *limits, *files],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=ROUND_SECONDS_MAX,
        ).returncode
    cases = list(ET.parse(report).iter("testcase")) if report.exists() else []
    failures = [name for case in cases if (name := failed(case))]
    return Round(seed, time.monotonic() - started, exit_code, len(cases), failures)


def command(seed: int) -> list[str]:
    """Return what repeats a round's order; the seed of `random` itself stays what tests make it."""
    return [*PYTEST, f"--randomly-seed={seed}", "--randomly-dont-reset-seed"]


@contextmanager
def burning(count: int) -> Iterator[None]:
    """Keep so many cores busy from outside."""
    with ExitStack() as stack:
        for _ in range(count):
            burner = stack.enter_context(subprocess.Popen([sys.executable, "-c", BURN]))
            stack.callback(burner.kill)
        yield


def failed(case: ET.Element) -> str:
    """Return a test that failed, with the first line of why; empty if it did not."""
    for problem in (*case.iter("failure"), *case.iter("error")):
        why = (problem.get("message") or "").strip().splitlines()
        return f"{case.get('classname')}::{case.get('name')}: {why[0] if why else problem.tag}"
    return ""


def show(rounds: Sequence[Round], console: Console) -> None:
    """Print what came of each round, and how to repeat it."""
    table = Table("round", "seed", "tests", "failures", "exit code", "minutes", title="Flakes")
    for number, each in enumerate(rounds, 1):
        table.add_row(
            *map(str, (number, each.seed, each.test_count, len(each.failures), each.exit_code)),
            f"{each.seconds / 60:.1f}",
        )
    console.print(table)
    for each in rounds:
        if not each.passed:
            words = [f'"{word}"' if " " in word else word for word in command(each.seed)]
            console.print(f"replay: {' '.join(words)}; its output: {FOLDER / f'{each.seed}.log'}", soft_wrap=True)
    console.print(f"{sum(each.passed for each in rounds)} of {len(rounds)} rounds passed")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
