"""InventoryService: stock levels, facts, policies and the history of movements."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import compress, pairwise, product, repeat
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onhand.identifiers import are_plain
from onhand.inventory.v1 import inventory_service_pb2 as service
from onhand.inventory.v1 import stock_pb2 as messages
from onhand.rules.checks import document_name, reservation_name

from engine.api import fields
from engine.api.lookups import known_location, known_sku, known_skus, own_document, own_number
from engine.api.methods import (
    Command,
    Line,
    Outcome,
    ReadHandler,
    StockHandler,
    Surroundings,
    Work,
    at_once,
    service_methods,
)
from engine.api.refusals import raise_refusal
from engine.api.stock.reservations import notes_of
from engine.errors import RefusedError, invalid
from ledger.book import Book
from ledger.core import limits
from ledger.core.movements import IS_SHOWN, LEAVES, MOVEMENTS, OF_REASON, ROW_OF
from ledger.core.operations import ADVANCES_DOCUMENT, IS_OWN, those_with
from ledger.core.records import IS_OVERSOLD, SETS_BACKORDER_LIMIT, SETS_SAFETY_STOCK, VALIDATE_ONLY, Group
from ledger.core.statuses import Kind, Operation, Unavailable
from ledger.core.views import LevelView
from ledger.journal.entry import Entry

# What is looked at for one page of a filtered list: a bounded pause of the writer. A kernel looks at levels, Python at
# those of them that may be suspects.
LEVELS_SCANNED_MAX: Final = 200_000
SUSPECTS_SCANNED_MAX: Final = 16_384
ENTRIES_SCANNED_MAX: Final = 64
PAIRS_PER_SLICE: Final = 2_048
"""Skus times locations that are told without a break."""
MOVEMENTS_SCANNED_MAX: Final = 65_536

ANY: Final = -1
"""Sku or location of a list that is not narrowed by it."""
Type = messages.MovementType


def _type_of(name: str) -> int:
    return Type.Value(f"MOVEMENT_TYPE_{name}")


# What callers may record, and the kind it becomes.
RECORDABLE: Final[Mapping[int, Kind]] = {
    **{_type_of(row.shown): row.kind for row in MOVEMENTS if row.is_recordable},
    **{_type_of(name): kind for name, (kind, _) in OF_REASON.items()},
}
# Types that stand for a reason, those that need one, and those that may have one.
REASON_OF_TYPE: Final[Mapping[int, Unavailable]] = {_type_of(name): reason for name, (_, reason) in OF_REASON.items()}
NEEDS_REASON: Final = {type_ for type_, kind in RECORDABLE.items() if ROW_OF[kind].needs_reason}
TAKES_REASON: Final = {type_ for type_, kind in RECORDABLE.items() if ROW_OF[kind].takes_reason}
# How the history shows a kind; policies and new levels move nothing and are left out.
SHOWN: Final[Mapping[int, int]] = {row.kind: _type_of(row.shown) for row in MOVEMENTS if row.shown}
SHOWN_WITH_REASON: Final[Mapping[tuple[int, int], int]] = {
    (kind, reason): _type_of(name) for name, (kind, reason) in OF_REASON.items()
}
HAS_OWN_TIME: Final = those_with(IS_OWN)
IS_OF_DOCUMENT: Final = those_with(ADVANCES_DOCUMENT)
# Every type of the contract is one that the history shows, and reasons have the same numbers.
assert {*SHOWN.values(), *SHOWN_WITH_REASON.values()} == {*Type.values()} - {Type.MOVEMENT_TYPE_UNSPECIFIED}
assert {name.removeprefix("UNAVAILABLE_REASON_"): value for name, value in messages.UnavailableReason.items()} == {
    "UNSPECIFIED": 0,
    **{reason.name: reason.value for reason in Unavailable},
}


# ---- facts -----------------------------------------------------------------------------------------------------------


def movement_line(item: service.NewMovement, field: str) -> Line:
    """Check one movement to record."""
    type_, sku_id, location_id, target, amount = (
        item.type,
        item.sku_id,
        item.location_id,
        item.to_location_id,
        item.quantity,
    )
    kind = RECORDABLE.get(type_)
    if kind is None:
        fields.wrong(f"{field}.type", "a movement type that is not output only", _type_name(type_))
        return checked_names(Line(field, sku_id, location_id, amount))
    row = ROW_OF[kind]
    if row.is_signed:
        fields.signed_quantity(amount, f"{field}.quantity")
    elif not 0 < amount <= limits.QUANTITY_MAX:
        fields.quantity(amount, f"{field}.quantity")
    if row.arrives_as:
        fields.identifier(target, f"{field}.to_location_id")
        if target == location_id:
            fields.wrong(f"{field}.to_location_id", "another location than location_id", target)
    elif target:
        fields.wrong(f"{field}.to_location_id", "nothing: only a TRANSFER has it", target)
    reason = REASONS_GIVEN.get((type_, item.unavailable_reason))
    line = Line(field, sku_id, location_id, amount, target, kind, reason or 0)
    if not are_plain(sku_id, location_id):
        checked_names(line)
    return line if reason is not None else line._replace(reason=reason_of(item, field))


def checked_names(line: Line) -> Line:
    """Check the names of a movement."""
    fields.identifier(line.sku_id, line.path("sku_id"))
    fields.identifier(line.location_id, line.path("location_id"))
    return line


def _type_name(value: int) -> str | int:
    return Type.Name(value) if value in Type.values() else value


def reason_of(item: service.NewMovement, field: str) -> int:
    """Check the unavailable reason that a movement has, must have, or must not have."""
    reason = int(item.unavailable_reason)
    name = f"{field}.unavailable_reason"
    if (only := REASON_OF_TYPE.get(item.type)) is not None:
        if reason not in (0, only):
            fields.wrong(name, f"nothing, or {only.name}", reason)
        return only
    if reason and reason not in tuple(Unavailable):
        fields.wrong(name, "a reason of UnavailableReason", reason)
    if item.type in NEEDS_REASON and not reason:
        fields.wrong(name, "a reason", reason)
    if reason and item.type not in TAKES_REASON:
        fields.wrong(name, f"nothing for {_type_name(item.type)}", reason)
    return reason


def _reasons_given() -> Iterator[tuple[tuple[int, int], int]]:
    for kind, reason in product(RECORDABLE, messages.UnavailableReason.values()):
        with suppress(RefusedError):
            yield (kind, reason), reason_of(service.NewMovement(type=kind, unavailable_reason=reason), "")  # type: ignore[arg-type]  # enums are ints


REASONS_GIVEN: Final[Mapping[tuple[int, int], int]] = dict(_reasons_given())
"""What a movement of a type gets for the reason it names, where `reason_of` takes that."""


def read_movements(request: service.RecordMovementsRequest) -> list[Command]:
    """Check RecordMovements."""
    fields.count_of(request.movements, "movements", limits.MOVEMENTS_PER_CALL_MAX)
    lines = [movement_line(item, f"movements[{position}]") for position, item in enumerate(request.movements)]
    return [Command(Operation.RECORD_MOVEMENTS, lines, fields.request_id(request.request_id), notes=notes_of(request))]


def read_counts(request: service.SetOnHandRequest) -> list[Command]:
    """Check SetOnHand."""
    fields.count_of(request.counts, "counts", limits.MOVEMENTS_PER_CALL_MAX)
    lines = [
        Line(
            f"counts[{position}]",
            fields.identifier(item.sku_id, f"counts[{position}].sku_id"),
            fields.identifier(item.location_id, f"counts[{position}].location_id"),
            fields.quantity(item.on_hand, f"counts[{position}].on_hand", at_least=0),
        )
        for position, item in enumerate(request.counts)
    ]
    fields.unique(((line.sku_id, line.location_id) for line in lines), "counts")
    return [
        Command(
            Operation.SET_ON_HAND,
            lines,
            fields.request_id(request.request_id),
            flags=VALIDATE_ONLY if request.validate_only else 0,
            notes=notes_of(request),
        )
    ]


def read_policy(request: service.SetStockPolicyRequest) -> list[Command]:
    """Check SetStockPolicy."""
    sets_safety, sets_backorder = request.HasField("safety_stock"), request.HasField("backorder_limit")
    if not sets_safety and not sets_backorder:
        fields.wrong("safety_stock", "a value here or in backorder_limit", "neither")
    line = Line(
        "",
        fields.identifier(request.sku_id, "sku_id"),
        fields.identifier(request.location_id, "location_id"),
        fields.quantity(request.safety_stock, "safety_stock", at_least=0),
        to_quantity=fields.quantity(request.backorder_limit, "backorder_limit", at_least=0),
    )
    flags = (SETS_SAFETY_STOCK if sets_safety else 0) | (SETS_BACKORDER_LIMIT if sets_backorder else 0)
    return [
        Command(
            Operation.SET_POLICY, [line], fields.request_id(request.request_id), flags=flags, notes=notes_of(request)
        )
    ]


def oversold_levels(outcome: Outcome, book: Book) -> list[service.OversoldLevel]:
    """Return the levels that a fact left oversold."""
    if not outcome.flags & IS_OVERSOLD:
        return []
    return [
        service.OversoldLevel(sku_id=sku_id, location_id=location_id, oversold=units)
        for (sku_id, location_id), units in zip(
            book.ledger.level_names(outcome.details["level"]), outcome.details["quantity"].tolist(), strict=True
        )
    ]


def answer_fact(response_type: type[Any]) -> Any:
    """Return the function that answers RecordMovements or SetOnHand."""

    def answer(_: Any, commands: Sequence[Command], outcomes: Sequence[Outcome], book: Book) -> Any:
        command, outcome = commands[0], outcomes[0]
        raise_refusal(command, outcome, book)
        return response_type(
            applied_oversold=bool(outcome.flags & IS_OVERSOLD),
            oversold_levels=oversold_levels(outcome, book),
            seq=outcome.seq,
        )

    return answer


def answer_policy(
    _: service.SetStockPolicyRequest, commands: Sequence[Command], outcomes: Sequence[Outcome], book: Book
) -> service.SetStockPolicyResponse:
    """Answer SetStockPolicy."""
    raise_refusal(commands[0], outcomes[0], book)
    return service.SetStockPolicyResponse(seq=outcomes[0].seq)


# ---- reads -----------------------------------------------------------------------------------------------------------


def places_of(request: service.BatchGetAvailabilityRequest, book: Book) -> Sequence[int]:
    """Return the indexes of the locations that a request means."""
    if request.location_ids and request.location_group:
        fields.wrong("location_group", "nothing where location_ids are given", request.location_group)
    if request.location_group:
        members = book.catalog.group_members(fields.identifier(request.location_group, "location_group"))
        if not members:
            fields.unknown("LOCATION_NOT_FOUND", "location_group", "location_group", request.location_group)
        return members
    if request.location_ids:
        fields.unique(request.location_ids, "location_ids")
        return [
            known_location(book, name, f"location_ids[{position}]")
            for position, name in enumerate(request.location_ids)
        ]
    return range(len(book.catalog.locations))


def pairs_of(request: service.BatchGetAvailabilityRequest, book: Book) -> tuple[NDArray[np.int64], Sequence[int]]:
    """Return the indexes of the skus and of the locations that a request means."""
    most = limits.AVAILABILITY_TOTALS_PER_CALL_MAX if request.totals_only else limits.AVAILABILITY_PAIRS_PER_CALL_MAX
    fields.count_of(request.sku_ids, "sku_ids", most)
    fields.count_of(request.location_ids, "location_ids", most, at_least=0)
    places = places_of(request, book)
    pairs = len(request.sku_ids) * len(places)
    if pairs > most:
        raise invalid("sku_ids", f"at most {most} skus times locations", pairs)
    return known_skus(book, request.sku_ids, "sku_ids"), places


def get_availability(
    request: service.BatchGetAvailabilityRequest, around: Surroundings
) -> service.BatchGetAvailabilityResponse | Work[service.BatchGetAvailabilityResponse]:
    """Answer BatchGetAvailability: all is read at once, and told in slices where that takes long."""
    book = around.book
    skus, places = fields.in_full(pairs_of, request, book)
    pairs = len(skus) * len(places)
    active = np.array([place for place in places if book.ledger.is_location_active(place)], np.int64)
    read = book.ledger.availability(skus, active)
    if request.totals_only:
        return tell_totals(request.sku_ids, read[1], book.seq)
    names = [book.ledger.location_id(place) for place in active.tolist()]
    told = tell_availability(request.sku_ids, names, read, book.seq)
    return told if pairs > PAIRS_PER_SLICE else at_once(told)


def tell_totals(sku_ids: Sequence[str], available: NDArray[np.int64], seq: int) -> service.BatchGetAvailabilityResponse:
    """Tell of some skus what all locations together can promise: shape (skus, locations)."""
    response = service.BatchGetAvailabilityResponse(seq=seq)
    for sku_id, total in zip(sku_ids, np.maximum(available, 0).sum(axis=1).tolist(), strict=True):
        response.skus.add(sku_id=sku_id, available=total)
    return response


def tell_availability(
    sku_ids: Sequence[str], names: Sequence[str], read: Sequence[NDArray[np.int64]], seq: int
) -> Work[service.BatchGetAvailabilityResponse]:
    """Tell what was read of some skus at the locations of some names, in slices of PAIRS_PER_SLICE."""
    rows, available, oversold = read
    np.maximum(available, 0, out=available)
    response = service.BatchGetAvailabilityResponse(seq=seq)
    add = response.skus.add
    left = PAIRS_PER_SLICE
    for sku_id, total, stocked, units, excess in zip(
        sku_ids,
        available.sum(axis=1).tolist(),
        (rows >= 0).tolist(),
        available.tolist(),
        oversold.tolist(),
        strict=True,
    ):
        add_location = add(sku_id=sku_id, available=total).locations.add
        for place in compress(range(len(names)), stocked):
            add_location(location_id=names[place], available=units[place], oversold=excess[place])
        left -= max(1, len(names))
        if left <= 0:
            left = PAIRS_PER_SLICE
            yield None
    return response


def describe_level(book: Book, sku: int, location: int, view: LevelView) -> messages.StockLevel:
    """Return a stock level as callers see it."""
    unavailable = sum(view.unavailable.values())
    free = view.on_hand - unavailable - view.reserved - view.committed
    is_active = book.ledger.is_location_active(location)
    level = messages.StockLevel(
        sku_id=book.ledger.sku_id(sku),
        location_id=book.ledger.location_id(location),
        on_hand=view.on_hand,
        unavailable=unavailable,
        reserved=view.reserved,
        committed=view.committed,
        safety_stock=view.safety_stock,
        backorder_limit=view.backorder_limit,
        available=max(0, free - view.safety_stock + view.backorder_limit) if is_active else 0,
        oversold=max(0, -free - view.backorder_limit),
    )
    for reason, units in view.unavailable.items():
        level.unavailable_by_reason.add(reason=reason, quantity=units)
    if (suspect_us := book.rejections.suspects.get((sku, location))) is not None:
        fields.set_time(level.suspect_time, suspect_us)
    return level


def _level_of(request: service.GetStockLevelRequest, book: Book) -> tuple[int, int]:
    """Return the indexes of the sku and of the location that are wanted."""
    return known_sku(book, request.sku_id, "sku_id"), known_location(book, request.location_id, "location_id")


def get_level(request: service.GetStockLevelRequest, around: Surroundings) -> service.GetStockLevelResponse:
    """Answer GetStockLevel."""
    book = around.book
    sku, location = fields.in_full(_level_of, request, book)
    view = book.ledger.level(sku, location)
    if view is None:
        raise RefusedError(
            "NOT_STOCKED_HERE",
            f"sku_id: {request.sku_id} is not stocked at {request.location_id}.",
            metadata={"sku": request.sku_id, "location": request.location_id},
        )
    return service.GetStockLevelResponse(stock_level=describe_level(book, sku, location, view), seq=book.seq)


def _levels_of(request: service.ListStockLevelsRequest, book: Book) -> tuple[int, int, int, int]:
    """Return the size of a page, where it begins, and the sku and location that are wanted."""
    return (
        *fields.page_of(request),
        known_sku(book, request.sku_id, "sku_id") if request.sku_id else ANY,
        known_location(book, request.location_id, "location_id") if request.location_id else ANY,
    )


def list_levels(request: service.ListStockLevelsRequest, around: Surroundings) -> service.ListStockLevelsResponse:
    """Answer ListStockLevels: rows in their order, a bounded number a call."""
    book, ledger = around.book, around.book.ledger
    size, start, sku, location = fields.in_full(_levels_of, request, book)
    scan = ledger.scan_levels(
        start,
        sku=sku,
        location=location,
        found_max=SUSPECTS_SCANNED_MAX if request.suspect_only else size,
        visits_max=LEVELS_SCANNED_MAX,
    )
    rows, following = scan.rows, scan.following
    if request.suspect_only:
        rows, following = _suspects_of(rows, size, following, book)
    skus, locations = ledger.keys_of(rows)
    levels = map(describe_level, repeat(book), skus.tolist(), locations.tolist(), ledger.levels_at(rows))
    token = str(following) if following < ledger.level_count else ""
    return service.ListStockLevelsResponse(stock_levels=levels, next_page_token=token, seq=book.seq)


def _suspects_of(rows: NDArray[np.int64], size: int, following: int, book: Book) -> tuple[NDArray[np.int64], int]:
    """Return those of some levels that wait to be counted, and where the next page begins."""
    skus, locations = book.ledger.keys_of(rows)
    is_suspect = map(book.rejections.suspects.__contains__, zip(skus.tolist(), locations.tolist(), strict=True))
    suspects = rows[np.fromiter(is_suspect, bool, len(rows))]
    if len(suspects) > size:
        following = int(suspects[size])
    return suspects[:size], following


# ---- history ---------------------------------------------------------------------------------------------------------


class HistoryFilter(NamedTuple):
    """Which movements of the history a caller wants; None means all."""

    sku: int | None
    location: int | None
    reservation: int | None
    transfer: int | None = None
    fulfillment_order: int | None = None
    reference: str | None = None


def select(
    entry: Entry, group: Group, book: Book, wanted: HistoryFilter, first: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Select the movements of a journal entry from a seq and line on: their places, their records, and their lines."""
    counts = group.records["line_count"].astype(np.int64)
    record = np.repeat(np.arange(len(counts)), counts)
    seq = record + group.first_seq
    movements = group.movements
    is_shown = IS_SHOWN[movements["kind"]] & (movements["quantity"] != 0)
    before = np.cumsum(is_shown) - is_shown  # movements shown before each one
    line = before - np.repeat(np.append(before, 0)[np.cumsum(counts) - counts], counts)
    chosen = is_shown & ((seq > first[0]) | ((seq == first[0]) & (line >= first[1])))
    if wanted.sku is not None or wanted.location is not None:
        skus, locations = book.ledger.keys_of(movements["level"])
        for column, value in ((skus, wanted.sku), (locations, wanted.location)):
            if value is not None:
                chosen &= column == value
    operations = group.records["operation"][record]
    for owner, is_of_owner in (
        (wanted.reservation, ~IS_OF_DOCUMENT[operations]),
        (wanted.transfer, operations == Operation.ADVANCE),
        (wanted.fulfillment_order, operations == Operation.ADVANCE_FULFILLMENT),
    ):
        if owner is not None:
            chosen &= is_of_owner & (group.records["reservation_id"][record] == owner)
    if wanted.reference is not None:
        own = [place for place, reference, _ in entry.notes if reference == wanted.reference]
        chosen &= np.isin(record, own)
    at = np.flatnonzero(chosen)
    return at, record[at], line[at]


