"""Plans follow their holds: capacity follows the hold, what may be rejected."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bulk_harness import answer_to, encode, outcomes_of
from onhand.inventory.v1 import catalog_pb2, transfer_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.inventory.v1 import transfer_service_pb2 as transfers
from onhand.routing.v1 import network_pb2, plan_pb2
from onhand.routing.v1 import network_service_pb2 as networks
from onhand.routing.v1 import routing_service_pb2 as routing
from routing_harness import (
    HERE,
    MICROS,
    PICKUP,
    SHIP,
    SHIP_TO_STORE,
    a_network,
    location_routing,
    order,
    place,
    plan_request,
    reason_name,
    shipped,
    shortages,
)
from test_plan_columns import ask, columns_of
from test_routing_state import Side

from ledger.book import Book
from ledger.core.limits import MICROSECONDS
from ledger.journal.entry import CHAIN_START
from ledger.snapshot import load_snapshot, write_snapshot
from plans_and_holds.harness import a_request_id, held, locations, move, network, refused, reject, version

HARD = network_pb2.RULE_STRENGTH_HARD


def profile(**rules: Any) -> network_pb2.RoutingProfile:
    return network_pb2.RoutingProfile(name="standard", version=1, **rules)


def amend(reservation_id: str, *lines: tuple[str, str, int]) -> reservations.AmendReservationRequest:
    rows = [{"sku_id": sku, "location_id": at, "quantity": units} for sku, at, units in lines]
    return reservations.AmendReservationRequest(reservation_id=reservation_id, lines=rows)


def commit(side: Side, reservation_id: str) -> None:
    side.ask(reservations.CommitReservationRequest(reservation_id=reservation_id))


@pytest.mark.parametrize("is_committed", [False, True])
def test_growth_takes_capacity_and_shrinking_gives_back(side, is_committed):
    locations(side, A={"units_per_day": 5})
    made = side.ask(plan_request(order(("S", 2))))
    if is_committed:
        commit(side, made.reservation_id)
    for units in (5, 2, 4, 3, 0):
        side.ask(amend(made.reservation_id, ("S", "A", units)))
        assert side.load.get("A", 0) == units
        left = side.ask(plan_request(order(("T", 5)), validate_only=True)).plan
        assert shipped(left).get(("T", "A"), 0) == 5 * (units == 0)


def test_growth_and_shrinking_in_one_group(side):
    made = side.ask(plan_request(order(("S", 2))))
    amended = [amend(made.reservation_id, ("S", "A", units)) for units in (5, 2, 4)]
    side.group(*amended, plan_request(order(("S", 1))), amend(made.reservation_id, ("S", "A", 9), ("T", "B", 3)))
    assert side.load == {"A": 10, "B": 3}


def test_a_moved_hold_takes_its_capacity_along(side):
    made = side.ask(plan_request(order(("S", 6))))
    side.ask(move(made.reservation_id, "A", "B", S=4))
    assert side.load == {"A": 2, "B": 4}
    side.ask(move(made.reservation_id, "B", "A"))
    assert side.load == {"A": 6}
    side.ask(reservations.ReleaseReservationRequest(reservation_id=made.reservation_id))
    assert side.load == {}


@pytest.mark.parametrize("by_columns", [False, True])
def test_a_transfer_for_an_order_takes_its_capacity_along(side, by_columns):
    """What leaves for the order is no work of the source any more; where it arrives it is."""

    def run(request: Any) -> Any:
        if not by_columns:
            return side.ask(request)
        return answer_to(request, outcomes_of(side.ask(encode([request])))[0])

    made = side.ask(plan_request(order(("S", 6))))
    commit(side, made.reservation_id)
    lines = [transfer_pb2.TransferQuantity(sku_id="S", quantity=4)]
    sent = run(
        transfers.CreateTransferRequest(
            from_location_id="A", to_location_id="B", lines=lines, reservation_id=made.reservation_id
        )
    )
    assert side.load == {"A": 2}
    run(transfers.DispatchTransferRequest(transfer_id=sent.transfer_id))
    some = [transfer_pb2.ReceivedUnits(sku_id="S", quantity=3)]
    run(transfers.ReceiveTransferRequest(transfer_id=sent.transfer_id, lines=some))
    assert side.load == {"A": 2, "B": 3}
    run(transfers.CancelTransferRequest(transfer_id=sent.transfer_id))
    assert side.load == {"A": 3, "B": 3}
    side.ask(amend(made.reservation_id, ("S", "A", 0)))
    assert side.load == {"B": 3}
    assert side.book.verify() == []


def test_a_move_is_never_refused_for_capacity(side):
    locations(side, B={"units_per_day": 1})
    made = side.ask(plan_request(order(("S", 6))))
    side.ask(move(made.reservation_id, "A", "B"))
    assert side.load == {"B": 6}
    plan = side.ask(plan_request(order(("S", 1), destination=HERE), explain=True)).plan
    assert [reason_name(one.reason) for one in plan.candidates if one.location_id == "B"] == ["CAPACITY_FULL"]


def test_what_arrives_leaves_when_a_plan_of_that_instant_would(side):
    """Behind what waits there: the days of a plan and of units that are moved there are the same."""
    locations(side, B={"units_per_day": 4, "backlog_days_max": 5})
    first = side.ask(plan_request(order(("S", 6))))
    for _ in range(2):
        side.ask(move(first.reservation_id, "A", "B", S=3))
    other = Side()
    stock = {(sku, name): 50 for sku in ("S", "T") for name in ("A", "B", "C")}
    other.build({"A": 100, "B": 300, "C": 500}, stock, units_per_day=1000)
    locations(other, A={"methods": []}, C={"methods": []}, B={"units_per_day": 4, "backlog_days_max": 5})
    for _ in range(2):
        other.ask(plan_request(order(("S", 3))))
    assert side.book.plans.load.rows() == other.book.plans.load.rows()
    for _ in range(2):
        side.ask(move(first.reservation_id, "B", "A", S=3))
        side.ask(move(first.reservation_id, "A", "B", S=3))
    assert sum(units for _, _, units in side.book.plans.load.rows()) == 6


def test_capacity_is_free_at_the_instant_of_expiry(side):
    locations(side, A={"units_per_day": 5}, B={"methods": []}, C={"methods": []})
    side.ask(plan_request(order(("S", 5)), ttl=30))
    side.now_us += 30 * MICROSECONDS - 1
    assert shortages(side.ask(plan_request(order(("S", 5)), validate_only=True)).plan) == {"S": (5, "CAPACITY_FULL")}
    side.now_us += 1
    assert shipped(side.ask(plan_request(order(("S", 5)))).plan) == {("S", "A"): 5}


def test_capacity_is_free_for_plans_of_the_group_that_frees_it(side):
    locations(side, A={"units_per_day": 5}, B={"methods": []}, C={"methods": []})
    made = side.ask(plan_request(order(("S", 5))))
    release = reservations.ReleaseReservationRequest(reservation_id=made.reservation_id)
    _, answer = side.group(release, plan_request(order(("S", 5))))
    assert shipped(answer.plan) == {("S", "A"): 5}
    assert side.load == {"A": 5}


def test_a_commit_of_a_part_and_a_fulfillment(side):
    made = side.ask(plan_request(order(("S", 9))))
    units = [{"sku_id": "S", "location_id": "A", "quantity": 6}]
    side.ask(reservations.CommitReservationRequest(reservation_id=made.reservation_id, lines=units))
    assert side.load == {"A": 6}
    units[0]["quantity"] = 2
    side.ask(reservations.FulfillCommitmentRequest(reservation_id=made.reservation_id, lines=units))
    answer = side.ask(reject(made.reservation_id, "A"))
    assert shipped(answer.plan) == {("S", "B"): 4}
    assert side.load == {"A": 2, "B": 4}


def test_levels_that_begin_to_exist_in_the_group(side):
    side.ask(catalog.UpsertSkusRequest(skus=[catalog_pb2.Sku(sku_id="NEW", base_unit="each")]))
    made = side.ask(plan_request(order(("S", 2))))
    side.group(
        inventory.SetOnHandRequest(counts=[{"sku_id": "NEW", "location_id": "B", "on_hand": 9}]),
        amend(made.reservation_id, ("NEW", "B", 5)),
        amend(made.reservation_id, ("NEW", "B", 3)),
        plan_request(order(("S", 1))),
        reject(made.reservation_id, "B", NEW=1),
    )
    assert side.load == {"A": 3, "B": 2}


def test_a_location_that_the_network_does_not_have(side):
    side.ask(catalog.UpsertLocationsRequest(locations=[place("D", 900)]))
    side.ask(inventory.SetOnHandRequest(counts=[{"sku_id": "S", "location_id": "D", "on_hand": 9}]))
    made = side.ask(plan_request(order(("S", 4))))
    side.ask(move(made.reservation_id, "A", "D"))
    assert side.load == {"D": 4}
    assert shipped(side.ask(reject(made.reservation_id, "D")).plan) == {("S", "A"): 4}
    assert side.load == {"A": 4}


def test_orders_in_columns_follow_their_holds(side):
    made = ask(side, columns_of([plan_request(order(("S", 2))), plan_request(order(("T", 3)))]))
    first, second = (f"{number:016x}" for number in made.reservation_ids)
    side.group(amend(first, ("S", "A", 5)), move(second, "A", "B"))
    assert side.load == {"A": 5, "B": 3}
    assert shipped(side.ask(reject(first, "A")).plan) == {("S", "B"): 5}
    assert shipped(side.ask(reject(second, "B", T=2)).plan) == {("T", "A"): 2}
    assert side.load == {"B": 6, "A": 2}


def test_a_plain_reservation_takes_no_capacity(side):
    side.ask(plan_request(order(("S", 1))))
    line = {"sku_id": "S", "location_id": "A", "quantity": 3}
    plain = reservations.ReserveStockRequest(lines=[line])
    plain.ttl.FromSeconds(60)
    made = side.ask(plain)
    side.ask(amend(made.reservation_id, ("S", "A", 7)))
    side.ask(move(made.reservation_id, "A", "B"))
    assert side.load == {"A": 1}


def test_a_snapshot_between_has_it_all(side, tmp_path):
    made = side.ask(plan_request(order(("S", 4)), reference="order"))
    side.ask(amend(made.reservation_id, ("S", "A", 7), ("T", "B", 2)))
    request = reject(made.reservation_id, "C", a_request_id())
    told = refused(side, request)
    loaded = load_snapshot(write_snapshot(tmp_path, side.book, CHAIN_START, 1))[1]
    assert loaded.digest() == side.book.digest()
    side.over(loaded)
    assert side.load == {"A": 7, "B": 2}
    side.ask(amend(made.reservation_id, ("S", "A", 5)))
    assert side.load == {"A": 5, "B": 2}
    assert refused(side, request).message == told.message


def test_a_snapshot_does_not_bring_back_what_was_forgotten(tmp_path):
    """The plan of a rejection goes with its hold; the first plan stays for its request id, and is not the hold's."""
    made = Side()
    books = [Book(request_window_us=600 * MICROSECONDS, retention_us=10 * MICROSECONDS) for _ in range(2)]
    made.over(books[0])
    made.copy = books[1]
    made.build({"A": 100, "B": 300}, {("S", "A"): 50, ("S", "B"): 50}, units_per_day=1000)
    asked = plan_request(order(("S", 2)), request_id=a_request_id())
    first = made.ask(asked)
    made.ask(reject(first.reservation_id, "A"))
    made.ask(reservations.ReleaseReservationRequest(reservation_id=first.reservation_id))
    explain = routing.ExplainPlanRequest(reservation_id=first.reservation_id)
    for _ in range(3):
        made.now_us += 11 * MICROSECONDS
        made.ask(plan_request(order(("S", 1)), ttl=5))
    told = refused(made, explain)
    loaded = load_snapshot(write_snapshot(tmp_path, made.book, CHAIN_START, 1))[1]
    made.over(loaded)
    assert refused(made, explain).reason == told.reason
    assert made.ask(asked) == first
    assert loaded.verify() == []


