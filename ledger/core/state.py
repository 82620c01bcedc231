"""The ledger's memory: which columns there are, what a row holds, how large it is.

A stock level takes 44 bytes plus its place in the index (5 bytes at a load of one half to nine tenths); an open
one-line reservation with its request id takes 40 + 20 + 52 bytes plus the index. Row numbers are kept plus one where 0
means none, so that fresh zeroed memory is valid.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ledger.core.columns import Column, pack
from ledger.core.limits import TTL_US_MAX
from ledger.core.statuses import DocumentKind

# Columns of level_stock. FLOOR = safety_stock - backorder_limit: a hold of q needs FREE - q >= FLOOR.
FREE: Final = 0
RESERVED: Final = 1
COMMITTED: Final = 2
FLOOR: Final = 3
STOCK_WIDTH: Final = 4

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
UNEXPLAINED: Final = 4
OUTSIDE_WIDTH: Final = 5

# Columns of document_lines: of a document's line its sku, the line after it + 1, and from LINE_UNITS + 1 on its units
# by stage. What a stage is, the kind of the document says.
LINE_SKU: Final = 0
LINE_FOLLOWING: Final = 1
LINE_UNITS: Final = 1
STAGES: Final = 10
LINE_WIDTH: Final = LINE_UNITS + STAGES + 1

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
DOCUMENT_COUNT: Final = 21  # slots ever used
DOCUMENT_FREE: Final = 22
DOCUMENT_LINE_COUNT: Final = 23
DOCUMENT_LINE_FREE: Final = 24
DOCUMENT_ENDED_FIRST: Final = 25  # longest ended document + 1
DOCUMENT_ENDED_LAST: Final = 26
DOCUMENT_OPEN_TOTAL: Final = 27
DOCUMENT_ENDED_TOTAL: Final = 28
SHARD: Final = 29  # whose ledger it is: ids name it
GENERATION_FLOOR: Final = 30  # the first id of a slot has the generation after this one
REQUEST_FORGOTTEN: Final = 31  # seq of the request that was forgotten last
OPEN_BY_KIND: Final = 32  # + kind: documents of a kind that have not ended
ENDED_BY_KIND: Final = 40
COUNTERS: Final = 48
assert max(DocumentKind) < ENDED_BY_KIND - OPEN_BY_KIND == COUNTERS - ENDED_BY_KIND

# The expiry wheel: a list of reservations for each tick of 4.096 ms, 2^22 ticks (4.8 hours) around.
TICK_BITS: Final = 12
WHEEL_BITS: Final = 22
WHEEL_SIZE: Final = 1 << WHEEL_BITS
assert TTL_US_MAX < (WHEEL_SIZE - 1) << TICK_BITS  # no hold goes around
STRETCH_BITS: Final = 10  # of ticks that are looked at together when somebody wants all that are not empty
WHEEL_STRETCHES: Final = WHEEL_SIZE >> STRETCH_BITS

ROWS_MAX: Final = 1 << 31  # row numbers are kept plus one, in 32 bits with a sign
SPARE_LEAST: Final = 1 << 14
"""Rows of each kind that there is room for after a look: a kind that is nearly full must not ask for one each time."""
SEGMENT_SLOTS: Final = 256
SEGMENT_LOAD_MAX: Final = 224
INDEX_DEPTH: Final = 0
INDEX_SEGMENTS: Final = 1

RESERVATION: Final = np.dtype(
    [
        ("generation", "i4"),  # grows when the slot is used again; see `ledger.core.ids`
        ("first_line", "i4"),  # held line + 1
        ("version", "i4"),
        ("line_count", "u1"),
        ("state", "u1"),  # COMMITTED also when it was fulfilled or cancelled: its lines tell which
        ("is_ended", "u1"),  # in the list of ended ones
        ("awaits", "u1"),  # open documents that may bring it units: it does not end before they do
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

# A document: ledger.core.documents says what its kind, states and stages are.
DOCUMENT: Final = np.dtype(
    [
        ("generation", "i4"),  # as of a reservation
        ("first_line", "i4"),  # document line + 1
        ("version", "i4"),
        ("kind", "u1"),
        ("state", "u1"),  # 0: the slot is free
        ("line_count", "u1"),
        ("is_ended", "u1"),  # in the list of ended ones
        ("source", "i4"),
        ("target", "i4"),
        ("following", "i4"),  # the one after it among the ended, or among the free slots
        ("method", "u4"),  # FulfillmentMethod; 0: it has none
        ("due_us", "i8"),  # 0: none
        ("reservation_id", "i8"),  # that its units are for; 0: none
        ("create_time_us", "i8"),
        ("time_us", "i8"),  # of its last change; of an ended one, when it ended
    ],
    align=True,
)

# The stored answer to a request id. `answer` packs seq (48 bits), status, state, flags; `value` is the reservation id
# of a RESERVE or the id of a new document, the first detail (held line + 1) where there are details, else the version.
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
    wheel_stretches: NDArray[np.uint8]
    """Shape (WHEEL_STRETCHES,): whether a tick of a stretch ever had a list; the others are not looked at."""
    request_key: NDArray[np.uint64]
    """Shape (n, 2): high and low half of the request id."""
    requests: NDArray[np.void]
    documents: NDArray[np.void]
    document_lines: NDArray[np.int32]
    """Shape (n, LINE_WIDTH)."""
    level_index: Index
    request_index: Index


class Room(NamedTuple):
    """How many more rows of each kind there shall be room for."""

    levels: int = 0
    skus: int = 0
    locations: int = 0
    reservations: int = 0
    held_lines: int = 0
    requests: int = 0
    documents: int = 0
    document_lines: int = 0


class ColumnRow(NamedTuple):
    """One column of the ledger, as data."""

    name: str
    """Of the field of State."""
    dtype: DTypeLike
    counter: int | None
    """Position in counters of how many rows are used; None: always all."""
    room: str = ""
    """Field of Room whose rows need rows of this column; "": it never grows."""
    width: int = 0
    rows: int = 1024
    """There at first."""
    is_told: bool = True
    """Whether digests tell it as it is. What is not follows from the rest, or is told in another way."""
    is_kept: bool = True
    """Whether images keep it as it lies; what is not is kept as what is not empty of it, or follows from the rest."""


COLUMNS: Final = (
    # digests tell the counters that are no measure of this run, see DIGESTED
    ColumnRow("counters", "i8", None, rows=COUNTERS, is_told=False),
    ColumnRow("level_key", "u8", LEVEL_COUNT, "levels", width=1),
    ColumnRow("level_stock", "i8", LEVEL_COUNT, "levels", width=STOCK_WIDTH),
    ColumnRow("level_extra_row", "i4", LEVEL_COUNT, "levels"),
    ColumnRow("level_extra", "i8", EXTRA_COUNT, "levels", width=EXTRA_WIDTH),
    ColumnRow("sku_hash", "i4", SKU_COUNT, "skus", is_told=False),  # of the name, which is told
    ColumnRow("sku_outside", "i8", SKU_COUNT, "skus", width=OUTSIDE_WIDTH),
    ColumnRow("location_hash", "i4", LOCATION_COUNT, "locations", is_told=False),
    ColumnRow("location_active", "u1", LOCATION_COUNT, "locations"),
    ColumnRow("reservations", RESERVATION, RESERVATION_COUNT, "reservations"),
    ColumnRow("held_lines", HELD_LINE, HELD_LINE_COUNT, "held_lines"),
    # its lists are linked through reservations, which are told
    ColumnRow("wheel", "i4", None, width=2, rows=WHEEL_SIZE, is_told=False, is_kept=False),
    ColumnRow("wheel_stretches", "u1", None, rows=WHEEL_STRETCHES, is_told=False, is_kept=False),
    ColumnRow("request_key", "u8", REQUEST_COUNT, "requests", width=2),
    ColumnRow("requests", REQUEST, REQUEST_COUNT, "requests"),
    ColumnRow("documents", DOCUMENT, DOCUMENT_COUNT, "documents", rows=64),
    ColumnRow("document_lines", "i4", DOCUMENT_LINE_COUNT, "document_lines", width=LINE_WIDTH, rows=64),
)


class IndexRow(NamedTuple):
    """One index of the ledger, as data; it follows from a column of keys, so that digests leave it out."""

    name: str
    """Of the field of State."""
    counter: int
    """Position in counters of how many keys it has."""
    room: str
    """Field of Room whose rows need keys of this index."""


INDEXES: Final = (
    IndexRow("level_index", LEVEL_COUNT, "levels"),
    IndexRow("request_index", REQUEST_TOTAL, "requests"),
)
assert (*(row.name for row in COLUMNS), *(row.name for row in INDEXES)) == State._fields
assert COLUMNS[0].name == "counters"  # whoever reads an image learns from it how long the other columns are
assert all(row.room in Room._fields for row in (*COLUMNS, *INDEXES) if row.counter is not None)
assert all((row.counter is None) == (row.room == "") for row in COLUMNS)
# Columns whose used rows one counter tells grow together.
ROOM_OF: Final = {row.counter: row.room for row in COLUMNS if row.counter is not None}
assert all(row.counter is None or row.room == ROOM_OF[row.counter] for row in COLUMNS)

# Counters that no digest tells: two depend on when somebody looked, one names the ledger, and which request was
# forgotten last came later than digests that are compared.
UNTOLD: Final = frozenset({TIME_US, WHEEL_TICK, SHARD, REQUEST_FORGOTTEN})
DIGESTED: Final = tuple(counter for counter in range(COUNTERS) if counter not in UNTOLD)


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

    def check(self) -> None:
        """Assert that splitting took no more segments and places than there is room for."""
        header = self.header.array.item
        segments, depth = header(INDEX_SEGMENTS), header(INDEX_DEPTH)
        assert 0 < segments <= self.tags.capacity, f"segments: {segments}, room: {self.tags.capacity}"
        assert 0 < depth < self.directory.capacity.bit_length(), f"2^{depth} places, room: {self.directory.capacity}"

    def used(self) -> Iterator[tuple[str, Column, int]]:
        """Yield name, column and used rows of what images keep; the header first, which says how many these are."""
        yield "header", self.header, INDEX_SEGMENTS + 1
        yield "directory", self.directory, 1 << int(self.header.array[INDEX_DEPTH])
        segments = int(self.header.array[INDEX_SEGMENTS])
        yield "tags", self.tags, segments
        yield "rows", self.rows, segments
        yield "fill", self.fill, segments

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
        self._columns = {row.name: Column(row.dtype, width=row.width, rows=row.rows) for row in COLUMNS}
        self.indexes = {row.name: IndexColumns() for row in INDEXES}
        self.counters = self._columns["counters"]
        # What grows together, with the counter of its used rows and the position in Room that asks for more of them.
        self._growing = tuple(
            (
                tuple(self._columns[row.name] for row in COLUMNS if row.counter == counter),
                counter,
                Room._fields.index(room),
            )
            for counter, room in ROOM_OF.items()
        )
        self._keyed = tuple((self.indexes[row.name], row.counter, Room._fields.index(row.room)) for row in INDEXES)
        self._capacities = self._measure()
        self._spare = 0  # rows of every kind that fit without a look
        self._state: State | None = None
        self._packed: NDArray[np.int64] | None = None

    def __getitem__(self, name: str) -> Column:
        """Return one column."""
        return self._columns[name]

    @property
    def state(self) -> State:
        """The arrays themselves; dropped whenever something grows."""
        if self._state is None:
            columns = [column.array for column in self._columns.values()]
            self._state = State._make((*columns, *(index.view() for index in self.indexes.values())))
        return self._state

    @property
    def packed(self) -> NDArray[np.int64]:
        """The arrays as kernels take them, see `ledger.core.columns.pack`; valid until something grows."""
        if self._packed is None:
            self._packed = pack(self.state)
        return self._packed

    def check(self) -> None:
        """Assert that no kernel used more rows than there is room for: kernels check no bounds."""
        used = self.counters.array.item  # the fastest way to a few of them
        for (_, counter, _), capacity in zip(self._growing, self._capacities, strict=True):
            assert 0 <= used(counter) <= capacity, f"rows: {used(counter)}, room: {capacity}"
        for index, _, _ in self._keyed:
            index.check()

    def reserve(self, room: Room) -> None:
        """Make room for that many more rows of each kind, for a batch: not even a look while there is plenty of all."""
        most = max(room)
        if most > self._spare:
            self.grow(room)
        self._spare -= most

    def grow(self, room: Room) -> None:
        """Make room for that many more rows of each kind and for SPARE_LEAST, wherever there is less."""
        used = self.counters.array.item
        for (columns, counter, place), capacity in zip(self._growing, self._capacities, strict=True):
            rows = used(counter) + max(room[place], SPARE_LEAST)
            if rows > capacity:
                assert rows < ROWS_MAX, f"rows: {rows}, and their numbers have 31 bits"
                self._state = self._packed = None
                for column in columns:
                    column.reserve(rows)
        for index, counter, place in self._keyed:
            keys, inserts = used(counter), max(room[place], SPARE_LEAST)
            if index.is_tight(keys, inserts):
                self._state = self._packed = None
                index.reserve(keys, inserts)
        self._capacities = self._measure()
        self._spare = self._measure_spare()

    def _measure(self) -> list[int]:
        """Return for how many rows there is room, in what grows together."""
        return [min(column.capacity for column in columns) for columns, _, _ in self._growing]

    def _measure_spare(self) -> int:
        """Return how many more rows of every kind fit: until batches asked for so many, nothing needs a look."""
        used = self.counters.array.item
        rows = zip(self._growing, self._capacities, strict=True)
        spare = min(capacity - int(used(counter)) for (_, counter, _), capacity in rows)
        while any(index.is_tight(used(counter), spare) for index, counter, _ in self._keyed):
            spare //= 2
        return spare

    def restore(self, read_into: Callable[[str, NDArray[Any]], None]) -> None:
        """Become what images keep: rows of columns by name, in the order of `used`."""
        for name, column, rows in self.used():
            column.reserve(rows)
            read_into(name, column.array[:rows])
        self._capacities = self._measure()

    def told(self) -> Iterator[NDArray[Any]]:
        """Yield the used rows of the columns that digests tell, then the counters."""
        counters = self.counters.array
        for row in COLUMNS:
            if row.is_told:
                yield self._columns[row.name].array[: counters[row.counter]]
        yield counters[list(DIGESTED)]

    def used(self) -> Iterator[tuple[str, Column, int]]:
        """Yield name, column and used rows of all columns that images keep as they lie.

        How many rows are used stands in the columns that come first: while an image is read, these are read by then.
        """
        for row in COLUMNS:
            if row.is_kept:
                count = row.rows if row.counter is None else int(self.counters.array[row.counter])
                yield row.name, self._columns[row.name], count
        for name, index in self.indexes.items():
            yield from ((f"{name}.{part}", column, count) for part, column, count in index.used())
