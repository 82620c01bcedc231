"""What the largest requests are made of: a call, and its columns."""

from typing import Any, Final, NamedTuple

import numpy as np
from google.protobuf.message import Message
from onhand.columns import RequestColumns, ResponseColumns, dtypes_of, read_column, write_column
from onhand.inventory.v1 import bulk_service_pb2 as bulk

from bench.names import location_name, sku_name
from ledger.core import limits

PACKAGE: Final = "/onhand.inventory.v1."
BULK: Final = PACKAGE + "BulkService/ExecuteCommands"
WIDE: Final = limits.LINES_PER_RESERVATION_MAX
WIDE_HOLDS: Final = limits.LINES_PER_CALL_MAX // WIDE
"""Reservations with as many lines as there may be that one bulk call can change."""
ORIGIN, TARGET = 0, 1
"""Locations at which holds are, and where they go."""

_REQUEST: Final = dtypes_of(bulk.ExecuteCommandsRequest)
_RESPONSE: Final = dtypes_of(bulk.ExecuteCommandsResponse)


class Largest(NamedTuple):
    """One call."""

    rpc: str
    """Its path."""
    size: str
    """What makes it large."""
    request: Message


def columns(count: int, operation: str, **values: Any) -> RequestColumns:
    """Return a bulk call of one operation; columns are arrays, or one value for all."""
    operations = np.full(count, bulk.CommandOperation.Value(f"COMMAND_OPERATION_{operation}"))
    request = RequestColumns(sku_ids=values.pop("sku_ids", ()), location_ids=values.pop("location_ids", ()))
    for name, column in {"operations": operations, **values}.items():
        write_column(getattr(request, name), np.atleast_1d(column), _REQUEST[name])
    return request


def names(skus: int) -> dict[str, Any]:
    """Return the names of the first skus, and of the two locations."""
    return {
        "sku_ids": [sku_name(number) for number in range(skus)],
        "location_ids": [location_name(number) for number in (ORIGIN, TARGET)],
    }


def made_by(answer: bytes) -> list[int]:
    """Return the ids of what a bulk call made."""
    response = ResponseColumns.FromString(answer)
    return [int(number) for number in read_column(response.reservation_ids, _RESPONSE["reservation_ids"])]
