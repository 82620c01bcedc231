"""What a load changes: one line a thing, with what it was and what it will be."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from google.protobuf.message import Message
from onhand.inventory.v1 import stock_pb2
from onhand.routing.v1 import network_pb2

from engine.load.catalog import OUTPUT_ONLY, LevelsFile
from engine.load.sending import NOT_GIVEN
from engine.operate.terminal import as_dict

CREATED: Final = "created"
CHANGED: Final = "changed"
REMOVED: Final = "removed"
VALUE_CHARACTERS_MAX: Final = 60
NETWORK_PARTS: Final = {
    "calendar": "calendars",
    "carrier": "carriers",
    "channel": "channels",
    "lane": "lanes",
    "place": "places",
    "sku routing": "skus",
    "profile": "profiles",
}
NETWORK_SETTINGS: Final = ("currency", "rejection_days", "default_profile")


class Difference(NamedTuple):
    """One thing that a load creates, changes or removes."""

    kind: str
    name: str
    change: str
    fields: Mapping[str, tuple[Any, Any]] = {}
    """Field -> what it was, what it will be; of what changes."""

    def __str__(self) -> str:
        told = "; ".join(f"{name} {_told(old)} → {_told(new)}" for name, (old, new) in self.fields.items())
        return f"{self.kind} {self.name} {self.change}{': ' if told else ''}{told}"

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        fields = {name: {"from": old, "to": new} for name, (old, new) in self.fields.items()}
        return {"text": str(self), "kind": self.kind, "name": self.name, "change": self.change, "fields": fields}


def _told(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= VALUE_CHARACTERS_MAX else f"{text[:VALUE_CHARACTERS_MAX]}…"


def of_messages(
    kind: str, before: Mapping[str, Message], after: Mapping[str, Message], *, goes: bool = False
) -> Iterator[Difference]:
    """Yield what differs between messages by name; those that are missing afterwards go only if it is said."""
    for name, new in after.items():
        old = before.get(name)
        if old is None:
            yield Difference(kind, name, CREATED)
        elif fields := _fields(old, new):
            yield Difference(kind, name, CHANGED, fields)
    for name in before.keys() - after.keys() if goes else ():
        yield Difference(kind, name, REMOVED)


def _fields(old: Message, new: Message) -> dict[str, tuple[Any, Any]]:
    if old == new:
        return {}
    left, right = as_dict(old), as_dict(new)
    names = [field.name for field in new.DESCRIPTOR.fields if field.name not in OUTPUT_ONLY]
    return {name: (left.get(name), right.get(name)) for name in names if left.get(name) != right.get(name)}


def of_network(before: network_pb2.Network | None, after: network_pb2.Network) -> Iterator[Difference]:
    """Yield what differs between networks; what the new one has not, goes."""
    old = before or network_pb2.Network()
    settings = {
        name: (getattr(old, name), getattr(after, name))
        for name in NETWORK_SETTINGS
        if getattr(old, name) != getattr(after, name)
    }
    if before is None:
        yield Difference("network", after.currency, CREATED)
    elif settings:
        yield Difference("network", after.currency, CHANGED, settings)
    for kind, part in NETWORK_PARTS.items():
        yield from of_messages(kind, _by_name(getattr(old, part)), _by_name(getattr(after, part)), goes=True)


def _by_name(items: Iterable[Any]) -> dict[str, Message]:
    return {_name(item): item for item in items}


def _name(item: Any) -> str:
    if isinstance(item, network_pb2.Lane):
        return f"{item.from_location_id} to {item.to_location_id}"
    return str(item.sku_id if isinstance(item, network_pb2.SkuRouting) else item.name)


def of_levels(file: LevelsFile, before: Mapping[tuple[str, str], stock_pb2.StockLevel]) -> Iterator[Difference]:
    """Yield what differs between the stock levels of a file and those of the engine."""
    columns = file.columns
    rows = zip(*(column.tolist() for column in (columns.sku, columns.location, columns.on_hand)), strict=True)
    policies = zip(columns.safety_stock.tolist(), columns.backorder_limit.tolist(), strict=True)
    for (sku, location, on_hand), (safety_stock, backorder_limit) in zip(rows, policies, strict=True):
        key = columns.sku_ids[sku], columns.location_ids[location]
        old = before.get(key)
        if old is None:
            yield Difference("stock level", " at ".join(key), CREATED)
            continue
        new = {"on_hand": on_hand, "safety_stock": safety_stock, "backorder_limit": backorder_limit}
        fields = {
            name: (getattr(old, name), value)
            for name, value in new.items()
            if value not in (NOT_GIVEN, getattr(old, name))
        }
        if fields:
            yield Difference("stock level", " at ".join(key), CHANGED, fields)
