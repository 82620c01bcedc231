"""Checkpoints: a snapshot is written beside the writer; then the journal is archived up to it, and trimmed.

    due ─→ fork: a child writes the snapshot ─→ `python -m ledger.archive` ─→ trim the journal ─→ until the next time

Between checkpoints the journal is archived as well, so that its loss costs seconds. A standby archives for itself, and
leaves trimming to the primary.

The fork is all that the writer waits for: the child sees the memory as it was then, and the kernel copies a page only
when the writer changes it.
"""

import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

import msgspec
import structlog

from engine.aside import leave_engine
from ledger.archive import Order, archived_seq
from ledger.book import Book
from ledger.core.limits import MICROSECONDS
from ledger.history import History
from ledger.journal.errors import JournalError, JournalUnavailable
from ledger.journal.reading import Memory
from ledger.journal.stream import StreamJournal
from ledger.recovery import is_of_journal
from ledger.sealed import remove_temporaries
from ledger.snapshot import Snapshot, SnapshotDamaged, read_header, snapshot_path, snapshots, write_snapshot

MEMORY_SHARE_MAX: Final = 0.7
"""A journal server whose memory is fuller than this needs a checkpoint."""
MEMORY_STEP: Final = 0.05
"""After a checkpoint for want of memory the next comes once the journal has grown by this share of the limit."""
MEMORY_ASK_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 30.0
STANDBY_SECONDS: Final = 5.0
"""When to look again whether a standby that was behind still needs what could be trimmed."""
REASON_BYTES_MAX: Final = 4096
"""What a pipe takes at once."""
REWRITE_BYTES_MIN: Final = 64 * 1024 * 1024
"""A trim that freed these makes it worth to write the journal server's file anew."""

log = structlog.get_logger("onhand.checkpoint")


class _Child(NamedTuple):
    """The process that writes a snapshot."""

    pid: int
    reason: int
    """File descriptor where it says what went wrong."""
    path: Path
    started: float


class _Trimming(NamedTuple):
    """A trim that has begun."""

    seq: int
    """Entries that end before it are dropped."""
    used_bytes_before: int
    """Memory of the journal server when it began."""


class Keeping(NamedTuple):
    """What is kept of a journal, where, and when the next snapshot is due."""

    folder: Path
    """Of the snapshots."""
    archive_folder: Path
    """Of segments of what was trimmed."""
    seconds: float
    """How long after the last snapshot the next is due, 0 for never."""
    journal_bytes: int
    """After how many appended bytes it is due."""
    snapshots: int
    """How many of them."""
    history_seconds: float
    """How old archived history may become."""
    archive_seconds: float
    """How long a write waits, half of it at least, until it is archived; 0 to archive with snapshots only."""


