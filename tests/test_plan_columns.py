"""Orders in columns: the same plans as by calls one by one, refusals by order, wrong entries by name."""

import random
import uuid
from typing import Any

import numpy as np
import pytest
from bulk_requests import damage
from onhand.columns import PlanRequestColumns, dtypes_of, write_column
from onhand.routing.v1 import bulk_service_pb2 as bulk
from onhand.routing.v1 import network_pb2, plan_pb2
from onhand.routing.v1 import network_service_pb2 as networks
from onhand.routing.v1 import routing_service_pb2 as routing
from routing_harness import a_network, location_routing
from test_routing_state import Side

from engine.api.routing.order_columns import OrderColumns
from engine.errors import RefusedError
from ledger.core.limits import MICROSECONDS

DTYPES = dtypes_of(bulk.PlanOrdersRequest)
SHIP, PICKUP, SHIP_TO_STORE = (
    plan_pb2.FULFILLMENT_METHOD_SHIP,
    plan_pb2.FULFILLMENT_METHOD_PICKUP,
    plan_pb2.FULFILLMENT_METHOD_SHIP_TO_STORE,
)
PLANNED, REFUSED = bulk.PLAN_STATUS_PLANNED, bulk.PLAN_STATUS_REFUSED


def columns_of(requests: list[routing.PlanFulfillmentRequest], **more: Any) -> Any:
    """Requests of calls one by one as one call in columns; profile and strategy are those of the first."""
    first = requests[0]
    names: dict[str, dict[str, int]] = {name: {} for name in ("sku_ids", "location_ids", "channels", "texts")}

    def index(dictionary: str, name: str) -> int:
        return names[dictionary].setdefault(name, len(names[dictionary])) if name else -1

    lines = [line for request in requests for line in request.order.lines]
    days = [int(np.datetime64(line.promise_date).astype(int)) if line.promise_date else -1 for line in lines]
    columns = {
        "line_counts": [len(request.order.lines) for request in requests],
        "ttl_us": [request.ttl.ToMicroseconds() for request in requests],
        "latitudes": [request.order.destination.latitude for request in requests],
        "longitudes": [request.order.destination.longitude for request in requests],
        "ship_complete": [request.order.ship_complete for request in requests],
        "channel_indexes": [index("channels", request.order.channel) for request in requests],
        "reference_indexes": [index("texts", request.reference) for request in requests],
        "actor_indexes": [index("texts", request.actor) for request in requests],
        "sku_indexes": [index("sku_ids", line.sku_id) for line in lines],
        "quantities": [line.quantity for line in lines],
        "methods": [line.method or SHIP for line in lines],
        "store_indexes": [index("location_ids", line.store_id) for line in lines],
        "promise_days": days,
        "unit_values_micros": [line.unit_value_micros for line in lines],
    } | more
    ids = b"".join(uuid.UUID(request.request_id or str(uuid.UUID(int=0))).bytes for request in requests)
    made = PlanRequestColumns(
        profile=first.profile, strategy=first.strategy, max_shipments=first.max_shipments, request_ids=ids
    )
    for field, values in columns.items():
        write_column(getattr(made, field), np.array(values), DTYPES[field])
    for field, found in names.items():
        getattr(made, field).extend(found)
    return made


def ask(side: Side, columns: Any) -> bulk.PlanOrdersResponse:
    """Answer a call in columns."""
    return side.ask(bulk.PlanOrdersRequest.FromString(columns.SerializeToString()))


def rows_of(answer: bulk.PlanOrdersResponse) -> list[dict[str, Any]]:
    """What came of each order, as plans one by one have it."""
    count = len(answer.statuses)

    def column(name: str, length: int) -> list[Any]:
        return list(getattr(answer, name)) or [0] * length

    shipment_counts, shortage_counts = column("shipment_counts", count), column("shortage_counts", count)
    shipments = zip(
        *(column(name, sum(shipment_counts)) for name in ("location_indexes", "methods", "arrival_days")),
        *(column(name, sum(shipment_counts)) for name in ("shipment_costs_micros", "shipment_line_counts")),
        strict=True,
    )
    lines = zip(answer.lines or [0] * len(answer.quantities), answer.quantities, strict=True)
    names = "shortage_lines", "shortage_quantities", "shortage_reasons"
    shortages = zip(*(column(name, sum(shortage_counts)) for name in names), strict=True)
    found = []
    for order in range(count):
        rows = []
        for _ in range(shipment_counts[order]):
            location, method, day, cost, line_count = next(shipments)
            own = [next(lines) for _ in range(line_count)]
            rows.append((answer.location_ids[location], method, str(np.datetime64(day, "D")), cost, own))
        found.append(
            {
                "ids": tuple(column(name, count)[order] for name in ("plan_ids", "reservation_ids", "expire_times_us")),
                "cost": column("costs_micros", count)[order],
                "shipments": rows,
                "shortages": [next(shortages) for _ in range(shortage_counts[order])],
            }
        )
    return found


