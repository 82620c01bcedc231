"""ReservationService: requests to commands, outcomes to responses."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from onhand.identifiers import are_plain
from onhand.inventory.v1 import reservation_pb2 as messages
from onhand.inventory.v1 import reservation_service_pb2 as service
from onhand.rules.checks import reservation_name
from onhand.rules.refusals import shown

from engine.api import fields
from engine.api.lookups import held_lines, known_location, known_sku, own_number
from engine.api.methods import (
    NO_NOTES,
    Command,
    Line,
    Notes,
    Outcome,
    ReadHandler,
    StockHandler,
    Surroundings,
    service_methods,
)
from engine.api.planned import methods_of
from engine.api.refusals import raise_refusal, refused, shortages_of
from engine.errors import RefusedError
from ledger.book import Book
from ledger.core import limits
from ledger.core.records import ALLOW_PARTIAL
from ledger.core.statuses import Operation, ReservationState, Status
from ledger.core.views import ReservationView, Scan
from ledger.parts.references import NOTHING_SAID

# Reservations and their lines looked at for one page of a filtered list, and lines shown in one: a bounded pause of the
# writer. A page ends with the reservation that reaches it.
SCAN_MAX: Final = 32_768
LINES_PER_PAGE_MAX: Final = 2_000
READ_AT_ONCE: Final = 100
"""Of the reservations that have a reference."""
ANY: Final = -1
"""Sku or location of a list that is not narrowed by it."""
LINE_FIELDS: Final = tuple(f"lines[{position}]" for position in range(limits.LINES_PER_RESERVATION_MAX))


# ---- requests --------------------------------------------------------------------------------------------------------


def merged_lines(items: Sequence[messages.LineQuantity]) -> list[Line]:
    """Check the lines of a reservation; the same sku and location in two lines counts together."""
    if len(items) == 1:  # as most have
        return [checked_line(items[0], LINE_FIELDS[0])]
    merged: dict[tuple[str, str], Line] = {}
    for item, field in zip(items[:], LINE_FIELDS, strict=False):  # a slice: iterating a protobuf container is slow
        line = checked_line(item, field)
        before = merged.setdefault((line.sku_id, line.location_id), line)
        if before is not line:
            total = before.quantity + line.quantity
            fields.quantity_sum(total, f"{field}.quantity", f"{before.field}.quantity")
            merged[line.sku_id, line.location_id] = before._replace(quantity=total)
    return list(merged.values())


def checked_line(item: messages.LineQuantity, field: str) -> Line:
    """Check one line of a reservation."""
    sku_id, location_id, amount = item.sku_id, item.location_id, item.quantity
    if not (0 < amount <= limits.QUANTITY_MAX and are_plain(sku_id, location_id)):  # nearly always
        refuse_wrong_line(item, field)
    return Line(field, sku_id, location_id, amount)


def refuse_wrong_line(item: messages.LineQuantity, field: str) -> None:
    """Refuse a line by its first wrong field, if one is wrong."""
    fields.identifier(item.sku_id, f"{field}.sku_id")
    fields.identifier(item.location_id, f"{field}.location_id")
    fields.quantity(item.quantity, f"{field}.quantity")


def notes_of(request: Any) -> Notes:
    """Check reference and actor; NO_NOTES itself where there are none."""
    reference, actor = request.reference, request.actor
    if not reference and not actor:
        return NO_NOTES
    return Notes(
        fields.text(reference, "reference", limits.REFERENCE_BYTES_MAX),
        fields.text(actor, "actor", limits.REFERENCE_BYTES_MAX),
    )


def reserve_command(request: service.ReserveStockRequest) -> Command:
    """Check one reservation to be made, or to get other lines."""
    lines = request.lines
    fields.count_of(lines, "lines", limits.LINES_PER_RESERVATION_MAX)
    if request.reservation_id:
        return replace_command(request)
    if request.expected_version:
        fields.wrong("expected_version", "0 without reservation_id", request.expected_version)
    return Command(
        Operation.RESERVE,
        merged_lines(lines),
        fields.request_id(request.request_id),
        flags=ALLOW_PARTIAL if request.allow_partial else 0,
        ttl_us=fields.ttl_us(request.ttl),
        notes=notes_of(request),
    )


def replace_command(request: service.ReserveStockRequest) -> Command:
    """Check a reservation that gets other lines."""
    if request.allow_partial:
        fields.wrong("allow_partial", "false with reservation_id: all lines or none", request.allow_partial)
    return Command(
        Operation.REPLACE,
        merged_lines(request.lines),
        fields.request_id(request.request_id),
        reservation_id=fields.reservation_number(request.reservation_id),
        ttl_us=fields.ttl_us(request.ttl),
        expected_version=expected_version(request.expected_version),
        notes=notes_of(request),
    )


def read_reserve(request: service.ReserveStockRequest) -> list[Command]:
    """Check ReserveStock."""
    return [reserve_command(request)]


def read_batch(request: service.BatchReserveStockRequest) -> list[Command]:
    """Check BatchReserveStock: one wrong request refuses the call, so that nothing is half done by mistake."""
    fields.count_of(request.requests, "requests", limits.RESERVATIONS_PER_BATCH_MAX)
    line_count = sum(len(item.lines) for item in request.requests)
    if line_count > limits.LINES_PER_BATCH_MAX:
        fields.wrong("requests", f"at most {limits.LINES_PER_BATCH_MAX} lines in all", line_count)
    return fields.read_each(request.requests, "requests", reserve_command)


def bound_batch(commands: Sequence[Command], book: Book) -> None:
    """Refuse a batch whose requests concern too many lines, those counted that reservations have already."""
    replacing = [command for command in commands if command.operation is Operation.REPLACE]
    if not replacing:
        return
    is_known = book.ledger.remembers
    new = [one for one in replacing if one.request_id is None or not is_known(*one.request_id)]
    numbers = np.array([command.reservation_id for command in new], np.int64)
    coming = np.array([len(command.lines) for command in new], np.int64)
    total = sum(len(command.lines) for command in commands)
    total += int(held_lines(book, numbers, coming, len(commands) - len(replacing)).sum())
    if total > limits.LINES_PER_BATCH_MAX:
        expected = f"at most {limits.LINES_PER_BATCH_MAX} lines in all, those of the reservations named counted"
        fields.wrong("requests", expected, total)


def read_units(operation: Operation, request: Any) -> list[Command]:
    """Check a call that names a reservation and perhaps some of its units."""
    fields.count_of(request.lines, "lines", limits.LINES_PER_RESERVATION_MAX, at_least=0)
    return [
        Command(
            operation,
            merged_lines(request.lines),
            fields.request_id(request.request_id),
            reservation_id=fields.reservation_number(request.reservation_id),
            notes=notes_of(request),
        )
    ]


def read_commit(request: service.CommitReservationRequest) -> list[Command]:
    """Check CommitReservation."""
    return read_units(Operation.COMMIT, request)


def read_release(request: service.ReleaseReservationRequest) -> list[Command]:
    """Check ReleaseReservation."""
    return read_units(Operation.RELEASE, request)


def read_fulfill(request: service.FulfillCommitmentRequest) -> list[Command]:
    """Check FulfillCommitment."""
    return read_units(Operation.FULFILL, request)


def read_cancel(request: service.CancelCommitmentRequest) -> list[Command]:
    """Check CancelCommitment."""
    return read_units(Operation.CANCEL, request)


def read_extend(request: service.ExtendReservationRequest) -> list[Command]:
    """Check ExtendReservation."""
    return [
        Command(
            Operation.EXTEND,
            (),
            fields.request_id(request.request_id),
            reservation_id=fields.reservation_number(request.reservation_id),
            ttl_us=fields.ttl_us(request.ttl),
            notes=notes_of(request),
        )
    ]


def expected_version(value: int) -> int:
    """Check the version that the caller saw."""
    if not 0 <= value <= limits.QUANTITY_MAX:
        fields.wrong("expected_version", f"0 to {limits.QUANTITY_MAX}", value)
    return value


def read_amend(request: service.AmendReservationRequest) -> list[Command]:
    """Check AmendReservation."""
    fields.count_of(request.lines, "lines", limits.LINES_PER_RESERVATION_MAX)
    lines = [
        Line(
            f"lines[{position}]",
            fields.identifier(item.sku_id, f"lines[{position}].sku_id"),
            fields.identifier(item.location_id, f"lines[{position}].location_id"),
            fields.quantity(item.quantity, f"lines[{position}].quantity", at_least=0),
        )
        for position, item in enumerate(request.lines)
    ]
    fields.unique(((line.sku_id, line.location_id) for line in lines), "lines")
    return [
        Command(
            Operation.AMEND,
            lines,
            fields.request_id(request.request_id),
            reservation_id=fields.reservation_number(request.reservation_id),
            expected_version=expected_version(request.expected_version),
            notes=notes_of(request),
        )
    ]


def read_transfer(request: service.TransferReservationRequest) -> list[Command]:
    """Check TransferReservation."""
    origin = fields.identifier(request.from_location_id, "from_location_id")
    target = fields.identifier(request.to_location_id, "to_location_id")
    if origin == target:
        fields.wrong("to_location_id", "another location than from_location_id", target)
    fields.count_of(request.lines, "lines", limits.LINES_PER_RESERVATION_MAX, at_least=0)
    lines = [
        Line(
            f"lines[{position}]",
            fields.identifier(item.sku_id, f"lines[{position}].sku_id"),
            origin,
            fields.quantity(item.quantity, f"lines[{position}].quantity"),
            target,
            location_path="from_location_id",
            to_location_path="to_location_id",
        )
        for position, item in enumerate(request.lines)
    ]
    fields.unique((line.sku_id for line in lines), "lines")
    return [
        Command(
            Operation.TRANSFER,
            lines or [Line("", "", origin, 0, target, location_path="from_location_id")],
            fields.request_id(request.request_id),
            reservation_id=fields.reservation_number(request.reservation_id),
            expected_version=expected_version(request.expected_version),
            any_sku=not lines,
            notes=notes_of(request),
        )
    ]


# ---- responses -------------------------------------------------------------------------------------------------------


def reserved(command: Command, outcome: Outcome, book: Book) -> service.ReserveStockResponse:
    """Say what was reserved."""
    response = service.ReserveStockResponse(
        reservation_id=reservation_name(outcome.reservation_id), seq=outcome.seq, version=outcome.version
    )
    fields.set_time(response.expire_time, outcome.time_us)
    if len(outcome.details):
        response.shortages.extend(shortages_of(command, outcome, book))
    return response


def answer_reserve(
    _: service.ReserveStockRequest, commands: Sequence[Command], outcomes: Sequence[Outcome], book: Book
) -> service.ReserveStockResponse:
    """Answer ReserveStock."""
    raise_refusal(commands[0], outcomes[0], book)
    return reserved(commands[0], outcomes[0], book)


def answer_batch(
    _: service.BatchReserveStockRequest, commands: Sequence[Command], outcomes: Sequence[Outcome], book: Book
) -> service.BatchReserveStockResponse:
    """Answer BatchReserveStock."""
    results = [
        service.ReserveStockResult(reserved=reserved(command, outcome, book))
        if outcome.status == Status.OK
        else service.ReserveStockResult(refused=refused(command, outcome, book).refusal())
        for command, outcome in zip(commands, outcomes, strict=True)
    ]
    return service.BatchReserveStockResponse(results=results, seq=book.seq)


def answer_extend(
    _: service.ExtendReservationRequest, commands: Sequence[Command], outcomes: Sequence[Outcome], book: Book
) -> service.ExtendReservationResponse:
    """Answer ExtendReservation."""
    outcome = outcomes[0]
    raise_refusal(commands[0], outcome, book)
    response = service.ExtendReservationResponse(version=outcome.version, seq=outcome.seq)
    fields.set_time(response.expire_time, outcome.time_us)
    return response


def answer_change(response_type: type[Any]) -> Any:
    """Return the function that answers a call which changed a reservation's state and version."""

    def answer(_: Any, commands: Sequence[Command], outcomes: Sequence[Outcome], book: Book) -> Any:
        outcome = outcomes[0]
        raise_refusal(commands[0], outcome, book)
        return response_type(state=outcome.state, version=outcome.version, seq=outcome.seq)

    return answer


