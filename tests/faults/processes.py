"""Other processes, as a test sees them: each may end between any two looks at it, and no look fails because of that.

Whoever asks for a process, a port, or a condition that another process brings about asks here.
"""

import fcntl
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import psutil

Found = TypeVar("Found")

HOST: Final = "127.0.0.1"
POLL_SECONDS: Final = 0.005
WAIT_SECONDS: Final = 60.0
"""How long anything is waited for that must come: far beyond what a busy machine takes, so only bugs reach it."""
PORTS: Final = range(20_000, 32_000)
"""Below those that systems give to connections, any of which could take a port that was seen to be free."""

_held_ports: Final[list[int]] = []


def wait_until(
    holds: Callable[[], Found | None], what: str = "the condition", timeout_seconds: float = WAIT_SECONDS
) -> Found:
    """Wait for a condition, and return what it gave.

    Raises
    ------
    TimeoutError
        It did not come true in time.
    """
    deadline = time.monotonic() + timeout_seconds
    while not (found := holds()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_seconds:g} s for this: {what}")
        time.sleep(POLL_SECONDS)
    return found


def has_ended(process: psutil.Process) -> bool:
    """Whether a process runs no more; a zombie does not, nor does one whose id is another's by now."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # between the two looks
        return True


def wait_for_end(process: psutil.Process, timeout_seconds: float = WAIT_SECONDS) -> None:
    """Return once a process, a child of anybody's, has ended."""
    wait_until(lambda: has_ended(process), f"process {process.pid} has ended", timeout_seconds)


def processes_in(folder: Path) -> list[psutil.Process]:
    """Return the processes that work in a folder or below, but for those that they started there themselves."""
    place = folder.resolve()
    found = {process.pid: process for process in psutil.process_iter() if _works_in(process, place)}
    return [process for process in found.values() if _parent_id(process) not in found and not has_ended(process)]


def _works_in(process: psutil.Process, place: Path) -> bool:
    try:
        return Path(process.cwd()).is_relative_to(place)
    except psutil.Error:
        return False


def _parent_id(process: psutil.Process) -> int:
    try:
        return process.ppid()
    except psutil.Error:
        return 0


def server_in(folder: Path) -> psutil.Process:
    """Return the journal server of a data folder, whoever started it."""
    return wait_until(lambda: next(iter(processes_in(folder)), None), f"a journal server in {folder}")


def end_all_in(folder: Path) -> None:
    """Kill what works in a folder or below, and return once it has ended."""
    while left := processes_in(folder):
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
            wait_for_end(process)


def end(process: psutil.Process) -> None:
    """Kill a process, and return once it has ended."""
    process.kill()
    wait_for_end(process)


@contextmanager
def stopped(process: psutil.Process | subprocess.Popen[Any]) -> Iterator[Callable[[], None]]:
    """Let a process stand still until the block ends, or until it is told to go on."""

    def go_on() -> None:
        with suppress(psutil.NoSuchProcess):  # it was killed meanwhile
            process.send_signal(signal.SIGCONT)

    process.send_signal(signal.SIGSTOP)
    try:
        yield go_on
    finally:
        go_on()


def bytes_of(paths: Iterable[Path]) -> int:
    """Return the size of files; what their process has deleted meanwhile has none."""
    total = 0
    for path in paths:
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def free_port() -> int:
    """Return a port that nobody listens on, and that no other test is given while this process lives."""
    folder = Path(tempfile.gettempdir()) / f"onhand-test-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for place in range(len(PORTS)):
        port = PORTS[(os.getpid() * 16 + place) % len(PORTS)]  # processes look in different places first
        lock = os.open(folder / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with suppress(OSError), socket.socket() as probe:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            probe.bind((HOST, port))
            _held_ports.append(lock)
            return port
        os.close(lock)
    raise RuntimeError(f"every port from {PORTS.start} to {PORTS.stop - 1} is taken")
