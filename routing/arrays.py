"""What the kernel reads and writes: tuples of arrays, whose layout is the contract with whoever calls it.

Letters: M locations, C channels, V services (a carrier's rates for one method), Z zones, Q rate steps, R stock rows,
L lines, P parts, N = P * M candidates. A part is the lines of one order that share method and destination; a candidate
is a part at a location, `part * M + location`. Costs are int64 micros, already weighed by the profile.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routing.limits import SHIPMENTS_MAX
from routing.rules import Reason

Floats = NDArray[np.float64]
Int64s = NDArray[np.int64]
Int32s = NDArray[np.int32]
Bytes = NDArray[np.uint8]

NONE: Final = -1
"""No such index, day, or lane."""
NO_LEVEL: Final = -(2**62)
"""In Stock.available: the location does not stock the sku."""
COST_TERMS: Final = 9
COST_FAR: Final = 2**62
"""Dearer than any plan."""


class Problem(NamedTuple):
    """Network and profile as columns, for one moment; frozen (the arrays are read-only)."""

    x: Floats
    """Shape (M,): the location on the unit sphere; as y and z."""
    y: Floats
    z: Floats
    is_active: Bytes
    """Shape (M,)."""
    priority: Int32s
    """Shape (M,): lower goes first."""
    is_served: Bytes
    """Shape (C, M): whether a channel may use a location."""
    allowed: Int64s
    """Shape (4, M): restrictions that may leave a location by a method, as bits."""
    service: Int32s
    """Shape (4, M): the service of a method at a location; NONE: it does not offer the method. PICKUP, SHIP_TO_STORE: 0
    where offered."""
    setup: Int64s
    """Shape (4, M): cost of one shipment before its carriage: pick set-up and node performance."""
    handling: Int64s
    """Shape (M,): cost of one unit."""
    backlog_cost: Int64s
    """Shape (M,): what one more unit costs where a whole day's units wait; 0 without a limit of units a day."""
    units_per_day: Int64s
    """Shape (M,): at least 1; without a limit more than any sum of units."""
    capacity: Int64s
    """Shape (M,): units that may wait at most."""
    calendar: Int32s
    """Shape (M,): row of `first_place`, for what a location receives."""
    pickup_day: Int32s
    """Shape (M,): day number on which a pickup would be ready, or NONE; day numbers count from 1970-01-01."""
    uncut_day: Int32s
    """Shape (M,): as dispatch_day[:, 0], had the cut-off not passed."""
    dispatch_day: Int32s
    """Shape (M, BACKLOG_DAYS_MAX + 1): day number on which an order leaves, by whole days of backlog; NONE: never."""
    parcel_start: Int32s
    """Shape (M, BACKLOG_DAYS_MAX + 1): from where days of transit are counted; see `timetable.parcel_starts`."""
    first_place: Int32s
    """Shape (calendars, days from `first_day`): place in `working_day`; see `timetable.WorkingDays`."""
    working_day: Int32s
    """Shape (places,): day numbers of the working days of all calendars."""
    first_day: int
    """Day number of the first column of `first_place`."""
    zone_count: Int32s
    """Shape (V,)."""
    zone_dot: Floats
    """Shape (V, Z): least cosine of the central angle to be within a zone, falling."""
    transit: Int32s
    """Shape (V, Z): days."""
    service_calendar: Int32s
    """Shape (V,): row of `first_place`."""
    is_stepped: Bytes
    """Shape (V,): whether some rate of the service has steps."""
    base: Int64s
    """Shape (V, Z): of the largest affine function below the rate; the rate itself where it has no steps."""
    per_kilogram: Int64s
    """Shape (V, Z): likewise."""
    step_to: Int64s
    """Shape (V, Z, Q): milligrams up to which a step goes, rising; the last is open."""
    step_base: Int64s
    """Shape (V, Z, Q)."""
    step_per_kilogram: Int64s
    """Shape (V, Z, Q)."""
    lane_start: Int32s
    """Shape (M + 1,): where the lanes to a store begin; lanes go by store, then by where they come from."""
    lane_from: Int32s
    """Shape (lanes,): the location that a lane comes from."""
    lane_base: Int64s
    """Shape (lanes,)."""
    lane_per_kilogram: Int64s
    """Shape (lanes,)."""
    lane_days: Int32s
    """Shape (lanes,)."""
    split_cost: int
    """Each shipment after the first."""
    late_day_cost: int
    """Each shipment and day after the promise."""
    max_distance_dot: float
    """Least cosine for SHIP and DELIVERY; -2: no such rule."""
    is_max_distance_soft: bool
    is_promise_rule: bool
    """Whether a location that arrives after the promise is masked."""
    is_promise_soft: bool
    is_backorder_soft: bool
    """Whether units that are not there yet are used in the second pass; never otherwise."""


