"""What callers do: commands that name reservations and request ids by how recent they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from ledger_cases import (
    MINUTE_US,
    NOW_US,
    SECOND_US,
    Command,
    Line,
    advance,
    amend,
    assign,
    cancel,
    change_catalog,
    commit,
    create_transfer,
    extend,
    fulfill,
    record,
    release,
    remember,
    replace_hold,
    reserve,
    set_on_hand,
    set_policy,
    transfer,
    units,
    work,
)

from ledger.core import limits
from ledger.core.documents import DOCUMENTS
from ledger.core.records import NO_LOCATION
from ledger.core.statuses import (
    DocumentKind,
    FulfillmentAction,
    FulfillmentMethod,
    FulfillmentVerb,
    Kind,
    Status,
    TransferAction,
    TransferVerb,
)
from ledger.oracle.facts import RECORDABLE

SKUS, LOCATIONS = range(3), range(3)
LEVELS = [(sku, location) for sku in SKUS for location in LOCATIONS]
WINDOW_US = 10 * MINUTE_US
RETENTION_US = 5 * MINUTE_US
SAID = {
    row.verb: [*row.actions, *[action for action in row.actions if action is TransferAction.ACCEPT] * 3]
    for row in DOCUMENTS[0].verbs
    if row.verb is not TransferVerb.CREATE
}
(WORK,) = (row for row in DOCUMENTS if row.kind is DocumentKind.FULFILLMENT_ORDER)
DONE = {row.verb: row for row in WORK.verbs if row.verb is not FulfillmentVerb.CREATE}
OFTEN = [FulfillmentVerb.PICK, FulfillmentVerb.SHIP, FulfillmentVerb.MAKE_READY, FulfillmentVerb.COLLECT]


class Intent(NamedTuple):
    """A command whose reservation and request id are not known before it runs."""

    command: Command
    recent: int
    """Which reservation: 0 is the last one made."""
    picks: list[tuple[int, int]]
    """Lines of that reservation to name instead of the command's, each with how many of its units."""
    garbage: int | None
    """Instead of the reservation: its id with this bit flipped."""
    request: tuple[str, int] | None
    """A request id: "v4" and "v7" are new, "old" is too old, "equal" and "other" were used before with this content
    or another."""
    is_doubled: bool
    """The same command twice in a row."""


Step = tuple[str, int]
"""How long until the next batch: "after" some time, or at a time around the next "expiry" of a hold."""


