"""An order as a customer gives it, checked against a network, and as arrays for the kernel."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple

import msgspec
import numpy as np

from routing.arrays import NONE, OrderArrays, Stock
from routing.calendars import day_number
from routing.errors import Problems, RoutingInputError
from routing.geometry import Vector, unit_vector
from routing.limits import (
    AMOUNT_MAX,
    LINES_PER_ORDER_MAX,
    PARTS_PER_ORDER_MAX,
    REJECTIONS_PER_ORDER_MAX,
    UNITS_PER_ORDER_MAX,
)
from routing.network import Network, Sku
from routing.profile import Profile, micros
from routing.rules import Method

UNKNOWN_SKU = Sku()


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """Where SHIP and DELIVERY go: a point, or the name of a place of the network."""

    latitude: float | None = None
    longitude: float | None = None
    place: str = ""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """Units of one sku."""

    sku: str
    quantity: int
    method: Method = Method.SHIP
    store: str = ""
    """PICKUP, SHIP_TO_STORE: where the customer collects."""
    unit_value: int = 0
    """Micros that the customer pays for a unit; for rules by order value."""
    promise: date | None = None
    """Day on which it must be there, or ready, at the latest."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be routed."""

    lines: tuple[Line, ...]
    destination: Destination | None = None
    """None: nothing of it is brought to the customer."""
    channel: str = ""
    """Empty: every location serves it."""
    ship_complete: bool = False
    """Filled whole or not at all; the profile may ask for it too."""
    rejected: tuple[tuple[str, str], ...] = ()
    """(sku, location) that could not fill before and are not asked again."""


class Request(NamedTuple):
    """An order and what it meets."""

    order: Order
    stock: Stock
    """What can be promised now."""
    rows: Sequence[int]
    """Row of the stock for each line."""
    now: datetime
    """With a time zone."""


class Part(NamedTuple):
    """The lines of an order with one method and one destination, which may travel together."""

    method: Method
    store: int
    """Index of the location, or NONE."""
    promise_day: int
    """Day number, or NONE."""


class Layout(NamedTuple):
    """How the lines of an order fall into parts."""

    parts: tuple[Part, ...]
    part_of_line: tuple[int, ...]


def check(order: Order, network: Network | None) -> None:
    """Refuse an order that nobody could route; raises RoutingInputError, one line a problem.

    Without a network: what is wrong with it over any network.
    """
    problems = Problems()
    if not 1 <= len(order.lines) <= LINES_PER_ORDER_MAX:
        problems.add(f"lines: expected 1 to {LINES_PER_ORDER_MAX} lines, was {len(order.lines)}.")
    units = sum(line.quantity for line in order.lines)
    if units > UNITS_PER_ORDER_MAX:
        problems.add(f"lines: expected at most {UNITS_PER_ORDER_MAX} units together, was {units}.")
    for index, line in enumerate(order.lines):
        _check_line(line, f"lines[{index}]", network, problems)
    if any(line.method in {Method.SHIP, Method.DELIVERY} for line in order.lines):
        _check_destination(order.destination, network, problems)
    if network is not None:
        _check_names(order, network, problems)
    problems.raise_if_any()
    part_count = len({(line.method, line.store, line.promise) for line in order.lines})
    if part_count > PARTS_PER_ORDER_MAX:
        raise RoutingInputError(
            f"lines: expected at most {PARTS_PER_ORDER_MAX} different pairs of method, store and promise, "
            f"was {part_count}; plan them as several orders."
        )


def _check_names(order: Order, network: Network, problems: Problems) -> None:
    if order.channel and order.channel not in network.channels:
        problems.add(f'channel: expected one of {_some(network.channels)}, was "{order.channel}".')
    if len(order.rejected) > REJECTIONS_PER_ORDER_MAX:
        problems.add(f"rejected: expected at most {REJECTIONS_PER_ORDER_MAX}, was {len(order.rejected)}.")
    for index, (_, location) in enumerate(order.rejected):
        if location not in network.location_index:
            problems.add(f'rejected[{index}]: expected a location of the network, was "{location}".')


def _check_line(line: Line, where: str, network: Network | None, problems: Problems) -> None:
    if line.quantity < 1:
        problems.add(f"{where}.quantity: expected 1 to {UNITS_PER_ORDER_MAX}, was {line.quantity}.")
    if not 0 <= line.unit_value <= AMOUNT_MAX:
        problems.add(f"{where}.unit_value: expected 0 to {AMOUNT_MAX} micros, was {line.unit_value}.")
    if line.method in {Method.PICKUP, Method.SHIP_TO_STORE}:
        if network is None:
            if not line.store:
                problems.add(f'{where}.store: expected a location of the network, was "".')
        elif line.store not in network.location_index:
            problems.add(f'{where}.store: expected a location of the network, was "{line.store}".')
        elif Method.PICKUP not in network.locations[network.location_index[line.store]].methods:
            problems.add(f'{where}.store: expected a location that offers PICKUP; "{line.store}" does not.')
    elif line.store:
        problems.add(f'{where}.store: expected none for {line.method.name}, was "{line.store}".')


