"""The planning kernel: each order is decided on the live ledger and held before the next one is looked at.

For every order, in turn:

1. An order whose request id is known is left to the caller: nothing is decided twice.
2. Its rows of stock are read from the ledger's columns (`_read_stock`).
3. Routing decides, and itemizes what it decided (`routing.kernel`).
4. What was decided becomes one RESERVE of the ledger's own kernel, or a REPLACE of the hold that the order has: its
   units were free for it. Nothing can have happened in between.
5. The answer is written as the message that callers get, and what was seen is kept for explanations.
"""

import numpy as np
from numba import types

from engine.planner.fields import (
    ANSWER_BYTES,
    ANSWER_EXPIRE_TIME,
    ANSWER_PLAN,
    ANSWER_RESERVATION_ID,
    ANSWER_SEQ,
    COUNTED_LOCATIONS,
    COUNTED_REASON,
    ENUM_SHIFT,
    PLAN_COST,
    PLAN_COST_TERMS,
    PLAN_CURRENCY,
    PLAN_EVALUATION_COUNT,
    PLAN_ID,
    PLAN_NETWORK_VERSION,
    PLAN_PROFILE,
    PLAN_PROVED,
    PLAN_RESERVATION_ID,
    PLAN_SHIPMENTS,
    PLAN_SHORTAGES,
    PLAN_STOCK_SEQ,
    PLAN_STRATEGY,
    PLAN_TIME,
    PLAN_USED_SECOND_PASS,
    SHIPMENT_ARRIVAL_DATE,
    SHIPMENT_BYTES,
    SHIPMENT_COST_TERMS,
    SHIPMENT_DISTANCE,
    SHIPMENT_LINES,
    SHIPMENT_LOCATION_ID,
    SHIPMENT_METHOD,
    SHIPMENT_READY_TIME,
    SHIPMENT_STORE_ID,
    SHIPPED_LINE,
    SHIPPED_LINE_BYTES,
    SHIPPED_QUANTITY,
    SHIPPED_SKU_ID,
    SHORTAGE_BYTES,
    SHORTAGE_LINE,
    SHORTAGE_QUANTITY,
    SHORTAGE_REASON,
    SHORTAGE_REASONS,
    SHORTAGE_SKU_ID,
    TERM_FIRST,
)
from engine.planner.kernel import entry, inlined
from engine.planner.kernel.levels import slot_of
from engine.planner.kernel.wire import (
    put_bits,
    put_day,
    put_length,
    put_little,
    put_name,
    put_number,
    put_text,
    put_time,
)
from engine.planner.records import (
    ANSWER_TEXT,
    BOOKINGS,
    HOLD_LOST,
    HOLD_TOO_LONG,
    HOLDS,
    HOPELESS,
    IS_COMPLETE,
    IS_EXPLAINED,
    IS_REST,
    IS_SPLIT_FORBIDDEN,
    ORDER_HAS_REQUEST_ID,
    REPEATED,
    SEEN,
    SEEN_BYTES,
    SEEN_BYTES_MAX,
    SEEN_LINE_BYTES,
    SEEN_REJECTED_BYTES,
    SHIPMENTS,
    SHORTAGES,
)
from ledger.core.kernels.accounts import location_of, sku_of
from ledger.core.kernels.decide import OK, replaceable
from ledger.core.kernels.holds import named
from ledger.core.kernels.holds import slot_of as slot_of_hold
from ledger.core.kernels.index import find
from ledger.core.kernels.memory import is_too_old
from ledger.core.kernels.packed import state_of
from ledger.core.limits import LINES_PER_RESERVATION_MAX
from ledger.core.records import HAS_REQUEST_ID
from ledger.core.state import BACKORDER_LIMIT, FREE, SAFETY_STOCK, SEQ, SHARD
from ledger.core.statuses import Operation
from ledger.linked import caller
from routing.arrays import (
    COST,
    COST_TERMS,
    EVALUATIONS,
    IS_HOPELESS,
    IS_PROVED,
    NO_LEVEL,
    NONE,
    SHIPMENT_COUNT,
    USED_SECOND_PASS,
    OrderArrays,
)
from routing.clocks import DAY_US
from routing.geometry import EARTH_RADIUS_KM
from routing.limits import BACKLOG_DAYS_MAX

