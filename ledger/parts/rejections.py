"""What locations could not fill: orders that they are not asked for again, and stock levels that wait to be counted."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import msgspec

from ledger.core.ledger import Ledger
from ledger.core.views import Violation
from ledger.parts.aging import AgingPart
from ledger.parts.part import Change
from ledger.parts.planned import AGES, CountedLevels, PlannedOrders, Rejection, SuspectLevels, order_of, reservation_of


class RejectionsImage(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """All of it, as a snapshot has it."""

    of_orders: list[tuple[str, list[Rejection]]] = []
    suspects: list[tuple[int, int, int]] = []
    """(sku, location, since when)."""


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(RejectionsImage)


class Rejections(AgingPart):
    """Rejections by order, and stock levels that wait to be counted. Names are the ledger's indexes."""

    name = "rejections"
    changes = (*AGES, CountedLevels, SuspectLevels)

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger
        self._of_orders: dict[str, list[Rejection]] = {}  # those looked at longest ago first
        self._suspects: dict[tuple[int, int], int] = {}

    def of(self, order: str, time_us: int) -> list[Rejection]:
        """Return the rejections of an order that still hold."""
        return [one for one in self._of_orders.get(order, ()) if one.until_us > time_us]

    @property
    def suspects(self) -> Mapping[tuple[int, int], int]:
        """(sku, location) of the stock levels that wait to be counted -> since when, microseconds."""
        return self._suspects

    def put(self, changes: Sequence[Change], time_us: int) -> None:
        """Keep the rejections that led to plans, and take levels off the list that were counted."""
        super().put(changes, time_us)
        for change in changes:
            if isinstance(change, PlannedOrders) and change.rejections:
                order = order_of(change.references[0], reservation_of(change))
                self._keep(order, [*self.of(order, time_us), *change.rejections])
                for one in change.rejections:
                    self._suspect((one.sku, one.location), time_us)
            elif isinstance(change, CountedLevels | SuspectLevels):
                for level in change.levels:
                    self._suspect(level, time_us if isinstance(change, SuspectLevels) else None)

    def _keep(self, order: str, rejections: list[Rejection]) -> None:
        """Keep the rejections of an order; none: it has no more."""
        before = self._of_orders.get(order)
        if before is not None:
            self.sum.remove((order, before))
        if rejections:
            self._of_orders[order] = rejections
            self.sum.add((order, rejections))
        elif before is not None:
            del self._of_orders[order]

    def _suspect(self, level: tuple[int, int], since_us: int | None) -> None:
        before = self._suspects.pop(level, None) if since_us is None else self._suspects.get(level)
        if before is not None:
            self.sum.remove((level, before))
        if since_us is not None:
            self._suspects[level] = since_us
            self.sum.add((level, since_us))

    def trim(self, look_count: int, time_us: int) -> None:
        """Drop the rejections that hold no more."""
        for order in list(islice(self._of_orders, look_count)):
            self._keep(order, self.of(order, time_us))
            if order in self._of_orders:
                self._of_orders[order] = self._of_orders.pop(order)

    def image(self) -> bytes:
        """Return all of it, for `restore`."""
        suspects = [(*level, since_us) for level, since_us in self._suspects.items()]
        return _encoder.encode(RejectionsImage(list(self._of_orders.items()), suspects))

    def restore(self, image: bytes) -> None:
        """Become what an image says."""
        assert not self._of_orders
        found = _decoder.decode(image)
        self._of_orders = dict(found.of_orders)
        self._suspects = {(sku, location): since_us for sku, location, since_us in found.suspects}

    def rows(self) -> Iterable[Any]:
        """Give each order's rejections, and each level that waits."""
        yield from self._of_orders.items()
        yield from self._suspects.items()

    def verify(self) -> Iterator[Violation]:
        """Find rejections of what there never was: a location rejects units of a stock level that it has."""
        yield from super().verify()
        for order, rejections in self._of_orders.items():
            if not rejections:
                yield Violation("orders_have_rejections", order, 1, 0)
            for one in rejections:
                if not self._has_level((one.sku, one.location)):
                    yield Violation("rejections_name_stock_levels", order, 1, 0)
        for (sku, location), since_us in self._suspects.items():
            subject = f"sku {sku} at location {location}"
            if not self._has_level((sku, location)):
                yield Violation("suspects_are_stock_levels", subject, 1, 0)
            if not 0 < since_us <= self._ledger.time_us:
                yield Violation("suspects_wait_since_a_rejection", subject, self._ledger.time_us, since_us)

    def _has_level(self, level: tuple[int, int]) -> bool:
        return self._ledger.find_level(*level) >= 0
