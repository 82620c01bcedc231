"""The world: one clock, one source of chance, and who acts next.

Engines, clients and the journal server take turns; there is nothing else that happens. Wherever an engine touches the
outside (a command to the journal server, a call taken, a reply sent, a look at the clock) it may be stopped: then the
others go on meanwhile, inside of that call, until it wakes up or dies. So every interleaving at these seams can come,
and the seed decides which.
"""

from __future__ import annotations

import heapq
import logging
import os
import shutil
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple
from unittest.mock import patch

import structlog
import xxhash

from engine import sequencer
from ledger.journal.entry import decode_entry
from ledger.journal.reading import parse_tail
from ledger.journal.server_check import Durability
from ledger.parts.load import DAY_US
from ledger.snapshot import snapshots

from .checker import Checker, Violation
from .clients import Client
from .engines import Engine
from .network import FATES, Sent
from .processes import Processes, simulated_processes
from .server import KEYS, Argument, Data, JournalServer, ServerCrashed, ServerError, StreamEntry
from .settings import MICROSECONDS

START_US: Final = 1_790_000_000 * MICROSECONDS
ENGINE_NAMES: Final = ("A", "B")
CLIENT_COUNT: Final = 4
ROUTED_EVERY: Final = 3
DAY_PROBABILITY: Final = 0.02
"""In a world that routes, instead of another trouble: then days end, and what was rejected may be asked again."""
OVERLAPPED_BYTES: Final = 400
"""From this size of an entry on the next group is decided while it is written; entries are small here."""
NEST_MAX: Final = 2
"""How many engines can be stopped at once: all of them."""
STEPS: Final = (150, 300, 500)
MODES: Final[Sequence[tuple[Durability, bool]]] = (
    *[("fsync", False)] * 6,
    ("fsync", True),  # with failovers to a replica that lags
    *[("replicated", False)] * 2,
    ("everysec", True),
)
FSYNC_US: Final = MICROSECONDS
STEP_US: Final = (0, 200, 2_000, 20_000, 100_000, 300_000)
HEAL_STEPS_MAX: Final = 1_000
SERVER_DOWN_SECONDS: Final = (0.0, 0.1, 1.0, 6.0)
WORD_BYTES_MAX: Final = 40
HUNG_SECONDS: Final = (0.05, 0.5, 2.0, 10.0)
LATE_SECONDS: Final = (0.0, 0.01, 0.3, 1.0, 4.0, 9.0)
TROUBLES: Final = (
    "killed",
    "loses power",
    "crashes at start",
    "crashes at written",
    "crashes at synced",
    "tears an append",
    "tears an append",
    "hangs",
    "replica",
    "replica",
    "full",
    "has room",
    "has room",
    "an engine stops",
    "an engine stops",
)


class Server(JournalServer):
    """The journal server with its process: up, down, or not answering."""

    def __init__(self, world: World) -> None:
        super().__init__(lambda: world.now_us)
        self._world = world
        self.run = 1
        self.up_at_us = 0
        self.hung_until_us = 0
        self.loses_power = False
        self.next_fsync_us = 0
        self.history: list[StreamEntry] = []
        """All entries that were ever appended and not lost, trimmed ones included."""

    @property
    def is_up(self) -> bool:
        """Whether anybody listens."""
        return self.up_at_us <= self._world.now_us

    @property
    def is_hung(self) -> bool:
        """Whether it listens and does not answer."""
        return self._world.now_us < self.hung_until_us

    @property
    def hung_seconds_left(self) -> float:
        """How long it goes on not answering."""
        return (self.hung_until_us - self._world.now_us) / MICROSECONDS

    def end(self, seconds: float, *, fails_over: bool = False) -> None:
        """End now, by kill or power loss, and come back later, or let the replica go on instead."""
        self.up_at_us = self._world.now_us + round(seconds * MICROSECONDS)
        self.hung_until_us = 0
        self.run += 1
        if fails_over:
            self.fail_over()
            self.restart()
        else:
            self.restart(self._world.chance.randint(0, len(self.transactions)) if self.loses_power else None)
        while self.history and self.history[-1][0] > self.tail_seq:
            self._world.lose(self.history.pop(), self.tail_seq)

    @property
    def tail_seq(self) -> int:
        """Where the journal ends."""
        return tail_seq_of(self.data)

    @property
    def durable_seq(self) -> int:
        """Up to where the journal is as durable as the mode promises."""
        return tail_seq_of(self.data if self._world.is_lossy else self.durable)

    def _append_function(self, *arguments: Any) -> bytes:
        reply = super()._append_function(*arguments)
        self.history.append((int(reply.partition(b"-")[0]), arguments[-1]))
        return reply


