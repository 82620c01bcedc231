"""The bulk path for those who have arrays: any number of commands as columns, and their outcomes as columns.

They go in calls of at most 8,192 commands, a few at a time. The commands of one call run in order; calls may overtake
each other.
"""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import Any, Final, NamedTuple, TypeAlias

import grpc
import numpy as np
from numpy.typing import ArrayLike, NDArray
from onhand.client import checks, limits
from onhand.client.arguments import Line, checks_arguments, checks_names, flag, sequence, text, wrong
from onhand.client.commands import OF_TRANSFERS, RECORDABLE, Command, Extra, Operation
from onhand.client.engines import Engines
from onhand.client.errors import NoAnswer, OnHandError, invalid, outcome_unknown
from onhand.client.refusals import Detail, refused, refused_transfer
from onhand.client.request_ids import BYTES, new_request_ids, request_id_text
from onhand.client.results import ReceiptCondition, UnavailableReason
from onhand.client.retries import Conversation, conversation
from onhand.client.wire import OK, REQUEST_DTYPES, details_of, read_answer
from onhand.columns import VARINT_MAX, RequestColumns, write_column
from onhand.identifiers import are_all_plain
from onhand.rules.limits import COMMANDS_PER_CALL_MAX, LINES_PER_CALL_MAX, QUANTITY_MAX
from onhand.rules.operations import RULES

UNANSWERED: Final = 0
"""Status of a command whose call got no answer, or was refused as a whole."""
MERGES_LINES: Final = frozenset(operation for operation, rule in RULES.items() if rule.merges_lines)


@checks_names
class Coded(NamedTuple):
    """Names as a dictionary and indexes into it: cheaper than an array of text, and made only once."""

    names: Sequence[str]
    """Each 1 to 64 bytes of UTF-8."""
    indexes: NDArray[np.integer[Any]]
    """-1 for none, where that is allowed."""


Names: TypeAlias = Sequence[str] | NDArray[np.str_] | Coded


@checks_arguments()
@dataclass(frozen=True, slots=True, eq=False)
class CommandColumns:
    """Any mix of commands, as ExecuteCommandsRequest has them; shapes are (commands,) or (lines,), or one for all."""

    operations: ArrayLike
    """Of commands: values of Operation; always in full."""
    skus: Names = ()
    """Of lines: always in full. The lines of the first command come first."""
    locations: Names = ()
    """Of lines."""
    quantities: ArrayLike = ()
    """Of lines: units."""
    line_counts: ArrayLike | None = None
    """Of commands: number of lines; None: one each."""
    request_ids: NDArray[np.uint8] | None = None
    """Shape (commands, 16): UUIDs in network byte order; None: fresh UUIDv7s."""
    reservation_ids: ArrayLike | None = None
    """Of commands: uint64, the ids of reservations or transfers read as hexadecimal numbers."""
    ttl_us: ArrayLike | None = None
    """Of commands: microseconds, for RESERVE, REPLACE and EXTEND."""
    allow_partial: ArrayLike | None = None
    """Of commands, for RESERVE."""
    expected_versions: ArrayLike | None = None
    """Of commands, for AMEND, REPLACE and TRANSFER, and for transfers that are there; 0: any."""
    references: Names | None = None
    """Of commands, each at most 64 bytes of UTF-8."""
    actors: Names | None = None
    """Of commands, each at most 64 bytes of UTF-8."""
    to_locations: Names | None = None
    """Of lines, for TRANSFER, CREATE_TRANSFER and movements of type TRANSFER."""
    movement_types: ArrayLike | None = None
    """Of lines: values of MovementType, for RECORD_MOVEMENTS."""
    unavailable_reasons: ArrayLike | None = None
    """Of lines: values of UnavailableReason, for RECORD_MOVEMENTS and RECEIVE_TRANSFER."""
    due_times_us: ArrayLike | None = None
    """Of commands: microseconds since 1970, for CREATE_TRANSFER; 0: nobody knows."""
    hold: ArrayLike | None = None
    """Of commands, for CREATE_TRANSFER: whether the units are committed at the source."""
    use_safety_stock: ArrayLike | None = None
    """Of commands, for CREATE_TRANSFER and DISPATCH_TRANSFER."""
    conditions: ArrayLike | None = None
    """Of lines: values of ReceiptCondition, for RECEIVE_TRANSFER; 0: GOOD."""
    at_source: ArrayLike | None = None
    """Of lines, for RECORD_FOUND_UNITS: whether the units never left the source."""


