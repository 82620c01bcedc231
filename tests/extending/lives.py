"""A story that an engine lives through: it is told to one that is killed, and must be known to the next two."""

from collections.abc import Callable
from pathlib import Path

from engines import ForkedEngine
from faults.processes import wait_until
from harness import Client
from onhand.admin.v1 import admin_service_pb2 as admin


def lives(folder: Path, write: Callable[[Client], None], check: Callable[[Client], None]) -> None:
    """Write to an engine, kill it, and check what one that replays its journal, and one that has a snapshot, know."""
    flags = ["--port", "0", "--data-folder", str(folder / "data"), "--log-level", "warning"]
    process = ForkedEngine(flags, log_file=folder / "engine.log")
    process.start()
    try:
        with Client(process.address) as client:
            write(client)
            digest = checked(client, check)
    finally:
        process.kill()
    with process, Client(process.address) as client:
        assert checked(client, check) == digest, "a replay of the journal"
        client.call(client.admin.Checkpoint, admin.CheckpointRequest())
        wait_until(lambda: client.status().snapshot_seq > 0, "a snapshot")
    with process, Client(process.address) as client:
        assert checked(client, check) == digest, "a snapshot"


def checked(client: Client, check: Callable[[Client], None]) -> bytes:
    """Check, and let the engine recount everything; returns the digest of its state."""
    check(client)
    proof = client.verify()
    assert proof.ok, proof
    return proof.digest
