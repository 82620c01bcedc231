"""Quotes: dates that plans keep, and per method and line why not."""

import random
from datetime import date, timedelta
from typing import Any

import pytest
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.routing.v1 import network_pb2, plan_pb2
from onhand.routing.v1 import network_service_pb2 as networks
from onhand.routing.v1 import routing_service_pb2 as routing
from routing_harness import (
    DELIVERY,
    PICKUP,
    SHIP,
    SHIP_TO_STORE,
    a_network,
    lines,
    location_routing,
    order,
    place,
    plan_request,
    reason_name,
    shortages,
)
from test_routing_state import Side

from engine.errors import RefusedError

HARD = network_pb2.RoutingProfile(name="standard", version=1, promise=network_pb2.RULE_STRENGTH_HARD)
NOWHERE = plan_pb2.Order(lines=lines(("S", 2)))


def quotes(side: Side, what: plan_pb2.Order, **more: Any) -> dict[tuple[int, str], routing.FulfillmentQuote]:
    answer = side.ask(routing.QuoteFulfillmentRequest(order=what, **more))
    return {(quote.method, quote.store_id): quote for quote in answer.quotes}


def refusal(side: Side, what: plan_pb2.Order, **more: Any) -> RefusedError:
    reply = side.group(routing.QuoteFulfillmentRequest(order=what, **more))[0]
    assert isinstance(reply, RefusedError), reply
    return reply


def shortage_by(side: Side, what: plan_pb2.Order, quote: routing.FulfillmentQuote, day: date, **more: Any) -> bool:
    """Whether a plan that promises a day, as a hard rule, leaves units short."""
    request = plan_request(what, validate_only=True, **more)
    for line in request.order.lines:
        line.method, line.store_id, line.promise_date = quote.method, quote.store_id, day.isoformat()
    reply = side.group(request)[0]
    return isinstance(reply, RefusedError) or bool(shortages(reply.plan))


def check_date(side: Side, what: plan_pb2.Order, quote: routing.FulfillmentQuote) -> None:
    """A plan keeps the date of a quote, and no plan keeps an earlier one."""
    if not quote.earliest_date:
        assert shortage_by(side, what, quote, date(2100, 1, 1))
        return
    earliest = date.fromisoformat(quote.earliest_date)
    assert not shortage_by(side, what, quote, earliest)
    assert shortage_by(side, what, quote, earliest - timedelta(days=1))


def build(stock: dict[tuple[str, str], int], slow: dict[str, int], **rules: Any) -> Side:
    """Locations that need so many days to handle; a hard promise."""
    side = Side()
    side.build({name: 100.0 + 10 * index for index, name in enumerate(slow)}, stock)
    rows = [location_routing(name, handling_days=days) for name, days in slow.items()]
    given = network_pb2.RoutingProfile()
    given.CopyFrom(HARD)
    given.MergeFrom(network_pb2.RoutingProfile(**rules))
    side.ask(networks.UpsertNetworkRequest(network=a_network(profiles=[given]), locations=rows))
    return side


def test_lines_of_one_sku_share_its_units():
    side = build({("S", "A"): 3, ("S", "B"): 3}, {"A": 0, "B": 4})
    what = order(("S", 2), ("S", 2))
    ship = quotes(side, what)[SHIP, ""]
    assert ship.complete
    check_date(side, what, ship)


def test_lines_share_the_capacity_of_a_day():
    side = build({(sku, name): 9 for sku in "ST" for name in "AB"}, {"A": 0, "B": 4})
    side.ask(networks.UpsertLocationRoutingRequest(locations=[location_routing("A", units_per_day=3)]))
    what = order(("S", 2), ("T", 2))
    check_date(side, what, quotes(side, what)[SHIP, ""])


def test_a_day_that_needs_more_shipments_than_allowed():
    stock = {("S", "A"): 9, ("T", "B"): 9, ("S", "C"): 9, ("T", "C"): 9}
    side = build(stock, {"A": 0, "B": 0, "C": 5}, max_shipments=1)
    what = order(("S", 1), ("T", 1))
    check_date(side, what, quotes(side, what)[SHIP, ""])


