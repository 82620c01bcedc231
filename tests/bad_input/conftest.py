"""Fixtures of this folder."""

import pytest
from harness import Client, Stage


@pytest.fixture
def stage(client: Client) -> Stage:
    return Stage(client)
