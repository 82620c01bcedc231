"""What the ledger's tests share: commands in readable Python, and answers as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from ledger.core import limits
from ledger.core.ledger import Ledger
from ledger.core.records import (
    ALLOW_PARTIAL,
    ANY_SKU,
    COMMAND,
    HAS_REQUEST_ID,
    IS_OVERSOLD,
    IS_STORED,
    IS_WRITTEN,
    LINE,
    NO_LOCATION,
    SETS_BACKORDER_LIMIT,
    SETS_SAFETY_STOCK,
    USES_SAFETY_STOCK,
    VALIDATE_ONLY,
    Answer,
    Batch,
)
from ledger.core.statuses import (
    DocumentKind,
    FulfillmentAction,
    FulfillmentMethod,
    FulfillmentVerb,
    Kind,
    Operation,
    ReservationState,
    Status,
    TransferAction,
    TransferVerb,
    Unavailable,
)
from ledger.core.views import DocumentView, LevelView, ReservationView

SECOND_US = limits.MICROSECONDS
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
OF_DOCUMENTS = (Operation.ADVANCE, Operation.ADVANCE_FULFILLMENT)
"""Operations that are verbs of documents: test_documents.py and test_fulfillment.py have them."""
TTL_US = 10 * MINUTE_US
NOW_US = 1_760_000_000 * SECOND_US
"""When the tests' days begin."""

Triple = tuple[int, int, int]
"""sku, location, quantity."""
Detail = tuple[int, tuple[int, int] | int, int]
"""line, stock level (or what stands for none), quantity."""


class Line(NamedTuple):
    """One LINE."""

    sku: int
    location: int
    to_location: int = NO_LOCATION
    kind: int = 0
    reason: int = 0
    method: int = 0
    quantity: int = 0
    to_quantity: int = 0


@dataclass(frozen=True)
class Command:
    """One COMMAND with its lines."""

    operation: Operation
    lines: tuple[Line, ...] = ()
    flags: int = 0
    expected_version: int = 0
    reservation_id: int = 0
    ttl_us: int = 0
    request_id: int | None = None
    content: int = 0
    status: int = 0
    result: int = 0


class Result(NamedTuple):
    """One OUTCOME with its details."""

    status: Status
    seq: int
    is_written: bool
    is_stored: bool
    is_oversold: bool
    state: int
    version: int
    reservation_id: int
    time_us: int
    field: int
    details: tuple[Detail, ...]
    requested: tuple[int, ...]
    """Units asked for, of each detail."""

    @property
    def shortages(self) -> list[tuple[int, int]]:
        """Line and quantity of each detail."""
        return [(line, quantity) for line, _, quantity in self.details]

    @property
    def told(self) -> list[tuple[int, tuple[int, int] | int, int, int]]:
        """Line, stock level, units asked for and units told of each detail."""
        return [
            (*detail[:2], requested, detail[2]) for detail, requested in zip(self.details, self.requested, strict=True)
        ]

    @property
    def answer(self) -> tuple[object, ...]:
        """All that a repeat with the same request id has to say again."""
        return self._replace(is_written=False, is_stored=False)


class LedgerLike(Protocol):
    """What both ledgers are."""

    @property
    def seq(self) -> int: ...
    def define_sku(self, sku_id: str) -> int: ...
    def define_location(self, location_id: str, active: bool = True) -> int: ...
    def set_location_active(self, location: int, active: bool) -> None: ...
    def execute(self, batch: Batch, time_us: int) -> Answer: ...
    def available(self, sku: int, location: int) -> int | None: ...
    def level(self, sku: int, location: int) -> LevelView | None: ...
    def reservation(self, reservation_id: int) -> ReservationView | None: ...
    def document(self, document_id: int, kind: int) -> DocumentView | None: ...
    def outside(self, sku: int) -> dict[Any, int]: ...
    def level_keys(self, first: int, last: int) -> tuple[Any, Any]: ...
    def verify(self) -> list[Any]: ...


# ---- request ids -----------------------------------------------------------------------------------------------------


def uuid4(number: int) -> int:
    """A UUID without a time (version 4)."""
    return number << 80 | 4 << 76 | 0b10 << 62 | number


