"""The runs of the command: one shape, the curve, overload, and the generator alone."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import grpc
import numpy as np
from onhand.admin.v1 import admin_service_pb2
from onhand.admin.v1.admin_service_pb2_grpc import AdminServiceStub

from bench.load import report
from bench.load.calls import Session
from bench.load.echo import echo_process
from bench.load.http2 import UnaryClient
from bench.load.open_loop import (
    CONNECTIONS,
    DEADLINE_SECONDS,
    NOT_SENT,
    Integers,
    Measurements,
    drive,
    planned_times,
    run_open_loop,
)
from bench.load.report import Calibration, Curve, Limits, LoadReport, OverloadReport, Pace, Point, Threshold
from bench.load.shop import HOT_SKUS, Shape, ShopWorkload
from bench.load.workload import ReserveWorkload

PEAK_IN_FLIGHT: Final = 512
"""Calls in flight of the closed loop that finds the peak."""
OVERLOAD_CONNECTIONS: Final = 32
"""So many that calls wait in the engine, which refuses, and not for a free stream."""
CURVE_PERCENT: Final = (10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 125, 150, 200)
OVERLOAD_PERCENT: Final = 200
HOT_PART: Final = 0.25
"""Stock of hot skus, as a part of the arrivals, so that a flash sale sells out."""

CALIBRATION_RATES: Final = (500, 2_000, 10_000, 20_000, 40_000, 60_000)
CALIBRATION_BYTES: Final = 120
"""About a ReserveStockRequest of one line with its request id."""

GOODPUT_MIN: Final = 0.8
SENT_MIN: Final = 0.95
ACCEPTED_P99_MS_MAX: Final = 1_000.0
RESIDENT_BYTES_BASE: Final = 64 * 1024 * 1024
RESIDENT_BYTES_PER_RESERVATION: Final = 512
_STATUS_SECONDS: Final = 60.0

Progress = Callable[[str, float, float], None]
"""Hears a description, the seconds done and the seconds in all, about once a second."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to play: arrivals per second at the shape's height, for how long, by which seed."""

    shape: Shape
    rate: float
    seconds: float
    seed: int


def run_shape(address: str, plan: Plan, limits: Limits, progress: Progress) -> LoadReport:
    """Play a shape and judge it.

    Raises
    ------
    NotALoadError
        As planned_times.
    OSError, grpc.RpcError
        The engine is not there.
    """
    shape, seconds = plan.shape, plan.seconds
    arrivals = planned_times(plan.rate, seconds, profile=shape.profile, seed=plan.seed)
    workload = ShopWorkload(shape, hot_units=max(1, round(HOT_PART * len(arrivals) / HOT_SKUS)), seed=plan.seed)
    with grpc.insecure_channel(address) as channel:
        workload.setup(channel)
        with _client(address, CONNECTIONS) as client:
            measured = drive(client, arrivals, seconds, workload.start, _told(progress, shape.name, seconds))
        problems = workload.check(channel)
    return LoadReport(
        shape=shape.name,
        address=address,
        rate=plan.rate,
        seconds=seconds,
        seed=plan.seed,
        offered_per_second=measured.offered_per_second,
        sent_per_second=measured.sent_per_second,
        achieved_per_second=measured.achieved_per_second,
        goodput_per_second=measured.goodput_per_second,
        limit=report.limit_of(measured),
        latency_us=report.latencies(measured),
        outcomes=dict(measured.by_outcome().most_common()),
        error_rate=report.error_rate(measured),
        generator_lag_us=report.summarize(measured.lag_us()),
        generator_cpu=measured.cpu_seconds / measured.duration_seconds,
        metrics=workload.metrics(),
        problems=problems,
        thresholds=report.judge(measured, problems, limits),
    )


# ---- peak, curve, overload: reservations of one unit -----------------------------------------------------------------


