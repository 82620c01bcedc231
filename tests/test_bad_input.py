"""Wrong input of every kind: it is refused by the field's name, nothing is written, and the engine goes on."""

import contextlib
import math
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import grpc
import pytest
from harness import PATHS, REQUESTS, Client, Refused, Stage, new_id
from onhand.identifiers import visible
from onhand.inventory.v1 import catalog_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import stock_pb2 as stock

LONG = "x" * 65
WIDE = "ü" * 33  # 33 characters, 66 bytes
QUANTITIES = "expected 1 to 2147483647, was {}."
TOTALS = "expected 0 to 2147483647, was {}."
VISIBLE = "visible characters only, and no other blank than the plain one"
IDS = '1 to 64 bytes of UTF-8, was "{}".'
TTLS = "expected more than 0 s and at most 14400 s, was "
HOLDS = ("CommitReservation", "ReleaseReservation", "FulfillCommitment", "CancelCommitment")
ON_RESERVATION = (*HOLDS, "ExtendReservation", "AmendReservation", "TransferReservation")
WITH_NOTES = ("ReserveStock", *ON_RESERVATION, "RecordMovements", "SetOnHand", "SetStockPolicy")
WITH_LINES = {
    "ReserveStock": "lines",
    **dict.fromkeys(HOLDS, "lines"),
    "AmendReservation": "lines",
    "RecordMovements": "movements",
    "SetOnHand": "counts",
}
LISTS = ("ListReservations", "ListStockLevels", "ListMovements", "ListLocations", "ListSkus")
NIL = str(uuid.UUID(int=0))  # stands for no id at all
WRITES = tuple(name for name, request in REQUESTS.items() if "request_id" in request.DESCRIPTOR.fields_by_name)


@pytest.fixture
def stage(client: Client) -> Stage:
    return Stage(client)


@contextlib.contextmanager
def nothing_changes(stage: Stage, reservation_id: str = "") -> Iterator[None]:
    """Assert that levels, catalog, counts and the reservation named are afterwards what they were before."""
    before = _photograph(stage, reservation_id)
    yield
    assert _photograph(stage, reservation_id) == before


def _photograph(stage: Stage, reservation_id: str) -> list[Any]:
    client = stage.client
    status = client.status()
    catalog = [client.raw(rpc, stage.request(rpc).SerializeToString()) for rpc in ("GetSku", "ListLocations")]
    return [
        stage.levels(),
        [answer[: answer.rindex(b"\x10")] if b"\x10" in answer else answer for answer in catalog],
        client.get(reservation_id) if reservation_id else None,
        (status.sku_count, status.location_count, status.stock_level_count, status.request_id_count),
    ]


# ---- one field is wrong ---------------------------------------------------------------------------------------------

# Method, what to do to a good request, the field that is named, and the end of the message.
Case = tuple[str, Callable[[Any], object], str, str]


def put(**values: Any) -> Callable[[Any], object]:
    def change(request: Any) -> None:
        for name, value in values.items():
            setattr(request, name, value)

    return change


def put_in(path: str, **values: Any) -> Callable[[Any], object]:
    """Set fields of a message inside the request: "lines" is the first of the lines, "sku" is the sku."""

    def change(request: Any) -> None:
        inner = getattr(request, path)
        target = inner[0] if hasattr(inner, "append") else inner
        put(**values)(target)

    return change


def ttl(seconds: int, nanos: int = 0) -> Callable[[Any], object]:
    return put_in("ttl", seconds=seconds, nanos=nanos)


def times(field: str, count: int) -> Callable[[Any], object]:
    """Let a repeated field have this many entries."""

    def change(request: Any) -> None:
        entries = getattr(request, field)
        first = (
            entries[0] if isinstance(entries[0], str) else type(entries[0]).FromString(entries[0].SerializeToString())
        )
        del entries[:]
        entries.extend([first] * count)

    return change


def clear(field: str) -> Callable[[Any], object]:
    return lambda request: request.ClearField(field)


def repeat(field: str) -> Callable[[Any], object]:
    """Let the second entry of a repeated field be like the first."""

    def change(request: Any) -> None:
        entries = getattr(request, field)
        first = type(entries[0]).FromString(entries[0].SerializeToString())
        del entries[1:]
        entries.append(first)

    return change


def names(rpc: str, path: str, field: str, shown: str) -> list[Case]:
    """An id that is empty, too long in bytes, or too long in UTF-8."""
    return [(rpc, put_in(path, **{field: bad}), shown, IDS.format(bad)) for bad in ("", LONG, WIDE)]


def own_names(rpc: str, field: str, shown: str = "") -> list[Case]:
    return [(rpc, put(**{field: bad}), shown or field, IDS.format(bad)) for bad in ("", LONG, WIDE)]