def movements_of(
    entry: Entry, book: Book, wanted: HistoryFilter, first: tuple[int, int], most: int | None = None
) -> Iterator[messages.Movement]:
    """Give the wanted movements of a journal entry from a seq and line on, `most` of them."""
    group = entry.group()
    at, records, lines = (column[:most] for column in select(entry, group, book, wanted, first))
    own, causes = group.movements[at], group.records[records]
    has_own_time = HAS_OWN_TIME[causes["operation"]]
    columns = (
        records,
        lines,
        own["kind"],
        own["reason"],
        own["quantity"],
        causes["reservation_id"],
        causes["operation"],
        np.where(has_own_time, causes["time_us"], entry.time_us),
    )
    notes = {position: (reference, actor) for position, reference, actor in entry.notes}
    for record, line, kind, reason, quantity, owner, operation, time_us, (sku_id, location_id) in zip(
        *(column.tolist() for column in columns), book.ledger.level_names(own["level"]), strict=True
    ):
        reference, actor = notes.get(record, ("", ""))
        movement = messages.Movement(
            seq=group.first_seq + record,
            line=line,
            type=shown_type(kind, reason),  # type: ignore[arg-type]  # values of the wire
            sku_id=sku_id,
            location_id=location_id,
            quantity=-quantity if LEAVES[kind] else quantity,
            unavailable_reason=reason,
            reservation_id=reservation_name(owner) if owner and not IS_OF_DOCUMENT[operation] else "",
            transfer_id=document_name(owner) if operation == Operation.ADVANCE else "",
            fulfillment_order_id=document_name(owner) if operation == Operation.ADVANCE_FULFILLMENT else "",
            reference=reference,
            actor=actor,
        )
        fields.set_time(movement.effective_time, time_us)
        yield movement


