"""AdminService: what operators ask."""

from functools import partial
from itertools import islice
from typing import Final

from onhand.admin.v1 import admin_service_pb2 as service
from onhand.rules.refusals import shown

from engine.api import fields
from engine.api.methods import ReadHandler, Surroundings, Work, service_methods
from engine.api.routing.network_proof import violations_of
from engine.errors import RefusedError, invalid
from ledger.book import Book

VIOLATIONS_SHOWN_MAX: Final = 1_000


def get_status(_: service.GetStatusRequest, around: Surroundings) -> service.GetStatusResponse:
    """Answer GetStatus."""
    status = around.status()
    times = {name: status.pop(f"{name}_us") for name in ("start_time", "snapshot_time")}
    response = service.GetStatusResponse(**status)
    for name, time_us in times.items():
        if time_us:
            fields.set_time(getattr(response, name), time_us)
    return response


def checkpoint(_: service.CheckpointRequest, around: Surroundings) -> service.CheckpointResponse:
    """Answer Checkpoint."""
    return service.CheckpointResponse(seq=around.request_checkpoint())


def verify_ledger(_: service.VerifyLedgerRequest, around: Surroundings) -> Work[bytes]:
    """Answer VerifyLedger: a ledger of millions of rows is recounted beside the writer."""
    return around.aside(partial(verified, around.book))


def verified(book: Book) -> bytes:
    """Recount a book; returns the bytes of a VerifyLedgerResponse."""
    violations = violations_of(book)
    return service.VerifyLedgerResponse(
        ok=not violations,
        violations=[
            service.Violation(
                invariant=found.invariant, subject=found.subject, expected=found.expected, actual=found.actual
            )
            for found in islice(violations, VIOLATIONS_SHOWN_MAX)
        ],
        violation_count=len(violations),
        seq=book.seq,
        digest=book.digest().hex(),
        oversold_level_count=book.ledger.oversold_level_count(),
    ).SerializeToString()


def read_snapshot(request: service.ReadSnapshotRequest, around: Surroundings) -> service.ReadSnapshotResponse:
    """Answer ReadSnapshot."""
    if request.offset < 0:
        raise invalid("offset", "0 or more", request.offset)
    found = around.read_snapshot(request.name, request.offset)
    if found is None:
        named = f"named {shown(request.name)}" if request.name else "yet: ask for one with Checkpoint"
        raise RefusedError("SNAPSHOT_NOT_FOUND", f"There is no snapshot {named}.")
    name, total_bytes, data = found
    return service.ReadSnapshotResponse(name=name, total_bytes=total_bytes, data=data)


METHODS: Final = service_methods(
    service.DESCRIPTOR.services_by_name["AdminService"],
    {
        "GetStatus": ReadHandler(get_status),
        "VerifyLedger": ReadHandler(verify_ledger),
        "Checkpoint": ReadHandler(checkpoint),
        "ReadSnapshot": ReadHandler(read_snapshot),
    },
)
