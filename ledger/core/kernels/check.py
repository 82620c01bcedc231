"""Recounting the whole ledger against its invariants, without trusting any derived number."""

import numpy as np

from ledger.core.documents import HAS_ENDED, HELD_STAGES, STAGES_ALLOWED, STAGES_NEEDED, TRANSIT_STAGES
from ledger.core.kernels import entry, helper
from ledger.core.kernels.accounts import find_level, sku_of, unavailable_at
from ledger.core.kernels.holds import (
    ACTIVE,
    COMMITTED,
    EXPIRED,
    RELEASED,
    WHEEL_HEAD,
    WHEEL_LENGTH,
    WHEEL_MASK,
    generation_part,
    slot_part,
    tick_of,
)
from ledger.core.kernels.index import find
from ledger.core.kernels.memory import FLAGS_SHIFT, HAS_DETAILS
from ledger.core.kernels.packed import state_of
from ledger.core.state import (
    BACKORDER_LIMIT,
    DOCUMENT_COUNT,
    DOCUMENT_ENDED_FIRST,
    DOCUMENT_LINE_COUNT,
    DOCUMENT_LINE_FREE,
    ENDED_FIRST,
    FLOOR,
    FREE,
    HELD_LINE_COUNT,
    HELD_LINE_FREE,
    LEVEL_COUNT,
    LINE_FOLLOWING,
    LINE_SKU,
    LINE_UNITS,
    REQUEST_FIRST,
    RESERVATION_COUNT,
    SAFETY_STOCK,
    SKU_COUNT,
    STAGES,
    UNAVAILABLE,
    UNAVAILABLE_REASONS,
)
from ledger.core.state import (
    COMMITTED as COMMITTED_UNITS,
)
from ledger.core.state import (
    RESERVED as RESERVED_UNITS,
)


@entry
def recount_levels(columns, reserved, committed, balance):
    """Recount what each level should hold, and what the accounts of each sku come to.

    Open lines of reservations are summed into reserved and committed, shape (levels,); all accounts of a sku into
    balance, shape (skus,): zero by double entry.
    """
    state = state_of(columns)
    for slot in range(state.counters[RESERVATION_COUNT]):
        row = state.reservations[slot]
        line = row.first_line
        while line != 0:
            held = state.held_lines[line - 1]
            if row.state == ACTIVE:
                reserved[held.level] += held.open
            elif row.state == COMMITTED:
                committed[held.level] += held.open
            line = held.following
    for sku in range(state.counters[SKU_COUNT]):
        for account in range(state.sku_outside.shape[1]):
            balance[sku] += state.sku_outside[sku, account]
    for level in range(state.counters[LEVEL_COUNT]):
        units = unavailable_at(state, level)
        for account in (FREE, RESERVED_UNITS, COMMITTED_UNITS):
            units += state.level_stock[level, account]
        balance[sku_of(state, level)] += units


@entry
def check_levels(columns, wrong_floor, wrong_index, negative_unavailable, oversold):
    """Mark what is wrong with a level, and count its oversold units; all arrays have shape (levels,).

    Wrong are: a floor that is not safety stock less backorder limit, a row that the index does not find, a negative
    unavailable account.
    """
    state = state_of(columns)
    for level in range(state.counters[LEVEL_COUNT]):
        safety = backorder = np.int64(0)
        row = state.level_extra_row[level]
        if row != 0:
            safety = state.level_extra[row - 1, SAFETY_STOCK]
            backorder = state.level_extra[row - 1, BACKORDER_LIMIT]
            for reason in range(UNAVAILABLE_REASONS):
                negative_unavailable[level] += state.level_extra[row - 1, UNAVAILABLE + reason] < 0
        wrong_floor[level] = state.level_stock[level, FLOOR] != safety - backorder
        wrong_index[level] = find(state.level_index, state.level_key, np.uint64(0), state.level_key[level, 0]) != level
        oversold[level] = max(np.int64(0), -state.level_stock[level, FREE] - backorder)


@entry
def check_reservations(columns, ticks, seen, wrong_open, wrong_list, line_uses):
    """Mark what is wrong with a reservation, by slot, and count the uses of each held line.

    Wrong are: open units that its state forbids or that exceed its quantity; an ACTIVE one that the wheel does not
    hold or miscounts, or an ended one that is not in the list of ended ones. `ticks`, dtype int64, are those of the
    wheel that are not empty. `seen`, dtype uint8, shape (slots,), is scratch.
    """
    state = state_of(columns)
    for tick in ticks:
        head = state.wheel[tick, WHEEL_HEAD]
        length = 0
        place = head
        while place != 0 and seen[place - 1] == 0:
            row = state.reservations[place - 1]
            seen[place - 1] = 1
            length += 1
            if row.state != ACTIVE or tick_of(row.time_us) & WHEEL_MASK != tick:
                wrong_list[place - 1] = 1
            place = row.following
        if length != state.wheel[tick, WHEEL_LENGTH] and len(wrong_list) > 0:
            wrong_list[max(head - 1, 0)] = 1
    place = state.counters[ENDED_FIRST]
    while place != 0 and seen[place - 1] == 0:
        seen[place - 1] = 2
        if state.reservations[place - 1].is_ended == 0:
            wrong_list[place - 1] = 1
        place = np.int64(state.reservations[place - 1].following)
    for slot in range(state.counters[RESERVATION_COUNT]):
        row = state.reservations[slot]
        units = np.int64(0)
        line = row.first_line
        count = 0
        while line != 0:
            held = state.held_lines[line - 1]
            line_uses[line - 1] += 1
            units += held.open
            count += 1
            if held.open < 0 or held.fulfilled < 0 or np.int64(held.open) + held.fulfilled > held.quantity:
                wrong_open[slot] = 1
            line = held.following
        # one that waits for the units of a document ends with it, or when it is given up
        is_waiting = row.awaits > 0 and row.is_ended == 0
        has_ended = row.state in (RELEASED, EXPIRED) or (row.state == COMMITTED and units == 0 and not is_waiting)
        if (row.state in (RELEASED, EXPIRED) and units != 0) or (row.state == ACTIVE and units == 0):
            wrong_open[slot] = 1
        if (row.state == ACTIVE) != (seen[slot] == 1) or has_ended != (seen[slot] == 2):
            wrong_list[slot] = 1


