"""What the tests of this folder share."""

import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from harness import Client, Refused
from onhand.inventory.v1 import reservation_pb2

TOP = 2**31 - 1
WINDOW_SECONDS = 72 * 3_600
"""How long an engine remembers request ids that nobody told otherwise."""


State = reservation_pb2.ReservationState


def refusal(call: Callable[..., Any], *arguments: Any, **more: Any) -> Refused:
    with pytest.raises(Refused) as refused:
        call(*arguments, **more)
    return refused.value


def copy(request: Any) -> Any:
    return type(request).FromString(request.SerializeToString())


def uuid7(age_seconds: float) -> str:
    milliseconds = int((time.time() - age_seconds) * 1000)
    return str(uuid.UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62 | uuid.uuid4().int & (1 << 62) - 1))


def set_text(request: Any, text: str) -> None:
    """Put a text where it matters to nobody but the one who compares contents."""
    if hasattr(request, "reference"):
        request.reference = text
        return
    for name in ("location", "sku"):
        if hasattr(request, name):
            getattr(request, name).display_name = text
        elif hasattr(request, f"{name}s"):
            getattr(request, f"{name}s")[0].display_name = text


def listed(client: Client) -> dict[str, tuple[str, dict[str, Any], Callable[[Any], Any], list[Any]]]:
    """Seven of everything: field, filter, key, and the keys in their order."""
    places = [f"P{number}" for number in range(7)]
    skus = [f"S{number}" for number in range(7)]
    client.location(*places, groups=["G"])
    client.sku(*skus)
    for place in places:
        client.receive("S0", place, 10)
    for sku in skus[1:]:
        client.receive(sku, "P0", 10)
    made = [client.reserve(("S0", place, 1)).reservation_id for place in places]
    own = [client.name(place) for place in places]
    return {
        "ListLocations": ("locations", {"location_group": client.name("G")}, lambda each: each.location_id, own),
        "ListStockLevels": ("stock_levels", {"sku_id": client.name("S0")}, lambda each: each.location_id, own),
        "ListReservations": ("reservations", {"sku_id": client.name("S0")}, lambda each: each.reservation_id, made),
        "ListMovements": (
            "movements",
            {"sku_id": client.name("S0")},
            lambda each: each.location_id,
            own * 2,
        ),
    }
