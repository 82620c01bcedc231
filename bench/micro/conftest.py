"""The kernels are there before anything is measured."""

import pytest

from ledger.warmup import warm_up


@pytest.fixture(scope="session", autouse=True)
def _kernels() -> None:
    warm_up(lambda _: None)
