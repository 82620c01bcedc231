"""The accounts of a stock level, and the one function that moves units between them."""

import numpy as np

from ledger.core.kernels import helper
from ledger.core.kernels.index import find, insert
from ledger.core.state import (
    BACKORDER_LIMIT,
    COMMITTED,
    CUSTOMER,
    EXTRA_COUNT,
    EXTRA_WIDTH,
    FLOOR,
    FREE,
    LEVEL_COUNT,
    RESERVED,
    SAFETY_STOCK,
    SHRINKAGE,
    SUPPLIER,
    TRANSIT,
    UNAVAILABLE,
)
from ledger.core.statuses import Kind

ADJUST = int(Kind.ADJUST)
CANCEL = int(Kind.CANCEL)
COMMIT = int(Kind.COMMIT)
COMMIT_FREE = int(Kind.COMMIT_FREE)
COUNT = int(Kind.COUNT)
EXPIRE = int(Kind.EXPIRE)
FULFILL = int(Kind.FULFILL)
MARK_AVAILABLE = int(Kind.MARK_AVAILABLE)
MARK_UNAVAILABLE = int(Kind.MARK_UNAVAILABLE)
RECEIVE = int(Kind.RECEIVE)
RELEASE = int(Kind.RELEASE)
RESERVE = int(Kind.RESERVE)
RETURN = int(Kind.RETURN)
SALE = int(Kind.SALE)
SET_BACKORDER_LIMIT = int(Kind.SET_BACKORDER_LIMIT)
SET_SAFETY_STOCK = int(Kind.SET_SAFETY_STOCK)
STOCK_HERE = int(Kind.STOCK_HERE)
TRANSFER_IN = int(Kind.TRANSFER_IN)
TRANSFER_OUT = int(Kind.TRANSFER_OUT)
WRITE_OFF = int(Kind.WRITE_OFF)


@helper
def level_key(sku, location):
    """Key of a stock level."""
    return (np.uint64(sku) << np.uint64(32)) | np.uint64(location)


@helper
def find_level(state, sku, location):
    """Row of a stock level, or -1."""
    return find(state.level_index, state.level_key, np.uint64(0), level_key(sku, location))


@helper
def sku_of(state, level):
    """Sku index of a stock level."""
    return np.int64(state.level_key[level, 0] >> np.uint64(32))


@helper
def location_of(state, level):
    """Location index of a stock level."""
    return np.int64(state.level_key[level, 0] & np.uint64(0xFFFFFFFF))


@helper
def available_at(state, level):
    """Units that a hold can get; may be negative."""
    return state.level_stock[level, FREE] - state.level_stock[level, FLOOR]


@helper
def sellable_at(state, level):
    """Units physically there that may be sold: on_hand less the unavailable ones."""
    return state.level_stock[level, FREE] + state.level_stock[level, RESERVED] + state.level_stock[level, COMMITTED]


@helper
def extra_of(state, level, column):
    """Value of a rarely used column of a level."""
    row = state.level_extra_row[level]
    if row == 0:
        return np.int64(0)
    return state.level_extra[row - 1, column]


@helper
def extra_row(state, level):
    """Row of the rarely used columns of a level, made if it has none."""
    if state.level_extra_row[level] == 0:
        row = state.counters[EXTRA_COUNT]
        state.counters[EXTRA_COUNT] += 1
        for column in range(EXTRA_WIDTH):
            state.level_extra[row, column] = 0
        state.level_extra_row[level] = row + 1
    return state.level_extra_row[level] - 1


@helper
def unavailable_at(state, level):
    """Units on hand that may not be sold, over all reasons."""
    row = state.level_extra_row[level]
    total = np.int64(0)
    if row != 0:
        for column in range(UNAVAILABLE, EXTRA_WIDTH):
            total += state.level_extra[row - 1, column]
    return total


@helper
def oversold_at(state, level):
    """Units promised beyond what is there and beyond the backorder limit."""
    short = -state.level_stock[level, FREE] - extra_of(state, level, BACKORDER_LIMIT)
    return max(np.int64(0), short)


@helper
def create_level(state, level, key):
    """Begin a stock level; a level that is there already stays as it is."""
    if level < state.counters[LEVEL_COUNT]:
        return
    state.counters[LEVEL_COUNT] += 1
    state.level_key[level, 0] = key
    insert(state.level_index, state.level_key, level)


@helper
def move(state, level, kind, reason, quantity):
    """Apply one line of a movement to the accounts: the table of Kind, as code."""
    stock = state.level_stock
    outside = state.sku_outside
    if kind == STOCK_HERE:
        create_level(state, level, np.uint64(quantity))
        return
    if kind == RESERVE:
        stock[level, FREE] -= quantity
        stock[level, RESERVED] += quantity
    elif kind == COMMIT:
        stock[level, RESERVED] -= quantity
        stock[level, COMMITTED] += quantity
    elif kind in (RELEASE, EXPIRE):
        stock[level, RESERVED] -= quantity
        stock[level, FREE] += quantity
    elif kind == FULFILL:
        stock[level, COMMITTED] -= quantity
        outside[sku_of(state, level), CUSTOMER] += quantity
    elif kind == CANCEL:
        stock[level, COMMITTED] -= quantity
        stock[level, FREE] += quantity
    elif kind == COMMIT_FREE:
        stock[level, FREE] -= quantity
        stock[level, COMMITTED] += quantity
    elif kind == RECEIVE:
        outside[sku_of(state, level), SUPPLIER] -= quantity
        stock[level, FREE] += quantity
    elif kind == SALE:
        stock[level, FREE] -= quantity
        outside[sku_of(state, level), CUSTOMER] += quantity
    elif kind == RETURN:
        outside[sku_of(state, level), CUSTOMER] -= quantity
        if reason == 0:
            stock[level, FREE] += quantity
        else:
            state.level_extra[extra_row(state, level), UNAVAILABLE + reason - 1] += quantity
    elif kind in (ADJUST, COUNT):
        outside[sku_of(state, level), SHRINKAGE] -= quantity
        stock[level, FREE] += quantity
    elif kind == MARK_UNAVAILABLE:
        stock[level, FREE] -= quantity
        state.level_extra[extra_row(state, level), UNAVAILABLE + reason - 1] += quantity
    elif kind == MARK_AVAILABLE:
        state.level_extra[extra_row(state, level), UNAVAILABLE + reason - 1] -= quantity
        stock[level, FREE] += quantity
    elif kind == WRITE_OFF:
        state.level_extra[extra_row(state, level), UNAVAILABLE + reason - 1] -= quantity
        outside[sku_of(state, level), SHRINKAGE] += quantity
    elif kind == TRANSFER_OUT:
        stock[level, FREE] -= quantity
        outside[sku_of(state, level), TRANSIT] += quantity
    elif kind == TRANSFER_IN:
        outside[sku_of(state, level), TRANSIT] -= quantity
        stock[level, FREE] += quantity
    elif kind == SET_SAFETY_STOCK:
        row = extra_row(state, level)
        stock[level, FLOOR] += quantity - state.level_extra[row, SAFETY_STOCK]
        state.level_extra[row, SAFETY_STOCK] = quantity
    elif kind == SET_BACKORDER_LIMIT:
        row = extra_row(state, level)
        stock[level, FLOOR] -= quantity - state.level_extra[row, BACKORDER_LIMIT]
        state.level_extra[row, BACKORDER_LIMIT] = quantity
    else:
        assert False, "unknown kind of movement"  # noqa: B011, PT015 - numba knows no other way
