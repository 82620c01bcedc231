"""The model of routing beside a desk: some histories without a difference; and it sees what is wrong.

`python -m tests.routing_model --cases 100000` (`make routing-model`) looks longer.
"""

import pytest
from routing_model import beside
from routing_model.plans import Difference, expect

from ledger.parts.load import Load


@pytest.mark.parametrize("first", range(0, 40, 10))
def test_histories_without_a_difference(first):
    for seed in range(first, first + 10):
        report = beside.live(seed)
        assert not report.difference, f"python -m tests.routing_model --seed {seed}: {report.difference}"
        assert report.cases == beside.STEPS_OF_A_HISTORY


def test_a_difference_is_told_with_the_shortest_history(monkeypatch):
    """An engine that gives no capacity back."""
    monkeypatch.setattr(Load, "take_back", lambda *_: None)
    found = next(report for report in map(beside.live, range(100)) if report.difference)
    shortest = beside.shortest(found.seed)
    assert found.difference.partition(":")[0] == shortest.difference.partition(":")[0]
    assert len(shortest.story) <= len(found.story)


def test_what_differs_is_named():
    with pytest.raises(Difference, match="cost: expected 1, was 2"):
        expect("cost", 1, 2)
