"""Commands of the bulk path: each function checks the arguments of one call and returns its command."""

import uuid
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final, Generic, NamedTuple, TypedDict, TypeVar, Unpack

import msgspec
from onhand.client import checks
from onhand.client.arguments import (
    Count,
    Line,
    Seconds,
    SkuUnits,
    checks_names,
    flag,
    member,
    number_of,
    seconds,
    text,
    whole,
)
from onhand.client.request_ids import request_id_bytes
from onhand.client.results import Changed, Extended, MovementType, Recorded, Reserved, UnavailableReason
from onhand.inventory.v1.bulk_service_pb2 import CommandOperation
from onhand.inventory.v1.stock_pb2 import MovementType as MovementTypes
from onhand.rules import limits

Result = TypeVar("Result")


class Operation(IntEnum):
    """What a command does; the values are those of the wire."""

    RESERVE = 1
    COMMIT = 2
    RELEASE = 3
    EXTEND = 4
    AMEND = 5
    TRANSFER = 6
    FULFILL = 7
    CANCEL = 8
    RECORD_MOVEMENTS = 9
    SET_ON_HAND = 10
    REPLACE = 16
    CREATE_TRANSFER = 21
    DISPATCH_TRANSFER = 22
    RECEIVE_TRANSFER = 23
    CLOSE_TRANSFER = 24
    RECORD_FOUND_UNITS = 25
    CANCEL_TRANSFER = 26


OF_TRANSFERS: Final = frozenset(
    each for each in Operation if each.name.endswith("_TRANSFER") or each.name == "RECORD_FOUND_UNITS"
)
"""What columns alone can ask for here: one at a time, a call of TransferService does it."""
assert {name.removeprefix("COMMAND_OPERATION_"): value for name, value in CommandOperation.items() if value} == {
    operation.name: operation.value for operation in Operation
}


class WriteOptions(TypedDict, total=False):
    """What every write takes."""

    request_id: str | uuid.UUID | None
    """Makes a repeat harmless; a fresh UUIDv7 if it is not given."""
    reference: str
    """The caller's reference (a cart, an order, a receipt), at most 64 bytes; kept in the history."""
    actor: str
    """Who did it, at most 64 bytes; kept in the history."""
    deadline_seconds: Seconds | None
    """What the call may take, retries included; the client's deadline if it is not given."""


class NoteOptions(TypedDict, total=False):
    """What a write of many orders takes; reference and actor are those of all."""

    reference: str
    actor: str
    deadline_seconds: Seconds | None


@checks_names
class NewMovement(NamedTuple):
    """One movement to record."""

    type: MovementType
    sku_id: str
    location_id: str
    quantity: int
    """Units, 1 to 2,147,483,647; for ADJUST also negative, never 0."""
    unavailable_reason: UnavailableReason = UnavailableReason.NONE
    """Required for MARK_UNAVAILABLE, MARK_AVAILABLE and WRITE_OFF, allowed for RETURN, refused elsewhere."""
    to_location_id: str = ""
    """Where the units go; required for TRANSFER, refused elsewhere."""


class Extra(NamedTuple):
    """What lines of some operations have beside sku, location and units."""

    to_location_id: str
    movement_type: int = 0
    unavailable_reason: int = 0


class Command(msgspec.Struct, Generic[Result], frozen=True, gc=False):
    """One command, checked; `Result` is what comes of it."""

    operation: Operation
    lines: Sequence[Line]
    request_id: bytes
    reservation_id: int = 0
    ttl_us: int = 0
    allow_partial: bool = False
    expected_version: int = 0
    reference: str = ""
    actor: str = ""
    positions: Sequence[int] = ()
    """Of the lines in the call, where some counted together."""
    extras: Sequence[Extra] = ()
    """One for each line, or none."""
    deadline_seconds: float | None = None

    @property
    def is_any_sku(self) -> bool:
        """Whether it moves all that is open at a location: its one line names no sku."""
        return bool(self.lines) and not self.lines[0][0]


def _command(
    operation: Operation,
    units: checks.Units,
    options: WriteOptions,
    *,
    reservation_id: int = 0,
    ttl_us: int = 0,
    allow_partial: bool = False,
    expected_version: int = 0,
    extras: Sequence[Extra] = (),
) -> Command[Any]:
    """Add what every write takes, and take it out of the options: a TypeError if something is left."""
    request_id, reference, actor, deadline_seconds = options.pop("request_id", None), "", "", None
    if options:
        reference = checks.note(options.pop("reference", ""), "reference")
        actor = checks.note(options.pop("actor", ""), "actor")
        deadline_seconds = options.pop("deadline_seconds", None)
        if deadline_seconds is not None:
            deadline_seconds = seconds(deadline_seconds, "deadline_seconds")
    if options:
        raise TypeError(f"expected no other options than those of WriteOptions, was {', '.join(options)}")
    lines, positions = units
    return Command(
        operation,
        lines,
        request_id_bytes(request_id),
        reservation_id,
        ttl_us,
        allow_partial,
        expected_version,
        reference,
        actor,
        positions,
        extras,
        deadline_seconds,
    )


