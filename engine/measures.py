"""Times and sizes as people write and read them: 15m, 1GiB. What they are of is for whoever has them."""

from datetime import timedelta
from typing import Final

import durationpy
from pydantic import ByteSize, TypeAdapter

DAY_SECONDS: Final = 86_400
_SIZE: Final = TypeAdapter(ByteSize)


def seconds_of(value: object) -> object:
    """Return a time with a unit as seconds, and all else as it is, for whoever checks numbers.

    Raises
    ------
    ValueError
        It is neither a number nor a time.
    """
    if not isinstance(value, str) or _is_number(value):
        return value
    try:
        seconds = durationpy.from_str(value.strip()).total_seconds()
    except durationpy.DurationError as error:
        raise ValueError("expected a number, or a time with a unit such as 250ms, 15m, 1h30m or 7d") from error
    return int(seconds) if seconds.is_integer() else seconds


def days_of(value: object) -> object:
    """Return a time with a unit as days, and all else as it is; raises as `seconds_of`."""
    seconds = seconds_of(value)
    return seconds if seconds is value or not isinstance(seconds, int | float) else seconds / DAY_SECONDS


def shown_seconds(seconds: float) -> str:
    """Return a time as people read it: 1h30m, 250ms, 3d2h."""
    if seconds >= 1:
        seconds = round(seconds, 0 if seconds >= 60 else 1)
    return durationpy.to_str(timedelta(seconds=seconds), extended=True)


def shown_bytes(count: int) -> str:
    """Return a size as people read it, in three digits or so: 1.5GiB."""
    return ByteSize(count).human_readable()


def exact_bytes(count: int) -> str:
    """Return a size so that it is read back as the same one: 1GiB, or the number of bytes."""
    short = shown_bytes(count).replace(".0", "")
    return short if _SIZE.validate_python(short) == count else str(count)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
