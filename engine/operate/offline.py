"""Reading a shard without an engine: its journal, snapshots and archive. No claim is made and nothing is written."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from engine.config import EngineConfig
from ledger.book import Book
from ledger.core.limits import MICROSECONDS
from ledger.history import History
from ledger.journal.embedded import EmbeddedServer
from ledger.journal.entry import CHAIN_START, decode_entry
from ledger.journal.errors import DigestMismatch, JournalCorrupt
from ledger.journal.reading import JournalReader
from ledger.replay import Replayer
from ledger.snapshot import Snapshot, SnapshotDamaged, load_snapshot, read_header, snapshots

JOURNAL_FILES: Final = "appendonlydir"
"""What a journal server makes in a data folder."""


class OperatorError(Exception):
    """What was asked for cannot be done; the message says why and the way out."""


class Offline(NamedTuple):
    """Where a shard's past is read from."""

    journal: JournalReader
    history: History
    """Archive and journal; only the journal where no folder is known."""
    snapshot_folder: Path | None
    flags: list[str]
    """Of a command that reads the same."""

    @property
    def name(self) -> str:
        """How titles name it."""
        return self.journal.describe()


@contextmanager
def open_offline(folder: Path | None, journal_url: str, shard: int, *, may_be_new: bool = False) -> Iterator[Offline]:
    """Yield what can be read of a data folder, of a journal server, or of both.

    Parameters
    ----------
    folder
        Data folder: its snapshots and archive, and its journal unless there is a URL.
    journal_url
        Of a journal server; empty for the folder's own.
    shard
        Whose journal is read.
    may_be_new
        Whether a folder without a journal gets an empty one.

    Raises
    ------
    OperatorError
        The folder has no journal.
    JournalOfOtherShard
        It is another shard that has a journal there.
    JournalError
        The journal cannot be read.
    """
    with ExitStack() as cleanup:
        url = journal_url or cleanup.enter_context(_embedded(folder, may_be_new=may_be_new))
        journal = cleanup.enter_context(JournalReader(url, shard=str(shard)))
        if not may_be_new:
            journal.require_shard()
        flags = ["--journal", journal.describe()] if journal_url else []
        flags += ["--shard", str(shard)] if shard else []
        if folder is None:
            yield Offline(journal, History(journal, None), None, flags)
        else:
            config = EngineConfig.model_construct(data_folder=folder)
            history = History(journal, config.archive_folder)
            yield Offline(journal, history, config.snapshot_folder, ["--folder", str(folder), *flags])


@contextmanager
def _embedded(folder: Path | None, *, may_be_new: bool) -> Iterator[str]:
    """Yield the URL of a data folder's journal server: the one that runs, which is left alone, or one of our own."""
    assert folder is not None
    if not (folder / JOURNAL_FILES).is_dir() and not (may_be_new and folder.is_dir()):
        raise OperatorError(f"folder: expected a data folder of an engine, with {JOURNAL_FILES} in it, was {folder}")
    with EmbeddedServer(folder).attached() as url:
        if url:
            yield url
            return
    with EmbeddedServer(folder) as server:
        yield server.url


# ---- making a book ---------------------------------------------------------------------------------------------------


def empty_book(offline: Offline) -> Book:
    """Return a book to replay into; what is forgotten when is said by the journal, not by settings."""
    return Book(**book_settings(), shard=int(offline.journal.shard))


def book_settings() -> dict[str, int]:
    """Return the settings of a book that is replayed: what is forgotten when, the journal says."""
    config = EngineConfig.model_construct()
    return {
        "request_window_us": config.request_window_seconds * MICROSECONDS,
        "retention_us": config.retention_seconds * MICROSECONDS,
    }


class Patient(Replayer):
    """A replayer that goes on where the state is another than the writer's, and remembers it."""

    def __init__(self, book: Book, chain: bytes) -> None:
        super().__init__(book, chain)
        self.mismatches: list[str] = []

    def _compare(self, seq: int, digest: bytes) -> None:
        try:
            super()._compare(seq, digest)
        except DigestMismatch as error:
            self.mismatches.append(str(error))


class Scratch:
    """A ledger that is made to be looked at: where its replay began, and what was found on the way."""

    def __init__(self, book: Book, chain: bytes, snapshot: Path | None) -> None:
        self.replayer = Patient(book, chain)
        self.snapshot = snapshot
        """What it began with; None for the very first entry."""
        self.snapshot_seq = book.seq

    @property
    def book(self) -> Book:
        """Ledger and catalog."""
        return self.replayer.book

    @property
    def mismatches(self) -> list[str]:
        """Where the state came to be another than the writer's."""
        return [f"Replayed from {self.snapshot or 'the first entry'}: {each}" for each in self.replayer.mismatches]

    def replay(self, offline: Offline, last_seq: int, console: Console) -> tuple[int, bytes] | None:
        """Replay up to a seq, with a progress bar; returns the entry that goes beyond it, which is not replayed.

        Raises
        ------
        JournalCorrupt
            The entries end before, or one is not what was written.
        OperatorError
            The entries that follow are kept no more.
        """
        with progress_to(last_seq, console, "replaying to seq") as reached:
            for seq, payload in offline.history.entries(self.book.seq):
                if seq > last_seq:
                    return seq, payload
                self.replayer.apply(seq, payload)
                reached(seq)
        if self.book.seq < last_seq:
            raise JournalCorrupt(
                f"The journal: expected entries up to seq {last_seq}, found them up to {self.book.seq}."
            )
        return None


def beginnings(offline: Offline, seq: int, refused: list[str], *, from_start: bool = False) -> Iterator[Scratch]:
    """Yield where a replay to a seq can begin, the nearest first: at each snapshot that can be trusted, at the start.

    Unlike the recovery of an engine this leaves damaged snapshots where they are.

    Parameters
    ----------
    refused
        Gets the reasons why snapshots were passed over.
    from_start
        Whether to pass over all of them.
    """
    folder = None if from_start else offline.snapshot_folder
    last_seq = offline.journal.tail().last_seq
    for path in snapshots(folder) if folder else ():
        try:
            header = read_header(path)
            if seq < header.seq <= last_seq:
                continue
            if reason := _why_foreign(offline, header):
                refused.append(f"Snapshot {path}: {reason}")
                continue
            yield Scratch(load_snapshot(path, shard=int(offline.journal.shard))[1], header.chain, path)
        except SnapshotDamaged as error:
            refused.append(str(error))
    yield Scratch(empty_book(offline), CHAIN_START, None)


def _why_foreign(offline: Offline, header: Snapshot) -> str:
    """Return why the entries there are do not follow a snapshot; empty if they do."""
    tail = offline.journal.tail()
    try:
        following = next(offline.history.entries(header.seq), None)
        if following is not None:
            decode_entry(following[1], header.chain, following[0])
    except (OperatorError, JournalCorrupt) as error:
        return str(error)
    if following is None and (header.seq, header.chain) != (tail.last_seq, tail.chain):
        return (
            f"expected the journal's last entry to be {header.seq}-0, with the same checksum: it is {tail.last_seq}-0."
        )
    return ""


@contextmanager
def progress_to(last_seq: int, console: Console, verb: str) -> Iterator[Callable[[int], None]]:
    """Yield what to tell each seq that is reached, for a progress bar on a terminal."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(verb, total=last_seq)
        yield lambda seq: progress.update(task, completed=seq)
