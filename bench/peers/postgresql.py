"""A function inside PostgreSQL that reserves: check, decrement, store the reservation and its expiry.

A private cluster in a temporary folder, reached over a unix socket; a transaction is on disk before its reply. pgbench,
a client in C, drives it with prepared statements.
"""

import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from bench.rows import BenchError, Sample
from bench.tools import find

SKUS: Final = 10_000
UNITS_PER_SKU: Final = 1_000_000_000
CLIENTS: Final = 16
THREADS: Final = 2
ZIPF_EXPONENT: Final = 1.07
START_SECONDS_MAX: Final = 60.0
STOP_SECONDS_MAX: Final = 60.0
RUN_SECONDS_MAX: Final = 120.0
POLL_SECONDS: Final = 0.05
FILL: Final = f"INSERT INTO stock SELECT n, {UNITS_PER_SKU} FROM generate_series(1, {SKUS}) n"  # noqa: S608 - numbers
DESCRIPTION: Final = f"pgbench -M prepared, {CLIENTS} clients"

# The server refuses to run as root.
USER_IN_PLACE_OF_ROOT: Final = ("postgres", "nobody")
SETTINGS: Final = {
    "listen_addresses": "",
    "max_connections": str(CLIENTS + 8),
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "1GB",
    # No checkpoint and no vacuum falls into a measurement.
    "checkpoint_timeout": "1h",
    "max_wal_size": "16GB",
    "autovacuum": "off",
}


class PostgresqlPeer:
    """The cluster with the function and its stock; a context manager.

    Raises
    ------
    ToolMissingError
        PostgreSQL's programs are not there.
    """

    def __init__(self) -> None:
        self._count = 0

    def __enter__(self) -> Self:
        self._pgbench, server, initdb = find("pgbench"), find("postgres"), find("initdb")
        self._psql = find("psql")
        with contextlib.ExitStack() as cleanup:
            self._folder = Path(cleanup.enter_context(_folder_of_user()))
            data = str(self._folder / "data")
            _run([initdb, "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale"], **_as_user())
            settings = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
            cleanup.enter_context(_server([server, "-D", data, "-k", str(self._folder), *settings]))
            self._wait_until_ready()
            self._sql(resources.files(__package__).joinpath("postgresql.sql").read_text("utf-8"))
            self._sql(FILL)
            self._sql("VACUUM ANALYZE stock")
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    def reserve(self, count: int, *, is_hot: bool) -> Sample:
        """Measure reservations a second, on one sku or on skus drawn by zipf, and check the sums."""
        sku = "1" if is_hot else f"random_zipfian(1, {SKUS}, {ZIPF_EXPONENT})"
        script = self._folder / "reserve.sql"
        script.write_text(f"\\set sku {sku}\nSELECT reserve(:sku, 1, interval '1 hour');\n", "utf-8")
        each = max(1, count // CLIENTS)
        flags = ["-M", "prepared", "-c", str(CLIENTS), "-j", str(THREADS), "-t", str(each), "-n", "-f", str(script)]
        output = _run([self._pgbench, *flags, *self._login(), "postgres"])
        found = re.search(r"^tps = ([\d.]+)", output, re.MULTILINE)
        if found is None:
            raise BenchError(f"pgbench: expected tps in what it prints, was: {output[-500:]}")
        self._count += each * CLIENTS
        return Sample(float(found[1]), self._check())

    def _check(self) -> list[str]:
        left, reserved = self._sql("SELECT sum(available), (SELECT count(*) FROM reservation) FROM stock").split("|")
        found = {"units taken": SKUS * UNITS_PER_SKU - int(left), "reservations": int(reserved)}
        return [
            f"PostgreSQL function, {what}: expected {self._count}, was {was}"
            for what, was in found.items()
            if was != self._count
        ]

    def _login(self) -> list[str]:
        return ["-h", str(self._folder), "-U", "postgres"]

    def _sql(self, statement: str) -> str:
        return _run([self._psql, *self._login(), "-AtqX", "-v", "ON_ERROR_STOP=1", "-c", statement, "postgres"])

    def _wait_until_ready(self) -> None:
        """Return once statements are answered; raises BenchError after a while."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                self._sql("SELECT 1")
            except BenchError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_SECONDS)
            else:
                return


def _as_user() -> dict[str, Any]:
    """Return the arguments that let a child not run as root."""
    return {"user": _user().pw_uid, "group": _user().pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}


def _user() -> pwd.struct_passwd:
    known = {user.pw_name: user for user in pwd.getpwall()}
    return next(known[name] for name in USER_IN_PLACE_OF_ROOT if name in known)


@contextlib.contextmanager
def _folder_of_user() -> Iterator[str]:
    """Yield a temporary folder that belongs to the user who runs the server."""
    folder = tempfile.mkdtemp(prefix="onhand-bench-")
    try:
        if os.geteuid() == 0:
            os.chown(folder, _user().pw_uid, _user().pw_gid)
        yield folder
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def _server(command: list[str]) -> Iterator[None]:
    """Run the server, and stop it without waiting for its clients."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdout=quiet, stderr=quiet, cwd="/", **_as_user())  # noqa: S603 - postgres
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)  # "fast shutdown"
        process.wait(STOP_SECONDS_MAX)


def _run(command: list[str], **more: Any) -> str:
    """Run a program to its end and return what it printed; raises BenchError if it fails."""
    try:
        done: subprocess.CompletedProcess[str] = subprocess.run(  # noqa: S603 - PostgreSQL's programs
            command, check=True, capture_output=True, text=True, timeout=RUN_SECONDS_MAX, cwd="/", **more
        )
    except subprocess.CalledProcessError as error:
        raise BenchError(f"{Path(command[0]).name}: {error.stderr[-500:]}") from error
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{Path(command[0]).name}: expected to end within {RUN_SECONDS_MAX:g} s") from error
    return done.stdout.strip()
