"""Wrong input: clients that misbehave."""

import contextlib
import socket
import subprocess
import sys
import time
from random import Random

import grpc
import pytest
from harness import PATHS, new_id

from bad_input.harness import nothing_changes


@pytest.mark.parametrize(
    "noise",
    [Random(7).randbytes(4096), b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(500)],
    ids=["random", "http1", "http2"],
)
def test_noise_on_the_port(stage, noise):
    host, port = stage.client.address.split(":")
    with nothing_changes(stage), socket.create_connection((host, int(port)), 20) as stranger:
        with contextlib.suppress(ConnectionError):
            stranger.sendall(noise)
        with contextlib.suppress(OSError):  # it may have closed the connection already
            stranger.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while stranger.recv(4096):
                pass  # until it closes: a timeout fails the test
    assert stage.client.outcome("ReserveStock", stage.request("ReserveStock"))[0] == "OK"


def test_a_deadline_that_has_passed_does_nothing(stage):
    request = stage.request("ReserveStock", new_id())
    with nothing_changes(stage):
        for timeout in (-0.1, -1):
            with pytest.raises(grpc.RpcError) as refused:
                stage.client.reservations.ReserveStock(request, timeout=timeout)
            assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_tiny_deadlines_are_all_or_nothing(stage):
    client = stage.client
    request = client.reserve_request(("A", "X", 1), request_id="")
    accepted = 0
    for number in range(60):
        request.request_id = new_id()
        try:
            client.reservations.ReserveStock(request, timeout=0.0002 * (number % 20))
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED  # noqa: PT017 - either is right
        else:
            accepted += 1
    held = client.level("A", "X").reserved
    assert accepted <= held <= 60
    assert client.verify().ok


def test_a_client_that_vanishes_in_the_middle_of_its_calls(stage):
    client = stage.client
    program = f"""
import os, grpc
channel = grpc.insecure_channel("{client.address}")
call = channel.unary_unary("{PATHS["ReserveStock"]}")
grpc.channel_ready_future(channel).result(20)
calls = [call.future({client.reserve_request(("A", "X", 1)).SerializeToString()!r}) for _ in range(50)]
calls[0].exception()
os._exit(9)
"""
    ended = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    assert ended.returncode == 9
    until = time.monotonic() + 20
    while client.level("A", "X").reserved == 0:
        assert time.monotonic() < until
    assert client.level("A", "X").reserved <= 50
    assert client.verify().ok
