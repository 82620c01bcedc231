"""QuoteFulfillment: by which methods a cart could be had, when and at what cost.

In two steps: `captured` takes what a quote is made of out of a book, and `quoted` makes it, from that alone.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from onhand.routing.v1 import plan_pb2 as messages
from onhand.routing.v1 import routing_service_pb2 as service

from engine.api import fields
from engine.api.lookups import active_hold
from engine.api.methods import Surroundings, Work
from engine.api.routing import plans
from engine.api.routing.networks import read_method, whole
from engine.api.routing.order_batches import CELLS_PER_ORDER_MAX, too_many_cells
from engine.api.routing.orders import (
    nearest_stores,
    order_refusal,
    read_alone,
    read_order,
    rows_of,
    stock_of,
    with_own,
)
from engine.api.routing.routers import Routers, routers_of
from engine.errors import RefusedError, invalid
from engine.planner.run import own_load_of
from ledger.book import Book
from ledger.core.limits import MICROSECONDS
from routing import order as orders
from routing.arrays import HAS_SOFT_MASKS, NONE, SHIPMENT_COUNT, Int64s, OrderArrays, Problem, Scratch, Stock, scratch
from routing.calendars import day_of
from routing.errors import RoutingInputError
from routing.geometry import unit_vector
from routing.kernel.decide import decide
from routing.network import Network
from routing.order import Order, Request
from routing.profile import Profile
from routing.report import Decision, report
from routing.rules import Method, Reason
from routing.strategies import Strategy

STORES_DEFAULT: Final = 3
STORES_MAX: Final = 20
BROUGHT: Final = (Method.SHIP, Method.DELIVERY)
COLLECTED: Final = (Method.PICKUP, Method.SHIP_TO_STORE)


class Way(NamedTuple):
    """One way to have a cart."""

    method: Method
    store: int
    """Place in the network, or NONE."""
    distance_km: float


class Quotation(NamedTuple):
    """What a quote is made of; nothing in it changes."""

    network: Network
    profile: Profile
    currency: str
    seq: int
    now: datetime
    order: Order
    ways: list[Way]
    storeless: list[tuple[Method, Reason]]
    """Methods of collecting for which there is no store, and why."""
    arrays: OrderArrays | None
    """The order by the first way; None where there is none."""
    problem: Problem
    stock: Stock
    rows: Sequence[int]


def quote_fulfillment(
    request: service.QuoteFulfillmentRequest, around: Surroundings
) -> Work[service.QuoteFulfillmentResponse]:
    """Answer QuoteFulfillment: the quote is made beside the writer."""
    response: service.QuoteFulfillmentResponse = yield partial(quoted, captured_in_full(request, around.book))
    return response


# ---- capturing -------------------------------------------------------------------------------------------------------


def captured_in_full(request: service.QuoteFulfillmentRequest, book: Book) -> Quotation:
    """Return what `captured` does; a refusal names all fields that are wrong whatever there is."""
    try:
        return captured(request, book)
    except RefusedError as error:
        raise fields.told_in_full(error, check_alone, request) from None


def check_alone(request: service.QuoteFulfillmentRequest) -> None:
    """Check all fields that can be wrong whatever there is."""
    read_alone(request.order)
    refuse_methods(request.order.lines)
    for place, value in enumerate(request.methods):
        read_method(value, f"methods[{place}]")
    whole(request.store_count_max, "store_count_max", STORES_MAX)
    kilometers(request.store_distance_km_max)
    if request.reservation_id:
        fields.reservation_number(request.reservation_id)


def refuse_methods(lines: Iterable[messages.OrderLine]) -> None:
    """Refuse what lines of a quote must not say."""
    for place, item in enumerate(lines):
        for name in ("method", "store_id"):
            if getattr(item, name):
                fields.wrong(f"order.lines[{place}].{name}", "nothing: every method is quoted", getattr(item, name))


def kilometers(value: float) -> float:
    """Check how far away a store may be; 0: as far as it likes."""
    if not value >= 0:
        fields.wrong("store_distance_km_max", "0 or more kilometers", value)
    return value


def captured(request: service.QuoteFulfillmentRequest, book: Book) -> Quotation:
    """Check a request, and take out of a book what its quote is made of; raises RefusedError."""
    hold = active_hold(book, request.reservation_id) if request.reservation_id else None
    routers = routers_of(book)
    order = read_order(request.order, book)
    refuse_methods(request.order.lines)
    parts, places = len({line.promise for line in order.lines}), len(routers.network.locations)
    if len(order.lines) * parts * places > CELLS_PER_ORDER_MAX:
        raise too_many_cells(len(order.lines), parts, places)
    methods = {read_method(value, f"methods[{place}]") for place, value in enumerate(request.methods)}
    routing, time_us = routers.routing(request.profile), book.ledger.time_us
    router, now = routing.router, datetime.fromtimestamp(time_us / MICROSECONDS, UTC)
    problem, rows = router.problem_at(now), rows_of(order)
    stores = _stores(request, order, methods, routers, problem)
    ways, storeless = _ways(methods or _all_methods(order), stores, routers)
    skus = list(dict.fromkeys(book.ledger.sku_index(line.sku) for line in order.lines))
    stock = stock_of(routers, problem, skus, book)
    if hold is not None:
        number, view = hold
        own_load = own_load_of(routers.location_indexes, problem, number, book)
        stock = with_own(stock, skus, view, routers.places, own_load)
    arrays = None
    if ways:
        first = _by_way(order, ways[0], router.network)
        arrays = orders.to_arrays(first, router.network, router.profile, rows, router.columns.channel_rows)
    return Quotation(
        router.network,
        router.profile,
        routers.currency,
        book.seq,
        now,
        order,
        ways,
        storeless,
        arrays,
        problem,
        stock,
        rows,
    )


def _all_methods(order: Order) -> set[Method]:
    """Return the methods that an order can be quoted by: without a destination nothing is brought."""
    return set(Method) if order.destination is not None else set(COLLECTED)


def _stores(
    request: service.QuoteFulfillmentRequest, order: Order, methods: set[Method], routers: Routers, problem: Problem
) -> list[tuple[int, float]]:
    """Check an order by the ways that are asked for, and return the stores that are quoted, with their kilometers."""
    count = whole(request.store_count_max, "store_count_max", STORES_MAX) or STORES_DEFAULT
    km_max = kilometers(request.store_distance_km_max)
    is_brought = order.destination is not None or not methods.isdisjoint(BROUGHT)
    try:
        if is_brought:
            orders.check(order, routers.network)
        elif km_max:
            raise invalid("store_distance_km_max", "0, since there is no destination to count from", km_max)
        stores = nearest_stores(routers, problem, order, km_max, count)
        if not is_brought:
            way = Way(Method.PICKUP, stores[0][0] if stores else NONE, 0.0)
            orders.check(_by_way(order, way, routers.network), routers.network if stores else None)
    except RoutingInputError as error:
        raise order_refusal(error) from error
    return stores


def _ways(
    methods: set[Method], stores: Sequence[tuple[int, float]], routers: Routers
) -> tuple[list[Way], list[tuple[Method, Reason]]]:
    """Return the ways to be quoted, and the methods of collecting for which there is no store."""
    collected = [method for method in COLLECTED if method in methods]
    ways = [Way(method, NONE, 0.0) for method in BROUGHT if method in methods]
    ways += [Way(method, store, km) for store, km in stores for method in collected]
    if stores:
        return ways, []
    is_any = any(one.is_active and Method.PICKUP in one.methods for one in routers.network.locations)
    return ways, [(method, Reason.MAX_DISTANCE if is_any else Reason.NO_CAPABILITY) for method in collected]


def _by_way(order: Order, way: Way, network: Network) -> Order:
    """Return an order of which all lines go one way."""
    store = network.locations[way.store].location_id if way.store != NONE else ""
    if way.method in COLLECTED and not store:
        store = "none"  # of which nothing is asked
    lines = tuple(msgspec.structs.replace(line, method=way.method, store=store) for line in order.lines)
    return msgspec.structs.replace(order, lines=lines)


# ---- quoting ---------------------------------------------------------------------------------------------------------


def quoted(given: Quotation) -> service.QuoteFulfillmentResponse:
    """Return the quote of what was captured."""
    response = service.QuoteFulfillmentResponse(currency=given.currency, seq=given.seq)
    if given.arrays is not None:
        lines, places = len(given.order.lines), len(given.network.locations)
        room = scratch(lines, len(given.arrays.method), places)
        room_of_day = scratch(lines, 1, places)
        response.quotes.extend(_quote(given, way, given.arrays, room, room_of_day) for way in given.ways)
    response.quotes.extend(_storeless(given, method, reason) for method, reason in given.storeless)
    return response


def _quote(
    given: Quotation, way: Way, first: OrderArrays, room: Scratch, room_of_day: Scratch
) -> service.FulfillmentQuote:
    """Return what one way would cost and when it would be there; or why it is none."""
    arrays = _arrays(given, way, first)
    decide(given.problem, given.stock, arrays, int(Strategy.OPTIMAL), room)
    request = Request(_by_way(given.order, way, given.network), given.stock, given.rows, given.now)
    name = Strategy.OPTIMAL.name
    decision = Decision(given.network, given.profile, request, name, given.problem, arrays, room, {})
    plan = report(decision, explain=False, refuse_hopeless=False)
    earliest = _earliest_day(given, arrays, room_of_day)
    numbers = range(len(given.order.lines))
    quote = service.FulfillmentQuote(
        method=plans.method_value(way.method),
        store_id=request.order.lines[0].store,
        complete=plan.is_filled,
        earliest_date="" if earliest is None else day_of(earliest).isoformat(),
        arrival_date=max(one.arrival for one in plan.shipments).isoformat() if plan.shipments else "",
        cost_micros=plan.cost - plan.terms.unfilled,
        shipment_count=len(plan.shipments),
        distance_km=way.distance_km,
        shortages=[plans.show_shortage(one, numbers) for one in plan.shortages],
    )
    ready: list[datetime] = [one.ready for one in plan.shipments if one.ready is not None]
    if ready:
        fields.set_time(quote.ready_time, round(max(ready).timestamp() * MICROSECONDS))
    return quote


def _storeless(given: Quotation, method: Method, reason: Reason) -> service.FulfillmentQuote:
    """Return the quote of a method of collecting for which there is no store."""
    count = {reason: len(given.network.locations)}
    shortages: Iterable[messages.LineShortage] = (
        plans.shortage_of(number, line.sku, line.quantity, count, reason)
        for number, line in enumerate(given.order.lines)
    )
    return service.FulfillmentQuote(method=plans.method_value(method), shortages=shortages)


def _arrays(given: Quotation, way: Way, first: OrderArrays) -> OrderArrays:
    """Return the order by one way: all but method, store and destination is as by the first."""
    parts = len(first.method)
    if way.store != NONE:
        store = given.network.locations[way.store]
        degrees = store.latitude, store.longitude
    else:
        found = orders.point(given.order, given.network)
        assert found is not None
        degrees = found
    return first._replace(
        method=np.full(parts, way.method, np.int32),
        store=np.full(parts, way.store, np.int32),
        destination=np.tile(np.array(unit_vector(*degrees)), (parts, 1)),
    )


def _earliest_day(given: Quotation, arrays: OrderArrays, room: Scratch) -> int | None:
    """Return the first day that a plan can promise for all lines, as a hard rule; None if not all can be had.

    The days of arrival are tried one after the other: an order that is filled by a day may be cheaper left short by a
    later one.
    """
    problem = given.problem._replace(is_promise_rule=True, is_promise_soft=False)
    whole_order = arrays._replace(
        part=np.zeros_like(arrays.part),
        method=arrays.method[:1],
        store=arrays.store[:1],
        destination=arrays.destination[:1],
    )

    def can_promise(day: int) -> bool:
        promised = whole_order._replace(promise_day=np.full(1, day, np.int32))
        decide(problem, given.stock, promised, int(Strategy.OPTIMAL), room)
        count = room.choice.facts[SHIPMENT_COUNT]
        return bool((room.choice.units[: len(arrays.units), :count].sum(axis=1) == arrays.units).all())

    can_promise(NONE)
    days: list[int] = sorted({day for day in room.menu.arrival_day.tolist() if day > NONE})
    is_all_there = room.choice.facts[HAS_SOFT_MASKS] == 0  # else a promise may drop rules that this menu keeps
    least = _least_day(room, whole_order.units) if is_all_there and days else NONE
    return next((day for day in days if day >= least and can_promise(day)), None)


def _least_day(room: Scratch, units: Int64s) -> int:
    """Return a day before which no line for itself could be there, of a menu without promises."""
    menu = room.menu
    order = np.argsort(menu.arrival_day, kind="stable")
    order = order[menu.arrival_day[order] > NONE]
    days: NDArray[np.int32] = menu.arrival_day[order]
    found = [_day_of_units(days, menu.room[line, order], int(wanted)) for line, wanted in enumerate(units)]
    return max(found, default=int(days[0]))


def _day_of_units(days: NDArray[np.int32], room: Int64s, units: int) -> int:
    enough = np.flatnonzero(np.cumsum(room) >= units)
    return int(days[enough[0]]) if len(enough) else int(days[0])
