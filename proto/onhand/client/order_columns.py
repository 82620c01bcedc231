"""Orders in bulk: many `Order`s as the columns of one PlanOrders, and what came of each."""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from operator import attrgetter
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from onhand.client import checks
from onhand.client.arguments import day, flag, member, number, sequence, text, whole
from onhand.client.commands import NoteOptions
from onhand.client.errors import RefusedError, invalid, newer_refusal, refusal
from onhand.client.lone import Lone
from onhand.client.request_ids import given_request_id, new_request_ids, request_id_text
from onhand.client.results import time_of
from onhand.client.routing import Destination, FulfillmentMethod, Order, ReasonCode, checked_how
from onhand.columns import PlanRequestColumns, dtypes_of, read_column, write_column
from onhand.routing.v1 import bulk_service_pb2 as contract
from onhand.rules.limits import AMOUNT_MAX, LINES_PER_ORDER_MAX, ORDERS_PER_CALL_MAX
from onhand.rules.orders import DICTIONARIES, NONE, OF_LINES, ORDER_FIELDS, OrderField

REQUEST_DTYPES: Final = dtypes_of(contract.PlanOrdersRequest)
RESPONSE_DTYPES: Final = dtypes_of(contract.PlanOrdersResponse)
EPOCH: Final = date(1970, 1, 1)
NOWHERE: Final = float("nan")
METHODS: Final = frozenset(FulfillmentMethod)
FIELDS_OF_ORDERS: Final = (ORDER_FIELDS["ship_complete"], ORDER_FIELDS["channel"])
"""Those that are attributes of an Order as they are."""

_Check: TypeAlias = Callable[[Any, str], Any]


class ShippedLine(NamedTuple):
    """Units of a line in one shipment."""

    line: int
    """Position in the order."""
    quantity: int


class OrderShipment(NamedTuple):
    """What one location fills of an order by one method."""

    location_id: str
    method: FulfillmentMethod
    arrival_date: date
    cost_micros: int
    lines: tuple[ShippedLine, ...]


class OrderShortage(NamedTuple):
    """Units of a line that are not filled."""

    line: int
    quantity: int
    reason: ReasonCode


class PlannedOrder(NamedTuple):
    """The plan of one order; `Client.explain_plan` says more of one that is held."""

    plan_id: str
    """Empty where nothing was written."""
    reservation_id: str
    """Empty where nothing is held."""
    expire_time_us: int | None
    """None where nothing is held."""
    cost_micros: int
    shipments: tuple[OrderShipment, ...]
    shortages: tuple[OrderShortage, ...]
    request_id: str
    """What to repeat it with; empty where it was only planned."""

    @property
    def expire_time(self) -> datetime | None:
        """The instant from which the hold no longer counts; None where nothing is held."""
        return None if self.expire_time_us is None else time_of(self.expire_time_us)


class _Names:
    """A dictionary of the call, filled as names come."""

    def __init__(self) -> None:
        self.index: dict[str, int] = {}

    def of(self, name: str) -> int:
        """Return the index of a name; NONE for an empty one."""
        return self.index.setdefault(name, len(self.index)) if name else NONE


def plan_orders(
    orders: Sequence[Order],
    ttl_seconds: float | None,
    how: Mapping[str, Any],
    request_ids: Sequence[str | uuid.UUID],
    options: NoteOptions,
) -> Lone[tuple[PlannedOrder | RefusedError, ...]]:
    """Return the call that plans many orders and, with a time to live, holds what is planned.

    Parameters
    ----------
    how
        Profile, strategy and max_shipments of the request.
    request_ids
        One for each order, or none: then they are made.
    options
        Reference and actor, of all orders.
    """
    checks.count_of(orders, "orders", ORDERS_PER_CALL_MAX)
    ids = _ids(len(orders), request_ids)
    if ttl_seconds is None:
        ids = b""  # nothing is written
    request = PlanRequestColumns(validate_only=ttl_seconds is None, request_ids=ids, **checked_how(how))
    names = {field: _Names() for field in DICTIONARIES}
    columns: dict[str, Sequence[Any]] = {
        "ttl_us": [] if ttl_seconds is None else [checks.ttl_us(ttl_seconds)],
        "reference_indexes": [names["texts"].of(checks.note(options.get("reference", ""), "reference"))],
        "actor_indexes": [names["texts"].of(checks.note(options.get("actor", ""), "actor"))],
    }
    try:
        columns.update(_order_columns(orders, names))
    except Exception:
        _refuse_the_wrong_one(orders)
        raise  # an order of a wrong class, which its caller names
    for field, values in columns.items():
        write_column(getattr(request, field), np.array(values), REQUEST_DTYPES[field])
    for field, found in names.items():
        getattr(request, field).extend(found.index)
    texts = [request_id_text(ids[place : place + 16]) for place in range(0, len(ids), 16)] or [""] * len(orders)
    return Lone(request, lambda response: tuple(_read(response, texts)), texts[0])


def _order_columns(orders: Sequence[Order], names: Mapping[str, _Names]) -> dict[str, Sequence[Any]]:
    """Return the columns of orders and lines, checked; what is wrong is named without its place."""
    lines = [line for order in orders for line in order.lines]
    for order in orders:
        checks.count_of(order.lines, "lines", LINES_PER_ORDER_MAX)
    points = [_point(order.destination, "destination") for order in orders]
    return {
        "line_counts": [len(order.lines) for order in orders],
        "latitudes": [point[0] for point in points],
        "longitudes": [point[1] for point in points],
        **{field.column: _column_of(field, CHECKS_OF_ORDERS, orders, names) for field in FIELDS_OF_ORDERS},
        **{field.column: _column_of(field, CHECKS_OF_LINES, lines, names) for field in OF_LINES},
    }


