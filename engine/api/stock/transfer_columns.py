"""Transfers as columns of a bulk call: what their commands and lines say, checked, and as the ledger takes it."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onhand.inventory.v1 import bulk_service_pb2 as service

from engine.api import fields
from engine.api.stock.command_columns import BEGINS, IS_VERB, KIND_OF, VERB_OF, CommandReader
from engine.api.stock.documents import TIME_EXPECTED
from engine.api.stock.transfers import ACTIONS
from ledger.core import limits
from ledger.core.records import ANY_SKU, LINE, NO_LOCATION, USES_SAFETY_STOCK
from ledger.core.statuses import Operation, TransferAction, Unavailable

CREATE: Final = service.COMMAND_OPERATION_CREATE_TRANSFER
DISPATCH: Final = service.COMMAND_OPERATION_DISPATCH_TRANSFER
RECEIVE: Final = service.COMMAND_OPERATION_RECEIVE_TRANSFER
FIND: Final = service.COMMAND_OPERATION_RECORD_FOUND_UNITS
CANCEL: Final = service.COMMAND_OPERATION_CANCEL_TRANSFER

ACTION_OF_CONDITION: Final = np.array([ACTIONS[condition] for condition in sorted(ACTIONS)], np.uint8)
WORK_OF_VERB: Final = 4
"""Lines that a verb of a transfer counts as in its group beside its own: it looks the transfer up, and makes room."""
WORK_OF_UNEXPECTED: Final = 64
"""The same, where it brings units that nobody sent: levels at the source are told to wait for a count."""
assert sorted(ACTIONS) == list(range(len(ACTIONS)))


class TransferColumns:
    """The commands of a call that are verbs of transfers, at least one; what checks raises RefusedError."""

    def __init__(self, columns: CommandReader) -> None:
        self._columns = columns
        self.are_verbs = IS_VERB[columns.operations]
        """Of commands."""
        self.lines = IS_VERB[columns.operation_of_line]
        """Which lines are theirs."""
        self.begins = BEGINS[columns.operations]
        """Of commands: which make a transfer."""
        self.lines_without_place = self.lines & ~BEGINS[columns.operation_of_line]
        """Which lines have no location: those of a transfer that is there."""
        self._hold = (columns.of_commands("hold") != 0) | (columns.of_commands("reservation_ids") != 0)
        self._actions = self._read_actions()
        self._reasons = self._read_reasons()
        self._due_us = self._read_due_times()

    # ---- checks

    def _read_actions(self) -> NDArray[np.uint8]:
        """Return what each line says of its units; 0 in lines of other commands."""
        columns = self._columns
        operations, conditions = columns.operation_of_line, columns.of_lines("conditions")
        is_receipt = operations == RECEIVE
        is_right = (conditions < len(ACTION_OF_CONDITION)) | ~is_receipt
        expected = "a condition of ReceiptCondition"
        conditions = columns.require(is_right, "conditions", expected, conditions, of_line=True)
        actions = np.zeros(columns.line_total, np.uint8)
        actions[operations == CREATE] = TransferAction.PLAN
        actions[(operations == CREATE) & self._hold[columns.command_of_line]] = TransferAction.HOLD
        actions[operations == DISPATCH] = TransferAction.SEND
        actions[is_receipt] = ACTION_OF_CONDITION[conditions[is_receipt]]
        actions[operations == FIND] = TransferAction.FIND
        actions[(operations == FIND) & (columns.of_lines("at_source") != 0)] = TransferAction.FIND_AT_SOURCE
        actions[operations == CANCEL] = TransferAction.LOSE
        assert ((actions != 0) == self.lines).all(), "each line of a verb says something"
        return actions

    def _read_reasons(self) -> NDArray[np.uint8]:
        """Check why units may not be sold; 0 in all other lines."""
        columns = self._columns
        reasons = columns.of_lines("unavailable_reasons")
        is_receipt = columns.operation_of_line == RECEIVE
        is_aside = self._actions == TransferAction.SET_ASIDE
        is_right = np.where(is_aside, np.isin(reasons, list(Unavailable)), reasons == 0) | ~is_receipt
        is_right |= "conditions" in columns.unread
        expected = "a reason of UnavailableReason for UNAVAILABLE, else none"
        reasons = columns.require(is_right, "unavailable_reasons", expected, reasons, of_line=True)
        return np.where(is_aside, reasons, 0).astype(np.uint8)

    def _read_due_times(self) -> NDArray[np.int64]:
        values = self._columns.of_commands("due_times_us")
        is_right = (values >= 0) & (values <= limits.TIME_US_MAX)
        expected = f"0 for none, or {TIME_EXPECTED}, in microseconds"
        values = self._columns.require(is_right | ~self.begins, "due_times_us", expected, values)
        return np.where(self.begins, values, 0)

    def numbers(self) -> NDArray[np.int64]:
        """Check the ids of transfers, and those of the orders that new ones are for; 0 for other commands."""
        values = self._columns.of_commands("reservation_ids")
        is_right = (values != 0) | self.begins | ~self.are_verbs
        values = self._columns.require(is_right, "reservation_ids", "the id of a transfer", values)
        numbers = np.where(self.are_verbs, values, 0).astype(np.int64)
        return np.where(numbers < 0, fields.UNKNOWN_RESERVATION, numbers)

    # ---- how much it is

    def held_lines(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many lines the transfers that are named have, or will at most; 0 for other commands."""
        columns, held = self._columns, np.zeros(self._columns.count, np.int64)
        names = self.are_verbs & ~self.begins
        made = int(np.count_nonzero(self.begins))
        held[names] = columns.book.ledger.document_line_counts(numbers[names], made)
        added = np.bincount(columns.command_of_line, self._actions == TransferAction.ADD, columns.count)[names]
        if added.any():
            _, which = np.unique(numbers[names], return_inverse=True)
            grown = held[names] + np.bincount(which, added).astype(np.int64)[which]
            held[names] = np.minimum(grown, limits.LINES_PER_DOCUMENT_MAX)
        return held

    def work(self, held: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return what each command is in its group beside its own lines, in lines; 0 for other commands."""
        brings = np.zeros(self._columns.count, np.bool_)
        brings[self._columns.command_of_line[self._actions == TransferAction.ADD]] = True
        work: NDArray[np.int64] = held + WORK_OF_VERB * self.are_verbs + WORK_OF_UNEXPECTED * brings
        return work

    # ---- the batch

    def fill_lines(self, lines: NDArray[np.void]) -> None:
        """Write what lines of verbs say."""
        lines["kind"][self.lines] = self._actions[self.lines]
        lines["reason"][self.lines] = self._reasons[self.lines]

    def with_heads(
        self, lines: NDArray[np.void], counts: NDArray[np.int64], numbers: NDArray[np.int64]
    ) -> tuple[NDArray[np.void], NDArray[np.int64]]:
        """Return the lines with the head of each verb before its own, and how many each command has."""
        operations = self._columns.operations[self.are_verbs]
        starts = (np.cumsum(counts) - counts)[self.are_verbs]
        heads = np.zeros(len(starts), LINE)
        heads["sku"] = ANY_SKU
        heads["location"] = heads["to_location"] = NO_LOCATION
        heads["kind"], heads["reason"] = VERB_OF[operations], KIND_OF[operations]
        begins = BEGINS[operations]
        first = lines[starts[begins]]  # whoever begins has lines
        heads["location"][begins], heads["to_location"][begins] = first["location"], first["to_location"]
        heads["quantity"] = self._due_us[self.are_verbs]
        heads["to_quantity"][begins] = numbers[self.begins]
        is_verb = np.repeat(self.are_verbs, counts)
        lines["location"][is_verb] = lines["to_location"][is_verb] = NO_LOCATION
        return np.insert(lines, starts, heads), counts + self.are_verbs

    def fill_commands(self, commands: NDArray[np.void], numbers: NDArray[np.int64]) -> None:
        """Write what commands that are verbs are in the ledger; the flags are set already but for one."""
        uses = (self._columns.of_commands("use_safety_stock") != 0) & np.isin(
            self._columns.operations, (CREATE, DISPATCH)
        )
        commands["operation"][self.are_verbs] = Operation.ADVANCE
        commands["flags"] |= uses * np.uint8(USES_SAFETY_STOCK)
        commands["reservation_id"][self.are_verbs] = np.where(self.begins, 0, numbers)[self.are_verbs]


def without_heads(is_verb: NDArray[np.bool_], positions: NDArray[Any]) -> NDArray[Any]:
    """Return positions of lines as callers count them: a verb's own lines come after its head."""
    return np.asarray(np.maximum(positions - is_verb, 0))
