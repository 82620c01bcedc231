"""The planning kernel: compiled once, for its own sources, routing's and the ledger's; theirs it calls by address."""

from pathlib import Path
from typing import Any, Final

import numba
from onhand.routing.v1 import plan_pb2, routing_service_pb2

from ledger import linked
from ledger.compiled import Room
from ledger.core import kernels as ledger_kernels
from routing import kernel as routing_kernel

_PLANNER = Path(__file__).parent.parent
# How kernels call others; and the modules made of the contract, which tell the numbers of fields.
_SOURCES = (
    *sorted(Path(__file__).parent.glob("*.py")),
    *(_PLANNER / f"{name}.py" for name in ("fields", "records")),
    *(Path(str(each.__file__)) for each in (linked, plan_pb2, routing_service_pb2)),
)
ROOM: Final = Room("planner", _SOURCES, beside=(ledger_kernels.ROOM, routing_kernel.ROOM))

_njit: Any = numba.njit  # its stubs do not know _nrt
entry: Final[Any] = ROOM.entry
helper: Final[Any] = _njit(nogil=True, boundscheck=False, _nrt=False)
"""Compiled into the entries that call it; inlined where the compiler thinks best."""
inlined: Final[Any] = _njit(nogil=True, boundscheck=False, _nrt=False, inline="always")
"""Inlined by force: what takes tuples of many arrays, which a call would copy."""
