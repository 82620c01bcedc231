"""The names that a ledger knows, and their indexes: what rows mean."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import xxhash
from numpy.typing import NDArray

from ledger.core import ids
from ledger.core.records import ANY_SKU, FIRST_UNKNOWN, NO_LOCATION
from ledger.core.state import LOCATION_COUNT, SEQ, SHARD, SKU_COUNT, TIME_US, Columns, Room

# Hashes of names have 30 bits, so that an unknown name's negative index never meets ANY_SKU.
NAME_HASH_BITS: Final = 30
assert FIRST_UNKNOWN - (1 << NAME_HASH_BITS) > ANY_SKU
assert FIRST_UNKNOWN < NO_LOCATION < 0


def name_hash(name: str) -> int:
    """Hash of a sku's or location's id, 0 to 2^30 - 1."""
    return xxhash.xxh32_intdigest(name.encode()) & ((1 << NAME_HASH_BITS) - 1)


def unknown_index(name: str) -> int:
    """Negative index that stands for an id the ledger does not know."""
    return FIRST_UNKNOWN - name_hash(name)


def _indexes(known: Mapping[str, int], names: Sequence[str]) -> NDArray[np.int32]:
    indexes = list(map(known.get, names))
    if None in indexes:
        indexes = [unknown_index(name) if index is None else index for name, index in zip(names, indexes, strict=True)]
    return np.array(indexes, np.int32)


class KnownNames:
    """Skus and locations of one shard by name, and the columns that all else stands in; how far the ledger is.

    Parameters
    ----------
    shard
        Which one it is, 0 to ids.SHARD_MAX: the ids that it gives name it.
    """

    def __init__(self, *, shard: int) -> None:
        assert 0 <= shard <= ids.SHARD_MAX
        self._columns = Columns()
        self._columns.counters.array[SHARD] = shard
        self._skus: dict[str, int] = {}
        self._locations: dict[str, int] = {}
        self._sku_ids: list[str] = []
        self._location_ids: list[str] = []

    @property
    def shard(self) -> int:
        """Which one it is: ids name it."""
        return int(self._columns.counters.array[SHARD])

    @property
    def seq(self) -> int:
        """Last seq given out; 0 at first."""
        return int(self._columns.counters.array[SEQ])

    @property
    def time_us(self) -> int:
        """Time of the last batch, microseconds since the epoch."""
        return int(self._columns.counters.array[TIME_US])

    def define_sku(self, sku_id: str) -> int:
        """Give a sku its index; the same id gets the same index."""
        if sku_id not in self._skus:
            self.define_skus((sku_id,))
        return self._skus[sku_id]

    def define_location(self, location_id: str, active: bool = True) -> int:
        """Give a location its index; the same id gets the same index."""
        if location_id not in self._locations:
            self.define_locations((location_id,), (active,))
        return self._locations[location_id]

    def define_skus(self, sku_ids: Sequence[str]) -> None:
        """Give new skus, each named once, the next indexes."""
        first, last = len(self._sku_ids), len(self._sku_ids) + len(sku_ids)
        if last > min(self._columns["sku_hash"].capacity, self._columns["sku_outside"].capacity):
            self._columns.grow(Room(skus=len(sku_ids)))
        self._columns["sku_hash"].array[first:last] = list(map(name_hash, sku_ids))
        self._sku_ids.extend(sku_ids)
        self._skus.update(zip(sku_ids, range(first, last), strict=True))
        self._columns.counters.array[SKU_COUNT] = last

    def define_locations(self, location_ids: Sequence[str], active: Sequence[bool]) -> None:
        """Give new locations, each named once, the next indexes, and say which take new holds."""
        first, last = len(self._location_ids), len(self._location_ids) + len(location_ids)
        if last > min(self._columns["location_hash"].capacity, self._columns["location_active"].capacity):
            self._columns.grow(Room(locations=len(location_ids)))
        self._columns["location_hash"].array[first:last] = list(map(name_hash, location_ids))
        self._columns["location_active"].array[first:last] = active
        self._location_ids.extend(location_ids)
        # last, so that whoever reads beside the writer finds a whole name or none
        self._locations.update(zip(location_ids, range(first, last), strict=True))
        self._columns.counters.array[LOCATION_COUNT] = last

    def set_location_active(self, location: int, active: bool) -> None:
        """Open or close a location for new holds."""
        self._columns["location_active"].array[location] = active

    def is_location_active(self, location: int) -> bool:
        """Tell whether a location takes new holds."""
        return bool(self._columns["location_active"].array[location])

    def sku_index(self, sku_id: str) -> int:
        """Index of a sku, negative if it is unknown."""
        index = self._skus.get(sku_id)
        return unknown_index(sku_id) if index is None else index

    def known_sku(self, sku_id: str) -> int | None:
        """Index of a sku; None if it is unknown, which is quicker to say than which index stands for it."""
        return self._skus.get(sku_id)

    def sku_indexes(self, sku_ids: Sequence[str]) -> NDArray[np.int32]:
        """Indexes of many skus, negative where one is unknown."""
        return _indexes(self._skus, sku_ids)

    def location_indexes(self, location_ids: Sequence[str]) -> NDArray[np.int32]:
        """Indexes of many locations, negative where one is unknown."""
        return _indexes(self._locations, location_ids)

    def location_index(self, location_id: str) -> int:
        """Index of a location, negative if it is unknown."""
        index = self._locations.get(location_id)
        return unknown_index(location_id) if index is None else index

    def known_location(self, location_id: str) -> int | None:
        """Index of a location; None if it is unknown."""
        return self._locations.get(location_id)

    def sku_id(self, index: int) -> str:
        """Id of a sku."""
        return self._sku_ids[index]

    def location_id(self, index: int) -> str:
        """Id of a location."""
        return self._location_ids[index]
