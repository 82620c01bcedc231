"""Orders of many calls as one batch for the planner: each field is read once, and packed as the kernel wants it.

What is usual is checked here, without a detour. Anything else is left to `orders.read_order` and routing's own check,
which say what is wrong; tests/test_planner.py holds both against each other.
"""

import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeVar

import numpy as np
import xxhash
from numpy.typing import NDArray
from onhand.routing.v1 import plan_pb2 as messages
from onhand.routing.v1 import routing_service_pb2 as service
from onhand.rules.limits import AMOUNT_MAX

from engine.api import fields
from engine.api.methods import NO_NOTES, Command, Notes
from engine.api.refusals import hold_lost
from engine.api.routing.networks import METHODS, date_of, whole
from engine.api.routing.orders import (
    STRATEGIES,
    check_alone,
    order_refusal,
    read_alone,
    read_order,
    read_strategy,
)
from engine.api.routing.routers import Routers, routers_of
from engine.api.routing.told_again import is_answered, remembered
from engine.api.stock.reservations import notes_of
from engine.errors import RefusedError, invalid
from engine.planner.records import (
    HOLDS,
    IS_COMPLETE,
    IS_EXPLAINED,
    IS_REST,
    IS_SPLIT_FORBIDDEN,
    LINE,
    ORDER,
    ORDER_HAS_REQUEST_ID,
    PART,
    REJECTED,
)
from engine.planner.run import OrderBatch, PlannedOrder, Routing
from ledger.book import Book
from ledger.core.limits import MICROSECONDS
from ledger.core.statuses import Operation, Status
from ledger.parts.planned import Rejection, order_of
from ledger.parts.resources import Sku
from routing import limits
from routing import order as orders
from routing.arrays import NONE
from routing.calendars import pickup_ready
from routing.errors import RoutingInputError
from routing.geometry import Vector, unit_vector
from routing.order import promise_day
from routing.rules import Method

CODES: Final = {"u1": "B", "i4": "i", "i8": "q", "u8": "Q", "f8": "d"}
"""Of struct, by the dtype of a field."""


def _struct_of(row: "np.dtype[np.void]") -> struct.Struct:
    """Return what packs the fields of a row, in their order."""
    assert row.names is not None
    packed = struct.Struct("<" + "".join(CODES[row[name].str[1:]] for name in row.names))
    assert packed.size == row.itemsize, "no gaps"
    return packed


PACK_ORDER, PACK_PART, PACK_LINE, PACK_REJECTED = map(_struct_of, (ORDER, PART, LINE, REJECTED))
NO_ID: Final = (0, 0)
COLLECTED: Final = frozenset({Method.PICKUP, Method.SHIP_TO_STORE})
FACTS_MAX: Final = 65_536
"""Skus of which is kept what lines need, some 200 bytes each."""

CELLS_PER_ORDER_MAX: Final = limits.CELLS_PER_ORDER_MAX // 2
"""Lines times parts times locations of one order: half of what routing takes, since the writer is kept by it."""
LINES_OF_A_PART: Final = 3
"""What a location costs for a part of an order before its lines, in lines."""
WORK_PER_GROUP_MAX: Final = 300_000
"""Of the orders that one group plans, as `work_of` counts it, some 50 ns each: the rest waits for the next group, so
that planning keeps nobody waiting for long."""
WORK_BESIDE_SMALL_MAX: Final = WORK_PER_GROUP_MAX // 3
"""The same of a group with small writes, which are answered when it ends."""
WORK_OF_A_RUN: Final = 4_000
"""Of an order with a hold: it is planned in a run of its own, some 0.2 ms."""
KNOWN: Final = -1
Count = TypeVar("Count", int, NDArray[np.int64])


