"""Request ids by the thousand."""

import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

UUID_BYTES: Final = 16
NANOSECONDS_PER_MILLISECOND: Final = 1_000_000


def random_request_ids(count: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """Return UUIDv7s of this millisecond (RFC 9562): time, version, variant, and 74 random bits.

    Returns
    -------
    uint8[count, 16]
        Each in network byte order.
    """
    ids = random.integers(0, 256, (count, UUID_BYTES), np.uint8)
    milliseconds = time.time_ns() // NANOSECONDS_PER_MILLISECOND
    ids[:, :6] = np.frombuffer(milliseconds.to_bytes(6), np.uint8)
    ids[:, 6] = ids[:, 6] & 0x0F | 0x70
    ids[:, 8] = ids[:, 8] & 0x3F | 0x80
    return ids
