"""The truth for small orders: every assignment of units to locations, looked at one by one.

Slow on purpose, and made of `plain` alone: it shares no code with the kernel.
"""

from itertools import product
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routing.arrays import Int64s
from routing.plain import Candidate, PlainModel

ASSIGNMENTS_MAX: Final = 20_000_000


class Truth(NamedTuple):
    """The least cost, and which shipments have it."""

    cost: int
    shipments: tuple[tuple[int, int], ...]
    """(part, location), rising: of equal costs the fewest, then the first in order."""


def brute_force(model: PlainModel, shipments_max: int, *, with_soft: bool = True) -> Truth:
    """Return the cheapest of all assignments; rates must have no steps.

    Parameters
    ----------
    model : PlainModel
        A small order: all assignments of all lines together must be at most ASSIGNMENTS_MAX.
    shipments_max : int
        Shipments at most.
    with_soft : bool
        Whether soft rules hold, as in the first pass.
    """
    candidates = _candidates(model, with_soft)
    choices = [_choices_of_line(model, line, candidates, with_soft) for line in range(len(model.order.lines))]
    sizes = [len(units) for units in choices]
    count = int(np.prod(sizes))
    assert count <= ASSIGNMENTS_MAX, f"expected a small order, has {count} assignments"
    picks = np.unravel_index(np.arange(count), sizes)
    units = np.stack([line[pick] for line, pick in zip(choices, picks, strict=True)], axis=1)
    used: NDArray[np.bool_] = np.asarray(units.any(axis=1))
    is_allowed = (used.sum(axis=1) <= shipments_max) & _fits(model, candidates, units, with_soft)
    costs = _costs(model, candidates, units, used)
    best = int(costs[is_allowed].min())
    equal = np.unique(used[is_allowed & (costs == best)], axis=0)
    sets = [tuple((candidates[at].part, candidates[at].location) for at in np.flatnonzero(row)) for row in equal]
    return Truth(best, min(sets, key=lambda found: (len(found), found)))


def _candidates(model: PlainModel, with_soft: bool) -> list[Candidate]:
    pairs = product(range(len(model.parts)), range(len(model.network.locations)))
    found = [model.candidate(part, location) for part, location in pairs]
    return [one for one in found if one is not None and not (with_soft and one.is_soft)]


def _choices_of_line(model: PlainModel, line: int, candidates: list[Candidate], with_soft: bool) -> Int64s:
    """Return every way to take a line's units, or fewer, from the candidates: shape (ways, candidates)."""
    quantity = model.order.lines[line].quantity
    rooms = []
    for candidate in candidates:
        room = 0
        if candidate.part == model.part_of_line[line]:
            room = model.room(line, candidate.location)[not with_soft]
            if model.unit_cost(line, candidate, 0) > model.unfilled[line]:
                room = 0
        rooms.append(min(quantity, room))
    ways = [way for way in product(*(range(room + 1) for room in rooms)) if sum(way) <= quantity]
    return np.array(ways, np.int64).reshape(len(ways), len(candidates))


def _fits(model: PlainModel, candidates: list[Candidate], units: Int64s, with_soft: bool) -> NDArray[np.bool_]:
    """Tell which assignments keep every location's capacity and every row's stock."""
    fits: NDArray[np.bool_] = np.ones(len(units), np.bool_)
    for location in {candidate.location for candidate in candidates}:
        here = [at for at, candidate in enumerate(candidates) if candidate.location == location]
        fits &= units[:, :, here].sum(axis=(1, 2)) <= model.spare(location)
        for row in set(model.rows):
            lines = [line for line, other in enumerate(model.rows) if other == row]
            room = max(model.room(line, location)[not with_soft] for line in lines)
            fits &= units[:, lines][:, :, here].sum(axis=(1, 2)) <= room
    return fits


def _costs(model: PlainModel, candidates: list[Candidate], units: Int64s, used: NDArray[np.bool_]) -> Int64s:
    split = model.split_cost * np.maximum(0, used.sum(axis=1) - 1)
    costs = split + used @ np.array(
        [candidate.fixed + candidate.carriage.steps[0].base for candidate in candidates], np.int64
    )
    for line, unfilled in enumerate(model.unfilled):
        unit_costs = np.array([model.unit_cost(line, candidate, 0) for candidate in candidates], np.int64)
        missing = model.order.lines[line].quantity - units[:, line].sum(axis=1)
        costs += units[:, line] @ unit_costs + missing * unfilled
    return np.asarray(costs, np.int64)
