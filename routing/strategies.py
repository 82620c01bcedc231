"""The strategies behind one interface: an order, the stock it sees, and a moment in; a plan out. Read this file first.

- OPTIMAL: the least cost by enumeration (`kernel/search.py`).
- NEAREST, FEWEST_SPLITS, PRIORITY: what other systems do (`kernel/greedy.py`), to compare with and to fall back on.
"""

from datetime import datetime
from enum import IntEnum

import numpy as np

from routing import network as networks
from routing import order as orders
from routing.arrays import (
    COST,
    IS_EMPTIED,
    SHIPMENT_COUNT,
    USED_SECOND_PASS,
    OrderArrays,
    Problem,
    Scratch,
    Stock,
    scratch,
)
from routing.kernel import greedy
from routing.kernel.decide import decide
from routing.network import Network
from routing.order import Request
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


class Router:
    """Routes orders over one network with one profile; keeps the columns and the scratch between orders.

    Parameters
    ----------
    network : Network
    profile : Profile
    columns : Columns, optional
        Of this network, which was checked, and this profile. Routers may share them, each for a thread of its own.

    Raises
    ------
    RoutingInputError
        If the parts of the network do not fit together, or a weight makes an amount too large; the text names the
        fields.
    """

    def __init__(self, network: Network, profile: Profile, columns: Columns | None = None) -> None:
        if columns is None:
            networks.check(network)
            networks.check_weights(network, [profile])
        self.network = network
        self.profile = profile
        self.columns = columns or Columns(network, profile)
        self._timed: TimedProblem | None = None
        self._timed_from: datetime | None = None
        self._scratch: dict[int, Scratch] = {}

    def plan(
        self,
        request: Request,
        strategy: Strategy = Strategy.OPTIMAL,
        *,
        explain: bool = False,
    ) -> Plan:
        """Return a strategy's plan for a request.

        Parameters
        ----------
        request : Request
        strategy : Strategy
        explain : bool
            Whether the plan carries every candidate.

        Raises
        ------
        RoutingInputError
            If nobody could route the order: an unknown destination, store or channel, a promise that no location could
            keep, or a line that no location may serve. The text names the field.
        """
        orders.check(request.order, self.network)
        problem = self.problem_at(request.now)
        arrays = orders.to_arrays(request.order, self.network, self.profile, request.rows, self.columns.channel_rows)
        without = self.costs_without(problem, request.stock, arrays, strategy) if explain else {}
        used = self.decide(problem, request.stock, arrays, strategy)
        decision = Decision(self.network, self.profile, request, strategy.name, problem, arrays, used, without)
        return report(decision, explain=explain)

    def problem_at(self, now: datetime) -> Problem:
        """Return the columns of a moment; made anew when a cut-off or a midnight has passed."""
        if self._timed is None or self._timed_from is None or not self._timed_from <= now < self._timed.valid_until:
            self._timed, self._timed_from = self.columns.at(now), now
        return self._timed.problem

    def decide(self, problem: Problem, stock: Stock, arrays: OrderArrays, strategy: Strategy) -> Scratch:
        """Return what the kernel decided; the arrays are overwritten by the next decision."""
        used = self.scratch_for(len(arrays.units), len(arrays.method))
        decide(problem, stock, arrays, int(strategy), used)
        return used

    def costs_without(
        self, problem: Problem, stock: Stock, arrays: OrderArrays, strategy: Strategy
    ) -> dict[int, int | None]:
        """Return candidate -> cost of the best plan without its location, for each that is chosen.

        It keeps the soft rules that the plan keeps. None: the order ships complete, and cannot without it.
        """
        choice = self.decide(problem, stock, arrays, strategy).choice
        if not choice.facts[USED_SECOND_PASS]:
            problem = problem._replace(is_max_distance_soft=False, is_promise_soft=False, is_backorder_soft=False)
        costs, lines = dict[int, int | None](), np.arange(len(arrays.units))
        for candidate in choice.candidates[: choice.facts[SHIPMENT_COUNT]].tolist():
            location = np.full_like(lines, candidate % len(problem.x))
            rejected = np.concatenate([arrays.rejected, np.stack([lines, location], axis=1)])
            other = self.decide(problem, stock, arrays._replace(rejected=rejected), strategy).choice
            costs[candidate] = None if other.facts[IS_EMPTIED] else int(other.facts[COST])
        return costs

    def scratch_for(self, lines: int, parts: int) -> Scratch:
        """Return scratch for orders of at least so many lines, and exactly so many parts."""
        found = self._scratch.get(parts)
        if found is None or len(found.menu.left) < lines:
            found = self._scratch[parts] = scratch(lines, parts, len(self.network.locations))
        return found