def _check_destination(destination: Destination | None, network: Network | None, problems: Problems) -> None:
    if destination is None:
        problems.add("destination: expected one, since some lines are brought to the customer; was none.")
    elif destination.place:
        if network is not None and destination.place not in network.places:
            problems.add(
                f"destination.place: expected one of the network's {len(network.places)} places, "
                f'was "{destination.place}"; give latitude and longitude instead.'
            )
    elif destination.latitude is None and destination.longitude is None:
        problems.add("destination: expected latitude and longitude, or a place; was neither.")
    elif destination.latitude is None:
        problems.add("destination.latitude: expected degrees north, since longitude is given; was absent.")
    elif destination.longitude is None:
        problems.add("destination.longitude: expected degrees east, since latitude is given; was absent.")
    else:
        for name, most, degrees in (("latitude", 90, destination.latitude), ("longitude", 180, destination.longitude)):
            if not -most <= degrees <= most:
                problems.add(f"destination.{name}: expected -{most} to {most} degrees, was {degrees}.")


def _some(names: Mapping[str, object]) -> str:
    return ", ".join(sorted(names)[:10]) + (", …" if len(names) > 10 else "")


def point(order: Order, network: Network) -> tuple[float, float] | None:
    """Return the destination of a checked order in degrees, or None if it has none."""
    destination = order.destination
    if destination is None:
        return None
    if destination.place:
        return network.places[destination.place]
    assert destination.latitude is not None
    assert destination.longitude is not None
    return destination.latitude, destination.longitude


def layout(order: Order, network: Network) -> Layout:
    """Return the parts of an order, in the order of their first lines."""
    parts: dict[Part, int] = {}
    part_of_line = []
    for line in order.lines:
        store = network.location_index[line.store] if line.store else NONE
        part = Part(line.method, store, promise_day(line.promise) if line.promise else NONE)
        part_of_line.append(parts.setdefault(part, len(parts)))
    return Layout(tuple(parts), tuple(part_of_line))


def promise_day(promise: date) -> int:
    """Return the day number of a promise; 1969-12-31, which has that of NONE, counts as the day before."""
    number = day_number(promise)
    return number - 1 if number == NONE else number


def is_split_forbidden(order: Order, profile: Profile) -> bool:
    """Tell whether an order is worth too little to be split."""
    value = sum(line.quantity * line.unit_value for line in order.lines)
    return value < micros(profile.rules.never_split_below)


def unfilled_cost(sku: Sku, profile: Profile) -> int:
    """Return what one unit costs that is not filled, in micros."""
    return micros(profile.costs.unfilled) if sku.unfilled_cost is None else sku.unfilled_cost


def to_arrays(
    order: Order, network: Network, profile: Profile, rows: Sequence[int], channel_rows: Mapping[str, int]
) -> OrderArrays:
    """Return a checked order for the kernel.

    Parameters
    ----------
    order, network, profile
        What is routed, and over what.
    rows : sequence of int
        Row of Stock for each line.
    channel_rows : mapping of str to int
        Row of Problem.is_served for each channel.
    """
    parts, part_of_line = layout(order, network)
    is_forbidden = is_split_forbidden(order, profile)
    skus = [network.skus.get(line.sku, UNKNOWN_SKU) for line in order.lines]
    rejected = [
        (index, network.location_index[location])
        for index, line in enumerate(order.lines)
        for sku, location in order.rejected
        if sku == line.sku
    ]
    return OrderArrays(
        row=np.array(rows, np.int64),
        units=np.array([line.quantity for line in order.lines], np.int64),
        weight=np.array([sku.weight_milligrams for sku in skus], np.int64),
        restrictions=np.array([network.bits_of(sku.restrictions) for sku in skus], np.int64),
        unfilled_cost=np.array([unfilled_cost(sku, profile) for sku in skus], np.int64),
        part=np.array(part_of_line, np.int32),
        method=np.array([part.method for part in parts], np.int32),
        destination=np.array([_vector(part, order, network) for part in parts], np.float64),
        store=np.array([part.store for part in parts], np.int32),
        promise_day=np.array([part.promise_day for part in parts], np.int32),
        channel=channel_rows[order.channel] if order.channel else NONE,
        rejected=np.array(rejected, np.int64).reshape(-1, 2),
        shipments_max=1 if is_forbidden else profile.rules.max_shipments,
        is_complete=order.ship_complete or profile.rules.ship_complete,
        is_split_forbidden=is_forbidden,
    )


def _vector(part: Part, order: Order, network: Network) -> Vector:
    if part.store != NONE:
        store = network.locations[part.store]
        return unit_vector(store.latitude, store.longitude)
    degrees = point(order, network)
    assert degrees is not None
    return unit_vector(*degrees)
