"""Fixtures of this folder."""

import pytest
from test_routing_state import Side


@pytest.fixture
def side() -> Side:
    """Three locations, the nearest first, with enough of everything."""
    made = Side()
    stock = {(sku, name): 50 for sku in ("S", "T") for name in ("A", "B", "C")}
    made.build({"A": 100, "B": 300, "C": 500}, stock, units_per_day=1000)
    return made
