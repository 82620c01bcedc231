"""Orders in columns: one of them as a message, and some of them as columns again, to be kept with their plans."""

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
import xxhash
from numpy.typing import NDArray
from onhand.columns import PlanRequestColumns, dtypes_of, write_column
from onhand.routing.v1 import bulk_service_pb2 as contract
from onhand.routing.v1 import plan_pb2 as messages
from onhand.routing.v1 import routing_service_pb2 as service

from engine.api.columns import NONE, ColumnReader
from ledger.core.limits import LINES_PER_CALL_MAX
from routing.calendars import day_of

DTYPES: Final = dtypes_of(contract.PlanOrdersRequest)
ORDERS_PER_CALL_MAX: Final = 1_024
"""Some 50 ms of the writer over 100 locations, with two lines each."""
OF_ORDERS: Final = ("ttl_us", "latitudes", "longitudes", "ship_complete")
INDEXES_OF_ORDERS: Final = {
    "channel_indexes": "channels",
    "reference_indexes": "texts",
    "actor_indexes": "texts",
}
OF_LINES: Final = ("quantities", "unit_values_micros")
INDEXES_OF_LINES: Final = {"sku_indexes": "sku_ids", "store_indexes": "location_ids"}
INDEXES: Final = (*INDEXES_OF_ORDERS, "store_indexes")
IN_FULL: Final = ("line_counts", "sku_indexes")
MIX_ADDED: Final = np.uint64(0x9E3779B97F4A7C15)
MIX_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
MIX_SECOND: Final = np.uint64(0x94D049BB133111EB)


class OrderColumns(ColumnReader):
    """The columns of orders, by order and line; what is wrong in them raises RefusedError."""

    def __init__(self, request: Any) -> None:
        super().__init__(request, DTYPES)
        self.line_counts = self.whole("line_counts", ORDERS_PER_CALL_MAX, at_least=1).astype(np.int64)
        self.count = len(self.line_counts)
        self.sku_indexes = self.whole("sku_indexes", LINES_PER_CALL_MAX, at_least=1)
        self.line_total = len(self.sku_indexes)
        self.first_line = np.cumsum(self.line_counts) - self.line_counts

    def of_orders(self, field: str) -> NDArray[Any]:
        """Read a column of orders."""
        return self.column(field, self.count)

    def of_lines(self, field: str) -> NDArray[Any]:
        """Read a column of lines; methods that are not given are SHIP."""
        if field == "methods" and not self.has(field):
            return np.full(self.line_total, messages.FULFILLMENT_METHOD_SHIP, np.uint8)
        return self.column(field, self.line_total)

    def message(self, order: int) -> service.PlanFulfillmentRequest:
        """Return one order as a request of its own; of checked columns only."""
        request, own = (
            self.request,
            slice(int(self.first_line[order]), int(self.first_line[order] + self.line_counts[order])),
        )

        def text(field: str, dictionary: str) -> str:
            index = int(self.indexes(field, self.count)[order])
            return "" if index == NONE else str(getattr(request, dictionary)[index])

        columns = (
            self.sku_indexes[own].tolist(),
            self.of_lines("quantities")[own].tolist(),
            self.of_lines("methods")[own].tolist(),
            self.indexes("store_indexes", self.line_total)[own].tolist(),
            self.indexes("promise_days", self.line_total)[own].tolist(),
            self.of_lines("unit_values_micros")[own].tolist(),
        )
        lines = [
            messages.OrderLine(
                sku_id=request.sku_ids[sku],
                quantity=quantity,
                method=method,
                store_id="" if store == NONE else request.location_ids[store],
                promise_date="" if day == NONE else day_of(day).isoformat(),
                unit_value_micros=value,
            )
            for sku, quantity, method, store, day, value in zip(*columns, strict=True)
        ]
        latitude, longitude = (float(self.of_orders(field)[order]) for field in ("latitudes", "longitudes"))
        return service.PlanFulfillmentRequest(
            order=messages.Order(
                lines=lines,
                destination=messages.Destination(latitude=latitude, longitude=longitude),
                channel=text("channel_indexes", "channels"),
                ship_complete=bool(self.of_orders("ship_complete")[order]),
            ),
            profile=request.profile,
            strategy=request.strategy,
            max_shipments=request.max_shipments,
            validate_only=request.validate_only,
            reference=text("reference_indexes", "texts"),
            actor=text("actor_indexes", "texts"),
        )

    @cached_property
    def contents(self) -> NDArray[np.uint64]:
        """Hash what each order asks for: 64 bits that are equal for equal orders, whatever the network is by then."""
        given = self.request
        total = np.full(self.count, _hash(f"{given.profile}:{given.strategy}:{given.max_shipments}"), np.uint64)
        for field in OF_ORDERS:
            total = _mixed(total, self.of_orders(field))
        for field, dictionary in INDEXES_OF_ORDERS.items():
            total = _mixed(total, self._hashes(self.indexes(field, self.count), dictionary))
        position = np.arange(self.line_total) - np.repeat(self.first_line, self.line_counts)
        line = _mixed(np.zeros(self.line_total, np.uint64), position)
        for field in (*OF_LINES, "methods"):
            line = _mixed(line, self.of_lines(field))
        line = _mixed(line, self.indexes("promise_days", self.line_total))
        line = _mixed(line, self._hashes(self.sku_indexes, "sku_ids"))
        line = _mixed(line, self._hashes(self.indexes("store_indexes", self.line_total), "location_ids"))
        np.add.at(total, np.repeat(np.arange(self.count), self.line_counts), line)  # each has its position in it
        return total | np.uint64(1)

    def _hashes(self, indexes: NDArray[Any], dictionary: str) -> NDArray[np.uint64]:
        """Hash the names that indexes speak of; nothing for NONE."""
        names = np.array([*map(_hash, getattr(self.request, dictionary)), 0], np.uint64)
        return names[np.where((indexes >= 0) & (indexes < len(names) - 1), indexes, NONE)]

    def some(self, orders: Sequence[int]) -> bytes:
        """Return some orders as columns: a serialized PlanOrdersRequest with the names that they use."""
        chosen = np.array(orders, np.int64)
        own = ranges(self.first_line[chosen], self.line_counts[chosen])
        given = self.request
        kept = PlanRequestColumns(
            profile=given.profile,
            strategy=given.strategy,
            max_shipments=given.max_shipments,
            validate_only=given.validate_only,
        )
        columns: dict[str, NDArray[Any]] = {"line_counts": self.line_counts[chosen]}
        columns |= {field: self.of_orders(field)[chosen] for field in OF_ORDERS}
        columns |= {field: self.of_lines(field)[own] for field in OF_LINES}
        columns["methods"] = self.of_lines("methods")[own]
        columns["promise_days"] = self.indexes("promise_days", self.line_total)[own]
        for field, dictionary in INDEXES_OF_ORDERS.items():
            columns[field] = _renamed(
                self.indexes(field, self.count)[chosen], getattr(given, dictionary), getattr(kept, dictionary)
            )
        for field, dictionary in INDEXES_OF_LINES.items():
            columns[field] = _renamed(
                self.indexes(field, self.line_total)[own], getattr(given, dictionary), getattr(kept, dictionary)
            )
        for field, values in columns.items():
            default = NONE if field in INDEXES or field == "promise_days" else 0
            if field in IN_FULL or (values != default).any():
                write_column(getattr(kept, field), values, DTYPES[field])
        return bytes(kept.SerializeToString())


