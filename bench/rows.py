"""What a benchmark says: rows of ours against a reference, measured in turn, with every total checked."""

import statistics
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

GIT_SECONDS: Final = 10.0


class BenchError(Exception):
    """A benchmark could not be run to its end; the text says why."""


class Sample(NamedTuple):
    """One measurement."""

    value: float
    wrong: Sequence[str] = ()
    """What was checked and found wrong; each makes the row unverified."""


class Target(NamedTuple):
    """What a row is to reach."""

    of: Literal["ratio", "value"]
    direction: Literal["≥", "≤"]
    limit: float

    def is_met(self, value: float, ratio: float | None) -> bool:
        """Compare with what was measured."""
        found = value if self.of == "value" else ratio
        assert found is not None, "a target of a ratio needs a reference"
        return found >= self.limit if self.direction == "≥" else found <= self.limit

    def __str__(self) -> str:
        times = " ×" if self.of == "ratio" else ""  # noqa: RUF001 - as the docs write it
        return f"{self.direction} {self.limit:,.10g}{times}"


class Question(NamedTuple):
    """What a row asks; how is in `conditions`."""

    name: str
    unit: str
    conditions: str
    reference: str = ""
    """Empty: the value stands alone."""
    target: Target | None = None
    durability: Literal["fsync", "none"] = "fsync"
    """What a reply promised; none: measured without a journal."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the result."""

    name: str
    value: float | None
    """Median of ours; None if it could not be measured."""
    unit: str
    reference: str
    reference_value: float | None
    """Median of the reference."""
    ratio: float | None
    """Median of the ratios of the pairs, ours to reference."""
    target: str
    met: bool | None
    """None where there is no target."""
    durability: str
    verified: bool
    """Whether every total was right."""
    problems: list[str]
    """What was wrong, or why there is no value."""
    missing: str
    """The tool that was not there and how to get it; then nothing was measured."""
    pairs: list[list[float]]
    """Every measurement in order: [ours, reference], or [ours] where the value stands alone."""
    command: str
    commit: str
    conditions: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of some benchmarks."""

    bench: str
    """Name of what is measured."""
    pairs: int
    """How often each side is measured."""
    is_quick: bool
    """Tiny sizes, to see that everything works; the figures say nothing."""
    commit: str
    report: Callable[[str], None] = lambda _: None
    """Hears what is being measured, for the progress bar."""

    def in_turn(self, *sides: Callable[[], Sample]) -> list[list[Sample]]:
        """Measure each side once, then each again, and so on; returns the samples of each side."""
        samples: list[list[Sample]] = [[] for _ in sides]
        for number in range(1, self.pairs + 1):
            self.report(f"pair {number} of {self.pairs}")
            for side, found in zip(sides, samples, strict=True):
                found.append(side())
        return samples

    def row(self, question: Question, ours: Sequence[Sample], reference: Sequence[Sample] = ()) -> Row:
        """Answer a question with the samples of one run; those of the reference belong to ours in order."""
        assert bool(question.reference) == bool(reference)
        value = statistics.median(sample.value for sample in ours)
        ratio = None
        if reference:
            ratio = statistics.median(one.value / other.value for one, other in zip(ours, reference, strict=True))
        sides = [ours, reference] if reference else [ours]
        problems = [wrong for side in sides for sample in side for wrong in sample.wrong]
        return self._row(
            question,
            value=value,
            reference_value=statistics.median(sample.value for sample in reference) if reference else None,
            ratio=ratio,
            met=question.target.is_met(value, ratio) if question.target else None,
            problems=problems,
            pairs=[[sample.value for sample in pair] for pair in zip(*sides, strict=True)],
        )

    def unmeasured(self, question: Question, *, problem: str = "", missing: str = "") -> Row:
        """Say why a question has no answer: something failed, or a tool is missing."""
        assert bool(problem) != bool(missing)
        return self._row(question, problems=[problem] if problem else [], missing=missing)

    def _row(
        self,
        question: Question,
        *,
        value: float | None = None,
        reference_value: float | None = None,
        ratio: float | None = None,
        met: bool | None = None,
        problems: list[str],
        missing: str = "",
        pairs: Iterable[list[float]] = (),
    ) -> Row:
        return Row(
            name=question.name,
            value=value,
            unit=question.unit,
            reference=question.reference,
            reference_value=reference_value,
            ratio=ratio,
            target=str(question.target) if question.target else "",
            met=met,
            durability=question.durability,
            verified=not problems and not missing,
            problems=problems,
            missing=missing,
            pairs=list(pairs),
            command=f"python -m bench {self.bench} --pairs {self.pairs}" + (" --quick" if self.is_quick else ""),
            commit=self.commit,
            conditions=question.conditions,
        )


def is_wrong(row: Row) -> bool:
    """Tell whether a row must fail the run: something was checked and wrong, or could not be run to its end."""
    return bool(row.problems)


def commit_of_tree() -> str:
    """Return the commit that is measured, with "-dirty" if files differ from it; "unknown" outside a checkout."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],  # noqa: S607 - the user's git
            capture_output=True,
            check=True,
            text=True,
            timeout=GIT_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return described.stdout.strip()


def write_json(rows: Sequence[Row], path: Path) -> None:
    """Write rows for machines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=2) + b"\n")