def row_of(response: routing.PlanFulfillmentResponse) -> dict[str, Any]:
    plan = response.plan
    return {
        "ids": (
            int(plan.plan_id or "0", 16),
            int(plan.reservation_id or "0", 16),
            response.expire_time.ToMicroseconds(),
        ),
        "cost": plan.cost_micros,
        "shipments": [
            (
                one.location_id,
                one.method,
                one.arrival_date,
                sum(value for _, value in one.cost_terms.ListFields()),
                [(line.line, line.quantity) for line in one.lines],
            )
            for one in plan.shipments
        ],
        "shortages": [(one.line, one.quantity, one.reason) for one in plan.shortages],
    }


LOCATIONS = {f"L{index}": 60.0 + 170.0 * index for index in range(8)}


def a_side(chance: random.Random) -> Side:
    made = Side()
    stock = {(f"S{sku}", name): chance.randint(1, 9) for sku in range(6) for name in LOCATIONS if chance.random() < 0.7}
    made.build(LOCATIONS, stock, units_per_day=60, backlog_days_max=2)
    lane = network_pb2.Lane(from_location_id="L5", to_location_id="L1", base_micros=500_000, days=1)
    rows = [location_routing(name, methods=[SHIP, PICKUP, SHIP_TO_STORE]) for name in LOCATIONS]
    soft = network_pb2.RoutingProfile(name="soft", version=2, promise=network_pb2.RULE_STRENGTH_SOFT)
    network = a_network(lanes=[lane], profiles=[soft, network_pb2.RoutingProfile(name="other", version=1)])
    made.ask(networks.UpsertNetworkRequest(network=network, locations=rows))
    return made


def an_order(chance: random.Random) -> routing.PlanFulfillmentRequest:
    lines = []
    for _ in range(chance.randint(1, 5)):
        line = plan_pb2.OrderLine(sku_id=f"S{chance.randint(0, 5)}", quantity=chance.randint(1, 5))
        line.method = chance.choice([SHIP, SHIP, SHIP, PICKUP, SHIP_TO_STORE])
        if line.method != SHIP:
            line.store_id = chance.choice(["L1", "L2"])
        if chance.random() < 0.3:
            line.promise_date = chance.choice(["2026-11-20", "2026-12-24"])
        line.unit_value_micros = chance.randint(0, 10**7)
        lines.append(line)
    order = plan_pb2.Order(
        lines=lines,
        destination=plan_pb2.Destination(latitude=chance.uniform(-3, 3), longitude=chance.uniform(-3, 20)),
        ship_complete=chance.random() < 0.1,
    )
    made = routing.PlanFulfillmentRequest(order=order, reference=chance.choice(["", "o1", "o2"]))
    made.ttl.FromMicroseconds(chance.randint(1, 600) * MICROSECONDS)
    if chance.random() < 0.5:
        made.request_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
    return made


@pytest.mark.parametrize("seed", range(12))
def test_columns_plan_as_calls_one_by_one(seed):
    """Two books, the same orders by both ways: equal plans, equal holds; then both explain and reject alike."""
    chance = random.Random(seed)
    one_by_one, in_columns = a_side(random.Random(seed)), a_side(random.Random(seed))
    profile, strategy, most = chance.choice(["", "other", "soft@2"]), chance.randint(0, 4), chance.randint(0, 4)
    for _ in range(3):
        requests = [an_order(chance) for _ in range(chance.randint(1, 20))]
        for request in requests:
            request.profile, request.strategy, request.max_shipments = profile, strategy, most
        batch = one_by_one.ask(routing.BatchPlanFulfillmentRequest(requests=requests))
        answer = ask(in_columns, columns_of(requests))
        assert [row_of(result.planned) for result in batch.results] == rows_of(answer)
        assert set(answer.statuses) == {PLANNED}
        assert one_by_one.book.verify() == in_columns.book.verify() == []
        assert one_by_one.book.plans.load.rows() == in_columns.book.plans.load.rows()
        for result in batch.results:
            if not result.planned.reservation_id:
                continue
            explain = routing.ExplainPlanRequest(plan_id=result.planned.plan.plan_id)
            assert one_by_one.ask(explain) == in_columns.ask(explain)
        held = [result.planned for result in batch.results if result.planned.reservation_id]
        if held:
            chosen = chance.choice(held)
            reject = routing.RejectAssignmentRequest(
                reservation_id=chosen.reservation_id, location_id=chosen.plan.shipments[0].location_id
            )
            assert one_by_one.ask(reject) == in_columns.ask(reject)
        for side in (one_by_one, in_columns):
            side.now_us += 30 * MICROSECONDS


