"""What each violation means, and the calls that make up for it: one function for each invariant, in one table.

All calls go through the API, so they are journaled, checked and repeatable like any other. They make right what can be
promised; which of two columns that contradict each other is the wrong one, no call can know.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple

from google.protobuf.message import Message
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.inventory.v1 import stock_pb2 as stock

from ledger.book import Book
from ledger.core.statuses import ReservationState
from ledger.core.views import LevelView, Violation

LEVELS_SHOWN_MAX: Final = 100
"""Of one sku, to be counted."""
NO_CALL: Final = "No call can change this: keep the data folder and report it."
Name = tuple[str, str]
"""Sku id and location id of a stock level."""


class Change(NamedTuple):
    """One figure that a correction changes."""

    what: str
    was: int
    becomes: int


class Correction(NamedTuple):
    """What could be done about one violation."""

    meaning: str
    correction: str
    calls: Sequence[Message] = ()
    """Requests to an engine, in order. A count has 0 where a person has to say what was counted."""
    changes: Sequence[Change] = ()


def corrections_of(violations: Sequence[Violation], book: Book) -> list[Correction]:
    """Return for each violation of a book what it means and what could be done."""
    uneven = {found.subject for found in violations if found.invariant == "units_are_conserved"}
    return [_correction_of(found, book, uneven) for found in violations]


def _correction_of(found: Violation, book: Book, uneven: Collection[str]) -> Correction:
    """Return it for one; `uneven` are the skus whose units do not add up."""
    if found.invariant in OTHERS:
        return OTHERS[found.invariant](found, book)
    (name,) = levels_of(found, book)
    view = level_named(name, book)
    if view is None:
        return lost_level(found, book)
    if found.invariant in HELD:
        return wrongly_held(found, book, name, view, is_even=name[0] not in uneven)
    return LEVELS[found.invariant](book, name, view)


# ---- stock levels ----------------------------------------------------------------------------------------------------


def levels_of(found: Violation, book: Book) -> list[Name]:
    """Return the levels that a violation is about: all of a sku's, where it names a sku."""
    words = found.subject.split(" at ")
    for place in range(1, len(words)):
        name = " at ".join(words[:place]), " at ".join(words[place:])
        if book.catalog.sku(name[0]) and book.catalog.location(name[1]):
            return [name]
    if not book.catalog.sku(found.subject):
        return []
    locations = (location.location_id for location in book.catalog.locations)
    stocked = [(found.subject, location) for location in locations if level_named((found.subject, location), book)]
    return stocked[:LEVELS_SHOWN_MAX]


def level_named(name: Name, book: Book) -> LevelView | None:
    """Return a stock level; None if there is none, or its index does not find it."""
    return book.ledger.level(book.ledger.sku_index(name[0]), book.ledger.location_index(name[1]))


def available(name: Name, book: Book) -> int:
    """Return what a hold could get: as the columns say, not as they should."""
    return book.ledger.available(book.ledger.sku_index(name[0]), book.ledger.location_index(name[1])) or 0


def wrongly_held(found: Violation, book: Book, name: Name, view: LevelView, *, is_even: bool) -> Correction:
    """Correct a level that keeps back more, or fewer, units than its reservations hold."""
    surplus = found.actual - found.expected
    meaning = f"{found.actual} units are {HELD[found.invariant]}, the reservations hold {found.expected}: "
    if surplus > 0:
        meaning += f"{surplus} units are kept back for nobody and cannot be sold."
    else:
        meaning += f"{-surplus} units that somebody holds can be promised to others."
    adjust = _movement(name, stock.MOVEMENT_TYPE_ADJUST, surplus)
    if not is_even:
        correction = f"The units of the sku do not add up either: count the level first, then adjust by {surplus:+d}."
        return Correction(meaning, correction, [_count([name]), adjust])
    was = available(name, book)
    return Correction(
        meaning,
        f"Adjust by {surplus:+d}. on_hand is off by as much from then on: do not count the level.",
        [adjust],
        [
            Change(_figure(name, "available"), was, was + surplus),
            Change(_figure(name, "on_hand"), view.on_hand, view.on_hand + surplus),
        ],
    )


