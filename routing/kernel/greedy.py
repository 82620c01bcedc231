"""The baselines: what other systems do. They obey the same masks, stock, capacity and limit of shipments.

- nearest: locations by distance, each gives what it has (Magento's distance priority algorithm).
- fewest splits: the location that fills the most units, of equals the nearest, then again for the rest (Salesforce).
- priority: locations by their rank, of equals the nearest, each gives what it has (Spree, Shopify).
"""

from routing.arrays import NONE, SHIPMENT_COUNT
from routing.kernel import helper, rare
from routing.kernel.search import has_shared_rows

OPTIMAL = 0
NEAREST = 1
FEWEST_SPLITS = 2
PRIORITY = 3
STRATEGIES = 4


@rare
def take_greedily(priority, order, menu, choice, strategy):
    """Add to the choice what a baseline takes; opened shipments give first."""
    for member in range(choice.facts[SHIPMENT_COUNT]):
        _take(order, menu, choice, choice.candidates[member], member)
    while choice.facts[SHIPMENT_COUNT] < order.shipments_max:
        candidate = _next(priority, order, menu, strategy, has_shared_rows(order))
        if candidate == NONE:
            break
        member = choice.facts[SHIPMENT_COUNT]
        choice.candidates[member] = candidate
        choice.facts[SHIPMENT_COUNT] = member + 1
        _take(order, menu, choice, candidate, member)


@helper
def _next(priority, order, menu, strategy, is_stock_shared):
    """Return the candidate that goes first among those that can fill something, or NONE."""
    location_count = menu.spare.shape[0]
    best, best_rank = NONE, 0
    for candidate in range(menu.fixed.shape[0]):
        if menu.location_reason[candidate] != 0:
            continue
        units = _fillable(order, menu, candidate, is_stock_shared)
        if units == 0:
            continue
        rank = 0
        if strategy == FEWEST_SPLITS:
            rank = -units
        elif strategy == PRIORITY:
            rank = priority[candidate % location_count]
        if best == NONE or rank < best_rank or (rank == best_rank and menu.dot[candidate] > menu.dot[best]):
            best, best_rank = candidate, rank
    return best


@helper
def _fillable(order, menu, candidate, is_stock_shared):
    """Return the units that a candidate could fill of all lines; stock that lines share counts once."""
    location_count = menu.spare.shape[0]
    part = candidate // location_count
    units = 0
    for line in range(order.units.shape[0]):
        if order.part[line] == part:
            own = min(menu.left[line], menu.room[line, candidate])
            if is_stock_shared and own > 0:
                stock = menu.stock_left[line, candidate]
                for other in range(line):
                    if order.row[other] == order.row[line] and order.part[other] == part:
                        stock -= min(menu.left[other], menu.room[other, candidate])
                own = max(0, min(own, stock))
            units += own
    return min(units, menu.spare[candidate % location_count])


@helper
def _take(order, menu, choice, candidate, member):
    """Take what the candidate has, line by line, and lower what others could take of the same."""
    location_count = menu.spare.shape[0]
    part, location = candidate // location_count, candidate % location_count
    for line in range(order.units.shape[0]):
        if order.part[line] != part:
            continue
        units = min(menu.left[line], menu.room[line, candidate], menu.spare[location])
        choice.units[line, member] += units
        menu.left[line] -= units
        menu.spare[location] -= units
        for other in range(order.units.shape[0]):
            if order.row[other] == order.row[line]:
                same = order.part[other] * location_count + location
                menu.stock_left[other, same] -= units
                menu.room[other, same] = min(menu.room[other, same], max(0, menu.stock_left[other, same]))
