"""Deciding one verb of a document, as the tables of `ledger.core.documents` say.

What the lines would do is worked out twice on a copy of the document's units: once to see whether it may be done, and
once to say it as movements. The copy stands in work.amounts, a row of WIDTH columns for each line of the document:
units by stage, what they need at the source, and the position of the line of the command that asked first; skus are in
work.places.
"""

import numpy as np

from ledger.core import limits
from ledger.core.documents import (
    ACTIONS,
    CREATE,
    HAS_ENDED,
    HELD_STAGES,
    MEANWHILE,
    MEANWHILE_MAX,
    METHODS,
    NEEDS_LINES,
    NOTHING,
    NUMBERS,
    REST,
    REST_MAX,
    STATUS,
    SWEEPS,
    THEN,
    WAY_COMMITS,
    WAY_COUNT,
    WAY_IS_MISSING,
    WAY_MOVEMENT,
    WAY_NEEDS,
    WAY_OF_ORDER,
    WAY_PLACE,
    WAY_SOURCE,
    WAY_TARGET,
    WAYS,
    WHILE_ANY,
    Needs,
    Place,
)
from ledger.core.kernels import apart, helper
from ledger.core.kernels.accounts import extra_of, find_level, sellable_at
from ledger.core.kernels.decide import refuse_line
from ledger.core.kernels.documents import document_slot, next_document_id
from ledger.core.kernels.facts import ensure_level
from ledger.core.kernels.holds import COMMITTED, find_held_line, is_foreign, slot_of
from ledger.core.kernels.output import ANSWERS, MOVEMENTS, answer, emit
from ledger.core.records import (
    ENDS_RESERVATION,
    FIELD_DUE,
    FIELD_METHOD,
    FIELD_ORDER,
    FIELD_PLACES,
    NO_LEVEL,
    STAGE_BITS,
    TO_LOCATION,
    USES_SAFETY_STOCK,
)
from ledger.core.state import FREE, LINE_FOLLOWING, LINE_SKU, LINE_UNITS, SAFETY_STOCK, STAGES
from ledger.core.statuses import Kind, Status

OK = int(Status.OK)
SKU_NOT_FOUND = int(Status.SKU_NOT_FOUND)
LOCATION_NOT_FOUND = int(Status.LOCATION_NOT_FOUND)
RESERVATION_NOT_FOUND = int(Status.RESERVATION_NOT_FOUND)
WRONG_SHARD = int(Status.WRONG_SHARD)
NOT_STOCKED_HERE = int(Status.NOT_STOCKED_HERE)
DOCUMENT_NOT_FOUND = int(Status.DOCUMENT_NOT_FOUND)
RESERVATION_NOT_COMMITTED = int(Status.RESERVATION_NOT_COMMITTED)
VERSION_MISMATCH = int(Status.VERSION_MISMATCH)
TOO_MANY_LINES = int(Status.TOO_MANY_LINES)
QUANTITY_EXCEEDS_OPEN = int(Status.QUANTITY_EXCEEDS_OPEN)
INSUFFICIENT_STOCK = int(Status.INSUFFICIENT_STOCK)
VERB_NOT_ALLOWED = int(Status.VERB_NOT_ALLOWED)
CANCEL = int(Kind.CANCEL)
CANCEL_ASSIGNED = int(Kind.CANCEL_ASSIGNED)
COMMIT_FREE = int(Kind.COMMIT_FREE)
DOCUMENT = int(Kind.DOCUMENT)
MISSING = int(Kind.MISSING)
UNASSIGN = int(Kind.UNASSIGN)
AT_SOURCE = int(Place.SOURCE)
NEEDS_NOTHING = int(Needs.NOTHING)

