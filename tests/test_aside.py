"""Work beside the writer: what a child of this process is told, tells, and leaves behind."""

import gc
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

import psutil
import pytest

from engine.aside import READ_BYTES, Aside
from engine.errors import RefusedError

WAIT_SECONDS_MAX = 60.0


def finished(work: Generator[None, None, bytes]) -> bytes:
    """Go on with a work until it gives its answer."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while time.monotonic() < deadline:
        try:
            next(work)
        except StopIteration as end:
            return end.value
        os.sched_yield()
    raise AssertionError("the work did not come to an end")


def wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not is_so():
        assert time.monotonic() < deadline
        os.sched_yield()


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or waits only to be reaped by whoever has it now."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


@pytest.fixture(autouse=True)
def others() -> Generator[set[int], None, None]:
    """Children that are there before a test, which leaves neither one more nor a descriptor."""
    gc.collect()
    before, fds = children(), psutil.Process().num_fds()
    yield before
    gc.collect()
    assert (children(), psutil.Process().num_fds()) == (before, fds)


@pytest.mark.parametrize("size", [0, 1, READ_BYTES, 20 * READ_BYTES])
def test_an_answer_of_any_size_comes_whole(size):
    assert finished(Aside().run(lambda: bytes(range(256)) * (size // 256) + b"x" * (size % 256))) == (
        bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    )


def test_a_child_sees_what_was_there_when_it_began():
    seen = [1]
    work = Aside().run(lambda: bytes(seen))
    next(work)
    seen.append(2)
    assert finished(work) == b"\1"


def test_works_wait_for_each_other_and_each_sees_its_own_beginning(others):
    aside, seen = Aside(), [1]
    first, second = aside.run(lambda: bytes(seen)), aside.run(lambda: bytes(seen))
    next(first)
    next(second)
    assert len(children() - others) == 1
    assert finished(first) == b"\1"
    seen.append(2)
    assert finished(second) == b"\1\2"


def broken() -> bytes:
    raise ValueError("odd")


def killed() -> bytes:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


@pytest.mark.parametrize("work", [broken, killed])
def test_a_child_that_fails_is_told_and_the_next_one_works(work):
    aside = Aside()
    with pytest.raises(RefusedError) as refused:
        finished(aside.run(work))
    assert refused.value.reason == "INTERNAL_ERROR"
    assert finished(aside.run(lambda: b"well")) == b"well"


def for_ever() -> bytes:
    while True:
        signal.pause()


def test_a_work_that_is_given_up_leaves_nothing(others):
    aside = Aside()
    work = aside.run(for_ever)
    next(work)
    assert len(children() - others) == 1
    work.close()
    assert children() == others
    assert finished(aside.run(lambda: b"well")) == b"well"


ENGINE = """
import signal, sys
sys.path.insert(0, sys.argv[1])
from test_aside import for_ever
from engine.aside import Aside
import psutil
work = Aside().run(for_ever)
next(work)
print(psutil.Process().children()[0].pid, flush=True)
signal.pause()
"""


def test_a_child_ends_with_its_engine():
    with subprocess.Popen(
        [sys.executable, "-c", ENGINE, str(Path(__file__).parent)], stdout=subprocess.PIPE, text=True
    ) as engine:
        child = int(engine.stdout.readline())
        assert not has_ended(child)
        engine.kill()
    wait_for(lambda: has_ended(child))


def open_files() -> bytes:
    """What this process has open, by name."""
    links = [Path(f"/proc/self/fd/{number}") for number in range(256)]
    return repr([str(link.readlink()) for link in links if link.is_symlink()]).encode()


def test_a_child_keeps_nothing_of_its_engine_open(tmp_path: Path):
    with (tmp_path / "held").open("w") as held, socket.socket() as listener:
        told = finished(Aside().run(open_files)).decode()
        assert held.fileno() != listener.fileno()
    assert "held" not in told
    assert "socket" not in told
    assert "pipe" in told, "but for the one through which it answers"
