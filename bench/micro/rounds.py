"""How large the batches are, and how often each is measured."""

from collections.abc import Callable
from typing import Any, Final

from pytest_benchmark.fixture import BenchmarkFixture

from ledger.core.limits import COMMANDS_PER_CALL_MAX

UNARY: Final = 35
"""About the group that unary calls come to under load."""
BULK: Final = COMMANDS_PER_CALL_MAX
ROUNDS: Final = 50


def measure(
    benchmark: BenchmarkFixture, function: Callable[..., Any], make_arguments: Callable[[], tuple[Any, ...]]
) -> Any:
    """Call a function ROUNDS times, each time with arguments made before the clock starts; returns its last result."""
    return benchmark.pedantic(  # type: ignore[no-untyped-call]
        function, setup=lambda: (make_arguments(), {}), rounds=ROUNDS
    )
