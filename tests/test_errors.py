"""Refusals as they travel: what a call is told of one of its parts is what that part would be told alone."""

import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from onhand.inventory.v1.reservation_pb2 import Refusal, Shortage

from engine.errors import RefusedError, invalid

SHORT = Shortage(line=1, requested=5, available=2)


def details_of(refusal: RefusedError) -> dict[str, list[object]]:
    """Details by the name of their message."""
    found: dict[str, list[object]] = {}
    for packed in Status.FromString(refusal.details()).details:
        for kind in (ErrorInfo, BadRequest, Refusal, RetryInfo):
            message = kind()
            if packed.Unpack(message):
                found.setdefault(kind.__name__, []).append(message)
    return found


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        (
            invalid("lines[0].quantity", "1 to 9", 0),
            "requests[3].lines[0].quantity: expected 1 to 9, was 0.",
        ),
        (
            RefusedError("OVERLOADED", "Too many orders came at once.", retry_seconds=0.25),
            "requests[3]: Too many orders came at once.",
        ),
        (
            RefusedError("INSUFFICIENT_STOCK", "Line 1 is short.", shortages=[SHORT], metadata={"lines": "1"}),
            "requests[3]: Line 1 is short.",
        ),
    ],
)
def test_a_refusal_inside_of_another_message_says_all_that_it_said(refusal: RefusedError, message: str) -> None:
    inside, before = refusal.inside("requests[3]"), details_of(refusal)
    after = details_of(inside)
    assert inside.message == message
    assert after.keys() == before.keys()
    assert [after.get(name) for name in ("Refusal", "RetryInfo")] == [
        before.get(name) for name in ("Refusal", "RetryInfo")
    ]
    (info,) = after["ErrorInfo"]
    assert isinstance(info, ErrorInfo)
    assert info.metadata == {
        name: f"requests[3].{value}" if name == "field" else value for name, value in refusal.metadata.items()
    }
    assert [problem.field for problem in inside.problems] == [f"requests[3].{each.field}" for each in refusal.problems]
    assert list(inside.refusal().shortages) == list(refusal.shortages)
