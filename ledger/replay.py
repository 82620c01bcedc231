"""Replaying: the one road by which a journal becomes a book, for recovery, a standby, and whoever checks either."""

from collections import deque
from typing import Final

from ledger.book import Book
from ledger.journal.entry import decode_entry
from ledger.journal.errors import DigestMismatch

RECENT_ENTRIES: Final = 100_000


class Replayer:
    """Applies journal entries to a book, one after the other, and compares digests where the writer told its own.

    Parameters
    ----------
    book : Book
        As the entries before made it.
    chain : bytes
        Checksum of the entry before, `CHAIN_START` before the very first.
    """

    def __init__(self, book: Book, chain: bytes) -> None:
        self.book = book
        self.chain = chain
        self.entry_count = 0
        self.compared_count = 0
        """Digests that were equal to the writer's."""
        self.recent: deque[tuple[int, bytes]] = deque([(book.seq, chain)], RECENT_ENTRIES)
        """Last seq and checksum of the last entries, to find out where a journal that went backwards left this one."""
        self._digests: dict[int, bytes] = {}

    def apply(self, last_seq: int, payload: bytes) -> None:
        """Apply the entry that the stream has under an id of this seq.

        Raises
        ------
        JournalCorrupt
            The entry does not follow from the one before, or is not what was written.
        DigestMismatch
            The state is not the writer's.
        """
        entry, chain = decode_entry(payload, self.chain, last_seq)
        if entry.is_marked:
            self._digests[self.book.seq] = self.book.digest()
        for seq, digest in entry.digests:
            self._compare(seq, digest)
        self.book.replay(entry)
        self.chain = chain
        self.recent.append((last_seq, chain))
        self.entry_count += 1

    def _compare(self, seq: int, digest: bytes) -> None:
        """Compare the digest of a state with the writer's; one that was marked before this replay began is unknown."""
        own = self._digests.pop(seq, None)
        if own is None:
            return
        if own != digest:
            raise DigestMismatch(f"Ledger at seq {seq}: expected digest {digest.hex()}, the writer's, was {own.hex()}.")
        self.compared_count += 1
