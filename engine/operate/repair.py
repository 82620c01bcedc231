"""What could make right what a recount finds: what each violation means, and commands for a person to run.

Nothing is ever written here. Two kinds of correction are looked for:

- **Recover again.** A snapshot may hold damage that came from a machine's memory. If an older one, or the whole
  history, gives a ledger without violations, then leaving out the damaged ones is the correction, and it is exact.
- **Make up for it.** Where nothing older is left, or gives the same, calls can make right what is promised to
  customers. The columns that contradict each other stay, and go on being reported.
"""

import json
import shlex
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.console import Console
from uuid_utils import uuid7

from engine.api.routing.network_proof import violations_of
from engine.operate.corrections import Change, Name, available, corrections_of, level_named, levels_of
from engine.operate.offline import Offline, OperatorError, Scratch, beginnings
from engine.operate.verify import VIOLATIONS_SHOWN_MAX
from ledger.book import Book
from ledger.core.views import LevelView, Violation
from ledger.journal.errors import JournalCorrupt
from ledger.snapshot import DAMAGED_SUFFIX

SNAPSHOT_FOLDER: Final = "snapshots"
"""Where a snapshot is written if no data folder is known."""
COUNTED: Final = "COUNTED"
"""Stands in a command for what a person counts."""


def plan_repair(offline: Offline, address: str, console: Console) -> dict[str, Any]:
    """Recover a book, recount it, and say what could make right what is found.

    Parameters
    ----------
    address
        The engine that commands are to be sent to.

    Raises
    ------
    JournalError, OperatorError
        There is no book to be had: what is damaged and where.
    """
    refused: list[str] = []
    candidates = _candidates(offline, refused, console)
    newest, best = candidates[0], min(candidates, key=_badness)  # the newest of those that are equally good
    plan = {
        "seq": best.scratch.book.seq,
        "digest": best.scratch.book.digest().hex(),
        "refused_snapshots": refused,
        "digest_mismatches": newest.scratch.mismatches,
        "violation_count": len(newest.violations),
    }
    shown = newest.violations[:VIOLATIONS_SHOWN_MAX]
    if best.violations:
        return {"repair": "make up for it", **plan, "violations": _made_up(shown, newest.scratch.book, address)}
    if best is newest and not newest.scratch.mismatches:
        return {"repair": "nothing to repair", **plan, "violations": []}
    worse = candidates[: candidates.index(best)]
    return {
        "repair": "recover again",
        **_recovery(offline, [each.scratch for each in worse], best.scratch),
        **plan,
        "violations": _undone(shown, newest.scratch.book, best.scratch.book),
    }


class Candidate(NamedTuple):
    """A ledger that could be gone on with, and what a recount of it finds."""

    scratch: Scratch
    violations: list[Violation]


def _candidates(offline: Offline, refused: list[str], console: Console) -> list[Candidate]:
    """Recover from the newest snapshot, from the one before, … until a ledger has nothing wrong with it."""
    last_seq = offline.journal.tail().last_seq
    found: list[Candidate] = []
    for scratch in beginnings(offline, last_seq, refused):
        try:
            scratch.replay(offline, last_seq, console)
        except (JournalCorrupt, OperatorError) as error:
            if not found:
                raise OperatorError(" ".join([*refused, str(error)])) from error
            break  # what is older is not to be had
        found.append(Candidate(scratch, violations_of(scratch.book)))
        if _badness(found[-1]) == (0, 0):
            break
    return found


def _badness(candidate: Candidate) -> tuple[int, int]:
    """Return what is wrong with a ledger, the worse first."""
    return len(candidate.violations), len(candidate.scratch.mismatches)


# ---- recover again ---------------------------------------------------------------------------------------------------


def _recovery(offline: Offline, worse: Sequence[Scratch], best: Scratch) -> dict[str, Any]:
    """Return how an engine comes to go on with the best ledger.

    Where that is another than its writer's, an engine would refuse to replay to it: then a snapshot of it is taken.
    """
    paths = [scratch.snapshot for scratch in worse if scratch.snapshot]
    commands = [["mv", str(path), str(path.with_suffix(DAMAGED_SUFFIX))] for path in paths]
    if best.mismatches:
        out = str(offline.snapshot_folder or SNAPSHOT_FOLDER)
        commands.append(["onhand", "replay", *offline.flags, "--to", str(best.book.seq), "--out", out])
    commands.append(["onhand", "verify", *offline.flags])
    return {
        "correction": "The journal is right, what the engine had is not: stop it, run the commands, start it again.",
        "commands": [shlex.join(command) for command in commands],
    }


def _undone(violations: Sequence[Violation], violated: Book, sound: Book) -> list[dict[str, Any]]:
    """Return the violations with the figures of their levels that are others in the sound book."""
    return [
        {
            **found._asdict(),
            "meaning": correction.meaning,
            "changes": [
                change._asdict()
                for name in levels_of(found, violated)
                for change in _level_changes(name, violated, sound)
            ],
        }
        for found, correction in zip(violations, corrections_of(violations, violated), strict=True)
    ]


def _level_changes(name: Name, book: Book, sound: Book) -> list[Change]:
    """Return the figures of a stock level that differ between two books."""
    was, becomes = _figures(name, book), _figures(name, sound)
    subject = " at ".join(name)
    return [
        Change(f"{subject}: {figure}", was[figure], becomes[figure]) for figure in was if was[figure] != becomes[figure]
    ]


def _figures(name: Name, book: Book) -> dict[str, int]:
    """Return the figures of a stock level, all 0 where it is not found."""
    view = level_named(name, book)
    unavailable = sum(view.unavailable.values()) if view else 0
    figures = view._asdict() if view else dict.fromkeys(LevelView._fields, 0)
    return {**figures, "unavailable": unavailable, "available": available(name, book)}


# ---- make up for it --------------------------------------------------------------------------------------------------


def _made_up(violations: Sequence[Violation], book: Book, address: str) -> list[dict[str, Any]]:
    return [
        {
            **found._asdict(),
            "meaning": correction.meaning,
            "correction": correction.correction,
            "commands": [_command(call, address) for call in correction.calls],
            "changes": [each._asdict() for each in correction.changes],
        }
        for found, correction in zip(violations, corrections_of(violations, book), strict=True)
    ]


def _command(call: Message, address: str) -> str:
    """Return a call as a command line: repeating it is harmless, since it has a request id."""
    values = {**MessageToDict(call), "requestId": str(uuid7()), "reference": "repair"}
    for count in values.get("counts", ()):
        count["onHand"] = COUNTED
    return shlex.join(["grpcurl", "-plaintext", "-d", json.dumps(values), address, _method_of(call)])


def _method_of(call: Message) -> str:
    """Return the method that takes a request."""
    services = call.DESCRIPTOR.file.services_by_name.values()
    return next(
        f"{service.full_name}/{method.name}"
        for service in services
        for method in service.methods
        if method.input_type is call.DESCRIPTOR
    )
