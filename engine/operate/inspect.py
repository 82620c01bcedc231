"""Looking into what a shard keeps: snapshots, the journal, one of its entries, the lease."""

from collections.abc import Iterator, Sequence
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec
import numpy as np
from onhand.rules.checks import document_name, reservation_name
from rich.console import Console

from engine.config import EngineConfig
from engine.operate.offline import Offline, OperatorError, progress_to
from engine.operate.terminal import shown_time
from ledger.core.documents import OPERATION_OF, STATES, VERBS
from ledger.core.limits import MICROSECONDS
from ledger.core.operations import ADVANCES_DOCUMENT, DECIDED_ELSEWHERE, HAS_TTL, TRAITS
from ledger.core.records import FIELD_DUE, FIELD_ORDER, FIELD_PLACES, IS_REMEMBERED
from ledger.core.statuses import DocumentKind, Kind, Operation, ReservationState, Status, Unavailable
from ledger.journal.entry import CHAIN_START, Entry, decode_entry
from ledger.journal.errors import JournalCorrupt
from ledger.journal.reading import Tail
from ledger.parts.registry import decode_changes
from ledger.sealed import Part, SealedFile
from ledger.snapshot import KIND, SnapshotDamaged, SnapshotOfOtherRelease, load_snapshot, snapshots

RECORDS_SHOWN_MAX: Final = 1_000
FIELDS: Final = {FIELD_PLACES: "places", FIELD_DUE: "due_us", FIELD_ORDER: "reservation_id"}


# ---- snapshots -------------------------------------------------------------------------------------------------------


def inspect_snapshots(path: Path) -> list[dict[str, Any]]:
    """Return what is in a snapshot, or in all those of a folder, the newest first; a data folder is one as well.

    Raises
    ------
    OperatorError
        There is none.
    """
    folders = (path, EngineConfig.model_construct(data_folder=path).snapshot_folder)
    paths = [path] if path.is_file() else [each for folder in folders for each in snapshots(folder)]
    if not paths:
        raise OperatorError(f"path: expected a snapshot, or a folder with snapshots, was {path}")
    return [inspect_snapshot(each) for each in paths]


def inspect_snapshot(path: Path) -> dict[str, Any]:
    """Return a snapshot's header and parts, and what of it is damaged."""
    shown: dict[str, Any] = {"snapshot": str(path), "state": "valid", "ok": True, "bytes": path.stat().st_size}
    try:
        with SealedFile(path, KIND) as file:
            shown["parts"] = [_part(file, part) for part in file.parts]
        header, book = load_snapshot(path)
    except SnapshotOfOtherRelease as error:
        return {**shown, "state": f"of another release: {error}", "ok": False}
    except SnapshotDamaged as error:
        return {**shown, "state": f"damaged: {error}", "ok": False}
    return {
        **shown,
        "format_version": header.version,
        "seq": header.seq,
        "epoch": header.epoch,
        "time": shown_time(header.time_us),
        "chain": header.chain.hex(),
        "digest": header.digest.hex(),
        "request_window_seconds": header.request_window_us // MICROSECONDS,
        "retention_seconds": header.retention_us // MICROSECONDS,
        **book.counts(),
    }


def _part(file: SealedFile, part: Part) -> dict[str, Any]:
    try:
        file.read_into(part.name, memoryview(bytearray(part.size)))
    except SnapshotDamaged as error:
        return {"part": part.name, "bytes": part.size, "state": str(error)}
    return {"part": part.name, "bytes": part.size, "state": "valid"}


# ---- the journal -----------------------------------------------------------------------------------------------------


