"""Fulfillment orders as callers see them: by plain gRPC, the client package and `onhand`; and over crashes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onhand.client as api
import pytest
from engines import ForkedEngine
from google.protobuf.timestamp_pb2 import Timestamp
from harness import Client, Refused, Stage, new_id
from onhand.inventory.v1 import request_service_pb2 as requests
from onhand.inventory.v1 import reservation_pb2, stock_pb2
from onhand.order.v1 import fulfillment_pb2
from onhand.order.v1 import fulfillment_service_pb2 as fulfillment
from onhand.rules import limits
from typer.testing import CliRunner

from engine.cli import app

State, Verb = fulfillment_pb2.FulfillmentState, fulfillment_pb2.FulfillmentVerb


@pytest.fixture
def shop(client: Client) -> Client:
    Stage(client)
    return client


def refused(call: Callable[..., object], *arguments: object, **more: object) -> Refused:
    with pytest.raises(Refused) as error:
        call(*arguments, **more)
    return error.value


def given(client: Client, *lines: tuple[str, int], at: str = "X", method: str = "SHIP", **more: object) -> str:
    """An order of units at a location, given to it to be fulfilled; returns the fulfillment order."""
    order = client.reserve(*((sku, at, units) for sku, units in lines)).reservation_id
    client.commit(order)
    made = client.assign(order, at, *lines, method=f"FULFILLMENT_METHOD_{method}", **more)
    assert (made.state, made.version) == (State.FULFILLMENT_STATE_OPEN, 1)
    return str(made.fulfillment_order_id)


def state(client: Client, number: str) -> str:
    return State.Name(client.get_work(number).state).removeprefix("FULFILLMENT_STATE_")


def shown(client: Client, number: str, sku: str = "A") -> dict[str, int]:
    """Units of a line by the field that has them, those with none left out."""
    (line,) = [line for line in client.get_work(number).lines if line.sku_id == client.name(sku)]
    fields = {field.name.removesuffix("_quantity"): value for field, value in line.ListFields()}
    return {name: value for name, value in fields.items() if name not in ("sku_id", "quantity")}


def stock(client: Client, sku: str = "A", at: str = "X") -> tuple[int, int, int]:
    level = client.level(sku, at)
    return level.on_hand, level.committed, level.available


def test_from_the_shelf_to_the_doorstep(shop):
    number = given(shop, ("A", 3), ("B", 1), due_time=Timestamp(seconds=1_900_000_000), reference="order 1")
    found = shop.get_work(number)
    assert (found.location_id, found.method, found.due_time.seconds) == (shop.name("X"), 1, 1_900_000_000)
    assert [line.quantity for line in found.lines] == [3, 1]
    for verb, after in (("ACCEPT", "ACCEPTED"), ("START_PICKING", "PICKING"), ("PICK", "PICKED"), ("PACK", "PACKED")):
        assert Verb.Value(f"FULFILLMENT_VERB_{verb}") in shop.get_work(number).allowed_verbs
        shop.advance(number, verb)
        assert state(shop, number) == after
    assert stock(shop) == (100, 3, 97)
    shop.advance(number, "SHIP", ("A", 2), reference="parcel 1")
    assert (state(shop, number), shown(shop, number)) == ("PACKED", {"picked": 1, "shipped": 2})
    shop.advance(number, "SHIP", reference="parcel 2")
    shop.advance(number, "DELIVER")
    assert (state(shop, number), stock(shop), stock(shop, "B")) == ("DELIVERED", (97, 0, 97), (99, 0, 99))
    order = shop.get(found.reservation_id)
    assert order.state == reservation_pb2.RESERVATION_STATE_FULFILLED
    assert [(line.quantity, line.fulfilled_quantity) for line in order.lines] == [(3, 3), (1, 1)]


def test_what_is_refused_says_what_there_is_instead(shop):
    number = given(shop, ("A", 2), method="PICKUP")
    told = refused(shop.advance, number, "SHIP")
    assert (told.reason, told.metadata["state"], told.metadata["method"]) == ("VERB_NOT_ALLOWED", "OPEN", "PICKUP")
    assert "MAKE_READY" in told.metadata["allowed"].split(",")
    assert "SHIP" not in told.metadata["allowed"].split(",")
    assert told.message.startswith("verb: this fulfillment order is OPEN, by PICKUP: expected ACCEPT or ")
    shop.advance(number, "CANCEL")
    told = refused(shop.advance, number, "CANCEL")
    assert told.message == "verb: this fulfillment order is CANCELLED, by PICKUP: expected PUT_BACK, was CANCEL."
    late = refused(shop.advance, number, "PUT_BACK", expected_version=1)
    assert (late.reason, late.metadata["version"]) == ("VERSION_MISMATCH", "2")
    assert refused(shop.advance, "00000001000000ff", "ACCEPT").reason == "DOCUMENT_NOT_FOUND"
    assert refused(shop.get_work, "00000001000000ff").message.startswith(
        'fulfillment_order_id: fulfillment order "00000001000000ff" does not exist'
    )
    transfer = shop.create_transfer("X", "Y", ("A", 1)).transfer_id
    assert refused(shop.advance, transfer, "ACCEPT").reason == "DOCUMENT_NOT_FOUND"
    assert refused(shop.get_transfer, number).reason == "DOCUMENT_NOT_FOUND"


@pytest.mark.parametrize(
    ("verb", "lines", "field"),
    [
        ("ACCEPT", [("A", 1)], "lines"),
        ("SHORT_PICK", [], "lines"),
        ("SHIP", [("A", 0)], "lines[0].quantity"),
        ("SHIP", [("A", -1)], "lines[0].quantity"),
        ("SHIP", [("A", 2**31 - 1), ("A", 1)], "lines[1].quantity"),
    ],
)
def test_what_is_wrong_is_named(shop, verb, lines, field):
    number = given(shop, ("A", 2))
    assert (refused(shop.advance, number, verb, *lines).reason, state(shop, number)) == (
        "VALIDATION_FAILED",
        "OPEN",
    )
    assert field in refused(shop.advance, number, verb, *lines).fields


def test_numbers_that_are_no_verb_state_or_method_are_named(shop):
    number = given(shop, ("A", 2))
    wrong = fulfillment.AdvanceFulfillmentOrderRequest(fulfillment_order_id=number, verb=99)
    assert refused(shop.call, shop.fulfillment.AdvanceFulfillmentOrder, wrong).fields == ["verb"]
    none = shop.work_request(number, "PICK", ("A", 1))
    none.verb = Verb.FULFILLMENT_VERB_UNSPECIFIED
    assert refused(shop.call, shop.fulfillment.AdvanceFulfillmentOrder, none).fields == ["verb"]
    assert refused(shop.list_work, states=[1, 99, -1], methods=[0]).fields == ["states[1]", "states[2]", "methods[0]"]
    assert refused(shop.list_transfers, states=[-1, 2**31 - 1]).fields == ["states[0]", "states[1]"]
    assert refused(shop.assign, "0000000100000001", "X", ("A", 1), method=9).fields == ["method"]


def test_more_than_the_order_has_is_listed(shop):
    order = shop.reserve(("A", "X", 2), ("B", "X", 2)).reservation_id
    assert refused(shop.assign, order, "X", ("A", 1)).reason == "RESERVATION_NOT_COMMITTED"
    shop.commit(order)
    told = refused(shop.assign, order, "X", ("A", 3), ("B", 1), ("B", 2))
    x = shop.name("X")
    assert (told.reason, told.shortages) == (
        "QUANTITY_EXCEEDS_OPEN",
        [(shop.name("A"), x, 3, 2), (shop.name("B"), x, 3, 2)],
    )
    shop.assign(order, "X", ("A", 2))
    assert refused(shop.assign, order, "X", ("A", 1)).shortages == [(shop.name("A"), x, 1, 0)]


def test_an_order_has_only_so_many_at_a_time(shop):
    shop.receive("A", "X", 1)
    order = shop.reserve(("A", "X", 101)).reservation_id
    shop.commit(order)
    for _ in range(100):
        shop.assign(order, "X", ("A", 1))
    told = refused(shop.assign, order, "X", ("A", 1))
    assert (told.reason, told.metadata["field"]) == ("TOO_MANY_LINES", "reservation_id")
    assert told.message == "reservation_id: expected at most 100 open transfers and fulfillment orders of one order."


def test_what_can_be_done_is_told_by_the_units_that_there_are(shop):
    number = given(shop, ("A", 2))
    put_back = Verb.FULFILLMENT_VERB_PUT_BACK
    assert put_back not in shop.get_work(number).allowed_verbs
    shop.advance(number, "PICK")
    shop.advance(number, "CANCEL", ("A", 1))
    assert put_back in shop.get_work(number).allowed_verbs


def test_fo6_a_shelf_that_has_less(shop):
    number = given(shop, ("A", 100))
    shop.advance(number, "PACK")
    shop.count("A", "X", 98)
    told = refused(shop.advance, number, "SHIP")
    assert (told.reason, told.shortages[0][2:]) == ("INSUFFICIENT_STOCK", (100, 98))
    shop.advance(number, "SHORT_PICK", ("A", 2))
    level = shop.level("A", "X")
    assert (level.on_hand, level.committed, level.available) == (98, 98, 0)
    assert level.HasField("suspect_time"), "it waits to be counted"
    shop.advance(number, "SHIP")
    shop.count("A", "X", 0)
    assert not shop.level("A", "X").HasField("suspect_time")


def test_fo14_of_a_wave_of_picks_one_is_refused(shop):
    numbers = [given(shop, ("A", 1)) for _ in range(3)]
    shop.advance(numbers[1], "CANCEL")
    asked = fulfillment.BatchAdvanceFulfillmentOrdersRequest(
        requests=[shop.work_request(number, "START_PICKING", request_id=new_id()) for number in numbers]
    )
    for _ in range(2):  # a repeat is told the same
        results = shop.call(shop.fulfillment.BatchAdvanceFulfillmentOrders, asked).results
        assert [each.WhichOneof("result") for each in results] == ["advanced", "refused", "advanced"]
        assert results[1].refused.reason == "VERB_NOT_ALLOWED"
        assert [each.advanced.version for each in results] == [2, 0, 2]
    assert [state(shop, number) for number in numbers] == ["PICKING", "CANCELLED", "PICKING"]


def test_a_wave_that_is_too_large_is_refused_whole(shop):
    number = given(shop, ("A", 1))
    wide = shop.work_request(number, "PICK", *[("A", 1)] * 90)
    asked = fulfillment.BatchAdvanceFulfillmentOrdersRequest(requests=[shop.work_request(number, "ACCEPT")] * 1_001)
    assert refused(shop.call, shop.fulfillment.BatchAdvanceFulfillmentOrders, asked).fields == ["requests"]
    asked = fulfillment.BatchAdvanceFulfillmentOrdersRequest(requests=[wide] * 1_000)
    skus = [f"S{place}" for place in range(100)]
    shop.sku(*skus)
    for sku in skus:
        shop.receive(sku, "X", 1)
    many = given(shop, *((sku, 1) for sku in skus))
    asked = fulfillment.BatchAdvanceFulfillmentOrdersRequest(requests=[shop.work_request(many, "ACCEPT")] * 82)
    assert refused(shop.call, shop.fulfillment.BatchAdvanceFulfillmentOrders, asked).fields == ["requests"]
    assert state(shop, many) == "OPEN"


def test_the_work_of_a_location_and_of_an_order(shop):
    due = Timestamp(seconds=1_900_000_000)
    here = [given(shop, ("A", 1), due_time=due), given(shop, ("A", 1), method="PICKUP"), given(shop, ("B", 1))]
    there = given(shop, ("A", 1), at="Y")
    shop.advance(here[2], "ACCEPT")
    x, open_only = shop.name("X"), [State.FULFILLMENT_STATE_OPEN]

    def listed(**filters: object) -> list[str]:
        return [each.fulfillment_order_id for each in shop.list_work(**filters)]

    assert listed(location_id=x) == here
    assert listed(location_id=x, states=open_only) == here[:2]
    assert listed(location_id=x, methods=["FULFILLMENT_METHOD_PICKUP"]) == [here[1]]
    assert listed(location_id=x, due_before=Timestamp(seconds=1_900_000_001)) == [here[0]]
    assert listed(location_id=x, due_before=due) == []
    assert listed(reservation_id=shop.get_work(there).reservation_id) == [there]
    counts = shop.status()
    assert counts.open_fulfillment_order_count >= 4
    shop.advance(there, "SHIP")
    assert shop.status().ended_fulfillment_order_count >= 1


def test_the_history_and_the_request_tell_what_it_was(shop):
    request_id = new_id()
    order = shop.reserve(("A", "X", 3)).reservation_id
    shop.commit(order)
    number = shop.assign(order, "X", ("A", 3), request_id=request_id).fulfillment_order_id
    shop.advance(number, "SHORT_PICK", ("A", 1), actor="Ada")
    shop.advance(number, "SHIP", reference="parcel 9")
    found = shop.movements(fulfillment_order_id=number)
    types = [stock_pb2.MovementType.Name(each.type).removeprefix("MOVEMENT_TYPE_") for each in found]
    assert [(kind, each.quantity, each.actor, each.reference) for kind, each in zip(types, found, strict=True)] == [
        ("CANCEL", 1, "Ada", ""),
        ("MISSING", 1, "Ada", ""),
        ("FULFILL", 2, "", "parcel 9"),
    ]
    assert {(each.fulfillment_order_id, each.transfer_id, each.reservation_id) for each in found} == {(number, "", "")}
    outcome = shop.call(shop.requests.GetRequestOutcome, requests.GetRequestOutcomeRequest(request_id=request_id))
    assert outcome.operation == requests.REQUEST_OPERATION_CHANGE_FULFILLMENT_ORDER
    assert (outcome.fulfillment_order_id, outcome.transfer_id, outcome.version) == (number, "", 1)


def test_the_client_package_has_the_same(shop):
    x, sku = shop.name("X"), shop.name("A")
    with api.Client(shop.address) as caller:
        held = caller.reserve([(sku, x, 4)], ttl_seconds=60)
        caller.commit(held.reservation_id)
        made = caller.create_fulfillment_order(
            held.reservation_id, x, [(sku, 4)], method=api.FulfillmentMethod.PICKUP, due_time_us=1_900_000_000_000_000
        )
        number = made.fulfillment_order_id
        with pytest.raises(api.VerbNotAllowed) as error:
            caller.advance_fulfillment_order(number, api.FulfillmentVerb.SHIP)
        assert (error.value.state, "MAKE_READY" in error.value.allowed) == ("OPEN", True)
        ready = caller.advance_fulfillment_order(number, api.FulfillmentVerb.MAKE_READY, expected_version=1)
        assert (ready.state, ready.version) == (api.FulfillmentState.READY_FOR_PICKUP, 2)
        steps = [
            api.FulfillmentStep(number, api.FulfillmentVerb.COLLECT, [(sku, 3)]),
            api.FulfillmentStep(number, api.FulfillmentVerb.MAKE_READY),
            api.FulfillmentStep(number, api.FulfillmentVerb.GIVE_UP_PICKUP),
        ]
        done, not_done, given_up = caller.advance_fulfillment_orders(steps, actor="till 2")
        assert isinstance(done, api.FulfillmentChanged)
        assert isinstance(not_done, api.VerbNotAllowed)
        assert isinstance(given_up, api.FulfillmentChanged)
        found = caller.get_fulfillment_order(number)
        assert found.lines == (api.FulfillmentLine(sku, 4, collected=3, to_put_back=1),)
        assert (found.state, found.method) == (api.FulfillmentState.NOT_COLLECTED, api.FulfillmentMethod.PICKUP)
        assert found.allowed_verbs == (api.FulfillmentVerb.PUT_BACK,)
        assert found.due_time_us == 1_900_000_000_000_000
        assert [each.fulfillment_order_id for each in caller.list_fulfillment_orders(location_id=x)] == [number]
        moved = list(caller.list_movements(fulfillment_order_id=number))
        assert [each.quantity for each in moved] == [3, 1]


@pytest.mark.parametrize("time_us", [0, -1, limits.TIME_US_MAX + 1, 10**18, 2**62])
def test_a_time_that_no_timestamp_has_is_refused_by_its_name(shop, time_us):
    x, sku = shop.name("X"), shop.name("A")
    with api.Client(shop.address) as caller:
        with pytest.raises(api.RefusedError, match="due_time_us"):
            caller.create_fulfillment_order("1", x, [(sku, 1)], due_time_us=time_us)
        with pytest.raises(api.RefusedError, match="due_before_us"):
            list(caller.list_transfers(due_before_us=time_us))


def test_the_last_time_of_a_timestamp_is_kept(shop):
    x, sku = shop.name("X"), shop.name("A")
    with api.Client(shop.address) as caller:
        held = caller.reserve([(sku, x, 1)], ttl_seconds=60)
        caller.commit(held.reservation_id)
        last = limits.TIME_US_MAX
        made = caller.create_fulfillment_order(held.reservation_id, x, [(sku, 1)], due_time_us=last)
        assert caller.get_fulfillment_order(made.fulfillment_order_id).due_time_us == last


def onhand(address: str, *words: str) -> tuple[int, Any]:
    """Exit code of a command, and what it said: JSON, or why not."""
    result = CliRunner().invoke(app, ["fulfillment", *words, "--address", address])
    return result.exit_code, json.loads(result.stdout) if result.exit_code == 0 else result.stderr


def test_the_command_has_the_same(shop):
    x, sku = shop.name("X"), shop.name("A")
    order = shop.reserve(("A", "X", 4)).reservation_id
    shop.commit(order)
    code, made = onhand(
        shop.address,
        "create",
        order,
        x,
        f"{sku}=4",
        "--method",
        "ship-to-store",
        "--due",
        "2030-03-17",
        "--actor",
        "me",
    )
    assert (code, made["state"]) == (0, "OPEN")
    number = made["fulfillment_order_id"]
    code, told = onhand(shop.address, "advance", number, "ship")
    assert (code, "expected ACCEPT or " in told) == (1, True)
    for verb, units, after in (("pick", [f"{sku}=1"], "PICKING"), ("make-ready", [], "READY_FOR_PICKUP")):
        assert onhand(shop.address, "advance", number, verb, *units, "--reference", "wave 1")[1]["state"] == after
    code, found = onhand(shop.address, "show", number)
    assert found["lines"] == [{"sku_id": sku, "quantity": 4, "picked": 4}]
    assert (found["method"], found["due_time"][:10]) == ("SHIP_TO_STORE", "2030-03-17")
    assert found["allowed_verbs"] == ["COLLECT", "SHORT_PICK", "CANCEL", "GIVE_UP_PICKUP"]
    listed = onhand(shop.address, "list", x, "--state", "ready_for_pickup", "--method", "SHIP_TO_STORE")
    assert [each["fulfillment_order_id"] for each in listed[1]] == [number]
    for wrong, told in (
        (["advance", number, "fly"], "VERB: expected one of ACCEPT, "),
        (["list", "--state", "lost"], "--state: expected one of OPEN, "),
        (["create", order, x, "4"], "expected SKU=UNITS, was 4"),
    ):
        code, said = onhand(shop.address, *wrong)
        assert (code, told in said) == (2, True)


def test_a_crash_between_any_two_steps_loses_nothing(tmp_path: Path):
    flags = ["--port", "0", "--data-folder", str(tmp_path / "data")]

    def start() -> tuple[ForkedEngine, Client]:
        engine = ForkedEngine(flags, log_file=tmp_path / "engine.log")
        engine.start()
        return engine, Client(engine.address)

    engine, client = start()
    Stage(client)
    number = given(client, ("A", 5), method="PICKUP")
    for verb, lines, after in (
        ("PICK", [("A", 2)], {"open": 3, "picked": 2}),
        ("SHORT_PICK", [("A", 1)], {"open": 2, "picked": 2, "missing": 1}),
        ("MAKE_READY", [], {"picked": 4, "missing": 1}),
        ("COLLECT", [("A", 1)], {"picked": 3, "collected": 1, "missing": 1}),
        ("CANCEL", [("A", 1)], {"picked": 2, "collected": 1, "missing": 1, "to_put_back": 1}),
        ("GIVE_UP_PICKUP", [], {"collected": 1, "missing": 1, "to_put_back": 3}),
        ("PUT_BACK", [("A", 2)], {"collected": 1, "missing": 1, "cancelled": 2, "to_put_back": 1}),
    ):
        client.advance(number, verb, *lines)
        engine.kill()
        client.channel.close()
        engine, client = start()
        assert shown(client, number) == after
        assert client.verify().ok
    assert stock(client) == (98, 0, 98)
    client.channel.close()
    engine.stop()  # a killed one leaves its journal server to the next
