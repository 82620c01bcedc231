"""The files of a network, without an engine: read as they are written, and refused by file, line, column and key."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from google.protobuf.message import Message
from onhand.inventory.v1 import catalog_pb2
from onhand.routing.v1 import network_pb2 as messages
from onhand.routing.v1 import plan_pb2

from engine.load.catalog import Before
from engine.load.network import NetworkChange, change_of, read_folder, where_in_files
from engine.load.problems import Problems, Where

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
    "profiles/fast.toml": """name = "fast"
version = 2
[weights]
lateness = 3
[costs]
split = "1.50"
[rules]
promise = {strength = "hard"}
max_distance = {km = 1500, strength = "soft"}
""",
}
SHIP, PICKUP = plan_pb2.FULFILLMENT_METHOD_SHIP, plan_pb2.FULFILLMENT_METHOD_PICKUP


def write(folder: Path, **changed: str) -> Path:
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(changed.get(name.replace(".", "_"), text))
    return folder


def read(folder: Path, before: Before | None = None) -> tuple[NetworkChange, list[str]]:
    """Read a folder; returns what it makes of the engine's network, and the problems."""
    problems = Problems()
    change = change_of(read_folder(folder, problems), before or Before(), problems)
    prefix = f"{folder.name}/"
    return change, [line.removeprefix(prefix) for line in problems.lines()]


# ---- good files ------------------------------------------------------------------------------------------------------


def test_network_is_read_as_it_is_written(tmp_path: Path) -> None:
    change, problems = read(write(tmp_path))
    assert problems == []
    network = change.network
    assert (network.currency, network.rejection_days, network.default_profile) == ("EUR", 7, "")
    assert network.calendars == [
        messages.Calendar(name="work", weekdays=range(1, 6), closed_dates=[str(date(2026, 12, 25))])
    ]
    assert network.channels == [messages.Channel(name="web", location_groups=["north"])]
    rates = [
        [messages.RateStep(base_micros=4_900_000, per_kilogram_micros=500_000)],
        [
            messages.RateStep(to_milligrams=1_000_000, base_micros=6_900_000),
            messages.RateStep(above_milligrams=1_000_000, base_micros=8_900_000),
        ],
    ]
    assert network.carriers == [
        messages.Carrier(
            name="post",
            calendar="work",
            refused_restrictions=["hazmat"],
            zones=[
                messages.CarrierZone(km_max=200, transit_days=1, ship_rates=rates[0]),
                messages.CarrierZone(transit_days=3, ship_rates=rates[1]),
            ],
        )
    ]
    assert network.lanes == [messages.Lane(from_location_id="B", to_location_id="A", base_micros=500_000, days=2)]
    assert network.places == [messages.Place(name="10115", latitude=52.53, longitude=13.38)]
    assert network.skus == [messages.SkuRouting(sku_id="S0", unfilled_micros=12_500_000)]
    first, second = change.locations
    assert first == messages.LocationRouting(
        location_id="A",
        calendar="work",
        carrier="post",
        methods=[SHIP, PICKUP],
        cut_off="14:00:00",
        handling_micros=int(Decimal("0.25") * 1_000_000),
    )
    assert second == messages.LocationRouting(location_id="B", calendar="work", carrier="post", methods=[SHIP])


def test_the_catalog_gets_what_the_folder_knows(tmp_path: Path) -> None:
    change, _ = read(write(tmp_path))
    ship, pickup = catalog_pb2.LOCATION_CAPABILITY_SHIP, catalog_pb2.LOCATION_CAPABILITY_PICKUP
    assert [each.item for each in change.catalog_locations] == [
        catalog_pb2.Location(
            location_id="A",
            kind=catalog_pb2.LOCATION_KIND_STORE,
            latitude=52.5,
            longitude=13.4,
            time_zone="Europe/Berlin",
            active=True,
            location_groups=["north"],
            capabilities=[ship, pickup],
        ),
        catalog_pb2.Location(
            location_id="B",
            kind=catalog_pb2.LOCATION_KIND_WAREHOUSE,
            latitude=48.1,
            longitude=11.6,
            active=False,
            location_groups=["north", "south"],
            capabilities=[ship],
        ),
    ]
    assert [each.item for each in change.catalog_skus] == [
        catalog_pb2.Sku(sku_id="S0", base_unit="each", weight_milligrams=500_000, restrictions=["hazmat", "age-18"])
    ]


