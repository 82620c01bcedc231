"""What an operator should know of an engine, told by GetStatus."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from engine.config import EngineConfig
from engine.measures import shown_bytes, shown_seconds
from ledger.journal.reading import Memory

CLOCK_BEHIND_SECONDS_MAX: Final = 1.0
LATE_INTERVALS: Final = 3
"""Of snapshots, after which the next one is missed."""
MEMORY_SHARE_MAX: Final = 0.9
"""Of the journal server's limit; a snapshot is taken at 70 %."""


class Circumstances(NamedTuple):
    """What an engine sees of itself, and around it."""

    config: EngineConfig
    backwards_count: int
    """Times the journal was found behind what this engine had."""
    misses_journal: bool
    why_away: str
    """What is known of why, if the journal server is ours."""
    behind_seconds: float
    """Of the clock, behind the ledger."""
    kept: Mapping[str, Any]
    """Figures of snapshots, by field of GetStatusResponse."""
    snapshot_age_seconds: float
    """Since the newest snapshot, or the start where that was later."""
    free_bytes: int
    """Of the disk of the data folder."""
    memory: Memory
    """Of the journal server."""
    standby_count: int


def warnings_of(seen: Circumstances) -> Iterator[str]:
    """Yield what is wrong, or soon will be; worst first."""
    if seen.backwards_count:
        yield "the journal server lost entries that were durable once: what they did is gone"
    if seen.misses_journal:
        why = f": {seen.why_away}" if seen.why_away else ""
        yield f"the journal server does not do its part: nothing is acknowledged{why}"
    if seen.behind_seconds > CLOCK_BEHIND_SECONDS_MAX:
        yield f"the clock is {seen.behind_seconds:.0f} s behind the ledger: holds expire that much later"
    yield from _of_room(seen)
    yield from _of_snapshots(seen)
    if seen.standby_count < seen.config.standbys_min:
        told = f"standbys that follow: {seen.standby_count}" if seen.standby_count else "no standby follows"
        yield f"{told}: expected {seen.config.standbys_min} (standbys_min)"


def _of_room(seen: Circumstances) -> Iterator[str]:
    """Yield where memory or disk are getting full."""
    used, limit = seen.memory
    if limit and used > limit * MEMORY_SHARE_MAX:
        yield f"the journal server uses {shown_bytes(used)} of its {shown_bytes(limit)}: full, it takes no writes"
    needed = seen.kept["snapshot_bytes"] + seen.config.checkpoint_journal_bytes
    if seen.free_bytes < needed:
        yield (
            f"the disk of {seen.config.data_folder} has {shown_bytes(seen.free_bytes)} left: expected "
            f"{shown_bytes(needed)} or more, for snapshot and journal"
        )


def _of_snapshots(seen: Circumstances) -> Iterator[str]:
    """Yield what is wrong with snapshots, without which the journal only grows."""
    config, grown = seen.config, seen.kept["journal_bytes_since_checkpoint"]
    if failure := seen.kept["checkpoint_failure"]:
        yield f"no snapshot: {failure}"
    interval, age = config.checkpoint_seconds, seen.snapshot_age_seconds
    if interval and grown and age > interval * LATE_INTERVALS:
        yield f"no snapshot for {shown_seconds(age)}: expected one each {shown_seconds(interval)} (checkpoint_seconds)"
    if grown > config.checkpoint_journal_bytes * LATE_INTERVALS:
        budget = f"{shown_bytes(config.checkpoint_journal_bytes)} (checkpoint_journal_bytes)"
        yield f"the journal has {shown_bytes(grown)} since the last snapshot: expected {budget}"
