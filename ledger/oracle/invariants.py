"""What holds in every state of the oracle's ledger."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ledger.core import limits
from ledger.core.statuses import ReservationState
from ledger.oracle.books import NOWHERE, Account, Level

if TYPE_CHECKING:
    from ledger.oracle.stock import OracleLedger


def broken_invariants(ledger: OracleLedger) -> list[str]:
    """Name every broken invariant; empty means all is well."""
    return [
        *_conservation(ledger),
        *_holds(ledger),
        *_reservations(ledger),
        *ledger.documents.verify(),
    ]


def _conservation(ledger: OracleLedger) -> list[str]:
    sums: Counter[int] = Counter()
    broken = []
    for at, units in ledger.books.units.items():
        sums[at.sku] += units
        if units < 0 and at.account in (Account.RESERVED, Account.COMMITTED, Account.UNAVAILABLE):
            broken.append(f"{at}: expected 0 or more units, was {units}.")
        if units and at.location != NOWHERE and (at.sku, at.location) not in ledger.books.policies:
            broken.append(f"{at}: {units} units where there is no stock level.")
    return broken + [f"sku {sku}: expected accounts to sum to 0, was {units}." for sku, units in sums.items() if units]


def _holds(ledger: OracleLedger) -> list[str]:
    holds: Counter[tuple[Level, Account]] = Counter()
    for each in ledger.reservations.values():
        for level, held in each.lines.items():
            holds[level, each.account] += held.open
    for level, units in ledger.documents.held().items():
        holds[level, Account.COMMITTED] += units
    return [
        f"level {level}: expected {account.name} {holds[level, account]}, was {ledger.books.at(level, account)}."
        for level in ledger.books.policies
        for account in (Account.RESERVED, Account.COMMITTED)
        if ledger.books.at(level, account) != holds[level, account]
    ]


def _reservations(ledger: OracleLedger) -> list[str]:
    broken = []
    for each in ledger.reservations.values():
        name = f"reservation {each.reservation_id}"
        is_active = each.state == ReservationState.ACTIVE
        if is_active and (not each.is_open or each.time_us <= ledger.time_us):
            broken.append(f"{name}: ACTIVE, but it ended.")
        if each.state in (ReservationState.RELEASED, ReservationState.EXPIRED) and each.is_open:
            broken.append(f"{name}: {each.state.name}, but something is open.")
        if len(each.lines) > limits.LINES_PER_RESERVATION_MAX or (each.is_open and not each.lines):
            broken.append(f"{name}: {len(each.lines)} lines.")
        broken += [
            f"{name}: line {level} is {held}."
            for level, held in each.lines.items()
            if min(held.open, held.fulfilled) < 0 or held.open + held.fulfilled > held.quantity
        ]
    return broken
