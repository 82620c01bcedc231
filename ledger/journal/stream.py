"""A shard's journal as a stream of a Redis or Valkey server, with one writer."""

from collections.abc import Iterator
from importlib import resources
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from ledger.journal.connection import Address, JournalConnection
from ledger.journal.entry import decode_entry
from ledger.journal.errors import (
    JournalCorrupt,
    JournalError,
    JournalFenced,
    JournalRefused,
    JournalUnavailable,
    JournalUnsettled,
    UnsafeJournalServer,
)
from ledger.journal.server_check import Durability, check_server

LIBRARY_NAME: Final = "onhand_journal_v1"
CLAIM: Final = "onhand_claim_v1"
SETTLE: Final = "onhand_settle_v1"
APPEND: Final = "onhand_append_v1"

TIMEOUT_SECONDS_DEFAULT: Final = 5.0
# The writer waits for these reads, and all callers with it.
HISTORY_TIMEOUT_SECONDS_MAX: Final = 1.0
CONFIRM_TIMEOUT_SECONDS_MAX: Final = 0.2
PAYLOAD_BYTES_MAX: Final = 64 * 1024 * 1024
"""A bulk argument may have 512 MB; what is larger than this is no group, but a bug of ours."""

# Entries are read a chunk at a time. Chunks grow while they are smaller than the first figure and shrink when they are
# larger than the second, so that entries of 1 KB and of 1 MB are both read at full speed in bounded memory.
_CHUNK_BYTES_MIN: Final = 1024 * 1024
_CHUNK_BYTES_MAX: Final = 8 * 1024 * 1024
_CHUNK_ENTRIES_MAX: Final = 4_096
_HISTORY_READ_BYTES: Final = 256 * 1024

_FSYNC_WAIT_MS: Final = 100

# While the tail is read back, the request that got no reply may still arrive: once more is enough, as no other is out.
_SETTLE_ROUNDS_MAX: Final = 3


class Claim(NamedTuple):
    """What a writer starts from."""

    epoch: int
    last_seq: int
    """Seq of the last record in the journal; 0 if there is none."""


class _Pending(NamedTuple):
    """The entry whose outcome is unknown."""

    last_seq: int
    payload: bytes


class _State(NamedTuple):
    """What the server says is in the journal."""

    epoch: int
    tail_seq: int
    """As the append function keeps it."""
    last_seq: int
    """As the stream knows it, trimmed entries included."""
    entry_seq: int
    """Of the last entry that is still there; -1 if there is none."""
    payload: bytes


