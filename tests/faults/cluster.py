"""The processes of a run: a journal server, and engines that reach it through fault proxies."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Self

import grpc
from onhand.admin.v1 import admin_service_pb2 as admin
from onhand.admin.v1.admin_service_pb2_grpc import AdminServiceStub

from ledger.journal.connection import Address, JournalConnection
from ledger.journal.embedded import find_server_binary
from ledger.journal.errors import JournalUnavailable
from ledger.journal.server_check import parse_info

from .processes import HOST, WAIT_SECONDS, bytes_of, free_port, wait_until
from .proxy import FaultProxy

STATUS_SECONDS: Final = 0.5
COMPLAINTS: Final = ("Traceback", "JournalCorrupt", "DigestMismatch", "could not be answered", "checksum chain")
NO_SNAPSHOT: Final = "expected a snapshot to begin with"
LEASE_SECONDS: Final = 1.0
"""Of the primary: short, so that there can be many rounds."""


class _Process:
    """A process of ours that is killed, stopped, and started again on the same place."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def _spawn(self, command: Sequence[str], **options: Any) -> None:
        assert not self.is_running
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                list(command), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, **options
            )

    @property
    def is_running(self) -> bool:
        """Whether the process is there, perhaps stopped."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Of a process that ended; None before."""
        return None if self._process is None else self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to a process that is there."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> float:
        """Kill it, as a crash would; returns when, on the monotonic clock."""
        assert self._process is not None
        at = time.monotonic()
        self._process.kill()
        self._process.wait(WAIT_SECONDS)
        return at

    def terminate(self) -> int:
        """Ask it to end; returns its exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(WAIT_SECONDS)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop it for a while, as a machine that is too busy would."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def end(self) -> None:
        """Be sure that it is gone."""
        if self.is_running:
            self.kill()


class JournalServer(_Process):
    """A journal server on a port of its own, with every write fsynced before its reply."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "server.log")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()

    @property
    def url(self) -> str:
        """Where it is, past all proxies."""
        return f"redis://{HOST}:{self.port}"

    def start(self) -> None:
        """Start it, and return once it has loaded its journal."""
        settings = {
            "port": str(self.port),
            "bind": HOST,
            "dir": str(self.folder),
            "save": "",
            "aof-load-truncated": "yes",
            "auto-aof-rewrite-percentage": "0",
            "appendonly": "yes",
            "appendfsync": "always",
            "no-appendfsync-on-rewrite": "no",
            "maxmemory-policy": "noeviction",
        }
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        # Python ignores SIGXFSZ, and hands that on: at a file's limit a write fails, as on a full disk.
        self._spawn([str(find_server_binary()), *words], restore_signals=False)
        wait_until(self._is_ready, "the journal server is ready")

    def _is_ready(self) -> bool:
        if not self.is_running:
            raise RuntimeError(f"The journal server ended with {self.exit_code}; its log: {self._log}")
        try:
            self.call("PING")
        except JournalUnavailable:
            return False
        return True

    def call(self, *words: bytes | str | int) -> Any:
        """Send one command past all proxies, and return its reply."""
        connection = JournalConnection(Address(self.url), WAIT_SECONDS)
        try:
            return connection.call(*words)
        finally:
            connection.close()

    def used_bytes(self) -> int:
        """Return the memory it uses."""
        return int(parse_info(self.call("INFO", "memory"))["used_memory"])

    def append_only_files(self) -> list[Path]:
        """Return the files of its journal, the newest last."""
        return sorted((self.folder / "appendonlydir").glob("*.incr.aof"), key=_file_number)

    def limit_files(self, more_bytes: int) -> None:
        """Let its files grow by so many bytes, and then fail, as on a full disk; the last write goes in by a part."""
        assert self._process is not None
        size = bytes_of(self.append_only_files()[-1:])
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (size + more_bytes, resource.RLIM_INFINITY))


def _file_number(path: Path) -> int:
    """Return the number in a name such as `appendonly.aof.12.incr.aof`."""
    return int(path.name.split(".")[2])


