"""BulkService: columns to one batch, outcomes to columns. Nothing here runs once for each command but notes."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onhand.columns import RequestColumns, ResponseColumns, dtypes_of, write_column
from onhand.inventory.v1 import bulk_service_pb2 as service
from onhand.inventory.v1.reservation_pb2 import ReservationState as WireState
from onhand.inventory.v1.stock_pb2 import MovementType, UnavailableReason

from engine.api import fields
from engine.api.columns import NONE, ColumnReader
from engine.api.methods import LoneHandler, Notes, Work, service_methods
from engine.api.refusals import reused
from engine.api.stock.inventory import REASONS_GIVEN, RECORDABLE
from engine.errors import invalid
from ledger.book import Book
from ledger.core import limits, operations
from ledger.core.movements import ARRIVES_AS, IS_SIGNED, MOVEMENTS
from ledger.core.operations import (
    CHANGES_LINES,
    CHANGES_RESERVATION,
    IS_BULK,
    LINES_MAX,
    LINES_MIN,
    MAKES_RESERVATION,
    MOVES_HOLD,
    OPERATIONS,
    QUANTITY_MIN,
    listed,
    those_with,
)
from ledger.core.records import (
    ALLOW_PARTIAL,
    ANY_SKU,
    COMMAND,
    FIELD_NAMES,
    HAS_REQUEST_ID,
    IS_OVERSOLD,
    IS_WRITTEN,
    LINE,
    NO_LOCATION,
    TO_LOCATION,
    Answer,
    Batch,
)
from ledger.core.statuses import Operation, ReservationState, Status

REQUEST_DTYPES: Final = dtypes_of(service.ExecuteCommandsRequest)
RESPONSE_DTYPES: Final = dtypes_of(service.ExecuteCommandsResponse)
DETAIL_DTYPES: Final = dtypes_of(service.CommandDetails)
# Statuses of the wire begin at 1.
STATUS_SHIFT: Final = 1


LINES_PER_GROUP_MAX: Final = 16_384
"""That one group runs of a call: some 15 ms."""
_IN_BULK: Final = [row for row in OPERATIONS if row.traits & IS_BULK]
# Masks by operation, of every number that a column can hold.
IS_KNOWN: Final = those_with(IS_BULK)
HAS_TTL: Final = those_with(operations.HAS_TTL)
HAS_VERSION: Final = those_with(operations.HAS_VERSION)
HAS_RESERVATION: Final = those_with(CHANGES_RESERVATION, MAKES_RESERVATION)
MAKES: Final = those_with(MAKES_RESERVATION)
GROWS: Final = those_with(CHANGES_LINES)
MOVES: Final = those_with(MOVES_HOLD)
HAS_KINDS: Final = those_with(operations.HAS_KINDS)
MERGES_LINES: Final = those_with(operations.MERGES_LINES)
NAMES_LINES: Final = HAS_RESERVATION & (LINES_MAX > 0)
# What the masks are combined with by & | ~ are masks: of integers, ~ would make something else.
assert IS_KNOWN.dtype == HAS_KINDS.dtype == NAMES_LINES.dtype == np.bool_
# The contract names the same operations by the same numbers, and statuses and fields that differ.
assert {f"COMMAND_OPERATION_{row.operation.name}": int(row.operation) for row in _IN_BULK} == {
    name: value for name, value in service.CommandOperation.items() if value
}
assert all(
    value == Status[name.removeprefix("COMMAND_STATUS_")] + STATUS_SHIFT
    for name, value in service.CommandStatus.items()
    if value
)
assert all(
    FIELD_NAMES[value] == name.removeprefix("DIFFERING_FIELD_").lower()
    for name, value in service.DifferingField.items()
    if value
)
assert len(FIELD_NAMES) == len(service.DifferingField.values())
assert {f"RESERVATION_STATE_{state.name}": state.value for state in ReservationState} == {
    name: value for name, value in WireState.items() if value
}

# Movement types as arrays: the kind each becomes (0: not recordable), and the reason it gets (NONE: refused).
KIND_OF: Final = np.array([RECORDABLE.get(kind, 0) for kind in range(max(MovementType.values()) + 1)], np.uint8)
REASON_OF: Final = np.full((len(KIND_OF), max(UnavailableReason.values()) + 1), NONE, np.int8)
for _given, _reason in REASONS_GIVEN.items():
    REASON_OF[_given] = _reason
_TAKE_ZERO: Final = listed(row.operation.name for row in _IN_BULK if row.quantity_min == 0)
_RECORDED: Final = [row for row in MOVEMENTS if row.is_recordable]
_NEED_REASON: Final = listed(row.shown for row in _RECORDED if row.needs_reason)
_TAKE_REASON: Final = listed(row.shown for row in _RECORDED if row.takes_reason and not row.needs_reason)
_SIGNED: Final = listed(row.shown for row in _RECORDED if row.is_signed)
_TARGETED: Final = listed(row.shown for row in _RECORDED if row.arrives_as)


class _Request(ColumnReader):
    """The columns of one call, checked; every method that checks raises RefusedError."""

    def __init__(self, request: Any, book: Book) -> None:
        super().__init__(request, REQUEST_DTYPES)
        self._book = book
        self.operations = self.whole("operations", limits.COMMANDS_PER_CALL_MAX, at_least=1)
        self.count = len(self.operations)
        self.sku_indexes: NDArray[np.int32] = self.whole("sku_indexes", limits.LINES_PER_CALL_MAX, at_least=0)
        self.line_total = len(self.sku_indexes)
        self.ids = self.request_ids(self.count, "commands")
        self._require(IS_KNOWN[self.operations], "operations", "an operation of CommandOperation", self.operations)
        self.line_counts = self._read_line_counts()
        self.command_of_line = (
            np.arange(self.count)
            if self.line_total == self.count and bool((self.line_counts == 1).all())
            else np.repeat(np.arange(self.count), self.line_counts)
        )
        self.operation_of_line = self.operations[self.command_of_line]
        self.skus = self._read_skus()
        self.locations = self._read_locations()
        self.to_locations = self._read_to_locations()
        self.kinds, self.reasons = self._read_movements()
        self.quantities = self._read_quantities()

    # ---- columns

    def of_commands(self, field: str) -> NDArray[Any]:
        """Read a column of commands."""
        return self.column(field, self.count)

    def _of_lines(self, field: str) -> NDArray[Any]:
        return self.column(field, self.line_total)

    def _require(
        self, is_right: NDArray[np.bool_], field: str, expected: str, values: Any, *, of_line: bool = False
    ) -> None:
        """Refuse the first entry that is wrong; a request id that is known outranks it."""
        if is_right.all():
            return
        place = int(np.argmin(is_right))
        command = int(self.command_of_line[place]) if of_line else place
        path = f"{field}[{place}]"
        high, low = (int(half) for half in self.ids[command])
        if (high or low) and self._book.ledger.remembers(high, low):
            raise reused(path)
        raise invalid(path, expected, values[place])

    # ---- commands

    def _read_line_counts(self) -> NDArray[np.int64]:
        counts = self.of_commands("line_counts") if self.has("line_counts") else np.ones(self.count, np.uint32)
        least, most = LINES_MIN[self.operations], LINES_MAX[self.operations]
        is_right = (counts >= least) & (counts <= most)
        if not is_right.all():
            wrong = self.operations[np.argmin(is_right)]
            expected = f"{LINES_MIN[wrong]} to {LINES_MAX[wrong]} for {Operation(int(wrong)).name}"
            self._require(is_right, "line_counts", expected, counts)
        total = int(counts.sum(dtype=np.int64))
        if total != self.line_total:
            raise invalid("sku_indexes", f"{total} entries, the sum of line_counts", self.line_total, "entries")
        return counts.astype(np.int64)

    def ttl_us(self) -> NDArray[np.int64]:
        """Check times to live; 0 where there is none."""
        has, values = HAS_TTL[self.operations], self.of_commands("ttl_us")
        is_right = (values > 0) & (values <= limits.TTL_US_MAX)
        self._require(is_right | ~has, "ttl_us", f"1 to {limits.TTL_US_MAX} microseconds", values)
        return np.where(has, values, 0)

    def reservation_numbers(self) -> NDArray[np.int64]:
        """Check reservation ids; one that the engine never gave is an unknown reservation."""
        has, values = HAS_RESERVATION[self.operations], self.of_commands("reservation_ids")
        self._require((values != 0) | ~has, "reservation_ids", "the id of a reservation", values)
        numbers = np.where(has, values, 0).astype(np.int64)
        return np.where(numbers < 0, fields.UNKNOWN_RESERVATION, numbers)

    def require_bounded_lines(self, numbers: NDArray[np.int64]) -> None:
        """Refuse a call whose commands concern too many lines of the reservations that they name."""
        names = NAMES_LINES[self.operations]
        if not names.any():
            return
        own, numbers = self.line_counts[names], numbers[names]
        made = int(np.count_nonzero(MAKES[self.operations]))
        held = self._book.ledger.held_line_counts(numbers, made)
        grows = GROWS[self.operations[names]]
        if grows.any():
            _, which = np.unique(numbers, return_inverse=True)
            grown = np.bincount(which, own * grows).astype(np.int64)
            held = np.minimum(limits.LINES_PER_RESERVATION_MAX, held + grown[which])
        total = self.line_total + int(np.maximum(held - own, 0).sum())
        if total > limits.LINES_PER_CALL_MAX:
            expected = f"at most {limits.LINES_PER_CALL_MAX} lines in all, those of the reservations named counted"
            raise invalid("reservation_ids", expected, total, "lines")

    def expected_versions(self) -> NDArray[np.int64]:
        """Check the versions that callers saw; 0 where there is none."""
        has, values = HAS_VERSION[self.operations], self.of_commands("expected_versions")
        is_right = (values >= 0) & (values <= limits.QUANTITY_MAX)
        self._require(is_right | ~has, "expected_versions", f"0 to {limits.QUANTITY_MAX}", values)
        return np.where(has, values, 0)

    def notes(self) -> dict[int, Notes]:
        """Check references and actors; returns those of the commands that have some, by command."""
        if not self.has("reference_indexes") and not self.has("actor_indexes"):
            return {}
        texts = self.texts("texts")
        both = []
        for field in ("reference_indexes", "actor_indexes"):
            indexes = self.indexes(field, self.count)
            is_right = (indexes >= NONE) & (indexes < len(texts))
            self._require(is_right, field, f"{NONE} to {len(texts) - 1}, an index in texts", indexes)
            both.append(indexes)
        texts.append("")  # what the index -1 finds
        says_something = np.array([bool(text) for text in texts])
        noted = np.flatnonzero(says_something[both[0]] | says_something[both[1]])
        return {
            command: Notes(texts[reference], texts[actor])
            for command, reference, actor in zip(
                noted.tolist(), both[0][noted].tolist(), both[1][noted].tolist(), strict=True
            )
        }

    # ---- lines

    def _read_skus(self) -> NDArray[np.int32]:
        names, indexes = self.names("sku_ids"), self.sku_indexes
        is_any = indexes == NONE
        allowed = is_any & MOVES[self.operation_of_line]
        if allowed.any():
            allowed &= self.line_counts[self.command_of_line] == 1
        is_right = allowed | ((indexes >= 0) & (indexes < len(names)))
        expected = f"0 to {len(names) - 1}, an index in sku_ids"
        self._require(is_right, "sku_indexes", expected, indexes, of_line=True)
        skus = np.append(self._book.ledger.sku_indexes(names), np.int32(ANY_SKU))  # which the index -1 finds
        return skus[indexes]

    def _read_locations(self) -> NDArray[np.int32]:
        names = self.names("location_ids")
        indexes = self._of_lines("location_indexes")
        is_right = (indexes >= 0) & (indexes < len(names))
        expected = f"0 to {len(names) - 1}, an index in location_ids"
        self._require(is_right, "location_indexes", expected, indexes, of_line=True)
        self._location_indexes = self._book.ledger.location_indexes(names)
        return self._location_indexes[indexes] if self.line_total else np.zeros(0, np.int32)

    def _read_to_locations(self) -> NDArray[np.int32]:
        """Check where units go: NO_LOCATION where they go nowhere. A transferred hold has one origin and one target."""
        is_hold = MOVES[self.operation_of_line]
        is_movement = HAS_KINDS[self.operation_of_line]
        if is_movement.any():
            types = self._of_lines("movement_types")
            is_movement &= ARRIVES_AS[KIND_OF[np.minimum(types, len(KIND_OF) - 1)]] > 0
        needs = is_hold | is_movement
        field = "to_location_indexes"
        indexes = self.indexes(field, self.line_total)
        if not needs.any() and not self.has(field):
            return np.full(self.line_total, NO_LOCATION, np.int32)
        is_index = (indexes >= 0) & (indexes < len(self._location_indexes))
        expected = f"0 to {len(self._location_indexes) - 1}, an index in location_ids, for a {_TARGETED}, else {NONE}"
        self._require(np.where(needs, is_index, indexes == NONE), field, expected, indexes, of_line=True)
        # what the index -1 finds
        targets = np.append(self._location_indexes, np.int32(NO_LOCATION))[np.where(needs, indexes, NONE)]
        is_other = ~needs | (targets != self.locations)
        self._require(is_other, field, "another location than that of location_indexes", indexes, of_line=True)
        first_line = (np.cumsum(self.line_counts) - self.line_counts)[self.command_of_line]
        for name, places in (("location_indexes", self.locations), (field, targets)):
            is_one = ~is_hold | (places == places[first_line])
            expected = "one location in all lines of a TRANSFER"
            self._require(is_one, name, expected, self._of_lines(name), of_line=True)
        return targets

    def _read_movements(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Check what movements do and why; 0 in lines of other commands."""
        concerned = HAS_KINDS[self.operation_of_line]
        types, reasons = self._of_lines("movement_types"), self._of_lines("unavailable_reasons")
        if not concerned.any():
            return np.zeros(self.line_total, np.uint8), np.zeros(self.line_total, np.uint8)
        types, reasons = np.where(concerned, types, 0), np.where(concerned, reasons, 0)
        kinds = KIND_OF[np.minimum(types, len(KIND_OF) - 1)] * (types < len(KIND_OF))
        is_kind = (kinds > 0) | ~concerned
        self._require(is_kind, "movement_types", "a movement type that is not output only", types, of_line=True)
        known = reasons < REASON_OF.shape[1]
        given = REASON_OF[types, np.where(known, reasons, 0)]
        is_right = (known & (given != NONE)) | ~concerned
        expected = f"a reason for {_NEED_REASON}, one or none for {_TAKE_REASON}, else none"
        self._require(is_right, "unavailable_reasons", expected, reasons, of_line=True)
        return kinds, np.where(concerned, given, 0).astype(np.uint8)

    def _read_quantities(self) -> NDArray[np.int64]:
        quantities = self._of_lines("quantities")
        least = QUANTITY_MIN[self.operation_of_line]
        is_all = self.skus == ANY_SKU
        is_right = (quantities >= least) & (quantities <= limits.QUANTITY_MAX) & ~is_all
        is_right |= is_all & (quantities == 0)
        is_right |= IS_SIGNED[self.kinds] & (quantities >= -limits.QUANTITY_MAX) & (quantities < 0)
        expected = (
            f"1 to {limits.QUANTITY_MAX}; also 0 for {_TAKE_ZERO}, only 0 for all that is open, also negative for "
            f"{_SIGNED}, but not 0"
        )
        self._require(is_right, "quantities", expected, quantities, of_line=True)
        return quantities

    # ---- the batch

    def batch(self) -> tuple[Batch, dict[int, Notes]]:
        """Return the commands and lines as the ledger takes them, and the notes by command."""
        notes = self.notes()
        lines = np.zeros(self.line_total, LINE)
        lines["sku"] = self.skus
        lines["location"] = self.locations
        lines["to_location"] = self.to_locations
        lines["kind"] = self.kinds
        lines["reason"] = self.reasons
        lines["quantity"] = self.quantities
        counts = self.line_counts
        if counts.max() > 1:
            lines, counts = self._without_repeats(lines)
        commands = np.zeros(self.count, COMMAND)
        has_id = self.ids.any(axis=1)
        partial = (self.of_commands("allow_partial") != 0) & MAKES[self.operations]
        commands["operation"] = self.operations
        commands["flags"] = has_id * np.uint8(HAS_REQUEST_ID) + partial * np.uint8(ALLOW_PARTIAL)
        commands["line_count"] = counts
        commands["line_start"] = np.cumsum(counts) - counts
        commands["expected_version"] = self.expected_versions()
        commands["reservation_id"] = numbers = self.reservation_numbers()
        self.require_bounded_lines(numbers)
        commands["ttl_us"] = self.ttl_us()
        commands["request_id_high"] = self.ids[:, 0]
        commands["request_id_low"] = self.ids[:, 1]
        for command, note in notes.items():
            commands["content"][command] = note.digest()
        return Batch(commands, lines), notes

    def _without_repeats(self, lines: NDArray[np.void]) -> tuple[NDArray[np.void], NDArray[np.int64]]:
        """Let lines of one command with one sku and location count together, or refuse them."""
        place = self.command_of_line * 2**32 + (lines["sku"].astype(np.int64) + 2**31)
        order = np.lexsort((lines["location"], place))
        is_same = (np.diff(place[order]) == 0) & (np.diff(lines["location"][order]) == 0)
        if not is_same.any():
            return lines, self.line_counts
        starts = np.flatnonzero(np.append(True, ~is_same))  # of runs of equal lines, in that order
        first = order[starts][np.cumsum(np.append(True, ~is_same)) - 1]
        first_of = np.empty_like(first)
        first_of[order] = first  # lexsort is stable: a run begins with its first line
        is_repeat = first_of != np.arange(len(lines))
        is_movement = HAS_KINDS[self.operation_of_line]
        allowed = MERGES_LINES[self.operation_of_line] | is_movement | ~is_repeat
        expected = "another sku or location than those of the command's lines before"
        self._require(allowed, "sku_indexes", expected, self.sku_indexes, of_line=True)
        is_repeat &= ~is_movement
        totals = lines["quantity"].copy()
        np.add.at(totals, first_of[is_repeat], lines["quantity"][is_repeat])
        expected = f"at most {limits.QUANTITY_MAX} together with the lines of the same sku and location"
        self._require(totals <= limits.QUANTITY_MAX, "quantities", expected, totals, of_line=True)
        lines["quantity"] = totals
        dropped = np.bincount(self.command_of_line[is_repeat], minlength=self.count)
        return lines[~is_repeat], self.line_counts - dropped


