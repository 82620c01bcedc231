"""What every basket does, and the stock that the stores and warehouses open with: all decided before the first call.

The stock keeps two promises. A till never meets an empty shelf: every store opens with all units that its tills sell in
the window. And the storefront can never promise those units: either the level opens with the whole digital demand on
top, or it opens short, and then the till's units are its safety stock, which digital channels may not promise. Digital
demand counts each order at its largest, with the units that an amendment adds. So no order of events, no concurrency
and no return can make a till sale oversell; only an engine that promises what is not there can.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from engine.demo.baskets import Baskets, Bools, Int32s, Int64s
from engine.demo.places import Places
from engine.demo.settings import DemoSettings
from engine.load import NOT_GIVEN, StockColumns

FLASH_SKU: Final = "FLASH-1"
FLASH_LOCATION: Final = "WAREHOUSE-EAST"

# A short level opens with less than this share of its digital demand.
_SHORT_FILL_MAX: Final = 0.9


class Act(IntEnum):
    """What an order does."""

    SALE = 0  # at a till: the goods are in the customer's hand
    BUY = 1  # reserve, commit; fulfill on a later day
    AMEND = 2  # reserve, amend, commit; fulfill on a later day
    EXTEND = 3  # reserve, extend, commit; fulfill on a later day
    ABANDON = 4  # reserve, and let it end by itself
    RELEASE = 5  # reserve, release
    CANCEL = 6  # reserve, commit; cancel on a later day


class Step(IntEnum):
    """What is started; within a day in this order."""

    FINISH = 0  # fulfill or cancel what an earlier day committed
    RETURN = 1
    ORDER = 2


@dataclass(frozen=True, slots=True)
class Acts:
    """What each order does, as columns of one length."""

    act: Int32s
    location: Int32s
    """Where the stock comes from: the basket's store, or the nearest warehouse for what is shipped."""
    amend_step: Int32s
    """Units by which an AMEND order changes its first line: 1 or -1; 0 for the others."""


@dataclass(frozen=True, slots=True)
class Returns:
    """Units that come back, as columns of one length."""

    location: Int32s
    sku: Int32s
    quantity: Int32s
    order: Int64s


