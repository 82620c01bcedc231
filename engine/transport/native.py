"""The default transport: pygrpc-native, whose HTTP/2 and gRPC work runs in Rust, outside the GIL.

What it does not serve itself (health, reflection, and the answer for unknown methods) goes to a small grpcio server on
a unix socket behind it.

It has no TLS, and no limit of its own on a message: a request is in memory, decompressed and once more as Python's
bytes, before it is refused here for its size (600 MB for 0.3 MB of gzip on the wire). And its HTTP/2 library closes a
connection on which more than 20 calls were cancelled before it had seen them. Neither can be set; docs/operating.md
says what helps. Where clients are not trusted, the grpcio transport has neither fault.

Calls wait in two places: in the front until they are received, and here until the writer takes them. `Admission` bounds
the second. The first is bounded by time: the writer receives with each group, and where a group takes long, a stand-in
receives instead of it. What can come in 100 ms is at most 128 calls on each connection.
"""

import math
import shutil
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc
from pygrpc_native import EVENT_CANCEL, NativeGrpcFront

from engine.admission import Admission
from engine.transport import METADATA_BYTES_MAX, Call
from engine.transport.aio_server import CLOSING_MESSAGE, AioServer, join_address
from ledger.core.limits import GROUP_BYTES_MAX

if TYPE_CHECKING:  # a type of its stub only
    from pygrpc_native._native import DetailedEvent

_IO_THREADS: Final = 1
"""One thread does the HTTP/2 work of more calls than one writer can decide, and costs less than two that share them."""
_CALLS_PER_CONNECTION_MAX: Final = 128
"""HTTP/2 streams a client may have open on one connection; it waits with more.

Refusing a call costs nearly what answering it costs: HTTP/2 has to be read either way. What is held back at the client
costs nothing. With 1,024 streams, twice the peak left 59 % of it as goodput, with 256 72 %, with 128 77 to 90 %.
"""
_EVENTS_MAX: Final = 1_024
"""Received in one part, so that little of what is refused is in memory twice."""
_PARTS_MAX: Final = 64
"""Everything that is queued is received before anything is handed out: a cancel event stands behind its call."""
_STAND_IN_SECONDS: Final = 0.1
"""Longer than nearly every group, and short enough for "at once"."""
_CLOSE_POLL_SECONDS: Final = 0.01

_DEADLINE_EXCEEDED: Final[int] = grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
_RESOURCE_EXHAUSTED: Final[int] = grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
_UNAVAILABLE: Final[int] = grpc.StatusCode.UNAVAILABLE.value[0]


