"""Price every candidate of an order, or say why it is none.

Cost of a shipment and of a unit (docs/routing.md):

    F = setup + base(zone) + late_day_cost * max(0, arrival - promise)
    c = carriage(weight) + handling + backlog_cost * load / units_per_day + level_cost + location_price
"""

import numpy as np

from routing.arrays import HAS_SOFT_MASKS, NO_LEVEL, NONE, SHIPMENT_COUNT
from routing.kernel import helper
from routing.limits import BACKLOG_DAYS_MAX, COMPLETE_COST, LATE_DAYS_MAX
from routing.rules import Method, Reason

# A kernel's variable has one type: plain integers, as the arrays have.
ELIGIBLE = int(Reason.ELIGIBLE)
INACTIVE = int(Reason.INACTIVE)
NO_CAPABILITY = int(Reason.NO_CAPABILITY)
CHANNEL_NOT_SERVED = int(Reason.CHANNEL_NOT_SERVED)
NOT_PICKUP_STORE = int(Reason.NOT_PICKUP_STORE)
NO_LANE = int(Reason.NO_LANE)
BEYOND_ZONES = int(Reason.BEYOND_ZONES)
MAX_DISTANCE = int(Reason.MAX_DISTANCE)
CAPACITY_FULL = int(Reason.CAPACITY_FULL)
NO_WORKING_DAY = int(Reason.NO_WORKING_DAY)
CUTOFF_MISSED = int(Reason.CUTOFF_MISSED)
PROMISE_MISSED = int(Reason.PROMISE_MISSED)
RESTRICTED_ITEM = int(Reason.RESTRICTED_ITEM)
REJECTED_BEFORE = int(Reason.REJECTED_BEFORE)
NOT_STOCKED = int(Reason.NOT_STOCKED)
OUT_OF_STOCK = int(Reason.OUT_OF_STOCK)
INSUFFICIENT = int(Reason.INSUFFICIENT)
DEARER_THAN_UNFILLED = int(Reason.DEARER_THAN_UNFILLED)
PICKUP = int(Method.PICKUP)
SHIP_TO_STORE = int(Method.SHIP_TO_STORE)


@helper
def price(problem, stock, order, menu, choice, with_soft):
    """Fill the menu for what the choice leaves to fill; `with_soft`: soft rules hold as hard ones do."""
    location_count = problem.is_active.shape[0]
    for location in range(location_count):
        menu.spare[location] = max(0, problem.capacity[location] - stock.load[location])
    _take_chosen(order, menu, choice, location_count)
    for part in range(order.method.shape[0]):
        for location in range(location_count):
            _price_candidate(
                problem, stock, order, menu, choice, part, location, part * location_count + location, with_soft
            )
    for line in range(order.units.shape[0]):
        _price_line(problem, stock, order, menu, choice, line, location_count, with_soft)
    for index in range(order.rejected.shape[0]):
        line = order.rejected[index, 0]
        candidate = order.part[line] * location_count + order.rejected[index, 1]
        menu.room[line, candidate] = 0
        is_possible = menu.location_reason[candidate] in (ELIGIBLE, CAPACITY_FULL)
        if is_possible and menu.reason[line, candidate] != RESTRICTED_ITEM:
            menu.reason[line, candidate] = REJECTED_BEFORE


@helper
def _take_chosen(order, menu, choice, location_count):
    complete_cost = 0
    if order.is_complete:  # filling comes before cost
        units = 0
        for line in range(order.units.shape[0]):
            units += order.units[line]
        complete_cost = COMPLETE_COST // units
    for line in range(order.units.shape[0]):
        menu.left[line] = order.units[line]
        menu.unfilled_cost[line] = complete_cost if order.is_complete else order.unfilled_cost[line]
        for shipment in range(choice.facts[SHIPMENT_COUNT]):
            menu.left[line] -= choice.units[line, shipment]
            menu.spare[choice.candidates[shipment] % location_count] -= choice.units[line, shipment]


