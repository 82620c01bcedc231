"""The client package: the words of the contract, both ways tell the same."""

import asyncio
import copy
import inspect
import pickle
import runpy
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import grpc
import onhand.client as api
import pytest
from engines import ForkedEngine
from faults.processes import wait_until
from harness import Stage, new_id
from onhand.client import (
    AsyncClient,
    Client,
    MovementType,
    NewMovement,
    Operation,
    ReceiptCondition,
    RequestOperation,
    RequestState,
    ReservationState,
    TransferState,
    UnavailableReason,
    refusals,
)
from onhand.client import commands as build
from onhand.client.wire import decode, encode
from onhand.inventory.v1 import bulk_service_pb2 as bulk
from onhand.inventory.v1 import (
    inventory_service_pb2,
    request_service_pb2,
    reservation_pb2,
    stock_pb2,
    transfer_pb2,
)
from onhand.routing.v1 import plan_pb2, routing_service_pb2

from client.harness import TTL, Pair, run
from ledger.core.records import FIELD_NAMES


def old_id(seconds: int) -> str:
    """A UUIDv7 of some time ago."""
    milliseconds = (time.time_ns() // 1_000_000) - seconds * 1000
    return str(uuid.UUID(int=(milliseconds << 80) | (7 << 76) | (2 << 62) | uuid.uuid4().int & (1 << 62) - 1))


@pytest.mark.parametrize(
    ("ours", "theirs", "prefix"),
    [
        (ReservationState, reservation_pb2.ReservationState, "RESERVATION_STATE_"),
        (RequestState, request_service_pb2.RequestState, "REQUEST_STATE_"),
        (RequestOperation, request_service_pb2.RequestOperation, "REQUEST_OPERATION_"),
        (MovementType, stock_pb2.MovementType, "MOVEMENT_TYPE_"),
        (UnavailableReason, stock_pb2.UnavailableReason, "UNAVAILABLE_REASON_"),
        (Operation, bulk.CommandOperation, "COMMAND_OPERATION_"),
        (TransferState, transfer_pb2.TransferState, "TRANSFER_STATE_"),
        (ReceiptCondition, transfer_pb2.ReceiptCondition, "RECEIPT_CONDITION_"),
    ],
)
def test_enums_are_those_of_the_wire(ours: Any, theirs: Any, prefix: str) -> None:
    values = {name.removeprefix(prefix): value for name, value in theirs.items() if value}
    assert {each.name: each.value for each in ours if each.value} == values


def test_words_for_what_differs_are_those_of_the_engine() -> None:
    assert dict(enumerate(FIELD_NAMES)) == refusals.DIFFERING_FIELDS


VALUES = [
    (api.ReservationLine, reservation_pb2.ReservationLine),
    (api.Shortage, reservation_pb2.Shortage),
    (api.LocationAvailability, inventory_service_pb2.LocationAvailability),
    (api.SkuAvailability, inventory_service_pb2.SkuAvailability),
    (api.OversoldLevel, inventory_service_pb2.OversoldLevel),
    (api.StockLevel, stock_pb2.StockLevel),
    (api.Movement, stock_pb2.Movement),
    (api.Transfer, transfer_pb2.Transfer),
    (api.Destination, plan_pb2.Destination),
    (api.OrderLine, plan_pb2.OrderLine),
    (api.Order, plan_pb2.Order),
    (api.ShipmentLine, plan_pb2.ShipmentLine),
    (api.Shipment, plan_pb2.Shipment),
    (api.LineShortage, plan_pb2.LineShortage),
    (api.CandidateLine, plan_pb2.CandidateLine),
    (api.Candidate, plan_pb2.Candidate),
    (api.FulfillmentPlan, plan_pb2.FulfillmentPlan),
    (api.FulfillmentQuote, routing_service_pb2.FulfillmentQuote),
    (api.NewMovement, inventory_service_pb2.NewMovement),
]


@pytest.mark.parametrize(("value", "message"), VALUES, ids=[value.__name__ for value, _ in VALUES])
def test_a_value_has_the_fields_of_the_contract_by_their_names(value: Any, message: Any) -> None:
    names = {name.replace("_time_us", "_time") for name in getattr(value, "__struct_fields__", ()) or value._fields}
    assert names == {field.name for field in message.DESCRIPTOR.fields}


def test_an_instant_is_a_datetime_as_well() -> None:
    """Beside each `…_time_us` stands the same without `_us`."""
    found = 0
    for name in api.__all__:
        kind = getattr(api, name)
        fields = getattr(kind, "__struct_fields__", ()) or getattr(kind, "_fields", ())
        for field in fields:
            if field.endswith("_time_us"):
                is_optional = "None" in str(kind.__annotations__[field])
                annotation = inspect.get_annotations(getattr(kind, field.removesuffix("_us")).fget)["return"]
                assert annotation == (datetime | None if is_optional else datetime)
                found += 1
    assert found >= 15
    level = api.StockLevel("A", "X", 1, 0, {}, 0, 0, 0, 0, 1, 0, suspect_time_us=1_700_000_000_123_456)
    assert level.suspect_time == datetime(2023, 11, 14, 22, 13, 20, 123_456, UTC)


def test_a_time_there_and_back() -> None:
    when = datetime(2026, 12, 5, 8, 30, 0, 123_456, timezone(timedelta(hours=1)))
    assert api.time_of(api.time_us_of(when)) == when
    assert api.time_us_of(when) == 1_796_455_800_123_456


def test_all_wrong_values_of_a_write_are_told_at_once(pair: Pair) -> None:
    with pytest.raises(api.ValidationFailed) as wrong:
        pair.client.reserve([("", "X", 1), ("A", "X", 0)], ttl_seconds=0, actor="a" * 65)
    error = wrong.value
    assert {each.field for each in error.problems} == {"lines[0].sku_id", "lines[1].quantity", "ttl", "actor"}
    assert error.problems[0].field == error.field
    assert str(error) == f"{error.field}: {error.problems[0].description}"
    with pytest.raises(api.ValidationFailed) as wrong:
        pair.client.reserve([("A", "X", 0), ("A", 1)], ttl_seconds=1)  # type: ignore[list-item]
    assert [each.field for each in wrong.value.problems] == ["lines[0].quantity"]
    movements = [NewMovement(MovementType.RESERVE, "", "X", 1), NewMovement(MovementType.WRITE_OFF, "A", "X", 1)]
    with pytest.raises(api.ValidationFailed) as wrong:
        pair.client.record_movements(movements)
    fields = [each.field for each in wrong.value.problems]
    assert fields == ["movements[0].type", "movements[1].unavailable_reason"]


def test_the_blocking_client_is_generated_from_the_asynchronous_one() -> None:
    tool = runpy.run_path(str(Path(__file__).parent.parent.parent / "proto" / "blocking_client.py"))
    for part in tool["PARTS"]:
        assert tool["generated"](part) == tool["path_of"](part).read_text(), "run python proto/blocking_client.py"


def test_both_clients_have_the_same_methods() -> None:
    public = {name for name in dir(AsyncClient) if not name.startswith("_")}
    assert public == {name for name in dir(Client) if not name.startswith("_")}
    for name in public:
        ours, theirs = (inspect.signature(getattr(kind, name)) for kind in (AsyncClient, Client))
        assert ours.parameters.keys() == theirs.parameters.keys()
        assert getattr(AsyncClient, name).__doc__ == getattr(Client, name).__doc__


def test_an_answer_to_fewer_commands_is_none() -> None:
    command = build.commit("0000000100000002")
    response = bulk.ExecuteCommandsResponse(statuses=[99])
    with pytest.raises(ValueError, match="statuses: expected 2 entries, was 1"):
        decode([command, command], response.SerializeToString())


def test_errors_can_be_copied_and_sent_to_other_processes() -> None:
    short = api.Shortage("A", "X", 3, 2, 0)
    error = api.errors.refusal("INSUFFICIENT_STOCK", "A at X ...", shortages=(short,), metadata={"sku": "A"})
    error.request_id = "an id"
    for made in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (type(made), vars(made), str(made)) == (type(error), vars(error), "A at X ...")
    unknown = api.errors.outcome_unknown(api.NoAnswer("gone", grpc.StatusCode.UNAVAILABLE))
    assert pickle.loads(pickle.dumps(unknown)).code is grpc.StatusCode.UNAVAILABLE


def test_commands_become_columns() -> None:
    made = [
        build.reserve(
            [("A", "X", 1), ("B", "X", 2), ("A", "X", 3)], ttl_seconds=2.5, allow_partial=True, reference="cart"
        ),
        build.commit("0000000100000002", request_id="0190a6e4-5c1f-7b32-9c7e-2f5d1a3b4c5d"),
        build.transfer_reservation("0000000100000003", "X", "Y", expected_version=7, actor="me", reference="cart"),
        build.record_movements([NewMovement(MovementType.TRANSFER, "C", "Y", 9, to_location_id="Z")]),
    ]
    request = bulk.ExecuteCommandsRequest.FromString(encode(made))
    assert list(request.operations) == [1, 2, 6, 9]
    assert list(request.line_counts) == [2, 0, 1, 1]
    assert (list(request.sku_ids), list(request.sku_indexes)) == (["A", "B", "C"], [0, 1, -1, 2])
    assert (list(request.location_ids), list(request.location_indexes)) == (["X", "Y", "Z"], [0, 0, 0, 1])
    assert list(request.to_location_indexes) == [-1, -1, 1, 2]
    assert list(request.quantities) == [4, 2, 0, 9]
    assert list(request.ttl_us) == [2_500_000, 0, 0, 0]
    assert list(request.allow_partial) == [True, False, False, False]
    assert list(request.expected_versions) == [0, 0, 7, 0]
    assert list(request.reservation_ids) == [0, 2**32 + 2, 2**32 + 3, 0]
    assert list(request.movement_types) == [0, 0, 0, 9]
    assert (list(request.texts), list(request.reference_indexes)) == (["cart", "me"], [0, -1, 0, -1])
    assert list(request.actor_indexes) == [-1, -1, 1, -1]
    ids = [uuid.UUID(bytes=request.request_ids[at : at + 16]) for at in range(0, 64, 16)]
    assert str(ids[1]) == "0190a6e4-5c1f-7b32-9c7e-2f5d1a3b4c5d"
    assert [made.version for made in ids] == [7] * 4


def test_request_ids_of_arrays_are_fresh_uuids() -> None:
    made = [uuid.UUID(bytes=raw.tobytes()) for raw in api.new_request_ids(1000)]
    assert len(set(made)) == 1000
    assert {(each.version, each.variant) for each in made} == {(7, uuid.RFC_4122)}
    assert all(abs(time.time() - (each.int >> 80) / 1000) < 60 for each in made)


def test_same_request_id_same_answer(pair: Pair, stage: Stage) -> None:
    sku, x, y = (stage.client.name(name) for name in ("A", "X", "Y"))
    held = pair.client.reserve([(sku, x, 9)], ttl_seconds=TTL).reservation_id
    calls: list[tuple[Any, ...]] = [
        ("reserve", [(sku, x, 2), (sku, y, 1), (sku, x, 1)]),
        ("amend", held, [(sku, x, 8)]),
        ("transfer_reservation", held, x, y, [(sku, 1)]),
        ("release", held, [(sku, y, 1)]),
        ("commit", held),
        ("fulfill", held, [(sku, x, 2)]),
        ("cancel", held),
        ("record_movements", [NewMovement(MovementType.SALE, sku, x, 1000)]),
        ("set_on_hand", [(sku, x, 100), (sku, y, 1)]),
    ]
    for name, *args in calls:
        request_id = new_id()
        ours = pair.by_client(name, *args, request_id=request_id)
        theirs = pair.by_stub(name, *args, request_id=request_id)
        assert pair.by_client(name, *args, request_id=request_id) == ours
        for field in ours.__struct_fields__:
            mine = getattr(ours, field)
            if field == "expire_time_us":
                assert ours.expire_time == theirs.expire_time.ToDatetime(ours.expire_time.tzinfo)
            elif isinstance(mine, tuple):
                assert mine == tuple(
                    type(mine[0])(*(getattr(each, part) for part in type(mine[0]).__struct_fields__))
                    for each in getattr(theirs, field)
                )
            else:
                assert mine == getattr(theirs, field), field
    other = pair.client.reserve([(sku, x, 1)], ttl_seconds=TTL).reservation_id
    request_id = new_id()
    extended = pair.client.extend(other, ttl_seconds=5, request_id=uuid.UUID(request_id))
    theirs = pair.by_stub("extend", other, ttl_seconds=5, request_id=request_id)
    assert (extended.version, extended.seq) == (theirs.version, theirs.seq)
    assert stage.client.verify().ok


def test_a_cart_that_changes_is_told_as_by_the_engine(pair: Pair, stage: Stage) -> None:
    sku, x, y = (stage.client.name(name) for name in ("A", "X", "Y"))
    made = pair.client.reserve([(sku, x, 9)], ttl_seconds=TTL)
    request_id = new_id()
    changed = {"reservation_id": made.reservation_id, "request_id": request_id, "expected_version": 1}
    ours = pair.by_client("reserve", [(sku, y, 2), (sku, x, 3), (sku, y, 2)], **changed)
    theirs = pair.by_stub("reserve", [(sku, y, 2), (sku, x, 3), (sku, y, 2)], **changed)
    assert (ours.reservation_id, ours.version, ours.seq) == (made.reservation_id, 2, theirs.seq)
    assert (theirs.reservation_id, theirs.version) == (made.reservation_id, 2)
    lines = pair.client.get_reservation(made.reservation_id).lines
    assert sorted((line.location_id, line.quantity) for line in lines) == sorted([(x, 3), (y, 4)])
    refusals = {
        api.ValidationFailed: {"allow_partial": True},
        api.VersionMismatch: {"expected_version": 7},
        api.InsufficientStock: {},
    }
    for error, more in refusals.items():
        told = pair.refused("reserve", [(sku, x, 10**6)], reservation_id=made.reservation_id, **more)
        assert told["type"] is error
    assert pair.refused("reserve", [(sku, x, 1)], reservation_id="nobody's")["type"] is api.ReservationNotFound
    pair.client.commit(made.reservation_id)
    told = pair.refused("reserve", [(sku, x, 1)], reservation_id=made.reservation_id)
    assert told["type"] is api.ReservationNotActive


def test_partial_reservation_tells_what_is_short(pair: Pair, stage: Stage) -> None:
    sku, x, y = (stage.client.name(name) for name in ("A", "X", "Y"))
    made = pair.client.reserve([(sku, x, 60), (sku, y, 1), (sku, x, 60)], ttl_seconds=TTL, allow_partial=True)
    assert made.shortages == (api.Shortage(sku, x, 120, 100, 0),)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("reserve", {"lines": [("", "X", 1)]}),
        ("reserve", {"lines": [("A", "é" * 33, 1)]}),
        ("reserve", {"lines": [("A", "X", 1), ("A" * 200, "X", 1)]}),
        ("reserve", {"lines": []}),
        ("reserve", {"lines": [("A", "X", 1)] * 101}),
        ("reserve", {"lines": [("A", "X", 1), ("B", "X", 1), ("A", "X", 0)]}),
        ("reserve", {"lines": [("A", "X", -5)]}),
        ("reserve", {"lines": [("A", "X", 2**31)]}),
        ("reserve", {"lines": [("A", "X", 1), ("B", "X", 2**31 - 1), ("B", "X", 1)]}),
        ("reserve", {"ttl_seconds": 0}),
        ("reserve", {"ttl_seconds": -1}),
        ("reserve", {"ttl_seconds": 14_400.000001}),
        ("reserve", {"ttl_seconds": 1e-7}),
        ("reserve", {"request_id": "no uuid"}),
        ("reserve", {"request_id": "0190a6e45c1f7b329c7e2f5d1a3b4c5d"}),
        ("reserve", {"reference": "é" * 33}),
        ("reserve", {"actor": "a" * 65}),
        ("reserve", {"expected_version": 2}),
        ("reserve", {"expected_version": -1}),
        ("commit", {"reservation_id": ""}),
        ("commit", {"lines": [("A", "X", 0)]}),
        ("extend", {"ttl_seconds": 20_000}),
        ("amend", {"lines": []}),
        ("amend", {"lines": [("A", "X", -1)]}),
        ("amend", {"lines": [("A", "X", 1), ("A", "X", 1)]}),
        ("amend", {"expected_version": -1}),
        ("transfer_reservation", {"target": "X"}),
        ("transfer_reservation", {"origin": ""}),
        ("transfer_reservation", {"lines": [("A", 1), ("A", 1)]}),
        ("transfer_reservation", {"lines": [("A", 0)]}),
        ("record_movements", {"movements": []}),
        ("record_movements", {"movements": [NewMovement(MovementType.COUNT, "A", "X", 1)]}),
        ("record_movements", {"movements": [NewMovement(0, "A", "X", 1)]}),
        ("record_movements", {"movements": [NewMovement(99, "A", "X", 1)]}),
        ("record_movements", {"movements": [NewMovement(MovementType.SALE, "A", "X", -1)]}),
        ("record_movements", {"movements": [NewMovement(MovementType.ADJUST, "A", "X", 0)]}),
        ("record_movements", {"movements": [NewMovement(MovementType.ADJUST, "A", "X", -(2**31))]}),
        ("record_movements", {"movements": [NewMovement(MovementType.SALE, "A", "X", 1, to_location_id="Y")]}),
        ("record_movements", {"movements": [NewMovement(MovementType.TRANSFER, "A", "X", 1)]}),
        ("record_movements", {"movements": [NewMovement(MovementType.TRANSFER, "A", "X", 1, to_location_id="X")]}),
        ("record_movements", {"movements": [NewMovement(MovementType.WRITE_OFF, "A", "X", 1)]}),
        ("record_movements", {"movements": [NewMovement(MovementType.SALE, "A", "X", 1, 1)]}),
        ("record_movements", {"movements": [NewMovement(MovementType.DAMAGE, "A", "X", 1, 2)]}),
        ("record_movements", {"movements": [NewMovement(MovementType.RETURN, "A", "X", 1, 77)]}),
        ("set_on_hand", {"counts": []}),
        ("set_on_hand", {"counts": [("A", "X", -1)]}),
        ("set_on_hand", {"counts": [("A", "X", 1), ("A", "X", 1)]}),
    ],
)
def test_wrong_arguments_are_told_as_by_the_engine(pair: Pair, name: str, change: dict[str, Any]) -> None:
    good: dict[str, dict[str, Any]] = {
        "reserve": {"lines": [("A", "X", 1)]},
        "commit": {"reservation_id": "0000000000000001", "lines": []},
        "extend": {"reservation_id": "0000000000000001"},
        "amend": {"reservation_id": "0000000000000001", "lines": [("A", "X", 1)]},
        "transfer_reservation": {"reservation_id": "0000000000000001", "origin": "X", "target": "Y"},
        "record_movements": {},
        "set_on_hand": {},
    }
    values = good[name] | change
    positional = [
        values.pop(key)
        for key in ("reservation_id", "origin", "target", "lines", "movements", "counts")
        if key in values
    ]
    assert pair.refused(name, *positional, **values)["type"] is api.ValidationFailed


