"""A client in a process of its own, so that it shares no interpreter with what measures it."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from types import TracebackType
from typing import Final, ParamSpec, Self, TypeVar

CALL_SECONDS_MAX: Final = 600.0

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class ClientProcess:
    """Runs functions of ours elsewhere, one at a time; a context manager."""

    def __enter__(self) -> Self:
        # spawned, not forked: gRPC must not be forked
        self._pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def call(
        self, function: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
    ) -> Result:
        """Run a function of a module there, and return what it returns."""
        return self._pool.submit(function, *arguments, **named).result(CALL_SECONDS_MAX)
