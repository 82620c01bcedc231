"""Decide one order: price, choose, and once more without soft rules for what is left."""

from routing.arrays import (
    COST,
    IS_EMPTIED,
    IS_PROVED,
    SHIPMENT_COUNT,
    SHIPMENTS_FIRST_PASS,
    USED_SECOND_PASS,
)
from routing.kernel import entry, helper
from routing.kernel.greedy import OPTIMAL, take_greedily
from routing.kernel.price import price
from routing.kernel.search import search
from routing.kernel.tariff import above_bound


@entry
def decide(problem, stock, order, strategy, scratch):
    """Fill scratch.choice with the strategy's decision, and scratch.menu with what it saw.

    Parameters
    ----------
    problem : Problem
    stock : Stock
    order : OrderArrays
    strategy : int
        OPTIMAL, NEAREST, FEWEST_SPLITS or PRIORITY of `kernel.greedy`.
    scratch : Scratch
        For at least the order's lines, and exactly its parts times the problem's locations.
    """
    decide_order(problem, stock, order, strategy, scratch)


@helper
def decide_order(problem, stock, order, strategy, scratch):
    """Do what `decide` does; for kernels that decide many orders."""
    menu, choice, work = scratch.menu, scratch.choice, scratch.work
    choice.facts[:] = 0
    choice.units[:] = 0
    choice.facts[IS_PROVED] = 1
    for second in range(2):
        price(problem, stock, order, menu, choice, second == 0)
        if strategy == OPTIMAL:
            search(problem, order, menu, choice, work)
        else:
            take_greedily(problem.priority, order, menu, choice, strategy)
        if second == 0:
            choice.facts[SHIPMENTS_FIRST_PASS] = choice.facts[SHIPMENT_COUNT]
            if not _has_soft_rules(problem) or _unfilled_units(order, choice) == 0:
                break
        else:
            choice.facts[USED_SECOND_PASS] = 1
            choice.facts[IS_PROVED] = 0
    if order.is_complete and _unfilled_units(order, choice) > 0:
        choice.facts[IS_EMPTIED] = 1
        choice.facts[SHIPMENT_COUNT] = 0
        choice.units[:] = 0
    choice.facts[COST] = _cost(problem, order, menu, choice)


@helper
def _has_soft_rules(problem):
    return (
        (problem.is_max_distance_soft and problem.max_distance_dot > -1.0)
        or (problem.is_promise_soft and problem.is_promise_rule)
        or problem.is_backorder_soft
    )


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
