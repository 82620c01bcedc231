"""Running the planning kernel over a book: room for what comes, the load of the locations, and what is kept of it."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numba import typeof
from numpy.typing import NDArray

from engine.planner.fields import ANSWER_BYTES, SHIPMENT_BYTES, SHIPPED_LINE_BYTES, SHORTAGE_BYTES
from engine.planner.kernel.levels import find_levels
from engine.planner.kernel.step import DECIDE, EXECUTE_BATCH, ITEMIZE, plan_orders
from engine.planner.records import (
    ANSWER_TEXT,
    BOOKINGS,
    GROUP_BYTES_MAX,
    NO_ROOM,
    ORDER_HAS_REQUEST_ID,
    RESULT,
    RESULT_CURSORS,
    SEEN,
    SEEN_BYTES_MAX,
    SHIPMENT,
    SHIPMENTS,
    SHORTAGE,
    SHORTAGES,
    Names,
    Orders,
    Results,
)
from ledger.book import Book
from ledger.broken import whole_or_broken
from ledger.core.buffers import Hands
from ledger.core.kernels.execute import execute_batch
from ledger.core.limits import MICROSECONDS
from ledger.core.records import COMMAND, OUTCOME, new_lines
from ledger.linked import addresses_of
from ledger.parts.load import DAY_US
from ledger.parts.planned import BOOKING, PlannedOrders
from routing.arrays import NONE, Int32s, Int64s, OrderArrays, Problem, Scratch, Stock
from routing.errors import RoutingInputError
from routing.kernel.decide import decide
from routing.kernel.itemize import itemize
from routing.limits import (
    BACKLOG_DAYS_MAX,
    LINES_PER_ORDER_MAX,
    PARTS_PER_ORDER_MAX,
    REJECTIONS_PER_ORDER_MAX,
    SHIPMENTS_MAX,
)
from routing.strategies import Router

ORDERS_PER_RUN_MAX: Final = 256
"""Bounds the room for results."""


class Tray(NamedTuple):
    """One order at a time: its arrays as routing takes them, its stock, and its command for the ledger."""

    row: Int64s
    units: Int64s
    weight: Int64s
    restrictions: Int64s
    unfilled_cost: Int64s
    part: Int32s
    method: Int32s
    destination: NDArray[np.float64]
    store: Int32s
    promise_day: Int32s
    rejected: Int64s
    sku: Int64s
    """Of each row of the stock."""
    stock: Stock
    command: NDArray[np.void]
    """Shape (1,), dtype COMMAND of the ledger."""
    hold: NDArray[np.void]
    """Dtype LINE of the ledger."""
    outcome: NDArray[np.void]
    """Shape (1,), dtype OUTCOME."""


def tray_for(places: int) -> Tray:
    """Return an empty tray for a network of so many places."""
    lines, parts = LINES_PER_ORDER_MAX, PARTS_PER_ORDER_MAX

    def int64s(*shape: int) -> Int64s:
        return np.zeros(shape, np.int64)

    return Tray(
        row=int64s(lines),
        units=int64s(lines),
        weight=int64s(lines),
        restrictions=int64s(lines),
        unfilled_cost=int64s(lines),
        part=np.zeros(lines, np.int32),
        method=np.zeros(parts, np.int32),
        destination=np.zeros((parts, 3)),
        store=np.zeros(parts, np.int32),
        promise_day=np.zeros(parts, np.int32),
        rejected=int64s(REJECTIONS_PER_ORDER_MAX * lines, 2),
        sku=int64s(lines),
        stock=Stock(
            available=int64s(lines, places),
            backorder=int64s(lines, places),
            protected=int64s(lines, places),
            level_cost=int64s(0, places),
            load=int64s(places),
            location_price=int64s(places),
        ),
        command=np.zeros(1, COMMAND),
        hold=new_lines(SHIPMENTS_MAX * lines),
        outcome=np.zeros(1, OUTCOME),
    )


def results_for(
    orders: NDArray[np.void], lines: Int64s, shipped: Int64s, answers: NDArray[np.uint8], seen: NDArray[np.uint8]
) -> Results:
    """Return empty results of orders, with room for all that they can cause.

    Parameters
    ----------
    orders
        Dtype ORDER.
    lines, shipped
        Of each: its lines, and at most how often one of them ships in part.
    answers, seen
        Large enough.
    """
    return Results(
        results=np.zeros(len(orders), RESULT),
        bookings=np.zeros(int(shipped.sum()), BOOKING),
        shipments=np.zeros(int(orders["shipments_max"].sum()), SHIPMENT),
        shortages=np.zeros(int(lines.sum()), SHORTAGE),
        answers=answers,
        seen=seen,
        cursor=np.zeros(RESULT_CURSORS, np.int64),
    )


def kernels_for(problem: Problem, hands: Hands, tray: Tray, scratch: Scratch) -> Int64s:
    """Return the addresses of the kernels that planning calls, for arrays like these."""
    order = OrderArrays(
        tray.row,
        tray.units,
        tray.weight,
        tray.restrictions,
        tray.unfilled_cost,
        tray.part,
        tray.method,
        tray.destination,
        tray.store,
        tray.promise_day,
        channel=NONE,
        rejected=tray.rejected,
        shipments_max=0,
        is_complete=False,
        is_split_forbidden=False,
    )
    commands = hands.columns, hands.output, hands.scratch, tray.command, tray.hold, tray.outcome
    kernels = {
        EXECUTE_BATCH: (execute_batch, (*commands, hands.time_us, hands.request_window_us)),
        DECIDE: (decide, (problem, tray.stock, order, 0, scratch)),
        ITEMIZE: (itemize, (problem, tray.stock, order, scratch, False)),
    }
    return addresses_of(*(kernels[place] for place in range(len(kernels))))


class Routing(NamedTuple):
    """A router, what answers say of its network, and rules at hand."""

    router: Router
    names: Names
    unfilled_cost: int
    """Of a unit of a sku that says nothing else."""
    never_split_below: int
    shipments_max: int
    is_complete: bool


LEVELS_FOUND_MAX: Final = 50_000
"""Stock levels that one group looks up: each is some 0.2 us of waiting for memory."""
PLANNER: Final = "planner"
NO_STATUSES: Final = np.zeros(0, np.uint8)


class Requests(Protocol):
    """What was asked, to be kept with what is planned."""

    @property
    def are_columns(self) -> bool:
        """Whether those that are kept are one text with all of them, instead of one each."""

    def kept(self, positions: Sequence[int]) -> list[bytes]:
        """Return those of some orders of the batch."""


class OrderBatch(NamedTuple):
    """Orders of some calls, in turn."""

    routings: Sequence[Routing]
    """Of each order."""
    orders: NDArray[np.void]
    """Dtype ORDER; its starts are positions in the following."""
    parts: NDArray[np.void]
    lines: NDArray[np.void]
    rejected: NDArray[np.void]
    text: NDArray[np.uint8]
    requests: Requests
    references: Sequence[str]
    only: Sequence[int] | None = None
    """Places of the network that may fill them, and no others; None: all."""


class Planned(NamedTuple):
    """What came of some orders that were planned together."""

    results: NDArray[np.void]
    """Dtype RESULT."""
    bookings: NDArray[np.void]
    """Dtype BOOKING, of those that the results name."""
    shipments: NDArray[np.void]
    shortages: NDArray[np.void]
    answers: list[bytes]
    """A PlanFulfillmentResponse for each order; empty where nothing was decided."""
    seen: list[bytes]
    """What was decided on, for explanations; empty where it was not kept."""


class PlannedOrder(NamedTuple):
    """What came of one order."""

    code: int
    is_kept: bool
    seq: int
    hold_lines: int
    hold_status: int
    answer: bytes
    seen: bytes

    @classmethod
    def of(cls, planned: Sequence[Planned]) -> list["PlannedOrder"]:
        """Return what came of each order of a run."""
        names = "code", "is_kept", "seq", "hold_lines", "hold_status"
        found: list[PlannedOrder] = []
        for one in planned:
            columns = [one.results[name].tolist() for name in names]
            found += map(cls._make, zip(*columns, one.answers, one.seen, strict=True))
        return found


NOT_LOADED: Final[tuple[Names | None, Problem | None, int]] = None, None, -1


def planner_of(book: Book) -> "Planner":
    """Return the planner of a book: its arrays are kept from one call to the next, making them takes milliseconds."""
    derived = book.network.derived
    if PLANNER not in derived:
        derived[PLANNER] = Planner(book)
    planner: Planner = derived[PLANNER]
    return planner


class Planner:
    """Plans orders over a book; keeps the arrays that the kernel works in between runs."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._trays: dict[int, Tray] = {}
        self._answers, self._seen = (np.empty(0, np.uint8) for _ in range(2))
        self._loaded = NOT_LOADED
        self._kernels: dict[Any, Int64s] = {}  # by type of the problem
        self._problem: tuple[Problem | None, Any] = None, None

    def find_levels(self, names: Names, skus: NDArray[np.int64], first: int, time_us: int) -> int:
        """Look up where the stock levels of skus are, as many as one group may; returns the first position left.

        For orders that need many: those that are looked up already cost nothing.
        """
        found = first

        def run(hands: Hands) -> NDArray[np.uint8]:
            nonlocal found
            found = find_levels(hands.columns, names, skus, first, LEVELS_FOUND_MAX)
            return NO_STATUSES

        self._book.run(run, 0, 0, time_us)
        return found

    def run(self, batch: OrderBatch, time_us: int) -> list[Planned]:
        """Plan orders one after the other; whatever they hold, and what is kept of them, is part of the open group.

        Returns
        -------
        list of Planned
            Together one result for each order, in order.
        """
        settle_capacity(self._book, batch.routings[0].router, batch.routings[0].names.location, time_us)
        keys = zip(
            map(id, batch.routings), batch.orders["part_count"].tolist(), _those_alone(batch.orders), strict=True
        )
        planned: list[Planned] = []
        first = 0
        for _, run in groupby(keys):
            last = first + sum(1 for _ in run)
            starts = range(first, last, ORDERS_PER_RUN_MAX)
            planned += (self._run(batch, start, min(start + ORDERS_PER_RUN_MAX, last), time_us) for start in starts)
            first = last
        return planned

    @whole_or_broken
    def _run(self, batch: OrderBatch, first: int, last: int, time_us: int) -> Planned:
        """Plan orders over one network with one profile, of as many parts each; one that has a hold, alone."""
        orders = batch.orders[first:last]
        if self._book.kept_bytes > GROUP_BYTES_MAX:
            return _without_room(len(orders))
        router, names = batch.routings[first].router, batch.routings[first].names
        lines = orders["line_count"].astype(np.int64)
        shipped = lines * orders["shipments_max"]
        problem = router.problem_at(datetime.fromtimestamp(time_us / MICROSECONDS, UTC))
        if batch.only is not None:
            orders = orders.copy()
            problem, orders["channel"] = kept_to(batch.only, problem, int(orders["channel"][0]))
        places = len(names.location)
        tray = self._trays.get(places)
        if tray is None:
            tray = self._trays[places] = tray_for(places)
        self._bring_load(tray, names, problem)
        own = own_load_of(names.location, problem, int(orders["reservation_id"][0]), self._book)
        tray.stock.load[own.places] -= own.units
        scratch = router.scratch_for(int(lines.max()), int(orders["part_count"][0]))
        results = self._results(orders, lines, shipped)
        given = Orders(orders, batch.parts, batch.lines, batch.rejected, batch.text)

        def run(hands: Hands) -> NDArray[np.uint8]:
            kernels = self._kernels_for(problem, hands, tray, scratch)
            plan_orders(kernels, problem, names, given, hands, tray, scratch, results)
            _check(results)
            statuses: NDArray[np.uint8] = results.results["status"]
            assert not statuses.any()
            return statuses

        self._book.run(run, len(orders), int(shipped.sum()), time_us)
        planned = self._planned(results)
        self._keep(batch, planned, first)
        if not planned.results["reservation_id"][0]:  # nothing took its place
            tray.stock.load[own.places] += own.units
        self._loaded = names, problem, self._book.plans.load.version
        return planned

    def _kernels_for(self, problem: Problem, hands: Hands, tray: Tray, scratch: Scratch) -> Int64s:
        """Return the addresses of the kernels; what they are compiled for is looked at where the problem is another."""
        if self._problem[0] is not problem:
            self._problem = problem, typeof(problem)  # type: ignore[no-untyped-call]  # numba has no types
        kind = self._problem[1]
        if kind not in self._kernels:
            self._kernels[kind] = kernels_for(problem, hands, tray, scratch)
        return self._kernels[kind]

    def _bring_load(self, tray: Tray, names: Names, problem: Problem) -> None:
        """Let the tray have the load of the places; it has, if nothing but the last run has changed it."""
        load = self._book.plans.load
        loaded_names, loaded_problem, version = self._loaded
        if names is not loaded_names or loaded_problem is None or version != load.version:
            tray.stock.load[:] = load_of(names.location, problem, self._book)
        elif problem is not loaded_problem:
            # A cut-off or a midnight has passed: for most locations it is still the same day that is open.
            first_days = problem.dispatch_day[:, 0]
            moved = np.flatnonzero(first_days != loaded_problem.dispatch_day[:, 0])
            tray.stock.load[moved] = load.waiting(names.location[moved], first_days[moved])

    def _results(self, orders: NDArray[np.void], lines: Int64s, shipped: Int64s) -> Results:
        """Return room for all that the orders can cause."""
        count, line_count, shipment_count = len(orders), int(lines.sum()), int(orders["shipments_max"].sum())
        answers = count * ANSWER_BYTES + shipment_count * SHIPMENT_BYTES
        answers += int(shipped.sum()) * SHIPPED_LINE_BYTES + line_count * SHORTAGE_BYTES
        seen = count * SEEN_BYTES_MAX
        if len(self._answers) < answers:
            self._answers = np.empty(answers, np.uint8)
        if len(self._seen) < seen:
            self._seen = np.empty(seen, np.uint8)
        return results_for(orders, lines, shipped, self._answers, self._seen)

    @staticmethod
    def _planned(results: Results) -> Planned:
        rows, cursor = results.results, results.cursor

        def pieces(buffer: NDArray[np.uint8], name: str) -> list[bytes]:
            starts, ends = rows[f"{name}_start"].tolist(), rows[f"{name}_end"].tolist()
            whole = buffer[: max(ends, default=0)].tobytes()  # a piece of bytes takes half as long as one of an array
            return [whole[start:end] for start, end in zip(starts, ends, strict=True)]

        return Planned(
            rows,
            results.bookings[: cursor[BOOKINGS]],
            results.shipments[: cursor[SHIPMENTS]],
            results.shortages[: cursor[SHORTAGES]],
            pieces(results.answers, "answer"),
            pieces(results.seen, "seen"),
        )

    def _keep(self, batch: OrderBatch, planned: Planned, first: int) -> None:
        """Keep what has a seq of its own."""
        places = np.flatnonzero(planned.results["is_kept"])
        if not len(places):
            return
        kept = planned.results[places]
        seqs, book = kept["seq"], self._book
        new_place = np.full(len(planned.results), -1, np.int32)
        new_place[places] = np.arange(len(places))
        bookings = planned.bookings[new_place[planned.bookings["plan"]] >= 0]
        bookings["plan"] = new_place[bookings["plan"]]
        has_request_id = batch.orders["flags"][first + places] & ORDER_HAS_REQUEST_ID != 0
        chosen = places.tolist()
        change = PlannedOrders(
            seqs=seqs.tobytes(),
            reservation_ids=kept["reservation_id"].tobytes(),
            remembered_seq=int(seqs[has_request_id].max(initial=0)),
            references=[batch.references[first + place] for place in chosen],
            bookings=bookings.tobytes(),
            requests=batch.requests.kept([first + place for place in chosen]),
            are_columns=batch.requests.are_columns,
            responses=[planned.answers[place] for place in chosen],
            seen=[planned.seen[place] for place in chosen],
            view=book.view(int(seqs[0])),
            explained_max=book.plans.explained_max,
        )
        book.keep(int(seqs[0]), change)


