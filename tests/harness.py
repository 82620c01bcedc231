"""A small client for tests: readable calls through a plain grpcio channel."""

import re
import uuid
from collections.abc import Iterable
from typing import Any

import grpc
from faults.processes import WAIT_SECONDS
from fulfillment_calls import FulfillmentCalls
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status as RpcStatus
from onhand.admin.v1 import admin_service_pb2 as admin
from onhand.admin.v1.admin_service_pb2_grpc import AdminServiceStub
from onhand.inventory.v1 import catalog_pb2, reservation_pb2, transfer_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import request_service_pb2 as requests
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.inventory.v1 import stock_pb2 as stock
from onhand.inventory.v1 import transfer_service_pb2 as transfers
from onhand.inventory.v1.catalog_service_pb2_grpc import CatalogServiceStub
from onhand.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from onhand.inventory.v1.request_service_pb2_grpc import RequestServiceStub
from onhand.inventory.v1.reservation_service_pb2_grpc import ReservationServiceStub
from onhand.inventory.v1.transfer_service_pb2_grpc import TransferServiceStub
from onhand.order.v1 import fulfillment_service_pb2 as fulfillment
from onhand.order.v1.fulfillment_service_pb2_grpc import FulfillmentServiceStub

# Every method of the API by its bare name: its path, and the type of its requests.
_SERVICES = [
    service
    for module in (reservations, transfers, fulfillment, inventory, catalog, admin)
    for service in module.DESCRIPTOR.services_by_name.values()
]
PATHS = {method.name: f"/{service.full_name}/{method.name}" for service in _SERVICES for method in service.methods}
REQUESTS = {method.name: GetMessageClass(method.input_type) for service in _SERVICES for method in service.methods}
RESPONSES = {method.name: GetMessageClass(method.output_type) for service in _SERVICES for method in service.methods}


class Refused(Exception):
    """A call that was answered with an error."""

    def __init__(self, error: grpc.RpcError) -> None:
        super().__init__(f"{error.code().name}: {error.details()}")
        self.code = error.code()
        self.message = error.details()
        self.reason = ""
        self.metadata: dict[str, str] = {}
        self.fields: list[str] = []
        self.shortages: list[tuple[str, str, int, int]] = []
        self.retry_seconds = 0.0
        # details that do not fit the status are those of an answer that was too long for this client
        status = RpcStatus.FromString(dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b""))
        if status.code != self.code.value[0]:
            return
        for detail in status.details:
            info, request, refusal, retry = ErrorInfo(), BadRequest(), reservation_pb2.Refusal(), RetryInfo()
            if detail.Unpack(info):
                self.reason, self.metadata = info.reason, dict(info.metadata)
            elif detail.Unpack(request):
                self.fields = [violation.field for violation in request.field_violations]
            elif detail.Unpack(refusal):
                self.shortages = [
                    (short.sku_id, short.location_id, short.requested, short.available) for short in refusal.shortages
                ]
            elif detail.Unpack(retry):
                self.retry_seconds = retry.retry_delay.ToTimedelta().total_seconds()


def new_id() -> str:
    """A fresh request id."""
    return str(uuid.uuid4())


