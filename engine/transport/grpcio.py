"""The reference transport: grpc.aio on uvloop, in a thread of its own.

Calls cross to the writer through a queue, as raw bytes. Answers cross back through another, and the loop is woken once
for as many as the writer gives meanwhile.
"""

import asyncio
import contextlib
import itertools
import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple, NoReturn, TypeAlias

import grpc
import grpc.aio

from engine.admission import Admission
from engine.transport import METADATA_BYTES_MAX, Call
from engine.transport.aio_server import CLOSING_MESSAGE, AioServer, join_address
from ledger.core.limits import GROUP_BYTES_MAX

_FLUSH_SECONDS: Final = 0.1
"""What the last answers have to go out in where no grace is left."""
_PENDING_MAX: Final = 1_000_000
"""Calls that may wait inside grpc-core."""
_ARRIVE_SECONDS: Final = 0.05
"""What calls that wait inside grpc-core have to reach us, which refuse them; a stopping server would cancel them."""
_STATUS_CODES: Final[dict[int, grpc.StatusCode]] = {code.value[0]: code for code in grpc.StatusCode}


class _Failure(NamedTuple):
    code: int
    message: str
    details: bytes


_CLOSING: Final = _Failure(grpc.StatusCode.UNAVAILABLE.value[0], CLOSING_MESSAGE, b"")
_DEADLINE_EXCEEDED: Final = _Failure(grpc.StatusCode.DEADLINE_EXCEEDED.value[0], "Deadline Exceeded", b"")

_Outcome: TypeAlias = bytes | _Failure
_Answer: TypeAlias = asyncio.Future[_Outcome]
_Context: TypeAlias = grpc.aio.ServicerContext[bytes, bytes]


class _Waiting(NamedTuple):
    call: Call
    expires_at: float  # on time.monotonic's scale
    answer: _Answer


