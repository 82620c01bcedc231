"""The largest legal request of every RPC beside small calls: how long the longest of these waited.

An engine over 10,000 locations and a million stock levels, with a standby that takes over if the lease is lost. A
client process reserves one unit after the other, every millisecond, and keeps the longest time that one took;
meanwhile this process sends one large request again and again.
"""

import contextlib
import itertools
import re
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import grpc
import uvloop
from google.protobuf.message import Message
from onhand.admin.v1 import admin_service_pb2 as admin
from onhand.admin.v1.admin_service_pb2_grpc import AdminServiceStub

from bench import pauses_stock
from bench.bulk_calls import count_in_bulk
from bench.client_process import ClientProcess
from bench.pauses_requests import Large, Sizes, catalog_of, large_requests, prepare
from bench.rows import Question, Row, Run, Sample, Target
from bench.shop import CALL_SECONDS, RESERVE_PATH, reserve_request
from engine.launch import EngineProcess
from engine.load.sending import open_channel, upsert_locations, upsert_skus
from ledger.journal.embedded import EmbeddedServer

PAUSE_MS_MAX: Final = 50
WATCH_SECONDS: Final = 3.0
WATCH_SECONDS_ONCE: Final = 1.5
"""Around a request that can be sent once only; it is sent when the watch has begun."""
LEAD_SECONDS: Final = 0.5
SUFFIX_CHARACTERS: Final = 40
WATCH_SECONDS_QUICK: Final = 0.3
SMALL_CALL_SECONDS: Final = 0.001
FULL: Final = Sizes(locations=10_000, skus=100, places=60_000, calendars=1_000, profiles=100)
QUICK: Final = Sizes(locations=60, skus=100, places=50, calendars=5, profiles=2)
MESSAGE_BYTES: Final = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
CONDITIONS: Final = (
    "the longest that a ReserveStock of one unit took, sent every millisecond by a process of its own, while this was "
    "sent again and again; 1,000,000 stock levels, 10,000 routed locations, a standby beside it: "
)
LONGEST: Final = Question(
    "pauses",
    "ms longest",
    "the longest of all rows of this benchmark",
    target=Target("value", "≤", PAUSE_MS_MAX),
)
NOTHING: Final = Question(
    "pauses.nothing", "ms longest", "the same while nothing large was sent: what the machine does"
)
QUESTIONS: Final = (NOTHING, LONGEST)
"""Beside it, one for each RPC; see `question_of`."""


class Watched(NamedTuple):
    """What small calls saw; comes back from the client process."""

    longest_ms: float
    call_count: int
    failed: list[str]


class Engines:
    """A journal server, an engine with everything loaded, and a standby; a context manager."""

    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as cleanup:
            folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="onhand-pauses-")))
            server = cleanup.enter_context(EmbeddedServer(folder / "journal"))
            flags = ["--port", "0", "--journal", server.url]
            self.primary = cleanup.enter_context(self._engine(folder, "primary", flags))
            uvloop.run(self._load_catalog())
            count_in_bulk(self.primary.address, self._sizes.skus, self._sizes.locations)
            with grpc.insecure_channel(self.primary.address, options=MESSAGE_BYTES) as channel:
                prepare(channel, self._sizes)
            self.standby = cleanup.enter_context(self._engine(folder, "standby", [*flags, "--standby"]))
            self.epoch = self.status().epoch
            self._cleanup = cleanup.pop_all()
        return self

    @staticmethod
    def _engine(folder: Path, name: str, flags: list[str]) -> EngineProcess:
        return EngineProcess([*flags, "--data-folder", str(folder / name)], log_file=folder / f"{name}.log")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    async def _load_catalog(self) -> None:
        skus, locations = catalog_of(self._sizes)
        async with open_channel(self.primary.address) as channel:
            await upsert_locations(channel, locations, _unseen)
            await upsert_skus(channel, skus, _unseen)

    def status(self) -> admin.GetStatusResponse:
        """Ask the primary how it is."""
        with grpc.insecure_channel(self.primary.address) as channel:
            return AdminServiceStub(channel).GetStatus(admin.GetStatusRequest(), timeout=CALL_SECONDS)

    def lease_lost(self) -> list[str]:
        """Say so if the engine is the primary no more, or was not all the time."""
        status = self.status()
        if status.role == admin.ROLE_PRIMARY and status.epoch == self.epoch:
            return []
        return [f"lease lost: expected epoch {self.epoch} of the primary, was {status.epoch} as {status.role}"]