# ---- reads -----------------------------------------------------------------------------------------------------------


def describe(number: int, view: ReservationView, book: Book) -> messages.Reservation:
    """Return a reservation as callers see it."""
    ledger = book.ledger
    reservation = messages.Reservation(
        reservation_id=reservation_name(number),
        state=view.state,  # type: ignore[arg-type]  # the values are those of the wire
        version=view.version,
    )
    add = reservation.lines.add
    for sku, location, quantity, open_quantity, fulfilled_quantity in view.lines:
        add(
            sku_id=ledger.sku_id(sku),
            location_id=ledger.location_id(location),
            quantity=quantity,
            open_quantity=open_quantity,
            fulfilled_quantity=fulfilled_quantity,
        )
    fields.set_time(reservation.create_time, view.create_time_us)
    is_active = view.state == ReservationState.ACTIVE
    fields.set_time(reservation.expire_time if is_active else reservation.end_time, view.time_us)
    said = book.references.of(number)
    if said is not NOTHING_SAID:
        reservation.reference, reservation.actor = said.reference, said.actor
        reservation.commit_reference = said.commit_reference
    reservation.methods.extend(methods_of(number, book))
    return reservation


def get_reservation(request: service.GetReservationRequest, around: Surroundings) -> service.GetReservationResponse:
    """Answer GetReservation."""
    number = own_number(around.book, request.reservation_id)
    view = around.book.ledger.reservation(number)
    if view is None:
        raise RefusedError(
            "RESERVATION_NOT_FOUND",
            f"reservation_id: reservation {shown(request.reservation_id)} does not exist, or ended too long ago.",
            metadata={"field": "reservation_id"},
        )
    return service.GetReservationResponse(reservation=describe(number, view, around.book), seq=around.book.seq)