@dataclass(frozen=True, slots=True)
class Schedule:
    """Everything that is started, in order; `index` is an order's, or a return's for Step.RETURN."""

    step: Int32s
    index: Int64s
    day: Int32s


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole demo."""

    baskets: Baskets
    places: Places
    acts: Acts
    returns: Returns
    schedule: Schedule
    stock: StockColumns


def make_plan(baskets: Baskets, places: Places, settings: DemoSettings) -> Plan:
    """Decide by the seed what each basket does."""
    generator = np.random.default_rng([settings.seed, 2])
    act = _draw_acts(generator, baskets.order_count, settings)
    location = _draw_locations(generator, baskets, places, act, settings)
    acts = Acts(act, location, _draw_amendments(generator, baskets, act))
    returns = _draw_returns(generator, baskets, places, act, settings)
    schedule = _schedule(generator, baskets, act, returns, settings)
    stock = _opening_stock(generator, baskets, places, acts, settings)
    return Plan(baskets, places, acts, returns, schedule, stock)


def _draw_acts(generator: np.random.Generator, count: int, settings: DemoSettings) -> Int32s:
    special = {
        Act.AMEND: settings.amended_share,
        Act.EXTEND: settings.extended_share,
        Act.ABANDON: settings.abandoned_share,
        Act.RELEASE: settings.released_share,
        Act.CANCEL: settings.cancelled_share,
    }
    shares = {Act.SALE: 1 - settings.digital_share, Act.BUY: settings.digital_share * (1 - settings.special_share)}
    shares |= {act: settings.digital_share * share for act, share in special.items()}
    return generator.choice(np.array(list(shares), np.int32), size=count, p=list(shares.values()))


def _draw_locations(
    generator: np.random.Generator, baskets: Baskets, places: Places, act: Int32s, settings: DemoSettings
) -> Int32s:
    shipped = (act != Act.SALE) & (generator.random(baskets.order_count) < settings.ship_share)
    nearest = np.array(places.nearest_warehouse, np.int32)
    return np.where(shipped, nearest[baskets.order_store], baskets.order_store).astype(np.int32)


def _draw_amendments(generator: np.random.Generator, baskets: Baskets, act: Int32s) -> Int32s:
    """Half of the amendments grow the first line, half shrink it where that leaves a unit."""
    first_quantity = baskets.line_quantity[baskets.line_start[:-1]]
    grows = (generator.random(baskets.order_count) < 0.5) | (first_quantity == 1)
    return np.where(act == Act.AMEND, np.where(grows, 1, -1), 0).astype(np.int32)


def _draw_returns(
    generator: np.random.Generator, baskets: Baskets, places: Places, act: Int32s, settings: DemoSettings
) -> Returns:
    """Let one line of some till sales come back, whole, in any store."""
    back = (act == Act.SALE) & (generator.random(baskets.order_count) < settings.returned_share)
    order = np.flatnonzero(back)
    lines = np.diff(baskets.line_start)[order]
    line = baskets.line_start[order] + generator.integers(0, np.maximum(lines, 1))
    store = generator.integers(0, places.store_count, size=len(order)).astype(np.int32)
    return Returns(store, baskets.line_sku[line], baskets.line_quantity[line], order)


def _schedule(
    generator: np.random.Generator, baskets: Baskets, act: Int32s, returns: Returns, settings: DemoSettings
) -> Schedule:
    """Put everything in order of days; the closing day after the last takes what would come later."""
    closing = baskets.days
    committed = np.flatnonzero(np.isin(act, (Act.BUY, Act.AMEND, Act.EXTEND, Act.CANCEL)))
    finish_lag = generator.integers(1, settings.fulfill_days_max, size=len(committed), endpoint=True)
    return_lag = generator.integers(1, settings.return_days_max, size=len(returns.order), endpoint=True)
    orders = np.arange(baskets.order_count)
    day = np.concatenate(
        (
            np.minimum(baskets.order_day[committed] + finish_lag, closing),
            np.minimum(baskets.order_day[returns.order] + return_lag, closing),
            baskets.order_day,
        )
    )
    index = np.concatenate((committed, np.arange(len(returns.order)), orders))
    step = np.repeat(np.array(list(Step)), (len(committed), len(returns.order), len(orders)))
    order = np.lexsort((index, step, day))
    return Schedule(step[order].astype(np.int32), index[order].astype(np.int64), day[order].astype(np.int32))


def _opening_stock(
    generator: np.random.Generator, baskets: Baskets, places: Places, acts: Acts, settings: DemoSettings
) -> StockColumns:
    levels, till, digital = demand_by_level(baskets, acts)
    short = (digital > 0) & (generator.random(len(levels)) < settings.short_level_share)
    part = np.floor(digital * generator.uniform(0, _SHORT_FILL_MAX, len(levels))).astype(np.int64)
    sku_ids = (*(sku.sku_id for sku in baskets.skus), FLASH_SKU)
    flash_location = places.location_ids.index(FLASH_LOCATION)
    safety_stock = np.where(short & (till > 0), till, NOT_GIVEN)
    return StockColumns(
        sku_ids,
        places.location_ids,
        np.append(levels % len(baskets.skus), len(baskets.skus)).astype(np.int32),
        np.append(levels // len(baskets.skus), flash_location).astype(np.int32),
        np.append(till + np.where(short, part, digital), settings.flash_units),
        np.append(safety_stock, NOT_GIVEN),
        np.full(len(levels) + 1, NOT_GIVEN, np.int64),
    )


def demand_by_level(baskets: Baskets, acts: Acts) -> tuple[Int64s, Int64s, Int64s]:
    """Sum the units that tills sell and the most that digital orders can hold, by level = location * skus + sku."""
    order = baskets.line_order()
    quantity = baskets.line_quantity.astype(np.int64)
    quantity[baskets.line_start[:-1]] += np.maximum(acts.amend_step, 0)
    level = acts.location[order].astype(np.int64) * len(baskets.skus) + baskets.line_sku
    levels, inverse = np.unique(level, return_inverse=True)
    at_till: Bools = acts.act[order] == Act.SALE
    till = np.bincount(inverse, quantity * at_till, len(levels)).astype(np.int64)
    digital = np.bincount(inverse, quantity * ~at_till, len(levels)).astype(np.int64)
    return levels, till, digital
