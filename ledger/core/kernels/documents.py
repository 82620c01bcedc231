"""The table of documents: slots, their lines with units by stage, and the list of ended ones."""

import numpy as np

from ledger.core.kernels import helper
from ledger.core.kernels.accounts import sku_of
from ledger.core.kernels.holds import generation_part, id_in_slot, is_foreign, slot_part
from ledger.core.records import FIELD_DUE, FIELD_METHOD, FIELD_ORDER, FIELD_PLACES, STAGE_BITS
from ledger.core.state import (
    DOCUMENT_COUNT,
    DOCUMENT_ENDED_FIRST,
    DOCUMENT_ENDED_LAST,
    DOCUMENT_ENDED_TOTAL,
    DOCUMENT_FREE,
    DOCUMENT_LINE_COUNT,
    DOCUMENT_LINE_FREE,
    DOCUMENT_OPEN_TOTAL,
    ENDED_BY_KIND,
    GENERATION_FLOOR,
    LINE_FOLLOWING,
    LINE_SKU,
    LINE_UNITS,
    OPEN_BY_KIND,
    SHARD,
    STAGES,
)

STAGE_MASK = (1 << STAGE_BITS) - 1


@helper
def next_document_id(state):
    """Id that the next document gets."""
    free = state.counters[DOCUMENT_FREE]
    slot = free - 1 if free != 0 else state.counters[DOCUMENT_COUNT]
    before = np.int64(state.documents[slot].generation) if free != 0 else state.counters[GENERATION_FLOOR]
    return id_in_slot(state.counters[SHARD], before + 1, slot)


@helper
def document_slot(state, document_id, kind):
    """Slot of a document of a kind that can still be read, or -1."""
    slot = slot_part(document_id)
    if document_id <= 0 or is_foreign(state, document_id) or slot >= state.counters[DOCUMENT_COUNT]:
        return -1
    row = state.documents[slot]
    if row.state == 0 or row.kind != kind or np.int64(row.generation) != generation_part(document_id):
        return -1
    return slot


@helper
def take_document(state, document_id, time_us):
    """Begin a document under the id that was promised for it."""
    slot = slot_part(document_id)
    if state.counters[DOCUMENT_FREE] != 0:
        assert state.counters[DOCUMENT_FREE] == slot + 1
        state.counters[DOCUMENT_FREE] = state.documents[slot].following
    else:
        assert state.counters[DOCUMENT_COUNT] == slot
        state.counters[DOCUMENT_COUNT] += 1
    state.counters[DOCUMENT_OPEN_TOTAL] += 1
    row = state.documents[slot]
    row.generation = generation_part(document_id)
    row.first_line = 0
    row.version = 0
    row.kind = 0
    row.state = 0
    row.line_count = 0
    row.is_ended = 0
    row.source = 0
    row.target = 0
    row.following = 0
    row.method = 0
    row.due_us = 0
    row.reservation_id = 0
    row.create_time_us = time_us
    row.time_us = time_us
    return slot


@helper
def set_field(state, slot, movement):
    """Set the field of a new document that a DOCUMENT movement says."""
    row = state.documents[slot]
    quantity = np.int64(movement.quantity)
    if movement.reason == FIELD_PLACES:
        row.kind = movement.change
        state.counters[OPEN_BY_KIND + row.kind] += 1
        row.source = quantity >> 32
        row.target = quantity & 0xFFFFFFFF
    elif movement.reason == FIELD_DUE:
        row.due_us = quantity
    elif movement.reason == FIELD_METHOD:
        row.method = quantity
    else:
        assert movement.reason == FIELD_ORDER
        row.reservation_id = quantity


@helper
def take_line(state, sku):
    """Return a fresh line of a sku."""
    free = state.counters[DOCUMENT_LINE_FREE]
    if free != 0:
        line = free - 1
        state.counters[DOCUMENT_LINE_FREE] = state.document_lines[line, LINE_FOLLOWING]
    else:
        line = state.counters[DOCUMENT_LINE_COUNT]
        state.counters[DOCUMENT_LINE_COUNT] += 1
    state.document_lines[line, LINE_SKU] = sku
    state.document_lines[line, LINE_FOLLOWING] = 0
    for stage in range(STAGES):
        state.document_lines[line, LINE_UNITS + 1 + stage] = 0
    return line


@helper
def line_of(state, slot, sku, hint):
    """Line of a document about a sku, appended if there is none; `hint` is the line before it in most cases, or -1."""
    if hint >= 0:
        if state.document_lines[hint, LINE_SKU] == sku:
            return hint
        following = np.int64(state.document_lines[hint, LINE_FOLLOWING])
        if following != 0 and state.document_lines[following - 1, LINE_SKU] == sku:
            return following - 1
    row = state.documents[slot]
    last = np.int64(-1)
    place = np.int64(row.first_line)
    while place != 0:
        if state.document_lines[place - 1, LINE_SKU] == sku:
            return place - 1
        last = place - 1
        place = np.int64(state.document_lines[last, LINE_FOLLOWING])
    line = np.int64(take_line(state, sku))
    row.line_count += 1
    if last < 0:
        row.first_line = line + 1
    else:
        state.document_lines[last, LINE_FOLLOWING] = line + 1
    return line


@helper
def move_stage(state, slot, movement, hint):
    """Apply one line of a movement to the document's line that it belongs to; returns that line."""
    line = np.int64(line_of(state, slot, sku_of(state, np.int64(movement.level)), hint))
    source, target = np.int64(movement.change) >> STAGE_BITS, np.int64(movement.change) & STAGE_MASK
    if source != 0:
        state.document_lines[line, LINE_UNITS + source] -= np.int32(movement.quantity)
    state.document_lines[line, LINE_UNITS + target] += np.int32(movement.quantity)
    return line


@helper
def end_document(state, slot):
    """Put a document at the end of the list of ended ones."""
    row = state.documents[slot]
    row.is_ended = 1
    row.following = 0
    last = state.counters[DOCUMENT_ENDED_LAST]
    if last != 0:
        state.documents[last - 1].following = slot + 1
    else:
        state.counters[DOCUMENT_ENDED_FIRST] = slot + 1
    state.counters[DOCUMENT_ENDED_LAST] = slot + 1
    state.counters[DOCUMENT_OPEN_TOTAL] -= 1
    state.counters[DOCUMENT_ENDED_TOTAL] += 1
    state.counters[OPEN_BY_KIND + row.kind] -= 1
    state.counters[ENDED_BY_KIND + row.kind] += 1
