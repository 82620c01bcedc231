"""The service: the whole pipeline, wired in the order data flows. Read this file first.

client ─gRPC→ 1 transport ─→ 2 admission ─→ 3 desk (api: decode, check, map) ─→ 4 planner (orders: where from)
    ─→ 5 book (ledger kernels, parts) ─→ 6 sequencer (time, seq, group) ─→ 7 journal (durable) ─→ replies
                                          journal ─→ standby: the same book, by replay
                                          book ─→ snapshots, beside the writer; then the journal is archived and trimmed

`Service` makes the outer ones, `make_primary` what stands around a book. Roles change while the engine runs: see
`engine.shard.shard`.
"""

import contextlib
import shutil
import signal
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any, Final, Self

import structlog

from engine.admission import Admission
from engine.api.desk import METHOD_PATHS, OPERATOR_METHODS, SERVICE_NAMES, Desk
from engine.aside import Aside
from engine.background import open_background
from engine.config import EngineConfig
from engine.cycles import CycleCollector
from engine.endpoint import Endpoint
from engine.errors import RefusedError, journal_away
from engine.metrics import Meter, Readings
from engine.sequencer import IDLE_MS, Sequencer, TimeSources, wall_clock_us
from engine.shard.checkpoint import Checkpointer, Keeping
from engine.shard.fetch import FetchFailed, fetch_snapshot
from engine.shard.primary import Beginning, Primary
from engine.shard.role import Outside
from engine.shard.shard import AWAY, Health, Shard, broken, must_not_go_on
from engine.shard.standby import Standby
from engine.transport import Transport, open_transport
from ledger.book import Book
from ledger.broken import LedgerBroken
from ledger.core.limits import MICROSECONDS, REQUEST_BYTES_MAX
from ledger.journal.connection import JournalConnection
from ledger.journal.embedded import EmbeddedServer, held_folder
from ledger.journal.errors import JournalCorrupt, JournalError, JournalTrimmed, SnapshotNotFetched
from ledger.journal.reading import JournalReader
from ledger.journal.stream import StreamJournal
from ledger.recovery import Recovered, recover
from ledger.replay import Replayer
from ledger.snapshot import set_aside

DRAIN_QUIET_MS: Final = 100
REVIVE_SECONDS: Final = 1.0
DAY_SECONDS: Final = 86_400

log = structlog.get_logger("onhand.service")


