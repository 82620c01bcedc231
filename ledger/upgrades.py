"""Upgrades: what an earlier format says, in the words of this one. One step for each format; no step is ever removed.

    entry     the fields of an entry's body, as msgpack has them
    header    the fields of a snapshot's header

Fields that a step does not name stay as they are; those that are new at the end need no step: they may be absent, and
start at their default. A digest is computed as its own format says, so that those of an earlier one are not compared:
an entry's checksum chain and a snapshot's checksums still are.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from ledger.formats import FORMAT, FORMAT_OLDEST

Fields = list[msgspec.Raw]
Step = Callable[[Fields], Fields]

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Fields)


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(_encoder.encode(value))


def _entry_of_4(fields: Fields) -> Fields:
    """Release 0.1 did not say its name, and hashed catalog and plans in another way."""
    version, *body, _is_marked, _digests = fields
    return [version, _raw("0.1"), *body, _raw(False), _raw([])]  # noqa: FBT003 - a value of the format


def _header_of_4(fields: Fields) -> Fields:
    """Take the header likewise."""
    version, seq, epoch, chain, time_us, _digest, *settings = fields
    return [version, _raw("0.1"), seq, epoch, chain, time_us, _raw(b""), *settings]


ENTRY_STEPS: Final[Mapping[int, Step]] = {4: _entry_of_4}
"""What makes an entry of the next format of one of this."""
HEADER_STEPS: Final[Mapping[int, Step]] = {4: _header_of_4}
assert list(ENTRY_STEPS) == list(HEADER_STEPS) == list(range(FORMAT_OLDEST, FORMAT))


def upgraded(content: bytes | memoryview, version: int, steps: Mapping[int, Step]) -> bytes:
    """Return an entry's body or a snapshot's header of an earlier format as this one has it.

    The version in it stays: it says how the original was written.

    Raises
    ------
    msgspec.DecodeError
        It is not of that format.
    """
    fields = _decoder.decode(content)
    try:
        for each in range(version, FORMAT):
            fields = steps[each](fields)
    except ValueError as error:  # fewer fields than a step takes apart
        raise msgspec.DecodeError(f"Expected another number of fields than {len(fields)}") from error
    return _encoder.encode(fields)
