"""A ledger alone, without gRPC and journal, filled to millions of rows."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from bench.request_ids import random_request_ids
from ledger.core.ledger import Ledger
from ledger.core.limits import MICROSECONDS, TTL_US_MAX
from ledger.core.records import COMMAND, HAS_REQUEST_ID, Batch, Group, new_lines
from ledger.core.statuses import Operation

LOCATIONS: Final = 100
UNITS_PER_LEVEL: Final = 1_000_000
WINDOW_US: Final = 3_600 * MICROSECONDS
START_US: Final = 1_700_000_000 * MICROSECONDS
BATCH_US: Final = 100
"""How far the ledger's time goes from batch to batch."""


class Columns:
    """A ledger with skus at LOCATIONS locations, and the batches that fill it.

    Parameters
    ----------
    levels
        Stock levels, a multiple of LOCATIONS.
    seed
        Decides which levels are reserved.
    """

    def __init__(self, levels: int, seed: int = 1) -> None:
        assert levels % LOCATIONS == 0
        self.skus = levels // LOCATIONS
        self.ledger = Ledger(request_window_us=WINDOW_US, retention_us=WINDOW_US)
        self._random = np.random.default_rng(seed)
        for sku in range(self.skus):
            self.ledger.define_sku(f"SKU-{sku}")
        for location in range(LOCATIONS):
            self.ledger.define_location(f"LOC-{location}")

    def level_batches(self, batch_size: int) -> Iterator[Batch]:
        """Count every sku at every location."""
        command = np.zeros(1, COMMAND)
        command["operation"] = Operation.SET_ON_HAND
        for location in range(LOCATIONS):
            for first in range(0, self.skus, batch_size):
                lines = new_lines(min(batch_size, self.skus - first))
                lines["sku"] = np.arange(first, first + len(lines))
                lines["location"] = location
                lines["quantity"] = UNITS_PER_LEVEL
                command["line_count"] = len(lines)
                yield Batch(command, lines)

    def reservation_batches(self, count: int, batch_size: int) -> Iterator[Batch]:
        """Reserve one unit at levels drawn at random, each with a request id."""
        for first in range(0, count, batch_size):
            yield self.reservations(min(batch_size, count - first))

    def reservations(self, count: int) -> Batch:
        """Return one batch of reservations."""
        commands, lines = np.zeros(count, COMMAND), new_lines(count)
        halves = random_request_ids(count, self._random).view(">u8")
        commands["operation"] = Operation.RESERVE
        commands["flags"] = HAS_REQUEST_ID
        commands["line_count"] = 1
        commands["line_start"] = np.arange(count)
        commands["ttl_us"] = TTL_US_MAX
        commands["request_id_high"], commands["request_id_low"] = halves[:, 0], halves[:, 1]
        lines["sku"] = self._random.integers(0, self.skus, count)
        lines["location"] = self._random.integers(0, LOCATIONS, count)
        lines["quantity"] = 1
        return Batch(commands, lines)

    def run(self, batch: Batch) -> Group:
        """Execute a batch and take its group, as a writer does."""
        self.ledger.execute(batch, max(self.ledger.time_us, START_US) + BATCH_US)
        group = self.ledger.take_group()
        assert group is not None, "every batch writes"
        return group

    def check(self, active: int) -> list[str]:
        """Recount the ledger; returns what is wrong."""
        found = {
            "violations": (0, len(self.ledger.verify())),
            "stock levels": (self.skus * LOCATIONS, self.ledger.counts().stock_levels),
            "active reservations": (active, self.ledger.counts().active_reservations),
        }
        return [f"{what}: expected {wanted:,}, was {was:,}" for what, (wanted, was) in found.items() if wanted != was]
