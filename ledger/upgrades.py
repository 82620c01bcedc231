"""Upgrades: what an earlier format says, in the words of this one. One step for each format; no step is ever removed.

    entry     the fields of an entry's body, as msgpack has them
    header    the fields of a snapshot's header
    image     the parts of a snapshot, by name

Fields that a step does not name stay as they are; those that are new at the end need no step: they may be absent, and
start at their default. A digest is computed as its own format says, so that those of an earlier one are not compared:
an entry's checksum chain and a snapshot's checksums still are.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import numpy as np

from ledger.core.images import ImageSource
from ledger.core.state import COUNTERS, OUTSIDE_WIDTH, REQUEST, REQUEST_FIRST, REQUEST_FORGOTTEN, SEQ
from ledger.formats import FORMAT, FORMAT_OLDEST

Fields = list[msgspec.Raw]
Step = Callable[[Fields], Fields]

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Fields)


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(_encoder.encode(value))


def _entry_of_4(fields: Fields) -> Fields:
    """Release 0.1 did not say its name, and hashed catalog and plans in another way.

    What is REMEMBER today was CHANGE_CATALOG without changes: its record and its memory are the same.
    """
    version, *body, _is_marked, _digests = fields
    return [version, _raw("0.1"), *body, _raw(False), _raw([])]  # noqa: FBT003 - a value of the format


def _header_of_4(fields: Fields) -> Fields:
    """Take the header likewise."""
    version, seq, epoch, chain, time_us, _digest, *settings = fields
    return [version, _raw("0.1"), seq, epoch, chain, time_us, _raw(b""), *settings]


class _Replaced:
    """An image some of whose parts are other ones, or were not there."""

    def __init__(self, source: ImageSource, parts: Mapping[str, bytes]) -> None:
        self._source = source
        self._parts = parts

    def has(self, name: str) -> bool:
        """Tell whether it has a part."""
        return name in self._parts or self._source.has(name)

    def read(self, name: str) -> bytes:
        """Return a part."""
        return self._parts[name] if name in self._parts else self._source.read(name)

    def read_into(self, name: str, target: memoryview) -> None:
        """Read a part to where it belongs."""
        if name in self._parts:
            target[:] = self._parts[name]
        else:
            self._source.read_into(name, target)


OUTSIDE_WIDTH_OF_4: Final = 4
SEQ_MASK_OF_4: Final = (1 << 48) - 1
"""Of a stored answer: the bits of its seq."""


def _image_of_4(source: ImageSource) -> ImageSource:
    """Two parts had all: the network was in the catalog; views, rejections and refusals in the plans."""
    catalog: list[Any] = msgspec.msgpack.decode(source.read("catalog"))
    plans: list[Any] = msgspec.msgpack.decode(source.read("plans"))
    steps, views, bookings, load, first_day, rejections, suspects, *refusals = plans
    networks = [resource for resource in catalog if resource[0] == "network"]
    routed = [resource for resource in catalog if resource[0] == "location_routing"]
    parts = {
        "catalog": [resource for resource in catalog if resource[0] in {"location", "sku"}],
        "network": [networks[0] if networks else None, routed],
        "views": views,
        "plans": [steps, bookings, load, first_day],
        "rejections": [rejections, suspects],
        "refusals": refusals[0] if refusals else [],
    }
    return _Replaced(source, {name: _encoder.encode(part) for name, part in parts.items()} | _columns_of_4(source))


def _columns_of_4(source: ImageSource) -> dict[str, bytes]:
    """There were no documents: fewer counters, and no account of units that nobody sent.

    Which request was forgotten last was not said: none after the oldest that is remembered.
    """
    told = np.frombuffer(source.read("counters"), np.int64)
    counters = np.pad(told, (0, COUNTERS - len(told)))
    requests = np.frombuffer(source.read("requests"), REQUEST)
    oldest = int(counters[REQUEST_FIRST])
    before_seq = int(requests["answer"][oldest - 1] & np.uint64(SEQ_MASK_OF_4)) if oldest else int(counters[SEQ]) + 1
    counters[REQUEST_FORGOTTEN] = before_seq - 1
    outside = np.frombuffer(source.read("sku_outside"), np.int64).reshape(-1, OUTSIDE_WIDTH_OF_4)
    return {
        "counters": counters.tobytes(),
        "sku_outside": np.pad(outside, ((0, 0), (0, OUTSIDE_WIDTH - OUTSIDE_WIDTH_OF_4))).tobytes(),
        "documents": b"",
        "document_lines": b"",
    }


ENTRY_STEPS: Final[Mapping[int, Step]] = {4: _entry_of_4}
"""What makes an entry of the next format of one of this."""
HEADER_STEPS: Final[Mapping[int, Step]] = {4: _header_of_4}
IMAGE_STEPS: Final[Mapping[int, Callable[[ImageSource], ImageSource]]] = {4: _image_of_4}
assert list(ENTRY_STEPS) == list(HEADER_STEPS) == list(IMAGE_STEPS) == list(range(FORMAT_OLDEST, FORMAT))


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


def upgraded_image(source: ImageSource, version: int) -> ImageSource:
    """Return a snapshot's parts of an earlier format as this one has them.

    Raises
    ------
    msgspec.DecodeError
        A part is not of that format.
    """
    for each in range(version, FORMAT):
        source = IMAGE_STEPS[each](source)
    return source
