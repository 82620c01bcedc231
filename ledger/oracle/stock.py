"""The ledger in plain Python, as simple as can be: what the fast ledger must agree with.

It is written from the contract alone and shares no code with the kernels. Stock is one book of accounts, in double
entry; every command lists all the causes that speak against it, and the lowest status among them is the answer; only
when there is none does anything change.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ledger.core import limits
from ledger.core.ids import SHARD_SHIFT
from ledger.core.records import (
    ALLOW_PARTIAL,
    ANY_SKU,
    DETAIL,
    FIELD_NAMES,
    IS_ONLY_TOLD,
    IS_STORED,
    IS_WRITTEN,
    NO_LEVEL,
    NO_LOCATION,
    OUTCOME,
    SETS_BACKORDER_LIMIT,
    SETS_SAFETY_STOCK,
    TO_LOCATION,
    VALIDATE_ONLY,
    Answer,
    Batch,
)
from ledger.core.statuses import Kind, Operation, ReservationState, Status
from ledger.core.views import DocumentView, LevelView, LineView, ReservationView
from ledger.oracle.books import (
    OUTSIDE,
    Account,
    Books,
    Causes,
    Command,
    Detail,
    Held,
    Level,
    Line,
    Reservation,
    Result,
    Stored,
    Wanted,
    all_open,
)
from ledger.oracle.documents import Documents
from ledger.oracle.facts import RECORDABLE, oversold_result, record_movement
from ledger.oracle.holds import AMENDABLE_NOT, NOT_ACTIVE, NOT_COMMITTED, open_at_location, refused, wanted_by
from ledger.oracle.invariants import broken_invariants
from ledger.oracle.requests import TO_OTHER_PLACES, assert_once, commands_of, differing_fields, is_too_old


class OracleLedger:
    """The plain ledger. Everything it is, it keeps in dictionaries."""

    def __init__(self, *, request_window_us: int, retention_us: int, shard: int = 0) -> None:
        self.seq = 0
        self.shard = shard
        self._request_window_us = request_window_us
        self._retention_us = retention_us
        self.time_us = 0
        self._skus: dict[str, int] = {}
        self._locations: dict[str, int] = {}
        self._is_active: list[bool] = []
        self.books = Books()
        self.reservations: dict[int, Reservation] = {}
        self._last_reservation_id = shard << SHARD_SHIFT
        self.documents = Documents(self)
        self._stored: dict[tuple[int, int], Stored] = {}
        self._operations = {
            Operation.RESERVE: self._reserve,
            Operation.COMMIT: self._commit,
            Operation.RELEASE: self._release,
            Operation.EXTEND: self._extend,
            Operation.AMEND: self._amend,
            Operation.TRANSFER: self._transfer,
            Operation.FULFILL: self._fulfill,
            Operation.CANCEL: self._cancel,
            Operation.RECORD_MOVEMENTS: self._record_movements,
            Operation.SET_ON_HAND: self._set_on_hand,
            Operation.SET_POLICY: self._set_policy,
            Operation.CHANGE_CATALOG: self._tell_what_was_decided,
            Operation.REMEMBER: self._tell_what_was_decided,
            Operation.ADVANCE: self._advance,
            Operation.REPLACE: self._replace,
            Operation.ADVANCE_FULFILLMENT: self._advance,
        }
        assert self._operations.keys() == set(Operation) - {Operation.EXPIRE}  # which nobody asks for

    # ---- catalog and reads -------------------------------------------------------------------------------------------

    def define_sku(self, sku_id: str) -> int:
        """Give the sku its index, once."""
        return self._skus.setdefault(sku_id, len(self._skus))

    def define_location(self, location_id: str, active: bool = True) -> int:
        """Give the location its index, once."""
        if location_id not in self._locations:
            self._locations[location_id] = len(self._is_active)
            self._is_active.append(active)
        return self._locations[location_id]

    def set_location_active(self, location: int, active: bool) -> None:
        """Let the location take new reservations, or no more."""
        self._is_active[location] = active

    def available(self, sku: int, location: int) -> int | None:
        """Units a new reservation can get, raw: may be negative; None where the sku is not stocked."""
        level = sku, location
        return self.books.available(level) if level in self.books.policies else None

    def level(self, sku: int, location: int) -> LevelView | None:
        """Read one stock level; None where the sku is not stocked."""
        level = sku, location
        if level not in self.books.policies:
            return None
        return LevelView(
            on_hand=self.books.on_hand(level),
            unavailable=self.books.unavailable(level),
            reserved=self.books.at(level, Account.RESERVED),
            committed=self.books.at(level, Account.COMMITTED),
            safety_stock=self.books.policies[level].safety_stock,
            backorder_limit=self.books.policies[level].backorder_limit,
        )

    def is_foreign(self, identity: int) -> bool:
        """Tell whether an id names another shard."""
        return identity > 0 and identity >> SHARD_SHIFT != self.shard

    def reservation(self, reservation_id: int) -> ReservationView | None:
        """Read one reservation; None if the id is unknown or long ended."""
        found = self.reservations.get(reservation_id)
        if found is None:
            return None
        lines = tuple(LineView(*level, held.quantity, held.open, held.fulfilled) for level, held in found.lines.items())
        return ReservationView(found.shown_state, found.version, found.create_time_us, found.time_us, lines)

    def outside(self, sku: int) -> dict[Account, int]:
        """Units of the sku that stand outside, by account."""
        return {account: self.books.outside(sku, account) for account in OUTSIDE}

    def document(self, document_id: int, kind: int) -> DocumentView | None:
        """Read one document; None if the id is unknown or long ended."""
        return self.documents.view(document_id, kind)

    # ---- the write path ----------------------------------------------------------------------------------------------

    def execute(self, batch: Batch, time_us: int) -> Answer:
        """Let time pass, then run the commands in order."""
        assert time_us >= self.time_us
        self.time_us = time_us
        self._expire()
        self._forget()
        outcomes = np.zeros(len(batch.commands), OUTCOME)
        details: list[Detail] = []
        for outcome, command in zip(outcomes, commands_of(batch), strict=True):
            result, seq = self._answer(command)
            for name in ("status", "flags", "state", "field", "version", "reservation_id", "time_us"):
                outcome[name] = getattr(result, name)
            outcome["seq"] = seq
            outcome["detail_start"] = len(details)
            outcome["detail_count"] = len(result.details)
            details += result.details
        rows = [(detail.line, detail.level, detail.requested, detail.quantity) for detail in details]
        return Answer(outcomes, np.array(rows, DETAIL))

    def _with_rows(self, result: Result) -> Result:
        """Name stock levels by number, in the order they began to exist."""
        rows = {level: row for row, level in enumerate(self.books.policies)} if result.details else {}
        details = [
            each if isinstance(each.level, int) else each._replace(level=rows.get(each.level, NO_LEVEL))
            for each in result.details
        ]
        return result._replace(details=tuple(details))

    def level_keys(self, first: int, last: int) -> tuple[list[int], list[int]]:
        """Sku and location indexes of the stock levels first to last - 1."""
        levels = list(self.books.policies)[first:last]
        return [sku for sku, _ in levels], [location for _, location in levels]

    def _expire(self) -> None:
        """End the holds whose instant has come; each takes a seq."""
        active = [each for each in self.reservations.values() if each.state == ReservationState.ACTIVE]
        for each in sorted(active, key=lambda each: (each.time_us, each.reservation_id & 0xFFFFFFFF)):
            if each.time_us > self.time_us:
                break
            for wanted in all_open(each):
                self._take(each, wanted, Account.FREE)
            # It ended at its own instant, however late anyone looked.
            each.end(ReservationState.EXPIRED, each.time_us)
            each.version += 1
            self.seq += 1

    def _forget(self) -> None:
        """Drop request ids beyond the window and reservations that ended long ago."""
        oldest_us = self.time_us - self._request_window_us
        self._stored = {key: stored for key, stored in self._stored.items() if stored.time_us >= oldest_us}
        oldest_us = self.time_us - self._retention_us
        self.documents.forget(oldest_us)
        self.reservations = {
            key: each for key, each in self.reservations.items() if not each.is_ended or each.time_us >= oldest_us
        }

    def _answer(self, command: Command) -> tuple[Result, int]:
        """Run one command, unless its request id was here before; answer with its seq."""
        if command.operation not in TO_OTHER_PLACES:
            assert all(line.to_location == NO_LOCATION for line in command.lines)
        request_id = command.request_id
        if request_id is not None:
            stored = self._stored.get(request_id)
            if stored is not None:
                return self._repeat(command, stored)
            if is_too_old(request_id[0], self.time_us - self._request_window_us):
                return Result(Status.REQUEST_ID_TOO_OLD), self.seq
        result = self._with_rows(self._operations[Operation(command.operation)](command))
        is_change = result.status == Status.OK and result.is_change
        if command.flags & VALIDATE_ONLY:
            return result._replace(flags=IS_ONLY_TOLD), self.seq
        if request_id is None and not is_change:
            return result, self.seq
        self.seq += 1
        if request_id is not None:
            self._stored[request_id] = Stored(command, result, self.seq, self.time_us)
        return result._replace(flags=result.flags | IS_WRITTEN), self.seq

    def _repeat(self, command: Command, stored: Stored) -> tuple[Result, int]:
        """Answer a request id that was here before."""
        differing = differing_fields(stored.command, command)
        if differing:
            return Result(Status.REQUEST_ID_REUSED, field=FIELD_NAMES.index(differing[0])), self.seq
        return stored.result._replace(flags=stored.result.flags | IS_STORED), stored.seq

    # ---- what speaks against a command -------------------------------------------------------------------------------

    def _unknown(self, lines: Iterable[Line]) -> Causes:
        """Begin with the lines whose sku or location the catalog does not know."""
        causes = Causes()
        for index, line in enumerate(lines):
            if line.sku < 0 and line.sku != ANY_SKU:
                causes.add(Status.SKU_NOT_FOUND, index)
            if line.location < 0 or line.to_location < NO_LOCATION:
                causes.add(Status.LOCATION_NOT_FOUND, index, level=NO_LEVEL if line.location < 0 else TO_LOCATION)
        return causes

    def _find(
        self, command: Command, causes: Causes, wrong: dict[ReservationState, Status], ended: Status | None = None
    ) -> Reservation | None:
        """Find the reservation and note what is wrong with its state, or with a commitment that is all fulfilled."""
        if self.is_foreign(command.reservation_id):
            causes.add(Status.WRONG_SHARD)
            return None
        found = self.reservations.get(command.reservation_id)
        if found is None:
            causes.add(Status.RESERVATION_NOT_FOUND)
            return None
        if found.state in wrong:
            causes.add(wrong[found.state])
        elif ended is not None and found.state == ReservationState.COMMITTED and found.is_ended:
            causes.add(ended)
        if command.expected_version not in (0, found.version):
            causes.add(Status.VERSION_MISMATCH)
            causes.version = found.version
        return found

    def _need(
        self, causes: Causes, wanted: Wanted, leaves: Level | int = NO_LEVEL, room: int | None = None, own: int = 0
    ) -> None:
        """Note what speaks against taking free units of a level for a hold.

        `leaves` is where they are held now; `own` units of them the hold has there already.
        """
        if wanted.level not in self.books.policies:
            causes.add(Status.NOT_STOCKED_HERE, wanted.line, level=leaves)
            return
        if wanted.quantity <= own:
            return
        if not self._is_active[wanted.level[1]]:
            causes.add(Status.LOCATION_INACTIVE, wanted.line)
        available = max(0, self.books.available(wanted.level))
        if room is not None:
            available = min(available, room)
        available += own
        if available < wanted.quantity:
            causes.add(Status.INSUFFICIENT_STOCK, wanted.line, available, wanted.level, wanted.quantity)

    # ---- reservations ------------------------------------------------------------------------------------------------

    def _reserve(self, command: Command) -> Result:
        assert 0 < command.ttl_us <= limits.TTL_US_MAX
        assert 0 < len(command.lines) <= limits.LINES_PER_RESERVATION_MAX
        assert_once(command)
        asked = wanted_by(command)
        causes = self._unknown(command.lines)
        granted = asked
        for wanted in asked:
            if min(wanted.level) >= 0:
                self._need(causes, wanted)
        refusal = causes.refusal()
        short: tuple[Detail, ...] = ()
        if refusal and refusal.status == Status.INSUFFICIENT_STOCK and command.flags & ALLOW_PARTIAL:
            granted = [each._replace(quantity=self._obtainable(each)) for each in asked]
            short = refusal.details
            refusal = None if any(each.quantity for each in granted) else refusal
        if refusal:
            return refusal
        made = self._create([each for each in granted if each.quantity], command.ttl_us)
        return Result(Status.OK, made.state, made.version, made.reservation_id, made.time_us, details=short)

    def _obtainable(self, wanted: Wanted) -> int:
        return min(wanted.quantity, max(0, self.books.available(wanted.level)))

    def _create(self, granted: list[Wanted], ttl_us: int) -> Reservation:
        self._last_reservation_id += 1
        made = Reservation(
            self._last_reservation_id, ReservationState.ACTIVE, 1, self.time_us, self.time_us + ttl_us, {}
        )
        for wanted in granted:
            made.lines[wanted.level] = Held(quantity=wanted.quantity)
            self._grow(made, wanted)
        self.reservations[made.reservation_id] = made
        return made

    def _commit(self, command: Command) -> Result:
        wrong = {
            ReservationState.EXPIRED: Status.RESERVATION_EXPIRED,
            ReservationState.RELEASED: Status.RESERVATION_NOT_ACTIVE,
        }
        if command.lines:
            wrong[ReservationState.COMMITTED] = Status.RESERVATION_NOT_ACTIVE
        found, chosen, refusal = self._choose(command, wrong)
        if refusal or found is None:
            return refused(refusal)
        if found.state == ReservationState.COMMITTED:
            return Result(Status.OK, found.shown_state, found.version, found.reservation_id, is_change=False)
        for wanted in chosen:
            self._take(found, wanted, Account.COMMITTED)
        for rest in all_open(found):
            self._take(found, rest, Account.FREE)
        for wanted in chosen:
            found.lines[wanted.level].open = wanted.quantity
        found.end(ReservationState.COMMITTED, self.time_us)
        return self._changed(found)

    def _release(self, command: Command) -> Result:
        found, chosen, refusal = self._choose(command, NOT_ACTIVE)
        if refusal or found is None:
            return refused(refusal)
        for wanted in chosen:
            self._take(found, wanted, Account.FREE)
        if not found.is_open:
            found.end(ReservationState.RELEASED, self.time_us)
        return self._changed(found)

    def _extend(self, command: Command) -> Result:
        assert 0 < command.ttl_us <= limits.TTL_US_MAX
        causes = Causes()
        found = self._find(command, causes, NOT_ACTIVE)
        refusal = causes.refusal()
        if refusal or found is None:
            return refused(refusal)
        found.time_us = self.time_us + command.ttl_us
        return self._changed(found)._replace(time_us=found.time_us)

    def _fulfill(self, command: Command) -> Result:
        return self._end_commitment(command, Account.CUSTOMER)

    def _cancel(self, command: Command) -> Result:
        return self._end_commitment(command, Account.FREE)

    def _end_commitment(self, command: Command, target: Account) -> Result:
        found, chosen, refusal = self._choose(command, NOT_COMMITTED, Status.RESERVATION_NOT_COMMITTED)
        if refusal or found is None:
            return refused(refusal)
        causes = Causes()
        for wanted in chosen:
            sellable = self.books.sellable(wanted.level)
            if target == Account.CUSTOMER and sellable < wanted.quantity:
                causes.add(Status.INSUFFICIENT_STOCK, wanted.line, max(0, sellable), wanted.level, wanted.quantity)
        refusal = causes.refusal()
        if refusal:
            return refusal
        for wanted in chosen:
            self._take(found, wanted, target)
        found.is_given_up = target == Account.FREE and not command.lines
        if found.is_ended:
            found.time_us = self.time_us
        return self._changed(found)

    def _choose(
        self, command: Command, wrong: dict[ReservationState, Status], ended: Status | None = None
    ) -> tuple[Reservation | None, list[Wanted], Result | None]:
        """Find the reservation and the open units that the command names, or all if it names none."""
        assert_once(command)
        causes = self._unknown(command.lines)
        found = self._find(command, causes, wrong, ended)
        if found is None:
            return None, [], causes.refusal()
        if not command.lines:
            return found, all_open(found), causes.refusal()
        chosen = wanted_by(command)
        for wanted in chosen:
            if wanted.quantity > found.open_at(wanted.level):
                there = found.open_at(wanted.level)
                causes.add(Status.QUANTITY_EXCEEDS_OPEN, wanted.line, there, wanted.level, wanted.quantity)
        return found, chosen, causes.refusal()

    def _amend(self, command: Command) -> Result:
        assert 0 < len(command.lines) <= limits.LINES_PER_RESERVATION_MAX
        assert_once(command)
        causes = self._unknown(command.lines)
        found = self._find(command, causes, AMENDABLE_NOT, Status.RESERVATION_NOT_ACTIVE)
        if found is None:
            return refused(causes.refusal())
        growths: list[Wanted] = []
        for index, line in enumerate(command.lines):
            held = found.lines.get(line.level, Held())
            if line.quantity < held.fulfilled:
                causes.add(Status.QUANTITY_EXCEEDS_OPEN, index, held.fulfilled, line.level, line.quantity)
            growths.append(Wanted(index, line.level, line.quantity - held.fulfilled - held.open))
            if min(line.level) >= 0:
                self._need(causes, growths[-1])
        kept = set(found.lines) - {line.level for line in command.lines if line.quantity == 0}
        if len(kept | {line.level for line in command.lines if line.quantity}) > limits.LINES_PER_RESERVATION_MAX:
            causes.add(Status.TOO_MANY_LINES)
        refusal = causes.refusal()
        if refusal:
            return refusal
        for line, growth in zip(command.lines, growths, strict=True):
            if line.level in found.lines or line.quantity > 0:
                found.lines.setdefault(line.level, Held()).quantity = line.quantity
                self._grow(found, growth)
        found.drop_empty_lines()
        was_active = found.state == ReservationState.ACTIVE
        if not found.is_open and (was_active or found.is_ended):
            found.end(ReservationState.RELEASED if was_active else found.state, self.time_us)
        return self._changed(found)

    def _replace(self, command: Command) -> Result:
        assert 0 < command.ttl_us <= limits.TTL_US_MAX
        assert 0 < len(command.lines) <= limits.LINES_PER_RESERVATION_MAX
        assert not command.flags & ALLOW_PARTIAL
        assert_once(command)
        asked = wanted_by(command)
        causes = self._unknown(command.lines)
        found = self._find(command, causes, NOT_ACTIVE)
        if found is None:
            return refused(causes.refusal())
        for wanted in asked:
            if min(wanted.level) >= 0:
                self._need(causes, wanted, own=found.open_at(wanted.level))
        refusal = causes.refusal()
        if refusal:
            return refusal
        named = {wanted.level for wanted in asked}
        for rest in all_open(found):
            if rest.level not in named:
                self._take(found, rest, Account.FREE)
        found.lines = {level: held for level, held in found.lines.items() if level in named}
        for wanted in asked:
            held = found.lines.setdefault(wanted.level, Held())
            self._grow(found, wanted._replace(quantity=wanted.quantity - held.open))
            held.quantity = wanted.quantity
        found.time_us = self.time_us + command.ttl_us
        return self._changed(found)._replace(time_us=found.time_us)

    def _transfer(self, command: Command) -> Result:
        assert 0 < len(command.lines) <= limits.LINES_PER_RESERVATION_MAX
        assert_once(command)
        source, target = command.lines[0].location, command.lines[0].to_location
        assert all((line.location, line.to_location) == (source, target) for line in command.lines)
        assert source != target
        causes = self._unknown(command.lines)
        found = self._find(command, causes, AMENDABLE_NOT, Status.RESERVATION_NOT_ACTIVE)
        if found is None:
            return refused(causes.refusal())
        is_whole = command.lines[0].sku == ANY_SKU
        moves = open_at_location(found, source) if is_whole else wanted_by(command)
        if not moves:
            causes.add(Status.QUANTITY_EXCEEDS_OPEN)
        if target >= 0 and not self._is_active[target]:
            causes.add(Status.LOCATION_INACTIVE)  # whatever moves: no line of it is to blame
        arrivals = [move._replace(level=(move.level[0], target)) for move in moves]
        for move, arrival in zip(moves, arrivals, strict=True):
            if move.quantity > found.open_at(move.level):
                there = found.open_at(move.level)
                causes.add(Status.QUANTITY_EXCEEDS_OPEN, move.line, there, move.level, move.quantity)
            if min(arrival.level) >= 0:
                room = limits.QUANTITY_MAX - found.lines.get(arrival.level, Held()).quantity
                self._need(causes, arrival, move.level if is_whole else NO_LEVEL, room)
        gone = {move.level for move in moves if found.lines.get(move.level, Held()).quantity == move.quantity}
        stay = (set(found.lines) - gone) | {arrival.level for arrival in arrivals}
        if len(stay) > limits.LINES_PER_RESERVATION_MAX:
            causes.add(Status.TOO_MANY_LINES)
        refusal = causes.refusal()
        if refusal:
            return refusal
        for move, arrival in zip(moves, arrivals, strict=True):
            self._take(found, move, Account.FREE)
            found.lines[move.level].quantity -= move.quantity
            found.lines.setdefault(arrival.level, Held()).quantity += move.quantity
            self._grow(found, arrival)
        found.drop_empty_lines()
        return self._changed(found)

    def _grow(self, found: Reservation, growth: Wanted) -> None:
        """Hold more of a level in a line that is there (less, if negative); never more than is available."""
        assert growth.quantity <= max(0, self.books.available(growth.level))
        self.books.move_at(growth.level, growth.quantity, Account.FREE, found.account)
        found.lines[growth.level].open += growth.quantity

    def _take(self, found: Reservation, wanted: Wanted, target: Account) -> None:
        """Take open units out of a line."""
        held = found.lines[wanted.level]
        assert 0 <= wanted.quantity <= held.open
        self.books.move_at(wanted.level, wanted.quantity, found.account, target)
        held.open -= wanted.quantity
        if target == Account.CUSTOMER:
            held.fulfilled += wanted.quantity

    def _changed(self, found: Reservation) -> Result:
        found.version += 1
        return Result(Status.OK, found.shown_state, found.version, found.reservation_id)

    # ---- facts and policy --------------------------------------------------------------------------------------------

    def _record_movements(self, command: Command) -> Result:
        assert 0 < len(command.lines) <= limits.MOVEMENTS_PER_CALL_MAX
        causes = self._unknown(command.lines)
        refusal = causes.refusal()
        if refusal:
            return refusal
        draft = self.books.copy()
        touched: dict[Level, int] = {}
        for index, line in enumerate(command.lines):
            touched.setdefault(line.level, index)
            if RECORDABLE[Kind(line.kind)].arrives:
                touched.setdefault((line.sku, line.to_location), index)
            record_movement(draft, causes, index, line)
        refusal = causes.refusal()
        if refusal:
            return refusal
        self.books = draft
        return oversold_result(draft, touched)

    def _set_on_hand(self, command: Command) -> Result:
        assert 0 < len(command.lines) <= limits.MOVEMENTS_PER_CALL_MAX
        assert_once(command)
        refusal = self._unknown(command.lines).refusal()
        if refusal:
            return refusal
        draft = self.books.copy()
        for line in command.lines:
            assert 0 <= line.quantity <= limits.QUANTITY_MAX
            draft.stock(line.level)
            draft.move_at(line.level, line.quantity - draft.on_hand(line.level), Account.SHRINKAGE, Account.FREE)
        is_change = draft != self.books
        if command.flags & VALIDATE_ONLY or not (is_change or command.request_id):
            return Result(Status.OK, is_change=False)  # no fact was applied, so none is reported
        self.books = draft
        touched = {line.level: index for index, line in enumerate(command.lines)}
        return oversold_result(draft, touched)._replace(is_change=is_change)

    def _set_policy(self, command: Command) -> Result:
        (line,) = command.lines
        refusal = self._unknown(command.lines).refusal()
        if refusal:
            return refusal
        before = self.books.policies.get(line.level)
        self.books.stock(line.level)
        policy = self.books.policies[line.level]
        if command.flags & SETS_SAFETY_STOCK:
            policy = policy._replace(safety_stock=line.quantity)
        if command.flags & SETS_BACKORDER_LIMIT:
            policy = policy._replace(backorder_limit=line.to_quantity)
        self.books.policies[line.level] = policy
        return Result(Status.OK, is_change=policy != before)

    def _tell_what_was_decided(self, command: Command) -> Result:
        """Answer what was decided elsewhere: a status and a result, handed in with the command."""
        assert not command.lines
        return Result(Status(command.status), time_us=command.result)

    def _advance(self, command: Command) -> Result:
        return self.documents.advance(command)

    def verify(self) -> list[str]:
        """Name every broken invariant; empty means all is well."""
        return broken_invariants(self)
