"""Where compiled kernels come from: a package, this user's cache, or the compiler; and nothing that does not fit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine import kernels
from ledger import compiled
from ledger.compiled import LEVELS, Room, why_not_kept

TWICE = "def twice(value):\n    return 2 * value\n"


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A file with one function; kernels are kept in tmp_path."""
    monkeypatch.setenv(compiled.SETTING, str(tmp_path / "kept"))
    path = tmp_path / "doubling.py"
    path.write_text(TWICE)
    monkeypatch.syspath_prepend(tmp_path)
    return path


def entry_of(room: Room, source: Path):
    names = {"__name__": source.stem, "__file__": str(source)}
    exec(compile(source.read_text(), source, "exec"), names)
    return room.entry(names["twice"])


def test_what_was_compiled_is_loaded_by_the_next_process(source):
    first, second = (entry_of(Room("room", [source]), source) for _ in range(2))
    assert first(np.int64(4)) == second(np.int64(4)) == 8
    assert [sum(each.stats.cache_misses.values()) for each in (first, second)] == [1, 0]
    assert Room("room", [source]).holds(second)


def test_a_changed_source_has_another_folder(source):
    before = Room("room", [source])
    beside = Room("beside", [], [before])
    source.write_text(TWICE.replace("2", "3"))
    after = Room("room", [source])
    assert before.folder_name != after.folder_name
    assert beside.folder_name != Room("beside", [], [after]).folder_name


@pytest.mark.parametrize("setting", ["OPT", "BOUNDSCHECK", "CPU_NAME"])
def test_other_settings_of_the_compiler_have_another_folder(source, setting, monkeypatch):
    before = Room("room", [source]).folder_name
    monkeypatch.setattr(compiled._CONFIG, setting, "other")
    assert Room("room", [source]).folder_name != before


def test_the_level_stays_when_the_environment_changes(source, monkeypatch):
    before = compiled.toolchain().settings
    assert before["CPU_NAME"] == os.environ.get("NUMBA_CPU_NAME", compiled._level())
    for name in ("one", "another"):  # the compiler reads its settings anew when one of them changed
        monkeypatch.setenv(compiled.SETTING, str(source.parent / name))
        entry_of(Room("room", [source]), source)(np.int64(1))
        assert compiled.toolchain().settings == before


def test_a_package_is_read_where_nothing_can_be_kept_and_is_never_written(source, tmp_path, monkeypatch):
    made = Room("room", [source])
    entry_of(made, source)(np.int64(1))
    monkeypatch.setattr(compiled, "PACKAGED", tmp_path / "packaged")
    made.packaged.parent.mkdir()
    (tmp_path / "kept" / made.folder_name).rename(made.packaged)
    there = sorted(made.packaged.iterdir())
    monkeypatch.setenv(compiled.SETTING, str(source / "no folder"))
    packaged = entry_of(Room("room", [source]), source)
    assert packaged(np.int64(4)) == 8
    assert not packaged.stats.cache_misses
    assert packaged(np.float64(0.5)) == 1.0  # nobody had compiled it for these
    assert sorted(made.packaged.iterdir()) == there


def test_where_nothing_can_be_kept_kernels_are_compiled_all_the_same(source, monkeypatch):
    monkeypatch.setenv(compiled.SETTING, str(source / "no folder"))
    room = Room("room", [source])
    entry = entry_of(room, source)
    assert room.folder is None
    assert entry(np.int64(4)) == 8
    assert not room.holds(entry)


def test_a_full_disk_ends_no_call(source, tmp_path):
    room = Room("room", [source])
    (tmp_path / "kept").mkdir(exist_ok=True)
    (tmp_path / "kept" / room.folder_name).touch()  # no folder: nothing can be written in it
    assert entry_of(room, source)(np.int64(4)) == 8


def test_damaged_code_is_compiled_anew(source, tmp_path):
    room = Room("room", [source])
    entry_of(room, source)(np.int64(4))
    for path in (tmp_path / "kept" / room.folder_name).iterdir():
        path.write_bytes(path.read_bytes()[:-7])
    assert entry_of(room, source)(np.int64(4)) == 8
    repaired = entry_of(room, source)
    assert repaired(np.int64(4)) == 8
    assert not repaired.stats.cache_misses


def test_code_that_others_could_have_put_there_is_not_run(tmp_path, monkeypatch):
    monkeypatch.setenv(compiled.SETTING, str(tmp_path / "kept"))
    assert why_not_kept() == ""
    (tmp_path / "kept").chmod(0o777)
    assert why_not_kept() == f"{tmp_path / 'kept'} belongs to another user, or others may write there"


def test_a_processor_is_of_the_best_level_that_it_has_all_of(monkeypatch):
    for level, features in LEVELS:
        has = dict.fromkeys(features, True) | {"avx512f": level == "x86-64-v3"}
        monkeypatch.setattr(compiled._llvm, "get_host_cpu_features", lambda has=has: has)
        monkeypatch.setattr(compiled.platform, "machine", lambda: "x86_64")
        lower = [name for name, needed in LEVELS if needed <= features]
        assert compiled._level() in {level, *lower}
    monkeypatch.setattr(compiled.platform, "machine", lambda: "aarch64")
    assert compiled._level() == "generic"


def test_why_a_package_is_not_used_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(kernels, "PACKAGED", tmp_path)
    monkeypatch.setattr(compiled, "PACKAGED", tmp_path)
    assert kernels.why_not_packaged() == []
    about = compiled.toolchain()._asdict()
    (tmp_path / kernels.ABOUT).write_text(json.dumps(about))
    assert kernels.why_not_packaged() == ["the sources were changed after they were compiled"]
    (tmp_path / kernels.ABOUT).write_text(json.dumps(about | {"numba": "0.1"}))
    assert kernels.why_not_packaged() == [f"numba: made with 0.1, here is {about['numba']}"]


def test_the_command_says_where_kernels_come_from():
    run = subprocess.run(
        [sys.executable, "-m", "engine", "kernels", "status", "--json"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "NUMBA_OPT": "1"},
    )
    told = json.loads(run.stdout)
    assert [room["room"] for room in told["rooms"]] == ["ledger", "routing", "planner"]
    assert {room["origin"] for room in told["rooms"]} == {"compile"}  # nobody compiles like that
    assert told["toolchain"]["settings"]["OPT"].endswith("(1)")
