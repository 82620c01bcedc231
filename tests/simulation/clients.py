"""Made-up clients: they call, give up, ask the other engine, repeat themselves, and remember what they were told."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from bulk_harness import answer_to, encode, fits_columns, outcomes_of
from onhand.admin.v1 import admin_service_pb2 as admin
from onhand.inventory.v1 import bulk_service_pb2 as bulk
from onhand.inventory.v1 import catalog_pb2, stock_pb2, transfer_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.inventory.v1 import transfer_service_pb2 as transfers
from onhand.order.v1 import fulfillment_pb2
from onhand.order.v1 import fulfillment_service_pb2 as fulfillment
from onhand.routing.v1 import network_service_pb2 as networks
from onhand.routing.v1 import routing_service_pb2 as routing
from sequencer.harness import METHODS, Customers, Failure, movements, response_type

from engine.errors import RefusedError

from .orders import (
    CATALOG,
    IN_ONE_CALL,
    LOCATIONS,
    NETWORK,
    PLANS,
    Planned,
    RoutingRequests,
    a_location,
    first_network,
    payload_of,
    planned_by,
    planned_by_batch,
    planned_by_columns,
    refusal_in,
    rejected_by,
)
from .settings import MICROSECONDS

if TYPE_CHECKING:
    from .engines import Attempt
    from .world import World

WITH_LINES: Final = frozenset(
    fulfillment_pb2.FulfillmentVerb.Value(f"FULFILLMENT_VERB_{name}")
    for name in ("PICK", "SHIP", "COLLECT", "REJECT", "SHORT_PICK", "CANCEL", "PUT_BACK")
)
SKUS: Final = tuple(f"S{number}" for number in range(8))
PATIENCE_SECONDS: Final = (0.5, 2.0, 6.0)
PAUSE_SECONDS: Final = (0.0, 0.2, 1.0)
ATTEMPTS_MAX: Final = 12
ENGINE_REASONS: Final = frozenset(("NOT_PRIMARY", "JOURNAL_UNAVAILABLE", "DRAINING", "OVERLOADED"))
"""Refusals of an engine, not of the ledger: the call goes elsewhere, or comes again."""
NOTHING_DONE: Final = frozenset(("NOT_PRIMARY",))
"""Refusals that promise that nothing was done: repeated even without a request id."""
ROUTED_SHARE: Final = 0.4
"""Of the calls of a world that routes."""


@dataclass
class Part:
    """One command of a call, or a read; what must be known to check its answers."""

    method: str
    request: Any
    reference: str
    request_id: str
    floor: int = -1
    """Highest seq that any client had been told when this was first asked."""
    answers: list[Any] = field(default_factory=list)
    """Responses and RefusedErrors of the ledger, in the order in which they came."""


@dataclass
class Operation:
    """One call, perhaps sent several times."""

    method: str
    payload: bytes
    parts: list[Part]
    is_read: bool
    attempt: Attempt | None = None
    attempt_count: int = 0
    is_needed: bool = False
    """Whether the world does not go on without it."""

    @property
    def is_repeatable(self) -> bool:
        """Whether sending it again does nothing twice."""
        return self.is_read or all(part.request_id for part in self.parts)


class Requests(Customers):
    """Random requests, some of them old ones again, from the world's chance."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(0)
        self.chance = world.chance
        self.holds = world.holds
        self.routing = RoutingRequests(self)
        self._world = world
        self._name = name

    def sku(self) -> str:
        return SKUS[min(int(self.chance.expovariate(0.7)), len(SKUS) - 1)] if self.chance.random() < 0.98 else "nowhere"

    def known_sku(self) -> str:
        return self.chance.choice(SKUS)

    def level(self) -> tuple[str, str, int]:
        return self.sku(), self.chance.choice(LOCATIONS), self.chance.choice((1, 1, 1, 2, 2, 3, 3, 9, 40))

    def move(self, name: str) -> tuple[str, Any]:
        kind = self.chance.choice(("SALE", "RETURN", "RECEIVE", "RECEIVE", "DAMAGE", "ADJUST"))
        levels = {level[:2]: level for level in self.levels()}
        return "RecordMovements", movements(kind, *levels.values(), request_id=name)

    def open_or_close(self, name: str) -> tuple[str, Any]:
        """Write of the catalog always have a request id: it alone tells whose the change is."""
        location = a_location("Y", is_routed=self._world.routes, active=self.chance.random() < 0.7)
        return "UpsertLocations", catalog.UpsertLocationsRequest(locations=[location], request_id=name or self.new_id())

    def policy(self, name: str) -> tuple[str, Any]:
        sku, location, units = self.level()
        request = inventory.SetStockPolicyRequest(sku_id=sku, location_id=location, request_id=name)
        request.safety_stock = min(units, 3) - 1
        return "SetStockPolicy", request

    def part(self) -> Part:
        """Make a write of any kind, with a request id or without."""
        self._number += 1
        name = self.new_id() if self.chance.random() < 0.85 else ""
        if self.chance.random() < 0.06:
            method, request = self.policy(name)
        else:
            method, request = self.any_request(name)
        return self._named(method, request)

    def any_request(self, name: str) -> tuple[str, Any]:
        asks = (
            *(self.reserve,) * 4,
            *(self.change_units,) * 5,
            self.extend,
            self.amend,
            self.replace,
            self.transfer,
            *(self.move,) * 2,
            self.count,
            self.open_or_close,
            *(self.new_transfer,) * 2,
            *(self.advance_transfer,) * 4,
            *(self.new_work,) * 3,
            *(self.work,) * 6,
        )
        return self.chance.choice(asks)(name)

    def new_transfer(self, name: str) -> tuple[str, Any]:
        """Plan a transfer, perhaps of an order's units, or of units that are held for it."""
        source = self.chance.choice(LOCATIONS[:2])  # where goods are
        target = self.chance.choice([each for each in LOCATIONS if each != source])
        is_for_order = self.chance.random() < 0.2
        return "CreateTransfer", transfers.CreateTransferRequest(
            from_location_id=source,
            to_location_id=target,
            lines=self.transferred(),
            hold=self.chance.random() < 0.3,
            reservation_id=self.hold() if is_for_order else "",
            use_safety_stock=self.chance.random() < 0.2,
            request_id=name,
        )

    def transferred(self) -> list[transfer_pb2.TransferQuantity]:
        """Units of a few skus."""
        levels = [self.level() for _ in range(self.chance.choice((1, 1, 2, 3)))]
        return [transfer_pb2.TransferQuantity(sku_id=sku, quantity=units) for sku, _, units in levels]

    def advance_transfer(self, name: str) -> tuple[str, Any]:
        """Do one verb of a transfer, of some units or of all."""
        method = self.chance.choice(
            (
                *("DispatchTransfer",) * 3,
                *("ReceiveTransfer",) * 4,
                "CloseTransfer",
                "RecordFoundUnits",
                "CancelTransfer",
            )
        )
        known = self._world.transfers
        transfer_id = self.chance.choice(known[-3:]) if known else "0000000100000000"
        some = self.transferred() if self.chance.random() < 0.25 else []
        request = getattr(transfers, f"{method}Request")(transfer_id=transfer_id, request_id=name)
        if method == "DispatchTransfer":
            request.lines.extend(some)
            request.use_safety_stock = self.chance.random() < 0.2
        elif method == "ReceiveTransfer":
            request.lines.extend(map(self.received, some))
        elif method == "RecordFoundUnits":
            found = some or self.transferred()
            request.lines.extend(
                transfer_pb2.FoundUnits(sku_id=each.sku_id, quantity=1, at_source=each.quantity > 1) for each in found
            )
        elif method == "CancelTransfer":
            request.written_off.extend(some)
        return method, request

    def new_work(self, name: str) -> tuple[str, Any]:
        """Give some of what an order has to a location to be fulfilled; or of any hold, or what it has not."""
        placed, lines = self._world.placed, self.worked()
        if not placed and self.chance.random() < 0.8:
            return "CommitReservation", reservations.CommitReservationRequest(
                reservation_id=self.hold(), request_id=name
            )
        order, location = self.hold(), self.chance.choice(LOCATIONS[:2])
        if placed and self.chance.random() < 0.8:
            order = self.chance.choice(placed[-6:])
            sku, location, units = self._world.lines.get(order, (self.sku(), location, 1))
            lines = [fulfillment_pb2.FulfillmentQuantity(sku_id=sku, quantity=self.chance.randint(1, units))]
        return "CreateFulfillmentOrder", fulfillment.CreateFulfillmentOrderRequest(
            reservation_id=order,
            location_id=location,
            method=self.chance.choice((0, 1, 2, 3, 4)),
            lines=lines,
            request_id=name,
        )

    def worked(self) -> list[fulfillment_pb2.FulfillmentQuantity]:
        """Units of a few skus."""
        levels = [self.level() for _ in range(self.chance.choice((1, 1, 1, 2)))]
        return [fulfillment_pb2.FulfillmentQuantity(sku_id=sku, quantity=min(units, 3)) for sku, _, units in levels]

    def work(self, name: str) -> tuple[str, Any]:
        """Do one verb of a fulfillment order, of some units or of all."""
        known = self._world.works
        if not known and self.chance.random() < 0.8:
            return self.new_work(name)
        verbs = fulfillment_pb2.FulfillmentVerb.values()[1:]
        often = (fulfillment_pb2.FULFILLMENT_VERB_PICK, fulfillment_pb2.FULFILLMENT_VERB_SHIP)
        verb = self.chance.choice((*verbs, *often, *often))
        is_about_some = verb == fulfillment_pb2.FULFILLMENT_VERB_SHORT_PICK or self.chance.random() < 0.3
        return "AdvanceFulfillmentOrder", fulfillment.AdvanceFulfillmentOrderRequest(
            fulfillment_order_id=self.chance.choice(known[-3:]) if known else "0000000100000000",
            verb=verb,
            lines=self.worked() if verb in WITH_LINES and is_about_some else (),
            request_id=name,
        )

    def received(self, units: transfer_pb2.TransferQuantity) -> transfer_pb2.ReceivedUnits:
        """Say what came of units."""
        condition = self.chance.choice((1, 1, 1, 2, 3, 4))
        is_kept_apart = condition == transfer_pb2.RECEIPT_CONDITION_UNAVAILABLE
        return transfer_pb2.ReceivedUnits(
            sku_id=units.sku_id,
            quantity=units.quantity,
            condition=condition,
            unavailable_reason=stock_pb2.UNAVAILABLE_REASON_DAMAGED if is_kept_apart else None,
        )

    def variant(self, part: Part) -> Part:
        """Use a request id again, with other content."""
        request = type(part.request)()
        request.CopyFrom(part.request)
        self._number += 1
        made = self._named(part.method, request)
        if part.method in (*PLANS, "RejectAssignment"):
            request.actor = made.reference
            made.method = "RejectAssignment" if part.method == "RejectAssignment" else "PlanFulfillment"
        return made

    def set_up(self, method: str, request: Any, version: int = 7) -> Part:
        """Make a given request a part, with a request id; one of version 4 is never too old."""
        self._number += 1
        request.request_id = self.new_id(version)
        return self._named(method, request)

    def reservation(self) -> Part:
        """Make a reservation."""
        self._number += 1
        return self._named(*self.reserve(self.new_id()))

    def parts(self, count: int) -> list[Part]:
        """Make writes that can travel as columns."""
        made = [self.part() for _ in range(count)]
        return [part for part in made if fits_columns(part.request)]

    def read(self) -> tuple[str, Any]:
        """Make a read."""
        match self.chance.randrange(60):
            case 0:
                return "VerifyLedger", admin.VerifyLedgerRequest()
            case 1 if self._world.routes and self._world.shipped:
                reservation_id = self.chance.choice(self._world.shipped[-12:])[0]
                return "ExplainPlan", routing.ExplainPlanRequest(reservation_id=reservation_id)
            case 2 | 3 if self._world.routes:
                return "GetSku", catalog.GetSkuRequest(sku_id=self.known_sku())
            case 4 if self._world.routes:
                return "GetNetwork", networks.GetNetworkRequest()
            case number:
                return self._read_of_the_ledger(number)

    def _read_of_the_ledger(self, number: int) -> tuple[str, Any]:
        if number % 2:
            request = inventory.GetStockLevelRequest(sku_id=self.sku(), location_id=self.chance.choice(LOCATIONS))
            return "GetStockLevel", request
        if number % 6 == 0 and self._world.transfers:
            known = self._world.transfers
            return "GetTransfer", transfers.GetTransferRequest(transfer_id=self.chance.choice(known[-8:]))
        if number % 6 == 2 and self._world.works:
            number_of = self.chance.choice(self._world.works[-8:])
            return "GetFulfillmentOrder", fulfillment.GetFulfillmentOrderRequest(fulfillment_order_id=number_of)
        return "GetReservation", reservations.GetReservationRequest(reservation_id=self.hold())

    def _named(self, method: str, request: Any) -> Part:
        reference = f"{self._name}-{self._number}"
        if "reference" in request.DESCRIPTOR.fields_by_name:
            request.reference = reference
        return Part(method, request, reference, request.request_id)

    def identified(self, method: str, request: Any) -> Part:
        """Make a request a part that names itself by its request id, or by its actor."""
        self._number += 1
        return Part(method, request, f"{self._name}-{self._number}", request.request_id)

    def new_id(self, version: int = 7) -> str:
        """A UUID with the true time, as version 7 has it."""
        random = self.chance.getrandbits(74)
        value = (
            (self._world.now_us // 1000) << 80 | version << 76 | (random >> 62) << 64 | 2 << 62 | random & (1 << 62) - 1
        )
        text = f"{value:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class Client:
    """One caller with one call at a time."""

    def __init__(self, world: World, number: int) -> None:
        self._world = world
        self.name = f"c{number}"
        self.requests = Requests(world, self.name)
        self.operations: list[Operation] = []
        self._current: Operation | None = None
        self._engine = world.chance.randrange(len(world.engines))
        self._give_up_us = 0
        self._pause_until_us = 0
        self._agenda: deque[Operation] = deque(setup_of(self.requests, is_routed=world.routes) if number == 0 else ())

    @property
    def is_idle(self) -> bool:
        """Whether all that was asked was answered, or given up for good."""
        return self._current is None and not self._agenda

    @property
    def is_set_up(self) -> bool:
        """Whether what it had to do first is done."""
        return not self._agenda and not (self._current and self._current.is_needed)

    @property
    def parts(self) -> list[Part]:
        """All that was ever asked; a part that was asked again is there once."""
        seen = {id(part): part for operation in self.operations for part in operation.parts}
        return list(seen.values())

    def ask_at_last(self) -> None:
        """Receive goods once more: with that the journal is where its writer is, also if seqs were skipped."""
        request = movements("RECEIVE", (SKUS[0], "X", 1))
        self._agenda.append(needed(self.requests.set_up("RecordMovements", request, version=4)))

    def act(self) -> None:
        """Ask something, or see whether to ask again."""
        if self._current is None:
            self._begin()
        elif self._is_over() and self._world.now_us >= self._pause_until_us:
            self._again()

    def _begin(self) -> None:
        if self._agenda:
            self._current = self._agenda.popleft()
        elif self._world.is_calm or not self._world.is_stocked:
            return
        else:
            self._current = self._new_operation()
        for part in self._current.parts:
            part.floor = self._world.told_seq if part.floor < 0 else part.floor
        self.operations.append(self._current)
        self._send()

    def _new_operation(self) -> Operation:
        roll = self._world.chance.random()
        if roll < 0.25:
            method, request = self.requests.read()
            return Operation(method, request.SerializeToString(), [Part(method, request, "", "")], is_read=True)
        if self._world.routes and self._world.chance.random() < ROUTED_SHARE:
            return self._routed()
        if roll < 0.35 and (parts := self.requests.parts(self._world.chance.randint(1, 5))):
            return columns_of(parts)
        if roll < 0.45 and (again := self._repeated(is_other=roll > 0.42)):
            return again
        if roll < 0.5:
            return batch_of(self.requests)
        return unary_of(self.requests.part())

    def _routed(self) -> Operation:
        """Ask something of routing or of the catalog, or the same once more."""
        methods = *PLANS, *CATALOG, *NETWORK, "RejectAssignment"
        if self._world.happens(0.25) and (again := self._repeated(is_other=False, methods=methods)):
            return again
        method, parts = self.requests.routing.call(self._world.shipped)
        if method in IN_ONE_CALL:
            return Operation(method, payload_of(method, parts), parts, is_read=False)
        return unary_of(parts[0])

    def _repeated(self, *, is_other: bool, methods: Collection[str] = ()) -> Operation | None:
        """Ask again what was asked before, perhaps with other content under the same request id."""
        before = [each for each in self.operations[-20:] if each.is_repeatable and not each.is_read]
        if methods:
            before = [each for each in before if each.method in methods]
        if not before:
            return None
        operation = self._world.chance.choice(before)
        if not is_other:
            return Operation(operation.method, operation.payload, operation.parts, is_read=False)
        part = operation.parts[0]
        return unary_of(self.requests.variant(part)) if "reference" in part.request.DESCRIPTOR.fields_by_name else None

    # ---- calling -----------------------------------------------------------------------------------------------------

    def _send(self) -> None:
        operation = self._current
        assert operation is not None
        operation.attempt_count += 1
        engine = self._world.engines[self._engine]
        self._give_up_us = self._world.now_us + round(self._world.chance.choice(PATIENCE_SECONDS) * MICROSECONDS)
        self._world.note(self.name, "asks", engine.name, operation.method, operation.parts[0].reference)
        operation.attempt = engine.submit(self, operation)

    def _is_over(self) -> bool:
        """Whether the last attempt will not be answered, as far as the client waits."""
        attempt = self._current.attempt if self._current else None
        return attempt is None or attempt.is_cut or self._world.now_us > self._give_up_us

    def _again(self) -> None:
        """Send the same call to the other engine, or leave it."""
        operation = self._current
        assert operation is not None
        is_harmless = operation.attempt is None or operation.is_repeatable
        has_patience = operation.is_needed or self._world.is_calm or operation.attempt_count < ATTEMPTS_MAX
        self._engine = (self._engine + 1) % len(self._world.engines)
        if is_harmless and has_patience:
            self._send()
        else:
            self._world.note(self.name, "leaves", operation.parts[0].reference)
            self._current = None

    # ---- being answered ----------------------------------------------------------------------------------------------

    def hear(self, attempt: Attempt, answer: bytes | Failure) -> None:
        """Take the answer to an attempt, unless it was given up."""
        operation = self._current
        if operation is None or operation.attempt is not attempt:
            return
        if isinstance(answer, Failure) and answer.reason in ENGINE_REASONS:
            self._turn_away(operation, answer)
            return
        self._current = None
        self._keep(operation, attempt, answer)

    def _turn_away(self, operation: Operation, answer: Failure) -> None:
        self._world.note(self.name, "turned away", operation.parts[0].reference, answer.reason)
        if operation.is_repeatable or answer.reason in NOTHING_DONE:
            operation.attempt = None
            self._pause_until_us = self._world.now_us + round(self._world.chance.choice(PAUSE_SECONDS) * MICROSECONDS)
        else:
            self._current = None

    def _keep(self, operation: Operation, attempt: Attempt, answer: bytes | Failure) -> None:
        answers = [answer] * len(operation.parts) if isinstance(answer, Failure) else decoded(operation, answer)
        self._world.note(self.name, "told", operation.parts[0].reference, *map(shown, answers))
        for part, each in zip(operation.parts, answers, strict=True):
            part.answers.append(each)
            self._world.answered_count += 1
            self._world.checker.told(part, each, attempt)
            if isinstance(each, reservations.ReserveStockResponse):
                self._world.holds.append(each.reservation_id)
                first = part.request.lines[0]
                self._world.lines[each.reservation_id] = first.sku_id, first.location_id, first.quantity
            elif isinstance(each, reservations.CommitReservationResponse):
                self._world.placed.append(part.request.reservation_id)
            elif isinstance(each, transfers.CreateTransferResponse):
                self._world.transfers.append(each.transfer_id)
            elif isinstance(each, fulfillment.CreateFulfillmentOrderResponse):
                self._world.works.append(each.fulfillment_order_id)
            elif isinstance(each, Planned):
                self._remember(each)

    def _remember(self, found: Planned) -> None:
        """Let all clients know what a plan holds."""
        if not found.reservation_id or found.reservation_id in self._world.holds:
            return
        self._world.holds.append(found.reservation_id)
        for shipment in found.plan.shipments if found.plan else ():
            self._world.shipped += [
                (found.reservation_id, shipment.location_id, line.sku_id) for line in shipment.lines
            ]


def shown(answer: Any) -> str:
    """Say in few words what an answer is."""
    if isinstance(answer, (Failure, RefusedError)):
        return answer.reason
    return f"{type(answer).__name__.removesuffix('Response')} seq {getattr(answer, 'seq', '-')}"


# ---- operations ------------------------------------------------------------------------------------------------------


def unary_of(part: Part) -> Operation:
    """One write as a call of its own."""
    return Operation(part.method, part.request.SerializeToString(), [part], is_read=False)


def columns_of(parts: Sequence[Part]) -> Operation:
    """Writes as one call of columns."""
    payload = encode([part.request for part in parts]).SerializeToString()
    return Operation("ExecuteCommands", payload, list(parts), is_read=False)


def batch_of(requests: Requests) -> Operation:
    """Reservations as one call of rows."""
    parts = [requests.reservation() for _ in range(requests.chance.randint(1, 3))]
    request = reservations.BatchReserveStockRequest(requests=[part.request for part in parts])
    return Operation("BatchReserveStock", request.SerializeToString(), parts, is_read=False)


READ_OTHERWISE: Final[dict[str, Callable[[bytes], Any]]] = {
    "PlanFulfillment": planned_by,
    "RejectAssignment": rejected_by,
    "ExplainPlan": routing.ExplainPlanResponse.FromString,
    "GetNetwork": networks.GetNetworkResponse.FromString,
    "UpsertNetwork": networks.UpsertNetworkResponse.FromString,
    "UpsertLocationRouting": networks.UpsertLocationRoutingResponse.FromString,
}


def decoded(operation: Operation, answer: bytes) -> list[Any]:
    """The answer to each part of a call."""
    if operation.method in READ_OTHERWISE:
        return [READ_OTHERWISE[operation.method](answer)]
    if operation.method == "BatchPlanFulfillment":
        return planned_by_batch(answer)
    if operation.method == "PlanOrders":
        return planned_by_columns(answer)
    if operation.method == "ExecuteCommands":
        outcomes = outcomes_of(bulk.ExecuteCommandsResponse.FromString(answer))
        requests = [part.request for part in operation.parts]
        return [answer_to(request, outcome) for request, outcome in zip(requests, outcomes, strict=True)]
    if operation.method == "BatchReserveStock":
        results = reservations.BatchReserveStockResponse.FromString(answer).results
        return [each.reserved if each.HasField("reserved") else refusal_in(each.refused) for each in results]
    return [response_type(operation.method).FromString(answer)]


def setup_of(requests: Requests, *, is_routed: bool) -> list[Operation]:
    """What the first client does first: name the places and skus, receive goods, and say how orders are routed."""
    skus = [catalog_pb2.Sku(sku_id=name, base_unit="each") for name in SKUS]
    places = [a_location(name, is_routed=is_routed) for name in LOCATIONS]
    made: list[tuple[str, Any]] = [
        ("UpsertSkus", catalog.UpsertSkusRequest(skus=skus)),
        ("UpsertLocations", catalog.UpsertLocationsRequest(locations=places)),
    ]
    levels = [(sku, location, 6 + 3 * number) for number, location in enumerate(LOCATIONS[:2]) for sku in SKUS]
    made.append(("RecordMovements", movements("RECEIVE", *levels)))
    if is_routed:
        made.append(("UpsertNetwork", first_network()))
    return [needed(requests.set_up(method, request)) for method, request in made]


def needed(part: Part) -> Operation:
    """A call without which the world does not go on."""
    operation = unary_of(part)
    operation.is_needed = True
    return operation


assert set(METHODS) >= {"ExecuteCommands", "BatchReserveStock", "GetStockLevel"}
