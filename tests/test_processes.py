"""Looks at other processes: whatever ends between two of them, no look fails, and a process is gone only when it is."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from faults.processes import (
    bytes_of,
    end,
    end_all_in,
    free_port,
    has_ended,
    processes_in,
    stopped,
    wait_for_end,
    wait_until,
)

WAITS = 'cd "$0" && echo there && read line'
FORKS = 'cd "$0" && { sleep 1000 & echo there; read line; }'


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a process that works in the test's folder until its input ends."""
    made: list[subprocess.Popen[str]] = []

    def start(program: str = WAITS) -> subprocess.Popen[str]:
        command = ["/bin/sh", "-c", program, str(tmp_path)]
        made.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        assert made[-1].stdout is not None
        assert made[-1].stdout.readline() == "there\n"
        return made[-1]

    yield start
    for process in made:
        with process:  # closes its pipes
            process.kill()


class Mortal:
    """Ends a process around the looks at it: it runs at first, and is gone before or after a look returns."""

    def __init__(self, child: subprocess.Popen[str], when: str, *, is_reaped: bool) -> None:
        self._child = child
        self._when = when
        self._is_reaped = is_reaped
        self.has_died = False

    def around(self, look: Callable[..., Any]) -> Callable[..., Any]:
        def looks(process: psutil.Process, *arguments: Any) -> Any:
            if process.pid == self._child.pid and self._when == "before":
                self.die()
            try:
                return look(process, *arguments)
            finally:
                if process.pid == self._child.pid:
                    self.die()

        return looks

    def die(self) -> None:
        if not self.has_died:
            os.kill(self._child.pid, signal.SIGKILL)
            os.waitid(os.P_PID, self._child.pid, os.WEXITED | (0 if self._is_reaped else os.WNOWAIT))
            self.has_died = True


@pytest.mark.parametrize("asks", ["has_ended", "wait_for_end", "processes_in"])
@pytest.mark.parametrize("look", ["is_running", "status", "cwd", "ppid"])
def test_a_process_may_end_around_any_look(started, tmp_path, monkeypatch, look, asks):
    for when in ("before", "after"):
        for is_reaped in (True, False):
            child = started()
            process, mortal = psutil.Process(child.pid), Mortal(child, when, is_reaped=is_reaped)
            with monkeypatch.context() as patched:
                patched.setattr(psutil.Process, look, mortal.around(getattr(psutil.Process, look)))
                if asks == "processes_in":
                    processes_in(tmp_path)
                elif asks == "has_ended":
                    has_ended(process)
                else:
                    with contextlib.suppress(TimeoutError):  # of looks that are not among those it takes
                        wait_for_end(process, 0)
            mortal.die()
            assert has_ended(process)
            assert processes_in(tmp_path) == []


def test_a_process_that_runs_has_not_ended(started, tmp_path):
    process = psutil.Process(started().pid)
    assert not has_ended(process)
    assert processes_in(tmp_path) == [process]
    assert process in processes_in(tmp_path.parent)
    with stopped(process):
        assert not has_ended(process)
    end(process)
    assert has_ended(process)


def test_what_a_process_starts_beside_it_does_not_count(started, tmp_path):
    """As a journal server does that writes its file anew."""
    child = started(FORKS)
    assert [process.pid for process in processes_in(tmp_path)] == [child.pid]
    end_all_in(tmp_path)
    assert processes_in(tmp_path) == []


@pytest.mark.parametrize("kind", [psutil.Process, subprocess.Popen])
def test_a_process_that_ends_while_it_stands_still(started, kind):
    child = started()
    with stopped(child if kind is subprocess.Popen else psutil.Process(child.pid)) as go_on:
        child.kill()
        child.wait()
        go_on()
    assert child.returncode == -signal.SIGKILL


def test_a_file_that_is_deleted_meanwhile_has_no_size(tmp_path):
    kept, gone = tmp_path / "kept", tmp_path / "gone"
    kept.write_bytes(b"123")
    assert bytes_of([kept, gone]) == 3


def test_a_port_is_given_to_one_test_only():
    program = "from faults.processes import free_port; print(free_port(), flush=True); input()"
    command = [sys.executable, "-c", program]
    folder = Path(__file__).parent
    others = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder)
        for _ in range(4)
    ]
    try:
        ports = [int(other.stdout.readline()) for other in others] + [free_port() for _ in range(20)]
    finally:
        for other in others:
            other.communicate("\n")
    assert len(set(ports)) == len(ports)


def test_what_never_comes_is_named():
    with pytest.raises(TimeoutError, match=r"waited 0 s for this: the impossible"):
        wait_until(lambda: False, "the impossible", 0)
