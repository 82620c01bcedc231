"""What an engine is for its shard: the outside it works with, and what both of its roles have."""

import math
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Executor
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import psutil

from engine.admission import Admission
from engine.config import EngineConfig
from engine.errors import RefusedError
from engine.metrics import Meter
from engine.shard.oversold import OversoldCount
from engine.shard.warnings import Circumstances, warnings_of
from engine.transport import Transport
from ledger.book import Book
from ledger.core.limits import MICROSECONDS
from ledger.history import History
from ledger.journal.entry import Entry, decode_entry
from ledger.journal.errors import JournalUnavailable
from ledger.journal.reading import Holder, Memory
from ledger.journal.stream import StreamJournal
from ledger.recovery import Recovered
from ledger.snapshot import snapshots

VERSION: Final = version("onhand")
NOT_PRIMARY_SECONDS: Final = 0.1
"""When it makes sense to ask again: clients add it to pauses of their own."""
SNAPSHOT_PIECE_BYTES: Final = 1024 * 1024
HISTORY_BYTES_MAX: Final = 1024 * 1024
"""Of journal entries that one call reads: the writer waits for them. A larger entry is read alone."""
LOOK_SECONDS: Final = 1.0
"""How often an engine looks at what it does not need for a decision: the journal server's memory, the standbys."""


class Checkpoints(Protocol):
    """What a role needs of a checkpointer; see `engine.shard.checkpoint.Checkpointer`."""

    @property
    def is_busy(self) -> bool:
        """Whether a snapshot is asked for or written, or what it makes superfluous is being archived and trimmed."""

    def is_due(self) -> bool:
        """Whether a snapshot should be taken now."""

    def request(self) -> None:
        """Let one be taken as soon as there is something new."""

    def begin(self, chain: bytes, epoch: int) -> None:
        """Take one of the book as it is, beside the caller."""

    def poll(self) -> None:
        """See what became of it."""

    def close(self) -> None:
        """End what still runs."""

    def status(self) -> Mapping[str, Any]:
        """Figures, by field of GetStatusResponse."""


class Outside(NamedTuple):
    """What a role works with: all that has threads, sockets, files or a clock."""

    config: EngineConfig
    transport: Transport
    admission: Admission
    meter: Meter
    start_time_us: int
    address: str
    """At which clients reach this engine."""
    open_journal: Callable[[], StreamJournal]
    """Gives a journal that nothing was claimed of yet."""
    recover: Callable[[StreamJournal], Recovered]
    """Makes a book of the newest snapshot and the journal's tail."""
    open_checkpoints: Callable[[Book, StreamJournal, Callable[[int, bytes], None] | None], Checkpoints]
    """Takes a book and its journal; for the journal's writer, which trims it, also who is told of digests."""
    archive_folder: Path
    background: Executor
    """Runs what the writer must not wait for."""
    clock: Callable[[], int]
    """Gives microseconds since the epoch; may go back."""
    monotonic: Callable[[], float]
    """Gives seconds; never goes back."""
    aside: Callable[[Callable[[], bytes]], Generator[None, None, bytes]]
    """Works something out beside the writer, over what is in memory when it begins; see `engine.aside.Aside.run`."""
    sleep: Callable[[float], None]
    """Waits so many seconds, while nobody is served yet."""
    free_bytes: Callable[[], int]
    """Gives what the disk of the data folder has left."""
    why_away: Callable[[], str] = str
    """Gives what is known of why the journal server is away, if it is ours; else an empty text."""


