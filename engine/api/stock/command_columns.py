"""What any command of a bulk call has as columns: its operation, its lines, and what is known of each operation."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onhand.columns import dtypes_of
from onhand.inventory.v1 import bulk_service_pb2 as service

from engine.api import fields
from engine.api.columns import ColumnReader, remembers
from engine.errors import invalid
from ledger.book import Book
from ledger.core import limits, operations
from ledger.core.documents import DOCUMENTS, VerbRow
from ledger.core.operations import (
    CHANGES_LINES,
    CHANGES_RESERVATION,
    IS_BULK,
    MAKES_RESERVATION,
    MOVES_HOLD,
    OPERATIONS,
    ROWS,
    SETS_EXPIRY,
    SETS_TOTALS,
    those_with,
)
from ledger.core.statuses import DocumentKind, Operation, TransferVerb

REQUEST_DTYPES: Final = dtypes_of(service.ExecuteCommandsRequest)
IN_BULK: Final = [row for row in OPERATIONS if row.traits & IS_BULK]

# ---- verbs of documents ----------------------------------------------------------------------------------------------

CALLED: Final = {TransferVerb.FIND: "RECORD_FOUND_UNITS"}
"""What the contract calls a verb by another name than its own and its document's."""


def _operation_of(kind: DocumentKind, verb: IntEnum) -> int:
    """Return the operation of the contract that is a verb."""
    name = CALLED.get(verb) if kind is DocumentKind.TRANSFER else None  # type: ignore[call-overload]  # of its kind
    number: int = service.CommandOperation.Value(f"COMMAND_OPERATION_{name or f'{verb.name}_{kind.name}'}")
    return number


VERBS: Final[Mapping[int, tuple[DocumentKind, IntEnum]]] = {
    _operation_of(document.kind, row.verb): (document.kind, row.verb)
    for document in DOCUMENTS
    if document.kind is DocumentKind.TRANSFER
    for row in document.verbs
}
"""Operations of the contract that are one of the ledger, ADVANCE, by kind of document and verb."""
_ROW_OF: Final[Mapping[tuple[DocumentKind, IntEnum], VerbRow]] = {
    (document.kind, row.verb): row
    for document in DOCUMENTS
    if document.kind is DocumentKind.TRANSFER
    for row in document.verbs
}
# Each verb has exactly one operation, whose number no operation of the ledger has: one table tells of both.
assert set(VERBS.values()) == _ROW_OF.keys()
assert len(VERBS) == len(_ROW_OF)
assert VERBS.keys().isdisjoint(map(int, Operation))
assert {f"COMMAND_OPERATION_{row.operation.name}": int(row.operation) for row in IN_BULK} == {
    name: value for name, value in service.CommandOperation.items() if value and value not in VERBS
}


def _of_verbs(told: Any, dtype: Any) -> NDArray[Any]:
    """Return by operation what `told` says of a verb, 0 for operations of the ledger."""
    column = np.zeros(ROWS, dtype)
    for operation, (kind, verb) in VERBS.items():
        column[operation] = told(kind, _ROW_OF[kind, verb])
    column.setflags(write=False)
    return column


def _lines_max(_: DocumentKind, row: VerbRow) -> int:
    return limits.LINES_PER_DOCUMENT_MAX if row.actions else 0


FIRST_VERB: Final = min(VERBS)
assert max(row.operation for row in IN_BULK) < FIRST_VERB
OF_VERBS: Final = ("due_times_us", "hold", "use_safety_stock")
OF_LINES_OF_VERBS: Final = ("conditions", "at_source")
"""Columns that only verbs have, of commands and of lines."""

# ---- by operation of the contract ------------------------------------------------------------------------------------

