"""Fixtures of this folder."""

from collections.abc import Iterator

import pytest
from faults.processes import end_all_in

from crash.harness import Folder


@pytest.fixture
def folder(tmp_path) -> Iterator[Folder]:
    """Its engines and servers are gone when the test is over, however it ended."""
    made = Folder(tmp_path / "engine")
    yield made
    end_all_in(made.path)
