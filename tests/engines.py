"""Engines and commands of tests without the seconds that each start costs: forks of a process with everything loaded.

    test ─order, files→ template (imports done, kernels loaded, one thread) ─fork→ `onhand serve FLAGS`
         ←pid, exit code──

A fork goes through the same command with the same flags as `python -m engine serve`; what only a process of its own
shows (imports, messages while it starts, the command itself) is tested with real ones: `test_cli.py`.
"""

import atexit
import contextlib
import functools
import gc
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, NoReturn

from engine.launch import EngineProcess

ROOT: Final = Path(__file__).parent.parent
READ_AT_IMPORT: Final = ("NUMBA_", "GRPC_", "OPENBLAS_", "PYTHON")
"""Beginnings of names of environment variables that a fork reads no more."""
END_SECONDS: Final = 10.0
"""How long the engines of a test process that is gone may drain."""
_NUMBER: Final = struct.Struct("i")
_FILE_COUNT: Final = 3


class ForkedEngine(EngineProcess):
    """An engine as `EngineProcess` starts it, forked from this process's template.

    Raises
    ------
    ValueError
        Its environment has other variables of READ_AT_IMPORT than this process: it has to be an `EngineProcess`.
    """

    def _spawn(self, errors: IO[str] | None) -> Any:
        environment = dict(os.environ if self._environment is None else self._environment)
        return _fork(["serve", *self._flags], environment, errors.fileno() if errors else 2)