def list_reservations(
    request: service.ListReservationsRequest, around: Surroundings
) -> service.ListReservationsResponse:
    """Answer ListReservations: slots in their order, a bounded number a call."""
    book, ledger = around.book, around.book.ledger
    size, slot, wanted = fields.in_full(_page_of, request, book)
    slots = book.references.slots_of(wanted.reference) if wanted.reference else None
    if slots is not None:
        found, following = _among(slots[bisect_left(slots, slot) :], wanted, size, book)
    elif wanted.reference:
        found, following = _of_common_reference(slot, wanted, size, book)
    else:
        scan = _scanned(slot, wanted, size, LINES_PER_PAGE_MAX, book)
        found, following = ledger.reservations_at(scan.rows), scan.following
    page = [describe(number, view, book) for number, view in found]
    token = str(following) if following < ledger.reservation_slots else ""
    return service.ListReservationsResponse(reservations=page, next_page_token=token, seq=book.seq)


class _Wanted(NamedTuple):
    """Which reservations a caller wants."""

    state: int
    """0: any."""
    sku: int
    location: int
    reference: str
    """Empty: any."""

    def is_of(self, number: int, view: ReservationView, book: Book) -> bool:
        """Tell whether a reservation is one of them."""
        if self.state not in (0, view.state) or self.reference not in book.references.of(number).references:
            return False
        if self.sku == ANY and self.location == ANY:
            return True
        return any(self.sku in (ANY, line.sku) and self.location in (ANY, line.location) for line in view.lines)