# Columns of the copy: units by stage, from 1 on, then:
NEEDED = STAGES  # + Needs: units that need something at the source
NEEDED_FREE = NEEDED + int(Needs.FREE)
NEEDED_THERE = NEEDED + int(Needs.THERE)
NEEDED_OF_ORDER = NEEDED_THERE + 1
ARE_MISSING = NEEDED_OF_ORDER + 1  # units that nobody finds
ROOM_TAKEN = ARE_MISSING + 1  # bits of Place: where the order has room for it
ASKED_BY = ROOM_TAKEN + 1  # position among the lines of the command, the head counted; 0: nobody
WIDTH = ASKED_BY + 1
LINES_MAX = limits.LINES_PER_DOCUMENT_MAX
HELD_LINES_MAX = limits.LINES_PER_RESERVATION_MAX
DOCUMENTS_MAX = limits.DOCUMENTS_PER_RESERVATION_MAX
QUANTITY_MAX = limits.QUANTITY_MAX
ORDER_ROOM = LINES_MAX * WIDTH  # one more value of work.amounts: lines that the order has room for
ALL_UNITS = 1 << 62
assert WIDTH < 1 << 8
assert NUMBERS <= 32
assert ORDER_ROOM < limits.MOVEMENTS_PER_CALL_MAX


@helper
def look_up_units(command, lines, is_new, out):
    """Refuse skus that the catalog does not know, and unknown places of a document that begins."""
    start = np.int64(command.line_start)
    for position in range(1, command.line_count):
        if lines[start + position].sku < 0:
            return refuse_line(out, SKU_NOT_FOUND, position)
    if is_new and (lines[start].location < 0 or lines[start].to_location < 0):
        answer(out, 0, NO_LEVEL if lines[start].location < 0 else TO_LOCATION, 0, 0)
        return LOCATION_NOT_FOUND
    return OK


@helper
def check_begin(state, command, lines, order_id, order, out):
    """Refuse a document that begins: its skus must be stocked at the source, its order must take part."""
    start = np.int64(command.line_start)
    if order_id != 0 and order < 0:
        return RESERVATION_NOT_FOUND
    for position in range(1, command.line_count):
        if find_level(state, lines[start + position].sku, lines[start].location) < 0:
            return refuse_line(out, NOT_STOCKED_HERE, position)
    if order >= 0:
        if not is_open_order(state, order):
            return RESERVATION_NOT_COMMITTED
        if state.reservations[order].awaits >= DOCUMENTS_MAX:
            return TOO_MANY_LINES
    return OK


@helper
def is_open_order(state, order):
    """Tell whether a reservation is the hold of an order that still wants its units."""
    return state.reservations[order].state == COMMITTED and state.reservations[order].is_ended == 0


@helper
def copy_units(state, slot, work):
    """Copy the units of a document's lines; returns how many lines."""
    count = np.int64(0)
    place = np.int64(0)
    if slot >= 0:
        place = np.int64(state.documents[slot].first_line)
    while place != 0:
        clear_row(work, count, state.document_lines[place - 1, LINE_SKU])
        for stage in range(STAGES):
            work.amounts[count * WIDTH + stage + 1] = state.document_lines[place - 1, LINE_UNITS + 1 + stage]
        count += 1
        place = np.int64(state.document_lines[place - 1, LINE_FOLLOWING])
    return count


@helper
def clear_row(work, place, sku):
    """Begin a row of the copy."""
    work.places[place] = sku
    for column in range(WIDTH):
        work.amounts[place * WIDTH + column] = 0


@helper
def place_of(work, count, sku):
    """Row of a sku in the copy; `count` if there is none."""
    for place in range(count):
        if work.places[place] == sku:
            return np.int64(place)
    return np.int64(count)


@helper
def has_room(state, work, order, level, place, at):
    """Tell whether the reservation of an order can hold units of a line, and take the room; there may be no order.

    `at` is the place of the level, of Place.
    """
    if order < 0:
        return False
    line = find_held_line(state, order, level, np.int64(-1))
    if line >= 0:
        total = np.int64(0)
        for stage in range(1, STAGES + 1):
            total += work.amounts[place * WIDTH + stage]
        return state.held_lines[line].quantity <= QUANTITY_MAX - total
    if (work.amounts[place * WIDTH + ROOM_TAKEN] >> at) & 1 != 0:
        return True
    if work.amounts[ORDER_ROOM] <= 0:
        return False
    work.amounts[ORDER_ROOM] -= 1
    work.amounts[place * WIDTH + ROOM_TAKEN] |= np.int64(1) << at
    return True