def test_capacity_is_what_planned_holds_have_or_had_fulfilled():
    """Random changes of planned holds in random groups: at each location its load is what the holds have there."""
    chance = random.Random(8)
    side, names, skus = Side(), ["A", "B", "C", "D"], ["S", "T", "U"]
    side.build(
        {name: 100.0 + 50 * index for index, name in enumerate(names)},
        {(sku, name): 30 for sku in skus for name in names},
        units_per_day=25,
        backlog_days_max=3,
    )
    made: list[str] = []
    for _ in range(45):
        requests = [_random_change(chance, made, names, skus) for _ in range(chance.randint(1, 6))]
        answers = side.group(*requests)
        made += [one.reservation_id for one in answers if isinstance(one, routing.PlanFulfillmentResponse)]
        made = [reservation_id for reservation_id in made if reservation_id]
        assert not side.book.verify()
        expected: dict[str, int] = {}
        for reservation_id in made:
            found = side.ask(reservations.GetReservationRequest(reservation_id=reservation_id)).reservation
            for line in found.lines:
                units = line.open_quantity + line.fulfilled_quantity
                expected[line.location_id] = expected.get(line.location_id, 0) + units
        assert side.load == {name: units for name, units in expected.items() if units}
        side.now_us += chance.choice([0, MICROSECONDS])