class JournalFigures:
    """What a walk through a journal counts, and where its checksums end to follow from each other."""

    def __init__(self) -> None:
        self.first: Entry | None = None
        self.last: Entry | None = None
        self.entry_count = self.write_count = self.payload_bytes = self.skipped_count = self.digest_count = 0
        self.epochs: list[dict[str, int]] = []
        self._chain: bytes | None = None

    def add(self, last_seq: int, payload: bytes) -> None:
        """Count an entry.

        Raises
        ------
        JournalCorrupt
            It does not follow from the one before, or is not what was written.
        """
        entry, self._chain = decode_entry(payload, self._chain_before(payload, last_seq), last_seq)
        if self.last and entry.first_seq - entry.skipped_count != self.last.last_seq + 1:
            expected = self.last.last_seq + 1
            raise JournalCorrupt(f"Journal entry {last_seq}-0: first_seq: expected {expected}, was {entry.first_seq}.")
        self.first, self.last = self.first or entry, entry
        self.entry_count += 1
        self.write_count += entry.record_count
        self.payload_bytes += len(payload)
        self.skipped_count += entry.skipped_count
        self.digest_count += len(entry.digests)
        if not self.epochs or self.epochs[-1]["epoch"] != entry.epoch:
            self.epochs.append({"epoch": entry.epoch, "first_seq": entry.first_seq, "last_seq": 0, "entry_count": 0})
        self.epochs[-1]["last_seq"] = last_seq
        self.epochs[-1]["entry_count"] += 1

    def _chain_before(self, payload: bytes, last_seq: int) -> bytes | None:
        """Return what an entry is chained to: None, unknown, for the first one of a journal that was trimmed."""
        if self.first is not None:
            return self._chain
        entry, _ = decode_entry(payload, None, last_seq)
        return CHAIN_START if entry.first_seq == 1 + entry.skipped_count else None

    def check_end(self, tail: Tail) -> None:
        """Compare the last entry with what the writer kept as the tail; nothing to compare where all is trimmed.

        Raises
        ------
        JournalCorrupt
            They differ.
        """
        if self.last is not None and (self.last.last_seq, self._chain) != (tail.last_seq, tail.chain):
            raise JournalCorrupt(
                f"The tail: expected seq {self.last.last_seq} with the checksum of that entry, was {tail.last_seq}."
            )


def inspect_journal(offline: Offline, console: Console) -> dict[str, Any]:
    """Return what is in the journal's stream, and whether its checksums follow from each other up to its tail."""
    tail = offline.journal.tail()
    figures = JournalFigures()
    damage = ""
    try:
        with progress_to(tail.last_seq, console, "reading to seq") as reached:
            for last_seq, payload in takewhile(lambda entry: entry[0] <= tail.last_seq, offline.journal.read(0)):
                figures.add(last_seq, payload)
                reached(last_seq)
        figures.check_end(tail)
    except JournalCorrupt as error:
        damage = str(error)
    first, last = figures.first, figures.last
    return {
        "journal": offline.name,
        "chain": damage or "ok",
        "ok": not damage,
        "first_seq": first.first_seq if first else 0,
        "last_seq": last.last_seq if last else 0,
        "entry_count": figures.entry_count,
        "write_count": figures.write_count,
        "entry_bytes": figures.payload_bytes,
        "first_time": shown_time(first.time_us) if first else "",
        "last_time": shown_time(last.time_us) if last else "",
        "epochs": figures.epochs,
        "skipped_seq_count": figures.skipped_count,
        "digest_count": figures.digest_count,
        "tail": {"epoch": tail.epoch, "last_seq": tail.last_seq, "chain": tail.chain.hex()},
        "history_first_seq": offline.history.first_seq_kept(),
    }


def inspect_entry(offline: Offline, seq: int) -> dict[str, Any]:
    """Return the entry that holds a seq, of journal or archive.

    Raises
    ------
    OperatorError
        There is none.
    JournalCorrupt
        It cannot be decoded.
    """
    last_seq, payload = next(offline.history.entries(seq - 1), (0, b""))
    if not payload:
        raise OperatorError(f"seq: expected 1 to {offline.journal.tail().last_seq}, was {seq}")
    entry, chain = decode_entry(payload, None, last_seq)
    return {
        "first_seq": entry.first_seq,
        "last_seq": entry.last_seq,
        "epoch": entry.epoch,
        "time": shown_time(entry.time_us),
        "format_version": entry.version,
        "bytes": len(payload),
        "chain": chain.hex(),
        "skipped_seq_count": entry.skipped_count,
        "forgotten_request_id_count": entry.forgotten_count,
        "recycled_reservation_count": entry.recycled_count,
        "is_marked": entry.is_marked,
        "digests": [{"seq": each, "digest": digest.hex()} for each, digest in entry.digests],
        "catalog": [
            {"seq": entry.first_seq + position, **_without_bytes(msgspec.structs.asdict(resource))}
            for position, change in entry.changes
            for resource in decode_changes(change)
        ],
        "record_count": entry.record_count,
        "records": list(islice(records_of(entry), RECORDS_SHOWN_MAX)),
    }


