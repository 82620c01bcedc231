"""Work beside the writer: pure functions over what does not change any more, run by threads of their own.

The writer never waits for them. A method that needs one is a generator (`engine.api.methods.Work`): it yields the
function, and goes on in a later group with what came of it. Python threads share one lock, so a thread that works gives
it back every SWITCH_SECONDS when the writer wants it; kernels do not hold it at all.
"""

import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, Final, TypeVar

THREADS: Final = 2
"""So that a quote does not wait for a network that is being checked."""
SWITCH_SECONDS: Final = 0.0005
"""The longest that the writer waits for the lock; Python's own default is ten times as long."""

Result = TypeVar("Result")


def open_background() -> Executor:
    """Return threads for work beside the writer."""
    sys.setswitchinterval(SWITCH_SECONDS)
    return ThreadPoolExecutor(THREADS, thread_name_prefix="onhand-background")


class Inline(Executor):
    """Runs what it is given at once: for whoever has no writer that must go on, such as a simulator."""

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> "Future[Result]":
        """Run it; what it raises is told by the result, as from a thread."""
        future: Future[Result] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - raised again by whoever asks for the result
            future.set_exception(error)
        return future