def shown_type(kind: int, reason: int) -> int:
    """Return the movement type that the history shows."""
    return SHOWN_WITH_REASON.get((kind, reason)) or SHOWN[kind]


def _history_of(request: service.ListMovementsRequest, book: Book) -> tuple[int, tuple[int, int], HistoryFilter]:
    """Return the size of a page, the seq and line at which it begins, and which movements are wanted."""
    size = fields.page_size(request.page_size)
    if request.page_token and request.start_seq:
        fields.wrong("start_seq", "0 with a page_token", request.start_seq)
    if request.start_seq < 0:
        fields.wrong("start_seq", "0 or more", request.start_seq)
    first = fields.history_start(request.page_token) if request.page_token else (request.start_seq, 0)
    wanted = HistoryFilter(
        known_sku(book, request.sku_id, "sku_id") if request.sku_id else None,
        known_location(book, request.location_id, "location_id") if request.location_id else None,
        own_number(book, request.reservation_id) if request.reservation_id else None,
        own_document(book, request.transfer_id, "transfer_id") if request.transfer_id else None,
        _fulfillment_order_of(request, book),
        fields.text(request.reference, "reference", limits.REFERENCE_BYTES_MAX) or None,
    )
    return size, first, wanted


def _fulfillment_order_of(request: service.ListMovementsRequest, book: Book) -> int | None:
    named = request.fulfillment_order_id
    return own_document(book, named, "fulfillment_order_id") if named else None


