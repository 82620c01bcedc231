"""BulkRoutingService: columns to a planning batch, what came of it to columns. What is unusual is looked at alone."""

import math
from collections.abc import Iterator, Sequence
from datetime import date
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onhand.columns import PlanRequestColumns
from onhand.routing.v1 import plan_pb2 as messages
from onhand.routing.v1 import routing_service_pb2 as service
from onhand.rules.orders import LINE_FIELDS, NONE, ORDER_FIELDS, OrderField

from engine.api import fields
from engine.api.columns import remembers
from engine.api.methods import NO_NOTES, LoneHandler, Notes, Work, service_methods
from engine.api.refusals import network_changed, no_room, too_many_lines
from engine.api.routing.networks import whole
from engine.api.routing.order_batches import (
    CELLS_PER_ORDER_MAX,
    KNOWN,
    WORK_PER_GROUP_MAX,
    Asked,
    ready_us_of,
    rejected_rows,
    too_many_cells,
    work_of,
)
from engine.api.routing.order_columns import OrderColumns
from engine.api.routing.orders import read_strategy
from engine.api.routing.plan_answers import PlanAnswers
from engine.api.routing.planning import captured_order, hopeless, stored_answer
from engine.api.routing.routers import Routers, routers_of
from engine.api.routing.told_again import is_answered, remembered
from engine.errors import RefusedError, invalid
from engine.planner.records import (
    HOLDS,
    HOPELESS,
    IS_COMPLETE,
    IS_SPLIT_FORBIDDEN,
    LINE,
    NO_ROOM,
    ORDER,
    ORDER_HAS_REQUEST_ID,
    PART,
    PLANNED,
    REJECTED,
    REPEATED,
)
from engine.planner.run import LEVELS_FOUND_MAX, OrderBatch, Planner, Routing, planner_of
from ledger.book import Book
from routing import limits
from routing.calendars import EPOCH
from routing.geometry import unit_vector
from routing.rules import Method as RoutingMethod

PROMISE_DAY_MAX: Final = (date.max - EPOCH).days
PLACES_MAX: Final = 2**24
COLLECTED: Final = (messages.FULFILLMENT_METHOD_PICKUP, messages.FULFILLMENT_METHOD_SHIP_TO_STORE)
ANSWERED_PER_GROUP_MAX: Final = 64
"""Orders that are answered one by one: stored answers, and refusals."""


class _Given(OrderColumns):
    """The columns of a call as they came."""

    def __init__(self, request: Any) -> None:
        super().__init__(request)
        self.ids = self.request_ids(self.count, "orders")

    def is_known(self, order: int, book: Book) -> bool:
        """Tell whether an order is to be held, and its request id is remembered."""
        return remembers(book, self.ids[order])

    def is_answered(self, order: int, book: Book, time_us: int) -> bool:
        """Tell whether the ledger decides nothing for the request id of an order."""
        return is_answered(self.asked(order).request_id, book, time_us)

    def asked(self, order: int) -> Asked:
        """Return what a repeat of an order is compared by."""
        high, low = (int(half) for half in self.ids[order])
        ttl_us = int(self.of_orders(ORDER_FIELDS["ttl"])[order])
        request_id = (high, low) if high or low else None
        return Asked(KNOWN, request_id, ttl_us, int(self.contents[order]), Notes(), is_explained=False)


