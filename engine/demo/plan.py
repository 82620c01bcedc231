"""What every basket does, and the stock that the stores and warehouses open with: all decided before the first call.

The stock keeps two promises. A till never meets an empty shelf: every store opens with all units that its tills sell in
the window. And the storefront can never promise those units: either the level opens with the whole digital demand on
top, or it opens short, and then the till's units are its safety stock, which digital channels may not promise. Digital
demand counts each order at its largest, with the units that an amendment adds. So no order of events, no concurrency
and no return can make a till sale oversell; only an engine that promises what is not there can.

What is shipped may come from any warehouse and from some of the stores, as routing decides. A store that ships has the
units of its tills as safety stock, and stocks other skus for shipping beside.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from engine.demo.baskets import Baskets, Bools, Floats, Int32s, Int64s
from engine.demo.places import Places
from engine.demo.settings import DemoSettings
from engine.load.sending import NOT_GIVEN, StockColumns

FLASH_SKU: Final = "FLASH-1"
FLASH_LOCATION: Final = "WAREHOUSE-EAST"

# A short level opens with less than this share of its digital demand.
_SHORT_FILL_MAX: Final = 0.9
_WAREHOUSE_SKU_SHARE: Final = 0.9
ANYWHERE: Final = -1


class Act(IntEnum):
    """What an order does."""

    SALE = 0  # at a till: the goods are in the customer's hand
    BUY = 1  # plan and reserve, commit; fulfill on a later day
    AMEND = 2  # plan and reserve, amend, commit; fulfill on a later day
    EXTEND = 3  # plan and reserve, extend, commit; fulfill on a later day
    ABANDON = 4  # plan and reserve, and let it end by itself
    RELEASE = 5  # plan and reserve, release
    CANCEL = 6  # plan and reserve, commit; cancel on a later day


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
    """The store: of the till, or where the customer collects; ANYWHERE for what is shipped."""
    destination: Floats
    """Shape (orders, 2): degrees north and east of the customer."""
    amend_step: Int32s
    """Units by which an AMEND order changes its first line: 1 or -1; 0 for the others."""

    @property
    def is_shipped(self) -> Bools:
        """Whether an order is brought to the customer."""
        shipped: Bools = self.location == ANYWHERE
        return shipped


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
    ship_level_count: int
    """Levels that are stocked for shipping: the last ones of the stock, but for the flash sale's."""


def make_plan(baskets: Baskets, places: Places, settings: DemoSettings) -> Plan:
    """Decide by the seed what each basket does."""
    generator = np.random.default_rng([settings.seed, 2])
    act = _draw_acts(generator, baskets.order_count, settings)
    location = _draw_locations(generator, baskets, places, act, settings)
    destination = _draw_destinations(generator, baskets, places, settings)
    acts = Acts(act, location, destination, _draw_amendments(generator, baskets, act))
    returns = _draw_returns(generator, baskets, places, act, settings)
    schedule = _schedule(generator, baskets, act, returns, settings)
    stock, ship_level_count = _opening_stock(generator, baskets, places, acts, settings)
    return Plan(baskets, places, acts, returns, schedule, stock, ship_level_count)


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
    is_wanted = generator.random(baskets.order_count) < settings.ship_share
    shipped = (act != Act.SALE) & (is_wanted | np.isin(baskets.order_store, places.shipping))
    return np.where(shipped, ANYWHERE, baskets.order_store).astype(np.int32)


