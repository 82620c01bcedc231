"""Applying records: the only road by which a ledger changes, for the writer as for a replay."""

import numpy as np

from ledger.core import limits
from ledger.core.kernels import apart, entry, helper
from ledger.core.kernels.accounts import move
from ledger.core.kernels.documents import end_document, move_stage, set_field, take_document
from ledger.core.kernels.holds import (
    ACTIVE,
    CANCELLED,
    COMMITTED,
    FULFILLED,
    append_held_line,
    drop_empty_lines,
    enter_ended,
    enter_wheel,
    find_held_line,
    leave_wheel,
    open_units,
    recycle,
    slot_of,
    slot_part,
    take_slot,
)
from ledger.core.kernels.memory import forget, remember
from ledger.core.kernels.packed import state_of
from ledger.core.movements import EFFECT, FULFILLS, GIVES_BACK, KEEPS, TAKES
from ledger.core.operations import (
    ADVANCES_DOCUMENT,
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
from ledger.core.statuses import Kind, Status

OK = int(Status.OK)
ASSIGN = int(Kind.ASSIGN)
DOCUMENT = int(Kind.DOCUMENT)
FULFILL = int(Kind.FULFILL)
UNASSIGN = int(Kind.UNASSIGN)
LINES_MAX = limits.LINES_PER_RESERVATION_MAX
QUANTITY_MAX = limits.QUANTITY_MAX


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
    """Bring a reservation's state, version, time and list to what the record says.

    One that was fulfilled or cancelled stays COMMITTED, as in journals that do not name these states.
    """
    row = state.reservations[slot]
    before = np.int64(row.state) if (traits & MAKES_RESERVATION) == 0 else np.int64(0)
    after = np.int64(record.state)
    if after in (FULFILLED, CANCELLED):
        after = np.int64(COMMITTED)
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
def settle_order(state, record, reservation_id, is_new, has_changed):
    """Bring the reservation that a document is for to what the record did: while the document is open, it waits."""
    slot = np.int64(slot_of(state, reservation_id))
    if slot < 0:
        return
    row = state.reservations[slot]
    ends = (record.flags & ENDS_RESERVATION) != 0
    if is_new:
        row.awaits += 1
    if ends:
        row.awaits -= 1
    if row.state != COMMITTED or row.is_ended != 0:
        return
    if has_changed:
        drop_empty_lines(state, slot)
    if is_new or ends or has_changed:
        row.version += 1
    if row.awaits == 0 and open_units(state, slot) == 0:
        row.time_us = record.time_us
        state.counters[COMMITTED_TOTAL] -= 1
        enter_ended(state, slot)


@helper
def share_with_order(state, order, movement):
    """Let the hold of an order follow what its document does with units of it; returns whether it did.

    What the document has, the order has not, until it is fulfilled: then it is told with the order, too.
    """
    reservation = state.reservations[order]
    level = np.int64(movement.level)
    line = find_held_line(state, order, level, np.int64(-1))
    if line < 0:
        assert movement.kind != ASSIGN
        if reservation.line_count >= LINES_MAX:
            return False
        line = np.int64(append_held_line(state, order, level, np.int64(-1)))
    row = state.held_lines[line]
    quantity = np.int32(movement.quantity)
    if movement.kind == ASSIGN:
        assert row.open >= quantity
        row.open -= quantity
        row.quantity -= quantity
        return True
    if np.int64(row.quantity) > QUANTITY_MAX - movement.quantity:
        assert movement.kind == FULFILL  # there was room for what comes back
        return False
    row.quantity += quantity
    if movement.kind == UNASSIGN:
        row.open += quantity
    else:
        row.fulfilled += quantity
    return True


@apart
def apply_document(state, record, movements, start, time_us):
    """Apply one RECORDED of ADVANCE: to the accounts, the document, and the reservation that it is for."""
    is_new = record.version == 1
    slot = np.int64(slot_part(record.reservation_id))
    if is_new:
        slot = np.int64(take_document(state, record.reservation_id, time_us))
    row = state.documents[slot]
    hint = held = np.int64(-1)
    has_changed = False
    for position in range(start, start + record.line_count):
        movement = movements[position]
        if movement.kind == DOCUMENT:
            set_field(state, slot, movement)
            continue
        move(state, np.int64(movement.level), movement.kind, movement.reason, movement.quantity)
        order = np.int64(slot_of(state, row.reservation_id))
        if movement.change != 0:
            hint = np.int64(move_stage(state, slot, movement, hint))
            if order >= 0 and movement.kind in (ASSIGN, UNASSIGN, FULFILL):
                has_changed |= share_with_order(state, order, movement)
        elif EFFECT[movement.kind] != 0:
            held = np.int64(move_held(state, order, np.int64(MOVES_HOLD), movement, held))
            has_changed = True
    if row.is_ended == 0:
        row.time_us = record.time_us
    row.state = record.state
    row.version = record.version
    if (record.flags & ENDS_RESERVATION) != 0:
        end_document(state, slot)
    if row.reservation_id != 0:
        settle_order(state, record, np.int64(row.reservation_id), is_new, has_changed)


@helper
def apply_record(state, record, movements, start, time_us):
    """Apply one RECORDED with its MOVEMENTs, which begin at `start`."""
    if record.status != OK:
        return
    traits = np.int64(TRAITS[record.operation])
    if (traits & ADVANCES_DOCUMENT) != 0:
        apply_document(state, record, movements, start, time_us)
        return
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
def replay_group(columns, time_us, records, requests, movements, details, forgotten, recycled):
    """Apply the records of a journal entry; dtypes as in ledger.core.records."""
    state = state_of(columns)
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
