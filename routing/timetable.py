"""When locations dispatch, and have pickups ready: all of a network at once, for one moment.

`calendars.py` has the rules, one location at a time. Here they are looked up:

    working_day: … 20 21 22 23 26 27 …   of a calendar, in order, then as many NONE as anybody counts on
    first_place: day → where in working_day its first working day from that day on is

so the n-th working day after a day is one addition and two look-ups. Where a calendar has more days off in a row than
are waited for, and at the end of what is planned, NONE come as well: whoever counts into them gets no day.

The tables hold for a year and depend on the calendars alone. Nothing but the last moment is kept between calls, so a
timetable may be made, and asked, in any thread; who asks in time spares the writer the tables.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from routing.arrays import NONE, Int32s, Int64s
from routing.calendars import Hours, day_number, last_planned_day, time_until
from routing.clocks import DAY_US, NEVER_US, Clocks
from routing.limits import BACKLOG_DAYS_MAX, CLOSED_DAYS_IN_A_ROW_MAX, HANDLING_DAYS_MAX, TRANSIT_DAYS_MAX
from routing.rules import Method

if TYPE_CHECKING:
    from routing.network import Location, Network

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
WEEK: Final = 7
EPOCH_WEEKDAY: Final = date(1970, 1, 1).weekday()
YEARS_KEPT: Final = 8
DAYS_BEFORE: Final = 2
"""It may still be the day before in a location's zone, and an opening of the day before that may last."""
NO_PLACE: Final = 0
"""In WorkingDays.first_place: there is no such day."""
PAD: Final = 1 + max(HANDLING_DAYS_MAX + BACKLOG_DAYS_MAX, TRANSIT_DAYS_MAX)
"""NONE in a row: more than anybody counts."""

Week = tuple[frozenset[int], bytes]
"""Working weekdays, and day numbers of days off, int32: all of a calendar but its name."""


class WorkingDays(NamedTuple):
    """The working days of some calendars in the years that are planned for; frozen."""

    first_day: int
    """Day number of the first column of first_place."""
    first_place: Int32s
    """Shape (calendars, days): where in working_day the first working day at or after a day is, or NO_PLACE."""
    working_day: Int32s
    """Working days of all calendars, each calendar's in order, with PAD times NONE where a count ends."""

    def after(self, calendar: Int64s, day: NDArray[Any]) -> Int32s:
        """Return the place of the first working days at or after some days."""
        # One flat index: over two axes it takes twice as long.
        place = calendar * self.first_place.shape[1] + (day - self.first_day)
        found: Int32s = self.first_place.ravel().take(place)
        return found


@lru_cache(YEARS_KEPT)
def working_days(weeks: tuple[Week, ...], year: int) -> WorkingDays:
    """Return the working days of some calendars, as they are counted in a year (UTC)."""
    first_day = day_number(date(year, 1, 1)) - DAYS_BEFORE
    days = np.arange(first_day, day_number(last_planned_day(datetime(year, 1, 1, tzinfo=UTC))) + 1, dtype=np.int32)
    week_columns = (days + EPOCH_WEEKDAY) % WEEK
    first_place = np.full((len(weeks), len(days)), NO_PLACE, np.int32)
    working_day = [np.full(PAD, NONE, np.int32)]
    place = PAD
    for row, (weekdays, days_off) in enumerate(weeks):
        is_working = np.zeros(WEEK, np.bool_)
        is_working[list(weekdays)] = True
        is_open = is_working[week_columns]
        off = np.frombuffer(days_off, np.int32) - first_day
        is_open[off[(off >= 0) & (off < len(days))]] = False
        columns = np.flatnonzero(is_open)
        places = _write_places(first_place[row], columns, place)
        own = np.full(places[-1] + 1 - place + PAD if len(places) else 0, NONE, np.int32)
        own[places - place] = days[columns]
        working_day.append(own)
        place += len(own)
    return WorkingDays(first_day, _frozen(first_place, np.int32), _frozen(np.concatenate(working_day), np.int32))


