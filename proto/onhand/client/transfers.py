"""Transfers of stock between locations: values, and calls that go alone. Each function returns what is to be called."""

from collections.abc import Sequence
from typing import Any

import msgspec
from onhand.client import checks, limits
from onhand.client.arguments import SkuUnits
from onhand.client.commands import WriteOptions
from onhand.client.documents import DocumentTimes, lines_in, quantities
from onhand.client.instants import time_us_in, timestamp
from onhand.client.lone import Lone, Page, noted
from onhand.client.results import TransferState, UnavailableReason
from onhand.inventory.v1 import transfer_pb2 as messages
from onhand.inventory.v1 import transfer_service_pb2 as service

Condition = messages.ReceiptCondition


class TransferLine(msgspec.Struct, frozen=True, gc=False):
    """One line of a transfer: a sku, and where its units are."""

    sku_id: str
    quantity: int
    """Asked for: the sum of what follows, but for `unexpected`."""
    planned: int = 0
    """To be dispatched, from what is free then."""
    held: int = 0
    """To be dispatched, and committed at the source."""
    in_transit: int = 0
    received: int = 0
    unavailable: int = 0
    """Received, and not for sale."""
    short: int = 0
    """Not arrived, and no more expected."""
    returned: int = 0
    """Back at the source."""
    found: int = 0
    """Short at first."""
    withdrawn: int = 0
    """Not dispatched after all."""
    unexpected: int = 0
    """Received beyond what was sent."""


class Transfer(DocumentTimes, msgspec.Struct, frozen=True, gc=False):
    """Stock that goes from one location to another."""

    transfer_id: str
    from_location_id: str
    to_location_id: str
    state: TransferState
    lines: tuple[TransferLine, ...]
    version: int
    due_time_us: int | None
    reservation_id: str
    """Of the order that the units are for; empty for none."""
    create_time_us: int
    update_time_us: int
    """Of its last change; of one that has ended, when it ended."""


class TransferCreated(msgspec.Struct, frozen=True, gc=False):
    """A transfer that was made."""

    transfer_id: str
    state: TransferState
    version: int
    seq: int
    """Position of this write in the ledger's order."""


class TransferChanged(msgspec.Struct, frozen=True, gc=False):
    """A transfer after a change."""

    state: TransferState
    version: int
    seq: int
    """Position of this write in the ledger's order."""


# ---- writes ----------------------------------------------------------------------------------------------------------


def create_transfer(
    from_location_id: str,
    to_location_id: str,
    lines: Sequence[SkuUnits],
    *,
    how: dict[str, Any],
    due_time_us: int | None,
    options: WriteOptions,
) -> Lone[TransferCreated]:
    """Return the call that makes a transfer."""
    request = service.CreateTransferRequest(
        from_location_id=checks.identifier(from_location_id, "from_location_id"),
        to_location_id=checks.identifier(to_location_id, "to_location_id"),
        lines=quantities(messages.TransferQuantity, lines, "lines"),
        due_time=timestamp(due_time_us, "due_time_us"),
        **how,
        **noted(options),
    )
    return Lone(
        request,
        lambda response: TransferCreated(
            response.transfer_id, TransferState(response.state), response.version, response.seq
        ),
        request.request_id,
    )


def dispatch_transfer(
    transfer_id: str, lines: Sequence[SkuUnits], how: dict[str, Any], options: WriteOptions
) -> Lone[TransferChanged]:
    """Return the call that sends units."""
    return _verb(
        service.DispatchTransferRequest,
        transfer_id,
        options,
        lines=quantities(messages.TransferQuantity, lines, "lines"),
        **how,
    )


def receive_transfer(
    transfer_id: str,
    received: dict[str, Sequence[SkuUnits]],
    unavailable_reason: UnavailableReason,
    expected_version: int,
    options: WriteOptions,
) -> Lone[TransferChanged]:
    """Return the call that receives units; `received` has them by the argument that names their condition."""
    lines = []
    for name, units in received.items():
        condition = Condition.Value(f"RECEIPT_CONDITION_{'GOOD' if name == 'lines' else name.upper()}")
        reason = int(unavailable_reason) if name == "unavailable" else 0
        lines += [
            messages.ReceivedUnits(
                sku_id=one.sku_id,
                quantity=one.quantity,
                condition=condition,  # type: ignore[arg-type]  # of the wire
                unavailable_reason=reason,  # type: ignore[arg-type]  # the values are those of the wire
            )
            for one in quantities(messages.TransferQuantity, units, name)
        ]
    return _verb(
        service.ReceiveTransferRequest,
        transfer_id,
        options,
        lines=lines,
        expected_version=checks.version(expected_version),
    )


def plain_verb(
    request_type: Any, transfer_id: str, expected_version: int, options: WriteOptions
) -> Lone[TransferChanged]:
    """Return the call of a verb of which nothing is said but the transfer."""
    return _verb(request_type, transfer_id, options, expected_version=checks.version(expected_version))


def record_found_units(
    transfer_id: str,
    lines: Sequence[SkuUnits],
    at_source: Sequence[SkuUnits],
    expected_version: int,
    options: WriteOptions,
) -> Lone[TransferChanged]:
    """Return the call that books units that were short and turned up."""
    found = [
        messages.FoundUnits(sku_id=one.sku_id, quantity=one.quantity, at_source=is_source)
        for units, name, is_source in ((lines, "lines", False), (at_source, "at_source", True))
        for one in quantities(messages.TransferQuantity, units, name)
    ]
    version = checks.version(expected_version)
    return _verb(service.RecordFoundUnitsRequest, transfer_id, options, lines=found, expected_version=version)


def cancel_transfer(
    transfer_id: str, written_off: Sequence[SkuUnits], expected_version: int, options: WriteOptions
) -> Lone[TransferChanged]:
    """Return the call that ends a transfer, whatever became of it."""
    lost, version = quantities(messages.TransferQuantity, written_off, "written_off"), checks.version(expected_version)
    return _verb(service.CancelTransferRequest, transfer_id, options, written_off=lost, expected_version=version)


def _verb(request_type: Any, transfer_id: str, options: WriteOptions, **fields: Any) -> Lone[TransferChanged]:
    request = request_type(transfer_id=transfer_id, **fields, **noted(options))
    return Lone(
        request,
        lambda response: TransferChanged(TransferState(response.state), response.version, response.seq),
        request.request_id,
    )


# ---- reads -----------------------------------------------------------------------------------------------------------


def get_transfer(transfer_id: str) -> Lone[Transfer]:
    """Return the call that reads one transfer."""
    return Lone(service.GetTransferRequest(transfer_id=transfer_id), lambda response: _transfer(response.transfer))


def list_transfers(
    token: str, location_id: str, states: Sequence[TransferState], due_before_us: int | None
) -> Lone[Page[Transfer]]:
    """Return the call that reads one page of transfers."""
    request = service.ListTransfersRequest(
        page_size=limits.PAGE_SIZE,
        page_token=token,
        location_id=location_id,
        states=[int(state) for state in states],  # type: ignore[misc]  # the values are those of the wire
        due_before=timestamp(due_before_us, "due_before_us"),
    )
    return Lone(request, lambda response: Page(tuple(map(_transfer, response.transfers)), response.next_page_token))


def _transfer(message: Any) -> Transfer:
    return Transfer(
        message.transfer_id,
        message.from_location_id,
        message.to_location_id,
        TransferState(message.state),
        lines_in(message, TransferLine),
        message.version,
        time_us_in(message, "due_time"),
        message.reservation_id,
        message.create_time.ToMicroseconds(),
        message.update_time.ToMicroseconds(),
    )
