"""What goes with reading files for `onhand load`: refusals by line, the example, chunks, the docs."""

import re

import grpc
import pytest
from docs_tables import DOCUMENTED, LOAD, documented, with_tables
from onhand.inventory.v1 import catalog_pb2

from engine.load.catalog import Change, refuse_unknown
from engine.load.command import _note_refusal
from engine.load.example import FILES, write_example
from engine.load.problems import LoadError, Problems, Where
from engine.load.sending import ChunkRefusedError, _chunks, new_request_id
from load_files.harness import LEVELS, read


def test_levels_of_unknown_skus_and_locations_are_named(tmp_path):
    file, _ = read(tmp_path, "levels.csv", f"{LEVELS}A,S,1\nB,T,1\nB,S,1\n")
    problems = Problems()
    refuse_unknown(file, "sku", {"A"}, problems)
    refuse_unknown(file, "location", {"S"}, problems)
    assert problems.lines() == [
        'levels.csv line 3, column sku_id: expected a sku of the files or of the engine, was "B".',
        'levels.csv line 3, column location_id: expected a location of the files or of the engine, was "T".',
        'levels.csv line 4, column sku_id: expected a sku of the files or of the engine, was "B".',
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
    changes = [Change(Where("skus.csv", line), catalog_pb2.Sku(), ()) for line in (10, 20, 30)]
    error = grpc.aio.AioRpcError(grpc.StatusCode.INVALID_ARGUMENT, grpc.aio.Metadata(), grpc.aio.Metadata(), details)
    problems = Problems()
    _note_refusal(changes, ChunkRefusedError(1, error), problems)
    assert problems.lines() == [text]


def test_the_example_is_written_once_and_has_nothing_wrong(tmp_path):
    told = write_example(tmp_path / "shop")
    assert set(re.findall(r"--(\w+)", told)) == {"locations", "skus", "levels", "network"}
    assert {str(path.relative_to(tmp_path / "shop")) for path in (tmp_path / "shop").rglob("*.*")} == FILES.keys()
    with pytest.raises(LoadError, match=r"locations.csv: is there already; give a new folder"):
        write_example(tmp_path / "shop")


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


# ---------------------------------------------------------------------------------------------------------------------
# The docs.


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_docs_list_every_column_of_every_file(name):
    """Where this fails: `python -m tests.docs_tables`."""
    assert documented(name) in LOAD.read_text()


def test_the_tables_of_the_docs_are_written_as_they_are():
    assert with_tables(LOAD.read_text()) == LOAD.read_text()
