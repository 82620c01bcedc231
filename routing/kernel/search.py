"""The cheapest subset of candidates: enumeration with prunes that never lose the best.

    min over S, |S| <= K:  sum of F in S + split_cost * (|S| - 1) + sum over lines of the cheapest fill from S

1. A candidate stays only if what it could save on all lines, against leaving them unfilled, exceeds its F.
2. A candidate goes if it must cost more than the best single one, however cheap the others fill.
3. A candidate goes if another with no greater F fills everything that it has room for, no dearer.
4. A branch ends when F of its members and the least cost of every line exceed the best.
5. A branch is not gone into when its cost, less as many times the most that one more candidate could have saved before
   its last member joined, exceeds the best: what a candidate saves never grows with the members (savings of one line
   from sources of limited room are submodular, Nemhauser, Wolsey and Fisher 1978).

Equal costs: fewer shipments, then the smaller candidates in order. Subsets are compared by a lower bound first, which
is the cost itself unless capacities or shared stock bind, or rates have steps; then `_settle` finds the cost.

Shipments that the first pass opened are members of every subset, and cost nothing more.
"""

from routing.arrays import COST_FAR, EVALUATIONS, IS_PROVED, SHIPMENT_COUNT
from routing.kernel import helper, rare
from routing.kernel.fill import fill_lines, line_cost
from routing.kernel.flow import fill_by_flow
from routing.kernel.tariff import has_steps, move_lines
from routing.limits import (
    DOMINATORS_MAX,
    EVALUATIONS_PER_CANDIDATE,
    EVALUATIONS_PER_SETTLED_LINE,
    SEARCH_STEPS_MAX,
    SORTED_BY_INSERTION_MAX,
    STEPS_PER_FLOW_PAIR,
)


@helper
def search(problem, order, menu, choice, work):
    """Add to the choice what fills the rest at the least cost."""
    opened = choice.facts[SHIPMENT_COUNT]
    is_stepped = has_steps(problem, order)
    is_stock_shared = has_shared_rows(order)
    is_coupled = is_stock_shared or _is_capacity_tight(order, menu)
    count = _shortlist(order, menu, choice, work, opened, is_stock_shared, is_stepped, problem.split_cost)
    size, evaluations, is_whole = _enumerate(problem, order, menu, work, opened, count, is_coupled, is_stepped)
    choice.facts[EVALUATIONS] += evaluations
    if is_stepped or not is_whole:
        choice.facts[IS_PROVED] = 0
    choice.facts[SHIPMENT_COUNT] = size
    for member in range(size):
        choice.candidates[member] = work.best[member]
        for line in range(order.units.shape[0]):
            choice.units[line, member] += work.best_units[line, member]


@helper
def has_shared_rows(order):
    """Tell whether two lines are of one sku."""
    for line in range(order.row.shape[0]):
        for other in range(line):
            if order.row[other] == order.row[line]:
                return True
    return False


@helper
def _is_capacity_tight(order, menu):
    total = _units_left(order, menu)
    for location in range(menu.spare.shape[0]):
        if 0 < menu.spare[location] < total:
            return True
    return False


@helper
def _units_left(order, menu):
    total = 0
    for line in range(order.units.shape[0]):
        total += menu.left[line]
    return total


# ---- which candidates stay -------------------------------------------------------------------------------------------


@helper
def _shortlist(order, menu, choice, work, opened, is_stock_shared, is_stepped, split_cost):
    """Write work.kept: the opened ones, then those that prunes 1 to 3 leave, by (F, candidate); returns how many."""
    for member in range(opened):
        work.kept[member] = choice.candidates[member]
    limit = _limit_of_singles(order, menu, work, opened, is_stock_shared, is_stepped, split_cost)
    count = opened
    for candidate in range(menu.fixed.shape[0]):
        if menu.location_reason[candidate] != 0 or _is_opened(choice, opened, candidate):
            continue
        saving = _saving(order, menu, candidate)
        if saving > menu.fixed[candidate] and menu.fixed[candidate] <= limit:
            work.kept[count] = candidate
            count += 1
    if count - opened <= SORTED_BY_INSERTION_MAX:
        _sort_by_insertion(menu, work, opened, count)
    else:
        _sort_as_heap(menu, work, opened, count)
    if not is_stock_shared and not is_stepped:
        count = _drop_dominated(order, menu, work, opened, count)
    _tabulate(order, menu, work, count)
    return count