class LineFacts(NamedTuple):
    """What lines need of a sku."""

    sku: int
    """The ledger's index."""
    known: Sku
    """What it was read from: another, once the sku has changed."""
    weight: int
    """Milligrams."""
    restrictions: int
    """Bits, as the network has them."""
    unfilled_cost: int | None
    """Of a unit; None: what the profile says."""
    byte_count: int
    """Of its id."""


class Asked(NamedTuple):
    """One order of a batch."""

    position: int
    """In the batch; KNOWN: it is not in it, since the answer to its request id is stored, or it is refused."""
    request_id: tuple[int, int] | None
    ttl_us: int
    content: int
    """Hash of what is asked for; 0 without a request id."""
    notes: Notes
    is_explained: bool
    refusal: RefusedError | None = None
    """What is wrong with it now; a repeat is told the same."""
    reservation_id: int = 0
    """Hold that becomes the plan's; 0: none."""

    @property
    def command(self) -> Command:
        """The command that remembers the request id of an order that holds nothing."""
        return Command(Operation.REMEMBER, (), self.request_id, content=self.content)


class PlanResult(NamedTuple):
    """What came of one order of a call."""

    asked: Asked | Exception
    """What keeps it from being planned, if it is an exception."""
    outcome: PlannedOrder | None
    """None: it was not planned now."""
    routers: Routers | None = None
    """Those that it was planned by: its call may be answered in a later group, over another network."""


class Hold(NamedTuple):
    """How an order is held; all but the flags and the reservation are empty where it is planned only."""

    flags: int
    request_id: tuple[int, int] | None = None
    ttl_us: int = 0
    content: int = 0
    reservation_id: int = 0
    """Hold that becomes the plan's, and whose units are free for it; 0: none."""

    def asked(self, request: service.PlanFulfillmentRequest, position: int = KNOWN, notes: Notes = NO_NOTES) -> Asked:
        """Return an order at a position of the batch; without one, an order whose request id is known."""
        return Asked(
            position,
            self.request_id,
            self.ttl_us,
            self.content,
            notes,
            request.explain,
            reservation_id=self.reservation_id,
        )


class PartialOrder(NamedTuple):
    """How a part of an earlier order is planned anew: by the rules of the order that it is a part of."""

    numbers: Sequence[int]
    """Position in the caller's order of each line."""
    rejections: Sequence[Rejection]
    shipments_max: int
    is_split_forbidden: bool
    only: Sequence[int] | None
    """Places of the network that may fill it; None: all."""


class RequestList:
    """Requests that are kept one by one."""

    are_columns: Final = False

    def __init__(self) -> None:
        self._requests: list[bytes] = []

    def append(self, request: bytes) -> None:
        """Append one."""
        self._requests.append(request)

    def kept(self, positions: Sequence[int]) -> list[bytes]:
        """Return those of some orders of the batch."""
        return [self._requests[position] for position in positions]