def _hash(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode())


def _mixed(total: NDArray[np.uint64], column: NDArray[Any]) -> NDArray[np.uint64]:
    """Mix a column into hashes (the finalizer of splitmix64, Steele et al. 2014)."""
    if column.dtype.kind == "f":
        column = np.ascontiguousarray(column + 0.0).view(np.uint64)  # -0.0 is 0.0
    bits = column if column.dtype == np.uint64 else column.astype(np.int64).view(np.uint64)
    mixed = (total ^ bits) + MIX_ADDED
    mixed = (mixed ^ (mixed >> np.uint64(30))) * MIX_FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * MIX_SECOND
    return mixed ^ (mixed >> np.uint64(31))


def ranges(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the positions of ranges end to end."""
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(counts.sum())


def _renamed(indexes: NDArray[Any], names: Sequence[str], kept: Any) -> NDArray[Any]:
    """Append the names that are used to another dictionary, and return their indexes there."""
    if (indexes == NONE).all():
        return indexes
    used, places = np.unique(indexes, return_inverse=True)
    none_count = int(len(used) > 0 and used[0] == NONE)
    start = len(kept)
    kept.extend([names[index] for index in used[none_count:].tolist()])
    return np.where(indexes == NONE, NONE, places - none_count + start)


def message_at(content: bytes, place: int) -> service.PlanFulfillmentRequest:
    """Return one order of columns that were kept."""
    return _kept(content).message(place)


@lru_cache(maxsize=8)
def _kept(content: bytes) -> OrderColumns:
    return OrderColumns(PlanRequestColumns.FromString(content))
