"""Two ways to ask: the generated stubs, and the client package. A bug of one cannot hide a bug of the engine."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import grpc
import numpy as np
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status as RpcStatus
from onhand.client import (
    Changed,
    Client,
    CommandColumns,
    Destination,
    Draining,
    Extended,
    FulfillmentChanged,
    FulfillmentCreated,
    FulfillmentVerb,
    JournalUnavailable,
    MovementType,
    NewMovement,
    NoAnswer,
    NotPrimary,
    NotSent,
    OnHandError,
    Operation,
    Order,
    OrderLine,
    Overloaded,
    ReceiptCondition,
    Recorded,
    RefusedError,
    Reserved,
    ValidationFailed,
    VersionMismatch,
)
from onhand.inventory.v1 import reservation_pb2, transfer_pb2
from onhand.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from onhand.inventory.v1.reservation_service_pb2_grpc import ReservationServiceStub
from onhand.inventory.v1.transfer_service_pb2_grpc import TransferServiceStub
from onhand.order.v1 import fulfillment_pb2
from onhand.order.v1.fulfillment_service_pb2_grpc import FulfillmentServiceStub
from onhand.routing.v1.bulk_service_pb2_grpc import BulkRoutingServiceStub
from onhand.routing.v1.routing_service_pb2_grpc import RoutingServiceStub

from ledger.core.statuses import FulfillmentStage, TransferStage

from .history import Answer, Ask, Asked
from .messages import DESTINATION, request_of, written

MICROSECONDS: Final = 1_000_000
NOT_DONE: Final = ("NOT_PRIMARY", "OVERLOADED", "DRAINING")
"""Refusals that promise that nothing was done."""
IN_DOUBT: Final = ("", "JOURNAL_UNAVAILABLE", "INTERNAL_ERROR", "LEDGER_CORRUPT")
"""Refusals that leave open whether it was done; empty: none of the engine's."""
# An engine that was killed comes back soon: the channel must not wait much longer than that.
CHANNEL_OPTIONS: Final = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.enable_retries", 0),
)


class NotDone(Exception):
    """The try was refused, and nothing was done."""

    def __init__(self, reason: str, primary: str = "") -> None:
        super().__init__(reason)
        self.primary = primary
        """Address that the engine names as the one to ask."""


class InDoubt(Exception):
    """The try got no answer: it may have been done, or be done yet."""


class Told(NamedTuple):
    """An answer, and the engine that gave it."""

    answer: Answer
    engine: str


# ---- the generated stubs ---------------------------------------------------------------------------------------------


class StubAsker:
    """Asks one engine at a time, and goes to another one when that is gone or not the primary."""

    def __init__(self, engines: Sequence[str], try_seconds: float) -> None:
        self._engines = list(engines)
        self._try_seconds = try_seconds
        self._place = 0
        self._channels = {engine: grpc.insecure_channel(engine, options=CHANNEL_OPTIONS) for engine in engines}

    def close(self) -> None:
        """Close all channels."""
        for channel in self._channels.values():
            channel.close()

    def ask(self, asked: Asked) -> Told:
        """Try once; raises NotDone or InDoubt."""
        engine = self._engines[self._place]
        try:
            return Told(self._call(self._channels[engine], asked), engine)
        except NotDone as error:
            self._go_to(error.primary)
            raise
        except InDoubt:
            self._go_to("")
            raise

    def _go_to(self, primary: str) -> None:
        """Ask the engine that was named next time, or just another one."""
        if primary in self._channels:
            self._place = self._engines.index(primary)
        else:
            self._place = (self._place + 1) % len(self._engines)

    def _call(self, channel: grpc.Channel, asked: Asked) -> Answer:
        is_stock = asked.ask in (Ask.RECORD_MOVEMENTS, Ask.SET_ON_HAND, Ask.AVAILABILITY, Ask.LEVEL)
        stub: Any = InventoryServiceStub(channel) if is_stock else ReservationServiceStub(channel)
        if asked.ask.is_of_transfer or asked.ask is Ask.SHIPMENT:
            stub = TransferServiceStub(channel)
        if asked.ask.is_of_work or asked.ask is Ask.WORK:
            stub = FulfillmentServiceStub(channel)
        if asked.ask.is_routed:
            stub = BulkRoutingServiceStub(channel) if asked.ask is Ask.PLAN_ORDERS else RoutingServiceStub(channel)
        method, request = request_of(asked)
        try:
            response = getattr(stub, method)(request, timeout=self._try_seconds)
        except grpc.RpcError as error:
            return refusal_of(error)
        return answer_of(asked, response)