class Engine(_Process):
    """An engine that stands by, and takes over when there is no primary.

    Parameters
    ----------
    name
        For logs and messages.
    folder
        Its own.
    journal_port
        Where it finds the journal: its proxy's port.
    command
        What runs it, before the flags.
    flags
        Further flags.
    code
        Folder of the modules and the environment of another release; None for this one.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        journal_port: int,
        *,
        command: Sequence[str],
        flags: Sequence[str],
        code: Path | None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder / f"{name}.log")
        self.name = name
        self.log = folder / f"{name}.log"
        self.address = f"{HOST}:{free_port()}"
        self.data_folder = folder / name
        self.snapshot_folder = folder / name / "snapshots"
        self.archive_folder = folder / name / "history"
        self.lease_seconds = LEASE_SECONDS
        """Of the primary; counts from the next start on."""
        self.code = code
        """Which release it is, from the next start on."""
        self._command = command
        self._flags = (
            *("--journal", f"redis://{HOST}:{journal_port}", "--data-folder", str(folder / name)),
            *("--port", self.address.rpartition(":")[2], "--log-format", "json", "--journal-timeout-seconds", "2"),
            *flags,
        )
        self._channel = grpc.insecure_channel(
            self.address,
            options=[("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 200)],
        )
        self._admin = AdminServiceStub(self._channel)

    def start(self) -> None:
        """Start it; it stands by until there is no primary."""
        flags = [*self._flags, "--lease-seconds", str(self.lease_seconds)]
        command = [str(self.code / OWN_PYTHON), "-E", *self._command[1:]] if self.code else self._command
        self._spawn([*command, *flags], env={**os.environ, "ONHAND_STANDBY": "true"}, cwd=self.code)

    def status(self) -> admin.GetStatusResponse | None:
        """Ask how it is; None if it does not answer."""
        try:
            return self._admin.GetStatus(admin.GetStatusRequest(), timeout=STATUS_SECONDS)
        except grpc.RpcError:
            return None

    def verify(self) -> admin.VerifyLedgerResponse:
        """Let it recount its ledger."""
        return self._admin.VerifyLedger(admin.VerifyLedgerRequest(), timeout=WAIT_SECONDS)

    def is_primary(self) -> bool:
        """Whether it says that it is the primary."""
        status = self.status()
        return status is not None and status.role == admin.ROLE_PRIMARY

    def is_standby(self) -> bool:
        """Whether it says that it stands by."""
        status = self.status()
        return status is not None and status.role == admin.ROLE_STANDBY

    def close(self) -> None:
        """Be sure that it is gone."""
        self.end()
        self._channel.close()

    def complaints(self) -> list[str]:
        """Return what its log has of bugs: tracebacks, and journals that a person must look at."""
        return [line for line in self._logged() if any(mark in line for mark in COMPLAINTS)]

    def happenings(self) -> Counter[str]:
        """Count the events of its log."""
        found: Counter[str] = Counter()
        for line in self._logged():
            if line.startswith("{"):
                record = json.loads(line)
                found[record["event"]] += 1
                found["recovered from a snapshot"] += record.get("snapshot_seq", 0) > 0
        return found

    def _logged(self) -> list[str]:
        return self.log.read_text(errors="replace").splitlines() if self.log.exists() else []


OWN_PYTHON: Final = ".venv/bin/python"
"""Of another release, in the folder of its modules: an environment with its packages. What PYTHONPATH says, this one's
modules perhaps, it is told to leave aside."""
ENGINE_COMMAND: Final = (sys.executable, "-m", "engine", "serve")


class Cluster:
    """A journal server and engines, each behind a proxy of its own; a context manager.

    Parameters
    ----------
    folder
        For files and logs.
    engine_count
        How many engines; those after the first stand by.
    command
        What runs an engine, before its flags.
    flags
        Further flags of each engine.
    code
        Folder of the modules and the environment of another release, of which the engines are at first; None for this
        one.
    """

    def __init__(
        self,
        folder: Path,
        *,
        engine_count: int = 2,
        command: Sequence[str] = ENGINE_COMMAND,
        flags: Sequence[str] = (),
        code: Path | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self._code = code
        self._engine_count = engine_count
        self._command = command
        self._flags = flags
        self.exits: Counter[int] = Counter()
        """Exit codes of the engines that were started again."""
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as cleanup:
            self.server = JournalServer(self.folder / "server")
            cleanup.callback(self.server.end)
            self.server.start()
            self.proxies = [cleanup.enter_context(FaultProxy(self.server.port)) for _ in range(self._engine_count)]
            self.engines = [
                Engine(
                    f"engine-{place}",
                    self.folder,
                    proxy.port,
                    command=self._command,
                    flags=self._flags,
                    code=self._code,
                )
                for place, proxy in enumerate(self.proxies)
            ]
            for engine in self.engines:
                cleanup.callback(engine.close)
                engine.start()
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    @property
    def addresses(self) -> list[str]:
        """Of all engines."""
        return [engine.address for engine in self.engines]

    @property
    def archive_folders(self) -> list[Path]:
        """Where engines put what they trimmed off the journal."""
        return [engine.archive_folder for engine in self.engines]

    def primary(self) -> Engine:
        """Return the engine that is the primary, once one is."""
        return wait_until(
            lambda: next((each for each in self.engines if each.is_primary()), None), "there is a primary"
        )

    def standby(self) -> Engine:
        """Return an engine that follows, once one has applied what was durable when it was asked for."""
        seqs = wait_until(self._durable_seqs, "a primary tells its position")
        return wait_until(lambda: self._follower(max(seqs)), "a standby has caught up")

    def _durable_seqs(self) -> list[int]:
        return [status.seq_durable for _, status in self._statuses() if status.role == admin.ROLE_PRIMARY]

    def _follower(self, seq: int) -> Engine | None:
        for engine, status in self._statuses():
            if status.role == admin.ROLE_STANDBY and status.seq_applied >= seq:
                return engine
        return None

    def _statuses(self) -> Iterator[tuple[Engine, admin.GetStatusResponse]]:
        self.revive()
        for engine in self.engines:
            status = engine.status() if engine.is_running else None
            if status is not None:
                yield engine, status

    def revive(self) -> list[Engine]:
        """Start the engines that ended, as a supervisor would; returns them."""
        ended = [engine for engine in self.engines if not engine.is_running]
        for engine in ended:
            assert engine.exit_code is not None
            self.exits[engine.exit_code] += 1
            engine.start()
        return ended