# Columns by what they belong to, and the column of names by the field of its dictionary.
_OF_COMMANDS: Final = (
    "reservation_ids",
    "ttl_us",
    "allow_partial",
    "expected_versions",
    "due_times_us",
    "hold",
    "use_safety_stock",
)
_OF_LINES: Final = ("quantities", "movement_types", "unavailable_reasons", "conditions", "at_source")
_NAMES_OF_COMMANDS: Final = {"references": "reference_indexes", "actors": "actor_indexes"}
_NAMES_OF_LINES: Final = {
    "skus": "sku_indexes",
    "locations": "location_indexes",
    "to_locations": "to_location_indexes",
}
_DICTIONARIES: Final = {
    "texts": ("references", "actors"),
    "sku_ids": ("skus",),
    "location_ids": ("locations", "to_locations"),
}
_ALWAYS_GIVEN: Final = ("skus", "locations", "quantities")
_FLAGS: Final = ("allow_partial", "hold", "use_safety_stock", "at_source")
_KINDS: Final[Mapping[str, Sequence[int]]] = {
    "operations": [*map(int, Operation)],
    "movement_types": [0, *sorted(map(int, RECORDABLE))],
    "unavailable_reasons": [*map(int, UnavailableReason)],
    "conditions": [*map(int, ReceiptCondition)],
}
_KNOWN: Final = {field: np.isin(np.arange(VARINT_MAX + 1), kinds) for field, kinds in _KINDS.items()}
_RESULTS: Final[Mapping[str, Any]] = {
    "statuses": np.uint8,
    "reservation_ids": np.uint64,
    "seqs": np.int64,
    "expire_times_us": np.int64,
    "states": np.uint8,
    "versions": np.uint32,
    "differing_fields": np.uint8,
    "applied_oversold": np.bool_,
    "available_left": np.int64,
    "transfer_states": np.uint8,
}


