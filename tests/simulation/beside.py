"""What is beside the ledger, followed through the journal by plain oracles: catalog, network, plans, rejections.

Where an order is filled is not judged here; that has a model of its own (`tests/routing_model`). What follows from it
is: that the units could be had, on which day they leave, what is held and kept, what a repeat is told, and who is not
asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final, NamedTuple, NoReturn

import numpy as np
from onhand.inventory.v1 import catalog_pb2
from onhand.routing.v1 import network_pb2, plan_pb2
from onhand.routing.v1 import routing_service_pb2 as routing
from onhand.rules.checks import reservation_name

from ledger.book import Book
from ledger.core.records import COMMAND, Batch, new_lines
from ledger.core.statuses import Operation, ReservationState, Status
from ledger.oracle.catalog import Content, OracleCatalog, Upserted
from ledger.oracle.plans import DAY_US, Booked, OraclePlans, Plan
from ledger.oracle.stock import OracleLedger
from ledger.parts.planned import ArrivedUnits, CountedLevels, PlannedOrders, RefusedCall, SuspectLevels
from ledger.parts.resources import Location, Sku

from .orders import BACKLOG_DAYS_MAX, CATALOG, NETWORK, TRANSIT_DAYS, Planned, is_same_answer
from .settings import RETENTION_US, WINDOW_US

BEHIND_DAYS_MAX: Final = 7
"""What is behind by more days than this is told as so many."""
EPOCH: Final = date(1970, 1, 1)
OF_HOLDS: Final = (Status.RESERVATION_NOT_FOUND, Status.RESERVATION_EXPIRED, Status.RESERVATION_NOT_ACTIVE)
OF_A_RESOURCE: Final = ("version", "create_time_us", "update_time_us")

Level = tuple[int, int]


class Violated(Exception):
    """Something beside the ledger is not as its oracle has it."""


class Decided(NamedTuple):
    """What the journal says of one plan, rejection, refusal or write of the catalog."""

    seq: int
    status: Status
    stored: bytes = b""
    """The answer that is kept, of a plan or a rejection."""
    result: Any = None
    """What a write of the catalog or of the network comes to."""


class Step(NamedTuple):
    """One plan of the journal."""

    planned: PlannedOrders
    place: int

    @property
    def answer(self) -> bytes:
        """What was told."""
        return self.planned.responses[self.place]

    @property
    def plan(self) -> plan_pb2.FulfillmentPlan:
        """What was planned."""
        return routing.PlanFulfillmentResponse.FromString(self.answer).plan


def steps_of(changes: Mapping[int, Sequence[Any]]) -> dict[int, Step]:
    """Return the plans of an entry by their seqs."""
    planned = [change for found in changes.values() for change in found if isinstance(change, PlannedOrders)]
    return {
        seq: Step(each, place)
        for each in planned
        for place, seq in enumerate(np.frombuffer(each.seqs, np.int64).tolist())
    }


class Beside:
    """The oracles of what is beside the ledger.

    Parameters
    ----------
    ledger
        The oracle of the ledger.
    book
        A fresh replay, with which they are compared.
    indexes
        Ids of skus, and of locations, to the ledger's indexes.
    oracle_ids
        The oracle's number of each reservation.
    """

    def __init__(
        self, ledger: OracleLedger, book: Book, skus: dict[str, int], locations: dict[str, int], ids: dict[int, int]
    ) -> None:
        self._ledger = ledger
        self._book = book
        self._skus, self._locations, self._ids = skus, locations, ids
        self.catalog = OracleCatalog()
        self.plans = OraclePlans(ledger, request_window_us=WINDOW_US, retention_us=RETENTION_US)
        self.decided: dict[str, Decided] = {}
        """By the reference of the part."""
        self._references: dict[int, str] = {}  # of the orders that holds were planned for, by the oracle's number
        self._is_catalog_changed = False
        self._suspected: set[Level] = set()
        self._known: set[Level] = set()

    # ---- the catalog and the network ---------------------------------------------------------------------------------

    def write(self, part: Any, changes: Sequence[Any], seq: int, status: Status, time_us: int) -> None:
        """Follow a write of the catalog or of the network."""
        result: Any = None
        if status == Status.OK:
            result = self._written(part, time_us)
        elif status == Status.VERSION_MISMATCH:
            self._require_mismatch(part)
        self.decided[part.reference] = Decided(seq, status, result=result)
        self._is_catalog_changed |= bool(changes)

    def _written(self, part: Any, time_us: int) -> Any:
        request = part.request
        match part.method:
            case "UpsertSkus":
                return self.catalog.skus.upsert({sku.sku_id: sku_content(sku) for sku in request.skus}, time_us)
            case "UpsertLocations":
                wanted = {one.location_id: location_content(one) for one in request.locations}
                return self.catalog.locations.upsert(wanted, time_us)
            case "UpdateSku":
                masked = {path: getattr(request.sku, path) for path in request.update_mask.paths}
                if not self.catalog.skus.update(request.sku.sku_id, masked, request.sku.version, time_us):
                    fail(f"{part.reference}: version {request.sku.version} of {request.sku.sku_id} was changed")
                return None
        if not self._is_version(request.expected_version):
            fail(f"{part.reference}: version {request.expected_version} of the network was changed")
        rows = {one.location_id: one.SerializeToString(deterministic=True) for one in request.locations}
        if part.method == "UpsertLocationRouting":
            return self.catalog.write_network(None, rows, time_us)
        network = request.network.SerializeToString(deterministic=True)
        return self.catalog.write_network(network, rows, time_us, replaces=request.replace_locations)

    def _is_version(self, expected: int) -> bool:
        return expected in {0, self.catalog.network_version}

    def _require_mismatch(self, part: Any) -> None:
        if part.method == "UpdateSku":
            sku = part.request.sku
            is_other = sku.version not in {0, self.catalog.skus[sku.sku_id].version}
        else:
            is_other = not self._is_version(part.request.expected_version)
        if not is_other:
            fail(f"{part.reference} {part.method}: refused for a version that it does have")

    def _compare_catalog(self) -> None:
        """Compare all that is known of skus, locations and the network."""
        found, expected = self._book.catalog, self.catalog
        for name, table, known in (
            ("skus", expected.skus, {one.sku_id: one for one in found.skus}),
            ("locations", expected.locations, {one.location_id: one for one in found.locations}),
        ):
            same(name, [*table], [*known])
            for each in table:
                same(f"{name}: {each}", (dict(table[each].content), *table[each][1:]), shown(known[each]))
        network = self._book.network.current
        shown_network = (network.content, network.version, network.update_time_us) if network else (b"", 0, 0)
        same("network", (expected.network, expected.network_version, expected.network_time_us), shown_network)
        same(
            "routing",
            expected.routing,
            {name: one.content for name, one in self._book.network.location_routing.items()},
        )

    # ---- plans -------------------------------------------------------------------------------------------------------

    def plan(self, part: Any, step: Step, record: Any, seq: int, time_us: int) -> None:
        """Follow a plan: its hold can be had, and leaves on the days that it says."""
        plan, request = step.plan, part.request
        held = self._ids.get(int(request.reservation_id, 16), 0) if request.reservation_id else 0
        reference = request.reference or self._references.get(held, "")
        order = reference or (f"reservation {request.reservation_id}" if held else "")
        booked = self._booked(plan)
        if record.operation == Operation.REPLACE:
            self.plans.make_way(held)
        self._check_capacity(part, booked, time_us)
        self._check_not_rejected(part, order, booked, time_us)
        number = 0
        if record.operation in (Operation.RESERVE, Operation.REPLACE):
            same(f"{part.reference}: a hold that was named", bool(held), record.operation == Operation.REPLACE)
            number = self._hold(part, booked, record, held, request.ttl.ToMicroseconds(), time_us)
            self._references[number] = reference
            same(f"{part.reference}: hold", reservation_name(record.reservation_id), plan.reservation_id)
            order = order or f"reservation {reservation_name(record.reservation_id)}"
        else:
            self._ledger.seq += 1
            same(f"{part.reference}: units of a plan without a hold", [], booked)
        same(f"{part.reference}: reference", reference, step.planned.references[step.place])
        kept = Plan(number, order, step.answer, bool(part.request_id), time_us)
        self.plans.keep(seq, kept, booked)
        self.decided[part.reference] = Decided(seq, Status.OK, step.answer)

    def reject(self, part: Any, step: Step, record: Any, seq: int, time_us: int) -> None:
        """Follow a rejection: units leave the location, and what was planned anew is held."""
        number = self._ids[record.reservation_id]
        *_, last = (plan for plan in self.plans.plans.values() if plan.reservation_id == number)
        rejected = self._rejected_units(part, number)
        levels = list(rejected)
        booked = self._booked(step.plan)
        until_us = time_us + self._rejection_days() * DAY_US
        told = {((one.sku, one.location), one.until_us) for one in step.planned.rejections}
        same(f"{part.reference}: rejections", {(level, until_us) for level in levels}, told)
        self._check_capacity(part, booked, time_us)
        self.plans.reject(last.order, levels, until_us, time_us)
        self._check_not_rejected(part, last.order, booked, time_us)
        totals = self._held(number)
        changed = {level: totals[level] - units for level, units in rejected.items()}
        for level, _, units in booked:
            changed[level] = changed.get(level, totals.get(level, 0)) + units
        self._run(part, Operation.AMEND, changed, record, number, 0, time_us)
        self.plans.keep(seq, Plan(0, last.order, step.answer, bool(part.request_id), time_us), ())
        self.plans.follow(number, booked)
        self.decided[part.reference] = Decided(seq, Status.OK, step.answer)

    def refuse(self, part: Any, change: RefusedCall, record: Any, seq: int, time_us: int) -> None:
        """Follow a refusal that is remembered."""
        self._ledger.seq += 1
        if isinstance(part.request, routing.PlanFulfillmentRequest) and part.request.reservation_id:
            self._check_hold(part, Status(record.status))
        same(f"{part.reference}: seq of a refusal", seq, change.seq)
        self.plans.refuse(seq, change.content, time_us)
        self.decided[part.reference] = Decided(seq, Status(record.status), change.content)

    def _check_hold(self, part: Any, refused: Status) -> None:
        """A plan is refused for its hold only where there is none that is ACTIVE."""
        number = int(part.request.reservation_id, 16)
        view = self._ledger.reservation(self._ids.get(number, 0))
        if refused in OF_HOLDS and view is not None and view.state == ReservationState.ACTIVE:
            fail(f"{part.reference}: {refused.name} of a hold that is ACTIVE")

    def _hold(self, part: Any, booked: Sequence[Booked], record: Any, held: int, *times: int) -> int:
        lines: dict[Level, int] = {}
        for level, _, units in booked:
            lines[level] = lines.get(level, 0) + units
        return self._run(part, Operation(record.operation), lines, record, held, *times)

    def _run(
        self, part: Any, operation: Operation, lines: Mapping[Level, int], record: Any, number: int, *times: int
    ) -> int:
        """Let the oracle of the ledger run what a plan comes to; returns its number of the reservation."""
        commands, rows = np.zeros(1, COMMAND), new_lines(len(lines))
        ttl_us, time_us = times
        commands["operation"], commands["line_count"] = operation, len(lines)
        commands["reservation_id"], commands["ttl_us"] = number, ttl_us
        for row, ((sku, location), units) in zip(rows, lines.items(), strict=True):
            row["sku"], row["location"], row["quantity"] = sku, location, units
        outcome = self._ledger.execute(Batch(commands, rows), time_us).outcomes[0]
        expected = int(outcome["status"]), int(outcome["state"]), int(outcome["version"])
        found = record.status, record.state, record.version
        same(f"{part.reference} {part.method}", expected, found)
        if operation == Operation.RESERVE:
            self._ids[record.reservation_id] = int(outcome["reservation_id"])
        return int(outcome["reservation_id"])

    def _held(self, number: int) -> dict[Level, int]:
        view = self._ledger.reservation(number)
        return {(line.sku, line.location): line.open + line.fulfilled for line in view.lines} if view else {}

    def _rejected_units(self, part: Any, number: int) -> dict[Level, int]:
        """Return what is open at the location that rejects, or what it names of that."""
        view, location = self._ledger.reservation(number), self._locations[part.request.location_id]
        lines = view.lines if view else ()
        there = {line.sku: line.open for line in lines if line.location == location and line.open}
        named = {self._skus[line.sku_id]: line.quantity for line in part.request.lines}
        if any(there.get(sku, 0) < units for sku, units in named.items()) or not there:
            fail(f"{part.reference}: more was rejected than there was")
        return {(sku, location): units for sku, units in (named or there).items()}

    def _booked(self, plan: plan_pb2.FulfillmentPlan) -> list[Booked]:
        """Return which units leave when, by what callers are told."""
        return [
            Booked(
                (self._skus[line.sku_id], self._locations[shipment.location_id]),
                (date.fromisoformat(shipment.arrival_date) - timedelta(TRANSIT_DAYS) - EPOCH).days,
                line.quantity,
            )
            for shipment in plan.shipments
            for line in shipment.lines
        ]

    def _check_capacity(self, part: Any, booked: Sequence[Booked], time_us: int) -> None:
        """Units leave behind what waits, and no more may wait than the location says."""
        today = time_us // DAY_US
        names = {index: name for name, index in self._locations.items()}
        for location in {level[1] for level, _, _ in booked}:
            own = network_pb2.LocationRouting.FromString(self.catalog.routing[names[location]])
            waiting = self.plans.waiting(location, today, time_us)
            behind = min(waiting // own.units_per_day, BEHIND_DAYS_MAX)
            units = sum(each.units for each in booked if each.level[1] == location)
            days = {each.day for each in booked if each.level[1] == location}
            same(f"{part.reference}: day at {names[location]}, where {waiting} wait", {today + behind}, days)
            if waiting + units > own.units_per_day * (1 + BACKLOG_DAYS_MAX):
                fail(f"{part.reference}: {units} more than may wait at {names[location]}, where {waiting} do")

    def _check_not_rejected(self, part: Any, order: str, booked: Sequence[Booked], time_us: int) -> None:
        rejected = {level for level, _ in self.plans.rejected(order, time_us)}
        if found := rejected & {each.level for each in booked}:
            fail(f"{part.reference}: {order} is filled from {sorted(found)}, which rejected it")

    def _rejection_days(self) -> int:
        return network_pb2.Network.FromString(self.catalog.network).rejection_days

    # ---- what follows from changes of holds --------------------------------------------------------------------------

    def follow(self, record: Any, changes: Sequence[Any], seq: int, time_us: int) -> None:
        """Let capacity follow a hold that a record changed, and levels wait to be counted that it made doubtful."""
        self._follow_suspects(changes, seq, time_us)
        is_of_document = record.operation in (Operation.ADVANCE, Operation.ADVANCE_FULFILLMENT)
        hold = self._book.ledger.order_of_document(record.reservation_id) if is_of_document else record.reservation_id
        number = self._ids.get(hold, 0)
        told = [change for change in changes if isinstance(change, ArrivedUnits)]
        if number not in self.plans.planned:
            same(f"seq {seq}: arrivals of a hold that was not planned", [], told)
            return
        came = [Booked((one.sku, one.location), one.day, one.units) for change in told for one in change.bookings]
        units: dict[Level, int] = {}
        for booking in came:
            units[booking.level] = units.get(booking.level, 0) + booking.units
            ahead = booking.day - time_us // DAY_US
            if not 0 <= ahead <= BEHIND_DAYS_MAX:
                fail(f"seq {seq}: units that came leave in {ahead} days")
        same(f"seq {seq}: units that came", self.plans.units_that_came(number), units)
        self.plans.follow(number, came)

    def expect_suspects(self, levels: Iterable[Level], level_at: Callable[[int, int], Any]) -> None:
        """Expect levels to wait for a count: those that there are, maybe those that there are after the batch."""
        self._suspected = {(int(sku), int(location)) for sku, location in levels}
        self._known = {level for level in self._suspected if level_at(*level) is not None}

    def _follow_suspects(self, changes: Sequence[Any], seq: int, time_us: int) -> None:
        told = {level for change in changes if isinstance(change, SuspectLevels) for level in change.levels}
        if not self._known <= told <= self._suspected:
            fail(f"seq {seq}: suspects: expected {self._known} to {self._suspected}, found was {told}")
        self.plans.suspect(told, time_us)
        self._suspected, self._known = set(), set()

    def count(self, request: Any) -> None:
        """Follow a count of stock levels."""
        self.plans.count(self._counted_by(request))

    def count_without_trace(self, changes: Sequence[Any], requests: Iterable[Any], seq: int) -> None:
        """Follow what is told of counts that found what the books said, and that nobody wanted to be remembered."""
        levels = {level for change in changes if isinstance(change, CountedLevels) for level in change.levels}
        if levels and not levels <= {level for request in requests for level in self._counted_by(request)}:
            fail(f"seq {seq}: nobody counted all of {levels}")
        self.plans.count(levels)

    def _counted_by(self, request: Any) -> list[Level]:
        named = [(self._skus.get(one.sku_id, -1), self._locations.get(one.location_id, -1)) for one in request.counts]
        return [level for level in named if min(level) >= 0]

    def compare(self, time_us: int) -> None:
        """Compare with the replay, at the end of an entry."""
        if self._is_catalog_changed:
            self._compare_catalog()
            self._is_catalog_changed = False
        if not self.plans.plans:
            return
        plans = self._book.plans
        rows = {(location, day): units for location, day, units in plans.load.rows()}
        same("load", self.plans.load(time_us), rows)
        same("suspects", self.plans.suspects, dict(self._book.rejections.suspects))
        for order in self.plans.orders:
            found = [((one.sku, one.location), one.until_us) for one in self._book.rejections.of(order, time_us)]
            same(f"rejections of {order}", self.plans.rejected(order, time_us), found)
        for seq, plan in self.plans.plans.items():
            if self.plans.must_be_kept(seq, time_us):
                kept = plans.plan(seq)
                same(f"plan {seq}", plan.answer, kept.response if kept else None)

    # ---- answers -----------------------------------------------------------------------------------------------------

    def compare_answer(self, part: Any, answer: Any) -> None:
        """Compare what a caller was told with what was decided."""
        decided = self.decided[part.reference]
        where = f"{part.reference} {part.method}"
        reason = getattr(answer, "reason", "")
        same(f"{where}, reason", "" if decided.status == Status.OK else decided.status.name, reason)
        if reason:
            return
        same(f"{where}, seq", decided.seq, answer.seq)
        if part.method in CATALOG and isinstance(decided.result, Upserted):
            told = answer.created_count, answer.updated_count, answer.unchanged_count
            same(f"{where}, counts", tuple(decided.result), told)
        elif part.method in NETWORK:
            same(f"{where}, version", decided.result, answer.version)
        elif part.method == "RejectAssignment":
            stored = routing.PlanFulfillmentResponse.FromString(decided.stored).plan
            same(f"{where}, plan", stored, answer.plan)
        elif isinstance(answer, Planned) and not is_same_answer(answer, decided.stored):
            fail(f"{where}: told was {answer.content!r}, not the plan that is kept")

    def compare_read(self, answer: Any) -> None:
        """Compare what a read showed with the oracles as they are now."""
        if hasattr(answer, "sku"):
            known = self.catalog.skus[answer.sku.sku_id]
            shown_sku = sku_content(answer.sku), answer.sku.version
            same(f"GetSku {answer.sku.sku_id}", (dict(known.content), known.version), shown_sku)
        elif hasattr(answer, "network"):
            same("GetNetwork", self.catalog.network_version, answer.network.version)
        else:
            plan = plan_pb2.FulfillmentPlan()
            plan.CopyFrom(answer.plan)
            del plan.candidates[:]
            plan.unexplained = False
            kept = self.plans.plans[int(plan.plan_id, 16)]
            same(f"ExplainPlan {plan.plan_id}", routing.PlanFulfillmentResponse.FromString(kept.answer).plan, plan)


# ---- resources -------------------------------------------------------------------------------------------------------


def sku_content(sku: catalog_pb2.Sku) -> Content:
    """What a caller says of a sku."""
    return {
        "display_name": sku.display_name,
        "base_unit": sku.base_unit,
        "weight_milligrams": sku.weight_milligrams,
        "restrictions": tuple(sku.restrictions),
    }


def location_content(location: catalog_pb2.Location) -> Content:
    """What a caller says of a location; the time zone is UTC where it says none."""
    lists = {name: tuple(getattr(location, name)) for name in ("capabilities", "location_groups")}
    names = "kind", "display_name", "latitude", "longitude", "active"
    return {
        **{name: getattr(location, name) for name in names},
        **lists,
        "time_zone": location.time_zone or "UTC",
    }


def shown(resource: Sku | Location) -> tuple[Any, ...]:
    """What the product's catalog has of a resource, as the oracle has it."""
    names = [name for name in resource.__struct_fields__ if name not in {*OF_A_RESOURCE, "sku_id", "location_id"}]
    return {name: getattr(resource, name) for name in names}, *(getattr(resource, name) for name in OF_A_RESOURCE)


def same(what: str, expected: Any, found: Any) -> None:
    """Require that the oracle and the product agree."""
    if expected != found:
        fail(f"{what}: the oracle has {expected}, found was {found}")


def fail(told: str) -> NoReturn:
    """Say what is wrong."""
    raise Violated(told)
