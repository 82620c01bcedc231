"""Whether what the network and its locations name is there: what the ledger keeps of it, it does not look into.

Not looked at is what a later change of the catalog may bring about, such as a location that sends parcels by nobody.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from google.protobuf.message import DecodeError
from onhand.routing.v1 import network_pb2 as messages

from ledger.book import Book
from ledger.core.views import Violation

INVARIANT = "network_names_what_it_has"


def violations_of(book: Book) -> list[Violation]:
    """Recount a book, and look into its network."""
    return list(chain(book.verify(), network_violations(book)))


def network_violations(book: Book) -> Iterator[Violation]:
    """Yield each name in the network that nothing has."""
    kept = book.network.current
    if kept is None:
        return
    try:
        network = messages.Network.FromString(kept.content)
        rows = [messages.LocationRouting.FromString(row.content) for row in book.network.location_routing.values()]
    except DecodeError:
        yield Violation("network_can_be_read", "network", 1, 0)
        return
    calendars = {one.name for one in network.calendars}
    routed = {row.location_id for row in rows}
    yield from _missing("carriers", [(one.name, one.calendar) for one in network.carriers], calendars)
    ends = [(lane.from_location_id, lane.to_location_id) for lane in network.lanes]
    yield from _missing("lanes", [*ends, *(end[::-1] for end in ends)], routed)
    if network.default_profile:
        profiles = {one.name for one in network.profiles}
        yield from _missing("default_profile", [("network", network.default_profile)], profiles)
    yield from _missing("locations", [(row.location_id, row.calendar) for row in rows], calendars)
    for row, kept_row in zip(rows, book.network.location_routing, strict=True):
        if row.location_id != kept_row:
            yield Violation(INVARIANT, f"locations: {kept_row} is {row.location_id}", 1, 0)


def _missing(where: str, named: Sequence[tuple[str, str]], known: Iterable[str]) -> Iterator[Violation]:
    """Yield the names that nothing has, with who names them."""
    there = set(known)
    for who, name in named:
        if name not in there:
            yield Violation(INVARIANT, f"{where}: {who} names {name!r}", 1, 0)
