"""The bulk path for tests: unary requests become columns, and columns the answers that unary calls would have had."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import grpc
from harness import Client
from onhand.inventory.v1 import bulk_service_pb2 as bulk
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_pb2, transfer_pb2
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.inventory.v1 import stock_pb2 as stock
from onhand.inventory.v1 import transfer_service_pb2 as transfers
from onhand.inventory.v1.bulk_service_pb2_grpc import BulkServiceStub
from onhand.rules.reasons import REASONS
from onhand.rules.refusals import Problem

from engine.errors import RefusedError

MICROSECONDS = 1_000_000
NANOSECONDS = 1_000_000_000
NOBODY = bytes(16)  # the nil UUID
ALL = -1  # sku index: all that is open at the location
UNKNOWN_RESERVATION = 2**64 - 1
TRANSFER = stock.MOVEMENT_TYPE_TRANSFER

OPERATIONS = {
    name: bulk.CommandOperation.Value(f"COMMAND_OPERATION_{operation}")
    for name, operation in {
        "ReserveStockRequest": "RESERVE",
        "CommitReservationRequest": "COMMIT",
        "ReleaseReservationRequest": "RELEASE",
        "ExtendReservationRequest": "EXTEND",
        "AmendReservationRequest": "AMEND",
        "TransferReservationRequest": "TRANSFER",
        "FulfillCommitmentRequest": "FULFILL",
        "CancelCommitmentRequest": "CANCEL",
        "RecordMovementsRequest": "RECORD_MOVEMENTS",
        "SetOnHandRequest": "SET_ON_HAND",
        "CreateTransferRequest": "CREATE_TRANSFER",
        "DispatchTransferRequest": "DISPATCH_TRANSFER",
        "ReceiveTransferRequest": "RECEIVE_TRANSFER",
        "CloseTransferRequest": "CLOSE_TRANSFER",
        "RecordFoundUnitsRequest": "RECORD_FOUND_UNITS",
        "CancelTransferRequest": "CANCEL_TRANSFER",
    }.items()
}
DIFFERING = {
    value: name.removeprefix("DIFFERING_FIELD_").lower().replace("unspecified", "content")
    for name, value in bulk.DifferingField.items()
}
# Reasons that have no more to tell than which field they are about.
FIELD_OF = {
    "REQUEST_ID_TOO_OLD": "request_id",
    "RESERVATION_NOT_FOUND": "reservation_id",
    "RESERVATION_EXPIRED": "reservation_id",
    "RESERVATION_NOT_ACTIVE": "reservation_id",
    "RESERVATION_NOT_COMMITTED": "reservation_id",
    "TOO_MANY_LINES": "lines",
    "DOCUMENT_NOT_FOUND": "transfer_id",
}
GOOD = transfer_pb2.RECEIPT_CONDITION_GOOD


def is_of_transfer(request: Any) -> bool:
    """Tell whether a unary request is a verb of a transfer."""
    return hasattr(transfers, type(request).__name__)


# ---- requests to columns ---------------------------------------------------------------------------------------------


class Line(NamedTuple):
    """One line of a unary request; `field` is its name there."""

    field: str
    sku_id: str
    location_id: str
    quantity: int
    to_location_id: str = ""
    type: int = 0
    reason: int = 0
    condition: int = 0
    at_source: bool = False


def transfer_lines_of(request: Any) -> list[Line]:
    """The lines of a verb of a transfer, repeats included; only those of a new one have places."""
    if isinstance(request, transfers.CreateTransferRequest):
        places = request.from_location_id, request.to_location_id
        return [
            Line(f"lines[{place}]", item.sku_id, places[0], item.quantity, places[1])
            for place, item in enumerate(request.lines)
        ]
    field = "written_off" if isinstance(request, transfers.CancelTransferRequest) else "lines"
    return [
        Line(
            f"{field}[{place}]",
            item.sku_id,
            "",
            item.quantity,
            reason=getattr(item, "unavailable_reason", 0),
            condition=getattr(item, "condition", 0),
            at_source=getattr(item, "at_source", False),
        )
        for place, item in enumerate(getattr(request, field, ()))
    ]


def lines_of(request: Any) -> list[Line]:
    """The lines of a unary request, repeats included; a transfer of all has one line without a sku."""
    if is_of_transfer(request):
        return transfer_lines_of(request)
    if isinstance(request, inventory.RecordMovementsRequest):
        return [
            Line(
                f"movements[{place}]",
                item.sku_id,
                item.location_id,
                item.quantity,
                item.to_location_id,
                item.type,
                item.unavailable_reason,
            )
            for place, item in enumerate(request.movements)
        ]
    if isinstance(request, inventory.SetOnHandRequest):
        return [
            Line(f"counts[{place}]", item.sku_id, item.location_id, item.on_hand)
            for place, item in enumerate(request.counts)
        ]
    if isinstance(request, reservations.TransferReservationRequest):
        places = request.from_location_id, request.to_location_id
        return [
            Line(f"lines[{place}]", item.sku_id, places[0], item.quantity, places[1])
            for place, item in enumerate(request.lines)
        ] or [Line("", "", places[0], 0, places[1])]
    return [
        Line(f"lines[{place}]", item.sku_id, item.location_id, item.quantity)
        for place, item in enumerate(getattr(request, "lines", ()))
    ]


def merged_lines_of(request: Any) -> list[Line]:
    """The lines that details count: repeats of a sku and location not counted, but for movements."""
    lines = lines_of(request)
    if isinstance(request, inventory.RecordMovementsRequest):
        return lines
    first: dict[tuple[Any, ...], Line] = {}
    for line in lines:
        said = line.reason, line.condition or GOOD, line.at_source
        first.setdefault((line.sku_id, line.location_id, *said), line)
    return list(first.values())


def request_id_of(text: str) -> bytes | None:
    """The 16 bytes of a request id; None where columns cannot say what it is."""
    if not text:
        return NOBODY
    try:
        raw = uuid.UUID(text).bytes
    except ValueError:
        return None
    return raw if raw != NOBODY and str(uuid.UUID(bytes=raw)) == text.lower() else None


def reservation_number(text: str) -> int:
    """The number of a reservation id; that of none if it is no such id."""
    if not text:
        return 0
    try:
        number = int(text, 16)
    except ValueError:
        return UNKNOWN_RESERVATION
    return number if f"{number:016x}" == text and number else UNKNOWN_RESERVATION


def fits_columns(request: Any) -> bool:
    """Tell whether columns can say all that a unary request says."""
    if type(request).__name__ not in OPERATIONS or getattr(request, "validate_only", False):
        return False
    ttl = getattr(request, "ttl", None)
    if isinstance(request, transfers.CreateTransferRequest) and request.HasField("due_time") and not due_us(request):
        return False
    if isinstance(request, reservations.ReserveStockRequest):
        is_of_hold = bool(request.reservation_id)
        if request.allow_partial if is_of_hold else request.expected_version:
            return False  # refused there, ignored here
    return request_id_of(request.request_id) is not None and (ttl is None or 0 <= ttl.nanos < NANOSECONDS)


def operation_of(request: Any) -> int:
    """The operation that a unary request is as a command."""
    if isinstance(request, reservations.ReserveStockRequest) and request.reservation_id:
        return bulk.COMMAND_OPERATION_REPLACE
    return OPERATIONS[type(request).__name__]


def due_us(request: Any) -> int:
    """When a new transfer should arrive; 0 if nobody says so, and where columns cannot say it."""
    due = getattr(request, "due_time", None)
    if due is None or not request.HasField("due_time") or not 0 <= due.nanos < NANOSECONDS:
        return 0
    return int(due.seconds * MICROSECONDS + due.nanos // 1000)


class Names:
    """A dictionary of a bulk request while it grows."""

    def __init__(self) -> None:
        self.place_of: dict[str, int] = {}

    def place(self, name: str, absent: int = -1) -> int:
        """The index of a name; `absent` for none."""
        return self.place_of.setdefault(name, len(self.place_of)) if name else absent


def encode(requests: Sequence[Any], **more: Any) -> bulk.ExecuteCommandsRequest:
    """Unary requests as one bulk request, every column in full."""
    skus, locations, texts = Names(), Names(), Names()
    call = bulk.ExecuteCommandsRequest(**more)
    ids = []
    for request in requests:
        lines = lines_of(request)
        ids.append(request_id_of(request.request_id))
        call.operations.append(operation_of(request))  # type: ignore[arg-type]  # enums are ints
        call.line_counts.append(len(lines))
        named = getattr(request, "transfer_id", "") or getattr(request, "reservation_id", "")
        call.reservation_ids.append(reservation_number(named))
        call.due_times_us.append(due_us(request))
        call.hold.append(getattr(request, "hold", False))
        call.use_safety_stock.append(getattr(request, "use_safety_stock", False))
        ttl = getattr(request, "ttl", None)
        call.ttl_us.append(ttl.seconds * MICROSECONDS + ttl.nanos // 1000 if ttl else 0)
        call.allow_partial.append(getattr(request, "allow_partial", False))
        call.expected_versions.append(getattr(request, "expected_version", 0))
        call.reference_indexes.append(texts.place(request.reference))
        call.actor_indexes.append(texts.place(request.actor))
        for line in lines:
            has_no_sku = isinstance(request, reservations.TransferReservationRequest) and not line.field
            call.sku_indexes.append(ALL if has_no_sku else skus.place(line.sku_id, len(call.sku_ids)))
            call.location_indexes.append(locations.place(line.location_id))
            call.quantities.append(line.quantity)
            call.to_location_indexes.append(locations.place(line.to_location_id))
            call.movement_types.append(line.type)  # type: ignore[arg-type]  # enums are ints
            call.unavailable_reasons.append(line.reason)  # type: ignore[arg-type]  # enums are ints
            call.conditions.append(line.condition)  # type: ignore[arg-type]  # enums are ints
            call.at_source.append(line.at_source)
    call.request_ids = b"".join(ids) if any(ids) else b""
    call.sku_ids.extend(skus.place_of)
    call.location_ids.extend(locations.place_of)
    call.texts.extend(texts.place_of)
    return call


# ---- columns to answers ----------------------------------------------------------------------------------------------


class Detail(NamedTuple):
    """One detail of a command."""

    line: int
    sku_id: str
    location_id: str
    requested: int
    available: int
    is_to_location: bool


class Outcome(NamedTuple):
    """What the columns say of one command; a column that is absent is all 0."""

    status: int
    reservation_id: int
    seq: int
    expire_time_us: int
    state: int
    version: int
    differing_field: int
    applied_oversold: bool
    transfer_state: int
    details: list[Detail]

    @property
    def reason(self) -> str:
        return bulk.CommandStatus.Name(self.status).removeprefix("COMMAND_STATUS_")  # type: ignore[arg-type]


COLUMNS = (
    "statuses",
    "reservation_ids",
    "seqs",
    "expire_times_us",
    "states",
    "versions",
    "differing_fields",
    "applied_oversold",
    "transfer_states",
)


def column(message: Any, field: str, count: int) -> list[Any]:
    """A column of an answer in full."""
    values = list(getattr(message, field)) or [0] * count
    assert len(values) == count, field
    return values


def details_of(message: bulk.CommandDetails) -> Iterator[tuple[int, Detail]]:
    """Each detail with its command."""
    count = len(message.command_indexes)
    fields = ("command_indexes", "lines", "sku_indexes", "location_indexes", "requested", "available", "is_to_location")
    rows = list(zip(*(column(message, field, count) for field in fields), strict=True))
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    for command, line, sku, location, requested, available, is_to_location in rows:
        assert -1 <= sku < len(message.sku_ids)
        assert -1 <= location < len(message.location_ids)
        sku_id = message.sku_ids[sku] if sku >= 0 else ""
        location_id = message.location_ids[location] if location >= 0 else ""
        yield command, Detail(line, sku_id, location_id, requested, available, bool(is_to_location))


def outcomes_of(response: bulk.ExecuteCommandsResponse) -> list[Outcome]:
    """What came of each command."""
    count = len(response.statuses)
    details: list[list[Detail]] = [[] for _ in range(count)]
    for command, detail in details_of(response.details):
        details[command].append(detail)
    return [Outcome(*row) for row in zip(*(column(response, name, count) for name in COLUMNS), details, strict=True)]


def answer_to(request: Any, outcome: Outcome) -> Any:
    """The response that a unary call would have had, or its RefusedError."""
    if outcome.status != bulk.COMMAND_STATUS_OK:
        return refusal_of(request, outcome)
    name = type(request).__name__.removesuffix("Request")
    if isinstance(request, (inventory.RecordMovementsRequest, inventory.SetOnHandRequest)):
        return recorded(getattr(inventory, f"{name}Response"), outcome)
    if is_of_transfer(request):
        return transferred(getattr(transfers, f"{name}Response"), outcome)
    if isinstance(request, reservations.ReserveStockRequest):
        return reserved(request, outcome)
    if isinstance(request, reservations.ExtendReservationRequest):
        extended = reservations.ExtendReservationResponse(version=outcome.version, seq=outcome.seq)
        extended.expire_time.FromMicroseconds(outcome.expire_time_us)
        return extended
    response_type = getattr(reservations, f"{name}Response")
    return response_type(state=outcome.state, version=outcome.version, seq=outcome.seq)


def recorded(response_type: type[Any], outcome: Outcome) -> Any:
    levels = [
        inventory.OversoldLevel(sku_id=each.sku_id, location_id=each.location_id, oversold=each.available)
        for each in outcome.details
    ]
    return response_type(applied_oversold=bool(outcome.applied_oversold), oversold_levels=levels, seq=outcome.seq)


def transferred(response_type: type[Any], outcome: Outcome) -> Any:
    more = (
        {"transfer_id": f"{outcome.reservation_id:016x}"} if response_type is transfers.CreateTransferResponse else {}
    )
    return response_type(state=outcome.transfer_state, version=outcome.version, seq=outcome.seq, **more)


def reserved(request: Any, outcome: Outcome) -> reservations.ReserveStockResponse:
    response = reservations.ReserveStockResponse(
        reservation_id=f"{outcome.reservation_id:016x}",
        seq=outcome.seq,
        shortages=shortages_of(request, outcome),
        version=outcome.version,
    )
    response.expire_time.FromMicroseconds(outcome.expire_time_us)
    return response


def shortages_of(request: Any, outcome: Outcome) -> list[reservation_pb2.Shortage]:
    """The short lines, by the names that the details or else the request's lines have."""
    lines = merged_lines_of(request)
    shortages = []
    for detail in outcome.details:
        sku_id, location_id = detail.sku_id, detail.location_id
        if lines and not (sku_id and location_id):
            sku_id, location_id = lines[detail.line].sku_id, lines[detail.line].location_id
        shortages.append(
            reservation_pb2.Shortage(
                sku_id=sku_id,
                location_id=location_id,
                requested=detail.requested,
                available=detail.available,
                line=detail.line,
            )
        )
    return shortages


