"""What takes long happens beside the writer: small calls are answered meanwhile, and a change costs what it touches."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest
from harness import new_id
from onhand.inventory.v1 import catalog_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.inventory.v1 import stock_pb2 as stock
from onhand.routing.v1 import bulk_service_pb2, network_pb2
from onhand.routing.v1 import network_service_pb2 as networks
from onhand.routing.v1 import routing_service_pb2 as routing
from routing_harness import a_network, location_routing, order, place, plan_request, shipped
from test_plan_columns import columns_of
from test_routing_state import POSITIONS, Side

from engine.api import desk as desks
from engine.api.desk import Desk
from engine.api.routing import network as network_api
from engine.api.routing import plan_columns
from engine.api.routing.order_batches import CELLS_PER_ORDER_MAX, WORK_PER_GROUP_MAX, work_of
from engine.api.routing.routers import CAUGHT_UP_MAX, routers_of
from engine.api.stock.catalog import COMPARED_AT_ONCE_MAX
from engine.errors import RefusedError
from engine.planner.run import LEVELS_FOUND_MAX
from engine.transport import Call
from ledger.core.limits import MICROSECONDS
from ledger.journal.entry import CHAIN_START
from ledger.parts.resources import RoutingNetwork
from ledger.parts.views import ViewsImage
from ledger.snapshot import load_snapshot, write_snapshot
from routing.limits import RESTRICTIONS_MAX

RESERVE = reservations.ReserveStockRequest(
    lines=[{"sku_id": "S", "location_id": "A", "quantity": 1}], ttl={"seconds": 60}
)


class Held(Executor):
    """Keeps what it is given until it is told to do it."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *_: Any, **__: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        self.waiting.append((future, fn))
        return future

    def do(self) -> None:
        """Do all of it."""
        waiting, self.waiting = self.waiting, []
        for future, work in waiting:
            try:
                future.set_result(work())
            except RefusedError as error:
                future.set_exception(error)

    def do_and_tell_later(self) -> Callable[[], None]:
        """Do the one thing that waits; what this returns tells that it is done."""
        ((future, work),), self.waiting = self.waiting, []
        result = work()
        return lambda: future.set_result(result)


class Writer(Side):
    """A side whose work beside the writer is done when the test says so."""

    def __init__(self) -> None:
        self.background = Held()
        self.numbers = 0
        self.replies: dict[int, bytes | RefusedError] = {}
        super().__init__()

    def over(self, book: Any) -> None:
        super().over(book)
        self._desk = Desk(self, self.background)  # type: ignore[arg-type]  # the methods asked look at the book alone

    def begin(self, *requests: Any) -> list[int]:
        """Give requests as one group; returns their numbers. `answer` gives an answer once there is one."""
        names = [type(request).__name__.removesuffix("Request") for request in requests]
        first, self.numbers = self.numbers, self.numbers + len(requests)
        calls = [
            Call(first + place, POSITIONS[name], request.SerializeToString())
            for place, (name, request) in enumerate(zip(names, requests, strict=True))
        ]
        self.replies |= self._run(calls)
        return list(range(first, self.numbers))

    def group(self, *requests: Any) -> list[Any]:
        numbers = self.begin(*requests)
        while self._desk.is_working:
            self.background.do()
            self.now_us += 1  # no group has the time of the one before
            self.begin()
        return [self.answer(number, request) for number, request in zip(numbers, requests, strict=True)]

    def answer(self, number: int, request: Any) -> Any:
        return self._answer(type(request).__name__.removesuffix("Request"), self.replies[number])

    def abandon(self, refusal: RefusedError) -> list[desks.Reply]:
        return self._desk.abandon(refusal)

    @property
    def is_working(self) -> bool:
        return self._desk.is_working


@pytest.fixture
def writer() -> Writer:
    made = Writer()
    made.build({"A": 100, "B": 300}, {("S", "A"): 500, ("S", "B"): 500, ("T", "B"): 500})
    return made


def sales(count: int, quantity: int = 1, **more: Any) -> inventory.RecordMovementsRequest:
    """Sales of one unit after the other."""
    sale = {"sku_id": "S", "location_id": "A", "type": stock.MOVEMENT_TYPE_SALE, "quantity": quantity}
    return inventory.RecordMovementsRequest(movements=[sale] * count, **more)