@helper
def _is_opened(choice, opened, candidate):
    for member in range(opened):
        if choice.candidates[member] == candidate:
            return True
    return False


@helper
def _saving(order, menu, candidate):
    part = candidate // menu.spare.shape[0]
    saving = 0
    for line in range(order.units.shape[0]):
        if order.part[line] == part:
            saving += menu.room[line, candidate] * (menu.unfilled_cost[line] - menu.unit_cost[line, candidate])
    return saving


@helper
def _limit_of_singles(order, menu, work, opened, is_stock_shared, is_stepped, split_cost):
    """Return the greatest F that a useful candidate may have: cost of the best single, less the least of all lines."""
    location_count, lines = menu.spare.shape[0], order.units.shape[0]
    total = _units_left(order, menu)
    unfilled, best = 0, 0
    for line in range(lines):
        work.lowest[0, line] = menu.left[line] * menu.unfilled_cost[line]
        unfilled += work.lowest[0, line]
    best = unfilled
    for candidate in range(menu.fixed.shape[0]):
        if menu.location_reason[candidate] != 0:
            continue
        part = candidate // location_count
        saving = 0
        for line in range(lines):
            if order.part[line] == part and menu.room[line, candidate] > 0:
                cost = menu.unit_cost[line, candidate]
                work.lowest[0, line] = min(work.lowest[0, line], menu.left[line] * cost)
                saving += menu.room[line, candidate] * (menu.unfilled_cost[line] - cost)
        if menu.spare[candidate % location_count] >= total:
            best = min(best, unfilled - saving + menu.fixed[candidate])
    if is_stock_shared or is_stepped:
        best = unfilled
    if opened > 0:
        best = min(unfilled, best + split_cost)
    least = 0
    for line in range(lines):
        least += work.lowest[0, line]
    return best - least


@helper
def _sort_by_insertion(menu, work, first, end):
    """Sort by (F, candidate); candidates come in order, so equal F stay behind."""
    for start in range(first + 1, end):
        candidate, place = work.kept[start], start
        while place > first and menu.fixed[work.kept[place - 1]] > menu.fixed[candidate]:
            work.kept[place] = work.kept[place - 1]
            place -= 1
        work.kept[place] = candidate


