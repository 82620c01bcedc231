"""The command `onhand`."""

import functools
import inspect
import tempfile
import threading
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from rich.console import Console

from engine.config import ENVIRONMENT_PREFIX, EngineConfig, default_of, kind_of, load_config, topic_of
from engine.launch import SERVING_LINE, EngineProcess
from engine.operate import backup, commands
from engine.operate.fulfillment import fulfillment_app
from engine.operate.kernels import kernels_app
from engine.operate.sample import sample_of_settings
from engine.operate.terminal import (
    ADDRESS_DEFAULT,
    EXIT_BROKEN,
    EXIT_USAGE,
    Address,
    AsJson,
    checked_address,
    complain,
    fail,
    place_kernels,
    show,
    wants_json,
    warm_up_kernels,
)
from engine.operate.transfers import transfer_app

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="The engine's settings.", no_args_is_help=True)
app.add_typer(config_app, name="config")


def _tell_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"onhand {version('onhand')}")  # noqa: T201 - what was asked for
        raise typer.Exit


@app.callback()
def _start(
    show_version: Annotated[
        bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=_tell_version)
    ] = False,
) -> None:
    """OnHand: stock that can never be promised twice."""


ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="TOML file of settings.", envvar=f"{ENVIRONMENT_PREFIX}CONFIG", show_default="none"),
]


def main() -> None:
    """Run the command line."""
    app()


# ---- settings as flags -----------------------------------------------------------------------------------------------


def _flag_of(name: str, field: FieldInfo) -> inspect.Parameter:
    dashed = name.replace("_", "-")
    is_switch = field.annotation is bool
    option = typer.Option(
        f"--{dashed}/--no-{dashed}" if is_switch else f"--{dashed}",
        help=field.description,
        envvar=ENVIRONMENT_PREFIX + name.upper(),
        show_default=default_of(field) or ("embedded" if name == "journal" else "none"),
        rich_help_panel=topic_of(field).value,
        metavar=kind_of(field) or None,
    )
    annotation: Any = Annotated[bool | None, option] if is_switch else Annotated[str | None, option]
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
            complain(_told(problem))
        raise typer.Exit(EXIT_USAGE) from error
    except (OSError, ValueError) as error:
        raise fail(str(error), EXIT_USAGE) from error


def _told(problem: ErrorDetails) -> str:
    """Say what is wrong with a setting; the values of the journal and of unknown settings may be secrets."""
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"{name}: expected one of {', '.join(EngineConfig.model_fields)}"
    told = problem["msg"].removeprefix("Value error, ")
    if told.startswith(f"{name}: "):
        return told
    if name.startswith("journal") and name != "journal_timeout_seconds":
        return f"{name}: {told}"
    return f"{name}: {told}, was {problem['input']!r}"


# ---- serving ---------------------------------------------------------------------------------------------------------


@app.command()
@takes_settings
def serve(
    config: EngineConfig,
    *,
    sample: Annotated[bool, typer.Option("--sample", help="Fill an empty engine with a small shop to try.")] = False,
) -> None:
    """Run the engine until SIGTERM or Ctrl-C.

    Exit codes: 2, a setting is wrong; 75, try again; 78 or 65, a person must look at settings or journal first;
    70, it failed inside: start it again. docs/operating.md has the table.
    """
    from engine.logs import configure_logs  # noqa: PLC0415 - the other commands start faster without the engine
    from engine.operate.exit_codes import exit_code_of, told_of_end  # noqa: PLC0415 - the same
    from ledger.broken import LedgerBroken  # noqa: PLC0415 - the same
    from ledger.journal.embedded import refuse_folder_in_use  # noqa: PLC0415 - the same
    from ledger.journal.errors import JournalError  # noqa: PLC0415 - the same

    configure_logs(config.log_level, config.log_format)
    try:
        refuse_folder_in_use(config.data_folder)
        warm_up_kernels(Console(stderr=True))
        _serve(config, sample=sample)
    except (JournalError, OSError) as error:
        raise fail(told_of_end(error, config.data_folder), exit_code_of(error)) from error
    except LedgerBroken as error:
        told = f"This engine failed inside and ended; what was acknowledged is in the journal. {error}"
        raise fail(told, EXIT_BROKEN) from error


def _serve(config: EngineConfig, *, sample: bool) -> None:
    from engine.service import Service, stops_on_signals  # noqa: PLC0415 - loads numba

    service = Service(config)
    with stops_on_signals(service), service:
        service.run(_fill_and_tell if sample else _tell)


def _tell(address: str, role: str) -> None:
    print(f"{SERVING_LINE}{address} ({role})", flush=True)  # noqa: T201 - for who started us


def _fill_and_tell(address: str, role: str) -> None:
    """Fill the engine beside it, since it answers the calls that this takes."""
    from engine.load.sample import fill  # noqa: PLC0415 - the other commands start faster without it

    def run() -> None:
        complain(fill(address))
        _tell(address, role)

    threading.Thread(target=run, name="sample", daemon=True).start()


