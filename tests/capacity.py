"""The formula of docs/capacity.md, and the table that it makes: `python -m tests.capacity` prints the table."""

from typing import Final, NamedTuple

MIB: Final = 1024**2
GIB: Final = 1024**3
DAY_SECONDS: Final = 86_400

BASE_BYTES: Final = 250 * MIB
LEVEL_BYTES: Final = 49
NAME_BYTES: Final = 450
ID_BYTES: Final = 65
RESERVATION_BYTES: Final = 56
ORDER_JOURNAL_BYTES: Final = 1_300
SALE_JOURNAL_BYTES: Final = 154
WRITES_PER_ORDER: Final = 4
READS_PER_ORDER: Final = 50
STOCKED_SHARE: Final = 0.3
OPEN_DAYS: Final = 2
WINDOW_DAYS: Final = 3
HISTORY_DAYS: Final = 30
SNAPSHOT_FILES: Final = 3
PEAK: Final = 8
JOURNAL_BUDGET_BYTES: Final = 3 * GIB
FEW_CALLS: Final = 5_000


class Shop(NamedTuple):
    """How large a shop is."""

    stores: int
    skus: int
    orders: int
    """A day."""
    sales: int
    """A day, at tills."""


class Needs(NamedTuple):
    """What it takes."""

    levels: int
    engine_bytes: int
    machine_bytes: int
    disk_bytes: int
    peak_calls: int
    """A second."""
    cores: int


SHOPS: Final = (
    Shop(20, 20_000, 5_000, 20_000),
    Shop(200, 50_000, 50_000, 400_000),
    Shop(1_000, 100_000, 500_000, 2_000_000),
    Shop(2_500, 120_000, 2_000_000, 8_000_000),
)


def needs(shop: Shop) -> Needs:
    """Return what a shop takes, as the page says it."""
    levels = round(shop.stores * shop.skus * STOCKED_SHARE)
    writes = WRITES_PER_ORDER * shop.orders + shop.sales
    rows = LEVEL_BYTES * levels + ID_BYTES * writes * WINDOW_DAYS + RESERVATION_BYTES * shop.orders * OPEN_DAYS
    engine = BASE_BYTES + NAME_BYTES * (shop.skus + shop.stores) + rows
    journal = ORDER_JOURNAL_BYTES * shop.orders + SALE_JOURNAL_BYTES * shop.sales
    kept = min(JOURNAL_BUDGET_BYTES, journal)
    calls = PEAK * (writes + READS_PER_ORDER * shop.orders) // DAY_SECONDS
    return Needs(
        levels,
        engine,
        2 * engine + kept,
        SNAPSHOT_FILES * rows + HISTORY_DAYS * journal + kept,
        calls,
        2 if calls < FEW_CALLS else 4,
    )


def row_of(shop: Shop) -> str:
    """Return the row of a shop, as it stands on the page."""
    found = needs(shop)
    sizes = [f"{size / GIB:.1f} GiB" for size in (found.engine_bytes, found.machine_bytes, found.disk_bytes)]
    counts = [f"{count:,}" for count in (*shop, found.levels)]
    return f"| {' | '.join((*counts, *sizes, f'{found.peak_calls:,}', str(found.cores)))} |"


if __name__ == "__main__":
    print("\n".join(map(row_of, SHOPS)))  # noqa: T201 - what it is for
