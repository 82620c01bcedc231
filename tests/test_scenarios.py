"""What other systems' tests and issue threads teach, through the API: each test is named after its scenario's id.

Every scenario passes by unary calls, and by columns where those can say it.
"""

# ruff: noqa: N802 - the names hold the ids of the scenarios

import time
from collections.abc import Iterator

import pytest
from bulk_harness import BulkClient
from faults.processes import WAIT_SECONDS
from google.protobuf.timestamp_pb2 import Timestamp
from harness import Client, Refused, new_id
from onhand.inventory.v1 import catalog_pb2, reservation_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.inventory.v1 import stock_pb2 as stock

ACTIVE = reservation_pb2.RESERVATION_STATE_ACTIVE
COMMITTED = reservation_pb2.RESERVATION_STATE_COMMITTED
EXPIRED = reservation_pb2.RESERVATION_STATE_EXPIRED


@pytest.fixture(params=[Client, BulkClient], ids=["unary", "bulk"])
def client(engine, request) -> Iterator[Client]:
    """A client of the shared engine whose skus and locations are this test's own."""
    with request.param(engine.address, prefix=f"{abs(hash(request.node.nodeid)):x}-") as made:
        yield made


def stocked(client: Client, levels: dict[tuple[str, str], int]) -> None:
    client.sku(*dict.fromkeys(sku for sku, _ in levels))
    client.location(*dict.fromkeys(location for _, location in levels))
    for (sku, location), units in levels.items():
        client.receive(sku, location, units)


def reserve_and_commit(client: Client, *lines: tuple[str, str, int]) -> str:
    reservation_id = client.reserve(*lines).reservation_id
    client.commit(reservation_id)
    return reservation_id


def figures(client: Client, sku: str, location: str) -> tuple[int, int, int, int]:
    level = client.level(sku, location)
    return level.on_hand, level.reserved, level.committed, level.available


def wait_until_expired(client: Client, reservation_id: str) -> reservation_pb2.Reservation:
    until = time.monotonic() + WAIT_SECONDS
    while (reservation := client.get(reservation_id)).state != EXPIRED:
        assert time.monotonic() < until
    return reservation


def refusal(call, *arguments, **more) -> Refused:
    with pytest.raises(Refused) as refused:
        call(*arguments, **more)
    return refused.value


def shortage(client: Client, sku: str, location: str, requested: int, available: int) -> tuple[str, str, int, int]:
    return client.name(sku), client.name(location), requested, available


def test_T1_reserve_and_commit(client):
    stocked(client, {("A", "X"): 100})
    reserve_and_commit(client, ("A", "X", 50))
    assert figures(client, "A", "X") == (100, 0, 50, 50)


def test_T7_commit_beyond_what_others_leave(client):
    stocked(client, {("A", "X"): 4, ("A", "Y"): 3})
    client.reserve(("A", "X", 2))
    client.reserve(("A", "Y", 1))
    assert client.available("A", ["X", "Y"]) == 4
    error = refusal(client.reserve, ("A", "X", 2), ("A", "Y", 3))
    assert error.reason == "INSUFFICIENT_STOCK"
    assert error.shortages == [shortage(client, "A", "Y", 3, 2)]
    assert figures(client, "A", "X") == (4, 2, 0, 2)
    assert figures(client, "A", "Y") == (3, 1, 0, 2)


def test_T9_no_partial_rows(client):
    stocked(client, {("A", "X"): 7, ("B", "X"): 10})
    reserve_and_commit(client, ("A", "X", 3))
    error = refusal(client.reserve, ("B", "X", 1), ("A", "X", 6))
    assert error.shortages == [shortage(client, "A", "X", 6, 4)]
    assert figures(client, "A", "X") == (7, 0, 3, 4)
    assert figures(client, "B", "X") == (10, 0, 0, 10)


