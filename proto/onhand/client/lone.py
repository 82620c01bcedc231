"""Calls that go alone: reads, and the write of a stock policy. Each function returns what is to be called."""

import uuid
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import grpc
from onhand.admin.v1 import admin_service_pb2 as admin
from onhand.client import checks, limits
from onhand.client.arguments import whole
from onhand.client.channels import Connection
from onhand.client.commands import WriteOptions
from onhand.client.errors import NoAnswer, OnHandError, outcome_unknown
from onhand.client.instants import time_us_in
from onhand.client.request_ids import given_request_id, request_id_bytes, request_id_text
from onhand.client.results import (
    EngineStatus,
    KeptHistory,
    LocationAvailability,
    Movement,
    MovementType,
    RequestOperation,
    RequestOutcome,
    RequestState,
    Reservation,
    ReservationLine,
    ReservationState,
    Shortage,
    SkuAvailability,
    StockLevel,
    UnavailableReason,
)
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import request_service_pb2 as requests
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.rpcs import rpc_of

Result = TypeVar("Result")
Item = TypeVar("Item")


class Lone(NamedTuple, Generic[Result]):
    """A unary call: what is asked, and what its response means."""

    request: Any
    decode: Callable[[Any], Result]
    request_id: str = ""
    """Of a write."""

    def method_of(self, connection: Connection) -> Any:
        """Return the stub's method that sends it."""
        rpc = rpc_of(self.request.__class__)
        return connection.channel.unary_unary(
            rpc.path,
            request_serializer=rpc.request_type.SerializeToString,
            response_deserializer=rpc.response_type.FromString,
        )

    def result_of(self, response: Any) -> Result:
        """Return what a response means.

        Raises
        ------
        NoAnswer
            It cannot be read; of a write, OutcomeUnknown.
        """
        try:
            return self.decode(response)
        except (ValueError, LookupError, OverflowError, StopIteration) as error:
            unread = NoAnswer(f"the engine's answer cannot be read: {error!r}", grpc.StatusCode.INTERNAL)
            raise self.failed(unread) from error

    def failed(self, error: OnHandError) -> OnHandError:
        """Return what the caller is told of an error: of a write without an answer, that its outcome is unknown."""
        if self.request_id and isinstance(error, NoAnswer):
            error = outcome_unknown(error)
        error.request_id = self.request_id
        return error


class Page(NamedTuple, Generic[Item]):
    """Part of a list."""

    items: Sequence[Item]
    next_page_token: str


def noted(options: WriteOptions) -> dict[str, Any]:
    """Return the fields that every write has, checked."""
    return {
        "request_id": request_id_text(request_id_bytes(options.get("request_id"))),
        "reference": checks.note(options.get("reference", ""), "reference"),
        "actor": checks.note(options.get("actor", ""), "actor"),
    }


# ---- reservations ----------------------------------------------------------------------------------------------------


def get_reservation(reservation_id: str) -> Lone[Reservation]:
    """Return the call that reads one reservation."""
    return Lone(
        reservations.GetReservationRequest(reservation_id=reservation_id),
        lambda response: _reservation(response.reservation),
    )


def list_reservations(
    token: str, *, state: ReservationState, sku_id: str, location_id: str, reference: str
) -> Lone[Page[Reservation]]:
    """Return the call that reads one page of reservations."""
    return Lone(
        reservations.ListReservationsRequest(
            page_size=limits.PAGE_SIZE,
            page_token=token,
            state=int(state),  # type: ignore[arg-type]  # the values are those of the wire
            sku_id=sku_id,
            location_id=location_id,
            reference=checks.note(reference, "reference"),
        ),
        lambda response: Page(tuple(map(_reservation, response.reservations)), response.next_page_token),
    )


def _reservation(message: Any) -> Reservation:
    return Reservation(
        message.reservation_id,
        ReservationState(message.state),
        tuple(
            ReservationLine(line.sku_id, line.location_id, line.quantity, line.open_quantity, line.fulfilled_quantity)
            for line in message.lines
        ),
        message.version,
        message.create_time.ToMicroseconds(),
        time_us_in(message, "expire_time"),
        time_us_in(message, "end_time"),
        message.reference,
        message.actor,
        message.commit_reference,
        tuple(message.methods),
    )


def get_request_outcome(request_id: str | uuid.UUID) -> Lone[RequestOutcome]:
    """Return the call that reads what became of a write."""
    return Lone(
        requests.GetRequestOutcomeRequest(request_id=request_id_text(given_request_id(request_id, "request_id"))),
        _request_outcome,
    )


def _request_outcome(message: Any) -> RequestOutcome:
    is_refused = message.HasField("refusal")
    return RequestOutcome(
        RequestState(message.state),
        RequestOperation(message.operation),
        message.write_seq,
        time_us_in(message, "write_time"),
        message.reservation_id,
        time_us_in(message, "expire_time"),
        message.transfer_id,
        message.plan_id,
        ReservationState(message.reservation_state),
        message.version,
        message.applied_oversold,
        tuple(map(Shortage.of, message.refusal.shortages if is_refused else message.shortages)),
        message.refusal.reason,
        message.refusal.message,
        message.seq,
        message.fulfillment_order_id,
    )


