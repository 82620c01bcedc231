"""A function inside Valkey that reserves: check, decrement, store the reservation and its expiry.

The server is started with the settings of the engine's own journal server: each group of commands is fsynced before its
replies. redis-benchmark, a client in C, drives it over a unix socket.
"""

import contextlib
import csv
import subprocess
import tempfile
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import unquote, urlsplit

from bench.rows import BenchError, Sample
from bench.tools import find
from ledger.journal.connection import Address, JournalConnection
from ledger.journal.embedded import EmbeddedServer

SKUS: Final = 10_000
UNITS_PER_SKU: Final = 1_000_000_000
PIPELINE_DEPTH: Final = 32
CONNECTIONS: Final = 16
"""Of 1 to 50 that were tried, about where the rate stops to grow."""
TTL_SECONDS: Final = 3_600
RUN_SECONDS_MAX: Final = 120.0
CALL_SECONDS: Final = 60.0
DESCRIPTION: Final = f"redis-benchmark, {CONNECTIONS} connections, each {PIPELINE_DEPTH} deep"


class ValkeyPeer:
    """The server with the function and its stock; a context manager.

    Raises
    ------
    ToolMissingError
        There is no redis-benchmark.
    """

    def __init__(self) -> None:
        self._count = 0

    def __enter__(self) -> Self:
        self._program = find("redis-benchmark")
        with contextlib.ExitStack() as cleanup:
            folder = cleanup.enter_context(tempfile.TemporaryDirectory(prefix="onhand-bench-"))
            server = cleanup.enter_context(EmbeddedServer(Path(folder)))
            self._socket = unquote(urlsplit(server.url).path)
            self._connection = JournalConnection(Address(server.url), CALL_SECONDS)
            cleanup.callback(self._connection.close)
            function = resources.files(__package__).joinpath("valkey_function.lua").read_text("utf-8")
            self._connection.call("FUNCTION", "LOAD", function)
            stock = [word for number in range(SKUS) for word in (f"stock:{number:012}", str(UNITS_PER_SKU))]
            self._connection.call("MSET", *stock)
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    def reserve(self, count: int, *, connections: int = CONNECTIONS) -> Sample:
        """Measure reservations a second on skus drawn at random, and check the sums; only whole pipelines are sent."""
        assert count % PIPELINE_DEPTH == 0
        flags = ["-s", self._socket, "-c", str(connections), "-P", str(PIPELINE_DEPTH), "-r", str(SKUS)]
        call = ["FCALL", "reserve", "1", "stock:__rand_int__", "1", str(TTL_SECONDS)]
        try:
            output = subprocess.run(  # noqa: S603 - redis-benchmark
                [self._program, *flags, "-n", str(count), "--csv", *call],
                capture_output=True,
                check=True,
                text=True,
                timeout=RUN_SECONDS_MAX,
            ).stdout
        except subprocess.SubprocessError as error:
            raise BenchError(f"redis-benchmark: {error}") from error
        self._count += count
        rate = float(next(csv.DictReader(output.splitlines()))["rps"])
        return Sample(rate, self._check())

    def _check(self) -> list[str]:
        stock = self._connection.call("MGET", *(f"stock:{number:012}" for number in range(SKUS)))
        found = {
            "units taken": SKUS * UNITS_PER_SKU - sum(map(int, stock)),
            "reservations": int(self._connection.call("GET", "reservations")),
            "expiries": self._connection.call("ZCARD", "expiries"),
            "keys of reservations": self._connection.call("DBSIZE") - SKUS - 2,
        }
        return [
            f"Valkey function, {what}: expected {self._count}, was {was}"
            for what, was in found.items()
            if was != self._count
        ]