class _Request(_Given):
    """The columns of one call, checked; every method that checks raises RefusedError."""

    def __init__(self, request: Any, book: Book, time_us: int) -> None:
        super().__init__(request)
        self._book, self.time_us = book, time_us
        self.routers: Routers = routers_of(book)
        self.routing: Routing = self.routers.routing(request.profile)
        self.strategy = int(read_strategy(request.strategy))
        self.shipments_max = whole(request.max_shipments, "max_shipments", limits.SHIPMENTS_MAX)
        self.holds = not request.validate_only
        self._check_counts()
        self.order_of_line = np.repeat(np.arange(self.count), self.line_counts)
        known = fields.wrong_count()
        self._read_lines()
        self._read_orders()
        fields.stop_if_wrong(known)
        self._check_parts()

    def _check_counts(self) -> None:
        counts = self.line_counts
        is_right = (counts >= 1) & (counts <= limits.LINES_PER_ORDER_MAX)
        known = fields.wrong_count()
        self.require(is_right, "line_counts", f"1 to {limits.LINES_PER_ORDER_MAX}", counts)
        if counts.sum() != self.line_total:
            expected = f"{counts.sum()} entries, the sum of line_counts"
            raise invalid("sku_indexes", expected, self.line_total, "entries")
        fields.stop_if_wrong(known)

    def _check_parts(self) -> None:
        """Check what only all lines of an order together say."""
        self.part_counts, most = self._part_counts(), limits.PARTS_PER_ORDER_MAX
        expected = f"at most {most} different methods, stores and promises in an order"
        self.require(self.part_counts <= most, "line_counts", expected, self.part_counts)

    def has_known_id(self, place: int, *, of_line: bool) -> bool:
        """Tell whether the request id of an entry's order is remembered; orders that hold nothing use none."""
        return self.holds and self.is_known(self.order_of_line[place] if of_line else place, self._book)

    # ---- lines

    def _read_lines(self) -> None:
        names = self.names("sku_ids")
        is_index = (self.sku_indexes >= 0) & (self.sku_indexes < len(names))
        expected = f"0 to {len(names) - 1}, an index in sku_ids"
        indexes = self._require_line(is_index, "sku_indexes", expected, self.sku_indexes, instead=NONE)
        self.sku_names = names
        known = self._book.ledger.sku_indexes(names)
        self._sku_of_name: list[int] = known.tolist()
        self.skus = np.append(known, np.int32(NONE))[indexes]
        self.quantities, most = self._numbers(LINE_FIELDS["quantity"]), LINE_FIELDS["quantity"].most
        units = np.bincount(self.order_of_line, self.quantities, self.count)
        self.require(units <= most, "quantities of order", f"at most {most} units together", units)
        self.methods = self._numbers(LINE_FIELDS["method"]).astype(np.int64)
        self._read_stores()
        days = self.of_lines(LINE_FIELDS["promise_date"])
        is_day = (days >= NONE) & (days <= PROMISE_DAY_MAX)
        expected = f"{NONE}, or days since 1970-01-01 up to {PROMISE_DAY_MAX}"
        days = self._require_line(is_day, "promise_days", expected, days, instead=NONE)
        self.promise_days = days.astype(np.int64)
        self.values = self._numbers(LINE_FIELDS["unit_value_micros"])

    def _numbers(self, field: OrderField) -> NDArray[Any]:
        """Read a column of lines, whose entries are numbers."""
        values = self.of_lines(field)
        is_right = (values >= field.least) & (values <= field.most)
        return np.asarray(
            self._require_line(
                is_right, field.column, f"{field.least} to {field.most}", values, instead=int(field.least)
            )
        )

    def _require_line(
        self, is_right: NDArray[np.bool_], field: str, expected: str, values: Any, *, instead: int = 0
    ) -> Any:
        return self.require(is_right, field, expected, values, of_line=True, instead=instead)

    def _read_stores(self) -> None:
        """Check where customers collect; `stores` are places of the network."""
        names, network = self.names("location_ids"), self.routers.network
        indexes, is_collected = self.of_lines(LINE_FIELDS["store_id"]), np.isin(self.methods, COLLECTED)
        is_index = (indexes >= 0) & (indexes < len(names))
        expected = f"0 to {len(names) - 1}, an index in location_ids, for PICKUP and SHIP_TO_STORE, else {NONE}"
        is_right = np.where(is_collected, is_index, indexes == NONE)
        if "methods" in self.unread:
            is_right = is_index | (indexes == NONE)
        indexes = self._require_line(is_right, "store_indexes", expected, indexes, instead=NONE)
        places = [network.location_index.get(name, NONE) for name in names]
        offers = [place != NONE and RoutingMethod.PICKUP in network.locations[place].methods for place in places]
        is_offered = np.array([*offers, True])[indexes]
        self._require_line(is_offered, "store_indexes", "a location of the network that offers PICKUP", indexes)
        self.stores = np.array([*places, NONE], np.int64)[indexes]

    def _part_counts(self) -> NDArray[np.int64]:
        """Return how many parts each order has."""
        kinds = (self.methods * (PLACES_MAX + 2) + self.stores + 1) * (PROMISE_DAY_MAX + 2) + self.promise_days + 1
        _, kind = np.unique(kinds, return_inverse=True)
        parts = np.unique(self.order_of_line * (self.line_total + 1) + kind) // (self.line_total + 1)
        return np.bincount(parts, minlength=self.count)

    # ---- orders

    def _read_orders(self) -> None:
        self.ttl_us = np.zeros(self.count, np.int64)
        if self.holds:
            field = ORDER_FIELDS["ttl"]
            self.ttl_us = self.of_orders(field)
            is_right = (self.ttl_us >= field.least) & (self.ttl_us <= field.most)
            self.require(is_right, field.column, f"{field.least} to {field.most} microseconds", self.ttl_us)
        is_brought = np.bincount(self.order_of_line, self.stores == NONE, self.count) > 0
        self.degrees = np.zeros((self.count, 2))
        for place, field in enumerate((ORDER_FIELDS["destination.latitude"], ORDER_FIELDS["destination.longitude"])):
            if is_brought.any() and not self.has(field.column):
                expected = "an entry for each order, since some lines are brought to the customer"
                fields.wrong(field.column, expected, 0, "entries")
                continue
            values = self.of_orders(field)
            is_right = ~is_brought | ((values >= field.least) & (values <= field.most))
            values = self.require(is_right, field.column, f"{field.least} to {field.most} degrees", values)
            self.degrees[:, place] = np.where(is_brought, values, 0.0)
        self.is_complete = (self.of_orders(ORDER_FIELDS["ship_complete"]) != 0) | self.routing.is_complete
        self._read_channels()
        self._read_notes()

    def _read_channels(self) -> None:
        names, rows = self.names("channels"), self.routing.router.columns.channel_rows
        indexes = self.of_orders(ORDER_FIELDS["channel"])
        is_index = (indexes >= NONE) & (indexes < len(names))
        expected = f"{NONE} to {len(names) - 1}, an index in channels"
        indexes = self.require(is_index, "channel_indexes", expected, indexes, instead=NONE)
        for place, name in enumerate(names):
            if name not in rows:
                fields.wrong(f"channels[{place}]", "a channel of the network", name)
        self.channels = np.array([*(rows.get(name, NONE) for name in names), NONE], np.int64)[indexes]

    def _read_notes(self) -> None:
        texts = [*self.texts("texts"), ""]
        both = []
        for field in (ORDER_FIELDS["reference"], ORDER_FIELDS["actor"]):
            indexes = self.of_orders(field)
            is_index = (indexes >= NONE) & (indexes < len(texts) - 1)
            expected = f"{NONE} to {len(texts) - 2}, an index in texts"
            indexes = self.require(is_index, field.column, expected, indexes, instead=NONE)
            both.append([texts[index] for index in indexes.tolist()])
        self.references, self.actors = both

    # ---- the batch

    def batch(self, chosen: NDArray[np.int64]) -> OrderBatch:
        """Return the chosen orders as the planner takes them."""
        is_line = np.isin(self.order_of_line, chosen)
        new_order = np.zeros(self.count, np.int64)
        new_order[chosen] = np.arange(len(chosen))
        order_of_line = new_order[self.order_of_line[is_line]]
        lines = self._lines(is_line, order_of_line)
        keys = np.stack(
            [order_of_line, self.methods[is_line], self.stores[is_line], self.promise_days[is_line]], axis=1
        )
        parts, lines["part"], part_counts = self._parts(keys, chosen)
        assert (part_counts == self.part_counts[chosen]).all()
        orders, rejected = self._orders(chosen, lines, part_counts)
        return OrderBatch(
            [self.routing] * len(chosen),
            orders,
            parts,
            lines,
            rejected,
            np.frombuffer("".join(self.sku_names).encode(), np.uint8),
            KeptColumns(self, chosen.tolist()),
            [self.references[order] for order in chosen.tolist()],
        )

    def _lines(self, is_line: NDArray[np.bool_], order_of_line: NDArray[np.int64]) -> NDArray[np.void]:
        lines, skus = np.zeros(len(order_of_line), LINE), self.skus[is_line]
        own = self.sku_indexes[is_line]
        facts = [self._facts(sku, name) for sku, name in zip(self._sku_of_name, self.sku_names, strict=True)]
        weight, restrictions, unfilled = (np.array(column, np.int64)[own] for column in zip(*facts, strict=True))
        lengths = np.array([len(name.encode()) for name in self.sku_names])
        ends = np.cumsum(lengths)
        lines["sku"], lines["units"] = skus, self.quantities[is_line]
        lines["weight"], lines["restrictions"], lines["unfilled_cost"] = weight, restrictions, unfilled
        lines["name_end"], lines["name_start"] = ends[own], (ends - lengths)[own]
        first = np.flatnonzero(np.diff(order_of_line, prepend=-1))
        lines["number"] = np.arange(len(lines)) - first[order_of_line]
        lines["row"] = _ranks_by_first(order_of_line, skus)
        return lines

    def _facts(self, sku: int, name: str) -> tuple[int, int, int]:
        """Return weight, restrictions and cost of an unfilled unit of a sku; zeros for an unknown one."""
        if sku < 0:
            return 0, 0, 0
        known = self._book.catalog.skus[sku]
        return (
            min(known.weight_milligrams, limits.WEIGHT_MILLIGRAMS_MAX),
            self.routers.network.bits_of(frozenset(known.restrictions)),
            self.routers.unfilled.get(name, self.routing.unfilled_cost),
        )

    def _parts(
        self, keys: NDArray[np.int64], chosen: NDArray[np.int64]
    ) -> tuple[NDArray[np.void], NDArray[np.int64], NDArray[np.int64]]:
        """Return the parts of all orders, the part of each line, and how many parts each order has."""
        packed = np.ascontiguousarray(keys).view([("", np.int64)] * keys.shape[1]).ravel()
        _, first, inverse = np.unique(packed, return_index=True, return_inverse=True)
        order = np.argsort(first)  # parts in the order of their first lines
        place = np.empty(len(first), np.int64)
        place[order] = np.arange(len(first))
        own = keys[first[order]]
        counts = np.bincount(own[:, 0], minlength=len(chosen))
        parts = np.zeros(len(own), PART)
        parts["method"], parts["store"], parts["promise_day"] = own[:, 1] - 1, own[:, 2], own[:, 3]
        is_brought = own[:, 2] == NONE
        points = self.degrees[chosen[own[:, 0]]]
        for store in np.unique(own[~is_brought, 2]).tolist():
            is_here, location = own[:, 2] == store, self.routers.network.locations[store]
            points[is_here] = location.latitude, location.longitude
            parts["ready_us"][is_here] = ready_us_of(self.routers, store, self.time_us)
        vectors = [unit_vector(*point) for point in points.tolist()]  # as for calls one by one, to the last bit
        parts["x"], parts["y"], parts["z"] = np.array(vectors).T
        return parts, place[inverse] - (np.cumsum(counts) - counts)[keys[:, 0]], counts

    def _orders(
        self, chosen: NDArray[np.int64], lines: NDArray[np.void], part_counts: NDArray[np.int64]
    ) -> tuple[NDArray[np.void], NDArray[np.void]]:
        orders, counts = np.zeros(len(chosen), ORDER), self.line_counts[chosen]
        has_id = (self.ids[chosen] != 0).any(axis=1, keepdims=False) & np.full(len(chosen), self.holds)
        value = np.bincount(self.order_of_line, self.quantities * self.values, self.count)[chosen]
        is_forbidden: NDArray[np.bool_] = np.less(value, self.routing.never_split_below)
        orders["flags"] = (
            HOLDS * self.holds
            + ORDER_HAS_REQUEST_ID * has_id
            + IS_COMPLETE * self.is_complete[chosen]
            + IS_SPLIT_FORBIDDEN * is_forbidden
        )
        orders["strategy"] = self.strategy
        orders["shipments_max"] = np.where(is_forbidden, 1, self.shipments_max or self.routing.shipments_max)
        orders["part_count"], orders["part_start"] = part_counts, np.cumsum(part_counts) - part_counts
        orders["line_count"], orders["line_start"] = counts, np.cumsum(counts) - counts
        orders["channel"], orders["ttl_us"] = self.channels[chosen], self.ttl_us[chosen]
        orders["request_id_high"], orders["request_id_low"] = (self.ids[chosen] * has_id[:, None]).T
        orders["content"] = self.contents[chosen] * has_id
        rejected = list(self._rejected(chosen, lines, orders)) if any(self.references) else []
        return orders, np.array(rejected, REJECTED) if rejected else np.zeros(0, REJECTED)

    def _rejected(
        self, chosen: NDArray[np.int64], lines: NDArray[np.void], orders: NDArray[np.void]
    ) -> Iterator[tuple[int, int]]:
        """Yield the pairs of line and place that do not go together any more, order by order."""
        start = 0
        for position, order in enumerate(chosen.tolist()):
            reference = self.references[order]
            found = self._book.rejections.of(reference, self.time_us) if reference else ()
            orders["rejected_start"][position] = start
            if found:
                first, count = orders["line_start"][position], orders["line_count"][position]
                rows = rejected_rows(self.routers, found, lines["sku"][first : first + count].tolist())
                orders["rejected_count"][position] = len(rows)
                start += len(rows)
                yield from rows

    def skus_of(self, orders: Sequence[int]) -> NDArray[np.int64]:
        """Return the skus of some orders, each once."""
        return np.unique(self.skus[np.isin(self.order_of_line, orders)]).astype(np.int64)

    def is_current(self, book: Book) -> bool:
        """Tell whether the network is the one that these columns were checked against."""
        return self.routers.version == book.network.version

    def first_unknown_skus(self) -> dict[int, tuple[int, str]]:
        """Return the orders with a sku that does not exist -> the first such line, and its name."""
        places = np.flatnonzero(self.skus < 0)
        orders, first = np.unique(self.order_of_line[places], return_index=True)
        lines = places[first]
        names = [self.sku_names[index] for index in self.sku_indexes[lines].tolist()]
        numbers = (lines - self.first_line[orders]).tolist()
        return dict(zip(orders.tolist(), zip(numbers, names, strict=True), strict=True))


