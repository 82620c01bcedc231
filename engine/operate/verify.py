"""Checking a shard without an engine: checksums, the digests its writer told, and a recount of the whole ledger."""

from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console

from engine.api.routing.network_proof import violations_of
from engine.operate.offline import Offline, Scratch, beginnings
from ledger.core.views import Violation

VIOLATIONS_SHOWN_MAX: Final = 1_000


def verify_offline(offline: Offline, console: Console, *, from_start: bool) -> dict[str, Any]:
    """Recover a book and recount it; see `findings`.

    Raises
    ------
    JournalError, OperatorError
        There is no book to be had: what is damaged and where.
    """
    refused: list[str] = []
    last_seq = offline.journal.tail().last_seq
    scratch = next(beginnings(offline, last_seq, refused, from_start=from_start))
    scratch.replay(offline, last_seq, console)
    return findings(scratch, refused)


def findings(scratch: Scratch, refused: Sequence[str]) -> dict[str, Any]:
    """Return what a recount finds, with the fields of VerifyLedgerResponse, and what the ledger was made of."""
    book = scratch.book
    violations = violations_of(book)
    is_ok = not violations and not scratch.mismatches
    return {
        "verify": "ok" if is_ok else "violated",
        "ok": is_ok,
        "violations": [told(found) for found in violations[:VIOLATIONS_SHOWN_MAX]],
        "violation_count": len(violations),
        "seq": book.seq,
        "digest": book.digest().hex(),
        "oversold_level_count": book.ledger.oversold_level_count(),
        "snapshot_seq": scratch.snapshot_seq,
        "replayed_entry_count": scratch.replayer.entry_count,
        "digests_compared_count": scratch.replayer.compared_count,
        "digest_mismatches": scratch.mismatches,
        "refused_snapshots": list(refused),
    }


def told(found: Violation) -> str:
    """Return a violation as a line for people."""
    return f"{found.invariant}: {found.subject}: expected {found.expected}, was {found.actual}"