def reserve(
    lines: Sequence[Line],
    *,
    ttl_seconds: float,
    allow_partial: bool = False,
    reservation_id: str = "",
    expected_version: int = 0,
    **options: Unpack[WriteOptions],
) -> Command[Reserved]:
    """Hold all lines, or none unless allow_partial; or let a hold have these lines and no others.

    Parameters
    ----------
    lines
        Skus, locations and units, 1 to 100; the same sku and location in two lines counts together.
    ttl_seconds
        How long the hold counts, at most 14,400.
    allow_partial
        Hold of each line what there is; refused only if there is nothing at all. Not with reservation_id.
    reservation_id
        An ACTIVE reservation that shall have these lines and no others, all or none, under its id: what it holds is
        free for it. Empty: a new one.
    expected_version
        Of that reservation, as the caller saw it; 0: any.
    options
        See WriteOptions.

    Raises
    ------
    InsufficientStock, SkuNotFound, LocationNotFound, NotStockedHere, LocationInactive
        With reservation_id also ReservationNotFound, ReservationExpired, ReservationNotActive and VersionMismatch.
    """
    units, number = checks.units_of(lines), 0
    is_partial = allow_partial if allow_partial.__class__ is bool else flag(allow_partial, "allow_partial")
    if reservation_id != "":  # None is wrong, not nothing
        number = checks.reservation_number(reservation_id)
        if is_partial:
            checks.wrong("allow_partial", "false with reservation_id: all lines or none", is_partial)
    elif expected_version != 0:
        checks.wrong("expected_version", "0 without reservation_id", whole(expected_version, "expected_version"))
    return _command(
        Operation.REPLACE if number else Operation.RESERVE,
        units,
        options,
        reservation_id=number,
        ttl_us=checks.ttl_us(ttl_seconds),
        allow_partial=is_partial,
        expected_version=checks.version(expected_version) if expected_version else 0,
    )


def _units(operation: Operation, reservation_id: str, lines: Sequence[Line], options: WriteOptions) -> Command[Changed]:
    """Check a command that names a reservation and perhaps some of its units."""
    units = checks.NO_UNITS if lines == () else checks.units_of(lines, at_least=0)
    return _command(operation, units, options, reservation_id=checks.reservation_number(reservation_id))


def commit(reservation_id: str, lines: Sequence[Line] = (), **options: Unpack[WriteOptions]) -> Command[Changed]:
    """Turn an ACTIVE reservation into a hard hold; with lines, only those units, and the rest is released.

    Raises
    ------
    ReservationNotFound, ReservationExpired, ReservationNotActive, QuantityExceedsOpen
    """
    return _units(Operation.COMMIT, reservation_id, lines, options)


def release(reservation_id: str, lines: Sequence[Line] = (), **options: Unpack[WriteOptions]) -> Command[Changed]:
    """Give back an ACTIVE reservation; with lines, only those units. Raises as `commit`."""
    return _units(Operation.RELEASE, reservation_id, lines, options)


def fulfill(reservation_id: str, lines: Sequence[Line] = (), **options: Unpack[WriteOptions]) -> Command[Changed]:
    """Hand committed units to the customer; with lines, only those units.

    Raises
    ------
    ReservationNotFound, ReservationNotCommitted, QuantityExceedsOpen, InsufficientStock
    """
    return _units(Operation.FULFILL, reservation_id, lines, options)


def cancel(reservation_id: str, lines: Sequence[Line] = (), **options: Unpack[WriteOptions]) -> Command[Changed]:
    """Give committed units back; with lines, only those units. Raises as `fulfill`."""
    return _units(Operation.CANCEL, reservation_id, lines, options)


def extend(reservation_id: str, *, ttl_seconds: float, **options: Unpack[WriteOptions]) -> Command[Extended]:
    """Set the end of an ACTIVE reservation to `ttl_seconds` from now. Raises as `commit`."""
    number = checks.reservation_number(reservation_id)
    return _command(
        Operation.EXTEND, checks.NO_UNITS, options, reservation_id=number, ttl_us=checks.ttl_us(ttl_seconds)
    )


