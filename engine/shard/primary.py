"""The primary: the one engine of a shard that answers calls and writes its journal."""

from typing import NamedTuple

from onhand.admin.v1.admin_service_pb2 import ROLE_PRIMARY

from engine.api.desk import Desk
from engine.errors import RefusedError, journal_away
from engine.sequencer import SETTLE_MS, Sequencer
from engine.shard.role import Checkpoints, Outside, Role
from ledger.journal.errors import JournalUnavailable
from ledger.journal.stream import StreamJournal
from ledger.replay import Replayer


class JournalServerFull(Exception):  # noqa: N818 - named by the state
    """The journal server is at its memory limit, and did not take the last entry."""

    def __init__(self) -> None:
        super().__init__("The journal server is at its memory limit.")


class Beginning(NamedTuple):
    """How a primary begins."""

    seq_floor: int
    """Seqs up to this one are never used again."""
    is_full: bool = False
    """Whether the journal server is at its memory limit: nothing is written before a snapshot let it be trimmed."""


class Primary(Role):
    """A book that calls are answered from, and whose changes are journaled before anybody hears of them.

    What answers them is wired by `engine.service.make_primary`.

    Parameters
    ----------
    outside
        What it works with.
    journal
        Claimed.
    replayer
        Holds the book as the journal says it is, to the last entry.
    begun
        How it begins.
    """

    shown_role = ROLE_PRIMARY
    name = "primary"

    def __init__(self, outside: Outside, journal: StreamJournal, replayer: Replayer, begun: Beginning) -> None:
        super().__init__(outside, journal, replayer.book)
        self.digests_compared_count = replayer.compared_count
        self.book.stop_counting()  # forked children take the digests from now on
        self.book.plans.explained_max = outside.config.explained_plans_max
        self._seq_floor, self._is_full = begun
        self.desk: Desk
        self.sequencer: Sequencer

    def begin(self, desk: Desk, sequencer: Sequencer, checkpoints: Checkpoints) -> None:
        """Take what answers calls, what writes, and what takes snapshots beside them."""
        self.desk, self.sequencer, self.checkpoints = desk, sequencer, checkpoints
        if self._is_full:
            checkpoints.request()

    def step(self, timeout_ms: int) -> int:
        """Run one group, and what is due beside it; returns its number of calls.

        Raises
        ------
        JournalFenced, JournalCorrupt
            This engine must not go on as the primary.
        JournalServerFull
            What the last group did is not in the journal, and will not be.
        """
        self.look()
        self._checkpoint()
        if self._is_full:
            return self._wait_for_room()
        if self._seq_floor > self.book.seq:
            self.sequencer.skip_to(self._seq_floor)
        count = self.sequencer.step(timeout_ms)
        if self.sequencer.is_unsettled and self.journal.is_full:
            raise JournalServerFull
        return count

    def _checkpoint(self) -> None:
        self.checkpoints.poll()
        if self.checkpoints.is_due() and self.sequencer.quiesce():
            self.book.mark_digest()
            self.checkpoints.begin(self.sequencer.chain, self.journal.epoch)

    def _wait_for_room(self) -> int:
        """Refuse calls until the journal was trimmed, or that was in vain; keep the lease meanwhile."""
        self._is_full = self.checkpoints.is_busy
        try:
            self.journal.renew()
        except JournalUnavailable as error:
            return self.refuse(journal_away("reached", error), SETTLE_MS)
        return self.refuse(journal_away("written", JournalServerFull()), SETTLE_MS)

    def refuse(self, refusal: RefusedError, timeout_ms: int) -> int:
        """Refuse the calls that are there; returns their number."""
        return self.sequencer.refuse(refusal, timeout_ms)

    def abandon(self, refusal: RefusedError) -> None:
        """Refuse whoever waits: this engine must not go on as the primary."""
        self.sequencer.abandon(refusal)

    @property
    def is_unsettled(self) -> bool:
        """Whether it is unknown if the last group is durable."""
        return self.sequencer.is_unsettled

    @property
    def is_busy(self) -> bool:
        """Whether calls that were taken wait for more than the next group."""
        return self.sequencer.is_unsettled or self.desk.is_working

    # ---- what it tells -----------------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """Of this writer."""
        return self.journal.epoch

    @property
    def seq_durable(self) -> int:
        """Last position that is durable."""
        return self.sequencer.seq_durable

    @property
    def write_count(self) -> int:
        """Writes journaled since the start."""
        return self.sequencer.write_count

    @property
    def misses_journal(self) -> bool:
        """Whether the journal server does not do its part now."""
        return self.sequencer.misses_journal or self._is_full

    def primary_address(self) -> str:
        """Its own."""
        return self.outside.address
