"""Toys that extend OnHand: one addition of each kind, as the edits of the places that it takes (docs/extending.md).

A place is a file that has to be opened. What stands in it may be more than one piece of text; both are counted.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
NAMES = ("sku_field", "read", "movement", "verb", "resource", "operation", "document")
"""Of the toys, in the order of docs/extending.md: they can be applied one upon the other."""
DERIVED = (
    ["proto/generate.py"],
    ["proto/blocking_client.py"],
    ["-m", "tests.docs_tables"],
    ["-m", "tests.releases", "--format"],
)
"""What writes anew what follows, and is checked in or built: of the contract, the client, the docs, the format."""


class Edit(NamedTuple):
    """One piece of text that comes into a file."""

    path: str
    anchor: str
    """Stands there exactly once; empty: the file is new."""
    text: str
    side: str = "after"
    """Where the text comes: before, after, or instead of the anchor."""

    def applied(self, content: str) -> str:
        """The content of the file with the text in it."""
        found = content.count(self.anchor)
        assert found == 1, f"{self.path}: expected once, found {found} times: {self.anchor}"
        texts = {"before": self.text + self.anchor, "after": self.anchor + self.text, "instead": self.text}
        return content.replace(self.anchor, texts[self.side])


def new(path: str, text: str) -> Edit:
    """A new file."""
    return Edit(path, "", text.lstrip("\n"))


class Toy(NamedTuple):
    """One addition."""

    heading: str
    """Of its list in docs/extending.md."""
    edits: Sequence[Edit]
    test: str
    """What shows that it works, run in the copy: the text of a test file."""
    most: int | None = None
    """How many places it may take."""
    tests: Sequence[Edit] = ()
    """Edits of tests: what they tell whoever forgets something. Not places of the product."""

    @property
    def places(self) -> list[str]:
        """The files that it takes, in the order of its edits."""
        return list(dict.fromkeys(edit.path for edit in self.edits))


def toys(names: Sequence[str] = NAMES) -> dict[str, Toy]:
    """The toys by name."""
    return {name: import_module(f"extending.{name}").TOY for name in names}


def applied(edits: Sequence[Edit], folder: Path) -> None:
    """Bring edits into a tree."""
    for edit in edits:
        path = folder / edit.path
        if not edit.anchor:
            assert not path.exists(), edit.path
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(edit.text if not edit.anchor else edit.applied(path.read_text("utf-8")), "utf-8")


def copied(folder: Path) -> None:
    """Copy the tree: what git knows of, and what is new."""
    listed = subprocess.check_output(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, text=True)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def extended(folder: Path, names: Sequence[str] = NAMES) -> None:
    """Make a copy of the tree that has some toys, with all that follows from them."""
    copied(folder)
    for name, toy in toys(names).items():
        applied([*toy.edits, *toy.tests], folder)
        (folder / "tests" / f"test_toy_{name}.py").write_text(toy.test.lstrip("\n"))
    for command in DERIVED:
        done = run(folder, *command)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a copy, with the copy's packages, and with a place of its own for kernels."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder), str(folder / "proto")]),
        "NUMBA_CACHE_DIR": str(folder / ".kernels"),
    }
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)
