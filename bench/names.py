"""What benchmarks call their skus and locations, how much of them there is, and how long it is held."""

from typing import Final

UNITS_PER_LEVEL: Final = 1_000_000_000
"""So much that nothing is refused for want of stock."""
TTL_SECONDS: Final = 3_600


def sku_name(number: int) -> str:
    """Id of a sku."""
    return f"SKU-{number:06}"


def location_name(number: int) -> str:
    """Id of a location."""
    return f"STORE-{number:03}"
