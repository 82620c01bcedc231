"""Reasons of refusals, one row each. They are stable for ever."""

from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple

from grpc import StatusCode
from onhand.rules import limits


class Retry(Enum):
    """Whether the same call may have another answer soon."""

    NEVER = 0
    LATER = 1
    """From the same engine, after the delay that it names."""
    ELSEWHERE = 2
    """From another engine of the shard, or from the same one when it has recovered."""


class RefusalReason(NamedTuple):
    """One reason of a refusal."""

    code: StatusCode
    field: str = ""
    """What it is about where one sentence says it all."""
    sentence: str = ""
    """What is wrong with the field, and the way out."""
    retry: Retry = Retry.NEVER


REASONS: Final[Mapping[str, RefusalReason]] = {
    # idempotency
    "REQUEST_ID_REUSED": RefusalReason(StatusCode.ALREADY_EXISTS),
    "REQUEST_ID_TOO_OLD": RefusalReason(
        StatusCode.FAILED_PRECONDITION,
        "request_id",
        "this UUIDv7 is older than the engine remembers: read whether the write was done, and use a new id if not.",
    ),
    # argument
    "VALIDATION_FAILED": RefusalReason(StatusCode.INVALID_ARGUMENT),
    # lookup
    "WRONG_SHARD": RefusalReason(
        StatusCode.FAILED_PRECONDITION,
        "reservation_id",
        "another shard gave this id: ask the engine of that shard; nothing was done here.",
    ),
    "SKU_NOT_FOUND": RefusalReason(StatusCode.NOT_FOUND),
    "LOCATION_NOT_FOUND": RefusalReason(StatusCode.NOT_FOUND),
    "RESERVATION_NOT_FOUND": RefusalReason(
        StatusCode.NOT_FOUND, "reservation_id", "this reservation does not exist, or ended too long ago."
    ),
    "PLAN_NOT_FOUND": RefusalReason(StatusCode.NOT_FOUND),
    "NETWORK_NOT_FOUND": RefusalReason(StatusCode.FAILED_PRECONDITION),
    "NOT_STOCKED_HERE": RefusalReason(StatusCode.FAILED_PRECONDITION),
    "DOCUMENT_NOT_FOUND": RefusalReason(StatusCode.NOT_FOUND),
    # state
    "SKU_ALREADY_EXISTS": RefusalReason(StatusCode.ALREADY_EXISTS),
    "LOCATION_ALREADY_EXISTS": RefusalReason(StatusCode.ALREADY_EXISTS),
    "RESERVATION_EXPIRED": RefusalReason(
        StatusCode.FAILED_PRECONDITION, "reservation_id", "this reservation has expired; reserve again."
    ),
    "RESERVATION_NOT_ACTIVE": RefusalReason(
        StatusCode.FAILED_PRECONDITION, "reservation_id", "this reservation is not ACTIVE any more."
    ),
    "RESERVATION_NOT_COMMITTED": RefusalReason(
        StatusCode.FAILED_PRECONDITION, "reservation_id", "this reservation is not COMMITTED, or nothing of it is open."
    ),
    "VERSION_MISMATCH": RefusalReason(StatusCode.ABORTED),
    "LOCATION_INACTIVE": RefusalReason(StatusCode.FAILED_PRECONDITION),
    "DOCUMENT_NOT_BEGUN": RefusalReason(StatusCode.FAILED_PRECONDITION),
    "DOCUMENT_ENDED": RefusalReason(StatusCode.FAILED_PRECONDITION),
    "VERB_NOT_ALLOWED": RefusalReason(StatusCode.FAILED_PRECONDITION),
    # limit
    "TOO_MANY_LINES": RefusalReason(
        StatusCode.INVALID_ARGUMENT,
        "lines",
        f"expected at most {limits.LINES_PER_RESERVATION_MAX} lines in the reservation afterwards.",
    ),
    "QUANTITY_EXCEEDS_OPEN": RefusalReason(StatusCode.FAILED_PRECONDITION),
    "INSUFFICIENT_STOCK": RefusalReason(StatusCode.FAILED_PRECONDITION),
    # the engine's own
    # Not UNAVAILABLE: that code invites a retry at once, also by the channel itself, which makes an overload worse.
    # With RetryInfo. Missing stock never has this code: the engine has no room, which a later call may find.
    "OVERLOADED": RefusalReason(StatusCode.RESOURCE_EXHAUSTED, retry=Retry.LATER),
    "SNAPSHOT_NOT_FOUND": RefusalReason(StatusCode.NOT_FOUND),
    "HISTORY_TRIMMED": RefusalReason(StatusCode.OUT_OF_RANGE),
    "JOURNAL_UNAVAILABLE": RefusalReason(StatusCode.UNAVAILABLE, retry=Retry.ELSEWHERE),
    "NOT_PRIMARY": RefusalReason(StatusCode.FAILED_PRECONDITION, retry=Retry.ELSEWHERE),
    "DRAINING": RefusalReason(StatusCode.UNAVAILABLE, retry=Retry.ELSEWHERE),
    "LEDGER_CORRUPT": RefusalReason(StatusCode.DATA_LOSS),
    "INTERNAL_ERROR": RefusalReason(StatusCode.INTERNAL),
}


def error_name(reason: str) -> str:
    """Return the name of the client's exception for a reason: SKU_NOT_FOUND is SkuNotFound."""
    return reason.title().replace("_", "")
