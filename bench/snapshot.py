"""A snapshot of a large book: what the writer feels of it, what it takes, and how long a start from it takes."""

import gc
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from bench.client_process import ClientProcess
from bench.columns import LOCATIONS, WINDOW_US, Columns
from bench.rows import BenchError, Question, Row, Run, Sample, Target
from engine.shard.checkpoint import Checkpointer, Keeping
from ledger.book import Book
from ledger.core.limits import COMMANDS_PER_CALL_MAX
from ledger.journal.entry import CHAIN_START, Entry, encode_entry
from ledger.journal.stream import StreamJournal
from ledger.parts.resources import Location, Sku
from ledger.replay import Replayer
from ledger.snapshot import load_snapshot, snapshots
from ledger.warmup import warm_up

UNARY: Final = 35
"""About the group that unary calls come to."""
UNARY_GROUPS: Final = 20_000
BULK_GROUPS: Final = 60
MILLISECONDS: Final = 1_000
NANOSECONDS_PER_MILLISECOND: Final = 1_000_000
SECONDS_MAX: Final = 300.0
EPOCH: Final = 1

SIZE: Final = "10,000,000 levels and 5,000,000 open reservations of one line, each with its request id"
CONDITIONS: Final = f"{SIZE}; a process of its own with the book alone; no journal"
WRITER: Final = "processor time of the writer, flat out, levels drawn at random: the first writes to a page copy it"


def _question(name: str, unit: str, conditions: str, target: Target | None = None) -> Question:
    return Question(f"snapshot.{name}", unit, f"{conditions}; {CONDITIONS}", target=target, durability="none")


PAUSE: Final = _question("pause", "ms", "the longer fork of two, which the writer waits for", Target("value", "≤", 50))
UNARY_GROUP: Final = _question(
    "unary_group",
    "ms",
    f"longest of {UNARY_GROUPS:,} groups of {UNARY} while a snapshot is written; {WRITER}",
    Target("value", "≤", 50),
)
BULK_GROUP: Final = _question(
    "bulk_group",
    "ms",
    f"longest of {BULK_GROUPS} groups of {COMMANDS_PER_CALL_MAX:,} while a snapshot is written; {WRITER}",
)
BYTES: Final = _question("bytes", "bytes", "size of the file")
WRITE: Final = _question(
    "write", "s", f"from fork to durable, beside {BULK_GROUPS} groups of {COMMANDS_PER_CALL_MAX:,}"
)
LOAD: Final = _question(
    "load", "s", "until the digest is compared; the file is in the page cache", Target("value", "≤", 10)
)
TAIL: Final = _question(
    "tail", "reservations/s", f"journal entries of {COMMANDS_PER_CALL_MAX:,} after the snapshot, checked and applied"
)
QUESTIONS: Final = (PAUSE, UNARY_GROUP, BULK_GROUP, BYTES, WRITE, LOAD, TAIL)


class Sizes(NamedTuple):
    """How large the book is."""

    levels: int
    reservations: int


FULL: Final = Sizes(levels=10_000_000, reservations=5_000_000)
QUICK: Final = Sizes(levels=10_000, reservations=5_000)


class Taken(NamedTuple):
    """What writing snapshots took."""

    pause_ms: float
    unary_ms: float
    bulk_ms: float
    size_bytes: int
    write_seconds: float
    tail: list[tuple[int, bytes]]
    """Entries after the first snapshot."""
    digest: bytes
    """Of the book after them."""


class Loaded(NamedTuple):
    """What a start from it took."""

    load_seconds: float
    tail_reservations: int
    tail_seconds: float
    wrong: list[str]


def measure(run: Run) -> Iterator[Row]:
    """Answer QUESTIONS, each with one measurement."""
    with tempfile.TemporaryDirectory(prefix="onhand-bench-") as name:
        run.report("filling a book, and writing snapshots of it")
        with ClientProcess() as process:
            taken = process.call(take, QUICK if run.is_quick else FULL, Path(name))
        run.report("loading one")
        with ClientProcess() as process:
            loaded = process.call(load, Path(name), taken.tail, taken.digest)
    figures = {
        PAUSE: taken.pause_ms,
        UNARY_GROUP: taken.unary_ms,
        BULK_GROUP: taken.bulk_ms,
        BYTES: float(taken.size_bytes),
        WRITE: taken.write_seconds,
        LOAD: loaded.load_seconds,
        TAIL: loaded.tail_reservations / loaded.tail_seconds,
    }
    for question, value in figures.items():
        yield run.row(question, [Sample(value, loaded.wrong)])


# ---- in processes of their own ---------------------------------------------------------------------------------------


