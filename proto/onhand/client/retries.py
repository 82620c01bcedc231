"""When to try a call again: one conversation for async and blocking clients, without any I/O of its own.

The same call is sent again with the same request ids, so a repeat never does anything twice.
"""

import random
import time
from collections.abc import Generator
from itertools import count
from typing import Any, Final, NamedTuple, TypeAlias

import grpc
from onhand.client.engines import Engines
from onhand.client.errors import (
    ClientClosed,
    Draining,
    JournalUnavailable,
    NoAnswer,
    NotPrimary,
    OnHandError,
    Overloaded,
    RefusedError,
)
from onhand.client.limits import ATTEMPT_SECONDS_MIN, ATTEMPT_SHARE
from onhand.rules.reasons import REASONS, Retry

PAUSE_SECONDS: Final = 0.025
"""Before the second round; it doubles with each."""
PAUSE_SECONDS_MAX: Final = 1.0
AWAY_CODES: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
"""An engine that is not there, or says nothing in time."""
SAYS_NOTHING: Final = (ClientClosed, Draining, NotPrimary, Overloaded)
"""Errors that leave open what became of an earlier attempt without an answer."""


class Attempt(NamedTuple):
    """Send the request to an engine now; the conversation goes on with its response, or its OnHandError."""

    request: Any
    engine: str
    timeout_seconds: float


class Pause(NamedTuple):
    """Wait so long, then go on."""

    seconds: float


Conversation: TypeAlias = Generator[Attempt | Pause, Any, Any]


def conversation(request: Any, engines: Engines, expires_at: float, retries_max: int | None) -> Conversation:
    """Yield the steps of one call, and return its response.

    Parameters
    ----------
    request
        As the stub takes it.
    engines
        Those that may be asked.
    expires_at
        Deadline of the call with all its retries, on the scale of time.monotonic.
    retries_max
        At most; None for as many as the deadline allows.

    Raises
    ------
    OnHandError
        The engine's refusal; or the last error, when no time or retry is left for another attempt. A refusal that says
        nothing about an earlier attempt that got no answer is a NoAnswer.
    """
    rounds = Rounds(engines)
    attempt_seconds = max(ATTEMPT_SECONDS_MIN, ATTEMPT_SHARE * (expires_at - time.monotonic()))
    unsure = False
    for retry in count():
        left = max(0.0, expires_at - time.monotonic())
        try:
            # Where nobody else can be asked, there is nothing better to do than to wait for the answer.
            return (yield Attempt(request, rounds.engine, min(left, attempt_seconds) if len(engines) > 1 else left))
        except OnHandError as error:
            pause = rounds.pause_after(error) if _may_be_repeated(error) else float("inf")
            if retry == retries_max or time.monotonic() + pause >= expires_at:
                if unsure and isinstance(error, SAYS_NOTHING):
                    raise _still_no_answer(error) from error
                raise
            unsure = unsure or isinstance(error, (NoAnswer, JournalUnavailable))
        yield Pause(pause)
        rounds.go_on()


def _still_no_answer(error: OnHandError) -> NoAnswer:
    code = error.code if isinstance(error, RefusedError) else grpc.StatusCode.CANCELLED
    return NoAnswer(f"an earlier try got no answer, the last one: {error}", code)


class Rounds:
    """Which engine a call asks next, and when: each once in a round, one right after the other; then a pause."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._asked: set[str] = set()
        self._pause_count = 0
        self._retry_seconds = 0.0
        self.go_on()

    def go_on(self) -> None:
        """Turn to the engine that is to be asked now."""
        self.engine = self._engines.current
        self._asked.add(self.engine)

    def pause_after(self, error: OnHandError) -> float:
        """Turn from `engine` if its error calls for it; returns the seconds to wait before the next attempt."""
        if isinstance(error, RefusedError):
            self._retry_seconds = max(self._retry_seconds, error.retry_seconds)
        if not _is_full(error):
            primary = error.primary if isinstance(error, NotPrimary) else ""
            self._engines.turn_from(self.engine, primary, self._asked)
        if self._engines.current not in self._asked and len(self._asked) < len(self._engines):
            return 0.0
        return self._end()

    def _end(self) -> float:
        """Begin a new round; returns the seconds to wait before it.

        Exponential, with jitter, so that clients do not come back all at once; never before the engines want it.
        """
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        pause = jitter * min(PAUSE_SECONDS_MAX, PAUSE_SECONDS * 2.0 ** min(self._pause_count, 16)) + self._retry_seconds
        self._asked.clear()
        self._pause_count += 1
        self._retry_seconds = 0.0
        return pause


def _is_full(error: OnHandError) -> bool:
    """Whether the engine does its part, but not now."""
    return (
        isinstance(error, RefusedError) and error.code is grpc.StatusCode.RESOURCE_EXHAUSTED and error.retry_seconds > 0
    )


def _may_be_repeated(error: OnHandError) -> bool:
    """Whether the same call may have another answer soon."""
    is_away = isinstance(error, (NoAnswer, RefusedError)) and error.code in AWAY_CODES
    return is_away or _is_full(error) or _is_answered_elsewhere(error)


def _is_answered_elsewhere(error: OnHandError) -> bool:
    """Whether another engine may do what this one cannot."""
    return (
        isinstance(error, RefusedError) and error.reason in REASONS and REASONS[error.reason].retry is Retry.ELSEWHERE
    )