def _random_change(chance: random.Random, made: list[str], names: list[str], skus: list[str]) -> Any:
    if not made or chance.random() < 0.25:
        wanted = [(sku, chance.randint(1, 6)) for sku in chance.sample(skus, chance.randint(1, 3))]
        return plan_request(order(*wanted), ttl=chance.choice([4, 600]))
    held_by, (origin, target) = chance.choice(made[-8:]), chance.sample(names, 2)
    lines = [{"sku_id": chance.choice(skus), "location_id": origin, "quantity": chance.randint(1, 4)}]
    return chance.choice(
        [
            amend(held_by, (chance.choice(skus), origin, chance.randint(0, 7))),
            amend(held_by, *((sku, origin, chance.randint(0, 4)) for sku in skus)),
            move(held_by, origin, target),
            move(held_by, origin, target, **{chance.choice(skus): chance.randint(1, 3)}),
            reject(held_by, origin),
            reject(held_by, origin, **{chance.choice(skus): 1}),
            reservations.CommitReservationRequest(reservation_id=held_by, lines=chance.choice([[], lines])),
            reservations.ReleaseReservationRequest(reservation_id=held_by, lines=chance.choice([[], lines])),
            reservations.FulfillCommitmentRequest(reservation_id=held_by, lines=chance.choice([[], lines])),
            reservations.CancelCommitmentRequest(reservation_id=held_by, lines=chance.choice([[], lines])),
        ]
    )


