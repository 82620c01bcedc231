"""`python -m tests.faults.planted NAME [FLAGS]`: an engine with a bug, which the checker has to find.

The bugs are planted here, in this process: the product knows nothing of them.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from engine.cli import main
from engine.shard.shard import Shard
from ledger.book import Book
from ledger.core.ledger import Ledger
from ledger.core.limits import MICROSECONDS
from ledger.core.records import IS_REMEMBERED, Answer, Batch, Group
from ledger.core.statuses import Kind, Operation, Status
from ledger.journal.connection import JournalConnection
from ledger.journal.entry import Entry
from ledger.journal.stream import StreamJournal

LATE_US: Final = 2 * MICROSECONDS
FATAL_UNITS: Final = 130_013
EPOCH_CHECK: Final = b"epoch ~= arguments[1]"


def skip_the_epoch_check() -> None:
    """Let the server's functions take any writer for the right one."""
    call = JournalConnection.call

    def tampered(self: JournalConnection, *arguments: Any) -> Any:
        if arguments[:2] == ("FUNCTION", "LOAD"):
            assert EPOCH_CHECK in arguments[-1]
            arguments = (*arguments[:-1], arguments[-1].replace(EPOCH_CHECK, b"false"))
        return call(self, *arguments)

    _plant(JournalConnection, "call", tampered)


def acknowledge_before_durable() -> None:
    """Send each entry only when the next one is there, and call it durable at once."""
    begin, finish = StreamJournal.begin, StreamJournal.finish
    waiting: list[tuple[int, bytes]] = []

    def begin_the_one_before(self: StreamJournal, last_seq: int, payload: bytes) -> None:
        for before in waiting:
            begin(self, *before)
            finish(self)
        waiting[:] = [(last_seq, payload)]

    _plant(StreamJournal, "begin", begin_the_one_before)
    _plant(StreamJournal, "finish", lambda _: None)


def forget_a_refusals_id() -> None:
    """Journal refusals without the request id that they belong to."""
    take = Ledger.take_group

    def forgetful(self: Ledger) -> Group | None:
        group = take(self)
        return group if group is None else _without_refused_ids(group)

    _plant(Ledger, "take_group", forgetful)


def _without_refused_ids(group: Group) -> Group:
    records = group.records.copy()
    remembered = (records["flags"] & IS_REMEMBERED) != 0
    forgotten = remembered & (records["status"] != Status.OK)
    kept_details = np.repeat(~forgotten, records["detail_count"])
    records["flags"][forgotten] &= ~IS_REMEMBERED & 0xFF
    records["detail_count"][forgotten] = 0
    return group._replace(
        records=records, requests=group.requests[~forgotten[remembered]], details=group.details[kept_details]
    )


def count_a_hold_after_expiry() -> None:
    """Let holds count for two seconds more."""
    expire = Ledger._expire
    _plant(Ledger, "_expire", lambda self, time_us: expire(self, time_us - LATE_US))


def drop_the_tail_of_a_torn_entry() -> None:
    """Replay entries of several writes without what the last one moved."""
    replay = Book.replay

    def torn(self: Book, entry: Entry) -> None:
        group = entry.group()
        records, kinds = group.records, group.movements["kind"]
        is_torn = len(records) > 1 and records[-1]["operation"] == Operation.RECORD_MOVEMENTS
        if is_torn and Kind.STOCK_HERE not in kinds:
            kept = len(group.movements) - int(records[-1]["line_count"])
            records = records.copy()
            records["line_count"][-1] = 0
            entry = _with_columns(entry, group._replace(records=records, movements=group.movements[:kept]))
        replay(self, entry)

    _plant(Book, "replay", torn)


def _with_columns(entry: Entry, group: Group) -> Entry:
    return Entry.of_group(group, entry.epoch, entry.notes, entry.changes)


def fail_inside_a_write() -> None:
    """Let the kernel of commands fail when it has recorded FATAL_UNITS."""
    execute = Ledger.execute

    def failing(self: Ledger, batch: Batch, time_us: int) -> Answer:
        answer = execute(self, batch, time_us)
        if FATAL_UNITS in batch.lines["quantity"]:
            raise RuntimeError("planted")
        return answer

    _plant(Ledger, "execute", failing)


def _plant(owner: type, name: str, bug: Callable[..., Any]) -> None:
    assert hasattr(owner, name)
    setattr(owner, name, bug)


BUGS: Final[Mapping[str, Callable[[], None]]] = {
    "skip-the-epoch-check": skip_the_epoch_check,
    "acknowledge-before-durable": acknowledge_before_durable,
    "forget-a-refusals-id": forget_a_refusals_id,
    "count-a-hold-after-expiry": count_a_hold_after_expiry,
    "drop-the-tail-of-a-torn-entry": drop_the_tail_of_a_torn_entry,
    "fail-inside-a-write": fail_inside_a_write,
}


def run(arguments: Sequence[str]) -> None:
    """Serve with a bug: it is there from when the engine looks for its journal, not while its kernels are tried out."""
    name, *flags = arguments
    plant, open_shard = BUGS[name], Shard.open

    def open_with_bug(self: Shard) -> None:
        plant()
        open_shard(self)

    _plant(Shard, "open", open_with_bug)
    sys.argv[1:] = ["serve", *flags]
    main()


if __name__ == "__main__":
    run(sys.argv[1:])
