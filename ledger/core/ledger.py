"""The stock ledger: columns, and kernels that work on them. Pure: time and ids come in, only results go out."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, Protocol

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from ledger.core import ids, limits
from ledger.core.buffers import Buffers, Hands
from ledger.core.kernels.apply import replay_group
from ledger.core.kernels.check import (
    check_levels,
    check_requests,
    check_reservations,
    count_misused_document_lines,
    count_misused_lines,
    recount_documents,
    recount_levels,
)
from ledger.core.kernels.execute import (
    DUE_COUNT,
    DUE_FIELDS,
    DUE_FIRST_TICK,
    DUE_IS_ALL,
    DUE_LAST_TICK,
    DUE_LINES,
    DUE_SLOT_MASK,
    collect_due,
    execute_batch,
    expire_due,
    survey_due,
    tidy,
)
from ledger.core.kernels.memory import SEQ_MASK
from ledger.core.kernels.output import ANSWERS, DETAILS, MOVEMENTS, RECORDS, REQUESTS
from ledger.core.kernels.read import find_level, find_request, read_availability, read_pairs
from ledger.core.kernels.scan import (
    FOLLOWING,
    FOUND,
    VISITED,
    gather_document_lines,
    gather_lines,
    scan_documents,
    scan_levels,
    scan_reservations,
)
from ledger.core.movements import OUTSIDE, Account
from ledger.core.records import (
    ANY_SKU,
    COMMAND,
    DETAIL,
    FIRST_UNKNOWN,
    LINE,
    NO_LOCATION,
    OUTCOME,
    Answer,
    Batch,
    Group,
)
from ledger.core.state import (
    ACTIVE_TOTAL,
    BACKORDER_LIMIT,
    COMMITTED,
    COMMITTED_TOTAL,
    DOCUMENT_COUNT,
    DOCUMENT_ENDED_TOTAL,
    DOCUMENT_LINE_COUNT,
    DOCUMENT_OPEN_TOTAL,
    ENDED_TOTAL,
    EXTRA_WIDTH,
    FREE,
    HELD_LINE_COUNT,
    LEVEL_COUNT,
    LOCATION_COUNT,
    REQUEST_FIRST,
    REQUEST_TOTAL,
    RESERVATION_COUNT,
    RESERVED,
    SAFETY_STOCK,
    SEQ,
    SHARD,
    SKU_COUNT,
    STAGES,
    TICK_BITS,
    TIME_US,
    TRANSIT,
    UNAVAILABLE,
    Columns,
    Room,
    State,
)
from ledger.core.statuses import Operation, ReservationState, Status
from ledger.core.views import (
    Counts,
    DocumentLineView,
    DocumentView,
    LevelView,
    LineView,
    ReservationView,
    Scan,
    Violation,
)

# Hashes of names have 30 bits, so that an unknown name's negative index never meets ANY_SKU.
NAME_HASH_BITS: Final = 30
assert FIRST_UNKNOWN - (1 << NAME_HASH_BITS) > ANY_SKU
assert FIRST_UNKNOWN < NO_LOCATION < 0
# Forgetting works through a bounded number of rows in each execute, so that no batch waits for it.
TIDY_ROWS_MIN: Final = 256
# Positions in time are kept this often within the window.
WINDOW_MARKS: Final = 256
TICKS_LOOKED_AT_ONCE: Final = 1024
"""Of the expiry wheel."""
NO_EXTRA: Final = (0,) * EXTRA_WIDTH
ADVANCE: Final = int(Operation.ADVANCE)
# A level begins, units leave the hold of an order, change their stage, and are committed again: by each of two ways, of
# what a line says, and of the two things that become of the rest.
MOVEMENTS_PER_ADVANCED_LINE: Final = 4 * 2 * 3


class ImageSource(Protocol):
    """Gives back the parts of an image."""

    def has(self, name: str) -> bool:
        """Tell whether it has a part."""
        ...

    def read(self, name: str) -> bytes:
        """Return a part."""
        ...

    def read_into(self, name: str, target: memoryview) -> None:
        """Read a part to where it belongs; `target` has its size."""
        ...


def _advances(rows: NDArray[np.void]) -> int:
    """Count the verbs of documents among commands or records; this is the fastest way for few of them."""
    return rows["operation"].tobytes().count(ADVANCE)


def _copy_of(rows: NDArray[np.void]) -> NDArray[np.void]:
    """Return a copy of some rows, as kernels take them; numpy itself copies rows field by field."""
    return np.frombuffer(bytearray(rows.tobytes()), rows.dtype)


def _as_bytes(array: NDArray[Any]) -> memoryview:
    """Return the memory of an array without gaps."""
    return array.reshape(-1).view(np.uint8).data


def name_hash(name: str) -> int:
    """Hash of a sku's or location's id, 0 to 2^30 - 1."""
    return xxhash.xxh32_intdigest(name.encode()) & ((1 << NAME_HASH_BITS) - 1)


def unknown_index(name: str) -> int:
    """Negative index that stands for an id the ledger does not know."""
    return FIRST_UNKNOWN - name_hash(name)


def _level_view(stock: Sequence[int], extra: Sequence[int]) -> LevelView:
    unavailable = {reason: units for reason, units in enumerate(extra[UNAVAILABLE:], start=1) if units != 0}
    reserved, committed = stock[RESERVED], stock[COMMITTED]
    return LevelView(
        on_hand=stock[FREE] + reserved + committed + sum(unavailable.values()),
        unavailable=unavailable,
        reserved=reserved,
        committed=committed,
        safety_stock=extra[SAFETY_STOCK],
        backorder_limit=extra[BACKORDER_LIMIT],
    )


def _indexes(known: Mapping[str, int], names: Sequence[str]) -> NDArray[np.int32]:
    indexes = list(map(known.get, names))
    if None in indexes:
        indexes = [unknown_index(name) if index is None else index for name, index in zip(names, indexes, strict=True)]
    return np.array(indexes, np.int32)


class Ledger:
    """Stock levels, reservations and remembered request ids of one shard.

    One thread uses it. `execute` collects what it applied until `take_group` hands it to the journal.

    Parameters
    ----------
    request_window_us
        How long request ids are remembered, microseconds.
    retention_us
        How long ended reservations can be read, microseconds.
    shard
        Which one it is, 0 to ids.SHARD_MAX: the ids that it gives name it.
    """

    def __init__(self, *, request_window_us: int, retention_us: int, shard: int = 0) -> None:
        assert request_window_us > 0
        assert retention_us > 0
        assert 0 <= shard <= ids.SHARD_MAX
        self._window_us = request_window_us
        self._retention_us = retention_us
        self._columns = Columns()
        self._columns.counters.array[SHARD] = shard
        self._buffers = Buffers()
        self._skus: dict[str, int] = {}
        self._locations: dict[str, int] = {}
        self._sku_ids: list[str] = []
        self._location_ids: list[str] = []
        self._marks: deque[tuple[int, int]] = deque()
        self._group_time_us = 0
        self._group_first_seq = 1
        self._tidied: tuple[int, int] | None = None
        self.expired_count = 0
        """Holds that expired since the start; not those of a replay."""
        self.has_advanced = False
        """Whether the last batch had verbs of documents."""
        self._due = np.zeros(DUE_FIELDS, np.int64)
        self._swept_us = -1  # all holds that end up to this instant have ended

    def skip_to(self, seq: int) -> None:
        """Go on after a higher seq than the last one given out. Between groups only."""
        assert seq >= self.seq
        assert self._buffers.cursor[RECORDS] == 0
        self._columns.counters.array[SEQ] = seq

    @property
    def group_time_us(self) -> int:
        """Time of the group that is open, microseconds since the epoch."""
        return self._group_time_us

    # ---- names ------------------------------------------------------------------------------------------------------

    @property
    def shard(self) -> int:
        """Which one it is: ids name it."""
        return int(self._columns.counters.array[SHARD])

    @property
    def seq(self) -> int:
        """Last seq given out; 0 at first."""
        return int(self._columns.counters.array[SEQ])

    @property
    def time_us(self) -> int:
        """Time of the last batch, microseconds since the epoch."""
        return int(self._columns.counters.array[TIME_US])

    def define_sku(self, sku_id: str) -> int:
        """Give a sku its index; the same id gets the same index."""
        return self._define(sku_id, self._skus, self._sku_ids, SKU_COUNT)

    def define_location(self, location_id: str, active: bool = True) -> int:
        """Give a location its index; the same id gets the same index."""
        known = location_id in self._locations
        index = self._define(location_id, self._locations, self._location_ids, LOCATION_COUNT)
        if not known:
            self.set_location_active(index, active)
        return index

    def _define(self, name: str, known: dict[str, int], names: list[str], counter: int) -> int:
        if name in known:
            return known[name]
        is_sku = counter == SKU_COUNT
        hashes = self._columns["sku_hash" if is_sku else "location_hash"]
        beside = self._columns["sku_outside" if is_sku else "location_active"]
        index = len(names)
        if index >= min(hashes.capacity, beside.capacity):  # asking all columns took most of the time of a new name
            self._columns.grow(Room(skus=int(is_sku), locations=int(not is_sku)))
        hashes.array[index] = name_hash(name)
        names.append(name)
        known[name] = index  # last, so that whoever reads beside the writer finds a whole name or none
        self._columns.counters.array[counter] = len(names)
        return index

    def set_location_active(self, location: int, active: bool) -> None:
        """Open or close a location for new holds."""
        self._columns["location_active"].array[location] = active

    def is_location_active(self, location: int) -> bool:
        """Tell whether a location takes new holds."""
        return bool(self._columns["location_active"].array[location])

    def sku_index(self, sku_id: str) -> int:
        """Index of a sku, negative if it is unknown."""
        index = self._skus.get(sku_id)
        return unknown_index(sku_id) if index is None else index

    def sku_indexes(self, sku_ids: Sequence[str]) -> NDArray[np.int32]:
        """Indexes of many skus, negative where one is unknown."""
        return _indexes(self._skus, sku_ids)

    def location_indexes(self, location_ids: Sequence[str]) -> NDArray[np.int32]:
        """Indexes of many locations, negative where one is unknown."""
        return _indexes(self._locations, location_ids)

    def location_index(self, location_id: str) -> int:
        """Index of a location, negative if it is unknown."""
        index = self._locations.get(location_id)
        return unknown_index(location_id) if index is None else index

    def sku_id(self, index: int) -> str:
        """Id of a sku."""
        return self._sku_ids[index]

    def location_id(self, index: int) -> str:
        """Id of a location."""
        return self._location_ids[index]

    # ---- writing ----------------------------------------------------------------------------------------------------

    def execute(self, batch: Batch, time_us: int) -> Answer:
        """Expire what is due, then run the commands in order.

        Parameters
        ----------
        batch
            Commands and lines, dtypes COMMAND and LINE; already validated against ledger.core.limits.
        time_us
            Time of the batch, microseconds since the epoch; never before that of the batch before.

        Returns
        -------
        Answer
            One outcome for each command, in order.
        """
        commands, lines = batch
        assert commands.dtype == COMMAND
        assert lines.dtype == LINE
        advances = _advances(commands)
        self.has_advanced = advances > 0
        hands = self.open(len(commands), len(lines), time_us, advances=advances)
        outcomes = np.zeros(len(commands), OUTCOME)
        if len(commands) == 0:
            return Answer(outcomes, np.zeros(0, DETAIL))
        assert int(commands["line_start"][-1]) + int(commands["line_count"][-1]) <= len(lines), "lines of the commands"
        first_seq, first_record = self.seq, int(self._buffers.cursor[RECORDS])
        execute_batch(
            hands.columns,
            hands.output,
            hands.scratch,
            commands,
            lines,
            outcomes,
            hands.time_us,
            hands.request_window_us,
        )
        assert self.seq - first_seq == self._buffers.cursor[RECORDS] - first_record, "a seq for each record"
        assert self._buffers.cursor[ANSWERS] <= self._buffers.answers.capacity
        return Answer(outcomes, self._buffers.answers.array[: self._buffers.cursor[ANSWERS]].copy())

    def open(self, commands: int, lines: int, time_us: int, *, advances: int = 0) -> Hands:
        """Expire what is due, and make room for what so many commands and lines cause, for a kernel that runs them.

        So many of them as `advances` says are ADVANCE, which concern lines of documents. What it returns is valid until
        the next call of anything that writes.
        """
        assert time_us >= self.time_us, f"time went back from {self.time_us} to {time_us}"
        self._begin_group(time_us)
        self._expire(time_us)
        if commands:
            self._reserve(commands, lines, advances)
        self._buffers.cursor[ANSWERS] = 0
        return Hands(self._columns.packed, self._buffers.output, self._buffers.scratch, time_us, self._window_us)

    def expire_backlog(self, time_us: int, most: int) -> bool:
        """Expire `most` of the due holds as a group of their own, if there are more; tells whether it did.

        For a backlog that is too large for one journal entry: take the group, then call again.
        """
        survey_due(self._columns.packed, time_us, most, self._due)
        if self._due[DUE_IS_ALL] and self._due[DUE_COUNT] <= most:
            return False
        keys = self._collect_due(time_us)
        if self._due[DUE_IS_ALL] and len(keys) <= most:
            return False
        self._begin_group(time_us)
        self._expire_holds(time_us, keys[:most], are_all=False)
        return True

    def _begin_group(self, time_us: int) -> None:
        if self._buffers.cursor[RECORDS] == 0:
            self._group_time_us = time_us
            self._group_first_seq = self.seq + 1
        assert time_us == self._group_time_us, "all batches of one group have one time"
        assert self._tidied is None, "a finished group takes no more batches"

    def _expire(self, time_us: int) -> None:
        """Expire all that is due."""
        if self._swept_us < time_us:
            survey_due(self._columns.packed, time_us, limits.QUANTITY_MAX, self._due)
            assert self._due[DUE_IS_ALL]
            self._expire_holds(time_us, self._collect_due(time_us), are_all=True)

    def _collect_due(self, time_us: int) -> NDArray[np.uint64]:
        """Return the keys of the holds that are due in the ticks surveyed, sorted."""
        assert self.reservation_slots <= DUE_SLOT_MASK
        keys = np.zeros(self._due[DUE_COUNT], np.uint64)
        if len(keys):
            first, last = int(self._due[DUE_FIRST_TICK]), int(self._due[DUE_LAST_TICK])
            collect_due(self._columns.packed, time_us, first, last, keys, self._due)
            keys = keys[: self._due[DUE_COUNT]]
            keys.sort()
        return keys

    def _expire_holds(self, time_us: int, keys: NDArray[np.uint64], *, are_all: bool) -> None:
        """End the holds of some keys; `are_all` tells that none that is due is left then."""
        if len(keys):
            self._buffers.reserve(records=len(keys), movements=int(self._due[DUE_LINES]), details=0)
        wheel_tick = time_us >> TICK_BITS if are_all else int(self._due[DUE_LAST_TICK])
        first_record = int(self._buffers.cursor[RECORDS])
        expire_due(self._columns.packed, self._buffers.output, keys, time_us, wheel_tick)
        assert self._buffers.cursor[RECORDS] - first_record == len(keys), "a record for each hold that ended"
        self.expired_count += len(keys)
        if are_all:
            self._swept_us = time_us

    def _reserve(self, commands: int, lines: int, advances: int) -> None:
        """Make room for the most that so many commands and lines can cause; untouched room costs nothing."""
        implied = commands * limits.LINES_PER_RESERVATION_MAX
        advanced = advances * limits.LINES_PER_DOCUMENT_MAX
        self._columns.reserve(
            Room(
                levels=2 * lines + advanced,
                reservations=commands,
                held_lines=2 * lines + 2 * implied,
                requests=commands,
                documents=advances,
                document_lines=advanced,
            )
        )
        movements = 4 * lines + 2 * implied + MOVEMENTS_PER_ADVANCED_LINE * advanced
        self._buffers.reserve(records=commands, movements=movements, details=2 * lines + implied + advanced)

    def take_group(self) -> Group | None:
        """Return what was applied since the last call, ready for the journal; None if nothing was written."""
        cursor = self._buffers.cursor
        self.finish_group()
        if self._tidied is None:
            return None
        self._buffers.check()
        self._columns.check()
        (forgotten, recycled), self._tidied = self._tidied, None
        count = int(cursor[RECORDS])
        assert self._group_first_seq + count - 1 == self.seq, "a group has all seqs since the one before"
        buffers = self._buffers
        group = Group(
            first_seq=self._group_first_seq,
            time_us=self._group_time_us,
            forgotten_count=forgotten,
            recycled_count=recycled,
            records=_copy_of(buffers.records.array[:count]),
            requests=_copy_of(buffers.requests.array[: cursor[REQUESTS]]),
            movements=_copy_of(buffers.movements.array[: cursor[MOVEMENTS]]),
            details=_copy_of(buffers.details.array[: cursor[DETAILS]]),
        )
        cursor[:] = 0
        self._mark(group)
        return group

    def applied(self) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """Return records and movements of the open group, dtypes RECORDED and MOVEMENT; valid until it goes on."""
        cursor, buffers = self._buffers.cursor, self._buffers
        return buffers.records.array[: cursor[RECORDS]], buffers.movements.array[: cursor[MOVEMENTS]]

    def finish_group(self) -> None:
        """Do what ends a group that wrote something; afterwards the digest is that of the group's last seq."""
        count = int(self._buffers.cursor[RECORDS])
        if count and self._tidied is None:
            self._tidied = self._tidy(count)

    def _tidy(self, record_count: int) -> tuple[int, int]:
        """Forget request ids and recycle reservations whose time is over, a bounded number of each."""
        time_us = self._group_time_us
        forget_seq = 0
        while self._marks and self._marks[0][0] < time_us - self._window_us:
            forget_seq = self._marks[0][1]
            if len(self._marks) > 1 and self._marks[1][0] < time_us - self._window_us:
                self._marks.popleft()
            else:
                break
        result = self._buffers.result
        limit = TIDY_ROWS_MIN + 2 * record_count
        tidy(self._columns.packed, forget_seq, time_us - self._retention_us, limit, result)
        return int(result[0]), int(result[1])

    def _mark(self, group: Group) -> None:
        """Keep which seq was reached when, often enough to know what is older than the window."""
        if self._marks and group.time_us - self._marks[-1][0] < self._window_us // WINDOW_MARKS:
            return
        self._marks.append((group.time_us, group.last_seq))

    def replay(self, group: Group) -> None:
        """Apply a group from the journal.

        Raises
        ------
        ValueError
            The group does not follow the last one, or it is of another shard.
        """
        if group.first_seq != self.seq + 1:
            raise ValueError(f"first_seq: expected {self.seq + 1}, was {group.first_seq}")
        # one tells for all: an entry is of one shard, and small ones come by the million
        status, named = (group.records[field].item(0) for field in ("status", "reservation_id"))
        if status == Status.OK and self.is_foreign(named):
            was = ids.shard_of(named)
            raise ValueError(f"reservation_id: expected one of shard {self.shard}, was of {was}")
        stocked, advances = len(group.movements), _advances(group.records)
        self._columns.reserve(
            Room(
                levels=stocked,
                reservations=len(group.records),
                held_lines=stocked + len(group.details) + len(group.requests),
                requests=len(group.requests),
                documents=advances,
                document_lines=stocked if advances else 0,
            )
        )
        columns = map(_copy_of, (group.records, group.requests, group.movements, group.details))
        replay_group(self._columns.packed, group.time_us, *columns, group.forgotten_count, group.recycled_count)
        assert self.seq == group.last_seq, f"expected seq {group.last_seq}, was {self.seq}"
        self._mark(group)

    # ---- images -----------------------------------------------------------------------------------------------------

    @property
    def has_open_group(self) -> bool:
        """Whether something was applied that no group handed out says."""
        return bool(self._buffers.cursor[RECORDS])

    def image(self) -> dict[str, bytes | memoryview]:
        """Return all that this ledger is as named parts, which lie where they are used: valid until it changes.

        Between groups only. Of the wheel, 32 MiB that are mostly empty, the image has the ticks that are not.
        """
        assert not self.has_open_group
        wheel = self._columns["wheel"].array
        ticks = self._occupied_ticks()
        parts: dict[str, bytes | memoryview] = {
            "names": msgspec.msgpack.encode((self._sku_ids, self._location_ids)),
            "marks": msgspec.msgpack.encode(list(self._marks)),
            "wheel_ticks": ticks.astype(np.int32).tobytes(),
            "wheel_lists": wheel[ticks].tobytes(),
        }
        return parts | {name: _as_bytes(column.array[:rows]) for name, column, rows in self._columns.used()}

    def restore(self, source: ImageSource) -> None:
        """Become the ledger of an image; the window and the retention stay this one's own. Of a new ledger only."""
        assert self.seq == 0
        assert not self._sku_ids
        self._columns = Columns()
        self._columns.restore(lambda name, rows: source.read_into(name, _as_bytes(rows)))
        ticks = np.frombuffer(source.read("wheel_ticks"), np.int32)
        self._columns["wheel"].array[ticks] = np.frombuffer(source.read("wheel_lists"), np.int32).reshape(-1, 2)
        self._sku_ids, self._location_ids = msgspec.msgpack.decode(
            source.read("names"), type=tuple[list[str], list[str]]
        )
        self._skus = {name: index for index, name in enumerate(self._sku_ids)}
        self._locations = {name: index for index, name in enumerate(self._location_ids)}
        self._marks = deque(msgspec.msgpack.decode(source.read("marks"), type=list[tuple[int, int]]))

    def _occupied_ticks(self) -> NDArray[np.int64]:
        """Return the ticks of the expiry wheel that are not empty, of its four million.

        Found by stretches of it first, most of which are empty: that takes a tenth of the time.
        """
        stretches = self._columns["wheel"].array.view(np.int64).reshape(-1, TICKS_LOOKED_AT_ONCE)
        used = np.flatnonzero(stretches.any(axis=1))
        stretch, tick = np.divmod(np.flatnonzero(stretches[used]), TICKS_LOOKED_AT_ONCE)
        return used[stretch] * TICKS_LOOKED_AT_ONCE + tick

    # ---- reading ----------------------------------------------------------------------------------------------------

    @property
    def _state(self) -> State:
        return self._columns.state

    def find_level(self, sku: int, location: int) -> int:
        """Row of a stock level, or -1."""
        if sku < 0 or location < 0:
            return -1
        return int(find_level(self._columns.packed, sku, location))

    def available(self, sku: int, location: int) -> int | None:
        """Units that a new hold could get, negative if oversold; None where the sku is not stocked."""
        rows, available, _ = self.availability(np.array([sku]), np.array([location]))
        return None if rows[0, 0] < 0 else int(available[0, 0])

    def availability(self, skus: NDArray[Any], locations: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Read what can be promised of each sku at each location.

        Parameters
        ----------
        skus, locations
            Known indexes, dtype int64.

        Returns
        -------
        rows, available, oversold
            Shape (skus, locations), dtype int64. rows is -1 where a sku is not stocked; available may be negative.
        """
        shape = len(skus), len(locations)
        rows, available, oversold = (np.zeros(shape, np.int64) for _ in range(3))
        read_availability(self._columns.packed, skus, locations, rows, available, oversold)
        return rows, available, oversold

    def policies(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return safety stock and backorder limit of levels by row, any shape, dtype int64; 0 for rows below 0."""
        extra = np.where(rows < 0, 0, self._state.level_extra_row[rows])
        has_extra = extra > 0  # most levels have none
        values = self._state.level_extra[extra[has_extra] - 1]
        safety_stock, backorder_limit = np.zeros(rows.shape, np.int64), np.zeros(rows.shape, np.int64)
        safety_stock[has_extra], backorder_limit[has_extra] = values[:, SAFETY_STOCK], values[:, BACKORDER_LIMIT]
        return safety_stock, backorder_limit

    def available_at(self, skus: NDArray[np.int32], locations: NDArray[np.int32]) -> NDArray[np.int64]:
        """Units that a new hold could get at each pair of sku and location; 0 where the sku is not stocked.

        Parameters
        ----------
        skus, locations
            Shape (n,), dtype int32; negative: unknown.

        Returns
        -------
        available
            Shape (n,), dtype int64; negative where the level is oversold.
        """
        available = np.zeros(len(skus), np.int64)
        read_pairs(self._columns.packed, skus, locations, available)
        return available

    @property
    def level_count(self) -> int:
        """Stock levels there are; rows 0 to level_count - 1."""
        return int(self._state.counters[LEVEL_COUNT])

    def level_keys(self, first: int, last: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Sku and location indexes of the levels first to last - 1, dtype int64."""
        return self.keys_of(np.arange(first, last))

    def keys_of(self, rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Sku and location indexes of the levels of some rows, dtype int64."""
        keys = self._state.level_key[rows, 0]
        return (keys >> np.uint64(32)).astype(np.int64), (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)

    def level_names(self, rows: NDArray[Any]) -> list[tuple[str, str]]:
        """Sku and location ids of the levels of some rows."""
        skus, locations = self.keys_of(rows)
        return [
            (self._sku_ids[sku], self._location_ids[location])
            for sku, location in zip(skus.tolist(), locations.tolist(), strict=True)
        ]

    def level(self, sku: int, location: int) -> LevelView | None:
        """Return one stock level; None where the sku is not stocked."""
        row = self.find_level(sku, location)
        return None if row < 0 else self.level_at(row)

    def level_at(self, row: int) -> LevelView:
        """Return the stock level of a row."""
        (view,) = self.levels_at(np.array([row]))
        return view

    def levels_at(self, rows: NDArray[Any]) -> list[LevelView]:
        """Return the stock levels of some rows."""
        state = self._state
        extra_rows = state.level_extra_row[rows]
        extras = state.level_extra[np.maximum(extra_rows - 1, 0)].tolist()
        return [
            _level_view(stock, extra if has_extra else NO_EXTRA)
            for stock, extra, has_extra in zip(
                state.level_stock[rows].tolist(), extras, extra_rows.tolist(), strict=True
            )
        ]

    def scan_levels(self, first: int, *, sku: int, location: int, found_max: int, visits_max: int) -> Scan:
        """Look for the levels of a sku at a location (-1: any) from row `first` on, at most visits_max rows."""
        rows, result = np.zeros(found_max, np.int64), np.zeros(3, np.int64)
        if sku >= 0 and location >= 0:  # there is one at most, and the index knows it
            row = self.find_level(sku, location)
            return Scan(np.array([row] if row >= first else [], np.int64), self.level_count, 1)
        scan_levels(self._columns.packed, first, visits_max, sku, location, rows, result)
        return Scan(rows[: result[FOUND]], int(result[FOLLOWING]), int(result[VISITED]))

    def seq_of_request(self, high: int, low: int) -> int:
        """Return the seq at which a request id was answered first; 0 if it is not remembered."""
        row = int(find_request(self._columns.packed, np.uint64(high), np.uint64(low)))
        return int(self._state.requests[row]["answer"]) & SEQ_MASK if row >= 0 else 0

    def remembers_since(self, seq: int) -> bool:
        """Tell whether request ids from a seq on are remembered: they are forgotten in the order of their seqs."""
        place = int(self._state.counters[REQUEST_FIRST])
        return place > 0 and int(self._state.requests[place - 1]["answer"]) & SEQ_MASK <= seq

    def are_readable(self, reservation_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell of each reservation what `has_reservation` tells."""
        slots = ids.slot_part(reservation_ids)
        is_used = self._are_own(reservation_ids) & (slots < self.reservation_slots)
        rows = self._state.reservations[np.where(is_used, slots, 0)]
        return np.asarray(is_used & (rows["state"] != 0) & (rows["generation"] == ids.generation_part(reservation_ids)))

    def remembers(self, high: int, low: int) -> bool:
        """Tell whether a request id, given as its high and low half, is remembered."""
        return bool(find_request(self._columns.packed, np.uint64(high), np.uint64(low)) >= 0)

    @property
    def reservation_slots(self) -> int:
        """Slots that reservations have used."""
        return int(self._state.counters[RESERVATION_COUNT])

    def _are_own(self, reservation_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which ids may be of this shard."""
        return np.asarray((reservation_ids > 0) & (ids.shard_of(reservation_ids) == self.shard))

    def is_foreign(self, identity: int) -> bool:
        """Tell whether an id names another shard."""
        return identity > 0 and ids.shard_of(identity) != self.shard

    def reservation_id_at(self, slot: int) -> int:
        """Id of the reservation in a slot; 0 if it is free."""
        row = self._state.reservations[slot]
        return 0 if row["state"] == 0 else ids.id_in_slot(self.shard, int(row["generation"]), slot)

    def has_reservation(self, reservation_id: int) -> bool:
        """Tell whether a reservation can be read: it is known, and did not end too long ago."""
        slot = ids.slot_part(reservation_id)
        is_used = reservation_id > 0 and slot < self.reservation_slots
        return is_used and self.reservation_id_at(slot) == reservation_id

    def reservation(self, reservation_id: int) -> ReservationView | None:
        """Return one reservation; None if it is unknown, or ended too long ago."""
        if not self.has_reservation(reservation_id):
            return None
        ((_, view),) = self.reservations_at(np.array([ids.slot_part(reservation_id)]))
        return view

    def reservations_at(self, slots: NDArray[np.int64]) -> list[tuple[int, ReservationView]]:
        """Return id and view of the reservations in some slots, none of which is free."""
        state = self._state
        rows = state.reservations[slots]
        lines = np.zeros((int(rows["line_count"].sum(dtype=np.int64)), 4), np.int64)
        assert gather_lines(self._columns.packed, slots, lines) == len(lines)
        skus, locations = self.keys_of(lines[:, 0])
        views = map(LineView, skus.tolist(), locations.tolist(), *lines[:, 1:].T.tolist())
        identities = ids.id_in_slot(self.shard, rows["generation"].astype(np.int64), slots)
        columns = (rows[name].tolist() for name in ("state", "version", "create_time_us", "time_us", "line_count"))
        return [
            (
                reservation_id,
                ReservationView(
                    ReservationState(status), version, create_time_us, time_us, tuple(islice(views, line_count))
                ),
            )
            for reservation_id, status, version, create_time_us, time_us, line_count in zip(
                identities.tolist(), *columns, strict=True
            )
        ]

    def scan_reservations(
        self, first: int, *, state: int, sku: int, location: int, found_max: int, lines_max: int, visits_max: int
    ) -> Scan:
        """Look for the reservations in a state (0: any) with a line of a sku at a location (-1: any), from a slot on.

        At most found_max, few more than lines_max lines of those found, and about visits_max slots and lines looked at.
        """
        slots, result = np.zeros(found_max, np.int64), np.zeros(3, np.int64)
        scan_reservations(self._columns.packed, first, visits_max, lines_max, state, sku, location, slots, result)
        return Scan(slots[: result[FOUND]], int(result[FOLLOWING]), int(result[VISITED]))

    def held_line_counts(self, reservation_ids: NDArray[np.int64], made_max: int) -> NDArray[np.int64]:
        """Return how many lines some reservations have, before a batch that makes up to `made_max` new ones.

        One that the batch may make, by an id that can be foreseen, counts as many as it could have; an unknown one 0.
        """
        slots, generations = ids.slot_part(reservation_ids), ids.generation_part(reservation_ids)
        is_own, is_new = self._are_own(reservation_ids), slots >= self.reservation_slots
        is_used = is_own & ~is_new
        rows = self._state.reservations[np.where(is_used, slots, 0)]
        is_free = is_used & (rows["state"] == 0)
        is_there = is_used & ~is_free & (rows["generation"] == generations)
        can_be_made = is_free & (rows["generation"] + 1 == generations)
        can_be_made |= is_own & is_new & (slots < self.reservation_slots + made_max) & (generations == 1)
        return np.where(can_be_made, limits.LINES_PER_RESERVATION_MAX, np.where(is_there, rows["line_count"], 0))

    # ---- documents --------------------------------------------------------------------------------------------------

    @property
    def document_slots(self) -> int:
        """Slots that documents have used."""
        return int(self._state.counters[DOCUMENT_COUNT])

    def document(self, document_id: int, kind: int) -> DocumentView | None:
        """Return one document of a kind; None if it is unknown, or ended too long ago."""
        slot = ids.slot_part(document_id)
        if document_id <= 0 or self.is_foreign(document_id) or slot >= self.document_slots:
            return None
        row = self._state.documents[slot]
        if row["state"] == 0 or row["kind"] != kind or int(row["generation"]) != ids.generation_part(document_id):
            return None
        ((_, view),) = self.documents_at(np.array([slot]))
        return view

    def documents_at(self, slots: NDArray[np.int64]) -> list[tuple[int, DocumentView]]:
        """Return id and view of the documents in some slots, none of which is free."""
        rows = self._state.documents[slots]
        lines = np.zeros((int(rows["line_count"].sum(dtype=np.int64)), 1 + STAGES), np.int64)
        assert gather_document_lines(self._columns.packed, slots, lines) == len(lines)
        views = (DocumentLineView(sku, tuple(units)) for sku, *units in lines.tolist())
        identities = ids.id_in_slot(self.shard, rows["generation"].astype(np.int64), slots)
        heads = rows[[*DocumentView._fields[:-1]]].tolist()
        counts = rows["line_count"].tolist()
        return [
            (document_id, DocumentView._make((*head, tuple(islice(views, count)))))
            for document_id, head, count in zip(identities.tolist(), heads, counts, strict=True)
        ]

    def scan_documents(
        self,
        first: int,
        *,
        kind: int,
        states: int,
        location: int,
        due_before_us: int,
        found_max: int,
        lines_max: int,
        visits_max: int,
    ) -> Scan:
        """Look for the documents of a kind in some states (bits) at a location (-1: any), from a slot on.

        Those due before an instant (0: any), at most found_max and few more than lines_max lines of them, and at most
        visits_max slots.
        """
        slots, result = np.zeros(found_max, np.int64), np.zeros(3, np.int64)
        scan_documents(
            self._columns.packed, first, visits_max, lines_max, kind, states, location, due_before_us, slots, result
        )
        return Scan(slots[: result[FOUND]], int(result[FOLLOWING]), int(result[VISITED]))

    def outside(self, sku: int) -> dict[Account, int]:
        """Units of a sku that stand outside of stock levels, by account."""
        units = self._state.sku_outside[sku].tolist()
        return dict(zip(OUTSIDE, units, strict=True))

    def counts(self) -> Counts:
        """Return how many of each thing there are."""
        counters = self._state.counters
        return Counts(
            skus=len(self._sku_ids),
            locations=len(self._location_ids),
            stock_levels=int(counters[LEVEL_COUNT]),
            active_reservations=int(counters[ACTIVE_TOTAL]),
            committed_reservations=int(counters[COMMITTED_TOTAL]),
            ended_reservations=int(counters[ENDED_TOTAL]),
            request_ids=int(counters[REQUEST_TOTAL]),
            open_documents=int(counters[DOCUMENT_OPEN_TOTAL]),
            ended_documents=int(counters[DOCUMENT_ENDED_TOTAL]),
        )

    # ---- proof ------------------------------------------------------------------------------------------------------

    def digest(self) -> bytes:
        """Return 16 bytes that are equal for ledgers that applied the same groups (xxh3, 128 bits)."""
        digest = xxhash.xxh3_128()
        digest.update(msgspec.msgpack.encode((self._sku_ids, self._location_ids)))
        for rows in self._columns.told():
            digest.update(np.ascontiguousarray(rows).view(np.uint8).data)
        return digest.digest()

    def oversold_level_count(self) -> int:
        """Return how many levels have units promised beyond what is there: facts, not violations."""
        return int(np.count_nonzero(self._level_checks()[3]))

    def _level_checks(self) -> tuple[NDArray[Any], ...]:
        arrays = tuple(np.zeros(self.level_count, np.int64) for _ in range(4))
        check_levels(self._columns.packed, *arrays)
        return arrays

    def verify(self) -> list[Violation]:
        """Recount everything and return what does not add up; empty if nothing is wrong."""
        return [*self._verify_levels(), *self._verify_reservations(), *self._verify_documents()]

    def _verify_levels(self) -> Iterator[Violation]:
        state = self._state
        levels = self.level_count
        reserved, committed = np.zeros(levels, np.int64), np.zeros(levels, np.int64)
        balance = np.zeros(len(self._sku_ids), np.int64)
        recount_levels(self._columns.packed, reserved, committed, balance)
        self._recount_documents(committed)
        for name, column, expected in (
            ("reserved_matches_reservations", RESERVED, reserved),
            ("committed_matches_reservations", COMMITTED, committed),
        ):
            actual = state.level_stock[:levels, column]
            for row in np.flatnonzero(actual != expected):
                yield Violation(name, self._level_name(int(row)), int(expected[row]), int(actual[row]))
        for sku in np.flatnonzero(balance):
            yield Violation("units_are_conserved", self._sku_ids[sku], 0, int(balance[sku]))
        wrong_floor, wrong_index, negative, _ = self._level_checks()
        for name, marks in (
            ("floor_matches_policy", wrong_floor),
            ("index_finds_level", wrong_index),
            ("unavailable_is_not_negative", negative),
        ):
            for row in np.flatnonzero(marks):
                yield Violation(name, self._level_name(int(row)), 0, int(marks[row]))

    def _verify_reservations(self) -> Iterator[Violation]:
        state = self._state
        slots, lines = self.reservation_slots, int(state.counters[HELD_LINE_COUNT])
        wrong_open, wrong_list = np.zeros(slots, np.int64), np.zeros(slots, np.int64)
        line_uses = np.zeros(lines, np.int64)
        check_reservations(
            self._columns.packed, self._occupied_ticks(), np.zeros(slots, np.uint8), wrong_open, wrong_list, line_uses
        )
        for name, marks in (("open_units_fit_state", wrong_open), ("expiry_lists_are_complete", wrong_list)):
            for slot in np.flatnonzero(marks):
                yield Violation(name, f"reservation {self.reservation_id_at(int(slot)):016x}", 0, 1)
        lost = int(check_requests(self._columns.packed, line_uses))
        if lost:
            yield Violation("index_finds_request_ids", "request ids", 0, lost)
        misused = int(count_misused_lines(self._columns.packed, line_uses))
        if misused:
            yield Violation("lines_have_one_owner", "reservation lines", 0, misused)

    def _recount_documents(self, committed: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Return units in transit by sku, open documents by reservation, marks by slot, and uses of lines.

        What documents hold is added to committed, shape (levels,).
        """
        skus, lines = len(self._sku_ids), int(self._state.counters[DOCUMENT_LINE_COUNT])
        found = tuple(np.zeros(rows, np.int64) for rows in (skus, self.reservation_slots, self.document_slots, lines))
        recount_documents(self._columns.packed, committed, *found)
        return found

    def _verify_documents(self) -> Iterator[Violation]:
        state = self._state
        transit, awaited, wrong_state, line_uses = self._recount_documents(np.zeros(self.level_count, np.int64))
        actual = state.sku_outside[: len(transit), TRANSIT]
        for sku in np.flatnonzero(actual != transit):
            yield Violation("transit_matches_documents", self._sku_ids[sku], int(transit[sku]), int(actual[sku]))
        for slot in np.flatnonzero(wrong_state):
            document_id = ids.id_in_slot(self.shard, int(state.documents[slot]["generation"]), int(slot))
            yield Violation("units_fit_state", f"document {document_id:016x}", 0, 1)
        rows = state.reservations[: len(awaited)]
        for slot in np.flatnonzero((rows["awaits"] != awaited) & (rows["state"] != 0)):
            name = f"reservation {self.reservation_id_at(int(slot)):016x}"
            yield Violation("documents_are_awaited", name, int(awaited[slot]), int(rows["awaits"][slot]))
        misused = int(count_misused_document_lines(self._columns.packed, line_uses))
        if misused:
            yield Violation("document_lines_have_one_owner", "document lines", 0, misused)

    def _level_name(self, row: int) -> str:
        return " at ".join(self.level_names(np.array([row]))[0])
