"""The archive: journal entries that outlive the journal server's memory, in segments on disk.

`python -m ledger.archive` does one round of it, beside the engine: it reads an `Order` from its standard input.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np

from ledger.journal.entry import CHAIN_BYTES, decode_entry
from ledger.journal.errors import JournalError
from ledger.journal.reading import JournalReader
from ledger.sealed import Kind, SealedFile, remove_temporaries, sync_folder, write_sealed

SUFFIX: Final = ".segment"
NAME: Final = re.compile(r"([0-9]{20})-([0-9]{20})" + re.escape(SUFFIX), re.ASCII)
"""First and last position; other files are not ours."""
SEGMENT_BYTES: Final = 16 * 1024 * 1024
"""A segment is full with these: it is read as a whole."""
SEGMENT_US: Final = 3_600 * 1_000_000
"""A segment that begins longer ago is not gone on with, in microseconds: it is deleted as a whole."""
NICENESS: Final = 10


class ArchiveDamaged(JournalError):  # noqa: N818 - named by the state
    """A segment is not what was written; the message names its file."""


KIND: Final = Kind("archive segment", b"OHSEGM\0\1", ArchiveDamaged)


class Segment(msgspec.Struct, frozen=True, array_like=True):
    """What a segment says of itself."""

    first_seq: int
    """First position in it, those that its first entry skipped included."""
    last_seq: int
    last_time_us: int
    """Time of its last entry, microseconds since the epoch."""
    entry_count: int


class Order(msgspec.Struct, frozen=True):
    """What one round of archiving is to do."""

    url: str
    """Of the journal server."""
    shard: str
    folder: str
    up_to_seq: int
    """Entries that end up to this one are archived."""
    keep_from_us: int
    """Segments that end before this time are deleted."""


class _Named(NamedTuple):
    """A segment as its name tells it."""

    first_seq: int
    last_seq: int
    path: Path


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Segment)


# ---- reading ---------------------------------------------------------------------------------------------------------


def archived_from(folder: Path, before_seq: int) -> int:
    """Return the oldest position from which the archive goes without a gap to just before another one."""
    ranges = archived_ranges(folder)
    return next((first_seq for first_seq, last_seq in ranges if first_seq < before_seq <= last_seq + 1), before_seq)


def archived_ranges(folder: Path) -> list[tuple[int, int]]:
    """Return first and last position of each part of the archive that is without a gap, in order."""
    ranges: list[tuple[int, int]] = []
    for segment in _segments(folder):
        if ranges and segment.first_seq <= ranges[-1][1] + 1:
            first_seq, last_seq = ranges.pop()
            ranges.append((first_seq, max(last_seq, segment.last_seq)))
        else:
            ranges.append((segment.first_seq, segment.last_seq))
    return ranges


def archived_seq(folder: Path) -> int:
    """Return the newest position that the archive has, 0 if it is empty."""
    return max((segment.last_seq for segment in _segments(folder)), default=0)


def read_archive(folder: Path, after_seq: int, *, across_gaps: bool = False) -> Iterator[tuple[int, bytes]]:
    """Yield (last seq, payload) of every archived entry that ends after a seq, in order, each once, up to a gap.

    Parameters
    ----------
    across_gaps
        Whether to go on after a gap with what is there.

    Raises
    ------
    ArchiveDamaged
        A segment is not what was written.
    """
    after = after_seq
    for segment in _segments(folder):
        if segment.last_seq <= after:
            continue
        if segment.first_seq > after + 1 and not across_gaps:
            return  # another engine was the primary then, and archived it
        for last_seq, payload in _read_segment(segment.path):
            if last_seq > after:
                yield last_seq, payload
                after = last_seq


def _segments(folder: Path) -> list[_Named]:
    """Return the segments of a folder in order; none if there is no folder."""
    named = ((NAME.fullmatch(path.name), path) for path in folder.glob(f"*{SUFFIX}"))
    return sorted(_Named(int(match[1]), int(match[2]), path) for match, path in named if match)


def _read_segment(path: Path) -> list[tuple[int, bytes]]:
    with SealedFile(path, KIND) as file:
        last_seqs = np.frombuffer(file.read("last_seqs"), np.int64).tolist()
        ends = np.frombuffer(file.read("ends"), np.int64).tolist()
        payloads = file.read("payloads")
    starts = [0, *ends[:-1]]
    return [(last_seq, payloads[start:end]) for last_seq, start, end in zip(last_seqs, starts, ends, strict=True)]


# ---- writing ---------------------------------------------------------------------------------------------------------


def archive_entries(journal: JournalReader, folder: Path, up_to_seq: int) -> int:
    """Archive the journal's entries that end up to a seq, as far as they are not archived yet. See `write_entries`.

    What is archived and the journal has lost since leaves the archive.
    """
    _drop_lost(journal, folder)
    return write_entries(journal.read(archived_seq(folder)), folder, up_to_seq)


def _drop_lost(journal: JournalReader, folder: Path) -> None:
    """Drop archived entries that are not in the journal, though it goes back so far: its server lost them."""
    kept_seq = journal.first_seq_kept()
    for segment in reversed(_segments(folder)):
        for last_seq, payload in reversed(_read_segment(segment.path)):
            if last_seq < kept_seq or journal.chain_at(last_seq) == payload[:CHAIN_BYTES]:
                _cut_off(folder, last_seq + 1)
                return


def write_entries(entries: Iterable[tuple[int, bytes]], folder: Path, up_to_seq: int) -> int:
    """Archive the entries, of those that come after what is archived, that end up to a seq.

    Returns
    -------
    archived_seq
        Position up to which the archive goes now.

    Raises
    ------
    JournalCorrupt
        The entries do not follow from each other.
    """
    remove_temporaries(folder)
    draft = _Draft(folder, _take_up(folder))
    for last_seq, payload in entries:
        if last_seq > up_to_seq:
            break
        draft.add(last_seq, payload)
        if draft.size_bytes >= SEGMENT_BYTES:
            draft.write()
    draft.write()
    return archived_seq(folder)


def _take_up(folder: Path) -> _Named | None:
    """Return the last segment if there is room in it; what it was before it was taken up the last time goes."""
    found = _segments(folder)
    for shorter, longer in pairwise(found):
        if shorter.first_seq == longer.first_seq:
            shorter.path.unlink()
    return found[-1] if found and found[-1].path.stat().st_size < SEGMENT_BYTES else None


class _Draft:
    """Entries that will be a segment; if they follow one that is not full, they become a longer one instead of it."""

    def __init__(self, folder: Path, begun: _Named | None) -> None:
        self._folder = folder
        self._begun = begun
        self._chain: bytes | None = None
        self._clear()

    def _clear(self) -> None:
        self._entries: list[tuple[int, bytes]] = []
        self._first_seq = 0
        self._time_us = 0
        self.size_bytes = 0

    def add(self, last_seq: int, payload: bytes) -> None:
        """Add an entry; what it says was never, leaves the archive."""
        entry, self._chain = decode_entry(payload, self._chain, last_seq)
        first_seq = entry.first_seq - entry.skipped_count
        if entry.skipped_count:
            self.write()
            _cut_off(self._folder, first_seq)
        if self._begun and first_seq == self._begun.last_seq + 1 and not self._entries:
            self._take_up(self._begun, entry.time_us)
        self._first_seq = self._first_seq or first_seq
        self._entries.append((last_seq, payload))
        self._time_us = entry.time_us
        self.size_bytes += len(payload)

    def _take_up(self, begun: _Named, time_us: int) -> None:
        """Begin with what a segment has, unless that begins so long ago that it is to be deleted before this."""
        entries = _read_segment(begun.path)
        if time_us - decode_entry(entries[0][1], None)[0].time_us < SEGMENT_US:
            self._first_seq, self._entries = begun.first_seq, entries
            self.size_bytes = sum(len(each) for _, each in entries)

    def write(self) -> None:
        """Write the segment, unless there is nothing in it."""
        if self._entries:
            _write_segment(self._folder, self._entries, self._first_seq, self._time_us)
            if self._begun and self._begun.first_seq == self._first_seq:
                self._begun.path.unlink()
        self._begun = None
        self._clear()


def _write_segment(folder: Path, entries: list[tuple[int, bytes]], first_seq: int, time_us: int) -> None:
    last_seq = entries[-1][0]
    payloads = [payload for _, payload in entries]
    about = Segment(
        first_seq=first_seq,
        last_seq=last_seq,
        last_time_us=time_us,
        entry_count=len(entries),
    )
    parts = {
        "last_seqs": np.array([seq for seq, _ in entries], np.int64).tobytes(),
        "ends": np.cumsum([len(payload) for payload in payloads], dtype=np.int64).tobytes(),
        "payloads": b"".join(payloads),
    }
    path = folder / f"{first_seq:020d}-{last_seq:020d}{SUFFIX}"
    write_sealed(path, KIND, _encoder.encode(about), parts.items())


def _cut_off(folder: Path, seq: int) -> None:
    """Drop what the archive has of this position and later: the journal lost it, and nobody was told of it since."""
    for segment in reversed(_segments(folder)):
        if segment.last_seq < seq:
            continue
        kept = [(last_seq, payload) for last_seq, payload in _read_segment(segment.path) if last_seq < seq]
        if kept:
            last = decode_entry(kept[-1][1], None)[0]
            _write_segment(folder, kept, segment.first_seq, last.time_us)
        segment.path.unlink()
        sync_folder(folder)


def set_aside(folder: Path, after_seq: int) -> Path | None:
    """Move the segments that begin after a seq into a folder of their own; returns it, None if there are none."""
    beyond = [segment for segment in _segments(folder) if segment.first_seq > after_seq]
    if not beyond:
        return None
    aside = folder / f"beyond-{after_seq}"
    aside.mkdir(exist_ok=True)
    for segment in beyond:
        segment.path.rename(aside / segment.path.name)
    sync_folder(aside)
    sync_folder(folder)
    return aside


def prune_archive(folder: Path, keep_from_us: int) -> None:
    """Delete the segments that end before a time, the oldest first."""
    for segment in _segments(folder):
        with SealedFile(segment.path, KIND) as file:
            if _decoder.decode(file.about).last_time_us >= keep_from_us:
                return
        segment.path.unlink()


def main() -> int:
    """Do one round; returns the exit code, and says on the standard error what went wrong."""
    os.nice(NICENESS)
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    folder = Path(order.folder)
    try:
        with JournalReader(order.url, shard=order.shard) as journal:
            archive_entries(journal, folder, order.up_to_seq)
        prune_archive(folder, order.keep_from_us)
    except (JournalError, OSError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
