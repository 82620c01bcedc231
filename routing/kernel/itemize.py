"""What a decision costs, term by term, and what kept each line from being filled whole; see `routing.costs`."""

import numpy as np

from routing.arrays import COST_TERMS, IS_EMPTIED, IS_HOPELESS, NONE, SHIPMENT_COUNT
from routing.kernel import entry, helper
from routing.kernel.price import lane_of, lateness, unit_carriage
from routing.rules import OF_STOCK, Method, Reason

PICKUP = int(Method.PICKUP)
SHIP_TO_STORE = int(Method.SHIP_TO_STORE)
ELIGIBLE = int(Reason.ELIGIBLE)
CAPACITY_FULL = int(Reason.CAPACITY_FULL)
RESTRICTED_ITEM = int(Reason.RESTRICTED_ITEM)
REJECTED_BEFORE = int(Reason.REJECTED_BEFORE)
SAFETY_STOCK = int(Reason.SAFETY_STOCK)
OUT_OF_STOCK = int(Reason.OUT_OF_STOCK)
INSUFFICIENT = int(Reason.INSUFFICIENT)
SHIP_COMPLETE = int(Reason.SHIP_COMPLETE)
NEVER_SPLIT = int(Reason.NEVER_SPLIT)
MAX_SHIPMENTS = int(Reason.MAX_SHIPMENTS)
MAX_DISTANCE = int(Reason.MAX_DISTANCE)
NO_WORKING_DAY = int(Reason.NO_WORKING_DAY)
DEARER_THAN_UNFILLED = int(Reason.DEARER_THAN_UNFILLED)
IS_OF_STOCK = np.array([reason in OF_STOCK for reason in Reason])
# Columns of Bill.terms, in the order of routing.costs.CostTerms.
SHIPPING = 0
SETUP = 1
HANDLING = 2
LATENESS = 3
BACKLOG = 4
INVENTORY = 5
CAPACITY_PRICE = 6
SPLIT = 7
UNFILLED = 8
assert UNFILLED + 1 == COST_TERMS


@entry
def itemize(problem, stock, order, scratch, is_explained):
    """Fill scratch.bill for what scratch.choice has; tells in the facts if a line is one that nobody may ever serve.

    Reasons are told of lines that are not filled whole, and if it is explained of all.
    """
    menu, choice, bill = scratch.menu, scratch.choice, scratch.bill
    count, lines = choice.facts[SHIPMENT_COUNT], order.units.shape[0]
    bill.total[:] = 0
    for member in range(count):
        itemize_shipment(problem, stock, order, menu, choice, bill, member)
        for term in range(COST_TERMS):
            bill.total[term] += bill.terms[member, term]
    bill.total[SPLIT] = problem.split_cost * max(0, count - 1)
    choice.facts[IS_HOPELESS] = 0
    for line in range(lines):
        missing = order.units[line]
        for member in range(count):
            missing -= choice.units[line, member]
        bill.missing[line] = missing
        bill.total[UNFILLED] += missing * order.unfilled_cost[line]
        if missing > 0 or is_explained:
            _count_reasons(problem, stock, order, menu, bill, line)
        if missing > 0:
            bill.reason[line] = _main_reason(order, menu, choice, bill, line)
            is_hopeless = True
            for reason in range(bill.reason_count.shape[1]):
                if bill.reason_count[line, reason] > 0 and IS_OF_STOCK[reason]:
                    is_hopeless = False
            if is_hopeless:
                choice.facts[IS_HOPELESS] = 1