def _without_bytes(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields with the size of those that only the engine's API can read."""
    return {name: f"{len(value)} bytes" if isinstance(value, bytes) else value for name, value in fields.items()}


def records_of(entry: Entry) -> Iterator[dict[str, Any]]:
    """Yield what an entry says of each write; stock levels are rows, which only a ledger can name."""
    group = entry.group()
    movements, requests = iter(group.movements), iter(group.requests)
    notes = {position: note for position, *note in entry.notes}
    for position, record in enumerate(group.records):
        reference, actor = notes.get(position, ("", ""))
        operation, state = Operation(int(record["operation"])), int(record["state"])
        own = list(islice(movements, int(record["line_count"])))
        is_document = TRAITS[operation] & ADVANCES_DOCUMENT != 0
        yield {
            "seq": entry.first_seq + position,
            "operation": operation.name,
            "status": Status(int(record["status"])).name,
            "request_id": _request_id(next(requests)) if record["flags"] & IS_REMEMBERED else "",
            **_subject(int(record["reservation_id"]), is_document=is_document),
            **(_of_document(record, own) if is_document else {"state": ReservationState(state).name if state else ""}),
            "version": int(record["version"]),
            **_own_time(operation, int(record["time_us"])),
            "reference": reference,
            "actor": actor,
            "movements": [_movement(each) for each in own],
        }


def _subject(number: int, *, is_document: bool) -> dict[str, str]:
    """Return the id of what a record is about."""
    if is_document:
        return {"document_id": document_name(number) if number else ""}
    return {"reservation_id": reservation_name(number) if number else ""}


def _of_document(record: np.void, movements: Sequence[np.void]) -> dict[str, str]:
    """Name verb and state of a document; the kinds of one operation are told by the record that begins it."""
    told = {int(each["change"]) for each in movements if int(each["kind"]) == Kind.DOCUMENT}
    own = [kind for kind, operation in OPERATION_OF.items() if operation == record["operation"]]
    kinds = [kind for kind in own if kind in told or not told]
    return {
        name: "|".join(sorted({enums[kind](value).name for kind in kinds if value in tuple(enums[kind])}))
        for name, enums, value in (("verb", VERBS, int(record["verb"])), ("state", STATES, int(record["state"])))
    }


def _own_time(operation: Operation, time_us: int) -> dict[str, str]:
    """Return what a record says of time; that of what was decided elsewhere is no time."""
    traits = TRAITS[operation]
    if traits & DECIDED_ELSEWHERE:
        return {}
    name = "expire_time" if traits & HAS_TTL else "effective_time"
    return {name: shown_time(time_us)}


def _request_id(request: np.void) -> str:
    return str(UUID(int=int(request["request_id_high"]) << 64 | int(request["request_id_low"])))


def _movement(movement: np.void) -> dict[str, Any]:
    """Return a movement; a stock level that begins to exist has the places of its sku and location in the catalog."""
    kind, quantity = Kind(int(movement["kind"])), int(movement["quantity"])
    shown = {"kind": kind.name, "level": int(movement["level"])}
    if kind is Kind.STOCK_HERE:
        return {**shown, "sku_index": quantity >> 32, "location_index": quantity & 0xFFFFFFFF}
    reason = int(movement["reason"])
    if kind is Kind.DOCUMENT:
        return {**shown, "field": FIELDS[reason], "document_kind": DocumentKind(int(movement["change"])).name} | (
            {"from_location_index": quantity >> 32, "to_location_index": quantity & 0xFFFFFFFF}
            if reason == FIELD_PLACES
            else {"value": quantity}
        )
    return {**shown, "quantity": quantity, **({"reason": Unavailable(reason).name} if reason else {})}


# ---- the lease -------------------------------------------------------------------------------------------------------


def inspect_lease(offline: Offline) -> dict[str, Any]:
    """Return who writes the journal now, until when without a renewal, and how far behind each standby is."""
    holder, tail = offline.journal.holder(), offline.journal.tail()
    return {
        "journal": offline.name,
        "lease": "held" if holder else "free",
        "holder": holder.address if holder else "",
        "epoch": holder.epoch if holder else tail.epoch,
        "seconds_left": holder.seconds_left if holder else 0.0,
        "last_seq": tail.last_seq,
        "standbys": [
            {"address": address, "seq": seq, "lag": max(0, tail.last_seq - seq)}
            for address, seq in sorted(offline.journal.standby_seqs().items())
        ],
    }