@config_app.command("show")
@takes_settings
def configshow(config: EngineConfig, as_json: AsJson = None) -> None:
    """Show the settings that `serve` would run with, and nothing secret."""
    from ledger.journal.connection import Address as JournalAddress  # noqa: PLC0415 - serves this command only

    values = config.model_dump(mode="json")
    if config.journal:
        values["journal"] = JournalAddress(config.journal).describe()
    show(values, as_json, "Settings")


@config_app.command("sample")
def config_sample() -> None:
    """Print a file of all settings with their descriptions and defaults, to be changed: onhand config sample > FILE."""
    print(sample_of_settings(), end="")  # noqa: T201 - to be kept


# ---- filling ---------------------------------------------------------------------------------------------------------


@app.command()
def load(  # noqa: PLR0917 - each is a flag
    locations: Annotated[Path | None, typer.Option(help="CSV of locations.")] = None,
    skus: Annotated[Path | None, typer.Option(help="CSV of skus.")] = None,
    levels: Annotated[Path | None, typer.Option(help="CSV of stock levels.")] = None,
    network: Annotated[Path | None, typer.Option(help="Folder of a routing network.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")] = False,
    example: Annotated[Path | None, typer.Option(help="Write a small complete set of files into this folder.")] = None,
    address: Address = ADDRESS_DEFAULT,
    as_json: AsJson = None,
) -> None:
    """Load a catalog, its stock and a routing network from files; see docs/load.md. A wrong file changes nothing."""
    from engine.load.command import load as load_files  # noqa: PLC0415 - the other commands start faster without it
    from engine.load.example import write_example  # noqa: PLC0415 - likewise
    from engine.load.plan import Paths  # noqa: PLC0415 - likewise
    from engine.load.problems import LoadError  # noqa: PLC0415 - likewise

    paths = Paths(locations, skus, levels, network)
    if example and any(paths):
        raise fail("expected --example alone: it writes files, and loads none", EXIT_USAGE)
    if not (example or any(paths)):
        raise fail("expected at least one of --locations, --skus, --levels, --network, or --example", EXIT_USAGE)
    try:
        if example:
            print(write_example(example))  # noqa: T201 - the command that loads it, to be copied
            return
        report = uvloop.run(load_files(address, paths, Console(stderr=True), dry_run=dry_run))
    except LoadError as error:
        raise fail(str(error)) from error
    for note in report.get("notes", ()):
        complain(note)
    if not wants_json(as_json):
        for difference in report.pop("differences", ()):
            print(difference["text"])  # noqa: T201 - in full width, as no table has it
    show(report, as_json, f"{'Would be loaded' if dry_run else 'Loaded'} into {address}")


@app.command()
def demo(  # noqa: PLR0917 - options of a command
    address: Annotated[str, typer.Option(help="Engine to play against; empty starts one for the demo.")] = "",
    days: Annotated[int, typer.Option(min=1, max=365, help="Days of real baskets to play.")] = 365,
    seed: Annotated[int, typer.Option(help="Decides what each basket does.")] = 1,
    transport: Annotated[str, typer.Option(help="Transport of the engine that the demo starts.")] = "native",
    json_path: Annotated[Path, typer.Option("--json", help="Where the figures go.")] = Path("build/demo.json"),
    map_path: Annotated[Path, typer.Option("--map", help="Where the map goes, PNG.")] = Path("build/demo-map.png"),
) -> None:
    """Play a year of real baskets and a flash sale against the engine, routed. Exit code 1 if a promise is broken."""
    place_kernels()
    from engine.demo.run import run_demo  # noqa: PLC0415 - the other commands start faster without it
    from engine.demo.settings import DemoSettings  # noqa: PLC0415 - the same

    console = Console()
    settings = DemoSettings(days=days, seed=seed)
    if address:
        raise typer.Exit(uvloop.run(run_demo(checked_address(address), settings, json_path, console, map_path)))
    warm_up_kernels(console)
    with tempfile.TemporaryDirectory(prefix="onhand-demo-") as folder:
        flags = ["--port", "0", "--data-folder", folder, "--transport", transport, "--log-level", "warning"]
        try:
            with EngineProcess(flags) as engine:
                code = uvloop.run(run_demo(engine.address, settings, json_path, console, map_path))
        except RuntimeError as error:
            raise fail(str(error)) from error
    raise typer.Exit(code)


# ---- operating -------------------------------------------------------------------------------------------------------

for _command in (
    commands.status,
    commands.call,
    commands.checkpoint,
    commands.verify,
    commands.history,
    commands.replay,
    commands.repair,
    backup.backup,
    backup.restore,
):
    app.command()(_command)
app.add_typer(commands.inspect_app, name="inspect")
app.add_typer(transfer_app, name="transfer")
app.add_typer(fulfillment_app, name="fulfillment")
app.add_typer(kernels_app, name="kernels")
