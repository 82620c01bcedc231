"""A client for unary gRPC calls that costs a few microseconds a call, so that the load does not eat the engine's cores.

It speaks just enough HTTP/2 (RFC 9113) for this: one thread, no TLS, request headers compressed once per method and
connection, and a header table of size 0 for responses (RFC 7541), which makes equal trailers equal bytes that are
decoded once. grpc.aio makes about 4,000 calls a second on a core; an open loop needs ten times that.
"""

import base64
import select
import socket
import struct
import time
from collections import OrderedDict
from typing import Final, Self

import grpc
import hpack

from bench.load.calls import OK, PATHS, Reply, refusal

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE, _CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
_END_STREAM, _ACK, _END_HEADERS, _PADDED_OR_PRIORITY = 0x1, 0x1, 0x4, 0x28
_HEADER_TABLE_SIZE, _MAX_CONCURRENT_STREAMS, _INITIAL_WINDOW_SIZE = 1, 3, 4
_FRAME: Final = struct.Struct(">IBI")  # length and type in one number, flags, stream id
_SETTING: Final = struct.Struct(">HI")
_MESSAGE: Final = struct.Struct(">BI")  # compressed or not, length
_MESSAGE_HEAD_BYTES: Final = 5
_FRAME_HEAD_BYTES: Final = 9
_FRAME_BYTES_MAX: Final = 16_384  # what either side may send unless told otherwise
_WINDOW_MAX: Final = 2**31 - 1
_WINDOW_DEFAULT: Final = 65_535
_WINDOW_REFILL: Final = 1 << 24
_RECEIVE_BYTES: Final = 1 << 18
_TRAILERS_KEPT_MAX: Final = 4_096
_RECONNECT_SECONDS: Final = 0.1
_CONNECT_TIMEOUT_SECONDS: Final = 1.0
_STREAMS_MAX: Final = 1_024
_STREAM_ID_MAX: Final = 2**31 - 1

# What a gRPC client makes of an HTTP/2 error code (the mapping of the gRPC specification).
_CODE_OF_RESET: Final = {
    7: grpc.StatusCode.UNAVAILABLE,  # REFUSED_STREAM
    8: grpc.StatusCode.CANCELLED,
    11: grpc.StatusCode.RESOURCE_EXHAUSTED,  # ENHANCE_YOUR_CALM
    12: grpc.StatusCode.PERMISSION_DENIED,  # INADEQUATE_SECURITY
}
_LOST: Final = refusal(int(grpc.StatusCode.UNAVAILABLE.value[0]))

Finished = tuple[int, Reply]
"""A call's number and what came of it."""


class ProtocolError(ConnectionError):
    """The server sent what this client does not speak."""


