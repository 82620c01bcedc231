"""`python -m bench load`: shapes, the curve, overload, and the generator alone."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import grpc
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench.load import report, runs
from bench.load.open_loop import SECONDS_MAX, NotALoadError
from bench.load.report import Curve, Limits, Result
from bench.load.shop import SHAPES
from engine.launch import EngineProcess

RATE: Final = 2_000.0
SECONDS: Final = 30.0
STEP_SECONDS: Final = 5.0
ERROR_RATE_MAX: Final = 0.001
P99_MS_MAX: Final = 250.0
PICTURE: Final = Path("build/load-curve.png")
EXIT_MISSED: Final = 1
EXIT_USAGE: Final = 2


def load(
    *,
    shape: Annotated[str, typer.Option(help=f"Who comes, and when: {', '.join(SHAPES)}.")] = "flash_sale",
    rate: Annotated[float, typer.Option(help="Arrivals per second at the shape's height.", min=0.1)] = RATE,
    seconds: Annotated[
        float | None,
        typer.Option(
            help=f"Length of the run [default: {SECONDS:g}], or of each step of the other runs [{STEP_SECONDS:g}].",
            min=0.1,
            max=SECONDS_MAX,
        ),
    ] = None,
    curve: Annotated[bool, typer.Option("--curve", help="Draw latency against load up to twice the peak.")] = False,
    overload: Annotated[bool, typer.Option("--overload", help="Offer twice the peak, and judge.")] = False,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Load a server that does nothing: what the generator itself can do.")
    ] = False,
    address: Annotated[
        str, typer.Option(help="host:port of an engine for tests; empty starts one of its own on this machine.")
    ] = "",
    seed: Annotated[int, typer.Option(help="Decides who comes when, and what they do.", min=0)] = 1,
    error_rate_max: Annotated[
        float, typer.Option(help="Largest part of calls that the engine may fail to decide.", min=0, max=1)
    ] = ERROR_RATE_MAX,
    p99_ms_max: Annotated[float, typer.Option(help="Largest p99, milliseconds.", min=0)] = P99_MS_MAX,
    json: Annotated[Path | None, typer.Option(help="Also write the result to this file.")] = None,
    picture: Annotated[Path, typer.Option(help="Where the curve is drawn.")] = PICTURE,
) -> None:
    """Load an engine in an open loop and check it. Exit code 1: a threshold was missed; 2: wrong options."""
    if shape not in SHAPES:
        raise _usage(f"--shape: expected {', '.join(SHAPES)}, was {shape}.")
    if curve + overload + calibrate > 1:
        raise _usage("expected one of --curve, --overload and --calibrate.")
    step_seconds = seconds or STEP_SECONDS
    with _errors_as_exits(address), _bar(Console(stderr=True)) as progress:
        if calibrate:
            result: Result = runs.run_calibration(step_seconds, progress, seed=seed)
        else:
            with _engine(address, apart=overload) as at:
                if curve:
                    result = runs.run_curve(at, step_seconds, progress, seed=seed)
                elif overload:
                    result = runs.run_overload(at, step_seconds, progress, seed=seed)
                else:
                    limits = Limits(error_rate_max=error_rate_max, p99_ms_max=p99_ms_max)
                    plan = runs.Plan(SHAPES[shape], rate, seconds or SECONDS, seed)
                    result = runs.run_shape(at, plan, limits, progress)
    if json:
        report.write_json(result, json)
    console = Console()
    if isinstance(result, Curve):
        from bench.load.picture import draw  # noqa: PLC0415 - who draws nothing need not wait for matplotlib

        draw(result, picture)
        console.print(f"The curve is in {picture}.", highlight=False)
    report.show(result, console)
    if not result.is_kept:
        raise typer.Exit(EXIT_MISSED)


def _usage(message: str) -> typer.Exit:
    """Say what is wrong with the options; returns what ends the command."""
    typer.echo(message, err=True)
    return typer.Exit(EXIT_USAGE)


@contextmanager
def _errors_as_exits(address: str) -> Iterator[None]:
    """End the command with a sentence where there is no engine, or a number is out of bounds."""
    try:
        yield
    except NotALoadError as error:
        raise _usage(str(error)) from error
    except (OSError, RuntimeError, grpc.RpcError) as error:
        typer.echo(f"No engine could be loaded{address and f' at {address}'}: {_words(error)}", err=True)
        raise typer.Exit(EXIT_MISSED) from error


@contextmanager
def _engine(address: str, *, apart: bool) -> Iterator[str]:
    """Yield the address given, or that of an engine that lives as long as the block.

    Apart, the engine and its journal server get one half of the cores and the generator the other: what is offered
    beyond the peak would else take the engine's own time, and goodput would fall for that reason alone.
    """
    if address:
        yield address
        return
    with tempfile.TemporaryDirectory(prefix="onhand-load-") as folder, contextlib.ExitStack() as cleanup:
        engine = EngineProcess(["--port", "0", "--data-folder", f"{folder}/data"], log_file=Path(folder) / "engine.log")
        cores = sorted(os.sched_getaffinity(0)) if apart and hasattr(os, "sched_setaffinity") else []
        half = len(cores) // 2
        if half:
            cleanup.callback(os.sched_setaffinity, 0, cores)
            os.sched_setaffinity(0, cores[:half])  # children inherit it
        cleanup.enter_context(engine)
        if half:
            os.sched_setaffinity(0, cores[half:])
        yield engine.address


@contextmanager
def _bar(console: Console) -> Iterator[runs.Progress]:
    """Show what runs; drawn by whoever tells, about once a second, so that no second thread disturbs the generator."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, auto_refresh=False, disable=not console.is_terminal) as bars:
        task = bars.add_task("")

        def tell(description: str, done_seconds: float, seconds: float) -> None:
            bars.update(task, description=description, completed=done_seconds, total=seconds, refresh=True)

        yield tell


def _words(error: Exception) -> str:
    return f"{error.code().name}: {error.details()}" if isinstance(error, grpc.Call) else str(error)
