"""The planning kernel: it reads what routing reads, and answers what routing says, by code of its own."""

import random
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.routing.v1 import plan_pb2
from onhand.routing.v1 import routing_service_pb2 as routing
from test_plan_columns import a_side, an_order
from test_routing_state import Side

from bench.routing_calls import plan_of
from engine.api.routing.order_batches import OrderBatchBuilder
from engine.api.routing.orders import Task, captured, decided, read_order, rows_of
from engine.api.routing.routers import routers_of
from engine.planner.kernel import wire
from engine.planner.kernel.step import plan_orders
from engine.planner.records import IS_COMPLETE, IS_SPLIT_FORBIDDEN
from engine.planner.run import planner_of
from engine.planner.warmup import compile_planning
from engine.warmup import warm_up
from ledger.core.kernels.execute import execute_batch
from ledger.core.limits import MICROSECONDS
from ledger.parts.load import DAY_US
from routing import order as orders
from routing.kernel.decide import decide as routing_decide
from routing.kernel.itemize import itemize
from routing.plan import Plan
from routing.rules import Reason
from routing.strategies import Strategy
from routing.verifier import verify


@pytest.mark.parametrize("seed", range(20))
def test_orders_are_read_as_routing_reads_them(seed):
    chance = random.Random(seed)
    side = a_side(random.Random(1))
    requests = [an_order(chance) for _ in range(12)]
    builder = OrderBatchBuilder(side.book)
    for request in requests:
        builder.add(request, b"", side.now_us)
    batch = builder.take()
    router = routers_of(side.book).routing("").router
    for row, request in zip(batch.orders, requests, strict=True):
        order = read_order(request.order, side.book)
        arrays = orders.to_arrays(order, router.network, router.profile, rows_of(order), router.columns.channel_rows)
        lines = batch.lines[row["line_start"] : row["line_start"] + row["line_count"]]
        parts = batch.parts[row["part_start"] : row["part_start"] + row["part_count"]]
        for name in ("row", "units", "weight", "restrictions", "unfilled_cost", "part"):
            assert lines[name].tolist() == getattr(arrays, name).tolist(), name
        for name in ("method", "store", "promise_day"):
            assert parts[name].tolist() == getattr(arrays, name).tolist(), name
        assert np.stack([parts[axis] for axis in "xyz"], axis=1).tolist() == arrays.destination.tolist()
        assert row["shipments_max"] == arrays.shipments_max
        assert bool(row["flags"] & IS_COMPLETE) == arrays.is_complete
        assert bool(row["flags"] & IS_SPLIT_FORBIDDEN) == arrays.is_split_forbidden
        names = bytes(batch.text).decode()
        assert [names[line["name_start"] : line["name_end"]] for line in lines] == [
            line.sku_id for line in request.order.lines
        ]


def told(plan: Plan) -> dict[str, Any]:
    """What a plan says."""
    return {
        "shipments": plan.shipments,
        "shortages": [(one.line, one.sku, one.quantity, one.reason, one.reason_counts) for one in plan.shortages],
        "terms": plan.terms,
        "facts": (
            plan.profile,
            plan.network_version,
            plan.cost,
            plan.is_proved,
            plan.used_second_pass,
            plan.evaluations,
        ),
    }


def with_counts(plan: Plan, message: plan_pb2.FulfillmentPlan) -> dict[str, Any]:
    found = told(plan)
    counts = [{Reason(one.reason - 1): one.location_count for one in short.reasons} for short in message.shortages]
    found["shortages"] = [(*short[:-1], own) for short, own in zip(found["shortages"], counts, strict=True)]
    return found


