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
    """Two lines with one sku and location count together; else they are refused, but for movements."""
    list_name: str = "lines"
    """What unary calls call the lines."""


_LINES: Final = limits.LINES_PER_RESERVATION_MAX
_MOVEMENTS: Final = limits.MOVEMENTS_PER_CALL_MAX
RULES: Final[Mapping[int, Bounds]] = {
    contract.COMMAND_OPERATION_RESERVE: Bounds(1, _LINES, has_ttl=True, has_reservation=False, merges_lines=True),
    contract.COMMAND_OPERATION_COMMIT: Bounds(0, _LINES, merges_lines=True),
    contract.COMMAND_OPERATION_RELEASE: Bounds(0, _LINES, merges_lines=True),
    contract.COMMAND_OPERATION_EXTEND: Bounds(0, 0, has_ttl=True),
    contract.COMMAND_OPERATION_AMEND: Bounds(1, _LINES, quantity_min=0, has_version=True),
    contract.COMMAND_OPERATION_TRANSFER: Bounds(1, _LINES, has_version=True),
    contract.COMMAND_OPERATION_FULFILL: Bounds(0, _LINES, merges_lines=True),
    contract.COMMAND_OPERATION_CANCEL: Bounds(0, _LINES, merges_lines=True),
    contract.COMMAND_OPERATION_RECORD_MOVEMENTS: Bounds(1, _MOVEMENTS, has_reservation=False, list_name="movements"),
    contract.COMMAND_OPERATION_SET_ON_HAND: Bounds(
        1, _MOVEMENTS, quantity_min=0, has_reservation=False, list_name="counts"
    ),
}