def amend(
    reservation_id: str, lines: Sequence[Line], *, expected_version: int = 0, **options: Unpack[WriteOptions]
) -> Command[Changed]:
    """Set the totals of some lines of an ACTIVE or COMMITTED reservation, all or none; 0 drops a line.

    Raises
    ------
    VersionMismatch, TooManyLines
        And as `reserve` and `commit`.
    """
    checks.count_of(lines, "lines", limits.LINES_PER_RESERVATION_MAX)
    checked = [checks.line(item, f"lines[{position}]", at_least=0) for position, item in enumerate(lines)]
    checks.unique(((sku_id, location_id) for sku_id, location_id, _ in checked), "lines")
    return _command(
        Operation.AMEND,
        (checked, ()),
        options,
        reservation_id=checks.reservation_number(reservation_id),
        expected_version=checks.version(expected_version),
    )


def transfer_reservation(
    reservation_id: str,
    from_location_id: str,
    to_location_id: str,
    lines: Sequence[SkuUnits] = (),
    *,
    expected_version: int = 0,
    **options: Unpack[WriteOptions],
) -> Command[Changed]:
    """Move a hold to another location, all or none; lines are skus and units, none for all. Raises as `amend`."""
    origin = checks.identifier(from_location_id, "from_location_id")
    target = checks.identifier(to_location_id, "to_location_id")
    if origin == target:
        checks.wrong("to_location_id", "another location than from_location_id", target)
    checks.count_of(lines, "lines", limits.LINES_PER_RESERVATION_MAX, at_least=0)
    checked = [
        (
            checks.identifier(sku_id, f"lines[{position}].sku_id"),
            origin,
            checks.quantity(units, f"lines[{position}].quantity"),
        )
        for position, (sku_id, units) in enumerate(lines)
    ]
    checks.unique((sku_id for sku_id, _, _ in checked), "lines")
    return _command(
        Operation.TRANSFER,
        (checked or [("", origin, 0)], ()),
        options,
        reservation_id=checks.reservation_number(reservation_id),
        expected_version=checks.version(expected_version),
        extras=[Extra(target)] * max(len(checked), 1),
    )


def set_on_hand(counts: Sequence[Count], **options: Unpack[WriteOptions]) -> Command[Recorded]:
    """Set on_hand to what was counted, all or none; 1 to 8,192 skus, locations and units."""
    checks.count_of(counts, "counts", limits.MOVEMENTS_PER_CALL_MAX)
    checked = [
        (
            checks.identifier(sku_id, f"counts[{position}].sku_id"),
            checks.identifier(location_id, f"counts[{position}].location_id"),
            checks.quantity(on_hand, f"counts[{position}].on_hand", at_least=0),
        )
        for position, (sku_id, location_id, on_hand) in enumerate(counts)
    ]
    checks.unique(((sku_id, location_id) for sku_id, location_id, _ in checked), "counts")
    return _command(Operation.SET_ON_HAND, (checked, ()), options)


# ---- movements -------------------------------------------------------------------------------------------------------

RECORDABLE: Final = frozenset(
    {
        MovementType.RECEIVE,
        MovementType.SALE,
        MovementType.RETURN,
        MovementType.ADJUST,
        MovementType.DAMAGE,
        MovementType.MARK_UNAVAILABLE,
        MovementType.MARK_AVAILABLE,
        MovementType.WRITE_OFF,
        MovementType.TRANSFER,
    }
)
"""All others are output only."""
NEEDS_REASON: Final = (MovementType.MARK_UNAVAILABLE, MovementType.MARK_AVAILABLE, MovementType.WRITE_OFF)


def record_movements(movements: Sequence[NewMovement], **options: Unpack[WriteOptions]) -> Command[Recorded]:
    """Record 1 to 8,192 movements in this order, all or none.

    Raises
    ------
    SkuNotFound, LocationNotFound, NotStockedHere
    InsufficientStock
        MARK_AVAILABLE or WRITE_OFF of more than is there.
    """
    return _record(movements, "movements", options)


def receive(lines: Sequence[Line], **options: Unpack[WriteOptions]) -> Command[Recorded]:
    """Record what a supplier brought."""
    return _record_lines(MovementType.RECEIVE, lines, options)


def sell(lines: Sequence[Line], **options: Unpack[WriteOptions]) -> Command[Recorded]:
    """Record what left over a till: a fact, always accepted; `oversold_levels` names promises that it broke."""
    return _record_lines(MovementType.SALE, lines, options)


def return_(
    lines: Sequence[Line],
    *,
    unavailable_reason: UnavailableReason = UnavailableReason.NONE,
    **options: Unpack[WriteOptions],
) -> Command[Recorded]:
    """Record what customers brought back: to free stock, or to unavailable stock of a reason."""
    return _record_lines(MovementType.RETURN, lines, options, _reason(unavailable_reason))


def adjust(lines: Sequence[Line], **options: Unpack[WriteOptions]) -> Command[Recorded]:
    """Correct stock by signed units: a fact, always accepted."""
    return _record_lines(MovementType.ADJUST, lines, options)


