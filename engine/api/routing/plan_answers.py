"""What came of orders in columns, as the columns of one answer."""

from datetime import date
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onhand.columns import PlanResponseColumns, dtypes_of, write_column
from onhand.routing.v1 import bulk_service_pb2 as contract
from onhand.routing.v1 import plan_pb2 as messages
from onhand.routing.v1 import routing_service_pb2 as service

from engine.api.routing.order_columns import ranges
from engine.api.routing.routers import Routers
from engine.errors import RefusedError
from engine.planner.records import PLANNED
from engine.planner.run import OrderBatch, Planned, Routing
from ledger.book import Book
from ledger.core import ids
from routing.calendars import EPOCH

RESPONSE_DTYPES: Final = dtypes_of(contract.PlanOrdersResponse)
OF_ANSWER: Final = (
    "plan_ids",
    "reservation_ids",
    "expire_times_us",
    "costs_micros",
    "shipment_starts",
    "shipment_counts",
    "shortage_starts",
    "shortage_counts",
)
OF_SHIPMENTS: Final = ("location_indexes", "methods", "arrival_days", "shipment_costs_micros", "shipment_line_counts")
OF_SHIPPED_LINES: Final = ("lines", "quantities")
OF_SHORTAGES: Final = ("shortage_lines", "shortage_quantities", "shortage_reasons")


