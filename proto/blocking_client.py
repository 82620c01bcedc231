"""Generates the methods of the blocking client from those of the asynchronous one.

`python proto/blocking_client.py` does it after a change of `onhand/client/async_*.py`. What comes out is checked in, so
that whoever installs or reads the client needs no tool; tests/client says when it is out of date.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import unasync

CLIENT = Path(__file__).parent / "onhand" / "client"
PARTS = ("base", "catalog", "calls")
HEADER = "# Generated from async_{}.py by `python proto/blocking_client.py`: change that one.\n\n"
NAMES = {
    **{f"Async{part.title()}": f"Blocking{part.title()}" for part in PARTS},
    **{f"async_{part}": f"blocking_{part}" for part in PARTS},
}
# Of a blocking method the result itself comes back.
RETURNED = ("Coroutine[Any, Any, Result]", "Awaitable[Result]")
TIDIED = ("F401", "I", "UP028")  # imports that are left over or stand elsewhere, loops that are a `yield from`


def path_of(part: str) -> Path:
    """Return where a part of the blocking client is."""
    return CLIENT / f"blocking_{part}.py"


def generated(part: str) -> str:
    """Return what a generated file is to be."""
    source = (CLIENT / f"async_{part}.py").read_text()
    for awaited in RETURNED:
        source = source.replace(awaited, "Result")
    with TemporaryDirectory() as folder:
        made, path = (Path(folder) / side / path_of(part).name for side in ("aio", "blocking"))
        made.parent.mkdir()
        made.write_text(HEADER.format(part) + source)
        unasync.unasync_files([str(made)], [unasync.Rule("/aio/", "/blocking/", NAMES)])
        text = path.read_text()
    fixes = ("check", "--fix-only", "--unsafe-fixes", "--quiet", "--select", ",".join(TIDIED))
    return _ruff(_ruff(text, path_of(part), *fixes), path_of(part), "format", "--quiet")


def _ruff(text: str, path: Path, *command: str) -> str:
    """Return a text as ruff makes it, by the rules for a generated file."""
    ruff = Path(sys.executable).with_name("ruff")
    arguments = [ruff, *command, "--stdin-filename", path, "-"]
    return subprocess.check_output(arguments, input=text, text=True)  # noqa: S603 - our own tool


if __name__ == "__main__":
    for each in PARTS:
        path_of(each).write_text(generated(each))
