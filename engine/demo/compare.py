"""What routing on true cost saves: the demo's shipped orders by every strategy, each on its own copy of the stock.

Each copy is a book of the engine's own, without journal or network between, and the orders are planned and held by the
same planner. In the copy of ours every order is also planned, without a hold, by each of the others first: on the same
state, so that costs can be compared order by order.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from google.protobuf.duration_pb2 import Duration
from onhand.inventory.v1 import catalog_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.routing.v1 import network_service_pb2 as network
from onhand.routing.v1 import plan_pb2
from onhand.routing.v1 import routing_service_pb2 as routing

from engine.api.desk import POSITIONS, Desk
from engine.api.routing.order_batches import OrderBatchBuilder
from engine.demo.network import MICROS, location_messages, network_message, order_message
from engine.demo.plan import Act, Plan
from engine.errors import RefusedError
from engine.planner.run import Planned, Planner
from engine.transport import Call
from ledger.book import NO_COMMANDS, Book

NOW_US: Final = 1_800_000_000_000_000
TTL: Final = Duration(seconds=14_400)
ROWS_PER_CALL: Final = 4_096
ORDERS_PER_STEP: Final = 64
OPTIMAL: Final = plan_pb2.ROUTING_STRATEGY_OPTIMAL
STRATEGIES: Final[Mapping[int, str]] = {
    OPTIMAL: "OnHand",
    plan_pb2.ROUTING_STRATEGY_NEAREST: "nearest first",
    plan_pb2.ROUTING_STRATEGY_FEWEST_SPLITS: "fewest splits",
    plan_pb2.ROUTING_STRATEGY_PRIORITY: "by priority",
}


@dataclass(frozen=True, slots=True)
class StrategyFigures:
    """What one strategy made of the stream, on its own copy of the stock."""

    orders: int
    cost_per_order: float
    """In the currency; units that were not filled count with what the profile says."""
    shipping_cost_per_order: float
    """Without the units that were not filled."""
    shipments_per_order: float
    split_rate: float
    """Share of the orders with a shipment that have more than one."""
    fill_rate: float
    """Units filled of the units wanted."""
    whole_order_rate: float
    """Share of the orders that were filled whole."""
    kilometers_per_shipment: float
    cheaper_than_ours_on_the_same_state: int
    """Orders; must be none."""


Route = tuple[float, float, int]
"""Degrees north and east of a customer, index of the location that ships."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All strategies by name, and who shipped where by each."""

    strategies: dict[str, StrategyFigures]
    routes: dict[str, list[Route]]


class _Copy:
    """A book with the network and the stock for shipping, and a planner over it."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.planner = Planner(book)
        self.orders = OrderBatchBuilder(book)

    def ask(self, *requests: Any) -> None:
        """Let the engine's desk answer some calls."""
        desk = Desk(self)  # type: ignore[arg-type]  # the methods asked look at the book alone
        calls = [Call(0, POSITIONS[type(request)], request.SerializeToString()) for request in requests]
        for reply in desk.answer(calls, NOW_US):
            assert not isinstance(reply.response, RefusedError), reply.response
        self.book.close_entry(epoch=1)

    def plan(self, requests: list[routing.PlanFulfillmentRequest]) -> Planned:
        """Plan orders as one step."""
        self.book.execute(NO_COMMANDS, NOW_US)
        for request in requests:
            self.orders.add(request, b"", NOW_US)
        (planned,) = self.planner.run(self.orders.take(), NOW_US)
        self.book.close_entry(epoch=1)
        return planned


class _Parts:
    """An image of a book, to make copies of."""

    def __init__(self, parts: Mapping[str, bytes | memoryview]) -> None:
        self._parts = {name: bytes(part) for name, part in parts.items()}

    def has(self, name: str) -> bool:
        """Tell whether there is a part of a name."""
        return name in self._parts

    def read(self, name: str) -> bytes:
        """Return a part."""
        return self._parts[name]

    def read_into(self, name: str, target: memoryview) -> None:
        """Copy a part."""
        target[:] = self._parts[name]


def compare(plan: Plan, advance: Callable[[int], None]) -> Comparison:
    """Plan all orders that are bought and shipped, by each strategy; `advance` hears of plans made."""
    parts = _Parts(_opened(plan).book.image())
    orders = [order_message(plan, index) for index in shipped_orders(plan)]
    strategies, routes, cheaper = {}, {}, dict.fromkeys(STRATEGIES, 0)
    for strategy, name in STRATEGIES.items():
        copy = _Copy(_book())
        copy.book.restore(parts)
        copy.book.plans.explained_max = 1
        found = _Found(plan, orders)
        for first in range(0, len(orders), ORDERS_PER_STEP):
            step = orders[first : first + ORDERS_PER_STEP]
            others = list(STRATEGIES)[1:] if strategy == OPTIMAL else []
            planned = copy.plan([request for order in step for request in _requests(order, strategy, others)])
            costs = planned.results["cost"].reshape(len(step), len(others) + 1)
            for place, other in enumerate(others):
                cheaper[other] += int((costs[:, place] < costs[:, -1]).sum())
            found.add(first, planned, len(others))
            advance(len(planned.results))
        strategies[name], routes[name] = found.figures(), found.routes
    for strategy, name in STRATEGIES.items():
        strategies[name] = replace(strategies[name], cheaper_than_ours_on_the_same_state=cheaper[strategy])
    return Comparison(strategies, routes)


