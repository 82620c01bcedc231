"""Deciding about reservations: each function is the decision table of one operation; facts have `.facts`.

Every function checks first, in the order of Status, and returns the first that applies. After the line "from here on
it must succeed" it writes the movements and the record's fields and returns OK. Nothing but the output is written here,
with one exception: a stock level that begins to exist is made at once, since later lines of the command may need it.
ledger.core.kernels.apply changes the ledger.
"""

import numpy as np

from ledger.core import limits
from ledger.core.kernels import helper
from ledger.core.kernels.accounts import available_at, find_level, location_of, sellable_at, sku_of
from ledger.core.kernels.holds import (
    ACTIVE,
    COMMITTED,
    EXPIRED,
    FULFILLED,
    RELEASED,
    find_held_line,
    is_foreign,
    next_reservation_id,
    open_units,
    slot_of,
    state_at_end,
)
from ledger.core.kernels.output import answer, emit
from ledger.core.records import ALLOW_PARTIAL, ANY_SKU, ENDS_RESERVATION, NO_LEVEL, NO_LOCATION, TO_LOCATION
from ledger.core.statuses import Kind, Status

CANCEL = int(Kind.CANCEL)
COMMIT = int(Kind.COMMIT)
COMMIT_FREE = int(Kind.COMMIT_FREE)
FULFILL = int(Kind.FULFILL)
RELEASE = int(Kind.RELEASE)
RESERVE = int(Kind.RESERVE)
OK = int(Status.OK)
SKU_NOT_FOUND = int(Status.SKU_NOT_FOUND)
LOCATION_NOT_FOUND = int(Status.LOCATION_NOT_FOUND)
RESERVATION_NOT_FOUND = int(Status.RESERVATION_NOT_FOUND)
WRONG_SHARD = int(Status.WRONG_SHARD)
NOT_STOCKED_HERE = int(Status.NOT_STOCKED_HERE)
RESERVATION_EXPIRED = int(Status.RESERVATION_EXPIRED)
RESERVATION_NOT_ACTIVE = int(Status.RESERVATION_NOT_ACTIVE)
RESERVATION_NOT_COMMITTED = int(Status.RESERVATION_NOT_COMMITTED)
VERSION_MISMATCH = int(Status.VERSION_MISMATCH)
LOCATION_INACTIVE = int(Status.LOCATION_INACTIVE)
TOO_MANY_LINES = int(Status.TOO_MANY_LINES)
QUANTITY_EXCEEDS_OPEN = int(Status.QUANTITY_EXCEEDS_OPEN)
INSUFFICIENT_STOCK = int(Status.INSUFFICIENT_STOCK)

LINES_MAX = limits.LINES_PER_RESERVATION_MAX
QUANTITY_MAX = limits.QUANTITY_MAX


# ---- lookups ---------------------------------------------------------------------------------------------------------


@helper
def look_up(state, command, lines, work, out):
    """Find the stock level of each line; refuse unknown skus and locations. A level may be missing: -1."""
    status = OK
    culprit = 0
    level = NO_LEVEL
    for position in range(command.line_count):
        line = lines[command.line_start + position]
        found = OK
        if line.sku < 0 and line.sku != ANY_SKU:
            found = SKU_NOT_FOUND
        elif line.location < 0 or line.to_location < NO_LOCATION:
            found = LOCATION_NOT_FOUND
        if found != OK and (status == OK or found < status):
            status = found
            culprit = position
            level = TO_LOCATION if found == LOCATION_NOT_FOUND and line.location >= 0 else NO_LEVEL
        work.levels[position] = -1
        if found == OK and line.sku >= 0:
            work.levels[position] = find_level(state, line.sku, line.location)
    if status != OK:
        answer(out, culprit, level, 0, 0)
    return status


@helper
def refuse_line(out, status, position):
    """Refuse because of one line."""
    answer(out, position, NO_LEVEL, 0, 0)
    return status


@helper
def find_hold(state, command, lines, work, out):
    """Begin deciding a change of a reservation: look up its lines, then itself. Returns status, slot."""
    status = look_up(state, command, lines, work, out) if not is_foreign(state, command.reservation_id) else WRONG_SHARD
    slot = np.int64(slot_of(state, command.reservation_id))
    if status == OK and slot < 0:
        status = RESERVATION_NOT_FOUND
    return status, slot


