"""The stock ledger: columns, and kernels that work on them. Pure: time and ids come in, only results go out."""

from collections import deque
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from ledger.core import ids, limits
from ledger.core.buffers import Buffers, Hands
from ledger.core.images import ImageSource
from ledger.core.kernels.apply import replay_group
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
from ledger.core.kernels.output import ANSWERS, DETAILS, MOVEMENTS, RECORDS, REQUESTS
from ledger.core.operations import ADVANCES_DOCUMENT, OPERATIONS
from ledger.core.proof import Proof
from ledger.core.records import COMMAND, DETAIL, LINE, OUTCOME, Answer, Batch, Group
from ledger.core.state import (
    DOCUMENT_COUNT,
    GENERATION_FLOOR,
    REQUEST_FORGOTTEN,
    RESERVATION_COUNT,
    SEQ,
    STRETCH_BITS,
    TICK_BITS,
    Columns,
    Room,
)
from ledger.core.statuses import Operation, Status

# Forgetting works through a bounded number of rows in each execute, so that no batch waits for it.
TIDY_ROWS_MIN: Final = 256
# Positions in time are kept this often within the window.
WINDOW_MARKS: Final = 256
ADVANCE, ADVANCE_FULFILLMENT = int(Operation.ADVANCE), int(Operation.ADVANCE_FULFILLMENT)
assert [row.operation for row in OPERATIONS if row.traits & ADVANCES_DOCUMENT] == [ADVANCE, ADVANCE_FULFILLMENT]
# A level begins, units leave the hold of an order, change their stage, and are committed again: by each of two ways, of
# what a line says, and of the two things that become of the rest.
MOVEMENTS_PER_ADVANCED_LINE: Final = 4 * 2 * 3


def _advances(rows: NDArray[np.void]) -> int:
    """Count the verbs of documents among commands or records; this is the fastest way for few of them."""
    operations = rows["operation"].tobytes()
    return operations.count(ADVANCE) + operations.count(ADVANCE_FULFILLMENT)


def _copy_of(rows: NDArray[np.void]) -> NDArray[np.void]:
    """Return a copy of some rows, as kernels take them; numpy itself copies rows field by field."""
    return np.frombuffer(bytearray(rows.tobytes()), rows.dtype)


def _as_bytes(array: NDArray[Any]) -> memoryview:
    """Return the memory of an array without gaps."""
    return array.reshape(-1).view(np.uint8).data


class Ledger(Proof):
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
        self._window_us = request_window_us
        self._retention_us = retention_us
        super().__init__(shard=shard)
        self._buffers = Buffers()
        self._marks: deque[tuple[int, int]] = deque()
        self._remembered_since_us = 0  # what was written later is all remembered
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
        """Go on after a higher seq than the last one given out, as after writes that are lost. Between groups only.

        Ids that those gave out are not given again either: whoever has one must not come upon another's hold. A slot
        gets a later generation than its next id would have had. (One that was given back since could have had more
        than one; but a slot comes back an hour after its reservation ended, and what is lost is minutes.)
        """
        assert seq >= self.seq
        assert self._buffers.cursor[RECORDS] == 0
        counters = self._columns.counters.array
        counters[SEQ] = seq
        for column, used in (("reservations", RESERVATION_COUNT), ("documents", DOCUMENT_COUNT)):
            rows = self._columns[column].array[: counters[used]]
            rows["generation"] += (rows["state"] == 0) & (rows["generation"] < ids.GENERATION_MAX - 1)
        counters[GENERATION_FLOOR] = min(counters[GENERATION_FLOOR] + 1, ids.GENERATION_MAX - 1)

    @property
    def group_time_us(self) -> int:
        """Time of the group that is open, microseconds since the epoch."""
        return self._group_time_us

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
        window_us = self.window_us_at(time_us)
        return Hands(self._columns.packed, self._buffers.output, self._buffers.scratch, time_us, window_us)

    def window_us_at(self, time_us: int) -> int:
        """Return how far back all request ids are remembered at an instant.

        That is the window, or less where it was shorter when some were forgotten: by another engine, or before a start.
        """
        return min(self._window_us, time_us - self._remembered_since_us)

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
        if result[0]:
            self._note_forgotten()
        return int(result[0]), int(result[1])

    def _note_forgotten(self) -> None:
        """Find since when request ids are all remembered: what was forgotten last was written up to its mark."""
        seq = int(self._columns.counters.array[REQUEST_FORGOTTEN])
        while self._marks and self._marks[0][1] < seq:  # of no use any more: nothing up to it is remembered
            self._marks.popleft()
        if seq:
            self._remembered_since_us = self._marks[0][0] if self._marks else self.time_us

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
        if group.forgotten_count:
            self._note_forgotten()

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
        self._columns["wheel_stretches"].array[ticks >> STRETCH_BITS] = 1
        self._sku_ids, self._location_ids = msgspec.msgpack.decode(
            source.read("names"), type=tuple[list[str], list[str]]
        )
        self._skus = {name: index for index, name in enumerate(self._sku_ids)}
        self._locations = {name: index for index, name in enumerate(self._location_ids)}
        self._marks = deque(msgspec.msgpack.decode(source.read("marks"), type=list[tuple[int, int]]))
        self._note_forgotten()
