"""The kernel: one order decided over arrays, compiled once and cached.

The compiled code is kept in a folder named after the digest of these sources and of what they are made with, as the
ledger's kernels are: a kernel that calls a changed one is compiled again. NUMBA_CACHE_DIR, if set, is obeyed.
Numba reads its one cache setting when a function is decorated, so it is set for that moment only, and put back.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numba
import xxhash

_ROUTING = Path(__file__).parent.parent
_SOURCES = (
    *sorted(Path(__file__).parent.glob("*.py")),
    *(_ROUTING / f"{name}.py" for name in ("arrays", "limits", "rules")),
)


def _cache_folder() -> str:
    digest = xxhash.xxh3_64()
    for source in _SOURCES:
        digest.update(source.read_bytes())
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return str(base / "onhand" / f"routing-{numba.__version__}-{digest.hexdigest()}")


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


# Helpers are compiled into the entries that call them. What every order needs is inlined by force: tuples of arrays are
# passed by value, and a call would copy them. What few orders need stays a call: inlined, it tripled the compile time.
# Neither has doors for callers from Python or C: making those, which take such tuples apart, took two fifths of it.
_INSIDE: Final = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
helper: Final[Any] = _njit(nogil=True, boundscheck=False, _nrt=False, forceinline=True, **_INSIDE)
rare: Final[Any] = _njit(nogil=True, boundscheck=False, _nrt=False, **_INSIDE)