def wide_reserve(count: int) -> reservations.ReserveStockRequest:
    lines = [{"sku_id": f"S{number}", "location_id": "A", "quantity": 1} for number in range(count)]
    return reservations.ReserveStockRequest(lines=lines, ttl={"seconds": 60})


def a_count(sku_id: str) -> inventory.OnHandCount:
    return inventory.OnHandCount(sku_id=sku_id, location_id="A", on_hand=1)


SLOW = {
    "a network": networks.UpsertNetworkRequest(network=a_network(rejection_days=3)),
    "its locations": networks.UpsertLocationRoutingRequest(locations=[location_routing("C")]),
    "reading it": networks.GetNetworkRequest(),
    "a quote": routing.QuoteFulfillmentRequest(order=order(("S", 1))),
    "an explained plan": plan_request(order(("S", 1)), explain=True),
    "explained plans": routing.BatchPlanFulfillmentRequest(requests=[plan_request(order(("S", 1)), explain=True)]),
    "many movements": sales(6_000),
    "many counts": inventory.SetOnHandRequest(counts=[a_count(f"S{number}") for number in range(5_000)]),
    "many reservations": reservations.BatchReserveStockRequest(requests=[wide_reserve(100)] * 80),
}


@pytest.mark.parametrize("name", SLOW)
def test_small_calls_are_answered_while_something_slow_is_done(writer, name):
    writer.ask(catalog.UpsertLocationsRequest(locations=[place("C", 500)]))
    skus = [catalog_pb2.Sku(sku_id=f"S{number}", base_unit="each") for number in range(5_000)]
    writer.ask(catalog.UpsertSkusRequest(skus=skus))
    slow = SLOW[name]
    (first,) = writer.begin(slow)
    assert writer.background.waiting, "it needs nothing of the writer"
    for _ in range(3):
        (small,) = writer.begin(RESERVE)
        assert small in writer.replies
    assert first not in writer.replies
    while writer.is_working:
        writer.background.do()
        writer.begin()
    answer = writer.answer(first, slow)
    assert not isinstance(answer, RefusedError), answer


@pytest.mark.parametrize("request_of", [
    lambda count: catalog.UpsertSkusRequest(
        skus=[catalog_pb2.Sku(sku_id=f"N{number}", base_unit="each") for number in range(count)]
    ),
    lambda count: catalog.UpsertLocationsRequest(locations=[place(f"N{number}", 50) for number in range(count)]),
])  # fmt: skip
def test_many_resources_are_read_beside_the_writer(writer, request_of):
    (few,) = writer.begin(request_of(COMPARED_AT_ONCE_MAX))
    assert few in writer.replies
    asked = request_of(COMPARED_AT_ONCE_MAX + 10)
    (many,) = writer.begin(asked)
    (small,) = writer.begin(RESERVE)
    assert (small in writer.replies, many in writer.replies) == (True, False)
    one_of_them = type(asked).FromString(asked.SerializeToString())
    del one_of_them.ListFields()[0][1][1:]
    one_of_them.ListFields()[0][1][0].display_name = "another name"
    tell = writer.background.do_and_tell_later()
    writer.begin(one_of_them)  # meanwhile one of them is changed: they are compared again
    tell()
    writer.begin()
    assert many not in writer.replies
    writer.background.do()
    writer.begin()
    response = writer.answer(many, asked)
    assert (response.created_count, response.updated_count) == (10, 1)
    assert response.unchanged_count == COMPARED_AT_ONCE_MAX - 1


def test_an_explanation_is_made_beside_the_writer(writer):
    plan_id = writer.ask(plan_request(order(("S", 1)))).plan.plan_id
    (number,) = writer.begin(asked := routing.ExplainPlanRequest(plan_id=plan_id))
    assert number not in writer.replies
    writer.background.do()
    writer.begin()
    assert writer.answer(number, asked).plan.candidates


