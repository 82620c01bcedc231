"""Running an engine as a process of its own: for the demo, and for whoever tests against a real one."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

SERVING_LINE: Final = "onhand is serving at "
STOP_SECONDS: Final = 60.0


class EngineProcess:
    """`onhand serve` in a process of its own; a context manager that waits until it serves, and stops it.

    Parameters
    ----------
    flags
        Flags of `onhand serve`.
    log_file
        Where its logs go; None shows them on standard error.
    environment
        Environment variables; None for those of this process.

    Raises
    ------
    RuntimeError
        The engine ended before it served; the message says where its log is.
    """

    def __init__(
        self, flags: Sequence[str], *, log_file: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self._flags = flags
        self._log_file = log_file
        self._environment = environment
        self.process: subprocess.Popen[str] | None = None
        self.address = ""

    def __enter__(self) -> Self:
        """Start and wait."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def start(self) -> None:
        """Start, and return once it serves."""
        assert self.process is None or self.process.poll() is not None, "it runs already"
        log = self._log_file.open("a", encoding="utf-8") if self._log_file else None
        try:
            self.process = self._spawn(log)
        finally:
            if log:
                log.close()
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(SERVING_LINE):
                self.address = line.removeprefix(SERVING_LINE).split()[0]
                return
        self.process.stdout.close()
        code = self.process.wait()
        raise RuntimeError(f"onhand serve ended with exit code {code}; its log: {self._log_file or 'above'}")

    def _spawn(self, errors: IO[str] | None) -> subprocess.Popen[str]:
        return subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "engine", "serve", *self._flags],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=self._environment,
        )

    def stop(self) -> int:
        """Ask it to drain and end; returns its exit code."""
        return self._end("terminate")

    def kill(self) -> int:
        """Kill it, as a crash would; returns its exit code."""
        return self._end("kill")

    def _end(self, how: str) -> int:
        assert self.process is not None
        getattr(self.process, how)()
        code = self.process.wait(STOP_SECONDS)
        if self.process.stdout:
            self.process.stdout.close()
        return code