def _ranks_by_first(groups: NDArray[np.int64], values: NDArray[Any]) -> NDArray[np.int64]:
    """Return for each value its rank among the different ones of its group, by where they come first."""
    keys = groups << 32 | values.astype(np.int64)
    found, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    own = groups[first[order]]
    rank = np.empty(len(found), np.int64)
    rank[order] = np.arange(len(found)) - np.searchsorted(own, own)
    return rank[inverse]


class KeptColumns:
    """Requests that are kept as columns."""

    are_columns: Final = True

    def __init__(self, columns: OrderColumns, orders: Sequence[int]) -> None:
        self._columns = columns
        self._orders = orders

    def kept(self, positions: Sequence[int]) -> list[bytes]:
        """Return some orders of the batch as one text."""
        return [self._columns.some([self._orders[position] for position in positions])]


def _known(request: Any, book: Book) -> _Given | None:
    """Return the columns of a call whose orders are all known; None if one is not, or they cannot be read."""
    try:
        given = _Given(request)
    except RefusedError:
        return None
    return given if all(given.is_known(order, book) for order in range(given.count)) else None


# ---- the call --------------------------------------------------------------------------------------------------------


def plan_orders(request: Any, book: Book, time_us: int) -> Work[Any]:
    """PlanAnswers PlanOrders, from one twin to the other; what one group may not plan, the next ones do."""
    try:
        columns = fields.in_full(_Request, request, book, time_us)
    except RefusedError:
        # The network may have changed since: a repeat of all orders gets the stored answers all the same.
        given = _known(request, book)
        if given is None:
            raise
        return (yield from _repeat(given, book))
    answer = PlanAnswers(columns.count, book.ledger.shard)
    unknown = columns.first_unknown_skus()
    known = (
        [] if columns.holds else [order for order in range(columns.count) if columns.is_answered(order, book, time_us)]
    )
    for number, order in enumerate(known):  # a plan only is told what the call that holds would be told
        if number and number % ANSWERED_PER_GROUP_MAX == 0:
            yield None
        _answer_again(columns, order, answer, columns.routers, book)
    left_out = unknown.keys() | set(known)
    chosen = [order for order in range(columns.count) if order not in left_out]
    yield from _plan_in_parts(columns, chosen, answer, book)
    for place, (order, (number, name)) in enumerate(unknown.items()):
        if place and place % ANSWERED_PER_GROUP_MAX == 0:
            yield None
        if order in known:
            continue
        if columns.is_known(order, book):
            _answer_again(columns, order, answer, columns.routers, book)
        else:
            missing = fields.missing("SKU_NOT_FOUND", f"order.lines[{number}].sku_id", "sku", name)
            _refuse(columns, order, missing, answer, book)
    return answer.written(columns.routing, columns.routers, book)


