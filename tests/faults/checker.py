"""The checker: was all that clients were told true, and is all that they were told still there?

It knows the clients' history and the journal's entries, and believes neither the engine nor its kernels: the plain
oracle replays the writes in the journal's order, and a bank counts units by movements alone.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from ledger.core.statuses import DocumentKind, Operation, ReservationState, Status
from ledger.formats import FORMAT

from .bank import Bank
from .history import OK, Answer, Ask, Asked, Event
from .journal import JournalEntry, Written
from .load import BANK_SKUS, BANK_STOCK, LOCATIONS
from .replay import Replay

KIND_OF: Final = {
    Operation.ADVANCE: DocumentKind.TRANSFER,
    Operation.ADVANCE_FULFILLMENT: DocumentKind.FULFILLMENT_ORDER,
}
VIOLATIONS_MAX: Final = 1_000
"""A broken engine breaks everything after it: the first ones tell."""

KINDS: Final = {
    "lost": "acknowledged, and not in the journal",
    "duplicated": "one request id, applied more than once",
    "oversold": "a hold took more than there was",
    "unasked": "in the journal, and no client asked for it",
    "undone": "refused as not done, and in the journal",
    "answer": "told something else than the oracle says",
    "journal": "recorded something else than the oracle says",
    "order": "an operation that began after an answer is before it",
    "read": "shows what was never there",
    "units": "units came from nowhere, or went there",
}


class Violation(NamedTuple):
    """One thing that must not be."""

    kind: str
    """A key of KINDS."""
    message: str


class Verdict:
    """What the checker found."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self.counts: Counter[str] = Counter()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.violations

    def add(self, kind: str, message: str) -> None:
        """Note a violation."""
        assert kind in KINDS
        self.counts[kind] += 1
        if len(self.violations) < VIOLATIONS_MAX:
            self.violations.append(Violation(kind, message))

    def kinds(self) -> set[str]:
        """Return the kinds of violations found."""
        return {violation.kind for violation in self.violations}


SETTLED: Final = (ReservationState.FULFILLED, ReservationState.CANCELLED)


def in_words_of(version: int, answer: Answer, told: int) -> Answer:
    """Return an answer as it was told by an engine that wrote a format: before 5 what is settled was COMMITTED."""
    if version < FORMAT and answer.state in SETTLED and told == ReservationState.COMMITTED:
        return msgspec.structs.replace(answer, state=told)
    return answer


class Checked(NamedTuple):
    """What stands at the end of a history that was checked."""

    verdict: Verdict
    seqs: Mapping[str, int]
    """Seq of each request id that was applied."""
    levels: Mapping[tuple[str, str], tuple[int, int, int]]
    """on_hand, reserved and committed of each sku and location."""
    first_seq: int
    """Of the first write that moved something."""
    transfers: Mapping[str, Answer]
    works: Mapping[str, Answer]
    """As reads must show them, without seq."""


def check(events: Sequence[Event], entries: Iterable[JournalEntry]) -> Checked:
    """Check a history against the journal that it left."""
    return _Checker(events).run(entries)


