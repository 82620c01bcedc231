"""Whose hold a movement changed, and where: told by the records and movements of a group alone.

A replay asks before its ledger has applied the group.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ledger.core.ledger import Ledger
from ledger.core.operations import ADVANCES_DOCUMENT, CHANGES_LINES, CHANGES_RESERVATION, those_with
from ledger.core.records import FIELD_ORDER
from ledger.core.statuses import Kind

BRINGS_TO_HOLD: Final = those_with(CHANGES_LINES | ADVANCES_DOCUMENT)
IS_OF_HOLD: Final = those_with(CHANGES_RESERVATION)
IS_OF_DOCUMENT: Final = those_with(ADVANCES_DOCUMENT)
OF_NO_DOCUMENT: Final = 0
"""Change of movements that are those of a reservation's hold, also where a document's verb made them."""
LOCATIONS: Final = 2**32
"""A movement STOCK_HERE tells the sku of a new level times so many, and its location."""


class Arrival(NamedTuple):
    """Units that a change of a planned hold brought to locations, and that no booking tells of yet."""

    seq: int
    """Of the change."""
    reservation_id: int
    units: list[tuple[int, int, int]]
    """(sku, location, units)."""


def holds_that_lost(
    ledger: Ledger, records: NDArray[Any], owners: NDArray[Any], movements: NDArray[Any], places: NDArray[Any]
) -> list[int]:
    """Return of movements that gave units back whose hold they were: a reservation, or 0 where it was none's.

    Parameters
    ----------
    records, movements
        Of the group so far, dtypes RECORDED and MOVEMENT.
    owners, places
        Of each movement that is asked for: the place of its record, and its own.
    """
    own = records[owners]
    found: list[int] = np.where(IS_OF_HOLD[own["operation"]], own["reservation_id"], 0).tolist()
    is_of_document = IS_OF_DOCUMENT[own["operation"]]
    if not is_of_document.any():
        return found
    begun = _orders_of_documents(records, movements)
    order_of = {int(records["reservation_id"][place]): order for place, order in begun.items()}
    kinds, changes = movements["kind"][places], movements["change"][places]
    for at in np.flatnonzero(is_of_document).tolist():
        if changes[at] == OF_NO_DOCUMENT:  # a transfer takes over what its order held
            found[at] = begun.get(int(owners[at]), 0)
        elif kinds[at] == Kind.CANCEL_ASSIGNED:  # what was held for its order is held no more
            document_id = int(own["reservation_id"][at])
            # a replay's ledger knows nothing of one that began in this group
            found[at] = order_of.get(document_id) or ledger.order_of_document(document_id)
    return found


def _orders_of_documents(records: NDArray[Any], movements: NDArray[Any]) -> dict[int, int]:
    """Return the reservations that documents are for which begin with some records, by the place of the record."""
    places = np.flatnonzero((movements["kind"] == Kind.DOCUMENT) & (movements["reason"] == FIELD_ORDER))
    owners = np.searchsorted(np.cumsum(records["line_count"], dtype=np.int64), places, side="right")
    return dict(zip(owners.tolist(), movements["quantity"][places].tolist(), strict=True))


def keys_of(ledger: Ledger, levels: NDArray[Any], movements: NDArray[Any]) -> Iterator[tuple[int, int]]:
    """Yield sku and location of levels; those that the ledger does not have yet are made by the movements."""
    is_known = levels < ledger.level_count
    keys = np.zeros((2, len(levels)), np.int64)
    keys[:, is_known] = ledger.keys_of(levels[is_known])
    if not is_known.all():
        made = movements[movements["kind"] == Kind.STOCK_HERE]
        new = dict(zip(made["level"].tolist(), made["quantity"].tolist(), strict=True))
        keys[:, ~is_known] = np.array([divmod(new[level], LOCATIONS) for level in levels[~is_known].tolist()]).T
    return zip(*keys.tolist(), strict=True)