def run_curve(address: str, seconds: float, progress: Progress, *, seed: int) -> Curve:
    """Find the peak, then offer parts and multiples of it; OSError or grpc.RpcError if the engine is not there."""
    with _reserving(address, seconds, progress, seed) as stand:
        status = stand.status()
        peak = stand.find_peak()
        points = [_point(stand.offer(peak, percent), percent) for percent in CURVE_PERCENT]
        return Curve(
            address=address,
            version=status.version,
            durability=status.durability,
            peak_per_second=peak,
            points=points,
            problems=stand.check(),
        )


def run_overload(address: str, seconds: float, progress: Progress, *, seed: int) -> OverloadReport:
    """Find the peak, offer twice as much two times, and judge the second.

    OSError or grpc.RpcError if the engine is not there.
    """
    with _reserving(address, seconds, progress, seed) as stand:
        peak = stand.find_peak()
        stand.offer(peak, OVERLOAD_PERCENT)  # the transport makes room for so many calls once, and keeps it
        before = stand.status().resident_bytes
        measured = stand.offer(peak, OVERLOAD_PERCENT)
        after = stand.status().resident_bytes
        problems = stand.check()
    return OverloadReport(
        address=address,
        peak_per_second=peak,
        point=_point(measured, OVERLOAD_PERCENT),
        outcomes=dict(measured.by_outcome().most_common()),
        resident_bytes_before=before,
        resident_bytes_after=after,
        problems=problems,
        thresholds=_judge_overload(measured, peak, after - before, problems),
    )


@contextmanager
def _reserving(address: str, seconds: float, progress: Progress, seed: int) -> Iterator["_Stand"]:
    with grpc.insecure_channel(address) as channel:
        workload = ReserveWorkload()
        workload.setup(channel)
        yield _Stand(address, channel, workload, seconds, progress, seed)


@dataclass(frozen=True, slots=True)
class _Stand:
    """An engine and the workload that reserves there, in steps of some seconds."""

    address: str
    channel: grpc.Channel
    workload: ReserveWorkload
    seconds: float
    progress: Progress
    seed: int

    def find_peak(self) -> float:
        """Return calls per second of a closed loop: each of PEAK_IN_FLIGHT callers asks again when it is answered."""
        everybody_at_once = np.zeros(PEAK_IN_FLIGHT, np.int64)
        return self._drive(CONNECTIONS, everybody_at_once, self._caller, "peak").goodput_per_second

    def _caller(self) -> Session:
        while True:
            yield from self.workload.start()

    def offer(self, peak: float, percent: int) -> Measurements:
        """Offer a part of the peak in an open loop."""
        arrivals = planned_times(max(1.0, peak * percent / 100), self.seconds, seed=self.seed)
        return self._drive(OVERLOAD_CONNECTIONS, arrivals, self.workload.start, f"{percent} % of the peak")

    def _drive(
        self, connections: int, arrivals: Integers, start: Callable[[], Session], description: str
    ) -> Measurements:
        with _client(self.address, connections) as client:
            return drive(client, arrivals, self.seconds, start, _told(self.progress, description, self.seconds))

    def check(self) -> list[str]:
        return self.workload.check(self.channel)

    def status(self) -> admin_service_pb2.GetStatusResponse:
        request = admin_service_pb2.GetStatusRequest()
        return AdminServiceStub(self.channel).GetStatus(request, timeout=_STATUS_SECONDS)


def run_calibration(seconds: float, progress: Progress, *, seed: int) -> Calibration:
    """Offer rising rates to a server that does nothing."""
    body = bytes(CALIBRATION_BYTES)
    problems, paces = [], []
    with echo_process() as address:
        for rate in CALIBRATION_RATES:
            progress(f"{rate:,} calls/s", 0, seconds)
            measured = run_open_loop(address, "ReserveStock", lambda _: body, rate, seconds, seed=seed)
            paces.append(_pace(measured))
            failed = len(measured.planned) - measured.by_outcome()["OK"]
            problems += [f"{failed:,} of {len(measured.planned):,} calls failed at {rate:,}/s."] * bool(failed)
    return Calibration(seconds=seconds, paces=paces, problems=problems)