def uuid7(time_us: int, number: int) -> int:
    """A UUID with a time (version 7)."""
    return (time_us // 1000) << 80 | 7 << 76 | 0b10 << 62 | number


# ---- commands --------------------------------------------------------------------------------------------------------


def reserve(
    lines: Iterable[Triple],
    *,
    ttl_us: int = TTL_US,
    request_id: int | None = None,
    allow_partial: bool = False,
    content: int = 0,
) -> Command:
    return Command(
        Operation.RESERVE,
        quantities(lines),
        flags=ALLOW_PARTIAL if allow_partial else 0,
        ttl_us=ttl_us,
        request_id=request_id,
        content=content,
    )


def commit(reservation_id: int, lines: Iterable[Triple] = (), *, request_id: int | None = None) -> Command:
    return Command(Operation.COMMIT, quantities(lines), reservation_id=reservation_id, request_id=request_id)


def release(reservation_id: int, lines: Iterable[Triple] = (), *, request_id: int | None = None) -> Command:
    return Command(Operation.RELEASE, quantities(lines), reservation_id=reservation_id, request_id=request_id)


def fulfill(reservation_id: int, lines: Iterable[Triple] = (), *, request_id: int | None = None) -> Command:
    return Command(Operation.FULFILL, quantities(lines), reservation_id=reservation_id, request_id=request_id)


def cancel(reservation_id: int, lines: Iterable[Triple] = (), *, request_id: int | None = None) -> Command:
    return Command(Operation.CANCEL, quantities(lines), reservation_id=reservation_id, request_id=request_id)


def extend(reservation_id: int, *, ttl_us: int = TTL_US, request_id: int | None = None) -> Command:
    return Command(Operation.EXTEND, reservation_id=reservation_id, ttl_us=ttl_us, request_id=request_id)


def amend(
    reservation_id: int, lines: Iterable[Triple], *, expected_version: int = 0, request_id: int | None = None
) -> Command:
    return Command(
        Operation.AMEND,
        quantities(lines),
        reservation_id=reservation_id,
        expected_version=expected_version,
        request_id=request_id,
    )


def replace_hold(
    reservation_id: int,
    lines: Iterable[Triple],
    *,
    ttl_us: int = TTL_US,
    expected_version: int = 0,
    request_id: int | None = None,
    content: int = 0,
) -> Command:
    return Command(
        Operation.REPLACE,
        quantities(lines),
        reservation_id=reservation_id,
        ttl_us=ttl_us,
        expected_version=expected_version,
        request_id=request_id,
        content=content,
    )


def transfer(
    reservation_id: int,
    source: int,
    target: int,
    lines: Iterable[tuple[int, int]] | None = None,
    *,
    expected_version: int = 0,
    request_id: int | None = None,
) -> Command:
    """Move a hold: the sku and quantity of each line, or None for all that is open at the source."""
    named = [(ANY_SKU, 0)] if lines is None else lines
    return Command(
        Operation.TRANSFER,
        tuple(Line(sku, source, target, quantity=quantity) for sku, quantity in named),
        reservation_id=reservation_id,
        expected_version=expected_version,
        request_id=request_id,
    )


def record(*movements: Line, request_id: int | None = None, content: int = 0) -> Command:
    return Command(Operation.RECORD_MOVEMENTS, movements, request_id=request_id, content=content)


def set_on_hand(counts: Iterable[Triple], *, validate_only: bool = False, request_id: int | None = None) -> Command:
    flags = VALIDATE_ONLY if validate_only else 0
    return Command(Operation.SET_ON_HAND, quantities(counts), flags=flags, request_id=request_id)


def set_policy(
    sku: int,
    location: int,
    *,
    safety_stock: int | None = None,
    backorder_limit: int | None = None,
    request_id: int | None = None,
) -> Command:
    flags = 0 if safety_stock is None else SETS_SAFETY_STOCK
    flags |= 0 if backorder_limit is None else SETS_BACKORDER_LIMIT
    line = Line(sku, location, quantity=safety_stock or 0, to_quantity=backorder_limit or 0)
    return Command(Operation.SET_POLICY, (line,), flags=flags, request_id=request_id)


def change_catalog(
    *, status: Status = Status.OK, outcome: int = 0, content: int = 0, request_id: int | None = None
) -> Command:
    """A change that the catalog decided: the status and number to answer with if the request id is new."""
    return Command(Operation.CHANGE_CATALOG, status=status, result=outcome, content=content, request_id=request_id)


def remember(
    *, status: Status = Status.OK, outcome: int = 0, content: int = 0, request_id: int | None = None
) -> Command:
    """What changes nothing, likewise."""
    return replace(
        change_catalog(status=status, outcome=outcome, content=content, request_id=request_id),
        operation=Operation.REMEMBER,
    )


def advance(
    verb: TransferVerb,
    lines: Iterable[Line] = (),
    *,
    document_id: int = 0,
    expected_version: int = 0,
    uses_safety_stock: bool = False,
    request_id: int | None = None,
    content: int = 0,
) -> Command:
    """One verb of a transfer that is there."""
    head = Line(ANY_SKU, NO_LOCATION, kind=verb, reason=DocumentKind.TRANSFER)
    return Command(
        Operation.ADVANCE,
        (head, *lines),
        flags=USES_SAFETY_STOCK if uses_safety_stock else 0,
        reservation_id=document_id,
        expected_version=expected_version,
        request_id=request_id,
        content=content,
    )


def create_transfer(
    source: int,
    target: int,
    lines: Iterable[tuple[int, int]],
    *,
    holds: bool = False,
    due_us: int = 0,
    order: int = 0,
    uses_safety_stock: bool = False,
    request_id: int | None = None,
) -> Command:
    """A new transfer: the sku and quantity of each line; one for an order, a reservation, holds its units."""
    head = Line(
        ANY_SKU,
        source,
        target,
        kind=TransferVerb.CREATE,
        reason=DocumentKind.TRANSFER,
        quantity=due_us,
        to_quantity=order,
    )
    action = TransferAction.HOLD if holds or order else TransferAction.PLAN
    made = advance(
        TransferVerb.CREATE,
        [units(sku, action, quantity) for sku, quantity in lines],
        uses_safety_stock=uses_safety_stock,
        request_id=request_id,
    )
    return replace(made, lines=(head, *made.lines[1:]))


def work(
    verb: FulfillmentVerb,
    lines: Iterable[Line] = (),
    *,
    document_id: int = 0,
    expected_version: int = 0,
    request_id: int | None = None,
    content: int = 0,
) -> Command:
    """One verb of a fulfillment order that is there."""
    made = advance(
        verb,  # type: ignore[arg-type]  # its kind says of what
        lines,
        document_id=document_id,
        expected_version=expected_version,
        request_id=request_id,
        content=content,
    )
    head = made.lines[0]._replace(reason=DocumentKind.FULFILLMENT_ORDER)
    return replace(made, operation=Operation.ADVANCE_FULFILLMENT, lines=(head, *made.lines[1:]))


def assign(
    order: int,
    location: int,
    lines: Iterable[tuple[int, int]],
    *,
    method: FulfillmentMethod = FulfillmentMethod.SHIP,
    due_us: int = 0,
    request_id: int | None = None,
) -> Command:
    """A new fulfillment order: the sku and quantity of each line that a reservation has at a location."""
    made = work(
        FulfillmentVerb.CREATE,
        [units(sku, FulfillmentAction.ASSIGN, quantity) for sku, quantity in lines],
        request_id=request_id,
    )
    head = made.lines[0]._replace(
        location=location, to_location=location, method=method, quantity=due_us, to_quantity=order
    )
    return replace(made, lines=(head, *made.lines[1:]))


def units(sku: int, action: TransferAction | FulfillmentAction, quantity: int, reason: int = 0) -> Line:
    """What a line of a verb says of units."""
    return Line(sku, NO_LOCATION, kind=action, reason=reason, quantity=quantity)


def quantities(lines: Iterable[Triple]) -> tuple[Line, ...]:
    return tuple(Line(sku, location, quantity=quantity) for sku, location, quantity in lines)


# ---- movements -------------------------------------------------------------------------------------------------------


def receive(sku: int, location: int, quantity: int) -> Line:
    return Line(sku, location, kind=Kind.RECEIVE, quantity=quantity)


def sale(sku: int, location: int, quantity: int) -> Line:
    return Line(sku, location, kind=Kind.SALE, quantity=quantity)


def goods_return(sku: int, location: int, quantity: int, reason: int = 0) -> Line:
    return Line(sku, location, kind=Kind.RETURN, reason=reason, quantity=quantity)


def adjust(sku: int, location: int, quantity: int) -> Line:
    return Line(sku, location, kind=Kind.ADJUST, quantity=quantity)


def mark_unavailable(sku: int, location: int, quantity: int, reason: int = Unavailable.DAMAGED) -> Line:
    return Line(sku, location, kind=Kind.MARK_UNAVAILABLE, reason=reason, quantity=quantity)


def mark_available(sku: int, location: int, quantity: int, reason: int = Unavailable.DAMAGED) -> Line:
    return Line(sku, location, kind=Kind.MARK_AVAILABLE, reason=reason, quantity=quantity)


def write_off(sku: int, location: int, quantity: int, reason: int = Unavailable.DAMAGED) -> Line:
    return Line(sku, location, kind=Kind.WRITE_OFF, reason=reason, quantity=quantity)


def transfer_out(sku: int, location: int, to_location: int, quantity: int) -> Line:
    return Line(sku, location, to_location, kind=Kind.TRANSFER_OUT, quantity=quantity)


# ---- in and out ------------------------------------------------------------------------------------------------------


def batch_of(commands: Sequence[Command]) -> Batch:
    rows = []
    lines: list[Line] = []
    for command in commands:
        request_id = command.request_id or 0
        rows.append(
            (
                command.operation,
                command.flags | (0 if command.request_id is None else HAS_REQUEST_ID),
                len(command.lines),
                len(lines),
                command.expected_version,
                command.status,
                command.reservation_id,
                command.ttl_us,
                request_id >> 64,
                request_id & (2**64 - 1),
                command.content,
                command.result,
            )
        )
        lines += command.lines
    return Batch(np.array(rows, COMMAND), np.array([tuple(line) for line in lines], LINE))


def level_of(ledger: LedgerLike, row: int) -> tuple[int, int] | int:
    """Sku and location of a level's row; what stands for no level stays as it is."""
    if row < 0:
        return row
    skus, locations = ledger.level_keys(row, row + 1)
    return int(skus[0]), int(locations[0])


def results_of(ledger: LedgerLike, answer: Answer) -> list[Result]:
    details = [(line, level_of(ledger, row), quantity) for line, row, _, quantity in answer.details.tolist()]
    requested = answer.details["requested"].tolist()
    results = []
    for outcome in answer.outcomes:
        flags, start, count = int(outcome["flags"]), int(outcome["detail_start"]), int(outcome["detail_count"])
        results.append(
            Result(
                status=Status(int(outcome["status"])),
                seq=int(outcome["seq"]),
                is_written=bool(flags & IS_WRITTEN),
                is_stored=bool(flags & IS_STORED),
                is_oversold=bool(flags & IS_OVERSOLD),
                state=int(outcome["state"]),
                version=int(outcome["version"]),
                reservation_id=int(outcome["reservation_id"]),
                time_us=int(outcome["time_us"]),
                field=int(outcome["field"]),
                details=tuple(details[start : start + count]),
                requested=tuple(requested[start : start + count]),
            )
        )
    return results


class Bench:
    """One ledger with a clock, and short words for what tests do with it."""

    def __init__(self, ledger: LedgerLike) -> None:
        self.ledger = ledger
        self.time_us = NOW_US

    def run(self, *commands: Command, after_us: int = 0) -> list[Result]:
        """Execute a batch some time later; verify every invariant."""
        self.time_us += after_us
        results = results_of(self.ledger, self.ledger.execute(batch_of(commands), self.time_us))
        if isinstance(self.ledger, Ledger):
            self.ledger.take_group()
        assert self.ledger.verify() == []
        return results

    def do(self, command: Command, *, after_us: int = 0) -> Result:
        """Execute one command, whatever comes of it."""
        (result,) = self.run(command, after_us=after_us)
        return result

    def ok(self, command: Command, *, after_us: int = 0) -> Result:
        """Execute one command that has to succeed."""
        result = self.do(command, after_us=after_us)
        assert result.status == Status.OK, result
        return result

    def wait(self, after_us: int) -> None:
        """Let time pass."""
        assert self.run(after_us=after_us) == []

    def live(self, *, minutes: int) -> None:
        """Let time pass with a write a minute: what is over is forgotten a little with each."""
        for _ in range(minutes):
            self.ok(change_catalog(), after_us=MINUTE_US)

    def stock(self, *levels: Triple) -> None:
        """Receive some units."""
        self.ok(record(*(receive(*level) for level in levels)))

    def hold(self, *lines: Triple, ttl_us: int = TTL_US) -> int:
        """Reserve, and answer with the reservation's id."""
        return self.ok(reserve(lines, ttl_us=ttl_us)).reservation_id

    def order(self, *lines: Triple) -> int:
        """Reserve and commit, and answer with the reservation's id."""
        reservation_id = self.hold(*lines)
        self.ok(commit(reservation_id))
        return reservation_id

    def level(self, sku: int, location: int) -> LevelView:
        found = self.ledger.level(sku, location)
        assert found is not None
        return found

    def reservation(self, reservation_id: int) -> ReservationView:
        found = self.ledger.reservation(reservation_id)
        assert found is not None
        return found

    def transfer(self, document_id: int) -> DocumentView:
        found = self.ledger.document(document_id, DocumentKind.TRANSFER)
        assert found is not None
        return found

    def outside(self, sku: int) -> dict[str, int]:
        """Units that stand outside, by the name of the account; those with none left out."""
        return {account.name: units for account, units in self.ledger.outside(sku).items() if units}

    def state(self, reservation_id: int) -> ReservationState:
        return ReservationState(self.reservation(reservation_id).state)

    def lines(self, reservation_id: int) -> list[tuple[int, ...]]:
        """sku, location, quantity, open, fulfilled."""
        return [tuple(line) for line in self.reservation(reservation_id).lines]

    def available(self, *levels: tuple[int, int]) -> list[int | None]:
        return [self.ledger.available(*level) for level in levels]
