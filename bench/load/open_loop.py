"""The open-loop generator: calls have planned send times, and latency counts from those.

A closed loop waits for an answer before it asks again: while the server is slow it asks less, and the slow time hardly
shows (coordinated omission). Here the plan goes on whatever the server does, and a call that could not be sent in time
has waited already when it is sent.
"""

import gc
import heapq
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import grpc
import numpy as np
import numpy.typing as npt
from hdrh.histogram import HdrHistogram

from bench.load.calls import BUSINESS_REASONS, Call, Reply, Session, refusal
from bench.load.http2 import UnaryClient

Integers: TypeAlias = npt.NDArray[np.int64]
Profile: TypeAlias = tuple[tuple[float, float], ...]

STEADY: Final[Profile] = ((0.0, 1.0), (1.0, 1.0))

CALLS_MAX: Final = 20_000_000
"""Most visitors of one run: it bounds memory."""
SECONDS_MAX: Final = 3_600.0
DEADLINE_SECONDS: Final = 5.0
CONNECTIONS: Final = 8
_GRACE_SECONDS: Final = 1.0
_IDLE_SECONDS: Final = 0.05
_HIGHEST_US: Final = 3_600 * 1_000_000
_SIGNIFICANT_FIGURES: Final = 3
_NO_ANSWER: Final = refusal(int(grpc.StatusCode.DEADLINE_EXCEEDED.value[0]))
_NOT_SENT: Final = -1
NOT_SENT: Final = "NOT_SENT"
"""Outcome of calls that were still on this side when the run was over."""
_STILL_HERE: Final = Reply(int(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]), reason=NOT_SENT)


class NotALoadError(ValueError):
    """A rate or a time that the generator does not take."""


def planned_times(rate: float, seconds: float, *, profile: Profile = STEADY, seed: int = 1) -> Integers:
    """Return when visitors arrive: as those of a Poisson process do, with a number that is exact.

    Parameters
    ----------
    rate
        Arrivals per second where the profile is 1.
    seconds
        Length of the run.
    profile
        Points of a line: part of the run, part of the rate.
    seed
        Equal seeds give equal times.

    Returns
    -------
    int64[arrivals]
        Nanoseconds from the start, ascending.

    Raises
    ------
    NotALoadError
        The rate or the time is not positive, or would be more than CALLS_MAX arrivals or SECONDS_MAX.
    """
    if not (0 < seconds <= SECONDS_MAX):
        raise NotALoadError(f"seconds: expected more than 0 and at most {SECONDS_MAX:,.0f}, was {seconds}.")
    if not (rate > 0 and rate * seconds <= CALLS_MAX):
        raise NotALoadError(f"rate: expected more than 0 and at most {CALLS_MAX / seconds:,.0f} a second, was {rate}.")
    grid = np.linspace(0.0, 1.0, 1_001)
    height = np.array([height_at(profile, part) for part in grid.tolist()])
    arrived = np.concatenate([[0.0], np.cumsum((height[1:] + height[:-1]) / 2 * np.diff(grid))])
    count = max(1, round(rate * seconds * float(arrived[-1])))
    random = np.sort(np.random.default_rng(seed).random(count)) * arrived[-1]
    return np.asarray(np.interp(random, arrived, grid) * seconds * 1e9, np.int64)


def height_at(profile: Profile, part: float) -> float:
    """Return the part of the highest rate at a part of the run."""
    parts, heights = zip(*profile, strict=True)
    return float(np.interp(part, parts, heights))