@helper
def hold_status(state, slot, allows_committed):
    """Status of wanting to change a hold: it must be ACTIVE, or COMMITTED with open units where that is allowed."""
    row = state.reservations[slot]
    if row.state == ACTIVE or (allows_committed and row.state == COMMITTED and row.is_ended == 0):
        return OK
    return RESERVATION_EXPIRED if row.state == EXPIRED else RESERVATION_NOT_ACTIVE


@helper
def take_units(state, slot, command, lines, work, out):
    """Fill work with the lines named, or with all open ones; refuse more than is open. Returns status, count.

    work.held, work.levels and work.amounts are filled; positions in details are those of the command's lines, or of
    the reservation's.
    """
    status = OK
    count = 0
    if command.line_count > 0:
        for position in range(command.line_count):
            wanted = lines[command.line_start + position].quantity
            held = np.int64(-1)
            if work.levels[position] >= 0:
                held = find_held_line(state, slot, np.int64(work.levels[position]), np.int64(-1))
            left = np.int64(state.held_lines[held].open) if held >= 0 else np.int64(0)
            if wanted > left:
                answer(out, position, work.levels[position], wanted, left)
                status = QUANTITY_EXCEEDS_OPEN
            work.held[position] = held
            work.amounts[position] = wanted
            work.places[position] = position
        return status, np.int64(command.line_count)
    held = np.int64(state.reservations[slot].first_line)
    position = 0
    while held != 0:
        row = state.held_lines[held - 1]
        if row.open > 0:
            work.held[count] = held - 1
            work.levels[count] = row.level
            work.amounts[count] = row.open
            work.places[count] = position
            count += 1
        position += 1
        held = np.int64(row.following)
    return status, np.int64(count)


@helper
def describe(state, slot, record, time_us):
    """Fill a record with the reservation as it is, its version one higher."""
    row = state.reservations[slot]
    record.state = row.state
    record.version = row.version + 1
    record.time_us = time_us


# ---- reservations ----------------------------------------------------------------------------------------------------


@helper
def decide_reserve(state, command, lines, work, out, record, time_us):
    """Hold all lines, or with ALLOW_PARTIAL what there is of each."""
    status = look_up(state, command, lines, work, out)
    if status != OK:
        return status
    for position in range(command.line_count):
        if work.levels[position] < 0:
            return refuse_line(out, NOT_STOCKED_HERE, position)
    for position in range(command.line_count):
        if state.location_active[lines[command.line_start + position].location] == 0:
            return refuse_line(out, LOCATION_INACTIVE, position)
    granted = np.int64(0)
    is_short = False
    for position in range(command.line_count):
        wanted = lines[command.line_start + position].quantity
        left = max(np.int64(0), available_at(state, work.levels[position]))
        work.amounts[position] = min(wanted, left)
        granted += work.amounts[position]
        if left < wanted:
            answer(out, position, work.levels[position], wanted, left)
            is_short = True
    if is_short and ((command.flags & ALLOW_PARTIAL) == 0 or granted == 0):
        return INSUFFICIENT_STOCK
    # from here on it must succeed
    for position in range(command.line_count):
        if work.amounts[position] > 0:
            emit(out, work.levels[position], RESERVE, 0, work.amounts[position])
    record.reservation_id = next_reservation_id(state)
    record.state = ACTIVE
    record.version = 1
    record.time_us = time_us + command.ttl_us
    return OK


@helper
def decide_commit(state, command, lines, work, out, record, time_us):
    """Turn a soft hold into a hard one; units not named are released."""
    status, slot = find_hold(state, command, lines, work, out)
    if status != OK:
        return status
    row = state.reservations[slot]
    if row.state == COMMITTED and command.line_count == 0:
        record.state = row.state if row.is_ended == 0 else state_at_end(state, slot)
        record.version = row.version
        record.time_us = time_us
        return OK
    status = hold_status(state, slot, False)
    if status != OK:
        return status
    status, count = take_units(state, slot, command, lines, work, out)
    if status != OK:
        return status
    # from here on it must succeed
    held = np.int64(row.first_line)
    while held != 0:
        line = state.held_lines[held - 1]
        committed = np.int64(0)
        for position in range(count):
            if work.held[position] == held - 1:
                committed = work.amounts[position]
        if committed > 0:
            emit(out, line.level, COMMIT, 0, committed)
        if line.open > committed:
            emit(out, line.level, RELEASE, 0, line.open - committed)
        held = np.int64(line.following)
    describe(state, slot, record, time_us)
    record.state = COMMITTED
    return OK


