"""Work beside the writer: a forked child sees the memory as it was, works out an answer, and sends it through a pipe.

The fork is all that the writer waits for; the kernel copies a page only when the writer changes it. One child works at
a time: who asks meanwhile waits for it.
"""

import ctypes
import gc
import os
import signal
from collections.abc import Callable, Generator
from typing import Final, NoReturn

import structlog

from engine.errors import RETRY_SECONDS, RefusedError
from ledger.archive import NICENESS

READ_BYTES: Final = 64 * 1024
"""What a pipe takes at once."""
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None)

log = structlog.get_logger("onhand.aside")


class Aside:
    """Lets children work, one at a time."""

    def __init__(self) -> None:
        self._is_busy = False

    def run(self, work: Callable[[], bytes]) -> Generator[None, None, bytes]:
        """Give what `work` returns, worked out by a child; yields while it is not there yet, and never waits.

        The child sees what is in memory when this begins. Closing the generator ends it.

        Raises
        ------
        RefusedError
            The child could not be started, or ended without an answer.
        """
        while self._is_busy:
            yield
        self._is_busy = True
        try:
            pid, reading = _fork(work)
            try:
                answer = yield from _read(reading)
                status = yield from _wait(pid)
                pid = 0
            finally:
                os.close(reading)
                if pid:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
        finally:
            self._is_busy = False
        if status != 0:
            reason = answer.decode("utf-8", "replace") or f"code {os.waitstatus_to_exitcode(status)}"
            log.error("a process beside the writer failed", reason=reason)
            raise RefusedError(
                "INTERNAL_ERROR", "The process that works on this call failed; the engine's log says why."
            )
        return answer


def _fork(work: Callable[[], bytes]) -> tuple[int, int]:
    """Start a child; returns its pid and where its answer can be read."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    parent = os.getpid()
    try:
        pid = os.fork()
        if pid == 0:
            _work_and_exit(writing, parent, work)
    except OSError as error:
        os.close(reading)
        raise RefusedError(
            "OVERLOADED",
            f"The process that works on this call could not be started: {error}; ask again later.",
            retry_seconds=RETRY_SECONDS,
        ) from error
    finally:
        os.close(writing)
    return pid, reading


def _read(reading: int) -> Generator[None, None, bytes]:
    """Give all that comes until the other end is closed."""
    parts: list[bytes] = []
    while True:
        try:
            part = os.read(reading, READ_BYTES)
        except BlockingIOError:
            yield
            continue
        if not part:
            return b"".join(parts)
        parts.append(part)


def _wait(pid: int) -> Generator[None, None, int]:
    """Give the status of a child that is about to end."""
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        yield


# ---- in the child ----------------------------------------------------------------------------------------------------


def leave_engine(report: int) -> None:
    """Give back what the engine shares with a child of it, which may outlive it; `report` stays open.

    Its sockets above all, and the lock of the data folder: clients must see a killed engine's connections close, and
    the next engine must get port and folder. Other threads of the engine may have held any lock when this process
    began: it touches nothing of theirs.
    """
    gc.disable()  # nothing is thrown away, and looking through everything would copy it
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nothing, stream)
    os.closerange(3, report)
    os.closerange(report + 1, os.sysconf("SC_OPEN_MAX"))
    os.nice(NICENESS)


def _work_and_exit(writing: int, parent: int, work: Callable[[], bytes]) -> NoReturn:
    """Send the answer and end; without the engine nobody wants it."""
    code = 1
    try:
        leave_engine(writing)
        _end_with(parent)
        _send(writing, work())
        code = 0
    except BaseException as error:  # noqa: BLE001 - whatever it is, the engine must hear of it and this process must end
        _send(writing, f"{type(error).__name__}: {error}".encode())
    finally:
        os._exit(code)


def _end_with(parent: int) -> None:
    """Let this process be killed when the engine ends; where the system cannot, it ends at the closed pipe."""
    if hasattr(_LIBC, "prctl"):
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _send(writing: int, answer: bytes) -> None:
    view = memoryview(answer)
    while view:
        view = view[os.write(writing, view) :]
