"""Routing on engines of their own: many clients at the last units, crashes, and strategies on the same state."""

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import product
from pathlib import Path

import pytest
from engines import ForkedEngine
from harness import Refused, new_id
from onhand.admin.v1 import admin_service_pb2 as admin
from onhand.routing.v1 import network_pb2, plan_pb2
from onhand.routing.v1 import network_service_pb2 as networks
from routing_harness import (
    FEWEST_SPLITS,
    NEAREST,
    OPTIMAL,
    PRIORITY,
    RoutingClient,
    a_network,
    location_routing,
    order,
    shipped,
    shortages,
)
from test_standby import Pair, is_primary, wait_until

CLIENTS = 8
ORDERS_EACH = 25
UNITS = 6


@pytest.fixture
def client(engine, request):
    """A client of the shared engine whose skus, locations and network are this test's own."""
    with RoutingClient(engine.address, prefix=f"{abs(hash(request.node.nodeid)):x}-") as made:
        yield made


def test_many_clients_take_the_last_units(client):
    """No plan without its hold, nothing oversold, and what is refused has its reason."""
    skus, locations = [f"S{index}" for index in range(4)], {f"L{index}": 80.0 * index + 1 for index in range(6)}
    stock = dict.fromkeys(product(skus, locations), UNITS)
    client.build(locations, stock, {"L0": {"units_per_day": 12}})

    def shop(number: int) -> list:
        chance = random.Random(number)
        with RoutingClient(client.address, client.prefix) as own:
            wanted = [
                order(*((sku, chance.randint(1, 4)) for sku in chance.sample(skus, chance.randint(1, 3))))
                for _ in range(ORDERS_EACH)
            ]
            return [own.plan(what, request_id=new_id()) for what in wanted]

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = [answer for answers in pool.map(shop, range(CLIENTS)) for answer in answers]
    assert sum(bool(answer.plan.shortages) for answer in answers) > CLIENTS
    for answer in answers:
        planned = client.bare(shipped(answer.plan))
        assert bool(planned) == bool(answer.reservation_id)
        if planned:
            assert client.held(answer.reservation_id) == planned
        assert all(reason not in {"UNSPECIFIED", "ELIGIBLE"} for _, reason in shortages(answer.plan).values())
    taken = [units for answer in answers for units in shipped(answer.plan).values()]
    levels = [client.level(sku, location) for sku, location in stock]
    assert sum(level.reserved for level in levels) == sum(taken)
    assert all(level.reserved <= UNITS and not level.oversold for level in levels)
    at_full = sum(units for answer in answers for (_, at), units in shipped(answer.plan).items() if at.endswith("L0"))
    assert at_full <= 12
    assert client.verify().ok


def test_no_strategy_is_cheaper_on_the_same_state(client):
    chance = random.Random(3)
    locations = {f"L{index}": chance.uniform(50, 2500) for index in range(12)}
    skus = [f"S{index}" for index in range(6)]
    stocked = [level for level in product(skus, locations) if chance.random() < 0.7]
    stock = {level: chance.randint(1, 6) for level in stocked}
    own = {name: {"setup_micros": chance.randint(0, 3_000_000), "priority": chance.randint(1, 5)} for name in locations}
    client.build(locations, stock, own)
    for _ in range(60):
        what = order(*((sku, chance.randint(1, 5)) for sku in chance.sample(skus, chance.randint(1, 4))))
        costs = {
            strategy: client.plan(what, strategy=strategy, validate_only=True).plan.cost_micros
            for strategy in (OPTIMAL, NEAREST, FEWEST_SPLITS, PRIORITY)
        }
        assert costs[OPTIMAL] == min(costs.values())
        client.plan(what)


@pytest.mark.parametrize("with_snapshot", [False, True])
def test_a_crash_loses_no_plan(tmp_path: Path, with_snapshot: bool):
    flags = ["--port", "0", "--data-folder", str(tmp_path / "data")]
    process = ForkedEngine(flags, log_file=tmp_path / "engine.log")
    with ExitStack() as stack, process:
        client = stack.enter_context(RoutingClient(process.address))
        stock = {("S", "A"): 30, ("S", "B"): 30, ("T", "B"): 5}
        client.build({"A": 100, "B": 300}, stock, {"A": {"units_per_day": 12}})
        request_id = new_id()
        first = client.plan(order(("S", 10), ("T", 1)), request_id=request_id, reference="order 1")
        client.commit(first.reservation_id)
        if with_snapshot:
            seq = client.call(client.admin.Checkpoint, admin.CheckpointRequest()).seq
            while client.status().snapshot_seq < seq:
                pass
        rejected = client.reject(first.reservation_id, "B")
        told = client.explain(reservation_id=first.reservation_id)
        first_told = client.explain(plan_id=first.plan.plan_id)
        network = client.call(client.network.GetNetwork, networks.GetNetworkRequest()).network
        digest = client.verify().digest
        process.kill()
        process.start()
        again = stack.enter_context(RoutingClient(process.address))
        assert again.verify().digest == digest
        assert again.call(again.network.GetNetwork, networks.GetNetworkRequest()).network == network
        assert again.plan(order(("S", 10), ("T", 1)), request_id=request_id, reference="order 1") == first
        assert again.explain(reservation_id=first.reservation_id).plan == told.plan
        assert again.explain(plan_id=first.plan.plan_id).plan == first_told.plan
        assert rejected.plan.plan_id == told.plan.plan_id
        # the capacity that the first plan took at A is taken, and B is not asked again
        after = again.plan(order(("S", 10)), reference="order 1")
        assert 0 < shipped(after.plan).get(("S", "A"), 0) <= 2
        assert ("S", "B") not in shipped(after.plan)
        assert again.level("T", "B").HasField("suspect_time")


