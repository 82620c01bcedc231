"""CatalogService: locations and skus."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
import xxhash
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from onhand.inventory.v1 import catalog_pb2 as messages
from onhand.inventory.v1 import catalog_service_pb2 as service
from onhand.routing.v1 import network_pb2, plan_pb2

from engine.api import fields
from engine.api.methods import (
    BatchBuilder,
    Command,
    LoneHandler,
    ReadHandler,
    Surroundings,
    Work,
    outcomes_of,
    service_methods,
)
from engine.api.refusals import refused, wrong_version
from engine.api.stock import sku_fields
from engine.errors import RETRY_SECONDS, RefusedError
from engine.time_zones import EXPECTED, time_zones
from ledger.book import Book
from ledger.core import limits
from ledger.core.records import VALIDATE_ONLY
from ledger.core.statuses import Operation, Status
from ledger.parts.part import Change
from ledger.parts.resources import Location, Resource, Sku, has_same_content, succeed

LOCATION_FIELDS: Final = (
    "kind",
    "display_name",
    "latitude",
    "longitude",
    "time_zone",
    "capabilities",
    "active",
    "location_groups",
)
# Stands for the unit of a sku that does not exist, so that an update of it is refused for that.
UNKNOWN_UNIT: Final = "unknown"
NOT_NOWHERE: Final = "coordinates other than 0, 0, which stand for none: this location sends parcels"
Read = TypeVar("Read")
ATTEMPTS_MAX: Final = 5
"""How often an upsert is compared again because the catalog changed meanwhile."""
COMPARED_AT_ONCE_MAX: Final = 128
"""Resources that the writer reads itself; more are read beside it."""
# Results of an upsert in one number: counts of created, updated and unchanged, 20 bits each.
COUNT_BITS: Final = 20
COUNT_MASK: Final = (1 << COUNT_BITS) - 1
assert limits.CATALOG_ITEMS_PER_CALL_MAX <= COUNT_MASK


# ---- checking --------------------------------------------------------------------------------------------------------


def time_zone_of(value: str, field: str) -> str:
    """Check an IANA time zone; empty is UTC."""
    if (value or "UTC") not in time_zones():
        fields.wrong(field, EXPECTED, value)
    return value or "UTC"


def degrees(value: float, field: str, bound: float) -> float:
    """Check a coordinate."""
    if not -bound <= value <= bound:
        fields.wrong(field, f"{-bound:g} to {bound:g} degrees", value)
    return value


def read_location(message: messages.Location, field: str) -> Location:
    """Check a location."""
    kinds = messages.LocationKind.values()[1:]
    if message.kind not in kinds:
        fields.wrong(f"{field}.kind", "a kind of LocationKind", message.kind)
    capabilities = messages.LocationCapability.values()[1:]
    for place, capability in enumerate(message.capabilities):
        if capability not in capabilities:
            fields.wrong(f"{field}.capabilities[{place}]", "a capability of LocationCapability", capability)
    if len(set(message.capabilities)) < len(message.capabilities):
        fields.wrong(f"{field}.capabilities", "each at most once", list(message.capabilities))
    return Location(
        location_id=fields.identifier(message.location_id, f"{field}.location_id"),
        kind=message.kind,
        display_name=fields.text(message.display_name, f"{field}.display_name", limits.NAME_BYTES_MAX),
        latitude=degrees(message.latitude, f"{field}.latitude", 90.0),
        longitude=degrees(message.longitude, f"{field}.longitude", 180.0),
        time_zone=time_zone_of(message.time_zone, f"{field}.time_zone"),
        capabilities=tuple(message.capabilities),
        active=message.active,
        location_groups=sku_fields.names_of(message.location_groups, f"{field}.location_groups", limits.GROUPS_MAX),
    )


def checked(request: Any, read: Callable[..., Read], *given: Any) -> Read:
    """Return what a function reads of a request that changes the catalog, once its request id is checked too."""

    def read_both() -> Read:
        made = read(*given)
        fields.request_id(request.request_id)
        return made

    return fields.in_full(read_both)


def masked(new: Resource, old: Resource, mask: FieldMask, changeable: Sequence[str]) -> Resource:
    """Return `old` with the fields of the mask taken from `new`; an empty mask, or "*", means all that may change."""
    paths = list(mask.paths)
    if paths in ([], ["*"]):
        paths = list(changeable)
    for path in paths:
        if path not in changeable:
            fields.wrong("update_mask", f"some of {', '.join(changeable)}", path)
            return old
    return msgspec.structs.replace(old, **{path: getattr(new, path) for path in paths})


# ---- writing ---------------------------------------------------------------------------------------------------------


def is_to_be_validated(request: Any) -> bool:
    """Tell whether a request is to be checked, and nothing written."""
    return bool(getattr(request, "validate_only", False))


def content_of(method: str, request: Message) -> int:
    """Hash what a request asks for, without its request id."""
    bare = type(request)()
    bare.CopyFrom(request)
    bare.ClearField("request_id")
    if is_to_be_validated(request):  # it stands for the request that it tries out
        bare.ClearField("validate_only")
    return int(xxhash.xxh3_64_intdigest(method.encode() + bare.SerializeToString(deterministic=True)))


class Decision(NamedTuple):
    """What the catalog makes of a change: how to explain it follows from the status and the result alone."""

    status: Status = Status.OK
    result: int = 0
    """Kept with the request id: packed counts of an upsert, the current version where it is not the expected one."""
    resources: Sequence[Change] = ()
    """What is created or replaced if the change is OK."""


def change(
    book: Book, request: Any, decision: Decision, time_us: int, explain: Callable[[Decision], RefusedError]
) -> tuple[int, int]:
    """Run a catalog change through the ledger's memory of request ids; with validate_only nothing is written.

    Returns
    -------
    seq, result
        Those of the first call with the request id.

    Raises
    ------
    RefusedError
        As `explain` says of the first call's decision.
    """
    command = Command(
        Operation.CHANGE_CATALOG,
        (),
        fields.request_id(request.request_id),
        flags=VALIDATE_ONLY if is_to_be_validated(request) else 0,
        status=decision.status,
        result=decision.result,
        content=content_of(type(request).__name__, request),
    )
    batch = BatchBuilder(book)
    batch.add(command)
    outcome = outcomes_of(book.change_catalog(batch.take(), decision.resources, time_us))[0]
    if outcome.status == Status.OK:
        return outcome.seq, outcome.time_us
    if outcome.status in (Status.REQUEST_ID_REUSED, Status.REQUEST_ID_TOO_OLD):
        raise refused(command, outcome, book)
    raise explain(Decision(Status(outcome.status), outcome.time_us))


def already(status: Status, field: str, name: str) -> RefusedError:
    """Return the refusal of an id that is taken."""
    return RefusedError(status.name, f'{field}: "{name}" exists already; update it instead.', metadata={"field": field})


def decide_creation(new: Resource, old: Resource | None, taken: Status, time_us: int) -> Decision:
    """Decide whether a resource can be created."""
    return Decision(taken) if old is not None else Decision(resources=[succeed(new, None, time_us)])


def decide_update(  # noqa: PLR0917 - all by position, two call sites
    new: Resource, old: Resource | None, mask: FieldMask, changeable: Sequence[str], version: int, time_us: int
) -> Decision:
    """Decide what an update makes of a resource."""
    if old is None:
        return Decision(Status.LOCATION_NOT_FOUND if isinstance(new, Location) else Status.SKU_NOT_FOUND)
    if version not in (0, old.version):
        return Decision(Status.VERSION_MISMATCH, old.version)
    return Decision(resources=[succeed(masked(new, old, mask, changeable), old, time_us)])


def explain_update(kind: str, name: str, version: int) -> Callable[[Decision], RefusedError]:
    """Return what explains the refusal of an update."""

    def explain(decision: Decision) -> RefusedError:
        if decision.status is Status.VERSION_MISMATCH:
            return wrong_version(f"{kind}.version", decision.result, version)
        return fields.missing(decision.status.name, f"{kind}.{kind}_id", kind, name)

    return explain


def create_location(request: service.CreateLocationRequest, book: Book, time_us: int) -> service.CreateLocationResponse:
    """Answer CreateLocation."""
    location = checked(request, read_location, request.location, "location")
    name = location.location_id
    decision = decide_creation(location, book.catalog.location(name), Status.LOCATION_ALREADY_EXISTS, time_us)
    seq, _ = change(
        book, request, decision, time_us, lambda refusal: already(refusal.status, "location.location_id", name)
    )
    return service.CreateLocationResponse(location=show_location(book, name), seq=seq)


def update_location(request: service.UpdateLocationRequest, book: Book, time_us: int) -> service.UpdateLocationResponse:
    """Answer UpdateLocation."""
    name, version = request.location.location_id, request.location.version
    old = book.catalog.location(name)
    new = checked(request, changed_location, request, old, book)
    decision = decide_update(new, old, request.update_mask, LOCATION_FIELDS, version, time_us)
    seq, _ = change(book, request, decision, time_us, explain_update("location", name, version))
    return service.UpdateLocationResponse(location=show_location(book, name), seq=seq)


def changed_location(request: service.UpdateLocationRequest, old: Location | None, book: Book) -> Location:
    """Check the location of an update."""
    fields.identifier(request.location.location_id, "location.location_id")
    new = completed_location(request.location, request.update_mask, old, "location")
    refuse_nowhere(masked(new, old, request.update_mask, LOCATION_FIELDS) if old else new, book, "location")
    return new


def completed_location(item: messages.Location, mask: FieldMask, old: Location | None, field: str) -> Location:
    """Check the location of a change; the kind needs no value where the mask leaves it out."""
    given = messages.Location()
    given.CopyFrom(item)
    paths = list(mask.paths)
    if paths not in ([], ["*"]) and "kind" not in paths:
        given.kind = old.kind if old else messages.LOCATION_KIND_STORE  # type: ignore[assignment]  # values of the wire
    return read_location(given, field)


def sends_parcels(routing: network_pb2.LocationRouting) -> bool:
    """Tell whether a location's distance to the customer counts."""
    return not {plan_pb2.FULFILLMENT_METHOD_SHIP, plan_pb2.FULFILLMENT_METHOD_DELIVERY}.isdisjoint(routing.methods)


