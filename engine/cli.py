"""The command `onhand`."""

import functools
import inspect
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import grpc
import typer
import uvloop
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from onhand.admin.v1 import admin_service_pb2 as admin
from onhand.admin.v1.admin_service_pb2_grpc import AdminServiceStub
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from engine.config import ENVIRONMENT_PREFIX, EngineConfig, load_config
from engine.launch import SERVING_LINE, EngineProcess

ADDRESS_DEFAULT: Final = f"{EngineConfig.model_fields['host'].default}:{EngineConfig.model_fields['port'].default}"
CALL_SECONDS: Final = 10.0
VERIFY_SECONDS: Final = 300.0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2

app = typer.Typer(
    help="OnHand: stock that can never be promised twice.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="The engine's settings.", no_args_is_help=True)
app.add_typer(config_app, name="config")

Address = Annotated[str, typer.Option(help="Engine to ask, HOST:PORT.", envvar=f"{ENVIRONMENT_PREFIX}ADDRESS")]
AsJson = Annotated[
    bool | None, typer.Option("--json/--table", help="One JSON object; the default where output is no terminal.")
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="TOML file of settings.", envvar=f"{ENVIRONMENT_PREFIX}CONFIG", show_default="none"),
]


def main() -> None:
    """Run the command line."""
    app()


# ---- settings as flags -----------------------------------------------------------------------------------------------


