"""The rpcs of the contract, from its descriptors: where each is called, with which message, and what it answers."""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass


class Rpc(NamedTuple):
    """One rpc of a service."""

    name: str
    path: str
    request_type: type[Any]
    response_type: type[Any]


def rpcs_of(service: ServiceDescriptor) -> Sequence[Rpc]:
    """Return the rpcs of a service, in the order of the contract."""
    return [
        Rpc(
            method.name,
            f"/{service.full_name}/{method.name}",
            GetMessageClass(method.input_type),
            GetMessageClass(method.output_type),
        )
        for method in service.methods
    ]


@cache
def rpc_of(request_type: type[Any]) -> Rpc:
    """Return the one rpc that takes a request."""
    services = request_type.DESCRIPTOR.file.services_by_name.values()
    (found,) = [rpc for service in services for rpc in rpcs_of(service) if rpc.request_type is request_type]
    return found
