"""A map of who ships where: customers, the locations that ship to them, and what it costs, by two strategies."""

from pathlib import Path
from typing import Final

import matplotlib as mpl

mpl.use("Agg")  # draws into files, needs no display

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from engine.demo.baskets import Floats
from engine.demo.compare import Comparison, Route, StrategyFigures
from engine.demo.places import Places

SIZE_INCHES: Final = (15.0, 4.9)
DOTS_PER_INCH: Final = 130
ARCS_MAX: Final = 4_000
"""Shipments drawn of each strategy, taken evenly from the stream."""
STEPS: Final = 16
BEND: Final = 0.12
"""How far an arc bends away from the straight line, of its length."""
GRAY: Final = "#6b7280"
DEGREE_NORTH_TO_EAST: Final = 1.27
"""How much longer a degree north is than one east, at 38 degrees."""
SHOWN: Final = ("OnHand", "nearest first")


def draw(comparison: Comparison, places: Places, path: Path) -> None:
    """Write the map as PNG."""
    figure, panels = plt.subplots(1, 2, figsize=SIZE_INCHES, sharex=True, sharey=True, layout="constrained")
    for axes, name in zip(panels, SHOWN, strict=True):
        _draw_strategy(axes, comparison.routes[name], places)
        axes.set_title(_caption(name, comparison.strategies[name]), loc="left", fontsize=9, color=GRAY)
    figure.suptitle("Who ships where", x=0.01, ha="left", fontsize=14, fontweight="bold")
    figure.supxlabel(
        "degrees east; places are illustrations; an arc is a shipment, in the color of its location", fontsize=8
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DOTS_PER_INCH)
    plt.close(figure)


def _caption(name: str, figures: StrategyFigures) -> str:
    return (
        f"{name}: {figures.shipping_cost_per_order:.2f} USD an order, {figures.shipments_per_order:.2f} shipments an "
        f"order, {figures.fill_rate:.1%} of the units"
    )


def _draw_strategy(axes: Axes, routes: list[Route], places: Places) -> None:
    shown = routes[:: max(1, len(routes) // ARCS_MAX)]
    points = np.array([(place.longitude, place.latitude) for place in places.locations])
    palette = mpl.colormaps["tab20"]
    colors = {index: palette(number % palette.N) for number, index in enumerate(places.shipping)}
    arcs = [_arc(points[index], np.array((east, north))) for north, east, index in shown]
    axes.add_collection(LineCollection(arcs, colors=[colors[index] for *_, index in shown], linewidths=0.5, alpha=0.25))
    customers = np.array([(east, north) for north, east, _ in shown]).reshape(-1, 2)
    axes.scatter(customers[:, 0], customers[:, 1], s=1.5, color=GRAY, alpha=0.5, linewidths=0, label="customers")
    others = points[[index for index in range(places.store_count) if index not in places.shipping]]
    axes.scatter(
        others[:, 0], others[:, 1], s=12, marker="s", c="white", edgecolors=GRAY, linewidths=0.6, label="stores"
    )
    for is_store, marker, size, label in ((True, "s", 38, "stores that ship"), (False, "^", 90, "warehouses")):
        chosen = [index for index in places.shipping if (index < places.store_count) == is_store]
        own, own_colors = points[chosen], [colors[index] for index in chosen]
        look = {"s": size, "marker": marker, "edgecolors": "black", "linewidths": 0.8, "zorder": 3, "label": label}
        axes.scatter(own[:, 0], own[:, 1], c=own_colors, **look)  # type: ignore[arg-type]  # one type for all of them
    axes.legend(loc="lower left", fontsize=7, frameon=False)
    axes.set_aspect(DEGREE_NORTH_TO_EAST)
    axes.autoscale_view()


def _arc(start: Floats, end: Floats) -> Floats:
    """Return points of a quadratic Bézier curve that bends to one side."""
    across = np.array((start[1] - end[1], end[0] - start[0])) * BEND
    middle, t = (start + end) / 2 + across, np.linspace(0, 1, STEPS)[:, None]
    return np.asarray((1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end)