class Service:
    """One engine: owner of everything between the port and the journal.

    Use as a context manager, then `run` until a signal, or `stop`, ends it.
    """

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._stopping = False
        self._is_built = False
        self.health = AWAY
        """What probes are told."""
        self._revive_after = 0.0
        self._settled: weakref.ref[Book] | None = None
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Build the pipeline; whatever fails undoes what was built before it."""
        config = self._config
        with contextlib.ExitStack() as cleanup:
            # The journal's server, if it is ours.
            self._server = None if config.journal else cleanup.enter_context(self._embedded_server())
            if config.journal:
                cleanup.enter_context(held_folder(config.data_folder))
            else:
                self._check_shard()
            # 1, 2. The transport: the port is bound, nobody is served yet. Admission bounds what may wait in it.
            self.admission = Admission(
                config.queue_calls_max, config.queue_bytes_max, len(METHOD_PATHS), OPERATOR_METHODS
            )
            self.transport = self._open_transport()
            cleanup.callback(self.transport.close, config.drain_seconds)
            # 3 to 7. The shard: what this engine is for it, which decides what stands around the book.
            self.meter = Meter(len(METHOD_PATHS))
            self._cycles = cleanup.enter_context(CycleCollector())
            self._background = open_background()
            cleanup.callback(self._background.shutdown, wait=False, cancel_futures=True)
            self.shard = Shard(
                self._outside(), make_primary, make_standby, takes_over=self._server is not None, on_role=self._on_role
            )
            self.shard.open()
            cleanup.callback(self.shard.close)
            # Beside them, metrics and probes: read from all of the above whenever somebody asks.
            if config.metrics_port:
                self.meter.registry.register(Readings(self, METHOD_PATHS))
                cleanup.enter_context(self._endpoint())
            self._cleanup = cleanup.pop_all()
            self._is_built = True
        return self

    def __exit__(self, *_: object) -> None:
        """Close everything in reverse order."""
        self._cleanup.close()

    # ---- the outside -------------------------------------------------------------------------------------------------

    def _outside(self) -> Outside:
        return Outside(
            config=self._config,
            transport=self.transport,
            admission=self.admission,
            meter=self.meter,
            start_time_us=wall_clock_us(),
            address=self._config.advertise or self.transport.address,
            open_journal=self._open_journal,
            recover=self._recover,
            open_checkpoints=self._open_checkpoints,
            archive_folder=self._config.archive_folder,
            background=self._background,
            clock=wall_clock_us,
            monotonic=time.monotonic,
            aside=Aside().run,
            sleep=time.sleep,
            free_bytes=self.free_bytes,
            why_away=self._why_away(),
        )

    def _endpoint(self) -> Endpoint:
        probes = {
            "/livez": lambda: True,  # whoever asks has been answered
            "/readyz": lambda: self.health.is_ready,
            "/primary": lambda: self.health.is_leading,
        }
        return Endpoint(self._config.host, self._config.metrics_port, self.meter.registry, probes)

    def _embedded_server(self) -> EmbeddedServer:
        return EmbeddedServer(self._config.data_folder, durability=self._config.durability)

    def _check_shard(self) -> None:
        """Raise JournalOfOtherShard where the data folder is that of another shard: one engine's folder has one."""
        assert self._server is not None
        with JournalReader(self._server.url, shard=str(self._config.shard)) as journal:
            journal.require_shard()

    def _open_journal(self) -> StreamJournal:
        return StreamJournal(
            self._server.url if self._server else self._config.journal,
            shard=str(self._config.shard),
            durability=self._config.durability,
            replicas_min=self._config.replicas_min,
            timeout_seconds=self._config.journal_timeout_seconds,
            connect=partial(JournalConnection, why_away=self._why_away()),
        )

    def _why_away(self) -> Callable[[], str]:
        """Return what tells why the journal server is away, as far as that is known of one that is not ours."""
        return self._server.why_away if self._server else str

    def _recover(self, journal: StreamJournal) -> Recovered:
        started = time.perf_counter()
        try:
            recovered = self._recover_from_here(journal)
        except JournalTrimmed as error:
            self._fetch_snapshot(journal, error)
            recovered = self._recover_from_here(journal)
        for reason in recovered.refused:
            log.warning("snapshot not used", reason=reason)
        for path in recovered.damaged:
            set_aside(path)
        log.info(
            "recovered",
            snapshot_seq=recovered.snapshot_seq,
            entries=recovered.replayer.entry_count,
            seq=recovered.replayer.book.seq,
            seconds=round(time.perf_counter() - started, 3),
        )
        return recovered

    def _recover_from_here(self, journal: StreamJournal) -> Recovered:
        return recover(
            journal,
            self._config.snapshot_folder,
            archive_folder=self._config.archive_folder,
            request_window_us=self._config.request_window_seconds * MICROSECONDS,
            retention_us=self._config.retention_seconds * MICROSECONDS,
            shard=self._config.shard,
        )

    def _fetch_snapshot(self, journal: StreamJournal, error: JournalTrimmed) -> None:
        """Get a snapshot from the primary, if there is one and it is another engine; else raise what was wrong."""
        holder = journal.holder()
        if holder is None or journal.epoch:
            raise error
        try:
            fetch_snapshot(holder.address, self._config.snapshot_folder)
        except FetchFailed as failure:
            raise SnapshotNotFetched(f"{error} The primary could not give one: {failure}") from error

    def _open_checkpoints(
        self, book: Book, journal: StreamJournal, on_digest: Callable[[int, bytes], None] | None
    ) -> Checkpointer:
        config = self._config
        return Checkpointer(
            book,
            journal,
            Keeping(
                config.snapshot_folder,
                config.archive_folder,
                seconds=config.checkpoint_seconds,
                journal_bytes=config.checkpoint_journal_bytes,
                snapshots=config.snapshots_kept,
                history_seconds=config.history_days * DAY_SECONDS,
                archive_seconds=config.archive_seconds,
            ),
            on_digest=on_digest,
            after_trim=self._rewrite_journal,
            monotonic=time.monotonic,
        )

    def _rewrite_journal(self) -> None:
        """Let our own journal server give back the disk space of what was trimmed."""
        if self._server is not None:
            self._server.rewrite()

    def _open_transport(self) -> Transport:
        return open_transport(
            self._config.transport,
            host=self._config.host,
            port=self._config.port,
            methods=METHOD_PATHS,
            service_names=SERVICE_NAMES,
            request_bytes_max=REQUEST_BYTES_MAX,
            admission=self.admission,
        )

    # ---- running -----------------------------------------------------------------------------------------------------

    def run(self, on_serving: Callable[[str, str], None]) -> None:
        """Serve until stopped, then drain; `on_serving` hears address and role once calls are answered.

        Raises
        ------
        JournalCorrupt
            A person must look at the journal.
        LedgerBroken
            A bug, or no memory, while something was written: what is in memory must not be used any more. What is
            durable is whole; a new start has it.
        """
        self.transport.start()
        self._show_health(self.shard.health)
        role = self.shard.role
        on_serving(self.transport.address, role.name)
        log.info(
            "serving",
            address=self.transport.address,
            role=role.name,
            epoch=role.epoch,
            transport=self._config.transport,
            metrics_port=self._config.metrics_port,
        )
        try:
            while not self._stopping:
                self._step(IDLE_MS)
            self._drain()
        except JournalCorrupt as error:
            self.shard.role.abandon(must_not_go_on(error))
            raise
        except JournalError:
            raise
        except LedgerBroken as error:
            self._break_off(error)
            raise
        except Exception as error:
            self._break_off(error)
            raise LedgerBroken(repr(error)) from error

    def _break_off(self, error: BaseException) -> None:
        """Refuse whoever waits: another engine, or a new start, has what is durable."""
        log.critical("the ledger broke: this engine ends", exc_info=error)
        self.shard.role.abandon(broken())

    def _on_role(self, role: Primary | Standby) -> None:
        # What stands now, stays. Python's collector would look through it again and again while a large group is in
        # memory: calls of groups of 4,096 took twice the time of those of groups of 64.
        # The book of before, whose role and desk know each other, would stay for ever.
        self._cycles.settle(anew=self._settled is not None and self._settled() is not role.book)
        self._settled = weakref.ref(role.book)

    def _show_health(self, health: Health) -> None:
        """Be healthy as the primary alone, ready in either role."""
        before, self.health = self.health, health
        if health.is_leading != before.is_leading:
            self.transport.set_serving(health.is_leading)
        if health.is_ready != before.is_ready:  # alone, when a journal server of ours is away for a moment
            self.transport.set_ready(health.is_ready)

    def _step(self, timeout_ms: int) -> int:
        """Run one group; a journal server of ours that ended is started again, without waiting for it."""
        count = self.shard.step(timeout_ms)
        if self.shard.health != self.health and not self._stopping:
            self._show_health(self.shard.health)
        if self.shard.role.misses_journal and self._server is not None and time.monotonic() > self._revive_after:
            self._revive_after = time.monotonic() + REVIVE_SECONDS
            self._server.revive()
        self._cycles.look()
        return count

    def stop(self, *_: int | FrameType | None) -> None:
        """Ask `run` to end; also a signal handler. Before the pipeline stands, undo what stands of it and exit."""
        self._stopping = True
        if not self._is_built:
            raise SystemExit(0)

    def _drain(self) -> None:
        """Finish what is there, refuse what comes, and return when it is quiet."""
        self._show_health(AWAY)
        deadline = time.monotonic() + self._config.drain_seconds
        role = self.shard.role
        while isinstance(role, Primary) and (self._step(timeout_ms=0) or role.is_busy):
            role = self.shard.role  # what it becomes while it drains, it does not go on being
            if time.monotonic() > deadline:
                break
        if role.is_unsettled:
            log.error("drained with an unsettled group", seq=role.book.seq)
            role.abandon(journal_away("written", TimeoutError("the engine is shutting down")))
        refusal = RefusedError("DRAINING", "The engine is shutting down; repeat the call with the same request_id.")
        if role.is_busy:
            role.abandon(refusal)
        while role.refuse(refusal, DRAIN_QUIET_MS) and time.monotonic() < deadline:
            pass
        log.info("drained", seq=role.book.seq, seq_durable=role.seq_durable)

    # ---- what a scrape reads -----------------------------------------------------------------------------------------

    @property
    def book(self) -> Book:
        """Ledger and catalog."""
        return self.shard.role.book

    @property
    def misses_journal(self) -> bool:
        """Whether the journal server does not do its part now."""
        return self.shard.role.misses_journal

    @property
    def oversold_level_count(self) -> int:
        """Stock levels that are oversold, as last counted."""
        return self.shard.role.oversold_level_count

    def free_bytes(self) -> int:
        """Bytes that the disk of the data folder has left."""
        return shutil.disk_usage(self._config.data_folder).free

    def status(self) -> dict[str, Any]:
        """Positions, settings and measures, by field of GetStatusResponse."""
        return self.shard.role.status()


