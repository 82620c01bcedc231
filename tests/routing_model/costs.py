"""What things cost: a profile's weights, rates by weight, and the terms of one shipment, in whole micros."""

from collections.abc import Sequence
from fractions import Fraction
from math import floor
from typing import NamedTuple

from onhand.routing.v1 import network_pb2, plan_pb2

LATE_DAYS_MAX = 3_660
MILLIGRAMS = 1_000_000
TERMS = ("shipping", "setup", "handling", "lateness", "backlog", "split", "unfilled")


def nearest(value: Fraction) -> int:
    """Round to the nearest whole number, halves up."""
    return floor(value + Fraction(1, 2))


class Profile:
    """A routing profile with its defaults, and amounts as it weighs them."""

    def __init__(self, message: network_pb2.RoutingProfile) -> None:
        self.name = f"{message.name}@{message.version}"
        self.shipments_max = message.max_shipments or 3
        self.ship_complete = message.ship_complete
        self.never_split_below = message.never_split_below_micros
        self.km_max = message.max_distance_km
        self.is_distance_soft = message.max_distance == network_pb2.RULE_STRENGTH_SOFT
        self.has_promise_rule = bool(message.promise)
        self.is_promise_soft = message.promise == network_pb2.RULE_STRENGTH_SOFT
        self.are_backorders_used = message.backorder != network_pb2.RULE_STRENGTH_HARD
        self._message = message
        self._weighed: dict[tuple[str, int], int] = {}
        self.split = self.weigh("shipping", self._amount("split", 1_000_000))
        self.late_day = self.weigh("lateness", self._amount("late_day", 4_000_000))
        self.unfilled = self._amount("unfilled", 50_000_000)

    def _amount(self, name: str, default: int) -> int:
        field = f"{name}_micros"
        return getattr(self._message, field) if self._message.HasField(field) else default

    def weigh(self, name: str, amount: int) -> int:
        """Return an amount as the objective counts it."""
        found = self._weighed.get((name, amount))
        if found is None:
            field = f"{name}_weight"
            weight = getattr(self._message, field) if self._message.HasField(field) else 1.0
            found = self._weighed[name, amount] = nearest(Fraction(weight) * amount)
        return found


class Step(NamedTuple):
    """A row of a rate table, weighed."""

    to: int
    """0: any weight."""
    base: int
    per_kilogram: int


class Rates(tuple[Step, ...]):
    """What a carrier or a lane takes, by weight."""

    __slots__ = ()

    @classmethod
    def of(cls, rows: Sequence[network_pb2.RateStep], profile: Profile) -> "Rates":
        """Read the rates of a zone."""
        return cls(
            Step(
                row.to_milligrams,
                profile.weigh("shipping", row.base_micros),
                profile.weigh("shipping", row.per_kilogram_micros),
            )
            for row in rows
        )

    @property
    def are_stepped(self) -> bool:
        """Tell whether it is more than one straight line."""
        return len(self) > 1

    def unit(self, milligrams: int) -> int:
        """Return what carrying one unit takes, where there is one step."""
        return carried(self[0], milligrams)

    def cost(self, parcel: Sequence[tuple[int, int]]) -> int:
        """Return what a parcel takes; (units, milligrams of one) each."""
        weight = sum(units * milligrams for units, milligrams in parcel)
        step = next(step for step in self if not step.to or weight <= step.to)
        return step.base + sum(units * carried(step, milligrams) for units, milligrams in parcel)


def carried(step: Step, milligrams: int) -> int:
    """Return what one unit takes beside the base."""
    return (step.per_kilogram * milligrams * 2 + MILLIGRAMS) // (2 * MILLIGRAMS)


FREE = Rates([Step(0, 0, 0)])


def terms_of(message: plan_pb2.CostTerms) -> dict[str, int]:
    """Read the terms of an answer; inventory and capacity prices do not exist yet."""
    assert not message.inventory_micros
    assert not message.capacity_price_micros
    return {name: getattr(message, f"{name}_micros") for name in TERMS}
