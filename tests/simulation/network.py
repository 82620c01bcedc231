"""Connections between engines and the journal server that lose, delay and repeat what the seed says."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ledger.journal.connection import Address
from ledger.journal.errors import JournalRefused, JournalUnavailable

from .server import Argument, ServerCrashed, ServerError

if TYPE_CHECKING:
    from .engines import Engine
    from .world import World

FATES: Final = ("lost", "unanswered", "late", "late", "twice", "cut_before")
"""What can happen to a command, beside that it is carried out and answered.

lost         cut before the server got it
unanswered   carried out; cut before the reply came
late         no reply in time; carried out later, perhaps after the client has connected again
twice        carried out and answered, and carried out once more later
cut_before   the connection is found to be cut when the command is sent
"""


@dataclass
class Sent:
    """A command on its way."""

    arguments: tuple[Argument, ...]
    fate: str
    run: int
    """Of the server, when it was sent: a server that restarted has lost what waited in its sockets."""
    reply: Any = None
    is_done: bool = False


class Connection:
    """One connection of an engine, with the interface of `ledger.journal.connection.JournalConnection`."""

    def __init__(self, world: World, engine: Engine, address: Address, timeout_seconds: float) -> None:
        self.address = address
        self._world = world
        self._engine = engine
        self._generation = engine.generation
        self._timeout_seconds = timeout_seconds
        self._sent: deque[Sent] = deque()
        self._run = 0  # of the server it is connected to; 0 while it is not

    def call(self, *arguments: Argument) -> Any:
        """Send one command and return its reply."""
        self.send(*arguments)
        return self.receive()

    def send(self, *arguments: Argument) -> None:
        """Send one command."""
        self._seam(arguments)
        server = self._world.server
        if self._run not in {0, server.run}:
            self._fail("cut: the server restarted")
        if not server.is_up:
            self._fail("connection refused")
        self._run = server.run
        fate = self._world.fate()
        if fate == "cut_before":
            self._fail("cut before sending", arguments)
        sent = Sent(arguments, fate, server.run)
        is_next = all(before.is_done for before in self._sent)  # what is sent on one connection arrives in order
        self._sent.append(sent)
        if fate == "ok" and is_next and not server.is_hung and self._world.happens(0.5):
            self._execute(sent)

    def receive(self) -> Any:
        """Return the reply to the oldest command that has none yet."""
        sent = self._sent[0]
        self._seam(sent.arguments)
        if sent.run == self._world.server.run and self._world.server.is_hung:
            self._wait_for_hung(sent)
        self._sent.popleft()
        match sent.fate:
            case "lost":
                self._fail("cut", sent.arguments)
            case "unanswered":
                self._execute(sent)
                self._fail("cut after it was carried out", sent.arguments)
            case "late":
                self._sent.appendleft(sent)
                self._world.sleep(self._engine, self._timeout_seconds)
                self._fail("no reply in time", sent.arguments)
        self._execute(sent)
        if sent.fate == "twice":
            self._world.deliver_later([Sent(sent.arguments, "late", sent.run)])
        if isinstance(sent.reply, ServerError):
            reply = str(sent.reply)
            self._world.note(self._engine.name, "refused", reply)
            raise JournalRefused(f"Journal server {self.address.describe()}: {reply}", reply)
        return sent.reply

    def close(self) -> None:
        """Close the connection; what was sent and not answered may arrive yet, or not."""
        waiting = []
        for sent in self._sent:
            if sent.fate == "lost" or self._world.happens(0.3):
                break
            if not sent.is_done:
                waiting.append(sent)
        if waiting:
            self._world.deliver_later(waiting)
        self._sent.clear()
        self._run = 0

    def _seam(self, arguments: tuple[Argument, ...]) -> None:
        """A place where an engine may stop for a while, or for ever; one that is dead does nothing more."""
        self._engine.live_or_die(self._generation)
        self._world.seam(self._engine, arguments)
        self._engine.live_or_die(self._generation)

    def _execute(self, sent: Sent) -> None:
        """Let the server carry out a command, once, if it is still the one that got it."""
        if sent.is_done:
            return
        if sent.run != self._world.server.run:
            self._fail("cut: the server ended", sent.arguments)
        sent.is_done = True
        self._world.advance(self._world.chance.choice((0, 20, 100, 400)))
        try:
            sent.reply = self._world.execute(sent.arguments, self._engine.name)
        except ServerCrashed:
            self._fail("cut: the server crashed", sent.arguments)

    def _wait_for_hung(self, sent: Sent) -> None:
        """Wait for a server that does not answer now; its kernel keeps what was sent."""
        self._world.sleep(self._engine, min(self._timeout_seconds, self._world.server.hung_seconds_left))
        if self._world.server.is_hung:
            sent.fate = "late"
            self._fail("no reply in time", sent.arguments)

    def _fail(self, why: str, arguments: tuple[Argument, ...] = ()) -> None:
        self._world.note(self._engine.name, "unavailable", why, arguments)
        self.close()
        raise JournalUnavailable(f"Journal server {self.address.describe()}: {why}")
