"""Checking the fields of a command, with the engine's rules and words: each returns the value, or raises by name."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

from onhand.client import limits
from onhand.client.arguments import Line, number, sequence, text, whole
from onhand.client.errors import invalid
from onhand.identifiers import are_plain, flaw_of

NANOSECONDS: Final = 1_000_000_000
SECONDS_SHOWN_MAX: Final = 1e12
RESERVATION_ID_LENGTH: Final = 16
NUMBERS: Final = (int, float)
LISTS: Final = (tuple, list)
UNKNOWN_RESERVATION: Final = 2**64 - 1
"""Stands for any id that the engine never gave."""


def byte_count(text: str) -> int:
    """Bytes of a text in UTF-8; more than any limit if it has none."""
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:  # half of a surrogate pair
        return 2**31


def identifier(value: str, field: str) -> str:
    """Check the id of a sku or location."""
    if value.__class__ is not str:
        text(value, field)
    if flaw := flaw_of(value):
        raise invalid(field, flaw, value)
    return value


def note(value: str, field: str) -> str:
    """Check a reference or actor."""
    if value.__class__ is not str:
        text(value, field)
    if value and (count := byte_count(value)) > limits.REFERENCE_BYTES_MAX:
        raise invalid(field, f"at most {limits.REFERENCE_BYTES_MAX} bytes of UTF-8", count, "bytes")
    return value


def quantity(value: int, field: str, *, at_least: int = 1) -> int:
    """Check a number of units."""
    if value.__class__ is not int:
        value = whole(value, field)
    if not at_least <= value <= limits.QUANTITY_MAX:
        raise invalid(field, f"{at_least} to {limits.QUANTITY_MAX}", value)
    return value


def count_of(values: Sequence[object], field: str, maximum: int, *, at_least: int = 1) -> None:
    """Check how many entries a list has."""
    if values.__class__ not in LISTS:
        sequence(values, field)
    if not at_least <= len(values) <= maximum:
        raise invalid(field, f"{at_least} to {maximum} entries", len(values), "entries")


def ttl_us(seconds: float) -> int:
    """Check a time to live; returns microseconds."""
    if seconds.__class__ not in NUMBERS:
        seconds = number(seconds, "ttl_seconds")
    if 0 < seconds <= limits.TTL_SECONDS_MAX and (total := round(seconds * limits.MICROSECONDS)):
        return total
    raise invalid("ttl", f"more than 0 s and at most {limits.TTL_SECONDS_MAX} s", _exact(seconds), "s")


def _exact(seconds: float) -> Decimal:
    """Return seconds as the wire has them, to the nanosecond."""
    if not abs(seconds) < SECONDS_SHOWN_MAX:
        return Decimal(seconds)
    whole, nanoseconds = divmod(round(seconds * NANOSECONDS), NANOSECONDS)
    return Decimal(whole) + Decimal(nanoseconds) / NANOSECONDS


def version(value: int) -> int:
    """Check the version that the caller saw."""
    return whole(value, "expected_version", 0, limits.QUANTITY_MAX)


def reservation_number(value: str) -> int:
    """Return the number that a reservation's id stands for."""
    if not text(value, "reservation_id"):
        raise invalid("reservation_id", "the id of a reservation", value)
    if len(value) == RESERVATION_ID_LENGTH:
        try:
            number = int(value, 16)
        except ValueError:
            return UNKNOWN_RESERVATION
        if reservation_name(number) == value and 0 < number < 2**63:
            return number
    return UNKNOWN_RESERVATION


def reservation_name(number: int) -> str:
    """Return the id of a reservation as callers see it."""
    return f"{number:016x}"


def line(item: Line, field: str, *, at_least: int = 1) -> Line:
    """Check one line."""
    sku_id, location_id, units = item
    return (
        identifier(sku_id, f"{field}.sku_id"),
        identifier(location_id, f"{field}.location_id"),
        quantity(units, f"{field}.quantity", at_least=at_least),
    )


def units_of(lines: Sequence[Line], *, at_least: int = 1) -> tuple[Sequence[Line], Sequence[int]]:
    """Check the lines of a reservation; the same sku and location in two lines counts together.

    Returns
    -------
    tuple[Sequence[Line], Sequence[int]]
        The lines, and the position of each in the call; no positions where the two agree.
    """
    if len(lines) == 1:  # nearly always: checked in one look, and if that fails, by name below
        ((sku_id, location_id, units),) = lines
        if (
            sku_id.__class__ is str
            and location_id.__class__ is str
            and are_plain(sku_id, location_id)
            and units.__class__ is int
            and 0 < units <= limits.QUANTITY_MAX
        ):
            return ((sku_id, location_id, units),), ()
    count_of(lines, "lines", limits.LINES_PER_RESERVATION_MAX, at_least=at_least)
    return merged([line(item, f"lines[{position}]") for position, item in enumerate(lines)])


def merged(lines: Sequence[Line]) -> tuple[Sequence[Line], Sequence[int]]:
    """Let lines with the same sku and location count together; returns what `units_of` does."""
    first: dict[tuple[str, str], int] = {}
    totals: dict[tuple[str, str], int] = {}
    for position, (sku_id, location_id, units) in enumerate(lines):
        key = sku_id, location_id
        other = first.setdefault(key, position)
        totals[key] = totals.get(key, 0) + units
        if totals[key] > limits.QUANTITY_MAX:
            expected = f"at most {limits.QUANTITY_MAX} together with lines[{other}].quantity"
            raise invalid(f"lines[{position}].quantity", expected, totals[key])
    if len(first) == len(lines):
        return lines, ()
    return [(*key, units) for key, units in totals.items()], tuple(first.values())


def unique(names: Iterable[str | tuple[str, str]], field: str) -> None:
    """Refuse a name, or a sku and location, that comes twice."""
    seen: dict[str | tuple[str, str], int] = {}
    for position, name in enumerate(names):
        other = seen.setdefault(name, position)
        if other != position:
            told = name if isinstance(name, str) else " at ".join(name)
            raise invalid(f"{field}[{position}]", f"no repeat of {field}[{other}]", told)
