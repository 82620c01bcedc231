"""Routing's time: working days, cut-offs, opening hours and clocks that are changed, by tables and by the plain rules.

`routing.timetable` plans for all locations at once, `routing.calendars` has the rules for one: each is checked against
the other, in every zone there is, at the hours in which its clock is changed.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from random import Random
from zoneinfo import ZoneInfo, available_timezones

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import Phase, example, given, settings

from bench.routing_small import Case, random_case
from routing.arrays import NONE
from routing.calendars import (
    END_OF_DAY,
    Calendar,
    Hours,
    arrival_day,
    day_number,
    day_of,
    dispatch_day,
    instant_of,
    local_day,
    pickup_ready,
)
from routing.errors import RoutingInputError
from routing.limits import BACKLOG_DAYS_MAX, HANDLING_DAYS_MAX, PICKUP_OPENINGS_MAX, TRANSIT_DAYS_MAX
from routing.network import Carrier, Location, Network, Zone, check
from routing.rules import Method, Reason
from routing.strategies import Router
from routing.timetable import Moment, Timetable
from routing.verifier import verify

SEEDS = st.integers(0, 10**9)
QUICK = settings(max_examples=60, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
ZONES = sorted(available_timezones() - {"localtime", "Factory"})
DAILY = Calendar("daily", frozenset(range(7)), frozenset())
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


# ---- tables against the plain rules ----------------------------------------------------------------------------------


@QUICK
@given(SEEDS)
@example(0)
def test_the_tables_say_what_the_rules_say(seed: int) -> None:
    chance = Random(seed)
    made = a_network(chance, 6)
    table = Timetable(made)
    for now in moments(chance, made.locations[0].time_zone, 4):
        check_moment(made, table.at(now), now)


def check_moment(made: Network, moment: Moment, now: datetime) -> None:
    """Compare what is planned with the rules, location by location."""
    assert moment.valid_until > now
    for index, at in enumerate(made.locations):
        calendar = made.calendars[at.calendar]
        for behind in (0, 1, BACKLOG_DAYS_MAX):
            leaves = dispatch_day(calendar, now, at.time_zone, at.cut_off, at.handling_days + behind)
            assert moment.dispatch_day[index, behind] == number(leaves)
            travels = made.calendars[made.carriers[at.carrier].calendar]
            for days in (0, 1) if behind else (0, 1, 2, TRANSIT_DAYS_MAX):
                expected = arrival_day(travels, leaves, days, now) if leaves else None
                assert arrives(moment, index, behind, days) == number(expected)
        uncut = dispatch_day(calendar, now, at.time_zone, END_OF_DAY, at.handling_days)
        assert moment.uncut_day[index] == number(uncut)
        ready = pickup_ready(calendar, now, at.time_zone, at.hours, at.pickup_minutes)
        assert moment.pickup_day[index] == number(local_day(ready, at.time_zone) if ready else None)


def number(day: date | None) -> int:
    return NONE if day is None else day_number(day)


def arrives(moment: Moment, index: int, behind: int, days: int) -> int:
    start = int(moment.parcel_start[index, behind])
    return int(moment.days.working_day[start // 2 + max(days, start % 2)])


@QUICK
@given(SEEDS)
def test_a_moment_holds_until_it_says_so(seed: int) -> None:
    chance = Random(seed)
    made = a_network(chance, 3)
    table = Timetable(made)
    for now in moments(chance, made.locations[0].time_zone, 3):
        moment = table.at(now)
        last = moment.valid_until - timedelta(microseconds=1)
        for later in (now + (last - now) * chance.random(), last):
            check_moment(made, moment._replace(valid_until=datetime.max.replace(tzinfo=UTC)), later)


@QUICK
@given(SEEDS)
def test_a_later_order_never_leaves_or_arrives_earlier(seed: int) -> None:
    chance = Random(seed)
    made = a_network(chance, 4)
    table = Timetable(made)
    before: list[list[int]] | None = None
    for now in sorted(moments(chance, made.locations[0].time_zone, 40, around=timedelta(hours=4))):
        moment = table.at(now)
        found = [
            [*moment.dispatch_day[index].tolist(), arrives(moment, index, 0, 1), int(moment.pickup_day[index])]
            for index in range(len(made.locations))
        ]
        for earlier, later in zip(before or found, found, strict=True):
            assert all(NONE in pair or pair[0] <= pair[1] for pair in zip(earlier, later, strict=True))
        before = found


@QUICK
@given(SEEDS)
def test_no_hour_is_slow(seed: int) -> None:
    """A moment that is over at once would be made anew for every order."""
    chance = Random(seed)
    made = a_network(chance, 5)
    table = Timetable(made)
    now = moments(chance, made.locations[0].time_zone, 1)[0]
    last, count = now + timedelta(days=2), 0
    while now < last:
        now, count = table.at(now).valid_until, count + 1
    assert count <= 2 * (1 + len(made.locations) * 6)


def a_network(chance: Random, places: int) -> Network:
    calendars = [a_calendar(chance, index) for index in range(4)]
    zones = [chance.choice(ZONES) for _ in range(2)]
    return Network(
        version=1,
        currency="EUR",
        locations=tuple(a_location(chance, index, zones, calendars) for index in range(places)),
        calendars={calendar.name: calendar for calendar in calendars},
        carriers={
            name: Carrier(calendar=chance.choice(calendars).name, zones=(Zone(km_max=None, transit_days=1),), rates={})
            for name in ("post", "van")
        },
    )


def a_calendar(chance: Random, index: int) -> Calendar:
    """Return one of every day, a few a week, one a month, or one that ends."""
    weekdays = frozenset(chance.sample(range(7), chance.choice([1, 2, 5, 6, 7])))
    days = [FIRST.date() + timedelta(days=ahead) for ahead in range(3_000)]
    kind = chance.choice(["daily", "weekly", "holidays", "monthly", "ends", "rests"])
    closed: frozenset[date] = frozenset()
    if kind == "daily":
        weekdays = DAILY.weekdays
    elif kind == "holidays":
        closed = frozenset(chance.sample(days[:800], 100))
    elif kind == "monthly":
        weekdays, closed = frozenset({2}), frozenset(day for day in days if day.day > 7)
    elif kind == "ends":
        start = chance.randrange(500)
        closed = frozenset(days[start : start + chance.choice([365, 366, 367, 368, 800])])
        weekdays = chance.choice([weekdays, DAILY.weekdays])
    elif kind == "rests":
        closed = frozenset(days[::2])
    return Calendar(f"c{index}", weekdays, closed)


def a_location(chance: Random, index: int, zones: list[str], calendars: list[Calendar]) -> Location:
    hours, picking = Hours(time(0), END_OF_DAY), chance.choice([0, 5, 60, 600])
    if chance.random() < 0.8:
        opens, closes = chance.sample(range(0, 24 * 60, chance.choice([1, 15, 30])), 2)
        hours = Hours(time(*divmod(opens, 60)), time(*divmod(closes, 60)))
    most = PICKUP_OPENINGS_MAX * (hours.length // timedelta(minutes=1))
    return Location(
        location_id=f"L{index}",
        latitude=0,
        longitude=0,
        calendar=chance.choice(calendars).name,
        carrier=chance.choice(["post", "van"]),
        methods=frozenset({Method.PICKUP}),
        time_zone=chance.choice(zones),
        cut_off=chance.choice([END_OF_DAY, time(0), time(0, 30), time(1, 59), time(2, 30), time(23, 45), time(14)]),
        handling_days=chance.choice([0, 0, 1, HANDLING_DAYS_MAX]),
        hours=hours,
        pickup_minutes=min(picking, most),
    )


def moments(chance: Random, zone: str, count: int, around: timedelta = timedelta(hours=30)) -> list[datetime]:
    """Return moments near a change of a zone's clock, if it has one, else of any day."""
    changes = changes_of(zone) or (FIRST + chance.random() * timedelta(days=360),)
    change = chance.choice(changes)
    steps = [timedelta(0), timedelta(microseconds=1), timedelta(minutes=30), timedelta(hours=1)]
    found = [change + chance.choice((-1, 1)) * chance.choice(steps) for _ in range(count // 2)]
    return found + [change + around * chance.uniform(-1, 1) for _ in range(count - len(found))]


@cache
def changes_of(zone: str) -> tuple[datetime, ...]:
    """Return when a zone's clock is changed in two years."""
    days = [FIRST + timedelta(days=day) for day in range(2 * 366)]
    hours = [timedelta(hours=hour) for hour in range(25)]

    def changes(times: list[datetime]) -> list[tuple[datetime, datetime]]:
        offsets = [one.astimezone(ZoneInfo(zone)).utcoffset() for one in times]
        return [pair for pair, (one, other) in zip(pairwise(times), pairwise(offsets), strict=True) if one != other]

    return tuple(end for day, _ in changes(days) for _, end in changes([day + hour for hour in hours]))


def test_every_local_time_of_every_zone_is_one_instant() -> None:
    for zone in ZONES:
        at = Location(location_id="L", latitude=0, longitude=0, calendar="daily", time_zone=zone)
        table = Timetable(a_network_of(at))
        for change in changes_of(zone)[:2] or (FIRST,):
            around = [change + timedelta(minutes=minutes) for minutes in range(-150, 151, 50)]
            shown = sorted({one.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for one in around})
            instants = [instant_of(one.date(), one - datetime.combine(one.date(), time(0)), zone) for one in shown]
            assert instants == sorted(instants), zone
            for ahead in range(2):
                midnight = instant_of(change.date() + timedelta(days=ahead), timedelta(0), zone)
                moment = table.at(midnight - timedelta(microseconds=1))
                assert moment.valid_until == midnight, zone
                assert moment.dispatch_day[0, 0] < table.at(midnight).dispatch_day[0, 0], zone


def a_network_of(*locations: Location, **calendars: Calendar) -> Network:
    return Network(version=1, currency="EUR", locations=locations, calendars={"daily": DAILY} | calendars)


# ---- plans -----------------------------------------------------------------------------------------------------------


@QUICK
@given(SEEDS)
def test_plans_keep_the_rules_in_any_zone_and_calendar(seed: int) -> None:
    """The verifier counts days one by one; candidates that it refuses are those that have a reason."""
    case = in_time(Random(seed), random_case(Random(seed)))
    try:
        plan = Router(case.network, case.profile).plan(case.request, explain=True)
    except RoutingInputError:
        return
    assert verify(plan, case.network, case.profile, case.request) == []
    model, count = case.model(), len(case.network.locations)
    for number, view in enumerate(plan.candidates):
        part, location = divmod(number, count)
        if view.reason == Reason.NO_WORKING_DAY:
            assert model.candidate(part, location) is None
        elif view.reason == Reason.ELIGIBLE:
            candidate = model.candidate(part, location)
            assert candidate is not None
            assert day_of(candidate.arrival_day) == view.arrival


def in_time(chance: Random, case: Case) -> Case:
    """Return a case in other zones, with other calendars and hours, around a change of a clock."""
    network, request = case.network, case.request
    calendars = [a_calendar(chance, index) for index in range(4)]
    zones = [chance.choice(ZONES) for _ in range(2)]
    names = [calendar.name for calendar in calendars] + ["daily"] * 3
    changed = [a_location(chance, index, zones, calendars) for index in range(len(network.locations))]
    fields = "calendar", "time_zone", "cut_off", "handling_days", "hours", "pickup_minutes"
    locations = [
        msgspec.structs.replace(one, **{name: getattr(other, name) for name in fields})
        for one, other in zip(network.locations, changed, strict=True)
    ]
    carriers = {
        name: msgspec.structs.replace(one, calendar=chance.choice(names)) for name, one in network.carriers.items()
    }
    now = moments(chance, locations[0].time_zone, 2)[chance.randrange(2)]
    later = now.date() - request.now.date()
    lines = [
        msgspec.structs.replace(line, promise=line.promise + later if line.promise else None)
        for line in request.order.lines
    ]
    made = msgspec.structs.replace(
        network,
        locations=tuple(locations),
        carriers=carriers,
        calendars=network.calendars | {calendar.name: calendar for calendar in calendars},
    )
    order = msgspec.structs.replace(request.order, lines=tuple(lines))
    return Case(made, case.profile, request._replace(order=order, now=now))


# ---- opening hours ---------------------------------------------------------------------------------------------------

NIGHT = Hours(time(18), time(2))
SHOP = Hours(time(9), time(17))
ALL_DAY = Hours(time(0), END_OF_DAY)
WORKDAYS = Calendar("workdays", frozenset(range(5)), frozenset())


@pytest.mark.parametrize(
    ("hours", "minutes", "now", "ready"),
    [
        # Past midnight: Friday's opening lasts until Saturday, 02:00; the next one is Monday's.
        (NIGHT, 60, "2026-11-20T19:00", "2026-11-20T20:00"),
        (NIGHT, 60, "2026-11-20T23:30", "2026-11-21T00:30"),
        (NIGHT, 60, "2026-11-21T00:30", "2026-11-21T01:30"),
        (NIGHT, 60, "2026-11-21T01:00", "2026-11-21T02:00"),
        (NIGHT, 60, "2026-11-21T01:30", "2026-11-23T18:30"),
        (NIGHT, 60, "2026-11-21T03:00", "2026-11-23T19:00"),
        # A Monday begins without an opening of Sunday's.
        (NIGHT, 60, "2026-11-23T01:00", "2026-11-23T19:00"),
        (NIGHT, 1_000, "2026-11-19T18:00", "2026-11-23T18:40"),
        (Hours(time(18), time(0)), 60, "2026-11-20T23:00", "2026-11-21T00:00"),
        # Minutes are opening time: what is not done today is done on the next working days.
        (SHOP, 600, "2026-11-19T09:00", "2026-11-20T11:00"),
        (SHOP, 600, "2026-11-20T15:00", "2026-11-23T17:00"),
        (SHOP, 5_760, "2026-11-20T09:00", "2026-12-07T17:00"),
        (SHOP, 480, "2026-11-20T09:00", "2026-11-20T17:00"),
        (SHOP, 481, "2026-11-20T09:00", "2026-11-23T09:01"),
        (SHOP, 0, "2026-11-20T17:00", "2026-11-20T17:00"),
        (SHOP, 0, "2026-11-20T17:01", "2026-11-23T09:00"),
        (ALL_DAY, 60, "2026-11-19T23:10", "2026-11-20T00:10"),
        (ALL_DAY, 60, "2026-11-20T23:10", "2026-11-23T00:10"),
        (Hours(time(0), time(23, 58)), 60, "2026-11-19T23:10", "2026-11-20T00:12"),
    ],
)
def test_pickup_takes_minutes_of_opening_time(hours: Hours, minutes: int, now: str, ready: str) -> None:
    zone = ZoneInfo("Europe/Berlin")
    at, expected = (datetime.fromisoformat(text).replace(tzinfo=zone) for text in (now, ready))
    assert pickup_ready(WORKDAYS, at, zone.key, hours, minutes) == expected
    store = Location(
        location_id="A",
        latitude=0,
        longitude=0,
        calendar="workdays",
        methods=frozenset({Method.PICKUP}),
        time_zone=zone.key,
        hours=hours,
        pickup_minutes=minutes,
    )
    assert Timetable(a_network_of(store, workdays=WORKDAYS)).at(at).pickup_day[0] == day_number(expected.date())


@pytest.mark.parametrize(
    ("hours", "minutes", "text"),
    [
        (
            Hours(time(9), time(9)),
            60,
            "L.closes: expected another time than it opens, 09:00, was 09:00; open all day is",
        ),
        (
            Hours(time(9), time(10)),
            1_861,
            "L.pickup_minutes: expected 0 to 1860, which is at most 31 openings of 1:00:00",
        ),
        (ALL_DAY, 10_081, "L.pickup_minutes: expected 0 to 10080, "),
    ],
)
def test_hours_that_cannot_be_kept_are_refused(hours: Hours, minutes: int, text: str) -> None:
    store = Location(
        location_id="L",
        latitude=0,
        longitude=0,
        calendar="daily",
        methods=frozenset({Method.PICKUP}),
        hours=hours,
        pickup_minutes=minutes,
    )
    with pytest.raises(RoutingInputError) as caught:
        check(a_network_of(store))
    assert text in str(caught.value)


# ---- clocks that are changed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "shown", "instant"),
    [
        ("Europe/Berlin", "2026-10-25T02:30", "2026-10-25T00:30"),  # shown twice: the first time
        ("Europe/Berlin", "2026-10-25T03:00", "2026-10-25T02:00"),
        ("Europe/Berlin", "2026-03-29T02:30", "2026-03-29T01:00"),  # skipped: when the clock is put forward
        ("Europe/Berlin", "2026-03-29T02:00", "2026-03-29T01:00"),
        ("Africa/Cairo", "2026-10-29T23:45", "2026-10-29T20:45"),  # put back at midnight
        ("Africa/Cairo", "2026-10-30T00:00", "2026-10-29T22:00"),
        ("Africa/Cairo", "2026-04-24T00:00", "2026-04-23T22:00"),  # put forward at midnight
        ("America/St_Johns", "2007-11-04T00:00", "2007-11-04T02:30"),  # put back just after it
        ("Pacific/Apia", "2011-12-30T12:00", "2011-12-30T10:00"),  # a day that never was
    ],
)
def test_a_local_time_is_the_first_instant_at_which_it_is_reached(zone: str, shown: str, instant: str) -> None:
    local = datetime.fromisoformat(shown)
    found = instant_of(local.date(), local - datetime.combine(local.date(), time(0)), zone)
    assert found == datetime.fromisoformat(instant).replace(tzinfo=UTC)


def test_a_day_that_has_begun_is_not_left_again() -> None:
    zone = "America/St_Johns"  # until 2011 its clock was put back at 00:01
    begun = datetime(2007, 11, 4, 2, 30, tzinfo=UTC)
    assert begun.astimezone(ZoneInfo(zone)).date() == date(2007, 11, 4)
    later = begun + timedelta(minutes=10)
    assert later.astimezone(ZoneInfo(zone)).date() == date(2007, 11, 3)
    assert [local_day(now, zone) for now in (begun, later)] == [date(2007, 11, 4)] * 2
    assert local_day(begun - timedelta(microseconds=1), zone) == date(2007, 11, 3)


def test_a_cut_off_that_is_over_is_not_open_again() -> None:
    at = Location(
        location_id="A", latitude=0, longitude=0, calendar="daily", time_zone="Africa/Cairo", cut_off=time(23, 45)
    )
    table = Timetable(a_network_of(at))
    over = datetime(2026, 10, 29, 20, 45, tzinfo=UTC)
    days = [int(table.at(over + timedelta(minutes=minutes)).dispatch_day[0, 0]) for minutes in range(-10, 120, 5)]
    assert days == sorted(days)
    assert len(set(days)) == 2
    # The hour that comes twice is one moment.
    moment = table.at(over + timedelta(minutes=16))
    assert moment.valid_until == datetime(2026, 10, 29, 22, tzinfo=UTC)


def test_an_opening_in_the_hour_that_comes_twice_is_not_in_the_past() -> None:
    hours = Hours(time(2, 30), time(12))
    now = datetime(2026, 10, 25, 0, 35, tzinfo=UTC)  # 02:35, for the first time
    again = now + timedelta(hours=1)  # 02:35, for the second time
    for start, minutes in ((now, 0), (again, 10)):
        ready = pickup_ready(DAILY, start, "Europe/Berlin", hours, minutes)
        assert ready is not None
        assert ready.astimezone(UTC) == start + timedelta(minutes=minutes)


# ---- working days ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("leaves", "days", "arrives"),
    [
        (date(2026, 11, 19), 0, date(2026, 11, 19)),
        (date(2026, 11, 21), 0, date(2026, 11, 23)),  # a Saturday
        (date(2026, 11, 21), 1, date(2026, 11, 23)),
        (date(2026, 11, 21), 2, date(2026, 11, 24)),
        (date(2026, 11, 20), 1, date(2026, 11, 23)),
    ],
)
def test_arrival_is_on_working_days(leaves: date, days: int, arrives: date) -> None:
    assert arrival_day(WORKDAYS, leaves, days, datetime(2026, 11, 19, tzinfo=UTC)) == arrives


