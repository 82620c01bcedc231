"""A group has little time: what takes long waits for the next one, small calls do not, and nobody waits for ever."""

import itertools
from typing import Any

import pytest
from onhand.inventory.v1 import catalog_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.routing.v1 import routing_service_pb2 as routing
from routing_harness import order, place, plan_request
from sequencer.harness import Engine, movements, reserve
from test_beside_the_writer import RESERVE, Writer

from engine.api import desk as desks
from engine.api.desk import BESIDE_MAX, GROUP_SECONDS_MAX, Desk
from engine.errors import RefusedError


class Hurried(Writer):
    """A side whose groups are late as soon as they have done anything that takes long."""

    def __init__(self) -> None:
        self.seconds = 0.0
        super().__init__()

    def over(self, book: Any) -> None:
        super().over(book)
        self._desk = Desk(self, self.background, self._later)  # type: ignore[arg-type]  # see Writer

    def _later(self) -> float:
        self.seconds += 2 * GROUP_SECONDS_MAX
        return self.seconds

    def answered(self, numbers: list[int]) -> int:
        return sum(number in self.replies for number in numbers)


@pytest.fixture
def hurried() -> Hurried:
    made = Hurried()
    made.build({"A": 100, "B": 300}, {("S", "A"): 500, ("S", "B"): 500})
    return made


def renamed(number: int) -> catalog.UpsertSkusRequest:
    return catalog.UpsertSkusRequest(skus=[catalog_pb2.Sku(sku_id="S", base_unit="each", display_name=f"S {number}")])


LISTING = reservations.ListReservationsRequest()
QUOTE = routing.QuoteFulfillmentRequest(order=order(("S", 1)))


@pytest.mark.parametrize(
    "heavy",
    [[renamed(number) for number in range(5)], [LISTING] * 5, [*map(renamed, range(5)), *[LISTING] * 5]],
    ids=["writes", "reads", "both"],
)
def test_what_takes_long_is_done_one_a_group_and_small_writes_at_once(hurried, heavy):
    small = hurried.begin(*heavy, RESERVE, RESERVE)
    kinds = len({type(each) for each in heavy})
    assert [hurried.answer(number, RESERVE).reservation_id for number in small[-2:]]
    assert hurried.answered(small[:-2]) == kinds
    for group in range(1, 5):
        (another,) = hurried.begin(RESERVE)
        assert hurried.answer(another, RESERVE).reservation_id
        assert hurried.answered(small[:-2]) == kinds * (group + 1)
    assert not hurried.is_working
    if renamed(4) in heavy:
        assert hurried.book.catalog.skus[0].display_name == "S 4", "in the order in which they came"


def test_quotes_are_begun_as_others_are_worked_out(hurried):
    numbers = []
    for _ in range(BESIDE_MAX + 2):
        numbers += hurried.begin(QUOTE, QUOTE)
    assert len(hurried.background.waiting) == BESIDE_MAX
    rounds = 0
    while hurried.is_working:
        hurried.background.do()
        hurried.begin()
        rounds += 1
        assert len(hurried.background.waiting) <= BESIDE_MAX
    assert hurried.answered(numbers) == len(numbers)
    assert {type(hurried.replies[number]) for number in numbers} == {bytes}


def test_beyond_a_limit_what_takes_long_is_refused_and_small_calls_are_not(hurried, monkeypatch):
    monkeypatch.setattr(desks, "WAITING_MAX", 3)
    numbers = hurried.begin(*map(renamed, range(6)), RESERVE)
    told = [hurried.replies[number] for number in numbers if number in hurried.replies]
    assert [each.reason for each in told if isinstance(each, RefusedError)] == ["OVERLOADED"] * 2
    assert hurried.answer(numbers[-1], RESERVE).reservation_id
    while hurried.is_working:
        hurried.begin()
    assert hurried.answered(numbers) == len(numbers)


def test_a_group_that_has_time_does_all_at_once():
    made = Writer()
    made.build({"A": 100, "B": 300}, {("S", "A"): 500})
    numbers = made.begin(*map(renamed, range(20)), *[LISTING] * 20)
    assert all(number in made.replies for number in numbers)


@pytest.mark.parametrize("small", [[], [RESERVE]], ids=["alone", "beside a small write"])
def test_a_group_with_small_writes_plans_less(monkeypatch, small):
    """They are answered when it ends."""
    monkeypatch.setattr(desks, "WORK_BESIDE_SMALL_MAX", 0)
    made = Writer()
    made.build({"A": 100, "B": 300}, {("S", "A"): 500})
    plans = made.begin(*[plan_request(order(("S", 1)))] * 6, *small)[:6]
    assert sum(number in made.replies for number in plans) == (1 if small else 6)


def test_calls_that_wait_leave_room_for_small_ones(monkeypatch):
    """The sequencer goes on taking calls while as many wait as a group may have."""
    engine, seconds = Engine(), itertools.count(0.0, 2 * GROUP_SECONDS_MAX)
    engine.call("UpsertSkus", renamed(0))
    engine.call("UpsertLocations", catalog.UpsertLocationsRequest(locations=[place("A", 1)]))
    engine.call("RecordMovements", movements("RECEIVE", ("S", "A", 5)))
    monkeypatch.setattr(engine.desk, "_monotonic", lambda: next(seconds))
    waiting = [engine.submit("UpsertSkus", renamed(number)) for number in range(64)]
    engine.sequencer.step()
    small = engine.submit("ReserveStock", reserve(("S", "A", 1)))
    for _ in range(2):
        engine.sequencer.step()
    assert engine.is_answered(small)
    assert sum(map(engine.is_answered, waiting)) < 10
    for _ in waiting:
        engine.sequencer.step()
    assert all(map(engine.is_answered, waiting))
