"""The ledger's memory: which columns there are, what a row holds, how large it is.

A stock level takes 44 bytes plus its place in the index (5 bytes at a load of one half to nine tenths); an open
one-line reservation with its request id takes 40 + 20 + 52 bytes plus the index. Row numbers are kept plus one where 0
means none, so that fresh zeroed memory is valid.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ledger.core.columns import Column

# Columns of level_stock. FLOOR = safety_stock - backorder_limit: a hold of q needs FREE - q >= FLOOR.
FREE: Final = 0
RESERVED: Final = 1
COMMITTED: Final = 2
FLOOR: Final = 3

# Columns of level_extra; UNAVAILABLE + reason - 1 for each of the reasons.
SAFETY_STOCK: Final = 0
BACKORDER_LIMIT: Final = 1
UNAVAILABLE: Final = 2
UNAVAILABLE_REASONS: Final = 5
EXTRA_WIDTH: Final = UNAVAILABLE + UNAVAILABLE_REASONS

# Columns of sku_outside: what a sku's units outside the levels come from and go to.
SUPPLIER: Final = 0
CUSTOMER: Final = 1
SHRINKAGE: Final = 2
TRANSIT: Final = 3

# Positions in counters.
SEQ: Final = 0
TIME_US: Final = 1
LEVEL_COUNT: Final = 2
EXTRA_COUNT: Final = 3
RESERVATION_COUNT: Final = 4  # slots ever used
RESERVATION_FREE: Final = 5  # first free slot + 1, linked by `following`
HELD_LINE_COUNT: Final = 6
HELD_LINE_FREE: Final = 7
ENDED_FIRST: Final = 8  # longest ended reservation + 1
ENDED_LAST: Final = 9
REQUEST_COUNT: Final = 10  # rows ever used
REQUEST_FREE: Final = 11
REQUEST_FIRST: Final = 12  # oldest remembered request + 1
REQUEST_LAST: Final = 13
ACTIVE_TOTAL: Final = 14
COMMITTED_TOTAL: Final = 15
ENDED_TOTAL: Final = 16
REQUEST_TOTAL: Final = 17
SKU_COUNT: Final = 18
LOCATION_COUNT: Final = 19
WHEEL_TICK: Final = 20  # ticks before this one hold nothing
COUNTERS: Final = 24

# The expiry wheel: a list of reservations for each tick of 4.096 ms, 2^22 ticks (4.8 hours) around.
TICK_BITS: Final = 12
WHEEL_BITS: Final = 22
WHEEL_SIZE: Final = 1 << WHEEL_BITS

SEGMENT_SLOTS: Final = 256
SEGMENT_LOAD_MAX: Final = 224
INDEX_DEPTH: Final = 0
INDEX_SEGMENTS: Final = 1

RESERVATION: Final = np.dtype(
    [
        ("generation", "i4"),  # grows when the slot is used again; id = generation << 32 | slot
        ("first_line", "i4"),  # held line + 1
        ("version", "i4"),
        ("line_count", "u1"),
        ("state", "u1"),
        ("is_ended", "u1"),  # in the list of ended ones
        ("pad", "u1"),
        ("preceding", "i4"),  # reservation + 1 before it in its tick of the wheel
        ("following", "i4"),  # the one after it in its tick, among the ended, or among the free slots
        ("create_time_us", "i8"),
        ("time_us", "i8"),  # expire time while ACTIVE, else when it was committed or ended
    ],
    align=True,
)

HELD_LINE: Final = np.dtype(
    [("level", "i4"), ("following", "i4"), ("quantity", "i4"), ("open", "i4"), ("fulfilled", "i4")], align=True
)

# The stored answer to a request id. `answer` packs seq (48 bits), status, state, flags; `value` is the reservation id
# of a RESERVE, the first detail (held line + 1) where there are details, else the version.
REQUEST: Final = np.dtype(
    [("fingerprint", "u8"), ("answer", "u8"), ("value", "i8"), ("time_us", "i8"), ("following", "i4")]
)


class Index(NamedTuple):
    """An extendible hash index: a directory of segments of 256 slots each.

    A full segment splits in two, which touches 256 rows: growing never stops the writer for longer than that.
    """

    header: NDArray[np.int64]
    """Depth of the directory, number of segments."""
    directory: NDArray[np.int32]
    """Segment of each hash prefix; 2^depth count."""
    tags: NDArray[np.uint8]
    """Shape (segments, 256): low byte of the hash."""
    rows: NDArray[np.int32]
    """Shape (segments, 256): row + 1, 0 free."""
    fill: NDArray[np.int32]
    """Shape (segments, 2): depth of the segment, used slots."""
    spare: NDArray[np.int32]
    """Room for the rows of one segment while it splits."""
    spare_hashes: NDArray[np.uint64]
    """Room for the hashes of their keys."""


class State(NamedTuple):
    """All columns, as the kernels take them."""

    counters: NDArray[np.int64]
    level_key: NDArray[np.uint64]
    """Shape (n, 1): sku << 32 | location."""
    level_stock: NDArray[np.int64]
    """Shape (n, 4): FREE, RESERVED, COMMITTED, FLOOR."""
    level_extra_row: NDArray[np.int32]
    """Row of level_extra + 1, 0 for a level without policy and unavailable units."""
    level_extra: NDArray[np.int64]
    sku_hash: NDArray[np.int32]
    sku_outside: NDArray[np.int64]
    location_hash: NDArray[np.int32]
    location_active: NDArray[np.uint8]
    reservations: NDArray[np.void]
    held_lines: NDArray[np.void]
    wheel: NDArray[np.int32]
    """Shape (WHEEL_SIZE, 2): first reservation + 1 of each tick's list, and its length."""
    request_key: NDArray[np.uint64]
    """Shape (n, 2): high and low half of the request id."""
    requests: NDArray[np.void]
    level_index: Index
    request_index: Index


