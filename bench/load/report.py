"""What a run of the generator says: figures for machines, tables for people, and whether the thresholds held."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from bench.load.open_loop import Integers, Measurements, histogram, is_decided

BEHIND: Final = 0.99
"""Achieved below this part of offered means that somebody was the limit."""

Limit = Literal["none", "engine", "generator"]


class Latency(msgspec.Struct, frozen=True):
    """Microseconds, from an HDR histogram with 3 significant figures."""

    count: int
    p50: int
    p99: int
    p99_9: int
    max: int


class Threshold(msgspec.Struct, frozen=True):
    """One thing that a run must keep."""

    name: str
    limit: str
    value: str
    is_kept: bool


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a shape must keep; that nothing is oversold or lost is not a matter of degree."""

    error_rate_max: float
    """Largest part of the calls that the engine may fail to decide."""
    p99_ms_max: float
    """Largest p99 of those it decided."""


class LoadReport(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    shape: str
    address: str
    rate: float
    """Arrivals per second at the shape's height, as asked for."""
    seconds: float
    seed: int
    offered_per_second: float
    sent_per_second: float
    achieved_per_second: float
    goodput_per_second: float
    limit: Limit
    """Who was the limit, where achieved stayed below offered."""
    latency_us: dict[str, Latency]
    """From planned send to answer: "all" that the engine decided, then by method; "refused" is what it did not."""
    outcomes: dict[str, int]
    """Calls by outcome: OK, or the reason."""
    error_rate: float
    """Part of the calls that the engine did not decide."""
    generator_lag_us: Latency
    """From planned to actual send."""
    generator_cpu: float
    """Processor seconds of the generator, by the length of the run."""
    metrics: dict[str, int]
    problems: list[str]
    """What the check found."""
    thresholds: list[Threshold]

    @property
    def is_kept(self) -> bool:
        """Whether every threshold held."""
        return all(threshold.is_kept for threshold in self.thresholds)


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One rate of the curve."""

    percent_of_peak: int
    seconds: float
    offered_per_second: float
    sent_per_second: float
    achieved_per_second: float
    goodput_per_second: float
    p50_us: int
    p99_us: int
    p99_9_us: int
    max_us: int
    lag_p99_us: int
    refused_count: int
    """Calls refused as OVERLOADED."""
    error_count: int
    """Calls that were sent and failed in any other way."""


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """Latency against load."""

    address: str
    version: str
    durability: str
    peak_per_second: float
    points: list[Point]
    problems: list[str]

    @property
    def is_kept(self) -> bool:
        """Whether the check found nothing."""
        return not self.problems


class OverloadReport(msgspec.Struct, frozen=True, kw_only=True):
    """What happened at twice the peak."""

    address: str
    peak_per_second: float
    point: Point
    outcomes: dict[str, int]
    resident_bytes_before: int
    resident_bytes_after: int
    problems: list[str]
    thresholds: list[Threshold]

    @property
    def is_kept(self) -> bool:
        """Whether every criterion held."""
        return all(threshold.is_kept for threshold in self.thresholds)


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """One rate that the generator offered a server that does nothing."""

    offered_per_second: float
    sent_per_second: float
    achieved_per_second: float
    latency_us: Latency
    lag_us: Latency
    cpu: float
    """Processor seconds of the generator, by the length of the run."""


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """What the generator can do on this machine."""

    seconds: float
    paces: list[Pace]
    problems: list[str]

    @property
    def is_kept(self) -> bool:
        """Whether every call was answered."""
        return not self.problems


Result: TypeAlias = LoadReport | Curve | OverloadReport | Calibration


def summarize(values_us: Integers) -> Latency:
    """Return the figures of some microseconds; all 0 where there are none."""
    if not len(values_us):
        return Latency(0, 0, 0, 0, 0)
    made: Any = histogram(values_us)
    p50, p99, p99_9 = (int(made.get_value_at_percentile(percent)) for percent in (50, 99, 99.9))
    return Latency(len(values_us), p50, p99, p99_9, int(np.max(values_us)))


def latencies(measured: Measurements) -> dict[str, Latency]:
    """Return the figures of all decided calls, of those by method, and of the others."""
    decided = {name for name in measured.outcomes if is_decided(name)}
    found = {"all": summarize(measured.latency_us(None, decided))}
    found |= {name: summarize(measured.latency_us({name}, decided)) for name in sorted(measured.methods)}
    refused = measured.latency_us(None, set(measured.outcomes) - decided)
    return found | ({"refused": summarize(refused)} if len(refused) else {})


def error_rate(measured: Measurements) -> float:
    """Return the part of the calls that the engine did not decide."""
    return 1 - measured.count(in_plan=False) / max(1, len(measured.planned))


def limit_of(measured: Measurements) -> Limit:
    """Tell who kept achieved below offered.

    Calls that waited for a free stream, or for their answer, waited for the engine; calls that were sent late though
    streams were free waited for the generator.
    """
    if measured.achieved_per_second >= BEHIND * measured.offered_per_second:
        return "none"
    is_late = measured.sent_per_second < BEHIND * measured.offered_per_second
    return "generator" if is_late and not measured.late_for_streams else "engine"


def judge(measured: Measurements, problems: Sequence[str], limits: Limits) -> list[Threshold]:
    """Judge a run: the check, the error rate, and p99 of what the engine decided."""
    p99_ms = latencies(measured)["all"].p99 / 1_000
    rate = error_rate(measured)
    return [
        differences(problems),
        Threshold("error rate", f"≤ {limits.error_rate_max:.2%}", f"{rate:.2%}", rate <= limits.error_rate_max),
        Threshold("p99", f"≤ {limits.p99_ms_max:,.0f} ms", f"{p99_ms:,.1f} ms", p99_ms <= limits.p99_ms_max),
    ]


def differences(problems: Sequence[str]) -> Threshold:
    """Judge what a check found."""
    return Threshold("oversold and other differences", "0", str(len(problems)), not problems)


# ---- for people ------------------------------------------------------------------------------------------------------


def show(result: Result, console: Console) -> None:
    """Print what a run measured, what was to be kept, and what is wrong."""
    if isinstance(result, LoadReport):
        _show_load(result, console)
    elif isinstance(result, Curve):
        _show_curve(result, console)
    elif isinstance(result, OverloadReport):
        _show_overload(result, console)
    else:
        _show_calibration(result, console)
    for problem in result.problems:
        console.print(problem, style="red", markup=False, highlight=False)


def _show_load(report: LoadReport, console: Console) -> None:
    lag = report.generator_lag_us
    _say(
        console,
        f"\n{report.shape} at {report.address}: offered {report.offered_per_second:,.0f} calls/s, "
        f"achieved {report.achieved_per_second:,.0f}, goodput {report.goodput_per_second:,.0f}",
    )
    if report.limit != "none":
        _say(console, f"The {report.limit} was the limit.")
    console.print(_latency_table(report))
    _say(console, "outcomes: " + _counts(report.outcomes))
    _say(console, "workload: " + _counts(report.metrics))
    core = f"{report.generator_cpu:.0%} of a core"
    _say(console, f"generator: sent p50 {_ms(lag.p50)}, p99 {_ms(lag.p99)} ms after the plan; {core}")
    console.print(_threshold_table(report.thresholds))


def _latency_table(report: LoadReport) -> Table:
    table = _table("latency from planned send, ms", "calls", "p50", "p99", "p99.9", "max")
    for name, found in report.latency_us.items():
        row = (found.p50, found.p99, found.p99_9, found.max)
        table.add_row(name, f"{found.count:,}", *(_ms(value) for value in row))
    return table


def _show_curve(curve: Curve, console: Console) -> None:
    _say(console, f"\npeak {curve.peak_per_second:,.0f} calls/s; latency from planned send in ms")
    table = _table("% of peak", "offered/s", "sent/s", "goodput/s", "p50", "p99", "p99.9", "refused", "failed")
    for point in curve.points:
        rates = (point.offered_per_second, point.sent_per_second, point.goodput_per_second)
        times = (point.p50_us, point.p99_us, point.p99_9_us)
        table.add_row(
            str(point.percent_of_peak),
            *(f"{rate:,.0f}" for rate in rates),
            *(_ms(value) for value in times),
            f"{point.refused_count:,}",
            f"{point.error_count:,}",
        )
    console.print(table)


def _show_overload(report: OverloadReport, console: Console) -> None:
    _say(
        console,
        f"\npeak {report.peak_per_second:,.0f} calls/s; offered {report.point.offered_per_second:,.0f}, "
        f"sent {report.point.sent_per_second:,.0f}, goodput {report.point.goodput_per_second:,.0f}",
    )
    _say(console, "outcomes: " + _counts(report.outcomes))
    console.print(_threshold_table(report.thresholds))


def _show_calibration(calibration: Calibration, console: Console) -> None:
    _say(console, f"\nthe generator against an echo, {calibration.seconds:g} s a row; times in ms")
    table = _table("offered/s", "sent/s", "achieved/s", "p50", "p99", "lag p50", "lag p99", "core")
    for pace in calibration.paces:
        times = (pace.latency_us.p50, pace.latency_us.p99, pace.lag_us.p50, pace.lag_us.p99)
        rates = (pace.offered_per_second, pace.sent_per_second, pace.achieved_per_second)
        table.add_row(*(f"{rate:,.0f}" for rate in rates), *(_ms(value) for value in times), f"{pace.cpu:.0%}")
    console.print(table)


def _threshold_table(judged: Sequence[Threshold]) -> Table:
    table = Table("threshold", "limit", "was", "", box=None, pad_edge=False)
    for threshold in judged:
        table.add_row(threshold.name, threshold.limit, threshold.value, "ok" if threshold.is_kept else "[red]missed")
    return table


def _table(first: str, *others: str) -> Table:
    """Return a table whose columns but the first are figures."""
    table = Table(first, box=None, pad_edge=False)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _say(console: Console, words: str) -> None:
    console.print(words, markup=False, highlight=False, soft_wrap=True)


def _ms(microseconds: int) -> str:
    """Show milliseconds, with decimals where they matter."""
    return f"{microseconds / 1_000:,.2f}" if microseconds < 10_000 else f"{microseconds / 1_000:,.0f}"


def write_json(result: Result, path: Path) -> None:
    """Write a result for machines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