def _plan_in_parts(columns: _Request, orders: Sequence[int], answer: PlanAnswers, book: Book) -> Work[None]:
    """Plan the orders whose skus are known, as many in a group as it may."""
    planner, lines, parts = planner_of(book), columns.line_counts, columns.part_counts
    places = len(columns.routers.network.locations)
    too_large = np.flatnonzero(lines * parts * places > CELLS_PER_ORDER_MAX).tolist()
    for order in sorted(set(orders).intersection(too_large)):
        answer.refuse(order, too_many_cells(int(lines[order]), int(parts[order]), places))
    left = [order for order in orders if order not in answer.refused]
    for number, part in enumerate(_parts_of(left, work_of(lines, parts, places))):
        if number:
            yield None
        yield from _find_levels(columns, part, planner, book)
        columns.time_us = book.ledger.group_time_us
        if columns.is_current(book):
            yield from _plan(columns, np.array(part, np.int64), answer, planner, book)
            continue
        for order in part:
            answer.refuse(order, network_changed())


def _find_levels(columns: _Request, orders: Sequence[int], planner: Planner, book: Book) -> Work[None]:
    """Look up the stock levels that some orders are about, where these are many: in several groups, if it must."""
    places, skus, first = len(columns.routers.network.locations), columns.skus_of(orders), 0
    while len(skus) * places > LEVELS_FOUND_MAX and columns.is_current(book):
        first = planner.find_levels(columns.routing.names, skus, first, book.ledger.group_time_us)
        if first == len(skus):
            return
        yield None


