"""The desk: takes the calls of one group in, and has an answer for each when the book has been asked."""

import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from importlib import import_module
from itertools import chain
from pkgutil import iter_modules
from types import GeneratorType, ModuleType
from typing import Any, Final, NamedTuple

import numpy as np
import structlog
from onhand.admin.v1.admin_service_pb2 import GetStatusRequest

from engine.api import admin, bulk, fields, orders, requests, stock
from engine.api.methods import (
    NO_NOTES,
    BatchBuilder,
    Command,
    LoneHandler,
    Method,
    PlanHandler,
    ReadHandler,
    StockHandler,
    Surroundings,
    Work,
    WriteHandler,
    outcomes_of,
    parse,
)
from engine.api.refusals import reused
from engine.api.routing import network, plan_columns
from engine.api.routing.order_batches import (
    KNOWN,
    WORK_BESIDE_SMALL_MAX,
    WORK_PER_GROUP_MAX,
    Asked,
    OrderBatchBuilder,
    PlanResult,
    check_fields,
    work_of,
)
from engine.api.routing.plan_columns import ANSWERED_PER_GROUP_MAX
from engine.api.routing.planning import METHODS as PLANNING_METHODS
from engine.api.routing.routers import are_routers_ready, has_current_routers, routers_of
from engine.api.routing.settlement import settle_all
from engine.api.stock import calls as stock_calls
from engine.background import Inline
from engine.errors import RETRY_SECONDS, RefusedError, journal_away
from engine.planner.run import LEVELS_FOUND_MAX, PlannedOrder, planner_of
from engine.transport import Call
from ledger.book import NO_COMMANDS, Book
from ledger.broken import LedgerBroken, whole_or_broken
from ledger.journal.errors import JournalError, JournalTrimmed, JournalUnavailable
from routing.limits import LINES_PER_ORDER_MAX


def _methods_in(package: ModuleType) -> Iterator[Method]:
    """Yield the methods of each module of a package that answers a service."""
    for each in iter_modules(package.__path__):
        yield from getattr(import_module(f"{package.__name__}.{each.name}"), "METHODS", ())


METHODS: Final[Sequence[Method]] = (
    *_methods_in(stock),
    *_methods_in(orders),
    *bulk.METHODS,
    *PLANNING_METHODS,
    *plan_columns.METHODS,
    *network.METHODS,
    *requests.METHODS,
    *admin.METHODS,
)
METHOD_PATHS: Final[Sequence[str]] = tuple(method.path for method in METHODS)
POSITIONS: Final[Mapping[type[Any], int]] = {method.request_type: place for place, method in enumerate(METHODS)}
"""Of methods, by what they are asked with."""
STATUS_METHODS: Final = frozenset([POSITIONS[GetStatusRequest]])
"""Answered by an engine whatever its state."""
OPERATOR_METHODS: Final = frozenset(POSITIONS[method.request_type] for method in admin.METHODS)
"""What operators ask: answered also in an overload, and by a standby."""
SERVICE_NAMES: Final[Sequence[str]] = tuple(dict.fromkeys(path.split("/")[1] for path in METHOD_PATHS))

