"""Checking the fields of a command: each check returns the value, or refuses it by name."""

from collections.abc import Callable, Iterable, Sized
from contextvars import ContextVar
from typing import Final, ParamSpec

from onhand.identifiers import flaw_of
from onhand.rules import limits, refusals
from onhand.rules.refusals import Problem, Told

RESERVATION_ID_LENGTH: Final = 16
TTL_EXPECTED: Final = f"more than 0 s and at most {limits.TTL_SECONDS_MAX} s"
UUID_EXPECTED: Final = 'a UUID such as "0190a6e4-5c1f-7b32-9c7e-2f5d1a3b4c5d"'
PROBLEMS_MAX: Final = 50
"""Fields that are named before no further one is looked for."""

Given = ParamSpec("Given")


def byte_count(text: str) -> int:
    """Bytes of a text in UTF-8; more than any limit if it has none."""
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:  # half of a surrogate pair
        return 2**31


def reservation_name(number: int) -> str:
    """Return the id of a reservation as callers see it."""
    return f"{number:016x}"


def document_name(number: int) -> str:
    """Return the id of a document, such as a transfer, as callers see it."""
    return f"{number:016x}"


class Refuser:
    """What becomes of a field that is wrong: it raises, or is kept while all that are wrong are looked for.

    Parameters
    ----------
    refusal
        Makes the exception of what is told.
    refused
        The class of those exceptions, which have `problems`.
    """

    def __init__(self, refusal: Callable[[Told], Exception], refused: type[Exception]) -> None:
        self._refusal = refusal
        self._refused = refused
        self._found: ContextVar[list[Problem] | None] = ContextVar("found", default=None)

    @property
    def found(self) -> list[Problem] | None:
        """What was found so far; None: the first wrong field raises."""
        return self._found.get()

    def refuse(self, told: Told) -> None:
        """Raise what is told, or keep it; then the checks go on, with a value that is used for nothing."""
        found = self.found
        if found is None or len(found) >= PROBLEMS_MAX:
            raise self._refusal(told)
        found.extend(told.problems)

    def stop(self, told: Told) -> None:
        """Raise what is told: nothing more is looked at."""
        raise self._refusal(told)

    def problems_of(self, read: Callable[Given, object], *given: Given.args, **named: Given.kwargs) -> list[Problem]:
        """Return all that is wrong with what a function reads."""
        found: list[Problem] = []
        token = self._found.set(found)
        try:
            read(*given, **named)
        except self._refused as last:  # after which nothing can be read
            found.extend(getattr(last, "problems", ()))
        finally:
            self._found.reset(token)
        return found


def more_problems(known: Iterable[Problem], found: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return what was found beside what is known: of each field the first problem."""
    named = {problem.field for problem in known}
    others: dict[str, Problem] = {}
    for problem in found:
        if problem.field not in named:
            others.setdefault(problem.field, problem)
    return tuple(others.values())


class Checks:
    """The checks of one side.

    Parameters
    ----------
    refuser
        Hears of what is wrong.
    """

    def __init__(self, refuser: Refuser) -> None:
        self._refuser = refuser

    def wrong(self, field: str, expected: str, was: object, unit: str = "") -> None:
        """Refuse a field: what was expected, and what it was."""
        self._refuser.refuse(refusals.invalid(field, expected, was, unit))

    def identifier(self, value: str, field: str) -> str:
        """Check the id of a sku, a location or a group."""
        if flaw := flaw_of(value):
            self.wrong(field, flaw, value)
        return value

    def text(self, value: str, field: str, bytes_max: int) -> str:
        """Check a text that may be empty."""
        if value and (count := byte_count(value)) > bytes_max:
            self.wrong(field, f"at most {bytes_max} bytes of UTF-8", count, "bytes")
        return value

    def quantity(self, value: int, field: str, *, at_least: int = 1) -> int:
        """Check a number of units."""
        if not at_least <= value <= limits.QUANTITY_MAX:
            self.wrong(field, f"{at_least} to {limits.QUANTITY_MAX}", value)
        return value

    def signed_quantity(self, value: int, field: str) -> int:
        """Check by how many units stock is corrected."""
        if not 0 < abs(value) <= limits.QUANTITY_MAX:
            self.wrong(field, f"{-limits.QUANTITY_MAX} to {limits.QUANTITY_MAX}, not 0", value)
        return value

    def quantity_sum(self, total: int, field: str, other: str) -> int:
        """Check the units of two lines that count together."""
        if total > limits.QUANTITY_MAX:
            self.wrong(field, f"at most {limits.QUANTITY_MAX} together with {other}", total)
        return total

    def count_of(self, values: Sized, field: str, maximum: int, *, at_least: int = 1) -> int:
        """Check how many entries a list has."""
        count = len(values)
        if not at_least <= count <= maximum:
            told = refusals.invalid(field, f"{at_least} to {maximum} entries", count, "entries")
            if count > maximum:  # more than anybody shall read
                self._refuser.stop(told)
            self._refuser.refuse(told)
        return count

    def unique(self, names: Iterable[str | tuple[str, str]], field: str) -> None:
        """Refuse a name, or a sku and location, that comes twice."""
        seen: dict[str | tuple[str, str], int] = {}
        for position, name in enumerate(names):
            other = seen.setdefault(name, position)
            if other != position:
                told = name if isinstance(name, str) else " at ".join(name)
                self.wrong(f"{field}[{position}]", f"no repeat of {field}[{other}]", told)

    def reservation_number(self, value: str, unknown: int) -> int:
        """Return the number that the id of a reservation stands for; `unknown` for an id that the engine never gave."""
        return self._number(value, unknown, "reservation_id", "the id of a reservation")

    def document_number(self, value: str, unknown: int, field: str) -> int:
        """Return the number that the id of a document stands for; `unknown` for an id that the engine never gave."""
        return self._number(value, unknown, field, f"the id of a {field.removesuffix('_id').replace('_', ' ')}")

    def _number(self, value: str, unknown: int, field: str, expected: str) -> int:
        if not value:
            self.wrong(field, expected, value)
            return unknown
        if len(value) == RESERVATION_ID_LENGTH and value.isascii() and value.isalnum():
            try:
                number = int(value, 16)
            except ValueError:
                return unknown
            if reservation_name(number) == value and 0 < number < 2**63:
                return number
        return unknown
