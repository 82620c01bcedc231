"""Whether a journal server's settings can keep the durability that is asked for."""

import re
from typing import Final, Literal

from ledger.journal.connection import Connection, call_together
from ledger.journal.errors import JournalRefused, UnsafeJournalServer

Durability = Literal["fsync", "replicated", "everysec"]

VERSION_MIN: Final = (7, 2)
_REPLICA: Final = re.compile(r"slave\d+")

_ALWAYS_REQUIRED: Final = {
    "appendonly": ("yes",),
    # With yes, nothing is fsynced while the file is rewritten, whatever `appendfsync` says.
    "no-appendfsync-on-rewrite": ("no",),
    # Everything else may evict the journal.
    "maxmemory-policy": ("noeviction",),
}
# With always: one write and one fsync for all commands of an event loop's turn, before their replies.
REQUIRED_SETTINGS: Final[dict[Durability, dict[str, tuple[str, ...]]]] = {
    "fsync": {"appendfsync": ("always",), **_ALWAYS_REQUIRED},
    "replicated": {"appendfsync": ("always",), **_ALWAYS_REQUIRED},
    "everysec": {"appendfsync": ("everysec", "always"), **_ALWAYS_REQUIRED},
}
"""The values that will do, the usual one first."""


def check_server(connection: Connection, durability: Durability, replicas_min: int) -> None:
    """Raise UnsafeJournalServer, which names every wrong setting and the way out, unless the server is safe.

    Raises
    ------
    UnsafeJournalServer
        A setting is wrong, replicas are missing, or the server does not show its settings.
    JournalUnavailable
        The server cannot be reached.
    """
    required = REQUIRED_SETTINGS[durability]
    # One CONFIG GET each: several at once need Redis 7, and an older one must be told so.
    commands = [("INFO", "server"), ("INFO", "replication"), *(("CONFIG", "GET", name) for name in required)]
    replies = call_together(connection, commands)
    for command, reply in zip(commands, replies, strict=True):
        if isinstance(reply, JournalRefused):
            raise _hidden(connection, " ".join(command), reply) from reply
    wrong = [
        *_wrong_server(parse_info(replies[0]) | parse_info(replies[1]), replicas_min),
        *_wrong_settings(replies[2:], required),
    ]
    if wrong:
        listed = "".join(f"\n  {line}" for line in wrong)
        raise UnsafeJournalServer(
            f"Journal server {connection.address.describe()} cannot keep durability {durability}:{listed}"
        )


def parse_version(text: str) -> tuple[int, ...]:
    """Return 7.2.4 as (7, 2, 4), and whatever cannot be read as an empty, that is the oldest, version."""
    parts = text.split(".")
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else ()


def parse_info(text: bytes) -> dict[str, str]:
    """Return the fields of an INFO reply."""
    lines = (line.partition(":") for line in text.decode("utf-8", "replace").splitlines())
    return {name: value for name, colon, value in lines if colon}


def parse_settings(reply: list[bytes]) -> dict[str, str]:
    """Return the settings of a CONFIG GET reply."""
    words = [word.decode("utf-8", "surrogateescape") for word in reply]
    return dict(zip(words[::2], words[1::2], strict=True))


def _wrong_server(info: dict[str, str], replicas_min: int) -> list[str]:
    """Return what is wrong with the server itself. Valkey reports the Redis version it is compatible with."""
    wrong = []
    version = info.get("redis_version", "unknown")
    if parse_version(version) < VERSION_MIN:
        needed = ".".join(map(str, VERSION_MIN))
        wrong.append(f"version: expected {needed} or newer, was {version}: upgrade Redis, or use Valkey")
    role = info.get("role", "unknown")
    if role != "master":
        wrong.append(f"role: expected master, was {role}: connect to the primary")
    replicas = sum(_REPLICA.fullmatch(name) is not None and "state=online" in info[name] for name in info)
    if replicas < replicas_min:
        wrong.append(
            f"replicas online: expected {replicas_min} or more, was {replicas}: run REPLICAOF at a server with "
            "appendonly yes, or choose another durability"
        )
    return wrong


def _wrong_settings(replies: list[list[bytes]], required: dict[str, tuple[str, ...]]) -> list[str]:
    """Return what is wrong with the settings, given the reply of a CONFIG GET for each."""
    wrong = []
    for reply, (name, expected) in zip(replies, required.items(), strict=True):
        found = parse_settings(reply).get(name, "not reported")
        if found not in expected:
            wrong.append(f"{name}: expected {' or '.join(expected)}, was {found}: run CONFIG SET {name} {expected[0]}")
    return wrong


def _hidden(connection: Connection, command: str, error: JournalRefused) -> UnsafeJournalServer:
    return UnsafeJournalServer(
        f"Journal server {connection.address.describe()} does not let OnHand read its settings ({command}: "
        f"{error.reply}), so that what it acknowledges may be lost. Allow the user +config|get and +info (ACL "
        "SETUSER); a managed service that forbids CONFIG cannot be checked, and cannot be used as the journal."
    )
