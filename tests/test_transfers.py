"""Transfers as callers see them: by plain gRPC, by the client package, and by `onhand`; and over crashes."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import onhand.client as api
import pytest
from engines import ForkedEngine
from google.protobuf.timestamp_pb2 import Timestamp
from harness import Client, Refused, Stage, new_id
from onhand.client import UnavailableReason
from onhand.inventory.v1 import stock_pb2, transfer_pb2
from typer.testing import CliRunner

from engine.cli import app

State = transfer_pb2.TransferState
Type = stock_pb2.MovementType


@pytest.fixture
def stage(client: Client) -> Stage:
    return Stage(client)


def onhand(client: Client, *arguments: object) -> dict[str, object]:
    words = [str(each) for each in arguments]
    result = CliRunner().invoke(app, ["transfer", *words, "--address", client.address])
    assert result.exit_code == 0, (result.output, result.stderr)
    told: dict[str, object] = json.loads(result.stdout)
    return told


def refused(call: Callable[..., object], *arguments: object, **more: object) -> Refused:
    with pytest.raises(Refused) as error:
        call(*arguments, **more)
    return error.value


class ByCall:
    """The road of plain gRPC."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def create(self, units: int) -> str:
        return str(self.client.create_transfer("X", "Y", ("A", units)).transfer_id)

    def dispatch(self, transfer_id: str) -> None:
        self.client.dispatch(transfer_id)

    def receive(self, transfer_id: str, units: int) -> None:
        self.client.arrive(transfer_id, ("A", units))

    def close(self, transfer_id: str) -> None:
        self.client.close_transfer(transfer_id)

    def find(self, transfer_id: str, units: int) -> None:
        self.client.find_units(transfer_id, "A", units)


class ByClient(ByCall):
    """The road of the client package."""

    def ask(self) -> api.Client:
        return api.Client(self.client.address)

    def create(self, units: int) -> str:
        x, y, sku = map(self.client.name, "XYA")
        with self.ask() as client:
            return client.create_transfer(x, y, [(sku, units)], reference="PO-1").transfer_id

    def dispatch(self, transfer_id: str) -> None:
        with self.ask() as client:
            assert client.dispatch_transfer(transfer_id, expected_version=1).state is api.TransferState.IN_TRANSIT

    def receive(self, transfer_id: str, units: int) -> None:
        with self.ask() as client:
            done = client.receive_transfer(transfer_id, [(self.client.name("A"), units)])
            assert done.state is api.TransferState.PARTIALLY_RECEIVED

    def close(self, transfer_id: str) -> None:
        with self.ask() as client:
            assert client.close_transfer(transfer_id).state is api.TransferState.CLOSED

    def find(self, transfer_id: str, units: int) -> None:
        with self.ask() as client:
            client.record_found_units(transfer_id, [(self.client.name("A"), units)])
            assert client.get_transfer(transfer_id).lines[0].found == units


class ByCommand(ByCall):
    """The road of `onhand transfer`."""

    def create(self, units: int) -> str:
        x, y, sku = map(self.client.name, "XYA")
        return str(onhand(self.client, "create", x, y, f"{sku}={units}", "--due", "2030-01-01")["transfer_id"])

    def dispatch(self, transfer_id: str) -> None:
        assert onhand(self.client, "dispatch", transfer_id)["state"] == "IN_TRANSIT"

    def receive(self, transfer_id: str, units: int) -> None:
        onhand(self.client, "receive", transfer_id, f"{self.client.name('A')}={units}", "--actor", "clerk")

    def close(self, transfer_id: str) -> None:
        assert onhand(self.client, "close", transfer_id)["state"] == "CLOSED"

    def find(self, transfer_id: str, units: int) -> None:
        onhand(self.client, "found", transfer_id, f"{self.client.name('A')}={units}")
        shown = onhand(self.client, "show", transfer_id)
        assert shown["lines"] == [{"sku_id": self.client.name("A"), "quantity": 10, "received": 9, "found": units}]


ROADS = {"grpc": ByCall, "client": ByClient, "onhand": ByCommand}


def books(client: Client, transfer_id: str) -> tuple[int, ...]:
    """Units at the source, in transit, at the destination, and short."""
    (line,) = client.get_transfer(transfer_id).lines
    at = [client.level("A", place).on_hand for place in "XY"]
    return at[0], line.in_transit_quantity, at[1], line.short_quantity


