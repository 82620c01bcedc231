"""T37: damage done to a ledger's columns from inside is found and named by verify()."""

from collections.abc import Callable

import numpy as np
import pytest

from ledger.core.ledger import Ledger
from ledger.core.records import COMMAND, HAS_REQUEST_ID, Batch, new_lines
from ledger.core.state import (
    ACTIVE_TOTAL,
    COMMITTED,
    ENDED_FIRST,
    FLOOR,
    FREE,
    RESERVED,
    SUPPLIER,
    UNAVAILABLE,
)
from ledger.core.statuses import Kind, Operation, Status, Unavailable

NOW_US = 1_700_000_000_000_000
HELD, PLACED, DROPPED = 1 << 32, 1 << 32 | 1, 1 << 32 | 2


def run(ledger: Ledger, operation: Operation, lines: list[tuple[int, ...]] = (), **more: int) -> None:
    """Run one command; lines are sku, location, quantity, kind, reason."""
    command = np.zeros(1, COMMAND)
    command["operation"] = operation
    command["line_count"] = len(lines)
    for name, value in more.items():
        command[name] = value
    rows = new_lines(len(lines))
    for row, (sku, location, quantity, *rest) in zip(rows, lines, strict=True):
        row["sku"], row["location"], row["quantity"] = sku, location, quantity
        row["kind"], row["reason"] = rest or (0, 0)
    answer = ledger.execute(Batch(command, rows), NOW_US)
    assert answer.outcomes[0]["status"] == Status.OK


@pytest.fixture
def ledger() -> Ledger:
    """A at X with a hold of 3, a placed order of 2 and a dropped cart; B at X with units on display."""
    made = Ledger(request_window_us=3_600_000_000, retention_us=3_600_000_000)
    for sku in ("A", "B"):
        made.define_sku(sku)
    made.define_location("X")
    received = [(sku, 0, 10, Kind.RECEIVE, 0) for sku in (0, 1)]
    run(made, Operation.RECORD_MOVEMENTS, received, flags=HAS_REQUEST_ID, request_id_high=7, request_id_low=7)
    run(made, Operation.RECORD_MOVEMENTS, [(1, 0, 2, Kind.MARK_UNAVAILABLE, Unavailable.DISPLAY)])
    run(made, Operation.SET_POLICY, [(1, 0, 1)], flags=8)
    for units in (3, 2, 1):
        run(made, Operation.RESERVE, [(0, 0, units)], ttl_us=60_000_000)
    run(made, Operation.COMMIT, reservation_id=PLACED)
    run(made, Operation.RELEASE, reservation_id=DROPPED)
    made.take_group()
    return made


def found(ledger: Ledger) -> dict[tuple[str, str], tuple[int, int]]:
    return {(each.invariant, each.subject): (each.expected, each.actual) for each in ledger.verify()}


def stock(ledger: Ledger) -> np.ndarray:
    return ledger._columns["level_stock"].array


def hold(ledger: Ledger, reservation_id: int) -> np.void:
    return ledger._columns["reservations"].array[reservation_id & 0xFFFFFFFF]


def line_of(ledger: Ledger, reservation_id: int) -> np.void:
    return ledger._columns["held_lines"].array[hold(ledger, reservation_id)["first_line"] - 1]


def test_an_undamaged_ledger_has_nothing_to_report(ledger):
    assert ledger.verify() == []
    assert Ledger(request_window_us=1, retention_us=1).verify() == []


def lose_hold(ledger: Ledger) -> None:
    """A hold without a cart: units moved to reserved by nobody."""
    stock(ledger)[0, RESERVED] += 4
    stock(ledger)[0, FREE] -= 4


def lose_order(ledger: Ledger) -> None:
    """An order with a lost hold."""
    stock(ledger)[0, COMMITTED] -= 2
    stock(ledger)[0, FREE] += 2


