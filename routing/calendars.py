"""Working days, cut-offs and opening hours, in a location's own time zone."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from routing.errors import RoutingInputError
from routing.limits import CLOSED_DAYS_IN_A_ROW_MAX

EPOCH: Final = date(1970, 1, 1)
ONE_DAY: Final = timedelta(days=1)


def day_number(day: date) -> int:
    """Return days since 1970-01-01."""
    return (day - EPOCH).days


def day_of(number: int) -> date:
    """Return the day of a day number."""
    return EPOCH + timedelta(days=number)


@dataclass(frozen=True)
class Calendar:
    """On which days somebody works."""

    name: str
    weekdays: frozenset[int]
    """0 is Monday."""
    closed: frozenset[date]
    """Days off beside the week's."""

    def is_open(self, day: date) -> bool:
        """Tell whether it is a working day."""
        return day.weekday() in self.weekdays and day not in self.closed

    def first_open(self, day: date) -> date:
        """Return the first working day from a day on; raises RoutingInputError if none comes within a year."""
        for ahead in range(CLOSED_DAYS_IN_A_ROW_MAX + 1):
            if self.is_open(day + ahead * ONE_DAY):
                return day + ahead * ONE_DAY
        raise RoutingInputError(
            f"calendars.{self.name}: expected an open day within {CLOSED_DAYS_IN_A_ROW_MAX} days of {day}, found none."
        )

    def plus(self, day: date, count: int) -> date:
        """Return the count-th working day after a day; count 0: the day itself."""
        for _ in range(count):
            day = self.first_open(day + ONE_DAY)
        return day


@dataclass(frozen=True)
class Hours:
    """When a location hands over orders."""

    opens: time
    closes: time


def dispatch_day(calendar: Calendar, now: datetime, time_zone: str, cut_off: time, behind: int) -> date:
    """Return the day on which an order of now leaves, with so many working days of handling and backlog before it.

    An order counts from its own day if that is a working day and the cut-off is not over, else from the next one.
    """
    local = now.astimezone(ZoneInfo(time_zone))
    is_over = local.time() > cut_off
    return calendar.plus(calendar.first_open(local.date() + is_over * ONE_DAY), behind)


def pickup_ready(calendar: Calendar, now: datetime, time_zone: str, hours: Hours, minutes: int) -> datetime:
    """Return when a pickup is ready: so many minutes of opening time from now, in the location's time zone.

    Picking that cannot end before closing starts anew when the location next opens.
    """
    zone = ZoneInfo(time_zone)
    local = now.astimezone(zone)
    picking = timedelta(minutes=minutes)
    day = calendar.first_open(local.date())
    if day == local.date():
        ready = max(local, datetime.combine(day, hours.opens, zone)).astimezone(UTC) + picking
        if ready <= datetime.combine(day, hours.closes, zone).astimezone(UTC):
            return ready.astimezone(zone)
        day = calendar.first_open(day + ONE_DAY)
    return (datetime.combine(day, hours.opens, zone).astimezone(UTC) + picking).astimezone(zone)


def pickup_change(calendar: Calendar, now: datetime, time_zone: str, hours: Hours, minutes: int) -> datetime | None:
    """Return the moment from which a pickup is not ready on the day of now any more; None if there is none ahead."""
    zone = ZoneInfo(time_zone)
    today = now.astimezone(zone).date()
    if not calendar.is_open(today):
        return None
    picking = timedelta(minutes=minutes)
    latest = datetime.combine(today, hours.closes, zone).astimezone(UTC) - picking
    return latest + timedelta(microseconds=1) if now <= latest else None


def next_change(now: datetime, time_zone: str, cut_off: time) -> datetime:
    """Return the next moment at which dispatch days of a location change: past its cut-off, or its midnight."""
    zone = ZoneInfo(time_zone)
    local = now.astimezone(zone)
    today = datetime.combine(local.date(), cut_off, zone) + timedelta(microseconds=1)
    if local < today:
        return today.astimezone(UTC)
    return datetime.combine(local.date() + ONE_DAY, time(0), zone).astimezone(UTC)
