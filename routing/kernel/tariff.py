"""Rates with steps: what a parcel truly costs above its lower bound, and moving or leaving lines to spare a step."""

from routing.arrays import NONE
from routing.kernel import helper, rare
from routing.kernel.price import unit_carriage
from routing.rules import Method

SHIP = int(Method.SHIP)
DELIVERY = int(Method.DELIVERY)


@helper
def has_steps(problem, order):
    """Tell whether some location has a stepped rate for a method of the order."""
    for part in range(order.method.shape[0]):
        method = order.method[part]
        if method in (SHIP, DELIVERY):
            for location in range(problem.is_active.shape[0]):
                service = problem.service[method, location]
                if service != NONE and problem.is_stepped[service] != 0:
                    return True
    return False


@rare
def above_bound(problem, order, menu, candidate, units, column):
    """Return the true carriage of one shipment less its lower bound; `units[:, column]` are its units by line."""
    zone = menu.zone[candidate]
    if zone == NONE:
        return 0
    location_count = problem.is_active.shape[0]
    part = candidate // location_count
    service = problem.service[order.method[part], candidate % location_count]
    if problem.is_stepped[service] == 0:
        return 0
    weight = 0
    for line in range(order.units.shape[0]):
        weight += units[line, column] * order.weight[line]
    step = 0
    while weight > problem.step_to[service, zone, step]:
        step += 1
    above = problem.step_base[service, zone, step] - problem.base[service, zone]
    for line in range(order.units.shape[0]):
        above += units[line, column] * (
            unit_carriage(problem.step_per_kilogram[service, zone, step], order.weight[line])
            - unit_carriage(menu.per_kilogram[candidate], order.weight[line])
        )
    return above


@rare
def move_lines(problem, order, menu, work, size, cost, is_coupled):
    """Return the true cost of work.units after moving whole lines, or leaving them, while that is cheaper.

    Moving is left out where lines compete: a move could break a capacity.
    """
    for member in range(size):
        cost += above_bound(problem, order, menu, work.kept[work.members[member]], work.units, member)
    first = size if is_coupled else 0  # the target behind the members is nobody
    is_better = True
    while is_better:
        is_better = False
        for line in range(order.units.shape[0]):
            for target in range(first, size + 1):
                saved = _try_move(problem, order, menu, work, size, line, target)
                cost -= saved
                is_better = is_better or saved > 0
    return cost


@helper
def _try_move(problem, order, menu, work, size, line, target):
    """Move a whole line to one member, or to nobody, if that is cheaper; returns what it saves, or 0."""
    filled, before = 0, 0
    for member in range(size):
        work.moved[member] = work.units[line, member]
        filled += work.units[line, member]
        before += _member_cost(problem, order, menu, work, line, member)
    after = 0
    if target == size:
        after = filled * menu.unfilled_cost[line]
    elif filled == work.units[line, target] or filled > work.room[work.members[target], line]:
        return 0
    for member in range(size):
        work.units[line, member] = filled if member == target else 0
    for member in range(size):
        after += _member_cost(problem, order, menu, work, line, member)
    if after < before:
        return before - after
    for member in range(size):
        work.units[line, member] = work.moved[member]
    return 0


@helper
def _member_cost(problem, order, menu, work, line, member):
    place = work.members[member]
    above = above_bound(problem, order, menu, work.kept[place], work.units, member)
    return above + work.units[line, member] * work.unit_cost[place, line]