# ---- wrong fields ----------------------------------------------------------------------------------------------------


def test_wrong_fields_are_named(client):
    client.build({"A": 100}, {("S", "A"): 5}, {"A": {"methods": [1]}}, channels=[])
    elsewhere = plan_pb2.Destination(place="nowhere")
    nothing = plan_pb2.Destination()
    half = plan_pb2.Destination(latitude=52.5)
    wrong = {
        "order.lines": ({"what": plan_pb2.Order()}, "expected 1 to 100 entries, was 0"),
        "order.lines[0].quantity": ({"what": order(("S", 0))}, "expected 1 to 1000000, was 0"),
        "order.lines[0].method": ({"what": order(("S", 1, {"method": 9}))}, "was 9"),
        "order.lines[0].store_id": ({"what": order(("S", 1, {"method": 2, "store_id": "A"}))}, "does not"),
        "order.lines[0].promise_date": ({"what": order(("S", 1, {"promise_date": "soon"}))}, "YYYY-MM-DD"),
        "order.destination.place": ({"what": order(("S", 1), destination=elsewhere)}, '"nowhere"'),
        "order.destination": ({"what": order(("S", 1), destination=nothing)}, "was neither"),
        "order.destination.longitude": ({"what": order(("S", 1), destination=half)}, "since latitude is given"),
        "order.channel": ({"what": order(("S", 1), channel="tv")}, '"tv"'),
        "profile": ({"what": order(("S", 1)), "profile": "best"}, "expected one of standard@1"),
        "strategy": ({"what": order(("S", 1)), "strategy": 9}, "was 9"),
        "max_shipments": ({"what": order(("S", 1)), "max_shipments": 6}, "expected 0 to 5, was 6"),
        "ttl": ({"what": order(("S", 1)), "ttl": 14_401}, "at most 14400 s"),
        "request_id": ({"what": order(("S", 1)), "request_id": "x"}, "UUID"),
    }
    for field, (arguments, told) in wrong.items():
        with pytest.raises(Refused) as refused:
            client.plan(**arguments)
        assert refused.value.reason == "VALIDATION_FAILED", field
        assert refused.value.fields == [field]
        assert told in refused.value.message
        assert refused.value.message.startswith(f"{field}: ")
    with pytest.raises(Refused, match="SKU-9") as refused:
        client.plan(order(("SKU-9", 1)))
    assert refused.value.reason == "SKU_NOT_FOUND"
    with pytest.raises(Refused, match="DELIVERY") as refused:
        client.plan(order(("S", 1, {"method": 4})))
    assert refused.value.fields == ["order.lines[0]"]
    assert client.level("S", "A").reserved == 0


def test_a_promise_that_nobody_can_keep_is_named(client):
    hard = network_pb2.RoutingProfile(name="hard", version=3, promise=network_pb2.RULE_STRENGTH_HARD)
    client.build({"A": 100}, {("S", "A"): 5}, profiles=[hard])
    with pytest.raises(Refused, match="or later") as refused:
        client.plan(order(("S", 1, {"promise_date": "2020-01-01"})))
    assert refused.value.fields == ["order.lines[0].promise_date"]
    assert client.plan(order(("S", 1)), profile="hard@3").plan.profile == "hard@3"


def test_without_a_network_nothing_is_planned(tmp_path: Path):
    flags = ["--port", "0", "--data-folder", str(tmp_path / "data")]
    with ForkedEngine(flags, log_file=tmp_path / "engine.log") as process, RoutingClient(process.address) as client:
        client.sku("S")
        for call in (lambda: client.plan(order(("S", 1))), lambda: client.quote(order(("S", 1)))):
            with pytest.raises(Refused) as refused:
                call()
            assert refused.value.reason == "NETWORK_NOT_FOUND"
        with pytest.raises(Refused) as refused:
            client.put_network(a_network(), [location_routing("X")])
        assert refused.value.reason == "LOCATION_NOT_FOUND"


def test_a_standby_that_takes_over_has_the_plans(tmp_path: Path):
    pair = Pair(tmp_path)
    with ExitStack() as stack:
        stack.callback(pair.stop)
        engines = [pair.engine("--standby"), pair.engine("--standby")]
        wait_until(lambda: sorted(map(is_primary, engines)) == [False, True])
        standby, primary = sorted(engines, key=is_primary)
        client = stack.enter_context(RoutingClient(primary.address))
        client.build({"A": 100, "B": 300}, {("S", "A"): 30, ("S", "B"): 30}, {"A": {"units_per_day": 12}})
        request_id = new_id()
        made = client.plan(order(("S", 10)), request_id=request_id, reference="order 1")
        client.reject(made.reservation_id, "A", ("S", 3))
        told = client.explain(reservation_id=made.reservation_id).plan
        digest = client.verify().digest
        primary.kill()
        wait_until(lambda: is_primary(standby))
        again = stack.enter_context(RoutingClient(standby.address))
        assert again.verify().digest == digest
        assert again.plan(order(("S", 10)), request_id=request_id, reference="order 1") == made
        assert again.explain(reservation_id=made.reservation_id).plan == told
        assert again.held(made.reservation_id) == {("S", "A"): 7, ("S", "B"): 3}
        assert again.bare(shipped(again.plan(order(("S", 5)), strategy=NEAREST).plan)) == {("S", "A"): 5}
        assert again.bare(shipped(again.plan(order(("S", 5)), strategy=NEAREST).plan)) == {("S", "B"): 5}
