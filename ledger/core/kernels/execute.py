"""Executing a batch: expire what is due, then decide, apply and record each command in order."""

import numpy as np

from ledger.core.kernels import entry, helper
from ledger.core.kernels.advance import decide_advance
from ledger.core.kernels.apply import apply_record
from ledger.core.kernels.decide import (
    OK,
    decide_amend,
    decide_commit,
    decide_end_of_commitment,
    decide_extend,
    decide_release,
    decide_replace,
    decide_reserve,
    decide_transfer,
    look_up,
)
from ledger.core.kernels.facts import decide_counts, decide_movements, decide_policy, report_oversold
from ledger.core.kernels.holds import (
    EXPIRED,
    WHEEL_HEAD,
    WHEEL_LENGTH,
    WHEEL_MASK,
    id_in_slot,
    is_document_first,
    recycle,
)
from ledger.core.kernels.index import find
from ledger.core.kernels.memory import (
    FLAGS_SHIFT,
    HAS_DETAILS,
    HAS_RESERVATION,
    SEQ_MASK,
    STATE_SHIFT,
    STATUS_SHIFT,
    chained_detail,
    chained_reservation_id,
    field_that_differs,
    fingerprint_of,
    forget,
    is_made,
    is_too_old,
    remember,
)
from ledger.core.kernels.output import ANSWERS, DETAILS, MOVEMENTS, RECORDS, REQUESTS, emit, output_of, work_of
from ledger.core.kernels.packed import state_of
from ledger.core.kernels.touch import touch_commands, touch_holds
from ledger.core.operations import DECIDED_ELSEWHERE, IS_FACT, TRAITS, WRITES_IF_MOVED
from ledger.core.records import (
    APPLIED_OVERSOLD,
    ENDS_RESERVATION,
    HAS_REQUEST_ID,
    IS_ONLY_TOLD,
    IS_OVERSOLD,
    IS_REMEMBERED,
    IS_STORED,
    IS_WRITTEN,
    VALIDATE_ONLY,
)
from ledger.core.state import (
    ACTIVE_TOTAL,
    DOCUMENT_ENDED_FIRST,
    ENDED_FIRST,
    REQUEST_FIRST,
    SEQ,
    SHARD,
    TICK_BITS,
    TIME_US,
    WHEEL_BITS,
    WHEEL_SIZE,
    WHEEL_TICK,
)
from ledger.core.statuses import Kind, Operation, Status

REQUEST_ID_REUSED = int(Status.REQUEST_ID_REUSED)
REQUEST_ID_TOO_OLD = int(Status.REQUEST_ID_TOO_OLD)
RESERVE = int(Operation.RESERVE)
COMMIT = int(Operation.COMMIT)
RELEASE = int(Operation.RELEASE)
EXTEND = int(Operation.EXTEND)
AMEND = int(Operation.AMEND)
TRANSFER = int(Operation.TRANSFER)
FULFILL_COMMITMENT = int(Operation.FULFILL)
CANCEL_COMMITMENT = int(Operation.CANCEL)
RECORD_MOVEMENTS = int(Operation.RECORD_MOVEMENTS)
SET_ON_HAND = int(Operation.SET_ON_HAND)
SET_POLICY = int(Operation.SET_POLICY)
ADVANCE = int(Operation.ADVANCE)
ADVANCE_FULFILLMENT = int(Operation.ADVANCE_FULFILLMENT)
REPLACE = int(Operation.REPLACE)
CANCELLED_UNITS = int(Kind.CANCEL)
EXPIRED_UNITS = int(Kind.EXPIRE)
FULFILLED_UNITS = int(Kind.FULFILL)
# What survey_due says.
DUE_COUNT = 0
DUE_LINES = 1
DUE_FIRST_TICK = 2
DUE_LAST_TICK = 3
DUE_IS_ALL = 4
DUE_FIELDS = 5
# A key of a due hold is its instant within one turn of the wheel, above its slot.
DUE_SLOT_BITS = 64 - WHEEL_BITS - TICK_BITS
DUE_SLOT_MASK = (1 << DUE_SLOT_BITS) - 1
# Commands whose rows are fetched at once: enough for their waits to overlap, few enough to be there when they run.
TOUCHED_AHEAD = 32
EXPIRE_HOLD = int(Operation.EXPIRE)


# ---- expiry ----------------------------------------------------------------------------------------------------------


