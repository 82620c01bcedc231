"""Commands of the bulk path: each function checks the arguments of one call and returns its command."""

import uuid
from collections.abc import Sequence
from enum import IntEnum
from operator import index
from typing import Any, Final, Generic, NamedTuple, TypedDict, TypeVar, Unpack

import msgspec
from onhand.client import checks, limits
from onhand.client.checks import Line
from onhand.client.errors import invalid
from onhand.client.request_ids import request_id_bytes
from onhand.client.results import Changed, Extended, MovementType, Recorded, Reserved, UnavailableReason
from onhand.inventory.v1.stock_pb2 import MovementType as MovementTypes

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


class WriteOptions(TypedDict, total=False):
    """What every write takes."""

    request_id: str | uuid.UUID
    """Makes a repeat harmless; a fresh UUIDv7 if it is not given."""
    reference: str
    """The caller's reference (a cart, an order, a receipt), at most 64 bytes; kept in the history."""
    actor: str
    """Who did it, at most 64 bytes; kept in the history."""
    deadline_seconds: float
    """What the call may take, retries included; the client's deadline if it is not given."""


class NoteOptions(TypedDict, total=False):
    """What a write of many orders takes; reference and actor are those of all."""

    reference: str
    actor: str
    deadline_seconds: float


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
    lines: Sequence[Line],
    options: WriteOptions,
    *,
    reservation_id: int = 0,
    ttl_us: int = 0,
    allow_partial: bool = False,
    expected_version: int = 0,
    positions: Sequence[int] = (),
    extras: Sequence[Extra] = (),
) -> Command[Any]:
    """Check what every write takes."""
    return Command(
        operation,
        lines,
        request_id_bytes(options.get("request_id")),
        reservation_id,
        ttl_us,
        allow_partial,
        expected_version,
        checks.note(options.get("reference", ""), "reference"),
        checks.note(options.get("actor", ""), "actor"),
        positions,
        extras,
        options.get("deadline_seconds"),
    )


def reserve(
    lines: Sequence[Line], ttl_seconds: float, *, allow_partial: bool = False, **options: Unpack[WriteOptions]
) -> Command[Reserved]:
    """Check a reservation to be made."""
    merged, positions = checks.units_of(lines)
    return _command(
        Operation.RESERVE,
        merged,
        options,
        ttl_us=checks.ttl_us(ttl_seconds),
        allow_partial=bool(allow_partial),
        positions=positions,
    )


def _units(operation: Operation, reservation_id: str, lines: Sequence[Line], options: WriteOptions) -> Command[Changed]:
    """Check a command that names a reservation and perhaps some of its units."""
    merged, positions = checks.units_of(lines, at_least=0) if lines else ((), ())
    number = checks.reservation_number(reservation_id)
    return _command(operation, merged, options, reservation_id=number, positions=positions)


def commit(reservation_id: str, lines: Sequence[Line] = (), **options: Unpack[WriteOptions]) -> Command[Changed]:
    """Check a commit."""
    return _units(Operation.COMMIT, reservation_id, lines, options)


def release(reservation_id: str, lines: Sequence[Line] = (), **options: Unpack[WriteOptions]) -> Command[Changed]:
    """Check a release."""
    return _units(Operation.RELEASE, reservation_id, lines, options)


def fulfill(reservation_id: str, lines: Sequence[Line] = (), **options: Unpack[WriteOptions]) -> Command[Changed]:
    """Check a fulfillment."""
    return _units(Operation.FULFILL, reservation_id, lines, options)


def cancel(reservation_id: str, lines: Sequence[Line] = (), **options: Unpack[WriteOptions]) -> Command[Changed]:
    """Check a cancellation."""
    return _units(Operation.CANCEL, reservation_id, lines, options)


def extend(reservation_id: str, ttl_seconds: float, **options: Unpack[WriteOptions]) -> Command[Extended]:
    """Check an extension."""
    number = checks.reservation_number(reservation_id)
    return _command(Operation.EXTEND, (), options, reservation_id=number, ttl_us=checks.ttl_us(ttl_seconds))


def amend(
    reservation_id: str, lines: Sequence[Line], *, expected_version: int = 0, **options: Unpack[WriteOptions]
) -> Command[Changed]:
    """Check new totals of some lines."""
    checks.count_of(lines, "lines", limits.LINES_PER_RESERVATION_MAX)
    checked = [checks.line(item, f"lines[{position}]", at_least=0) for position, item in enumerate(lines)]
    checks.unique(((sku_id, location_id) for sku_id, location_id, _ in checked), "lines")
    return _command(
        Operation.AMEND,
        checked,
        options,
        reservation_id=checks.reservation_number(reservation_id),
        expected_version=checks.version(expected_version),
    )