class Prepared:
    """Columns that were checked: arrays of full length, ready to be cut into calls.

    Raises
    ------
    ValidationFailed
        A column has a wrong length, or an entry is wrong for any command. The engine checks the rest.
    """

    def __init__(self, columns: CommandColumns) -> None:
        if not isinstance(columns, CommandColumns):
            raise wrong("columns", "CommandColumns", columns)
        self.arrays: dict[str, NDArray[Any]] = {"operations": _values("operations", columns.operations)}
        self.command_count = len(self.arrays["operations"])
        self.names = {
            name: _coded(name, value)
            for name in (*_NAMES_OF_COMMANDS, *_NAMES_OF_LINES)
            if (value := getattr(columns, name)) is not None or name in _ALWAYS_GIVEN
        }
        for name in ("skus", "locations"):  # commands without lines need none
            if not len(self.names[name].indexes):
                del self.names[name]
        self.line_count = len(self.names["skus"].indexes) if "skus" in self.names else 0
        self._take(columns, ("line_counts", *_OF_COMMANDS), self.command_count)
        self._take(columns, _OF_LINES if self.line_count else (), self.line_count)
        for name, coded in self.names.items():
            length = self.command_count if name in _NAMES_OF_COMMANDS else self.line_count
            self.names[name] = Coded(coded.names, _full(name, coded.indexes, length))
        self.request_ids = self._ids(columns.request_ids)
        self.line_ends = self._line_ends()
        self._check_quantities()

    def _take(self, columns: CommandColumns, fields: Sequence[str], length: int) -> None:
        for name in fields:
            values = getattr(columns, name)
            if values is not None or name in _ALWAYS_GIVEN:
                self.arrays[name] = _full(name, _values(name, values), length)

    def _ids(self, given: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        if given is None:
            return new_request_ids(self.command_count)
        if not isinstance(given, np.ndarray) or given.dtype != np.uint8:
            raise wrong("request_ids", "an array of uint8", given)
        if given.shape != (self.command_count, BYTES):
            raise invalid("request_ids", f"shape ({self.command_count}, {BYTES})", str(given.shape))
        is_nil = ~given.any(axis=1)
        if is_nil.any():
            raise invalid(f"request_ids[{int(np.argmax(is_nil))}]", "a UUID that is not nil", str(uuid.UUID(int=0)))
        return np.ascontiguousarray(given)

    def _line_ends(self) -> NDArray[np.int64]:
        """Return where the lines of each command end, shape (commands + 1,), 0 first."""
        counts = self.arrays.get("line_counts", np.ones(self.command_count, np.int64))
        ends = np.append(0, np.cumsum(counts, dtype=np.int64))
        if ends[-1] != self.line_count:
            raise invalid("skus", f"{ends[-1]} entries, the sum of line_counts", self.line_count, "entries")
        return ends

    def _check_quantities(self) -> None:
        quantities = self.arrays.get("quantities", np.zeros(0, np.int64))
        if len(quantities) and (np.abs(quantities) > QUANTITY_MAX).any():
            place = int(np.argmax(np.abs(quantities) > QUANTITY_MAX))
            raise invalid(f"quantities[{place}]", f"at most {QUANTITY_MAX}", int(quantities[place]))

    def calls(self) -> Iterator[tuple[int, int]]:
        """Yield the first command of each call, and the one after its last."""
        first = 0
        while first < self.command_count:
            lines_end = self.line_ends[first] + LINES_PER_CALL_MAX
            fitting = int(np.searchsorted(self.line_ends, lines_end, "right")) - 1
            last = max(first + 1, min(first + COMMANDS_PER_CALL_MAX, fitting))
            yield first, last
            first = last

    def encode(self, first: int, last: int, *, return_available_left: bool) -> bytes:
        """Return the request of the call with these commands: a serialized ExecuteCommandsRequest."""
        request = RequestColumns(
            request_ids=self.request_ids[first:last].tobytes(), return_available_left=return_available_left
        )
        commands, lines = slice(first, last), slice(int(self.line_ends[first]), int(self.line_ends[last]))
        for name, values in self.arrays.items():
            part = values[lines if name in _OF_LINES else commands]
            write_column(getattr(request, name), part, REQUEST_DTYPES[name])
        for dictionary, columns in _DICTIONARIES.items():
            self._encode_names(request, dictionary, columns, commands, lines)
        return bytes(request.SerializeToString())

    def _encode_names(
        self, request: Any, dictionary: str, columns: Sequence[str], commands: slice, lines: slice
    ) -> None:
        """Fill a dictionary with the names that these commands use, column after column, and their indexes."""
        names = getattr(request, dictionary)
        for name in columns:
            if name in self.names:
                coded = self.names[name]
                field = _NAMES_OF_COMMANDS.get(name) or _NAMES_OF_LINES[name]
                own = coded.indexes[commands if name in _NAMES_OF_COMMANDS else lines]
                used, places = np.unique(own, return_inverse=True)
                none_count = int(len(used) > 0 and used[0] < 0)
                indexes = np.where(own < 0, -1, places + (len(names) - none_count))
                names.extend([coded.names[index] for index in used[none_count:].tolist()])
                write_column(getattr(request, field), indexes, REQUEST_DTYPES[field])

    def command_at(self, place: int) -> Command[Any]:
        """Return one command, as calls one at a time have it."""
        at = range(int(self.line_ends[place]), int(self.line_ends[place + 1]))
        operation = Operation(int(self.arrays["operations"][place]))
        lines = [
            (self._name("skus", line), self._name("locations", line), self._value("quantities", line)) for line in at
        ]
        extras = [Extra(self._name("to_locations", line)) for line in at] if "to_locations" in self.names else []
        merged, positions = checks.merged(lines) if operation in MERGES_LINES - OF_TRANSFERS else (lines, ())
        if operation in OF_TRANSFERS:
            merged, positions = self._units_of_transfer(lines, at)
        return Command(
            operation,
            merged,
            self.request_ids[place].tobytes(),
            self._value("reservation_ids", place),
            expected_version=self._value("expected_versions", place),
            positions=positions,
            extras=extras,
        )

    def _units_of_transfer(self, lines: Sequence[Line], at: range) -> checks.Units:
        """Return the lines of a transfer's command; of those that say the same of one sku the first one, as it is."""
        said = ("conditions", "at_source", "unavailable_reasons")
        first: dict[tuple[Any, ...], int] = {}
        for position, (line, place) in enumerate(zip(lines, at, strict=True)):
            told = [self._value(column, place) for column in said]
            told[0] = told[0] or ReceiptCondition.GOOD
            first.setdefault((line[0], *told), position)
        return [lines[position] for position in first.values()], tuple(first.values())

    def _name(self, column: str, place: int) -> str:
        if column not in self.names:
            return ""
        index = int(self.names[column].indexes[place])
        return self.names[column].names[index] if index >= 0 else ""

    def _value(self, column: str, place: int) -> int:
        return int(self.arrays[column][place]) if column in self.arrays else 0


def _coded(field: str, names: Names) -> Coded:
    """Return names as a dictionary, checked, and indexes."""
    coded = names if isinstance(names, Coded) else _coded_of(field, names)
    texts = sequence(coded.names, f"{field}.names")
    if set(map(type, texts)) - {str} or not are_all_plain(texts):  # nearly always they are plain
        check = checks.note if field in _NAMES_OF_COMMANDS else checks.identifier
        for place, name in enumerate(texts):
            check(name, f"{field}[{place}]")
    indexes = _integers(f"{field}.indexes", coded.indexes)
    is_wrong = (indexes < -1) | (indexes >= len(coded.names))
    if is_wrong.any():
        place = int(np.argmax(is_wrong))
        raise invalid(f"{field}[{place}]", f"-1 to {len(coded.names) - 1}, an index", int(indexes[place]))
    return Coded(coded.names, indexes)


def _coded_of(field: str, names: Sequence[str] | NDArray[np.str_]) -> Coded:
    """Return names as a dictionary and indexes."""
    if isinstance(names, np.ndarray) and names.ndim != 1:
        raise invalid(field, "one dimension", names.ndim, "dimensions")
    values = names.tolist() if isinstance(names, np.ndarray) else sequence(names, field, "list or array of text")
    try:
        place_of = dict(zip(dict.fromkeys(values), count(), strict=False))
    except TypeError:
        for place, value in enumerate(values):
            text(value, f"{field}[{place}]")
        raise
    return Coded(list(place_of), np.fromiter(map(place_of.__getitem__, values), np.int32, len(values)))


def _values(field: str, given: ArrayLike) -> NDArray[Any]:
    """Return a column of the wire's type; every value is one that it can have."""
    dtype = REQUEST_DTYPES[field]
    if field in _FLAGS:
        return _one_dimension(field, given, "b", "True or False").astype(dtype)
    values = _integers(field, given)
    least, most = np.iinfo(dtype).min, VARINT_MAX if dtype.itemsize == 1 else np.iinfo(dtype).max
    is_wrong = (values < least) | (values > most)
    if field in _KINDS:
        is_wrong |= ~_KNOWN[field].take(values, mode="clip")
    if is_wrong.any():
        place = int(np.argmax(is_wrong))
        expected = f"one of {_KINDS[field]}" if field in _KINDS else f"{least} to {most}"
        raise invalid(f"{field}[{place}]", expected, int(values[place]))
    return values.astype(dtype)


def _integers(field: str, values: ArrayLike) -> NDArray[Any]:
    """Return a column of integers as an array of one dimension."""
    return _one_dimension(field, values, "iu", "integers")


def _one_dimension(field: str, values: ArrayLike, kinds: str, expected: str) -> NDArray[Any]:
    """Return an array of one dimension, or the only value; `kinds` are those of its dtype."""
    try:
        array = np.atleast_1d(np.asarray(values))
    except (TypeError, ValueError, OverflowError):  # such as lists of different lengths
        raise wrong(field, f"{expected} in one dimension", values) from None
    if array.ndim != 1:
        raise invalid(field, "one dimension", array.ndim, "dimensions")
    if array.size and array.dtype.kind not in kinds:
        raise wrong(field, expected, values) if array.dtype.kind == "O" else invalid(field, expected, array.dtype)
    return array


def _full(field: str, values: NDArray[Any], length: int) -> NDArray[Any]:
    """Return a column of full length; one value may stand for all."""
    if len(values) not in (1, length):
        raise invalid(field, f"{length} entries, or one for all", len(values), "entries")
    return np.broadcast_to(values, length)


# ---- outcomes --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """What came of commands, as columns of shape (commands,)."""

    request_ids: NDArray[np.uint8]
    """Shape (commands, 16): with them the commands may be repeated."""
    statuses: NDArray[np.uint8]
    """Values of CommandStatus: 1 is OK, 0 (UNANSWERED) is that of commands whose call failed; see `errors`."""
    reservation_ids: NDArray[np.uint64]
    """Of reservations and transfers; 0 where there is none."""
    seqs: NDArray[np.int64]
    """Positions in the ledger's order."""
    expire_times_us: NDArray[np.int64]
    """Microseconds since 1970, for RESERVE, REPLACE and EXTEND."""
    states: NDArray[np.uint8]
    """Values of ReservationState."""
    versions: NDArray[np.uint32]
    """Of reservations and transfers, after the command."""
    differing_fields: NDArray[np.uint8]
    """Of REQUEST_ID_REUSED, what differed: values of DifferingField."""
    applied_oversold: NDArray[np.bool_]
    """Movements and counts: whether a level is now oversold."""
    available_left: NDArray[np.int64]
    """If asked for: units a new reservation could get at the first line's sku and location after the call."""
    transfer_states: NDArray[np.uint8]
    """Values of TransferState."""
    errors: list[tuple[int, int, OnHandError]] = field(default_factory=list)
    """Calls that failed: their first command, the one after their last, and why."""
    details: dict[int, list[Detail]] = field(default_factory=dict)
    """By command: short lines and oversold levels."""
    _prepared: Prepared | None = None

    @property
    def expire_times(self) -> NDArray[np.datetime64]:
        """As `expire_times_us`, with a dtype that says so: instants of UTC."""
        times: NDArray[np.datetime64] = self.expire_times_us.view("datetime64[us]")
        return times

    @property
    def ok(self) -> NDArray[np.bool_]:
        """Which commands were done."""
        done: NDArray[np.bool_] = self.statuses == OK
        return done

    def refusals(self) -> dict[int, OnHandError]:
        """Return the exception of every command that was not done, by its position: as calls one at a time raise it."""
        assert self._prepared is not None
        found: dict[int, OnHandError] = {}
        for place in np.flatnonzero(self.statuses > OK).tolist():
            command, status = self._prepared.command_at(place), int(self.statuses[place])
            details = self.details.get(place, ())
            told = refused_transfer(command, status, int(self.transfer_states[place]), details)
            version, differing = int(self.versions[place]), int(self.differing_fields[place])
            found[place] = told or refused(command, status, version, differing, details)
            found[place].request_id = request_id_text(self.request_ids[place].tobytes())
        for first, last, error in self.errors:
            found.update(dict.fromkeys(range(first, last), error))
        return found

    def raise_first(self) -> None:
        """Raise the exception of the first command that was not done, if there is one."""
        if refusals := self.refusals():
            raise refusals[min(refusals)]


def reserve_columns(
    skus: Names,
    locations: Names,
    quantities: ArrayLike,
    ttl_seconds: float,
    request_ids: NDArray[np.uint8] | None,
    *,
    allow_partial: bool,
) -> CommandColumns:
    """Return the columns of one-line reservations."""
    units = _integers("quantities", quantities)
    is_wrong = (units < 1) | (units > QUANTITY_MAX)
    if is_wrong.any():
        place = int(np.argmax(is_wrong))
        raise invalid(f"quantities[{place}]", f"1 to {QUANTITY_MAX}", int(units[place]))
    return CommandColumns(
        np.full(_count_of(skus), Operation.RESERVE, np.uint8),
        skus,
        locations,
        units,
        request_ids=request_ids,
        ttl_us=checks.ttl_us(ttl_seconds),
        allow_partial=flag(allow_partial, "allow_partial"),
    )


def _count_of(skus: Names) -> int:
    if isinstance(skus, Coded):
        return len(_integers("skus.indexes", skus.indexes))
    return len(sequence(skus, "skus", "list or array of text"))


def no_outcomes(prepared: Prepared) -> Outcomes:
    """Return outcomes in which every command is unanswered yet."""
    columns: dict[str, Any] = {name: np.zeros(prepared.command_count, dtype) for name, dtype in _RESULTS.items()}
    return Outcomes(prepared.request_ids, **columns, _prepared=prepared)


@dataclass(frozen=True, slots=True)
class ArrayCall:
    """Commands on their way in as many calls as they need."""

    prepared: Prepared
    outcomes: Outcomes
    engines: Engines
    deadline_seconds: float
    retries_max: int | None
    return_available_left: bool

    def run(self, first: int, last: int) -> Conversation:
        """Yield the steps of one call, and note its outcomes; one that is too long goes in halves."""
        request = self.prepared.encode(first, last, return_available_left=self.return_available_left)
        if len(request) > limits.CALL_BYTES_MAX and last - first > 1:
            for part in pairwise((first, (first + last) // 2, last)):
                yield from self.run(*part)
            return
        try:
            expires_at = time.monotonic() + self.deadline_seconds
            response = yield from conversation(request, self.engines, expires_at, self.retries_max)
            self._note(first, last, response)
        except OnHandError as error:
            told = outcome_unknown(error) if isinstance(error, NoAnswer) else error
            self.outcomes.errors.append((first, last, told))

    def _note(self, first: int, last: int, response: bytes) -> None:
        try:
            answer, columns = read_answer(response, last - first)
        except ValueError as error:
            raise NoAnswer(f"the engine's answer cannot be read: {error}", grpc.StatusCode.INTERNAL) from error
        for name in _RESULTS:
            getattr(self.outcomes, name)[first:last] = columns[name]
        if answer.HasField("details"):
            self.outcomes.details.update({first + place: rows for place, rows in details_of(answer).items()})
