"""What Python's collector looks through, and when: never everything at once. No call leaves cycles behind."""

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness import new_id
from onhand.inventory.v1 import catalog_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.routing.v1 import network_service_pb2 as networks
from onhand.routing.v1 import routing_service_pb2 as routing
from routing_harness import a_network, order, plan_request
from test_plan_columns import columns_of
from test_routing_state import Side

from engine.cycles import COLLECTED_MAX, COLLECTIONS_MAX, LOOKED_AFTER, OLD_MAX, CycleCollector


class Node:
    """Holds itself."""

    def __init__(self) -> None:
        self.own = self


@pytest.fixture
def cycles() -> Iterator[CycleCollector]:
    frozen = gc.get_freeze_count()
    with CycleCollector() as cycles:
        cycles.settle(anew=False)
        yield cycles
    if frozen:  # what the tests keep frozen
        gc.freeze()


def grow_old(collections: int = LOOKED_AFTER) -> None:
    """Let what there is grow old."""
    for _ in range(collections):
        gc.collect(1)


@pytest.mark.usefixtures("cycles")
def test_nothing_old_is_looked_through_by_itself():
    lost = weakref.ref(Node())
    grow_old(COLLECTIONS_MAX // 10)
    assert lost() is None  # it was young
    node = Node()
    grow_old()
    lost = weakref.ref(node)
    del node
    kept = [[] for _ in range(10 * OLD_MAX)]
    assert lost() is not None
    assert kept


@pytest.mark.parametrize("count", [OLD_MAX + 1, COLLECTED_MAX - OLD_MAX // 2])
def test_what_grew_old_is_looked_through_while_it_is_little(cycles, count):
    frozen = gc.get_freeze_count()
    node, kept = Node(), [[] for _ in range(count)]
    grow_old()
    lost = weakref.ref(node)
    del node
    cycles.look()
    assert lost() is None
    assert gc.get_freeze_count() >= frozen + count
    assert len(kept) == count


def test_a_rush_stays_without_being_looked_at(cycles):
    frozen = gc.get_freeze_count()
    seen = []
    gc.callbacks.append(lambda _, info: seen.append(info["generation"]))
    try:
        kept = [[] for _ in range(COLLECTED_MAX + 1)]
        grow_old()
        cycles.look()
    finally:
        gc.callbacks.pop()
    assert set(seen) <= {0, 1}
    assert gc.get_freeze_count() >= frozen + len(kept)


def test_few_old_objects_are_looked_through_now_and_then(cycles):
    node = Node()
    grow_old()
    lost = weakref.ref(node)
    del node
    cycles.look()
    assert lost() is not None
    grow_old(COLLECTIONS_MAX)
    cycles.look()
    assert lost() is None


def test_what_is_built_anew_lets_the_one_before_go(cycles):
    node = Node()
    cycles.settle(anew=False)
    lost = weakref.ref(node)
    del node
    cycles.settle(anew=False)
    assert lost() is not None
    cycles.settle(anew=True)
    assert lost() is None


# ---- what calls leave behind -----------------------------------------------------------------------------------------


def reserve(units: int, sku_id: str = "S", **more: Any) -> reservations.ReserveStockRequest:
    lines = [{"sku_id": sku_id, "location_id": "A", "quantity": units}]
    return reservations.ReserveStockRequest(lines=lines, ttl={"seconds": 60}, **more)


NOBODYS = f"{(1 << 32) + 99:016x}"
CALLS: dict[str, Callable[[], Any]] = {
    "a hold": lambda: reserve(1),
    "a hold that is short": lambda: reserve(10**6, request_id=new_id()),
    "a hold of what is unknown": lambda: reserve(1, "N"),
    "a hold that is wrong": lambda: reserve(0, expected_version=3),
    "a plan": lambda: plan_request(order(("S", 1)), request_id=new_id()),
    "a plan of what is unknown": lambda: plan_request(order(("N", 1)), request_id=new_id()),
    "a plan that nobody may fill": lambda: plan_request(order(("LIPO", 1)), request_id=new_id()),
    "a plan that is wrong": lambda: plan_request(order(("S", 0))),
    "a plan of a hold that is gone": lambda: plan_request(order(("S", 1)), reservation_id=NOBODYS),
    "plans": lambda: routing.BatchPlanFulfillmentRequest(
        requests=[plan_request(order((sku_id, units))) for sku_id in ("N", "LIPO", "S") for units in (0, 1)]
    ),
    "orders in columns": lambda: columns_of(
        [plan_request(order((sku_id, 1)), request_id=new_id()) for sku_id in ("N", "LIPO", "S")]
    ),
    "orders in columns that are wrong": lambda: columns_of([plan_request(order(("S", 1)), ttl=10**9)]),
    "a quote": lambda: routing.QuoteFulfillmentRequest(order=order(("LIPO", 1))),
    "a quote of what is unknown": lambda: routing.QuoteFulfillmentRequest(order=order(("N", 1))),
    "a rejection": lambda: routing.RejectAssignmentRequest(
        reservation_id=NOBODYS, location_id="A", request_id=new_id()
    ),
    "an explanation": lambda: routing.ExplainPlanRequest(reservation_id=NOBODYS),
    "a sku that is wrong": lambda: catalog.UpsertSkusRequest(skus=[catalog_pb2.Sku(sku_id="")]),
    "a network that is wrong": lambda: networks.UpsertNetworkRequest(network=a_network(currency="")),
    "a read of what is unknown": lambda: reservations.GetReservationRequest(reservation_id=NOBODYS),
    "a page that nobody gave": lambda: networks.GetNetworkRequest(page_token="x"),
}


@pytest.fixture(scope="module")
def side() -> Side:
    made = Side()
    made.build({"A": 100, "B": 300}, {("S", "A"): 500, ("S", "B"): 500})
    lipo = catalog_pb2.Sku(sku_id="LIPO", base_unit="each", restrictions=["lithium"])
    made.ask(catalog.UpsertSkusRequest(skus=[lipo]))
    for call in CALLS.values():  # what is made once, such as compiled functions, has cycles
        made.group(call())
    return made


@pytest.mark.parametrize("what", CALLS)
def test_no_call_leaves_cycles(side: Side, what: str):
    """Refusals know where they were raised, and frames there all that the call worked on: a whole network, perhaps."""
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            side.group(CALLS[what]())
        assert gc.collect() == 0
    finally:
        gc.enable()
