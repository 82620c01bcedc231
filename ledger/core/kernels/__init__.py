"""The kernels: free functions over columns, compiled once; `ledger/compiled.py` says where the code is kept."""

from pathlib import Path
from typing import Any, Final

from ledger.compiled import Room
from ledger.compiling import part

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
# are inlined by force: a state of 30 arrays is passed by value, and copying it for calls took five times the work.
# What is large and rarely run stays apart, so that what is often run stays small.
entry: Final[Any] = ROOM.entry
helper: Final[Any] = part(forceinline=True)
apart: Final[Any] = part()
