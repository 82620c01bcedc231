"""Admission: how much may wait for the writer; what comes on top is refused at once, before anybody reads it."""

from collections.abc import Collection
from itertools import cycle
from typing import Final

from engine.errors import RefusedError

OPERATOR_CALLS_MAX: Final = 64
"""Places that only operators' calls may take, so that an engine under overload can still be asked how it is."""
RETRY_MS: Final = range(100, 301, 10)
"""Delays that refused calls are told in turn: they come back spread out, and none before a group could be decided."""


class Admission:
    """Counts the calls that wait for the writer, and refuses those beyond the limits.

    The limits bound memory and waiting alike: the longest wait is what the writer needs for so much work. Nothing is
    measured for that, and there is no limit of time beside them: a client that will not wait that long says so with its
    deadline, and is dropped unseen once it has passed.

    Two threads may share it: one calls `admits`, one `leave` and `drop`. Each counts what is its own, without a lock.

    Parameters
    ----------
    calls_max
        Most calls that wait.
    bytes_max
        Most bytes that the requests of these calls have together.
    method_count
        Length of the transport's table of methods.
    operator_methods
        Positions of the methods that have `OPERATOR_CALLS_MAX` more places.
    """

    def __init__(
        self, calls_max: int, bytes_max: int, method_count: int, operator_methods: Collection[int] = ()
    ) -> None:
        operator_calls_max = calls_max + OPERATOR_CALLS_MAX
        self._calls_max = [
            operator_calls_max if method in operator_methods else calls_max for method in range(method_count)
        ]
        self._bytes_max = bytes_max
        self._admitted_calls = self._admitted_bytes = 0
        self._left_calls = self._left_bytes = 0
        self._refusals = cycle([_overloaded(delay_ms) for delay_ms in RETRY_MS])
        self.overloaded_counts = [0] * method_count
        """Calls refused so far, by method."""
        self.dropped_count = 0
        """Calls that nobody waited for any more when their turn came: cancelled, or their deadline had passed."""

    @property
    def waiting_calls(self) -> int:
        """Calls that wait now."""
        return self._admitted_calls - self._left_calls

    @property
    def waiting_bytes(self) -> int:
        """Bytes of their requests."""
        return self._admitted_bytes - self._left_bytes

    def admits(self, method: int, request_bytes: int) -> bool:
        """Tell whether a call that just came may wait; if so it is counted, else to be answered with `refusal`."""
        has_place = self._admitted_calls - self._left_calls < self._calls_max[method]
        if not has_place or self._admitted_bytes - self._left_bytes + request_bytes > self._bytes_max:
            self.overloaded_counts[method] += 1
            return False
        self._admitted_calls += 1
        self._admitted_bytes += request_bytes
        return True

    def refusal(self) -> tuple[int, str, bytes]:
        """Return code, message and details for a call that was not admitted; made beforehand: it must be cheap."""
        return next(self._refusals)

    def leave(self, call_count: int, request_bytes: int) -> None:
        """Count calls out, with the bytes of their requests: the writer has them now."""
        self._left_calls += call_count
        self._left_bytes += request_bytes

    def drop(self, request_bytes: int) -> None:
        """Count a call out that nobody waits for any more."""
        self.leave(1, request_bytes)
        self.dropped_count += 1


def _overloaded(delay_ms: int) -> tuple[int, str, bytes]:
    refusal = RefusedError(
        "OVERLOADED",
        "Too many calls wait; nothing was done: repeat it with the same request_id after the delay in RetryInfo.",
        retry_seconds=delay_ms / 1000,
    )
    return refusal.code, refusal.message, refusal.details()
