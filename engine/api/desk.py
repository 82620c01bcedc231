"""The desk: takes the calls of one group in, and has an answer for each when the book has been asked."""

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

import structlog

from engine.api import admin, bulk, catalog, fields, inventory, network, plan_columns, reservations, routing
from engine.api.methods import (
    NO_NOTES,
    BatchBuilder,
    Command,
    LoneMethod,
    Method,
    Outcome,
    PlanMethod,
    ReadMethod,
    StockMethod,
    Surroundings,
    outcomes_of,
    parse,
)
from engine.api.order_batches import OrderBatchBuilder
from engine.api.orders import settle_all
from engine.api.refusals import reused
from engine.errors import RefusedError, journal_away
from engine.planner.run import PlannedOrder, Planner
from engine.transport import Call
from ledger.book import NO_COMMANDS
from ledger.core.records import IS_WRITTEN
from ledger.journal.errors import JournalError, JournalTrimmed, JournalUnavailable

METHODS: Final[Sequence[Method]] = (
    *reservations.METHODS,
    *inventory.METHODS,
    *bulk.METHODS,
    *catalog.METHODS,
    *routing.METHODS,
    *plan_columns.METHODS,
    *network.METHODS,
    *admin.METHODS,
)
METHOD_PATHS: Final[Sequence[str]] = tuple(method.path for method in METHODS)
STATUS_METHODS: Final = frozenset([METHOD_PATHS.index(admin.SERVICE + "GetStatus")])
"""Answered by an engine whatever its state."""
OPERATOR_METHODS: Final = frozenset(
    position for position, path in enumerate(METHOD_PATHS) if path.startswith(admin.SERVICE)
)
"""What operators ask: answered also in an overload, and by a standby."""
SERVICE_NAMES: Final[Sequence[str]] = tuple(dict.fromkeys(path.split("/")[1] for path in METHOD_PATHS))

WriteMethod = StockMethod[Any, Any] | PlanMethod[Any, Any] | LoneMethod[Any, Any]

log = structlog.get_logger("onhand.desk")


class Reply(NamedTuple):
    """The answer to one call: a response, or a refusal."""

    call_id: int
    response: bytes | RefusedError


class _Waiting(NamedTuple):
    """A call whose commands are part of the next batch."""

    call_id: int
    method: StockMethod[Any, Any]
    request: Any
    commands: Sequence[Command]


class _Planning(NamedTuple):
    """A call whose orders are part of the next planning batch."""

    call_id: int
    method: PlanMethod[Any, Any]
    request: Any
    asked: Any


