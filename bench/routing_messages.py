"""Networks of the optimizer as messages: an engine routes over what a benchmark routes over in its own process."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, Final

from onhand.routing.v1 import network_pb2 as messages

from routing.network import Carrier, Location, Network, Sku
from routing.profile import Costs, Profile, Weights, micros
from routing.rates import RateTable
from routing.rules import Method

REJECTION_DAYS: Final = 7
STRENGTHS: Final = {"hard": messages.RULE_STRENGTH_HARD, "soft": messages.RULE_STRENGTH_SOFT}


def network_message(network: Network, profiles: Sequence[Profile]) -> messages.Network:
    """Return a network as the engine takes it."""
    return messages.Network(
        currency=network.currency,
        calendars=[
            messages.Calendar(
                name=name,
                weekdays=sorted(day + 1 for day in calendar.weekdays),
                closed_dates=sorted(day.isoformat() for day in calendar.closed),
            )
            for name, calendar in network.calendars.items()
        ],
        carriers=[carrier_message(name, carrier) for name, carrier in network.carriers.items()],
        lanes=[
            messages.Lane(
                from_location_id=origin,
                to_location_id=store,
                base_micros=lane.base,
                per_kilogram_micros=lane.per_kilogram,
                days=lane.days,
            )
            for (origin, store), lane in network.lanes.items()
        ],
        channels=[
            messages.Channel(name=name, location_groups=sorted(groups)) for name, groups in network.channels.items()
        ],
        places=[
            messages.Place(name=name, latitude=latitude, longitude=longitude)
            for name, (latitude, longitude) in network.places.items()
        ],
        skus=list(_sku_messages(network.skus.items())),
        profiles=[profile_message(profile) for profile in profiles],
        rejection_days=REJECTION_DAYS,
    )


def _sku_messages(skus: Any) -> Iterator[messages.SkuRouting]:
    sku: Sku
    for sku_id, sku in skus:
        if sku.unfilled_cost is not None:
            yield messages.SkuRouting(sku_id=sku_id, unfilled_micros=sku.unfilled_cost)


def carrier_message(name: str, carrier: Carrier) -> messages.Carrier:
    """Return a carrier as the engine takes it."""
    ship, delivery = (carrier.rates.get(method, ()) for method in (Method.SHIP, Method.DELIVERY))
    return messages.Carrier(
        name=name,
        calendar=carrier.calendar,
        refused_restrictions=sorted(carrier.refuses),
        zones=[
            messages.CarrierZone(
                km_max=zone.km_max or 0.0,
                transit_days=zone.transit_days,
                ship_rates=_steps(ship_rates),
                delivery_rates=_steps(delivery_rates),
            )
            for zone, ship_rates, delivery_rates in zip_longest(carrier.zones, ship, delivery)
        ],
    )


def _steps(table: RateTable | None) -> list[messages.RateStep]:
    return [
        messages.RateStep(
            above_milligrams=step.above,
            to_milligrams=step.to or 0,
            base_micros=step.base,
            per_kilogram_micros=step.per_kilogram,
        )
        for step in (table.steps if table else ())
    ]


def profile_message(profile: Profile) -> messages.RoutingProfile:
    """Return a routing profile as the engine takes it."""
    rules = profile.rules
    return messages.RoutingProfile(
        name=profile.name,
        version=profile.version,
        **{f"{name}_weight": getattr(profile.weights, name) for name in Weights.__struct_fields__},
        **{f"{name}_micros": micros(getattr(profile.costs, name)) for name in Costs.__struct_fields__},
        max_shipments=rules.max_shipments,
        ship_complete=rules.ship_complete,
        never_split_below_micros=micros(rules.never_split_below),
        max_distance_km=rules.max_distance.km if rules.max_distance else 0.0,
        max_distance=STRENGTHS[rules.max_distance.strength] if rules.max_distance else None,
        promise=STRENGTHS[rules.promise.strength] if rules.promise else None,
        backorder=STRENGTHS[rules.backorder.strength],
    )


def location_message(location: Location) -> messages.LocationRouting:
    """Return what routing knows of a location as the engine takes it."""
    return messages.LocationRouting(
        location_id=location.location_id,
        calendar=location.calendar,
        carrier=location.carrier,
        methods=[int(method) + 1 for method in sorted(location.methods)],  # type: ignore[misc]  # values of the wire
        cut_off=location.cut_off.isoformat(),
        handling_days=location.handling_days,
        units_per_day=location.units_per_day,
        backlog_days_max=location.backlog_days_max,
        handling_micros=location.handling_cost,
        setup_micros=location.setup_cost,
        pickup_micros=location.pickup_cost,
        performance_micros=location.performance_cost,
        backlog_micros=location.backlog_cost,
        priority=location.priority,
        allowed_restrictions=sorted(location.restrictions),
        opens=location.hours.opens.isoformat(),
        closes=location.hours.closes.isoformat(),
        pickup_minutes=location.pickup_minutes,
    )
