"""Reading files for `onhand load`: every message names file, line and column, what was expected and what it was."""

import asyncio
import gzip
from pathlib import Path

import pytest
from onhand.inventory.v1 import catalog_pb2
from rich.console import Console

from engine.load.catalog import Before, read_table, refuse_contradictions
from engine.load.command import load
from engine.load.example import write_example
from engine.load.network import read_folder
from engine.load.plan import Paths
from engine.load.problems import PROBLEMS_SHOWN_MAX, LoadError, Problems, Where
from engine.load.schema import SKUS as SKU_TABLE
from engine.load.sending import NOT_GIVEN
from load_files.harness import LEVELS, items, read

SKUS = "sku_id,base_unit\n"


LOCATIONS = "location_id,kind\n"


def level_rows(file) -> list[tuple[str, str, int, int, int]]:
    columns = file.columns
    return [
        (columns.sku_ids[sku], columns.location_ids[location], on_hand, safety_stock, backorder_limit)
        for sku, location, on_hand, safety_stock, backorder_limit in zip(
            columns.sku.tolist(),
            columns.location.tolist(),
            columns.on_hand.tolist(),
            columns.safety_stock.tolist(),
            columns.backorder_limit.tolist(),
            strict=True,
        )
    ]


# ---------------------------------------------------------------------------------------------------------------------
# Good files.


def test_a_location_with_all_columns(tmp_path):
    text = (
        "location_id,kind,display_name,latitude,longitude,time_zone,capabilities,active,location_groups\n"
        'DC-1,warehouse,"Berlin, north",52.5,13.4,Europe/Berlin,ship|returns,false,eu|de\n'
    )
    changes, problems = read(tmp_path, "locations.csv", text)
    assert problems == []
    assert items(changes) == [
        catalog_pb2.Location(
            location_id="DC-1",
            kind=catalog_pb2.LOCATION_KIND_WAREHOUSE,
            display_name="Berlin, north",
            latitude=52.5,
            longitude=13.4,
            time_zone="Europe/Berlin",
            capabilities=[catalog_pb2.LOCATION_CAPABILITY_SHIP, catalog_pb2.LOCATION_CAPABILITY_RETURNS],
            active=False,
            location_groups=["eu", "de"],
        )
    ]
    assert changes[0].where == Where("locations.csv", 2)


def test_optional_columns_may_be_missing_or_empty(tmp_path):
    expected = [
        catalog_pb2.Location(location_id="S-1", kind=catalog_pb2.LOCATION_KIND_STORE, active=True),
    ]
    assert items(read(tmp_path, "locations.csv", LOCATIONS + "S-1,store\n")[0]) == expected
    text = "location_id,kind,latitude,capabilities,active,location_groups\nS-1,store,,,,\n"
    assert items(read(tmp_path, "locations.csv", text)[0]) == expected


def test_a_sku_with_all_columns_in_another_order(tmp_path):
    text = "base_unit,sku_id,weight_milligrams,restrictions,display_name\ngram,SKU-1,1000,hazmat|age-18,Käse\n"
    changes, problems = read(tmp_path, "skus.csv", text)
    assert problems == []
    assert items(changes) == [
        catalog_pb2.Sku(
            sku_id="SKU-1",
            display_name="Käse",
            base_unit="gram",
            weight_milligrams=1000,
            restrictions=["hazmat", "age-18"],
        )
    ]


def test_levels_say_only_what_the_file_says(tmp_path):
    text = "sku_id,location_id,on_hand,safety_stock,backorder_limit\nA,S-1,5,,\nA,S-2,0,2,\nB,S-1,2147483647,,0\n"
    file, problems = read(tmp_path, "levels.csv", text)
    assert problems == []
    assert level_rows(file) == [
        ("A", "S-1", 5, NOT_GIVEN, NOT_GIVEN),
        ("A", "S-2", 0, 2, NOT_GIVEN),
        ("B", "S-1", 2147483647, NOT_GIVEN, 0),
    ]
    assert file.columns.with_policy().tolist() == [1, 2]


