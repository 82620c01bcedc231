"""What can go wrong with a call, as typed exceptions: one class for each reason of `onhand.rules.reasons`."""

from collections.abc import Mapping
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status as RpcStatus
from onhand.client.results import Shortage
from onhand.inventory.v1.reservation_pb2 import Refusal
from onhand.rules import refusals
from onhand.rules.reasons import REASONS, error_name
from onhand.rules.refusals import Problem, Told

DETAILS_KEY: Final = "grpc-status-details-bin"


class OnHandError(Exception):
    """Base of all errors of a call."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        """What was wrong and the way out, for people."""
        self.request_id = ""
        """Of the write; with it the write may be repeated without being done twice. Empty for reads."""

    def __str__(self) -> str:
        return self.message


class ClientClosed(OnHandError):
    """The client was closed before the call began; nothing was sent."""


class NoAnswer(OnHandError):
    """The engine gave no answer, or none that says what happened: connection lost, deadline passed, unknown error.

    `code` is the gRPC status code of the last try.
    """

    def __init__(self, message: str, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> None:
        super().__init__(message)
        self.args = (message, code)
        self.code = code


class OutcomeUnknown(NoAnswer):
    """No answer to a write: it may have been done or not. Repeat it with the same `request_id` to learn which."""


def outcome_unknown(error: NoAnswer) -> OutcomeUnknown:
    """Return what no answer means for a write."""
    message = f"{error}; the write may be done or not: repeat it with the same request_id to learn which."
    unknown = OutcomeUnknown(message, error.code)
    unknown.__cause__ = error
    return unknown


class NotSent(NoAnswer):
    """The deadline passed before the command was sent: nothing was done."""


class RefusedError(OnHandError):
    """The engine's answer was no; nothing was written. `reason` is stable for ever, `message` is for people.

    Parameters
    ----------
    reason
        Of google.rpc.ErrorInfo, such as "INSUFFICIENT_STOCK"; without ErrorInfo the name of the gRPC status code.
    message
        What was wrong and the way out.
    code
        gRPC status code.
    metadata
        Of ErrorInfo: facts for programs, repeated from the message.
    problems
        Fields that are wrong.
    shortages
        All short lines, for INSUFFICIENT_STOCK and QUANTITY_EXCEEDS_OPEN.
    retry_seconds
        When it makes sense to try again; 0 if the engine does not say.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        code: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
        *,
        metadata: Mapping[str, str] | None = None,
        problems: tuple[Problem, ...] = (),
        shortages: tuple[Shortage, ...] = (),
        retry_seconds: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.args = (reason, message, code)
        self.reason = reason
        self.code = code
        self.metadata = dict(metadata or {})
        self.problems = problems
        self.shortages = shortages
        self.retry_seconds = retry_seconds

    @property
    def field(self) -> str:
        """The field that the refusal is about; empty if it is about none."""
        return self.metadata.get("field", "")


class RequestIdReused(RefusedError):
    """The request id was used before with other content; `field` says what differed."""


class RequestIdTooOld(RefusedError):
    """The request id is a UUIDv7 from before the window of remembered ids; or the clock of this machine is wrong."""


class ValidationFailed(RefusedError):
    """A value that is wrong in itself; `problems` names the fields."""


class SkuNotFound(RefusedError):
    """No such sku."""


class LocationNotFound(RefusedError):
    """No such location or location group."""


class WrongShard(RefusedError):
    """Another shard gave this id; nothing was done."""


class ReservationNotFound(RefusedError):
    """No such reservation, or it ended too long ago."""


class PlanNotFound(RefusedError):
    """No such plan, or it is kept no more."""


class NetworkNotFound(RefusedError):
    """The engine has no routing network yet."""


class NotStockedHere(RefusedError):
    """The sku is not stocked at the location."""


class SkuAlreadyExists(RefusedError):
    """There is a sku of that id already."""


class LocationAlreadyExists(RefusedError):
    """There is a location of that id already."""


class DocumentNotFound(RefusedError):
    """No such transfer or fulfillment order, or it ended too long ago."""


class DocumentNotBegun(RefusedError):
    """The transfer was not dispatched yet; `state` says where it is in its life."""

    @property
    def state(self) -> str:
        """The state that it is in; empty if the engine did not say."""
        return self.metadata.get("state", "")


class DocumentEnded(RefusedError):
    """The transfer has ended; `state` says how."""

    @property
    def state(self) -> str:
        """The state that it is in; empty if the engine did not say."""
        return self.metadata.get("state", "")


class VerbNotAllowed(RefusedError):
    """The fulfillment order is in a state, or of a method, that does not have the verb."""

    @property
    def state(self) -> str:
        """The state that it is in; empty if the engine did not say."""
        return self.metadata.get("state", "")

    @property
    def allowed(self) -> tuple[str, ...]:
        """The verbs that it has now; empty if the engine did not say."""
        return tuple(filter(None, self.metadata.get("allowed", "").split(",")))


class ReservationExpired(RefusedError):
    """The reservation has expired: reserve again."""


class ReservationNotActive(RefusedError):
    """The reservation is not ACTIVE any more."""


