"""Functions that are compiled into kernels, and nothing by themselves."""

import numba
import numpy as np
import pytest

from ledger.compiled import Room
from ledger.compiling import compile_whole, part


@part(forceinline=True)
def twice(value):
    return 2 * value


@part()
def add_twice(array, value):
    for place in range(array.shape[0]):
        array[place] += twice(value)


def test_a_kernel_has_its_parts():
    kernel = compile_whole(lambda array, value: add_twice(array, value))  # noqa: PLW0108 - the kernel calls it
    array = np.arange(3)
    kernel(array, 4)
    assert array.tolist() == [8, 9, 10]
    (made,) = add_twice.overloads.values()
    assert made.library.get_pointer_to_function(made.fndesc.llvm_func_name) == 0


def test_what_else_is_compiled_meanwhile_is_whole():
    other = numba.njit(lambda value: value + 1)
    kernel = compile_whole(lambda value: twice(other(value)))
    assert kernel(3) == 8
    assert other(3) == 4


def test_an_entry_is_no_part():
    entry = Room("room", []).entry(lambda value: value + 1)

    @part()
    def calls_it(value):
        return entry(value)

    with pytest.raises(AssertionError, match="is an entry, and a part calls it"):
        compile_whole(lambda value: calls_it(value))(1)  # noqa: PLW0108 - as above
