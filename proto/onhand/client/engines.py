"""The engines of a shard that a client knows, and the one that it asks, without any I/O of its own.

One of them is the primary and answers; the others refuse. Only trying tells which is which.
"""

import threading
from collections import deque
from collections.abc import Container, Sequence

from onhand.client.limits import LEARNED_MAX


class Engines:
    """Addresses of engines; any number of threads may share it.

    Parameters
    ----------
    address
        One gRPC target, or several: the engines of one shard. The first is asked first.

    Raises
    ------
    ValueError
        No address was given.
    """

    def __init__(self, address: str | Sequence[str]) -> None:
        self._given = (address,) if isinstance(address, str) else tuple(dict.fromkeys(address))
        if not all(self._given) or not self._given:
            raise ValueError(f"address: expected one gRPC target or several, none of them empty, was {address!r}")
        self._learned: deque[str] = deque(maxlen=LEARNED_MAX)
        self._lock = threading.Lock()
        self.current = self._given[0]
        """The engine to ask."""

    def __len__(self) -> int:
        """Return how many are known."""
        return len(self._given) + len(self._learned)

    def turn_from(self, engine: str, primary: str, asked: Container[str]) -> None:
        """Ask another engine than this one from now on; nothing happens if another one is asked already.

        Parameters
        ----------
        engine
            The one that did not do its part.
        primary
            The one that it named instead; empty if none.
        asked
            Those that were tried in vain just now. One of them is not tried again on another's word, which may be old
            or lead nowhere from here: then it is the next one's turn.
        """
        with self._lock:
            if self.current != engine:
                return
            if primary and primary not in asked:
                self.current = self._known(primary)
            else:
                self.current = self._after(engine, asked)

    def _known(self, primary: str) -> str:
        """Return an address, after noting it; the one that was learned first is forgotten if they are too many."""
        if primary not in self._given and primary not in self._learned:
            self._learned.append(primary)
        return primary

    def _after(self, engine: str, asked: Container[str]) -> str:
        """Return the next address, if there is one of those that were not tried yet."""
        ring = (*self._given, *self._learned)
        place = ring.index(engine) + 1
        others = ring[place:] + ring[:place]
        return next((each for each in others if each not in asked), others[0])
