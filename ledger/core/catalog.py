"""The catalog: what is known of skus, locations and the routing network. Pure, like the ledger it defines names in."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, TypeVar

import msgspec
import xxhash

from ledger.core.ledger import Ledger
from ledger.core.plans import PlanChange


class Location(msgspec.Struct, frozen=True, array_like=True, tag="location"):
    """A place that holds stock."""

    location_id: str
    kind: int
    display_name: str
    latitude: float
    longitude: float
    time_zone: str
    capabilities: tuple[int, ...]
    active: bool
    location_groups: tuple[str, ...]
    version: int = 0
    create_time_us: int = 0
    update_time_us: int = 0


class Sku(msgspec.Struct, frozen=True, array_like=True, tag="sku"):
    """Something that is stocked."""

    sku_id: str
    display_name: str
    base_unit: str
    weight_milligrams: int
    restrictions: tuple[str, ...]
    version: int = 0
    create_time_us: int = 0
    update_time_us: int = 0


class RoutingNetwork(msgspec.Struct, frozen=True, array_like=True, tag="network"):
    """What orders are routed over, in the words of whoever routes: the catalog keeps it, and does not look into it."""

    content: bytes
    version: int
    update_time_us: int


class LocationRouting(msgspec.Struct, frozen=True, array_like=True, tag="location_routing"):
    """What routing knows of a location, likewise."""

    location_id: str
    content: bytes
    """Empty: nothing any more."""


Resource = TypeVar("Resource", Location, Sku)
CatalogChange = Location | Sku | RoutingNetwork | LocationRouting
Change = CatalogChange | PlanChange
"""What a record of the journal can change beside the ledger's columns."""

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(list[Change])
_image_decoder: Final = msgspec.msgpack.Decoder(list[CatalogChange])


def encode_changes(changes: Sequence[Change]) -> bytes:
    """Encode changes for the journal."""
    return _encoder.encode(changes)


def decode_changes(payload: bytes) -> list[Change]:
    """Decode changes from the journal."""
    return _decoder.decode(payload)


def succeed(new: Resource, old: Resource | None, time_us: int) -> Resource:
    """Return `new` as it follows `old`: version, create time and update time set."""
    if old is None:
        return msgspec.structs.replace(new, version=1, create_time_us=time_us, update_time_us=time_us)
    return msgspec.structs.replace(
        new, version=old.version + 1, create_time_us=old.create_time_us, update_time_us=time_us
    )


def has_same_content(left: Resource, right: Resource) -> bool:
    """Tell whether two resources differ in nothing that a caller sets."""
    bare = {"version": 0, "create_time_us": 0, "update_time_us": 0}
    return bool(msgspec.structs.replace(left, **bare) == msgspec.structs.replace(right, **bare))


class Catalog:
    """Locations and skus by id, in the order they were created: position is the index the ledger uses."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._locations: list[Location] = []
        self._skus: list[Sku] = []
        self._groups: dict[str, list[int]] = {}
        self._restrictions: set[str] = set()
        self._location_routing: dict[str, LocationRouting] = {}
        self.network: RoutingNetwork | None = None
        """None: nothing is routed yet."""
        self.derived: dict[str, Any] = {}
        """What others have made of locations, network, and the names of restrictions; emptied whenever these change."""

    @property
    def restrictions(self) -> AbstractSet[str]:
        """All restrictions that a sku has, or had."""
        return self._restrictions

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

    def _put_routing(self, resource: RoutingNetwork | LocationRouting) -> None:
        self.derived.clear()
        if isinstance(resource, RoutingNetwork):
            self.network = resource
        elif resource.content:
            self._location_routing[resource.location_id] = resource
        else:
            self._location_routing.pop(resource.location_id, None)

    def _put_location(self, location: Location) -> bool:
        self.derived.clear()
        index = self._ledger.define_location(location.location_id)
        self._ledger.set_location_active(index, location.active)
        if index == len(self._locations):
            self._locations.append(location)
            return bool(location.location_groups)
        before = self._locations[index]
        self._locations[index] = location
        return before.location_groups != location.location_groups

    def _put_sku(self, sku: Sku) -> None:
        index = self._ledger.define_sku(sku.sku_id)
        if index == len(self._skus):
            self._skus.append(sku)
        else:
            self._skus[index] = sku
        self._know_restrictions(sku)

    def _know_restrictions(self, sku: Sku) -> None:
        if not self._restrictions.issuperset(sku.restrictions):
            self._restrictions.update(sku.restrictions)
            self.derived.clear()

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
                self._know_restrictions(resource)
            else:
                self._put_routing(resource)
        self._regroup()

    def digest(self) -> bytes:
        """Return 16 bytes that are equal for equal catalogs (xxh3, 128 bits)."""
        digest = xxhash.xxh3_128()
        for resource in self._all():
            digest.update(_encoder.encode(resource))
        return digest.digest()
