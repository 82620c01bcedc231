"""What waits to be sent, and what travels together: the heart of coalescing, without any I/O of its own.

What waits while bulk calls are on their way is the next bulk call: no timer. So one command alone goes at once, and
calls grow with the load.
"""

import copy
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import InvalidStateError
from typing import Any, Protocol

import grpc
from onhand.client import limits
from onhand.client.commands import Command
from onhand.client.engines import Engines
from onhand.client.errors import NoAnswer, NotSent, OnHandError, RefusedError, outcome_unknown, refusal
from onhand.client.request_ids import request_id_text
from onhand.client.retries import Conversation, Pause, conversation
from onhand.client.wire import decode, encode
from onhand.rules.limits import COMMANDS_PER_CALL_MAX, LINES_PER_CALL_MAX

CULPRIT_CODES = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.ALREADY_EXISTS)
"""How the engine refuses a whole bulk call because of one command in it."""


class Promise(Protocol):
    """A future, of asyncio or of threads."""

    def done(self) -> bool:
        """Whether it has a result, or nobody waits for one."""

    def set_result(self, result: Any, /) -> None:
        """Give it its result."""

    def set_exception(self, exception: BaseException, /) -> None:
        """Let it fail."""


class Ticket:
    """One command that somebody waits for."""

    __slots__ = ("command", "expires_at", "future", "is_sent")

    def __init__(self, command: Command[Any], future: Promise, deadline_seconds: float) -> None:
        self.command = command
        self.future = future
        own = command.deadline_seconds
        self.expires_at = time.monotonic() + (deadline_seconds if own is None else own)
        self.is_sent = False

    def settle(self, outcome: Any) -> None:
        """Give the caller the result, or the error; nothing happens if nobody waits any more."""
        if self.future.done():
            return
        try:
            if isinstance(outcome, OnHandError):
                outcome.request_id = request_id_text(self.command.request_id)
                self.future.set_exception(outcome)
            else:
                self.future.set_result(outcome)
        except InvalidStateError:
            pass

    def overdue(self) -> OnHandError:
        """Return the error of a command whose deadline has passed."""
        code = grpc.StatusCode.DEADLINE_EXCEEDED
        error: OnHandError = (
            outcome_unknown(NoAnswer("deadline: it passed before the engine answered", code))
            if self.is_sent
            else NotSent("deadline: it passed before the command was sent; nothing was done.", code)
        )
        error.request_id = request_id_text(self.command.request_id)
        return error


class Batch:
    """Commands that travel in one bulk call."""

    def __init__(self, tickets: Sequence[Ticket]) -> None:
        self.tickets = tickets

    def run(self, engines: Engines, retries_max: int | None) -> Conversation:
        """Yield the steps that bring every command its outcome.

        A call that is too long, or that the engine refuses as a whole, is sent again in halves, down to the command
        that is to blame. Request ids make that safe.
        """
        payload = encode([ticket.command for ticket in self.tickets])
        if len(payload) > limits.CALL_BYTES_MAX and len(self.tickets) > 1:
            yield from self._run_halves(engines, retries_max)
            return
        try:
            response = yield from conversation(payload, engines, self._expires_at(), retries_max)
            yield from self._settle(response)
        except OnHandError as error:
            if len(self.tickets) > 1 and isinstance(error, RefusedError) and error.code in CULPRIT_CODES:
                yield from self._run_halves(engines, retries_max)
            else:
                self.fail(error)

    def _run_halves(self, engines: Engines, retries_max: int | None) -> Conversation:
        middle = len(self.tickets) // 2
        for half in (self.tickets[:middle], self.tickets[middle:]):
            yield from Batch(half).run(engines, retries_max)

    def _expires_at(self) -> float:
        """Return the last of the callers' deadlines."""
        return max(ticket.expires_at for ticket in self.tickets)

    def _settle(self, response: bytes) -> Iterator[Pause]:
        """Give the callers their outcomes, some at a time: what they send next is on its way while others hear."""
        try:
            outcomes = decode([ticket.command for ticket in self.tickets], response)
        except ValueError as error:
            raise NoAnswer(f"the engine's answer cannot be read: {error}", grpc.StatusCode.INTERNAL) from error
        for first in range(0, len(outcomes), limits.SETTLED_AT_ONCE):
            if first:
                yield Pause(0.0)
            last = first + limits.SETTLED_AT_ONCE
            for ticket, outcome in zip(self.tickets[first:last], outcomes[first:last], strict=True):
                ticket.settle(outcome)

    def fail(self, error: OnHandError) -> None:
        """Let all commands fail that have no outcome yet."""
        for ticket in self.tickets:
            if not ticket.future.done():
                ticket.settle(_own_copy(error))


def _own_copy(error: OnHandError) -> OnHandError:
    """Return the error of one command of a call that failed: each caller gets its own."""
    return outcome_unknown(error) if isinstance(error, NoAnswer) else copy.copy(error)


class Queue:
    """Commands that wait to be sent, oldest first."""

    def __init__(self) -> None:
        self._tickets: list[Ticket] = []

    def __len__(self) -> int:
        return len(self._tickets)

    def add(self, ticket: Ticket) -> None:
        """Append a command.

        Raises
        ------
        Overloaded
            Too many wait.
        """
        if len(self._tickets) >= limits.WAITING_MAX:
            error = refusal(
                "OVERLOADED",
                f"client: {limits.WAITING_MAX} commands wait to be sent already; call less often, or try again later.",
            )
            error.request_id = request_id_text(ticket.command.request_id)
            raise error
        self._tickets.append(ticket)

    def take(self) -> Batch | None:
        """Take what waits, as much as one call may have; None if nothing does.

        A command whose deadline has passed is never sent: it fails with NotSent, also where its caller has not looked
        yet.
        """
        now, line_count, taken = time.monotonic(), 0, 0
        wanted: list[Ticket] = []
        for ticket in self._tickets:
            if ticket.expires_at <= now:
                ticket.settle(ticket.overdue())
            elif not ticket.future.done():  # else nobody waits for it any more
                line_count += len(ticket.command.lines)
                if len(wanted) == COMMANDS_PER_CALL_MAX or line_count > LINES_PER_CALL_MAX:
                    break
                ticket.is_sent = True
                wanted.append(ticket)
            taken += 1
        del self._tickets[:taken]
        return Batch(wanted) if wanted else None

    def expire(self, now: float) -> float:
        """Fail the commands whose deadline has passed; returns the next deadline."""
        return expire(self._tickets, now)


def expire(tickets: Sequence[Ticket], now: float) -> float:
    """Fail those whose deadline has passed; returns the next deadline, on time.monotonic's scale, or infinity."""
    upcoming = float("inf")
    for ticket in tickets:
        if ticket.expires_at > now:
            upcoming = min(upcoming, ticket.expires_at)
        elif not ticket.future.done():
            ticket.settle(ticket.overdue())
    return upcoming