# ---- stock -----------------------------------------------------------------------------------------------------------


def availability(
    sku_ids: Sequence[str], location_ids: Sequence[str], location_group: str, *, totals_only: bool
) -> Lone[tuple[SkuAvailability, ...]]:
    """Return the call that reads what can be promised."""
    return Lone(
        inventory.BatchGetAvailabilityRequest(
            sku_ids=sku_ids, location_ids=location_ids, location_group=location_group, totals_only=totals_only
        ),
        lambda response: tuple(map(_availability, response.skus)),
    )


def _availability(message: Any) -> SkuAvailability:
    return SkuAvailability(
        message.sku_id,
        message.available,
        tuple(LocationAvailability(place.location_id, place.available, place.oversold) for place in message.locations),
    )


def get_stock_level(sku_id: str, location_id: str) -> Lone[StockLevel]:
    """Return the call that reads one stock level."""
    return Lone(
        inventory.GetStockLevelRequest(sku_id=sku_id, location_id=location_id),
        lambda response: _stock_level(response.stock_level),
    )


def list_stock_levels(token: str, sku_id: str, location_id: str, *, suspect_only: bool) -> Lone[Page[StockLevel]]:
    """Return the call that reads one page of stock levels."""
    return Lone(
        inventory.ListStockLevelsRequest(
            page_size=limits.PAGE_SIZE,
            page_token=token,
            sku_id=sku_id,
            location_id=location_id,
            suspect_only=suspect_only,
        ),
        lambda response: Page(tuple(map(_stock_level, response.stock_levels)), response.next_page_token),
    )


def _stock_level(message: Any) -> StockLevel:
    return StockLevel(
        message.sku_id,
        message.location_id,
        message.on_hand,
        message.unavailable,
        {UnavailableReason(each.reason): each.quantity for each in message.unavailable_by_reason},
        message.reserved,
        message.committed,
        message.safety_stock,
        message.backorder_limit,
        message.available,
        message.oversold,
        time_us_in(message, "suspect_time"),
    )


def set_stock_policy(
    sku_id: str, location_id: str, safety_stock: int | None, backorder_limit: int | None, options: WriteOptions
) -> Lone[int]:
    """Return the call that sets safety stock and backorder limit; its result is the seq."""
    if safety_stock is not None:
        checks.quantity(safety_stock, "safety_stock", at_least=0)
    if backorder_limit is not None:
        checks.quantity(backorder_limit, "backorder_limit", at_least=0)
    request = inventory.SetStockPolicyRequest(
        sku_id=checks.identifier(sku_id, "sku_id"),
        location_id=checks.identifier(location_id, "location_id"),
        safety_stock=safety_stock,
        backorder_limit=backorder_limit,
        **noted(options),
    )
    return Lone(request, lambda response: int(response.seq), request.request_id)


def list_movements(
    token: str,
    *,
    start_seq: int,
    sku_id: str,
    location_id: str,
    reservation_id: str,
    transfer_id: str,
    fulfillment_order_id: str,
    reference: str,
) -> Lone[Page[Movement]]:
    """Return the call that reads one page of the history."""
    return Lone(
        inventory.ListMovementsRequest(
            page_size=limits.PAGE_SIZE,
            page_token=token,
            start_seq=0 if token else whole(start_seq, "start_seq", 0),
            sku_id=sku_id,
            location_id=location_id,
            reservation_id=reservation_id,
            transfer_id=transfer_id,
            fulfillment_order_id=fulfillment_order_id,
            reference=checks.note(reference, "reference"),
        ),
        lambda response: Page(tuple(map(_movement, response.movements)), response.next_page_token),
    )


def kept_history() -> Lone[KeptHistory]:
    """Return the call that reads which positions of the history are kept."""
    return Lone(
        inventory.ListMovementsRequest(page_size=1),
        lambda response: KeptHistory(
            response.first_seq, tuple((gap.first_seq, gap.last_seq) for gap in response.missing), response.seq
        ),
    )


def _movement(message: Any) -> Movement:
    return Movement(
        message.seq,
        message.line,
        MovementType(message.type),
        message.sku_id,
        message.location_id,
        message.quantity,
        UnavailableReason(message.unavailable_reason),
        message.reservation_id,
        message.effective_time.ToMicroseconds(),
        message.reference,
        message.actor,
        message.transfer_id,
        message.fulfillment_order_id,
    )


# ---- the engine ------------------------------------------------------------------------------------------------------


def status() -> Lone[EngineStatus]:
    """Return the call that reads the engine's positions, counts and settings."""
    return Lone(admin.GetStatusRequest(), _status)


def _status(message: Any) -> EngineStatus:
    special: dict[str, Any] = {
        "start_time_us": message.start_time.ToMicroseconds(),
        "warnings": tuple(message.warnings),
    }
    plain = {name: getattr(message, name) for name in EngineStatus.__struct_fields__ if name not in special}
    return EngineStatus(**plain, **special)