def refusal_of(request: Any, outcome: Outcome) -> RefusedError:
    """The refusal that a unary call would have had: reason, facts and shortages; of its message what tests look at."""
    reason = outcome.reason
    if reason in ("DOCUMENT_NOT_BEGUN", "DOCUMENT_ENDED", "WRONG_SHARD"):
        metadata = {"field": "transfer_id" if hasattr(request, "transfer_id") else "reservation_id"}
        if reason != "WRONG_SHARD":
            state = transfer_pb2.TransferState.Name(outcome.transfer_state)  # type: ignore[arg-type]  # one of the wire
            metadata["state"] = state.removeprefix("TRANSFER_STATE_")
        return RefusedError(reason, metadata["field"], metadata=metadata)
    if reason in FIELD_OF:
        return RefusedError(reason, FIELD_OF[reason], metadata={"field": FIELD_OF[reason]})
    if reason == "REQUEST_ID_REUSED":
        field = DIFFERING[outcome.differing_field]
        return RefusedError(reason, field, problems=[Problem("request_id", field)], metadata={"field": field})
    if reason == "VERSION_MISMATCH":
        metadata = {"field": "expected_version", "version": str(outcome.version)}
        return RefusedError(reason, "expected_version", metadata=metadata)
    if reason in ("INSUFFICIENT_STOCK", "QUANTITY_EXCEEDS_OPEN"):
        return short(request, outcome)
    return about_line(request, outcome)


