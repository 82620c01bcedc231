"""What the contract says, call by call: reservations, expiry, catalog."""

import contextlib
import time

import grpc
import pytest
from faults.processes import WAIT_SECONDS
from harness import RESPONSES, Refused, new_id
from onhand.inventory.v1 import catalog_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.inventory.v1 import stock_pb2 as stock

from api.harness import TOP, State, copy, refusal, set_text


def test_lines_of_one_level_are_one_line(stage):
    client = stage.client
    made = client.reserve(("A", "X", 30), ("B", "X", 1), ("A", "X", 40))
    assert [line.quantity for line in client.get(made.reservation_id).lines] == [70, 1]
    error = refusal(client.reserve, ("A", "X", 16), ("A", "X", 15))
    assert error.shortages == [(client.name("A"), client.name("X"), 31, 30)]


def test_a_batch_answers_in_order(stage):
    client = stage.client
    request = reservations.BatchReserveStockRequest(
        requests=[
            client.reserve_request(("A", "X", 60), request_id=new_id()),
            client.reserve_request(("A", "X", 60), request_id=new_id()),
            client.reserve_request(("nobody", "X", 1)),
            client.reserve_request(("A", "X", 60), allow_partial=True),
            client.reserve_request(("B", "X", 1)),
        ]
    )
    response = client.call(client.reservations.BatchReserveStock, request)
    kinds = [result.WhichOneof("result") for result in response.results]
    assert kinds == ["reserved", "refused", "refused", "reserved", "reserved"]
    refused = [result.refused for result in response.results[1:3]]
    assert [each.reason for each in refused] == ["INSUFFICIENT_STOCK", "SKU_NOT_FOUND"]
    assert [each.code for each in refused] == [9, 5]
    assert "has 40 available, 60 were requested" in refused[0].message
    partial = response.results[3].reserved
    assert [(short.requested, short.available) for short in partial.shortages] == [(60, 40)]
    assert [line.quantity for line in client.get(partial.reservation_id).lines] == [40]
    seqs = [result.reserved.seq for result in response.results if result.HasField("reserved")]
    assert seqs == sorted(seqs)
    assert response.seq >= seqs[-1]


def test_partial_reservations(stage):
    client = stage.client
    client.count("B", "X", 0)
    made = client.reserve(("A", "X", 300), ("B", "X", 2), ("B", "Y", 1), allow_partial=True)
    assert [(short.requested, short.available) for short in made.shortages] == [(300, 100), (2, 0)]
    assert [line.quantity for line in client.get(made.reservation_id).lines] == [100, 1]
    error = refusal(client.reserve, ("A", "X", 1), ("B", "X", 1), allow_partial=True)
    assert [short[2:] for short in error.shortages] == [(1, 0), (1, 0)]


def test_a_partial_commit_releases_the_rest(stage):
    client = stage.client
    name = stage.held()
    committed = client.commit(name, ("A", "X", 2))
    assert committed.state == State.RESERVATION_STATE_COMMITTED
    assert [(line.open_quantity, line.quantity) for line in client.get(name).lines] == [(2, 5), (0, 5)]
    level = client.level("A", "X")
    assert (level.reserved, level.committed) == (0, 2)
    assert client.level("B", "X").available == 100


def test_a_partial_release_keeps_the_rest(stage):
    client = stage.client
    name = stage.held()
    assert client.release(name, ("A", "X", 2)).state == State.RESERVATION_STATE_ACTIVE
    assert [line.open_quantity for line in client.get(name).lines] == [3, 5]
    assert refusal(client.release, name, ("A", "X", 4)).shortages == [(client.name("A"), client.name("X"), 4, 3)]
    assert client.release(name).state == State.RESERVATION_STATE_RELEASED
    assert [level.available for level in stage.levels()] == [100] * 4


def test_partial_fulfilling_and_canceling(stage):
    client = stage.client
    name = stage.committed()
    client.fulfill(name, ("A", "X", 2))
    client.cancel(name, ("A", "X", 1))
    [first, second] = client.get(name).lines
    assert (first.quantity, first.open_quantity, first.fulfilled_quantity) == (5, 2, 2)
    assert (second.open_quantity, second.fulfilled_quantity) == (5, 0)
    client.fulfill(name)
    assert refusal(client.fulfill, name).reason == "RESERVATION_NOT_COMMITTED"
    level = client.level("A", "X")
    assert (level.on_hand, level.committed, level.available) == (96, 0, 96)


