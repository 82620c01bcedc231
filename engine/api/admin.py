"""AdminService: what operators ask."""

from collections.abc import Sequence
from itertools import islice
from typing import Final

from onhand.admin.v1 import admin_service_pb2 as service

from engine.api import fields
from engine.api.methods import Method, ReadMethod, Surroundings

SERVICE: Final = "/onhand.admin.v1.AdminService/"
VIOLATIONS_SHOWN_MAX: Final = 1_000


def get_status(_: service.GetStatusRequest, around: Surroundings) -> service.GetStatusResponse:
    """Answer GetStatus."""
    status = around.status()
    start_time_us = status.pop("start_time_us")
    response = service.GetStatusResponse(**status)
    fields.set_time(response.start_time, start_time_us)
    return response


def verify_ledger(_: service.VerifyLedgerRequest, around: Surroundings) -> service.VerifyLedgerResponse:
    """Answer VerifyLedger."""
    book = around.book
    violations = book.ledger.verify()
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
    )


METHODS: Final[Sequence[Method]] = (
    ReadMethod(SERVICE + "GetStatus", service.GetStatusRequest, get_status),
    ReadMethod(SERVICE + "VerifyLedger", service.VerifyLedgerRequest, verify_ledger),
)