def test_a_profile_is_read_as_it_is_written(tmp_path: Path) -> None:
    change, _ = read(write(tmp_path))
    assert change.network.profiles == [
        messages.RoutingProfile(
            name="fast",
            version=2,
            lateness_weight=3,
            split_micros=1_500_000,
            promise=messages.RULE_STRENGTH_HARD,
            max_distance_km=1500,
            max_distance=messages.RULE_STRENGTH_SOFT,
        )
    ]


OLD = Before(
    locations={
        "A": catalog_pb2.Location(location_id="A", time_zone="Europe/Vienna", active=False, location_groups=["eu"])
    },
    skus={"S0": catalog_pb2.Sku(sku_id="S0", base_unit="gram", weight_milligrams=7, restrictions=["hazmat"])},
    network=messages.Network(
        currency="EUR",
        rejection_days=30,
        default_profile="slow",
        profiles=[
            messages.RoutingProfile(name="fast", version=1),
            messages.RoutingProfile(name="slow", version=1),
        ],
        skus=[messages.SkuRouting(sku_id="S0", unfilled_micros=9)],
    ),
    routing={"A": messages.LocationRouting(location_id="A", methods=[PICKUP], cut_off="11:00", pickup_minutes=5)},
)


def test_absent_columns_leave_what_is_there(tmp_path: Path) -> None:
    locations = "location_id,latitude,longitude,calendar,carrier\nA,52.5,13.4,work,post\n"
    skus = "sku_id\nS0\n"
    change, problems = read(write(tmp_path, locations_csv=locations, lanes_csv="", skus_csv=skus), OLD)
    assert problems == ["lanes.csv: expected a header row, was empty."]
    (routing,) = change.locations
    assert (routing.methods, routing.cut_off, routing.pickup_minutes) == ([PICKUP], "11:00", 5)
    (location,) = change.catalog_locations
    assert (location.item.time_zone, location.item.active, location.item.location_groups) == (
        "Europe/Vienna",
        False,
        ["eu"],
    )
    assert location.given == ("capabilities", "latitude", "longitude")
    (sku,) = change.catalog_skus
    assert (sku.item.weight_milligrams, sku.item.restrictions, sku.item.base_unit) == (7, ["hazmat"], "gram")
    assert change.network.skus == OLD.network.skus
    assert change.network.rejection_days == 30


def test_the_default_profile_is_named(tmp_path: Path) -> None:
    named = f'default_profile = "fast"\n{FILES["network.toml"]}'
    assert read(write(tmp_path, network_toml=named))[0].network.default_profile == "fast"
    _, problems = read(write(tmp_path, network_toml=named.replace('"fast"', '"slow"')))
    assert problems == ['network.toml line 1, default_profile: expected one of fast, was "slow".']


def test_without_profiles_those_of_the_engine_stay(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "profiles" / "fast.toml").unlink()
    assert [one.name for one in read(tmp_path)[0].network.profiles] == ["standard"]
    network = read(tmp_path, OLD)[0].network
    assert ([one.name for one in network.profiles], network.default_profile) == (["fast", "slow"], "slow")


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_tables_may_have_any_form(tmp_path: Path, suffix: str) -> None:
    import gzip  # noqa: PLC0415 - one test's

    write(tmp_path)
    for name in ("locations.csv", "zones.csv", "rates.csv"):
        path = tmp_path / name
        raw = path.read_text().replace(",", ";").replace("\n", "\r\n").encode("utf-16")
        path.unlink()
        (tmp_path / f"{name}{suffix}").write_bytes(gzip.compress(raw) if suffix else raw)
    (tmp_path / "network.toml").write_bytes(FILES["network.toml"].replace("\n", "\r\n").encode("utf-8-sig"))
    change, problems = read(tmp_path)
    assert problems == []
    assert len(change.locations) == 2