CASES: list[Case] = [
    # reservations
    *[(rpc, put(request_id=bad), "request_id", f'was "{bad}".') for rpc in WRITES for bad in ("x", "0" * 32, NIL)],
    *[
        ("ReserveStock", put(request_id=bad), "request_id", f'was "{bad}".')
        for bad in (
            " ",
            "0190a6e4-5c1f-7b32-9c7e-2f5d1a3b4c5",
            "0190a6e4-5c1f-7b32-9c7e-2f5d1a3b4c5dd",
            "0190a6e4-5c1f-7b32-9c7e-2f5d1a3b4c5g",
            "0190a6e45c1f-7b32-9c7e-2f5d1a3b4c5d-",
            "{190a6e4-5c1f-7b32-9c7e-2f5d1a3b4c5}",
            "0190a6e4-5c1f-7b32-9c7e-2f5d1a3b  5d",
            "\u0660190a6e4-5c1f-7b32-9c7e-2f5d1a3b4c5d",
        )
    ],
    *[
        (rpc, put(reservation_id=""), "reservation_id", 'expected the id of a reservation, was "".')
        for rpc in ON_RESERVATION
    ],
    ("GetReservation", put(reservation_id=""), "reservation_id", 'expected the id of a reservation, was "".'),
    *[
        (rpc, put(**{note: bad}), note, f"expected at most 64 bytes of UTF-8, was {len(bad.encode())} bytes.")
        for rpc in WITH_NOTES
        for note in ("reference", "actor")
        for bad in (LONG, WIDE)
    ],
    *[
        (rpc, times(field, 101), field, f"expected {least} to 100 entries, was 101 entries.")
        for rpc, field, least in [
            ("ReserveStock", "lines", 1),
            *[(rpc, "lines", 0) for rpc in HOLDS],
            ("AmendReservation", "lines", 1),
            ("TransferReservation", "lines", 0),
        ]
    ],
    *[
        (rpc, times(field, 8_193), field, "expected 1 to 8192 entries, was 8193 entries.")
        for rpc, field in (
            ("RecordMovements", "movements"),
            ("SetOnHand", "counts"),
            ("UpsertLocations", "locations"),
            ("UpsertSkus", "skus"),
            ("BatchGetAvailability", "sku_ids"),
        )
    ],
    *[
        (rpc, clear(field), field, " entries, was 0 entries.")
        for rpc, field in (
            ("ReserveStock", "lines"),
            ("BatchReserveStock", "requests"),
            ("AmendReservation", "lines"),
            ("RecordMovements", "movements"),
            ("SetOnHand", "counts"),
            ("UpsertLocations", "locations"),
            ("UpsertSkus", "skus"),
            ("BatchGetAvailability", "sku_ids"),
        )
    ],
    ("BatchReserveStock", times("requests", 1_001), "requests", "expected 1 to 1000 entries, was 1001 entries."),
    ("BatchReserveStock", put_in("requests", request_id="x"), "requests[0].request_id", 'was "x".'),
    ("BatchReserveStock", lambda request: request.requests[1].ClearField("ttl"), "requests[1].ttl", TTLS + "0 s."),
    (
        "BatchReserveStock",
        lambda request: put(quantity=0)(request.requests[1].lines[0]),
        "requests[1].lines[0].quantity",
        QUANTITIES.format(0),
    ),
    *[case for rpc, field in WITH_LINES.items() for case in names(rpc, field, "sku_id", f"{field}[0].sku_id")],
    *[
        case
        for rpc, field in WITH_LINES.items()
        for case in names(rpc, field, "location_id", f"{field}[0].location_id")
    ],
    *names("TransferReservation", "lines", "sku_id", "lines[0].sku_id"),
    *own_names("TransferReservation", "from_location_id"),
    *own_names("TransferReservation", "to_location_id"),
    *[
        (rpc, put_in(field, quantity=bad), f"{field}[0].quantity", QUANTITIES.format(bad))
        for rpc, field in [
            ("ReserveStock", "lines"),
            *[(rpc, "lines") for rpc in HOLDS],
            ("TransferReservation", "lines"),
            ("RecordMovements", "movements"),
        ]
        for bad in (0, -1, 2**31, 2**63 - 1, -(2**63))
    ],
    *[
        (rpc, put_in(field, **{name: bad}), f"{field}[0].{name}", TOTALS.format(bad))
        for rpc, field, name in (("AmendReservation", "lines", "quantity"), ("SetOnHand", "counts", "on_hand"))
        for bad in (-1, 2**31, 2**63 - 1, -(2**63))
    ],
    *[
        ("SetStockPolicy", put(**{name: bad}), name, TOTALS.format(bad))
        for name in ("safety_stock", "backorder_limit")
        for bad in (-1, 2**31)
    ],
    *[
        (rpc, ttl(*bad), "ttl", TTLS)
        for rpc in ("ReserveStock", "ExtendReservation")
        for bad in (
            (0, 0),
            (-1, 0),
            (0, -1),
            (0, 999),
            (14_401, 0),
            (14_400, 1_000),
            (2**63 - 1, 0),
            (-(2**63), 0),
            (1, -500_000_000),  # no Duration: the signs differ
            (1, 1_000_000_000),  # no Duration: nanos is a fraction
        )
    ],
    *[(rpc, clear("ttl"), "ttl", TTLS + "0 s.") for rpc in ("ReserveStock", "ExtendReservation")],
    (
        "ReserveStock",
        lambda request: (put(quantity=2**31 - 1)(request.lines[0]), repeat("lines")(request)),
        "lines[1].quantity",
        "was 4294967294.",
    ),
    *[
        ("AmendReservation", put(expected_version=bad), "expected_version", TOTALS.format(bad))
        for bad in (-1, 2**31, 2**63 - 1)
    ],
    ("AmendReservation", repeat("lines"), "lines[1]", "expected no repeat of lines[0], was "),
    ("TransferReservation", repeat("lines"), "lines[1]", "expected no repeat of lines[0], was "),
    ("TransferReservation", put(expected_version=-1), "expected_version", TOTALS.format(-1)),
    (
        "TransferReservation",
        lambda request: put(to_location_id=request.from_location_id)(request),
        "to_location_id",
        "expected another location than from_location_id, was ",
    ),
    # stock
    *[
        ("RecordMovements", put_in("movements", type=bad), "movements[0].type", shown)
        for bad, shown in (
            (0, 'was "MOVEMENT_TYPE_UNSPECIFIED".'),
            (stock.MOVEMENT_TYPE_COUNT, 'was "MOVEMENT_TYPE_COUNT".'),
            (stock.MOVEMENT_TYPE_RESERVE, 'was "MOVEMENT_TYPE_RESERVE".'),
            (stock.MOVEMENT_TYPE_CANCEL, 'was "MOVEMENT_TYPE_CANCEL".'),
            (99, "was 99."),
            (-1, "was -1."),
        )
    ],
    *[
        (
            "RecordMovements",
            put_in("movements", type=stock.MOVEMENT_TYPE_ADJUST, quantity=bad),
            "movements[0].quantity",
            "expected ",
        )
        for bad in (0, 2**31, -(2**31), -(2**63))
    ],
    (
        "RecordMovements",
        put_in("movements", to_location_id="Y"),
        "movements[0].to_location_id",
        'expected nothing: only a TRANSFER has it, was "Y".',
    ),
    *[
        (
            "RecordMovements",
            put_in("movements", type=stock.MOVEMENT_TYPE_TRANSFER, to_location_id=bad),
            "movements[0].to_location_id",
            IDS.format(bad),
        )
        for bad in ("", LONG, WIDE)
    ],
    (
        "RecordMovements",
        lambda request: put(type=stock.MOVEMENT_TYPE_TRANSFER, to_location_id=request.movements[0].location_id)(
            request.movements[0]
        ),
        "movements[0].to_location_id",
        "expected another location than location_id, was ",
    ),
    *[
        (
            "RecordMovements",
            put_in("movements", type=kind, unavailable_reason=reason),
            "movements[0].unavailable_reason",
            f"was {reason}.",
        )
        for kind, reason in (
            (stock.MOVEMENT_TYPE_MARK_UNAVAILABLE, 0),
            (stock.MOVEMENT_TYPE_MARK_AVAILABLE, 0),
            (stock.MOVEMENT_TYPE_WRITE_OFF, 0),
            (stock.MOVEMENT_TYPE_MARK_UNAVAILABLE, 6),
            (stock.MOVEMENT_TYPE_MARK_UNAVAILABLE, -1),
            (stock.MOVEMENT_TYPE_RETURN, 99),
            (stock.MOVEMENT_TYPE_RECEIVE, 1),
            (stock.MOVEMENT_TYPE_SALE, 1),
            (stock.MOVEMENT_TYPE_DAMAGE, 2),
        )
    ],
    ("SetOnHand", repeat("counts"), "counts[1]", "expected no repeat of counts[0], was "),
    *own_names("SetStockPolicy", "sku_id"),
    *own_names("SetStockPolicy", "location_id"),
    (
        "SetStockPolicy",
        lambda request: (request.ClearField("safety_stock"), request.ClearField("backorder_limit")),
        "safety_stock",
        "expected a value here or in backorder_limit, was ",
    ),
    *own_names("GetStockLevel", "sku_id"),
    *own_names("GetStockLevel", "location_id"),
    *[
        ("BatchGetAvailability", lambda request, bad=bad: request.sku_ids.append(bad), "sku_ids[1]", IDS.format(bad))
        for bad in ("", LONG, WIDE)
    ],
    *[
        (
            "BatchGetAvailability",
            lambda request, bad=bad: request.location_ids.append(bad),
            "location_ids[1]",
            IDS.format(bad),
        )
        for bad in ("", LONG, WIDE)
    ],
    (
        "BatchGetAvailability",
        times("location_ids", 2),
        "location_ids[1]",
        "expected no repeat of location_ids[0], was ",
    ),
    (
        "BatchGetAvailability",
        put(location_group="G"),
        "location_group",
        'expected nothing where location_ids are given, was "G".',
    ),
    *[(rpc, put(page_size=bad), "page_size", f"0 to 1000, was {bad}.") for rpc in LISTS for bad in (-1, -(2**31))],
    *[
        (rpc, put(page_token=bad), "page_token", f'expected the next_page_token of an earlier answer, was "{bad}".')
        for rpc in LISTS
        for bad in ("garbage", "-1", " 1", "1.0", "0x1", "1" * 30, "٣")
    ],
    ("ListMovements", put(start_seq=-1), "start_seq", "expected 0 or more, was -1."),
    ("ListMovements", put(start_seq=1, page_token="1"), "start_seq", "expected 0 with a page_token, was 1."),
    # catalog
    *[
        case
        for rpc, path in (
            ("CreateLocation", "location"),
            ("UpdateLocation", "location"),
            ("UpsertLocations", "locations"),
        )
        for shown in (path if path == "location" else "locations[0]",)
        for case in (
            *names(rpc, path, "location_id", f"{shown}.location_id"),
            *[(rpc, put_in(path, kind=bad), f"{shown}.kind", f"was {bad}.") for bad in (0, 9, -1)],
            (rpc, put_in(path, display_name="x" * 257), f"{shown}.display_name", "256 bytes of UTF-8, was 257 bytes."),
            (rpc, put_in(path, display_name="ü" * 129), f"{shown}.display_name", "256 bytes of UTF-8, was 258 bytes."),
            *[
                (rpc, put_in(path, latitude=bad), f"{shown}.latitude", f"expected -90 to 90 degrees, was {bad}.")
                for bad in (90.5, -90.5, math.nan, math.inf, -math.inf)
            ],
            *[
                (rpc, put_in(path, longitude=bad), f"{shown}.longitude", f"expected -180 to 180 degrees, was {bad}.")
                for bad in (180.5, math.nan, math.inf)
            ],
            *[
                (rpc, put_in(path, time_zone=bad), f"{shown}.time_zone", f'was "{visible(bad)}".')
                for bad in (
                    "Berlin",
                    "europe/berlin",
                    "Europe",
                    "../UTC",
                    "/etc/localtime",
                    "UTC\0",
                    "Ü",
                    "x" * 60,
                    " ",
                )
            ],
        )
    ],
    *[
        ("CreateLocation", lambda request, bad=bad: request.location.capabilities.append(bad), field, shown)
        for bad, field, shown in (
            (0, "location.capabilities[2]", "was 0."),
            (99, "location.capabilities[2]", "was 99."),
            (1, "location.capabilities", "expected each at most once, was [1, 3, 1]."),
        )
    ],
    *[
        ("CreateLocation", lambda request, bad=bad: request.location.location_groups.append(bad), *shown)
        for bad, shown in (
            ("", ("location.location_groups[1]", IDS.format(""))),
            (LONG, ("location.location_groups[1]", IDS.format(LONG))),
        )
    ],
    (
        "CreateLocation",
        lambda request: request.location.location_groups.extend(str(number) for number in range(64)),
        "location.location_groups",
        "expected 0 to 64 entries, was 65 entries.",
    ),
    *[
        case
        for rpc, path in (("CreateSku", "sku"), ("UpdateSku", "sku"), ("UpsertSkus", "skus"))
        for shown in (path if path == "sku" else "skus[0]",)
        for case in (
            *names(rpc, path, "sku_id", f"{shown}.sku_id"),
            (rpc, put_in(path, display_name="x" * 257), f"{shown}.display_name", "256 bytes of UTF-8, was 257 bytes."),
            *[
                (rpc, put_in(path, base_unit=bad), f"{shown}.base_unit", f'was "{bad}".')
                for bad in ("x" * 33, "ü" * 17)
            ],
            *[
                (
                    rpc,
                    put_in(path, weight_milligrams=bad),
                    f"{shown}.weight_milligrams",
                    f"0 to 10000000000, was {bad}.",
                )
                for bad in (-1, 10**10 + 1)
            ],
        )
    ],
    ("CreateSku", put_in("sku", base_unit=""), "sku.base_unit", 'expected 1 to 32 bytes of UTF-8, was "".'),
    (
        "UpdateSku",
        put_in("sku", base_unit="gram"),
        "sku.base_unit",
        'expected "each", which never changes, was "gram".',
    ),
    (
        "UpsertSkus",
        put_in("skus", base_unit="gram"),
        "skus[0].base_unit",
        'expected "each", which never changes, was "gram".',
    ),
    *[
        (
            "CreateSku",
            lambda request, bad=bad: request.sku.restrictions.extend(bad),
            field,
            shown,
        )
        for bad, field, shown in (
            ([""], "sku.restrictions[1]", IDS.format("")),
            ([LONG], "sku.restrictions[1]", IDS.format(LONG)),
            (["hazmat"], "sku.restrictions[1]", 'expected no repeat of sku.restrictions[0], was "hazmat".'),
            ([str(number) for number in range(16)], "sku.restrictions", "expected 0 to 16 entries, was 17 entries."),
        )
    ],
    *[
        (rpc, lambda request, bad=bad: request.update_mask.paths.append(bad), "update_mask", f'was "{bad}".')
        for rpc, bads in (
            ("UpdateLocation", ("location_id", "version", "create_time", "nonsense", "location.kind", "")),
            ("UpdateSku", ("sku_id", "base_unit", "update_time", "nonsense", "DISPLAY_NAME")),
        )
        for bad in bads
    ],
    ("UpdateLocation", clear("location"), "location.location_id", IDS.format("")),
    ("UpdateSku", clear("sku"), "sku.sku_id", IDS.format("")),
    ("CreateSku", clear("sku"), "sku.base_unit", 'was "".'),
    ("CreateLocation", clear("location"), "location.kind", "was 0."),
    ("UpsertLocations", repeat("locations"), "locations[1]", "expected no repeat of locations[0], was "),
    ("UpsertSkus", repeat("skus"), "skus[1]", "expected no repeat of skus[0], was "),
    ("GetLocation", put(location_id=LONG), "location_id", IDS.format(LONG)),
    ("GetSku", put(sku_id=LONG), "sku_id", IDS.format(LONG)),
]


