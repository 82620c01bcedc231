"""The largest legal request of each RPC of transfers, and of each of their operations as columns.

`prepare_transfers` makes transfers of as many lines as there may be; each request changes some of them, in an order in
which all are accepted.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from google.protobuf.message import Message
from onhand.columns import RequestColumns
from onhand.inventory.v1 import transfer_pb2 as messages
from onhand.inventory.v1 import transfer_service_pb2 as transfers

from bench.names import location_name, sku_name
from bench.pauses_columns import BULK, ORIGIN, PACKAGE, TARGET, WIDE, WIDE_HOLDS, Largest, columns, made_by, names
from ledger.core import limits

TRANSFERS: Final = PACKAGE + "TransferService/"
UNITS: Final = 4
"""Of each line of a transfer; enough that each verb leaves some to the next one."""
CHANGED_AT_ONCE: Final = WIDE_HOLDS // 2 - 1
"""Transfers with as many lines as there may be that one bulk call can change: their own lines count, too."""


class Transfers(NamedTuple):
    """Transfers of WIDE lines from ORIGIN to TARGET, each READY."""

    shipped: Sequence[int]
    """For those that are dispatched, received, closed, found; the first is changed alone."""
    cancelled: Sequence[int]
    """For those that are dispatched and cancelled; the first is changed alone."""


def creates(count: int, lines: int, **more: Any) -> RequestColumns:
    """Return a bulk call that makes `count` transfers of `lines` lines of UNITS units."""
    return columns(
        count,
        "CREATE_TRANSFER",
        **names(lines),
        line_counts=lines,
        sku_indexes=np.tile(np.arange(lines), count),
        to_location_indexes=TARGET,
        quantities=UNITS,
        hold=True,
        **more,
    )


def prepare_transfers(call: Callable[[str, Message], bytes]) -> Transfers:
    """Make the transfers that the requests speak of."""
    made = [made_by(call(BULK, creates(CHANGED_AT_ONCE + 1, WIDE))) for _ in range(2)]
    call(BULK, columns(len(made[1]), "DISPATCH_TRANSFER", line_counts=0, reservation_ids=np.array(made[1], np.uint64)))
    return Transfers(*made)


def of_transfers(at: Transfers, order: int) -> Iterator[Largest]:
    """Give the requests; `order` is a committed reservation of WIDE lines at ORIGIN."""
    yield from _one_by_one(at, order)
    yield from _in_columns(at)


def _one_by_one(at: Transfers, order: int) -> Iterator[Largest]:
    size = f"{WIDE} lines"
    skus = [sku_name(number) for number in range(WIDE)]
    shipped, cancelled = f"{at.shipped[0]:016x}", f"{at.cancelled[0]:016x}"
    units = [messages.TransferQuantity(sku_id=sku_id, quantity=1) for sku_id in reversed(skus)]
    notes: dict[str, Any] = {"reference": "r" * limits.REFERENCE_BYTES_MAX, "actor": "a" * limits.REFERENCE_BYTES_MAX}
    route: dict[str, Any] = {"from_location_id": location_name(ORIGIN), "to_location_id": location_name(TARGET)}
    create = transfers.CreateTransferRequest(lines=units, hold=True, **route, **notes)
    yield Largest(TRANSFERS + "CreateTransfer", size, create)
    for_order = transfers.CreateTransferRequest(lines=units, reservation_id=f"{order:016x}", **route, **notes)
    yield Largest(TRANSFERS + "CreateTransfer", f"{size} of an order", for_order)
    some = [messages.TransferQuantity(sku_id=sku_id, quantity=UNITS - 1) for sku_id in reversed(skus)]
    dispatch = transfers.DispatchTransferRequest(transfer_id=shipped, lines=some, **notes)
    yield Largest(TRANSFERS + "DispatchTransfer", size, dispatch)
    good = [messages.ReceivedUnits(sku_id=sku_id, quantity=1) for sku_id in reversed(skus)]
    yield Largest(
        TRANSFERS + "ReceiveTransfer",
        size,
        transfers.ReceiveTransferRequest(transfer_id=shipped, lines=good, **notes),
    )
    yield Largest(TRANSFERS + "GetTransfer", size, transfers.GetTransferRequest(transfer_id=shipped))
    top = limits.PAGE_SIZE_MAX
    for what, states in {"a full page": [], "state of none": [messages.TRANSFER_STATE_CANCELLED]}.items():
        listing = transfers.ListTransfersRequest(page_size=top, states=states)
        yield Largest(TRANSFERS + "ListTransfers", what, listing)
    close = transfers.CloseTransferRequest(transfer_id=shipped, **notes)
    yield Largest(TRANSFERS + "CloseTransfer", size, close)
    found = [messages.FoundUnits(sku_id=sku_id, quantity=1) for sku_id in reversed(skus)]
    turned_up = transfers.RecordFoundUnitsRequest(transfer_id=shipped, lines=found, **notes)
    yield Largest(TRANSFERS + "RecordFoundUnits", size, turned_up)
    cancel = transfers.CancelTransferRequest(transfer_id=cancelled, written_off=units, **notes)
    yield Largest(TRANSFERS + "CancelTransfer", size, cancel)


def _in_columns(at: Transfers) -> Iterator[Largest]:
    most = limits.COMMANDS_PER_CALL_MAX
    yield Largest(BULK, f"{most} CREATE_TRANSFER", creates(most, 1))
    yield Largest(BULK, f"{WIDE_HOLDS} CREATE_TRANSFER of {WIDE} lines", creates(WIDE_HOLDS, WIDE))
    for operation, some, units in (
        ("DISPATCH_TRANSFER", at.shipped, UNITS - 1),
        ("RECEIVE_TRANSFER", at.shipped, 1),
        ("CLOSE_TRANSFER", at.shipped, 0),
        ("RECORD_FOUND_UNITS", at.shipped, 1),
        ("CANCEL_TRANSFER", at.cancelled, 1),
    ):
        ids = np.array(some[1:], np.uint64)
        lines: dict[str, Any] = {"line_counts": 0}
        if units:
            backwards = np.tile(np.arange(WIDE)[::-1], len(ids))  # the last line of each is asked for first
            lines = names(WIDE) | {"line_counts": WIDE, "sku_indexes": backwards, "quantities": units}
        request = columns(len(ids), operation, reservation_ids=ids, **lines)
        yield Largest(BULK, f"{len(ids)} {operation} of {WIDE} lines", request)
