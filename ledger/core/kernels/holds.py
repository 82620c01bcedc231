"""The table of reservations: slots, their lines, the expiry wheel, and the list of ended ones."""

import numpy as np

from ledger.core import ids
from ledger.core.kernels import helper
from ledger.core.state import (
    ACTIVE_TOTAL,
    DOCUMENT_ENDED_FIRST,
    DOCUMENT_ENDED_LAST,
    DOCUMENT_ENDED_TOTAL,
    DOCUMENT_FREE,
    DOCUMENT_LINE_FREE,
    ENDED_BY_KIND,
    ENDED_FIRST,
    ENDED_LAST,
    ENDED_TOTAL,
    GENERATION_FLOOR,
    HELD_LINE_COUNT,
    HELD_LINE_FREE,
    LINE_FOLLOWING,
    RESERVATION_COUNT,
    RESERVATION_FREE,
    SHARD,
    STRETCH_BITS,
    TICK_BITS,
    WHEEL_SIZE,
)
from ledger.core.statuses import ReservationState

ACTIVE = int(ReservationState.ACTIVE)
COMMITTED = int(ReservationState.COMMITTED)
RELEASED = int(ReservationState.RELEASED)
EXPIRED = int(ReservationState.EXPIRED)
FULFILLED = int(ReservationState.FULFILLED)
CANCELLED = int(ReservationState.CANCELLED)

GENERATION_MAX = ids.GENERATION_MAX
WHEEL_MASK = WHEEL_SIZE - 1
# Columns of the wheel.
WHEEL_HEAD = 0
WHEEL_LENGTH = 1


named = helper(ids.named)
id_in_slot = helper(ids.id_in_slot)
shard_of = helper(ids.shard_of)
slot_part = helper(ids.slot_part)
generation_part = helper(ids.generation_part)


@helper
def is_foreign(state, identity):
    """Tell whether an id is of another shard."""
    return identity > 0 and shard_of(identity) != state.counters[SHARD]


@helper
def next_reservation_id(state):
    """Id that the next reservation gets."""
    free = state.counters[RESERVATION_FREE]
    slot = free - 1 if free != 0 else state.counters[RESERVATION_COUNT]
    before = np.int64(state.reservations[slot].generation) if free != 0 else state.counters[GENERATION_FLOOR]
    return id_in_slot(state.counters[SHARD], before + 1, slot)


@helper
def slot_of(state, reservation_id):
    """Slot of a reservation that can still be read, or -1."""
    slot = slot_part(reservation_id)
    if reservation_id <= 0 or is_foreign(state, reservation_id) or slot >= state.counters[RESERVATION_COUNT]:
        return -1
    row = state.reservations[slot]
    if row.state == 0 or np.int64(row.generation) != generation_part(reservation_id):
        return -1
    return slot


@helper
def take_slot(state, reservation_id, create_time_us):
    """Begin a reservation under the id that was promised for it."""
    slot = slot_part(reservation_id)
    if state.counters[RESERVATION_FREE] != 0:
        assert state.counters[RESERVATION_FREE] == slot + 1
        state.counters[RESERVATION_FREE] = state.reservations[slot].following
    else:
        assert state.counters[RESERVATION_COUNT] == slot
        state.counters[RESERVATION_COUNT] += 1
    row = state.reservations[slot]
    row.generation = generation_part(reservation_id)
    row.first_line = 0
    row.line_count = 0
    row.preceding = 0
    row.following = 0
    row.is_ended = 0
    row.awaits = 0
    row.create_time_us = create_time_us
    return slot


@helper
def take_held_line(state):
    """Return a fresh held line."""
    free = state.counters[HELD_LINE_FREE]
    if free != 0:
        line = free - 1
        state.counters[HELD_LINE_FREE] = state.held_lines[line].following
    else:
        line = state.counters[HELD_LINE_COUNT]
        state.counters[HELD_LINE_COUNT] += 1
    row = state.held_lines[line]
    row.level = 0
    row.following = 0
    row.quantity = 0
    row.open = 0
    row.fulfilled = 0
    return line


@helper
def free_held_lines(state, first):
    """Give back a chain of held lines; `first` is a line + 1, or 0."""
    while first != 0:
        line = first - 1
        first = state.held_lines[line].following
        state.held_lines[line].following = state.counters[HELD_LINE_FREE]
        state.counters[HELD_LINE_FREE] = line + 1


@helper
def find_held_line(state, slot, level, hint):
    """Line of a reservation at a level, or -1; `hint` is the line before it in most cases, or -1."""
    if hint >= 0:
        following = state.held_lines[hint].following
        if following != 0 and state.held_lines[following - 1].level == level:
            return np.int64(following - 1)
    line = state.reservations[slot].first_line
    while line != 0:
        if state.held_lines[line - 1].level == level:
            return np.int64(line - 1)
        line = state.held_lines[line - 1].following
    return np.int64(-1)


@helper
def append_held_line(state, slot, level, hint):
    """Add a line to a reservation; `hint` is a line near its end, or -1."""
    line = take_held_line(state)
    state.held_lines[line].level = level
    row = state.reservations[slot]
    row.line_count += 1
    if row.first_line == 0:
        row.first_line = line + 1
        return line
    last = hint if hint >= 0 else np.int64(row.first_line - 1)
    while state.held_lines[last].following != 0:
        last = np.int64(state.held_lines[last].following - 1)
    state.held_lines[last].following = line + 1
    return line


