"""Overload: what waits is bounded, the rest is refused at once, and nothing is half done; on both transports.

The writer is made to wait by stopping the journal server in the middle of its work.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import grpc
import pytest
from engines import ForkedEngine
from faults.processes import WAIT_SECONDS, free_port, server_in, stopped
from grpc_health.v1 import health_pb2, health_pb2_grpc
from harness import PATHS, Client, Refused, new_id
from onhand.admin.v1 import admin_service_pb2 as admin
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from scrape import Scraper

from ledger.core.limits import REQUEST_BYTES_MAX

QUEUE_CALLS_MAX = 40
THROWN = 10 * QUEUE_CALLS_MAX


@pytest.fixture(params=["native", "grpcio"])
def engine(request, tmp_path) -> Iterator[ForkedEngine]:
    """An engine that lets few calls wait and waits long for its journal."""
    flags = ["--port", "0", "--data-folder", str(tmp_path / "data"), "--transport", request.param]
    flags += ["--queue-calls-max", str(QUEUE_CALLS_MAX), "--queue-bytes-max", str(REQUEST_BYTES_MAX)]
    flags += ["--journal-timeout-seconds", "60", "--metrics-port", str(free_port())]
    with ForkedEngine(flags, log_file=tmp_path / "engine.log") as process:
        yield process


@pytest.fixture
def scraper(engine) -> Scraper:
    return Scraper(int(engine._flags[-1]))


@pytest.fixture
def client(engine) -> Iterator[Client]:
    with Client(engine.address) as made:
        made.sku("A")
        made.location("X")
        made.receive("A", "X", 10_000)
        yield made


def send(client: Client, requests: Sequence[Any], timeout: float = WAIT_SECONDS) -> list[Any]:
    return [client.reservations.ReserveStock.future(request, timeout=timeout) for request in requests]


def requests(client: Client, count: int) -> list[Any]:
    return [client.reserve_request(("A", "X", 1), request_id=new_id()) for _ in range(count)]


def refusal(call: Any) -> Refused:
    error = call.exception(WAIT_SECONDS)
    assert isinstance(error, grpc.RpcError)
    return Refused(error)


def hang_the_writer(client: Client, scraper: Scraper) -> list[Any]:
    """Send calls until one waits and goes on waiting: then the writer waits for the journal with the others."""
    calls = []
    while not all(scraper.value("onhand_waiting_calls") >= 1 for _ in range(20)):
        calls += send(client, requests(client, 1))
        wait_for_value(scraper, "onhand_calls_in_flight", len(calls))
    return calls


def wait_for_value(scraper: Scraper, name: str, least: float, **labels: str) -> None:
    scraper.wait_for(lambda found: found.value(name, **labels) >= least)


def test_calls_beyond_the_limit_are_refused_at_once_and_work_later(tmp_path, client, scraper):
    wanted = requests(client, THROWN)
    with stopped(server_in(tmp_path / "data")):
        calls = send(client, wanted)
        # all are there: as many wait as may, the writer has those of one group, the others are refused
        scraper.wait_for(
            lambda found: (
                found.value("onhand_waiting_calls") == QUEUE_CALLS_MAX
                and found.value("onhand_calls_in_flight") + overloaded(found) == THROWN
                and sum(call.done() for call in calls) == overloaded(found)
            )
        )
        at_once = [call for call in calls if call.done()]
        assert len(at_once) >= THROWN - 128 - QUEUE_CALLS_MAX  # streams of the connection, and what waits
        errors = [refusal(call) for call in at_once]
        assert {(error.code, error.reason) for error in errors} == {
            (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED"),
        }
        delays = {error.retry_seconds for error in errors}
        assert 0.1 <= min(delays) < max(delays) <= 0.3
        assert len(delays) > 10  # clients come back spread out
        check = health_pb2_grpc.HealthStub(client.channel).Check(health_pb2.HealthCheckRequest(), timeout=WAIT_SECONDS)
        assert check.status == health_pb2.HealthCheckResponse.SERVING
        status = client.admin.GetStatus.future(admin.GetStatusRequest(), timeout=WAIT_SECONDS)
        scraper.wait_for(lambda found: found.value("onhand_waiting_calls") == QUEUE_CALLS_MAX + 1)
    refused = [call for call in calls if call.exception(WAIT_SECONDS) is not None]
    assert {refusal(call).reason for call in refused} == {"OVERLOADED"}
    accepted = [call for call in calls if call not in refused]
    ids = {call.result(WAIT_SECONDS).reservation_id for call in accepted}
    assert len(ids) == len(accepted)
    assert status.result(WAIT_SECONDS).overloaded_call_count <= len(refused)
    assert client.level("A", "X").reserved == len(accepted)

    again = [request for request, call in zip(wanted, calls, strict=True) if call in refused]
    ids |= {client.call(client.reservations.ReserveStock, request).reservation_id for request in again}
    assert len(ids) == THROWN
    assert client.level("A", "X").reserved == THROWN
    assert client.verify().ok
    assert scraper.value("onhand_refusals_total", reason="OVERLOADED") == len(refused)
    method = PATHS["ReserveStock"].removeprefix("/")
    assert scraper.value("onhand_calls_total", method=method, code="RESOURCE_EXHAUSTED") == len(refused)
    assert scraper.value("onhand_calls_total", method=method, code="OK") == THROWN


def overloaded(found: Scraper) -> float:
    return found.value("onhand_refusals_total", reason="OVERLOADED")


def test_a_deadline_that_passes_while_the_call_waits_means_nothing_is_done(tmp_path, client, scraper):
    with stopped(server_in(tmp_path / "data")):
        patient = hang_the_writer(client, scraper)
        late = send(client, requests(client, QUEUE_CALLS_MAX // 2), timeout=0.3)
        codes = [call.exception(WAIT_SECONDS).code() for call in late]
        # on a busy machine more than one call may have been needed to hang the writer, and the queue is full earlier
        assert set(codes) <= {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED}, codes
    for call in patient:
        call.result(WAIT_SECONDS)
    assert client.level("A", "X").reserved == len(patient)
    assert 0 < client.status().dropped_call_count <= codes.count(grpc.StatusCode.DEADLINE_EXCEEDED)
    assert client.status().waiting_call_count == 0


def test_requests_thrown_at_a_hanging_writer_do_not_fill_the_memory(tmp_path, client, scraper):
    big = inventory.GetStockLevelRequest(sku_id="x" * 100_000)
    thrown_bytes = 0
    with stopped(server_in(tmp_path / "data")):
        hang_the_writer(client, scraper)
        before = scraper.value("process_resident_memory_bytes")
        while thrown_bytes < 25 * REQUEST_BYTES_MAX:
            least = overloaded(scraper) + 20
            wave = [client.inventory.GetStockLevel.future(big, timeout=WAIT_SECONDS) for _ in range(60)]
            thrown_bytes += 60 * 100_000
            wait_for_value(scraper, "onhand_refusals_total", least, reason="OVERLOADED")
            assert scraper.value("onhand_waiting_bytes") <= REQUEST_BYTES_MAX
        growth = scraper.value("process_resident_memory_bytes") - before
    scraper.wait_for(lambda found: found.value("onhand_waiting_calls") == 0)
    assert wave[-1].exception(WAIT_SECONDS).code() in {
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.INVALID_ARGUMENT,
    }
    assert growth < thrown_bytes / 2, f"{growth / 1e6:.0f} MB of {thrown_bytes / 1e6:.0f} MB"
    assert client.available("A") == client.level("A", "X").available
