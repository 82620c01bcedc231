"""Refusals as the engine raises them, and the error details that clients read."""

from collections.abc import Mapping, Sequence
from typing import Final, Self

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status as RpcStatus
from onhand.inventory.v1.reservation_pb2 import Refusal, Shortage
from onhand.rules import refusals
from onhand.rules.checks import more_problems
from onhand.rules.reasons import REASONS, Retry
from onhand.rules.refusals import Problem, Told

from ledger.core.limits import LINES_PER_RESERVATION_MAX
from ledger.core.statuses import Status

DOMAIN: Final = "onhand"
RETRY_SECONDS: Final = 0.2
SHORTAGE_NAMES_BYTES_MAX: Final = 2_000
"""Errors travel in HTTP/2 headers, of which a client takes 8 KiB: shortages beyond these bytes go without names."""
SHORTAGES_MAX: Final = LINES_PER_RESERVATION_MAX
PROBLEMS_BYTES_MAX: Final = 2_000
"""For the same reason: wrong fields beyond these bytes are left out, but for the first one."""


assert {status.name for status in Status if status is not Status.OK} <= REASONS.keys()


class RefusedError(Exception):
    """A call that is answered with a status other than OK; an expected outcome, not a failure of the engine.

    Parameters
    ----------
    reason
        A key of REASONS.
    message
        What was wrong and the way out, for people.
    problems
        Fields that are wrong, for VALIDATION_FAILED.
    shortages
        All short lines, for INSUFFICIENT_STOCK and QUANTITY_EXCEEDS_OPEN.
    metadata
        Facts for programs, repeated from the message.
    retry_seconds
        When it makes sense to try again, for reasons that may pass.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        problems: Sequence[Problem] = (),
        shortages: Sequence[Shortage] = (),
        metadata: Mapping[str, str] | None = None,
        retry_seconds: float = 0.0,
    ) -> None:
        super().__init__(message)
        assert reason in REASONS
        assert not retry_seconds or REASONS[reason].retry is not Retry.NEVER
        self.reason = reason
        self.message = message
        self.problems = problems
        self.shortages = shortages
        self.metadata = metadata or {}
        self.retry_seconds = retry_seconds

    @property
    def code(self) -> int:
        """The gRPC status code."""
        return int(REASONS[self.reason].code.value[0])

    def alone(self) -> Self:
        """Return this refusal, cut off from where it was raised.

        The frames there know it, and all that they worked on: Python's collector alone would find that nobody else
        does.
        """
        self.__traceback__ = self.__context__ = self.__cause__ = None
        return self

    def with_problems(self, problems: Sequence[Problem]) -> "RefusedError":
        """Return the same refusal with more fields that are wrong; of each the first problem is told."""
        return RefusedError(
            self.reason,
            self.message,
            problems=(*self.problems, *more_problems(self.problems, problems)),
            shortages=self.shortages,
            metadata=self.metadata,
            retry_seconds=self.retry_seconds,
        )

    def inside(self, field: str) -> "RefusedError":
        """Return the same refusal as seen from the message that holds this one in a field."""
        named = self.metadata.get("field", "")
        begins_with_field = bool(named) and self.message.startswith(named)
        return RefusedError(
            self.reason,
            f"{field}{'.' if begins_with_field else ': '}{self.message}",
            problems=[problem.inside(field) for problem in self.problems],
            shortages=self.shortages,
            metadata={**self.metadata, "field": f"{field}.{named}"} if named else self.metadata,
            retry_seconds=self.retry_seconds,
        )

    def refusal(self) -> Refusal:
        """Return the refusal as one result of a batch."""
        return Refusal(reason=self.reason, code=self.code, message=self.message, shortages=self.shortages)

    def details(self) -> bytes:
        """Return the serialized google.rpc.Status for the trailer grpc-status-details-bin."""
        status = RpcStatus(code=self.code, message=self.message)
        _pack(status, ErrorInfo(reason=self.reason, domain=DOMAIN, metadata=self.metadata))
        if self.problems:
            violations = [
                BadRequest.FieldViolation(field=problem.field, description=problem.description)
                for problem in _told_in_short(self.problems)
            ]
            _pack(status, BadRequest(field_violations=violations))
        if self.shortages:
            _pack(status, Refusal(shortages=_fitting(self.shortages)))
        if self.retry_seconds:
            delay = Duration()
            delay.FromMilliseconds(int(self.retry_seconds * 1000))
            _pack(status, RetryInfo(retry_delay=delay))
        return status.SerializeToString(deterministic=True)


def _pack(status: RpcStatus, detail: ErrorInfo | BadRequest | Refusal | RetryInfo) -> None:
    packed = AnyMessage()
    packed.Pack(detail, deterministic=True)
    status.details.append(packed)


def _told_in_short(problems: Sequence[Problem]) -> list[Problem]:
    """Return the problems that fit into an error."""
    told: list[Problem] = []
    used = 0
    for problem in problems:
        used += sum(len(text.encode()) for text in problem)
        if told and used > PROBLEMS_BYTES_MAX:
            break
        told.append(problem)
    return told


def _fitting(shortages: Sequence[Shortage]) -> list[Shortage]:
    """Return the shortages that fit into an error: with names as long as there is room."""
    fitting, used = [], 0
    for short in shortages[:SHORTAGES_MAX]:
        used += short.ByteSize()
        if used > SHORTAGE_NAMES_BYTES_MAX:
            short = Shortage(line=short.line, requested=short.requested, available=short.available)  # noqa: PLW2901
        fitting.append(short)
    return fitting


def journal_away(verb: str, error: Exception) -> RefusedError:
    """Return the refusal of a call while the journal server does not do its part."""
    return RefusedError(
        "JOURNAL_UNAVAILABLE",
        f"The journal cannot be {verb} now ({error}); repeat the call with the same request_id.",
        retry_seconds=RETRY_SECONDS,
    )


def refused_as(told: Told) -> RefusedError:
    """Return the refusal of what is told."""
    return RefusedError(**told._asdict())


def invalid(field: str, expected: str, was: object, unit: str = "") -> RefusedError:
    """Return the refusal of a field: what was expected, and what it was."""
    return refused_as(refusals.invalid(field, expected, was, unit))
