"""Operators' commands on a real day: of its engine while it serves, then of the folder it leaves, whole and damaged."""

import json
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from engines import ForkedEngine
from google.protobuf import json_format
from harness import PATHS, REQUESTS, Client, new_id
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from test_ledger_damage import DAMAGES, lift_floor, lose_hold, lose_units, overdraw_unavailable
from typer.testing import CliRunner

from engine.cli import app
from engine.operate.limits import MODULES
from ledger.core import limits
from ledger.core.ledger import Ledger
from ledger.core.state import CUSTOMER, FREE
from ledger.journal.connection import Address, JournalConnection
from ledger.journal.embedded import EmbeddedServer
from ledger.journal.entry import CHAIN_START, decode_entry, encode_entry
from ledger.journal.reading import JournalReader
from ledger.snapshot import load_snapshot, snapshots, write_snapshot

STREAM, TAIL = "{onhand:0}:journal", "{onhand:0}:tail"
HELD, PLACED, DROPPED = "0000000100000000", "0000000100000001", "0000000100000002"


class Run(NamedTuple):
    """What a command came to."""

    code: int
    text: str
    errors: str

    @property
    def shown(self) -> Any:
        assert self.text, self.errors
        return json.loads(self.text)


def onhand(*arguments: object) -> Run:
    result = CliRunner(env={"COLUMNS": "200", "ONHAND_ADDRESS": ""}).invoke(app, [str(each) for each in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Run(result.exit_code, result.stdout, result.stderr)


class Day(NamedTuple):
    """A folder that an engine left, and what commands told while it served."""

    folder: Path
    address: str
    online: dict[str, Run]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    """The stock of tests/test_ledger_damage.py, made by calls; a snapshot; then a batch, which is one entry."""
    folder = tmp_path_factory.mktemp("operate") / "data"
    online = {}
    flags = ["--port", "0", "--data-folder", str(folder), "--log-level", "warning"]
    with ForkedEngine(flags, log_file=folder.parent / "engine.log") as engine, Client(engine.address) as client:
        asked = "--address", engine.address
        client.sku("A", "B")
        client.location("X")
        client.move("RECEIVE", "A", "X", 10, request_id=new_id(), reference="truck 7", actor="Kim")
        client.receive("B", "X", 10)
        client.move("MARK_UNAVAILABLE", "B", "X", 2, reason="DISPLAY")
        client.policy("B", "X", safety_stock=1)
        held, placed, dropped = (client.reserve(("A", "X", units)).reservation_id for units in (3, 2, 1))
        assert (held, placed, dropped) == (HELD, PLACED, DROPPED)
        client.commit(placed)
        client.release(dropped)
        online["checkpoint"] = onhand("checkpoint", *asked)
        online["again"] = onhand("checkpoint", *asked)
        while client.status().archived_seq < online["checkpoint"].shown["snapshot_seq"]:
            pass  # the archive is written beside the engine
        requests = [client.reserve_request(("B", "X", 1)) for _ in range(3)]
        client.call(client.reservations.BatchReserveStock, reservations.BatchReserveStockRequest(requests=requests))
        online["status"] = onhand("status", *asked)
        online["verify"] = onhand("verify", *asked)
        online["offline"] = onhand("verify", "--folder", folder)
        online["lease"] = onhand("inspect", "lease", "--folder", folder)
        online["history"] = onhand("history", *asked)
        online["history of B"] = onhand(
            "history", *asked, "--sku", "B", "--location", "X", "--from-seq", 7, "--limit", 2
        )
        online["history of a cart"] = onhand("history", *asked, "--reservation", DROPPED)
        online["history of nothing"] = onhand("history", *asked, "--sku", "C")
    return Day(folder, engine.address, online)


@pytest.fixture
def folder(day: Day, tmp_path: Path) -> Path:
    """A copy of the day's folder."""
    return shutil.copytree(day.folder, tmp_path / "data", ignore=shutil.ignore_patterns("*.sock", "*.lock"))


@contextmanager
def server_of(folder: Path) -> Iterator[JournalConnection]:
    """Run the folder's journal server; commands find it."""
    with EmbeddedServer(folder) as server:
        connection = JournalConnection(Address(server.url), 5.0)
        yield connection
        connection.close()


def newer_snapshot(folder: Path) -> Path:
    """Take a snapshot of all there is, beside the older one."""
    last = onhand("verify", "--folder", folder).shown["seq"]
    return Path(onhand("replay", "--folder", folder, "--to", last, "--out", folder / "snapshots").shown["snapshot"])


def damage_snapshot(path: Path, *damages: Callable[[Ledger], None]) -> None:
    """Let a snapshot be of a damaged ledger; file and checksums are whole."""
    header, book = load_snapshot(path)
    for damage in damages:
        damage(book.ledger)
    assert write_snapshot(path.parent, book, header.chain, header.epoch) == path


def forget_older(path: Path, connection: JournalConnection) -> None:
    """Leave nothing of the history before a snapshot."""
    for older in snapshots(path.parent)[1:]:
        older.unlink()
    connection.call("XTRIM", STREAM, "MINID", f"{load_snapshot(path)[0].seq + 1}-0")
    shutil.rmtree(path.parent.parent / "history")


def files_of(folder: Path) -> dict[str, bytes]:
    """Snapshots and history, by name: what offline commands may not touch."""
    return {
        str(path): path.read_bytes() for part in ("snapshots", "history") for path in sorted((folder / part).glob("*"))
    }


# ---- a running engine -----------------------------------------------------------------------------------------------


def test_a_checkpoint_is_durable_when_the_command_ends(day):
    first, again = day.online["checkpoint"], day.online["again"]
    assert (first.code, again.code) == (0, 0)
    (path,) = snapshots(day.folder / "snapshots")
    assert first.shown["snapshot_bytes"] == path.stat().st_size
    assert again.shown["snapshot_seq"] == first.shown["snapshot_seq"] == load_snapshot(path)[0].seq


def test_online_and_offline_find_the_same(day):
    online, offline, later = day.online["verify"], day.online["offline"], onhand("verify", "--folder", day.folder)
    whole = onhand("verify", "--folder", day.folder, "--from-start")
    for found in (offline, later, whole):
        assert found.code == 0
        assert online.shown.items() <= found.shown.items()
    assert later.shown["snapshot_seq"] == day.online["checkpoint"].shown["snapshot_seq"]
    assert (whole.shown["snapshot_seq"], whole.shown["digests_compared_count"]) == (0, 1)


def test_the_lease_is_held_while_an_engine_serves_and_free_afterwards(day):
    held = day.online["lease"].shown
    assert (held["lease"], held["holder"], held["epoch"]) == ("held", day.address, 1)
    assert 0 < held["seconds_left"] <= 3
    with server_of(day.folder), JournalReader(f"unix://{day.folder}/journal.sock") as journal:
        journal.report_standby("10.0.0.2:50051", held["last_seq"] - 3)
        free = onhand("inspect", "lease", "--journal", f"unix://{day.folder}/journal.sock")
    assert (free.shown["lease"], free.shown["holder"]) == ("free", "")
    assert free.shown["standbys"] == [{"address": "10.0.0.2:50051", "seq": held["last_seq"] - 3, "lag": 3}]


def test_whole_numbers_are_numbers_and_fields_are_in_their_order(day):
    shown = day.online["status"].shown
    assert list(shown)[:3] == ["version", "transport", "durability"]
    assert isinstance(shown["seq_durable"], int)


# ---- history ---------------------------------------------------------------------------------------------------------


def test_history_is_the_same_from_engine_folder_and_archive(day, folder):
    online = day.online["history"]
    assert [row["type"] for row in online.shown] == [
        *("RECEIVE", "RECEIVE", "MARK_UNAVAILABLE", "RESERVE", "RESERVE", "RESERVE", "COMMIT", "RELEASE"),
        *("RESERVE", "RESERVE", "RESERVE"),
    ]
    assert (online.shown[0]["reference"], online.shown[0]["actor"]) == ("truck 7", "Kim")
    assert onhand("history", "--folder", folder).shown == online.shown
    with server_of(folder) as connection:
        before = day.online["checkpoint"].shown["snapshot_seq"]
        connection.call("XTRIM", STREAM, "MINID", f"{before + 1}-0")
        assert onhand("history", "--folder", folder).shown == online.shown
        part = onhand("history", "--folder", folder, "--sku", "B", "--location", "X", "--from-seq", 7, "--limit", 2)
        assert part.shown == day.online["history of B"].shown
        assert [row["seq"] >= 7 for row in part.shown] == [True, True]
        cart = onhand("history", "--folder", folder, "--reservation", DROPPED)
        assert cart.shown == day.online["history of a cart"].shown
        assert [row["type"] for row in cart.shown] == ["RESERVE", "RELEASE"]
        unknown = onhand("history", "--folder", folder, "--sku", "C")
        for run in (unknown, day.online["history of nothing"]):
            assert (run.code, run.text) == (1, "")
            assert 'sku "C" does not exist' in run.errors
        assert onhand("inspect", "journal", "--folder", folder).shown["history_first_seq"] == 1
        shutil.rmtree(folder / "history")
        lost = onhand("history", "--folder", folder, "--from-seq", 2)
    assert lost.code == 1
    assert f"expected entries from seq 2 on, found them from seq {before + 1} on" in lost.errors


# ---- replay ----------------------------------------------------------------------------------------------------------


def test_a_level_as_it_was_after_each_write(folder):
    with server_of(folder):
        last = onhand("verify", "--folder", folder).shown["seq"]
        reserved = []
        for seq in range(last - 3, last + 1):
            run = onhand("replay", "--folder", folder, "--to", seq, "--sku", "B", "--location", "X")
            assert (run.code, run.shown["seq"], run.shown["verify"]) == (0, seq, "ok")
            reserved.append(run.shown["stock_level"]["reserved"])
    assert reserved == [0, 1, 2, 3]


def test_a_replay_to_a_snapshot_is_that_snapshot(folder, tmp_path):
    (path,) = snapshots(folder / "snapshots")
    header, _ = load_snapshot(path)
    with server_of(folder):
        from_snapshot = onhand("replay", "--folder", folder, "--to", header.seq)
        path.rename(tmp_path / "away")
        from_start = onhand("replay", "--folder", folder, "--to", header.seq, "--out", tmp_path / "out")
        inside = onhand("replay", "--folder", folder, "--to", header.seq + 1, "--out", tmp_path / "out")
    assert from_snapshot.shown["snapshot_seq"] == header.seq
    assert from_start.shown["snapshot_seq"] == 0
    assert from_snapshot.shown["digest"] == from_start.shown["digest"] == header.digest.hex()
    written = load_snapshot(Path(from_start.shown["snapshot"]))[0]
    assert (written.seq, written.epoch, written.chain) == (header.seq, header.epoch, header.chain)
    assert inside.code == 1
    assert f"to: expected the last seq of a journal entry for a snapshot, such as {header.seq} or" in inside.errors


def test_positions_and_levels_that_are_not_there_are_named(folder):
    with server_of(folder):
        beyond = onhand("replay", "--folder", folder, "--to", 1000)
        early = onhand("replay", "--folder", folder, "--to", 1, "--sku", "A", "--location", "X")
        entry = onhand("inspect", "journal", "--folder", folder, "--seq", 1000)
    assert (beyond.code, early.code, entry.code) == (1, 1, 1)
    assert "to: expected 1 to" in beyond.errors
    assert 'location "X" does not exist' in early.errors
    assert "seq: expected 1 to" in entry.errors


@pytest.mark.parametrize(
    "command", [["verify"], ["replay", "--to", 1], ["inspect", "journal"]], ids=lambda words: str(words[0])
)
def test_a_shard_without_a_journal_is_not_taken_for_an_empty_one(folder, command):
    with server_of(folder):
        run = onhand(*command, "--folder", folder, "--shard", 3)
    assert (run.code, run.text) == (1, "")
    assert "shard: expected 0, whose journal is there, was 3" in run.errors


# ---- inspect ---------------------------------------------------------------------------------------------------------


def test_a_journal_and_one_of_its_entries(day, folder):
    with server_of(folder):
        journal = onhand("inspect", "journal", "--folder", folder)
        last = journal.shown["last_seq"]
        entry = onhand("inspect", "journal", "--folder", folder, "--seq", last - 1).shown
        first = onhand("inspect", "journal", "--folder", folder, "--seq", 1).shown
        table = onhand("inspect", "journal", "--folder", folder, "--table")
    shown = journal.shown
    assert (journal.code, shown["chain"], shown["first_seq"]) == (0, "ok", 1)
    assert shown["tail"] == {"epoch": 1, "last_seq": last, "chain": entry["chain"]}
    assert shown["epochs"] == [
        {"epoch": 1, "first_seq": 1, "last_seq": last, "entry_count": shown["entry_count"]},
    ]
    assert last == shown["write_count"] == day.online["verify"].shown["seq"]
    assert (entry["first_seq"], entry["last_seq"], entry["record_count"]) == (last - 2, last, 3)
    assert [record["movements"] for record in entry["records"]] == [
        [{"kind": "RESERVE", "level": 1, "quantity": 1}]
    ] * 3
    assert (first["catalog"][0]["sku_id"], first["records"][0]["operation"]) == ("A", "CHANGE_CATALOG")
    assert "epoch 1, first_seq 1" in table.text


def test_every_limit_is_shown_with_value_unit_and_reason():
    run = onhand("inspect", "limits")
    shown = {(row["module"], row["limit"]): row for row in run.shown}
    assert all(row["unit"] and row["reason"] for row in run.shown)
    for name, value in vars(limits).items():
        if name.endswith("_MAX"):
            assert shown["ledger.core.limits", name.lower()]["value"] == value
    assert {module for module, _ in shown} == set(MODULES)
    assert shown["ledger.core.limits", "ttl_seconds_max"]["unit"] == "s"


@pytest.mark.parametrize("place", ["start", "middle", "end", "cut"])
def test_a_damaged_snapshot_is_named_and_left_where_it_is(day, folder, place):
    (path,) = snapshots(folder / "snapshots")
    content = bytearray(path.read_bytes())
    if place == "cut":
        del content[-5:]
    else:
        content[{"start": 3, "middle": len(content) // 2, "end": len(content) - 3}[place]] ^= 1
    path.write_bytes(content)
    before = files_of(folder)
    inspected = onhand("inspect", "snapshot", folder)
    assert inspected.code == 1
    assert inspected.shown["state"].startswith(f"damaged: Snapshot {path}: ")
    if place == "middle":
        assert sum(part["state"] != "valid" for part in inspected.shown["parts"]) == 1
    verified = onhand("verify", "--folder", folder)
    assert verified.code == 1
    assert f"Snapshot {path}: " in verified.errors
    assert (verified.shown["ok"], verified.shown["snapshot_seq"]) == (True, 0)
    assert verified.shown["digest"] == day.online["verify"].shown["digest"]
    assert files_of(folder) == before


def test_a_whole_snapshot_tells_all_of_itself(folder):
    (path,) = snapshots(folder / "snapshots")
    header, _ = load_snapshot(path)
    for named in (path, path.parent, folder):
        run = onhand("inspect", "snapshot", named)
        assert (run.code, run.shown["state"], run.shown["bytes"]) == (0, "valid", path.stat().st_size)
    shown = run.shown
    assert (shown["seq"], shown["epoch"], shown["digest"]) == (header.seq, 1, header.digest.hex())
    assert (shown["stock_level_count"], shown["active_reservation_count"]) == (2, 1)
    nothing = onhand("inspect", "snapshot", path.parent.parent / "history")
    assert (nothing.code, "expected a snapshot" in nothing.errors) == (1, True)


# ---- a damaged journal -----------------------------------------------------------------------------------------------


def rewrite(connection: JournalConnection, change: Callable[[list[list[Any]]], None]) -> None:
    """Let the stream have other entries, under the ids they had."""
    entries = connection.call("XRANGE", STREAM, "-", "+")
    change(entries)
    connection.call("DEL", STREAM)
    for entry_id, (field, payload) in entries:
        connection.call("XADD", STREAM, entry_id, field, payload)


def flip(entries: list[list[Any]]) -> None:
    payload = bytearray(entries[5][1][1])
    payload[-1] ^= 1
    entries[5][1][1] = bytes(payload)


def drop(entries: list[list[Any]]) -> None:
    del entries[5]


def drop_last(entries: list[list[Any]]) -> None:
    del entries[-1]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (flip, "Journal entry 6-0: checksum chain: expected"),
        (drop, "Journal entry 7-0: checksum chain: expected"),
        (drop_last, "The tail: expected seq 12 with the checksum of that entry, was 15."),
    ],
)
def test_a_damaged_journal_is_named(folder, change, told):
    with server_of(folder) as connection:
        rewrite(connection, change)
        inspected = onhand("inspect", "journal", "--folder", folder)
        verified = onhand("verify", "--folder", folder, "--from-start")
    assert (inspected.code, inspected.shown["ok"]) == (1, False)
    assert inspected.shown["chain"].startswith(told)
    assert verified.code == 1
    assert "Traceback" not in verified.errors
    assert (
        told if change is not drop_last else "expected entries up to seq 15, found them up to 12"
    ) in verified.errors


def test_a_snapshot_that_is_ahead_of_the_journal_is_named(folder):
    with server_of(folder) as connection:
        path = newer_snapshot(folder)
        older = snapshots(folder / "snapshots")[1]
        end, chain = load_snapshot(older)[0].seq, load_snapshot(older)[0].chain
        rewrite(connection, drop_last)
        connection.call("SET", TAIL, f"{end}-0 ".encode() + chain)
        run = onhand("verify", "--folder", folder)
    assert (run.code, run.shown["snapshot_seq"], run.shown["violations"]) == (1, end, [])
    assert f"Snapshot {path}: expected the journal's last entry to be 15-0" in run.errors


# ---- repair ----------------------------------------------------------------------------------------------------------


def test_there_is_nothing_to_repair(day):
    run = onhand("repair", "--dry-run", "--folder", day.folder)
    assert (run.code, run.shown["repair"], run.shown["violations"]) == (0, "nothing to repair", [])


def test_each_violation_is_found_explained_and_undone_by_the_journal(day, folder):
    sound = day.online["verify"].shown["digest"]
    with server_of(folder):
        path = newer_snapshot(folder)
        kept = path.read_bytes()
        for damage, invariant, subject, (expected, actual) in DAMAGES:
            path.write_bytes(kept)
            damage_snapshot(path, damage)
            before = files_of(folder)
            run = onhand("repair", "--dry-run", "--folder", folder)
            found = {(each["invariant"], each["subject"]): each for each in run.shown["violations"]}
            assert (run.code, run.shown["repair"], run.shown["digest"]) == (1, "recover again", sound)
            each = found[invariant, subject]
            assert (each["expected"], each["actual"]) == (expected, actual)
            assert each["meaning"]
            assert files_of(folder) == before


def test_recovering_again_is_done_by_the_commands(day, folder):
    with server_of(folder):
        path = newer_snapshot(folder)
        damage_snapshot(path, lose_hold)
        violated = onhand("verify", "--folder", folder)
        assert violated.code == 1
        assert violated.shown["violations"] == ["reserved_matches_reservations: A at X: expected 3, was 7"]
        run = onhand("repair", "--dry-run", "--folder", folder)
        (found,) = run.shown["violations"]
        assert found["changes"] == [
            {"what": "A at X: reserved", "was": 7, "becomes": 3},
            {"what": "A at X: available", "was": 1, "becomes": 5},
        ]
        carry_out(run.shown["commands"])
        assert not path.exists()
        after = onhand("verify", "--folder", folder)
    assert (after.code, after.shown["digest"]) == (0, day.online["verify"].shown["digest"])


def test_a_snapshot_that_the_writers_digest_contradicts_is_left_out(day, folder):
    """Its recount adds up, but it is not what the writer had."""
    (path,) = snapshots(folder / "snapshots")
    with server_of(folder):
        damage_snapshot(path, sell_and_forget)
        verified = onhand("verify", "--folder", folder)
        assert (verified.code, verified.shown["violation_count"]) == (1, 0)
        assert f"Replayed from {path}: Ledger at seq 12: expected digest" in verified.errors
        run = onhand("repair", "--dry-run", "--folder", folder)
        assert (run.code, run.shown["repair"], run.shown["violations"]) == (1, "recover again", [])
        assert run.shown["digest"] == day.online["verify"].shown["digest"]
        carry_out(run.shown["commands"])
        assert snapshots(folder / "snapshots") == []


def test_a_writer_whose_memory_was_damaged_is_outvoted_by_the_journal(day, folder):
    """Its snapshot is damaged, and so is the digest that it told of itself: what the journal says contradicts both."""
    with server_of(folder) as connection:
        (path,) = snapshots(folder / "snapshots")
        damage_snapshot(path, lose_hold)
        tell_digest(connection, load_snapshot(path)[0].digest)
        verified = onhand("verify", "--folder", folder)
        assert verified.shown["violations"] == ["reserved_matches_reservations: A at X: expected 3, was 7"]
        assert verified.shown["digest_mismatches"] == []
        run = onhand("repair", "--dry-run", "--folder", folder)
        assert (run.code, run.shown["repair"], len(run.shown["commands"])) == (1, "recover again", 3)
        carry_out(run.shown["commands"])
    flags = ["--port", "0", "--data-folder", str(folder), "--log-level", "warning"]
    with ForkedEngine(flags, log_file=folder.parent / "engine.log") as engine, Client(engine.address) as client:
        assert client.verify().digest == day.online["verify"].shown["digest"]


def sell_and_forget(ledger: Ledger) -> None:
    ledger._columns["level_stock"].array[1, FREE] -= 1
    ledger._columns["sku_outside"].array[1, CUSTOMER] += 1


def carry_out(commands: list[str]) -> None:
    """Run the commands of a repair; what they check is whole then."""
    for command in commands:
        program, *arguments = shlex.split(command)
        if program == "onhand":
            assert onhand(*arguments).code == (1 if arguments[0] == "replay" else 0)
        else:
            subprocess.run([program, *arguments], check=True)


def tell_digest(connection: JournalConnection, digest: bytes) -> None:
    """Let the journal tell another digest, with checksums that are right."""

    def change(entries: list[list[Any]]) -> None:
        chain = CHAIN_START
        for _, fields in entries:
            entry, _ = decode_entry(fields[1], None)
            told = [(seq, digest) for seq, _ in entry.digests]
            fields[1], chain = encode_entry(msgspec.structs.replace(entry, digests=told), chain)
        connection.call("SET", TAIL, entries[-1][0] + b" " + chain)

    rewrite(connection, change)


def test_what_no_journal_can_undo_is_made_up_for_by_calls(folder):
    """Nothing older is left: the commands are run against an engine that starts from the damaged snapshot."""
    with server_of(folder) as connection:
        path = newer_snapshot(folder)
        damage_snapshot(path, lose_hold, lift_floor, overdraw_unavailable)
        forget_older(path, connection)
        run = onhand("repair", "--dry-run", "--folder", folder, "--address", "there:1")
    assert (run.code, run.shown["repair"]) == (1, "make up for it")
    found = {each["invariant"]: each for each in run.shown["violations"]}
    assert found.keys() == {
        "reserved_matches_reservations",
        "floor_matches_policy",
        "unavailable_is_not_negative",
    }
    flags = ["--port", "0", "--data-folder", str(folder), "--log-level", "warning"]
    with ForkedEngine(flags, log_file=folder.parent / "engine.log") as engine, Client(engine.address) as client:
        for each in found.values():
            run_all(each["commands"], client)
        # what can be promised is what the day left, but for two units on display that nobody remembers
        assert (client.available("A", ["X"]), client.available("B", ["X"])) == (5, 4 + 2)
        assert client.level("A", "X").on_hand == 14


def run_all(commands: list[str], client: Client) -> None:
    for command in commands:
        *_, values, address, method = shlex.split(command)
        assert address == "there:1"
        rpc = method.rpartition("/")[2]
        assert PATHS[rpc] == f"/{method}"
        client.raw(rpc, json_format.Parse(values, REQUESTS[rpc]()).SerializeToString())


def test_every_violation_has_a_correction_or_none_is_claimed(folder):
    with server_of(folder) as connection:
        path = newer_snapshot(folder)
        forget_older(path, connection)
        kept = path.read_bytes()
        for damage, invariant, subject, _ in DAMAGES:
            path.write_bytes(kept)
            damage_snapshot(path, damage)
            run = onhand("repair", "--dry-run", "--folder", folder)
            found = {(each["invariant"], each["subject"]): each for each in run.shown["violations"]}
            each = found[invariant, subject]
            assert bool(each["commands"]) != each["correction"].startswith("No call can change this")


def test_a_count_is_left_to_a_person(folder):
    with server_of(folder) as connection:
        path = newer_snapshot(folder)
        damage_snapshot(path, lose_units)
        forget_older(path, connection)
        (found,) = onhand("repair", "--dry-run", "--folder", folder).shown["violations"]
    (command,) = found["commands"]
    *_, values, _, method = shlex.split(command)
    assert method == "onhand.inventory.v1.InventoryService/SetOnHand"
    assert json.loads(values)["counts"] == [{"skuId": "B", "locationId": "X", "onHand": "COUNTED"}]


# ---- wrong use -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["repair", "--folder", "."], "expected --dry-run"),
        (["repair", "--dry-run"], "expected --folder, --journal or both"),
        (["inspect", "journal"], "expected --folder, --journal or both"),
        (["inspect", "lease", "--journal", "foo://me:hunter2@there"], "journal URL: expected redis://"),
        (["verify", "--from-start"], "from-start: expected --folder or --journal with it"),
        (["history", "--reservation", "zz"], "--reservation: expected 16 hexadecimal digits, was zz"),
        (["replay", "--to", "1", "--folder", ".", "--sku", "A"], "sku, location: expected both or neither"),
    ],
)
def test_wrong_use_has_exit_code_2(arguments, told):
    run = onhand(*arguments)
    assert (run.code, run.text) == (2, "")
    assert told in run.errors
    assert "hunter2" not in run.errors


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["checkpoint", "--address", "127.0.0.1:1"], "127.0.0.1:1 answered UNAVAILABLE"),
        (["history", "--address", "127.0.0.1:1"], "127.0.0.1:1 answered UNAVAILABLE"),
        (["inspect", "lease", "--journal", "redis://127.0.0.1:1"], "redis://127.0.0.1:1/0"),
        (
            ["verify", "--folder", "nowhere"],
            "expected a data folder of an engine, with appendonlydir in it, was nowhere",
        ),
    ],
)
def test_what_is_away_has_exit_code_1(arguments, told):
    run = onhand(*arguments)
    assert (run.code, run.text) == (1, "")
    assert told in run.errors
