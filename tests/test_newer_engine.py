"""What a newer engine says reaches callers of the client package: as OTHER, with the number kept; nothing is lost."""

import enum
import pickle
from collections.abc import Iterator
from typing import Any

import msgspec
import onhand.client as api
import pytest
from newer_engine import CLASSES, GOOD, Call, newer_engine, outcomes
from onhand.client import commands, results
from onhand.inventory.v1 import bulk_service_pb2, request_service_pb2, reservation_pb2, stock_pb2, transfer_pb2
from onhand.order.v1 import fulfillment_pb2
from onhand.routing.v1 import bulk_service_pb2 as bulk_routing
from onhand.routing.v1 import plan_pb2

TOGETHER = [name for name in GOOD if hasattr(commands, name)]
"""Methods whose calls travel together."""
IN_COLUMNS = [*TOGETHER, "plan_orders", "reserve_many", "execute"]
ENUMS = {
    "ReservationState": reservation_pb2.ReservationState,
    "MovementType": stock_pb2.MovementType,
    "UnavailableReason": stock_pb2.UnavailableReason,
    "FulfillmentMethod": plan_pb2.FulfillmentMethod,
    "RoutingStrategy": plan_pb2.RoutingStrategy,
    "ReasonCode": plan_pb2.ReasonCode,
    "RequestOperation": request_service_pb2.RequestOperation,
    "RequestState": request_service_pb2.RequestState,
    "TransferState": transfer_pb2.TransferState,
    "FulfillmentState": fulfillment_pb2.FulfillmentState,
    "FulfillmentVerb": fulfillment_pb2.FulfillmentVerb,
}


def enums_in(value: Any) -> Iterator[enum.IntEnum]:
    """Every enum value in a result, however deep."""
    if isinstance(value, enum.IntEnum):
        yield value
    elif isinstance(value, msgspec.Struct):
        yield from enums_in([getattr(value, name) for name in value.__struct_fields__])
    elif isinstance(value, dict):
        yield from enums_in([*value.keys(), *value.values()])
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from enums_in(each)


def test_every_enum_of_answers_keeps_what_it_does_not_know() -> None:
    assert {kind.__name__ for kind in results.WireEnum.__subclasses__()} == set(ENUMS)
    for kind in results.WireEnum.__subclasses__():
        for number in (max(ENUMS[kind.__name__].values()) + 1, 127, -1):
            other = kind(number)
            assert (other.name, other.value, int(other), type(other)) == ("OTHER", number, number, kind)
            assert pickle.loads(pickle.dumps(other)) == other == kind(number)
            assert other not in tuple(kind)
            assert {other: 1}[kind(number)] == 1
        with pytest.raises(ValueError, match="is not a valid"):
            kind("SHIP")


BOTH = pytest.mark.parametrize("kind", CLASSES)


def answers(kind: Any, address: str, names: list[str]) -> dict[str, Any]:
    """What methods return or raise."""
    calls = [Call(name, (), GOOD[name]) for name in names]
    return dict(zip(names, outcomes(kind, address, calls), strict=True))


def unknown_of(enumeration: Any) -> int:
    return max(enumeration.values()) + 1


@BOTH
def test_answers_are_read_whatever_they_say(kind: Any) -> None:
    names = [name for name in GOOD if name not in IN_COLUMNS]
    found: set[str] = set()
    with newer_engine() as address:
        for name, answer in answers(kind, address, names).items():
            assert not isinstance(answer, Exception), (name, answer)
            for value in enums_in(answer):
                assert (value.name, int(value)) == ("OTHER", unknown_of(ENUMS[type(value).__name__])), name
                found.add(type(value).__name__)
            if isinstance(answer, api.Planned):
                assert answer.plan.cost_terms["other_1000"] == 7
    assert found == set(ENUMS)


@BOTH
def test_answers_in_columns_are_read_whatever_they_say(kind: Any) -> None:
    with newer_engine({"statuses": 1}) as address:
        for name, answer in answers(kind, address, IN_COLUMNS).items():
            assert not isinstance(answer, Exception), (name, answer)
            others = [(value.name, int(value)) for value in enums_in(answer)]
            if isinstance(answer, api.Changed):
                assert others == [("OTHER", unknown_of(reservation_pb2.ReservationState))]
            if name == "plan_orders":
                assert others == [
                    ("OTHER", unknown_of(plan_pb2.FulfillmentMethod)),
                    ("OTHER", unknown_of(plan_pb2.ReasonCode)),
                ]
            if isinstance(answer, api.Outcomes):
                assert (answer.ok.all(), answer.refusals()) == (True, {})


@BOTH
def test_refusals_in_columns_keep_their_number(kind: Any) -> None:
    status = unknown_of(bulk_service_pb2.CommandStatus)
    with newer_engine() as address:
        found = answers(kind, address, IN_COLUMNS)
    (planned,) = found.pop("plan_orders")
    assert (type(planned), planned.reason) == (api.RefusedError, f"STATUS_{unknown_of(bulk_routing.PlanStatus)}")
    for name, answer in found.items():
        refused = answer.refusals()[0] if isinstance(answer, api.Outcomes) else answer
        assert (name, type(refused), refused.reason) == (name, api.RefusedError, f"STATUS_{status}")
        assert refused.request_id


@BOTH
def test_one_refusal_of_many_orders_loses_no_other(kind: Any) -> None:
    with newer_engine({"statuses": bulk_routing.PLAN_STATUS_REFUSED}) as address:
        (refused,) = answers(kind, address, ["plan_orders"])["plan_orders"]
    assert (type(refused), refused.reason, refused.message) == (api.RefusedError, "NEWER", "NEWER")


@BOTH
def test_what_differed_keeps_its_number(kind: Any) -> None:
    with newer_engine({"statuses": bulk_service_pb2.COMMAND_STATUS_REQUEST_ID_REUSED}) as address:
        for name, answer in answers(kind, address, [*TOGETHER, "execute"]).items():
            refused = answer.refusals()[0] if isinstance(answer, api.Outcomes) else answer
            field = f"OTHER_{unknown_of(bulk_service_pb2.DifferingField)}"
            assert (name, type(refused), refused.field) == (name, api.RequestIdReused, field)


@BOTH
def test_reasons_that_nobody_knows_are_kept(kind: Any) -> None:
    with newer_engine(reason="NEWER_REASON") as address:
        for name, answer in answers(kind, address, list(GOOD)).items():
            refused = answer.refusals()[0] if isinstance(answer, api.Outcomes) else answer
            assert (name, type(refused), refused.reason) == (name, api.RefusedError, "NEWER_REASON")
            assert (refused.code.name, str(refused), refused.field) == ("FAILED_PRECONDITION", "because", "what")


@BOTH
def test_an_answer_that_cannot_be_read_leaves_open_what_became_of_the_write(kind: Any) -> None:
    with newer_engine({"statuses": 1, "location_indexes": 99}) as address:
        unread = answers(kind, address, ["plan_orders"])["plan_orders"]
    assert type(unread) is api.NoAnswer
    assert "cannot be read" in str(unread)