@helper
def say_way(state, out, work, source, target, order, kind, action, number, place, reason, units):
    """Say as movements what a way does with units of a line."""
    sku = np.int64(work.places[place])
    at = np.int64(WAYS[kind, action, number, WAY_PLACE])
    location = source if at == AT_SOURCE else target
    level = np.int64(ensure_level(state, out, sku, location))
    grows = WAYS[kind, action, number, WAY_TARGET]
    movement = np.int64(WAYS[kind, action, number, WAY_MOVEMENT])
    if WAYS[kind, action, number, WAY_OF_ORDER] != 0:
        if movement == UNASSIGN and not has_room(state, work, order, level, place, at):
            movement = np.int64(CANCEL_ASSIGNED)
    elif order >= 0 and takes_from_order(kind, action, number):
        emit(out, level, CANCEL, 0, units)
    emit(out, level, movement, reason, units)
    shrinks = WAYS[kind, action, number, WAY_SOURCE]
    out.movements[out.cursor[MOVEMENTS] - 1].change = (shrinks << STAGE_BITS) | grows
    if WAYS[kind, action, number, WAY_COMMITS] != 0 and has_room(state, work, order, level, place, at):
        emit(out, level, COMMIT_FREE, 0, units)


@helper
def takes_from_order(kind, action, number):
    """Tell whether units come into the document held: where it is for an order, they are the order's."""
    is_new = WAYS[kind, action, number, WAY_SOURCE] == NOTHING
    return is_new and (HELD_STAGES[kind] >> WAYS[kind, action, number, WAY_TARGET]) & 1 != 0


@helper
def run_action(state, out, work, source, target, order, kind, action, place, reason, wanted, says):
    """Move units of a line in the copy as an action says, and if `says` as movements; returns those not found."""
    left = np.int64(wanted)
    for number in range(WAY_COUNT[kind, action]):
        shrinks = place * WIDTH + WAYS[kind, action, number, WAY_SOURCE]
        grows = place * WIDTH + WAYS[kind, action, number, WAY_TARGET]
        is_new = WAYS[kind, action, number, WAY_SOURCE] == NOTHING
        there = QUANTITY_MAX - work.amounts[grows] if is_new else work.amounts[shrinks]
        units = min(left, there)
        if units <= 0:
            continue
        if not is_new:
            work.amounts[shrinks] -= units
        work.amounts[grows] += units
        left -= units
        work.amounts[place * WIDTH + ARE_MISSING] += units * WAYS[kind, action, number, WAY_IS_MISSING]
        needs = np.int64(WAYS[kind, action, number, WAY_NEEDS])
        if order >= 0 and takes_from_order(kind, action, number):
            work.amounts[place * WIDTH + NEEDED_OF_ORDER] += units
        elif needs != NEEDS_NOTHING:
            work.amounts[place * WIDTH + NEEDED + needs] += units
        if says:
            say_way(state, out, work, source, target, order, kind, action, number, place, reason, units)
    return left


@helper
def run_lines(state, out, work, slot, source, target, order, kind, verb, command, lines, says):
    """Do what the lines of a verb say, and what becomes of the rest. Returns status, lines there are, units moved."""
    count = np.int64(copy_units(state, slot, work))
    start = np.int64(command.line_start)
    begin = out.cursor[ANSWERS]
    status = OK
    moved = np.int64(0)
    for position in range(1, command.line_count):
        line = lines[start + position]
        action = np.int64(line.kind)
        assert (ACTIONS[kind, verb] >> action) & 1
        place = np.int64(place_of(work, count, line.sku))
        if place == count:
            if WAYS[kind, action, 0, WAY_SOURCE] != NOTHING:
                answer(out, position, find_level(state, line.sku, source), line.quantity, 0)
                status = QUANTITY_EXCEEDS_OPEN
                continue
            if count == LINES_MAX:
                out.cursor[ANSWERS] = begin
                return TOO_MANY_LINES, count, moved
            clear_row(work, place, line.sku)
            count += 1
        if work.amounts[place * WIDTH + ASKED_BY] == 0:
            work.amounts[place * WIDTH + ASKED_BY] = position
        wanted = np.int64(line.quantity)
        left = np.int64(
            run_action(state, out, work, source, target, order, kind, action, place, line.reason, wanted, says)
        )
        moved += wanted - left
        if left > 0:
            answer(out, position, find_level(state, line.sku, source), wanted, wanted - left)
            status = QUANTITY_EXCEEDS_OPEN
    if SWEEPS[kind, verb] != 0 or command.line_count == 1:
        moved += run_rest(state, out, work, source, target, order, kind, verb, count, says)
    return status, count, moved