def test_T10_all_short_lines_are_listed(client):
    stocked(client, {("A", "X"): 4, ("B", "X"): 3, ("C", "X"): 100})
    error = refusal(client.reserve, ("A", "X", 100), ("C", "X", 100), ("B", "X", 100))
    assert error.shortages == [shortage(client, "A", "X", 100, 4), shortage(client, "B", "X", 100, 3)]
    assert [figures(client, sku, "X")[1] for sku in "ABC"] == [0, 0, 0]


def test_T11_cancel_part_of_a_commitment(client):
    stocked(client, {("A", "X"): 100})
    order = reserve_and_commit(client, ("A", "X", 80))
    client.cancel(order, ("A", "X", 50))
    assert figures(client, "A", "X") == (100, 0, 30, 70)


def test_T14_grow_beyond_what_is_there(client):
    stocked(client, {("A", "X"): 100})
    order = reserve_and_commit(client, ("A", "X", 80))
    error = refusal(client.amend, order, ("A", "X", 101))
    assert error.reason == "INSUFFICIENT_STOCK"
    assert figures(client, "A", "X") == (100, 0, 80, 20)
    assert [line.quantity for line in client.get(order).lines] == [80]


def test_T16_fulfill_what_is_not_physically_there(client):
    stocked(client, {("A", "X"): 100})
    order = reserve_and_commit(client, ("A", "X", 80))
    client.count("A", "X", 20)
    error = refusal(client.fulfill, order, ("A", "X", 50))
    assert error.reason == "INSUFFICIENT_STOCK"
    assert error.shortages == [shortage(client, "A", "X", 50, 20)]
    assert figures(client, "A", "X") == (20, 0, 80, 0)


def test_T17_a_group_has_what_its_members_have(client):
    client.sku("A")
    client.location("X", "Y", groups=["G"])
    client.receive("A", "X", 4)
    client.receive("A", "Y", 3)
    assert client.available("A", group="G") == 7
    error = refusal(client.reserve, ("A", "X", 4), ("A", "Y", 4))
    assert error.shortages == [shortage(client, "A", "Y", 4, 3)]
    client.reserve(("A", "X", 4), ("A", "Y", 3))
    assert client.available("A", group="G") == 0


def test_T18_my_own_hold_never_blocks_me(client):
    stocked(client, {("A", "X"): 7})
    mine = client.reserve(("A", "X", 5)).reservation_id
    client.amend(mine, ("A", "X", 7))
    assert figures(client, "A", "X") == (7, 7, 0, 0)
    assert refusal(client.amend, mine, ("A", "X", 8)).reason == "INSUFFICIENT_STOCK"
    client.commit(mine)
    client.amend(mine, ("A", "X", 6))
    client.amend(mine, ("A", "X", 7))
    assert figures(client, "A", "X") == (7, 0, 7, 0)


def test_T19_holds_and_commitments_both_count(client):
    stocked(client, {("A", "X"): 3, ("A", "Y"): 3})
    reserve_and_commit(client, ("A", "X", 3))
    client.reserve(("A", "Y", 2))
    error = refusal(client.reserve, ("A", "Y", 2))
    assert error.reason == "INSUFFICIENT_STOCK"
    assert error.shortages == [shortage(client, "A", "Y", 2, 1)]
    assert client.available("A", ["X", "Y"]) == 1


def test_T23_unavailable_units_and_inactive_locations_are_not_counted(client):
    client.sku("A")
    client.location("W", "X", "Y", groups=["G"])
    client.location("Z", groups=["G"], active=False)
    for location, units in (("W", 8), ("X", 3), ("Y", 10), ("Z", 10)):
        client.receive("A", location, units)
    client.move("MARK_UNAVAILABLE", "A", "Y", 10, reason="QUALITY_HOLD")
    assert client.available("A", group="G") == 11
    assert client.available("A", ["W", "X", "Y", "Z"]) == 11
    assert client.level("A", "Z").available == 0
    assert refusal(client.reserve, ("A", "Z", 1)).reason == "LOCATION_INACTIVE"


