"""Instants of the contract: timestamps to microseconds since the epoch, and back."""

from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp
from onhand.client.arguments import whole
from onhand.rules.limits import TIME_US_MAX

TIME_US_MIN: Final = 1


def time_us_in(message: Any, field: str) -> int | None:
    """Return an instant of a message in microseconds since the epoch; None if it is absent."""
    return getattr(message, field).ToMicroseconds() if message.HasField(field) else None


def timestamp(time_us: int | None, field: str) -> Timestamp | None:
    """Return a timestamp of microseconds since the epoch, checked; None of None.

    Raises
    ------
    RefusedError
        It is not after the epoch, or not before the year 10000.
    """
    if time_us is None:
        return None
    instant = Timestamp()
    instant.FromMicroseconds(whole(time_us, field, TIME_US_MIN, TIME_US_MAX))
    return instant