@pytest.mark.parametrize("rpc", dict.fromkeys(case[0] for case in CASES))
def test_a_wrong_field_is_named(stage, rpc):
    good = stage.request(rpc)
    wrong = []
    with nothing_changes(stage, getattr(good, "reservation_id", "")):
        for _, spoil, field, end in (case for case in CASES if case[0] == rpc):
            request = type(good).FromString(good.SerializeToString())
            spoil(request)
            try:
                stage.client.raw(rpc, request.SerializeToString())
                wrong.append(f"{field}, {end}: was accepted")
            except Refused as refused:
                if not is_named(refused, field, end):
                    wrong.append(f"{field}, {end}: was {refused.reason} {refused.fields} {refused}")
        assert wrong == []
    assert stage.client.outcome(rpc, good)[0] == "OK"


def is_named(refused: Refused, field: str, end: str) -> bool:
    """Tell whether a refusal names the field in every way there is, and says what was expected and what it was."""
    return (
        (refused.code.name, refused.reason) == ("INVALID_ARGUMENT", "VALIDATION_FAILED")
        and refused.fields[:1] == [field]  # others that are wrong come after it
        and refused.metadata["field"] == field
        and refused.message.startswith(f"{field}: expected ")
        and end.replace('"', "") in refused.message.replace('"', "")
    )


