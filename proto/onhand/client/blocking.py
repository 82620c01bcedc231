"""The client for threads."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import grpc
from onhand.addresses import check_addresses
from onhand.client import limits
from onhand.client.arguments import Seconds, checks_arguments
from onhand.client.arrays import ArrayCall
from onhand.client.batches import Batch, Queue, Ticket
from onhand.client.blocking_calls import BlockingCalls
from onhand.client.channels import EXECUTE, OPTIONS, Connections
from onhand.client.commands import Command
from onhand.client.engines import Engines
from onhand.client.errors import NoAnswer

Result = TypeVar("Result")


def _open_channel(
    credentials: grpc.ChannelCredentials | None, interceptors: Sequence[Any], engine: str
) -> grpc.Channel:
    plain = grpc.secure_channel(engine, credentials, OPTIONS) if credentials else grpc.insecure_channel(engine, OPTIONS)
    return grpc.intercept_channel(plain, *interceptors) if interceptors else plain


@checks_arguments()
class Client(BlockingCalls):
    """A blocking client that any number of threads may share; a context manager.

    Writes of concurrent threads share bulk calls: what waits while bulk calls are on their way is the next one. Two
    writes of one thread are sequenced one after the other; those of several in any order.

    Every write has a request id, and is sent again while the engine cannot be reached or does not take it, until its
    deadline; to another engine, if that one is the primary. All methods raise OnHandError: RefusedError by reason,
    OutcomeUnknown for a write without an answer, NoAnswer for a read without one.

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
        Of grpc: for tokens, tracing and counting.

    Raises
    ------
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
        interceptors: Sequence[Any] = (),
    ) -> None:
        self._deadline_seconds = deadline_seconds
        self._retries_max = retries_max
        self._engines = Engines(check_addresses(address))
        self._connections = Connections(partial(_open_channel, credentials, interceptors))
        self._queue = Queue()
        self._news = threading.Condition()  # guards the queue and what follows
        self._senders: list[threading.Thread] = []
        self._idle_count = 0

    def close(self) -> None:
        """Send what waits, wait for the answers at most until their deadlines, and close the connections."""
        with self._news:
            self._is_closed = True
            self._news.notify_all()
            senders = tuple(self._senders)
        for sender in senders:
            sender.join()
        for channel in self._connections.close():
            channel.close()

    def _run_parts(self, call: ArrayCall, parts: Iterator[tuple[int, int]]) -> None:
        with ThreadPoolExecutor(limits.CALLS_IN_FLIGHT_MAX) as pool:
            for _ in pool.map(lambda part: self._follow(EXECUTE, call.run(*part)), parts):
                pass

    def _pause(self, seconds: float) -> None:
        time.sleep(seconds)

    # ---- the coalescing of commands

    def _submit(self, command: Command[Result]) -> Result:
        """Send a command with the next bulk call, and wait for what comes of it."""
        future: Future[Result] = Future()
        ticket = Ticket(command, future, self._deadline_seconds)
        with self._news:
            self._check_open()
            self._queue.add(ticket)
            if self._idle_count:
                self._news.notify()
            elif len(self._senders) < limits.CALLS_IN_FLIGHT_MAX:
                self._start_sender()
        try:
            return future.result(ticket.expires_at - time.monotonic())
        except TimeoutError:
            with self._news:  # so that no sender takes it at this moment
                if future.cancel():
                    raise ticket.overdue() from None
            return future.result()  # it came this very moment

    def _start_sender(self) -> None:
        """Start one more of the threads that send; it ends with the client, or with the process."""
        sender = threading.Thread(target=self._send_all, name="onhand-client", daemon=True)
        self._senders.append(sender)
        sender.start()

    def _send_all(self) -> None:
        """Send batch after batch until the client is closed and nothing waits."""
        try:
            while (batch := self._next_batch()) is not None:
                try:
                    self._follow(EXECUTE, batch.run(self._engines, self._retries_max))
                finally:
                    batch.fail(NoAnswer("client: the call ended without an answer"))
        finally:  # also after a bug: the next command starts another
            with self._news:
                self._senders.remove(threading.current_thread())

    def _next_batch(self) -> Batch | None:
        with self._news:
            while (batch := self._queue.take()) is None and not self._is_closed:
                self._idle_count += 1
                self._news.wait()
                self._idle_count -= 1
            return batch
