"""The processes that a checkpoint starts beside an engine, as events of this world: they take time, and may fail.

`engine.shard.checkpoint` gets a stand-in for what it uses of `os` and `subprocess`; the snapshots and archives it makes
are real, in a folder that ends with the world.
"""

from __future__ import annotations

import errno
import io
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

import msgspec

from engine.shard import checkpoint
from engine.shard.checkpoint import Checkpointer
from ledger.archive import Order, archive_entries
from ledger.journal.entry import CHAIN_BYTES, decode_entry
from ledger.snapshot import write_snapshot

from .server import KEYS, StreamEntry
from .settings import MICROSECONDS

if TYPE_CHECKING:
    from .world import World

WORK_SECONDS: Final = (0.0, 0.05, 1.0, 6.0)
FAILURE_PROBABILITY: Final = 0.1
WORKPLACE: Final = "child"
"""Folder beside the snapshots in which a child writes."""


class SimulatedCheckpointer(Checkpointer):
    """Tells the simulated processes what a forked child would see."""

    def __init__(self, *arguments: Any, processes: Processes, **more: Any) -> None:
        self._processes = processes
        super().__init__(*arguments, **more)

    def _fork(self, chain: bytes, epoch: int) -> None:
        write = self._folder / WORKPLACE
        self._processes.forking.append(lambda: write_snapshot(write, self._book, chain, epoch))
        try:  # another engine may run, and fork, before this one does
            super()._fork(chain, epoch)
        finally:
            self._processes.forking.pop()


class Processes:
    """Stands in for the modules `os` and `subprocess` of a checkpointer.

    Parameters
    ----------
    world : World
        Whose time they take.
    """

    WNOHANG = os.WNOHANG
    PIPE = subprocess.PIPE
    DEVNULL = subprocess.DEVNULL
    waitstatus_to_exitcode = staticmethod(os.waitstatus_to_exitcode)

    def __init__(self, world: World) -> None:
        self._world = world
        self._children: dict[int, tuple[Path, int]] = {}
        self._count = 0
        self.forking: list[Any] = []

    # ---- what a checkpointer uses of `os` ----------------------------------------------------------------------------

    def pipe(self) -> tuple[int, int]:
        """Two ends of nothing."""
        return 0, 0

    def close(self, _: int) -> None:
        """Close nothing."""

    def read(self, *_: int) -> bytes:
        """Say why a child failed."""
        return b"OSError: no space left on device"

    def fork(self) -> int:
        """Begin a child, which sees the book as it is now."""
        if self._world.happens(FAILURE_PROBABILITY):
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        self._count += 1
        self._children[self._count] = self.forking[-1](), self._end_us()
        self._world.note("child", self._count, "writes a snapshot")
        return self._count

    def waitpid(self, pid: int, options: int) -> tuple[int, int]:
        """See whether a child has ended."""
        path, end_us = self._children[pid]
        if options == self.WNOHANG and self._world.now_us < end_us:
            return 0, 0
        del self._children[pid]
        if not path.exists():  # it was killed
            return pid, 9
        if self._world.happens(FAILURE_PROBABILITY):
            path.unlink()
            return pid, 1 << 8
        path.replace(path.parent.parent / path.name)
        return pid, 0

    def kill(self, pid: int, _: int) -> None:
        """Kill a child: what it wrote is gone."""
        self._children[pid][0].unlink(missing_ok=True)  # two engines' lives may have written the same one

    def orphan(self, folder: Path) -> None:
        """Let the children of an engine that died go on without it, to their end or not."""
        for pid in [pid for pid, (path, _) in self._children.items() if path.is_relative_to(folder)]:
            if self._world.happens(0.5):
                self.kill(pid, 9)
            self.waitpid(pid, 0)

    # ---- what it uses of `subprocess` --------------------------------------------------------------------------------

    def Popen(self, *_: Any, **__: Any) -> Archiver:  # noqa: N802 - the name it stands in for
        """Begin an archiver."""
        return Archiver(self._world, self._end_us())

    def _end_us(self) -> int:
        return self._world.now_us + round(self._world.chance.choice(WORK_SECONDS) * MICROSECONDS)


class Archiver:
    """One round of `python -m ledger.archive`."""

    def __init__(self, world: World, end_us: int) -> None:
        self._world = world
        self._end_us = end_us
        self.stdin = _Order()
        self.stderr = io.BytesIO(b"JournalUnavailable: cut")

    def poll(self) -> int | None:
        """Do it all at the end of its time; returns the exit code then."""
        if self._world.now_us < self._end_us:
            return None
        if self._world.happens(FAILURE_PROBABILITY) or not self._world.server.is_up:
            return 1
        order = msgspec.json.decode(self.stdin.content, type=Order)
        archive_entries(_Reader(self._world), Path(order.folder), order.up_to_seq)  # type: ignore[arg-type]
        return 0

    def kill(self) -> None:
        """End it."""

    def wait(self) -> None:
        """Wait until it has ended."""


class _Order(io.BytesIO):
    """A pipe to an archiver, read when it is closed."""

    content = b""

    def close(self) -> None:
        self.content = self.getvalue()
        super().close()


class _Reader:
    """The journal, read by a process whose connection always works."""

    def __init__(self, world: World) -> None:
        self._world = world

    def read(self, after_seq: int) -> Iterator[StreamEntry]:
        """Yield the entries that end after a seq."""
        stream = self._world.server.data.streams.get(KEYS.journal)
        return iter([entry for entry in stream.entries if entry[0] > after_seq] if stream else [])

    def first_seq_kept(self) -> int:
        """Return where it begins."""
        return next((decode_entry(payload, None)[0].first_seq for _, payload in self.read(0)), 1)

    def chain_at(self, seq: int) -> bytes | None:
        """Return the checksum of an entry; None if it is not there."""
        return next((payload[:CHAIN_BYTES] for last_seq, payload in self.read(seq - 1) if last_seq == seq), None)


@contextmanager
def simulated_processes(processes: Processes) -> Iterator[None]:
    """Let checkpointers start processes of this world."""
    with patch.object(checkpoint, "os", processes), patch.object(checkpoint, "subprocess", processes):
        yield
