"""The book: one shard's ledger and the parts beside it, and the journal entries that make them what they are.

Writing: `execute`, `change_catalog` and `keep` as often as there is work at one instant, then `close_entry`.
Replaying: `replay` with each entry in order. Both roads end in the same kernels.
What fails inside any of them, as no error of the journal, is a LedgerBroken: this book must not be used any more.
"""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Final

import numpy as np
import xxhash
from numpy.typing import NDArray

from ledger.broken import whole_or_broken
from ledger.core.buffers import Hands
from ledger.core.documents import DOUBTS
from ledger.core.images import ImageSource
from ledger.core.ledger import Ledger
from ledger.core.records import COMMAND, IS_ONLY_TOLD, IS_STORED, IS_WRITTEN, LINE, Answer, Batch
from ledger.core.statuses import DocumentKind, Operation, Status
from ledger.core.views import Violation
from ledger.formats import REFERENCES_SINCE
from ledger.journal.entry import Entry
from ledger.journal.errors import JournalCorrupt
from ledger.parts.holds import IS_OF_DOCUMENT
from ledger.parts.part import Change, Note
from ledger.parts.planned import CountedLevels, SuspectLevels, View
from ledger.parts.registry import SETTLED_BEFORE, Parts, decode_changes, encode_changes

NO_COMMANDS: Final = Batch(np.zeros(0, COMMAND), np.zeros(0, LINE))
NO_CHANGE: Final = Batch(np.zeros(1, COMMAND), np.zeros(0, LINE))
"""What changes nothing: a seq of its own in the journal."""
NO_CHANGE.commands["operation"] = Operation.REMEMBER