IDS: Final = ("reservation_id", "transfer_id", "fulfillment_order_id")
"""Fields of what a write made."""
TELLS_END: Final = (Ask.RESERVE, Ask.REPLACE, Ask.EXTEND, Ask.PLAN_FULFILLMENT)


def answer_of(asked: Asked, response: Any) -> Answer:
    """Return what a response says."""
    if asked.ask is Ask.AVAILABILITY:
        values = tuple(
            (found.sku_id, place.location_id, place.available, place.oversold)
            for found in response.skus
            for place in found.locations
        )
        return Answer(seq=response.seq, values=values)
    if asked.ask is Ask.LEVEL:
        level = response.stock_level
        numbers = (level.on_hand, level.unavailable, level.reserved, level.committed, level.available, level.oversold)
        return Answer(seq=response.seq, values=((level.sku_id, level.location_id, *numbers),))
    if asked.ask in SHOWN:
        return SHOWN[asked.ask](response)
    if asked.ask is Ask.PLAN_ORDERS:
        return _planned(response)
    return Answer(
        seq=response.seq,
        reservation_id=next(filter(None, (getattr(response, name, "") for name in IDS)), ""),
        state=getattr(response, "state", 0),
        # the release before does not say that of a reservation which is made
        version=0 if asked.ask is Ask.RESERVE else getattr(response, "version", 0),
        time_us=_time_us(response.expire_time) if asked.ask in TELLS_END else 0,
        shortages=_shortages(response.shortages) if asked.ask is Ask.RESERVE else (),
        oversold=tuple(
            (level.sku_id, level.location_id, level.oversold) for level in getattr(response, "oversold_levels", ())
        ),
    )


def _planned(response: Any) -> Answer:
    """Return what columns say of one order: not when it was written."""
    if response.refused_orders:
        return Answer(reason=response.refused_reasons[0])
    (reservation_id,), (expire_time_us,) = response.reservation_ids, response.expire_times_us
    return Answer(reservation_id=f"{reservation_id:016x}" if reservation_id else "", time_us=max(0, expire_time_us))


def _shown(response: Any) -> Answer:
    """Return what GetReservation shows."""
    found = response.reservation
    has_end = found.HasField("end_time")
    return Answer(
        seq=response.seq,
        reservation_id=found.reservation_id,
        state=found.state,
        version=found.version,
        time_us=_time_us(found.end_time if has_end else found.expire_time),
        values=tuple(
            (line.sku_id, line.location_id, line.quantity, line.open_quantity, line.fulfilled_quantity)
            for line in found.lines
        ),
    )


def shown_transfer(found: transfer_pb2.Transfer, seq: int) -> Answer:
    """Return what GetTransfer shows."""
    return Answer(
        seq=seq,
        reservation_id=found.transfer_id,
        state=found.state,
        version=found.version,
        values=tuple(
            (line.sku_id, *(getattr(line, f"{stage.name.lower()}_quantity") for stage in TransferStage))
            for line in found.lines
        ),
    )


def shown_work(found: fulfillment_pb2.FulfillmentOrder, seq: int) -> Answer:
    """Return what GetFulfillmentOrder shows."""
    return Answer(
        seq=seq,
        reservation_id=found.fulfillment_order_id,
        state=found.state,
        version=found.version,
        values=tuple(
            (line.sku_id, *(getattr(line, f"{stage.name.lower()}_quantity") for stage in FulfillmentStage))
            for line in found.lines
        ),
    )


SHOWN: Final[Mapping[Ask, Callable[[Any], Answer]]] = {
    Ask.RESERVATION: _shown,
    Ask.SHIPMENT: lambda response: shown_transfer(response.transfer, response.seq),
    Ask.WORK: lambda response: shown_work(response.fulfillment_order, response.seq),
}


