"""BulkService: columns to one batch, outcomes to columns. Nothing here runs once for each command but notes."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onhand.columns import RequestColumns, ResponseColumns, dtypes_of, write_column
from onhand.inventory.v1 import bulk_service_pb2 as service
from onhand.inventory.v1.reservation_pb2 import ReservationState as WireState
from onhand.inventory.v1.stock_pb2 import MovementType, UnavailableReason

from engine.api import fields
from engine.api.columns import NONE
from engine.api.lookups import held_lines
from engine.api.methods import LoneHandler, Notes, Work, service_methods
from engine.api.stock.command_columns import (
    AT_TWO_PLACES,
    GROWS,
    HAS_KINDS,
    HAS_RESERVATION,
    HAS_TTL,
    HAS_VERSION,
    IN_BULK,
    MAKES,
    MERGES_LINES,
    MOVES,
    NAMES_LINES,
    QUANTITY_MIN,
    REPLACES,
    CommandReader,
)
from engine.api.stock.inventory import REASONS_GIVEN, RECORDABLE
from engine.api.stock.transfer_columns import TransferColumns, without_heads
from engine.errors import invalid
from ledger.book import Book
from ledger.core import limits
from ledger.core.movements import ARRIVES_AS, IS_SIGNED, MOVEMENTS
from ledger.core.operations import listed
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

RESPONSE_DTYPES: Final = dtypes_of(service.ExecuteCommandsResponse)
DETAIL_DTYPES: Final = dtypes_of(service.CommandDetails)
ADVANCE: Final = int(Operation.ADVANCE)
# Statuses of the wire begin at 1.
STATUS_SHIFT: Final = 1


LINES_PER_GROUP_MAX: Final = 16_384
"""That one group runs of a call: some 15 ms."""
# The contract names the same statuses and fields that differ.
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
_TAKE_ZERO: Final = listed(row.operation.name for row in IN_BULK if row.quantity_min == 0)
_RECORDED: Final = [row for row in MOVEMENTS if row.is_recordable]
_NEED_REASON: Final = listed(row.shown for row in _RECORDED if row.needs_reason)
_TAKE_REASON: Final = listed(row.shown for row in _RECORDED if row.takes_reason and not row.needs_reason)
_SIGNED: Final = listed(row.shown for row in _RECORDED if row.is_signed)
_TARGETED: Final = listed(row.shown for row in _RECORDED if row.arrives_as)


class _Asked(NamedTuple):
    """What one call asks for, checked."""

    batch: Batch
    notes: dict[int, Notes]
    """By command."""
    work: NDArray[np.int64]
    """Of each command: its lines, at each place where they move units."""


class _Request(CommandReader):
    """The columns of one call, checked; every method that checks raises RefusedError."""

    def __init__(self, request: Any, book: Book) -> None:
        super().__init__(request, book)
        self._transfers = TransferColumns(self) if self.has_verbs else None
        self.skus = self._read_skus()
        self.locations = self._read_locations()
        self.to_locations = self._read_to_locations()
        self.kinds, self.reasons = self._read_movements()
        self.quantities = self._read_quantities()

    # ---- commands

    def ttl_us(self) -> NDArray[np.int64]:
        """Check times to live; 0 where there is none."""
        has, values = HAS_TTL[self.operations], self.of_commands("ttl_us")
        is_right = (values > 0) & (values <= limits.TTL_US_MAX)
        values = self.require(is_right | ~has, "ttl_us", f"1 to {limits.TTL_US_MAX} microseconds", values)
        return np.where(has, values, 0)

    def reservation_numbers(self) -> NDArray[np.int64]:
        """Check reservation ids; one that the engine never gave is an unknown reservation."""
        has, values = HAS_RESERVATION[self.operations], self.of_commands("reservation_ids")
        values = self.require((values != 0) | ~has, "reservation_ids", "the id of a reservation", values)
        numbers = np.where(has, values, 0).astype(np.int64)
        return np.where(numbers < 0, fields.UNKNOWN_RESERVATION, numbers)

    def _require_bounded_lines(self, numbers: NDArray[np.int64], held_by_transfers: NDArray[np.int64] | None) -> None:
        """Refuse a call whose commands concern too many lines of the reservations and transfers that they name."""
        more = self._lines_of_reservations(numbers)
        if held_by_transfers is not None:
            more += int(np.maximum(held_by_transfers - self.line_counts, 0).sum())
        total = self.line_total + more
        if total > limits.LINES_PER_CALL_MAX:
            named = "reservations" if held_by_transfers is None else "reservations and transfers"
            expected = f"at most {limits.LINES_PER_CALL_MAX} lines in all, those of the {named} named counted"
            raise invalid("reservation_ids", expected, total, "lines")

    def _lines_of_reservations(self, numbers: NDArray[np.int64]) -> int:
        """Return how many lines of the reservations that they name commands concern beside their own."""
        names = NAMES_LINES[self.operations]
        if not names.any():
            return 0
        own, numbers, operations = self.line_counts[names], numbers[names], self.operations[names]
        made = int(np.count_nonzero(MAKES[self.operations]))
        held = held_lines(self.book, numbers, own * GROWS[operations], made)
        return int(np.where(REPLACES[operations], held, np.maximum(held - own, 0)).sum())

    def expected_versions(self) -> NDArray[np.int64]:
        """Check the versions that callers saw; 0 where there is none."""
        has, values = HAS_VERSION[self.operations], self.of_commands("expected_versions")
        is_right = (values >= 0) & (values <= limits.QUANTITY_MAX)
        values = self.require(is_right | ~has, "expected_versions", f"0 to {limits.QUANTITY_MAX}", values)
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
            expected = f"{NONE} to {len(texts) - 1}, an index in texts"
            both.append(self.require(is_right, field, expected, indexes, instead=NONE))
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
        self._is_any_sku = allowed
        expected = f"0 to {len(names) - 1}, an index in sku_ids"
        indexes = self.require(is_right, "sku_indexes", expected, indexes, of_line=True, instead=NONE)
        skus = np.append(self.book.ledger.sku_indexes(names), np.int32(ANY_SKU))  # which the index -1 finds
        return np.asarray(skus[indexes])

    def _read_locations(self) -> NDArray[np.int32]:
        names = self.names("location_ids")
        indexes = self.of_lines("location_indexes")
        is_right = (indexes >= 0) & (indexes < len(names))
        if self._transfers:
            is_right |= self._transfers.lines_without_place
        expected = f"0 to {len(names) - 1}, an index in location_ids"
        indexes = self.require(is_right, "location_indexes", expected, indexes, of_line=True, instead=NONE)
        self._location_indexes = self.book.ledger.location_indexes(names)
        if self._transfers:
            indexes = np.where(self._transfers.lines_without_place, NONE, indexes)
        places = np.append(self._location_indexes, np.int32(NO_LOCATION))  # which the index -1 finds
        return np.asarray(places[indexes])

    def _read_to_locations(self) -> NDArray[np.int32]:
        """Check where units go: NO_LOCATION where they go nowhere. Transfers have one origin and one target."""
        is_hold, targeted, told = MOVES[self.operation_of_line], _TARGETED, "TRANSFER"
        if self._transfers:
            is_hold |= self._transfers.lines & ~self._transfers.lines_without_place
            targeted = told = f"{_TARGETED} or CREATE_TRANSFER"
        is_movement = HAS_KINDS[self.operation_of_line]
        if is_movement.any():
            types = self.of_lines("movement_types")
            is_movement &= ARRIVES_AS[KIND_OF[np.minimum(types, len(KIND_OF) - 1)]] > 0
        needs = is_hold | is_movement
        field = "to_location_indexes"
        indexes = self.indexes(field, self.line_total)
        if (not needs.any() and not self.has(field)) or "movement_types" in self.unread:
            return np.full(self.line_total, NO_LOCATION, np.int32)
        is_index = (indexes >= 0) & (indexes < len(self._location_indexes))
        expected = f"0 to {len(self._location_indexes) - 1}, an index in location_ids, for a {targeted}, else {NONE}"
        is_right = np.where(needs, is_index, indexes == NONE)
        indexes = self.require(is_right, field, expected, indexes, of_line=True, instead=NONE)
        # what the index -1 finds
        targets = np.append(self._location_indexes, np.int32(NO_LOCATION))[np.where(needs, indexes, NONE)]
        if fields.wrong_count():  # then places are compared that are none
            return targets
        is_other = ~needs | (targets != self.locations)
        self.require(is_other, field, "another location than that of location_indexes", indexes, of_line=True)
        first_line = (np.cumsum(self.line_counts) - self.line_counts)[self.command_of_line]
        for name, places in (("location_indexes", self.locations), (field, targets)):
            is_one = ~is_hold | (places == places[first_line])
            expected = f"one location in all lines of a {told}"
            self.require(is_one, name, expected, self.of_lines(name), of_line=True)
        return targets

    def _read_movements(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Check what movements do and why; 0 in lines of other commands."""
        concerned = HAS_KINDS[self.operation_of_line]
        types, reasons = self.of_lines("movement_types"), self.of_lines("unavailable_reasons")
        if not concerned.any():
            return np.zeros(self.line_total, np.uint8), np.zeros(self.line_total, np.uint8)
        types, reasons = np.where(concerned, types, 0), np.where(concerned, reasons, 0)
        kinds = KIND_OF[np.minimum(types, len(KIND_OF) - 1)] * (types < len(KIND_OF))
        is_kind = (kinds > 0) | ~concerned
        expected = "a movement type that is not output only"
        types = self.require(is_kind, "movement_types", expected, types, of_line=True)
        known = reasons < REASON_OF.shape[1]
        given = REASON_OF[types, np.where(known, reasons, 0)]
        is_right = (known & (given != NONE)) | ~concerned | ~is_kind
        expected = f"a reason for {_NEED_REASON}, one or none for {_TAKE_REASON}, else none"
        self.require(is_right, "unavailable_reasons", expected, reasons, of_line=True)
        return kinds, np.where(concerned, given, 0).astype(np.uint8)

    def _read_quantities(self) -> NDArray[np.int64]:
        quantities = self.of_lines("quantities")
        least = QUANTITY_MIN[self.operation_of_line]
        is_all = self._is_any_sku
        is_right = (quantities >= least) & (quantities <= limits.QUANTITY_MAX) & ~is_all
        is_right |= is_all & (quantities == 0)
        is_right |= IS_SIGNED[self.kinds] & (quantities >= -limits.QUANTITY_MAX) & (quantities < 0)
        if fields.wrong_count():  # all skus, where that cannot be said: it is told of sku_indexes
            is_right |= (self.sku_indexes == NONE) & (quantities == 0)
        expected = (
            f"1 to {limits.QUANTITY_MAX}; also 0 for {_TAKE_ZERO}, only 0 for all that is open, also negative for "
            f"{_SIGNED}, but not 0"
        )
        return np.asarray(self.require(is_right, "quantities", expected, quantities, of_line=True, instead=1))

    # ---- the batch

    def asked(self) -> _Asked:
        """Return the commands and lines as the ledger takes them, and what is known of each command."""
        notes, versions = self.notes(), self.expected_versions()
        numbers, ttl_us = self.reservation_numbers(), self.ttl_us()
        documents = self._transfers.numbers() if self._transfers else np.zeros(0, np.int64)
        fields.stop_if_wrong()
        lines = np.zeros(self.line_total, LINE)
        lines["sku"] = self.skus
        lines["location"] = self.locations
        lines["to_location"] = self.to_locations
        lines["kind"] = self.kinds
        lines["reason"] = self.reasons
        lines["quantity"] = self.quantities
        if self._transfers:
            self._transfers.fill_lines(lines)
        counts = self.line_counts
        if counts.max() > 1:
            lines, counts = self._without_repeats(lines)
        commands = np.zeros(self.count, COMMAND)
        has_id = self.ids.any(axis=1)
        partial = (self.of_commands("allow_partial") != 0) & MAKES[self.operations]
        commands["operation"] = self.operations
        commands["flags"] = has_id * np.uint8(HAS_REQUEST_ID) + partial * np.uint8(ALLOW_PARTIAL)
        commands["expected_version"], commands["reservation_id"], commands["ttl_us"] = versions, numbers, ttl_us
        commands["request_id_high"] = self.ids[:, 0]
        commands["request_id_low"] = self.ids[:, 1]
        for command, note in notes.items():
            commands["content"][command] = note.digest()
        work, held = counts * self._places_per_line(), None
        if self._transfers:
            self._transfers.fill_commands(commands, documents)
            lines, counts = self._transfers.with_heads(lines, counts, documents)
            held = self._transfers.held_lines(documents)
            work = counts * self._places_per_line() + self._transfers.work(held)
        self._require_bounded_lines(numbers, held)
        commands["line_count"] = counts
        commands["line_start"] = np.cumsum(counts) - counts
        return _Asked(Batch(commands, lines), notes, work)

    def _places_per_line(self) -> NDArray[np.int64]:
        """Return at how many places each command moves units: what is work is a line at a place."""
        return np.where(AT_TWO_PLACES[self.operations], 2, 1)

    def _without_repeats(self, lines: NDArray[np.void]) -> tuple[NDArray[np.void], NDArray[np.int64]]:
        """Let lines of one command with one sku and location count together, or refuse them."""
        place = self.command_of_line * 2**32 + (lines["sku"].astype(np.int64) + 2**31)
        beside = lines["location"]
        if self._transfers:  # their lines of one sku count together if they say the same of it
            said = lines["kind"].astype(np.int32) << 8 | lines["reason"]
            beside = np.where(self._transfers.lines, said, beside)
        order = np.lexsort((beside, place))
        is_same = (np.diff(place[order]) == 0) & (np.diff(beside[order]) == 0)
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
        self.require(allowed, "sku_indexes", expected, self.sku_indexes, of_line=True)
        is_repeat &= ~is_movement
        totals = lines["quantity"].copy()
        np.add.at(totals, first_of[is_repeat], lines["quantity"][is_repeat])
        expected = f"at most {limits.QUANTITY_MAX} together with the lines of the same sku and location"
        self.require(totals <= limits.QUANTITY_MAX, "quantities", expected, totals, of_line=True)
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
    states, is_verb = np.where(is_ok, outcomes["state"], 0), operations == ADVANCE
    if is_verb.any():
        tells_state = is_ok | (status == Status.DOCUMENT_NOT_BEGUN) | (status == Status.DOCUMENT_ENDED)
        yield "transfer_states", np.where(is_verb & tells_state, outcomes["state"], 0)
        states[is_verb] = 0
    yield "states", states
    yield "versions", np.where(tells_version, outcomes["version"], 0)
    yield "differing_fields", np.where(status == Status.REQUEST_ID_REUSED, outcomes["field"], 0)
    yield "applied_oversold", (outcomes["flags"] & IS_OVERSOLD) != 0


