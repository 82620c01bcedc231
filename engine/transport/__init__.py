"""The seam between gRPC and the single writer: calls come in by `take`, answers go out by `reply` and `fail`.

The writer is a plain synchronous loop. It takes every call that is there, decides them as one group and answers them by
id; HTTP/2, deadlines, cancellation, health and reflection happen behind the seam, in threads the writer never sees:

    transport = open_transport("native", host="127.0.0.1", port=50051, methods=..., admission=...)
    transport.start()
    transport.set_serving(True)
    while not stopping:
        for call in transport.take(max_calls=4096, timeout_ms=100):
            transport.reply(call.call_id, answer(call.method, call.payload))
    transport.close(grace_seconds=5)

Two transports keep this contract, and one test suite runs on both: `native` (pygrpc-native: HTTP/2 in Rust, outside the
GIL) and `grpcio` (grpc.aio on uvloop, the reference).
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from engine.admission import Admission
from ledger.core.limits import GROUP_BYTES_MAX

__all__ = ["METADATA_BYTES_MAX", "Call", "Transport", "open_transport"]

METADATA_BYTES_MAX: Final = 16 * 1024
"""Metadata of one call, as HTTP/2 counts a header list: 32 bytes more for each entry. More is refused."""


class Call(NamedTuple):
    """One unary call that waits for its answer."""

    call_id: int
    """Names the call in `reply` and `fail`; never used twice by one transport."""
    method: int
    """Position in the table of method paths the transport was opened with."""
    payload: bytes
    """The serialized request, at most `request_bytes_max` bytes."""
    received_at: float = 0.0
    """When it was received, on time.monotonic's scale."""


class Transport(Protocol):
    """What the writer sees of a gRPC server.

    `take`, `reply` and `fail` belong to one thread, the writer. The other methods may be called from any thread.

    Calls that come while as many wait as `Admission` lets are refused with OVERLOADED behind the seam, also while the
    writer is busy: `grpcio` refuses when a call comes, `native` when it next receives, which it does within 100 ms.
    """

    address: str
    """Where clients connect, "127.0.0.1:50051": with the real port also where port 0 asked for a free one."""

    def start(self) -> None:
        """Begin to serve. Health is NOT_SERVING until `set_serving` says otherwise."""

    def take(self, max_calls: int, timeout_ms: int, max_bytes: int = GROUP_BYTES_MAX) -> list[Call]:
        """Return the calls that wait, oldest first and at most `max_calls`; block until there is one or time is up.

        No more calls are taken once their payloads have `max_bytes` together.

        A timeout of 0 polls. Calls that were cancelled or whose deadline has passed are dropped here, before anything
        is decided for them: they are answered DEADLINE_EXCEEDED or vanish, and are never returned. Once the transport
        is closed the answer is an empty list at once.

        A signal's Python handler runs when this returns (`native`) or at once (`grpcio`): keep timeouts short.
        """

    def reply(self, call_id: int, payload: bytes) -> None:
        """Answer a taken call with its serialized response; ignored where the client has gone away."""

    def fail(self, call_id: int, code: int, message: str, details: bytes) -> None:
        """Answer a taken call with a status; ignored where the client has gone away.

        `code` is a gRPC status code other than OK. `details` is a serialized google.rpc.Status and becomes the trailer
        grpc-status-details-bin; empty means none.
        """

    def in_flight_count(self) -> int:
        """Return how many calls have come whose answer has not left: those that wait, and those the writer has."""

    def set_serving(self, serving: bool) -> None:
        """Set the grpc.health.v1 status of "" and of every service; ignored once the transport closes.

        That of "liveness" is SERVING from `start` until the transport closes.
        """

    def set_ready(self, ready: bool) -> None:
        """Set the grpc.health.v1 status of "readiness"; ignored once the transport closes."""

    def close(self, grace_seconds: float) -> None:
        """Stop serving and return when that is done; safe to call twice.

        From the first moment health is NOT_SERVING, and calls that are new or not yet taken end with UNAVAILABLE. The
        grace is for calls the writer has taken and for replies on their way out; what is unanswered after it ends with
        UNAVAILABLE too. With no grace, replies given just before may be lost.
        """


def open_transport(
    name: str,
    *,
    host: str,
    port: int,
    methods: Sequence[str],
    service_names: Sequence[str],
    request_bytes_max: int,
    admission: Admission,
) -> Transport:
    """Bind the address and return the transport, which serves once it is started.

    Parameters
    ----------
    name
        "native" or "grpcio".
    host, port
        Only this address is bound; port 0 picks a free one.
    methods
        Full paths, "/onhand.inventory.v1.ReservationService/ReserveStock". Every other path is UNIMPLEMENTED.
    service_names
        What health and reflection answer for. Their generated `_pb2` modules are already imported by whoever made the
        table of methods, so that reflection finds their descriptors.
    request_bytes_max
        Larger requests are refused with RESOURCE_EXHAUSTED.
    admission
        How much may wait; for this transport alone.

    Raises
    ------
    OSError
        The address cannot be bound; the message names it.
    ValueError
        No transport has this name.
    """
    # Only the chosen transport is imported: pygrpc-native has no wheel for every platform grpcio runs on.
    if name == "native":
        from engine.transport.native import NativeTransport  # noqa: PLC0415 - see above

        return NativeTransport(
            host, port, methods, service_names, request_bytes_max=request_bytes_max, admission=admission
        )
    if name == "grpcio":
        from engine.transport.grpcio import GrpcioTransport  # noqa: PLC0415 - see above

        return GrpcioTransport(
            host, port, methods, service_names, request_bytes_max=request_bytes_max, admission=admission
        )
    raise ValueError(f'transport: expected "native" or "grpcio", was "{name}".')
