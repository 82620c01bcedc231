"""Booking what changes of planned holds brought to locations."""

import numpy as np

from engine.api.routing.routers import latest_routers
from engine.planner.run import settle_capacity
from ledger.book import Book


def settle_all(book: Book, time_us: int) -> None:
    """Book what changes of planned holds brought to locations; see `engine.planner.run.settle_capacity`."""
    if not book.has_arrivals:
        return
    routers = latest_routers(book)
    if routers is None:
        settle_capacity(book, None, np.zeros(0, np.int64), time_us)
    else:
        settle_capacity(book, routers.routing("").router, routers.location_indexes, time_us)
