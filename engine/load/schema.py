"""What the files of a load may say: every column of every table and every key of every settings file, in one place.

Reading, messages and docs/load.md all follow from it; a test holds docs/load.md against it.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from onhand.inventory.v1 import catalog_pb2
from onhand.routing.v1 import network_pb2, plan_pb2

from engine.api.stock.sku_fields import FIELDS, SkuField, Text, Whole, Words
from engine.load import values
from engine.load.values import Kind
from ledger.core.limits import (
    GROUPS_MAX,
    NAME_BYTES_MAX,
    QUANTITY_MAX,
    RESTRICTIONS_MAX,
)
from routing import limits as routing

KM_MIN: Final = 0.001
KM_MAX: Final = 100_000
PRIORITY_MAX: Final = 2**31 - 1
CURRENCY_BYTES_MAX: Final = 16
REJECTION_DAYS_MAX: Final = 365
REJECTION_DAYS: Final = 7
"""How long a location that rejected an order is not asked again for it, where nobody says."""


class Column(NamedTuple):
    """One column of a table, or one key of a settings file."""

    kind: Kind
    says: str
    """What it is, for the docs."""
    is_required: bool = False
    default: str = ""
    """What a new row has without it, for the docs."""


class Table(NamedTuple):
    """A table in a CSV file."""

    name: str
    key: tuple[str, ...]
    """The columns that name a row; no two rows have the same."""
    columns: Mapping[str, Column]
    is_optional: bool = False
    """Whether the file may be missing."""


class Section(NamedTuple):
    """A table of TOML with these keys."""

    keys: Mapping[str, "Column | Section | Named"]
    is_required: bool = False


class Named(NamedTuple):
    """A table of TOML whose keys are names that the file gives."""

    content: "Column | Section"


# ---- words -----------------------------------------------------------------------------------------------------------

KINDS: Final = {
    "store": catalog_pb2.LOCATION_KIND_STORE,
    "warehouse": catalog_pb2.LOCATION_KIND_WAREHOUSE,
    "vendor": catalog_pb2.LOCATION_KIND_VENDOR,
}
CAPABILITIES: Final = {
    "ship": catalog_pb2.LOCATION_CAPABILITY_SHIP,
    "pickup": catalog_pb2.LOCATION_CAPABILITY_PICKUP,
    "returns": catalog_pb2.LOCATION_CAPABILITY_RETURNS,
}
METHODS: Final = {
    "ship": plan_pb2.FULFILLMENT_METHOD_SHIP,
    "pickup": plan_pb2.FULFILLMENT_METHOD_PICKUP,
    "ship_to_store": plan_pb2.FULFILLMENT_METHOD_SHIP_TO_STORE,
    "delivery": plan_pb2.FULFILLMENT_METHOD_DELIVERY,
}
STRENGTHS: Final = {"hard": network_pb2.RULE_STRENGTH_HARD, "soft": network_pb2.RULE_STRENGTH_SOFT}
FOLLOWS_FROM: Final = {
    "reserved": "it follows from reservations",
    "committed": "it follows from commitments",
    "available": "it follows from the other fields",
    "oversold": "it follows from the other fields",
    "unavailable": "it follows from movements",
    "version": "the engine counts it",
    "create_time": "the engine sets it",
    "update_time": "the engine sets it",
}
"""Fields that a file might bring along from a report, and why they are no input."""

_ID: Final = values.identifier()
_LATITUDE: Final = values.number(-90, 90)
_LONGITUDE: Final = values.number(-180, 180)
_AMOUNT: Final = values.amount()
_PER_KILOGRAM: Final = values.amount(routing.PER_KILOGRAM_MAX)
_UNITS: Final = values.whole(0, QUANTITY_MAX)


def _sku_column(row: SkuField) -> Column:
    """Return the column of a field of skus."""
    match row.holds:
        case Whole(least, most):
            kind = values.whole(least, most)
        case Text(least, most):
            kind = values.text(most, least=least)
        case Words(most):
            kind = values.words(most)
    return Column(kind, row.says, is_required=not row.default, default=row.default)


# ---- the catalog and its stock ---------------------------------------------------------------------------------------

LOCATIONS: Final = Table(
    "locations",
    ("location_id",),
    {
        "location_id": Column(_ID, "the location", is_required=True),
        "kind": Column(values.one_of(KINDS), "what kind of place it is", is_required=True),
        "display_name": Column(values.text(NAME_BYTES_MAX), "name for people", default="none"),
        "latitude": Column(_LATITUDE, "degrees north; give both or none", default="not known"),
        "longitude": Column(_LONGITUDE, "degrees east", default="not known"),
        "time_zone": Column(values.time_zone(), "time zone", default="UTC"),
        "capabilities": Column(
            values.some_of(CAPABILITIES), "what it can do for an order", default="what a network's methods say, or none"
        ),
        "active": Column(values.truth(), "whether it takes new reservations", default="true"),
        "location_groups": Column(values.words(GROUPS_MAX), "groups it belongs to", default="none"),
    },
)
SKUS: Final = Table(
    "skus",
    ("sku_id",),
    {
        "sku_id": Column(_ID, "the sku", is_required=True),
        **{row.name: _sku_column(row) for row in FIELDS},
    },
)
LEVELS: Final = Table(
    "levels",
    ("sku_id", "location_id"),
    {
        "sku_id": Column(_ID, "the sku, of the files or of the engine", is_required=True),
        "location_id": Column(_ID, "the location, likewise", is_required=True),
        "on_hand": Column(_UNITS, "units that were counted there, all conditions", is_required=True),
        "safety_stock": Column(_UNITS, "units that digital channels may not promise", default="0"),
        "backorder_limit": Column(_UNITS, "units that may be promised beyond what is there", default="0"),
    },
)

# ---- the tables of a network -----------------------------------------------------------------------------------------

ROUTED_LOCATIONS: Final = Table(
    "locations",
    ("location_id",),
    {
        "location_id": Column(_ID, "a location, created if the catalog has it not", is_required=True),
        "latitude": Column(_LATITUDE, "degrees north", is_required=True),
        "longitude": Column(_LONGITUDE, "degrees east", is_required=True),
        "calendar": Column(_ID, "when it works: a calendar of network.toml", is_required=True),
        "carrier": Column(
            values.identifier(optional=True),
            "who takes its parcels: a carrier of network.toml; needed for ship and delivery",
            default="none",
        ),
        "methods": Column(values.some_of(METHODS), "what it offers", default="ship"),
        "time_zone": Column(values.time_zone(), "time zone", default="UTC"),
        "cut_off": Column(
            values.clock(ends=True), "local time after which an order counts from the next day", default="24:00"
        ),
        "handling_days": Column(
            values.whole(0, routing.HANDLING_DAYS_MAX), "working days from order to dispatch", default="0"
        ),
        "units_per_day": Column(
            values.whole(0, routing.UNITS_PER_ORDER_MAX), "units it dispatches in a working day", default="no limit"
        ),
        "backlog_days_max": Column(
            values.whole(0, routing.BACKLOG_DAYS_MAX), "working days of units that may wait", default="0"
        ),
        "handling_cost": Column(_AMOUNT, "cost of a unit: handling and labor", default="0"),
        "setup_cost": Column(_AMOUNT, "cost of a shipment: picking and packing", default="0"),
        "pickup_cost": Column(_AMOUNT, "cost of an order collected here", default="0"),
        "performance_cost": Column(_AMOUNT, "cost of a shipment: rejects and errors, on the average", default="0"),
        "backlog_cost": Column(_AMOUNT, "what one more unit costs when a whole day's units wait", default="0"),
        "priority": Column(
            values.whole(-PRIORITY_MAX, PRIORITY_MAX), "rank for the PRIORITY strategy; lower goes first", default="0"
        ),
        "groups": Column(values.words(GROUPS_MAX), "location groups, beside those that it has", default="none"),
        "restrictions": Column(
            values.words(routing.RESTRICTIONS_MAX), "restrictions of skus that it may send", default="none"
        ),
        "opens": Column(values.clock(), "local time from which pickups are handed over", default="00:00"),
        "closes": Column(
            values.clock(ends=True), "local time until which they are; before opens: of the next day", default="24:00"
        ),
        "pickup_minutes": Column(
            values.whole(0, routing.PICKUP_MINUTES_MAX), "minutes of opening time until a pickup is ready", default="60"
        ),
        "active": Column(values.truth(), "whether it takes new reservations", default="true"),
    },
)
ZONES: Final = Table(
    "zones",
    ("carrier", "zone"),
    {
        "carrier": Column(_ID, "a carrier of network.toml", is_required=True),
        "zone": Column(values.whole(1, routing.ZONES_MAX), "1, 2, … from near to far", is_required=True),
        "km_max": Column(values.number(KM_MIN, KM_MAX), "farthest distance, kilometers", default="anywhere"),
        "transit_days": Column(
            values.whole(0, routing.TRANSIT_DAYS_MAX), "days from dispatch to arrival", is_required=True
        ),
    },
)
RATES: Final = Table(
    "rates",
    ("carrier", "method", "zone", "above_grams"),
    {
        "carrier": Column(_ID, "a carrier of network.toml", is_required=True),
        "method": Column(
            values.one_of({name: METHODS[name] for name in ("ship", "delivery")}), "what is paid for", is_required=True
        ),
        "zone": Column(values.whole(1, routing.ZONES_MAX), "a zone of zones.csv", is_required=True),
        "above_grams": Column(
            values.grams(routing.WEIGHT_MILLIGRAMS_MAX), "weight above which the row holds", default="0"
        ),
        "to_grams": Column(
            values.grams(routing.WEIGHT_MILLIGRAMS_MAX), "weight up to which the row holds", default="any weight"
        ),
        "base": Column(_AMOUNT, "cost of a parcel", is_required=True),
        "per_kilogram": Column(_PER_KILOGRAM, "cost of each kilogram", default="0"),
    },
)
LANES: Final = Table(
    "lanes",
    ("from_location_id", "to_location_id"),
    {
        "from_location_id": Column(_ID, "where it starts: a location of this folder", is_required=True),
        "to_location_id": Column(_ID, "where it goes, likewise", is_required=True),
        "base": Column(_AMOUNT, "cost of a shipment", is_required=True),
        "per_kilogram": Column(_PER_KILOGRAM, "cost of each kilogram", default="0"),
        "days": Column(values.whole(0, routing.TRANSIT_DAYS_MAX), "working days of the store", is_required=True),
    },
    is_optional=True,
)
ROUTED_SKUS: Final = Table(
    "skus",
    ("sku_id",),
    {
        "sku_id": Column(_ID, 'a sku, created with the unit "each" if the catalog has it not', is_required=True),
        "weight_milligrams": Column(
            values.whole(0, routing.WEIGHT_MILLIGRAMS_MAX), "weight of a unit; 0 is not known", default="0"
        ),
        "restrictions": Column(values.words(RESTRICTIONS_MAX), "what may not go everywhere", default="none"),
        "unfilled_cost": Column(_AMOUNT, "cost of a unit that is not filled", default="the profile's"),
    },
    is_optional=True,
)
PLACES: Final = Table(
    "places",
    ("place",),
    {
        "place": Column(_ID, "a name that a destination may have, such as a postal code", is_required=True),
        "latitude": Column(_LATITUDE, "degrees north", is_required=True),
        "longitude": Column(_LONGITUDE, "degrees east", is_required=True),
    },
    is_optional=True,
)
NETWORK_TABLES: Final = (ROUTED_LOCATIONS, ZONES, RATES, LANES, ROUTED_SKUS, PLACES)

# ---- network.toml and profiles ---------------------------------------------------------------------------------------

NETWORK: Final = Section(
    {
        "version": Column(values.whole(1, 2**31 - 1), "yours, for people; the engine counts its own", default="none"),
        "currency": Column(
            values.text(CURRENCY_BYTES_MAX, least=1), "ISO 4217 code or another name of the currency", is_required=True
        ),
        "default_profile": Column(
            values.profile_name(),
            "profile of orders that name none",
            default="the first of profiles/ by file name",
        ),
        "rejection_days": Column(
            values.whole(0, REJECTION_DAYS_MAX),
            "days for which a location that rejected an order is not asked again for it",
            default=str(REJECTION_DAYS),
        ),
        "calendars": Named(
            Section(
                {
                    "weekdays": Column(values.weekdays(), "working days", is_required=True),
                    "closed": Column(values.dates(), "days off beside the week's", default="none"),
                }
            )
        ),
        "channels": Named(Column(values.words(GROUPS_MAX), "location groups that serve the channel")),
        "carriers": Named(
            Section(
                {
                    "calendar": Column(_ID, "when it works: a calendar of this file", is_required=True),
                    "refuses": Column(
                        values.words(routing.RESTRICTIONS_MAX),
                        "restrictions of skus that it does not carry",
                        default="none",
                    ),
                }
            )
        ),
    }
)
_STRENGTH: Final = Column(values.one_of(STRENGTHS), "how strongly the rule holds", is_required=True)
_WEIGHT: Final = values.number(0, routing.WEIGHT_FACTOR_MAX)
PROFILE: Final = Section(
    {
        "name": Column(values.profile_name(), "what orders call it", is_required=True),
        "version": Column(values.whole(1, 2**31 - 1), "plans say name@version", is_required=True),
        "weights": Section(
            {
                "shipping": Column(_WEIGHT, "what carriers and lanes take", default="1"),
                "handling": Column(_WEIGHT, "handling and set-up", default="1"),
                "capacity": Column(_WEIGHT, "the locations' load", default="1"),
                "lateness": Column(_WEIGHT, "days after the promise", default="1"),
                "stockout_avoidance": Column(values.idle(), "scarcity", default="1"),
                "markdown_avoidance": Column(values.idle(), "markdown credit", default="1"),
                "node_performance": Column(_WEIGHT, "node performance", default="1"),
            }
        ),
        "costs": Section(
            {
                "split": Column(_AMOUNT, "each shipment after the first", default="1.00"),
                "late_day": Column(_AMOUNT, "each shipment and day after the promise", default="4.00"),
                "unfilled": Column(
                    _AMOUNT, "each unit that is not filled, where the sku says nothing else", default="50.00"
                ),
            }
        ),
        "rules": Section(
            {
                "max_shipments": Column(values.whole(1, routing.SHIPMENTS_MAX), "most shipments", default="3"),
                "ship_complete": Column(values.truth(), "filled whole or not at all", default="false"),
                "never_split_below": Column(_AMOUNT, "orders of less value go in one shipment", default="0"),
                "max_distance": Section(
                    {
                        "km": Column(
                            values.number(KM_MIN, KM_MAX), "parcels come from at most so far away", is_required=True
                        ),
                        "strength": _STRENGTH,
                    }
                ),
                "promise": Section({"strength": _STRENGTH}),
                "backorder": Section({"strength": _STRENGTH}),
            }
        ),
    }
)
