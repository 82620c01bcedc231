"""`onhand call`: any method of the contract, with JSON in and out. Methods and fields are those of the descriptors."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import grpc
import onhand
import uuid_utils
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status as RpcStatus
from onhand.inventory.v1.reservation_pb2 import Refusal
from onhand.rpcs import Rpc, rpcs_of

from engine.measures import seconds_of

REQUEST_ID: Final = "request_id"
WRITTEN_AS: Final[Mapping[str, str]] = {
    "google.protobuf.Duration": 'a time, "900s"',
    "google.protobuf.Timestamp": 'an instant, "2026-11-27T10:00:00Z"',
    "google.protobuf.FieldMask": 'names of fields, "display_name,active"',
}
"""Messages that JSON has a short form of."""
SCALARS: Final[Mapping[int, str]] = {
    FieldDescriptor.CPPTYPE_STRING: "text",
    FieldDescriptor.CPPTYPE_BOOL: "true or false",
    FieldDescriptor.CPPTYPE_DOUBLE: "number",
    FieldDescriptor.CPPTYPE_FLOAT: "number",
}

UNKNOWN_FIELD: Final = re.compile(
    r'Message type "(?P<type>[\w.]+)" has no field named "(?P<name>.*?)" at "(?P<path>.*?)"'
)
"""In the words of protobuf."""


class CallError(Exception):
    """What keeps a call from being made: a name or a field that is wrong."""


# ---- methods ---------------------------------------------------------------------------------------------------------


@cache
def methods() -> Mapping[str, Rpc]:
    """Return the methods of all services of the contract by full name, "onhand.inventory.v1.Service/Method"."""
    found = [rpc for module in _service_modules() for rpc in _rpcs_in(module)]
    return {rpc.path.removeprefix("/"): rpc for rpc in found}


def _service_modules() -> Iterator[Any]:
    """Yield the generated modules that define services."""
    for root in onhand.__path__:
        for path in sorted(Path(root).glob("*/v*/*_service_pb2.py")):
            yield import_module(".".join(("onhand", *path.relative_to(root).with_suffix("").parts)))


def _rpcs_in(module: Any) -> Iterator[Rpc]:
    for service in module.DESCRIPTOR.services_by_name.values():
        yield from rpcs_of(service)


def method_named(name: str) -> Rpc:
    """Return a method by its bare or full name; raises CallError, with the nearest name, if there is none."""
    wanted = "." + name.strip("/").replace("/", ".")
    for full, rpc in methods().items():
        if f".{full}".replace("/", ".").endswith(wanted):
            return rpc
    near = _nearest(wanted.rpartition(".")[2], [rpc.name for rpc in methods().values()])
    raise CallError(f"method: there is no {name}{near} See onhand call --list.")


def _nearest(name: str, names: Sequence[str]) -> str:
    """Return the end of a sentence, with the name that was probably meant."""
    by_lower_case = {each.lower(): each for each in names}
    near = get_close_matches(name.lower(), by_lower_case, 1, 0.5)
    return f"; did you mean {by_lower_case[near[0]]}?" if near else "."


# ---- requests --------------------------------------------------------------------------------------------------------


def request_of(rpc: Rpc, text: str) -> Message:
    """Read a request as JSON; one without the request id that it should have gets one, told on standard error.

    Raises
    ------
    CallError
        It is no JSON, or not that of the request.
    """
    request: Message = rpc.request_type()
    message = rpc.request_type.DESCRIPTOR
    text = text.strip() or "{}"
    if not text.startswith("{"):  # some of which protobuf takes for nothing, and at some it stumbles
        raise CallError(f"request: expected JSON of {message.name}, an object, was {text[:40]}")
    try:
        json_format.Parse(text, request)
    except json_format.ParseError as error:
        raise CallError(_told(str(error), message)) from error
    if REQUEST_ID in request.DESCRIPTOR.fields_by_name and not getattr(request, REQUEST_ID):
        setattr(request, REQUEST_ID, str(uuid_utils.uuid7()))
        print(f"request_id {getattr(request, REQUEST_ID)}", file=sys.stderr)  # noqa: T201 - to repeat the call with
    return request


def _told(problem: str, message: Descriptor) -> str:
    """Say what is wrong with a request, and where a field is unknown, which there are."""
    unknown = UNKNOWN_FIELD.search(problem)
    if unknown is None:
        return f"request: expected JSON of {message.name}: {' '.join(problem.split())}"
    fields = message.file.pool.FindMessageTypeByName(unknown["type"]).fields
    names = [field.name for field in fields]
    return (
        f"{unknown['path']}: there is no field {unknown['name']}{_nearest(unknown['name'], names)}"
        f" Fields are {', '.join(names)}."
    )


def fields_of(rpc: Rpc) -> str:
    """Return the fields of a method's request, and of the messages in it, for people."""
    told: dict[str, Descriptor] = {}
    _collect(rpc.request_type.DESCRIPTOR, told)
    return "\n\n".join(f"{message.name}\n{_lines_of(message)}" for message in told.values())


