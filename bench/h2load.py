"""Driving one unary method to its peak with h2load, a client in C that costs less than any server it drives.

h2load sends the same bytes in every request, so such requests carry no request id; where they shall differ, several
h2load run at once. It sees HTTP statuses only: what gRPC answered is in the trailers, so callers check the totals.
"""

import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from google.protobuf.message import Message

from bench.rows import BenchError
from bench.tools import find

CONNECTIONS: Final = 8
STREAMS_PER_CONNECTION: Final = 64
"""Of 1 to 16 connections with 16 to 256 calls in flight, about where both the engine and the echo server peak."""
RUN_SECONDS_MAX: Final = 120.0
DESCRIPTION: Final = f"h2load, {CONNECTIONS} connections with {STREAMS_PER_CONNECTION} calls in flight on each"


FRAME_BYTES: Final = 5
"""What gRPC puts before a message: compressed or not, its length."""


class H2Load(NamedTuple):
    """What h2load did."""

    requests_per_second: float
    body_bytes: int
    """Of all answers, frames included; an error has no body."""
    wrong: list[str]


def run_h2load(address: str, path: str, requests: Sequence[Message], count: int) -> H2Load:
    """Call a method `count` times in all, with one h2load for each request, at once.

    Parameters
    ----------
    address
        HOST:PORT.
    path
        "/package.Service/Method".
    requests
        What to send, one for each h2load; their number divides CONNECTIONS, or is a multiple of it.
    count
        Calls in all; a multiple of the number of requests.

    Raises
    ------
    ToolMissingError
        There is no h2load.
    BenchError
        h2load failed, or took too long.
    """
    assert count % len(requests) == 0
    share = count // len(requests)
    connections = max(1, CONNECTIONS // len(requests))
    streams = CONNECTIONS * STREAMS_PER_CONNECTION // (connections * len(requests))
    flags = ["-n", str(share), "-c", str(connections), "-m", str(streams)]
    headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
    with tempfile.TemporaryDirectory(prefix="onhand-bench-") as folder:
        bodies = [_write_body(Path(folder) / str(number), request) for number, request in enumerate(requests)]
        outputs = _run_at_once(
            [[find("h2load"), *flags, *headers, "-d", str(body), f"http://{address}{path}"] for body in bodies]
        )
    seconds = max(share / _number(r"([\d.]+) req/s", output) for output in outputs)
    succeeded = sum(int(_number(r"status codes: (\d+) 2xx", output)) for output in outputs)
    body_bytes = sum(int(_number(r"\((\d+)\) data", output)) for output in outputs)
    wrong = [] if succeeded == count else [f"h2load: expected {count} answers, was {succeeded}"]
    return H2Load(count / seconds, body_bytes, wrong)


def _write_body(path: Path, request: Message) -> Path:
    """Write a request as gRPC frames it: not compressed, its length, its bytes."""
    body = request.SerializeToString()
    path.write_bytes(b"\0" + len(body).to_bytes(4) + body)
    return path


def _run_at_once(commands: Sequence[Sequence[str]]) -> list[str]:
    """Run commands beside each other and return what they printed."""
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # noqa: S603 - h2load
        for command in commands
    ]
    try:
        outputs = [process.communicate(timeout=RUN_SECONDS_MAX)[0] for process in processes]
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"h2load: expected to end within {RUN_SECONDS_MAX:g} s") from error
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.communicate()
    for process, output in zip(processes, outputs, strict=True):
        if process.returncode:
            raise BenchError(f"h2load ended with exit code {process.returncode}: {output[-500:]}")
    return outputs


def _number(pattern: str, output: str) -> float:
    found = re.search(pattern, output)
    if found is None:
        raise BenchError(f"h2load: expected {pattern} in what it prints, was: {output[-500:]}")
    return float(found[1])
