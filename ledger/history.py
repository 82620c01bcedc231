"""A shard's whole history: what was archived before the journal was trimmed, then the journal."""

from collections.abc import Iterator
from pathlib import Path

from ledger.archive import first_archived_seq, read_archive
from ledger.journal.reading import JournalReader


class History:
    """Reads archive and journal as one.

    Parameters
    ----------
    journal : JournalReader
        Claimed or not.
    archive_folder : Path or None
        Where segments are; None where only the journal is known.
    """

    def __init__(self, journal: JournalReader, archive_folder: Path | None) -> None:
        self._journal = journal
        self._archive_folder = archive_folder

    def first_seq_kept(self) -> int:
        """Return the oldest seq that archive or journal still has; the next seq to come if neither has any."""
        kept = self._journal.first_seq_kept()
        archived = first_archived_seq(self._archive_folder) if self._archive_folder else None
        return kept if archived is None else min(kept, archived)

    def entries(self, after_seq: int) -> Iterator[tuple[int, bytes]]:
        """Yield (last seq, payload) of every entry that ends after a seq, in order. Raises as both sources do."""
        reached = after_seq
        if self._archive_folder and after_seq + 1 < self._journal.first_seq_kept():
            for last_seq, payload in read_archive(self._archive_folder, after_seq):
                reached = last_seq
                yield last_seq, payload
        yield from self._journal.read(reached)
