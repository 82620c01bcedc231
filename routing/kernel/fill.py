"""Fill lines from a given subset, each line for itself: the cheapest units first."""

from routing.kernel import helper


@helper
def line_cost(menu, work, line, size):
    """Return what a line costs from the members, its unfilled units included; writes work.units of the line."""
    left, cost, used = menu.left[line], 0, 0
    for member in range(size):
        work.units[line, member] = 0
    while left > 0:
        best = _cheapest(work, line, size, used)
        if best < 0:
            break
        place = work.members[best]
        units = min(left, work.room[place, line])
        work.units[line, best] = units
        cost += units * work.unit_cost[place, line]
        left -= units
        used |= 1 << best
    return cost + left * menu.unfilled_cost[line]


@helper
def _cheapest(work, line, size, used):
    """Return the member with the cheapest units left, of equal ones the smaller candidate; -1: none has any."""
    best = -1
    for member in range(size):
        place = work.members[member]
        if used >> member & 1 or work.room[place, line] == 0:
            continue
        if best >= 0:
            other = work.members[best]
            difference = work.unit_cost[place, line] - work.unit_cost[other, line]
            if difference > 0 or (difference == 0 and work.kept[place] > work.kept[other]):
                continue
        best = member
    return best


@helper
def fill_lines(order, menu, work, size):
    """Write work.units of all lines and return what they cost."""
    cost = 0
    for line in range(order.units.shape[0]):
        cost += line_cost(menu, work, line, size)
    return cost
