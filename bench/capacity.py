"""What single calls leave behind: bytes of the journal and of memory, for the formula of docs/capacity.md."""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import grpc
from onhand.admin.v1 import admin_service_pb2 as admin
from onhand.admin.v1.admin_service_pb2_grpc import AdminServiceStub
from onhand.client import Client

from bench.names import TTL_SECONDS, location_name, sku_name
from bench.rows import Question, Row, Run, Sample
from bench.shop import CALL_SECONDS, Shop

CONDITIONS: Final = "calls one after the other, each alone in its group, with request id, reference and actor"
BASE: Final = Question("capacity.base", "MiB", "resident memory of an engine with one stock level")
SALE: Final = Question("capacity.sale", "bytes of journal", f"RecordMovements of one sale; {CONDITIONS}")
ORDER: Final = Question("capacity.order", "bytes of journal", f"ReserveStock, then CommitReservation; {CONDITIONS}")
QUESTIONS: Final = (BASE, SALE, ORDER)
CALLS_FULL: Final = 2_000
CALLS_QUICK: Final = 50
MIB: Final = 1024**2


class Left(NamedTuple):
    """What an engine holds and has written."""

    resident_bytes: int
    journal_entry_bytes: int


def measure(run: Run) -> Iterator[Row]:
    """Answer QUESTIONS, once: bytes do not vary with the moment."""
    run.report("calling one by one")
    count = CALLS_QUICK if run.is_quick else CALLS_FULL
    with Shop(skus=1, locations=1) as shop, Client(shop.address, deadline_seconds=CALL_SECONDS) as client:
        yield run.row(BASE, [Sample(_left(shop).resident_bytes / MIB)])
        sale = _journal_bytes_each(shop, count, lambda number: _sell(client, number))
        yield run.row(SALE, [Sample(sale, shop.check(0))])
        order = _journal_bytes_each(shop, count, lambda number: _order(client, number))
        yield run.row(ORDER, [Sample(order, shop.check(0))])


def _journal_bytes_each(shop: Shop, count: int, make: Callable[[int], None]) -> float:
    before = _left(shop).journal_entry_bytes
    for number in range(count):
        make(number)
    return (_left(shop).journal_entry_bytes - before) / count


def _sell(client: Client, number: int) -> None:
    client.sell([_line()], reference=f"receipt-{number:06d}", actor="till-3")


def _order(client: Client, number: int) -> None:
    held = client.reserve([_line()], ttl_seconds=TTL_SECONDS, reference=f"cart-{number:06d}", actor="web")
    client.commit(held.reservation_id, reference=f"order-{number:06d}", actor="web")


def _line() -> tuple[str, str, int]:
    return sku_name(0), location_name(0), 1


def _left(shop: Shop) -> Left:
    with grpc.insecure_channel(shop.address) as channel:
        status = AdminServiceStub(channel).GetStatus(admin.GetStatusRequest(), timeout=CALL_SECONDS)
    return Left(status.resident_bytes, status.journal_entry_bytes)
