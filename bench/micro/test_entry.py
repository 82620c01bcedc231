"""Journal entries: a group to bytes and back."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.columns import Columns
from bench.micro.rounds import BULK, UNARY
from ledger.core.records import Group
from ledger.journal.entry import CHAIN_START, Entry, decode_entry, encode_entry

LEVELS = 10_000


@pytest.fixture(params=[UNARY, BULK])
def group(request: pytest.FixtureRequest) -> Group:
    """Return a group of reservations with request ids."""
    columns = Columns(LEVELS)
    for batch in columns.level_batches(BULK):
        columns.run(batch)
    return columns.run(columns.reservations(request.param))


def encode(group: Group) -> bytes:
    """Return the payload that the journal gets."""
    return encode_entry(Entry.of_group(group, epoch=1), CHAIN_START)[0]


def test_encode(benchmark: BenchmarkFixture, group: Group) -> None:
    """Columns to one chained payload."""
    payload = benchmark(encode, group)
    assert decode_entry(payload, CHAIN_START)[0].record_count == len(group.records)


def test_decode(benchmark: BenchmarkFixture, group: Group) -> None:
    """A payload to columns, its checksum checked."""
    payload = encode(group)
    entry, _ = benchmark(decode_entry, payload, CHAIN_START)
    assert (entry.group().records == group.records).all()