# ---- wrong files -----------------------------------------------------------------------------------------------------

LONG = "x" * 65
CASES = [
    (
        "locations.csv",
        "52.5,13.4",
        "91,13.4",
        'locations.csv line 2, column latitude: expected a number from -90 to 90, was "91".',
    ),
    (
        "locations.csv",
        "52.5,13.4",
        "0,0",
        "locations.csv line 2, column latitude: expected where the location is, was 0",
    ),
    (
        "locations.csv",
        "14:00",
        "25:00",
        'line 2, column cut_off: expected a time of day, HH:MM, or 24:00, was "25:00".',
    ),
    ("locations.csv", "14:00", "T14", 'line 2, column cut_off: expected a time of day, HH:MM, or 24:00, was "T14".'),
    (
        "locations.csv",
        "Europe/Berlin",
        "localtime",
        'column time_zone: expected an IANA time zone such as "Europe/Berlin", was "localtime".',
    ),
    (
        "locations.csv",
        "ship|pickup",
        "ship|fly",
        'column methods: expected ship, pickup, ship_to_store and delivery, each at most once, separated by "|", was',
    ),
    (
        "locations.csv",
        ",0.25,",
        ",-1,",
        'column handling_cost: expected an amount from 0 to 1000000 with at most 6 decimals, was "-1".',
    ),
    ("locations.csv", ",0.25,", ",0.0000001,", "with at most 6 decimals, was"),
    ("locations.csv", ",0.25,", ",1_0,", "column handling_cost: expected an amount from 0 to 1000000 with"),
    ("locations.csv", "B,48.1", "A,48.1", "locations.csv line 3: A is on line 2 already."),
    ("locations.csv", "B,48.1", "B ,48.1", r'column location_id: expected no blank at either end, was "B ".'),
    (
        "locations.csv",
        "A,52.5,13.4,work,post",
        "A,52.5,13.4,work,dhl",
        'locations.csv line 2, column carrier: expected a carrier of network.toml, was "dhl".',
    ),
    (
        "locations.csv",
        "A,52.5,13.4,work,post",
        "A,52.5,13.4,work,",
        "locations.csv line 2, column carrier: expected a carrier for ship, was empty.",
    ),
    (
        "locations.csv",
        "ship|pickup",
        "delivery",
        'line 2, column methods: expected a rate of carrier "post" for delivery in rates.csv, found none.',
    ),
    (
        "locations.csv",
        "A,52.5,13.4,work",
        "A,52.5,13.4,holiday",
        'locations.csv line 2, column calendar: expected a calendar of network.toml, was "holiday".',
    ),
    ("locations.csv", "location_id,", "id,", "locations.csv line 1, column id: not a known column; "),
    ("locations.csv", "cut_off,", "calendar,", "locations.csv line 1, column calendar: this column is there twice."),
    ("locations.csv", ",0.25,true", ",0.25", "locations.csv line 2: expected 11 fields, was 10."),
    ("zones.csv", "post,2,,3", "post,3,,3", "zones.csv line 3, column zone: expected 2, was 3; zones count from 1."),
    (
        "zones.csv",
        "post,2,,3",
        "post,2,150,3",
        "zones.csv line 3, column km_max: expected more than 200, where zone 1 ends, was 150.",
    ),
    (
        "zones.csv",
        "post,1,200,1",
        "post,1,,1",
        "zones.csv line 2, column km_max: expected a distance, was empty: only the last zone may go anywhere.",
    ),
    (
        "rates.csv",
        "2,1000,,8.90",
        "2,900,,8.90",
        "rates.csv line 4, column above_grams: steps overlap: expected the end of the step before (1000 g), was 900.",
    ),
    (
        "rates.csv",
        "2,1000,,8.90",
        "2,1200,,8.90",
        "rates.csv line 4, column above_grams: expected 1000, where the step before ends, was 1200.",
    ),
    (
        "rates.csv",
        "2,1000,,8.90",
        "2,1000,5000,8.90",
        "rates.csv line 4, column to_grams: expected the last step to be open (empty), was 5000.",
    ),
    (
        "rates.csv",
        "post,ship,1",
        "dhl,ship,1",
        'rates.csv line 2, column carrier: expected a carrier of network.toml, was "dhl".',
    ),
    ("rates.csv", "4.90,0.50", "4.90,101", "column per_kilogram: expected an amount from 0 to 100 with"),
    (
        "lanes.csv",
        "B,A",
        "B,C",
        'lanes.csv line 2, column to_location_id: expected a location of {}/locations.csv, was "C".',
    ),
    (
        "skus.csv",
        "500000",
        "heavy",
        'skus.csv line 2, column weight_milligrams: expected an integer from 0 to 10000000000, was "heavy".',
    ),
    ("places.csv", "10115", LONG, f'column place: expected 1 to 64 bytes of UTF-8, was "{LONG}".'),
    (
        "network.toml",
        "[1, 2, 3, 4, 5]",
        "[]",
        "network.toml line 5, calendars.work.weekdays: expected at least one number from 1 (Monday) to 7, each at most",
    ),
    ("network.toml", "[1, 2, 3, 4, 5]", "[0]", "network.toml line 5, calendars.work.weekdays: expected at least one"),
    ("network.toml", "[1, 2, 3, 4, 5]", "[true]", "calendars.work.weekdays: expected at least one number"),
    (
        "network.toml",
        "[2026-12-25]",
        '["2026-12-25"]',
        "line 6, calendars.work.closed: expected a list of dates without",
    ),
    (
        "network.toml",
        "closed =",
        "close =",
        'line 6, calendars.work.close: not a known key; did you mean "closed"? Known are weekdays, closed.',
    ),
    (
        "network.toml",
        '["hazmat"]',
        '"hazmat"',
        'line 11, carriers.post.refuses: expected a list of words, such as ["hazmat"], was "hazmat".',
    ),
    (
        "network.toml",
        "version = 3",
        'version = "3"',
        'line 2, version: expected an integer from 1 to 2147483647, was "3".',
    ),
    ("network.toml", "version = 3", "version = true", "version: expected an integer from 1 to 2147483647, was true."),
    (
        "network.toml",
        "version = 3",
        "version = 3\ncolour = 1",
        "network.toml line 3, colour: not a known key; known are",
    ),
    ("network.toml", '"EUR"', '"12345678901234567"', 'line 3, currency: expected 1 to 16 bytes of UTF-8, was "123456'),
    ("network.toml", 'currency = "EUR"', "", "currency: expected 1 to 16 bytes of UTF-8, was not there."),
    ("network.toml", "version = 3", "version =", "network.toml line 2: expected TOML in UTF-8: Invalid value"),
    ("network.toml", "version = 3", "version = 3\nversion = 4", "network.toml line 3: expected TOML in UTF-8: Cannot"),
    (
        "network.toml",
        "[carriers.post]",
        "[[carriers]]",
        "network.toml line 9, carriers: expected a table of names, such",
    ),
    ("network.toml", "[calendars.work]", '[calendars."work "]', r'was "work ".'),
    ("network.toml", 'web = ["north"]', 'web = "north"', "line 8, channels.web: expected a list of words"),
    (
        "profiles/fast.toml",
        "lateness = 3",
        "latenes = 3",
        'line 4, weights.latenes: not a known key; did you mean "late',
    ),
    (
        "profiles/fast.toml",
        "lateness = 3",
        "lateness = -1",
        "weights.lateness: expected a number from 0 to 1000, was -1.",
    ),
    (
        "profiles/fast.toml",
        "lateness = 3",
        "lateness = nan",
        "weights.lateness: expected a number from 0 to 1000, was nan",
    ),
    ("profiles/fast.toml", '"1.50"', '"-0.01"', "line 6, costs.split: expected an amount from 0 to 1000000 with"),
    ("profiles/fast.toml", '"1.50"', '"NaN"', "line 6, costs.split: expected an amount"),
    (
        "profiles/fast.toml",
        "[rules]",
        "[rules]\nmax_shipments = 9",
        "rules.max_shipments: expected an integer from 1 to 5",
    ),
    ("profiles/fast.toml", "[rules]", '[rules]\nmax_shipments = "3"', 'expected an integer from 1 to 5, was "3".'),
    ("profiles/fast.toml", '"hard"', '"medium"', 'rules.promise.strength: expected hard or soft, was "medium".'),
    (
        "profiles/fast.toml",
        '{strength = "hard"}',
        '"hard"',
        'rules.promise: expected a table with strength, was "hard".',
    ),
    (
        "profiles/fast.toml",
        "km = 1500, ",
        "",
        "rules.max_distance.km: expected a number from 0.001 to 100000, was not th",
    ),
    (
        "profiles/fast.toml",
        '"fast"',
        '"peak@2026"',
        'line 1, name: expected a name without "@", which stands before a ver',
    ),
    ("profiles/fast.toml", "version = 2", "version = 0", "version: expected an integer from 1 to 2147483647, was 0."),
]