def _draw_destinations(
    generator: np.random.Generator, baskets: Baskets, places: Places, settings: DemoSettings
) -> Floats:
    """Let each customer live around the basket's store."""
    stores = np.array([(place.latitude, place.longitude) for place in places.locations[: places.store_count]])
    apart = generator.uniform(-settings.customer_degrees, settings.customer_degrees, (baskets.order_count, 2))
    return (stores[baskets.order_store] + apart).round(4)


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
) -> tuple[StockColumns, int]:
    """Return the stock of tills and pickups, for shipping, and of the flash sale; and how many levels ship."""
    levels, till, digital = demand_by_level(baskets, acts)
    short = (digital > 0) & (generator.random(len(levels)) < settings.short_level_share)
    part = np.floor(digital * generator.uniform(0, _SHORT_FILL_MAX, len(levels))).astype(np.int64)
    is_protected = (short | np.isin(levels // len(baskets.skus), places.shipping)) & (till > 0)
    wanted = _shipped_units(baskets, acts)
    ship_levels, ship_units = _ship_stock(generator, wanted, places, levels[till > 0], settings)
    all_levels = np.concatenate((levels, ship_levels))
    given = np.full(len(ship_levels) + 1, NOT_GIVEN, np.int64)
    return (
        StockColumns(
            (*(sku.sku_id for sku in baskets.skus), FLASH_SKU),
            places.location_ids,
            np.append(all_levels % len(baskets.skus), len(baskets.skus)).astype(np.int32),
            np.append(all_levels // len(baskets.skus), places.location_ids.index(FLASH_LOCATION)).astype(np.int32),
            np.concatenate((till + np.where(short, part, digital), ship_units, [settings.flash_units])),
            np.concatenate((np.where(is_protected, till, NOT_GIVEN), given)),
            np.full(len(all_levels) + 1, NOT_GIVEN, np.int64),
        ),
        len(ship_levels),
    )


def _ship_stock(
    generator: np.random.Generator, wanted: Int64s, places: Places, till_levels: Int64s, settings: DemoSettings
) -> tuple[Int64s, Int64s]:
    """Return levels and units for shipping: each sku, of which so many are wanted, at places where no till sells it."""
    sku_count, shipping = len(wanted), np.array(places.shipping, np.int64)
    shape = sku_count, len(shipping)
    is_warehouse = shipping >= places.store_count
    stocked = generator.random(shape) < np.where(is_warehouse, _WAREHOUSE_SKU_SHARE, settings.ship_store_sku_share)
    stocked[np.arange(sku_count), generator.choice(np.flatnonzero(is_warehouse), sku_count)] = True
    levels = shipping * sku_count + np.arange(sku_count)[:, None]
    stocked &= ~np.isin(levels, till_levels)
    share = np.where(stocked, generator.exponential(size=shape), 0.0)
    share /= share.sum(axis=1, keepdims=True)
    short = generator.random(sku_count) < settings.short_level_share
    kept = generator.uniform(0, _SHORT_FILL_MAX, sku_count)
    factor = np.where(short, kept, settings.ship_stock)
    units = share * (wanted * factor)[:, None]
    units = np.where(short[:, None], np.floor(units), np.ceil(units)).astype(np.int64)
    is_there = units > 0
    return levels[is_there], units[is_there]


def _shipped_units(baskets: Baskets, acts: Acts) -> Int64s:
    """Sum the units that shipped orders can hold at most, by sku."""
    units = _largest_quantities(baskets, acts) * acts.is_shipped[baskets.line_order()]
    return np.bincount(baskets.line_sku, units, len(baskets.skus)).astype(np.int64)


def _largest_quantities(baskets: Baskets, acts: Acts) -> Int64s:
    quantity = baskets.line_quantity.astype(np.int64)
    quantity[baskets.line_start[:-1]] += np.maximum(acts.amend_step, 0)
    return quantity


def demand_by_level(baskets: Baskets, acts: Acts) -> tuple[Int64s, Int64s, Int64s]:
    """Sum the units that tills sell and the most that pickups can hold, by level = location * skus + sku."""
    order = baskets.line_order()
    is_bound = ~acts.is_shipped[order]
    order, sku = order[is_bound], baskets.line_sku[is_bound]
    quantity = _largest_quantities(baskets, acts)[is_bound]
    level = acts.location[order].astype(np.int64) * len(baskets.skus) + sku
    levels, inverse = np.unique(level, return_inverse=True)
    at_till: Bools = acts.act[order] == Act.SALE
    till = np.bincount(inverse, quantity * at_till, len(levels)).astype(np.int64)
    digital = np.bincount(inverse, quantity * ~at_till, len(levels)).astype(np.int64)
    return levels, till, digital
