"""Python's collector of cycles, kept from looking through everything while everybody waits.

A full collection looks at each object that may hold others, some 0.35 µs each: 90 ms where a network of 10,000
locations came after the start. Here only what is younger is looked through by itself; what grew old meanwhile is looked
through while it is little, and no more once it is known to stay.
"""

import gc
from types import TracebackType
from typing import Final, Self

NEVER: Final = 2**30
LOOKED_AFTER: Final = 10
"""Collections of what is younger, after each of which some thousand objects may have grown old."""
OLD_MAX: Final = 20_000
"""Objects that may have grown old before they are looked through."""
COLLECTED_MAX: Final = 50_000
"""Objects that are looked through at once, some 18 ms; of a greater rush, most come with a catalog or network, and
cycles among the others are not found before the engine's role changes."""
COLLECTIONS_MAX: Final = 1_000
"""Collections of what is younger before also few old objects are looked through."""


class CycleCollector:
    """Says when cycles are looked for among old objects; a context manager, which leaves all as it was."""

    def __enter__(self) -> Self:
        self._thresholds = gc.get_threshold()
        self._looked = 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        gc.set_threshold(*self._thresholds)
        gc.unfreeze()

    def settle(self, *, anew: bool) -> None:
        """Look through what came since the last time, anew through everything: it stays, and is looked at no more."""
        gc.set_threshold(*self._thresholds[:2], NEVER)
        if anew:
            gc.unfreeze()
        gc.collect()
        gc.freeze()
        self._looked = 0

    def look(self) -> None:
        """Look through old objects, if there may be more of them than last time."""
        count = gc.get_count()[2]  # of collections of what is younger, since everything was looked through
        if count - self._looked < LOOKED_AFTER:
            return
        self._looked = count
        old = len(gc.get_objects(generation=2))
        if old > COLLECTED_MAX:
            gc.collect(1)
            gc.freeze()
        elif old > OLD_MAX or count > COLLECTIONS_MAX:
            gc.collect()
            gc.freeze()
            self._looked = 0
