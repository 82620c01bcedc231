"""Fixtures of this folder."""

from collections.abc import Iterator

import grpc
import pytest

from engine.transport import Transport
from transport.harness import connect, open_any


@pytest.fixture(params=["native", "grpcio"])
def name(request) -> str:
    return request.param


@pytest.fixture
def transport(name) -> Iterator[Transport]:
    opened = open_any(name)
    opened.start()
    yield opened
    opened.close(0)


@pytest.fixture
def channel(transport) -> Iterator[grpc.Channel]:
    with connect(transport) as connected:
        yield connected
