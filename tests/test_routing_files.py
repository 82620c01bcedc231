"""Networks and profiles from files: read as they are written, and refused by file, line and field."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path

import pytest

from bench.routing_small import stock_of
from routing.arrays import NONE
from routing.errors import RoutingInputError
from routing.network_files import read_network
from routing.order import Destination, Line, Order, Request
from routing.profile import Profile, parse_profile, read_profile
from routing.rates import Step
from routing.rules import Method
from routing.strategies import Router

FILES = {
    "network.toml": """
version = 3
currency = "EUR"
[calendars.work]
weekdays = [1, 2, 3, 4, 5]
closed = [2026-12-25]
[channels]
web = ["north"]
[carriers.post]
calendar = "work"
refuses = ["hazmat"]
""",
    "locations.csv": """location_id,latitude,longitude,calendar,carrier,methods,time_zone,cut_off,\
groups,handling_cost,active
A,52.5,13.4,work,post,ship|pickup,Europe/Berlin,14:00,north,0.25,true
B,48.1,11.6,work,post,,,,north|south,,false
""",
    "zones.csv": """carrier,zone,km_max,transit_days
post,1,200,1
post,2,,3
""",
    "rates.csv": """carrier,method,zone,above_grams,to_grams,base,per_kilogram
post,ship,1,,,4.90,0.50
post,ship,2,0,1000,6.90,
post,ship,2,1000,,8.90,
""",
    "lanes.csv": """from_location_id,to_location_id,base,days
B,A,0.50,2
""",
    "skus.csv": """sku_id,weight_milligrams,restrictions,unfilled_cost
S0,500000,hazmat|age-18,12.50
""",
    "places.csv": """place,latitude,longitude
