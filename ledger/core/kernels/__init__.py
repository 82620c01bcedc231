"""The kernels: free functions over columns, compiled once and cached.

The compiled code is kept in a folder named after the digest of these sources: a kernel that calls a changed one is
compiled again, and an installation that cannot be written to is no trouble. NUMBA_CACHE_DIR, if set, is obeyed, also
when it was set after numba was imported.
"""

import os
from pathlib import Path
from typing import Any, Final

import numba
import xxhash

_CORE = Path(__file__).parent.parent
_SOURCES = (
    *sorted(Path(__file__).parent.glob("*.py")),
    *(
        _CORE / f"{name}.py"
        for name in ("columns", "documents", "ids", "limits", "movements", "operations", "records", "state", "statuses")
    ),
)


def _cache_folder() -> str:
    digest = xxhash.xxh3_64()
    for source in _SOURCES:
        digest.update(source.read_bytes())
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return str(base / "onhand" / f"kernels-{numba.__version__}-{digest.hexdigest()}")


_config: Any = numba.config
if not _config.CACHE_DIR:
    _config.CACHE_DIR = os.environ.get("NUMBA_CACHE_DIR") or _cache_folder()

# An entry is called from Python and cached; a helper is compiled into the entries that call it. Kernels allocate
# nothing, so numba's reference counts are off: counting every view of a column took more than half of the time. Helpers
# are inlined by force: a state of 30 arrays is passed by value, and copying it for calls took five times the work. They
# have no doors for callers from Python or C: making those, which take such states apart, took a third of the compiling.
# What is large and rarely run stays apart, so that what is often run stays small.
_njit: Any = numba.njit  # its stubs do not know _nrt
entry: Final[Any] = _njit(cache=True, nogil=True, boundscheck=False, _nrt=False)
_INSIDE: Final = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
helper: Final[Any] = _njit(nogil=True, boundscheck=False, _nrt=False, forceinline=True, **_INSIDE)
apart: Final[Any] = _njit(nogil=True, boundscheck=False, _nrt=False, **_INSIDE)
