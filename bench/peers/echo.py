"""A gRPC server that does nothing, answering each call with the bytes that came in.

    grpc.aio   on uvloop: the most that Python's own gRPC server can do on a machine
    native     the engine's own transport, and nothing behind it: the most that an engine could do

`python -m bench.peers.echo NAME` runs it until its standard input ends, so that it never outlives who started it.
"""

import asyncio
import subprocess
import sys
import threading
from types import TracebackType
from typing import Any, Final, Self

import grpc
import uvloop

from engine.admission import Admission
from engine.transport import open_transport
from ledger.core.limits import REQUEST_BYTES_MAX

SERVICE: Final = "onhand.bench.v1.EchoService"
ECHO_PATH: Final = f"/{SERVICE}/Echo"
COUNT_PATH: Final = f"/{SERVICE}/Count"
STOP_SECONDS: Final = 10.0
CALL_SECONDS: Final = 10.0
CALLS_MAX: Final = 4_096
BYTES_MAX: Final = 64 * 1024 * 1024


class EchoServer:
    """The server in a process of its own; a context manager.

    Parameters
    ----------
    name
        "grpc.aio" or "native".
    """

    def __init__(self, name: str = "grpc.aio") -> None:
        self._name = name

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "bench.peers.echo", self._name]
        self._process = subprocess.Popen(  # noqa: S603 - this Python, this module
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()
        if not self.address:
            raise RuntimeError(f"the echo server ended with exit code {self._process.wait()}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=STOP_SECONDS)  # closes its standard input

    def call_count(self) -> int:
        """Return how many calls were echoed since the start."""
        with grpc.insecure_channel(self.address) as channel:
            count: Any = channel.unary_unary(COUNT_PATH)
            return int.from_bytes(count(b"", timeout=CALL_SECONDS))


class _Echo:
    """The handlers; requests and responses are bytes, so that nothing is decoded."""

    def __init__(self) -> None:
        self._count = 0

    async def echo(self, request: bytes, _: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        self._count += 1
        return request

    async def count(self, _: bytes, __: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return self._count.to_bytes(8)


async def _serve() -> None:
    echo = _Echo()
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Echo": grpc.unary_unary_rpc_method_handler(echo.echo),
        "Count": grpc.unary_unary_rpc_method_handler(echo.count),
    }
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)  # noqa: T201 - for who started us
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(grace=None)


def _serve_natively() -> None:
    transport = open_transport(
        "native",
        host="127.0.0.1",
        port=0,
        methods=(ECHO_PATH, COUNT_PATH),
        service_names=(),
        request_bytes_max=REQUEST_BYTES_MAX,
        admission=Admission(CALLS_MAX, BYTES_MAX, method_count=2),
    )
    transport.start()
    print(transport.address, flush=True)  # noqa: T201 - for who started us
    reader = threading.Thread(target=sys.stdin.read, daemon=True)  # ends with the standard input
    reader.start()
    echoed = 0
    while reader.is_alive():
        for call in transport.take(max_calls=CALLS_MAX, timeout_ms=100):
            is_echo = call.method == 0
            echoed += is_echo
            transport.reply(call.call_id, call.payload if is_echo else echoed.to_bytes(8))
    transport.close(grace_seconds=0)


if __name__ == "__main__":
    if sys.argv[1:] == ["native"]:
        _serve_natively()
    else:
        uvloop.run(_serve())