def _those_alone(orders: NDArray[np.void]) -> Iterable[int]:
    """Tell orders apart that have a hold, whose capacity is free for them alone; all others have the same number."""
    has_hold = orders["reservation_id"] != 0
    alone: list[int] = np.where(has_hold, np.arange(1, len(orders) + 1), 0).tolist()
    return alone


def _check(results: Results) -> None:
    """Assert that the kernel wrote no more than there is room for: it checks no bounds."""
    rows_of = {
        BOOKINGS: results.bookings,
        SHIPMENTS: results.shipments,
        SHORTAGES: results.shortages,
        ANSWER_TEXT: results.answers,
        SEEN: results.seen,
    }
    assert len(rows_of) == RESULT_CURSORS
    for place, rows in rows_of.items():
        assert 0 <= results.cursor[place] <= len(rows), f"cursor {place}: {results.cursor[place]}"


def _without_room(count: int) -> Planned:
    """Return that nothing was decided: the group's journal entry is large enough."""
    results = np.zeros(count, RESULT)
    results["code"] = NO_ROOM
    empty = np.zeros(0, BOOKING), np.zeros(0, SHIPMENT), np.zeros(0, SHORTAGE)
    return Planned(results, *empty, [b""] * count, [b""] * count)


def kept_to(places: Sequence[int], problem: Problem, channel: int) -> tuple[Problem, int]:
    """Return a problem and a channel of it that no other places serve: they are told CHANNEL_NOT_SERVED."""
    served = np.zeros((1, len(problem.x)), np.uint8)
    served[0, list(places)] = 1 if channel == NONE else problem.is_served[channel, list(places)]
    is_served = np.concatenate([problem.is_served, served])
    is_served.setflags(write=False)
    return problem._replace(is_served=is_served), len(is_served) - 1


