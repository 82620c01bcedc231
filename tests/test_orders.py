"""The table of the fields of an order, held against the contract and against everybody who reads or writes orders."""

import random
from datetime import date
from typing import Any

import pytest
from onhand.client import Destination, FulfillmentMethod, Order, OrderLine, RoutingStrategy
from onhand.client import order_columns as client_columns
from onhand.client import routing as client_routing
from onhand.columns import dtypes_of
from onhand.routing.v1 import bulk_service_pb2 as bulk
from onhand.routing.v1 import plan_pb2
from onhand.routing.v1 import routing_service_pb2 as routing
from onhand.rules.orders import LINE_FIELDS, OF_LINES, OF_ORDERS
from test_plan_columns import a_side, columns_of, simple

from engine.api.routing.order_columns import OrderColumns, message_at
from engine.errors import RefusedError

HOW = {"profile": "", "strategy": RoutingStrategy.OPTIMAL, "max_shipments": 0}
PINNED = ["1eac8fd32a7c41e9", "5e7b05eca22a52e9", "d095aa425ca24c3f"]
NUMBERS = [field for field in OF_LINES if field.most and field.name != "method"]


def a_line(chance: random.Random) -> OrderLine:
    """A line in which every field may be given."""
    method = chance.choice(list(FulfillmentMethod))
    return OrderLine(
        chance.choice(["A", "B", "ü"]),
        chance.randint(1, 9),
        method,
        chance.choice(["N", "S"]) if method in (FulfillmentMethod.PICKUP, FulfillmentMethod.SHIP_TO_STORE) else "",
        chance.choice([0, 5]),
        chance.choice([None, date(2030, 1, 2)]),
    )


def an_order(chance: random.Random) -> Order:
    """An order in which every field may be given."""
    lines = [a_line(chance) for _ in range(chance.randint(1, 4))]
    return Order(lines, Destination(1.5, -2.5), chance.choice(["", "web"]), ship_complete=chance.random() < 0.5)


def names_of(message: Any) -> set[str]:
    return set(message.DESCRIPTOR.fields_by_name)


def test_the_table_has_the_fields_of_the_contract():
    assert set(LINE_FIELDS) == names_of(plan_pb2.OrderLine)
    names = {field.name.partition(".")[0] for field in OF_ORDERS}
    assert names_of(plan_pb2.Order) - {"lines"} <= names
    assert names <= names_of(plan_pb2.Order) | names_of(routing.PlanFulfillmentRequest)
    columns = [field.column for field in (*OF_ORDERS, *OF_LINES)]
    assert sorted([*columns, "line_counts"]) == sorted(dtypes_of(bulk.PlanOrdersRequest))


def test_every_field_of_an_order_is_sent():
    line = OrderLine("A", 2, FulfillmentMethod.PICKUP, "S", 5, date(2030, 1, 2))
    message = client_routing._order(Order([line], Destination(1.5, -2.5), "web", ship_complete=True))
    assert {field.name for field, _ in message.lines[0].ListFields()} == set(LINE_FIELDS)
    assert {field.name for field, _ in message.ListFields()} == names_of(plan_pb2.Order)


@pytest.mark.parametrize("seed", range(10))
def test_an_order_is_the_same_by_every_road(seed):
    chance = random.Random(seed)
    orders = [an_order(chance) for _ in range(5)]
    told = [client_routing._order(order) for order in orders]
    options = {"reference": "cart", "actor": "me"}
    sent = client_columns.plan_orders(orders, 600.0, HOW, (), options)
    columns = OrderColumns(type(sent.request).FromString(sent.request.SerializeToString()))
    kept = columns.some(range(len(orders)))
    for place, message in enumerate(told):
        for read in (columns.message(place), message_at(kept, place), message_at(columns.some([place]), 0)):
            assert read.order == message
            assert (read.reference, read.actor) == ("cart", "me")


def test_what_orders_are_hashed_to_stays():
    """Request ids are remembered with it: a repeat after an upgrade must be known."""
    chance = random.Random(1)
    orders = [an_order(chance) for _ in range(3)]
    request = client_columns.plan_orders(orders, 600.0, HOW, (), {"reference": "cart"}).request
    assert [f"{content:x}" for content in OrderColumns(request).contents] == PINNED


@pytest.mark.parametrize("field", NUMBERS, ids=lambda field: field.name)
@pytest.mark.parametrize("by", [-1, 1])
def test_a_number_out_of_its_bounds_is_refused_by_every_reader(field, by):
    side = a_side(random.Random(1))
    value = field.least - 1 if by < 0 else field.most + 1
    one = simple("S1")
    setattr(one.order.lines[0], field.name, value)
    expected = f"expected {field.least} to {field.most}, was {value}."
    for request, path in (
        (one, f"order.lines[0].{field.name}"),
        (bulk.PlanOrdersRequest.FromString(columns_of([one]).SerializeToString()), f"{field.column}[0]"),
    ):
        (refusal,) = side.group(request)
        assert isinstance(refusal, RefusedError)
        assert refusal.message == f"{path}: {expected}"