def lose_units(ledger: Ledger) -> None:
    stock(ledger)[1, FREE] -= 5


def lose_outside_units(ledger: Ledger) -> None:
    ledger._columns["sku_outside"].array[0, SUPPLIER] += 1


def lift_floor(ledger: Ledger) -> None:
    stock(ledger)[1, FLOOR] += 1


def lose_index(ledger: Ledger) -> None:
    index = ledger._columns.indexes["level_index"]
    index.rows.array[index.rows.array == 1] = 0
    index.tags.array[:] = 0


def overdraw_unavailable(ledger: Ledger) -> None:
    ledger._columns["level_extra"].array[0, UNAVAILABLE + Unavailable.DISPLAY - 1] = -1
    stock(ledger)[1, FREE] += 3


def open_more_than_reserved(ledger: Ledger) -> None:
    line_of(ledger, HELD)["open"] += 1
    stock(ledger)[0, RESERVED] += 1
    stock(ledger)[0, FREE] -= 1


def open_what_was_released(ledger: Ledger) -> None:
    line_of(ledger, DROPPED)["open"] = 1


def forget_expiry(ledger: Ledger) -> None:
    ledger._columns["wheel"].array[:] = 0
    ledger._columns.counters.array[ACTIVE_TOTAL] = 0


def miscount_expiry(ledger: Ledger) -> None:
    wheel = ledger._columns["wheel"].array
    wheel[wheel[:, 0] != 0, 1] += 1


def forget_ended(ledger: Ledger) -> None:
    ledger._columns.counters.array[ENDED_FIRST] = 0


def lose_request(ledger: Ledger) -> None:
    ledger._columns.indexes["request_index"].rows.array[:] = 0


def share_line(ledger: Ledger) -> None:
    hold(ledger, DROPPED)["first_line"] = hold(ledger, PLACED)["first_line"]


DAMAGES: list[tuple[Callable[[Ledger], None], str, str, tuple[int, int]]] = [
    (lose_hold, "reserved_matches_reservations", "A at X", (3, 7)),
    (lose_order, "committed_matches_reservations", "A at X", (2, 0)),
    (lose_units, "units_are_conserved", "B", (0, -5)),
    (lose_outside_units, "units_are_conserved", "A", (0, 1)),
    (lift_floor, "floor_matches_policy", "B at X", (0, 1)),
    (lose_index, "index_finds_level", "A at X", (0, 1)),
    (overdraw_unavailable, "unavailable_is_not_negative", "B at X", (0, 1)),
    (open_more_than_reserved, "open_units_fit_state", f"reservation {HELD:016x}", (0, 1)),
    (open_what_was_released, "open_units_fit_state", f"reservation {DROPPED:016x}", (0, 1)),
    (forget_expiry, "expiry_lists_are_complete", f"reservation {HELD:016x}", (0, 1)),
    (miscount_expiry, "expiry_lists_are_complete", f"reservation {HELD:016x}", (0, 1)),
    (forget_ended, "expiry_lists_are_complete", f"reservation {DROPPED:016x}", (0, 1)),
    (lose_request, "index_finds_request_ids", "request ids", (0, 1)),
    (share_line, "lines_have_one_owner", "reservation lines", (0, 2)),
]


@pytest.mark.parametrize(("damage", "invariant", "subject", "figures"), DAMAGES)
def test_t37_damage_is_found_and_named(ledger, damage, invariant, subject, figures):
    columns = ledger._columns
    damage(ledger)
    violations = found(ledger)
    assert violations[invariant, subject] == figures
    assert columns is ledger._columns


def test_t37_repaired_damage_is_gone(ledger):
    lose_hold(ledger)
    lose_order(ledger)
    assert len(ledger.verify()) == 2
    stock(ledger)[0, RESERVED] -= 4
    stock(ledger)[0, COMMITTED] += 2
    stock(ledger)[0, FREE] += 2
    assert ledger.verify() == []
