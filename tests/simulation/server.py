"""A model of the journal server: what our Lua functions and the few commands we send do, and what a crash leaves.

The data is kept three times: as clients see it, as it is after an fsync, and between them the transactions that were
written and not fsynced. A server that is killed comes back with all that was written; one that loses power comes back
with what was fsynced, and with some of the rest: a transaction that was torn is dropped whole, as `aof-load-truncated`
does. `tests/test_simulation.py` runs the same commands at a real server and compares the replies.
"""

import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from ledger.journal.reading import NO_TAIL
from ledger.journal.server_functions import Keys

OOM: Final = "OOM command not allowed when used memory > 'maxmemory'."
MEMORY_LIMIT_BYTES: Final = 1_000_000
STANDBY_MS_MAX: Final = 60_000
KEYS: Final = Keys.of_shard("0")

Argument = bytes | str | int
StreamEntry = tuple[int, bytes]
"""Last seq (the id without its -0) and payload."""


class ServerError(Exception):
    """The server answers with an error; the text is its reply."""


class ServerCrashed(Exception):
    """The server ended while it ran this command."""


@dataclass
class Stream:
    """One stream whose ids are <seq>-0 and whose entries have the one field `entry`."""

    entries: list[StreamEntry] = field(default_factory=list)
    last_seq: int = 0


@dataclass
class Data:
    """All keys of the server."""

    texts: dict[str, bytes] = field(default_factory=dict)
    expire_us: dict[str, int] = field(default_factory=dict)
    """Server time at which a text is no longer there."""
    hashes: dict[str, dict[bytes, bytes]] = field(default_factory=dict)
    streams: dict[str, Stream] = field(default_factory=dict)

    def copy(self) -> "Data":
        """Copy all but the payloads."""
        streams = {key: Stream(list(stream.entries), stream.last_seq) for key, stream in self.streams.items()}
        return Data(dict(self.texts), dict(self.expire_us), deepcopy(self.hashes), streams)


Effect = Callable[[Data], None]


def set_text(key: str, value: bytes, expire_us: int | None = None) -> Effect:
    def apply(data: Data) -> None:
        data.texts[key] = value
        data.expire_us.pop(key, None)
        if expire_us is not None:
            data.expire_us[key] = expire_us

    return apply


def delete_text(key: str) -> Effect:
    def apply(data: Data) -> None:
        data.texts.pop(key, None)
        data.expire_us.pop(key, None)

    return apply


def set_field(key: str, name: bytes, value: bytes) -> Effect:
    def apply(data: Data) -> None:
        data.hashes.setdefault(key, {})[name] = value

    return apply


def delete_field(key: str, name: bytes) -> Effect:
    def apply(data: Data) -> None:
        data.hashes[key].pop(name, None)
        if not data.hashes[key]:
            del data.hashes[key]

    return apply


class AddEntry(NamedTuple):
    """An entry is appended."""

    key: str
    seq: int
    payload: bytes

    def __call__(self, data: Data) -> None:
        stream = data.streams.setdefault(self.key, Stream())
        stream.entries.append((self.seq, self.payload))
        stream.last_seq = self.seq


def trim(key: str, first_seq: int) -> Effect:
    def apply(data: Data) -> None:
        stream = data.streams[key]
        stream.entries = [entry for entry in stream.entries if entry[0] >= first_seq]

    return apply


