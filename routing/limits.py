"""Every limit of the routing optimizer in one place, asserted against each other."""

from typing import Final

LINES_PER_ORDER_MAX: Final = 100
PARTS_PER_ORDER_MAX: Final = 8
UNITS_PER_ORDER_MAX: Final = 1_000_000
SHIPMENTS_MAX: Final = 5
REJECTIONS_PER_ORDER_MAX: Final = 1_000

MICROS: Final = 1_000_000
"""Amounts of money are whole millionths of the currency's unit, so that sums are exact and equal costs are equal."""
AMOUNT_MAX: Final = 10**12
"""Micros; the largest amount of a file or a profile, as it is and as a profile weighs it."""
PER_KILOGRAM_MAX: Final = 10**8
"""Micros; the largest rate by weight, as it is and as a profile weighs it."""
WEIGHT_MILLIGRAMS_MAX: Final = 10**10
WEIGHT_FACTOR_MAX: Final = 1_000.0
LATE_DAYS_MAX: Final = 3_660
"""Days after the promise that count; ten years are late enough."""
UNIT_COST_MAX: Final = 4 * AMOUNT_MAX
"""Micros; no unit costs more: carriage, handling, backlog, and what a caller prices stock and capacity at."""
FIXED_COST_MAX: Final = (4 + LATE_DAYS_MAX) * AMOUNT_MAX
"""Micros; no shipment costs more before its units: picking, performance, base, split, and days after the promise."""
COMPLETE_COST: Final = 2**60
"""Micros; what an order that ships complete may save by being filled, in equal parts for its units."""

RESTRICTIONS_MAX: Final = 62
"""Different ones that the locations of a network may send."""
ZONES_MAX: Final = 32
STEPS_MAX: Final = 32
TRANSIT_DAYS_MAX: Final = 30
HANDLING_DAYS_MAX: Final = 30
BACKLOG_DAYS_MAX: Final = 7
CLOSED_DAYS_IN_A_ROW_MAX: Final = 366
"""Days off after which a calendar has no next working day."""
PLANNED_YEARS_AHEAD: Final = 6
"""Years after this one that are planned for: enough for all working days of an order at one a month."""
PICKUP_MINUTES_MAX: Final = 7 * 24 * 60
PICKUP_OPENINGS_MAX: Final = 31
"""Openings that a pickup may take, at their usual length."""

EVALUATIONS_PER_CANDIDATE: Final = 256
"""How many subsets the search looks at, for each candidate: time grows with lines x candidates, whatever the order."""
EVALUATIONS_PER_SETTLED_LINE: Final = 4
"""What settling the true cost of a subset counts for each line; a flow takes about that much longer."""
SEARCH_STEPS_MAX: Final = 2_000_000
"""How long one search may take, whatever the order: a step is one line of one subset, a few nanoseconds."""
STEPS_PER_FLOW_PAIR: Final = 24
"""Steps that a flow takes for each pair of lines."""
DOMINATORS_MAX: Final = 128
"""How many candidates each other one is compared with, to see whether it can be left out."""
SORTED_BY_INSERTION_MAX: Final = 64
"""Candidates up to which the plainest way of sorting is the fastest."""
CELLS_PER_ORDER_MAX: Final = 500_000
"""Lines times parts times locations of one order: a decision prices each of them, several times over."""

# Everything that follows is of weighed amounts: a profile that weighs an amount beyond its limit is refused.
# The dearest plan still fits 63 bits, with room for a sum of two.
assert UNITS_PER_ORDER_MAX * UNIT_COST_MAX + SHIPMENTS_MAX * FIXED_COST_MAX < 2**62
# Filling saves at most what is not filled costs; the search multiplies that by the shipments that may still come.
assert max(COMPLETE_COST, UNITS_PER_ORDER_MAX * AMOUNT_MAX) + SHIPMENTS_MAX * FIXED_COST_MAX < 2**61
assert (SHIPMENTS_MAX - 1) * max(COMPLETE_COST, UNITS_PER_ORDER_MAX * AMOUNT_MAX) <= 2**62
# Carriage of one unit is computed as a product, and is at most an amount.
assert PER_KILOGRAM_MAX * WEIGHT_MILLIGRAMS_MAX < 2**62
assert PER_KILOGRAM_MAX * WEIGHT_MILLIGRAMS_MAX // MICROS <= AMOUNT_MAX
# Backlog is computed as a product with the units that wait, which are fewer than the days that may wait have.
assert UNITS_PER_ORDER_MAX * (1 + BACKLOG_DAYS_MAX) * AMOUNT_MAX < 2**63
# A parcel leaves after handling and backlog from the next working day, and travels from the carrier's next one.
assert (1 + HANDLING_DAYS_MAX + BACKLOG_DAYS_MAX) + (1 + TRANSIT_DAYS_MAX) <= 12 * PLANNED_YEARS_AHEAD
# Restrictions are bits of a signed word, with one more for those that nobody may send.
assert RESTRICTIONS_MAX + 1 < 64
