"""One suite for both transports: real servers, real grpcio clients, one writer loop."""

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from faults.processes import WAIT_SECONDS
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from engine.transport import METADATA_BYTES_MAX, Transport
from engine.transport.native import _CALLS_PER_CONNECTION_MAX as CALLS_PER_CONNECTION_MAX
from ledger.core.limits import REQUEST_BYTES_MAX as REQUEST_BYTES_MAX_OF_AN_ENGINE
from transport.harness import (
    DETAILS,
    ECHO,
    FAIL,
    NOT_SERVING,
    OPERATE,
    REQUEST_BYTES_MAX,
    SERVICES,
    check,
    connect,
    open_any,
    refused,
    take_some,
    wait_for_in_flight,
    writer,
)

SERVING = health_pb2.HealthCheckResponse.SERVING


def test_an_unknown_transport_is_refused():
    with pytest.raises(ValueError, match='was "carrier pigeon"'):
        open_any("carrier pigeon")


def test_echo_and_the_method_index(transport, channel):
    with writer(transport) as taken:
        echo = channel.unary_unary(ECHO)
        assert echo(b"one", timeout=WAIT_SECONDS) == b"one"
        assert echo(b"", timeout=WAIT_SECONDS) == b""
        assert echo(b"z" * REQUEST_BYTES_MAX, timeout=WAIT_SECONDS) == b"z" * REQUEST_BYTES_MAX
        refused(channel.unary_unary(FAIL).future(b"two", timeout=WAIT_SECONDS))
    assert [call.method for call in taken] == [0, 0, 0, 1]


def test_many_calls_at_once_each_get_their_own_answer(transport, channel):
    with writer(transport) as taken:
        payloads = [str(number).encode() for number in range(2000)]
        calls = [channel.unary_unary(ECHO).future(payload, timeout=WAIT_SECONDS) for payload in payloads]
        assert [call.result() for call in calls] == payloads
    assert len({call.call_id for call in taken}) == len(payloads)


def test_a_compressed_request_arrives_plain(transport, channel):
    with writer(transport):
        reply = channel.unary_unary(ECHO)(b"a" * 5000, compression=grpc.Compression.Gzip, timeout=WAIT_SECONDS)
    assert reply == b"a" * 5000


def test_a_compressed_bomb_costs_no_more_memory_than_the_limit_of_a_request():
    """Of `native` docs/operating.md says that it does; its library has no setting for it."""
    with server_process("grpcio") as (server, address), grpc.insecure_channel(address) as channel:
        echo = channel.unary_unary(ECHO)
        assert echo(b"warm", timeout=WAIT_SECONDS) == b"warm"
        before = peak_bytes(server.pid)
        bomb = b"\0" * 256_000_000
        calls = [echo.future(bomb, compression=grpc.Compression.Gzip, timeout=60) for _ in range(2)]
        assert {call.exception(60).code() for call in calls} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert peak_bytes(server.pid) - before < 64_000_000
        assert echo(b"next", timeout=WAIT_SECONDS) == b"next"