def question_of(large: Large) -> Question:
    """Return what a row asks."""
    name = f"pauses.{large.path.rsplit('/', 1)[1]}{large.suffix}"
    return Question(name, "ms longest", CONDITIONS + large.size, target=Target("value", "≤", PAUSE_MS_MAX))


def measure(run: Run) -> Iterator[Row]:
    """Answer a question for each RPC."""
    sizes = QUICK if run.is_quick else FULL
    whole_seconds = WATCH_SECONDS_QUICK if run.is_quick else WATCH_SECONDS
    longest = 0.0
    with Engines(sizes) as engines, ClientProcess() as client, ThreadPoolExecutor(1) as beside:
        channel = grpc.insecure_channel(engines.primary.address, options=MESSAGE_BYTES)
        with channel:
            alone = client.call(watch, engines.primary.address, sizes, whole_seconds)
            yield run.row(NOTHING, [Sample(alone.longest_ms, alone.failed[:1])])
            for large in itertools.chain(large_requests(channel, sizes), _of_stock(channel, sizes)):
                seconds = WATCH_SECONDS_ONCE if large.is_once else whole_seconds
                run.report(large.path.rsplit("/", 1)[1])
                watching = beside.submit(client.call, watch, engines.primary.address, sizes, seconds)
                problems = send(channel, large, seconds)
                watched = watching.result()
                if watched.failed:
                    problems.append(
                        f"small calls: {len(watched.failed)} failed, the first for {watched.failed[0][:200]}"
                    )
                sample = Sample(watched.longest_ms, [*problems, *engines.lease_lost()])
                longest = max(longest, sample.value)
                yield run.row(question_of(large), [sample])
    yield run.row(LONGEST, [Sample(longest)])


def send(channel: grpc.Channel, large: Large, seconds: float) -> list[str]:
    """Send a large request again and again; returns what was wrong with the answers."""
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(large.path)
    deadline = time.monotonic() + seconds
    time.sleep(min(LEAD_SECONDS, seconds / 3))  # until the small calls are under way
    while time.monotonic() < deadline:
        try:
            answer = call(large.make(), timeout=CALL_SECONDS)
        except grpc.RpcError as error:
            return [f"{large.path}: {error.code().name}: {str(error.details())[:200]}"]
        if (problem := large.problem_of(answer)) is not None:
            return [f"{large.path}: {problem}"]
        if large.is_once:
            break
    return []


def _of_stock(channel: grpc.Channel, sizes: Sizes) -> Iterator[Large]:
    """Yield the requests of stock, reservations, catalog and administration; each can be sent once."""

    def call(path: str, request: Message) -> bytes:
        ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
        return ask(request.SerializeToString(), timeout=CALL_SECONDS)

    prepared = pauses_stock.prepare(call, sizes.skus, sizes.locations)
    for largest in pauses_stock.largest_requests(prepared):
        payload = largest.request.SerializeToString()
        suffix = "_" + re.sub(r"\W+", "_", largest.size)[:SUFFIX_CHARACTERS]
        yield Large(largest.rpc, largest.size, partial(bytes, payload), suffix, is_once=True)


# ---- what runs in the client process ---------------------------------------------------------------------------------


def watch(address: str, sizes: Sizes, seconds: float) -> Watched:
    """Reserve one unit after the other and keep the longest time."""
    longest, count, failed = 0.0, 0, list[str]()
    request = reserve_request(sizes.skus, sizes.locations).SerializeToString()
    with grpc.insecure_channel(address) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(RESERVE_PATH)
        grpc.channel_ready_future(channel).result(CALL_SECONDS)
        deadline = time.perf_counter() + seconds
        while (started := time.perf_counter()) < deadline:
            try:
                call(request, timeout=CALL_SECONDS)
            except grpc.RpcError as error:
                failed.append(str(error.details()))
            longest = max(longest, time.perf_counter() - started)
            count += 1
            time.sleep(SMALL_CALL_SECONDS)
    return Watched(longest * 1000, count, failed)


def _unseen(_count: int) -> None:
    """Show no progress: the bar is the run's."""
