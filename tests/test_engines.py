"""Forks of the template are engines as `onhand serve` starts them; what else the tests show rests on that."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from engines import ForkedEngine
from faults.processes import WAIT_SECONDS, wait_for_end
from harness import Client

from engine.launch import EngineProcess


def flags(folder: Path, *further: str) -> list[str]:
    return ["--port", "0", "--data-folder", str(folder / "data"), *further]


@pytest.mark.parametrize("wrong", [("--transport", "tcp"), ("--no-such-flag",), ("--journal", "redis://127.0.0.1:1")])
def test_a_fork_says_what_a_process_says_and_ends_with_its_exit_code(wrong, tmp_path):
    told = {}
    for kind in (ForkedEngine, EngineProcess):
        log = tmp_path / f"{kind.__name__}.log"
        with pytest.raises(RuntimeError) as error:
            kind(flags(tmp_path, *wrong), log_file=log).start()
        message = str(error.value).replace(str(log), "LOG")
        told[kind] = message, log.read_text()
    assert told[ForkedEngine] == told[EngineProcess]


def test_a_fork_has_its_own_environment_folder_and_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    environment = {**os.environ, "ONHAND_DATA_FOLDER": "here", "ONHAND_LOG_LEVEL": "error"}
    monkeypatch.setenv("ONHAND_LOG_FORMAT", "nonsense")
    log = tmp_path / "engine.log"
    with ForkedEngine(["--port", "0"], log_file=log, environment=environment) as engine:
        assert (tmp_path / "here" / "engine.lock").exists()
        process = psutil.Process(engine.process.pid)
        assert process.cwd() == str(tmp_path)
        assert not [each for each in process.open_files() if not Path(each.path).is_relative_to(tmp_path)]
    assert log.read_text() == ""


def test_signals_reach_a_fork_and_its_end_is_told(tmp_path):
    with ForkedEngine(flags(tmp_path), log_file=tmp_path / "engine.log") as engine:
        assert engine.process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            engine.process.wait(0)
        engine.process.send_signal(signal.SIGINT)
        assert engine.process.wait(WAIT_SECONDS) == 0
    engine.start()
    assert engine.kill() == engine.process.poll() == -signal.SIGKILL
    engine.process.terminate()  # nobody is there, or another process with its pid
    engine.start()
    with Client(engine.address) as client:
        assert client.status().epoch == 3
    assert engine.stop() == 0


def test_what_is_read_at_import_takes_a_process_of_its_own(tmp_path):
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    with pytest.raises(ValueError, match="NUMBA_"):
        ForkedEngine(flags(tmp_path), environment=environment).start()


def test_forks_end_with_the_process_that_asked_for_them(tmp_path):
    program = (
        "import os, sys; from engines import ForkedEngine; "
        "engine = ForkedEngine(sys.argv[1:]); engine.start(); print(engine.process.pid, flush=True); os._exit(0)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, *flags(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    ) as asker:
        engine = psutil.Process(int(asker.stdout.readline()))
    wait_for_end(engine)