@contextlib.contextmanager
def server_process(name: str) -> Iterator[tuple[subprocess.Popen, str]]:
    """A transport in a process of its own, which echoes; and its address."""
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent.parent)!r})
from transport.harness import open_any
transport = open_any({name!r})
transport.start()
print(transport.address, flush=True)
while True:
    for call in transport.take(64, 100):
        transport.reply(call.call_id, call.payload)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def peak_bytes(process_id: int) -> int:
    """The most memory that a process has had, by Linux's count."""
    with Path(f"/proc/{process_id}/status").open(encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


@pytest.mark.parametrize("kibibytes", [1, 8, 15])
def test_metadata_up_to_the_limit_is_taken(transport, channel, kibibytes):
    metadata = [("x-note", "v" * (kibibytes * 1024))]
    with writer(transport):
        echo = channel.unary_unary(ECHO)
        for _ in range(10):  # none is refused by chance
            assert echo(b"noted", metadata=metadata, timeout=WAIT_SECONDS) == b"noted"


@pytest.mark.parametrize("kibibytes", [16, 24])
def test_metadata_beyond_the_limit_is_refused_and_bystanders_are_answered(transport, channel, kibibytes):
    metadata = [("x-note", "v" * (kibibytes * 1024))]
    echo = channel.unary_unary(ECHO)
    bystander = echo.future(b"bystander", timeout=WAIT_SECONDS)
    for _ in range(10):
        code, _ = refused(echo.future(b"noted", metadata=metadata, timeout=WAIT_SECONDS))
        # native answers with HTTP status 431, which gRPC has no code for
        assert code in {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNKNOWN}
    with writer(transport) as taken:
        assert bystander.result() == b"bystander"
    assert len(taken) == 1


def test_many_pings_of_an_idle_client_do_not_cut_its_connection(transport):
    options = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.keepalive_time_ms", 10),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    seen: list[grpc.ChannelConnectivity] = []
    with writer(transport), grpc.insecure_channel(transport.address, options) as channel:
        channel.subscribe(seen.append)
        for _ in range(5):
            assert channel.unary_unary(ECHO)(b"a", timeout=WAIT_SECONDS, wait_for_ready=True) == b"a"
            time.sleep(0.1)  # idle: the pings are what this is about
    assert grpc.ChannelConnectivity.TRANSIENT_FAILURE not in seen
    assert seen.count(grpc.ChannelConnectivity.READY) == 1


class Gate:
    """A relay before a server that can hold back what clients send, as a network or a busy machine does."""

    def __init__(self, address: str) -> None:
        host, port = address.split(":")
        self._server = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._is_open = threading.Event()
        self._is_open.set()
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()
        self._serving: list[threading.Thread] = []

    def shut(self) -> None:
        self._is_open.clear()

    def open(self) -> None:
        self._is_open.set()

    def close(self) -> None:
        """Close, after the clients did."""
        self.open()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        for each in self._serving:
            each.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._serving.append(threading.Thread(target=self._serve, args=(client,)))
                self._serving[-1].start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._server) as server:
            back = threading.Thread(target=relay, args=(server, client))
            back.start()
            relay(client, server, self._is_open)
            back.join()


def relay(source: socket.socket, target: socket.socket, gate: threading.Event | None = None) -> None:
    """Pass on what comes until either side ends; while the gate is shut, it waits in the sockets."""
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            if gate:
                gate.wait()
            target.sendall(data)
    for each in (source, target):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


OPERATING = Path(__file__).parent.parent.parent.joinpath("docs", "operating.md").read_text(encoding="utf-8")


RETRIES = OPERATING.partition("```json")[2].partition("```")[0]
"""What it tells clients of other languages to set."""


def test_the_documented_limits_of_a_connection_are_those_that_are_set():
    rows = {cells[1].strip(): cells[2:4] for line in OPERATING.splitlines() if len(cells := line.split("|")) == 5}
    native, reference = rows["metadata of a call"]
    assert native.split(";")[0] == reference.split(";")[0] == f" {METADATA_BYTES_MAX // 1024} KiB"
    assert rows["calls at once on one connection"][0].startswith(f" {CALLS_PER_CONNECTION_MAX}; ")
    for size in rows["bytes of a request"]:
        assert size.startswith(f" {REQUEST_BYTES_MAX_OF_AN_ENGINE // 1024**2} MiB, ")


def patient_calls_beside_hasty_ones(transport: Transport, *options: tuple[str, Any]) -> list[grpc.Future]:
    """Calls that wait on a connection on which a hundred others are cancelled before the server has seen them."""
    gate = Gate(transport.address)
    channel = grpc.insecure_channel(gate.address, [("grpc.use_local_subchannel_pool", 1), *options])
    check(channel)
    echo = channel.unary_unary(ECHO)
    patient = [echo.future(b"patient", timeout=WAIT_SECONDS) for _ in range(5)]
    wait_for_in_flight(transport, channel, len(patient))
    gate.shut()
    hasty = [echo.future(b"hasty", timeout=0.3) for _ in range(100)]
    assert {call.exception(WAIT_SECONDS).code() for call in hasty} == {grpc.StatusCode.DEADLINE_EXCEEDED}
    gate.open()
    with contextlib.suppress(grpc.RpcError):  # the connection may be cut
        check(channel)  # a round trip behind what was held back
    with writer(transport):
        for call in patient:
            call.exception(WAIT_SECONDS)
    channel.close()
    gate.close()
    return patient


def test_patient_calls_beside_hasty_ones_are_answered(transport):
    """By `native` to a client that repeats them; by `grpcio` to each."""
    patient = patient_calls_beside_hasty_ones(transport, ("grpc.service_config", RETRIES))
    assert [call.result() for call in patient] == [b"patient"] * 5


