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
    differing = [
        f"{name}: made with {theirs.get(name)}, here is {ours[name]}" for name in ours if theirs.get(name) != ours[name]
    ]
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
        f"kernels cannot be kept: {problem}. They are compiled anew at each start, about a minute; "
        f"set {SETTING} to a folder that this user can write"
    )


def pack(*, beside_others: bool = False) -> list[Path]:
    """Copy the kernels that are in use to where a wheel takes them from.

    Parameters
    ----------
    beside_others
        Whether others that are there stay: those of another level of processors.

    Returns
    -------
    folders
        One for each room.

    Raises
    ------
    FileNotFoundError
        Those of a room are not compiled yet.
    """
    PACKAGED.mkdir(exist_ok=True)
    packed = {room.packaged for room in ROOMS}
    for old in () if beside_others else set(PACKAGED.iterdir()) - packed:
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    for room in ROOMS:
        if not room.is_packaged:
            _copy(kept_folder() / room.folder_name, room.packaged)
    if not beside_others:
        about = json.dumps(toolchain()._asdict(), indent=2, sort_keys=True)
        (PACKAGED / ABOUT).write_text(about + "\n", encoding="utf-8")
    return sorted(packed)


def _copy(kept: Path, packaged: Path) -> None:
    """Copy the kernels of a room, those of tests left out."""
    if not kept.is_dir():
        raise FileNotFoundError(f"{kept}: expected compiled kernels; `onhand kernels compile` makes them")
    shutil.copytree(kept, packaged, ignore=shutil.ignore_patterns("*.tmp.*", "test_*"))
