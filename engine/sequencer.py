"""The sequencer: the one writer, a plain loop that gives every group its time, its seqs and its journal entry."""

import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog

from engine.api.desk import Desk, Reply
from engine.errors import RefusedError, journal_away
from engine.metrics import Meter
from engine.transport import Transport
from ledger.book import Book
from ledger.core.limits import EXPIRED_PER_ENTRY_MAX
from ledger.journal.entry import encode_entry
from ledger.journal.errors import JournalUnavailable, JournalUnsettled

IDLE_MS: Final = 100
SETTLE_MS: Final = 20
CONFIRM_SECONDS: Final = 1.0

log = structlog.get_logger("onhand.sequencer")


class Journal(Protocol):
    """What the sequencer needs of a journal; see `ledger.journal.stream.StreamJournal`."""

    @property
    def epoch(self) -> int:
        """Of this writer."""

    def append(self, last_seq: int, payload: bytes) -> None:
        """Append one entry; when this returns, it is durable."""

    def confirm(self) -> None:
        """Make sure that this is still the journal's writer."""

    def settle(self) -> None:
        """Find out what became of an entry whose append did not return; when this returns, it is durable."""


def wall_clock_us() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


class Sequencer:
    """Runs groups: take all calls that are there, decide them, make them durable, answer.

    The next group is what came in meanwhile, so that groups grow with the load and need no timer. A reply goes out when
    all that it can have seen is durable.

    Parameters
    ----------
    transport
        Where calls come from and replies go.
    desk
        Has an answer for each call.
    book
        What the desk writes in.
    journal
        Open for appending.
    meter
        Told what each group was.
    chain
        Checksum of the journal's last entry.
    group_calls_max
        Most calls of one group.
    clock
        Gives microseconds since the epoch; may go back, the ledger's time does not.
    """

    def __init__(
        self,
        transport: Transport,
        desk: Desk,
        book: Book,
        journal: Journal,
        meter: Meter,
        *,
        chain: bytes,
        group_calls_max: int,
        clock: Callable[[], int] = wall_clock_us,
    ) -> None:
        self._transport = transport
        self._desk = desk
        self._book = book
        self._journal = journal
        self._meter = meter
        self._chain = chain
        self._group_calls_max = group_calls_max
        self._clock = clock
        self._held: Sequence[Reply] | None = None
        self._confirmed_at = time.monotonic()
        self._is_away = False
        self.seq_durable = book.seq
        self.write_count = 0

    @property
    def is_unsettled(self) -> bool:
        """Whether it is unknown if the last group is durable: nothing is acknowledged until it is."""
        return self._held is not None

    @property
    def misses_journal(self) -> bool:
        """Whether the journal server did not do its part when it was last asked."""
        return self._is_away

    def step(self, timeout_ms: int = IDLE_MS) -> int:
        """Run one group; returns its number of calls.

        Raises
        ------
        JournalFenced, JournalCorrupt
            This writer must not go on.
        """
        if self._held is not None:
            return self._settle(self._held)
        if (error := self._confirm()) is not None:
            return self.refuse(journal_away("reached", error), SETTLE_MS)
        if self._book.expire_backlog(self._now(), EXPIRED_PER_ENTRY_MAX):
            self._append([])  # a part of it; callers wait, since what they see must be exact
            return 0
        self._meter.begin_group()
        calls = self._transport.take(self._group_calls_max, timeout_ms)
        self._meter.end_stage()
        replies = self._desk.answer(calls, self._now())
        self._meter.count_replies(calls, replies)
        self._meter.end_stage()
        if self._append(replies):
            self._meter.end_stage()
            self._send(replies)
            self._meter.end_stage()
        if calls:
            self._meter.end_group(len(calls))
        return len(calls)

    def _now(self) -> int:
        return max(self._clock(), self._book.ledger.time_us)

    def _append(self, replies: Sequence[Reply]) -> bool:
        """Make the group durable; tells whether it is. If that is unknown, the replies are held back."""
        entry = self._book.close_entry(self._journal.epoch)
        if entry is None:
            return True
        payload, self._chain = encode_entry(entry, self._chain)
        self.write_count += entry.record_count
        self._meter.count_entry(len(payload))
        self._held = replies
        try:
            self._journal.append(entry.last_seq, payload)
        except JournalUnsettled as error:
            log.warning("journal unsettled", seq=entry.last_seq, error=str(error))
            self._is_away = True
            return False
        self._held = None
        self.seq_durable = entry.last_seq
        self._confirmed_at = time.monotonic()
        return True

    def _confirm(self) -> JournalUnavailable | None:
        """See, after some time without an append, that no other writer took over: reads would be stale.

        Returns the error while the journal cannot be asked: then nothing is read either.
        """
        if time.monotonic() - self._confirmed_at < CONFIRM_SECONDS:
            return None
        try:
            self._journal.confirm()
        except JournalUnavailable as error:
            self._is_away = True
            return error
        self._is_away = False
        self._confirmed_at = time.monotonic()
        return None

    def abandon(self, refusal: RefusedError) -> None:
        """Refuse whoever waits: this writer must not go on, and what it holds back may be void."""
        held, self._held = self._held or [], None
        self._send([Reply(call_id, refusal) for call_id, _ in held])
        self.refuse(refusal, 0)

    def _settle(self, replies: Sequence[Reply]) -> int:
        """Try once to learn that the held group is durable; refuse whoever calls meanwhile."""
        try:
            self._journal.settle()
        except JournalUnsettled as error:
            return self.refuse(journal_away("written", error), SETTLE_MS)
        log.info("journal settled", seq=self._book.seq)
        self._is_away = False
        self.seq_durable = self._book.seq
        self._held = None
        self._send(replies)
        return 0

    def refuse(self, refusal: RefusedError, timeout_ms: int) -> int:
        """Refuse the calls that are there; returns their number."""
        calls = self._transport.take(self._group_calls_max, timeout_ms)
        replies = [Reply(call.call_id, refusal) for call in calls]
        self._meter.count_replies(calls, replies)
        self._send(replies)
        return len(calls)

    def _send(self, replies: Sequence[Reply]) -> None:
        for call_id, response in replies:
            if isinstance(response, RefusedError):
                self._transport.fail(call_id, response.code, response.message, response.details())
            else:
                self._transport.reply(call_id, response)