def _write_places(first_place: Int32s, columns: NDArray[np.intp], place: int) -> NDArray[np.intp]:
    """Write the places of a calendar's working days, which begin at one; returns them."""
    waits = np.diff(columns, prepend=-1)
    is_far = waits > CLOSED_DAYS_IN_A_ROW_MAX + 1
    places = place + np.arange(len(columns)) + PAD * np.cumsum(is_far)
    if len(columns):
        first_place[: columns[-1] + 1] = np.repeat(places, waits)
    for column, wait in zip(columns[is_far].tolist(), waits[is_far].tolist(), strict=True):
        first_place[column - wait + 1 : column - CLOSED_DAYS_IN_A_ROW_MAX] = NO_PLACE
    return places


class Moment(NamedTuple):
    """What holds at a moment for the locations of a network, and until when; frozen."""

    since: datetime
    valid_until: datetime
    days: WorkingDays
    pickup_day: Int32s
    """Shape (M,): day number on which a pickup would be ready; NONE where it is not offered, or not to be had."""
    dispatch_day: Int32s
    """Shape (M, BACKLOG_DAYS_MAX + 1): day number on which an order leaves, by whole days of backlog, or NONE."""
    uncut_day: Int32s
    """Shape (M,): as dispatch_day[:, 0], had the cut-off not passed."""
    parcel_start: Int32s
    """Shape (M, BACKLOG_DAYS_MAX + 1): from where a parcel's days of transit are counted; see `parcel_starts`."""