10115,52.53,13.38
""",
}


def write(folder: Path, **changed: str) -> Path:
    for name, text in FILES.items():
        (folder / name).write_text(changed.get(name.replace(".", "_"), text))
    return folder


def test_network_is_read_as_it_is_written(tmp_path: Path) -> None:
    network = read_network(write(tmp_path))
    first, second = network.locations
    assert (network.version, network.currency) == (3, "EUR")
    assert (first.methods, first.cut_off, first.handling_cost) == ({Method.SHIP, Method.PICKUP}, time(14), 250_000)
    assert (second.methods, second.is_active, second.groups) == ({Method.SHIP}, False, {"north", "south"})
    assert network.calendars["work"].closed == {date(2026, 12, 25)}
    post = network.carriers["post"]
    assert [(zone.km_max, zone.transit_days) for zone in post.zones] == [(200.0, 1), (None, 3)]
    assert post.rates[Method.SHIP][0].steps == (Step(0, None, 4_900_000, 500_000),)
    assert post.rates[Method.SHIP][1].steps[0] == Step(0, 1_000_000, 6_900_000, 0)
    assert network.lanes["B", "A"].days == 2
    assert network.skus["S0"].unfilled_cost == 12_500_000
    order = Order(lines=(Line(sku="S1", quantity=1),), destination=Destination(place="10115"), channel="web")
    now = datetime(2026, 11, 20, 10, tzinfo=UTC)
    plan = Router(network, Profile(name="test", version=1)).plan(Request(order, stock_of([[1, 1]]), [0], now))
    assert plan.shipments[0].arrival == date(2026, 11, 23)


CASES = [
    (
        "locations.csv",
        "52.5,13.4",
        "91,13.4",
        'locations.csv line 2, column latitude: expected a number from -90 to 90, was "91"',
    ),
    (
        "locations.csv",
        "14:00",
        "25:00",
        'locations.csv line 2, column cut_off: expected a time of day, HH:MM, was "25:00"',
    ),
    (
        "locations.csv",
        "Europe/Berlin",
        "Berlin",
        'column time_zone: expected an IANA time zone, such as "Europe/Berlin", was "Berlin"',
    ),
    (
        "locations.csv",
        "ship|pickup",
        "ship|fly",
        'column methods: expected some of ship|pickup|ship_to_store|delivery, was "ship|fly"',
    ),
    ("locations.csv", ",0.25,", ",-1,", 'column handling_cost: expected a number from 0 to 1e+06, was "-1"'),
    (
        "locations.csv",
        "B,48.1",
        "A,48.1",
        "locations.csv line 3, column location_id: expected it once; A stands in locations.csv line 2 too",
    ),
    (
        "locations.csv",
        "A,52.5,13.4,work,post",
        "A,52.5,13.4,work,dhl",
        'locations.A.carrier: expected a carrier of the network, was "dhl"',
    ),
    (
        "locations.csv",
        "A,52.5,13.4,work",
        "A,52.5,13.4,holiday",
        'locations.A.calendar: expected a calendar of the network, was "holiday"',
    ),
    ("locations.csv", "location_id,", "id,", "locations.csv line 1: there is no column id"),
    ("locations.csv", ",true", "", "locations.csv line 2: expected as many fields as the header has columns"),
    ("zones.csv", "post,2,,3", "post,3,,3", "zones.csv line 3, column zone: expected 2, was 3"),
    (
        "zones.csv",
        "post,2,,3",
        "post,2,150,3",
        "carriers.post.zones: expected each zone to go farther than the one before",
    ),
    (
        "rates.csv",
        "2,1000,,8.90",
        "2,900,,8.90",
        "rates.csv line 4, column above_grams: steps overlap: expected the end of the step before (1000 g), was 900",
    ),
    (
        "rates.csv",
        "2,1000,,8.90",
        "2,1200,,8.90",
        "rates.csv line 4, column above_grams: expected 1000, where the step before ends, was 1200",
    ),
    (
        "rates.csv",
        "2,1000,,8.90",
        "2,1000,5000,8.90",
        "rates.csv line 4, column to_grams: expected the last step to be open (empty), was 5000",
    ),
    (
        "rates.csv",
        "post,ship,1",
        "dhl,ship,1",
        'rates.csv line 2, column carrier: expected a carrier of network.toml, was "dhl"',
    ),
    ("lanes.csv", "B,A", "B,C", 'lanes: expected a location of the network, was "C"'),
    (
        "skus.csv",
        "500000",
        "heavy",
        'skus.csv line 2, column weight_milligrams: expected a whole number from 0 to 10000000000, was "heavy"',
    ),
    ("network.toml", "[1, 2, 3, 4, 5]", "[]", "calendars.work.weekdays: expected at least one open day, found none"),
    (
        "network.toml",
        "[1, 2, 3, 4, 5]",
        "[0]",
        "network.toml, calendars.work.weekdays: expected numbers from 1 (Monday) to 7, was [0]",
    ),
    ("network.toml", "version = 3", 'version = "3"', "network.toml, version: expected int, was '3'"),
    (
        "network.toml",
        "version = 3",
        "version = 3\ncolour = 1",
        "network.toml, colour: there is no such field; remove it",
    ),
    ("network.toml", "version = 3", "version =", "network.toml: expected TOML in UTF-8"),
]


@pytest.mark.parametrize(("file", "old", "new", "text"), CASES)
def test_wrong_network_is_refused_by_file_line_and_field(
    tmp_path: Path, file: str, old: str, new: str, text: str
) -> None:
    assert old in FILES[file]
    write(tmp_path, **{file.replace(".", "_"): FILES[file].replace(old, new)})
    with pytest.raises(RoutingInputError) as caught:
        read_network(tmp_path)
    assert text in str(caught.value)


def test_calendar_that_has_ended_has_no_days(tmp_path: Path) -> None:
    closed = ", ".join(f"2026-{month:02}-{day:02}" for month in range(1, 13) for day in range(1, 29))
    text = FILES["network.toml"].replace("2026-12-25", closed).replace("[1, 2, 3, 4, 5]", "[1]")
    network = read_network(write(tmp_path, network_toml=text))
    router = Router(network, Profile(name="test", version=1))
    assert router.problem_at(datetime(2026, 6, 1, tzinfo=UTC)).pickup_day[0] > 0
    years = ", ".join(str(date.fromordinal(date(2026, 6, 1).toordinal() + day)) for day in range(500))
    router = Router(read_network(write(tmp_path, network_toml=text.replace(closed, years))), router.profile)
    problem = router.problem_at(datetime(2026, 6, 1, tzinfo=UTC))
    assert (problem.dispatch_day == NONE).all()
    assert (problem.pickup_day == NONE).all()


def test_profile_is_read_and_names_its_version(tmp_path: Path) -> None:
    path = tmp_path / "fast.toml"
    path.write_text('name = "fast"\nversion = 2\n[weights]\nlateness = 3\n[rules]\npromise = {strength = "hard"}\n')
    profile = read_profile(path)
    assert (str(profile), profile.weights.lateness, profile.costs.split) == ("fast@2", 3.0, Decimal("1.00"))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"weights": {"shiping": 1}}, "p.toml, weights.shiping: there is no such field; remove it."),
        ({"weights": {"shipping": -1}}, "p.toml, weights.shipping: expected `float` >= 0.0."),
        ({"weights": {"shipping": float("nan")}}, "p.toml, weights.shipping: expected"),
        ({"costs": {"split": "-0.01"}}, "p.toml, costs.split: expected 0 to 1000000, was -0.01."),
        ({"costs": {"split": "NaN"}}, "p.toml, costs.split: expected 0 to 1000000, was NaN."),
        ({"rules": {"max_shipments": 9}}, "p.toml, rules.max_shipments: expected `int` <= 5."),
        (
            {"rules": {"promise": {"strength": "strong"}}},
            "p.toml, rules.promise.strength: invalid enum value 'strong'.",
        ),
        ({"rules": {"max_distance": {"km": 0, "strength": "hard"}}}, "p.toml, rules.max_distance.km: expected"),
        ({"colour": 1}, "p.toml, colour: there is no such field; remove it."),
        ({"version": 0}, "p.toml, version: expected `int` >= 1."),
    ],
)
def test_wrong_profile_is_refused_by_field(content: dict, text: str) -> None:
    with pytest.raises(RoutingInputError) as caught:
        parse_profile({"name": "p", "version": 1} | content, "p.toml")
    assert text in str(caught.value)