def settle_capacity(book: Book, router: Router | None, locations: Int64s, time_us: int) -> None:
    """Bring the load of locations up to all that the open group did so far.

    Units that were let go give their capacity back. Units that a change of a planned hold brought to a location take it
    on the day on which a plan of that instant would let them leave; today, in UTC, where there is no such day.

    Parameters
    ----------
    router
        Of the network, with any profile; None where there is none.
    locations
        The ledger's index of each place of it, rising.
    """
    problem: Problem | None = None

    def day_of(location: int) -> int:
        nonlocal problem
        place = int(np.searchsorted(locations, location))
        if router is None or place == len(locations) or locations[place] != location:
            return time_us // DAY_US
        try:
            problem = problem or router.problem_at(datetime.fromtimestamp(time_us / MICROSECONDS, UTC))
        except RoutingInputError:
            return time_us // DAY_US
        days = problem.dispatch_day[place]
        waiting = book.plans.load.waiting_at(location, int(days[0]))
        day = int(days[min(waiting // int(problem.units_per_day[place]), BACKLOG_DAYS_MAX)])
        return time_us // DAY_US if day == NONE else day

    book.settle_plans(day_of)


def load_of(locations: Int64s, problem: Problem, book: Book) -> Int64s:
    """Return units that wait at each place: those that leave on the first day that is open now, or later.

    Parameters
    ----------
    locations
        The ledger's index of each place.
    """
    return book.plans.load.waiting(locations, problem.dispatch_day[:, 0])


class OwnLoad(NamedTuple):
    """Units that wait at places, of one reservation."""

    places: Int64s
    """Each once."""
    units: Int64s


def own_load_of(locations: Int64s, problem: Problem, reservation_id: int, book: Book) -> OwnLoad:
    """Return what of `load_of` is a reservation's own: free for its order, where it is planned anew; 0: of none."""
    own: dict[int, int] = {}
    for booking in book.plans.booked_by(reservation_id) if reservation_id else ():
        place = int(np.searchsorted(locations, booking.location))
        is_there = place < len(locations) and locations[place] == booking.location
        if is_there and booking.day >= problem.dispatch_day[place, 0]:
            own[place] = own.get(place, 0) + booking.units
    return OwnLoad(np.array(list(own), np.int64), np.array(list(own.values()), np.int64))