def _page_of(request: service.ListReservationsRequest, book: Book) -> tuple[int, int, _Wanted]:
    """Return the size of a page, the slot at which it begins, and which reservations are wanted."""
    size, slot = fields.page_of(request)
    if request.state not in messages.ReservationState.values():
        fields.wrong("state", "a state of ReservationState", request.state)
    wanted = _Wanted(
        request.state,
        known_sku(book, request.sku_id, "sku_id") if request.sku_id else ANY,
        known_location(book, request.location_id, "location_id") if request.location_id else ANY,
        fields.text(request.reference, "reference", limits.REFERENCE_BYTES_MAX),
    )
    return size, slot, wanted


def _scanned(slot: int, wanted: _Wanted, size: int, lines_max: int, book: Book) -> Scan:
    """Look through all reservations from a slot on."""
    return book.ledger.scan_reservations(
        slot,
        state=wanted.state,
        sku=wanted.sku,
        location=wanted.location,
        found_max=size,
        lines_max=lines_max,
        visits_max=SCAN_MAX,
    )


def _among(
    slots: Sequence[int], wanted: _Wanted, size: int, book: Book
) -> tuple[list[tuple[int, ReservationView]], int]:
    """Return those that are wanted of the reservations in some slots, and where the next page begins."""
    ledger, found, looked_at = book.ledger, list[tuple[int, ReservationView]](), 0
    for first in range(0, len(slots), READ_AT_ONCE):
        used = [slot for slot in slots[first : first + READ_AT_ONCE] if ledger.reservation_id_at(slot)]
        for slot, (number, view) in zip(used, ledger.reservations_at(np.array(used, np.int64)), strict=True):
            if len(found) == size or looked_at >= LINES_PER_PAGE_MAX:
                return found, slot
            looked_at += 1 + len(view.lines)
            if wanted.is_of(number, view, book):
                found.append((number, view))
    return found, ledger.reservation_slots


