"""Restoring: from snapshots and archive to a journal at an empty server. For when the journal is lost.

The book is rebuilt as far as what is kept reaches, a snapshot of it is written, and the journal begins with one entry
after it: the seqs and ids that lost writes may have had are skipped, and a new epoch begins.
"""

from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from ledger.archive import archived_seq, read_archive, set_aside
from ledger.book import Book
from ledger.core.records import COMMAND, Batch, new_lines
from ledger.core.statuses import Operation
from ledger.journal.entry import CHAIN_START, Entry, decode_entry, encode_entry
from ledger.journal.errors import JournalError
from ledger.journal.reading import JournalReader
from ledger.journal.stream import StreamJournal
from ledger.recovery import BYTES, SEQS, Report
from ledger.replay import Replayer
from ledger.snapshot import Snapshot, SnapshotDamaged, load_snapshot, snapshots, write_snapshot

SEQS_SKIPPED: Final = 1_000_000_000
"""After a restore: more than a shard writes in what may be lost (hours at 100,000 writes a second), little of 2^52."""
REFERENCE: Final = "restore"
ACTOR: Final = "onhand restore"
"""What history says of the entry with which a restored journal begins."""


class CannotRestore(JournalError):  # noqa: N818 - named by the state
    """There is nothing to restore from, or something that must not be written over; the message says the way out."""


class Kept(NamedTuple):
    """A book as snapshots and archive say it."""

    replayer: Replayer
    """At the end of what is kept without a gap."""
    epoch: int
    """Of the last writer."""
    snapshot: Path | None
    """What it began with; None for the very first entry."""
    snapshot_seq: int
    """Of it; 0 for none."""
    refused: list[str]
    """Why newer snapshots were not used."""
    beyond_seq: int
    """Newest position in the archive, when there is a gap before it; else 0."""

    @property
    def book(self) -> Book:
        """As of the last entry."""
        return self.replayer.book


class Restored(NamedTuple):
    """What a restored journal begins with."""

    seq: int
    """Of the last write in it that is from before."""
    time_us: int
    """Of that write, microseconds since the epoch."""
    next_seq: int
    """Of the next write."""
    epoch: int
    snapshot: Path
    """With which engines begin."""
    aside: Path | None
    """Where segments are now that nothing leads to: entries between are in nothing that is kept."""


def rebuild(folder: Path | None, archive_folder: Path, settings: dict[str, Any], report: Report) -> Kept:
    """Return the book that the newest whole snapshot and the archive after it say; no journal server is asked.

    Parameters
    ----------
    folder, archive_folder
        Of snapshots; of segments.
    settings
        request_window_us, retention_us and shard, as in `Book`.
    report
        Hears of BYTES and SEQS.

    Raises
    ------
    CannotRestore
        There is no whole snapshot, and the archive does not begin with the first write.
    ArchiveDamaged, JournalCorrupt, DigestMismatch
        An archived entry is not what was written.
    """
    refused: list[str] = []
    for path in snapshots(folder) if folder else ():
        try:
            header, book = load_snapshot(path, **settings, report=lambda done, total: report(BYTES, done, total))
        except SnapshotDamaged as error:
            refused.append(str(error))
            continue
        return _replayed(Replayer(book, header.chain), header, path, archive_folder, refused, report)
    kept = _replayed(Replayer(Book(**settings), CHAIN_START), None, None, archive_folder, refused, report)
    if kept.book.seq == 0:
        found = " ".join(refused) or "There is no snapshot."
        raise CannotRestore(
            f"{archive_folder.parent}: expected a snapshot, or an archive from the first write on: {found} "
            f"The archive has {f'entries up to seq {kept.beyond_seq} only' if kept.beyond_seq else 'nothing'}."
        )
    return kept


def _replayed(  # noqa: PLR0917 - what was found, one call
    replayer: Replayer,
    header: Snapshot | None,
    path: Path | None,
    archive_folder: Path,
    refused: list[str],
    report: Report,
) -> Kept:
    """Apply what is archived after a snapshot."""
    begun_seq, epoch = replayer.book.seq, header.epoch if header else 0
    newest = archived_seq(archive_folder)
    last: bytes | None = None
    for last_seq, payload in read_archive(archive_folder, begun_seq):
        replayer.apply(last_seq, payload)
        report(SEQS, last_seq, newest)
        last = payload
    if last is not None:
        epoch = decode_entry(last, None)[0].epoch
    beyond = newest if newest > replayer.book.seq else 0
    return Kept(replayer, epoch, path, begun_seq, refused, beyond)


def refuse_used(journal: JournalReader) -> None:
    """Raise CannotRestore unless a journal is empty: what is in it may be newer than all that is kept elsewhere."""
    tail = journal.tail()
    if tail.last_seq or journal.first_seq_kept() > 1:
        raise CannotRestore(
            f"Journal {journal.describe()}, shard {journal.shard}: expected it to be empty, it has entries up to seq "
            f"{tail.last_seq}. A restore writes nothing over: serve with this journal, or empty it yourself."
        )


def restore(journal: StreamJournal, kept: Kept, folder: Path, archive_folder: Path) -> Restored:
    """Begin a journal at an empty server with what is kept.

    Parameters
    ----------
    journal
        Not claimed.
    folder, archive_folder
        Of snapshots: gets one of the book as it is. Of segments: those after a gap are set aside.

    Raises
    ------
    CannotRestore
        The journal is not empty.
    JournalHeld
        An engine has its lease.
    JournalError, OSError
        The journal server is away, or not safe (see `StreamJournal.open`), or the snapshot cannot be written.
    """
    refuse_used(journal)
    book, chain = kept.book, kept.replayer.chain
    seq, time_us = book.seq, book.ledger.time_us
    if kept.snapshot is None or kept.snapshot_seq < seq:
        snapshot = write_snapshot(folder, book, chain, kept.epoch)
    else:
        snapshot = kept.snapshot
    aside = set_aside(archive_folder, seq)
    journal.begin_epochs_after(kept.epoch)
    epoch = journal.open().epoch
    try:
        entry = _first_entry(book, epoch)
        payload, _ = encode_entry(entry, chain)
        journal.append(entry.last_seq, payload)
    finally:
        journal.release()
    return Restored(seq, time_us, entry.last_seq + 1, epoch, snapshot, aside)


def _first_entry(book: Book, epoch: int) -> Entry:
    """Return the entry that says what is skipped: a change of the catalog that changes nothing, at the book's time."""
    book.skip_to(book.seq + SEQS_SKIPPED)
    commands = np.zeros(1, COMMAND)
    commands["operation"] = Operation.CHANGE_CATALOG
    answer = book.change_catalog(Batch(commands, new_lines(0)), [], book.ledger.time_us)
    book.note(int(answer.outcomes["seq"][0]), REFERENCE, ACTOR)
    entry = book.close_entry(epoch)
    assert entry is not None
    return entry
