"""Applying records: the only road by which a ledger changes, for the writer as for a replay."""

import numpy as np

from ledger.core.kernels import entry, helper
from ledger.core.kernels.accounts import move
from ledger.core.kernels.holds import (
    ACTIVE,
    COMMITTED,
    append_held_line,
    drop_empty_lines,
    enter_ended,
    enter_wheel,
    find_held_line,
    leave_wheel,
    recycle,
    slot_of,
    take_slot,
)
from ledger.core.kernels.memory import forget, remember
from ledger.core.movements import EFFECT, FULFILLS, GIVES_BACK, KEEPS, TAKES
from ledger.core.operations import (
    CHANGES_LINES,
    CHANGES_RESERVATION,
    IS_OWN,
    MAKES_RESERVATION,
    MOVES_HOLD,
    SETS_EXPIRY,
    SETS_TOTALS,
    TRAITS,
    WRITES_IF_MOVED,
)
from ledger.core.records import ENDS_RESERVATION, IS_REMEMBERED
from ledger.core.state import COMMITTED_TOTAL, SEQ, TICK_BITS, TIME_US, WHEEL_TICK
from ledger.core.statuses import Status

OK = int(Status.OK)


@helper
def move_held(state, slot, traits, movement, hint):
    """Apply one line of a movement to the reservation it belongs to; returns the held line."""
    effect = EFFECT[movement.kind]
    level = np.int64(movement.level)
    quantity = np.int32(movement.quantity)
    line = find_held_line(state, slot, level, hint) if (traits & MAKES_RESERVATION) == 0 else np.int64(-1)
    if line < 0:
        line = np.int64(append_held_line(state, slot, level, hint))
    row = state.held_lines[line]
    if effect == TAKES:
        row.open += quantity
        if (traits & SETS_TOTALS) == 0:
            row.quantity += quantity
    elif effect == GIVES_BACK:
        row.open -= quantity
        if (traits & MOVES_HOLD) != 0:
            row.quantity -= quantity
    elif effect == FULFILLS:
        row.open -= quantity
        row.fulfilled += quantity
    else:
        assert effect == KEEPS
    if (traits & SETS_TOTALS) != 0:
        row.quantity = row.open + row.fulfilled
    return line


@helper
def settle_reservation(state, slot, traits, record):
    """Bring a reservation's state, version, time and list to what the record says."""
    row = state.reservations[slot]
    before = np.int64(row.state) if (traits & MAKES_RESERVATION) == 0 else np.int64(0)
    after = np.int64(record.state)
    ends = (record.flags & ENDS_RESERVATION) != 0
    sets_expiry = (traits & SETS_EXPIRY) != 0
    if before == ACTIVE and (after != ACTIVE or sets_expiry):
        leave_wheel(state, slot)
    row.state = after
    row.version = record.version
    if after != before or sets_expiry or ends:
        row.time_us = record.time_us
    if after == ACTIVE and (before != ACTIVE or sets_expiry):
        enter_wheel(state, slot)
    state.counters[COMMITTED_TOTAL] += int(after == COMMITTED and not ends) - int(before == COMMITTED)
    if ends:
        enter_ended(state, slot)


@helper
def apply_record(state, record, movements, start, time_us):
    """Apply one RECORDED with its MOVEMENTs, which begin at `start`."""
    if record.status != OK:
        return
    traits = np.int64(TRAITS[record.operation])
    holds = (traits & CHANGES_RESERVATION) != 0
    slot = np.int64(-1)
    if (traits & MAKES_RESERVATION) != 0:
        slot = np.int64(take_slot(state, record.reservation_id, time_us))
    elif holds:
        slot = np.int64(slot_of(state, record.reservation_id))
        if (traits & WRITES_IF_MOVED) != 0 and record.line_count == 0:
            return  # remembered, but nothing moved: a commit of what is committed
    hint = before = np.int64(-1)
    for position in range(start, start + record.line_count):
        movement = movements[position]
        move(state, np.int64(movement.level), movement.kind, movement.reason, movement.quantity)
        if holds:
            moved = np.int64(move_held(state, slot, traits, movement, hint))
            hint = before if (traits & MOVES_HOLD) != 0 else moved  # it goes to and fro between two places
            before = moved
    if holds:
        if (traits & CHANGES_LINES) != 0:
            drop_empty_lines(state, slot)
        settle_reservation(state, slot, traits, record)


@entry
def replay_group(state, time_us, records, requests, movements, details, forgotten, recycled):
    """Apply the records of a journal entry; dtypes as in ledger.core.records."""
    state.counters[TIME_US] = time_us
    request = movement = detail = 0
    for position in range(len(records)):
        record = records[position]
        apply_record(state, record, movements, movement, time_us)
        state.counters[SEQ] += 1
        if record.flags & IS_REMEMBERED:
            remember(state, requests[request], record, state.counters[SEQ], details, detail)
            request += 1
        movement += record.line_count
        detail += record.detail_count
    forget(state, forgotten)
    recycle(state, recycled)
    last = records[len(records) - 1]  # one of a part of a backlog ends a hold, and later ones may be left
    state.counters[WHEEL_TICK] = (last.time_us if TRAITS[last.operation] & IS_OWN else time_us) >> TICK_BITS