# ---- measurements ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Measurements:
    """One row a call, as columns; times are nanoseconds from the start of the run."""

    seconds: float
    """Length of the plan."""
    methods: list[str] = field(default_factory=list)
    """Names by index."""
    outcomes: list[str] = field(default_factory=lambda: ["OK"])
    """"OK" or reasons by index."""
    method: "array[int]" = field(default_factory=lambda: array("B"))
    outcome: "array[int]" = field(default_factory=lambda: array("B"))
    planned: "array[int]" = field(default_factory=lambda: array("q"))
    sent: "array[int]" = field(default_factory=lambda: array("q"))
    """When it was put on the wire; -1 for never."""
    ended: "array[int]" = field(default_factory=lambda: array("q"))
    refused_without_retry: int = 0
    """OVERLOADED answers that did not say when to come again."""
    cpu_seconds: float = 0.0
    """Processor time of the generator."""
    duration_seconds: float = 0.0
    """Until the last answer, or until nobody waited any longer."""
    late_for_streams: int = 0
    """How often a call was due while every stream of every connection was taken: then the engine was behind."""

    def latency_us(
        self, methods: set[str] | None = None, outcomes: set[str] | None = None, *, from_plan: bool = True
    ) -> Integers:
        """Return microseconds from planned, or actual, send to answer, of these methods and outcomes; None for all."""
        chosen = np.ones(len(self.planned), np.bool_)
        for wanted, names, column in (
            (methods, self.methods, self.method),
            (outcomes, self.outcomes, self.outcome),
        ):
            if wanted is not None:
                chosen &= np.array([name in wanted for name in names], np.bool_)[np.frombuffer(column, np.uint8)]
        began = _column(self.planned if from_plan else self.sent)
        return np.asarray((_column(self.ended) - began)[chosen] // 1_000)

    def lag_us(self) -> Integers:
        """Return microseconds from planned to actual send, of the calls that were sent."""
        sent, planned = _column(self.sent), _column(self.planned)
        return np.asarray((sent - planned)[sent != _NOT_SENT] // 1_000)

    def count(self, *, decided: bool = True, in_plan: bool = True) -> int:
        """Count answers: of calls the engine decided or all, that came within the plan's time or ever."""
        ended = _column(self.ended)
        wanted = np.array([is_decided(name) or not decided for name in self.outcomes], np.bool_)
        chosen = wanted[np.frombuffer(self.outcome, np.uint8)] & (_column(self.sent) != _NOT_SENT)
        if in_plan:
            chosen &= ended <= self.seconds * 1e9
        return int(np.count_nonzero(chosen))

    def by_outcome(self) -> Counter[str]:
        """Count calls by outcome."""
        counts = np.bincount(np.frombuffer(self.outcome, np.uint8), minlength=len(self.outcomes))
        return Counter(dict(zip(self.outcomes, counts.tolist(), strict=True)))

    @property
    def offered_per_second(self) -> float:
        """Calls planned, by the length of the plan."""
        return len(self.planned) / self.seconds

    @property
    def sent_per_second(self) -> float:
        """Calls put on the wire within the plan, by its length."""
        sent = _column(self.sent)
        return int(np.count_nonzero((sent != _NOT_SENT) & (sent <= self.seconds * 1e9))) / self.seconds

    @property
    def achieved_per_second(self) -> float:
        """Calls answered within the plan, however, by its length."""
        return self.count(decided=False) / self.seconds

    @property
    def goodput_per_second(self) -> float:
        """Calls that the engine decided within the plan, by its length."""
        return self.count() / self.seconds


def is_decided(outcome: str) -> bool:
    """Tell whether an outcome is the engine's decision on the business: done, or refused for a reason of the trade."""
    return outcome == "OK" or outcome in BUSINESS_REASONS


def histogram(values_us: Integers) -> HdrHistogram:
    """Return an HDR histogram of microseconds, 1 µs to 1 h with 3 significant figures."""
    made: Any = HdrHistogram(1, _HIGHEST_US, _SIGNIFICANT_FIGURES)  # type: ignore[no-untyped-call]
    values, counts = np.unique(np.clip(values_us, 1, _HIGHEST_US), return_counts=True)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        made.record_value(value, count)
    found: HdrHistogram = made
    return found


def _column(values: "array[int]") -> Integers:
    return np.frombuffer(values, np.int64)


# ---- the loop --------------------------------------------------------------------------------------------------------


def run_open_loop(
    address: str,
    method: str,
    make_request: Callable[[int], bytes],
    rate: float,
    seconds: float,
    *,
    connections: int = CONNECTIONS,
    seed: int = 1,
) -> Measurements:
    """Make single calls at a rate; for benchmarks and curves.

    Parameters
    ----------
    address
        "host:port".
    method
        Bare name of a method of the two services, or a full path.
    make_request
        Gives the serialized request of the n-th call.
    rate, seconds, connections, seed
        Calls per second, length of the plan, connections, and what decides the planned times.

    Raises
    ------
    NotALoadError
        As planned_times.
    OSError
        Nobody listens at the address.
    """
    numbers = iter(range(CALLS_MAX))

    def single() -> Session:
        yield Call(method, make_request(next(numbers)))

    with UnaryClient(address, connections=connections, deadline_seconds=DEADLINE_SECONDS) as client:
        return drive(client, planned_times(rate, seconds, seed=seed), seconds, single)


def drive(
    client: UnaryClient,
    arrivals: Integers,
    seconds: float,
    start: Callable[[], Session],
    advance: Callable[[int], None] = lambda _: None,
) -> Measurements:
    """Start a session at each planned time, and play all sessions to their end.

    A session's next call is planned for its reply plus its pause. Whoever would plan a call after the plan's end leaves
    instead. Answers are awaited for the deadline and a second more.

    Parameters
    ----------
    client
        Connected.
    arrivals
        int64[visitors], nanoseconds from the start, ascending.
    seconds
        Length of the plan.
    start
        Makes the session of the next visitor.
    advance
        Hears now and then how many nanoseconds of the plan have passed, for a progress bar.
    """
    with _no_collection():
        return _Drive(client, arrivals, seconds, start, advance).run()


class _Drive:
    """State of one run."""

    def __init__(
        self,
        client: UnaryClient,
        arrivals: Integers,
        seconds: float,
        start: Callable[[], Session],
        advance: Callable[[int], None],
    ) -> None:
        self._client = client
        self._arrivals: deque[int] = deque(arrivals.tolist())
        self._start = start
        self._advance = advance
        self._end = int(seconds * 1e9)
        self._later: list[tuple[int, int, Session, Call]] = []  # follow-up calls that are due at a time
        self._due: deque[int] = deque()  # numbers of calls whose time has come
        self._sessions: dict[int, tuple[Session, Call]] = {}  # by number of the call that is on its way
        self._method_index: dict[str, int] = {}
        self._outcome_index: dict[str, int] = {"OK": 0}
        self.measured = Measurements(seconds)

    def run(self) -> Measurements:
        cpu_before = time.process_time()
        self._began = time.monotonic_ns()
        last_send = self._end + int(_GRACE_SECONDS * 1e9)  # so that what is sent has its whole deadline
        give_up = last_send + int(DEADLINE_SECONDS * 1e9)
        while (now := self._now()) < give_up and self._has_calls(is_sending=now < last_send):
            self._advance(min(now, self._end))
            self._plan(now)
            if now < last_send:
                self._send()
            for number, reply in self._client.receive(self._wait_seconds()):
                self._finish(number, reply)
        for number in tuple(self._sessions):
            self._finish(number, _STILL_HERE if self.measured.sent[number] == _NOT_SENT else _NO_ANSWER)
        self.measured.duration_seconds = self._now() / 1e9
        self.measured.cpu_seconds = time.process_time() - cpu_before
        return self.measured

    def _now(self) -> int:
        return time.monotonic_ns() - self._began

    def _has_calls(self, *, is_sending: bool) -> bool:
        """Tell whether calls are to come, or at least some to be answered."""
        on_their_way = len(self._sessions) - len(self._due)
        return on_their_way > 0 or (is_sending and bool(self._arrivals or self._later or self._due))

    def _wait_seconds(self) -> float:
        """Until the next call is due."""
        due = self._now() + int(_IDLE_SECONDS * 1e9)
        if self._arrivals:
            due = min(due, self._arrivals[0])
        if self._later:
            due = min(due, self._later[0][0])
        return max(0.0, (due - self._now()) / 1e9)

    def _plan(self, now: int) -> None:
        """Move what is due by now to the calls to send, in the order of the plan."""
        while self._later and self._later[0][0] <= now:
            planned, _, session, call = heapq.heappop(self._later)
            self._add(planned, session, call)
        while self._arrivals and self._arrivals[0] <= now:
            planned = self._arrivals.popleft()
            session = self._start()
            first = next(session, None)
            if first is not None:
                self._add(planned, session, first)

    def _add(self, planned: int, session: Session, call: Call) -> None:
        """Open the row of a call."""
        rows = self.measured
        number = len(rows.planned)
        rows.planned.append(planned)
        rows.sent.append(_NOT_SENT)
        rows.ended.append(0)
        rows.method.append(_index_of(call.method, self._method_index, rows.methods))
        rows.outcome.append(0)
        self._sessions[number] = (session, call)
        self._due.append(number)

    def _send(self) -> None:
        now = self._now()
        while self._due:
            number = self._due[0]
            call = self._sessions[number][1]
            if not self._client.start(number, call.method, call.request):
                self.measured.late_for_streams += 1
                break
            self._due.popleft()
            self.measured.sent[number] = now
        self._client.flush()

    def _finish(self, number: int, reply: Reply) -> None:
        """Close the row, and let the session go on."""
        rows, now = self.measured, self._now()
        rows.ended[number] = now
        if not reply.is_ok:
            rows.outcome[number] = _index_of(reply.reason, self._outcome_index, rows.outcomes)
            rows.refused_without_retry += reply.reason == "OVERLOADED" and not reply.retry_seconds
        session, _ = self._sessions.pop(number)
        try:
            call = session.send(reply)
        except StopIteration:
            return
        planned = now + int(call.pause_seconds * 1e9)
        if planned > self._end:
            session.close()
        elif planned <= now:
            self._add(planned, session, call)
        else:
            heapq.heappush(self._later, (planned, number, session, call))


def _index_of(name: str, indexes: dict[str, int], names: list[str]) -> int:
    index = indexes.get(name)
    if index is None:
        index = indexes[name] = len(indexes)
        if index == len(names):
            names.append(name)
    return index


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector from stopping the loop: it would show as latency of the engine."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