@pytest.mark.parametrize("value", ["1", 1.0, None])
def test_wrong_types_fail_at_once(pair: Pair, value: Any) -> None:
    with pytest.raises(api.ValidationFailed, match=r"^lines\[0\]\.quantity: expected a whole number, was"):
        pair.client.reserve([("A", "X", value)], ttl_seconds=TTL)
    with pytest.raises(api.ValidationFailed, match=r"^movements\[0\]\.quantity: expected a whole number, was"):
        pair.client.record_movements([NewMovement(MovementType.ADJUST, "A", "X", value)])


def test_arguments_that_cannot_be_sent_are_refused(pair: Pair) -> None:
    for seconds in (-1.5, float("nan"), float("inf"), 1e300):
        assert pair.by_client("reserve", [("A", "X", 1)], ttl_seconds=seconds)["type"] is api.ValidationFailed
    assert pair.by_client("reserve", [("\ud800", "X", 1)])["type"] is api.ValidationFailed
    assert pair.by_client("reserve", [("A", "X", 1)], reference="\ud800")["type"] is api.ValidationFailed
    assert pair.by_client("reserve", [("A", "X", 1)], request_id=str(uuid.UUID(int=0)))["type"] is api.ValidationFailed


class Scenes:
    """A call for each status that can come of a command; what each needs is made."""

    def __init__(self, pair: Pair, stage: Stage) -> None:
        self.pair = pair
        self.name = stage.client.name
        self.harness = stage.client
        self.a, self.b, self.x, self.y = (self.name(each) for each in ("A", "B", "X", "Y"))
        self.none = self.name("nowhere")

    def held(self, units: int = 5) -> str:
        return self.pair.client.reserve(
            [(self.a, self.x, units), (self.b, self.x, units)], ttl_seconds=TTL
        ).reservation_id

    def committed(self) -> str:
        held = self.held()
        self.pair.client.commit(held)
        return held

    def request_id_reused(self) -> Iterator[Any]:
        first, second = self.held(), self.held()
        for good, other in (
            (("reserve", [(self.a, self.x, 1)]), ("reserve", [(self.a, self.x, 2)])),
            (("reserve", [(self.a, self.x, 1)]), ("reserve", [(self.b, self.x, 1)])),
            (("reserve", [(self.a, self.x, 1)]), ("commit", first)),
            (("commit", first), ("commit", second)),
        ):
            request_id = new_id()
            self.pair.by_client(*good, request_id=request_id)
            yield (*other, {"request_id": request_id})
        request_id = new_id()
        self.pair.by_client("reserve", [(self.a, self.x, 1)], request_id=request_id)
        yield "reserve", [(self.a, self.x, 1)], {"request_id": request_id, "ttl_seconds": 5.0}
        yield "reserve", [(self.a, self.x, 1)], {"request_id": request_id, "reference": "other"}
        request_id = new_id()
        self.pair.by_client("amend", second, [(self.a, self.x, 1)], request_id=request_id)
        yield "amend", second, [(self.a, self.x, 1)], {"request_id": request_id, "expected_version": 9}

    def request_id_too_old(self) -> Iterator[Any]:
        yield "reserve", [(self.a, self.x, 1)], {"request_id": old_id(8 * 86_400)}

    def sku_not_found(self) -> Iterator[Any]:
        yield "reserve", [(self.a, self.x, 1), (self.a, self.x, 1), (self.none, self.x, 1)], {}
        yield "reserve", [("s" * 64, self.x, 1)], {}
        yield "amend", self.held(), [(self.a, self.x, 1), (self.none, self.x, 1)], {}
        yield "record_movements", [NewMovement(MovementType.SALE, self.none, self.x, 1)], {}
        yield "set_on_hand", [(self.a, self.x, 1), (self.none, self.x, 1)], {}
        yield "transfer_reservation", self.held(), self.x, self.y, [(self.none, 1)], {}
        other = self.name("other")
        yield "reserve", [(self.a, self.x, 1), (self.none, self.x, 2**31 - 1), (other, self.x, 2**31 - 1)], {}
        yield "amend", self.held(), [(self.none, self.x, 1), (other, self.x, 1)], {}
        yield "set_on_hand", [(self.none, self.x, 1), (other, self.x, 1)], {}

    def location_not_found(self) -> Iterator[Any]:
        yield "reserve", [(self.a, self.x, 1), (self.a, self.none, 1)], {}
        yield "transfer_reservation", self.held(), self.x, self.none, [(self.a, 1)], {}
        yield "transfer_reservation", self.held(), self.x, self.none, {}
        yield "transfer_reservation", self.held(), self.none, self.x, {}
        yield "record_movements", [NewMovement(MovementType.TRANSFER, self.a, self.x, 1, to_location_id=self.none)], {}
        yield "set_on_hand", [(self.a, self.none, 1)], {}
        other = self.name("other")
        yield "transfer_reservation", self.held(), self.none, other, {}
        yield "record_movements", [NewMovement(MovementType.TRANSFER, self.a, self.none, 1, to_location_id=other)], {}

    def reservation_not_found(self) -> Iterator[Any]:
        for odd in ("0000000000000000", "ffffffffffffffff", "no id", "00000001000000zz", "000fffffffffffff"):
            yield "commit", odd, {}
        yield "extend", "000fffffffffffff", {"ttl_seconds": 5.0}

    def not_stocked_here(self) -> Iterator[Any]:
        self.harness.sku("rare")
        self.harness.location("Z")
        rare, z = self.name("rare"), self.name("Z")
        yield "reserve", [(self.a, self.x, 1), (rare, self.x, 1)], {}
        yield "transfer_reservation", self.held(), self.x, z, {}
        yield "transfer_reservation", self.held(), self.x, z, [(self.b, 1)], {}

    def reservation_expired(self) -> Iterator[Any]:
        held = self.pair.client.reserve([(self.a, self.x, 1)], ttl_seconds=0.001).reservation_id
        wait_until(lambda: self.pair.client.get_reservation(held).state is ReservationState.EXPIRED)
        yield "commit", held, {}

    def reservation_not_active(self) -> Iterator[Any]:
        held = self.held()
        self.pair.client.release(held)
        yield "commit", held, {}
        yield "release", self.committed(), {}

    def reservation_not_committed(self) -> Iterator[Any]:
        yield "fulfill", self.held(), {}
        yield "cancel", self.held(), [(self.a, self.x, 1)], {}

    def version_mismatch(self) -> Iterator[Any]:
        yield "amend", self.held(), [(self.a, self.x, 1)], {"expected_version": 5}
        yield "transfer_reservation", self.held(), self.x, self.y, {"expected_version": 2}

    def location_inactive(self) -> Iterator[Any]:
        self.harness.location("closed", active=False)
        closed = self.name("closed")
        self.pair.client.receive([(self.a, closed, 9), (self.b, closed, 9)])
        yield "reserve", [(self.a, self.x, 1), (self.a, closed, 1)], {}
        yield "transfer_reservation", self.held(), self.x, closed, {}

    def too_many_lines(self) -> Iterator[Any]:
        skus = [f"many{number}" for number in range(100)]
        self.harness.sku(*skus)
        lines = [(self.name(sku), self.x, 1) for sku in skus]
        self.pair.client.receive(lines)
        held = self.pair.client.reserve(lines, ttl_seconds=TTL).reservation_id
        yield "amend", held, [(self.a, self.x, 1)], {}

    def wrong_shard(self) -> Iterator[Any]:
        foreign = f"{1 << 52 | int(self.held(), 16):016x}"
        for name in ("commit", "release", "fulfill", "cancel"):
            yield name, foreign, {}
        yield "extend", foreign, {"ttl_seconds": TTL}
        yield "amend", foreign, [(self.a, self.x, 1)], {}
        yield "transfer_reservation", foreign, self.x, self.y, {}

    def quantity_exceeds_open(self) -> Iterator[Any]:
        yield "commit", self.held(), [(self.b, self.x, 3), (self.b, self.x, 3)], {}
        yield "fulfill", self.committed(), [(self.a, self.x, 6), (self.b, self.x, 7)], {}
        yield "transfer_reservation", self.held(), self.y, self.x, {}
        yield "transfer_reservation", self.held(), self.x, self.y, [(self.a, 50)], {}
        done = self.committed()
        self.pair.client.fulfill(done, [(self.a, self.x, 3)])
        yield "amend", done, [(self.a, self.x, 2)], {}

    def insufficient_stock(self) -> Iterator[Any]:
        yield "reserve", [(self.a, self.x, 60), (self.a, self.y, 1), (self.a, self.x, 60)], {}
        yield (
            "reserve",
            [
                (sku, place, 1000 + at)
                for at, (sku, place) in enumerate(
                    [(self.a, self.x), (self.a, self.y), (self.b, self.x), (self.b, self.y)]
                )
            ],
            {},
        )
        yield (
            "record_movements",
            [NewMovement(MovementType.WRITE_OFF, self.a, self.x, 1, UnavailableReason.DAMAGED)],
            {},
        )
        yield "amend", self.held(), [(self.a, self.x, 101)], {}
        gone = self.committed()
        self.pair.client.set_on_hand([(self.a, self.x, 0), (self.b, self.x, 0)])
        yield "fulfill", gone, {}
        yield "transfer_reservation", self._held_at_y(), self.y, self.x, {}

    def _held_at_y(self) -> str:
        return self.pair.client.reserve([(self.a, self.y, 2), (self.b, self.y, 2)], ttl_seconds=TTL).reservation_id