def test_columns_are_orders_again():
    chance = random.Random(5)
    requests = [an_order(chance) for _ in range(9)]
    for request in requests:
        request.request_id = ""
        request.ClearField("ttl")
    columns = OrderColumns(columns_of(requests))
    assert [columns.message(order) for order in range(len(requests))] == requests
    kept = OrderColumns(PlanRequestColumns.FromString(columns.some([7, 2])))
    assert [kept.message(order) for order in range(2)] == [requests[7], requests[2]]


def simple(*skus: str, **more: Any) -> routing.PlanFulfillmentRequest:
    lines = [plan_pb2.OrderLine(sku_id=sku, quantity=1, method=SHIP) for sku in skus]
    request = routing.PlanFulfillmentRequest(
        order=plan_pb2.Order(lines=lines, destination=plan_pb2.Destination(latitude=0.5, longitude=0.5)), **more
    )
    request.ttl.FromMicroseconds(60 * MICROSECONDS)
    return request


def test_a_refused_order_does_not_keep_the_others():
    side = a_side(random.Random(1))
    request_id = str(uuid.UUID(int=7, version=4))
    requests = [
        simple("S1", request_id=request_id),
        simple("S1", "none"),
        simple("S2"),
        simple("S1", request_id=request_id),
    ]
    answer = ask(side, columns_of(requests))
    assert list(answer.statuses) == [PLANNED, REFUSED, PLANNED, PLANNED]
    assert list(answer.refused_orders) == [1]
    assert list(answer.refused_reasons) == ["SKU_NOT_FOUND"]
    assert answer.refused_messages[0].startswith("order.lines[1].sku_id: sku ")
    first, _, second, again = rows_of(answer)
    assert again == first != second
    changed = columns_of([simple("S2", request_id=request_id)])
    assert list(ask(side, changed).refused_reasons) == ["REQUEST_ID_REUSED"]
    other_way = side.group(simple("S1", request_id=request_id))[0]
    assert isinstance(other_way, RefusedError)
    assert other_way.reason == "REQUEST_ID_REUSED"


def test_an_order_that_nobody_may_serve_is_refused_alone():
    side = a_side(random.Random(1))
    hard = network_pb2.RoutingProfile(name="hard", version=1, promise=network_pb2.RULE_STRENGTH_HARD)
    side.ask(networks.UpsertNetworkRequest(network=a_network(profiles=[hard])))
    late = simple("S1")
    late.order.lines[0].promise_date = "2020-01-01"
    answer = ask(side, columns_of([simple("S1"), late]))
    assert list(answer.statuses) == [PLANNED, REFUSED]
    assert answer.refused_messages[0].startswith("order.lines[0].promise_date: expected ")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"quantities": [0, 1]}, "quantities[0]: expected 1 to 1000000, was 0."),
        ({"sku_indexes": [0, 9]}, "sku_indexes[1]: expected 0 to 1, an index in sku_ids, was 9."),
        ({"line_counts": [1, 0]}, "line_counts[1]: expected 1 to 100, was 0."),
        ({"line_counts": [1, 2]}, "sku_indexes: expected 3 entries, the sum of line_counts, was 2 entries."),
        ({"ttl_us": [0]}, "ttl_us[0]: expected 1 to 14400000000 microseconds, was 0."),
        ({"latitudes": [1.0, 91.0]}, "latitudes[1]: expected -90 to 90 degrees, was 91.0."),
        ({"longitudes": [float("nan"), 1.0]}, "longitudes[0]: expected -180 to 180 degrees, was nan."),
        ({"latitudes": []}, "latitudes: expected an entry for each order"),
        ({"methods": [9]}, "methods[0]: expected 1 to 4, was 9."),
        ({"methods": [PICKUP]}, "store_indexes[0]: expected "),
        ({"promise_days": [-5, -1]}, "promise_days[0]: expected -1, or days since 1970-01-01 up to 2932896, was -5."),
        ({"channel_indexes": [3]}, "channel_indexes[0]: expected "),
        ({"actor_indexes": [0]}, "actor_indexes[0]: expected "),
        ({"unit_values_micros": [-1]}, "unit_values_micros[0]: expected 0 to 1000000000000, was -1."),
        ({"quantities": [1, 1, 1]}, "quantities: expected 2 entries, or one for all, or none, was 3 entries."),
    ],
)
def test_a_wrong_entry_refuses_the_call_by_name(more, told):
    side = a_side(random.Random(1))
    before = side.book.seq
    request = columns_of([simple("S1"), simple("S2")], **more)
    reply = side.group(bulk.PlanOrdersRequest.FromString(request.SerializeToString()))[0]
    assert isinstance(reply, RefusedError)
    assert reply.message.startswith(told)
    assert side.book.seq == before