def short(request: Any, outcome: Outcome) -> RefusedError:
    shortages = shortages_of(request, outcome)
    lines = merged_lines_of(request)
    if is_of_transfer(request) and not shortages:
        return RefusedError(outcome.reason, "transfer_id", metadata={"field": "transfer_id"})
    if outcome.reason == "QUANTITY_EXCEEDS_OPEN" and lines and not lines[0].sku_id:
        return RefusedError(outcome.reason, "from_location_id", metadata={"field": "from_location_id"})
    first = shortages[0]
    metadata = {
        "sku": first.sku_id,
        "location": first.location_id,
        "requested": str(first.requested),
        "available": str(first.available),
        "shortage_count": str(len(shortages)),
    }
    message = f"{first.sku_id} has {first.available} available, {first.requested} were requested"
    return RefusedError(outcome.reason, message, shortages=shortages, metadata=metadata)


def about_line(request: Any, outcome: Outcome) -> RefusedError:
    """A name that is not known, or a level that cannot be used: told by the one detail."""
    (detail,) = outcome.details
    lines = merged_lines_of(request)
    line = lines[0] if not lines[0].field else lines[detail.line]
    is_transfer = isinstance(request, (reservations.TransferReservationRequest, transfers.CreateTransferRequest))
    if outcome.reason == "SKU_NOT_FOUND":
        assert detail.sku_id == ""
        return missing(outcome.reason, f"{line.field}.sku_id", "sku", line.sku_id)
    if outcome.reason == "LOCATION_NOT_FOUND":
        field = "to_location_id" if detail.is_to_location else "location_id"
        name = line.to_location_id if detail.is_to_location else line.location_id
        path = ("from_location_id", "to_location_id")[detail.is_to_location] if is_transfer else f"{line.field}.{field}"
        return missing(outcome.reason, path, "location", name)
    field = "to_location_id" if isinstance(request, reservations.TransferReservationRequest) else line.field
    metadata = {"field": field, "sku": detail.sku_id, "location": detail.location_id}
    return RefusedError(outcome.reason, field, metadata=metadata)


