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
        return self._define(sku_id, self._skus, self._sku_ids, SKU_COUNT)

    def define_location(self, location_id: str, active: bool = True) -> int:
        """Give a location its index; the same id gets the same index."""
        known = location_id in self._locations
        index = self._define(location_id, self._locations, self._location_ids, LOCATION_COUNT)
        if not known:
            self.set_location_active(index, active)
        return index

    def _define(self, name: str, known: dict[str, int], names: list[str], counter: int) -> int:
        if name in known:
            return known[name]
        is_sku = counter == SKU_COUNT
        hashes = self._columns["sku_hash" if is_sku else "location_hash"]
        beside = self._columns["sku_outside" if is_sku else "location_active"]
        index = len(names)
        if index >= min(hashes.capacity, beside.capacity):  # asking all columns took most of the time of a new name
            self._columns.grow(Room(skus=int(is_sku), locations=int(not is_sku)))
        hashes.array[index] = name_hash(name)
        names.append(name)
        known[name] = index  # last, so that whoever reads beside the writer finds a whole name or none
        self._columns.counters.array[counter] = len(names)
        return index

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

    def sku_id(self, index: int) -> str:
        """Id of a sku."""
        return self._sku_ids[index]

    def location_id(self, index: int) -> str:
        """Id of a location."""
        return self._location_ids[index]