class PlanAnswers:
    """What came of each order, as columns; orders that were not planned have no rows."""

    def __init__(self, count: int, shard: int) -> None:
        self.count = count
        self._shard = shard
        self.columns = {name: np.zeros(count, np.int64) for name in OF_ANSWER}
        self.shipments: list[NDArray[np.int64]] = []
        """Tables of (place in the network, method, arrival day, cost, lines)."""
        self.lines: list[NDArray[np.int64]] = []
        """Tables of (line, units), those of one shipment together."""
        self.shortages: list[NDArray[np.int64]] = []
        """Tables of (line, units, reason)."""
        self.refused: dict[int, RefusedError] = {}
        self._rows = {"shipment": 0, "shortage": 0}
        self._left: dict[str, int] = {}
        """Locations of stored answers that have left the network, numbered after those of the network."""

    def add_planned(self, orders: NDArray[np.int64], planned: Planned, batch: OrderBatch, first: int) -> None:
        """Add a run of the planner: what came of some orders of the call, which begin at `first` in the batch."""
        rows, shipments = planned.results, planned.shipments
        order_of_shipment = np.repeat(np.arange(len(rows)), rows["shipment_end"] - rows["shipment_start"])
        part = batch.orders["part_start"][first + order_of_shipment] + shipments["part"]
        columns = self.columns
        columns["plan_ids"][orders] = np.where(rows["is_kept"], ids.named(self._shard, rows["seq"]), 0)
        columns["reservation_ids"][orders] = rows["reservation_id"]
        columns["expire_times_us"][orders] = rows["expire_time_us"]
        columns["costs_micros"][orders] = rows["cost"]
        self._count(orders, "shipment", rows, len(planned.shipments))
        self._count(orders, "shortage", rows, len(planned.shortages))
        fields_of = shipments["place"], batch.parts["method"][part] + 1, shipments["arrival_day"]
        self.shipments.append(_table(*fields_of, shipments["cost"], shipments["line_count"]))
        self.lines.append(_table(planned.bookings["line"], planned.bookings["units"]))
        shortages = planned.shortages
        self.shortages.append(_table(shortages["line"], shortages["units"], shortages["reason"] + 1))

    def _count(self, orders: NDArray[np.int64], name: str, rows: NDArray[np.void], added: int) -> None:
        self.columns[f"{name}_starts"][orders] = rows[f"{name}_start"] + self._rows[name]
        counts = rows[f"{name}_end"] - rows[f"{name}_start"]
        self.columns[f"{name}_counts"][orders] = np.where(rows["code"] == PLANNED, counts, 0)
        self._rows[name] += added

    def add_stored(self, order: int, response: service.PlanFulfillmentResponse, routers: Routers) -> None:
        """Add the stored answer of an order that was planned before."""
        plan, columns, places = response.plan, self.columns, routers.network.location_index
        columns["plan_ids"][order] = int(plan.plan_id, 16)
        columns["reservation_ids"][order] = int(plan.reservation_id or "0", 16)
        columns["expire_times_us"][order] = response.expire_time.ToMicroseconds()
        columns["costs_micros"][order] = plan.cost_micros
        for name, rows in (("shipment", plan.shipments), ("shortage", plan.shortages)):
            columns[f"{name}_starts"][order], columns[f"{name}_counts"][order] = self._rows[name], len(rows)
            self._rows[name] += len(rows)
        count = len(routers.network.locations)
        for one in plan.shipments:
            place = places.get(one.location_id)
            if place is None:
                place = count + self._left.setdefault(one.location_id, len(self._left))
            day = (date.fromisoformat(one.arrival_date) - EPOCH).days
            self.shipments.append(_table([place], [one.method], [day], [_cost_of(one)], [len(one.lines)]))
        self.lines += [_table([line.line], [line.quantity]) for one in plan.shipments for line in one.lines]
        self.shortages += [_table([one.line], [one.quantity], [one.reason]) for one in plan.shortages]

    def refuse(self, order: int, refusal: RefusedError) -> None:
        """Say that an order has no plan, and why."""
        self.refused[order] = refusal
        for column in self.columns.values():
            column[order] = 0

    def written(self, routing: Routing, routers: Routers, book: Book) -> Any:
        """Return the response."""
        columns = self.columns
        shipments = _joined(self.shipments, 5)
        line_starts = np.cumsum(shipments[:, 4]) - shipments[:, 4]
        own = ranges(columns["shipment_starts"], columns["shipment_counts"])
        shipments, line_starts = shipments[own], line_starts[own]
        lines = _joined(self.lines, 2)[ranges(line_starts, shipments[:, 4])]
        shortages = _joined(self.shortages, 3)[ranges(columns["shortage_starts"], columns["shortage_counts"])]
        statuses = np.full(self.count, contract.PLAN_STATUS_PLANNED)
        refused = sorted(self.refused)
        statuses[refused] = contract.PLAN_STATUS_REFUSED
        used, places = np.unique(shipments[:, 0], return_inverse=True)
        names = [*routers.network.location_index, *self._left]
        response = PlanResponseColumns(
            location_ids=[names[place] for place in used.tolist()],
            profile=str(routing.router.profile),
            currency=routers.currency,
            network_version=routers.network.version,
            seq=book.seq,
            refused_reasons=[self.refused[order].reason for order in refused],
            refused_messages=[self.refused[order].message for order in refused],
        )
        written = {name: columns[name] for name in RESPONSE_DTYPES.keys() & columns.keys()}
        written |= dict(zip(OF_SHIPMENTS, (places, *shipments[:, 1:].T), strict=True))
        written |= dict(zip(OF_SHIPPED_LINES, lines.T, strict=True))
        written |= dict(zip(OF_SHORTAGES, shortages.T, strict=True))
        written |= {"statuses": statuses, "refused_orders": np.array(refused, np.int64)}
        for name, values in written.items():
            if values.any():
                write_column(getattr(response, name), values, RESPONSE_DTYPES[name])
        return response


def _cost_of(shipment: messages.Shipment) -> int:
    return sum(value for _, value in shipment.cost_terms.ListFields())


def _table(*columns: Any) -> NDArray[np.int64]:
    return np.stack([np.asarray(column, np.int64) for column in columns], axis=1)


def _joined(tables: list[NDArray[np.int64]], width: int) -> NDArray[np.int64]:
    return np.concatenate([np.zeros((0, width), np.int64), *tables])
