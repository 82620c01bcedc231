"""Plans in the ledger's books: writer, replay and snapshot agree; capacity follows the reservations."""

import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from onhand.inventory.v1 import bulk_service_pb2 as commands
from onhand.inventory.v1 import catalog_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.inventory.v1 import transfer_service_pb2 as transfers
from onhand.order.v1 import fulfillment_service_pb2 as fulfillment
from onhand.routing.v1 import bulk_service_pb2, network_pb2, plan_pb2
from onhand.routing.v1 import network_service_pb2 as networks
from onhand.routing.v1 import routing_service_pb2 as routing
from routing_harness import (
    PICKUP,
    SHIP,
    SHIP_TO_STORE,
    a_network,
    carrier,
    location_routing,
    order,
    place,
    plan_request,
    reason_name,
    shipped,
    shortages,
)

from engine.api.desk import METHOD_PATHS, Desk
from engine.api.routing.network_proof import violations_of
from engine.api.routing.routers import routers_of
from engine.errors import RefusedError
from engine.planner.run import load_of, planner_of
from engine.transport import Call
from ledger.book import Book
from ledger.core.limits import MICROSECONDS
from ledger.journal.entry import CHAIN_START, decode_entry, encode_entry
from ledger.journal.stream import PAYLOAD_BYTES_MAX
from ledger.parts.load import DAY_US
from ledger.parts.plans import VIEWS_MAX
from ledger.parts.resources import LocationRouting
from ledger.snapshot import load_snapshot, write_snapshot
from routing.limits import LATE_DAYS_MAX

START_US = 1_795_000_000 * MICROSECONDS
WINDOW_US = 60 * MICROSECONDS
POSITIONS = {path.rsplit("/", 1)[1]: position for position, path in enumerate(METHOD_PATHS)}


def has_right_load(book: Book) -> bool:
    """Whether the planner's tray has the load of the places, where the planner takes it to have it."""
    planner = planner_of(book)
    names, problem, version = planner._loaded
    if names is None or problem is None or version != book.plans.load.version:
        return True
    load = planner._trays[len(names.location)].stock.load
    return bool((load == load_of(names.location, problem, book)).all())


