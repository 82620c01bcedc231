"""Stock commands of a call: with the batch of their group, or beside the writer where there are many."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from engine.api import fields
from engine.api.methods import NO_NOTES, BatchBuilder, Command, Outcome, StockHandler, Work, outcomes_of
from ledger.book import Book
from ledger.core.records import IS_WRITTEN, Batch

READ_AT_ONCE_BYTES_MAX: Final = 65_536
"""Of a request that the writer reads itself: some 1,500 lines. Larger ones are read beside it."""


class Prepared(NamedTuple):
    """A large call, read."""

    commands: Sequence[Command]
    batch: Batch
    """The same with the ledger's indexes."""


def prepared(handler: StockHandler[Any, Any], request: Any, book: Book) -> Prepared:
    """Read a call; any thread may, since what a name stands for never changes. Raises RefusedError.

    Nothing else of the book may be looked at here: the writer changes it meanwhile.
    """
    commands = fields.in_full(handler.read, request)
    builder = BatchBuilder(book)
    for command in commands:
        builder.add(command)
    return Prepared(commands, builder.take())


def run_alone(handler: StockHandler[Any, Any], request: Any, book: Book) -> Work[Any]:
    """Answer a call whose commands are many: read beside the writer, run as a batch of their own."""
    commands, batch = yield partial(prepared, handler, request, book)
    if handler.bound is not None:
        handler.bound(commands, book)
    outcomes = outcomes_of(book.execute(batch, book.ledger.group_time_us))
    note(commands, outcomes, book)
    return handler.answer(request, commands, outcomes, book)


def note(commands: Sequence[Command], outcomes: Sequence[Outcome], book: Book) -> None:
    """Keep for the history what callers say about writes."""
    for command, outcome in zip(commands, outcomes, strict=True):
        if command.notes is not NO_NOTES and outcome.flags & IS_WRITTEN:
            book.note(outcome.seq, *command.notes)