class _Orders(NamedTuple):
    """What dispatch days depend on, each once."""

    zone: Int64s
    calendar: Int64s
    cut_off: Int64s
    """Microseconds after midnight."""
    handling_days: Int64s
    carrier_calendar: Int64s

    @classmethod
    def of(cls, rows: list[tuple[int, int, time, int, int]]) -> "_Orders":
        found = [(zone, calendar, time_until(cut_off) // MICROSECOND, *rest) for zone, calendar, cut_off, *rest in rows]
        return cls(*_columns(found, len(cls._fields)))


class _Pickups(NamedTuple):
    """What pickups depend on, each once."""

    zone: Int64s
    calendar: Int64s
    opens: Int64s
    """Microseconds after midnight."""
    closes: Int64s
    picking: Int64s
    """Microseconds."""

    @classmethod
    def of(cls, rows: list[tuple[int, int, Hours, int]]) -> "_Pickups":
        found = [
            (
                zone,
                calendar,
                hours.opens_after // MICROSECOND,
                hours.closes_after // MICROSECOND,
                timedelta(minutes=minutes) // MICROSECOND,
            )
            for zone, calendar, hours, minutes in rows
        ]
        return cls(*_columns(found, len(cls._fields)))


class Timetable:
    """When the locations of a network dispatch.

    Parameters
    ----------
    network
        A checked network; only its locations, calendars and carriers matter.
    """

    def __init__(self, network: "Network") -> None:
        weeks: dict[Week, int] = {}
        rows = self._row_of = {
            name: weeks.setdefault((calendar.weekdays, calendar.days_off), len(weeks))
            for name, calendar in network.calendars.items()
        }
        self.calendar_row: Mapping[str, int] = rows
        """Name of a calendar -> its row in WorkingDays; equal ones share one."""
        self._carrier_row = {name: rows[carrier.calendar] for name, carrier in network.carriers.items()}
        self._zones: dict[str, int] = {}
        self._order_rows: dict[tuple[int, int, time, int, int], int] = {}
        self._pickup_rows: dict[tuple[int, int, Hours, int], int] = {}
        places = [self._place(at) for at in network.locations]
        self._clocks, self._zone_count = Clocks(list(self._zones)), len(self._zones)
        self._weeks = tuple(weeks)
        self._orders = _Orders.of(list(self._order_rows))
        self._pickups = _Pickups.of(list(self._pickup_rows))
        self._order_of, self._pickup_of = np.array(places).reshape(-1, 2).T
        self._last: Moment | None = None

    def _place(self, at: "Location") -> tuple[int, int]:
        """Return the rows of `_Orders` and `_Pickups` of a location; NONE if it offers no pickup."""
        zone, row = self._zones.setdefault(at.time_zone, len(self._zones)), self._row_of[at.calendar]
        order = zone, row, at.cut_off, at.handling_days, self._carrier_row.get(at.carrier, row)
        order_row = self._order_rows.setdefault(order, len(self._order_rows))
        if Method.PICKUP not in at.methods:
            return order_row, NONE
        pickup = zone, row, at.hours, at.pickup_minutes
        return order_row, self._pickup_rows.setdefault(pickup, len(self._pickup_rows))

    def with_locations(self, network: "Network", changed: Sequence[int]) -> "Timetable":
        """Return the timetable of a network that differs in some locations, given by position, and in nothing else."""
        locations = [network.locations[place] for place in changed]
        if any(at.time_zone not in self._zones for at in locations):
            return Timetable(network)
        found = copy(self)
        found._order_rows, found._pickup_rows = dict(self._order_rows), dict(self._pickup_rows)  # noqa: SLF001 - one of these
        found._order_of, found._pickup_of = self._order_of.copy(), self._pickup_of.copy()  # noqa: SLF001 - likewise
        for place, at in zip(changed, locations, strict=True):
            found._order_of[place], found._pickup_of[place] = found._place(at)  # noqa: SLF001 - likewise
        found._bring_rows(len(self._order_rows), len(self._pickup_rows))  # noqa: SLF001 - likewise
        return found

    def _bring_rows(self, orders: int, pickups: int) -> None:
        """Bring the columns up to the rows that are new, after so many of each."""
        more_orders = _Orders.of(list(islice(self._order_rows, orders, None)))
        more_pickups = _Pickups.of(list(islice(self._pickup_rows, pickups, None)))
        self._orders = _Orders(*map(np.concatenate, zip(self._orders, more_orders, strict=True)))
        self._pickups = _Pickups(*map(np.concatenate, zip(self._pickups, more_pickups, strict=True)))
        self._last = None

    def at(self, now: datetime) -> Moment:
        """Return what holds at a moment, which must have a time zone."""
        last = self._last
        if last is None or not last.since <= now < last.valid_until:
            last = self._last = self._at(now)
        return last

    def _at(self, now: datetime) -> Moment:
        now_us = (now - EPOCH) // MICROSECOND
        year = now.astimezone(UTC).year
        days = working_days(self._weeks, year)
        zones = np.arange(self._zone_count)
        today = self._clocks.shown(zones, np.full(len(zones), now_us)) // DAY_US
        midnights = self._clocks.instants(zones, (today + 1) * DAY_US)
        dispatch, uncut, cut_off_us = self._dispatch_days(now_us, today, days)
        pickup_day, closing_us = self._pickup_days(now_us, today, days)
        new_year_us = (datetime(year + 1, 1, 1, tzinfo=UTC) - EPOCH) // MICROSECOND
        until_us = min(new_year_us, int(midnights.min()), cut_off_us, closing_us)
        assert until_us > now_us
        starts = parcel_starts(days, self._orders.carrier_calendar[:, None], dispatch)
        pickup_day = np.append(pickup_day, NONE)  # of those that have no place: NONE is the last
        return Moment(
            since=now,
            valid_until=EPOCH + until_us * MICROSECOND,
            days=days,
            pickup_day=_frozen(pickup_day[self._pickup_of], np.int32),
            dispatch_day=_frozen(dispatch.take(self._order_of, axis=0), np.int32),
            uncut_day=_frozen(uncut[self._order_of], np.int32),
            parcel_start=_frozen(starts.take(self._order_of, axis=0), np.int32),
        )

    def _dispatch_days(self, now_us: int, today: Int64s, days: WorkingDays) -> tuple[Int32s, Int32s, int]:
        """Return dispatch days by days of backlog, those without a cut-off, and when the next cut-off is over."""
        orders = self._orders
        own_day = today[orders.zone]
        cut_off = self._clocks.instants(orders.zone, own_day * DAY_US + orders.cut_off)
        is_over = now_us > cut_off
        first = days.after(orders.calendar, own_day + is_over) + orders.handling_days
        uncut = days.after(orders.calendar, own_day) + orders.handling_days
        dispatch = days.working_day.take(first[:, None] + np.arange(BACKLOG_DAYS_MAX + 1))
        return dispatch, days.working_day[uncut], int(cut_off[~is_over].min(initial=NEVER_US - 1)) + 1

    def _pickup_days(self, now_us: int, today: Int64s, days: WorkingDays) -> tuple[Int64s, int]:
        """Return on which day each pickup is ready, and until when that is so, at least."""
        pickups, clocks = self._pickups, self._clocks
        own_day = today[pickups.zone]
        first = days.after(pickups.calendar, own_day)
        before = days.after(pickups.calendar, own_day - 1)
        is_open_since_before = (pickups.closes > DAY_US) & (days.working_day[before] == own_day - 1)
        place = np.where(is_open_since_before, before, first)
        left = pickups.picking.copy()
        begins, ready, closes = (np.full(len(place), NEVER_US) for _ in range(3))
        picking = np.flatnonzero(days.working_day[place] != NONE)
        while len(picking):
            zone, day = pickups.zone[picking], days.working_day[place[picking]].astype(np.int64)
            closing = clocks.instants(zone, day * DAY_US + pickups.closes[picking])
            begin = np.maximum(now_us, clocks.instants(zone, day * DAY_US + pickups.opens[picking]))
            begins[picking] = np.where(begin <= closing, np.minimum(begins[picking], begin), begins[picking])
            is_ready = left[picking] <= closing - begin
            done, rest = picking[is_ready], picking[~is_ready]
            ready[done] = begin[is_ready] + left[done]
            closes[done] = closing[is_ready]
            left[rest] -= np.maximum(closing - begin, 0)[~is_ready]
            place[rest] = np.where(day[~is_ready] < own_day[rest], first[rest], place[rest] + 1)
            picking = rest[days.working_day[place[rest]] != NONE]
        found = np.flatnonzero(ready < NEVER_US)
        zone, ready = pickups.zone[found], ready[found]
        ready_day = np.full(len(place), NONE)
        ready_day[found] = clocks.shown(zone, ready) // DAY_US
        # What is begun later by some opening time is ready later by as much, unless it closes before, or the day ends.
        day_ends = clocks.instants(zone, (ready_day[found] + 1) * DAY_US) - 1
        until = begins[found] + np.minimum(closes[found], day_ends) - ready
        return ready_day, int(until.min(initial=NEVER_US - 1)) + 1


def parcel_starts(days: WorkingDays, calendar: Int64s, dispatch: Int32s) -> Int32s:
    """Return from where days of transit are counted after some dispatch days, in the carrier's calendar.

    A parcel arrives at `working_day[start // 2 + max(transit days, start % 2)]`: it is dispatched on a working day of
    the carrier, at that place, or else (odd) one place before the next working day, which it cannot arrive before.
    """
    place = days.after(calendar, np.maximum(dispatch, days.first_day))
    is_off = days.working_day.take(place) != dispatch
    start: Int32s = 2 * (place - is_off) + is_off
    start[(dispatch == NONE) | (place == NO_PLACE)] = NO_PLACE
    return start


def _columns(rows: Sequence[tuple[int, ...]], width: int) -> list[Int64s]:
    return list(np.ascontiguousarray(np.array(rows, np.int64).reshape(-1, width).T))


def _frozen(array: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    found = np.ascontiguousarray(array, dtype)
    found.setflags(write=False)
    return found