PLAIN = 'sku_id,location_id,on_hand\n"A",S-1,5\n'


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        PLAIN.encode("utf-16-be").join([b"\xfe\xff", b""]),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\r").encode(),
        PLAIN.rstrip().encode(),
        PLAIN.replace(",", ";").encode(),
        PLAIN.replace(",", "\t").encode(),
        PLAIN.replace(",", "|").encode(),
        ("sep=;\r\n" + PLAIN.replace(",", ";")).encode(),
        ("sep=\t\r\n" + PLAIN.replace(",", "\t")).encode(),
        b'"sku_id","location_id","on_hand"\n\n"A","S-1","5"\n\n',
        gzip.compress(PLAIN.encode()),
        gzip.compress(PLAIN.replace(",", ";").encode("utf-16")),
    ],
    ids=[
        "byte order mark",
        "UTF-16",
        "UTF-16 big endian",
        "CRLF",
        "CR",
        "no last line end",
        "semicolons",
        "tabs",
        "bars",
        "a line for a spreadsheet",
        "a line for a spreadsheet with tabs",
        "quotes and empty lines",
        "gzip",
        "gzip of UTF-16 with semicolons",
    ],
)
def test_what_editors_do_to_files_is_tolerated(tmp_path, content):
    file, problems = read(tmp_path, "levels.csv", content)
    assert problems == []
    assert level_rows(file) == [("A", "S-1", 5, NOT_GIVEN, NOT_GIVEN)]


def test_a_file_with_only_a_header_is_empty_and_good(tmp_path):
    file, problems = read(tmp_path, "levels.csv", LEVELS)
    assert problems == []
    assert len(file.columns) == 0


# ---------------------------------------------------------------------------------------------------------------------
# Fields.

INTEGER = "expected an integer from 0 to 2147483647"


CAPABILITIES = 'expected ship, pickup and returns, each at most once, separated by "|"'


WORDS = 'different words of 1 to 64 bytes of UTF-8, separated by "|"'


@pytest.mark.parametrize(
    "text", ["12.5", "12.0", "-1", "+1", "1_000", "2147483648", "x", "", "٣", "\uff11\uff12", "9" * 99, "1,0", "-"]
)
def test_quantities_are_plain_integers(tmp_path, text):
    _, problems = read(tmp_path, "levels.csv", f'{LEVELS}A,S-1,1\nB,S-1,"{text}"\n')
    assert problems == [f'levels.csv line 3, column on_hand: {INTEGER}, was "{text}".']


@pytest.mark.parametrize("column", ["safety_stock", "backorder_limit"])
def test_policies_are_plain_integers(tmp_path, column):
    _, problems = read(tmp_path, "levels.csv", f"sku_id,location_id,on_hand,{column}\nA,S-1,1,2.5\n")
    assert problems == [f'levels.csv line 2, column {column}: {INTEGER}, was "2.5".']


@pytest.mark.parametrize(
    ("name", "header", "row", "problem"),
    [
        ("levels.csv", LEVELS, ",S-1,1", 'column sku_id: expected 1 to 64 bytes of UTF-8, was ""'),
        (
            "levels.csv",
            LEVELS,
            f"A,{'ä' * 33},1",
            f'column location_id: expected 1 to 64 bytes of UTF-8, was "{"ä" * 33}"',
        ),
        ("skus.csv", SKUS, "A,", 'column base_unit: expected 1 to 32 bytes of UTF-8, was ""'),
        (
            "skus.csv",
            "sku_id,base_unit,weight_milligrams\n",
            "A,each,1.5",
            'column weight_milligrams: expected an integer from 0 to 10000000000, was "1.5"',
        ),
        (
            "skus.csv",
            "sku_id,base_unit,restrictions\n",
            "A,each,age-18|age-18",
            f'column restrictions: expected at most 16 {WORDS}, was "age-18|age-18"',
        ),
        ("locations.csv", LOCATIONS, "S-1,shop", 'column kind: expected store, warehouse or vendor, was "shop"'),
        ("locations.csv", LOCATIONS, "S-1,", 'column kind: expected store, warehouse or vendor, was ""'),
        (
            "locations.csv",
            "location_id,kind,longitude,latitude\n",
            "S-1,store,1,90.5",
            'column latitude: expected a number from -90 to 90, was "90.5"',
        ),
        (
            "locations.csv",
            "location_id,kind,latitude,longitude\n",
            "S-1,store,1,nan",
            'column longitude: expected a number from -180 to 180, was "nan"',
        ),
        (
            "locations.csv",
            "location_id,kind,capabilities\n",
            "S-1,store,ship|fly",
            f'column capabilities: {CAPABILITIES}, was "ship|fly"',
        ),
        (
            "locations.csv",
            "location_id,kind,capabilities\n",
            "S-1,store,ship|ship",
            f'column capabilities: {CAPABILITIES}, was "ship|ship"',
        ),
        (
            "locations.csv",
            "location_id,kind,active\n",
            "S-1,store,yes",
            'column active: expected true or false, was "yes"',
        ),
        (
            "locations.csv",
            "location_id,kind,display_name\n",
            f"S-1,store,{'x' * 257}",
            f'column display_name: expected at most 256 bytes of UTF-8, was "{"x" * 100}…"',
        ),
        (
            "locations.csv",
            "location_id,kind,location_groups\n",
            "S-1,store,eu||de",
            f'column location_groups: expected at most 64 {WORDS}, was "eu||de"',
        ),
    ],
)
def test_a_bad_field_is_named(tmp_path, name, header, row, problem):
    _, problems = read(tmp_path, name, f"{header}{row}\n")
    assert problems == [f"{name} line 2, {problem}."]


