"""What the status warns of: nothing when all is well, and each thing alone."""

import pytest

from engine.config import EngineConfig
from engine.shard.warnings import Circumstances, warnings_of
from ledger.journal.reading import Memory

GIB = 1024**3
KEPT = {"snapshot_bytes": GIB, "checkpoint_failure": "", "journal_bytes_since_checkpoint": 1}
WELL = Circumstances(
    config=EngineConfig(standbys_min=2, data_folder="data"),
    backwards_count=0,
    misses_journal=False,
    why_away="",
    behind_seconds=0.5,
    kept=KEPT,
    snapshot_age_seconds=900.0,
    free_bytes=2 * GIB,
    memory=Memory(9 * GIB, 10 * GIB),
    standby_count=2,
)


@pytest.mark.parametrize(
    "well",
    [
        {},
        {"memory": Memory(100 * GIB, 0)},
        {"snapshot_age_seconds": 1e6, "kept": KEPT | {"journal_bytes_since_checkpoint": 0}},
        {"snapshot_age_seconds": 1e6, "config": EngineConfig(checkpoint_seconds=0)},
        {"standby_count": 0, "config": EngineConfig()},
        {"why_away": "said only while it is away"},
    ],
)
def test_nothing_is_told_when_all_is_well(well):
    assert list(warnings_of(WELL._replace(**well))) == []


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"backwards_count": 1}, "the journal server lost entries that were durable once: what they did is gone"),
        ({"misses_journal": True}, "the journal server does not do its part: nothing is acknowledged"),
        (
            {"misses_journal": True, "why_away": "no space left on data"},
            "the journal server does not do its part: nothing is acknowledged: no space left on data",
        ),
        ({"behind_seconds": 7.0}, "the clock is 7 s behind the ledger: holds expire that much later"),
        (
            {"memory": Memory(19 * GIB // 2, 10 * GIB)},
            "the journal server uses 9.5GiB of its 10.0GiB: full, it takes no writes",
        ),
        (
            {"free_bytes": 3 * GIB // 2},
            "the disk of data has 1.5GiB left: expected 2.0GiB or more, for snapshot and journal",
        ),
        ({"kept": KEPT | {"checkpoint_failure": "no memory"}}, "no snapshot: no memory"),
        ({"snapshot_age_seconds": 3_600.0}, "no snapshot for 1h: expected one each 15m (checkpoint_seconds)"),
        (
            {"kept": KEPT | {"journal_bytes_since_checkpoint": 4 * GIB}},
            "the journal has 4.0GiB since the last snapshot: expected 1.0GiB (checkpoint_journal_bytes)",
        ),
        ({"standby_count": 1}, "standbys that follow: 1: expected 2 (standbys_min)"),
        ({"standby_count": 0}, "no standby follows: expected 2 (standbys_min)"),
    ],
)
def test_what_is_wrong_is_told(wrong, told):
    assert list(warnings_of(WELL._replace(**wrong))) == [told]


def test_the_worst_is_told_first():
    worst = WELL._replace(standby_count=0, misses_journal=True, backwards_count=1)
    assert [each.split()[2] for each in warnings_of(worst)] == ["server", "server", "follows:"]