def steps(road: ByCall) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Dispatch 10, receive 4 and 5, one is short, and found: yields what the books must be after each step."""
    transfer_id = road.create(10)
    yield transfer_id, (100, 0, 100, 0)
    road.dispatch(transfer_id)
    yield transfer_id, (90, 10, 100, 0)
    road.receive(transfer_id, 4)
    yield transfer_id, (90, 6, 104, 0)
    road.receive(transfer_id, 5)
    yield transfer_id, (90, 1, 109, 0)
    road.close(transfer_id)
    yield transfer_id, (90, 0, 109, 1)
    road.find(transfer_id, 1)
    yield transfer_id, (90, 0, 110, 0)


@pytest.mark.parametrize("road", ROADS.values(), ids=ROADS)
def test_units_add_up_at_each_step(stage, road):
    for transfer_id, expected in steps(road(stage.client)):
        assert books(stage.client, transfer_id) == expected
        assert stage.client.verify().ok
    moved = stage.client.movements(transfer_id=transfer_id)
    assert [(Type.Name(each.type).removeprefix("MOVEMENT_TYPE_"), each.quantity) for each in moved] == [
        ("TRANSFER", -10),
        ("TRANSFER", 4),
        ("TRANSFER", 5),
        ("TRANSFER_SHORT", 1),
        ("TRANSFER_FOUND", 1),
    ]
    assert {each.transfer_id for each in moved} == {transfer_id}
    assert {each.reservation_id for each in moved} == {""}


def test_units_add_up_over_a_crash_between_any_two_steps(tmp_path: Path) -> None:
    flags = ["--port", "0", "--data-folder", str(tmp_path / "data")]

    def start() -> ForkedEngine:
        engine = ForkedEngine(flags, log_file=tmp_path / "engine.log")
        engine.start()
        return engine

    engine = start()
    road = ByCall(Client(engine.address))
    Stage(road.client)
    for transfer_id, expected in steps(road):
        engine.kill()
        road.client.channel.close()
        engine = start()
        road.client = Client(engine.address)
        assert books(road.client, transfer_id) == expected
        assert road.client.verify().ok
    road.client.channel.close()
    engine.stop()  # a killed one leaves its journal server to the next


def test_what_is_in_transit_is_for_sale_nowhere(stage):
    client = stage.client
    transfer_id = client.create_transfer("X", "Y", ("A", 60)).transfer_id
    assert client.available("A", ("X", "Y")) == 200
    client.dispatch(transfer_id)
    assert client.available("A", ("X", "Y")) == 140
    assert refused(client.reserve, ("A", "Y", 101)).reason == "INSUFFICIENT_STOCK"


def test_transfers_are_counted(stage):
    """By GetStatus, for whoever watches; other tests of the engine leave theirs, but nobody else works now."""
    client = stage.client

    def counts() -> tuple[int, int]:
        status = client.status()
        return status.open_transfer_count, status.ended_transfer_count

    is_open, ended = counts()
    road = ByCall(client)
    transfer_id = road.create(10)
    assert counts() == (is_open + 1, ended)
    road.dispatch(transfer_id)
    assert counts() == (is_open + 1, ended)
    road.close(transfer_id)
    assert counts() == (is_open, ended + 1)


def test_the_source_of_what_nobody_sent_waits_to_be_counted(stage):
    client = stage.client
    transfer_id = client.create_transfer("X", "Y", ("A", 5)).transfer_id
    client.dispatch(transfer_id)
    client.arrive(transfer_id, ("A", 5), ("A", 1, "UNEXPECTED"), ("B", 2, "UNEXPECTED"))
    transfer = client.get_transfer(transfer_id)
    assert transfer.state == State.TRANSFER_STATE_RECEIVED
    assert [(line.quantity, line.received_quantity, line.unexpected_quantity) for line in transfer.lines] == [
        (5, 5, 1),
        (0, 0, 2),
    ]
    assert all(client.level(sku, "X").HasField("suspect_time") for sku in "AB")
    assert not client.level("A", "Y").HasField("suspect_time")
    client.count("A", "X", 94)
    assert not client.level("A", "X").HasField("suspect_time")
    (found,) = [each for each in client.movements(transfer_id=transfer_id) if each.sku_id == client.name("B")]
    assert (found.type, found.quantity) == (Type.MOVEMENT_TYPE_UNEXPECTED, 2)


def test_units_for_an_order_wait_for_it_where_they_arrive(stage):
    client = stage.client
    order = client.reserve(("A", "X", 4)).reservation_id
    client.commit(order)
    transfer_id = client.create_transfer("X", "Y", ("A", 4), reservation_id=order).transfer_id
    assert client.get_transfer(transfer_id).reservation_id == order
    client.dispatch(transfer_id)
    assert (client.level("A", "X").committed, client.level("A", "Y").committed) == (0, 0)
    client.arrive(transfer_id)
    assert client.level("A", "Y").committed == 4
    assert [(line.location_id, line.open_quantity) for line in client.get(order).lines] == [(client.name("Y"), 4)]
    client.fulfill(order)
    assert client.level("A", "Y").on_hand == 100


def test_damaged_units_say_why(stage):
    with api.Client(stage.client.address) as client:
        x, y, sku = map(stage.client.name, "XYA")
        transfer_id = client.create_transfer(x, y, [(sku, 10)], hold=True).transfer_id
        assert client.get_stock_level(sku, x).committed == 10
        client.dispatch_transfer(transfer_id)
        reason = UnavailableReason.QUARANTINE
        client.receive_transfer(transfer_id, [(sku, 7)], unavailable=[(sku, 3)], unavailable_reason=reason)
        assert client.get_stock_level(sku, y).unavailable_by_reason == {reason: 3}
        moved = [each for each in client.list_movements(transfer_id=transfer_id) if each.location_id == y]
        assert [(each.quantity, each.unavailable_reason.name) for each in moved] == [(7, "NONE"), (3, "QUARANTINE")]


def test_refusals_name_the_field(stage):
    client = stage.client
    transfer_id = client.create_transfer("X", "Y", ("A", 5), ("B", 500)).transfer_id
    short = refused(client.dispatch, transfer_id)
    assert short.shortages == [(client.name("B"), client.name("X"), 500, 100)]
    early = refused(client.arrive, transfer_id)
    assert early.message == "transfer_id: this transfer is DRAFT: dispatch it first."
    assert early.metadata == {"field": "transfer_id", "state": "DRAFT"}
    client.dispatch(transfer_id, ("A", 5))
    much = refused(client.arrive, transfer_id, ("A", 6))
    assert much.message == f"{client.name('A')} at {client.name('X')} has 5 open, 6 were requested."
    client.cancel_transfer(transfer_id)
    late = refused(client.dispatch, transfer_id)
    assert late.message == "transfer_id: this transfer is CANCELLED: it has ended, and takes nothing more."
    stale = refused(client.cancel_transfer, transfer_id, expected_version=1)
    assert (stale.reason, stale.metadata["version"]) == ("VERSION_MISMATCH", "3")
    for call, field in (
        (lambda: client.create_transfer("X", "X", ("A", 1)), "to_location_id"),
        (lambda: client.create_transfer("X", "Y"), "lines"),
        (lambda: client.create_transfer("X", "Y", ("A", 0)), "lines[0].quantity"),
        (lambda: client.create_transfer("X", "Y", ("A", -5)), "lines[0].quantity"),
        (lambda: client.create_transfer("X", "Y", ("A", 1), due_time=Timestamp()), "due_time"),
        (lambda: client.dispatch(""), "transfer_id"),
        (lambda: client.arrive(transfer_id, ("A", 1, "UNAVAILABLE")), "lines[0].unavailable_reason"),
        (lambda: client.arrive(transfer_id, ("A", 1, "GOOD", "DAMAGED")), "lines[0].unavailable_reason"),
    ):
        assert refused(call).fields == [field]


def test_two_lines_of_a_sku_count_together(stage):
    client = stage.client
    transfer_id = client.create_transfer("X", "Y", ("A", 60), ("A", 60)).transfer_id
    assert refused(client.dispatch, transfer_id).shortages == [(client.name("A"), client.name("X"), 120, 100)]


def test_transfers_are_listed_by_place_state_and_time(stage):
    client = stage.client
    client.location("Z")
    early, late = Timestamp(seconds=1_900_000_000), Timestamp(seconds=1_950_000_000)
    first = client.create_transfer("X", "Z", ("A", 1), due_time=early).transfer_id
    second = client.create_transfer("X", "Z", ("A", 1), due_time=late, hold=True).transfer_id
    third = client.create_transfer("X", "Z", ("A", 1)).transfer_id
    client.dispatch(third)

    def listed(**filters: object) -> list[str]:
        return [each.transfer_id for each in client.list_transfers(location_id=client.name("Z"), **filters)]

    assert listed() == [first, second, third]
    assert listed(states=[State.TRANSFER_STATE_READY, State.TRANSFER_STATE_IN_TRANSIT]) == [second, third]
    assert listed(due_before=Timestamp(seconds=1_920_000_000)) == [first]
    z = client.name("Z")
    rows = onhand(client, "list", "--location", z, "--state", "DRAFT", "--due-before", "2035-01-01T00:00:00+00:00")
    assert [row["transfer_id"] for row in rows] == [first]  # type: ignore[index]
    with api.Client(client.address) as caller:
        assert [each.transfer_id for each in caller.list_transfers(location_id=z)] == [first, second, third]


def test_a_dispatch_that_is_sent_twice_happens_once(stage):
    client = stage.client
    transfer_id = client.create_transfer("X", "Y", ("A", 10)).transfer_id
    request_id = new_id()
    first = client.dispatch(transfer_id, ("A", 4), request_id=request_id)
    assert client.dispatch(transfer_id, ("A", 4), request_id=request_id) == first
    assert client.level("A", "X").on_hand == 96
    assert refused(client.dispatch, transfer_id, ("A", 5), request_id=request_id).reason == "REQUEST_ID_REUSED"


def test_commands_say_what_is_wrong(stage):
    for words, told in (
        (["dispatch", "0000000100000001", "A"], "expected SKU=UNITS, was A"),
        (["receive", "0000000100000001", "--reason", "NOPE"], "--reason: expected one of DAMAGED"),
        (["list", "--due-before", "soon"], "--due-before: expected an ISO 8601 date and time, was soon"),
        (["show", "0000000100ffffff"], "does not exist, or ended too long ago"),
        (["cancel", "0000000100ffffff", "--written-off", "A=1"], 'sku "A" does not exist'),
    ):
        result = CliRunner().invoke(app, ["transfer", *words, "--address", stage.client.address])
        assert result.exit_code in (1, 2), words
        assert told in result.stderr
