"""The fields of an order and its lines, once: what messages call them, what columns do, and what they may be.

Whoever reads or writes orders goes by these tables, or is held against them by tests/test_orders.py: the calls of the
client, for one order and for many; the engine's readers of messages and of columns; what is kept with a plan.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from onhand.routing.v1 import plan_pb2 as messages
from onhand.rules import limits

NONE: Final = -1
"""Of an index or a day in a column: there is none."""


class OrderField(NamedTuple):
    """One field."""

    name: str
    """In Order or OrderLine, or in the request that it comes with."""
    column: str
    """In PlanOrdersRequest."""
    least: int = 0
    most: int = 0
    """What a number may be; of a flag, a text or a day nothing is said here."""
    default: int = 0
    """What a column that is left out means."""
    dictionary: str = ""
    """The field of the names that the column's indexes speak of."""
    is_in_full: bool = False
    """Whether its column always has an entry for each line."""


# In the order in which what is asked for is hashed (`OrderColumns.contents`): a new field comes last.
OF_ORDERS: Final[Sequence[OrderField]] = (
    OrderField("ttl", "ttl_us", 1, limits.TTL_US_MAX),
    OrderField("destination.latitude", "latitudes", -90, 90),
    OrderField("destination.longitude", "longitudes", -180, 180),
    OrderField("ship_complete", "ship_complete"),
    OrderField("channel", "channel_indexes", default=NONE, dictionary="channels"),
    OrderField("reference", "reference_indexes", default=NONE, dictionary="texts"),
    OrderField("actor", "actor_indexes", default=NONE, dictionary="texts"),
)
OF_LINES: Final[Sequence[OrderField]] = (
    OrderField("quantity", "quantities", 1, limits.UNITS_PER_ORDER_MAX),
    OrderField("unit_value_micros", "unit_values_micros", 0, limits.AMOUNT_MAX),
    OrderField("method", "methods", 1, max(messages.FulfillmentMethod.values()), messages.FULFILLMENT_METHOD_SHIP),
    OrderField("promise_date", "promise_days", default=NONE),
    OrderField("sku_id", "sku_indexes", default=NONE, dictionary="sku_ids", is_in_full=True),
    OrderField("store_id", "store_indexes", default=NONE, dictionary="location_ids"),
)
ORDER_FIELDS: Final = {field.name: field for field in OF_ORDERS}
LINE_FIELDS: Final = {field.name: field for field in OF_LINES}
DICTIONARIES: Final[Sequence[str]] = tuple(
    dict.fromkeys(field.dictionary for field in (*OF_LINES, *OF_ORDERS) if field.dictionary)
)
