"""Calls of the catalog and the network. They speak in the contract's own messages; each function returns a call."""

import uuid
from collections.abc import Sequence
from typing import Any, TypedDict

import msgspec
from google.protobuf.field_mask_pb2 import FieldMask
from onhand.client import limits
from onhand.client.arguments import Seconds, whole
from onhand.client.lone import Lone, Page
from onhand.client.request_ids import request_id_bytes, request_id_text
from onhand.inventory.v1 import catalog_service_pb2 as service
from onhand.inventory.v1.catalog_pb2 import Location, Sku
from onhand.routing.v1 import network_service_pb2 as network_service
from onhand.routing.v1.network_pb2 import LocationRouting, Network


class CatalogOptions(TypedDict, total=False):
    """What every write of the catalog and the network takes."""

    request_id: str | uuid.UUID | None
    """Makes a repeat harmless; a fresh UUIDv7 if it is not given."""
    deadline_seconds: Seconds | None
    """What the call may take, retries included; the client's deadline if it is not given."""


class Upserted(msgspec.Struct, frozen=True, gc=False):
    """What came of many locations or skus."""

    created_count: int
    updated_count: int
    unchanged_count: int
    seq: int
    """Position in the ledger's order that this answer reflects."""


class NetworkWritten(msgspec.Struct, frozen=True, gc=False):
    """The network after a write."""

    version: int
    seq: int
    """Position of this write in the ledger's order."""


def _write(request_type: Any, options: CatalogOptions, **fields: Any) -> Any:
    """Return a request with its request id."""
    return request_type(request_id=request_id_text(request_id_bytes(options.get("request_id"))), **fields)


def _mask(paths: Sequence[str]) -> FieldMask | None:
    return FieldMask(paths=paths) if len(paths) else None


# ---- catalog ---------------------------------------------------------------------------------------------------------


def create_location(location: Location, options: CatalogOptions) -> Lone[Location]:
    """Return the call that creates a location."""
    request = _write(service.CreateLocationRequest, options, location=location)
    return Lone(request, lambda response: response.location, request.request_id)


def update_location(location: Location, update_mask: Sequence[str], options: CatalogOptions) -> Lone[Location]:
    """Return the call that changes a location."""
    request = _write(service.UpdateLocationRequest, options, location=location, update_mask=_mask(update_mask))
    return Lone(request, lambda response: response.location, request.request_id)


def upsert_locations(
    locations: Sequence[Location], update_mask: Sequence[str], options: CatalogOptions, *, validate_only: bool
) -> Lone[Upserted]:
    """Return the call that creates or replaces many locations."""
    mask = _mask(update_mask)
    given = {"locations": locations, "update_mask": mask, "validate_only": validate_only}
    request = _write(service.UpsertLocationsRequest, options, **given)
    return Lone(request, _upserted, request.request_id)


def get_location(location_id: str) -> Lone[Location]:
    """Return the call that reads one location."""
    return Lone(service.GetLocationRequest(location_id=location_id), lambda response: response.location)


def list_locations(token: str, location_group: str) -> Lone[Page[Location]]:
    """Return the call that reads one page of locations."""
    request = service.ListLocationsRequest(page_size=limits.PAGE_SIZE, page_token=token, location_group=location_group)
    return Lone(request, lambda response: Page(response.locations, response.next_page_token))


def create_sku(sku: Sku, options: CatalogOptions) -> Lone[Sku]:
    """Return the call that creates a sku."""
    request = _write(service.CreateSkuRequest, options, sku=sku)
    return Lone(request, lambda response: response.sku, request.request_id)


def update_sku(sku: Sku, update_mask: Sequence[str], options: CatalogOptions) -> Lone[Sku]:
    """Return the call that changes a sku."""
    request = _write(service.UpdateSkuRequest, options, sku=sku, update_mask=_mask(update_mask))
    return Lone(request, lambda response: response.sku, request.request_id)


def upsert_skus(
    skus: Sequence[Sku], update_mask: Sequence[str], options: CatalogOptions, *, validate_only: bool
) -> Lone[Upserted]:
    """Return the call that creates or replaces many skus."""
    given = {"skus": skus, "update_mask": _mask(update_mask), "validate_only": validate_only}
    request = _write(service.UpsertSkusRequest, options, **given)
    return Lone(request, _upserted, request.request_id)


def get_sku(sku_id: str) -> Lone[Sku]:
    """Return the call that reads one sku."""
    return Lone(service.GetSkuRequest(sku_id=sku_id), lambda response: response.sku)


def list_skus(token: str) -> Lone[Page[Sku]]:
    """Return the call that reads one page of skus."""
    request = service.ListSkusRequest(page_size=limits.PAGE_SIZE, page_token=token)
    return Lone(request, lambda response: Page(response.skus, response.next_page_token))


def _upserted(response: Any) -> Upserted:
    return Upserted(response.created_count, response.updated_count, response.unchanged_count, response.seq)


# ---- network ---------------------------------------------------------------------------------------------------------


def upsert_network(
    network: Network, locations: Sequence[LocationRouting], how: dict[str, Any], options: CatalogOptions
) -> Lone[NetworkWritten]:
    """Return the call that creates or replaces the network; `how` has its version and its two flags."""
    how = {**how, "expected_version": whole(how["expected_version"], "expected_version", 0)}
    request = _write(network_service.UpsertNetworkRequest, options, network=network, locations=locations, **how)
    return Lone(request, _written, request.request_id)


def get_network(token: str) -> Lone[Page[Network]]:
    """Return the call that reads one page of the network."""
    return Lone(
        network_service.GetNetworkRequest(page_token=token),
        lambda response: Page((response.network,), response.next_page_token),
    )


def upsert_location_routing(
    locations: Sequence[LocationRouting], how: dict[str, Any], options: CatalogOptions
) -> Lone[NetworkWritten]:
    """Return the call that creates or replaces routing data of locations; `how` as of `upsert_network`."""
    how = {**how, "expected_version": whole(how["expected_version"], "expected_version", 0)}
    request = _write(network_service.UpsertLocationRoutingRequest, options, locations=locations, **how)
    return Lone(request, _written, request.request_id)


def list_location_routing(token: str) -> Lone[Page[LocationRouting]]:
    """Return the call that reads one page of routing data."""
    request = network_service.ListLocationRoutingRequest(page_size=limits.PAGE_SIZE, page_token=token)
    return Lone(request, lambda response: Page(response.locations, response.next_page_token))


def _written(response: Any) -> NetworkWritten:
    return NetworkWritten(response.version, response.seq)