@helper
def drop_empty_lines(state, slot):
    """Free the lines of a reservation that hold nothing and never will be asked about: quantity 0."""
    row = state.reservations[slot]
    before = np.int64(-1)
    place = np.int64(row.first_line)
    while place != 0:
        line = state.held_lines[place - 1]
        following = np.int64(line.following)
        if line.quantity == 0:
            if before < 0:
                row.first_line = following
            else:
                state.held_lines[before].following = following
            row.line_count -= 1
            line.following = 0
            free_held_lines(state, place)
        else:
            before = place - 1
        place = following


@helper
def open_units(state, slot):
    """Units that a reservation still holds."""
    total = np.int64(0)
    line = state.reservations[slot].first_line
    while line != 0:
        total += state.held_lines[line - 1].open
        line = state.held_lines[line - 1].following
    return total


@helper
def state_at_end(state, slot):
    """State that a commitment shows of which nothing is open any more: what was fulfilled stands in its lines."""
    place = np.int64(state.reservations[slot].first_line)
    while place != 0:
        line = state.held_lines[place - 1]
        if line.fulfilled > 0:
            return FULFILLED
        place = np.int64(line.following)
    return CANCELLED


@helper
def tick_of(time_us):
    """Place in the wheel of an instant."""
    return (time_us >> TICK_BITS) & WHEEL_MASK


@helper
def enter_wheel(state, slot):
    """Put an ACTIVE reservation into the tick of its expire time."""
    tick = tick_of(state.reservations[slot].time_us)
    head = state.wheel[tick, WHEEL_HEAD]
    state.reservations[slot].preceding = 0
    state.reservations[slot].following = head
    if head != 0:
        state.reservations[head - 1].preceding = slot + 1
    state.wheel[tick, WHEEL_HEAD] = slot + 1
    state.wheel[tick, WHEEL_LENGTH] += 1
    state.wheel_stretches[tick >> STRETCH_BITS] = 1
    state.counters[ACTIVE_TOTAL] += 1


@helper
def leave_wheel(state, slot):
    """Take a reservation out of the tick of its expire time."""
    row = state.reservations[slot]
    tick = tick_of(row.time_us)
    if row.preceding != 0:
        state.reservations[row.preceding - 1].following = row.following
    else:
        state.wheel[tick, WHEEL_HEAD] = row.following
    state.wheel[tick, WHEEL_LENGTH] -= 1
    if row.following != 0:
        state.reservations[row.following - 1].preceding = row.preceding
    state.counters[ACTIVE_TOTAL] -= 1


@helper
def enter_ended(state, slot):
    """Put a reservation at the end of the list of ended ones."""
    row = state.reservations[slot]
    row.is_ended = 1
    row.preceding = 0
    row.following = 0
    last = state.counters[ENDED_LAST]
    if last != 0:
        state.reservations[last - 1].following = slot + 1
    else:
        state.counters[ENDED_FIRST] = slot + 1
    state.counters[ENDED_LAST] = slot + 1
    state.counters[ENDED_TOTAL] += 1


@helper
def is_document_first(state, held, document):
    """Tell which ended first, a document or a reservation; each a place + 1 in its list, or 0."""
    if held == 0 or document == 0:
        return document != 0
    return state.documents[document - 1].time_us < state.reservations[held - 1].time_us


@helper
def recycle(state, count):
    """Give the slots of what ended longest ago back, reservations and documents: their ids are unknown from now on.

    A slot whose generations are used up is used no more: an id never comes twice.
    """
    for _ in range(count):
        held, document = state.counters[ENDED_FIRST], state.counters[DOCUMENT_ENDED_FIRST]
        if is_document_first(state, held, document):
            recycle_document(state, document - 1)
        else:
            recycle_reservation(state, held - 1)


@helper
def recycle_reservation(state, slot):
    """Give back the slot of the reservation that ended longest ago."""
    row = state.reservations[slot]
    state.counters[ENDED_FIRST] = row.following
    if row.following == 0:
        state.counters[ENDED_LAST] = 0
    free_held_lines(state, row.first_line)
    row.first_line = 0
    row.state = 0
    row.is_ended = 0
    row.following = 0
    state.counters[ENDED_TOTAL] -= 1
    if row.generation < GENERATION_MAX:
        row.following = state.counters[RESERVATION_FREE]
        state.counters[RESERVATION_FREE] = slot + 1


@helper
def recycle_document(state, slot):
    """Give back the slot of the document that ended longest ago, and its lines."""
    row = state.documents[slot]
    state.counters[DOCUMENT_ENDED_FIRST] = row.following
    if row.following == 0:
        state.counters[DOCUMENT_ENDED_LAST] = 0
    place = np.int64(row.first_line)
    while place != 0:
        following = np.int64(state.document_lines[place - 1, LINE_FOLLOWING])
        state.document_lines[place - 1, LINE_FOLLOWING] = state.counters[DOCUMENT_LINE_FREE]
        state.counters[DOCUMENT_LINE_FREE] = place
        place = following
    row.first_line = 0
    row.state = 0
    row.is_ended = 0
    row.following = 0
    state.counters[DOCUMENT_ENDED_TOTAL] -= 1
    state.counters[ENDED_BY_KIND + row.kind] -= 1
    if row.generation < GENERATION_MAX:
        row.following = state.counters[DOCUMENT_FREE]
        state.counters[DOCUMENT_FREE] = slot + 1