class Callers:
    """Makes up what callers send, from any source of chance: a seed, or Hypothesis."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance

    def rarely(self, times: int) -> bool:
        return self.chance.randrange(times) == times - 1

    def sku(self) -> int:
        return self.chance.choice([-1, -2]) if self.rarely(40) else self.chance.choice(SKUS)

    def location(self) -> int:
        return self.chance.choice([-1, -2]) if self.rarely(40) else self.chance.choice(LOCATIONS)

    def units(self) -> int:
        if self.rarely(10):
            return self.chance.choice([10, 30, 10, 30, 2**24])
        return self.chance.randint(1, 4)

    def total(self) -> int:
        return self.units() if self.rarely(4) else self.chance.choice([0, 1, 2, 3, 5, 20])

    def ttl_us(self) -> int:
        return self.chance.choice([MINUTE_US, MINUTE_US, MINUTE_US, RETENTION_US, SECOND_US, limits.TTL_US_MAX, 1])

    def lines(self, quantity: Callable[[], int]) -> list[tuple[int, int, int]]:
        levels = {(self.sku(), self.location()): quantity() for _ in range(self.chance.randint(1, 4))}
        return [(*level, units) for level, units in levels.items()]

    def lines_or_all(self) -> list[tuple[int, int, int]]:
        return self.lines(self.units) if self.chance.randrange(2) else []

    def reserve(self) -> Command:
        lines = self.lines(self.units)
        is_partial = self.chance.randrange(2) == 1
        return reserve(lines, ttl_us=self.ttl_us(), allow_partial=is_partial, content=self.chance.randrange(2))

    def use_hold(self) -> Command:
        match self.chance.randrange(4):
            case 0 | 1:
                return commit(0, self.lines_or_all())
            case 2:
                return release(0, self.lines_or_all())
            case _:
                return extend(0, ttl_us=self.ttl_us())

    def change(self) -> Command:
        version = self.chance.choice([1, 2, 3]) if self.rarely(4) else 0
        if self.chance.randrange(3) == 0:
            return replace_hold(0, self.lines(self.units), ttl_us=self.ttl_us(), expected_version=version)
        if self.chance.randrange(2):
            return amend(0, self.lines(self.total), expected_version=version)
        source = self.location()
        target = self.chance.choice([at for at in LOCATIONS if at != source])
        lines = {self.sku(): self.units() for _ in range(self.chance.randint(1, 3))}
        is_whole = self.chance.randrange(2) == 1
        return transfer(0, source, target, None if is_whole else lines.items(), expected_version=version)

    def use_commitment(self) -> Command:
        return self.chance.choice([fulfill, cancel])(0, self.lines_or_all())

    def movement(self) -> Line:
        kind = self.chance.choice([*[Kind.RECEIVE] * 3, *RECORDABLE])
        sku, location, to_location, reason = self.sku(), self.location(), NO_LOCATION, 0
        quantity = limits.QUANTITY_MAX if self.rarely(100) else self.units()
        if kind in (Kind.MARK_UNAVAILABLE, Kind.MARK_AVAILABLE, Kind.WRITE_OFF, Kind.RETURN):
            reason = self.chance.choice([0] if kind == Kind.RETURN and self.rarely(2) else [1, 1, 1, 2, 5])
        elif kind == Kind.ADJUST:
            quantity *= self.chance.choice([1, -1])
        elif kind == Kind.TRANSFER_OUT:
            to_location = self.chance.choice([at for at in LOCATIONS if at != location])
        return Line(sku, location, to_location, kind, reason, quantity=quantity)

    def advance(self) -> Command:
        if self.chance.randrange(3) == 0:
            source = self.location()
            target = self.chance.choice([at for at in LOCATIONS if at != source])
            return create_transfer(
                source,
                target,
                {self.sku(): self.units() for _ in range(self.chance.randint(1, 3))}.items(),
                holds=self.chance.randrange(2) == 1,
                due_us=self.chance.choice([0, NOW_US]),
                order=-self.chance.randrange(2),  # -1: one that is found when it runs
                uses_safety_stock=self.rarely(3),
            )
        verb = self.chance.choice([*[TransferVerb.DISPATCH] * 2, *[TransferVerb.RECEIVE] * 3, *SAID])
        said = {(self.sku(), self.chance.choice(SAID[verb])) for _ in range(self.chance.randint(0, 4)) if SAID[verb]}
        if verb is TransferVerb.FIND:
            said = said or {(self.sku(), TransferAction.FIND)}
        lines = [
            units(sku, action, self.units(), self.chance.choice([1, 3]) if action is TransferAction.SET_ASIDE else 0)
            for sku, action in sorted(said)
        ]
        version = self.chance.choice([1, 2, 3]) if self.rarely(6) else 0
        return advance(verb, lines, expected_version=version, uses_safety_stock=self.rarely(3))

    def work(self) -> Command:
        if self.chance.randrange(3) == 0:
            return assign(
                -1,  # one that is found when it runs
                self.location(),
                {self.sku(): self.units() for _ in range(self.chance.randint(1, 3))}.items(),
                method=self.chance.choice(list(FulfillmentMethod)),
                due_us=self.chance.choice([0, NOW_US]),
            )
        row = DONE[self.chance.choice([*DONE, *OFTEN, *OFTEN])]
        least = int(row.needs_lines)
        skus = {self.sku() for _ in range(self.chance.choice([least, least, 1, 2]))} if row.actions else ()
        lines = [units(sku, FulfillmentAction(row.actions[0]), self.units()) for sku in sorted(skus)]
        version = self.chance.choice([1, 2, 3]) if self.rarely(6) else 0
        return work(row.verb, lines, expected_version=version)

    def fact(self) -> Command:
        match self.chance.randrange(6):
            case 0 | 1 | 2:
                return record(*(self.movement() for _ in range(self.chance.randint(1, 4))))
            case 3:
                return set_on_hand(self.lines(self.total), validate_only=self.rarely(4))
            case 4:
                safety, backorder = (self.chance.choice([None, 0, 1, 5]) for _ in range(2))
                return set_policy(self.sku(), self.location(), safety_stock=safety, backorder_limit=backorder)
            case _:
                status = self.chance.choice([Status.OK, Status.SKU_ALREADY_EXISTS])
                decided = self.chance.choice([change_catalog, remember])
                return decided(status=status, outcome=self.chance.randrange(9), content=self.chance.randrange(2))

    def intent(self, commands: Sequence[Callable[[], Command]]) -> Intent:
        kinds = ["v7", "v7", "v4", "equal", "equal", "other", "old"]
        return Intent(
            command=self.chance.choice(commands)(),
            recent=self.chance.randrange(6),
            picks=[(self.chance.randrange(4), self.chance.randrange(5)) for _ in range(self.chance.randrange(3))],
            garbage=self.chance.randrange(64) if self.rarely(20) else None,
            request=(self.chance.choice(kinds), self.chance.randrange(6)) if self.rarely(3) else None,
            is_doubled=self.rarely(10),
        )

    def batch(self, *names: str) -> list[Intent]:
        commands = [getattr(self, name) for name in names]
        return [self.intent(commands) for _ in range(self.chance.randint(1, 4))]

    def step(self) -> Step:
        if self.rarely(20):
            pauses = [MINUTE_US, RETENTION_US, RETENTION_US + 1, WINDOW_US, WINDOW_US + 1]
            return "after", self.chance.choice(pauses)
        if self.rarely(12):
            return "expiry", self.chance.choice([0, 0, 0, -1, 1])
        return "after", self.chance.choice([0, 0, 0, 0, 1, SECOND_US])


COMMANDS = ("reserve", "use_hold", "change", "use_commitment", "fact", "advance", "work")