def test_T25_all_held(client):
    stocked(client, {("A", "X"): 8})
    client.reserve(("A", "X", 8))
    assert refusal(client.reserve, ("A", "X", 1)).shortages == [shortage(client, "A", "X", 1, 0)]


def test_T26_safety_stock_is_not_promised(client):
    stocked(client, {("A", "X"): 8})
    client.policy("A", "X", safety_stock=5)
    assert refusal(client.reserve, ("A", "X", 4)).shortages == [shortage(client, "A", "X", 4, 3)]
    client.reserve(("A", "X", 3))
    assert figures(client, "A", "X") == (8, 3, 0, 0)


def test_T30_skus_are_case_sensitive(client):
    stocked(client, {("SKU-1", "X"): 1})
    error = refusal(client.reserve, ("sku-1", "X", 1))
    assert error.reason == "SKU_NOT_FOUND"
    assert "case-sensitive" in error.message
    client.reserve(("SKU-1", "X", 1))


def test_T31_weighed_goods_are_whole_grams(client):
    client.location("X")
    apples = catalog_pb2.Sku(sku_id=client.name("APPLES"), base_unit="gram")
    client.call(client.catalog.CreateSku, catalog.CreateSkuRequest(sku=apples))
    client.receive("APPLES", "X", 2_500)
    client.reserve(("APPLES", "X", 1_250))
    assert figures(client, "APPLES", "X") == (2_500, 1_250, 0, 1_250)
    floats = [
        f"{message.full_name}.{field.name}"
        for module in (reservation_pb2, reservations, inventory, stock)
        for message in module.DESCRIPTOR.message_types_by_name.values()
        for field in message.fields
        if field.cpp_type in (field.CPPTYPE_DOUBLE, field.CPPTYPE_FLOAT)
    ]
    assert floats == []


def test_T33_fulfill_over_two_locations(client):
    stocked(client, {("V1", "e1"): 2, ("V1", "e2"): 12, ("V2", "e1"): 22, ("V2", "e2"): 12})
    order = reserve_and_commit(client, ("V1", "e1", 2), ("V1", "e2", 3), ("V2", "e1", 6))
    client.fulfill(order)
    assert [client.level("V1", place).on_hand for place in ("e1", "e2")] == [0, 9]
    assert [client.level("V2", place).on_hand for place in ("e1", "e2")] == [16, 12]
    for sku in ("V1", "V2"):
        for place in ("e1", "e2"):
            assert figures(client, sku, place)[1:3] == (0, 0)


def test_T34_a_refund_sent_twice_moves_once(client):
    stocked(client, {("A", "X"): 10})
    client.fulfill(reserve_and_commit(client, ("A", "X", 4)))
    request_id = new_id()
    first = client.move("RETURN", "A", "X", 4, request_id=request_id)
    second = client.move("RETURN", "A", "X", 4, request_id=request_id)
    assert first == second
    assert client.level("A", "X").on_hand == 10
    returns = [move for move in client.movements(sku_id=client.name("A")) if move.type == stock.MOVEMENT_TYPE_RETURN]
    assert [move.quantity for move in returns] == [4]


def test_T35_a_return_is_available_again(client):
    stocked(client, {("A", "X"): 8})
    client.move("RETURN", "A", "X", 3)
    assert client.available("A", ["X"]) == 11


def test_T39_backorder_limit(client):
    stocked(client, {("A", "X"): 2})
    assert refusal(client.reserve, ("A", "X", 3)).reason == "INSUFFICIENT_STOCK"
    assert client.level("A", "X").reserved == 0
    client.policy("A", "X", backorder_limit=1)
    client.reserve(("A", "X", 3))
    assert figures(client, "A", "X") == (2, 3, 0, 0)
    assert client.level("A", "X").oversold == 0


