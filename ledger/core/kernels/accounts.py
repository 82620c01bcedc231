"""The accounts of a stock level, and the one function that moves units between them."""

import numpy as np

from ledger.core.kernels import helper
from ledger.core.kernels.index import find, insert
from ledger.core.movements import NO_ACCOUNT, OUTSIDE_FIRST, SOURCE, STOCK_LAST, TARGET, TARGET_WITH_REASON
from ledger.core.state import (
    BACKORDER_LIMIT,
    COMMITTED,
    EXTRA_COUNT,
    EXTRA_WIDTH,
    FLOOR,
    FREE,
    LEVEL_COUNT,
    RESERVED,
    SAFETY_STOCK,
    UNAVAILABLE,
)
from ledger.core.statuses import Kind

COMMIT = int(Kind.COMMIT)
RESERVE = int(Kind.RESERVE)
assert (SOURCE[RESERVE], TARGET[RESERVE], SOURCE[COMMIT], TARGET[COMMIT]) == (FREE, RESERVED, RESERVED, COMMITTED)
SET_BACKORDER_LIMIT = int(Kind.SET_BACKORDER_LIMIT)
SET_SAFETY_STOCK = int(Kind.SET_SAFETY_STOCK)
STOCK_HERE = int(Kind.STOCK_HERE)
PLAN = int(Kind.PLAN)
ASSIGN = int(Kind.ASSIGN)
UNASSIGN = int(Kind.UNASSIGN)


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
def put(state, level, account, reason, quantity):
    """Add units to an account of a level, or of its sku outside."""
    if account <= STOCK_LAST:
        state.level_stock[level, account] += quantity
    elif account >= OUTSIDE_FIRST:
        state.sku_outside[sku_of(state, level), account - OUTSIDE_FIRST] += quantity
    else:
        state.level_extra[extra_row(state, level), UNAVAILABLE + reason - 1] += quantity


@helper
def set_policy(state, level, column, sign, quantity):
    """Set what a level keeps back, or may promise beyond, and its floor with it."""
    row = extra_row(state, level)
    state.level_stock[level, FLOOR] += sign * (quantity - state.level_extra[row, column])
    state.level_extra[row, column] = quantity


@helper
def move(state, level, kind, reason, quantity):
    """Apply one line of a movement to the accounts, as `ledger.core.movements` says.

    Holds that begin and orders that are placed are most of all movements, and replays wait for memory: whatever comes
    between two rows lets fewer of these waits overlap. So these two do not ask the table.
    """
    if kind == RESERVE:
        state.level_stock[level, FREE] -= quantity
        state.level_stock[level, RESERVED] += quantity
        return
    if kind == COMMIT:
        state.level_stock[level, RESERVED] -= quantity
        state.level_stock[level, COMMITTED] += quantity
        return
    source = np.int64(SOURCE[kind])
    if source != NO_ACCOUNT:
        target = np.int64(TARGET[kind] if reason == 0 else TARGET_WITH_REASON[kind])
        put(state, level, source, reason, -quantity)
        put(state, level, target, reason, quantity)
    elif kind == STOCK_HERE:
        create_level(state, level, np.uint64(quantity))
    elif kind == SET_SAFETY_STOCK:
        set_policy(state, level, SAFETY_STOCK, 1, quantity)
    elif kind == SET_BACKORDER_LIMIT:
        set_policy(state, level, BACKORDER_LIMIT, -1, quantity)
    else:
        assert kind in (PLAN, ASSIGN, UNASSIGN), "unknown kind of movement"