def _time_us(message: Any) -> int:
    return int(message.seconds * MICROSECONDS + message.nanos // 1000)


def _shortages(shortages: Any) -> tuple[tuple[str, str, int, int], ...]:
    return tuple((short.sku_id, short.location_id, short.requested, short.available) for short in shortages)


def refusal_of(error: Any) -> Answer:
    """Return what a refusal says, if it is a decision; raises NotDone or InDoubt if it is none."""
    reason, metadata = "", {}
    shortages: tuple[tuple[str, str, int, int], ...] = ()
    status = RpcStatus.FromString(dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b""))
    for detail in status.details:
        info, refusal = ErrorInfo(), reservation_pb2.Refusal()
        if detail.Unpack(info):
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(refusal):
            shortages = _shortages(refusal.shortages)
    if reason in NOT_DONE:
        raise NotDone(reason, metadata.get("primary", ""))
    if reason in IN_DOUBT:
        raise InDoubt(f"{error.code().name}: {reason or error.details()}")
    return Answer(reason=reason, version=int(metadata.get("version", 0)), shortages=shortages)


# ---- the client package ----------------------------------------------------------------------------------------------


class PackageAsker:
    """Asks through the client package, which finds the primary and repeats by itself. Writes only."""

    def __init__(self, client: Client, try_seconds: float) -> None:
        self._client = client
        self._try_seconds = try_seconds

    def close(self) -> None:
        """Nothing: the client is shared by all threads."""

    def ask(self, asked: Asked) -> Told:
        """Try once, as the package understands it; raises NotDone or InDoubt."""
        options: dict[str, Any] = {
            **written(asked),
            "request_id": uuid.UUID(asked.request_id),
            "deadline_seconds": self._try_seconds,
        }
        try:
            if asked.ask.is_of_transfer or asked.ask is Ask.REPLACE:
                return Told(self._by_columns(asked, options["request_id"]), "")
            if asked.ask is Ask.PLAN_ORDERS:
                return Told(self._plan(asked), "")
            result = self._call(asked, options)
        except (NotPrimary, Overloaded, Draining, NotSent) as error:
            raise NotDone(str(error)) from error
        except (NoAnswer, JournalUnavailable) as error:
            raise InDoubt(str(error)) from error
        except RefusedError as error:
            if error.code is grpc.StatusCode.UNIMPLEMENTED:  # the release before does not know it
                raise NotDone(str(error)) from error
            return Told(_refused(error), "")
        except OnHandError as error:
            raise InDoubt(str(error)) from error
        return Told(_result(result), "")

    def _call(self, asked: Asked, options: dict[str, Any]) -> Any:
        if asked.ask in (Ask.COMMIT, Ask.RELEASE, Ask.FULFILL, Ask.CANCEL):
            return getattr(self._client, asked.ask.lower())(asked.reservation_id, asked.lines, **options)
        return getattr(self, f"_{asked.ask.lower()}")(asked, options)

    def _by_columns(self, asked: Asked, request_id: uuid.UUID) -> Answer:
        """Ask as a call of columns what the release before does not know: a verb of a transfer, a hold's new lines."""
        outcomes = self._client.execute(_columns_of(asked, request_id), deadline_seconds=self._try_seconds)
        for _, _, error in outcomes.errors:
            if isinstance(error, ValidationFailed):  # the release before does not know these operations
                raise NotDone(str(error))
            raise error
        outcomes.raise_first()
        if asked.ask is Ask.REPLACE:
            return Answer(
                seq=int(outcomes.seqs[0]),
                reservation_id=f"{outcomes.reservation_ids[0]:016x}",
                version=int(outcomes.versions[0]),
                time_us=int(outcomes.expire_times_us[0]),
            )
        return Answer(
            seq=int(outcomes.seqs[0]),
            reservation_id=f"{outcomes.reservation_ids[0]:016x}" if asked.ask is Ask.CREATE_TRANSFER else "",
            state=int(outcomes.transfer_states[0]),
            version=int(outcomes.versions[0]),
        )

    def _plan(self, asked: Asked) -> Answer:
        order = Order([OrderLine(sku, units) for sku, _, units in asked.lines], Destination(*DESTINATION))
        (planned,) = self._client.plan_orders(
            [order],
            ttl_seconds=asked.ttl_us / MICROSECONDS,
            request_ids=[asked.request_id],
            reference=asked.request_id,
            actor="faults",
            deadline_seconds=self._try_seconds,
        )
        if isinstance(planned, RefusedError):
            raise planned
        return Answer(reservation_id=planned.reservation_id, time_us=planned.expire_time_us or 0)

    def _reserve(self, asked: Asked, options: dict[str, Any]) -> Reserved:
        ttl_seconds = asked.ttl_us / MICROSECONDS
        return self._client.reserve(asked.lines, ttl_seconds=ttl_seconds, allow_partial=asked.allow_partial, **options)

    def _extend(self, asked: Asked, options: dict[str, Any]) -> Extended:
        return self._client.extend(asked.reservation_id, ttl_seconds=asked.ttl_us / MICROSECONDS, **options)

    def _amend(self, asked: Asked, options: dict[str, Any]) -> Changed:
        version = asked.expected_version
        return self._client.amend(asked.reservation_id, asked.lines, expected_version=version, **options)

    def _transfer(self, asked: Asked, options: dict[str, Any]) -> Changed:
        lines = [(sku, units) for sku, _, units in asked.lines]
        places, version = (asked.from_location, asked.to_location), asked.expected_version
        return self._client.transfer_reservation(
            asked.reservation_id, *places, lines, expected_version=version, **options
        )

    def _set_on_hand(self, asked: Asked, options: dict[str, Any]) -> Recorded:
        return self._client.set_on_hand(asked.lines, **options)

    def _create_fulfillment_order(self, asked: Asked, options: dict[str, Any]) -> FulfillmentCreated:
        lines = [(sku, units) for sku, _, units in asked.lines]
        return self._client.create_fulfillment_order(asked.reservation_id, asked.from_location, lines, **options)

    def _advance_fulfillment_order(self, asked: Asked, options: dict[str, Any]) -> FulfillmentChanged:
        lines = [(sku, units) for sku, _, units in asked.lines]
        verb, version = FulfillmentVerb[asked.verb], asked.expected_version
        return self._client.advance_fulfillment_order(
            asked.reservation_id, verb, lines, expected_version=version, **options
        )

    def _record_movements(self, asked: Asked, options: dict[str, Any]) -> Recorded:
        kind = MovementType[asked.movement]
        rows = [NewMovement(kind, *line, to_location_id=asked.to_location) for line in asked.lines]
        return self._client.record_movements(rows, **options)


