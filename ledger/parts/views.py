"""What orders were routed over when they were planned, for explanations; a view is kept as what differs from the last.

A view is what the catalog says of locations and network at the first plan that was made over it. Journal entries name
it, and do not repeat it: whoever replays them has the same catalog at the same place.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import xxhash

from ledger.core.views import Violation
from ledger.parts.catalog import Catalog
from ledger.parts.network import ROUTED, Network
from ledger.parts.part import Change, Part
from ledger.parts.planned import View
from ledger.parts.resources import Location, LocationRouting, NetworkVersion, RoutingNetwork

WHOLE_SHARE = 8
"""A view with more than one in so many of its locations changed is kept whole."""


class RoutedNetwork(NamedTuple):
    """All that routing reads of a catalog but for its skus."""

    network: RoutingNetwork
    locations: list[tuple[Location, LocationRouting]]
    """In the order of the catalog."""


class KeptView(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """What is kept of a view."""

    number: int
    network: RoutingNetwork | NetworkVersion
    """NetworkVersion: with the content of the view before."""
    is_whole: bool
    places: list[tuple[Location, LocationRouting]]
    """If it is not whole, those that differ from the view before."""


class ViewsImage(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """All of it, as a snapshot has it."""

    views: list[KeptView] = []
    changed: list[str] = []
    is_whole: bool = True
    is_other: bool = True


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(ViewsImage)


class RoutingViews(Part):
    """The views that plans can be explained over, the oldest first, and what has changed since the last one."""

    name = "views"
    changes = (*ROUTED, View)

    def __init__(self, catalog: Catalog, network: Network) -> None:
        super().__init__()
        self._catalog = catalog
        self._network = network
        self._noted_version = 0  # of the network
        self._views: dict[int, KeptView] = {}
        self._changed: dict[str, None] = {}
        self._is_whole = True  # more has changed than these locations, or there is no view yet
        self._is_other = True  # it is not as in the last view

    def __contains__(self, number: int) -> bool:
        """Tell whether a view is kept."""
        return number in self._views

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._views)

    def __iter__(self) -> Iterator[int]:
        """Yield their numbers, the oldest first."""
        return iter(self._views)

    @property
    def current(self) -> int:
        """Number of the view of the network as it is now; 0: there is none."""
        return 0 if self._is_other else next(reversed(self._views), 0)

    def put(self, changes: Sequence[Change], time_us: int) -> None:  # noqa: ARG002 - a view has a number
        """Note what the network put, or keep it as it is as the view of a number."""
        self._note()
        for change in changes:
            if isinstance(change, View):
                self._keep(change.number)

    def _note(self) -> None:
        network = self._network
        if network.version == self._noted_version:
            return
        changed = network.changes_since(self._noted_version)
        self._noted_version = network.version
        self._is_other = True
        if changed is None:
            self._is_whole, self._changed = True, {}
        elif not self._is_whole:
            self._changed |= dict.fromkeys(sorted(changed))

    def _keep(self, number: int) -> None:
        network, routing = self._network.current, self._network.location_routing
        assert network is not None
        if self._is_whole or len(self._changed) * WHOLE_SHARE > len(routing):
            self._set(KeptView(number, network, is_whole=True, places=list(self._network.routed_locations())))
        else:
            version = NetworkVersion(network.version, network.update_time_us)
            located = ((self._catalog.location(name), routing[name]) for name in self._changed)
            places = [(location, own) for location, own in located if location is not None]
            self._set(KeptView(number, version, is_whole=False, places=places))
        self._changed, self._is_whole, self._is_other = {}, False, False

    def _set(self, view: KeptView) -> None:
        assert view.is_whole or self._views, "there is nothing that it could differ from"
        self._views[view.number] = view
        self.sum.add(view)

    def routed(self, number: int) -> RoutedNetwork:
        """Return what a view has."""
        content, places = b"", dict[str, tuple[Location, LocationRouting]]()
        for view in self._views.values():
            if view.is_whole:
                assert isinstance(view.network, RoutingNetwork)
                content, places = view.network.content, {}
            places |= {location.location_id: (location, routing) for location, routing in view.places}
            if view.number == number:
                network = RoutingNetwork(content, view.network.version, view.network.update_time_us)
                return RoutedNetwork(network, list(places.values()))
        raise KeyError(number)

    def drop_before(self, number: int) -> None:
        """Keep nothing of views before a number."""
        numbers = [each for each in self._views if each < number]
        if not numbers:
            return
        first = next((each for each in self._views if each >= number), 0)
        if first and not self._views[first].is_whole:
            routed = self.routed(first)
            self.sum.remove(self._views[first])
            self._set(KeptView(first, routed.network, is_whole=True, places=routed.locations))
        for each in numbers:
            self.sum.remove(self._views.pop(each))
        self._is_whole |= not self._views

    def image(self) -> bytes:
        """Return all of it, for `restore`."""
        return _encoder.encode(self._image())

    def _image(self) -> ViewsImage:
        return ViewsImage(list(self._views.values()), list(self._changed), self._is_whole, self._is_other)

    def restore(self, image: bytes) -> None:
        """Become the views of an image."""
        found = _decoder.decode(image)
        self._views = {view.number: view for view in found.views}
        self._changed = dict.fromkeys(found.changed)
        self._is_whole, self._is_other = found.is_whole, found.is_other
        self._noted_version = self._network.version

    def rows(self) -> Iterable[Any]:
        """Give each view."""
        return self._views.values()

    def digest(self) -> bytes:
        """Return bytes that are equal for equal views, and equal changes since."""
        since = msgspec.structs.replace(self._image(), views=[])
        return super().digest() + xxhash.xxh3_128_digest(_encoder.encode(since))

    def verify(self) -> Iterator[Violation]:
        """Find views that cannot be put together: the first is whole, and each is newer than the one before."""
        yield from super().verify()
        before = 0
        for number, view in self._views.items():
            if view.number != number or number <= before:
                yield Violation("views_follow_each_other", f"view {number}", before, view.number)
            if not before and not view.is_whole:
                yield Violation("first_view_is_whole", f"view {number}", 1, 0)
            before = number
        for location_id in self._changed:
            if self._catalog.location(location_id) is None:
                yield Violation("changes_since_the_view_are_of_locations", location_id, 1, 0)
