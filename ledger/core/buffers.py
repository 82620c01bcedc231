"""Where the kernels write what a batch causes, and their scratch; kept from batch to batch."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ledger.core import limits
from ledger.core.columns import Column, pack
from ledger.core.kernels.output import (
    ANSWERS,
    CURSORS,
    DETAILS,
    MOVEMENTS,
    OUTPUT_DTYPES,
    RECORDS,
    REQUESTS,
    Output,
    new_work,
)

ROWS_OF_A_CALL: Final = 2 * limits.MOVEMENTS_PER_CALL_MAX


class Hands(NamedTuple):
    """What `execute_batch` takes beside commands, for kernels that decide themselves what the commands are."""

    columns: NDArray[np.int64]
    """Packed, see `ledger.core.columns.pack`; these three are valid until the next call of anything that writes."""
    output: NDArray[np.int64]
    scratch: NDArray[np.int64]
    time_us: int
    request_window_us: int


class Buffers:
    """Output and scratch of the kernels. `cursor` says how many rows of each column of the output are used."""

    def __init__(self) -> None:
        self._columns = tuple(Column(dtype) for dtype in OUTPUT_DTYPES)
        self.records, self.requests, self.movements, self.details, self.answers = self._columns
        self.cursor = np.zeros(CURSORS, np.int64)
        self.result = np.zeros(2, np.int64)
        self._work = new_work(ROWS_OF_A_CALL)
        self.scratch = pack(self._work)
        """The Work, packed for kernels."""
        self._output: NDArray[np.int64] | None = None

    @property
    def output(self) -> NDArray[np.int64]:
        """The Output, packed for kernels; dropped whenever a column grows."""
        if self._output is None:
            self._output = pack(Output._make((*(column.array for column in self._columns), self.cursor)))
        return self._output

    def reserve(self, *, records: int, movements: int, details: int) -> None:
        """Make room for that many more rows."""
        more = {RECORDS: records, REQUESTS: records, MOVEMENTS: movements, DETAILS: details, ANSWERS: details}
        used = self.cursor.item
        for place, column in enumerate(self._columns):
            rows = used(place) + more[place]
            if rows > column.capacity:
                self._output = None
                column.reserve(rows)

    def check(self) -> None:
        """Assert that no kernel wrote beyond the room that was made for it."""
        used = self.cursor.item
        for place, column in enumerate(self._columns):
            assert 0 <= used(place) <= column.capacity, f"rows: {used(place)}, room: {column.capacity}"