def test_orders_wait_for_the_routers_of_a_network_that_has_changed(writer):
    """After a start, or a change of many locations: whoever does not route is answered meanwhile."""
    writer.book.network.derived.clear()
    numbers = writer.begin(plan := plan_request(order(("S", 1))), RESERVE, quote := SLOW["a quote"])
    assert [number in writer.replies for number in numbers] == [False, True, False]
    (small,) = writer.begin(RESERVE)
    assert small in writer.replies
    while writer.is_working:
        writer.background.do()
        writer.begin()
    assert shipped(writer.answer(numbers[0], plan).plan) == {("S", "A"): 1}
    assert len(writer.answer(numbers[2], quote).quotes) > 0


def test_a_network_that_changed_while_another_was_checked_is_checked_again(writer):
    (number,) = writer.begin(asked := networks.UpsertNetworkRequest(network=a_network(rejection_days=2)))
    writer.book.network.put([writer.book.network.location_routing["A"]], 0)  # as a write of another caller would
    writer.background.do()
    writer.begin()
    assert number not in writer.replies
    writer.background.do()
    writer.begin()
    assert writer.answer(number, asked).version == 2


def test_a_network_that_changes_all_the_time_is_refused_with_a_delay(writer):
    (number,) = writer.begin(asked := networks.UpsertNetworkRequest(network=a_network(rejection_days=2)))
    for _ in range(network_api.ATTEMPTS_MAX):
        writer.book.network.put([writer.book.network.location_routing["A"]], 0)
        writer.background.do()
        writer.begin()
    refusal = writer.answer(number, asked)
    assert (refusal.reason, refusal.retry_seconds > 0) == ("OVERLOADED", True)


def test_a_network_that_another_release_took_is_refused_without_making_it_again(writer):
    """The limits of a release may be narrower than those of the one before; whatever does not route goes on."""
    hold = writer.ask(plan_request(order(("S", 1))))
    bad = network_pb2.Network.FromString(writer.book.network.current.content)
    bad.profiles[0].version = 0
    for book in (writer.book, writer.copy):
        book.network.put([RoutingNetwork(bad.SerializeToString(), 9, 0)], 0)
    for _ in range(2):
        (refusal,) = writer.group(plan_request(order(("S", 1))))
        assert "network.profiles[0].version" in refusal.message
    (number,) = writer.begin(plan_request(order(("S", 1))))
    assert number in writer.replies
    amended = reservations.AmendReservationRequest(
        reservation_id=hold.reservation_id, lines=[{"sku_id": "S", "location_id": "A", "quantity": 3}]
    )
    assert not isinstance(writer.group(amended)[0], RefusedError)


def test_what_is_wrong_with_a_network_is_told_as_if_the_writer_had_looked(writer):
    wrong = networks.UpsertNetworkRequest(network=a_network(profiles=[]))
    (number,) = writer.begin(wrong)
    writer.background.do()
    writer.begin()
    assert writer.answer(number, wrong).metadata["field"] == "network.profiles"


def test_calls_that_wait_are_refused_when_the_writer_must_not_go_on(writer):
    writer.book.network.derived.clear()
    numbers = writer.begin(SLOW["reading it"], plan_request(order(("S", 1))), SLOW["a quote"])
    refused = writer.abandon(RefusedError("NOT_PRIMARY", "gone"))
    assert sorted(reply.call.call_id for reply in refused) == numbers
    assert not writer.is_working


def test_no_more_calls_are_worked_on_than_memory_is_meant_for(writer, monkeypatch):
    monkeypatch.setattr(desks, "WORKING_MAX", 2)
    numbers = writer.begin(*(networks.GetNetworkRequest() for _ in range(3)))
    refusal = writer.answer(numbers[2], networks.GetNetworkRequest())
    assert (refusal.reason, refusal.retry_seconds > 0) == ("OVERLOADED", True)
    assert numbers[0] not in writer.replies


# ---- a change costs what it touches ----------------------------------------------------------------------------------


def many(count: int) -> Writer:
    """A network of many locations and places."""
    made = Writer()
    made.build({f"L{number:04}": 10.0 * number + 10 for number in range(count)}, {("S", "L0000"): 1_000})
    places = [network_pb2.Place(name=f"P{number}", latitude=0, longitude=0.01 * number) for number in range(2_000)]
    made.ask(networks.UpsertNetworkRequest(network=a_network(places=places)))
    made.ask(plan_request(order(("S", 1))))
    made.entry_bytes = 0
    return made


