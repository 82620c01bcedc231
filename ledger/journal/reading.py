"""What anybody may read of a shard's journal: its entries, its tail, who writes it, and who follows."""

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from ledger.journal.connection import Address, Connect, JournalConnection, call_together, raise_refusals
from ledger.journal.entry import CHAIN_BYTES, CHAIN_START, decode_entry
from ledger.journal.errors import JournalCorrupt, JournalOfOtherShard, JournalRefused, JournalUnavailable
from ledger.journal.server_check import parse_info
from ledger.journal.server_functions import REPORT, STANDBYS, Keys, call_function, shard_of

TIMEOUT_SECONDS_DEFAULT: Final = 5.0
# A writer reads as well, and all callers wait with it.
READ_TIMEOUT_SECONDS_MAX: Final = 1.0
MILLISECONDS: Final = 1_000

# Entries are read a chunk at a time. Chunks grow while they are smaller than the first figure and shrink when they are
# larger than the second, so that entries of 1 KB and of 1 MB are both read at full speed in bounded memory.
_CHUNK_BYTES_MIN: Final = 1024 * 1024
_CHUNK_BYTES_MAX: Final = 8 * 1024 * 1024
_CHUNK_ENTRIES_MAX: Final = 4_096
_READ_BYTES: Final = 256 * 1024
_SCANNED_KEYS: Final = 1_000

NO_TAIL: Final = b"0-0 " + CHAIN_START
"""What functions.lua takes for the tail of an empty journal."""


class Tail(NamedTuple):
    """Where a journal ends."""

    epoch: int
    """Of the writer that claimed the journal last."""
    last_seq: int
    """Seq of the last record, 0 if there is none."""
    chain: bytes
    """Checksum of the last entry, CHAIN_START if there is none."""


class Holder(NamedTuple):
    """Who has the lease."""

    epoch: int
    address: str
    """As clients dial it."""
    seconds_left: float
    """Until the lease runs out, unless it is renewed."""


class Memory(NamedTuple):
    """How full the journal server is."""

    used_bytes: int
    limit_bytes: int
    """0 if the server has no limit of its own."""


