"""The catalog: what is known of skus and locations. Pure, like the ledger it defines names in."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from ledger.core.ledger import Ledger
from ledger.core.views import Violation
from ledger.parts.part import Change, Part
from ledger.parts.resources import Location, Sku

_encoder: Final = msgspec.msgpack.Encoder()
_image_decoder: Final = msgspec.msgpack.Decoder(list[Location | Sku])


class Catalog(Part):
    """Locations and skus by id, in the order they were created: position is the index the ledger uses."""

    name = "catalog"
    changes = (Location, Sku)

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
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
        index = self._ledger.known_location(location_id)
        return None if index is None else self._locations[index]

    def sku(self, sku_id: str) -> Sku | None:
        """Return a sku; None if there is none of that id."""
        index = self._ledger.known_sku(sku_id)
        return None if index is None else self._skus[index]

    def group_members(self, location_group: str) -> Sequence[int]:
        """Return the indexes of the locations of a group, in the order of the catalog; empty for an unknown group."""
        return self._groups.get(location_group, ())

    def put(self, changes: Sequence[Change], time_us: int) -> None:  # noqa: ARG002 - its resources have their times
        """Create or replace resources."""
        self._define_new(changes)
        regroup = False
        for resource in changes:
            if isinstance(resource, Location):
                regroup = self._put_location(resource) or regroup
            elif isinstance(resource, Sku):
                self._put_sku(resource)
        if regroup:
            self._regroup()

    def _define_new(self, changes: Sequence[Change]) -> None:
        """Give all that is new its index: many at once cost a third."""
        ledger = self._ledger
        new = {
            each.location_id: each.active
            for each in changes
            if isinstance(each, Location) and ledger.known_location(each.location_id) is None
        }
        ledger.define_locations(list(new), list(new.values()))
        skus = [each.sku_id for each in changes if isinstance(each, Sku) and ledger.known_sku(each.sku_id) is None]
        ledger.define_skus(list(dict.fromkeys(skus)))

    def _put_location(self, location: Location) -> bool:
        index = self._ledger.location_index(location.location_id)
        assert index <= len(self._locations)
        if index == len(self._locations):
            self._locations.append(location)
            self.sum.add(location)
            return bool(location.location_groups)
        self._ledger.set_location_active(index, location.active)
        before = self._locations[index]
        self._locations[index] = location
        self.sum.remove(before)
        self.sum.add(location)
        return before.location_groups != location.location_groups

    def _put_sku(self, sku: Sku) -> None:
        index = self._ledger.sku_index(sku.sku_id)
        assert index <= len(self._skus)
        if index == len(self._skus):
            self._skus.append(sku)
        else:
            self.sum.remove(self._skus[index])
            self._skus[index] = sku
        self.sum.add(sku)

    def _regroup(self) -> None:
        self._groups = {}
        for index, location in enumerate(self._locations):
            for group in location.location_groups:
                self._groups.setdefault(group, []).append(index)

    def image(self) -> bytes:
        """Return the whole catalog, for `restore`."""
        return _encoder.encode(list(self.rows()))

    def restore(self, image: bytes) -> None:
        """Become the catalog of an image; the ledger is restored already, so its names are defined."""
        assert not self._locations
        assert not self._skus
        for resource in _image_decoder.decode(image):
            if isinstance(resource, Location):
                self._locations.append(resource)
            else:
                self._skus.append(resource)
        self._regroup()

    def rows(self) -> Iterable[Any]:
        """Give each resource; their order is that of the ledger's names."""
        yield from self._locations
        yield from self._skus

    def verify(self) -> Iterator[Violation]:
        """Find resources that the ledger has under another name, or in another state."""
        yield from super().verify()
        ledger = self._ledger
        counts = ledger.counts()
        for name, known, found in (
            ("locations", counts.locations, len(self._locations)),
            ("skus", counts.skus, len(self._skus)),
        ):
            if known != found:
                yield Violation("catalog_has_what_is_stocked", name, known, found)
        for index, location in enumerate(self._locations):
            if ledger.location_index(location.location_id) != index:
                yield Violation("catalog_has_what_is_stocked", location.location_id, index, -1)
            elif ledger.is_location_active(index) != location.active:
                expected, actual = int(location.active), int(not location.active)
                yield Violation("active_as_the_catalog_says", location.location_id, expected, actual)
        for index, sku in enumerate(self._skus):
            if ledger.sku_index(sku.sku_id) != index:
                yield Violation("catalog_has_what_is_stocked", sku.sku_id, index, -1)
        yield from self._verify_versions()
        yield from self._verify_groups()

    def _verify_versions(self) -> Iterator[Violation]:
        """Find resources without a version, or that changed before they were created, or in the future."""
        latest_us = self._ledger.time_us
        resources: list[Location | Sku] = [*self._locations, *self._skus]
        for resource in resources:
            name = resource.location_id if isinstance(resource, Location) else resource.sku_id
            if resource.version < 1:
                yield Violation("resources_have_a_version", name, 1, resource.version)
            if not resource.create_time_us <= resource.update_time_us <= latest_us:
                yield Violation("resources_change_after_creation", name, latest_us, resource.update_time_us)

    def _verify_groups(self) -> Iterator[Violation]:
        """Find groups that have other locations than those that say so, or these in another order."""
        said: dict[str, list[int]] = {}
        for index, location in enumerate(self._locations):
            for group in location.location_groups:
                said.setdefault(group, []).append(index)
        for group in sorted(said.keys() | self._groups.keys()):
            expected, found = said.get(group, []), self._groups.get(group, [])
            if expected != found:
                yield Violation("groups_have_their_locations", group, len(expected), len(found))

    def counts(self) -> Mapping[str, int]:
        """Return how many locations and skus there are."""
        return {"location_count": len(self._locations), "sku_count": len(self._skus)}