@rare
def _sort_as_heap(menu, work, first, end):
    """Sort by (F, candidate), in place, in time that many candidates do not blow up."""
    count = end - first
    for root in range(count // 2 - 1, -1, -1):
        _sift_down(menu, work, first, root, count)
    for last in range(count - 1, 0, -1):
        work.kept[first], work.kept[first + last] = work.kept[first + last], work.kept[first]
        _sift_down(menu, work, first, 0, last)


@helper
def _sift_down(menu, work, first, root, count):
    moved = work.kept[first + root]
    while True:
        child = 2 * root + 1
        if child >= count:
            break
        if child + 1 < count and _is_behind(menu, work.kept[first + child + 1], work.kept[first + child]):
            child += 1
        if not _is_behind(menu, work.kept[first + child], moved):
            break
        work.kept[first + root] = work.kept[first + child]
        root = child
    work.kept[first + root] = moved


@helper
def _is_behind(menu, candidate, other):
    """Tell whether a candidate goes behind another by (F, candidate)."""
    if menu.fixed[candidate] != menu.fixed[other]:
        return menu.fixed[candidate] > menu.fixed[other]
    return candidate > other


@helper
def _drop_dominated(order, menu, work, opened, count):
    total = _units_left(order, menu)
    stay = opened
    for place in range(opened, count):
        candidate = work.kept[place]
        is_dominated = False
        for earlier in range(opened, min(stay, opened + DOMINATORS_MAX)):
            if _dominates(order, menu, work.kept[earlier], candidate, total):
                is_dominated = True
                break
        if not is_dominated:
            work.kept[stay] = candidate
            stay += 1
    return stay


@helper
def _dominates(order, menu, better, candidate, total):
    """Tell whether one fills all that another has room for, whole and no dearer; its F is known to be no greater."""
    location_count = menu.spare.shape[0]
    part = candidate // location_count
    if better // location_count != part or menu.spare[better % location_count] < total:
        return False
    for line in range(order.units.shape[0]):
        if order.part[line] == part and menu.room[line, candidate] > 0:
            if menu.room[line, better] < menu.left[line]:
                return False
            if menu.unit_cost[line, better] > menu.unit_cost[line, candidate]:
                return False
    return True


@helper
def _tabulate(order, menu, work, count):
    """Copy what the kept candidates have and cost, and sum up `whole`, `is_partial` and `lowest`."""
    lines = order.units.shape[0]
    for line in range(lines):
        work.is_partial[line] = 0
        work.lowest[count, line] = menu.left[line] * menu.unfilled_cost[line]
    for place in range(count - 1, -1, -1):
        candidate = work.kept[place]
        part = candidate // menu.spare.shape[0]
        for line in range(lines):
            room = menu.room[line, candidate] if order.part[line] == part else 0
            unit_cost = menu.unit_cost[line, candidate] if room > 0 else 0
            work.room[place, line] = room
            work.unit_cost[place, line] = unit_cost
            work.whole[place, line] = menu.left[line] * unit_cost if room > 0 else COST_FAR
            if 0 < room < menu.left[line]:
                work.is_partial[line] = 1
            work.lowest[place, line] = min(work.whole[place, line], work.lowest[place + 1, line])


# ---- the enumeration -------------------------------------------------------------------------------------------------


@helper
def _enumerate(problem, order, menu, work, opened, count, is_coupled, is_stepped):
    """Find the best subset; returns its size, how many subsets were looked at, and whether none was left out."""
    lines = order.units.shape[0]
    budget = EVALUATIONS_PER_CANDIDATE * menu.fixed.shape[0]
    flow_steps = STEPS_PER_FLOW_PAIR * lines * lines
    for line in range(lines):
        work.current[opened, line] = menu.left[line] * menu.unfilled_cost[line]
        for member in range(opened):
            work.current[opened, line] = min(work.current[opened, line], work.whole[member, line])
    for member in range(opened):
        work.members[member] = member
    work.fixed[opened] = 0
    best_cost = _settle(problem, order, menu, work, opened, opened, is_coupled, is_stepped)
    best_size = _remember(order, work, opened)
    evaluations, effort, steps = 0, 0, 0
    depth, is_new = opened, True
    work.cursor[min(opened, work.cursor.shape[0] - 1)] = opened
    while depth >= opened and depth < order.shipments_max:
        split = problem.split_cost if depth > 0 else 0
        if is_new:
            # Every subset with one more member first, so that the best is low when the branches are gone into.
            is_new = False
            end = count
            for place in range(work.cursor[depth], count):
                fixed = work.fixed[depth] + menu.fixed[work.kept[place]] + split
                if fixed + _least(work, lines, depth, place) > best_cost or effort > budget or steps > SEARCH_STEPS_MAX:
                    end = place
                    break
                evaluations += 1
                effort += 1
                steps += lines
                work.members[depth] = place
                cost = fixed + _line_costs(menu, work, lines, depth, place)
                work.cost[depth, place] = cost
                if cost <= best_cost:
                    if is_coupled or is_stepped:
                        effort += EVALUATIONS_PER_SETTLED_LINE * lines
                        steps += flow_steps
                        cost = _settle(problem, order, menu, work, opened, depth + 1, is_coupled, is_stepped)
                    if cost < best_cost or (cost == best_cost and _goes_first(work, depth + 1, best_size)):
                        best_cost = cost
                        if not (is_coupled or is_stepped):
                            fill_lines(order, menu, work, depth + 1)
                        best_size = _remember(order, work, depth + 1)
            if depth + 1 < order.shipments_max:
                before = _members_cost(order, menu, work, depth)
                tail = before - fixed - _least(work, lines, depth, end) if end < count else 0
                _sum_up_gains(work, depth, end, before, tail)
        place = work.cursor[depth]
        is_over = place >= count or depth + 1 >= order.shipments_max or effort > budget or steps > SEARCH_STEPS_MAX
        if not is_over:
            fixed = work.fixed[depth] + menu.fixed[work.kept[place]] + split
            is_over = fixed + _least(work, lines, depth, place) > best_cost
        if is_over:
            depth -= 1
            continue
        work.cursor[depth] = place + 1
        more = order.shipments_max - depth - 1
        if work.cost[depth, place] - more * work.gain[depth, place + 1] > best_cost:
            continue
        work.members[depth] = place
        work.fixed[depth + 1] = fixed
        for line in range(lines):
            work.current[depth + 1, line] = min(work.current[depth, line], work.whole[place, line])
        depth += 1
        work.cursor[depth] = place + 1
        is_new = True
    return best_size, evaluations, effort <= budget and steps <= SEARCH_STEPS_MAX


@helper
def _least(work, lines, depth, place):
    """Return the least that all lines cost with the members and any candidates from a place on."""
    total = 0
    for line in range(lines):
        total += min(work.current[depth, line], work.lowest[place, line])
    return total


@helper
def _members_cost(order, menu, work, depth):
    """Return what the members cost, each line for itself."""
    return work.fixed[depth] + fill_lines(order, menu, work, depth)


@helper
def _sum_up_gains(work, depth, end, before, tail):
    """Write the most that any candidate from each place on saves; `tail` bounds those that were not looked at."""
    gain = max(0, tail)
    work.gain[depth, end] = gain
    for place in range(end - 1, work.cursor[depth] - 1, -1):
        gain = max(gain, before - work.cost[depth, place])
        work.gain[depth, place] = gain


@helper
def _line_costs(menu, work, lines, depth, place):
    """Return what all lines cost with the members and one more, each line for itself."""
    total = 0
    for line in range(lines):
        if work.is_partial[line]:
            total += line_cost(menu, work, line, depth + 1)
        else:
            total += min(work.current[depth, line], work.whole[place, line])
    return total


@rare
def _settle(problem, order, menu, work, opened, size, is_coupled, is_stepped):
    """Write work.units for the members and return what they cost, as they truly are.

    A subset of which a member has nothing left is no plan: the one without that member is looked at too.
    """
    fixed = 0
    for member in range(opened, size):
        fixed += menu.fixed[work.kept[work.members[member]]]
        if member > 0:
            fixed += problem.split_cost
    cost = fill_by_flow(order, menu, work, size) if is_coupled else fill_lines(order, menu, work, size)
    if is_stepped:
        cost = move_lines(problem, order, menu, work, size, cost, is_coupled)
        for member in range(opened, size):
            units = 0
            for line in range(order.units.shape[0]):
                units += work.units[line, member]
            if units == 0:
                return COST_FAR
    return fixed + cost


@helper
def _remember(order, work, size):
    for member in range(size):
        work.best[member] = work.kept[work.members[member]]
        for line in range(order.units.shape[0]):
            work.best_units[line, member] = work.units[line, member]
    return size


@rare
def _goes_first(work, size, best_size):
    """Tell whether the members go before the best of equal cost: fewer, else the first that differs is smaller."""
    if size != best_size:
        return size < best_size
    for member in range(size):
        work.ordered[0, member] = work.kept[work.members[member]]
        work.ordered[1, member] = work.best[member]
    for row in range(2):
        for end in range(size - 1, 0, -1):
            for place in range(end):
                if work.ordered[row, place] > work.ordered[row, place + 1]:
                    swap = work.ordered[row, place]
                    work.ordered[row, place] = work.ordered[row, place + 1]
                    work.ordered[row, place + 1] = swap
    for member in range(size):
        if work.ordered[0, member] != work.ordered[1, member]:
            return work.ordered[0, member] < work.ordered[1, member]
    return False