def _are_in_doubt(batch: Batch, advanced: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which verbs of documents, given by their places, find other units than the books say."""
    starts, counts = batch.commands["line_start"][advanced], batch.commands["line_count"][advanced].astype(np.int64) - 1
    verbs = np.repeat(np.arange(len(advanced)), counts)
    own = batch.lines[starts[verbs] + 1 + np.arange(len(verbs)) - (np.cumsum(counts) - counts)[verbs]]
    kinds = batch.lines["reason"][starts[verbs]]
    return np.bincount(verbs[DOUBTS[kinds, own["kind"]] != 0], minlength=len(advanced)) > 0


class Book:
    """The ledger, the parts beside it, and what the next journal entry says beside the columns.

    Parameters
    ----------
    request_window_us, retention_us, shard
        As in `Ledger`.
    """

    def __init__(self, *, request_window_us: int, retention_us: int, shard: int = 0) -> None:
        self.request_window_us = request_window_us
        self.retention_us = retention_us
        self.ledger = Ledger(request_window_us=request_window_us, retention_us=retention_us, shard=shard)
        self.parts = Parts.of(self.ledger)
        parts = self.parts
        self.network, self.catalog, self.views = parts.network, parts.catalog, parts.views
        self.plans, self.rejections, self.refusals = parts.plans, parts.rejections, parts.refusals
        self.references = parts.references
        self.status_counts = np.zeros(max(Status) + 1, np.int64)
        """Commands run since the start, by the Status they were answered with; repeats too."""
        self._notes: list[tuple[int, str, str]] = []
        self._changes: list[tuple[int, bytes]] = []
        self._skipped_count = 0
        self._is_marked = False
        self._is_settled = False
        self._digests: list[tuple[int, bytes]] = []

    @property
    def seq(self) -> int:
        """Last seq given out."""
        return self.ledger.seq

    @whole_or_broken
    def execute(self, batch: Batch, time_us: int) -> Answer:
        """Run stock commands; see `Ledger.execute`."""
        answer = self.ledger.execute(batch, time_us)
        assert len(answer.outcomes) == len(batch.commands), "one outcome for each command"
        self.status_counts += np.bincount(answer.outcomes["status"], minlength=len(self.status_counts))
        begun = self._begin_suspicion(batch, answer.outcomes) if self.ledger.has_advanced else {}
        if self.rejections.suspects:
            self._end_suspicion(batch, answer.outcomes, begun, time_us)
        return answer

    @whole_or_broken
    def run(self, kernel: Callable[[Hands], NDArray[np.uint8]], commands: int, lines: int, time_us: int) -> None:
        """Let a kernel decide and run at most so many RESERVEs with so many lines; it returns their statuses."""
        statuses = kernel(self.ledger.open(commands, lines, time_us))
        assert len(statuses) <= commands, "no more commands than there was room made for"
        self.status_counts += np.bincount(statuses, minlength=len(self.status_counts))

    def _begin_suspicion(self, batch: Batch, outcomes: NDArray[np.void]) -> dict[tuple[int, int], int]:
        """Let the source of units that arrived and that nobody sent, or that nobody finds, wait to be counted.

        Returns the levels concerned, each with the place of the last command that is about it.
        """
        begun: dict[tuple[int, int], int] = {}
        advanced = IS_OF_DOCUMENT[batch.commands["operation"]] & (outcomes["flags"] & IS_WRITTEN != 0)
        written = np.flatnonzero(advanced & (outcomes["status"] == Status.OK))
        for place in written[_are_in_doubt(batch, written)].tolist():
            command, outcome = batch.commands[place], outcomes[place]
            lines = batch.lines[command["line_start"] :][: command["line_count"]]
            kind = int(lines["reason"][0])
            skus = lines["sku"][1:][DOUBTS[kind, lines["kind"][1:]] != 0]
            document = self.ledger.document(int(outcome["reservation_id"]), kind)
            if document is not None:
                levels = {(sku, document.source) for sku in skus.tolist()}
                known = tuple(sorted(level for level in levels if self.ledger.find_level(*level) >= 0))
                self.keep(int(outcome["seq"]), SuspectLevels(known))
                begun.update(dict.fromkeys(known, place))
        return begun

    def _end_suspicion(
        self, batch: Batch, outcomes: NDArray[np.void], begun: dict[tuple[int, int], int], time_us: int
    ) -> None:
        """Let levels that were counted wait for it no more, also where the books were right and nothing was written.

        A count that came before the command for which its level waits, in this batch, is none that it waits for.
        """
        counts = (batch.commands["operation"] == Operation.SET_ON_HAND) & (outcomes["status"] == Status.OK)
        counts &= outcomes["flags"] & (IS_STORED | IS_ONLY_TOLD) == 0
        places = np.flatnonzero(counts).tolist()
        rows = batch.commands[["line_start", "line_count"]][places].tolist()
        named = {
            level
            for place, (first, count) in zip(places, rows, strict=True)
            for level in batch.lines[["sku", "location"]][first : first + count].tolist()
            if place > begun.get(level, -1)
        }
        counted = tuple(sorted(named & self.rejections.suspects.keys()))
        if counted:
            seq = int(self.ledger.execute(NO_CHANGE, time_us).outcomes[0]["seq"])
            self.keep(seq, CountedLevels(counted))

    @whole_or_broken
    def change_catalog(self, batch: Batch, resources: Sequence[Change], time_us: int) -> Answer:
        """Run one CHANGE_CATALOG command and, if it is the first of its request id and OK, put the resources."""
        answer = self.execute(batch, time_us)
        outcome = answer.outcomes[0]
        if outcome["status"] == Status.OK and outcome["flags"] & IS_WRITTEN:
            self._put(resources, time_us)
            self._changes.append((int(outcome["seq"]), encode_changes(resources)))
        return answer

    def _put(self, changes: Sequence[Change], time_us: int) -> None:
        """Let the parts hear of what one record changes."""
        kinds = set(map(type, changes))
        for part in self.parts:
            if not kinds.isdisjoint(part.changes):
                part.put(changes, time_us)

    @whole_or_broken
    def view(self, seq: int) -> int:
        """Return the number of the view of the network as it is; one that is new is kept with the write of a seq."""
        if not self.views.current:
            self.keep(seq, View(seq))
        return self.views.current

    @whole_or_broken
    def keep(self, seq: int, change: Change) -> None:
        """Keep what the write of a seq, which is of the group that is open, means beside the ledger."""
        assert 0 < seq <= self.seq, f"seq {seq} was not given out"
        if isinstance(change, SETTLED_BEFORE):
            records, movements = self.ledger.applied()
            self._settle_up_to(seq - self._first_seq_of(records), records, movements)
        self._put([change], self.ledger.group_time_us)
        self._changes.append((seq, encode_changes([change])))

    def _settle_up_to(self, count: int, records: NDArray[np.void], movements: NDArray[np.void]) -> None:
        for part in self.parts:
            part.settle_up_to(count, records, movements)

    @property
    def kept_bytes(self) -> int:
        """What plans and refusals that were kept since the last group take of the journal entry."""
        return self.plans.added_bytes + self.refusals.added_bytes

    @property
    def has_arrivals(self) -> bool:
        """Whether a change of a planned hold brought units to a location in the open group that are not booked yet."""
        records, movements = self.ledger.applied()
        return bool(self.plans.arrivals(records, movements, self._first_seq_of(records)))

    @whole_or_broken
    def settle_plans(self, day_of: Callable[[int], int]) -> None:
        """Bring the capacity that plans take up to all that the open group did so far.

        Whoever routes does it before it plans, and before it ends the group.

        Parameters
        ----------
        day_of
            Tells on which day what comes to a location now would leave.
        """
        records, movements = self.ledger.applied()
        first_seq, time_us = self._first_seq_of(records), self.ledger.group_time_us
        for seq, change in self.plans.settle_arrivals(records, movements, first_seq, day_of, time_us):
            self._changes.append((seq, encode_changes([change])))

    def _first_seq_of(self, records: NDArray[np.void]) -> int:
        return self.seq - len(records) + 1

    @whole_or_broken
    def expire_backlog(self, time_us: int, most: int) -> bool:
        """Expire a part of many due holds as a group of its own. See `Ledger.expire_backlog`."""
        return self.ledger.expire_backlog(time_us, most)

    @whole_or_broken
    def finish_group(self) -> None:
        """End the group: reads after this see what a replay of its entry gives. See `Ledger.finish_group`."""
        self.ledger.finish_group()
        if not self._is_settled and self.ledger.has_open_group:
            records, movements = self.ledger.applied()
            self._take_notes(self._notes_from(self._first_seq_of(records)), records)
            self._settle(records, movements, self.ledger.group_time_us)
            self._is_settled = True

    def _notes_from(self, first_seq: int) -> list[Note]:
        """Return the notes of the open group, which begins at a seq."""
        return [(seq - first_seq, reference, actor) for seq, reference, actor in self._notes]

    def _take_notes(self, notes: Sequence[Note], records: NDArray[np.void]) -> None:
        if notes:
            for part in self.parts:
                part.take_notes(notes, records)

    def _settle(self, records: NDArray[np.void], movements: NDArray[np.void], time_us: int) -> None:
        for part in self.parts:
            part.settle(records, movements, time_us)

    def note(self, seq: int, reference: str, actor: str) -> None:
        """Keep who did a write and what for; for the history and for the parts, not for the ledger."""
        self._notes.append((seq, reference, actor))

    @whole_or_broken
    def skip_to(self, seq: int) -> None:
        """Never use the seqs up to this one: a journal that went backwards had given them out. Told by the next entry.

        Between groups only.
        """
        if seq > self.seq:
            self._skipped_count += seq - self.seq
            self.ledger.skip_to(seq)

    def mark_digest(self) -> None:
        """Let the next entry say that the digest of the state as it is now is taken. Between groups only."""
        self._is_marked = True

    def tell_digest(self, seq: int, digest: bytes) -> None:
        """Let the next entry tell the digest of a state that was marked."""
        self._digests.append((seq, digest))

    @whole_or_broken
    def close_entry(self, epoch: int) -> Entry | None:
        """Return the journal entry of all that was written since the last one; None if nothing was."""
        self.finish_group()
        self._is_settled = False
        group = self.ledger.take_group()
        if group is None:
            return None
        notes = self._notes_from(group.first_seq)
        changes = [(seq - group.first_seq, change) for seq, change in self._changes]
        entry = Entry.of_group(
            group,
            epoch,
            notes,
            changes,
            skipped_count=self._skipped_count,
            is_marked=self._is_marked,
            digests=self._digests,
        )
        for told in (self._notes, self._changes, self._digests):
            told.clear()
        self._skipped_count, self._is_marked = 0, False
        return entry

    @whole_or_broken
    def replay(self, entry: Entry) -> None:
        """Apply one journal entry.

        Raises
        ------
        JournalCorrupt
            The entry does not follow the last one.
        """
        expected = self.seq + entry.skipped_count + 1
        if entry.first_seq != expected:
            raise JournalCorrupt(f"first_seq: expected {expected}, was {entry.first_seq}")
        if entry.skipped_count:
            self.ledger.skip_to(entry.first_seq - 1)
        group = entry.group()
        for place, content in entry.changes:
            changes = decode_changes(content)
            if any(isinstance(change, SETTLED_BEFORE) for change in changes):
                self._settle_up_to(place, group.records, group.movements)
            self._put(changes, entry.time_us)
        self.ledger.replay(group)
        if entry.version >= REFERENCES_SINCE:
            self._take_notes(entry.notes, group.records)
        self._settle(group.records, group.movements, entry.time_us)

    @property
    def has_open_entry(self) -> bool:
        """Whether something was done that only the next entry says: then no image may be taken."""
        return bool(self._skipped_count) or self.ledger.has_open_group

    def image(self) -> dict[str, bytes | memoryview]:
        """Return all that this book is by name, valid until it changes. See `Ledger.image`."""
        assert not self.has_open_entry
        return {part.name: part.image() for part in self.parts} | self.ledger.image()

    def restore(self, source: ImageSource) -> None:
        """Become the book of an image; a part that it lacks is empty. Of a new book only; see `Ledger.restore`."""
        self.ledger.restore(source)
        for part in self.parts:
            if source.has(part.name):
                part.restore(source.read(part.name))

    def digest(self) -> bytes:
        """Return 16 bytes that are equal for books that applied the same entries."""
        return xxhash.xxh3_128_digest(self.ledger.digest() + b"".join(part.digest() for part in self.parts))

    def is_too_old(self, request_id_high: int, time_us: int) -> bool:
        """Tell whether a request id is a UUIDv7 (RFC 9562) from before the window."""
        is_timed = (request_id_high >> 12) & 0xF == 7
        return is_timed and request_id_high >> 16 < (time_us - self.ledger.window_us_at(time_us)) // 1000

    def stop_counting(self) -> None:
        """Count the parts' rows no more while they change: the next digest counts them anew."""
        for part in self.parts:
            part.sum.stop()

    def verify(self) -> list[Violation]:
        """Recount everything, and return what does not add up; empty if nothing is wrong."""
        return [*self.ledger.verify(), *chain.from_iterable(part.verify() for part in self.parts)]

    def counts(self) -> dict[str, int]:
        """Return how many of each thing there are, by field of GetStatusResponse."""
        counts = self.ledger.counts()
        own = {
            "stock_level_count": counts.stock_levels,
            "active_reservation_count": counts.active_reservations,
            "committed_reservation_count": counts.committed_reservations,
            "ended_reservation_count": counts.ended_reservations,
            "request_id_count": counts.request_ids,
            "open_transfer_count": counts.open_documents[DocumentKind.TRANSFER],
            "ended_transfer_count": counts.ended_documents[DocumentKind.TRANSFER],
            "open_fulfillment_order_count": counts.open_documents[DocumentKind.FULFILLMENT_ORDER],
            "ended_fulfillment_order_count": counts.ended_documents[DocumentKind.FULFILLMENT_ORDER],
        }
        return own | {name: count for part in self.parts for name, count in part.counts().items()}