def transfer(
    reservation_id: str,
    from_location_id: str,
    to_location_id: str,
    lines: Sequence[tuple[str, int]] = (),
    *,
    expected_version: int = 0,
    **options: Unpack[WriteOptions],
) -> Command[Changed]:
    """Check a hold to be moved; lines are skus and units, none for all that is open there."""
    origin = checks.identifier(from_location_id, "from_location_id")
    target = checks.identifier(to_location_id, "to_location_id")
    if origin == target:
        raise invalid("to_location_id", "another location than from_location_id", target)
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
        checked or [("", origin, 0)],
        options,
        reservation_id=checks.reservation_number(reservation_id),
        expected_version=checks.version(expected_version),
        extras=[Extra(target)] * max(len(checked), 1),
    )


def set_on_hand(counts: Sequence[Line], **options: Unpack[WriteOptions]) -> Command[Recorded]:
    """Check what was counted."""
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
    return _command(Operation.SET_ON_HAND, checked, options)


# ---- movements -------------------------------------------------------------------------------------------------------

RECORDABLE: Final = frozenset(range(MovementType.RECEIVE, MovementType.COUNT))
NEEDS_REASON: Final = (MovementType.MARK_UNAVAILABLE, MovementType.MARK_AVAILABLE, MovementType.WRITE_OFF)


def movements_of(
    kind: MovementType, lines: Sequence[Line], reason: UnavailableReason = UnavailableReason.NONE
) -> list[NewMovement]:
    """Return movements of one type, one for each line."""
    return [NewMovement(kind, sku_id, location_id, units, reason) for sku_id, location_id, units in lines]


def record_movements(movements: Sequence[NewMovement], **options: Unpack[WriteOptions]) -> Command[Recorded]:
    """Check movements to be recorded."""
    checks.count_of(movements, "movements", limits.MOVEMENTS_PER_CALL_MAX)
    for position, movement in enumerate(movements):
        _check_movement(movement, f"movements[{position}]")
    return _command(
        Operation.RECORD_MOVEMENTS,
        [(each.sku_id, each.location_id, each.quantity) for each in movements],
        options,
        extras=[Extra(each.to_location_id, each.type, each.unavailable_reason) for each in movements],
    )


def _check_movement(movement: NewMovement, field: str) -> None:
    kind = movement.type
    if kind not in RECORDABLE:
        told = MovementTypes.Name(kind) if kind in MovementTypes.values() else kind
        raise invalid(f"{field}.type", "a movement type that is not output only", told)
    if kind == MovementType.ADJUST:
        if not 0 < abs(index(movement.quantity)) <= limits.QUANTITY_MAX:
            expected = f"{-limits.QUANTITY_MAX} to {limits.QUANTITY_MAX}, not 0"
            raise invalid(f"{field}.quantity", expected, movement.quantity)
    else:
        checks.quantity(movement.quantity, f"{field}.quantity")
    _check_target(movement, f"{field}.to_location_id")
    checks.identifier(movement.sku_id, f"{field}.sku_id")
    checks.identifier(movement.location_id, f"{field}.location_id")
    _check_reason(movement, f"{field}.unavailable_reason")


def _check_target(movement: NewMovement, field: str) -> None:
    target = movement.to_location_id
    if movement.type != MovementType.TRANSFER:
        if target:
            raise invalid(field, "nothing: only a TRANSFER has it", target)
    elif checks.identifier(target, field) == movement.location_id:
        raise invalid(field, "another location than location_id", target)


def _check_reason(movement: NewMovement, field: str) -> None:
    """Check the unavailable reason that a movement has, must have, or must not have."""
    kind, reason = movement.type, int(movement.unavailable_reason)
    if kind == MovementType.DAMAGE:
        if reason not in (UnavailableReason.NONE, UnavailableReason.DAMAGED):
            raise invalid(field, "nothing, or DAMAGED", reason)
    elif reason not in tuple(UnavailableReason):
        raise invalid(field, "a reason of UnavailableReason", reason)
    elif kind in NEEDS_REASON and not reason:
        raise invalid(field, "a reason", reason)
    elif reason and kind not in (*NEEDS_REASON, MovementType.RETURN):
        raise invalid(field, f"nothing for MOVEMENT_TYPE_{kind.name}", reason)
