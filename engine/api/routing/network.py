"""NetworkService: what orders are routed over."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from operator import itemgetter
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
from onhand.routing.v1 import network_pb2 as messages
from onhand.routing.v1 import network_service_pb2 as service

from engine.api import fields
from engine.api.methods import Command, LoneHandler, ReadHandler, Surroundings, Work, service_methods
from engine.api.refusals import wrong_version
from engine.api.routing import networks
from engine.api.routing.routers import CAUGHT_UP_MAX, ROUTERS, Located, Routers, located_of, no_network
from engine.api.routing.told_again import is_answered, raise_again, remembered
from engine.api.stock.catalog import Decision, change, content_of, read_location, sends_parcels
from engine.errors import RETRY_SECONDS, RefusedError, invalid
from ledger.book import Book
from ledger.core import limits
from ledger.core.limits import MICROSECONDS
from ledger.core.statuses import Operation, Status
from ledger.parts.resources import CatalogChange, LocationRouting, NetworkVersion, RoutingNetwork
from ledger.parts.resources import Location as CatalogLocation
from ledger.parts.views import RoutedNetwork

ATTEMPTS_MAX: Final = 5
"""How often a network is checked again because it changed meanwhile."""
NETWORK_PAGE_BYTES_MAX: Final = limits.REQUEST_BYTES_MAX - 1024
"""What a client takes by default, with room for the rest of the answer."""
LENGTH_DELIMITED: Final = 2
"""Wire type; Network has no other fields but integers."""
LOOKED_AT_MAX: Final = 20_000
"""Locations that one page looks at: most of them may have no routing data."""
NO_NETWORK: Final = RoutingNetwork(b"", 0, 0)
NOTHING: Final[Mapping[str, CatalogLocation]] = MappingProxyType({})


# ---- writing ---------------------------------------------------------------------------------------------------------


class Proposal(NamedTuple):
    """What a write would make of the network."""

    routers: Routers
    changed: Sequence[LocationRouting]
    """Of locations, those that would change; empty content: nothing is known of it any more."""
    known: Sequence[CatalogLocation]
    """What the catalog knew of those that were given."""
    is_other_content: bool = False
    """Whether more than locations would change."""


Writing = Generator[Callable[[], Proposal], Proposal, tuple[int, int]]
"""Returns the version of the network and the seq."""


def upsert_network(request: service.UpsertNetworkRequest, book: Book, _: int) -> Work[service.UpsertNetworkResponse]:
    """Answer UpsertNetwork."""
    fields.count_of(request.locations, "locations", limits.CATALOG_ITEMS_PER_CALL_MAX, at_least=0)
    version, seq = yield from remembering(request, write_network(request, book), book)
    return service.UpsertNetworkResponse(version=version, seq=seq)


def write_network(request: service.UpsertNetworkRequest, book: Book) -> Writing:
    """Write a network, unless a weight in it would change nothing."""
    supposed = fields.in_full(read_beside, request)
    return (yield from write(request, request.network, book, replaces=request.replace_locations, supposed=supposed))


def read_beside(request: service.UpsertNetworkRequest) -> dict[str, CatalogLocation]:
    """Check what a write of a network says beside the network; returns the locations that a dry run supposes."""
    networks.refuse_idle_weights(request.network)
    return proposed_locations(request)


def upsert_location_routing(
    request: service.UpsertLocationRoutingRequest, book: Book, _: int
) -> Work[service.UpsertLocationRoutingResponse]:
    """Answer UpsertLocationRouting."""
    fields.count_of(request.locations, "locations", limits.CATALOG_ITEMS_PER_CALL_MAX)
    version, seq = yield from remembering(request, write_locations(request, book), book)
    return service.UpsertLocationRoutingResponse(version=version, seq=seq)


def write_locations(request: service.UpsertLocationRoutingRequest, book: Book) -> Writing:
    """Write the routing data of locations, if there is a network."""
    if book.network.current is None:
        raise no_network()
    return (yield from write(request, None, book))


def remembering(request: Any, writing: Writing, book: Book) -> Writing:
    """Write, and let a repeat be told what the first call was told, refusals for what there was then included."""
    name, request_id = type(request).__name__, fields.request_id(request.request_id)
    command = Command(Operation.REMEMBER, (), request_id, content=content_of(name, real(request)))
    time_us = book.ledger.group_time_us
    raise_again(command, book, time_us)
    if is_answered(request_id, book, time_us):  # whatever there is now
        seq, version = change(book, real(request), Decision(), time_us, mismatch_of(request))
        return version, seq
    try:
        return (yield from writing)
    except RefusedError as refusal:
        if refusal.reason == Status.VALIDATION_FAILED.name or request.validate_only:
            raise
        raise remembered(refusal, command, book, book.ledger.group_time_us) from refusal


def real(request: Any) -> Any:
    """Return the call that a call which only validates stands for: they have the same answer."""
    copy = type(request)()
    copy.CopyFrom(request)
    copy.validate_only = False
    return copy


def write(
    request: Any,
    network: messages.Network | None,
    book: Book,
    *,
    replaces: bool = False,
    supposed: Mapping[str, CatalogLocation] = NOTHING,
) -> Writing:
    """Check the network as it would be, beside the writer, and write what changes; returns its version and the seq.

    Parameters
    ----------
    request
        With the locations, and how to write.
    network
        None: as it is.
    replaces
        Whether locations that are not given are forgotten.
    supposed
        What a dry run says that the catalog will know of locations, by id.
    """
    for _ in range(ATTEMPTS_MAX):
        basis = book.network.version
        proposal = None if network is not None else propose_few(request, book)
        if proposal is None:
            kept = RoutedNetwork(book.network.current or NO_NETWORK, list(book.network.routed_locations()))
            proposal = yield partial(propose, request, network, kept, book, replaces=replaces, supposed=supposed)
        is_as_it_was = all(book.catalog.location(one.location_id) is one for one in proposal.known)
        if book.network.version == basis and is_as_it_was:
            return commit(request, proposal, network, book)
    raise RefusedError(
        "OVERLOADED", "The network changed all the time while this was checked.", retry_seconds=RETRY_SECONDS
    )


def propose_few(request: Any, book: Book) -> Proposal | None:
    """Return what the change of a few locations of the network makes of it; None if there is more to do."""
    routers: Routers | None = book.network.derived.get(ROUTERS)
    if routers is None or routers.version != book.network.version or len(request.locations) > CAUGHT_UP_MAX:
        return None
    located = fields.in_full(located_in, request, book)
    if any(one.known.location_id not in book.network.location_routing for one in located):
        return None
    version = routers.network.version + 1
    found = routers.with_locations(located, version, routers.version)
    if found is None:
        return None
    return Proposal(found, changed_of(located, book.network.location_routing), [one.known for one in located])


def propose(
    request: Any,
    network: messages.Network | None,
    kept: RoutedNetwork,
    book: Book,
    *,
    replaces: bool,
    supposed: Mapping[str, CatalogLocation],
) -> Proposal:
    """Return what a write makes of the network; any thread may ask."""
    located = {one.known.location_id: one for one in fields.in_full(located_in, request, book, supposed)}
    before = {routing.location_id: routing for _, routing in kept.locations}
    removed = sorted(before.keys() - located.keys()) if replaces else []
    changed = changed_of(located.values(), before)
    changed += [LocationRouting(location_id, b"") for location_id in removed]
    message = messages.Network.FromString(content_of_network(network) if network is not None else kept.network.content)
    message.version = kept.network.version + 1
    left = [] if replaces else [one for one in kept.locations if one[1].location_id not in located]
    others = [located_of(supposed.get(own.location_id, location), own) for location, own in left]
    index = book.ledger.location_index
    indexed = [(index(one.known.location_id), one) for one in [*others, *located.values()]]
    indexed.sort(key=itemgetter(0))
    indexes = np.array([place for place, _ in indexed], np.int64)
    routers = Routers(message, [one for _, one in indexed], indexes, book.catalog, 0)
    routers.prepare(datetime.fromtimestamp(book.ledger.time_us / MICROSECONDS, UTC))
    is_other = network is not None and content_of_network(network) != kept.network.content
    known = [one.known for name, one in located.items() if name not in supposed]
    return Proposal(routers, changed, known, is_other)


def commit(request: Any, proposal: Proposal, network: messages.Network | None, book: Book) -> tuple[int, int]:
    """Write what was proposed; returns the version of the network and the seq."""
    time_us = book.ledger.group_time_us
    version = book.network.current.version if book.network.current else 0
    is_changed = proposal.is_other_content or bool(proposal.changed)
    is_wrong = request.expected_version not in (0, version)
    explain = mismatch_of(request)
    if not (is_changed or request.request_id or is_wrong):
        return version, book.seq
    resources: list[CatalogChange] = []
    if proposal.is_other_content and network is not None:
        resources = [RoutingNetwork(content_of_network(network), version + 1, time_us), *proposal.changed]
    elif is_changed:
        resources = [NetworkVersion(version + 1, time_us), *proposal.changed]
    decision = Decision(result=version + is_changed, resources=resources)
    if is_wrong:
        decision = Decision(Status.VERSION_MISMATCH, version)
    before = book.network.version
    seq, result = change(book, request, decision, time_us, explain)
    if book.network.version != before:
        proposal.routers.version = book.network.version
        book.network.derived[ROUTERS] = proposal.routers
    return result, seq


def mismatch_of(request: Any) -> Callable[[Decision], RefusedError]:
    """Return the function that says why a network was not written."""
    return lambda refusal: wrong_version("expected_version", refusal.result, request.expected_version)


def content_of_network(network: messages.Network) -> bytes:
    """Return a network as it is kept: without what the engine adds."""
    bare = messages.Network()
    bare.CopyFrom(network)
    bare.ClearField("version")
    bare.ClearField("update_time")
    return bare.SerializeToString(deterministic=True)


def changed_of(located: Iterable[Located], before: Mapping[str, LocationRouting]) -> list[LocationRouting]:
    """Return what would be kept of locations, of those that differ from before."""
    given = [
        LocationRouting(one.known.location_id, one.routing.SerializeToString(deterministic=True)) for one in located
    ]
    return [one for one in given if before.get(one.location_id) != one]


def located_in(request: Any, book: Book, supposed: Mapping[str, CatalogLocation] = NOTHING) -> list[Located]:
    """Return the locations of a request; refuses those that come twice, are not known, or send parcels from nowhere."""
    fields.unique((item.location_id for item in request.locations), "locations")
    located = []
    for place, item in enumerate(request.locations):
        field = f"locations[{place}].location_id"
        name = fields.identifier(item.location_id, field)
        known = supposed.get(name) or book.catalog.location(name)
        if known is None:
            raise fields.missing("LOCATION_NOT_FOUND", field, "location", name)
        if sends_parcels(item) and not (known.latitude or known.longitude):
            fields.wrong(field, "a location with coordinates in the catalog: 0, 0 stand for none", name)
        located.append(Located(known, item, f"locations[{place}]"))
    return located


def proposed_locations(request: service.UpsertNetworkRequest) -> dict[str, CatalogLocation]:
    """Return the locations of the catalog that a dry run says there will be."""
    items = request.proposed_locations
    if items and not request.validate_only:
        fields.wrong("proposed_locations", "none without validate_only", len(items), "entries")
    fields.count_of(items, "proposed_locations", limits.CATALOG_ITEMS_PER_CALL_MAX, at_least=0)
    fields.unique((item.location_id for item in items), "proposed_locations")
    return {item.location_id: read_location(item, f"proposed_locations[{place}]") for place, item in enumerate(items)}


# ---- reading ---------------------------------------------------------------------------------------------------------


def get_network(request: service.GetNetworkRequest, around: Surroundings) -> Work[service.GetNetworkResponse]:
    """Answer GetNetwork; the message is made beside the writer."""
    kept, seq = around.book.network.current, around.book.seq
    if kept is None:
        raise no_network()
    response: service.GetNetworkResponse = yield partial(network_page, kept, request.page_token)
    response.seq = seq
    return response


def network_page(kept: RoutingNetwork, token: str = "") -> service.GetNetworkResponse:
    """Return the page of a network that a token asks for, as much as one answer may have.

    Raises
    ------
    RefusedError
        No page of this network ends with the token.
    """
    start = 0
    while token and token != f"{kept.version}:{start}":
        start = end_of_fields(kept.content, start, NETWORK_PAGE_BYTES_MAX)
        if start == len(kept.content):
            expected = "the next_page_token of the answer before, of a network that has not changed since"
            raise invalid("page_token", expected, token)
    end = end_of_fields(kept.content, start, NETWORK_PAGE_BYTES_MAX)
    network = messages.Network.FromString(kept.content[start:end])
    network.version = kept.version
    fields.set_time(network.update_time, kept.update_time_us)
    token = f"{kept.version}:{end}" if end < len(kept.content) else ""
    return service.GetNetworkResponse(network=network, next_page_token=token)


def end_of_fields(content: bytes, start: int, most: int) -> int:
    """Return where the last field ends that begins at or after a byte and fits in so many; at least one does."""
    if len(content) - start <= most:
        return len(content)
    end = start
    while end < len(content):
        tag, after = varint_at(content, end)
        value, after = varint_at(content, after)
        after += value if tag & 7 == LENGTH_DELIMITED else 0
        if after - start > most and end > start:
            break
        end = after
    return end


def varint_at(content: bytes, place: int) -> tuple[int, int]:
    """Return a variable-length integer of protobuf's wire format, and where it ends."""
    value = shift = 0
    while True:
        byte = content[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place


def list_location_routing(
    request: service.ListLocationRoutingRequest, around: Surroundings
) -> service.ListLocationRoutingResponse:
    """Answer ListLocationRouting."""
    catalog, known = around.book.catalog, around.book.network.location_routing
    size, place = fields.in_full(fields.page_of, request)
    page: list[messages.LocationRouting] = []
    page_bytes = 0
    end = min(len(catalog.locations), place + LOOKED_AT_MAX)
    while place < end and len(page) < size and page_bytes < fields.PAGE_BYTES_MAX:
        kept = known.get(catalog.locations[place].location_id)
        if kept is not None:
            page.append(messages.LocationRouting.FromString(kept.content))
            page_bytes += len(kept.content)
        place += 1
    token = str(place) if place < len(catalog.locations) else ""
    return service.ListLocationRoutingResponse(locations=page, next_page_token=token, seq=around.book.seq)


METHODS: Final = service_methods(
    service.DESCRIPTOR.services_by_name["NetworkService"],
    {
        "UpsertNetwork": LoneHandler(upsert_network),
        "GetNetwork": ReadHandler(get_network),
        "UpsertLocationRouting": LoneHandler(upsert_location_routing),
        "ListLocationRouting": ReadHandler(list_location_routing),
    },
)