class Client(FulfillmentCalls):
    """Calls by name, with names of skus and locations that are this client's own.

    `sku("A")` and `location("X")` create what they name; all other methods take the same short names.
    """

    def __init__(self, address: str, prefix: str = "") -> None:
        self.address = address
        self.prefix = prefix
        # a connection of its own: channels to one address share one otherwise
        self.channel = grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        self.reservations = ReservationServiceStub(self.channel)
        self.requests = RequestServiceStub(self.channel)
        self.transfers = TransferServiceStub(self.channel)
        self.fulfillment = FulfillmentServiceStub(self.channel)
        self.inventory = InventoryServiceStub(self.channel)
        self.catalog = CatalogServiceStub(self.channel)
        self.admin = AdminServiceStub(self.channel)
        self._first_seq = 0  # of what this client named first: its movements are all later

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def call(self, method: Any, request: Any, timeout: float = WAIT_SECONDS) -> Any:
        """Call, and raise `Refused` with the error's details."""
        try:
            return method(request, timeout=timeout)
        except grpc.RpcError as error:
            raise Refused(error) from None

    def raw(self, rpc: str, payload: bytes, timeout: float = WAIT_SECONDS) -> bytes:
        """Call a method by its bare name with bytes, and return bytes; raise `Refused` as `call` does."""
        return self.call(self.channel.unary_unary(PATHS[rpc]), payload, timeout)

    def outcome(self, rpc: str, request: Any) -> tuple[Any, ...]:
        """Everything the engine answered: the response's bytes, or all that a refusal says."""
        try:
            return ("OK", self.raw(rpc, request.SerializeToString()))
        except Refused as error:
            return (error.code.name, error.reason, error.message, error.metadata, error.fields, error.shortages)

    def name(self, short: str) -> str:
        return self.prefix + short

    # ---- catalog and stock

    def sku(self, *names: str) -> None:
        for name in names:
            sku = catalog_pb2.Sku(sku_id=self.name(name), base_unit="each")
            made = self.call(self.catalog.CreateSku, catalog.CreateSkuRequest(sku=sku))
            self._first_seq = self._first_seq or made.seq

    def location(self, *names: str, active: bool = True, groups: Iterable[str] = ()) -> None:
        for name in names:
            location = catalog_pb2.Location(
                location_id=self.name(name),
                kind=catalog_pb2.LOCATION_KIND_STORE,
                active=active,
                location_groups=[self.name(group) for group in groups],
            )
            self.call(self.catalog.CreateLocation, catalog.CreateLocationRequest(location=location))

    def move(self, kind: str, sku: str, location: str, quantity: int, **more: Any) -> Any:
        """Record one movement; `kind` as in MovementType, without its prefix."""
        extra = {}
        if "reason" in more:
            extra["unavailable_reason"] = stock.UnavailableReason.Value(f"UNAVAILABLE_REASON_{more.pop('reason')}")
        if "to_location" in more:
            extra["to_location_id"] = self.name(more.pop("to_location"))
        movement = inventory.NewMovement(
            type=stock.MovementType.Value(f"MOVEMENT_TYPE_{kind}"),
            sku_id=self.name(sku),
            location_id=self.name(location),
            quantity=quantity,
            **extra,
        )
        request = inventory.RecordMovementsRequest(movements=[movement], **more)
        return self.call(self.inventory.RecordMovements, request)

    def receive(self, sku: str, location: str, quantity: int) -> Any:
        return self.move("RECEIVE", sku, location, quantity)

    def count(self, sku: str, location: str, on_hand: int, **more: Any) -> Any:
        item = inventory.OnHandCount(sku_id=self.name(sku), location_id=self.name(location), on_hand=on_hand)
        return self.call(self.inventory.SetOnHand, inventory.SetOnHandRequest(counts=[item], **more))

    def policy(self, sku: str, location: str, **values: int) -> Any:
        request = inventory.SetStockPolicyRequest(sku_id=self.name(sku), location_id=self.name(location), **values)
        return self.call(self.inventory.SetStockPolicy, request)

    def level(self, sku: str, location: str) -> stock.StockLevel:
        request = inventory.GetStockLevelRequest(sku_id=self.name(sku), location_id=self.name(location))
        return self.call(self.inventory.GetStockLevel, request).stock_level

    def available(self, sku: str, locations: Iterable[str] = (), group: str = "") -> int:
        request = inventory.BatchGetAvailabilityRequest(
            sku_ids=[self.name(sku)],
            location_ids=[self.name(location) for location in locations],
            location_group=self.name(group) if group else "",
        )
        return self.call(self.inventory.BatchGetAvailability, request).skus[0].available

    def movements(self, **filters: Any) -> list[stock.Movement]:
        """All movements that a filter selects, over all pages."""
        found: list[stock.Movement] = []
        token = ""
        if self._first_seq:
            filters.setdefault("start_seq", self._first_seq)
        while True:
            request = inventory.ListMovementsRequest(page_token=token, page_size=1000, **filters)
            response = self.call(self.inventory.ListMovements, request)
            found.extend(response.movements)
            token = response.next_page_token
            if not token:
                return found
            filters.pop("start_seq", None)

    # ---- reservations

    def lines(self, lines: Iterable[tuple[str, str, int]]) -> list[reservation_pb2.LineQuantity]:
        return [
            reservation_pb2.LineQuantity(sku_id=self.name(sku), location_id=self.name(location), quantity=quantity)
            for sku, location, quantity in lines
        ]

    def reserve_request(self, *lines: tuple[str, str, int], ttl: float = 600.0, **more: Any) -> Any:
        duration = Duration()
        duration.FromNanoseconds(round(ttl * 1e9))
        return reservations.ReserveStockRequest(lines=self.lines(lines), ttl=duration, **more)

    def reserve(self, *lines: tuple[str, str, int], ttl: float = 600.0, **more: Any) -> Any:
        return self.call(self.reservations.ReserveStock, self.reserve_request(*lines, ttl=ttl, **more))

    def _units(self, verb: str, noun: str, reservation_id: str, lines: tuple[Any, ...], more: dict[str, Any]) -> Any:
        request = getattr(reservations, f"{verb}{noun}Request")(
            reservation_id=reservation_id, lines=self.lines(lines), **more
        )
        return self.call(getattr(self.reservations, f"{verb}{noun}"), request)

    def commit(self, reservation_id: str, *lines: tuple[str, str, int], **more: Any) -> Any:
        return self._units("Commit", "Reservation", reservation_id, lines, more)

    def release(self, reservation_id: str, *lines: tuple[str, str, int], **more: Any) -> Any:
        return self._units("Release", "Reservation", reservation_id, lines, more)

    def fulfill(self, reservation_id: str, *lines: tuple[str, str, int], **more: Any) -> Any:
        return self._units("Fulfill", "Commitment", reservation_id, lines, more)

    def cancel(self, reservation_id: str, *lines: tuple[str, str, int], **more: Any) -> Any:
        return self._units("Cancel", "Commitment", reservation_id, lines, more)

    def extend(self, reservation_id: str, ttl: float, **more: Any) -> Any:
        duration = Duration()
        duration.FromNanoseconds(round(ttl * 1e9))
        request = reservations.ExtendReservationRequest(reservation_id=reservation_id, ttl=duration, **more)
        return self.call(self.reservations.ExtendReservation, request)

    def amend(self, reservation_id: str, *lines: tuple[str, str, int], **more: Any) -> Any:
        amendments = [
            reservations.LineAmendment(sku_id=self.name(sku), location_id=self.name(location), quantity=quantity)
            for sku, location, quantity in lines
        ]
        request = reservations.AmendReservationRequest(reservation_id=reservation_id, lines=amendments, **more)
        return self.call(self.reservations.AmendReservation, request)

    def transfer(self, reservation_id: str, origin: str, target: str, *lines: tuple[str, int], **more: Any) -> Any:
        request = reservations.TransferReservationRequest(
            reservation_id=reservation_id,
            from_location_id=self.name(origin),
            to_location_id=self.name(target),
            lines=[reservations.SkuQuantity(sku_id=self.name(sku), quantity=units) for sku, units in lines],
            **more,
        )
        return self.call(self.reservations.TransferReservation, request)

    def get(self, reservation_id: str) -> reservation_pb2.Reservation:
        request = reservations.GetReservationRequest(reservation_id=reservation_id)
        return self.call(self.reservations.GetReservation, request).reservation

    def movement_request(self, kind: str, sku: str, location: str, quantity: int, **more: Any) -> Any:
        movement = inventory.NewMovement(
            type=stock.MovementType.Value(f"MOVEMENT_TYPE_{kind}"),
            sku_id=self.name(sku),
            location_id=self.name(location),
            quantity=quantity,
        )
        return inventory.RecordMovementsRequest(movements=[movement], **more)

    # ---- transfers

    def transfer_lines(self, lines: Iterable[tuple[str, int]]) -> list[transfer_pb2.TransferQuantity]:
        return [transfer_pb2.TransferQuantity(sku_id=self.name(sku), quantity=units) for sku, units in lines]

    def create_transfer(self, origin: str, target: str, *lines: tuple[str, int], **more: Any) -> Any:
        request = transfers.CreateTransferRequest(
            from_location_id=self.name(origin),
            to_location_id=self.name(target),
            lines=self.transfer_lines(lines),
            **more,
        )
        return self.call(self.transfers.CreateTransfer, request)

    def dispatch(self, transfer_id: str, *lines: tuple[str, int], **more: Any) -> Any:
        request = transfers.DispatchTransferRequest(transfer_id=transfer_id, lines=self.transfer_lines(lines), **more)
        return self.call(self.transfers.DispatchTransfer, request)

    def arrive(self, transfer_id: str, *lines: tuple[Any, ...], **more: Any) -> Any:
        """Receive units: sku, quantity, and perhaps the condition and the reason, without their prefixes."""
        received = [
            transfer_pb2.ReceivedUnits(
                sku_id=self.name(sku),
                quantity=units,
                condition=f"RECEIPT_CONDITION_{said[0] if said else 'GOOD'}",
                unavailable_reason=f"UNAVAILABLE_REASON_{said[1]}" if said[1:] else None,
            )
            for sku, units, *said in lines
        ]
        request = transfers.ReceiveTransferRequest(transfer_id=transfer_id, lines=received, **more)
        return self.call(self.transfers.ReceiveTransfer, request)

    def close_transfer(self, transfer_id: str, **more: Any) -> Any:
        return self.call(self.transfers.CloseTransfer, transfers.CloseTransferRequest(transfer_id=transfer_id, **more))

    def find_units(self, transfer_id: str, sku: str, units: int, **more: Any) -> Any:
        found = transfer_pb2.FoundUnits(sku_id=self.name(sku), quantity=units, **more)
        request = transfers.RecordFoundUnitsRequest(transfer_id=transfer_id, lines=[found])
        return self.call(self.transfers.RecordFoundUnits, request)

    def cancel_transfer(self, transfer_id: str, *written_off: tuple[str, int], **more: Any) -> Any:
        request = transfers.CancelTransferRequest(
            transfer_id=transfer_id, written_off=self.transfer_lines(written_off), **more
        )
        return self.call(self.transfers.CancelTransfer, request)

    def get_transfer(self, transfer_id: str) -> transfer_pb2.Transfer:
        request = transfers.GetTransferRequest(transfer_id=transfer_id)
        return self.call(self.transfers.GetTransfer, request).transfer

    def list_transfers(self, **filters: Any) -> list[transfer_pb2.Transfer]:
        """All transfers that a filter selects, over all pages."""
        found: list[transfer_pb2.Transfer] = []
        token = ""
        while True:
            request = transfers.ListTransfersRequest(page_token=token, page_size=2, **filters)
            response = self.call(self.transfers.ListTransfers, request)
            found.extend(response.transfers)
            token = response.next_page_token
            if not token:
                return found

    # ---- admin

    def verify(self) -> admin.VerifyLedgerResponse:
        return self.call(self.admin.VerifyLedger, admin.VerifyLedgerRequest())

    def status(self) -> admin.GetStatusResponse:
        return self.call(self.admin.GetStatus, admin.GetStatusRequest())