# ---- names nobody knows ---------------------------------------------------------------------------------------------

UNKNOWN: list[tuple[str, Callable[[Any], object], str, str]] = [
    *[
        (rpc, put_in(field, **{f"{kind}_id": "nobody"}), f"{kind.upper()}_NOT_FOUND", f"{field}[0].{kind}_id")
        for rpc, field in WITH_LINES.items()
        for kind in ("sku", "location")
    ],
    ("TransferReservation", put_in("lines", sku_id="nobody"), "SKU_NOT_FOUND", "lines[0].sku_id"),
    ("TransferReservation", put(from_location_id="nobody"), "LOCATION_NOT_FOUND", "from_location_id"),
    ("TransferReservation", put(to_location_id="nobody"), "LOCATION_NOT_FOUND", "to_location_id"),
    (
        "TransferReservation",
        lambda request: (request.ClearField("lines"), put(to_location_id="nobody")(request)),
        "LOCATION_NOT_FOUND",
        "to_location_id",
    ),
    (
        "RecordMovements",
        put_in("movements", type=stock.MOVEMENT_TYPE_TRANSFER, to_location_id="nobody"),
        "LOCATION_NOT_FOUND",
        "movements[0].to_location_id",
    ),
    *[
        (rpc, put(**{f"{kind}_id": "nobody"}), f"{kind.upper()}_NOT_FOUND", f"{kind}_id")
        for rpc in ("SetStockPolicy", "GetStockLevel", "ListStockLevels", "ListMovements", "ListReservations")
        for kind in ("sku", "location")
    ],
    ("GetSku", put(sku_id="nobody"), "SKU_NOT_FOUND", "sku_id"),
    ("GetLocation", put(location_id="nobody"), "LOCATION_NOT_FOUND", "location_id"),
    ("UpdateSku", put_in("sku", sku_id="nobody"), "SKU_NOT_FOUND", "sku.sku_id"),
    ("UpdateLocation", put_in("location", location_id="nobody"), "LOCATION_NOT_FOUND", "location.location_id"),
    ("BatchGetAvailability", lambda request: request.sku_ids.append("nobody"), "SKU_NOT_FOUND", "sku_ids[1]"),
    (
        "BatchGetAvailability",
        lambda request: request.location_ids.append("nobody"),
        "LOCATION_NOT_FOUND",
        "location_ids[1]",
    ),
    (
        "BatchGetAvailability",
        lambda request: (request.ClearField("location_ids"), put(location_group="nobody")(request)),
        "LOCATION_NOT_FOUND",
        "location_group",
    ),
    *[
        (rpc, put(reservation_id=bad), "RESERVATION_NOT_FOUND", "reservation_id")
        for rpc in (*ON_RESERVATION, "GetReservation")
        for bad in ("0" * 16, "f" * 16, "000fffffffffffff", "00000001FFFFFFFF", "x", "-1", LONG, "0" * 15 + "ü")
    ],
]


