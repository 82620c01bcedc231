"""Documents that were shown, against those of the oracle."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final

from onhand.inventory.v1 import transfer_service_pb2 as transfers
from onhand.order.v1 import fulfillment_service_pb2 as fulfillment

from ledger.core.statuses import DocumentKind, FulfillmentStage, TransferStage
from ledger.oracle.stock import OracleLedger

READS_OF_DOCUMENTS: Final = (transfers.GetTransferResponse, fulfillment.GetFulfillmentOrderResponse)
STAGES: Final[Mapping[DocumentKind, type[IntEnum]]] = {
    DocumentKind.TRANSFER: TransferStage,
    DocumentKind.FULFILLMENT_ORDER: FulfillmentStage,
}


def document_differs(answer: Any, oracle: OracleLedger, numbers: Mapping[int, int]) -> str | None:
    """Say how a document that was shown differs from that of the oracle; None if it does not.

    `numbers` are those of the oracle's documents, by the engine's.
    """
    is_transfer = isinstance(answer, transfers.GetTransferResponse)
    kind = DocumentKind.TRANSFER if is_transfer else DocumentKind.FULFILLMENT_ORDER
    found = getattr(answer, kind.name.lower())
    name = getattr(found, f"{kind.name.lower()}_id")
    view = oracle.document(numbers.get(int(name, 16), -1), kind)
    if view is None:
        return f"{kind.name} {name}: the oracle has none"
    fields = [f"{stage.name.lower()}_quantity" for stage in STAGES[kind]]
    shown = found.state, found.version, [tuple(getattr(line, field) for field in fields) for line in found.lines]
    expected = view.state, view.version, [line.units[: len(fields)] for line in view.lines]
    return None if shown == expected else f"{kind.name} {name}: the oracle has {expected}, shown was {shown}"
