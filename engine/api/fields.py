"""Checking the fields of a request: each function returns the value as the ledger wants it, or refuses by name."""

import struct
from collections.abc import Iterable
from contextlib import suppress
from decimal import Decimal
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from onhand.identifiers import ID_BYTES_MAX, flaw_of

from engine.errors import SHOWN_CHARACTERS_MAX, RefusedError, invalid, shown
from ledger.core import limits
from ledger.core.limits import MICROSECONDS

NANOSECONDS: Final = 1_000_000_000
UUID_LENGTH: Final = 36
UUID_HALVES: Final = struct.Struct(">QQ")
RESERVATION_ID_LENGTH: Final = 16
# A page ends here even if it has not its size yet: a plain client takes 4 MiB.
PAGE_BYTES_MAX: Final = 1024 * 1024
UNKNOWN_RESERVATION: Final = -1
assert ID_BYTES_MAX == limits.ID_BYTES_MAX


def byte_count(text: str) -> int:
    """Bytes of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def identifier(value: str, field: str) -> str:
    """Check the id of a sku, a location or a group."""
    if flaw := flaw_of(value):
        raise invalid(field, flaw, value)
    return value


def text(value: str, field: str, bytes_max: int) -> str:
    """Check a text that may be empty."""
    if byte_count(value) > bytes_max:
        raise invalid(field, f"at most {bytes_max} bytes of UTF-8", byte_count(value), "bytes")
    return value


def quantity(value: int, field: str, *, at_least: int = 1) -> int:
    """Check a number of units."""
    if not at_least <= value <= limits.QUANTITY_MAX:
        raise invalid(field, f"{at_least} to {limits.QUANTITY_MAX}", value)
    return value


def count_of(values: Iterable[object], field: str, maximum: int, *, at_least: int = 1) -> int:
    """Check how many entries a repeated field has."""
    count = len(values)  # type: ignore[arg-type]  # protobuf's containers have a length
    if not at_least <= count <= maximum:
        raise invalid(field, f"{at_least} to {maximum} entries", count, "entries")
    return count


def ttl_us(value: Duration, field: str = "ttl") -> int:
    """Check a time to live; returns microseconds."""
    seconds, nanos = value.seconds, value.nanos
    total = seconds * MICROSECONDS + nanos // 1000
    if 0 <= nanos < NANOSECONDS and 0 < total <= limits.TTL_US_MAX:
        return total
    expected = f"more than 0 s and at most {limits.TTL_SECONDS_MAX} s"
    if not 0 <= nanos < NANOSECONDS:
        raise invalid(field, expected, seconds, f"s and {nanos} ns")
    raise invalid(field, expected, Decimal(seconds) + Decimal(nanos) / NANOSECONDS, "s")


def request_id(value: str) -> tuple[int, int] | None:
    """Check a request id; returns its high and low half, None if it is absent."""
    if not value:
        return None
    if len(value) == UUID_LENGTH and value[8] == value[13] == value[18] == value[23] == "-":
        with suppress(ValueError, struct.error):
            halves: tuple[int, int] = UUID_HALVES.unpack(bytes.fromhex(value.replace("-", "")))
            if any(halves):  # the nil UUID stands for no id at all (RFC 9562, 5.9)
                return halves
    raise invalid("request_id", 'a UUID such as "0190a6e4-5c1f-7b32-9c7e-2f5d1a3b4c5d"', value)


def reservation_number(value: str) -> int:
    """Return the ledger's number of a reservation; an id the engine never gave is an unknown reservation."""
    if not value:
        raise invalid("reservation_id", "the id of a reservation", value)
    if len(value) == RESERVATION_ID_LENGTH and value.isascii() and value.isalnum():
        try:
            number = int(value, 16)
        except ValueError:
            return UNKNOWN_RESERVATION
        if value == reservation_name(number) and 0 < number < 2**63:
            return number
    return UNKNOWN_RESERVATION


def reservation_name(number: int) -> str:
    """Return the id that callers see."""
    return f"{number:016x}"


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


def unique(names: Iterable[str | tuple[str, str]], field: str) -> None:
    """Refuse a name, or a sku and location, that comes twice."""
    seen: dict[str | tuple[str, str], int] = {}
    for position, name in enumerate(names):
        if name in seen:
            told = name if isinstance(name, str) else " at ".join(name)
            raise invalid(f"{field}[{position}]", f"no repeat of {field}[{seen[name]}]", told)
        seen[name] = position


def quantity_sum(total: int, field: str, other: str) -> int:
    """Check the units of two lines that count together."""
    if total > limits.QUANTITY_MAX:
        raise invalid(field, f"at most {limits.QUANTITY_MAX} together with {other}", total)
    return total


def history_start(token: str) -> tuple[int, int]:
    """Return the seq and line at which a page of the history begins."""
    seq, dash, line = token.partition("-")
    if not seq or bool(dash) != bool(line):
        raise invalid("page_token", "the next_page_token of an earlier answer", token)
    return page_start(seq), page_start(line)


def missing(reason: str, field: str, kind: str, name: str) -> RefusedError:
    """Return the refusal of a name that the catalog does not know."""
    return RefusedError(
        reason,
        f"{field}: {kind} {shown(name)} does not exist; ids are case-sensitive.",
        metadata={"field": field, kind: name[:SHOWN_CHARACTERS_MAX]},
    )
