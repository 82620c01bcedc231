"""Fixtures of this folder."""

from collections.abc import Iterator

import pytest
from engines import ForkedEngine
from faults.processes import WAIT_SECONDS
from harness import Client as Harness
from harness import Stage
from onhand.client import Client

from client.harness import Pair


@pytest.fixture
def pair(engine: ForkedEngine, client: Harness) -> Iterator[Pair]:
    with Client(engine.address, deadline_seconds=WAIT_SECONDS) as made:
        yield Pair(client, made)


@pytest.fixture
def stage(client: Harness) -> Stage:
    return Stage(client)
