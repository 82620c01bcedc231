"""What happened, in plain Python: movements that callers record, whatever the books say."""

from __future__ import annotations

from typing import Final, NamedTuple

from ledger.core import limits
from ledger.core.records import IS_OVERSOLD, NO_LOCATION
from ledger.core.statuses import Kind, Status
from ledger.oracle.books import Account, Books, Causes, Detail, Level, Line, Result, place


class Recordable(NamedTuple):
    """A kind that a caller may record; UNAVAILABLE is the account of the line's reason."""

    source: Account
    target: Account
    target_with_reason: Account | None = None
    """Where units go instead if the line has a reason."""
    arrives: bool = False
    """Whether they go on from TRANSIT to free stock at to_location."""


RECORDABLE: Final = {
    Kind.RECEIVE: Recordable(Account.SUPPLIER, Account.FREE),
    Kind.SALE: Recordable(Account.FREE, Account.CUSTOMER),
    Kind.RETURN: Recordable(Account.CUSTOMER, Account.FREE, target_with_reason=Account.UNAVAILABLE),
    Kind.ADJUST: Recordable(Account.SHRINKAGE, Account.FREE),
    Kind.MARK_UNAVAILABLE: Recordable(Account.FREE, Account.UNAVAILABLE),
    Kind.MARK_AVAILABLE: Recordable(Account.UNAVAILABLE, Account.FREE),
    Kind.WRITE_OFF: Recordable(Account.UNAVAILABLE, Account.SHRINKAGE),
    Kind.TRANSFER_OUT: Recordable(Account.FREE, Account.TRANSIT, arrives=True),
}


def record_movement(books: Books, causes: Causes, index: int, line: Line) -> None:
    """Apply one line of RECORD_MOVEMENTS, unless something speaks against it."""
    row = RECORDABLE[Kind(line.kind)]
    source, target = row.source, row.target
    if row.target_with_reason is not None and line.reason:
        target = row.target_with_reason
    assert row.arrives == (line.to_location != NO_LOCATION)
    assert (line.reason != 0) == (Account.UNAVAILABLE in (source, target))
    books.stock(line.level)  # it happened there, whatever the books say
    there = books.at(line.level, Account.UNAVAILABLE, line.reason)
    if source == Account.UNAVAILABLE and line.quantity > there:
        causes.add(Status.INSUFFICIENT_STOCK, index, there, line.level, line.quantity)
        return
    books.move(line.quantity, place(line.level, source, line.reason), place(line.level, target, line.reason))
    if row.arrives:
        arriving = line.sku, line.to_location
        books.stock(arriving)
        books.move_at(arriving, line.quantity, Account.TRANSIT, Account.FREE)


def oversold_result(books: Books, touched: dict[Level, int]) -> Result:
    """Succeed, and name the touched levels that are oversold now by the first line that touched them, and location."""
    details = tuple(
        Detail(index, min(books.oversold(level), limits.DETAIL_QUANTITY_MAX), level)
        for level, index in touched.items()
        if books.oversold(level)
    )
    return Result(Status.OK, flags=IS_OVERSOLD if details else 0, details=details)