def test_amending_with_the_version_that_was_seen(stage):
    client = stage.client
    name = stage.held()
    assert client.amend(name, ("A", "X", 6), expected_version=1).version == 2
    error = refusal(client.amend, name, ("A", "X", 7), expected_version=1)
    assert (error.code, error.reason) == (grpc.StatusCode.ABORTED, "VERSION_MISMATCH")
    assert error.metadata["version"] == "2"
    assert client.amend(name, ("A", "X", 7)).version == 3


def test_a_cart_that_changes_keeps_its_id(stage):
    client = stage.client
    name = stage.held()
    made = client.reserve(("A", "X", 98), ("B", "Y", 1), reservation_id=name, reference="ignored")
    assert (made.reservation_id, made.version) == (name, 2)
    found = client.get(name)
    lines = {(line.sku_id[-1], line.location_id[-1]): line.quantity for line in found.lines}
    assert lines == {("A", "X"): 98, ("B", "Y"): 1}
    assert (found.expire_time, found.reference) == (made.expire_time, "")
    assert client.level("B", "X").available == 100
    error = refusal(client.reserve, ("A", "X", 101), ("A", "Y", 1), reservation_id=name)
    assert (error.reason, error.shortages) == (
        "INSUFFICIENT_STOCK",
        [(client.name("A"), client.name("X"), 101, 100)],
    )
    error = refusal(client.reserve, ("A", "X", 1), reservation_id=name, expected_version=1)
    assert (error.code, error.reason, error.metadata["version"]) == (grpc.StatusCode.ABORTED, "VERSION_MISMATCH", "2")
    assert client.reserve(("A", "X", 1), reservation_id=name, expected_version=2).version == 3
    assert client.reserve(("A", "X", 1)).version == 1


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"reservation_id": "{held}", "allow_partial": True}, "allow_partial: expected false with reservation_id"),
        ({"expected_version": 2}, "expected_version: expected 0 without reservation_id"),
        ({"reservation_id": "{held}", "expected_version": -1}, "expected_version: expected 0 to"),
        ({"reservation_id": "not one"}, "reservation_id: this reservation does not exist"),
    ],
)
def test_a_cart_that_cannot_be_changed_so(stage, more, message):
    name = stage.held()
    named = {key: value.format(held=name) if isinstance(value, str) else value for key, value in more.items()}
    error = refusal(stage.client.reserve, ("A", "X", 1), **named)
    assert message in error.message
    assert [level.available for level in stage.levels()] == [95, 100, 95, 100]


def test_amending_drops_swaps_and_ends(stage):
    client = stage.client
    name = stage.held()
    client.amend(name, ("A", "X", 0), ("A", "Y", 4))
    lines = {(line.sku_id[-1], line.location_id[-1]): line.quantity for line in client.get(name).lines}
    assert lines == {("B", "X"): 5, ("A", "Y"): 4}
    ended = client.amend(name, ("B", "X", 0), ("A", "Y", 0))
    assert ended.state == State.RESERVATION_STATE_RELEASED
    assert [level.available for level in stage.levels()] == [100] * 4


def test_a_moved_hold_is_checked_where_it_goes(stage):
    client = stage.client
    name = stage.held()
    client.count("B", "Y", 4)
    error = refusal(client.transfer, name, "X", "Y")
    assert error.reason == "INSUFFICIENT_STOCK"
    assert error.shortages == [(client.name("B"), client.name("Y"), 5, 4)]
    client.transfer(name, "X", "Y", ("A", 5), ("B", 4))
    assert [level.reserved for level in stage.levels()] == [0, 5, 1, 4]
    assert client.get(name).version == 2


def test_more_than_is_open_is_told_of_the_place_it_is_open_at(stage):
    client = stage.client
    name = stage.held()
    error = refusal(client.transfer, name, "X", "Y", ("A", 9))
    assert error.reason == "QUANTITY_EXCEEDS_OPEN"
    assert error.shortages == [(client.name("A"), client.name("X"), 9, 5)]
    error = refusal(client.transfer, name, "Y", "X")
    assert error.reason == "QUANTITY_EXCEEDS_OPEN"
    assert client.name("Y") in error.message


