"""Where compiled kernels are kept: asked before anything is imported that has some, which reads NUMBA_CACHE_DIR then.

`ledger/core/kernels/__init__.py` and `routing/kernel/__init__.py` name their folders; here is what happens where
nothing can be written.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

SETTING: Final = "NUMBA_CACHE_DIR"


def prepare_cache(tell: Callable[[str], None]) -> None:
    """See to it that kernels have a place: the usual one, or else one that this process takes away when it ends.

    Parameters
    ----------
    tell
        Hears once what cannot be written and what to do about it; engines that this process starts share its place.

    Raises
    ------
    OSError
        Not even a temporary file can be written.
    """
    problem = _problem()
    if not problem:
        return
    folder = tempfile.mkdtemp(prefix="onhand-kernels-")  # of this user alone: what lies there is run
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ[SETTING] = folder
    tell(
        f"kernels cannot be kept: {problem}. They are compiled anew at each start, some minutes; "
        f"set {SETTING} to a folder that this user can write"
    )


def _problem() -> str:
    """Say why nothing can be kept; empty if it can."""
    try:
        folder = _usual_folder()
    except RuntimeError:
        return "this user has no home folder"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return f"{folder} cannot be written ({error.strerror})"


def _usual_folder() -> Path:
    """Return the folder of the settings; raises RuntimeError where there is neither a setting nor a home."""
    if given := os.environ.get(SETTING):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "onhand"
