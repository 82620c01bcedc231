"""Arrays that grow in place, without a copy and without a maximum.

A column lies in anonymous private memory of its own. Growing remaps the pages (mremap on Linux), so it takes
microseconds at any size and the writer never waits for a copy. Untouched capacity costs no memory.
"""

import mmap
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

PAGE_BYTES = mmap.PAGESIZE
PACKED_FIELDS: Final = 2  # of each array that is packed: its address and how many rows it has


def pack(arrays: tuple[Any, ...]) -> NDArray[np.int64]:
    """Return where the arrays of a tuple lie, and of the tuples in it: all that kernels are given of them.

    Shape (arrays * PACKED_FIELDS,). It keeps no array alive, and is of no use once one of them has grown.
    """
    return np.array([word for array in _flat(arrays) for word in _words(array)], np.int64)


def _flat(arrays: tuple[Any, ...]) -> Iterator[NDArray[Any]]:
    for member in arrays:
        if isinstance(member, tuple):
            yield from _flat(member)
        else:
            yield member


def _words(array: NDArray[Any]) -> tuple[int, int]:
    assert array.flags.c_contiguous
    return array.__array_interface__["data"][0], len(array)


class Column:
    """One growing array of zeroed rows.

    `array` is the whole capacity; whoever owns the column knows how many rows count. Views taken from `array` must be
    dropped before `reserve` is called: a view that is still held makes growing fall back to a copy, and the view goes
    stale.
    """

    def __init__(self, dtype: DTypeLike, *, width: int = 0, rows: int = 1024) -> None:
        self._dtype = np.dtype(dtype)
        self._width = width
        self._row_bytes = self._dtype.itemsize * max(1, width)
        self._memory = self._map(self._bytes_for(rows))
        self.array: NDArray[Any] = self._view()

    @property
    def capacity(self) -> int:
        """Rows there is room for."""
        return len(self.array)

    def reserve(self, rows: int) -> None:
        """Make room for at least `rows` rows in all; at least doubles when it grows."""
        if rows <= self.capacity:
            return
        target = self._bytes_for(max(rows, 2 * self.capacity))
        used = len(self._memory)
        del self.array
        try:
            self._memory.resize(target)
        except (BufferError, SystemError, OSError):  # a view is held, or the platform cannot remap
            memory = self._map(target)
            memory[:used] = self._memory[:used]
            self._memory = memory
        self.array = self._view()

    @staticmethod
    def _map(size: int) -> mmap.mmap:
        return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    def _bytes_for(self, rows: int) -> int:
        return -(-rows * self._row_bytes // PAGE_BYTES) * PAGE_BYTES

    def _view(self) -> NDArray[Any]:
        flat = np.frombuffer(
            self._memory, dtype=self._dtype, count=len(self._memory) // self._row_bytes * max(1, self._width)
        )
        return flat.reshape(-1, self._width) if self._width else flat
