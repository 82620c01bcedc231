"""Looking through all rows for those that a caller wants: a bounded number of them in each call."""

import numpy as np

from ledger.core.kernels import entry, helper
from ledger.core.kernels.accounts import location_of, sku_of
from ledger.core.kernels.holds import CANCELLED, COMMITTED, FULFILLED
from ledger.core.kernels.packed import state_of
from ledger.core.state import (
    DOCUMENT_COUNT,
    LEVEL_COUNT,
    LINE_FOLLOWING,
    LINE_SKU,
    LINE_UNITS,
    RESERVATION_COUNT,
    STAGES,
)

# Positions in the result of a scan.
FOUND = 0
FOLLOWING = 1  # row from which to go on
VISITED = 2  # rows looked at


@helper
def is_wanted(state, level, sku, location):
    """Tell whether a level is of a sku and at a location; -1 stands for any."""
    return (sku < 0 or sku_of(state, level) == sku) and (location < 0 or location_of(state, level) == location)


@entry
def scan_levels(columns, first, visits_max, sku, location, rows, result):
    """List the levels of a sku at a location (-1: any) from row `first` on, until `rows` is full or enough was visited.

    rows has dtype int64; result gets FOUND, FOLLOWING and VISITED.
    """
    state = state_of(columns)
    last = min(state.counters[LEVEL_COUNT], first + visits_max)
    found = np.int64(0)
    row = first
    while row < last and found < len(rows):
        if is_wanted(state, row, sku, location):
            rows[found] = row
            found += 1
        row += 1
    result[FOUND] = found
    result[FOLLOWING] = row
    result[VISITED] = row - first


@helper
def scan_lines(state, first_line, sku, location, result):
    """Tell whether a chain of held lines has one of a sku at a location; counts those visited."""
    place = np.int64(first_line)
    while place != 0:
        line = state.held_lines[place - 1]
        result[VISITED] += 1
        if is_wanted(state, np.int64(line.level), sku, location):
            return True
        place = np.int64(line.following)
    return False


@helper
def scan_state(state, row, wanted, result):
    """Tell whether a reservation shows a state; 0 stands for any. Counts the lines that it takes to tell."""
    if wanted == 0 or row.state != COMMITTED or row.is_ended == 0:
        return row.state != 0 and wanted in (0, np.int64(row.state))
    if wanted not in (FULFILLED, CANCELLED):
        return False
    place = np.int64(row.first_line)
    while place != 0:
        line = state.held_lines[place - 1]
        result[VISITED] += 1
        if line.fulfilled > 0:
            return wanted == FULFILLED
        place = np.int64(line.following)
    return wanted == CANCELLED


@entry
def scan_reservations(columns, first, visits_max, lines_max, wanted, sku, location, slots, result):
    """List the reservations in a state (0: any) with a line of a sku at a location (-1: any) from slot `first` on.

    Ends, with a whole reservation, when `slots`, dtype int64, is full, when those found have lines_max lines or more,
    or when visits_max slots and lines were visited. result gets FOUND, FOLLOWING and VISITED.
    """
    state = state_of(columns)
    last = state.counters[RESERVATION_COUNT]
    found = lines = np.int64(0)
    slot = first
    result[VISITED] = 0
    while slot < last and found < len(slots) and lines < lines_max and result[VISITED] < visits_max:
        row = state.reservations[slot]
        result[VISITED] += 1
        is_found = scan_state(state, row, wanted, result)
        if is_found and (sku >= 0 or location >= 0):  # one that was amended to nothing has no lines
            is_found = scan_lines(state, row.first_line, sku, location, result)
        if is_found:
            slots[found] = slot
            found += 1
            lines += row.line_count
        slot += 1
    result[FOUND] = found
    result[FOLLOWING] = slot


@entry
def gather_lines(columns, slots, lines):
    """Copy the held lines of some reservations, one after the other; returns how many.

    lines has dtype int64, shape (n, 4): stock level, quantity, open and fulfilled units.
    """
    state = state_of(columns)
    count = np.int64(0)
    for position in range(len(slots)):
        place = np.int64(state.reservations[slots[position]].first_line)
        while place != 0:
            line = state.held_lines[place - 1]
            lines[count, 0] = line.level
            lines[count, 1] = line.quantity
            lines[count, 2] = line.open
            lines[count, 3] = line.fulfilled
            count += 1
            place = np.int64(line.following)
    return count


@entry
def scan_documents(
    columns, first, visits_max, lines_max, kind, states, methods, location, order, due_before_us, slots, result
):
    """List the documents of a kind in one of some states (bits) from slot `first` on.

    Only those of some methods (bits, that of 0 for none), from or to a location (-1: any), for an order (0: any), and
    due before an instant (0: any time, or never). Ends when `slots`, dtype int64, is full, when those found have
    lines_max lines or more, or when visits_max slots were visited. result gets FOUND, FOLLOWING and VISITED.
    """
    state = state_of(columns)
    last = min(state.counters[DOCUMENT_COUNT], first + visits_max)
    found = lines = np.int64(0)
    slot = first
    while slot < last and found < len(slots) and lines < lines_max:
        row = state.documents[slot]
        is_found = row.state != 0 and row.kind == kind and (states >> np.int64(row.state)) & 1 != 0
        is_found = is_found and (methods >> np.int64(row.method)) & 1 != 0
        is_found = is_found and (location < 0 or location in (row.source, row.target))
        is_found = is_found and order in (0, row.reservation_id)
        if is_found and (due_before_us == 0 or (row.due_us != 0 and row.due_us < due_before_us)):
            slots[found] = slot
            found += 1
            lines += row.line_count
        slot += 1
    result[FOUND] = found
    result[FOLLOWING] = slot
    result[VISITED] = slot - first


@entry
def gather_document_lines(columns, slots, lines):
    """Copy the lines of some documents, one after the other; returns how many.

    lines has dtype int64, shape (n, 1 + STAGES): sku, and units by stage.
    """
    state = state_of(columns)
    count = np.int64(0)
    for position in range(len(slots)):
        place = np.int64(state.documents[slots[position]].first_line)
        while place != 0:
            lines[count, 0] = state.document_lines[place - 1, LINE_SKU]
            for stage in range(STAGES):
                lines[count, stage + 1] = state.document_lines[place - 1, LINE_UNITS + 1 + stage]
            count += 1
            place = np.int64(state.document_lines[place - 1, LINE_FOLLOWING])
    return count
