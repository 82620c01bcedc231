"""The end of a run: the journal's own entries, the ledgers of all engines, and a fresh replay, held together."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Final

import grpc
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.inventory.v1 import stock_pb2, transfer_pb2
from onhand.inventory.v1 import transfer_service_pb2 as transfers
from onhand.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from onhand.inventory.v1.reservation_pb2 import RESERVATION_STATE_ACTIVE as ACTIVE
from onhand.inventory.v1.reservation_service_pb2_grpc import ReservationServiceStub
from onhand.inventory.v1.transfer_service_pb2_grpc import TransferServiceStub
from onhand.order.v1 import fulfillment_pb2
from onhand.order.v1 import fulfillment_service_pb2 as fulfillment
from onhand.order.v1.fulfillment_service_pb2_grpc import FulfillmentServiceStub

from ledger.archive import read_archive
from ledger.book import Book
from ledger.core.limits import MICROSECONDS
from ledger.journal.entry import CHAIN_START
from ledger.journal.stream import StreamJournal
from ledger.replay import Replayer

from .askers import shown_transfer, shown_work
from .checker import Checked, Verdict, check
from .cluster import Cluster, Engine
from .journal import read_entries
from .load import CARGO_SKUS, CARGO_STOCK, LOCATIONS, Load
from .processes import WAIT_SECONDS, wait_until

PAGE_SIZE: Final = 1_000
QUIET_US: Final = 60 * MICROSECONDS
WINDOW_US: Final = 3_600 * MICROSECONDS
# What a movement of the history does to on_hand.
ON_HAND: Final[Mapping[str, int]] = {
    "RECEIVE": 1,
    "SALE": -1,
    "RETURN": 1,
    "ADJUST": 1,
    "COUNT": 1,
    "TRANSFER": 1,
    "FULFILL": -1,
    "WRITE_OFF": -1,
    "TRANSFER_FOUND": 1,
    "MISSING": -1,
}


def whole_journal(cluster: Cluster) -> list[tuple[int, bytes]]:
    """Return all entries there ever were: what engines archived before the stream was trimmed, then the stream.

    Raises
    ------
    AssertionError
        Two places have another entry under the same id.
    """
    entries: dict[int, bytes] = {}
    with StreamJournal(cluster.server.url) as journal:
        for last_seq, payload in chain(archived(cluster.archive_folders), journal.read(0)):
            assert entries.setdefault(last_seq, payload) == payload, f"two entries have the id {last_seq}-0"
    return sorted(entries.items())


def archived(folders: Iterable[Path]) -> Iterator[tuple[int, bytes]]:
    """Yield what the archives of several engines have, from the first seq on: each was the writer for some time."""
    there, last_seq, before = [folder for folder in folders if folder.exists()], 0, -1
    while last_seq > before:
        before = last_seq
        for folder in there:
            for seq, payload in read_archive(folder, last_seq):
                last_seq = max(last_seq, seq)
                yield seq, payload


def settle(load: Load, cluster: Cluster) -> Checked:
    """Check a history against its journal, and every engine against the journal as well. All clients have stopped."""
    wait_until(lambda: _is_quiet(cluster.primary().address), "no hold is about to expire")
    entries = whole_journal(cluster)
    checked = check(load.history.events, read_entries(entries))
    primary = cluster.primary()
    _check_movements(checked, primary.address)
    _check_transfers(checked, primary.address)
    _check_works(checked, primary.address)
    for problem in load.owner.problems(primary.address):
        checked.verdict.add("lost", problem)
    _check_engines(checked.verdict, cluster, entries)
    return checked


def _is_quiet(address: str) -> bool:
    """Whether no hold ends soon, so that nothing changes any more."""
    soon_us = time.time_ns() // 1_000 + QUIET_US
    with grpc.insecure_channel(address) as channel:
        stub = ReservationServiceStub(channel)
        request = reservations.ListReservationsRequest(page_size=PAGE_SIZE, state=ACTIVE)
        while True:
            page = stub.ListReservations(request, timeout=WAIT_SECONDS)
            if any(found.expire_time.ToMicroseconds() < soon_us for found in page.reservations):
                return False
            if not page.next_page_token:
                return True
            request.page_token = page.next_page_token


# ---- the engines -----------------------------------------------------------------------------------------------------


def replayed(entries: Iterable[tuple[int, bytes]]) -> Book:
    """Return the book that a fresh replay makes of the journal."""
    replayer = Replayer(Book(request_window_us=WINDOW_US, retention_us=WINDOW_US), CHAIN_START)
    for last_seq, payload in entries:
        replayer.apply(last_seq, payload)
    return replayer.book


def _check_engines(verdict: Verdict, cluster: Cluster, entries: list[tuple[int, bytes]]) -> None:
    """Every engine's ledger adds up, and all digests are those of a fresh replay."""
    book = replayed(entries)
    for found in book.verify():
        verdict.add("units", f"a fresh replay: {found}")
    for engine in cluster.engines:
        if engine.status() is not None:
            _check_engine(verdict, engine, book)


def _check_engine(verdict: Verdict, engine: Engine, book: Book) -> None:
    found = wait_until(lambda: _verified_at(engine, book.seq), f"{engine.name} is at seq {book.seq}")
    for violation in found.violations:
        verdict.add("units", f"{engine.name}: {violation}")
    if found.digest != book.digest().hex():
        verdict.add("journal", f"{engine.name}: digest {found.digest}, of a fresh replay {book.digest().hex()}")


