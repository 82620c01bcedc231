"""Packing the columns of an entry: a field that repeats or counts up takes no room, small numbers little.

A long column is mostly that: reservation ids that count up, one time, one kind. A reservation with its request id takes
less than half of its room then. That is worth its time from some hundred rows on; shorter columns stay as they are.

    RAW     rows as they are
    PACKED  one field of the dtype after the other, each as
            CONSTANT  8 bytes, the value of all rows
            COUNTING  8 bytes, the first value, and 8 bytes, what each row adds
            1 2 4 8   so many bytes for each row, unsigned; where that is the field's own width, as it is
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

ROWS_MIN: Final = 256
RAW: Final = 0
PACKED: Final = 1
CONSTANT: Final = 0x10
COUNTING: Final = 0x11
WIDTHS: Final = (1, 2, 4, 8)
_WORD: Final = np.dtype("<i8")
_UNSIGNED: Final = {width: np.dtype(f"<u{width}") for width in WIDTHS}


def pack(rows: NDArray[np.void]) -> bytes:
    """Return the bytes that keep some rows; the same for equal rows.

    Parameters
    ----------
    rows
        Shape (n,), a structured dtype of integers without padding.
    """
    if len(rows) < ROWS_MIN:
        return bytes((RAW,)) + rows.tobytes()
    assert rows.dtype.names is not None
    return bytes((PACKED,)) + b"".join(_pack_field(rows[name]) for name in rows.dtype.names)


def _pack_field(values: NDArray[Any]) -> bytes:
    words = np.ascontiguousarray(values).astype(_WORD)  # that of a large u8 is negative, and comes back as it was
    steps = words[1:] - words[:-1]
    if steps[0] == steps[-1] and bool((steps == steps[0]).all()):
        if steps[0] == 0:
            return bytes((CONSTANT,)) + words[:1].tobytes()
        return bytes((COUNTING,)) + words[:1].tobytes() + steps[:1].tobytes()
    width = _width_of(words, values.dtype.itemsize)
    return bytes((width,)) + words.astype(_UNSIGNED[width]).tobytes()


def _width_of(words: NDArray[np.int64], width_max: int) -> int:
    """Return the fewest bytes that hold all values; those of the field itself where some are negative."""
    if int(words.min()) < 0:
        return width_max
    bits = int(words.max()).bit_length()
    return min(width_max, next(width for width in WIDTHS if bits <= 8 * width))


def unpack(payload: bytes, dtype: np.dtype[np.void], count: int) -> NDArray[np.void]:
    """Return the rows that some bytes keep, not to be written to.

    Raises
    ------
    ValueError
        The bytes do not keep `count` rows; the message says what was expected and found.
    """
    code, body = payload[:1], payload[1:]
    if code == bytes((RAW,)) and count < ROWS_MIN:
        if len(body) != count * dtype.itemsize:
            raise ValueError(f"expected {count} values of {dtype.itemsize} bytes, was {len(body)} bytes")
        return np.frombuffer(body, dtype)
    if code != bytes((PACKED,)) or count < ROWS_MIN:
        raise ValueError(f"expected {count} values in their form, was form {code.hex() or 'none'}")
    assert dtype.names is not None
    rows, place = np.zeros(count, dtype), 0
    for name in dtype.names:
        values, place = _unpack_field(body, place, count)
        rows[name] = values
    if place != len(body):
        raise ValueError(f"expected {place} bytes for {count} values, was {len(body)}")
    return rows


def _unpack_field(body: bytes, place: int, count: int) -> tuple[NDArray[Any], int]:
    """Return the values of the field that begins at a place, and where the next one does."""
    code, place = body[place] if place < len(body) else -1, place + 1
    if code == CONSTANT:
        return _words(body, place, 1), place + 8
    if code == COUNTING:
        first, step = _words(body, place, 2)
        return first + step * np.arange(count), place + 16
    if code not in WIDTHS:
        raise ValueError(f"expected the form of a field, was {code}")
    end = place + code * count
    if end > len(body):
        raise ValueError(f"expected {end} bytes or more for {count} values, was {len(body)}")
    return np.frombuffer(body, _UNSIGNED[code], count, place), end


def _words(body: bytes, place: int, count: int) -> NDArray[np.int64]:
    if place + 8 * count > len(body):
        raise ValueError(f"expected {place + 8 * count} bytes or more, was {len(body)}")
    return np.frombuffer(body, _WORD, count, place)
