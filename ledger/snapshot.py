"""Snapshots: a whole book in a file, so that a start needs only the journal's tail after it."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from ledger.book import Book
from ledger.formats import FORMAT, RELEASE, Head, head_of, is_readable, why_unreadable
from ledger.journal.errors import JournalError
from ledger.sealed import Kind, SealedFile, write_sealed
from ledger.upgrades import HEADER_STEPS, upgraded, upgraded_image

SUFFIX: Final = ".snapshot"
DAMAGED_SUFFIX: Final = ".damaged"


class SnapshotDamaged(JournalError):  # noqa: N818 - named by the state
    """A snapshot is not what was written; an older one, or the whole journal, can stand in for it."""


class SnapshotOfOtherRelease(SnapshotDamaged):
    """A snapshot has a format that this release does not read; nothing is wrong with it. It says which release does."""


class SnapshotOfOtherShard(SnapshotDamaged):
    """A snapshot is of another shard; nothing is wrong with it."""


KIND: Final = Kind("snapshot", b"OHSNAP\0\1", SnapshotDamaged)


class Snapshot(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a snapshot says of itself."""

    version: int
    """The format in which it was written."""
    release: str
    """Of the writer."""
    seq: int
    """Of the last record in it: the last one of its journal entry."""
    epoch: int
    """Of the writer then."""
    chain: bytes
    """Checksum of the journal entry that ends with seq."""
    time_us: int
    """Of that entry, microseconds since the epoch."""
    digest: bytes
    """Of the book; empty: it was computed as an earlier format says."""
    request_window_us: int
    """How long its writer remembered request ids."""
    retention_us: int
    """How long its writer kept ended reservations."""


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Snapshot)


def snapshot_path(folder: Path, seq: int, epoch: int) -> Path:
    """Return where the snapshot of a position is; names sort by position."""
    return folder / f"{seq:020d}-{epoch:010d}{SUFFIX}"


def snapshots(folder: Path) -> list[Path]:
    """Return the snapshots of a folder, the newest first; none if there is no folder."""
    return sorted(folder.glob(f"*{SUFFIX}"), reverse=True)


def write_snapshot(folder: Path, book: Book, chain: bytes, epoch: int) -> Path:
    """Write a book as it is; when this returns, the snapshot is durable.

    Parameters
    ----------
    chain
        Checksum of the journal entry that the book is at the end of.
    epoch
        Of that entry's writer.
    """
    book.stop_counting()  # the digest is of what is there, not of what was counted
    header = Snapshot(
        version=FORMAT,
        release=RELEASE,
        seq=book.seq,
        epoch=epoch,
        chain=chain,
        time_us=book.ledger.time_us,
        digest=book.digest(),
        request_window_us=book.request_window_us,
        retention_us=book.retention_us,
    )
    path = snapshot_path(folder, header.seq, epoch)
    write_sealed(path, KIND, _encoder.encode(header), book.image().items())
    return path


def read_header(path: Path) -> Snapshot:
    """Return what a snapshot says of itself, without looking at the rest.

    Raises
    ------
    SnapshotDamaged
        The file is cut off, or its contents were changed, or another release wrote it.
    """
    with SealedFile(path, KIND) as file:
        return _header_of(file, path)


def load_snapshot(
    path: Path,
    *,
    request_window_us: int | None = None,
    retention_us: int | None = None,
    shard: int | None = None,
    report: Callable[[int, int], None] = lambda _, __: None,
) -> tuple[Snapshot, Book]:
    """Return a snapshot and its book.

    Parameters
    ----------
    request_window_us, retention_us
        The book's from now on, see `Ledger`; None for those of the snapshot's writer.
    shard
        Whose book it must be; None: anybody's.
    report
        Hears how many bytes of how many are read.

    Raises
    ------
    SnapshotDamaged
        Something in the file is not what was written.
    SnapshotOfOtherShard
        It is whole, and of another shard.
    """
    with SealedFile(path, KIND, report) as file:
        header = _header_of(file, path)
        book = Book(
            request_window_us=request_window_us or header.request_window_us,
            retention_us=retention_us or header.retention_us,
        )
        book.restore(upgraded_image(file, header.version))
    if shard is not None and book.ledger.shard != shard:
        raise SnapshotOfOtherShard(f"Snapshot {path}: expected one of shard {shard}, was of {book.ledger.shard}.")
    if header.digest and (found := book.digest()) != header.digest:
        raise SnapshotDamaged(f"Snapshot {path}: expected digest {header.digest.hex()}, found {found.hex()}.")
    return header, book


def set_aside(path: Path) -> None:
    """Take a damaged snapshot out of the way, and leave it for a person to look at."""
    with contextlib.suppress(OSError):  # one that cannot even be renamed is refused again
        path.replace(path.with_name(path.name + DAMAGED_SUFFIX))


def _header_of(file: SealedFile, path: Path) -> Snapshot:
    head = head_of(file.about)
    if head is None or not is_readable(head):
        raise SnapshotOfOtherRelease(f"Snapshot {path}: {why_unreadable(head or Head(0, ''))}.")
    try:
        return _decoder.decode(upgraded(file.about, head.version, HEADER_STEPS))
    except msgspec.DecodeError as error:
        raise SnapshotDamaged(f"Snapshot {path}: its header cannot be decoded: {error}.") from error