def _collect(message: Descriptor, told: dict[str, Descriptor]) -> None:
    """Add a message and those in it, each once, in the order in which they are met."""
    if message.full_name in told or message.full_name in WRITTEN_AS:
        return
    told[message.full_name] = message
    for field in message.fields:
        if field.message_type is not None:
            _collect(field.message_type, told)


def _lines_of(message: Descriptor) -> str:
    width = max((len(field.name) for field in message.fields), default=0)
    return "\n".join(f"  {field.name:<{width}}  {_kind_of(field)}" for field in message.fields) or "  nothing"


def _kind_of(field: FieldDescriptor) -> str:
    if field.message_type is not None:
        kind = WRITTEN_AS.get(field.message_type.full_name, field.message_type.name)
    elif field.enum_type is not None:
        kind = " | ".join(value.name for value in field.enum_type.values[1:])
    else:
        kind = SCALARS.get(field.cpp_type, "whole number")
    return f"[{kind}, …]" if field.is_repeated else kind


def deadline_seconds(text: str) -> float:
    """Read how long to wait, 10s or 500ms or a number of seconds; raises CallError."""
    try:
        seconds = float(seconds_of(text))  # type: ignore[arg-type]  # a number, or text that is one
    except ValueError as error:
        raise CallError(f"deadline: {error}, was {text}") from error
    if seconds <= 0:
        raise CallError(f"deadline: expected more than 0, was {text}")
    return seconds


# ---- answers ---------------------------------------------------------------------------------------------------------


def call(channel: grpc.Channel, rpc: Rpc, request: Message, seconds: float) -> str:
    """Make a call; returns the answer as JSON, with the contract's names."""
    ask = channel.unary_unary(
        rpc.path,
        request_serializer=rpc.request_type.SerializeToString,
        response_deserializer=rpc.response_type.FromString,
    )
    return json_format.MessageToJson(
        ask(request, timeout=seconds), preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def told_of_refusal(error: grpc.RpcError) -> str:
    """Say in words what a refusal says: reason, message, fields, shortages, and when to call again."""
    reason, lines = "", []
    for detail in _details_of(error):
        if isinstance(detail, ErrorInfo):
            reason = f" {detail.reason}"
        elif isinstance(detail, BadRequest):
            lines += [f"  field {each.field}: {each.description}" for each in detail.field_violations]
        elif isinstance(detail, Refusal):
            lines += [_short(each) for each in detail.shortages]
        elif isinstance(detail, RetryInfo):
            seconds = detail.retry_delay.ToTimedelta().total_seconds()
            lines.append(f"  call again after {seconds:g} s, with the same request_id")
    return "\n".join([f"{error.code().name}{reason}: {error.details()}", *lines])


def _short(shortage: Any) -> str:
    place = f"{shortage.sku_id} at {shortage.location_id}" if shortage.sku_id else f"line {shortage.line}"
    return f"  short: {place}: requested {shortage.requested}, available {shortage.available}"


def _details_of(error: grpc.RpcError) -> Iterator[Message]:
    """Yield the details of an error that we know."""
    trailers: dict[str, bytes] = dict(error.trailing_metadata() or ())  # type: ignore[arg-type]  # pairs, which the stubs hide
    packed = trailers.get("grpc-status-details-bin", b"")
    for each in RpcStatus.FromString(packed).details:
        for kind in (ErrorInfo, BadRequest, Refusal, RetryInfo):
            detail = kind()
            if each.Unpack(detail):
                yield detail