@pytest.mark.parametrize(("file", "old", "new", "text"), CASES)
def test_a_mistake_is_told_by_file_line_and_column_and_causes_no_others(
    tmp_path: Path, file: str, old: str, new: str, text: str
) -> None:
    assert old in FILES[file]
    write(tmp_path, **{file.replace(".", "_"): FILES[file].replace(old, new, 1)})
    _, problems = read(tmp_path)
    told = [line for line in problems if text.format(tmp_path.name) in line]
    assert told, problems
    assert len(told) == len(problems) or file == "locations.csv", problems


def test_all_mistakes_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    write(tmp_path)
    changes: dict[str, str] = {}
    for file, old, new, _ in CASES:
        if file not in changes and "line 1" not in _:
            changes[file] = FILES[file].replace(old, new, 1)
    write(tmp_path, **{file.replace(".", "_"): text for file, text in changes.items()})
    _, problems = read(tmp_path)
    assert {line.split(" line ")[0] for line in problems} >= changes.keys()


@pytest.mark.parametrize(
    "name", [name for name in FILES if "/" not in name and name[0] not in "ps" and name[:2] != "la"]
)
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    (write(tmp_path) / name).unlink()
    _, problems = read(tmp_path)
    assert problems == [f"{tmp_path / name}: cannot be read: No such file or directory."]