class NativeTransport:
    """See `engine.transport.Transport`.

    Call details cost 1 to 2 µs a call. They are what brings deadlines and the cancel events of unary calls, without
    which a call nobody waits for would be decided all the same.
    """

    def __init__(
        self,
        host: str,
        port: int,
        methods: Sequence[str],
        service_names: Sequence[str],
        *,
        request_bytes_max: int,
        admission: Admission,
    ) -> None:
        self._front = _bind(join_address(host, port), methods)
        self.address = join_address(host, self._front.bound_port)
        self._socket_folder = Path(tempfile.mkdtemp(prefix="onhand-"))  # readable by this user only
        try:
            socket_path = self._socket_folder / "grpc.sock"
            self._sidecar = AioServer(f"unix:{socket_path}", service_names)
            self._front.set_fallback(str(socket_path))
        except BaseException:
            self._front.close()
            shutil.rmtree(self._socket_folder)
            raise
        self._request_bytes_max = request_bytes_max
        self._admission = admission
        self._queued: dict[int, tuple[float, Call]] = {}  # by call id: expires at (time.monotonic), the call
        self._taken: set[int] = set()  # ids of calls that the writer has and nobody has answered
        self._receiving = threading.Lock()  # the writer receives, and while it is busy or the transport closes, others
        self._received_at = time.monotonic()
        self._closing = False
        self._closed = threading.Event()
        self._stand_in = threading.Thread(target=self._stand_in_for_the_writer, name="onhand-stand-in", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._sidecar.start()
        self._front.start()
        self._stand_in.start()

    def take(self, max_calls: int, timeout_ms: int, max_bytes: int = GROUP_BYTES_MAX) -> list[Call]:
        """Return the calls that wait, at most `max_calls` and about `max_bytes`."""
        until = time.monotonic() + timeout_ms / 1000
        wait_ms = 0 if self._queued else timeout_ms
        with self._receiving:
            while self._receive(wait_ms):
                calls = self._hand_out(max_calls, max_bytes)
                wait_ms = math.ceil((until - time.monotonic()) * 1000)
                if calls or wait_ms <= 0:
                    return calls
        return []

    def _receive(self, wait_ms: int) -> bool:
        """Sort all that the front has, after waiting for the first of it; tells whether the front is open."""
        for _ in range(_PARTS_MAX):
            events = self._front.recv_batch_details(_EVENTS_MAX, wait_ms)
            if events is None:
                return False
            self._sort(events)
            if len(events) < _EVENTS_MAX:
                break
            wait_ms = 0
        self._received_at = time.monotonic()
        return True

    def _sort(self, events: "list[DetailedEvent]") -> None:
        """Queue the calls that are admitted, refuse the others and forget the cancelled ones."""
        now, admits, queued = time.monotonic(), self._admission.admits, self._queued
        for kind, call_id, method, payload, _, details in events:
            if kind == EVENT_CANCEL:  # the client cancelled or went away, or the deadline passed
                self._forget(call_id)
                continue
            assert payload is not None
            assert details is not None
            if len(payload) > self._request_bytes_max:
                self._front.fail(call_id, _RESOURCE_EXHAUSTED, _oversize_message(len(payload), self._request_bytes_max))
                continue
            if not admits(method, len(payload)):
                self._fail(call_id, *self._admission.refusal())
                continue
            remaining_seconds = details[2]
            expires_at = math.inf if remaining_seconds is None else now + remaining_seconds
            queued[call_id] = (expires_at, Call(call_id, method, payload, now))

    def _forget(self, call_id: int) -> None:
        self._taken.discard(call_id)
        if (queued := self._queued.pop(call_id, None)) is not None:
            self._admission.drop(len(queued[1].payload))

    def _stand_in_for_the_writer(self) -> None:
        """Receive while the writer is busy for long, such as with a journal that hangs: refusals cannot wait for it."""
        while not self._closed.wait(_STAND_IN_SECONDS):
            if time.monotonic() - self._received_at < _STAND_IN_SECONDS or not self._receiving.acquire(blocking=False):
                continue
            try:
                self._receive(0)
            finally:
                self._receiving.release()

    def _hand_out(self, max_calls: int, max_bytes: int) -> list[Call]:
        """Move the oldest queued calls to the writer; while the transport closes, refuse them all."""
        if self._closing:
            for call_id in tuple(self._queued):
                self._front.fail(call_id, _UNAVAILABLE, CLOSING_MESSAGE)
                self._forget(call_id)
            return []
        now = time.monotonic()
        calls: list[Call] = []
        expired: list[int] = []
        taken_bytes = 0
        for call_id, (expires_at, call) in self._queued.items():
            if len(calls) == max_calls or taken_bytes >= max_bytes:
                break
            if expires_at <= now:
                expired.append(call_id)
            else:
                calls.append(call)
                taken_bytes += len(call.payload)
        for call_id in expired:
            self._front.fail(call_id, _DEADLINE_EXCEEDED, "Deadline Exceeded")
            self._forget(call_id)
        for call in calls:
            self._taken.add(call.call_id)
            del self._queued[call.call_id]
        self._admission.leave(len(calls), taken_bytes)
        return calls

    def reply(self, call_id: int, payload: bytes) -> None:
        """Answer a taken call."""
        self._front.respond(call_id, payload)
        self._taken.discard(call_id)

    def fail(self, call_id: int, code: int, message: str, details: bytes) -> None:
        """Answer a taken call with a status."""
        self._fail(call_id, code, message, details)
        self._taken.discard(call_id)

    def _fail(self, call_id: int, code: int, message: str, details: bytes) -> None:
        self._front.fail(call_id, code, message, [("grpc-status-details-bin", details)] if details else None)

    def in_flight_count(self) -> int:
        """Return how many calls have come whose answer has not left."""
        metrics = self._front.metrics()
        assert metrics is not None
        methods = metrics["methods"].values()
        ended_count = sum(status["count"] for method in methods for status in method["status"].values())
        return int(sum(method["started"] for method in methods) - ended_count)

    def set_serving(self, serving: bool) -> None:
        """Set the health of the server and of all its services."""
        self._sidecar.set_serving(serving)

    def set_ready(self, ready: bool) -> None:
        """Set the health that readiness probes ask for."""
        self._sidecar.set_ready(ready)

    def close(self, grace_seconds: float) -> None:
        """Stop serving and return when that is done."""
        if self._closing:
            return
        self._closing = True
        self._sidecar.drain()
        until = time.monotonic() + grace_seconds
        while time.monotonic() < until and not self._is_settled():
            self._receive_for_a_moment()
        for call_id in tuple(self._taken):
            self._front.fail(call_id, _UNAVAILABLE, CLOSING_MESSAGE)
        self._closed.set()
        if self._stand_in.is_alive():
            self._stand_in.join()
        self._front.close()
        self._sidecar.stop(0)
        shutil.rmtree(self._socket_folder)

    def _is_settled(self) -> bool:
        """Whether every call is answered and its answer has left: closing the front drops what has not."""
        return not self._taken and self.in_flight_count() == 0

    def _receive_for_a_moment(self) -> None:
        """Refuse new calls, unless the writer sits in `take` and does the same there."""
        if not self._receiving.acquire(timeout=_CLOSE_POLL_SECONDS):
            return
        try:
            self._receive(math.ceil(_CLOSE_POLL_SECONDS * 1000))
            self._hand_out(0, 0)
        finally:
            self._receiving.release()


def _bind(address: str, methods: Sequence[str]) -> NativeGrpcFront:
    """Bind the address; raises OSError that names it."""
    try:
        return NativeGrpcFront(
            address,
            [(path, False) for path in methods],
            io_threads=_IO_THREADS,
            call_details=True,
            metrics=True,  # its counts tell `close` when the last answers have left
            max_concurrent_streams=_CALLS_PER_CONNECTION_MAX,
            max_metadata_size=METADATA_BYTES_MAX,
        )
    except OSError as error:
        reason = str(error.strerror).removeprefix(f"{address}: ")
        raise OSError(error.errno, f"cannot listen on {address}: {reason}") from error


def _oversize_message(payload_bytes: int, payload_bytes_max: int) -> str:
    """Return grpc-core's own words, so that both transports say the same."""
    return f"SERVER: Received message larger than max ({payload_bytes} vs. {payload_bytes_max})"