class Stage:
    """What most tests start from: skus A and B, 100 of each at the locations X and Y, and a good request of each kind.

    `request("CommitReservation")` is one that is accepted; what it needs, such as a reservation to commit, is made.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        client.sku("A", "B")
        client.location("X", "Y", groups=["G"])
        for sku in "AB":
            for location in "XY":
                client.receive(sku, location, 100)

    def request(self, rpc: str, request_id: str = "") -> Any:
        request = getattr(self, re.sub("([A-Z])", r"_\1", rpc).lower())()
        if "request_id" in request.DESCRIPTOR.fields_by_name:
            request.request_id = request_id
        elif request_id:
            request.requests[0].request_id = request_id
        return request

    def held(self) -> str:
        return self.client.reserve(("A", "X", 5), ("B", "X", 5)).reservation_id

    def committed(self) -> str:
        reservation_id = self.held()
        self.client.commit(reservation_id)
        return reservation_id

    def levels(self) -> list[stock.StockLevel]:
        return [self.client.level(sku, location) for sku in "AB" for location in "XY"]

    def _reserve_stock(self) -> Any:
        return self.client.reserve_request(("A", "X", 2), ("B", "Y", 3))

    def _batch_reserve_stock(self) -> Any:
        return reservations.BatchReserveStockRequest(
            requests=[self.client.reserve_request(("A", "X", 2)), self.client.reserve_request(("B", "Y", 3))]
        )

    def _commit_reservation(self) -> Any:
        lines = self.client.lines([("A", "X", 2), ("B", "X", 5)])
        return reservations.CommitReservationRequest(reservation_id=self.held(), lines=lines)

    def _release_reservation(self) -> Any:
        lines = self.client.lines([("A", "X", 2), ("B", "X", 5)])
        return reservations.ReleaseReservationRequest(reservation_id=self.held(), lines=lines)

    def _extend_reservation(self) -> Any:
        return reservations.ExtendReservationRequest(reservation_id=self.held(), ttl=Duration(seconds=700))

    def _amend_reservation(self) -> Any:
        lines = [
            reservations.LineAmendment(sku_id=self.client.name(sku), location_id=self.client.name("X"), quantity=units)
            for sku, units in (("A", 7), ("B", 2))
        ]
        return reservations.AmendReservationRequest(reservation_id=self.held(), lines=lines, expected_version=1)

    def _transfer_reservation(self) -> Any:
        return reservations.TransferReservationRequest(
            reservation_id=self.held(),
            from_location_id=self.client.name("X"),
            to_location_id=self.client.name("Y"),
            lines=[reservations.SkuQuantity(sku_id=self.client.name(sku), quantity=2) for sku in "AB"],
        )

    def _fulfill_commitment(self) -> Any:
        lines = self.client.lines([("A", "X", 2), ("B", "X", 5)])
        return reservations.FulfillCommitmentRequest(reservation_id=self.committed(), lines=lines)

    def _cancel_commitment(self) -> Any:
        lines = self.client.lines([("A", "X", 2), ("B", "X", 5)])
        return reservations.CancelCommitmentRequest(reservation_id=self.committed(), lines=lines)

    def _get_reservation(self) -> Any:
        return reservations.GetReservationRequest(reservation_id=self.held())

    def _get_request_outcome(self) -> Any:
        return requests.GetRequestOutcomeRequest(request_id=new_id())

    def _list_reservations(self) -> Any:
        return reservations.ListReservationsRequest(sku_id=self.client.name("A"))

    def planned(self) -> str:
        return self.client.create_transfer("X", "Y", ("A", 5), ("B", 5)).transfer_id

    def in_transit(self) -> str:
        transfer_id = self.planned()
        self.client.dispatch(transfer_id)
        return transfer_id

    def short(self) -> str:
        transfer_id = self.in_transit()
        self.client.arrive(transfer_id, ("A", 2, "SHORT"))
        return transfer_id

    def work(self) -> str:
        return self.client.assign(self.committed(), "X", ("A", 5), ("B", 5)).fulfillment_order_id

    def _create_fulfillment_order(self) -> Any:
        return fulfillment.CreateFulfillmentOrderRequest(
            reservation_id=self.committed(),
            location_id=self.client.name("X"),
            method="FULFILLMENT_METHOD_PICKUP",
            lines=self.client.work_lines([("A", 2), ("B", 3)]),
        )

    def _advance_fulfillment_order(self) -> Any:
        return self.client.work_request(self.work(), "PICK", ("A", 2), ("B", 5))

    def _batch_advance_fulfillment_orders(self) -> Any:
        steps = [self.client.work_request(self.work(), verb) for verb in ("ACCEPT", "SHIP")]
        return fulfillment.BatchAdvanceFulfillmentOrdersRequest(requests=steps)

    def _get_fulfillment_order(self) -> Any:
        return fulfillment.GetFulfillmentOrderRequest(fulfillment_order_id=self.work())

    def _list_fulfillment_orders(self) -> Any:
        return fulfillment.ListFulfillmentOrdersRequest(location_id=self.client.name("X"))

    def _create_transfer(self) -> Any:
        return transfers.CreateTransferRequest(
            from_location_id=self.client.name("X"),
            to_location_id=self.client.name("Y"),
            lines=self.client.transfer_lines([("A", 2), ("B", 3)]),
            hold=True,
        )

    def _dispatch_transfer(self) -> Any:
        lines = self.client.transfer_lines([("A", 2), ("B", 5)])
        return transfers.DispatchTransferRequest(transfer_id=self.planned(), lines=lines)

    def _receive_transfer(self) -> Any:
        received = transfer_pb2.ReceivedUnits(sku_id=self.client.name("A"), quantity=2)
        return transfers.ReceiveTransferRequest(transfer_id=self.in_transit(), lines=[received])

    def _close_transfer(self) -> Any:
        return transfers.CloseTransferRequest(transfer_id=self.in_transit())

    def _record_found_units(self) -> Any:
        found = transfer_pb2.FoundUnits(sku_id=self.client.name("A"), quantity=1)
        return transfers.RecordFoundUnitsRequest(transfer_id=self.short(), lines=[found])

    def _cancel_transfer(self) -> Any:
        lost = self.client.transfer_lines([("A", 1)])
        return transfers.CancelTransferRequest(transfer_id=self.in_transit(), written_off=lost)

    def _get_transfer(self) -> Any:
        return transfers.GetTransferRequest(transfer_id=self.planned())

    def _list_transfers(self) -> Any:
        return transfers.ListTransfersRequest(location_id=self.client.name("X"))

    def _record_movements(self) -> Any:
        request = self.client.movement_request("RECEIVE", "A", "X", 2)
        request.movements.extend(self.client.movement_request("SALE", "B", "X", 3).movements)
        return request

    def _set_on_hand(self) -> Any:
        counts = [
            inventory.OnHandCount(sku_id=self.client.name(sku), location_id=self.client.name("X"), on_hand=90)
            for sku in "AB"
        ]
        return inventory.SetOnHandRequest(counts=counts)

    def _set_stock_policy(self) -> Any:
        return inventory.SetStockPolicyRequest(
            sku_id=self.client.name("A"), location_id=self.client.name("X"), safety_stock=5, backorder_limit=3
        )

    def _batch_get_availability(self) -> Any:
        return inventory.BatchGetAvailabilityRequest(
            sku_ids=[self.client.name("A")], location_ids=[self.client.name("X")]
        )

    def _get_stock_level(self) -> Any:
        return inventory.GetStockLevelRequest(sku_id=self.client.name("A"), location_id=self.client.name("X"))

    def _list_stock_levels(self) -> Any:
        return inventory.ListStockLevelsRequest(sku_id=self.client.name("A"))

    def _list_movements(self) -> Any:
        return inventory.ListMovementsRequest(sku_id=self.client.name("A"))

    def a_location(self, short: str) -> catalog_pb2.Location:
        return catalog_pb2.Location(
            location_id=self.client.name(short),
            kind=catalog_pb2.LOCATION_KIND_WAREHOUSE,
            display_name="Depot",
            latitude=52.5,
            longitude=13.4,
            time_zone="Europe/Berlin",
            capabilities=[catalog_pb2.LOCATION_CAPABILITY_SHIP, catalog_pb2.LOCATION_CAPABILITY_RETURNS],
            active=True,
            location_groups=[self.client.name("G")],
        )

    def a_sku(self, short: str) -> catalog_pb2.Sku:
        return catalog_pb2.Sku(
            sku_id=self.client.name(short),
            display_name="Shirt",
            base_unit="each",
            weight_milligrams=250_000,
            restrictions=["hazmat"],
        )

    def _create_location(self) -> Any:
        return catalog.CreateLocationRequest(location=self.a_location("new"))

    def _update_location(self) -> Any:
        return catalog.UpdateLocationRequest(location=self.a_location("X"))

    def _upsert_locations(self) -> Any:
        return catalog.UpsertLocationsRequest(locations=[self.a_location("X"), self.a_location("new")])

    def _get_location(self) -> Any:
        return catalog.GetLocationRequest(location_id=self.client.name("X"))

    def _list_locations(self) -> Any:
        return catalog.ListLocationsRequest(location_group=self.client.name("G"))

    def _create_sku(self) -> Any:
        return catalog.CreateSkuRequest(sku=self.a_sku("new"))

    def _update_sku(self) -> Any:
        return catalog.UpdateSkuRequest(sku=self.a_sku("A"))

    def _upsert_skus(self) -> Any:
        return catalog.UpsertSkusRequest(skus=[self.a_sku("A"), self.a_sku("new")])

    def _get_sku(self) -> Any:
        return catalog.GetSkuRequest(sku_id=self.client.name("A"))

    def _list_skus(self) -> Any:
        return catalog.ListSkusRequest()

    def _get_status(self) -> Any:
        return admin.GetStatusRequest()

    def _verify_ledger(self) -> Any:
        return admin.VerifyLedgerRequest()

    def _read_snapshot(self) -> Any:
        return admin.ReadSnapshotRequest()

    def _checkpoint(self) -> Any:
        return admin.CheckpointRequest()