def refuse_nowhere(location: Location, book: Book, field: str) -> None:
    """Refuse to forget where a location is that sends parcels."""
    kept = book.network.location_routing.get(location.location_id)
    if kept is None or location.latitude or location.longitude:
        return
    if sends_parcels(network_pb2.LocationRouting.FromString(kept.content)):
        fields.wrong(f"{field}.latitude", NOT_NOWHERE, "0 degrees north and east")


def create_sku(request: service.CreateSkuRequest, book: Book, time_us: int) -> service.CreateSkuResponse:
    """Answer CreateSku."""
    sku = checked(request, sku_fields.read_sku, request.sku, "sku")
    name = sku.sku_id
    decision = decide_creation(sku, book.catalog.sku(name), Status.SKU_ALREADY_EXISTS, time_us)
    seq, _ = change(book, request, decision, time_us, lambda refusal: already(refusal.status, "sku.sku_id", name))
    return service.CreateSkuResponse(sku=show_sku(book, name), seq=seq)


def update_sku(request: service.UpdateSkuRequest, book: Book, time_us: int) -> service.UpdateSkuResponse:
    """Answer UpdateSku; the base unit never changes."""
    name, version = request.sku.sku_id, request.sku.version
    old = book.catalog.sku(name)
    new = checked(request, changed_sku, request, old)
    decision = decide_update(new, old, request.update_mask, sku_fields.CHANGEABLE, version, time_us)
    seq, _ = change(book, request, decision, time_us, explain_update("sku", name, version))
    return service.UpdateSkuResponse(sku=show_sku(book, name), seq=seq)


