"""Units that plans take of the locations' capacity, by day."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ledger.core.limits import MICROSECONDS
from ledger.parts.planned import Booking

DAY_US: Final = 86_400 * MICROSECONDS
DAYS_KEPT: Final = 2
"""A day is over everywhere on earth when it is over by so many days in UTC."""
LOAD_DAYS: Final = 32
"""Days that a load has room for at first; it grows."""


def first_day_at(time_us: int) -> int:
    """Return the first day that is not over everywhere at an instant."""
    return time_us // DAY_US - DAYS_KEPT


class Load:
    """Units by location and day, as a table that begins at a day and moves on with time."""

    def __init__(self) -> None:
        self._units = np.zeros((0, LOAD_DAYS), np.int64)
        self._first_day = 0
        self.version = 0
        """Grows whenever it changes."""

    def add(self, bookings: NDArray[np.void], first_day: int) -> None:
        """Add bookings, dtype BOOKING; those of days before the first count no more."""
        if len(bookings):
            self.drop_before(first_day)
            self._add(bookings["location"], bookings["day"], bookings["units"], first_day)

    def _add(self, locations: NDArray[Any], days: NDArray[Any], units: NDArray[Any], first_day: int) -> None:
        if not len(self._units):
            self._first_day = first_day
        self._make_room(int(locations.max()), int(days.max()))
        is_ahead = days >= self._first_day
        np.add.at(self._units, (locations[is_ahead], days[is_ahead] - self._first_day), units[is_ahead])
        self.version += 1

    def book(self, booking: Booking, first_day: int) -> None:
        """Add one booking, likewise."""
        assert booking.units > 0
        self.drop_before(first_day)
        if not len(self._units):
            self._first_day = first_day
        self._make_room(booking.location, booking.day)
        if booking.day >= self._first_day:
            self._units[booking.location, booking.day - self._first_day] += booking.units
        self.version += 1

    def _make_room(self, location: int, last_day: int) -> None:
        rows = max(len(self._units), 1 << location.bit_length())
        columns = max(self._units.shape[1], 1 << max(0, last_day - self._first_day).bit_length())
        if (rows, columns) != self._units.shape:
            assert location < rows
            before, self._units = self._units, np.zeros((rows, columns), np.int64)
            self._units[: len(before), : before.shape[1]] = before

    def take_back(self, booking: Booking, units: int) -> None:
        """Give units of a booking back, unless its day is over: then the table has no such place, or begins later."""
        assert 0 <= units <= booking.units
        if booking.day >= self._first_day and booking.location < len(self._units):
            self._units[booking.location, booking.day - self._first_day] -= units
            self.version += 1

    def drop_before(self, day: int) -> None:
        """Forget the days before a day."""
        count = min(day - self._first_day, self._units.shape[1])
        if count <= 0 or not len(self._units):
            return
        self._units = np.roll(self._units, -count, axis=1)
        self._units[:, -count:] = 0
        self._first_day = day
        self.version += 1

    def waiting(self, locations: NDArray[np.int64], first_days: NDArray[Any]) -> NDArray[np.int64]:
        """Return units at each location on its first day, given for each, or later."""
        units = np.zeros((len(locations), self._units.shape[1]), np.int64)
        is_known = locations < len(self._units)
        units[is_known] = self._units[locations[is_known]]
        days = np.arange(self._first_day, self._first_day + units.shape[1])
        return np.asarray(np.where(days >= first_days[:, None], units, 0).sum(axis=1))

    def waiting_at(self, location: int, first_day: int) -> int:
        """Return units at one location on a day or later."""
        if location >= len(self._units):
            return 0
        return int(self._units[location, max(0, first_day - self._first_day) :].sum())

    @property
    def first_day(self) -> int:
        """Day before which nothing counts any more."""
        return self._first_day if self._units.any() else 0

    def columns(self) -> NDArray[np.int64]:
        """Return location, day and units, shape (3, n), of all that is not 0, in order."""
        locations, columns = np.nonzero(self._units)
        return np.array([locations, columns + self._first_day, self._units[locations, columns]], np.int64)

    def rows(self) -> list[tuple[int, int, int]]:
        """Return the same as tuples."""
        return list(zip(*self.columns().tolist(), strict=True))

    def restore(self, rows: list[tuple[int, int, int]], first_day: int) -> None:
        """Become the load of some rows, from a day on."""
        if rows:
            locations, days, units = np.array(rows, np.int64).T
            self._add(locations, days, units, first_day)
