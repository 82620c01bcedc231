"""Saying why the ledger refused a command: a message for people, facts for programs."""

from collections.abc import Mapping
from typing import Final

from onhand.inventory.v1.reservation_pb2 import Shortage

from engine.api import fields
from engine.api.methods import Command, Line, Outcome
from engine.errors import Problem, RefusedError
from ledger.book import Book
from ledger.core import limits
from ledger.core.records import FIELD_NAMES
from ledger.core.statuses import Operation, Status

PLAIN: Final[Mapping[Status, str]] = {
    Status.REQUEST_ID_TOO_OLD: "request_id: this UUIDv7 is older than the engine remembers; it is not known whether the"
    " write was done: read, then repeat with a new id if it was not.",
    Status.RESERVATION_NOT_FOUND: "reservation_id: this reservation does not exist, or ended too long ago.",
    Status.RESERVATION_EXPIRED: "reservation_id: this reservation has expired; reserve again.",
    Status.RESERVATION_NOT_ACTIVE: "reservation_id: this reservation is not ACTIVE any more.",
    Status.RESERVATION_NOT_COMMITTED: "reservation_id: this reservation is not COMMITTED, or nothing of it is open.",
    Status.TOO_MANY_LINES: f"lines: expected at most {limits.LINES_PER_RESERVATION_MAX} lines in the reservation.",
}


def raise_refusal(command: Command, outcome: Outcome, book: Book) -> None:
    """Raise what came of a command, unless it is OK."""
    if outcome.status != Status.OK:
        raise refused(command, outcome, book)


def refused(command: Command, outcome: Outcome, book: Book) -> RefusedError:
    """Return the refusal that an outcome stands for."""
    status = Status(outcome.status)
    if status in PLAIN:
        return RefusedError(status.name, PLAIN[status], metadata={"seq": str(outcome.seq)})
    if status is Status.REQUEST_ID_REUSED:
        return _reused(outcome)
    if status is Status.VERSION_MISMATCH:
        return RefusedError(
            status.name,
            f"expected_version: expected {outcome.version}, was {command.expected_version}: read it again.",
            metadata={"version": str(outcome.version)},
        )
    if status in (Status.INSUFFICIENT_STOCK, Status.QUANTITY_EXCEEDS_OPEN):
        return _short(status, command, outcome, book)
    return _about_line(status, command.lines[int(outcome.details[0]["line"])], command)


def _reused(outcome: Outcome) -> RefusedError:
    field = FIELD_NAMES[outcome.field]
    return RefusedError(
        Status.REQUEST_ID_REUSED.name,
        f"request_id: it was used before with other content: {field} differs; use a new id for a new request.",
        problems=(Problem("request_id", f"used before with another {field}"),),
        metadata={"field": field},
    )


def _about_line(status: Status, line: Line, command: Command) -> RefusedError:
    if status is Status.SKU_NOT_FOUND:
        return fields.missing(status.name, f"{line.field}.sku_id", "sku", line.sku_id)
    if status is Status.LOCATION_NOT_FOUND:
        return fields.missing(status.name, f"{line.field}.location_id", "location", line.location_id)
    location = line.to_location_id if command.operation is Operation.TRANSFER else line.location_id
    metadata = {"field": line.field, "sku": line.sku_id, "location": location}
    if status is Status.NOT_STOCKED_HERE:
        message = f"{line.field}: {line.sku_id or 'a sku of the reservation'} is not stocked at {location}."
    else:
        assert status is Status.LOCATION_INACTIVE
        message = f"{line.field}: location {location} is inactive and takes no new holds."
    return RefusedError(status.name, message, metadata=metadata)


def shortages_of(command: Command, outcome: Outcome, book: Book) -> list[Shortage]:
    """Return the short lines of a command, with what could be had of each."""
    return [
        Shortage(
            sku_id=sku_id,
            location_id=location_id,
            requested=requested,
            available=available,
        )
        for sku_id, location_id, requested, available in _short_lines(command, outcome, book)
    ]


def _short_lines(command: Command, outcome: Outcome, book: Book) -> list[tuple[str, str, int, int]]:
    """Sku, location, units asked for and units that can be had, of each short line."""
    rows = []
    view = None if command.lines and not command.any_sku else book.ledger.reservation(command.reservation_id)
    for position, sku, quantity in outcome.details.tolist():
        if command.any_sku:
            # the whole of what is open at a location; the destination, or the location itself, was short
            line = command.lines[0]
            name = book.ledger.sku_id(sku) if sku >= 0 else ""
            open_units = sum(
                held.open
                for held in (view.lines if view else ())
                if held.sku == sku and book.ledger.location_id(held.location) == line.location_id
            )
            rows.append((name, line.to_location_id, open_units, quantity))
        elif command.lines:
            line = command.lines[position]
            rows.append((line.sku_id, line.to_location_id or line.location_id, line.quantity, quantity))
        elif view is not None:
            held = view.lines[position]
            names = book.ledger.sku_id(held.sku), book.ledger.location_id(held.location)
            rows.append((*names, held.open, quantity))
    return rows


def _short(status: Status, command: Command, outcome: Outcome, book: Book) -> RefusedError:
    shortages = shortages_of(command, outcome, book)
    verb = "open" if status is Status.QUANTITY_EXCEEDS_OPEN else "available"
    message = "; ".join(
        f"{short.sku_id or 'nothing'} at {short.location_id} has {short.available} {verb}, "
        f"{short.requested} were requested"
        for short in shortages
    )
    first = shortages[0] if shortages else Shortage()
    return RefusedError(
        status.name,
        f"{message}.",
        shortages=shortages,
        metadata={
            "sku": first.sku_id,
            "location": first.location_id,
            "requested": str(first.requested),
            "available": str(first.available),
        },
    )