@pytest.mark.parametrize("rpc", dict.fromkeys(case[0] for case in UNKNOWN))
def test_an_unknown_name_is_named(stage, rpc):
    good = stage.request(rpc)
    wrong = []
    with nothing_changes(stage, getattr(good, "reservation_id", "")):
        for _, spoil, reason, field in (case for case in UNKNOWN if case[0] == rpc):
            request = type(good).FromString(good.SerializeToString())
            spoil(request)
            code, *seen = stage.client.outcome(rpc, request)
            if code != "NOT_FOUND" or seen[0] != reason or not seen[1].startswith(f"{field}: "):
                wrong.append(f"{field}: expected {reason}, was {code} {seen[:2]}")
            if reason != "RESERVATION_NOT_FOUND" and '"nobody"' not in seen[1]:
                wrong.append(f'{field}: expected it to name "nobody", was {seen[1]}')
    assert wrong == []


def test_ids_of_the_longest_length_work(client):
    sku, location = "ü" * 32, "\U0001f600" * 16
    client.prefix = ""
    with contextlib.suppress(Refused):  # the other tests of this engine may have made them
        client.sku(sku)
        client.location(location)
    client.receive(sku, location, 1)
    assert client.level(sku, location).sku_id == sku


def test_odd_characters_in_an_id_are_only_characters(client):
    odd = "a%20 \"'\\ü\U0001f600;--,|{}$"
    with pytest.raises(Refused) as refused:
        client.level(odd, odd)
    assert refused.value.reason == "SKU_NOT_FOUND"
    assert refused.value.metadata["sku"] == client.name(odd)
    client.sku(odd)
    client.location(odd)
    client.receive(odd, odd, 3)
    assert client.reserve((odd, odd, 3)).shortages == []
    assert client.level(odd, odd).location_id == client.name(odd)


