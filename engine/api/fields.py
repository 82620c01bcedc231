"""Checking the fields of a request: each function returns the value as the ledger wants it, or refuses by name."""

import struct
from contextlib import suppress
from decimal import Decimal
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from onhand.identifiers import ID_BYTES_MAX
from onhand.rules import refusals
from onhand.rules.checks import TTL_EXPECTED, UUID_EXPECTED, Checks

from engine.errors import RefusedError, invalid, refused_as
from ledger.core import limits
from ledger.core.limits import MICROSECONDS

NANOSECONDS: Final = 1_000_000_000
UUID_LENGTH: Final = 36
UUID_HALVES: Final = struct.Struct(">QQ")
# A page ends here even if it has not its size yet: a plain client takes 4 MiB.
PAGE_BYTES_MAX: Final = 1024 * 1024
UNKNOWN_RESERVATION: Final = -1
assert ID_BYTES_MAX == limits.ID_BYTES_MAX

_CHECKS: Final = Checks(refused_as)
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
        raise invalid(field, TTL_EXPECTED, seconds, f"s and {nanos} ns")
    raise invalid(field, TTL_EXPECTED, Decimal(seconds) + Decimal(nanos) / NANOSECONDS, "s")


def request_id(value: str) -> tuple[int, int] | None:
    """Check a request id; returns its high and low half, None if it is absent."""
    if not value:
        return None
    if len(value) == UUID_LENGTH and value[8] == value[13] == value[18] == value[23] == "-":
        with suppress(ValueError, struct.error):
            halves: tuple[int, int] = UUID_HALVES.unpack(bytes.fromhex(value.replace("-", "")))
            if any(halves):  # the nil UUID stands for no id at all (RFC 9562, 5.9)
                return halves
    raise invalid("request_id", UUID_EXPECTED, value)


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
        raise invalid("page_size", f"0 to {limits.PAGE_SIZE_MAX}", value)
    return min(value or limits.PAGE_SIZE_DEFAULT, limits.PAGE_SIZE_MAX)


def page_start(token: str) -> int:
    """Return the position at which a page begins."""
    if not token:
        return 0
    if token.isascii() and token.isdecimal() and len(token) <= 18:
        return int(token)
    raise invalid("page_token", "the next_page_token of an earlier answer", token)


def history_start(token: str) -> tuple[int, int]:
    """Return the seq and line at which a page of the history begins."""
    seq, dash, line = token.partition("-")
    if not seq or bool(dash) != bool(line):
        raise invalid("page_token", "the next_page_token of an earlier answer", token)
    return page_start(seq), page_start(line)


def missing(reason: str, field: str, kind: str, name: str) -> RefusedError:
    """Return the refusal of a name that the catalog does not know."""
    return refused_as(refusals.missing(reason, field, kind, name))