def test_T40_not_stocked_is_not_sold_out(client):
    client.sku("A")
    client.location("X", "Y")
    client.receive("A", "X", 1)
    error = refusal(client.reserve, ("A", "Y", 1))
    assert error.reason == "NOT_STOCKED_HERE"
    assert error.shortages == []
    assert refusal(client.level, "A", "Y").reason == "NOT_STOCKED_HERE"


FACTS = {
    "RECEIVE": (4, 0, {}),
    "SALE": (-4, 4, {}),
    "RETURN": (4, 0, {}),
    "ADJUST": (4, 0, {}),
    "DAMAGE": (0, 4, {}),
    "MARK_UNAVAILABLE": (0, 4, {"reason": "QUARANTINE"}),
    "TRANSFER": (-4, 4, {"to_location": "Z"}),
}


@pytest.mark.parametrize("kind", FACTS)
def test_a_fact_is_recorded_where_the_books_have_no_such_sku(client, kind):
    on_hand, oversold, more = FACTS[kind]
    client.sku("A")
    client.location("X", "Z")
    assert refusal(client.level, "A", "X").reason == "NOT_STOCKED_HERE"
    request_id = new_id()
    told = client.move(kind, "A", "X", 4, request_id=request_id, **more)
    assert client.move(kind, "A", "X", 4, request_id=request_id, **more) == told
    assert (told.applied_oversold, [level.oversold for level in told.oversold_levels]) == (
        oversold > 0,
        [oversold] if oversold else [],
    )
    level = client.level("A", "X")
    assert (level.on_hand, level.oversold, level.available) == (on_hand, oversold, max(0, on_hand))
    if kind == "TRANSFER":
        assert client.level("A", "Z").on_hand == 4
    client.count("A", "X", 3)
    assert client.level("A", "X").on_hand == 3


def test_a_receipt_is_recorded_whole_though_one_of_its_skus_is_not_stocked(client):
    stocked(client, {("A", "X"): 5})
    client.sku("B")
    request = client.movement_request("SALE", "A", "X", 2)
    request.movements.extend(client.movement_request("SALE", "B", "X", 1).movements)
    told = client.call(client.inventory.RecordMovements, request)
    assert [(level.sku_id, level.oversold) for level in told.oversold_levels] == [(client.name("B"), 1)]
    assert (client.level("A", "X").on_hand, client.level("B", "X").on_hand) == (3, -1)
    assert client.verify().ok


def test_what_nobody_put_aside_cannot_be_taken_from_there(client):
    client.sku("A")
    client.location("X")
    for kind in ("MARK_AVAILABLE", "WRITE_OFF"):
        error = refusal(client.move, kind, "A", "X", 4, reason="QUARANTINE")
        assert (error.reason, error.shortages) == (
            "INSUFFICIENT_STOCK",
            [(client.name("A"), client.name("X"), 4, 0)],
        )
    assert refusal(client.level, "A", "X").reason == "NOT_STOCKED_HERE"


def test_a_lowered_backorder_limit_leaves_a_level_oversold(client):
    stocked(client, {("A", "X"): 2})
    client.policy("A", "X", backorder_limit=3)
    client.reserve(("A", "X", 5))
    assert client.level("A", "X").oversold == 0
    client.policy("A", "X", backorder_limit=1)
    level = client.level("A", "X")
    assert (level.oversold, level.available) == (2, 0)
    assert client.verify().ok


def test_T42_each_reservation_of_a_batch_sees_those_before_it(client):
    stocked(client, {("A", "X"): 2})
    request = reservations.BatchReserveStockRequest(requests=[client.reserve_request(("A", "X", 2))] * 3)
    response = client.call(client.reservations.BatchReserveStock, request)
    assert [result.WhichOneof("result") for result in response.results] == ["reserved", "refused", "refused"]
    assert {result.refused.reason for result in response.results[1:]} == {"INSUFFICIENT_STOCK"}
    assert [(short.requested, short.available) for short in response.results[1].refused.shortages] == [(2, 0)]
    assert figures(client, "A", "X") == (2, 2, 0, 0)