# Of every number that a column can hold.
KIND_OF: Final = _of_verbs(lambda kind, _: kind, np.uint8)
VERB_OF: Final = _of_verbs(lambda _, row: row.verb, np.uint8)
IS_VERB: Final = VERB_OF > 0
BEGINS: Final = VERB_OF == TransferVerb.CREATE
LINES_MIN: Final = operations.LINES_MIN + _of_verbs(lambda _, row: row.needs_lines, np.uint16)
LINES_MAX: Final = operations.LINES_MAX + _of_verbs(_lines_max, np.uint16)
QUANTITY_MIN: Final = operations.QUANTITY_MIN + _of_verbs(lambda _, __: 1, np.uint16)
IS_KNOWN: Final = those_with(IS_BULK) | IS_VERB
HAS_TTL: Final = those_with(operations.HAS_TTL)
HAS_VERSION: Final = those_with(operations.HAS_VERSION) | (IS_VERB & ~BEGINS)
HAS_RESERVATION: Final = those_with(CHANGES_RESERVATION, MAKES_RESERVATION)
MAKES: Final = those_with(MAKES_RESERVATION)
GROWS: Final = those_with(CHANGES_LINES)
MOVES: Final = those_with(MOVES_HOLD)
REPLACES: Final = those_with(SETS_TOTALS) & those_with(SETS_EXPIRY)
"""Has its own lines, and all others of the hold go."""
AT_TWO_PLACES: Final = MOVES | REPLACES
"""Moves units of each line at two places."""
HAS_KINDS: Final = those_with(operations.HAS_KINDS)
MERGES_LINES: Final = those_with(operations.MERGES_LINES) | (IS_VERB & (LINES_MAX > 0))
NAMES_LINES: Final = HAS_RESERVATION & (LINES_MAX > 0)
# What the masks are combined with by & | ~ are masks: of integers, ~ would make something else.
assert IS_KNOWN.dtype == HAS_KINDS.dtype == NAMES_LINES.dtype == IS_VERB.dtype == BEGINS.dtype == np.bool_


def operation_name(operation: int) -> str:
    """Return what messages call an operation of the contract."""
    name: str = service.CommandOperation.Name(operation)
    return name.removeprefix("COMMAND_OPERATION_")


class CommandReader(ColumnReader):
    """The columns of one call by command and by line; every method that checks raises RefusedError."""

    def __init__(self, request: Any, book: Book) -> None:
        super().__init__(request, REQUEST_DTYPES)
        self.book = book
        self.operations = self.whole("operations", limits.COMMANDS_PER_CALL_MAX, at_least=1)
        self.count = len(self.operations)
        self.sku_indexes: NDArray[np.int32] = self.whole("sku_indexes", limits.LINES_PER_CALL_MAX, at_least=0)
        self.line_total = len(self.sku_indexes)
        self.ids = self.request_ids(self.count, "commands")
        known = fields.wrong_count()
        self.require(IS_KNOWN[self.operations], "operations", "an operation of CommandOperation", self.operations)
        fields.stop_if_wrong(known)  # all else is by operation
        self.line_counts = self._read_line_counts()
        self.command_of_line = (
            np.arange(self.count)
            if self.line_total == self.count and bool((self.line_counts == 1).all())
            else np.repeat(np.arange(self.count), self.line_counts)
        )
        self.operation_of_line = self.operations[self.command_of_line]
        self.has_verbs = int(self.operations.max()) >= FIRST_VERB
        if not self.has_verbs:  # whoever reads them is not asked; they have their lengths all the same
            self._measure_columns_of_verbs()

    def _measure_columns_of_verbs(self) -> None:
        """Refuse columns of transfers that have wrong lengths."""
        for names, length in ((OF_VERBS, self.count), (OF_LINES_OF_VERBS, self.line_total)):
            for field in names:
                if getattr(self.request, field):
                    self.column(field, length)

    def of_commands(self, field: str) -> NDArray[Any]:
        """Read a column of commands."""
        return self.column(field, self.count)

    def of_lines(self, field: str) -> NDArray[Any]:
        """Read a column of lines."""
        return self.column(field, self.line_total)

    def has_known_id(self, place: int, *, of_line: bool) -> bool:
        """Tell whether the request id of an entry's command is remembered."""
        return remembers(self.book, self.ids[self.command_of_line[place] if of_line else place])

    def _read_line_counts(self) -> NDArray[np.int64]:
        known = fields.wrong_count()
        counts = self.of_commands("line_counts") if self.has("line_counts") else np.ones(self.count, np.uint32)
        fields.stop_if_wrong(known)
        least, most = LINES_MIN[self.operations], LINES_MAX[self.operations]
        is_right = (counts >= least) & (counts <= most)
        if not is_right.all():
            wrong = int(self.operations[np.argmin(is_right)])
            expected = f"{LINES_MIN[wrong]} to {LINES_MAX[wrong]} for {operation_name(wrong)}"
            self.require(is_right, "line_counts", expected, counts)
            fields.stop_if_wrong(known)
        total = int(counts.sum(dtype=np.int64))
        if total != self.line_total:
            raise invalid("sku_indexes", f"{total} entries, the sum of line_counts", self.line_total, "entries")
        return counts.astype(np.int64)
