"""The fields of a sku as data: what the API checks, shows and changes, and what a file of skus may say, follows.

A new field is a row here, beside the field of the contract and that of what is kept: docs/extending.md.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from onhand.inventory.v1 import catalog_pb2 as messages
from onhand.rules.checks import byte_count

from engine.api import fields
from ledger.core import limits
from ledger.parts.resources import Sku


class Whole(NamedTuple):
    """A whole number."""

    least: int
    most: int


class Text(NamedTuple):
    """Text; least and most are bytes of UTF-8."""

    least: int
    most: int


class Words(NamedTuple):
    """So many different words at most."""

    most: int


class SkuField(NamedTuple):
    """One field of a sku, which has the same name in the contract, in what is kept, and in files."""

    name: str
    holds: Whole | Text | Words
    says: str
    """What it is, for the docs."""
    default: str = "none"
    """What a new sku of a file has without it, for the docs; "": it is required."""
    may_change: bool = True


FIELDS: Final = (
    SkuField(
        "base_unit",
        Text(1, limits.BASE_UNIT_BYTES_MAX),
        "what its quantities count, for ever",
        default="",
        may_change=False,
    ),
    SkuField("display_name", Text(0, limits.NAME_BYTES_MAX), "name for people"),
    SkuField(
        "weight_milligrams",
        Whole(0, limits.WEIGHT_MILLIGRAMS_MAX),
        "weight of a unit; 0 is not known",
        default="0",
    ),
    SkuField("restrictions", Words(limits.RESTRICTIONS_MAX), "what may not go everywhere"),
)
CHANGEABLE: Final = tuple(row.name for row in FIELDS if row.may_change)
"""What an update mask may name."""

_ID_AND_OUTPUT: Final = {"sku_id", "version", "create_time", "update_time"}
_NAMES: Final = {row.name for row in FIELDS}
assert set(messages.Sku.DESCRIPTOR.fields_by_name) == _NAMES | _ID_AND_OUTPUT, "a row for each field of the contract"
assert {name.removesuffix("_us") for name in Sku.__struct_fields__} - _ID_AND_OUTPUT == _NAMES, "and of what is kept"


def names_of(values: Sequence[str], field: str, maximum: int) -> tuple[str, ...]:
    """Check a list of names."""
    fields.count_of(values, field, maximum, at_least=0)
    fields.unique(values, field)
    return tuple(fields.identifier(value, f"{field}[{place}]") for place, value in enumerate(values))


def _check_of(holds: Whole | Text | Words) -> Callable[[Any, str], Any]:
    """Return what checks a value of a field, given with its path."""
    if isinstance(holds, Words):
        return lambda value, field: names_of(value, field, holds.most)
    if isinstance(holds, Text) and not holds.least:
        return lambda value, field: fields.text(value, field, holds.most)
    least, most = holds

    def check_text(value: str, field: str) -> str:
        if not least <= byte_count(value) <= most:
            fields.wrong(field, f"{least} to {most} bytes of UTF-8", value)
        return value

    def check_whole(value: int, field: str) -> int:
        if not least <= value <= most:
            fields.wrong(field, f"{least} to {most}", value)
        return value

    return check_text if isinstance(holds, Text) else check_whole


_CHECKS: Final = tuple((row.name, _check_of(row.holds)) for row in FIELDS)


def read_sku(message: messages.Sku, field: str) -> Sku:
    """Check a sku."""
    given = {name: check(getattr(message, name), f"{field}.{name}") for name, check in _CHECKS}
    return Sku(sku_id=fields.identifier(message.sku_id, f"{field}.sku_id"), **given)


def describe_sku(sku: Sku) -> messages.Sku:
    """Return a sku as callers see it."""
    kept = {name: getattr(sku, name) for name, _ in _CHECKS}
    message = messages.Sku(sku_id=sku.sku_id, version=sku.version, **kept)
    fields.set_time(message.create_time, sku.create_time_us)
    fields.set_time(message.update_time, sku.update_time_us)
    return message
