"""Working days, cut-offs and opening hours in a location's own time zone: the rules, one location at a time.

`timetable.py` follows the same rules for all locations at once; what is planned comes from there. This module says when
exactly a pickup is ready, and is what plans are verified by.

Local times are instants. A clock that is put back shows an hour twice: what it has shown counts, so a local time is the
first instant at which it is reached, and a day that has begun is not left again. Times that a clock skips are the
instant at which it is put forward.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property, lru_cache
from math import ceil, floor
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from routing.limits import CLOSED_DAYS_IN_A_ROW_MAX, PLANNED_YEARS_AHEAD

EPOCH: Final = date(1970, 1, 1)
ONE_DAY: Final = timedelta(days=1)
INSTANTS_KEPT: Final = 16_384
"""Openings and midnights are asked for by every order of a day."""
END_OF_DAY: Final = time(23, 59)
"""As a cut-off or closing time it means the end of the day, 24:00; so does what is later."""


def day_number(day: date) -> int:
    """Return days since 1970-01-01."""
    return (day - EPOCH).days


def day_of(number: int) -> date:
    """Return the day of a day number."""
    return EPOCH + timedelta(days=number)


def last_planned_day(now: datetime) -> date:
    """Return the last day that is planned for: the end of the sixth year after this one, in UTC."""
    return date(now.astimezone(UTC).year + PLANNED_YEARS_AHEAD, 12, 31)


def time_until(at: time) -> timedelta:
    """Return how long after midnight a cut-off or closing time is by the clock; END_OF_DAY is 24 hours."""
    if at >= END_OF_DAY:
        return ONE_DAY
    return timedelta(hours=at.hour, minutes=at.minute, seconds=at.second, microseconds=at.microsecond)


# ---- calendars -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Calendar:
    """On which days somebody works."""

    name: str
    weekdays: frozenset[int]
    """0 is Monday."""
    closed: frozenset[date]
    """Days off beside the week's."""

    @cached_property
    def days_off(self) -> bytes:
        """Day numbers of `closed`, rising: an array of int32."""
        numbers = np.fromiter((day.toordinal() for day in self.closed), np.int32, len(self.closed))
        return np.sort(numbers - EPOCH.toordinal()).astype(np.int32).tobytes()

    def is_open(self, day: date) -> bool:
        """Tell whether it is a working day."""
        return day.weekday() in self.weekdays and day not in self.closed

    def first_open(self, day: date) -> date | None:
        """Return the first working day from a day on; None if more than a year of days off comes first."""
        for _ in range(CLOSED_DAYS_IN_A_ROW_MAX + 1):
            if self.is_open(day):
                return day
            day += ONE_DAY
        return None

    def plus(self, day: date, count: int) -> date | None:
        """Return the count-th working day after a day; count 0: the day itself."""
        found: date | None = day
        for _ in range(count):
            found = None if found is None else self.first_open(found + ONE_DAY)
        return found


def dispatch_day(calendar: Calendar, now: datetime, time_zone: str, cut_off: time, behind: int) -> date | None:
    """Return the day on which an order of now leaves, with so many working days of handling and backlog before it.

    An order counts from its own day if that is a working day and the cut-off is not over, else from the next one. None:
    the calendar has no such day, or none that is planned for.
    """
    today = local_day(now, time_zone)
    is_over = now.astimezone(UTC) > instant_of(today, time_until(cut_off), time_zone)
    first = calendar.first_open(today + is_over * ONE_DAY)
    return _planned(calendar.plus(first, behind) if first else None, now)


def arrival_day(calendar: Calendar, leaves: date, days: int, now: datetime) -> date | None:
    """Return the day on which arrives what leaves on a day and travels so many working days of a calendar.

    That is the working day of that number after the day of dispatch; without any, the day of dispatch itself if it is a
    working day, else the next one.
    """
    if calendar.is_open(leaves):
        return _planned(calendar.plus(leaves, days), now)
    first = calendar.first_open(leaves)
    return _planned(calendar.plus(first, max(0, days - 1)) if first else None, now)


def _planned(day: date | None, now: datetime) -> date | None:
    return day if day and day <= last_planned_day(now) else None


# ---- clocks ----------------------------------------------------------------------------------------------------------


@lru_cache(INSTANTS_KEPT)
def instant_of(day: date, after_midnight: timedelta, time_zone: str) -> datetime:
    """Return the first instant at which a local clock shows a time of a day, or a later one."""
    zone = ZoneInfo(time_zone)
    shown = datetime.combine(day, time(0)) + after_midnight
    found = shown.replace(tzinfo=zone).astimezone(UTC)
    if found.astimezone(zone).replace(tzinfo=None) == shown:
        return found
    # The clock skips it: look for the second at which it is put forward, between the instants that it would be by the
    # clock as it is after and before.
    low = floor(shown.replace(tzinfo=zone, fold=1).timestamp())
    high = ceil(found.timestamp())
    before = datetime.fromtimestamp(low, zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, UTC)


def local_day(now: datetime, time_zone: str) -> date:
    """Return the latest day that has begun where a clock is."""
    day = now.astimezone(ZoneInfo(time_zone)).date()
    has_begun = instant_of(day + ONE_DAY, timedelta(0), time_zone) <= now.astimezone(UTC)
    return day + has_begun * ONE_DAY


# ---- pickups ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hours:
    """When a location hands over orders, by its clock."""

    opens: time
    closes: time
    """Not after `opens`: on the day after."""

    @cached_property
    def opens_after(self) -> timedelta:
        """How long after midnight it opens."""
        opens = self.opens
        return timedelta(hours=opens.hour, minutes=opens.minute, seconds=opens.second, microseconds=opens.microsecond)

    @cached_property
    def closes_after(self) -> timedelta:
        """How long after the midnight before it opens it closes; more than a day if after midnight."""
        closes = time_until(self.closes)
        return closes if closes > self.opens_after else closes + ONE_DAY

    @property
    def length(self) -> timedelta:
        """How long it is open on a working day, when no clock is changed."""
        return self.closes_after - self.opens_after


def pickup_ready(calendar: Calendar, now: datetime, time_zone: str, hours: Hours, minutes: int) -> datetime | None:
    """Return when a pickup is ready: after so many minutes of opening time from now, in the location's time zone.

    What is not done when it closes goes on when it opens again. A location opens on its working days; an opening that
    goes past midnight belongs to the day on which it began. None: the calendar has not as many days.
    """
    left = timedelta(minutes=minutes)
    today, last = local_day(now, time_zone), last_planned_day(now)
    begins = now.astimezone(UTC)
    day: date | None = today - ONE_DAY
    if hours.closes_after <= ONE_DAY or not calendar.is_open(today - ONE_DAY):
        day = calendar.first_open(today)
    while day and day <= last:
        closes = instant_of(day, hours.closes_after, time_zone)
        begins = max(begins, instant_of(day, hours.opens_after, time_zone))
        if begins <= closes:
            if left <= closes - begins:
                return (begins + left).astimezone(ZoneInfo(time_zone))
            left -= closes - begins
            begins = closes
        day = calendar.first_open(max(today, day + ONE_DAY))
    return None
