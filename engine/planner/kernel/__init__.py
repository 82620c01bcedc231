"""How the planning kernel is compiled: once, and cached for its own sources, routing's and the ledger's."""

from pathlib import Path
from typing import Any, Final

import numba
from onhand.routing.v1 import plan_pb2, routing_service_pb2

from ledger.core.kernels.execute import execute_batch
from routing.kernel import entry_kept_in
from routing.kernel.decide import decide

_PLANNER = Path(__file__).parent.parent
# The modules made of the contract tell the numbers of fields.
_SOURCES = (
    *sorted(Path(__file__).parent.glob("*.py")),
    *(_PLANNER / f"{name}.py" for name in ("fields", "records")),
    *(Path(str(each.__file__)) for each in (plan_pb2, routing_service_pb2)),
)
_njit: Any = numba.njit  # its stubs do not know _nrt

entry: Final[Any] = entry_kept_in("planner", _SOURCES, callees=(execute_batch, decide))
helper: Final[Any] = _njit(nogil=True, boundscheck=False, _nrt=False)
"""Compiled into the entries that call it; inlined where the compiler thinks best."""
inlined: Final[Any] = _njit(nogil=True, boundscheck=False, _nrt=False, inline="always")
"""Inlined by force: what takes tuples of many arrays, which a call would copy."""
