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
from onhand.rules.limits import ORDERS_PER_CALL_MAX
from onhand.rules.orders import LINE_FIELDS, NONE, OF_LINES, OF_ORDERS, OrderField

from engine.api.columns import ColumnReader
from ledger.core.limits import LINES_PER_CALL_MAX
from routing.calendars import day_of

DTYPES: Final = dtypes_of(contract.PlanOrdersRequest)
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

    def of_orders(self, field: OrderField) -> NDArray[Any]:
        """Read a column of orders."""
        return self._of(field, self.count)

    def of_lines(self, field: OrderField) -> NDArray[Any]:
        """Read a column of lines."""
        return self._of(field, self.line_total)

    def _of(self, field: OrderField, length: int) -> NDArray[Any]:
        if field.default and not self.has(field.column):
            return np.full(length, field.default, DTYPES[field.column])
        return self.column(field.column, length)

    def message(self, order: int) -> service.PlanFulfillmentRequest:
        """Return one order as a request of its own; of checked columns only."""
        request, first = self.request, int(self.first_line[order])
        own = slice(first, first + int(self.line_counts[order]))
        columns = {field.name: self._told(field, self.of_lines(field)[own]) for field in OF_LINES}
        lines = [
            messages.OrderLine(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)
        ]
        given = {field.name: self._told(field, self.of_orders(field)[order : order + 1])[0] for field in OF_ORDERS}
        return service.PlanFulfillmentRequest(
            order=messages.Order(
                lines=lines,
                destination=messages.Destination(
                    latitude=given["destination.latitude"], longitude=given["destination.longitude"]
                ),
                channel=given["channel"],
                ship_complete=bool(given["ship_complete"]),
            ),
            profile=request.profile,
            strategy=request.strategy,
            max_shipments=request.max_shipments,
            validate_only=request.validate_only,
            reference=given["reference"],
            actor=given["actor"],
        )

    def _told(self, field: OrderField, values: NDArray[Any]) -> list[Any]:
        """Return entries of a column as messages have them."""
        if field.dictionary:
            names = getattr(self.request, field.dictionary)
            return ["" if index == NONE else names[index] for index in values.tolist()]
        if field is LINE_FIELDS["promise_date"]:
            return ["" if day == NONE else day_of(day).isoformat() for day in values.tolist()]
        return list(values.tolist())

    @cached_property
    def contents(self) -> NDArray[np.uint64]:
        """Hash what each order asks for: 64 bits that are equal for equal orders, whatever the network is by then."""
        given = self.request
        total = np.full(self.count, _hash(f"{given.profile}:{given.strategy}:{given.max_shipments}"), np.uint64)
        for field in OF_ORDERS:
            total = _mixed(total, self._hashed(field, self.of_orders(field)))
        position = np.arange(self.line_total) - np.repeat(self.first_line, self.line_counts)
        line = _mixed(np.zeros(self.line_total, np.uint64), position)
        for field in OF_LINES:
            line = _mixed(line, self._hashed(field, self.of_lines(field)))
        np.add.at(total, np.repeat(np.arange(self.count), self.line_counts), line)  # each has its position in it
        return total | np.uint64(1)

    def _hashed(self, field: OrderField, values: NDArray[Any]) -> NDArray[Any]:
        """Return hashes of the names that indexes speak of, nothing for NONE; of other columns the values."""
        if not field.dictionary:
            return values
        names = np.array([*map(_hash, getattr(self.request, field.dictionary)), 0], np.uint64)
        return names[np.where((values >= 0) & (values < len(names) - 1), values, NONE)]

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
        write_column(kept.line_counts, self.line_counts[chosen], DTYPES["line_counts"])
        for field in OF_ORDERS:
            self._keep(kept, field, self.of_orders(field)[chosen])
        for field in OF_LINES:
            self._keep(kept, field, self.of_lines(field)[own])
        return bytes(kept.SerializeToString())

    def _keep(self, kept: Any, field: OrderField, values: NDArray[Any]) -> None:
        """Write entries of a column and the names that they use; what a column that is left out means is left out."""
        if field.dictionary:
            values = _renamed(values, getattr(self.request, field.dictionary), getattr(kept, field.dictionary))
        if field.is_in_full or (values != field.default).any():
            write_column(getattr(kept, field.column), values, DTYPES[field.column])


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
