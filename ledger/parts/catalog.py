"""The catalog: what is known of skus, locations and the routing network. Pure, like the ledger it defines names in."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import msgspec
import xxhash

from ledger.core.ledger import Ledger
from ledger.parts.resources import (
    CatalogChange,
    Location,
    LocationRouting,
    NetworkVersion,
    RoutingNetwork,
    Sku,
    is_routed_alike,
)

CHANGES_KEPT: Final = 256
"""Changes of what routing sees that are told one by one; whoever has seen less begins anew."""
_encoder: Final = msgspec.msgpack.Encoder()
_image_decoder: Final = msgspec.msgpack.Decoder(list[CatalogChange])


class Catalog:
    """Locations and skus by id, in the order they were created: position is the index the ledger uses."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._locations: list[Location] = []
        self._skus: list[Sku] = []
        self._groups: dict[str, list[int]] = {}
        self._location_routing: dict[str, LocationRouting] = {}
        self.network: RoutingNetwork | None = None
        """None: nothing is routed yet."""
        self.routing_version = 0
        """Grows with each change of what routing sees of locations and network; of this process, not of the state."""
        self._routing_changes: deque[str | None] = deque(maxlen=CHANGES_KEPT)  # the last versions: of which location
        self.derived: dict[str, Any] = {}
        """What others have made of it; they say themselves of which version."""

    @property
    def location_routing(self) -> Mapping[str, LocationRouting]:
        """What routing knows of locations, by id."""
        return self._location_routing

    @property
    def locations(self) -> Sequence[Location]:
        """All locations."""
        return self._locations

    @property
    def skus(self) -> Sequence[Sku]:
        """All skus."""
        return self._skus

    def location(self, location_id: str) -> Location | None:
        """Return a location; None if there is none of that id."""
        index = self._ledger.location_index(location_id)
        return None if index < 0 else self._locations[index]

    def sku(self, sku_id: str) -> Sku | None:
        """Return a sku; None if there is none of that id."""
        index = self._ledger.sku_index(sku_id)
        return None if index < 0 else self._skus[index]

    def group_members(self, location_group: str) -> Sequence[int]:
        """Return the indexes of the locations of a group, in the order of the catalog; empty for an unknown group."""
        return self._groups.get(location_group, ())

    def routing_changes_since(self, version: int) -> set[str] | None:
        """Return the locations that have changed to routing since a version; None: more than these may have."""
        count = self.routing_version - version
        if count > len(self._routing_changes):
            return None
        changed = set(islice(reversed(self._routing_changes), count))
        return None if None in changed else {name for name in changed if name}

    def _note_routing(self, location_id: str | None) -> None:
        """Note a change: of one location, of the network's version alone (""), or of more (None)."""
        self.routing_version += 1
        self._routing_changes.append(location_id)

    def put(self, resources: Iterable[CatalogChange]) -> None:
        """Create or replace resources."""
        regroup = False
        for resource in resources:
            if isinstance(resource, Location):
                regroup = self._put_location(resource) or regroup
            elif isinstance(resource, Sku):
                self._put_sku(resource)
            else:
                self._put_routing(resource)
        if regroup:
            self._regroup()

    def _put_routing(self, resource: RoutingNetwork | NetworkVersion | LocationRouting) -> None:
        if isinstance(resource, RoutingNetwork):
            self.network = resource
            self._note_routing(None)
        elif isinstance(resource, NetworkVersion):
            assert self.network is not None
            self.network = RoutingNetwork(self.network.content, resource.version, resource.update_time_us)
            self._note_routing("")
        else:
            self._put_location_routing(resource)

    def _put_location_routing(self, resource: LocationRouting) -> None:
        is_other_set = (resource.location_id in self._location_routing) != bool(resource.content)
        if resource.content:
            self._location_routing[resource.location_id] = resource
        else:
            self._location_routing.pop(resource.location_id, None)
        self._note_routing(None if is_other_set else resource.location_id)

    def _put_location(self, location: Location) -> bool:
        index = self._ledger.define_location(location.location_id)
        self._ledger.set_location_active(index, location.active)
        if index == len(self._locations):
            self._locations.append(location)
            return bool(location.location_groups)
        before = self._locations[index]
        self._locations[index] = location
        if location.location_id in self._location_routing and not is_routed_alike(before, location):
            self._note_routing(location.location_id)
        return before.location_groups != location.location_groups

    def _put_sku(self, sku: Sku) -> None:
        index = self._ledger.define_sku(sku.sku_id)
        if index == len(self._skus):
            self._skus.append(sku)
        else:
            self._skus[index] = sku

    def routed_locations(self) -> Iterator[tuple[Location, LocationRouting]]:
        """Yield the locations that orders are routed over, in the order of the catalog."""
        for location in self._locations:
            routing = self._location_routing.get(location.location_id)
            if routing is not None:
                yield location, routing

    def _regroup(self) -> None:
        self._groups = {}
        for index, location in enumerate(self._locations):
            for group in location.location_groups:
                self._groups.setdefault(group, []).append(index)

    def image(self) -> bytes:
        """Return the whole catalog, for `restore`."""
        return _encoder.encode(self._all())

    def _all(self) -> list[CatalogChange]:
        network = [self.network] if self.network else []
        return [*self._locations, *self._skus, *network, *self._location_routing.values()]

    def restore(self, image: bytes) -> None:
        """Become the catalog of an image; the ledger is restored already, so its names are defined."""
        assert not self._locations
        assert not self._skus
        for resource in _image_decoder.decode(image):
            if isinstance(resource, Location):
                self._locations.append(resource)
            elif isinstance(resource, Sku):
                self._skus.append(resource)
            else:
                self._put_routing(resource)
        self._regroup()

    def digest(self) -> bytes:
        """Return 16 bytes that are equal for equal catalogs (xxh3, 128 bits)."""
        digest = xxhash.xxh3_128()
        for resource in self._all():
            digest.update(_encoder.encode(resource))
        return digest.digest()
