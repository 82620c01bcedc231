"""The history of movements: asked of a running engine, or read from journal and archive without one."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import Any, Final, NamedTuple

import grpc
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import stock_pb2 as stock
from onhand.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from rich.console import Console

from engine.api import fields
from engine.api.lookups import known_location, known_sku
from engine.api.stock.inventory import HistoryFilter, movements_of
from engine.operate.offline import Offline, beginnings
from engine.operate.terminal import CALL_SECONDS, as_dict, complain
from ledger.book import Book
from ledger.core.limits import PAGE_SIZE_MAX
from ledger.journal.entry import decode_entry

ABOUT: Final = ("reservation_id", "transfer_id", "reference", "actor")


class Wanted(NamedTuple):
    """Which movements are asked for; empty and 0 mean all."""

    sku_id: str
    location_id: str
    reservation_id: str
    from_seq: int
    limit: int


def history_online(channel: grpc.Channel, wanted: Wanted) -> list[dict[str, Any]]:
    """Return movements by ListMovements, page by page."""
    return [_row(movement) for movement in islice(_pages(InventoryServiceStub(channel), wanted), wanted.limit)]


def _pages(stub: InventoryServiceStub, wanted: Wanted) -> Iterator[stock.Movement]:
    request = inventory.ListMovementsRequest(
        page_size=min(wanted.limit, PAGE_SIZE_MAX),
        start_seq=wanted.from_seq,
        sku_id=wanted.sku_id,
        location_id=wanted.location_id,
        reservation_id=wanted.reservation_id,
    )
    while True:
        response = stub.ListMovements(request, timeout=CALL_SECONDS)
        if not request.page_token:
            _tell_gaps(wanted, response.first_seq, [(gap.first_seq, gap.last_seq) for gap in response.missing])
        yield from response.movements
        if not response.next_page_token:
            return
        request.page_token, request.start_seq = response.next_page_token, 0


def history_offline(offline: Offline, wanted: Wanted, console: Console) -> list[dict[str, Any]]:
    """Return movements as journal and archive have them; names are those of the recovered catalog.

    Raises
    ------
    RefusedError
        A sku or location that the catalog does not know.
    JournalError, OperatorError
        What is damaged, or kept no more.
    """
    last_seq = offline.journal.tail().last_seq
    scratch = next(beginnings(offline, last_seq, []))
    scratch.replay(offline, last_seq, console)
    return [_row(movement) for movement in islice(_movements(offline, scratch.book, wanted), wanted.limit)]


def _movements(offline: Offline, book: Book, wanted: Wanted) -> Iterator[stock.Movement]:
    selection = HistoryFilter(
        known_sku(book, wanted.sku_id, "sku") if wanted.sku_id else None,
        known_location(book, wanted.location_id, "location") if wanted.location_id else None,
        fields.reservation_number(wanted.reservation_id) if wanted.reservation_id else None,
    )
    ranges = offline.history.ranges()
    _tell_gaps(wanted, ranges[0][0], [(before + 1, after - 1) for (_, before), (after, _) in pairwise(ranges)])
    first_seq = wanted.from_seq or ranges[0][0]
    for last_seq, payload in offline.history.entries(first_seq - 1, across_gaps=first_seq >= ranges[0][0]):
        if last_seq > book.seq:
            return
        yield from movements_of(decode_entry(payload, None, last_seq)[0], book, selection, (first_seq, 0))


def _tell_gaps(wanted: Wanted, first_seq: int, gaps: Sequence[tuple[int, int]]) -> None:
    """Say where a history begins, and what is missing in it: it is never shorter without a word."""
    if max(wanted.from_seq, 1) < first_seq:
        complain(f"history: begins at seq {first_seq}; what was written before is not kept here")
    for first, last in gaps:
        if last >= wanted.from_seq:
            complain(f"history: seq {first} to {last} are not kept here: another engine wrote them and may have them")


def _row(movement: stock.Movement) -> dict[str, Any]:
    """Return a movement as a row, without the prefixes of the wire's names."""
    values = as_dict(movement)
    return {
        "seq": values.pop("seq"),
        "line": values.pop("line"),
        "time": values.pop("effective_time"),
        **values,
        "type": values["type"].removeprefix("MOVEMENT_TYPE_"),
        "unavailable_reason": values["unavailable_reason"]
        .removeprefix("UNAVAILABLE_REASON_")
        .replace("UNSPECIFIED", ""),
    }


def movement_as_read(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a movement in four columns, as they fit a screen: what it did in words, and what was said about it."""
    reason = f" ({row['unavailable_reason']})" if row["unavailable_reason"] else ""
    about = {name.removesuffix("_id"): row[name] for name in ABOUT if row[name]}
    return {
        "seq": f"{row['seq']}.{row['line']}" if row["line"] else str(row["seq"]),
        "time": row["time"].replace("T", " ").rstrip("Z").partition(".")[0],
        "movement": f"{row['type']}{reason} {row['quantity']:,} of {row['sku_id']} at {row['location_id']}",
        "about": ", ".join(f"{name} {value}" for name, value in about.items()),
    }
