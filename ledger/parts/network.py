"""The network that orders are routed over, and what routing knows of locations, in the words of whoever routes."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import msgspec

from ledger.core.views import Violation
from ledger.parts.catalog import Catalog
from ledger.parts.part import Change, Part
from ledger.parts.resources import Location, LocationRouting, NetworkVersion, RoutingNetwork, is_routed_alike

CHANGES_KEPT: Final = 256
"""Changes of what routing sees that are told one by one; whoever has seen less begins anew."""
ROUTED: Final = (RoutingNetwork, NetworkVersion, LocationRouting, Location)
"""What may change what routing sees."""


class NetworkImage(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """All of it, as a snapshot has it."""

    network: RoutingNetwork | None = None
    locations: list[LocationRouting] = []


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(NetworkImage)


class Network(Part):
    """The network, and routing's content of locations by id; a book lets it hear of a change before the catalog."""

    name = "network"
    changes = ROUTED

    def __init__(self, catalog: Catalog) -> None:
        super().__init__()
        self._catalog = catalog
        self._location_routing: dict[str, LocationRouting] = {}
        self.current: RoutingNetwork | None = None
        """None: nothing is routed yet."""
        self.version = 0
        """Grows with each change of what routing sees of locations and network; of this process, not of the state."""
        self._changed: deque[str | None] = deque(maxlen=CHANGES_KEPT)  # the last versions: of which location
        self.derived: dict[str, Any] = {}
        """What others have made of it; they say themselves of which version."""

    @property
    def location_routing(self) -> Mapping[str, LocationRouting]:
        """What routing knows of locations, by id."""
        return self._location_routing

    def changes_since(self, version: int) -> set[str] | None:
        """Return the locations that have changed to routing since a version; None: more than these may have."""
        count = self.version - version
        if count > len(self._changed):
            return None
        changed = set(islice(reversed(self._changed), count))
        return None if None in changed else {name for name in changed if name}

    def routed_locations(self) -> Iterator[tuple[Location, LocationRouting]]:
        """Yield the locations that orders are routed over, in the order of the catalog."""
        for location in self._catalog.locations:
            routing = self._location_routing.get(location.location_id)
            if routing is not None:
                yield location, routing

    def put(self, changes: Sequence[Change], time_us: int) -> None:  # noqa: ARG002 - a network has its own time
        """Take in a network, its version, what routing knows of locations, and locations that look different to it."""
        for change in changes:
            if isinstance(change, RoutingNetwork):
                self._put_network(change)
                self._note(None)
            elif isinstance(change, NetworkVersion):
                assert self.current is not None
                self._put_network(RoutingNetwork(self.current.content, change.version, change.update_time_us))
                self._note("")
            elif isinstance(change, LocationRouting):
                self._put_location_routing(change)
            elif isinstance(change, Location):
                self._look_at(change)

    def _put_network(self, network: RoutingNetwork) -> None:
        if self.current is not None:
            self.sum.remove(self.current)
        self.current = network
        self.sum.add(network)

    def _put_location_routing(self, routing: LocationRouting) -> None:
        before = self._location_routing.get(routing.location_id)
        if before is not None:
            self.sum.remove(before)
        if routing.content:
            self._location_routing[routing.location_id] = routing
            self.sum.add(routing)
        else:
            self._location_routing.pop(routing.location_id, None)
        is_other_set = (before is not None) != bool(routing.content)
        self._note(None if is_other_set else routing.location_id)

    def _look_at(self, location: Location) -> None:
        """See whether a location that is about to be replaced looks different to routing then."""
        before = self._catalog.location(location.location_id)
        if before and location.location_id in self._location_routing and not is_routed_alike(before, location):
            self._note(location.location_id)

    def _note(self, location_id: str | None) -> None:
        """Note a change: of one location, of the network's version alone (""), or of more (None)."""
        self.version += 1
        self._changed.append(location_id)

    def image(self) -> bytes:
        """Return all of it, for `restore`."""
        return _encoder.encode(NetworkImage(self.current, list(self._location_routing.values())))

    def restore(self, image: bytes) -> None:
        """Become what an image says."""
        assert self.current is None
        found = _decoder.decode(image)
        self.current = found.network
        self._location_routing = {routing.location_id: routing for routing in found.locations}
        self._note(None)

    def rows(self) -> Iterable[Any]:
        """Give the network, and what is known of each location."""
        if self.current is not None:
            yield self.current
        yield from self._location_routing.values()

    def verify(self) -> Iterator[Violation]:
        """Find locations that routing knows and the catalog does not."""
        yield from super().verify()
        for location_id, routing in self._location_routing.items():
            if self._catalog.location(location_id) is None:
                yield Violation("routed_locations_are_known", location_id, 1, 0)
            if routing.location_id != location_id or not routing.content:
                yield Violation("routed_locations_are_their_own", location_id, 1, 0)
        if self.current is None and self._location_routing:
            yield Violation("routed_locations_have_a_network", "network", 1, 0)
        if self.current is not None and self.current.version < 1:
            yield Violation("network_has_a_version", "network", 1, self.current.version)
