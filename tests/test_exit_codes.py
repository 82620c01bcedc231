"""How `onhand serve` ends: the codes tell whoever starts engines whether to do it again."""

import os
import re
import socket
import subprocess
from pathlib import Path

import pytest
from engines import ForkedEngine, run_forked
from faults.processes import free_port
from harness import Client

from engine.operate.exit_codes import BY_ERROR, DAMAGED, TRY_AGAIN, WRONG_SETTING, exit_code_of
from ledger.journal import errors
from ledger.journal.connection import Address, JournalConnection
from ledger.journal.embedded import EmbeddedServer

PLAIN = {name: value for name, value in os.environ.items() if not name.startswith("ONHAND_")}
OPERATING = Path(__file__).parent.parent / "docs" / "operating.md"


def serve(folder: Path, *flags: object) -> subprocess.CompletedProcess[str]:
    run = run_forked(["serve", "--port", "0", "--data-folder", str(folder), *map(str, flags)], PLAIN)
    assert "Traceback" not in run.stderr
    assert run.stdout == ""
    return run


def test_a_journal_server_that_is_away_may_be_there_the_next_time(tmp_path):
    run = serve(tmp_path, "--journal", f"redis://127.0.0.1:{free_port()}")
    assert run.returncode == TRY_AGAIN
    assert "refused" in run.stderr.splitlines()[-1]


def test_a_port_in_use_may_be_free_the_next_time(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        run = serve(tmp_path, "--port", taken.getsockname()[1])
    assert run.returncode == TRY_AGAIN


def test_an_address_of_another_machine_never_is_ours(tmp_path):
    assert serve(tmp_path, "--host", "192.0.2.1").returncode == WRONG_SETTING


def test_a_journal_server_with_wrong_settings_is_to_be_set_first(tmp_path):
    with EmbeddedServer(tmp_path / "journal") as server:
        connection = JournalConnection(Address(server.url), 5.0)
        connection.call("CONFIG", "SET", "appendfsync", "everysec")
        run = serve(tmp_path / "engine", "--journal", server.url)
        connection.close()
    assert run.returncode == WRONG_SETTING
    assert "run CONFIG SET appendfsync always" in run.stderr


@pytest.mark.parametrize("what", ["entry", "file"])
def test_a_damaged_journal_is_for_a_person(what, tmp_path):
    folder = tmp_path / "data"
    with (
        ForkedEngine(
            ["--port", "0", "--data-folder", str(folder)], log_file=tmp_path / "log", environment=PLAIN
        ) as engine,
        Client(engine.address) as client,
    ):
        client.sku("A")
        client.location("X")
        client.receive("A", "X", 7)
    if what == "entry":
        with EmbeddedServer(folder) as server:
            connection = JournalConnection(Address(server.url), 5.0)
            stream = "{onhand:0}:journal"
            ((last_id, _),) = connection.call("XREVRANGE", stream, "+", "-", "COUNT", "1")
            connection.call("XDEL", stream, last_id)
            connection.close()
    else:
        (file,) = (folder / "appendonlydir").glob("*.incr.aof")
        content = bytearray(file.read_bytes())
        content[0:1] = b"?"
        file.write_bytes(content)
    run = serve(folder)
    assert run.returncode == DAMAGED, run.stderr


def test_the_folder_of_another_shard_is_not_begun_anew(tmp_path):
    """It would serve, empty: the setting was forgotten."""
    with EmbeddedServer(tmp_path) as server:
        connection = JournalConnection(Address(server.url), 5.0)
        for shard in (12, 3):
            connection.call("SET", f"{{onhand:{shard}}}:epoch", "1 1")
        connection.close()
    run = serve(tmp_path)
    assert run.returncode == WRONG_SETTING
    assert "shard: expected 3, 12, whose journal is there, was 0" in run.stderr


def test_each_error_of_the_journal_has_its_code():
    kinds = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.JournalError)]
    assert all(any(issubclass(kind, known) for known, _ in BY_ERROR) for kind in kinds)
    place = {known: number for number, (known, _) in enumerate(BY_ERROR)}
    for known, number in place.items():  # a kind stands before what it is a kind of
        assert all(place.get(base, number) >= number for base in known.__mro__)
    assert exit_code_of(errors.JournalHeld("", "", 0.0)) == TRY_AGAIN
    assert exit_code_of(errors.DataFolderInUse("")) == TRY_AGAIN
    assert exit_code_of(errors.SnapshotNotFetched("")) == TRY_AGAIN
    assert exit_code_of(errors.JournalTrimmed("")) == DAMAGED
    assert exit_code_of(errors.JournalOfOtherRelease("")) == WRONG_SETTING


def test_the_page_has_every_code():
    told = {int(code) for code in re.findall(r"(?m)^\| (\d+) \| ", OPERATING.read_text("utf-8"))}
    assert told == {0, 2, DAMAGED, os.EX_SOFTWARE, TRY_AGAIN, WRONG_SETTING}