LOOK_ALIKES = {
    "S ": ("no blank at either end", "S "),
    "S\u00a0": ("no blank at either end", r"S\u00a0"),
    "S\u3000": ("no blank at either end", r"S\u3000"),
    "S\n": ("no blank at either end", r"S\u000a"),
    "S\u200b": (VISIBLE, r"S\u200b"),
    "S\ufeff": (VISIBLE, r"S\ufeff"),
    "S\u00ad1": (VISIBLE, r"S\u00ad1"),
    "S\u2060": (VISIBLE, r"S\u2060"),
    "S\ufe0f": (VISIBLE, r"S\ufe0f"),
    "S\u3164": (VISIBLE, r"S\u3164"),
    "S\u00a01": (VISIBLE, r"S\u00a01"),
    "S\x7f1": (VISIBLE, r"S\u007f1"),
    "Ka\u0308se": ("composed characters (Unicode NFC)", r"Ka\u0308se"),
    "\u212b": ("composed characters (Unicode NFC)", r"\u212b"),
}


@pytest.mark.parametrize("name", LOOK_ALIKES, ids=ascii)
def test_an_identifier_that_looks_like_another_is_refused_everywhere_and_made_visible(client, name):
    expected, seen = LOOK_ALIKES[name]
    told = f'expected {expected}, was "{seen}".'
    client.prefix = ""
    new_location = catalog_pb2.Location(location_id=name, kind=catalog_pb2.LOCATION_KIND_STORE)
    calls = {
        "sku.sku_id": lambda: client.call(
            client.catalog.CreateSku,
            catalog.CreateSkuRequest(sku=catalog_pb2.Sku(sku_id=name, base_unit="each")),
        ),
        "skus[0].sku_id": lambda: client.call(
            client.catalog.UpsertSkus,
            catalog.UpsertSkusRequest(skus=[catalog_pb2.Sku(sku_id=name, base_unit="each")]),
        ),
        "skus[0].restrictions[0]": lambda: client.call(
            client.catalog.UpsertSkus,
            catalog.UpsertSkusRequest(skus=[catalog_pb2.Sku(sku_id="S", base_unit="each", restrictions=[name])]),
        ),
        "locations[0].location_id": lambda: client.call(
            client.catalog.UpsertLocations, catalog.UpsertLocationsRequest(locations=[new_location])
        ),
        "lines[0].sku_id": lambda: client.reserve((name, "X", 1)),
        "lines[0].location_id": lambda: client.reserve(("S", name, 1)),
        "movements[0].sku_id": lambda: client.receive(name, "X", 1),
        "sku_id": lambda: client.level(name, "X"),
        "counts[0].location_id": lambda: client.count("S", name, 1),
        "location_group": lambda: client.call(
            client.catalog.ListLocations, catalog.ListLocationsRequest(location_group=name)
        ),
    }
    for field, call in calls.items():
        with pytest.raises(Refused) as refused:
            call()
        assert (refused.value.reason, refused.value.message) == ("VALIDATION_FAILED", f"{field}: {told}")


def test_a_value_shows_what_it_hides_where_something_else_is_wrong(client):
    with pytest.raises(Refused) as refused:
        client.call(
            client.catalog.CreateLocation,
            catalog.CreateLocationRequest(
                location=catalog_pb2.Location(
                    location_id="X", kind=catalog_pb2.LOCATION_KIND_STORE, time_zone="Europe/Berlin\u200b"
                )
            ),
        )
    assert refused.value.message.endswith(r'was "Europe/Berlin\u200b".')