def missing(reason: str, field: str, kind: str, name: str) -> RefusedError:
    message = f"{field}: {name} does not exist; ids are case-sensitive."
    return RefusedError(reason, message, metadata={"field": field, kind: name})


# ---- a client --------------------------------------------------------------------------------------------------------


class RefusedByColumns(grpc.RpcError):
    """A refusal that columns told, as a unary call would have raised it."""

    def __init__(self, refusal: RefusedError) -> None:
        super().__init__(refusal.message)
        self._refusal = refusal

    def code(self) -> grpc.StatusCode:
        return REASONS[self._refusal.reason].code

    def details(self) -> str:
        return self._refusal.message

    def trailing_metadata(self) -> Sequence[tuple[str, bytes]]:
        return [("grpc-status-details-bin", self._refusal.details())]


class BulkFuture:
    """A bulk call in flight, with the answers of the unary call it stands for."""

    def __init__(self, future: Any, read: Callable[[bulk.ExecuteCommandsResponse], Any]) -> None:
        self._future = future
        self._read = read

    def result(self, timeout: float | None = None) -> Any:
        answer = self._read(self._future.result(timeout))
        if isinstance(answer, RefusedError):
            raise RefusedByColumns(answer)
        return answer

    def exception(self, timeout: float | None = None) -> grpc.RpcError | None:
        try:
            self.result(timeout)
        except grpc.RpcError as error:
            return error
        return None


