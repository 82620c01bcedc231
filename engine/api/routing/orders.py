"""Orders: from messages to what routing decides on, with the stock, load and rejections of a book."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import numpy as np
from onhand.routing.v1 import plan_pb2 as messages
from onhand.rules.orders import LINE_FIELDS

from engine.api import fields
from engine.api.lookups import known_sku
from engine.api.routing.networks import day, read_method, refusal_of, whole
from engine.api.routing.routers import Routers, routers_of
from engine.errors import RefusedError
from engine.planner.run import OwnLoad, load_of
from ledger.book import Book
from ledger.core.limits import MICROSECONDS
from ledger.core.views import ReservationView
from routing import limits
from routing import order as orders
from routing.arrays import NO_LEVEL, NONE, OrderArrays, Problem, Scratch, Stock
from routing.errors import RoutingInputError
from routing.geometry import distance_km, unit_vector
from routing.order import Destination, Line, Order, Request
from routing.plan import Plan
from routing.report import Decision, report
from routing.rules import Method
from routing.strategies import Router, Strategy

STRATEGIES: Final[Mapping[int, Strategy]] = {
    messages.ROUTING_STRATEGY_OPTIMAL: Strategy.OPTIMAL,
    messages.ROUTING_STRATEGY_NEAREST: Strategy.NEAREST,
    messages.ROUTING_STRATEGY_FEWEST_SPLITS: Strategy.FEWEST_SPLITS,
    messages.ROUTING_STRATEGY_PRIORITY: Strategy.PRIORITY,
}
STORES_MORE: Final = 64
"""Locations beside those asked for that may be as near, within what a cosine tells."""
# What routing calls fields that have other names on the wire.
WIRE_NAMES: Final = ((".store:", ".store_id:"), (".promise:", ".promise_date:"))


# ---- reading ---------------------------------------------------------------------------------------------------------


def read_order(message: messages.Order, book: Book) -> Order:
    """Check what an order says by itself; whether the network can take it, routing checks."""
    order = read_alone(message)
    for place, line in enumerate(order.lines):
        known_sku(book, line.sku, f"order.lines[{place}].sku_id")
    return order


def read_alone(message: messages.Order) -> Order:
    """Check what an order says by itself, but for whether its skus exist."""
    fields.count_of(message.lines, "order.lines", limits.LINES_PER_ORDER_MAX)
    return Order(
        lines=tuple(read_line(item, f"order.lines[{place}]") for place, item in enumerate(message.lines)),
        destination=read_destination(message.destination) if message.HasField("destination") else None,
        channel=message.channel,
        ship_complete=message.ship_complete,
    )


def read_line(item: messages.OrderLine, field: str) -> Line:
    """Check one line."""
    return Line(
        sku=fields.identifier(item.sku_id, f"{field}.sku_id"),
        quantity=number(item.quantity, "quantity", field),
        method=read_method(item.method, f"{field}.method"),
        store=item.store_id,
        unit_value=number(item.unit_value_micros, "unit_value_micros", field),
        promise=day(item.promise_date, f"{field}.promise_date") if item.promise_date else None,
    )


def number(value: int, name: str, field: str) -> int:
    """Check a number of a line."""
    row = LINE_FIELDS[name]
    return whole(value, f"{field}.{name}", row.most, at_least=row.least)


def read_destination(message: messages.Destination) -> Destination:
    """Return a destination."""
    return Destination(
        latitude=message.latitude if message.HasField("latitude") else None,
        longitude=message.longitude if message.HasField("longitude") else None,
        place=message.place,
    )


def read_strategy(value: int) -> Strategy:
    """Check a strategy; not set means OPTIMAL."""
    found = STRATEGIES.get(value or messages.ROUTING_STRATEGY_OPTIMAL)
    if found is None:
        fields.wrong("strategy", "a strategy of RoutingStrategy", value)
        return Strategy.OPTIMAL
    return found


def check_alone(message: messages.Order) -> None:
    """Refuse an order with which something is wrong whatever skus and network there are; raises RefusedError."""
    order = read_alone(message)
    try:
        orders.check(order, None)
    except RoutingInputError as error:
        raise order_refusal(error) from error


def order_refusal(error: RoutingInputError) -> RefusedError:
    """Return the refusal of an order that routing refused, with the names of the wire."""
    text = str(error)
    for name, wire_name in WIRE_NAMES:
        text = text.replace(name, wire_name)
    return refusal_of(RoutingInputError(text), "order.")


# ---- deciding --------------------------------------------------------------------------------------------------------


class Task(NamedTuple):
    """What is to be decided: an order, by which profile and strategy."""

    order: Order
    profile: str
    strategy: Strategy
    shipments_max: int
    """0: the profile's."""