@entry
def survey_due(columns, time_us, most, result):
    """Find the ticks whose holds end at or before time_us, and stop after the one that exceeds `most`.

    result gets DUE_FIRST_TICK and DUE_LAST_TICK (where there are some), DUE_COUNT (how many at most: those of the last
    tick may end later), and DUE_IS_ALL: 0 where later ticks may have more.
    """
    state = state_of(columns)
    first = state.counters[WHEEL_TICK]
    last = min(time_us >> TICK_BITS, first + WHEEL_SIZE - 1)  # holds lie within one turn of the wheel
    result[DUE_COUNT] = 0
    result[DUE_FIRST_TICK] = result[DUE_LAST_TICK] = last
    result[DUE_IS_ALL] = 1
    if state.counters[ACTIVE_TOTAL] == 0:
        return
    for tick in range(first, last + 1):
        length = state.wheel[tick & WHEEL_MASK, WHEEL_LENGTH]
        if length > 0 and result[DUE_COUNT] == 0:
            result[DUE_FIRST_TICK] = tick
        result[DUE_COUNT] += length
        if tick < last and result[DUE_COUNT] > most:
            result[DUE_LAST_TICK] = tick
            result[DUE_IS_ALL] = 0
            return


@entry
def collect_due(columns, time_us, first, last, keys, result):
    """List the holds of some ticks that end at or before time_us: keys, uint64, that sort by instant, then slot.

    result gets DUE_COUNT and DUE_LINES.
    """
    state = state_of(columns)
    count = 0
    result[DUE_LINES] = 0
    for tick in range(first, last + 1):
        place = state.wheel[tick & WHEEL_MASK, WHEEL_HEAD]
        while place != 0:
            row = state.reservations[place - 1]
            if row.time_us <= time_us:
                instant = np.uint64(row.time_us - (first << TICK_BITS))
                keys[count] = (instant << np.uint64(DUE_SLOT_BITS)) | np.uint64(place - 1)
                count += 1
                result[DUE_LINES] += row.line_count
            place = row.following
    result[DUE_COUNT] = count


@helper
def clear_record(record):
    """Zero a record, its padding too: what goes to the journal must not depend on what was there before."""
    record.operation = 0
    record.status = 0
    record.flags = 0
    record.state = 0
    record.line_count = 0
    record.detail_count = 0
    record.version = 0
    record.verb = 0
    record.pad = 0
    record.more_pad = 0
    record.reservation_id = 0
    record.time_us = 0


@helper
def expire_hold(state, out, slot, time_us):
    """Record and apply the end of one hold."""
    row = state.reservations[slot]
    record = out.records[out.cursor[RECORDS]]
    clear_record(record)
    record.operation = EXPIRE_HOLD
    record.state = EXPIRED
    record.flags = ENDS_RESERVATION
    record.version = row.version + 1
    record.reservation_id = id_in_slot(state.counters[SHARD], np.int64(row.generation), slot)
    record.time_us = row.time_us
    start = out.cursor[MOVEMENTS]
    place = row.first_line
    while place != 0:
        line = state.held_lines[place - 1]
        if line.open > 0:
            emit(out, line.level, EXPIRED_UNITS, 0, line.open)
        place = line.following
    record.line_count = out.cursor[MOVEMENTS] - start
    apply_record(state, record, out.movements, start, time_us)
    state.counters[SEQ] += 1
    out.cursor[RECORDS] += 1


@entry
def expire_due(columns, output, keys, time_us, wheel_tick):
    """End the holds of sorted keys, and bring the ledger's clock to time_us; ticks before wheel_tick are empty then.

    What it returns has no meaning.
    """
    state, out = state_of(columns), output_of(output)
    seen = np.int64(0)
    for first in range(0, len(keys), TOUCHED_AHEAD):
        last = min(first + TOUCHED_AHEAD, len(keys))
        seen += touch_holds(state, keys, DUE_SLOT_MASK, first, last)
        for position in range(first, last):
            expire_hold(state, out, np.int64(keys[position] & np.uint64(DUE_SLOT_MASK)), time_us)
    state.counters[WHEEL_TICK] = wheel_tick
    state.counters[TIME_US] = time_us
    return seen


# ---- commands --------------------------------------------------------------------------------------------------------


