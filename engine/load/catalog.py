"""Locations, skus and stock levels of files: what they say, put on top of what the engine has."""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, NamedTuple, TypeVar

import numpy as np
from google.protobuf.message import Message
from onhand.inventory.v1 import catalog_pb2
from onhand.routing.v1 import network_pb2

from engine.load.problems import Problems, Where, shown
from engine.load.reading import Reader, Row
from engine.load.schema import LEVELS, Table
from engine.load.sending import NOT_GIVEN, Int64s, StockColumns

Item = TypeVar("Item", catalog_pb2.Location, catalog_pb2.Sku)

OUTPUT_ONLY: Final = ("version", "create_time", "update_time")
NEVER_CHANGES: Final = ("location_id", "sku_id", "base_unit")


@dataclass(slots=True)
class Before:
    """What the engine has before a load."""

    locations: dict[str, catalog_pb2.Location] = field(default_factory=dict)
    skus: dict[str, catalog_pb2.Sku] = field(default_factory=dict)
    network: network_pb2.Network | None = None
    routing: dict[str, network_pb2.LocationRouting] = field(default_factory=dict)


class Change(NamedTuple, Generic[Item]):
    """What a row makes of a location or sku."""

    where: Where
    item: Item
    """As it will be."""
    given: tuple[str, ...]
    """The fields that the row gives."""


@dataclass(frozen=True, slots=True)
class TableFile:
    """The rows of a file that are good."""

    reader: Reader
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class LevelsFile:
    """A file of stock levels; `line` is the physical line of each."""

    name: str
    columns: StockColumns
    line: Int64s


# ---- reading ---------------------------------------------------------------------------------------------------------


def read_table(path: Path, name: str, table: Table, problems: Problems) -> TableFile:
    """Read a table whose rows have names of their own."""
    reader = Reader(table, name, problems)
    rows = list(reader.rows(path))
    refuse_repeats(rows, table.key, problems)
    return TableFile(reader, rows)


def refuse_repeats(rows: Iterable[Row], key: Sequence[str], problems: Problems) -> None:
    """Note every row that names what another has named."""
    first: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        name = tuple(row.given[column] for column in key)
        earlier = first.setdefault(name, row)
        if earlier is not row:
            told = " at ".join(map(str, name))
            problems.add(row.where, f"{told} is on line {earlier.where.line} already.")


def read_levels(path: Path, name: str, problems: Problems) -> LevelsFile:
    """Read a file of stock levels; kept as columns, since such files are long."""
    skus: dict[str, int] = {}
    locations: dict[str, int] = {}
    columns = [array("q") for _ in range(6)]
    for row in Reader(LEVELS, name, problems).rows(path):
        given = row.given
        values = (
            skus.setdefault(given["sku_id"], len(skus)),
            locations.setdefault(given["location_id"], len(locations)),
            given["on_hand"],
            given.get("safety_stock", NOT_GIVEN),
            given.get("backorder_limit", NOT_GIVEN),
            row.where.line,
        )
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    sku, location, on_hand, safety_stock, backorder_limit, lines = (np.array(column, np.int64) for column in columns)
    file = LevelsFile(
        name,
        StockColumns(
            tuple(skus),
            tuple(locations),
            sku.astype(np.int32),
            location.astype(np.int32),
            on_hand,
            safety_stock,
            backorder_limit,
        ),
        lines,
    )
    _refuse_repeated_levels(file, problems)
    return file


def _refuse_repeated_levels(file: LevelsFile, problems: Problems) -> None:
    columns = file.columns
    keys = columns.sku.astype(np.int64) << 32 | columns.location
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    earlier = first[inverse]
    for index in np.flatnonzero(earlier != np.arange(len(keys))).tolist():
        level = f"{columns.sku_ids[columns.sku[index]]} at {columns.location_ids[columns.location[index]]}"
        where = Where(file.name, int(file.line[index]))
        problems.add(where, f"{level} is on line {file.line[earlier[index]]} already.")


# ---- putting on top --------------------------------------------------------------------------------------------------


def put_on_top(message: Message, given: Mapping[str, Any]) -> None:
    """Set the fields of a message that are given."""
    for name, value in given.items():
        if isinstance(value, tuple | list):
            message.ClearField(name)
            getattr(message, name).extend(value)
        else:
            setattr(message, name, value)


def without_output(message: Item) -> Item:
    """Return a copy without what only the engine sets."""
    copy = type(message)()
    copy.CopyFrom(message)
    for name in OUTPUT_ONLY:
        copy.ClearField(name)
    return copy


def location_changes(file: TableFile, before: Before, problems: Problems) -> list[Change[catalog_pb2.Location]]:
    """Return what a file of locations makes of those of the engine."""
    changes = []
    for row in file.rows:
        old = before.locations.get(row.given["location_id"])
        item = without_output(old) if old else catalog_pb2.Location(active=True)
        if ("latitude" in row.given) != ("longitude" in row.given):
            given, absent = ("latitude", "longitude")[:: 1 if "latitude" in row.given else -1]
            problems.add(row.at(absent), f"expected a value, since {given} is given, was empty; give both or none.")
        put_on_top(item, row.given)
        changes.append(Change(row.where, item, _changeable(row.given)))
    return changes


def sku_changes(file: TableFile, before: Before, problems: Problems) -> list[Change[catalog_pb2.Sku]]:
    """Return what a file of skus makes of those of the engine."""
    changes = []
    for row in file.rows:
        old = before.skus.get(row.given["sku_id"])
        item = without_output(old) if old else catalog_pb2.Sku()
        if old and old.base_unit != row.given["base_unit"]:
            expected = f"{shown(old.base_unit)}, which never changes"
            problems.expected(row.at("base_unit"), expected, row.given["base_unit"])
        put_on_top(item, row.given)
        changes.append(Change(row.where, item, _changeable(row.given)))
    return changes


def refuse_contradictions(
    left: TableFile | None, right: TableFile | None, columns: Iterable[str], problems: Problems
) -> None:
    """Note every value of the right file that is another one than the left file's, of one location or sku."""
    if left is None or right is None:
        return
    key = left.reader.table.key[0]
    rows = {row.given[key]: row for row in left.rows}
    for row in right.rows:
        other = rows.get(row.given[key])
        if other is None:
            continue
        for column in columns:
            if column in row.given and column in other.given and row.given[column] != other.given[column]:
                expected = f"{shown(other.given[column])} as in {other.where}"
                problems.expected(row.at(column), expected, row.given[column])


def _changeable(given: Iterable[str]) -> tuple[str, ...]:
    """Return the fields of a row for an update mask, which must not be empty: that would mean all."""
    return tuple(sorted(set(given) - set(NEVER_CHANGES))) or ("display_name",)


def refuse_unknown(file: LevelsFile, what: str, known: set[str], problems: Problems) -> None:
    """Note every level whose sku or location neither the files nor the engine know."""
    columns = file.columns
    ids = columns.sku_ids if what == "sku" else columns.location_ids
    unknown = np.array([identifier not in known for identifier in ids], np.bool_)
    used = columns.sku if what == "sku" else columns.location
    for position in np.flatnonzero(unknown[used]).tolist():
        where = Where(file.name, int(file.line[position]), f"column {what}_id")
        problems.expected(where, f"a {what} of the files or of the engine", ids[used[position]])
