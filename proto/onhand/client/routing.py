"""Calls of the routing service: what they take, what they return. Amounts are millionths of the network's currency."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, NamedTuple

import msgspec
from google.protobuf.duration_pb2 import Duration
from google.protobuf.unknown_fields import UnknownFieldSet
from onhand.client import checks
from onhand.client.arguments import INT32_MAX, SkuUnits, checks_names, member, text, whole
from onhand.client.commands import WriteOptions
from onhand.client.errors import invalid
from onhand.client.instants import time_us_in
from onhand.client.lone import Lone
from onhand.client.request_ids import request_id_bytes, request_id_text
from onhand.client.results import ReservationState, WireEnum, time_of
from onhand.routing.v1 import plan_pb2 as messages
from onhand.routing.v1 import routing_service_pb2 as service
from onhand.rules import limits

VARINT: Final = 0
"""Wire type of whole numbers."""


class FulfillmentMethod(WireEnum):
    """How a line reaches the customer; the values are those of the wire."""

    SHIP = 1
    PICKUP = 2
    SHIP_TO_STORE = 3
    DELIVERY = 4


class RoutingStrategy(WireEnum):
    """How locations are chosen; the values are those of the wire."""

    OPTIMAL = 1
    NEAREST = 2
    FEWEST_SPLITS = 3
    PRIORITY = 4


class ReasonCode(WireEnum):
    """Why a location does not serve, or units are not filled; the values are those of the wire."""

    ELIGIBLE = 1
    INACTIVE = 2
    NO_CAPABILITY = 3
    CHANNEL_NOT_SERVED = 4
    NOT_PICKUP_STORE = 5
    NO_LANE = 6
    BEYOND_ZONES = 7
    MAX_DISTANCE = 8
    CUTOFF_MISSED = 9
    PROMISE_MISSED = 10
    CAPACITY_FULL = 11
    RESTRICTED_ITEM = 12
    REJECTED_BEFORE = 13
    NOT_STOCKED = 14
    SAFETY_STOCK = 15
    OUT_OF_STOCK = 16
    INSUFFICIENT = 17
    DEARER_THAN_UNFILLED = 18
    SHIP_COMPLETE = 19
    NEVER_SPLIT = 20
    MAX_SHIPMENTS = 21
    NO_WORKING_DAY = 22


# ---- what is routed --------------------------------------------------------------------------------------------------


@checks_names
class Destination(NamedTuple):
    """Where parcels and deliveries go: degrees north and east, or the name of a place of the network."""

    latitude: float | None = None
    longitude: float | None = None
    place: str = ""


@checks_names
class OrderLine(NamedTuple):
    """Units of one sku."""

    sku_id: str
    quantity: int
    method: FulfillmentMethod = FulfillmentMethod.SHIP
    store_id: str = ""
    """Where the customer collects, for PICKUP and SHIP_TO_STORE."""
    unit_value_micros: int = 0
    promise_date: date | None = None
    """Day on which it must be there, or ready, at the latest."""


@checks_names
class Order(NamedTuple):
    """What is to be routed."""

    lines: Sequence[OrderLine]
    destination: Destination | None = None
    """Needed where a line is brought to the customer."""
    channel: str = ""
    ship_complete: bool = False


# ---- what is decided -------------------------------------------------------------------------------------------------


class ShipmentLine(msgspec.Struct, frozen=True):
    """Units of a line in one shipment."""

    line: int
    sku_id: str
    quantity: int


class Shipment(msgspec.Struct, frozen=True):
    """What one location fills of an order by one method."""

    location_id: str
    method: FulfillmentMethod
    store_id: str
    lines: tuple[ShipmentLine, ...]
    arrival_date: date
    ready_time_us: int | None
    """When a pickup is ready; None for what travels."""
    distance_km: float
    cost_terms: Mapping[str, int]
    """Micros by term; those that are 0 are left out."""

    @property
    def ready_time(self) -> datetime | None:
        """When a pickup is ready; None for what travels."""
        return None if self.ready_time_us is None else time_of(self.ready_time_us)


class LineShortage(msgspec.Struct, frozen=True):
    """Units of a line that are not filled."""

    line: int
    sku_id: str
    quantity: int
    reason: ReasonCode
    reasons: Mapping[ReasonCode, int]
    """How many locations were kept by each reason."""


class CandidateLine(msgspec.Struct, frozen=True):
    """What a location could do for a line."""

    line: int
    reason: ReasonCode
    room: int
    unit_cost_micros: int


class Candidate(msgspec.Struct, frozen=True):
    """One location as the decision saw it."""

    location_id: str
    method: FulfillmentMethod
    reason: ReasonCode
    chosen: bool
    fixed_cost_micros: int
    arrival_date: date | None
    distance_km: float
    lines: tuple[CandidateLine, ...]
    alone_cost_micros: int | None
    """Cost of the order if this shipment, and no other, filled what it can; None if that is nothing, or not all of an
    order that ships complete."""
    margin_micros: int | None
    """Chosen: what the best plan without this location costs more; else alone_cost_micros less the cost of the plan."""


class FulfillmentPlan(msgspec.Struct, frozen=True):
    """The answer for one order; a shortage is part of it, no error."""

    plan_id: str
    reservation_id: str
    profile: str
    network_version: int
    strategy: RoutingStrategy
    shipments: tuple[Shipment, ...]
    shortages: tuple[LineShortage, ...]
    cost_terms: Mapping[str, int]
    """Micros by term; those that are 0 are left out."""
    cost_micros: int
    currency: str
    proved: bool
    """Whether nothing is cheaper under the profile."""
    used_second_pass: bool
    """Whether soft rules were dropped for some units."""
    plan_time_us: int
    stock_seq: int
    candidates: tuple[Candidate, ...]
    unexplained: bool = False
    """Candidates were asked for, and are kept no more, or were too large to be kept."""
    evaluation_count: int = 0
    """Subsets of locations that were compared."""

    @property
    def is_filled(self) -> bool:
        """Whether every unit has a shipment."""
        return not self.shortages

    @property
    def plan_time(self) -> datetime:
        """When it was made."""
        return time_of(self.plan_time_us)


class Planned(msgspec.Struct, frozen=True):
    """A plan and the reservation that holds its units."""

    plan: FulfillmentPlan
    reservation_id: str
    """Empty: nothing is held."""
    expire_time_us: int | None
    seq: int

    @property
    def expire_time(self) -> datetime | None:
        """The instant from which the hold no longer counts; None where nothing is held."""
        return None if self.expire_time_us is None else time_of(self.expire_time_us)


class FulfillmentQuote(msgspec.Struct, frozen=True):
    """One way to have a cart."""

    method: FulfillmentMethod
    store_id: str
    complete: bool
    earliest_date: date | None
    """First day that a plan can keep as a hard promise for all lines; None if not all can be had."""
    arrival_date: date | None
    """Day on which the cheapest choice has everything there that it fills."""
    ready_time_us: int | None
    cost_micros: int
    shipment_count: int
    distance_km: float
    shortages: tuple[LineShortage, ...]

    @property
    def ready_time(self) -> datetime | None:
        """When the last pickup of the cheapest choice is ready; None for what travels."""
        return None if self.ready_time_us is None else time_of(self.ready_time_us)


class Explanation(msgspec.Struct, frozen=True):
    """Why a plan is what it is."""

    plan: FulfillmentPlan
    sentences: tuple[str, ...]


class Rejected(msgspec.Struct, frozen=True):
    """What became of units that a location could not fill."""

    plan: FulfillmentPlan
    """Of the rejected units alone."""
    state: ReservationState
    version: int
    rejected_until_time_us: int
    """Until then the location gets none of these skus for the order."""
    seq: int

    @property
    def rejected_until_time(self) -> datetime:
        """Until then the location gets none of these skus for the order."""
        return time_of(self.rejected_until_time_us)


# ---- calls -----------------------------------------------------------------------------------------------------------


def plan_fulfillment(
    order: Order, ttl_seconds: float | None, how: Mapping[str, Any], options: WriteOptions
) -> Lone[Planned]:
    """Return the call that plans an order and, with a time to live, holds what is planned.

    Parameters
    ----------
    how
        Profile, strategy, max_shipments, explain and reservation_id of the request.
    """
    request_id = request_id_text(request_id_bytes(options.get("request_id")))
    if ttl_seconds is None:
        request_id = ""  # nothing is written
    request = service.PlanFulfillmentRequest(
        order=_order(order),
        validate_only=ttl_seconds is None,
        request_id=request_id,
        reference=checks.note(options.get("reference", ""), "reference"),
        actor=checks.note(options.get("actor", ""), "actor"),
        **checked_how(how),
    )
    if ttl_seconds is not None:
        request.ttl.CopyFrom(_duration(checks.ttl_us(ttl_seconds)))
    return Lone(request, _planned, request_id)


def checked_how(how: Mapping[str, Any]) -> Mapping[str, Any]:
    """Check profile, strategy, max_shipments and what else a request has of how it is planned."""
    text(how["profile"], "profile")
    text(how.get("reservation_id", ""), "reservation_id")
    strategy = member(RoutingStrategy, how["strategy"], "strategy")
    return {
        **how,
        "strategy": int(strategy),
        "max_shipments": whole(how["max_shipments"], "max_shipments", 0, INT32_MAX),
    }


def quote_fulfillment(
    order: Order,
    how: Mapping[str, str],
    methods: Sequence[FulfillmentMethod],
    store_distance_km_max: float,
    store_count_max: int,
) -> Lone[tuple[FulfillmentQuote, ...]]:
    """Return the call that tells by which methods a cart could be had; `how` has its profile and reservation_id."""
    if store_distance_km_max < 0:
        raise invalid("store_distance_km_max", "0 or more kilometers", store_distance_km_max)
    message = _order(order)
    for line in message.lines:
        line.ClearField("method")
    request = service.QuoteFulfillmentRequest(
        order=message,
        methods=[int(method) for method in methods],  # type: ignore[misc]  # values of the wire
        store_distance_km_max=store_distance_km_max,
        store_count_max=whole(store_count_max, "store_count_max", 0, INT32_MAX),
        **{name: text(value, name) for name, value in how.items()},
    )
    return Lone(request, lambda response: tuple(map(_quote, response.quotes)))


def explain_plan(plan_id: str, reservation_id: str) -> Lone[Explanation]:
    """Return the call that tells why a plan is what it is."""
    return Lone(
        service.ExplainPlanRequest(plan_id=plan_id, reservation_id=reservation_id),
        lambda response: Explanation(_plan(response.plan), tuple(response.sentences)),
    )


def reject_assignment(
    reservation_id: str, location_id: str, lines: Sequence[SkuUnits], options: WriteOptions
) -> Lone[Rejected]:
    """Return the call that takes units away from a location that could not fill them."""
    request_id = request_id_text(request_id_bytes(options.get("request_id")))
    request = service.RejectAssignmentRequest(
        reservation_id=reservation_id,
        location_id=checks.identifier(location_id, "location_id"),
        lines=[
            service.RejectedLine(
                sku_id=checks.identifier(sku_id, f"lines[{place}].sku_id"),
                quantity=checks.quantity(quantity, f"lines[{place}].quantity"),
            )
            for place, (sku_id, quantity) in enumerate(lines)
        ],
        request_id=request_id,
        reference=checks.note(options.get("reference", ""), "reference"),
        actor=checks.note(options.get("actor", ""), "actor"),
    )
    return Lone(request, _rejected, request_id)


def _duration(time_us: int) -> Duration:
    return Duration(seconds=time_us // limits.MICROSECONDS, nanos=time_us % limits.MICROSECONDS * 1000)


def _order(order: Order) -> messages.Order:
    message = messages.Order(
        lines=[
            messages.OrderLine(
                sku_id=checks.identifier(line.sku_id, f"order.lines[{place}].sku_id"),
                quantity=checks.quantity(line.quantity, f"order.lines[{place}].quantity"),
                method=int(line.method),  # type: ignore[arg-type]  # values of the wire
                store_id=line.store_id,
                unit_value_micros=line.unit_value_micros,
                promise_date=line.promise_date.isoformat() if line.promise_date else "",
            )
            for place, line in enumerate(order.lines)
        ],
        channel=order.channel,
        ship_complete=order.ship_complete,
    )
    if order.destination is not None:
        message.destination.CopyFrom(messages.Destination(**order.destination._asdict()))
    return message


# ---- answers ---------------------------------------------------------------------------------------------------------


def _date(value: str) -> date | None:
    return date.fromisoformat(value) if value else None


def _terms(message: messages.CostTerms) -> dict[str, int]:
    """Return what costs by term; a term that only a newer engine knows is called other_ and the number of its field."""
    terms = {field.name.removesuffix("_micros"): value for field, value in message.ListFields()}
    unknown: Any = UnknownFieldSet(message)
    return terms | {
        f"other_{field.field_number}": _signed(field.data) for field in unknown if field.wire_type == VARINT
    }


def _signed(varint: int) -> int:
    """Return the int64 of a varint."""
    return varint - 2**64 if varint >= 2**63 else varint


def _shipment(message: messages.Shipment) -> Shipment:
    return Shipment(
        message.location_id,
        FulfillmentMethod(message.method),
        message.store_id,
        tuple(ShipmentLine(line.line, line.sku_id, line.quantity) for line in message.lines),
        date.fromisoformat(message.arrival_date),
        time_us_in(message, "ready_time"),
        message.distance_km,
        _terms(message.cost_terms),
    )


def _shortage(message: messages.LineShortage) -> LineShortage:
    return LineShortage(
        message.line,
        message.sku_id,
        message.quantity,
        ReasonCode(message.reason),
        {ReasonCode(one.reason): one.location_count for one in message.reasons},
    )


def _candidate(message: messages.Candidate) -> Candidate:
    has_cost = message.HasField("alone_cost_micros")
    return Candidate(
        message.location_id,
        FulfillmentMethod(message.method),
        ReasonCode(message.reason),
        message.chosen,
        message.fixed_cost_micros,
        _date(message.arrival_date),
        message.distance_km,
        tuple(
            CandidateLine(line.line, ReasonCode(line.reason), line.room, line.unit_cost_micros)
            for line in message.lines
        ),
        message.alone_cost_micros if has_cost else None,
        message.margin_micros if has_cost else None,
    )


def _plan(message: messages.FulfillmentPlan) -> FulfillmentPlan:
    return FulfillmentPlan(
        message.plan_id,
        message.reservation_id,
        message.profile,
        message.network_version,
        RoutingStrategy(message.strategy),
        tuple(map(_shipment, message.shipments)),
        tuple(map(_shortage, message.shortages)),
        _terms(message.cost_terms),
        message.cost_micros,
        message.currency,
        message.proved,
        message.used_second_pass,
        message.plan_time.ToMicroseconds(),
        message.stock_seq,
        tuple(map(_candidate, message.candidates)),
        message.unexplained,
        message.evaluation_count,
    )


def _planned(message: service.PlanFulfillmentResponse) -> Planned:
    return Planned(_plan(message.plan), message.reservation_id, time_us_in(message, "expire_time"), message.seq)


def _quote(message: service.FulfillmentQuote) -> FulfillmentQuote:
    return FulfillmentQuote(
        FulfillmentMethod(message.method),
        message.store_id,
        message.complete,
        _date(message.earliest_date),
        _date(message.arrival_date),
        time_us_in(message, "ready_time"),
        message.cost_micros,
        message.shipment_count,
        message.distance_km,
        tuple(map(_shortage, message.shortages)),
    )


def _rejected(message: service.RejectAssignmentResponse) -> Rejected:
    return Rejected(
        _plan(message.plan),
        ReservationState(message.state),
        message.version,
        message.rejected_until_time.ToMicroseconds(),
        message.seq,
    )
