"""Commands to the columns of one bulk call, and the columns of its answer to results."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, count, groupby
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onhand.client.commands import OF_TRANSFERS, Command, Extra, Operation
from onhand.client.errors import RefusedError
from onhand.client.refusals import Detail, refused, shortages_of
from onhand.client.results import Changed, Extended, OversoldLevel, Recorded, ReservationState, Reserved
from onhand.columns import VARINT_MAX, RequestColumns, ResponseColumns, dtypes_of, read_column, write_column
from onhand.inventory.v1 import bulk_service_pb2 as contract
from onhand.rpcs import rpc_of
from onhand.rules.checks import reservation_name

EXECUTE_PATH: Final = rpc_of(RequestColumns).path
REQUEST_DTYPES: Final = dtypes_of(contract.ExecuteCommandsRequest)
RESPONSE_DTYPES: Final = dtypes_of(contract.ExecuteCommandsResponse)
DETAIL_DTYPES: Final = dtypes_of(contract.CommandDetails)
OK: Final = contract.COMMAND_STATUS_OK
NO_EXTRA: Final = Extra("")
ALWAYS_IN_FULL: Final = ("sku_indexes",)


# ---- commands to columns ---------------------------------------------------------------------------------------------


def encode(commands: Sequence[Command[Any]]) -> bytes:
    """Return the request of a bulk call: a serialized ExecuteCommandsRequest. At least one command."""
    request = RequestColumns(request_ids=b"".join([command.request_id for command in commands]))
    line_counts = [len(command.lines) for command in commands]
    _put(request, "operations", [command.operation for command in commands])
    if line_counts.count(1) != len(line_counts):
        _write(request, "line_counts", line_counts, len(line_counts))
    _put(request, "reservation_ids", [command.reservation_id for command in commands])
    _put(request, "ttl_us", [command.ttl_us for command in commands])
    _put(request, "allow_partial", [command.allow_partial for command in commands])
    _put(request, "expected_versions", [command.expected_version for command in commands])
    references, actors = [each.reference for each in commands], [each.actor for each in commands]
    _put_names(request, "texts", reference_indexes=references, actor_indexes=actors)
    if any(line_counts):
        _put_lines(request, commands)
    return bytes(request.SerializeToString())


def _put_lines(request: Any, commands: Sequence[Command[Any]]) -> None:
    skus, locations, quantities = zip(*chain.from_iterable([command.lines for command in commands]), strict=True)
    _put_names(request, "sku_ids", sku_indexes=skus)
    _put(request, "quantities", quantities)
    if not any([command.extras for command in commands]):  # noqa: C419 - a list is faster than a generator
        _put_names(request, "location_ids", location_indexes=locations)
        return
    extras = chain.from_iterable([command.extras or [NO_EXTRA] * len(command.lines) for command in commands])
    targets, types, reasons = zip(*extras, strict=True)
    _put_names(request, "location_ids", location_indexes=locations, to_location_indexes=targets)
    _put(request, "movement_types", types)
    _put(request, "unavailable_reasons", reasons)


def _put(request: Any, field: str, values: Sequence[int]) -> None:
    """Fill a column, unless it is all 0."""
    if any(values):
        _write(request, field, values, len(values))


def _write(request: Any, field: str, values: Iterable[int], length: int) -> None:
    dtype = REQUEST_DTYPES[field]
    write_column(getattr(request, field), np.fromiter(values, dtype, length), dtype)


def _put_names(request: Any, dictionary: str, **columns: Sequence[str]) -> None:
    """Fill a dictionary of names and columns of indexes into it; no name is -1, and a column of those may be empty."""
    names = dict.fromkeys(chain.from_iterable(columns.values()))
    names.pop("", None)
    getattr(request, dictionary).extend(names)
    place_of = dict(zip(names, count(), strict=False))
    place_of[""] = -1
    for field, values in columns.items():
        if any(values) or field in ALWAYS_IN_FULL:
            _write(request, field, map(place_of.__getitem__, values), len(values))


# ---- columns to results ----------------------------------------------------------------------------------------------


def read_answer(payload: bytes, command_count: int) -> tuple[Any, dict[str, NDArray[Any]]]:
    """Return the answer of a bulk call and its columns, each of `command_count` entries.

    Raises
    ------
    ValueError
        It is no answer to so many commands.
    """
    try:
        answer = ResponseColumns.FromString(payload)
    except DecodeError as error:
        raise ValueError(f"expected an ExecuteCommandsResponse, was {len(payload)} bytes that are none") from error
    columns = {}
    for field, dtype in RESPONSE_DTYPES.items():
        values = read_column(getattr(answer, field), dtype)
        columns[field] = values if len(values) else np.zeros(command_count, dtype)
        if len(columns[field]) != command_count:
            raise ValueError(f"{field}: expected {command_count} entries, was {len(values)} entries")
    return answer, columns


def decode(commands: Sequence[Command[Any]], payload: bytes) -> list[Any]:
    """Return what came of each command: its result, or its RefusedError.

    Raises
    ------
    ValueError
        The payload is no answer to so many commands.
    """
    answer, columns = read_answer(payload, len(commands))
    details = details_of(answer) if answer.HasField("details") else {}
    rows = map(Row, *(columns[field].tolist() for field in ROW_COLUMNS))
    return [
        (RESULTS[command.operation] if row.status == OK else _refused)(
            command, row, details.get(place, ()) if details else ()
        )
        for place, (command, row) in enumerate(zip(commands, rows, strict=True))
    ]


def details_of(answer: Any) -> dict[int, list[Detail]]:
    """Return the details of an answer, by command."""
    message = answer.details
    columns = {field: read_column(getattr(message, field), dtype) for field, dtype in DETAIL_DTYPES.items()}
    commands = columns["command_indexes"].tolist()
    names = [
        [dictionary[index] if index >= 0 else "" for index in columns[field].tolist()]
        for field, dictionary in (
            ("sku_indexes", list(message.sku_ids)),
            ("location_indexes", list(message.location_ids)),
        )
    ]
    rows = map(
        Detail,
        columns["lines"].tolist(),
        *names,
        columns["requested"].tolist(),
        columns["available"].tolist(),
        map(bool, columns["is_to_location"].tolist()),
    )
    pairs = zip(commands, rows, strict=True)
    return {command: [row for _, row in group] for command, group in groupby(pairs, key=lambda pair: pair[0])}


class Row(NamedTuple):
    """What the columns of an answer say about one command."""

    status: int
    reservation_id: int
    seq: int
    expire_time_us: int
    state: int
    version: int
    differing_field: int


ROW_COLUMNS: Final = (
    "statuses",
    "reservation_ids",
    "seqs",
    "expire_times_us",
    "states",
    "versions",
    "differing_fields",
)
_STATES: Final = tuple(map(ReservationState, range(VARINT_MAX + 1)))
"""By number, those too that only a newer engine knows: looking up is cheaper than making."""


def _reserved(command: Command[Any], row: Row, details: Sequence[Detail]) -> Reserved:
    shortages = shortages_of(command, details) if details else ()
    return Reserved(reservation_name(row.reservation_id), row.expire_time_us, row.seq, shortages, row.version)


def _changed(_: Command[Any], row: Row, __: Sequence[Detail]) -> Changed:
    return Changed(_STATES[row.state], row.version, row.seq)


def _extended(_: Command[Any], row: Row, __: Sequence[Detail]) -> Extended:
    return Extended(row.expire_time_us, row.version, row.seq)


def _recorded(_: Command[Any], row: Row, details: Sequence[Detail]) -> Recorded:
    levels = tuple(OversoldLevel(each.sku_id, each.location_id, each.available) for each in details)
    return Recorded(row.seq, levels)


def _refused(command: Command[Any], row: Row, details: Sequence[Detail]) -> RefusedError:
    return refused(command, row.status, row.version, row.differing_field, details)


Told: TypeAlias = Callable[[Command[Any], Row, Sequence[Detail]], Any]
_TOLD_BY: Final[Mapping[Operation, Told]] = {
    Operation.RESERVE: _reserved,
    Operation.REPLACE: _reserved,
    Operation.COMMIT: _changed,
    Operation.RELEASE: _changed,
    Operation.EXTEND: _extended,
    Operation.AMEND: _changed,
    Operation.TRANSFER: _changed,
    Operation.FULFILL: _changed,
    Operation.CANCEL: _changed,
    Operation.RECORD_MOVEMENTS: _recorded,
    Operation.SET_ON_HAND: _recorded,
}
assert _TOLD_BY.keys() == set(Operation) - OF_TRANSFERS
RESULTS: Final[Sequence[Told]] = [_TOLD_BY.get(number, _refused) for number in range(max(Operation) + 1)]  # type: ignore[call-overload]  # an enum's members are its numbers
"""By operation; a list, since the hash of an enum costs more than what is looked up."""