class Role:
    """What an engine is for its shard, as far as both roles are alike. Implements `engine.api.methods.Surroundings`."""

    shown_role: int
    """Of onhand.admin.v1.Role."""
    name: str
    """Of the role, for people."""

    def __init__(self, outside: Outside, journal: StreamJournal, book: Book) -> None:
        self.outside = outside
        self.journal = journal
        self.book = book
        self._history = History(journal, outside.archive_folder)
        self.backwards_count = 0
        self.digests_compared_count = 0
        self.checkpoints: Checkpoints
        self.look_seconds = LOOK_SECONDS
        self.is_seen = False
        """Whether the journal server answered at the last look."""
        self._look_after = -math.inf
        self._holder: Holder | None = None
        self._lease_seen_at = 0.0
        self._memory = Memory(0, 0)
        self._standbys: Mapping[str, int] = {}
        self._oversold = OversoldCount(book.ledger)

    # ---- what reads may look at --------------------------------------------------------------------------------------

    def history(self, first_seq: int, entry_count: int) -> Iterator[Entry]:
        """Journal entries from the one that holds first_seq on, of archive and stream, read as they are asked for.

        At most entry_count, and no more once they have HISTORY_BYTES_MAX.
        """
        read_bytes = 0
        for last_seq, payload in islice(self._history.entries(first_seq - 1, across_gaps=True), entry_count):
            yield decode_entry(payload, None, last_seq)[0]
            read_bytes += len(payload)
            if read_bytes > HISTORY_BYTES_MAX:
                return

    def kept_ranges(self) -> list[tuple[int, int]]:
        """First and last position of each part of archive and journal that is without a gap."""
        return self._history.ranges()

    def read_snapshot(self, name: str, offset: int) -> tuple[str, int, bytes] | None:
        """Name, length and a piece of a snapshot's file; None if there is none of that name. "" is the newest."""
        found = {path.name: path for path in reversed(snapshots(self.outside.config.snapshot_folder))}
        path = found.get(name or next(reversed(found), ""))
        if path is None:
            return None
        with path.open("rb") as file:
            file.seek(offset)
            return path.name, path.stat().st_size, file.read(SNAPSHOT_PIECE_BYTES)

    def aside(self, work: Callable[[], bytes]) -> Generator[None, None, bytes]:
        """Give what `work` returns, worked out beside the writer over what is in memory when this begins."""
        return self.outside.aside(work)

    def request_checkpoint(self) -> int:
        """Let a snapshot be taken soon; returns the position that it will have at least."""
        self.checkpoints.request()
        return self.book.seq

    def status(self) -> dict[str, Any]:
        """Positions, settings and measures, by field of GetStatusResponse. Of what stands in memory: any thread."""
        config, admission = self.outside.config, self.outside.admission
        written = self.write_count
        return {
            "version": VERSION,
            "role": self.shown_role,
            "transport": config.transport,
            "durability": config.durability,
            "journal": self.journal.describe(),
            "epoch": self.epoch,
            "primary_address": self.primary_address(),
            "lease_seconds_left": self._lease_seconds_left(),
            "standbys": [
                {"address": address, "seq": seq, "lag": max(0, self.seq_durable - seq)}
                for address, seq in sorted(self._standbys.items())
            ],
            "seq_sequenced": self.book.seq,
            "seq_applied": self.book.seq,
            "seq_durable": self.seq_durable,
            **self.book.counts(),
            "journal_entry_count": self.journal.appended_entries_count,
            "journal_entry_bytes": self.journal.appended_bytes,
            "journal_write_count": written,
            "journal_bytes_per_write": self.journal.appended_bytes / written if written else 0.0,
            "journal_server_used_bytes": self._memory.used_bytes,
            "journal_server_limit_bytes": self._memory.limit_bytes,
            "journal_backwards_count": self.backwards_count,
            "digests_compared_count": self.digests_compared_count,
            "resident_bytes": psutil.Process().memory_info().rss,
            "start_time_us": self.outside.start_time_us,
            "request_window_seconds": config.request_window_seconds,
            "waiting_call_count": admission.waiting_calls,
            "waiting_bytes": admission.waiting_bytes,
            "overloaded_call_count": sum(admission.overloaded_counts),
            "dropped_call_count": admission.dropped_count,
            "expired_reservation_count": self.book.ledger.expired_count,
            "warnings": list(warnings_of(self._circumstances())),
            **self.checkpoints.status(),
        }

    @property
    def oversold_level_count(self) -> int:
        """Stock levels that are oversold, as last counted."""
        return self._oversold.level_count

    def _circumstances(self) -> Circumstances:
        outside, kept, now_us = self.outside, self.checkpoints.status(), self.outside.clock()
        return Circumstances(
            config=outside.config,
            backwards_count=self.backwards_count,
            misses_journal=self.misses_journal,
            why_away=outside.why_away() if self.misses_journal else "",
            behind_seconds=(self.book.ledger.time_us - now_us) / MICROSECONDS,
            kept=kept,
            snapshot_age_seconds=(now_us - max(kept["snapshot_time_us"], outside.start_time_us)) / MICROSECONDS,
            free_bytes=outside.free_bytes(),
            memory=self._memory,
            standby_count=len(self._standbys),
        )

    # ---- what the roles tell -----------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """Of the writer, as far as it is known."""
        raise NotImplementedError

    @property
    def seq_durable(self) -> int:
        """Last position that is durable."""
        raise NotImplementedError

    @property
    def write_count(self) -> int:
        """Writes journaled since the start."""
        raise NotImplementedError

    @property
    def misses_journal(self) -> bool:
        """Whether the journal server does not do its part now."""
        raise NotImplementedError

    def primary_address(self) -> str:
        """Where the primary can be reached; empty if that is unknown."""
        raise NotImplementedError

    def _lease_seconds_left(self) -> float:
        if self._holder is None:
            return 0.0
        return max(0.0, self._holder.seconds_left - (self.outside.monotonic() - self._lease_seen_at))

    # ---- looking around ----------------------------------------------------------------------------------------------

    def look(self) -> None:
        """See now and then who holds the lease, who follows, and how full the journal server is."""
        now = self.outside.monotonic()
        if now < self._look_after or self.misses_journal:
            return
        self._look_after = now + self.look_seconds
        self._oversold.go_on()
        self.is_seen = False
        try:
            self._holder = self.journal.holder()
            self._lease_seen_at = now
            self._standbys = self.journal.standby_seqs()
            self._memory = self.journal.memory()
            self.is_seen = True
        except JournalUnavailable:
            self._holder = None


def not_primary(address: str) -> RefusedError:
    """Return the refusal of an engine that may not answer now, with the address of the one that may."""
    told = f"ask the primary at {address}" if address else "no primary is known at the moment"
    return RefusedError(
        "NOT_PRIMARY",
        f"This engine is not the primary, nothing was done: {told}.",
        metadata={"primary": address},
        retry_seconds=NOT_PRIMARY_SECONDS,
    )
