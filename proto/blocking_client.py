"""Generates the methods of the blocking client from those of the asynchronous one.

`python proto/blocking_client.py` does it after a change of `onhand/client/async_calls.py`. What comes out is checked
in, so that whoever installs or reads the client needs no tool; tests/client says when it is out of date.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import unasync

CLIENT = Path(__file__).parent / "onhand" / "client"
SOURCE = CLIENT / "async_calls.py"
GENERATED = CLIENT / "blocking_calls.py"
HEADER = "# Generated from async_calls.py by `python proto/blocking_client.py`: change that one.\n\n"
NAMES = {"AsyncCalls": "BlockingCalls"}
# Of a blocking method the result itself comes back.
RETURNED = ("Coroutine[Any, Any, Result]", "Awaitable[Result]")
TIDIED = ("F401", "I", "UP028")  # imports that are left over or stand elsewhere, loops that are a `yield from`


def generated() -> str:
    """Return what the generated file is to be."""
    source = SOURCE.read_text()
    for awaited in RETURNED:
        source = source.replace(awaited, "Result")
    with TemporaryDirectory() as folder:
        made, path = (Path(folder) / side / GENERATED.name for side in ("aio", "blocking"))
        made.parent.mkdir()
        made.write_text(HEADER + source)
        unasync.unasync_files([str(made)], [unasync.Rule("/aio/", "/blocking/", NAMES)])
        text = path.read_text()
    tidied = _ruff(text, "check", "--fix-only", "--unsafe-fixes", "--quiet", "--select", ",".join(TIDIED))
    return _ruff(tidied, "format", "--quiet")


def _ruff(text: str, *command: str) -> str:
    """Return a text as ruff makes it, by the rules for the generated file."""
    ruff = Path(sys.executable).with_name("ruff")
    arguments = [ruff, *command, "--stdin-filename", GENERATED, "-"]
    return subprocess.check_output(arguments, input=text, text=True)  # noqa: S603 - our own tool


if __name__ == "__main__":
    GENERATED.write_text(generated())