def damage(lines: Sequence[Line], **options: Unpack[WriteOptions]) -> Command[Recorded]:
    """Record what broke: it stays on hand, and may not be sold any more."""
    return _record_lines(MovementType.DAMAGE, lines, options)


def mark_unavailable(
    lines: Sequence[Line], *, unavailable_reason: UnavailableReason, **options: Unpack[WriteOptions]
) -> Command[Recorded]:
    """Record what is there and may not be sold, for a reason; `oversold_levels` names promises that it broke."""
    return _record_lines(MovementType.MARK_UNAVAILABLE, lines, options, _reason(unavailable_reason))


def mark_available(
    lines: Sequence[Line], *, unavailable_reason: UnavailableReason, **options: Unpack[WriteOptions]
) -> Command[Recorded]:
    """Record what may be sold again. Raises InsufficientStock for more than is unavailable for the reason."""
    return _record_lines(MovementType.MARK_AVAILABLE, lines, options, _reason(unavailable_reason))


def write_off(
    lines: Sequence[Line],
    *,
    unavailable_reason: UnavailableReason = UnavailableReason.DAMAGED,
    **options: Unpack[WriteOptions],
) -> Command[Recorded]:
    """Record that unavailable units are gone. Raises InsufficientStock for more than is unavailable for the reason."""
    return _record_lines(MovementType.WRITE_OFF, lines, options, _reason(unavailable_reason))


def _reason(value: UnavailableReason) -> UnavailableReason:
    return member(UnavailableReason, value, "unavailable_reason")


def _record_lines(
    kind: MovementType,
    lines: Sequence[Line],
    options: WriteOptions,
    reason: UnavailableReason = UnavailableReason.NONE,
) -> Command[Recorded]:
    """Check movements of one type, one for each line."""
    checks.count_of(lines, "lines", limits.MOVEMENTS_PER_CALL_MAX)
    movements = [NewMovement._make((kind, sku, location, units, reason, "")) for sku, location, units in lines]
    return _record(movements, "lines", options)


def _record(movements: Sequence[NewMovement], argument: str, options: WriteOptions) -> Command[Recorded]:
    """Check movements to be recorded, which the caller gave as `argument`."""
    checks.count_of(movements, argument, limits.MOVEMENTS_PER_CALL_MAX)
    for position, movement in enumerate(movements):
        _check_movement(movement, f"{argument}[{position}]")
    return _command(
        Operation.RECORD_MOVEMENTS,
        ([(each.sku_id, each.location_id, each.quantity) for each in movements], ()),
        options,
        extras=[Extra(each.to_location_id, each.type, each.unavailable_reason) for each in movements],
    )


def _check_movement(movement: NewMovement, field: str) -> None:
    kind: int = movement.type
    if kind.__class__ is not MovementType:
        kind = number_of(MovementType, kind, f"{field}.type")
    if kind not in RECORDABLE:
        told = MovementTypes.Name(kind) if kind in MovementTypes.values() else kind
        checks.wrong(f"{field}.type", "a movement type that is not output only", told)
        return
    if kind == MovementType.ADJUST:
        checks.signed_quantity(movement.quantity, f"{field}.quantity")
    else:
        checks.quantity(movement.quantity, f"{field}.quantity")
    _check_target(movement, f"{field}.to_location_id")
    checks.identifier(movement.sku_id, f"{field}.sku_id")
    checks.identifier(movement.location_id, f"{field}.location_id")
    _check_reason(movement, f"{field}.unavailable_reason")


def _check_target(movement: NewMovement, field: str) -> None:
    target = movement.to_location_id
    if movement.type != MovementType.TRANSFER:
        if target.__class__ is not str:
            text(target, field)
        if target:
            checks.wrong(field, "nothing: only a TRANSFER has it", target)
    elif checks.identifier(target, field) == movement.location_id:
        checks.wrong(field, "another location than location_id", target)


def _check_reason(movement: NewMovement, field: str) -> None:
    """Check the unavailable reason that a movement has, must have, or must not have."""
    kind, reason = movement.type, movement.unavailable_reason
    if reason.__class__ is not UnavailableReason:
        reason = UnavailableReason(number_of(UnavailableReason, reason, field))
    if kind == MovementType.DAMAGE:
        if reason not in (UnavailableReason.NONE, UnavailableReason.DAMAGED):
            checks.wrong(field, "nothing, or DAMAGED", int(reason))
    elif reason not in tuple(UnavailableReason):
        checks.wrong(field, "a reason of UnavailableReason", int(reason))
    elif kind in NEEDS_REASON and not reason:
        checks.wrong(field, "a reason", int(reason))
    elif reason and kind not in (*NEEDS_REASON, MovementType.RETURN):
        checks.wrong(field, f"nothing for MOVEMENT_TYPE_{MovementType(kind).name}", int(reason))
