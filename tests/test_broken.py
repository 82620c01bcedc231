"""A ledger that failed inside a write: nothing of the group is journaled or acknowledged, and the engine ends."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

import pytest
from bulk_harness import encode as bulk_columns
from harness import new_id
from onhand.inventory.v1 import catalog_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.routing.v1 import network_service_pb2 as networks
from onhand.routing.v1 import routing_service_pb2 as routing
from routing_harness import a_network, location_routing, order, place, plan_request
from sequencer.harness import Engine, movements, new_book, replay, reserve
from test_plan_columns import columns_of as plan_columns

from engine.api.routing import plan_columns as plan_columns_api
from engine.errors import RefusedError
from engine.planner.run import Planner
from ledger.book import Book
from ledger.broken import LedgerBroken
from ledger.core.ledger import Ledger
from ledger.parts.catalog import Catalog
from ledger.parts.network import Network
from ledger.parts.plans import Plans

REFUSAL = RefusedError("DRAINING", "It ends.")


class Bug(Exception):
    """What a failing kernel raises."""


def after(owner: Any, name: str) -> AbstractContextManager[Any]:
    """Let a function fail when it has done its part: what it wrote is there, and nobody knows of it."""
    done = getattr(owner, name)

    def fail(*args: Any, **kwargs: Any) -> Any:
        done(*args, **kwargs)
        raise Bug(name)

    return patch.object(owner, name, fail)


def lose_a_movement() -> AbstractContextManager[Any]:
    """A group whose records tell of more movements than it has."""
    take = Ledger.take_group
    return patch.object(Ledger, "take_group", lambda self: (group := take(self)) and shortened(group))


def shortened(group: Any) -> Any:
    return group._replace(movements=group.movements[:-1]) if len(group.movements) else group


def write_beyond() -> AbstractContextManager[Any]:
    """A kernel that counts more rows than there is room for."""
    execute = Ledger.execute

    def run_on(self: Any, *args: Any) -> Any:
        answer = execute(self, *args)
        self._buffers.cursor[1] = self._buffers.requests.capacity + 1
        return answer

    return patch.object(Ledger, "execute", run_on)


@pytest.fixture
def engine() -> Engine:
    made = Engine()
    made.call("UpsertLocations", catalog.UpsertLocationsRequest(locations=[place("A", 100), place("B", 300)]))
    skus = [catalog_pb2.Sku(sku_id=name, base_unit="each") for name in ("S", "T")]
    made.call("UpsertSkus", catalog.UpsertSkusRequest(skus=skus))
    made.call("RecordMovements", movements("RECEIVE", ("S", "A", 50), ("S", "B", 50), ("T", "B", 50)))
    rows = [location_routing(name, units_per_day=40) for name in ("A", "B")]
    asked = made.submit("UpsertNetwork", networks.UpsertNetworkRequest(network=a_network(), locations=rows))
    made.sequencer.step()
    made.finish_long_reads()
    assert made.is_answered(asked)
    return made


def a_plan() -> routing.PlanFulfillmentRequest:
    return plan_request(order(("S", 3), ("T", 1)), request_id=new_id())


CALLS: dict[str, Callable[[], Any]] = {
    "ReserveStock": lambda: reserve(("S", "A", 1)),
    "BatchReserveStock": lambda: reservations.BatchReserveStockRequest(requests=[reserve(("S", "A", 1))] * 3),
    "RecordMovements": lambda: movements("SALE", ("S", "A", 1)),
    "SetOnHand": lambda: inventory.SetOnHandRequest(counts=[{"sku_id": "S", "location_id": "A", "on_hand": 7}]),
    "ExecuteCommands": lambda: bulk_columns([reserve(("S", "A", 1)), movements("SALE", ("S", "A", 1))]),
    "UpsertSkus": lambda: catalog.UpsertSkusRequest(skus=[catalog_pb2.Sku(sku_id="N", base_unit="each")]),
    "CreateLocation": lambda: catalog.CreateLocationRequest(location=place("N", 1)),
    "UpsertNetwork": lambda: networks.UpsertNetworkRequest(network=a_network(rejection_days=3)),
    "PlanFulfillment": a_plan,
    "BatchPlanFulfillment": lambda: routing.BatchPlanFulfillmentRequest(requests=[a_plan(), a_plan()]),
    "PlanOrders": lambda: plan_columns([a_plan(), a_plan()]),
}
STOCK = ("ReserveStock", "BatchReserveStock", "RecordMovements", "SetOnHand", "ExecuteCommands")
PLANS = ("PlanFulfillment", "BatchPlanFulfillment", "PlanOrders")
CHANGES = ("UpsertSkus", "CreateLocation", "UpsertNetwork")
FAILURES: dict[str, tuple[Callable[[], AbstractContextManager[Any]], tuple[str, ...]]] = {
    "the kernel of commands": (lambda: after(Ledger, "execute"), (*STOCK, *CHANGES)),
    "the kernel of plans": (lambda: after(Book, "run"), PLANS),
    "what keeps plans": (lambda: after(Plans, "put"), PLANS),
    "what a planner keeps": (lambda: after(Planner, "_keep"), PLANS),
    "capacity": (lambda: after(Plans, "settle"), (*STOCK, *PLANS, *CHANGES)),
    "the catalog": (lambda: after(Catalog, "put"), ("UpsertSkus", "CreateLocation")),
    "the network": (lambda: after(Network, "put"), ("UpsertNetwork",)),
    "the end of a group": (lambda: after(Ledger, "finish_group"), (*STOCK, *PLANS, *CHANGES)),
    "sums of an entry": (lose_a_movement, (*STOCK, *PLANS)),
    "room of a buffer": (write_beyond, (*STOCK, *CHANGES)),
}


def run(engine: Engine) -> None:
    """Run some groups: what is worked out beside the writer comes with a later one."""
    for _ in range(5):
        engine.sequencer.step()


@pytest.mark.parametrize(
    ("failure", "method"), [(failure, method) for failure, (_, methods) in FAILURES.items() for method in methods]
)
def test_what_fails_inside_a_write_ends_the_engine(engine: Engine, failure: str, method: str) -> None:
    entries, digest = list(engine.journal.entries), engine.book.digest()
    before, request = engine.submit("ReserveStock", reserve(("S", "B", 1))), CALLS[method]()
    asked = engine.submit(method, request)
    with FAILURES[failure][0](), pytest.raises(LedgerBroken):
        run(engine)
    added = len(engine.journal.entries) - len(entries)
    assert not engine.is_answered(asked)
    assert engine.is_answered(before) == (added > 0), "nothing is acknowledged that is not in the journal"
    engine.sequencer.abandon(REFUSAL)
    assert engine.is_answered(asked)
    assert getattr(engine.transport.answers[asked][0], "reason", "") == "DRAINING"
    again = Engine(engine.journal.entries)
    assert again.book.ledger.verify() == []
    if not added:
        assert again.book.digest() == digest
    repeated = again.submit(method, request)
    again.sequencer.step()
    again.finish_long_reads()
    assert isinstance(again.transport.answers[repeated][0], bytes), "it serves, and what was refused is done once"
    standby = new_book()
    replay(standby, again.journal.entries)
    assert standby.digest() == again.book.digest()


def test_a_bug_between_two_writes_of_a_call_ends_the_engine(engine: Engine) -> None:
    held = engine.submit("PlanFulfillment", a_plan())
    engine.sequencer.step()
    engine.finish_long_reads()
    plan = routing.PlanFulfillmentResponse.FromString(engine.transport.answers[held][0]).plan
    reject = routing.RejectAssignmentRequest(
        reservation_id=plan.reservation_id, location_id=plan.shipments[0].location_id, request_id=new_id()
    )
    commit = reservations.CommitReservationRequest(reservation_id=plan.reservation_id)
    assert not isinstance(engine.call("CommitReservation", commit), RefusedError)
    entries = len(engine.journal.entries)
    asked = engine.submit("RejectAssignment", reject)
    with after(Book, "keep"), pytest.raises(LedgerBroken):
        run(engine)
    assert not engine.is_answered(asked)
    assert len(engine.journal.entries) == entries


REFUSED: dict[str, Callable[[], routing.PlanFulfillmentRequest]] = {
    "a sku that nobody knows": lambda: plan_request(order(("N", 1)), request_id=new_id(), reference="cart"),
    "a hold that is gone": lambda: plan_request(
        order(("S", 1)), request_id=new_id(), reservation_id="0000000100000009", reference="cart"
    ),
}


@pytest.mark.parametrize("refused", REFUSED)
@pytest.mark.parametrize("failing", ["engine.api.routing.told_again._encode", "ledger.book.Book.note"])
def test_a_bug_while_a_refusal_is_kept_ends_the_engine(engine: Engine, refused: str, failing: str) -> None:
    """Its request id is remembered already: a repeat would be told what nobody knows."""
    entries, request = len(engine.journal.entries), REFUSED[refused]()
    asked = engine.submit("PlanFulfillment", request)
    with patch(failing, side_effect=Bug()), pytest.raises(LedgerBroken):
        run(engine)
    assert not engine.is_answered(asked)
    assert len(engine.journal.entries) == entries
    again = Engine(engine.journal.entries)
    answers = [again.call("PlanFulfillment", request) for _ in range(2)]
    assert answers[0].reason == answers[1].reason != "INTERNAL_ERROR"


@pytest.mark.parametrize("method", [each for each in (*STOCK, *PLANS) if each not in ("ExecuteCommands", "PlanOrders")])
def test_a_bug_while_a_write_is_noted_ends_the_engine(engine: Engine, method: str) -> None:
    request = CALLS[method]()
    for each in getattr(request, "requests", [request]):
        each.actor = "clerk"
    asked = engine.submit(method, request)
    with patch.object(Book, "note", side_effect=Bug()), pytest.raises(LedgerBroken):
        run(engine)
    assert not engine.is_answered(asked)


@pytest.mark.parametrize("method", ["PlanOrders", "UpsertSkus", "UpsertNetwork"])
def test_a_bug_before_any_write_is_answered_and_the_engine_goes_on(engine: Engine, method: str) -> None:
    with (
        patch.object(plan_columns_api, "_Request", side_effect=Bug()),
        patch("engine.api.stock.catalog.change", side_effect=Bug()),
        patch("engine.api.routing.network.change", side_effect=Bug(), create=True),
    ):
        asked = engine.submit(method, CALLS[method]())
        engine.sequencer.step()
        engine.finish_long_reads()
    assert engine.transport.answers[asked][0].reason == "INTERNAL_ERROR"
    assert engine.call("ReserveStock", reserve(("S", "A", 1))).reservation_id