@pytest.mark.parametrize("is_committed", [False, True])
def test_a_location_rejects_what_the_hold_has_there(side, is_committed):
    made = side.ask(plan_request(order(("S", 3))))
    if is_committed:
        commit(side, made.reservation_id)
    side.ask(move(made.reservation_id, "A", "C"))
    assert refused(side, reject(made.reservation_id, "A")).reason == "QUANTITY_EXCEEDS_OPEN"
    assert shipped(side.ask(reject(made.reservation_id, "C")).plan) == {("S", "A"): 3}
    side.ask(amend(made.reservation_id, ("S", "A", 8), ("T", "A", 2)))
    answer = side.ask(reject(made.reservation_id, "A", S=6))
    assert shipped(answer.plan) == {("S", "B"): 6}
    answer = side.ask(reject(made.reservation_id, "A"))
    assert shipped(answer.plan) == {("S", "B"): 2, ("T", "B"): 2}
    assert held(side, made.reservation_id) == {("S", "B"): 8, ("T", "B"): 2}
    assert side.load == {"B": 10}


def test_moved_units_keep_the_line_that_they_were_planned_for(side):
    """Two lines of one sku go different ways; what is moved is planned anew as its line was."""
    collect = {"method": PICKUP, "store_id": "B"}
    made = side.ask(plan_request(order(("S", 2, collect), ("S", 3))))
    assert shipped(made.plan) == {("S", "B"): 2, ("S", "A"): 3}
    side.ask(move(made.reservation_id, "A", "C"))
    answer = side.ask(reject(made.reservation_id, "C"))
    assert [(one.location_id, one.method, one.lines[0].line) for one in answer.plan.shipments] == [("A", SHIP, 1)]
    answer = side.ask(reject(made.reservation_id, "B"))
    assert [(one.line, one.quantity) for one in answer.plan.shortages] == [(0, 2)]