def changed_sku(request: service.UpdateSkuRequest, old: Sku | None) -> Sku:
    """Check the sku of an update."""
    fields.identifier(request.sku.sku_id, "sku.sku_id")
    return completed_sku(request.sku, old, "sku")


def completed_sku(item: messages.Sku, old: Sku | None, field: str) -> Sku:
    """Check the sku of a change; the base unit needs no value."""
    given = messages.Sku()
    given.CopyFrom(item)
    if old is not None and given.base_unit not in ("", old.base_unit):
        fields.wrong(f"{field}.base_unit", f'"{old.base_unit}", which never changes', given.base_unit)
    given.base_unit = given.base_unit or (old.base_unit if old else UNKNOWN_UNIT)
    return sku_fields.read_sku(given, field)


class Compared(NamedTuple):
    """The resources of an upsert beside what there is of them."""

    new: Sequence[Any]
    old: Sequence[Any]
    """None: there is none of that id."""
    differs: Sequence[bool]

    @classmethod
    def of(cls, new: Sequence[Resource], old: Sequence[Resource | None]) -> "Compared":
        """Compare them."""
        pairs = zip(new, old, strict=True)
        return cls(new, old, [before is None or not has_same_content(after, before) for after, before in pairs])

    def changed(self, time_us: int) -> list[Any]:
        """Return those that are new or differ, as they follow what there is."""
        triples = zip(self.new, self.old, self.differs, strict=True)
        return [succeed(new, old, time_us) for new, old, differs in triples if differs]

    def packed_counts(self) -> int:
        """Return how many are created, updated and unchanged, as one number."""
        created = sum(old is None for old in self.old)
        updated = sum(self.differs) - created
        return created | updated << COUNT_BITS | len(self.new) - created - updated << 2 * COUNT_BITS


