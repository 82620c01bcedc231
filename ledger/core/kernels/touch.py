"""Fetching what the next commands need before they run, so that their cache misses overlap instead of adding up.

Nothing is changed here. A ledger of millions of rows lies far from the processor: one command waits for its index, then
for its row, then for its request id. Looking all of them up for some commands at once costs little more than one wait.
"""

import numpy as np

from ledger.core.kernels import helper
from ledger.core.kernels.accounts import find_level, level_key
from ledger.core.kernels.holds import slot_part
from ledger.core.kernels.index import first_slot, hash_key, segment_of
from ledger.core.records import HAS_REQUEST_ID
from ledger.core.state import FREE, RESERVATION_COUNT

LINES_MAX = 8  # of one command: what is fetched must still be there when it is used


@helper
def touch_place(index, high, low):
    """Read where the search for a key begins."""
    hashed = hash_key(high, low)
    segment = segment_of(index, hashed)
    slot = first_slot(hashed)
    return np.int64(index.rows[segment, slot]) + np.int64(index.tags[segment, slot]) + np.int64(index.fill[segment, 1])


@helper
def touch_commands(state, commands, lines, first, last):
    """Read what the commands first to last - 1 will look for; the sum returned keeps a compiler from leaving it out."""
    seen = np.int64(0)
    for position in range(first, last):
        command = commands[position]
        if command.flags & HAS_REQUEST_ID:
            seen += touch_place(state.request_index, command.request_id_high, command.request_id_low)
        slot = slot_part(command.reservation_id)
        if command.reservation_id > 0 and slot < state.counters[RESERVATION_COUNT]:
            seen += np.int64(state.reservations[slot].first_line)
        for place in range(command.line_start, command.line_start + min(command.line_count, LINES_MAX)):
            line = lines[place]
            if line.sku >= 0 and line.location >= 0:
                seen += touch_place(state.level_index, np.uint64(0), level_key(line.sku, line.location))
    for position in range(first, last):
        command = commands[position]
        for place in range(command.line_start, command.line_start + min(command.line_count, LINES_MAX)):
            line = lines[place]
            if line.sku >= 0 and line.location >= 0:
                level = find_level(state, line.sku, line.location)
                if level >= 0:
                    seen += state.level_stock[level, FREE]
    return seen


@helper
def touch_holds(state, keys, slot_mask, first, last):
    """Read what ending the holds of the keys first to last - 1 will look at."""
    seen = np.int64(0)
    for position in range(first, last):
        line = state.reservations[np.int64(keys[position] & np.uint64(slot_mask))].first_line
        if line != 0:
            seen += state.held_lines[line - 1].level
    for position in range(first, last):
        line = state.reservations[np.int64(keys[position] & np.uint64(slot_mask))].first_line
        if line != 0:
            seen += state.level_stock[state.held_lines[line - 1].level, FREE]
    return seen
