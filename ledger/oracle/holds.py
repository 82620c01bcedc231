"""What operations on holds look at: in which states they are refused, and which units a command means."""

from __future__ import annotations

from typing import Final

from ledger.core.statuses import ReservationState, Status
from ledger.oracle.books import Command, Reservation, Result, Wanted, all_open

# States in which an operation is refused, and with what.
NOT_ACTIVE: Final = {
    ReservationState.EXPIRED: Status.RESERVATION_EXPIRED,
    ReservationState.RELEASED: Status.RESERVATION_NOT_ACTIVE,
    ReservationState.COMMITTED: Status.RESERVATION_NOT_ACTIVE,
}
NOT_COMMITTED: Final = {
    ReservationState.ACTIVE: Status.RESERVATION_NOT_COMMITTED,
    ReservationState.EXPIRED: Status.RESERVATION_NOT_COMMITTED,
    ReservationState.RELEASED: Status.RESERVATION_NOT_COMMITTED,
}
AMENDABLE_NOT: Final = {
    ReservationState.EXPIRED: Status.RESERVATION_EXPIRED,
    ReservationState.RELEASED: Status.RESERVATION_NOT_ACTIVE,
}


def open_at_location(found: Reservation, location: int) -> list[Wanted]:
    """List all open units at a location, line counted from 0."""
    here = [wanted for wanted in all_open(found) if wanted.level[1] == location]
    return [wanted._replace(line=index) for index, wanted in enumerate(here)]


def wanted_by(command: Command) -> list[Wanted]:
    """List the units that the lines of a command name."""
    return [Wanted(index, line.level, line.quantity) for index, line in enumerate(command.lines)]


def refused(refusal: Result | None) -> Result:
    """Say that there is a refusal."""
    assert refusal is not None
    return refusal