class Side:
    """A book and its desk, and a second book that replays what the first one journals."""

    def __init__(self) -> None:
        self.book, self.copy = (Book(request_window_us=WINDOW_US, retention_us=WINDOW_US) for _ in range(2))
        self.now_us = START_US
        self.entry_bytes = 0
        self.over(self.book)

    def over(self, book: Book) -> None:
        """Go on with a book; without a copy from its past."""
        if book is not self.book:
            self.book = self.copy = book
        self._desk = Desk(self)  # type: ignore[arg-type]  # the methods asked look at the book alone

    def group(self, *requests: Any) -> list[Any]:
        """Answer requests as one group, journal it, and let the copy replay it."""
        names = [type(request).__name__.removesuffix("Request") for request in requests]
        calls = [
            Call(number, POSITIONS[name], request.SerializeToString())
            for number, (name, request) in enumerate(zip(names, requests, strict=True))
        ]
        replies = self._run(calls)
        while self._desk.is_working:  # orders that one group may not plan are planned by the next ones
            self.now_us += 1  # no group has the time of the one before
            replies |= self._run([])
        return [self._answer(name, replies[number]) for number, name in enumerate(names)]

    def _run(self, calls: list[Call]) -> dict[int, bytes | RefusedError]:
        replies = {reply.call.call_id: reply.response for reply in self._desk.answer(calls, self.now_us)}
        digest = self.book.digest()
        entry = self.book.close_entry(epoch=1)
        if entry is not None and self.copy is not self.book:
            payload = encode_entry(entry, CHAIN_START)[0]
            self.entry_bytes = max(self.entry_bytes, len(payload))
            self.copy.replay(decode_entry(payload, CHAIN_START)[0])
        if entry is not None:
            assert not [found for part in self.book.parts for found in part.verify()]
        assert self.book.digest() == digest == self.copy.digest()
        assert self.book.plans.load.rows() == self.copy.plans.load.rows()
        assert has_right_load(self.book)
        assert all(part.sum.is_right(part.rows) for part in (*self.book.parts, *self.copy.parts))
        return replies

    @staticmethod
    def _answer(name: str, reply: bytes | RefusedError) -> Any:
        if isinstance(reply, RefusedError):
            return reply
        stock = reservations, inventory, catalog, transfers, fulfillment, commands
        modules = *stock, routing, networks, bulk_service_pb2
        module = next(each for each in modules if hasattr(each, name + "Response"))
        return getattr(module, name + "Response").FromString(reply)

    def ask(self, request: Any) -> Any:
        reply = self.group(request)[0]
        if isinstance(reply, RefusedError):
            raise reply
        return reply

    def build(self, locations: dict[str, float], stock: dict[tuple[str, str], int], **own: Any) -> None:
        self.ask(catalog.UpsertLocationsRequest(locations=[place(name, km) for name, km in locations.items()]))
        skus = [catalog_pb2.Sku(sku_id=sku, base_unit="each") for sku in dict.fromkeys(sku for sku, _ in stock)]
        self.ask(catalog.UpsertSkusRequest(skus=skus))
        counts = [
            inventory.OnHandCount(sku_id=sku, location_id=location, on_hand=units)
            for (sku, location), units in stock.items()
        ]
        self.ask(inventory.SetOnHandRequest(counts=counts))
        rows = [location_routing(name, **own) for name in locations]
        self.ask(networks.UpsertNetworkRequest(network=a_network(), locations=rows))

    @property
    def load(self) -> dict[str, int]:
        """Location -> units that take its capacity, on any day."""
        found: dict[str, int] = {}
        for location, _, units in self.book.plans.load.rows():
            name = self.book.ledger.location_id(location)
            found[name] = found.get(name, 0) + units
        return found


@pytest.fixture
def side() -> Side:
    made = Side()
    made.build({"A": 100, "B": 300}, {("S", "A"): 50, ("S", "B"): 50, ("T", "B"): 50}, units_per_day=20)
    return made


def test_capacity_follows_the_reservation(side):
    made = side.ask(plan_request(order(("S", 10), ("T", 4)), ttl=30))
    total = sum(shipped(made.plan).values())
    assert sum(side.load.values()) == total == 14
    side.ask(reservations.CommitReservationRequest(reservation_id=made.reservation_id))
    assert sum(side.load.values()) == total
    units = {
        "sku_id": "S",
        "location_id": next(iter(at for sku, at in shipped(made.plan) if sku == "S")),
        "quantity": 3,
    }
    side.ask(reservations.CancelCommitmentRequest(reservation_id=made.reservation_id, lines=[units]))
    assert sum(side.load.values()) == total - 3
    units["quantity"] = 2
    side.ask(reservations.FulfillCommitmentRequest(reservation_id=made.reservation_id, lines=[units]))
    assert sum(side.load.values()) == total - 3  # the location did work on them
    side.ask(reservations.CancelCommitmentRequest(reservation_id=made.reservation_id))
    assert sum(side.load.values()) == 2


def test_capacity_of_an_expired_hold_is_given_back(side):
    side.ask(plan_request(order(("S", 10)), ttl=30))
    assert sum(side.load.values()) == 10
    side.now_us += 31 * MICROSECONDS
    side.ask(plan_request(order(("S", 1)), ttl=30))
    assert sum(side.load.values()) == 1


def test_capacity_of_a_day_that_is_over_is_forgotten(side):
    side.ask(plan_request(order(("S", 10)), ttl=30))
    side.now_us += 5 * DAY_US
    side.ask(plan_request(order(("S", 1)), ttl=30))
    assert sum(side.load.values()) == 1


