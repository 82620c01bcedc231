"""`python -m engine.planner.warmup`: compiling routing's kernels and the planner's, which need no others for it.

The planner's are compiled for arguments like those that it gives them, and not called: that would take a ledger.
"""

from datetime import UTC, datetime
from typing import Final

import numpy as np
from numba import typeof

from engine.planner.kernel import ROOM
from engine.planner.kernel.levels import find_levels
from engine.planner.kernel.step import plan_orders
from engine.planner.records import LINE, ORDER, PART, REJECTED, Names, Orders, level_rows
from engine.planner.run import results_for, tray_for
from ledger.core.buffers import Hands
from routing import warmup as routing_warmup

PLACES: Final = 1


def is_compiled() -> bool:
    """Tell whether the cache holds the kernels of this installation."""
    return routing_warmup.is_compiled() and ROOM.holds(plan_orders)


def compile_planning() -> None:
    """Compile or load the planner's kernels."""
    router = routing_warmup.router()
    text = np.frombuffer(b"warm-up", np.uint8)
    columns, positions = np.zeros(0, np.int64), np.zeros(PLACES, np.int64)
    names = Names(positions, level_rows(PLACES), text, np.zeros(PLACES + 3, np.int64), network_version=1)
    orders = Orders(np.zeros(1, ORDER), np.zeros(1, PART), np.zeros(1, LINE), np.zeros(1, REJECTED), text)
    given = (
        np.zeros((1, 2), np.int64),
        router.problem_at(datetime.fromtimestamp(0, UTC)),
        names,
        orders,
        Hands(columns, columns, columns, 0, 0),
        tray_for(PLACES),
        router.scratch_for(1, 1),
        results_for(orders.orders, positions, positions, text.copy(), text.copy()),
    )
    plan_orders.compile(tuple(map(typeof, given)))
    find_levels.compile(tuple(map(typeof, (columns, names, positions, 0, 0))))


if __name__ == "__main__":
    routing_warmup.warm_up()
    compile_planning()
