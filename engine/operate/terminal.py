"""What all commands share: exit codes, asking an engine, and showing an answer to people or programs."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import grpc
import typer
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from onhand.addresses import check_address
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from engine.config import ENVIRONMENT_PREFIX, EngineConfig
from engine.operate.tables import table_of_many, table_of_one
from ledger.core.limits import MICROSECONDS

ADDRESS_DEFAULT: Final = f"{EngineConfig.model_fields['host'].default}:{EngineConfig.model_fields['port'].default}"
CALL_SECONDS: Final = 10.0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_BROKEN: Final = os.EX_SOFTWARE
"""Of an engine that failed inside: 70, as sysexits.h has it."""

AsJson = Annotated[
    bool | None, typer.Option("--json/--table", help="One JSON value; the default where output is no terminal.")
]


def complain(message: str) -> None:
    """Say on standard error what is wrong."""
    Console(stderr=True).print(message, style="red", markup=False, highlight=False, soft_wrap=True)


def fail(message: str, code: int = EXIT_FAILED) -> typer.Exit:
    """Say what is wrong; raise what this returns."""
    complain(message)
    return typer.Exit(code)


def checked_address(address: str) -> str:
    """Return the address of an engine; one that cannot be dialed ends the command with exit code 2."""
    try:
        return check_address(address, "--address")
    except ValueError as error:
        raise fail(str(error), EXIT_USAGE) from error


Address = Annotated[
    str, typer.Option(help="Engine to ask, HOST:PORT.", envvar=f"{ENVIRONMENT_PREFIX}ADDRESS", callback=checked_address)
]


@contextmanager
def asking(address: str) -> Iterator[grpc.Channel]:
    """Yield a channel; a call that fails ends the command with exit code 1."""
    with grpc.insecure_channel(address) as channel:
        try:
            yield channel
        except grpc.RpcError as error:
            raise fail(f"{address} answered {error.code().name}: {error.details()}") from error


# ---- showing ---------------------------------------------------------------------------------------------------------


def as_dict(message: Message) -> dict[str, Any]:
    """Return a message as JSON values; whole numbers stay numbers, of which protobuf's own JSON makes strings."""
    values = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    return {
        field.name: _value(field, values[field.name], message)
        for field in message.DESCRIPTOR.fields
        if field.name in values
    }


def _value(field: Any, value: Any, message: Message) -> Any:
    if field.message_type is not None and field.is_repeated:
        return [as_dict(each) for each in getattr(message, field.name)]
    return int(value) if field.cpp_type == FieldDescriptor.CPPTYPE_INT64 else value


def show(values: Mapping[str, Any], as_json: bool | None, title: str) -> None:
    """Show one thing: an object for programs, a table of names and values for people."""
    show_as(values, as_json, lambda _: table_of_one([values], title))


def show_rows(
    rows: Sequence[Mapping[str, Any]],
    as_json: bool | None,
    title: str,
    as_read: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
) -> None:
    """Show many things alike: an array for programs, a table for people, of what `as_read` makes of a row."""
    show_as(rows, as_json, lambda width: table_of_many([as_read(row) for row in rows], title, width))


def show_as(value: Any, as_json: bool | None, table: Callable[[int], Table]) -> None:
    """Show a value to programs, or to people the table that is made for the width of the screen."""
    console = Console(markup=False)
    if wants_json(as_json):
        console.file.write(json.dumps(value, indent=2) + "\n")
    else:
        console.print(table(console.width))


def shown_time(time_us: int) -> str:
    """Return microseconds since the epoch as ISO 8601, UTC."""
    return datetime.fromtimestamp(time_us / MICROSECONDS, UTC).isoformat(timespec="microseconds")


def wants_json(as_json: bool | None) -> bool:
    """Tell whether an answer is shown to a program."""
    return as_json or (as_json is None and not Console().is_terminal)


# ---- waiting ---------------------------------------------------------------------------------------------------------


def place_kernels() -> None:
    """Give kernels a place, and say so if they cannot stay there; before anything is imported that has some."""
    from engine.kernels import prepare_cache  # noqa: PLC0415 - loads numba

    try:
        prepare_cache(complain)
    except OSError as error:
        raise fail(f"kernels: {error}") from error


def warm_up_kernels(console: Console) -> None:
    """Load the kernels, or compile them with a progress bar: once for each version, about a minute."""
    place_kernels()
    from engine.warmup import STEPS, is_compiled, warm_up  # noqa: PLC0415 - loads numba

    if is_compiled():
        warm_up(lambda _: None)
        return
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    if not console.is_terminal:
        console.print("compiling the kernels: about a minute", highlight=False)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("compiling the kernels", total=len(STEPS))

        def report(step: str) -> None:
            progress.update(task, advance=1, description=f"compiling the kernels: {step}")

        warm_up(report)