class OrderBatchBuilder:
    """Collects orders; the starts in its rows are positions in the whole batch."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._facts: dict[str, LineFacts] = {}
        self._facts_routers: Routers | None = None
        self.begin()

    def begin(self) -> None:
        """Begin a batch; what was found for the one before is of its time."""
        self._routings: list[Routing] = []
        self._orders, self._parts, self._lines, self._rejected = (bytearray() for _ in range(4))
        self._texts: list[str] = []
        self._text_length = 0
        self._requests = RequestList()
        self._references: list[str] = []
        self._ready: dict[tuple[int, int], int] = {}
        self.work = 0
        """Lines times parts times locations of the orders together, and what runs of their own take."""
        self.holds: set[str] = set()
        """Reservations whose holds become plans of the batch."""
        self._only: Sequence[int] | None = None
        self._resolved = b""

    def __len__(self) -> int:
        """Orders collected so far."""
        return len(self._routings)

    def take(self) -> OrderBatch:
        """Return the batch and begin a new one."""
        batch = OrderBatch(
            self._routings,
            np.frombuffer(self._orders, ORDER),
            np.frombuffer(self._parts, PART),
            np.frombuffer(self._lines, LINE),
            np.frombuffer(self._rejected, REJECTED) if self._rejected else np.zeros(0, REJECTED),
            np.frombuffer("".join(self._texts).encode(), np.uint8),
            self._requests,
            self._references,
            self._only,
        )
        self.begin()
        return batch

    def add(
        self, request: service.PlanFulfillmentRequest, payload: bytes, time_us: int, rest: PartialOrder | None = None
    ) -> Asked:
        """Check an order and append it.

        Parameters
        ----------
        request
            What is asked.
        payload
            The same, as it came.
        time_us
            Of the group.
        rest
            For a part of an earlier order: then nothing is held.

        Raises
        ------
        RefusedError
            Something is wrong with it whatever there is; nothing was appended.
        """
        hold = _hold_of(request, rest)
        if not hold.flags & HOLDS:  # a plan only is told what the call that holds would be told
            if is_answered(hold.request_id, self._book, time_us):
                return hold.asked(request)
            hold = Hold(hold.flags, reservation_id=hold.reservation_id)
        try:
            return self._add(request, payload, time_us, rest, hold)
        except RefusedError as refusal:
            if hold.request_id and self._book.ledger.remembers(*hold.request_id):
                return hold.asked(request)  # the network may have changed: a repeat gets its stored answer all the same
            return self._refused(request, hold, refusal, time_us)

    def _refused(
        self, request: service.PlanFulfillmentRequest, hold: "Hold", refusal: RefusedError, time_us: int
    ) -> Asked:
        """Return an order that is refused for what there is now; raises what is wrong with it whatever there is."""
        check_alone(request.order)
        if request.strategy:
            read_strategy(request.strategy)
        whole(request.max_shipments, "max_shipments", limits.SHIPMENTS_MAX)
        notes = notes_of(request)
        asked = hold.asked(request, notes=notes)
        if hold.flags & HOLDS:
            refusal = remembered(refusal, asked.command, self._book, time_us, notes)
        return asked._replace(refusal=refusal)

    def _add(
        self,
        request: service.PlanFulfillmentRequest,
        payload: bytes,
        time_us: int,
        rest: PartialOrder | None,
        hold: "Hold",
    ) -> Asked:
        book = self._book
        _require_hold(hold.reservation_id, book)
        routers, order, reference = routers_of(book), request.order, request.reference
        notes = notes_of(request)
        strategy, shipments_max = request.strategy, request.max_shipments
        if strategy not in STRATEGIES and strategy:
            read_strategy(strategy)  # which says what is wrong
        if not 0 <= shipments_max <= limits.SHIPMENTS_MAX:
            whole(shipments_max, "max_shipments", limits.SHIPMENTS_MAX)
        flags, request_id, ttl_us, content, reservation_id = hold
        routing = routers.routing(request.profile)
        rejections = rest.rejections if rest else ()
        if reservation_id and not reference:
            reference = _reference_of(reservation_id, book)
        if (reference or reservation_id) and not rest:
            rejections = book.rejections.of(order_of(reference, reservation_id), time_us)
        starts = len(self._lines), len(self._parts), len(self._rejected), len(self._texts), self._text_length
        try:
            line_count, part_count, value = self._add_lines(routers, routing, order, rest, time_us)
        except (_UnusualError, KeyError, ValueError) as error:
            self._undo(*starts)
            self._refuse(request, routers)
            raise AssertionError("nothing is wrong with this order") from error
        location_count = len(routers.network.locations)
        if line_count * part_count * location_count > CELLS_PER_ORDER_MAX:
            self._undo(*starts)
            raise too_many_cells(line_count, part_count, location_count)
        shipments_max, more = _rules_of(order, rest, routing, shipments_max, value)
        flags, self._only = flags | more, rest.only if rest else None
        channel = order.channel
        high, low = request_id or NO_ID
        self._orders += PACK_ORDER.pack(
            flags,
            strategy - 1 if strategy else 0,
            shipments_max,
            part_count,
            line_count,
            starts[0] // PACK_LINE.size,
            starts[1] // PACK_PART.size,
            starts[2] // PACK_REJECTED.size,
            self._add_rejections(routers, rejections, starts[0]) if rejections else 0,
            routing.router.columns.channel_rows[channel] if channel else NONE,
            ttl_us,
            high,
            low,
            content,
            reservation_id,
        )
        self.work += work_of(line_count, part_count, location_count)
        if reservation_id:
            self.work += WORK_OF_A_RUN
            self.holds.add(request.reservation_id)
        self._routings.append(routing)
        self._requests.append(payload + self._resolved if self._resolved else payload)
        self._resolved = b""
        self._references.append(reference)
        return hold.asked(request, len(self._routings) - 1, notes)

    def _undo(self, lines: int, parts: int, rejected: int, texts: int, text_length: int) -> None:
        self._resolved = b""
        del self._lines[lines:], self._parts[parts:], self._rejected[rejected:], self._texts[texts:]
        self._text_length = text_length

    def _refuse(self, request: service.PlanFulfillmentRequest, routers: Routers) -> None:
        """Say what is wrong with an order."""
        order = read_order(request.order, self._book)
        try:
            orders.check(order, routers.network)
        except RoutingInputError as error:
            raise order_refusal(error) from error

    def _add_lines(
        self, routers: Routers, routing: Routing, order: messages.Order, rest: PartialOrder | None, time_us: int
    ) -> tuple[int, int, int]:
        """Append lines and parts; returns how many of each, and what the order is worth."""
        items = order.lines[:]  # a slice: iterating a protobuf container is slow
        if not 0 < len(items) <= limits.LINES_PER_ORDER_MAX:
            raise _UnusualError
        if (channel := order.channel) and channel not in routers.network.channels:
            raise _UnusualError
        if routers is not self._facts_routers:
            self._facts, self._facts_routers = {}, routers
        skus, facts_of, pack, unfilled = self._book.catalog.skus, self._facts.get, PACK_LINE.pack, routing.unfilled_cost
        parts: dict[tuple[int, str, str], int] = {}
        rows: dict[int, int] = {}
        last_key, part = None, 0
        units = value = 0
        start = self._text_length
        for position, item in enumerate(items):
            sku_id, quantity, amount = item.sku_id, item.quantity, item.unit_value_micros
            facts = facts_of(sku_id)
            if facts is None or skus[facts[0]] is not facts[1]:
                facts = self._read_facts(routers, sku_id)
            sku, _, weight, restrictions, unfilled_cost, byte_count = facts
            if quantity < 1 or not 0 <= amount <= AMOUNT_MAX:
                raise _UnusualError
            key = item.method or 1, item.store_id, item.promise_date
            if key != last_key:
                last_key, part = key, parts.get(key, -1)
                if part < 0:
                    part = parts[key] = len(parts)
                    self._add_part(routers, order, key, time_us)
            end = start + byte_count
            self._lines += pack(
                sku,
                rows.setdefault(sku, len(rows)),
                part,
                rest.numbers[position] if rest else position,
                quantity,
                weight,
                restrictions,
                unfilled if unfilled_cost is None else unfilled_cost,
                start,
                end,
            )
            self._texts.append(sku_id)
            start = end
            units += quantity
            value += quantity * amount
        self._text_length = start
        if units > limits.UNITS_PER_ORDER_MAX or len(parts) > limits.PARTS_PER_ORDER_MAX:
            raise _UnusualError
        return len(items), len(parts), value

    def _read_facts(self, routers: Routers, sku_id: str) -> LineFacts:
        """Return what lines need of a sku, and keep it until the sku or the network changes."""
        sku = self._book.ledger.sku_index(sku_id)
        if sku < 0:
            raise _UnusualError
        known = self._book.catalog.skus[sku]
        if len(self._facts) >= FACTS_MAX:
            self._facts.clear()
        facts = self._facts[sku_id] = LineFacts(
            sku,
            known,
            min(limits.WEIGHT_MILLIGRAMS_MAX, known.weight_milligrams),
            routers.network.bits_of(frozenset(known.restrictions)),
            routers.unfilled.get(sku_id),
            len(sku_id.encode()),
        )
        return facts

    def _add_part(self, routers: Routers, order: messages.Order, key: tuple[int, str, str], time_us: int) -> None:
        """Append what lines with one method, store and promise share."""
        method, network = METHODS[key[0]], routers.network
        promise = promise_day(date_of(key[2])) if key[2] else NONE
        store, ready_us = NONE, 0
        if method in COLLECTED:
            store = network.location_index[key[1]]
            place = network.locations[store]
            if Method.PICKUP not in place.methods:
                raise _UnusualError
            vector = unit_vector(place.latitude, place.longitude)
            ready_us = self._ready_us(routers, store, time_us)
        elif key[1]:
            raise _UnusualError
        else:
            vector = self._vector(order, routers)
        self._parts += PACK_PART.pack(method, store, promise, 0, *vector, ready_us)

    def _vector(self, order: messages.Order, routers: Routers) -> Vector:
        """Return where an order goes, on the unit sphere; what is kept of it has the coordinates of its place."""
        where = order.destination
        if place := where.place:
            degrees = routers.network.places[place]
            self._resolved = resolved(*degrees)
            return unit_vector(*degrees)
        latitude, longitude = where.latitude, where.longitude
        if not (latitude or where.HasField("latitude")) or not (longitude or where.HasField("longitude")):
            raise _UnusualError
        if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
            raise _UnusualError
        return unit_vector(latitude, longitude)

    def _ready_us(self, routers: Routers, store: int, time_us: int) -> int:
        """Return when a pickup at a store would be ready; all orders of a batch have one time."""
        found = self._ready.get((id(routers), store))
        if found is None:
            found = self._ready[id(routers), store] = ready_us_of(routers, store, time_us)
        return found

    def _add_rejections(self, routers: Routers, rejections: Sequence[Rejection], first_byte: int) -> int:
        """Append the pairs of line and place that do not go together any more; returns how many."""
        rows = rejected_rows(routers, rejections, np.frombuffer(bytes(self._lines[first_byte:]), LINE)["sku"].tolist())
        for row in rows:
            self._rejected += PACK_REJECTED.pack(*row)
        return len(rows)


def work_of(lines: Count, parts: Count, locations: int) -> Count:
    """Return what planning orders of so many lines and parts takes: numbers, or arrays of one for each order."""
    return (lines + LINES_OF_A_PART) * parts * locations


def too_many_cells(lines: int, parts: int, locations: int) -> RefusedError:
    """Return the refusal of an order that would take too long to plan over so many locations."""
    most = CELLS_PER_ORDER_MAX // (parts * locations)
    told = f"at most {most} lines with {parts} methods, stores and promises, over the network's {locations} locations"
    return invalid("order.lines", f"{told}; plan it as several orders", lines)


def _rules_of(
    order: messages.Order, rest: PartialOrder | None, routing: Routing, shipments_max: int, value: int
) -> tuple[int, int]:
    """Return the most shipments of an order, and its rules as flags."""
    shipments_max = shipments_max or routing.shipments_max
    is_forbidden = value < routing.never_split_below
    if rest is not None:
        shipments_max, is_forbidden = rest.shipments_max, rest.is_split_forbidden
    elif is_forbidden:
        shipments_max = 1
    is_complete = order.ship_complete or routing.is_complete
    return shipments_max, IS_SPLIT_FORBIDDEN * is_forbidden | IS_COMPLETE * is_complete


class _UnusualError(Exception):
    """Something is wrong with an order, or needs a closer look."""


def check_fields(request: service.PlanFulfillmentRequest) -> None:
    """Check all fields of an order that can be wrong whatever there is."""
    _hold_of(request, None)
    read_alone(request.order)
    read_strategy(request.strategy)
    whole(request.max_shipments, "max_shipments", limits.SHIPMENTS_MAX)
    notes_of(request)


def _hold_of(request: service.PlanFulfillmentRequest, rest: PartialOrder | None) -> Hold:
    """Check how an order is held; of one that is planned only, how it would be, where that is said."""
    flags = IS_EXPLAINED if request.explain or rest is not None else 0
    if rest is not None:
        return Hold(flags | IS_REST)
    request_id, named = fields.request_id(request.request_id), request.reservation_id
    reservation_id = fields.reservation_number(named) if named else 0
    if request.validate_only:
        ttl_us = fields.ttl_us(request.ttl) if request.HasField("ttl") else 0
        return Hold(flags, request_id, ttl_us, content_of_plan(request) if request_id else 0, reservation_id)
    ttl_us = fields.ttl_us(request.ttl)
    if request_id is None:
        return Hold(flags | HOLDS, None, ttl_us, reservation_id=reservation_id)
    return Hold(flags | HOLDS | ORDER_HAS_REQUEST_ID, request_id, ttl_us, content_of_plan(request), reservation_id)


def _require_hold(reservation_id: int, book: Book) -> None:
    """Refuse a reservation that there is not; also one whose id an order of this batch is going to be given."""
    if reservation_id and not book.ledger.has_reservation(reservation_id):
        is_foreign = book.ledger.is_foreign(reservation_id)
        raise hold_lost(Status.WRONG_SHARD if is_foreign else Status.RESERVATION_NOT_FOUND)


def _reference_of(reservation_id: int, book: Book) -> str:
    """Return the caller's name of the order that a reservation was planned for; empty if it was not, or has none."""
    stored = book.plans.plan_of_reservation(reservation_id)
    return stored.reference if stored else ""


