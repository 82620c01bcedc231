"""Fetching a snapshot from the primary, for an engine that has none and whose journal was trimmed."""

import os
from pathlib import Path
from typing import Final

import grpc
import structlog
from onhand.admin.v1.admin_service_pb2 import ReadSnapshotRequest, ReadSnapshotResponse
from onhand.admin.v1.admin_service_pb2_grpc import AdminServiceStub

from ledger.sealed import TEMPORARY_SUFFIX, sync_folder

CALL_SECONDS: Final = 30.0

log = structlog.get_logger("onhand.fetch")


class FetchFailed(Exception):  # noqa: N818 - named by the state
    """The primary could not be asked, or has no snapshot."""


def fetch_snapshot(address: str, folder: Path) -> Path:
    """Copy the newest snapshot of another engine; it is checked by whoever loads it.

    Parameters
    ----------
    address
        Of the engine, HOST:PORT.
    folder
        Where snapshots go; made if it is not there.

    Raises
    ------
    FetchFailed
        The engine cannot be asked, or has no snapshot.
    OSError
        The file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with grpc.insecure_channel(address) as channel:
        try:
            path = _copy(AdminServiceStub(channel), folder)
        except grpc.RpcError as error:
            raise FetchFailed(f"{address} answered {error.code().name}: {error.details()}") from error
    log.info("snapshot fetched", address=address, path=str(path), bytes=path.stat().st_size)
    return path


def _copy(stub: AdminServiceStub, folder: Path) -> Path:
    """Ask for one piece after the other, all of the same snapshot."""
    piece: ReadSnapshotResponse = stub.ReadSnapshot(ReadSnapshotRequest(), timeout=CALL_SECONDS)
    path = folder / Path(piece.name).name
    temporary = path.with_suffix(f"{path.suffix}{TEMPORARY_SUFFIX}")
    with temporary.open("wb") as file:
        file.write(piece.data)
        while file.tell() < piece.total_bytes:
            request = ReadSnapshotRequest(name=piece.name, offset=file.tell())
            file.write(stub.ReadSnapshot(request, timeout=CALL_SECONDS).data)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    sync_folder(folder)
    return path