class _Writer:
    """Fills a book, and keeps what a journal would have of it since the snapshot."""

    def __init__(self, sizes: Sizes) -> None:
        self.columns = Columns(sizes.levels)
        self.book = Book(request_window_us=WINDOW_US, retention_us=WINDOW_US)
        self.book.catalog.put([_location(number) for number in range(LOCATIONS)], 0)
        self.book.catalog.put([Sku(f"SKU-{number}", "", "", 0, ()) for number in range(self.columns.skus)], 0)
        self.columns.ledger = self.book.ledger
        self.chain = CHAIN_START
        self.tail: list[tuple[int, bytes]] = []
        for batch in self.columns.level_batches(COMMANDS_PER_CALL_MAX):
            self.columns.run(batch)
        for batch in self.columns.reservation_batches(sizes.reservations, COMMANDS_PER_CALL_MAX):
            self.columns.run(batch)

    def run_group(self, size: int) -> float:
        """Reserve, and return how many milliseconds of the processor the ledger took."""
        batch = self.columns.reservations(size)
        started = time.thread_time_ns()
        group = self.columns.run(batch)
        spent = time.thread_time_ns() - started
        payload, self.chain = encode_entry(Entry.of_group(group, EPOCH), self.chain)
        self.tail.append((group.last_seq, payload))
        return spent / NANOSECONDS_PER_MILLISECOND


def _location(number: int) -> Location:
    return Location(f"LOC-{number}", 1, "", 0.0, 0.0, "UTC", (1,), active=True, location_groups=())


def take(sizes: Sizes, folder: Path) -> Taken:
    """Fill a book, and write two snapshots of it: one beside large groups, and one beside small ones."""
    warm_up(lambda _: None)
    writer = _Writer(sizes)
    gc.collect()
    gc.freeze()  # as the engine does
    first, bulk_ms = _checkpoint(
        writer, folder / "first", lambda: writer.run_group(COMMANDS_PER_CALL_MAX), groups_max=BULK_GROUPS
    )
    tail, digest = list(writer.tail), writer.book.digest()
    second, unary_ms = _checkpoint(writer, folder / "second", lambda: writer.run_group(UNARY), groups_max=UNARY_GROUPS)
    return Taken(
        pause_ms=max(each["checkpoint_pause_seconds_max"] for each in (first, second)) * MILLISECONDS,
        unary_ms=unary_ms,
        bulk_ms=bulk_ms,
        size_bytes=int(first["snapshot_bytes"]),
        write_seconds=first["snapshot_seconds"],
        tail=tail,
        digest=digest,
    )


class _Snapshots(Checkpointer):
    """Takes snapshots, and has no journal to archive."""

    def _archive(self) -> None:
        self._succeed()


def _checkpoint(
    writer: _Writer, folder: Path, run_group: Callable[[], float], groups_max: int
) -> tuple[dict[str, float], float]:
    """Write a snapshot beside some groups; returns the status, and the longest of them in milliseconds."""
    checkpointer = _Snapshots(
        writer.book,
        StreamJournal("unix:///nowhere"),  # never asked
        Keeping(folder, folder, seconds=0, journal_bytes=1, snapshots=1, history_seconds=0, archive_seconds=0),
        monotonic=time.monotonic,
        on_digest=None,
        after_trim=lambda: None,
    )
    deadline = time.monotonic() + SECONDS_MAX
    checkpointer.begin(writer.chain, EPOCH)
    longest, count = run_group(), 1
    while checkpointer.is_running and time.monotonic() < deadline:
        if count < groups_max:
            longest, count = max(longest, run_group()), count + 1
        checkpointer.poll()
    status = checkpointer.status()
    if checkpointer.is_running or status["checkpoint_failure"]:
        checkpointer.close()
        raise BenchError(f"the snapshot was not written: {status['checkpoint_failure'] or f'{SECONDS_MAX} s are over'}")
    return status, longest


def load(folder: Path, tail: list[tuple[int, bytes]], digest: bytes) -> Loaded:
    """Load the first snapshot and replay the entries after it."""
    warm_up(lambda _: None)
    started = time.perf_counter()
    header, book = load_snapshot(snapshots(folder / "first")[0])
    load_seconds = time.perf_counter() - started
    replayer = Replayer(book, header.chain)
    before = book.ledger.counts().active_reservations
    started = time.perf_counter()
    for last_seq, payload in tail:
        replayer.apply(last_seq, payload)
    tail_seconds = time.perf_counter() - started
    wrong = [] if book.digest() == digest else ["digest after the tail: expected the writer's, was another"]
    wrong += [f"{violation}" for violation in book.ledger.verify()[:3]]
    return Loaded(load_seconds, book.ledger.counts().active_reservations - before, tail_seconds, wrong)
