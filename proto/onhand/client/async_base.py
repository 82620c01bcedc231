"""How the calls of a client wait for their answers."""

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from onhand.client.arguments import seconds
from onhand.client.arrays import ArrayCall
from onhand.client.channels import Connection, Connections
from onhand.client.commands import Command
from onhand.client.engines import Engines
from onhand.client.errors import ClientClosed, OnHandError, from_rpc_error
from onhand.client.lone import Lone, Page
from onhand.client.retries import Attempt, Conversation, Pause, conversation

Result = TypeVar("Result")
Item = TypeVar("Item")


class AsyncBase(ABC):
    """A client without its methods."""

    _deadline_seconds: float
    _retries_max: int | None
    _engines: Engines
    _connections: Connections
    _is_closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @abstractmethod
    async def close(self) -> None:
        """Send what waits, wait for the answers at most until their deadlines, and close the connections."""

    @abstractmethod
    def _submit(self, command: Command[Result]) -> Awaitable[Result]:
        """Send a command with the next bulk call, and wait for what comes of it."""

    @abstractmethod
    async def _run_parts(self, call: ArrayCall, parts: Iterator[tuple[int, int]]) -> None:
        """Run the parts of a call with arrays, a few at a time."""

    @abstractmethod
    async def _pause(self, seconds: float) -> None:
        """Wait so long."""

    def _check_open(self) -> None:
        if self._is_closed:
            raise ClientClosed("client: it is closed; make a new one.")

    async def _follow(self, method_of: Callable[[Connection], Any], steps: Conversation) -> Any:
        """Do the steps of a conversation; returns its result."""
        try:
            step = next(steps)
            while True:
                if isinstance(step, Pause):
                    await self._pause(step.seconds)
                    step = next(steps)
                    continue
                try:
                    response = await self._try(method_of, step)
                except OnHandError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(response)
        except StopIteration as end:
            return end.value

    async def _try(self, method_of: Callable[[Connection], Any], attempt: Attempt) -> Any:
        """Send a request to an engine; returns its response, or raises OnHandError."""
        connection = self._connections.take(attempt.engine)
        try:
            return await method_of(connection)(attempt.request, timeout=attempt.timeout_seconds)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        finally:
            for channel in self._connections.give_back(connection, self._engines.current):
                await channel.close()

    # ---- calls that go alone

    def _seconds(self, deadline_seconds: float | None) -> float:
        return self._deadline_seconds if deadline_seconds is None else seconds(deadline_seconds, "deadline_seconds")

    async def _call(self, call: Lone[Result], deadline_seconds: float | None) -> Result:
        self._check_open()
        expires_at = time.monotonic() + self._seconds(deadline_seconds)
        steps = conversation(call.request, self._engines, expires_at, self._retries_max)
        try:
            response = await self._follow(call.method_of, steps)
        except OnHandError as error:
            raise call.failed(error) from error.__cause__
        return call.result_of(response)

    async def _list(
        self, page_of: Callable[[str], Lone[Page[Item]]], deadline_seconds: float | None
    ) -> AsyncIterator[Item]:
        token = ""
        while True:
            page = await self._call(page_of(token), deadline_seconds)
            for item in page.items:
                yield item
            token = page.next_page_token
            if not token:
                return
