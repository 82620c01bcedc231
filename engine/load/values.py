"""What values of files may be: each kind says what it expects, and reads text of a table or a value of TOML."""

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any, Final, NamedTuple

from onhand.identifiers import LENGTH, flaw_of

from engine import time_zones
from routing.limits import AMOUNT_MAX, MICROS

MILLIGRAMS_A_GRAM: Final = 1000
DECIMALS_MAX: Final = 6
MIDNIGHT_AFTER: Final = "24:00"
WEEK: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_NUMBER: Final = re.compile(r"-?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?", re.ASCII)
_DECIMAL_COMMA: Final = re.compile(r"-?\d*,\d+", re.ASCII)
_CLOCK: Final = re.compile(r"\d\d:\d\d(:\d\d)?", re.ASCII)
_DIGITS_MAX: Final = 30


class Kind(NamedTuple):
    """What a value may be."""

    expected: str
    """As a problem and the docs tell it."""
    read: Callable[[Any], Any]
    """Of the text of a table. Raises ValueError; its text, if any, says better what was expected."""
    read_toml: Callable[[Any], Any]
    """Of a value of TOML, likewise."""
    nothing: Any = None
    """What "-" stands for, where a value can be taken away."""
    told_in_toml: str = ""
    """What is expected in TOML, where that is written otherwise."""

    @property
    def expected_in_toml(self) -> str:
        """What is expected in TOML."""
        return self.told_in_toml or self.expected