def lost_units(found: Violation, book: Book) -> Correction:
    """Correct a sku of which units came or went without a movement."""
    lost = found.expected - found.actual
    meaning = f"{abs(lost)} units {'went' if lost > 0 else 'came'} without a movement."
    return Correction(
        meaning,
        "Count the sku wherever it is stocked. The levels are right then; the sum stays off and is reported.",
        [_count(levels_of(found, book))],
    )


def wrong_floor(book: Book, name: Name, view: LevelView) -> Correction:
    """Correct a level whose floor does not follow from its policy."""
    units = view.on_hand - sum(view.unavailable.values()) - view.reserved - view.committed
    was, becomes = available(name, book), units - view.safety_stock + view.backorder_limit
    safety_stock = view.safety_stock - (becomes - was)
    backorder_limit = view.backorder_limit + max(0, -safety_stock)
    policy = inventory.SetStockPolicyRequest(
        sku_id=name[0], location_id=name[1], safety_stock=max(0, safety_stock), backorder_limit=backorder_limit
    )
    return Correction(
        f"{was} units can be promised; with the safety stock and backorder limit shown it would be {becomes}.",
        "Set a policy that makes up for the difference.",
        [policy],
        [
            Change(_figure(name, "available"), was, becomes),
            Change(_figure(name, "safety_stock"), view.safety_stock, policy.safety_stock),
            Change(_figure(name, "backorder_limit"), view.backorder_limit, backorder_limit),
        ],
    )


def negative_unavailable(book: Book, name: Name, view: LevelView) -> Correction:
    """Correct a level of which fewer than no units are unavailable for a reason."""
    negative = {reason: -units for reason, units in view.unavailable.items() if units < 0}
    calls = [_movement(name, stock.MOVEMENT_TYPE_MARK_UNAVAILABLE, units, reason) for reason, units in negative.items()]
    was, total = available(name, book), sum(negative.values())
    return Correction(
        f"{total} units too many are free: they were made available without having been unavailable.",
        "Mark as many unavailable, so that none are left. This is exact.",
        calls,
        [Change(_figure(name, "available"), was, was - total)],
    )


def lost_level(found: Violation, _: Book) -> Correction:
    """Say what a level means that its index does not find."""
    return Correction(f"{found.subject} is there, but calls do not find it: NOT_STOCKED_HERE.", NO_CALL)


def _figure(name: Name, figure: str) -> str:
    return f"{name[0]} at {name[1]}: {figure}"


def _movement(name: Name, kind: int, quantity: int, reason: int = 0) -> inventory.RecordMovementsRequest:
    movement = inventory.NewMovement(
        type=kind,  # type: ignore[arg-type]  # values of the wire
        sku_id=name[0],
        location_id=name[1],
        quantity=quantity,
        unavailable_reason=reason,  # type: ignore[arg-type]  # the same
    )
    return inventory.RecordMovementsRequest(movements=[movement])


def _count(names: Sequence[Name]) -> inventory.SetOnHandRequest:
    counts = [inventory.OnHandCount(sku_id=sku_id, location_id=location_id) for sku_id, location_id in names]
    return inventory.SetOnHandRequest(counts=counts)


# ---- reservations ----------------------------------------------------------------------------------------------------


def wrong_open(found: Violation, book: Book) -> Correction:
    """Correct a reservation with open units that its state forbids, or more than it was made for."""
    return _ended(found, book, "holds units that its state, or what it was made for, does not allow")


def wrong_list(found: Violation, book: Book) -> Correction:
    """Correct a reservation that is not where its end would be noticed."""
    return _ended(found, book, "is not in the list that its end is found by: it may stay for ever")


