"""A book with a journal on a real server, written as the engine does: for tests of snapshots and of the archive."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from ledger_cases import (
    MINUTE_US,
    NOW_US,
    SECOND_US,
    Command,
    batch_of,
    change_catalog,
    receive,
    record,
    reserve,
    uuid7,
)

from ledger.book import Book
from ledger.journal.entry import CHAIN_START, encode_entry
from ledger.journal.stream import StreamJournal
from ledger.parts.resources import Location, Sku, succeed
from ledger.snapshot import write_snapshot

SETTINGS = {"request_window_us": 10 * MINUTE_US, "retention_us": 5 * MINUTE_US}
UNITS = 1_000_000

_shards = count(1)


def open_journal(url: str, shard: str = "") -> StreamJournal:
    """A claimed journal; of a shard of its own unless one is named."""
    journal = StreamJournal(url, shard=shard or f"s{next(_shards)}")
    journal.open()
    return journal


class Shop:
    """A book that sells one sku at one location; every group is appended to the journal."""

    def __init__(self, journal: StreamJournal, book: Book | None = None, chain: bytes = CHAIN_START) -> None:
        self.journal = journal
        self.book = book or Book(**SETTINGS)
        self.chain = chain
        self.time_us = max(NOW_US, self.book.ledger.time_us)
        if self.book.seq == 0:
            self.open()

    def open(self) -> None:
        location = Location("L-0", 1, "", 0.0, 0.0, "UTC", (1,), active=True, location_groups=("all",))
        sku = Sku("SKU-0", "a thing", "each", 0, ())
        self.book.change_catalog(
            batch_of([change_catalog()]), [succeed(each, None, self.time_us) for each in (location, sku)], self.time_us
        )
        self.append()
        self.run(record(receive(0, 0, UNITS)))

    def run(self, *commands: Command) -> None:
        self.time_us += SECOND_US
        self.book.execute(batch_of(commands), self.time_us)
        self.append()

    def append(self) -> None:
        entry = self.book.close_entry(self.journal.epoch)
        assert entry is not None
        payload, self.chain = encode_entry(entry, self.chain)
        self.journal.append(entry.last_seq, payload)

    def sell(self, times: int) -> None:
        for _ in range(times):
            self.run(reserve([(0, 0, 1)], request_id=uuid7(self.time_us, self.book.seq)))

    def take_snapshot(self, folder: Path) -> Path:
        return write_snapshot(folder, self.book, self.chain, self.journal.epoch)
