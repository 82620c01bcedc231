"""Every benchmark by name, in the order of a whole run."""

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from bench import (
    bulk,
    capacity,
    client,
    expiry,
    hot,
    memory,
    open_loop,
    pauses,
    reads,
    replay,
    routing,
    scale,
    snapshot,
    unary,
)
from bench.rows import Question, Row, Run


class Bench(Protocol):
    """A module that measures one thing."""

    @property
    def QUESTIONS(self) -> Sequence[Question]:  # noqa: N802 - a constant of the module
        """What it answers."""

    def measure(self, run: Run) -> Iterator[Row]:
        """Answer them; raises BenchError, or what the engine's process or gRPC raises, if it cannot."""


BENCHES: Final[dict[str, Bench]] = {
    "unary": unary,
    "unary-open-loop": open_loop,
    "bulk": bulk,
    "client": client,
    "hot": hot,
    "scale": scale,
    "memory": memory,
    "capacity": capacity,
    "expiry": expiry,
    "reads": reads,
    "replay": replay,
    "routing": routing,
    "pauses": pauses,
    "snapshot": snapshot,
}
