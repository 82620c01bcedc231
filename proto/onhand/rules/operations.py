"""What commands of each operation may have; the values of operations are those of the wire."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from onhand.inventory.v1 import bulk_service_pb2 as contract
from onhand.rules import limits


class Bounds(NamedTuple):
    """What commands of one operation may have."""

    lines_min: int
    lines_max: int
    quantity_min: int = 1
    has_ttl: bool = False
    has_version: bool = False
    has_reservation: bool = True
    merges_lines: bool = False
    """Two lines with one sku and location count together; else they are refused, but for movements. Those of a transfer
    count together where they say the same of one sku."""
    list_name: str = "lines"
    """What unary calls call the lines."""


_LINES: Final = limits.LINES_PER_RESERVATION_MAX
_MOVEMENTS: Final = limits.MOVEMENTS_PER_CALL_MAX
_TRANSFERRED: Final = limits.LINES_PER_DOCUMENT_MAX


def _verb(lines_min: int, lines_max: int) -> Bounds:
    """Return the bounds of a command about a transfer that is there."""
    return Bounds(lines_min, lines_max, has_version=True, has_reservation=False, merges_lines=True)


RULES: Final[Mapping[int, Bounds]] = {
    # what is not told below: a verb of a document that is there, without lines
    **{
        value: Bounds(0, 0, has_version=True, has_reservation=False)
        for value in contract.CommandOperation.values()
        if value
    },
    contract.COMMAND_OPERATION_RESERVE: Bounds(1, _LINES, has_ttl=True, has_reservation=False, merges_lines=True),
    contract.COMMAND_OPERATION_COMMIT: Bounds(0, _LINES, merges_lines=True),
    contract.COMMAND_OPERATION_RELEASE: Bounds(0, _LINES, merges_lines=True),
    contract.COMMAND_OPERATION_EXTEND: Bounds(0, 0, has_ttl=True),
    contract.COMMAND_OPERATION_AMEND: Bounds(1, _LINES, quantity_min=0, has_version=True),
    contract.COMMAND_OPERATION_REPLACE: Bounds(1, _LINES, has_ttl=True, has_version=True, merges_lines=True),
    contract.COMMAND_OPERATION_TRANSFER: Bounds(1, _LINES, has_version=True),
    contract.COMMAND_OPERATION_FULFILL: Bounds(0, _LINES, merges_lines=True),
    contract.COMMAND_OPERATION_CANCEL: Bounds(0, _LINES, merges_lines=True),
    contract.COMMAND_OPERATION_RECORD_MOVEMENTS: Bounds(1, _MOVEMENTS, has_reservation=False, list_name="movements"),
    contract.COMMAND_OPERATION_SET_ON_HAND: Bounds(
        1, _MOVEMENTS, quantity_min=0, has_reservation=False, list_name="counts"
    ),
    contract.COMMAND_OPERATION_CREATE_TRANSFER: Bounds(1, _TRANSFERRED, has_reservation=False, merges_lines=True),
    contract.COMMAND_OPERATION_DISPATCH_TRANSFER: _verb(0, _TRANSFERRED),
    contract.COMMAND_OPERATION_RECEIVE_TRANSFER: _verb(0, _TRANSFERRED),
    contract.COMMAND_OPERATION_RECORD_FOUND_UNITS: _verb(1, _TRANSFERRED),
    contract.COMMAND_OPERATION_CANCEL_TRANSFER: _verb(0, _TRANSFERRED)._replace(list_name="written_off"),
}
