"""The columns of the ledger: how kernels get at them, and that there is room before they do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_cases import Bench
from numpy.typing import NDArray
from test_parts import Image

from ledger.book import NO_CHANGE
from ledger.core.columns import PACKED_FIELDS, pack
from ledger.core.kernels import entry
from ledger.core.kernels.packed import state_of
from ledger.core.ledger import Ledger
from ledger.core.state import (
    COLUMNS,
    HELD_LINE_COUNT,
    INDEX_DEPTH,
    INDEX_SEGMENTS,
    INDEXES,
    LEVEL_COUNT,
    REQUEST_TOTAL,
    Columns,
    Room,
    State,
)

ROOMS = st.builds(Room, **dict.fromkeys(Room._fields, st.sampled_from((0, 1, 7, 200, 5_000, 90_000))))


@entry
def write_everywhere(columns, row, width):  # type: ignore[no-untyped-def]  # compiled
    """Write into a row of columns of each shape: plain, wide, of records, of an index; return what was there."""
    state = state_of(columns)
    found = state.level_stock[row, 3] + state.held_lines[row].quantity + state.wheel[row, 1]
    state.level_stock[row, 3] = 11
    state.held_lines[row].quantity = 12
    state.wheel[row, 1] = 13
    state.document_lines[row, width - 1] = 14
    state.request_index.rows[row, 255] = 15
    state.location_active[row] = 16
    state.level_index.spare_hashes[row] = 17
    return found


def test_kernels_see_the_rows_that_the_columns_are() -> None:
    """What is packed opens to the same rows, of every shape and type."""
    columns = Columns()
    state = columns.state
    row, width = 41, state.document_lines.shape[1]
    state.level_stock[row, 3], state.held_lines[row]["quantity"], state.wheel[row, 1] = 1, 2, 4
    assert write_everywhere(columns.packed, row, width) == 7
    assert state.level_stock[row].tolist() == [0, 0, 0, 11]
    assert state.held_lines[row].tolist() == (0, 0, 12, 0, 0)
    assert state.wheel[row].tolist() == [0, 13]
    assert state.document_lines[row].tolist() == [0] * (width - 1) + [14]
    assert (state.request_index.rows[row, 255], state.location_active[row]) == (15, 16)
    assert state.level_index.spare_hashes[row] == 17
    assert [int(state.level_stock.sum()), int(state.document_lines.sum())] == [11, 14]


def test_every_array_is_packed_with_its_rows() -> None:
    """Of each column and of each array of the indexes there are an address and a number of rows, in the same order."""
    state = Columns().state
    arrays: list[NDArray[np.void]] = []
    for member in state:
        arrays.extend(member if isinstance(member, tuple) else [member])
    packed = pack(state).reshape(-1, PACKED_FIELDS)
    assert packed.tolist() == [[array.ctypes.data, len(array)] for array in arrays]
    assert len(arrays) == len(COLUMNS) + sum(len(getattr(state, row.name)) for row in INDEXES)


def test_what_has_gaps_is_not_packed() -> None:
    """Kernels take rows that lie one after the other."""
    with pytest.raises(AssertionError):
        pack((np.zeros((4, 4))[:, ::2],))


@given(st.lists(st.tuples(ROOMS, st.integers(0, 100)), min_size=1, max_size=40))
def test_there_is_room_for_what_was_asked(asked: list[tuple[Room, int]]) -> None:
    """Whatever part of the room that was made before was used, each time there is as much as was asked for."""
    columns = Columns()
    counters = columns.counters.array
    for room, percent in asked:
        columns.reserve(room)
        for row in COLUMNS:
            if row.counter is not None:
                there = counters[row.counter] + getattr(room, row.room)
                assert len(getattr(columns.state, row.name)) >= there, row.name
        for index in INDEXES:
            is_tight = columns.indexes[index.name].is_tight
            assert not any(room) or not is_tight(int(counters[index.counter]), getattr(room, index.room)), index.name
        columns.check()
        assert (columns.packed == pack(columns.state)).all()
        for counter, place in {(row.counter, row.room) for row in (*COLUMNS, *INDEXES) if row.counter is not None}:
            counters[counter] += getattr(room, place) * percent // 100


def test_a_kernel_that_used_more_than_its_room_is_found() -> None:
    """Kernels check no bounds: the counters are looked at after them."""
    columns = Columns()
    columns.reserve(Room(levels=10, held_lines=10))
    columns.counters.array[LEVEL_COUNT] = len(columns.state.level_stock)
    columns.check()
    columns.counters.array[HELD_LINE_COUNT] = len(columns.state.held_lines) + 1
    with pytest.raises(AssertionError, match="rows: "):
        columns.check()


@pytest.mark.parametrize("place", [INDEX_DEPTH, INDEX_SEGMENTS])
@pytest.mark.parametrize("index", [row.name for row in INDEXES])
def test_an_index_that_was_split_beyond_its_room_is_found(index: str, place: int) -> None:
    columns = Columns()
    columns.reserve(Room())
    columns.check()
    columns.indexes[index].header.array[place] = 1 << 20
    with pytest.raises(AssertionError, match="room"):
        columns.check()


@pytest.mark.parametrize("field", Room._fields)
def test_there_are_no_more_rows_than_their_numbers_tell(field: str) -> None:
    columns = Columns()
    with pytest.raises(AssertionError, match="31 bits"):
        columns.grow(Room(**{field: 2**31}))


@pytest.mark.parametrize("field", Room._fields)
def test_a_kind_that_is_nearly_full_costs_batches_no_look_each(field: str) -> None:
    """Their rooms were added up against the fullest kind: with 64 rows for documents, each group looked at all."""
    columns = Columns()
    columns.grow(Room())
    place = Room._fields.index(field)
    for together, counter, asked in columns._growing:
        if asked == place:
            columns.counters.array[counter] = min(column.capacity for column in together) - 1
    columns._spare = 0
    looks = 0
    grow = columns.grow

    def counted(room: Room) -> None:
        nonlocal looks
        looks += 1
        grow(room)

    columns.grow = counted  # type: ignore[method-assign]
    for _ in range(1_000):
        columns.reserve(Room(levels=100, reservations=50, held_lines=150, requests=50))
    assert looks < 20


def test_names_grow_beside_batches() -> None:
    """A new name takes a row that no batch asked for, so that there may be less room than batches left."""
    ledger = Ledger(request_window_us=1, retention_us=1)
    for first in range(0, 6_000, 1_500):
        ledger.execute(NO_CHANGE, first + 1)
        ledger.take_group()
        for number in range(first, first + 1_500):
            assert ledger.define_sku(f"sku-{number}") == number
            assert ledger.define_location(f"location-{number}", active=number % 2 == 0) == number
    assert [ledger.is_location_active(number) for number in (4_000, 4_001)] == [True, False]
    assert ledger.verify() == []


def test_restored_columns_know_their_room() -> None:
    """An image has more rows than a new ledger, and nothing may have to grow before the first group is looked at."""
    source, target = Columns(), Columns()
    source.reserve(Room(levels=5_000, requests=5_000))
    source.counters.array[LEVEL_COUNT] = source.counters.array[REQUEST_TOTAL] = 5_000
    kept = {name: column.array[:rows].copy() for name, column, rows in source.used()}
    target.restore(lambda name, rows: np.copyto(rows, kept[name]))
    target.check()
    assert isinstance(target.state, State)


def test_only_stretches_of_the_wheel_that_had_holds_are_looked_at() -> None:
    """The others are memory that was never used; a restored ledger knows them, too."""
    bench = Bench(Ledger(request_window_us=3_600_000_000, retention_us=3_600_000_000))
    bench.ledger.define_sku("S")
    bench.ledger.define_location("L", active=True)
    bench.stock((0, 0, 100))
    for ttl_us in (1_000_000, 60_000_000, 3_600_000_000, 3_600_500_000):
        bench.hold((0, 0, 1), ttl_us=ttl_us)
    found = Ledger(request_window_us=1, retention_us=1)
    found.restore(Image({name: bytes(part) for name, part in bench.ledger.image().items()}))
    for ledger in (bench.ledger, found):
        whole = np.flatnonzero(ledger._columns["wheel"].array.any(axis=1))
        assert ledger._occupied_ticks().tolist() == whole.tolist()
        assert 1 < ledger._columns["wheel_stretches"].array.sum() <= len(whole)
