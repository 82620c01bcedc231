"""The book: one shard's ledger and catalog, and the journal entries that make them what they are.

Writing: `execute` and `change_catalog` as often as there is work at one instant, then `close_entry` for the journal.
Replaying: `replay` with each entry in order. Both roads end in the same kernels.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import xxhash

from ledger.core.catalog import Catalog, Location, Sku, decode_resources, encode_resources
from ledger.core.ledger import Ledger
from ledger.core.records import COMMAND, IS_WRITTEN, LINE, Answer, Batch
from ledger.core.statuses import Status
from ledger.journal.entry import Entry
from ledger.journal.errors import JournalCorrupt

NO_COMMANDS: Final = Batch(np.zeros(0, COMMAND), np.zeros(0, LINE))


class Book:
    """Ledger, catalog, and what the next journal entry says beside the columns.

    Parameters
    ----------
    request_window_us, retention_us
        As in `Ledger`.
    """

    def __init__(self, *, request_window_us: int, retention_us: int) -> None:
        self.ledger = Ledger(request_window_us=request_window_us, retention_us=retention_us)
        self.catalog = Catalog(self.ledger)
        self.status_counts = np.zeros(max(Status) + 1, np.int64)
        """Commands run since the start, by the Status they were answered with; repeats too."""
        self._notes: list[tuple[int, str, str]] = []
        self._changes: list[tuple[int, bytes]] = []

    @property
    def seq(self) -> int:
        """Last seq given out."""
        return self.ledger.seq

    def execute(self, batch: Batch, time_us: int) -> Answer:
        """Run stock commands; see `Ledger.execute`."""
        answer = self.ledger.execute(batch, time_us)
        self.status_counts += np.bincount(answer.outcomes["status"], minlength=len(self.status_counts))
        return answer

    def change_catalog(self, batch: Batch, resources: Sequence[Location | Sku], time_us: int) -> Answer:
        """Run one CHANGE_CATALOG command and, if it is the first of its request id and OK, put the resources."""
        answer = self.execute(batch, time_us)
        outcome = answer.outcomes[0]
        if outcome["status"] == Status.OK and outcome["flags"] & IS_WRITTEN:
            self.catalog.put(resources)
            self._changes.append((int(outcome["seq"]), encode_resources(resources)))
        return answer

    def expire_backlog(self, time_us: int, most: int) -> bool:
        """Expire a part of many due holds as a group of its own. See `Ledger.expire_backlog`."""
        return self.ledger.expire_backlog(time_us, most)

    def finish_group(self) -> None:
        """End the group: reads after this see what a replay of its entry gives. See `Ledger.finish_group`."""
        self.ledger.finish_group()

    def note(self, seq: int, reference: str, actor: str) -> None:
        """Keep who did a write and what for; for the history, not for the ledger."""
        self._notes.append((seq, reference, actor))

    def close_entry(self, epoch: int) -> Entry | None:
        """Return the journal entry of all that was written since the last one; None if nothing was."""
        group = self.ledger.take_group()
        if group is None:
            return None
        notes = [(seq - group.first_seq, reference, actor) for seq, reference, actor in self._notes]
        changes = [(seq - group.first_seq, change) for seq, change in self._changes]
        self._notes.clear()
        self._changes.clear()
        return Entry.of_group(group, epoch, notes, changes)

    def replay(self, entry: Entry) -> None:
        """Apply one journal entry.

        Raises
        ------
        JournalCorrupt
            The entry does not follow the last one.
        """
        if entry.first_seq != self.seq + 1:
            raise JournalCorrupt(f"first_seq: expected {self.seq + 1}, was {entry.first_seq}")
        for _, change in entry.catalog:
            self.catalog.put(decode_resources(change))
        self.ledger.replay(entry.group())

    def digest(self) -> bytes:
        """Return 16 bytes that are equal for books that applied the same entries."""
        return xxhash.xxh3_128_digest(self.ledger.digest() + self.catalog.digest())