def _repeat(given: _Given, book: Book) -> Work[Any]:
    """Answer a repeat of orders that could not be planned now."""
    answer, routers = PlanAnswers(given.count, book.ledger.shard), routers_of(book)
    for order in range(given.count):
        if order and order % ANSWERED_PER_GROUP_MAX == 0:
            yield None
        _answer_again(given, order, answer, routers, book)
    return answer.written(routers.routing(""), routers, book)


def _parts_of(orders: Sequence[int], work: NDArray[np.int64]) -> Iterator[list[int]]:
    """Yield the orders that one group plans after the other: as few groups as may be, with about as much in each."""
    part: list[int] = []
    own = work[np.array(orders, np.int64)]
    whole, total = int(own.sum()), 0
    enough = whole / max(1, math.ceil(whole / WORK_PER_GROUP_MAX))
    for order, more in zip(orders, own.tolist(), strict=True):
        if part and (total >= enough or total + more > WORK_PER_GROUP_MAX):
            yield part
            part, total = [], 0
        part.append(order)
        total += more
    if part:
        yield part


def _plan(
    columns: _Request, chosen: NDArray[np.int64], answer: PlanAnswers, planner: Planner, book: Book
) -> Work[None]:
    """Plan the orders whose skus are known."""
    batch, first, unusual = columns.batch(chosen), 0, list[tuple[int, Any]]()
    for planned in planner.run(batch, columns.time_us):
        orders = chosen[first : first + len(planned.results)]
        answer.add_planned(orders, planned, batch, first)
        first += len(planned.results)
        codes, kept, seqs = (planned.results[name].tolist() for name in ("code", "is_kept", "seq"))
        for place, order in enumerate(orders.tolist()):
            if codes[place] != PLANNED:
                unusual.append((order, planned.results[place]))
            elif kept[place] and (columns.references[order] or columns.actors[order]):
                book.note(seqs[place], columns.references[order], columns.actors[order])
    for number, (order, row) in enumerate(unusual):
        if number and number % ANSWERED_PER_GROUP_MAX == 0:
            yield None
        yield from _answer_unusual(columns, order, row, answer, book)


