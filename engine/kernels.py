"""The kernels of an engine: where those of each room come from, a place for them before they load, a wheel's own.

`ledger/compiled.py` says in which order places are looked at. This is asked before anything is imported that has
kernels: they look for their place when they are defined.
"""

import atexit
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from engine.planner import kernel as planner
from ledger.compiled import PACKAGED, SETTING, Room, kept_folder, toolchain, why_not_kept
from ledger.core import kernels as ledger
from routing import kernel as routing

ROOMS: Final[Sequence[Room]] = (ledger.ROOM, routing.ROOM, planner.ROOM)
ABOUT: Final = "about.json"
"""What packaged kernels were made with: for whoever wonders why they are not used."""


class Source(NamedTuple):
    """Where the kernels of one room come from."""

    room: str
    origin: str
    """package, cache, or compile."""
    folder: str


def sources() -> list[Source]:
    """Return where the kernels of each room come from, as a process that starts now would find them."""
    return [_source_of(room) for room in ROOMS]


def _source_of(room: Room) -> Source:
    if room.is_packaged:
        return Source(room.name, "package", str(room.packaged))
    if problem := why_not_kept():
        return Source(room.name, "compile", f"not kept: {problem}")
    folder = kept_folder() / room.folder_name
    return Source(room.name, "cache" if folder.is_dir() else "compile", str(folder))


def why_not_packaged() -> list[str]:
    """Say why kernels that this installation brought are not used: what differs; empty if they are, or it has none."""
    about = PACKAGED / ABOUT
    if all(room.is_packaged for room in ROOMS) or not about.exists():
        return []
    theirs, ours = json.loads(about.read_text(encoding="utf-8")), toolchain()._asdict()
    differing = [f"{name}: made with {theirs.get(name)}, here is {ours[name]}" for name in ours if theirs.get(name) != ours[name]]
    return differing or ["the sources were changed after they were compiled"]


def prepare_cache(tell: Callable[[str], None]) -> None:
    """See to it that kernels have a place: the package, the usual one, or one that is gone when this process ends.

    Parameters
    ----------
    tell
        Hears once what cannot be written and what to do about it; engines that this process starts share its place.

    Raises
    ------
    OSError
        Not even a temporary file can be written.
    """
    if all(room.is_packaged for room in ROOMS):
        return
    problem = why_not_kept()
    if not problem:
        return
    folder = tempfile.mkdtemp(prefix="onhand-kernels-")  # of this user alone: what lies there is run
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ[SETTING] = folder
    tell(
        f"kernels cannot be kept: {problem}. They are compiled anew at each start, some minutes; "
        f"set {SETTING} to a folder that this user can write"
    )


def pack(folder: Path = PACKAGED) -> list[Path]:
    """Copy the kernels that this user keeps to where a wheel takes them from; what was there goes.

    Returns the folder of each room.

    Raises
    ------
    FileNotFoundError
        Those of a room are not compiled yet.
    """
    kept = [kept_folder() / room.folder_name for room in ROOMS]
    for each in kept:
        if not each.is_dir():
            raise FileNotFoundError(f"{each}: expected compiled kernels; `onhand kernels compile` makes them")
    shutil.rmtree(folder, ignore_errors=True)
    packed = [folder / each.name for each in kept]
    for origin, target in zip(kept, packed, strict=True):
        shutil.copytree(origin, target, ignore=shutil.ignore_patterns("*.tmp.*", "test_*"))
    about = json.dumps(toolchain()._asdict(), indent=2, sort_keys=True)
    (folder / ABOUT).write_text(about + "\n", encoding="utf-8")
    return packed
