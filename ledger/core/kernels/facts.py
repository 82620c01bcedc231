"""Deciding about facts and policies: what happened is recorded, whatever the books say; see `.decide` for the rules."""

import numpy as np

from ledger.core.kernels import helper
from ledger.core.kernels.accounts import (
    SET_BACKORDER_LIMIT,
    SET_SAFETY_STOCK,
    STOCK_HERE,
    create_level,
    extra_of,
    find_level,
    level_key,
    oversold_at,
    sellable_at,
    unavailable_at,
)
from ledger.core.kernels.decide import OK, look_up
from ledger.core.kernels.index import hash_key
from ledger.core.kernels.output import ANSWERS, answer, clear_table, emit
from ledger.core.movements import ARRIVES_AS, TARGET_WITH_REASON, Account
from ledger.core.records import SETS_BACKORDER_LIMIT, SETS_SAFETY_STOCK
from ledger.core.state import BACKORDER_LIMIT, LEVEL_COUNT, SAFETY_STOCK, UNAVAILABLE
from ledger.core.statuses import Kind, Status

COUNT = int(Kind.COUNT)
UNAVAILABLE_UNITS = int(Account.UNAVAILABLE)
INSUFFICIENT_STOCK = int(Status.INSUFFICIENT_STOCK)


@helper
def first_of_account(lines, start, position, places, mask):
    """First line of the command about the unavailable account of this one; `places` is a table of such lines."""
    wanted = lines[start + position]
    key = level_key(wanted.sku, wanted.location)
    place = np.int64(hash_key(np.uint64(wanted.reason), key) & np.uint64(mask))
    while places[place] != 0:
        line = lines[start + places[place] - 1]
        if line.sku == wanted.sku and line.location == wanted.location and line.reason == wanted.reason:
            return np.int64(places[place] - 1)
        place = (place + 1) & mask
    places[place] = position + 1
    return np.int64(position)


@helper
def check_unavailable(state, command, lines, work, out):
    """Refuse MARK_AVAILABLE and WRITE_OFF of more than a reason has when their turn comes; refused ones take nothing.

    work.amounts counts down the units of each account, at the first line that is about it.
    """
    status = OK
    start = np.int64(command.line_start)
    mask = clear_table(work.places, np.int64(command.line_count))
    for position in range(command.line_count):
        line = lines[start + position]
        if line.reason == 0:
            continue
        first = first_of_account(lines, start, position, work.places, mask)
        if first == position:
            work.amounts[position] = 0
            if work.levels[position] >= 0:
                work.amounts[position] = extra_of(state, work.levels[position], UNAVAILABLE + line.reason - 1)
        left = np.int64(work.amounts[first])
        if TARGET_WITH_REASON[line.kind] == UNAVAILABLE_UNITS:
            work.amounts[first] += line.quantity
        elif line.quantity <= left:
            work.amounts[first] -= line.quantity
        else:
            answer(out, position, work.levels[position], line.quantity, left)
            status = INSUFFICIENT_STOCK
    return status


@helper
def ensure_level(state, out, sku, location):
    """Row of a stock level, made at once if missing: later lines of the command may need it."""
    level = find_level(state, sku, location)
    if level < 0:
        level = state.counters[LEVEL_COUNT]
        key = level_key(sku, location)
        emit(out, level, STOCK_HERE, 0, np.int64(key))
        create_level(state, level, key)
    return level


@helper
def decide_movements(state, command, lines, work, out, record, time_us):
    """Record facts, all or none, in the order given; where a sku was not stocked, it is from now on."""
    status = look_up(state, command, lines, work, out)
    if status != OK:
        return status
    status = check_unavailable(state, command, lines, work, out)
    if status != OK:
        return status
    start = np.int64(command.line_start)
    # from here on it must succeed
    for position in range(command.line_count):
        line = lines[start + position]
        level = ensure_level(state, out, line.sku, line.location)
        work.levels[position] = level
        work.to_levels[position] = -1
        emit(out, level, line.kind, line.reason, line.quantity)
        if ARRIVES_AS[line.kind] != 0:
            arrival = ensure_level(state, out, line.sku, line.to_location)
            work.to_levels[position] = arrival
            emit(out, arrival, ARRIVES_AS[line.kind], 0, line.quantity)
    record.time_us = time_us
    return OK


@helper
def decide_counts(state, command, lines, work, out, record, time_us):
    """Set on_hand to what was counted; what differs from the books moves between free stock and shrinkage."""
    status = look_up(state, command, lines, work, out)
    if status != OK:
        return status
    # from here on it must succeed
    for position in range(command.line_count):
        line = lines[command.line_start + position]
        level = ensure_level(state, out, line.sku, line.location)
        change = line.quantity - sellable_at(state, level) - unavailable_at(state, level)
        if change != 0:
            emit(out, level, COUNT, 0, change)
        work.levels[position] = level
        work.to_levels[position] = -1
    record.time_us = time_us
    return OK


@helper
def decide_policy(state, command, lines, work, out, record, time_us):
    """Set safety stock and backorder limit of one stock level."""
    status = look_up(state, command, lines, work, out)
    if status != OK:
        return status
    # from here on it must succeed
    line = lines[command.line_start]
    level = ensure_level(state, out, line.sku, line.location)
    if command.flags & SETS_SAFETY_STOCK and line.quantity != extra_of(state, level, SAFETY_STOCK):
        emit(out, level, SET_SAFETY_STOCK, 0, line.quantity)
    if command.flags & SETS_BACKORDER_LIMIT and line.to_quantity != extra_of(state, level, BACKORDER_LIMIT):
        emit(out, level, SET_BACKORDER_LIMIT, 0, line.to_quantity)
    record.time_us = time_us
    return OK


@helper
def is_named(places, mask, level):
    """Tell whether a table has a level, and put it there."""
    place = np.int64(hash_key(np.uint64(0), np.uint64(level)) & np.uint64(mask))
    while places[place] != 0:
        if places[place] == level + 1:
            return True
        place = (place + 1) & mask
    places[place] = level + 1
    return False


@helper
def report_oversold(state, out, work, line_count):
    """After a fact: name each level it left oversold, once; returns whether there is any."""
    start = out.cursor[ANSWERS]
    mask = np.int64(-1)
    for position in range(line_count):
        for level in (np.int64(work.levels[position]), np.int64(work.to_levels[position])):
            if level >= 0 and oversold_at(state, level) > 0:
                if mask < 0:
                    mask = clear_table(work.places, np.int64(2 * line_count))
                if not is_named(work.places, mask, level):
                    answer(out, position, level, 0, oversold_at(state, level))
    return out.cursor[ANSWERS] > start