def test_a_substitute_travels_as_the_first_line_does(side):
    collect = {"method": PICKUP, "store_id": "A"}
    made = side.ask(plan_request(order(("S", 2, collect))))
    side.ask(amend(made.reservation_id, ("S", "A", 0), ("T", "A", 2)))
    answer = side.ask(reject(made.reservation_id, "A"))
    assert shortages(answer.plan)["T"][0] == 2
    assert answer.plan.shortages[0].line == 1
    assert held(side, made.reservation_id) == {}
    made = side.ask(plan_request(order(("S", 2))))
    side.ask(amend(made.reservation_id, ("S", "A", 0), ("T", "A", 2)))
    assert shipped(side.ask(reject(made.reservation_id, "A")).plan) == {("T", "B"): 2}
    assert shipped(side.ask(reject(made.reservation_id, "B")).plan) == {("T", "C"): 2}


def test_a_part_that_was_released_is_rejected_no_more(side):
    made = side.ask(plan_request(order(("S", 5))))
    units = [{"sku_id": "S", "location_id": "A", "quantity": 2}]
    side.ask(reservations.ReleaseReservationRequest(reservation_id=made.reservation_id, lines=units))
    error = refused(side, reject(made.reservation_id, "A", S=4))
    assert [(one.requested, one.available) for one in error.shortages] == [(4, 3)]
    assert shipped(side.ask(reject(made.reservation_id, "A")).plan) == {("S", "B"): 3}


def test_an_explanation_of_what_took_over(side):
    made = side.ask(plan_request(order(("S", 5))))
    side.ask(move(made.reservation_id, "A", "B"))
    answer = side.ask(reject(made.reservation_id, "B"))
    told = side.ask(routing.ExplainPlanRequest(reservation_id=made.reservation_id))
    assert told.plan.shipments == answer.plan.shipments
    reasons = {one.location_id: reason_name(one.lines[0].reason) for one in told.plan.candidates}
    assert reasons == {"A": "ELIGIBLE", "B": "REJECTED_BEFORE", "C": "ELIGIBLE"}
    assert not told.plan.unexplained


def test_the_limit_of_shipments_is_that_of_the_whole_order(side):
    made = side.ask(plan_request(order(("S", 4)), max_shipments=1))
    answer = side.ask(reject(made.reservation_id, "A", S=1))
    assert shortages(answer.plan) == {"S": (1, "MAX_SHIPMENTS")}
    assert held(side, made.reservation_id) == {("S", "A"): 3}
    told = side.ask(routing.ExplainPlanRequest(reservation_id=made.reservation_id)).plan
    assert not told.unexplained
    made = side.ask(plan_request(order(("S", 4)), max_shipments=1))
    assert shipped(side.ask(reject(made.reservation_id, "A")).plan) == {("S", "B"): 4}


