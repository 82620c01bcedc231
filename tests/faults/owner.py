"""Who owns the shop: changes catalog and network, one write after the other, whatever breaks."""

import threading
import uuid
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import grpc
from onhand.inventory.v1 import catalog_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1.catalog_service_pb2_grpc import CatalogServiceStub
from onhand.routing.v1 import network_pb2
from onhand.routing.v1 import network_service_pb2 as networks
from onhand.routing.v1.network_service_pb2_grpc import NetworkServiceStub

TRY_SECONDS: Final = 2.0
PAUSE_SECONDS: Final = 0.1
READ_SECONDS: Final = 30.0


class Wrote(NamedTuple):
    """How far the writes of one resource have come; each writes a number, from 1 on."""

    begun: int = 0
    acknowledged: int = 0


class Owner:
    """Writes numbers into a sku, a location and the routing of one; a number is tried until it is acknowledged."""

    def __init__(
        self,
        engines: Sequence[str],
        sku: catalog_pb2.Sku,
        location: catalog_pb2.Location,
        routing: network_pb2.LocationRouting,
    ) -> None:
        self._engines = list(engines)
        self._sku, self._location, self._routing = sku, location, routing
        self.wrote = {"UpsertSkus": Wrote(), "UpsertLocations": Wrote(), "UpsertLocationRouting": Wrote()}

    def run(self, left: threading.Event) -> None:
        """Write until told to leave."""
        while not left.is_set():
            for method in self.wrote:
                self._write(method, left)

    def problems(self, engine: str) -> list[str]:
        """Say where an engine does not have the last number that was acknowledged, or the one after it."""
        with grpc.insecure_channel(engine) as channel:
            stub: Any = CatalogServiceStub(channel)
            sku = stub.GetSku(catalog.GetSkuRequest(sku_id=self._sku.sku_id), timeout=READ_SECONDS)
            place = catalog.GetLocationRequest(location_id=self._location.location_id)
            location = stub.GetLocation(place, timeout=READ_SECONDS)
            rows: Any = NetworkServiceStub(channel)
            routed = rows.ListLocationRouting(networks.ListLocationRoutingRequest(), timeout=READ_SECONDS).locations
        (own,) = (each for each in routed if each.location_id == self._routing.location_id)
        found = {
            "UpsertSkus": int(sku.sku.display_name or 0),
            "UpsertLocations": int(location.location.display_name or 0),
            "UpsertLocationRouting": own.setup_micros,
        }
        return [
            f"{method}: {found[method]} is there, {wrote.acknowledged} was acknowledged, {wrote.begun} begun"
            for method, wrote in self.wrote.items()
            if found[method] not in (wrote.acknowledged, wrote.begun)
        ]

    def _write(self, method: str, left: threading.Event) -> None:
        number = self.wrote[method].acknowledged + 1
        self.wrote[method] = Wrote(number, number - 1)
        request = self._request(method, number)
        while not any(self._is_done(engine, method, request) for engine in self._engines):
            if left.wait(PAUSE_SECONDS):
                return
        self.wrote[method] = Wrote(number, number)
        left.wait(PAUSE_SECONDS)

    def _request(self, method: str, number: int) -> Any:
        request_id = str(uuid.uuid4())
        if method == "UpsertSkus":
            self._sku.display_name = str(number)
            return catalog.UpsertSkusRequest(skus=[self._sku], request_id=request_id)
        if method == "UpsertLocations":
            self._location.display_name = str(number)
            return catalog.UpsertLocationsRequest(locations=[self._location], request_id=request_id)
        self._routing.setup_micros = number
        return networks.UpsertLocationRoutingRequest(locations=[self._routing], request_id=request_id)

    @staticmethod
    def _is_done(engine: str, method: str, request: Any) -> bool:
        with grpc.insecure_channel(engine) as channel:
            stub: Any = NetworkServiceStub(channel) if "Routing" in method else CatalogServiceStub(channel)
            try:
                getattr(stub, method)(request, timeout=TRY_SECONDS)
            except grpc.RpcError as error:
                if error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND):
                    raise
                return False
        return True
