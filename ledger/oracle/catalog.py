"""The catalog and the routing network in plain Python: dictionaries of what was written last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeAlias

Content: TypeAlias = Mapping[str, object]
"""What a caller says of a resource, field by field."""


class Known(NamedTuple):
    """One resource."""

    content: Content
    version: int
    create_time_us: int
    update_time_us: int


class Upserted(NamedTuple):
    """How many resources of an upsert were new, changed, and as they had been."""

    created: int
    updated: int
    unchanged: int


class Table:
    """Resources of one kind by id, in the order in which they were created."""

    def __init__(self) -> None:
        self._known: dict[str, Known] = {}

    def __getitem__(self, name: str) -> Known:
        """Return a resource; raises KeyError for an unknown one."""
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        """Yield the ids."""
        return iter(self._known)

    def __len__(self) -> int:
        """Resources there are."""
        return len(self._known)

    def upsert(self, wanted: Mapping[str, Content], time_us: int) -> Upserted:
        """Create what is not there, and change what is other."""
        created = sum(name not in self._known for name in wanted)
        changed = [name for name, content in wanted.items() if self._is_other(name, content)]
        for name in changed:
            self._put(name, wanted[name], time_us)
        return Upserted(created, len(changed) - created, len(wanted) - len(changed))

    def update(self, name: str, content: Content, expected_version: int, time_us: int) -> bool:
        """Change some fields of a resource, whatever they were; tells whether its version was the expected one."""
        known = self._known[name]
        if expected_version not in {0, known.version}:
            return False
        self._put(name, {**known.content, **content}, time_us)
        return True

    def _is_other(self, name: str, content: Content) -> bool:
        return name not in self._known or dict(self._known[name].content) != dict(content)

    def _put(self, name: str, content: Content, time_us: int) -> None:
        before = self._known.get(name)
        first_us = before.create_time_us if before else time_us
        self._known[name] = Known(dict(content), before.version + 1 if before else 1, first_us, time_us)

    def having(self, field: str, value: object) -> list[str]:
        """Return the ids of the resources of which a field, a list, has a value."""
        return [name for name, known in self._known.items() if value in tuple(known.content[field])]  # type: ignore[arg-type]  # a list


class OracleCatalog:
    """Locations, skus and the network that orders are routed over."""

    def __init__(self) -> None:
        self.locations = Table()
        self.skus = Table()
        self.network = b""
        self.network_version = 0
        """0: there is no network yet."""
        self.network_time_us = 0
        self.routing: dict[str, bytes] = {}
        """What routing knows of locations, by id."""

    def write_network(
        self, network: bytes | None, locations: Mapping[str, bytes], time_us: int, *, replaces: bool = False
    ) -> int:
        """Write the network and what routing knows of locations; returns its version, which grows if anything changed.

        Parameters
        ----------
        network
            None: as it is.
        replaces
            Whether nothing is known any more of locations that are not given.
        """
        kept = {} if replaces else self.routing
        routing = {**kept, **locations}
        content = self.network if network is None else network
        if (content, routing) != (self.network, self.routing) or not self.network_version:
            self.network, self.routing = content, routing
            self.network_version += 1
            self.network_time_us = time_us
        return self.network_version