def test_a_name_rebuilds_nothing():
    writer = many(300)
    routers, views = routers_of(writer.book), len(writer.book.views)
    renamed = place("L0001", 20.0)
    renamed.display_name = "another name"
    writer.ask(catalog.UpsertLocationsRequest(locations=[renamed]))
    writer.ask(plan_request(order(("S", 1))))
    assert routers_of(writer.book) is routers
    assert len(writer.book.views) == views
    assert writer.entry_bytes < 2_000


@pytest.mark.parametrize("request_of", [
    lambda: catalog.UpsertLocationsRequest(locations=[place("L0001", 55.0, active=False)]),
    lambda: networks.UpsertLocationRoutingRequest(locations=[location_routing("L0001", handling_micros=5)]),
])  # fmt: skip
def test_one_location_costs_what_it_touches(request_of):
    writer = many(300)
    before = routers_of(writer.book)
    writer.ask(request_of())
    assert not writer.background.waiting
    writer.ask(plan_request(order(("S", 1))))
    after = routers_of(writer.book)
    assert after is not before
    for shared in ("places", "location_indexes", "unfilled", "profiles"):
        assert getattr(after, shared) is getattr(before, shared)
    assert writer.entry_bytes < 2_000
    image = msgspec.msgpack.decode(writer.book.views.image(), type=ViewsImage)
    assert [len(view.places) for view in image.views] == [300, 1]
    assert len(msgspec.msgpack.encode(image.views[1])) < 500


def test_routers_that_were_brought_up_to_date_are_those_that_are_made_anew():
    writer = many(40)
    for number in range(1, 30):
        name = f"L{number:04}"
        if number % 3 == 0:
            writer.ask(catalog.UpsertLocationsRequest(locations=[place(name, 7.0 * number, active=number % 2 == 0)]))
        else:
            cut_off = f"{number % 24:02}:30"
            row = location_routing(name, handling_micros=number, cut_off=cut_off, handling_days=number % 3)
            writer.ask(networks.UpsertLocationRoutingRequest(locations=[row]))
        writer.ask(plan_request(order(("S", 1)), validate_only=True))
    kept = routers_of(writer.book).routing("").router
    writer.book.network.derived.clear()
    new = routers_of(writer.book).routing("").router
    now = datetime.fromtimestamp(writer.book.ledger.time_us / MICROSECONDS, UTC)
    left, right = kept.problem_at(now), new.problem_at(now)
    for field in left._fields:
        found, expected = (np.asarray(getattr(problem, field)).tolist() for problem in (left, right))
        assert found == expected, field


def test_more_locations_than_a_few_are_left_to_new_routers():
    writer = many(CAUGHT_UP_MAX + 10)
    rows = [location_routing(f"L{number:04}", handling_micros=9) for number in range(CAUGHT_UP_MAX + 1)]
    writer.ask(networks.UpsertLocationRoutingRequest(locations=rows))
    places = [place(f"L{number:04}", 3.0 * number + 1) for number in range(CAUGHT_UP_MAX + 1)]
    writer.ask(catalog.UpsertLocationsRequest(locations=places))
    (number,) = writer.begin(asked := plan_request(order(("S", 1))))
    assert number not in writer.replies
    writer.background.do()
    writer.begin()
    assert shipped(writer.answer(number, asked).plan) == {("S", "L0000"): 1}


def test_plans_over_views_that_differ_a_little_are_explained_after_a_restart(writer, tmp_path):
    made = []
    for cost in range(6):
        row = location_routing("A", handling_micros=cost * MICROSECONDS)
        writer.ask(networks.UpsertLocationRoutingRequest(locations=[row]))
        made.append(writer.ask(plan_request(order(("S", 1)))))
    before = [writer.ask(routing.ExplainPlanRequest(plan_id=one.plan.plan_id)) for one in made]
    assert len({one.plan.candidates[0].lines[0].unit_cost_micros for one in before}) == len(made)
    writer.over(load_snapshot(write_snapshot(tmp_path, writer.book, CHAIN_START, 1))[1])
    for one, told in zip(made, before, strict=True):
        again = writer.ask(routing.ExplainPlanRequest(plan_id=one.plan.plan_id))
        assert (again.plan, list(again.sentences)) == (told.plan, list(told.sentences))


