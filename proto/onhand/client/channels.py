"""The plain grpcio channels that clients stand on: one for each engine that is asked."""

import threading
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

from onhand.client.errors import ClientClosed
from onhand.client.limits import RESPONSE_BYTES_MAX
from onhand.client.wire import EXECUTE_PATH

OPTIONS: Final[list[tuple[str, Any]]] = [
    ("grpc.max_receive_message_length", RESPONSE_BYTES_MAX),
    # A connection of its own, that is gone when the channel is closed, and with it the memory of vain tries to connect.
    ("grpc.use_local_subchannel_pool", 1),
    # It is the client that tries again: it knows other engines, and `retries_max`.
    ("grpc.enable_retries", 0),
    # An engine that was started again is found within a second.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.min_reconnect_backoff_ms", 5_000),  # in fact: how long one attempt to connect may take
]

EXECUTE: Final = attrgetter("execute")
"""The method of bulk calls, of a connection."""


class Connection:
    """A channel to one engine, and how many calls are on their way on it."""

    def __init__(self, engine: str, channel: Any) -> None:
        self.engine = engine
        self.channel = channel
        self.execute: Any = channel.unary_unary(EXECUTE_PATH)
        self.call_count = 0


class Connections:
    """Connections to engines, opened when needed; any number of threads may share it.

    One that is no longer asked is closed when nothing is on its way to it. If its turn comes again, the new connection
    is tried at once, however often the old one failed.

    Parameters
    ----------
    open_channel
        Returns a channel to an address.
    """

    def __init__(self, open_channel: Callable[[str], Any]) -> None:
        self._open_channel = open_channel
        self._open: dict[str, Connection] = {}
        self._lock = threading.Lock()
        self._is_closed = False

    def take(self, engine: str) -> Connection:
        """Return the connection to an engine, for one call.

        Raises
        ------
        ClientClosed
            `close` was called.
        """
        with self._lock:
            if self._is_closed:
                raise ClientClosed("client: it is closed; make a new one.")
            if engine not in self._open:
                self._open[engine] = Connection(engine, self._open_channel(engine))
            self._open[engine].call_count += 1
            return self._open[engine]

    def give_back(self, connection: Connection, current: str) -> list[Any]:
        """Note that a call has ended; returns the channels that the caller is to close.

        Parameters
        ----------
        connection
            The one that the call had.
        current
            The engine that is asked now: its connection stays.
        """
        with self._lock:
            connection.call_count -= 1
            left = [each for each in self._open.values() if each.engine != current and each.call_count == 0]
            for each in left:
                del self._open[each.engine]
        return [each.channel for each in left]

    def close(self) -> list[Any]:
        """Let no call begin any more; returns the channels that the caller is to close."""
        with self._lock:
            self._is_closed = True
            channels = [each.channel for each in self._open.values()]
            self._open.clear()
        return channels
