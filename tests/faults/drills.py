"""Drills: what is lost with a disk. The journal server's, an engine's, both of one machine, and all of them.

Customers reserve one unit after the other and write down what they were told. Then processes are killed and folders
deleted, `onhand restore` begins the journal anew from what is left, and engines start. Up to the seq that it told,
everything acknowledged must be there; and no id that anybody was told may be given again.
"""

import json
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import grpc
from google.protobuf.duration_pb2 import Duration
from onhand.inventory.v1 import catalog_pb2, reservation_pb2, stock_pb2
from onhand.inventory.v1 import catalog_service_pb2 as catalog
from onhand.inventory.v1 import inventory_service_pb2 as inventory
from onhand.inventory.v1 import reservation_service_pb2 as reservations
from onhand.inventory.v1.catalog_service_pb2_grpc import CatalogServiceStub
from onhand.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from onhand.inventory.v1.reservation_service_pb2_grpc import ReservationServiceStub

from .cluster import Cluster, Engine
from .processes import WAIT_SECONDS, wait_until

ARCHIVE_SECONDS: Final = 2
FLAGS: Final = ("--archive-seconds", str(ARCHIVE_SECONDS), "--checkpoint-seconds", "3")
RESERVED_BEFORE: Final = 600
RESERVED_AFTER: Final = 100
UNITS: Final = 1_000_000
SKU, PLACE = "drill-sku", "drill-place"


class Told(NamedTuple):
    """What a customer was told."""

    seq: int
    reservation_id: str


class Drill(NamedTuple):
    """What came of one drill."""

    kind: str
    acknowledged: int
    told_seq: int
    """Up to which nothing may be missing."""
    lost: int
    """Acknowledged after it, and gone."""
    seconds: float
    problems: list[str]


def _after_the_journal(cluster: Cluster, _: Path) -> int:
    """Lose the journal server's disk: begin anew from what the primary keeps."""
    primary = cluster.primary()
    _kill_all(cluster)
    _wipe(cluster.server.folder)
    return _restored(cluster, primary.data_folder)


def _after_the_machine(cluster: Cluster, _: Path) -> int:
    """Lose the machine of journal server and primary: begin anew from what the standby keeps."""
    standby, primary = cluster.standby(), cluster.primary()
    _kill_all(cluster)
    _wipe(cluster.server.folder)
    shutil.rmtree(primary.data_folder)
    return _restored(cluster, standby.data_folder)


def _after_everything(cluster: Cluster, backup: Path) -> int:
    """Lose everything but a backup: begin anew from that."""
    _kill_all(cluster)
    _wipe(cluster.server.folder)
    for engine in cluster.engines:
        shutil.rmtree(engine.data_folder)
    shutil.copytree(backup, cluster.engines[0].data_folder)
    return _restored(cluster, cluster.engines[0].data_folder)


def _after_an_engine(cluster: Cluster, _: Path) -> int:
    """Lose the primary's disk: the standby leads, the other begins with an empty folder. Nothing is missing."""
    cluster.standby()
    primary = cluster.primary()
    primary.kill()
    shutil.rmtree(primary.data_folder)
    wait_until(lambda: any(each.is_primary() for each in cluster.engines if each is not primary), "a standby leads")
    primary.start()
    return sys.maxsize


DRILLS: Final[dict[str, Callable[[Cluster, Path], int]]] = {
    "journal server's disk lost": _after_the_journal,
    "primary's disk lost": _after_an_engine,
    "journal server's and primary's disks lost": _after_the_machine,
    "all but a backup lost": _after_everything,
}


