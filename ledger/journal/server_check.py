"""Whether a journal server's settings can keep the durability that is asked for."""

from typing import Final, Literal

from ledger.journal.connection import JournalConnection
from ledger.journal.errors import JournalRefused, UnsafeJournalServer

Durability = Literal["fsync"]

VERSION_MIN: Final = (7, 2)
REQUIRED_SETTINGS: Final[dict[Durability, dict[str, str]]] = {
    "fsync": {
        "appendonly": "yes",
        # One write and one fsync for all commands of an event loop's turn, before their replies.
        "appendfsync": "always",
        # With yes, `always` silently becomes `no` while the file is rewritten.
        "no-appendfsync-on-rewrite": "no",
        # Everything else may evict the journal.
        "maxmemory-policy": "noeviction",
    },
}


def check_server(connection: JournalConnection, durability: Durability) -> None:
    """Raise UnsafeJournalServer, which names every wrong setting and the way out, unless the server is safe.

    Raises
    ------
    UnsafeJournalServer
        A setting is wrong, or the server does not show its settings.
    JournalUnavailable
        The server cannot be reached.
    """
    wrong = [*_wrong_server(_info(connection)), *_wrong_settings(connection, REQUIRED_SETTINGS[durability])]
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


def _info(connection: JournalConnection) -> dict[str, str]:
    try:
        return parse_info(connection.call("INFO", "server")) | parse_info(connection.call("INFO", "replication"))
    except JournalRefused as error:
        raise _hidden(connection, "INFO", error) from error


def _wrong_server(info: dict[str, str]) -> list[str]:
    """Return what is wrong with the server itself. Valkey reports the Redis version it is compatible with."""
    wrong = []
    version = info.get("redis_version", "unknown")
    if parse_version(version) < VERSION_MIN:
        needed = ".".join(map(str, VERSION_MIN))
        wrong.append(f"version: expected {needed} or newer, was {version}: upgrade Redis, or use Valkey")
    role = info.get("role", "unknown")
    if role != "master":
        wrong.append(f"role: expected master, was {role}: connect to the primary")
    return wrong


def _wrong_settings(connection: JournalConnection, required: dict[str, str]) -> list[str]:
    """Return what is wrong with the settings. One CONFIG GET each: several at once need Redis 7."""
    wrong = []
    for name, expected in required.items():
        try:
            found = parse_settings(connection.call("CONFIG", "GET", name)).get(name, "not reported")
        except JournalRefused as error:
            raise _hidden(connection, "CONFIG GET", error) from error
        if found != expected:
            wrong.append(f"{name}: expected {expected}, was {found}: run CONFIG SET {name} {expected}")
    return wrong


def _hidden(connection: JournalConnection, command: str, error: JournalRefused) -> UnsafeJournalServer:
    return UnsafeJournalServer(
        f"Journal server {connection.address.describe()} does not let OnHand read its settings ({command}: "
        f"{error.reply}), so that what it acknowledges may be lost. Allow the user +config|get and +info (ACL "
        "SETUSER); a managed service that forbids CONFIG cannot be checked, and cannot be used as the journal."
    )
