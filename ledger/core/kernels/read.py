"""Reading many stock levels at once."""

import numpy as np

from ledger.core.kernels import entry
from ledger.core.kernels.accounts import available_at, oversold_at
from ledger.core.kernels.accounts import find_level as find
from ledger.core.kernels.index import find as find_key
from ledger.core.kernels.packed import state_of


@entry
def find_level(columns, sku, location):
    """Row of a stock level, or -1."""
    state = state_of(columns)
    return np.int64(find(state, sku, location))


@entry
def read_availability(columns, skus, locations, rows, available, oversold):
    """Read what can be promised of each sku (i) at each location (j).

    rows, available and oversold have shape (skus, locations), dtype int64; rows is -1 where the sku is not stocked,
    available may be negative.
    """
    state = state_of(columns)
    for i in range(len(skus)):
        for j in range(len(locations)):
            level = find(state, skus[i], locations[j])
            rows[i, j] = level
            if level >= 0:
                available[i, j] = available_at(state, level)
                oversold[i, j] = oversold_at(state, level)


@entry
def read_pairs(columns, skus, locations, available):
    """Read what can be promised of each sku (i) at its location (i); 0 where it is not stocked.

    skus and locations have shape (n,), dtype int32, negative for unknown ones; available has dtype int64.
    """
    state = state_of(columns)
    for i in range(len(skus)):
        if skus[i] >= 0 and locations[i] >= 0:
            level = find(state, skus[i], locations[i])
            if level >= 0:
                available[i] = available_at(state, level)


@entry
def find_request(columns, high, low):
    """Row of a remembered request id, or -1."""
    state = state_of(columns)
    return np.int64(find_key(state.request_index, state.request_key, np.uint64(high), np.uint64(low)))
