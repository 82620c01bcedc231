"""A shard's whole history: what was archived before the journal was trimmed, then the journal."""

from collections.abc import Iterator
from pathlib import Path

from ledger.archive import archived_from, read_archive
from ledger.journal.errors import JournalTrimmed
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
        return archived_from(self._archive_folder, kept) if self._archive_folder else kept

    def entries(self, after_seq: int) -> Iterator[tuple[int, bytes]]:
        """Yield (last seq, payload) of every entry that ends after a seq, in order and without a gap.

        Raises
        ------
        JournalTrimmed
            What follows is in neither of both: it was trimmed, and archived elsewhere or too long ago.
        ArchiveDamaged, JournalUnavailable
            As archive and journal say.
        """
        reached = after_seq
        kept = self._journal.first_seq_kept()
        if self._archive_folder and reached + 1 < kept:
            for last_seq, payload in read_archive(self._archive_folder, after_seq):
                reached = last_seq
                yield last_seq, payload
        if reached + 1 < kept:
            raise JournalTrimmed(
                f"Journal {self._journal.describe()}: expected entries from seq {reached + 1} on, found them from seq "
                f"{kept} on, and none before that in the archive."
            )
        yield from self._journal.read(reached)
