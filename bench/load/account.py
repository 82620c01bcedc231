"""What the stock must be, by what the engine answered: the books of whoever called it, kept beside the engine's own."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, TypeAlias

import grpc
from onhand.admin.v1 import admin_service_pb2
from onhand.admin.v1.admin_service_pb2_grpc import AdminServiceStub
from onhand.inventory.v1 import (
    inventory_service_pb2,
    reservation_pb2,
    reservation_service_pb2,
    stock_pb2,
)
from onhand.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from onhand.inventory.v1.reservation_service_pb2_grpc import ReservationServiceStub

from bench.load.calls import OK, PATHS, Call, Reply, refusal

Level: TypeAlias = tuple[str, str]
"""sku and location."""
Lines: TypeAlias = tuple[tuple[Level, int], ...]
"""Levels and units."""
Effect: TypeAlias = Callable[[bytes], None]
"""Enters a write into the account; is given the serialized response."""

QUIET_SECONDS: Final = 30.0
"""How long the check waits for a moment in which nothing is written, expiries included."""
_SETTLE_SECONDS: Final = 30.0
_SETTLED_AT_ONCE: Final = 256
_CALL_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 0.1
_PAGE_SIZE: Final = 1_000
_PROBLEMS_SHOWN_MAX: Final = 20

ACTIVE, COMMITTED, EXPIRED, FULFILLED, RELEASED = (
    reservation_pb2.RESERVATION_STATE_ACTIVE,
    reservation_pb2.RESERVATION_STATE_COMMITTED,
    reservation_pb2.RESERVATION_STATE_EXPIRED,
    reservation_pb2.RESERVATION_STATE_FULFILLED,
    reservation_pb2.RESERVATION_STATE_RELEASED,
)


@dataclass(slots=True)
class Hold:
    """A reservation as the answers left it."""

    lines: Lines
    state: int = ACTIVE
    open: bool = True
    """Whether its units are still held, if it has not expired."""


@dataclass(slots=True)
class _Stock:
    """Units of one level."""

    on_hand: int = 0
    unavailable: int = 0
    reserved: int = 0
    committed: int = 0


class Account:
    """Stock and holds by what was acknowledged.

    Parameters
    ----------
    stock
        Units on hand at the start, by level: all levels of the workload.
    """

    def __init__(self, stock: dict[Level, int]) -> None:
        self.stock = stock
        self.holds: dict[str, Hold] = {}
        self.unknown: dict[bytes, tuple[Call, Effect]] = {}
        """Writes nobody knows the outcome of, by their request."""
        self._moved: dict[Level, _Stock] = {}
        self._settled_count = 0

    # ---- what answers say

    def reserved(self, lines: Lines, payload: bytes) -> str:
        """Enter a ReserveStockResponse; returns the reservation's id."""
        reservation_id = reservation_service_pb2.ReserveStockResponse.FromString(payload).reservation_id
        self.holds[reservation_id] = Hold(lines)
        return reservation_id

    def committed(self, reservation_id: str) -> None:
        """Enter that a reservation is committed."""
        self.holds[reservation_id].state = COMMITTED

    def released(self, reservation_id: str) -> None:
        """Enter that a reservation is released."""
        hold = self.holds[reservation_id]
        hold.state, hold.open = RELEASED, False

    def fulfilled(self, reservation_id: str) -> None:
        """Enter that the units of a committed reservation were handed over."""
        hold = self.holds[reservation_id]
        hold.state, hold.open = FULFILLED, False
        for level, units in hold.lines:
            self.moved(level, on_hand=-units)

    def moved(self, level: Level, *, on_hand: int = 0, unavailable: int = 0) -> None:
        """Enter a movement, as changes of two of a level's figures."""
        stock = self._moved.setdefault(level, _Stock())
        stock.on_hand += on_hand
        stock.unavailable += unavailable

    def metrics(self) -> dict[str, int]:
        """Return counts by name."""
        return {"unknown_outcomes": self._settled_count + len(self.unknown), "unknown_settled": self._settled_count}

    # ---- the check

    def check(self, channel: grpc.Channel) -> list[str]:
        """Settle what is unknown and compare everything; each line is one thing that is wrong.

        grpc.RpcError if the engine does not answer.
        """
        problems = self.settle(channel)
        seen = self._quiet_look(channel)
        if seen is None:
            return [*problems, f"Nothing could be compared: somebody wrote all the time for {QUIET_SECONDS:.0f} s."]
        levels, reservations = seen
        problems += self._compare_reservations(reservations)
        problems += self._compare_levels(levels, reservations)
        return _at_most(problems) + self.verify(channel)

    def settle(self, channel: grpc.Channel) -> list[str]:
        """Repeat each call of unknown outcome with its request_id until the engine says what became of it."""
        until = time.monotonic() + _SETTLE_SECONDS
        while self.unknown and time.monotonic() < until:
            if not self._settle_some(channel):
                time.sleep(_PAUSE_SECONDS)
        return [f"{len(self.unknown)} calls stay of unknown outcome: the engine does not answer."] * bool(self.unknown)

    def _settle_some(self, channel: grpc.Channel) -> int:
        """Repeat some calls at once; returns how many were settled."""
        some = list(islice(self.unknown.values(), _SETTLED_AT_ONCE))
        futures = [_begin(channel, call, _CALL_SECONDS) for call, _ in some]
        settled = 0
        for (call, effect), future in zip(some, futures, strict=True):
            reply = _reply_of(future)
            if reply.is_unknown or reply.reason == "OVERLOADED":
                continue
            if reply.is_ok:
                effect(reply.payload)
            del self.unknown[call.request]
            settled += 1
        self._settled_count += settled
        return settled

    def _quiet_look(
        self, channel: grpc.Channel
    ) -> tuple[dict[Level, stock_pb2.StockLevel], dict[str, reservation_pb2.Reservation]] | None:
        """Read levels and reservations of one seq: holds that expire meanwhile make a new one."""
        until = time.monotonic() + QUIET_SECONDS
        while time.monotonic() < until:
            seqs: set[int] = set()
            look = self.read_levels(channel, seqs), self._read_reservations(channel, seqs)
            if len(seqs) == 1:
                return look
            time.sleep(_PAUSE_SECONDS)
        return None

    def read_levels(self, channel: grpc.Channel, seqs: set[int] | None = None) -> dict[Level, stock_pb2.StockLevel]:
        """Read all levels of our locations; `seqs` gathers the positions that the pages reflect."""
        stub, found = InventoryServiceStub(channel), {}
        for location in self._locations():
            request = inventory_service_pb2.ListStockLevelsRequest(page_size=_PAGE_SIZE, location_id=location)
            while True:
                page = stub.ListStockLevels(request, timeout=_CALL_SECONDS)
                found.update({(level.sku_id, level.location_id): level for level in page.stock_levels})
                if seqs is not None:
                    seqs.add(page.seq)
                request.page_token = page.next_page_token
                if not request.page_token:
                    break
        return found

    def _read_reservations(self, channel: grpc.Channel, seqs: set[int]) -> dict[str, reservation_pb2.Reservation]:
        """Read all reservations and keep ours: the engine would look at all of them for each location as well."""
        stub, found, ours = ReservationServiceStub(channel), {}, set(self._locations())
        request = reservation_service_pb2.ListReservationsRequest(page_size=_PAGE_SIZE)
        while True:
            page = stub.ListReservations(request, timeout=_CALL_SECONDS)
            with_lines = (one for one in page.reservations if one.lines)  # others' may have none: amended to nothing
            found.update({one.reservation_id: one for one in with_lines if one.lines[0].location_id in ours})
            seqs.add(page.seq)
            request.page_token = page.next_page_token
            if not request.page_token:
                return found

    def _locations(self) -> list[str]:
        return list(dict.fromkeys(location for _, location in self.stock))

    def _compare_reservations(self, found: dict[str, reservation_pb2.Reservation]) -> list[str]:
        """Each acknowledged hold is there in the state that was acknowledged, and no other is there."""
        problems = [
            f"Reservation {identifier} is there, and nobody was told so." for identifier in found.keys() - self.holds
        ]
        for identifier, hold in self.holds.items():
            problems += _compare_hold(identifier, hold, found.get(identifier))
        return problems

    def _compare_levels(
        self, found: dict[Level, stock_pb2.StockLevel], reservations: dict[str, reservation_pb2.Reservation]
    ) -> list[str]:
        problems = []
        expected = self._expected(reservations)
        for level, want in expected.items():
            have = found.get(level, stock_pb2.StockLevel())
            subject = f"{level[0]} at {level[1]}"
            for name in ("on_hand", "unavailable", "reserved", "committed"):
                wanted, was = getattr(want, name), getattr(have, name)
                if wanted != was:
                    problems.append(f"{subject}: {name} is {was}, by the answers it must be {wanted}.")
            promised_beyond = want.unavailable + want.reserved + want.committed - want.on_hand
            if promised_beyond > 0 or have.oversold:
                problems.append(
                    f"{subject}: oversold by {max(promised_beyond, 0)} units by the answers, "
                    f"by {have.oversold} by the engine."
                )
        return problems

    def _expected(self, reservations: dict[str, reservation_pb2.Reservation]) -> dict[Level, _Stock]:
        """Each level as the answers say; which soft holds have expired is read from the engine."""
        expected = {}
        for level, units in self.stock.items():
            moved = self._moved.get(level, _Stock())
            expected[level] = _Stock(units + moved.on_hand, moved.unavailable)
        for identifier, hold in self.holds.items():
            if not hold.open or (identifier in reservations and reservations[identifier].state == EXPIRED):
                continue
            for level, units in hold.lines:
                if hold.state == COMMITTED:
                    expected[level].committed += units
                else:
                    expected[level].reserved += units
        return expected

    def verify(self, channel: grpc.Channel) -> list[str]:
        """Let the engine recount itself."""
        answer = AdminServiceStub(channel).VerifyLedger(admin_service_pb2.VerifyLedgerRequest(), timeout=_CALL_SECONDS)
        return _at_most(
            f"VerifyLedger: {one.invariant} of {one.subject} is {one.actual}, expected {one.expected}."
            for one in answer.violations
        )


