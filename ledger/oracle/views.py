"""What plans were routed over, in plain Python: a whole copy for each plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ledger.oracle.catalog import Known, OracleCatalog


class Routed(NamedTuple):
    """All that routing knew of the catalog, skus apart."""

    network: bytes
    version: int
    time_us: int
    places: Mapping[str, tuple[Known, bytes]]
    """By id: what the catalog said of a location, and what the network did."""


class OracleViews:
    """What was true at each plan; which of them are kept is the book's affair."""

    def __init__(self, catalog: OracleCatalog) -> None:
        self._catalog = catalog
        self._seen: dict[int, Routed] = {}

    def plan(self, seq: int) -> None:
        """Hear of a plan."""
        catalog = self._catalog
        places = {name: (catalog.locations[name], content) for name, content in catalog.routing.items()}
        self._seen[seq] = Routed(catalog.network, catalog.network_version, catalog.network_time_us, places)

    def of(self, seq: int) -> Routed:
        """Return what was true at a plan."""
        return self._seen[seq]
