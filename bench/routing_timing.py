"""Timing single decisions inside compiled code: calling the kernel from Python costs more than deciding."""

import ctypes
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numba
import numpy as np

from routing.arrays import (
    COST,
    EVALUATIONS,
    IS_PROVED,
    SHIPMENT_COUNT,
    Floats,
    Int32s,
    Int64s,
    OrderArrays,
    Problem,
    Scratch,
    Stock,
)
from routing.kernel.decide import decide

NANOSECONDS: Final = 1_000_000_000

_libc = ctypes.CDLL(None)
_clock_gettime = _libc.clock_gettime
_clock_gettime.argtypes = [ctypes.c_int, ctypes.c_void_p]
_clock_gettime.restype = ctypes.c_int
_MONOTONIC: Final = time.CLOCK_MONOTONIC


class Stream(NamedTuple):
    """Orders of one part each, end to end."""

    first_line: Int64s
    """Shape (orders + 1,)."""
    row: Int64s
    units: Int64s
    weight: Int64s
    restrictions: Int64s
    unfilled_cost: Int64s
    part: Int32s
    method: Int32s
    """Shape (orders,); as the rest below."""
    destination: Floats
    """Shape (orders, 3)."""
    store: Int32s
    promise_day: Int32s
    rejected: Int64s
    """Shape (0, 2)."""
    shipments_max: int


class Timings(NamedTuple):
    """What came of a stream, by order."""

    nanoseconds: Int64s
    cost: Int64s
    shipments: Int64s
    unfilled: Int64s
    """Units."""
    evaluations: Int64s
    is_proved: Int64s


def stream_of(orders: Sequence[OrderArrays]) -> Stream:
    """Return orders end to end; each must have one part, no channel and no rejections."""
    assert all(len(order.method) == 1 and len(order.rejected) == 0 for order in orders)

    def joined(field: str) -> Any:
        return np.concatenate([getattr(order, field) for order in orders])

    lines = joined("row")
    return Stream(
        first_line=np.concatenate([[0], np.cumsum([len(order.row) for order in orders])]).astype(np.int64),
        row=lines,
        **{name: joined(name) for name in ("units", "weight", "restrictions", "unfilled_cost", "part")},
        **{name: joined(name) for name in ("method", "destination", "store", "promise_day")},
        rejected=np.zeros((0, 2), np.int64),
        shipments_max=orders[0].shipments_max,
    )


def run_stream(problem: Problem, stock: Stock, stream: Stream, strategy: int, scratch: Scratch) -> Timings:
    """Decide orders in turn; each takes its units from the stock, which is changed."""
    timings = Timings(*np.zeros((len(Timings._fields), len(stream.method)), np.int64))
    run: Any = _run  # its stubs do not know njit without arguments
    run(problem, stock, stream, strategy, scratch, timings, np.zeros(2, np.int64))
    return timings


@numba.njit
def _run(  # noqa: PLR0917 - numba calls by position
    problem: Problem,
    stock: Stock,
    stream: Stream,
    strategy: int,
    scratch: Scratch,
    timings: Timings,
    clock: Int64s,
) -> None:
    locations = problem.is_active.shape[0]
    for index in range(stream.method.shape[0]):
        start, end = stream.first_line[index], stream.first_line[index + 1]
        order = OrderArrays(
            stream.row[start:end],
            stream.units[start:end],
            stream.weight[start:end],
            stream.restrictions[start:end],
            stream.unfilled_cost[start:end],
            stream.part[start:end],
            stream.method[index : index + 1],
            stream.destination[index : index + 1],
            stream.store[index : index + 1],
            stream.promise_day[index : index + 1],
            -1,
            stream.rejected,
            stream.shipments_max,
            False,  # noqa: FBT003 - numba calls by position
            False,  # noqa: FBT003 - likewise
        )
        _clock_gettime(_MONOTONIC, clock.ctypes.data)
        began = clock[0] * NANOSECONDS + clock[1]
        decide(problem, stock, order, strategy, scratch)
        _clock_gettime(_MONOTONIC, clock.ctypes.data)
        timings.nanoseconds[index] = clock[0] * NANOSECONDS + clock[1] - began
        facts = scratch.choice.facts
        timings.cost[index] = facts[COST]
        timings.shipments[index] = facts[SHIPMENT_COUNT]
        timings.evaluations[index] = facts[EVALUATIONS]
        timings.is_proved[index] = facts[IS_PROVED]
        for line in range(end - start):
            timings.unfilled[index] += order.units[line]
            for member in range(facts[SHIPMENT_COUNT]):
                units = scratch.choice.units[line, member]
                timings.unfilled[index] -= units
                stock.available[order.row[line], scratch.choice.candidates[member] % locations] -= units
