"""The desk: takes the calls of one group in, and has an answer for each when the book has been asked."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from engine.api import admin, catalog, inventory, reservations
from engine.api.methods import (
    BatchBuilder,
    CatalogMethod,
    Command,
    Method,
    ReadMethod,
    StockMethod,
    Surroundings,
    outcomes_of,
    parse,
)
from engine.errors import RefusedError
from engine.transport import Call
from ledger.book import NO_COMMANDS
from ledger.core.records import IS_WRITTEN

METHODS: Final[Sequence[Method]] = (
    *reservations.METHODS,
    *inventory.METHODS,
    *catalog.METHODS,
    *admin.METHODS,
)
METHOD_PATHS: Final[Sequence[str]] = tuple(method.path for method in METHODS)
SERVICE_NAMES: Final[Sequence[str]] = tuple(dict.fromkeys(path.split("/")[1] for path in METHOD_PATHS))


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


class Desk:
    """Answers the calls of one group, writes first, then reads.

    All calls of a group are concurrent: none was answered before the last one came in. So any order of them is a true
    one, and reads may see all that their group wrote.
    """

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._batch = BatchBuilder(around.book)
        self._waiting: list[_Waiting] = []
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
                reads.append(call)
            else:
                self._write(call, method, time_us)
        self._run_batch(time_us)
        for call in reads:
            self._read(call)
        replies, self._replies = self._replies, []
        return replies

    def _write(self, call: Call, method: StockMethod[Any, Any] | CatalogMethod[Any, Any], time_us: int) -> None:
        try:
            request = parse(method, call.payload)
            if isinstance(method, CatalogMethod):
                self._run_batch(time_us)  # commands after this one may use the names it brings
                response = method.run(request, self._around.book, time_us)
                self._replies.append(Reply(call.call_id, response.SerializeToString()))
            else:
                commands = method.read(request, self._around.book)
                for command in commands:
                    self._batch.add(command)
                self._waiting.append(_Waiting(call.call_id, method, request, commands))
        except RefusedError as refusal:
            self._replies.append(Reply(call.call_id, refusal))

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
            for command, outcome in zip(commands, own, strict=True):
                if (command.reference or command.actor) and outcome.flags & IS_WRITTEN:
                    book.note(outcome.seq, command.reference, command.actor)
            try:
                response = method.answer(request, commands, own, book)
                self._replies.append(Reply(call_id, response.SerializeToString()))
            except RefusedError as refusal:
                self._replies.append(Reply(call_id, refusal))
        self._waiting = []

    def _read(self, call: Call) -> None:
        method = METHODS[call.method]
        assert isinstance(method, ReadMethod)
        try:
            response = method.run(parse(method, call.payload), self._around)
            self._replies.append(Reply(call.call_id, response.SerializeToString()))
        except RefusedError as refusal:
            self._replies.append(Reply(call.call_id, refusal))
