"""One connection to the journal server: one command at a time, sent once and never again behind the caller's back."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

import redis

from ledger.journal.errors import JournalRefused, JournalUnavailable

_CLASSES: Final[dict[str, Any]] = {
    "redis": redis.Connection,
    "rediss": redis.SSLConnection,
    "unix": redis.UnixDomainSocketConnection,
}
_ALIASES: Final = {"valkey": "redis", "valkeys": "rediss", "valkey+unix": "unix", "redis+unix": "unix"}
_OPTIONS: Final = {
    "db": int,
    "username": str,
    "password": str,
    "ssl_ca_certs": str,
    "ssl_certfile": str,
    "ssl_keyfile": str,
    "ssl_cert_reqs": str,
}
_PORT_DEFAULT: Final = 6379
_PLAIN_ADDRESS: Final = re.compile(
    r"(?P<scheme>(?:https?|tcp)://)?(?P<host>[A-Za-z0-9.-]+)(?::(?P<port>[0-9]{1,5}))?/?", re.ASCII
)
"""What people write who forget the scheme, or take the one of the web."""
# RESP2: no HELLO, no push messages, one shape of every reply; an append takes equally long with RESP3 (measured).
_RESP_VERSION: Final = 2

READ_BYTES_DEFAULT: Final = 32_768


class Address:
    """Where a journal server is: a checked URL, which is shown without its credentials.

    Parameters
    ----------
    url : str
        redis://[[user]:password@]host[:port][/db], rediss:// the same over TLS, unix://[[user]:password@]/path[?db=n];
        valkey:// is redis://. Options behind a question mark: db, username, password, ssl_ca_certs, ssl_certfile,
        ssl_keyfile, ssl_cert_reqs.

    Raises
    ------
    ValueError
        The URL is none of these. The message never quotes it: what cannot be parsed may be part of a password.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            self._scheme = _ALIASES.get(parts.scheme, parts.scheme)
            self._arguments = self._place(parts) | self._options(parts)
        except ValueError as error:
            raise ValueError(_explain(error, url)) from None

    def describe(self) -> str:
        """Return the URL without user, password and TLS options."""
        database = self._arguments.get("db", 0)
        if self._scheme == "unix":
            suffix = f"?db={database}" if database else ""
            return f"unix://{quote(self._arguments['path'])}{suffix}"
        host = self._arguments["host"]
        shown = f"[{host}]" if ":" in host else host
        return f"{self._scheme}://{shown}:{self._arguments['port']}/{database}"

    def connect(self, timeout_seconds: float, read_bytes: int) -> Any:
        """Return a connection of redis-py, not yet connected.

        Without `retry` and `retry_on_error` its Retry is (NoBackoff, 0), and that covers connecting only: what resends
        commands is `Redis.execute_command` (ten times by default), which is not used here.
        """
        return _CLASSES[self._scheme](
            **self._arguments,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            socket_read_size=read_bytes,
            protocol=_RESP_VERSION,
        )

    def _place(self, parts: SplitResult) -> dict[str, Any]:
        """Return socket path or host, port and database; raise ValueError for all that is neither."""
        place: dict[str, Any] = {}
        if parts.username:
            place["username"] = unquote(parts.username)
        if parts.password:
            place["password"] = unquote(parts.password)
        if self._scheme not in _CLASSES or parts.fragment:
            raise ValueError("scheme")
        if self._scheme == "unix":
            if parts.hostname or not parts.path:
                raise ValueError("path")
            return place | {"path": unquote(parts.path)}
        if not parts.hostname:
            raise ValueError("host")
        place |= {"host": parts.hostname, "port": parts.port or _PORT_DEFAULT}
        database = parts.path.strip("/")
        return place | ({"db": int(database)} if database else {})

    def _options(self, parts: SplitResult) -> dict[str, Any]:
        """Return the options behind the question mark, those of TLS only where there is TLS."""
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        if any(name not in _OPTIONS or (name.startswith("ssl_") and self._scheme != "rediss") for name, _ in pairs):
            raise ValueError("option")
        return {name: _OPTIONS[name](value) for name, value in pairs}