class Stock(NamedTuple):
    """What can be promised, seen at one moment. Rows are the caller's: of all skus, or of one order's lines."""

    available: Int64s
    """Shape (R, M): units without backorders, or NO_LEVEL."""
    backorder: Int64s
    """Shape (R, M): units that may be promised beyond."""
    protected: Int64s
    """Shape (R, M): safety stock, which `available` leaves out; only told as a reason. Shape (0, M): none."""
    level_cost: Int64s
    """Shape (R, M): scarcity less markdown credit plus price of a unit; shape (0, M): none. Together with
    location_price at most AMOUNT_MAX of `routing.limits`, either way."""
    load: Int64s
    """Shape (M,): units that wait at a location."""
    location_price: Int64s
    """Shape (M,): price of a unit of capacity."""


class OrderArrays(NamedTuple):
    """One order for the kernel."""

    row: Int64s
    """Shape (L,): row of Stock."""
    units: Int64s
    """Shape (L,)."""
    weight: Int64s
    """Shape (L,): milligrams of one unit."""
    restrictions: Int64s
    """Shape (L,): bits."""
    unfilled_cost: Int64s
    """Shape (L,): cost of one unit that is not filled."""
    part: Int32s
    """Shape (L,)."""
    method: Int32s
    """Shape (P,)."""
    destination: Floats
    """Shape (P, 3): on the unit sphere."""
    store: Int32s
    """Shape (P,): location of PICKUP and SHIP_TO_STORE, else NONE."""
    promise_day: Int32s
    """Shape (P,): day number, or NONE."""
    channel: int
    """Row of Problem.is_served, or NONE."""
    rejected: Int64s
    """Shape (J, 2): line and location that do not go together any more."""
    shipments_max: int
    is_complete: bool
    """Whether the order is filled whole or not at all."""
    is_split_forbidden: bool
    """Whether it is worth too little to be split; then shipments_max is 1."""


class Menu(NamedTuple):
    """Every candidate priced: what the decision sees, and what an explanation shows."""

    location_reason: Bytes
    """Shape (N,): Reason."""
    fixed: Int64s
    """Shape (N,): cost of a shipment, without split cost; with stepped rates a lower bound."""
    unit_base: Int64s
    """Shape (N,): cost of a unit of anything."""
    per_kilogram: Int64s
    """Shape (N,)."""
    zone: Int32s
    """Shape (N,): NONE for pickups and lanes."""
    arrival_day: Int32s
    """Shape (N,): when it arrives, or is ready; NONE: never."""
    dot: Floats
    """Shape (N,): cosine of the central angle to the destination."""
    spare: Int64s
    """Shape (M,): units of capacity left."""
    reason: Bytes
    """Shape (L, N): Reason."""
    room: Int64s
    """Shape (L, N): units that a candidate could fill of a line."""
    unit_cost: Int64s
    """Shape (L, N)."""
    stock_left: Int64s
    """Shape (L, N): units of the line's stock row at the candidate's location, whatever the line wants."""
    left: Int64s
    """Shape (L,): units still to fill."""
    unfilled_cost: Int64s
    """Shape (L,): as the search counts it."""


class Choice(NamedTuple):
    """What was decided."""

    candidates: Int64s
    """Shape (SHIPMENTS_MAX,): those used, in the order of choosing."""
    units: Int64s
    """Shape (L, SHIPMENTS_MAX): units of a line from each."""
    facts: Int64s
    """Shape (FACTS,): see the constants below."""


SHIPMENT_COUNT: Final = 0
COST: Final = 1
IS_PROVED: Final = 2
EVALUATIONS: Final = 3
USED_SECOND_PASS: Final = 4
IS_EMPTIED: Final = 5
HAS_SOFT_MASKS: Final = 6
IS_HOPELESS: Final = 7
FACTS: Final = 8


class Bill(NamedTuple):
    """What the choice costs by term, and why lines are not filled whole; see `kernel/itemize.py`."""

    terms: Int64s
    """Shape (SHIPMENTS_MAX, COST_TERMS): of each shipment, in the order of `routing.costs.CostTerms`."""
    total: Int64s
    """Shape (COST_TERMS,)."""
    missing: Int64s
    """Shape (L,): units that nobody fills; the following hold only where there are some."""
    reason: Int64s
    """Shape (L,): Reason that is told."""
    reason_count: Int64s
    """Shape (L, REASONS): locations kept by each reason."""
    location_reason: Bytes
    """Shape (L, M): Reason of each location, as it is told."""