def test_all_bad_fields_of_a_row_are_named(tmp_path):
    _, problems = read(tmp_path, "levels.csv", f"{LEVELS},S-1,x\n")
    assert problems == [
        'levels.csv line 2, column sku_id: expected 1 to 64 bytes of UTF-8, was "".',
        f'levels.csv line 2, column on_hand: {INTEGER}, was "x".',
    ]


def test_lines_are_those_of_an_editor_also_behind_a_field_of_two_lines(tmp_path):
    text = 'sku_id,base_unit,display_name\nA,each,"two\nlines"\nB,,x\n'
    _, problems = read(tmp_path, "skus.csv", text)
    assert problems == ['skus.csv line 4, column base_unit: expected 1 to 32 bytes of UTF-8, was "".']


# ---------------------------------------------------------------------------------------------------------------------
# Files.


ON_HAND = 'did you mean "on_hand"? Known are sku_id, location_id, on_hand, safety_stock, backorder_limit.'


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (
            "sku_id,location_id,on_hand,reserved",
            "column reserved: not a column that can be loaded; it follows from reservations.",
        ),
        (
            "sku_id,location_id,on_hand,committed",
            "column committed: not a column that can be loaded; it follows from commitments.",
        ),
        (
            "sku_id,location_id,on_hand,onhand",
            f"column onhand: not a known column; {ON_HAND}",
        ),
        ("sku_id,location_id,on_hand,on_hand", "column on_hand: this column is there twice."),
    ],
)
def test_a_column_that_cannot_be_loaded_is_refused_by_name(tmp_path, header, problem):
    _, problems = read(tmp_path, "levels.csv", f"{header}\nA,S-1,1,1\n")
    assert problems == [f"levels.csv line 1, {problem}"]


def test_missing_columns_are_named(tmp_path):
    _, problems = read(tmp_path, "levels.csv", "sku_id\nA\n")
    assert problems == [
        "levels.csv line 1: the column location_id is missing.",
        "levels.csv line 1: the column on_hand is missing.",
    ]


@pytest.mark.parametrize("row", ["A,S-1", "A,S-1,1,2"])
def test_a_row_of_another_length_is_refused(tmp_path, row):
    _, problems = read(tmp_path, "levels.csv", f"{LEVELS}{row}\n")
    assert problems == [f"levels.csv line 2: expected 3 fields, was {row.count(',') + 1}."]


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file_is_refused(tmp_path, content):
    _, problems = read(tmp_path, "levels.csv", content)
    assert problems == ["levels.csv: expected a header row, was empty."]


def test_a_broken_quote_is_named_by_line(tmp_path):
    _, problems = read(tmp_path, "levels.csv", f'{LEVELS}A,S-1,1\n"B"x,S-1,1\n')
    assert len(problems) == 1
    assert problems[0].startswith("levels.csv line 3: expected comma-separated fields, was not readable:")


def test_invalid_utf8_is_named_by_line(tmp_path):
    _, problems = read(tmp_path, "levels.csv", b"\xef\xbb\xbfsku_id,location_id,on_hand\nA,S-1,1\nB\xff,S-1,1\n")
    assert problems == ["levels.csv line 3: expected UTF-8, was the byte 0xff; save it as UTF-8."]


def test_a_missing_file_is_named(tmp_path):
    problems = Problems()
    read_table(tmp_path / "skus.csv", "skus.csv", SKU_TABLE, problems)
    assert problems.lines() == [f"{tmp_path}/skus.csv: cannot be read: No such file or directory."]


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("skus.csv", f"{SKUS}A,each\nB,each\nA,gram\n", "skus.csv line 4: A is on line 2 already."),
        ("locations.csv", f"{LOCATIONS}S,store\nS,store\n", "locations.csv line 3: S is on line 2 already."),
        ("levels.csv", f"{LEVELS}A,S,1\nA,T,1\nB,S,1\nA,T,1\n", "levels.csv line 5: A at T is on line 3 already."),
    ],
)
def test_a_repeated_key_names_both_lines(tmp_path, name, text, problem):
    assert read(tmp_path, name, text)[1] == [problem]


