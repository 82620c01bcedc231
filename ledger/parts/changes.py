"""What a record of the journal can change beside the ledger's columns, and how it is written down."""

from collections.abc import Sequence
from typing import Final

import msgspec

from ledger.parts.plans import PlanChange
from ledger.parts.resources import CatalogChange

Change = CatalogChange | PlanChange

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(list[Change])


def encode_changes(changes: Sequence[Change]) -> bytes:
    """Encode changes for the journal."""
    return _encoder.encode(changes)


def decode_changes(payload: bytes) -> list[Change]:
    """Decode changes from the journal."""
    return _decoder.decode(payload)
