r"""What a plan costs, term by term, from the columns that the decision saw.

The cost of a plan with shipments :math:`m` of lines :math:`l`, units :math:`x_{lm}` and unfilled units :math:`u_l` is

.. math::

    \sum_m \Big( S_m + T_m + R_m(\sum_l x_{lm} w_l) + \sum_l x_{lm} (h_m + g_m + \kappa_{lm} + \mu_m) \Big)
    + s \, (n - 1)^+ + \sum_l b_l u_l

with set-up :math:`S`, lateness :math:`T`, the carrier's rate :math:`R` by weight, handling :math:`h`, the marginal
cost of the backlog :math:`g`, the level's cost :math:`\kappa` (scarcity less markdown credit, and price), the price of
capacity :math:`\mu`, the split cost :math:`s` for each of :math:`n` shipments after the first, and the cost :math:`b`
of a unit that is not filled. Acimovic and Graves (2015), "Making Better Fulfillment Decisions on the Fly in an Online
Retail Environment", M&SOM 17(1), have the same split of a shipment's cost into a fixed part and one by the unit.
"""

from typing import NamedTuple

from routing.arrays import NONE, Choice, Menu, OrderArrays, Problem, Stock
from routing.limits import LATE_DAYS_MAX
from routing.rules import Method


class CostTerms(NamedTuple):
    """Micros by term, as the profile weighs them; their sum is the cost."""

    shipping: int = 0
    """What the carrier or the lane takes."""
    setup: int = 0
    """Pick set-up and node performance."""
    handling: int = 0
    lateness: int = 0
    backlog: int = 0
    inventory: int = 0
    """Scarcity less markdown credit, and price of the units."""
    capacity_price: int = 0
    split: int = 0
    unfilled: int = 0

    @property
    def total(self) -> int:
        """Return the cost."""
        return sum(self)


def shipment_terms(
    problem: Problem, stock: Stock, order: OrderArrays, menu: Menu, *, candidate: int, units: dict[int, int]
) -> CostTerms:
    """Return what one shipment of a candidate costs that carries so many units of each line."""
    location_count = len(problem.x)
    part, location = divmod(candidate, location_count)
    method = int(order.method[part])
    is_pickup = method == Method.PICKUP or (method == Method.SHIP_TO_STORE and location == order.store[part])
    late = max(0, int(menu.arrival_day[candidate] - order.promise_day[part])) if order.promise_day[part] != NONE else 0
    count = sum(units.values())
    waiting = int(problem.backlog_cost[location]) * int(stock.load[location]) // int(problem.units_per_day[location])
    inventory = 0
    if len(stock.level_cost):
        inventory = sum(int(stock.level_cost[order.row[line], location]) * taken for line, taken in units.items())
    return CostTerms(
        shipping=_carriage(problem, order, menu, candidate, units),
        setup=int(problem.setup[Method.PICKUP if is_pickup else method, location]),
        handling=int(problem.handling[location]) * count,
        lateness=problem.late_day_cost * min(late, LATE_DAYS_MAX),
        backlog=waiting * count,
        inventory=inventory,
        capacity_price=int(stock.location_price[location]) * count,
    )


def _carriage(problem: Problem, order: OrderArrays, menu: Menu, candidate: int, units: dict[int, int]) -> int:
    """Return what carrying a shipment costs: by the rate of its zone, or by its lane."""
    part, location = divmod(candidate, len(problem.x))
    method, zone = int(order.method[part]), int(menu.zone[candidate])
    if zone != NONE:
        service = problem.service[method, location]
        weight = sum(int(order.weight[line]) * taken for line, taken in units.items())
        step = int((problem.step_to[service, zone] < weight).argmin())
        base = int(problem.step_base[service, zone, step])
        per_kilogram = int(problem.step_per_kilogram[service, zone, step])
    elif method == Method.SHIP_TO_STORE and location != order.store[part]:
        lane = lane_to(problem, location, int(order.store[part]))
        base, per_kilogram = int(problem.lane_base[lane]), int(problem.lane_per_kilogram[lane])
    else:
        return 0
    return base + sum((per_kilogram * int(order.weight[line]) + 500_000) // 1_000_000 * n for line, n in units.items())


def lane_to(problem: Problem, location: int, store: int) -> int:
    """Return the lane from a location to a store."""
    first, last = problem.lane_start[store : store + 2].tolist()
    origins: list[int] = problem.lane_from[first:last].tolist()
    return int(first) + origins.index(location)


def units_of(choice: Choice, order: OrderArrays, member: int) -> dict[int, int]:
    """Return line -> units of one shipment, lines without any left out."""
    lines = range(len(order.units))
    return {line: int(choice.units[line, member]) for line in lines if choice.units[line, member] > 0}
