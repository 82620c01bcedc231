"""The latency-against-load curve as a picture."""

from pathlib import Path
from typing import Final

import matplotlib as mpl

mpl.use("Agg")  # draws into files, needs no display

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator

from bench.load.report import Curve
from bench.load.runs import PEAK_IN_FLIGHT

SIZE_INCHES: Final = (9.0, 7.2)
DOTS_PER_INCH: Final = 150
LINES: Final = (
    ("p50", "p50_us", "#2a78b5", "o"),
    ("p99", "p99_us", "#d9822b", "s"),
    ("p99.9", "p99_9_us", "#b3324a", "^"),
)
GOODPUT_COLOR: Final = "#2f8f5b"
GRAY: Final = "#6b7280"
MARKED_PARTS: Final = {"90 % of the peak": 0.9, "peak": 1.0}


def draw(curve: Curve, path: Path) -> None:
    """Write the curve as PNG."""
    figure, (latency, throughput) = plt.subplots(
        2, 1, sharex=True, figsize=SIZE_INCHES, height_ratios=(3, 2), layout="constrained"
    )
    _draw_latency(latency, curve)
    _draw_throughput(throughput, curve)
    first = curve.points[0]
    figure.suptitle("ReserveStock: latency against load", x=0.01, ha="left", fontsize=14, fontweight="bold")
    latency.set_title(
        f"OnHand {curve.version}, durability {curve.durability}; peak {curve.peak_per_second:,.0f}/s with "
        f"{PEAK_IN_FLIGHT} calls in flight; each point {first.seconds:g} s, open loop, latency from planned send",
        loc="left",
        fontsize=9,
        color=GRAY,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DOTS_PER_INCH)
    plt.close(figure)


def _draw_latency(axes: Axes, curve: Curve) -> None:
    offered = [point.offered_per_second for point in curve.points]
    for label, field, color, marker in LINES:
        values = [getattr(point, field) / 1_000 for point in curve.points]
        axes.plot(offered, values, color=color, marker=marker, markersize=5, linewidth=1.8, label=label)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.tick_params(axis="y", which="minor", labelsize=7, labelcolor=GRAY)
    axes.set_ylabel("latency from planned send, ms")
    axes.legend(loc="upper left", frameon=False)
    _finish(axes, curve)
    _name_marks(axes, curve)


def _draw_throughput(axes: Axes, curve: Curve) -> None:
    offered = [point.offered_per_second for point in curve.points]
    goodput = [point.goodput_per_second for point in curve.points]
    axes.plot([0, offered[-1]], [0, offered[-1]], color=GRAY, linestyle=":", linewidth=1.2, label="offered")
    axes.plot(offered, [point.sent_per_second for point in curve.points], color=GRAY, linewidth=1.2, label="sent")
    axes.fill_between(
        offered,
        goodput,
        [point.achieved_per_second for point in curve.points],
        color=GRAY,
        alpha=0.25,
        linewidth=0,
        label="refused",
    )
    axes.plot(offered, goodput, color=GOODPUT_COLOR, marker="o", markersize=5, linewidth=1.8, label="goodput")
    axes.set_ylabel("calls/s")
    axes.set_xlabel("offered, calls/s")
    axes.set_ylim(0, None)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.legend(loc="upper left", frameon=False, ncols=2, fontsize=9)
    _finish(axes, curve)


def _finish(axes: Axes, curve: Curve) -> None:
    """Grid, frame, and lines at 90 % and at the peak."""
    axes.set_xlim(0, curve.points[-1].offered_per_second * 1.02)
    axes.grid(which="major", color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    for part in MARKED_PARTS.values():
        axes.axvline(curve.peak_per_second * part, color=GRAY, linestyle="--", linewidth=0.9)


def _name_marks(axes: Axes, curve: Curve) -> None:
    """Say what the lines are, at the foot of the axes: 90 % on its left, the peak on its right."""
    for (name, part), side, align in zip(MARKED_PARTS.items(), (-4, 4), ("right", "left"), strict=True):
        axes.annotate(
            name,
            (curve.peak_per_second * part, 0),
            xycoords=("data", "axes fraction"),
            xytext=(side, 5),
            textcoords="offset points",
            ha=align,
            fontsize=9,
            color=GRAY,
        )