def test_plans_of_one_group_see_each_other(side):
    answers = side.group(*(plan_request(order(("S", 15))) for _ in range(3)))
    assert [shortages(answer.plan) for answer in answers] == [{}, {}, {"S": (5, "CAPACITY_FULL")}]
    assert side.load == {"A": 20, "B": 20}


def test_a_sku_is_planned_by_what_it_is_now(side):
    asked = plan_request(order(("S", 1)))
    assert shipped(side.ask(asked).plan) == {("S", "A"): 1}
    sku = catalog_pb2.Sku(sku_id="S", base_unit="each", restrictions=["lithium"])
    side.ask(catalog.UpsertSkusRequest(skus=[sku]))
    with pytest.raises(RefusedError, match="RESTRICT"):
        side.ask(asked)
    rows = [location_routing("A"), location_routing("B", allowed_restrictions=["lithium"])]
    side.ask(networks.UpsertNetworkRequest(network=a_network(), locations=rows))
    assert shipped(side.ask(asked).plan) == {("S", "B"): 1}


def test_what_is_no_more_needed_is_dropped(side):
    side.book.plans.explained_max = 3
    for _ in range(10):
        request_id = str(uuid.UUID(int=random.getrandbits(128), version=4))
        made = side.ask(plan_request(order(("S", 1)), ttl=5, request_id=request_id))
    assert len(side.book.plans) == 10
    kept = [bool(side.book.plans.plan(made.seq - back).seen) for back in range(5)]
    assert kept == [True, True, True, False, False]
    for _ in range(40):  # the window and the retention pass
        side.now_us += 10 * MICROSECONDS
        side.ask(plan_request(order(("S", 1)), ttl=5))
    assert len(side.book.plans) <= 10
    assert side.ask(routing.ExplainPlanRequest(plan_id=f"{side.book.seq:016x}")).plan.candidates


def test_a_snapshot_has_the_plans(side, tmp_path):
    made = side.ask(plan_request(order(("S", 25), ("T", 4)), reference="order", ttl=300))
    one = [routing.RejectedLine(sku_id="T", quantity=1)]
    rejection = routing.RejectAssignmentRequest(reservation_id=made.reservation_id, location_id="B", lines=one)
    side.ask(rejection)
    loaded = load_snapshot(write_snapshot(tmp_path, side.book, CHAIN_START, 1))[1]
    assert loaded.digest() == side.book.digest()
    assert loaded.plans.load.rows() == side.book.plans.load.rows() != []
    assert loaded.rejections.suspects == side.book.rejections.suspects
    assert loaded.rejections.of("order", side.now_us) == side.book.rejections.of("order", side.now_us) != []
    explain = routing.ExplainPlanRequest(plan_id=made.plan.plan_id)
    told = side.ask(explain)
    side.over(loaded)
    assert side.ask(explain) == told
    assert side.ask(plan_request(order(("S", 20)))).plan.shortages


