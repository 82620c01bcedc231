"""Kernels that call those of other rooms by address, instead of having them compiled into themselves.

What a kernel calls is linked into it as a rule, and optimized once more as a part of it: for a planning kernel, over
which the ledger and routing hang, that was most of its compiling, and it could only begin when theirs had ended. What
is called by address is compiled once, in its own room.

    run_commands = caller(0)                      in the module of the kernel that calls
    run_commands(addresses, (columns, output))    in the kernel; addresses is one of its arguments
    addresses_of((execute_batch, samples), ...)   in the program that calls the kernel
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import numpy as np
import xxhash
from llvmlite import ir
from numba import typeof, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

ADDRESS: Final = 0
FINGERPRINT: Final = 1
_FIELDS: Final = 2
_WORD: Final = ir.IntType(64)
_FINGERPRINT_BITS: Final = 63


def addresses_of(*kernels: tuple[Any, Sequence[Any]]) -> NDArray[np.int64]:
    """Return where kernels are, compiled or loaded for what they are called with.

    Parameters
    ----------
    kernels
        An entry of a room, and arguments of the types that it is called with.

    Returns
    -------
    addresses
        Shape (number of kernels, 2): valid in this process, as long as it runs.
    """
    rows = [_address_of(entry, tuple(typeof(sample) for sample in samples)) for entry, samples in kernels]
    return np.array(rows, np.int64)


@cache
def _address_of(entry: Any, arguments: tuple[Any, ...]) -> tuple[int, int]:
    entry.compile(arguments)
    compiled = entry.overloads[arguments]
    address = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
    return address, _fingerprint(compiled.signature.return_type, arguments)


def _fingerprint(returned: Any, arguments: Sequence[Any]) -> int:
    """Return a number for the types of a call: equal wherever they are."""
    text = repr((str(returned), *map(str, arguments)))
    return xxhash.xxh3_64_intdigest(text.encode()) >> (64 - _FINGERPRINT_BITS)


def caller(place: int, returned: Any = types.none) -> Any:
    """Return a function for kernels that calls the kernel at this place of the addresses with a tuple of arguments.

    It returns what numba calls `returned`. A call with other types than those that the kernel was compiled for raises
    AssertionError, and calls nothing.
    """

    @intrinsic
    def call_at(_typing: Any, addresses: Any, given: Any) -> Any:
        arguments = tuple(map(types.unliteral, given))
        fingerprint = _fingerprint(returned, arguments)

        def build(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
            words = context.make_array(addresses)(context, builder, values[0]).data
            address, found = (
                builder.load(builder.gep(words, [_WORD(place * _FIELDS + field)])) for field in (ADDRESS, FINGERPRINT)
            )
            with builder.if_then(builder.icmp_signed("!=", found, _WORD(fingerprint)), likely=False):
                context.call_conv.return_user_exc(builder, AssertionError, ("called with other types",))
            kind = context.call_conv.get_function_type(returned, arguments)
            kernel = builder.inttoptr(address, kind.as_pointer())
            status, result = context.call_conv.call_function(
                builder, kernel, returned, arguments, cgutils.unpack_tuple(builder, values[1])
            )
            with builder.if_then(status.is_error, likely=False):
                context.call_conv.return_status_propagate(builder, status)
            return result

        return returned(addresses, given), build

    return call_at
