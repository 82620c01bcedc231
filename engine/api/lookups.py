"""Finding what a request names: the index of a sku or location, or its refusal."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from onhand.rules import refusals

from engine.api import fields
from engine.errors import refused_as
from ledger.book import Book
from ledger.core import limits
from ledger.core.statuses import ReservationState, Status
from ledger.core.views import ReservationView


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


def active_hold(book: Book, value: str) -> tuple[int, ReservationView]:
    """Return number and content of an ACTIVE reservation; refuses what is none."""
    number = own_number(book, value)
    view = book.ledger.reservation(number)
    if view is None:
        raise refused_as(refusals.plain(Status.RESERVATION_NOT_FOUND.name))
    if view.state != ReservationState.ACTIVE:
        is_expired = view.state == ReservationState.EXPIRED
        status = Status.RESERVATION_EXPIRED if is_expired else Status.RESERVATION_NOT_ACTIVE
        raise refused_as(refusals.plain(status.name))
    return number, view


def own_document(book: Book, value: str, field: str) -> int:
    """Return the number that the id of a document stands for; refuses one that another shard gave."""
    return _own(book, fields.document_number(value, field), field)


def _own(book: Book, number: int, field: str) -> int:
    if book.ledger.is_foreign(number):
        raise refused_as(refusals.of_other_shard(field))
    return number


def held_lines(book: Book, numbers: NDArray[np.int64], coming: NDArray[np.int64], made: int) -> NDArray[np.int64]:
    """Return how many lines at most the reservation of each command has while some commands run.

    Parameters
    ----------
    numbers, coming
        Of each command: its reservation, and how many lines it may add to it.
    made
        How many reservations the commands make, which others of them may name.
    """
    _, which = np.unique(numbers, return_inverse=True)
    together = np.bincount(which, coming).astype(np.int64)[which]
    held: NDArray[np.int64] = book.ledger.held_line_counts(numbers, made)
    most: NDArray[np.int64] = np.minimum(limits.LINES_PER_RESERVATION_MAX, held + together)
    return most


def known_location(book: Book, location_id: str, field: str) -> int:
    """Return the index of a location; refuses an unknown one."""
    index = book.ledger.location_index(fields.identifier(location_id, field))
    if index < 0:
        fields.unknown("LOCATION_NOT_FOUND", field, "location", location_id)
    return index