@helper
def _taken_before(order, choice, row, location, location_count):
    """Return what the first pass took of a stock row at a location."""
    taken = 0
    for shipment in range(choice.facts[SHIPMENT_COUNT]):
        if choice.candidates[shipment] % location_count == location:
            for line in range(order.units.shape[0]):
                if order.row[line] == row:
                    taken += choice.units[line, shipment]
    return taken


@helper
def _price_candidate(problem, stock, order, menu, choice, part, location, candidate, with_soft):
    method, store = order.method[part], order.store[part]
    menu.dot[candidate] = _cosine(problem, order, part, location)
    menu.zone[candidate] = NONE
    menu.per_kilogram[candidate] = 0
    fixed, arrival, calendar, days = problem.setup[method, location], NONE, NONE, 0
    load, per_day = stock.load[location], problem.units_per_day[location]
    reason = ELIGIBLE
    if problem.is_active[location] == 0:
        reason = INACTIVE
    elif problem.service[method, location] == NONE:
        reason = NO_CAPABILITY
    elif order.channel != NONE and problem.is_served[order.channel, location] == 0:
        reason = CHANNEL_NOT_SERVED
    else:
        # Divisions are dear, and few locations are a whole day behind.
        behind = 0 if load < per_day else min(load // per_day, BACKLOG_DAYS_MAX)
        if method == PICKUP or (method == SHIP_TO_STORE and location == store):
            fixed = problem.setup[PICKUP, location]
            arrival = problem.pickup_day[location]
            if location != store:
                reason = NOT_PICKUP_STORE
            elif arrival == NONE:
                reason = NO_WORKING_DAY
        elif method == SHIP_TO_STORE:
            lane = lane_of(problem, location, store)
            if lane == NONE:
                reason = NO_LANE
            else:
                days, calendar = problem.lane_days[lane], problem.calendar[store]
                fixed += problem.lane_base[lane]
                menu.per_kilogram[candidate] = problem.lane_per_kilogram[lane]
                arrival = arrival_day(problem, calendar, problem.dispatch_day[location, behind], days)
                if arrival == NONE:
                    reason = NO_WORKING_DAY
        else:
            service = problem.service[method, location]
            zone = _zone_of(problem, service, menu.dot[candidate])
            if zone == problem.zone_count[service]:
                reason = BEYOND_ZONES
            else:
                menu.zone[candidate] = zone
                days, calendar = problem.transit[service, zone], problem.service_calendar[service]
                fixed += problem.base[service, zone]
                menu.per_kilogram[candidate] = problem.per_kilogram[service, zone]
                start = problem.parcel_start[location, behind]
                arrival = problem.working_day[(start >> 1) + max(days, start & 1)]
                if arrival == NONE:
                    reason = NO_WORKING_DAY
                elif menu.dot[candidate] < problem.max_distance_dot and (with_soft or not problem.is_max_distance_soft):
                    reason = MAX_DISTANCE
                    choice.facts[HAS_SOFT_MASKS] |= problem.is_max_distance_soft
    promise = order.promise_day[part]
    if promise != NONE and arrival > promise:
        fixed += lateness(problem.late_day_cost, arrival, promise)
        is_masked = problem.is_promise_rule and (with_soft or not problem.is_promise_soft)
        if reason == ELIGIBLE and is_masked:
            reason = PROMISE_MISSED if calendar == NONE else _missed_by(problem, location, calendar, days, promise)
            choice.facts[HAS_SOFT_MASKS] |= problem.is_promise_soft
    if reason == ELIGIBLE and menu.spare[location] <= 0:
        reason = CAPACITY_FULL
    menu.arrival_day[candidate] = arrival
    menu.location_reason[candidate] = reason
    menu.fixed[candidate] = fixed
    menu.unit_base[candidate] = problem.handling[location] + stock.location_price[location]
    if load > 0 and menu.spare[location] > 0 and problem.backlog_cost[location] > 0:
        menu.unit_base[candidate] += problem.backlog_cost[location] * load // per_day


@helper
def _cosine(problem, order, part, location):
    """Return the cosine of the angle between a location and where a part of the order goes."""
    return (
        problem.x[location] * order.destination[part, 0]
        + problem.y[location] * order.destination[part, 1]
        + problem.z[location] * order.destination[part, 2]
    )


@helper
def _zone_of(problem, service, cosine):
    """Return the first zone of a service that reaches so far; the number of its zones if none does."""
    zone = 0
    while zone < problem.zone_count[service] and cosine < problem.zone_dot[service, zone]:
        zone += 1
    return zone


@helper
def _missed_by(problem, location, calendar, days, promise):
    """Return what keeps a location from its promise: days that are full, the cut-off, or the way."""
    idle = arrival_day(problem, calendar, problem.dispatch_day[location, 0], days)
    if idle != NONE and idle <= promise:
        return CAPACITY_FULL  # of the days that would keep the promise
    uncut = arrival_day(problem, calendar, problem.uncut_day[location], days)
    if uncut != NONE and uncut <= promise:
        return CUTOFF_MISSED
    return PROMISE_MISSED


@helper
def _price_line(problem, stock, order, menu, choice, line, location_count, with_soft):
    part, row, units = order.part[line], order.row[line], menu.left[line]
    method, unfilled = order.method[part], menu.unfilled_cost[line]
    has_level_cost = stock.level_cost.shape[0] > 0
    for location in range(location_count):
        candidate = part * location_count + location
        room, left, reason = 0, 0, int(menu.location_reason[candidate])
        cost = unit_carriage(menu.per_kilogram[candidate], order.weight[line]) + menu.unit_base[candidate]
        if has_level_cost:
            cost += stock.level_cost[row, location]
        if reason == ELIGIBLE:
            available = stock.available[row, location]
            if order.restrictions[line] & ~problem.allowed[method, location]:
                reason = RESTRICTED_ITEM
            elif available == NO_LEVEL:
                reason = NOT_STOCKED
            else:
                if not with_soft and problem.is_backorder_soft:
                    available += stock.backorder[row, location]
                elif problem.is_backorder_soft and available < units and stock.backorder[row, location] > 0:
                    choice.facts[HAS_SOFT_MASKS] = 1
                available -= _taken_before(order, choice, row, location, location_count)
                left = max(0, available)
                room = min(units, left, menu.spare[location])
                if available <= 0:
                    reason = OUT_OF_STOCK
                elif cost > unfilled:
                    reason, room = DEARER_THAN_UNFILLED, 0
                elif available < units:
                    reason = INSUFFICIENT
        menu.reason[line, candidate] = reason
        menu.room[line, candidate] = room
        menu.stock_left[line, candidate] = left
        menu.unit_cost[line, candidate] = cost


@helper
def lane_of(problem, location, store):
    """Return the lane from a location to a store, or NONE."""
    first, last = problem.lane_start[store], problem.lane_start[store + 1]
    while first < last:
        middle = (first + last) // 2
        if problem.lane_from[middle] < location:
            first = middle + 1
        else:
            last = middle
    is_there = first < problem.lane_start[store + 1] and problem.lane_from[first] == location
    return first if is_there else NONE


@helper
def arrival_day(problem, calendar, leaves, days):
    """Return the day on which arrives what leaves on a day, so many working days of a calendar later; or NONE."""
    if leaves == NONE:
        return NONE
    place = problem.first_place[calendar, leaves - problem.first_day]
    if problem.working_day[place] != leaves:
        days = max(0, days - 1)
    return np.int64(problem.working_day[place + days])


@helper
def lateness(late_day_cost, arrival, promise):
    """Return what a shipment costs that comes after the promise."""
    return late_day_cost * min(max(0, arrival - promise), LATE_DAYS_MAX)


@helper
def unit_carriage(per_kilogram, weight):
    """Return micros to carry one unit of so many milligrams, rounded to the nearest."""
    return (per_kilogram * weight + 500_000) // 1_000_000
