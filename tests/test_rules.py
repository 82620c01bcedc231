"""The rules that engine and client share, held against what ledger, routing and contract have of their own."""

import subprocess
import sys
from importlib import import_module
from importlib.resources import files
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.rpc import error_details_pb2, status_pb2
from onhand import client
from onhand.client import errors
from onhand.inventory.v1 import bulk_service_pb2 as contract
from onhand.rules import limits, operations, reasons
from onhand.rules.reasons import REASONS, Retry

from engine.api.stock import command_columns as bulk
from ledger.core import limits as ledger_limits
from ledger.core.statuses import Status
from routing import limits as routing_limits

LIMITS = {name: value for name, value in vars(limits).items() if name.isupper()}
PROTO = Path(__file__).parent.parent / "proto"
HEAVY = ("engine", "ledger", "routing", "numba", "redis", "pygrpc_native")


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_is_that_of_ledger_or_routing(name):
    owners = [owner for owner in (ledger_limits, routing_limits) if hasattr(owner, name)]
    assert all(getattr(owner, name) == LIMITS[name] for owner in owners)
    assert owners or name == "ORDERS_PER_CALL_MAX"  # of the API alone


def test_operations_are_those_of_the_contract_and_of_the_bulk_path():
    assert [*operations.RULES] == [value for value in contract.CommandOperation.values() if value]
    for operation, rule in operations.RULES.items():
        assert (rule.lines_min, rule.lines_max) == (bulk.LINES_MIN[operation], bulk.LINES_MAX[operation])
        assert rule.quantity_min == bulk.QUANTITY_MIN[operation]
        assert rule.has_ttl == bulk.HAS_TTL[operation]
        assert rule.has_version == bulk.HAS_VERSION[operation]
        assert rule.has_reservation == bulk.HAS_RESERVATION[operation]
        assert rule.merges_lines == bulk.MERGES_LINES[operation]
    assert np.count_nonzero(bulk.IS_KNOWN) == len(operations.RULES)
    assert {operation.value for operation in client.Operation} == operations.RULES.keys()


def test_each_status_is_a_reason():
    assert {status.name for status in Status} - {"OK"} <= REASONS.keys()
    names = {name.removeprefix("COMMAND_STATUS_") for name in contract.CommandStatus.keys()}  # noqa: SIM118
    assert names - {"UNSPECIFIED", "OK"} <= REASONS.keys()


def test_each_reason_has_a_class_of_the_client():
    kinds = {kind.__name__ for kind in errors.RefusedError.__subclasses__()}
    assert {reasons.error_name(reason) for reason in REASONS} == kinds
    for reason, row in REASONS.items():
        refusal = errors.refusal(reason, "told")
        assert (type(refusal).__name__, refusal.code) == (reasons.error_name(reason), row.code)
        assert getattr(client, type(refusal).__name__) is type(refusal)


def test_only_what_may_pass_is_tried_again():
    passing = {reason for reason, row in REASONS.items() if row.retry is not Retry.NEVER}
    unavailable = {reason for reason, row in REASONS.items() if row.code is grpc.StatusCode.UNAVAILABLE}
    assert passing == unavailable | {"OVERLOADED", "NOT_PRIMARY"}


def test_the_client_stays_light():
    told = f"import sys, onhand.client; print([name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", told], text=True).strip() == "[]"


def test_the_messages_of_error_details_are_those_that_engine_and_clients_use(tmp_path):
    """proto/google/rpc is for those who read the contract in other languages; Python has its own package."""
    files_ = ("google/rpc/status.proto", "google/rpc/error_details.proto")
    found = tmp_path / "descriptors"
    includes = [f"-I{PROTO}", f"-I{files('grpc_tools') / '_proto'}"]
    subprocess.check_call(
        [sys.executable, "-m", "grpc_tools.protoc", *includes, f"--descriptor_set_out={found}", *files_]
    )
    ours = {file.name: file for file in FileDescriptorSet.FromString(found.read_bytes()).file}
    for module in (status_pb2, error_details_pb2):
        theirs = FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(theirs)
        assert shapes_of(theirs.message_type) == shapes_of(ours[theirs.name].message_type)


def shapes_of(messages):
    return {
        message.name: (
            [(field.name, field.number, field.type, field.label, field.type_name) for field in message.field],
            shapes_of(message.nested_type),
        )
        for message in messages
    }


def test_java_can_be_made_of_the_contract():
    """Of a text `x` Java makes getXBytes, too, as of `x_bytes`: no message may have both."""
    clashes = []
    for path in sorted(PROTO.glob("onhand/*/v1/*.proto")):
        name = ".".join(path.relative_to(PROTO).with_suffix("").parts)
        for message in import_module(f"{name}_pb2").DESCRIPTOR.message_types_by_name.values():
            texts = [field.name for field in message.fields if field.type == field.TYPE_STRING]
            clashes += [f"{message.full_name}.{text}" for text in texts if f"{text}_bytes" in message.fields_by_name]
    assert clashes == []
