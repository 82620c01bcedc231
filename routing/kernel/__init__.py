"""The kernel: one order decided over arrays, compiled once; `ledger/compiled.py` says where the code is kept."""

from pathlib import Path
from typing import Any, Final

import numba

from ledger.compiled import Room

_ROUTING = Path(__file__).parent.parent
_SOURCES = (
    *sorted(Path(__file__).parent.glob("*.py")),
    *(_ROUTING / f"{name}.py" for name in ("arrays", "limits", "rules")),
)
ROOM: Final = Room("routing", _SOURCES)

entry: Final[Any] = ROOM.entry
# Helpers are compiled into the entries that call them. What every order needs is inlined by force: tuples of arrays are
# passed by value, and a call would copy them. What few orders need stays a call: inlined, it tripled the compile time.
# Neither has doors for callers from Python or C: making those, which take such tuples apart, took a third of it.
_njit: Any = numba.njit  # its stubs do not know _nrt
_INSIDE: Final = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
helper: Final[Any] = _njit(nogil=True, boundscheck=False, _nrt=False, forceinline=True, **_INSIDE)
rare: Final[Any] = _njit(nogil=True, boundscheck=False, _nrt=False, **_INSIDE)
