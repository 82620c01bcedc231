"""Fixtures of this folder."""

from __future__ import annotations

import pytest

from ledger.core.ledger import Ledger
from ledger.oracle.stock import OracleLedger
from ledger_examples.harness import Wide, new_bench


@pytest.fixture(params=[OracleLedger, Ledger], ids=["oracle", "fast"])
def bench(request):
    return new_bench(request.param)


@pytest.fixture(params=[False, True], ids=["hold", "order"])
def wide(bench, request):
    return Wide(bench, is_order=request.param)