ROWS_PER_GROUP_MAX: Final = 4_096
"""Lines of row-shaped writes that one group takes, before the last of them; large calls after it wait for the next."""
SMALL_BYTES_MAX: Final = 4_096
"""Of a request that is part of its group however many rows that has. A larger one that was worked out beside the writer
goes on with a group that has no other such."""
GROUP_SECONDS_MAX: Final = 0.008
"""After which a group takes no more than small writes: what else came waits for the next one."""
WAITING_MAX: Final = 4_096
"""Calls that wait for routers, for a group that has time, and calls whose orders wait to be planned."""
POSTPONED_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of the requests that wait for a group that has time."""
WORKING_MAX: Final = 256
"""Calls whose responses are made beside the writer: what is read for them is in memory until they are done."""

BESIDE_MAX: Final = 4
"""Reads of routing that are worked out beside the writer at once, by two threads."""

LARGER_THAN_ANY: Final = 4
"""Orders of so many times the largest of a network are few for a group: then none is looked at before it is read."""
NOTHING_FOUND: Final = (-1, -1), 0
"""Call and place of an order, and how many of its skus were looked up."""

log = structlog.get_logger("onhand.desk")


class Reply(NamedTuple):
    """The answer to one call: a response, or a refusal."""

    call: Call
    response: bytes | RefusedError


class _Waiting(NamedTuple):
    """A call whose commands are part of the next batch."""

    call: Call
    handler: StockHandler[Any, Any]
    request: Any
    commands: Sequence[Command]


class _Planning(NamedTuple):
    """A call whose orders are planned, in one group or in several."""

    call: Call
    handler: PlanHandler[Any, Any]
    request: Any
    orders: Sequence[tuple[Any, bytes]]
    results: list[PlanResult]
    """Of the first orders."""


class _Working(NamedTuple):
    """A call whose response is being made beside the writer, or in pieces."""

    call: Call
    request: Any
    steps: Work[Any]
    task: "Future[Any] | None"
    """What it waits for; None: the next group."""
    is_known: bool
    """Whether its request id was remembered when it began."""
    has_written: bool = False
    """Whether a part of it is done."""


class Desk:
    """Answers the calls of one group, writes first, then reads.

    All calls of a group are concurrent: none was answered before the last one came in. So any order of them is a true
    one, and reads may see all that their group wrote. A call that would keep the writer for long is answered with a
    later group: its response is made beside the writer, its orders are planned in several groups, or it waits for the
    routers of a network that has changed.

    Parameters
    ----------
    around
        What the calls are about.
    background
        Runs what the writer must not wait for; None: it waits.
    monotonic
        Tells how long a group takes, seconds; by default no time passes.
    """

    def __init__(
        self, around: Surroundings, background: Executor | None = None, monotonic: Callable[[], float] = float
    ) -> None:
        self._around = around
        self._monotonic = monotonic
        self._late_at = math.inf
        self._planner = planner_of(around.book)
        self._background = background or Inline()
        self._batch = BatchBuilder(around.book)
        self._waiting: list[_Waiting] = []
        self._orders = OrderBatchBuilder(around.book)
        self._planning: deque[_Planning] = deque()
        self._found = NOTHING_FOUND
        self._parked: list[Call] = []
        self._postponed: list[Call] = []
        self._postponed_bytes = 0
        self._row_count = 0
        self._working: list[_Working] = []
        self._replies: list[Reply] = []

    @property
    def book(self) -> Book:
        """What is asked and written."""
        return self._around.book

    @property
    def is_working(self) -> bool:
        """Whether some call is answered with a later group."""
        return bool(self._working or self._planning or self._parked or self._postponed)

    @property
    def postponed_count(self) -> int:
        """Calls that are part of the next group, whatever comes."""
        return len(self._postponed)

    def answer(self, calls: Sequence[Call], time_us: int) -> list[Reply]:
        """Return the replies that are ready: those to most of the calls, and to calls of earlier groups.

        Parameters
        ----------
        calls
            The group; `method` is a position in METHODS.
        time_us
            Time of the group, microseconds since the epoch.
        """
        self._late_at = self._monotonic() + GROUP_SECONDS_MAX
        self._around.book.execute(NO_COMMANDS, time_us)
        self._go_on()
        reads = []
        before = [*self._postponed, *self._parked]
        self._postponed, self._parked, has_begun = [], [], False
        self._postponed_bytes = self._row_count = 0
        for call in chain(before, calls):
            handler = METHODS[call.method].handler
            is_small = len(call.payload) <= SMALL_BYTES_MAX
            if is_small and isinstance(handler, StockHandler):
                self._read_commands(call, handler)
            elif isinstance(handler, ReadHandler):
                reads.append((call, handler))
            elif has_begun and self._is_late() and not (is_small and isinstance(handler, PlanHandler)):
                self._postpone(call)
            else:
                self._write(call, handler, time_us)
                has_begun = True
        self._run_waiting(time_us)
        settle_all(self._around.book, time_us)
        self._around.book.finish_group()
        self._read_all(reads)
        replies, self._replies = self._replies, []
        return replies

    def _is_late(self) -> bool:
        """Tell whether the group has taken so long that small calls should not wait for more."""
        return self._monotonic() > self._late_at

    def _postpone(self, call: Call) -> None:
        """Let a call be part of the next group."""
        self._postponed_bytes += len(call.payload)
        if len(self._postponed) < WAITING_MAX and self._postponed_bytes <= POSTPONED_BYTES_MAX:
            self._postponed.append(call)
        else:
            self._fail(call, overloaded("calls that take long wait for their turn"))

    def _read_all(self, reads: Sequence[tuple[Call, ReadHandler[Any, Any]]]) -> None:
        """Answer reads; but for the first, and what operators ask, only while the group has time.

        What is worked out beside the writer is begun once little else is: it would be in memory, and wait there.
        """
        has_begun = False
        for call, handler in reads:
            is_late = has_begun and call.method not in OPERATOR_METHODS and self._is_late()
            if is_late or (handler.routes and self._beside_count() >= BESIDE_MAX):
                self._postpone(call)
                continue
            self._read(call, handler)
            has_begun = True

    def _beside_count(self) -> int:
        """Return how many responses are being worked out beside the writer."""
        return sum(1 for one in self._working if one.task is not None and not one.task.done())

    def _read(self, call: Call, handler: ReadHandler[Any, Any]) -> None:
        if handler.routes and not self._has_routers():
            self._park(call)
            return
        try:
            request = parse(METHODS[call.method], call.payload)
            self._reply(call, handler.run(request, self._around), request)
        except Exception as error:  # noqa: BLE001 - answered, and a bug is logged
            self._fail(call, error)

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
            handler = METHODS[call.method].handler
            if call.method not in answered:
                self._replies.append(Reply(call, refusal))
                continue
            assert isinstance(handler, ReadHandler)
            self._read(call, handler)
        replies, self._replies = self._replies, []
        return replies

    def abandon(self, refusal: RefusedError) -> list[Reply]:
        """Return a refusal for each call that would be answered with a later group."""
        begun = {one.call.call_id for one in self._working if one.has_written}
        begun |= {one.call.call_id for one in self._planning if one.results}
        unknown = journal_away("written", refusal)  # a part is done: the refusal may promise that nothing was
        waiting: Iterable[_Planning | _Working] = (*self._planning, *self._working)
        calls = [*self._postponed, *self._parked, *(one.call for one in waiting)]
        for working in self._working:
            working.steps.close()
        for kept in (self._postponed, self._parked, self._planning, self._working, self._replies):
            kept.clear()  # replies, too: those of a group that was not decided to its end must not go out
        return [Reply(call, unknown if call.call_id in begun else refusal) for call in calls]

    def go_on(self) -> list[Reply]:
        """Go on with reads that take longer, where no group does; returns the replies that are ready."""
        self._go_on()
        replies, self._replies = self._replies, []
        return replies

    # ---- calls that take longer than a group -------------------------------------------------------------------------

    def _park(self, call: Call) -> None:
        """Let a call wait for the routers of the network."""
        if len(self._parked) < WAITING_MAX:
            self._parked.append(call)
        else:
            self._fail(call, overloaded("calls wait for a network that has changed"))

    def _has_routers(self) -> bool:
        """Tell whether the routers of the network are there as it is now; else they are on their way."""
        return are_routers_ready(self._around.book, self._background)

    def _go_on(self) -> None:
        """Go on with what has waited long enough, but with one large request at most: they write what is large too."""
        working, self._working = self._working, []
        has_room, has_begun = True, False
        for one in working:
            is_large = len(one.call.payload) > SMALL_BYTES_MAX
            is_ready = (one.task is None or one.task.done()) and (has_room or not is_large)
            if is_ready and not (has_begun and self._is_late()):
                has_room, has_begun = has_room and not is_large, True
                self._work(*one)
            else:
                self._working.append(one)

    def _work(  # noqa: PLR0917 - the fields of a _Working
        self,
        call: Call,
        request: Any,
        steps: Work[Any],
        task: "Future[Any] | None",
        is_known: bool,
        has_written: bool = False,
    ) -> None:
        """Go on with a response, up to what it waits for."""
        seq = self._around.book.seq
        try:
            while task is None or task.done():
                asked = steps.send(None) if task is None else _told(steps, task)
                if asked is None:
                    task = None
                    break
                task = self._background.submit(asked)
        except StopIteration as end:
            self._reply(call, end.value, request)
        except Exception as error:  # noqa: BLE001 - answered, and a bug is logged
            self._end_where_half_is_done(seq, error)
            self._fail(call, _outranked(error) if is_known else error)
        else:
            has_written = has_written or self._around.book.seq != seq
            self._working.append(_Working(call, request, steps, task, is_known, has_written))

    def _begin(self, call: Call, request: Any, steps: Work[Any], *, has_written: bool) -> None:
        """Begin a response that takes longer, unless too many do; a call that has written is answered in any case."""
        if has_written or len(self._working) < WORKING_MAX:
            is_known = self._is_known(getattr(request, "request_id", ""))
            self._work(call, request, steps, None, is_known, has_written)
            return
        steps.close()
        self._fail(call, overloaded("calls that take long are being answered"))

    # ---- writes ------------------------------------------------------------------------------------------------------

    def _write(self, call: Call, handler: WriteHandler, time_us: int) -> None:
        """Take a write in; one that writes by itself is run and answered at once."""
        if isinstance(handler, LoneHandler) and handler.routes and not self._has_routers():
            self._park(call)
            return
        if self._row_count >= ROWS_PER_GROUP_MAX and len(call.payload) > SMALL_BYTES_MAX:
            self._postpone(call)
            return
        if isinstance(handler, StockHandler) and len(call.payload) <= stock_calls.READ_AT_ONCE_BYTES_MAX:
            self._read_commands(call, handler)
            return
        request = seq = None
        try:
            request = parse(METHODS[call.method], call.payload)
            if isinstance(handler, StockHandler):
                self._reply(call, stock_calls.run_alone(handler, request, self._around.book), request)
            elif isinstance(handler, PlanHandler):
                self._plan_later(_Planning(call, handler, request, handler.orders(request, call.payload), []))
            else:  # what came before it stays before it; what comes after may use names it brings
                self._run_waiting(time_us)
                seq = self._around.book.seq
                self._reply(call, handler.run(request, self._around.book, time_us), request)
        except Exception as error:  # noqa: BLE001 - answered, and a bug is logged
            self._end_where_half_is_done(seq, error)
            self._fail(call, self._idempotency_first(request, error))

    def _read_commands(self, call: Call, handler: StockHandler[Any, Any]) -> None:
        """Take the commands of a call into the next batch."""
        request = None
        try:
            request = parse(METHODS[call.method], call.payload)
            try:  # not by in_full: a call less, for every call
                commands = handler.read(request)
            except RefusedError as error:
                raise fields.told_in_full(error, handler.read, request) from None
            if handler.bound is not None:
                handler.bound(commands, self._around.book)
            for command in commands:
                self._batch.add(command)
                self._row_count += len(command.lines)
            self._waiting.append(_Waiting(call, handler, request, commands))
        except Exception as error:  # noqa: BLE001 - answered, and a bug is logged
            self._fail(call, self._idempotency_first(request, error))

    def _end_where_half_is_done(self, seq: int | None, error: Exception) -> None:
        """End the ledger where a bug came after a write of the same call, which was at `seq` before it.

        None: the call has not come so far that it could write.
        """
        if seq is not None and self._around.book.seq != seq and not isinstance(error, RefusedError):
            raise LedgerBroken(f"a call that writes more than once: {error!r}") from error

    def _plan_later(self, planning: _Planning) -> None:
        if len(self._planning) < WAITING_MAX:
            self._planning.append(planning)
        else:
            self._fail(planning.call, overloaded("plans wait for their turn"))

    def _idempotency_first(self, request: Any, error: Exception) -> Exception:
        """Return what outranks a wrong field, if it is one: a request id that is known, and used with other content."""
        return _outranked(error) if self._is_known(getattr(request, "request_id", "")) else error

    def _is_known(self, request_id: str) -> bool:
        try:
            halves = fields.request_id(request_id)
        except RefusedError:
            return False
        return halves is not None and self._around.book.ledger.remembers(*halves)

    @whole_or_broken
    def _run_waiting(self, time_us: int) -> None:
        """Run what waits, and answer its calls; what is guarded here is guarded around what only reads."""
        self._run_batch(time_us)
        self._run_plans(time_us)

    def _run_plans(self, time_us: int) -> None:
        """Plan the orders that wait, as many as one group may, and answer the calls that have all of theirs."""
        if not self._planning or not self._has_routers():
            return
        self._orders.begin()
        asked = [
            (planning, self._read_order(planning, place, time_us)) for planning, place in self._next_orders(time_us)
        ]
        outcomes = PlannedOrder.of(self._planner.run(self._orders.take(), time_us)) if len(self._orders) else []
        for planning, one in asked:
            planning.results.append(self._result_of(one, outcomes))
            if len(planning.results) == len(planning.orders):  # all that came before it have theirs too
                self._planning.popleft()
                self._answer_planned(planning, time_us)

    def _result_of(self, one: Asked | Exception, outcomes: Sequence[PlannedOrder]) -> PlanResult:
        """Return what came of an order, with all that is of this group: its call may be answered in a later one."""
        if not isinstance(one, Asked) or one.position == KNOWN:
            return PlanResult(one, None)
        outcome, book = outcomes[one.position], self._around.book
        if outcome.is_kept and one.notes is not NO_NOTES:
            book.note(outcome.seq, *one.notes)
        return PlanResult(one, outcome, routers_of(book))

    def _next_orders(self, time_us: int) -> Iterator[tuple[_Planning, int]]:
        """Yield the orders that wait, up to what one group may plan; what was yielded is read before the next."""
        book = self._around.book
        places = len(routers_of(book).places) if has_current_routers(book) else 0
        read = 0
        most = WORK_BESIDE_SMALL_MAX if self._row_count else WORK_PER_GROUP_MAX
        may_be_large = LARGER_THAN_ANY * work_of(LINES_PER_ORDER_MAX, 1, places) > most
        for planning in self._planning:
            for place in range(len(planning.results), len(planning.orders)):
                if self._orders.work > most or read - len(self._orders) >= ANSWERED_PER_GROUP_MAX:
                    return
                if may_be_large and not self._has_room_for(planning, place, places, most, time_us):
                    return
                if planning.orders[place][0].reservation_id in self._orders.holds:
                    return  # it has to see what becomes of the hold by the order before it
                yield planning, place
                read += 1

    def _has_room_for(self, planning: _Planning, place: int, places: int, most: int, time_us: int) -> bool:
        """Tell whether this group, which plans so much at most, may plan an order, whose levels it knows."""
        lines, work = len(planning.orders[place][0].order.lines), self._orders.work
        if work and work + work_of(lines, 1, places) > most:
            return False
        return lines * places <= LEVELS_FOUND_MAX or self._has_found_levels(planning, place, time_us)

    def _has_found_levels(self, planning: _Planning, place: int, time_us: int) -> bool:
        """Look up the stock levels that a large order is about; tells whether that is done, or goes on with a group."""
        book, order = self._around.book, (planning.call.call_id, place)
        ids = dict.fromkeys(line.sku_id for line in planning.orders[place][0].order.lines)
        skus = np.array([sku for sku in map(book.ledger.sku_index, ids) if sku >= 0], np.int64)
        first = self._found[1] if self._found[0] == order else 0
        last = self._planner.find_levels(routers_of(book).routing("").names, skus, first, time_us)
        self._found = (order, last) if last < len(skus) else NOTHING_FOUND
        return last == len(skus)

    def _read_order(self, planning: _Planning, place: int, time_us: int) -> Asked | Exception:
        """Take an order in; what keeps it from being planned is told by its call."""
        order, payload = planning.orders[place]
        try:
            try:
                return self._orders.add(order, payload, time_us)
            except RefusedError as error:
                raise fields.told_in_full(error, check_fields, order) from None
        except Exception as error:  # noqa: BLE001 - raised by whoever answers
            return self._idempotency_first(order, error)

    def _answer_planned(self, planning: _Planning, time_us: int) -> None:
        call, handler, request, _, results = planning
        has_written = any(one.outcome is not None and one.outcome.is_kept for one in results)
        try:
            response = handler.answer(request, results, self._around.book, time_us)
            self._reply(call, response, request, has_written=has_written)
        except Exception as error:  # noqa: BLE001 - answered, and a bug is logged
            self._fail(call, error)

    def _run_batch(self, time_us: int) -> None:
        """Run the commands that wait, and answer their calls."""
        if not self._waiting:
            return
        book = self._around.book
        outcomes = outcomes_of(book.execute(self._batch.take(), time_us))
        assert len(outcomes) == sum(len(one.commands) for one in self._waiting), "each call has its own outcomes"
        first = 0
        for call, handler, request, commands in self._waiting:
            own = outcomes[first : first + len(commands)]
            first += len(commands)
            stock_calls.note(commands, own, book)
            try:
                self._reply(call, handler.answer(request, commands, own, book), request)
            except Exception as error:  # noqa: BLE001 - answered, and a bug is logged
                self._fail(call, error)
        self._waiting = []

    def _reply(self, call: Call, response: Any, request: Any, *, has_written: bool = False) -> None:
        if isinstance(response, bytes):
            self._replies.append(Reply(call, response))
        elif isinstance(response, GeneratorType):
            self._begin(call, request, response, has_written=has_written)
        else:
            self._replies.append(Reply(call, response.SerializeToString()))

    def _fail(self, call: Call, error: Exception) -> None:
        """Answer a call with why it has no response.

        One odd request must not stop the engine for all. What is guarded this way decodes, reads or says what came of a
        batch, or writes by itself, and then checks everything before the ledger hears of it. What fails inside a write
        is a LedgerBroken, which no guard takes.
        """
        if isinstance(error, JournalUnavailable):  # of a read: the history is in the journal
            error = journal_away("read", error)
        elif isinstance(error, JournalTrimmed):
            error = RefusedError("HISTORY_TRIMMED", str(error))
        elif isinstance(error, JournalError):  # of an archive segment, or of the journal itself
            error = RefusedError("LEDGER_CORRUPT", str(error))
        elif not isinstance(error, RefusedError):  # a bug of ours: logged in full
            log.error("a call could not be answered", call_id=call.call_id, exc_info=error)
            error = RefusedError("INTERNAL_ERROR", "The engine failed on this call; its log says why.")
        self._replies.append(Reply(call, error.alone()))


def _outranked(error: Exception) -> Exception:
    """Return what a wrong field is told as where the request id was used for something else."""
    is_wrong_field = isinstance(error, RefusedError) and error.reason == "VALIDATION_FAILED"
    return reused(error.metadata["field"]) if isinstance(error, RefusedError) and is_wrong_field else error


def overloaded(told: str) -> RefusedError:
    """Return the refusal of a call that would have to wait behind too many."""
    return RefusedError("OVERLOADED", f"Too many {told}: repeat it after the delay.", retry_seconds=RETRY_SECONDS)


def _told(steps: Work[Any], task: "Future[Any]") -> Callable[[], Any] | None:
    """Go on with what was done for a response, or what it raised."""
    error = task.exception()
    return steps.send(task.result()) if error is None else steps.throw(error)
