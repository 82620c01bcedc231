"""Commands' tables on a screen of 80 columns: what they show stands whole, and warnings stand first."""

import itertools
import os
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from engines import run_forked
from harness import Client
from onhand.admin.v1 import admin_service_pb2 as admin
from rich.console import Console

from engine.measures import exact_bytes, seconds_of, shown_bytes, shown_seconds
from engine.operate.limits import inspect_limits
from engine.operate.status import SECTIONS, status_as_read
from engine.operate.tables import TEXT_WIDTH_MIN, table_of_many, table_of_one
from engine.operate.terminal import as_dict

WIDTH = 80


def lines_of(table: Any, width: int = WIDTH) -> list[str]:
    file = StringIO()
    Console(file=file, width=width).print(table)
    return file.getvalue().splitlines()


def shown_by(engine: Any, *words: str) -> list[str]:
    environment = {**os.environ, "COLUMNS": str(WIDTH)}
    run = run_forked([*words, "--table", "--address", engine.address], environment)
    assert (run.returncode, run.stderr) == (0, "")
    lines = run.stdout.splitlines()
    assert max(map(len, lines)) <= WIDTH
    return lines


def test_the_status_has_its_warnings_first_and_all_else_by_what_it_is_about_with_units():
    status = as_dict(
        admin.GetStatusResponse(
            version="1",
            role=admin.ROLE_PRIMARY,
            warnings=["the disk is nearly full: expected more room than that for the next snapshot"],
            standbys=[admin.Standby(address="engine-2:50051", lag=1_234)],
            journal_server_used_bytes=3 * 1024**3 // 2,
            request_window_seconds=5_400,
            seq_durable=12_345_678,
            snapshot_bytes=2_048,
        )
    )
    status["start_time"] = "2026-11-27T10:00:00Z"
    lines = lines_of(table_of_one(status_as_read(status, datetime(2026, 11, 27, 11, 30, tzinfo=UTC)), "OnHand"))
    assert max(map(len, lines)) <= WIDTH
    cells = {line.split("│")[1].strip(): line.split("│")[2].strip() for line in lines if line.count("│") == 3}
    assert lines[2].startswith("│ warnings ")
    assert (cells["role"], cells["standbys"]) == ("primary", "engine-2:50051, 1,234 behind")
    assert (cells["journal_server_used_bytes"], cells["journal_server_limit_bytes"]) == ("1.5GiB", "none")
    assert (cells["request_window_seconds"], cells["snapshot_bytes"]) == ("1h30m", "2.0KiB")
    assert cells["seq_durable"] == "12,345,678"
    assert cells["start_time"] == "2026-11-27 10:00:00 UTC, 1h30m ago"


def test_every_field_of_the_status_is_shown_once():
    named = [*itertools.chain.from_iterable(SECTIONS), "warnings"]
    assert len(named) == len(set(named))
    assert set(named) <= {field.name for field in admin.GetStatusResponse.DESCRIPTOR.fields}
    status = as_dict(admin.GetStatusResponse(version="1"))
    shown = list(itertools.chain.from_iterable(status_as_read(status, datetime.now(UTC))))
    assert sorted(shown) == sorted(
        name for name, value in status.items() if value not in ("", []) or name == "warnings"
    )


def test_movements_stand_on_a_screen_in_words(engine, client: Client):
    client.sku("SKU-1234")
    client.location("STORE-12")
    client.move("RECEIVE", "SKU-1234", "STORE-12", 1_200, reference="truck 7", actor="Kim")
    held = client.reserve(("SKU-1234", "STORE-12", 2)).reservation_id
    lines = shown_by(engine, "history", "--sku", client.name("SKU-1234"))
    widths = [len(cell) - 2 for cell in lines[2].strip("┃").split("┃")]
    assert len(widths) == 4
    assert min(widths[2:]) >= TEXT_WIDTH_MIN
    columns = ["".join(line.split("│")[place].strip() + " " for line in lines if "│" in line) for place in (3, 4)]
    assert "RECEIVE 1,200 of" in columns[0]
    assert "RESERVE 2 of" in columns[0]
    assert "reference truck 7, actor Kim" in columns[1]
    assert held in columns[1]


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_words_stay_whole_on_any_screen(width):
    rows = inspect_limits()
    lines = lines_of(table_of_many(rows, "Limits", width), width)
    assert max(map(len, lines)) <= width
    shown = set(" ".join(lines).replace("│", " ").split())
    assert {word for row in rows for value in row.values() for word in str(value).split()} <= shown


@pytest.mark.parametrize("words", [("status",), ("verify",)])
def test_tables_of_an_engine_fit(engine, words):
    lines = shown_by(engine, *words)
    assert not [line for line in lines if "…" in line]


def test_what_has_too_many_columns_stands_one_below_the_other():
    rows = [{f"column_{number}": f"a text of some length {number}" for number in range(8)} | {"empty": ""}] * 2
    lines = lines_of(table_of_many(rows, "Things", WIDTH))
    assert sum("a text of some length 7" in line for line in lines) == 2
    assert not [line for line in lines if "empty" in line]
    wide = lines_of(table_of_many(rows, "Things", 400), 400)
    assert sum("a text of some length 7" in line for line in wide) == 2
    assert len(wide) < len(lines)
    assert "nothing" in "".join(lines_of(table_of_many([], "Things", WIDTH)))


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0"), (0.25, "250ms"), (3.04, "3s"), (900, "15m"), (5_400.4, "1h30m"), (93_784, "1d2h3m4s")],
)
def test_times_are_shown_as_they_may_be_written(seconds, shown):
    assert shown_seconds(seconds) == shown
    assert float(seconds_of(shown)) == pytest.approx(seconds, rel=0.02)


@pytest.mark.parametrize(
    ("count", "shown", "exact"),
    [
        (512, "512B", "512B"),
        (1024**3, "1.0GiB", "1GiB"),
        (3 * 2**29, "1.5GiB", "1.5GiB"),
        (10**9, "953.7MiB", "1000000000"),
    ],
)
def test_sizes_are_shown_short_or_exactly(count, shown, exact):
    assert (shown_bytes(count), exact_bytes(count)) == (shown, exact)
