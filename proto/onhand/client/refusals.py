"""Saying why a command of a bulk call was refused: in the words, and with the facts, of the engine's unary calls."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from onhand.client.commands import Command, Operation
from onhand.client.errors import SHOWN_CHARACTERS_MAX, Problem, RefusedError, newer_refusal, refusal, shown
from onhand.client.results import Shortage
from onhand.inventory.v1.bulk_service_pb2 import CommandStatus, DifferingField

SHORTAGES_NAMED_MAX: Final = 3
PLAIN: Final[Mapping[str, tuple[str, str]]] = {
    "REQUEST_ID_TOO_OLD": (
        "request_id",
        "this UUIDv7 is older than the engine remembers: read whether the write was done, and use a new id if not.",
    ),
    "RESERVATION_NOT_FOUND": ("reservation_id", "this reservation does not exist, or ended too long ago."),
    "RESERVATION_EXPIRED": ("reservation_id", "this reservation has expired; reserve again."),
    "RESERVATION_NOT_ACTIVE": ("reservation_id", "this reservation is not ACTIVE any more."),
    "RESERVATION_NOT_COMMITTED": ("reservation_id", "this reservation is not COMMITTED, or nothing of it is open."),
    "TOO_MANY_LINES": ("lines", "expected at most 100 lines in the reservation afterwards."),
}
REASON_OF: Final[Mapping[int, str]] = {
    value: name.removeprefix("COMMAND_STATUS_") for name, value in CommandStatus.items()
}
ABOUT_LINES: Final = ("SKU_NOT_FOUND", "LOCATION_NOT_FOUND", "NOT_STOCKED_HERE", "LOCATION_INACTIVE")
DIFFERING_FIELDS: Final[Mapping[int, str]] = {
    value: name.removeprefix("DIFFERING_FIELD_").lower() if value else "content"
    for name, value in DifferingField.items()
}
LISTS: Final = {Operation.RECORD_MOVEMENTS: "movements", Operation.SET_ON_HAND: "counts"}


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
        Of VERSION_MISMATCH, the version that the reservation has.
    differing
        Of REQUEST_ID_REUSED, what differed: a value of DifferingField.
    details
        Of this command.
    """
    reason = REASON_OF.get(status, f"STATUS_{status}")
    if reason in PLAIN:
        field, message = PLAIN[reason]
        return refusal(reason, f"{field}: {message}", metadata={"field": field})
    if reason == "REQUEST_ID_REUSED":
        return _reused(DIFFERING_FIELDS.get(differing, f"OTHER_{differing}"))
    if reason == "VERSION_MISMATCH":
        message = f"expected_version: expected {version}, was {command.expected_version}: read it again."
        return refusal(reason, message, metadata={"field": "expected_version", "version": str(version)})
    if reason in ("INSUFFICIENT_STOCK", "QUANTITY_EXCEEDS_OPEN"):
        return _short(command, reason, details)
    if reason in ABOUT_LINES:
        return _about_line(command, reason, details[0])
    return newer_refusal(reason)


def _reused(field: str) -> RefusedError:
    return refusal(
        "REQUEST_ID_REUSED",
        f"request_id: it was used before with other content: {field} differs; use a new id for a new request.",
        problems=(Problem("request_id", f"used before with another {field}"),),
        metadata={"field": field},
    )


# ---- lines -----------------------------------------------------------------------------------------------------------


def _path(command: Command[Any], line: int, name: str) -> str:
    """Return the field of a name of a line, as the unary call has it."""
    if command.operation is Operation.TRANSFER and name != "sku_id":
        return "from_location_id" if name == "location_id" else name
    return f"{_item(command, line)}.{name}"


def _item(command: Command[Any], line: int) -> str:
    """Return the field of a line."""
    position = command.positions[line] if command.positions else line
    return f"{LISTS.get(command.operation, 'lines')}[{position}]"


def _about_line(command: Command[Any], reason: str, detail: Detail) -> RefusedError:
    line = 0 if command.is_any_sku else detail.line
    sku_id, location_id, _ = command.lines[line]
    target = command.extras[line].to_location_id if command.extras else ""
    if reason == "SKU_NOT_FOUND":
        return _missing(reason, _path(command, line, "sku_id"), "sku", sku_id)
    if reason == "LOCATION_NOT_FOUND":
        if detail.is_to_location:
            return _missing(reason, _path(command, line, "to_location_id"), "location", target)
        return _missing(reason, _path(command, line, "location_id"), "location", location_id)
    field = _item(command, line)
    if command.operation is Operation.TRANSFER:
        field, location_id = "to_location_id", target
    sku_id = detail.sku_id or sku_id
    metadata = {"field": field, "sku": sku_id, "location": location_id}
    if reason == "NOT_STOCKED_HERE":
        return refusal(reason, f"{field}: {sku_id} is not stocked at {location_id}.", metadata=metadata)
    message = f"{field}: location {location_id} is inactive and takes no new holds."
    return refusal(reason, message, metadata=metadata)


def _missing(reason: str, field: str, kind: str, name: str) -> RefusedError:
    message = f"{field}: {kind} {shown(name)} does not exist; ids are case-sensitive."
    return refusal(reason, message, metadata={"field": field, kind: name[:SHOWN_CHARACTERS_MAX]})


def shortages_of(command: Command[Any], details: Sequence[Detail]) -> tuple[Shortage, ...]:
    """Return the short lines of a command, with what could be had of each."""
    shortages = []
    for detail in details:
        names = detail.sku_id, detail.location_id
        if not detail.sku_id and command.lines:
            names = command.lines[0 if command.is_any_sku else detail.line][:2]
        shortages.append(Shortage(*names, detail.requested, detail.available, detail.line))
    return tuple(shortages)


def _short(command: Command[Any], reason: str, details: Sequence[Detail]) -> RefusedError:
    if reason == "QUANTITY_EXCEEDS_OPEN" and command.is_any_sku:
        message = f"from_location_id: nothing of the reservation is open at {command.lines[0][1]}."
        return refusal(reason, message, metadata={"field": "from_location_id"})
    shortages = shortages_of(command, details)
    told = [_told(command, reason, short) for short in shortages[:SHORTAGES_NAMED_MAX]]
    if len(shortages) > len(told):
        told.append(f"and {len(shortages) - len(told)} more")
    first = shortages[0]
    return refusal(
        reason,
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


def _told(command: Command[Any], reason: str, short: Shortage) -> str:
    name = f"{short.sku_id} at {short.location_id}"
    if reason == "INSUFFICIENT_STOCK":
        return f"{name} has {short.available} available, {short.requested} were requested"
    if command.operation is Operation.AMEND:
        return f"{name} has {short.available} fulfilled, the new total was {short.requested}"
    return f"{name} has {short.available} open, {short.requested} were requested"