def _answer_unusual(columns: _Request, order: int, row: Any, answer: PlanAnswers, book: Book) -> Work[None]:
    """PlanAnswers an order that was not planned now; why nobody may serve it, is found beside the writer."""
    if row["code"] == REPEATED:
        _answer_again(columns, order, answer, columns.routers, book)
        return
    refusal = no_room() if row["code"] == NO_ROOM else too_many_lines(int(row["hold_lines"]))
    if row["code"] == HOPELESS:
        if not columns.is_current(book):
            answer.refuse(order, network_changed())
            return
        refusal = yield partial(hopeless, captured_order(columns.message(order), book, book.ledger.group_time_us))
    _refuse(columns, order, refusal, answer, book)


def _refuse(columns: _Request, order: int, refusal: RefusedError, answer: PlanAnswers, book: Book) -> None:
    """Refuse an order for what there is now; a repeat is told the same."""
    if columns.holds:
        notes = Notes(columns.references[order], columns.actors[order])
        command, time_us = columns.asked(order).command, book.ledger.group_time_us
        refusal = remembered(refusal, command, book, time_us, notes if any(notes) else NO_NOTES)
    answer.refuse(order, refusal)


def _answer_again(columns: _Given, order: int, answer: PlanAnswers, routers: Routers, book: Book) -> None:
    """PlanAnswers a repeat with what is stored, in the names of the call's network; or say that it is none."""
    try:
        stored = stored_answer(columns.asked(order), book, book.ledger.group_time_us)
    except RefusedError as refusal:
        answer.refuse(order, refusal)
    else:
        answer.add_stored(order, service.PlanFulfillmentResponse.FromString(stored.response), routers)


METHODS: Final = service_methods(
    PlanRequestColumns.DESCRIPTOR.file.services_by_name["BulkRoutingService"],
    {"PlanOrders": LoneHandler(plan_orders, routes=True)},
)