def test_a_profile_twice_names_both_files(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "profiles" / "other.toml").write_text(FILES["profiles/fast.toml"])
    _, problems = read(tmp_path)
    assert problems == [
        f"profiles/other.toml line 1, name: fast is the name of {tmp_path.name}/profiles/fast.toml already."
    ]


def test_what_the_engine_names_is_found_in_the_files(tmp_path: Path) -> None:
    change, _ = read(write(tmp_path))
    network = tmp_path.name

    def found(path: str) -> tuple[Where, str] | None:
        return where_in_files(path, change.places)

    assert found("network.lanes[0].days") == (Where(f"{network}/lanes.csv", 2), "days")
    assert found("network.carriers[0].zones[1].ship_rates[1].base_micros") == (
        Where(f"{network}/rates.csv", 4),
        "base_micros",
    )
    assert found("network.carriers[0].calendar") == (Where(f"{network}/network.toml", 9, "carriers.post"), "calendar")
    assert found("locations[1].cut_off") == (Where(f"{network}/locations.csv", 3), "cut_off")
    assert found("nothing.of[3].these") is None


def test_every_field_of_a_location_is_a_column() -> None:
    from engine.load.network import CATALOG_FIELDS, ROUTING_FIELDS  # noqa: PLC0415 - one test's
    from engine.load.schema import ROUTED_LOCATIONS  # noqa: PLC0415 - likewise

    message: type[Message] = messages.LocationRouting
    fields = {field.name for field in message.DESCRIPTOR.fields} - {"location_id"}
    assert set(ROUTING_FIELDS.values()) == fields
    assert {*ROUTING_FIELDS, *CATALOG_FIELDS, "location_id", "groups"} == ROUTED_LOCATIONS.columns.keys()