def tail_seq_of(data: Data) -> int:
    """Seq of a journal's last entry."""
    tail = data.texts.get(KEYS.tail)
    return parse_tail(tail)[0] if tail else 0


class World:
    """Everything that a seed decides.

    Parameters
    ----------
    seed : int
        All of it.
    folder : Path
        For snapshots and history.
    """

    def __init__(self, seed: int, folder: Path) -> None:
        self.chance = Random(seed)
        self.folder = folder
        self.processes = Processes(self)
        self.checkpoint_seconds = self.chance.choice((0, 2, 10))
        self.now_us = START_US
        self.trace: list[tuple[Any, ...]] = []
        self.is_calm = False
        self.answered_count = self.fault_count = 0
        self.told_seq = 0
        """Highest seq that any client was told of."""
        self.durability, self.is_lossy = self.chance.choice(MODES)
        """The promise of a reply, and whether the journal server may lose what was told all the same."""
        self.lost_seqs: set[int] = set()
        """Seqs of entries that the journal server had, and lost."""
        self.routes = seed % ROUTED_EVERY == 0
        """Whether clients also plan orders and write the catalog: one world in so many, since it costs more."""
        self.holds: list[str] = []
        self.transfers: list[str] = []
        self.works: list[str] = []
        self.lines: dict[str, tuple[str, str, int]] = {}
        """Of reservations: sku, location and units of the first line that was asked for."""
        self.placed: list[str] = []
        """Reservations that were committed."""
        """Ids of reservations, known to all."""
        self.shipped: list[tuple[str, str, str]] = []
        """(reservation, location, sku) of plans, likewise."""
        self._depth = 0
        self._in_flight: list[tuple[int, int, Sent]] = []
        self._in_flight_count = 0
        self._seam_mean = self.chance.choice((15, 40, 120, 1_000))
        self._fate_mean = self.chance.choice((5, 20, 60, 1_000))
        self._seams_left = self._spacing(self._seam_mean)
        self._fates_left = self._spacing(self._fate_mean)
        self._troubles_left = self._spacing(40)
        self.server = Server(self)
        if self.durability == "everysec":
            self.server.settings["appendfsync"] = "everysec"
        self.checker = Checker(self)
        self.engines = [Engine(self, name) for name in ENGINE_NAMES]
        self.clients = [Client(self, number) for number in range(CLIENT_COUNT)]

    def lend_snapshot(self, engine: Engine) -> bool:
        """Copy the other engine's snapshots to one that lacks them, as a person would; tells whether there are any."""
        (other,) = (each for each in self.engines if each is not engine)
        found = snapshots(other.snapshot_folder)
        engine.snapshot_folder.mkdir(parents=True, exist_ok=True)
        for path in found:
            shutil.copy(path, engine.snapshot_folder)
        return bool(found)

    # ---- chance ------------------------------------------------------------------------------------------------------

    def happens(self, probability: float) -> bool:
        """Decide by chance."""
        return self.chance.random() < probability

    def _spacing(self, mean: int) -> int:
        return 1 + int(self.chance.expovariate(1 / mean))

    def fate(self) -> str:
        """Decide what becomes of a command to the journal server."""
        if self.is_calm:
            return "ok"
        self._fates_left -= 1
        if self._fates_left > 0:
            return "ok"
        self._fates_left = self._spacing(self._fate_mean)
        self.fault_count += 1
        return self.chance.choice(FATES)

    # ---- time --------------------------------------------------------------------------------------------------------

    def note(self, *what: Any) -> None:
        """Write down what happens."""
        self.trace.append((self.now_us - START_US, *what))

    def advance(self, microseconds: int) -> None:
        """Let time pass, and arrive what was on its way."""
        self.now_us += microseconds
        while self._in_flight and self._in_flight[0][0] <= self.now_us and not self.server.is_hung:
            self._arrive(heapq.heappop(self._in_flight)[2])
        if self.now_us >= self.server.next_fsync_us:
            self.server.next_fsync_us = self.now_us + FSYNC_US
            if self.durability == "everysec":
                self.server.fsync()

    def sleep(self, engine: Engine, seconds: float) -> None:
        """Let time pass for an engine that waits; the others go on meanwhile."""
        assert engine.is_busy
        end_us = self.now_us + round(seconds * MICROSECONDS)
        if self._depth < NEST_MAX and seconds:
            self._depth += 1
            for _ in range(self.chance.randrange(8)):
                if self.now_us < end_us:
                    self.turn()
            self._depth -= 1
        self.advance(max(0, end_us - self.now_us))

    def let_clients_call(self) -> None:
        """Let some clients act at this very instant."""
        while self.happens(0.4):
            self.chance.choice(self.clients).act()

    def seam(self, engine: Engine, where: Any) -> None:
        """Let something happen to an engine here, or not."""
        if self.is_calm:
            return
        self._seams_left -= 1
        if self._seams_left <= 0:
            self._seams_left = self._spacing(self._seam_mean)
            self.fault_count += 1
            engine.disturb(where)

    # ---- the journal server ------------------------------------------------------------------------------------------

    def deliver_later(self, sent: Sequence[Sent]) -> None:
        """Let commands of one connection arrive some time, whoever waits for them."""
        due_us = self.now_us + round(self.chance.choice(LATE_SECONDS) * MICROSECONDS)
        for each in sent:
            self._in_flight_count += 1
            heapq.heappush(self._in_flight, (due_us, self._in_flight_count, each))

    def _arrive(self, sent: Sent) -> None:
        if sent.is_done or sent.run != self.server.run or not self.server.is_up:
            return
        sent.is_done = True
        try:
            self.execute(sent.arguments, "late")
        except ServerCrashed:
            return

    def execute(self, arguments: tuple[Argument, ...], who: str) -> Any:
        """Let the server carry out a command; an error is a reply as well. Raises ServerCrashed."""
        try:
            reply: Any = self.server.execute(*arguments)
        except ServerError as error:
            reply = error
        except ServerCrashed:
            self.note("server", "crashes at", arguments)
            self._end_server()
            raise
        self.note(who, "→ server", arguments)
        return reply

    def _end_server(self) -> None:
        self.server.end(self.chance.choice(SERVER_DOWN_SECONDS))

    def _trouble(self) -> None:
        """Let something happen to the journal server, or to an engine's process, or not."""
        self._troubles_left -= 1
        if self.is_calm or self._troubles_left > 0:
            return
        self._troubles_left = self._spacing(40)
        self.fault_count += 1
        kind = "a day passes" if self.routes and self.happens(DAY_PROBABILITY) else self.chance.choice(TROUBLES)
        self.note("server", kind)
        self._happen(kind)

    def _happen(self, kind: str) -> None:
        match kind:
            case "a day passes":
                self.advance(round(1.2 * DAY_US))
            case "killed" | "loses power":
                self.server.loses_power = kind == "loses power"
                self._end_server()
            case "crashes at start" | "crashes at written" | "crashes at synced":
                self.server.loses_power = self.happens(0.5)
                self.server.crashes_in_append = self.happens(0.7)
                self.server.crashes_at = kind.rpartition(" ")[2]
            case "tears an append":
                self.server.loses_power = self.server.crashes_in_append = True
                self.server.crashes_at = "written"
            case "hangs":
                self.server.hung_until_us = self.now_us + round(self.chance.choice(HUNG_SECONDS) * MICROSECONDS)
            case "replica":
                self._trouble_replica()
            case "full" | "has room":
                self.server.is_full = kind == "full"
            case "an engine stops":
                engine = self.chance.choice(self.engines)
                if not engine.is_busy:
                    engine.restart_gracefully()

    def _trouble_replica(self) -> None:
        """Let a replica come, go, or be promoted, where there is one."""
        if self.durability == "everysec" or (self.durability == "fsync" and not self.is_lossy):
            return
        if self.server.replica is None or self.happens(0.3):
            self.server.connect_replica()
        elif self.happens(0.4):
            self.server.is_replica_online = False
        else:
            self.note("server", "fails over")
            self.server.end(self.chance.choice(SERVER_DOWN_SECONDS), fails_over=True)

    def lose(self, entry: StreamEntry, tail_seq: int) -> None:
        """Note that the journal server lost an entry; where it may, clients lose what they were told of it."""
        group = decode_entry(entry[1], None)[0]
        self.note("server", "lost", group.first_seq, entry[0])
        self.lost_seqs.update(range(group.first_seq - group.skipped_count, entry[0] + 1))
        if self.is_lossy:
            self.told_seq = min(self.told_seq, tail_seq)
            for part in (part for client in self.clients for part in client.parts):
                part.floor = min(part.floor, tail_seq)

    def may_be_lost(self, seq: int) -> bool:
        """Whether a seq may be told without the journal having it: lost, or skipped by an engine that knows of a loss.

        Where nothing that was told can be lost, that are the seqs of entries which a standby saw and a server lost
        before they were durable.
        """
        return seq in self.lost_seqs or (self.is_lossy and bool(self.lost_seqs))

    # ---- taking turns ------------------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Let some time pass, and then one of those who are there act."""
        self.advance(self.chance.choice(STEP_US))
        self._trouble()
        engine = self.chance.choice(self.engines)
        if self.happens(0.5):
            self.chance.choice(self.clients).act()
        elif not engine.is_busy:
            engine.act()

    def run(self) -> None:
        """Live through the seed; raises Violation."""
        self.is_calm = True
        if self.durability == "replicated" or self.is_lossy:
            self.server.connect_replica()
        while not self.is_stocked:
            self.turn()
        self.server.fsync()
        self.server.replicate()
        self.is_calm = False
        for _ in range(self.chance.choice(STEPS)):
            self.turn()
        self._heal()
        self.checker.check_all()

    def _heal(self) -> None:
        """End all faults; then everybody must come to an end soon."""
        self.note("world", "calm")
        self.is_calm = True
        self.server.crashes_at = None
        self.server.is_full = False
        self.server.up_at_us = self.server.hung_until_us = self.now_us
        if self.durability == "replicated":
            self.server.connect_replica()
        for engine in self.engines:
            engine.recover()
        self.clients[0].ask_at_last()
        for _ in range(HEAL_STEPS_MAX):
            if self._is_settled():
                return
            self.turn()
        raise Violation(f"not at rest {HEAL_STEPS_MAX} turns after the last fault: {self._state()}")

    def _is_settled(self) -> bool:
        """Whether every call was answered, one engine leads, and the other has followed."""
        books = [engine.book for engine in self.engines]
        return (
            all(client.is_idle for client in self.clients)
            and self.is_stocked
            and sum(engine.is_primary for engine in self.engines) == 1
            and None not in books
            and len({book.seq for book in books if book}) == 1
            and self.server.tail_seq == books[0].seq
        )

    def _state(self) -> str:
        busy = [client.name for client in self.clients if not client.is_idle]
        return f"engines {[(engine.name, engine.is_primary) for engine in self.engines]}, clients that wait {busy}"

    @property
    def is_stocked(self) -> bool:
        """Whether the catalog is there, and goods."""
        return self.clients[0].is_set_up

    def story(self) -> Iterator[str]:
        """What happened, a line each."""
        for time_us, *what in self.trace:
            yield f"{time_us / MICROSECONDS:12.6f}  {'  '.join(map(shown, what))}"

    def digest(self) -> str:
        """A hash of all that happened: equal for equal seeds."""
        return xxhash.xxh3_64_hexdigest("\n".join(self.story()).encode())


