"""What a decision weighs: a routing profile, versioned; the loader reads it from TOML.

name = "standard"
version = 1

[weights]           # 0 switches a term off; those left out are 1
shipping = 1.0

[costs]             # in the currency of the network
split = "1.50"      # each shipment after the first
late_day = "4.00"   # each shipment and day after the promise
unfilled = "50.00"  # each unit that is not filled, where the sku says nothing else

[rules]
max_shipments = 3
ship_complete = false
never_split_below = "30.00"                           # orders of less value go in one shipment
max_distance = { km = 1500, strength = "soft" }       # soft: dropped for what the first pass leaves
promise = { strength = "hard" }
backorder = { strength = "soft" }                     # hard: never use units that are not there yet
"""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from routing.limits import MICROS, SHIPMENTS_MAX, WEIGHT_FACTOR_MAX

Weight = Annotated[float, Meta(ge=0, le=WEIGHT_FACTOR_MAX)]
Amount = Decimal
Strength = Literal["hard", "soft"]


class Weights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Factors of the objective's terms, named as IBM Sterling's optimizer names its own; 0 switches a term off."""

    shipping: Weight = 1.0
    handling: Weight = 1.0
    capacity: Weight = 1.0
    lateness: Weight = 1.0
    stockout_avoidance: Weight = 1.0
    markdown_avoidance: Weight = 1.0
    node_performance: Weight = 1.0


class Costs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Amounts of the network's currency."""

    split: Amount = Decimal("1.00")
    late_day: Amount = Decimal("4.00")
    unfilled: Amount = Decimal("50.00")


class MaxDistance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """SHIP and DELIVERY come from at most so far away."""

    km: Annotated[float, Meta(gt=0)]
    strength: Strength


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule that holds always, or in the first pass only."""

    strength: Strength


class Rules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a plan must keep; soft rules are dropped for what they leave unfilled."""

    max_shipments: Annotated[int, Meta(ge=1, le=SHIPMENTS_MAX)] = 3
    ship_complete: bool = False
    never_split_below: Amount = Decimal(0)
    max_distance: MaxDistance | None = None
    promise: Rule | None = None
    backorder: Rule = Rule(strength="soft")


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version of a routing profile."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    version: Annotated[int, Meta(ge=1)]
    weights: Weights = Weights()
    costs: Costs = Costs()
    rules: Rules = Rules()

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


def micros(amount: Decimal) -> int:
    """Return an amount in micros."""
    return int((amount * MICROS).to_integral_value())


def weighed(amount: int, weight: float) -> int:
    """Return micros as the objective counts them: the exact product, rounded to the nearest, halves up."""
    numerator, denominator = weight.as_integer_ratio()
    return (2 * amount * numerator + denominator) // (2 * denominator)