def _text_kind(expected: str, read: Callable[[str], Any], nothing: Any = None) -> Kind:
    """Return a kind that is a text in both."""

    def read_toml(value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError  # noqa: TRY004 - all that is wrong with a value is told alike
        return read(value)

    return Kind(expected, read, read_toml, nothing)


# ---- texts -----------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=65_536)  # the same few stand in many rows
def _identifier(value: str) -> str:
    if flaw := flaw_of(value):
        raise ValueError(flaw)
    return value


def identifier(*, optional: bool = False) -> Kind:
    """Return the kind of an id of a sku, location or group, or a name in a network."""
    return _text_kind(LENGTH, _identifier, "" if optional else None)


def profile_name() -> Kind:
    """Return the kind of a profile's name: plans say name@version."""

    def read(value: str) -> str:
        if "@" in value:
            raise ValueError('a name without "@", which stands before a version')
        return _identifier(value)

    return _text_kind(LENGTH, read)


def text(bytes_max: int, *, least: int = 0) -> Kind:
    """Return the kind of a text for people."""
    expected = f"{least} to {bytes_max} bytes of UTF-8" if least else f"at most {bytes_max} bytes of UTF-8"

    def read(value: str) -> str:
        if not least <= len(value.encode()) <= bytes_max:
            raise ValueError
        return value

    return _text_kind(expected, read, None if least else "")


def one_of(values: Mapping[str, Any]) -> Kind:
    """Return the kind of one word of a few."""
    *others, last = values
    return _text_kind(f"{', '.join(others)} or {last}", lambda value: _looked_up(values, value))


def _looked_up(values: Mapping[str, Any], value: str) -> Any:
    if value not in values:
        raise ValueError
    return values[value]


def some_of(values: Mapping[str, Any]) -> Kind:
    """Return the kind of some words of a few, each at most once."""
    *others, last = values
    expected = f'{", ".join(others)} and {last}, each at most once, separated by "|"'
    return _list_kind(expected, lambda word: _looked_up(values, word), len(values))


def words(most: int) -> Kind:
    """Return the kind of a list of identifiers."""
    return _list_kind(f'at most {most} different words of {LENGTH}, separated by "|"', _identifier, most)


def _list_kind(expected: str, read_word: Callable[[str], Any], most: int) -> Kind:
    def read_all(found: Iterable[str]) -> tuple[Any, ...]:
        read = tuple(map(read_word, found))
        if len(read) > most or len(set(read)) < len(read):
            raise ValueError
        return read

    def read(value: str) -> tuple[Any, ...]:
        try:
            return read_all(value.split("|"))
        except ValueError:
            raise ValueError from None  # what the list is, not what one word of it should be

    def read_toml(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise ValueError('a list of words, such as ["hazmat"]')
        return read_all(value)

    told_in_toml = "a list of " + expected.removesuffix(', separated by "|"')
    return Kind(expected, read, read_toml, (), told_in_toml)


def truth() -> Kind:
    """Return the kind of yes or no."""

    def read_toml(value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError  # noqa: TRY004 - all that is wrong with a value is told alike
        return value

    return Kind("true or false", lambda value: _looked_up({"true": True, "false": False}, value), read_toml)


# ---- numbers ---------------------------------------------------------------------------------------------------------


def _number(value: str) -> Decimal:
    if len(value) <= _DIGITS_MAX and _NUMBER.fullmatch(value):
        return Decimal(value)
    if _DECIMAL_COMMA.fullmatch(value):
        raise ValueError(f"a decimal point ({value.replace(',', '.')})")
    raise ValueError


def _number_toml(value: Any) -> Decimal:
    """Take a number, or a text of one: TOML's own decimals are binary."""
    if isinstance(value, str):
        return _number(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError  # noqa: TRY004 - all that is wrong with a value is told alike
    return Decimal(str(value))


def _in(number: Decimal, least: float, most: float) -> Decimal:
    if not (number.is_finite() and least <= number <= most):
        raise ValueError
    return number


def whole(least: int, most: int) -> Kind:
    """Return the kind of a whole number: plain digits, no separator, no blank."""

    def read(value: str) -> int:
        digits = value.removeprefix("-") if least < 0 else value
        if not (digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS_MAX):
            raise ValueError
        return read_toml(int(value))

    def read_toml(value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            raise ValueError
        return value

    return Kind(f"an integer from {least} to {most}", read, read_toml)


def number(least: float, most: float) -> Kind:
    """Return the kind of a number with a decimal point."""
    return Kind(
        f"a number from {least:g} to {most:g}",
        lambda value: float(_in(_number(value), least, most)),
        lambda value: float(_in(_number_toml(value), least, most)),
    )


def idle() -> Kind:
    """Return the kind of a factor of what has no effect yet."""
    return number(1, 1)._replace(expected="1, since the engine does not price this term yet")


def amount(most: int = AMOUNT_MAX) -> Kind:
    """Return the kind of an amount of the network's currency, read as micros."""
    expected = f"an amount from 0 to {most // MICROS} with at most {DECIMALS_MAX} decimals"
    return _scaled(expected, most, MICROS)


def grams(milligrams_max: int) -> Kind:
    """Return the kind of a weight in grams, read as milligrams."""
    expected = f"grams from 0 to {milligrams_max // MILLIGRAMS_A_GRAM} with at most 3 decimals"
    return _scaled(expected, milligrams_max, MILLIGRAMS_A_GRAM)


def _scaled(expected: str, most: int, factor: int) -> Kind:
    def read(number: Decimal) -> int:
        scaled = _in(number, 0, most // factor) * factor
        if scaled != scaled.to_integral_value():
            raise ValueError
        return int(scaled)

    return Kind(expected, lambda value: read(_number(value)), lambda value: read(_number_toml(value)))


# ---- times -----------------------------------------------------------------------------------------------------------


def clock(*, ends: bool = False) -> Kind:
    """Return the kind of a time of day, read as the contract has it; what ends may end at 24:00."""

    def read(value: str) -> str:
        if ends and value == MIDNIGHT_AFTER:
            return value
        if not _CLOCK.fullmatch(value):
            raise ValueError
        return time.fromisoformat(value).isoformat()

    def read_plainly(value: str) -> str:
        try:
            return read(value)
        except ValueError:
            raise ValueError from None  # in our words, not in those of datetime

    return _text_kind(f"a time of day, HH:MM{', or 24:00' if ends else ''}", read_plainly)


def time_zone() -> Kind:
    """Return the kind of an IANA time zone."""

    def read(value: str) -> str:
        if value not in time_zones.time_zones():
            raise ValueError
        return value

    return _text_kind(time_zones.EXPECTED, read)


def weekdays() -> Kind:
    """Return the kind of working days of a week; of TOML only."""

    def read_toml(value: Any) -> list[int]:
        if not isinstance(value, list) or not value or not all(type(day) is int for day in value):
            raise ValueError
        if not set(value) <= set(range(1, len(WEEK) + 1)) or len(set(value)) < len(value):
            raise ValueError
        return sorted(value)

    return Kind("at least one number from 1 (Monday) to 7, each at most once", read_toml, read_toml)


def dates() -> Kind:
    """Return the kind of a list of dates; of TOML only."""

    def read_toml(value: Any) -> list[str]:
        if not isinstance(value, list) or not all(type(day) is date for day in value):
            raise ValueError
        return sorted({day.isoformat() for day in value})

    return Kind("a list of dates without quotes, such as [2026-12-25]", read_toml, read_toml)