def shown(what: Any) -> str:
    """Say what a command is, with payloads by their checksums and without its keys."""
    if not isinstance(what, tuple):
        return str(what)
    return " ".join(_word(each) for each in what if not (isinstance(each, str) and each.startswith("{onhand")))


def _word(argument: Argument) -> str:
    if not isinstance(argument, bytes):
        return str(argument)
    is_long = len(argument) > WORD_BYTES_MAX
    return (
        f"<{xxhash.xxh32_hexdigest(argument)}>"
        if is_long
        else argument.decode("latin-1").encode("unicode_escape").decode()
    )


class Report(NamedTuple):
    """What became of a seed."""

    seed: int
    violation: str
    """Empty if all was well."""
    digest: str
    answered_count: int
    fault_count: int
    story: list[str]


def live(seed: int, *, keeps_story: bool = False) -> Report:
    """Live through a seed."""
    with quiet_logs(), tempfile.TemporaryDirectory(prefix="onhand-simulation-", dir=_memory_folder()) as folder:
        world = World(seed, Path(folder))
        try:
            with (
                simulated_processes(world.processes),
                patch.object(sequencer, "OVERLAPPED_BYTES_MIN", OVERLAPPED_BYTES),
            ):
                world.run()
        except (Violation, Exception) as error:  # noqa: BLE001 - whatever it is, its seed must be told
            found = str(error) if isinstance(error, Violation) else repr(error)
            end = traceback.format_exception(error)
        else:
            found, end = "", []
    story = [*world.story(), *end] if keeps_story else []
    return Report(seed, found, world.digest() if keeps_story else "", world.answered_count, world.fault_count, story)


def _memory_folder() -> str | None:
    """Where files cost next to nothing, if there is such a place."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@contextmanager
def quiet_logs() -> Iterator[None]:
    """Let nobody write logs: what happens is in the story."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)
