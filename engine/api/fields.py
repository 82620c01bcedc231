"""Checking the fields of a request: each function returns the value as the ledger wants it, or refuses by name.

A request that is right is read once, and the first wrong field of another one raises. Only then it is read once more,
by `in_full`, and all that is wrong is collected: checks that refuse a field go on with a value that is of no use.
"""

import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from decimal import Decimal
from typing import Any, Final, ParamSpec, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from onhand.identifiers import ID_BYTES_MAX
from onhand.rules import refusals
from onhand.rules.checks import TTL_EXPECTED, UUID_EXPECTED, Checks, Refuser

from engine.errors import RefusedError, refused_as
from ledger.core import limits
from ledger.core.limits import MICROSECONDS

NANOSECONDS: Final = 1_000_000_000
UUID_LENGTH: Final = 36
UUID_HALVES: Final = struct.Struct(">QQ")
# A page ends here even if it has not its size yet: a plain client takes 4 MiB.
PAGE_BYTES_MAX: Final = 1024 * 1024
UNKNOWN_RESERVATION: Final = -1
assert ID_BYTES_MAX == limits.ID_BYTES_MAX

Given = ParamSpec("Given")
Read = TypeVar("Read")
Item = TypeVar("Item")


# ---- refusing --------------------------------------------------------------------------------------------------------

_REFUSER: Final = Refuser(refused_as, RefusedError)


def in_full(read: Callable[Given, Read], *given: Given.args, **named: Given.kwargs) -> Read:
    """Return what a function reads of a request; what it refuses for a wrong field names all that are wrong.

    Raises
    ------
    RefusedError
        With the reason and the message of the first wrong field.
    """
    try:
        return read(*given, **named)
    except RefusedError as error:
        raise told_in_full(error, read, *given, **named) from None


def told_in_full(
    error: RefusedError, read: Callable[Given, object], *given: Given.args, **named: Given.kwargs
) -> RefusedError:
    """Return a refusal with all that is wrong with what a function reads; one that is about no field as it is."""
    if error.reason != "VALIDATION_FAILED" or _REFUSER.found is not None:
        return error
    return error.with_problems(_REFUSER.problems_of(read, *given, **named))


def wrong_count() -> int:
    """Return how many wrong fields were collected so far: where it has risen, what was read is of no use."""
    return len(_REFUSER.found or ())


def stop_if_wrong(known: int = 0) -> None:
    """Read no further where more than `known` wrong fields were collected: the rest would be read by them."""
    if wrong_count() > known:
        raise RefusedError("VALIDATION_FAILED", "what was collected says it")


def refuse_field(field: str, description: str) -> None:
    """Refuse a field in words of others."""
    _REFUSER.refuse(refusals.wrong_field(field, description))


def read_each(items: Iterable[Item], field: str, read: Callable[[Item], Read]) -> list[Read]:
    """Return what a function reads of each message of a list; refusals speak of the message that holds the list."""
    made = []
    found = _REFUSER.found
    for position, item in enumerate(items):
        known = len(found) if found is not None else 0
        try:
            made.append(read(item))
        except RefusedError as error:
            raise error.inside(f"{field}[{position}]") from error
        if found is not None:
            found[known:] = [problem.inside(f"{field}[{position}]") for problem in found[known:]]
    return made


# ---- fields ----------------------------------------------------------------------------------------------------------

_CHECKS: Final = Checks(_REFUSER)
wrong: Final = _CHECKS.wrong
identifier: Final = _CHECKS.identifier
text: Final = _CHECKS.text
quantity: Final = _CHECKS.quantity
signed_quantity: Final = _CHECKS.signed_quantity
quantity_sum: Final = _CHECKS.quantity_sum
count_of: Final = _CHECKS.count_of
unique: Final = _CHECKS.unique


def ttl_us(value: Duration, field: str = "ttl") -> int:
    """Check a time to live; returns microseconds."""
    seconds, nanos = value.seconds, value.nanos
    total = seconds * MICROSECONDS + nanos // 1000
    if 0 <= nanos < NANOSECONDS and 0 < total <= limits.TTL_US_MAX:
        return total
    if not 0 <= nanos < NANOSECONDS:
        wrong(field, TTL_EXPECTED, seconds, f"s and {nanos} ns")
    else:
        wrong(field, TTL_EXPECTED, Decimal(seconds) + Decimal(nanos) / NANOSECONDS, "s")
    return 0


def request_id(value: str) -> tuple[int, int] | None:
    """Check a request id; returns its high and low half, None if it is absent."""
    if not value:
        return None
    if len(value) == UUID_LENGTH and value[8] == value[13] == value[18] == value[23] == "-":
        with suppress(ValueError, struct.error):
            halves: tuple[int, int] = UUID_HALVES.unpack(bytes.fromhex(value.replace("-", "")))
            if any(halves):  # the nil UUID stands for no id at all (RFC 9562, 5.9)
                return halves
    wrong("request_id", UUID_EXPECTED, value)
    return None


def reservation_number(value: str) -> int:
    """Return the ledger's number of a reservation; an id the engine never gave is an unknown reservation."""
    return _CHECKS.reservation_number(value, UNKNOWN_RESERVATION)


def document_number(value: str, field: str) -> int:
    """Return the ledger's number of a document; an id the engine never gave is an unknown one."""
    return _CHECKS.document_number(value, UNKNOWN_RESERVATION, field)


def set_time(message: Timestamp, time_us: int) -> None:
    """Write microseconds since the epoch into a timestamp."""
    message.seconds, micros = divmod(time_us, MICROSECONDS)
    message.nanos = micros * 1000


def page_size(value: int) -> int:
    """Check the size of a page: 0 is the default, more than the maximum is the maximum (AIP-158)."""
    if value < 0:
        wrong("page_size", f"0 to {limits.PAGE_SIZE_MAX}", value)
    return min(value or limits.PAGE_SIZE_DEFAULT, limits.PAGE_SIZE_MAX)


def page_start(token: str) -> int:
    """Return the position at which a page begins."""
    if not token:
        return 0
    if token.isascii() and token.isdecimal() and len(token) <= 18:
        return int(token)
    wrong("page_token", "the next_page_token of an earlier answer", token)
    return 0


def page_of(request: Any) -> tuple[int, int]:
    """Return the size of the page that a request asks for, and the position at which it begins."""
    return page_size(request.page_size), page_start(request.page_token)


def history_start(token: str) -> tuple[int, int]:
    """Return the seq and line at which a page of the history begins."""
    seq, dash, line = token.partition("-")
    if not seq or bool(dash) != bool(line):
        wrong("page_token", "the next_page_token of an earlier answer", token)
    return page_start(seq), page_start(line)


def unknown(reason: str, field: str, kind: str, name: str) -> None:
    """Refuse a name that the catalog does not know."""
    _REFUSER.refuse(refusals.missing(reason, field, kind, name))


def missing(reason: str, field: str, kind: str, name: str) -> RefusedError:
    """Return the refusal of a name that the catalog does not know."""
    return refused_as(refusals.missing(reason, field, kind, name))
