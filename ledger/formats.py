"""The format of journal entries and snapshots: one number for all that is in them, and how to say that it is another.

Every format has its number in the first place of an entry and of a snapshot's header. From 5 on the second place has
the release that wrote it, so that each release can name the one that reads what it cannot read itself.

The number stands for all that is inside: structs, columns, parts, operations, how digests are computed. Whatever of it
changes, a field at the end included, is another format, so that no release ever reads what it does not know. Within a
format no field is unknown and none may be ignored. docs/upgrading.md says what a change of the format takes.
"""

from typing import Any, Final, NamedTuple

import msgspec

FORMAT: Final = 5
"""What this release writes."""
FORMAT_OLDEST: Final = 4
"""The oldest that it reads: through the steps of `ledger.upgrades`."""
RELEASE: Final = "0.2"
REFERENCES_SINCE: Final = 5
"""The first format whose reservations have references: snapshots of earlier ones do not, so their entries must not."""


class Head(NamedTuple):
    """What every format says of itself."""

    version: int
    release: str
    """Empty: it does not say so."""


_decoder: Final = msgspec.msgpack.Decoder(list[msgspec.Raw])


def head_of(content: bytes | memoryview) -> Head | None:
    """Return the head of an entry's body or a snapshot's header; None if not even that can be read."""
    try:
        places = _decoder.decode(content)
        version: Any = msgspec.msgpack.decode(places[0])
        release: Any = msgspec.msgpack.decode(places[1]) if len(places) > 1 else ""
    except (msgspec.DecodeError, UnicodeDecodeError, IndexError):
        return None
    if not isinstance(version, int):
        return None
    return Head(version, release if isinstance(release, str) else "")


def is_readable(head: Head) -> bool:
    """Tell whether this release reads what begins so."""
    return FORMAT_OLDEST <= head.version <= FORMAT


def why_unreadable(head: Head) -> str:
    """Say that a format is another release's, and which release to use."""
    found = f"format version: expected {FORMAT_OLDEST} to {FORMAT}, found {head.version}"
    if head.version < FORMAT:
        return f"{found}: this is OnHand {RELEASE}; read it with the release that wrote it"
    if not head.release:
        return f"{found}, of a newer release: this is OnHand {RELEASE}; start a newer release here"
    writer = f"OnHand {head.release}"
    return f"{found}, of {writer}: this is OnHand {RELEASE}; start {writer} here, or one that is newer"