class ByColumns:
    """A method of a stub whose calls go by columns if those can say the same, else by the stub."""

    def __init__(self, stub: BulkServiceStub, method: Any) -> None:
        self._stub = stub
        self._method = method

    def __call__(self, request: Any, timeout: float | None = None) -> Any:
        return self.future(request, timeout).result()

    def future(self, request: Any, timeout: float | None = None) -> Any:
        is_batch = isinstance(request, reservations.BatchReserveStockRequest)
        commands = list(request.requests) if is_batch else [request]
        if not commands or not all(map(fits_columns, commands)):
            return self._method.future(request, timeout=timeout)

        def read(response: bulk.ExecuteCommandsResponse) -> Any:
            answers = list(map(answer_to, commands, outcomes_of(response)))
            return batch_of(answers, response.seq) if is_batch else answers[0]

        return BulkFuture(self._stub.ExecuteCommands.future(encode(commands), timeout=timeout), read)


def batch_of(answers: Sequence[Any], seq: int) -> reservations.BatchReserveStockResponse:
    results = [
        reservations.ReserveStockResult(refused=answer.refusal())
        if isinstance(answer, RefusedError)
        else reservations.ReserveStockResult(reserved=answer)
        for answer in answers
    ]
    return reservations.BatchReserveStockResponse(results=results, seq=seq)


RESERVING = (
    "ReserveStock",
    "BatchReserveStock",
    "CommitReservation",
    "ReleaseReservation",
    "ExtendReservation",
    "AmendReservation",
    "TransferReservation",
    "FulfillCommitment",
    "CancelCommitment",
)
RECORDING = ("RecordMovements", "SetOnHand")
TRANSFERRING = (
    "CreateTransfer",
    "DispatchTransfer",
    "ReceiveTransfer",
    "CloseTransfer",
    "RecordFoundUnits",
    "CancelTransfer",
)


class BulkClient(Client):
    """A client whose writes go by columns, also those it has in flight."""

    def __init__(self, address: str, prefix: str = "") -> None:
        super().__init__(address, prefix)
        self.bulk = BulkServiceStub(self.channel)
        by_columns = ((self.reservations, RESERVING), (self.inventory, RECORDING), (self.transfers, TRANSFERRING))
        for stub, names in by_columns:
            for name in names:
                setattr(stub, name, ByColumns(self.bulk, getattr(stub, name)))

    def execute(self, requests: Sequence[Any], **more: Any) -> list[Any]:
        """Run unary requests as one call; a response or RefusedError each."""
        response = self.call(self.bulk.ExecuteCommands, encode(requests, **more))
        return list(map(answer_to, requests, outcomes_of(response)))
