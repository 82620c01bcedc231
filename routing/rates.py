"""What a carrier charges for a parcel by its weight: a table of steps, each affine in the weight."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
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


def problems_of(steps: Sequence[Step]) -> list[tuple[int, str]]:
    """Say what is wrong with the steps of one table: (which step, text that begins with the field)."""
    found = []
    for index, step in enumerate(steps):
        if step.to is not None and step.to <= step.above:
            text = f"to_grams: expected more than above_grams ({_grams(step.above)}), was {_grams(step.to)}."
            found.append((index, text))
        if not 0 <= step.per_kilogram <= PER_KILOGRAM_MAX:
            most = PER_KILOGRAM_MAX // MICROS
            found.append((index, f"per_kilogram: expected 0 to {most}, was {step.per_kilogram / MICROS:g}."))
    if steps[0].above != 0:
        found.append((0, f"above_grams: expected the first step to begin at 0, was {_grams(steps[0].above)}."))
    for index, (before, after) in enumerate(pairwise(steps), start=1):
        end, begin = before.to, _grams(after.above)
        if end is None or end > after.above:
            until = "any weight" if end is None else f"{_grams(end)} g"
            text = f"above_grams: steps overlap: expected the end of the step before ({until}), was {begin}."
            found.append((index, text))
        elif end < after.above:
            found.append((index, f"above_grams: expected {_grams(end)}, where the step before ends, was {begin}."))
    if steps[-1].to is not None:
        last = _grams(steps[-1].to)
        found.append((len(steps) - 1, f"to_grams: expected the last step to be open (empty), was {last}."))
    return found


def _grams(milligrams: int) -> str:
    return f"{milligrams / 1000:g}"
