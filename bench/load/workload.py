"""What a workload is: one object that prepares its stock, plays customers, checks the engine, and counts.

The same object serves a test (a few seconds), a load test (the open-loop generator or Locust) and a benchmark.
"""

from typing import Final, Protocol

import grpc
import uuid_utils
from google.protobuf.duration_pb2 import Duration
from onhand.inventory.v1 import (
    catalog_pb2,
    catalog_service_pb2,
    inventory_service_pb2,
    reservation_pb2,
    reservation_service_pb2,
)
from onhand.inventory.v1.catalog_service_pb2_grpc import CatalogServiceStub
from onhand.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub

from bench.load.account import Account, Level
from bench.load.calls import Call, Session

SETUP_SECONDS: Final = 60.0
_COUNTS_PER_CALL: Final = 8_192
_CATALOG_PER_CALL: Final = 8_192
_NUMBER_DIGITS: Final = 12  # of a UUID's last group


class Workload(Protocol):
    """Setup, start, check, metrics.

    Its skus and locations have names of their own, so that workloads do not meet and leave other stock alone.
    """

    name: str

    def setup(self, channel: grpc.Channel) -> None:
        """Create skus, locations and stock through the API. grpc.RpcError as the calls do."""

    def start(self) -> Session:
        """Return the session of the next visitor."""

    def check(self, channel: grpc.Channel) -> list[str]:
        """Compare the engine with what its answers said; each line is one thing that is wrong.

        Calls whose outcome is unknown are repeated with their request_id first. Nobody else may write meanwhile.
        """

    def metrics(self) -> dict[str, int]:
        """Return counts by name."""


def new_prefix() -> str:
    """Return the beginning of the names of one workload's skus and locations."""
    return f"load-{uuid_utils.uuid4().hex[:8]}-"


def create_stock(channel: grpc.Channel, stock: dict[Level, int], group: str) -> None:
    """Create the skus and locations of these levels, and count their stock. grpc.RpcError as the calls do."""
    catalog, inventory = CatalogServiceStub(channel), InventoryServiceStub(channel)
    locations = list(dict.fromkeys(location for _, location in stock))
    skus = list(dict.fromkeys(sku for sku, _ in stock))
    places = [
        catalog_pb2.Location(
            location_id=location, kind=catalog_pb2.LOCATION_KIND_STORE, active=True, location_groups=[group]
        )
        for location in locations
    ]
    catalog.UpsertLocations(catalog_service_pb2.UpsertLocationsRequest(locations=places), timeout=SETUP_SECONDS)
    for first in range(0, len(skus), _CATALOG_PER_CALL):
        some = [catalog_pb2.Sku(sku_id=sku, base_unit="each") for sku in skus[first : first + _CATALOG_PER_CALL]]
        catalog.UpsertSkus(catalog_service_pb2.UpsertSkusRequest(skus=some), timeout=SETUP_SECONDS)
    counts = [
        inventory_service_pb2.OnHandCount(sku_id=sku, location_id=location, on_hand=units)
        for (sku, location), units in stock.items()
    ]
    for first in range(0, len(counts), _COUNTS_PER_CALL):
        part = counts[first : first + _COUNTS_PER_CALL]
        inventory.SetOnHand(inventory_service_pb2.SetOnHandRequest(counts=part), timeout=SETUP_SECONDS)


class ReserveWorkload:
    """One unit of one level a visitor, again and again: for peaks, curves and overload. Stock never runs out.

    Parameters
    ----------
    levels
        How many skus share the calls in turn, all at one location; 1 is a hot row.
    """

    name = "reserve"
    UNITS: Final = 1_000_000_000
    TTL_SECONDS: Final = 14_400

    def __init__(self, levels: int = 1_000) -> None:
        prefix = new_prefix()
        self._group = f"{prefix}all"
        self._levels = [(f"{prefix}sku-{number}", f"{prefix}dc") for number in range(levels)]
        run = str(uuid_utils.uuid4())
        self._requests = [self._request_of(level, run)[:-_NUMBER_DIGITS] for level in self._levels]
        self._reserved = [0] * levels
        self._visitors = 0
        self.account = Account(dict.fromkeys(self._levels, self.UNITS))

    def _request_of(self, level: Level, request_id: str) -> bytes:
        line = reservation_pb2.LineQuantity(sku_id=level[0], location_id=level[1], quantity=1)
        ttl = Duration(seconds=self.TTL_SECONDS)
        request = reservation_service_pb2.ReserveStockRequest(lines=[line], ttl=ttl, request_id=request_id)
        serialized = request.SerializeToString(deterministic=True)
        assert serialized.endswith(request_id.encode()), "fields are in the order of their numbers"
        return serialized

    def setup(self, channel: grpc.Channel) -> None:
        """See Workload."""
        create_stock(channel, self.account.stock, self._group)

    def request(self, number: int) -> bytes:
        """Return the n-th request, cheaply: prepared bytes, which end in the request id, and a number as its end."""
        return b"%b%012x" % (self._requests[number % len(self._requests)], number)

    def start(self) -> Session:
        """See Workload."""
        number = self._visitors
        self._visitors += 1
        return self._reserve(number % len(self._levels), Call("ReserveStock", self.request(number)))

    def _reserve(self, index: int, call: Call) -> Session:
        reply = yield call
        if reply.is_ok:
            self._count(index)
        elif reply.is_unknown:
            self.account.unknown[call.request] = call, lambda _: self._count(index)

    def _count(self, index: int) -> None:
        self._reserved[index] += 1

    def check(self, channel: grpc.Channel) -> list[str]:
        """See Workload. Single reservations are not looked up: there may be millions."""
        problems = self.account.settle(channel)
        levels = self.account.read_levels(channel)
        for level, count in zip(self._levels, self._reserved, strict=True):
            found = levels[level].reserved if level in levels else 0
            if found != count:
                problems.append(f"{level[0]} at {level[1]}: {count} units were acknowledged as reserved, {found} are.")
        return problems + self.account.verify(channel)

    def metrics(self) -> dict[str, int]:
        """See Workload."""
        return {"visitors": self._visitors, "units_reserved": sum(self._reserved), **self.account.metrics()}
