"""The methods of a client for the catalog and the network, in the contract's own messages."""

from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Unpack

from onhand.client import catalog
from onhand.client.arguments import Seconds, checks_arguments
from onhand.client.async_base import AsyncBase
from onhand.client.catalog import CatalogOptions, NetworkWritten, Upserted
from onhand.inventory.v1.catalog_pb2 import Location, Sku
from onhand.routing.v1.network_pb2 import LocationRouting, Network


@checks_arguments()
class AsyncCatalog(AsyncBase):
    """What a client can do with what stock is of and where it is."""

    # ---- catalog

    async def create_location(self, location: Location, **options: Unpack[CatalogOptions]) -> Location:
        """Create a location; returns it as it is now. Raises LocationAlreadyExists."""
        return await self._call(catalog.create_location(location, options), options.get("deadline_seconds"))

    async def update_location(
        self, location: Location, *, update_mask: Sequence[str] = (), **options: Unpack[CatalogOptions]
    ) -> Location:
        """Change the fields of a location that the mask names, or all; returns it as it is now.

        Its version, unless 0, must be the current one. Raises LocationNotFound, VersionMismatch.
        """
        call = catalog.update_location(location, update_mask, options)
        return await self._call(call, options.get("deadline_seconds"))

    async def upsert_locations(
        self,
        locations: Sequence[Location],
        *,
        update_mask: Sequence[str] = (),
        validate_only: bool = False,
        **options: Unpack[CatalogOptions],
    ) -> Upserted:
        """Create or replace 1 to 8,192 locations, all or none; of one that exists the fields of the mask, or all."""
        call = catalog.upsert_locations(locations, update_mask, options, validate_only=validate_only)
        return await self._call(call, options.get("deadline_seconds"))

    async def get_location(self, location_id: str, *, deadline_seconds: Seconds | None = None) -> Location:
        """Read one location. Raises LocationNotFound."""
        return await self._call(catalog.get_location(location_id), deadline_seconds)

    def list_locations(
        self, *, location_group: str = "", deadline_seconds: Seconds | None = None
    ) -> AsyncIterator[Location]:
        """Read locations page by page, in the order they were created; of a location group, or all."""
        return self._list(partial(catalog.list_locations, location_group=location_group), deadline_seconds)

    async def create_sku(self, sku: Sku, **options: Unpack[CatalogOptions]) -> Sku:
        """Create a sku; returns it as it is now. Raises SkuAlreadyExists."""
        return await self._call(catalog.create_sku(sku, options), options.get("deadline_seconds"))

    async def update_sku(self, sku: Sku, *, update_mask: Sequence[str] = (), **options: Unpack[CatalogOptions]) -> Sku:
        """Change the fields of a sku that the mask names, or all; returns it as it is now.

        Its version, unless 0, must be the current one. Raises SkuNotFound, VersionMismatch.
        """
        call = catalog.update_sku(sku, update_mask, options)
        return await self._call(call, options.get("deadline_seconds"))

    async def upsert_skus(
        self,
        skus: Sequence[Sku],
        *,
        update_mask: Sequence[str] = (),
        validate_only: bool = False,
        **options: Unpack[CatalogOptions],
    ) -> Upserted:
        """Create or replace 1 to 8,192 skus, all or none; of one that exists the fields of the mask, or all."""
        call = catalog.upsert_skus(skus, update_mask, options, validate_only=validate_only)
        return await self._call(call, options.get("deadline_seconds"))

    async def get_sku(self, sku_id: str, *, deadline_seconds: Seconds | None = None) -> Sku:
        """Read one sku. Raises SkuNotFound."""
        return await self._call(catalog.get_sku(sku_id), deadline_seconds)

    def list_skus(self, *, deadline_seconds: Seconds | None = None) -> AsyncIterator[Sku]:
        """Read skus page by page, in the order they were created."""
        return self._list(catalog.list_skus, deadline_seconds)

    # ---- network

    async def upsert_network(
        self,
        network: Network,
        locations: Sequence[LocationRouting] = (),
        *,
        replace_locations: bool = False,
        expected_version: int = 0,
        validate_only: bool = False,
        **options: Unpack[CatalogOptions],
    ) -> NetworkWritten:
        """Create or replace what orders are routed over, and routing data of locations with it, all or nothing.

        With replace_locations those that are not named lose theirs. Raises ValidationFailed, VersionMismatch,
        LocationNotFound.
        """
        how = {
            "replace_locations": replace_locations,
            "expected_version": expected_version,
            "validate_only": validate_only,
        }
        call = catalog.upsert_network(network, locations, how, options)
        return await self._call(call, options.get("deadline_seconds"))

    async def get_network(self, *, deadline_seconds: Seconds | None = None) -> Network:
        """Read the network. Raises NetworkNotFound."""
        network = Network()
        async for part in self._list(catalog.get_network, deadline_seconds):
            network.MergeFrom(part)
        return network

    async def upsert_location_routing(
        self,
        locations: Sequence[LocationRouting],
        *,
        expected_version: int = 0,
        validate_only: bool = False,
        **options: Unpack[CatalogOptions],
    ) -> NetworkWritten:
        """Create or replace the routing data of 1 to 8,192 locations, all or none.

        Raises ValidationFailed, NetworkNotFound, LocationNotFound, VersionMismatch.
        """
        how = {"expected_version": expected_version, "validate_only": validate_only}
        call = catalog.upsert_location_routing(locations, how, options)
        return await self._call(call, options.get("deadline_seconds"))

    def list_location_routing(self, *, deadline_seconds: Seconds | None = None) -> AsyncIterator[LocationRouting]:
        """Read the routing data of locations page by page, in the order of the catalog."""
        return self._list(catalog.list_location_routing, deadline_seconds)
