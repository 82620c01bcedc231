"""Compiling the kernels before the first request needs them: each is called once, on a book that is thrown away."""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from ledger.book import NO_COMMANDS, Book
from ledger.core.kernels import ROOM
from ledger.core.kernels.execute import execute_batch
from ledger.core.limits import MICROSECONDS
from ledger.core.records import COMMAND, Batch, new_lines
from ledger.core.statuses import Kind, Operation
from ledger.core.views import DocumentFilter

STEPS: Final = ("expiry", "commands", "reading", "replay", "recount")


def is_compiled() -> bool:
    """Tell whether the cache holds the largest kernel of this installation, which is compiled after most others."""
    return ROOM.holds(execute_batch)


def warm_up(report: Callable[[str], None]) -> None:
    """Compile or load every kernel; `report` hears of each of STEPS as it begins."""
    steps: Iterator[str] = iter(STEPS)
    book, copy = (Book(request_window_us=MICROSECONDS, retention_us=MICROSECONDS) for _ in range(2))
    for each in (book, copy):
        each.ledger.define_sku("warm-up")
        each.ledger.define_location("warm-up")
    report(next(steps))
    book.execute(NO_COMMANDS, 1)
    report(next(steps))
    commands, lines = np.zeros(2, COMMAND), new_lines(2)
    commands["operation"] = Operation.RECORD_MOVEMENTS, Operation.RESERVE
    commands["line_start"], commands["line_count"], commands["ttl_us"] = (0, 1), 1, 1
    lines["kind"], lines["quantity"] = (Kind.RECEIVE, 0), 1
    book.execute(Batch(commands, lines), 1)
    entry = book.close_entry(epoch=1)
    assert entry is not None
    report(next(steps))
    assert book.ledger.available(0, 0) == 0
    assert book.ledger.available_at(np.zeros(1, np.int32), np.zeros(1, np.int32)) == 0
    assert book.ledger.level(0, 0) is not None
    assert not book.ledger.remembers(0, 1)
    every = {"sku": -1, "location": -1, "found_max": 1, "visits_max": 1}
    assert book.ledger.scan_levels(0, **every).rows.tolist() == [0]
    found = book.ledger.scan_reservations(0, state=0, lines_max=1, **every)
    assert len(book.ledger.reservations_at(found.rows)) == 1
    no_document = DocumentFilter(kind=1, states=0)
    assert not len(book.ledger.scan_documents(0, no_document, found_max=1, lines_max=1, visits_max=1).rows)
    assert book.ledger.documents_at(np.zeros(0, np.int64)) == []
    report(next(steps))
    copy.replay(entry)
    report(next(steps))
    assert book.ledger.verify() == []
    assert book.ledger.oversold_level_count() == 0
    assert copy.digest() == book.digest()
    book.execute(NO_COMMANDS, 2)
    assert book.ledger.available(0, 0) == 1


if __name__ == "__main__":
    warm_up(lambda step: print(f"kernels: {step}", flush=True))  # noqa: T201 - for whoever waits for it