class StreamJournal:
    """The journal of one shard. One thread appends; reading has a connection of its own, for one thread as well.

    Parameters
    ----------
    url : str
        Of the journal server, see `Address`.
    shard : str
        Names the keys, which share the hash tag {onhand:<shard>}.
    durability : {"fsync"}
        What an append that returned means: the entry is fsynced.
    timeout_seconds : float
        How long one command may take before its outcome counts as unknown.
    """

    def __init__(
        self,
        url: str,
        *,
        shard: str = "0",
        durability: Durability = "fsync",
        timeout_seconds: float = TIMEOUT_SECONDS_DEFAULT,
    ) -> None:
        assert shard
        assert not set(shard) & set("{}")
        address = Address(url)
        self._address = address
        self._durability: Durability = durability
        self._journal_key = f"{{onhand:{shard}}}:journal"
        self._keys = (self._journal_key, f"{{onhand:{shard}}}:epoch", f"{{onhand:{shard}}}:tail")
        self._writer = JournalConnection(address, timeout_seconds)
        self._history = JournalConnection(
            address, min(timeout_seconds, HISTORY_TIMEOUT_SECONDS_MAX), _HISTORY_READ_BYTES
        )
        self._watch = JournalConnection(address, min(timeout_seconds, CONFIRM_TIMEOUT_SECONDS_MAX))
        self._epoch = 0
        self._last_seq = 0
        self._pending: _Pending | None = None
        self._stopped: JournalError | None = None
        self.appended_entries_count = 0
        self.appended_bytes = 0
        self.settled_entries_count = 0
        """Entries whose outcome was unknown at first."""

    # ---- the writer --------------------------------------------------------------------------------------------------

    def open(self) -> Claim:
        """Check the server, become the journal's one writer, and return the new epoch and the tail.

        Raises
        ------
        UnsafeJournalServer
            The server cannot keep the durability asked for.
        JournalUnavailable
            The server cannot be used now. Opening again is safe.
        JournalCorrupt
            The stream was written to, or deleted, by another hand.
        """
        assert self._epoch == 0
        self._prepare()
        state = self._state(CLAIM)
        self._epoch, self._last_seq = state.epoch, state.last_seq
        return Claim(self._epoch, self._last_seq)

    @property
    def epoch(self) -> int:
        """Of this writer; 0 before `open`."""
        return self._epoch

    @property
    def last_seq(self) -> int:
        """Seq of the last record known to be durable."""
        return self._last_seq

    @property
    def is_unsettled(self) -> bool:
        """Whether `settle` must be called before anything else is appended or acknowledged."""
        return self._pending is not None

    def append(self, last_seq: int, payload: bytes) -> None:
        """Append one entry after the last one; when this returns, it is durable. See `begin` and `finish`."""
        self.begin(last_seq, payload)
        self.finish()

    def begin(self, last_seq: int, payload: bytes) -> None:
        """Send one entry, to be appended after the last one; `finish` must follow.

        Parameters
        ----------
        last_seq : int
            Seq of the entry's last record: its id in the stream.
        payload : bytes
            As `encode_entry` made it.

        Raises
        ------
        JournalUnsettled
            Whether the entry is in the journal is unknown: call `settle`.
        JournalFenced, JournalCorrupt
            What stopped this writer before.
        """
        assert self._epoch > 0
        assert self._pending is None
        assert last_seq > self._last_seq
        assert len(payload) <= PAYLOAD_BYTES_MAX
        self._refuse_if_stopped()
        # Set first: whatever interrupts this, Ctrl-C included, leaves the outcome unknown.
        self._pending = pending = _Pending(last_seq, payload)
        try:
            self._writer.send(*self._append_command(pending))
        except JournalUnavailable as error:
            raise self._unsettled(error) from error

    def finish(self) -> None:
        """Wait for the entry that was begun; when this returns, it is durable.

        Raises
        ------
        JournalUnsettled
            Whether the entry is in the journal is unknown, or the server did not take it: call `settle`.
        JournalFenced
            Another writer took over; the entry is not in the journal.
        JournalCorrupt
            The journal does not end where this writer left it; the entry is not in the journal.
        """
        assert self._pending is not None
        try:
            self._writer.receive()
        except JournalRefused as error:
            self._raise_if_fenced(error)
            if error.reply.startswith("GAP"):
                raise self._stop(self._moved(error.reply)) from error
            raise self._unsettled(error) from error
        except JournalUnavailable as error:
            raise self._unsettled(error) from error
        self._accept(self._pending)

    def settle(self) -> None:
        """Find out what became of the unsettled entry, and append it if it is absent: when this returns, it is durable.

            last entry in the stream       epoch     the entry is
            ours, with the same bytes      any       durable
            any other                      another   void: JournalFenced
            the one before ours            ours      absent: appended again under the same id
            any other                      ours      JournalCorrupt

        Raises
        ------
        JournalUnsettled
            The server is still away, or not safe: call again.
        JournalFenced
            Another writer took over.
        JournalCorrupt
            The journal lost entries, or has a foreign one.
        """
        assert self._pending is not None
        self._writer.close()
        try:
            self._prepare()
            for _ in range(_SETTLE_ROUNDS_MAX):
                if self._settle_once(self._pending):
                    self._accept(self._pending)
                    self.settled_entries_count += 1
                    return
        except (JournalUnavailable, UnsafeJournalServer) as error:
            raise self._unsettled(error) from error
        except (JournalFenced, JournalCorrupt) as error:
            self._stop(error)
            raise
        raise self._stop(self._moved("it moves while it is read back"))

    def confirm(self) -> None:
        """Make sure that this is still the journal's writer; for a writer that has had nothing to append for a while.

        Raises
        ------
        JournalFenced
            Another writer took over.
        JournalUnavailable
            The server cannot be asked now.
        """
        assert self._pending is None
        epoch = self._watch.call("GET", self._keys[1])
        if int(epoch or 0) != self._epoch:
            raise self._stop(self._fenced(f"epoch {int(epoch or 0)}"))

    def trim_before(self, seq: int) -> None:
        """Drop the entries that hold nothing of seq and later. The caller has a durable snapshot of what they did."""
        self._history.call("XTRIM", self._journal_key, "MINID", f"{seq}-0")

    # ---- history -----------------------------------------------------------------------------------------------------

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

    def read_range(self, first_seq: int, count: int) -> Iterator[tuple[int, bytes]]:
        """Yield (last seq, payload) of the entries that hold seqs first_seq to first_seq + count - 1."""
        assert count > 0
        for last_seq, payload in self.read(first_seq - 1):
            yield last_seq, payload
            if last_seq >= first_seq + count - 1:
                return

    def first_seq_kept(self) -> int:
        """Return the oldest seq that has not been trimmed; the next seq to come if the stream holds no entry."""
        chunk = self._chunk(0, 1)
        if chunk:
            last_seq, payload = chunk[0]
            return decode_entry(payload, None, last_seq)[0].first_seq
        tail = self._history_call("GET", self._keys[2])
        return (_seq_of(tail) if tail else 0) + 1

    # ---- both --------------------------------------------------------------------------------------------------------

    def describe(self) -> str:
        """Return the URL without credentials."""
        return self._address.describe()

    def close(self) -> None:
        """Close all connections."""
        for connection in (self._writer, self._history, self._watch):
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- steps -------------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Check the server, which after a failover may be another one, and load our functions if it lacks them."""
        check_server(self._writer, self._durability)
        code = resources.files(__package__).joinpath("functions.lua").read_bytes()
        found = self._writer.call("FUNCTION", "LIST", "LIBRARYNAME", LIBRARY_NAME, "WITHCODE")
        if not found or code not in found[0]:
            self._writer.call("FUNCTION", "LOAD", "REPLACE", code)

    def _state(self, function: str) -> _State:
        """Return what is in the journal, once that is durable."""
        reply = self._writer.call("FCALL", function, len(self._keys), *self._keys)
        self._await_fsync()
        epoch, tail_id, last_id, entry_id, payload = reply
        state = _State(int(epoch), _seq_of(tail_id), _seq_of(last_id), _seq_of(entry_id) if entry_id else -1, payload)
        if state.tail_seq != state.last_seq:
            raise JournalCorrupt(
                f"{self._name()}: expected last id {state.tail_seq}-0, as it was appended, found {state.last_seq}-0: "
                "the stream was written to, or deleted, by another hand."
            )
        return state

    def _await_fsync(self) -> None:
        """Raise JournalUnavailable unless what this connection wrote is fsynced.

        It is before the reply comes, except where `appendonly` has only just become yes, by hand or after a replica was
        promoted: until the server has written its first file, nothing is durable, and no setting shows it.
        """
        fsynced, _ = self._writer.call("WAITAOF", 1, 0, _FSYNC_WAIT_MS)
        if fsynced < 1:
            raise JournalUnavailable(
                f"Journal server {self.describe()}: not durable yet: it is still writing its first append-only file."
            )

    def _append_command(self, pending: _Pending) -> tuple[bytes | str | int, ...]:
        """Return the command that appends an entry at the server: epoch and tail are checked in the same step."""
        numbers = self._epoch, f"{pending.last_seq}-0", f"{self._last_seq}-0"
        return "FCALL", APPEND, len(self._keys), *self._keys, *numbers, pending.payload

    def _settle_once(self, pending: _Pending) -> bool:
        """Take one row of settle's table; False if the entry's first request arrived after the tail was read."""
        state = self._state(SETTLE)
        if state.entry_seq == pending.last_seq and state.payload == pending.payload:
            return True
        if state.epoch != self._epoch:
            raise self._fenced(f"epoch is {state.epoch}")
        if state.last_seq != self._last_seq:
            raise self._moved(f"last id is {state.last_seq}-0")
        try:
            self._writer.call(*self._append_command(pending))
        except JournalRefused as error:
            self._raise_if_fenced(error)
            if error.reply.startswith("GAP"):
                return False
            raise
        return True

    def _accept(self, pending: _Pending) -> None:
        self._last_seq = pending.last_seq
        self._pending = None
        self.appended_entries_count += 1
        self.appended_bytes += len(pending.payload)

    def _refuse_if_stopped(self) -> None:
        """Raise again what stopped this writer for good."""
        if self._stopped is not None:
            raise self._stopped

    def _stop(self, error: JournalError) -> JournalError:
        """Make an error the last word: this writer appends nothing any more."""
        self._pending = None
        self._stopped = error
        return error

    def _raise_if_fenced(self, error: JournalRefused) -> None:
        if error.reply.startswith("FENCED"):
            raise self._stop(self._fenced(error.reply)) from error

    def _fenced(self, found: str) -> JournalFenced:
        return JournalFenced(f"{self._name()}: another writer took over: expected epoch {self._epoch}: {found}.")

    def _moved(self, found: str) -> JournalCorrupt:
        return JournalCorrupt(
            f"{self._name()}: expected last id {self._last_seq}-0: {found}: entries were lost, or appended by another "
            "hand."
        )

    def _unsettled(self, error: JournalError) -> JournalUnsettled:
        assert self._pending is not None
        return JournalUnsettled(f"{self._name()}: entry {self._pending.last_seq}-0 is unsettled: {error}")

    def _name(self) -> str:
        return f"Journal {self._journal_key} at {self.describe()}"

    def _history_call(self, *arguments: bytes | str | int) -> Any:
        """Read; once more on a new connection if the old one was cut, since a server may have restarted meanwhile."""
        try:
            return self._history.call(*arguments)
        except JournalRefused:
            raise
        except JournalUnavailable:
            return self._history.call(*arguments)

    def _chunk(self, after_seq: int, entries_count: int) -> list[tuple[int, bytes]]:
        """Return the next entries that end after a seq, as (last seq, payload)."""
        reply: list[list[Any]] = self._history_call(
            "XRANGE", self._journal_key, f"{after_seq + 1}-0", "+", "COUNT", entries_count
        )
        return [(_seq_of(entry_id), _payload_of(entry_id, fields)) for entry_id, fields in reply]


def _next_entries_count(entries_count: int, chunk_bytes: int) -> int:
    """Return how many entries to read next, after a chunk of so many entries and bytes."""
    if chunk_bytes > _CHUNK_BYTES_MAX:
        return max(1, entries_count // 2)
    return min(_CHUNK_ENTRIES_MAX, entries_count * 2) if chunk_bytes < _CHUNK_BYTES_MIN else entries_count


def _seq_of(entry_id: bytes) -> int:
    """Return the seq of an id of ours."""
    seq, _, rest = entry_id.partition(b"-")
    if rest != b"0":
        raise JournalCorrupt(f"Journal entry {entry_id.decode()}: expected an id like 1-0: it is not an entry of ours.")
    return int(seq)


def _payload_of(entry_id: bytes, fields: list[bytes]) -> bytes:
    """Return the payload of an entry's one field."""
    if len(fields) != 2 or fields[0] != b"entry":
        raise JournalCorrupt(
            f"Journal entry {entry_id.decode()}: expected the field `entry` alone: it is not an entry of ours."
        )
    return fields[1]