def list_movements(request: service.ListMovementsRequest, around: Surroundings) -> service.ListMovementsResponse:
    """Answer ListMovements from a bounded number of journal entries a call."""
    book = around.book
    size, first, wanted = fields.in_full(_history_of, request, book)
    ranges = around.kept_ranges()
    kept = ranges[0][0]
    if 0 < first[0] < kept:
        raise RefusedError(
            "HISTORY_TRIMMED",
            f"start_seq: expected {kept} or more, was {first[0]}: older movements are not kept.",
            metadata={"first_seq": str(kept)},
        )
    gaps = [
        service.MissingPositions(first_seq=before + 1, last_seq=after - 1)
        for (_, before), (after, _) in pairwise(ranges)
    ]
    response = service.ListMovementsResponse(seq=book.seq, first_seq=kept, missing=gaps)
    following = max(first, (kept, 0))
    scanned = page_bytes = 0
    for entry in around.history(following[0], ENTRIES_SCANNED_MAX):
        for movement in movements_of(entry, book, wanted, following, size - len(response.movements) + 1):
            if len(response.movements) >= size or page_bytes > fields.PAGE_BYTES_MAX:
                response.next_page_token = f"{movement.seq}-{movement.line}"
                return response
            response.movements.append(movement)
            page_bytes += movement.ByteSize()
        following = entry.last_seq + 1, 0
        scanned += entry.movement_count
        if scanned > MOVEMENTS_SCANNED_MAX:
            break
    if following[0] <= book.seq:
        response.next_page_token = f"{following[0]}-0"
    return response


METHODS: Final = service_methods(
    service.DESCRIPTOR.services_by_name["InventoryService"],
    {
        "BatchGetAvailability": ReadHandler(get_availability),
        "GetStockLevel": ReadHandler(get_level),
        "ListStockLevels": ReadHandler(list_levels),
        "RecordMovements": StockHandler(
            read_movements,
            answer_fact(service.RecordMovementsResponse),
        ),
        "SetOnHand": StockHandler(read_counts, answer_fact(service.SetOnHandResponse)),
        "SetStockPolicy": StockHandler(read_policy, answer_policy),
        "ListMovements": ReadHandler(list_movements),
    },
)
