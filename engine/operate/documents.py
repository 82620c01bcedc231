"""What commands about documents have in common: units and instants in words, a client, and results as JSON values."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from engine.operate.terminal import CALL_SECONDS, EXIT_USAGE, fail, shown_time
from ledger.core.limits import MICROSECONDS

if TYPE_CHECKING:  # the other commands start faster without it
    from onhand.client import Client

UNITS_HELP: Final = "SKU=UNITS, as often as wanted."
Units = Annotated[list[str] | None, typer.Argument(help=f"{UNITS_HELP} None: all that there are.", metavar="SKU=UNITS")]
NamedUnits = Annotated[list[str], typer.Argument(help=UNITS_HELP, metavar="SKU=UNITS")]
Version = Annotated[int, typer.Option(help="Only if it still has this version; 0 for any.", min=0)]
Reference = Annotated[str, typer.Option(help="For the history: what it is for.")]
Actor = Annotated[str, typer.Option(help="For the history: who did it.")]


@contextmanager
def engine_client(address: str) -> "Iterator[Client]":
    """Yield a client; a call that is refused or fails ends the command with exit code 1."""
    from onhand.client import Client, OnHandError  # noqa: PLC0415 - the other commands start faster without it

    try:
        with Client(address, deadline_seconds=CALL_SECONDS) as client:
            yield client
    except OnHandError as error:
        raise fail(f"{address}: {error}") from error


def units_in(words: list[str] | None) -> list[tuple[str, int]]:
    """Read SKU=UNITS, as often as it is there."""
    return [_one(word) for word in words or ()]


def _one(word: str) -> tuple[str, int]:
    """Read SKU=UNITS; a sku may have an = in it."""
    sku_id, equals, units = word.rpartition("=")
    if not (equals and sku_id and units.isascii() and units.isdecimal()):
        raise fail(f"expected SKU=UNITS, was {word}", EXIT_USAGE)
    return sku_id, int(units)


def one_of(names: list[str], word: str, option: str) -> str:
    """Read a name, in capitals or not, with - for _."""
    name = word.upper().replace("-", "_")
    if name not in names:
        raise fail(f"{option}: expected one of {', '.join(names)}, was {word}", EXIT_USAGE)
    return name


def instant_us(text: str, option: str) -> int | None:
    """Read an instant in ISO 8601; without a zone it is UTC."""
    if not text:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise fail(f"{option}: expected an ISO 8601 date and time, was {text}", EXIT_USAGE) from error
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    if instant.timestamp() <= 0:
        raise fail(f"{option}: expected a time after 1970-01-01T00:00:00Z, was {text}", EXIT_USAGE)
    return int(instant.timestamp() * MICROSECONDS)


def as_shown(value: Any) -> Any:
    """Return a result as JSON values: names of states, instants in ISO 8601, and no empty quantities of lines."""
    if isinstance(value, msgspec.Struct):
        named = {name: getattr(value, name) for name in value.__struct_fields__}
        return {
            name.removesuffix("_us"): shown_time(each) if name.endswith("_time_us") and each else as_shown(each)
            for name, each in named.items()
        }
    if isinstance(value, tuple):
        return [_without_zeros(as_shown(each)) for each in value]
    return value.name if isinstance(value, Enum) else value


def _without_zeros(each: Any) -> Any:
    return {name: value for name, value in each.items() if value != 0} if isinstance(each, Mapping) else each