def test_a_day_by_which_all_is_filled_though_later_some_would_be_left():
    """B is cheaper and has one unit: who may wait for it is left short of the other."""
    side = build({("S", "A"): 2, ("S", "B"): 1}, {"A": 0, "B": 3}, max_shipments=1, unfilled_micros=8_000_000)
    dear = location_routing("A", setup_micros=9_500_000)
    side.ask(networks.UpsertLocationRoutingRequest(locations=[dear]))
    what = order(("S", 2))
    ship = quotes(side, what)[SHIP, ""]
    assert (ship.complete, shortages(ship)) == (False, {"S": (1, "MAX_SHIPMENTS")})
    assert ship.earliest_date
    assert not shortage_by(side, what, ship, date.fromisoformat(ship.earliest_date))


def test_dates_of_random_quotes_are_kept():
    chance = random.Random(11)
    for _ in range(12):
        names = [f"L{number}" for number in range(chance.randint(2, 6))]
        stock = {(sku, name): chance.randint(0, 4) for sku in "STU" for name in names if chance.random() < 0.8}
        stock |= {(sku, names[0]): 1 for sku in "STU"}
        side = build(stock, {name: chance.randint(0, 6) for name in names}, max_shipments=chance.randint(1, 3))
        rows = [
            location_routing(name, handling_days=chance.randint(0, 6), units_per_day=chance.randint(1, 6))
            for name in chance.sample(names, len(names) // 2)
        ]
        side.ask(networks.UpsertLocationRoutingRequest(locations=rows))
        for sku in "STU":
            policy = inventory.SetStockPolicyRequest(sku_id=sku, location_id=names[0], backorder_limit=2)
            side.ask(policy)
        for _ in range(4):
            wanted = [(chance.choice("STU"), chance.randint(1, 4)) for _ in range(chance.randint(1, 4))]
            what = order(*wanted, ship_complete=chance.random() < 0.2)
            for quote in quotes(side, what).values():
                check_date(side, what, quote)


def test_without_a_destination_stores_are_quoted():
    side = build({("S", "A"): 3, ("S", "B"): 3}, {"A": 0, "B": 1})
    found = quotes(side, NOWHERE)
    assert set(found) == {(method, store) for method in (PICKUP, SHIP_TO_STORE) for store in ("A", "B")}
    assert found[PICKUP, "A"].complete
    assert found[PICKUP, "A"].distance_km == 0
    assert set(quotes(side, NOWHERE, methods=[PICKUP], store_count_max=1)) == {(PICKUP, "A")}
    assert refusal(side, NOWHERE, methods=[SHIP, PICKUP]).metadata["field"] == "order.destination"
    assert refusal(side, NOWHERE, store_distance_km_max=5.0).metadata["field"] == "store_distance_km_max"


def test_what_is_impossible_is_told_with_its_reasons():
    side = build({("S", "A"): 3, ("T", "B"): 3}, {"A": 0, "B": 1})
    found = quotes(side, order(("S", 2), ("T", 1)))
    delivery = found[DELIVERY, ""]
    assert not delivery.complete
    assert (delivery.earliest_date, delivery.arrival_date, delivery.shipment_count, delivery.cost_micros) == (
        "",
        "",
        0,
        0,
    )
    told = [(one.line, one.quantity, reason_name(one.reason)) for one in delivery.shortages]
    assert told == [(0, 2, "NO_CAPABILITY"), (1, 1, "NO_CAPABILITY")]
    assert [reason_name(one.reason) for one in found[PICKUP, "A"].shortages] == ["NOT_STOCKED"]
    assert found[SHIP, ""].complete


@pytest.mark.parametrize(("is_closed", "reason"), [(True, "NO_CAPABILITY"), (False, "MAX_DISTANCE")])
def test_collecting_without_a_store(is_closed, reason):
    side = build({("S", "A"): 3}, {"A": 0})
    if is_closed:
        side.ask(networks.UpsertLocationRoutingRequest(locations=[location_routing("A", methods=[SHIP])]))
    found = quotes(side, order(("S", 2)), methods=[PICKUP, SHIP_TO_STORE], store_distance_km_max=10.0)
    assert set(found) == {(PICKUP, ""), (SHIP_TO_STORE, "")}
    for quote in found.values():
        assert not quote.complete
        assert [reason_name(one.reason) for one in quote.shortages] == [reason]


def test_a_closed_network_is_quoted():
    side = build({("S", "A"): 3}, {"A": 0})
    side.ask(catalog.UpsertLocationsRequest(locations=[place("A", 100, active=False)]))
    ship = quotes(side, order(("S", 2)))[SHIP, ""]
    assert [reason_name(one.reason) for one in ship.shortages] == ["INACTIVE"]
