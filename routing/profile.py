"""What a decision weighs: a routing profile, versioned, read from TOML and checked.

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

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from routing.errors import RoutingInputError
from routing.limits import AMOUNT_MAX, MICROS, SHIPMENTS_MAX, WEIGHT_FACTOR_MAX

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


def parse_profile(content: dict[str, object], source: str) -> Profile:
    """Return a checked profile; raises RoutingInputError that names the source and the field."""
    try:
        profile = msgspec.convert(content, Profile, strict=False)
    except msgspec.ValidationError as error:
        raise RoutingInputError(_located(str(error), source)) from error
    for field in ("costs.split", "costs.late_day", "costs.unfilled", "rules.never_split_below"):
        group, name = field.split(".")
        amount: Decimal = getattr(getattr(profile, group), name)
        if not (amount.is_finite() and 0 <= amount * MICROS <= AMOUNT_MAX):
            raise RoutingInputError(f"{source}, {field}: expected 0 to {AMOUNT_MAX // MICROS}, was {amount}.")
    return profile


def read_profile(path: Path) -> Profile:
    """Read a profile from a TOML file; raises RoutingInputError that names the file and the field."""
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RoutingInputError(f"{path.name}: expected TOML in UTF-8: {error}.") from error
    return parse_profile(content, path.name)


def _located(message: str, source: str) -> str:
    """Put the field, which msgspec tells last, first."""
    text, _, place = message.partition(" - at `$")
    field = place.rstrip("`").removeprefix(".")
    unknown = text.removeprefix("Object contains unknown field ")
    if unknown != text:
        name = unknown.strip("`")
        return f"{source}, {f'{field}.{name}' if field else name}: there is no such field; remove it."
    return f"{source}, {field or 'profile'}: {text[0].lower()}{text[1:]}."