def test_what_joins_a_shipment_that_stays_is_no_other_shipment(side):
    side.ask(inventory.SetOnHandRequest(counts=[{"sku_id": "S", "location_id": "A", "on_hand": 3}]))
    made = side.ask(plan_request(order(("S", 3), ("T", 2)), max_shipments=2))
    side.ask(move(made.reservation_id, "A", "C", T=2))
    assert held(side, made.reservation_id) == {("S", "A"): 3, ("T", "C"): 2}
    answer = side.ask(reject(made.reservation_id, "A", S=1))
    assert shipped(answer.plan) == {("S", "C"): 1}  # B is cheaper, and would be a third
    told = side.ask(routing.ExplainPlanRequest(reservation_id=made.reservation_id)).plan
    assert {one.location_id: reason_name(one.reason) for one in told.candidates}["B"] == "MAX_SHIPMENTS"
    assert [one.location_id for one in told.candidates if one.chosen] == ["C"]


def test_an_order_worth_too_little_is_not_split_by_a_rejection(side):
    network(side, profiles=[profile(never_split_below_micros=100 * MICROS)])
    made = side.ask(plan_request(order(("S", 4, {"unit_value_micros": 20 * MICROS}))))
    answer = side.ask(reject(made.reservation_id, "A", S=1))
    assert shortages(answer.plan) == {"S": (1, "NEVER_SPLIT")}
    dear = side.ask(plan_request(order(("S", 4, {"unit_value_micros": 40 * MICROS}))))
    answer = side.ask(reject(dear.reservation_id, "A", S=1))
    assert shipped(answer.plan) == {("S", "B"): 1}  # the whole order is worth enough, this part is not


@pytest.mark.parametrize("of_profile", [False, True])
def test_units_of_a_complete_order_are_filled_whole_or_not_at_all(side, of_profile):
    if of_profile:
        network(side, profiles=[profile(ship_complete=True)])
    counts = [{"sku_id": "S", "location_id": name, "on_hand": units} for name, units in (("B", 2), ("C", 1))]
    side.ask(inventory.SetOnHandRequest(counts=counts))
    made = side.ask(plan_request(order(("S", 5), ship_complete=not of_profile)))
    answer = side.ask(reject(made.reservation_id, "A", S=4))
    assert shortages(answer.plan) == {"S": (4, "SHIP_COMPLETE")}
    assert held(side, made.reservation_id) == {("S", "A"): 1}
    made = side.ask(plan_request(order(("S", 5), ship_complete=not of_profile)))
    assert shipped(side.ask(reject(made.reservation_id, "A", S=3)).plan) == {("S", "B"): 2, ("S", "C"): 1}


def test_a_hard_promise_is_kept_by_what_takes_over(side):
    network(side, profiles=[profile(promise=HARD)])
    fast = side.ask(plan_request(order(("S", 1)), validate_only=True)).plan.shipments[0].arrival_date
    locations(side, B={"handling_days": 3}, C={"handling_days": 3})
    made = side.ask(plan_request(order(("S", 4, {"promise_date": fast}))))
    answer = side.ask(reject(made.reservation_id, "A", S=2))
    assert shipped(answer.plan) == {}
    assert {one[0] for one in shortages(answer.plan).values()} == {2}
    counts = {reason_name(one.reason) for one in answer.plan.shortages[0].reasons}
    assert counts == {"REJECTED_BEFORE", "PROMISE_MISSED"}
    assert held(side, made.reservation_id) == {("S", "A"): 2}


