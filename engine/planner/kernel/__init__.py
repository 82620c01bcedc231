"""How the planning kernel is compiled: once, and cached for its own sources, routing's and the ledger's."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numba
import xxhash

from ledger.core.kernels.execute import execute_batch
from routing.kernel.decide import decide

_SOURCES = (*sorted(Path(__file__).parent.glob("*.py")), Path(__file__).parent.parent / "records.py")


def _cache_folder() -> str:
    digest = xxhash.xxh3_64()
    for source in _SOURCES:
        digest.update(source.read_bytes())
    for callee in (execute_batch, decide):  # their folders are named after their sources
        digest.update(callee.stats.cache_path.encode())
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return str(base / "onhand" / f"planner-{numba.__version__}-{digest.hexdigest()}")


_FOLDER: Final = os.environ.get("NUMBA_CACHE_DIR") or _cache_folder()
_njit: Any = numba.njit  # its stubs do not know _nrt


def entry(function: Callable[..., Any]) -> Any:
    """Compile what is called from Python, and cache it. Kernels allocate nothing: reference counts are off."""
    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = _FOLDER
    try:
        return _njit(cache=True, nogil=True, boundscheck=False, _nrt=False)(function)
    finally:
        config.CACHE_DIR = before


helper: Final[Any] = _njit(nogil=True, boundscheck=False, _nrt=False)
"""Compiled into the entries that call it; inlined where the compiler thinks best."""
inlined: Final[Any] = _njit(nogil=True, boundscheck=False, _nrt=False, inline="always")
"""Inlined by force: what takes tuples of many arrays, which a call would copy."""
