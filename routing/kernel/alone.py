"""What an order costs from one location alone, for every candidate: what explanations compare a plan with."""

from routing.arrays import COST_FAR, COST_TERMS
from routing.kernel import entry, helper
from routing.kernel.itemize import itemize_shipment

ONLY = 0
"""The one shipment."""


@entry
def cost_alone(problem, stock, order, menu, choice, bill, sequence, costs):
    """Fill `costs`, shape (N,): the order from one candidate, with its true carriage, and the rest not filled.

    COST_FAR where the candidate can fill nothing, or not everything of an order that ships complete. `choice`, `bill`
    and `sequence`, shape (L,), are written over.
    """
    lines = order.units.shape[0]
    for candidate in range(costs.shape[0]):
        choice.candidates[ONLY] = candidate
        taken = _take_all_it_can(order, menu, choice, sequence, candidate)
        cost, missing = 0, 0
        for line in range(lines):
            left = order.units[line] - choice.units[line, ONLY]
            missing += left
            cost += left * order.unfilled_cost[line]
        if taken == 0 or (order.is_complete and missing > 0):
            costs[candidate] = COST_FAR
            continue
        itemize_shipment(problem, stock, order, menu, choice, bill, ONLY)
        for term in range(COST_TERMS):
            cost += bill.terms[ONLY, term]
        costs[candidate] = cost


@helper
def _take_all_it_can(order, menu, choice, sequence, candidate):
    """Choose the units of each line that one location would fill; returns how many.

    Where lines compete, those that save the most go first: lines of one sku share its stock, all share the capacity.
    """
    location_count = menu.spare.shape[0]
    part, spare, taken = candidate // location_count, menu.spare[candidate % location_count], 0
    _sort_by_saving(order, menu, sequence, candidate)
    choice.units[:, ONLY] = 0
    for place in range(sequence.shape[0]):
        line = sequence[place]
        if order.part[line] == part:
            stock = menu.stock_left[line, candidate]
            for other in range(sequence.shape[0]):
                if order.row[other] == order.row[line]:
                    stock -= choice.units[other, ONLY]
            units = min(menu.room[line, candidate], spare, max(stock, 0))
            choice.units[line, ONLY] = units
            spare -= units
            taken += units
    return taken


@helper
def _sort_by_saving(order, menu, sequence, candidate):
    """Put the lines in order: those first whose units save the most; of equals the first of the order."""
    for line in range(sequence.shape[0]):
        saving = order.unfilled_cost[line] - menu.unit_cost[line, candidate]
        place = line
        while place > 0:
            before = sequence[place - 1]
            if order.unfilled_cost[before] - menu.unit_cost[before, candidate] >= saving:
                break
            sequence[place] = before
            place -= 1
        sequence[place] = line
