"""What the tests of this folder share."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from engines import ForkedEngine
from faults.processes import WAIT_SECONDS
from google.protobuf.duration_pb2 import Duration
from harness import PATHS, REQUESTS, RESPONSES
from harness import Client as Harness
from onhand.client import Client, OnHandError, from_rpc_error

TTL = 600.0


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
    "transfer_reservation": transfer,
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


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(main())


@contextmanager
def engine_at(folder: Path, transport: str, port: int = 0) -> Iterator[ForkedEngine]:
    flags = ["--port", str(port), "--data-folder", str(folder / "data"), "--transport", transport]
    with ForkedEngine(flags, log_file=folder / "engine.log") as process:
        yield process