def _verified_at(engine: Engine, seq: int) -> Any:
    """Return what an engine says of its ledger, once it is at a position."""
    found = engine.verify()
    return found if found.seq == seq else None


# ---- the history that the API shows ----------------------------------------------------------------------------------


def _check_movements(checked: Checked, address: str) -> None:
    """ListMovements shows each write under its reference, once, at its seq; and its movements make the stock there is.

    The last only if it reaches back to the first one and says that nothing is missing between: an engine that was dead
    while another trimmed the journal has a hole in its archive, and tells it.
    """
    seqs: dict[str, set[int]] = defaultdict(set)
    on_hand: Counter[tuple[str, str]] = Counter()
    first_seq = 0
    missing: list[inventory.MissingPositions] = []
    with grpc.insecure_channel(address) as channel:
        stub = InventoryServiceStub(channel)
        for movement in _movements(stub, missing):
            first_seq = first_seq or movement.seq
            if movement.reference:
                seqs[movement.reference].add(movement.seq)
            kind = stock_pb2.MovementType.Name(movement.type).removeprefix("MOVEMENT_TYPE_")
            level = movement.sku_id, movement.location_id
            on_hand[level] += ON_HAND.get(kind, 0) * movement.quantity
        levels = _levels(stub)
    for reference, found in seqs.items():
        if found != {checked.seqs.get(reference, 0)}:
            message = f"ListMovements has {reference} at {found}, the journal at {checked.seqs.get(reference)}"
            checked.verdict.add("duplicated" if len(found) > 1 else "unasked", message)
    for level, numbers in levels.items():
        is_shown = bool(missing) or first_seq > checked.first_seq or numbers[0] == on_hand[level]
        if numbers != checked.levels.get(level) or not is_shown:
            message = (
                f"{level}: read {numbers}, the bank has {checked.levels.get(level)}, ListMovements {on_hand[level]}"
            )
            checked.verdict.add("units", message)


def _check_transfers(checked: Checked, address: str) -> None:
    """Each transfer is where what was acknowledged of it left it, and no unit of the cargo is anywhere else."""
    cargo: Counter[str] = Counter()
    with grpc.insecure_channel(address) as channel:
        found = {each.transfer_id: each for each in _transfers(TransferServiceStub(channel))}
        for (sku, _), (on_hand, _, _) in _levels(InventoryServiceStub(channel)).items():
            cargo[sku] += on_hand
    for transfer_id in found.keys() | checked.transfers.keys():
        shown = shown_transfer(found[transfer_id], 0) if transfer_id in found else None
        if shown != checked.transfers.get(transfer_id):
            message = f"transfer {transfer_id}: {shown}, expected {checked.transfers.get(transfer_id)}"
            checked.verdict.add("lost" if shown is None else "units", message)
    for transfer in found.values():
        for line in transfer.lines:
            cargo[line.sku_id] += line.in_transit_quantity + line.short_quantity
    for sku in CARGO_SKUS:
        if cargo[sku] != CARGO_STOCK * len(LOCATIONS):
            checked.verdict.add("units", f"{sku}: {cargo[sku]} at the locations, on the way and short")


def _check_works(checked: Checked, address: str) -> None:
    """Each fulfillment order is where what was acknowledged of it left it."""
    with grpc.insecure_channel(address) as channel:
        found = {each.fulfillment_order_id: shown_work(each, 0) for each in _works(FulfillmentServiceStub(channel))}
    for number in found.keys() | checked.works.keys():
        if found.get(number) != checked.works.get(number):
            message = f"fulfillment order {number}: {found.get(number)}, expected {checked.works.get(number)}"
            checked.verdict.add("units" if number in found else "lost", message)


def _works(stub: Any) -> Iterable[fulfillment_pb2.FulfillmentOrder]:
    token = ""
    while True:
        request = fulfillment.ListFulfillmentOrdersRequest(page_token=token, page_size=PAGE_SIZE)
        page = stub.ListFulfillmentOrders(request, timeout=WAIT_SECONDS)
        yield from page.fulfillment_orders
        token = page.next_page_token
        if not token:
            return


def _transfers(stub: Any) -> Iterable[transfer_pb2.Transfer]:
    token = ""
    while True:
        page = stub.ListTransfers(
            transfers.ListTransfersRequest(page_token=token, page_size=PAGE_SIZE), timeout=WAIT_SECONDS
        )
        yield from page.transfers
        token = page.next_page_token
        if not token:
            return


def _movements(stub: Any, missing: list[inventory.MissingPositions]) -> Iterable[stock_pb2.Movement]:
    """Yield all movements; `missing` gets what pages say is missing between them."""
    token = ""
    while True:
        request = inventory.ListMovementsRequest(page_token=token, page_size=PAGE_SIZE)
        page = stub.ListMovements(request, timeout=WAIT_SECONDS)
        missing.extend(page.missing)
        yield from page.movements
        token = page.next_page_token
        if not token:
            return


def _levels(stub: Any) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Return on_hand, reserved and committed of all stock levels."""
    page = stub.ListStockLevels(inventory.ListStockLevelsRequest(page_size=PAGE_SIZE), timeout=WAIT_SECONDS)
    assert not page.next_page_token
    return {
        (level.sku_id, level.location_id): (level.on_hand, level.reserved, level.committed)
        for level in page.stock_levels
    }
