"""Saying why a command of a bulk call was refused: in the words, and with the facts, of the engine's unary calls."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from onhand.client.commands import OF_TRANSFERS, Command, Operation
from onhand.client.errors import RefusedError, newer_refusal, refused_as
from onhand.client.results import Shortage, TransferState
from onhand.inventory.v1.bulk_service_pb2 import CommandStatus, DifferingField
from onhand.rules import refusals
from onhand.rules.checks import document_name
from onhand.rules.operations import RULES
from onhand.rules.reasons import REASONS
from onhand.rules.refusals import Told

REASON_OF: Final[Mapping[int, str]] = {
    value: name.removeprefix("COMMAND_STATUS_") for name, value in CommandStatus.items()
}
UNKNOWN_FROM: Final = 2**63
"""No id that an engine gives is so high."""
ABOUT_LINES: Final = ("SKU_NOT_FOUND", "LOCATION_NOT_FOUND", "NOT_STOCKED_HERE", "LOCATION_INACTIVE")
DIFFERING_FIELDS: Final[Mapping[int, str]] = {
    value: name.removeprefix("DIFFERING_FIELD_").lower() if value else "content"
    for name, value in DifferingField.items()
}


class Detail(msgspec.Struct, frozen=True, gc=False):
    """What a bulk answer says about one line of a command; names are empty where it has none."""

    line: int
    sku_id: str
    location_id: str
    requested: int
    available: int
    is_to_location: bool


def refused(
    command: Command[Any], status: int, version: int, differing: int, details: Sequence[Detail]
) -> RefusedError:
    """Return the refusal of a command.

    Parameters
    ----------
    command
        What was asked.
    status
        Value of CommandStatus; one that only a newer engine knows is called STATUS_ and its number.
    version
        Of VERSION_MISMATCH, the version that the reservation or transfer has.
    differing
        Of REQUEST_ID_REUSED, what differed: a value of DifferingField.
    details
        Of this command.
    """
    reason = REASON_OF.get(status, f"STATUS_{status}")
    if reason in REASONS and REASONS[reason].sentence:
        return refused_as(refusals.plain(reason))
    if reason == "REQUEST_ID_REUSED":
        return refused_as(refusals.reused(DIFFERING_FIELDS.get(differing, f"OTHER_{differing}")))
    if reason == "VERSION_MISMATCH":
        return refused_as(refusals.wrong_version("expected_version", version, command.expected_version))
    if reason in ("INSUFFICIENT_STOCK", "QUANTITY_EXCEEDS_OPEN"):
        return refused_as(_short(command, reason, details))
    if reason in ABOUT_LINES:
        return refused_as(_about_line(command, reason, details[0]))
    return newer_refusal(reason)


def refused_transfer(command: Command[Any], status: int, state: int, details: Sequence[Detail]) -> RefusedError | None:
    """Return the refusal of a command because of the transfer itself; None if it is of something else.

    Parameters
    ----------
    command, status, details
        As in `refused`.
    state
        Of DOCUMENT_NOT_BEGUN and DOCUMENT_ENDED, the state that the transfer has.
    """
    reason = REASON_OF.get(status, "")
    told = _of_transfer(command, reason, state, details) if command.operation in OF_TRANSFERS else None
    return refused_as(told) if told else None


def _of_transfer(command: Command[Any], reason: str, state: int, details: Sequence[Detail]) -> Told | None:
    begins = command.operation is Operation.CREATE_TRANSFER
    if reason == "WRONG_SHARD":
        return refusals.of_other_shard("reservation_id" if begins else "transfer_id")
    if reason == "DOCUMENT_NOT_FOUND":
        number = command.reservation_id
        return refusals.no_document("transfer", document_name(number) if number < UNKNOWN_FROM else "")
    if reason in ("DOCUMENT_NOT_BEGUN", "DOCUMENT_ENDED"):
        return refusals.wrong_state(reason, "transfer", TransferState(state).name)
    if reason == "TOO_MANY_LINES":
        return refusals.too_many_documents() if begins else refusals.too_many_lines_of("transfer")
    if reason == "QUANTITY_EXCEEDS_OPEN" and not details:
        return refusals.nothing_left("transfer")
    return None


# ---- lines -----------------------------------------------------------------------------------------------------------


def _path(command: Command[Any], line: int, name: str) -> str:
    """Return the field of a name of a line, as the unary call has it."""
    if command.operation in (Operation.TRANSFER, Operation.CREATE_TRANSFER) and name != "sku_id":
        return "from_location_id" if name == "location_id" else name
    return f"{_item(command, line)}.{name}"


def _item(command: Command[Any], line: int) -> str:
    """Return the field of a line."""
    position = command.positions[line] if command.positions else line
    return f"{RULES[command.operation].list_name}[{position}]"


def _about_line(command: Command[Any], reason: str, detail: Detail) -> Told:
    line = 0 if command.is_any_sku else detail.line
    sku_id, location_id, _ = command.lines[line]
    target = command.extras[line].to_location_id if command.extras else ""
    if reason == "SKU_NOT_FOUND":
        return refusals.missing(reason, _path(command, line, "sku_id"), "sku", sku_id)
    if reason == "LOCATION_NOT_FOUND":
        if detail.is_to_location:
            return refusals.missing(reason, _path(command, line, "to_location_id"), "location", target)
        return refusals.missing(reason, _path(command, line, "location_id"), "location", location_id)
    field = _item(command, line)
    if command.operation is Operation.TRANSFER:
        field, location_id = "to_location_id", target
    tell = refusals.not_stocked if reason == "NOT_STOCKED_HERE" else refusals.inactive
    return tell(field, detail.sku_id or sku_id, location_id)


def shortages_of(command: Command[Any], details: Sequence[Detail]) -> tuple[Shortage, ...]:
    """Return the short lines of a command, with what could be had of each."""
    shortages = []
    for detail in details:
        names = detail.sku_id, detail.location_id
        if not detail.sku_id and command.lines:
            names = command.lines[0 if command.is_any_sku else detail.line][:2]
        shortages.append(Shortage(*names, detail.requested, detail.available, detail.line))
    return tuple(shortages)


def _short(command: Command[Any], reason: str, details: Sequence[Detail]) -> Told:
    if reason == "QUANTITY_EXCEEDS_OPEN" and command.is_any_sku:
        return refusals.nothing_open(command.lines[0][1])
    sets_totals = command.operation is Operation.AMEND
    return refusals.short(reason, shortages_of(command, details), sets_totals=sets_totals)