class _Checker:
    """One check: the journal is gone through once, and then the history."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = events
        self._verdict = Verdict()
        self._asked: dict[str, Asked] = {}
        for event in events:
            if event.asked.request_id:
                self._asked.setdefault(event.asked.request_id, event.asked)
        self._reads: dict[int, list[Event]] = defaultdict(list)
        for event in events:
            if event.asked.ask.is_read and event.answer is not None:
                self._reads[event.answer.seq].append(event)
        self._replay = Replay()
        self._bank = Bank()
        self._seqs: dict[str, int] = {}
        self._expected: dict[str, Answer] = {}
        self._first_seq = 0

    def run(self, entries: Iterable[JournalEntry]) -> Checked:
        for entry in entries:
            self._take(entry)
            if len(self._verdict.violations) >= VIOLATIONS_MAX:
                break
        for seq, reads in self._reads.items():
            for read in reads:
                self._verdict.add("read", f"{_told(read)}: the journal has no entry that ends with seq {seq}")
        for event in self._events:
            if not event.asked.ask.is_read:
                self._check_write(event)
        self._check_order()
        self._count()
        transfers, works = map(self._replay.documents, DocumentKind)
        return Checked(self._verdict, self._seqs, self._levels(), self._first_seq, transfers, works)

    # ---- the journal

    def _take(self, entry: JournalEntry) -> None:
        """Replay one entry, and compare its records and the reads that saw it as the last one."""
        if entry.is_forgetful:
            raise ValueError("expected a run that is shorter than the window of request ids and the retention")
        decided = [written for written in entry.written if written.operation is not Operation.EXPIRE]
        self._replay.begin(entry)
        for written in decided:
            wish = self._wish(written)
            if wish is not False:
                answer = in_words_of(entry.format, self._replay.run(entry, wish), written.state)
                self._compare_record(written, answer, is_only_remembered=wish is None)
        for written in entry.written:
            self._book(written)
        if self._replay.oracle.seq != entry.last_seq:
            message = f"entry {entry.last_seq}: by the oracle it ends with seq {self._replay.oracle.seq}"
            self._verdict.add("journal", message)
            self._replay.oracle.seq = entry.last_seq
        for read in self._reads.pop(entry.last_seq, ()):
            self._check_read(read, entry.format)

    def _wish(self, written: Written) -> Asked | Literal[False] | None:
        """Return what was asked by a write; None for a change of the catalog, False if nobody asked."""
        asked = self._asked.get(written.request_id)
        is_of_catalog = written.operation in (Operation.CHANGE_CATALOG, Operation.REMEMBER)
        if is_of_catalog and (asked is None or not asked.ask.is_routed):
            return None
        if asked is None or written.operation.name not in asked.ask.operations:
            name = written.request_id or "without a request id"
            self._verdict.add("unasked", f"seq {written.seq}: {written.operation.name} {name}")
            return False
        if written.request_id in self._seqs:
            message = f"{written.request_id}: seq {self._seqs[written.request_id]} and seq {written.seq}"
            self._verdict.add("duplicated", message)
            return False
        self._seqs[written.request_id] = written.seq
        if not asked.ask.is_routed:
            return asked
        return None if is_of_catalog else self._replay.as_decided(asked, written)

    def _compare_record(self, written: Written, answer: Answer, *, is_only_remembered: bool) -> None:
        if is_only_remembered and written.status != Status.OK:  # a refusal, which routing decided
            answer = msgspec.structs.replace(answer, reason=Status(written.status).name)
        name = f"{written.reservation_id:016x}" if written.reservation_id else ""
        if answer.reservation_id:
            kind = KIND_OF.get(written.operation)
            number = int(answer.reservation_id)
            learn = self._replay.learn
            if not (learn(name) if kind is None else self._replay.learn_document(name, number, kind)):
                self._verdict.add("journal", f"seq {written.seq}: id {name} was given out before")
            answer = msgspec.structs.replace(answer, reservation_id=name)
        if written.request_id:
            self._expected[written.request_id] = answer
        if not self._replay.same_as_journal(answer, written):
            self._verdict.add("journal", f"seq {written.seq}: recorded {written[1:6]}, expected {answer}")

    def _book(self, written: Written) -> None:
        """Let the bank carry out a write, and compare what expired."""
        if written.movements:
            self._first_seq = self._first_seq or written.seq
        for row in self._bank.apply(list(written.movements)):
            self._verdict.add("oversold", f"seq {written.seq}: {self._name(row)} has {self._bank.units[row, 'free']}")
        if written.operation is Operation.EXPIRE and not self._replay.is_expired(f"{written.reservation_id:016x}"):
            message = f"seq {written.seq}: reservation {written.reservation_id:016x} expired before its time"
            self._verdict.add("journal", message)

    # ---- the history

    def _check_read(self, event: Event, last_format: int) -> None:
        assert event.answer is not None
        expected = msgspec.structs.replace(self._replay.read(event.asked), seq=event.answer.seq)
        if event.asked.ask is Ask.RESERVATION:
            expected = in_words_of(last_format, expected, event.answer.state)
        if event.answer != expected:
            self._verdict.add("read", f"{_told(event)}: expected {expected}")
        self._check_bank(event.asked, event.answer)

    def _check_bank(self, asked: Asked, answer: Answer) -> None:
        """What is only moved between locations is all there in every read, also where more was moved than there was."""
        if asked.ask is Ask.AVAILABILITY:
            totals: Counter[str] = Counter()
            for sku, _, available, oversold in answer.values:
                totals[str(sku)] += int(available) - int(oversold)
            for sku in set(BANK_SKUS) & set(totals):
                if totals[sku] != BANK_STOCK * len(LOCATIONS):
                    self._verdict.add("units", f"seq {answer.seq}: {sku} has {totals[sku]} over all locations")

    def _check_write(self, event: Event) -> None:
        """Compare what a client was told of a write with what became of it."""
        request_id = event.asked.request_id
        seq = self._seqs.get(request_id)
        if event.outcome == "fail" and not event.is_repeat and seq is not None:
            self._verdict.add("undone", f"seq {seq}: {_told(event)}")
        if event.answer is None:
            return
        if event.asked != self._asked[request_id]:
            if event.answer.reason != "REQUEST_ID_REUSED":
                self._verdict.add("answer", f"{_told(event)}: expected REQUEST_ID_REUSED")
        elif event.asked.ask.is_routed and event.answer.reason != OK:
            if seq is not None and self._expected[request_id].reason == OK:
                self._verdict.add("answer", f"{_told(event)}: it was done")
        elif seq is None:
            self._verdict.add("lost", _told(event))
        elif event.answer != (expected := _as_told(event.asked, self._expected[request_id])):
            self._verdict.add("answer", f"{_told(event)}: expected {expected}")

    def _check_order(self) -> None:
        """Compare with real time: whatever begins after an answer comes after it in the ledger's order."""
        first = [event for event in self._events if not event.is_repeat]
        placed = [(event, seq) for event in first if (seq := self._seq_of(event)) is not None]
        answered = sorted((event.end or 0.0, seq) for event, seq in placed if event.answer is not None)
        bound, place = 0, 0
        for event, seq in sorted(placed, key=lambda each: each[0].invoke):
            while place < len(answered) and answered[place][0] < event.invoke:
                bound = max(bound, answered[place][1])
                place += 1
            if seq < bound or (seq == bound and not event.asked.ask.is_read):
                self._verdict.add("order", f"{_told(event)}: seq {seq}, but seq {bound} was answered before it began")

    def _seq_of(self, event: Event) -> int | None:
        if event.asked.ask.is_read:
            return event.answer.seq if event.answer is not None and event.answer.reason == OK else None
        return self._seqs.get(event.asked.request_id)

    def _count(self) -> None:
        counts = self._verdict.counts
        first = [event for event in self._events if not event.is_repeat]
        counts["operations"] = len(self._events)
        answered = [event for event in self._events if event.outcome == "ok"]
        counts["reads"] = sum(event.asked.ask.is_read for event in answered)
        counts["acknowledged"] = len(answered) - counts["reads"]
        counts["failed"] = sum(event.outcome == "fail" for event in first)
        unknown = [event for event in first if event.outcome == "unknown" and not event.asked.ask.is_read]
        counts["unknowns"] = len(unknown)
        counts["unknowns_applied"] = sum(event.asked.request_id in self._seqs for event in unknown)
        counts["repeated_by_doubt"] = sum(event.try_count > 1 and event.outcome == "ok" for event in first)

    # ---- names

    def _name(self, row: int) -> str:
        sku, location = self._bank.names[row]
        return f"{list(self._replay.skus)[sku]} at {list(self._replay.locations)[location]}"

    def _levels(self) -> dict[tuple[str, str], tuple[int, int, int]]:
        skus, locations = list(self._replay.skus), list(self._replay.locations)
        return {
            (skus[sku], locations[location]): self._bank.row(row) for row, (sku, location) in self._bank.names.items()
        }


