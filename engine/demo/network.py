"""What the demo's orders are routed over: rates, costs and hours are illustrations, as the places are."""

from typing import Final

from onhand.routing.v1 import network_pb2 as messages
from onhand.routing.v1 import plan_pb2

from engine.demo.places import Places
from engine.demo.plan import ANYWHERE, Plan

MICROS: Final = 1_000_000
CURRENCY: Final = "USD"
CARRIER: Final = "parcel"
CALENDAR: Final = "every day"
ZONES_KM: Final = (240.0, 480.0, 970.0, 1_610.0, 2_250.0, 2_900.0, 0.0)
"""150, 300, 600, 1000, 1400 and 1800 miles, and beyond: zones 2 to 8 of parcel carriers in the United States."""
BASE: Final = 6.00
BASE_PER_ZONE: Final = 0.80
PER_KILOGRAM: Final = 0.30
PER_KILOGRAM_PER_ZONE: Final = 0.12
STORE_SETUP: Final = 1.80
STORE_HANDLING: Final = 0.35
STORE_PICKUP: Final = 0.50
WAREHOUSE_SETUP: Final = 0.90
WAREHOUSE_HANDLING: Final = 0.15
PROFILE: Final = messages.RoutingProfile(name="demo", version=1, split_micros=MICROS, unfilled_micros=40 * MICROS)


def network_message() -> messages.Network:
    """Return the network."""
    zones = [
        messages.CarrierZone(
            km_max=km,
            transit_days=1 + zone // 2,
            ship_rates=[
                messages.RateStep(
                    base_micros=_micros(BASE + BASE_PER_ZONE * zone),
                    per_kilogram_micros=_micros(PER_KILOGRAM + PER_KILOGRAM_PER_ZONE * zone),
                )
            ],
        )
        for zone, km in enumerate(ZONES_KM)
    ]
    return messages.Network(
        currency=CURRENCY,
        calendars=[messages.Calendar(name=CALENDAR, weekdays=range(1, 8))],
        carriers=[messages.Carrier(name=CARRIER, calendar=CALENDAR, zones=zones)],
        profiles=[PROFILE],
    )


def location_messages(places: Places) -> list[messages.LocationRouting]:
    """Return what routing knows of each place: some stores ship, the others hand over, warehouses ship."""
    return [_location(name, index, places) for index, name in enumerate(places.location_ids)]


def _location(name: str, index: int, places: Places) -> messages.LocationRouting:
    is_store, ships = index < places.store_count, index in places.shipping
    return messages.LocationRouting(
        location_id=name,
        calendar=CALENDAR,
        carrier=CARRIER if ships else "",
        methods=[plan_pb2.FULFILLMENT_METHOD_SHIP if ships else plan_pb2.FULFILLMENT_METHOD_PICKUP],
        setup_micros=_micros(STORE_SETUP if is_store else WAREHOUSE_SETUP),
        handling_micros=_micros(STORE_HANDLING if is_store else WAREHOUSE_HANDLING),
        pickup_micros=_micros(STORE_PICKUP),
        priority=index if is_store else index - places.store_count - len(places.locations),
    )


def _micros(amount: float) -> int:
    return round(amount * MICROS)


def order_message(plan: Plan, index: int) -> plan_pb2.Order:
    """Return a basket as an order."""
    baskets, acts = plan.baskets, plan.acts
    part = slice(baskets.line_start[index], baskets.line_start[index + 1])
    lines = zip(baskets.line_sku[part].tolist(), baskets.line_quantity[part].tolist(), strict=True)
    location = int(acts.location[index])
    method, store, destination = plan_pb2.FULFILLMENT_METHOD_SHIP, "", None
    if location == ANYWHERE:
        latitude, longitude = acts.destination[index].tolist()
        destination = plan_pb2.Destination(latitude=latitude, longitude=longitude)
    else:
        method, store = plan_pb2.FULFILLMENT_METHOD_PICKUP, plan.places.location_ids[location]
    return plan_pb2.Order(
        lines=[
            plan_pb2.OrderLine(sku_id=baskets.skus[sku].sku_id, quantity=quantity, method=method, store_id=store)
            for sku, quantity in lines
        ],
        destination=destination,
    )
