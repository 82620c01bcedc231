"""Plans in plain Python: what is kept, what a repeat is told, the days that units take, and what was rejected.

Capacity is a pile of units for each stock level of a planned hold: a unit lies there with the day on which it leaves.
What comes is laid on top, and what goes is taken from the top. The load of a location is what lies there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, TypeAlias

from ledger.oracle.stock import OracleLedger

Level: TypeAlias = tuple[int, int]
"""A stock level: sku index, location index."""

DAY_US: Final = 86_400_000_000
DAYS_COUNTED: Final = 2
"""A day still counts so many days after it, in UTC: then it is over everywhere."""


class Booked(NamedTuple):
    """Units that take capacity of a location on a day."""

    level: Level
    day: int
    """Days since 1970-01-01."""
    units: int


class Plan(NamedTuple):
    """One plan."""

    reservation_id: int
    """0: it holds nothing."""
    order: str
    """Whom rejections concern."""
    answer: bytes
    """What was told, and is told again."""
    is_remembered: bool
    """Whether it has a request id."""
    time_us: int


class OraclePlans:
    """Plans of a plain ledger, and what follows from them.

    Parameters
    ----------
    ledger
        Which has the holds; every change of them is told by `follow`.
    request_window_us, retention_us
        As in the ledger.
    """

    def __init__(self, ledger: OracleLedger, *, request_window_us: int, retention_us: int) -> None:
        self._ledger = ledger
        self._request_window_us = request_window_us
        self._retention_us = retention_us
        self._piles: dict[int, dict[Level, list[int]]] = {}
        self._rejections: dict[str, list[tuple[Level, int]]] = {}
        self.plans: dict[int, Plan] = {}
        """All that were ever made, by seq."""
        self.refusals: dict[int, tuple[bytes, int]] = {}
        """What calls with a request id were told that were refused, and when, by seq."""
        self.suspects: dict[Level, int] = {}
        """Stock levels that wait to be counted, and since when."""

    # ---- plans and refusals ------------------------------------------------------------------------------------------

    def keep(self, seq: int, plan: Plan, booked: Iterable[Booked]) -> None:
        """Keep a plan; the ledger has its hold by now. It takes the place of an earlier one of the same hold."""
        assert seq not in self.plans
        self.plans[seq] = plan
        if plan.reservation_id:
            self.make_way(plan.reservation_id)
            self._lay(plan.reservation_id, booked)

    def make_way(self, reservation_id: int) -> None:
        """Let what a hold takes of the days be free: it is planned anew."""
        self._piles.pop(reservation_id, None)

    def refuse(self, seq: int, content: bytes, time_us: int) -> None:
        """Keep what a call was told that was refused."""
        self.refusals[seq] = content, time_us

    def must_be_kept(self, seq: int, time_us: int) -> bool:
        """Tell whether a plan may be asked for: its hold can be read, or its request id is remembered."""
        plan = self.plans[seq]
        if plan.is_remembered and plan.time_us + self._request_window_us > time_us:
            return True
        view = self._ledger.reservation(plan.reservation_id)
        if view is None:
            return False
        is_open = any(line.open for line in view.lines)
        return is_open or view.time_us + self._retention_us > time_us

    # ---- capacity ----------------------------------------------------------------------------------------------------

    @property
    def planned(self) -> Iterable[int]:
        """Ids of the reservations that a plan made."""
        return self._piles.keys()

    def units_that_came(self, reservation_id: int) -> dict[Level, int]:
        """Return the units that a hold has, and that no booking tells of yet."""
        came = {}
        for level, units in self._held(reservation_id).items():
            more = units - len(self._piles[reservation_id].get(level, ()))
            if more > 0:
                came[level] = more
        return came

    def follow(self, reservation_id: int, came: Iterable[Booked] = ()) -> None:
        """Let a planned hold's units be where they are now: lay down what came, and take away what went."""
        self._lay(reservation_id, came)
        held = self._held(reservation_id)
        for level, pile in self._piles[reservation_id].items():
            del pile[held.get(level, 0) :]

    def _lay(self, reservation_id: int, booked: Iterable[Booked]) -> None:
        piles = self._piles.setdefault(reservation_id, {})
        for level, day, units in booked:
            piles.setdefault(level, []).extend([day] * units)

    def _held(self, reservation_id: int) -> dict[Level, int]:
        """Return the units that a hold has, those given to locations included, or had fulfilled: they did the work."""
        view = self._ledger.reservation(reservation_id)
        assert view is not None
        held = Counter({(line.sku, line.location): line.open + line.fulfilled for line in view.lines})
        return held + self._ledger.documents.assigned(reservation_id)

    def load(self, time_us: int) -> dict[tuple[int, int], int]:
        """Return the units at each location on each day that still counts."""
        first_day = time_us // DAY_US - DAYS_COUNTED
        found: Counter[tuple[int, int]] = Counter()
        for piles in self._piles.values():
            for (_, location), days in piles.items():
                found.update((location, day) for day in days if day >= first_day)
        return dict(found)

    def waiting(self, location: int, first_day: int, time_us: int) -> int:
        """Return the units that leave a location on a day or later."""
        return sum(units for (at, day), units in self.load(time_us).items() if at == location and day >= first_day)

    # ---- rejections --------------------------------------------------------------------------------------------------

    def reject(self, order: str, levels: Iterable[Level], until_us: int, time_us: int) -> None:
        """Remember where an order could not be filled; the books may be wrong there."""
        levels = list(levels)
        self._rejections.setdefault(order, []).extend((level, until_us) for level in levels)
        self.suspect(levels, time_us)

    def suspect(self, levels: Iterable[Level], time_us: int) -> None:
        """Let stock levels wait to be counted."""
        self.suspects |= dict.fromkeys(levels, time_us)

    def rejected(self, order: str, time_us: int) -> list[tuple[Level, int]]:
        """Return what an order is not filled from now, and until when."""
        return [(level, until_us) for level, until_us in self._rejections.get(order, ()) if until_us > time_us]

    @property
    def orders(self) -> Mapping[str, list[tuple[Level, int]]]:
        """Orders that ever had a rejection."""
        return self._rejections

    def count(self, levels: Iterable[Level]) -> None:
        """Let stock levels that were counted wait for it no more."""
        for level in levels:
            self.suspects.pop(level, None)