class UnaryClient:
    """Makes unary calls over some connections; one thread.

    `start` puts calls into buffers, `flush` sends what the sockets take, `receive` waits for answers. Calls in flight
    when a connection breaks end as UNAVAILABLE, and the connection is opened again.

    Parameters
    ----------
    address
        "host:port".
    connections
        How many connections share the calls in turn.
    deadline_seconds
        Sent with every call as grpc-timeout; the server ends a call that takes longer.

    Raises
    ------
    OSError
        Nobody listens at the address.
    """

    def __init__(self, address: str, *, connections: int = 4, deadline_seconds: float = 5.0) -> None:
        self._connections = [_Connection(address, deadline_seconds) for _ in range(connections)]
        self._turn = 0
        try:
            for connection in self._connections:
                connection.open()
        except OSError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; calls in flight are forgotten."""
        for connection in self._connections:
            connection.close()

    @property
    def in_flight(self) -> int:
        """How many calls wait for their answer."""
        return sum(len(connection.calls) for connection in self._connections)

    def start(self, number: int, method: str, request: bytes) -> bool:
        """Put one call into a buffer; False if no connection has a stream free, and nothing was done."""
        for _ in self._connections:
            if self._connections[self._turn].start(number, method, request):
                return True
            self._take_turns()
        return False

    def flush(self) -> None:
        """Send what the sockets take; the calls of one flush share a connection, and so a system call."""
        for connection in self._connections:
            connection.flush()
        self._take_turns()

    def _take_turns(self) -> None:
        self._turn = (self._turn + 1) % len(self._connections)

    def receive(self, timeout_seconds: float) -> list[Finished]:
        """Return the calls that ended; wait for one until time is up."""
        finished: list[Finished] = []
        for connection in self._connections:
            connection.end_if_lost(finished)
        if finished:
            return finished
        open_ones = [connection for connection in self._connections if connection.socket is not None]
        blocked = [connection for connection in open_ones if connection.outgoing]
        if not open_ones:
            time.sleep(min(timeout_seconds, _RECONNECT_SECONDS))  # nothing to wait for but the next attempt
            return finished
        readable, writable, _ = select.select(open_ones, blocked, [], timeout_seconds)
        for connection in writable:
            connection.flush()
        for connection in readable:
            connection.receive(finished)
        return finished


class _Connection:
    """One HTTP/2 connection."""

    def __init__(self, address: str, deadline_seconds: float) -> None:
        self._address = address
        self._deadline_seconds = deadline_seconds
        self.socket: socket.socket | None = None
        self.calls: dict[int, int] = {}
        """Numbers of the calls in flight, by stream id."""
        self.outgoing = bytearray()
        self._retry_after = 0.0

    def fileno(self) -> int:
        """Return the socket's, for select."""
        assert self.socket is not None
        return self.socket.fileno()

    def open(self) -> None:
        """Connect and say what we speak."""
        host, _, port = self._address.rpartition(":")
        self.socket = socket.create_connection((host.strip("[]"), int(port)), _CONNECT_TIMEOUT_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(0)  # never blocks from here on
        self._headers = _RequestHeaders(self._address, self._deadline_seconds)
        self._trailers = _Trailers()
        self._payloads: dict[int, bytes] = {}
        self._incoming = b""
        self._next_stream = 1
        self._streams_max = 0  # until the server's settings are here
        self._send_window = _WINDOW_DEFAULT
        self._consumed = 0
        self._is_going_away = False
        settings = _SETTING.pack(_HEADER_TABLE_SIZE, 0) + _SETTING.pack(_INITIAL_WINDOW_SIZE, _WINDOW_MAX)
        self.outgoing = bytearray(_PREFACE + _frame(_SETTINGS, 0, 0, settings))
        self.outgoing += _window_update(_WINDOW_MAX - _WINDOW_DEFAULT)
        self.flush()

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
        self.socket = None

    def end_if_lost(self, finished: list[Finished]) -> None:
        """End the calls of a broken connection, and open it again from time to time."""
        if self.socket is not None:
            return
        finished.extend((number, _LOST) for number in self.calls.values())
        self.calls.clear()
        if time.monotonic() < self._retry_after:
            return
        self._retry_after = time.monotonic() + _RECONNECT_SECONDS
        try:
            self.open()
        except OSError:
            self.close()

    # ---- sending

    def start(self, number: int, method: str, request: bytes) -> bool:
        length = _MESSAGE_HEAD_BYTES + len(request)
        if self.socket is None or len(self.calls) >= self._streams_max or self._send_window < length:
            return False
        if self._is_going_away or self._next_stream > _STREAM_ID_MAX:
            return False
        assert length <= _FRAME_BYTES_MAX, "requests of load tests are small"
        stream, block = self._next_stream, self._headers.block(method)
        self._next_stream += 2
        self._send_window -= length
        self.calls[stream] = number
        self.outgoing += b"".join(
            (
                _FRAME.pack(len(block) << 8 | _HEADERS, _END_HEADERS, stream),
                block,
                _FRAME.pack(length << 8 | _DATA, _END_STREAM, stream),
                _MESSAGE.pack(0, len(request)),
                request,
            )
        )
        return True

    def flush(self) -> None:
        if not self.outgoing or self.socket is None:
            return
        try:
            sent = self.socket.send(self.outgoing)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        del self.outgoing[:sent]

    # ---- receiving

    def receive(self, finished: list[Finished]) -> None:
        """Read what is there and append the calls it ends."""
        assert self.socket is not None
        try:
            received = self.socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self.close()
            return
        self._read_frames(self._incoming + received, finished)

    def _read_frames(self, data: bytes, finished: list[Finished]) -> None:
        """Walk the frames; this loop runs three times for each call."""
        position, end_of_data = 0, len(data)
        unpack, payloads, calls = _FRAME.unpack_from, self._payloads, self.calls
        while position + _FRAME_HEAD_BYTES <= end_of_data:
            length_and_type, flags, stream = unpack(data, position)
            start = position + _FRAME_HEAD_BYTES
            end = start + (length_and_type >> 8)
            if end > end_of_data:
                break
            position = end
            kind = length_and_type & 0xFF
            if kind == _HEADERS:
                if flags & _END_STREAM and stream in calls:
                    code, reply = self._trailers.read(data[start:end], flags)
                    payload = payloads.pop(stream, b"")
                    number = calls.pop(stream)
                    finished.append((number, Reply(OK, payload[_MESSAGE_HEAD_BYTES:]) if code == OK else reply))
            elif kind == _DATA:
                self._consumed += end - start
                if end > start:
                    payloads[stream] = payloads[stream] + data[start:end] if stream in payloads else data[start:end]
            else:
                self._control(kind, flags, stream, data[start:end], finished)
        self._incoming = data[position:]
        if self._consumed >= _WINDOW_REFILL:
            self.outgoing += _window_update(self._consumed)
            self._consumed = 0
            self.flush()

    def _control(self, kind: int, flags: int, stream: int, content: bytes, finished: list[Finished]) -> None:
        """Deal with a frame that belongs to the connection, or resets a stream."""
        if kind == _SETTINGS and not flags & _ACK:
            self._settle(content)
        elif kind == _PING and not flags & _ACK:
            self.outgoing += _frame(_PING, _ACK, 0, content)
        elif kind == _WINDOW_UPDATE and stream == 0:
            self._send_window += int.from_bytes(content, "big")
        elif kind == _GOAWAY:
            self._is_going_away = True
        elif kind == _RST_STREAM and stream in self.calls:
            self._payloads.pop(stream, None)
            code = _CODE_OF_RESET.get(int.from_bytes(content, "big"), grpc.StatusCode.INTERNAL)
            finished.append((self.calls.pop(stream), refusal(int(code.value[0]))))
        elif kind == _CONTINUATION:
            raise ProtocolError(f"expected trailers of one frame, was {len(content)} bytes more")

    def _settle(self, content: bytes) -> None:
        self._streams_max = self._streams_max or _STREAMS_MAX
        for key, value in _SETTING.iter_unpack(content):
            if key == _MAX_CONCURRENT_STREAMS:
                self._streams_max = min(value, _STREAMS_MAX)
        self.outgoing += _frame(_SETTINGS, _ACK, 0, b"")


class _RequestHeaders:
    """Header blocks by method: said in full once, then by their place in the connection's table."""

    def __init__(self, address: str, deadline_seconds: float) -> None:
        self._encoder = hpack.Encoder()
        self._address = address
        self._timeout = f"{round(deadline_seconds * 1000)}m"
        self._blocks: dict[str, bytes] = {}

    def block(self, method: str) -> bytes:
        """Return the block to send now; the first for a method also fills the table, so the others move in it."""
        if method in self._blocks:
            return self._blocks[method]
        fields = self._fields(PATHS.get(method, method))
        first = self._encoder.encode(fields)
        self._blocks = {known: self._encoder.encode(self._fields(PATHS.get(known, known))) for known in self._blocks}
        self._blocks[method] = self._encoder.encode(fields)
        return first

    def _fields(self, path: str) -> list[tuple[str, str]]:
        return [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", self._address),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("grpc-timeout", self._timeout),
        ]


class _Trailers:
    """Status and details of trailers, by their bytes: most answers of a run end with one of a few blocks."""

    def __init__(self) -> None:
        self._decoder = hpack.Decoder()
        self._known: OrderedDict[bytes, tuple[int, Reply]] = OrderedDict()

    def read(self, block: bytes, flags: int) -> tuple[int, Reply]:
        """Return the status code, and the reply for a code other than OK."""
        found = self._known.get(block)
        if found is None:
            if not flags & _END_HEADERS or flags & _PADDED_OR_PRIORITY:
                raise ProtocolError(f"expected plain trailers of one frame, was flags {flags:#x}")
            found = self._known[block] = self._decode(block)
            if len(self._known) > _TRAILERS_KEPT_MAX:
                self._known.popitem(last=False)
        return found

    def _decode(self, block: bytes) -> tuple[int, Reply]:
        fields = {str(name): str(value) for name, value in self._decoder.decode(block)}
        code = int(fields.get("grpc-status", grpc.StatusCode.UNKNOWN.value[0]))
        details = fields.get("grpc-status-details-bin", "")
        return code, refusal(code, base64.b64decode(details + "=" * (-len(details) % 4)))


def _frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return _FRAME.pack(len(content) << 8 | kind, flags, stream) + content


def _window_update(size: int) -> bytes:
    return _frame(_WINDOW_UPDATE, 0, 0, size.to_bytes(4, "big"))