# ---- bounds ----------------------------------------------------------------------------------------------------------


def test_an_order_that_would_take_too_long_is_refused_with_the_limit(writer):
    skus = [catalog_pb2.Sku(sku_id=f"X{number}", base_unit="each") for number in range(100)]
    writer.ask(catalog.UpsertSkusRequest(skus=skus))
    names = [f"C{number:04}" for number in range(1_500)]
    writer.ask(catalog.UpsertLocationsRequest(locations=[place(name, 50) for name in names]))
    rows = [location_routing(name) for name in names]
    writer.ask(networks.UpsertLocationRoutingRequest(locations=rows))
    methods = ({"promise_date": f"2027-01-{day:02}"} for day in range(1, 5))
    wide = order(*((f"X{number}", 1, own) for own in methods for number in range(100 // 4)))
    whole = order(*((f"X{number}", 1) for number in range(100)))
    assert 100 * 1_502 < CELLS_PER_ORDER_MAX < 100 * 4 * 1_502
    assert not isinstance(writer.group(plan_request(whole))[0], RefusedError)
    (refusal,) = writer.group(plan_request(wide))
    assert refusal.metadata["field"] == "order.lines"
    assert f"at most {CELLS_PER_ORDER_MAX // (4 * 1_502)} lines" in refusal.message
    assert "was 100" in refusal.message
    (refusal,) = writer.group(routing.QuoteFulfillmentRequest(order=wide))
    assert refusal.metadata["field"] == "order.lines"


def test_a_call_of_orders_that_are_too_large_looks_at_them_once(writer, monkeypatch):
    """All are refused by name, without going through all lines again for each."""
    skus = [catalog_pb2.Sku(sku_id=f"X{number}", base_unit="each") for number in range(100)]
    writer.ask(catalog.UpsertSkusRequest(skus=skus))
    monkeypatch.setattr(plan_columns, "CELLS_PER_ORDER_MAX", 100)
    looks: list[int] = []
    counts = plan_columns._Request._part_counts
    monkeypatch.setattr(plan_columns._Request, "_part_counts", lambda self: looks.append(1) or counts(self))
    columns = bulk_service_pb2.PlanOrdersRequest(
        sku_ids=[sku.sku_id for sku in skus],
        line_counts=[100] * 20,
        sku_indexes=list(range(100)) * 20,
        quantities=[1],
        ttl_us=[MICROSECONDS],
        latitudes=[0.0],
        longitudes=[0.0],
    )
    response = writer.ask(columns)
    assert list(response.refused_orders) == list(range(20))
    assert all("order.lines: expected at most" in message for message in response.refused_messages)
    assert len(looks) == 1


@pytest.fixture
def wide(writer: Writer) -> Writer:
    """A network of 1,502 locations, and a hundred skus that orders may have."""
    skus = [catalog_pb2.Sku(sku_id=f"X{number}", base_unit="each") for number in range(100)]
    writer.ask(catalog.UpsertSkusRequest(skus=skus))
    names = [f"C{number:04}" for number in range(1_500)]
    writer.ask(catalog.UpsertLocationsRequest(locations=[place(name, 50) for name in names]))
    writer.ask(networks.UpsertLocationRoutingRequest(locations=[location_routing(name) for name in names]))
    return writer


def groups_until_answered(writer: Writer, request: Any) -> int:
    """How many groups a call takes; small calls are answered by each of them."""
    (number,) = writer.begin(request)
    count = 1
    while number not in writer.replies:
        (small,) = writer.begin(RESERVE)
        assert small in writer.replies
        count += 1
    return count


def test_orders_of_one_group_are_planned_in_several(wide):
    whole = plan_request(order(*((f"X{number}", 1) for number in range(100))), validate_only=True)
    wide.ask(whole)
    in_a_group = WORK_PER_GROUP_MAX // work_of(100, 1, 1_502)
    batch = routing.BatchPlanFulfillmentRequest(requests=[whole] * (in_a_group + 1))
    assert groups_until_answered(wide, batch) == 2
    results = wide.answer(wide.numbers - 2, batch).results
    assert [one.WhichOneof("outcome") for one in results] == ["planned"] * (in_a_group + 1)


@pytest.mark.parametrize("as_columns", [False, True])
def test_the_levels_of_a_large_order_are_looked_up_over_several_groups_once(wide, as_columns):
    whole = plan_request(order(*((f"X{number}", 1) for number in range(100))))
    request = columns_of([whole]) if as_columns else whole
    skus_of_a_group = -(-LEVELS_FOUND_MAX // 1_502)
    assert groups_until_answered(wide, request) == -(-100 // skus_of_a_group)
    assert groups_until_answered(wide, request) == 1
    wide.ask(inventory.SetOnHandRequest(counts=[a_count("X7")]))  # a new level: what was absent is looked for again
    assert groups_until_answered(wide, request) == -(-100 // skus_of_a_group)
    wide.ask(inventory.SetOnHandRequest(counts=[a_count("X8")]))
    assert shipped(wide.ask(whole).plan) == {("X8", "A"): 1}, "X7 is held"


def test_a_group_takes_so_many_rows_and_leaves_the_rest_to_the_next(writer):
    large = sales(desks.ROWS_PER_GROUP_MAX)
    numbers = writer.begin(large, large, RESERVE)
    assert [number in writer.replies for number in numbers] == [True, False, True]  # a small call waits for nobody
    later = writer.begin(large, RESERVE)
    assert [number in writer.replies for number in (*numbers, *later)] == [True, True, True, False, True]
    writer.begin()
    assert later[0] in writer.replies
    assert not writer.is_working


def test_a_call_that_is_done_in_part_is_not_told_that_nothing_was(wide):
    orders = [plan_request(order(*((f"X{number}", 1) for number in range(100)))) for _ in range(4)]
    wide.ask(inventory.SetOnHandRequest(counts=[{"sku_id": "X0", "location_id": "A", "on_hand": 9}]))
    wide.ask(orders[0])
    batch = routing.BatchPlanFulfillmentRequest(requests=orders)
    numbers = wide.begin(batch, columns_of(orders), SLOW["a quote"])
    told = {reply.call.call_id: reply.response.reason for reply in wide.abandon(RefusedError("NOT_PRIMARY", "Over."))}
    assert [told[number] for number in numbers] == ["JOURNAL_UNAVAILABLE", "JOURNAL_UNAVAILABLE", "NOT_PRIMARY"]


def test_large_calls_that_were_read_beside_the_writer_run_one_in_a_group(writer):
    on_hand = writer.ask(inventory.GetStockLevelRequest(sku_id="S", location_id="A")).stock_level.on_hand
    numbers = writer.begin(sales(6_000), sales(7_000), RESERVE)
    assert [number in writer.replies for number in numbers] == [False, False, True]
    writer.background.do()
    writer.begin()
    assert sum(number in writer.replies for number in numbers[:2]) == 1
    writer.begin()
    assert all(number in writer.replies for number in numbers)
    assert not writer.is_working
    level = writer.ask(inventory.GetStockLevelRequest(sku_id="S", location_id="A")).stock_level
    assert level.on_hand == on_hand - 13_000


def test_a_large_call_is_what_a_small_one_is(writer):
    """Idempotent, refused whole, told what it left oversold: read beside the writer or not."""
    mine = new_id()
    first = writer.ask(sales(6_000, request_id=mine))
    assert first.applied_oversold
    assert [(one.sku_id, one.location_id) for one in first.oversold_levels] == [("S", "A")]
    seq = writer.book.seq
    assert writer.ask(sales(6_000, request_id=mine)) == first
    assert writer.book.seq == seq
    other, wrong = sales(6_000, 2, request_id=mine), sales(6_000, request_id=mine)
    wrong.movements[5_000].quantity = 0
    unknown = sales(6_000)
    unknown.movements[4_321].sku_id = "nobody"
    told = [(refusal.reason, refusal.metadata.get("field", "")) for refusal in writer.group(other, wrong, unknown)]
    assert told == [
        ("REQUEST_ID_REUSED", "quantity"),
        ("REQUEST_ID_REUSED", "movements[5000].quantity"),
        ("SKU_NOT_FOUND", "movements[4321].sku_id"),
    ]
    wrong.request_id = ""
    (refusal,) = writer.group(wrong)
    assert (refusal.reason, refusal.metadata["field"]) == ("VALIDATION_FAILED", "movements[5000].quantity")
    assert writer.book.seq == seq


def test_no_more_orders_wait_than_there_is_room_for(writer, monkeypatch):
    monkeypatch.setattr(desks, "WAITING_MAX", 2)
    writer.book.network.derived.clear()
    plan = plan_request(order(("S", 1)))
    numbers = writer.begin(*[plan] * 3, *[SLOW["a quote"]] * 3)
    assert [number in writer.replies for number in numbers] == [False, False, True, False, False, True]
    for number in (numbers[2], numbers[5]):
        refusal = writer.answer(number, plan)
        assert (refusal.reason, refusal.retry_seconds > 0) == ("OVERLOADED", True)


def test_skus_may_have_any_number_of_restrictions_in_all(writer):
    """What no location may send is one restriction to routing; what they may send is limited where it is written."""
    skus = [
        catalog_pb2.Sku(sku_id=f"R{number}", base_unit="each", restrictions=[f"word-{number}"]) for number in range(90)
    ]
    writer.ask(catalog.UpsertSkusRequest(skus=skus))
    assert shipped(writer.ask(plan_request(order(("S", 1)))).plan) == {("S", "A"): 1}
    writer.ask(networks.UpsertNetworkRequest(network=a_network(rejection_days=1)))
    words = [f"word-{number}" for number in range(RESTRICTIONS_MAX)]
    writer.ask(networks.UpsertLocationRoutingRequest(locations=[location_routing("A", allowed_restrictions=words)]))
    more = location_routing("B", allowed_restrictions=["word-80"])
    (refusal,) = writer.group(networks.UpsertLocationRoutingRequest(locations=[more]))
    assert f"at most {RESTRICTIONS_MAX} different ones in all locations together, was {RESTRICTIONS_MAX + 1}" in (
        refusal.message
    )


def test_a_network_that_does_not_fit_one_answer_comes_in_pages(writer, monkeypatch):
    places = [network_pb2.Place(name=f"P{number}", latitude=1, longitude=2) for number in range(500)]
    network = a_network(places=places)
    writer.ask(networks.UpsertNetworkRequest(network=network))
    assert writer.ask(networks.GetNetworkRequest()).next_page_token == ""
    monkeypatch.setattr(network_api, "NETWORK_PAGE_BYTES_MAX", 2_000)
    found, token, pages = network_pb2.Network(), "", 0
    while token or not pages:
        page = writer.ask(networks.GetNetworkRequest(page_token=token))
        assert page.network.ByteSize() < 2_100
        found.MergeFrom(page.network)
        token, pages = page.next_page_token, pages + 1
    assert pages > 5
    found.ClearField("version")
    found.ClearField("update_time")
    assert found == network
    first = writer.ask(networks.GetNetworkRequest()).next_page_token
    writer.ask(networks.UpsertNetworkRequest(network=a_network(rejection_days=4)))
    current = first.replace("1:", "2:", 1)
    for wrong in (
        first,
        "x",
        "1",
        "9:0",
        f"{first}9999999",
        f"{current}0",
        "2:1",
        "2:",
        "2:-1",
        "2:\u0661",
        "2:" + "9" * 5_000,
    ):
        (refusal,) = writer.group(networks.GetNetworkRequest(page_token=wrong))
        assert refusal.metadata["field"] == "page_token"


def test_the_answer_of_a_group_is_never_before_what_it_saw(writer):
    """A response that is ready goes out with a group, and so after all that it can have seen is durable."""
    (number,) = writer.begin(asked := plan_request(order(("S", 1)), explain=True))
    writer.background.do()
    assert number not in writer.replies
    writer.begin()
    assert writer.answer(number, asked).plan.candidates
