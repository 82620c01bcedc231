"""A shard as it was: its journal replayed up to a seq, into a ledger that is thrown away afterwards."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from engine.api.lookups import known_location, known_sku
from engine.api.stock.inventory import describe_level
from engine.operate.offline import Offline, OperatorError, Scratch, beginnings
from engine.operate.terminal import as_dict, shown_time
from engine.operate.verify import findings
from ledger.book import Book
from ledger.core.records import IS_REMEMBERED, Group
from ledger.journal.entry import Entry, decode_entry
from ledger.snapshot import write_snapshot


class Past(NamedTuple):
    """A shard as it was."""

    scratch: Scratch
    refused: list[str]
    """Why snapshots nearer to it were passed over."""
    cut: Entry | None
    """The entry inside of which the book ends, if it does."""


def replay_to(offline: Offline, seq: int, console: Console) -> Past:
    """Return the book as it was right after a seq.

    Raises
    ------
    OperatorError
        There is no such seq, or its entries are kept no more.
    JournalCorrupt
        An entry is not what was written.
    """
    last = offline.journal.tail().last_seq
    if not 1 <= seq <= last:
        raise OperatorError(f"to: expected 1 to {last}, the last seq of the journal, was {seq}")
    refused: list[str] = []
    scratch = next(beginnings(offline, seq, refused))
    beyond = scratch.replay(offline, seq, console)
    past = Past(scratch, refused, None)
    if beyond is None or scratch.book.seq == seq:
        return past
    entry, _ = decode_entry(beyond[1], scratch.replayer.chain, beyond[0])
    if entry.first_seq > seq:  # a seq that was never used
        return past
    scratch.book.replay(cut_entry(entry, seq))
    return past._replace(cut=entry)


def cut_entry(entry: Entry, last_seq: int) -> Entry:
    """Return an entry without the records after a seq of its own, as if its group had ended there."""
    group = entry.group()
    count = last_seq - entry.first_seq + 1
    assert 0 < count <= len(group.records)
    records = group.records[:count]
    kept = Group(
        first_seq=group.first_seq,
        time_us=group.time_us,
        forgotten_count=0,  # what a group forgets, it forgets after its last record
        recycled_count=0,
        records=records,
        requests=group.requests[: np.count_nonzero(records["flags"] & IS_REMEMBERED)],
        movements=group.movements[: records["line_count"].sum(dtype=np.int64)],
        details=group.details[: records["detail_count"].sum(dtype=np.int64)],
    )
    notes = [note for note in entry.notes if note[0] < count]
    changes = [change for change in entry.changes if change[0] < count]
    return Entry.of_group(kept, entry.epoch, notes, changes, skipped_count=entry.skipped_count)


# ---- showing it ------------------------------------------------------------------------------------------------------


def describe_past(past: Past) -> dict[str, Any]:
    """Return counts, digest and what a recount finds."""
    book = past.scratch.book
    return {
        "seq": book.seq,
        "time": shown_time(book.ledger.time_us),
        **book.counts(),
        **findings(past.scratch, past.refused),
    }


def describe_level_then(book: Book, sku_id: str, location_id: str) -> dict[str, Any]:
    """Return a stock level of a book.

    Raises
    ------
    RefusedError
        The book does not know the sku or the location.
    OperatorError
        The sku is not stocked there.
    """
    sku, location = known_sku(book, sku_id, "sku"), known_location(book, location_id, "location")
    view = book.ledger.level(sku, location)
    if view is None:
        raise OperatorError(f"sku: {sku_id} was not stocked at {location_id} at seq {book.seq}.")
    return as_dict(describe_level(book, sku, location, view))


def write_past(offline: Offline, past: Past, folder: Path) -> Path:
    """Write a snapshot of a shard as it was into a folder, and return its path.

    Raises
    ------
    OperatorError
        The book ends inside an entry: an engine could not go on from there.
    """
    book = past.scratch.book
    if past.cut is not None:
        before, end = past.cut.first_seq - 1 - past.cut.skipped_count, past.cut.last_seq
        raise OperatorError(
            f"to: expected the last seq of a journal entry for a snapshot, such as {before} or {end}, was {book.seq}"
        )
    last_seq, payload = next(offline.history.entries(book.seq - 1))
    return write_snapshot(folder, book, past.scratch.replayer.chain, decode_entry(payload, None, last_seq)[0].epoch)