def test_T43_a_hold_at_one_of_several_locations(client):
    stocked(client, {("A", "X"): 4, ("A", "Y"): 4, ("A", "Z"): 3})
    client.reserve(("A", "Y", 2))
    assert client.available("A", ["X", "Y"]) == 6


def test_T45_nobody_writes_reserved_or_committed(client):
    derived = {"reserved", "committed", "available", "oversold", "reserved_quantity", "committed_quantity"}
    for message in inventory.DESCRIPTOR.message_types_by_name.values():
        if message.name.endswith("Request") or message.name in ("OnHandCount", "NewMovement"):
            assert derived.isdisjoint(message.fields_by_name), message.full_name
    stocked(client, {("A", "X"): 5})
    smuggled = inventory.SetOnHandRequest(
        counts=[inventory.OnHandCount(sku_id=client.name("A"), location_id=client.name("X"), on_hand=5)]
    )
    level = stock.StockLevel(reserved=1000, committed=1000)  # fields 6 and 7, which OnHandCount does not have
    smuggled.counts[0].MergeFromString(level.SerializeToString())
    client.call(client.inventory.SetOnHand, smuggled)
    assert figures(client, "A", "X") == (5, 0, 0, 5)


def test_T46_a_repeat_is_the_same_hold(client):
    stocked(client, {("A", "X"): 10})
    request_id = new_id()
    first = client.reserve(("A", "X", 3), ttl=420, request_id=request_id)
    second = client.reserve(("A", "X", 3), ttl=420, request_id=request_id)
    assert first == second
    assert figures(client, "A", "X") == (10, 3, 0, 7)
    held = client.get(first.reservation_id)
    assert held.expire_time == first.expire_time
    assert held.expire_time.ToNanoseconds() - held.create_time.ToNanoseconds() == 420 * 10**9


def test_T48_others_holds_count(client):
    stocked(client, {("A", "X"): 5})
    client.reserve(("A", "X", 4))
    assert refusal(client.reserve, ("A", "X", 3)).shortages == [shortage(client, "A", "X", 3, 1)]


def test_T49_extend_counts_from_now(client):
    stocked(client, {("A", "X"): 10})
    mine = client.reserve(("A", "X", 1), ttl=60).reservation_id
    other = client.reserve(("A", "X", 1), ttl=60).reservation_id
    before = client.get(other)
    earliest, latest = Timestamp(), Timestamp()
    earliest.GetCurrentTime()
    extended = client.extend(mine, 720)
    latest.GetCurrentTime()
    assert earliest.ToMicroseconds() <= extended.expire_time.ToMicroseconds() - 720 * 10**6 <= latest.ToMicroseconds()
    assert client.get(mine).expire_time == extended.expire_time
    assert client.get(other) == before


def test_T51_time_frees_what_has_ended_and_nothing_else(client):
    stocked(client, {("A", "X"): 10})
    ending = [client.reserve(("A", "X", units), ttl=0.15) for units in (1, 2)]
    staying = client.reserve(("A", "X", 4)).reservation_id
    for made in ending:
        wait_until_expired(client, made.reservation_id)
    assert figures(client, "A", "X") == (10, 4, 0, 6)
    assert client.get(staying).state == ACTIVE
    expiries = [move for move in client.movements(sku_id=client.name("A")) if move.type == stock.MOVEMENT_TYPE_EXPIRE]
    assert [(move.reservation_id, move.quantity) for move in expiries] == [
        (ending[0].reservation_id, 1),
        (ending[1].reservation_id, 2),
    ]


