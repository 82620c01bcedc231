"""Working days, cut-offs and opening hours of one place, in its own time zone; instants are compared as instants."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
MIDNIGHT = time(0)
LOOKED_AHEAD = 400


@dataclass(frozen=True)
class Calendar:
    """On which days somebody works."""

    weekdays: frozenset[int]
    """1 is Monday."""
    closed: frozenset[date]

    def is_open(self, day: date) -> bool:
        """Tell whether it is a working day."""
        return day.isoweekday() in self.weekdays and day not in self.closed

    def from_day(self, day: date) -> date:
        """Return the first working day from a day on."""
        return next(found for ahead in range(LOOKED_AHEAD) if self.is_open(found := day + ahead * DAY))

    def after(self, day: date, count: int) -> date:
        """Return the count-th working day after a day."""
        for _ in range(count):
            day = self.from_day(day + DAY)
        return day

    def arrives(self, day: date, transit: int) -> date:
        """Return when what leaves on a day arrives after so many working days; nothing arrives on a day off."""
        return self.after(day, transit) if transit else self.from_day(day)


END_OF_DAY = time(23, 59)
"""As a cut-off or closing time it means 24:00."""


def clock(text: str, default: time) -> time:
    """Read a time of day of the contract."""
    return time.fromisoformat(text) if text else default


def ends(day: date, local: time) -> datetime:
    """Return what a clock shows at a cut-off or closing time of a day."""
    return datetime.combine(day + DAY, MIDNIGHT) if local >= END_OF_DAY else datetime.combine(day, local)


def instant(shown: datetime, zone: ZoneInfo) -> datetime:
    """Return the first instant at which a clock shows a local time; where it skips it, when it is put forward."""
    first, last = (shown.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (1, 0))
    if last <= first or last.astimezone(zone).replace(tzinfo=None) == shown:
        return last
    while last - first > timedelta(seconds=1):  # skipped: whole seconds are enough
        middle = first + timedelta(seconds=(last - first) // timedelta(seconds=2))
        if middle.astimezone(zone).replace(tzinfo=None) >= shown:
            last = middle
        else:
            first = middle
    return last


def local_day(now: datetime, zone: ZoneInfo) -> date:
    """Return the last day that has begun; a day that has is not left again when a clock is put back."""
    day = now.astimezone(zone).date() + DAY
    while instant(datetime.combine(day, MIDNIGHT), zone) > now:
        day -= DAY
    return day


def counting_day(calendar: Calendar, now: datetime, zone: ZoneInfo, cut_off: time | None) -> date:
    """Return the working day on which an order of now counts; without a cut-off, as if none was over."""
    today = local_day(now, zone)
    is_over = cut_off is not None and now > instant(ends(today, cut_off), zone)
    return calendar.from_day(today + is_over * DAY)


def openings(
    calendar: Calendar, now: datetime, zone: ZoneInfo, opens: time, closes: time
) -> Iterator[tuple[datetime, datetime]]:
    """Yield when a place is open from now on: those hours of each working day that are not over."""
    today = local_day(now, zone)
    for ahead in range(-1, LOOKED_AHEAD):
        day = today + ahead * DAY
        if not calendar.is_open(day):
            continue
        closing = ends(day, closes)
        if closing <= datetime.combine(day, opens):
            closing += DAY
        begin, end = instant(datetime.combine(day, opens), zone), instant(closing, zone)
        if end >= now:
            yield max(begin, now), end


def ready(calendar: Calendar, now: datetime, zone: ZoneInfo, hours: tuple[time, time], minutes: int) -> datetime:
    """Return when so many minutes of opening time from now are over."""
    left = timedelta(minutes=minutes)
    for begin, end in openings(calendar, now, zone, *hours):
        if begin + left <= end:
            return begin + left
        left -= max(timedelta(), end - begin)
    raise AssertionError("a place that is never open for so long")
