"""A shard's journal as a stream of a Redis or Valkey server, with one writer."""

import contextlib
from collections import deque
from typing import Final, NamedTuple

from ledger.journal.connection import (
    READ_BYTES_DEFAULT,
    Connect,
    Connection,
    JournalConnection,
    call_together,
    raise_refusals,
    receive_together,
)
from ledger.journal.entry import CHAIN_BYTES
from ledger.journal.errors import (
    JournalBackwards,
    JournalCorrupt,
    JournalError,
    JournalFenced,
    JournalHeld,
    JournalRefused,
    JournalUnavailable,
    JournalUnsafe,
    JournalUnsettled,
    UnsafeJournalServer,
)
from ledger.journal.reading import (
    MILLISECONDS,
    NO_TAIL,
    TIMEOUT_SECONDS_DEFAULT,
    JournalReader,
    parse_epoch,
    parse_id,
    parse_tail,
)
from ledger.journal.server_check import Durability, check_server
from ledger.journal.server_functions import (
    APPEND,
    CLAIM,
    RELEASE,
    RENEW,
    SETTLE,
    TRIM,
    call_function,
    function_call,
    load_functions,
)

LEASE_SECONDS_DEFAULT: Final = 3.0
# The writer waits for a renewal, and all callers with it.
RENEW_TIMEOUT_SECONDS_MAX: Final = 0.2
PAYLOAD_BYTES_MAX: Final = 64 * 1024 * 1024
"""A bulk argument may have 512 MB; what is larger than this is no group, but a bug of ours."""
OWN_TAILS_MAX: Final = 100_000
"""How many of its last entries a writer knows again in a journal that went backwards."""

# How long to wait until what was written is durable. A server that fsyncs before it replies has nothing to wait for,
# unless `appendonly` has only just become yes; one that fsyncs once a second takes a little more than that. The writer
# does nothing else meanwhile: two waits for replicas leave time to renew the lease.
_DURABLE_WAIT_MS: Final[dict[Durability, int]] = {"fsync": 100, "replicated": 500, "everysec": 2_000}
# Of the time that one command may take, so that the server's own time is up first.
_DURABLE_WAIT_SHARE: Final = 0.4

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
    tail: bytes
    """What the journal ends with, once the entry is in it."""
    payload: bytes


class _State(NamedTuple):
    """What the server says is in the journal."""

    epoch: bytes
    tail: bytes
    """As the append function keeps it."""
    last_seq: int
    """As the stream knows it, trimmed entries included."""
    entry: bytes
    """Id and checksum of the last entry that is still there; empty if there is none."""


