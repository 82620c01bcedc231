"""Arguments of the public methods, checked by name: what the caller wrote, what was expected, what it was.

Annotations are the one truth about what a method takes: its rules are made from them. Reads, and writes that go alone,
are checked before anything is done. Writes that travel together check values while they convert them, which costs
nothing more; only if that fails are their arguments looked at one by one.
"""

import inspect
import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from difflib import get_close_matches
from enum import IntEnum
from functools import cache, partial, update_wrapper, wraps
from numbers import Real
from operator import index
from types import UnionType
from typing import Annotated, Any, Final, NamedTuple, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
from google.protobuf.message import Message
from onhand.client.errors import OnHandError, RefusedError, invalid, refused_as
from onhand.client.limits import DEADLINE_SECONDS_MAX
from onhand.rules.refusals import SHOWN_CHARACTERS_MAX, wrong_field

Kind = TypeVar("Kind", bound=IntEnum)
Class = TypeVar("Class", bound=type)
Rule: TypeAlias = Callable[[Any, str], object]
"""Takes a value and the name of what it is the value of; raises ValidationFailed if it is none."""

Line: TypeAlias = Annotated[tuple[str, str, int], ("sku_id", "location_id", "quantity")]
"""Sku, location, units."""
Count: TypeAlias = Annotated[tuple[str, str, int], ("sku_id", "location_id", "on_hand")]
"""Sku, location, units that were counted."""
SkuUnits: TypeAlias = Annotated[tuple[str, int], ("sku_id", "quantity")]
"""Sku, units."""
Seconds: TypeAlias = Annotated[float, "what a call may take"]

WHOLE_MIN: Final = -(2**63)
WHOLE_MAX: Final = 2**63 - 1
INT32_MAX: Final = 2**31 - 1


# ---- values ----------------------------------------------------------------------------------------------------------


def wrong(field: str, expected: str, value: object) -> RefusedError:
    """Return the refusal of a value of a wrong type."""
    return invalid(field, expected, _Described(value))


class _Described:
    """A value as messages show it: with its type, and only the type if the value says little."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        kind = type(self._value).__name__
        if self._value is None:
            return "None"
        if not isinstance(self._value, (str, bytes, bool, int, float, tuple, list, dict, date, Decimal, uuid.UUID)):
            return f"a value of type {kind}"
        text = repr(self._value)
        return f"{text} ({kind})" if len(text) <= SHOWN_CHARACTERS_MAX else f"a long {kind}"


def text(value: Any, field: str) -> str:
    """Check a text that UTF-8 can have."""
    if not isinstance(value, str):
        raise wrong(field, "text", value)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:  # half of a surrogate pair
            raise wrong(field, "text that UTF-8 has", value) from None
    return value


def whole(value: Any, field: str, at_least: int = WHOLE_MIN, at_most: int = WHOLE_MAX) -> int:
    """Check a whole number: an int, or what numpy has for it; no bool."""
    if isinstance(value, bool):
        raise wrong(field, "a whole number", value)
    try:
        number = index(value)
    except TypeError:
        raise wrong(field, "a whole number", value) from None
    if not at_least <= number <= at_most:
        raise invalid(field, f"{at_least} to {at_most}", number)
    return number


def number(value: Any, field: str) -> float:
    """Check a number that is neither infinite nor none."""
    if isinstance(value, bool) or not isinstance(value, (Real, Decimal)):
        raise wrong(field, "a number", value)
    try:
        found = float(value)
    except (OverflowError, ValueError):
        found = math.inf
    if not math.isfinite(found):
        raise wrong(field, "a finite number", value)
    return found


def seconds(value: Any, field: str) -> float:
    """Check what a call may take; nothing is left of it if it is negative."""
    if (found := number(value, field)) > DEADLINE_SECONDS_MAX:
        raise invalid(field, f"at most {DEADLINE_SECONDS_MAX} s", value, "s")
    return found


def flag(value: Any, field: str) -> bool:
    """Check a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise wrong(field, "True or False", value)
    return bool(value)


def day(value: Any, field: str) -> date:
    """Check a day; a datetime is none, since which day it is depends on the time zone."""
    if isinstance(value, datetime) or not isinstance(value, date):
        raise wrong(field, "a datetime.date without a time", value)
    return value


def number_of(kind: type[IntEnum], value: Any, field: str) -> int:
    """Check one of some values, of which a newer engine may have more; its number will do."""
    try:
        number = index(value)
    except TypeError:
        number = None
    is_other = isinstance(value, (bool, IntEnum)) and not isinstance(value, kind)
    if number is None or is_other:
        raise wrong(field, _choices(kind), value)
    return number


def member(kind: type[Kind], value: Any, field: str) -> Kind:
    """Check one of some values that are known; its number will do."""
    if (number := number_of(kind, value, field)) not in tuple(kind):
        raise wrong(field, _choices(kind), value)
    return kind(number)