class Work(NamedTuple):
    """Scratch of the search: candidates kept, by rising fixed cost, and partial sums."""

    kept: Int64s
    """Shape (N + SHIPMENTS_MAX,)."""
    room: Int64s
    """Shape (N + SHIPMENTS_MAX, L): units of a line that a kept candidate could fill."""
    unit_cost: Int64s
    """Shape (N + SHIPMENTS_MAX, L)."""
    whole: Int64s
    """Shape (N + SHIPMENTS_MAX, L): cost of the line if it all came from there, or COST_FAR."""
    is_partial: Bytes
    """Shape (L,): whether some candidate has only a part of the line."""
    lowest: Int64s
    """Shape (N + SHIPMENTS_MAX + 1, L): least of `whole` from here on."""
    current: Int64s
    """Shape (SHIPMENTS_MAX + 1, L): least of `whole` over the members chosen."""
    cost: Int64s
    """Shape (SHIPMENTS_MAX, N + SHIPMENTS_MAX): cost of the members and one more."""
    gain: Int64s
    """Shape (SHIPMENTS_MAX, N + SHIPMENTS_MAX + 1): the most that one more saves, from here on."""
    fixed: Int64s
    """Shape (SHIPMENTS_MAX + 1,): fixed and split costs of the members chosen."""
    cursor: Int64s
    """Shape (SHIPMENTS_MAX,)."""
    members: Int64s
    """Shape (SHIPMENTS_MAX,): positions in `kept`."""
    best: Int64s
    """Shape (SHIPMENTS_MAX,): candidates of the best subset."""
    ordered: Int64s
    """Shape (2, SHIPMENTS_MAX)."""
    units: Int64s
    """Shape (L, SHIPMENTS_MAX): an assignment that is tried."""
    best_units: Int64s
    """Shape (L, SHIPMENTS_MAX)."""
    edge_to: Int64s
    """Shape (E,): edges of the flow, each beside its reverse; see `kernel/flow.py`."""
    edge_room: Int64s
    edge_cost: Int64s
    node_cost: Int64s
    """Shape (nodes,)."""
    node_via: Int64s
    pair_row: Int64s
    """Shape (pairs,)."""
    pair_location: Int64s
    pair_room: Int64s
    pair_node: Int64s
    moved: Int64s
    """Shape (SHIPMENTS_MAX,)."""


class Scratch(NamedTuple):
    """All that a decision writes to; reused from one order to the next."""

    menu: Menu
    choice: Choice
    work: Work
    bill: Bill


def no_choice(lines: int) -> Choice:
    """Return room for what is chosen for orders of up to so many lines."""
    return Choice(
        candidates=np.zeros(SHIPMENTS_MAX, np.int64),
        units=np.zeros((lines, SHIPMENTS_MAX), np.int64),
        facts=np.zeros(FACTS, np.int64),
    )


def no_bill(lines: int, locations: int) -> Bill:
    """Return room for what a choice costs."""
    return Bill(
        terms=np.zeros((SHIPMENTS_MAX, COST_TERMS), np.int64),
        total=np.zeros(COST_TERMS, np.int64),
        missing=np.zeros(lines, np.int64),
        reason=np.zeros(lines, np.int64),
        reason_count=np.zeros((lines, len(Reason)), np.int64),
        location_reason=np.zeros((lines, locations), np.uint8),
    )


def scratch(lines: int, parts: int, locations: int) -> Scratch:
    """Return scratch for orders of up to so many lines and parts over exactly these locations."""
    count, kept, shipments = parts * locations, parts * locations + SHIPMENTS_MAX, SHIPMENTS_MAX
    pairs = lines * shipments
    nodes = 2 + lines + 2 * pairs
    edges = 2 * (2 * lines + 3 * pairs)

    def int64s(*shape: int) -> Int64s:
        return np.zeros(shape, np.int64)

    menu = Menu(
        location_reason=np.zeros(count, np.uint8),
        fixed=int64s(count),
        unit_base=int64s(count),
        per_kilogram=int64s(count),
        zone=np.zeros(count, np.int32),
        arrival_day=np.zeros(count, np.int32),
        dot=np.zeros(count, np.float64),
        spare=int64s(locations),
        reason=np.zeros((lines, count), np.uint8),
        room=int64s(lines, count),
        unit_cost=int64s(lines, count),
        stock_left=int64s(lines, count),
        left=int64s(lines),
        unfilled_cost=int64s(lines),
    )
    work = Work(
        kept=int64s(kept),
        room=int64s(kept, lines),
        unit_cost=int64s(kept, lines),
        whole=int64s(kept, lines),
        is_partial=np.zeros(lines, np.uint8),
        lowest=int64s(kept + 1, lines),
        current=int64s(shipments + 1, lines),
        cost=int64s(shipments, kept),
        gain=int64s(shipments, kept + 1),
        fixed=int64s(shipments + 1),
        cursor=int64s(shipments),
        members=int64s(shipments),
        best=int64s(shipments),
        ordered=int64s(2, shipments),
        units=int64s(lines, shipments),
        best_units=int64s(lines, shipments),
        edge_to=int64s(edges),
        edge_room=int64s(edges),
        edge_cost=int64s(edges),
        node_cost=int64s(nodes),
        node_via=int64s(nodes),
        pair_row=int64s(pairs),
        pair_location=int64s(pairs),
        pair_room=int64s(pairs),
        pair_node=int64s(pairs),
        moved=int64s(shipments),
    )
    return Scratch(menu, no_choice(lines), work, no_bill(lines, locations))