def _pace(measured: Measurements) -> Pace:
    return Pace(
        offered_per_second=measured.offered_per_second,
        sent_per_second=measured.sent_per_second,
        achieved_per_second=measured.achieved_per_second,
        latency_us=report.summarize(measured.latency_us()),
        lag_us=report.summarize(measured.lag_us()),
        cpu=measured.cpu_seconds / measured.duration_seconds,
    )


def _point(measured: Measurements, percent: int) -> Point:
    decided = report.latencies(measured)["all"]
    refused, unsent = (measured.by_outcome()[name] for name in ("OVERLOADED", NOT_SENT))
    return Point(
        percent_of_peak=percent,
        seconds=measured.seconds,
        offered_per_second=measured.offered_per_second,
        sent_per_second=measured.sent_per_second,
        achieved_per_second=measured.achieved_per_second,
        goodput_per_second=measured.goodput_per_second,
        p50_us=decided.p50,
        p99_us=decided.p99,
        p99_9_us=decided.p99_9,
        max_us=decided.max,
        lag_p99_us=report.summarize(measured.lag_us()).p99,
        refused_count=refused,
        error_count=len(measured.planned) - measured.count(in_plan=False) - refused - unsent,
    )


def _judge_generator(measured: Measurements) -> Threshold:
    """Judge whether so much was offered: calls may wait for a free stream of the engine, but not for the generator."""
    sent = measured.sent_per_second / measured.offered_per_second
    waited_for = ", then all streams were taken" if measured.late_for_streams else ""
    is_kept = sent >= SENT_MIN or measured.late_for_streams > 0
    return Threshold("sent of offered", f"≥ {SENT_MIN:.0%}", f"{sent:.0%}{waited_for}", is_kept)


def _judge_overload(measured: Measurements, peak: float, grown: int, problems: Sequence[str]) -> list[Threshold]:
    point = _point(measured, OVERLOAD_PERCENT)
    grown_max = RESIDENT_BYTES_BASE + RESIDENT_BYTES_PER_RESERVATION * measured.count(in_plan=False)
    goodput = measured.goodput_per_second / peak
    p99_ms = report.summarize(measured.latency_us(None, {"OK"}, from_plan=False)).p99 / 1_000
    without = measured.refused_without_retry
    return [
        _judge_generator(measured),
        Threshold("goodput of the peak", f"≥ {GOODPUT_MIN:.0%}", f"{goodput:.0%}", goodput >= GOODPUT_MIN),
        Threshold("calls refused as OVERLOADED", "> 0", f"{point.refused_count:,}", point.refused_count > 0),
        Threshold("of these without RetryInfo", "0", f"{without:,}", without == 0),
        Threshold("calls that failed otherwise", "0", f"{point.error_count:,}", point.error_count == 0),
        Threshold(
            "p99 of what was accepted, from its send",
            f"≤ {ACCEPTED_P99_MS_MAX:,.0f} ms",
            f"{p99_ms:,.0f} ms",
            p99_ms <= ACCEPTED_P99_MS_MAX,
        ),
        Threshold("growth of the engine", f"≤ {_mib(grown_max)}", _mib(grown), grown <= grown_max),
        report.differences(problems),
    ]


def _mib(size: int) -> str:
    return f"{size / 1024 / 1024:,.0f} MiB"


def _client(address: str, connections: int) -> UnaryClient:
    return UnaryClient(address, connections=connections, deadline_seconds=DEADLINE_SECONDS)


def _told(progress: Progress, description: str, seconds: float) -> Callable[[int], None]:
    """Return what hears nanoseconds often and tells about once a second: drawing takes the generator's time."""
    told_at = -1

    def advance(passed: int) -> None:
        nonlocal told_at
        second = passed // 1_000_000_000
        if second != told_at:
            told_at = second
            progress(description, passed / 1e9, seconds)

    return advance