def _of_common_reference(
    slot: int, wanted: _Wanted, size: int, book: Book
) -> tuple[list[tuple[int, ReservationView]], int]:
    """Return those from a slot on of a reference that more have than the index lists, and where a page goes on."""
    scan = _scanned(slot, wanted, SCAN_MAX, SCAN_MAX, book)
    own = [place for place in scan.rows.tolist() if book.references.has(place, wanted.reference)]
    found, following = _among(own, wanted, size, book)
    return found, min(following, scan.following)


METHODS: Final = service_methods(
    service.DESCRIPTOR.services_by_name["ReservationService"],
    {
        "ReserveStock": StockHandler(read_reserve, answer_reserve),
        "BatchReserveStock": StockHandler(read_batch, answer_batch, bound_batch),
        "CommitReservation": StockHandler(
            read_commit,
            answer_change(service.CommitReservationResponse),
        ),
        "ReleaseReservation": StockHandler(
            read_release,
            answer_change(service.ReleaseReservationResponse),
        ),
        "ExtendReservation": StockHandler(read_extend, answer_extend),
        "AmendReservation": StockHandler(
            read_amend,
            answer_change(service.AmendReservationResponse),
        ),
        "TransferReservation": StockHandler(
            read_transfer,
            answer_change(service.TransferReservationResponse),
        ),
        "FulfillCommitment": StockHandler(
            read_fulfill,
            answer_change(service.FulfillCommitmentResponse),
        ),
        "CancelCommitment": StockHandler(
            read_cancel,
            answer_change(service.CancelCommitmentResponse),
        ),
        "GetReservation": ReadHandler(get_reservation),
        "ListReservations": ReadHandler(list_reservations),
    },
)