def _compare_hold(identifier: str, hold: Hold, found: reservation_pb2.Reservation | None) -> list[str]:
    if found is None:  # those that ended are forgotten after the retention time
        return [f"Reservation {identifier} was acknowledged and is not there."] if hold.open else []
    if found.state != hold.state and not (hold.state == ACTIVE and found.state == EXPIRED):
        states = reservation_pb2.ReservationState.Name
        return [f"Reservation {identifier} is {states(found.state)}, acknowledged was {states(hold.state)}."]
    if found.state == EXPIRED and found.end_time.ToNanoseconds() < found.expire_time.ToNanoseconds():
        return [f"Reservation {identifier} expired before its time."]
    return []


def call_once(channel: grpc.Channel, call: Call, timeout_seconds: float) -> Reply:
    """Make a call of a session through a plain channel, blocking."""
    return _reply_of(_begin(channel, call, timeout_seconds))


def _begin(channel: grpc.Channel, call: Call, timeout_seconds: float) -> Any:
    method: Any = channel.unary_unary(PATHS[call.method])
    return method.future(call.request, timeout_seconds)


def _reply_of(future: Any) -> Reply:
    """Wait for a call of grpcio and return what came of it."""
    if future.code() is grpc.StatusCode.OK:
        return Reply(OK, future.result())
    trailers = dict(future.trailing_metadata() or ())
    return refusal(int(future.code().value[0]), trailers.get("grpc-status-details-bin", b""))


def _at_most(problems: Iterable[str]) -> list[str]:
    """Return the first problems, and how many more there are."""
    everything = list(problems)
    more = len(everything) - _PROBLEMS_SHOWN_MAX
    return everything[:_PROBLEMS_SHOWN_MAX] + [f"… and {more} more."] * (more > 0)
