"""The command `onhand`, as people and scripts run it: every test starts real processes, most of them forks."""

import asyncio
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import grpc
import pytest
from engines import ForkedEngine, run_forked
from faults.processes import WAIT_SECONDS
from harness import Client, Refused, new_id
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from rich.console import Console

from engine.config import EngineConfig, Topic, default_of, load_config
from engine.launch import EngineProcess
from engine.load.command import load
from engine.load.plan import Paths

PLAIN = {name: value for name, value in os.environ.items() if not name.startswith("ONHAND_")}


def onhand(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command whose start is not what is tested: in a fork of a process that has imported everything."""
    return run_forked([*map(str, arguments)], {**PLAIN, "COLUMNS": "200", **environment})


def start_onhand(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "engine", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_SECONDS,
        env={**PLAIN, "COLUMNS": "200", **environment},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[EngineProcess]:
    flags = ["--port", "0", "--data-folder", str(folder / "data")]
    with EngineProcess(flags, log_file=folder / "engine.log", environment=PLAIN) as process:
        yield process


@pytest.mark.parametrize("module", ["engine.cli", "ledger.archive"])
def test_commands_start_without_the_kernels(module):
    """Only who serves, or reads a ledger, waits for them to load: that takes longer than most commands.

    So does what an engine starts every half minute.
    """
    program = f"import sys, {module}; print({{'numba', 'onhand.client', 'pyarrow'}} & sys.modules.keys())"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"


# ---- settings -------------------------------------------------------------------------------------------------------


def test_every_setting_is_a_flag_with_its_variable_and_default():
    shown = onhand("serve", "--help").stdout
    for name, field in EngineConfig.model_fields.items():
        assert f"--{name.replace('_', '-')} " in shown
        assert f"ONHAND_{name.upper()}]" in shown
        assert f"[default: ({default_of(field) or 'embedded'})]" in shown
        assert field.description.split(";")[0].split(",")[0].rstrip(".") in " ".join(shown.split())
    topics = [shown.index(f"─ {topic.value} ─") for topic in Topic]
    assert topics == sorted(topics)
    assert shown.index("--port") < topics[1] < shown.index("--journal") < topics[2]


def test_the_version():
    assert onhand("--version").stdout == f"onhand {version('onhand')}\n"


def test_the_sample_file_has_the_defaults_and_every_setting(tmp_path):
    told = onhand("config", "sample").stdout
    file = tmp_path / "onhand.toml"
    for text in (told, re.sub(r"(?m)^#(?=\w)", "", told)):  # as it is, and with all that it has
        file.write_text(text)
        assert load_config(file, {}) == EngineConfig()
    assert tomllib.loads(text).keys() == EngineConfig.model_fields.keys()
    assert all(
        " ".join(field.description.split()) in told.replace("\n# ", " ") for field in EngineConfig.model_fields.values()
    )


def test_times_and_sizes_have_units_or_none(tmp_path):
    file = tmp_path / "onhand.toml"
    file.write_text('checkpoint_journal_bytes = "2GiB"\nretention_seconds = "1h30m"\nlease_seconds = 4\n')
    run = onhand(
        "config",
        "show",
        "--config",
        file,
        "--drain-seconds",
        "1m",
        "--history-days",
        "2w",
        ONHAND_QUEUE_BYTES_MAX="32MiB",
        ONHAND_JOURNAL_TIMEOUT_SECONDS="250ms",
    )
    shown = json.loads(run.stdout)
    assert shown["checkpoint_journal_bytes"] == 2 * 1024**3
    assert (shown["retention_seconds"], shown["lease_seconds"], shown["drain_seconds"]) == (5_400, 4, 60)
    assert (shown["history_days"], shown["queue_bytes_max"], shown["journal_timeout_seconds"]) == (
        14,
        32 * 1024**2,
        0.25,
    )


@pytest.mark.parametrize(
    ("flag", "value", "told"),
    [
        ("drain-seconds", "10m", "drain_seconds: Input should be less than or equal to 300"),
        ("drain-seconds", "soon", "drain_seconds: expected a number, or a time with a unit such as 250ms, 15m"),
        ("retention-seconds", "250ms", "retention_seconds: Input should be a valid integer"),
        ("history-days", "12h", "history_days: Input should be a valid integer"),
        ("queue-bytes-max", "1KiB", "queue_bytes_max: Input should be greater than or equal to"),
        ("queue-bytes-max", "lots", "queue_bytes_max: could not parse value and unit"),
        ("advertise", "http://me", 'advertise: expected HOST:PORT, was "http://me"; write "me:50051"'),
        ("journal", "http://cache", 'Write "redis://cache:6379".'),
        ("journal", "cache:7000", 'Write "redis://cache:7000".'),
    ],
)
def test_a_wrong_setting_is_told_with_what_to_write(flag, value, told):
    run = onhand("config", "show", f"--{flag}", value)
    assert run.returncode == 2
    assert told in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path):
    file = tmp_path / "onhand.toml"
    file.write_text('port = 1\ndrain_seconds = 1.5\nhost = "0.0.0.0"\ntransport = "grpcio"\n')
    run = onhand("config", "show", "--config", file, "--port", 3, ONHAND_PORT="2", ONHAND_DRAIN_SECONDS="2.5")
    shown = json.loads(run.stdout)
    assert (shown["port"], shown["drain_seconds"], shown["host"], shown["transport"]) == (3, 2.5, "0.0.0.0", "grpcio")
    defaults = {name: field.default for name, field in EngineConfig.model_fields.items()}
    untouched = set(defaults) - {"port", "drain_seconds", "host", "transport"}
    assert {name: shown[name] for name in untouched} == {
        name: str(value) if isinstance(value, Path) else value for name, value in defaults.items() if name in untouched
    }
    by_variable = onhand("config", "show", "--table", ONHAND_CONFIG=str(file))
    assert re.search(r"port\s*│\s*1\b", by_variable.stdout)


def test_wrong_settings_are_all_named(tmp_path):
    file = tmp_path / "onhand.toml"
    file.write_text("group_calls_max = 0\nnonsense = 1\n")
    run = start_onhand("serve", "--config", file, "--port", "70000", "--transport", "tcp", ONHAND_DRAIN_SECONDS="soon")
    assert run.returncode == 2
    assert run.stdout == ""
    lines = {line.split(":")[0]: line for line in run.stderr.splitlines()}
    assert lines.keys() == {"group_calls_max", "nonsense", "port", "transport", "drain_seconds"}
    assert lines["port"].endswith("was '70000'")
    assert lines["transport"].endswith("was 'tcp'")
    assert lines["drain_seconds"].endswith("was 'soon'")


def test_a_wrong_file_of_settings_is_named(tmp_path):
    broken = tmp_path / "broken.toml"
    broken.write_text("port = \n")
    for file in (broken, tmp_path / "nothing.toml"):
        run = onhand("config", "show", "--config", file)
        assert run.returncode == 2
        assert file.name in run.stderr
        assert "Traceback" not in run.stderr


@pytest.mark.parametrize("command", [("config", "show"), ("serve", "--port", "0")])
def test_a_journal_that_is_no_url_is_a_wrong_setting(command, tmp_path):
    run = onhand(*command, "--journal", "foo://me:hunter2@there", "--data-folder", tmp_path)
    assert run.returncode == 2
    assert "journal" in run.stderr
    assert "redis://" in run.stderr
    assert "hunter2" not in run.stderr + run.stdout
    assert "Traceback" not in run.stderr


def test_the_password_of_the_journal_is_never_shown(tmp_path):
    url = "redis://me:hunter2@127.0.0.1:1/3"
    shown = onhand("config", "show", "--journal", url)
    assert json.loads(shown.stdout)["journal"] == "redis://127.0.0.1:1/3"
    runs = [shown, onhand("serve", "--port", "0", ONHAND_JOURNAL=url)]
    assert runs[1].returncode == os.EX_TEMPFAIL
    assert "redis://127.0.0.1:1/3" in runs[1].stderr
    misplaced = tmp_path / "onhand.toml"
    misplaced.write_text(f'journal = ["{url}"]\njurnal = "{url}"\n')
    runs.append(onhand("config", "show", "--config", misplaced))
    assert runs[2].returncode == 2
    for run in runs:
        assert "hunter2" not in run.stdout + run.stderr
        assert "Traceback" not in run.stderr


# ---- a user who can write nowhere ------------------------------------------------------------------------------------

KERNELS = "kernels cannot be kept: "


def nowhere(tmp_path: Path) -> str:
    """A folder that cannot be made, by root neither: it would be under a file."""
    (tmp_path / "file").touch()
    return str(tmp_path / "file" / "cache")


@pytest.mark.parametrize(
    ("command", "exit_code"),
    [
        (["--help"], 0),
        (["status", "--address", "127.0.0.1:1"], 1),
        (["load"], 2),
        (["serve", "--port", "many"], 2),
    ],
)
def test_what_needs_no_kernels_needs_no_place_for_them(command, exit_code, tmp_path):
    run = start_onhand(*command, HOME=nowhere(tmp_path), XDG_CACHE_HOME="", NUMBA_CACHE_DIR="")
    assert run.returncode == exit_code
    assert "Traceback" not in run.stderr
    assert KERNELS not in run.stderr


@pytest.mark.parametrize("variable", ["HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR"])
def test_who_can_keep_no_kernels_is_told_once(variable, tmp_path):
    places = {"XDG_CACHE_HOME": "", "NUMBA_CACHE_DIR": "", variable: nowhere(tmp_path), "TMPDIR": str(tmp_path)}
    run = start_onhand("inspect", "snapshot", "nothing-here", **places)
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert run.stderr.count(KERNELS) == 1
    assert str(tmp_path / "file") in run.stderr
    assert "set NUMBA_CACHE_DIR to a folder that this user can write" in run.stderr
    assert not list(tmp_path.glob("onhand-kernels-*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user without a home")
def test_a_user_without_a_home_has_a_place_for_kernels_while_the_process_lives(tmp_path):
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents[:3]:
        parent.chmod(0o755)
    program = (
        "import os; from engine.kernels import prepare_cache; os.setuid(54321); "
        "prepare_cache(print); prepare_cache(print); print(os.environ['NUMBA_CACHE_DIR'])"
    )
    environment = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=WAIT_SECONDS,
        env=environment,
    )
    said, folder = run.stdout.splitlines()
    assert said.startswith(KERNELS + "this user has no home folder.")
    assert folder.startswith(str(tmp_path))
    assert not Path(folder).exists()


# ---- asking ---------------------------------------------------------------------------------------------------------


def test_status_and_verify_are_json_for_programs(served):
    status = onhand("status", "--address", served.address)
    shown = json.loads(status.stdout)
    assert (status.returncode, status.stderr) == (0, "")
    assert (shown["transport"], shown["durability"], shown["epoch"]) == ("native", "fsync", 1)
    assert isinstance(shown["seq_durable"], int)
    verify = start_onhand("verify", ONHAND_ADDRESS=served.address)
    shown = json.loads(verify.stdout)
    assert verify.returncode == 0
    assert (shown["verify"], shown["ok"], shown["violations"], shown["violation_count"]) == ("ok", True, [], 0)


def test_a_table_for_people(served):
    shown = onhand("status", "--table", "--address", served.address).stdout
    assert f"OnHand at {served.address}" in shown
    assert re.search(r"transport\s*│\s*native", shown)


@pytest.mark.parametrize("command", ["status", "verify"])
def test_asking_an_engine_that_is_away(command):
    run = onhand(command, "--address", "127.0.0.1:1")
    assert run.returncode == 1
    assert run.stdout == ""
    assert "127.0.0.1:1 answered UNAVAILABLE" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("command", [("status",), ("verify",), ("load", "--skus", "skus.csv"), ("demo",)])
def test_an_address_that_grpc_would_misread_is_refused_with_what_to_write(command):
    for address, meant in (("http://127.0.0.1:7/", "127.0.0.1:7"), ("localhost", "localhost:50051")):
        run = onhand(*command, "--address", address)
        assert run.returncode == 2
        assert run.stderr == f'--address: expected HOST:PORT, was "{address}"; write "{meant}"\n'


def test_an_empty_address_is_refused_wherever_it_comes_from():
    assert "expected HOST:PORT" in onhand("status", ONHAND_ADDRESS="").stderr + onhand("status", "--address", "").stderr


# ---- loading --------------------------------------------------------------------------------------------------------


LOCATIONS = """location_id,kind,latitude,longitude,time_zone,capabilities,location_groups
DC-1,warehouse,52.5,13.4,Europe/Berlin,ship|returns,eu
S-1,store,,,,,
"""
SKUS = "sku_id,base_unit,weight_milligrams\nA,each,250000\nB,gram,\n"
LEVELS = """sku_id,location_id,on_hand,safety_stock,backorder_limit
A,DC-1,10,2,
B,S-1,5000,,1
A,S-1,0,,
"""


def files(folder: Path, locations: str = LOCATIONS, skus: str = SKUS, levels: str = LEVELS) -> list[str]:
    flags = []
    for name, text in (("locations", locations), ("skus", skus), ("levels", levels)):
        path = folder / f"{name}.csv"
        path.write_text(text)
        flags += [f"--{name}", str(path)]
    return flags


def test_loading_twice_changes_nothing(served, tmp_path):
    flags = files(tmp_path)
    first = start_onhand("load", *flags, "--address", served.address)
    assert first.returncode == 0
    assert json.loads(first.stdout) == {
        "locations": {"created": 2, "updated": 0, "unchanged": 0},
        "skus": {"created": 2, "updated": 0, "unchanged": 0},
        "level_count": 3,
        "policy_count": 2,
    }
    with Client(served.address) as client:
        assert (client.level("A", "DC-1").available, client.level("B", "S-1").available) == (8, 5_001)
        held = client.reserve(("A", "DC-1", 3)).reservation_id
        before = [client.level(*pair) for pair in (("A", "DC-1"), ("B", "S-1"), ("A", "S-1"))]
        moved = len(client.movements())
        seq = client.status().seq_sequenced
        second = onhand("load", *flags, "--address", served.address)
        assert json.loads(second.stdout)["locations"] == {"created": 0, "updated": 0, "unchanged": 2}
        assert json.loads(second.stdout)["skus"] == {"created": 0, "updated": 0, "unchanged": 2}
        assert [client.level(*pair) for pair in (("A", "DC-1"), ("B", "S-1"), ("A", "S-1"))] == before
        assert len(client.movements()) == moved
        assert client.status().seq_sequenced == seq, "not even a trace in the journal"
        client.release(held)


def test_wrong_files_are_named_and_nothing_is_loaded(served, tmp_path):
    locations = "location_id,kind,colour\nnew,store,red\n"
    skus = "sku_id,base_unit,weight_milligrams\nnew,each,1\nother,each,2.5\n"
    levels = "sku_id,location_id,on_hand,reserved\nnew,new,10,1000\n"
    with Client(served.address) as client:
        before = client.status()
        run = onhand("load", *files(tmp_path, locations, skus, levels), "--address", served.address)
        assert (run.returncode, run.stdout) == (1, "")
        where, row, column, nothing = run.stderr.splitlines()
        assert where.startswith("locations.csv line 1, column colour: not a known column; known are location_id, kind")
        assert row.startswith("skus.csv line 3, column weight_milligrams: expected an integer from 0 to ")
        assert row.endswith(', was "2.5".')
        assert column.startswith("levels.csv line 1, column reserved: not a column that can be loaded")
        assert nothing == "Nothing was loaded."
        unknown = "sku_id,location_id,on_hand\nnobody,DC-1,1\n"
        run = onhand("load", *files(tmp_path, levels=unknown), "--address", served.address)
        assert run.returncode == 1
        assert (
            'levels.csv line 2, column sku_id: expected a sku of the files or of the engine, was "nobody".'
            in run.stderr.splitlines()
        )
        after = client.status()
        assert (after.seq_sequenced, after.sku_count) == (before.seq_sequenced, before.sku_count)


def test_a_dry_run_tells_what_would_change(served, tmp_path):
    locations = "location_id;kind;display_name\nDRY-1;store;Mitte\n"
    flags = files(tmp_path, locations, "sku_id,base_unit\nDRY,each\n", "sku_id,location_id,on_hand\nDRY,DRY-1,3\n")
    with Client(served.address) as client:
        seq = client.status().seq_sequenced
        run = onhand("load", *flags, "--address", served.address, "--dry-run", "--table")
        assert run.returncode == 0
        assert run.stdout.splitlines()[:3] == [
            "location DRY-1 created",
            "sku DRY created",
            "stock level DRY at DRY-1 created",
        ]
        assert client.status().seq_sequenced == seq


def test_the_example_loads_as_the_command_says(served, tmp_path):
    told = onhand("load", "--example", tmp_path / "shop")
    assert told.returncode == 0
    command, verb, *flags = told.stdout.split()
    assert (command, verb) == ("onhand", "load")
    paths = {flag.removeprefix("--"): Path(path) for flag, path in zip(flags[::2], flags[1::2], strict=True)}
    report = asyncio.run(load(served.address, Paths(**paths), Console(quiet=True), progress=False))
    assert report["locations"] == {"created": 7, "updated": 0, "unchanged": 0}
    assert report["network"]["default_profile"] == "standard@1"
    assert "notes" not in report


def test_what_the_engine_refuses_is_named_by_line(served, tmp_path):
    skus = tmp_path / "skus.csv"
    skus.write_text("sku_id,base_unit\nunit-2,each\nunit-1,gram\n")
    with Client(served.address) as client:
        client.sku("unit-1")
        run = onhand("load", "--skus", skus, "--address", served.address)
        assert run.returncode == 1
        assert 'skus.csv line 3, column base_unit: expected "each", which never changes, was "gram".' in run.stderr
        with pytest.raises(Refused):
            client.call(client.catalog.GetSku, catalog.GetSkuRequest(sku_id="unit-2"))


def test_loading_into_nobody(tmp_path):
    run = onhand("load", *files(tmp_path), "--address", "127.0.0.1:1")
    assert (run.returncode, run.stdout) == (1, "")
    assert "127.0.0.1:1 answered UNAVAILABLE" in run.stderr
    assert "Traceback" not in run.stderr


# ---- serving --------------------------------------------------------------------------------------------------------


def test_an_occupied_port_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = onhand("serve", "--port", port, "--data-folder", tmp_path / "data")
    assert run.returncode == os.EX_TEMPFAIL
    assert f"cannot listen on 127.0.0.1:{port}" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_data_folder_in_use_is_named_at_once(served, folder, tmp_path):
    places = {"HOME": nowhere(tmp_path), "XDG_CACHE_HOME": "", "NUMBA_CACHE_DIR": ""}
    run = start_onhand("serve", "--port", "0", "--data-folder", folder / "data", **places)
    assert run.returncode == os.EX_TEMPFAIL
    assert KERNELS not in run.stderr, "it is told before the kernels are looked for, which takes some time"
    assert f"The data folder {folder / 'data'} is in use by another engine (process {served.process.pid})" in run.stderr
    assert onhand("status", "--address", served.address).returncode == 0


def test_a_data_folder_that_is_a_file_is_named(tmp_path):
    file = tmp_path / "file"
    file.touch()
    run = onhand("serve", "--port", "0", "--data-folder", file)
    assert run.returncode == os.EX_CONFIG
    assert str(file) in run.stderr
    assert "Traceback" not in run.stderr


def test_sigterm_drains_and_what_was_acknowledged_stays(tmp_path):
    flags = ["--port", "0", "--data-folder", str(tmp_path / "data"), "--transport"]
    acknowledged: list[str] = []
    engine = EngineProcess([*flags, "native"], log_file=tmp_path / "engine.log", environment=PLAIN)
    engine.start()
    with Client(engine.address) as client:
        client.sku("A")
        client.location("X")
        client.receive("A", "X", 1_000_000)
        are_many = threading.Event()
        caller = threading.Thread(target=reserve_until_it_ends, args=(client, acknowledged, are_many))
        caller.start()
        assert are_many.wait(WAIT_SECONDS)
        assert engine.stop() == 0
        caller.join()
    assert "drained" in (tmp_path / "engine.log").read_text()
    after = ForkedEngine([*flags, "grpcio"], log_file=tmp_path / "engine.log", environment=PLAIN)
    after.start()
    with Client(after.address) as client:
        assert client.level("A", "X").reserved == len(acknowledged)
        assert client.verify().ok
    assert after.stop() == 0


def reserve_until_it_ends(client: Client, acknowledged: list[str], are_many: threading.Event) -> None:
    request = client.reserve_request(("A", "X", 1))
    with contextlib.suppress(grpc.RpcError):
        while True:
            request.request_id = new_id()
            acknowledged.append(client.reservations.ReserveStock(request, timeout=10).reservation_id)
            if len(acknowledged) == 50:
                are_many.set()
