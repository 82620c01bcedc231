"""Methods of the API: each rpc of the contract has one handler, and no handler is without its rpc."""

from importlib import import_module
from pathlib import Path

import pytest
from onhand.admin.v1 import admin_service_pb2
from onhand.rpcs import rpc_of, rpcs_of

from engine.api.desk import METHODS, OPERATOR_METHODS, SERVICE_NAMES
from engine.api.methods import ReadHandler, service_methods

CONTRACT = Path(__file__).parent.parent / "proto"
GENERATED = [
    ".".join(path.relative_to(CONTRACT).with_suffix("").parts) for path in CONTRACT.glob("onhand/*/v1/*_pb2.py")
]
SERVICES = [service for name in GENERATED for service in import_module(name).DESCRIPTOR.services_by_name.values()]
RPCS = [rpc for service in SERVICES for rpc in rpcs_of(service)]


def test_each_rpc_of_each_service_has_exactly_one_handler():
    assert len(RPCS) > 40
    assert sorted(rpc.path for rpc in RPCS) == sorted(method.path for method in METHODS)
    assert {service.full_name for service in SERVICES} == set(SERVICE_NAMES)


def test_methods_take_the_requests_of_their_rpcs():
    taken = {method.path: method.request_type.DESCRIPTOR.full_name for method in METHODS}
    assert taken == {rpc.path: rpc.request_type.DESCRIPTOR.full_name for rpc in RPCS}
    assert all(rpc_of(method.request_type).path == method.path for method in METHODS)


def test_operators_have_the_admin_service():
    (service,) = admin_service_pb2.DESCRIPTOR.services_by_name.values()
    assert {METHODS[place].path for place in OPERATOR_METHODS} == {rpc.path for rpc in rpcs_of(service)}


@pytest.mark.parametrize("change", [{"Nope": ReadHandler(print)}, {"GetStatus": None}], ids=["unknown", "missing"])
def test_a_service_without_a_handler_for_each_rpc_is_refused(change):
    (service,) = admin_service_pb2.DESCRIPTOR.services_by_name.values()
    handlers = {rpc.name: ReadHandler(print) for rpc in rpcs_of(service)} | change
    with pytest.raises(AssertionError, match="exactly one handler"):
        service_methods(service, {name: handler for name, handler in handlers.items() if handler})