def _as_told(asked: Asked, decided: Answer) -> Answer:
    """Return a decision as its caller hears it: a refusal has no seq, and some answers leave out what others say."""
    if decided.reason != OK:
        is_nothing_there = decided.reason == "QUANTITY_EXCEEDS_OPEN" and asked.ask is Ask.TRANSFER and not asked.lines
        shortages = () if is_nothing_there else decided.shortages
        version = decided.version if decided.reason == "VERSION_MISMATCH" else 0
        return Answer(reason=decided.reason, version=version, shortages=shortages)
    if asked.ask is Ask.RESERVE:
        return msgspec.structs.replace(decided, state=0, version=0)
    if asked.ask is Ask.EXTEND:
        return msgspec.structs.replace(decided, state=0)
    if asked.ask is Ask.REPLACE:
        return msgspec.structs.replace(decided, state=0, reservation_id=asked.reservation_id)
    if asked.ask in (Ask.RECORD_MOVEMENTS, Ask.SET_ON_HAND):
        return Answer(seq=decided.seq, oversold=decided.oversold)
    makes, is_planned = asked.ask.makes_document, asked.ask.is_plan
    return Answer(
        seq=0 if asked.ask is Ask.PLAN_ORDERS else decided.seq,
        reservation_id=decided.reservation_id if makes or is_planned else "",
        state=0 if is_planned else decided.state,
        version=0 if is_planned else decided.version,
        time_us=decided.time_us if is_planned else 0,
    )


def _told(event: Event) -> str:
    """Return an operation as messages show it."""
    return f"{event.client} {event.asked} at {event.invoke:.3f} s: {event.outcome}, {event.answer}"
