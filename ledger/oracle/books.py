"""The words of the oracle: commands, answers, books of accounts and holds, as simple as can be."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

from ledger.core.records import COMMAND, HAS_REQUEST_ID, LINE, NO_LEVEL
from ledger.core.statuses import ReservationState, Status, Unavailable

Level: TypeAlias = tuple[int, int]
"""A stock level: sku index, location index."""

NOWHERE: Final = -1
"""Location of the accounts that stand outside."""


class Account(IntEnum):
    """What units can be: at a stock level, or outside."""

    FREE = 1
    RESERVED = 2
    COMMITTED = 3
    UNAVAILABLE = 4
    SUPPLIER = 5
    CUSTOMER = 6
    SHRINKAGE = 7
    TRANSIT = 8
    UNEXPLAINED = 9


class Place(NamedTuple):
    """One account of the book."""

    sku: int
    account: Account
    location: int = NOWHERE
    reason: int = 0


class Policy(NamedTuple):
    """What a stock level keeps back, and what it may promise beyond."""

    safety_stock: int = 0
    backorder_limit: int = 0


class Line(NamedTuple):
    """One LINE."""

    sku: int
    location: int
    to_location: int
    kind: int
    reason: int
    method: int
    quantity: int
    to_quantity: int

    @property
    def level(self) -> Level:
        """The stock level it names."""
        return self.sku, self.location


assert Line._fields == LINE.names


class Command(NamedTuple):
    """One COMMAND with its lines."""

    operation: int
    flags: int
    line_count: int
    line_start: int
    expected_version: int
    status: int
    reservation_id: int
    ttl_us: int
    request_id_high: int
    request_id_low: int
    content: int
    result: int
    lines: tuple[Line, ...] = ()

    @property
    def request_id(self) -> tuple[int, int] | None:
        """The request id that the ledger has to mind."""
        if not self.flags & HAS_REQUEST_ID:
            return None
        return self.request_id_high, self.request_id_low


assert Command._fields[:-1] == COMMAND.names


class Detail(NamedTuple):
    """One DETAIL."""

    line: int
    quantity: int = 0
    level: Level | int = NO_LEVEL
    requested: int = 0


class Result(NamedTuple):
    """What came of a command: its OUTCOME but for the seq."""

    status: Status
    state: int = 0
    version: int = 0
    reservation_id: int = 0
    time_us: int = 0
    flags: int = 0
    field: int = 0
    details: tuple[Detail, ...] = ()
    is_change: bool = True
    """False for a success that left everything as it was."""


class Stored(NamedTuple):
    """What is remembered of a request id."""

    command: Command
    result: Result
    seq: int
    time_us: int


@dataclass
class Held:
    """One line of a reservation."""

    quantity: int = 0
    open: int = 0
    fulfilled: int = 0


@dataclass
class Reservation:
    """One reservation."""

    reservation_id: int
    state: ReservationState
    version: int
    create_time_us: int
    time_us: int
    lines: dict[Level, Held]
    awaits: set[int] = field(default_factory=set)
    """Open documents that may bring it units."""
    is_given_up: bool = False
    """Whether nobody wants units that would still come."""

    @property
    def account(self) -> Account:
        """Where its open units stand."""
        return Account.RESERVED if self.state == ReservationState.ACTIVE else Account.COMMITTED

    @property
    def is_open(self) -> bool:
        """Whether it still holds anything."""
        return any(held.open for held in self.lines.values())

    @property
    def is_ended(self) -> bool:
        """Whether it only waits to be forgotten."""
        if self.state in (ReservationState.RELEASED, ReservationState.EXPIRED):
            return True
        return not self.is_open and (not self.awaits or self.is_given_up)

    def open_at(self, level: Level) -> int:
        """Open units of one line; 0 if it has no such line."""
        held = self.lines.get(level)
        return held.open if held else 0

    def drop_empty_lines(self) -> None:
        """Drop the lines that hold nothing and are asked for nothing."""
        self.lines = {level: held for level, held in self.lines.items() if held.quantity}

    @property
    def shown_state(self) -> ReservationState:
        """What callers are told of its life: a commitment that is over was fulfilled, at least in part, or not."""
        if self.state != ReservationState.COMMITTED or not self.is_ended:
            return self.state
        fulfilled = sum(held.fulfilled for held in self.lines.values())
        return ReservationState.FULFILLED if fulfilled else ReservationState.CANCELLED

    def end(self, state: ReservationState, time_us: int) -> None:
        """Take its last state."""
        self.state = state
        self.time_us = time_us


class Wanted(NamedTuple):
    """Open units that a command asks for."""

    line: int
    level: Level
    quantity: int


class Causes:
    """Everything that speaks against a command."""

    # Statuses that name the first line concerned, and those that name all with what can be had.
    FIRST: Final = (Status.SKU_NOT_FOUND, Status.LOCATION_NOT_FOUND, Status.NOT_STOCKED_HERE, Status.LOCATION_INACTIVE)
    ALL: Final = (Status.QUANTITY_EXCEEDS_OPEN, Status.INSUFFICIENT_STOCK)

    def __init__(self) -> None:
        self._details: dict[Status, list[Detail]] = {}
        self.version = 0

    def add(
        self, status: Status, line: int = 0, quantity: int = 0, level: Level | int = NO_LEVEL, requested: int = 0
    ) -> None:
        """Note one cause."""
        self._details.setdefault(status, []).append(Detail(line, quantity, level, requested))

    def refusal(self) -> Result | None:
        """Answer with the lowest status; None if nothing speaks against the command."""
        if not self._details:
            return None
        status = min(self._details)
        details = sorted(self._details[status], key=lambda detail: detail.line)
        if status in self.FIRST:
            details = details[:1]
        elif status not in self.ALL:
            details = []
        version = self.version if status in (Status.VERSION_MISMATCH, Status.VERB_NOT_ALLOWED) else 0
        return Result(status, version=version, details=tuple(details))


@dataclass
class Books:
    """The stock: units by account, and the policy of each stock level there is."""

    units: Counter[Place] = field(default_factory=Counter)
    policies: dict[Level, Policy] = field(default_factory=dict)

    def copy(self) -> Books:
        """Make a draft."""
        return Books(self.units.copy(), self.policies.copy())

    def stock(self, level: Level) -> None:
        """Let the stock level exist."""
        self.policies.setdefault(level, Policy())

    def at(self, level: Level, account: Account, reason: int = 0) -> int:
        """Units of one account of a stock level."""
        sku, location = level
        return self.units[Place(sku, account, location, reason)]

    def outside(self, sku: int, account: Account) -> int:
        """Units of one account outside."""
        return self.units[Place(sku, account)]

    def move(self, quantity: int, source: Place, target: Place) -> None:
        """Move units of one sku from one account to another; a negative quantity moves them back."""
        assert source.sku == target.sku
        self.units[source] -= quantity
        self.units[target] += quantity

    def move_at(self, level: Level, quantity: int, source: Account, target: Account) -> None:
        """Move units between two accounts, both of the stock level or outside."""
        self.move(quantity, place(level, source), place(level, target))

    def unavailable(self, level: Level) -> dict[int, int]:
        """Units by unavailable reason, those with none left out."""
        by_reason = {reason.value: self.at(level, Account.UNAVAILABLE, reason) for reason in Unavailable}
        return {reason: units for reason, units in by_reason.items() if units}

    def sellable(self, level: Level) -> int:
        """Units physically there that may be handed to a customer: on_hand - unavailable."""
        return sum(self.at(level, account) for account in (Account.FREE, Account.RESERVED, Account.COMMITTED))

    def on_hand(self, level: Level) -> int:
        """Units physically there."""
        return self.sellable(level) + sum(self.unavailable(level).values())

    def available(self, level: Level) -> int:
        """Units a new reservation can get; negative where more is promised than there is."""
        policy = self.policies[level]
        return self.at(level, Account.FREE) - policy.safety_stock + policy.backorder_limit

    def oversold(self, level: Level) -> int:
        """Units promised beyond what is there and beyond the backorder limit."""
        return max(0, -self.at(level, Account.FREE) - self.policies[level].backorder_limit)


OUTSIDE: Final = (Account.SUPPLIER, Account.CUSTOMER, Account.SHRINKAGE, Account.TRANSIT, Account.UNEXPLAINED)


def place(level: Level, account: Account, reason: int = 0) -> Place:
    """Find an account of the book, at the stock level or outside."""
    sku, location = level
    is_outside = account in OUTSIDE
    return Place(sku, account, NOWHERE if is_outside else location, reason if account == Account.UNAVAILABLE else 0)


def all_open(found: Reservation) -> list[Wanted]:
    """List all open units, line by its position among all lines."""
    return [
        Wanted(position, level, held.open) for position, (level, held) in enumerate(found.lines.items()) if held.open
    ]
