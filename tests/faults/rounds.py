"""The rounds: kill -9 of engines and journal server under load, and what else can happen to them, in a seed's order."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Final

from ledger.journal.errors import JournalRefused, JournalUnavailable

from .cluster import Cluster, Engine
from .history import Event
from .load import Load
from .processes import WAIT_SECONDS, wait_until
from .proxy import TO_ENGINE, TO_SERVER

LONG_STOP_SECONDS: Final = 30.0
LONG_STOP_ROUNDS_MIN: Final = 50
"""Shorter runs leave the long stop out."""
MEMORY_LEFT_BYTES: Final = 100_000
BALLAST: Final = "faults:ballast"
BALLAST_BYTES: Final = 4_096
DISK_LEFT_BYTES_MAX: Final = 3_000
CUT_BYTES_MAX: Final = 900

KILLS: Final = {
    "primary": 26,
    "standby": 14,
    "server": 44,
    "primary and server": 6,
    "standby and server": 5,
    "primary and standby": 5,
}
"""Of a hundred kill -9 rounds, how many are of each kind."""
FAULTS: Final = {
    "cut in an append": 12,
    "cut in a reply": 6,
    "journal paused": 5,
    "journal slow": 3,
    "journal out of reach": 3,
    "reply lost in a failover": 4,
    "primary stopped": 4,
    "disk full": 3,
    "out of memory": 2,
    "out of memory for long": 2,
}
"""Faults between a hundred kill -9 rounds."""


def plan(round_count: int, chance: Random) -> list[str]:
    """Return the kinds of rounds of a run, in order: as many kills as asked for, and the faults between them."""
    kills = _share(KILLS, round_count)
    faults = _share(FAULTS, round_count * sum(FAULTS.values()) // 100)
    chance.shuffle(kills)
    chance.shuffle(faults)
    if round_count >= LONG_STOP_ROUNDS_MIN:
        faults.insert(len(faults) // 2, "server stopped for long")
    steps = [(place / len(each), kind) for each in (kills, faults) for place, kind in enumerate(each)]
    return [kind for _, kind in sorted(steps, key=lambda step: step[0])]


def _share(weights: dict[str, int], count: int) -> list[str]:
    """Return `count` names in the proportion of their weights, each at least once while there is room."""
    total = sum(weights.values())
    names = [name for name, weight in weights.items() for _ in range(max(1, weight * count // total))]
    largest = max(weights, key=lambda name: weights[name])
    return [*names, *[largest] * (count - len(names))][:count]


class Rounds:
    """Carries out rounds on a cluster under load.

    Parameters
    ----------
    cluster
        Two engines.
    load
        Running.
    chance
        Decides the details.
    """

    def __init__(self, cluster: Cluster, load: Load, chance: Random) -> None:
        self._cluster = cluster
        self._load = load
        self._chance = chance
        self.done: Counter[str] = Counter()
        self.problems: list[str] = []
        """Promises broken that the history does not show."""
        self._kinds: dict[str, Callable[[], None]] = {
            "primary": self._kill_primary,
            "standby": self._kill_standby,
            "server": self._kill_server,
            "primary and server": self._kill_primary_and_server,
            "standby and server": self._kill_standby_and_server,
            "primary and standby": self._kill_engines,
            "cut in an append": lambda: self._cut(TO_SERVER),
            "cut in a reply": lambda: self._cut(TO_ENGINE),
            "journal paused": self._pause_journal,
            "journal slow": self._slow_journal,
            "journal out of reach": self._refuse_journal,
            "reply lost in a failover": self._lose_reply,
            "primary stopped": self._stop_primary,
            "server stopped for long": self._stop_server,
            "disk full": self._fill_disk,
            "out of memory": self._fill_memory,
            "out of memory for long": self._outgrow_memory,
            "rolling upgrade": self._upgrade,
        }
        assert set(KILLS) | set(FAULTS) < set(self._kinds)

    def run(self, kind: str) -> None:
        """Carry out one round, and return when writes are acknowledged again."""
        self._load.check()
        self._cluster.revive()
        self._kinds[kind]()
        self.done[kind] += 1

    @property
    def kill_count(self) -> int:
        """Rounds of kill -9."""
        return sum(self.done[kind] for kind in KILLS)

    def _serves(self, after: float, engine: Engine | None = None) -> Event:
        """Wait for the first write that was acknowledged after an instant, by one engine or any."""
        return self._load.history.wait_for_write(after, WAIT_SECONDS, engine.address if engine else "")

    # ---- kill -9

    def failover(self) -> float:
        """Kill the primary while a standby follows; return the seconds until that acknowledged its first write."""
        standby, primary = self._cluster.standby(), self._cluster.primary()
        at = primary.kill()
        event = self._serves(at, standby)
        assert event.end is not None
        self._cluster.revive()
        return event.end - at

    def _kill_primary(self) -> None:
        self.failover()

    def _kill_standby(self) -> None:
        self._cluster.standby().kill()
        self._serves(time.monotonic())

    def _kill_server(self) -> None:
        self._cluster.primary()
        self._cluster.server.kill()
        self._cluster.server.start()
        self._serves(time.monotonic())

    def _kill_primary_and_server(self) -> None:
        standby, primary = self._cluster.standby(), self._cluster.primary()
        primary.kill()
        self._cluster.server.kill()
        self._cluster.server.start()
        self._cluster.revive()
        self._serves(time.monotonic(), standby)

    def _kill_standby_and_server(self) -> None:
        self._cluster.standby().kill()
        self._kill_server()

    def _kill_engines(self) -> None:
        self._cluster.primary()
        for engine in self._cluster.engines:
            if engine.is_running:
                engine.kill()
        self._cluster.revive()
        self._serves(time.monotonic())

    # ---- another release

    def _upgrade(self) -> None:
        """Replace engines of the release before by those of this one, as docs/upgrading.md says: the standby first."""
        standby, primary = self._cluster.standby(), self._cluster.primary()
        standby.terminate()
        standby.code = None
        standby.start()
        assert self._cluster.standby() is standby
        at = time.monotonic()
        primary.terminate()
        self._serves(at, standby)
        primary.code = None
        primary.start()
        assert self._cluster.standby() is primary

    # ---- the way between engine and server

    def _proxy(self) -> tuple[int, Engine]:
        primary = self._cluster.primary()
        return self._cluster.engines.index(primary), primary

    def _cut(self, direction: str) -> None:
        """Cut the primary's connections in the middle of what it sends or hears."""
        place, _ = self._proxy()
        proxy = self._cluster.proxies[place]
        proxy.cut_after(self._chance.randrange(1, CUT_BYTES_MAX if direction == TO_SERVER else 20), direction)
        wait_until(lambda: not proxy.is_cut_due, "the connection is cut")
        self._serves(time.monotonic())

    def _pause_journal(self) -> None:
        """Let nothing through for longer or shorter than the lease; a standby may take over meanwhile."""
        place, _ = self._proxy()
        proxy = self._cluster.proxies[place]
        proxy.pause()
        self._lasts(self._chance.choice((0.3, 0.8, 1.5, 3.0)))
        proxy.resume()
        self._serves(time.monotonic())

    def _slow_journal(self) -> None:
        place, _ = self._proxy()
        proxy = self._cluster.proxies[place]
        proxy.delay(self._chance.choice((0.02, 0.1, 0.3)))
        self._serves(time.monotonic())
        self._lasts(1.0)
        proxy.resume()
        self._serves(time.monotonic())

    def _refuse_journal(self) -> None:
        """Leave the primary without its journal, until the standby has taken over."""
        standby = self._cluster.standby()
        place, _ = self._proxy()
        at = time.monotonic()
        self._cluster.proxies[place].refuse(refuses=True)
        self._serves(at, standby)
        self._cluster.proxies[place].refuse(refuses=False)

    def _lose_reply(self) -> None:
        """Let the primary's last append arrive and its reply not, until the standby has written after it."""
        standby = self._cluster.standby()
        place, primary = self._proxy()
        proxy = self._cluster.proxies[place]
        at = time.monotonic()
        proxy.pause(TO_ENGINE)
        self._serves(at, standby)
        proxy.cut()
        proxy.resume()
        wait_until(primary.is_standby, "the primary that heard nothing stands by")

    # ---- machines that stand still

    def _stop_primary(self) -> None:
        """Let the primary sleep through its lease, and wake up when another one writes: it may answer nothing more."""
        standby, primary = self._cluster.standby(), self._cluster.primary()
        at = time.monotonic()
        with primary.stopped():
            self._serves(at, standby)
        wait_until(primary.is_standby, "the primary that slept stands by")

    def _stop_server(self) -> None:
        """Let the journal server stand still for long: meanwhile nothing may be acknowledged."""
        self._cluster.primary()
        with self._cluster.server.stopped():
            at = time.monotonic()
            self._lasts(LONG_STOP_SECONDS)
            self.problems += [
                f"acknowledged while the journal server stood still: {event}"
                for event in self._load.history.acknowledged_since(at)
            ]
        self._serves(time.monotonic())

    def _lasts(self, seconds: float) -> None:
        """Let a fault last."""
        self._load.wait(seconds)

    # ---- no room

    def _fill_disk(self) -> None:
        """Let the server's write fail in the middle, as on a full disk: it ends, and loses nothing acknowledged."""
        server = self._cluster.server
        self._cluster.primary()
        server.limit_files(self._chance.randrange(1, DISK_LEFT_BYTES_MAX))
        wait_until(lambda: not server.is_running, "the journal server gave up on its full disk")
        server.start()
        self._serves(time.monotonic())

    def _fill_memory(self) -> None:
        """Let the server reach its memory limit, and have more memory again."""
        with self._memory_limit():
            pass
        self._serves(time.monotonic())

    def _outgrow_memory(self) -> None:
        """Let the server stay at its memory limit, until a snapshot let the primary trim the journal."""
        with self._memory_limit():
            self._serves(time.monotonic())

    @contextmanager
    def _memory_limit(self) -> Iterator[None]:
        """Limit the server's memory, and go on once it is full."""
        server = self._cluster.server
        self._cluster.primary()
        server.call("CONFIG", "SET", "maxmemory", server.used_bytes() + MEMORY_LEFT_BYTES)
        wait_until(self._is_full, "the journal server is at its memory limit")
        try:
            yield
        finally:
            server.call("CONFIG", "SET", "maxmemory", 0)
            server.call("DEL", BALLAST)

    def _is_full(self) -> bool:
        """Whether the server refuses what takes memory; what it takes yet, fills it up."""
        try:
            self._cluster.server.call("APPEND", BALLAST, bytes(BALLAST_BYTES))
        except JournalRefused as error:
            return error.reply.startswith("OOM")
        except JournalUnavailable:
            return False
        return False