@helper
def itemize_shipment(problem, stock, order, menu, choice, bill, member):
    """Write what one shipment of the choice costs, term by term."""
    location_count = problem.is_active.shape[0]
    candidate = choice.candidates[member]
    part, location = candidate // location_count, candidate % location_count
    method, store, promise = order.method[part], order.store[part], order.promise_day[part]
    is_collected = method == PICKUP or (method == SHIP_TO_STORE and location == store)
    units, weight, inventory = 0, 0, 0
    for line in range(order.units.shape[0]):
        taken = choice.units[line, member]
        units += taken
        weight += taken * order.weight[line]
        if taken > 0 and stock.level_cost.shape[0] > 0:
            inventory += taken * stock.level_cost[order.row[line], location]
    waiting = problem.backlog_cost[location] * stock.load[location] // problem.units_per_day[location]
    terms = bill.terms
    terms[member, SETUP] = problem.setup[PICKUP if is_collected else method, location]
    terms[member, HANDLING] = problem.handling[location] * units
    terms[member, LATENESS] = 0
    if promise != NONE:
        terms[member, LATENESS] = lateness(problem.late_day_cost, menu.arrival_day[candidate], promise)
    terms[member, BACKLOG] = waiting * units
    terms[member, INVENTORY] = inventory
    terms[member, CAPACITY_PRICE] = stock.location_price[location] * units
    terms[member, SPLIT] = terms[member, UNFILLED] = 0
    base, per_kilogram = 0, 0
    if menu.zone[candidate] != NONE:
        service, zone, step = problem.service[method, location], menu.zone[candidate], 0
        while weight > problem.step_to[service, zone, step]:
            step += 1
        base = problem.step_base[service, zone, step]
        per_kilogram = problem.step_per_kilogram[service, zone, step]
    elif method == SHIP_TO_STORE and not is_collected:
        lane = lane_of(problem, location, store)
        base, per_kilogram = problem.lane_base[lane], problem.lane_per_kilogram[lane]
    terms[member, SHIPPING] = base
    for line in range(order.units.shape[0]):
        taken = choice.units[line, member]
        if taken > 0:
            terms[member, SHIPPING] += taken * unit_carriage(per_kilogram, order.weight[line])


@helper
def _count_reasons(problem, stock, order, menu, bill, line):
    """Count the locations that each reason kept from a line.

    What a full day or a rejection would hide is told all the same: a restriction stays. Stock shows its safety stock.
    """
    location_count = problem.is_active.shape[0]
    part, row, wanted = order.part[line], order.row[line], order.units[line]
    bill.reason_count[line, :] = 0
    for location in range(location_count):
        reason = int(menu.reason[line, part * location_count + location])
        if (
            reason in (CAPACITY_FULL, REJECTED_BEFORE)
            and order.restrictions[line] & ~problem.allowed[order.method[part], location] != 0
        ):
            reason = RESTRICTED_ITEM
        if (
            reason in (OUT_OF_STOCK, INSUFFICIENT)
            and stock.protected.shape[0] > 0
            and stock.available[row, location] + stock.protected[row, location] >= wanted
        ):
            reason = SAFETY_STOCK
        bill.location_reason[line, location] = reason
        bill.reason_count[line, reason] += 1


@helper
def _main_reason(order, menu, choice, bill, line):
    """Return what kept a line: cost or a rule if a location not chosen has units left, else the closest reason."""
    if choice.facts[IS_EMPTIED]:
        return SHIP_COMPLETE
    location_count = menu.spare.shape[0]
    start = order.part[line] * location_count
    is_capacity_taken = False
    for candidate in range(start, start + location_count):
        if menu.room[line, candidate] > 0:
            spare, stock = _left_after(order, menu, choice, line, candidate)
            is_eligible = menu.reason[line, candidate] == ELIGIBLE
            is_capacity_taken = is_capacity_taken or (is_eligible and spare == 0)
            is_chosen = False
            for member in range(choice.facts[SHIPMENT_COUNT]):
                is_chosen = is_chosen or choice.candidates[member] == candidate
            if spare > 0 and stock > 0:
                if is_chosen or choice.facts[SHIPMENT_COUNT] < order.shipments_max:
                    return DEARER_THAN_UNFILLED  # with what its shipment costs, or the next step of its rate
                return NEVER_SPLIT if order.is_split_forbidden else MAX_SHIPMENTS
    if bill.reason_count[line, ELIGIBLE] > 0:  # it had all units, and other lines of the order took them
        return CAPACITY_FULL if is_capacity_taken else OUT_OF_STOCK
    return _closest_reason(bill, line)


@helper
def _left_after(order, menu, choice, line, candidate):
    """Return the capacity of a candidate's location, and its stock of a line, that the choice leaves."""
    location_count = menu.spare.shape[0]
    location = candidate % location_count
    spare, stock = menu.spare[location], menu.stock_left[line, candidate]
    for member in range(choice.facts[SHIPMENT_COUNT]):
        if choice.candidates[member] % location_count == location:
            for other in range(order.units.shape[0]):
                spare -= choice.units[other, member]
                if order.row[other] == order.row[line]:
                    stock -= choice.units[other, member]
    return spare, stock


@helper
def _closest_reason(bill, line):
    """Return the reason of the locations that came closest, which failed the latest."""
    for reason in range(NO_WORKING_DAY - 1, ELIGIBLE, -1):
        if reason == MAX_DISTANCE - 1 and bill.reason_count[line, NO_WORKING_DAY] > 0:
            break  # it has the last number, but is found before MAX_DISTANCE
        if bill.reason_count[line, reason] > 0:
            return reason
    return NO_WORKING_DAY
