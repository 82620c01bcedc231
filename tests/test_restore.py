"""Backup and restore: of an engine that runs, of one whose journal server's disk is lost, of a machine that is lost."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from engines import ForkedEngine
from harness import Client, Refused
from onhand.client import Client as ShopClient
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from test_operate import Run, onhand

from ledger import archive
from ledger.archive import SUFFIX
from ledger.restore import SEQS_SKIPPED
from ledger.snapshot import snapshots

UNITS = 50


@contextmanager
def serving(folder: Path, *flags: str) -> Iterator[Client]:
    with (
        ForkedEngine(["--port", "0", "--data-folder", str(folder), *flags], log_file=folder.parent / "log") as engine,
        Client(engine.address) as client,
    ):
        yield client


def open_shop(client: Client) -> None:
    client.sku("A")
    client.location("X")
    client.receive("A", "X", UNITS)


def checkpoint(client: Client) -> None:
    told(onhand("checkpoint", "--address", client.address, "--json"))


def lose_journal(folder: Path) -> None:
    shutil.rmtree(folder / "appendonlydir")
    for path in folder.glob("*.rdb"):
        path.unlink()


def told(run: Run) -> dict[str, object]:
    assert run.code == 0, run.errors
    return run.shown


def test_a_backup_of_a_running_engine_is_served_elsewhere_with_all_that_was_acknowledged(tmp_path):
    running, kept = tmp_path / "running", tmp_path / "kept"
    with serving(running) as client:
        open_shop(client)
        made = [client.reserve(("A", "X", 1)).reservation_id for _ in range(5)]
        checkpoint(client)
        made += [client.reserve(("A", "X", 1)).reservation_id for _ in range(5)]
        first = told(onhand("backup", kept, "--folder", running, "--json"))
        made += [client.reserve(("A", "X", 1)).reservation_id for _ in range(5)]
        again = told(onhand("backup", kept, "--folder", running, "--json"))
        assert first["verified"] is again["verified"] is True
        assert (first["seq"] + 5, 5) == (again["seq"], again["added_entries"])
        lost = client.reserve(("A", "X", 1)).reservation_id
    restored = told(onhand("restore", "--folder", kept, "--json"))
    assert restored["restored_seq"] == again["seq"]
    assert restored["next_seq"] == again["seq"] + SEQS_SKIPPED + 2
    assert restored["epoch"] == 2
    with serving(kept) as client:
        assert client.get(made[-1]).reservation_id == made[-1]
        assert client.available("A", ["X"]) == UNITS - len(made)
        with pytest.raises(Refused, match="NOT_FOUND"):
            client.get(lost)
        new = client.reserve(("A", "X", 1))
        assert new.reservation_id != lost, "whoever was told the lost id would come upon this hold"
        assert new.seq == restored["next_seq"]
        assert client.verify().ok


def test_a_lost_journal_is_begun_anew_from_what_the_engine_keeps(tmp_path):
    folder = tmp_path / "data"
    with serving(folder) as client:
        open_shop(client)
        made = client.reserve(("A", "X", 3)).reservation_id
        checkpoint(client)
    lose_journal(folder)
    restored = told(onhand("restore", "--folder", folder, "--json"))
    with serving(folder) as client:
        assert client.get(made).reservation_id == made
        client.commit(made)
        assert client.verify().ok
        # the next checkpoint archives on from where the journal began anew
        checkpoint(client)
        assert client.status().archived_seq >= restored["next_seq"]
    assert told(onhand("verify", "--folder", folder, "--json"))["ok"]


def test_history_says_where_it_begins_and_what_is_missing(tmp_path):
    folder = tmp_path / "data"
    with serving(folder) as client:
        open_shop(client)
        for _ in range(3):
            client.receive("A", "X", 1)
        checkpoint(client)
    (segment,) = (folder / "history").glob(f"*{SUFFIX}")
    entries = archive._read_segment(segment)
    segment.unlink()
    archive._write_segment(folder / "history", entries[1:3], entries[0][0] + 1, 1)
    archive._write_segment(folder / "history", entries[5:], entries[4][0] + 1, 1)
    lose_journal(folder)
    told(onhand("restore", "--folder", folder, "--json"))
    with serving(folder) as client:
        response = client.call(client.inventory.ListMovements, inventory.ListMovementsRequest())
        first_seq = entries[0][0] + 1
        assert response.first_seq == first_seq
        missing = [(gap.first_seq, gap.last_seq) for gap in response.missing]
        assert missing[0] == (entries[2][0] + 1, entries[4][0])
        with ShopClient(client.address) as other:
            kept = other.kept_history()
        assert (kept.first_seq, list(kept.missing), kept.seq) == (first_seq, missing, response.seq)
        starts = (first_seq, missing[-1][1], missing[-1][1] + 1)
        assert [kept.has(start) for start in starts] == [False, False, True]
        run = onhand("history", "--address", client.address, "--json")
        with pytest.raises(Refused, match="older movements are not kept"):
            client.movements(start_seq=1)
    offline = onhand("history", "--folder", folder, "--json")
    for told_by in (run, offline):
        assert f"history: begins at seq {first_seq}" in told_by.errors
        assert f"history: seq {missing[0][0]} to {missing[0][1]} are not kept here" in told_by.errors
        assert [row["seq"] for row in told_by.shown] == [row["seq"] for row in run.shown]
    assert run.shown


def test_a_restore_writes_nothing_over(tmp_path):
    folder = tmp_path / "data"
    with serving(folder) as client:
        open_shop(client)
        checkpoint(client)
        while_it_serves = onhand("restore", "--folder", folder)
    after = onhand("restore", "--folder", folder)
    for run in (while_it_serves, after):
        assert run.code == 1
        assert "expected it to be empty, it has entries up to seq 3. A restore writes nothing over" in run.errors


def test_nothing_to_restore_from_is_said(tmp_path):
    (tmp_path / "empty").mkdir()
    run = onhand("restore", "--folder", tmp_path / "empty")
    assert run.code == 1
    assert "expected a snapshot, or an archive from the first write on: There is no snapshot." in run.errors


def test_a_damaged_snapshot_is_passed_over_and_said(tmp_path):
    folder = tmp_path / "data"
    with serving(folder) as client:
        open_shop(client)
        checkpoint(client)
        made = client.reserve(("A", "X", 3)).reservation_id
        checkpoint(client)
    lose_journal(folder)
    newest = snapshots(folder / "snapshots")[0]
    newest.write_bytes(newest.read_bytes()[:-100])
    run = onhand("restore", "--folder", folder, "--json")
    assert run.code == 0
    assert newest.name in run.errors
    with serving(folder) as client:
        assert client.get(made).reservation_id == made


def test_entries_after_a_gap_are_set_aside_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "SEGMENT_US", 0)
    folder, kept = tmp_path / "data", tmp_path / "kept"
    with serving(folder) as client:
        open_shop(client)
        told(onhand("backup", kept, "--folder", folder, "--json"))
        for _ in range(2):
            client.receive("A", "X", 1)
            told(onhand("backup", kept, "--folder", folder, "--json"))
    segments = sorted((kept / "history").glob(f"*{SUFFIX}"))
    segments[1].unlink()
    run = onhand("restore", "--folder", kept, "--json")
    assert run.code == 0
    assert json.loads(run.text)["restored_seq"] == 3
    assert "the archive goes on after a gap, up to seq 5" in run.errors
    assert len(list((kept / "history" / "beyond-3").iterdir())) == 1
