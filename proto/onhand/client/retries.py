"""When to try a call again: one conversation for async and blocking clients, without any I/O of its own.

The same call is sent again with the same request ids, so a repeat never does anything twice.
"""

import random
import time
from collections.abc import Generator
from itertools import count
from typing import Any, Final, NamedTuple, TypeAlias

import grpc
from onhand.client.errors import Draining, JournalUnavailable, NoAnswer, OnHandError, Overloaded, RefusedError

PAUSE_SECONDS: Final = 0.025
"""Before the first retry; it doubles with each."""
PAUSE_SECONDS_MAX: Final = 1.0


class Attempt(NamedTuple):
    """Send the request now; the conversation goes on with its response, or its OnHandError."""

    request: Any
    timeout_seconds: float


class Pause(NamedTuple):
    """Wait so long, then go on."""

    seconds: float


Conversation: TypeAlias = Generator[Attempt | Pause, Any, Any]


def conversation(request: Any, expires_at: float, retries_max: int | None) -> Conversation:
    """Yield the steps of one call, and return its response.

    Parameters
    ----------
    request
        As the stub takes it.
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
    unsure = False
    for retry in count():
        try:
            return (yield Attempt(request, max(0.0, expires_at - time.monotonic())))
        except OnHandError as error:
            if not _may_be_repeated(error):
                raise
            pause = _pause_after(error, retry)
            if retry == retries_max or time.monotonic() + pause >= expires_at:
                if unsure and isinstance(error, (Draining, Overloaded)):
                    raise NoAnswer(f"an earlier try got no answer, the last one: {error}", error.code) from error
                raise
            unsure = unsure or isinstance(error, (NoAnswer, JournalUnavailable))
        yield Pause(pause)


def _may_be_repeated(error: OnHandError) -> bool:
    """Whether the same call may have another answer soon."""
    if isinstance(error, RefusedError):
        is_full = error.code is grpc.StatusCode.RESOURCE_EXHAUSTED and error.retry_seconds > 0
        return is_full or error.code is grpc.StatusCode.UNAVAILABLE
    return isinstance(error, NoAnswer) and error.code is grpc.StatusCode.UNAVAILABLE


def _pause_after(error: OnHandError, retry: int) -> float:
    """Exponential, with jitter, so that clients do not come back all at once; never before the engine wants it."""
    jitter = random.uniform(0.5, 1.0)  # noqa: S311 - no secret
    pause = jitter * min(PAUSE_SECONDS_MAX, PAUSE_SECONDS * 2.0 ** min(retry, 16))
    return pause + error.retry_seconds if isinstance(error, RefusedError) else pause
