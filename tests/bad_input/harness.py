"""What the tests of this folder share."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from harness import Stage

LONG = "x" * 65
HOLDS = ("CommitReservation", "ReleaseReservation", "FulfillCommitment", "CancelCommitment")
ON_RESERVATION = (*HOLDS, "ExtendReservation", "AmendReservation", "TransferReservation")
WITH_LINES = {
    "ReserveStock": "lines",
    **dict.fromkeys(HOLDS, "lines"),
    "AmendReservation": "lines",
    "RecordMovements": "movements",
    "SetOnHand": "counts",
}


@contextlib.contextmanager
def nothing_changes(stage: Stage, reservation_id: str = "") -> Iterator[None]:
    """Assert that levels, catalog, counts and the reservation named are afterwards what they were before."""
    before = _photograph(stage, reservation_id)
    yield
    assert _photograph(stage, reservation_id) == before


def _photograph(stage: Stage, reservation_id: str) -> list[Any]:
    client = stage.client
    status = client.status()
    catalog = [client.raw(rpc, stage.request(rpc).SerializeToString()) for rpc in ("GetSku", "ListLocations")]
    return [
        stage.levels(),
        [answer[: answer.rindex(b"\x10")] if b"\x10" in answer else answer for answer in catalog],
        client.get(reservation_id) if reservation_id else None,
        (status.sku_count, status.location_count, status.stock_level_count, status.request_id_count),
    ]


def put(**values: Any) -> Callable[[Any], object]:
    def change(request: Any) -> None:
        for name, value in values.items():
            setattr(request, name, value)

    return change


def put_in(path: str, **values: Any) -> Callable[[Any], object]:
    """Set fields of a message inside the request: "lines" is the first of the lines, "sku" is the sku."""

    def change(request: Any) -> None:
        inner = getattr(request, path)
        target = inner[0] if hasattr(inner, "append") else inner
        put(**values)(target)

    return change