@pytest.mark.parametrize("seed", range(4))
def test_rules_hold_through_random_rejections(seed):
    """No order gets more shipments than it may have, none is half filled that ships complete, nothing is lost."""
    chance = random.Random(seed)
    names, skus = [f"L{number}" for number in range(7)], ["S", "T", "U"]
    stock = {(sku, name): chance.randint(0, 5) for sku in skus for name in names} | {("S", "L0"): 9}
    side = Side()
    side.build({name: 100.0 + 120 * index for index, name in enumerate(names)}, stock, units_per_day=9)
    for number in range(14):
        most, is_complete = chance.randint(1, 3), chance.random() < 0.3
        wanted = {sku: chance.randint(1, 4) for sku in chance.sample(skus, chance.randint(1, 3))}
        what = order(*wanted.items(), ship_complete=is_complete)
        made = side.ask(plan_request(what, max_shipments=most, reference=f"order {number}"))
        if not made.reservation_id:
            continue
        before = held(side, made.reservation_id)
        for _ in range(3):
            if not before:
                break
            (sku, name), units = chance.choice(list(before.items()))
            some = {sku: chance.randint(1, units)} if chance.random() < 0.7 else {}
            answer = side.ask(reject(made.reservation_id, name, **some))
            after = held(side, made.reservation_id)
            assert len({at for _, at in after}) <= most
            short = sum(one.quantity for one in answer.plan.shortages)
            assert sum(after.values()) + short == sum(before.values())
            assert not (is_complete and short and shipped(answer.plan))
            assert answer.plan.cost_micros == sum(value for _, value in answer.plan.cost_terms.ListFields())
            told = side.ask(routing.ExplainPlanRequest(reservation_id=made.reservation_id)).plan
            chosen = {one.location_id for one in told.candidates if one.chosen}
            assert chosen == {one.location_id for one in answer.plan.shipments}
            before = after
        if before and chance.random() < 0.7:
            side.ask(reservations.ReleaseReservationRequest(reservation_id=made.reservation_id))


@pytest.mark.parametrize("method", [SHIP, PICKUP, SHIP_TO_STORE])
def test_a_closed_store_rejects(side, method):
    collected = {} if method == SHIP else {"method": method, "store_id": "A"}
    made = side.ask(plan_request(order(("S", 3, collected))))
    commit(side, made.reservation_id)
    side.ask(catalog.UpsertLocationsRequest(locations=[place("A", 100, active=False)]))
    answer = side.ask(reject(made.reservation_id, "A"))
    if method == SHIP:
        assert held(side, made.reservation_id) == {("S", "B"): 3}
        return
    assert held(side, made.reservation_id) == {}
    assert shortages(answer.plan)["S"][0] == 3
    counts = {reason_name(one.reason) for one in answer.plan.shortages[0].reasons}
    assert counts & {"INACTIVE", "NO_LANE", "NOT_PICKUP_STORE"}
    assert answer.plan.cost_micros == sum(value for _, value in answer.plan.cost_terms.ListFields())


def test_what_only_a_closed_location_may_send(side):
    side.ask(catalog.UpsertSkusRequest(skus=[catalog_pb2.Sku(sku_id="S", base_unit="each", restrictions=["hazmat"])]))
    locations(side, A={"allowed_restrictions": ["hazmat"]})
    made = side.ask(plan_request(order(("S", 3))))
    side.ask(catalog.UpsertLocationsRequest(locations=[place("A", 100, active=False)]))
    answer = side.ask(reject(made.reservation_id, "A", S=1))
    assert shortages(answer.plan) == {"S": (1, "RESTRICTED_ITEM")}
    assert held(side, made.reservation_id) == {("S", "A"): 2}


@pytest.mark.parametrize("now", [[version("standard", 2)], [version("other", 1)]])
def test_a_profile_that_is_gone(side, now):
    made = side.ask(plan_request(order(("S", 3)), profile="standard@1"))
    network(side, profiles=now)
    answer = side.ask(reject(made.reservation_id, "A"))
    assert shipped(answer.plan) == {("S", "B"): 3}
    assert answer.plan.profile == f"{now[0].name}@{now[0].version}"
    assert shipped(side.ask(reject(made.reservation_id, "B")).plan) == {("S", "C"): 3}


