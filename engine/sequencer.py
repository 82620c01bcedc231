"""The sequencer: the one writer, a plain loop that gives every group its time, its seqs and its journal entry."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

import structlog

from engine.api.desk import Desk, Reply
from engine.errors import RETRY_SECONDS, RefusedError, journal_away
from engine.metrics import Meter, Tally
from engine.transport import Call, Transport
from ledger.book import NO_CHANGE
from ledger.core.limits import EXPIRED_PER_ENTRY_MAX
from ledger.journal.entry import encode_entry
from ledger.journal.errors import JournalUnavailable, JournalUnsafe, JournalUnsettled

IDLE_MS: Final = 100
WORK_MS: Final = 2
"""How often responses that are made beside the writer are looked at, while nobody calls."""
SETTLE_MS: Final = 20
# From this size of an entry on, the next group is decided while the journal server writes: a quarter more for the bulk
# path. With small entries there is hardly anything to wait for, and groups of half the size cost more than is gained.
OVERLAPPED_BYTES_MIN: Final = 64 * 1024

log = structlog.get_logger("onhand.sequencer")


class Journal(Protocol):
    """What the sequencer needs of a journal; see `ledger.journal.stream.StreamJournal`."""

    @property
    def epoch(self) -> int:
        """Of this writer."""

    def begin(self, last_seq: int, payload: bytes) -> None:
        """Begin to append one entry."""

    def finish(self) -> None:
        """Wait for the entry that was begun; when this returns, it is durable."""

    def renew(self) -> None:
        """Renew the lease that makes this the journal's one writer."""

    def settle(self) -> None:
        """Find out what became of an entry whose append did not return; when this returns, it is durable."""


def wall_clock_us() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


class TimeSources(NamedTuple):
    """What tells the time."""

    wall_us: Callable[[], int]
    """Microseconds since the epoch; may go back, the ledger's time does not."""
    monotonic: Callable[[], float]
    """Seconds; never goes back."""


def send(transport: Transport, replies: Sequence[Reply]) -> None:
    """Answer calls."""
    for call, response in replies:
        if isinstance(response, RefusedError):
            transport.fail(call.call_id, response.code, response.message, response.details())
        else:
            transport.reply(call.call_id, response)


class _Group(NamedTuple):
    """A group that was decided and is not answered yet."""

    replies: Sequence[Reply]
    last_seq: int
    payload: bytes | None
    """Its journal entry; None if it wrote nothing."""
    marks: list[float]
    """When each of its stages ended; empty for a part of a backlog."""
    tally: Tally
    """Of its calls."""