@helper
def decide_release(state, command, lines, work, out, record, time_us):
    """Give back a soft hold, or some of its units."""
    status, slot = find_hold(state, command, lines, work, out)
    if status != OK:
        return status
    status = hold_status(state, slot, False)
    if status != OK:
        return status
    status, count = take_units(state, slot, command, lines, work, out)
    if status != OK:
        return status
    # from here on it must succeed
    left = open_units(state, slot)
    for position in range(count):
        emit(out, work.levels[position], RELEASE, 0, work.amounts[position])
        left -= work.amounts[position]
    describe(state, slot, record, time_us)
    if left == 0:
        record.state = RELEASED
        record.flags |= ENDS_RESERVATION
    return OK


@helper
def decide_extend(state, command, record, time_us):
    """Set the end of a soft hold to ttl from now."""
    if is_foreign(state, command.reservation_id):
        return WRONG_SHARD
    slot = slot_of(state, command.reservation_id)
    if slot < 0:
        return RESERVATION_NOT_FOUND
    status = hold_status(state, slot, False)
    if status != OK:
        return status
    # from here on it must succeed
    describe(state, slot, record, time_us)
    record.time_us = time_us + command.ttl_us
    return OK


@helper
def change_status(state, slot, command, record, allows_committed):
    """Status of wanting to change what is held where: the hold must be open, and of the version that was seen."""
    status = hold_status(state, slot, allows_committed)
    if status != OK:
        return status
    version = np.int64(state.reservations[slot].version)
    if command.expected_version not in (0, version):
        record.version = version
        return VERSION_MISMATCH
    return OK


@helper
def decide_amend(state, command, lines, work, out, record, time_us):
    """Set new totals of some lines, all or none."""
    status, slot = find_hold(state, command, lines, work, out)
    if status != OK:
        return status
    for position in range(command.line_count):
        if work.levels[position] < 0:
            return refuse_line(out, NOT_STOCKED_HERE, position)
    status = change_status(state, slot, command, record, True)
    if status != OK:
        return status
    row = state.reservations[slot]
    line_count = np.int64(row.line_count)
    inactive = -1
    for position in range(command.line_count):
        line = lines[command.line_start + position]
        held = find_held_line(state, slot, np.int64(work.levels[position]), np.int64(-1))
        before = np.int64(0)
        if held >= 0:
            before = np.int64(state.held_lines[held].open) + np.int64(state.held_lines[held].fulfilled)
            line_count -= line.quantity == 0
        elif line.quantity > 0:
            line_count += 1
        work.held[position] = held
        work.amounts[position] = line.quantity - before
        if work.amounts[position] > 0 and inactive < 0 and state.location_active[line.location] == 0:
            inactive = position
    if inactive >= 0:
        return refuse_line(out, LOCATION_INACTIVE, inactive)
    if line_count > LINES_MAX:
        return TOO_MANY_LINES
    for position in range(command.line_count):
        held = np.int64(work.held[position])
        wanted = lines[command.line_start + position].quantity
        if held >= 0 and wanted < state.held_lines[held].fulfilled:
            answer(out, position, work.levels[position], wanted, state.held_lines[held].fulfilled)
            status = QUANTITY_EXCEEDS_OPEN
    if status != OK:
        return status
    for position in range(command.line_count):
        left = max(np.int64(0), available_at(state, work.levels[position]))
        if work.amounts[position] > left:
            answer(out, position, work.levels[position], work.amounts[position], left)
            status = INSUFFICIENT_STOCK
    if status != OK:
        return status
    # from here on it must succeed
    is_active = row.state == ACTIVE
    left = open_units(state, slot)
    for position in range(command.line_count):
        change = work.amounts[position]
        if change < 0:
            emit(out, work.levels[position], RELEASE if is_active else CANCEL, 0, -change)
        elif change > 0 or work.held[position] >= 0:
            emit(out, work.levels[position], RESERVE if is_active else COMMIT_FREE, 0, change)
        left += change
    describe(state, slot, record, time_us)
    if left == 0 and (is_active or row.awaits == 0):
        record.flags |= ENDS_RESERVATION
        record.state = RELEASED if is_active else state_at_end(state, slot)
    return OK


