"""The strategies behind one interface: an order, the stock it sees, and a moment in; a plan out. Read this file first.

- OPTIMAL: the least cost by enumeration (`kernel/search.py`).
- NEAREST, FEWEST_SPLITS, PRIORITY: what other systems do (`kernel/greedy.py`), to compare with and to fall back on.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import IntEnum

from routing import network as networks
from routing import order as orders
from routing.arrays import (
    COST,
    IS_EMPTIED,
    IS_PROVED,
    OrderArrays,
    Problem,
    Scratch,
    Stock,
    scratch,
)
from routing.kernel import greedy
from routing.kernel.decide import decide
from routing.network import Network
from routing.order import Order
from routing.plan import Plan
from routing.problem import Columns, TimedProblem
from routing.profile import Profile
from routing.report import Decision, report


class Strategy(IntEnum):
    """How locations are chosen."""

    OPTIMAL = greedy.OPTIMAL
    NEAREST = greedy.NEAREST
    FEWEST_SPLITS = greedy.FEWEST_SPLITS
    PRIORITY = greedy.PRIORITY


BASELINES = (Strategy.NEAREST, Strategy.FEWEST_SPLITS, Strategy.PRIORITY)


class Router:
    """Routes orders over one network with one profile; keeps the columns and the scratch between orders.

    Parameters
    ----------
    network : Network
    profile : Profile

    Raises
    ------
    RoutingInputError
        If the parts of the network do not fit together; the text names the fields.
    """

    def __init__(self, network: Network, profile: Profile) -> None:
        networks.check(network)
        self.network = network
        self.profile = profile
        self.columns = Columns(network, profile)
        self._timed: TimedProblem | None = None
        self._timed_from: datetime | None = None
        self._scratch: dict[int, Scratch] = {}

    def plan(
        self,
        order: Order,
        stock: Stock,
        rows: Sequence[int],
        now: datetime,
        strategy: Strategy = Strategy.OPTIMAL,
        *,
        explain: bool = False,
    ) -> Plan:
        """Return a strategy's plan for an order.

        Parameters
        ----------
        order : Order
        stock : Stock
            What can be promised now.
        rows : sequence of int
            Row of the stock for each line.
        now : datetime
            With a time zone.
        strategy : Strategy
        explain : bool
            Whether the plan carries every candidate.

        Raises
        ------
        RoutingInputError
            If nobody could route the order: an unknown destination, store or channel, a promise that no location could
            keep, or a line that no location may serve. The text names the field.
        """
        orders.check(order, self.network)
        problem = self.problem_at(now)
        arrays = orders.to_arrays(order, self.network, self.profile, rows, self.columns.channel_rows)
        used = self.decide(problem, stock, arrays, strategy)
        return report(
            Decision(self.network, self.profile, order, strategy.name, problem, stock, arrays, used, now), explain=explain
        )

    def problem_at(self, now: datetime) -> Problem:
        """Return the columns of a moment; made anew when a cut-off or a midnight has passed."""
        if self._timed is None or self._timed_from is None or not self._timed_from <= now < self._timed.valid_until:
            self._timed, self._timed_from = self.columns.at(now), now
        return self._timed.problem

    def decide(self, problem: Problem, stock: Stock, arrays: OrderArrays, strategy: Strategy) -> Scratch:
        """Return what the kernel decided; the arrays are overwritten by the next decision.

        Where the search proved nothing (stepped rates, a second pass, a bounded search), it is never dearer than a
        baseline: then the cheapest of them all is taken.
        """
        used = self._scratch_for(arrays)
        decide(problem, stock, arrays, int(strategy), used)
        if strategy != Strategy.OPTIMAL or used.choice.facts[IS_PROVED]:
            return used
        found = []
        for one in Strategy:
            decide(problem, stock, arrays, int(one), used)
            # An order that ships complete is rather filled than cheap.
            found.append((int(used.choice.facts[IS_EMPTIED]), int(used.choice.facts[COST]), one))
        decide(problem, stock, arrays, int(min(found)[-1]), used)
        used.choice.facts[IS_PROVED] = 0
        return used

    def _scratch_for(self, arrays: OrderArrays) -> Scratch:
        """Return scratch for as many parts as the order has, and at least its lines."""
        parts, lines = len(arrays.method), len(arrays.units)
        found = self._scratch.get(parts)
        if found is None or len(found.menu.left) < lines:
            found = self._scratch[parts] = scratch(lines, parts, len(self.network.locations))
        return found
