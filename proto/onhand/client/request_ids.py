"""Request ids: UUIDs in network byte order. Those made here are UUIDv7, as the engine's window wants them."""

import os
import time
import uuid

import numpy as np
import uuid_utils
from numpy.typing import NDArray
from onhand.client.errors import invalid
from onhand.rules.checks import UUID_EXPECTED

BYTES = 16
LENGTH = 36
DASHES = (8, 13, 18, 23)


def new_request_id() -> uuid.UUID:
    """Return a fresh UUIDv7."""
    return uuid.UUID(bytes=uuid_utils.uuid7().bytes)


def request_id_bytes(value: str | uuid.UUID | None) -> bytes:
    """Return the bytes of a request id; of a fresh one if the caller gives none.

    Raises
    ------
    ValidationFailed
        It is no UUID in the usual form, or the nil UUID, which stands for none in a bulk call.
    """
    return uuid_utils.uuid7().bytes if value is None else given_request_id(value, "request_id")


def given_request_id(value: str | uuid.UUID, field: str) -> bytes:
    """Return the bytes of a request id that the caller gives. Raises as `request_id_bytes`."""
    raw = value.bytes if isinstance(value, uuid.UUID) else _parsed(value)
    if raw is None:
        raise invalid(field, UUID_EXPECTED, value)
    if not any(raw):
        raise invalid(field, "a UUID that is not nil", str(value))
    return raw


def _parsed(value: str) -> bytes | None:
    if not isinstance(value, str) or len(value) != LENGTH or any(value[place] != "-" for place in DASHES):
        return None
    try:
        raw = bytes.fromhex(value.replace("-", ""))
    except ValueError:
        return None
    return raw if len(raw) == BYTES else None


def request_id_text(raw: bytes) -> str:
    """Return a request id as callers see it."""
    return str(uuid.UUID(bytes=raw))


def new_request_ids(count: int) -> NDArray[np.uint8]:
    """Return fresh UUIDv7s (RFC 9562): now in milliseconds, and 74 random bits each.

    Returns
    -------
    NDArray[np.uint8]
        Shape (count, 16), in network byte order.
    """
    ids = np.frombuffer(bytearray(os.urandom(BYTES * count)), np.uint8).reshape(count, BYTES)
    ids[:, :6] = np.frombuffer((time.time_ns() // 1_000_000).to_bytes(6), np.uint8)
    ids[:, 6] = ids[:, 6] & 0x0F | 0x70
    ids[:, 8] = ids[:, 8] & 0x3F | 0x80
    return ids