def test_moving_all_to_where_the_second_line_is_not_stocked(stage):
    client = stage.client
    client.location("Z")
    client.receive("A", "Z", 100)
    name = stage.held()
    error = refusal(client.transfer, name, "X", "Z")
    assert error.reason == "NOT_STOCKED_HERE"
    assert client.name("B") in error.message
    assert client.name("Z") in error.message


def test_a_full_reservation_can_be_changed_and_moved(client):
    skus = [f"S{number}" for number in range(101)]
    client.sku(*skus)
    client.location("X", "Y")
    receive = inventory.RecordMovementsRequest()
    for sku in skus:
        for place in "XY":
            receive.movements.extend(client.movement_request("RECEIVE", sku, place, 5).movements)
    client.call(client.inventory.RecordMovements, receive)
    name = client.reserve(*[(sku, "X", 1) for sku in skus[:100]]).reservation_id
    error = refusal(client.amend, name, ("S100", "X", 1))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "TOO_MANY_LINES")
    wrong = []
    for change in (
        lambda: client.amend(name, ("S0", "X", 0), ("S100", "X", 1)),
        lambda: client.transfer(name, "X", "Y"),
    ):
        try:
            change()
        except Refused as refused:
            wrong.append(str(refused))
    assert wrong == []
    assert sum(line.open_quantity for line in client.get(name).lines) == 100


def test_units_moved_together_stay_countable(client):
    client.sku("A")
    client.location("X", "Y")
    for place in "XXYY":
        client.receive("A", place, TOP)
    name = client.reserve(("A", "X", TOP), ("A", "Y", TOP)).reservation_id
    with contextlib.suppress(Refused):  # refused by the limit of a line, or moved in full
        client.transfer(name, "X", "Y")
    held = {line.location_id[-1]: line.open_quantity for line in client.get(name).lines if line.open_quantity}
    assert sum(held.values()) == 2 * TOP
    assert all(units > 0 for units in held.values())
    assert {place: client.level("A", place).reserved for place in held} == held
    assert client.verify().ok


def test_both_ends_of_a_transfer_may_be_oversold(client):
    client.sku("A")
    client.location("X", "Y")
    for place in "XY":
        client.receive("A", place, 5)
        client.reserve(("A", place, 5))
    client.count("A", "Y", 0)
    answer = client.move("TRANSFER", "A", "X", 2, to_location="Y")
    assert answer.applied_oversold
    oversold = {level.location_id[-1]: level.oversold for level in answer.oversold_levels}
    assert oversold == {"X": 2, "Y": 3}


def test_a_fact_is_always_accepted(client):
    client.sku("A")
    client.location("X")
    client.receive("A", "X", 1)
    for _ in range(3):
        answer = client.move("SALE", "A", "X", TOP)
    level = client.level("A", "X")
    assert level.on_hand == 1 - 3 * TOP
    assert level.oversold == 3 * TOP - 1
    assert [each.oversold for each in answer.oversold_levels] == [level.oversold]
    assert client.verify().ok
    client.count("A", "X", 0)
    assert client.level("A", "X").on_hand == 0


def test_a_hold_ends_at_its_instant(client):
    client.sku("A")
    client.location("X")
    client.receive("A", "X", 5)
    made = client.reserve(("A", "X", 5), ttl=0.3)
    until = time.monotonic() + WAIT_SECONDS
    while client.available("A", ["X"]) == 0:
        assert time.monotonic() < until
    assert time.time_ns() >= made.expire_time.ToNanoseconds()
    assert client.available("A", ["X"]) == 5
    ended = client.get(made.reservation_id)
    assert ended.state == State.RESERVATION_STATE_EXPIRED
    assert ended.end_time == made.expire_time
    assert not ended.HasField("expire_time")
    for call in (client.commit, client.release, lambda name: client.extend(name, 60)):
        error = refusal(call, made.reservation_id)
        assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RESERVATION_EXPIRED")
    assert refusal(client.amend, made.reservation_id, ("A", "X", 1)).reason == "RESERVATION_EXPIRED"
    assert refusal(client.fulfill, made.reservation_id).reason == "RESERVATION_NOT_COMMITTED"
    [_, reserve, expire] = client.movements(sku_id=client.name("A"))
    assert (reserve.type, expire.type) == (stock.MOVEMENT_TYPE_RESERVE, stock.MOVEMENT_TYPE_EXPIRE)
    assert (expire.quantity, expire.reservation_id) == (5, made.reservation_id)
    assert expire.effective_time == made.expire_time
    assert made.expire_time.ToNanoseconds() - reserve.effective_time.ToNanoseconds() == 300_000_000


