"""An independent check of a plan: its cost computed anew, its stock, masks, capacity and number of shipments.

It reads the inputs and the plan, and nothing that the kernel wrote. It holds for every strategy: it says whether a plan
is what it claims, not whether a cheaper one exists.
"""

from collections import Counter

from routing.arrays import NONE
from routing.calendars import day_of, pickup_ready
from routing.network import Network
from routing.order import Request, is_split_forbidden
from routing.plain import Candidate, PlainModel
from routing.plan import Plan, Shipment
from routing.profile import Profile
from routing.rules import Method


def verify(plan: Plan, network: Network, profile: Profile, request: Request) -> list[str]:
    """Return what is wrong with a plan, each text beginning with the field; empty: it is what it claims.

    Parameters
    ----------
    plan : Plan
    network, profile, request
        Exactly what the plan was made from; the stock as it was before.
    """
    return _Check(plan, PlainModel(network, profile, request)).run()


class _Check:
    def __init__(self, plan: Plan, model: PlainModel) -> None:
        self.plan, self.model = plan, model
        self.found: list[str] = []

    def expect(self, field: str, expected: object, actual: object) -> None:
        if expected != actual:
            self.found.append(f"{field}: expected {expected}, was {actual}.")

    def run(self) -> list[str]:
        model, plan = self.model, self.plan
        self.expect("profile", str(model.profile), plan.profile)
        self.expect("network_version", model.network.version, plan.network_version)
        self._check_limits()
        cost = model.split_cost * max(0, len(plan.shipments) - 1)
        for index, shipment in enumerate(plan.shipments):
            cost += self._check_shipment(f"shipments[{index}]", shipment)
        cost += self._check_units()
        self._check_stock()
        self.expect("cost", cost, plan.cost)
        self.expect("terms", plan.cost, plan.terms.total)
        return self.found

    def _check_limits(self) -> None:
        rules, order, plan = self.model.profile.rules, self.model.order, self.plan
        most = 1 if is_split_forbidden(order, self.model.profile) else rules.max_shipments
        if len(plan.shipments) > most:
            self.found.append(f"shipments: expected at most {most}, was {len(plan.shipments)}.")
        if plan.shipments and plan.shortages and (rules.ship_complete or order.ship_complete):
            self.found.append("shipments: expected none, since the order ships complete or not at all.")
        places = Counter((shipment.location_id, self._part_of(shipment)) for shipment in plan.shipments)
        for (location, _), count in places.items():
            self.expect(f"shipments from {location} of one part", 1, count)

    def _part_of(self, shipment: Shipment) -> int:
        """Return the part of a shipment's lines, or NONE if they do not travel together."""
        lines = range(len(self.model.part_of_line))
        parts = {self.model.part_of_line[line.line] for line in shipment.lines if line.line in lines}
        return parts.pop() if len(parts) == 1 else NONE

    def _check_shipment(self, where: str, shipment: Shipment) -> int:
        """Check one shipment by itself and return its true cost."""
        model, part_index = self.model, self._part_of(shipment)
        location = model.network.location_index.get(shipment.location_id, NONE)
        if NONE in {part_index, location}:
            self.found.append(f"{where}: expected lines of one part of the order and a known location.")
            return 0
        part = model.parts[part_index]
        store = model.network.locations[part.store].location_id if part.store != NONE else ""
        self.expect(f"{where}.method", (part.method, store), (shipment.method, shipment.store))
        candidate = model.candidate(part_index, location)
        if candidate is None:
            self.found.append(f"{where}.location_id: expected an eligible location, was {shipment.location_id}.")
            return 0
        if candidate.is_soft and not self.plan.used_second_pass:
            self.found.append(f"{where}.location_id: expected no soft rule against it in the first pass.")
        units = [0] * len(model.order.lines)
        for line in shipment.lines:
            self.expect(f"{where}.lines: sku of line {line.line}", model.order.lines[line.line].sku, line.sku)
            if line.quantity < 1:
                self.found.append(f"{where}.lines: expected at least 1 unit of line {line.line}, was {line.quantity}.")
            units[line.line] += line.quantity
        cost = model.shipment_cost(candidate, units)
        self.expect(f"{where}.terms", cost, shipment.terms.total)
        self._check_dates(where, shipment, candidate)
        return cost

    def _check_dates(self, where: str, shipment: Shipment, candidate: Candidate) -> None:
        self.expect(f"{where}.arrival", day_of(candidate.arrival_day), shipment.arrival)
        place = self.model.network.locations[candidate.location]
        ready = None
        if shipment.method in {Method.PICKUP, Method.SHIP_TO_STORE} and shipment.store == shipment.location_id:
            calendar = self.model.network.calendars[place.calendar]
            ready = pickup_ready(calendar, self.model.now, place.time_zone, place.hours, place.pickup_minutes)
        self.expect(f"{where}.ready", ready, shipment.ready)

    def _check_units(self) -> int:
        """Check that every unit is filled once or told short, and return the cost of the short ones."""
        filled: Counter[int] = Counter()
        for shipment in self.plan.shipments:
            for line in shipment.lines:
                filled[line.line] += line.quantity
        short = Counter({shortage.line: shortage.quantity for shortage in self.plan.shortages})
        cost = 0
        for index, wanted in enumerate(self.model.order.lines):
            self.expect(f"lines[{index}]: units filled and short", wanted.quantity, filled[index] + short[index])
            cost += max(0, wanted.quantity - filled[index]) * self.model.unfilled[index]
        return cost

    def _check_stock(self) -> None:
        """Check that no location gives more than it has, in stock of a row or in capacity."""
        model, by_row, by_location = self.model, Counter[tuple[int, int]](), Counter[int]()
        for shipment in self.plan.shipments:
            location = model.network.location_index.get(shipment.location_id, NONE)
            for line in shipment.lines:
                if location == NONE:
                    continue
                by_location[location] += line.quantity
                by_row[model.rows[line.line], location] += line.quantity
                room = model.room(line.line, location)[self.plan.used_second_pass]
                if by_row[model.rows[line.line], location] > room:
                    self.found.append(
                        f"{line.sku} at {shipment.location_id}: expected at most {room} units, "
                        f"was {by_row[model.rows[line.line], location]}."
                    )
        for location, units in by_location.items():
            if units > model.spare(location):
                place = model.network.locations[location].location_id
                self.found.append(f"capacity of {place}: expected at most {model.spare(location)}, was {units}.")