def test_a_place_that_is_gone_or_elsewhere(side):
    places = [network_pb2.Place(name="1000", latitude=0.0, longitude=0.0)]
    network(side, places=places)
    there = plan_pb2.Destination(place="1000")
    made = [side.ask(plan_request(order(("S", 3), destination=there))) for _ in range(2)]
    network(side)
    first = side.ask(reject(made[0].reservation_id, "A")).plan
    assert shipped(first) == {("S", "B"): 3}
    network(side, places=[network_pb2.Place(name="1000", latitude=0.0, longitude=20.0)])
    second = side.ask(reject(made[1].reservation_id, "A")).plan
    assert second.shipments[0].distance_km == pytest.approx(first.shipments[0].distance_km) == pytest.approx(300, 0.01)
    assert shipped(side.ask(reject(made[0].reservation_id, "B")).plan) == {("S", "C"): 3}


def test_a_channel_that_is_gone_is_served_by_nobody(side):
    groups = catalog.UpsertLocationsRequest(
        locations=[place(name, km, groups=["eu"]) for name, km in (("A", 100), ("B", 300), ("C", 500))]
    )
    side.ask(groups)
    network(side, channels=[network_pb2.Channel(name="web", location_groups=["eu"])])
    made = side.ask(plan_request(order(("S", 3), ("T", 1), channel="web")))
    network(side)
    answer = side.ask(reject(made.reservation_id, "A", S=2))
    assert shortages(answer.plan) == {"S": (2, "CHANNEL_NOT_SERVED")}
    assert answer.plan.cost_micros == answer.plan.cost_terms.unfilled_micros > 0
    network(side, channels=[network_pb2.Channel(name="web", location_groups=["eu"])])
    assert shipped(side.ask(reject(made.reservation_id, "A")).plan) == {("S", "B"): 1, ("T", "B"): 1}


def test_a_store_that_is_gone(side):
    collect = {"method": PICKUP, "store_id": "A"}
    made = side.ask(plan_request(order(("S", 3, collect), ("T", 1))))
    rows = [location_routing(name) for name in ("B", "C")]
    side.ask(networks.UpsertNetworkRequest(network=a_network(), locations=rows, replace_locations=True))
    answer = side.ask(reject(made.reservation_id, "A"))
    assert shipped(answer.plan) == {("T", "B"): 1}
    assert shortages(answer.plan) == {"S": (3, "NOT_PICKUP_STORE")}
    told = side.ask(routing.ExplainPlanRequest(reservation_id=made.reservation_id)).plan
    assert told.shortages == answer.plan.shortages


def test_what_is_collected_on_a_stores_last_day_takes_its_capacity(side):
    """Its cut-off is over, and no day comes after: nothing leaves any more, and customers still come."""
    today = datetime.fromtimestamp(side.now_us / MICROSECONDS, UTC).date()
    closed = [(today + timedelta(days=day)).isoformat() for day in range(1, 800)]
    daily = [network_pb2.Calendar(name="daily", weekdays=range(1, 8))]
    network(side, calendars=[*daily, network_pb2.Calendar(name="ends", weekdays=range(1, 8), closed_dates=closed)])
    locations(side, A={"calendar": "ends", "cut_off": "00:01", "units_per_day": 5, "pickup_minutes": 0})
    here = {"method": PICKUP, "store_id": "A"}
    made = [side.ask(plan_request(order(("S", 4, here)), ttl=3_000)) for _ in range(3)]
    assert [sum(shipped(one.plan).values()) for one in made] == [4, 1, 0]
    assert side.load == {"A": 5}
    brought = side.ask(plan_request(order(("S", 3)), ttl=3_000))
    ((_, at),) = shipped(brought.plan)
    side.ask(move(brought.reservation_id, at, "A"))
    assert side.load == {"A": 8}
    side.ask(reservations.ReleaseReservationRequest(reservation_id=made[0].reservation_id))
    assert side.load == {"A": 4}
