"""What calls about any kind of document have in common: units of skus, lines, and when it was made and is due."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from google.protobuf.message import Message
from onhand.client import checks
from onhand.client.arguments import SkuUnits
from onhand.client.results import time_of

Quantity = TypeVar("Quantity", bound=Message)
Line = TypeVar("Line", bound=msgspec.Struct)


class DocumentTimes:
    """The instants of a document as `datetime`."""

    __slots__ = ()
    due_time_us: int | None
    create_time_us: int
    update_time_us: int

    @property
    def due_time(self) -> datetime | None:
        """When a transfer should arrive; when a fulfillment order should have left, or be ready."""
        return None if self.due_time_us is None else time_of(self.due_time_us)

    @property
    def create_time(self) -> datetime:
        """When it was made."""
        return time_of(self.create_time_us)

    @property
    def update_time(self) -> datetime:
        """When it last changed; of one that has ended, when it ended."""
        return time_of(self.update_time_us)


def quantities(kind: type[Quantity], lines: Sequence[SkuUnits], field: str) -> list[Quantity]:
    """Return units of skus as messages of a kind, checked."""
    return [
        kind(
            sku_id=checks.identifier(sku_id, f"{field}[{place}].sku_id"),
            quantity=checks.quantity(quantity, f"{field}[{place}].quantity"),
        )
        for place, (sku_id, quantity) in enumerate(lines)
    ]


def lines_in(message: Any, kind: type[Line]) -> tuple[Line, ...]:
    """Return the lines of a document; the fields of `kind` are a sku, the units asked for, and where they are."""
    stages = kind.__struct_fields__[2:]
    return tuple(
        kind(line.sku_id, line.quantity, **{stage: getattr(line, f"{stage}_quantity") for stage in stages})
        for line in message.lines
    )