class ReservationNotCommitted(RefusedError):
    """The reservation is not COMMITTED, or nothing of it is open."""


class VersionMismatch(RefusedError):
    """What was to be changed has another version than expected."""

    @property
    def version(self) -> int:
        """The version that it has; 0 if the engine did not say."""
        return int(self.metadata.get("version", 0))


class LocationInactive(RefusedError):
    """The location takes no new holds."""


class TooManyLines(RefusedError):
    """The reservation or transfer would have more than 100 lines."""


class QuantityExceedsOpen(RefusedError):
    """More units were named than the lines have open; `shortages` lists them."""


class InsufficientStock(RefusedError):
    """There is not as much stock as asked for; `shortages` lists all short lines with what is left."""


class SnapshotNotFound(RefusedError):
    """No such snapshot."""


class HistoryTrimmed(RefusedError):
    """Movements that old are not kept."""


class Overloaded(RefusedError):
    """The engine, or the queue of this client, is full; nothing was done."""


class JournalUnavailable(RefusedError):
    """The engine could not make it durable in time: the write may be done yet. Repeat it with the same `request_id`."""


class NotPrimary(RefusedError):
    """Another engine writes now, not this one; nothing was done."""

    @property
    def primary(self) -> str:
        """The address of the engine that does; empty if this one does not know."""
        return self.metadata.get("primary", "")


class Draining(RefusedError):
    """The engine is shutting down; nothing was done."""


class LedgerCorrupt(RefusedError):
    """The engine's ledger or journal is damaged; a person must look at it."""


class InternalError(RefusedError):
    """A bug in the engine; its log says why."""


_Code = grpc.StatusCode
_KINDS: Final = {kind.__name__: kind for kind in RefusedError.__subclasses__()}
KIND_OF: Final[Mapping[str, type[RefusedError]]] = {reason: _KINDS[error_name(reason)] for reason in REASONS}
"""Class of the exception for each reason."""
# Statuses that say nothing about whether the call was carried out, unless the engine gave them with a reason.
_SILENT: Final = (
    _Code.CANCELLED,
    _Code.UNKNOWN,
    _Code.DEADLINE_EXCEEDED,
    _Code.RESOURCE_EXHAUSTED,  # perhaps it was only the answer that was too long
    _Code.ABORTED,
    _Code.INTERNAL,
    _Code.UNAVAILABLE,
    _Code.DATA_LOSS,
)


def refusal(reason: str, message: str, **facts: Any) -> RefusedError:
    """Return the refusal of a reason; of one that only a newer engine knows a plain RefusedError that keeps it.

    `facts` are as RefusedError has them.
    """
    code = REASONS[reason].code if reason in REASONS else _Code.UNKNOWN
    return KIND_OF.get(reason, RefusedError)(reason, message, code, **facts)


def refused_as(told: Told) -> RefusedError:
    """Return the refusal of what is told."""
    return refusal(**told._asdict())


def newer_refusal(reason: str) -> RefusedError:
    """Return the refusal of which the engine told a number that this client does not know, and no words."""
    return refusal(reason, "The engine is newer than this client, which does not know why.")


def invalid(field: str, expected: str, was: object, unit: str = "") -> RefusedError:
    """Return the refusal of a field: what was expected, and what it was."""
    return refused_as(refusals.invalid(field, expected, was, unit))


def from_rpc_error(error: Any) -> OnHandError:
    """Return what a grpc.RpcError of a unary call stands for, read from the details of google.rpc.Status.

    Without details of the engine it is a NoAnswer if the code leaves open what happened, else a RefusedError whose
    reason is the code's name.
    """
    code, message = error.code(), error.details() or ""
    facts: dict[str, Any] = {"reason": "", "metadata": {}, "problems": (), "shortages": (), "retry_seconds": 0.0}
    status = _status_of(dict(error.trailing_metadata() or ()).get(DETAILS_KEY, b""))
    if status.code == code.value[0]:  # else they are those of an answer that was too long for this client
        for detail in status.details:
            facts.update(_facts_of(detail))
    reason = facts.pop("reason")
    if not reason and code in _SILENT:
        return NoAnswer(f"{code.name}: {message}", code)
    return KIND_OF.get(reason, RefusedError)(reason or code.name, message, code, **facts)


def _status_of(details: bytes) -> Any:
    """Return the status of a trailer; an empty one if somebody between put something else there."""
    try:
        return RpcStatus.FromString(details)
    except DecodeError:
        return RpcStatus()


def _facts_of(detail: Any) -> dict[str, Any]:
    """Return what one detail of a status says, as RefusedError has it."""
    info, request, short, retry = ErrorInfo(), BadRequest(), Refusal(), RetryInfo()
    if detail.Unpack(info):
        return {"reason": info.reason, "metadata": dict(info.metadata)}
    if detail.Unpack(request):
        return {"problems": tuple(Problem(each.field, each.description) for each in request.field_violations)}
    if detail.Unpack(short):
        return {"shortages": tuple(map(Shortage.of, short.shortages))}
    if detail.Unpack(retry):
        return {"retry_seconds": retry.retry_delay.ToTimedelta().total_seconds()}
    return {}