def compared(compare: Callable[[], Compared], count: int, book: Book, find: Callable[[Any], Any]) -> Work[Compared]:
    """Return what an upsert comes to; where it has many resources they are read beside the writer.

    Parameters
    ----------
    compare
        Reads and compares the resources; raises RefusedError.
    count
        How many there are.
    find
        Returns what the catalog has of one of them, or None.
    """
    for _ in range(ATTEMPTS_MAX):
        version = book.network.version
        found: Compared = compare() if count <= COMPARED_AT_ONCE_MAX else (yield compare)
        is_as_it_was = all(find(new) is old for new, old in zip(found.new, found.old, strict=True))
        if is_as_it_was and version == book.network.version:
            return found
    raise RefusedError(
        "OVERLOADED", "The catalog changed all the time while this was checked.", retry_seconds=RETRY_SECONDS
    )


def upsert(request: Any, book: Book, found: Compared) -> dict[str, int]:
    """Write what an upsert changes; returns the fields of its response."""
    seq, packed, time_us = book.seq, found.packed_counts(), book.ledger.group_time_us
    changed = found.changed(time_us)
    if changed or request.request_id:
        seq, packed = change(book, request, Decision(result=packed, resources=changed), time_us, never_refused)
    return {
        "created_count": packed & COUNT_MASK,
        "updated_count": packed >> COUNT_BITS & COUNT_MASK,
        "unchanged_count": packed >> 2 * COUNT_BITS,
        "seq": seq,
    }


def never_refused(decision: Decision) -> RefusedError:
    """Explain the refusal of an upsert: there is none but that of a wrong field."""
    raise AssertionError(decision)


def upsert_locations(
    request: service.UpsertLocationsRequest, book: Book, _: int
) -> Work[service.UpsertLocationsResponse]:
    """Answer UpsertLocations."""
    items, find = request.locations, book.catalog.location
    fields.count_of(items, "locations", limits.CATALOG_ITEMS_PER_CALL_MAX)
    read = partial(checked, request, compared_locations, request, book)
    found = yield from compared(read, len(items), book, lambda new: find(new.location_id))
    return service.UpsertLocationsResponse(**upsert(request, book, found))


def compared_locations(request: service.UpsertLocationsRequest, book: Book) -> Compared:
    """Check the locations of an upsert and compare them with what there is; any thread may."""
    new: list[Location] = []
    olds: list[Location | None] = []
    for place, item in enumerate(request.locations):
        field, mask = f"locations[{place}]", request.update_mask
        old = book.catalog.location(item.location_id)
        given = read_location(item, field) if old is None else completed_location(item, mask, old, field)
        new.append(given if old is None else masked(given, old, mask, LOCATION_FIELDS))
        olds.append(old)
        refuse_nowhere(new[-1], book, field)
    fields.unique((item.location_id for item in new), "locations")
    return Compared.of(new, olds)


def upsert_skus(request: service.UpsertSkusRequest, book: Book, _: int) -> Work[service.UpsertSkusResponse]:
    """Answer UpsertSkus."""
    items, find = request.skus, book.catalog.sku
    fields.count_of(items, "skus", limits.CATALOG_ITEMS_PER_CALL_MAX)
    read = partial(checked, request, compared_skus, request, book)
    found = yield from compared(read, len(items), book, lambda new: find(new.sku_id))
    return service.UpsertSkusResponse(**upsert(request, book, found))


def compared_skus(request: service.UpsertSkusRequest, book: Book) -> Compared:
    """Check the skus of an upsert and compare them with what there is; any thread may."""
    new: list[Sku] = []
    olds: list[Sku | None] = []
    for place, item in enumerate(request.skus):
        field, mask = f"skus[{place}]", request.update_mask
        old = book.catalog.sku(item.sku_id)
        given = sku_fields.read_sku(item, field) if old is None or not mask.paths else completed_sku(item, old, field)
        if old is not None and old.base_unit != given.base_unit:
            fields.wrong(f"{field}.base_unit", f'"{old.base_unit}", which never changes', given.base_unit)
        new.append(given if old is None else masked(given, old, mask, sku_fields.CHANGEABLE))
        olds.append(old)
    fields.unique((item.sku_id for item in new), "skus")
    return Compared.of(new, olds)


