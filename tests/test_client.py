"""The client package: coalescing, errors, retries and deadlines, against real engines; encoding and retries alone."""

import asyncio
import copy
import inspect
import pickle
import re
import runpy
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onhand.client as api
import pytest
from engines import ForkedEngine
from faults.processes import WAIT_SECONDS, free_port, stopped, wait_until
from google.protobuf.duration_pb2 import Duration
from harness import PATHS, REQUESTS, RESPONSES, Stage, new_id
from harness import Client as Harness
from onhand.client import (
    AsyncClient,
    Client,
    Coded,
    CommandColumns,
    MovementType,
    NewMovement,
    OnHandError,
    Operation,
    OutcomeUnknown,
    ReceiptCondition,
    RefusedError,
    ReservationState,
    TransferState,
    UnavailableReason,
    from_rpc_error,
    limits,
    refusals,
)
from onhand.client import commands as build
from onhand.client.batches import Queue, Ticket
from onhand.client.engines import Engines
from onhand.client.retries import Attempt, Pause, conversation
from onhand.client.wire import EXECUTE_PATH, decode, encode
from onhand.inventory.v1 import bulk_service_pb2 as bulk
from onhand.inventory.v1 import reservation_pb2, stock_pb2, transfer_pb2

from ledger.core.records import FIELD_NAMES

TTL = 600.0
TRANSPORTS = ("native", "grpcio")


# ---- the same call, by the client and by a plain stub ----------------------------------------------------------------


def lines_of(lines: Any, message: str = "LineQuantity") -> list[dict[str, Any]]:
    names = ("sku_id", "quantity") if message == "SkuQuantity" else ("sku_id", "location_id", "quantity")
    return [dict(zip(names, line, strict=True)) for line in lines]


def duration(seconds: float) -> Duration:
    message = Duration()
    message.FromNanoseconds(round(seconds * 1e9))
    return message


def reserve(lines: Any, *, ttl_seconds: float = TTL, **options: Any) -> tuple[str, dict[str, Any]]:
    return "ReserveStock", {"lines": lines_of(lines), "ttl": duration(ttl_seconds), **options}


def on_units(rpc: str) -> Callable[..., tuple[str, dict[str, Any]]]:
    def request(reservation_id: str, lines: Any = (), **options: Any) -> tuple[str, dict[str, Any]]:
        return rpc, {"reservation_id": reservation_id, "lines": lines_of(lines), **options}

    return request


def extend(reservation_id: str, *, ttl_seconds: float, **options: Any) -> tuple[str, dict[str, Any]]:
    return "ExtendReservation", {"reservation_id": reservation_id, "ttl": duration(ttl_seconds), **options}


def transfer(reservation_id: str, origin: str, target: str, lines: Any = (), **options: Any) -> Any:
    places = {"from_location_id": origin, "to_location_id": target}
    lines = lines_of(lines, "SkuQuantity")
    return "TransferReservation", {"reservation_id": reservation_id, **places, "lines": lines, **options}


def record_movements(movements: Any, **options: Any) -> tuple[str, dict[str, Any]]:
    return "RecordMovements", {"movements": [each._asdict() for each in movements], **options}


def set_on_hand(counts: Any, **options: Any) -> tuple[str, dict[str, Any]]:
    names = ("sku_id", "location_id", "on_hand")
    return "SetOnHand", {"counts": [dict(zip(names, count, strict=True)) for count in counts], **options}


UNARY: dict[str, Callable[..., tuple[str, dict[str, Any]]]] = {
    "reserve": reserve,
    "commit": on_units("CommitReservation"),
    "release": on_units("ReleaseReservation"),
    "fulfill": on_units("FulfillCommitment"),
    "cancel": on_units("CancelCommitment"),
    "amend": on_units("AmendReservation"),
    "extend": extend,
    "transfer": transfer,
    "record_movements": record_movements,
    "set_on_hand": set_on_hand,
}


def facts(error: OnHandError) -> dict[str, Any]:
    return {"type": type(error), **{name: value for name, value in vars(error).items() if name != "request_id"}}


class Pair:
    """One call by its name and arguments, through the client or through a plain stub."""

    def __init__(self, harness: Harness, client: Client) -> None:
        self.harness = harness
        self.client = client

    def by_client(self, name: str, *args: Any, **options: Any) -> Any:
        try:
            return getattr(self.client, name)(*args, **({"ttl_seconds": TTL} if name == "reserve" else {}) | options)
        except OnHandError as error:
            return facts(error)

    def by_stub(self, name: str, *args: Any, **options: Any) -> Any:
        rpc, fields = UNARY[name](*args, **options)
        method = self.harness.channel.unary_unary(PATHS[rpc], response_deserializer=RESPONSES[rpc].FromString)
        try:
            return method(REQUESTS[rpc](**fields).SerializeToString(), timeout=WAIT_SECONDS)
        except grpc.RpcError as error:
            return facts(from_rpc_error(error))

    def refused(self, name: str, *args: Any, **options: Any) -> dict[str, Any]:
        """The refusal of a call, after making sure that both ways tell the same."""
        ours, theirs = self.by_client(name, *args, **options), self.by_stub(name, *args, **options)
        assert isinstance(theirs, dict), theirs
        assert ours == theirs
        return ours


@pytest.fixture
def pair(engine: ForkedEngine, client: Harness) -> Iterator[Pair]:
    with Client(engine.address, deadline_seconds=WAIT_SECONDS) as made:
        yield Pair(client, made)