def test_T52_a_count_below_what_is_held(client):
    stocked(client, {("A", "X"): 10})
    client.reserve(("A", "X", 5))
    answer = client.count("A", "X", 2)
    assert answer.applied_oversold
    assert [(level.sku_id, level.location_id, level.oversold) for level in answer.oversold_levels] == [
        (client.name("A"), client.name("X"), 3)
    ]
    level = client.level("A", "X")
    assert (level.on_hand, level.reserved, level.available, level.oversold) == (2, 5, 0, 3)
    request = inventory.BatchGetAvailabilityRequest(sku_ids=[client.name("A")], location_ids=[client.name("X")])
    [read] = client.call(client.inventory.BatchGetAvailability, request).skus
    assert (read.available, read.locations[0].available, read.locations[0].oversold) == (0, 0, 3)
    assert client.verify().ok


def test_T64_safety_stock_and_backorders(client):
    stocked(client, {("A", "X"): 3, ("B", "X"): 3})
    client.policy("A", "X", safety_stock=2)
    error = refusal(client.reserve, ("A", "X", 2))
    assert error.shortages == [shortage(client, "A", "X", 2, 1)]
    assert "has 1 available, 2 were requested" in error.message
    client.policy("B", "X", backorder_limit=5)
    client.reserve(("B", "X", 8))
    assert refusal(client.reserve, ("B", "X", 1)).shortages == [shortage(client, "B", "X", 1, 0)]


def test_T65_committing_twice_holds_once(client):
    stocked(client, {("A", "X"): 10})
    order = client.reserve(("A", "X", 3)).reservation_id
    request_id = new_id()
    first = client.commit(order, request_id=request_id)
    assert client.commit(order, request_id=request_id) == first
    again = client.commit(order)
    assert (again.state, again.version) == (COMMITTED, first.version)
    assert figures(client, "A", "X") == (10, 0, 3, 7)


def test_T67_two_carts_and_one_unit(client):
    stocked(client, {("A", "X"): 1})
    calls = [client.reservations.ReserveStock.future(client.reserve_request(("A", "X", 1))) for _ in range(2)]
    assert sorted(call.exception() is None for call in calls) == [False, True]
    assert figures(client, "A", "X") == (1, 1, 0, 0)


def test_T68_each_location_has_its_own(client):
    client.sku("A")
    client.location("L1", "L2", groups=["G"])
    client.receive("A", "L1", 100)
    client.receive("A", "L2", 120)
    read = [client.available("A", group="G"), client.available("A", ["L1"]), client.available("A", ["L2"])]
    assert read == [220, 100, 120]
    before = client.level("A", "L1")
    reserve_and_commit(client, ("A", "L2", 2))
    assert client.level("A", "L1") == before
    assert figures(client, "A", "L2") == (120, 0, 2, 118)


def test_T73_limits_are_named_and_nothing_is_written(client):
    stocked(client, {("A", "X"): 200})
    ttl, lines = ("ttl_us[0]", "line_counts[0]") if isinstance(client, BulkClient) else ("ttl", "lines")
    late = refusal(client.reserve, ("A", "X", 1), ttl=14_401)
    assert (late.code.name, late.reason, late.fields) == ("INVALID_ARGUMENT", "VALIDATION_FAILED", [ttl])
    assert "14400" in late.message
    assert "14401" in late.message
    long = refusal(client.reserve, *[("A", "X", 1)] * 101)
    assert (long.code.name, long.reason, long.fields) == ("INVALID_ARGUMENT", "VALIDATION_FAILED", [lines])
    assert "100" in long.message
    assert "101" in long.message
    assert figures(client, "A", "X") == (200, 0, 0, 200)
    client.reserve(("A", "X", 1), ttl=14_400)
    client.reserve(*[("A", "X", 1)] * 100)
    assert figures(client, "A", "X") == (200, 101, 0, 99)


# ---- concurrency: none of those projects tests more than one -------------------------------------------------------


@pytest.fixture
def crowd(engine, client):
    """Clients on connections of their own, who speak of the same skus and locations."""
    clients = [type(client)(engine.address, client.prefix) for _ in range(20)]
    yield clients
    for each in clients:
        each.channel.close()