class StreamJournal(JournalReader):
    """The journal of one shard, for its writer. For one thread; appending, reading and renewing have a connection each.

    Parameters
    ----------
    url : str
        Of the journal server, see `Address`.
    shard : str
        Names the keys, which share the hash tag {onhand:<shard>}.
    durability : {"fsync", "replicated", "everysec"}
        What an append that returned means: the entry is fsynced; it is, at `replicas_min` replicas as well; it will be
        within about a second.
    replicas_min : int
        How many replicas must have fsynced an entry; for `replicated` alone.
    timeout_seconds : float
        How long one command may take before its outcome counts as unknown.
    connect : Connect
        Makes the connections.
    """

    def __init__(
        self,
        url: str,
        *,
        shard: str = "0",
        durability: Durability = "fsync",
        replicas_min: int = 1,
        timeout_seconds: float = TIMEOUT_SECONDS_DEFAULT,
        connect: Connect = JournalConnection,
    ) -> None:
        assert replicas_min > 0
        super().__init__(url, shard=shard, timeout_seconds=timeout_seconds, connect=connect)
        self._durability: Durability = durability
        self._replicas_min = replicas_min if durability == "replicated" else 0
        self._writer = connect(self._address, timeout_seconds, READ_BYTES_DEFAULT)
        self._watch = connect(self._address, min(timeout_seconds, RENEW_TIMEOUT_SECONDS_MAX), READ_BYTES_DEFAULT)
        self._durable_wait_ms = min(
            _DURABLE_WAIT_MS[durability], int(timeout_seconds * MILLISECONDS * _DURABLE_WAIT_SHARE)
        )
        self._append_waits = self._durable_wait(self._replicas_min) if self._replicas_min else []
        self._lease = ("", 0)
        self._epoch = b""
        self._last_seq = 0
        self._own_tails = deque([NO_TAIL], OWN_TAILS_MAX)
        self._pending: _Pending | None = None
        self._stopped: JournalError | None = None
        self.is_full = False
        """Whether the server refused the last append because it is at its memory limit: a trim helps it out."""
        self.appended_entries_count = 0
        self.appended_bytes = 0
        self.settled_entries_count = 0
        """Entries whose outcome was unknown at first."""

    # ---- the lease ---------------------------------------------------------------------------------------------------

    def open(
        self, address: str = "", lease_seconds: float = LEASE_SECONDS_DEFAULT, *, takes_over: bool = False
    ) -> Claim:
        """Check the server, become the journal's one writer, and return the new epoch and the tail.

        Parameters
        ----------
        address : str
            Where clients reach this writer, for whoever asks who it is.
        lease_seconds : float
            How long others wait before they take over, counted from the last `renew` by the server's clock.
        takes_over : bool
            Whether not to wait for the lease of a writer that may still live: it is fenced.

        Raises
        ------
        JournalHeld
            Another writer has the lease.
        UnsafeJournalServer
            The server cannot keep the durability asked for.
        JournalUnavailable
            The server cannot be used now. Opening again is safe, once the lease of a claim that got through ran out.
        JournalCorrupt
            The stream was written to, or deleted, by another hand.
        """
        assert not self._epoch
        assert lease_seconds > 0
        assert not set(address) & set(" \r\n")
        self._lease = (address, round(lease_seconds * MILLISECONDS))
        self._prepare()
        state = self._claim("force" if takes_over else "wait")
        self._last_seq = state.last_seq
        self._own_tails = deque([state.tail], OWN_TAILS_MAX)
        return Claim(self.epoch, self._last_seq)

    def begin_epochs_after(self, epoch: int) -> None:
        """Let the first claim of a server that knows no epoch yet get one after this, which another server knew."""
        self._ask("SET", self._keys.epoch, f"{epoch} 0", "NX")

    def renew(self) -> None:
        """Keep the lease, and make sure that the server still keeps the durability; also while an append is begun.

        A lease that ran out is taken again: the epoch says that no other writer came between.

        Raises
        ------
        JournalFenced, JournalCorrupt
            Another writer took over, or what stopped this writer before.
        JournalUnavailable
            The server cannot be asked now.
        JournalUnsafe
            What the server acknowledges is not durable: the message names the setting.
        """
        assert self._epoch
        self._refuse_if_stopped()
        try:
            call_function(self._watch, RENEW, self._keys, self._epoch, *self._lease)
            check_server(self._watch, self._durability, self._replicas_min)
            if self._durability != "everysec":
                self._await_durable(self._watch, 0)
        except JournalRefused as error:
            self._raise_if_fenced(error)
            raise
        except UnsafeJournalServer as error:
            raise JournalUnsafe(str(error)) from error

    def release(self) -> None:
        """Give the lease back, so that another writer need not wait; if the server is away, it runs out by itself."""
        assert self._epoch
        with contextlib.suppress(JournalUnavailable):
            call_function(self._watch, RELEASE, self._keys, self._epoch)

    def lacks_own_entry(self) -> bool:
        """Tell whether the journal lost what this writer appended last, as after a failover to a server that lagged.

        For a writer that was fenced: the one after it may have begun before that entry. Raises JournalUnavailable.
        """
        last_seq, chain = parse_tail(self._own_tails[-1])
        if last_seq == 0:
            return False
        if self.tail().last_seq < last_seq:
            return True
        found = self.chain_at(last_seq)
        return self.first_seq_kept() <= last_seq if found is None else found != chain

    # ---- the writer --------------------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """Of this writer; 0 before `open`."""
        return parse_epoch(self._epoch)

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
        assert self._epoch
        assert self._pending is None
        assert last_seq > self._last_seq
        assert len(payload) <= PAYLOAD_BYTES_MAX
        self._refuse_if_stopped()
        # Set first: whatever interrupts this, Ctrl-C included, leaves the outcome unknown.
        self._pending = pending = _Pending(last_seq, b"%d-0 %b" % (last_seq, payload[:CHAIN_BYTES]), payload)
        try:
            self._send_append(pending)
        except JournalUnavailable as error:
            raise self._unsettled(error) from error

    def finish(self) -> None:
        """Wait for the entry that was begun; when this returns, it is durable.

        Raises
        ------
        JournalUnsettled
            Whether the entry is in the journal, and durable, is unknown, or the server did not take it: call `settle`.
        JournalFenced
            Another writer took over; the entry is not in the journal.
        JournalBackwards
            The journal ends with an older entry of this writer; the entry is not in the journal.
        JournalCorrupt
            The journal does not end where this writer left it; the entry is not in the journal.
        """
        self._refuse_if_stopped()
        assert self._pending is not None
        try:
            self._receive_append()
        except JournalRefused as error:
            self._raise_if_fenced(error)
            self._raise_if_moved(error)
            raise self._unsettled(error) from error
        except JournalUnavailable as error:
            raise self._unsettled(error) from error
        self._accept(self._pending)

    def settle(self) -> None:
        """Find out what became of the unsettled entry, and append it if it is absent: when this returns, it is durable.

            the journal ends with          epoch     the entry is
            ours                           any       durable
            any other                      another   void: JournalFenced
            the one before ours            ours      absent: appended again under the same id
            an older one of ours           ours      void: JournalBackwards
            any other                      ours      JournalCorrupt

        Entries are told apart by id and checksum.

        Raises
        ------
        JournalUnsettled
            The server is still away, full, or not safe: call again.
        JournalFenced
            Another writer took over.
        JournalBackwards
            The server lost the last entries.
        JournalCorrupt
            The journal has a foreign entry, or lost more than this writer can tell.
        """
        self._refuse_if_stopped()
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
        raise self._stop(JournalCorrupt(f"{self._name()}: it moves while it is read back."))

    def trim_before(self, seq: int) -> int:
        """Drop entries that hold nothing of seq and later, and return their number: call again until it is 0.

        One call drops no more than the server can without keeping others waiting. The caller has a durable snapshot of
        what they did. Works at the server's memory limit as well.

        Raises
        ------
        JournalFenced
            Another writer took over: what may be trimmed is for that one to say.
        JournalUnavailable
            The server cannot be asked now.
        """
        try:
            return int(self._call(TRIM, self._epoch, f"{seq}-0"))
        except JournalRefused as error:
            self._raise_if_fenced(error)
            raise

    def close(self) -> None:
        """Close all connections."""
        super().close()
        self._writer.close()
        self._watch.close()

    # ---- steps -------------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Check the server, which after a failover may be another one, and load our functions if it lacks them."""
        check_server(self._writer, self._durability, self._replicas_min)
        load_functions(self._writer)

    def _claim(self, mode: str) -> _State:
        """Return what is in the journal that is ours from now on; what fails after the claim gives the lease back."""
        try:
            reply = self._writer.call(*function_call(CLAIM, self._keys, *self._lease, mode))
        except JournalRefused as error:
            self._raise_if_held(error)
            raise
        self._epoch = reply[0]
        try:
            return self._checked_state(reply)
        except JournalError:
            self.release()
            self._epoch = b""
            raise

    def _checked_state(self, reply: list[bytes]) -> _State:
        """Return what is in the journal, once that is durable."""
        self._await_durable(self._writer, self._replicas_min)
        epoch, tail, last_id, entry = reply
        state = _State(epoch, tail, parse_id(last_id), entry)
        tail_seq, _ = parse_tail(tail)
        if tail_seq != state.last_seq or (entry and entry != tail):
            raise JournalCorrupt(
                f"{self._name()}: expected last id {_shown(tail)}, as it was appended, found "
                f"{_shown(entry or last_id)}: the stream was written to, or deleted, by another hand."
            )
        return state

    def _await_durable(self, connection: Connection, replicas_min: int) -> None:
        """Raise JournalUnsafe unless what this connection wrote is fsynced, by so many replicas as well."""
        replies = call_together(connection, self._durable_wait(replicas_min))
        raise_refusals(replies)
        self._check_fsynced(replies[-1], replicas_min)

    def _durable_wait(self, replicas_min: int) -> list[tuple[str | int, ...]]:
        """Return the commands that wait until what was written before them is fsynced; the last one's reply says it.

        A replica says how far it is when it is asked, and else once a second. Asked in the same breath as it gets an
        entry it has not fsynced it yet, and the wait is a second: so it is asked twice, for its having it first.
        """
        wait_ms = self._durable_wait_ms
        has_it: list[tuple[str | int, ...]] = [("WAIT", replicas_min, wait_ms)] if replicas_min else []
        return [*has_it, ("WAITAOF", 1, replicas_min, wait_ms)]

    def _check_fsynced(self, counts: list[int], replicas_min: int) -> None:
        """Raise JournalUnsafe if WAITAOF's counts are short: it says them also when its time is up.

        Where `appendonly` has only just become yes, by hand or after a replica was promoted, nothing is durable until
        the server has written its first file, and no setting shows it.
        """
        fsynced, replicas = counts
        if fsynced < 1:
            raise JournalUnsafe(
                f"Journal server {self.describe()}: not durable yet: it is still writing its first append-only file, "
                "or its disk is slow."
            )
        if replicas < replicas_min:
            raise JournalUnsafe(
                f"Journal server {self.describe()}: not durable yet: expected {replicas_min} replicas to have fsynced "
                f"in time, {replicas} have: is a replica away, or without appendonly yes?"
            )

    def _send_append(self, pending: _Pending) -> None:
        """Send what appends an entry: the server checks epoch and tail in the same step."""
        self.is_full = False
        arguments = self._epoch, f"{pending.last_seq}-0", self._own_tails[-1], pending.payload
        self._writer.send(*function_call(APPEND, self._keys, *arguments))
        for command in self._append_waits:
            self._writer.send(*command)

    def _receive_append(self) -> None:
        """Read what the server answers to an append; when this returns, the entry is durable."""
        replies = receive_together(self._writer, 1 + len(self._append_waits))
        self.is_full = isinstance(replies[0], JournalRefused) and replies[0].reply.startswith("OOM")
        raise_refusals(replies)
        if self._append_waits:
            self._check_fsynced(replies[-1], self._replicas_min)

    def _settle_once(self, pending: _Pending) -> bool:
        """Take one row of settle's table; False if the entry's first request arrived after the tail was read."""
        state = self._checked_state(self._writer.call(*function_call(SETTLE, self._keys)))
        if state.tail == pending.tail:
            return True
        if state.epoch != self._epoch:
            raise self._fenced(f"epoch is {state.epoch.decode()}")
        if state.tail != self._own_tails[-1]:
            raise self._moved(state.tail)
        try:
            self._send_append(pending)
            self._receive_append()
        except JournalRefused as error:
            self._raise_if_fenced(error)
            if error.reply.startswith("GAP"):
                return False
            raise
        return True

    def _accept(self, pending: _Pending) -> None:
        self._last_seq = pending.last_seq
        self._own_tails.append(pending.tail)
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

    def _raise_if_held(self, error: JournalRefused) -> None:
        word, *rest = error.reply.split(" ")
        if word == "HELD":
            left_ms, epoch, address = rest
            seconds_left = max(0, int(left_ms)) / MILLISECONDS
            raise JournalHeld(
                f"{self._name()}: the engine at {address or 'an unknown address'} writes it (epoch {epoch}) and has "
                f"its lease for {seconds_left:.1f} s more: stop it, or wait until it is gone.",
                address,
                seconds_left,
            ) from error

    def _raise_if_fenced(self, error: JournalRefused) -> None:
        if error.reply.startswith("FENCED"):
            raise self._stop(self._fenced(error.reply)) from error

    def _fenced(self, found: str) -> JournalFenced:
        return JournalFenced(f"{self._name()}: another writer took over: expected epoch {self.epoch}: {found}.")

    def _raise_if_moved(self, error: JournalRefused) -> None:
        word, *rest = error.reply.split(" ")
        if word == "GAP":
            entry_id, checksum = rest
            raise self._stop(self._moved(f"{entry_id} ".encode() + bytes.fromhex(checksum))) from error
        if word == "GONE":
            raise self._stop(JournalCorrupt(f"{self._name()}: the stream is gone: it was deleted.")) from error

    def _moved(self, tail: bytes) -> JournalCorrupt:
        """Return what it means that the journal ends with a tail that is neither ours nor the one before."""
        found = f"{self._name()}: expected last id {_shown(self._own_tails[-1])}, found {_shown(tail)}"
        if tail in self._own_tails:
            return JournalBackwards(
                f"{found}, an older entry of this writer: the server lost the entries after it.", parse_tail(tail)[0]
            )
        return JournalCorrupt(f"{found}: entries were lost, or appended by another hand.")

    def _unsettled(self, error: JournalError) -> JournalUnsettled:
        assert self._pending is not None
        return JournalUnsettled(f"{self._name()}: entry {self._pending.last_seq}-0 is unsettled: {error}")


def _shown(tail: bytes) -> str:
    """Return a tail for people to read: its id, and its checksum in hexadecimal if it is not all zeros."""
    entry_id, _, chain = tail.partition(b" ")
    return f"{entry_id.decode()} ({chain.hex()})" if any(chain) else entry_id.decode()