def _choices(kind: type[IntEnum]) -> str:
    return f"a {kind.__name__}: {', '.join(each.name for each in kind)}"


def sequence(value: Any, field: str, kind: str = "list or tuple") -> Sequence[Any]:
    """Check a list, a tuple or the like; a text is none, and neither is what can be read only once."""
    if isinstance(value, (str, bytes, bytearray)) or not isinstance(value, (Sequence, np.ndarray)):
        raise wrong(field, f"a {kind}", value)
    return value  # type: ignore[return-value]  # an array is as good


def _texts(value: Any, field: str) -> None:
    if not isinstance(value, str):
        for place, entry in enumerate(sequence(value, field, "text or list of text")):
            text(entry, f"{field}[{place}]")


def _request_id(value: Any, field: str) -> None:
    if not isinstance(value, (str, uuid.UUID)):
        raise wrong(field, "a UUID, or its text", value)


# ---- rules from annotations ------------------------------------------------------------------------------------------

SCALARS: Final[Mapping[Any, Rule]] = {
    str: text,
    int: whole,
    float: number,
    bool: flag,
    date: day,
    Seconds: seconds,
    frozenset((str, uuid.UUID)): _request_id,
    frozenset((str, Sequence[str])): _texts,
}


@cache
def _rule_of(annotation: Any) -> Rule | None:
    """Return the rule of an annotation; None if values are checked elsewhere, as arrays are."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation in SCALARS:
        return SCALARS[annotation]
    if origin in (Union, UnionType):
        return _either(frozenset(inner))
    if origin is Annotated:
        return partial(_check_entries, _Shape(inner[1], tuple(_rule_of(each) for each in get_args(inner[0]))))
    if origin is Sequence:
        return partial(_check_list, _named_in_messages(inner[0]), _rule_of(inner[0]))
    return _rule_of_class(annotation) if isinstance(annotation, type) else None


def _rule_of_class(kind: type) -> Rule | None:
    if issubclass(kind, IntEnum):
        return partial(member, kind)
    if issubclass(kind, Message):
        return partial(_check_record, kind, {})
    if not hasattr(kind, "_fields"):
        return None
    hints = get_type_hints(kind, include_extras=True)
    return partial(_check_record, kind, {name: _rule_of(hint) for name, hint in hints.items()})


def _either(kinds: frozenset[Any]) -> Rule | None:
    needed = kinds - {type(None)}
    rule = SCALARS.get(needed) or (_rule_of(*needed) if len(needed) == 1 else None)
    return partial(_check_optional, rule) if rule and needed != kinds else rule


def _check_optional(rule: Rule, value: Any, field: str) -> None:
    if value is not None:
        rule(value, field)


def _named_in_messages(annotation: Any) -> str:
    if get_origin(annotation) is Annotated:
        return f"list of ({', '.join(get_args(annotation)[1])})"
    if annotation is str:
        return "list of text"
    return f"list of {annotation.__name__} objects" if isinstance(annotation, type) else "list or tuple"


def _check_list(kind: str, rule: Rule | None, value: Any, field: str) -> None:
    for place, entry in enumerate(sequence(value, field, kind)):
        if rule:
            rule(entry, f"{field}[{place}]")


class _Shape(NamedTuple):
    """What stands at which place of a tuple."""

    names: tuple[str, ...]
    rules: tuple[Rule | None, ...]


def _check_entries(shape: _Shape, value: Any, field: str) -> None:
    expected = f"({', '.join(shape.names)})"
    if isinstance(value, (str, bytes)) or not isinstance(value, (Sequence, np.ndarray)):
        raise wrong(field, expected, value)
    entries = list(value)
    if len(entries) != len(shape.names):
        raise wrong(field, expected, value)
    for name, rule, entry in zip(shape.names, shape.rules, entries, strict=True):
        if rule:
            rule(entry, f"{field}.{name}")


def _check_record(kind: type, rules: Mapping[str, Rule | None], value: Any, field: str) -> None:
    if not isinstance(value, kind):
        raise wrong(field, f"an object of class {kind.__name__}", value)
    for name, rule in rules.items():
        if rule:
            rule(getattr(value, name), f"{field}.{name}")


# ---- calls -----------------------------------------------------------------------------------------------------------


class Parameters:
    """What a function takes.

    Parameters
    ----------
    function
        Its annotations are the rules; keywords that it takes as Unpack of a TypedDict are those of that.
    is_method
        Whether its first parameter is the object's, not the caller's.
    """

    def __init__(self, function: Callable[..., Any], *, is_method: bool) -> None:
        hints = get_type_hints(function, include_extras=True)
        self.name = function.__qualname__.removesuffix(".__init__").removesuffix(".__new__").rpartition(".")[2]
        self.by_position: list[str] = []
        self.required: list[str] = []
        self.rules: dict[str, Rule | None] = {}
        for name, parameter in list(inspect.signature(function).parameters.items())[is_method:]:
            if parameter.kind is parameter.VAR_KEYWORD:
                options = get_type_hints(get_args(hints[name])[0], include_extras=True)
                self.rules.update({option: _rule_of(hint) for option, hint in options.items()})
                continue
            self.rules[name] = _rule_of(hints[name])
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
                self.by_position.append(name)
            if parameter.default is parameter.empty:
                self.required.append(name)

    def check(self, given: Sequence[Any], named: Mapping[str, Any]) -> None:
        """Raise ValidationFailed that names the argument at fault, if one is."""
        self.check_names(given, named)
        self.check_values(given, named)

    def check_names(self, given: Sequence[Any], named: Mapping[str, Any]) -> None:
        """Refuse arguments that the function has not, that stand in the wrong place, come twice, or are missing."""
        for name in named:
            if name not in self.rules:
                raise misuse(name, f"{self.name} has no such argument; {self._nearest(name)}")
        if len(given) > len(self.by_position):
            raise self._misplaced(len(given))
        present = self.by_position[: len(given)]
        for name in present:
            if name in named:
                raise misuse(name, "expected it once, was given by position and by name.")
        for name in self.required:
            if name not in named and name not in present:
                raise misuse(name, f"expected a value, without which {self.name} cannot be called, was missing.")

    def check_values(self, given: Sequence[Any], named: Mapping[str, Any]) -> None:
        """Refuse a value that its annotation does not allow."""
        for name, value in (*zip(self.by_position, given, strict=False), *named.items()):
            if rule := self.rules[name]:
                rule(value, name)

    def _nearest(self, name: str) -> str:
        near = get_close_matches(name, self.rules, n=1)
        return f"did you mean {near[0]}?" if near else f"it has {', '.join(self.rules) or 'none'}."

    def _misplaced(self, count: int) -> RefusedError:
        """Return the refusal of more arguments by position than there are."""
        by_name = [name for name in self.rules if name not in self.by_position]
        expected = f"expected at most {len(self.by_position)} by position: {', '.join(self.by_position) or 'none'}"
        way_out = f" Give {by_name[0]} by its name." if by_name else ""
        return misuse(by_name[0] if by_name else self.name, f"{expected}; was {count}.{way_out}")


def misuse(field: str, description: str) -> RefusedError:
    """Return the refusal of an argument that has no right to be there, or is not there."""
    return refused_as(wrong_field(field, description))


def checks_names(record: Class) -> Class:
    """Let a NamedTuple that callers make refuse names which it has not; its values are checked by what takes it."""
    make: Callable[..., Any] = record.__new__
    parameters = Parameters(make, is_method=True)

    def make_checked(kind: type, /, *given: Any, **named: Any) -> Any:
        try:
            return make(kind, *given, **named)
        except TypeError:
            parameters.check_names(given, named)
            raise  # made of something else than a class, by pickle perhaps

    record.__new__ = wraps(make)(make_checked)  # type: ignore[method-assign]
    return record


def method_of(call: Callable[..., Any], build: Callable[..., Any]) -> None:
    """Give a method the name, the words and the signature of the function whose command it sends."""
    update_wrapper(call, build)
    signature = inspect.signature(build)
    (result,) = get_args(signature.return_annotation)
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    call.__signature__ = signature.replace(parameters=[own, *signature.parameters.values()], return_annotation=result)  # type: ignore[attr-defined]


def checks_arguments(*, late: Sequence[str] = ()) -> Callable[[Class], Class]:
    """Let all public methods of a class, and its making, refuse wrong arguments by name.

    Parameters
    ----------
    late
        Methods that check values while they convert them.
    """

    def decorate(owner: Class) -> Class:
        for name, method in list(vars(owner).items()):
            is_public = name == "__init__" or not name.startswith("_")
            if is_public and inspect.isfunction(method) and not hasattr(method, "__signature__"):
                setattr(owner, name, _checking(method, is_late=name in late))
        return owner

    return decorate


def _checking(method: Callable[..., Any], *, is_late: bool) -> Callable[..., Any]:
    parameters = Parameters(method, is_method=True)
    check = parameters.check_names if is_late else parameters.check

    def call(self: Any, /, *given: Any, **named: Any) -> Any:
        check(given, named)
        try:
            return method(self, *given, **named)
        except OnHandError:
            raise
        except Exception:
            parameters.check(given, named)
            raise  # a bug of ours, or no event loop

    async def call_async(self: Any, /, *given: Any, **named: Any) -> Any:
        check(given, named)
        try:
            return await method(self, *given, **named)
        except OnHandError:
            raise
        except Exception:
            parameters.check(given, named)
            raise  # a bug of ours

    return wraps(method)(call_async if inspect.iscoroutinefunction(method) else call)