def test_holds_end_though_nobody_calls(client):
    client.sku("A")
    client.location("X")
    client.receive("A", "X", 5)
    made = client.reserve(("A", "X", 5), ttl=0.05)
    until = time.monotonic() + WAIT_SECONDS
    while client.get(made.reservation_id).state == State.RESERVATION_STATE_ACTIVE:
        assert time.monotonic() < until
    again = client.reserve(("A", "X", 5))
    assert again.reservation_id != made.reservation_id


def test_a_location_from_its_creation_on(stage):
    client = stage.client
    given = stage.a_location("new")
    given.version = 77  # output only: ignored
    made = client.call(client.catalog.CreateLocation, catalog.CreateLocationRequest(location=given))
    assert made.location.version == 1
    assert made.location.create_time == made.location.update_time
    assert made.seq > 0
    bare = copy(made.location)
    for field in ("version", "create_time", "update_time"):
        bare.ClearField(field)
    given.ClearField("version")
    assert bare == given
    change = catalog.UpdateLocationRequest(location=copy(made.location))
    change.location.display_name = "Hub"
    change.location.latitude = 1.5
    change.location.active = False
    change.update_mask.paths.extend(["display_name", "active"])
    updated = client.call(client.catalog.UpdateLocation, change).location
    assert (updated.display_name, updated.latitude, updated.active, updated.version) == ("Hub", 52.5, False, 2)
    assert updated.create_time == made.location.create_time
    assert updated.update_time.ToMicroseconds() >= updated.create_time.ToMicroseconds()
    error = refusal(client.call, client.catalog.UpdateLocation, change)
    assert (error.code, error.reason) == (grpc.StatusCode.ABORTED, "VERSION_MISMATCH")
    assert error.metadata["version"] == "2"
    change.location.version = 0
    del change.update_mask.paths[:]
    assert client.call(client.catalog.UpdateLocation, change).location.latitude == 1.5
    read = client.call(client.catalog.GetLocation, catalog.GetLocationRequest(location_id=given.location_id))
    assert read.location.version == 3


def test_groups_follow_their_locations(client):
    client.sku("A")
    client.location("X", groups=["G"])
    client.receive("A", "X", 5)
    change = catalog.UpdateLocationRequest(
        location=catalog_pb2.Location(location_id=client.name("X"), location_groups=[client.name("H")])
    )
    change.update_mask.paths.append("location_groups")
    client.call(client.catalog.UpdateLocation, change)
    assert client.available("A", group="H") == 5
    assert refusal(client.available, "A", group="G").reason == "LOCATION_NOT_FOUND"


def test_an_upsert_takes_the_fields_of_its_mask(client):
    client.location("X", active=False, groups=["G"])
    client.sku("A")
    kind = catalog_pb2.LOCATION_KIND_WAREHOUSE
    request = catalog.UpsertLocationsRequest(
        locations=[
            catalog_pb2.Location(location_id=client.name("X"), display_name="Hub", active=True),
            catalog_pb2.Location(location_id=client.name("new"), display_name="New", active=True, kind=kind),
        ]
    )
    request.update_mask.paths.append("display_name")
    response = client.call(client.catalog.UpsertLocations, request)
    assert (response.created_count, response.updated_count) == (1, 1)
    old, new = (
        client.call(client.catalog.GetLocation, catalog.GetLocationRequest(location_id=client.name(name))).location
        for name in ("X", "new")
    )
    assert (old.display_name, old.active, old.location_groups) == ("Hub", False, [client.name("G")])
    assert (new.display_name, new.active, new.kind) == ("New", True, kind)
    skus = catalog.UpsertSkusRequest(skus=[catalog_pb2.Sku(sku_id=client.name("A"), weight_milligrams=7)])
    skus.update_mask.paths.append("weight_milligrams")
    assert client.call(client.catalog.UpsertSkus, skus).updated_count == 1
    sku = client.call(client.catalog.GetSku, catalog.GetSkuRequest(sku_id=client.name("A"))).sku
    assert (sku.base_unit, sku.weight_milligrams) == ("each", 7)
    skus.update_mask.paths.append("base_unit")
    error = refusal(client.call, client.catalog.UpsertSkus, skus)
    assert error.message.startswith("update_mask: expected some of display_name, weight_milligrams, restrictions")


