"""The catalog: what is known of skus and locations, by id. Pure, like the ledger it defines names in."""

from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

import msgspec
import xxhash

from ledger.core.ledger import Ledger


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


Resource = TypeVar("Resource", Location, Sku)

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(list[Location | Sku])


def encode_resources(resources: Sequence[Location | Sku]) -> bytes:
    """Encode resources for the journal."""
    return _encoder.encode(resources)


def decode_resources(payload: bytes) -> list[Location | Sku]:
    """Decode resources from the journal."""
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

    def put(self, resources: Iterable[Location | Sku]) -> None:
        """Create or replace resources."""
        regroup = False
        for resource in resources:
            if isinstance(resource, Location):
                regroup = self._put_location(resource) or regroup
            else:
                self._put_sku(resource)
        if regroup:
            self._regroup()

    def _put_location(self, location: Location) -> bool:
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

    def _regroup(self) -> None:
        self._groups = {}
        for index, location in enumerate(self._locations):
            for group in location.location_groups:
                self._groups.setdefault(group, []).append(index)

    def image(self) -> bytes:
        """Return the whole catalog, for `restore`."""
        return encode_resources([*self._locations, *self._skus])

    def restore(self, image: bytes) -> None:
        """Become the catalog of an image; the ledger is restored already, so its names are defined."""
        assert not self._locations
        assert not self._skus
        for resource in decode_resources(image):
            if isinstance(resource, Location):
                self._locations.append(resource)
            else:
                self._skus.append(resource)
        self._regroup()

    def digest(self) -> bytes:
        """Return 16 bytes that are equal for equal catalogs (xxh3, 128 bits)."""
        digest = xxhash.xxh3_128()
        for resource in (*self._locations, *self._skus):
            digest.update(_encoder.encode(resource))
        return digest.digest()
