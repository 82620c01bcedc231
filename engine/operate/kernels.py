"""`onhand kernels`: where the compiled kernels come from, and how they get there."""

import os
import subprocess
import sys
from typing import Annotated, Final

import typer
from rich.console import Console

from engine.operate.terminal import AsJson, complain, fail, place_kernels, show, show_rows, wants_json, warm_up_kernels

BESIDE_OTHERS: Final = "ONHAND_KERNELS_BESIDE_OTHERS"
"""Set for a process that packs those of a further level."""

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
def pack(
    levels: Annotated[
        list[str] | None,
        typer.Option("--level", help="Level of processors, such as x86-64-v2; several, or this machine's if left out."),
    ] = None,
) -> None:
    """Copy the compiled kernels into the package, where the build of a wheel takes them from."""
    if levels:
        _pack_each(levels)
        return
    warm_up_kernels(Console(stderr=True))
    from engine.kernels import pack as pack_kernels  # noqa: PLC0415 - loads numba

    try:
        for each in pack_kernels(beside_others=bool(os.environ.get(BESIDE_OTHERS))):
            typer.echo(str(each))
    except OSError as error:
        raise fail(str(error)) from error


def _pack_each(levels: list[str]) -> None:
    """Compile and pack for each level in a process of its own: numba compiles for one in a process."""
    for place, level in enumerate(levels):
        told = {"NUMBA_CPU_NAME": level, "NUMBA_CPU_FEATURES": "", BESIDE_OTHERS: "1" if place else ""}
        command = [sys.executable, "-m", "engine", "kernels", "pack"]
        code = subprocess.run(command, env={**os.environ, **told}, check=False).returncode  # noqa: S603 - our own
        if code:
            raise fail(f"{level}: the kernels were not packed", code)