@pytest.mark.parametrize(("days_off", "is_there"), [(366, True), (367, False)])
def test_a_calendar_has_ended_after_more_than_a_year_of_days_off(days_off: int, is_there: bool) -> None:
    today = date(2026, 11, 20)
    calendar = Calendar("rests", DAILY.weekdays, frozenset(today + timedelta(days=day) for day in range(days_off)))
    at = Location(location_id="A", latitude=0, longitude=0, calendar="rests", methods=frozenset({Method.PICKUP}))
    made = a_network_of(at, rests=calendar)
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    moment = Timetable(made).at(now)
    expected = day_number(today) + days_off if is_there else NONE
    assert moment.dispatch_day[0, 0] == moment.pickup_day[0] == expected
    assert (dispatch_day(calendar, now, "UTC", END_OF_DAY, 0) is not None) == is_there


def test_a_calendar_of_one_day_a_month_has_days_for_the_longest_order() -> None:
    days = [FIRST.date() + timedelta(days=ahead) for ahead in range(4_000)]
    monthly = Calendar("monthly", DAILY.weekdays, frozenset(day for day in days if day.day != 1))
    at = Location(
        location_id="A",
        latitude=0,
        longitude=0,
        calendar="monthly",
        carrier="post",
        handling_days=HANDLING_DAYS_MAX,
    )
    post = Carrier(calendar="monthly", zones=(Zone(km_max=None, transit_days=TRANSIT_DAYS_MAX),), rates={})
    made = msgspec.structs.replace(a_network_of(at, monthly=monthly), carriers={"post": post})
    now = datetime(2026, 12, 31, 12, tzinfo=UTC)
    moment = Timetable(made).at(now)
    months = 1 + HANDLING_DAYS_MAX + BACKLOG_DAYS_MAX + TRANSIT_DAYS_MAX
    arrival = date(2026 + (11 + months) // 12, (11 + months) % 12 + 1, 1)
    assert arrives(moment, 0, BACKLOG_DAYS_MAX, TRANSIT_DAYS_MAX) == day_number(arrival)
