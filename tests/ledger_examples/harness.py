"""What the tests of this folder share."""

from __future__ import annotations

from collections.abc import Callable

from ledger_cases import (
    HOUR_US,
    MINUTE_US,
    Bench,
    Command,
    amend,
    cancel,
    commit,
    extend,
    fulfill,
    release,
    replace_hold,
    transfer,
)

from ledger.core import limits
from ledger.core.statuses import ReservationState, Status

SKU_1, SKU_2, SKU_3 = 0, 1, 2


A, B, C, CLOSED = 0, 1, 2, 3


WINDOW_US = HOUR_US


RETENTION_US = 2 * HOUR_US


GARBAGE_IDS = (0, -1, 12_345, 2**31, 2**32 + 1, 2**62 + 7, 2**63 - 1, -(2**63))


def new_bench(kind: type) -> Bench:
    ledger = kind(request_window_us=WINDOW_US, retention_us=RETENTION_US)
    for index, sku_id in enumerate(("SKU-1", "SKU-2", "SKU-3")):
        assert ledger.define_sku(sku_id) == index
    for index, location_id in enumerate(("A", "B", "C", "CLOSED")):
        assert ledger.define_location(location_id, active=location_id != "CLOSED") == index
    return Bench(ledger)


UNKNOWN = "UNKNOWN"  # an id nobody gave out


LINES = [(SKU_1, A, 1)]


ACTIONS: dict[str, Callable[[int], Command]] = {
    "COMMIT all": commit,
    "COMMIT lines": lambda at: commit(at, LINES),
    "RELEASE all": release,
    "RELEASE lines": lambda at: release(at, LINES),
    "EXTEND": extend,
    "AMEND": lambda at: amend(at, [(SKU_1, A, 5)]),
    "AMEND as it is": lambda at: amend(at, [(SKU_1, A, 4)]),
    "AMEND drop": lambda at: amend(at, [(SKU_1, A, 0)]),
    "REPLACE": lambda at: replace_hold(at, [(SKU_1, A, 5)]),
    "REPLACE elsewhere": lambda at: replace_hold(at, [(SKU_1, B, 2)]),
    "TRANSFER all": lambda at: transfer(at, A, B),
    "TRANSFER lines": lambda at: transfer(at, A, B, [(SKU_1, 1)]),
    "FULFILL all": fulfill,
    "FULFILL lines": lambda at: fulfill(at, LINES),
    "CANCEL all": cancel,
    "CANCEL lines": lambda at: cancel(at, LINES),
}


ACTIVE, COMMITTED, RELEASED = ReservationState.ACTIVE, ReservationState.COMMITTED, ReservationState.RELEASED
FULFILLED, CANCELLED = ReservationState.FULFILLED, ReservationState.CANCELLED


NOT_ACTIVE, NOT_COMMITTED = Status.RESERVATION_NOT_ACTIVE, Status.RESERVATION_NOT_COMMITTED


EXPIRED, EXCEEDS, LOST = Status.RESERVATION_EXPIRED, Status.QUANTITY_EXCEEDS_OPEN, Status.RESERVATION_NOT_FOUND


def in_state(bench: Bench, state: str) -> int:
    """A reservation of 4 units of SKU_1 at A in some state."""
    if state == UNKNOWN:
        return GARBAGE_IDS[3]
    made = bench.hold((SKU_1, A, 4), ttl_us=MINUTE_US)
    if state == "COMMITTED":
        bench.ok(commit(made))
    elif state in ("FULFILLED", "CANCELLED"):
        bench.ok(commit(made))
        bench.ok((fulfill if state == "FULFILLED" else cancel)(made))
    elif state == "RELEASED":
        bench.ok(release(made))
    elif state == "EXPIRED":
        bench.wait(MINUTE_US)
    assert bench.state(made).name == state
    return made


NOT_STOCKED, INACTIVE = Status.NOT_STOCKED_HERE, Status.LOCATION_INACTIVE


TOO_MANY, SHORT, MISMATCH = Status.TOO_MANY_LINES, Status.INSUFFICIENT_STOCK, Status.VERSION_MISMATCH


class Wide:
    """A reservation with as many lines as there may be, 2 units of each; all is stocked at A and B."""

    def __init__(self, bench: Bench, *, is_order: bool) -> None:
        count = limits.LINES_PER_RESERVATION_MAX
        self.skus = [bench.ledger.define_sku(f"wide-{index}") for index in range(2 * count)]
        bench.stock(*((sku, at, 5) for sku in self.skus for at in (A, B)))
        self.held, self.others = self.skus[:count], self.skus[count:]
        self.made = (bench.order if is_order else bench.hold)(*((sku, A, 2) for sku in self.held))
