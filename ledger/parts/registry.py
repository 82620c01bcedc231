"""All parts of a book: what the journal, snapshots and digests say beside the ledger follows from this list."""

from collections.abc import Sequence
from typing import Final, NamedTuple, Union

import msgspec

from ledger.core.ledger import Ledger
from ledger.parts.catalog import Catalog
from ledger.parts.network import Network
from ledger.parts.part import Change, Part
from ledger.parts.plans import Plans
from ledger.parts.references import References
from ledger.parts.refusals import Refusals
from ledger.parts.rejections import Rejections
from ledger.parts.views import RoutingViews


class Parts(NamedTuple):
    """The parts, in the order in which they hear of a change, and are restored."""

    network: Network
    """Before the catalog: it looks at what a location was."""
    catalog: Catalog
    views: RoutingViews
    plans: Plans
    rejections: Rejections
    refusals: Refusals
    references: References

    @classmethod
    def of(cls, ledger: Ledger) -> "Parts":
        """Return empty parts beside a ledger."""
        catalog = Catalog(ledger)
        network = Network(catalog)
        views = RoutingViews(catalog, network)
        plans, references = Plans(ledger, views), References(ledger)
        return cls(network, catalog, views, plans, Rejections(ledger), Refusals(ledger), references)


KINDS: Final[Sequence[type[Part]]] = list(Parts.__annotations__.values())
CHANGES: Final[Sequence[type[Change]]] = list(dict.fromkeys(change for kind in KINDS for change in kind.changes))
"""All that a record of the journal can change beside the ledger's columns."""
SETTLED_BEFORE: Final = tuple(change for kind in KINDS for change in kind.settled_before)
"""Those of them before which the parts take in what the group did so far."""

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final[msgspec.msgpack.Decoder[list[Change]]] = msgspec.msgpack.Decoder(
    list[Union[tuple(CHANGES)]]  # type: ignore[misc]  # noqa: UP007 - known when it runs
)


def encode_changes(changes: Sequence[Change]) -> bytes:
    """Encode changes for the journal."""
    return _encoder.encode(changes)


def decode_changes(payload: bytes) -> list[Change]:
    """Decode changes from the journal."""
    return _decoder.decode(payload)
