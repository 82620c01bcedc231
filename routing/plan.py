"""What was decided for an order, with what it costs and why."""

from datetime import date, datetime

import msgspec

from routing.costs import CostTerms
from routing.rules import Method, Reason


class PlannedLine(msgspec.Struct, frozen=True, kw_only=True):
    """Units of a line in one shipment."""

    line: int
    """Index in the order."""
    sku: str
    quantity: int


class Shipment(msgspec.Struct, frozen=True, kw_only=True):
    """What one location fills of an order by one method."""

    location_id: str
    method: Method
    store: str
    """Where the customer collects; empty if it is brought."""
    lines: tuple[PlannedLine, ...]
    arrival: date
    """Day of arrival at the customer or the store."""
    ready: datetime | None
    """When a pickup is ready, in the store's time zone; None for what travels."""
    distance_km: float
    terms: CostTerms


class Shortage(msgspec.Struct, frozen=True, kw_only=True):
    """Units of a line that are not filled."""

    line: int
    sku: str
    quantity: int
    reason: Reason
    """What kept most locations from it, or what the plan was not allowed."""
    reason_counts: dict[Reason, int]
    """How many locations were kept by each reason."""


class CandidateLine(msgspec.Struct, frozen=True, kw_only=True):
    """What a location could do for a line."""

    line: int
    reason: Reason
    """ELIGIBLE: it has all units. INSUFFICIENT, SAFETY_STOCK: it may have some. All others say why it has none."""
    room: int
    """Units that it could fill."""
    unit_cost: int
    """Micros; meaningless where room is 0."""


class CandidateView(msgspec.Struct, frozen=True, kw_only=True):
    """One location as the decision saw it for one part of the order."""

    location_id: str
    method: Method
    reason: Reason
    """ELIGIBLE, or why it could fill no line."""
    is_chosen: bool
    fixed_cost: int
    """Micros of a shipment from here; with stepped rates a lower bound."""
    arrival: date | None
    distance_km: float
    lines: tuple[CandidateLine, ...]
    alone_cost: int | None
    """Cost of the order if this location, and no other, filled what it can; None if it can fill nothing, or not all of
    an order that ships complete."""
    margin: int | None
    """Chosen: what the best plan without this location, and with the same soft rules dropped, costs more; None if the
    order ships complete, and cannot without it. Else alone_cost less the cost of the plan."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The answer for one order; a shortage is part of it, no error."""

    profile: str
    """name@version."""
    network_version: int
    strategy: str
    shipments: tuple[Shipment, ...]
    shortages: tuple[Shortage, ...]
    terms: CostTerms
    cost: int
    """Micros, the sum of the terms."""
    is_proved: bool
    """Whether nothing is cheaper under the profile: rates without steps, one pass, and every subset looked at."""
    used_second_pass: bool
    """Whether soft rules were dropped for some units."""
    evaluations: int
    """Subsets of locations that were compared."""
    candidates: tuple[CandidateView, ...] = ()
    """Only where an explanation was asked for."""

    @property
    def is_filled(self) -> bool:
        """Whether every unit has a shipment."""
        return not self.shortages
