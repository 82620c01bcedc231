"""Parts whose rows end by themselves."""

from collections.abc import Sequence
from typing import Any, Final

from numpy.typing import NDArray

from ledger.parts.part import Change, Part
from ledger.parts.planned import AGES

LOOKED_AT: Final = 2
"""Old rows that are looked at for each plan or refusal that comes: dropping keeps up with adding."""


class AgingPart(Part):
    """Drops some of what is over when a group ends that plans or refusals came in: a bounded number of rows."""

    def __init__(self) -> None:
        super().__init__()
        self._added_count = 0  # since the last settlement

    def put(self, changes: Sequence[Change], time_us: int) -> None:  # noqa: ARG002 - for those that inherit
        """Count what comes."""
        self._added_count += sum(isinstance(change, AGES) for change in changes)

    def settle(self, records: NDArray[Any], movements: NDArray[Any], time_us: int) -> None:  # noqa: ARG002 - the same
        """End a group."""
        if self._added_count:
            self.trim(LOOKED_AT * self._added_count, time_us)
            self._added_count = 0

    def trim(self, look_count: int, time_us: int) -> None:
        """Look at so many of the oldest rows, and drop those that are over at an instant."""
        raise NotImplementedError
