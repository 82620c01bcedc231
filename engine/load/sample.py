"""The sample shop of `onhand serve --sample`: what `onhand load --example` writes, in an engine that has nothing."""

import tempfile
from pathlib import Path
from typing import Final

import grpc
import uvloop
from onhand.admin.v1.admin_service_pb2 import GetStatusRequest
from onhand.admin.v1.admin_service_pb2_grpc import AdminServiceStub
from rich.console import Console

from engine.load.command import load
from engine.load.example import write_example
from engine.load.plan import Paths
from engine.load.problems import LoadError

CALL_SECONDS: Final = 10.0


def fill(address: str) -> str:
    """Load the example into the engine at the address; returns what came of it, in words."""
    try:
        with grpc.insecure_channel(address) as channel:
            known = AdminServiceStub(channel).GetStatus(GetStatusRequest(), timeout=CALL_SECONDS)
        if known.sku_count or known.location_count:
            return f"sample: nothing loaded, the engine has {known.sku_count} skus and {known.location_count} locations"
        with tempfile.TemporaryDirectory(prefix="onhand-sample-") as name:
            folder = Path(name)
            write_example(folder)
            locations, skus, levels = (folder / f"{each}.csv" for each in ("locations", "skus", "levels"))
            paths = Paths(locations, skus, levels, folder / "network")
            uvloop.run(load(address, paths, Console(stderr=True), progress=False))
    except (LoadError, grpc.RpcError) as error:
        return f"sample: not loaded: {error}"
    return f"sample: a shop with stock and a routing network is at {address}; onhand load --example has its files"
