"""The messages that the kernel writes, from their descriptors: numbers of fields, enums, and bytes at most."""

from enum import IntEnum
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp
from onhand.routing.v1 import plan_pb2 as contract
from onhand.routing.v1.routing_service_pb2 import PlanFulfillmentResponse

from ledger.core.limits import ID_BYTES_MAX
from routing.costs import CostTerms
from routing.rules import Method, Reason
from routing.strategies import Strategy


def _numbers(message: Any, *names: str) -> tuple[int, ...]:
    """Return the numbers of fields of a message."""
    by_name = message.DESCRIPTOR.fields_by_name
    return tuple(by_name[name].number for name in names)


ANSWER_PLAN, ANSWER_RESERVATION_ID, ANSWER_EXPIRE_TIME, ANSWER_SEQ = _numbers(
    PlanFulfillmentResponse, "plan", "reservation_id", "expire_time", "seq"
)
PLAN_ID, PLAN_RESERVATION_ID, PLAN_PROFILE, PLAN_NETWORK_VERSION, PLAN_STRATEGY = _numbers(
    contract.FulfillmentPlan, "plan_id", "reservation_id", "profile", "network_version", "strategy"
)
PLAN_SHIPMENTS, PLAN_SHORTAGES, PLAN_COST_TERMS, PLAN_COST, PLAN_CURRENCY = _numbers(
    contract.FulfillmentPlan, "shipments", "shortages", "cost_terms", "cost_micros", "currency"
)
PLAN_PROVED, PLAN_USED_SECOND_PASS, PLAN_EVALUATION_COUNT, PLAN_TIME, PLAN_STOCK_SEQ = _numbers(
    contract.FulfillmentPlan, "proved", "used_second_pass", "evaluation_count", "plan_time", "stock_seq"
)
SHORTAGE_LINE, SHORTAGE_SKU_ID, SHORTAGE_QUANTITY, SHORTAGE_REASON, SHORTAGE_REASONS = _numbers(
    contract.LineShortage, "line", "sku_id", "quantity", "reason", "reasons"
)
COUNTED_REASON, COUNTED_LOCATIONS = _numbers(contract.ReasonCount, "reason", "location_count")
SHIPMENT_LOCATION_ID, SHIPMENT_METHOD, SHIPMENT_STORE_ID, SHIPMENT_LINES = _numbers(
    contract.Shipment, "location_id", "method", "store_id", "lines"
)
SHIPMENT_ARRIVAL_DATE, SHIPMENT_READY_TIME, SHIPMENT_DISTANCE, SHIPMENT_COST_TERMS = _numbers(
    contract.Shipment, "arrival_date", "ready_time", "distance_km", "cost_terms"
)
SHIPPED_LINE, SHIPPED_SKU_ID, SHIPPED_QUANTITY = _numbers(contract.ShipmentLine, "line", "sku_id", "quantity")
TIME_SECONDS, TIME_NANOS = _numbers(Timestamp, "seconds", "nanos")
TERM_FIRST: Final = 1
"""Field of the first of the terms of a cost; the others follow it."""
assert _numbers(contract.CostTerms, *(f"{name}_micros" for name in CostTerms._fields)) == tuple(
    range(TERM_FIRST, TERM_FIRST + len(CostTerms._fields))
)

# Enums of the contract begin, after what is not set, with 1; those of routing with 0, in the same order.
ENUM_SHIFT: Final = 1


def _has_values(contract_enum: Any, prefix: str, enum: type[IntEnum]) -> bool:
    """Tell whether an enum of routing has the values of one of the contract, less ENUM_SHIFT."""
    wire = {name.removeprefix(prefix): value for name, value in contract_enum.items() if value}
    return {value.name: value + ENUM_SHIFT for value in enum} == wire


assert _has_values(contract.RoutingStrategy, "ROUTING_STRATEGY_", Strategy)
assert _has_values(contract.FulfillmentMethod, "FULFILLMENT_METHOD_", Method)
assert _has_values(contract.ReasonCode, "REASON_CODE_", Reason)

# ---- bytes -----------------------------------------------------------------------------------------------------------

CURRENCY_BYTES_MAX: Final = 16
"""The name of a network's currency, in UTF-8."""
INT64_BYTES: Final = 10
INT32_BYTES: Final = 5  # of one that is not negative, as all are that the kernel writes
TAG_BYTES: Final = 2  # of a message in another one
LENGTH_BYTES: Final = 5  # of a message, whatever repeats in it
NAME_BYTES: Final = 16
DATE_BYTES: Final = len("YYYY-MM-DD")
_OF_TYPE: Final = {
    FieldDescriptor.TYPE_INT64: INT64_BYTES,
    FieldDescriptor.TYPE_INT32: INT32_BYTES,
    FieldDescriptor.TYPE_BOOL: 1,
    FieldDescriptor.TYPE_DOUBLE: 8,
}


def varint_bytes(value: int) -> int:
    """Return how many bytes a varint takes."""
    return max(1, -(-value.bit_length() // 7))


def bytes_at_most(message: Any, **inside: int) -> int:
    """Return how many bytes a message takes at most without what repeats in it, its tag and length included.

    Parameters
    ----------
    inside
        What texts take at most, and messages with their tag and length, by field.
    """
    total = 0
    for field in message.DESCRIPTOR.fields:
        if field.is_repeated:
            continue
        tag = varint_bytes(field.number << 3)
        if field.type == FieldDescriptor.TYPE_STRING:
            total += tag + varint_bytes(inside[field.name]) + inside[field.name]
        elif field.type == FieldDescriptor.TYPE_ENUM:
            total += tag + varint_bytes(max(value.number for value in field.enum_type.values))
        else:
            total += inside[field.name] if field.message_type else tag + _OF_TYPE[field.type]
    return total + TAG_BYTES + LENGTH_BYTES


_TIME: Final = bytes_at_most(Timestamp)
_TERMS: Final = bytes_at_most(contract.CostTerms)
ANSWER_BYTES: Final = bytes_at_most(
    PlanFulfillmentResponse,
    reservation_id=NAME_BYTES,
    expire_time=_TIME,
    plan=bytes_at_most(
        contract.FulfillmentPlan,
        plan_id=NAME_BYTES,
        reservation_id=NAME_BYTES,
        profile=ID_BYTES_MAX + len(f"@{2**63}"),
        cost_terms=_TERMS,
        currency=CURRENCY_BYTES_MAX,
        plan_time=_TIME,
    ),
)
SHIPMENT_BYTES: Final = bytes_at_most(
    contract.Shipment,
    location_id=ID_BYTES_MAX,
    store_id=ID_BYTES_MAX,
    arrival_date=DATE_BYTES,
    ready_time=_TIME,
    cost_terms=_TERMS,
)
SHIPPED_LINE_BYTES: Final = bytes_at_most(contract.ShipmentLine, sku_id=ID_BYTES_MAX)
SHORTAGE_BYTES: Final = bytes_at_most(contract.LineShortage, sku_id=ID_BYTES_MAX) + len(Reason) * bytes_at_most(
    contract.ReasonCount
)