class JournalReader:
    """A shard's journal for whoever does not write it; no claim is needed. For one thread.

    Every method raises JournalUnavailable while the server cannot be asked. A read is sent once more on a new
    connection if the old one was cut.

    Parameters
    ----------
    url : str
        Of the journal server, see `Address`.
    shard : str
        Names the keys, which share the hash tag {onhand:<shard>}.
    timeout_seconds : float
        How long one command may take, at most `READ_TIMEOUT_SECONDS_MAX` of it.
    connect : Connect
        Makes the connections.
    """

    def __init__(
        self,
        url: str,
        *,
        shard: str = "0",
        timeout_seconds: float = TIMEOUT_SECONDS_DEFAULT,
        connect: Connect = JournalConnection,
    ) -> None:
        self.url = url
        """With credentials: not for people to see, see `describe`."""
        self.shard = shard
        self._address = Address(url)
        self._keys = Keys.of_shard(shard)
        self._reading = connect(self._address, min(timeout_seconds, READ_TIMEOUT_SECONDS_MAX), _READ_BYTES)

    def describe(self) -> str:
        """Return the URL without credentials."""
        return self._address.describe()

    def close(self) -> None:
        """Close all connections; what is called after this opens them again."""
        self._reading.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- entries -----------------------------------------------------------------------------------------------------

    def read(self, after_seq: int) -> Iterator[tuple[int, bytes]]:
        """Yield (last seq, payload) of every entry that ends after a seq, in order, in chunks of bounded size.

        Whether the entries follow each other without a gap is for the caller to see: each says its first seq.
        """
        after = after_seq
        entries_count = 1
        while True:
            chunk = self._chunk(after, entries_count)
            yield from chunk
            if len(chunk) < entries_count:
                return
            after = chunk[-1][0]
            entries_count = _next_entries_count(entries_count, sum(len(payload) for _, payload in chunk))

    def first_seq_kept(self) -> int:
        """Return the oldest seq that has not been trimmed; the next seq to come if the stream holds no entry.

        Seqs that the oldest entry skipped count as its own.
        """
        chunk = self._chunk(0, 1)
        if chunk:
            last_seq, payload = chunk[0]
            entry, _ = decode_entry(payload, None, last_seq)
            return entry.first_seq - entry.skipped_count
        return self.tail().last_seq + 1

    def tail(self) -> Tail:
        """Return where the journal ends, also when all its entries are trimmed."""
        epoch, tail = self._ask("MGET", self._keys.epoch, self._keys.tail)
        last_seq, chain = parse_tail(tail or NO_TAIL)
        return Tail(parse_epoch(epoch), last_seq, chain)

    def chain_at(self, seq: int) -> bytes | None:
        """Return the checksum of the entry that ends with a seq; None if there is none, or it is trimmed.

        That of seq 0 is CHAIN_START: what stands before the first entry.
        """
        if seq == 0:
            return CHAIN_START
        tail = self.tail()
        if seq == tail.last_seq:
            return tail.chain
        entries = self._ask("XRANGE", self._keys.journal, f"{seq}-0", f"{seq}-0")
        return _payload_of(*entries[0])[:CHAIN_BYTES] if entries else None

    def require_shard(self) -> None:
        """Raise JournalOfOtherShard where others have a journal at the server, and this shard has none."""
        if self.tail().epoch:
            return
        others, cursor, at_work = list[str](), b"0", True
        while at_work:
            cursor, keys = self._ask("SCAN", cursor, "MATCH", Keys.of_shard("*").epoch, "COUNT", _SCANNED_KEYS)
            others += (shard_of(key.decode()) for key in keys)
            at_work = cursor != b"0"
        if others:
            expected = ", ".join(sorted(others, key=lambda shard: (len(shard), shard)))
            raise JournalOfOtherShard(f"shard: expected {expected}, whose journal is there, was {self.shard}")

    # ---- who is there ------------------------------------------------------------------------------------------------

    def holder(self) -> Holder | None:
        """Return who has the lease, None while nobody has."""
        left_ms, lease = self._ask_together(("PTTL", self._keys.lease), ("GET", self._keys.lease))
        if lease is None:
            return None
        epoch, _, address = lease.decode().partition(" ")
        return Holder(int(epoch), address, max(0, left_ms) / MILLISECONDS)

    def report_standby(self, address: str, seq: int) -> None:
        """Say how far a standby is; it counts for a minute. Works at the server's memory limit as well."""
        self._call(REPORT, address, seq)

    def standby_seqs(self) -> dict[str, int]:
        """Return how far each standby is that reported within the last minute, by address."""
        words = self._call(STANDBYS)
        return {address.decode(): int(seq) for address, seq in zip(words[::2], words[1::2], strict=True)}

    def memory(self) -> Memory:
        """Return how full the server is."""
        info = parse_info(self._ask("INFO", "memory"))
        return Memory(int(info["used_memory"]), int(info["maxmemory"]))

    # ---- steps -------------------------------------------------------------------------------------------------------

    def _name(self) -> str:
        return f"Journal {self._keys.journal} at {self.describe()}"

    def _ask(self, *arguments: bytes | str | int) -> Any:
        """Return one reply."""
        (reply,) = self._ask_together(arguments)
        return reply

    def _ask_together(self, *commands: tuple[bytes | str | int, ...]) -> list[Any]:
        """Return the replies; ask once more if the connection was cut, since a server may have restarted meanwhile."""
        try:
            replies = call_together(self._reading, commands)
        except JournalUnavailable:
            replies = call_together(self._reading, commands)
        raise_refusals(replies)
        return replies

    def _call(self, function: str, *arguments: bytes | str | int) -> Any:
        """Call a function that may be carried out twice."""
        try:
            return call_function(self._reading, function, self._keys, *arguments)
        except JournalRefused:
            raise
        except JournalUnavailable:
            return call_function(self._reading, function, self._keys, *arguments)

    def _chunk(self, after_seq: int, entries_count: int) -> list[tuple[int, bytes]]:
        """Return the next entries that end after a seq, as (last seq, payload)."""
        entries = self._ask("XRANGE", self._keys.journal, f"{after_seq + 1}-0", "+", "COUNT", entries_count)
        return [(parse_id(entry_id), _payload_of(entry_id, fields)) for entry_id, fields in entries]


def parse_epoch(text: bytes | None) -> int:
    """Return the number of an epoch, 0 if nobody has claimed the journal yet."""
    return int(text.split()[0]) if text else 0


def parse_id(entry_id: bytes) -> int:
    """Return the seq of an id of ours."""
    seq, _, rest = entry_id.partition(b"-")
    if rest != b"0":
        raise JournalCorrupt(f"Journal entry {entry_id.decode()}: expected an id like 1-0: it is not an entry of ours.")
    return int(seq)


def parse_tail(tail: bytes) -> tuple[int, bytes]:
    """Return seq and checksum of a tail, as functions.lua keeps it."""
    entry_id, space, chain = tail.partition(b" ")
    if not space:
        raise JournalCorrupt(
            f"Journal tail: expected an id and a checksum, found {tail.decode()}: read it with the release that wrote "
            "it."
        )
    return parse_id(entry_id), chain


def _next_entries_count(entries_count: int, chunk_bytes: int) -> int:
    """Return how many entries to read next, after a chunk of so many entries and bytes."""
    if chunk_bytes > _CHUNK_BYTES_MAX:
        return max(1, entries_count // 2)
    return min(_CHUNK_ENTRIES_MAX, entries_count * 2) if chunk_bytes < _CHUNK_BYTES_MIN else entries_count


def _payload_of(entry_id: bytes, fields: list[bytes]) -> bytes:
    """Return the payload of an entry's one field."""
    if len(fields) != 2 or fields[0] != b"entry":
        raise JournalCorrupt(
            f"Journal entry {entry_id.decode()}: expected the field `entry` alone: it is not an entry of ours."
        )
    return fields[1]
