"""Reading files for `onhand load`: every message names file, line and column, what was expected and what it was."""

import asyncio
from pathlib import Path

import pytest
from onhand.inventory.v1 import catalog_pb2
from rich.console import Console

from engine.load import (
    NOT_GIVEN,
    PROBLEMS_SHOWN_MAX,
    CatalogFile,
    LoadError,
    Problems,
    _chunks,
    load_files,
    name_line,
    new_request_id,
    read_levels,
    read_locations,
    read_skus,
    refuse_unknown,
)

READERS = {"locations.csv": read_locations, "skus.csv": read_skus, "levels.csv": read_levels}
LEVELS = "sku_id,location_id,on_hand\n"
SKUS = "sku_id,base_unit\n"
LOCATIONS = "location_id,kind\n"


def read(folder: Path, name: str, content: str | bytes):
    """Read a file; gives what was read and the problems found."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    problems = Problems()
    return READERS[name](path, problems), problems.shown


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
    file, problems = read(tmp_path, "locations.csv", text)
    assert problems == []
    assert file.items == [
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
    assert file.lines == [2]


def test_optional_columns_may_be_missing_or_empty(tmp_path):
    expected = [
        catalog_pb2.Location(location_id="S-1", kind=catalog_pb2.LOCATION_KIND_STORE, active=True),
    ]
    assert read(tmp_path, "locations.csv", LOCATIONS + "S-1,store\n")[0].items == expected
    text = "location_id,kind,latitude,capabilities,active,location_groups\nS-1,store,,,,\n"
    assert read(tmp_path, "locations.csv", text)[0].items == expected


def test_a_sku_with_all_columns_in_another_order(tmp_path):
    text = "base_unit,sku_id,weight_milligrams,restrictions,display_name\ngram,SKU-1,1000,hazmat|age-18,Käse\n"
    file, problems = read(tmp_path, "skus.csv", text)
    assert problems == []
    assert file.items == [
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


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfsku_id,location_id,on_hand\nA,S-1,5\n",
        b"sku_id,location_id,on_hand\r\nA,S-1,5\r\n",
        b"sku_id,location_id,on_hand\nA,S-1,5",
        b'"sku_id","location_id","on_hand"\n\n"A","S-1","5"\n\n',
    ],
    ids=["byte order mark", "CRLF", "no last line end", "quotes and empty lines"],
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


@pytest.mark.parametrize("text", ["12.5", "12.0", "-1", "+1", " 1", "1_000", "2147483648", "x", "", "٣", "9" * 5000])
def test_quantities_are_plain_integers(tmp_path, text):
    _, problems = read(tmp_path, "levels.csv", f"{LEVELS}A,S-1,1\nB,S-1,{text}\n")
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
            'column weight_milligrams: expected an integer from 0 to 1000000000000, was "1.5"',
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
            "location_id,kind,latitude\n",
            "S-1,store,90.5",
            'column latitude: expected a number from -90 to 90, was "90.5"',
        ),
        (
            "locations.csv",
            "location_id,kind,longitude\n",
            "S-1,store,nan",
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
            f'column display_name: expected at most 256 bytes of UTF-8, was "{"x" * 257}"',
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
            "column onhand: not a known column; known are sku_id, location_id, on_hand, safety_stock, backorder_limit.",
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
    assert problems == ["levels.csv line 3: expected UTF-8, was the byte 0xff."]


def test_a_missing_file_is_named(tmp_path):
    problems = Problems()
    read_skus(tmp_path / "skus.csv", problems)
    assert problems.shown == [f"{tmp_path}/skus.csv: cannot be read: No such file or directory."]


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
# The command, as far as it gets without an engine.


def load(**files: Path | None):
    paths = {"locations": None, "skus": None, "levels": None, **files}
    return asyncio.run(load_files("127.0.0.1:1", **paths, console=Console(quiet=True), progress=False))


def test_all_files_are_checked_before_the_engine_is_asked(tmp_path):
    (tmp_path / "skus.csv").write_text(f"{SKUS}A,\n")
    (tmp_path / "levels.csv").write_text(f"{LEVELS}A,S-1,x\n")
    with pytest.raises(LoadError) as refused:
        load(skus=tmp_path / "skus.csv", levels=tmp_path / "levels.csv")
    assert str(refused.value).split("\n") == [
        'skus.csv line 2, column base_unit: expected 1 to 32 bytes of UTF-8, was "".',
        f'levels.csv line 2, column on_hand: {INTEGER}, was "x".',
        "Nothing was loaded.",
    ]


def test_the_first_problems_are_shown_and_the_others_counted(tmp_path):
    (tmp_path / "levels.csv").write_text(LEVELS + "".join(f"A{row},S-1,x\n" for row in range(30)))
    with pytest.raises(LoadError) as refused:
        load(levels=tmp_path / "levels.csv")
    lines = str(refused.value).split("\n")
    assert len(lines) == PROBLEMS_SHOWN_MAX + 2
    assert lines[-2:] == ["… and 10 more.", "Nothing was loaded."]


def test_no_file_at_all_is_refused():
    with pytest.raises(LoadError, match="Nothing to load: give a file of locations, skus or levels"):
        load()


def test_levels_of_unknown_skus_and_locations_are_named(tmp_path):
    file, _ = read(tmp_path, "levels.csv", f"{LEVELS}A,S,1\nB,T,1\nB,S,1\n")
    problems = Problems()
    refuse_unknown(file, "sku", {"A"}, problems)
    refuse_unknown(file, "location", {"S"}, problems)
    assert problems.shown == [
        'levels.csv line 3, column sku_id: expected a sku of the files or of the engine, was "B".',
        'levels.csv line 4, column sku_id: expected a sku of the files or of the engine, was "B".',
        'levels.csv line 3, column location_id: expected a location of the files or of the engine, was "T".',
    ]


@pytest.mark.parametrize(
    ("details", "text"),
    [
        ('skus[1].base_unit: expected "each".', 'skus.csv line 30, column base_unit: expected "each".'),
        ("skus[0]: SKU-1 never changes its unit.", "skus.csv line 20: SKU-1 never changes its unit."),
        ("Draining.", "skus.csv: the engine says: Draining."),
        ("skus[7].base_unit: no.", "skus.csv: the engine says: skus[7].base_unit: no."),
    ],
)
def test_what_the_engine_refuses_is_named_by_line(details, text):
    file = CatalogFile("skus.csv", [None] * 3, [10, 20, 30])
    assert name_line(file, 1, details) == text


def test_chunks_keep_to_count_and_bytes():
    small = [catalog_pb2.Sku(sku_id=str(number), base_unit="each") for number in range(8_193)]
    assert [(start, len(chunk)) for start, chunk in _chunks(small)] == [(0, 8_192), (8_192, 1)]
    large = [catalog_pb2.Sku(sku_id=str(number), restrictions=["x" * 1_000]) for number in range(5_000)]
    chunks = list(_chunks(large))
    assert sum(len(chunk) for _, chunk in chunks) == 5_000
    assert [start for start, _ in chunks] == [0, len(chunks[0][1])]
    assert all(sum(item.ByteSize() for item in chunk) < 4 * 1024 * 1024 for _, chunk in chunks)
    assert list(_chunks([])) == []


def test_request_ids_are_uuids_of_version_7_in_time_order():
    ids = [new_request_id() for _ in range(1_000)]
    assert ids == sorted(set(ids))
    assert {identifier[14] for identifier in ids} == {"7"}
