"""NetworkService: what orders are routed over."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from onhand.routing.v1 import network_pb2 as messages
from onhand.routing.v1 import network_service_pb2 as service

from engine.api import fields
from engine.api.catalog import Decision, change, read_location, sends_parcels
from engine.api.methods import LoneMethod, Method, ReadMethod, Surroundings
from engine.api.networks import Routers, no_network, stored_routing
from engine.api.refusals import wrong_version
from engine.errors import RefusedError, invalid
from ledger.book import Book
from ledger.core import limits
from ledger.core.catalog import CatalogChange, Location, LocationRouting, RoutingNetwork
from ledger.core.statuses import Status

SERVICE: Final = "/onhand.routing.v1.NetworkService/"


# ---- writing ---------------------------------------------------------------------------------------------------------


def upsert_network(request: service.UpsertNetworkRequest, book: Book, time_us: int) -> service.UpsertNetworkResponse:
    """Answer UpsertNetwork."""
    fields.count_of(request.locations, "locations", limits.CATALOG_ITEMS_PER_CALL_MAX, at_least=0)
    network = messages.Network()
    network.CopyFrom(request.network)
    removed = sorted(book.catalog.location_routing.keys() - {item.location_id for item in request.locations})
    proposed = proposed_locations(request)
    version, seq = write(request, network, book, time_us, removed if request.replace_locations else (), proposed)
    return service.UpsertNetworkResponse(version=version, seq=seq)


def upsert_location_routing(
    request: service.UpsertLocationRoutingRequest, book: Book, time_us: int
) -> service.UpsertLocationRoutingResponse:
    """Answer UpsertLocationRouting."""
    fields.count_of(request.locations, "locations", limits.CATALOG_ITEMS_PER_CALL_MAX)
    if book.catalog.network is None:
        raise no_network()
    network = messages.Network.FromString(book.catalog.network.content)
    version, seq = write(request, network, book, time_us)
    return service.UpsertLocationRoutingResponse(version=version, seq=seq)


def proposed_locations(request: service.UpsertNetworkRequest) -> dict[str, Location]:
    """Return the locations of the catalog that a dry run says there will be."""
    items = request.proposed_locations
    if items and not request.validate_only:
        raise invalid("proposed_locations", "none without validate_only", len(items), "entries")
    fields.count_of(items, "proposed_locations", limits.CATALOG_ITEMS_PER_CALL_MAX, at_least=0)
    fields.unique((item.location_id for item in items), "proposed_locations")
    return {item.location_id: read_location(item, f"proposed_locations[{place}]") for place, item in enumerate(items)}


def write(  # noqa: PLR0917 - all by position, two call sites
    request: Any,
    network: messages.Network,
    book: Book,
    time_us: int,
    removed: Sequence[str] = (),
    proposed: Mapping[str, Location] = MappingProxyType({}),
) -> tuple[int, int]:
    """Check the network as it would be, and write what changes; returns its version and the seq."""
    check_locations(request.locations, book, proposed)
    network.ClearField("version")
    network.ClearField("update_time")
    content = network.SerializeToString(deterministic=True)
    given = [
        LocationRouting(item.location_id, item.SerializeToString(deterministic=True)) for item in request.locations
    ]
    before = book.catalog.network
    version = before.version if before else 0
    changed = [one for one in given if book.catalog.location_routing.get(one.location_id) != one]
    changed += [LocationRouting(location_id, b"") for location_id in removed]
    is_changed = bool(changed) or before is None or before.content != content
    if is_changed:
        network.version = version + 1
        together = stored_routing(book.catalog)
        together |= {item.location_id: (f"locations[{place}]", item) for place, item in enumerate(request.locations)}
        known = None
        if proposed:
            known = list(({one.location_id: one for one in book.catalog.locations} | dict(proposed)).values())
        Routers(book, network, {name: one for name, one in together.items() if name not in removed}, known)
    if request.validate_only:
        return version + is_changed, book.seq
    if not is_changed and not request.request_id and request.expected_version in (0, version):
        return version, book.seq
    resources: list[CatalogChange] = [RoutingNetwork(content, version + 1, time_us), *changed] if is_changed else []
    decision = Decision(result=version + is_changed, resources=resources)
    if request.expected_version not in (0, version):
        decision = Decision(Status.VERSION_MISMATCH, version)

    def explain(refusal: Decision) -> RefusedError:
        return wrong_version("expected_version", refusal.result, request.expected_version)

    seq, result = change(book, request, decision, time_us, explain)
    return result, seq


def check_locations(items: Sequence[messages.LocationRouting], book: Book, proposed: Mapping[str, Location]) -> None:
    """Refuse locations that come twice, that the catalog does not know, or of which it does not know where they are."""
    fields.unique((item.location_id for item in items), "locations")
    for place, item in enumerate(items):
        field = f"locations[{place}].location_id"
        name = fields.identifier(item.location_id, field)
        location = proposed.get(name) or book.catalog.location(name)
        if location is None:
            raise fields.missing("LOCATION_NOT_FOUND", field, "location", name)
        if sends_parcels(item) and not (location.latitude or location.longitude):
            raise invalid(field, "a location with coordinates in the catalog: 0, 0 stand for none", name)


# ---- reading ---------------------------------------------------------------------------------------------------------


def get_network(_: service.GetNetworkRequest, around: Surroundings) -> service.GetNetworkResponse:
    """Answer GetNetwork."""
    kept = around.book.catalog.network
    if kept is None:
        raise no_network()
    network = messages.Network.FromString(kept.content)
    network.version = kept.version
    fields.set_time(network.update_time, kept.update_time_us)
    return service.GetNetworkResponse(network=network, seq=around.book.seq)


def list_location_routing(
    request: service.ListLocationRoutingRequest, around: Surroundings
) -> service.ListLocationRoutingResponse:
    """Answer ListLocationRouting."""
    catalog = around.book.catalog
    size, place = fields.page_size(request.page_size), fields.page_start(request.page_token)
    page: list[messages.LocationRouting] = []
    page_bytes = 0
    while place < len(catalog.locations) and len(page) < size and page_bytes < fields.PAGE_BYTES_MAX:
        kept = catalog.location_routing.get(catalog.locations[place].location_id)
        if kept is not None:
            page.append(messages.LocationRouting.FromString(kept.content))
            page_bytes += len(kept.content)
        place += 1
    token = str(place) if place < len(catalog.locations) else ""
    return service.ListLocationRoutingResponse(locations=page, next_page_token=token, seq=around.book.seq)


METHODS: Final[Sequence[Method]] = (
    LoneMethod(SERVICE + "UpsertNetwork", service.UpsertNetworkRequest, upsert_network),
    ReadMethod(SERVICE + "GetNetwork", service.GetNetworkRequest, get_network),
    LoneMethod(SERVICE + "UpsertLocationRouting", service.UpsertLocationRoutingRequest, upsert_location_routing),
    ReadMethod(SERVICE + "ListLocationRouting", service.ListLocationRoutingRequest, list_location_routing),
)
