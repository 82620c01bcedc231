"""The shard: what this engine is for it, primary or standby, and how it becomes the other.

standby ── the lease is free: claim it, catch up ──→ primary
primary ── another engine claimed it: fenced ──────→ standby
primary, standby ── the journal went backwards, or has no room: begin anew from snapshot and journal ──→ the same
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import structlog

from engine.errors import RefusedError, journal_away
from engine.sequencer import SETTLE_MS
from engine.shard.primary import Beginning, JournalServerFull, Primary
from engine.shard.role import Outside, not_primary
from engine.shard.standby import FellBehind, Standby
from ledger.journal.errors import (
    JournalBackwards,
    JournalCorrupt,
    JournalError,
    JournalFenced,
    JournalHeld,
    JournalOfOtherRelease,
    JournalTrimmed,
    JournalUnavailable,
    UnsafeJournalServer,
)
from ledger.journal.stream import StreamJournal
from ledger.replay import Replayer

HELD_SECONDS_MORE: Final = 1.0
"""How much longer than its lease a start waits for an engine that does not renew it."""
POLL_SECONDS: Final = 0.05
AWAY_SECONDS_MAX: Final = 60.0
"""How long a standby waits for a journal server that is away when it starts."""

log = structlog.get_logger("onhand.shard")


class Health(NamedTuple):
    """What whoever sends calls, or starts engines, wants to know of one."""

    is_leading: bool
    """Whether it is the primary."""
    is_ready: bool
    """Whether it does what it is for: a primary answers, a standby follows."""


AWAY: Final = Health(is_leading=False, is_ready=False)


class Shard:
    """Owner of the role: `open`, then `step` for ever, then `close`.

    Parameters
    ----------
    outside
        What the roles work with.
    make_primary, make_standby
        Wire a role: see `engine.service`.
    takes_over
        Whether nobody else can have the journal, whatever its lease says.
    on_role
        Hears of each new role.
    """

    def __init__(
        self,
        outside: Outside,
        make_primary: Callable[[Outside, StreamJournal, Replayer, Beginning], Primary],
        make_standby: Callable[[Outside, StreamJournal, Replayer], Standby],
        *,
        takes_over: bool,
        on_role: Callable[[Primary | Standby], None],
    ) -> None:
        self._outside = outside
        self._make_primary = make_primary
        self._make_standby = make_standby
        self._takes_over = takes_over
        self._on_role = on_role
        self._backwards_count = 0
        self._seq_floor = 0
        self._enter: Callable[[], None] | None = None
        self._has_role = False
        self.role: Primary | Standby
        """What it is, or was until it finds its way back to the journal."""

    def open(self) -> None:
        """Become what the settings say.

        Raises
        ------
        JournalHeld
            Another engine is the primary, and goes on being it.
        JournalError
            The journal cannot be used, see `StreamJournal.open`, or not be recovered from, see `ledger.recovery`.
        """
        with self._opened() as journal:
            if self._outside.config.standby:
                self._stand_by_when_there(journal)
            else:
                self._claim_when_free(journal)
                self._lead(journal)

    def step(self, timeout_ms: int) -> int:
        """Let the role do what there is to do, and change it if it must; returns the number of calls.

        Raises
        ------
        JournalCorrupt
            A person must look at the journal.
        """
        if self._enter is not None:
            return self._find_back()
        role = self.role
        try:
            if isinstance(role, Standby) and role.may_take_over():
                self._take_over(role)
            return self.role.step(timeout_ms)
        except JournalFenced as error:
            self._step_down(error)
        except JournalBackwards as error:
            self._seq_floor = max(self._seq_floor, self.role.book.seq)
            self._backwards_count += 1
            self._begin_anew(error)
        except (FellBehind, JournalServerFull) as error:
            self._begin_anew(error)
        return 0

    @property
    def health(self) -> Health:
        """How it is now."""
        if self._enter is not None:
            return AWAY
        return Health(isinstance(self.role, Primary), not self.role.misses_journal)

    def close(self) -> None:
        """Give the lease back, so that a standby need not wait for its end, and close the journal."""
        if self.role.journal.epoch:
            self.role.journal.release()
        self.role.checkpoints.close()
        self.role.journal.close()

    # ---- becoming something ------------------------------------------------------------------------------------------

    def _become(self, role: Primary | Standby) -> None:
        role.backwards_count = self._backwards_count
        if self._has_role:
            self.role.checkpoints.close()
        self.role, self._has_role = role, True
        self._on_role(role)

    def _lead(self, journal: StreamJournal, *, is_full: bool = False) -> None:
        """Become the primary of a journal that was claimed."""
        replayer = self._recover(journal)
        self._become(self._make_primary(self._outside, journal, replayer, Beginning(self._seq_floor, is_full)))
        log.info("leading", role=Primary.name, epoch=self.role.epoch, seq=self.role.book.seq)

    def _stand_by(self, journal: StreamJournal) -> None:
        journal.report_standby(self._outside.address, 0)  # nothing may be trimmed while this engine begins
        self._become(self._make_standby(self._outside, journal, self._recover(journal)))
        log.info("standing by", role=Standby.name, seq=self.role.book.seq)

    def _recover(self, journal: StreamJournal) -> Replayer:
        recovered = self._outside.recover(journal)
        if self._seq_floor and recovered.replayer.book.seq == 0:
            raise JournalCorrupt(
                f"Journal {journal.describe()}: expected entries up to seq {self._seq_floor}, as this engine had them, "
                "found none: it is gone. Put the journal server's files back."
            )
        if recovered.seq_floor > self._seq_floor:
            self._seq_floor = recovered.seq_floor
            self._backwards_count += 1
            log.error("the journal went backwards", snapshot_seq=recovered.seq_floor)
        return recovered.replayer

    def _claim(self, journal: StreamJournal) -> None:
        journal.open(self._outside.address, self._outside.config.lease_seconds, takes_over=self._takes_over)

    def _claim_when_free(self, journal: StreamJournal) -> None:
        """Claim the journal; an engine that is gone without a word has its lease until it runs out."""
        patience_seconds = self._outside.config.lease_seconds + HELD_SECONDS_MORE
        deadline, is_told = self._outside.monotonic() + patience_seconds, False
        while True:
            try:
                self._claim(journal)
            except JournalHeld as error:
                if self._outside.monotonic() >= deadline:
                    raise
                if not is_told:
                    log.info("waiting for the lease", holder=error.address, seconds_max=patience_seconds)
                    is_told = True
                self._outside.sleep(POLL_SECONDS)
            else:
                return

    def _stand_by_when_there(self, journal: StreamJournal) -> None:
        """Stand by; wait some time for a journal server that restarts, or a primary to fetch a snapshot from."""
        deadline = self._outside.monotonic() + AWAY_SECONDS_MAX
        while True:
            try:
                self._stand_by(journal)
            except (JournalUnavailable, JournalTrimmed, OSError) as error:
                if self._outside.monotonic() >= deadline:
                    raise
                log.warning("cannot stand by yet", error=str(error))
                self._outside.sleep(1.0)
            else:
                return

    # ---- becoming something else -------------------------------------------------------------------------------------

    def _take_over(self, standby: Standby) -> None:
        """Claim the journal, and lead with what the standby has, once it has all; else go on standing by."""
        try:
            self._claim(standby.journal)
        except (JournalHeld, JournalUnavailable):
            return
        except UnsafeJournalServer as error:
            log.error("cannot take over", error=str(error))  # noqa: TRY400 - its message says all
            return
        try:
            standby.catch_up()
        except JournalUnavailable as error:  # claimed, but not known to the end: another one may try
            self._begin_anew(error)
            return
        tell = log.warning if standby.has_followed else log.info  # the first of all engines takes over from nobody
        tell("took over", role=Primary.name, epoch=standby.journal.epoch, seq=standby.book.seq)
        begun = Beginning(self._seq_floor)
        self._become(self._make_primary(self._outside, standby.journal, standby.replayer, begun))

    def _step_down(self, error: JournalFenced) -> None:
        """Refuse who waits, forget what is ahead of the journal, and follow."""
        role = self.role
        self._seq_floor = max(self._seq_floor, role.book.seq)
        holder, lost = None, False
        with contextlib.suppress(JournalUnavailable):
            holder, lost = role.journal.holder(), role.journal.lacks_own_entry()
        if lost:
            self._backwards_count += 1
            log.error("the journal went backwards", seq_durable=role.seq_durable)
        log.warning("stepped down", role=role.name, epoch=role.epoch, seq_durable=role.seq_durable, error=str(error))
        role.abandon(not_primary(holder.address if holder else ""))
        self._enter = self._enter_as_standby

    def _begin_anew(self, error: Exception) -> None:
        """Refuse who waits, forget everything, and begin again from snapshot and journal."""
        role = self.role
        log.error("begins anew", seq_durable=role.seq_durable, seq=role.book.seq, error=str(error))
        role.abandon(journal_away("written", error))
        if role.journal.epoch:
            role.journal.release()  # what was sent and not answered can never be appended after the next claim
        was_primary, was_full = isinstance(role, Primary), isinstance(error, JournalServerFull)
        self._enter = (lambda: self._enter_as_primary(is_full=was_full)) if was_primary else self._enter_as_standby

    def _find_back(self) -> int:
        """Try once to begin anew; refuse who calls meanwhile."""
        assert self._enter is not None
        self.role.journal.close()
        try:
            self._enter()
        except (JournalUnavailable, UnsafeJournalServer, JournalTrimmed, OSError) as error:
            return self.role.refuse(journal_away("reached", error), SETTLE_MS)
        self._enter = None
        return 0

    def _enter_as_standby(self) -> None:
        with self._opened() as journal:
            self._stand_by(journal)

    def _enter_as_primary(self, *, is_full: bool) -> None:
        """Lead again, unless another engine has the lease by now."""
        with self._opened() as journal:
            try:
                self._claim(journal)
            except JournalHeld:
                self._stand_by(journal)
            else:
                self._lead(journal, is_full=is_full)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[StreamJournal]:
        """Give a journal that is the next role's; if there will be none, give back what it claimed."""
        journal = self._outside.open_journal()
        try:
            yield journal
        except BaseException:
            if journal.epoch:
                journal.release()
            journal.close()
            raise


def must_not_go_on(error: JournalError) -> RefusedError:
    """Return the refusal of an engine that ends because another release, or a person, must look at its journal."""
    if isinstance(error, JournalOfOtherRelease):
        return RefusedError("DRAINING", "Another release writes the journal now; this engine ends.")
    return RefusedError("LEDGER_CORRUPT", "The journal is not what this engine wrote; it stopped.")


def broken() -> RefusedError:
    """Return the refusal of an engine that ends because its ledger broke."""
    told = "The engine ends after a failure inside; repeat the call with the same request_id."
    return RefusedError("DRAINING", told)
