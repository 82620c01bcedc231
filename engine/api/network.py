"""NetworkService: what orders are routed over."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from onhand.routing.v1 import network_pb2 as messages
from onhand.routing.v1 import network_service_pb2 as service

from engine.api import fields
from engine.api.catalog import Decision, change, content_of
from engine.api.methods import Command, LoneMethod, Method, ReadMethod, Surroundings
from engine.api.networks import Routers, no_network, stored_routing
from engine.api.refusals import wrong_version
from engine.api.told_again import is_answered, raise_again, remembered
from engine.errors import RefusedError
from ledger.book import Book
from ledger.core import limits
from ledger.core.catalog import CatalogChange, LocationRouting, RoutingNetwork
from ledger.core.statuses import Operation, Status

SERVICE: Final = "/onhand.routing.v1.NetworkService/"


# ---- writing ---------------------------------------------------------------------------------------------------------


def upsert_network(request: service.UpsertNetworkRequest, book: Book, time_us: int) -> service.UpsertNetworkResponse:
    """Answer UpsertNetwork."""
    fields.count_of(request.locations, "locations", limits.CATALOG_ITEMS_PER_CALL_MAX, at_least=0)

    def write_network() -> tuple[int, int]:
        network = messages.Network()
        network.CopyFrom(request.network)
        removed = sorted(book.catalog.location_routing.keys() - {item.location_id for item in request.locations})
        return write(request, network, book, time_us, removed if request.replace_locations else ())

    version, seq = remembering(request, write_network, book, time_us)
    return service.UpsertNetworkResponse(version=version, seq=seq)


def upsert_location_routing(
    request: service.UpsertLocationRoutingRequest, book: Book, time_us: int
) -> service.UpsertLocationRoutingResponse:
    """Answer UpsertLocationRouting."""
    fields.count_of(request.locations, "locations", limits.CATALOG_ITEMS_PER_CALL_MAX)

    def write_locations() -> tuple[int, int]:
        if book.catalog.network is None:
            raise no_network()
        return write(request, messages.Network.FromString(book.catalog.network.content), book, time_us)

    version, seq = remembering(request, write_locations, book, time_us)
    return service.UpsertLocationRoutingResponse(version=version, seq=seq)


def remembering(request: Any, write_it: Callable[[], tuple[int, int]], book: Book, time_us: int) -> tuple[int, int]:
    """Write, and let a repeat be told what the first call was told, refusals for what there was then included."""
    name, request_id = type(request).__name__, fields.request_id(request.request_id)
    command = Command(Operation.CHANGE_CATALOG, (), request_id, content=content_of(name, real(request)))
    raise_again(command, book, time_us)
    if is_answered(request_id, book, time_us):  # whatever there is now
        seq, version = change(book, real(request), Decision(), time_us, mismatch_of(request))
        return version, seq
    try:
        return write_it()
    except RefusedError as refusal:
        if refusal.reason == Status.VALIDATION_FAILED.name or request.validate_only:
            raise
        raise remembered(refusal, command, book, time_us) from refusal


def real(request: Any) -> Any:
    """Return the call that a call which only validates stands for: they have the same answer."""
    copy = type(request)()
    copy.CopyFrom(request)
    copy.validate_only = False
    return copy


def write(
    request: Any, network: messages.Network, book: Book, time_us: int, removed: Sequence[str] = ()
) -> tuple[int, int]:
    """Check the network as it would be, and write what changes; returns its version and the seq."""
    check_locations(request.locations, book)
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
        Routers(book, network, {name: one for name, one in together.items() if name not in removed})
    if not is_changed and not request.request_id and request.expected_version in (0, version):
        return version, book.seq
    resources: list[CatalogChange] = [RoutingNetwork(content, version + 1, time_us), *changed] if is_changed else []
    decision = Decision(result=version + is_changed, resources=resources)
    if request.expected_version not in (0, version):
        decision = Decision(Status.VERSION_MISMATCH, version)
    explain = mismatch_of(request)
    if not request.validate_only:
        seq, result = change(book, request, decision, time_us, explain)
        return result, seq
    if decision.status != Status.OK:
        raise explain(decision)
    return decision.result, book.seq


def mismatch_of(request: Any) -> Callable[[Decision], RefusedError]:
    """Return the function that says why a network was not written."""
    return lambda refusal: wrong_version("expected_version", refusal.result, request.expected_version)


def check_locations(items: Sequence[messages.LocationRouting], book: Book) -> None:
    """Refuse locations that come twice, or that the catalog does not know."""
    fields.unique((item.location_id for item in items), "locations")
    for place, item in enumerate(items):
        field = f"locations[{place}].location_id"
        if book.catalog.location(fields.identifier(item.location_id, field)) is None:
            raise fields.missing("LOCATION_NOT_FOUND", field, "location", item.location_id)


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