def _fill_details(message: Any, batch: Batch, answer: Answer, book: Book) -> None:
    """Say what the columns cannot: which lines, how many units."""
    outcomes, details = answer
    commands = np.repeat(np.arange(len(outcomes)), outcomes["detail_count"])
    is_verb = batch.commands["operation"][commands] == ADVANCE
    is_about_all = is_verb & (details["line"] == 0) & (outcomes["status"][commands] == Status.QUANTITY_EXCEEDS_OPEN)
    if is_about_all.any():  # the transfer has no units left, whatever the line
        if is_about_all.all():
            return
        commands, details, is_verb = commands[~is_about_all], details[~is_about_all], is_verb[~is_about_all]
    command, status = batch.commands[commands], outcomes["status"][commands]
    line_at = command["line_start"] + np.minimum(details["line"], np.maximum(command["line_count"], 1) - 1)
    has_lines = command["line_count"] > 0
    lines = batch.lines[np.where(has_lines, line_at, 0)] if len(batch.lines) else np.zeros(len(details), LINE)
    skus, locations = np.where(has_lines, lines["sku"], NONE), np.where(has_lines, lines["location"], NONE)
    if is_verb.any():  # the source of a transfer that begins is told by its head
        heads = np.where(is_verb, command["line_start"], 0)  # a last command without lines stands behind all of them
        locations = np.where(is_verb, batch.lines["location"][heads], locations)
    named = details["level"] >= 0
    level_skus, level_locations = book.ledger.keys_of(np.where(named, details["level"], 0))
    skus, locations = np.where(named, level_skus, skus), np.where(named, level_locations, locations)
    at_target = MOVES[command["operation"]] & np.isin(status, (Status.NOT_STOCKED_HERE, Status.LOCATION_INACTIVE))
    locations = np.where(at_target, lines["to_location"], locations)
    columns = {
        "command_indexes": commands,
        "lines": without_heads(is_verb, details["line"]),
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
    """Return what is left at the first line of each command but those of transfers.

    A closed location takes no new holds.
    """
    commands, lines = batch
    left = np.zeros(len(commands), np.int64)
    with_lines = np.flatnonzero((commands["line_count"] > 0) & (commands["operation"] != ADVANCE))
    first = lines[commands["line_start"][with_lines]]
    locations = np.ascontiguousarray(first["location"])
    available = book.ledger.available_at(np.ascontiguousarray(first["sku"]), locations)
    known, place_of = np.unique(np.maximum(locations, 0), return_inverse=True)
    is_open = np.array([book.ledger.is_location_active(place) for place in known.tolist()], bool)
    left[with_lines] = np.where(is_open[place_of], available, np.minimum(available, 0))
    return left


def execute_commands(request: Any, book: Book, time_us: int) -> Any:
    """Answer ExecuteCommands, from one twin to the other; more lines than one group takes are spread over several."""
    asked = fields.in_full(lambda: _Request(request, book).asked())
    if asked.work.sum() <= LINES_PER_GROUP_MAX:
        return _response(request, asked.batch, _executed(asked.batch, 0, asked.notes, book, time_us), book)
    return _over_groups(request, asked, book)


def _over_groups(request: Any, asked: _Asked, book: Book) -> Work[Any]:
    """Run a part of the commands in each group; each command is one write, and has its own request id."""
    batch, answers = asked.batch, list[Answer]()
    for first, last in _parts_of(asked.work):
        if answers:
            yield None
        part = Batch(batch.commands[first:last], batch.lines)
        answers.append(_executed(part, first, asked.notes, book, book.ledger.group_time_us))
        answers[-1].outcomes["detail_start"] += sum(len(answer.details) for answer in answers[:-1])
    outcomes, details = (np.concatenate(columns) for columns in zip(*answers, strict=True))
    return _response(request, batch, Answer(outcomes, details), book)


def _parts_of(work: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield first and last command of what one group runs after the other."""
    ends, first = np.cumsum(work), 0
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
