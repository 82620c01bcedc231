"""An engine of the future: it answers every method of the contract with values that nobody knows yet.

And the public methods of both clients, each with arguments that are right.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import grpc
import onhand.client as api
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor import FieldDescriptor
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status as RpcStatus

CLASSES = (api.AsyncClient, api.Client)

LINES = [("A", "X", 1)]
UNITS = [("A", 1)]
HELD = "0000000000000001"
ORDER = api.Order([api.OrderLine("A", 1)], api.Destination(1.0, 2.0))
GOOD: dict[str, dict[str, Any]] = {
    "create_transfer": {"from_location_id": "X", "to_location_id": "Y", "lines": [("A", 1)]},
    "dispatch_transfer": {"transfer_id": HELD},
    "receive_transfer": {"transfer_id": HELD},
    "close_transfer": {"transfer_id": HELD},
    "record_found_units": {"transfer_id": HELD, "lines": [("A", 1)]},
    "cancel_transfer": {"transfer_id": HELD},
    "get_transfer": {"transfer_id": HELD},
    "list_transfers": {},
    "create_fulfillment_order": {"reservation_id": HELD, "location_id": "X", "lines": UNITS},
    "advance_fulfillment_order": {"fulfillment_order_id": HELD, "verb": api.FulfillmentVerb.ACCEPT},
    "advance_fulfillment_orders": {"steps": [api.FulfillmentStep(HELD, api.FulfillmentVerb.ACCEPT)]},
    "get_fulfillment_order": {"fulfillment_order_id": HELD},
    "list_fulfillment_orders": {},
    "reserve": {"lines": LINES, "ttl_seconds": 5.0},
    "commit": {"reservation_id": HELD},
    "release": {"reservation_id": HELD},
    "extend": {"reservation_id": HELD, "ttl_seconds": 5.0},
    "amend": {"reservation_id": HELD, "lines": LINES},
    "transfer_reservation": {"reservation_id": HELD, "from_location_id": "X", "to_location_id": "Y"},
    "fulfill": {"reservation_id": HELD},
    "cancel": {"reservation_id": HELD},
    "record_movements": {"movements": [api.NewMovement(api.MovementType.SALE, "A", "X", 1)]},
    "receive": {"lines": LINES},
    "sell": {"lines": LINES},
    "return_": {"lines": LINES},
    "adjust": {"lines": LINES},
    "damage": {"lines": LINES},
    "mark_unavailable": {"lines": LINES, "unavailable_reason": api.UnavailableReason.DISPLAY},
    "mark_available": {"lines": LINES, "unavailable_reason": api.UnavailableReason.DISPLAY},
    "write_off": {"lines": LINES},
    "set_on_hand": {"counts": LINES},
    "get_reservation": {"reservation_id": HELD},
    "list_reservations": {},
    "get_request_outcome": {"request_id": "018f0000-0000-7000-8000-000000000001"},
    "set_stock_policy": {"sku_id": "A", "location_id": "X"},
    "availability": {"sku_ids": ["A"]},
    "get_stock_level": {"sku_id": "A", "location_id": "X"},
    "list_stock_levels": {},
    "list_movements": {},
    "kept_history": {},
    "status": {},
    "create_location": {"location": api.Location(location_id="X")},
    "update_location": {"location": api.Location(location_id="X")},
    "upsert_locations": {"locations": [api.Location(location_id="X")]},
    "get_location": {"location_id": "X"},
    "list_locations": {},
    "create_sku": {"sku": api.Sku(sku_id="A")},
    "update_sku": {"sku": api.Sku(sku_id="A")},
    "upsert_skus": {"skus": [api.Sku(sku_id="A")]},
    "get_sku": {"sku_id": "A"},
    "list_skus": {},
    "upsert_network": {"network": api.Network(currency="EUR")},
    "get_network": {},
    "upsert_location_routing": {"locations": [api.LocationRouting(location_id="X")]},
    "list_location_routing": {},
    "plan_fulfillment": {"order": ORDER},
    "plan_orders": {"orders": [ORDER]},
    "quote_fulfillment": {"order": ORDER},
    "explain_plan": {"plan_id": HELD},
    "reject_assignment": {"reservation_id": HELD, "location_id": "X"},
    "reserve_many": {"skus": ["A"], "locations": ["X"], "quantities": [1], "ttl_seconds": 5.0},
    "execute": {"columns": api.CommandColumns([1], ["A"], ["X"], [1], ttl_us=1000)},
}


def method_names(kind: type) -> list[str]:
    """The public methods of a client, but that which ends it."""
    names = [name for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")]
    return [name for name in names if name != "close"]


def good_arguments(kind: type, method: str) -> dict[str, Any]:
    """Arguments that are right for a method."""
    assert set(GOOD) == set(method_names(kind)), "say what is right for a new method"
    return dict(GOOD[method])


class Call(NamedTuple):
    """One call of a public method."""

    method: str
    args: Sequence[Any]
    named: Mapping[str, Any]


def outcomes(kind: type, address: str, calls: Iterable[Call], deadline_seconds: float = 30.0) -> list[Any]:
    """What each call returns or raises, on one client; a list comes whole."""
    if kind is api.Client:
        with api.Client(address, deadline_seconds=deadline_seconds) as client:
            return [_outcome(client, call) for call in calls]

    async def main() -> list[Any]:
        async with api.AsyncClient(address, deadline_seconds=deadline_seconds) as client:
            return [await _awaited(client, call) for call in calls]

    return asyncio.run(main())


def _outcome(client: api.Client, call: Call) -> Any:
    try:
        result = getattr(client, call.method)(*call.args, **call.named)
        return list(result) if isinstance(result, Iterator) else result
    except Exception as error:  # noqa: BLE001 - it is what the call came to
        return error


async def _awaited(client: api.AsyncClient, call: Call) -> Any:
    try:
        result = getattr(client, call.method)(*call.args, **call.named)
        return [each async for each in result] if isinstance(result, AsyncIterator) else await result
    except Exception as error:  # noqa: BLE001 - it is what the call came to
        return error


# ---- the engine ------------------------------------------------------------------------------------------------------

UNKNOWN_FIELD = bytes.fromhex("c03e07")
"""Field 1000, of which the contract knows nothing, is 7."""


def unknown_value(field: FieldDescriptor) -> int:
    """A value of an enum that no engine of today says."""
    return max(value.number for value in field.enum_type.values) + 1


def fill(message: Any, count: int = 1) -> None:
    """Fill every field: enums with a value that is unknown, lists with `count` entries, dictionaries with more."""
    for field in message.DESCRIPTOR.fields:
        if field.message_type:
            if field.is_repeated:
                fill(getattr(message, field.name).add(), count)
            elif field.message_type.full_name.startswith("onhand."):
                fill(getattr(message, field.name), count)
            else:
                getattr(message, field.name).FromSeconds(1)
            continue
        value = _value_of(field)
        if field.is_repeated:
            getattr(message, field.name).extend([value] * (count + (field.type == field.TYPE_STRING)))
        else:
            setattr(message, field.name, value)
    if message.DESCRIPTOR.full_name.startswith("onhand."):
        message.MergeFromString(UNKNOWN_FIELD)


def _value_of(field: FieldDescriptor) -> Any:
    if field.enum_type:
        return unknown_value(field)
    if field.type == field.TYPE_STRING:
        return "" if field.name == "next_page_token" else "2026-01-02" if field.name.endswith("_date") else "NEWER"
    return b"" if field.type == field.TYPE_BYTES else field.type == field.TYPE_BOOL or 1


class NewerEngine(grpc.GenericRpcHandler):
    """Answers every call of the contract.

    Parameters
    ----------
    changes
        Fields of answers in columns that are not as `fill` makes them.
    reason
        If given, every call is refused with it.
    """

    def __init__(self, changes: Mapping[str, int], reason: str) -> None:
        self._changes = changes
        self._reason = reason

    def service(self, handler_call_details: Any) -> Any:
        service, _, name = handler_call_details.method[1:].rpartition("/")
        method = descriptor_pool.Default().FindServiceByName(service).FindMethodByName(name)

        def answer(payload: bytes, context: grpc.ServicerContext) -> bytes:
            if self._reason:
                self._refuse(context)
            request = message_factory.GetMessageClass(method.input_type).FromString(payload)
            response = message_factory.GetMessageClass(method.output_type)()
            fill(response, len(getattr(request, "operations", "") or getattr(request, "line_counts", "")) or 1)
            for field, value in self._changes.items():
                if field in response.DESCRIPTOR.fields_by_name:
                    column = getattr(response, field)
                    column[:] = [value] * len(column)
            return response.SerializeToString()

        return grpc.unary_unary_rpc_method_handler(answer)

    def _refuse(self, context: grpc.ServicerContext) -> None:
        info = AnyMessage()
        info.Pack(ErrorInfo(reason=self._reason, domain="onhand", metadata={"field": "what"}))
        code = grpc.StatusCode.FAILED_PRECONDITION
        status = RpcStatus(code=code.value[0], message="because", details=[info])
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(code, "because")


@contextmanager
def newer_engine(changes: Mapping[str, int] | None = None, reason: str = "") -> Iterator[str]:
    """A newer engine that serves; yields its address."""
    server = grpc.server(ThreadPoolExecutor(4), handlers=[NewerEngine(changes or {}, reason)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()
