"""Wrong input: names that nobody knows, that look alike, or that are none."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from harness import Refused
from onhand.inventory.v1 import catalog_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import stock_pb2 as stock

from bad_input.harness import LONG, ON_RESERVATION, WITH_LINES, nothing_changes, put, put_in

VISIBLE = "visible characters only, and no other blank than the plain one"

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
