"""What every part of a book can do: the protocol, and the sum by which parts are compared.

A part is what a book has beside its ledger. It hears of changes, each in the record of the journal that it belongs to,
from the writer and from a replay alike; it is in snapshots, in the digest, and recounted by VerifyLedger.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

import msgspec
import xxhash
from numpy.typing import NDArray

from ledger.core.views import Violation

HASH_BITS: Final = 128
_encoder: Final = msgspec.msgpack.Encoder()


class Change(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a record of the journal changes beside the ledger's columns."""


Note = tuple[int, str, str]
"""What a caller said of a write: the place of its record in the group, reference, actor."""


class RowSum:
    """The sum of the hashes of a part's rows: equal for equal rows, in whatever order they came.

    It is counted from when it is first asked for: a standby, which is asked again and again, pays for what changes
    between; a writer has other processes ask, and pays nothing.

    It does not know its part: two that know each other would stay in memory, with the ledger, until Python's collector
    comes along.
    """

    def __init__(self) -> None:
        self._sum: int | None = None

    def add(self, row: Any) -> None:
        """Count a row that came."""
        if self._sum is not None:
            self._sum += _hash_of(row)

    def remove(self, row: Any) -> None:
        """Count a row no more that was added, as it was then."""
        if self._sum is not None:
            self._sum -= _hash_of(row)

    def stop(self) -> None:
        """Count no more until it is asked for again."""
        self._sum = None

    def digest(self, rows: Callable[[], Iterable[Any]]) -> bytes:
        """Return its 16 bytes; `rows` gives all rows there are."""
        if self._sum is None:
            self._sum = _counted(rows())
        return (self._sum % (1 << HASH_BITS)).to_bytes(HASH_BITS // 8, "little")

    def is_right(self, rows: Callable[[], Iterable[Any]]) -> bool:
        """Tell whether it is what counting anew gives; `rows` gives all rows there are."""
        return self._sum is None or (self._sum - _counted(rows())) % (1 << HASH_BITS) == 0


def _counted(rows: Iterable[Any]) -> int:
    return sum(map(_hash_of, rows))


def _hash_of(row: Any) -> int:
    return xxhash.xxh3_128_intdigest(_encoder.encode(row))


class Part:
    """A part of a book; what it does not say is nothing."""

    name: ClassVar[str]
    """Of its image in a snapshot."""
    changes: ClassVar[tuple[type[Change], ...]]
    """What it hears of."""
    settled_before: ClassVar[tuple[type[Change], ...]] = ()
    """Those of them before which it has to take in what the group did so far."""

    def __init__(self) -> None:
        self.sum = RowSum()

    def settle_up_to(self, count: int, records: NDArray[Any], movements: NDArray[Any]) -> None:
        """Take in what the first records of the open group did, before a change that a later one brings."""

    def put(self, changes: Sequence[Change], time_us: int) -> None:
        """Take in what one record changes; it may change what this part does not hear of, too."""
        raise NotImplementedError

    def take_notes(self, notes: Sequence[Note], records: NDArray[Any]) -> None:
        """Take in what callers said of writes of a group that the ledger has applied, before it is settled."""

    def settle(self, records: NDArray[Any], movements: NDArray[Any], time_us: int) -> None:
        """End a group, whose records and movements the ledger has applied: drop what is over."""

    def image(self) -> bytes:
        """Return all of it, for `restore`."""
        raise NotImplementedError

    def restore(self, image: bytes) -> None:
        """Become what an image says. Of a new part only; the ledger, and the parts before it, are restored already."""
        raise NotImplementedError

    def rows(self) -> Iterable[Any]:
        """Give all that a digest compares, in any order; each can be encoded, and none comes twice."""
        raise NotImplementedError

    def digest(self) -> bytes:
        """Return bytes that are equal for equal parts."""
        return self.sum.digest(self.rows)

    def verify(self) -> Iterator[Violation]:
        """Recount it, and yield what does not add up."""
        if not self.sum.is_right(self.rows):
            yield Violation("digest_matches_rows", self.name, 0, 1)

    def counts(self) -> Mapping[str, int]:
        """Return how many of what it has, by field of GetStatusResponse."""
        return {}
