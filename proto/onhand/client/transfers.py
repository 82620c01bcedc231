"""Transfers of stock between locations: values, and calls that go alone. Each function returns what is to be called."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp
from onhand.client import checks, limits
from onhand.client.arguments import SkuUnits, whole
from onhand.client.commands import WriteOptions
from onhand.client.lone import Lone, Page, noted
from onhand.client.results import TransferState, UnavailableReason, time_of
from onhand.inventory.v1 import transfer_pb2 as messages
from onhand.inventory.v1 import transfer_service_pb2 as service
from onhand.rules.limits import MICROSECONDS

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


class Transfer(msgspec.Struct, frozen=True, gc=False):
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

    @property
    def due_time(self) -> datetime | None:
        """When it should arrive."""
        return None if self.due_time_us is None else time_of(self.due_time_us)

    @property
    def create_time(self) -> datetime:
        """When it was made."""
        return time_of(self.create_time_us)

    @property
    def update_time(self) -> datetime:
        """When it last changed; of one that has ended, when it ended."""
        return time_of(self.update_time_us)


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


# Quantities of a line, by their names here.
QUANTITIES: Final = TransferLine.__struct_fields__[2:]


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
        lines=_units(lines, "lines"),
        due_time=None if due_time_us is None else _timestamp(whole(due_time_us, "due_time_us", 1)),
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
    return _verb(service.DispatchTransferRequest, transfer_id, options, lines=_units(lines, "lines"), **how)


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
            for one in _units(units, name)
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
        for one in _units(units, name)
    ]
    version = checks.version(expected_version)
    return _verb(service.RecordFoundUnitsRequest, transfer_id, options, lines=found, expected_version=version)


def cancel_transfer(
    transfer_id: str, written_off: Sequence[SkuUnits], expected_version: int, options: WriteOptions
) -> Lone[TransferChanged]:
    """Return the call that ends a transfer, whatever became of it."""
    lost, version = _units(written_off, "written_off"), checks.version(expected_version)
    return _verb(service.CancelTransferRequest, transfer_id, options, written_off=lost, expected_version=version)


def _verb(request_type: Any, transfer_id: str, options: WriteOptions, **fields: Any) -> Lone[TransferChanged]:
    request = request_type(transfer_id=transfer_id, **fields, **noted(options))
    return Lone(
        request,
        lambda response: TransferChanged(TransferState(response.state), response.version, response.seq),
        request.request_id,
    )


def _units(lines: Sequence[SkuUnits], field: str) -> list[messages.TransferQuantity]:
    return [
        messages.TransferQuantity(
            sku_id=checks.identifier(sku_id, f"{field}[{place}].sku_id"),
            quantity=checks.quantity(quantity, f"{field}[{place}].quantity"),
        )
        for place, (sku_id, quantity) in enumerate(lines)
    ]


def _timestamp(time_us: int) -> Timestamp:
    return Timestamp(seconds=time_us // MICROSECONDS, nanos=time_us % MICROSECONDS * 1000)


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
        due_before=None if due_before_us is None else _timestamp(whole(due_before_us, "due_before_us", 1)),
    )
    return Lone(request, lambda response: Page(tuple(map(_transfer, response.transfers)), response.next_page_token))


def _transfer(message: Any) -> Transfer:
    return Transfer(
        message.transfer_id,
        message.from_location_id,
        message.to_location_id,
        TransferState(message.state),
        tuple(
            TransferLine(line.sku_id, line.quantity, **{name: getattr(line, f"{name}_quantity") for name in QUANTITIES})
            for line in message.lines
        ),
        message.version,
        _time_us(message.due_time) if message.HasField("due_time") else None,
        message.reservation_id,
        _time_us(message.create_time),
        _time_us(message.update_time),
    )


def _time_us(message: Timestamp) -> int:
    return message.seconds * MICROSECONDS + message.nanos // 1000
