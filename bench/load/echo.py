"""A server that sends back what comes, as fast as the transport can: what is left is the generator's own limit."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pygrpc_native import EVENT_CALL, NativeGrpcFront

from bench.load.calls import PATHS

_EVENTS_MAX: Final = 65_536
_IDLE_MS: Final = 100
_STOP_SECONDS: Final = 10.0


@contextmanager
def echo_process() -> Iterator[str]:
    """Run the server in a process of its own; yields its address."""
    command = [sys.executable, "-m", "bench.load.echo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own command
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()
            process.wait(_STOP_SECONDS)


def serve() -> None:
    """Print the address and serve until killed."""
    front = NativeGrpcFront("127.0.0.1:0", [(PATHS["ReserveStock"], False)], io_threads=1)
    front.start()
    print(f"127.0.0.1:{front.bound_port}", flush=True)  # noqa: T201 - for who started us
    while (events := front.recv_batch(_EVENTS_MAX, _IDLE_MS)) is not None:
        for kind, call_id, _, payload, _ in events:
            if kind == EVENT_CALL and payload is not None:
                front.respond(call_id, payload)


if __name__ == "__main__":
    serve()