@helper
def run_rest(state, out, work, source, target, order, kind, verb, count, says):
    """Do with all units what becomes of those that no line names; returns how many."""
    moved = np.int64(0)
    for place in range(count):
        if work.amounts[place * WIDTH + ASKED_BY] == 0:
            work.amounts[place * WIDTH + ASKED_BY] = place + 1
        for number in range(REST_MAX):
            action = np.int64(REST[kind, verb, number])
            if action != 0:
                left = run_action(state, out, work, source, target, order, kind, action, place, 0, ALL_UNITS, says)
                moved += ALL_UNITS - left
    return moved


@helper
def check_order(state, work, source, order, count, out):
    """Refuse to take more units of an order than it holds at the source."""
    status = OK
    for place in range(count):
        needed = work.amounts[place * WIDTH + NEEDED_OF_ORDER]
        if needed > 0:
            level = np.int64(find_level(state, np.int64(work.places[place]), source))
            line = find_held_line(state, order, level, np.int64(-1))
            left = np.int64(state.held_lines[line].open) if line >= 0 else np.int64(0)
            if needed > left:
                answer(out, work.amounts[place * WIDTH + ASKED_BY], level, needed, left)
                status = QUANTITY_EXCEEDS_OPEN
    return status


@helper
def check_source(state, work, source, uses_safety_stock, count, out):
    """Refuse to take more units than the source has of what each line needs; details in the order of who asked."""
    status = OK
    asked = np.int64(1)
    while asked <= LINES_MAX:
        for place in range(count):
            if work.amounts[place * WIDTH + ASKED_BY] == asked:
                status = max(status, check_line(state, work, source, uses_safety_stock, place, out))
        asked += 1
    return status


@helper
def check_line(state, work, source, uses_safety_stock, place, out):
    """Refuse to take more units of one line than the source has of what they need."""
    free = work.amounts[place * WIDTH + NEEDED_FREE]
    there = free + work.amounts[place * WIDTH + NEEDED_THERE]
    if there == 0:
        return OK
    level = np.int64(find_level(state, np.int64(work.places[place]), source))
    kept = np.int64(0) if uses_safety_stock else extra_of(state, level, SAFETY_STOCK)
    left = max(np.int64(0), state.level_stock[level, FREE] - kept)
    if free > left:
        answer(out, work.amounts[place * WIDTH + ASKED_BY], level, free, left)
        return INSUFFICIENT_STOCK
    left = max(np.int64(0), sellable_at(state, level))
    if there > left:
        answer(out, work.amounts[place * WIDTH + ASKED_BY], level, there, left)
        return INSUFFICIENT_STOCK
    return OK


@helper
def say_missing(state, out, work, source, count):
    """Say of units that nobody finds that they are gone: as many as are free once nobody holds them.

    Where the books know already that less is there than was promised, what is missing closes that gap first.
    """
    for place in range(count):
        missing = work.amounts[place * WIDTH + ARE_MISSING]
        if missing > 0:
            level = np.int64(find_level(state, np.int64(work.places[place]), source))
            gone = min(missing, state.level_stock[level, FREE] + missing)
            if gone > 0:
                emit(out, level, MISSING, 0, gone)


@helper
def state_after(work, kind, before, verb, count):
    """State that a verb leads to, by the units that are left in each stage."""
    there = np.int64(0)
    for place in range(count):
        for stage in range(1, STAGES + 1):
            if work.amounts[place * WIDTH + stage] != 0:
                there |= np.int64(1) << stage
    for number in range(MEANWHILE_MAX):
        if there & WHILE_ANY[kind, before, verb, number]:
            return np.int64(MEANWHILE[kind, before, verb, number])
    return np.int64(THEN[kind, before, verb])