class Sequencer:
    """Runs groups: take all calls that are there, decide them, make them durable, answer.

    The next group is what came in meanwhile, so that groups grow with the load and need no timer. While the journal
    server writes a large entry, the next group is decided; it is appended after that, and answered after both. A reply
    goes out when all that it can have seen is durable.

    Parameters
    ----------
    transport
        Where calls come from and replies go.
    desk
        Has an answer for each call, and writes in its book.
    journal
        Open for appending.
    meter
        Told what each group was.
    chain
        Checksum of the journal's last entry.
    group_calls_max
        Most calls of one group.
    lease_seconds
        How long this is the one writer without a renewal.
    clocks
        What time it is.
    """

    def __init__(
        self,
        transport: Transport,
        desk: Desk,
        journal: Journal,
        meter: Meter,
        *,
        chain: bytes,
        group_calls_max: int,
        lease_seconds: float,
        clocks: TimeSources,
    ) -> None:
        self._transport = transport
        self._desk = desk
        self._book = book = desk.book
        self._journal = journal
        self._meter = meter
        self._chain = chain
        self._group_calls_max = group_calls_max
        self._lease_seconds = lease_seconds
        self._clock, self._monotonic = clocks
        self._begun: _Group | None = None  # its append was begun
        self._following: _Group | None = None  # decided after it, and not begun while that is not durable
        self._ahead: Sequence[Call] = ()  # taken, and not decided yet
        self._renew_after = self._leased_until = -math.inf
        self._is_away = False
        self._is_unsettled = False
        self.seq_durable = book.seq
        self.write_count = 0

    @property
    def is_unsettled(self) -> bool:
        """Whether it is unknown if the last group is durable: nothing is acknowledged until it is."""
        return self._is_unsettled

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
        LedgerBroken
            Neither this writer nor its book: nothing of the group is in the journal, or answered.
        """
        if self._is_unsettled:
            return self._settle()
        if (error := self._keep_lease()) is not None:
            self._finish()
            return 0 if self._is_unsettled else self.refuse(journal_away("reached", error), SETTLE_MS)
        if self._book.expire_backlog(self._now(), EXPIRED_PER_ENTRY_MAX):
            self._pass_on(self._closed_group([], [], {}))  # a part of it; callers wait: what they see must be exact
            self._finish()
            return 0
        marks = [time.perf_counter()]
        wait_ms = WORK_MS if self._desk.is_working else timeout_ms
        calls = self._ahead = self._ahead or self._take(wait_ms)  # kept, so that they are refused if the ledger breaks
        marks.append(time.perf_counter())
        replies = self._desk.answer(calls, self._now())
        tally = self._meter.count_replies(replies)
        marks.append(time.perf_counter())
        group = self._closed_group(replies, marks, tally)
        self._ahead = ()
        self._pass_on(group)
        self._take_ahead()
        return len(calls)

    def _take_ahead(self) -> None:
        """Take what came in, to be decided while the last group becomes durable; if nothing did, wait for that."""
        if self._begun is None or self._is_unsettled:
            return
        if self._begun.payload is not None and len(self._begun.payload) >= OVERLAPPED_BYTES_MIN:
            self._ahead = self._take(0)
        if not self._ahead:
            self._finish()

    def _take(self, timeout_ms: int) -> Sequence[Call]:
        """Take the calls of the next group, beside those that the last one left to it: what is small does not wait."""
        left = self._desk.postponed_count
        room = max(self._group_calls_max - left, self._group_calls_max // 4, 1)
        return self._transport.take(room, 0 if left else timeout_ms)

    def _now(self) -> int:
        return max(self._clock(), self._book.ledger.time_us)

    def _closed_group(self, replies: Sequence[Reply], marks: list[float], tally: Tally) -> _Group:
        """Return what was decided since the last group."""
        entry = self._book.close_entry(self._journal.epoch)
        if entry is None:
            return _Group(replies, self._book.seq, None, marks, tally)
        payload, self._chain = encode_entry(entry, self._chain)
        self.write_count += entry.record_count
        self._meter.count_entry(len(payload))
        return _Group(replies, entry.last_seq, payload, marks, tally)

    def _pass_on(self, group: _Group) -> None:
        """Finish the group before, then begin this one; what did not write anything is answered then."""
        self._following = group
        self._finish()
        if self._is_unsettled:
            return
        if group.payload is not None:
            self._following = None
            self._begin(group, group.payload)
            return
        error = self._keep_lease()  # raises if another engine has it: the group is refused with all that waits
        self._following = None
        if error is None:
            self._answer(group)
        else:
            send(self._transport, [Reply(call, journal_away("reached", error)) for call, _ in group.replies])

    def _begin(self, group: _Group, payload: bytes) -> None:
        self._begun = group
        try:
            self._journal.begin(group.last_seq, payload)
        except JournalUnsettled as error:
            self._hold_back(group, error)

    def _finish(self) -> None:
        """Answer the group that was begun, once it is durable. If that is unknown, it is held back."""
        group = self._begun
        if group is None or self._is_unsettled:
            return
        try:
            self._journal.finish()
        except JournalUnsettled as error:
            self._hold_back(group, error)
            return
        self._acknowledge(group)

    def _hold_back(self, group: _Group, error: JournalUnsettled) -> None:
        log.warning("journal unsettled", seq=group.last_seq, error=str(error))
        self._is_unsettled = self._is_away = True

    def _acknowledge(self, group: _Group) -> None:
        self.seq_durable = group.last_seq
        self._begun = None
        self._answer(group)

    def _answer(self, group: _Group) -> None:
        group.marks.append(time.perf_counter())
        send(self._transport, group.replies)
        group.marks.append(time.perf_counter())
        if group.replies:
            self._meter.observe_group(len(group.replies), group.marks)
            self._meter.observe_calls(group.tally, time.monotonic())

    def skip_to(self, seq: int) -> None:
        """Never use the seqs up to this one, and journal that before anything is answered. Raises as `step`."""
        assert self._begun is None
        self._book.skip_to(seq)
        self._book.execute(NO_CHANGE, self._now())
        self._pass_on(self._closed_group([], [], {}))
        self._finish()

    def quiesce(self) -> bool:
        """Finish what was begun; tells whether the book is as the journal has it, and nothing more."""
        self._finish()
        return self._begun is None and self._following is None

    @property
    def chain(self) -> bytes:
        """Checksum of the last entry."""
        return self._chain

    def _keep_lease(self) -> JournalUnavailable | None:
        """Renew the lease when a third of it is over: while it holds, no other engine writes, and reads are not stale.

        Returns the error if the lease ran out, or the server is not safe any more: then nothing is answered.
        """
        asked_at = self._monotonic()
        if asked_at < self._renew_after:
            return None
        try:
            self._journal.renew()
        except JournalUnavailable as error:
            self._is_away = True
            if isinstance(error, JournalUnsafe) or self._monotonic() >= self._leased_until:
                self._renew_after = -math.inf
                return error
            self._renew_after = min(asked_at + RETRY_SECONDS, self._leased_until)
            return None
        self._is_away = False
        self._renew_after = asked_at + self._lease_seconds / 3
        self._leased_until = asked_at + self._lease_seconds
        return None

    def abandon(self, refusal: RefusedError) -> None:
        """Refuse whoever waits: this writer must not go on, and what it holds back may be void."""
        begun, following = self._begun, self._following
        self._begun = self._following = None
        if begun is not None:  # it may be in the journal: a repeat finds out
            unknown = journal_away("written", refusal)
            send(self._transport, [Reply(call, unknown) for call, _ in begun.replies])
        if following is not None:
            send(self._transport, [Reply(call, refusal) for call, _ in following.replies])
        waiting = self._desk.abandon(refusal)
        taken = {call.call_id for call in self._ahead}  # of a group that was not decided to its end
        send(self._transport, [reply for reply in waiting if reply.call.call_id not in taken])
        self.refuse(refusal, 0)

    def _settle(self) -> int:
        """Try once to learn that the group held back is durable; refuse whoever calls meanwhile."""
        assert self._begun is not None
        try:
            self._journal.settle()
        except JournalUnsettled as error:
            self._keep_lease()  # the server may be there, and only not do what it must
            return self.refuse(journal_away("written", error), SETTLE_MS)
        log.info("journal settled", seq=self._begun.last_seq)
        self._is_unsettled = self._is_away = False
        self._acknowledge(self._begun)
        if self._following is not None:
            self._pass_on(self._following)
            self._finish()
        return 0

    def refuse(self, refusal: RefusedError, timeout_ms: int) -> int:
        """Refuse the calls that are there, but not those that ask how the engine is; returns their number."""
        calls = [*self._ahead, *self._transport.take(self._group_calls_max, timeout_ms)]
        self._ahead = ()
        replies = self._desk.refuse(calls, refusal)
        self._meter.count_replies(replies)
        send(self._transport, replies)
        return len(calls)
