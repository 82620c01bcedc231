"""Finding what a request names: the index of a sku or location, or its refusal."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from onhand.rules import refusals

from engine.api import fields
from engine.errors import refused_as
from ledger.book import Book


def known_sku(book: Book, sku_id: str, field: str) -> int:
    """Return the index of a sku; refuses an unknown one."""
    index = book.ledger.sku_index(fields.identifier(sku_id, field))
    if index < 0:
        fields.unknown("SKU_NOT_FOUND", field, "sku", sku_id)
    return index


def known_skus(book: Book, sku_ids: Sequence[str], field: str) -> NDArray[np.int64]:
    """Return the indexes of some skus; refuses those that are wrong or unknown."""
    indexes = book.ledger.sku_indexes(sku_ids).astype(np.int64)
    for place in np.flatnonzero(indexes < 0).tolist():
        known_sku(book, sku_ids[place], f"{field}[{place}]")
    return indexes


def own_number(book: Book, value: str, field: str = "reservation_id") -> int:
    """Return the number that the id of a reservation or plan stands for; refuses one that another shard gave.

    An id that nobody gave is that of nothing.
    """
    return _own(book, fields.reservation_number(value), field)


def own_document(book: Book, value: str, field: str) -> int:
    """Return the number that the id of a document stands for; refuses one that another shard gave."""
    return _own(book, fields.document_number(value, field), field)


def _own(book: Book, number: int, field: str) -> int:
    if book.ledger.is_foreign(number):
        raise refused_as(refusals.of_other_shard(field))
    return number


def known_location(book: Book, location_id: str, field: str) -> int:
    """Return the index of a location; refuses an unknown one."""
    index = book.ledger.location_index(fields.identifier(location_id, field))
    if index < 0:
        fields.unknown("LOCATION_NOT_FOUND", field, "location", location_id)
    return index