# ---------------------------------------------------------------------------------------------------------------------
# Identifiers that look like others, and what is no text.


LOOK_ALIKES = {
    "S ": r'no blank at either end, was "S "',
    " S": r'no blank at either end, was " S"',
    "S\u00a0": r'no blank at either end, was "S\u00a0"',
    "S\u200b": r'visible characters only, and no other blank than the plain one, was "S\u200b"',
    "S\ufeff1": r'visible characters only, and no other blank than the plain one, was "S\ufeff1"',
    "S\u00a01": r'visible characters only, and no other blank than the plain one, was "S\u00a01"',
    "S\t1": r'visible characters only, and no other blank than the plain one, was "S\u00091"',
    "Ka\u0308se": r'composed characters (Unicode NFC), was "Ka\u0308se"',
}


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_an_identifier_that_looks_like_another_is_refused_and_made_visible(tmp_path, name):
    for file, header, row, column in (
        ("levels.csv", LEVELS, f'"{name}",S-1,1', "sku_id"),
        ("skus.csv", SKUS, f'"{name}",each', "sku_id"),
        ("locations.csv", LOCATIONS, f'"{name}",store', "location_id"),
    ):
        _, problems = read(tmp_path, file, f"{header}{row}\n")
        assert problems == [f"{file} line 2, column {column}: expected {LOOK_ALIKES[name]}."]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"PK\x03\x04rest", ": expected text, was a zip file or a spreadsheet; save it as CSV in UTF-8."),
        (gzip.compress(b"sku_id")[:-9], ": expected a whole gzip file, was a damaged one:"),
        (b"\x1f\x8bnothing", ": expected a whole gzip file, was a damaged one:"),
        (b"\xff\xfes\0k", ": expected"),
        ("sku_id,base_unit".encode("utf-16-le"), " line 1: expected text, was a NUL character"),
        (b"sku_id,base_unit\nA,\0\n", " line 2: expected text, was a NUL character"),
        (b"sku_id,base_unit\n" + b"x" * 200_000 + b",each\n", " line 2: expected comma-separated fields"),
    ],
    ids=["spreadsheet", "half of gzip", "no gzip", "half of UTF-16", "UTF-16 without mark", "NUL", "a long field"],
)
def test_what_is_no_text_is_refused(tmp_path, content, problem):
    _, problems = read(tmp_path, "skus.csv", content)
    assert problems[0].startswith(f"skus.csv{problem}")


def test_a_folder_is_no_file(tmp_path):
    problems = Problems()
    read_table(tmp_path, "skus.csv", SKU_TABLE, problems)
    assert problems.lines() == [f"{tmp_path}: cannot be read: Is a directory."]


@pytest.mark.parametrize(
    ("name", "near"),
    [("onhand", "on_hand"), ("On_Hand", "on_hand"), (" on_hand", "on_hand"), ("safty_stock", "safety_stock")],
)
def test_an_unknown_column_is_told_with_the_nearest(tmp_path, name, near):
    _, problems = read(tmp_path, "levels.csv", f"sku_id,location_id,on_hand,{name}\nA,S,1,1\n")
    assert f'not a known column; did you mean "{near}"?' in problems[0]


def test_a_decimal_comma_is_told_with_the_way_out(tmp_path):
    _, problems = read(tmp_path, "locations.csv", "location_id;kind;latitude;longitude\nS;store;52,5;13.4\n")
    assert problems == ['locations.csv line 2, column latitude: expected a decimal point (52.5), was "52,5".']


def test_one_coordinate_alone_is_refused(tmp_path):
    _, problems = read(tmp_path, "locations.csv", "location_id,kind,latitude\nS,store,52.5\n")
    expected = "expected a value, since latitude is given, was empty; give both or none."
    assert problems == [f"locations.csv line 2, column longitude: {expected}"]


# ---------------------------------------------------------------------------------------------------------------------
# On top of what the engine has.

OLD = Before(
    locations={
        "S": catalog_pb2.Location(
            location_id="S",
            kind=catalog_pb2.LOCATION_KIND_STORE,
            latitude=52.5,
            longitude=13.4,
            time_zone="Europe/Berlin",
            capabilities=[catalog_pb2.LOCATION_CAPABILITY_SHIP],
            active=False,
            location_groups=["eu"],
            version=3,
        )
    },
    skus={"A": catalog_pb2.Sku(sku_id="A", base_unit="each", weight_milligrams=5, restrictions=["hazmat"], version=2)},
)


