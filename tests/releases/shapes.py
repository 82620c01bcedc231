"""The shape of all that is journaled or in snapshots, as text: it may not change without another format."""

from collections.abc import Iterator
from enum import IntEnum
from typing import Any, get_args

import msgspec
import numpy as np

from engine.api.routing.told_again import KeptRefusal
from ledger.archive import Segment
from ledger.core import records, state, statuses
from ledger.core.ledger import Ledger
from ledger.formats import FORMAT
from ledger.journal.entry import Entry
from ledger.parts import planned
from ledger.parts.network import NetworkImage
from ledger.parts.plans import PlansImage
from ledger.parts.registry import CHANGES, KINDS
from ledger.parts.rejections import RejectionsImage
from ledger.parts.views import ViewsImage
from ledger.sealed import Contents
from ledger.snapshot import Snapshot

NOT_KEPT = ("COMMAND", "LINE", "OUTCOME", "DETAIL")
"""What goes into a ledger and comes out, and is in no file."""


def shapes() -> str:
    """Return them, a line each."""
    return "\n".join([f"format {FORMAT}", *_structs(), *_parts(), *_dtypes(), *_columns(), *_enums()]) + "\n"


def _structs() -> Iterator[str]:
    """Yield what every struct says, and those in it."""
    own_words = KeptRefusal  # of the engine, in what the ledger does not look into
    waiting: list[Any] = [
        *(Entry, Snapshot, Segment, Contents, own_words),
        *(NetworkImage, PlansImage, RejectionsImage, ViewsImage),
        *CHANGES,
    ]
    seen: dict[str, str] = {}
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__name__ not in seen:
            own = msgspec.structs.fields(kind)
            shown = ", ".join(f"{field.name}: {_name(field.type)}" for field in own)
            seen[kind.__name__] = f"{kind.__name__} {kind.__struct_config__.tag or ''}({shown})"
            waiting += [field.type for field in own]
        elif isinstance(kind, type) and issubclass(kind, tuple) and kind.__name__ not in seen and kind is not tuple:
            shown = ", ".join(f"{name}: {_name(each)}" for name, each in kind.__annotations__.items())
            seen[kind.__name__] = f"{kind.__name__}({shown})"
            waiting += kind.__annotations__.values()
        waiting += get_args(kind)
    yield from (seen[name] for name in sorted(seen))


def _name(kind: Any) -> str:
    inner = get_args(kind)
    if not inner:
        return getattr(kind, "__name__", str(kind))
    origin = getattr(getattr(kind, "__origin__", None), "__name__", "one of")
    return f"{origin}[{', '.join(map(_name, inner))}]"


def _parts() -> Iterator[str]:
    for kind in KINDS:
        yield f"part {kind.name}: " + ", ".join(change.__name__ for change in kind.changes)


def _dtypes() -> Iterator[str]:
    for module in (records, state, planned):
        for name, value in sorted(vars(module).items()):
            if isinstance(value, np.dtype) and value.fields and name not in NOT_KEPT:
                yield f"{name} {value.itemsize}: " + ", ".join(
                    f"{field} {kind.str} at {offset}" for field, (kind, offset) in value.fields.items()
                )


def _columns() -> Iterator[str]:
    """Yield what a ledger's image has, and what its columns' rows are."""
    ledger = Ledger(request_window_us=1, retention_us=1)
    yield "image: " + ", ".join(sorted(ledger.image()))
    for name, column in ledger._state._asdict().items():
        if name == "wheel_stretches":  # in no image: it follows from the wheel
            continue
        indexed = column._asdict() if isinstance(column, tuple) else {"": column}
        for own, array in indexed.items():
            rows = "rows" if array.dtype.fields else array.dtype.str
            yield f"column {name}{own and '.'}{own}: {rows} {array.shape[1:]}"


def _enums() -> Iterator[str]:
    for name, kind in sorted(vars(statuses).items()):
        if isinstance(kind, type) and issubclass(kind, IntEnum) and kind is not IntEnum:
            yield f"{name}: " + ", ".join(f"{member.name} {member.value}" for member in kind)
