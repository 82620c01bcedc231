"""Load tests test themselves: every shape passes its check on a real engine, and the check can fail."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import typer
from engines import ForkedEngine
from faults.processes import WAIT_SECONDS, free_port
from harness import Client, new_id
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from pygrpc_native import EVENT_CALL, NativeGrpcFront
from typer.testing import CliRunner

from bench.load.account import call_once
from bench.load.calls import PATHS, Call
from bench.load.command import load
from bench.load.http2 import UnaryClient
from bench.load.open_loop import NotALoadError, drive, planned_times, run_open_loop
from bench.load.picture import draw
from bench.load.report import Curve, Point, limit_of
from bench.load.shop import SHAPES, ShopWorkload
from bench.load.workload import ReserveWorkload

REPOSITORY = Path(__file__).parents[1]
RATE, SECONDS = 120.0, 1.5


@pytest.fixture(scope="module", params=["native", "grpcio"])
def load_engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkedEngine]:
    """An engine for loads alone: their checks read all reservations there are, and wait until nobody writes."""
    folder = tmp_path_factory.mktemp(f"load-{request.param}")
    flags = ["--port", "0", "--data-folder", str(folder / "data"), "--transport", request.param]
    with ForkedEngine(flags, log_file=folder / "engine.log") as process:
        yield process


@pytest.fixture
def engine(load_engine: ForkedEngine) -> ForkedEngine:
    return load_engine


@pytest.fixture
def channel(engine: ForkedEngine) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(engine.address) as made:
        yield made


def play(address: str, workload, rate: float = RATE, seconds: float = SECONDS, **profile):
    with UnaryClient(address) as client:
        return drive(client, planned_times(rate, seconds, **profile), seconds, workload.start)


# ---- shapes


@pytest.mark.parametrize("name", SHAPES)
def test_each_shape_passes_its_check(engine: ForkedEngine, channel: grpc.Channel, name: str) -> None:
    shape = SHAPES[name]
    workload = ShopWorkload(shape, hot_units=5)
    workload.setup(channel)
    measured = play(engine.address, workload, profile=shape.profile)
    assert workload.check(channel) == []
    outcomes = measured.by_outcome()
    assert outcomes["OK"] > 0
    assert measured.count(in_plan=False) == len(measured.planned) == outcomes.total()
    visitors = sum(count for metric, count in workload.metrics().items() if metric.startswith("visitors"))
    assert visitors == len(planned_times(RATE, SECONDS, profile=shape.profile))


def test_a_flash_sale_sells_the_last_unit_and_no_more(engine: ForkedEngine, channel: grpc.Channel) -> None:
    workload = ShopWorkload(SHAPES["flash_sale"], hot_units=3)
    workload.setup(channel)
    measured = play(engine.address, workload)
    assert workload.check(channel) == []
    assert measured.by_outcome()["INSUFFICIENT_STOCK"] > 0
    assert workload.metrics()["hot_units_sold"] <= 9


# ---- the check can fail


@pytest.fixture
def played(engine: ForkedEngine, channel: grpc.Channel) -> ShopWorkload:
    workload = ShopWorkload(SHAPES["flash_sale"], hot_units=100)
    workload.setup(channel)
    play(engine.address, workload, seconds=0.5)
    assert workload.check(channel) == []
    return workload


def test_a_movement_behind_its_back_is_reported(
    engine: ForkedEngine, channel: grpc.Channel, played: ShopWorkload
) -> None:
    (sku, location), units = next(iter(played.account.stock.items()))
    with Client(engine.address) as somebody:
        somebody.move("SALE", sku, location, 1)
    [problem] = played.check(channel)
    assert problem.startswith(f"{sku} at {location}: on_hand is ")
    assert units == 1_000_000


def test_a_fact_that_takes_promised_units_is_reported(
    engine: ForkedEngine, channel: grpc.Channel, played: ShopWorkload
) -> None:
    sku, location = list(played.account.stock)[-1]
    with Client(engine.address) as somebody:
        somebody.reserve((sku, location, 1))
        somebody.count(sku, location, 0)
    assert any("oversold by" in problem for problem in played.check(channel))


def test_a_reservation_that_was_told_and_is_not_there_is_reported(channel: grpc.Channel, played: ShopWorkload) -> None:
    level = next(iter(played.account.stock))
    told = reservations.ReserveStockResponse(reservation_id="nobody-has-it").SerializeToString()
    played.account.reserved(((level, 2),), told)
    problems = played.check(channel)
    assert problems[0] == "Reservation nobody-has-it was acknowledged and is not there."
    assert "reserved is" in problems[1]


def test_a_reservation_nobody_was_told_of_is_reported(
    engine: ForkedEngine, channel: grpc.Channel, played: ShopWorkload
) -> None:
    (sku, location), _ = next(iter(played.account.stock.items()))
    with Client(engine.address) as somebody:
        secret = somebody.reserve((sku, location, 1)).reservation_id
    assert f"Reservation {secret} is there, and nobody was told so." in played.check(channel)


def test_a_wrong_count_of_single_reservations_is_reported(engine: ForkedEngine, channel: grpc.Channel) -> None:
    workload = ReserveWorkload(levels=3)
    workload.setup(channel)
    play(engine.address, workload, seconds=0.5)
    assert workload.check(channel) == []
    call_once(channel, next(workload.start()), 30.0)
    [problem] = workload.check(channel)
    assert "units were acknowledged as reserved" in problem


def test_a_write_of_unknown_outcome_is_settled_by_its_request_id(channel: grpc.Channel, played: ShopWorkload) -> None:
    level = next(iter(played.account.stock))
    request = reservations.ReserveStockRequest(request_id=new_id())
    request.ttl.FromSeconds(600)
    request.lines.add(sku_id=level[0], location_id=level[1], quantity=1)
    call = Call("ReserveStock", request.SerializeToString())
    call_once(channel, call, 30.0)  # done, but say the answer was lost
    played.account.unknown[call.request] = call, lambda payload: played.account.reserved(((level, 1),), payload)
    assert played.check(channel) == []
    assert played.metrics()["unknown_settled"] == 1


# ---- the generator


class Echo:
    """A gRPC server that sends back what comes; it can stand still."""

    def __init__(self) -> None:
        self.front = NativeGrpcFront("127.0.0.1:0", [(PATHS["ReserveStock"], False)])
        self.address = f"127.0.0.1:{self.front.bound_port}"
        self.go = threading.Event()
        self.go.set()
        self.count = 0
        self.thread = threading.Thread(target=self._serve)

    def __enter__(self) -> "Echo":
        self.front.start()
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()
        self.front.close()
        self.thread.join()

    def _serve(self) -> None:
        while (events := self.front.recv_batch(1_000, 100)) is not None:
            self.go.wait()
            for kind, call_id, _, payload, _ in events:
                if kind == EVENT_CALL:
                    self.count += 1
                    self.front.respond(call_id, payload)

    def stand_still(self, after_count: int, seconds: float) -> None:
        """Stop once so many calls were answered, for some time."""
        while self.count < after_count:
            time.sleep(0.001)
        self.go.clear()
        threading.Event().wait(seconds)
        self.go.set()


def test_calls_go_on_while_the_server_stands_still_and_their_wait_counts() -> None:
    """A closed loop would have one slow call for each caller; here everybody who came meanwhile has waited."""
    with Echo() as echo:
        pause = threading.Thread(target=echo.stand_still, args=(100, 0.4))
        pause.start()
        measured = run_open_loop(echo.address, "ReserveStock", lambda number: b"%d" % number, 500, 1.5)
        pause.join()
    assert measured.by_outcome() == {"OK": 750}
    slow = np.count_nonzero(measured.latency_us() > 100_000)
    assert slow > 75  # 150 planned in the first 0.3 s of the stop, on a machine that keeps up


def test_every_answer_belongs_to_its_call() -> None:
    with Echo() as echo, UnaryClient(echo.address, connections=3) as client:
        requests = {number: b"%d" % number * (number % 900 + 1) for number in range(500)}
        waiting, answers = dict(requests), {}
        while len(answers) < len(requests):
            for number, request in tuple(waiting.items()):
                if client.start(number, "ReserveStock", request):
                    del waiting[number]
            client.flush()
            answers |= {number: reply.payload for number, reply in client.receive(1.0)}
    assert answers == requests


def test_planned_times_are_exact_in_number_and_repeat_with_the_seed() -> None:
    times = planned_times(1_000, 2.0, profile=((0.0, 0.0), (1.0, 1.0)))
    assert len(times) == 1_000
    assert (np.diff(times) >= 0).all()
    assert times[0] >= 0
    assert times[-1] <= 2e9
    assert np.count_nonzero(times > 1e9) > 600  # the ramp's later half has three quarters
    assert (times == planned_times(1_000, 2.0, profile=((0.0, 0.0), (1.0, 1.0)))).all()
    assert (times != planned_times(1_000, 2.0, profile=((0.0, 0.0), (1.0, 1.0)), seed=2)).any()


@pytest.mark.parametrize(("rate", "seconds"), [(0, 1), (-5, 1), (10, 0), (10, 1e9), (1e12, 1), (float("nan"), 1)])
def test_what_is_no_load_is_refused(rate: float, seconds: float) -> None:
    with pytest.raises(NotALoadError, match=r"(rate|seconds): expected more than 0 .*, was"):
        planned_times(rate, seconds)


@pytest.mark.slow
def test_an_engine_that_is_killed_and_comes_back_loses_nothing(tmp_path: Path) -> None:
    flags = ["--port", str(free_port()), "--data-folder", str(tmp_path / "data")]
    with ForkedEngine(flags, log_file=tmp_path / "engine.log") as engine:
        with grpc.insecure_channel(engine.address) as channel:
            workload = ReserveWorkload(levels=5)
            workload.setup(channel)

        def crash() -> None:
            while workload.metrics()["visitors"] < 100:
                time.sleep(0.001)
            engine.kill()
            engine.start()

        crasher = threading.Thread(target=crash)
        crasher.start()
        measured = play(engine.address, workload, rate=200, seconds=2.0)
        crasher.join()
        with grpc.insecure_channel(engine.address) as channel:
            assert workload.check(channel) == []
    assert len(measured.planned) == 400
    assert workload.metrics()["unknown_outcomes"] == workload.metrics()["unknown_settled"]


# ---- commands


app = typer.Typer()
app.command()(load)


def test_the_command_reports_and_sets_the_exit_code(engine: ForkedEngine, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    given = ["--shape", "pos_steady", "--rate", "60", "--seconds", "1", "--address", engine.address]
    kept = CliRunner().invoke(app, [*given, "--p99-ms-max", "60000", "--json", str(file)])
    assert kept.exit_code == 0, kept.output
    report = json.loads(file.read_text())
    assert report["problems"] == []
    assert report["latency_us"]["all"]["count"] == sum(report["outcomes"].values())
    assert {"p50", "p99", "p99_9", "max"} <= report["latency_us"]["RecordMovements"].keys()
    missed = CliRunner().invoke(app, [*given, "--p99-ms-max", "0"])
    assert missed.exit_code == 1
    assert "missed" in missed.output


@pytest.mark.parametrize(
    "wrong", [["--shape", "black_monday"], ["--curve", "--overload"], ["--rate", "1e9"], ["--address", "nowhere:1"]]
)
def test_the_command_says_what_is_wrong(wrong: list[str]) -> None:
    result = CliRunner().invoke(app, wrong if "--address" in wrong else [*wrong, "--address", "127.0.0.1:1"])
    assert result.exit_code in {1, 2}
    assert not isinstance(result.exception, (OSError, ValueError))
    assert result.output


def test_locust_plays_a_shape_and_judges_it(engine: ForkedEngine) -> None:
    """In a process of its own: locust patches the standard library."""
    command = [sys.executable, "-m", "locust", "-f", "bench/locustfile.py", "--headless", "--only-summary"]
    given = ["--host", engine.address, "--shape", "black_friday", "--users", "10", "--run-time", "3s"]
    played = subprocess.run(
        [*command, *given, "--p99-ms-max", "60000"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert played.returncode == 0, played.stderr
    assert "nothing oversold, nothing lost" in played.stderr


# ---- the report


def point(percent: int) -> Point:
    rate = percent * 10.0
    return Point(
        percent_of_peak=percent,
        seconds=5.0,
        offered_per_second=rate,
        sent_per_second=rate,
        achieved_per_second=rate,
        goodput_per_second=min(rate, 1_000.0),
        p50_us=900 + percent,
        p99_us=3_000 + percent**2,
        p99_9_us=9_000 + percent**2,
        max_us=90_000,
        lag_p99_us=100,
        refused_count=0,
        error_count=0,
    )


def test_the_curve_is_drawn(tmp_path: Path) -> None:
    curve = Curve(
        address="127.0.0.1:1",
        version="0",
        durability="fsync",
        peak_per_second=1_000.0,
        points=[point(percent) for percent in (10, 50, 100, 200)],
        problems=[],
    )
    draw(curve, tmp_path / "deep" / "curve.png")
    assert (tmp_path / "deep" / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_limit_is_named() -> None:
    with Echo() as echo:
        measured = run_open_loop(echo.address, "ReserveStock", lambda _: b"", 100, 0.5)
    measured.late_for_streams, measured.duration_seconds = 0, measured.seconds
    measured.sent[:] = measured.ended[:] = measured.planned  # on a busy machine the generator is late by itself
    assert limit_of(measured) == "none"
    measured.ended[:] = type(measured.sent)("q", [10**10] * len(measured.sent))
    assert limit_of(measured) == "engine"
    measured.sent[:] = measured.ended
    assert limit_of(measured) == "generator"
