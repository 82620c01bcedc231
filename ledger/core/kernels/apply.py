"""Applying records: the only road by which a ledger changes, for the writer as for a replay."""

import numpy as np

from ledger.core.kernels import entry, helper
from ledger.core.kernels.accounts import (
    CANCEL,
    COMMIT,
    COMMIT_FREE,
    EXPIRE,
    FULFILL,
    RELEASE,
    RESERVE,
    move,
)
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
from ledger.core.records import ENDS_RESERVATION, IS_REMEMBERED
from ledger.core.state import COMMITTED_TOTAL, SEQ, TICK_BITS, TIME_US, WHEEL_TICK
from ledger.core.statuses import Operation, Status

OK = int(Status.OK)
OPERATION_RESERVE = int(Operation.RESERVE)
OPERATION_COMMIT = int(Operation.COMMIT)
OPERATION_EXTEND = int(Operation.EXTEND)
OPERATION_AMEND = int(Operation.AMEND)
OPERATION_TRANSFER = int(Operation.TRANSFER)
OPERATION_CANCEL = int(Operation.CANCEL)
OPERATION_EXPIRE = int(Operation.EXPIRE)


@helper
def concerns_reservation(operation):
    """Tell whether an operation changes a reservation."""
    return operation <= OPERATION_CANCEL or operation == OPERATION_EXPIRE


@helper
def move_held(state, slot, operation, movement, hint):
    """Apply one line of a movement to the reservation it belongs to; returns the held line."""
    kind = movement.kind
    level = np.int64(movement.level)
    quantity = np.int32(movement.quantity)
    line = find_held_line(state, slot, level, hint) if operation != OPERATION_RESERVE else np.int64(-1)
    if line < 0:
        line = np.int64(append_held_line(state, slot, level, hint))
    row = state.held_lines[line]
    if kind in (RESERVE, COMMIT_FREE):
        row.open += quantity
        if operation != OPERATION_AMEND:
            row.quantity += quantity
    elif kind in (RELEASE, EXPIRE, CANCEL):
        row.open -= quantity
        if operation == OPERATION_TRANSFER:
            row.quantity -= quantity
    elif kind == FULFILL:
        row.open -= quantity
        row.fulfilled += quantity
    else:
        assert kind == COMMIT
    if operation == OPERATION_AMEND:
        row.quantity = row.open + row.fulfilled
    return line


@helper
def settle_reservation(state, slot, record):
    """Bring a reservation's state, version, time and list to what the record says."""
    row = state.reservations[slot]
    before = np.int64(row.state) if record.operation != OPERATION_RESERVE else np.int64(0)
    after = np.int64(record.state)
    ends = (record.flags & ENDS_RESERVATION) != 0
    if before == ACTIVE and (after != ACTIVE or record.operation == OPERATION_EXTEND):
        leave_wheel(state, slot)
    row.state = after
    row.version = record.version
    if after != before or record.operation == OPERATION_EXTEND or ends:
        row.time_us = record.time_us
    if after == ACTIVE and (before != ACTIVE or record.operation == OPERATION_EXTEND):
        enter_wheel(state, slot)
    state.counters[COMMITTED_TOTAL] += int(after == COMMITTED and not ends) - int(before == COMMITTED)
    if ends:
        enter_ended(state, slot)


@helper
def apply_record(state, record, movements, start, time_us):
    """Apply one RECORDED with its MOVEMENTs, which begin at `start`."""
    if record.status != OK:
        return
    holds = concerns_reservation(record.operation)
    slot = np.int64(-1)
    if record.operation == OPERATION_RESERVE:
        slot = np.int64(take_slot(state, record.reservation_id, time_us))
    elif holds:
        slot = np.int64(slot_of(state, record.reservation_id))
        if record.state == COMMITTED and record.line_count == 0 and record.operation == OPERATION_COMMIT:
            return  # a commit of what is committed: remembered, but nothing moved
    hint = before = np.int64(-1)
    for position in range(start, start + record.line_count):
        movement = movements[position]
        move(state, np.int64(movement.level), movement.kind, movement.reason, movement.quantity)
        if holds:
            moved = np.int64(move_held(state, slot, record.operation, movement, hint))
            hint = before if record.operation == OPERATION_TRANSFER else moved  # it goes to and fro between two places
            before = moved
    if holds:
        if record.operation in (OPERATION_AMEND, OPERATION_TRANSFER):
            drop_empty_lines(state, slot)
        settle_reservation(state, slot, record)


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
    state.counters[WHEEL_TICK] = (last.time_us if last.operation == OPERATION_EXPIRE else time_us) >> TICK_BITS