def _column_of(
    field: OrderField, rules: Mapping[str, _Check], items: Sequence[Any], names: Mapping[str, _Names]
) -> list[Any]:
    """Return one field of some orders or lines as the wire has it."""
    check = rules[field.name]
    values = [check(value, field.name) for value in map(attrgetter(field.name), items)]
    return [*map(names[field.dictionary].of, values)] if field.dictionary else values


def _point(where: Destination | None, field: str) -> tuple[float, float]:
    """Return degrees north and east; NaN where there are none, which the engine refuses if they are needed."""
    if where is None:
        return NOWHERE, NOWHERE
    if text(where.place, f"{field}.place"):
        raise invalid(f"{field}.place", "latitude and longitude: orders in bulk name no place", where.place)
    return (
        NOWHERE if where.latitude is None else number(where.latitude, f"{field}.latitude"),
        NOWHERE if where.longitude is None else number(where.longitude, f"{field}.longitude"),
    )


def _method(value: FulfillmentMethod, field: str) -> int:
    return (
        value if value in METHODS and value.__class__ is FulfillmentMethod else member(FulfillmentMethod, value, field)
    )


def _day(value: date | None, field: str) -> int:
    if value is None:
        return NONE
    if value.__class__ is not date:
        day(value, field)
    if value < EPOCH:
        raise invalid(field, "1970-01-01 or later", value)
    return (value - EPOCH).days


def _amount(value: int, field: str) -> int:
    return value if value.__class__ is int and 0 <= value <= AMOUNT_MAX else whole(value, field, 0, AMOUNT_MAX)


CHECKS_OF_ORDERS: Final[Mapping[str, _Check]] = {
    "destination": _point,
    "ship_complete": flag,
    "channel": text,
}
CHECKS_OF_LINES: Final[Mapping[str, _Check]] = {
    "sku_id": checks.identifier,
    "quantity": checks.quantity,
    "method": _method,
    "store_id": text,
    "promise_date": _day,
    "unit_value_micros": _amount,
}


def _refuse_the_wrong_one(orders: Sequence[Order]) -> None:
    """Look at all values again, each with its place in the call, to name the one that is wrong."""
    for place, order in enumerate(orders):
        path = f"orders[{place}]"
        checks.count_of(order.lines, f"{path}.lines", LINES_PER_ORDER_MAX)
        for name, check in CHECKS_OF_ORDERS.items():
            check(getattr(order, name), f"{path}.{name}")
        for at, line in enumerate(order.lines):
            for name, check in CHECKS_OF_LINES.items():
                check(getattr(line, name), f"{path}.lines[{at}].{name}")


def _ids(count: int, given: Sequence[str | uuid.UUID]) -> bytes:
    if not len(sequence(given, "request_ids")):
        return new_request_ids(count).tobytes()
    if len(given) != count:
        raise invalid("request_ids", f"one for each of {count} orders, or none", len(given), "entries")
    return b"".join(given_request_id(value, f"request_ids[{place}]") for place, value in enumerate(given))


def _read(response: Any, request_ids: Sequence[str]) -> Iterator[PlannedOrder | RefusedError]:
    """Yield what came of each order."""
    count = len(request_ids)

    def rows(length: int, *names: str) -> Iterator[tuple[Any, ...]]:
        return zip(*(_column(response, name, length).tolist() for name in names), strict=True)

    orders = list(
        rows(
            count,
            "statuses",
            "plan_ids",
            "reservation_ids",
            "expire_times_us",
            "costs_micros",
            "shipment_counts",
            "shortage_counts",
        )
    )
    shipment_total, shortage_total = (sum(order[place] for order in orders) for place in (5, 6))
    line_counts = _column(response, "shipment_line_counts", shipment_total)
    names = "location_indexes", "methods", "arrival_days", "shipment_costs_micros", "shipment_line_counts"
    shipments = rows(shipment_total, *names)
    lines = rows(int(line_counts.sum()), "lines", "quantities")
    shortages = rows(shortage_total, "shortage_lines", "shortage_quantities", "shortage_reasons")
    refused = zip(response.refused_reasons, response.refused_messages, strict=True)
    for request_id, (status, plan_id, reservation_id, expire_us, cost, sent, short) in zip(
        request_ids, orders, strict=True
    ):
        if status == contract.PLAN_STATUS_REFUSED:
            reason, message = next(refused)
            yield refusal(reason, message, metadata={})
            continue
        if status != contract.PLAN_STATUS_PLANNED:
            yield newer_refusal(f"STATUS_{status}")
            continue
        yield PlannedOrder(
            f"{plan_id:016x}" if plan_id else "",
            f"{reservation_id:016x}" if reservation_id else "",
            expire_us or None,
            cost,
            tuple(_shipment(response, next(shipments), lines) for _ in range(sent)),
            tuple(OrderShortage(line, units, ReasonCode(reason)) for line, units, reason in _some(shortages, short)),
            request_id,
        )


def _some(rows: Iterator[tuple[Any, ...]], count: int) -> list[tuple[Any, ...]]:
    return [next(rows) for _ in range(count)]


def _shipment(response: Any, row: tuple[Any, ...], lines: Iterator[tuple[Any, ...]]) -> OrderShipment:
    location, method, day, cost, line_count = row
    return OrderShipment(
        response.location_ids[location],
        FulfillmentMethod(method),
        EPOCH + timedelta(days=day),
        cost,
        tuple(ShippedLine(line, quantity) for line, quantity in _some(lines, line_count)),
    )


def _column(response: Any, name: str, length: int) -> NDArray[Any]:
    values = read_column(getattr(response, name), RESPONSE_DTYPES[name])
    return values if len(values) else np.zeros(length, RESPONSE_DTYPES[name])
