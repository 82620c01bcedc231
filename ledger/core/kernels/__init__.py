"""The kernels: free functions over columns, compiled once; `ledger/compiled.py` says where the code is kept."""

from pathlib import Path
from typing import Any, Final

import numba

from ledger.compiled import Room

_CORE = Path(__file__).parent.parent
_SOURCES = (
    *sorted(Path(__file__).parent.glob("*.py")),
    *(
        _CORE / f"{name}.py"
        for name in ("columns", "documents", "ids", "limits", "movements", "operations", "records", "state", "statuses")
    ),
)
ROOM: Final = Room("ledger", _SOURCES)

# An entry is called from Python and cached; a helper is compiled into the entries that call it. Kernels allocate
# nothing, so numba's reference counts are off: counting every view of a column took more than half of the time. Helpers
# are inlined by force: a state of 30 arrays is passed by value, and copying it for calls took five times the work. They
# have no doors for callers from Python or C: making those, which take such states apart, took a third of the compiling.
# What is large and rarely run stays apart, so that what is often run stays small.
entry: Final[Any] = ROOM.entry
_njit: Any = numba.njit  # its stubs do not know _nrt
_INSIDE: Final = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
helper: Final[Any] = _njit(nogil=True, boundscheck=False, _nrt=False, forceinline=True, **_INSIDE)
apart: Final[Any] = _njit(nogil=True, boundscheck=False, _nrt=False, **_INSIDE)