class Desk:
    """Answers the calls of one group, writes first, then reads.

    All calls of a group are concurrent: none was answered before the last one came in. So any order of them is a true
    one, and reads may see all that their group wrote.
    """

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._batch = BatchBuilder(around.book)
        self._waiting: list[_Waiting] = []
        self._orders = OrderBatchBuilder(around.book)
        self._planner = Planner(around.book)
        self._planning: list[_Planning] = []
        self._replies: list[Reply] = []

    def answer(self, calls: Sequence[Call], time_us: int) -> list[Reply]:
        """Return one reply for each call.

        Parameters
        ----------
        calls
            The group; `method` is a position in METHODS.
        time_us
            Time of the group, microseconds since the epoch.
        """
        self._around.book.execute(NO_COMMANDS, time_us)
        reads = []
        for call in calls:
            method = METHODS[call.method]
            if isinstance(method, ReadMethod):
                reads.append((call, method))
                continue
            try:
                self._write(call, method, time_us)
            except Exception as error:  # noqa: BLE001 - answered, and a bug is logged
                self._fail(call.call_id, error)
        self._run_waiting(time_us)
        settle_all(self._around.book, time_us)
        self._around.book.finish_group()
        for call, method in reads:
            self._read(call, method)
        replies, self._replies = self._replies, []
        return replies

    def _read(self, call: Call, method: ReadMethod[Any, Any]) -> None:
        try:
            self._reply(call.call_id, method.run(parse(method, call.payload), self._around))
        except Exception as error:  # noqa: BLE001 - answered, and a bug is logged
            self._fail(call.call_id, error)

    def refuse(
        self, calls: Sequence[Call], refusal: RefusedError, answered: Collection[int] = STATUS_METHODS
    ) -> list[Reply]:
        """Return one reply for each call: a refusal, but an answer to methods that change nothing and may be asked now.

        Parameters
        ----------
        calls
            As in `answer`.
        refusal
            What the others are told.
        answered
            Positions of read methods.
        """
        for call in calls:
            method = METHODS[call.method]
            if call.method not in answered:
                self._replies.append(Reply(call.call_id, refusal))
                continue
            assert isinstance(method, ReadMethod)
            self._read(call, method)
        replies, self._replies = self._replies, []
        return replies

    def _write(self, call: Call, method: WriteMethod, time_us: int) -> None:
        """Take a write in; one that writes by itself is run and answered at once."""
        book, request = self._around.book, parse(method, call.payload)
        try:
            if isinstance(method, StockMethod):
                commands = method.read(request, book)
            elif isinstance(method, PlanMethod):
                asked = method.read(request, call.payload, self._orders, time_us)
                self._planning.append(_Planning(call.call_id, method, request, asked))
                return
            else:  # what came before it stays before it; what comes after may use names it brings
                self._run_waiting(time_us)
                self._reply(call.call_id, method.run(request, book, time_us))
                return
        except RefusedError as refusal:
            self._put_idempotency_first(request, refusal)
            raise
        for command in commands:
            self._batch.add(command)
        self._waiting.append(_Waiting(call.call_id, method, request, commands))

    def _put_idempotency_first(self, request: Any, refusal: RefusedError) -> None:
        """Raise what outranks a wrong field: a request id that is known, and used again with other content."""
        is_wrong = refusal.reason == "VALIDATION_FAILED"
        if is_wrong and self._is_known(getattr(request, "request_id", "")):
            raise reused(refusal.metadata["field"]) from refusal

    def _is_known(self, request_id: str) -> bool:
        try:
            halves = fields.request_id(request_id)
        except RefusedError:
            return False
        return halves is not None and self._around.book.ledger.remembers(*halves)

    def _run_waiting(self, time_us: int) -> None:
        """Run what waits, and answer its calls."""
        self._run_batch(time_us)
        self._run_plans(time_us)

    def _run_plans(self, time_us: int) -> None:
        """Plan the orders that wait, and answer their calls."""
        if not self._planning:
            return
        book = self._around.book
        outcomes = PlannedOrder.of(self._planner.run(self._orders.take(), time_us)) if len(self._orders) else []
        for call_id, method, request, asked in self._planning:
            try:
                self._reply(call_id, method.answer(request, asked, outcomes, book, time_us))
            except Exception as error:  # noqa: BLE001 - answered, and a bug is logged
                self._fail(call_id, error)
        self._planning = []

    def _run_batch(self, time_us: int) -> None:
        """Run the commands that wait, and answer their calls."""
        if not self._waiting:
            return
        book = self._around.book
        outcomes = outcomes_of(book.execute(self._batch.take(), time_us))
        first = 0
        for call_id, method, request, commands in self._waiting:
            own = outcomes[first : first + len(commands)]
            first += len(commands)
            try:
                self._note(commands, own)
                self._reply(call_id, method.answer(request, commands, own, book))
            except Exception as error:  # noqa: BLE001 - answered, and a bug is logged
                self._fail(call_id, error)
        self._waiting = []

    def _note(self, commands: Sequence[Command], outcomes: Sequence[Outcome]) -> None:
        for command, outcome in zip(commands, outcomes, strict=True):
            if command.notes is not NO_NOTES and outcome.flags & IS_WRITTEN:
                self._around.book.note(outcome.seq, *command.notes)

    def _reply(self, call_id: int, response: Any) -> None:
        written = response if isinstance(response, bytes) else response.SerializeToString()
        self._replies.append(Reply(call_id, written))

    def _fail(self, call_id: int, error: Exception) -> None:
        """Answer a call with why it has no response.

        One odd request must not stop the engine for all. What is guarded this way decodes, reads or says what came of a
        batch, or writes by itself, and then checks everything before the ledger hears of it.
        """
        if isinstance(error, JournalUnavailable):  # of a read: the history is in the journal
            error = journal_away("read", error)
        elif isinstance(error, JournalTrimmed):
            error = RefusedError("HISTORY_TRIMMED", str(error))
        elif isinstance(error, JournalError):  # of an archive segment, or of the journal itself
            error = RefusedError("LEDGER_CORRUPT", str(error))
        elif not isinstance(error, RefusedError):  # a bug of ours: logged in full
            log.error("a call could not be answered", call_id=call_id, exc_info=error)
            error = RefusedError("INTERNAL_ERROR", "The engine failed on this call; its log says why.")
        self._replies.append(Reply(call_id, error))
