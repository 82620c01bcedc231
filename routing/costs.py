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

from routing.arrays import Choice, OrderArrays


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


def units_of(choice: Choice, order: OrderArrays, member: int) -> dict[int, int]:
    """Return line -> units of one shipment, lines without any left out."""
    lines = range(len(order.units))
    return {line: int(choice.units[line, member]) for line in lines if choice.units[line, member] > 0}