# ---- answers ---------------------------------------------------------------------------------------------------------


def _columns_of(answer: Answer, operations: NDArray[np.uint8]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the columns of the response."""
    outcomes = answer.outcomes
    status = outcomes["status"]
    is_ok = status == Status.OK
    tells_version = is_ok | (status == Status.VERSION_MISMATCH)
    yield "statuses", status + np.uint8(STATUS_SHIFT)
    yield "reservation_ids", np.maximum(outcomes["reservation_id"], 0)
    yield "seqs", outcomes["seq"]
    yield "expire_times_us", np.where(is_ok & HAS_TTL[operations], outcomes["time_us"], 0)
    yield "states", np.where(is_ok, outcomes["state"], 0)
    yield "versions", np.where(tells_version, outcomes["version"], 0)
    yield "differing_fields", np.where(status == Status.REQUEST_ID_REUSED, outcomes["field"], 0)
    yield "applied_oversold", (outcomes["flags"] & IS_OVERSOLD) != 0


def _fill_details(message: Any, batch: Batch, answer: Answer, book: Book) -> None:
    """Say what the columns cannot: which lines, how many units."""
    outcomes, details = answer
    commands = np.repeat(np.arange(len(outcomes)), outcomes["detail_count"])
    command, status = batch.commands[commands], outcomes["status"][commands]
    line_at = command["line_start"] + np.minimum(details["line"], np.maximum(command["line_count"], 1) - 1)
    has_lines = command["line_count"] > 0
    lines = batch.lines[np.where(has_lines, line_at, 0)] if len(batch.lines) else np.zeros(len(details), LINE)
    skus, locations = np.where(has_lines, lines["sku"], NONE), np.where(has_lines, lines["location"], NONE)
    named = details["level"] >= 0
    level_skus, level_locations = book.ledger.keys_of(np.where(named, details["level"], 0))
    skus, locations = np.where(named, level_skus, skus), np.where(named, level_locations, locations)
    at_target = MOVES[command["operation"]] & np.isin(status, (Status.NOT_STOCKED_HERE, Status.LOCATION_INACTIVE))
    locations = np.where(at_target, lines["to_location"], locations)
    columns = {
        "command_indexes": commands,
        "lines": details["line"],
        "requested": details["requested"],
        "available": details["quantity"],
        "is_to_location": details["level"] == TO_LOCATION,
    }
    for kind, indexes, name_of in (("sku", skus, book.ledger.sku_id), ("location", locations, book.ledger.location_id)):
        known, places = np.unique(np.maximum(indexes, NONE), return_inverse=True)
        has_unknown = int(known[0] == NONE)
        getattr(message, f"{kind}_ids").extend(map(name_of, known[has_unknown:].tolist()))
        columns[f"{kind}_indexes"] = places - has_unknown
    for name, values in columns.items():
        write_column(getattr(message, name), values, DETAIL_DTYPES[name])


def _available_left(batch: Batch, book: Book) -> NDArray[np.int64]:
    """Return what is left at the first line of each command; a closed location takes no new holds."""
    commands, lines = batch
    left = np.zeros(len(commands), np.int64)
    with_lines = np.flatnonzero(commands["line_count"])
    first = lines[commands["line_start"][with_lines]]
    locations = np.ascontiguousarray(first["location"])
    available = book.ledger.available_at(np.ascontiguousarray(first["sku"]), locations)
    known, place_of = np.unique(np.maximum(locations, 0), return_inverse=True)
    is_open = np.array([book.ledger.is_location_active(place) for place in known.tolist()], bool)
    left[with_lines] = np.where(is_open[place_of], available, np.minimum(available, 0))
    return left


def execute_commands(request: Any, book: Book, time_us: int) -> Any:
    """Answer ExecuteCommands, from one twin to the other; more lines than one group takes are spread over several."""
    batch, notes = _Request(request, book).batch()
    if len(batch.lines) <= LINES_PER_GROUP_MAX:
        return _response(request, batch, _executed(batch, 0, notes, book, time_us), book)
    return _over_groups(request, batch, notes, book)


def _over_groups(request: Any, batch: Batch, notes: dict[int, Notes], book: Book) -> Work[Any]:
    """Run a part of the commands in each group; each command is one write, and has its own request id."""
    answers: list[Answer] = []
    for first, last in _parts_of(batch.commands["line_count"]):
        if answers:
            yield None
        part = Batch(batch.commands[first:last], batch.lines)
        answers.append(_executed(part, first, notes, book, book.ledger.group_time_us))
        answers[-1].outcomes["detail_start"] += sum(len(answer.details) for answer in answers[:-1])
    outcomes, details = (np.concatenate(columns) for columns in zip(*answers, strict=True))
    return _response(request, batch, Answer(outcomes, details), book)


def _parts_of(line_counts: NDArray[np.unsignedinteger]) -> Iterator[tuple[int, int]]:
    """Yield first and last command of what one group runs after the other."""
    ends, first = np.cumsum(line_counts, dtype=np.int64), 0
    while first < len(ends):
        before = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + LINES_PER_GROUP_MAX, "right")))
        yield first, last
        first = last


def _executed(batch: Batch, first: int, notes: dict[int, Notes], book: Book, time_us: int) -> Answer:
    """Run commands, the first of which has a position of its own in the call, and keep what callers say about them."""
    answer = book.execute(batch, time_us)
    for position, note in notes.items():
        if first <= position < first + len(answer.outcomes):
            outcome = answer.outcomes[position - first]
            if outcome["flags"] & IS_WRITTEN:
                book.note(int(outcome["seq"]), *note)
    return answer


def _response(request: Any, batch: Batch, answer: Answer, book: Book) -> Any:
    response = ResponseColumns(seq=book.seq)
    for name, values in _columns_of(answer, batch.commands["operation"]):
        if values.any():
            write_column(getattr(response, name), values, RESPONSE_DTYPES[name])
    if request.return_available_left:
        write_column(response.available_left, _available_left(batch, book), RESPONSE_DTYPES["available_left"])
    if len(answer.details):
        _fill_details(response.details, batch, answer, book)
    return response


METHODS: Final = service_methods(
    RequestColumns.DESCRIPTOR.file.services_by_name["BulkService"],
    {"ExecuteCommands": LoneHandler(execute_commands)},
)
