"""A grpc.aio server on uvloop in a thread of its own, with health and reflection.

Both transports stand on it: `grpcio` adds its calls to it, `native` keeps it behind a unix socket for what
pygrpc-native does not serve itself.
"""

import asyncio
import errno
import socket
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, Final, TypeVar

import grpc
import grpc.aio
import uvloop
from google.protobuf import descriptor_pool
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer  # health.aio, where type checkers find it
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha._async import ReflectionServicer

CLOSING_MESSAGE: Final = "the server is closing: call again, with the same request_id, on a server that is up"

LIVENESS: Final = "liveness"
READINESS: Final = "readiness"
"""Names under which probes ask for health: whether the process lives, and whether it does what it is for."""

_T = TypeVar("_T")
_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING
_REFLECTION_V1: Final = "grpc.reflection.v1.ServerReflection"


class AioServer:
    """The server, its loop and its thread; every public method is called from other threads than the loop's.

    Raises OSError where the address cannot be bound.
    """

    def __init__(
        self,
        address: str,
        service_names: Sequence[str],
        options: Sequence[tuple[str, int]] = (),
        handlers: Sequence[grpc.GenericRpcHandler] = (),
    ) -> None:
        for service_name in service_names:  # a service whose _pb2 module nobody imported is a bug of ours
            descriptor_pool.Default().FindServiceByName(service_name)
        self._is_started = False
        self._is_stopped = False
        self._stopping = threading.Lock()  # nothing is asked of the loop while it ends
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="onhand-grpc-aio", daemon=True)
        self._thread.start()
        try:
            self.port = self.run(self._open(address, service_names, options, handlers))
        except BaseException:
            self._stop_loop()
            raise

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine on the loop and wait for what it returns."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    async def _open(
        self,
        address: str,
        service_names: Sequence[str],
        options: Sequence[tuple[str, int]],
        handlers: Sequence[grpc.GenericRpcHandler],
    ) -> int:
        """Build the server and bind it; return the port."""
        # Without SO_REUSEPORT a port that is in use is an error, not a silent second server.
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0), *options])
        self._server.add_generic_rpc_handlers(tuple(handlers))
        self._health = _Health()
        self._health_names = ("", *service_names)
        await self._set_status(_NOT_SERVING, (*self._health_names, LIVENESS, READINESS))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)  # type: ignore[no-untyped-call]
        _add_reflection(self._server, (*service_names, health.SERVICE_NAME, reflection.SERVICE_NAME))
        try:
            return self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise _bind_error(address) from error

    def start(self) -> None:
        """Begin to serve."""
        self._is_started = True
        self._show(serving=True, names=(LIVENESS,))
        self.run(self._server.start())

    def set_serving(self, serving: bool) -> None:
        """Set the health of the server and of all its services; ignored once it drains."""
        self._show(serving=serving, names=self._health_names)

    def set_ready(self, ready: bool) -> None:
        """Set the health that readiness probes ask for; ignored once it drains."""
        self._show(serving=ready, names=(READINESS,))

    def _show(self, *, serving: bool, names: Sequence[str]) -> None:
        with self._stopping:
            if not self._is_stopped:
                self.run(self._set_status(_SERVING if serving else _NOT_SERVING, names))

    async def _set_status(self, status: health_pb2.HealthCheckResponse.ServingStatus, names: Sequence[str]) -> None:
        for name in names:
            await self._health.set(name, status)

    def drain(self) -> None:
        """Make health NOT_SERVING for good."""
        self.run(self._health.enter_graceful_shutdown())

    def stop(self, grace_seconds: float) -> None:
        """End the server, its loop and its thread; calls that are running have this long to end."""
        if not self._is_started:
            self.start()  # grpc-core gives a port back only when a server that has started stops
        self._health.end_watches(self.loop)
        self.run(self._server.stop(grace_seconds))
        with self._stopping:
            self._is_stopped = True
            self._stop_loop()

    def _stop_loop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class _Health(HealthServicer):
    """The library's servicer, whose watches also end when the server does instead of holding it up."""

    def __init__(self) -> None:
        super().__init__()
        self._ended = asyncio.Event()

    def end_watches(self, loop: asyncio.AbstractEventLoop) -> None:
        """End every watch with UNAVAILABLE."""
        loop.call_soon_threadsafe(self._ended.set)

    async def Watch(  # noqa: N802 - the contract's name
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse],
    ) -> None:
        """Send the status and each change of it, until the client or the server ends."""
        watch = asyncio.ensure_future(super().Watch(request, context))
        ended = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait((watch, ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            watch.cancel()
            ended.cancel()
        await context.abort(grpc.StatusCode.UNAVAILABLE, CLOSING_MESSAGE)


def _add_reflection(server: grpc.aio.Server, service_names: Sequence[str]) -> None:
    """Add reflection v1alpha, and v1 by the same servicer: both have the same messages on the wire."""
    servicer = ReflectionServicer(service_names)  # type: ignore[no-untyped-call]
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    v1 = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    handler = grpc.method_handlers_generic_handler(_REFLECTION_V1, {"ServerReflectionInfo": v1})
    server.add_generic_rpc_handlers((handler,))


def join_address(host: str, port: int) -> str:
    """Return "host:port", with brackets around an IPv6 host."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bind_error(address: str) -> OSError:
    """Return the reason why an address cannot be bound: grpcio only says that it cannot."""
    try:
        _try_to_bind(address)
    except OSError as error:
        return OSError(error.errno, f"cannot listen on {address}: {error.strerror}")
    return OSError(errno.EADDRNOTAVAIL, f"cannot listen on {address}")


def _try_to_bind(address: str) -> None:
    """Listen for a moment on a TCP address or a unix socket; raises the system's own OSError."""
    if address.startswith("unix:"):
        raise OSError(errno.EINVAL, "the socket's path is too long or its folder is not writable: set TMPDIR")
    host, _, port = address.rpartition(":")
    family, kind, protocol, _, resolved = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.bind(resolved)
        probe.listen()