def drill(kind: str, folder: Path) -> Drill:
    """Carry out one drill in a folder of its own."""
    started = time.monotonic()
    with Cluster(folder, flags=FLAGS) as cluster:
        customer = Customer(cluster.primary())
        customer.open_shop()
        before = customer.reserve(RESERVED_BEFORE)
        backup = folder / "backup"
        _onhand("backup", backup, "--folder", cluster.primary().data_folder, "--journal", cluster.server.url)
        before += customer.reserve(RESERVED_AFTER)
        told_seq = DRILLS[kind](cluster, backup)
        primary = cluster.primary()
        cluster.standby()
        customer = Customer(primary)
        problems = list(customer.missing(before, told_seq))
        after = customer.reserve(RESERVED_AFTER)
        again = {each.reservation_id for each in before} & {each.reservation_id for each in after}
        problems += [f"ids that were given again: {sorted(again)[:3]}"] if again else []
        if not primary.verify().ok:
            problems.append(f"{primary.name} does not add up")
        kept = sum(each.seq <= told_seq for each in before)
        problems += [] if kept else ["nothing was restored: the drill shows nothing"]
        return Drill(kind, len(before), told_seq, len(before) - kept, time.monotonic() - started, problems)


def _kill_all(cluster: Cluster) -> None:
    for engine in cluster.engines:
        engine.kill()
    cluster.server.kill()


def _wipe(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.suffix != ".log":
            path.unlink()


def _restored(cluster: Cluster, data_folder: Path) -> int:
    """Begin the journal anew, let the engine of the folder lead, and the other follow; returns up to which seq."""
    cluster.server.start()
    told = _onhand("restore", "--folder", data_folder, "--journal", cluster.server.url)
    ordered = sorted(cluster.engines, key=lambda each: each.data_folder != data_folder)
    for engine in ordered:
        engine.start()
        wait_until(lambda: any(each.is_primary() for each in cluster.engines if each.is_running), "an engine leads")
    return int(told["restored_seq"])


def _onhand(*arguments: object) -> dict[str, Any]:
    command = [sys.executable, "-m", "engine", *map(str, arguments), "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=WAIT_SECONDS)
    if ran.returncode:
        raise RuntimeError(f"{arguments[0]}: {ran.stderr}")
    return dict(json.loads(ran.stdout))


class Customer:
    """Reserves, and remembers what it was told."""

    def __init__(self, engine: Engine) -> None:
        channel = grpc.insecure_channel(engine.address, [("grpc.use_local_subchannel_pool", 1)])
        self._reservations = ReservationServiceStub(channel)
        self._inventory = InventoryServiceStub(channel)
        self._catalog = CatalogServiceStub(channel)

    def open_shop(self) -> None:
        """Create what is sold."""
        sku = catalog_pb2.Sku(sku_id=SKU, base_unit="each")
        place = catalog_pb2.Location(location_id=PLACE, kind=catalog_pb2.LOCATION_KIND_STORE, active=True)
        self._catalog.CreateSku(catalog.CreateSkuRequest(sku=sku), timeout=WAIT_SECONDS)
        self._catalog.CreateLocation(catalog.CreateLocationRequest(location=place), timeout=WAIT_SECONDS)
        receipt = inventory.NewMovement(
            type=stock_pb2.MOVEMENT_TYPE_RECEIVE, sku_id=SKU, location_id=PLACE, quantity=UNITS
        )
        self._inventory.RecordMovements(inventory.RecordMovementsRequest(movements=[receipt]), timeout=WAIT_SECONDS)

    def reserve(self, count: int) -> list[Told]:
        """Hold one unit, again and again."""
        line = reservation_pb2.LineQuantity(sku_id=SKU, location_id=PLACE, quantity=1)
        told = []
        for _ in range(count):
            request = reservations.ReserveStockRequest(
                lines=[line], ttl=Duration(seconds=3_600), request_id=str(uuid.uuid4())
            )
            response = self._reservations.ReserveStock(request, timeout=WAIT_SECONDS)
            told.append(Told(response.seq, response.reservation_id))
        return told

    def missing(self, told: list[Told], up_to_seq: int) -> list[str]:
        """Return what is not there of that which must be."""
        expected = [each for each in told if each.seq <= up_to_seq]
        return [f"{each.reservation_id}, seq {each.seq}, is not there" for each in expected if not self._has(each)]

    def _has(self, told: Told) -> bool:
        request = reservations.GetReservationRequest(reservation_id=told.reservation_id)
        try:
            self._reservations.GetReservation(request, timeout=WAIT_SECONDS)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return False
            raise
        return True
