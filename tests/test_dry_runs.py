"""A dry run is refused if and only if the call would be: every write with validate_only, over random requests.

In this process a desk is asked directly: the request with validate_only, which must change nothing, then without.
"""

import uuid
from collections.abc import Callable
from random import Random
from typing import Any

import grpc
import pytest
from bulk.harness import told
from google.protobuf.message import Message
from onhand.inventory.v1 import bulk_service_pb2 as bulk
from onhand.inventory.v1 import catalog_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.routing.v1 import network_service_pb2 as networks
from onhand.routing.v1 import routing_service_pb2 as routing
from routing_harness import a_network, location_routing, place
from test_routing_state import Side

from engine.errors import RefusedError

ROUNDS = 150
SERVICES = [
    service
    for module in (reservations, inventory, catalog, bulk, networks, routing)
    for service in module.DESCRIPTOR.services_by_name.values()
]
ROUTING = {"PlanFulfillment", "BatchPlanFulfillment"}
"""Whose dry runs plan, and are tested with plans."""


def uuid7(milliseconds: int, number: int) -> str:
    return str(uuid.UUID(int=milliseconds << 80 | 7 << 76 | 0b10 << 62 | number))


class Caller:
    """Makes requests that are right in most fields: names known or not, ids that are new, used, old or wrong."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.side = Side()
        self.side.build({"X": 10, "Y": 100}, {("A", "X"): 5, ("B", "Y"): 5})
        self.used = [str(uuid.UUID(int=self.chance.getrandbits(128))) for _ in range(3)]

    def request_id(self) -> str:
        new = str(uuid.UUID(int=self.chance.getrandbits(128)))
        return self.chance.choice(["", new, *self.used, *self.used, uuid7(4_000, 1), "no uuid"])

    def expected_version(self) -> int:
        now = self.side.book.network.current.version
        return self.chance.choice([0, 0, now, now, now + 1, now - 1, 77])

    def text(self) -> str:
        return self.chance.choice(["", "a receipt", "x" * 65])

    def sku_id(self) -> str:
        return self.chance.choice(["A", "B", "A", "B", "C", "", "nobody"])

    def location_id(self) -> str:
        return self.chance.choice(["X", "Y", "X", "Y", "Z", "", "nowhere"])

    def set_on_hand(self) -> Message:
        counts = [
            inventory.OnHandCount(
                sku_id=self.sku_id(), location_id=self.location_id(), on_hand=self.chance.choice([0, 3, 5, -1])
            )
            for _ in range(self.chance.choice([0, 1, 1, 1, 2]))
        ]
        return inventory.SetOnHandRequest(counts=counts, reference=self.text(), actor=self.text())

    def upsert_skus(self) -> Message:
        skus = [
            catalog_pb2.Sku(sku_id=self.sku_id(), base_unit=self.chance.choice(["each", "each", "box", ""]))
            for _ in range(self.chance.choice([0, 1, 1, 2]))
        ]
        return catalog.UpsertSkusRequest(skus=skus)

    def upsert_locations(self) -> Message:
        locations = [
            place(self.location_id(), self.chance.choice([0, 100, 10**6]))
            for _ in range(self.chance.choice([0, 1, 1, 2]))
        ]
        return catalog.UpsertLocationsRequest(locations=locations)

    def _routing(self) -> list[Any]:
        carriers = ["parcel", "parcel", "parcel", "none"]
        return [
            location_routing(self.location_id(), carrier=self.chance.choice(carriers))
            for _ in range(self.chance.choice([0, 1, 1, 2]))
        ]

    def upsert_network(self) -> Message:
        return networks.UpsertNetworkRequest(
            network=a_network(currency=self.chance.choice(["EUR", "EUR", "USD", "x" * 17])),
            expected_version=self.expected_version(),
            locations=self._routing(),
            replace_locations=self.chance.random() < 0.2,
        )

    def upsert_location_routing(self) -> Message:
        return networks.UpsertLocationRoutingRequest(
            locations=self._routing(), expected_version=self.expected_version()
        )


MAKERS: dict[str, Callable[[Caller], Message]] = {
    "SetOnHand": Caller.set_on_hand,
    "UpsertSkus": Caller.upsert_skus,
    "UpsertLocations": Caller.upsert_locations,
    "UpsertNetwork": Caller.upsert_network,
    "UpsertLocationRouting": Caller.upsert_location_routing,
}


def test_every_write_that_can_be_tried_out_is_here():
    can = {
        method.name
        for service in SERVICES
        for method in service.methods
        if "validate_only" in method.input_type.fields_by_name
    }
    assert can == MAKERS.keys() | (ROUTING & can)


def answered(side: Side, request: Message) -> Any:
    (answer,) = side.group(request)
    return answer


def seen(answer: Any) -> Any:
    """What a caller hears, but for the position."""
    if isinstance(answer, RefusedError):
        assert answer.reason != "INTERNAL_ERROR"
        return (*told(answer), answer.message)
    return {field.name for field, _ in answer.ListFields()} - {"seq", "applied_oversold", "oversold_levels"}


@pytest.mark.parametrize("rpc", MAKERS)
def test_a_dry_run_is_refused_as_the_call_would_be(rpc):
    caller = Caller(seed=list(MAKERS).index(rpc))
    side, reasons = caller.side, set()
    for _ in range(ROUNDS):
        request = MAKERS[rpc](caller)
        request.request_id = caller.request_id()
        dry = type(request).FromString(request.SerializeToString())
        dry.validate_only = True
        digest, seq = side.book.digest(), side.book.seq
        tried = answered(side, dry)
        assert (side.book.digest(), side.book.seq) == (digest, seq), "a dry run changes nothing"
        done = answered(side, request)
        assert seen(tried) == seen(done), request
        reasons.add(done.reason if isinstance(done, RefusedError) else "OK")
    expected = {"OK", "VALIDATION_FAILED", "REQUEST_ID_REUSED", "REQUEST_ID_TOO_OLD"}
    assert expected <= reasons, "the requests reach them"
    assert ("VERSION_MISMATCH" in reasons) is ("expected_version" in request.DESCRIPTOR.fields_by_name)


@pytest.mark.parametrize("rpc", ["UpsertNetwork", "UpsertLocationRouting"])
def test_a_dry_run_with_a_wrong_version_is_aborted(rpc):
    caller = Caller(seed=1)
    network = caller.side.book.network.current
    more = {"network": a_network()} if rpc == "UpsertNetwork" else {"locations": [location_routing("X")]}
    request = getattr(networks, f"{rpc}Request")(expected_version=network.version + 1, validate_only=True, **more)
    refused = answered(caller.side, request)
    assert (refused.reason, refused.code) == ("VERSION_MISMATCH", grpc.StatusCode.ABORTED.value[0])
    request.expected_version = network.version
    assert answered(caller.side, request).version == network.version


def test_a_dry_run_of_a_call_that_was_made_tells_its_answer():
    side = Caller(seed=1).side
    request = catalog.UpsertSkusRequest(
        skus=[catalog_pb2.Sku(sku_id="new", base_unit="each")], request_id=str(uuid.UUID(int=7))
    )
    done = answered(side, request)
    assert (done.created_count, done.unchanged_count) == (1, 0)
    request.validate_only = True
    assert answered(side, request) == done
