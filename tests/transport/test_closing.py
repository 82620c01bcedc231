"""One suite for both transports: addresses, and how a transport closes."""

import errno
import os
import signal
import socket
import threading
import time

import grpc
import pytest
from faults.processes import WAIT_SECONDS
from grpc_health.v1 import health_pb2, health_pb2_grpc

from engine.transport import Call
from transport.harness import ECHO, NOT_SERVING, connect, open_any, refused, take_some, wait_for_in_flight, writer


def test_a_port_in_use_is_an_error_that_names_the_address(name):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use") as caught:
            open_any(name, port)
    assert caught.value.errno == errno.EADDRINUSE


def test_a_host_that_is_nowhere_is_an_error_that_names_it(name):
    with pytest.raises(OSError, match=r"cannot listen on nowhere\.invalid:0: .*[Nn]ame or service not known"):
        open_any(name, host="nowhere.invalid")


def test_two_servers_side_by_side(name, transport):
    other = open_any(name)
    other.start()
    assert other.address != transport.address
    with writer(other), connect(other) as channel:
        assert channel.unary_unary(ECHO)(b"other", timeout=WAIT_SECONDS) == b"other"
    other.close(0)
    with writer(transport), connect(transport) as channel:
        assert channel.unary_unary(ECHO)(b"first", timeout=WAIT_SECONDS) == b"first"


def test_only_the_given_host_is_bound(transport):
    host, port = transport.address.split(":")
    assert host == "127.0.0.1"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", int(port)), WAIT_SECONDS)


def test_close_before_start_frees_the_port(name):
    unstarted = open_any(name)
    unstarted.close(0)
    again = open_any(name, int(unstarted.address.split(":")[1]))
    again.close(0)


def test_close_gives_the_calls_in_flight_their_grace(transport, channel):
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
    transport.set_serving(True)
    call = channel.unary_unary(ECHO).future(b"in flight", timeout=WAIT_SECONDS)
    [taken] = take_some(transport)
    queued = channel.unary_unary(ECHO).future(b"queued", timeout=WAIT_SECONDS)
    wait_for_in_flight(transport, channel, 2)
    closing = threading.Thread(target=transport.close, args=(60,))
    closing.start()
    next(state for state in watch if state.status == NOT_SERVING)
    assert refused(queued)[0] is grpc.StatusCode.UNAVAILABLE
    new = channel.unary_unary(ECHO).future(b"new", timeout=WAIT_SECONDS)
    assert refused(new)[0] is grpc.StatusCode.UNAVAILABLE
    assert closing.is_alive()
    transport.reply(taken.call_id, b"answered")
    assert call.result() == b"answered"
    closing.join(WAIT_SECONDS)
    assert not closing.is_alive()


def test_close_ends_what_the_grace_does_not_cover(transport, channel):
    call = channel.unary_unary(ECHO).future(b"in flight", timeout=WAIT_SECONDS)
    [taken] = take_some(transport)
    transport.close(0.05)
    assert refused(call)[0] is grpc.StatusCode.UNAVAILABLE
    transport.reply(taken.call_id, b"too late")
    transport.fail(taken.call_id, 9, "too late", b"")
    transport.set_serving(True)
    assert transport.take(10, 10_000) == []
    assert refused(channel.unary_unary(ECHO).future(b"", timeout=WAIT_SECONDS))[0] is grpc.StatusCode.UNAVAILABLE


def test_close_without_grace_ends_everything(transport, channel):
    calls = [channel.unary_unary(ECHO).future(b"", timeout=WAIT_SECONDS) for _ in range(20)]
    wait_for_in_flight(transport, channel, len(calls))
    take_some(transport, 10)
    transport.close(0)
    assert {refused(call)[0] for call in calls} == {grpc.StatusCode.UNAVAILABLE}


def test_close_loses_no_reply_that_was_given(transport, channel):
    calls = [channel.unary_unary(ECHO).future(b"", timeout=WAIT_SECONDS) for _ in range(100)]
    for call in take_some(transport, len(calls)):
        transport.reply(call.call_id, b"r" * 20_000)
    transport.close(30)
    assert all(call.result() == b"r" * 20_000 for call in calls)


def test_close_wakes_a_writer_that_waits(transport):
    taken: list[list[Call]] = []
    waiting = threading.Thread(target=lambda: taken.append(transport.take(1, 100_000)))
    waiting.start()
    transport.close(1)
    waiting.join(WAIT_SECONDS)
    assert taken == [[]]


def test_a_signal_just_before_the_time_is_up_does_not_make_take_wait_for_ever(transport):
    """The handler outlasts the wait: what is left of it is negative then, which some locks take for no limit."""
    late = threading.Event()

    def handle(*_: object) -> None:
        until = time.monotonic() + 0.2
        while time.monotonic() < until:
            pass
        late.set()

    before = signal.signal(signal.SIGUSR1, handle)
    sender = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
    sender.start()
    try:
        while not late.is_set():
            assert transport.take(1, timeout_ms=100) == []
    finally:
        sender.join()
        signal.signal(signal.SIGUSR1, before)