def _flag_of(name: str, field: FieldInfo) -> inspect.Parameter:
    option = typer.Option(
        f"--{name.replace('_', '-')}",
        help=field.description,
        envvar=ENVIRONMENT_PREFIX + name.upper(),
        show_default=str(field.default) or "embedded",
    )
    annotation = Annotated[str | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def takes_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command one flag for each setting, with its environment variable and default; it gets an EngineConfig."""

    @functools.wraps(command)
    def with_config(config_file: Path | None, **values: Any) -> Any:
        names = EngineConfig.model_fields.keys()
        flags = {name: value for name, value in values.items() if name in names and value is not None}
        rest = {name: value for name, value in values.items() if name not in names}
        return command(config=_load_config(config_file, flags), **rest)

    own = [each for name, each in inspect.signature(command).parameters.items() if name != "config"]
    file = inspect.Parameter("config_file", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=ConfigFile)
    flags = [_flag_of(name, field) for name, field in EngineConfig.model_fields.items()]
    signature = inspect.Signature([file, *flags, *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own)])
    with_config.__signature__ = signature  # type: ignore[attr-defined]  # how typer learns of flags
    with_config.__annotations__ = {name: each.annotation for name, each in signature.parameters.items()}
    return with_config


def _load_config(file: Path | None, flags: dict[str, Any]) -> EngineConfig:
    try:
        return load_config(file, flags)
    except ValidationError as error:
        for problem in error.errors():
            _complain(_told(problem))
        raise typer.Exit(EXIT_USAGE) from error
    except (OSError, ValueError) as error:
        _complain(str(error))
        raise typer.Exit(EXIT_USAGE) from error


def _told(problem: ErrorDetails) -> str:
    """Say what is wrong with a setting; the values of the journal and of unknown settings may be secrets."""
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"{name}: expected one of {', '.join(EngineConfig.model_fields)}"
    if name.startswith("journal") and name != "journal_timeout_seconds":
        return f"{name}: {problem['msg'].removeprefix('Value error, ')}"
    return f"{name}: {problem['msg']}, was {problem['input']!r}"


def _complain(message: str) -> None:
    Console(stderr=True).print(message, style="red", markup=False, highlight=False, soft_wrap=True)


# ---- serving ---------------------------------------------------------------------------------------------------------


@app.command()
@takes_settings
def serve(config: EngineConfig) -> None:
    """Run the engine until SIGTERM or Ctrl-C. Exit code 1 if it cannot start or must not go on."""
    from engine.logs import configure_logs  # noqa: PLC0415 - the other commands start faster without the engine
    from engine.service import Service, stops_on_signals  # noqa: PLC0415 - the same
    from ledger.journal.errors import JournalError  # noqa: PLC0415 - the same

    configure_logs(config.log_level, config.log_format)
    _warm_up(Console(stderr=True))
    service = Service(config)
    try:
        with stops_on_signals(service), service:
            service.run(lambda address: print(f"{SERVING_LINE}{address}", flush=True))  # noqa: T201 - for who started us
    except (JournalError, OSError) as error:
        _complain(str(error))
        raise typer.Exit(EXIT_FAILED) from error


def _warm_up(console: Console) -> None:
    """Load the kernels, or compile them with a progress bar: once for each version, up to a minute."""
    from ledger.warmup import STEPS, is_compiled, warm_up  # noqa: PLC0415 - loads numba

    if is_compiled():
        warm_up(lambda _: None)
        return
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    if not console.is_terminal:
        console.print("compiling the kernels, once: about a minute", highlight=False)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("compiling the kernels, once", total=len(STEPS))

        def report(step: str) -> None:
            progress.update(task, advance=1, description=f"compiling the kernels, once: {step}")

        warm_up(report)


@config_app.command("show")
@takes_settings
def config_show(config: EngineConfig, as_json: AsJson = None) -> None:
    """Show the settings that `serve` would run with, and nothing secret."""
    from ledger.journal.connection import Address as JournalAddress  # noqa: PLC0415 - serves this command only

    values = config.model_dump(mode="json")
    if config.journal:
        values["journal"] = JournalAddress(config.journal).describe()
    _show(values, as_json, "Settings")


# ---- asking ----------------------------------------------------------------------------------------------------------


@contextmanager
def _admin(address: str) -> Iterator[AdminServiceStub]:
    """Yield a stub; a call that fails ends the command with exit code 1."""
    with grpc.insecure_channel(address) as channel:
        try:
            yield AdminServiceStub(channel)
        except grpc.RpcError as error:
            _complain(f"{address} answered {error.code().name}: {error.details()}")
            raise typer.Exit(EXIT_FAILED) from error


def _as_dict(message: Message) -> dict[str, Any]:
    """Return a message as JSON values; whole numbers stay numbers, which protobuf's own JSON makes strings of."""
    values = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    return {
        field.name: int(values[field.name]) if field.cpp_type == field.CPPTYPE_INT64 else values[field.name]
        for field in message.DESCRIPTOR.fields
        if field.name in values
    }


def _show(values: dict[str, Any], as_json: bool | None, title: str) -> None:
    console = Console()
    if as_json or (as_json is None and not console.is_terminal):
        console.file.write(json.dumps(values, indent=2) + "\n")
        return
    table = Table(title=title, show_header=False)
    for name, value in values.items():
        table.add_row(name, "\n".join(map(str, value)) if isinstance(value, list) else str(value))
    console.print(table)


@app.command()
def status(address: Address = ADDRESS_DEFAULT, as_json: AsJson = None) -> None:
    """Show positions, counts and settings of a running engine (AdminService.GetStatus)."""
    with _admin(address) as stub:
        response = stub.GetStatus(admin.GetStatusRequest(), timeout=CALL_SECONDS)
    _show(_as_dict(response), as_json, f"OnHand at {address}")


@app.command()
def verify(address: Address = ADDRESS_DEFAULT, as_json: AsJson = None) -> None:
    """Recount the ledger of a running engine (AdminService.VerifyLedger). Exit code 1 on a violation."""
    with _admin(address) as stub:
        response = stub.VerifyLedger(admin.VerifyLedgerRequest(), timeout=VERIFY_SECONDS)
    values = _as_dict(response)
    values["violations"] = [
        f"{found.invariant}: {found.subject}: expected {found.expected}, was {found.actual}"
        for found in response.violations
    ]
    _show({"verify": "ok" if response.ok else "violated", **values}, as_json, f"Ledger at {address}")
    if not response.ok:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def load(
    locations: Annotated[Path | None, typer.Option(help="CSV of locations.")] = None,
    skus: Annotated[Path | None, typer.Option(help="CSV of skus.")] = None,
    levels: Annotated[Path | None, typer.Option(help="CSV of stock levels.")] = None,
    address: Address = ADDRESS_DEFAULT,
    as_json: AsJson = None,
) -> None:
    """Load a catalog and its stock from CSV files; see docs/load.md for the columns. A wrong file changes nothing."""
    from engine.load import LoadError, load_files  # noqa: PLC0415 - the other commands start faster without it

    if not (locations or skus or levels):
        _complain("expected at least one of --locations, --skus, --levels")
        raise typer.Exit(EXIT_USAGE)
    try:
        report = uvloop.run(load_files(address, locations, skus, levels, Console(stderr=True)))
    except LoadError as error:
        _complain(str(error))
        raise typer.Exit(EXIT_FAILED) from error
    _show(asdict(report), as_json, f"Loaded into {address}")


@app.command()
def demo(
    address: Annotated[str, typer.Option(help="Engine to play against; empty starts one for the demo.")] = "",
    days: Annotated[int, typer.Option(min=1, max=365, help="Days of real baskets to play.")] = 365,
    seed: Annotated[int, typer.Option(help="Decides what each basket does.")] = 1,
    transport: Annotated[str, typer.Option(help="Transport of the engine that the demo starts.")] = "native",
    json_path: Annotated[Path, typer.Option("--json", help="Where the figures go.")] = Path("build/demo.json"),
) -> None:
    """Play a year of real baskets and a flash sale against the engine. Exit code 1 if a promise is broken."""
    from engine.demo.run import run_demo  # noqa: PLC0415 - the other commands start faster without it
    from engine.demo.settings import DemoSettings  # noqa: PLC0415 - the same

    console = Console()
    settings = DemoSettings(days=days, seed=seed)
    if address:
        raise typer.Exit(uvloop.run(run_demo(address, settings, json_path, console)))
    _warm_up(console)
    with tempfile.TemporaryDirectory(prefix="onhand-demo-") as folder:
        flags = ["--port", "0", "--data-folder", folder, "--transport", transport, "--log-level", "warning"]
        try:
            with EngineProcess(flags) as engine:
                code = uvloop.run(run_demo(engine.address, settings, json_path, console))
        except RuntimeError as error:
            _complain(str(error))
            raise typer.Exit(EXIT_FAILED) from error
    raise typer.Exit(code)