@helper
def measure_replacement(state, slot, command, lines, work):
    """Fill work with how many more units each line needs than the hold has; returns the first at an inactive location.

    That is the first that needs more of one: what is held there may stay. -1: none does.
    """
    inactive = np.int64(-1)
    for position in range(command.line_count):
        line = lines[command.line_start + position]
        held = find_held_line(state, slot, np.int64(work.levels[position]), np.int64(-1))
        own = np.int64(state.held_lines[held].open) if held >= 0 else np.int64(0)
        work.held[position] = held
        work.amounts[position] = line.quantity - own
        if work.amounts[position] > 0 and inactive < 0 and state.location_active[line.location] == 0:
            inactive = position
    return inactive


@helper
def replaceable(state, reservation_id):
    """Status of wanting a hold to have other lines, whatever these are."""
    if is_foreign(state, reservation_id):
        return WRONG_SHARD
    slot = np.int64(slot_of(state, reservation_id))
    if slot < 0:
        return RESERVATION_NOT_FOUND
    return hold_status(state, slot, False)


@helper
def decide_replace(state, command, lines, work, out, record, time_us):
    """Let a soft hold have these lines and no others, all or none; what it holds is free for it."""
    status, slot = find_hold(state, command, lines, work, out)
    if status != OK:
        return status
    for position in range(command.line_count):
        if work.levels[position] < 0:
            return refuse_line(out, NOT_STOCKED_HERE, position)
    status = change_status(state, slot, command, record, False)
    if status != OK:
        return status
    inactive = np.int64(measure_replacement(state, slot, command, lines, work))
    if inactive >= 0:
        return refuse_line(out, LOCATION_INACTIVE, inactive)
    for position in range(command.line_count):
        left = max(np.int64(0), available_at(state, work.levels[position]))
        if work.amounts[position] > left:
            wanted = lines[command.line_start + position].quantity
            answer(out, position, work.levels[position], wanted, wanted - work.amounts[position] + left)
            status = INSUFFICIENT_STOCK
    if status != OK:
        return status
    # from here on it must succeed
    held = np.int64(state.reservations[slot].first_line)
    while held != 0:
        line = state.held_lines[held - 1]
        stays = False
        for position in range(command.line_count):
            stays = stays or work.held[position] == held - 1
        if not stays:
            emit(out, line.level, RELEASE, 0, line.open)
        held = np.int64(line.following)
    for position in range(command.line_count):
        change = work.amounts[position]
        if change < 0:
            emit(out, work.levels[position], RELEASE, 0, -change)
        elif change > 0 or state.held_lines[work.held[position]].quantity != state.held_lines[work.held[position]].open:
            emit(out, work.levels[position], RESERVE, 0, change)  # of 0: what was let go before counts no more
    describe(state, slot, record, time_us)
    record.time_us = time_us + command.ttl_us
    return OK


@helper
def spread_transfer(state, slot, command, lines, work):
    """Fill work with the units to move: the lines named, or all that is open at the location. Returns their count."""
    first = lines[command.line_start]
    if first.sku != ANY_SKU:
        for position in range(command.line_count):
            line = lines[command.line_start + position]
            held = np.int64(-1)
            if work.levels[position] >= 0:
                held = find_held_line(state, slot, np.int64(work.levels[position]), np.int64(-1))
            work.held[position] = held
            work.to_levels[position] = find_level(state, line.sku, line.to_location)
            work.amounts[position] = line.quantity
        return np.int64(command.line_count)
    count = np.int64(0)
    held = np.int64(state.reservations[slot].first_line)
    while held != 0:
        row = state.held_lines[held - 1]
        if row.open > 0 and location_of(state, row.level) == first.location:
            sku = sku_of(state, row.level)
            work.held[count] = held - 1
            work.levels[count] = row.level
            work.to_levels[count] = find_level(state, sku, first.to_location)
            work.amounts[count] = row.open
            count += 1
        held = np.int64(row.following)
    return count


