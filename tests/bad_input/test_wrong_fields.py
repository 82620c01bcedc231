"""Wrong input: one field is wrong."""

import math
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from harness import REQUESTS, Refused
from onhand.identifiers import visible
from onhand.inventory.v1 import stock_pb2 as stock

from bad_input.harness import HOLDS, LONG, ON_RESERVATION, WITH_LINES, nothing_changes, put, put_in

WIDE = "ü" * 33  # 33 characters, 66 bytes
QUANTITIES = "expected 1 to 2147483647, was {}."
TOTALS = "expected 0 to 2147483647, was {}."
IDS = '1 to 64 bytes of UTF-8, was "{}".'
TTLS = "expected more than 0 s and at most 14400 s, was "
WITH_NOTES = ("ReserveStock", *ON_RESERVATION, "RecordMovements", "SetOnHand", "SetStockPolicy")
LISTS = ("ListReservations", "ListStockLevels", "ListMovements", "ListLocations", "ListSkus")
NIL = str(uuid.UUID(int=0))  # stands for no id at all
WRITES = tuple(name for name, request in REQUESTS.items() if "request_id" in request.DESCRIPTOR.fields_by_name)

# Method, what to do to a good request, the field that is named, and the end of the message.
Case = tuple[str, Callable[[Any], object], str, str]


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
