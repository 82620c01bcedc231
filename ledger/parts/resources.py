"""What the catalog keeps, as the journal has it: locations, skus, and what routing knows of them."""

from typing import TypeVar

import msgspec

from ledger.parts.part import Change


class Location(Change, frozen=True, tag="location"):
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


class Sku(Change, frozen=True, tag="sku"):
    """Something that is stocked."""

    sku_id: str
    display_name: str
    base_unit: str
    weight_milligrams: int
    restrictions: tuple[str, ...]
    version: int = 0
    create_time_us: int = 0
    update_time_us: int = 0


class RoutingNetwork(Change, frozen=True, tag="network"):
    """What orders are routed over, in the words of whoever routes: the catalog keeps it, and does not look into it."""

    content: bytes
    version: int
    update_time_us: int


class NetworkVersion(Change, frozen=True, tag="network_version"):
    """That the network has another version, since what routing knows of locations has changed; its content has not."""

    version: int
    update_time_us: int


class LocationRouting(Change, frozen=True, tag="location_routing"):
    """What routing knows of a location, likewise."""

    location_id: str
    content: bytes
    """Empty: nothing any more."""


Resource = TypeVar("Resource", Location, Sku)
CatalogChange = Location | Sku | RoutingNetwork | NetworkVersion | LocationRouting


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


def is_routed_alike(left: Location, right: Location) -> bool:
    """Tell whether two states of a location are the same to routing: it does not see names and versions."""
    bare = {"kind": 0, "display_name": "", "version": 0, "create_time_us": 0, "update_time_us": 0}
    return bool(msgspec.structs.replace(left, **bare) == msgspec.structs.replace(right, **bare))
