"""The command `python -m bench`."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import grpc
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from typer.core import TyperGroup

from bench.load.command import load
from bench.page import write_page
from bench.registry import BENCHES, Bench
from bench.rows import BenchError, Row, Run, commit_of_tree, is_wrong, write_json
from bench.table import show_rows
from bench.tools import ToolMissingError

ALL: Final = "all"
PAIRS: Final = 5
EXIT_WRONG: Final = 1
EXIT_USAGE: Final = 2
WIDTH_IN_FILES: Final = 140


class NamesFirst(TyperGroup):
    """Takes the names of benchmarks where a command's name could stand."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Let `python -m bench unary hot` mean `python -m bench measure unary hot`."""
        return super().resolve_command(ctx, args if args[0] in self.commands else ["measure", *args])


app = typer.Typer(
    cls=NamesFirst,
    help="Measure the engine against its peers, or load it as customers would. "
    f"`python -m bench NAME [NAME …] --json FILE` measures; NAME is one of {', '.join(BENCHES)}, or {ALL}.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def measure(
    names: Annotated[list[str], typer.Argument(help=f"What to measure: {', '.join(BENCHES)}, or {ALL}.")],
    json_path: Annotated[Path | None, typer.Option("--json", help="Where the rows go.")] = None,
    page_path: Annotated[Path | None, typer.Option("--page", help="Where the results page goes.")] = None,
    pairs: Annotated[int, typer.Option(min=1, max=100, help="How often each side is measured, in turn.")] = PAIRS,
    quick: Annotated[
        bool, typer.Option("--quick", help="Tiny sizes: shows that everything works; the figures say nothing.")
    ] = False,
) -> None:
    """Measure ours and the references in turn, check every total, and show the table.

    Exit code 1 if a total is wrong, or a benchmark could not be run to its end. A target that is missed, or a tool that
    is not installed, is shown in the table and leaves the exit code 0: a figure is no fault.
    """
    console = Console(stderr=True)
    chosen = list(BENCHES) if ALL in names else names
    unknown = [name for name in chosen if name not in BENCHES]
    if unknown:
        console.print(f"expected names of {', '.join(BENCHES)}, or {ALL}, was {', '.join(unknown)}", style="red")
        raise typer.Exit(EXIT_USAGE)
    commit = commit_of_tree()
    rows: list[Row] = []
    with _progress(console, len(chosen)) as begin:
        for name in chosen:
            run = Run(bench=name, pairs=pairs, is_quick=quick, commit=commit, report=begin(name))
            rows += measure_one(BENCHES[name], run)
    if json_path:
        write_json(rows, json_path)
    if page_path:
        write_page(rows, page_path)
    show_rows(rows, Console() if sys.stdout.isatty() else Console(width=WIDTH_IN_FILES))
    if any(map(is_wrong, rows)):
        raise typer.Exit(EXIT_WRONG)


def measure_one(bench: Bench, run: Run) -> list[Row]:
    """Return a row for each question of a benchmark; those that it could not answer say why."""
    rows: list[Row] = []
    reason = {"problem": "no row was made"}
    try:
        rows += bench.measure(run)
    except ToolMissingError as error:
        reason = {"missing": str(error)}
    except (BenchError, RuntimeError, OSError, TimeoutError) as error:
        reason = {"problem": f"{type(error).__name__}: {error}"}
    except grpc.RpcError as error:
        reason = {"problem": f"{error.code().name}: {error.details()}"}
    answered = {row.name for row in rows}
    return rows + [run.unmeasured(question, **reason) for question in bench.QUESTIONS if question.name not in answered]


Begin = Callable[[str], Callable[[str], None]]
"""Takes the name of a benchmark that begins, and returns what hears how it goes on."""


@contextmanager
def _progress(console: Console, count: int) -> Iterator[Begin]:
    """Show how far the run is; drawn when something is told, so that nothing runs beside a measurement."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, auto_refresh=False) as bars:
        task = bars.add_task("", total=count)
        done = -1

        def begin(name: str) -> Callable[[str], None]:
            nonlocal done
            done += 1
            bars.update(task, completed=done, description=name, refresh=True)
            return lambda step: bars.update(task, description=f"{name}: {step}", refresh=True)

        yield begin
        bars.update(task, completed=count, description="done", refresh=True)


app.command("load")(load)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