class Checkpointer:
    """Takes snapshots of a book, and keeps the journal short.

    The owner calls `poll` in every step, and `begin` when `is_due` says so. Whatever goes wrong is logged, shown by
    `status`, and tried again; it never stops the engine.

    Parameters
    ----------
    book, journal
        What is written, and what is archived and trimmed.
    keeping
        What is kept of it.
    monotonic
        Clock, seconds.
    on_digest
        Hears the position of a durable snapshot and its digest; None on a standby: to trim the journal is for its
        writer.
    after_trim
        Called after a trim that freed much of the journal server's memory.
    """

    def __init__(
        self,
        book: Book,
        journal: StreamJournal,
        keeping: Keeping,
        *,
        monotonic: Callable[[], float],
        on_digest: Callable[[int, bytes], None] | None,
        after_trim: Callable[[], None],
    ) -> None:
        assert keeping.snapshots > 0
        self._book = book
        self._journal = journal
        self._keeping = keeping
        self._folder = keeping.folder
        self._history = History(journal, keeping.archive_folder)
        self._monotonic = monotonic
        self._on_digest = on_digest
        self._after_trim = after_trim
        self._child: _Child | None = None
        self._archiver: subprocess.Popen[bytes] | None = None
        self._is_between = False
        """Whether the archiver was started between checkpoints."""
        self._archive_time = monotonic()
        self._seq_seen = 0
        """Where the book was when it was last thought of archiving: that is durable by now."""
        self._trimming: _Trimming | None = None
        self._trim_again_time = math.inf
        self._is_requested = False
        self._failure = ""
        self._ended_count = 0
        self._last_time = monotonic()
        self._retry_time = self._last_time
        self._bytes_at_last = journal.appended_bytes
        self._memory = Memory(0, 0)
        self._memory_time = self._last_time
        self._memory_step = 0
        self._pause_seconds = self._pause_seconds_max = 0.0
        self._snapshot_seconds = 0.0
        self._snapshot_bytes = 0
        self._snapshot: Snapshot | None = None
        remove_temporaries(keeping.folder)
        self._find_newest()
        first_seq = _first_seq_kept(journal)
        self._trimmed_seq = first_seq - 1 if on_digest else 0
        self._archived_seq = archived_seq(keeping.archive_folder)
        if self._snapshot is None and first_seq > 1:  # others, and this one later, could not start
            self._is_requested = True

    def _find_newest(self) -> None:
        """Begin with the newest snapshot that is not of a journal which lost entries since."""
        for path in snapshots(self._folder):
            header = _header_or_none(path)
            if header and header.seq <= self._book.seq:
                self._snapshot, self._snapshot_bytes = header, path.stat().st_size
                return

    # ---- when --------------------------------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether a checkpoint has begun and not ended."""
        return self._child is not None or self._archiver is not None or self._trimming is not None

    @property
    def is_busy(self) -> bool:
        """Whether a checkpoint runs, or was requested and will."""
        return self.is_running or (self._is_requested and not self._book.has_open_entry)

    def request(self) -> None:
        """Make a checkpoint due now; with nothing new to write, the journal is archived and trimmed all the same."""
        self._is_requested = True

    def is_due(self) -> bool:
        """Tell whether `begin` should be called."""
        if self.is_running or self._book.has_open_entry:
            return False
        if self._is_requested:
            return True
        now = self._monotonic()
        if now < self._retry_time or not (self._has_news or self._failure):
            return False
        is_time = bool(self._keeping.seconds) and now - self._last_time >= self._keeping.seconds
        return (
            bool(self._failure)
            or is_time
            or self._appended_bytes >= self._keeping.journal_bytes
            or self._lacks_memory(now)
        )

    @property
    def _has_news(self) -> bool:
        return self._book.seq > self._snapshot_seq

    @property
    def _snapshot_seq(self) -> int:
        return self._snapshot.seq if self._snapshot else 0

    @property
    def _appended_bytes(self) -> int:
        return self._journal.appended_bytes - self._bytes_at_last

    def _lacks_memory(self, now: float) -> bool:
        """Tell whether the journal server's memory fills up, and a checkpoint would free some of it."""
        if self._on_digest is None or now - self._memory_time < MEMORY_ASK_SECONDS:
            return False
        self._memory_time = now
        return self._is_memory_short() and self._appended_bytes >= self._memory_step

    def _is_memory_short(self) -> bool:
        try:
            self._memory = self._journal.memory()
        except JournalUnavailable:
            return False
        return self._memory.used_bytes > MEMORY_SHARE_MAX * self._memory.limit_bytes > 0

    # ---- the snapshot ------------------------------------------------------------------------------------------------

    def begin(self, chain: bytes, epoch: int) -> None:
        """Begin a checkpoint of the book as it is; everything in it is durable.

        Parameters
        ----------
        chain
            Checksum of the last journal entry.
        epoch
            Of its writer.
        """
        assert not self.is_running
        assert not self._book.has_open_entry
        self._is_requested = False
        if self._has_news:
            self._fork(chain, epoch)
        else:
            self._archive()

    def _fork(self, chain: bytes, epoch: int) -> None:
        reason, report = os.pipe()
        started = self._monotonic()
        try:
            pid = os.fork()
            if pid == 0:
                _write_and_exit(report, self._folder, self._book, chain, epoch)
        except OSError as error:
            os.close(reason)
            self._fail(f"the snapshot's process could not be started: {error}")
            return
        finally:
            os.close(report)
        self._pause_seconds = self._monotonic() - started
        self._pause_seconds_max = max(self._pause_seconds_max, self._pause_seconds)
        self._child = _Child(pid, reason, snapshot_path(self._folder, self._book.seq, epoch), started)
        self._last_time, self._bytes_at_last = started, self._journal.appended_bytes
        self._memory_step = int(MEMORY_STEP * self._memory.limit_bytes)

    def poll(self) -> None:
        """Go on with a checkpoint that runs, without waiting for it."""
        try:
            if self._child is not None:
                self._poll_child(self._child)
            elif self._archiver is not None:
                self._poll_archiver(self._archiver)
            elif self._trimming is not None:
                self._go_on_trimming(self._trimming)
            elif self._monotonic() >= self._trim_again_time:
                self._begin_trimming()
            else:
                self._archive_between()
        except OSError as error:  # of a folder or file that somebody took away, or closed to us
            self._fail(f"its files cannot be used: {error}")

    def _poll_child(self, child: _Child) -> None:
        pid, status = os.waitpid(child.pid, os.WNOHANG)
        if pid == 0:
            return
        self._child = None
        reason = os.read(child.reason, REASON_BYTES_MAX).decode("utf-8", "replace")
        os.close(child.reason)
        code = os.waitstatus_to_exitcode(status)
        header = _header_or_none(child.path) if code == 0 else None
        if header is None:
            remove_temporaries(self._folder)
            self._fail(f"the snapshot was not written: {reason or f'its process ended with code {code}'}")
            return
        self._snapshot, self._snapshot_bytes = header, child.path.stat().st_size
        self._snapshot_seconds = self._monotonic() - child.started
        log.info(
            "snapshot written",
            seq=header.seq,
            bytes=self._snapshot_bytes,
            seconds=round(self._snapshot_seconds, 3),
            pause_seconds=round(self._pause_seconds, 4),
        )
        if self._on_digest is not None:
            self._on_digest(header.seq, header.digest)
        for path in snapshots(self._folder)[self._keeping.snapshots :]:
            path.unlink(missing_ok=True)
        self._archive()

    # ---- the journal -------------------------------------------------------------------------------------------------

    def _archive_between(self) -> None:
        """Archive what was written by the last time that this was thought of, when it is time."""
        now, wait_seconds = self._monotonic(), self._keeping.archive_seconds / 2
        if not wait_seconds or now < self._archive_time:
            return
        self._archive_time = now + wait_seconds
        settled_seq, self._seq_seen = self._seq_seen, self._book.seq
        if self._journal.epoch:
            settled_seq = min(settled_seq, self._journal.last_seq)
        if settled_seq > self._archived_seq:
            self._is_between = True
            self._start_archiver(settled_seq)

    def _archive(self) -> None:
        """Start archiving what the newest snapshot holds."""
        self._is_between = False
        self._start_archiver(self._snapshot_seq)

    def _start_archiver(self, up_to_seq: int) -> None:
        keep_from_us = self._book.ledger.time_us - int(self._keeping.history_seconds * MICROSECONDS)
        order = Order(
            url=self._journal.url,
            shard=self._journal.shard,
            folder=str(self._keeping.archive_folder.absolute()),
            up_to_seq=up_to_seq,
            keep_from_us=keep_from_us,
        )
        try:
            self._archiver = subprocess.Popen(
                [sys.executable, "-m", "ledger.archive"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            assert self._archiver.stdin is not None
            with self._archiver.stdin as pipe:  # not an argument: the URL may hold a password
                pipe.write(msgspec.json.encode(order))
        except OSError as error:
            self._fail(f"the archive's process could not be started: {error}")

    def _poll_archiver(self, archiver: subprocess.Popen[bytes]) -> None:
        code = archiver.poll()
        if code is None:
            return
        self._archiver = None
        assert archiver.stderr is not None
        with archiver.stderr as pipe:
            reason = pipe.read(REASON_BYTES_MAX).decode("utf-8", "replace").strip()
        if code != 0:
            self._fail(f"the journal was not archived: {reason or f'its process ended with code {code}'}")
            return
        self._archived_seq = archived_seq(self._keeping.archive_folder)
        if self._is_between:
            return
        if self._on_digest is None:
            self._succeed()
        else:
            self._begin_trimming()

    def _begin_trimming(self) -> None:
        """Let go of what neither a snapshot, nor the archive, nor a standby still needs.

        The entry at the end of a snapshot stays: by its checksum the snapshot is known to be of this journal.
        """
        self._trim_again_time = math.inf
        try:
            spare = min(self._needed_seq(), self._archived_seq)
            seq = min([spare, *self._journal.standby_seqs().values()])
            if seq < spare:
                self._trim_again_time = self._monotonic() + STANDBY_SECONDS
            if seq > self._trimmed_seq:
                self._trimming = _Trimming(seq, self._journal.memory().used_bytes)
            else:
                self._succeed()
        except JournalError as error:
            self._fail(f"the journal was not trimmed: {error}")

    def _go_on_trimming(self, trimming: _Trimming) -> None:
        """Drop a bounded number of entries: the writer waits for it."""
        try:
            if self._journal.trim_before(trimming.seq) == 0:
                self._trimming = None
                self._finish_trimming(trimming)
        except JournalError as error:
            self._trimming = None
            self._fail(f"the journal was not trimmed: {error}")

    def _finish_trimming(self, trimming: _Trimming) -> None:
        freed = trimming.used_bytes_before - self._journal.memory().used_bytes
        self._trimmed_seq = self._journal.first_seq_kept() - 1
        log.info("journal trimmed", seq=self._trimmed_seq, freed_bytes=freed)
        if freed >= REWRITE_BYTES_MIN:
            self._after_trim()
        self._succeed()

    def _needed_seq(self) -> int:
        """Return from which position on a start might need the journal.

        From the oldest snapshot on that is kept, so that it can stand in for the newest; with too few of them from the
        beginning. A server that runs out of memory gets all that the newest can spare.
        """
        usable = [
            header.seq
            for path in snapshots(self._folder)
            if (header := _header_or_none(path)) and is_of_journal(self._journal, self._history, header)
        ]
        if usable and self._is_memory_short():
            return usable[0]
        return usable[-1] if len(usable) >= self._keeping.snapshots else 0

    # ---- the end of it -----------------------------------------------------------------------------------------------

    def _succeed(self) -> None:
        self._failure = ""
        self._ended_count += 1

    def _fail(self, reason: str) -> None:
        self._failure = reason
        self._ended_count += 1
        self._retry_time = self._monotonic() + RETRY_SECONDS
        log.error("checkpoint failed", reason=reason, seq=self._book.seq, retry_seconds=RETRY_SECONDS)

    def close(self) -> None:
        """End what still runs; what it wrote so far is dropped."""
        if self._child is not None:
            os.kill(self._child.pid, signal.SIGKILL)
            os.waitpid(self._child.pid, 0)
            os.close(self._child.reason)
            remove_temporaries(self._folder)
            self._child = None
        if self._archiver is not None:
            assert self._archiver.stderr is not None
            self._archiver.kill()
            self._archiver.wait()
            self._archiver.stderr.close()
            self._archiver = None
        self._trimming = None
        self._trim_again_time = math.inf

    def status(self) -> dict[str, Any]:
        """Return what an operator asks, by field of GetStatusResponse."""
        return {
            "snapshot_seq": self._snapshot_seq,
            "snapshot_time_us": self._snapshot.time_us if self._snapshot else 0,
            "snapshot_bytes": self._snapshot_bytes,
            "snapshot_seconds": self._snapshot_seconds,
            "checkpoint_pause_seconds_max": self._pause_seconds_max,
            "is_checkpoint_running": self.is_running,
            "journal_bytes_since_checkpoint": self._appended_bytes,
            "checkpoint_journal_bytes": self._keeping.journal_bytes,
            "checkpoint_failure": self._failure,
            "checkpoint_ended_count": self._ended_count,
            "trimmed_seq": self._trimmed_seq,
            "archived_seq": self._archived_seq,
        }


def _first_seq_kept(journal: StreamJournal) -> int:
    """Return where the journal begins; 1 if it cannot be asked now: the next trim knows."""
    try:
        return journal.first_seq_kept()
    except JournalUnavailable:
        return 1


def _header_or_none(path: Path) -> Snapshot | None:
    try:
        return read_header(path)
    except SnapshotDamaged:
        return None


# ---- in the child ----------------------------------------------------------------------------------------------------


def _write_and_exit(report: int, folder: Path, book: Book, chain: bytes, epoch: int) -> NoReturn:
    """Write the snapshot and end."""
    code = 1
    try:
        leave_engine(report)
        write_snapshot(folder, book, chain, epoch)
        code = 0
    except BaseException as error:  # noqa: BLE001 - whatever it is, the engine must hear of it and this process must end
        os.write(report, f"{type(error).__name__}: {error}".encode()[:REASON_BYTES_MAX])
    finally:
        os._exit(code)
