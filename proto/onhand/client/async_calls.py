"""The methods of a client: each is one call of the engine, or several."""

import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray
from onhand.client import checks, commands, fulfillment, lone, order_columns, routing, transfers
from onhand.client.arguments import Parameters, Seconds, SkuUnits, checks_arguments, flag, method_of
from onhand.client.arrays import ArrayCall, CommandColumns, Names, Outcomes, Prepared, no_outcomes, reserve_columns
from onhand.client.async_catalog import AsyncCatalog
from onhand.client.commands import Command, NoteOptions, WriteOptions
from onhand.client.errors import OnHandError, RefusedError
from onhand.client.fulfillment import FulfillmentChanged, FulfillmentCreated, FulfillmentOrder, FulfillmentStep
from onhand.client.order_columns import PlannedOrder
from onhand.client.results import (
    EngineStatus,
    FulfillmentState,
    FulfillmentVerb,
    KeptHistory,
    Movement,
    RequestOutcome,
    Reservation,
    ReservationState,
    SkuAvailability,
    StockLevel,
    TransferState,
    UnavailableReason,
)
from onhand.client.routing import (
    Explanation,
    FulfillmentMethod,
    FulfillmentQuote,
    Order,
    Planned,
    Rejected,
    RoutingStrategy,
)
from onhand.client.transfers import Transfer, TransferChanged, TransferCreated
from onhand.inventory.v1 import transfer_service_pb2 as transfer_service

Given = ParamSpec("Given")
Result = TypeVar("Result")
Item = TypeVar("Item")


def _sends(
    build: Callable[Given, Command[Result]],
) -> Callable[Concatenate["AsyncCalls", Given], Coroutine[Any, Any, Result]]:
    """Return the method that sends what a function of `commands` builds; its parameters are those of that function.

    One call binds and checks them: another one around it, to name what is wrong, would cost as much as all checks.
    """
    parameters = Parameters(build, is_method=False)

    async def call(self: "AsyncCalls", /, *given: Given.args, **named: Given.kwargs) -> Result:
        try:
            command = build(*given, **named)
        except RefusedError as error:
            error.problems += checks.more_problems_of(error, build, given, named)
            raise
        except OnHandError:
            raise
        except Exception:
            parameters.check(given, named)
            raise  # a bug of ours
        return await self._submit(command)

    method_of(call, build)
    return call


