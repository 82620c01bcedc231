"""Saying why the ledger refused a command: a message for people, facts for programs."""

from typing import Any, Final

from onhand.inventory.v1.reservation_pb2 import Shortage
from onhand.rules import refusals
from onhand.rules.checks import document_name
from onhand.rules.reasons import REASONS
from onhand.rules.refusals import Told, shown

from engine.api import fields
from engine.api.methods import OF_DOCUMENTS, Command, Line, Outcome
from engine.errors import RETRY_SECONDS, RefusedError, invalid, refused_as
from ledger.book import Book
from ledger.core import limits
from ledger.core.documents import STATES, VERBS, allowed_verbs
from ledger.core.records import FIELD_NAMES, TO_LOCATION
from ledger.core.statuses import DocumentKind, FulfillmentMethod, Operation, Status

OF_STATE: Final = (Status.DOCUMENT_NOT_BEGUN, Status.DOCUMENT_ENDED, Status.VERB_NOT_ALLOWED)


def raise_refusal(command: Command, outcome: Outcome, book: Book) -> None:
    """Raise what came of a command, unless it is OK."""
    if outcome.status != Status.OK:
        raise refused(command, outcome, book)


def refused(command: Command, outcome: Outcome, book: Book) -> RefusedError:
    """Return the refusal that an outcome stands for.

    It is made of the outcome and the request alone, so that a repeat is told the same whatever happened since.
    """
    status = Status(outcome.status)
    if command.operation in OF_DOCUMENTS and (told := _of_document(status, command, outcome)):
        return refused_as(told)
    if REASONS[status.name].sentence:
        return refused_as(refusals.plain(status.name))
    if status is Status.REQUEST_ID_REUSED:
        return reused(FIELD_NAMES[outcome.field])
    if status is Status.VERSION_MISMATCH:
        return wrong_version("expected_version", outcome.version, command.expected_version)
    if status in (Status.INSUFFICIENT_STOCK, Status.QUANTITY_EXCEEDS_OPEN):
        return _short(status, command, outcome, book)
    return _about_line(status, command, outcome.details[0], book)


def _of_document(status: Status, command: Command, outcome: Outcome) -> Told | None:
    """Tell what is wrong with the document that a verb is of; None if it is something else."""
    kind = DocumentKind(command.lines[0].reason).name.lower()
    if status is Status.WRONG_SHARD:
        return refusals.of_other_shard(f"{kind}_id" if command.reservation_id else "reservation_id")
    if status is Status.DOCUMENT_NOT_FOUND:
        return refusals.no_document(kind, document_name(command.reservation_id) if command.reservation_id > 0 else "")
    if status in OF_STATE:
        return _of_state(status, command, outcome)
    if status is Status.TOO_MANY_LINES:
        begins = not command.reservation_id
        return refusals.too_many_documents() if begins else refusals.too_many_lines_of(kind)
    if status is Status.QUANTITY_EXCEEDS_OPEN and outcome.details["line"][0] == 0:
        return refusals.nothing_left(kind)
    return None


def _of_state(status: Status, command: Command, outcome: Outcome) -> Told:
    """Tell in which state a document is, and which verbs it has instead of the one that was asked for."""
    kind = DocumentKind(command.lines[0].reason)
    name, state = kind.name.lower(), STATES[kind](outcome.state).name
    if status is not Status.VERB_NOT_ALLOWED:
        return refusals.wrong_state(status.name, name, state)
    verbs, method = VERBS[kind], FulfillmentMethod(outcome.version)
    allowed = [verbs(verb).name for verb in allowed_verbs(kind, outcome.state, method)]
    return refusals.verb_not_allowed(name, state, method.name, verbs(command.lines[0].kind).name, allowed)


def no_document(kind: str, name: str) -> RefusedError:
    """Return the refusal of a document that the engine does not know."""
    return refused_as(refusals.no_document(kind, name))


def reused(field: str) -> RefusedError:
    """Return the refusal of a request id that was used before with other content."""
    return refused_as(refusals.reused(field))


def wrong_version(field: str, expected: int, was: int) -> RefusedError:
    """Return the refusal of a version that is not the current one."""
    return refused_as(refusals.wrong_version(field, expected, was))


def hold_lost(status: int) -> RefusedError:
    """Return the refusal of a hold that cannot have other lines, whatever these are."""
    return refused_as(refusals.plain(Status(status).name))


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
    tell = refusals.not_stocked if status is Status.NOT_STOCKED_HERE else refusals.inactive
    told = tell(field, sku, location)
    assert told.reason == status.name
    return refused_as(told)


def _holding_place(command: Command, line: Line) -> tuple[str, str]:
    """Field and id of the location where a command would hold units."""
    if command.operation is Operation.TRANSFER:
        return line.path("to_location_id"), line.to_location_id
    return line.field or line.path("location_id"), line.location_id


def shortages_of(command: Command, outcome: Outcome, book: Book) -> list[Shortage]:
    """Return the short lines of a command, with what could be had of each."""
    shortages: list[Shortage] = []
    head = int(command.operation in OF_DOCUMENTS)  # its first line is no line of the request
    for line, level, requested, available in outcome.details.tolist():
        names = ("", "")
        if level >= 0:
            names = book.ledger.level_names(outcome.details["level"][len(shortages)].reshape(1))[0]
        elif command.lines:
            place = command.lines[0 if command.any_sku else line]
            names = place.sku_id, place.location_id
        shortages.append(
            Shortage(sku_id=names[0], location_id=names[1], requested=requested, available=available, line=line - head)
        )
    return shortages


def _short(status: Status, command: Command, outcome: Outcome, book: Book) -> RefusedError:
    if status is Status.QUANTITY_EXCEEDS_OPEN and command.any_sku:
        return refused_as(refusals.nothing_open(command.lines[0].location_id))
    shortages = shortages_of(command, outcome, book)
    return refused_as(refusals.short(status.name, shortages, sets_totals=command.operation is Operation.AMEND))