@helper
def decide(state, command, lines, work, out, record, time_us):
    """Find the decision table of a command."""
    operation = command.operation
    if operation == RESERVE:
        return decide_reserve(state, command, lines, work, out, record, time_us)
    record.reservation_id = command.reservation_id
    if operation == COMMIT:
        return decide_commit(state, command, lines, work, out, record, time_us)
    if operation == RELEASE:
        return decide_release(state, command, lines, work, out, record, time_us)
    if operation == EXTEND:
        return decide_extend(state, command, record, time_us)
    if operation == AMEND:
        return decide_amend(state, command, lines, work, out, record, time_us)
    if operation == TRANSFER:
        return decide_transfer(state, command, lines, work, out, record, time_us)
    if operation == FULFILL_COMMITMENT:
        return decide_end_of_commitment(state, command, lines, work, out, record, time_us, FULFILLED_UNITS)
    if operation == CANCEL_COMMITMENT:
        return decide_end_of_commitment(state, command, lines, work, out, record, time_us, CANCELLED_UNITS)
    if operation == RECORD_MOVEMENTS:
        return decide_movements(state, command, lines, work, out, record, time_us)
    if operation == SET_ON_HAND:
        return decide_counts(state, command, lines, work, out, record, time_us)
    if operation == SET_POLICY:
        return decide_policy(state, command, lines, work, out, record, time_us)
    if operation in (ADVANCE, ADVANCE_FULFILLMENT):
        return decide_advance(state, command, lines, work, out, record, time_us)
    if operation == REPLACE:
        return decide_replace(state, command, lines, work, out, record, time_us)
    return tell_decided(command, record)


@helper
def tell_decided(command, record):
    """Answer what was decided elsewhere."""
    assert TRAITS[command.operation] & DECIDED_ELSEWHERE
    record.time_us = command.result
    return np.int64(command.status)


@helper
def validate(state, command, lines, work, out, record):
    """Answer what a command of VALIDATE_ONLY would be answered. Nothing is done, and nothing written."""
    if TRAITS[command.operation] & DECIDED_ELSEWHERE:
        return tell_decided(command, record)
    assert command.operation == SET_ON_HAND  # which nothing but a lookup refuses
    return look_up(state, command, lines, work, out)


@helper
def answer_stored(state, row, command, out, outcome):
    """Give the answer that is stored for a request id."""
    entry_row = state.requests[row]
    stored = entry_row.answer
    flags = np.int64(stored >> np.uint64(FLAGS_SHIFT))
    outcome.status = np.uint8((stored >> np.uint64(STATUS_SHIFT)) & np.uint64(0xFF))
    outcome.state = np.uint8((stored >> np.uint64(STATE_SHIFT)) & np.uint64(0xF))
    outcome.flags = IS_STORED | (IS_OVERSOLD if flags & APPLIED_OVERSOLD else 0)
    outcome.seq = np.int64(stored & np.uint64(SEQ_MASK))
    outcome.reservation_id = command.reservation_id
    outcome.time_us = entry_row.time_us
    made = outcome.status == OK and is_made(np.int64(TRAITS[command.operation]), command.reservation_id == 0)
    if made:
        outcome.version = 1
    if flags & HAS_DETAILS:
        line = entry_row.value
        if flags & HAS_RESERVATION:
            outcome.reservation_id = chained_reservation_id(state, line - 1)
            line = np.int64(state.held_lines[line - 1].following)
        while line != 0:
            chained_detail(state, line - 1, out)
            line = np.int64(state.held_lines[line - 1].following)
    elif made:
        outcome.reservation_id = entry_row.value
    else:
        outcome.version = entry_row.value


@helper
def check_request_id(state, command, out, outcome, fingerprint, time_us, window_us):
    """Answer a command from memory if its request id is known or too old; tells whether it did."""
    row = find(state.request_index, state.request_key, command.request_id_high, command.request_id_low)
    if row >= 0:
        known = state.requests[row].fingerprint
        if known == fingerprint:
            answer_stored(state, row, command, out, outcome)
        else:
            outcome.status = REQUEST_ID_REUSED
            outcome.field = field_that_differs(known, fingerprint)
        return True
    if is_too_old(command.request_id_high, time_us, window_us):
        outcome.status = REQUEST_ID_TOO_OLD
        return True
    return False


@helper
def write_record(state, out, work, command, record, status, fingerprint, movement_start, answer_start, time_us):
    """Apply a decided record and make it part of the group."""
    record.operation = command.operation
    record.status = status
    record.line_count = out.cursor[MOVEMENTS] - movement_start
    apply_record(state, record, out.movements, movement_start, time_us)
    if status == OK and TRAITS[command.operation] & IS_FACT and report_oversold(state, out, work, command.line_count):
        record.flags |= APPLIED_OVERSOLD
    state.counters[SEQ] += 1
    out.cursor[RECORDS] += 1
    if command.flags & HAS_REQUEST_ID:
        record.flags |= IS_REMEMBERED
        request = out.requests[out.cursor[REQUESTS]]
        request.request_id_high = command.request_id_high
        request.request_id_low = command.request_id_low
        request.fingerprint = fingerprint
        out.cursor[REQUESTS] += 1
        start = out.cursor[DETAILS]
        for position in range(answer_start, out.cursor[ANSWERS]):
            detail = out.details[out.cursor[DETAILS]]
            detail.line = out.answers[position].line
            detail.level = out.answers[position].level
            detail.requested = out.answers[position].requested
            detail.pad = 0
            detail.quantity = out.answers[position].quantity
            out.cursor[DETAILS] += 1
        record.detail_count = out.cursor[DETAILS] - start
        remember(state, request, record, state.counters[SEQ], out.details, start)


