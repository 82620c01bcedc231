"""What calls with a request id were told that were refused for what was true then: a repeat is told the same."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

import msgspec

from ledger.core.ledger import Ledger
from ledger.core.views import Violation
from ledger.parts.aging import AgingPart
from ledger.parts.part import Change
from ledger.parts.planned import AGES, RefusedCall

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(list[RefusedCall])


class Refusals(AgingPart):
    """Refusals by the seq of the write that remembers their request id, for as long as it is remembered."""

    name = "refusals"
    changes = AGES

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger
        self._by_seq: dict[int, RefusedCall] = {}
        self.added_bytes = 0
        """Since the last settlement: what they take of the journal entry."""

    def of_request(self, high: int, low: int) -> bytes | None:
        """Return what a request id was told that was refused; None if it was not, or is remembered no more."""
        found = self._by_seq.get(self._ledger.seq_of_request(high, low))
        return None if found is None else found.content

    def put(self, changes: Sequence[Change], time_us: int) -> None:
        """Keep refusals."""
        super().put(changes, time_us)
        for change in changes:
            if isinstance(change, RefusedCall):
                assert change.seq not in self._by_seq
                self._by_seq[change.seq] = change
                self.sum.add(change)
                self.added_bytes += len(change.content)

    def trim(self, look_count: int, _: int) -> None:
        """Drop those whose request ids are forgotten: in the order of their seqs."""
        for seq in list(islice(self._by_seq, look_count)):
            if self._ledger.remembers_since(seq):
                break
            self.sum.remove(self._by_seq.pop(seq))
        self.added_bytes = 0

    def image(self) -> bytes:
        """Return all of them, for `restore`."""
        return _encoder.encode(list(self._by_seq.values()))

    def restore(self, image: bytes) -> None:
        """Become the refusals of an image."""
        assert not self._by_seq
        self._by_seq = {refused.seq: refused for refused in _decoder.decode(image)}

    def rows(self) -> Iterable[Any]:
        """Give each."""
        return self._by_seq.values()

    def verify(self) -> Iterator[Violation]:
        """Find refusals that are not of the write that they say, or of one that there was not yet."""
        yield from super().verify()
        before = 0
        for seq, refused in self._by_seq.items():
            if refused.seq != seq or not before < seq <= self._ledger.seq:
                yield Violation("refusals_are_of_their_writes", f"refusal {seq}", refused.seq, seq)
            before = seq
