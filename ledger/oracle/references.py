"""What callers said of reservations, in plain Python: two dictionaries, and a search through all of it."""

from __future__ import annotations

from typing import NamedTuple


class Said(NamedTuple):
    """What was said of one reservation."""

    reference: str = ""
    actor: str = ""
    commit_reference: str = ""


class OracleReferences:
    """What is kept of each reservation, for ever: which of them can be read is the ledger's affair."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[str, str]] = {}
        self._committed: dict[int, str] = {}

    def make(self, reservation_id: int, reference: str, actor: str) -> None:
        """Hear of a write that made a reservation."""
        self._made[reservation_id] = reference, actor

    def commit(self, reservation_id: int, reference: str) -> None:
        """Hear of a write that committed one."""
        self._committed[reservation_id] = reference

    def of(self, reservation_id: int) -> Said:
        """Return what was said of one."""
        reference, actor = self._made.get(reservation_id, ("", ""))
        committed = self._committed.get(reservation_id, "")
        return Said(reference, actor, "" if committed == reference else committed)

    def found_by(self, reference: str) -> set[int]:
        """Return the reservations that were made or committed with a reference."""
        return {
            each
            for each in self._made.keys() | self._committed.keys()
            if reference in (self._made.get(each, ("", ""))[0], self._committed.get(each))
        }