def _ended(found: Violation, book: Book, problem: str) -> Correction:
    """Return the call that ends a reservation, if it has not ended."""
    name = found.subject.removeprefix("reservation ")
    view = book.ledger.reservation(int(name, 16))
    if view is None or view.state not in (ReservationState.ACTIVE, ReservationState.COMMITTED):
        return Correction(f"{found.subject}, which has ended, {problem}. No stock is concerned.", NO_CALL)
    meaning = f"{found.subject}, which is {view.state.name}, {problem}."
    changes = [
        Change(f"{name}: open units of {book.ledger.sku_id(line.sku)}", line.open, 0)
        for line in view.lines
        if line.open
    ]
    if view.state is ReservationState.ACTIVE:
        return Correction(
            meaning,
            "Release it; whoever has the cart reserves again.",
            [reservations.ReleaseReservationRequest(reservation_id=name)],
            changes,
        )
    return Correction(
        meaning,
        "Cancel what is open, and place the order again.",
        [reservations.CancelCommitmentRequest(reservation_id=name)],
        changes,
    )


# ---- the rest --------------------------------------------------------------------------------------------------------


def lost_requests(found: Violation, _: Book) -> Correction:
    """Say what request ids mean that their index does not find."""
    return Correction(f"{found.actual} request ids are not found: a repeat of their calls would be run again.", NO_CALL)


def shared_lines(found: Violation, _: Book) -> Correction:
    """Say what lines mean that have no owner, or several."""
    return Correction(f"{found.actual} lines of reservations have no owner, or more than one.", NO_CALL)


def wrong_document(found: Violation, _: Book) -> Correction:
    """Say what it means that a transfer does not fit its units: only a person knows where they are."""
    what = f"{DOCUMENTS[found.invariant]}: {found.subject}: expected {found.expected}, was {found.actual}."
    way_out = (
        "Look at the transfers concerned (onhand transfer list), count both places, and close or cancel what is wrong."
    )
    return Correction(what, way_out)


def wrong_part(found: Violation, _: Book) -> Correction:
    """Say what it means that something beside the stock does not add up: stock is not touched by it."""
    what = f"{PARTS[found.invariant]}: {found.subject}: expected {found.expected}, was {found.actual}."
    return Correction(f"{what} Stock and reservations are not touched by it.", NO_CALL)


PARTS: Final = {
    "catalog_has_what_is_stocked": "the catalog and the names of stock levels differ",
    "active_as_the_catalog_says": "a location is active in one place and not in the other",
    "routed_locations_are_known": "routing knows a location that the catalog does not have",
    "load_covers_bookings": "a location's day is loaded with less than plans take of it, and may be planned beyond it",
    "notes_are_of_reservations": "a reservation has what was said of another one",
    "reservations_are_found_by_reference": "a reservation is not found by its reference; a start makes the index anew",
    "references_are_of_reservations": "a reference finds more or fewer than have it; a start makes the index anew",
    "digest_matches_rows": "what was counted while entries came is not what is there; a start counts anew",
}
DOCUMENTS: Final = {
    "transit_matches_documents": "units are in transit that no transfer has under way, or the other way round",
    "units_fit_state": "a transfer has units where its state has none",
    "documents_are_awaited": "a reservation waits for other transfers than those that are for it",
    "document_lines_have_one_owner": "lines of transfers have no owner, or more than one",
}
HELD: Final = {"reserved_matches_reservations": "reserved", "committed_matches_reservations": "committed"}
LEVELS: Final[Mapping[str, Callable[[Book, Name, LevelView], Correction]]] = {
    "floor_matches_policy": wrong_floor,
    "unavailable_is_not_negative": negative_unavailable,
}
OTHERS: Final[Mapping[str, Callable[[Violation, Book], Correction]]] = {
    "units_are_conserved": lost_units,
    "index_finds_level": lost_level,
    "open_units_fit_state": wrong_open,
    "expiry_lists_are_complete": wrong_list,
    "index_finds_request_ids": lost_requests,
    "lines_have_one_owner": shared_lines,
    **dict.fromkeys(DOCUMENTS, wrong_document),
    **dict.fromkeys(PARTS, wrong_part),
}