def make_primary(outside: Outside, journal: StreamJournal, replayer: Replayer, begun: Beginning) -> Primary:
    """Wire what answers calls, around a book that is as the journal says: steps 3 to 7.

    Parameters
    ----------
    outside
        What all of them work with.
    journal
        Claimed.
    replayer
        Holds the book, to the last entry.
    begun
        How the primary begins.
    """
    primary = Primary(outside, journal, replayer, begun)
    # 3. The desk decodes calls, asks the book, says what came of it. 4. Orders it gives to the book's planner.
    desk = Desk(primary, outside.background, outside.monotonic)
    # 5, 6, 7. The sequencer, the one writer: takes calls from transport to desk, what the book did to the journal, and
    #          replies back once that is durable.
    sequencer = Sequencer(
        outside.transport,
        desk,
        journal,
        outside.meter,
        chain=replayer.chain,
        group_calls_max=outside.config.group_calls_max,
        lease_seconds=outside.config.lease_seconds,
        clocks=TimeSources(outside.clock, outside.monotonic),
    )
    # Beside it, snapshots: after each, the journal needs what is older no more.
    checkpoints = outside.open_checkpoints(primary.book, journal, primary.book.tell_digest)
    primary.begin(desk, sequencer, checkpoints)
    return primary


def make_standby(outside: Outside, journal: StreamJournal, replayer: Replayer) -> Standby:
    """Wire what follows a journal that another engine writes: only operators are answered."""
    standby = Standby(outside, journal, replayer)
    standby.begin(Desk(standby), outside.open_checkpoints(standby.book, journal, None))
    return standby


@contextlib.contextmanager
def stops_on_signals(service: Service) -> Iterator[None]:
    """Let SIGTERM and SIGINT end a service."""
    before = {number: signal.signal(number, service.stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
