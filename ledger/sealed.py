"""Sealed files: parts as they lie in memory, with checksums over all of it, and never seen half written.

    magic (8 bytes) | parts, one after the other | contents (msgpack) | length of the contents (8) | checksum (16)

The contents say where each part lies and its checksum; the last checksum covers the contents, so every byte is covered.
A file is written under another name, fsynced, renamed, and its folder fsynced: under its own name it is whole.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import msgspec
import xxhash

TEMPORARY_SUFFIX: Final = ".writing"
MAGIC_BYTES: Final = 8
CHECKSUM_BYTES: Final = 16
LENGTH_BYTES: Final = 8
TAIL_BYTES: Final = LENGTH_BYTES + CHECKSUM_BYTES
# Read or written, then hashed while it is still in the processor's cache.
CHUNK_BYTES: Final = 1024 * 1024
# Written back in steps: the one long write-back at the end would make the journal server's own fsyncs wait.
SYNC_BYTES: Final = 32 * 1024 * 1024


class Kind(NamedTuple):
    """A kind of sealed file."""

    name: str
    """As messages call it."""
    magic: bytes
    """Its first 8 bytes; another layout is another magic."""
    damaged: type[Exception]
    """Raised if a file is not what was written."""


class Part(msgspec.Struct, frozen=True, array_like=True):
    """One part of a file."""

    name: str
    offset: int
    size: int
    checksum: bytes


class Contents(msgspec.Struct, frozen=True, array_like=True):
    """What a file holds."""

    about: bytes
    """The writer's own words on the whole file."""
    parts: list[Part]


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Contents)


def write_sealed(path: Path, kind: Kind, about: bytes, parts: Iterable[tuple[str, bytes | memoryview]]) -> None:
    """Write a file; when this returns it is durable, if it raises there is none.

    Parameters
    ----------
    about
        What `SealedFile.about` gives back.
    parts
        Name and bytes of each part, in order; a memoryview has the format "B".
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write_all(handle, kind, about, parts)
            os.fsync(handle)
        finally:
            os.close(handle)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def remove_temporaries(folder: Path) -> None:
    """Remove what writers left that were killed."""
    for path in folder.glob(f"*{TEMPORARY_SUFFIX}"):
        path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class _Writer:
    """Appends to a file."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._synced = 0
        self.offset = 0

    def write(self, content: bytes | memoryview) -> bytes:
        """Append; returns the checksum (xxh3, 128 bits)."""
        digest = xxhash.xxh3_128()
        view = memoryview(content)
        for start in range(0, len(view), CHUNK_BYTES):
            chunk = view[start : start + CHUNK_BYTES]
            digest.update(chunk)
            self._write_chunk(chunk)
        return digest.digest()

    def _write_chunk(self, chunk: memoryview) -> None:
        while len(chunk):
            written = os.write(self._handle, chunk)
            self.offset += written
            chunk = chunk[written:]
        if self.offset - self._synced >= SYNC_BYTES:
            os.fsync(self._handle)
            self._synced = self.offset


def _write_all(handle: int, kind: Kind, about: bytes, parts: Iterable[tuple[str, bytes | memoryview]]) -> None:
    assert len(kind.magic) == MAGIC_BYTES
    writer = _Writer(handle)
    writer.write(kind.magic)
    found = []
    for name, content in parts:
        offset = writer.offset
        checksum = writer.write(content)
        found.append(Part(name, offset, writer.offset - offset, checksum))
    contents = _encoder.encode(Contents(about, found))
    tail = contents + len(contents).to_bytes(LENGTH_BYTES, "little")
    writer.write(tail + xxhash.xxh3_128_digest(tail))


class SealedFile:
    """A sealed file to read from; a context manager.

    Opening checks that it is whole and of its kind; each part is checked when it is read. `kind.damaged` is raised,
    naming the file and what is wrong with it.
    """

    def __init__(self, path: Path, kind: Kind, report: Callable[[int, int], None] = lambda _, __: None) -> None:
        self._path = path
        self._kind = kind
        self._report = report
        self._read_bytes = 0
        try:
            self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise self._damaged(f"cannot be read: {error}") from error
        try:
            self.size_bytes = os.fstat(self._handle).st_size
            contents = self._contents()
        except BaseException:
            self.close()
            raise
        self.about = contents.about
        self._parts = {part.name: part for part in contents.parts}

    @property
    def parts(self) -> list[Part]:
        """What is in it, in order."""
        return list(self._parts.values())

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def has(self, name: str) -> bool:
        """Tell whether there is a part of a name."""
        return name in self._parts

    def read(self, name: str) -> bytes:
        """Return a part."""
        content = bytearray(self._part(name).size)
        self.read_into(name, memoryview(content))
        return bytes(content)

    def read_into(self, name: str, target: memoryview) -> None:
        """Read a part to where it belongs; `target` has its size and the format "B"."""
        part = self._part(name)
        if part.size != len(target):
            raise self._damaged(f"{name}: expected {len(target)} bytes, found {part.size}")
        digest = xxhash.xxh3_128()
        for start in range(0, part.size, CHUNK_BYTES):
            chunk = target[start : start + CHUNK_BYTES]
            self._read_chunk(part.offset + start, chunk, name)
            digest.update(chunk)
        if digest.digest() != part.checksum:
            raise self._damaged(f"{name}: expected checksum {part.checksum.hex()}, found {digest.hexdigest()}")
        self._read_bytes += part.size
        self._report(self._read_bytes, self.size_bytes)

    def _part(self, name: str) -> Part:
        if name not in self._parts:
            raise self._damaged(f"expected a part {name}, found {', '.join(self._parts)}")
        return self._parts[name]

    def _read_chunk(self, offset: int, target: memoryview, name: str) -> None:
        try:
            while len(target):
                count = os.preadv(self._handle, [target], offset)
                if count == 0:
                    raise self._damaged(f"{name}: the file is cut off")
                target, offset = target[count:], offset + count
        except OSError as error:
            raise self._damaged(f"{name}: cannot be read: {error}") from error

    def _contents(self) -> Contents:
        """Return the table of contents, checked."""
        if self.size_bytes < MAGIC_BYTES + TAIL_BYTES or self._bytes_at(0, MAGIC_BYTES) != self._kind.magic:
            raise self._damaged(f"expected a {self._kind.name} that begins with {self._kind.magic!r}")
        tail = self._bytes_at(self.size_bytes - TAIL_BYTES, TAIL_BYTES)
        length = int.from_bytes(tail[:LENGTH_BYTES], "little")
        if length > self.size_bytes - MAGIC_BYTES - TAIL_BYTES:
            raise self._damaged("the file is cut off, or its end was changed")
        packed = self._bytes_at(self.size_bytes - TAIL_BYTES - length, length)
        if xxhash.xxh3_128_digest(packed + tail[:LENGTH_BYTES]) != tail[LENGTH_BYTES:]:
            raise self._damaged("contents: their checksum is another: the file is cut off, or its end was changed")
        return _decoder.decode(packed)

    def _bytes_at(self, offset: int, size: int) -> bytes:
        content = bytearray(size)
        self._read_chunk(offset, memoryview(content), "contents")
        return bytes(content)

    def _damaged(self, reason: str) -> Exception:
        return self._kind.damaged(f"{self._kind.name.capitalize()} {self._path}: {reason}.")