class JournalServer:
    """One server: executes a command at a time; its owner says when it crashes.

    Parameters
    ----------
    clock_us : Callable
        The server's time, microseconds since the epoch.
    """

    def __init__(self, clock_us: Callable[[], int]) -> None:
        self._clock_us = clock_us
        self.data = Data()
        self.durable = Data()
        self.transactions: list[list[Effect]] = []
        """Written since the last fsync."""
        self.settings = {
            "appendonly": "yes",
            "appendfsync": "always",
            "no-appendfsync-on-rewrite": "no",
            "maxmemory-policy": "noeviction",
        }
        self.is_full = False
        self.replica: Data | None = None
        """What a replica has on its disk; None without one."""
        self.is_replica_online = False
        self._unreplicated: list[Effect] = []
        self._library: bytes | None = None
        self._effects: list[Effect] = []
        self.crashes_at: str | None = None
        """Where a write crashes: "start", "written" or "synced"."""
        self.crashes_in_append = False
        """Whether it is the next append, else the next write of any kind."""

    # ---- running commands --------------------------------------------------------------------------------------------

    def execute(self, *arguments: Argument) -> Any:
        """Run one command and return its reply, fsynced if `appendfsync` is always.

        Raises
        ------
        ServerError
            The reply is an error.
        ServerCrashed
            The server ended before it replied.
        """
        name, *rest = arguments
        words = text_of(name)
        reply = getattr(self, f"_{words.lower()}")(*rest)
        self._write()
        return reply

    def _write(self) -> None:
        """Make what the command changed durable, or crash on the way."""
        if not self._effects:
            return
        effects, self._effects = self._effects, []
        is_append = any(isinstance(effect, AddEntry) for effect in effects)
        crashes_at = self.crashes_at if is_append or not self.crashes_in_append else None
        if crashes_at == "start":
            raise ServerCrashed
        self.transactions.append(effects)
        self._unreplicated += effects
        if crashes_at == "written":
            raise ServerCrashed
        if self.settings["appendfsync"] == "always":
            self.fsync()
        if crashes_at == "synced":
            raise ServerCrashed

    def fsync(self) -> None:
        """Make all that was written durable."""
        for transaction in self.transactions:
            for effect in transaction:
                effect(self.durable)
        self.transactions = []

    def restart(self, kept_count: int | None = None) -> None:
        """Load what the last run left: all that was written, or what was fsynced and some transactions more."""
        self._effects = []
        self.crashes_at = None
        self.is_replica_online = False
        if kept_count is not None:
            del self.transactions[kept_count:]
            self.fsync()
        self.data = self.durable.copy()
        for transaction in self.transactions:
            for effect in transaction:
                effect(self.data)

    def _do(self, effect: Effect) -> None:
        effect(self.data)
        self._effects.append(effect)

    # ---- commands ----------------------------------------------------------------------------------------------------

    def _text(self, key: str) -> bytes | None:
        ends_us = self.data.expire_us.get(key)
        return None if ends_us is not None and ends_us <= self._clock_us() else self.data.texts.get(key)

    def _get(self, key: str) -> bytes | None:
        return self._text(key)

    def _mget(self, *keys: str) -> list[bytes | None]:
        return [self._text(key) for key in keys]

    def _pttl(self, key: str) -> int:
        if self._text(key) is None:
            return -2
        ends_us = self.data.expire_us.get(key)
        return -1 if ends_us is None else (ends_us - self._clock_us()) // 1000

    def _xrange(self, key: str, first: Argument, last: Argument, *count: Argument) -> list[Any]:
        stream = self.data.streams.get(key, Stream())
        low, high = seq_of(first), stream.last_seq if text_of(last) == "+" else seq_of(last)
        found = [[b"%d-0" % seq, [b"entry", payload]] for seq, payload in stream.entries if low <= seq <= high]
        return found[: int(count[1])] if count else found

    def _info(self, *_: Argument) -> bytes:
        used = MEMORY_LIMIT_BYTES if self.is_full else MEMORY_LIMIT_BYTES // 4
        replica = "slave0:state=online\r\n" if self.is_replica_online else ""
        memory = f"used_memory:{used}\r\nmaxmemory:{MEMORY_LIMIT_BYTES}\r\n"
        return f"redis_version:7.2.4\r\nrole:master\r\n{replica}{memory}".encode()

    def _config(self, word: Argument, name: Argument) -> list[bytes]:
        assert text_of(word) == "GET"
        return [text_of(name).encode(), self.settings[text_of(name)].encode()]

    def _function(self, word: Argument, *rest: Argument) -> Any:
        if text_of(word) == "LIST":
            return [] if self._library is None else [[b"library_code", self._library]]
        assert text_of(word) == "LOAD"
        self._library = bytes_of(rest[-1])
        return b"onhand_journal_v2"

    def _wait(self, *_: Argument) -> int:
        if self.is_replica_online:
            self.replicate()
        return int(self.is_replica_online)

    def _waitaof(self, *_: Argument) -> list[int]:
        self.fsync()
        if self.is_replica_online:
            self.replicate()
        return [1, int(self.is_replica_online)]

    # ---- a replica ---------------------------------------------------------------------------------------------------

    def replicate(self) -> None:
        """Let the replica have all that was written."""
        if self.replica is None:
            self.replica = self.data.copy()
        else:
            for effect in self._unreplicated:
                effect(self.replica)
        self._unreplicated = []

    def connect_replica(self) -> None:
        """Let a replica come, or come back: it copies everything."""
        self.replica = None
        self.is_replica_online = True
        self.replicate()

    def fail_over(self) -> None:
        """Promote the replica, with what it has; the old server becomes its replica when it is back."""
        assert self.replica is not None
        self.durable, self.transactions, self.replica = self.replica, [], None
        self._unreplicated = []
        self.is_replica_online = False

    # ---- our functions, as functions.lua has them --------------------------------------------------------------------

    def _fcall(self, name: Argument, key_count: Argument, *rest: Argument) -> Any:
        short = re.fullmatch(r"onhand_(\w+)_v2", text_of(name))
        if short is None or self._library is None:
            raise ServerError("ERR Function not found")
        if self.is_full and short[1] == "append":
            raise ServerError(OOM)
        keys = [text_of(each) for each in rest[: int(key_count)]]
        return getattr(self, f"_{short[1]}_function")(Keys(*keys), *rest[int(key_count) :])

    def _epoch(self, keys: Keys) -> bytes:
        return self._text(keys.epoch) or b"0"

    def _tail(self, keys: Keys) -> bytes:
        return self._text(keys.tail) or NO_TAIL

    def _state_of(self, keys: Keys) -> list[bytes]:
        stream = self.data.streams.get(keys.journal, Stream())
        entry = b"%d-0 %b" % (stream.entries[-1][0], stream.entries[-1][1][:16]) if stream.entries else b""
        return [self._epoch(keys), self._tail(keys), b"%d-0" % stream.last_seq, entry]

    def _refuse_other_epoch(self, keys: Keys, epoch: Argument) -> None:
        if self._epoch(keys) != bytes_of(epoch):
            raise ServerError(f"FENCED epoch is {self._epoch(keys).decode()}")

    def _lease(self, keys: Keys, epoch: bytes, address: Argument, ttl_ms: Argument) -> None:
        value = epoch.split()[0] + b" " + bytes_of(address)
        self._do(set_text(keys.lease, value, self._clock_us() // 1000 * 1000 + int(ttl_ms) * 1000))

    def _claim_function(self, keys: Keys, address: Argument, ttl_ms: Argument, mode: Argument) -> list[bytes]:
        held = self._text(keys.lease)
        if held is not None and text_of(mode) != "force":
            raise ServerError(f"HELD {self._pttl(keys.lease)} {held.decode()}")
        epoch = b"%d %d" % (int(self._epoch(keys).split()[0]) + 1, self._clock_us())
        self._do(set_text(keys.epoch, epoch))
        self._lease(keys, epoch, address, ttl_ms)
        if bytes_of(address) in self.data.hashes.get(keys.standbys, {}):
            self._do(delete_field(keys.standbys, bytes_of(address)))
        return self._state_of(keys)

    def _renew_function(self, keys: Keys, epoch: Argument, address: Argument, ttl_ms: Argument) -> bytes:
        self._refuse_other_epoch(keys, epoch)
        self._lease(keys, bytes_of(epoch), address, ttl_ms)
        return b"OK"

    def _release_function(self, keys: Keys, epoch: Argument) -> bytes:
        if self._epoch(keys) == bytes_of(epoch):
            self._do(delete_text(keys.lease))
        return b"OK"

    def _settle_function(self, keys: Keys) -> list[bytes]:
        self._do(set_text(keys.tail, self._tail(keys)))
        return self._state_of(keys)

    def _append_function(
        self, keys: Keys, epoch: Argument, entry_id: Argument, before: Argument, payload: bytes
    ) -> bytes:
        self._refuse_other_epoch(keys, epoch)
        tail = self._tail(keys)
        if tail != bytes_of(before):
            found_id, _, chain = tail.partition(b" ")
            raise ServerError(f"GAP {found_id.decode()} {chain.hex()}")
        seq = seq_of(entry_id)
        if tail != NO_TAIL and keys.journal not in self.data.streams:
            raise ServerError("GONE the stream is gone")
        self._do(AddEntry(keys.journal, seq, payload))
        self._do(set_text(keys.tail, b"%d-0 %b" % (seq, payload[:16])))
        return b"%d-0" % seq

    def _trim_function(self, keys: Keys, epoch: Argument, entry_id: Argument) -> int:
        self._refuse_other_epoch(keys, epoch)
        stream = self.data.streams.get(keys.journal, Stream())
        count = sum(seq < seq_of(entry_id) for seq, _ in stream.entries)
        if count:
            self._do(trim(keys.journal, seq_of(entry_id)))
        return count

    def _standbys_function(self, keys: Keys) -> list[bytes]:
        oldest_ms = self._clock_us() // 1000 - STANDBY_MS_MAX
        living: list[bytes] = []
        for address, told in list(self.data.hashes.get(keys.standbys, {}).items()):
            seq, reported_ms = told.split()
            if int(reported_ms) >= oldest_ms:
                living += [address, seq]
            else:
                self._do(delete_field(keys.standbys, address))
        return living

    def _report_function(self, keys: Keys, address: Argument, seq: Argument) -> list[bytes]:
        told = f"{text_of(seq)} {self._clock_us() // 1000}"
        self._do(set_field(keys.standbys, bytes_of(address), told.encode()))
        return self._standbys_function(keys)


def text_of(argument: Argument) -> str:
    return argument.decode() if isinstance(argument, bytes) else str(argument)


def bytes_of(argument: Argument) -> bytes:
    return argument if isinstance(argument, bytes) else str(argument).encode()


def seq_of(argument: Argument) -> int:
    seq, _, rest = text_of(argument).partition("-")
    assert rest in {"", "0"}
    return int(seq)