@helper
def is_to_be_written(command, status, movement_count):
    """Tell whether a decided command leaves a trace: a change, or an answer to be remembered."""
    if command.flags & HAS_REQUEST_ID:
        return True
    if status != OK:
        return False
    return movement_count > 0 or (TRAITS[command.operation] & WRITES_IF_MOVED) == 0


@helper
def run_command(state, out, work, command, lines, outcome, time_us, window_us):
    """Decide one command, apply and record it, and fill its outcome."""
    outcome.status = OK
    outcome.flags = 0
    outcome.state = 0
    outcome.field = 0
    outcome.version = 0
    outcome.reservation_id = command.reservation_id
    outcome.time_us = 0
    outcome.seq = state.counters[SEQ]
    outcome.detail_start = out.cursor[ANSWERS]
    outcome.detail_count = 0
    fingerprint = np.uint64(0)
    movement_start = out.cursor[MOVEMENTS]
    answer_start = out.cursor[ANSWERS]
    if command.flags & HAS_REQUEST_ID:
        fingerprint = fingerprint_of(state, command, lines)
        if check_request_id(state, command, out, outcome, fingerprint, time_us, window_us):
            outcome.detail_count = out.cursor[ANSWERS] - answer_start
            return
    record = out.records[out.cursor[RECORDS]]
    clear_record(record)
    if command.flags & VALIDATE_ONLY:
        status = validate(state, command, lines, work, out, record)
        outcome.flags = IS_ONLY_TOLD
    else:
        status = decide(state, command, lines, work, out, record, time_us)
        if is_to_be_written(command, status, out.cursor[MOVEMENTS] - movement_start):
            write_record(state, out, work, command, record, status, fingerprint, movement_start, answer_start, time_us)
            outcome.flags = IS_WRITTEN | (IS_OVERSOLD if record.flags & APPLIED_OVERSOLD else 0)
            outcome.seq = state.counters[SEQ]
    outcome.status = status
    outcome.state = record.state
    outcome.version = record.version
    outcome.reservation_id = record.reservation_id
    outcome.time_us = record.time_us
    outcome.detail_count = out.cursor[ANSWERS] - answer_start


@entry
def execute_batch(columns, output, scratch, commands, lines, outcomes, time_us, window_us):
    """Run COMMANDs in order; OUTCOMEs and records go to the arrays given. What it returns has no meaning."""
    state, out, work = state_of(columns), output_of(output), work_of(scratch)
    seen = np.int64(0)
    for first in range(0, len(commands), TOUCHED_AHEAD):
        last = min(first + TOUCHED_AHEAD, len(commands))
        seen += touch_commands(state, commands, lines, first, last)
        for position in range(first, last):
            run_command(state, out, work, commands[position], lines, outcomes[position], time_us, window_us)
    return seen


# ---- forgetting ------------------------------------------------------------------------------------------------------


@entry
def tidy(columns, forget_seq, ended_before_us, limit, result):
    """Forget request ids up to forget_seq and recycle reservations and documents that ended before an instant.

    At most `limit` of each; result[0] and result[1] say how many.
    """
    state = state_of(columns)
    result[0] = result[1] = 0
    place = state.counters[REQUEST_FIRST]
    while place != 0 and result[0] < limit:
        row = state.requests[place - 1]
        if np.int64(row.answer & np.uint64(SEQ_MASK)) > forget_seq:
            break
        result[0] += 1
        place = np.int64(row.following)
    forget(state, result[0])
    held, document = state.counters[ENDED_FIRST], state.counters[DOCUMENT_ENDED_FIRST]
    while result[1] < limit:
        is_document = is_document_first(state, held, document)
        if not is_document and held == 0:
            break
        time_us = state.documents[document - 1].time_us if is_document else state.reservations[held - 1].time_us
        if time_us >= ended_before_us:
            break
        result[1] += 1
        if is_document:
            document = np.int64(state.documents[document - 1].following)
        else:
            held = np.int64(state.reservations[held - 1].following)
    recycle(state, result[1])