@pytest.mark.parametrize(
    "row", ["location_id,kind\nS,store\n", "location_id,kind,active,latitude,longitude\nS,store,,,\n"]
)
def test_absent_columns_and_empty_fields_leave_what_is_there(tmp_path, row):
    (change,), problems = read(tmp_path, "locations.csv", row, OLD)
    assert problems == []
    expected = catalog_pb2.Location()
    expected.CopyFrom(OLD.locations["S"])
    expected.ClearField("version")
    assert (change.item, change.given) == (expected, ("kind",))
    (change,), problems = read(tmp_path, "skus.csv", f"{SKUS}A,each\n", OLD)
    assert problems == []
    assert (change.item.weight_milligrams, change.item.restrictions) == (5, ["hazmat"])


def test_what_is_given_is_taken_and_a_dash_takes_away(tmp_path):
    text = "location_id,kind,active,location_groups,display_name\nS,store,true,-,Mitte\n"
    (change,), _ = read(tmp_path, "locations.csv", text, OLD)
    assert (change.item.active, change.item.location_groups, change.item.display_name) == (True, [], "Mitte")
    assert change.given == ("active", "display_name", "kind", "location_groups")
    (change,), _ = read(tmp_path, "skus.csv", "sku_id,base_unit,restrictions\nA,each,-\n", OLD)
    assert change.item.restrictions == []


def test_every_unit_that_changes_is_named(tmp_path):
    old = Before(skus={name: catalog_pb2.Sku(sku_id=name, base_unit="each") for name in "AB"})
    _, problems = read(tmp_path, "skus.csv", f"{SKUS}A,gram\nB,litre\n", old)
    assert problems == [
        'skus.csv line 2, column base_unit: expected "each", which never changes, was "gram".',
        'skus.csv line 3, column base_unit: expected "each", which never changes, was "litre".',
    ]


def test_two_files_that_contradict_each_other_are_refused(tmp_path):
    write_example(tmp_path)
    path = tmp_path / "network" / "skus.csv"
    path.write_text(path.read_text().replace("1450000", "1450001"))
    problems = Problems()
    skus = read_table(tmp_path / "skus.csv", "skus.csv", SKU_TABLE, problems)
    refuse_contradictions(skus, read_folder(tmp_path / "network", problems).skus, ["weight_milligrams"], problems)
    assert problems.lines() == [
        "network/skus.csv line 3, column weight_milligrams: expected 1450000 as in skus.csv line 5, was 1450001."
    ]


# ---------------------------------------------------------------------------------------------------------------------
# The command, as far as it gets without an engine.


def load_files(**files: Path | None):
    return asyncio.run(load("127.0.0.1:1", Paths(**files), Console(quiet=True), progress=False))


def test_all_files_are_checked_before_anything_is_written(tmp_path):
    (tmp_path / "skus.csv").write_text(f"{SKUS}A,\n")
    (tmp_path / "levels.csv").write_text(f"{LEVELS}A,S-1,x\n")
    with pytest.raises(LoadError) as refused:
        load_files(skus=tmp_path / "skus.csv", levels=tmp_path / "levels.csv")
    assert str(refused.value).split("\n") == [
        'skus.csv line 2, column base_unit: expected 1 to 32 bytes of UTF-8, was "".',
        f'levels.csv line 2, column on_hand: {INTEGER}, was "x".',
        "Nothing was loaded.",
    ]


def test_the_first_problems_of_a_file_are_shown_and_the_others_counted(tmp_path):
    (tmp_path / "levels.csv").write_text(LEVELS + "".join(f"A{row},S-1,x\n" for row in range(PROBLEMS_SHOWN_MAX + 10)))
    (tmp_path / "skus.csv").write_text(f"{SKUS}A,\n")
    with pytest.raises(LoadError) as refused:
        load_files(levels=tmp_path / "levels.csv", skus=tmp_path / "skus.csv")
    lines = str(refused.value).split("\n")
    assert len(lines) == 1 + PROBLEMS_SHOWN_MAX + 2
    assert lines[0].startswith("skus.csv line 2")
    assert lines[-2:] == ["levels.csv: … and 10 more.", "Nothing was loaded."]


def test_no_file_at_all_is_refused():
    with pytest.raises(LoadError, match="Nothing to load: give a file of locations, skus or levels"):
        load_files()