@pytest.fixture
def stage(client: Harness) -> Stage:
    return Stage(client)


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(main())


def counting(counts: list[str]) -> Any:
    class Counter(grpc.aio.UnaryUnaryClientInterceptor):
        async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
            path = details.method
            counts.append(path.decode() if isinstance(path, bytes) else path)
            return await continuation(details, request)

    return Counter()


class BlockingCounter(grpc.UnaryUnaryClientInterceptor):
    def __init__(self) -> None:
        self.counts: list[str] = []

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        self.counts.append(details.method)
        return continuation(details, request)


def old_id(seconds: int) -> str:
    """A UUIDv7 of some time ago."""
    milliseconds = (time.time_ns() // 1_000_000) - seconds * 1000
    return str(uuid.UUID(int=(milliseconds << 80) | (7 << 76) | (2 << 62) | uuid.uuid4().int & (1 << 62) - 1))


# ---- the words of the contract ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs", "prefix"),
    [
        (ReservationState, reservation_pb2.ReservationState, "RESERVATION_STATE_"),
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


def test_the_blocking_client_is_generated_from_the_asynchronous_one() -> None:
    tool = runpy.run_path(str(Path(__file__).parent.parent / "proto" / "blocking_client.py"))
    assert tool["generated"]() == tool["GENERATED"].read_text(), "run python proto/blocking_client.py"


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
        build.transfer("0000000100000003", "X", "Y", expected_version=7, actor="me", reference="cart"),
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


# ---- both ways tell the same -----------------------------------------------------------------------------------------


def test_same_request_id_same_answer(pair: Pair, stage: Stage) -> None:
    sku, x, y = (stage.client.name(name) for name in ("A", "X", "Y"))
    held = pair.client.reserve([(sku, x, 9)], ttl_seconds=TTL).reservation_id
    calls: list[tuple[Any, ...]] = [
        ("reserve", [(sku, x, 2), (sku, y, 1), (sku, x, 1)]),
        ("amend", held, [(sku, x, 8)]),
        ("transfer", held, x, y, [(sku, 1)]),
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
        ("commit", {"reservation_id": ""}),
        ("commit", {"lines": [("A", "X", 0)]}),
        ("extend", {"ttl_seconds": 20_000}),
        ("amend", {"lines": []}),
        ("amend", {"lines": [("A", "X", -1)]}),
        ("amend", {"lines": [("A", "X", 1), ("A", "X", 1)]}),
        ("amend", {"expected_version": -1}),
        ("transfer", {"target": "X"}),
        ("transfer", {"origin": ""}),
        ("transfer", {"lines": [("A", 1), ("A", 1)]}),
        ("transfer", {"lines": [("A", 0)]}),
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
        "transfer": {"reservation_id": "0000000000000001", "origin": "X", "target": "Y"},
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
        yield "reserve", [(self.a, self.x, 1)], {"request_id": old_id(7200)}

    def sku_not_found(self) -> Iterator[Any]:
        yield "reserve", [(self.a, self.x, 1), (self.a, self.x, 1), (self.none, self.x, 1)], {}
        yield "reserve", [("s" * 64, self.x, 1)], {}
        yield "amend", self.held(), [(self.a, self.x, 1), (self.none, self.x, 1)], {}
        yield "record_movements", [NewMovement(MovementType.SALE, self.none, self.x, 1)], {}
        yield "set_on_hand", [(self.a, self.x, 1), (self.none, self.x, 1)], {}
        yield "transfer", self.held(), self.x, self.y, [(self.none, 1)], {}
        other = self.name("other")
        yield "reserve", [(self.a, self.x, 1), (self.none, self.x, 2**31 - 1), (other, self.x, 2**31 - 1)], {}
        yield "amend", self.held(), [(self.none, self.x, 1), (other, self.x, 1)], {}
        yield "set_on_hand", [(self.none, self.x, 1), (other, self.x, 1)], {}

    def location_not_found(self) -> Iterator[Any]:
        yield "reserve", [(self.a, self.x, 1), (self.a, self.none, 1)], {}
        yield "transfer", self.held(), self.x, self.none, [(self.a, 1)], {}
        yield "transfer", self.held(), self.x, self.none, {}
        yield "transfer", self.held(), self.none, self.x, {}
        yield "record_movements", [NewMovement(MovementType.TRANSFER, self.a, self.x, 1, to_location_id=self.none)], {}
        yield "set_on_hand", [(self.a, self.none, 1)], {}
        other = self.name("other")
        yield "transfer", self.held(), self.none, other, {}
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
        yield "transfer", self.held(), self.x, z, {}
        yield "transfer", self.held(), self.x, z, [(self.b, 1)], {}

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
        yield "transfer", self.held(), self.x, self.y, {"expected_version": 2}

    def location_inactive(self) -> Iterator[Any]:
        self.harness.location("closed", active=False)
        closed = self.name("closed")
        self.pair.client.receive([(self.a, closed, 9), (self.b, closed, 9)])
        yield "reserve", [(self.a, self.x, 1), (self.a, closed, 1)], {}
        yield "transfer", self.held(), self.x, closed, {}

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
        yield "transfer", foreign, self.x, self.y, {}

    def quantity_exceeds_open(self) -> Iterator[Any]:
        yield "commit", self.held(), [(self.b, self.x, 3), (self.b, self.x, 3)], {}
        yield "fulfill", self.committed(), [(self.a, self.x, 6), (self.b, self.x, 7)], {}
        yield "transfer", self.held(), self.y, self.x, {}
        yield "transfer", self.held(), self.x, self.y, [(self.a, 50)], {}
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
        yield "transfer", self._held_at_y(), self.y, self.x, {}

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


# ---- coalescing ------------------------------------------------------------------------------------------------------


def test_concurrent_reservations_never_oversell_and_travel_together(engine: ForkedEngine, stage: Stage) -> None:
    sku, place = stage.client.name("A"), stage.client.name("X")
    calls: list[str] = []

    async def main() -> list[Any]:
        async with AsyncClient(engine.address, interceptors=[counting(calls)]) as client:
            wanted = (client.reserve([(sku, place, 1)], ttl_seconds=TTL) for _ in range(500))
            return await asyncio.gather(*wanted, return_exceptions=True)

    outcomes = run(main)
    made = [each for each in outcomes if isinstance(each, api.Reserved)]
    assert len({each.reservation_id for each in made}) == len({each.seq for each in made}) == len(made) == 100
    refused = [each for each in outcomes if each not in made]
    assert {(type(each), each.shortages) for each in refused} == {
        (api.InsufficientStock, (api.Shortage(sku, place, 1, 0, 0),))
    }
    assert set(calls) == {EXECUTE_PATH}
    assert len(calls) == 1
    assert stage.client.level("A", "X").available == 0


def test_what_waits_while_calls_are_on_their_way_is_the_next(engine: ForkedEngine, stage: Stage) -> None:
    sku, place = stage.client.name("A"), stage.client.name("X")
    calls: list[str] = []

    async def worker(client: AsyncClient) -> None:
        for _ in range(20):
            held = await client.reserve([(sku, place, 1)], ttl_seconds=TTL)
            await client.commit(held.reservation_id)
            assert (await client.cancel(held.reservation_id)).seq > held.seq

    async def main() -> None:
        async with AsyncClient(engine.address, interceptors=[counting(calls)]) as client:
            await asyncio.gather(*(worker(client) for _ in range(100)))

    run(main)
    assert len(calls) < 100 * 20 * 3 / 10
    level = stage.client.level("A", "X")
    assert (level.on_hand, level.reserved, level.committed) == (100, 0, 0)


def test_awaited_writes_are_sequenced_in_their_order(engine: ForkedEngine, stage: Stage) -> None:
    sku, place = stage.client.name("A"), stage.client.name("X")

    async def main() -> list[int]:
        async with AsyncClient(engine.address) as client:
            noise = [asyncio.ensure_future(client.adjust([(sku, place, 1)])) for _ in range(200)]
            seqs = [(await client.sell([(sku, place, 1)])).seq for _ in range(20)]
            await asyncio.gather(*noise)
            return seqs

    seqs = run(main)
    assert seqs == sorted(set(seqs))


def test_blocking_client_is_shared_by_threads(engine: ForkedEngine, stage: Stage) -> None:
    sku, place = stage.client.name("A"), stage.client.name("X")
    counter = BlockingCounter()
    start = threading.Barrier(16)

    def shop(client: Client) -> list[Any]:
        outcomes: list[Any] = []
        start.wait()
        for _ in range(20):
            try:
                outcomes.append(client.reserve([(sku, place, 1)], ttl_seconds=TTL))
            except OnHandError as error:
                outcomes.append(error)
        return outcomes

    with Client(engine.address, interceptors=[counter]) as client, ThreadPoolExecutor(16) as pool:
        outcomes = [each for done in pool.map(lambda _: shop(client), range(16)) for each in done]
    made = [each for each in outcomes if isinstance(each, api.Reserved)]
    assert len({each.reservation_id for each in made}) == len(made) == 100
    assert {type(each) for each in outcomes} == {api.Reserved, api.InsufficientStock}
    assert set(counter.counts) == {EXECUTE_PATH}
    assert len(counter.counts) < 320


def spoiled(command: Any, sku: str, place: str) -> Any:
    """The command as no function of the package would let it pass: the engine refuses its whole call."""
    return type(command)(command.operation, ((sku, place, 0),), command.request_id, ttl_us=command.ttl_us)


def test_only_the_culprit_of_a_refused_call_fails(engine: ForkedEngine, stage: Stage) -> None:
    sku, place = stage.client.name("A"), stage.client.name("X")

    async def main() -> list[Any]:
        async with AsyncClient(engine.address) as client:
            good = [build.reserve([(sku, place, 1)], ttl_seconds=TTL) for _ in range(40)]
            wrong = spoiled(good[0], sku, place)
            again = spoiled(build.reserve([(sku, place, 1)], ttl_seconds=TTL), sku, place)
            everything = [*good, again]
            everything[17:17] = [wrong]  # with the request id of another: ALREADY_EXISTS, once that was run
            return await asyncio.gather(*(client._submit(each) for each in everything), return_exceptions=True)

    outcomes = run(main)
    assert {type(each) for place, each in enumerate(outcomes) if place not in (17, 41)} == {api.Reserved}
    assert isinstance(outcomes[17], (api.ValidationFailed, api.RequestIdReused))
    assert isinstance(outcomes[41], api.ValidationFailed)
    assert stage.client.level("A", "X").reserved == 40


def test_long_calls_are_sent_in_parts(engine: ForkedEngine, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CALL_BYTES_MAX", 1500)
    sku, place = stage.client.name("A"), stage.client.name("X")
    calls: list[str] = []

    async def main() -> list[Any]:
        async with AsyncClient(engine.address, interceptors=[counting(calls)]) as client:
            wanted = (client.reserve([(sku, place, 1)], ttl_seconds=TTL, reference=f"{at:060}") for at in range(100))
            return await asyncio.gather(*wanted)

    assert len({each.reservation_id for each in run(main)}) == 100
    assert 8 <= len(calls) <= 32


def test_a_call_takes_no_more_than_the_engine_does() -> None:
    loop = asyncio.new_event_loop()
    queue = Queue()

    def add(line_count: int) -> Ticket:
        command = build.set_on_hand([(f"S{at}", "X", 1) for at in range(line_count)])
        made = Ticket(command, loop.create_future(), 10.0)
        queue.add(made)
        return made

    def sizes() -> list[int]:
        found = []
        while batch := queue.take():
            found.append(len(batch.tickets))
        return found

    for _ in range(9000):
        add(1)
    assert sizes() == [8192, 808]
    for _ in range(5):
        add(8000)
    assert sizes() == [4, 1]
    for made in [add(8000) for _ in range(6)][:5]:
        made.future.cancel()
    assert sizes() == [1]  # nobody waits for the others any more
    loop.close()


def test_a_command_whose_deadline_has_passed_is_never_sent() -> None:
    loop = asyncio.new_event_loop()
    queue = Queue()
    late, good = (Ticket(build.set_on_hand([("S", "X", 1)]), loop.create_future(), seconds) for seconds in (-0.5, 10.0))
    queue.add(late)
    queue.add(good)
    batch = queue.take()
    assert batch is not None
    assert list(batch.tickets) == [good]
    assert isinstance(late.future.exception(), api.NotSent)
    queue.add(Ticket(build.set_on_hand([("S", "X", 1)]), loop.create_future(), 0.0))
    assert queue.take() is None
    loop.close()


def test_too_many_waiting_commands_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WAITING_MAX", 2)

    async def main() -> list[Any]:
        client = AsyncClient("127.0.0.1:1", deadline_seconds=0.2)
        outcomes = await asyncio.gather(*(client.commit("000fffffffffffff") for _ in range(3)), return_exceptions=True)
        await client.close()
        return outcomes

    assert [type(each) for each in run(main)] == [OutcomeUnknown, OutcomeUnknown, api.Overloaded]


# ---- retries ---------------------------------------------------------------------------------------------------------


def unavailable(reason: str = "", retry_seconds: float = 0.0) -> OnHandError:
    if reason:
        return api.errors.refusal(reason, "try again", retry_seconds=retry_seconds)
    return api.NoAnswer("connection refused", grpc.StatusCode.UNAVAILABLE)


def test_a_conversation_repeats_the_same_request_until_it_has_an_answer() -> None:
    steps = conversation(b"request", Engines("here"), time.monotonic() + 60, None)
    pauses = []
    step = next(steps)
    for error in (
        unavailable(),
        unavailable("DRAINING"),
        unavailable("OVERLOADED", 0.7),
        unavailable("JOURNAL_UNAVAILABLE", 0.2),
        unavailable("NOT_PRIMARY"),
    ):
        assert isinstance(step, Attempt)
        assert (step.request, 0 < step.timeout_seconds <= 60) == (b"request", True)
        pauses.append(steps.throw(error))
        assert isinstance(pauses[-1], Pause)
        step = next(steps)
    assert pauses[0].seconds <= 0.025
    assert 0.7 <= pauses[2].seconds <= 0.8
    with pytest.raises(StopIteration) as end:
        steps.send(b"answer")
    assert end.value.value == b"answer"


@pytest.mark.parametrize("reason", ["INSUFFICIENT_STOCK", "VALIDATION_FAILED", "INTERNAL_ERROR", "LEDGER_CORRUPT"])
def test_a_conversation_ends_with_a_refusal(reason: str) -> None:
    steps = conversation(b"", Engines("here"), time.monotonic() + 60, None)
    next(steps)
    with pytest.raises(RefusedError) as refused:
        steps.throw(unavailable(reason))
    assert refused.value.reason == reason


def test_a_conversation_ends_with_its_deadline_and_its_retries() -> None:
    steps = conversation(b"", Engines("here"), time.monotonic() + 0.1, None)
    next(steps)
    with pytest.raises(api.Overloaded):
        steps.throw(unavailable("OVERLOADED", 5.0))
    steps = conversation(b"", Engines("here"), time.monotonic() + 60, 1)
    next(steps)
    steps.throw(unavailable())
    next(steps)
    with pytest.raises(api.NoAnswer, match="an earlier try got no answer"):  # it may have done what a refusal denies
        steps.throw(unavailable("DRAINING"))


@contextmanager
def engine_at(folder: Path, transport: str, port: int = 0) -> Iterator[ForkedEngine]:
    flags = ["--port", str(port), "--data-folder", str(folder / "data"), "--transport", transport]
    with ForkedEngine(flags, log_file=folder / "engine.log") as process:
        yield process


@pytest.mark.parametrize("transport", ["native", pytest.param("grpcio", marks=pytest.mark.slow)])
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_restart_loses_nothing_and_does_nothing_twice(tmp_path: Path, transport: str, how: str) -> None:
    made: list[api.Reserved] = []
    stopping = False

    async def worker(client: AsyncClient) -> None:
        while not stopping:
            made.append(await client.reserve([("A", "X", 1)], ttl_seconds=TTL))

    async def main(address: str, restart: Callable[[], None]) -> None:
        nonlocal stopping
        async with AsyncClient(address, deadline_seconds=WAIT_SECONDS) as client:
            workers = [asyncio.ensure_future(worker(client)) for _ in range(50)]
            while len(made) < 500:
                await asyncio.wait(workers, timeout=0.01)
            await asyncio.to_thread(restart)
            before = len(made)
            while len(made) < before + 500:
                await asyncio.wait(workers, timeout=0.01)
            stopping = True
            await asyncio.gather(*workers)

    with engine_at(tmp_path, transport, free_port()) as first:
        with Harness(first.address) as harness:
            harness.sku("A")
            harness.location("X")
            harness.receive("A", "X", 1_000_000)
        port = int(first.address.rpartition(":")[2])
        flags = ["--port", str(port), "--data-folder", str(tmp_path / "data"), "--transport", transport]
        second = ForkedEngine(flags, log_file=tmp_path / "engine.log")

        def restart() -> None:
            getattr(first, how)()
            second.start()

        try:
            run(lambda: main(first.address, restart))
            with Harness(first.address) as harness:
                assert len({each.reservation_id for each in made}) == len(made)
                assert harness.level("A", "X").reserved == len(made)
                assert harness.verify().ok
        finally:
            second.stop()


def test_an_engine_that_is_not_there() -> None:
    with Client("127.0.0.1:1", deadline_seconds=0.3) as client:
        with pytest.raises(OutcomeUnknown, match="same request_id") as unknown:
            client.commit("000fffffffffffff", request_id=(mine := new_id()))
        assert unknown.value.request_id == mine
        with pytest.raises(api.NoAnswer) as silent:
            client.availability(["A"])
        assert type(silent.value) is api.NoAnswer
        with pytest.raises(OutcomeUnknown) as unknown:
            client.set_stock_policy("A", "X", safety_stock=1, request_id=mine)
        assert unknown.value.request_id == mine


# ---- deadlines, cancellation, closing --------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=TRANSPORTS)
def own_engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkedEngine]:
    """An engine that tests may stop and let go on."""
    with engine_at(tmp_path_factory.mktemp("own-engine"), request.param) as process:
        with Harness(process.address) as harness:
            harness.sku("A")
            harness.location("X")
            harness.receive("A", "X", 1_000_000)
        yield process


def test_a_deadline_that_passes_leaves_the_outcome_unknown(own_engine: ForkedEngine) -> None:
    with Harness(own_engine.address) as harness, Client(own_engine.address) as client:
        before = client.get_stock_level("A", "X").reserved
        with stopped(own_engine.process), pytest.raises(OutcomeUnknown, match=r"(?i)deadline") as unknown:
            client.reserve([("A", "X", 1)], ttl_seconds=TTL, deadline_seconds=0.5, request_id=(mine := new_id()))
        assert (unknown.value.request_id, unknown.value.code) == (mine, grpc.StatusCode.DEADLINE_EXCEEDED)
        again = client.reserve([("A", "X", 1)], ttl_seconds=TTL, request_id=unknown.value.request_id)
        assert client.reserve([("A", "X", 1)], ttl_seconds=TTL, request_id=mine) == again
        assert harness.level("A", "X").reserved == before + 1


def test_each_caller_has_its_own_deadline(own_engine: ForkedEngine) -> None:
    async def main() -> None:
        async with AsyncClient(own_engine.address, deadline_seconds=WAIT_SECONDS) as client:
            await client.status()
            with stopped(own_engine.process) as go_on:
                patient = asyncio.ensure_future(client.reserve([("A", "X", 1)], ttl_seconds=TTL))
                hasty = client.reserve([("A", "X", 1)], ttl_seconds=TTL, deadline_seconds=0.5)
                with pytest.raises(OutcomeUnknown):
                    await hasty  # travels with the patient one
                others = []
                while not client._queue:  # all calls that may be on their way are
                    others.append(asyncio.ensure_future(client.reserve([("A", "X", 1)], ttl_seconds=TTL)))
                    await asyncio.wait(others, timeout=0.01)
                with pytest.raises(api.NotSent, match="nothing was done"):
                    await client.reserve([("A", "X", 1)], ttl_seconds=TTL, deadline_seconds=0.1)
                assert not patient.done()
                go_on()
                for made in await asyncio.gather(patient, *others):
                    assert isinstance(made, api.Reserved)

    run(main)


def test_a_read_that_waits_too_long_has_no_answer(own_engine: ForkedEngine) -> None:
    with Client(own_engine.address) as client:
        client.status()
        with stopped(own_engine.process), pytest.raises(api.NoAnswer) as silent:
            client.get_stock_level("A", "X", deadline_seconds=0.5)
    assert (type(silent.value), silent.value.request_id) == (api.NoAnswer, "")


def test_a_cancelled_caller_waits_no_longer(own_engine: ForkedEngine) -> None:
    async def main() -> None:
        async with AsyncClient(own_engine.address, deadline_seconds=WAIT_SECONDS) as client:
            before = (await client.get_stock_level("A", "X")).reserved
            with stopped(own_engine.process) as go_on:
                sent = asyncio.ensure_future(client.reserve([("A", "X", 1)], ttl_seconds=TTL))
                other = asyncio.ensure_future(client.reserve([("A", "X", 1)], ttl_seconds=TTL))
                while not client._sending:
                    await asyncio.wait([sent], timeout=0.01)
                sent.cancel()
                unsent = asyncio.ensure_future(client.reserve([("A", "X", 1)], ttl_seconds=TTL))
                unsent.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await sent
                with pytest.raises(asyncio.CancelledError):
                    await unsent
                go_on()
                assert isinstance(await other, api.Reserved)
            assert (await client.get_stock_level("A", "X")).reserved == before + 2  # the sent one was done all the same

    run(main)


def test_closing_waits_for_what_was_begun(own_engine: ForkedEngine) -> None:
    async def main() -> list[Any]:
        client = AsyncClient(own_engine.address, deadline_seconds=WAIT_SECONDS)
        with stopped(own_engine.process) as go_on:
            begun = []
            while not client._queue:
                begun.append(asyncio.ensure_future(client.reserve([("A", "X", 1)], ttl_seconds=TTL)))
                await asyncio.wait(begun, timeout=0.01)
            closing = asyncio.ensure_future(client.close())
            await asyncio.wait([closing], timeout=0.01)
            with pytest.raises(api.ClientClosed):
                await client.reserve([("A", "X", 1)], ttl_seconds=TTL)
            with pytest.raises(api.ClientClosed):
                await client.status()
            assert not closing.done()
            go_on()
            await closing
        return await asyncio.gather(*begun)

    assert {type(each) for each in run(main)} == {api.Reserved}


def test_closing_a_blocking_client_waits_for_what_was_begun(
    own_engine: ForkedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(own_engine.address, deadline_seconds=WAIT_SECONDS)
    added: list[None] = []
    add = client._queue.add
    monkeypatch.setattr(client._queue, "add", lambda ticket: added.append(add(ticket)))
    with ThreadPoolExecutor(8) as pool:
        with stopped(own_engine.process) as go_on:
            begun = [pool.submit(client.reserve, [("A", "X", 1)], ttl_seconds=TTL) for _ in range(8)]
            wait_until(lambda: len(added) == 8)
            closing = threading.Thread(target=client.close)
            closing.start()
            wait_until(lambda: client._is_closed)
            with pytest.raises(api.ClientClosed):
                client.sell([("A", "X", 1)])
            go_on()
        closing.join()
        assert {type(each.result()) for each in begun} == {api.Reserved}
    client.close()


def test_an_async_client_needs_a_running_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        AsyncClient("127.0.0.1:1")


class Forwarder(grpc.GenericRpcHandler):
    """Hands every unary call on to an engine, as a proxy that ends TLS does."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel

    def service(self, handler_call_details: Any) -> Any:
        call = self.channel.unary_unary(handler_call_details.method)
        return grpc.unary_unary_rpc_method_handler(lambda request, _: call(request))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
def test_tls(stage: Stage, tmp_path: Path) -> None:
    files = [tmp_path / "key.pem", tmp_path / "certificate.pem"]
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run([*make.split(), "-keyout", files[0], "-out", files[1]], check=True, capture_output=True)
    key, certificate = (file.read_bytes() for file in files)
    server = grpc.server(ThreadPoolExecutor(2), handlers=[Forwarder(stage.client.channel)])
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
    server.start()
    sku, place = stage.client.name("A"), stage.client.name("X")
    credentials = grpc.ssl_channel_credentials(certificate)

    async def main() -> Any:
        async with AsyncClient(f"localhost:{port}", credentials=credentials) as client:
            return await client.reserve([(sku, place, 1)], ttl_seconds=TTL)

    assert isinstance(run(main), api.Reserved)
    with Client(f"localhost:{port}", credentials=credentials) as client:
        assert client.get_stock_level(sku, place).reserved == 1
    server.stop(None).wait()


# ---- reads -----------------------------------------------------------------------------------------------------------


def test_reads_return_plain_values(pair: Pair, stage: Stage) -> None:
    client, name = pair.client, stage.client.name
    a, b, x, y = (name(each) for each in ("A", "B", "X", "Y"))
    client.set_stock_policy(a, x, safety_stock=10, backorder_limit=2)
    client.record_movements([NewMovement(MovementType.DAMAGE, a, x, 3)], reference="fork lift", actor="me")
    held = client.reserve([(a, x, 5), (b, y, 2)], ttl_seconds=TTL)
    level = client.get_stock_level(a, x)
    assert (level.on_hand, level.unavailable, level.reserved, level.available) == (100, 3, 5, 84)
    assert (level.unavailable_by_reason, level.safety_stock) == ({UnavailableReason.DAMAGED: 3}, 10)
    assert list(client.list_stock_levels(sku_id=a, location_id=x)) == [level]
    assert (level.suspect_time_us, list(client.list_stock_levels(sku_id=a, suspect_only=True))) == (None, [])
    (found,) = client.availability([a], location_ids=[x, y])
    assert (found.available, [(each.location_id, each.available) for each in found.locations]) == (
        184,
        [(x, 84), (y, 100)],
    )
    assert client.availability([a], location_group=name("G")) == (found,)
    reservation = client.get_reservation(held.reservation_id)
    assert reservation == api.Reservation(
        held.reservation_id,
        ReservationState.ACTIVE,
        (api.ReservationLine(a, x, 5, 5, 0), api.ReservationLine(b, y, 2, 2, 0)),
        1,
        reservation.create_time_us,
        held.expire_time_us,
        None,
    )
    assert list(client.list_reservations(sku_id=a, state=ReservationState.ACTIVE)) == [reservation]
    damage, hold = list(client.list_movements(sku_id=a, location_id=x))[-2:]
    assert (damage.type, damage.reference, damage.actor, damage.unavailable_reason) == (
        MovementType.DAMAGE,
        "fork lift",
        "me",
        UnavailableReason.DAMAGED,
    )
    assert (hold.type, hold.quantity, hold.reservation_id, hold.seq) == (
        MovementType.RESERVE,
        5,
        held.reservation_id,
        held.seq,
    )
    assert client.status().durability == "fsync"
    with pytest.raises(api.ReservationNotFound):
        client.get_reservation("no id")
    with pytest.raises(api.ValidationFailed) as wrong:
        client.availability([a], location_ids=[x, x])
    assert wrong.value.problems[0].field == "location_ids[1]"


def test_lists_go_over_all_pages(pair: Pair, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PAGE_SIZE", 3)
    sku, x = stage.client.name("A"), stage.client.name("X")
    made = {pair.client.reserve([(sku, x, 1)], ttl_seconds=TTL).reservation_id for _ in range(8)}
    assert {each.reservation_id for each in pair.client.list_reservations(sku_id=sku)} == made

    async def main() -> list[api.Movement]:
        async with AsyncClient(pair.harness.address) as client:
            return [each async for each in client.list_movements(sku_id=sku, location_id=x)]

    assert [each.type for each in run(main)] == [MovementType.RECEIVE, *[MovementType.RESERVE] * 8]


# ---- arrays ----------------------------------------------------------------------------------------------------------


def both_ways(address: str, call: Callable[[Any], Any]) -> list[Any]:
    """The same call on a blocking and on an asyncio client."""
    with Client(address, deadline_seconds=WAIT_SECONDS) as client:
        blocking = call(client)

    async def main() -> Any:
        async with AsyncClient(address, deadline_seconds=WAIT_SECONDS) as made:
            return await call(made)

    return [blocking, run(main)]


def test_many_reservations_from_arrays(engine: ForkedEngine, stage: Stage) -> None:
    name = stage.client.name
    count = 20_000
    stage.client.receive("A", "X", 10_000_000)
    skus = np.array([name("A"), "none", name("B")])[np.arange(count) % 3]
    for outcomes in both_ways(
        engine.address,
        lambda client: client.reserve_many(skus, [name("X")], 1, ttl_seconds=TTL, return_available_left=True),
    ):
        assert outcomes.errors == []
        assert outcomes.ok.sum() >= count // 3
        a, none = outcomes.statuses[::3], outcomes.statuses[1::3]
        assert set(a.tolist()) == {bulk.COMMAND_STATUS_OK}
        assert set(none.tolist()) == {bulk.COMMAND_STATUS_SKU_NOT_FOUND}
        ids = outcomes.reservation_ids[outcomes.ok]
        assert len(set(ids.tolist())) == len(ids)
        assert len(set(outcomes.seqs[outcomes.ok].tolist())) == len(ids)
        assert (outcomes.available_left[::3] > 9_000_000).all()
        refusals = outcomes.refusals()
        assert len(refusals) == count - len(ids)
        assert isinstance(refusals[1], api.SkuNotFound)
        assert str(refusals[1]) == 'lines[0].sku_id: sku "none" does not exist; ids are case-sensitive.'
        with pytest.raises(api.SkuNotFound):
            outcomes.raise_first()
        short = [place for place in refusals if place % 3 == 2]
        assert short
        assert isinstance(refusals[short[0]], api.InsufficientStock)
        assert refusals[short[0]].shortages == (api.Shortage(name("B"), name("X"), 1, 0, 0),)
        stage.client.receive("B", "X", 100)
    assert stage.client.verify().ok


def test_arrays_repeat_with_the_same_ids(pair: Pair, stage: Stage) -> None:
    sku, place = stage.client.name("A"), stage.client.name("X")
    coded = Coded([sku, "never used"], np.zeros(50, np.int64))
    ids = api.new_request_ids(50)
    first, second = (pair.client.reserve_many(coded, [place], 1, ttl_seconds=TTL, request_ids=ids) for _ in range(2))
    assert first.ok.all()
    assert (first.reservation_ids == second.reservation_ids).all()
    assert pair.client.reserve(
        [(sku, place, 1)], ttl_seconds=TTL, request_id=str(uuid.UUID(bytes=ids[7].tobytes()))
    ) == api.Reserved(f"{first.reservation_ids[7]:016x}", int(first.expire_times_us[7]), int(first.seqs[7]))
    assert stage.client.level("A", "X").reserved == 50


def test_any_mix_of_commands_from_arrays(pair: Pair, stage: Stage) -> None:
    a, b, x, y = (stage.client.name(each) for each in ("A", "B", "X", "Y"))
    held = [int(pair.client.reserve([(a, x, 2)], ttl_seconds=TTL).reservation_id, 16) for _ in range(3)]
    columns = CommandColumns(
        operations=[
            Operation.COMMIT,
            Operation.RESERVE,
            Operation.RELEASE,
            Operation.TRANSFER,
            Operation.RECORD_MOVEMENTS,
        ],
        line_counts=[0, 3, 0, 1, 2],
        skus=[a, b, a, a, a, b],
        locations=[x, x, x, x, x, x],
        quantities=[60, 1, 60, 1, 3, 200],
        reservation_ids=[held[0], 0, held[1], held[2], 0],
        ttl_us=5_000_000,
        references=["order", "cart", "cart", "cart", "till"],
        to_locations=Coded([y], np.array([-1, -1, -1, 0, -1, -1])),
        movement_types=[0, 0, 0, 0, MovementType.RECEIVE, MovementType.SALE],
    )
    outcomes = pair.client.execute(columns)
    assert outcomes.ok.tolist() == [True, False, True, True, True]
    assert outcomes.states.tolist() == [2, 0, 3, 1, 0]
    assert outcomes.applied_oversold.tolist() == [False, False, False, False, True]
    (refused,) = outcomes.refusals().values()
    assert isinstance(refused, api.InsufficientStock)
    assert refused.shortages == (api.Shortage(a, x, 120, 94, 0),)
    assert {each.reference for each in pair.client.list_movements(sku_id=b, location_id=x)} >= {"till"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantities": [1, 2]}, "quantities: expected 3 entries, or one for all, was 2 entries"),
        ({"skus": ["A", "", "A"]}, r"skus\[1\]: expected 1 to 64 bytes"),
        ({"skus": ["A", "A ", "A"]}, r'skus\[1\]: expected no blank at either end, was "A "'),
        ({"locations": ["X\u200b"]}, r'locations\[0\]: expected visible characters only, .* was "X\\u200b"'),
        ({"skus": Coded(["A"], np.array([0, 1, 0]))}, r"skus\[1\]: expected -1 to 0, an index, was 1"),
        ({"quantities": [1, 2**31, 1]}, r"quantities\[1\]: expected at most 2147483647"),
        ({"line_counts": [1, 1, 2]}, "skus: expected 4 entries, the sum of line_counts, was 3"),
        ({"request_ids": np.zeros((2, 16), np.uint8)}, r"request_ids: expected shape \(3, 16\)"),
        ({"references": ["é" * 33]}, r"references\[0\]: expected at most 64 bytes"),
    ],
)
def test_wrong_columns_are_named_and_nothing_is_sent(pair: Pair, change: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {
        "operations": [1, 1, 1],
        "skus": ["A", "A", "A"],
        "locations": ["X"],
        "quantities": [1, 1, 1],
        "ttl_us": 1000,
    }
    with pytest.raises(api.ValidationFailed, match=message):
        pair.client.execute(CommandColumns(**good | change))
    with pytest.raises(api.ValidationFailed, match=r"quantities\[1\]: expected 1 to"):
        pair.client.reserve_many(["A", "A"], ["X"], [1, 0], ttl_seconds=TTL)
    with pytest.raises(api.ValidationFailed, match="quantities: expected integers, was float64"):
        pair.client.reserve_many(["A"], ["X"], [1.5], ttl_seconds=TTL)
    assert len(pair.client.reserve_many([], ["X"], 1, ttl_seconds=TTL).ok) == 0


def test_calls_of_arrays_that_fail_leave_their_commands_unanswered(pair: Pair, stage: Stage) -> None:
    sku, place = stage.client.name("A"), stage.client.name("X")
    ttl_us = np.full(20_000, 1000)
    ttl_us[9000] = 0  # the engine refuses the second call as a whole
    outcomes = pair.client.execute(
        CommandColumns(np.full(20_000, Operation.RESERVE), [sku] * 20_000, [place], 1, ttl_us=ttl_us)
    )
    assert (outcomes.statuses[8192:16384] == api.UNANSWERED).all()
    assert (outcomes.statuses[:8192] != api.UNANSWERED).all()
    ((first, last, error),) = outcomes.errors
    assert (first, last, type(error)) == (8192, 16384, api.ValidationFailed)
    assert "ttl_us[808]" in str(error)
    with Client("127.0.0.1:1", deadline_seconds=0.2) as nobody:
        outcomes = nobody.reserve_many([sku], [place], 1, ttl_seconds=TTL)
    with pytest.raises(OutcomeUnknown):
        outcomes.raise_first()


# ---- the examples ----------------------------------------------------------------------------------------------------

EXAMPLES = re.findall(
    r"```python\n(.*?)```", (Path(__file__).parent.parent / "docs" / "client.md").read_text(encoding="utf-8"), re.DOTALL
)


def test_the_examples_of_the_docs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with engine_at(tmp_path, "native") as process:
        with Harness(process.address) as harness:
            harness.sku("MUG-1", "TEA-5")
            harness.location("STORE-7", "DC-1")
            for sku in ("MUG-1", "TEA-5"):
                for place in ("STORE-7", "DC-1"):
                    harness.receive(sku, place, 10)
        for example in EXAMPLES:
            code = example.replace("127.0.0.1:50051", process.address).replace("127.0.0.1:50052", "127.0.0.1:1")
            exec(compile(code, "docs/client.md", "exec"), {"__name__": "__main__"})
    told = capsys.readouterr().out
    for line in re.findall(r"^# prints: (.*)$", "\n".join(EXAMPLES), re.MULTILINE):
        assert line in told
