"""Compiling the kernel before the first order needs it: one order over one location, thrown away."""

from datetime import UTC, datetime
from typing import Final

import numpy as np

from routing.arrays import Stock
from routing.calendars import Calendar
from routing.kernel import ROOM
from routing.kernel.decide import decide
from routing.network import Location, Network
from routing.order import Line, Order, Request
from routing.profile import Profile
from routing.rules import Method
from routing.strategies import Router

PICKUP_ONLY: Final = Location(
    location_id="warm-up", latitude=0, longitude=0, calendar="daily", methods=frozenset({Method.PICKUP})
)


def is_compiled() -> bool:
    """Tell whether the cache holds the kernel of this installation."""
    return ROOM.holds(decide)


def router() -> Router:
    """Return a router over one location."""
    network = Network(
        version=1,
        currency="EUR",
        locations=(PICKUP_ONLY,),
        calendars={"daily": Calendar("daily", frozenset(range(7)), frozenset())},
    )
    return Router(network, Profile(name="warm-up", version=1))


def warm_up() -> None:
    """Compile or load the kernel."""
    stock = Stock(
        available=np.ones((1, 1), np.int64),
        backorder=np.zeros((1, 1), np.int64),
        protected=np.zeros((0, 1), np.int64),
        level_cost=np.zeros((0, 1), np.int64),
        load=np.zeros(1, np.int64),
        location_price=np.zeros(1, np.int64),
    )
    order = Order(lines=(Line(sku="warm-up", quantity=1, method=Method.PICKUP, store="warm-up"),))
    now = datetime(2000, 1, 1, tzinfo=UTC)
    plan = router().plan(Request(order, stock, [0], now), explain=True)
    assert plan.is_filled
