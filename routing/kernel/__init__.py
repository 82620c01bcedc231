"""The kernel: one order decided over arrays, compiled once; `ledger/compiled.py` says where the code is kept."""

from pathlib import Path
from typing import Any, Final

from ledger.compiled import Room
from ledger.compiling import part

_ROUTING = Path(__file__).parent.parent
_SOURCES = (
    *sorted(Path(__file__).parent.glob("*.py")),
    *(_ROUTING / f"{name}.py" for name in ("arrays", "limits", "rules")),
)
ROOM: Final = Room("routing", _SOURCES)

entry: Final[Any] = ROOM.entry
# Helpers are compiled into the entries that call them. What every order needs is inlined by force: tuples of arrays are
# passed by value, and a call would copy them. What few orders need stays a call: inlined, it tripled the compile time.
helper: Final[Any] = part(forceinline=True)
rare: Final[Any] = part()
