"""`onhand kernels`: where the compiled kernels come from, and how they get there."""

import typer
from rich.console import Console

from engine.operate.terminal import AsJson, complain, fail, place_kernels, show, show_rows, wants_json, warm_up_kernels

kernels_app = typer.Typer(help="The compiled kernels: where they come from.", no_args_is_help=True)


@kernels_app.command()
def status(as_json: AsJson = None) -> None:
    """Say where each room's kernels come from: the package, this user's cache, or the compiler."""
    from engine.kernels import sources, why_not_packaged  # noqa: PLC0415 - loads numba
    from ledger.compiled import toolchain  # noqa: PLC0415 - the same

    rows, made_with = [each._asdict() for each in sources()], toolchain()._asdict()
    if wants_json(as_json):
        show({"rooms": rows, "toolchain": made_with}, as_json=True, title="")
        return
    show_rows(rows, as_json=False, title="Kernels")
    show(made_with, as_json=False, title="Made with")
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
def pack() -> None:
    """Copy the compiled kernels into the package, where the build of a wheel takes them from."""
    warm_up_kernels(Console(stderr=True))
    from engine.kernels import pack as pack_kernels  # noqa: PLC0415 - loads numba

    try:
        for each in pack_kernels():
            typer.echo(str(each))
    except OSError as error:
        raise fail(str(error)) from error