def test_what_hasty_calls_do_to_their_connection(transport, name):
    """If this fails for `native`, its library has learned to be patient: say so in docs/operating.md."""
    patient = patient_calls_beside_hasty_ones(transport, ("grpc.enable_retries", 0))
    if name == "grpcio":
        assert [call.result() for call in patient] == [b"patient"] * 5
    else:
        assert {refused(call)[0] for call in patient} == {grpc.StatusCode.UNAVAILABLE}


def test_fail_carries_code_message_and_details(transport, channel):
    with writer(transport), pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(FAIL)(b"", timeout=WAIT_SECONDS)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert caught.value.details() == "SKU-1 at DC-1 is short: ü, 100 %"
    assert dict(caught.value.trailing_metadata())["grpc-status-details-bin"] == DETAILS


def test_fail_without_details_has_no_trailer(transport, channel):
    call = channel.unary_unary(ECHO).future(b"", timeout=WAIT_SECONDS)
    transport.fail(take_some(transport)[0].call_id, 5, "no such thing", b"")
    assert refused(call) == (grpc.StatusCode.NOT_FOUND, "no such thing")
    assert not dict(call.trailing_metadata())


@pytest.mark.parametrize("path", ["/onhand.inventory.v1.ReservationService/Nope", "/nobody.Service/Nope"])
def test_unknown_methods_are_unimplemented(transport, channel, path):
    with writer(transport) as taken:
        call = channel.unary_unary(path).future(b"", timeout=WAIT_SECONDS)
        assert refused(call) == (grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
    assert taken == []


def test_answers_to_nobody_are_ignored(transport, channel):
    transport.reply(123_456, b"")
    transport.fail(123_456, 9, "nobody", DETAILS)
    call = channel.unary_unary(ECHO).future(b"", timeout=WAIT_SECONDS)
    [taken] = take_some(transport)
    transport.reply(taken.call_id, b"first")
    transport.reply(taken.call_id, b"second")
    transport.fail(taken.call_id, 9, "third", b"")
    assert call.result() == b"first"


def test_take_hands_out_at_most_what_it_is_asked_for_and_oldest_first(transport, channel):
    calls = []
    for number in range(5):  # one after the other: each is known to have arrived before the next is sent
        calls.append(channel.unary_unary(ECHO).future(str(number).encode(), timeout=WAIT_SECONDS))
        wait_for_in_flight(transport, channel, len(calls))
    assert [call.payload for call in transport.take(2, 1000)] == [b"0", b"1"]
    assert [call.payload for call in transport.take(10, 0)] == [b"2", b"3", b"4"]
    assert transport.take(10, 0) == []
    for call in calls:
        call.cancel()


def test_an_empty_take_lasts_as_long_as_its_timeout(transport):
    started = time.monotonic()
    assert transport.take(10, 60) == []
    assert 0.055 < time.monotonic() - started < 5


def test_a_deadline_that_passed_before_take_is_never_returned(transport, channel):
    late = channel.unary_unary(ECHO).future(b"late", timeout=0.05)
    assert refused(late)[0] is grpc.StatusCode.DEADLINE_EXCEEDED
    after = channel.unary_unary(ECHO).future(b"after", timeout=WAIT_SECONDS)
    assert [call.payload for call in take_some(transport)] == [b"after"]
    assert transport.take(10, 0) == []
    after.cancel()


def test_the_server_sees_a_deadline_pass_without_the_clients_help(transport, channel):
    with client_process(transport, timeout_seconds=0.4) as client:
        client.send_signal(signal.SIGSTOP)  # it has called, and now can neither give up nor cancel
        later = channel.unary_unary(ECHO).future(b"", timeout=0.5)
        assert refused(later)[0] is grpc.StatusCode.DEADLINE_EXCEEDED
        wait_for_in_flight(transport, channel, 0)  # their time began when they came
        assert transport.take(10, 0) == []


def test_a_deadline_that_passes_in_the_queue_frees_the_place(name):
    transport = open_any(name, calls_max=1)
    transport.start()
    with connect(transport) as channel:
        early = channel.unary_unary(ECHO).future(b"early", timeout=WAIT_SECONDS)
        assert [call.payload for call in take_some(transport)] == [b"early"]
        late = channel.unary_unary(ECHO).future(b"late", timeout=0.2)
        assert refused(late)[0] is grpc.StatusCode.DEADLINE_EXCEEDED
        assert transport.take(10, 0) == []
        after = channel.unary_unary(ECHO).future(b"after", timeout=WAIT_SECONDS)
        assert [call.payload for call in take_some(transport)] == [b"after"]
        early.cancel()
        after.cancel()
    transport.close(0)


def details_of(call: grpc.Future) -> list[Message]:
    """The two details of an OVERLOADED refusal."""
    status = status_pb2.Status.FromString(dict(call.trailing_metadata())["grpc-status-details-bin"])
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(retry)
    return [info, retry]


def test_calls_beyond_the_limit_are_refused_while_the_writer_is_busy(name):
    transport = open_any(name, calls_max=5)
    transport.start()
    with connect(transport) as channel:
        calls = [channel.unary_unary(ECHO).future(b"", timeout=WAIT_SECONDS) for _ in range(15)]
        while sum(call.done() for call in calls) < 10:  # nobody takes
            check(channel)
        waiting = [call for call in calls if not call.done()]
        wait_for_in_flight(transport, channel, 5)
        for call in set(calls) - set(waiting):
            assert refused(call)[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
            info, retry = details_of(call)
            assert (info.reason, info.domain) == ("OVERLOADED", "onhand")
            assert 100 <= retry.retry_delay.ToMilliseconds() <= 300
        status = channel.unary_unary(OPERATE).future(b"", timeout=WAIT_SECONDS)
        wait_for_in_flight(transport, channel, 6)
        with writer(transport):
            assert [call.result() for call in waiting] == [b""] * 5
            assert status.result() == b""
            assert channel.unary_unary(ECHO)(b"next", timeout=WAIT_SECONDS) == b"next"
    transport.close(0)


def test_requests_beyond_the_limit_of_bytes_are_refused(name):
    transport = open_any(name, bytes_max=REQUEST_BYTES_MAX)
    transport.start()
    with connect(transport) as channel:
        large = channel.unary_unary(ECHO).future(b"x" * (REQUEST_BYTES_MAX - 10), timeout=WAIT_SECONDS)
        wait_for_in_flight(transport, channel, 1)
        medium = channel.unary_unary(ECHO).future(b"x" * 11, timeout=WAIT_SECONDS)
        assert refused(medium)[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        small = channel.unary_unary(ECHO).future(b"x" * 10, timeout=WAIT_SECONDS)
        wait_for_in_flight(transport, channel, 2)
        with writer(transport):
            assert small.result() == b"x" * 10
            assert len(large.result()) == REQUEST_BYTES_MAX - 10
    transport.close(0)


def test_new_calls_while_closing_are_not_called_an_overload(name):
    transport = open_any(name, calls_max=2)
    transport.start()
    with connect(transport) as channel:
        call = channel.unary_unary(ECHO).future(b"in flight", timeout=WAIT_SECONDS)
        [taken] = take_some(transport)
        closing = threading.Thread(target=transport.close, args=(60,))
        closing.start()
        for _ in range(10):
            new = channel.unary_unary(ECHO).future(b"new", timeout=WAIT_SECONDS)
            assert refused(new)[0] is grpc.StatusCode.UNAVAILABLE
        transport.reply(taken.call_id, b"answered")
        assert call.result() == b"answered"
        closing.join(WAIT_SECONDS)
        assert not closing.is_alive()


@contextlib.contextmanager
def client_process(transport: Transport, timeout_seconds: float) -> Iterator[subprocess.Popen]:
    """A client in a process of its own that has just called ECHO."""
    program = f"""
import grpc
channel = grpc.insecure_channel("{transport.address}")
grpc.channel_ready_future(channel).result({WAIT_SECONDS})
call = channel.unary_unary("{ECHO}").future(b"", timeout={timeout_seconds})
print("called", flush=True)
call.exception()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "called\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_call_cancelled_before_take_is_never_returned(transport, channel):
    calls = {}
    for payload in (b"first", b"cancelled", b"last"):
        calls[payload] = channel.unary_unary(ECHO).future(payload, timeout=WAIT_SECONDS)
        wait_for_in_flight(transport, channel, len(calls))
    assert [call.payload for call in transport.take(1, 1000)] == [b"first"]
    calls[b"cancelled"].cancel()
    wait_for_in_flight(transport, channel, 2)
    assert [call.payload for call in transport.take(10, 0)] == [b"last"]
    for call in calls.values():
        call.cancel()


def test_the_answer_to_a_call_cancelled_after_take_is_ignored(transport, channel):
    call = channel.unary_unary(ECHO).future(b"", timeout=WAIT_SECONDS)
    [taken] = take_some(transport)
    call.cancel()
    wait_for_in_flight(transport, channel, 0)
    transport.reply(taken.call_id, b"too late")
    with writer(transport):
        assert channel.unary_unary(ECHO)(b"next", timeout=WAIT_SECONDS) == b"next"


def test_a_client_that_is_killed_while_its_call_is_decided(transport):
    with client_process(transport, timeout_seconds=60) as client:
        [taken] = take_some(transport)
        client.kill()
        client.wait()
    with writer(transport), connect(transport) as channel:
        assert channel.unary_unary(ECHO)(b"next", timeout=WAIT_SECONDS) == b"next"
    started = time.monotonic()
    transport.close(60)  # waits for nobody
    assert time.monotonic() - started < 30
    transport.reply(taken.call_id, b"for nobody")


@pytest.mark.parametrize("extra_bytes", [1, 5_000_000])
def test_an_oversized_request_is_refused(transport, channel, extra_bytes):
    size = REQUEST_BYTES_MAX + extra_bytes
    with writer(transport) as taken:
        call = channel.unary_unary(ECHO).future(b"x" * size, timeout=WAIT_SECONDS)
        message = f"SERVER: Received message larger than max ({size} vs. {REQUEST_BYTES_MAX})"
        assert refused(call) == (grpc.StatusCode.RESOURCE_EXHAUSTED, message)
        assert channel.unary_unary(ECHO)(b"next", timeout=WAIT_SECONDS) == b"next"
    assert [call.payload for call in taken] == [b"next"]


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50, bytes(range(256)) * 8])
def test_garbage_closes_its_connection_and_nothing_else(transport, channel, garbage):
    host, port = transport.address.split(":")
    with writer(transport), socket.create_connection((host, int(port)), WAIT_SECONDS) as stranger:
        with contextlib.suppress(ConnectionError):
            stranger.sendall(garbage)
            while stranger.recv(4096):
                pass  # until the server closes: a timeout is no ConnectionError and fails the test
        assert channel.unary_unary(ECHO)(b"still here", timeout=WAIT_SECONDS) == b"still here"


def test_health_check_follows_set_serving(transport, channel):
    for service in ("", *SERVICES):
        assert check(channel, service) == NOT_SERVING
    transport.set_serving(True)
    for service in ("", *SERVICES):
        assert check(channel, service) == SERVING
    transport.set_serving(False)
    assert check(channel) == NOT_SERVING
    with pytest.raises(grpc.RpcError) as caught:
        check(channel, "nobody.Service")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_probes_are_told_by_names_of_their_own(transport, channel):
    assert (check(channel, "liveness"), check(channel, "readiness")) == (SERVING, NOT_SERVING)
    transport.set_ready(True)
    assert (check(channel, "readiness"), check(channel)) == (SERVING, NOT_SERVING)
    transport.set_ready(False)
    transport.set_serving(True)
    assert (check(channel, "liveness"), check(channel, "readiness")) == (SERVING, NOT_SERVING)


def test_health_watch_follows_set_serving_and_ends_with_the_server(transport, channel):
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICES[0]))
    assert next(watch).status == NOT_SERVING
    transport.set_serving(True)
    assert next(watch).status == SERVING
    transport.set_serving(False)
    assert next(watch).status == NOT_SERVING
    transport.set_serving(True)
    assert next(watch).status == SERVING
    started = time.monotonic()
    transport.close(60)
    assert time.monotonic() - started < 30  # a watch does not hold up the end
    with pytest.raises(grpc.RpcError) as caught:
        list(watch)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_lists_and_describes_the_services(channel, version):
    reflect = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        *(reflection_pb2.ServerReflectionRequest(file_containing_symbol=service) for service in SERVICES),
    ]
    listed, *described = reflect(iter(requests), timeout=WAIT_SECONDS)
    assert {"grpc.health.v1.Health", *SERVICES} <= {entry.name for entry in listed.list_services_response.service}
    assert all(answer.file_descriptor_response.file_descriptor_proto for answer in described)