class Decided(NamedTuple):
    """What was decided, and what it was decided on; valid until the next decision."""

    routers: Routers
    task: Task
    router: Router
    request: Request
    problem: Problem
    arrays: OrderArrays
    scratch: Scratch

    def plan(self) -> Plan:
        """Return the plan; raises RoutingInputError for lines that no location may ever serve."""
        decision = Decision(
            self.router.network,
            self.router.profile,
            self.request,
            self.task.strategy.name,
            self.problem,
            self.arrays,
            self.scratch,
            {},
        )
        return report(decision, explain=False)


class Captured(NamedTuple):
    """What is to be decided, and on what; nothing in it changes any more."""

    routers: Routers
    """Whose decisions are of this task alone."""
    task: Task
    router: Router
    request: Request
    problem: Problem


def captured(task: Task, book: Book, time_us: int) -> Captured:
    """Take what a decision is made on out of a book; nothing is held.

    Raises
    ------
    RefusedError
        There is no network, or the profile is unknown.
    """
    routers = routers_of(book).beside()
    routing = routers.routing(task.profile)
    now = datetime.fromtimestamp(time_us / MICROSECONDS, UTC)
    problem = routing.router.problem_at(now)
    skus = list(dict.fromkeys(book.ledger.sku_index(line.sku) for line in task.order.lines))
    request = Request(task.order, stock_of(routers, problem, skus, book), rows_of(task.order), now)
    return Captured(routers, task, routing.router, request, problem)


def decided(given: Captured) -> Decided:
    """Decide on what was captured; any thread may.

    Raises
    ------
    RoutingInputError
        Nobody could route the order.
    """
    routers, task, router, request, problem = given
    orders.check(task.order, router.network)
    arrays = orders.to_arrays(task.order, router.network, router.profile, request.rows, router.columns.channel_rows)
    arrays = with_shipments_max(arrays, task.shipments_max)
    scratch = router.decide(problem, request.stock, arrays, task.strategy)
    return Decided(routers, task, router, request, problem, arrays, scratch)


def rows_of(order: Order) -> list[int]:
    """Return the stock row of each line: lines of one sku have one row, from 0."""
    rows: dict[str, int] = {}
    return [rows.setdefault(line.sku, len(rows)) for line in order.lines]


def with_shipments_max(arrays: OrderArrays, shipments_max: int) -> OrderArrays:
    """Return an order with a limit of shipments of its own; 0: the profile's."""
    if shipments_max and not arrays.is_split_forbidden:
        return arrays._replace(shipments_max=shipments_max)
    return arrays


def stock_of(routers: Routers, problem: Problem, skus: Sequence[int], book: Book) -> Stock:
    """Return what the ledger has of some skus at every location of the network."""
    places = routers.location_indexes
    rows, available, _ = book.ledger.availability(np.array(skus, np.int64), places)
    safety_stock, backorder = book.ledger.policies(rows)
    available -= backorder
    available[rows < 0] = NO_LEVEL
    return Stock(
        available=available,
        backorder=backorder,
        protected=safety_stock,
        level_cost=np.zeros((0, len(places)), np.int64),
        load=load_of(places, problem, book),
        location_price=np.zeros(len(places), np.int64),
    )


def with_own(
    stock: Stock, skus: Sequence[int], view: ReservationView, places: Mapping[int, int], own_load: OwnLoad
) -> Stock:
    """Return stock in which what a hold has is free for its order: units, and capacity of the locations.

    Parameters
    ----------
    stock, skus
        Of `stock_of`, and what its rows are of.
    places
        Place in the network of each location, by the ledger's index.
    own_load
        Of `own_load_of`.
    """
    available = stock.available.copy()
    for line in view.lines:
        place = places.get(line.location)
        if line.open and place is not None and line.sku in skus:
            at = skus.index(line.sku), place
            available[at] = max(available[at], -stock.backorder[at]) + line.open
    load = stock.load.copy()
    load[own_load.places] -= own_load.units
    return stock._replace(available=available, load=load)


def nearest_stores(
    routers: Routers, problem: Problem, order: Order, km_max: float, count_max: int
) -> list[tuple[int, float]]:
    """Return locations that offer PICKUP and their kilometers to the destination, the nearest first."""
    network = routers.network
    point = orders.point(order, network)
    offered = np.flatnonzero((problem.is_active != 0) & (problem.service[Method.PICKUP] != NONE))
    if point and len(offered) > count_max + STORES_MORE:  # a first look at all, and an exact one at few
        x, y, z = unit_vector(*point)
        dots = problem.x[offered] * x + problem.y[offered] * y + problem.z[offered] * z
        offered = offered[np.argpartition(-dots, count_max + STORES_MORE)[: count_max + STORES_MORE]]
    located = ((index, network.locations[index]) for index in offered.tolist())
    found = [
        (index, distance_km(*point, one.latitude, one.longitude) if point else 0.0, one.location_id)
        for index, one in located
    ]
    within = sorted((km, name, index) for index, km, name in found if not km_max or km <= km_max)
    return [(index, km) for km, _, index in within[:count_max]]