OF_TRANSFERS = "COMMAND_STATUS_DOCUMENT_"
"""Begins statuses that tests/test_bulk_transfers.py sees."""


STATUSES = [name for name, value in bulk.CommandStatus.items() if value > 1 and not name.startswith(OF_TRANSFERS)]


@pytest.mark.parametrize("status", [name.removeprefix("COMMAND_STATUS_") for name in STATUSES])
def test_every_refusal_is_told_as_by_the_engine(pair: Pair, stage: Stage, status: str) -> None:
    for name, *args, options in getattr(Scenes(pair, stage), status.lower())():
        refused = pair.refused(name, *args, **options)
        assert refused["reason"] == status
    assert stage.client.verify().ok


def test_refusals_of_a_mixed_call_go_to_their_own_callers(engine: ForkedEngine, stage: Stage) -> None:
    name = stage.client.name

    async def main() -> None:
        async with AsyncClient(engine.address) as client:
            outcomes = await asyncio.gather(
                client.reserve([(name("A"), name("X"), 1)], ttl_seconds=TTL),
                client.reserve([(name("A"), name("X"), 1), ("none", name("X"), 1)], ttl_seconds=TTL),
                client.commit("000fffffffffffff"),
                client.reserve([(name("B"), name("X"), 1000)], ttl_seconds=TTL, request_id=(mine := new_id())),
                client.sell([(name("B"), name("Y"), 300)]),
                client.reserve([], ttl_seconds=TTL),
                return_exceptions=True,
            )
        assert isinstance(outcomes[0], api.Reserved)
        assert isinstance(outcomes[1], api.SkuNotFound)
        assert outcomes[1].field == "lines[1].sku_id"
        assert isinstance(outcomes[2], api.ReservationNotFound)
        assert isinstance(outcomes[3], api.InsufficientStock)
        assert outcomes[3].request_id == mine
        assert outcomes[3].shortages == (api.Shortage(name("B"), name("X"), 1000, 100, 0),)
        assert outcomes[4] == api.Recorded(outcomes[4].seq, (api.OversoldLevel(name("B"), name("Y"), 200),))
        assert outcomes[4].applied_oversold
        assert isinstance(outcomes[5], api.ValidationFailed)

    run(main)
