"""The largest legal request of each RPC of stock, reservations, catalog and administration, for a filled engine.

`prepare` makes the holds that some of them need; `largest_requests` gives them, each to be sent once.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

import numpy as np
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from numpy.typing import NDArray
from onhand.admin.v1 import admin_service_pb2 as admin
from onhand.columns import RequestColumns
from onhand.inventory.v1 import catalog_pb2 as catalog_messages
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import request_service_pb2 as requests
from onhand.inventory.v1 import reservation_pb2 as messages
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.inventory.v1 import stock_pb2 as stock

from bench.names import TTL_SECONDS, location_name, sku_name
from bench.pauses_columns import BULK, ORIGIN, PACKAGE, TARGET, WIDE, WIDE_HOLDS, Largest, columns, made_by, names
from bench.pauses_transfers import Transfers, of_transfers, prepare_transfers
from bench.pauses_work import Works, of_works, prepare_works
from ledger.core import limits

STOCK: Final = PACKAGE + "InventoryService/"
HOLDS: Final = PACKAGE + "ReservationService/"
CATALOG: Final = PACKAGE + "CatalogService/"
ADMIN: Final = "/onhand.admin.v1.AdminService/"
REQUEST_ID: Final = "6c0c5b1e-8d0a-4c57-9f7e-3b1d7f0a9a11"
"""Of a write that was done."""


class Prepared(NamedTuple):
    """What the engine has."""

    skus: int
    """Each is stocked at each location, as `bench.names` calls them."""
    locations: int
    wide: Iterator[int]
    """Reservations of WIDE lines at the location ORIGIN."""
    wide_orders: Iterator[int]
    """The same, committed."""
    narrow: Iterator[int]
    """Reservations of one line."""
    transfers: Transfers
    works: Works


def wide_reserves(count: int) -> RequestColumns:
    """Return a bulk call that makes `count` reservations of WIDE lines."""
    lines = np.tile(np.arange(WIDE), count)
    return columns(
        count,
        "RESERVE",
        **names(WIDE),
        line_counts=WIDE,
        sku_indexes=lines,
        quantities=1,
        ttl_us=TTL_SECONDS * limits.MICROSECONDS,
    )


def narrow_reserves(count: int, skus: int) -> RequestColumns:
    """Return a bulk call that makes `count` reservations of one line."""
    return columns(
        count,
        "RESERVE",
        **names(min(skus, count)),
        sku_indexes=np.arange(count) % min(skus, count),
        quantities=1,
        ttl_us=TTL_SECONDS * limits.MICROSECONDS,
    )


def prepare(call: Callable[[str, Message], bytes], skus: int, locations: int) -> Prepared:
    """Make the holds that `largest_requests` speaks of; `call` takes an RPC's path and returns the response's bytes."""

    def made(request: Message) -> list[int]:
        return made_by(call(BULK, request))

    call(HOLDS + "ReserveStock", _reserve(WIDE, request_id=REQUEST_ID))
    wide = [number for _ in range(8) for number in made(wide_reserves(WIDE_HOLDS))]
    orders = [number for _ in range(4) for number in made(wide_reserves(WIDE_HOLDS))]
    for first in range(0, len(orders), WIDE_HOLDS):
        call(BULK, columns(WIDE_HOLDS, "COMMIT", line_counts=0, reservation_ids=np.array(orders[first:][:WIDE_HOLDS])))
    narrow = [
        number for _ in range(6) for number in made(narrow_reserves(limits.COMMANDS_PER_CALL_MAX, min(skus, 1_000)))
    ]
    wide_orders = iter(orders)
    works = prepare_works(call, wide_orders)
    return Prepared(skus, locations, iter(wide), wide_orders, iter(narrow), prepare_transfers(call), works)


def largest_requests(at: Prepared) -> Iterator[Largest]:
    """Give the largest legal requests, in an order in which all are accepted."""
    yield from _reads(at)
    yield from _of_reservations(at)
    yield from of_transfers(at.transfers, next(at.wide_orders))
    yield from of_works(at.works)
    yield from _facts(at)
    yield from _bulk(at)
    yield from _catalog()
    yield Largest(ADMIN + "GetStatus", "", admin.GetStatusRequest())
    yield Largest(ADMIN + "VerifyLedger", "the whole ledger", admin.VerifyLedgerRequest())
    yield Largest(ADMIN + "Checkpoint", "the whole book", admin.CheckpointRequest())
    yield Largest(ADMIN + "ReadSnapshot", "the first piece of the newest", admin.ReadSnapshotRequest())


# ---- reads -----------------------------------------------------------------------------------------------------------


def _reads(at: Prepared) -> Iterator[Largest]:
    top, pairs = limits.PAGE_SIZE_MAX, limits.AVAILABILITY_PAIRS_PER_CALL_MAX
    skus = [sku_name(number) for number in range(min(pairs, at.skus))]
    places = [location_name(number) for number in range(at.locations)]
    availability = STOCK + "BatchGetAvailability"
    one_place = inventory.BatchGetAvailabilityRequest(sku_ids=skus, location_ids=places[:1])
    yield Largest(availability, f"{len(skus)} skus at one location", one_place)
    some = skus[: max(1, pairs // len(places))]
    many = places[: pairs // len(some)]
    everywhere = inventory.BatchGetAvailabilityRequest(sku_ids=some, location_ids=many)
    yield Largest(availability, f"{len(some)} skus at {len(many)} locations", everywhere)
    some = [sku_name(number) for number in range(min(limits.AVAILABILITY_TOTALS_PER_CALL_MAX // len(places), at.skus))]
    totals = inventory.BatchGetAvailabilityRequest(sku_ids=some, location_ids=places, totals_only=True)
    yield Largest(availability, f"totals of {len(some)} skus at {len(places)} locations", totals)
    last = {"sku_id": sku_name(at.skus - 1), "location_id": location_name(at.locations - 1)}
    yield Largest(STOCK + "GetStockLevel", "", inventory.GetStockLevelRequest(**last))
    levels: dict[str, dict[str, Any]] = {
        "a full page": {},
        "one sku": {"sku_id": last["sku_id"]},
        "one location": {"location_id": last["location_id"]},
        "one sku at one location": last,
        "suspects, of which there are none": {"suspect_only": True},
    }
    for size, filters in levels.items():
        request = inventory.ListStockLevelsRequest(page_size=top, **filters)
        yield Largest(STOCK + "ListStockLevels", size, request)
    holds: dict[str, dict[str, Any]] = {
        "a full page": {},
        "state of none": {"state": messages.RESERVATION_STATE_EXPIRED},
        "one location without": {"location_id": last["location_id"], "state": messages.RESERVATION_STATE_COMMITTED},
        "one sku": {"sku_id": sku_name(0)},
    }
    for size, filters in holds.items():
        listing = reservations.ListReservationsRequest(page_size=top, **filters)
        yield Largest(HOLDS + "ListReservations", size, listing)
    wide = reservations.GetReservationRequest(reservation_id=f"{next(at.wide):016x}")
    yield Largest(HOLDS + "GetReservation", f"{WIDE} lines", wide)
    for size, sku_id in {"a full page": "", "one sku": last["sku_id"]}.items():
        yield Largest(STOCK + "ListMovements", size, inventory.ListMovementsRequest(page_size=top, sku_id=sku_id))
    outcome = requests.GetRequestOutcomeRequest(request_id=REQUEST_ID)
    yield Largest(PACKAGE + "RequestService/GetRequestOutcome", f"a hold of {WIDE} lines", outcome)
    yield Largest(CATALOG + "GetSku", "", catalog.GetSkuRequest(sku_id=last["sku_id"]))
    yield Largest(CATALOG + "GetLocation", "", catalog.GetLocationRequest(location_id=last["location_id"]))
    yield Largest(CATALOG + "ListSkus", "a full page", catalog.ListSkusRequest(page_size=top))
    yield Largest(CATALOG + "ListLocations", "a full page", catalog.ListLocationsRequest(page_size=top))


# ---- reservations ----------------------------------------------------------------------------------------------------


def _lines(count: int) -> list[messages.LineQuantity]:
    place = location_name(ORIGIN)
    return [messages.LineQuantity(sku_id=sku_name(sku), location_id=place, quantity=1) for sku in range(count)]


def _reserve(lines: int, request_id: str = "") -> reservations.ReserveStockRequest:
    return reservations.ReserveStockRequest(
        lines=_lines(lines),
        ttl=Duration(seconds=TTL_SECONDS),
        reference="r" * limits.REFERENCE_BYTES_MAX,
        actor="a" * limits.REFERENCE_BYTES_MAX,
        request_id=request_id,
    )


def _of_reservations(at: Prepared) -> Iterator[Largest]:
    lines, size = _lines(WIDE), f"{WIDE} lines"
    yield Largest(HOLDS + "ReserveStock", size, _reserve(WIDE))
    replaced = _reserve(WIDE)
    replaced.reservation_id = f"{next(at.wide):016x}"
    for line in replaced.lines:
        line.location_id = location_name(TARGET)
    yield Largest(HOLDS + "ReserveStock", f"{size} instead of as many others", replaced)
    batch = limits.RESERVATIONS_PER_BATCH_MAX
    each = limits.LINES_PER_BATCH_MAX // batch
    many = reservations.BatchReserveStockRequest(requests=[_reserve(each)] * batch)
    yield Largest(HOLDS + "BatchReserveStock", f"{batch} of {each} lines", many)
    wide = limits.LINES_PER_BATCH_MAX // WIDE
    few = reservations.BatchReserveStockRequest(requests=[_reserve(WIDE)] * wide)
    yield Largest(HOLDS + "BatchReserveStock", f"{wide} of {WIDE} lines", few)
    for verb, holds in {
        "CommitReservation": at.wide,
        "ReleaseReservation": at.wide,
        "FulfillCommitment": at.wide_orders,
        "CancelCommitment": at.wide_orders,
    }.items():
        request = getattr(reservations, f"{verb}Request")(reservation_id=f"{next(holds):016x}", lines=lines)
        yield Largest(HOLDS + verb, size, request)
    extend = reservations.ExtendReservationRequest(
        reservation_id=f"{next(at.wide):016x}", ttl=Duration(seconds=TTL_SECONDS)
    )
    yield Largest(HOLDS + "ExtendReservation", size, extend)
    totals = [
        reservations.LineAmendment(sku_id=line.sku_id, location_id=line.location_id, quantity=2) for line in lines
    ]
    amend = reservations.AmendReservationRequest(reservation_id=f"{next(at.wide):016x}", lines=totals)
    yield Largest(HOLDS + "AmendReservation", size, amend)
    move = reservations.TransferReservationRequest(
        reservation_id=f"{next(at.wide):016x}",
        from_location_id=location_name(ORIGIN),
        to_location_id=location_name(TARGET),
        lines=[reservations.SkuQuantity(sku_id=line.sku_id, quantity=1) for line in lines],
    )
    yield Largest(HOLDS + "TransferReservation", size, move)


# ---- facts -----------------------------------------------------------------------------------------------------------


def _movements(at: Prepared, types: Sequence[str], count: int, quantity: int = 1) -> inventory.RecordMovementsRequest:
    request = inventory.RecordMovementsRequest()
    for number in range(count):
        name = types[number % len(types)]
        place = number // len(types)
        movement = request.movements.add(
            type=stock.MovementType.Value(f"MOVEMENT_TYPE_{name}"),
            sku_id=sku_name(place % at.skus),
            location_id=location_name(place // at.skus % at.locations),
            quantity=quantity,
        )
        if name == "TRANSFER":
            movement.to_location_id = location_name((place // at.skus + 1) % at.locations)
        elif name in ("MARK_UNAVAILABLE", "WRITE_OFF"):
            movement.unavailable_reason = stock.UNAVAILABLE_REASON_QUARANTINE
    return request


def _facts(at: Prepared) -> Iterator[Largest]:
    most = limits.MOVEMENTS_PER_CALL_MAX
    record = STOCK + "RecordMovements"
    yield Largest(record, f"{most} SALE", _movements(at, ["SALE"], most))
    yield Largest(record, f"{most} TRANSFER", _movements(at, ["TRANSFER"], most))
    marks = _movements(at, ["MARK_UNAVAILABLE", "WRITE_OFF"], most)
    yield Largest(record, f"{most} MARK_UNAVAILABLE and WRITE_OFF", marks)
    oversold = _movements(at, ["SALE"], most, limits.QUANTITY_MAX)
    yield Largest(record, f"{most} SALE that leave as many levels oversold", oversold)
    counts = inventory.SetOnHandRequest(
        counts=[
            inventory.OnHandCount(
                sku_id=sku_name(number % at.skus), location_id=location_name(number // at.skus), on_hand=10**9
            )
            for number in range(min(most, at.skus * at.locations))
        ]
    )
    yield Largest(STOCK + "SetOnHand", f"{len(counts.counts)} counts", counts)
    policy = inventory.SetStockPolicyRequest(
        sku_id=sku_name(0), location_id=location_name(ORIGIN), safety_stock=1, backorder_limit=10**6
    )
    yield Largest(STOCK + "SetStockPolicy", "", policy)


# ---- in columns ------------------------------------------------------------------------------------------------------


def _taken(holds: Iterator[int], count: int) -> NDArray[np.uint64]:
    return np.array(list(islice(holds, count)), np.uint64)


def _bulk(at: Prepared) -> Iterator[Largest]:
    most, per_command = limits.COMMANDS_PER_CALL_MAX, limits.MOVEMENTS_PER_CALL_MAX
    yield Largest(BULK, f"{most} RESERVE", narrow_reserves(most, at.skus))
    yield Largest(BULK, f"{WIDE_HOLDS} RESERVE of {WIDE} lines", wide_reserves(WIDE_HOLDS))
    for operation in ("COMMIT", "RELEASE"):
        some = columns(most, operation, line_counts=0, reservation_ids=_taken(at.narrow, most))
        yield Largest(BULK, f"{most} {operation}", some)
    ttl_us = TTL_SECONDS * limits.MICROSECONDS
    extended = columns(most, "EXTEND", line_counts=0, reservation_ids=_taken(at.narrow, most), ttl_us=ttl_us)
    yield Largest(BULK, f"{most} EXTEND", extended)
    lines: dict[str, Any] = names(WIDE) | {
        "line_counts": WIDE,
        "sku_indexes": np.tile(np.arange(WIDE)[::-1], WIDE_HOLDS),  # the last line of each is asked for first
        "quantities": 1,
    }
    for operation, holds in {
        "COMMIT": at.wide,
        "RELEASE": at.wide,
        "FULFILL": at.wide_orders,
        "CANCEL": at.wide_orders,
        "AMEND": at.wide,
        "TRANSFER": at.wide,
        "REPLACE": at.wide,
    }.items():
        more: dict[str, Any] = {"to_location_indexes": TARGET} if operation == "TRANSFER" else {}
        more |= {"quantities": 2} if operation == "AMEND" else {}
        more |= {"location_indexes": TARGET, "ttl_us": ttl_us} if operation == "REPLACE" else {}
        # lines that go count beside those that come
        numbers = _taken(holds, WIDE_HOLDS // 2 if operation == "REPLACE" else WIDE_HOLDS - 5)
        own = {**lines, "sku_indexes": lines["sku_indexes"][: WIDE * len(numbers)], **more}
        yield Largest(
            BULK,
            f"{len(numbers)} {operation} of {WIDE} lines",
            columns(len(numbers), operation, reservation_ids=numbers, **own),
        )
    many = per_command = min(per_command, at.skus)  # no sku and location twice in one count
    commands = limits.LINES_PER_CALL_MAX // per_command
    total = commands * per_command
    facts: dict[str, Any] = names(many) | {
        "line_counts": per_command,
        "sku_indexes": np.arange(total) % many,
        "location_indexes": np.arange(total) // many % 2,
        "quantities": 1,
    }
    sale, write_off = stock.MOVEMENT_TYPE_SALE, stock.MOVEMENT_TYPE_WRITE_OFF
    sales = columns(commands, "RECORD_MOVEMENTS", movement_types=sale, **facts)
    yield Largest(BULK, f"{commands} RECORD_MOVEMENTS of {per_command} SALE", sales)
    marked = np.where(np.arange(total) % 2, write_off, stock.MOVEMENT_TYPE_MARK_UNAVAILABLE)
    paired = facts | {"sku_indexes": facts["sku_indexes"] // 2, "location_indexes": 0}
    marks = columns(commands, "RECORD_MOVEMENTS", movement_types=marked, unavailable_reasons=1, **paired)
    yield Largest(BULK, f"{commands} RECORD_MOVEMENTS of {per_command} MARK_UNAVAILABLE and WRITE_OFF", marks)
    oversold = facts | {"quantities": limits.QUANTITY_MAX}
    taken = columns(commands, "RECORD_MOVEMENTS", movement_types=sale, **oversold)
    yield Largest(BULK, f"{commands} RECORD_MOVEMENTS of {per_command} SALE that oversell", taken)
    counted = facts | {"sku_indexes": np.arange(total) % many, "location_indexes": 0, "quantities": 10**9}
    counts = columns(commands, "SET_ON_HAND", **counted)
    yield Largest(BULK, f"{commands} SET_ON_HAND of {per_command} lines", counts)


# ---- catalog ---------------------------------------------------------------------------------------------------------


def _catalog() -> Iterator[Largest]:
    most = limits.CATALOG_ITEMS_PER_CALL_MAX
    skus = catalog.UpsertSkusRequest(
        skus=[
            catalog_messages.Sku(sku_id=f"NEW-{number:06}", base_unit="each", restrictions=["fragile", "cold"])
            for number in range(most)
        ]
    )
    yield Largest(CATALOG + "UpsertSkus", f"{most} new skus", skus)
    locations = catalog.UpsertLocationsRequest(
        locations=[
            catalog_messages.Location(location_id=f"NEW-{number:06}", kind=catalog_messages.LOCATION_KIND_STORE)
            for number in range(most)
        ]
    )
    yield Largest(CATALOG + "UpsertLocations", f"{most} new locations", locations)
    words = [f"{number:02}" + "w" * 62 for number in range(limits.RESTRICTIONS_MAX)]
    sku = catalog_messages.Sku(sku_id=sku_name(0), display_name="renamed", restrictions=words)
    yield Largest(CATALOG + "UpdateSku", f"{len(words)} restrictions", catalog.UpdateSkuRequest(sku=sku))
    one_more = catalog_messages.Sku(sku_id="NEW", base_unit="each", restrictions=words)
    yield Largest(CATALOG + "CreateSku", f"{len(words)} restrictions", catalog.CreateSkuRequest(sku=one_more))
    groups = [f"{number:02}" + "g" * 62 for number in range(limits.GROUPS_MAX)]
    place = catalog_messages.Location(
        location_id=location_name(ORIGIN),
        kind=catalog_messages.LOCATION_KIND_STORE,
        active=True,
        location_groups=groups,
    )
    moved = catalog.UpdateLocationRequest(location=place)
    moved.update_mask.paths.append("location_groups")
    yield Largest(CATALOG + "UpdateLocation", f"{len(groups)} groups, where all stock is", moved)
    place.location_id = "NEW"
    yield Largest(CATALOG + "CreateLocation", f"{len(groups)} groups", catalog.CreateLocationRequest(location=place))