@helper
def decide_transfer(state, command, lines, work, out, record, time_us):
    """Move a hold to another location, where stock is checked, all or none."""
    status, slot = find_hold(state, command, lines, work, out)
    if status != OK:
        return status
    is_whole = lines[command.line_start].sku == ANY_SKU
    count = spread_transfer(state, slot, command, lines, work)
    for position in range(count):
        if work.to_levels[position] < 0:
            answer(out, position, work.levels[position] if is_whole else NO_LEVEL, 0, 0)
            return NOT_STOCKED_HERE
    status = change_status(state, slot, command, record, True)
    if status != OK:
        return status
    if state.location_active[lines[command.line_start].to_location] == 0:
        return refuse_line(out, LOCATION_INACTIVE, 0)
    line_count = np.int64(state.reservations[slot].line_count)
    for position in range(count):
        held = np.int64(work.held[position])
        if held >= 0 and state.held_lines[held].quantity == work.amounts[position]:
            line_count -= 1
        work.places[position] = find_held_line(state, slot, np.int64(work.to_levels[position]), np.int64(-1))
        if work.places[position] < 0:
            line_count += 1
    if line_count > LINES_MAX:
        return TOO_MANY_LINES
    if count == 0:
        return refuse_line(out, QUANTITY_EXCEEDS_OPEN, 0)
    for position in range(count):
        held = np.int64(work.held[position])
        left = np.int64(state.held_lines[held].open) if held >= 0 else np.int64(0)
        if work.amounts[position] > left:
            answer(out, position, work.levels[position], work.amounts[position], left)
            status = QUANTITY_EXCEEDS_OPEN
    if status != OK:
        return status
    for position in range(count):
        left = max(np.int64(0), available_at(state, work.to_levels[position]))
        held = np.int64(work.places[position])
        if held >= 0:  # units of one line stay countable
            left = min(left, np.int64(QUANTITY_MAX) - state.held_lines[held].quantity)
        if work.amounts[position] > left:
            answer(out, position, work.to_levels[position], work.amounts[position], left)
            status = INSUFFICIENT_STOCK
    if status != OK:
        return status
    # from here on it must succeed
    is_active = state.reservations[slot].state == ACTIVE
    for position in range(count):
        emit(out, work.levels[position], RELEASE if is_active else CANCEL, 0, work.amounts[position])
        emit(out, work.to_levels[position], RESERVE if is_active else COMMIT_FREE, 0, work.amounts[position])
    describe(state, slot, record, time_us)
    return OK


@helper
def decide_end_of_commitment(state, command, lines, work, out, record, time_us, kind):
    """FULFILL hands committed units to the customer, CANCEL gives them back."""
    status, slot = find_hold(state, command, lines, work, out)
    if status != OK:
        return status
    row = state.reservations[slot]
    if row.state != COMMITTED or row.is_ended != 0:
        return RESERVATION_NOT_COMMITTED
    status, count = take_units(state, slot, command, lines, work, out)
    if status != OK:
        return status
    if kind == FULFILL:
        for position in range(count):
            there = max(np.int64(0), sellable_at(state, work.levels[position]))
            if work.amounts[position] > there:
                answer(out, work.places[position], work.levels[position], work.amounts[position], there)
                status = INSUFFICIENT_STOCK
        if status != OK:
            return status
    # from here on it must succeed
    left = open_units(state, slot)
    for position in range(count):
        emit(out, work.levels[position], kind, 0, work.amounts[position])
        left -= work.amounts[position]
    describe(state, slot, record, time_us)
    gives_up = kind == CANCEL and command.line_count == 0
    if left == 0 and (row.awaits == 0 or gives_up):  # a document may still bring it units, unless nobody wants them
        record.flags |= ENDS_RESERVATION
        record.state = FULFILLED if kind == FULFILL else state_at_end(state, slot)
    return OK
