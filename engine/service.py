"""The service: the whole pipeline, wired in the order data flows. Read this file first.

client ─gRPC→ transport ─→ admission ─→ desk (api: decode, check, map) ─→ sequencer (time, seq, group)
    ─→ book (ledger kernels, catalog) ─→ journal (one stream entry a group) ─→ durable ─→ replies
"""

import contextlib
import gc
import signal
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from itertools import islice
from types import FrameType
from typing import Any, Final, Self

import psutil
import structlog

from engine.admission import Admission
from engine.api import admin
from engine.api.desk import METHOD_PATHS, SERVICE_NAMES, Desk
from engine.config import EngineConfig
from engine.errors import RefusedError, journal_away
from engine.metrics import Meter, MetricsEndpoint, Readings
from engine.sequencer import IDLE_MS, Sequencer, wall_clock_us
from engine.transport import Transport, open_transport
from ledger.book import Book
from ledger.core.limits import MICROSECONDS, REQUEST_BYTES_MAX
from ledger.journal.embedded import EmbeddedServer
from ledger.journal.entry import CHAIN_START, Entry, decode_entry
from ledger.journal.errors import JournalCorrupt, JournalError, JournalFenced
from ledger.journal.stream import StreamJournal

DRAIN_QUIET_MS: Final = 100
REVIVE_SECONDS: Final = 1.0
CLOCK_BEHIND_SECONDS_MAX: Final = 1.0
VERSION: Final = version("onhand")
OPERATOR_METHODS: Final = frozenset(
    position for position, path in enumerate(METHOD_PATHS) if path.startswith(admin.SERVICE)
)
"""Answered also where others are refused: what an operator asks in an overload."""

log = structlog.get_logger("onhand.service")