def plan_count(plan: Plan) -> int:
    """Return how many plans `compare` makes."""
    return len(shipped_orders(plan)) * (2 * len(STRATEGIES) - 1)


def shipped_orders(plan: Plan) -> list[int]:
    """Return the orders that are bought and shipped."""
    is_bought = np.isin(plan.acts.act, (Act.BUY, Act.AMEND, Act.EXTEND))
    chosen: list[int] = np.flatnonzero(is_bought & plan.acts.is_shipped).tolist()
    return chosen


def _book() -> Book:
    return Book(request_window_us=1_000_000, retention_us=1_000_000)


def _requests(order: plan_pb2.Order, strategy: int, others: list[int]) -> Iterator[routing.PlanFulfillmentRequest]:
    """Yield an order as the others would plan it, then as it is planned and held."""
    for other in others:
        yield routing.PlanFulfillmentRequest(order=order, strategy=other, validate_only=True)  # type: ignore[arg-type]  # values of the wire
    yield routing.PlanFulfillmentRequest(order=order, strategy=strategy, ttl=TTL)  # type: ignore[arg-type]  # values of the wire


def _opened(plan: Plan) -> _Copy:
    """Return a book with catalog, network, and the stock for shipping."""
    copy, stock = _Copy(_book()), plan.stock
    skus = [
        catalog_pb2.Sku(sku_id=one.sku_id, base_unit="each", weight_milligrams=one.weight_milligrams)
        for one in plan.baskets.skus
    ]
    copy.ask(catalog.UpsertLocationsRequest(locations=plan.places.locations))
    for first in range(0, len(skus), ROWS_PER_CALL):
        copy.ask(catalog.UpsertSkusRequest(skus=skus[first : first + ROWS_PER_CALL]))
    last = len(stock) - 1
    for first in range(last - plan.ship_level_count, last, ROWS_PER_CALL):
        part = slice(first, min(first + ROWS_PER_CALL, last))
        rows = zip(stock.sku[part].tolist(), stock.location[part].tolist(), stock.on_hand[part].tolist(), strict=True)
        counts = [
            inventory.OnHandCount(sku_id=stock.sku_ids[sku], location_id=stock.location_ids[place], on_hand=units)
            for sku, place, units in rows
        ]
        copy.ask(inventory.SetOnHandRequest(counts=counts))
    copy.ask(network.UpsertNetworkRequest(network=network_message(), locations=location_messages(plan.places)))
    return copy


class _Found:
    """Sums of a stream."""

    def __init__(self, plan: Plan, orders: list[plan_pb2.Order]) -> None:
        self._plan, self._orders = plan, orders
        self._cost = self._missing = self._shipments = self._split = self._shipped = self._whole = 0
        self._unfilled = 0
        self._kilometers = 0.0
        self.routes: list[Route] = []

    def add(self, first: int, planned: Planned, others: int) -> None:
        """Add the plans of some orders, those of others before each left out."""
        for place in range(others, len(planned.results), others + 1):
            result, order = planned.results[place], self._orders[first + place // (others + 1)]
            response = routing.PlanFulfillmentResponse.FromString(planned.answers[place])
            shipments = response.plan.shipments
            self._cost += int(result["cost"])
            self._unfilled += response.plan.cost_terms.unfilled_micros
            self._missing += int(result["missing"])
            self._shipments += len(shipments)
            self._split += len(shipments) > 1
            self._shipped += len(shipments) > 0
            self._whole += not result["missing"]
            for shipment in shipments:
                self._kilometers += shipment.distance_km
                index = self._plan.places.location_ids.index(shipment.location_id)
                self.routes.append((order.destination.latitude, order.destination.longitude, index))

    def figures(self) -> StrategyFigures:
        """Return the figures."""
        count = max(1, len(self._orders))
        wanted = sum(line.quantity for order in self._orders for line in order.lines)
        return StrategyFigures(
            orders=len(self._orders),
            cost_per_order=round(self._cost / count / MICROS, 2),
            shipping_cost_per_order=round((self._cost - self._unfilled) / count / MICROS, 2),
            shipments_per_order=round(self._shipments / count, 3),
            split_rate=round(self._split / max(1, self._shipped), 4),
            fill_rate=round(1 - self._missing / max(1, wanted), 4),
            whole_order_rate=round(self._whole / count, 4),
            kilometers_per_shipment=round(self._kilometers / max(1, self._shipments), 1),
            cheaper_than_ours_on_the_same_state=0,
        )