class GrpcioTransport:
    """See `engine.transport.Transport`.

    Handlers run on the loop's thread; `take`, `reply` and `fail` on the writer's. Between them stand only
    two deques, an event and a dict, whose single operations are atomic, and `Admission`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        methods: Sequence[str],
        service_names: Sequence[str],
        *,
        request_bytes_max: int,
        admission: Admission,
    ) -> None:
        self._admission = admission
        self._call_ids = itertools.count(1)
        self._open: dict[int, _Answer] = {}  # every unanswered call, taken or not
        self._waiting: deque[_Waiting] = deque()
        # No SimpleQueue: its `get`, interrupted by a signal just before its time is up, waits for ever (CPython 3.11).
        self._has_news = threading.Event()
        self._outgoing: deque[tuple[_Answer, _Outcome]] = deque()
        self._flush_is_due = False
        self._closing = False
        self._closed = False
        # No limit of streams a connection: grpc-core counts a stream for a while after its end, so that a client which
        # keeps the limit is refused all the same (REFUSED_STREAM).
        options = [
            ("grpc.max_receive_message_length", request_bytes_max),
            # Both limits alike: between them grpc-core refuses some calls and takes others, by chance.
            ("grpc.max_metadata_size", METADATA_BYTES_MAX),
            ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
            # As on native: a client may ping as often as it likes; grpc-core would cut its connection.
            ("grpc.http2.max_ping_strikes", 0),
            ("grpc.keepalive_permit_without_calls", 1),
            # grpc.aio accepts one call at a time; of a burst above 1,000 grpc-core would cancel some, by chance.
            ("grpc.server.max_pending_requests", _PENDING_MAX),
            ("grpc.server.max_pending_requests_hard_limit", _PENDING_MAX),
        ]
        self._server = AioServer(join_address(host, port), service_names, options, [_Methods(self, methods)])
        self.address = join_address(host, self._server.port)

    def start(self) -> None:
        """Begin to serve."""
        self._server.start()

    async def handle(self, method: int, payload: bytes, context: _Context) -> bytes:
        """Queue one call for the writer and return its answer, on the loop's thread."""
        if self._closing:
            await _abort(context, _CLOSING)
        if not self._admission.admits(method, len(payload)):
            await _abort(context, _Failure(*self._admission.refusal()))
        call_id = next(self._call_ids)
        answer: _Answer = self._server.loop.create_future()
        remaining_seconds, now = context.time_remaining(), time.monotonic()
        expires_at = math.inf if remaining_seconds is None else now + remaining_seconds
        self._open[call_id] = answer
        self._waiting.append(_Waiting(Call(call_id, method, payload, now), expires_at, answer))
        self._has_news.set()
        try:
            outcome = await answer  # cancelled when the client cancels or goes away, and so is the future
        finally:
            del self._open[call_id]
        if isinstance(outcome, _Failure):
            await _abort(context, outcome)
        return outcome

    def take(self, max_calls: int, timeout_ms: int, max_bytes: int = GROUP_BYTES_MAX) -> list[Call]:
        """Return the calls that wait, at most `max_calls` and about `max_bytes`."""
        until = time.monotonic() + timeout_ms / 1000
        while True:
            self._has_news.clear()  # first: a call that comes now is seen here, or ends the wait below
            calls = self._hand_out(max_calls, max_bytes)
            remaining = until - time.monotonic()
            if calls or self._closed or remaining <= 0 or not self._has_news.wait(remaining):
                return calls

    def _hand_out(self, max_calls: int, max_bytes: int) -> list[Call]:
        """Give the oldest calls that somebody still waits for to the writer."""
        calls: list[Call] = []
        taken_bytes = 0
        with contextlib.suppress(IndexError):
            while len(calls) < max_calls and taken_bytes < max_bytes and not self._closed:
                waiting = self._waiting.popleft()
                request_bytes = len(waiting.call.payload)
                if not self._is_alive(waiting):
                    self._admission.drop(request_bytes)
                    continue
                self._admission.leave(1, request_bytes)
                calls.append(waiting.call)
                taken_bytes += request_bytes
        return calls

    def _is_alive(self, waiting: _Waiting) -> bool:
        """Whether anyone waits for this call still; answers the one whose deadline has passed."""
        if waiting.answer.done():
            return False
        if waiting.expires_at <= time.monotonic():
            self._send(waiting.call.call_id, _DEADLINE_EXCEEDED)
            return False
        return True

    def reply(self, call_id: int, payload: bytes) -> None:
        """Answer a taken call."""
        self._send(call_id, payload)

    def fail(self, call_id: int, code: int, message: str, details: bytes) -> None:
        """Answer a taken call with a status."""
        self._send(call_id, _Failure(code, message, details))

    def _send(self, call_id: int, outcome: _Outcome) -> None:
        answer = self._open.get(call_id)
        if answer is None:
            return
        self._outgoing.append((answer, outcome))
        if not self._flush_is_due:
            self._flush_is_due = True
            with contextlib.suppress(RuntimeError):  # the loop was closed this very moment: nobody waits any more
                self._server.loop.call_soon_threadsafe(self._flush)

    def _flush(self) -> None:
        """Give every answer that is there to its handler, on the loop's thread."""
        # First lowered, then emptied: an answer appended in between is taken along or schedules its own flush.
        self._flush_is_due = False
        while self._outgoing:
            answer, outcome = self._outgoing.popleft()
            _settle(answer, outcome)

    def in_flight_count(self) -> int:
        """Return how many calls have come whose answer has not left."""
        return len(self._open)

    def set_serving(self, serving: bool) -> None:
        """Set the health of the server and of all its services."""
        self._server.set_serving(serving)

    def set_ready(self, ready: bool) -> None:
        """Set the health that readiness probes ask for."""
        self._server.set_ready(ready)

    def close(self, grace_seconds: float) -> None:
        """Stop serving and return when that is done."""
        if self._closing:
            return
        until = time.monotonic() + grace_seconds
        self._server.drain()
        self._server.run(self._refuse_waiting())
        self._server.run(self._settle_open(grace_seconds))
        self._closed = True
        self._has_news.set()
        self._server.stop(max(_FLUSH_SECONDS, until - time.monotonic()))

    async def _refuse_waiting(self) -> None:
        """Refuse the calls the writer has not taken, and from now on every new one."""
        self._closing = True
        with contextlib.suppress(IndexError):
            while True:
                _settle(self._waiting.popleft().answer, _CLOSING)

    async def _settle_open(self, grace_seconds: float) -> None:
        """Wait for the writer's answers to the calls it has taken; then answer in its place."""
        await asyncio.sleep(_ARRIVE_SECONDS)
        if self._open:
            await asyncio.wait(tuple(self._open.values()), timeout=grace_seconds)
        for answer in self._open.values():
            _settle(answer, _CLOSING)


class _Methods(grpc.GenericRpcHandler):
    """The table of methods: one lookup a call, and bytes in, bytes out."""

    def __init__(self, transport: GrpcioTransport, methods: Sequence[str]) -> None:
        self._handlers = {path: _handler(transport, method) for method, path in enumerate(methods)}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        """Return the handler of a path."""
        return self._handlers.get(handler_call_details.method)


def _handler(transport: GrpcioTransport, method: int) -> "grpc.RpcMethodHandler[bytes, bytes]":
    async def handle(payload: bytes, context: _Context) -> bytes:
        return await transport.handle(method, payload, context)

    return grpc.unary_unary_rpc_method_handler(handle)


def _settle(answer: _Answer, outcome: _Outcome) -> None:
    if not answer.done():
        answer.set_result(outcome)


async def _abort(context: _Context, failure: _Failure) -> NoReturn:
    trailers = (("grpc-status-details-bin", failure.details),) if failure.details else ()
    await context.abort(_STATUS_CODES[failure.code], failure.message, trailers)