class IndexColumns:
    """Owner of one index."""

    def __init__(self) -> None:
        self.header = Column("i8")
        self.directory = Column("i4", rows=1024)
        self.tags = Column("u1", width=SEGMENT_SLOTS, rows=64)
        self.rows = Column("i4", width=SEGMENT_SLOTS, rows=64)
        self.fill = Column("i4", width=2, rows=64)
        self.spare = np.zeros(SEGMENT_SLOTS, np.int32)
        self.spare_hashes = np.zeros(SEGMENT_SLOTS, np.uint64)
        self.header.array[INDEX_DEPTH] = 1
        self.header.array[INDEX_SEGMENTS] = 2
        self.directory.array[1] = 1
        self.fill.array[:2, 0] = 1

    def wanted(self, keys: int, inserts: int) -> tuple[int, int]:
        """Segments and directory places that `inserts` more keys than `keys` can need.

        A batch that is small against the index splits each segment once at most; a large one spreads evenly, and leaves
        no segment less than half full. Room that is not used costs nothing, so the bounds are wide.
        """
        there = int(self.header.array[INDEX_SEGMENTS])
        filled = 2 * (keys + inserts) // SEGMENT_LOAD_MAX
        segments = 2 * max(there + min(inserts, there), filled) + 64
        return segments, 16 << segments.bit_length()

    def is_tight(self, keys: int, inserts: int) -> bool:
        """Tell whether that many more keys might not fit."""
        segments, places = self.wanted(keys, inserts)
        return segments > self.tags.capacity or places > self.directory.capacity

    def reserve(self, keys: int, inserts: int) -> None:
        """Make room for that many more keys."""
        segments, places = self.wanted(keys, inserts)
        self.directory.reserve(places)
        for column in (self.tags, self.rows, self.fill):
            column.reserve(segments)

    def view(self) -> Index:
        """Return the arrays as kernels take them."""
        return Index(
            self.header.array,
            self.directory.array,
            self.tags.array,
            self.rows.array,
            self.fill.array,
            self.spare,
            self.spare_hashes,
        )


class Columns:
    """Owner of all columns of a ledger."""

    def __init__(self) -> None:
        self.counters = Column("i8", rows=COUNTERS)
        self.level_key = Column("u8", width=1)
        self.level_stock = Column("i8", width=4)
        self.level_extra_row = Column("i4")
        self.level_extra = Column("i8", width=EXTRA_WIDTH)
        self.sku_hash = Column("i4")
        self.sku_outside = Column("i8", width=4)
        self.location_hash = Column("i4")
        self.location_active = Column("u1")
        self.reservations = Column(RESERVATION)
        self.held_lines = Column(HELD_LINE)
        self.wheel = Column("i4", width=2, rows=WHEEL_SIZE)
        self.request_key = Column("u8", width=2)
        self.requests = Column(REQUEST)
        self.level_index = IndexColumns()
        self.request_index = IndexColumns()
        self._state: State | None = None

    @property
    def state(self) -> State:
        """The arrays as kernels take them; dropped whenever something grows."""
        if self._state is None:
            columns = [getattr(self, name).array for name in State._fields[:-2]]
            self._state = State._make((*columns, self.level_index.view(), self.request_index.view()))
        return self._state

    def _counted(self) -> "tuple[tuple[tuple[Column, ...], int], ...]":
        """Return the columns that grow, with how many rows of them are used."""
        counters = self.counters.array
        return (
            ((self.level_key, self.level_stock, self.level_extra_row), counters[LEVEL_COUNT]),
            ((self.level_extra,), counters[EXTRA_COUNT]),
            ((self.sku_hash, self.sku_outside), counters[SKU_COUNT]),
            ((self.location_hash, self.location_active), counters[LOCATION_COUNT]),
            ((self.reservations,), counters[RESERVATION_COUNT]),
            ((self.held_lines,), counters[HELD_LINE_COUNT]),
            ((self.request_key, self.requests), counters[REQUEST_COUNT]),
        )

    def check(self) -> None:
        """Assert that no kernel used more rows than there is room for: kernels check no bounds."""
        for columns, count in self._counted():
            assert 0 <= count <= min(column.capacity for column in columns), f"rows: {count}"

    def reserve(
        self,
        *,
        levels: int = 0,
        skus: int = 0,
        locations: int = 0,
        reservations: int = 0,
        held_lines: int = 0,
        requests: int = 0,
    ) -> None:
        """Make room for that many more rows of each kind."""
        counters = self.counters.array
        more = (levels, levels, skus, locations, reservations, held_lines, requests)
        for (columns, count), added in zip(self._counted(), more, strict=True):
            rows = count + added
            if rows > columns[0].capacity or rows > columns[-1].capacity:
                self._state = None
                for column in columns:
                    column.reserve(int(rows))
        indexes = (
            (self.level_index, int(counters[LEVEL_COUNT]), levels),
            (self.request_index, int(counters[REQUEST_TOTAL]), requests),
        )
        for index, keys, inserts in indexes:
            if index.is_tight(keys, inserts):
                self._state = None
                index.reserve(keys, inserts)