# ---- reading ---------------------------------------------------------------------------------------------------------


def describe_location(location: Location) -> messages.Location:
    """Return a location as callers see it."""
    message = messages.Location(
        location_id=location.location_id,
        kind=location.kind,  # type: ignore[arg-type]  # values of the wire
        display_name=location.display_name,
        latitude=location.latitude,
        longitude=location.longitude,
        time_zone=location.time_zone,
        capabilities=location.capabilities,  # type: ignore[arg-type]  # values of the wire
        active=location.active,
        location_groups=location.location_groups,
        version=location.version,
    )
    fields.set_time(message.create_time, location.create_time_us)
    fields.set_time(message.update_time, location.update_time_us)
    return message


def show_location(book: Book, location_id: str) -> messages.Location:
    """Return a location by id; refuses an unknown one."""
    location = book.catalog.location(fields.identifier(location_id, "location_id"))
    if location is None:
        raise fields.missing("LOCATION_NOT_FOUND", "location_id", "location", location_id)
    return describe_location(location)


def show_sku(book: Book, sku_id: str) -> messages.Sku:
    """Return a sku by id; refuses an unknown one."""
    sku = book.catalog.sku(fields.identifier(sku_id, "sku_id"))
    if sku is None:
        raise fields.missing("SKU_NOT_FOUND", "sku_id", "sku", sku_id)
    return sku_fields.describe_sku(sku)


def get_location(request: service.GetLocationRequest, around: Surroundings) -> service.GetLocationResponse:
    """Answer GetLocation."""
    return service.GetLocationResponse(location=show_location(around.book, request.location_id), seq=around.book.seq)


def get_sku(request: service.GetSkuRequest, around: Surroundings) -> service.GetSkuResponse:
    """Answer GetSku."""
    return service.GetSkuResponse(sku=show_sku(around.book, request.sku_id), seq=around.book.seq)


def _locations_of(request: service.ListLocationsRequest) -> tuple[int, int, str]:
    """Return the size of a page, where it begins, and the group of locations that is wanted; "" means all."""
    group = fields.identifier(request.location_group, "location_group") if request.location_group else ""
    return *fields.page_of(request), group


def list_locations(request: service.ListLocationsRequest, around: Surroundings) -> service.ListLocationsResponse:
    """Answer ListLocations."""
    catalog = around.book.catalog
    size, following, group = fields.in_full(_locations_of, request)
    places: Sequence[int] = catalog.group_members(group) if group else range(len(catalog.locations))
    page: list[messages.Location] = []
    page_bytes = 0
    while following < len(places) and len(page) < size and page_bytes < fields.PAGE_BYTES_MAX:
        page.append(describe_location(catalog.locations[places[following]]))
        page_bytes += page[-1].ByteSize()
        following += 1
    return service.ListLocationsResponse(
        locations=page, next_page_token=str(following) if following < len(places) else "", seq=around.book.seq
    )


def list_skus(request: service.ListSkusRequest, around: Surroundings) -> service.ListSkusResponse:
    """Answer ListSkus."""
    skus = around.book.catalog.skus
    size, start = fields.in_full(fields.page_of, request)
    page = skus[start : start + size]
    following = start + len(page)
    return service.ListSkusResponse(
        skus=[sku_fields.describe_sku(sku) for sku in page],
        next_page_token=str(following) if following < len(skus) else "",
        seq=around.book.seq,
    )


METHODS: Final = service_methods(
    service.DESCRIPTOR.services_by_name["CatalogService"],
    {
        "CreateLocation": LoneHandler(create_location),
        "UpdateLocation": LoneHandler(update_location),
        "GetLocation": ReadHandler(get_location),
        "ListLocations": ReadHandler(list_locations),
        "UpsertLocations": LoneHandler(upsert_locations),
        "CreateSku": LoneHandler(create_sku),
        "UpdateSku": LoneHandler(update_sku),
        "GetSku": ReadHandler(get_sku),
        "ListSkus": ReadHandler(list_skus),
        "UpsertSkus": LoneHandler(upsert_skus),
    },
)