@entry
def check_requests(columns, line_uses):
    """Count remembered requests that the index does not find, and uses of each held line by their details."""
    state = state_of(columns)
    lost = 0
    place = state.counters[REQUEST_FIRST]
    while place != 0:
        row = place - 1
        found = find(state.request_index, state.request_key, state.request_key[row, 0], state.request_key[row, 1])
        lost += found != row
        if (np.int64(state.requests[row].answer >> np.uint64(FLAGS_SHIFT)) & HAS_DETAILS) != 0:
            line = state.requests[row].value
            while line != 0:
                line_uses[line - 1] += 1
                line = np.int64(state.held_lines[line - 1].following)
        place = np.int64(state.requests[row].following)
    place = state.counters[HELD_LINE_FREE]
    while place != 0:
        line_uses[place - 1] += 1
        place = np.int64(state.held_lines[place - 1].following)
    return lost


@entry
def count_misused_lines(columns, line_uses):
    """Count held lines that not exactly one owner has."""
    state = state_of(columns)
    wrong = 0
    for line in range(state.counters[HELD_LINE_COUNT]):
        wrong += line_uses[line] != 1
    return wrong


@entry
def recount_documents(columns, committed, transit, awaited, wrong_state, line_uses):
    """Recount what documents hold and have on the way, and mark by slot what does not fit.

    Units that they hold at their source are added to committed, shape (levels,), those in transit to transit, shape
    (skus,), and the open documents of each reservation to awaited, shape (reservations,). line_uses, shape
    (document lines,), counts the owners of each line. Wrong are units in a stage that the state forbids, or none where
    it needs some, a stage below zero, a wrong count of lines, and an ended one that is not in the list of ended ones,
    or an open one that is.
    """
    state = state_of(columns)
    place = state.counters[DOCUMENT_ENDED_FIRST]
    while place != 0 and wrong_state[place - 1] == 0:
        wrong_state[place - 1] = 2  # seen: taken back below
        place = np.int64(state.documents[place - 1].following)
    for slot in range(state.counters[DOCUMENT_COUNT]):
        row = state.documents[slot]
        is_listed = wrong_state[slot] == 2
        wrong_state[slot] = 0
        if row.state == 0:
            continue
        kind = np.int64(row.kind)
        there = count_document(state, slot, committed, transit, line_uses)
        has_ended = HAS_ENDED[kind, row.state] != 0
        needed = np.int64(STAGES_NEEDED[kind, row.state])
        if (
            there < 0
            or (there & ~np.int64(STAGES_ALLOWED[kind, row.state])) != 0
            or (needed != 0 and there & needed == 0)
        ):
            wrong_state[slot] = 1
        if has_ended != is_listed or has_ended != (row.is_ended != 0):
            wrong_state[slot] = 1
        order = slot_part(row.reservation_id)
        if not has_ended and row.reservation_id > 0 and order < len(awaited):
            awaited[order] += np.int64(state.reservations[order].generation) == generation_part(row.reservation_id)
    place = state.counters[DOCUMENT_LINE_FREE]
    while place != 0:
        line_uses[place - 1] += 1
        place = np.int64(state.document_lines[place - 1, LINE_FOLLOWING])


@helper
def count_document(state, slot, committed, transit, line_uses):
    """Add what one document holds and has on the way; returns the stages with units as bits, -1 if one is wrong."""
    row = state.documents[slot]
    kind = np.int64(row.kind)
    there = np.int64(0)
    count = 0
    place = np.int64(row.first_line)
    while place != 0:
        line = place - 1
        line_uses[line] += 1
        count += 1
        sku = np.int64(state.document_lines[line, LINE_SKU])
        held = np.int64(0)
        for stage in range(1, STAGES + 1):
            units = np.int64(state.document_lines[line, LINE_UNITS + stage])
            if units < 0:
                return np.int64(-1)
            if units > 0:
                there |= np.int64(1) << stage
            transit[sku] += units * ((TRANSIT_STAGES[kind] >> stage) & 1)
            held += units * ((HELD_STAGES[kind] >> stage) & 1)
        level = find_level(state, sku, np.int64(row.source))
        if held > 0 and level >= 0:
            committed[level] += held
        place = np.int64(state.document_lines[line, LINE_FOLLOWING])
    return there if count == row.line_count else np.int64(-1)


@entry
def count_misused_document_lines(columns, line_uses):
    """Count lines of documents that not exactly one owner has."""
    state = state_of(columns)
    wrong = 0
    for line in range(state.counters[DOCUMENT_LINE_COUNT]):
        wrong += line_uses[line] != 1
    return wrong
