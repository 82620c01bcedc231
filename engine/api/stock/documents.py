"""What requests about any kind of document have in common: units by sku, the command of a verb, instants, pages."""

from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from engine.api import fields
from engine.api.methods import Command, Line, Outcome
from engine.api.refusals import raise_refusal
from engine.api.stock.reservations import expected_version, notes_of
from ledger.book import Book
from ledger.core import limits
from ledger.core.documents import OPERATION_OF, mask_of
from ledger.core.limits import MICROSECONDS
from ledger.core.statuses import DocumentKind
from ledger.core.views import DocumentFilter, DocumentView

# Documents looked at for one page, and lines shown in one: a bounded pause of the writer.
SCAN_MAX: Final = 65_536
LINES_PER_PAGE_MAX: Final = 2_000
ANY: Final = -1
TIME_EXPECTED: Final = "a time after 1970-01-01T00:00:00Z and before the year 10000"


class Said(NamedTuple):
    """What a line of a request says."""

    sku_id: str
    quantity: int
    action: IntEnum
    reason: int = 0


def lines_of(said: Iterable[Said], field: str) -> list[Line]:
    """Check lines; those of one sku that say the same count together."""
    merged: dict[tuple[str, int, int], Line] = {}
    for position, one in enumerate(said):
        path = f"{field}[{position}]"
        fields.identifier(one.sku_id, f"{path}.sku_id")
        fields.quantity(one.quantity, f"{path}.quantity")
        line = Line(path, one.sku_id, "", one.quantity, kind=one.action, reason=one.reason)
        before = merged.setdefault((one.sku_id, one.action, one.reason), line)
        if before is not line:
            total = before.quantity + line.quantity
            fields.quantity_sum(total, f"{path}.quantity", f"{before.field}.quantity")
            merged[one.sku_id, one.action, one.reason] = before._replace(quantity=total)
    return list(merged.values())


def counted(items: Sequence[Any], field: str, *, at_least: int = 0) -> Sequence[Any]:
    """Check how many lines there are."""
    fields.count_of(items, field, limits.LINES_PER_DOCUMENT_MAX, at_least=at_least)
    return items


def units_of(items: Sequence[Any], action: IntEnum, field: str) -> list[Line]:
    """Check lines of which each says a sku and a quantity."""
    return lines_of((Said(item.sku_id, item.quantity, action) for item in items), field)


def verb_of(kind: DocumentKind, verb: IntEnum, request: Any, field: str, lines: Sequence[Line]) -> Command:
    """Return the command of a verb of a document that is there; `field` is that of its id."""
    return Command(
        OPERATION_OF[kind],
        [Line("", "", "", 0, kind=verb, reason=kind), *lines],
        fields.request_id(request.request_id),
        reservation_id=fields.document_number(getattr(request, field), field),
        expected_version=expected_version(request.expected_version),
        notes=notes_of(request),
    )


def time_us(value: Timestamp, field: str) -> int:
    """Check an instant; returns microseconds since the epoch, more than 0."""
    total = value.seconds * MICROSECONDS + value.nanos // 1000
    if not (0 < total <= limits.TIME_US_MAX and 0 <= value.nanos < fields.NANOSECONDS):
        fields.wrong(field, TIME_EXPECTED, value.seconds, "s")
    return total


def time_us_in(request: Any, field: str) -> int:
    """Check an instant that may be absent; returns microseconds since the epoch, 0 if it is."""
    return time_us(getattr(request, field), field) if request.HasField(field) else 0


def answer_verb(response_type: type[Any]) -> Callable[[Any, Sequence[Command], Sequence[Outcome], Book], Any]:
    """Return the function that answers a call which changed a document."""

    def answer(_: Any, commands: Sequence[Command], outcomes: Sequence[Outcome], book: Book) -> Any:
        outcome = outcomes[0]
        raise_refusal(commands[0], outcome, book)
        return response_type(state=outcome.state, version=outcome.version, seq=outcome.seq)

    return answer


# ---- reads -----------------------------------------------------------------------------------------------------------


def wanted_of(enum: type[IntEnum], values: Sequence[int], field: str) -> int:
    """Check which values of an enum are wanted, none for all; returns them as bits."""
    for position, value in enumerate(values):
        if int(value) not in tuple(enum):
            fields.wrong(f"{field}[{position}]", f"a value of {enum.__name__}", value)
    return mask_of({value for value in enum if value in values} or enum)


def listed(book: Book, size: int, slot: int, wanted: DocumentFilter) -> tuple[list[tuple[int, DocumentView]], str]:
    """Return a page of documents, `size` of them at most, and its token for the next one: empty if there is none."""
    ledger = book.ledger
    scan = ledger.scan_documents(slot, wanted, found_max=size, lines_max=LINES_PER_PAGE_MAX, visits_max=SCAN_MAX)
    token = str(scan.following) if scan.following < ledger.document_slots else ""
    return ledger.documents_at(scan.rows), token