@pytest.mark.parametrize("zone", ["localtime", "Factory", "posixrules", "Berlin"])
def test_what_is_no_time_zone_is_refused(client, zone):
    location = catalog_pb2.Location(location_id="X", kind=catalog_pb2.LOCATION_KIND_STORE, time_zone=zone)
    with pytest.raises(Refused, match=r"location.time_zone: expected an IANA time zone"):
        client.call(client.catalog.CreateLocation, catalog.CreateLocationRequest(location=location))


def test_pairs_that_only_look_alike_are_no_repeat(client):
    place = client.name("Y")
    alike = (("S at X", place), ("S", f"X at {place}"))
    client.sku(*[sku for sku, _ in alike])
    skus = [client.name(sku) for sku, _ in alike]
    client.prefix = ""
    client.location(*[location for _, location in alike])
    counts = [
        inventory.OnHandCount(sku_id=sku, location_id=location, on_hand=1)
        for sku, (_, location) in zip(skus, alike, strict=True)
    ]
    client.call(client.inventory.SetOnHand, inventory.SetOnHandRequest(counts=counts))


# ---- answers that must fit ------------------------------------------------------------------------------------------


LONG_VALUES: dict[str, tuple[str, Callable[[str], Callable[[Any], object]]]] = {
    "sku_id of a line": ("ReserveStock", lambda bad: put_in("lines", sku_id=bad)),
    "request_id": ("ReserveStock", lambda bad: put(request_id=bad)),
    "time_zone": ("CreateLocation", lambda bad: put_in("location", time_zone=bad)),
    "base_unit": ("CreateSku", lambda bad: put_in("sku", base_unit=bad)),
    "update_mask": ("UpdateSku", lambda bad: lambda request: request.update_mask.paths.append(bad)),
    "page_token": ("ListSkus", lambda bad: put(page_token=bad)),
    "reservation_id": ("GetReservation", lambda bad: put(reservation_id=bad)),
    "sku_id": ("GetStockLevel", lambda bad: put(sku_id=bad)),
    "filter": ("ListReservations", lambda bad: put(sku_id=bad)),
}