def _explain(_: ValueError, url: str) -> str:
    plain = _PLAIN_ADDRESS.fullmatch(url)  # has no place for a password: it may be shown
    is_plain = plain and (plain["scheme"] or plain["port"])
    way_out = f' Write "redis://{plain["host"]}:{plain["port"] or _PORT_DEFAULT}".' if plain and is_plain else ""
    return (
        "journal URL: expected redis://[[user]:password@]host[:port][/db], rediss://…, valkey://… or unix:///path, "
        f"with no other options than {', '.join(_OPTIONS)}; it was something else. Special characters in a password "
        f"must be percent-encoded.{way_out}"
    )


class Connection(Protocol):
    """What a journal needs of a connection, so that a simulator can bring its own; see `JournalConnection`."""

    address: Address

    def call(self, *arguments: bytes | str | int) -> Any:
        """Send one command, once, and return its reply."""

    def send(self, *arguments: bytes | str | int) -> None:
        """Send one command, once; a `receive` must follow for each that was sent."""

    def receive(self) -> Any:
        """Return the reply to the oldest command whose reply was not received yet."""

    def close(self) -> None:
        """Close the connection; the next command opens it again."""


Connect = Callable[[Address, float, int], Connection]
"""(address, timeout_seconds, read_bytes) → a connection that its first command opens."""


def call_together(connection: Connection, commands: Sequence[Sequence[bytes | str | int]]) -> list[Any]:
    """Send commands in one go, and return their replies; an error that the server answered is returned in its place.

    Raises
    ------
    JournalUnavailable
        As `JournalConnection.call` does.
    """
    for command in commands:
        connection.send(*command)
    return receive_together(connection, len(commands))


def receive_together(connection: Connection, count: int) -> list[Any]:
    """Return the replies to the last commands that were sent. Raises and returns as `call_together`."""
    return [_reply_or_refusal(connection) for _ in range(count)]


def raise_refusals(replies: Sequence[Any]) -> None:
    """Raise the first of the replies that is an error."""
    for reply in replies:
        if isinstance(reply, JournalRefused):
            raise reply


def _reply_or_refusal(connection: Connection) -> Any:
    try:
        return connection.receive()
    except JournalRefused as error:
        return error


class JournalConnection:
    """One connection, opened by the first command and after a failure by the next one.

    `why_away` gives what is known of why the server is away, for whoever owns it; else an empty text.
    """

    def __init__(
        self,
        address: Address,
        timeout_seconds: float,
        read_bytes: int = READ_BYTES_DEFAULT,
        *,
        why_away: Callable[[], str] = str,
    ) -> None:
        self.address = address
        self._why_away = why_away
        self._connection = address.connect(timeout_seconds, read_bytes)

    def call(self, *arguments: bytes | str | int) -> Any:
        """Send one command, once, and return its reply: int, bytes, None or a list of these.

        Raises
        ------
        JournalRefused
            The server answered with an error.
        JournalUnavailable
            There is no server, or no reply in time: whether the command was carried out is unknown. The connection is
            closed, so that a late reply can never be taken for another command's.
        """
        self.send(*arguments)
        return self.receive()

    def send(self, *arguments: bytes | str | int) -> None:
        """Send one command, once; a `receive` must follow for each that was sent. Raises as `call` does."""
        with self._errors():
            self._connection.send_command(*arguments)

    def receive(self) -> Any:
        """Return the reply to the oldest command that has none yet. Raises as `call` does."""
        with self._errors():
            return self._connection.read_response()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except redis.ResponseError as error:
            reply = f"{error.status_code} {error}" if error.status_code else str(error)
            raise JournalRefused(f"Journal server {self.address.describe()}: {reply}", reply) from error
        except (redis.RedisError, OSError) as error:
            self.close()
            why = self._why_away()
            told = f"{why} ({error})" if why else str(error)
            raise JournalUnavailable(f"Journal server {self.address.describe()}: {told}") from error

    def close(self) -> None:
        """Close the connection; the next command opens it again."""
        self._connection.disconnect()
