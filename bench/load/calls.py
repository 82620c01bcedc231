"""What a load test sends and gets, apart from how it travels: calls, replies, and sessions of them.

A session is a generator: it yields a call and is sent its reply. So the same customer can be played by the open-loop
generator, by a Locust user, or by a test.
"""

from collections.abc import Generator
from typing import Final, NamedTuple, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status as RpcStatus
from onhand.inventory.v1 import inventory_service_pb2, reservation_service_pb2

OK: Final = 0
CODE_NAMES: Final[dict[int, str]] = {int(code.value[0]): code.name for code in grpc.StatusCode}
# After these nobody knows whether the engine wrote: only a repeat with the same request_id tells.
UNKNOWN_OUTCOMES: Final = frozenset(
    int(code.value[0])
    for code in (
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
    )
)
# What an engine in good order answers to a customer: there is no more, or the hold is over. Anything else is an error.
BUSINESS_REASONS: Final = frozenset(
    {"INSUFFICIENT_STOCK", "RESERVATION_EXPIRED", "RESERVATION_NOT_ACTIVE", "RESERVATION_NOT_COMMITTED"}
)

PATHS: Final[dict[str, str]] = {
    method.name: f"/{service.full_name}/{method.name}"
    for module in (reservation_service_pb2, inventory_service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
"""Full path of each method of the two services by its bare name."""


class Call(NamedTuple):
    """One call that a session wants made."""

    method: str
    """Bare name, a key of PATHS; also its name in reports."""
    request: bytes
    """Serialized request."""
    pause_seconds: float = 0.0
    """Think time between the reply before and the planned send of this one."""


class Reply(NamedTuple):
    """What came back."""

    code: int
    """gRPC status code; 0 is OK."""
    payload: bytes = b""
    """Serialized response; empty unless OK."""
    reason: str = ""
    """Reason of ErrorInfo, or the name of the status code where there is none; empty if OK."""
    retry_seconds: float = 0.0
    """Delay of RetryInfo; 0 where there is none."""

    @property
    def is_ok(self) -> bool:
        """Whether the call did what it asked for."""
        return self.code == OK

    @property
    def is_unknown(self) -> bool:
        """Whether nobody knows what became of it."""
        return self.code in UNKNOWN_OUTCOMES


Session: TypeAlias = Generator[Call, Reply, None]
"""One customer, till or desk: yields calls, is sent their replies, ends when it leaves."""


def refusal(code: int, details: bytes = b"") -> Reply:
    """Return the reply of a status other than OK; `details` is the trailer grpc-status-details-bin, or empty."""
    reason, retry_seconds = CODE_NAMES.get(code, str(code)), 0.0
    for detail in _status_of(details).details:
        info, retry = ErrorInfo(), RetryInfo()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(retry):
            retry_seconds = retry.retry_delay.ToTimedelta().total_seconds()
    return Reply(code, b"", reason, retry_seconds)


def _status_of(details: bytes) -> RpcStatus:
    try:
        return RpcStatus.FromString(details)
    except DecodeError:
        return RpcStatus()
