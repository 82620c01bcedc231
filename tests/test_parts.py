"""What a book has beside its ledger: one protocol, and nothing of it that is not kept, compared and recounted."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ledger_cases import batch_of, receive, record, reserve
from releases import opened, unpack_data

from ledger.book import Book
from ledger.parts.part import Part
from ledger.parts.planned import Rejection
from ledger.parts.references import NotedReservation
from ledger.parts.registry import CHANGES, KINDS, decode_changes, encode_changes
from ledger.parts.resources import Location, LocationRouting

NAMES = [kind.name for kind in KINDS]
SETTINGS = {"request_window_us": 1, "retention_us": 1}


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Iterator[dict[str, bytes]]:
    """The image of a book that has something in each part."""
    with opened(unpack_data("0.1", tmp_path_factory.mktemp("parts"))) as found:
        say_something(found.book)
        yield {name: bytes(part) for name, part in found.book.image().items()}


def say_something(book: Book) -> None:
    """Let two reservations have one reference, which those of format 4 do not."""
    sku, location = level_of(book)
    lines = [(sku, location, 1)]
    book.execute(batch_of([record(receive(sku, location, 9))]), book.ledger.time_us)
    for _ in range(2):
        outcome = book.execute(batch_of([reserve(lines)]), book.ledger.time_us).outcomes[0]
        book.note(int(outcome["seq"]), "cart-1", "till-1")
    book.close_entry(epoch=1)


class Image:
    """As a snapshot gives it."""

    def __init__(self, parts: Mapping[str, bytes]) -> None:
        self._parts = parts

    def has(self, name: str) -> bool:
        return name in self._parts

    def read(self, name: str) -> bytes:
        return self._parts[name]

    def read_into(self, name: str, target: memoryview) -> None:
        target[:] = self._parts[name]


def book_of(parts: Mapping[str, bytes]) -> Book:
    book = Book(**SETTINGS)
    book.restore(Image(parts))
    return book


def part_of(book: Book, name: str) -> Part:
    return next(part for part in book.parts if part.name == name)


def test_each_part_has_a_name_and_changes_of_its_own():
    assert len(set(NAMES)) == len(NAMES)
    assert not set(NAMES) & Book(**SETTINGS).ledger.image().keys(), "they stand side by side in a snapshot"
    assert all(kind.changes or kind.take_notes is not Part.take_notes for kind in KINDS), "it hears of something"
    tags = [change.__struct_config__.tag for change in CHANGES]
    assert len(set(tags)) == len(tags)


def test_a_change_with_more_fields_than_are_known_is_not_read():
    encoded = encode_changes([LocationRouting("L-1", b"")])
    assert decode_changes(encoded) == [LocationRouting("L-1", b"")]
    (change,) = msgspec.msgpack.decode(encoded)
    with pytest.raises(msgspec.ValidationError):
        decode_changes(msgspec.msgpack.encode([[*change, "new"]]))


def test_a_book_becomes_what_its_image_says(written):
    book = book_of(written)
    assert {name: bytes(part) for name, part in book.image().items()} == written
    assert book.verify() == []


@pytest.mark.parametrize("name", NAMES)
def test_a_part_that_an_image_lacks_starts_empty(written, name):
    book = book_of({part: content for part, content in written.items() if part != name})
    assert part_of(book, name).image() == part_of(Book(**SETTINGS), name).image() != written[name]
    assert book.digest() != book_of(written).digest(), "it is in the digest"


def test_a_sum_begins_when_it_is_asked_for_and_keeps_up():
    book = Book(**SETTINGS)
    catalog = book.catalog
    places = [
        Location(f"L-{number}", 1, "", 0.0, 0.0, "UTC", (), active=True, location_groups=()) for number in range(3)
    ]
    catalog.put(places[:2], 0)
    before = catalog.digest()
    catalog.put([places[2]], 0)
    catalog.put([msgspec.structs.replace(places[0], display_name="far")], 0)
    assert catalog.digest() != before
    assert catalog.sum.is_right(catalog.rows)
    catalog.sum.stop()
    with_the_sum, book.catalog._locations = catalog.digest(), catalog._locations[::-1]
    catalog.sum.stop()
    assert catalog.digest() == with_the_sum, "whatever the order"


def changed(rows: Any, place: Any, **more: Any) -> None:
    """Replace some fields of a row."""
    rows[place] = msgspec.structs.replace(rows[place], **more)


def hold_of(book: Book) -> int:
    """A planned reservation that can be read."""
    return next(one for one in book.plans._by_reservation if book.ledger.has_reservation(one))


def level_of(book: Book) -> tuple[int, int]:
    """A stock level."""
    (sku,), (location,) = book.ledger.level_keys(0, 1)
    return int(sku), int(location)


def first(rows: Any) -> Any:
    return next(iter(rows))


DAMAGES: dict[str, Callable[[Book], Any]] = {
    "catalog_has_what_is_stocked": lambda book: book.catalog._skus.pop(),
    "active_as_the_catalog_says": lambda book: book.ledger.set_location_active(0, active=False),
    "resources_have_a_version": lambda book: changed(book.catalog._skus, 0, version=0),
    "resources_change_after_creation": lambda book: changed(book.catalog._locations, 0, update_time_us=2**60),
    "groups_have_their_locations": lambda book: book.catalog._groups.update(nobody=[0]),
    "routed_locations_are_known": lambda book: book.network._location_routing.update(
        {"nowhere": LocationRouting("nowhere", b"x")}
    ),
    "routed_locations_are_their_own": lambda book: changed(
        book.network._location_routing, first(book.network._location_routing), content=b""
    ),
    "routed_locations_have_a_network": lambda book: setattr(book.network, "current", None),
    "network_has_a_version": lambda book: setattr(
        book.network, "current", msgspec.structs.replace(book.network.current, version=0)
    ),
    "views_follow_each_other": lambda book: book.views._views.update({0: first(book.views._views.values())}),
    "first_view_is_whole": lambda book: setattr(first(book.views._views.values()), "is_whole", False),
    "changes_since_the_view_are_of_locations": lambda book: book.views._changed.update(nowhere=None),
    "plans_are_found": lambda book: book.plans._step_of.popitem(),
    "holds_have_their_plan": lambda book: book.plans._by_reservation.update({hold_of(book): 0}),
    "explained_plans_are_counted": lambda book: setattr(book.plans, "_explained_count", -1),
    "explained_plans_have_a_view": lambda book: book.views._views.clear(),
    "bookings_match_holds": lambda book: book.plans._bookings.update({hold_of(book): []}),
    "load_matches_bookings": lambda book: book.plans.load._units.__isub__(book.plans.load._units > 1),
    "orders_have_rejections": lambda book: book.rejections._of_orders.update(nothing=[]),
    "rejections_name_stock_levels": lambda book: book.rejections._of_orders.update(order=[Rejection(0, 999, 1)]),
    "suspects_are_stock_levels": lambda book: book.rejections._suspects.update({(0, 999): 1}),
    "suspects_wait_since_a_rejection": lambda book: book.rejections._suspects.update({level_of(book): 2**60}),
    "refusals_are_of_their_writes": lambda book: book.refusals._by_seq.update(
        {2**40: first(book.refusals._by_seq.values())}
    ),
    "notes_are_of_reservations": lambda book: first(book.references._chunks.values()).__setitem__(
        -1, NotedReservation(2**40)
    ),
    "reservations_are_found_by_reference": lambda book: book.references._index_of("cart-1").update(
        {"cart-1": {2**30, 2**31}}
    ),
    "references_are_of_reservations": lambda book: book.references._index_of("nobody's").update({"nobody's": 1}),
}
SHOW_AS_WELL = {
    "bookings_match_holds": {"load_matches_bookings"},
}


@pytest.mark.parametrize("invariant", DAMAGES)
def test_a_recount_finds_what_does_not_add_up(written, invariant):
    book = book_of(written)
    DAMAGES[invariant](book)
    assert {found.invariant for found in book.verify()} == {invariant} | SHOW_AS_WELL.get(invariant, set())


def test_each_invariant_has_a_damage_that_it_finds():
    """Each is named where it is yielded, and nowhere else."""
    sources = [Path(inspect.getfile(kind)).read_text() for kind in KINDS]
    named = {name for source in sources for name in re.findall(r'Violation\("(\w+)"', source)}
    assert named == DAMAGES.keys()


@pytest.mark.parametrize("name", NAMES)
def test_a_sum_that_is_not_of_the_rows_is_found(written, name):
    book = book_of(written)
    book.digest()
    part = part_of(book, name)
    part.sum.remove(next(iter(part.rows())))
    assert [(found.invariant, found.subject) for found in book.verify()] == [("digest_matches_rows", name)]
