"""What the tests of this folder share."""

import contextlib
import threading
import time
from collections.abc import Iterator

import grpc
from faults.processes import WAIT_SECONDS
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from onhand.admin.v1 import admin_service_pb2
from onhand.inventory.v1 import inventory_service_pb2, reservation_service_pb2

from engine.admission import Admission
from engine.transport import Call, Transport, open_transport

ECHO = "/onhand.inventory.v1.ReservationService/ReserveStock"


FAIL = "/onhand.inventory.v1.ReservationService/CommitReservation"


OPERATE = "/onhand.admin.v1.AdminService/GetStatus"


METHODS = (ECHO, FAIL, OPERATE)


OPERATOR_METHOD = METHODS.index(OPERATE)


SERVICES = tuple(
    service.full_name
    for module in (admin_service_pb2, inventory_service_pb2, reservation_service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
)


REQUEST_BYTES_MAX = 100_000


NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


short_line = error_details_pb2.ErrorInfo(reason="INSUFFICIENT_STOCK", domain="onhand")


packed = any_pb2.Any()


packed.Pack(short_line)


DETAILS = status_pb2.Status(code=9, message="SKU-1 at DC-1 is short", details=[packed]).SerializeToString()


def open_any(
    name: str, port: int = 0, host: str = "127.0.0.1", calls_max: int = 100_000, bytes_max: int = 2**30
) -> Transport:
    return open_transport(
        name,
        host=host,
        port=port,
        methods=METHODS,
        service_names=SERVICES,
        request_bytes_max=REQUEST_BYTES_MAX,
        admission=Admission(calls_max, bytes_max, len(METHODS), operator_methods=[OPERATOR_METHOD]),
    )


def connect(transport: Transport) -> grpc.Channel:
    channel = grpc.insecure_channel(
        transport.address,
        options=[("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)],
    )
    check(channel)
    return channel


@contextlib.contextmanager
def writer(transport: Transport) -> Iterator[list[Call]]:
    """The writer loop in a thread: echoes ECHO, refuses FAIL; gives what it took."""
    stopping = threading.Event()
    taken: list[Call] = []

    def run() -> None:
        while not stopping.is_set():
            for call in transport.take(64, 10):
                taken.append(call)
                if METHODS[call.method] != FAIL:
                    transport.reply(call.call_id, call.payload)
                else:
                    transport.fail(call.call_id, 9, "SKU-1 at DC-1 is short: ü, 100 %", DETAILS)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield taken
    finally:
        stopping.set()
        thread.join()


def take_some(transport: Transport, count: int = 1) -> list[Call]:
    """Take until this many calls have come."""
    calls: list[Call] = []
    until = time.monotonic() + WAIT_SECONDS
    while len(calls) < count and time.monotonic() < until:
        calls += transport.take(count - len(calls), 100)
    assert len(calls) == count
    return calls


def wait_for_in_flight(transport: Transport, channel: grpc.Channel, count: int) -> None:
    """Wait until the server has seen this many calls that are not answered, cancelled or expired."""
    until = time.monotonic() + WAIT_SECONDS
    while transport.in_flight_count() != count:
        assert time.monotonic() < until, f"expected {count} calls in flight, were {transport.in_flight_count()}"
        check(channel)  # a round trip: nothing to spin on
    check(channel)  # native counts a call shortly before it queues its event


def check(channel: grpc.Channel, service: str = "") -> int:
    request = health_pb2.HealthCheckRequest(service=service)
    return health_pb2_grpc.HealthStub(channel).Check(request, timeout=WAIT_SECONDS, wait_for_ready=True).status


def refused(call: grpc.Future) -> tuple[grpc.StatusCode, str]:
    """The code and message a call ends with."""
    error = call.exception(WAIT_SECONDS)
    assert isinstance(error, grpc.RpcError)
    return error.code(), error.details()