def resolved(latitude: float, longitude: float) -> bytes:
    """Return bytes that, behind those of a request, give its destination the coordinates of its place.

    A message is the sum of its bytes; so a plan keeps where its order goes, whatever becomes of the place.
    """
    destination = messages.Destination(latitude=latitude, longitude=longitude)
    order = messages.Order(destination=destination)
    return service.PlanFulfillmentRequest(order=order).SerializeToString()


def ready_us_of(routers: Routers, store: int, time_us: int) -> int:
    """Return when a pickup at a store would be ready, microseconds since the epoch; 0: never."""
    place = routers.network.locations[store]
    calendar = routers.network.calendars[place.calendar]
    now = datetime.fromtimestamp(time_us / MICROSECONDS, UTC)
    ready = pickup_ready(calendar, now, place.time_zone, place.hours, place.pickup_minutes)
    return round(ready.timestamp() * MICROSECONDS) if ready else 0


def rejected_rows(routers: Routers, rejections: Sequence[Rejection], skus: Sequence[int]) -> list[tuple[int, int]]:
    """Return the pairs of line and place that do not go together any more, of lines with these skus."""
    pairs = dict.fromkeys(
        (one.sku, routers.places[one.location]) for one in rejections if one.location in routers.places
    )
    last = list(pairs)[-limits.REJECTIONS_PER_ORDER_MAX :]
    return [(line, place) for line, sku in enumerate(skus) for other, place in last if sku == other]


def content_of_plan(request: service.PlanFulfillmentRequest) -> int:
    """Hash what a request asks for, whatever bytes it came as, and whether it is explained or a plan only."""
    is_explained, is_plan_only = request.explain, request.validate_only
    request.explain = request.validate_only = False
    content = xxhash.xxh3_64_intdigest(b"PlanFulfillment:" + request.SerializeToString(deterministic=True))
    request.explain, request.validate_only = is_explained, is_plan_only
    return content
