"""Saying why the ledger refused a command: a message for people, facts for programs."""

from collections.abc import Mapping
from typing import Any, Final

from onhand.inventory.v1.reservation_pb2 import Shortage

from engine.api import fields
from engine.api.methods import Command, Line, Outcome
from engine.errors import RETRY_SECONDS, SHORTAGES_NAMED_MAX, Problem, RefusedError, invalid, shown
from ledger.book import Book
from ledger.core import limits
from ledger.core.records import FIELD_NAMES, TO_LOCATION
from ledger.core.statuses import Operation, Status

PLAIN: Final[Mapping[Status, tuple[str, str]]] = {
    Status.REQUEST_ID_TOO_OLD: (
        "request_id",
        "this UUIDv7 is older than the engine remembers: read whether the write was done, and use a new id if not.",
    ),
    Status.RESERVATION_NOT_FOUND: ("reservation_id", "this reservation does not exist, or ended too long ago."),
    Status.RESERVATION_EXPIRED: ("reservation_id", "this reservation has expired; reserve again."),
    Status.RESERVATION_NOT_ACTIVE: ("reservation_id", "this reservation is not ACTIVE any more."),
    Status.RESERVATION_NOT_COMMITTED: (
        "reservation_id",
        "this reservation is not COMMITTED, or nothing of it is open.",
    ),
    Status.TOO_MANY_LINES: (
        "lines",
        f"expected at most {limits.LINES_PER_RESERVATION_MAX} lines in the reservation afterwards.",
    ),
}


def raise_refusal(command: Command, outcome: Outcome, book: Book) -> None:
    """Raise what came of a command, unless it is OK."""
    if outcome.status != Status.OK:
        raise refused(command, outcome, book)


def refused(command: Command, outcome: Outcome, book: Book) -> RefusedError:
    """Return the refusal that an outcome stands for.

    It is made of the outcome and the request alone, so that a repeat is told the same whatever happened since.
    """
    status = Status(outcome.status)
    if status in PLAIN:
        field, message = PLAIN[status]
        return RefusedError(status.name, f"{field}: {message}", metadata={"field": field})
    if status is Status.REQUEST_ID_REUSED:
        return reused(FIELD_NAMES[outcome.field])
    if status is Status.VERSION_MISMATCH:
        return wrong_version("expected_version", outcome.version, command.expected_version)
    if status in (Status.INSUFFICIENT_STOCK, Status.QUANTITY_EXCEEDS_OPEN):
        return _short(status, command, outcome, book)
    return _about_line(status, command, outcome.details[0], book)


def reused(field: str) -> RefusedError:
    """Return the refusal of a request id that was used before with other content."""
    return RefusedError(
        Status.REQUEST_ID_REUSED.name,
        f"request_id: it was used before with other content: {field} differs; use a new id for a new request.",
        problems=(Problem("request_id", f"used before with another {field}"),),
        metadata={"field": field},
    )


def wrong_version(field: str, expected: int, was: int) -> RefusedError:
    """Return the refusal of a version that is not the current one."""
    return RefusedError(
        Status.VERSION_MISMATCH.name,
        f"{field}: expected {expected}, was {was}: read it again.",
        metadata={"field": field, "version": str(expected)},
    )


def no_plan(field: str, name: str) -> RefusedError:
    """Return the refusal of what has no plan."""
    return RefusedError(
        "PLAN_NOT_FOUND",
        f"{field}: there is no plan of {shown(name)}, or it is kept no more.",
        metadata={"field": field},
    )


def network_changed() -> RefusedError:
    """Return the refusal of an order that was not planned yet when the network changed."""
    message = "The network changed before this order was planned; nothing was done: repeat it with the same request_id."
    return RefusedError("OVERLOADED", message, retry_seconds=RETRY_SECONDS)


