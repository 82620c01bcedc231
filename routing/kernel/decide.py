"""Decide one order: price, choose, and once more without soft rules for what is left."""

from routing.arrays import (
    COST,
    HAS_SOFT_MASKS,
    IS_EMPTIED,
    IS_PROVED,
    SHIPMENT_COUNT,
    USED_SECOND_PASS,
)
from routing.kernel import entry, helper, rare
from routing.kernel.greedy import OPTIMAL, STRATEGIES, take_greedily
from routing.kernel.price import price
from routing.kernel.search import search
from routing.kernel.tariff import above_bound


@entry
def decide(problem, stock, order, strategy, scratch):
    """Fill scratch.choice with the strategy's decision, and scratch.menu with what it saw.

    Where the search proved nothing (stepped rates, a second pass, a bounded search), OPTIMAL is never dearer than a
    baseline: then the cheapest of all strategies is taken. An order that ships complete is rather filled than cheap.

    Parameters
    ----------
    problem : Problem
    stock : Stock
    order : OrderArrays
    strategy : int
        OPTIMAL, NEAREST, FEWEST_SPLITS or PRIORITY of `kernel.greedy`.
    scratch : Scratch
        For at least the order's lines, and exactly its parts times the problem's locations.

    Notes
    -----
    Compiled code may call it too, for example to decide many orders in one call; its code comes from the cache then.
    """
    facts = scratch.choice.facts
    tried, best, best_emptied, best_cost = strategy, strategy, 0, 0
    for attempt in range(STRATEGIES + 1):  # one call only: a second one would be compiled once more
        _decide(problem, stock, order, tried, scratch)
        if attempt == 0 and (strategy != OPTIMAL or facts[IS_PROVED] != 0):
            break
        if attempt == 0 or (facts[IS_EMPTIED], facts[COST]) < (best_emptied, best_cost):
            best, best_emptied, best_cost = tried, facts[IS_EMPTIED], facts[COST]
        facts[IS_PROVED] = 0
        tried = attempt + 1 if attempt + 1 < STRATEGIES else best


@rare
def _decide(problem, stock, order, strategy, scratch):
    menu, choice, work = scratch.menu, scratch.choice, scratch.work
    choice.facts[:] = 0
    choice.units[:] = 0
    choice.facts[IS_PROVED] = strategy == OPTIMAL
    shipments, is_decided = 0, False
    for _ in range(3):
        price(problem, stock, order, menu, choice, choice.facts[USED_SECOND_PASS] == 0)
        if is_decided:
            choice.facts[SHIPMENT_COUNT] = shipments
            break
        if strategy == OPTIMAL:
            search(problem, order, menu, choice, work)
        else:
            take_greedily(problem.priority, order, menu, choice, strategy)
        shipments = choice.facts[SHIPMENT_COUNT]
        is_first = choice.facts[USED_SECOND_PASS] == 0
        if is_first and choice.facts[HAS_SOFT_MASKS] and _unfilled_units(order, choice) > 0:
            choice.facts[USED_SECOND_PASS] = 1
            choice.facts[IS_PROVED] = 0
        elif is_first and strategy == OPTIMAL:
            break
        else:
            # What was taken changed the menu: show it again as it was before the order.
            choice.facts[SHIPMENT_COUNT] = 0
            is_decided = True
    if order.is_complete and _unfilled_units(order, choice) > 0:
        choice.facts[IS_EMPTIED] = 1
        choice.facts[SHIPMENT_COUNT] = 0
        choice.units[:] = 0
    choice.facts[COST] = _cost(problem, order, menu, choice)


@helper
def _unfilled_units(order, choice):
    units = 0
    for line in range(order.units.shape[0]):
        units += order.units[line]
        for member in range(choice.facts[SHIPMENT_COUNT]):
            units -= choice.units[line, member]
    return units


@helper
def _cost(problem, order, menu, choice):
    """Return the true cost of the choice in micros."""
    count = choice.facts[SHIPMENT_COUNT]
    cost = problem.split_cost * max(0, count - 1)
    for member in range(count):
        candidate = choice.candidates[member]
        cost += menu.fixed[candidate] + above_bound(problem, order, menu, candidate, choice.units, member)
    for line in range(order.units.shape[0]):
        unfilled = order.units[line]
        for member in range(count):
            unfilled -= choice.units[line, member]
            if choice.units[line, member] > 0:
                cost += choice.units[line, member] * menu.unit_cost[line, choice.candidates[member]]
        cost += unfilled * order.unfilled_cost[line]
    return cost