def test_at_most_so_many_orders():
    side = a_side(random.Random(1))
    answer = ask(side, columns_of([simple("S1")] * 1_024))
    assert len(answer.statuses) == 1_024
    reply = side.group(bulk.PlanOrdersRequest.FromString(columns_of([simple("S1")] * 1_025).SerializeToString()))[0]
    assert isinstance(reply, RefusedError)
    assert reply.message == "line_counts: expected 1 to 1024 entries, was 1025 entries."


def test_repeats_are_answered_whatever_the_network_is_by_then():
    side = a_side(random.Random(1))
    requests = [simple("S1", request_id=str(uuid.UUID(int=number + 1, version=4))) for number in range(3)]
    pickup = simple("S2", request_id=str(uuid.UUID(int=99, version=4)))
    pickup.order.lines[0].method, pickup.order.lines[0].store_id = PICKUP, "L2"
    wanted = columns_of([*requests, pickup])
    first = rows_of(ask(side, wanted))
    rows = [location_routing(name, methods=[SHIP, PICKUP, SHIP_TO_STORE]) for name in ("L0", "L7", "L2")]
    channel = network_pb2.Channel(name="web", location_groups=["x"])
    profile = network_pb2.RoutingProfile(name="whole", version=3, ship_complete=True)
    network = a_network(channels=[channel], profiles=[profile])
    side.ask(networks.UpsertNetworkRequest(network=network, locations=rows, replace_locations=True))
    assert rows_of(ask(side, wanted)) == first
    side.ask(networks.UpsertNetworkRequest(network=network, locations=rows[:2], replace_locations=True))
    assert rows_of(ask(side, wanted)) == first  # a store that left: all are repeats


def test_columns_of_minus_one_are_kept():
    side = a_side(random.Random(1))
    request = simple("S1", "S2")
    request.order.destination.latitude = request.order.destination.longitude = -1.0
    answer = ask(side, columns_of([request]))
    plan_id = f"{answer.plan_ids[0]:016x}"
    told = side.ask(routing.ExplainPlanRequest(plan_id=plan_id)).plan
    km = {one.location_id: one.distance_km for one in told.candidates}
    assert all(one.distance_km == km[one.location_id] for one in told.shipments)


def test_promises_beyond_the_calendar_are_refused():
    side = a_side(random.Random(1))
    request = columns_of([simple("S1")], promise_days=[2_932_897])
    reply = side.group(bulk.PlanOrdersRequest.FromString(request.SerializeToString()))[0]
    assert isinstance(reply, RefusedError)
    assert reply.message.startswith("promise_days[0]: expected -1, or days since 1970-01-01 up to 2932896, was 2932897")


@pytest.mark.parametrize("seed", range(150))
def test_however_many_columns_are_wrong_the_first_is_the_reason(seed):
    chance = random.Random(seed)
    side = a_side(random.Random(1))
    columns = columns_of([an_order(chance) for _ in range(4)])
    call = bulk.PlanOrdersRequest.FromString(columns.SerializeToString())
    damage(call, chance)
    digest = side.book.digest()
    refusal = refused(side, call)
    if refusal is None:
        return
    assert refusal.reason in {"VALIDATION_FAILED", "REQUEST_ID_REUSED"}
    assert side.book.digest() == digest
    told = [problem.field for problem in refusal.problems]
    assert refusal.message.startswith(f"{told[0]}: ")
    assert len(set(told)) == len(told)


def refused(side: Side, call: bulk.PlanOrdersRequest) -> RefusedError | None:
    try:
        side.ask(call)
    except RefusedError as refusal:
        return refusal
    return None
