"""Engines: the real shard, primary and standby, with a transport, a clock and connections of this world."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sequencer.harness import METHODS, FakeTransport, worked_out_at_once

from engine.admission import Admission
from engine.api.desk import METHOD_PATHS, OPERATOR_METHODS
from engine.background import Inline
from engine.config import EngineConfig
from engine.metrics import Meter
from engine.service import make_primary, make_standby
from engine.shard.checkpoint import Keeping
from engine.shard.primary import Primary
from engine.shard.role import Outside
from engine.shard.shard import Shard, broken
from engine.transport import Call
from ledger.book import Book
from ledger.broken import LedgerBroken
from ledger.journal.connection import Address
from ledger.journal.errors import (
    JournalCorrupt,
    JournalHeld,
    JournalTrimmed,
    JournalUnavailable,
    UnsafeJournalServer,
)
from ledger.journal.stream import StreamJournal
from ledger.recovery import Recovered, recover
from ledger.snapshot import snapshots

from .checker import Violation
from .network import Connection
from .processes import SimulatedCheckpointer
from .server import KEYS
from .settings import (
    GROUP_CALLS_MAX,
    LEASE_SECONDS,
    MICROSECONDS,
    RETENTION_SECONDS,
    RETENTION_US,
    TIMEOUT_SECONDS,
    WINDOW_SECONDS,
    WINDOW_US,
)

if TYPE_CHECKING:
    from .clients import Client, Operation
    from .world import World

FAILING_PROBABILITY: Final = 0.002
"""Of each part of a write."""
DOWN_SECONDS: Final = (0.05, 0.5, 2.0, 5.0, 20.0)
JOURNAL_BYTES: Final = 4_000
"""After so many a checkpoint is due: a few entries."""
SNAPSHOTS_KEPT: Final = 2
HISTORY_SECONDS: Final = 10 * 86_400.0
ARCHIVE_SECONDS: Final = 4.0
NEEDS_SNAPSHOT: Final = "expected a snapshot to begin with"
"""What an engine says that was away while the journal was trimmed: a person has to copy a snapshot."""
NOT_KNOWN: Final = "it is another's"
"""What a standby says if the journal lost all entries by which it could know that it is the same one."""
PAUSE_SECONDS: Final = (0.01, 0.2, 1.0, 3.5, 8.0)
CLOCK_OFFSET_SECONDS: Final = (0, 0, 0.2, 1, 3, 40, 130)
"""How far an engine's clock can be ahead: it jumps between these, forward and back. It is never behind: a request id
made in an engine's future could be forgotten, when its clock leaps by more than the window, and be run again."""


class KernelFailed(Exception):
    """A bug of a kernel."""


class EngineCrashed(BaseException):  # not to be caught by anything but the world
    """An engine ends here and now, wherever it is."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine.name)
        self.engine = engine


@dataclass
class Attempt:
    """One sending of a call to an engine."""

    client: Client
    operation: Operation
    engine: str
    generation: int
    is_cut: bool = False


class SimulatedTransport(FakeTransport):
    """Calls wait until they are taken; answers go to the client at once."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine
        self._generation = engine.generation
        self.attempts: dict[int, Attempt] = {}
        self._call_count = 0

    def submit(self, attempt: Attempt, method: int, payload: bytes) -> None:
        """Let a call wait."""
        self._call_count += 1
        self.attempts[self._call_count] = attempt
        self.waiting.append(Call(self._call_count, method, payload))

    def take(self, max_calls: int, timeout_ms: int) -> list[Call]:
        """Give out what waits, after whatever happens while the engine waits for it."""
        self._engine.seam("take", self._generation)
        self._engine.hear_clients()
        return super().take(max_calls, timeout_ms)

    def _keep(self, call_id: int, answer: Any) -> None:
        self._engine.seam("reply", self._generation)
        attempt = self.attempts.pop(call_id)
        attempt.client.hear(attempt, answer)

    def cut(self) -> None:
        """Let all clients see that nobody is there any more."""
        for attempt in self.attempts.values():
            attempt.is_cut = True


URL: Final = "redis://journal"
_STANDBY: Final = EngineConfig(
    journal=URL,
    standby=True,
    lease_seconds=LEASE_SECONDS,
    journal_timeout_seconds=TIMEOUT_SECONDS,
    request_window_seconds=WINDOW_SECONDS,
    retention_seconds=RETENTION_SECONDS,
    group_calls_max=GROUP_CALLS_MAX,
)
_PRIMARY: Final = _STANDBY.model_copy(update={"standby": False})
_ADMISSION: Final = Admission(64, 1 << 22, len(METHOD_PATHS), OPERATOR_METHODS)


