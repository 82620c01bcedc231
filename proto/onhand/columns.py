"""Packed columns as arrays: one look at the bytes, not one Python object for each value.

On the wire a packed `repeated fixed64` and a `bytes` field of little-endian values are the same. So each message of the
bulk path has a twin here, made from its descriptor, in which every packed column is bytes: parsing it costs nothing for
each value, and numpy reads the bytes where they lie. Enums and bools are varints, of one byte while they are below 128.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet
from numpy.typing import NDArray
from onhand.inventory.v1 import bulk_service_pb2 as contract
from onhand.routing.v1 import bulk_service_pb2 as routing_contract

VARINT_MAX: Final = 127

_DTYPES: Final = {
    FieldDescriptor.TYPE_FIXED32: "<u4",
    FieldDescriptor.TYPE_SFIXED32: "<i4",
    FieldDescriptor.TYPE_FIXED64: "<u8",
    FieldDescriptor.TYPE_SFIXED64: "<i8",
    FieldDescriptor.TYPE_DOUBLE: "<f8",
    FieldDescriptor.TYPE_ENUM: "u1",
    FieldDescriptor.TYPE_BOOL: "u1",
}


def dtypes_of(message: type[Message]) -> dict[str, np.dtype[Any]]:
    """Return the dtype of each column of a message, by field."""
    return {
        field.name: np.dtype(_DTYPES[field.type])
        for field in message.DESCRIPTOR.fields
        if field.is_repeated and field.type in _DTYPES
    }


def _twin_of(descriptor: Descriptor, file: descriptor_pb2.FileDescriptorProto) -> None:
    """Add the twin of a message to a file: packed columns become bytes, messages their twins, enums numbers."""
    twin = file.message_type.add()
    descriptor.CopyToProto(twin)
    for field in twin.field:
        if field.label == field.LABEL_REPEATED and field.type in _DTYPES:
            field.type = field.TYPE_BYTES  # repeated still: a column may come in several parts
            field.ClearField("type_name")
        elif field.type == field.TYPE_ENUM:
            field.type = field.TYPE_INT32
            field.ClearField("type_name")
        elif field.type == field.TYPE_MESSAGE:
            field.type_name = f".{file.package}.{field.type_name.rpartition('.')[2]}"


def _twins(file: FileDescriptor) -> Mapping[str, type[Message]]:
    """Return the twins of all messages of a file by name; its service is that of the twins.

    They live in a pool of their own, under the names of what they are twins of: errors of the parser speak of those.
    """
    twin_file = descriptor_pb2.FileDescriptorProto(name=file.name, package=file.package, syntax="proto3")
    for message in file.message_types_by_name.values():
        _twin_of(message, twin_file)
    for service in file.services_by_name.values():
        service.CopyToProto(twin_file.service.add())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(twin_file)
    found = pool.FindFileByName(file.name).message_types_by_name
    return {name: message_factory.GetMessageClass(descriptor) for name, descriptor in found.items()}


_TWINS: Final = _twins(contract.DESCRIPTOR)
RequestColumns: Final[Any] = _TWINS["ExecuteCommandsRequest"]
"""Twin of ExecuteCommandsRequest."""
ResponseColumns: Final[Any] = _TWINS["ExecuteCommandsResponse"]
"""Twin of ExecuteCommandsResponse."""


_ROUTING_TWINS: Final = _twins(routing_contract.DESCRIPTOR)
PlanRequestColumns: Final[Any] = _ROUTING_TWINS["PlanOrdersRequest"]
"""Twin of PlanOrdersRequest."""
PlanResponseColumns: Final[Any] = _ROUTING_TWINS["PlanOrdersResponse"]
"""Twin of PlanOrdersResponse."""


def read_column(parts: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return a column of a twin as an array that must not be written to.

    Parameters
    ----------
    parts
        The twin's field.
    dtype
        Of the column; see `dtypes_of`.

    Raises
    ------
    ValueError
        The bytes are no whole number of values, or an enum or bool has more than one byte; says which.
    """
    raw = parts[0] if len(parts) == 1 else b"".join(parts)
    if len(raw) % dtype.itemsize:
        raise ValueError(f"{len(raw)} bytes for values of {dtype.itemsize}")
    values = np.frombuffer(raw, dtype)
    if dtype.itemsize == 1 and (highest := int(values.max(initial=0))) > VARINT_MAX:
        raise ValueError(f"a byte of {highest}")
    return values


@cache
def _columns_by_number(twin: Descriptor) -> Mapping[int, str]:
    return {field.number: field.name for field in twin.fields if field.type == field.TYPE_BYTES}


def unpacked_column(twin: Message) -> str | None:
    """Return the name of a column whose values did not come packed, so that the twin does not have them; else None."""
    columns = _columns_by_number(twin.DESCRIPTOR)
    unknown = (columns.get(field.field_number) for field in UnknownFieldSet(twin))
    return next(filter(None, unknown), None)


def write_column(parts: Any, values: NDArray[Any], dtype: np.dtype[Any]) -> None:
    """Fill a column of a twin; values that are all 0 may be left out by the caller."""
    parts.append(np.ascontiguousarray(values, dtype).data.tobytes())