def no_room() -> RefusedError:
    """Return the refusal of an order that came with so many that they would not fit one journal entry."""
    message = "Too many orders came at once; nothing was done: repeat it with the same request_id after the delay."
    return RefusedError("OVERLOADED", message, retry_seconds=RETRY_SECONDS)


def too_many_lines(count: int) -> RefusedError:
    """Return the refusal of an order whose hold would have too many lines."""
    expected = f"a plan of at most {limits.LINES_PER_RESERVATION_MAX} skus at locations; plan it as several orders"
    return invalid("order.lines", expected, count)


def _about_line(status: Status, command: Command, detail: Any, book: Book) -> RefusedError:
    level = int(detail["level"])
    line = command.lines[0 if command.any_sku else int(detail["line"])]
    if status is Status.SKU_NOT_FOUND:
        return fields.missing(status.name, line.path("sku_id"), "sku", line.sku_id)
    if status is Status.LOCATION_NOT_FOUND:
        if level == TO_LOCATION:
            return fields.missing(status.name, line.path("to_location_id"), "location", line.to_location_id)
        return fields.missing(status.name, line.path("location_id"), "location", line.location_id)
    field, location = _holding_place(command, line)
    sku = book.ledger.level_names(detail["level"].reshape(1))[0][0] if level >= 0 else line.sku_id
    metadata = {"field": field, "sku": sku, "location": location}
    if status is Status.NOT_STOCKED_HERE:
        return RefusedError(status.name, f"{field}: {sku} is not stocked at {location}.", metadata=metadata)
    assert status is Status.LOCATION_INACTIVE
    message = f"{field}: location {location} is inactive and takes no new holds."
    return RefusedError(status.name, message, metadata=metadata)


def _holding_place(command: Command, line: Line) -> tuple[str, str]:
    """Field and id of the location where a command would hold units."""
    if command.operation is Operation.TRANSFER:
        return line.path("to_location_id"), line.to_location_id
    return line.field or line.path("location_id"), line.location_id


def shortages_of(command: Command, outcome: Outcome, book: Book) -> list[Shortage]:
    """Return the short lines of a command, with what could be had of each."""
    shortages: list[Shortage] = []
    for line, level, requested, available in outcome.details.tolist():
        names = ("", "")
        if level >= 0:
            names = book.ledger.level_names(outcome.details["level"][len(shortages)].reshape(1))[0]
        elif command.lines:
            place = command.lines[0 if command.any_sku else line]
            names = place.sku_id, place.location_id
        shortages.append(
            Shortage(sku_id=names[0], location_id=names[1], requested=requested, available=available, line=line)
        )
    return shortages


def _short(status: Status, command: Command, outcome: Outcome, book: Book) -> RefusedError:
    shortages = shortages_of(command, outcome, book)
    if status is Status.QUANTITY_EXCEEDS_OPEN and command.any_sku:
        message = f"from_location_id: nothing of the reservation is open at {command.lines[0].location_id}"
        return RefusedError(status.name, f"{message}.", metadata={"field": "from_location_id"})
    told = [_told(status, command, short) for short in shortages[:SHORTAGES_NAMED_MAX]]
    if len(shortages) > len(told):
        told.append(f"and {len(shortages) - len(told)} more")
    first = shortages[0]
    return RefusedError(
        status.name,
        f"{'; '.join(told)}.",
        shortages=shortages,
        metadata={
            "sku": first.sku_id,
            "location": first.location_id,
            "requested": str(first.requested),
            "available": str(first.available),
            "shortage_count": str(len(shortages)),
        },
    )


def _told(status: Status, command: Command, short: Shortage) -> str:
    name = f"{short.sku_id} at {short.location_id}"
    if status is Status.INSUFFICIENT_STOCK:
        return f"{name} has {short.available} available, {short.requested} were requested"
    if command.operation is Operation.AMEND:
        return f"{name} has {short.available} fulfilled, the new total was {short.requested}"
    return f"{name} has {short.available} open, {short.requested} were requested"
