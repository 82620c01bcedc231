"""The Prometheus endpoint of a real engine, and the meter behind it."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from bulk_harness import encode
from engines import ForkedEngine
from faults.processes import WAIT_SECONDS, free_port, wait_until
from harness import PATHS, Client, Refused, new_id
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.inventory.v1.bulk_service_pb2_grpc import BulkServiceStub
from onhand.rules.reasons import REASONS
from prometheus_client import generate_latest
from scrape import Scraper

from engine.admission import Admission
from engine.api.desk import METHOD_PATHS, Reply
from engine.errors import RefusedError
from engine.metrics import CALL_BUCKETS, COUNTERS, GAUGES, STAGES, Meter
from engine.transport import Call

SERIES_MAX = 400
OPERATING = Path(__file__).parent.parent / "docs" / "operating.md"


@pytest.fixture(scope="module", params=["native", "grpcio"])
def measured(request, tmp_path_factory) -> Iterator[tuple[ForkedEngine, Scraper]]:
    folder = tmp_path_factory.mktemp("metrics")
    port = free_port()
    flags = ["--port", "0", "--data-folder", str(folder / "data"), "--transport", request.param]
    with ForkedEngine([*flags, "--metrics-port", str(port)], log_file=folder / "engine.log") as process:
        yield process, Scraper(port)


@pytest.fixture
def scraper(measured) -> Scraper:
    return measured[1]


@pytest.fixture
def caller(measured, request) -> Iterator[Client]:
    with Client(measured[0].address, prefix=f"{abs(hash(request.node.nodeid)):x}-") as made:
        yield made


def answered(rpc: str, code: str) -> tuple[str, dict[str, str]]:
    return "onhand_calls_total", {"method": PATHS[rpc].removeprefix("/"), "code": code}


def trade(client: Client, name: str) -> None:
    """Some traffic with names of its own: a sale, a hold, and refusals of three reasons."""
    client.sku(name)
    client.location(name)
    client.receive(name, name, 10)
    client.move("SALE", name, name, 1)
    client.reserve((name, name, 1), request_id=new_id())
    for lines in ([(name, name, 100)], [("nothing", name, 1)], [(name, name, 0)], [(name, name, 100)]):
        with pytest.raises(Refused):
            client.reserve(*lines, request_id=new_id())


def test_figures_are_those_of_get_status(caller, scraper):
    trade(caller, "A")
    memory_then = -1
    while (status := caller.status()).journal_server_used_bytes != memory_then:  # asked for now and then
        memory_then = status.journal_server_used_bytes
        shown = scraper.samples()
    for reading in (*GAUGES, *COUNTERS):
        if reading.field != "resident_bytes":
            assert shown[reading.name, ()] == getattr(status, reading.field), reading
    assert shown["onhand_seq_durable", ()] > 0
    labels = {"version": status.version, "transport": status.transport, "durability": status.durability}
    assert shown["onhand_build_info", tuple(sorted(labels.items()))] == 1
    assert 0.5 < shown["process_resident_memory_bytes", ()] / status.resident_bytes < 2


def test_calls_are_counted_by_method_and_code_and_refusals_by_reason(caller, scraper):
    watched = [
        answered("ReserveStock", code) for code in ("OK", "FAILED_PRECONDITION", "NOT_FOUND", "INVALID_ARGUMENT")
    ]
    watched += [answered("RecordMovements", "OK"), answered("CreateSku", "OK"), answered("GetStatus", "OK")]
    reasons = ("INSUFFICIENT_STOCK", "SKU_NOT_FOUND", "VALIDATION_FAILED", "OVERLOADED")
    watched += [("onhand_refusals_total", {"reason": reason}) for reason in reasons]
    before = [scraper.value(name, **labels) for name, labels in watched]
    trade(caller, "A")
    after = [scraper.value(name, **labels) for name, labels in watched]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 2, 1, 1, 2, 1, 0, 2, 1, 1, 0]


def test_commands_of_batches_and_bulk_calls_are_counted_by_status(caller, scraper):
    caller.sku("A")
    caller.location("X")
    caller.receive("A", "X", 10)
    requests = [caller.reserve_request(("A", "X", units)) for units in (1, 100, 1, 100)]
    watched = [("onhand_commands_total", {"status": status}) for status in ("OK", "INSUFFICIENT_STOCK")]
    before = [scraper.value(name, **labels) for name, labels in watched]
    caller.call(caller.reservations.BatchReserveStock, reservations.BatchReserveStockRequest(requests=requests))
    caller.call(BulkServiceStub(caller.channel).ExecuteCommands, encode(requests))
    after = [scraper.value(name, **labels) for name, labels in watched]
    assert [now - then for now, then in zip(after, before, strict=True)] == [4, 4]


def measured_whole(scraper: Scraper, least: float = 0) -> dict[Any, float] | None:
    """All series once so many groups were measured, in each stage: an answer is there before its group is."""
    found = scraper.samples()
    counts = {found["onhand_group_stage_seconds_count", (("stage", stage),)] for stage in STAGES}
    is_whole = len(counts) == 1 and min(counts) >= least
    is_whole &= found["onhand_journal_entry_bytes_count", ()] == found["onhand_journal_entries_total", ()]
    return found if is_whole else None


def test_every_group_with_calls_is_measured_in_each_stage(caller, scraper):
    before = wait_until(lambda: measured_whole(scraper), "the groups before are measured")
    for _ in range(5):
        caller.status()
    count = before["onhand_group_stage_seconds_count", (("stage", STAGES[-1]),)]
    after = wait_until(lambda: measured_whole(scraper, count + 5), "the groups are measured")
    for name, labels in (*(("onhand_group_stage_seconds", (("stage", stage),)) for stage in STAGES),):
        assert after[f"{name}_count", labels] - before[f"{name}_count", labels] == 5
        assert after[f"{name}_sum", labels] >= before[f"{name}_sum", labels]
    assert after["onhand_group_calls_sum", ()] - before["onhand_group_calls_sum", ()] == 5
    assert after["onhand_journal_entry_bytes_count", ()] == before["onhand_journal_entry_bytes_count", ()]
    trade(caller, "A")
    wrote = wait_until(lambda: measured_whole(scraper), "the groups are measured")
    assert wrote["onhand_journal_entries_total", ()] > after["onhand_journal_entries_total", ()]
    assert wrote["onhand_journal_entry_bytes_sum", ()] == wrote["onhand_journal_bytes_total", ()]


def test_calls_are_timed_by_method_until_their_answers_have_left(caller, scraper):
    method = {"method": PATHS["GetStatus"].removeprefix("/")}
    before = scraper.samples()
    began = time.monotonic()
    for _ in range(5):
        caller.status()
    seconds = time.monotonic() - began
    after = scraper.samples()
    labels = tuple(method.items())
    name = "onhand_call_seconds"
    assert after[f"{name}_count", labels] - before.get((f"{name}_count", labels), 0) == 5
    assert 0 < after[f"{name}_sum", labels] - before.get((f"{name}_sum", labels), 0) < seconds
    buckets = [after[f"{name}_bucket", (("le", str(bound)), *labels)] for bound in (*CALL_BUCKETS, "+Inf")]
    assert buckets == sorted(buckets)
    assert buckets[-1] == after[f"{name}_count", labels]


def test_oversold_levels_are_counted_while_they_are(caller, scraper):
    caller.sku("A")
    caller.location("X")
    caller.receive("A", "X", 2)
    caller.reserve(("A", "X", 2))
    before = scraper.value("onhand_oversold_levels")
    caller.move("SALE", "A", "X", 1)
    scraper.wait_for(lambda found: found.value("onhand_oversold_levels") == before + 1)
    caller.policy("A", "X", backorder_limit=1)  # what is promised beyond the stock is promised by the book
    scraper.wait_for(lambda found: found.value("onhand_oversold_levels") == before)


def test_the_room_on_the_disk_is_told(scraper):
    assert 0 < scraper.value("onhand_data_folder_free_bytes") < 2**60


def test_probes_have_paths_of_their_own_and_all_other_paths_are_unknown(scraper):
    scraper.wait_for(lambda found: found.answer("/readyz").status == 200)
    assert [scraper.answer(path).status for path in ("/livez", "/primary", "/metrics")] == [200, 200, 200]
    for path in ("/", "/healthz", "/metrics/", "/livez/x"):
        unknown = scraper.answer(path)
        assert (unknown.status, unknown.text) == (404, "expected one of /metrics, /livez, /readyz, /primary\n")


def test_holds_that_expire_are_counted(caller, scraper):
    caller.sku("A")
    caller.location("X")
    caller.receive("A", "X", 10)
    before = scraper.value("onhand_reservations_expired_total")
    for _ in range(3):
        caller.reserve(("A", "X", 1), ttl=1)
    scraper.wait_for(lambda found: found.value("onhand_reservations_expired_total") == before + 3)


def test_no_name_of_a_client_is_a_label_and_series_do_not_grow_with_names(caller, scraper):
    trade(caller, "A")
    before = scraper.samples().keys()
    for number in range(20):
        trade(caller, f"B{number}")
    assert scraper.samples().keys() == before
    assert len(before) < SERIES_MAX
    assert not [value for value in scraper.label_values() if caller.prefix in value or len(value) > 80]


def test_the_table_in_the_operators_page_is_true(caller, scraper):
    caller.status()
    wait_until(lambda: any(name == "onhand_call_seconds_count" for name, _ in scraper.samples()), "a call is measured")
    shown = {}
    for family in scraper.families():
        if family.name.startswith("onhand_"):
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            suffix = "_total" if family.type == "counter" else ""
            shown[family.name + suffix] = (family.type, ", ".join(sorted(labels)), family.documentation)
    rows = re.findall(
        r"^\| `(onhand_\w+)` \| (\w+) \| ([^|]*?) ?\| (.*) \|$", OPERATING.read_text("utf-8"), re.MULTILINE
    )
    written = {name: (kind, labels.replace("`", ""), documentation) for name, kind, labels, documentation in rows}
    assert written == shown


def test_a_metrics_port_in_use_is_named(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        flags = ["--port", "0", "--data-folder", str(tmp_path / "data"), "--metrics-port", str(port)]
        run = subprocess.run(
            [sys.executable, "-m", "engine", "serve", *flags],
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_SECONDS,
        )
    assert run.returncode == os.EX_TEMPFAIL
    assert f"metrics_port: cannot listen on 127.0.0.1:{port}: Address already in use" in run.stderr
    assert "Traceback" not in run.stderr


# ---- the meter -------------------------------------------------------------------------------------------------------


def test_replies_are_counted_in_any_order():
    meter = Meter(len(METHOD_PATHS))
    calls = [Call(number, number % 2, b"") for number in range(10)]
    short, away = RefusedError("INSUFFICIENT_STOCK", ""), RefusedError("JOURNAL_UNAVAILABLE", "")
    replies = [Reply(call, {1: short, 3: short, 4: away}.get(call.call_id, b"")) for call in reversed(calls)]
    tally = meter.count_replies(replies)
    assert tally == {(0, 0.0): 5, (1, 0.0): 5}
    assert meter.ok_counts[:2] == [4, 3]
    assert meter.refused_counts == {(1, short.code): 2, (0, away.code): 1}
    assert {reason: count for reason, count in meter.reason_counts.items() if count} == {
        "INSUFFICIENT_STOCK": 2,
        "JOURNAL_UNAVAILABLE": 1,
    }


def test_a_group_is_observed_stage_by_stage():
    meter = Meter(1)
    meter.observe_group(3, [10.0, 10.25, 11.0, 13.0, 13.5])
    text = generate_latest(meter.registry).decode()
    sums = dict(re.findall(r'onhand_group_stage_seconds_sum\{stage="(\w+)"\} (\S+)', text))
    assert sums == {"receive": "0.25", "decide": "0.75", "durable": "2.0", "reply": "0.5"}
    assert "onhand_group_calls_sum 3.0" in text


def test_every_reason_has_a_code_that_is_shown_by_name():
    exhausted = [name for name, reason in REASONS.items() if reason.code is grpc.StatusCode.RESOURCE_EXHAUSTED]
    assert exhausted == ["OVERLOADED"]


def test_admission_counts_what_waits():
    admission = Admission(2, 100, method_count=2, operator_methods=[1])
    assert admission.admits(0, 60)
    assert not admission.admits(0, 41)  # bytes
    assert admission.admits(0, 40)
    assert not admission.admits(0, 0)  # calls
    assert admission.admits(1, 0)  # an operator's
    assert (admission.waiting_calls, admission.waiting_bytes) == (3, 100)
    assert admission.overloaded_counts == [2, 0]
    admission.leave(1, 60)
    admission.drop(40)
    assert (admission.waiting_calls, admission.waiting_bytes, admission.dropped_count) == (1, 0, 1)
    assert admission.admits(0, 100)
