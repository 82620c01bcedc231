"""Recovery: the newest snapshot that can be trusted, then the journal's tail. Every start goes this way."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from ledger.archive import archived_seq
from ledger.book import Book
from ledger.history import History
from ledger.journal.entry import CHAIN_START, decode_entry
from ledger.journal.errors import DigestMismatch, JournalCorrupt, JournalOfOtherRelease, JournalTrimmed
from ledger.journal.reading import JournalReader, Tail
from ledger.replay import Replayer
from ledger.snapshot import (
    Snapshot,
    SnapshotDamaged,
    SnapshotOfOtherRelease,
    SnapshotOfOtherShard,
    load_snapshot,
    read_header,
    snapshots,
)

ATTEMPTS_MAX: Final = 3
BYTES: Final = "bytes of the snapshot"
SEQS: Final = "positions of the journal"


class Report(Protocol):
    """Hears how far a recovery is."""

    def __call__(self, what: str, done: int, total: int, /) -> None:
        """Say that so many of `what`, BYTES or SEQS, are done."""


class Recovered(NamedTuple):
    """What a start begins with."""

    replayer: Replayer
    """At the end of the journal."""
    snapshot_seq: int
    """Of the snapshot it began with; 0 for none."""
    seq_floor: int
    """Seqs up to this one may not be given out again: snapshot or archive had them, the journal ends before. Else 0."""
    refused: list[str]
    """Why snapshots that are newer were not used."""
    damaged: list[Path]
    """Those of them that are not what was written: an engine sets them aside, so that they count as no snapshot."""


def recover(
    journal: JournalReader,
    folder: Path | None,
    *,
    archive_folder: Path | None = None,
    request_window_us: int,
    retention_us: int,
    shard: int = 0,
    report: Report = lambda _, __, ___: None,
) -> Recovered:
    """Return the book that a journal says, with the help of the newest snapshot that is whole and of this journal.

    Instead of a damaged snapshot the one before is used; without any, the whole journal. Nothing is written.

    Parameters
    ----------
    folder
        Of the snapshots; None for none.
    archive_folder
        Where entries are that the journal has no more; None for none.
    request_window_us, retention_us
        As in `Ledger`; those of a snapshot's writer do not matter.
    shard
        Whose journal it is.

    Raises
    ------
    JournalTrimmed
        The journal was trimmed, and there is no snapshot to begin with.
    JournalCorrupt
        It is empty, and a snapshot says that it was not; or it is not what was written.
    JournalUnavailable
        The journal server cannot be asked now.
    """
    settings = {"request_window_us": request_window_us, "retention_us": retention_us, "shard": shard}
    for _ in range(ATTEMPTS_MAX - 1):
        tail, kept = journal.tail(), journal.first_seq_kept()
        try:
            return _recover(journal, folder, archive_folder, settings, report)
        except JournalCorrupt:
            if (journal.tail(), journal.first_seq_kept()) == (tail, kept):
                raise
    return _recover(journal, folder, archive_folder, settings, report)


def _recover(
    journal: JournalReader,
    folder: Path | None,
    archive_folder: Path | None,
    settings: Mapping[str, int],
    report: Report,
) -> Recovered:
    """Recover once: a journal that another engine writes and trims meanwhile may look damaged."""
    history = History(journal, archive_folder)
    search = _Search(journal, history, archived_seq(archive_folder) if archive_folder else 0)
    for path in snapshots(folder) if folder else ():
        found = search.load(path, settings, report)
        if found:
            header, book = found
            try:
                replayer = _replay(history, Replayer(book, header.chain), search.tail, report)
            except DigestMismatch as error:  # what was written was not what its writer had: an older one may do
                search.refused.append(f"Snapshot {path}: {error}")
                continue
            return Recovered(replayer, header.seq, search.seq_floor, search.refused, search.damaged)
    _refuse_gone(journal, search)
    _refuse_trimmed(journal, history, search.refused)
    book = Book(**settings)
    replayer = _replay(history, Replayer(book, CHAIN_START), search.tail, report)
    return Recovered(replayer, 0, search.seq_floor, search.refused, search.damaged)


class _Search:
    """Looks for a snapshot to begin with, and keeps what was wrong with those that it could not use."""

    def __init__(self, journal: JournalReader, history: History, seq_archived: int) -> None:
        self._journal = journal
        self._history = history
        self.tail = journal.tail()
        self.seq_floor = seq_archived if seq_archived > self.tail.last_seq else 0
        self.refused: list[str] = []
        self.damaged: list[Path] = []

    def load(self, path: Path, settings: Mapping[str, int], report: Report) -> tuple[Snapshot, Book] | None:
        """Return a snapshot and its book; None if it cannot be used."""
        try:
            if reason := self._why_foreign(read_header(path)):
                self.refused.append(f"Snapshot {path}: {reason}.")
                return None
            return load_snapshot(
                path,
                **settings,
                report=lambda done, total: report(BYTES, done, total),
            )
        except SnapshotDamaged as error:
            self.refused.append(str(error))
            is_whole = isinstance(error, SnapshotOfOtherRelease | SnapshotOfOtherShard)
            if not is_whole and not isinstance(error.__cause__, OSError):
                self.damaged.append(path)
            return None

    def _why_foreign(self, header: Snapshot) -> str:
        if header.seq > self.tail.last_seq:
            self.seq_floor = max(self.seq_floor, header.seq)
            return f"it is at seq {header.seq}, but the journal ends at {self.tail.last_seq}: the journal lost entries"
        if not is_of_journal(self._journal, self._history, header):
            return f"the journal has no entry that ends at seq {header.seq} with checksum {header.chain.hex()}"
        return ""


def is_of_journal(journal: JournalReader, history: History, header: Snapshot) -> bool:
    """Tell whether a snapshot was taken of this journal: the entry it is at the end of is, or was, in there."""
    chain = journal.chain_at(header.seq)
    return chain == header.chain if chain is not None else _is_followed(history, header)


def _is_followed(history: History, header: Snapshot) -> bool:
    """Tell whether the oldest entry that is kept after a snapshot follows it."""
    try:
        oldest = next(history.entries(header.seq), None)
        if oldest is None:
            return False
        entry, _ = decode_entry(oldest[1], header.chain, oldest[0])
    except JournalOfOtherRelease:
        return True  # its checksum says so; that it cannot be read is said where it is to be replayed
    except JournalCorrupt:
        return False
    return entry.first_seq - entry.skipped_count == header.seq + 1


def _refuse_gone(journal: JournalReader, search: _Search) -> None:
    """Raise if the journal has nothing, though a snapshot of it was taken: it did not go backwards, it is gone."""
    if search.seq_floor and search.tail.last_seq == 0:
        raise JournalCorrupt(
            f"Journal {journal.describe()}: expected entries up to seq {search.seq_floor} at least, found none: "
            f"{' '.join(search.refused)} Put the journal server's files back, or begin anew with what the data folder "
            "has: `onhand restore` says how far that goes."
        )


def _refuse_trimmed(journal: JournalReader, history: History, refused: list[str]) -> None:
    """Raise unless everything can be replayed from the very first entry."""
    kept = history.first_seq_kept()
    if kept > 1:
        found = " ".join(refused) or "There is no snapshot."
        raise JournalTrimmed(
            f"Journal {journal.describe()}: expected a snapshot to begin with, since it begins at seq {kept}: {found} "
            "Put back a snapshot of this journal from a backup or from another engine."
        )


def _replay(history: History, replayer: Replayer, tail: Tail, report: Report) -> Replayer:
    """Apply all that follows."""
    for last_seq, payload in history.entries(replayer.book.seq):
        replayer.apply(last_seq, payload)
        report(SEQS, last_seq, max(last_seq, tail.last_seq))
    if replayer.book.seq < tail.last_seq:
        raise JournalCorrupt(
            f"Journal: expected entries up to seq {tail.last_seq}, found them up to {replayer.book.seq}."
        )
    return replayer
