"""Checking what callers give for the fields of a command: the type of the value first, then the rules of the engine."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias

from onhand.client.arguments import Line, number, sequence, text, whole
from onhand.client.errors import RefusedError, refused_as
from onhand.identifiers import are_plain
from onhand.rules import limits
from onhand.rules.checks import TTL_EXPECTED, Checks, Refuser, more_problems
from onhand.rules.refusals import Problem

NANOSECONDS: Final = 1_000_000_000
SECONDS_SHOWN_MAX: Final = 1e12
NUMBERS: Final = (int, float)
LISTS: Final = (tuple, list)
UNKNOWN_RESERVATION: Final = 2**64 - 1
"""Stands for any id that the engine never gave."""

Units: TypeAlias = tuple[Sequence[Line], Sequence[int]]
"""Lines, and the position of each in the call; no positions where the two agree."""
NO_UNITS: Final[Units] = ((), ())

_REFUSER: Final = Refuser(refused_as, RefusedError)
_CHECKS: Final = Checks(_REFUSER)
wrong: Final = _CHECKS.wrong
unique: Final = _CHECKS.unique


def more_problems_of(
    error: RefusedError, build: Callable[..., object], given: Sequence[Any], named: Mapping[str, Any]
) -> tuple[Problem, ...]:
    """Return what is wrong with the arguments of a function beside the one for which it raised."""
    try:
        found = _REFUSER.problems_of(build, *given, **named)
    except Exception:  # noqa: BLE001 - a later one may be of any type; it is named once it is the first that is wrong
        return ()
    return more_problems(error.problems, found)


def identifier(value: str, field: str) -> str:
    """Check the id of a sku or location."""
    if value.__class__ is not str:
        text(value, field)
    return _CHECKS.identifier(value, field)


def note(value: str, field: str) -> str:
    """Check a reference or actor."""
    if value.__class__ is not str:
        text(value, field)
    return _CHECKS.text(value, field, limits.REFERENCE_BYTES_MAX)


def quantity(value: int, field: str, *, at_least: int = 1) -> int:
    """Check a number of units."""
    if value.__class__ is not int:
        value = whole(value, field)
    return _CHECKS.quantity(value, field, at_least=at_least)


def signed_quantity(value: int, field: str) -> int:
    """Check by how many units stock is corrected."""
    return _CHECKS.signed_quantity(whole(value, field), field)


def count_of(values: Sequence[object], field: str, maximum: int, *, at_least: int = 1) -> None:
    """Check how many entries a list has."""
    if values.__class__ not in LISTS:
        sequence(values, field)
    _CHECKS.count_of(values, field, maximum, at_least=at_least)


def ttl_us(seconds: float) -> int:
    """Check a time to live; returns microseconds."""
    if seconds.__class__ not in NUMBERS:
        seconds = number(seconds, "ttl_seconds")
    if 0 < seconds <= limits.TTL_SECONDS_MAX and (total := round(seconds * limits.MICROSECONDS)):
        return total
    _CHECKS.wrong("ttl", TTL_EXPECTED, _exact(seconds), "s")
    return 0


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
    return _CHECKS.reservation_number(text(value, "reservation_id"), UNKNOWN_RESERVATION)


def line(item: Line, field: str, *, at_least: int = 1) -> Line:
    """Check one line."""
    sku_id, location_id, units = item
    return (
        identifier(sku_id, f"{field}.sku_id"),
        identifier(location_id, f"{field}.location_id"),
        quantity(units, f"{field}.quantity", at_least=at_least),
    )


def units_of(lines: Sequence[Line], *, at_least: int = 1) -> Units:
    """Check the lines of a reservation; the same sku and location in two lines counts together.

    Returns
    -------
    Units
        The lines, and the position of each in the call.
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


def merged(lines: Sequence[Line]) -> Units:
    """Let lines with the same sku and location count together; returns what `units_of` does."""
    first: dict[tuple[str, str], int] = {}
    totals: dict[tuple[str, str], int] = {}
    for position, (sku_id, location_id, units) in enumerate(lines):
        key = sku_id, location_id
        other = first.setdefault(key, position)
        totals[key] = totals.get(key, 0) + units
        if totals[key] > limits.QUANTITY_MAX:
            _CHECKS.quantity_sum(totals[key], f"lines[{position}].quantity", f"lines[{other}].quantity")
    if len(first) == len(lines):
        return lines, ()
    return [(*key, units) for key, units in totals.items()], tuple(first.values())