@pytest.mark.parametrize("seed", range(6))
def test_the_answer_is_what_routing_says(seed):
    """Written as bytes by the kernel, against the report that routing makes of its own decision on the same state."""
    chance = random.Random(seed)
    side = a_side(random.Random(seed))
    shortage_count = 0
    for number in range(60):
        request = an_order(chance)
        request.strategy = number % 4 + 1
        if chance.random() < 0.3:
            sku, location = f"S{chance.randint(0, 5)}", f"L{chance.randint(0, 7)}"
            policy = inventory.SetStockPolicyRequest(
                sku_id=sku,
                location_id=location,
                safety_stock=chance.randint(0, 4),
                backorder_limit=chance.randint(0, 4),
            )
            side.group(policy)
        task = Task(read_order(request.order, side.book), "", Strategy(request.strategy - 1), 0)
        found = decided(captured(task, side.book, side.now_us))
        expected = found.plan()
        router = found.router
        assert verify(expected, router.network, router.profile, found.request) == []
        message = side.ask(request).plan
        made = plan_of(message)
        assert with_counts(made, message) == told(expected)
        assert verify(made, router.network, router.profile, found.request) == []
        shortage_count += len(message.shortages)
        side.now_us += chance.choice([MICROSECONDS, 40 * MICROSECONDS, DAY_US // 5])
        side.group()
    assert shortage_count > 5


def test_days_and_numbers_on_the_wire():
    """Fields as protobuf's own library writes them, at their limits."""
    buffer = np.zeros(256, np.uint8)
    for day in [0, 1, 59, 60, 365, 11_016, 11_017, 19_782, 20_512, 47_540, 2_932_896]:
        at = wire.put_day(buffer, 256, 5, day)
        text = datetime.fromtimestamp(0, UTC).toordinal() + day
        expected = plan_pb2.Shipment(arrival_date=datetime.fromordinal(text).date().isoformat())
        assert bytes(buffer[at:]) == expected.SerializeToString()
    for value in [0, 1, 127, 128, 2**31, 2**63 - 1, -1, -(2**63)]:
        at = wire.put_number(buffer, 256, 9, np.int64(value))
        assert bytes(buffer[at:]) == plan_pb2.FulfillmentPlan(cost_micros=value).SerializeToString()
    for number in [0, 1, 2**63 - 1]:
        at = wire.put_name(buffer, 256, 1, number)
        expected = plan_pb2.FulfillmentPlan(plan_id=f"{number:016x}" if number else "")
        assert bytes(buffer[at:]) == expected.SerializeToString()


def test_names_beyond_ascii_are_told_as_they_are():
    side = Side()
    side.build({"Köln-1": 50.0, "東京-2": 300.0}, {("Tee-ß", "Köln-1"): 1, ("Tee-ß", "東京-2"): 5})
    request = routing.PlanFulfillmentRequest(
        order=plan_pb2.Order(
            lines=[plan_pb2.OrderLine(sku_id="Tee-ß", quantity=7)],
            destination=plan_pb2.Destination(latitude=0.0, longitude=0.0),
        )
    )
    request.ttl.FromMicroseconds(60 * MICROSECONDS)
    plan = side.ask(request).plan
    assert {one.location_id for one in plan.shipments} == {"Köln-1", "東京-2"}
    assert {line.sku_id for one in plan.shipments for line in one.lines} == {"Tee-ß"}
    assert [(one.sku_id, one.quantity) for one in plan.shortages] == [("Tee-ß", 1)]
    assert side.ask(routing.ExplainPlanRequest(plan_id=plan.plan_id)).plan.cost_micros == plan.cost_micros


def test_no_call_compiles_a_kernel():
    """What is warmed up before an engine serves is what calls need: one signature of each kernel, before and after."""
    warm_up(lambda _: None)
    compile_planning()  # as it is done beside the ledger's kernels
    kernels = plan_orders, routing_decide, itemize, execute_batch
    before = [len(kernel.signatures) for kernel in kernels]
    chance = random.Random(3)
    side = a_side(chance)
    for _ in range(20):
        side.group(*(an_order(chance) for _ in range(3)))
    assert [len(kernel.signatures) for kernel in kernels] == before
    assert before[0] == 1


@pytest.mark.slow  # it compiles planning and routing anew
def test_a_problem_of_other_types_is_planned_all_the_same(monkeypatch):
    """Addresses are of kernels for the arrays of one network; nothing says that the next network's are alike."""
    side = a_side(random.Random(1))
    plain = an_order(random.Random(5))
    plain.validate_only = True
    before = side.ask(plain).plan.cost_micros
    planner = planner_of(side.book)
    problem = planner._problem[0]
    assert problem is not None
    writable = problem._replace(is_active=problem.is_active.copy())
    assert writable.is_active.flags.writeable != problem.is_active.flags.writeable
    router = routers_of(side.book).routing(plain.profile).router
    monkeypatch.setattr(router, "problem_at", lambda _: writable)
    assert side.ask(plain).plan.cost_micros == before
    assert len(planner._kernels) == 2