class Service:
    """One engine: owner of everything between the port and the journal.

    Use as a context manager, then `run` until a signal, or `stop`, ends it.
    """

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._stopping = False
        self._is_built = False
        self._revive_after = 0.0
        self._start_time_us = wall_clock_us()
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Build the pipeline, from the journal up; whatever fails undoes what was built before it."""
        with contextlib.ExitStack() as cleanup:
            # 1. The journal: its server, then the claim to be the one writer.
            self._server = (
                None if self._config.journal else cleanup.enter_context(EmbeddedServer(self._config.data_folder))
            )
            self.journal = cleanup.enter_context(self._open_journal())
            # 2. The book: the ledger and the catalog, as the journal says they are.
            self.book = Book(
                request_window_us=self._config.request_window_seconds * MICROSECONDS,
                retention_us=self._config.retention_seconds * MICROSECONDS,
            )
            chain = self._replay()
            # 3. The transport: the port is bound, nobody is served yet. Admission bounds what may wait in it.
            self.admission = Admission(
                self._config.queue_calls_max, self._config.queue_bytes_max, len(METHOD_PATHS), OPERATOR_METHODS
            )
            self.transport = self._open_transport()
            cleanup.callback(self.transport.close, self._config.drain_seconds)
            # 4. The desk: decodes calls, asks the book, says what came of it. The meter counts beside it.
            self.meter = Meter(len(METHOD_PATHS))
            desk = Desk(self)
            # 5. The sequencer: the one writer that drives them all.
            self.sequencer = Sequencer(
                self.transport,
                desk,
                self.book,
                self.journal,
                self.meter,
                chain=chain,
                group_calls_max=self._config.group_calls_max,
            )
            # 6. The metrics: read from all of the above whenever somebody scrapes.
            if self._config.metrics_port:
                self.meter.registry.register(Readings(self, METHOD_PATHS))
                cleanup.enter_context(
                    MetricsEndpoint(self._config.host, self._config.metrics_port, self.meter.registry)
                )
            self._cleanup = cleanup.pop_all()
            self._is_built = True
        return self

    def __exit__(self, *_: object) -> None:
        """Close everything in reverse order."""
        self._cleanup.close()

    def _open_journal(self) -> StreamJournal:
        journal = StreamJournal(
            self._server.url if self._server else self._config.journal,
            durability=self._config.durability,
            timeout_seconds=self._config.journal_timeout_seconds,
        )
        journal.open()
        return journal

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

    def _replay(self) -> bytes:
        """Apply the whole journal; returns the checksum of its last entry."""
        started = time.perf_counter()
        chain, count = CHAIN_START, 0
        for last_seq, payload in self.journal.read(0):
            entry, chain = decode_entry(payload, chain, last_seq)
            self.book.replay(entry)
            count += 1
        if self.book.seq != self.journal.last_seq:
            raise JournalCorrupt(f"The journal ends at seq {self.journal.last_seq}, its entries at {self.book.seq}.")
        log.info("replayed", entries=count, seq=self.book.seq, seconds=round(time.perf_counter() - started, 3))
        return chain

    # ---- running ----------------------------------------------------------------------------------------------------

    def run(self, on_serving: Callable[[str], None]) -> None:
        """Serve until stopped, then drain; `on_serving` hears the address once calls are answered."""
        # What stands now, stays. Python's collector would look through it again and again while a large group is in
        # memory: calls of groups of 4,096 took twice the time of those of groups of 64.
        gc.collect()
        gc.freeze()
        self.transport.start()
        self.transport.set_serving(True)
        on_serving(self.transport.address)
        log.info(
            "serving",
            address=self.transport.address,
            transport=self._config.transport,
            epoch=self.journal.epoch,
            metrics_port=self._config.metrics_port,
        )
        try:
            while not self._stopping:
                self._step(IDLE_MS)
            self._drain()
        except (JournalFenced, JournalCorrupt) as error:
            self.sequencer.abandon(_must_not_go_on(error))
            raise

    def _step(self, timeout_ms: int) -> int:
        """Run one group; a journal server of ours that ended is started again, without waiting for it."""
        count = self.sequencer.step(timeout_ms)
        if self.sequencer.misses_journal and self._server is not None and time.monotonic() > self._revive_after:
            self._revive_after = time.monotonic() + REVIVE_SECONDS
            self._server.revive()
        return count

    def stop(self, *_: int | FrameType | None) -> None:
        """Ask `run` to end; also a signal handler. Before the pipeline stands, undo what stands of it and exit."""
        self._stopping = True
        if not self._is_built:
            raise SystemExit(0)

    def _drain(self) -> None:
        """Finish what is there, refuse what comes, and return when it is quiet."""
        self.transport.set_serving(False)
        deadline = time.monotonic() + self._config.drain_seconds
        while self._step(timeout_ms=0) or self.sequencer.is_unsettled:
            if time.monotonic() > deadline:
                break
        if self.sequencer.is_unsettled:
            log.error("drained with an unsettled group", seq=self.book.seq)
            self.sequencer.abandon(journal_away("written", TimeoutError("the engine is shutting down")))
        refusal = RefusedError("DRAINING", "The engine is shutting down; repeat the call with the same request_id.")
        while self.sequencer.refuse(refusal, DRAIN_QUIET_MS) and time.monotonic() < deadline:
            pass
        log.info("drained", seq=self.book.seq, seq_durable=self.sequencer.seq_durable)

    # ---- what reads may look at --------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Positions, settings and measures, by field of GetStatusResponse."""
        counts = self.book.ledger.counts()
        return {
            "version": VERSION,
            "transport": self._config.transport,
            "durability": self._config.durability,
            "journal": self.journal.describe(),
            "epoch": self.journal.epoch,
            "seq_sequenced": self.book.seq,
            "seq_applied": self.book.seq,
            "seq_durable": self.sequencer.seq_durable,
            "location_count": counts.locations,
            "sku_count": counts.skus,
            "stock_level_count": counts.stock_levels,
            "active_reservation_count": counts.active_reservations,
            "committed_reservation_count": counts.committed_reservations,
            "ended_reservation_count": counts.ended_reservations,
            "request_id_count": counts.request_ids,
            "journal_entry_count": self.journal.appended_entries_count,
            "journal_bytes": self.journal.appended_bytes,
            "journal_write_count": self.sequencer.write_count,
            "resident_bytes": psutil.Process().memory_info().rss,
            "start_time_us": self._start_time_us,
            "request_window_seconds": self._config.request_window_seconds,
            "waiting_call_count": self.admission.waiting_calls,
            "waiting_bytes": self.admission.waiting_bytes,
            "overloaded_call_count": sum(self.admission.overloaded_counts),
            "dropped_call_count": self.admission.dropped_count,
            "expired_reservation_count": self.book.ledger.expired_count,
            "warnings": list(self._warnings()),
        }

    @property
    def misses_journal(self) -> bool:
        """Whether the journal server does not do its part now."""
        return self.sequencer.misses_journal

    def _warnings(self) -> Iterator[str]:
        behind = (self.book.ledger.time_us - wall_clock_us()) / MICROSECONDS
        if behind > CLOCK_BEHIND_SECONDS_MAX:
            yield f"the clock is {behind:.0f} s behind the ledger: holds expire that much later"

    def history(self, first_seq: int, entry_count: int) -> Iterator[Entry]:
        """Journal entries from the one that holds first_seq on, read as they are asked for."""
        for last_seq, payload in islice(self.journal.read(first_seq - 1), entry_count):
            yield decode_entry(payload, None, last_seq)[0]

    def first_seq_kept(self) -> int:
        """Oldest position the journal still has."""
        return self.journal.first_seq_kept()


def _must_not_go_on(error: JournalError) -> RefusedError:
    if isinstance(error, JournalFenced):
        return RefusedError("NOT_PRIMARY", "Another engine writes this journal now; ask that one.")
    return RefusedError("LEDGER_CORRUPT", "The journal is not what this engine wrote; it stopped.")


@contextlib.contextmanager
def stops_on_signals(service: Service) -> Iterator[None]:
    """Let SIGTERM and SIGINT end a service."""
    before = {number: signal.signal(number, service.stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
