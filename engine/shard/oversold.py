"""How many stock levels are oversold, counted by and by: the writer looks at a part now and then."""

from typing import Final

from ledger.core.ledger import Ledger

LEVELS_PER_LOOK: Final = 500_000
"""A millisecond or so: the writer waits for it."""


class OversoldCount:
    """Goes round the levels of a ledger.

    Parameters
    ----------
    ledger
        Looked at by `go_on` alone, in the thread that changes it.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._first = self._found = 0
        self.level_count = 0
        """Of the last round: facts that took promised units, or lowered backorder limits."""

    def go_on(self) -> None:
        """Look at the next levels."""
        last = min(self._first + LEVELS_PER_LOOK, self._ledger.level_count)
        self._found += self._ledger.oversold_between(self._first, last)
        self._first = last
        if last == self._ledger.level_count:
            self.level_count, self._first, self._found = self._found, 0, 0