@helper
def say_field(out, level, kind, field, value):
    """Say one field of a document that begins."""
    emit(out, level, DOCUMENT, field, value)
    out.movements[out.cursor[MOVEMENTS] - 1].change = kind


@helper
def say_head(state, command, lines, kind, out):
    """Say what a document is that begins."""
    head = lines[command.line_start]
    level = np.int64(find_level(state, lines[command.line_start + 1].sku, head.location))
    say_field(out, level, kind, FIELD_PLACES, (np.int64(head.location) << 32) | np.int64(head.to_location))
    if head.quantity != 0:
        say_field(out, level, kind, FIELD_DUE, head.quantity)
    if head.to_quantity != 0:
        say_field(out, level, kind, FIELD_ORDER, head.to_quantity)
    if head.method != 0:
        say_field(out, level, kind, FIELD_METHOD, head.method)


@apart
def decide_advance(state, command, lines, work, out, record, time_us):
    """Do one verb of a document, all of it or nothing."""
    head = lines[command.line_start]
    kind, verb = np.int64(head.reason), np.int64(head.kind)
    record.verb = verb
    is_new = verb == CREATE
    if is_foreign(state, command.reservation_id) or (is_new and is_foreign(state, np.int64(head.to_quantity))):
        return np.int64(WRONG_SHARD)
    status = look_up_units(command, lines, is_new, out)
    if status != OK:
        return np.int64(status)
    slot = np.int64(-1)
    before, version, method = np.int64(NOTHING), np.int64(0), np.int64(head.method)
    source, target, order_id = np.int64(head.location), np.int64(head.to_location), np.int64(head.to_quantity)
    if not is_new:
        slot = np.int64(document_slot(state, command.reservation_id, kind))
        if slot < 0:
            return np.int64(DOCUMENT_NOT_FOUND)
        row = state.documents[slot]
        before, version, method = np.int64(row.state), np.int64(row.version), np.int64(row.method)
        source, target, order_id = np.int64(row.source), np.int64(row.target), np.int64(row.reservation_id)
        record.state = before
    order = np.int64(slot_of(state, order_id)) if order_id != 0 else np.int64(-1)
    if is_new:
        status = check_begin(state, command, lines, order_id, order, out)
    elif command.expected_version not in (0, version):
        record.version = version
        status = VERSION_MISMATCH
    if status == OK:
        status = np.int64(STATUS[kind, before, verb])
    if status == OK and METHODS[kind, verb] != 0 and (METHODS[kind, verb] >> method) & 1 == 0:
        status = np.int64(VERB_NOT_ALLOWED)
    if status == VERB_NOT_ALLOWED:
        record.version = method
    if status != OK:
        return np.int64(status)
    if order >= 0 and not is_open_order(state, order):
        order = np.int64(-1)  # nobody waits for the units any more
    assert NEEDS_LINES[kind, verb] == 0 or command.line_count > 1
    status, count, moved = run_lines(state, out, work, slot, source, target, order, kind, verb, command, lines, False)
    if status == OK and moved == 0 and SWEEPS[kind, verb] == 0:
        status = refuse_line(out, QUANTITY_EXCEEDS_OPEN, 0)
    if status == OK:
        status = check_order(state, work, source, order, count, out)
    if status == OK:
        status = check_source(state, work, source, command.flags & USES_SAFETY_STOCK, count, out)
    if status != OK:
        return np.int64(status)
    # from here on it must succeed
    if is_new:
        say_head(state, command, lines, kind, out)
        record.reservation_id = next_document_id(state)
    if order >= 0:
        work.amounts[ORDER_ROOM] = HELD_LINES_MAX - np.int64(state.reservations[order].line_count)
    run_lines(state, out, work, slot, source, target, order, kind, verb, command, lines, True)
    say_missing(state, out, work, source, count)
    after = np.int64(state_after(work, kind, before, verb, count))
    if HAS_ENDED[kind, after] != 0 and HAS_ENDED[kind, before] == 0:
        record.flags |= ENDS_RESERVATION
    record.state = after
    record.version = version + 1
    record.time_us = time_us
    return np.int64(OK)
