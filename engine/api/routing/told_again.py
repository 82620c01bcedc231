"""Refusals that are remembered: who repeats a call with its request id is told what the first call was told.

The ledger remembers its own refusals, which follow from an outcome and the request. What routing refuses follows from
the network and the plans of that moment, so it is kept as it was told, beside the request id. Wrong arguments are not
kept: they are wrong again on every repeat. Neither is OVERLOADED: nothing was decided.
"""

from typing import Final

import msgspec
from onhand.inventory.v1.reservation_pb2 import Shortage
from onhand.rules.refusals import Problem

from engine.api.methods import NO_NOTES, BatchBuilder, Command, Notes, Outcome, outcomes_of
from engine.api.refusals import raise_refusal, refused
from engine.errors import RefusedError
from ledger.book import Book
from ledger.broken import whole_or_broken
from ledger.core.records import IS_WRITTEN
from ledger.core.statuses import Operation, Status
from ledger.parts.planned import RefusedCall
from ledger.parts.plans import StoredPlan

OF_IDEMPOTENCY: Final = (Status.REQUEST_ID_REUSED, Status.REQUEST_ID_TOO_OLD)
STATUSES: Final = {status.name: status for status in Status}


class KeptRefusal(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A RefusedError, as it is kept."""

    reason: str
    message: str
    problems: list[tuple[str, str]]
    shortages: list[bytes]
    metadata: dict[str, str]


_encode: Final = msgspec.msgpack.Encoder().encode
_decoder: Final = msgspec.msgpack.Decoder(KeptRefusal)


def remembered(
    refusal: RefusedError, command: Command, book: Book, time_us: int, notes: Notes = NO_NOTES
) -> RefusedError:
    """Keep a refusal with the request id of the command that it answers, and return what is told.

    That is the refusal itself, or what outranks it: a request id that was used before, or is too old. The notes are for
    the history.
    """
    if command.request_id is None or refusal.reason == "OVERLOADED":
        return refusal
    status = STATUSES.get(refusal.reason, Status.VALIDATION_FAILED)
    outcome = _run(command._replace(status=status), book, time_us)
    if outcome.status in OF_IDEMPOTENCY:
        return refused(command, outcome, book)
    if not outcome.flags & IS_WRITTEN:
        return kept_refusal(command.request_id, book) or refusal
    _keep(refusal, outcome.seq, notes, book)
    return refusal


@whole_or_broken
def _keep(refusal: RefusedError, seq: int, notes: Notes, book: Book) -> None:
    """Keep what a request id that is remembered from now on was told: the second half of one write."""
    kept = KeptRefusal(
        refusal.reason,
        refusal.message,
        [(problem.field, problem.description) for problem in refusal.problems],
        [short.SerializeToString() for short in refusal.shortages],
        dict(refusal.metadata),
    )
    book.keep(seq, RefusedCall(seq, _encode(kept)))
    if notes is not NO_NOTES:
        book.note(seq, *notes)


def raise_again(command: Command, book: Book, time_us: int) -> None:
    """Raise what the first call with a command's request id was told, if it was refused; or that this is another."""
    refusal = kept_refusal(command.request_id, book)
    if refusal is not None:
        outcome = _run(command, book, time_us)
        raise refused(command, outcome, book) if outcome.status in OF_IDEMPOTENCY else refusal


def is_answered(request_id: tuple[int, int] | None, book: Book, time_us: int) -> bool:
    """Tell whether the ledger decides nothing for a request id: it is remembered, or a UUIDv7 that is too old to be."""
    if request_id is None:
        return False
    high, low = request_id
    return book.is_too_old(high, time_us) or book.ledger.remembers(high, low)


def kept_refusal(request_id: tuple[int, int] | None, book: Book) -> RefusedError | None:
    """Return the refusal that is kept with a request id."""
    content = None if request_id is None else book.refusals.of_request(*request_id)
    if content is None:
        return None
    kept = _decoder.decode(content)
    return RefusedError(
        kept.reason,
        kept.message,
        problems=[Problem(*problem) for problem in kept.problems],
        shortages=[Shortage.FromString(short) for short in kept.shortages],
        metadata=kept.metadata,
    )


def stored_for(request_id: tuple[int, int] | None, book: Book) -> StoredPlan | None:
    """Return the plan that a request id led to, as long as it is remembered."""
    return None if request_id is None else book.plans.plan_of_request(*request_id)


def run(command: Command, book: Book, time_us: int) -> Outcome:
    """Run one command of the ledger; raises its refusal."""
    batch = BatchBuilder(book)
    batch.add(command)
    outcome = outcomes_of(book.execute(batch.take(), time_us))[0]
    raise_refusal(command, outcome, book)
    return outcome


def _run(command: Command, book: Book, time_us: int) -> Outcome:
    """Run the command that changes nothing and remembers a request id."""
    batch = BatchBuilder(book)
    batch.add(command._replace(operation=Operation.REMEMBER, lines=(), reservation_id=0, ttl_us=0, expected_version=0))
    return outcomes_of(book.execute(batch.take(), time_us))[0]
