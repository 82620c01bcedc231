"""Compiling all kernels before the first call needs them; the ledger's beside those of routing and of planning.

`python -m engine.warmup` does it for whoever waits: make, or an image that is built.
"""

import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from google.protobuf.duration_pb2 import Duration
from onhand.inventory.v1 import catalog_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.routing.v1 import network_pb2, plan_pb2
from onhand.routing.v1 import network_service_pb2 as network
from onhand.routing.v1 import routing_service_pb2 as routing

from engine.api.desk import POSITIONS, Desk
from engine.api.routing.routers import routers_of
from engine.errors import RefusedError
from engine.planner import warmup as planner_warmup
from engine.planner.run import Planner
from engine.transport import Call
from ledger import warmup as ledger_warmup
from ledger.book import Book
from ledger.core.limits import MICROSECONDS
from routing import warmup as routing_warmup

STEPS: Final[Sequence[str]] = (*ledger_warmup.STEPS, "routing", "planning")
BESIDE: Final = planner_warmup.__name__
NAME: Final = "warm-up"


def is_compiled() -> bool:
    """Tell whether the cache holds the kernels of this installation."""
    return ledger_warmup.is_compiled() and planner_warmup.is_compiled()


def warm_up(report: Callable[[str], None]) -> None:
    """Compile or load every kernel; `report` hears of each of STEPS as it begins."""
    beside = None if planner_warmup.is_compiled() else _compile_beside()
    try:
        ledger_warmup.warm_up(report)
        report("routing")
        if beside is not None and beside.wait():
            raise RuntimeError(f"{BESIDE}: ended with exit code {beside.returncode}")
        routing_warmup.warm_up()
        report("planning")
        _plan()
    finally:
        if beside is not None and beside.poll() is None:
            beside.kill()
            beside.wait()


def _compile_beside() -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", BESIDE]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603 - this Python, this package


class _Shop:
    """A book that is thrown away."""

    def __init__(self) -> None:
        self.book = Book(request_window_us=MICROSECONDS, retention_us=MICROSECONDS)

    def ask(self, request: Any) -> None:
        """Answer one call as a group of its own."""
        call = Call(0, POSITIONS[type(request)], request.SerializeToString())
        desk: Any = Desk(self)  # type: ignore[arg-type]  # the methods asked look at the book alone
        (reply,) = desk.answer([call], MICROSECONDS)
        assert not isinstance(reply.response, RefusedError), reply.response
        self.book.close_entry(epoch=1)


def _plan() -> None:
    """Plan one order over one location."""
    shop = _Shop()
    place = catalog_pb2.Location(location_id=NAME, kind=catalog_pb2.LOCATION_KIND_STORE, active=True)
    shop.ask(catalog.UpsertLocationsRequest(locations=[place]))
    shop.ask(catalog.UpsertSkusRequest(skus=[catalog_pb2.Sku(sku_id=NAME, base_unit="each")]))
    pickup = plan_pb2.FULFILLMENT_METHOD_PICKUP
    own = network_pb2.LocationRouting(location_id=NAME, calendar="daily", methods=[pickup])
    everything = network_pb2.Network(
        currency="EUR",
        calendars=[network_pb2.Calendar(name="daily", weekdays=range(1, 8))],
        profiles=[network_pb2.RoutingProfile(name=NAME, version=1)],
    )
    shop.ask(network.UpsertNetworkRequest(network=everything, locations=[own]))
    line = plan_pb2.OrderLine(sku_id=NAME, quantity=1, method=pickup, store_id=NAME)
    order = plan_pb2.Order(lines=[line])
    shop.ask(routing.PlanFulfillmentRequest(order=order, ttl=Duration(seconds=1)))
    names = routers_of(shop.book).routing("").names
    assert Planner(shop.book).find_levels(names, np.zeros(1, np.int64), 0, MICROSECONDS) == 1


if __name__ == "__main__":
    warm_up(lambda step: print(f"kernels: {step}", flush=True))  # noqa: T201 - for whoever waits for it
