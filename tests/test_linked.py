"""Kernels that call others by address: the same answers, the same failures, and never with other types."""

from typing import NamedTuple

import numba
import numpy as np
import pytest
from numba import types
from numpy.typing import NDArray

from ledger.linked import addresses_of, caller

COUNT_MAX = 100


class Shelf(NamedTuple):
    units: NDArray[np.int64]
    place: int


@numba.njit
def put(shelf, count):
    if count >= COUNT_MAX:
        raise ValueError("too many")
    shelf.units[shelf.place] += count
    return shelf.units[shelf.place]


@numba.njit
def clear(shelf):
    shelf.units[:] = 0


call_put = caller(0, types.int64)
call_clear = caller(1)


@numba.njit
def put_by_address(addresses, shelf, count):
    return call_put(addresses, (shelf, count))


@numba.njit
def clear_by_address(addresses, shelf):
    call_clear(addresses, (shelf,))


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(np.zeros(3, np.int64), 1)


@pytest.fixture
def addresses(shelf):
    return addresses_of((put, (shelf, 0)), (clear, (shelf,)))


def test_a_kernel_called_by_address_does_what_it_does(shelf, addresses):
    assert put_by_address(addresses, shelf, 4) == 4
    assert put_by_address(addresses, shelf, 5) == 9
    assert shelf.units.tolist() == [0, 9, 0]
    clear_by_address(addresses, shelf)
    assert shelf.units.tolist() == [0, 0, 0]


def test_what_it_raises_ends_its_caller(shelf, addresses):
    with pytest.raises(ValueError, match="too many"):
        put_by_address(addresses, shelf, COUNT_MAX)
    assert shelf.units.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("units", "count"),
    [(np.zeros(3, np.int32), 1), (np.zeros(3, np.int64), 1.0), (np.zeros(6, np.int64)[::2], 1)],
    ids=["narrower", "a float", "strided"],
)
def test_it_is_never_called_with_other_types(addresses, units, count):
    with pytest.raises(AssertionError, match="called with other types"):
        put_by_address(addresses, Shelf(units, 1), count)
    assert not units.any()


def test_nor_where_another_result_is_expected(shelf):
    with pytest.raises(AssertionError, match="called with other types"):
        put_by_address(addresses_of((clear, (shelf,))), shelf, 1)
