"""Local times of many zones as instants, by arrays; `calendars.py` has the rules, one time at a time.

A zone's clock is known as *shifts*: instants from which on it differs from UTC by so much. They are found from the
standard library's zones, a block of days at a time, and kept.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from routing.arrays import Int64s

DAY_US: Final = 86_400_000_000
SECOND_US: Final = 1_000_000
DAY_SECONDS: Final = 86_400
BLOCK_DAYS: Final = 32
MARGIN_DAYS: Final = 3
"""A local time is within this of the same time in UTC, and what the clock showed before counts no more."""
BLOCKS_KEPT: Final = 16_384
NEVER_US: Final = 2**62


class Clocks:
    """The clocks of some zones.

    Parameters
    ----------
    zones
        Their IANA names.
    """

    def __init__(self, zones: Sequence[str]) -> None:
        self._zones = tuple(zones)

    def instants(self, zone: Int64s, shown_us: Int64s) -> Int64s:
        """Return the first instants at which clocks show some times, or later ones.

        Parameters
        ----------
        zone
            Which zone, for each.
        shown_us
            Microseconds on the clock since 1970-01-01.

        Returns
        -------
        array of int64
            Microseconds since the epoch.
        """
        if not len(zone):
            return shown_us
        shifts = self._shifts(zone, shown_us)
        found = np.full(len(zone), NEVER_US)
        for begins, ends, ahead in shifts.latest_first():
            at = np.maximum(begins, shown_us - ahead)
            found = np.where(at < ends, at, found)
        return found

    def shown(self, zone: Int64s, instants_us: Int64s) -> Int64s:
        """Return the latest time that clocks have shown until some instants, as microseconds since 1970-01-01."""
        if not len(zone):
            return instants_us
        shifts = self._shifts(zone, instants_us)
        latest = np.full(len(zone), -NEVER_US)
        for begins, ends, ahead in shifts.latest_first():
            shown = np.minimum(instants_us, ends - 1) + ahead
            latest = np.where(begins <= instants_us, np.maximum(latest, shown), latest)
        return latest

    def _shifts(self, zone: Int64s, times_us: Int64s) -> "_Shifts":
        """Return the shifts around some times, each of its zone."""
        block = times_us // (BLOCK_DAYS * DAY_US)
        first = int(block.min())
        blocks = int(block.max()) - first + 1
        key = zone * blocks + (block - first)
        is_used = np.zeros(len(self._zones) * blocks, np.bool_)
        is_used[key] = True
        used = np.flatnonzero(is_used)
        row = np.zeros(len(is_used), np.int64)
        row[used] = np.arange(len(used))
        found = [_shifts_of(self._zones[one // blocks], first + one % blocks) for one in used.tolist()]
        count = max(map(len, found))
        begins = np.full((len(found), count + 1), NEVER_US)
        ahead = np.zeros((len(found), count), np.int64)
        for index, shifts in enumerate(found):
            begins[index, : len(shifts)], ahead[index, : len(shifts)] = zip(*shifts, strict=True)
        return _Shifts(begins, ahead, row[key])


class _Shifts(NamedTuple):
    """Shifts of clocks: rows of a table, and which row each time has."""

    begins: Int64s
    """Shape (rows, shifts + 1): when each begins; NEVER_US beyond the last."""
    ahead: Int64s
    """Shape (rows, shifts): microseconds that the clock is ahead of UTC."""
    row: Int64s

    def latest_first(self) -> "list[tuple[Int64s, Int64s, Int64s]]":
        """Return when each shift of each time begins and ends, and how far it is ahead; the first shift is the last."""
        return [
            (self.begins[self.row, at], self.begins[self.row, at + 1], self.ahead[self.row, at])
            for at in reversed(range(self.ahead.shape[1]))
        ]


@lru_cache(BLOCKS_KEPT)
def _shifts_of(time_zone: str, block: int) -> tuple[tuple[int, int], ...]:
    """Return (instant, microseconds ahead of UTC) of each shift of a block of days; the first has always been."""
    zone = ZoneInfo(time_zone)
    first = (block * BLOCK_DAYS - MARGIN_DAYS) * DAY_SECONDS
    ahead = _ahead(zone, first)
    shifts = [(-NEVER_US, ahead)]
    for day in range(BLOCK_DAYS + 2 * MARGIN_DAYS):
        low = first + day * DAY_SECONDS
        after = _ahead(zone, low + DAY_SECONDS)
        while ahead != after:
            high = first + (day + 1) * DAY_SECONDS
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if _ahead(zone, middle) == ahead else (low, middle)
            low, ahead = high, _ahead(zone, high)
            shifts.append((high * SECOND_US, ahead))
    return tuple(shifts)


def _ahead(zone: ZoneInfo, second: int) -> int:
    """Return how many microseconds a clock is ahead of UTC at an instant."""
    offset = datetime.fromtimestamp(second, zone).utcoffset()
    assert offset is not None
    return offset // timedelta(microseconds=1)