@pytest.mark.parametrize("what", LONG_VALUES)
def test_a_wrong_value_of_any_length_is_answered_as_one(stage, what):
    rpc, spoil = LONG_VALUES[what]
    for size in (1_000, 10_000, 3_000_000):
        request = stage.request(rpc)
        spoil("ü" * (size // 2))(request)
        with pytest.raises(Refused) as refused:
            stage.client.raw(rpc, request.SerializeToString())
        assert refused.value.reason in ("VALIDATION_FAILED", "RESERVATION_NOT_FOUND", "SKU_NOT_FOUND"), size
        assert len(refused.value.message) < 2_000  # for people


@pytest.mark.parametrize("id_length", [8, 64])
def test_a_hundred_short_lines_reach_the_client(client, id_length):
    place = "P".ljust(id_length, "p")
    skus = [f"{number:03}".ljust(id_length, "s") for number in range(100)]
    client.prefix = client.prefix[: max(0, 64 - id_length)] if id_length < 64 else ""
    with contextlib.suppress(Refused):
        client.location(place)
        client.sku(*skus)
    receive = inventory.RecordMovementsRequest()
    for sku in skus:
        receive.movements.extend(client.movement_request("RECEIVE", sku, place, 1).movements)
    client.call(client.inventory.RecordMovements, receive)
    request = client.reserve_request(*[(sku, place, 2_000_000_000) for sku in skus])
    code, reason, *_ = client.outcome("ReserveStock", request)
    assert (code, reason) == ("FAILED_PRECONDITION", "INSUFFICIENT_STOCK")
    with pytest.raises(Refused) as refused:
        client.call(client.reservations.ReserveStock, request)
    assert len(refused.value.shortages) == 100


def test_a_refusal_of_the_longest_write_reaches_the_client(stage):
    movement = stage.client.movement_request("WRITE_OFF", "A", "X", 1).movements[0]
    movement.unavailable_reason = stock.UNAVAILABLE_REASON_DAMAGED
    request = inventory.RecordMovementsRequest(movements=[movement] * 8_192)
    assert stage.client.outcome("RecordMovements", request)[:2] == ("FAILED_PRECONDITION", "INSUFFICIENT_STOCK")


# ---- bytes that are no request --------------------------------------------------------------------------------------

GARBAGE = (b"\xff", b"\x0a\xff", b"\x08", bytes(range(256)), b"\x0f" * 5, b"\x0a\x05abc")


@pytest.mark.parametrize("rpc", PATHS)
def test_bytes_that_are_no_message_are_refused(stage, rpc):
    with nothing_changes(stage):
        for garbage in GARBAGE:
            with pytest.raises(Refused) as refused:
                stage.client.raw(rpc, garbage)
            assert (refused.value.code.name, refused.value.reason) == ("INVALID_ARGUMENT", "VALIDATION_FAILED")
            assert REQUESTS[rpc].DESCRIPTOR.full_name in refused.value.message


def test_text_that_is_no_utf8_is_refused(stage):
    name = stage.client.name("A").encode()
    payloads = {rpc: stage.request(rpc).SerializeToString() for rpc in PATHS}
    concerned = [rpc for rpc, payload in payloads.items() if name in payload]
    assert len(concerned) > 15
    with nothing_changes(stage):
        for rpc in concerned:
            with pytest.raises(Refused) as refused:
                stage.client.raw(rpc, payloads[rpc].replace(name, b"\xff" + name[1:]))
            assert (rpc, refused.value.reason) == (rpc, "VALIDATION_FAILED")


@pytest.mark.parametrize("rpc", PATHS)
def test_an_empty_body_is_a_request_with_nothing_in_it(stage, rpc):
    with nothing_changes(stage):
        code, *rest = stage.client.outcome(rpc, REQUESTS[rpc]())
    if rpc.startswith("List") or rpc in ("GetStatus", "VerifyLedger", "Checkpoint"):
        assert code == "OK"
    elif rpc == "ReadSnapshot":
        assert code == "OK" or rest[0] == "SNAPSHOT_NOT_FOUND"
    else:
        assert (code, rest[0]) == ("INVALID_ARGUMENT", "VALIDATION_FAILED")


def test_unknown_fields_are_ignored(stage):
    payload = stage.request("ReserveStock").SerializeToString()
    stage.client.raw("ReserveStock", payload + b"\xfa\x3e\x03abc")  # field 1007, bytes


def test_a_request_beyond_four_mebibytes_is_refused(stage):
    with nothing_changes(stage), pytest.raises(Refused) as refused:
        stage.client.raw("ReserveStock", bytes(4 * 1024 * 1024 + 1))
    assert refused.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert str(4 * 1024 * 1024) in refused.value.message


def test_the_largest_request_is_answered(stage):
    movement = stage.client.movement_request("RECEIVE", "A", "X", 1).movements[0]
    before = stage.client.level("A", "X").on_hand
    request = inventory.RecordMovementsRequest(movements=[movement] * 8_192)
    stage.client.call(stage.client.inventory.RecordMovements, request)
    assert stage.client.level("A", "X").on_hand == before + 8_192


def test_one_wrong_movement_of_many_undoes_all(stage):
    movement = stage.client.movement_request("RECEIVE", "A", "X", 1).movements[0]
    request = inventory.RecordMovementsRequest(movements=[movement] * 8_192)
    request.movements[8_191].sku_id = "nobody"
    with nothing_changes(stage), pytest.raises(Refused) as refused:
        stage.client.call(stage.client.inventory.RecordMovements, request)
    assert refused.value.metadata["field"] == "movements[8191].sku_id"


def test_one_wrong_request_of_a_batch_undoes_all(stage):
    request = stage.request("BatchReserveStock")
    request.requests[1].lines[0].quantity = 0
    with nothing_changes(stage), pytest.raises(Refused) as refused:
        stage.client.call(stage.client.reservations.BatchReserveStock, request)
    assert refused.value.metadata["field"] == "requests[1].lines[0].quantity"


# ---- clients that misbehave -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "noise",
    [Random(7).randbytes(4096), b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(500)],
    ids=["random", "http1", "http2"],
)
def test_noise_on_the_port(stage, noise):
    host, port = stage.client.address.split(":")
    with nothing_changes(stage), socket.create_connection((host, int(port)), 20) as stranger:
        with contextlib.suppress(ConnectionError):
            stranger.sendall(noise)
        with contextlib.suppress(OSError):  # it may have closed the connection already
            stranger.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while stranger.recv(4096):
                pass  # until it closes: a timeout fails the test
    assert stage.client.outcome("ReserveStock", stage.request("ReserveStock"))[0] == "OK"


def test_a_deadline_that_has_passed_does_nothing(stage):
    request = stage.request("ReserveStock", new_id())
    with nothing_changes(stage):
        for timeout in (-0.1, -1):
            with pytest.raises(grpc.RpcError) as refused:
                stage.client.reservations.ReserveStock(request, timeout=timeout)
            assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_tiny_deadlines_are_all_or_nothing(stage):
    client = stage.client
    request = client.reserve_request(("A", "X", 1), request_id="")
    accepted = 0
    for number in range(60):
        request.request_id = new_id()
        try:
            client.reservations.ReserveStock(request, timeout=0.0002 * (number % 20))
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED  # noqa: PT017 - either is right
        else:
            accepted += 1
    held = client.level("A", "X").reserved
    assert accepted <= held <= 60
    assert client.verify().ok


def test_a_client_that_vanishes_in_the_middle_of_its_calls(stage):
    client = stage.client
    program = f"""
import os, grpc
channel = grpc.insecure_channel("{client.address}")
call = channel.unary_unary("{PATHS["ReserveStock"]}")
grpc.channel_ready_future(channel).result(20)
calls = [call.future({client.reserve_request(("A", "X", 1)).SerializeToString()!r}) for _ in range(50)]
calls[0].exception()
os._exit(9)
"""
    ended = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    assert ended.returncode == 9
    until = time.monotonic() + 20
    while client.level("A", "X").reserved == 0:
        assert time.monotonic() < until
    assert client.level("A", "X").reserved <= 50
    assert client.verify().ok
