"""What a carrier charges for a parcel by its weight: a table of steps, each affine in the weight."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from routing.limits import MICROS, PER_KILOGRAM_MAX


class Step(NamedTuple):
    """One row of a table: parcels above `above` and up to `to` milligrams cost base + per_kilogram * weight."""

    above: int
    to: int | None
    """None: any weight."""
    base: int
    """Micros."""
    per_kilogram: int
    """Micros."""

    def cost(self, milligrams: int) -> float:
        """Return micros, exactly."""
        return self.base + self.per_kilogram * milligrams / MICROS


@dataclass(frozen=True)
class RateTable:
    """Steps in order of weight, without overlap or gap."""

    steps: tuple[Step, ...]

    @property
    def is_stepped(self) -> bool:
        """Whether the table is more than one affine function."""
        return len(self.steps) > 1

    def lower_bound(self) -> Step:
        """Return an affine function of the weight that is nowhere above the table.

        It starts at the least cost, `b = min cost`, and rises as far as every end of a step allows:
        `p = min((cost(w) - b) / w)`, where w are both ends of every step; so cost(w) >= b + p w on all of them, as the
        table is affine between. One micro a kilogram is taken off for rounding.
        """
        if not self.is_stepped:
            return self.steps[0]
        ends = [(step.above, step.cost(step.above)) for step in self.steps]
        ends += [(step.to, step.cost(step.to)) for step in self.steps if step.to is not None]
        base = math.floor(min(cost for _, cost in ends))
        slope = min([(cost - base) * MICROS / weight for weight, cost in ends if weight > 0])
        slope = min(slope, self.steps[-1].per_kilogram)
        return Step(0, None, base, max(0, math.floor(slope) - 1))


def problems_of(steps: Sequence[Step]) -> list[str]:
    """Say what is wrong with the steps of one table, in order of weight; each text begins with the field."""
    found = []
    for step in steps:
        if step.to is not None and step.to <= step.above:
            found.append(f"to_grams: expected more than above_grams ({_grams(step.above)}), was {_grams(step.to)}.")
        if not 0 <= step.per_kilogram <= PER_KILOGRAM_MAX:
            most = PER_KILOGRAM_MAX // MICROS
            found.append(f"per_kilogram: expected 0 to {most}, was {step.per_kilogram / MICROS:g}.")
    if steps[0].above != 0:
        found.append(f"above_grams: expected the first step to begin at 0, was {_grams(steps[0].above)}.")
    for before, after in zip(steps, steps[1:], strict=False):
        if before.to is None or before.to > after.above:
            until = "any weight" if before.to is None else f"{_grams(before.to)} g"
            found.append(f"above_grams: expected {_grams(after.above)} g to begin where the step before ends, but the "
                         f"steps overlap: that one goes to {until}.")
        elif before.to < after.above:
            found.append(f"above_grams: expected {_grams(before.to)} g, where the step before ends, was "
                         f"{_grams(after.above)} g.")
    if steps[-1].to is not None:
        found.append(f"to_grams: expected the last step to be open (empty), was {_grams(steps[-1].to)}.")
    return found


def _grams(milligrams: int) -> str:
    return f"{milligrams / 1000:g}"