def _columns_of(asked: Asked, request_id: uuid.UUID) -> CommandColumns:
    """Return a verb of a transfer, or a hold's new lines, as columns of one command."""
    begins, names = asked.ask is Ask.CREATE_TRANSFER, [asked.request_id]
    locations = [asked.from_location] if begins else ()
    if asked.ask is Ask.REPLACE:
        locations = [location for _, location, _ in asked.lines]
    return CommandColumns(
        [Operation[asked.ask.name]],
        [sku for sku, _, _ in asked.lines],
        locations,
        [units for _, _, units in asked.lines],
        line_counts=[len(asked.lines)],
        ttl_us=[asked.ttl_us] if asked.ttl_us else None,
        request_ids=np.frombuffer(request_id.bytes, np.uint8).reshape(1, -1),
        reservation_ids=np.array([int(asked.reservation_id or "0", 16)], np.uint64),
        expected_versions=[asked.expected_version],
        references=names,
        actors=["faults"],
        to_locations=[asked.to_location] if begins else None,
        hold=[asked.is_held],
        conditions=[ReceiptCondition[asked.condition or "NONE"]],
    )


def _result(result: Any) -> Answer:
    """Return what the client package returned."""
    if isinstance(result, Reserved):
        return Answer(
            seq=result.seq,
            reservation_id=result.reservation_id,
            time_us=result.expire_time_us,
            shortages=_shortages(result.shortages),
        )
    if isinstance(result, Extended):
        return Answer(seq=result.seq, version=result.version, time_us=result.expire_time_us)
    if isinstance(result, FulfillmentCreated):
        number = result.fulfillment_order_id
        return Answer(seq=result.seq, reservation_id=number, state=int(result.state), version=result.version)
    if isinstance(result, Changed | FulfillmentChanged):
        return Answer(seq=result.seq, state=int(result.state), version=result.version)
    assert isinstance(result, Recorded)
    oversold = tuple((level.sku_id, level.location_id, level.oversold) for level in result.oversold_levels)
    return Answer(seq=result.seq, oversold=oversold)


def _refused(error: RefusedError) -> Answer:
    """Return a refusal that is a decision; others are in doubt."""
    if error.reason in IN_DOUBT:
        raise InDoubt(str(error))
    version = error.version if isinstance(error, VersionMismatch) else 0
    return Answer(reason=error.reason, version=version, shortages=_shortages(error.shortages))
