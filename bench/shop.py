"""An engine with stock to measure on, and the check that nothing was lost in a measurement."""

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import grpc
import uvloop
from google.protobuf.duration_pb2 import Duration
from onhand.admin.v1 import admin_service_pb2 as admin
from onhand.admin.v1.admin_service_pb2_grpc import AdminServiceStub
from onhand.inventory.v1 import catalog_pb2
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub

from bench.bulk_calls import count_in_bulk
from bench.names import TTL_SECONDS, location_name, sku_name
from engine.launch import EngineProcess
from engine.load.sending import open_channel, upsert_locations, upsert_skus
from ledger.core.limits import PAGE_SIZE_MAX

RESERVE_PATH: Final = "/onhand.inventory.v1.ReservationService/ReserveStock"
AVAILABILITY_PATH: Final = "/onhand.inventory.v1.InventoryService/BatchGetAvailability"
CALL_SECONDS: Final = 300.0
POLL_SECONDS: Final = 0.05
LEVELS_SUMMED_MAX: Final = 20_000
"""With more levels than this the sum of what is reserved is left to VerifyLedger, which compares it level by level."""


class Replayed(NamedTuple):
    """What an engine did when it started on its journal."""

    seconds: float
    is_equal: bool
    """Whether the ledger's digest is that of before."""


def reserve_request(sku: int, location: int) -> reservations.ReserveStockRequest:
    """Return a request for one unit."""
    request = reservations.ReserveStockRequest(ttl=Duration(seconds=TTL_SECONDS))
    request.lines.add(sku_id=sku_name(sku), location_id=location_name(location), quantity=1)
    return request


class Shop:
    """An engine of its own in a temporary folder, with every sku in stock at every location; a context manager.

    Whoever reserves says so to `check`, which then knows what must be there.

    Parameters
    ----------
    skus, locations
        How many; stock levels are their product.
    transport
        Of the engine.
    """

    def __init__(self, skus: int, locations: int, *, transport: str = "native") -> None:
        self.skus = skus
        self.locations = locations
        self._transport = transport
        self._reserved = 0

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as cleanup:
            folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="onhand-bench-")))
            self._log_file = folder / "engine.log"
            flags = ["--port", "0", "--data-folder", str(folder / "data"), "--transport", self._transport]
            self._engine = EngineProcess([*flags, "--log-format", "json"], log_file=self._log_file)
            cleanup.enter_context(self._engine)
            uvloop.run(self._fill_catalog())
            count_in_bulk(self.address, self.skus, self.locations)
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    @property
    def address(self) -> str:
        """Where the engine serves."""
        return self._engine.address

    async def _fill_catalog(self) -> None:
        skus = [catalog_pb2.Sku(sku_id=sku_name(number), base_unit="each") for number in range(self.skus)]
        kind = catalog_pb2.LOCATION_KIND_STORE
        locations = [
            catalog_pb2.Location(location_id=location_name(number), kind=kind, active=True)
            for number in range(self.locations)
        ]
        async with open_channel(self.address) as channel:
            await upsert_locations(channel, locations, _unseen)
            await upsert_skus(channel, skus, _unseen)

    # ---- checking ----------------------------------------------------------------------------------------------------

    def check(self, more: int, *, within_seconds: float = 0.0) -> list[str]:
        """Compare what the engine says with what was reserved.

        Parameters
        ----------
        more
            Reservations of one unit that were acknowledged since the last check, less those that ended.
        within_seconds
            How long those that end may take.

        Returns
        -------
        list of str
            What is wrong.
        """
        self._reserved += more
        with grpc.insecure_channel(self.address) as channel:
            stub = AdminServiceStub(channel)
            active = self._active_count(stub, within_seconds)
            verified = stub.VerifyLedger(admin.VerifyLedgerRequest(), timeout=CALL_SECONDS)
            found = {
                "active reservations": (self._reserved, active),
                "violations that VerifyLedger finds": (0, verified.violation_count),
                "oversold stock levels": (0, verified.oversold_level_count),
            }
            if self.skus * self.locations <= LEVELS_SUMMED_MAX:
                found["reserved units, summed"] = (self._reserved, _reserved_units(InventoryServiceStub(channel)))
        return [f"{what}: expected {wanted:,}, was {was:,}" for what, (wanted, was) in found.items() if wanted != was]

    def _active_count(self, stub: AdminServiceStub, within_seconds: float) -> int:
        """Return how many reservations are active, once no more are than should be or time is up."""
        deadline = time.monotonic() + within_seconds
        while True:
            status = stub.GetStatus(admin.GetStatusRequest(), timeout=CALL_SECONDS)
            if status.active_reservation_count <= self._reserved or time.monotonic() >= deadline:
                return status.active_reservation_count
            time.sleep(POLL_SECONDS)

    # ---- starting again ----------------------------------------------------------------------------------------------

    def restart(self) -> Replayed:
        """Kill the engine, start it on its journal, and say how long the replay took."""
        before = self._digest()
        self._engine.kill()
        self._engine.start()
        lines = map(json.loads, self._log_file.read_text("utf-8").splitlines())
        *_, last = (line for line in lines if line["event"] == "recovered")
        return Replayed(float(last["seconds"]), self._digest() == before)

    def _digest(self) -> str:
        with grpc.insecure_channel(self.address) as channel:
            verified = AdminServiceStub(channel).VerifyLedger(admin.VerifyLedgerRequest(), timeout=CALL_SECONDS)
        return verified.digest


def _unseen(_count: int) -> None:
    """Show no progress: the bar is the run's."""


def _reserved_units(stub: InventoryServiceStub) -> int:
    """Sum what is reserved over all stock levels."""
    return sum(level.reserved for page in _pages(stub) for level in page.stock_levels)


def _pages(stub: InventoryServiceStub) -> Iterator[inventory.ListStockLevelsResponse]:
    token = ""
    while True:
        request = inventory.ListStockLevelsRequest(page_size=PAGE_SIZE_MAX, page_token=token)
        page = stub.ListStockLevels(request, timeout=CALL_SECONDS)
        yield page
        token = page.next_page_token
        if not token:
            return
