"""Reading the columns of a bulk call: each has as many entries as it should, or one for all, or none."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onhand.columns import read_column, unpacked_column
from onhand.identifiers import are_all_plain
from onhand.rules import refusals

from engine.api import fields
from engine.errors import invalid, refused_as
from ledger.book import Book
from ledger.core import limits

NONE: Final = -1
REQUEST_ID_BYTES: Final = 16


class ColumnReader:
    """The columns of one call; every method that checks raises RefusedError.

    Parameters
    ----------
    request
        A twin of `onhand.columns`.
    dtypes
        Of its columns, by field.
    """

    def __init__(self, request: Any, dtypes: Mapping[str, np.dtype[Any]]) -> None:
        self.request = request
        self._dtypes = dtypes
        self.unread: set[str] = set()
        """Columns that were refused as a whole: what is wrong with entries of what stands for them is not told."""
        if (field := unpacked_column(request)) is not None:
            raise invalid(field, "a packed column", "values one by one")

    def whole(self, field: str, length_max: int, *, at_least: int) -> NDArray[Any]:
        """Read a column that comes in full: so many entries at most."""
        values = self._values(field)
        if not at_least <= len(values) <= length_max:
            raise invalid(field, f"{at_least} to {length_max} entries", len(values), "entries")
        return values

    def column(self, field: str, length: int) -> NDArray[Any]:
        """Read a column: of `length` entries, or one for all, or none (zeros)."""
        values = self._values(field)
        if len(values) == length:
            return values
        if len(values) > 1:
            fields.wrong(field, f"{length} entries, or one for all, or none", len(values), "entries")
            self.unread.add(field)
            values = values[:1]
        return np.broadcast_to(values, length) if len(values) else np.zeros(length, self._dtypes[field])

    def _values(self, field: str) -> NDArray[Any]:
        try:
            return read_column(getattr(self.request, field), self._dtypes[field])
        except ValueError as error:
            fields.wrong(field, "whole packed values, those of enums and bools below 128", error)
            self.unread.add(field)
            return np.zeros(0, self._dtypes[field])

    def require(
        self,
        is_right: NDArray[np.bool_],
        field: str,
        expected: str,
        values: Any,
        *,
        of_line: bool = False,
        instead: int = 0,
    ) -> Any:
        """Refuse the first entry that is wrong; a request id that is known outranks it.

        Returns the values; `instead` where they are wrong, for reading on.
        """
        if is_right.all():
            return values
        if field not in self.unread:
            place = int(np.argmin(is_right))
            path = f"{field}[{place}]"
            if self.has_known_id(place, of_line=of_line):
                raise refused_as(refusals.reused(path))
            fields.wrong(path, expected, values[place])
        return np.where(is_right, values, instead)

    def has_known_id(self, place: int, *, of_line: bool) -> bool:
        """Tell whether the request id is remembered of what an entry is of."""
        raise NotImplementedError

    def has(self, field: str) -> bool:
        """Tell whether a column has entries; one may also come as a part without any."""
        return any(getattr(self.request, field))

    def dictionary(self, field: str) -> Sequence[str]:
        """Read the texts that indexes speak of."""
        texts: Sequence[str] = getattr(self.request, field)
        if len(texts) > limits.LINES_PER_CALL_MAX:
            raise invalid(field, f"at most {limits.LINES_PER_CALL_MAX} entries", len(texts), "entries")
        return texts

    def names(self, field: str) -> Sequence[str]:
        """Check a dictionary of ids."""
        names = self.dictionary(field)
        if not are_all_plain(names):
            for place, name in enumerate(names):
                fields.identifier(name, f"{field}[{place}]")
        return names

    def texts(self, field: str) -> list[str]:
        """Check a dictionary of references and actors."""
        texts = list(self.dictionary(field))
        for place, text in enumerate(texts):
            fields.text(text, f"{field}[{place}]", limits.REFERENCE_BYTES_MAX)
        return texts

    def indexes(self, field: str, length: int) -> NDArray[Any]:
        """Read a column of indexes that may be left out: then all are NONE."""
        return self.column(field, length) if self.has(field) else np.full(length, NONE, self._dtypes[field])

    def request_ids(self, count: int, of: str) -> NDArray[np.uint64]:
        """Return the halves of the request ids, shape (count, 2); the nil UUID stands for none."""
        raw = self.request.request_ids
        if raw and len(raw) != REQUEST_ID_BYTES * count:
            expected = f"{REQUEST_ID_BYTES} bytes for each of {count} {of}, or none"
            fields.wrong("request_ids", expected, len(raw), "bytes")
            raw = b""
        if not raw:
            return np.zeros((count, 2), np.uint64)
        return np.frombuffer(raw, ">u8").astype(np.uint64).reshape(count, 2)


def remembers(book: Book, halves: NDArray[np.uint64]) -> bool:
    """Tell whether a request id, which is none where its halves are 0, is remembered."""
    high, low = map(int, halves)
    return bool(high or low) and book.ledger.remembers(high, low)
