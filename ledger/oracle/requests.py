"""What a command says, in plain Python: read from its columns, and compared with what came before under its id."""

from __future__ import annotations

from typing import Final

from ledger.core.records import ALLOW_PARTIAL, SETS_BACKORDER_LIMIT, SETS_SAFETY_STOCK, USES_SAFETY_STOCK, Batch
from ledger.core.statuses import Operation
from ledger.oracle.books import Command, Line


def commands_of(batch: Batch) -> list[Command]:
    """Read the columns."""
    lines = [Line(*row) for row in batch.lines.tolist()]
    commands = []
    for row in batch.commands.tolist():
        command = Command(*row)
        start = command.line_start
        commands.append(command._replace(lines=tuple(lines[start : start + command.line_count])))
    return commands


def assert_once(command: Command) -> None:
    """Callers merge or refuse lines that repeat a stock level."""
    levels = [line.level for line in command.lines]
    assert len(set(levels)) == len(levels)


def differing_fields(first: Command, again: Command) -> list[str]:
    """Name the fields in which the content differs, in the order in which they are looked at."""
    one, other = contents(first), contents(again)
    return [name for name, part in one.items() if other[name] != part]


def contents(command: Command) -> dict[str, object]:
    """Give the content of a command by the field that names it; not what the catalog decided."""
    return {
        "method": (SAME_CALL.get(command.operation, command.operation), command.flags & METHOD_FLAGS),
        "reservation_id": command.reservation_id,
        "expected_version": command.expected_version,
        "lines": [(*line.level, line.to_location, line.kind, line.reason, line.method) for line in command.lines],
        "quantity": [(line.quantity, line.to_quantity) for line in command.lines],
        "ttl": command.ttl_us,
        "content": command.content,
    }


SAME_CALL: Final[dict[int, int]] = {
    Operation.REMEMBER: Operation.CHANGE_CATALOG,  # what was decided elsewhere, whether the catalog changed or not
    Operation.REPLACE: Operation.RESERVE,  # by whether a reservation is named
}
TO_OTHER_PLACES: Final = (
    Operation.TRANSFER,
    Operation.RECORD_MOVEMENTS,
    Operation.ADVANCE,
    Operation.ADVANCE_FULFILLMENT,
)
"""Operations whose lines may say a second location."""
METHOD_FLAGS: Final = ALLOW_PARTIAL | SETS_SAFETY_STOCK | SETS_BACKORDER_LIMIT | USES_SAFETY_STOCK


def is_too_old(request_id_high: int, oldest_us: int) -> bool:
    """Say whether a request id is a UUIDv7 (RFC 9562) made before the oldest time; other UUIDs have no time."""
    is_uuid7 = (request_id_high >> 12) & 0xF == 7
    return is_uuid7 and (request_id_high >> 16) < oldest_us // 1000
