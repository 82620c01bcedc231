"""A group of unary calls and one bulk call at the desk: decode, decide, apply, encode; and what of it is the codec."""

from collections.abc import Callable, Generator, Iterable
from typing import Any

import numpy as np
import pytest
from onhand.columns import RequestColumns
from onhand.inventory.v1 import bulk_service_pb2
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from pytest_benchmark.fixture import BenchmarkFixture

from bench.bulk_calls import (
    BULK_PATH,
    LOCATIONS_PER_CALL,
    SKUS_PER_CALL,
    BulkLoad,
    count_calls,
    reserve_call,
    ttl_column,
)
from bench.columns import BATCH_US, START_US, WINDOW_US
from bench.micro.rounds import BULK, UNARY, measure
from bench.names import location_name, sku_name
from bench.shop import RESERVE_PATH, reserve_request
from engine.api.desk import METHOD_PATHS, Desk, Reply
from engine.transport import Call
from ledger.book import Book

LOAD = BulkLoad(address="", calls=1, skus=SKUS_PER_CALL, locations=LOCATIONS_PER_CALL)


class Counter:
    """A desk with a book, and nothing around it."""

    def __init__(self) -> None:
        self.book = Book(request_window_us=WINDOW_US, retention_us=WINDOW_US)
        for number in range(LOAD.skus):
            self.book.ledger.define_sku(sku_name(number))
        for number in range(LOAD.locations):
            self.book.ledger.define_location(location_name(number))
        self._desk = Desk(self)
        for payload, _ in count_calls(LOAD.skus, LOAD.locations):
            self.serve(BULK_PATH, [payload])

    def serve(self, path: str, payloads: Iterable[bytes]) -> list[Reply]:
        """Answer calls of one method as one group, as the sequencer does but for the journal."""
        method = METHOD_PATHS.index(path)
        calls = [Call(number, method, payload) for number, payload in enumerate(payloads)]
        replies = self._desk.answer(calls, max(self.book.ledger.time_us, START_US) + BATCH_US)
        self.book.close_entry(epoch=1)
        return replies

    def status(self) -> dict[str, Any]:
        """No engine runs."""
        return {}

    def history(self, _first_seq: int, _entry_count: int) -> Iterable[Any]:
        """There is no journal."""
        return ()

    def kept_ranges(self) -> list[tuple[int, int]]:
        """There is no journal."""
        return [(1, 0)]

    def read_snapshot(self, _name: str, _offset: int) -> None:
        """There is none."""

    def aside(self, work: Callable[[], bytes]) -> Generator[None, None, bytes]:
        """Work it out here."""
        yield
        return work()

    def request_checkpoint(self) -> int:
        """None is taken."""
        return self.book.seq


@pytest.fixture(scope="module")
def counter() -> Counter:
    """Return a desk with stock."""
    return Counter()


@pytest.fixture
def random() -> np.random.Generator:
    """Return what decides the calls."""
    return np.random.default_rng(1)


def bulk_payload(random: np.random.Generator) -> bytes:
    """Return one bulk call."""
    return reserve_call(LOAD, random) + ttl_column(LOAD, random)


def test_desk_unary(benchmark: BenchmarkFixture, counter: Counter) -> None:
    """A group of ReserveStock."""
    payloads = [reserve_request(number, 0).SerializeToString() for number in range(UNARY)]
    replies = benchmark(counter.serve, RESERVE_PATH, payloads)
    assert all(isinstance(reply.response, bytes) for reply in replies)


def test_desk_bulk(benchmark: BenchmarkFixture, counter: Counter, random: np.random.Generator) -> None:
    """One ExecuteCommands."""
    replies = measure(benchmark, counter.serve, lambda: (BULK_PATH, [bulk_payload(random)]))
    assert isinstance(replies[0].response, bytes)
    response = bulk_service_pb2.ExecuteCommandsResponse.FromString(replies[0].response)
    assert list(response.statuses) == [bulk_service_pb2.COMMAND_STATUS_OK] * BULK


def test_parse_unary(benchmark: BenchmarkFixture) -> None:
    """The bytes of one ReserveStock."""
    payload = reserve_request(0, 0).SerializeToString()
    assert benchmark(reservations.ReserveStockRequest.FromString, payload).SerializeToString() == payload


def test_parse_bulk(benchmark: BenchmarkFixture, random: np.random.Generator) -> None:
    """The bytes of one ExecuteCommands, columns as they are."""
    request = benchmark(RequestColumns.FromString, bulk_payload(random))
    assert len(request.sku_ids) == SKUS_PER_CALL
