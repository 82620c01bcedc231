"""What the tests of this folder share."""

import select
import socket
import threading
from collections import deque
from itertools import count
from pathlib import Path

import numpy as np
import psutil
from faults.processes import WAIT_SECONDS, end

from ledger.core.records import IS_REMEMBERED, MOVEMENT, RECORDED, RECORDED_DETAIL, RECORDED_REQUEST, Group
from ledger.journal import embedded
from ledger.journal.connection import Address, JournalConnection
from ledger.journal.embedded import EmbeddedServer
from ledger.journal.entry import CHAIN_START, Entry, encode_entry
from ledger.journal.server_check import parse_info
from ledger.journal.stream import StreamJournal

_shards = count(1)


class Proxy:
    """A unix socket in front of the journal server that does to each append what its plan says next.

    pass          forward it (also when the plan is empty)
    cut_before    close both sides, nothing forwarded
    cut_inside    forward one half of it, close both sides
    cut_after     forward it, wait for the reply, keep the reply, close both sides
    hold          forward nothing, keep the server's side open, let the client time out
    late_first    send the held append and wait for its reply, then forward this one
    """

    def __init__(self, folder: Path, server_path: str) -> None:
        self.path = str(folder / "proxy.sock")
        self.url = f"unix://{self.path}"
        self.plan: deque[str] = deque()
        self.appends_count = 0
        self.late_replies: list[bytes] = []
        self._server_path = server_path
        self._held: tuple[socket.socket, bytes] | None = None
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        self._stopping, self._stop = socket.socketpair()
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def close(self) -> None:
        self._stop.close()
        for thread in [self._accepting, *self._threads]:
            thread.join(WAIT_SECONDS)
            assert not thread.is_alive()
        self._listener.close()
        self._stopping.close()
        if self._held:
            self._held[0].close()

    def release(self) -> None:
        """Let the held append arrive at the server, and keep its reply."""
        assert self._held is not None
        server, request = self._held
        self._held = None
        with server:
            server.sendall(request)
            self.late_replies.append(server.recv(65_536))

    def lead_to(self, server: EmbeddedServer) -> None:
        """Lead new connections to another server, as an address that moves in a failover does."""
        self._server_path = str(server.folder / embedded.SOCKET_NAME)

    def _accept(self) -> None:
        while self._listener in select.select([self._listener, self._stopping], [], [])[0]:
            client = self._listener.accept()[0]
            thread = threading.Thread(target=self._serve, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            try:
                server.connect(self._server_path)
                while self._step(client, server):
                    pass
            except OSError:
                pass  # one of the two sides is gone: so is this connection

    def _step(self, client: socket.socket, server: socket.socket) -> bool:
        ready = select.select([client, server, self._stopping], [], [])[0]
        if self._stopping in ready:
            return False
        if server in ready:
            reply = server.recv(65_536)
            client.sendall(reply)
            return bool(reply)
        request = client.recv(65_536)
        if b"onhand_append" not in request or b"FCALL" not in request:
            server.sendall(request)
            return bool(request)
        self.appends_count += 1
        return self._do(self.plan.popleft() if self.plan else "pass", request, client, server)

    def _do(self, action: str, request: bytes, client: socket.socket, server: socket.socket) -> bool:
        if action == "late_first":
            self.release()
        if action in {"pass", "late_first"}:
            server.sendall(request)
            return True
        if action == "hold":
            self._held = (server.dup(), request)
            select.select([client, self._stopping], [], [])  # until the client gives up
        if action == "cut_inside":
            server.sendall(request[: len(request) // 2])
        if action == "cut_after":
            server.sendall(request)
            assert server.recv(65_536)
        return False


def call(url: str, *arguments: bytes | str | int):
    connection = JournalConnection(Address(url), 5.0)
    try:
        return connection.call(*arguments)
    finally:
        connection.close()


def stored(server: EmbeddedServer, shard: str) -> list[tuple[int, bytes]]:
    with StreamJournal(server.url, shard=shard) as reader:
        return list(reader.read(0))


def server_pid(server: EmbeddedServer) -> int:
    return int(parse_info(call(server.url, "INFO", "server"))["process_id"])


def make_group(first_seq: int = 1, records_count: int = 3) -> Group:
    """Return a group with one request id, two movements and one detail a record."""
    records = np.zeros(records_count, RECORDED)
    records["operation"] = 1
    records["flags"] = IS_REMEMBERED
    records["line_count"] = 2
    records["detail_count"] = 1
    records["reservation_id"] = np.arange(records_count) + first_seq
    requests = np.zeros(records_count, RECORDED_REQUEST)
    requests["request_id_low"] = 2**64 - 1
    movements = np.zeros(2 * records_count, MOVEMENT)
    movements["quantity"] = -(2**40)
    details = np.zeros(records_count, RECORDED_DETAIL)
    details["quantity"] = 7
    return Group(first_seq, 1_700_000_000_000_000, 4, 5, records, requests, movements, details)


def make_payload(first_seq: int, records_count: int = 3, chain: bytes = CHAIN_START) -> tuple[bytes, bytes]:
    return encode_entry(Entry.of_group(make_group(first_seq, records_count), epoch=1), chain)


def kill_server(server: EmbeddedServer) -> None:
    end(psutil.Process(server_pid(server)))