def results(calls) -> list[str]:
    """What came of calls in flight: OK, or the reason of the refusal."""
    reasons = []
    for call in calls:
        error = call.exception(WAIT_SECONDS)
        reasons.append("OK" if error is None else Refused(error).reason)
    return reasons


def test_a_hundred_carts_and_the_last_unit(client, crowd):
    stocked(client, {("A", "X"): 1})
    request = client.reserve_request(("A", "X", 1))
    calls = [crowd[number % len(crowd)].reservations.ReserveStock.future(request) for number in range(100)]
    assert sorted(results(calls)) == ["INSUFFICIENT_STOCK"] * 99 + ["OK"]
    assert figures(client, "A", "X") == (1, 1, 0, 0)


def test_crossing_holds_neither_lock_nor_lose_units(client, crowd):
    stocked(client, {("A", "X"): 150, ("B", "X"): 150})
    forth = client.reserve_request(("A", "X", 1), ("B", "X", 2))
    back = client.reserve_request(("B", "X", 2), ("A", "X", 1))
    calls = [
        crowd[number % len(crowd)].reservations.ReserveStock.future(back if number % 2 else forth)
        for number in range(200)
    ]
    assert results(calls).count("OK") == 75
    assert figures(client, "A", "X") == (150, 75, 0, 75)
    assert figures(client, "B", "X") == (150, 150, 0, 0)


def test_one_request_id_on_many_connections_at_once(client, crowd):
    stocked(client, {("A", "X"): 100})
    request = client.reserve_request(("A", "X", 3), request_id=new_id())
    answers = {each.reservations.ReserveStock.future(request) for each in crowd}
    assert len({call.result(WAIT_SECONDS).reservation_id for call in answers}) == 1
    assert figures(client, "A", "X") == (100, 3, 0, 97)


def test_a_cart_gets_the_unit_the_instant_a_hold_ends(client):
    stocked(client, {("A", "X"): 1})
    ending = client.reserve(("A", "X", 1), ttl=0.1)
    until = time.monotonic() + WAIT_SECONDS
    while True:
        assert time.monotonic() < until
        try:
            won = client.reserve(("A", "X", 1))
        except Refused as error:
            assert error.reason == "INSUFFICIENT_STOCK"  # noqa: PT017 - tried until it works
        else:
            break
    assert client.get(won.reservation_id).create_time.ToNanoseconds() >= ending.expire_time.ToNanoseconds()
    moves = client.movements(sku_id=client.name("A"))
    assert [move.type for move in moves[1:]] == [
        stock.MOVEMENT_TYPE_RESERVE,
        stock.MOVEMENT_TYPE_EXPIRE,
        stock.MOVEMENT_TYPE_RESERVE,
    ]
    assert moves[2].effective_time == ending.expire_time


def test_orders_placed_around_the_instant_their_holds_end(client, crowd):
    stocked(client, {("A", "X"): 400})
    held = []
    for number in range(400):
        request = client.reserve_request(("A", "X", 1), ttl=0.05 + number / 2000)
        held.append(client.reservations.ReserveStock.future(request))
    ids = [call.result(WAIT_SECONDS).reservation_id for call in held]
    calls = [
        crowd[number % len(crowd)].reservations.CommitReservation.future(
            reservations.CommitReservationRequest(reservation_id=reservation_id)
        )
        for number, reservation_id in enumerate(ids)
    ]
    reasons = results(calls)
    assert set(reasons) <= {"OK", "RESERVATION_EXPIRED"}
    for reservation_id, reason in zip(ids, reasons, strict=True):
        assert client.get(reservation_id).state == (COMMITTED if reason == "OK" else EXPIRED)
    placed = reasons.count("OK")
    assert figures(client, "A", "X") == (400, 0, placed, 400 - placed)
    assert client.verify().ok