RESERVE = int(Operation.RESERVE)
REPLACE = int(Operation.REPLACE)
REMEMBER = int(Operation.REMEMBER)
# What belongs to other rooms, by its place in the addresses.
EXECUTE_BATCH = 0
DECIDE = 1
ITEMIZE = 2
execute_batch = caller(EXECUTE_BATCH, types.int64)
decide = caller(DECIDE)
itemize = caller(ITEMIZE)


@entry
def plan_orders(kernels, problem, names, orders, hands, tray, scratch, results):
    """Decide and hold orders one after the other.

    Parameters
    ----------
    kernels : int64[:, :]
        Addresses of EXECUTE_BATCH, DECIDE and ITEMIZE, see `ledger.linked`.
    problem : routing.arrays.Problem
    names : Names
    orders : Orders
    hands : ledger.core.buffers.Hands
    tray : engine.planner.run.Tray
        Its load and prices are given; the rest is scratch.
    scratch : routing.arrays.Scratch
        For as many parts as each order has.
    results : Results
        With room for all that the orders can cause, and zeroed rows.
    """
    state = state_of(hands.columns)
    for index in range(orders.orders.shape[0]):
        order, result = orders.orders[index], results.results[index]
        if order.flags & ORDER_HAS_REQUEST_ID and order.flags & HOLDS and _is_known(state, hands, order):
            result.code = REPEATED
            continue
        if order.reservation_id != 0:
            status = replaceable(state, order.reservation_id)
            if status != OK:
                result.code, result.hold_status = HOLD_LOST, status
                continue
        arrays = _arrays(orders, order, tray)
        rows = _rows(orders, order, tray)
        _read_stock(state, names, tray, rows)
        if order.reservation_id != 0:
            _add_own_stock(state, names, tray, rows, order.reservation_id)
        decide(kernels, (problem, tray.stock, arrays, np.int64(order.strategy), scratch))
        itemize(kernels, (problem, tray.stock, arrays, scratch, False))
        if scratch.choice.facts[IS_HOPELESS] != 0 and not order.flags & IS_REST:
            result.code = HOPELESS
            continue
        stock_seq = state.counters[SEQ]
        count = _book(problem, names, orders, order, tray, scratch, results, result, index, hands.time_us // DAY_US)
        if count > LINES_PER_RESERVATION_MAX:
            result.code = HOLD_TOO_LONG
            result.hold_lines = count
            continue
        if order.flags & HOLDS and (count > 0 or order.flags & ORDER_HAS_REQUEST_ID):
            _hold(kernels, hands, order, tray, result, count)
        _answer(names, orders, order, scratch, results, result, state, hands.time_us, stock_seq)
        if result.is_kept or order.flags & IS_EXPLAINED:
            _keep_seen(order, tray, results, result, rows)
        if result.reservation_id:
            _load(tray, results, result)


@inlined
def _is_known(state, hands, order):
    if find(state.request_index, state.request_key, order.request_id_high, order.request_id_low) >= 0:
        return True
    return is_too_old(order.request_id_high, hands.time_us, hands.request_window_us)


# ---- reading ---------------------------------------------------------------------------------------------------------


@inlined
def _arrays(orders, order, tray):
    """Return an order as routing takes it, in the tray's arrays."""
    lines, parts, rejected = order.line_count, np.int64(order.part_count), order.rejected_count
    for line in range(lines):
        given = orders.lines[order.line_start + line]
        tray.row[line] = given.row
        tray.units[line] = given.units
        tray.weight[line] = given.weight
        tray.restrictions[line] = given.restrictions
        tray.unfilled_cost[line] = given.unfilled_cost
        tray.part[line] = given.part
    for part in range(parts):
        place = orders.parts[order.part_start + part]
        tray.method[part] = place.method
        tray.store[part] = place.store
        tray.promise_day[part] = place.promise_day
        tray.destination[part, 0] = place.x
        tray.destination[part, 1] = place.y
        tray.destination[part, 2] = place.z
    for number in range(rejected):
        pair = orders.rejected[order.rejected_start + number]
        tray.rejected[number, 0] = pair.line
        tray.rejected[number, 1] = pair.place
    return OrderArrays(
        tray.row[:lines],
        tray.units[:lines],
        tray.weight[:lines],
        tray.restrictions[:lines],
        tray.unfilled_cost[:lines],
        tray.part[:lines],
        tray.method[:parts],
        tray.destination[:parts],
        tray.store[:parts],
        tray.promise_day[:parts],
        order.channel,
        tray.rejected[:rejected],
        np.int64(order.shipments_max),
        (order.flags & IS_COMPLETE) != 0,
        (order.flags & IS_SPLIT_FORBIDDEN) != 0,
    )


@inlined
def _rows(orders, order, tray):
    """Write the sku of each row; returns how many rows there are."""
    rows = 0
    for line in range(order.line_count):
        given = orders.lines[order.line_start + line]
        tray.sku[given.row] = given.sku
        rows = max(rows, given.row + 1)
    return rows


@inlined
def _read_stock(state, names, tray, rows):
    stock, levels = tray.stock, names.levels
    for row in range(rows):
        slot = slot_of(state, names, np.int64(tray.sku[row]))
        for place in range(names.location.shape[0]):
            level = np.int64(levels.row[slot, place])
            available, backorder, protected = NO_LEVEL, np.int64(0), np.int64(0)
            if level >= 0:
                extra = np.int64(state.level_extra_row[level])
                if extra > 0:
                    protected = np.int64(state.level_extra[extra - 1, SAFETY_STOCK])
                    backorder = np.int64(state.level_extra[extra - 1, BACKORDER_LIMIT])
                available = np.int64(state.level_stock[level, FREE]) - protected
            stock.available[row, place] = available
            stock.backorder[row, place] = backorder
            stock.protected[row, place] = protected


@inlined
def _add_own_stock(state, names, tray, rows, reservation_id):
    """Let what the order's own hold has at a place be free for it."""
    held = np.int64(state.reservations[slot_of_hold(state, reservation_id)].first_line)
    while held != 0:
        line = state.held_lines[held - 1]
        held = np.int64(line.following)
        sku, location = sku_of(state, line.level), location_of(state, line.level)
        place = np.searchsorted(names.location, location)
        if place < len(names.location) and names.location[place] == location:
            for row in range(rows):
                if tray.sku[row] == sku:
                    free = max(tray.stock.available[row, place], -tray.stock.backorder[row, place])
                    tray.stock.available[row, place] = free + line.open


# ---- holding ---------------------------------------------------------------------------------------------------------


@inlined
def _book(problem, names, orders, order, tray, scratch, results, result, index, today):
    """Write what each location fills, and the lines of the hold; returns how many these are.

    What is collected where nothing leaves any more takes the capacity of today, in UTC.
    Two lines of a sku at a location count together in the hold, as in every reservation.
    """
    choice, load = scratch.choice, tray.stock.load
    location_count = problem.is_active.shape[0]
    bookings, shipments = results.cursor[BOOKINGS], results.cursor[SHIPMENTS]
    result.booking_start, result.shipment_start = bookings, shipments
    count = 0
    for member in range(choice.facts[SHIPMENT_COUNT]):
        part, place = choice.candidates[member] // location_count, choice.candidates[member] % location_count
        waiting = min(load[place] // problem.units_per_day[place], BACKLOG_DAYS_MAX)
        shipment = results.shipments[shipments]
        shipment.place, shipment.part = place, part
        shipment.arrival_day = scratch.menu.arrival_day[choice.candidates[member]]
        shipment.cost = 0
        for term in range(COST_TERMS):
            shipment.cost += scratch.bill.terms[member, term]
        first = bookings
        for line in range(order.line_count):
            units = choice.units[line, member]
            if units > 0:
                booking = results.bookings[bookings]
                booking.plan, booking.pad = index, 0
                booking.line = orders.lines[order.line_start + line].number
                booking.sku = orders.lines[order.line_start + line].sku
                booking.location = names.location[place]
                day = np.int64(problem.dispatch_day[place, waiting])
                booking.day = today if day == NONE else day
                booking.units = units
                bookings += 1
                count = _add_to_hold(tray.hold, count, booking.sku, booking.location, units)
        shipment.line_count = bookings - first
        shipments += 1
    result.booking_end, result.shipment_end = bookings, shipments
    results.cursor[BOOKINGS], results.cursor[SHIPMENTS] = bookings, shipments
    return count


@inlined
def _add_to_hold(hold, count, sku, location, units):
    for position in range(count):
        if hold[position].sku == sku and hold[position].location == location:
            hold[position].quantity += units
            return count
    hold[count].sku = sku
    hold[count].location = location
    hold[count].quantity = units
    return count + 1


@inlined
def _hold(kernels, hands, order, tray, result, count):
    """Run the command that holds the units; where there are none, one that only remembers the request id."""
    command = tray.command[0]
    command.operation = REMEMBER if count == 0 else REPLACE if order.reservation_id != 0 else RESERVE
    command.reservation_id = order.reservation_id if count > 0 else 0
    command.flags = HAS_REQUEST_ID if order.flags & ORDER_HAS_REQUEST_ID else 0
    command.line_count = count
    command.ttl_us = order.ttl_us if count > 0 else 0
    command.request_id_high = order.request_id_high
    command.request_id_low = order.request_id_low
    command.content = order.content
    given = hands.columns, hands.output, hands.scratch, tray.command, tray.hold, tray.outcome
    execute_batch(kernels, (*given, hands.time_us, hands.request_window_us))
    outcome = tray.outcome[0]
    result.status = outcome.status
    result.is_kept = 1
    result.seq = outcome.seq
    if count > 0:
        result.reservation_id = outcome.reservation_id
        result.expire_time_us = outcome.time_us


@inlined
def _load(tray, results, result):
    """Let the next order see what this one takes of the locations' days."""
    booking = np.int64(result.booking_start)
    for position in range(result.shipment_start, result.shipment_end):
        shipment = results.shipments[position]
        for _ in range(shipment.line_count):
            tray.stock.load[shipment.place] += results.bookings[booking].units
            booking += 1


# ---- answering -------------------------------------------------------------------------------------------------------


@inlined
def _answer(names, orders, order, scratch, results, result, state, time_us, stock_seq):
    """Write the PlanFulfillmentResponse, from its last field to its first."""
    buffer, facts, bill = results.answers, scratch.choice.facts, scratch.bill
    members = facts[SHIPMENT_COUNT]
    start = results.cursor[ANSWER_TEXT]
    end = start + ANSWER_BYTES + members * SHIPMENT_BYTES
    end += (result.booking_end - result.booking_start) * SHIPPED_LINE_BYTES + order.line_count * SHORTAGE_BYTES
    results.cursor[ANSWER_TEXT] = end
    result.answer_end = end
    at = put_number(buffer, end, ANSWER_SEQ, state.counters[SEQ])
    if result.reservation_id:
        at = put_time(buffer, at, ANSWER_EXPIRE_TIME, result.expire_time_us)
        at = put_name(buffer, at, ANSWER_RESERVATION_ID, result.reservation_id)
    plan_end = at
    at = put_number(buffer, at, PLAN_STOCK_SEQ, stock_seq)
    at = put_time(buffer, at, PLAN_TIME, time_us)
    at = put_number(buffer, at, PLAN_EVALUATION_COUNT, facts[EVALUATIONS])
    at = put_number(buffer, at, PLAN_USED_SECOND_PASS, facts[USED_SECOND_PASS])
    at = put_number(buffer, at, PLAN_PROVED, facts[IS_PROVED])
    location_count = names.location.shape[0]
    at = put_text(
        buffer, at, PLAN_CURRENCY, names.text, names.start[location_count + 1], names.start[location_count + 2]
    )
    at = put_number(buffer, at, PLAN_COST, facts[COST])
    result.cost = facts[COST]
    terms_end = at
    for term in range(COST_TERMS - 1, -1, -1):
        at = put_number(buffer, at, TERM_FIRST + term, bill.total[term])
    at = put_length(buffer, at, PLAN_COST_TERMS, terms_end)
    result.shortage_start = result.shortage_end = results.cursor[SHORTAGES]
    for line in range(order.line_count - 1, -1, -1):
        if bill.missing[line] > 0:
            at = _put_shortage(orders, order, bill, buffer, at, line)
    for line in range(order.line_count):
        if bill.missing[line] > 0:
            shortage = results.shortages[result.shortage_end]
            shortage.line = orders.lines[order.line_start + line].number
            shortage.reason = bill.reason[line]
            shortage.units = bill.missing[line]
            result.missing += bill.missing[line]
            result.shortage_end += 1
    results.cursor[SHORTAGES] = result.shortage_end
    for member in range(members - 1, -1, -1):
        at = _put_shipment(names, orders, order, scratch, buffer, at, member)
    at = put_number(buffer, at, PLAN_STRATEGY, np.int64(order.strategy) + ENUM_SHIFT)
    at = put_number(buffer, at, PLAN_NETWORK_VERSION, names.network_version)
    at = put_text(buffer, at, PLAN_PROFILE, names.text, names.start[location_count], names.start[location_count + 1])
    at = put_name(buffer, at, PLAN_RESERVATION_ID, result.reservation_id)
    if result.is_kept:
        at = put_name(buffer, at, PLAN_ID, named(state.counters[SHARD], result.seq))
    result.answer_start = put_length(buffer, at, ANSWER_PLAN, plan_end)
    assert result.answer_start >= start  # an answer that is longer would have overwritten the one before it


@inlined
def _put_shortage(orders, order, bill, buffer, at, line):
    """Write a LineShortage."""
    end, given = at, orders.lines[order.line_start + line]
    for reason in range(bill.reason_count.shape[1] - 1, -1, -1):
        if bill.reason_count[line, reason] > 0:
            count_end = at
            at = put_number(buffer, at, COUNTED_LOCATIONS, bill.reason_count[line, reason])
            at = put_number(buffer, at, COUNTED_REASON, reason + ENUM_SHIFT)
            at = put_length(buffer, at, SHORTAGE_REASONS, count_end)
    at = put_number(buffer, at, SHORTAGE_REASON, bill.reason[line] + ENUM_SHIFT)
    at = put_number(buffer, at, SHORTAGE_QUANTITY, bill.missing[line])
    at = put_text(buffer, at, SHORTAGE_SKU_ID, orders.text, np.int64(given.name_start), np.int64(given.name_end))
    at = put_number(buffer, at, SHORTAGE_LINE, np.int64(given.number))
    return put_length(buffer, at, PLAN_SHORTAGES, end)


@inlined
def _put_shipment(names, orders, order, scratch, buffer, at, member):
    """Write a Shipment."""
    end, menu, choice = at, scratch.menu, scratch.choice
    location_count = names.location.shape[0]
    candidate = choice.candidates[member]
    part, place = orders.parts[order.part_start + candidate // location_count], candidate % location_count
    for term in range(COST_TERMS - 1, -1, -1):
        at = put_number(buffer, at, TERM_FIRST + term, scratch.bill.terms[member, term])
    at = put_length(buffer, at, SHIPMENT_COST_TERMS, end)
    cosine = max(-1.0, min(1.0, menu.dot[candidate]))
    at = put_bits(buffer, at, SHIPMENT_DISTANCE, np.float64(EARTH_RADIUS_KM * np.arccos(cosine)).view(np.uint64))
    if part.store == place:
        at = put_time(buffer, at, SHIPMENT_READY_TIME, part.ready_us)
    at = put_day(buffer, at, SHIPMENT_ARRIVAL_DATE, np.int64(menu.arrival_day[candidate]))
    for line in range(order.line_count - 1, -1, -1):
        units = choice.units[line, member]
        if units > 0:
            line_end, given = at, orders.lines[order.line_start + line]
            at = put_number(buffer, at, SHIPPED_QUANTITY, units)
            at = put_text(buffer, at, SHIPPED_SKU_ID, orders.text, np.int64(given.name_start), np.int64(given.name_end))
            at = put_number(buffer, at, SHIPPED_LINE, np.int64(given.number))
            at = put_length(buffer, at, SHIPMENT_LINES, line_end)
    if part.store != NONE:
        at = put_text(buffer, at, SHIPMENT_STORE_ID, names.text, names.start[part.store], names.start[part.store + 1])
    at = put_number(buffer, at, SHIPMENT_METHOD, np.int64(part.method) + ENUM_SHIFT)
    at = put_text(buffer, at, SHIPMENT_LOCATION_ID, names.text, names.start[place], names.start[place + 1])
    return put_length(buffer, at, PLAN_SHIPMENTS, end)


# ---- what was seen ---------------------------------------------------------------------------------------------------


@inlined
def _keep_seen(order, tray, results, result, rows):
    """Write what was decided on, for `engine.planner.seen`; more units than the order wants are as good as these."""
    stock, buffer = tray.stock, results.seen
    places, start = stock.load.shape[0], results.cursor[SEEN]
    wanted = np.int64(0)
    for line in range(order.line_count):
        wanted += tray.units[line]
    low, high = np.int64(0), np.int64(0)
    backorder, protected, load = np.int64(0), np.int64(0), np.int64(0)
    for place in range(places):
        load = max(load, stock.load[place])
    for row in range(rows):
        for place in range(places):
            if stock.available[row, place] == NO_LEVEL:
                continue
            given = stock.available[row, place]
            available = max(-wanted, min(wanted, given))
            stock.available[row, place] = available
            low, high = min(low, available), max(high, available)
            for table in (stock.backorder, stock.protected):
                if table[row, place] > 0:
                    table[row, place] = max(0, min(2 * wanted, given + table[row, place] - available))
            backorder = max(backorder, stock.backorder[row, place])
            protected = max(protected, stock.protected[row, place])
    width = max(_width(-low), _width(high))
    tables = width + (_width(backorder) if backorder > 0 else 0) + (_width(protected) if protected > 0 else 0)
    size = SEEN_BYTES + order.line_count * SEEN_LINE_BYTES + order.rejected_count * SEEN_REJECTED_BYTES
    size += rows * places * tables + (places * _width(load) if load > 0 else 0)
    if size > SEEN_BYTES_MAX:
        return
    at = put_little(buffer, start, width, 1)
    at = put_little(buffer, at, _width(backorder) if backorder > 0 else 0, 1)
    at = put_little(buffer, at, _width(protected) if protected > 0 else 0, 1)
    at = put_little(buffer, at, _width(load) if load > 0 else 0, 1)
    at = put_little(buffer, at, order.line_count, 4)
    at = put_little(buffer, at, rows, 4)
    at = put_little(buffer, at, order.rejected_count, 4)
    for line in range(order.line_count):
        at = put_little(buffer, at, tray.weight[line], 8)
        at = put_little(buffer, at, tray.restrictions[line], 8)
        at = put_little(buffer, at, tray.unfilled_cost[line], 8)
    for number in range(order.rejected_count):
        at = put_little(buffer, at, tray.rejected[number, 0], 4)
        at = put_little(buffer, at, tray.rejected[number, 1], 4)
    nowhere = np.int64(-1) << np.int64(8 * width - 1)
    for row in range(rows):
        for place in range(places):
            available = nowhere if stock.available[row, place] == NO_LEVEL else stock.available[row, place]
            if width == 1:  # as most have
                buffer[at] = np.uint8(available & 255)
                at += 1
            else:
                at = put_little(buffer, at, available, width)
    if backorder > 0:
        at = _put_table(buffer, at, stock.backorder, rows, _width(backorder))
    if protected > 0:
        at = _put_table(buffer, at, stock.protected, rows, _width(protected))
    if load > 0:
        for place in range(places):
            at = put_little(buffer, at, stock.load[place], _width(load))
    result.seen_start, result.seen_end = start, at
    results.cursor[SEEN] = at


@inlined
def _put_table(buffer, at, table, rows, width):
    for row in range(rows):
        for place in range(table.shape[1]):
            at = put_little(buffer, at, table[row, place], width)
    return at


@inlined
def _width(magnitude):
    """Return the bytes of a signed number that holds both signs of a magnitude, and a lower one."""
    if magnitude < 2**7:
        return 1
    if magnitude < 2**15:
        return 2
    return 4 if magnitude < 2**31 else 8
