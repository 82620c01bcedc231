"""The messages of every method of the contract, by its path."""

from functools import cache
from importlib import import_module
from typing import Any, Final

from google.protobuf.message_factory import GetMessageClass

MODULES: Final = (
    "inventory.v1.reservation_service_pb2",
    "inventory.v1.inventory_service_pb2",
    "inventory.v1.catalog_service_pb2",
    "inventory.v1.bulk_service_pb2",
    "routing.v1.routing_service_pb2",
    "routing.v1.network_service_pb2",
    "routing.v1.bulk_service_pb2",
    "admin.v1.admin_service_pb2",
)


@cache
def _responses() -> dict[str, Any]:
    services = [
        service for name in MODULES for service in import_module(f"onhand.{name}").DESCRIPTOR.services_by_name.values()
    ]
    return {
        f"/{service.full_name}/{method.name}": GetMessageClass(method.output_type)
        for service in services
        for method in service.methods
    }


def response_of(path: str) -> Any:
    """Return the type of a method's responses."""
    return _responses()[path]