def test_an_empty_time_zone_is_utc(client):
    client.location("X")
    read = client.call(client.catalog.GetLocation, catalog.GetLocationRequest(location_id=client.name("X")))
    assert read.location.time_zone == "UTC"


def test_an_inactive_location_takes_facts_but_no_holds(stage):
    client = stage.client
    name, order = stage.held(), stage.committed()
    shut = catalog.UpdateLocationRequest(location=catalog_pb2.Location(location_id=client.name("X"), active=False))
    shut.update_mask.paths.append("active")
    client.call(client.catalog.UpdateLocation, shut)
    for call in (
        lambda: client.reserve(("A", "X", 1)),
        lambda: client.amend(name, ("A", "X", 6)),
        lambda: client.transfer(client.reserve(("A", "Y", 1)).reservation_id, "Y", "X"),
    ):
        error = refusal(call)
        assert (error.reason, error.metadata["location"]) == ("LOCATION_INACTIVE", client.name("X"))
    client.receive("A", "X", 1)
    client.amend(name, ("A", "X", 4))
    client.commit(name)
    client.fulfill(order)
    assert client.level("A", "X").available == 0


def test_a_sku_from_its_creation_on(stage):
    client = stage.client
    made = client.call(client.catalog.CreateSku, catalog.CreateSkuRequest(sku=stage.a_sku("new"))).sku
    assert (made.version, made.base_unit, made.weight_milligrams) == (1, "each", 250_000)
    change = catalog.UpdateSkuRequest(sku=catalog_pb2.Sku(sku_id=made.sku_id, display_name="Hat", version=1))
    change.update_mask.paths.append("display_name")
    updated = client.call(client.catalog.UpdateSku, change).sku
    assert (updated.display_name, updated.weight_milligrams, updated.version) == ("Hat", 250_000, 2)
    assert refusal(client.call, client.catalog.UpdateSku, change).reason == "VERSION_MISMATCH"
    everything = catalog.UpdateSkuRequest(sku=catalog_pb2.Sku(sku_id=made.sku_id))
    everything.update_mask.paths.append("*")
    emptied = client.call(client.catalog.UpdateSku, everything).sku
    assert (emptied.display_name, emptied.weight_milligrams, emptied.base_unit) == ("", 0, "each")
    grams = catalog.UpdateSkuRequest(sku=catalog_pb2.Sku(sku_id=made.sku_id, base_unit="gram"))
    assert refusal(client.call, client.catalog.UpdateSku, grams).fields == ["sku.base_unit"]
    read = client.call(client.catalog.GetSku, catalog.GetSkuRequest(sku_id=made.sku_id)).sku
    assert read == emptied


@pytest.mark.parametrize("rpc", ["UpsertSkus", "UpsertLocations"])
def test_upserts_count_what_they_did(stage, rpc):
    client = stage.client
    request = stage.request(rpc)

    def counts(*, validate_only: bool = False) -> tuple[int, int, int]:
        request.validate_only = validate_only
        answer = RESPONSES[rpc].FromString(client.raw(rpc, request.SerializeToString()))
        return answer.created_count, answer.updated_count, answer.unchanged_count

    status = client.status()
    assert counts(validate_only=True) == (1, 1, 0)
    assert (client.status().sku_count, client.status().location_count) == (status.sku_count, status.location_count)
    assert counts() == (1, 1, 0)
    assert counts(validate_only=True) == (0, 0, 2)
    seq = client.status().seq_sequenced
    assert counts() == (0, 0, 2)
    assert client.status().seq_sequenced == seq
    set_text(request, "other")
    assert counts() == (0, 1, 1)


def test_validating_a_count_changes_nothing(stage):
    client = stage.client
    levels = stage.levels()
    client.count("A", "X", 7, validate_only=True)
    assert stage.levels() == levels
    assert refusal(client.count, "nobody", "X", 7, validate_only=True).reason == "SKU_NOT_FOUND"
    request_id = new_id()
    client.count("A", "X", 7, validate_only=True, request_id=request_id)
    client.count("A", "X", 7, request_id=request_id)
    assert client.level("A", "X").on_hand == 7
