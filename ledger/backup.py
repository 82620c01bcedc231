"""Backing up: snapshots and archive of a shard into a folder from which `ledger.restore` can begin a journal anew."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from ledger.archive import archived_from, archived_seq, write_entries
from ledger.history import History
from ledger.journal.reading import JournalReader
from ledger.recovery import is_of_journal
from ledger.sealed import TEMPORARY_SUFFIX, remove_temporaries, sync_folder
from ledger.snapshot import SnapshotDamaged, read_header, snapshots

SNAPSHOTS_KEPT: Final = 2
"""In a backup: a second one stands in for the newest."""


class Copied(NamedTuple):
    """What a backup has now."""

    seq: int
    """Of the last write in it."""
    first_seq: int
    """From which on it has every write."""
    snapshot: Path | None
    """The newest; None: the archive begins with the first write."""
    entry_count: int
    """Journal entries that this backup added."""
    hole: tuple[int, int] | None
    """First and last seq between what the folder had and what can still be had; None if they meet."""


def copy_shard(
    journal: JournalReader, source: Path | None, source_archive: Path | None, folder: Path, archive_folder: Path
) -> Copied:
    """Bring a backup up to the end of a journal that may be written meanwhile. What it has already is not read again.

    Parameters
    ----------
    source, source_archive
        Where the engine keeps snapshots and segments; None where only the journal can be read.
    folder, archive_folder
        Of the backup.

    Raises
    ------
    JournalError, OSError
        Something cannot be read, or not be written.
    """
    for each in (folder, archive_folder):
        each.mkdir(parents=True, exist_ok=True)
    history = History(journal, source_archive)
    tail = journal.tail()
    snapshot = _copy_newest(journal, history, source, folder) if source else None
    had, kept = archived_seq(archive_folder), history.first_seq_kept()
    begins = max(had, kept - 1)
    counted = _Counted(history.entries(begins))
    seq = write_entries(counted, archive_folder, tail.last_seq)
    for old in snapshots(folder)[SNAPSHOTS_KEPT:]:
        old.unlink()
    hole = (had + 1, kept - 1) if 0 < had < kept - 1 else None
    return Copied(seq, archived_from(archive_folder, seq + 1), snapshot, counted.count, hole)


def _copy_newest(journal: JournalReader, history: History, source: Path, folder: Path) -> Path | None:
    """Copy the newest snapshot that is of this journal, unless it is there; returns the one of the backup."""
    remove_temporaries(folder)
    for path in snapshots(source):
        try:
            if not is_of_journal(journal, history, read_header(path)):
                continue
            target = folder / path.name
            if not target.exists():
                _copy(path, target)
        except (SnapshotDamaged, FileNotFoundError):  # or the engine replaced it meanwhile: it has a newer one
            continue
        return target
    return next(iter(snapshots(folder)), None)


def _copy(path: Path, target: Path) -> None:
    temporary = target.with_suffix(f"{target.suffix}{TEMPORARY_SUFFIX}")
    shutil.copyfile(path, temporary)
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.rename(target)
    sync_folder(target.parent)


class _Counted:
    """Entries, and how many came along."""

    def __init__(self, entries: Iterator[tuple[int, bytes]]) -> None:
        self._entries = entries
        self.count = 0

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        for entry in self._entries:
            yield entry
            self.count += 1
