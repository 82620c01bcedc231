"""The standby: an engine that follows a shard's journal and takes over when its primary is gone."""

import math
from bisect import bisect_left
from itertools import islice
from typing import Final

import structlog
from onhand.admin.v1.admin_service_pb2 import ROLE_STANDBY

from engine.api.desk import OPERATOR_METHODS, Desk
from engine.errors import RefusedError
from engine.sequencer import send
from engine.shard.role import Checkpoints, Outside, Role, not_primary
from ledger.journal.errors import DigestMismatch, JournalBackwards, JournalCorrupt, JournalUnavailable
from ledger.journal.reading import Tail
from ledger.journal.stream import StreamJournal
from ledger.replay import Replayer

FOLLOW_MS: Final = 10
"""How long it waits for calls, at most, before it looks at the journal again."""
ENTRIES_PER_STEP_MAX: Final = 256
LEASE_LOOKS: Final = 10
"""How often in the time of a lease it looks whether there still is one."""
REPORT_SECONDS: Final = 1.0

log = structlog.get_logger("onhand.standby")


class FellBehind(Exception):  # noqa: N818 - named by the state
    """The journal was trimmed beyond where a standby is: it begins anew from a snapshot."""


class Standby(Role):
    """A book that follows the journal. Calls are refused with the primary's address.

    What answers them is wired by `engine.service.make_standby`.

    Parameters
    ----------
    outside
        What it works with.
    journal
        Not claimed.
    replayer
        Holds the book as far as it was read.
    """

    shown_role = ROLE_STANDBY
    name = "standby"

    def __init__(self, outside: Outside, journal: StreamJournal, replayer: Replayer) -> None:
        super().__init__(outside, journal, replayer.book)
        self.replayer = replayer
        self.look_seconds = outside.config.lease_seconds / LEASE_LOOKS
        self._report_after = -math.inf
        self._is_away = False
        self.has_followed = False
        """Whether there was a primary at some time."""
        self.desk: Desk

    def begin(self, desk: Desk, checkpoints: Checkpoints) -> None:
        """Take what answers operators, and what takes snapshots beside it."""
        self.desk, self.checkpoints = desk, checkpoints

    def step(self, timeout_ms: int) -> int:
        """Follow the journal, refuse who calls; returns the number of calls.

        Raises
        ------
        JournalBackwards
            The journal lost what this book followed, or goes on in another way.
        FellBehind
            The journal was trimmed beyond where this book is.
        JournalCorrupt
            The journal is not what was written, or this book is not what the writer has.
        """
        try:
            self._follow()
            self._report()
            self._is_away = False
        except JournalUnavailable as error:
            if not self._is_away:
                log.warning("journal away", seq=self.book.seq, error=str(error))
            self._is_away = True
        self.look()
        self.has_followed |= self._holder is not None
        self._checkpoint()
        return self.refuse(not_primary(self.primary_address()), min(timeout_ms, FOLLOW_MS))

    def may_take_over(self) -> bool:
        """Tell whether the lease was free when it was last looked for."""
        return self.is_seen and self._holder is None and not self._is_away

    def catch_up(self) -> None:
        """Apply all that is in the journal, which this engine has claimed. Raises as `step`, and JournalUnavailable."""
        for last_seq, payload in self.journal.read(self.book.seq):
            self._apply(last_seq, payload)
        self._check_end()

    def _follow(self) -> None:
        """Apply what came, a bounded number of entries."""
        for last_seq, payload in islice(self.journal.read(self.book.seq), ENTRIES_PER_STEP_MAX):
            self._apply(last_seq, payload)

    def _apply(self, last_seq: int, payload: bytes) -> None:
        try:
            self.replayer.apply(last_seq, payload)
        except DigestMismatch:
            raise
        except JournalCorrupt:
            self._check_end()
            raise
        self.digests_compared_count = self.replayer.compared_count

    def _check_end(self) -> None:
        """Make sure that the journal has the last entry of this book, or goes on right after it."""
        seq = self.book.seq
        if seq == 0:
            return
        tail = self.journal.tail()
        if tail.last_seq > seq:
            kept = self.journal.first_seq_kept()
            if kept > seq + 1:
                raise FellBehind(f"The journal begins with seq {kept}: expected {seq + 1} or less: it was trimmed.")
            if kept == seq + 1:
                return
        if not self._is_shared((seq, self.replayer.chain)):
            raise self._lost(tail)

    def _lost(self, tail: Tail) -> JournalCorrupt:
        """Return what is wrong with a journal without this book's last entry: it went backwards, or is another."""
        recent, seq = self.replayer.recent, self.book.seq
        shared_count = bisect_left(recent, 1, key=lambda entry: 0 if self._is_shared(entry) else 1)
        has = f"The journal ends with seq {tail.last_seq}, epoch {tail.epoch}"
        last_seq = recent[shared_count - 1][0] if shared_count else 0
        if last_seq == 0 == recent[0][0]:  # else it began with a snapshot: a new start finds out what to begin with
            return JournalCorrupt(
                f"{has}, and has none of the {len(recent)} entries before seq {seq}: it is another's."
            )
        return JournalBackwards(
            f"{has}, and lacks what this engine has from seq {last_seq + 1} to {seq}: its server lost entries.",
            last_seq,
        )

    def _is_shared(self, entry: tuple[int, bytes]) -> bool:
        """Tell whether the journal has an entry of this book's."""
        seq, chain = entry
        return self.journal.chain_at(seq) == chain

    def _report(self) -> None:
        """Tell the primary now and then how far this book is, so that it keeps what comes after."""
        now = self.outside.monotonic()
        if now >= self._report_after:
            self._check_end()
            self.journal.report_standby(self.outside.address, self.book.seq)
            self._report_after = now + REPORT_SECONDS

    def _checkpoint(self) -> None:
        self.checkpoints.poll()
        if self.checkpoints.is_due():
            self.checkpoints.begin(self.replayer.chain, self.epoch)

    def refuse(self, refusal: RefusedError, timeout_ms: int) -> int:
        """Refuse the calls that are there, but not what operators ask; returns their number."""
        calls = self.outside.transport.take(self.outside.config.group_calls_max, timeout_ms)
        replies = [*self.desk.go_on(), *self.desk.refuse(calls, refusal, OPERATOR_METHODS)]
        self.outside.meter.count_replies(replies)
        send(self.outside.transport, replies)
        return len(calls)

    def abandon(self, refusal: RefusedError) -> None:
        """Refuse whoever waits."""
        send(self.outside.transport, self.desk.abandon(refusal))
        self.refuse(refusal, 0)

    @property
    def is_unsettled(self) -> bool:
        """It never is: it writes nothing."""
        return False

    @property
    def is_busy(self) -> bool:
        """Whether calls that were taken are not answered yet: of operators, who ask for what takes long."""
        return self.desk.is_working

    # ---- what it tells -----------------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """Of the writer it follows; 0 while there is none."""
        return self._holder.epoch if self._holder else 0

    @property
    def seq_durable(self) -> int:
        """Last position that it followed."""
        return self.book.seq

    @property
    def write_count(self) -> int:
        """None: it does not write."""
        return 0

    @property
    def misses_journal(self) -> bool:
        """Whether the journal server does not answer now."""
        return self._is_away

    def primary_address(self) -> str:
        """Return that of the lease, unless it is this engine's own from before it stepped down."""
        address = self._holder.address if self._holder else ""
        return "" if address == self.outside.address else address