def test_random_work_keeps_writer_and_replay_equal():
    """Plans, rejections, releases, commits, cancels, fulfillments, counts and expiries in random groups."""
    chance = random.Random(5)
    side = Side()
    side.build(
        {f"L{index}": 60.0 * index + 1 for index in range(8)},
        {(f"S{sku}", f"L{index}"): 20 for sku in range(5) for index in range(8)},
        units_per_day=30,
    )
    held: list[str] = []
    for _ in range(150):
        answers = side.group(*(_random_request(chance, held) for _ in range(chance.randint(1, 5))))
        held += [answer.reservation_id for answer in answers if getattr(answer, "reservation_id", "")]
        side.now_us += chance.choice([0, MICROSECONDS, 20 * MICROSECONDS, 300 * MICROSECONDS, DAY_US // 3])
        assert not side.book.verify()
        _check_load(side)


def _random_request(chance: random.Random, held: list[str]) -> Any:
    skus = [f"S{sku}" for sku in chance.sample(range(5), chance.randint(1, 3))]
    reservation_id = chance.choice(held[-12:]) if held else "0000000100000001"
    return chance.choice(
        [
            plan_request(order(*((sku, chance.randint(1, 12)) for sku in skus)), ttl=chance.choice([5, 100, 10_000])),
            plan_request(order(*((sku, chance.randint(1, 12)) for sku in skus)), reference=f"o{chance.randint(1, 5)}"),
            reservations.CommitReservationRequest(reservation_id=reservation_id),
            reservations.ReleaseReservationRequest(reservation_id=reservation_id),
            reservations.CancelCommitmentRequest(reservation_id=reservation_id),
            reservations.FulfillCommitmentRequest(reservation_id=reservation_id),
            routing.RejectAssignmentRequest(reservation_id=reservation_id, location_id=f"L{chance.randint(0, 7)}"),
            inventory.SetOnHandRequest(
                counts=[{"sku_id": sku, "location_id": f"L{chance.randint(0, 7)}", "on_hand": 25} for sku in skus]
            ),
        ]
    )


def _check_load(side: Side) -> None:
    """No location has more than a day and the days that are over; what is booked is not negative."""
    assert all(units > 0 for _, _, units in side.book.plans.load.rows())


def test_a_network_is_checked_whole(side):
    def problem(**network: Any) -> str:
        request = networks.UpsertNetworkRequest(network=a_network(**network))
        reply = side.group(request)[0]
        assert isinstance(reply, RefusedError), reply
        assert reply.reason == "VALIDATION_FAILED"
        return reply.message

    step = network_pb2.RateStep
    zone = network_pb2.CarrierZone
    rates = [step(to_milligrams=1000, base_micros=1), step(above_milligrams=500, base_micros=2)]
    overlap = network_pb2.Carrier(name="parcel", calendar="daily", zones=[zone(transit_days=1, ship_rates=rates)])
    assert "steps overlap" in problem(carriers=[overlap])
    assert problem(carriers=[overlap]).startswith("network.carriers[0].zones[0].ship_rates[1].above_milligrams: ")
    assert "weekdays" in problem(calendars=[network_pb2.Calendar(name="daily")])
    negative = network_pb2.RoutingProfile(name="p", version=1, shipping_weight=-1)
    assert problem(profiles=[negative]) == "network.profiles[0].shipping_weight: expected 0 to 1000, was -1.0."
    assert problem(profiles=[]) == "network.profiles: expected at least one, was 0."
    assert "carrier" in problem(carriers=[])
    assert problem(currency="") == 'network.currency: expected 1 to 16 bytes of UTF-8, was "".'


@pytest.mark.parametrize("name", ["stockout_avoidance_weight", "markdown_avoidance_weight"])
def test_a_weight_that_would_change_nothing_is_refused(side, name):
    profile = network_pb2.RoutingProfile(name="p", version=1, **{name: 2.0})
    (reply,) = side.group(networks.UpsertNetworkRequest(network=a_network(profiles=[profile])))
    assert isinstance(reply, RefusedError)
    expected = "expected 1, or nothing, since the engine does not price this term yet, was 2.0."
    assert reply.message == f"network.profiles[0].{name}: {expected}"
    setattr(profile, name, 1.0)
    side.ask(networks.UpsertNetworkRequest(network=a_network(profiles=[profile])))


def test_versions_of_the_network(side):
    version = side.ask(networks.GetNetworkRequest()).network.version
    assert side.ask(networks.UpsertNetworkRequest(network=a_network())).version == version
    changed = networks.UpsertNetworkRequest(network=a_network(currency="USD"), expected_version=version)
    assert side.ask(changed).version == version + 1
    reply = side.group(networks.UpsertNetworkRequest(network=a_network(), expected_version=version))[0]
    assert isinstance(reply, RefusedError)
    assert reply.reason == "VERSION_MISMATCH"
    rows = [location_routing("A", priority=7)]
    assert side.ask(networks.UpsertLocationRoutingRequest(locations=rows)).version == version + 2
    listed = side.ask(networks.ListLocationRoutingRequest()).locations
    assert [(one.location_id, one.priority) for one in listed] == [("A", 7), ("B", 0)]
    made = side.ask(plan_request(order(("S", 1)), validate_only=True))
    assert made.plan.network_version == version + 2


def a_calendar_that_ends(name: str) -> network_pb2.Calendar:
    """A calendar whose last working day is that of the year 2026."""
    closed = [(datetime(2027, 1, 1, tzinfo=UTC) + timedelta(days=day)).date().isoformat() for day in range(800)]
    return network_pb2.Calendar(name=name, weekdays=range(1, 8), closed_dates=closed)


def reasons(side: Side, asked: plan_pb2.Order) -> dict[str, str]:
    """Location -> why it does not serve an order, as its plan is explained."""
    plan_id = side.ask(plan_request(asked, ttl=3_000)).plan.plan_id
    plan = side.ask(routing.ExplainPlanRequest(plan_id=plan_id)).plan
    return {one.location_id: reason_name(one.reason) for one in plan.candidates}


def test_a_calendar_that_has_ended_is_a_reason_for_its_locations_alone(side):
    network = a_network(calendars=[*a_network().calendars, a_calendar_that_ends("ends")])
    side.ask(networks.UpsertNetworkRequest(network=network, locations=[location_routing("A", calendar="ends")]))
    assert shipped(side.ask(plan_request(order(("S", 1)))).plan) == {("S", "A"): 1}
    side.now_us = int(datetime(2027, 6, 1, tzinfo=UTC).timestamp()) * MICROSECONDS
    assert reasons(side, order(("S", 1))) == {"A": "NO_WORKING_DAY", "B": "ELIGIBLE"}
    assert reasons(side, order(("S", 1, {"method": PICKUP, "store_id": "B"})))["B"] == "ELIGIBLE"
    assert shipped(side.ask(plan_request(order(("S", 1)))).plan) == {("S", "B"): 1}
    # Nobody else's writes are refused for it, and it may be written again.
    side.ask(networks.UpsertLocationRoutingRequest(locations=[location_routing("B", priority=3)]))
    side.ask(networks.UpsertNetworkRequest(network=network))


def test_a_carrier_or_a_store_whose_calendar_has_ended_is_a_reason_too(side):
    parcels = carrier()
    parcels.calendar = "ends"
    lane = network_pb2.Lane(from_location_id="B", to_location_id="A", days=1)
    network = a_network(
        calendars=[*a_network().calendars, a_calendar_that_ends("ends")], carriers=[parcels], lanes=[lane]
    )
    store = location_routing("A", calendar="ends", methods=[PICKUP, SHIP_TO_STORE])
    side.ask(networks.UpsertNetworkRequest(network=network, locations=[store]))
    side.now_us = int(datetime(2027, 6, 1, tzinfo=UTC).timestamp()) * MICROSECONDS
    wanted = {"method": SHIP_TO_STORE, "store_id": "A"}
    for asked in (order(("S", 1)), order(("S", 1, wanted)), order(("S", 1, {"method": PICKUP, "store_id": "A"}))):
        for reply in side.group(plan_request(asked), plan_request(asked, validate_only=True)):
            assert isinstance(reply, RefusedError)
            assert "NO_WORKING_DAY" in reply.message
    batch = routing.BatchPlanFulfillmentRequest(requests=[plan_request(order(("S", 1)))])
    assert side.ask(batch).results[0].refused.reason == "VALIDATION_FAILED"


def test_networks_that_change_all_the_time_are_not_kept_for_ever(side):
    made = [side.ask(plan_request(order(("S", 1)), ttl=3_000)).plan.plan_id]
    for _ in range(VIEWS_MAX + 3):
        side.ask(networks.UpsertLocationRoutingRequest(locations=[location_routing("A", priority=len(made))]))
        made.append(side.ask(plan_request(order(("S", 1)), ttl=3_000)).plan.plan_id)
    assert len(side.book.views) == len(side.copy.views) == VIEWS_MAX
    told = [bool(side.ask(routing.ExplainPlanRequest(plan_id=plan_id)).plan.candidates) for plan_id in made]
    assert told == [False] * 4 + [True] * VIEWS_MAX


def test_an_old_commitment_is_let_go_after_a_restore(side, tmp_path):
    made = side.ask(plan_request(order(("S", 10))))
    side.ask(reservations.CommitReservationRequest(reservation_id=made.reservation_id))
    side.now_us += 6 * DAY_US
    side.ask(inventory.SetOnHandRequest(counts=[{"sku_id": "T", "location_id": "B", "on_hand": 9}]))
    assert side.load == {}
    side.over(load_snapshot(write_snapshot(tmp_path, side.book, CHAIN_START, 1))[1])
    side.ask(reservations.CancelCommitmentRequest(reservation_id=made.reservation_id))
    side.ask(plan_request(order(("S", 3))))
    assert sum(side.load.values()) == 3


@pytest.mark.parametrize("explained_max", [0, 1])
def test_few_explanations_or_none(side, explained_max):
    side.book.plans.explained_max = explained_max
    made = [side.ask(plan_request(order(("S", 1)))).plan.plan_id for _ in range(3)]
    told = [bool(side.ask(routing.ExplainPlanRequest(plan_id=plan_id)).plan.candidates) for plan_id in made]
    assert told == [False, False, bool(explained_max)]


def test_a_rejection_that_would_need_too_many_lines_changes_nothing():
    side = Side()
    skus = [f"S{number}" for number in range(100)]
    places = {f"L{number}": 100.0 + 100 * number for number in range(6)}
    stock = {(sku, place): 5 for sku in skus for place in places} | {(sku, "L0"): 25 for sku in skus}
    side.build(places, stock)
    five = network_pb2.RoutingProfile(name="standard", version=1, max_shipments=5)
    side.ask(networks.UpsertNetworkRequest(network=a_network(profiles=[five])))
    made = side.ask(plan_request(order(*((sku, 25) for sku in skus))))
    assert set(shipped(made.plan)) == {(sku, "L0") for sku in skus}
    before = side.book.seq
    reply = side.group(routing.RejectAssignmentRequest(reservation_id=made.reservation_id, location_id="L0"))[0]
    assert isinstance(reply, RefusedError)
    assert reply.message.startswith("order.lines: expected a plan of at most 100 skus at locations")
    assert side.book.seq == before


def test_a_repeat_is_answered_whatever_the_network_is_by_then(side):
    request = plan_request(order(("T", 2)), profile="standard@1", request_id=str(uuid.UUID(int=9, version=4)))
    first = side.ask(request)
    other = network_pb2.RoutingProfile(name="other", version=1)
    rows = [location_routing("A")]
    side.ask(networks.UpsertNetworkRequest(network=a_network(profiles=[other]), locations=rows, replace_locations=True))
    assert side.ask(request) == first
    request.ttl.FromSeconds(1)
    reply = side.group(request)[0]
    assert isinstance(reply, RefusedError)
    assert reply.reason == "REQUEST_ID_REUSED"


def test_a_group_of_large_orders_fits_its_journal_entry():
    """As many as a caller likes of orders whose plans are large: each group plans what its entry has room for."""
    side = Side()
    skus = [f"S{number}" for number in range(60)]
    places = {f"L{number}": 100.0 + 3 * number for number in range(120)}
    side.build(places, {(sku, place): 10_000 for sku in skus for place in places})
    for sku in skus:
        side.ask(inventory.SetStockPolicyRequest(sku_id=sku, location_id="L0", backorder_limit=9_000, safety_stock=500))
    what = order(*((sku, 400) for sku in skus))
    replies = side.group(*(plan_request(what) for _ in range(300)))
    assert not any(isinstance(reply, RefusedError) for reply in replies)
    assert side.entry_bytes < PAYLOAD_BYTES_MAX // 2


def test_a_line_that_is_dearer_to_ship_than_to_leave_says_so():
    side = Side()
    side.build({"A": 100}, {("S", "A"): 5})
    cheap = network_pb2.RoutingProfile(name="standard", version=1, unfilled_micros=3_000_000)
    side.ask(networks.UpsertNetworkRequest(network=a_network(profiles=[cheap])))
    plan = side.ask(plan_request(order(("S", 1)))).plan
    assert shortages(plan) == {"S": (1, "DEARER_THAN_UNFILLED")}


def test_a_day_that_is_full_is_a_shortage_and_no_wrong_promise():
    side = Side()
    side.build({"A": 100}, {("S", "A"): 500}, units_per_day=10, backlog_days_max=5)
    hard = network_pb2.RoutingProfile(name="standard", version=1, promise=network_pb2.RULE_STRENGTH_HARD)
    side.ask(networks.UpsertNetworkRequest(network=a_network(profiles=[hard])))
    first = side.ask(plan_request(order(("S", 10)), validate_only=True)).plan
    wanted = order(("S", 10, {"promise_date": first.shipments[0].arrival_date}))
    assert not side.ask(plan_request(wanted)).plan.shortages
    assert shortages(side.ask(plan_request(wanted)).plan) == {"S": (10, "CAPACITY_FULL")}


def test_lateness_has_an_end():
    side = Side()
    side.build({"A": 100}, {("S", "A"): 5_000})
    dear = network_pb2.RoutingProfile(name="standard", version=1, late_day_micros=10**12)
    dear.unfilled_micros = 10**12
    side.ask(networks.UpsertNetworkRequest(network=a_network(profiles=[dear])))
    for day in ("0001-01-01", "1969-12-31", "2010-01-01"):
        plan = side.ask(plan_request(order(("S", 4_000, {"promise_date": day})), validate_only=True)).plan
        assert plan.cost_terms.lateness_micros == LATE_DAYS_MAX * 10**12
        assert plan.cost_micros == sum(value for _, value in plan.cost_terms.ListFields())


# ---- time ------------------------------------------------------------------------------------------------------------


def at_hours(side: Side, **more: Any) -> None:
    """Let the locations have opening hours, in Berlin."""
    locations = [place("A", 100), place("B", 300)]
    for one in locations:
        one.time_zone = "Europe/Berlin"
    side.ask(catalog.UpsertLocationsRequest(locations=locations))
    side.ask(networks.UpsertLocationRoutingRequest(locations=[location_routing("A", **more)]))


def ready_time(side: Side, now: str) -> str:
    """When a pickup at A is ready that is ordered at a local time."""
    berlin = ZoneInfo("Europe/Berlin")
    side.now_us = int(datetime.fromisoformat(now).replace(tzinfo=berlin).timestamp()) * MICROSECONDS
    plan = side.ask(plan_request(order(("S", 1, {"method": PICKUP, "store_id": "A"})))).plan
    ready = plan.shipments[0].ready_time.ToDatetime(UTC).astimezone(berlin).replace(tzinfo=None)
    assert plan.shipments[0].arrival_date == ready.date().isoformat()
    return ready.isoformat(timespec="minutes")


def test_hours_past_midnight_are_those_of_the_day_before(side):
    at_hours(side, opens="18:00", closes="02:00")
    assert ready_time(side, "2026-11-20T23:30") == "2026-11-21T00:30"
    assert ready_time(side, "2026-11-21T00:30") == "2026-11-21T01:30"
    assert ready_time(side, "2026-11-21T01:30") == "2026-11-21T18:30"


def test_pickup_minutes_go_on_when_the_store_opens_again(side):
    at_hours(side, opens="09:00", closes="17:00", pickup_minutes=600)
    assert ready_time(side, "2026-11-20T09:00") == "2026-11-21T11:00"
    at_hours(side)
    assert ready_time(side, "2026-11-21T23:10") == "2026-11-22T00:10"


@pytest.mark.parametrize(
    ("own", "field", "text"),
    [
        ({"opens": "09:00", "closes": "09:00"}, "closes", "open all day is from 00:00 to 24:00"),
        ({"closes": "00:00"}, "closes", "open all day is from 00:00 to 24:00"),
        ({"opens": "24:00"}, "opens", "expected a time of day, HH:MM"),
        ({"pickup_minutes": 10_081}, "pickup_minutes", "expected 0 to 10080"),
        ({"opens": "09:00", "closes": "10:00", "pickup_minutes": 2_000}, "pickup_minutes", "at most 31 openings"),
    ],
)
def test_hours_that_nobody_can_keep_are_refused(side, own, field, text):
    reply = side.group(networks.UpsertLocationRoutingRequest(locations=[location_routing("A", **own)]))[0]
    assert isinstance(reply, RefusedError)
    assert f".{field}: " in reply.message
    assert text in reply.message
    at_hours(side, opens="00:00", closes="24:00", cut_off="24:00")


def test_transit_of_no_days_arrives_on_a_working_day(side):
    parcels = carrier()
    for zone in parcels.zones:
        zone.transit_days = 0
    parcels.calendar = "workdays"
    workdays = network_pb2.Calendar(name="workdays", weekdays=range(1, 6))
    lane = network_pb2.Lane(from_location_id="B", to_location_id="A", days=0)
    network = a_network(calendars=[*a_network().calendars, workdays], carriers=[parcels], lanes=[lane])
    methods = [SHIP, PICKUP, SHIP_TO_STORE]
    rows = [
        location_routing("A", calendar="workdays", methods=methods),
        location_routing("B", methods=methods),
    ]
    side.ask(networks.UpsertNetworkRequest(network=network, locations=rows))
    side.now_us = int(datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()) * MICROSECONDS  # a Saturday
    for wanted in ({}, {"method": SHIP_TO_STORE, "store_id": "A"}):
        plan = side.ask(plan_request(order(("T", 1, wanted)))).plan
        assert [one.arrival_date for one in plan.shipments] == ["2026-11-23"]


def test_the_hour_that_comes_twice_makes_no_problem_anew(side):
    at_hours(side, cut_off="02:30")
    router = routers_of(side.book).routing("").router
    change = datetime(2026, 10, 25, 1, tzinfo=UTC)
    problems = {id(router.problem_at(change + timedelta(minutes=minute))) for minute in range(-20, 59)}
    assert len(problems) == 1


NAMES_NOBODY: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "carriers: parcel names 'never'": ({"carriers": [network_pb2.Carrier(name="parcel", calendar="never")]}, {}),
    "lanes: A names 'nowhere'": ({"lanes": [network_pb2.Lane(from_location_id="A", to_location_id="nowhere")]}, {}),
    "default_profile: network names 'none'": ({"default_profile": "none"}, {}),
    "locations: A names 'never'": ({}, {"calendar": "never"}),
}


@pytest.mark.parametrize("subject", NAMES_NOBODY)
def test_a_recount_finds_names_that_nothing_in_the_network_has(side, subject):
    network, own = NAMES_NOBODY[subject]
    assert verified(side.book) == []
    kept = side.book.network.current
    content = a_network(**network).SerializeToString(deterministic=True)
    side.book.network.current = msgspec.structs.replace(kept, content=content)
    row = location_routing("A", **own).SerializeToString(deterministic=True)
    side.book.network._location_routing["A"] = LocationRouting("A", row)
    assert verified(side.book) == [("network_names_what_it_has", subject)]


def test_a_network_that_cannot_be_read_is_found(side):
    side.book.network.current = msgspec.structs.replace(side.book.network.current, content=b"\xff")
    assert verified(side.book) == [("network_can_be_read", "network")]


def verified(book: Book) -> list[tuple[str, str]]:
    book.network.sum.stop()  # of the rows as they were
    return [(found.invariant, found.subject) for found in violations_of(book)]
