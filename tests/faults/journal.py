"""The journal as the checker reads it: every write with its seq and request id, entry by entry."""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from ledger.core.records import IS_REMEMBERED, Group
from ledger.core.statuses import Operation
from ledger.formats import FORMAT
from ledger.journal.entry import CHAIN_START, Entry, decode_entry
from ledger.parts.registry import decode_changes


class Written(NamedTuple):
    """One record of the journal."""

    seq: int
    operation: Operation
    status: int
    state: int
    version: int
    reservation_id: int
    time_us: int
    request_id: str
    """Empty if it has none."""
    movements: Sequence[tuple[int, int, int, int]]
    """Level row, kind, reason and units of each."""


class JournalEntry(NamedTuple):
    """One entry of the journal."""

    first_seq: int
    last_seq: int
    skipped_count: int
    time_us: int
    epoch: int
    written: Sequence[Written]
    resources: Sequence[Any]
    """What it says of what is beside the ledger, such as a Location or Sku."""
    is_forgetful: bool
    """Whether request ids were forgotten or reservations recycled after it."""
    format: int = FORMAT
    """In which it was written."""


def read_entries(payloads: Iterable[tuple[int, bytes]]) -> Iterator[JournalEntry]:
    """Yield what a journal holds from its beginning.

    Raises
    ------
    JournalCorrupt
        An entry does not follow from the one before.
    """
    chain = CHAIN_START
    for last_seq, payload in payloads:
        entry, chain = decode_entry(payload, chain, last_seq)
        yield _read(entry)


def _read(entry: Entry) -> JournalEntry:
    group = entry.group()
    return JournalEntry(
        entry.first_seq,
        entry.last_seq,
        entry.skipped_count,
        entry.time_us,
        entry.epoch,
        tuple(_written(group)),
        tuple(resource for _, change in entry.changes for resource in decode_changes(change)),
        bool(entry.forgotten_count or entry.recycled_count),
        entry.version,
    )


def _written(group: Group) -> Iterator[Written]:
    requests = iter(group.requests.tolist())
    movements = [(level, kind, reason, units) for level, kind, reason, _, units in group.movements.tolist()]
    place = 0
    for position, record in enumerate(group.records):
        count = int(record["line_count"])
        request_id = ""
        if record["flags"] & IS_REMEMBERED:
            high, low, _ = next(requests)
            request_id = str(uuid.UUID(int=high << 64 | low))
        yield Written(
            group.first_seq + position,
            Operation(int(record["operation"])),
            int(record["status"]),
            int(record["state"]),
            int(record["version"]),
            int(record["reservation_id"]),
            int(record["time_us"]),
            request_id,
            movements[place : place + count],
        )
        place += count
