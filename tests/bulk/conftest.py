"""Fixtures of this folder."""

from collections.abc import Iterator

import pytest
from bulk_harness import BulkClient
from harness import Client, Stage

from bulk.harness import Side


@pytest.fixture
def side() -> Side:
    made = Side()
    made.stock(A_X=10, B_X=10, A_Y=10)
    return made


@pytest.fixture
def stage(client: Client) -> Stage:
    """Requests that are right, asked by rows."""
    return Stage(client)


@pytest.fixture
def gateway(client: Client) -> Iterator[BulkClient]:
    """The same names, asked by columns."""
    with BulkClient(client.address, client.prefix) as made:
        yield made