class Engine:
    """One engine: runs, stops for a while, dies, and is started again."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self.name = name
        self.generation = 1
        self.is_busy = False
        self.shard: Shard | None = None
        self._up_at_us = 0
        self._clock_offset_us = 0
        self._transport = SimulatedTransport(self)
        self._meter = Meter(len(METHOD_PATHS))
        self._folder = world.folder / name
        self.snapshot_folder = self._folder / "snapshots"
        self._archive_folder = self._folder / "history"
        self.processes = world.processes

    @property
    def is_up(self) -> bool:
        """Whether its process is there, or will be as soon as it acts."""
        return self._up_at_us <= self._world.now_us

    @property
    def is_primary(self) -> bool:
        """Whether it believes so."""
        return self.shard is not None and isinstance(getattr(self.shard, "role", None), Primary)

    def submit(self, client: Client, operation: Operation) -> Attempt | None:
        """Take a call in; None if nobody listens."""
        if self.shard is None or not self.is_up:
            return None
        attempt = Attempt(client, operation, self.name, self.generation)
        self._transport.submit(attempt, METHODS[operation.method], operation.payload)
        return attempt

    def act(self) -> None:
        """Run one step, whatever comes of it."""
        if not self.is_up:
            return
        self.is_busy = True
        try:
            self._run()
        except EngineCrashed as crash:
            if crash.engine is not self:
                raise
            self._end("crashed")
        except LedgerBroken as broke:
            if not isinstance(broke.__cause__, KernelFailed):
                raise Violation(f"engine {self.name}: {broke!r}") from broke
            self._break_off()
        except JournalCorrupt as error:
            if (NEEDS_SNAPSHOT in str(error) or self._is_behind_trim()) and self._world.lend_snapshot(self):
                self._end("lacks a snapshot, and is given that of the other")
                return
            if self._world.lost_seqs and (self._world.is_lossy or NOT_KNOWN in str(error)):
                self._end(f"needs a person, who starts it again: {error}")
                return
            raise Violation(f"engine {self.name}: {type(error).__name__}: {error}") from error
        except Exception as error:
            raise Violation(f"engine {self.name}: {error!r}") from error
        finally:
            self.is_busy = False

    def _is_behind_trim(self) -> bool:
        """Whether the journal was trimmed beyond its snapshots, perhaps while it read them."""
        stream = self._world.server.data.streams.get(KEYS.journal)
        newest = max((int(path.name.partition("-")[0]) for path in snapshots(self.snapshot_folder)), default=0)
        return bool(stream and stream.entries) and stream.entries[0][0] > newest

    def _run(self) -> None:
        if self.shard is None:
            self._boot()
        else:
            self.shard.step(timeout_ms=100)

    def _boot(self) -> None:
        shard = self._new_shard()
        self._world.note(self.name, "starts")
        try:
            shard.open()
        except (JournalUnavailable, JournalHeld, UnsafeJournalServer) as error:
            self._end(f"does not start: {type(error).__name__}")
            return
        self.shard = shard

    def _new_shard(self) -> Shard:
        outside = Outside(
            config=_STANDBY if self._world.happens(0.7) else _PRIMARY,
            transport=self._transport,
            admission=_ADMISSION,
            meter=self._meter,
            start_time_us=self._clock(),
            address=f"engine-{self.name.lower()}:1",
            open_journal=self._open_journal,
            recover=self._recover,
            open_checkpoints=self._open_checkpoints,
            archive_folder=self._archive_folder,
            background=Inline(),
            clock=self._clock,
            monotonic=self._monotonic,
            aside=worked_out_at_once,
            sleep=lambda seconds: self._world.sleep(self, seconds),
            free_bytes=lambda: sys.maxsize,
        )
        return Shard(outside, make_primary, make_standby, takes_over=False, on_role=self._on_role)

    def _on_role(self, role: Any) -> None:
        self._world.note(self.name, "is", type(role).__name__, role.book.seq)
        if isinstance(role, Primary):
            self._plant_failures(role.book)

    def _plant_failures(self, book: Book) -> None:
        """Let what a write does fail now and then, when it is in memory and nowhere else."""
        writes: list[tuple[Any, str]] = [(book.ledger, "execute"), (book.ledger, "finish_group")]
        writes += [(part, name) for part in book.parts for name in ("put", "settle")]
        for owner, name in writes:
            setattr(owner, name, self._failing(getattr(owner, name)))
        run = book.run
        book.run = lambda kernel, *room: run(self._failing(kernel), *room)  # type: ignore[method-assign]  # of this one

    def _failing(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def write_or_fail(*given: Any) -> Any:
            done = write(*given)
            if not self._world.is_calm and self._world.happens(FAILING_PROBABILITY):
                raise KernelFailed
            return done

        return write_or_fail

    def _break_off(self) -> None:
        """Refuse whoever waits and end, as the service does."""
        assert self.shard is not None
        self._world.note(self.name, "breaks", self.shard.role.book.seq)
        try:
            self.shard.role.abandon(broken())
            self.shard.close()
        except EngineCrashed:
            pass
        self._end("broke")

    def _open_journal(self) -> StreamJournal:
        return StreamJournal(
            URL, durability=self._world.durability, timeout_seconds=TIMEOUT_SECONDS, connect=self._connect
        )

    def _recover(self, journal: StreamJournal) -> Recovered:
        """Recover as the service does: with a snapshot of the other engine where its own are too old."""
        try:
            return self._recover_from_here(journal)
        except JournalTrimmed:
            if journal.epoch or not self._world.lend_snapshot(self):
                raise
            return self._recover_from_here(journal)

    def _recover_from_here(self, journal: StreamJournal) -> Recovered:
        return recover(
            journal,
            self.snapshot_folder,
            archive_folder=self._archive_folder,
            request_window_us=WINDOW_US,
            retention_us=RETENTION_US,
        )

    def _open_checkpoints(
        self, book: Book, journal: StreamJournal, on_digest: Callable[[int, bytes], None] | None
    ) -> SimulatedCheckpointer:
        return SimulatedCheckpointer(
            book,
            journal,
            Keeping(
                self.snapshot_folder,
                self._archive_folder,
                seconds=self._world.checkpoint_seconds,
                journal_bytes=JOURNAL_BYTES,
                snapshots=SNAPSHOTS_KEPT,
                history_seconds=HISTORY_SECONDS,
                archive_seconds=ARCHIVE_SECONDS,
            ),
            monotonic=self._monotonic,
            on_digest=on_digest,
            after_trim=lambda: None,
            processes=self.processes,
        )

    def _connect(self, address: Address, timeout_seconds: float, _: int) -> Connection:
        return Connection(self._world, self, address, timeout_seconds)

    def _clock(self) -> int:
        return self._world.now_us + self._clock_offset_us

    def _monotonic(self) -> float:
        self.seam("monotonic", self.generation)
        return self._world.now_us / MICROSECONDS

    def hear_clients(self) -> None:
        """Let clients call while it waits for that."""
        self._world.let_clients_call()

    # ---- what may happen to it ---------------------------------------------------------------------------------------

    def seam(self, where: str, generation: int) -> None:
        """A place where it may stop for a while, or for ever; one that is dead does nothing more."""
        self.live_or_die(generation)
        self._world.seam(self, where)

    def live_or_die(self, generation: int) -> None:
        """End whatever is left running of a process that is dead."""
        if generation != self.generation:
            raise EngineCrashed(self)

    def disturb(self, where: Any) -> None:
        """Let something happen to it at a seam."""
        chance = self._world.chance
        match chance.randrange(10):
            case 0 | 1:
                self._world.note(self.name, "crashes", where)
                raise EngineCrashed(self)
            case 2 | 3:
                self._clock_offset_us = round(chance.choice(CLOCK_OFFSET_SECONDS) * MICROSECONDS)
                self._world.note(self.name, "clock jumps to", self._clock_offset_us / MICROSECONDS)
            case _:
                seconds = chance.choice(PAUSE_SECONDS)
                self._world.note(self.name, "stops", seconds, where)
                self._world.sleep(self, seconds)
                self._world.note(self.name, "goes on", where)

    def restart_gracefully(self) -> None:
        """Give the lease back and end, as at SIGTERM."""
        if self.shard is not None and not self.shard.role.is_unsettled:
            self.is_busy = True
            try:
                self.shard.close()
            except EngineCrashed:
                pass
            finally:
                self.is_busy = False
        self._end("stopped")

    def recover(self) -> None:
        """Set the clock right, and start it."""
        self._clock_offset_us = 0
        self._up_at_us = self._world.now_us

    @property
    def book(self) -> Book | None:
        """What it has in memory."""
        return self.shard.role.book if self.shard is not None else None

    def _end(self, why: str) -> None:
        """End the process; it is started again later."""
        seconds = 0.0 if self._world.is_calm else self._world.chance.choice(DOWN_SECONDS)
        self._world.note(self.name, why, f"back in {seconds} s")
        self._transport.cut()
        self.processes.orphan(self._folder)
        self.generation += 1
        self.shard = None
        self._transport = SimulatedTransport(self)
        self._up_at_us = self._world.now_us + round(seconds * MICROSECONDS)