@checks_arguments(late=("plan_orders", "reserve_many", "execute"))
class AsyncCalls(AsyncCatalog):
    """What a client can do; how it waits is its own."""

    # ---- reservations

    reserve = _sends(commands.reserve)
    commit = _sends(commands.commit)
    release = _sends(commands.release)
    extend = _sends(commands.extend)
    amend = _sends(commands.amend)
    transfer_reservation = _sends(commands.transfer_reservation)
    fulfill = _sends(commands.fulfill)
    cancel = _sends(commands.cancel)

    async def get_reservation(self, reservation_id: str, *, deadline_seconds: Seconds | None = None) -> Reservation:
        """Read one reservation. Raises ReservationNotFound, also some time after it ended."""
        return await self._call(lone.get_reservation(reservation_id), deadline_seconds)

    def list_reservations(
        self,
        *,
        state: ReservationState = ReservationState.NONE,
        sku_id: str = "",
        location_id: str = "",
        reference: str = "",
        deadline_seconds: Seconds | None = None,
    ) -> AsyncIterator[Reservation]:
        """Read reservations page by page; of one state, sku, location or reference, or all.

        A reference is found by an index, however many other reservations there are. The deadline is that of a page.
        """
        page = partial(lone.list_reservations, state=state, sku_id=sku_id, location_id=location_id, reference=reference)
        return self._list(page, deadline_seconds)

    async def get_request_outcome(
        self, request_id: str | uuid.UUID, *, deadline_seconds: Seconds | None = None
    ) -> RequestOutcome:
        """Tell whether a write was done, and what it was answered, for as long as its id is remembered."""
        return await self._call(lone.get_request_outcome(request_id), deadline_seconds)

    # ---- transfers

    async def create_transfer(
        self,
        from_location_id: str,
        to_location_id: str,
        lines: Sequence[SkuUnits],
        *,
        hold: bool = False,
        reservation_id: str = "",
        due_time_us: int | None = None,
        use_safety_stock: bool = False,
        **options: Unpack[WriteOptions],
    ) -> TransferCreated:
        """Make a transfer of stock, lines (sku, quantity); with hold its units are committed until they leave.

        For an order, its reservation: its hold becomes that of the transfer, and the units are committed for it again
        where they arrive. Raises NotStockedHere, InsufficientStock, ReservationNotFound, ReservationNotCommitted,
        QuantityExceedsOpen.
        """
        how = {"hold": hold, "reservation_id": reservation_id, "use_safety_stock": use_safety_stock}
        call = transfers.create_transfer(
            from_location_id, to_location_id, lines, how=how, due_time_us=due_time_us, options=options
        )
        return await self._call(call, options.get("deadline_seconds"))

    async def dispatch_transfer(
        self,
        transfer_id: str,
        lines: Sequence[SkuUnits] = (),
        *,
        use_safety_stock: bool = False,
        expected_version: int = 0,
        **options: Unpack[WriteOptions],
    ) -> TransferChanged:
        """Send units (sku, quantity) of a transfer; all that is left if none are named.

        Raises InsufficientStock, QuantityExceedsOpen, DocumentNotFound, DocumentEnded, VersionMismatch.
        """
        how = {"use_safety_stock": use_safety_stock, "expected_version": checks.version(expected_version)}
        call = transfers.dispatch_transfer(transfer_id, lines, how, options)
        return await self._call(call, options.get("deadline_seconds"))

    async def receive_transfer(
        self,
        transfer_id: str,
        lines: Sequence[SkuUnits] = (),
        *,
        unavailable: Sequence[SkuUnits] = (),
        unavailable_reason: UnavailableReason = UnavailableReason.DAMAGED,
        short: Sequence[SkuUnits] = (),
        unexpected: Sequence[SkuUnits] = (),
        expected_version: int = 0,
        **options: Unpack[WriteOptions],
    ) -> TransferChanged:
        """Receive units (sku, quantity) of a transfer; all that is on the way if none are named.

        `lines` are good; others arrived but may not be sold, did not arrive, or were sent by nobody. Raises
        QuantityExceedsOpen, DocumentNotFound, DocumentNotBegun, DocumentEnded, VersionMismatch, TooManyLines.
        """
        received = {"lines": lines, "unavailable": unavailable, "short": short, "unexpected": unexpected}
        call = transfers.receive_transfer(transfer_id, received, unavailable_reason, expected_version, options)
        return await self._call(call, options.get("deadline_seconds"))

    async def close_transfer(
        self, transfer_id: str, *, expected_version: int = 0, **options: Unpack[WriteOptions]
    ) -> TransferChanged:
        """End a transfer that was dispatched: what is on the way is short. Raises as `receive_transfer`."""
        call = transfers.plain_verb(transfer_service.CloseTransferRequest, transfer_id, expected_version, options)
        return await self._call(call, options.get("deadline_seconds"))

    async def record_found_units(
        self,
        transfer_id: str,
        lines: Sequence[SkuUnits] = (),
        *,
        at_source: Sequence[SkuUnits] = (),
        expected_version: int = 0,
        **options: Unpack[WriteOptions],
    ) -> TransferChanged:
        """Book units (sku, quantity) that were short and turned up, at the destination or at the source.

        Raises QuantityExceedsOpen, DocumentNotFound, DocumentNotBegun, VersionMismatch.
        """
        call = transfers.record_found_units(transfer_id, lines, at_source, expected_version, options)
        return await self._call(call, options.get("deadline_seconds"))

    async def cancel_transfer(
        self,
        transfer_id: str,
        *,
        written_off: Sequence[SkuUnits] = (),
        expected_version: int = 0,
        **options: Unpack[WriteOptions],
    ) -> TransferChanged:
        """End a transfer: what is on the way goes back to the source, but for units (sku, quantity) written off.

        Raises QuantityExceedsOpen, DocumentNotFound, DocumentEnded, VersionMismatch.
        """
        call = transfers.cancel_transfer(transfer_id, written_off, expected_version, options)
        return await self._call(call, options.get("deadline_seconds"))

    async def get_transfer(self, transfer_id: str, *, deadline_seconds: Seconds | None = None) -> Transfer:
        """Read one transfer. Raises DocumentNotFound, also some time after it ended."""
        return await self._call(transfers.get_transfer(transfer_id), deadline_seconds)

    def list_transfers(
        self,
        *,
        location_id: str = "",
        states: Sequence[TransferState] = (),
        due_before_us: int | None = None,
        deadline_seconds: Seconds | None = None,
    ) -> AsyncIterator[Transfer]:
        """Read transfers page by page; from or to a location, in some states, due before an instant, or all."""
        page = partial(transfers.list_transfers, location_id=location_id, states=states, due_before_us=due_before_us)
        return self._list(page, deadline_seconds)

    # ---- fulfillment orders

    async def create_fulfillment_order(
        self,
        reservation_id: str,
        location_id: str,
        lines: Sequence[SkuUnits],
        *,
        method: FulfillmentMethod = FulfillmentMethod.SHIP,
        due_time_us: int | None = None,
        **options: Unpack[WriteOptions],
    ) -> FulfillmentCreated:
        """Give units (sku, quantity) that a committed reservation holds at a location to it to be fulfilled.

        Raises NotStockedHere, ReservationNotFound, ReservationNotCommitted, QuantityExceedsOpen.
        """
        call = fulfillment.create_fulfillment_order(
            reservation_id, location_id, lines, method=method, due_time_us=due_time_us, options=options
        )
        return await self._call(call, options.get("deadline_seconds"))

    async def advance_fulfillment_order(
        self,
        fulfillment_order_id: str,
        verb: FulfillmentVerb,
        lines: Sequence[SkuUnits] = (),
        *,
        expected_version: int = 0,
        **options: Unpack[WriteOptions],
    ) -> FulfillmentChanged:
        """Do a verb of a fulfillment order, with units (sku, quantity) of it, or with all if none are named.

        Raises VerbNotAllowed, QuantityExceedsOpen, InsufficientStock, DocumentNotFound, VersionMismatch.
        """
        step = FulfillmentStep(fulfillment_order_id, verb, lines, expected_version)
        call = fulfillment.advance_fulfillment_order(step, options)
        return await self._call(call, options.get("deadline_seconds"))

    async def advance_fulfillment_orders(
        self, steps: Sequence[FulfillmentStep], **options: Unpack[NoteOptions]
    ) -> tuple[FulfillmentChanged | RefusedError, ...]:
        """Do a verb of each of many: what came of each, in order; one that is refused keeps no other."""
        call = fulfillment.advance_fulfillment_orders(steps, options)
        return await self._call(call, options.get("deadline_seconds"))

    async def get_fulfillment_order(
        self, fulfillment_order_id: str, *, deadline_seconds: Seconds | None = None
    ) -> FulfillmentOrder:
        """Read one fulfillment order. Raises DocumentNotFound, also some time after it ended."""
        return await self._call(fulfillment.get_fulfillment_order(fulfillment_order_id), deadline_seconds)

    def list_fulfillment_orders(
        self,
        *,
        location_id: str = "",
        reservation_id: str = "",
        states: Sequence[FulfillmentState] = (),
        methods: Sequence[FulfillmentMethod] = (),
        due_before_us: int | None = None,
        deadline_seconds: Seconds | None = None,
    ) -> AsyncIterator[FulfillmentOrder]:
        """Read fulfillment orders page by page; of a location, of an order, in some states, of some methods, or all."""
        page = partial(
            fulfillment.list_fulfillment_orders,
            location_id=location_id,
            reservation_id=reservation_id,
            states=states,
            methods=methods,
            due_before_us=due_before_us,
        )
        return self._list(page, deadline_seconds)

    # ---- stock

    record_movements = _sends(commands.record_movements)
    receive = _sends(commands.receive)
    sell = _sends(commands.sell)
    return_ = _sends(commands.return_)
    adjust = _sends(commands.adjust)
    damage = _sends(commands.damage)
    mark_unavailable = _sends(commands.mark_unavailable)
    mark_available = _sends(commands.mark_available)
    write_off = _sends(commands.write_off)
    set_on_hand = _sends(commands.set_on_hand)

    async def set_stock_policy(
        self,
        sku_id: str,
        location_id: str,
        *,
        safety_stock: int | None = None,
        backorder_limit: int | None = None,
        **options: Unpack[WriteOptions],
    ) -> int:
        """Set safety stock and backorder limit of a stock level; None leaves one. Returns the seq."""
        call = lone.set_stock_policy(sku_id, location_id, safety_stock, backorder_limit, options)
        return await self._call(call, options.get("deadline_seconds"))

    async def availability(
        self,
        sku_ids: Sequence[str],
        *,
        location_ids: Sequence[str] = (),
        location_group: str = "",
        totals_only: bool = False,
        deadline_seconds: Seconds | None = None,
    ) -> tuple[SkuAvailability, ...]:
        """Read what can be promised of some skus: over locations, or a location group, or all. In the order asked.

        With totals_only there is no entry for each location, and more can be asked for in one call.
        """
        call = lone.availability(sku_ids, location_ids, location_group, totals_only=totals_only)
        return await self._call(call, deadline_seconds)

    async def get_stock_level(
        self, sku_id: str, location_id: str, *, deadline_seconds: Seconds | None = None
    ) -> StockLevel:
        """Read one stock level. Raises SkuNotFound, LocationNotFound, NotStockedHere."""
        return await self._call(lone.get_stock_level(sku_id, location_id), deadline_seconds)

    def list_stock_levels(
        self,
        *,
        sku_id: str = "",
        location_id: str = "",
        suspect_only: bool = False,
        deadline_seconds: Seconds | None = None,
    ) -> AsyncIterator[StockLevel]:
        """Read stock levels page by page; of one sku or location, or all. The deadline is that of a page.

        With suspect_only those that wait to be counted, because their location could not fill an order.
        """
        page = partial(lone.list_stock_levels, sku_id=sku_id, location_id=location_id, suspect_only=suspect_only)
        return self._list(page, deadline_seconds)

    def list_movements(
        self,
        *,
        start_seq: int = 0,
        sku_id: str = "",
        location_id: str = "",
        reservation_id: str = "",
        transfer_id: str = "",
        fulfillment_order_id: str = "",
        reference: str = "",
        deadline_seconds: Seconds | None = None,
    ) -> AsyncIterator[Movement]:
        """Read the history from a position on, page by page. Raises HistoryTrimmed. The deadline is that of a page.

        All of it is looked through, whatever is wanted: with a reference, give the seq of a write before it. Without a
        start_seq it begins where the engine's own begins, and passes over what is missing in it: see `kept_history`.
        """
        page = partial(
            lone.list_movements,
            start_seq=start_seq,
            sku_id=sku_id,
            location_id=location_id,
            reservation_id=reservation_id,
            transfer_id=transfer_id,
            fulfillment_order_id=fulfillment_order_id,
            reference=reference,
        )
        return self._list(page, deadline_seconds)

    async def kept_history(self, *, deadline_seconds: Seconds | None = None) -> KeptHistory:
        """Read from where on the engine that answers has the history, and what is missing in it."""
        return await self._call(lone.kept_history(), deadline_seconds)

    async def status(self, *, deadline_seconds: Seconds | None = None) -> EngineStatus:
        """Read the engine's positions, counts and settings."""
        return await self._call(lone.status(), deadline_seconds)

    # ---- routing -----------------------------------------------------------------------------------------------------

    async def plan_fulfillment(
        self,
        order: Order,
        *,
        ttl_seconds: float | None = None,
        profile: str = "",
        strategy: RoutingStrategy = RoutingStrategy.OPTIMAL,
        max_shipments: int = 0,
        explain: bool = False,
        reservation_id: str = "",
        **options: Unpack[WriteOptions],
    ) -> Planned:
        """Plan which locations fill an order and, with a time to live, hold what is planned in the same step.

        What cannot be filled is part of the plan. With the ACTIVE reservation of a cart, what that holds is free for
        the order, and it becomes the plan's, under its id. Raises ValidationFailed, SkuNotFound, NetworkNotFound;
        ReservationNotFound, ReservationExpired and ReservationNotActive.
        """
        how = {
            "profile": profile,
            "strategy": strategy,
            "max_shipments": max_shipments,
            "explain": explain,
            "reservation_id": reservation_id,
        }
        call = routing.plan_fulfillment(order, ttl_seconds, how, options)
        return await self._call(call, options.get("deadline_seconds"))

    async def plan_orders(
        self,
        orders: Sequence[Order],
        *,
        ttl_seconds: float | None = None,
        profile: str = "",
        strategy: RoutingStrategy = RoutingStrategy.OPTIMAL,
        max_shipments: int = 0,
        request_ids: Sequence[str | uuid.UUID] = (),
        **options: Unpack[NoteOptions],
    ) -> tuple[PlannedOrder | RefusedError, ...]:
        """Plan 1 to 1,024 orders in one call, each seeing the holds of those before it; as columns on the wire.

        What came of each, in order: a plan, or why there is none, which is not raised. Destinations are points. Raises
        ValidationFailed, NetworkNotFound.
        """
        how = {"profile": profile, "strategy": strategy, "max_shipments": max_shipments}
        call = order_columns.plan_orders(orders, ttl_seconds, how, request_ids, options)
        return await self._call(call, options.get("deadline_seconds"))

    async def quote_fulfillment(
        self,
        order: Order,
        *,
        profile: str = "",
        methods: Sequence[FulfillmentMethod] = (),
        store_distance_km_max: float = 0.0,
        store_count_max: int = 0,
        reservation_id: str = "",
        deadline_seconds: Seconds | None = None,
    ) -> tuple[FulfillmentQuote, ...]:
        """Tell by which methods, and at which stores nearby, a cart could be had, when and at what cost.

        What the cart's ACTIVE reservation holds is free for it. Raises as `plan_fulfillment`.
        """
        how = {"profile": profile, "reservation_id": reservation_id}
        call = routing.quote_fulfillment(order, how, methods, store_distance_km_max, store_count_max)
        return await self._call(call, deadline_seconds)

    async def explain_plan(
        self, *, plan_id: str = "", reservation_id: str = "", deadline_seconds: Seconds | None = None
    ) -> Explanation:
        """Tell why a plan, or the last plan of a reservation, is what it is. Raises PlanNotFound."""
        return await self._call(routing.explain_plan(plan_id, reservation_id), deadline_seconds)

    async def reject_assignment(
        self,
        reservation_id: str,
        location_id: str,
        lines: Sequence[SkuUnits] = (),
        **options: Unpack[WriteOptions],
    ) -> Rejected:
        """Take units (sku, quantity) away from a location that could not fill them; all that it has if none are named.

        Others take over in the same reservation where they can. Raises PlanNotFound, QuantityExceedsOpen.
        """
        call = routing.reject_assignment(reservation_id, location_id, lines, options)
        return await self._call(call, options.get("deadline_seconds"))

    # ---- arrays

    async def reserve_many(
        self,
        skus: Names,
        locations: Names,
        quantities: ArrayLike,
        *,
        ttl_seconds: float,
        request_ids: NDArray[np.uint8] | None = None,
        allow_partial: bool = False,
        return_available_left: bool = False,
        deadline_seconds: Seconds | None = None,
    ) -> Outcomes:
        """Make many one-line reservations from arrays; see `execute`.

        Parameters
        ----------
        skus, locations
            Shape (reservations,): text, or Coded. One location may stand for all.
        quantities
            Shape (reservations,), or one for all: units, 1 to 2,147,483,647.
        ttl_seconds
            How long the holds count, at most 14,400.
        request_ids
            Shape (reservations, 16): UUIDs in network byte order; None: fresh UUIDv7s.
        """
        columns = reserve_columns(skus, locations, quantities, ttl_seconds, request_ids, allow_partial=allow_partial)
        return await self.execute(
            columns, return_available_left=return_available_left, deadline_seconds=deadline_seconds
        )

    async def execute(
        self,
        columns: CommandColumns,
        *,
        return_available_left: bool = False,
        deadline_seconds: Seconds | None = None,
    ) -> Outcomes:
        """Run any number of commands from arrays, in calls of at most 8,192, a few at a time.

        Nothing is raised for commands that are refused, or for calls that fail: see Outcomes.

        Parameters
        ----------
        columns
            The commands.
        return_available_left
            Whether the outcomes shall have available_left.
        deadline_seconds
            What each call may take, retries included.

        Raises
        ------
        ValidationFailed
            A column cannot be sent; nothing was.
        """
        self._check_open()
        prepared = Prepared(columns)
        call = ArrayCall(
            prepared,
            no_outcomes(prepared),
            self._engines,
            self._seconds(deadline_seconds),
            self._retries_max,
            flag(return_available_left, "return_available_left"),
        )
        await self._run_parts(call, prepared.calls())
        return call.outcomes
