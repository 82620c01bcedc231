"""Why a location does not serve an order, or a unit is not filled: reason codes.

Masks are rules as arrays: the kernel writes one code for each location and line while it prices them (0: eligible), so
that an explanation is what the decision saw. Of several reasons that keep a location from a line, one is told: the
first of the codes' order, but that what passes is looked at last. CAPACITY_FULL comes after RESTRICTED_ITEM and
REJECTED_BEFORE, and INSUFFICIENT after DEARER_THAN_UNFILLED. Of several locations, or lines, each with its reason, the
highest code is told: that one came closest.
"""

from enum import IntEnum


class Method(IntEnum):
    """How a line reaches the customer."""

    SHIP = 0
    """A parcel from a store or a warehouse."""
    PICKUP = 1
    """The customer collects at a store, from its own stock."""
    SHIP_TO_STORE = 2
    """The customer collects at a store; units that it lacks come by a lane."""
    DELIVERY = 3
    """Brought to the customer from a location nearby."""


class Reason(IntEnum):
    """Why not."""

    ELIGIBLE = 0
    # of the location, for all lines of one method
    INACTIVE = 1
    NO_CAPABILITY = 2
    CHANNEL_NOT_SERVED = 3
    NOT_PICKUP_STORE = 4
    NO_LANE = 5
    BEYOND_ZONES = 6
    MAX_DISTANCE = 7
    CUTOFF_MISSED = 8
    PROMISE_MISSED = 9
    CAPACITY_FULL = 10
    # of the line at the location
    RESTRICTED_ITEM = 11
    REJECTED_BEFORE = 12
    NOT_STOCKED = 13
    SAFETY_STOCK = 14
    OUT_OF_STOCK = 15
    INSUFFICIENT = 16
    DEARER_THAN_UNFILLED = 17
    # of the plan
    SHIP_COMPLETE = 18
    NEVER_SPLIT = 19
    MAX_SHIPMENTS = 20
    # of the location; it came later, and goes before MAX_DISTANCE
    NO_WORKING_DAY = 21


OF_STOCK = frozenset(
    {
        Reason.ELIGIBLE,
        Reason.CAPACITY_FULL,
        Reason.NOT_STOCKED,
        Reason.SAFETY_STOCK,
        Reason.OUT_OF_STOCK,
        Reason.INSUFFICIENT,
        Reason.DEARER_THAN_UNFILLED,
        Reason.REJECTED_BEFORE,
    }
)
"""Reasons that pass with time or price: a line that only these keep unfilled is a shortage, not a wrong order."""
