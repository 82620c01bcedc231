"""Fixtures of this folder."""

import pytest

from sequencer.harness import Engine


@pytest.fixture
def engine() -> Engine:
    made = Engine()
    made.stock(("A", "X", 10), ("B", "X", 10), ("A", "Y", 10))
    return made
