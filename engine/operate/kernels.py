"""`onhand kernels`: where the compiled kernels come from, and how they get there."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from engine.operate.terminal import AsJson, complain, fail, place_kernels, show, show_rows, warm_up_kernels, wants_json

kernels_app = typer.Typer(help="The compiled kernels: where they come from.", no_args_is_help=True)


@kernels_app.command()
def status(as_json: AsJson = None) -> None:
    """Say where each room's kernels come from: the package, this user's cache, or the compiler; and for what they are."""
    from engine.kernels import sources, why_not_packaged  # noqa: PLC0415 - loads numba
    from ledger.compiled import toolchain  # noqa: PLC0415 - the same

    found, made_with = sources(), toolchain()
    if wants_json(as_json):
        show({"rooms": [each._asdict() for each in found], "toolchain": made_with._asdict()}, as_json=True)
        return
    show_rows("Kernels", [each._asdict() for each in found], as_json=False)
    show({**made_with._asdict(), **made_with.settings}, as_json=False)
    for reason in why_not_packaged():
        complain(f"the package's own kernels are not used: {reason}")


@kernels_app.command(name="compile")
def compile_() -> None:
    """Compile the kernels now, so that no start has to: once for each version of the engine and of numba."""
    warm_up_kernels(Console(stderr=True))


@kernels_app.command()
def path() -> None:
    """Print the folders of the kernels, one a line."""
    place_kernels()
    from engine.kernels import sources  # noqa: PLC0415 - loads numba

    for each in sources():
        typer.echo(each.folder)


@kernels_app.command()
def pack(folder: Annotated[Path | None, typer.Argument(help="Where to; the package itself if left out.")] = None) -> None:
    """Copy the compiled kernels into the package, where the build of a wheel takes them from."""
    warm_up_kernels(Console(stderr=True))
    from engine.kernels import PACKAGED, pack  # noqa: PLC0415 - loads numba

    try:
        for each in pack(folder or PACKAGED):
            typer.echo(str(each))
    except OSError as error:
        raise fail(str(error)) from error
