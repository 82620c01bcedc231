"""A shard's whole history: what was archived before the journal was trimmed, then the journal."""

from collections.abc import Iterator
from pathlib import Path

from ledger.archive import archived_from, archived_ranges, read_archive
from ledger.journal.entry import CHAIN_BYTES, decode_entry
from ledger.journal.errors import JournalCorrupt, JournalOfOtherRelease, JournalTrimmed
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

    def ranges(self) -> list[tuple[int, int]]:
        """Return first and last seq of each part of what is kept that has no gap; the last ends with the journal."""
        kept, last_seq = self._journal.first_seq_kept(), self._journal.tail().last_seq
        archived = archived_ranges(self._archive_folder) if self._archive_folder else []
        before = [(first, min(last, kept - 1)) for first, last in archived if first < kept]
        if before and before[-1][1] + 1 == kept:
            kept = before.pop()[0]
        return [*before, (kept, max(last_seq, kept - 1))]

    def entries(self, after_seq: int, *, across_gaps: bool = False) -> Iterator[tuple[int, bytes]]:
        """Yield (last seq, payload) of every entry that ends after a seq, in order and without a gap.

        Parameters
        ----------
        across_gaps
            Whether to go on after a gap with what is there, see `ranges`: for who looks back, not for a replay.

        Raises
        ------
        JournalTrimmed
            What follows is in neither of both: it was trimmed, and archived elsewhere or too long ago; or what was
            archived is not what the journal goes on after.
        ArchiveDamaged, JournalUnavailable
            As archive and journal say.
        """
        kept = self._journal.first_seq_kept()
        reached, chain = after_seq, None
        for last_seq, payload in self._archived(after_seq, kept, across_gaps=across_gaps):
            yield last_seq, payload
            reached, chain = last_seq, payload[:CHAIN_BYTES]
        if reached + 1 < kept and across_gaps:
            chain = None
        elif reached + 1 < kept:
            raise JournalTrimmed(
                f"Journal {self._journal.describe()}: expected entries from seq {reached + 1} on, found them from seq "
                f"{kept} on, and none before that in the archive."
            )
        for last_seq, payload in self._journal.read(reached):
            if chain is not None:
                self._check_joint(last_seq, payload, chain)
                chain = None
            yield last_seq, payload

    def _check_joint(self, last_seq: int, payload: bytes, chain: bytes) -> None:
        """Make sure that what was archived is what the journal goes on after, not what it lost since."""
        try:
            decode_entry(payload, chain, last_seq)
        except JournalOfOtherRelease:
            raise
        except JournalCorrupt as error:
            raise JournalTrimmed(f"The archive is not what the journal goes on after: {error}") from error

    def _archived(self, after_seq: int, before_seq: int, *, across_gaps: bool) -> Iterator[tuple[int, bytes]]:
        """Yield what is archived of the entries that the journal has no more."""
        if self._archive_folder and after_seq + 1 < before_seq:
            for last_seq, payload in read_archive(self._archive_folder, after_seq, across_gaps=across_gaps):
                if last_seq >= before_seq:
                    return
                yield last_seq, payload
