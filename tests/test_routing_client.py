"""The client package's calls of the routing service, blocking and with asyncio."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from onhand import client as api
from onhand.routing.v1 import plan_pb2
from routing_harness import MICROS, RoutingClient

HERE = api.Destination(latitude=0.0, longitude=0.0)


class InThreads:
    """Calls through the asyncio client, as if it were the blocking one."""

    def __init__(self, address: str) -> None:
        self._address = address

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any, **more: Any) -> Any:
            async with api.AsyncClient(self._address) as own:
                result = getattr(own, name)(*arguments, **more)
                return [each async for each in result] if isinstance(result, AsyncIterator) else await result

        return lambda *arguments, **more: asyncio.run(call(*arguments, **more))


@pytest.fixture
def shop(engine, request):
    """A network with stock, by the harness."""
    with RoutingClient(engine.address, prefix=f"{abs(hash(request.node.nodeid)):x}-") as made:
        made.build({"A": 100, "B": 300, "C": 600}, {("S", "A"): 2, ("S", "B"): 9, ("S", "C"): 9})
        yield made


@pytest.fixture(params=["blocking", "asyncio"])
def own(engine, request):
    """The client under test."""
    if request.param == "asyncio":
        yield InThreads(engine.address)
        return
    with api.Client(engine.address) as made:
        yield made


def test_a_plan_from_quote_to_rejection(shop, own):
    cart = api.Order([api.OrderLine(shop.name("S"), 5)], HERE)
    quotes = own.quote_fulfillment(cart, methods=[api.FulfillmentMethod.SHIP])
    assert [(quote.method, quote.complete) for quote in quotes] == [(api.FulfillmentMethod.SHIP, True)]
    only = own.plan_fulfillment(cart, explain=True)
    assert (only.reservation_id, only.expire_time_us) == ("", None)
    assert len(only.plan.candidates) == 3
    made = own.plan_fulfillment(cart, ttl_seconds=60, reference="order 1")
    assert made.plan.is_filled
    assert made.plan.cost_micros == sum(made.plan.cost_terms.values()) == quotes[0].cost_micros
    assert made.plan.cost_terms["shipping"] >= 5 * MICROS
    held = own.get_reservation(made.reservation_id)
    planned = {(line.sku_id, one.location_id): line.quantity for one in made.plan.shipments for line in one.lines}
    assert {(line.sku_id, line.location_id): line.open_quantity for line in held.lines} == planned
    told = own.explain_plan(reservation_id=made.reservation_id)
    assert told.plan.shipments == made.plan.shipments
    assert told.sentences
    place = made.plan.shipments[0].location_id
    rejected = own.reject_assignment(made.reservation_id, place, [(shop.name("S"), 1)])
    assert rejected.state is api.ReservationState.ACTIVE
    assert [line.quantity for one in rejected.plan.shipments for line in one.lines] == [1]
    assert rejected.rejected_until_time_us > (made.expire_time_us or 0)
    (suspect,) = own.list_stock_levels(sku_id=shop.name("S"), suspect_only=True)
    assert (suspect.location_id, bool(suspect.suspect_time_us)) == (place, True)
    assert own.get_stock_level(shop.name("S"), place) == suspect


def test_many_orders_in_one_call(shop, own):
    wanted = [api.Order([api.OrderLine(shop.name("S"), units)], HERE) for units in (2, 5, 30)]
    wanted.insert(1, api.Order([api.OrderLine(shop.name("none"), 1)], HERE))
    only = own.plan_orders(wanted)
    assert [type(one) for one in only] == [api.PlannedOrder, api.SkuNotFound, api.PlannedOrder, api.PlannedOrder]
    assert {one.reservation_id for one in only if isinstance(one, api.PlannedOrder)} == {""}
    made = own.plan_orders(wanted, ttl_seconds=60, reference="feed 7", actor="gateway")
    first, missing, second, short = made
    assert isinstance(missing, api.SkuNotFound)
    for plan, units in ((first, 2), (second, 5), (short, 13)):
        held = own.get_reservation(plan.reservation_id)
        shipped = {one.location_id: line.quantity for one in plan.shipments for line in one.lines}
        assert {line.location_id: line.open_quantity for line in held.lines} == shipped
        assert sum(shipped.values()) == units
        assert own.explain_plan(plan_id=plan.plan_id).plan.cost_micros == plan.cost_micros
    assert [(one.line, one.quantity, one.reason) for one in short.shortages] == [(0, 17, api.ReasonCode.INSUFFICIENT)]
    ids = [one.request_id for one in made if isinstance(one, api.PlannedOrder)]
    wanted.pop(1)
    again = own.plan_orders(wanted, ttl_seconds=60, reference="feed 7", actor="gateway", request_ids=ids)
    assert again == (first, second, short)
    with pytest.raises(api.ValidationFailed, match=r"latitudes\[0\]: expected -90 to 90 degrees, was nan"):
        own.plan_orders([api.Order(wanted[0].lines)], ttl_seconds=60)
    with pytest.raises(api.ValidationFailed, match=r"orders\[0\]\.destination\.place: expected latitude"):
        own.plan_orders([api.Order(wanted[0].lines, api.Destination(place="10115"))])


def test_refusals_are_typed(shop, own):
    with pytest.raises(api.SkuNotFound):
        own.plan_fulfillment(api.Order([api.OrderLine(shop.name("none"), 1)], HERE), ttl_seconds=60)
    with pytest.raises(api.ValidationFailed, match=r"order\.destination"):
        own.plan_fulfillment(api.Order([api.OrderLine(shop.name("S"), 1)]), ttl_seconds=60)
    with pytest.raises(api.PlanNotFound):
        own.explain_plan(plan_id="00000000ffffffff")


@pytest.mark.parametrize(
    ("ours", "theirs", "prefix"),
    [
        (api.FulfillmentMethod, plan_pb2.FulfillmentMethod, "FULFILLMENT_METHOD_"),
        (api.RoutingStrategy, plan_pb2.RoutingStrategy, "ROUTING_STRATEGY_"),
        (api.ReasonCode, plan_pb2.ReasonCode, "REASON_CODE_"),
    ],
)
def test_enums_are_those_of_the_wire(ours: Any, theirs: Any, prefix: str) -> None:
    values = {name.removeprefix(prefix): value for name, value in theirs.items() if value}
    assert {each.name: each.value for each in ours} == values
