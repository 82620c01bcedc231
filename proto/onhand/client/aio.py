"""The client for asyncio."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TypeVar

import grpc
import grpc.aio
from onhand.addresses import check_addresses
from onhand.client import limits
from onhand.client.arguments import Seconds, checks_arguments
from onhand.client.arrays import ArrayCall
from onhand.client.async_calls import AsyncCalls
from onhand.client.batches import Batch, Queue, Ticket, expire
from onhand.client.channels import EXECUTE, OPTIONS, Connections
from onhand.client.commands import Command
from onhand.client.engines import Engines
from onhand.client.errors import NoAnswer

Result = TypeVar("Result")


def _open_channel(
    credentials: grpc.ChannelCredentials | None, interceptors: Sequence[grpc.aio.ClientInterceptor], engine: str
) -> grpc.aio.Channel:
    if credentials:
        return grpc.aio.secure_channel(engine, credentials, OPTIONS, interceptors=interceptors)
    return grpc.aio.insecure_channel(engine, OPTIONS, interceptors=interceptors)


@checks_arguments()
class AsyncClient(AsyncCalls):
    """A client for asyncio, made and used on one running event loop; a context manager.

    Concurrent writes share bulk calls: what waits while bulk calls are on their way is the next one. A write that is
    awaited before the next one begins is sequenced before it; concurrent ones are sequenced in any order.

    Every write has a request id, and is sent again while the engine cannot be reached or does not take it, until its
    deadline; to another engine, if that one is the primary. All methods raise OnHandError: RefusedError by reason,
    OutcomeUnknown for a write without an answer, NoAnswer for a read without one. A task that is cancelled waits no
    longer, but what it sent may be done.

    Parameters
    ----------
    address
        A gRPC target: "host:port", "dns:///name:port" or "unix:path"; or a sequence of them, the engines of one shard:
        its primary and its standbys, in any order.
    deadline_seconds
        What a call may take, retries included, if the call does not say.
    credentials
        For TLS; without them the connection is plain.
    retries_max
        At most; None for as many as the deadline allows.
    interceptors
        Of grpc.aio: for tokens, tracing and counting.

    Raises
    ------
    RuntimeError
        No event loop is running.
    ValueError
        No address was given.
    """

    def __init__(
        self,
        address: str | Sequence[str],
        *,
        deadline_seconds: Seconds = limits.DEADLINE_SECONDS,
        credentials: grpc.ChannelCredentials | None = None,
        retries_max: int | None = None,
        interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadline_seconds = deadline_seconds
        self._retries_max = retries_max
        self._engines = Engines(check_addresses(address))
        self._connections = Connections(partial(_open_channel, credentials, interceptors))
        self._queue = Queue()
        self._sending: dict[asyncio.Task[None], Batch] = {}
        self._flush_is_due = False
        self._sweep_at = float("inf")
        self._sweeper: asyncio.TimerHandle | None = None

    async def close(self) -> None:
        """Send what waits, wait for the answers at most until their deadlines, and close the connections."""
        self._is_closed = True
        while self._queue or self._sending:
            self._flush()
            if self._sending:
                await asyncio.wait(self._sending)
        if self._sweeper:
            self._sweeper.cancel()
        for channel in self._connections.close():
            await channel.close()

    async def _run_parts(self, call: ArrayCall, parts: Iterator[tuple[int, int]]) -> None:
        async def work() -> None:
            for first, last in parts:
                await self._follow(EXECUTE, call.run(first, last))

        await asyncio.gather(*(work() for _ in range(limits.CALLS_IN_FLIGHT_MAX)))

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    # ---- the coalescing of commands

    def _submit(self, command: Command[Result]) -> asyncio.Future[Result]:
        """Send a command with the next bulk call; returns the future of what comes of it."""
        self._check_open()
        future: asyncio.Future[Result] = self._loop.create_future()
        ticket = Ticket(command, future, self._deadline_seconds)
        self._queue.add(ticket)
        if ticket.expires_at < self._sweep_at:
            self._sweep_no_later_than(ticket.expires_at)
        if not self._flush_is_due and len(self._sending) < limits.CALLS_IN_FLIGHT_MAX:
            self._flush_is_due = True
            self._loop.call_soon(self._flush)  # after all that is ready to run now, so that it travels together
        return future

    def _flush(self) -> None:
        """Send what waits, as far as calls may be on their way."""
        self._flush_is_due = False
        while len(self._sending) < limits.CALLS_IN_FLIGHT_MAX and (batch := self._queue.take()):
            task = self._loop.create_task(self._send(batch))
            self._sending[task] = batch
            task.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[None]) -> None:
        del self._sending[task]
        self._flush()

    async def _send(self, batch: Batch) -> None:
        """Send a batch; whatever happens, each of its commands gets an outcome."""
        try:
            await self._follow(EXECUTE, batch.run(self._engines, self._retries_max))
        finally:
            batch.fail(NoAnswer("client: the call ended without an answer"))

    # ---- deadlines of commands

    def _sweep_no_later_than(self, when: float) -> None:
        """Look after deadlines at an instant; one timer does for all commands, since it moves only when it is due."""
        if self._sweeper:
            self._sweeper.cancel()
        self._sweep_at = when
        self._sweeper = self._loop.call_later(when - time.monotonic(), self._sweep)

    def _sweep(self) -> None:
        """Fail the commands whose deadline has passed, at once, though their bulk call goes on."""
        now = time.monotonic()
        upcoming = min([self._queue.expire(now), *(expire(batch.tickets, now) for batch in self._sending.values())])
        self._sweeper, self._sweep_at = None, float("inf")
        if upcoming < self._sweep_at:
            self._sweep_no_later_than(upcoming)
