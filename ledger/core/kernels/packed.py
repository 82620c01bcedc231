"""Tuples of arrays as kernels take them: packed into one array of addresses, and opened again in compiled code.

A call from Python that passes a tuple of arrays takes each of them apart, used or not: with thirty of them that was
half of what a small group cost, and a second of compiling for each kernel. One packed array costs the same for any
number, and what a kernel does not use of it is not even read.
"""

from itertools import count
from typing import Any, Final

from llvmlite import ir
from numba import typeof
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from ledger.core.columns import PACKED_FIELDS
from ledger.core.state import Columns

_WORD: Final = ir.IntType(64)


def opener(sample: tuple[Any, ...]) -> Any:
    """Return a function for kernels that opens what `ledger.core.columns.pack` made of a tuple like the sample.

    The sample says what is not packed: dtypes and widths of the arrays, and the type of the tuple, which may hold more
    tuples. What a kernel gets is valid as long as the arrays that were packed stay where they are.
    """
    result = typeof(sample)

    @intrinsic
    def open_packed(_typing: Any, packed: Any) -> Any:
        def build(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            words = context.make_array(packed)(context, builder, arguments[0]).data
            return _opened(context, builder, words, result, sample, count())

        return result(packed), build

    return open_packed


def _opened(context: Any, builder: Any, words: Any, kind: Any, sample: Any, positions: Any) -> Any:
    """Build a tuple, or one of its arrays, of the words from the next position on."""
    if isinstance(sample, tuple):
        members = [
            _opened(context, builder, words, kind.types[place], member, positions)
            for place, member in enumerate(sample)
        ]
        return context.make_tuple(builder, kind, members)
    position = next(positions) * PACKED_FIELDS
    address, rows = (builder.load(builder.gep(words, [_WORD(position + field)])) for field in range(PACKED_FIELDS))
    array = context.make_array(kind)(context, builder)
    populate_array(
        array,
        data=builder.inttoptr(address, array.data.type),
        shape=cgutils.pack_array(builder, [rows, *map(_WORD, sample.shape[1:])]),
        strides=cgutils.pack_array(builder, [*map(_WORD, sample.strides)]),
        itemsize=_WORD(sample.itemsize),
        meminfo=None,
    )
    return array._getvalue()  # noqa: SLF001 - how numba's own functions return an array


state_of: Final = opener(Columns().state)
"""Open the State of a ledger."""