def run_forked(arguments: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command of `onhand` to its end, as `subprocess.run` would, in a fork.

    Raises
    ------
    ValueError
        As of ForkedEngine: it takes a process of its own.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        process = _fork(arguments, environment, errors.fileno())
        with process.stdout:
            output = process.stdout.read()
        code = process.wait()
        errors.seek(0)
        return subprocess.CompletedProcess(arguments, code, output, errors.read())


def _fork(arguments: Sequence[str], environment: Mapping[str, str], errors: int) -> "ForkedProcess":
    if _read_at_import(environment) != _read_at_import(os.environ):
        raise ValueError(f"expected no other {', '.join(READ_AT_IMPORT)} variables than those of this process")
    return _template().fork(arguments, environment, errors)


def _read_at_import(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(READ_AT_IMPORT)}


@functools.cache
def _template() -> "Template":
    template = Template()
    atexit.register(template.close)
    return template


class Template:
    """The process that is forked, as the test process sees it."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        self._lock = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.engines", str(theirs.fileno())],
                cwd=ROOT,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # a process with threads cannot be forked safely
                pass_fds=[theirs.fileno()],
                stdout=subprocess.DEVNULL,
            )

    def fork(self, arguments: Sequence[str], environment: Mapping[str, str], errors: int) -> "ForkedProcess":
        """Run the command line with these arguments in a fork; `errors` is the file of its standard error."""
        order = json.dumps([arguments, environment, str(Path.cwd())]).encode()
        output, its_output = os.pipe()
        news, its_news = os.pipe()
        try:
            with self._lock:
                files = [its_output, errors, its_news]
                socket.send_fds(self._control, [_NUMBER.pack(len(order))], files)
                self._control.sendall(order)
        finally:
            os.close(its_output)
            os.close(its_news)
        return ForkedProcess(open(output, encoding="utf-8"), news)  # noqa: PTH123 - open as long as of Popen

    def close(self) -> None:
        """End it, and what it forked."""
        self._control.close()
        self._process.wait()


class ForkedProcess:
    """What tests use of `subprocess.Popen`, for a child of the template."""

    def __init__(self, stdout: IO[str], news: int) -> None:
        self.stdout = stdout
        self.returncode: int | None = None
        self._news = news
        self._lock = threading.Lock()
        self.pid = self._read()

    def poll(self) -> int | None:
        """Return its exit code; None while it runs."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit code, once it has ended."""
        code = self._look(timeout)
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired("onhand serve", timeout)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it ended just now
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def _look(self, timeout: float | None) -> int | None:
        with self._lock:
            if self.returncode is None and select.select([self._news], [], [], timeout)[0]:
                self.returncode = self._read()
                os.close(self._news)
            return self.returncode

    def _read(self) -> int:
        number = os.read(self._news, _NUMBER.size)
        if not number:
            raise RuntimeError("the template of the engines ended; standard error says why")
        return _NUMBER.unpack(number)[0]


# ---- in the template -------------------------------------------------------------------------------------------------


class Order(NamedTuple):
    """What a fork is to run."""

    arguments: list[str]
    environment: dict[str, str]
    folder: str
    files: list[int]
    """Its standard output and error, and where its pid and exit code go."""


def _load_everything() -> None:
    """Import and load what an engine does, and leave no threads behind."""
    import engine.cli  # noqa: PLC0415 - in the template alone
    import engine.service  # noqa: F401, PLC0415 - the same
    from engine.transport import grpcio, native  # noqa: F401, PLC0415 - the same
    from engine.warmup import warm_up  # noqa: PLC0415 - the same

    warm_up(lambda _: None)
    gc.collect()
    gc.freeze()
    assert threading.active_count() == 1


class Forks:
    """The engines that were forked, until each has ended."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._news: dict[int, int] = {}
        self._woken, self._waking = socket.socketpair()
        for end in (self._woken, self._waking):
            end.settimeout(0)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waking.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the test process ends, and then this one

    def next_order(self) -> Order:
        """Tell of ends, and fork; returns in each fork what it is to run, and never here."""
        while True:
            ready, _, _ = select.select([self._control, self._woken], [], [])
            if self._woken in ready:
                self._woken.recv(4096)
                self._tell_of_ends()
            if self._control in ready:
                order = _receive(self._control)
                if order is None:
                    self._end()
                pid = os.fork()
                if pid == 0:
                    self._leave()
                    return order
                *others, news = order.files
                for file in others:
                    os.close(file)
                self._news[pid] = news
                os.write(news, _NUMBER.pack(pid))

    def _tell_of_ends(self) -> None:
        while self._news:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            news = self._news.pop(pid)
            with contextlib.suppress(BrokenPipeError):  # nobody asks any more
                os.write(news, _NUMBER.pack(os.waitstatus_to_exitcode(status)))
            os.close(news)

    def _leave(self) -> None:
        """In a fork: nothing here is its own."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for end in (self._control, self._woken, self._waking):
            end.close()

    def _end(self) -> NoReturn:
        """End all engines: the test process is gone."""
        until = time.monotonic() + END_SECONDS
        for pid in self._news:
            os.kill(pid, signal.SIGCONT)
            os.kill(pid, signal.SIGTERM)
        while self._news and time.monotonic() < until:
            select.select([self._woken], [], [], until - time.monotonic())
            self._tell_of_ends()
        for pid in self._news:
            os.kill(pid, signal.SIGKILL)
        os._exit(0)


def _receive(control: socket.socket) -> Order | None:
    head, files, _, _ = socket.recv_fds(control, _NUMBER.size, _FILE_COUNT)
    if not head:
        return None
    (size,) = _NUMBER.unpack(head)
    arguments, environment, folder = json.loads(control.recv(size, socket.MSG_WAITALL))
    return Order(arguments, environment, folder, files)


# ---- in a fork -------------------------------------------------------------------------------------------------------


def _become(order: Order) -> None:
    """Run the command with the files, the folder and the environment of the order; what else is open is not ours."""
    for stream, file in enumerate(order.files[:2], start=1):
        os.dup2(file, stream)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(order.folder)
    os.environ.clear()
    os.environ.update(order.environment)
    sys.argv = ["onhand", *order.arguments]
    try:
        runpy.run_module("engine", run_name="__main__", alter_sys=True)  # `python -m engine`
    except SystemExit as error:
        _end_at_once(error.code)


def _end_at_once(code: object) -> NoReturn:
    """End without taking apart, object by object, what the template had loaded: half a second of each engine."""
    atexit._run_exitfuncs()
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1 if code else 0)


if __name__ == "__main__":
    _load_everything()
    _become(Forks(socket.socket(fileno=int(sys.argv[1]))).next_order())
